//! Other names for series.

use super::{
    aggregate::Aggregate,
    call::{Call, Function, Group, Outcome, Param, ParamKind, needs, rest},
    group::{element, key_of, nodes},
    number::{Number, repr},
    pattern::{regex, replacement},
    series::Series,
    special::with_prefix,
};

const NODES: &[Param] = &[needs("seriesList", ParamKind::SeriesList), rest("nodes", ParamKind::NodeOrTag).required()];
const POSITIONS: &[Param] = &[needs("seriesList", ParamKind::SeriesList), rest("pos", ParamKind::Integer)];

pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "alias",
        group: Group::Alias,
        description: "The series under this name.",
        params: &[needs("seriesList", ParamKind::SeriesList), needs("newName", ParamKind::String)],
        run: |call| {
            let name = call.text(1)?;
            rename(call, |_| name.clone())
        },
    },
    Function {
        name: "aliasSub",
        group: Group::Alias,
        description: "Replaces what a regular expression finds in the names; \\1 stands for its first group.",
        params: &[
            needs("seriesList", ParamKind::SeriesList),
            needs("search", ParamKind::String),
            needs("replace", ParamKind::String),
        ],
        run: |call| {
            let (search, replace) = (regex(call, 1)?, replacement(&call.text(2)?));
            rename(call, |one| search.replace_all(&one.name, replace.as_str()).into_owned())
        },
    },
    Function {
        name: "aliasByNode",
        group: Group::Alias,
        description: "Names series by some nodes of their names, or tags.",
        params: NODES,
        run: by_node,
    },
    Function {
        name: "aliasByTags",
        group: Group::Alias,
        description: "Names series by some of their tags, or nodes.",
        params: &[needs("seriesList", ParamKind::SeriesList), rest("tags", ParamKind::NodeOrTag).required()],
        run: by_node,
    },
    Function {
        name: "aliasByMetric",
        group: Group::Alias,
        description: "Names series by the last node of their names.",
        params: &[needs("seriesList", ParamKind::SeriesList)],
        run: |call| rename(call, |one| part_of(&one.name, -1, 0)),
    },
    Function {
        name: "aliasQuery",
        group: Group::Alias,
        description: "Makes a target of each name by a regular expression, and puts that target's last value into the new name at its %.",
        params: &[
            needs("seriesList", ParamKind::SeriesList),
            needs("search", ParamKind::String),
            needs("replace", ParamKind::String),
            needs("newName", ParamKind::String),
        ],
        run: query,
    },
    Function {
        name: "legendValue",
        group: Group::Alias,
        description: "Adds a value over all time to the names, as (max: 3.5); si or binary at the end shortens it.",
        params: &[needs("seriesList", ParamKind::SeriesList), rest("valuesTypes", ParamKind::String)],
        run: legend_value,
    },
    Function {
        name: "upper",
        group: Group::Alias,
        description: "Names in upper case, or only the letters at some places.",
        params: POSITIONS,
        run: |call| case(call, |c| c.to_uppercase().collect()),
    },
    Function {
        name: "lower",
        group: Group::Alias,
        description: "Names in lower case, or only the letters at some places.",
        params: POSITIONS,
        run: |call| case(call, |c| c.to_lowercase().collect()),
    },
    Function {
        name: "substr",
        group: Group::Special,
        description: "Names series by the nodes of their names from start up to stop; 0 is the end.",
        params: &[
            needs("seriesList", ParamKind::SeriesList),
            super::call::may("start", ParamKind::Node).or("0"),
            super::call::may("stop", ParamKind::Node).or("0"),
        ],
        run: |call| {
            let (start, stop) = (call.integer(1)?, call.integer(2)?);
            rename(call, |one| part_of(&one.name, start, stop))
        },
    },
];

fn rename(call: &mut Call<'_>, name_of: impl Fn(&Series) -> String) -> Outcome {
    let mut series = call.series(0)?;
    for one in &mut series {
        one.name = name_of(one);
    }
    Ok(series.into())
}

fn by_node(call: &mut Call<'_>) -> Outcome {
    let nodes = nodes(call, 1)?;
    rename(call, |one| key_of(one, &nodes))
}

/// The nodes `start..stop` of the innermost path of a name.
fn part_of(name: &str, start: i64, stop: i64) -> String {
    let left = name.rfind('(').map_or(0, |at| at + 1);
    let right = name.find(')').unwrap_or(name.len());
    let clean = name.get(left..right).unwrap_or_default();
    let nodes: Vec<&str> = clean.split('.').collect();
    let index =
        |place: i64| (if place < 0 { place + nodes.len() as i64 } else { place }).clamp(0, nodes.len() as i64) as usize;
    let end = if stop == 0 { nodes.len() } else { index(stop) };
    let part = nodes.get(index(start)..end).unwrap_or_default().join(".");
    part.split(',').next().unwrap_or_default().to_owned()
}

fn query(call: &mut Call<'_>) -> Outcome {
    let (search, replace, new_name) = (regex(call, 1)?, replacement(&call.text(2)?), call.text(3)?);
    let mut series = call.series(0)?;
    for one in &mut series {
        let target = search.replace_all(&one.name, replace.as_str()).into_owned();
        let found = call.context.nested(&target)?;
        let Some(first) = found.first() else {
            return Err(call.wrong(0, format!("no series found with query: {target}")));
        };
        let last = Aggregate::Last.over(&first.values);
        if last.is_nan() {
            return Err(call.wrong(0, format!("cannot get last value of series: {target}")));
        }
        one.name = printf(&new_name, last);
    }
    Ok(series.into())
}

/// Puts a number into the first `%d`, `%f`, `%g`, `%s` or `%.2f` of a text.
fn printf(format: &str, value: f64) -> String {
    let Some((before, rest)) = format.split_once('%') else { return format.to_owned() };
    let Some(at) = rest.find(|c: char| c.is_ascii_alphabetic()) else { return format.to_owned() };
    let (flags, after) = (&rest[..at], &rest[at + 1..]);
    let places = flags.split_once('.').and_then(|(_, places)| places.parse::<usize>().ok()).unwrap_or(6).min(30);
    let text = match rest.as_bytes()[at] {
        b'd' | b'i' => format!("{:.0}", value.trunc()),
        b'f' => format!("{value:.places$}"),
        b'g' => super::number::general(value),
        _ => repr(value),
    };
    format!("{before}{text}{}", after.replace("%%", "%"))
}

fn legend_value(call: &mut Call<'_>) -> Outcome {
    let mut kinds = call.texts(1)?;
    let system = kinds.pop_if(|last| last == "si" || last == "binary");
    let mut series = call.series(0)?;
    for kind in kinds {
        for one in &mut series {
            let value = Aggregate::named(&kind).map(|aggregate| aggregate.over(&one.values));
            match (&system, value) {
                (None, None) => one.name.push_str(&format!(" ({kind}: (?))")),
                (None, Some(value)) => {
                    let text = if value.is_nan() { "None".to_owned() } else { plain(value, &kind) };
                    one.name.push_str(&format!(" ({kind}: {text})"));
                }
                (Some(system), value) => {
                    let text = match value {
                        None => "(?)".to_owned(),
                        Some(value) if value.is_nan() => "None".to_owned(),
                        Some(value) => with_prefix(value, system == "binary", None),
                    };
                    one.name = format!("{:<20}{kind:<5}{text:<10}", one.name);
                }
            }
        }
    }
    Ok(series.into())
}

/// A value as Python prints it: counts are whole.
fn plain(value: f64, kind: &str) -> String {
    if kind == "count" { Number::whole(value as i64).to_string() } else { repr(value) }
}

fn case(call: &mut Call<'_>, change: impl Fn(char) -> String) -> Outcome {
    let positions = call.integers(1)?;
    rename(call, |one| {
        if positions.is_empty() {
            return one.name.chars().map(&change).collect();
        }
        let places: Vec<usize> = (0..one.name.chars().count()).collect();
        let chosen: Vec<usize> = positions.iter().filter_map(|place| element(&places, *place).copied()).collect();
        one.name
            .chars()
            .enumerate()
            .map(|(index, c)| if chosen.contains(&index) { change(c) } else { c.to_string() })
            .collect()
    })
}
