//! What targets give, beside what graphite-web 1.1.10 itself gave for them (`graphite_web/record.py`): names, times and values.
#![allow(clippy::unwrap_used)] // The helpers are tests as well.

use std::sync::Arc;

use deployline_render::graphite::{Context, Limits, Metric, Source, SourceError, evaluate, functions, grid};
use serde_json::Value;

const FROM_S: i64 = 1_795_437_000;
const UNTIL_S: i64 = FROM_S + 600;
/// When the answers were recorded, the window and what a shift by ten minutes asks for were over.
const NOW_S: i64 = UNTIL_S + 600;
const SERIES: [(&str, i64); 8] = [
    ("web.a.errors", 10),
    ("web.b.errors", 10),
    ("web.c.gappy", 10),
    ("web.a.requests", 10),
    ("web.b.requests", 10),
    ("db.x.counter", 60),
    ("db.y.gappy", 60),
    ("db.x.latency", 60),
];

/// The made-up series of `record.py`.
struct Made;

fn value(name: &str, k: i64) -> f64 {
    let mut x = name.bytes().fold(2_166_136_261u32, |x, byte| (x ^ u32::from(byte)).wrapping_mul(16_777_619));
    x ^= (k as u32).wrapping_mul(2_654_435_761);
    x ^= x >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^= x >> 16;
    match name {
        _ if name.ends_with("gappy") && x.is_multiple_of(4) => f64::NAN,
        _ if name.ends_with("counter") => ((k * 7 + i64::from(x % 5)) % 400) as f64,
        _ => f64::from(x % 1000) / 8.0,
    }
}

fn fits(pattern: &str, name: &str) -> bool {
    if let (Some(open), Some(close)) = (pattern.find('{'), pattern.find('}')) {
        let words = pattern[open + 1..close].split(',');
        return words
            .into_iter()
            .any(|word| fits(&format!("{}{word}{}", &pattern[..open], &pattern[close + 1..]), name));
    }
    let (parts, nodes): (Vec<_>, Vec<_>) = (pattern.split('.').collect(), name.split('.').collect());
    parts.len() == nodes.len() && parts.iter().zip(nodes).all(|(part, node)| *part == "*" || *part == node)
}

impl Source for Made {
    fn find(&self, pattern: &str, _: i64, _: i64) -> Result<Vec<Metric>, SourceError> {
        let found = SERIES.iter().filter(|(name, _)| fits(pattern, name));
        Ok(found.map(|(name, step_s)| Metric { name: Arc::from(*name), step_s: *step_s }).collect())
    }

    fn find_tagged(&self, _: &[String], _: i64, _: i64) -> Result<Vec<Metric>, SourceError> {
        Ok(Vec::new())
    }

    fn read(&self, metric: &Metric, from_s: i64, until_s: i64) -> Result<Vec<f64>, SourceError> {
        let (start, end) = grid(from_s, until_s, metric.step_s);
        Ok((start / metric.step_s..end / metric.step_s).map(|k| value(&metric.name, k)).collect())
    }

    fn events(&self, _: &[String], from_s: i64, _: i64) -> Result<Vec<i64>, SourceError> {
        Ok(vec![from_s + 1, from_s + 1, from_s + 5])
    }
}

/// How an answer differs from graphite-web's; `None` when it does not.
fn difference(target: &str, expected: &Value) -> Option<String> {
    let found = match evaluate(&Context::new(&Made, FROM_S, UNTIL_S, NOW_S), target) {
        Ok(found) => found,
        Err(error) => return Some(error.to_string()),
    };
    let expected = expected.as_array().unwrap();
    if found.len() != expected.len() {
        return Some(format!("{} series, not {}", found.len(), expected.len()));
    }
    for (series, expected) in found.iter().zip(expected) {
        if series.name != expected[0].as_str().unwrap() {
            return Some(format!("name {:?}, not {}", series.name, expected[0]));
        }
        for (what, have, want) in [("start", series.start_s, 1), ("end", series.end_s, 2), ("step", series.step_s, 3)] {
            if have != expected[want].as_i64().unwrap() {
                return Some(format!("{what} {have}, not {}", expected[want]));
            }
        }
        let values = expected[4].as_array().unwrap();
        if series.values.len() != values.len() {
            return Some(format!("{} values, not {}", series.values.len(), values.len()));
        }
        for (index, (have, want)) in series.values.iter().zip(values).enumerate() {
            let same = match want.as_f64() {
                None => have.is_nan(),
                // Logarithms and powers may differ in the last bit between mathematics libraries.
                Some(want) => *have == want || (have - want).abs() <= 1e-12 * want.abs().max(have.abs()),
            };
            if !same {
                return Some(format!("value {index} is {have}, not {want}"));
            }
        }
    }
    None
}

#[test]
fn targets_give_what_graphite_web_gives() {
    let answers = include_str!("graphite_web/answers.jsonl");
    let mut differences = Vec::new();
    for line in answers.lines() {
        let pair: Value = serde_json::from_str(line).unwrap();
        let target = pair[0].as_str().unwrap();
        differences.extend(difference(target, &pair[1]).map(|difference| format!("{target}: {difference}")));
    }
    assert!(
        differences.is_empty(),
        "{} of {} targets differ:\n{}",
        differences.len(),
        answers.lines().count(),
        differences.join("\n")
    );
}

/// Evaluates a target with a small allowance, and shows the names or the error.
fn show(target: &str) -> String {
    let mut context = Context::new(&Made, FROM_S, UNTIL_S, UNTIL_S);
    context.limits = Limits { series: 6, datapoints: 2000 };
    match evaluate(&context, target) {
        Ok(series) => series.into_iter().map(|one| one.name).collect::<Vec<_>>().join(" "),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_bad_target_is_refused_at_its_column() {
    for (target, expected) in [
        ("sumseries(web.*.errors)", "unknown function `sumseries` at column 1, did you mean `sumSeries`?"),
        ("alias(web.a.errors)", "alias: `newName` is missing at column 1"),
        ("alias(1, 'x')", "alias: `seriesList` takes series at column 7"),
        ("scale(web.a.errors, 'x')", "scale: `factor` takes a number at column 21"),
        ("scale(web.a.errors, 2, 3)", "scale: takes at most 2 arguments at column 24"),
        (
            "sum(scale(web.a.errors, faktor=2))",
            "scale: has no parameter `faktor`, only seriesList, factor at column 32",
        ),
        ("summarize(web.a.errors, 'soon')", "summarize: `soon` is no interval, write it as 10min or 1h at column 25"),
        ("summarize(web.a.errors, '1h', 'top')", "summarize: `top` is no aggregation, use one of average, avg"),
        ("consolidateBy(web.a.errors, 'best')", "consolidateBy: `consolidationFunc` takes one of sum, average"),
        (
            "aliasSub(web.a.errors, '(', '')",
            "aliasSub: `(` is no regular expression that can be used here: unclosed group at column 24",
        ),
        ("5", "this gives no series at column 1"),
    ] {
        let found = show(target);
        assert!(found.starts_with(expected), "{target}: {found}");
    }
}

#[test]
fn a_target_that_would_cost_too_much_is_refused_before_it_is_read() {
    for (target, expected) in [
        ("web.*.*", "web.a.errors web.a.requests web.b.errors web.b.requests web.c.gappy"),
        ("{web,db}.*.*", "the target asks for 8 series, at most 6 are allowed"),
        ("movingAverage(web.a.errors, '1d')", "the target asks for 8760 datapoints, at most 2000 are allowed"),
        ("time('t', 0)", "time: `step` must be at least 1 at column 11"),
        (
            "randomWalk('t', 1)|timeStack('1s', 0, 99999)",
            "the target asks for 99999 stacked windows, at most 1000 are allowed",
        ),
    ] {
        let found = show(target);
        assert!(found.starts_with(expected), "{target}: {found}");
    }
}

#[test]
fn events_are_counted_by_the_second() {
    let events = evaluate(&Context::new(&Made, FROM_S, FROM_S + 6, UNTIL_S), "events('*')").unwrap();
    let shown: Vec<String> = events[0].values.iter().map(f64::to_string).collect();
    assert_eq!((events[0].name.as_str(), shown.join(" ").as_str()), ("events(\"*\")", "NaN 2 NaN NaN NaN 1"));
}

#[test]
fn the_functions_are_listed_with_their_parameters() {
    let summarize = functions()["summarize"];
    let params: Vec<String> = summarize
        .params
        .iter()
        .map(|param| format!("{}:{}={:?}", param.name, param.kind.name(), param.default))
        .collect();
    assert_eq!(summarize.group.name(), "Transform");
    assert_eq!(
        params.join(" "),
        "seriesList:seriesList=None intervalString:interval=None func:aggFunc=Some(\"\\\"sum\\\"\") alignToFrom:boolean=Some(\"false\")"
    );
    assert!(functions().values().all(|function| function.description.len() > 10 && !function.params.is_empty()));
}
