//! Says what of a schema's change would break those who rely on the version before.
//!
//! What we tell is read by programs that are older than we are; what we take was written by older ones, and the topics
//! are replayed from their beginning. Either way a property may be added and a description improved. A property that
//! goes, or a type or a value that changes, breaks somebody; so does a property that we need from now on where we take,
//! or leave out from now on where we tell.

use std::collections::BTreeSet;

use serde_json::Value;

/// Keywords that people read and validators do not.
const ANNOTATIONS: [&str; 7] = ["$schema", "$id", "$defs", "title", "description", "examples", "default"];

const LOST: &str = "is no longer allowed";
/// A reader that knows the values by heart has no place for another.
const NEW: &str = "is newly allowed";

/// Who writes a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writer {
    /// We do, and others read it.
    Us,
    /// Others do, or we did with earlier code.
    Others,
}

/// What breaks between two versions of a document, each with the place where it does; empty for a safe change.
pub(super) fn breaks(writer: Writer, before: &Value, after: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    compare("", Part::whole(writer, before), Part::whole(writer, after), &mut faults);
    faults
}

/// A schema within its document, which its references point into.
#[derive(Clone, Copy)]
struct Part<'v> {
    writer: Writer,
    document: &'v Value,
    schema: &'v Value,
}

impl<'v> Part<'v> {
    fn whole(writer: Writer, document: &'v Value) -> Self {
        Self { writer, document, schema: document }
    }

    fn within(self, schema: &'v Value) -> Self {
        let reference = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
        Self { schema: reference.and_then(|pointer| self.document.pointer(pointer)).unwrap_or(schema), ..self }
    }

    fn keyword(self, name: &str) -> Self {
        self.within(self.schema.get(name).unwrap_or(&Value::Null))
    }
}

fn compare(at: &str, before: Part<'_>, after: Part<'_>, faults: &mut Vec<String>) {
    let (Some(was), Some(is)) = (before.schema.as_object(), after.schema.as_object()) else {
        return expect_same(at, before, after, faults);
    };
    let keywords: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    for keyword in keywords.into_iter().filter(|keyword| !ANNOTATIONS.contains(&keyword.as_str())) {
        let (before, after) = (before.keyword(keyword), after.keyword(keyword));
        match keyword.as_str() {
            "properties" => properties(at, before, after, faults),
            "required" if before.writer == Writer::Us => {
                words(at, before, after, [Some("is no longer always there"), None], faults);
            }
            "required" => words(at, before, after, [None, Some("is newly required")], faults),
            "enum" | "type" => words(at, before, after, [Some(LOST), Some(NEW)], faults),
            "items" | "additionalProperties" => compare(&format!("{at}/*"), before, after, faults),
            "prefixItems" | "oneOf" | "anyOf" => branches(at, before, after, faults),
            keyword => expect_same(&format!("{at}: {keyword}"), before, after, faults),
        }
    }
}

/// A property may be added, and none may go. One that is renamed is one that went.
fn properties(at: &str, before: Part<'_>, after: Part<'_>, faults: &mut Vec<String>) {
    for (name, was) in before.schema.as_object().into_iter().flatten() {
        let at = format!("{at}/{name}");
        match after.schema.get(name) {
            Some(is) => compare(&at, before.within(was), after.within(is), faults),
            None => faults.push(format!("{at}: the property is gone")),
        }
    }
}

/// Compares sets of words; a change is a fault where there is a word for it.
fn words(at: &str, before: Part<'_>, after: Part<'_>, [lost, new]: [Option<&str>; 2], faults: &mut Vec<String>) {
    let set = |part: Part<'_>| -> BTreeSet<String> {
        match part.schema {
            Value::Array(items) => items.iter().map(Value::to_string).collect(),
            Value::Null => BTreeSet::new(),
            single => BTreeSet::from([single.to_string()]),
        }
    };
    let (was, is) = (set(before), set(after));
    faults.extend(was.difference(&is).filter_map(|word| Some(format!("{at}: {word} {}", lost?))));
    faults.extend(is.difference(&was).filter_map(|word| Some(format!("{at}: {word} {}", new?))));
}

/// Alternatives: those with a constant, as an enum's variants are, in any order; others one by one.
fn branches(at: &str, before: Part<'_>, after: Part<'_>, faults: &mut Vec<String>) {
    let list = |part: Part<'_>| part.schema.as_array().map_or(0, Vec::len);
    let constants = |part: Part<'_>| -> Option<BTreeSet<String>> {
        part.schema.as_array()?.iter().map(|branch| Some(branch.get("const")?.to_string())).collect()
    };
    if let (Some(was), Some(is)) = (constants(before), constants(after)) {
        faults.extend(was.difference(&is).map(|word| format!("{at}: {word} {LOST}")));
        faults.extend(is.difference(&was).map(|word| format!("{at}: {word} {NEW}")));
        return;
    }
    if list(before) != list(after) {
        faults.push(format!("{at}: {} alternatives became {}", list(before), list(after)));
        return;
    }
    let pairs = before.schema.as_array().into_iter().flatten().zip(after.schema.as_array().into_iter().flatten());
    for (index, (was, is)) in pairs.enumerate() {
        compare(&format!("{at}/{index}"), before.within(was), after.within(is), faults);
    }
}

fn expect_same(at: &str, before: Part<'_>, after: Part<'_>, faults: &mut Vec<String>) {
    if before.schema != after.schema {
        faults.push(format!("{at}: {} became {}", before.schema, after.schema));
    }
}
