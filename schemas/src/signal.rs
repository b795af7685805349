//! Signals: what series mean, and whose they are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How a signal's values behave, which decides how a change in them is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum SignalKind {
    /// Events out of a denominator, as errors per request.
    Ratio,
    /// Events with no denominator.
    Count,
    /// Work done; judged against `per` where there is one, so that a quiet hour is no drop.
    Throughput,
    /// A duration: a mean or a percentile.
    Latency,
    /// A level, as of a queue.
    Gauge,
}

/// Which direction is bad.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Bad {
    /// More is worse.
    #[default]
    Up,
    /// Less is worse.
    Down,
    /// Any change is.
    Either,
}

/// One `[[signal]]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signal {
    /// What people call it, as in "error ratio".
    pub name: String,
    /// How it behaves.
    pub kind: SignalKind,
    /// The pattern of its series; `{service}` names whose they are, `*` matches within one dotted part.
    pub series: String,
    /// The denominator's pattern, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<String>,
    /// Which direction is bad.
    #[serde(default)]
    pub bad: Bad,
}

impl Signal {
    /// The series of one service, where the pattern has no `*`.
    pub fn series_of(&self, service: &str) -> String {
        self.series.replace("{service}", service)
    }

    /// The denominator's series of one service.
    pub fn per_of(&self, service: &str) -> Option<String> {
        self.per.as_ref().map(|per| per.replace("{service}", service))
    }

    /// The service that a series belongs to under this signal, if it matches the pattern.
    pub fn service_of<'n>(&self, series: &'n str) -> Option<&'n str> {
        capture(&self.series, series)
    }
}

/// One `[service.NAME]` of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Service {
    /// The services that it calls: a bad deploy there can show here.
    pub depends_on: Vec<String>,
    /// Whose it is.
    pub owner: Option<String>,
}

/// The services by name, as configured.
pub type Services = BTreeMap<String, Service>;

/// The signals understood with no configuration: the names that StatsD itself writes for the usual HTTP metrics,
/// in both of its namespacings.
pub fn default_signals() -> Vec<Signal> {
    let signal = |name: &str, kind, series: &str, per: Option<&str>, bad| Signal {
        name: name.to_owned(),
        kind,
        series: series.to_owned(),
        per: per.map(str::to_owned),
        bad,
    };
    let mut signals = Vec::new();
    for (prefix, suffix) in [("stats.counters.", ".count"), ("stats_counts.", "")] {
        let requests = format!("{prefix}{{service}}.http.requests{suffix}");
        signals.push(signal(
            "error ratio",
            SignalKind::Ratio,
            &format!("{prefix}{{service}}.http.5xx{suffix}"),
            Some(&requests),
            Bad::Up,
        ));
        let requests = format!("{prefix}{{service}}.requests{suffix}");
        signals.push(signal(
            "error ratio",
            SignalKind::Ratio,
            &format!("{prefix}{{service}}.errors{suffix}"),
            Some(&requests),
            Bad::Up,
        ));
    }
    for percentile in ["upper_95", "median"] {
        let name = if percentile == "median" { "latency median" } else { "latency p95" };
        for timer in ["http.latency", "latency", "response_time"] {
            let series = format!("stats.timers.{{service}}.{timer}.{percentile}");
            signals.push(signal(name, SignalKind::Latency, &series, None, Bad::Up));
        }
    }
    signals
}

/// Matches `name` against a pattern with one `{service}` and any `*`, each within a dotted part; returns the service.
fn capture<'n>(pattern: &str, name: &'n str) -> Option<&'n str> {
    let (before, after) = pattern.split_once("{service}")?;
    // The service takes the rest of its own dotted part: the first place where the tail matches decides.
    let start = prefix_len(before, name)?;
    let rest = &name[start..];
    let part = rest.find('.').unwrap_or(rest.len());
    (1..=part)
        .rev()
        .filter(|end| rest.is_char_boundary(*end))
        .find(|end| prefix_len(after, &rest[*end..]).is_some_and(|length| length == rest.len() - end))
        .map(|end| &rest[..end])
}

/// How many bytes of `name` the pattern takes from its start, `*` taking a whole run without a dot.
fn prefix_len(pattern: &str, name: &str) -> Option<usize> {
    let mut at = 0;
    for (index, literal) in pattern.split('*').enumerate() {
        if index > 0 {
            let rest = &name[at..];
            let part = rest.find('.').unwrap_or(rest.len());
            at += if literal.is_empty() { part } else { rest[..part.min(rest.len())].find(literal).unwrap_or(part) };
        }
        at += name[at..].starts_with(literal).then_some(literal.len())?;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, name: &str, expected: Option<&str>) {
        assert_eq!(capture(pattern, name), expected, "{pattern} on {name}");
    }

    #[test]
    fn a_pattern_names_the_service_of_a_series() {
        check("stats.counters.{service}.http.5xx.count", "stats.counters.checkout.http.5xx.count", Some("checkout"));
        check("stats.counters.{service}.http.5xx.count", "stats.counters.checkout.http.4xx.count", None);
        check("stats.counters.{service}.http.5xx.count", "stats.counters.a.b.http.5xx.count", None);
        check("stats.*.{service}.errors", "stats.web.cart.errors", Some("cart"));
        check("{service}.errors", "cart.errors", Some("cart"));
        check("{service}.errors", ".errors", None);
        check("app.{service}", "app.cart", Some("cart"));
        check("app.{service}-api.errors", "app.cart-api.errors", Some("cart"));
    }

    #[test]
    fn defaults_understand_both_namespacings() {
        let owners = |series: &str| {
            default_signals().iter().filter_map(|s| s.service_of(series).map(str::to_owned)).collect::<Vec<_>>()
        };
        assert_eq!(owners("stats.counters.checkout.http.5xx.count"), ["checkout"]);
        assert_eq!(owners("stats_counts.checkout.http.5xx"), ["checkout"]);
        assert_eq!(owners("stats.timers.checkout.http.latency.upper_95"), ["checkout"]);
    }
}
