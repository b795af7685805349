//! What a flush says of one timer: Etsy's figures, from all the values or, past the memory bound, from a sketch.

use super::sketch::Sketch;

/// One configured percentile.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Percentile {
    value: f64,
}

impl Percentile {
    /// `value` in `-100.0..=100.0`, not 0.
    pub(crate) fn new(value: f64) -> Self {
        Self { value }
    }

    /// How Etsy writes it in a name: `99_9`, `top10`.
    fn label(&self) -> String {
        self.value.to_string().replacen('.', "_", 1).replacen('-', "top", 1)
    }

    /// How many of `n` values lie within it; 0 means that nothing is said.
    fn rank(&self, n: usize) -> usize {
        if n == 1 { 1 } else { (self.value.abs() / 100.0 * n as f64).round() as usize }
    }
}

/// Keys of the figures that every timer has, in the order of [`summarise`]'s output.
const KEYS: [&str; 9] = ["count", "count_ps", "lower", "upper", "mean", "median", "std", "sum", "sum_squares"];
/// Figures of each percentile.
const PER_PERCENTILE: usize = 5;

/// The keys of all figures in the order of [`summarise`]'s output.
pub(crate) fn keys(percentiles: &[Percentile]) -> Vec<String> {
    let of_percentile = |percentile: &Percentile| {
        let label = percentile.label();
        let bound = if percentile.value > 0.0 { "upper" } else { "lower" };
        ["count", "mean", bound, "sum", "sum_squares"].map(|figure| format!("{figure}_{label}"))
    };
    KEYS.iter().map(|key| (*key).to_owned()).chain(percentiles.iter().flat_map(of_percentile)).collect()
}

/// The key's form in `timer_metrics`: percentiles as `_percent`.
pub(crate) fn generic_key(key: &str) -> String {
    match KEYS.contains(&key) {
        true => key.to_owned(),
        false => {
            let digits = key.find(|c: char| c.is_ascii_digit()).unwrap_or(key.len());
            format!("{}_percent", key[..digits].trim_end_matches("top").trim_end_matches('_'))
        }
    }
}

/// Values of one timer that were not kept one by one: their sums are exact, their distribution is a sketch.
#[derive(Debug, Clone, Default)]
pub(crate) struct Folded {
    n: u64,
    sum: f64,
    sum_squares: f64,
    lower: f64,
    upper: f64,
    sketch: Sketch,
}

impl Folded {
    pub(crate) fn add(&mut self, value: f64) {
        self.lower = if self.n == 0 { value } else { self.lower.min(value) };
        self.upper = if self.n == 0 { value } else { self.upper.max(value) };
        self.n += 1;
        self.sum += value;
        self.sum_squares += value * value;
        self.sketch.add(value);
    }

    /// These and `values` together.
    pub(crate) fn with(&self, values: &[f64]) -> Self {
        let mut all = self.clone();
        values.iter().for_each(|value| all.add(*value));
        all
    }

    pub(crate) fn sketch(&self) -> &Sketch {
        &self.sketch
    }

    /// How many values lie below a histogram's bound, to within the bucket that holds it.
    pub(crate) fn n_below(&self, bound: f64) -> u64 {
        self.sketch.buckets().take_while(|(value, _)| *value < bound).map(|(_, count)| count).sum()
    }
}

/// Buffers of [`summarise`], kept from timer to timer.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    sums: Vec<f64>,
    sums_of_squares: Vec<f64>,
}

/// Writes the figures of one timer to `out`, in the order of [`keys`]; `None` where nothing is said.
///
/// `values` ascend and are not empty. `count` is the number of observations that they stand for, each scaled by its sample rate; sums and
/// means are of the values themselves, as in Etsy's `process_metrics.js`, whose order of additions this keeps so that the last digit agrees.
pub(crate) fn summarise(
    values: &[f64],
    count: f64,
    interval_s: f64,
    percentiles: &[Percentile],
    scratch: &mut Scratch,
    out: &mut Vec<Option<f64>>,
) {
    let n = values.len();
    let Scratch { sums, sums_of_squares } = scratch;
    let (mut sum, mut sum_squares) = (0.0, 0.0);
    sums.clear();
    sums_of_squares.clear();
    for value in values {
        sum += value;
        sum_squares += value * value;
        sums.push(sum);
        sums_of_squares.push(sum_squares);
    }
    let mean = sum / n as f64;
    let of_differences: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    let median = if n % 2 == 1 { values[n / 2] } else { (values[n / 2 - 1] + values[n / 2]) / 2.0 };
    let std = (of_differences / n as f64).sqrt();
    out.clear();
    out.extend([count, count / interval_s, values[0], values[n - 1], mean, median, std, sum, sum_squares].map(Some));
    for percentile in percentiles {
        let rank = percentile.rank(n);
        if rank == 0 {
            out.extend([None; PER_PERCENTILE]);
            continue;
        }
        let (bound, sum, sum_squares) = if percentile.value > 0.0 {
            (values[rank - 1], sums[rank - 1], sums_of_squares[rank - 1])
        } else {
            // Etsy's daemon reads before the array's start when all values are within, and writes NaN.
            let below = n - rank;
            let before = |sums: &[f64]| if below == 0 { 0.0 } else { sums[below - 1] };
            (values[below], sum - before(sums), sum_squares - before(sums_of_squares))
        };
        out.extend([rank as f64, sum / rank as f64, bound, sum, sum_squares].map(Some));
    }
}

/// As [`summarise`] for a timer of which only `folded` is left.
pub(crate) fn summarise_folded(
    folded: &Folded,
    count: f64,
    interval_s: f64,
    percentiles: &[Percentile],
    out: &mut Vec<Option<f64>>,
) {
    let n = folded.n as f64;
    let mean = folded.sum / n;
    let variance = (folded.sum_squares / n - mean * mean).max(0.0);
    let within = |value: f64| value.clamp(folded.lower, folded.upper);
    let median = within(folded.sketch.quantile(0.5).unwrap_or(mean));
    out.clear();
    out.extend(
        [
            count,
            count / interval_s,
            folded.lower,
            folded.upper,
            mean,
            median,
            variance.sqrt(),
            folded.sum,
            folded.sum_squares,
        ]
        .map(Some),
    );
    for percentile in percentiles {
        let rank = percentile.rank(folded.n as usize) as u64;
        if rank == 0 {
            out.extend([None; PER_PERCENTILE]);
            continue;
        }
        let top = percentile.value < 0.0;
        // The sums of the values below the boundary, or above it, bucket by bucket.
        let (mut left, mut bound, mut sum, mut sum_squares) = (rank, 0.0, 0.0, 0.0);
        let mut take = |(value, count): (f64, u64)| {
            let taken = count.min(left);
            if taken > 0 {
                left -= taken;
                bound = within(value);
                sum += value * taken as f64;
                sum_squares += value * value * taken as f64;
            }
        };
        match top {
            true => folded.sketch.buckets().collect::<Vec<_>>().into_iter().rev().for_each(&mut take),
            false => folded.sketch.buckets().for_each(&mut take),
        }
        out.extend([rank as f64, sum / rank as f64, bound, sum, sum_squares].map(Some));
    }
}

/// How many of `values`, which ascend, lie below a histogram's bound, which is exclusive.
pub(crate) fn n_below(values: &[f64], bound: f64) -> u64 {
    values.partition_point(|value| *value < bound) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The figures as `key=value`, to three decimals.
    fn figures(values: &[f64], count: f64, percentiles: &[f64]) -> Vec<String> {
        let percentiles: Vec<_> = percentiles.iter().map(|value| Percentile::new(*value)).collect();
        let mut out = Vec::new();
        summarise(values, count, 10.0, &percentiles, &mut Scratch::default(), &mut out);
        let figures = keys(&percentiles).into_iter().zip(out);
        figures.filter_map(|(key, value)| value.map(|value| format!("{key}={}", (value * 1e3).round() / 1e3))).collect()
    }

    #[test]
    fn one_to_a_hundred_as_etsys_daemon_says() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(
            figures(&values, 100.0, &[90.0, -10.0]).join(" "),
            "count=100 count_ps=10 lower=1 upper=100 mean=50.5 median=50.5 std=28.866 sum=5050 sum_squares=338350 \
             count_90=90 mean_90=45.5 upper_90=90 sum_90=4095 sum_squares_90=247065 \
             count_top10=10 mean_top10=95.5 lower_top10=91 sum_top10=955 sum_squares_top10=91285"
        );
    }

    #[test]
    fn one_value_is_within_every_percentile() {
        let figures = figures(&[7.0], 2.0, &[1.0, 99.9]);
        assert_eq!(figures[9], "count_1=1");
        assert_eq!(figures[16], "upper_99_9=7");
    }

    #[test]
    fn a_percentile_that_holds_nothing_is_not_written() {
        assert_eq!(figures(&[1.0, 2.0], 2.0, &[10.0]).len(), KEYS.len());
    }

    #[test]
    fn all_values_within_a_negative_percentile_have_a_sum() {
        assert_eq!(figures(&[1.0, 2.0], 2.0, &[-90.0])[KEYS.len() + 3], "sum_top90=3");
    }

    #[test]
    fn keys_are_generic_for_the_filter() {
        let of = |percentile: f64| keys(&[Percentile::new(percentile)])[KEYS.len() + 4].clone();
        assert_eq!(
            [generic_key(&of(99.9)), generic_key(&of(-5.0)), generic_key("sum_squares")],
            ["sum_squares_percent", "sum_squares_percent", "sum_squares"]
        );
    }

    #[test]
    fn bounds_are_exclusive() {
        let values = [1.0, 2.0, 2.5, 9.0];
        assert_eq!([2.0, 5.0, f64::INFINITY].map(|bound| n_below(&values, bound)), [1, 3, 4]);
        assert_eq!([1.5, 5.0, f64::INFINITY].map(|bound| Folded::default().with(&values).n_below(bound)), [1, 3, 4]);
    }

    #[test]
    fn folded_values_keep_their_sums_and_come_near_in_the_rest() {
        let values: Vec<f64> = (1..=1000).map(f64::from).collect();
        let percentiles = [Percentile::new(95.0), Percentile::new(-5.0)];
        let mut folded = Folded::default();
        values.iter().for_each(|value| folded.add(*value));
        let (mut exact, mut estimate) = (Vec::new(), Vec::new());
        summarise(&values, 1000.0, 10.0, &percentiles, &mut Scratch::default(), &mut exact);
        summarise_folded(&folded, 1000.0, 10.0, &percentiles, &mut estimate);
        for (key, (exact, estimate)) in keys(&percentiles).into_iter().zip(exact.into_iter().zip(estimate)) {
            let (exact, estimate) = (exact.unwrap(), estimate.unwrap());
            assert!((estimate / exact - 1.0).abs() < 0.01, "{key}: {estimate} for {exact}");
        }
    }
}
