//! A refused request as a record, and back.

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

/// A refused request, out of quarantine.
#[derive(Debug, Clone)]
pub struct Quarantined {
    /// The source's name.
    pub source: String,
    /// The part of the URL below `/hooks/`.
    pub path: String,
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
pub(super) fn record(source: &str, path: &str, request: &HookRequest, error: &HookError) -> Record {
    let n_bytes = request.body.len();
    let mut record = Record::new(source, request.body.slice(..n_bytes.min(MAX_QUARANTINED_BYTES)))
        .with_header("reason", error.code())
        .with_header("problem", clip(&error.to_string()))
        .with_header("source", source)
        .with_header("path", path)
        .with_header("rest", clip(&request.path))
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
    /// When it is none of the door's.
    pub fn from_record(record: &Record) -> Result<Self, DoorError> {
        let header = |name: &str| record.header(name).unwrap_or_default().to_owned();
        let path = record.header("path").ok_or_else(|| HookError::missing("path"))?.to_owned();
        let cut_from_bytes = record.header("cut_from_bytes").and_then(|length| length.parse().ok());
        let http = record.headers.iter().filter_map(|(name, value)| Some((name.strip_prefix(HTTP)?, value)));
        let request = HookRequest {
            path: header("rest"),
            headers: http.map(|(name, value)| (name.to_owned(), value.clone())).collect(),
            query: String::new(),
            body: record.value.clone(),
            received_at: header("received_at").parse().unwrap_or(UnixMillis(0)),
        };
        let (source, reason, problem) = (header("source"), header("reason"), header("problem"));
        Ok(Self { source, path, reason, problem, request, cut_from_bytes })
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET.iter().any(|word| name.contains(word)) && name != "idempotency-key" && name != "x-event-key"
}

fn clip(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_HEADER_BYTES)]
}
