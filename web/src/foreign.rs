//! Other systems' own APIs, taken as input: existing scripts and notifiers need another address and nothing else.
//!
//! Each goes to the door under its source's name, and is answered in the shape that its clients expect.

use deployline_ingest::door::Receipt;
use deployline_schemas::annotation::number;
use serde_json::{Value, json};
use warp::{Reply, http::StatusCode, reply::Response};

use crate::{
    app::App,
    error::WebError,
    hooks::{self, Incoming},
};

/// Submits a request to the door under a source's name.
///
/// # Errors
/// The door's refusals.
pub async fn submit(app: &App, source: &str, incoming: Incoming) -> Result<Receipt, WebError> {
    hooks::submit(app, Incoming { name: source.to_owned(), ..incoming }).await
}

/// What names the deploy or annotation that a request brought; 0 where it brought none.
pub fn first_number(receipt: &Receipt) -> u64 {
    receipt.annotation.or(receipt.deploys.first().map(|id| number(id))).unwrap_or_default()
}

/// `POST /api/v1/events`, Datadog's: 202 with the event.
///
/// # Errors
/// The door's refusals.
pub async fn datadog_event(app: App, incoming: Incoming) -> Result<Response, WebError> {
    let receipt = submit(&app, "datadog", Incoming { rest: "api/v1/events".to_owned(), ..incoming }).await?;
    let event = json!({ "id": first_number(&receipt), "ignored": receipt.ignored, "deploys": receipt.deploys });
    Ok(accepted(&json!({ "status": "ok", "event": event }), StatusCode::ACCEPTED))
}

/// `POST /api/v2/dora/deployment`, Datadog's: 202 with the deployment's id.
///
/// # Errors
/// The door's refusals.
pub async fn datadog_deployment(app: App, incoming: Incoming) -> Result<Response, WebError> {
    let receipt = submit(&app, "datadog", Incoming { rest: "api/v2/dora/deployment".to_owned(), ..incoming }).await?;
    let data = json!({ "id": receipt.deploys.first(), "type": "dora_deployment" });
    Ok(accepted(&json!({ "data": data }), StatusCode::ACCEPTED))
}

/// `POST /1/markers/{dataset}`, Honeycomb's: 201 with the marker and its id.
///
/// # Errors
/// The door's refusals.
pub async fn marker(app: App, dataset: String, incoming: Incoming) -> Result<Response, WebError> {
    let mut marker: Value = serde_json::from_slice(&incoming.body).unwrap_or_default();
    let rest = format!("1/markers/{dataset}");
    let receipt = submit(&app, "honeycomb", Incoming { rest, ..incoming }).await?;
    if let Some(fields) = marker.as_object_mut() {
        fields.insert("id".to_owned(), json!(receipt.deploys.first()));
        fields.extend(receipt.ignored.map(|reason| ("ignored".to_owned(), json!(reason))));
    }
    Ok(accepted(&marker, StatusCode::CREATED))
}

fn accepted(body: &Value, status: StatusCode) -> Response {
    warp::reply::with_status(warp::reply::json(body), status).into_response()
}
