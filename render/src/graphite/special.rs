//! Series from nothing or from elsewhere in time, and what fits no family.

use super::{
    aggregate::Aggregate,
    call::{Call, Function, Group, Outcome, Param, ParamKind, may, needs, rest},
    error::GraphiteError,
    graph::level,
    number::repr,
    series::{Consolidation, Series},
    time,
};

const SERIES: &[Param] = &[needs("seriesList", ParamKind::SeriesList)];
const STEPPED: &[Param] = &[needs("name", ParamKind::String), may("step", ParamKind::Integer).or("60")];
const SINE: &[Param] = &[
    needs("name", ParamKind::String),
    may("amplitude", ParamKind::Float).or("1"),
    may("step", ParamKind::Integer).or("60"),
];
const FACTOR: &[Param] = &[needs("seriesList", ParamKind::SeriesList), needs("xFilesFactor", ParamKind::Float)];

pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "seriesByTag",
        group: Group::Special,
        description: "The series whose tags fit all expressions: tag=value, tag!=value, tag=~regex, tag!=~regex.",
        params: &[rest("tagExpressions", ParamKind::String).required()],
        run: |call| call.context.tagged(&call.texts(0)?, call.text).map(Into::into),
    },
    Function {
        name: "consolidateBy",
        group: Group::Special,
        description: "How the values become fewer when there are more than can be shown.",
        params: &[
            needs("seriesList", ParamKind::SeriesList),
            needs("consolidationFunc", ParamKind::String).of(&Consolidation::NAMES),
        ],
        run: |call| {
            let name = call.text(1)?;
            consolidate(call, &name)
        },
    },
    Function {
        name: "cumulative",
        group: Group::Special,
        description: "consolidateBy with sum.",
        params: SERIES,
        run: |call| consolidate(call, "sum"),
    },
    Function {
        name: "setXFilesFactor",
        group: Group::Special,
        description: "The least share of values that makes a value of them.",
        params: FACTOR,
        run: x_files,
    },
    Function {
        name: "xFilesFactor",
        group: Group::Special,
        description: "Short for setXFilesFactor.",
        params: FACTOR,
        run: x_files,
    },
    Function {
        name: "fallbackSeries",
        group: Group::Special,
        description: "The series, or others where there are none.",
        params: &[needs("seriesList", ParamKind::SeriesList), needs("fallback", ParamKind::SeriesList)],
        run: |call| {
            let series = call.series(0)?;
            Ok(if series.is_empty() { call.series(1)? } else { series }.into())
        },
    },
    Function {
        name: "constantLine",
        group: Group::Special,
        description: "A level line.",
        params: &[needs("value", ParamKind::Float)],
        run: |call| Ok(vec![level(call, call.float(0)?)].into()),
    },
    Function {
        name: "events",
        group: Group::Special,
        description: "How many events with all of the tags there were in each second; * stands for all events.",
        params: &[rest("tags", ParamKind::String).required()],
        run: events,
    },
    Function {
        name: "identity",
        group: Group::Calculate,
        description: "The time itself, each minute.",
        params: &[needs("name", ParamKind::String)],
        run: |call| {
            let name = call.text(0)?;
            let line = over_time(call, &name, 60, |at| at as f64)?;
            Ok(vec![Series { path_expression: format!("identity(\"{name}\")"), ..line }].into())
        },
    },
    Function {
        name: "time",
        group: Group::Transform,
        description: "The time itself, each step.",
        params: STEPPED,
        run: times,
    },
    Function {
        name: "timeFunction",
        group: Group::Transform,
        description: "Short for time.",
        params: STEPPED,
        run: times,
    },
    Function {
        name: "sin",
        group: Group::Transform,
        description: "amplitude * sin(time), each step.",
        params: SINE,
        run: sine,
    },
    Function { name: "sinFunction", group: Group::Transform, description: "The same as sin.", params: SINE, run: sine },
    Function {
        name: "randomWalk",
        group: Group::Special,
        description: "A walk by steps of up to a half; the same for the same name and window.",
        params: STEPPED,
        run: walk,
    },
    Function {
        name: "randomWalkFunction",
        group: Group::Special,
        description: "The same as randomWalk.",
        params: STEPPED,
        run: walk,
    },
    Function {
        name: "timeShift",
        group: Group::Transform,
        description: "The series as they were so long ago, drawn as if it were now.",
        params: &[
            needs("seriesList", ParamKind::SeriesList),
            needs("timeShift", ParamKind::Interval),
            may("resetEnd", ParamKind::Boolean).or("true"),
            may("alignDst", ParamKind::Boolean).or("false"),
        ],
        run: shift,
    },
    Function {
        name: "timeStack",
        group: Group::Transform,
        description: "The series as they were several times so long ago.",
        params: &[
            needs("seriesList", ParamKind::SeriesList),
            may("timeShiftUnit", ParamKind::Interval).or("\"1d\""),
            may("timeShiftStart", ParamKind::Integer).or("0"),
            may("timeShiftEnd", ParamKind::Integer).or("7"),
        ],
        run: stack,
    },
    Function {
        name: "timeSlice",
        group: Group::Transform,
        description: "The values between two times; gaps outside.",
        params: &[
            needs("seriesList", ParamKind::SeriesList),
            needs("startSliceAt", ParamKind::Date),
            may("endSliceAt", ParamKind::Date).or("\"now\""),
        ],
        run: slice,
    },
    Function {
        name: "cactiStyle",
        group: Group::Special,
        description: "Adds the last, greatest and least value to the names, in columns.",
        params: &[
            needs("seriesList", ParamKind::SeriesList),
            may("system", ParamKind::String).of(&["si", "binary"]),
            may("units", ParamKind::String),
        ],
        run: cacti,
    },
];

fn consolidate(call: &mut Call<'_>, name: &str) -> Outcome {
    let Some(consolidation) = Consolidation::named(name) else {
        return Err(
            call.wrong(1, format!("`{name}` is no consolidation, use one of {}", Consolidation::NAMES.join(", ")))
        );
    };
    let set = |one: Series| {
        let full_name = format!("consolidateBy({},\"{name}\")", one.name);
        Series { consolidation, ..one }.tagged("consolidateBy", name).renamed(full_name)
    };
    Ok(call.series(0)?.into_iter().map(set).collect::<Vec<_>>().into())
}

fn x_files(call: &mut Call<'_>) -> Outcome {
    let factor = call.float(1)?;
    call.context.x_files_factor_set.set(Some(factor));
    let set = |one: Series| Series { x_files_factor: factor, ..one }.tagged("xFilesFactor", repr(factor));
    Ok(call.series(0)?.into_iter().map(set).collect::<Vec<_>>().into())
}

fn events(call: &mut Call<'_>) -> Outcome {
    let tags = call.texts(0)?;
    let (from_s, until_s) = (call.context.from_s, call.context.until_s);
    let n_points = (until_s - from_s).max(0) as usize;
    call.context.spend(n_points)?;
    let wanted: &[String] = if tags == ["*"] { &[] } else { &tags };
    let mut values = vec![f64::NAN; n_points];
    for at in call.context.source.events(wanted, from_s, until_s)? {
        if let Some(count) = usize::try_from(at - from_s).ok().and_then(|index| values.get_mut(index)) {
            *count = if count.is_nan() { 1.0 } else { *count + 1.0 };
        }
    }
    let name = format!("events(\"{}\")", tags.join("\", \""));
    let series = call.made(name, from_s, until_s, 1, values);
    Ok(vec![Series { consolidation: Consolidation::Sum, ..series }].into())
}

/// A series made of the times of the window.
fn over_time(
    call: &Call<'_>,
    name: &str,
    step_s: i64,
    mut value_of: impl FnMut(i64) -> f64,
) -> Result<Series, GraphiteError> {
    if step_s < 1 {
        return Err(call.wrong(1, "`step` must be at least 1"));
    }
    let (from_s, until_s) = (call.context.from_s, call.context.until_s);
    call.context.spend(((until_s - from_s) / step_s).max(0) as usize)?;
    let values = (from_s..until_s).step_by(step_s as usize).map(&mut value_of).collect();
    Ok(call.made(name, from_s, until_s, step_s, values))
}

fn times(call: &mut Call<'_>) -> Outcome {
    let (name, step_s) = (call.text(0)?, call.integer(1)?);
    Ok(vec![over_time(call, &name, step_s, |at| at as f64)?].into())
}

fn sine(call: &mut Call<'_>) -> Outcome {
    let (name, amplitude, step_s) = (call.text(0)?, call.float(1)?, call.integer(2)?);
    Ok(vec![over_time(call, &name, step_s, |at| (at as f64).sin() * amplitude)?].into())
}

fn walk(call: &mut Call<'_>) -> Outcome {
    let (name, step_s) = (call.text(0)?, call.integer(1)?);
    // FNV-1a of the name seeds a SplitMix64: nothing here may depend on more than the request.
    let seed = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mut state = seed ^ call.context.from_s as u64;
    let mut current = 0.0;
    let step = |_| {
        let value = current;
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        current += ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64 - 0.5;
        value
    };
    Ok(vec![over_time(call, &name, step_s, step)?].into())
}

/// An offset that goes back unless a sign says otherwise, and its text with the sign.
fn back(call: &Call<'_>, place: usize) -> Result<(i64, String), GraphiteError> {
    let text = call.text(place)?;
    let text = if text.starts_with(|c: char| c.is_ascii_digit()) { format!("-{text}") } else { text };
    match time::offset_s(&text) {
        Some(seconds) if !text.is_empty() => Ok((seconds, text)),
        _ => Err(call.wrong(place, format!("`{text}` is no interval, write it as 1d"))),
    }
}

fn shift(call: &mut Call<'_>) -> Outcome {
    let ((mut offset_s, text), resets_end) = (back(call, 1)?, call.boolean(2)?);
    let (from_s, until_s) = (call.context.from_s, call.context.until_s);
    if call.boolean(3)? {
        // Only where both windows lie wholly on one side of the change of clocks.
        let is_summer = |at: i64| {
            let at = jiff::Timestamp::from_second(at).unwrap_or_default();
            call.context.time_zone.to_offset_info(at).dst().is_dst()
        };
        match [from_s, until_s, from_s + offset_s, until_s + offset_s].map(is_summer) {
            [true, true, false, false] => offset_s += 3600,
            [false, false, true, true] => offset_s -= 3600,
            _ => {}
        }
    }
    let series = call.series(0)?;
    let Some((start_s, end_s)) = series.first().map(|first| (first.start_s, first.end_s)) else {
        return Ok(series.into());
    };
    drop(series);
    let move_one = |one: Series| {
        let name = format!("timeShift({}, \"{text}\")", one.name);
        let end_s = if resets_end { end_s } else { one.end_s - one.start_s + start_s };
        Series { name, start_s, end_s, ..one.tagged("timeShift", &text) }
    };
    let read = call.again(from_s.saturating_add(offset_s), until_s.saturating_add(offset_s))?;
    Ok(read.into_iter().map(move_one).collect::<Vec<_>>().into())
}

/// Most windows that timeStack reads.
const MAX_STACK: i64 = 1000;

fn stack(call: &mut Call<'_>) -> Outcome {
    let ((offset_s, text), first, last) = (back(call, 1)?, call.integer(2)?, call.integer(3)?);
    if last.saturating_sub(first) > MAX_STACK {
        return Err(GraphiteError::TooMuch {
            what: "stacked windows",
            asked: (last - first) as usize,
            limit: MAX_STACK as usize,
        });
    }
    let series = call.series(0)?;
    let Some((start_s, end_s)) = series.first().map(|first| (first.start_s, first.end_s)) else {
        return Ok(series.into());
    };
    let (from_s, until_s) = (call.context.from_s, call.context.until_s);
    let mut results = Vec::new();
    for times in first..last {
        let by = offset_s.saturating_mul(times);
        for one in call.again(from_s.saturating_add(by), until_s.saturating_add(by))? {
            let name = format!("timeShift({}, {text}, {times})", one.name);
            let one = one.tagged("timeShiftUnit", &text).tagged("timeShift", times).renamed(name);
            results.push(Series { start_s, end_s, ..one });
        }
    }
    Ok(results.into())
}

fn slice(call: &mut Call<'_>) -> Outcome {
    let (start_s, end_s, from_s) = (call.moment(1)?, call.moment(2)?, call.context.from_s);
    let cut = |one: Series| {
        let name = format!("timeSlice({}, {start_s}, {end_s})", one.name);
        let mut one = one.tagged("timeSliceStart", start_s).tagged("timeSliceEnd", end_s);
        // graphite-web counts from the window's start, not from the series'.
        for (index, value) in one.values.iter_mut().enumerate() {
            let at = from_s + index as i64 * one.step_s;
            if at < start_s || at > end_s {
                *value = f64::NAN;
            }
        }
        Series { name, ..one }
    };
    Ok(call.series(0)?.into_iter().map(cut).collect::<Vec<_>>().into())
}

/// A value with two decimals under the largest prefix that it reaches, as `1.50k` or `1.50 kB`.
pub(super) fn with_prefix(value: f64, is_binary: bool, units: Option<&str>) -> String {
    let base: f64 = if is_binary { 1024.0 } else { 1000.0 };
    let prefixes = if is_binary { ["Pi", "Ti", "Gi", "Mi", "Ki"] } else { ["P", "T", "G", "M", "k"] };
    let found = prefixes.into_iter().zip([5, 4, 3, 2, 1]).find(|(_, power)| value.abs() >= base.powi(*power));
    let (prefix, scaled) = found.map_or(("", value), |(prefix, power)| (prefix, value / base.powi(power)));
    match units {
        Some(units) => format!("{scaled:.2} {prefix}{units}"),
        None => format!("{scaled:.2}{prefix}"),
    }
}

fn cacti(call: &mut Call<'_>) -> Outcome {
    let (system, units) = (call.text_if_given(1)?, call.text_if_given(2)?);
    let format = |value: f64| match (&system, &units) {
        (Some(system), units) => with_prefix(value, system == "binary", units.as_deref()),
        (None, Some(units)) => format!("{value:.2} {units}"),
        (None, None) => format!("{value:.2}"),
    };
    let mut series = call.series(0)?;
    let columns = [Aggregate::Last, Aggregate::Max, Aggregate::Min];
    let name_width = series.iter().map(|one| one.name.chars().count()).max().unwrap_or(0);
    // graphite-web measures whole numbers, and 3 where there is none, then leaves three blanks.
    let measured =
        |value: f64| if value.is_nan() || value.trunc() == 0.0 && value == 0.0 { 3.0 } else { value.trunc() };
    let widths = columns.map(|by| {
        let width = |one: &Series| format(measured(by.over(&one.values))).chars().count();
        series.iter().map(width).max().unwrap_or(0) + 3
    });
    for one in &mut series {
        let values = columns.map(|by| by.over(&one.values));
        let shown = values.map(|value| if value.is_nan() { "nan".to_owned() } else { format(value) });
        let [last, most, least] = [0, 1, 2].map(|place| format!("{:<width$}", shown[place], width = widths[place]));
        one.name = format!("{:<name_width$} Current:{last} Max:{most} Min:{least} ", one.name);
    }
    Ok(series.into())
}
