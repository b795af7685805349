//! Graphite's HTTP API, as graphite-web, carbonapi, VictoriaMetrics and Deployline itself answer it.

use std::collections::HashMap;

use serde::Deserialize;

use super::{
    client::{Client, SourceError},
    source::Found,
};
use crate::{Columns, glob::matches_dotted};

/// Series asked for in one request.
const BATCH: usize = 100;

#[derive(Deserialize)]
struct Completion {
    metrics: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    path: String,
    /// Text in graphite-web, a number elsewhere.
    is_leaf: serde_json::Value,
}

#[derive(Deserialize)]
struct Rendered {
    target: String,
    datapoints: Vec<(Option<f64>, i64)>,
}

/// One level of the tree of names.
pub(super) fn find(client: &Client, pattern: &str) -> Result<Vec<Found>, SourceError> {
    let answer: Completion = client.get("/metrics/find", &[("query", pattern), ("format", "completer")])?;
    let found = answer.metrics.into_iter().map(|node| {
        let is_leaf = match &node.is_leaf {
            serde_json::Value::String(text) => text == "1",
            serde_json::Value::Number(number) => number.as_i64() == Some(1),
            other => other.as_bool() == Some(true),
        };
        Found { path: node.path.trim_end_matches('.').into(), is_leaf }
    });
    // A completer completes: it answers more than was asked for.
    Ok(found.filter(|found| matches_dotted(pattern, &found.path)).collect())
}

/// The tagged series that fit all expressions.
pub(super) fn find_tagged(client: &Client, expressions: &[String]) -> Result<Vec<String>, SourceError> {
    let query: Vec<(&str, &str)> = expressions.iter().map(|expression| ("expr", expression.as_str())).collect();
    client.get("/tags/findSeries", &query)
}

/// The datapoints of series in `[from_s, until_s)`.
pub(super) fn read(
    client: &Client,
    names: &[&str],
    from_s: i64,
    until_s: i64,
) -> Result<HashMap<String, Columns>, SourceError> {
    // The start is left out, the end is within.
    let (from, until) = ((from_s - 1).to_string(), (until_s - 1).to_string());
    let mut read = HashMap::new();
    for names in names.chunks(BATCH) {
        let mut form = vec![("from", from.as_str()), ("until", until.as_str()), ("format", "json"), ("tz", "UTC")];
        form.extend(names.iter().filter(|name| is_plain(name)).map(|name| ("target", *name)));
        let rendered: Vec<Rendered> = client.post("/render", &form)?;
        for Rendered { target, datapoints } in rendered {
            let mut columns = Columns::default();
            let points = datapoints.into_iter().filter_map(|(value, at)| Some((value?, at)));
            for (value, at) in points.filter(|(_, at)| (from_s..until_s).contains(at)) {
                columns.push(at, value);
            }
            columns.settle();
            read.insert(target, columns);
        }
    }
    Ok(read)
}

/// Whether a name is a target by itself: others would be read as patterns or calls.
fn is_plain(name: &str) -> bool {
    !name.contains(['(', ')', '{', '}', '[', ']', '*', '?', ',', '\'', '"', '|', ' '])
}
