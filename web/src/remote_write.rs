//! `POST /api/v1/write`: Prometheus' remote write.

use std::sync::Arc;

use deployline_ingest::remote_write::{RemoteWriteError, Taken};
use warp::{
    Reply,
    http::{StatusCode, header},
    reply::Response,
};

use crate::{app::App, error::WebError, hooks::Incoming};

/// Takes a request: 204 once it is durable; 400 if some of it will never be taken, the rest being durable all the same; 503 if the sender should try again.
///
/// # Errors
/// As said; 415 for another version of the protocol, or another compression.
pub async fn receive(app: App, incoming: Incoming) -> Result<Response, WebError> {
    let text = |name: header::HeaderName| {
        let value = incoming.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.to_ascii_lowercase()
    };
    let (kind, encoding) = (text(header::CONTENT_TYPE), text(header::CONTENT_ENCODING));
    let is_first = kind.is_empty() || kind.starts_with("application/x-protobuf") && !kind.contains("write.v2");
    if !is_first || !(encoding.is_empty() || encoding == "snappy") {
        return Err(refused(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "remote write 1.0 is taken here: application/x-protobuf, compressed with snappy",
        ));
    }
    let (intake, body) = (Arc::clone(&app.parts.remote_write), incoming.body);
    let taken = tokio::task::spawn_blocking(move || intake.take(&body)).await;
    match taken.map_err(|panic| WebError::internal("take samples in", panic))? {
        Ok(Taken { n_refused_points: 0, n_refused_names: 0, .. }) => Ok(StatusCode::NO_CONTENT.into_response()),
        Ok(Taken { n_points, n_refused_points, n_refused_names, .. }) => Err(refused(
            StatusCode::BAD_REQUEST,
            "partly_refused",
            &format!(
                "{n_points} samples were taken; {n_refused_points} are infinite or outside of the time that is kept, \
                 {n_refused_names} belong to series that have no name or are past store.max_series"
            ),
        )),
        Err(RemoteWriteError::Malformed(message)) => Err(refused(StatusCode::BAD_REQUEST, "malformed", message)),
        Err(error @ RemoteWriteError::Unavailable(_)) => Err(WebError::Busy {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: "store_unavailable",
            message: "samples can not be stored now: send them again",
            retry_after: std::time::Duration::from_secs(5),
            source: Some(error.into()),
        }),
    }
}

fn refused(status: StatusCode, code: &'static str, message: &str) -> WebError {
    WebError::Refused { status, code, message: message.to_owned(), field: None }
}
