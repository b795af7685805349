//! Some of the series, some of the values, or another order.

use super::{
    aggregate::Aggregate,
    call::{Call, Function, Group, Outcome, Param, ParamKind, Value, may, needs, rest},
    combine::rows,
    number::{general, repr},
    pattern::{percentile, regex, replacement},
    series::Series,
};

const SERIES: &[Param] = &[needs("seriesList", ParamKind::SeriesList)];
const FLOAT: &[Param] = &[needs("seriesList", ParamKind::SeriesList), needs("n", ParamKind::Float)];
const COUNT: &[Param] = &[needs("seriesList", ParamKind::SeriesList), needs("n", ParamKind::Integer)];
const RANKED: &[Param] = &[
    needs("seriesList", ParamKind::SeriesList),
    needs("n", ParamKind::Integer),
    may("func", ParamKind::AggFunc).or("\"average\""),
];
const REGEX: &[Param] = &[needs("seriesList", ParamKind::SeriesList), needs("pattern", ParamKind::String)];

macro_rules! functions {
    ($group:ident: $($name:literal, $params:expr, $run:expr, $description:literal;)*) => {
        &[$(Function { name: $name, group: Group::$group, description: $description, params: $params, run: $run },)*]
    };
}

pub(super) static SERIES_FILTERS: &[Function] = functions! { FilterSeries:
    "averageAbove", FLOAT, |call| threshold(call, Aggregate::Average, ">"), "The series whose mean is greater than n.";
    "averageBelow", FLOAT, |call| threshold(call, Aggregate::Average, "<="), "The series whose mean is at most n.";
    "currentAbove", FLOAT, |call| threshold(call, Aggregate::Last, ">"), "The series whose last value is greater than n.";
    "currentBelow", FLOAT, |call| threshold(call, Aggregate::Last, "<="), "The series whose last value is at most n.";
    "maximumAbove", FLOAT, |call| threshold(call, Aggregate::Max, ">"), "The series whose greatest value is greater than n.";
    "maximumBelow", FLOAT, |call| threshold(call, Aggregate::Max, "<="), "The series whose greatest value is at most n.";
    "minimumAbove", FLOAT, |call| threshold(call, Aggregate::Min, ">"), "The series whose least value is greater than n.";
    "minimumBelow", FLOAT, |call| threshold(call, Aggregate::Min, "<="), "The series whose least value is at most n.";
    "highest", RANKED, |call| { let (by, _) = call.aggregate(2)?; ranked(call, by, true) }, "The n series with the greatest aggregate.";
    "highestAverage", COUNT, |call| ranked(call, Aggregate::Average, true), "The n series with the greatest mean.";
    "highestCurrent", COUNT, |call| ranked(call, Aggregate::Last, true), "The n series with the greatest last value.";
    "highestMax", COUNT, |call| ranked(call, Aggregate::Max, true), "The n series with the greatest value.";
    "lowest", RANKED, |call| { let (by, _) = call.aggregate(2)?; ranked(call, by, false) }, "The n series with the least aggregate.";
    "lowestAverage", COUNT, |call| ranked(call, Aggregate::Average, false), "The n series with the least mean.";
    "lowestCurrent", COUNT, |call| ranked(call, Aggregate::Last, false), "The n series with the least last value.";
    "limit", COUNT, |call| { let n = call.integer(1)?; Ok(first(call.series(0)?, n).into()) }, "The first n series.";
    "mostDeviant", COUNT, most_deviant, "The n series with the greatest variance.";
    "grep", REGEX, |call| named(call, true), "The series in whose names a regular expression is found.";
    "exclude", REGEX, |call| named(call, false), "The series in whose names a regular expression is not found.";
    "averageOutsidePercentile", FLOAT, outside, "The series whose mean is not between the (100 - n)-th and n-th percentile of all means.";
    "removeBetweenPercentile", FLOAT, between, "The series that leave the band between the (100 - n)-th and n-th percentile of all at some time.";
    "removeEmptySeries", &[needs("seriesList", ParamKind::SeriesList), may("xFilesFactor", ParamKind::Float)], not_empty,
        "The series with any value, or with such a share of values at least.";
    "unique", &[rest("seriesLists", ParamKind::SeriesList).required()], unique, "Each series once, by name.";
    "filterSeries", &[
        needs("seriesList", ParamKind::SeriesList),
        needs("func", ParamKind::AggFunc),
        needs("operator", ParamKind::String).of(&["!=", "<", "<=", "=", ">", ">="]),
        needs("threshold", ParamKind::Float),
    ], filter, "The series whose aggregate compares so with a threshold.";
    "useSeriesAbove", &[
        needs("seriesList", ParamKind::SeriesList),
        needs("value", ParamKind::Float),
        needs("search", ParamKind::String),
        needs("replace", ParamKind::String),
    ], use_above, "For each series that exceeds a value, the one whose name a regular expression makes of its name.";
};

pub(super) static DATA_FILTERS: &[Function] = functions! { FilterData:
    "removeAbovePercentile", FLOAT, |call| remove(call, true, true), "Values above the n-th percentile of their series become gaps.";
    "removeAboveValue", FLOAT, |call| remove(call, true, false), "Values above n become gaps.";
    "removeBelowPercentile", FLOAT, |call| remove(call, false, true), "Values below the n-th percentile of their series become gaps.";
    "removeBelowValue", FLOAT, |call| remove(call, false, false), "Values below n become gaps.";
};

pub(super) static SORTS: &[Function] = functions! { Sorting:
    "sortBy", &[
        needs("seriesList", ParamKind::SeriesList),
        may("func", ParamKind::AggFunc).or("\"average\""),
        may("reverse", ParamKind::Boolean).or("false"),
    ], |call| {
        let ((by, _), reverse) = (call.aggregate(1)?, call.boolean(2)?);
        Ok(sorted(call.series(0)?, by, reverse).into())
    }, "The series by an aggregate, least first.";
    "sortByName", &[
        needs("seriesList", ParamKind::SeriesList),
        may("natural", ParamKind::Boolean).or("false"),
        may("reverse", ParamKind::Boolean).or("false"),
    ], by_name, "The series by name; with natural, numbers within by size.";
    "sortByTotal", SERIES, |call| Ok(sorted(call.series(0)?, Aggregate::Sum, true).into()), "The series by their sums, greatest first.";
    "sortByMaxima", SERIES, |call| Ok(sorted(call.series(0)?, Aggregate::Max, true).into()), "The series by their greatest values, greatest first.";
    "sortByMinima", SERIES, |call| {
        let positive = call.series(0)?.into_iter().filter(|one| Aggregate::Max.over(&one.values) > 0.0).collect();
        Ok(sorted(positive, Aggregate::Min, false).into())
    }, "The series that exceed zero by their least values, least first.";
};

/// Whether an aggregate compares so; that of nothing is less than and different from everything.
fn compares(value: f64, operator: &str, threshold: f64) -> bool {
    match operator {
        ">" => value > threshold,
        ">=" => value >= threshold,
        "=" => value == threshold,
        "!=" => value.is_nan() || value != threshold,
        "<" => value.is_nan() || value < threshold,
        _ => value.is_nan() || value <= threshold,
    }
}

fn threshold(call: &mut Call<'_>, by: Aggregate, operator: &str) -> Outcome {
    let n = call.float(1)?;
    Ok(call.series(0)?.into_iter().filter(|one| compares(by.over(&one.values), operator, n)).collect::<Vec<_>>().into())
}

fn filter(call: &mut Call<'_>) -> Outcome {
    let ((by, _), operator, n) = (call.aggregate(1)?, call.text(2)?, call.float(3)?);
    Ok(call
        .series(0)?
        .into_iter()
        .filter(|one| compares(by.over(&one.values), &operator, n))
        .collect::<Vec<_>>()
        .into())
}

/// In order of an aggregate; equals keep their order, and those without one count as least.
fn sorted(series: Vec<Series>, by: Aggregate, reverse: bool) -> Vec<Series> {
    let key = |one: &Series| {
        let value = by.over(&one.values);
        if value.is_nan() { f64::NEG_INFINITY } else { value }
    };
    let mut keyed: Vec<(f64, Series)> = series.into_iter().map(|one| (key(&one), one)).collect();
    keyed.sort_by(|(a, _), (b, _)| if reverse { b.total_cmp(a) } else { a.total_cmp(b) });
    keyed.into_iter().map(|(_, one)| one).collect()
}

/// The first n; without the last -n if negative.
fn first(mut series: Vec<Series>, n: i64) -> Vec<Series> {
    let end = if n < 0 { series.len() as i64 + n } else { n };
    series.truncate(end.max(0) as usize);
    series
}

fn ranked(call: &mut Call<'_>, by: Aggregate, reverse: bool) -> Outcome {
    let n = call.integer(1)?;
    Ok(first(sorted(call.series(0)?, by, reverse), n).into())
}

fn most_deviant(call: &mut Call<'_>) -> Outcome {
    let n = call.integer(1)?;
    let known = call.series(0)?.into_iter().filter(|one| one.values.iter().any(|value| !value.is_nan())).collect();
    Ok(first(sorted(known, Aggregate::StdDev, true), n).into())
}

fn named(call: &mut Call<'_>, wanted: bool) -> Outcome {
    let pattern = regex(call, 1)?;
    Ok(call.series(0)?.into_iter().filter(|one| pattern.is_match(&one.name) == wanted).collect::<Vec<_>>().into())
}

/// The upper of the two percentiles that n and 100 - n are.
fn upper(n: f64) -> f64 {
    if n < 50.0 { 100.0 - n } else { n }
}

fn outside(call: &mut Call<'_>) -> Outcome {
    let n = upper(call.float(1)?);
    let series = call.series(0)?;
    let means: Vec<f64> = series.iter().map(|one| Aggregate::Average.over(&one.values)).collect();
    let (low, high) = (percentile(&means, 100.0 - n, false), percentile(&means, n, false));
    let kept = series.into_iter().zip(means).filter(|(_, mean)| !(low < *mean && *mean < high));
    Ok(kept.map(|(one, _)| one).collect::<Vec<_>>().into())
}

fn between(call: &mut Call<'_>) -> Outcome {
    let n = upper(call.float(1)?);
    let series = call.series(0)?;
    let low = rows(&series, |row| percentile(row, 100.0 - n, false));
    let high = rows(&series, |row| percentile(row, n, false));
    let leaves = |one: &Series| {
        one.values
            .iter()
            .enumerate()
            .any(|(index, value)| !(value.is_nan() || (low[index] < *value && *value < high[index])))
    };
    Ok(series.into_iter().filter(leaves).collect::<Vec<_>>().into())
}

fn not_empty(call: &mut Call<'_>) -> Outcome {
    let least = call.number(1)?.map_or(0.0, |number| number.value);
    let enough = |one: &Series| {
        let present = one.values.iter().filter(|value| !value.is_nan()).count();
        present > 0 && present as f64 / one.values.len() as f64 >= least
    };
    Ok(call.series(0)?.into_iter().filter(enough).collect::<Vec<_>>().into())
}

fn unique(call: &mut Call<'_>) -> Outcome {
    let mut seen = std::collections::HashSet::new();
    Ok(call.series(0)?.into_iter().filter(|one| seen.insert(one.name.clone())).collect::<Vec<_>>().into())
}

fn use_above(call: &mut Call<'_>) -> Outcome {
    let (value, search, replace) = (call.float(1)?, regex(call, 2)?, replacement(&call.text(3)?));
    let mut results = Vec::new();
    for one in call.series(0)?.iter().filter(|one| Aggregate::Max.over(&one.values) > value) {
        results.extend(call.context.nested(&search.replace_all(&one.name, replace.as_str()))?);
    }
    Ok(results.into())
}

fn remove(call: &mut Call<'_>, above: bool, by_percentile: bool) -> Outcome {
    let (n, function) = (call.float(1)?, call.function.name);
    let cut = |one: Series| {
        let bound = if by_percentile { percentile(&one.values, n, false) } else { n };
        let name = format!("{function}({}, {})", one.name, general(n));
        let one = if by_percentile && !bound.is_nan() { one.tagged("nPercentile", repr(n)) } else { one };
        one.renamed(name)
            .map(|value| if (above && value > bound) || (!above && value < bound) { f64::NAN } else { value })
    };
    Ok(call.series(0)?.into_iter().map(cut).collect::<Vec<_>>().into())
}

fn by_name(call: &mut Call<'_>) -> Outcome {
    let (natural, reverse) = (call.boolean(1)?, call.boolean(2)?);
    let key = |one: &Series| if natural { padded(&one.name) } else { one.name.clone() };
    let mut series = call.series(0)?;
    series.sort_by_cached_key(key);
    if reverse {
        // Equals keep their order, as with Python's reverse sort.
        series.reverse();
        let mut start = 0;
        while start < series.len() {
            let name = key(&series[start]);
            let end = start + series[start..].iter().take_while(|one| key(one) == name).count();
            series[start..end].reverse();
            start = end;
        }
    }
    Ok(Value::Series(series))
}

/// The name with its numbers padded to ten digits.
fn padded(name: &str) -> String {
    let (mut result, mut digits) = (String::new(), String::new());
    for character in name.chars().chain(['\0']) {
        if character.is_ascii_digit() {
            digits.push(character);
            continue;
        }
        if !digits.is_empty() {
            result.push_str(&format!("{:0>10}", digits.trim_start_matches('0')));
            digits.clear();
        }
        result.push(character);
    }
    result
}
