//! `POST /hooks/{source}` and `POST /api/v1/deploys`: deploys in.

use deployline_bus::BusError;
use deployline_ingest::{
    door::{DoorError, Receipt},
    hooks::HookRequest,
};
use warp::{
    Reply,
    http::{HeaderMap, StatusCode, header},
    reply::Response,
};

use crate::{app::App, body::Body, error::WebError};

/// What arrives, free of any HTTP library's types: a request to a hook.
pub struct Incoming {
    /// The hook's name, the part after `/hooks/`.
    pub name: String,
    /// What follows it.
    pub rest: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The query, without `?`.
    pub query: String,
    /// The body, and the room that it takes.
    pub body: Body,
}

impl Incoming {
    /// A request to a path that is not below `/hooks/`: whoever routes it names the hook.
    pub fn of(headers: HeaderMap, query: String, body: Body) -> Self {
        Self { name: String::new(), rest: String::new(), headers, query, body }
    }
}

/// Hands a request to the door and answers 202 with the receipt once everything in it is durable.
///
/// # Errors
/// The door's refusals; 415 for a type that no hook writes.
pub async fn receive(app: &App, incoming: Incoming) -> Result<Response, WebError> {
    let receipt = submit(app, incoming).await?;
    Ok(warp::reply::with_status(warp::reply::json(&receipt), StatusCode::ACCEPTED).into_response())
}

/// Hands a request to the door; everything in it is durable on return.
///
/// # Errors
/// As [`receive`].
pub async fn submit(app: &App, incoming: Incoming) -> Result<Receipt, WebError> {
    let content_type =
        incoming.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_api = incoming.name == API;
    if !takes(&media_type, is_api) {
        let wanted = if is_api { "application/json" } else { "JSON, a form or plain text" };
        return Err(WebError::Refused {
            status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            code: "unsupported_media_type",
            message: format!("Content-Type `{media_type}` is not taken here: send {wanted}"),
            field: Some("content-type".to_owned()),
        });
    }
    let text = |value: &header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let request = HookRequest {
        path: incoming.rest,
        headers: incoming.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
        query: incoming.query,
        body: incoming.body.bytes(),
        received_at: (app.parts.clock)(),
        n_known_lines: 0,
    };
    // The body's room is held until here: it is in memory for as long as the bus takes.
    app.parts.door.submit(&incoming.name, request).await.map_err(refusal)
}

/// The source that speaks our own JSON.
pub const API: &str = "api";

/// Whether a body of this type can be anything that a hook writes. Our own API takes JSON alone: a page of another
/// site can send forms and plain text without asking first, but not JSON.
fn takes(media_type: &str, is_api: bool) -> bool {
    let is_json = media_type == "application/json" || media_type.ends_with("+json");
    let is_other =
        matches!(media_type, "" | "application/x-www-form-urlencoded" | "text/plain" | "application/octet-stream");
    is_json || (is_other && !is_api)
}

/// The answer to what the door does not take.
pub fn refusal(error: DoorError) -> WebError {
    match error {
        DoorError::Refused(error) => WebError::hook(&error),
        DoorError::TooFast { wait_ms, .. } => WebError::Busy {
            status: StatusCode::TOO_MANY_REQUESTS,
            code: "rate_limited",
            message: "this hook takes no more requests for now; nothing was taken, send it again",
            retry_after: std::time::Duration::from_millis(wait_ms),
            source: None,
        },
        DoorError::Bus(error @ (BusError::QueueFull { .. } | BusError::TooLarge { .. })) => WebError::bus(error),
        error => WebError::Busy {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: error.code(),
            message: "the deploy could not be made durable; send it again",
            retry_after: std::time::Duration::from_secs(5),
            source: Some(Box::new(error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_api_takes_json_alone_and_hooks_what_senders_write() {
        for (media_type, hook, api) in [
            ("application/json", true, true),
            ("application/cloudevents+json", true, true),
            ("application/x-www-form-urlencoded", true, false),
            ("text/plain", true, false),
            ("", true, false),
            ("text/html", false, false),
            ("multipart/form-data", false, false),
        ] {
            assert_eq!((takes(media_type, false), takes(media_type, true)), (hook, api), "{media_type}");
        }
    }
}
