//! Prometheus' HTTP API. A series `name{label="value"}` is `name;label=value` here.

use std::collections::{BTreeMap, HashMap};

use deployline_schemas::series::of_labels;
use serde::Deserialize;

use super::{
    client::{Client, SourceError},
    config::SourceConfig,
};
use crate::{Columns, glob::matches_dotted};

/// Series asked for in one request.
const BATCH: usize = 50;
/// Datapoints of one series that a server gives at most.
const MAX_STEPS: i64 = 10_000;
/// How far back a series must have been seen to be found, in seconds.
const FIND_S: i64 = 3600;

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct Matrix {
    result: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    metric: BTreeMap<String, String>,
    values: Vec<(f64, String)>,
}

/// The series that a pattern over whole names matches; labels are part of a name.
pub(super) fn find(
    client: &Client,
    config: &SourceConfig,
    pattern: &str,
    now_s: i64,
) -> Result<Vec<String>, SourceError> {
    let (metric, tags) = pattern.split_once(';').map_or((pattern, None), |(metric, tags)| (metric, Some(tags)));
    let mut names = Vec::new();
    for (name, query) in config.queries.iter().filter(|(name, _)| matches_dotted(metric, name)) {
        let rows = range(client, config, query, now_s - FIND_S, now_s + 1)?;
        names.extend(rows.iter().map(|row| name_of(name, &row.metric)));
    }
    // A dot is in no metric's name: only a pattern of one part can match one.
    if !metric.contains('.') && metric != "*" {
        names.extend(series(client, &format!("{{__name__=~{}}}", quoted(&regex_of(metric))), now_s)?);
    }
    names.retain(|name| match tags {
        Some(_) => matches_dotted(pattern, name),
        None => matches_dotted(metric, name.split(';').next().unwrap_or_default()),
    });
    Ok(names)
}

/// The series that fit all expressions of `seriesByTag`.
pub(super) fn find_tagged(
    client: &Client,
    config: &SourceConfig,
    expressions: &[String],
    now_s: i64,
) -> Result<Vec<String>, SourceError> {
    let mut matchers = Vec::new();
    for expression in expressions {
        let Some((tag, rest)) = expression.split_once('=') else { return Ok(Vec::new()) };
        let (tag, not) = tag.strip_suffix('!').map_or((tag, false), |tag| (tag, true));
        let (value, like) = rest.strip_prefix('~').map_or((rest, false), |value| (value, true));
        let operator = match (not, like) {
            (false, false) => "=",
            (true, false) => "!=",
            (false, true) => "=~",
            (true, true) => "!~",
        };
        let label = if tag.trim() == "name" { "__name__" } else { tag.trim() };
        if !is_label(label) {
            return Ok(Vec::new());
        }
        // Graphite anchors at the start, Prometheus at both ends.
        let value = if like { quoted(&format!("(?:{value}).*")) } else { quoted(value) };
        matchers.push(format!("{label}{operator}{value}"));
    }
    let named = expressions.iter().find_map(|expression| expression.strip_prefix("name="));
    match named.and_then(|name| Some((name, config.queries.get(name)?))) {
        Some((name, query)) => {
            let rows = range(client, config, query, now_s - FIND_S, now_s + 1)?;
            let fits = |name: &String| {
                expressions.iter().filter(|expression| !expression.starts_with("name=")).all(|expression| {
                    expression.split_once('=').is_some_and(|(tag, value)| {
                        name.split(';').skip(1).any(|part| part.split_once('=') == Some((tag, value)))
                    })
                })
            };
            Ok(rows.iter().map(|row| name_of(name, &row.metric)).filter(fits).collect())
        }
        None => series(client, &format!("{{{}}}", matchers.join(",")), now_s),
    }
}

fn series(client: &Client, selector: &str, now_s: i64) -> Result<Vec<String>, SourceError> {
    let (start, end) = ((now_s - FIND_S).to_string(), now_s.to_string());
    let answer: Answer<Vec<BTreeMap<String, String>>> =
        client.post("/api/v1/series", &[("match[]", selector), ("start", &start), ("end", &end)])?;
    let name = |labels: &BTreeMap<String, String>| labels.get("__name__").map(|name| name_of(name, labels));
    Ok(answer.data.iter().filter_map(name).collect())
}

/// The datapoints of series in `[from_s, until_s)`.
pub(super) fn read(
    client: &Client,
    config: &SourceConfig,
    names: &[&str],
    from_s: i64,
    until_s: i64,
) -> Result<HashMap<String, Columns>, SourceError> {
    let mut columns = HashMap::new();
    let metric = |name: &&str| name.split(';').next().unwrap_or_default().to_owned();
    let (expressions, plain): (Vec<&str>, Vec<&str>) =
        names.iter().copied().partition(|name| config.queries.contains_key(&metric(name)));
    let mut asked: Vec<String> = expressions.iter().map(metric).collect();
    asked.sort_unstable();
    asked.dedup();
    for name in asked {
        for row in range(client, config, &config.queries[&name], from_s, until_s)? {
            columns.insert(name_of(&name, &row.metric), row.columns(from_s, until_s));
        }
    }
    for names in plain.chunks(BATCH) {
        let selectors: Vec<String> = names.iter().filter_map(|name| selector_of(name)).collect();
        for row in range(client, config, &selectors.join(" or "), from_s, until_s)? {
            let Some(name) = row.metric.get("__name__").map(|name| name_of(name, &row.metric)) else { continue };
            // A selector also takes series with more labels.
            if names.contains(&name.as_str()) {
                columns.insert(name, row.columns(from_s, until_s));
            }
        }
    }
    Ok(columns)
}

fn range(
    client: &Client,
    config: &SourceConfig,
    query: &str,
    from_s: i64,
    until_s: i64,
) -> Result<Vec<Row>, SourceError> {
    if query.is_empty() {
        return Ok(Vec::new());
    }
    let step_s = (config.step.as_secs() as i64).max((until_s - from_s) / MAX_STEPS + 1);
    // On the step's multiples, so that the same moments are asked for whatever the window.
    let start = (from_s - 1).div_euclid(step_s) * step_s + step_s;
    let (start, end, step) = (start.to_string(), (until_s - 1).to_string(), step_s.to_string());
    let form = [("query", query), ("start", start.as_str()), ("end", end.as_str()), ("step", step.as_str())];
    let answer: Answer<Matrix> = client.post("/api/v1/query_range", &form)?;
    Ok(answer.data.result)
}

impl Row {
    fn columns(&self, from_s: i64, until_s: i64) -> Columns {
        let mut columns = Columns::default();
        for (at, value) in &self.values {
            let (at, value) = (*at as i64, value.parse::<f64>().unwrap_or(f64::NAN));
            if value.is_finite() && (from_s..until_s).contains(&at) {
                columns.push(at, value);
            }
        }
        columns.settle();
        columns
    }
}

/// The name that a series has here.
fn name_of(name: &str, labels: &BTreeMap<String, String>) -> String {
    let labels = labels.iter().filter(|(label, _)| *label != "__name__");
    of_labels(name, labels.map(|(label, value)| (label.as_str(), value.as_str())))
}

/// `{__name__="name",label="value"}`; a value that was made fit is matched by what it may have been. `None` for what no Prometheus has.
fn selector_of(name: &str) -> Option<String> {
    let mut parts = name.split(';');
    let mut matchers = vec![format!("__name__={}", quoted(parts.next()?))];
    for part in parts {
        let (label, value) = part.split_once('=').filter(|(label, _)| is_label(label))?;
        matchers.push(match value.contains('_') {
            true => format!("{label}=~{}", quoted(&escaped(value).replace('_', r"[_;~\s]"))),
            false => format!("{label}={}", quoted(value)),
        });
    }
    Some(format!("{{{}}}", matchers.join(",")))
}

fn is_label(label: &str) -> bool {
    let mut bytes = label.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A string of PromQL.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// The text as a regular expression that means itself.
fn escaped(text: &str) -> String {
    let escape = |c: char| if c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii() { vec![c] } else { vec!['\\', c] };
    text.chars().flat_map(escape).collect()
}

/// A regular expression that takes at least what a glob does; the answer is looked through again.
fn regex_of(glob: &str) -> String {
    let literal = glob.split(['*', '?', '[', '{']).next().unwrap_or_default();
    if literal.len() == glob.len() { escaped(glob) } else { format!("{}.*", escaped(literal)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_selectors_go_there_and_back() {
        let labels: BTreeMap<String, String> = [("__name__", "up"), ("job", "a b"), ("empty", ""), ("instance", "h:9")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into();
        let name = name_of("up", &labels);
        assert_eq!(name, "up;instance=h:9;job=a_b");
        assert_eq!(selector_of(&name).unwrap(), r#"{__name__="up",instance="h:9",job=~"a[_;~\\s]b"}"#);
        assert_eq!(selector_of("up;no-label=x"), None);
        assert_eq!(quoted("a\"b\\"), r#""a\"b\\""#);
        assert_eq!(regex_of("http_*_total"), "http_.*");
        assert_eq!(regex_of("up"), "up");
    }
}
