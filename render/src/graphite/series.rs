//! A series between functions: a name, a grid of times, and a column of values.

use std::collections::BTreeMap;

use super::aggregate::Aggregate;

/// A series as functions take and give it.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What the legend calls it; functions wrap themselves around it.
    pub name: String,
    /// Its tags, `name` among them.
    pub tags: BTreeMap<String, String>,
    /// Time of the first value, in Unix seconds.
    pub start_s: i64,
    /// The end of the grid in Unix seconds, one step after the last value's.
    pub end_s: i64,
    /// The distance between values in seconds, at least 1.
    pub step_s: i64,
    /// The values; NaN is a gap.
    pub values: Vec<f64>,
    /// How values become fewer.
    pub consolidation: Consolidation,
    /// The pattern or call that it came from; combiners name their result by it.
    pub path_expression: String,
    /// The least share of values that a bucket needs to have a value itself.
    pub x_files_factor: f64,
    /// How it is to be drawn.
    pub options: Options,
}

/// What the graph functions ask of a picture.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// `color`.
    pub color: Option<String>,
    /// `alpha`, `0.0..=1.0`.
    pub alpha: Option<f64>,
    /// `lineWidth`, in pixels.
    pub line_width: Option<f64>,
    /// `dashed`, in pixels.
    pub dashed: Option<f64>,
    /// `drawAsInfinite`.
    pub infinite: bool,
    /// `secondYAxis`.
    pub second_axis: bool,
    /// `stacked`, and the lower edge of `areaBetween`.
    pub stacked: bool,
    /// The lower edge of `areaBetween`: takes room, is not drawn.
    pub invisible: bool,
}

/// How several values become one when there are more than asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Consolidation {
    /// Their mean, gaps left out.
    #[default]
    Average,
    /// Their mean, gaps counted as zeros.
    AverageZero,
    /// Their sum.
    Sum,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// The first that is not a gap.
    First,
    /// The last that is not a gap.
    Last,
}

impl Consolidation {
    /// Every name that `consolidateBy` takes.
    pub const NAMES: [&str; 8] = ["sum", "average", "avg", "avg_zero", "min", "max", "first", "last"];

    /// The one of a name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "average" | "avg" => Self::Average,
            "avg_zero" => Self::AverageZero,
            "sum" => Self::Sum,
            "min" => Self::Min,
            "max" => Self::Max,
            "first" => Self::First,
            "last" => Self::Last,
            _ => return None,
        })
    }

    /// One value for several; a gap when they are all gaps.
    fn over(self, values: &[f64]) -> f64 {
        match self {
            Self::Average => Aggregate::Average.over(values),
            Self::AverageZero => Aggregate::AverageZero.over(values),
            Self::Sum => Aggregate::Sum.over(values),
            Self::Min => Aggregate::Min.over(values),
            Self::Max => Aggregate::Max.over(values),
            Self::First => values.iter().copied().find(|value| !value.is_nan()).unwrap_or(f64::NAN),
            Self::Last => Aggregate::Last.over(values),
        }
    }
}

impl Series {
    /// A series on a grid from `start_s`.
    pub fn new(name: impl Into<String>, start_s: i64, end_s: i64, step_s: i64, values: Vec<f64>) -> Self {
        let name = name.into();
        Self {
            tags: tags(&name),
            path_expression: name.clone(),
            name,
            start_s,
            end_s,
            step_s: step_s.max(1),
            values,
            consolidation: Consolidation::default(),
            x_files_factor: 0.0,
            options: Options::default(),
        }
    }

    /// The times of the values.
    pub fn timestamps_s(&self) -> impl Iterator<Item = i64> + '_ {
        (0..self.values.len() as i64).map(|index| self.start_s.saturating_add(index.saturating_mul(self.step_s)))
    }

    /// One value for each `n`, by the series' own function; the last bucket may have fewer. A bucket with a smaller share
    /// of values than its `x_files_factor` is a gap.
    pub fn consolidated(&self, n: usize) -> Vec<f64> {
        if n <= 1 {
            return self.values.clone();
        }
        let bucket = |values: &[f64]| {
            let present = values.iter().filter(|value| !value.is_nan()).count();
            let enough = present > 0 && present as f64 / n as f64 >= self.x_files_factor;
            if enough { self.consolidation.over(values) } else { f64::NAN }
        };
        self.values.chunks(n).map(bucket).collect()
    }

    /// Makes the values at most about `max_points`, as graphite-web does for `maxDataPoints` over a window of `window_s`:
    /// buckets begin at multiples of their own length, so that a graph does not jitter as its window moves.
    pub fn limit_points(&mut self, max_points: usize, window_s: i64) {
        if max_points == 0 || self.values.is_empty() {
            return;
        }
        if max_points == 1 {
            self.values = self.consolidated(self.values.len());
            self.step_s = (self.end_s - self.start_s).max(1);
            return;
        }
        let n_points = window_s as f64 / self.step_s as f64;
        if max_points as f64 >= n_points {
            return;
        }
        let per_point = (n_points / max_points as f64).ceil() as i64;
        let bucket_s = per_point.saturating_mul(self.step_s);
        let nudge_s = bucket_s + self.start_s.rem_euclid(self.step_s) - self.start_s.rem_euclid(bucket_s);
        // graphite-web drops one value fewer than the nudge spans; the times must agree with it, so we do as well.
        let lost = (nudge_s / self.step_s - 1).max(0) as usize;
        self.start_s += nudge_s;
        self.values.drain(..lost.min(self.values.len()));
        self.values = self.consolidated(per_point as usize);
        self.step_s = bucket_s;
        // Values past the end of the window have no time to stand at.
        let room = ((self.end_s - self.start_s).div_euclid(bucket_s) + 1).max(0) as usize;
        self.values.truncate(room);
    }

    /// The same series under another name, from which combiners name theirs as well.
    pub(super) fn renamed(mut self, name: String) -> Self {
        self.path_expression.clone_from(&name);
        self.name = name;
        self
    }

    /// The same series with a tag.
    pub(super) fn tagged(mut self, tag: &str, value: impl ToString) -> Self {
        self.tags.insert(tag.to_owned(), value.to_string());
        self
    }

    /// Puts each value that is not a gap through `change`, whose NaN makes a gap.
    pub(super) fn map(mut self, change: impl Fn(f64) -> f64) -> Self {
        for value in &mut self.values {
            *value = change(*value);
        }
        self
    }

    /// A new column on the same grid, with nothing asked of a picture.
    pub(super) fn derived(&self, name: String, values: Vec<f64>) -> Self {
        Self { values, path_expression: name.clone(), name, options: Options::default(), ..self.without_values() }
    }

    /// Everything but the values.
    pub(super) fn without_values(&self) -> Self {
        Self {
            name: self.name.clone(),
            tags: self.tags.clone(),
            values: Vec::new(),
            path_expression: self.path_expression.clone(),
            options: self.options.clone(),
            ..*self
        }
    }
}

/// The tags of a name: those after its semicolons, and `name` itself.
pub(super) fn tags(name: &str) -> BTreeMap<String, String> {
    let mut parts = name.split(';');
    let mut tags = BTreeMap::new();
    if name.ends_with(')') {
        // The name of a call is no tagged series, whatever stands within.
        tags.insert("name".to_owned(), name.to_owned());
        return tags;
    }
    tags.insert("name".to_owned(), parts.next().unwrap_or_default().to_owned());
    tags.extend(parts.filter_map(|part| part.split_once('=')).map(|(tag, value)| (tag.to_owned(), value.to_owned())));
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_begin_at_multiples_of_their_length() {
        let mut series = Series::new("a", 70, 130, 10, vec![7.0, 8.0, 9.0, 10.0, 11.0, 12.0]);
        series.limit_points(3, 60);
        assert_eq!((series.start_s, series.step_s), (80, 20));
        assert_eq!(series.values, [7.5, 9.5, 11.5]);
        let mut enough = Series::new("a", 70, 130, 10, vec![7.0; 6]);
        enough.limit_points(6, 60);
        assert_eq!((enough.start_s, enough.step_s, enough.values.len()), (70, 10, 6));
    }

    #[test]
    fn a_bucket_needs_its_share_of_values() {
        let mut series = Series::new("a", 0, 40, 10, vec![1.0, f64::NAN, 3.0, 5.0]);
        assert_eq!(series.consolidated(2), [1.0, 4.0]);
        series.x_files_factor = 0.6;
        assert!(series.consolidated(2)[0].is_nan());
    }
}
