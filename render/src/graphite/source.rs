//! Where series come from: a trait that the owner of a store implements.

use std::sync::Arc;

/// What a source says when it cannot read.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// A series that a source knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    /// Its canonical name.
    pub name: Arc<str>,
    /// The distance between its values over the window asked about, in seconds, at least 1.
    pub step_s: i64,
}

/// Reads series for targets.
pub trait Source {
    /// The series that match a path pattern (`*`, `?`, `[a-z]`, `{a,b}`, dots separate), in any order. A window, open at
    /// `from_s` and closed at `until_s`, decides which resolution is meant.
    ///
    /// # Errors
    /// When the names cannot be read.
    fn find(&self, pattern: &str, from_s: i64, until_s: i64) -> Result<Vec<Metric>, SourceError>;

    /// The series that fit all expressions of `seriesByTag`, each `tag=value`, `!=`, `=~` or `!=~`, in any order.
    ///
    /// # Errors
    /// When the names cannot be read, or an expression makes no sense.
    fn find_tagged(&self, expressions: &[String], from_s: i64, until_s: i64) -> Result<Vec<Metric>, SourceError>;

    /// The values of one series on the [`grid`] of its step over the window; NaN is a gap.
    ///
    /// # Errors
    /// When the values cannot be read.
    fn read(&self, metric: &Metric, from_s: i64, until_s: i64) -> Result<Vec<f64>, SourceError>;

    /// The times, in Unix seconds, of the events that carry all of the tags (of all events when there are none),
    /// from `from_s` up to but not at `until_s`.
    ///
    /// # Errors
    /// When the events cannot be read.
    fn events(&self, tags: &[String], from_s: i64, until_s: i64) -> Result<Vec<i64>, SourceError>;
}

/// The grid of a step over a window: its first time and its end, one step after its last.
///
/// As whisper has it, the first is the next multiple of the step after `from_s`, so that `from_s` itself is left out,
/// and `until_s` is within. There is always at least one.
pub fn grid(from_s: i64, until_s: i64, step_s: i64) -> (i64, i64) {
    let step_s = step_s.max(1);
    let next = |at: i64| at - at.rem_euclid(step_s) + step_s;
    let start = next(from_s);
    (start, next(until_s).max(start + step_s))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_left_out_and_the_end_is_within() {
        assert_eq!(grid(100, 160, 10), (110, 170));
        assert_eq!(grid(101, 159, 10), (110, 160));
        assert_eq!(grid(101, 101, 60), (120, 180));
    }
}
