//! `/functions`: what targets can call, from the registry itself.

use deployline_render::graphite::{self, Aggregate, Function, Param, ParamKind};
use serde_json::{Map, Value, json};
use warp::{Reply, reply::Response};

use crate::{error::WebError, query::Query};

/// `GET /functions`: all, or those of `group`; by group with `grouped`. `type=pie` names Graphite's pie charts' functions,
/// of which there are none here.
///
/// # Errors
/// Never; the signature is the handlers'.
pub fn functions(query: &Query) -> Result<Response, WebError> {
    let group = query.get("group");
    let is_pie = query.get("type") == Some("pie");
    let listed = graphite::functions().values();
    let listed = listed.filter(|function| !is_pie && group.is_none_or(|group| function.group.name() == group));
    let mut all = Map::new();
    for function in listed {
        let place = match query.is_set("grouped") {
            true => all.entry(function.group.name()).or_insert_with(|| json!({})),
            false => all.entry(function.name).or_insert(Value::Null),
        };
        match place {
            Value::Object(group) => drop(group.insert(function.name.to_owned(), described(function))),
            place => *place = described(function),
        }
    }
    Ok(warp::reply::json(&all).into_response())
}

/// `GET /functions/{name}`
///
/// # Errors
/// [`WebError::NotFound`].
pub fn one(name: String) -> Result<Response, WebError> {
    match graphite::find(&name) {
        Some(function) => Ok(warp::reply::json(&described(function)).into_response()),
        None => Err(WebError::NotFound { what: "function", id: name }),
    }
}

fn described(function: &Function) -> Value {
    json!({
        "name": function.name,
        "function": call(function),
        "description": function.description,
        "module": "graphite.render.functions",
        "group": function.group.name(),
        "params": function.params.iter().map(parameter).collect::<Vec<_>>(),
    })
}

/// `movingAverage(seriesList, windowSize, xFilesFactor=null)`
fn call(function: &Function) -> String {
    let written = |param: &Param| match (param.multiple, param.required, param.default) {
        (true, ..) => format!("*{}", param.name),
        (_, true, _) => param.name.to_owned(),
        (_, false, default) => format!("{}={}", param.name, default.unwrap_or("None")),
    };
    format!("{}({})", function.name, function.params.iter().map(written).collect::<Vec<_>>().join(", "))
}

/// A parameter; keys that say nothing are left out, as in graphite-web.
fn parameter(param: &Param) -> Value {
    let mut described = json!({ "name": param.name, "type": param.kind.name() });
    if param.required {
        described["required"] = json!(true);
    }
    if param.multiple {
        described["multiple"] = json!(true);
    }
    if let Some(default) = param.default {
        described["default"] = serde_json::from_str(default).unwrap_or_else(|_| json!(default));
    }
    let mut options = match param.kind {
        ParamKind::AggFunc => Aggregate::NAMES.to_vec(),
        _ => param.options.to_vec(),
    };
    options.sort_unstable();
    if !options.is_empty() {
        described["options"] = json!(options);
    }
    if let Some(suggestions) = suggestions(param) {
        described["suggestions"] = suggestions;
    }
    if param.kind == ParamKind::IntOrInf {
        described["default"] = Value::Null;
    }
    described
}

/// What a query editor offers for a parameter; these are graphite-web's.
fn suggestions(param: &Param) -> Option<Value> {
    Some(match param.name {
        "intervalString" if param.kind == ParamKind::Interval => json!(["10min", "1h", "1d"]),
        "windowSize" => json!([5, 7, 10, "1min", "5min", "10min", "30min", "1hour"]),
        "timeShift" | "timeShiftUnit" => json!(["1h", "6h", "12h", "1d", "2d", "7d", "14d", "30d"]),
        "bootstrapInterval" => json!(["7d", "30d"]),
        "seasonality" => json!(["1d", "7d"]),
        _ => return None,
    })
}
