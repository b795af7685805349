//! `output (seconds) = method input`, carbon's own notation.

use std::str::FromStr;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

/// Largest compiled pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// One `[[aggregation]]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AggregationConfig {
    /// A line of carbon's `aggregation-rules.conf`, as in `<env>.applications.all.requests (60) = sum <env>.applications.*.requests`.
    pub rule: String,
}

/// Why a text is not a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{rule}` is no aggregation rule: {reason}")]
pub struct RuleError {
    /// The text.
    pub rule: String,
    /// What is wrong with it.
    pub reason: String,
}

/// How the datapoints of an interval become one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Method {
    /// Their sum.
    Sum,
    /// Their mean.
    Average,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// How many there are.
    Count,
    /// The one that came last.
    Last,
    /// A quantile in `0.0..=1.0`, to within 0.4 %.
    Quantile(f64),
}

/// A rule, ready to be applied to names.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Seconds from one datapoint of an output to the next.
    pub interval_s: i64,
    /// What its datapoints are.
    pub method: Method,
    pattern: Regex,
    /// The output's name: texts and names of fields, in turn.
    output: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Field(String),
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let refuse = |reason: &str| RuleError { rule: text.to_owned(), reason: reason.to_owned() };
        let (left, right) = text.split_once('=').ok_or_else(|| refuse("write `output (seconds) = method input`"))?;
        let (output, interval) =
            left.trim().rsplit_once('(').ok_or_else(|| refuse("the interval is missing, as in `(60)`"))?;
        let interval = interval.trim().strip_suffix(')').and_then(|seconds| seconds.trim().parse::<u32>().ok());
        let interval_s = interval
            .filter(|seconds| (1..=86_400).contains(seconds))
            .ok_or_else(|| refuse("the interval is not 1 to 86400 seconds"))?;
        let (method, input) = right
            .trim()
            .split_once(char::is_whitespace)
            .ok_or_else(|| refuse("write a method and an input after the `=`"))?;
        let method = Method::of(method)
            .ok_or_else(|| refuse("the method is not sum, avg, min, max, count, last or p50 to p999"))?;
        let pattern = pattern_of(input.trim()).map_err(|reason| refuse(&reason))?;
        let output =
            output_of(output.trim()).ok_or_else(|| refuse("the output has a `<` without its `>`, or is empty"))?;
        let unknown = output.iter().find_map(|part| match part {
            Part::Field(field) if pattern.capture_names().flatten().all(|known| known != field) => Some(field),
            _ => None,
        });
        if let Some(field) = unknown {
            return Err(refuse(&format!("the input has no field `<{field}>`")));
        }
        Ok(Self { interval_s: i64::from(interval_s), method, pattern, output })
    }
}

impl Method {
    fn of(text: &str) -> Option<Self> {
        Some(match text {
            "sum" => Self::Sum,
            "avg" | "avg_zero" | "average" => Self::Average,
            "min" => Self::Min,
            "max" => Self::Max,
            "count" => Self::Count,
            "last" => Self::Last,
            // As carbon has it: p50, p75, .., p99, p999.
            _ => {
                let digits = text.strip_prefix('p').filter(|digits| (2..=4).contains(&digits.len()))?;
                Self::Quantile(digits.parse::<u32>().ok()? as f64 / 10_f64.powi(digits.len() as i32))
            }
        })
    }
}

impl Rule {
    /// The output that a series belongs to; `None` if the rule does not speak of it.
    pub fn output_of(&self, name: &str) -> Option<String> {
        let captures = self.pattern.captures(name)?;
        let output = self.output.iter().fold(String::new(), |output, part| match part {
            Part::Text(text) => output + text,
            Part::Field(field) => output + captures.name(field).map_or("", |found| found.as_str()),
        });
        // What an output matches itself would feed itself.
        (output != name).then_some(output)
    }
}

/// Carbon's patterns: `*` is any part of a name's part, `<field>` a part, `<<field>>` parts.
fn pattern_of(input: &str) -> Result<Regex, String> {
    let mut regex = "^".to_owned();
    let mut rest = input;
    while !rest.is_empty() {
        let wide = rest.strip_prefix("<<").and_then(|rest| rest.split_once(">>"));
        let narrow = rest.strip_prefix('<').and_then(|rest| rest.split_once('>'));
        if let Some((field, after)) = wide {
            regex += &format!("(?P<{field}>.+?)");
            rest = after;
        } else if let Some((field, after)) = narrow {
            regex += &format!("(?P<{field}>[^.]+?)");
            rest = after;
        } else {
            let first = rest.chars().next().unwrap_or_default();
            match first {
                '*' => regex += "[^.]*",
                _ => regex += &regex::escape(first.encode_utf8(&mut [0; 4])),
            }
            rest = &rest[first.len_utf8()..];
        }
    }
    regex.push('$');
    RegexBuilder::new(&regex)
        .size_limit(MAX_PATTERN_BYTES)
        .build()
        .map_err(|_| "a field's name is used twice or is no word".to_owned())
}

fn output_of(output: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = output;
    while let Some((text, after)) = rest.split_once('<') {
        let (field, after) = after.trim_start_matches('<').split_once('>')?;
        parts.push(Part::Text(text.to_owned()));
        parts.push(Part::Field(field.to_owned()));
        rest = after.trim_start_matches('>');
    }
    parts.push(Part::Text(rest.to_owned()));
    (!output.is_empty()).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rule: &str, name: &str, expected: Option<&str>) {
        assert_eq!(rule.parse::<Rule>().unwrap().output_of(name).as_deref(), expected, "{rule} on {name}");
    }

    #[test]
    fn the_examples_of_carbons_manual() {
        let rule = "<env>.applications.<app>.all.requests (60) = sum <env>.applications.<app>.*.requests";
        check(rule, "prod.applications.apache.www01.requests", Some("prod.applications.apache.all.requests"));
        check(rule, "prod.applications.apache.www01.errors", None);
        // Its own output, which the pattern takes as well.
        check(rule, "prod.applications.apache.all.requests", None);
        let wide = "<service>.all.<<tail>> (10) = p95 <service>.host-*.<<tail>>";
        check(wide, "web.host-7.cpu.user", Some("web.all.cpu.user"));
        check(wide, "web.node-7.cpu.user", None);
        assert_eq!(wide.parse::<Rule>().unwrap().method, Method::Quantile(0.95));
        assert_eq!("a (5) = p999 b".parse::<Rule>().unwrap().method, Method::Quantile(0.999));
        assert_eq!("a (5) = avg b".parse::<Rule>().unwrap().interval_s, 5);
    }

    #[test]
    fn what_is_no_rule_is_refused_with_the_reason() {
        for (rule, reason) in [
            ("a = sum b", "interval is missing"),
            ("a (60)", "write `output"),
            ("a (0) = sum b", "not 1 to 86400"),
            ("a (60) = median b", "the method is not"),
            ("a.<x> (60) = sum b.<y>", "no field `<x>`"),
            ("a (60) = sum <x>.<x>", "used twice"),
            ("a.<x (60) = sum <x>.b", "without its `>`"),
        ] {
            let error = rule.parse::<Rule>().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
