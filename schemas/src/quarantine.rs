//! What was refused and kept, as the API and the command line tell of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::time::UnixMillis;

/// A refused request or record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Entry {
    /// Names it for `show` and `redrive`: `PARTITION-OFFSET` in the topic `quarantine`.
    pub position: String,
    /// When it was put there.
    pub quarantined_at: UnixMillis,
    /// The hook's source, or the consumer that could not read it.
    pub source: String,
    /// The part of the URL below `/hooks/`, or the topic that it came from.
    pub path: String,
    /// The code of the refusal; never changes.
    pub reason: String,
    /// The refusal in a sentence.
    pub problem: String,
    /// How much of the body is kept, in bytes.
    pub body_bytes: usize,
    /// Whether the body was too long to be kept whole; such a one cannot be tried again.
    pub is_cut: bool,
}

/// A refused request or record with all that was kept of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Whole {
    /// What the list tells of it.
    #[serde(flatten)]
    pub entry: Entry,
    /// Its headers but those that could be secret, in order.
    pub headers: Vec<(String, String)>,
    /// Where it was read from, if it did not come over HTTP: `topic`, `partition`, `offset`, as far as there are such.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub origin: BTreeMap<String, String>,
    /// The body as text; what is no UTF-8 in it is replaced.
    pub body: String,
}
