//! Statistics along time: moving windows, percentiles, regression.

use super::{
    aggregate::Aggregate,
    call::{Call, Function, Group, Outcome, Param, ParamKind, Value, may, needs},
    error::GraphiteError,
    number::{general, repr, round},
    pattern::percentile,
    series::Series,
    time,
};

const WINDOW: &[Param] = &[
    needs("seriesList", ParamKind::SeriesList),
    needs("windowSize", ParamKind::IntOrInterval),
    may("xFilesFactor", ParamKind::Float),
];
/// Most steps that moving windows may take, datapoints times window: about two seconds.
const MAX_WINDOW_STEPS: usize = 2_000_000_000;

macro_rules! moving {
    ($($name:literal, $word:literal, $description:literal;)*) => {
        [$(Function {
            name: $name,
            group: Group::Calculate,
            description: $description,
            params: WINDOW,
            run: |call| {
                let factor = call.number(2)?.map(|number| number.value);
                moving(call, $word, factor)
            },
        },)*]
    };
}

pub(super) static MOVING: [Function; 5] = moving! {
    "movingAverage", "average", "The mean of the last so many datapoints, or of an interval, at each time; reads so much before the window.";
    "movingMedian", "median", "The median of the last so many datapoints, or of an interval, at each time.";
    "movingSum", "sum", "The sum of the last so many datapoints, or of an interval, at each time.";
    "movingMin", "min", "The least of the last so many datapoints, or of an interval, at each time.";
    "movingMax", "max", "The greatest of the last so many datapoints, or of an interval, at each time.";
};

pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "movingWindow",
        group: Group::Calculate,
        description: "An aggregation function over the last so many datapoints, or over an interval, at each time.",
        params: &[
            needs("seriesList", ParamKind::SeriesList),
            needs("windowSize", ParamKind::IntOrInterval),
            may("func", ParamKind::AggFunc).or("\"average\""),
            may("xFilesFactor", ParamKind::Float),
        ],
        run: |call| {
            let ((_, name), factor) = (call.aggregate(2)?, call.number(3)?.map(|number| number.value));
            moving(call, &name, factor)
        },
    },
    Function {
        name: "exponentialMovingAverage",
        group: Group::Calculate,
        description: "c * value + (1 - c) * the result before, with c = 2 / (window + 1); begins with the mean of the window before.",
        params: &[needs("seriesList", ParamKind::SeriesList), needs("windowSize", ParamKind::IntOrInterval)],
        run: exponential,
    },
    Function {
        name: "nPercentile",
        group: Group::Calculate,
        description: "The n-th percentile of each series over all time, as a level line.",
        params: &[needs("seriesList", ParamKind::SeriesList), needs("n", ParamKind::Float)],
        run: n_percentile,
    },
    Function {
        name: "stdev",
        group: Group::Calculate,
        description: "The standard deviation of the last so many datapoints; a gap with a smaller share of values than windowTolerance.",
        params: &[
            needs("seriesList", ParamKind::SeriesList),
            needs("points", ParamKind::Integer),
            may("windowTolerance", ParamKind::Float).or("0.1"),
        ],
        run: deviation,
    },
    Function {
        name: "linearRegression",
        group: Group::Calculate,
        description: "The straight line of least squares through each series, or through its course over another window.",
        params: &[
            needs("seriesList", ParamKind::SeriesList),
            may("startSourceAt", ParamKind::Date),
            may("endSourceAt", ParamKind::Date),
        ],
        run: regression,
    },
    Function {
        name: "aggregateLine",
        group: Group::Calculate,
        description: "A level line at an aggregate of each series.",
        params: &[
            needs("seriesList", ParamKind::SeriesList),
            may("func", ParamKind::AggFunc).or("\"average\""),
            may("keepStep", ParamKind::Boolean).or("false"),
        ],
        run: aggregate_line,
    },
];

/// A window: how many seconds, how many datapoints of a series, and its text.
enum Window {
    Points(i64),
    Seconds(i64, String),
}

impl Window {
    fn new(call: &Call<'_>) -> Result<Self, GraphiteError> {
        match call.values[1].first() {
            Some((_, Value::Text(text))) => match time::offset_s(text) {
                Some(seconds) if !text.is_empty() => Ok(Self::Seconds(seconds.abs(), text.clone())),
                _ => Err(call
                    .wrong(1, format!("`{text}` is no window, write a number of datapoints or an interval as 10min"))),
            },
            _ => {
                let points = call.integer(1)?;
                if points < 0 {
                    Err(call.wrong(1, "the window must not be negative"))
                } else {
                    Ok(Self::Points(points))
                }
            }
        }
    }

    /// How much must be read before the window, in seconds.
    fn preview_s(&self, series: &[Series]) -> i64 {
        match self {
            Self::Points(points) => series.iter().map(|one| one.step_s).max().unwrap_or(1).saturating_mul(*points),
            Self::Seconds(seconds, _) => *seconds,
        }
    }

    fn points(&self, step_s: i64) -> usize {
        match self {
            Self::Points(points) => *points as usize,
            Self::Seconds(seconds, _) => (seconds / step_s) as usize,
        }
    }

    /// As names show it.
    fn shown(&self) -> String {
        match self {
            Self::Points(points) => points.to_string(),
            Self::Seconds(_, text) => format!("\"{text}\""),
        }
    }
}

fn moving(call: &mut Call<'_>, word: &str, x_files_factor: Option<f64>) -> Outcome {
    let window = Window::new(call)?;
    let Some(aggregate) = Aggregate::named(word) else { return Err(call.wrong(2, "no aggregation")) };
    let given = call.series(0)?;
    if given.is_empty() {
        return Ok(given.into());
    }
    let preview_s = window.preview_s(&given);
    drop(given);
    let name = format!("moving{}{}", word[..1].to_uppercase(), word[1..].to_lowercase());
    let mut results = Vec::new();
    for one in call.again(call.context.from_s.saturating_sub(preview_s), call.context.until_s)? {
        let n = window.points(one.step_s);
        // What is folded by blocks costs no more for a wide window.
        let is_folded = matches!(aggregate, Aggregate::Sum | Aggregate::Average | Aggregate::Min | Aggregate::Max);
        let steps = if is_folded { 0 } else { n.saturating_mul(one.values.len().saturating_sub(n)) };
        if steps > MAX_WINDOW_STEPS {
            return Err(GraphiteError::TooMuch {
                what: "steps of moving windows",
                asked: steps,
                limit: MAX_WINDOW_STEPS,
            });
        }
        let values = windows(aggregate, &one.values, n, x_files_factor.unwrap_or(one.x_files_factor));
        let full_name = format!("{name}({},{})", one.name, window.shown());
        let start_s = one.start_s + preview_s;
        let one = one.tagged(&name, window.shown().trim_matches('"'));
        results.push(Series { start_s, ..one.derived(full_name, values) });
    }
    Ok(results.into())
}

/// The aggregate of the `n` values up to each, from the one after the first `n`.
fn windows(aggregate: Aggregate, values: &[f64], n: usize, x_files_factor: f64) -> Vec<f64> {
    let n_results = values.len().saturating_sub(n);
    let mut result = vec![f64::NAN; n_results];
    if n == 0 {
        return result;
    }
    let mut counts = Vec::with_capacity(values.len() + 1);
    counts.push(0u32);
    counts.extend(values.iter().scan(0, |count, value| {
        *count += u32::from(!value.is_nan());
        Some(*count)
    }));
    let by_blocks = |fold: fn(f64, f64) -> f64, empty| by_blocks(values.get(1..).unwrap_or_default(), n, empty, fold);
    match aggregate {
        Aggregate::Sum | Aggregate::Average => result = by_blocks(|sum, value| sum + value, 0.0),
        Aggregate::Min => result = by_blocks(f64::min, f64::INFINITY),
        Aggregate::Max => result = by_blocks(f64::max, f64::NEG_INFINITY),
        _ => {}
    }
    for (index, value) in result.iter_mut().enumerate() {
        let (start, end) = (index + 1, index + 1 + n);
        let present = f64::from(counts[end] - counts[start]);
        *value = match aggregate {
            _ if present == 0.0 || present / (n as f64) < x_files_factor => f64::NAN,
            Aggregate::Sum | Aggregate::Min | Aggregate::Max => *value,
            Aggregate::Average => *value / present,
            // graphite-web hands over the values without their gaps.
            Aggregate::AverageZero | Aggregate::Multiply => {
                let dense: Vec<f64> = values[start..end].iter().copied().filter(|value| !value.is_nan()).collect();
                aggregate.over(&dense)
            }
            _ => aggregate.over(&values[start..end]),
        };
    }
    result
}

/// A fold of each `n` values in a row, gaps taken for `empty`. Three folds for each value however long the windows are:
/// a window is the end of one block of `n` and the beginning of the next (van Herk, 1992), which unlike adding what comes and
/// subtracting what goes loses nothing to cancellation.
fn by_blocks(values: &[f64], n: usize, empty: f64, fold: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let filled: Vec<f64> = values.iter().map(|value| if value.is_nan() { empty } else { *value }).collect();
    let (mut heads, mut tails) = (filled.clone(), filled);
    for block in heads.chunks_mut(n) {
        (1..block.len()).for_each(|index| block[index] = fold(block[index - 1], block[index]));
    }
    for block in tails.chunks_mut(n) {
        (1..block.len()).rev().for_each(|index| block[index - 1] = fold(block[index - 1], block[index]));
    }
    let n_windows = (values.len() + 1).saturating_sub(n);
    let window = |start: usize| match start % n {
        0 => tails[start],
        _ => fold(tails[start], heads[start + n - 1]),
    };
    (0..n_windows).map(window).collect()
}

fn exponential(call: &mut Call<'_>) -> Outcome {
    let window = Window::new(call)?;
    let given = call.series(0)?;
    if given.is_empty() {
        return Ok(given.into());
    }
    let preview_s = window.preview_s(&given);
    let weight = 2.0
        / (1.0
            + match &window {
                Window::Points(points) => *points as f64,
                Window::Seconds(seconds, _) => *seconds as f64,
            });
    let smooth = |one: Series| {
        let n = window.points(one.step_s).min(one.values.len());
        let mean = Aggregate::Average.over(&one.values[..n]);
        let mut average = if mean.is_nan() { 0.0 } else { mean };
        let mut values = vec![round(average, 6)];
        values.extend(one.values[n..].iter().map(|value| {
            if value.is_nan() {
                return f64::NAN;
            }
            average = weight * value + (1.0 - weight) * average;
            round(average, 6)
        }));
        let name = format!("exponentialMovingAverage({},{})", one.name, window.shown());
        let start_s = one.start_s + preview_s;
        let one = one.tagged("exponentialMovingAverage", window.shown().trim_matches('"'));
        Series { start_s, ..one.derived(name, values) }
    };
    let read = call.again(call.context.from_s.saturating_sub(preview_s), call.context.until_s)?;
    Ok(read.into_iter().map(smooth).collect::<Vec<_>>().into())
}

fn n_percentile(call: &mut Call<'_>) -> Outcome {
    let n = call.float(1)?;
    if n == 0.0 {
        return Err(call.wrong(1, "`n` must not be 0"));
    }
    let level = |one: Series| {
        let value = percentile(&one.values, n, false);
        let name = format!("nPercentile({}, {})", one.name, general(n));
        let n_points = ((one.end_s - one.start_s) / one.step_s).max(0) as usize;
        let one = one.tagged("nPercentile", repr(n));
        (!value.is_nan()).then(|| one.derived(name, vec![value; n_points]))
    };
    Ok(call.series(0)?.into_iter().filter_map(level).collect::<Vec<_>>().into())
}

fn deviation(call: &mut Call<'_>) -> Outcome {
    let (points, tolerance) = (call.integer(1)?, call.float(2)?);
    if points < 1 {
        return Err(call.wrong(1, "`points` must be at least 1"));
    }
    let points = points as usize;
    let deviate = |one: Series| {
        let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
        let mut values = Vec::with_capacity(one.values.len());
        for (index, value) in one.values.iter().enumerate() {
            if let Some(dropped) =
                index.checked_sub(points).map(|index| one.values[index]).filter(|value| !value.is_nan())
            {
                count -= 1.0;
                sum -= dropped;
                squares -= dropped * dropped;
            }
            if !value.is_nan() {
                count += 1.0;
                sum += value;
                squares += value * value;
            }
            let enough = count > 0.0 && count / points as f64 >= tolerance;
            // A negative variance is rounding; its root is no number, and so a gap.
            values.push(if enough { f64::sqrt(count * squares - sum * sum) / count } else { f64::NAN });
        }
        let name = format!("stdev({},{points})", one.name);
        one.tagged("stdev", points).derived(name, values)
    };
    Ok(call.series(0)?.into_iter().map(deviate).collect::<Vec<_>>().into())
}

fn regression(call: &mut Call<'_>) -> Outcome {
    let from_s = if call.has(1) { call.moment(1)? } else { call.context.from_s };
    let until_s = if call.has(2) { call.moment(2)? } else { call.context.until_s };
    let sources = call.again(from_s, until_s)?;
    let line = |(source, one): (Series, Series)| {
        let points = || {
            source.values.iter().enumerate().filter(|(_, value)| !value.is_nan()).map(|(i, value)| (i as f64, *value))
        };
        let n = points().count() as f64;
        let (sum_i, sum_v) = points().fold((0.0, 0.0), |(si, sv), (i, v)| (si + i, sv + v));
        let (sum_ii, sum_iv) = points().fold((0.0, 0.0), |(sii, siv), (i, v)| (sii + i * i, siv + i * v));
        let denominator = n * sum_ii - sum_i * sum_i;
        if denominator == 0.0 {
            return None;
        }
        let factor = (n * sum_iv - sum_i * sum_v) / denominator / source.step_s as f64;
        let offset = (sum_ii * sum_v - sum_iv * sum_i) / denominator - factor * source.start_s as f64;
        let values = one.timestamps_s().map(|at| offset + at as f64 * factor).collect();
        let name = format!("linearRegression({}, {from_s}, {until_s})", one.name);
        Some(one.tagged("linearRegressions", format!("{from_s}, {until_s}")).derived(name, values))
    };
    let given = call.series(0)?;
    Ok(sources.into_iter().zip(given).filter_map(line).collect::<Vec<_>>().into())
}

fn aggregate_line(call: &mut Call<'_>) -> Outcome {
    let ((aggregate, _), keep_step) = (call.aggregate(1)?, call.boolean(2)?);
    let (from_s, until_s) = (call.context.from_s, call.context.until_s);
    let series = call.series(0)?;
    let line = |one: Series| {
        let value = aggregate.over(&one.values);
        let shown = if value.is_nan() { "None".to_owned() } else { general(value) };
        let name = format!("aggregateLine({}, {shown})", one.name);
        if keep_step {
            let values = vec![value; one.values.len()];
            return one.derived(name, values);
        }
        let line = call.made(name, from_s, until_s, ((until_s - from_s) / 2).max(1), vec![value; 3]);
        line.tagged("name", if value.is_nan() { "None".to_owned() } else { repr(value) })
    };
    Ok(series.into_iter().map(line).collect::<Vec<_>>().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_by_blocks_equal_windows_one_by_one() {
        let values: Vec<f64> = (0..200).map(|i| if i % 7 == 3 { f64::NAN } else { f64::from(i).sin() * 1e3 }).collect();
        assert!(windows(Aggregate::Sum, &[], 3, 0.0).is_empty());
        for n in [1, 2, 7, 8, 9, 60, 199, 200, 500] {
            for aggregate in [Aggregate::Average, Aggregate::Sum, Aggregate::Min, Aggregate::Max, Aggregate::Median] {
                let fast = windows(aggregate, &values, n, 0.0);
                let slow: Vec<f64> = (n + 1..=values.len()).map(|end| aggregate.over(&values[end - n..end])).collect();
                // Another order of additions is another last bit.
                let same = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-9 || a.is_nan() && b.is_nan();
                assert!(fast.len() == slow.len() && fast.iter().zip(&slow).all(same), "{aggregate:?} {n}");
            }
        }
    }
}
