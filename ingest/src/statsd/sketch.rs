//! A mergeable sketch of a distribution: any quantile to within 0.4 %, in bounded space.

use std::cmp::Ordering;

/// Bits of a double's mantissa that a bucket keeps: 2^7 buckets to each power of two.
const MANTISSA_BITS: u32 = 7;
/// What a bucket drops of a double.
const DROPPED_BITS: u32 = 52 - MANTISSA_BITS;
/// Most buckets of one sketch. 2,048 span sixteen powers of two: a microsecond to 65 ms, or a millisecond to a minute.
pub const MAX_BUCKETS: usize = 2048;

/// The distribution of a timer's values within an interval, or of many intervals merged.
///
/// As DDSketch (Masson et al., VLDB 2019) it counts values in buckets whose width is a share of their size, which keeps
/// the relative error of each quantile below [`Sketch::RELATIVE_ERROR`]. The bucket is the double's exponent and its
/// first seven mantissa bits, as in HdrHistogram: no logarithm is taken, and equal values share a bucket on every machine.
/// Past `MAX_BUCKETS` the lowest buckets collapse into one, so that the tail stays exact.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sketch {
    /// Bucket number and count, ascending by number; counts are above 0.
    buckets: Vec<(i32, u64)>,
    count: u64,
}

impl Sketch {
    /// Bound of a quantile's error as a share of its value, while nothing has collapsed.
    pub const RELATIVE_ERROR: f64 = 1.0 / 256.0;

    /// The sketch of values in ascending order, none of them NaN.
    pub fn of_sorted(values: &[f64]) -> Self {
        let mut sketch = Self::default();
        for value in values {
            let bucket = bucket(*value);
            match sketch.buckets.last_mut() {
                Some((last, count)) if *last == bucket => *count += 1,
                _ => sketch.buckets.push((bucket, 1)),
            }
        }
        sketch.count = values.len() as u64;
        sketch.collapse();
        sketch
    }

    /// Counts one value; NaN is passed over.
    pub fn add(&mut self, value: f64) {
        if value.is_nan() {
            return;
        }
        let bucket = bucket(value);
        match self.buckets.binary_search_by_key(&bucket, |(number, _)| *number) {
            Ok(at) => self.buckets[at].1 += 1,
            Err(at) => {
                self.buckets.insert(at, (bucket, 1));
                self.collapse();
            }
        }
        self.count += 1;
    }

    /// Adds what another sketch counted. The result is that of counting both sets of values, in any order.
    pub fn merge(&mut self, other: &Sketch) {
        let mut merged = Vec::with_capacity(self.buckets.len() + other.buckets.len());
        let (mut left, mut right) = (&self.buckets[..], &other.buckets[..]);
        while let ([a, after_a @ ..], [b, after_b @ ..]) = (left, right) {
            match a.0.cmp(&b.0) {
                Ordering::Equal => {
                    merged.push((a.0, a.1 + b.1));
                    (left, right) = (after_a, after_b);
                }
                Ordering::Less => {
                    merged.push(*a);
                    left = after_a;
                }
                Ordering::Greater => {
                    merged.push(*b);
                    right = after_b;
                }
            }
        }
        merged.extend_from_slice(left);
        merged.extend_from_slice(right);
        self.buckets = merged;
        self.count += other.count;
        self.collapse();
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The value at `quantile` in `0.0..=1.0`, by nearest rank; `None` if nothing was counted.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let rank = (quantile.clamp(0.0, 1.0) * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let found = self.buckets.iter().find(|(_, count)| {
            seen += count;
            seen >= rank
        });
        found.or(self.buckets.last()).map(|(number, _)| middle(*number))
    }

    /// How many values lie above `threshold`, to within the bucket that holds it, which counts as not above.
    pub fn count_above(&self, threshold: f64) -> u64 {
        let at = self.buckets.partition_point(|(number, _)| *number <= bucket(threshold));
        self.buckets[at..].iter().map(|(_, count)| count).sum()
    }

    /// The buckets in ascending order: the value in the middle of each and its count.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        self.buckets.iter().map(|(number, count)| (middle(*number), *count))
    }

    fn collapse(&mut self) {
        let excess = self.buckets.len().saturating_sub(MAX_BUCKETS);
        if excess > 0 {
            let collapsed: u64 = self.buckets.drain(..excess).map(|(_, count)| count).sum();
            self.buckets[0].1 += collapsed;
        }
    }
}

/// Number of the bucket that holds a value. Ascends with the value; 0 holds zero, negative values mirror positive ones.
fn bucket(value: f64) -> i32 {
    // Doubles of one sign ascend with their bits; 11 + 7 bits fit an i32 easily. Subnormals share zero's bucket.
    let magnitude = (value.abs().to_bits() >> DROPPED_BITS) as i32;
    let magnitude = (magnitude - (1 << MANTISSA_BITS) + 1).max(0);
    if value < 0.0 { -magnitude } else { magnitude }
}

/// The middle of a bucket.
fn middle(number: i32) -> f64 {
    if number == 0 {
        return 0.0;
    }
    let lower = (i64::from(number.abs()) + (1 << MANTISSA_BITS) - 1) as u64;
    let middle = f64::from_bits((lower << DROPPED_BITS) | (1 << (DROPPED_BITS - 1)));
    middle.copysign(f64::from(number))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn quantiles_are_within_the_relative_error(mut values in proptest::collection::vec(-1e6f64..1e6, 1..300), quantile in 0f64..1.0) {
            values.sort_by(f64::total_cmp);
            let exact = values[((quantile * values.len() as f64).ceil().max(1.0) as usize) - 1];
            let estimate = Sketch::of_sorted(&values).quantile(quantile).unwrap();
            prop_assert!((estimate - exact).abs() <= Sketch::RELATIVE_ERROR * exact.abs(), "{} for {}", estimate, exact);
        }

        #[test]
        fn merged_is_as_counted_together(left in proptest::collection::vec(0f64..1e4, 0..100), right in proptest::collection::vec(0f64..1e4, 0..100)) {
            let of = |values: &[f64]| values.iter().fold(Sketch::default(), |mut sketch, value| { sketch.add(*value); sketch });
            let mut merged = of(&left);
            merged.merge(&of(&right));
            let mut all = [left, right].concat();
            all.sort_by(f64::total_cmp);
            prop_assert_eq!(&merged, &Sketch::of_sorted(&all));
            prop_assert_eq!(merged.count(), all.len() as u64);
        }
    }

    #[test]
    fn space_is_bounded_and_the_tail_stays() {
        let values: Vec<f64> = (0..100_000).map(|n| 1.001f64.powi(n % 40_000)).collect();
        let mut sketch = Sketch::default();
        values.iter().for_each(|value| sketch.add(*value));
        assert_eq!(sketch.buckets().count(), MAX_BUCKETS);
        assert_eq!(sketch.count(), 100_000);
        let largest = 1.001f64.powi(39_999);
        assert!((sketch.quantile(1.0).unwrap() / largest - 1.0).abs() < Sketch::RELATIVE_ERROR);
    }

    #[test]
    fn nothing_counted_has_no_quantile() {
        assert_eq!(Sketch::default().quantile(0.5), None);
        assert_eq!(Sketch::of_sorted(&[0.0]).quantile(0.5), Some(0.0));
    }

    #[test]
    fn the_tail_above_a_threshold_is_counted() {
        assert_eq!(Sketch::of_sorted(&[1.0, 2.0, 50.0, 900.0]).count_above(10.0), 2);
    }
}
