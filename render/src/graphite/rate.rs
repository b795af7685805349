//! Differences and sums along time.

use super::{
    call::{Call, Function, Group, Outcome, Param, ParamKind, may, needs},
    number::round,
    series::Series,
    summarize::bucketed,
};

const SERIES: &[Param] = &[needs("seriesList", ParamKind::SeriesList)];
const WRAPPING: &[Param] =
    &[needs("seriesList", ParamKind::SeriesList), may("maxValue", ParamKind::Float), may("minValue", ParamKind::Float)];

pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "derivative",
        group: Group::Transform,
        description: "Each value less the one before; a gap next to a gap.",
        params: SERIES,
        run: |call| {
            each(call, "derivative", |one| {
                let before = std::iter::once(f64::NAN).chain(one.values.iter().copied());
                one.values.iter().zip(before).map(|(value, before)| value - before).collect()
            })
        },
    },
    Function {
        name: "nonNegativeDerivative",
        group: Group::Transform,
        description: "Each value less the one before, where a counter that starts again gives a gap, or wraps at maxValue.",
        params: WRAPPING,
        run: |call| {
            let (most, least) = bounds(call)?;
            each(call, "nonNegativeDerivative", |one| deltas(&one.values, most, least))
        },
    },
    Function {
        name: "perSecond",
        group: Group::Transform,
        description: "nonNegativeDerivative divided by the step, rounded to six decimals.",
        params: WRAPPING,
        run: |call| {
            let (most, least) = bounds(call)?;
            each(call, "perSecond", |one| {
                let step = one.step_s as f64;
                deltas(&one.values, most, least).into_iter().map(|delta| round(delta / step, 6)).collect()
            })
        },
    },
    Function {
        name: "integral",
        group: Group::Transform,
        description: "The sum of all values so far; a gap stays one.",
        params: SERIES,
        run: |call| {
            each(call, "integral", |one| {
                let mut sum = 0.0;
                let add = |value: &f64| {
                    sum += if value.is_nan() { 0.0 } else { *value };
                    if value.is_nan() { f64::NAN } else { sum }
                };
                one.values.iter().map(add).collect()
            })
        },
    },
    Function {
        name: "integralByInterval",
        group: Group::Transform,
        description: "The sum of all values so far within each interval, counted from the window's start.",
        params: &[needs("seriesList", ParamKind::SeriesList), needs("intervalUnit", ParamKind::String)],
        run: by_interval,
    },
    Function {
        name: "compressPeriodicGaps",
        group: Group::Transform,
        description: "A series with a value at every n-th step only gets that step.",
        params: SERIES,
        run: |call| {
            let compress = |one: Series| {
                let name = format!("compressPeriodicGaps({})", one.name);
                compressed(one.renamed(name))
            };
            Ok(call.series(0)?.into_iter().map(compress).collect::<Vec<_>>().into())
        },
    },
];

fn each(call: &mut Call<'_>, name: &str, values_of: impl Fn(&Series) -> Vec<f64>) -> Outcome {
    let change = |one: Series| {
        let values = values_of(&one);
        let full_name = format!("{name}({})", one.name);
        one.tagged(name, 1).derived(full_name, values)
    };
    Ok(call.series(0)?.into_iter().map(change).collect::<Vec<_>>().into())
}

fn bounds(call: &Call<'_>) -> Result<(Option<f64>, Option<f64>), super::error::GraphiteError> {
    Ok((call.number(1)?.map(|number| number.value), call.number(2)?.map(|number| number.value)))
}

/// How much a counter grew at each step. It wraps from `most` to `least`; a value outside them is a gap.
fn deltas(values: &[f64], most: Option<f64>, least: Option<f64>) -> Vec<f64> {
    let mut before = f64::NAN;
    let delta = |value: &f64| {
        let value = *value;
        if most.is_some_and(|most| value > most) || least.is_some_and(|least| value < least) {
            before = f64::NAN;
            return f64::NAN;
        }
        let delta = match (most, least) {
            _ if value >= before => value - before,
            _ if value.is_nan() || before.is_nan() => f64::NAN,
            (Some(most), least) => most + 1.0 + value - before - least.unwrap_or(0.0),
            (None, Some(least)) => value - least,
            (None, None) => f64::NAN,
        };
        before = value;
        delta
    };
    values.iter().map(delta).collect()
}

fn by_interval(call: &mut Call<'_>) -> Outcome {
    let (interval_s, text) = call.interval(1)?;
    let (interval_s, from_s) = (interval_s.abs(), call.context.from_s);
    let sum = |one: Series| {
        let mut sum = 0.0;
        let bucket = |at: i64| (at - from_s).div_euclid(interval_s);
        let step_s = one.step_s;
        let values = one.timestamps_s().zip(&one.values).map(|(at, value)| {
            if bucket(at) != bucket(at - step_s) {
                sum = 0.0;
            }
            sum += if value.is_nan() { 0.0 } else { *value };
            sum
        });
        let values = values.collect();
        let name = format!("integralByInterval({},'{text}')", one.name);
        one.tagged("integralByInterval", &text).derived(name, values)
    };
    Ok(call.series(0)?.into_iter().map(sum).collect::<Vec<_>>().into())
}

/// Guesses the true step from the first two values that are neither gap nor zero, and summarizes to it if the third is
/// where it should be, alone.
fn compressed(series: Series) -> Series {
    let is_value = |index: usize| series.values.get(index).is_some_and(|value| !value.is_nan() && *value != 0.0);
    let (mut first, mut second) = (0, 0);
    for index in (0..series.values.len()).filter(|index| is_value(*index)) {
        if first > 0 {
            second = index;
            break;
        }
        first = index;
    }
    let Some(guess) = second.checked_sub(first).filter(|guess| *guess > 1) else { return series };
    let third = second + guess;
    let is_gap = |index: usize| series.values.get(index).is_some_and(|value| value.is_nan());
    if third + 2 > series.values.len() || !is_value(third) || !is_gap(third - 1) || !is_gap(third + 1) {
        return series;
    }
    let step_s = guess as i64 * series.step_s;
    let start_s = series.start_s + first as i64 * series.step_s;
    let (values, _) = bucketed(&series, super::aggregate::Aggregate::Last, step_s, start_s, series.end_s);
    let end_s = start_s + step_s * (values.len() as i64 - 1);
    Series { start_s, end_s, step_s, values, ..series }
}
