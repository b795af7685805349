//! How long datapoints are kept, at which resolution: Graphite's `10s:6h,1m:7d,10m:1y`.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{error::StoreError, glob::Glob};

/// Datapoints of one resolution and how long they stay. Written `RESOLUTION:KEEP`, as in `10s:6h`.
///
/// Both are whole seconds with a unit `s`, `m`, `h`, `d`, `w` or `y` (365 days), or without one. As in carbon, a
/// second part without a unit is a number of datapoints (`60:1440` is a day of minutes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Seconds from one datapoint to the next, at least 1.
    pub resolution_s: u32,
    /// Seconds for which they stay, at least one resolution.
    pub keep_s: u64,
}

/// One `[[retention]]` of the configuration. Of all rules the first whose pattern matches a series decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionRule {
    /// A glob over whole names, in which `*` spans dots as well.
    #[serde(rename = "match")]
    pub pattern: String,
    /// From fine to coarse; each resolution divides the next and each stays longer than the one before.
    pub keep: Vec<Keep>,
}

impl RetentionRule {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// When there is no archive, or the archives do not go from fine and short to coarse and long by whole factors.
    pub fn check(&self) -> Result<(), StoreError> {
        let refuse = |reason| {
            let text = self.keep.iter().map(Keep::to_string).collect::<Vec<_>>().join(",");
            Err(StoreError::Retention { text, reason })
        };
        if self.keep.is_empty() {
            return refuse("at least one `resolution:keep` is needed");
        }
        for pair in self.keep.windows(2) {
            let (fine, coarse) = (pair[0], pair[1]);
            if coarse.resolution_s <= fine.resolution_s || coarse.resolution_s % fine.resolution_s != 0 {
                return refuse("each resolution must be a multiple of the one before");
            }
            if coarse.keep_s <= fine.keep_s {
                return refuse("a coarser resolution must be kept longer than the one before");
            }
        }
        Ok(())
    }

    /// Whether this rule speaks of the series.
    pub fn matches(&self, name: &str) -> bool {
        Glob::new(&self.pattern).matches(name)
    }

    /// The longest that anything stays, in seconds.
    pub fn longest_s(&self) -> u64 {
        self.keep.iter().map(|keep| keep.keep_s).max().unwrap_or(0)
    }
}

/// Which rule of a [`Policy`].
pub(crate) type RuleId = u16;

/// No rule: a number that names no series.
pub(crate) const NO_RULE: RuleId = RuleId::MAX;

/// All rules, compiled. What none of them matches is kept by the default ones, which match everything.
#[derive(Debug, Default)]
pub(crate) struct Policy {
    rules: Vec<(Glob, Vec<Keep>)>,
}

impl Policy {
    pub fn new(rules: &[RetentionRule]) -> Result<Self, StoreError> {
        rules.iter().try_for_each(RetentionRule::check)?;
        if rules.len() >= usize::from(NO_RULE) {
            let text = format!("{} rules", rules.len());
            return Err(StoreError::Retention { text, reason: "there are too many `[[retention]]`" });
        }
        let all = rules.iter().cloned().chain(default_retention());
        Ok(Self { rules: all.map(|rule| (Glob::new(&rule.pattern), rule.keep)).collect() })
    }

    /// The first rule that matches a name.
    pub fn rule_of(&self, name: &str) -> RuleId {
        let found = self.rules.iter().position(|(glob, _)| glob.matches(name));
        // The last one matches everything; an empty policy is that of no store.
        found.unwrap_or(0) as RuleId
    }

    pub fn keep(&self, rule: RuleId) -> &[Keep] {
        self.rules.get(usize::from(rule)).map_or(&[], |(_, keep)| keep)
    }

    /// Seconds for which each rule keeps anything.
    pub fn longest_s(&self) -> Vec<i64> {
        let longest = |keep: &[Keep]| keep.iter().map(|keep| keep.keep_s).max().unwrap_or(0);
        self.rules.iter().map(|(_, keep)| i64::try_from(longest(keep)).unwrap_or(i64::MAX)).collect()
    }
}

/// The archive that answers for a time that began `age_s` seconds ago: the finest that reaches back so far, else the
/// longest, as in Graphite.
pub(crate) fn archive_for(keep: &[Keep], age_s: i64) -> usize {
    let reaches = |keep: &Keep| i64::try_from(keep.keep_s).unwrap_or(i64::MAX) >= age_s;
    keep.iter().position(reaches).unwrap_or(keep.len().saturating_sub(1))
}

/// The rules of a configuration that says nothing: ten seconds for 6 hours, minutes for a week, ten minutes for a year.
pub fn default_retention() -> Vec<RetentionRule> {
    let keep = |resolution_s, keep_s| Keep { resolution_s, keep_s };
    let keep = vec![keep(10, 6 * 3600), keep(60, 7 * 86_400), keep(600, 365 * 86_400)];
    vec![RetentionRule { pattern: "*".to_owned(), keep }]
}

/// Parses Graphite's one-line form, `10s:6h,1m:7d,10m:1y`.
///
/// # Errors
/// [`StoreError::Retention`] with what is wrong.
pub fn parse_archives(text: &str) -> Result<Vec<Keep>, StoreError> {
    text.split(',').map(|part| part.trim().parse()).collect()
}

impl FromStr for Keep {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let refuse = |reason| StoreError::Retention { text: text.to_owned(), reason };
        let (resolution, keep) =
            text.split_once(':').ok_or_else(|| refuse("write `resolution:keep`, as in `10s:6h`"))?;
        let resolution_s = seconds(resolution).ok_or_else(|| refuse("the resolution is no duration"))?.0;
        let (amount, has_unit) = seconds(keep).ok_or_else(|| refuse("the time to keep is no duration"))?;
        let keep_s = if has_unit { Some(amount) } else { amount.checked_mul(resolution_s) };
        let keep_s = keep_s.ok_or_else(|| refuse("the time to keep is too long"))?;
        let resolution_s = u32::try_from(resolution_s).map_err(|_| refuse("the resolution is too coarse"))?;
        if resolution_s == 0 || keep_s < u64::from(resolution_s) {
            return Err(refuse("the time to keep is shorter than the resolution"));
        }
        Ok(Self { resolution_s, keep_s })
    }
}

/// Parses a duration such as `2h`, `90s`, `1d` or `250ms`, as the configuration writes them.
///
/// # Errors
/// When the text is something else, with what was expected.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    if let Some(millis) = text.trim().strip_suffix("ms") {
        return millis.trim().parse().map(Duration::from_millis).map_err(|_| format!("`{text}` is no duration"));
    }
    match seconds(text) {
        Some((seconds, true)) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("`{text}` is no duration: write a whole number and s, m, h, d, w or y, as in `2h`")),
    }
}

/// Seconds, and whether a unit stood there.
fn seconds(text: &str) -> Option<(u64, bool)> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let amount: u64 = text[..digits].parse().ok()?;
    let factor = match text[digits..].trim() {
        "" => return Some((amount, false)),
        // Carbon takes any prefix of the word: `min`, `hours`.
        unit if "seconds".starts_with(unit) => 1,
        unit if "minutes".starts_with(unit) => 60,
        unit if "hours".starts_with(unit) => 3600,
        unit if "days".starts_with(unit) => 86_400,
        unit if "weeks".starts_with(unit) => 7 * 86_400,
        unit if "years".starts_with(unit) => 365 * 86_400,
        _ => return None,
    };
    amount.checked_mul(factor).filter(|seconds| *seconds <= i64::MAX as u64).map(|seconds| (seconds, true))
}

/// A duration in the largest unit that holds it whole.
fn write_seconds(seconds: u64) -> String {
    let units = [(365 * 86_400, 'y'), (86_400, 'd'), (3600, 'h'), (60, 'm')];
    match units.iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit)) {
        Some((unit, letter)) => format!("{}{letter}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", write_seconds(u64::from(self.resolution_s)), write_seconds(self.keep_s))
    }
}

impl Serialize for Keep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Keep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Durations as texts in the configuration, for `#[serde(with = "retention::duration")]`.
pub mod duration {
    use super::*;

    /// Writes `2h`.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&write_seconds(duration.as_secs()))
    }

    /// Reads `2h`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        parse_duration(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let told = match parse_archives(text) {
            Ok(keep) => match (RetentionRule { pattern: "*".to_owned(), keep: keep.clone() }).check() {
                Ok(()) => keep.iter().map(Keep::to_string).collect::<Vec<_>>().join(","),
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        assert_eq!(told, expected);
    }

    #[test]
    fn graphites_own_forms_are_understood() {
        check("10s:6h,1m:7d,10m:1y", "10s:6h,1m:7d,10m:1y");
        check("60:1440", "1m:1d");
        check("15s:7d, 1min:21d", "15s:7d,1m:21d");
        check("1h:90days", "1h:90d");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        check("10s", "`10s` is no retention: write `resolution:keep`, as in `10s:6h`");
        check("0s:1d", "`0s:1d` is no retention: the time to keep is shorter than the resolution");
        check("10q:1d", "`10q:1d` is no retention: the resolution is no duration");
        check("10s:6h,15s:7d", "`10s:6h,15s:7d` is no retention: each resolution must be a multiple of the one before");
        check(
            "10s:6h,60s:1h",
            "`10s:6h,1m:1h` is no retention: a coarser resolution must be kept longer than the one before",
        );
        check(
            "10s:99999999999999999999y",
            "`10s:99999999999999999999y` is no retention: the time to keep is no duration",
        );
    }
}
