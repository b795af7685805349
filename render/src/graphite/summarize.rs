//! Fewer, longer steps.

use jiff::{Span, Timestamp, civil::DateTime};

use super::{
    aggregate::Aggregate,
    call::{Call, Function, Group, Outcome, ParamKind, Value, may, needs},
    error::GraphiteError,
    series::Series,
    time::unit_s,
};

pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "summarize",
        group: Group::Transform,
        description: "One value for each interval by an aggregation function; intervals begin at multiples of themselves, or at the series' start.",
        params: &[
            needs("seriesList", ParamKind::SeriesList),
            needs("intervalString", ParamKind::Interval),
            may("func", ParamKind::AggFunc).or("\"sum\""),
            may("alignToFrom", ParamKind::Boolean).or("false"),
        ],
        run: summarize,
    },
    Function {
        name: "smartSummarize",
        group: Group::Transform,
        description: "One value for each interval, which begin at the window's start, or at that moved down to a year, month, week, day, hour or minute.",
        params: &[
            needs("seriesList", ParamKind::SeriesList),
            needs("intervalString", ParamKind::Interval),
            may("func", ParamKind::AggFunc).or("\"sum\""),
            may("alignTo", ParamKind::String),
        ],
        run: smart,
    },
    Function {
        name: "hitcount",
        group: Group::Transform,
        description: "How many hits there were in each interval, of a series of hits per second: sum(value * seconds).",
        params: &[
            needs("seriesList", ParamKind::SeriesList),
            needs("intervalString", ParamKind::Interval),
            may("alignToInterval", ParamKind::Boolean).or("false"),
        ],
        run: hitcount,
    },
];

/// Values by interval from `start_s` until `end_s`, and where the last interval ends. An interval with too small a share
/// of values is a gap.
pub(super) fn bucketed(
    series: &Series,
    aggregate: Aggregate,
    interval_s: i64,
    start_s: i64,
    end_s: i64,
) -> (Vec<f64>, i64) {
    let n = series
        .values
        .len()
        .min(((series.end_s - series.start_s).max(0) as u64).div_ceil(series.step_s as u64) as usize);
    let at = |index: usize| series.start_s + index as i64 * series.step_s;
    let points = interval_s as f64 / series.step_s as f64;
    let (mut values, mut bucket_s, mut next) = (Vec::new(), start_s, 0);
    while bucket_s < end_s {
        let (mut first, mut present) = (next, 0);
        while next < n && at(next) < bucket_s + interval_s {
            if at(next) <= bucket_s {
                first = next;
            }
            if at(next) >= bucket_s && !series.values[next].is_nan() {
                present += 1;
            }
            next += 1;
        }
        let enough = present > 0 && f64::from(present) / points >= series.x_files_factor;
        values.push(if enough { aggregate.over(&series.values[first..next]) } else { f64::NAN });
        bucket_s += interval_s;
    }
    (values, bucket_s)
}

/// A positive interval; its text as given.
fn interval(call: &Call<'_>) -> Result<(i64, String), GraphiteError> {
    let (seconds, text) = call.interval(1)?;
    if seconds < 0 { Err(call.wrong(1, "the interval must be positive")) } else { Ok((seconds, text)) }
}

/// Takes the buckets that series will have from the request's allowance, which a short interval could else exceed.
fn spend(call: &Call<'_>, series: &[Series], interval_s: i64) -> Result<(), GraphiteError> {
    let buckets = |one: &Series| ((one.end_s - one.start_s).max(0) / interval_s + 2) as usize;
    call.context.spend(series.iter().map(buckets).fold(0, usize::saturating_add))
}

fn summarize(call: &mut Call<'_>) -> Outcome {
    let ((interval_s, text), (aggregate, func), aligned) = (interval(call)?, call.aggregate(2)?, call.boolean(3)?);
    let series = call.series(0)?;
    spend(call, &series, interval_s)?;
    let shorten = |one: Series| {
        let (start_s, end_s) = if aligned {
            (one.start_s, one.end_s)
        } else {
            let down = |at: i64| at - at.rem_euclid(interval_s);
            (down(one.start_s), down(one.end_s) + interval_s)
        };
        let (values, reached_s) = bucketed(&one, aggregate, interval_s, start_s, end_s);
        let end_s = if aligned { reached_s } else { end_s };
        let name = format!("summarize({}, \"{text}\", \"{func}\"{})", one.name, if aligned { ", true" } else { "" });
        let one = one.tagged("summarize", &text).tagged("summarizeFunction", &func);
        Series { start_s, end_s, step_s: interval_s, ..one.derived(name, values) }
    };
    Ok(series.into_iter().map(shorten).collect::<Vec<_>>().into())
}

fn smart(call: &mut Call<'_>) -> Outcome {
    let ((interval_s, text), (aggregate, func)) = (interval(call)?, call.aggregate(2)?);
    let series = match call.values[3].first() {
        // Once a boolean stood here; graphite-web ignores it.
        None | Some((_, Value::Boolean(_) | Value::None)) => call.series(0)?,
        Some(_) => {
            let from_s = aligned(call, 3, &call.text(3)?)?;
            call.again(from_s, call.context.until_s)?
        }
    };
    spend(call, &series, interval_s)?;
    let shorten = |one: Series| {
        let (values, end_s) = bucketed(&one, aggregate, interval_s, one.start_s, one.end_s);
        let name = format!("smartSummarize({}, \"{text}\", \"{func}\")", one.name);
        let one = one.tagged("smartSummarize", &text).tagged("smartSummarizeFunction", &func);
        Series { end_s, step_s: interval_s, ..one.derived(name, values) }
    };
    Ok(series.into_iter().map(shorten).collect::<Vec<_>>().into())
}

/// The window's start moved down to the start of a unit in the request's zone; `weeks3` begins weeks on Wednesday.
fn aligned(call: &Call<'_>, place: usize, unit: &str) -> Result<i64, GraphiteError> {
    let wrong = || call.wrong(place, format!("`{unit}` is no unit to align to"));
    let zone = &call.context.time_zone;
    let from = Timestamp::from_second(call.context.from_s).map_err(|_| wrong())?;
    let civil = zone.to_datetime(from);
    let midnight = civil.date().to_datetime(jiff::civil::Time::midnight());
    let at: DateTime = match unit_s(unit).ok_or_else(wrong)? {
        1 => civil.date().at(civil.hour(), civil.minute(), civil.second(), 0),
        60 => civil.date().at(civil.hour(), civil.minute(), 0, 0),
        3600 => civil.date().at(civil.hour(), 0, 0, 0),
        86_400 => midnight,
        604_800 => {
            let first = unit.chars().last().and_then(|digit| digit.to_digit(10)).unwrap_or(1) as i64;
            let back = (i64::from(civil.date().weekday().to_monday_one_offset()) - first).rem_euclid(7);
            midnight.checked_sub(Span::new().days(back)).map_err(|_| wrong())?
        }
        2_592_000 => civil.date().first_of_month().to_datetime(jiff::civil::Time::midnight()),
        _ => civil.date().first_of_year().to_datetime(jiff::civil::Time::midnight()),
    };
    zone.to_timestamp(at).map(Timestamp::as_second).map_err(|_| wrong())
}

fn hitcount(call: &mut Call<'_>) -> Outcome {
    let ((interval_s, text), is_aligned) = (interval(call)?, call.boolean(2)?);
    let mut series = call.series(0)?;
    if is_aligned {
        let unit = match interval_s {
            86_400.. => "d",
            3600.. => "h",
            60.. => "min",
            _ => "s",
        };
        let from_s = aligned(call, 2, unit)?;
        series = call.again(from_s, call.context.until_s)?;
        for one in &mut series {
            one.end_s = one.start_s + (one.end_s - one.start_s).div_euclid(interval_s) * interval_s + interval_s;
        }
    }
    spend(call, &series, interval_s)?;
    let count = |one: Series| {
        let n_buckets = ((one.end_s - one.start_s).max(0) as u64).div_ceil(interval_s as u64) as i64;
        let start_s = one.end_s - n_buckets * interval_s;
        let mut buckets = vec![f64::NAN; n_buckets as usize];
        let mut add = |bucket: i64, hits: f64| {
            if let Some(sum) = usize::try_from(bucket).ok().and_then(|bucket| buckets.get_mut(bucket)) {
                *sum = if sum.is_nan() { hits } else { *sum + hits };
            }
        };
        for (at, value) in one.timestamps_s().zip(&one.values).filter(|(_, value)| !value.is_nan()) {
            let (begin, mut end) = (at - start_s, at + one.step_s - start_s);
            end = end.min(n_buckets * interval_s);
            let (first, last) = (begin.div_euclid(interval_s), (end - 1).div_euclid(interval_s));
            for bucket in first..=last {
                let seconds = end.min((bucket + 1) * interval_s) - begin.max(bucket * interval_s);
                add(bucket, value * seconds as f64);
            }
        }
        let name = format!("hitcount({}, \"{text}\"{})", one.name, if is_aligned { ", true" } else { "" });
        let one = one.tagged("hitcount", &text);
        Series { start_s, step_s: interval_s, ..one.derived(name, buckets) }
    };
    Ok(series.into_iter().map(count).collect::<Vec<_>>().into())
}
