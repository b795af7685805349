use std::{fs, path::PathBuf};

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Value, json};

use super::{
    compatibility::{Writer, breaks},
    *,
};
use crate::{Deploy, DeployEvent, Incident, blame::Blame, cloudevent::CloudEvent, quarantine::Whole};

/// Set, it writes the documents instead of comparing them: for whoever changed a type on purpose.
const WRITE: &str = "DEPLOYLINE_WRITE_SCHEMAS";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("json")
}

/// What senders may write.
fn taken<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().for_deserialize().into_generator().into_root_schema_for::<T>().to_value()
}

/// What readers will read.
fn told<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>().to_value()
}

/// A deploy event with what [`DeployEvent::into_deploy`] asks for beyond what its type says.
fn event() -> Value {
    let mut schema = taken::<DeployEvent>();
    let fields = schema.as_object_mut().unwrap();
    fields.insert("required".to_owned(), json!(["service"]));
    let times = ["started_at", "live_at", "finished_at"].map(|time| json!({ "required": [time] }));
    fields.insert("anyOf".to_owned(), json!(times));
    schema
}

/// The schema of a document as its type says it is.
fn generated(document: &Document) -> String {
    let mut schema = match document.name {
        "blame-1" => told::<Blame>(),
        "deploy-1" => told::<Deploy>(),
        "deploy-event-1" => event(),
        "deploy-record-1" => told::<CloudEvent<Deploy>>(),
        "incident-1" => told::<Incident>(),
        "incident-record-1" => told::<CloudEvent<Incident>>(),
        "quarantine-1" => told::<Whole>(),
        name => panic!("no type for {name}"),
    };
    let fields = schema.as_object_mut().unwrap();
    fields.insert("$id".to_owned(), format!("urn:deployline:schema:{}", document.name).into());
    fields.insert("title".to_owned(), document.title.into());
    format!("{schema:#}\n")
}

#[test]
fn the_published_documents_are_those_of_the_types() {
    for document in documents() {
        let generated = generated(document);
        if std::env::var_os(WRITE).is_some() {
            fs::write(folder().join(format!("{}.json", document.name)), &generated).unwrap();
            continue;
        }
        assert!(
            document.json == generated,
            "{} is not what the types say: run this test with {WRITE}=1 and read the difference",
            document.name
        );
    }
}

/// What was published first under a name.
fn first(name: &str) -> Value {
    serde_json::from_slice(&fs::read(folder().join("published").join(format!("{name}.json"))).unwrap()).unwrap()
}

#[test]
fn nothing_breaks_those_who_rely_on_what_was_published_first() {
    for document in documents() {
        let writer = if document.name == "deploy-event-1" { Writer::Others } else { Writer::Us };
        let faults = breaks(writer, &first(document.name), &serde_json::from_str(document.json).unwrap());
        assert!(faults.is_empty(), "{} breaks its version 1, make a version 2: {faults:#?}", document.name);
    }
}

#[test]
fn records_of_the_first_version_can_be_read_for_ever() {
    for (name, schema) in [("deploy-1.read", taken::<Deploy>()), ("incident-1.read", taken::<Incident>())] {
        let faults = breaks(Writer::Others, &first(name), &schema);
        assert!(faults.is_empty(), "the topic can no longer be replayed, see {name}: {faults:#?}");
    }
}

#[test]
fn a_document_is_found_by_its_name_with_or_without_its_ending() {
    assert!(documents().is_sorted_by(|a, b| a.name < b.name));
    assert_eq!(document("deploy-1"), document("deploy-1.json"));
    assert_eq!(document("deploy-1").unwrap().name, "deploy-1");
    assert_eq!(document("../Cargo"), None);
}

/// Changes one place of version 1 of a document and says what that breaks.
#[track_caller]
fn change(writer: Writer, pointer: &str, to: impl FnOnce(&mut Value), expected: &[&str]) {
    let name = if writer == Writer::Us { "deploy-1" } else { "deploy-event-1" };
    let before = first(name);
    let mut after = before.clone();
    to(after.pointer_mut(pointer).unwrap_or_else(|| panic!("nothing at {pointer}")));
    assert_ne!(before, after, "the change at {pointer} is none");
    assert_eq!(breaks(writer, &before, &after), expected);
}

fn object(value: &mut Value) -> &mut serde_json::Map<String, Value> {
    value.as_object_mut().unwrap()
}

#[test]
fn what_is_added_or_said_better_breaks_nobody() {
    for writer in [Writer::Us, Writer::Others] {
        let region = json!({ "type": ["string", "null"] });
        change(writer, "/properties", |fields| drop(object(fields).insert("region".to_owned(), region)), &[]);
        change(writer, "/properties/version/description", |text| *text = "said better".into(), &[]);
        change(writer, "/title", |text| *text = "another".into(), &[]);
    }
}

#[test]
fn what_is_removed_renamed_or_retyped_breaks_readers_and_writers() {
    for writer in [Writer::Us, Writer::Others] {
        let gone = "/version: the property is gone";
        change(writer, "/properties", |fields| drop(object(fields).remove("version")), &[gone]);
        let rename = |fields: &mut Value| {
            let field = object(fields).remove("version").unwrap();
            object(fields).insert("revision".to_owned(), field);
        };
        change(writer, "/properties", rename, &[gone]);
        let (lost, new) = ("/version: \"string\" is no longer allowed", "/version: \"number\" is newly allowed");
        change(writer, "/properties/version/type", |kind| *kind = json!(["number", "null"]), &[lost, new]);
        let lost = "/version: \"null\" is no longer allowed";
        change(writer, "/properties/version/type", |kind| *kind = json!("string"), &[lost]);
    }
    let faults = [
        "/exposure/*/0: format: \"date-time\" became \"time\"",
        "/finished_at/0: format: \"date-time\" became \"time\"",
        "/live_at/0: format: \"date-time\" became \"time\"",
        "/started_at: format: \"date-time\" became \"time\"",
    ];
    change(Writer::Us, "/$defs/Time/format", |format| *format = "time".into(), &faults);
}

#[test]
fn what_we_need_from_now_on_breaks_writers_and_what_we_leave_out_breaks_readers() {
    let add = |names: &mut Value| names.as_array_mut().unwrap().push("version".into());
    change(Writer::Others, "/required", add, &[": \"version\" is newly required"]);
    let remove = |names: &mut Value| names.as_array_mut().unwrap().retain(|name| name != "status");
    change(Writer::Us, "/required", remove, &[": \"status\" is no longer always there"]);
    let none = |names: &mut Value| *names = json!([]);
    change(Writer::Us, "/$defs/Commit/required", none, &["/commits/*: \"id\" is no longer always there"]);
    change(Writer::Others, "/$defs/Commit/required", none, &[]);
    let more = |names: &mut Value| names.as_array_mut().unwrap().push("region".into());
    change(Writer::Us, "/required", more, &[]);
    change(Writer::Others, "/anyOf", |list| drop(list.as_array_mut().unwrap().pop()), &[": 3 alternatives became 2"]);
}

#[test]
fn an_enum_s_values_stay_as_they_are_in_any_order() {
    for writer in [Writer::Us, Writer::Others] {
        let values = "/$defs/Status/oneOf";
        let remove = |list: &mut Value| list.as_array_mut().unwrap().retain(|one| one["const"] != "failed");
        let at = if writer == Writer::Us { "/status" } else { "/status/0" };
        change(writer, values, remove, &[&format!("{at}: \"failed\" is no longer allowed")]);
        let add = |list: &mut Value| list.as_array_mut().unwrap().push(json!({ "const": "paused", "type": "string" }));
        change(writer, values, add, &[&format!("{at}: \"paused\" is newly allowed")]);
        change(writer, values, |list| list.as_array_mut().unwrap().reverse(), &[]);
    }
}
