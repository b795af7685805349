//! The JSON Schemas of what Deployline takes and tells, by name and version.
//!
//! The files in `schemas/json` are written from the types by a test, which fails when the two differ. A name that ends
//! in `-1` is a promise: what version 1 readers rely on stays, and what version 1 senders send is taken. A change that
//! breaks either fails a test against the copies in `schemas/json/published` and needs a `-2` beside the `-1`.

/// One published JSON Schema (draft 2020-12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Document {
    /// Its name with its version, as in `deploy-1`.
    pub name: &'static str,
    /// What it describes.
    pub title: &'static str,
    /// The document itself.
    pub json: &'static str,
}

macro_rules! document {
    ($name:literal, $title:literal) => {
        Document { name: $name, title: $title, json: include_str!(concat!("../json/", $name, ".json")) }
    };
}

static DOCUMENTS: &[Document] = &[
    document!("blame-1", "the answer of `GET /api/v1/blame`"),
    document!("deploy-1", "a deploy, as the API tells of it and as `data` of a record of `deployline.deploys`"),
    document!("deploy-event-1", "a deploy event, the body of `POST /api/v1/deploys`"),
    document!("deploy-record-1", "a record of the topic `deployline.deploys`: a deploy in a CloudEvents 1.0 envelope"),
    document!("incident-1", "an incident, as the API tells of it and as `data` of a record of `deployline.incidents`"),
    document!(
        "incident-record-1",
        "a record of the topic `deployline.incidents`: an incident in a CloudEvents 1.0 envelope"
    ),
    document!("quarantine-1", "what was refused and kept, the answer of `GET /api/v1/quarantine/{position}`"),
];

/// Every document, by name.
pub fn documents() -> &'static [Document] {
    DOCUMENTS
}

/// The document of a name, which may end in `.json`.
pub fn document(name: &str) -> Option<&'static Document> {
    let name = name.strip_suffix(".json").unwrap_or(name);
    DOCUMENTS.iter().find(|document| document.name == name)
}

#[cfg(test)]
mod compatibility;

#[cfg(test)]
mod tests;
