//! How a picture shows series.

use super::{
    call::{Call, Function, Group, Outcome, Param, ParamKind, may, needs},
    error::GraphiteError,
    number::{general, repr},
    series::{Options, Series},
};

const SERIES: &[Param] = &[needs("seriesList", ParamKind::SeriesList)];

pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "alpha",
        group: Group::Graph,
        description: "Draws with this opacity, 0 to 1.",
        params: &[needs("seriesList", ParamKind::SeriesList), needs("alpha", ParamKind::Float)],
        run: |call| {
            let alpha = call.float(1)?;
            each(call, |one| one.options.alpha = Some(alpha))
        },
    },
    Function {
        name: "color",
        group: Group::Graph,
        description: "Draws in this colour: a name, or six or eight hexadecimal digits.",
        params: &[needs("seriesList", ParamKind::SeriesList), needs("theColor", ParamKind::String)],
        run: |call| {
            let color = call.text(1)?;
            each(call, |one| one.options.color = Some(color.clone()))
        },
    },
    Function {
        name: "lineWidth",
        group: Group::Graph,
        description: "Draws lines so many pixels wide.",
        params: &[needs("seriesList", ParamKind::SeriesList), needs("width", ParamKind::Float)],
        run: |call| {
            let width = call.float(1)?;
            each(call, |one| one.options.line_width = Some(width))
        },
    },
    Function {
        name: "dashed",
        group: Group::Graph,
        description: "Draws dashes of so many pixels.",
        params: &[needs("seriesList", ParamKind::SeriesList), may("dashLength", ParamKind::Float).or("5")],
        run: |call| {
            let length = call.float(1)?;
            each(call, |one| {
                one.name = format!("dashed({}, {})", one.name, general(length));
                one.options.dashed = Some(length);
                one.tags.insert("dashed".to_owned(), general(length));
            })
        },
    },
    Function {
        name: "drawAsInfinite",
        group: Group::Graph,
        description: "Draws a line from bottom to top at each value other than 0: deploys, for one.",
        params: SERIES,
        run: |call| {
            each(call, |one| {
                one.name = format!("drawAsInfinite({})", one.name);
                one.options.infinite = true;
                one.tags.insert("drawAsInfinite".to_owned(), "1".to_owned());
            })
        },
    },
    Function {
        name: "secondYAxis",
        group: Group::Graph,
        description: "Draws against a second value axis.",
        params: SERIES,
        run: |call| {
            each(call, |one| {
                one.name = format!("secondYAxis({})", one.name);
                one.options.second_axis = true;
                one.tags.insert("secondYAxis".to_owned(), "1".to_owned());
            })
        },
    },
    Function {
        name: "stacked",
        group: Group::Graph,
        description: "Each series on the sum of those stacked before it in the request, or in the stack of this name.",
        params: &[needs("seriesList", ParamKind::SeriesList), may("stack", ParamKind::String)],
        run: stacked,
    },
    Function {
        name: "areaBetween",
        group: Group::Graph,
        description: "The area between exactly two series.",
        params: SERIES,
        run: |call| {
            let series = call.series(0)?;
            between(call, series).map(Into::into)
        },
    },
    Function {
        name: "threshold",
        group: Group::Graph,
        description: "A level line with a name and a colour.",
        params: &[needs("value", ParamKind::Float), may("label", ParamKind::String), may("color", ParamKind::String)],
        run: |call| {
            let (value, label, color) = (call.float(0)?, call.text_if_given(1)?, call.text_if_given(2)?);
            let mut line = level(call, value);
            line.name = label.filter(|label| !label.is_empty()).unwrap_or(line.name);
            line.options.color = color;
            Ok(vec![line].into())
        },
    },
    Function {
        name: "verticalLine",
        group: Group::Graph,
        description: "A line from bottom to top at one time.",
        params: &[needs("ts", ParamKind::Date), may("label", ParamKind::String), may("color", ParamKind::String)],
        run: vertical,
    },
];

fn each(call: &mut Call<'_>, change: impl Fn(&mut Series)) -> Outcome {
    let mut series = call.series(0)?;
    series.iter_mut().for_each(change);
    Ok(series.into())
}

/// A level line: three values over the window.
pub(super) fn level(call: &Call<'_>, value: f64) -> Series {
    let (from_s, until_s) = (call.context.from_s, call.context.until_s);
    let line = call.made(repr(value), from_s, until_s, ((until_s - from_s) / 2).max(1), vec![value; 3]);
    Series { path_expression: format!("constantLine({})", repr(value)), ..line }
}

fn stacked(call: &mut Call<'_>) -> Outcome {
    let stack = call.text_if_given(1)?;
    let series = call.series(0)?;
    let mut stacks = call.context.stacks.borrow_mut();
    let total = stacks.entry(stack.clone().unwrap_or_default()).or_default();
    let mut results = Vec::new();
    for one in series {
        if total.len() < one.values.len() {
            total.resize(one.values.len(), 0.0);
        }
        let heap = |(total, value): (&mut f64, &f64)| {
            *total += if value.is_nan() { 0.0 } else { *value };
            if value.is_nan() { f64::NAN } else { *total }
        };
        let values = total.iter_mut().zip(&one.values).map(heap).collect();
        let name = if stack.is_some() { one.name.clone() } else { format!("stacked({})", one.name) };
        let one = if stack.is_some() { one } else { one.tagged("stacked", "__DEFAULT__") };
        let derived = one.derived(name, values);
        results.push(Series { options: Options { stacked: true, ..Options::default() }, ..derived });
    }
    Ok(results.into())
}

/// Two series as the edges of an area.
pub(super) fn between(call: &Call<'_>, series: Vec<Series>) -> Result<Vec<Series>, GraphiteError> {
    let n = series.len();
    let Ok([mut lower, mut upper]) = <[Series; 2]>::try_from(series) else {
        return Err(call.wrong(0, format!("takes exactly 2 series, not {n}")));
    };
    let name = format!("areaBetween({})", upper.path_expression);
    upper.tags.insert("areaBetween".to_owned(), "1".to_owned());
    lower.tags.clone_from(&upper.tags);
    lower.options = Options { stacked: true, invisible: true, ..lower.options };
    upper.options.stacked = true;
    (lower.name, upper.name) = (name.clone(), name);
    Ok(vec![lower, upper])
}

fn vertical(call: &mut Call<'_>) -> Outcome {
    let at_s = call.moment(0)?;
    let (label, color) = (call.text_if_given(1)?, call.text_if_given(2)?);
    if at_s < call.context.from_s {
        return Err(call.wrong(0, format!("timestamp {at_s} exists before start of range")));
    }
    if at_s > call.context.until_s {
        return Err(call.wrong(0, format!("timestamp {at_s} exists after end of range")));
    }
    let line = call.made(label.unwrap_or_else(|| "verticalLine".to_owned()), at_s, at_s, 1, vec![1.0, 1.0]);
    Ok(vec![Series { options: Options { infinite: true, color, ..Options::default() }, ..line }].into())
}
