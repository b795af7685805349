//! Series by their names' parts or tags: grouped, mapped, reduced.

use std::collections::HashMap;

use super::{
    aggregate::Aggregate,
    call::{Call, Function, Group, Outcome, Param, ParamKind, Value, may, needs, rest},
    combine::aggregated,
    error::GraphiteError,
    parse::{Expression, ExpressionKind, parse},
    registry,
    series::{Series, tags},
};

/// A part of a series' name: by place, or the value of a tag.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Place(i64),
    Tag(String),
}

/// All nodes given for a parameter.
pub(super) fn nodes(call: &Call<'_>, place: usize) -> Result<Vec<Node>, GraphiteError> {
    let node = |(column, value): &(usize, Value)| match value {
        Value::Number(number) if number.is_whole => Ok(Node::Place(number.value as i64)),
        Value::Text(text) => Ok(Node::Tag(text.clone())),
        _ => Err(GraphiteError::Argument {
            column: *column,
            function: call.function.name.to_owned(),
            message: "a node is a whole number or the name of a tag".to_owned(),
        }),
    };
    call.values[place].iter().map(node).collect()
}

/// The element at a place, counted from the end if negative.
pub(super) fn element<T>(items: &[T], place: i64) -> Option<&T> {
    let index = if place < 0 { place.checked_add(items.len() as i64)? } else { place };
    items.get(usize::try_from(index).ok()?)
}

/// The nodes of a series joined by dots. A name that is a call gives the first path within it.
pub(super) fn key_of(series: &Series, nodes: &[Node]) -> String {
    let path = if series.name.ends_with(')') { first_path(&series.name) } else { None };
    let path = path.unwrap_or_else(|| series.name.clone());
    let parts: Vec<&str> = path.split(';').next().unwrap_or_default().split('.').collect();
    let node = |node: &Node| {
        let tag = match node {
            Node::Place(place) => match element(&parts, *place) {
                Some(part) => return (*part).to_owned(),
                None => place.to_string(),
            },
            Node::Tag(tag) => tag.clone(),
        };
        series.tags.get(&tag).cloned().unwrap_or_default()
    };
    nodes.iter().map(node).collect::<Vec<_>>().join(".")
}

/// The first path pattern within a name that is a call.
fn first_path(name: &str) -> Option<String> {
    fn within(expression: &Expression) -> Option<&str> {
        match &expression.kind {
            ExpressionKind::Path(path) => Some(path),
            ExpressionKind::Call { arguments, .. } => within(arguments.first()?),
            ExpressionKind::Template { body, .. } => within(body),
            _ => None,
        }
    }
    parse(name).ok().and_then(|expression| within(&expression).map(str::to_owned))
}

/// Series in groups, in the order in which their keys first come.
pub(super) fn keyed(series: Vec<Series>, key_of: impl Fn(&Series) -> String) -> Vec<(String, Vec<Series>)> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut groups: Vec<(String, Vec<Series>)> = Vec::new();
    for one in series {
        let key = key_of(&one);
        match places.get(&key) {
            Some(place) => groups[*place].1.push(one),
            None => {
                places.insert(key.clone(), groups.len());
                groups.push((key, vec![one]));
            }
        }
    }
    groups
}

/// Runs a function over one list of series, as a callback.
fn called(call: &Call<'_>, name: &str, lists: Vec<Vec<Series>>, place: usize) -> Result<Option<Series>, GraphiteError> {
    let known = registry::find(name)
        .filter(|function| function.params.first().is_some_and(|param| param.kind == ParamKind::SeriesList));
    let Some(function) = known else {
        if Aggregate::named(name).is_none() {
            return Err(call.wrong(place, format!("`{name}` combines no series")));
        }
        return aggregated(lists.into_iter().flatten().collect(), name, call.context.x_files_factor());
    };
    let mut values: Vec<Vec<(usize, Value)>> = vec![Vec::new(); function.params.len()];
    let last = function.params.len() - 1;
    for (index, list) in lists.into_iter().enumerate() {
        values[index.min(last)].push((call.column, Value::Series(list)));
    }
    if function.params.iter().zip(&values).any(|(param, values)| param.required && values.is_empty()) {
        return Err(call.wrong(place, format!("`{name}` needs more than series")));
    }
    let mut inner = Call { context: call.context, function, column: call.column, first: None, text: "", values };
    match (function.run)(&mut inner)? {
        Value::Series(series) => Ok(series.into_iter().next()),
        _ => Ok(None),
    }
}

const WILDCARDS: &[Param] = &[needs("seriesList", ParamKind::SeriesList), rest("position", ParamKind::Node)];

pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "groupByNode",
        group: Group::Combine,
        description: "Combines the series that agree in one node of their names; named by that node.",
        params: &[
            needs("seriesList", ParamKind::SeriesList),
            needs("nodeNum", ParamKind::NodeOrTag),
            may("callback", ParamKind::AggOrSeriesFunc).or("\"average\""),
        ],
        run: |call| {
            let (callback, nodes) = (call.text(2)?, nodes(call, 1)?);
            group_by(call, &callback, 2, &nodes)
        },
    },
    Function {
        name: "groupByNodes",
        group: Group::Combine,
        description: "Combines the series that agree in several nodes of their names; named by them.",
        params: &[
            needs("seriesList", ParamKind::SeriesList),
            needs("callback", ParamKind::AggOrSeriesFunc),
            rest("nodes", ParamKind::NodeOrTag),
        ],
        run: |call| {
            let (callback, nodes) = (call.text(1)?, nodes(call, 2)?);
            group_by(call, &callback, 1, &nodes)
        },
    },
    Function {
        name: "groupByTags",
        group: Group::Combine,
        description: "Combines the series that agree in some tags; named by them.",
        params: &[
            needs("seriesList", ParamKind::SeriesList),
            needs("callback", ParamKind::AggOrSeriesFunc),
            rest("tags", ParamKind::Tag).required(),
        ],
        run: group_by_tags,
    },
    Function {
        name: "aggregateWithWildcards",
        group: Group::Combine,
        description: "Combines the series whose names are equal once the parts at some places are left out.",
        params: &[
            needs("seriesList", ParamKind::SeriesList),
            needs("func", ParamKind::AggFunc),
            rest("position", ParamKind::Node),
        ],
        run: |call| {
            let (_, name) = call.aggregate(1)?;
            let positions = call.integers(2)?;
            with_wildcards(call, &name, &positions)
        },
    },
    Function {
        name: "sumSeriesWithWildcards",
        group: Group::Combine,
        description: "aggregateWithWildcards with sum.",
        params: WILDCARDS,
        run: |call| {
            let positions = call.integers(1)?;
            with_wildcards(call, "sum", &positions)
        },
    },
    Function {
        name: "averageSeriesWithWildcards",
        group: Group::Combine,
        description: "aggregateWithWildcards with average.",
        params: WILDCARDS,
        run: |call| {
            let positions = call.integers(1)?;
            with_wildcards(call, "average", &positions)
        },
    },
    Function {
        name: "multiplySeriesWithWildcards",
        group: Group::Combine,
        description: "aggregateWithWildcards with multiply.",
        params: WILDCARDS,
        run: |call| {
            let positions = call.integers(1)?;
            with_wildcards(call, "multiply", &positions)
        },
    },
    Function {
        name: "mapSeries",
        group: Group::Combine,
        description: "Sorts series into lists by nodes of their names, for reduceSeries.",
        params: MAP,
        run: map,
    },
    Function { name: "map", group: Group::Combine, description: "Short for mapSeries.", params: MAP, run: map },
    Function {
        name: "reduceSeries",
        group: Group::Combine,
        description: "Within each list of mapSeries, puts the series with certain nodes into a function, in the order named.",
        params: REDUCE,
        run: reduce,
    },
    Function {
        name: "reduce",
        group: Group::Combine,
        description: "Short for reduceSeries.",
        params: REDUCE,
        run: reduce,
    },
    Function {
        name: "applyByNode",
        group: Group::Combine,
        description: "Evaluates a target for each start of the names up to a node, with % standing for that start.",
        params: &[
            needs("seriesList", ParamKind::SeriesList),
            needs("nodeNum", ParamKind::Node),
            needs("templateFunction", ParamKind::String),
            may("newName", ParamKind::String),
        ],
        run: apply_by_node,
    },
];

const MAP: &[Param] = &[needs("seriesList", ParamKind::SeriesList), rest("mapNodes", ParamKind::NodeOrTag).required()];
const REDUCE: &[Param] = &[
    needs("seriesLists", ParamKind::SeriesLists),
    needs("reduceFunction", ParamKind::String),
    needs("reduceNode", ParamKind::Node),
    rest("reduceMatchers", ParamKind::String).required(),
];

fn group_by(call: &mut Call<'_>, callback: &str, place: usize, nodes: &[Node]) -> Outcome {
    let mut results = Vec::new();
    for (key, list) in keyed(call.series(0)?, |one| key_of(one, nodes)) {
        if let Some(result) = called(call, callback, vec![list], place)? {
            results.push(Series { name: key, ..result });
        }
    }
    Ok(results.into())
}

fn group_by_tags(call: &mut Call<'_>) -> Outcome {
    let (callback, wanted) = (call.text(1)?, call.texts(2)?);
    let series = call.series(0)?;
    let tag_of = |one: &Series, tag: &str| one.tags.get(tag).cloned().unwrap_or_default();
    let by_name = wanted.iter().any(|tag| tag == "name");
    let names: std::collections::BTreeSet<String> = series.iter().map(|one| tag_of(one, "name")).collect();
    let common = match (names.len(), names.first()) {
        (1, Some(name)) => name.clone(),
        _ => callback.clone(),
    };
    let key_of = |one: &Series| {
        let mut parts: Vec<String> =
            wanted.iter().filter(|tag| *tag != "name").map(|tag| format!("{tag}={}", tag_of(one, tag))).collect();
        parts.sort();
        parts.insert(0, if by_name { tag_of(one, "name") } else { common.clone() });
        parts.join(";")
    };
    let mut results = Vec::new();
    for (key, list) in keyed(series, key_of) {
        if let Some(result) = called(call, &callback, vec![list], 1)? {
            results.push(Series { tags: tags(&key), ..result.renamed(key) });
        }
    }
    Ok(results.into())
}

fn with_wildcards(call: &mut Call<'_>, name: &str, positions: &[i64]) -> Outcome {
    let key_of = |one: &Series| {
        let parts = one.name.split('.').enumerate();
        parts
            .filter(|(index, _)| !positions.contains(&(*index as i64)))
            .map(|(_, part)| part)
            .collect::<Vec<_>>()
            .join(".")
    };
    let mut results = Vec::new();
    for (key, list) in keyed(call.series(0)?, key_of) {
        if let Some(result) = aggregated(list, name, call.context.x_files_factor())? {
            results.push(Series { name: key, ..result });
        }
    }
    Ok(results.into())
}

fn map(call: &mut Call<'_>) -> Outcome {
    let nodes = nodes(call, 1)?;
    Ok(Value::Lists(keyed(call.series(0)?, |one| key_of(one, &nodes)).into_iter().map(|(_, list)| list).collect()))
}

fn reduce(call: &mut Call<'_>) -> Outcome {
    let (function, place, matchers) = (call.text(1)?, call.integer(2)?, call.texts(3)?);
    let mut groups: Vec<(String, Vec<Option<Series>>)> = Vec::new();
    for one in call.series(0)? {
        let parts: Vec<&str> = one.name.split('.').collect();
        let Some(matcher) = element(&parts, place).and_then(|part| matchers.iter().position(|matcher| matcher == part))
        else {
            continue;
        };
        let end = if place < 0 { parts.len() as i64 + place } else { place } as usize;
        let key = format!("{}.reduce.{function}", parts[..end].join("."));
        let index = groups.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
            groups.push((key, vec![None; matchers.len()]));
            groups.len() - 1
        });
        groups[index].1[matcher] = Some(one);
    }
    let mut results = Vec::new();
    for (key, members) in groups {
        // A matcher that found nothing leaves its argument empty, as divideSeries expects it.
        let lists = members.into_iter().map(|member| member.into_iter().collect()).collect();
        if let Some(result) = called(call, &function, lists, 1)? {
            results.push(Series { name: key, ..result });
        }
    }
    Ok(results.into())
}

fn apply_by_node(call: &mut Call<'_>) -> Outcome {
    let (place, target, new_name) = (call.integer(1)?, call.text(2)?, call.text_if_given(3)?);
    let series = call.series(0)?;
    let Some((start_s, end_s)) = series.last().map(|last| (last.start_s, last.end_s)) else {
        return Ok(Vec::new().into());
    };
    let prefix_of = |one: &Series| {
        let parts: Vec<&str> = one.name.split('.').collect();
        let end = place.saturating_add(1);
        let end = if end < 0 { parts.len() as i64 + end } else { end.min(parts.len() as i64) };
        parts[..end.max(0) as usize].join(".")
    };
    let prefixes: std::collections::BTreeSet<String> = series.iter().map(prefix_of).collect();
    let mut results = Vec::new();
    for prefix in prefixes {
        for result in call.context.nested(&target.replace('%', &prefix))? {
            let name = new_name.as_ref().map_or(result.name.clone(), |name| name.replace('%', &prefix));
            results.push(Series { name, path_expression: prefix.clone(), start_s, end_s, ..result });
        }
    }
    Ok(results.into())
}
