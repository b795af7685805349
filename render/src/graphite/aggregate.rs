//! One value for many: the aggregation functions that targets name.

/// An aggregation function. Gaps are left out; of nothing but gaps it is a gap, but for [`Aggregate::Count`] and [`Aggregate::AverageZero`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    /// The mean.
    Average,
    /// The mean with gaps counted as zeros.
    AverageZero,
    /// The middle value, or the mean of the middle two.
    Median,
    /// The sum.
    Sum,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// The first less all the others.
    Diff,
    /// The standard deviation of the whole population.
    StdDev,
    /// How many there are.
    Count,
    /// The greatest less the least.
    Range,
    /// The product; a gap if any is one.
    Multiply,
    /// The last.
    Last,
}

impl Aggregate {
    /// Every name, aliases among them, as `/functions` lists them.
    pub const NAMES: [&str; 16] = [
        "average", "avg", "avg_zero", "count", "current", "diff", "last", "max", "median", "min", "multiply", "range",
        "rangeOf", "stddev", "sum", "total",
    ];

    /// The one of a name; a trailing `Series` is taken off, as in `sumSeries`.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name.strip_suffix("Series").unwrap_or(name) {
            "average" | "avg" => Self::Average,
            "avg_zero" => Self::AverageZero,
            "median" => Self::Median,
            "sum" | "total" => Self::Sum,
            "min" => Self::Min,
            "max" => Self::Max,
            "diff" => Self::Diff,
            "stddev" => Self::StdDev,
            "count" => Self::Count,
            "range" | "rangeOf" => Self::Range,
            "multiply" => Self::Multiply,
            "last" | "current" => Self::Last,
            _ => return None,
        })
    }

    /// One value for these; NaN is a gap.
    pub fn over(self, values: &[f64]) -> f64 {
        let present = || values.iter().copied().filter(|value| !value.is_nan());
        let count = || present().count() as f64;
        // An empty sum is a gap, not 0.
        let sum = || present().reduce(|sum, value| sum + value).unwrap_or(f64::NAN);
        match self {
            Self::Sum => sum(),
            Self::Average => sum() / count(),
            Self::AverageZero => present().sum::<f64>() / values.len() as f64,
            Self::Min => present().reduce(f64::min).unwrap_or(f64::NAN),
            Self::Max => present().reduce(f64::max).unwrap_or(f64::NAN),
            Self::Last => values.iter().copied().rev().find(|value| !value.is_nan()).unwrap_or(f64::NAN),
            Self::Count => count(),
            Self::Range => Self::Max.over(values) - Self::Min.over(values),
            Self::Diff => present().reduce(|left, value| left - value).unwrap_or(f64::NAN),
            Self::Multiply if values.iter().any(|value| value.is_nan()) => f64::NAN,
            Self::Multiply => values.iter().copied().reduce(|product, value| product * value).unwrap_or(f64::NAN),
            Self::StdDev => {
                let mean = sum() / count();
                (present().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count()).sqrt()
            }
            Self::Median => {
                let mut sorted: Vec<f64> = present().collect();
                sorted.sort_unstable_by(f64::total_cmp);
                match sorted.len() {
                    0 => f64::NAN,
                    n if n % 2 == 1 => sorted[n / 2],
                    n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
                }
            }
        }
    }

    /// One column for many, row by row; shorter columns end in gaps. A row whose share of values is under
    /// `x_files_factor`, or that has none, is a gap.
    pub(super) fn across(self, columns: &[&[f64]], x_files_factor: f64) -> Vec<f64> {
        let n_rows = columns.iter().map(|column| column.len()).max().unwrap_or(0);
        let mut result = vec![f64::NAN; n_rows];
        let mut counts = vec![0u32; n_rows];
        // Column by column keeps to the order of memory; the additions are those of row by row.
        match self {
            // A negative zero plus anything is that thing, as the first of a sum is.
            Self::Sum | Self::Average => {
                fold(columns, &mut result, &mut counts, -0.0, |sum, value| sum + value);
                if self == Self::Average {
                    result.iter_mut().zip(&counts).for_each(|(sum, count)| *sum /= f64::from(*count));
                }
            }
            Self::Min => {
                fold(
                    columns,
                    &mut result,
                    &mut counts,
                    f64::INFINITY,
                    |least, value| if value < least { value } else { least },
                )
            }
            Self::Max => {
                fold(
                    columns,
                    &mut result,
                    &mut counts,
                    f64::NEG_INFINITY,
                    |most, value| if value > most { value } else { most },
                )
            }
            _ => {
                let mut row = Vec::with_capacity(columns.len());
                for (index, (result, count)) in result.iter_mut().zip(&mut counts).enumerate() {
                    row.clear();
                    row.extend(columns.iter().map(|column| column.get(index).copied().unwrap_or(f64::NAN)));
                    *count = row.iter().filter(|value| !value.is_nan()).count() as u32;
                    *result = self.over(&row);
                }
            }
        }
        for (value, count) in result.iter_mut().zip(counts) {
            if count == 0 || f64::from(count) / (columns.len() as f64) < x_files_factor {
                *value = f64::NAN;
            }
        }
        result
    }
}

/// Folds columns into one, gaps left out, and counts the values of each row. Without a branch in it, so that the
/// processor takes several rows at once.
fn fold(columns: &[&[f64]], result: &mut [f64], counts: &mut [u32], start: f64, fold: impl Fn(f64, f64) -> f64) {
    result.fill(start);
    for column in columns {
        for ((value, result), count) in column.iter().zip(&mut *result).zip(&mut *counts) {
            let is_there = !value.is_nan();
            let folded = fold(*result, *value);
            *result = if is_there { folded } else { *result };
            *count += u32::from(is_there);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_left_out() {
        let values = [3.0, f64::NAN, 1.0, 8.0];
        for (name, expected) in [
            ("sum", 12.0),
            ("avg", 4.0),
            ("avg_zero", 3.0),
            ("median", 3.0),
            ("minSeries", 1.0),
            ("max", 8.0),
            ("diff", -6.0),
            ("count", 3.0),
            ("rangeOf", 7.0),
            ("current", 8.0),
        ] {
            assert_eq!(Aggregate::named(name).unwrap().over(&values), expected, "{name}");
        }
        assert!(Aggregate::Multiply.over(&values).is_nan());
        assert!(Aggregate::Sum.over(&[f64::NAN]).is_nan() && Aggregate::StdDev.over(&[]).is_nan());
    }

    #[test]
    fn columns_equal_rows() {
        let columns: [&[f64]; 3] = [&[1.0, f64::NAN, 3.0], &[4.0, f64::NAN], &[7.0, f64::NAN, 9.0]];
        for name in Aggregate::NAMES {
            let aggregate = Aggregate::named(name).unwrap();
            let fast = aggregate.across(&columns, 0.0);
            for (index, value) in fast.iter().enumerate() {
                let row: Vec<f64> =
                    columns.iter().map(|column| column.get(index).copied().unwrap_or(f64::NAN)).collect();
                let slow = if index == 1 { f64::NAN } else { aggregate.over(&row) };
                assert!(*value == slow || value.is_nan() && slow.is_nan(), "{name} row {index}: {value} {slow}");
            }
        }
        assert!(Aggregate::Sum.across(&columns, 0.9)[2].is_nan());
    }
}
