//! `functions`: what Graphite targets can call here.

use std::io::{IsTerminal, Write};

use anyhow::bail;
use deployline_render::graphite::{self, Function, Param};

use crate::args::Functions;

/// Lists the functions by group, or explains one.
pub fn run(args: &Functions) -> anyhow::Result<()> {
    let text = match args.name.as_deref() {
        None => listed(),
        Some(name) => match graphite::find(name) {
            Some(function) => explained(function),
            None => bail!("no function `{name}`, did you mean `{}`?", nearest(name)),
        },
    };
    // A reader like `head` that has seen enough is no failure.
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn nearest(name: &str) -> &'static str {
    let distance = |known: &&&str| strsim::damerau_levenshtein(&known.to_lowercase(), &name.to_lowercase());
    graphite::functions().keys().min_by_key(distance).copied().unwrap_or_default()
}

fn listed() -> String {
    let mut functions: Vec<&Function> = graphite::functions().values().copied().collect();
    functions.sort_by_key(|function| (function.group, function.name));
    let mut text = String::new();
    for group in functions.chunk_by(|a, b| a.group == b.group) {
        text += &format!("{}\n", group[0].group.name());
        for function in group {
            text += &format!("  {:<26} {}\n", function.name, function.description);
        }
    }
    if std::io::stdout().is_terminal() {
        text += &format!("{} functions; `deployline functions NAME` explains one\n", functions.len());
    }
    text
}

fn explained(function: &Function) -> String {
    let names: Vec<&str> = function.params.iter().map(|param| param.name).collect();
    let params: String = function.params.iter().map(parameter).collect();
    format!("{}({})\n{}\n{params}", function.name, names.join(", "), function.description)
}

fn parameter(param: &Param) -> String {
    let mut notes = vec![param.kind.name().to_owned()];
    if !param.required {
        notes.push(param.default.map_or("optional".to_owned(), |default| format!("{default} unless given")));
    }
    if param.multiple {
        notes.push("any number".to_owned());
    }
    if !param.options.is_empty() {
        notes.push(format!("one of {}", param.options.join(" ")));
    }
    format!("  {:<26} {}\n", param.name, notes.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_function_is_listed_once_and_can_be_explained() {
        let listed = listed();
        for name in graphite::functions().keys() {
            assert_eq!(listed.lines().filter(|line| line.split_whitespace().next() == Some(name)).count(), 1, "{name}");
        }
        let text = explained(graphite::find("movingAverage").unwrap());
        assert!(text.starts_with("movingAverage(seriesList, windowSize"), "{text}");
        assert_eq!(nearest("sumSerie"), "sumSeries");
    }
}
