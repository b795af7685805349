//! Datapoints of an interval rolled up into one bucket, from which any consolidation is right.

use std::str::FromStr;

use crate::{error::StoreError, point::Columns};

/// What is known of the datapoints in `[timestamp_s, timestamp_s + resolution)`. At least one datapoint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Where the interval begins, a multiple of its resolution, as in whisper.
    pub timestamp_s: i64,
    /// How many datapoints.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// The latest.
    pub last: f64,
    /// When that was.
    pub last_at_s: i64,
}

impl Bucket {
    /// The bucket of a single datapoint.
    pub fn of(timestamp_s: i64, value: f64, resolution_s: i64) -> Self {
        let start_s = floor(timestamp_s, resolution_s);
        Self { timestamp_s: start_s, count: 1, sum: value, min: value, max: value, last: value, last_at_s: timestamp_s }
    }

    /// Takes in the datapoints of another bucket; of two equally late ones `other`'s is the last.
    pub fn absorb(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        if other.last_at_s >= self.last_at_s {
            (self.last, self.last_at_s) = (other.last, other.last_at_s);
        }
    }

    /// The bucket as one number.
    pub fn value(&self, how: Consolidate) -> f64 {
        match how {
            Consolidate::Average => self.sum / self.count as f64,
            Consolidate::Sum => self.sum,
            Consolidate::Min => self.min,
            Consolidate::Max => self.max,
            Consolidate::Last => self.last,
            Consolidate::Count => self.count as f64,
        }
    }
}

/// How several datapoints become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consolidate {
    /// Their mean.
    #[default]
    Average,
    /// Their sum.
    Sum,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// The latest.
    Last,
    /// How many there are.
    Count,
}

impl Consolidate {
    /// What carbon's own `storage-aggregation.conf` says of a name: `.min` and `.lower` keep the smallest, `.max` and
    /// `.upper` the largest (with a percentile too, as in `.upper_90`), `.sum` and `.count` add up, all else is averaged.
    pub fn of_name(name: &str) -> Self {
        let path = name.split(';').next().unwrap_or(name);
        let last = path.rsplit('.').next().unwrap_or(path);
        let is = |word: &str| last == word || last.strip_prefix(word).is_some_and(|rest| rest.starts_with('_'));
        match last {
            _ if is("min") || is("lower") => Self::Min,
            _ if is("max") || is("upper") => Self::Max,
            _ if is("sum") || is("count") => Self::Sum,
            _ => Self::Average,
        }
    }
}

impl FromStr for Consolidate {
    type Err = StoreError;

    /// Reads `average` (or `avg`), `sum`, `min`, `max`, `last` or `count`.
    fn from_str(text: &str) -> Result<Self, StoreError> {
        Ok(match text {
            "average" | "avg" => Self::Average,
            "sum" => Self::Sum,
            "min" => Self::Min,
            "max" => Self::Max,
            "last" => Self::Last,
            "count" => Self::Count,
            _ => return Err(StoreError::Query(format!("`{text}` is not average, sum, min, max, last or count"))),
        })
    }
}

/// The multiple of `step_s` at or before a time.
pub(crate) fn floor(timestamp_s: i64, step_s: i64) -> i64 {
    timestamp_s.saturating_sub(timestamp_s.rem_euclid(step_s.max(1)))
}

/// Adds the buckets of datapoints that ascend in time.
pub(crate) fn roll_up(points: &Columns, resolution_s: i64, buckets: &mut Vec<Bucket>) {
    for (timestamp_s, value) in points.iter() {
        let next = Bucket::of(timestamp_s, value, resolution_s);
        match buckets.last_mut() {
            Some(bucket) if bucket.timestamp_s == next.timestamp_s => bucket.absorb(&next),
            _ => buckets.push(next),
        }
    }
}

/// Moves buckets to a resolution that theirs divides, sorts them, and makes one of those that speak of the same interval.
pub(crate) fn settle(buckets: &mut Vec<Bucket>, resolution_s: i64) {
    buckets.iter_mut().for_each(|bucket| bucket.timestamp_s = floor(bucket.timestamp_s, resolution_s));
    // Stable, so that of two equally late datapoints that of the later block stays the last.
    buckets.sort_by_key(|bucket| bucket.timestamp_s);
    buckets.dedup_by(|later, earlier| {
        let is_same = later.timestamp_s == earlier.timestamp_s;
        if is_same {
            earlier.absorb(later);
        }
        is_same
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_how_it_is_consolidated() {
        for (name, expected) in [
            ("stats.timers.x.upper_90", Consolidate::Max),
            ("a.lower", Consolidate::Min),
            ("stats_counts.x", Consolidate::Average),
            ("a.count;dc=eu", Consolidate::Sum),
            ("a.sum_99", Consolidate::Sum),
            ("a.summary", Consolidate::Average),
        ] {
            assert_eq!(Consolidate::of_name(name), expected, "{name}");
        }
    }

    #[test]
    fn buckets_of_buckets_are_the_buckets_of_all_points() {
        let points = Columns { timestamps: vec![-5, 3, 59, 60, 125, 601], values: vec![4.0, -1.0, 7.0, 2.0, 2.5, 0.0] };
        let (mut fine, mut coarse) = (Vec::new(), Vec::new());
        roll_up(&points, 60, &mut fine);
        roll_up(&points, 600, &mut coarse);
        fine.rotate_left(2);
        settle(&mut fine, 600);
        assert_eq!(fine, coarse);
        assert_eq!((fine[1].count, fine[1].sum, fine[1].last, fine[1].last_at_s), (4, 10.5, 2.5, 125));
    }
}
