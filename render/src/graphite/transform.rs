//! Each value becomes another.

use super::{
    aggregate::Aggregate,
    call::{Call, Function, Group, Outcome, Param, ParamKind, Value, may, needs},
    combine::{rows, safe_power},
    number::{general, repr, round},
    series::Series,
};

const SERIES: &[Param] = &[needs("seriesList", ParamKind::SeriesList)];
const FACTOR: &[Param] = &[needs("seriesList", ParamKind::SeriesList), needs("factor", ParamKind::Float)];
const LIMIT: &[Param] = &[needs("seriesList", ParamKind::SeriesList), may("limit", ParamKind::IntOrInf)];

/// A gap where the value is no finite number.
fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { f64::NAN }
}

/// Renames `name(series)`, tags and changes every value.
fn each(call: &mut Call<'_>, tag_value: &str, change: impl Fn(f64) -> f64) -> Outcome {
    let function = call.function.name;
    let change_one = |one: Series| {
        let name = format!("{function}({})", one.name);
        one.tagged(function, tag_value).renamed(name).map(&change)
    };
    Ok(call.series(0)?.into_iter().map(change_one).collect::<Vec<_>>().into())
}

/// The same with a number from the arguments, which the name shows as `shown`.
fn each_with(call: &mut Call<'_>, shown: &str, tag_value: String, change: impl Fn(f64) -> f64) -> Outcome {
    let function = call.function.name;
    let change_one = |one: Series| {
        let name = format!("{function}({},{shown})", one.name);
        one.tagged(function, &tag_value).renamed(name).map(&change)
    };
    Ok(call.series(0)?.into_iter().map(change_one).collect::<Vec<_>>().into())
}

pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "scale",
        group: Group::Transform,
        description: "Each value times a factor.",
        params: FACTOR,
        run: |call| {
            let factor = call.float(1)?;
            each_with(call, &general(factor), repr(factor), |value| value * factor)
        },
    },
    Function {
        name: "offset",
        group: Group::Transform,
        description: "Each value plus a number.",
        params: FACTOR,
        run: |call| {
            let factor = call.float(1)?;
            each_with(call, &general(factor), repr(factor), |value| value + factor)
        },
    },
    Function {
        name: "add",
        group: Group::Transform,
        description: "Each value plus a constant.",
        params: &[needs("seriesList", ParamKind::SeriesList), needs("constant", ParamKind::Float)],
        run: |call| {
            let constant = call.float(1)?;
            each_with(call, &format!("{:.0}", constant.trunc()), repr(constant), |value| value + constant)
        },
    },
    Function {
        name: "pow",
        group: Group::Transform,
        description: "Each value to the power of a factor.",
        params: FACTOR,
        run: |call| {
            let factor = call.float(1)?;
            each_with(call, &general(factor), repr(factor), |value| safe_power(value, factor))
        },
    },
    Function {
        name: "absolute",
        group: Group::Transform,
        description: "Each value without its sign.",
        params: SERIES,
        run: |call| each(call, "1", f64::abs),
    },
    Function {
        name: "invert",
        group: Group::Transform,
        description: "One divided by each value; a gap where that is zero.",
        params: SERIES,
        run: |call| each(call, "1", |value| safe_power(value, -1.0)),
    },
    Function {
        name: "squareRoot",
        group: Group::Transform,
        description: "The square root of each value; a gap where that is negative.",
        params: SERIES,
        run: |call| each(call, "1", |value| safe_power(value, 0.5)),
    },
    Function {
        name: "exp",
        group: Group::Transform,
        description: "e to the power of each value.",
        params: SERIES,
        run: |call| each(call, "e", |value| finite(value.exp())),
    },
    Function {
        name: "sigmoid",
        group: Group::Transform,
        description: "1 / (1 + exp(-value)).",
        params: SERIES,
        run: |call| each(call, "sigmoid", |value| 1.0 / (1.0 + (-value).exp())),
    },
    Function {
        name: "logit",
        group: Group::Transform,
        description: "log(value / (1 - value)); a gap outside 0..1.",
        params: SERIES,
        run: |call| each(call, "logit", |value| finite((value / (1.0 - value)).ln())),
    },
    Function {
        name: "log",
        group: Group::Transform,
        description: "The logarithm of each value to a base; a gap where that is not positive.",
        params: &[needs("seriesList", ParamKind::SeriesList), may("base", ParamKind::Integer).or("10")],
        run: logarithm,
    },
    Function {
        name: "round",
        group: Group::Transform,
        description: "Each value rounded to so many decimals, halves to even.",
        params: &[needs("seriesList", ParamKind::SeriesList), may("precision", ParamKind::Integer).or("0")],
        run: |call| {
            let places = call.integer(1)?.clamp(-300, 300) as i32;
            if call.has(1) {
                each_with(call, &places.to_string(), places.to_string(), |value| round(value, places))
            } else {
                each(call, "0", |value| round(value, 0))
            }
        },
    },
    Function {
        name: "scaleToSeconds",
        group: Group::Transform,
        description: "Each value times seconds / step, rounded to six decimals.",
        params: &[needs("seriesList", ParamKind::SeriesList), needs("seconds", ParamKind::Float)],
        run: |call| {
            let seconds = call.float(1)?;
            let scale = |one: Series| {
                let name = format!("scaleToSeconds({},{:.0})", one.name, seconds.trunc());
                let factor = seconds / one.step_s as f64;
                one.tagged("scaleToSeconds", repr(seconds)).renamed(name).map(|value| round(value * factor, 6))
            };
            Ok(call.series(0)?.into_iter().map(scale).collect::<Vec<_>>().into())
        },
    },
    Function {
        name: "offsetToZero",
        group: Group::Transform,
        description: "Each value less the least of its series.",
        params: SERIES,
        run: |call| {
            let shift = |one: Series| {
                let least = Aggregate::Min.over(&one.values);
                let name = format!("offsetToZero({})", one.name);
                let tag = if least.is_nan() { "None".to_owned() } else { repr(least) };
                one.tagged("offsetToZero", tag).renamed(name).map(|value| value - least)
            };
            Ok(call.series(0)?.into_iter().map(shift).collect::<Vec<_>>().into())
        },
    },
    Function {
        name: "minMax",
        group: Group::Transform,
        description: "(value - min) / (max - min) of each series; 0 where all are equal.",
        params: SERIES,
        run: |call| {
            let scale = |one: Series| {
                let (least, most) = (Aggregate::Min.over(&one.values), Aggregate::Max.over(&one.values));
                let name = format!("minMax({})", one.name);
                let share =
                    |value: f64| if most == least && !value.is_nan() { 0.0 } else { (value - least) / (most - least) };
                one.renamed(name).map(share)
            };
            Ok(call.series(0)?.into_iter().map(scale).collect::<Vec<_>>().into())
        },
    },
    Function {
        name: "transformNull",
        group: Group::Transform,
        description: "Gaps become a number; with reference series only where any of those has a value.",
        params: &[
            needs("seriesList", ParamKind::SeriesList),
            may("default", ParamKind::Float).or("0"),
            may("referenceSeries", ParamKind::SeriesList),
        ],
        run: transform_null,
    },
    Function {
        name: "isNonNull",
        group: Group::Transform,
        description: "1 where there is a value, 0 at a gap.",
        params: SERIES,
        run: |call| each(call, "1", |value| f64::from(u8::from(!value.is_nan()))),
    },
    Function {
        name: "keepLastValue",
        group: Group::Transform,
        description: "Fills gaps of at most limit datapoints with the value before them.",
        params: LIMIT,
        run: |call| fill(call, |before, _, _| before, true),
    },
    Function {
        name: "interpolate",
        group: Group::Transform,
        description: "Fills gaps of at most limit datapoints with a straight line between the values around them.",
        params: LIMIT,
        run: |call| fill(call, |before, after, share| before + share * (after - before), false),
    },
    Function {
        name: "changed",
        group: Group::Special,
        description: "1 where the value differs from the last one, else 0.",
        params: SERIES,
        run: |call| {
            let mark = |one: Series| {
                let mut before = f64::NAN;
                let mut values = one.values.clone();
                for value in &mut values {
                    let is_change = !before.is_nan() && !value.is_nan() && before != *value;
                    if before.is_nan() || is_change {
                        before = *value;
                    }
                    *value = f64::from(u8::from(is_change));
                }
                let name = format!("changed({})", one.name);
                Series { values, ..one }.renamed(name)
            };
            Ok(call.series(0)?.into_iter().map(mark).collect::<Vec<_>>().into())
        },
    },
    Function {
        name: "delay",
        group: Group::Transform,
        description: "Each value so many steps later.",
        params: &[needs("seriesList", ParamKind::SeriesList), needs("steps", ParamKind::Integer)],
        run: |call| {
            let steps = call.integer(1)?;
            let shift = |one: Series| {
                let n = one.values.len();
                let by = steps.unsigned_abs().min(n as u64) as usize;
                let gaps = std::iter::repeat_n(f64::NAN, by);
                let values = if steps < 0 {
                    one.values[by..].iter().copied().chain(gaps).collect()
                } else {
                    gaps.chain(one.values[..n - by].iter().copied()).collect()
                };
                let one = one.tagged("delay", steps);
                one.derived(format!("delay({},{steps})", one.name), values)
            };
            Ok(call.series(0)?.into_iter().map(shift).collect::<Vec<_>>().into())
        },
    },
];

fn logarithm(call: &mut Call<'_>) -> Outcome {
    let base = call.integer(1)?;
    let log = |one: Series| {
        let one = one.tagged("log", base);
        let of = |value: &f64| match base {
            10 => value.log10(),
            2 => value.log2(),
            _ => value.ln() / (base as f64).ln(),
        };
        let values = one.values.iter().map(|value| if *value > 0.0 { finite(of(value)) } else { f64::NAN }).collect();
        one.derived(format!("log({}, {base})", one.name), values)
    };
    Ok(call.series(0)?.into_iter().map(log).collect::<Vec<_>>().into())
}

fn transform_null(call: &mut Call<'_>) -> Outcome {
    let default = call.float(1)?;
    let reference = call.series(2)?;
    let present = (!reference.is_empty()).then(|| rows(&reference, |row| row.iter().copied().fold(f64::NAN, f64::max)));
    let shown = if call.values[1].is_empty() { "0".to_owned() } else { repr(default) };
    let fill = |one: Series| {
        let suffix = if present.is_some() { ",referenceSeries" } else { "" };
        let name = format!("transformNull({},{}{suffix})", one.name, general(default));
        let mut one = one.tagged("transformNull", &shown).renamed(name);
        if present.is_some() {
            one = one.tagged("referenceSeries", 1);
        }
        let wanted = |index: usize| {
            present.as_ref().is_none_or(|present| present.get(index).is_some_and(|value| !value.is_nan()))
        };
        for (index, value) in one.values.iter_mut().enumerate() {
            if value.is_nan() && wanted(index) {
                *value = default;
            }
        }
        one
    };
    Ok(call.series(0)?.into_iter().map(fill).collect::<Vec<_>>().into())
}

/// Fills gaps between two values, and with `at_end` those after the last as well.
fn fill(call: &mut Call<'_>, value_of: impl Fn(f64, f64, f64) -> f64, at_end: bool) -> Outcome {
    let limit = match &call.values[1].first() {
        None | Some((_, Value::None)) => f64::INFINITY,
        Some((_, Value::Text(text))) if text.eq_ignore_ascii_case("inf") => f64::INFINITY,
        Some(_) => call.float(1)?,
    };
    let function = call.function.name;
    let fill_one = |one: Series| {
        let name = format!("{function}({})", one.name);
        let mut one = one.renamed(name);
        let mut last: Option<usize> = None;
        let n = one.values.len();
        for index in 0..=n {
            let after = one.values.get(index).copied();
            if after.is_some_and(f64::is_nan) {
                continue;
            }
            if let Some(last) = last
                && index - last > 1
                && (index - last - 1) as f64 <= limit
                && (after.is_some() || at_end)
            {
                let before = one.values[last];
                for gap in last + 1..index {
                    let share = (gap - last) as f64 / (index - last) as f64;
                    one.values[gap] = value_of(before, after.unwrap_or(before), share);
                }
            }
            last = Some(index);
        }
        one
    };
    Ok(call.series(0)?.into_iter().map(fill_one).collect::<Vec<_>>().into())
}
