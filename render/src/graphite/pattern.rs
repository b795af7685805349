//! Percentiles and regular expressions, as Python's Graphite has them.

use regex::Regex;

use super::{call::Call, error::GraphiteError};

/// The n-th percentile of the values that are not gaps, by the nearest rank of `n / 100 * (count + 1)`, or between two ranks.
pub(super) fn percentile(values: &[f64], n: f64, interpolate: bool) -> f64 {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let exact = n / 100.0 * (sorted.len() as f64 + 1.0);
    let (whole, fraction) = (exact.trunc().max(0.0), exact.fract());
    let rank = whole as usize + usize::from(!interpolate && fraction > 0.0);
    let at = |rank: usize| sorted[rank.saturating_sub(1).min(last)];
    let value = at(rank);
    // Past the last rank there is nothing to go towards.
    if interpolate && rank < sorted.len() { value + fraction * (sorted[rank] - value) } else { value }
}

/// Longest regular expression compiled, in bytes of its program.
const MAX_PROGRAM_BYTES: usize = 1 << 20;

/// A regular expression from the argument at a place.
pub(super) fn regex(call: &Call<'_>, place: usize) -> Result<Regex, GraphiteError> {
    let text = call.text(place)?;
    let compiled = regex::RegexBuilder::new(&text).size_limit(MAX_PROGRAM_BYTES).build();
    compiled.map_err(|error| {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        call.wrong(place, format!("`{text}` is no regular expression that can be used here: {reason}"))
    })
}

/// Python's replacement text (`\1`, `\g<name>`, `\\`) as the regex crate's.
pub(super) fn replacement(python: &str) -> String {
    let mut result = String::with_capacity(python.len() + 8);
    let mut rest = python.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '$' => result.push_str("$$"),
            '\\' => match rest.next() {
                Some(digit @ '0'..='9') => {
                    let mut number = digit.to_string();
                    // Groups go up to 99.
                    if let Some(second) = rest.next_if(char::is_ascii_digit) {
                        number.push(second);
                    }
                    result.push_str(&format!("${{{number}}}"));
                }
                Some('g') if rest.peek() == Some(&'<') => {
                    let name: String = rest.by_ref().skip(1).take_while(|c| *c != '>').collect();
                    result.push_str(&format!("${{{name}}}"));
                }
                Some('n') => result.push('\n'),
                Some('t') => result.push('\t'),
                Some('\\') => result.push('\\'),
                Some(other) => {
                    result.push('\\');
                    result.push(other);
                }
                None => result.push('\\'),
            },
            _ => result.push(character),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_rank_or_between_two() {
        let values = [3.0, 1.0, f64::NAN, 2.0, 4.0];
        for (n, interpolate, expected) in [
            (50.0, false, 3.0),
            (50.0, true, 2.5),
            (90.0, false, 4.0),
            (1.0, false, 1.0),
            (25.0, true, 1.25),
            (100.0, true, 4.0),
        ] {
            assert_eq!(percentile(&values, n, interpolate), expected, "{n} {interpolate}");
        }
        assert!(percentile(&[f64::NAN], 50.0, false).is_nan());
    }

    #[test]
    fn references_to_groups_are_translated() {
        for (python, expected) in [(r"\1 A", "${1} A"), (r"$5 \g<name>x", "$$5 ${name}x"), (r"a\\b\.", r"a\b\.")] {
            assert_eq!(replacement(python), expected);
        }
    }
}
