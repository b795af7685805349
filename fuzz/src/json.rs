//! Changes JSON as the tree that it is, so that what comes out is read to the end.

use fastrand::Rng;
use serde_json::{Map, Value, json};

use crate::corpus::Input;

/// Changes a document in one to four places; false for what is no JSON, which stays as it is.
pub(crate) fn mutate(bytes: &mut Vec<u8>, corpus: &[Input], rng: &mut Rng) -> bool {
    let Ok(mut tree) = serde_json::from_slice::<Value>(bytes) else { return false };
    for _ in 0..rng.usize(1..=4) {
        let donor = rng.choice(corpus).and_then(|input| serde_json::from_slice::<Value>(&input.body).ok());
        change(node(&mut tree, rng), donor.as_ref(), rng);
    }
    *bytes = tree.to_string().into_bytes();
    true
}

/// A node of the tree, deeper ones as likely as others.
fn node<'t>(tree: &'t mut Value, rng: &mut Rng) -> &'t mut Value {
    let mut at = tree;
    loop {
        let n_below = match &at {
            Value::Array(items) => items.len(),
            Value::Object(fields) => fields.len(),
            _ => 0,
        };
        if n_below == 0 || rng.u8(..6) == 0 {
            return at;
        }
        let index = rng.usize(..n_below);
        at = match at {
            Value::Array(items) => &mut items[index],
            Value::Object(fields) => fields.values_mut().nth(index).expect("there are so many fields"),
            _ => unreachable!("only lists and objects have something below"),
        };
    }
}

fn change(node: &mut Value, donor: Option<&Value>, rng: &mut Rng) {
    match rng.u8(..7) {
        0 => *node = leaf(rng),
        1 => *node = donor.map_or(Value::Null, |donor| self::node(&mut donor.clone(), rng).clone()),
        // Deeper than any sender goes, and deeper than the limit.
        2 => {
            let n_levels = 1 << rng.u32(..9);
            *node = (0..n_levels)
                .fold(std::mem::take(node), |inner, n| if n % 2 == 0 { json!([inner]) } else { json!({ "a": inner }) });
        }
        3 => match node {
            Value::Object(fields) => drop_one(fields, rng),
            Value::Array(items) if !items.is_empty() => drop(items.swap_remove(rng.usize(..items.len()))),
            other => *other = Value::Null,
        },
        4 => match node {
            Value::Array(items) if !items.is_empty() => {
                let item = items[rng.usize(..items.len())].clone();
                items.extend(std::iter::repeat_n(item, 1 << rng.u32(..8)));
            }
            Value::String(text) if !text.is_empty() => *text = text.repeat(1 << rng.u32(..10)),
            Value::Object(fields) => {
                let n_fields = 1 << rng.u32(..9);
                fields.extend((0..n_fields).map(|n| (format!("k{n}"), json!(n))));
            }
            other => *other = json!([other.clone(), other.clone()]),
        },
        // Another type for the same thing: the number as text, the text as list.
        5 => {
            *node = match std::mem::take(node) {
                Value::Number(number) => Value::String(number.to_string()),
                Value::String(text) => text.parse::<i64>().map_or_else(|_| json!({ "name": text }), Value::from),
                Value::Array(mut items) => items.pop().unwrap_or_default(),
                Value::Object(fields) => fields.into_values().collect(),
                other => json!(other.to_string()),
            };
        }
        _ => {
            if let Value::Object(fields) = node {
                rename_one(fields, rng);
            }
        }
    }
}

fn drop_one(fields: &mut Map<String, Value>, rng: &mut Rng) {
    if let Some(name) = rng.choice(fields.keys().cloned().collect::<Vec<_>>()) {
        fields.remove(&name);
    }
}

fn rename_one(fields: &mut Map<String, Value>, rng: &mut Rng) {
    let names: Vec<String> = fields.keys().cloned().collect();
    if let (Some(from), Some(to)) = (rng.choice(&names), rng.choice(&names)) {
        let value = fields.remove(from).unwrap_or_default();
        fields.insert(to.clone(), value);
    }
}

fn leaf(rng: &mut Rng) -> Value {
    match rng.u8(..14) {
        0 => Value::Null,
        1 => json!(rng.bool()),
        2 => json!(rng.i64(..)),
        3 => json!(f64::MAX),
        4 => json!(-1),
        5 => json!(0),
        6 => json!(u64::MAX),
        7 => json!(""),
        8 => json!(" \u{0}\u{202e}\u{1f600} "),
        9 => json!("0001-01-01T00:00:00Z"),
        10 => json!("9999-12-31T23:59:59.999999999+23:59"),
        11 => json!("x".repeat(1 << rng.u32(..16))),
        12 => json!("https://user:pass@[::1]:99999/%zz?#\u{7f}"),
        _ => json!(1e15 + rng.f64() * 1e15),
    }
}
