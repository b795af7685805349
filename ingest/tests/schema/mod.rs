//! Checks a value against one of the published JSON Schemas, as far as those go.
//!
//! A validator from a registry would rebuild most of the workspace (it wants other features of what everything stands
//! on), so here are the keywords that the documents use; a document with any other fails the test.

use deployline_schemas::{UnixMillis, document::document};
use serde_json::Value;

/// Panics unless `value` is what the document of that name describes.
#[track_caller]
pub fn assert_valid(name: &str, value: &Value) {
    let schema: Value = serde_json::from_str(document(name).unwrap().json).unwrap();
    if let Err(fault) = check(&schema, &schema, value) {
        panic!("{name}: {fault} in {value:#}");
    }
}

fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let Some(keywords) = schema.as_object() else { return Ok(()) };
    keywords.iter().try_for_each(|(keyword, rule)| keyword_holds(document, keyword, rule, value))
}

fn keyword_holds(document: &Value, keyword: &str, rule: &Value, value: &Value) -> Result<(), String> {
    let fields = || value.as_object().into_iter().flatten();
    let items = || value.as_array().into_iter().flatten();
    let list = || rule.as_array().unwrap();
    let fault = |what: &str| Err(format!("{value} {what} {rule}"));
    let within = |at: &str, outcome: Result<(), String>| outcome.map_err(|fault| format!("{at}: {fault}"));
    match keyword {
        "$defs" | "$id" | "$schema" | "title" | "description" | "default" => Ok(()),
        "$ref" => check(document, document.pointer(&rule.as_str().unwrap()[1..]).unwrap(), value),
        "type" => match rule {
            Value::Array(types) if types.iter().any(|one| has_type(one, value)) => Ok(()),
            Value::String(_) if has_type(rule, value) => Ok(()),
            _ => fault("is none of type"),
        },
        "const" if value == rule => Ok(()),
        "const" => fault("is not"),
        "enum" if list().contains(value) => Ok(()),
        "enum" => fault("is none of"),
        "format" => match rule.as_str().unwrap() {
            "date-time" => {
                let moment = value.as_str().unwrap_or_default();
                (moment.ends_with('Z') && moment.parse::<UnixMillis>().is_ok())
                    .then_some(())
                    .ok_or_else(|| moment.to_owned())
            }
            "double" | "uint32" | "uint" => Ok(()),
            _ => fault("has an unknown format"),
        },
        "minimum" if value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()) => Ok(()),
        "minItems" if value.as_array().is_none_or(|items| items.len() as u64 >= rule.as_u64().unwrap()) => Ok(()),
        "maxItems" if value.as_array().is_none_or(|items| items.len() as u64 <= rule.as_u64().unwrap()) => Ok(()),
        "required" => match list().iter().find(|name| value.get(name.as_str().unwrap()).is_none()) {
            Some(name) => Err(format!("{name} is missing")),
            None => Ok(()),
        },
        "properties" => fields().try_for_each(|(name, value)| match rule.get(name) {
            Some(schema) => within(name, check(document, schema, value)),
            None => Ok(()),
        }),
        // Beside `properties` the documents allow anything, and where it says more there are no properties.
        "additionalProperties" => fields().try_for_each(|(name, value)| within(name, check(document, rule, value))),
        "items" => items().try_for_each(|value| check(document, rule, value)),
        "prefixItems" => items().zip(list()).try_for_each(|(value, schema)| check(document, schema, value)),
        "anyOf" if list().iter().any(|schema| check(document, schema, value).is_ok()) => Ok(()),
        "oneOf" if list().iter().filter(|schema| check(document, schema, value).is_ok()).count() == 1 => Ok(()),
        keyword => fault(&format!("fails `{keyword}`")),
    }
}

fn has_type(name: &Value, value: &Value) -> bool {
    match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        name => panic!("unknown type {name}"),
    }
}
