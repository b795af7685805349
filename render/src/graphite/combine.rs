//! Several series become one.

use super::{
    aggregate::Aggregate,
    call::{Call, Function, Group, Outcome, Param, ParamKind, Value, may, needs, rest},
    error::GraphiteError,
    group::{Node, key_of, keyed, nodes},
    number::{Number, general},
    pattern::percentile,
    series::Series,
};

const LISTS: &[Param] = &[rest("seriesLists", ParamKind::SeriesList).required()];
const PAIR: &[Param] =
    &[needs("seriesListFirstPos", ParamKind::SeriesList), needs("seriesListSecondPos", ParamKind::SeriesList)];

macro_rules! aggregates {
    ($($name:literal, $word:literal, $description:literal;)*) => {
        [$(Function {
            name: $name,
            group: Group::Combine,
            description: $description,
            params: LISTS,
            run: |call| {
                let series = call.series(0)?;
                Ok(aggregated(series, $word, call.context.x_files_factor())?.into_iter().collect::<Vec<_>>().into())
            },
        },)*]
    };
}

pub(super) static AGGREGATES: [Function; 9] = aggregates! {
    "sumSeries", "sum", "The sum of all series at each time, gaps left out.";
    "sum", "sum", "Short for sumSeries.";
    "averageSeries", "average", "The mean of all series at each time, gaps left out.";
    "avg", "average", "Short for averageSeries.";
    "minSeries", "min", "The least of all series at each time.";
    "maxSeries", "max", "The greatest of all series at each time.";
    "diffSeries", "diff", "The first series less all others at each time.";
    "rangeOfSeries", "rangeOf", "The greatest less the least of all series at each time.";
    "stddevSeries", "stddev", "The standard deviation of all series at each time, of the whole population.";
};

pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "aggregate",
        group: Group::Combine,
        description: "All series as one by an aggregation function; a time with a smaller share of values than xFilesFactor is a gap.",
        params: &[
            needs("seriesList", ParamKind::SeriesList),
            needs("func", ParamKind::AggFunc),
            may("xFilesFactor", ParamKind::Float),
        ],
        run: |call| {
            let (_, name) = call.aggregate(1)?;
            let x_files_factor = call.number(2)?.map_or(call.context.x_files_factor(), |number| number.value);
            let series = call.series(0)?;
            Ok(aggregated(series, &name, x_files_factor)?.into_iter().collect::<Vec<_>>().into())
        },
    },
    Function {
        name: "aggregateSeriesLists",
        group: Group::Combine,
        description: "The first of one list with the first of the other, and so on, by an aggregation function.",
        params: &[
            needs("seriesListFirstPos", ParamKind::SeriesList),
            needs("seriesListSecondPos", ParamKind::SeriesList),
            needs("func", ParamKind::AggFunc),
            may("xFilesFactor", ParamKind::Float),
        ],
        run: |call| {
            let (_, name) = call.aggregate(2)?;
            pairwise(call, &name)
        },
    },
    Function {
        name: "sumSeriesLists",
        group: Group::Combine,
        description: "The sums of one list's series with the other's, one by one.",
        params: PAIR,
        run: |call| pairwise(call, "sum"),
    },
    Function {
        name: "diffSeriesLists",
        group: Group::Combine,
        description: "One list's series less the other's, one by one.",
        params: PAIR,
        run: |call| pairwise(call, "diff"),
    },
    Function {
        name: "multiplySeriesLists",
        group: Group::Combine,
        description: "The products of one list's series with the other's, one by one.",
        params: PAIR,
        run: |call| pairwise(call, "multiply"),
    },
    Function {
        name: "multiplySeries",
        group: Group::Combine,
        description: "The product of all series at each time; a gap where any has one. A single series stays as it is.",
        params: LISTS,
        run: |call| {
            let lists = call.lists(0)?;
            if let [one] = lists.as_slice()
                && one.len() == 1
            {
                return Ok(Value::Series(one.clone()));
            }
            let series = lists.into_iter().flatten().collect();
            Ok(aggregated(series, "multiply", call.context.x_files_factor())?.into_iter().collect::<Vec<_>>().into())
        },
    },
    Function {
        name: "countSeries",
        group: Group::Combine,
        description: "How many series there are, at each time.",
        params: &[rest("seriesLists", ParamKind::SeriesList)],
        run: count,
    },
    Function {
        name: "percentileOfSeries",
        group: Group::Combine,
        description: "The n-th percentile of all series at each time; between two values with interpolate.",
        params: &[
            needs("seriesList", ParamKind::SeriesList),
            needs("n", ParamKind::Float),
            may("interpolate", ParamKind::Boolean).or("false"),
        ],
        run: percentile_of,
    },
    Function {
        name: "powSeries",
        group: Group::Combine,
        description: "The first series to the power of the second, that to the power of the third, and so on.",
        params: &[rest("seriesList", ParamKind::SeriesList).required()],
        run: power,
    },
    Function {
        name: "divideSeries",
        group: Group::Combine,
        description: "Each series by one other; a gap where that is zero or a gap.",
        params: &[needs("dividendSeriesList", ParamKind::SeriesList), needs("divisorSeries", ParamKind::SeriesList)],
        run: divide,
    },
    Function {
        name: "divideSeriesLists",
        group: Group::Combine,
        description: "One list's series by the other's, one by one.",
        params: &[
            needs("dividendSeriesList", ParamKind::SeriesList),
            needs("divisorSeriesList", ParamKind::SeriesList),
        ],
        run: |call| {
            let (dividends, divisors) = (call.series(0)?, call.series(1)?);
            same_length(call, &dividends, &divisors)?;
            let pairs = dividends.into_iter().zip(divisors);
            pairs
                .map(|(dividend, divisor)| quotient(call, dividend, divisor))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::Series)
        },
    },
    Function {
        name: "asPercent",
        group: Group::Combine,
        description: "Each series in percent of a total: of their sum, of a number, of one series or of one each; by node when nodes are given.",
        params: AS_PERCENT,
        run: as_percent,
    },
    Function {
        name: "pct",
        group: Group::Combine,
        description: "Short for asPercent.",
        params: AS_PERCENT,
        run: as_percent,
    },
    Function {
        name: "weightedAverage",
        group: Group::Combine,
        description: "The mean of series weighted by others, matched by node: sum(average * weight) / sum(weight).",
        params: &[
            needs("seriesListAvg", ParamKind::SeriesList),
            needs("seriesListWeight", ParamKind::SeriesList),
            rest("nodes", ParamKind::NodeOrTag),
        ],
        run: weighted_average,
    },
    Function {
        name: "group",
        group: Group::Combine,
        description: "All series of all arguments in one list.",
        params: &[rest("seriesLists", ParamKind::SeriesList)],
        run: |call| call.series(0).map(Value::Series),
    },
];

const AS_PERCENT: &[Param] =
    &[needs("seriesList", ParamKind::SeriesList), may("total", ParamKind::Any), rest("nodes", ParamKind::NodeOrTag)];

/// Series brought to one step, each by its own consolidation, and the grid that spans them.
pub(super) struct Normalized {
    pub series: Vec<Series>,
    pub start_s: i64,
    pub end_s: i64,
    pub step_s: i64,
}

/// Largest common step, in seconds, that unequal steps may lead to: a year.
const MAX_STEP_S: i64 = 366 * 86_400;

/// Brings series to their steps' least common multiple; `None` when there are none.
pub(super) fn normalized(mut series: Vec<Series>) -> Result<Option<Normalized>, GraphiteError> {
    let Some(first) = series.first() else { return Ok(None) };
    let gcd = |mut a: i64, mut b: i64| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let lcm = |a: i64, b: i64| a / gcd(a, b) * b;
    let step_s = series
        .iter()
        .try_fold(first.step_s, |step, one| Some(lcm(step, one.step_s)).filter(|step| *step <= MAX_STEP_S));
    let Some(step_s) = step_s else {
        return Err(GraphiteError::TooMuch {
            what: "seconds of common step",
            asked: usize::MAX,
            limit: MAX_STEP_S as usize,
        });
    };
    let start_s = series.iter().map(|one| one.start_s).min().unwrap_or(0);
    let end_s = series.iter().map(|one| one.end_s).max().unwrap_or(0);
    for one in &mut series {
        if one.step_s != step_s {
            one.values = one.consolidated((step_s / one.step_s) as usize);
        }
    }
    Ok(Some(Normalized { series, start_s, end_s: end_s - (end_s - start_s).rem_euclid(step_s), step_s }))
}

/// The path expressions of series, each once, as combiners put them into their names.
pub(super) fn path_expressions(series: &[Series]) -> String {
    let mut seen: Vec<&str> = Vec::new();
    let mut known = std::collections::HashSet::new();
    for one in series {
        if known.insert(one.path_expression.as_str()) {
            seen.push(&one.path_expression);
        }
    }
    seen.join(",")
}

/// All series as one; `None` when there are none. `name` is the aggregation's, as the result's name shows it.
pub(super) fn aggregated(
    series: Vec<Series>,
    name: &str,
    x_files_factor: f64,
) -> Result<Option<Series>, GraphiteError> {
    let word = name.strip_suffix("Series").unwrap_or(name);
    let Some(aggregate) = Aggregate::named(word) else { return Ok(None) };
    let Some(Normalized { series, start_s, end_s, step_s }) = normalized(series)? else { return Ok(None) };
    let columns: Vec<&[f64]> = series.iter().map(|one| one.values.as_slice()).collect();
    let values = aggregate.across(&columns, x_files_factor);
    let full_name = format!("{word}Series({})", path_expressions(&series));
    let mut tags = series[0].tags.clone();
    tags.retain(|tag, value| series.iter().all(|one| one.tags.get(tag) == Some(value)));
    tags.entry("name".to_owned()).or_insert_with(|| full_name.clone());
    tags.insert("aggregatedBy".to_owned(), word.to_owned());
    Ok(Some(Series { tags, x_files_factor, ..Series::new(full_name, start_s, end_s, step_s, values) }))
}

fn same_length(call: &Call<'_>, first: &[Series], second: &[Series]) -> Result<(), GraphiteError> {
    if first.len() == second.len() {
        return Ok(());
    }
    Err(call.wrong(0, format!("the lists have {} and {} series, they must have as many", first.len(), second.len())))
}

fn pairwise(call: &mut Call<'_>, name: &str) -> Outcome {
    let (firsts, seconds) = (call.series(0)?, call.series(1)?);
    same_length(call, &firsts, &seconds)?;
    let word = name.strip_suffix("Series").unwrap_or(name);
    let mut results = Vec::new();
    for (first, second) in firsts.into_iter().zip(seconds) {
        let full_name = format!("{word}Series({},{})", first.name, second.name);
        if let Some(result) = aggregated(vec![first, second], name, call.context.x_files_factor())? {
            results.push(Series { name: full_name, ..result });
        }
    }
    Ok(results.into())
}

/// How many series: of rows, as graphite-web counts, not of values.
fn count(call: &mut Call<'_>) -> Outcome {
    if call.values[0].is_empty() {
        let (from_s, until_s) = (call.context.from_s, call.context.until_s);
        let line = call.made("0", from_s, until_s, ((until_s - from_s) / 2).max(1), vec![0.0; 3]);
        return Ok(vec![Series { path_expression: "countSeries()".to_owned(), ..line }].into());
    }
    let Some(all) = normalized(call.series(0)?)? else { return Ok(Vec::new().into()) };
    let n_rows = all.series.iter().map(|one| one.values.len()).max().unwrap_or(0);
    let name = format!("countSeries({})", path_expressions(&all.series));
    let values = vec![all.series.len() as f64; n_rows];
    Ok(vec![call.made(name, all.start_s, all.end_s, all.step_s, values)].into())
}

fn percentile_of(call: &mut Call<'_>) -> Outcome {
    let (n, interpolate) = (call.float(1)?, call.boolean(2)?);
    if n <= 0.0 {
        return Err(call.wrong(1, "`n` must be greater than 0"));
    }
    let Some(all) = normalized(call.series(0)?)? else { return Ok(Vec::new().into()) };
    let name = format!("percentileOfSeries({},{})", all.series[0].path_expression, general(n));
    let values = rows(&all.series, |row| percentile(row, n, interpolate));
    Ok(vec![call.made(name, all.start_s, all.end_s, all.step_s, values)].into())
}

fn power(call: &mut Call<'_>) -> Outcome {
    let Some(all) = normalized(call.series(0)?)? else { return Ok(Vec::new().into()) };
    let names: Vec<&str> = all.series.iter().map(|one| one.name.as_str()).collect();
    let name = format!("powSeries({})", names.join(","));
    let values = rows(&all.series, |row| row.iter().copied().reduce(safe_power).unwrap_or(f64::NAN));
    Ok(vec![call.made(name, all.start_s, all.end_s, all.step_s, values)].into())
}

/// A power that is a gap where it is no finite number.
pub(super) fn safe_power(base: f64, exponent: f64) -> f64 {
    // `powf` takes 1 to anything for 1, but a gap stays a gap.
    if base.is_nan() || exponent.is_nan() {
        return f64::NAN;
    }
    Some(base.powf(exponent)).filter(|power| power.is_finite()).unwrap_or(f64::NAN)
}

/// One value for each row of columns, the shorter of which end in gaps.
pub(super) fn rows(series: &[Series], mut value_of: impl FnMut(&[f64]) -> f64) -> Vec<f64> {
    let n_rows = series.iter().map(|one| one.values.len()).max().unwrap_or(0);
    let mut row = Vec::with_capacity(series.len());
    (0..n_rows)
        .map(|index| {
            row.clear();
            row.extend(series.iter().map(|one| one.values.get(index).copied().unwrap_or(f64::NAN)));
            value_of(&row)
        })
        .collect()
}

fn divide(call: &mut Call<'_>) -> Outcome {
    let (dividends, mut divisors) = (call.series(0)?, call.series(1)?);
    if divisors.len() > 1 {
        return Err(call.wrong(1, format!("the second argument must give exactly 1 series, not {}", divisors.len())));
    }
    let Some(divisor) = divisors.pop() else {
        let missing = |one: Series| {
            let name = format!("divideSeries({},MISSING)", one.name);
            one.renamed(name).map(|_| f64::NAN)
        };
        return Ok(dividends.into_iter().map(missing).collect::<Vec<_>>().into());
    };
    let quotients = dividends.into_iter().map(|dividend| quotient(call, dividend, divisor.clone()));
    quotients.collect::<Result<Vec<_>, _>>().map(Value::Series)
}

fn quotient(call: &Call<'_>, dividend: Series, divisor: Series) -> Result<Series, GraphiteError> {
    let name = format!("divideSeries({},{})", dividend.name, divisor.name);
    combined(call, name, dividend, divisor, safe_ratio)
}

/// Two series brought to one step, value by value.
fn combined(
    call: &Call<'_>,
    name: String,
    left: Series,
    right: Series,
    of: impl Fn(f64, f64) -> f64,
) -> Result<Series, GraphiteError> {
    let Some(both) = normalized(vec![left, right])? else { return Ok(call.made(name, 0, 1, 1, Vec::new())) };
    let values = rows(&both.series, |row| of(row[0], row[1]));
    Ok(call.made(name, both.start_s, both.end_s, both.step_s, values))
}

/// A ratio that is a gap where the divisor is zero.
fn safe_ratio(dividend: f64, divisor: f64) -> f64 {
    if divisor == 0.0 { f64::NAN } else { dividend / divisor }
}

fn share(value: f64, total: f64) -> f64 {
    safe_ratio(value, total) * 100.0
}

/// The sum as asPercent forms it, whatever the share of gaps.
fn total_of(call: &Call<'_>, series: Vec<Series>) -> Result<Option<Series>, GraphiteError> {
    if series.len() == 1 {
        return Ok(series.into_iter().next());
    }
    let Some(all) = normalized(series)? else { return Ok(None) };
    let columns: Vec<&[f64]> = all.series.iter().map(|one| one.values.as_slice()).collect();
    let name = format!("sumSeries({})", path_expressions(&all.series));
    Ok(Some(call.made(name, all.start_s, all.end_s, all.step_s, Aggregate::Sum.across(&columns, 0.0))))
}

fn as_percent(call: &mut Call<'_>) -> Outcome {
    let nodes = nodes(call, 2)?;
    let total: Option<Vec<Series>> = match call.values[1].first() {
        None | Some((_, Value::None)) => None,
        Some((_, Value::Series(_) | Value::Lists(_))) => Some(call.series(1)?),
        Some(_) if nodes.is_empty() => {
            let number = call.number(1)?.unwrap_or(Number::whole(0));
            return percent_of_number(call, number);
        }
        Some(_) => return Err(call.wrong(1, "with nodes, `total` must be none or series")),
    };
    let Some(all) = normalized(call.series(0)?)? else { return Ok(Vec::new().into()) };
    let series: Vec<Series> = all.series.into_iter().map(|one| Series { step_s: all.step_s, ..one }).collect();
    if !nodes.is_empty() {
        return percent_by_key(call, series, total, &nodes);
    }
    match total {
        None => {
            let text = format!("sumSeries({})", path_expressions(&series));
            let columns: Vec<&[f64]> = series.iter().map(|one| one.values.as_slice()).collect();
            let values = Aggregate::Sum.across(&columns, 0.0);
            let total = call.made(text, all.start_s, all.end_s, all.step_s, values);
            percents(call, series, &total)
        }
        Some(mut totals) if totals.len() == 1 => percents(call, series, &totals.remove(0)),
        Some(mut totals) if totals.len() == series.len() => {
            let mut series = series;
            series.sort_by(|a, b| a.name.cmp(&b.name));
            totals.sort_by(|a, b| a.name.cmp(&b.name));
            let pairs = series.into_iter().zip(totals);
            let percent = |(one, total): (Series, Series)| {
                let name = format!("asPercent({},{})", one.name, total.name);
                combined(call, name, one, total, share)
            };
            pairs.map(percent).collect::<Result<Vec<_>, _>>().map(Value::Series)
        }
        Some(totals) => {
            let message = format!(
                "`total` gives {} series; it must be missing, a number, 1 series or {}",
                totals.len(),
                series.len()
            );
            Err(call.wrong(1, message))
        }
    }
}

fn percents(call: &Call<'_>, series: Vec<Series>, total: &Series) -> Outcome {
    let percent = |one: Series| {
        let name = format!("asPercent({},{})", one.name, total.name);
        combined(call, name, one, total.clone(), share)
    };
    series.into_iter().map(percent).collect::<Result<Vec<_>, _>>().map(Value::Series)
}

fn percent_of_number(call: &mut Call<'_>, total: Number) -> Outcome {
    let series = call.series(0)?;
    let percent = |one: Series| {
        let name = format!("asPercent({},{total})", one.name);
        let values = one.values.iter().map(|value| share(*value, total.value)).collect();
        call.made(name, one.start_s, one.end_s, one.step_s, values)
    };
    Ok(series.into_iter().map(percent).collect::<Vec<_>>().into())
}

fn percent_by_key(call: &Call<'_>, series: Vec<Series>, total: Option<Vec<Series>>, nodes: &[Node]) -> Outcome {
    let mut groups = keyed(series, |one| key_of(one, nodes));
    let given_totals = total.is_some();
    let sources = match total {
        None => groups.clone(),
        Some(total) => keyed(total, |one| key_of(one, nodes)),
    };
    let mut totals = Vec::new();
    for (key, list) in sources {
        if let Some(total) = total_of(call, list)? {
            totals.push((key, total));
        }
    }
    if given_totals {
        for (key, _) in &totals {
            if !groups.iter().any(|(known, _)| known == key) {
                groups.push((key.clone(), Vec::new()));
            }
        }
    }
    let mut results = Vec::new();
    for (key, list) in groups {
        let total = totals.iter().find(|(known, _)| *known == key).map(|(_, total)| total);
        if list.is_empty()
            && let Some(total) = total
        {
            let name = format!("asPercent(MISSING,{})", total.name);
            results.push(call.made(name, total.start_s, total.end_s, total.step_s, vec![f64::NAN; total.values.len()]));
        }
        for one in list {
            results.push(match total {
                Some(total) => {
                    let name = format!("asPercent({},{})", one.name, total.name);
                    combined(call, name, one, total.clone(), share)?
                }
                None => {
                    let name = format!("asPercent({},MISSING)", one.name);
                    call.made(name, one.start_s, one.end_s, one.step_s, vec![f64::NAN; one.values.len()])
                }
            });
        }
    }
    Ok(results.into())
}

fn weighted_average(call: &mut Call<'_>) -> Outcome {
    let nodes_given = call.texts(2)?;
    let nodes = nodes(call, 2)?;
    let (averages, weights) = (call.series(0)?, call.series(1)?);
    same_length(call, &averages, &weights)?;
    let expressions = |series: &[Series]| {
        let names: std::collections::BTreeSet<&str> = series.iter().map(|one| one.path_expression.as_str()).collect();
        names.into_iter().collect::<Vec<_>>().join(",")
    };
    let name =
        format!("weightedAverage({}, {}, {})", expressions(&averages), expressions(&weights), nodes_given.join(","));
    let by_key = |series: &[Series]| -> std::collections::HashMap<String, Series> {
        series.iter().map(|one| (key_of(one, &nodes), one.clone())).collect()
    };
    let weight_of = by_key(&weights);
    let mut products = Vec::new();
    for (key, average) in
        keyed(averages, |one| key_of(one, &nodes)).into_iter().filter_map(|(key, mut list)| Some((key, list.pop()?)))
    {
        if let Some(weight) = weight_of.get(&key) {
            let name = format!("product({},{})", weight.name, average.name);
            let values = rows(&[average.clone(), weight.clone()], |row| row[0] * row[1]);
            products.push(call.made(name, average.start_s, average.end_s, average.step_s, values));
        }
    }
    let factor = call.context.x_files_factor();
    let (Some(products), Some(weights)) = (aggregated(products, "sum", factor)?, aggregated(weights, "sum", factor)?)
    else {
        return Ok(Vec::new().into());
    };
    let values = rows(&[products.clone(), weights], |row| safe_ratio(row[0], row[1]));
    Ok(vec![call.made(name, products.start_s, products.end_s, products.step_s, values)].into())
}
