//! One output's datapoints by interval.

use std::collections::BTreeMap;

use super::rule::Method;
use crate::statsd::Sketch;

/// Intervals that are kept for late datapoints, as carbon's `MAX_AGGREGATION_INTERVALS`.
const MAX_INTERVALS: usize = 5;

/// The last intervals of one output.
#[derive(Debug)]
pub(super) struct Buckets {
    interval_s: i64,
    method: Method,
    buckets: BTreeMap<i64, Bucket>,
}

#[derive(Debug, Default)]
struct Bucket {
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
    last: f64,
    /// Kept for quantiles only.
    sketch: Sketch,
    changed: bool,
}

impl Buckets {
    pub fn new(interval_s: i64, method: Method) -> Self {
        Self { interval_s, method, buckets: BTreeMap::new() }
    }

    /// Adds a datapoint; false if its interval is older than all that are kept.
    pub fn add(&mut self, timestamp_s: i64, value: f64) -> bool {
        let start_s = timestamp_s - timestamp_s.rem_euclid(self.interval_s);
        let is_full = self.buckets.len() >= MAX_INTERVALS;
        if is_full && self.buckets.first_key_value().is_some_and(|(oldest, _)| start_s < *oldest) {
            return false;
        }
        let bucket = self.buckets.entry(start_s).or_insert_with(|| Bucket {
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            ..Bucket::default()
        });
        bucket.count += 1;
        bucket.sum += value;
        bucket.min = bucket.min.min(value);
        bucket.max = bucket.max.max(value);
        bucket.last = value;
        bucket.changed = true;
        if matches!(self.method, Method::Quantile(_)) {
            bucket.sketch.add(value);
        }
        true
    }

    /// Hands out the intervals that have ended by `now_s` and changed since they were last handed out, by their starts.
    /// Lets go of those past the bound.
    pub fn take(&mut self, now_s: i64, mut visit: impl FnMut(i64, f64)) {
        let ended = self.buckets.range_mut(..=now_s - self.interval_s);
        for (start_s, bucket) in ended.filter(|(_, bucket)| bucket.changed) {
            bucket.changed = false;
            visit(*start_s, bucket.value(self.method));
        }
        while self.buckets.len() > MAX_INTERVALS {
            self.buckets.pop_first();
        }
    }
}

impl Bucket {
    fn value(&self, method: Method) -> f64 {
        match method {
            Method::Sum => self.sum,
            Method::Average => self.sum / self.count as f64,
            Method::Min => self.min,
            Method::Max => self.max,
            Method::Count => self.count as f64,
            Method::Last => self.last,
            Method::Quantile(quantile) => self.sketch.quantile(quantile).unwrap_or(f64::NAN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(buckets: &mut Buckets, now_s: i64) -> Vec<(i64, f64)> {
        let mut taken = Vec::new();
        buckets.take(now_s, |start_s, value| taken.push((start_s, value)));
        taken
    }

    #[test]
    fn an_interval_is_handed_out_once_it_has_ended_and_again_when_it_changes() {
        let mut buckets = Buckets::new(60, Method::Sum);
        assert!(buckets.add(61, 1.0) && buckets.add(119, 2.0) && buckets.add(120, 4.0));
        assert_eq!(taken(&mut buckets, 119), []);
        assert_eq!(taken(&mut buckets, 120), [(60, 3.0)]);
        assert_eq!(taken(&mut buckets, 130), []);
        assert!(buckets.add(70, 10.0));
        assert_eq!(taken(&mut buckets, 180), [(60, 13.0), (120, 4.0)]);
    }

    #[test]
    fn what_is_older_than_the_kept_intervals_is_refused() {
        let mut buckets = Buckets::new(10, Method::Max);
        (1..=8).for_each(|n| assert!(buckets.add(10 * n, n as f64)));
        assert_eq!(taken(&mut buckets, 1000).len(), 8);
        assert!(!buckets.add(10, 1.0));
        assert!(buckets.add(85, 1.0));
    }

    #[test]
    fn every_method_says_what_it_is_called() {
        for (method, expected) in [
            (Method::Sum, 10.0),
            (Method::Average, 2.5),
            (Method::Min, 1.0),
            (Method::Max, 4.0),
            (Method::Count, 4.0),
            (Method::Last, 2.0),
        ] {
            let mut buckets = Buckets::new(10, method);
            [1.0, 4.0, 3.0, 2.0].into_iter().for_each(|value| assert!(buckets.add(5, value)));
            assert_eq!(taken(&mut buckets, 10), [(0, expected)], "{method:?}");
        }
        let mut buckets = Buckets::new(10, Method::Quantile(0.5));
        (1..=100).for_each(|value| assert!(buckets.add(5, f64::from(value))));
        assert!((taken(&mut buckets, 10)[0].1 / 50.0 - 1.0).abs() < Sketch::RELATIVE_ERROR);
    }
}
