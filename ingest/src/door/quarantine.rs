//! A refused request as a record, and back.

use std::collections::BTreeMap;

use deployline_bus::Record;
use deployline_schemas::UnixMillis;

use super::DoorError;
use crate::hooks::{HookError, HookRequest};

/// Most of a body that is kept, in bytes.
pub const MAX_QUARANTINED_BYTES: usize = 256 * 1024;
/// Most headers of the request that are kept, and their longest value in bytes.
const MAX_HEADERS: usize = 32;
const MAX_HEADER_BYTES: usize = 512;

const HTTP: &str = "http-";
const SECRET: &[&str] = &["auth", "token", "secret", "key", "signature", "cookie", "team", "hmac", "password"];

/// A refused request or record, out of quarantine.
#[derive(Debug, Clone)]
pub struct Quarantined {
    /// The source's name.
    pub source: String,
    /// The part of the URL below `/hooks/`; `None` for a record of a topic that no hook brought, which cannot be tried
    /// again.
    pub path: Option<String>,
    /// Where it was read from, if it did not come over HTTP: `topic`, `partition` and `offset`.
    pub origin: BTreeMap<String, String>,
    /// The code of the refusal.
    pub reason: String,
    /// The refusal in a sentence.
    pub problem: String,
    /// The request, without what could be secret in it.
    pub request: HookRequest,
    /// How long the body was, where not all of it was kept.
    pub cut_from_bytes: Option<usize>,
}

/// The record of a refusal: the body as it came, the rest in headers, and none of them a secret.
pub(super) fn record(source: &str, path: &str, request: &HookRequest, reason: &str, problem: &str) -> Record {
    let n_bytes = request.body.len();
    let mut record = Record::new(source, request.body.slice(..n_bytes.min(MAX_QUARANTINED_BYTES)))
        .with_header("reason", reason)
        .with_header("problem", clip(problem))
        .with_header("source", source)
        .with_header("path", path)
        .with_header("rest", clip(&request.path))
        .with_header("query", clip(&without_secrets(&request.query)))
        .with_header("received_at", request.received_at.to_string());
    if n_bytes > MAX_QUARANTINED_BYTES {
        record = record.with_header("cut_from_bytes", n_bytes.to_string());
    }
    let kept = request.headers.iter().filter(|(name, value)| !is_secret(name) && value.len() <= MAX_HEADER_BYTES);
    for (name, value) in kept.take(MAX_HEADERS) {
        record = record.with_header(format!("{HTTP}{}", name.to_ascii_lowercase()), value.clone());
    }
    record
}

impl Quarantined {
    /// What a record of the topic `quarantine` holds.
    ///
    /// # Errors
    /// When it has no reason, and so is none of ours.
    pub fn from_record(record: &Record) -> Result<Self, DoorError> {
        let header = |name: &str| record.header(name).unwrap_or_default().to_owned();
        record.header("reason").ok_or_else(|| HookError::missing("reason"))?;
        let path = record.header("path").map(str::to_owned);
        let origin = ["topic", "partition", "offset"].into_iter();
        let origin = origin.filter_map(|name| Some((name.to_owned(), record.header(name)?.to_owned()))).collect();
        let cut_from_bytes = record.header("cut_from_bytes").and_then(|length| length.parse().ok());
        let http = record.headers.iter().filter_map(|(name, value)| Some((name.strip_prefix(HTTP)?, value)));
        let request = HookRequest {
            path: header("rest"),
            headers: http.map(|(name, value)| (name.to_owned(), value.clone())).collect(),
            query: header("query"),
            body: record.value.clone(),
            received_at: header("received_at").parse().unwrap_or(UnixMillis(0)),
            // A line that explained it is not kept with it.
            n_known_lines: 0,
        };
        let (source, reason, problem) = (header("source"), header("reason"), header("problem"));
        Ok(Self { source, path, origin, reason, problem, request, cut_from_bytes })
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET.iter().any(|word| name.contains(word)) && name != "idempotency-key" && name != "x-event-key"
}

/// A query without the parameters that could be secret.
fn without_secrets(query: &str) -> String {
    let kept = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| !is_secret(name));
    form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish()
}

fn clip(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_HEADER_BYTES)]
}
