//! Every function, by name.

use std::{collections::BTreeMap, sync::OnceLock};

use super::{
    alias, calculate, call::Function, combine, filter, graph, group, holt_winters, rate, special, summarize, transform,
};

/// Every function of the language, by name.
pub fn functions() -> &'static BTreeMap<&'static str, &'static Function> {
    static FUNCTIONS: OnceLock<BTreeMap<&'static str, &'static Function>> = OnceLock::new();
    FUNCTIONS.get_or_init(|| {
        let families: [&'static [Function]; 15] = [
            &combine::AGGREGATES,
            combine::FUNCTIONS,
            group::FUNCTIONS,
            transform::FUNCTIONS,
            rate::FUNCTIONS,
            summarize::FUNCTIONS,
            &calculate::MOVING,
            calculate::FUNCTIONS,
            holt_winters::FUNCTIONS,
            filter::SERIES_FILTERS,
            filter::DATA_FILTERS,
            filter::SORTS,
            alias::FUNCTIONS,
            graph::FUNCTIONS,
            special::FUNCTIONS,
        ];
        families.into_iter().flatten().map(|function| (function.name, function)).collect()
    })
}

/// The function of a name.
pub fn find(name: &str) -> Option<&'static Function> {
    functions().get(name).copied()
}

/// A function whose name differs in one or two letters, or in case.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let wanted = name.to_lowercase();
    let distances = functions().keys().map(|known| (distance(&wanted, &known.to_lowercase()), *known));
    distances.min().filter(|(distance, _)| *distance <= 2).map(|(_, known)| known)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    // No function's name is this long; a hostile one may be.
    const LONGEST: usize = 64;
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(LONGEST).collect(), b.chars().take(LONGEST).collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, right) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_of_graphite_web_is_here() {
        let known = include_str!("../../tests/graphite_web/functions.txt");
        let missing: Vec<&str> = known.lines().filter(|name| find(name).is_none()).collect();
        assert_eq!(missing, Vec::<&str>::new());
        assert_eq!(known.lines().count(), functions().len());
    }

    #[test]
    fn a_slip_of_the_pen_is_understood() {
        assert_eq!(nearest("sumseries"), Some("sumSeries"));
        assert_eq!(nearest("movingAvrage"), Some("movingAverage"));
        assert_eq!(nearest("somethingElse"), None);
    }
}
