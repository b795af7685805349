//! Other systems' own APIs, taken as input: existing scripts and notifiers need another address and nothing else.
//!
//! Each goes to the door under its source's name, and is answered in the shape that its clients expect.

use deployline_ingest::door::Receipt;
use deployline_schemas::UnixMillis;
use serde_json::{Value, json};
use warp::{Reply, http::StatusCode, reply::Response};

use crate::{
    annotation::{self, Annotation, number},
    app::App,
    error::WebError,
    hooks::{self, Incoming},
    library::blocking,
    query::Query,
};

/// Annotations if no `limit` is given, and at most.
const LIMITS: (usize, usize) = (100, 10_000);

/// Submits a request to the door under a source's name.
///
/// # Errors
/// The door's refusals.
pub async fn submit(app: &App, source: &str, incoming: Incoming) -> Result<Receipt, WebError> {
    hooks::submit(app, Incoming { name: source.to_owned(), ..incoming }).await
}

fn first_number(receipt: &Receipt) -> u64 {
    receipt.deploys.first().map_or(0, |id| number(id))
}

/// `POST /api/annotations` and `/api/annotations/graphite`, Grafana's: `{"message", "id"}`.
///
/// # Errors
/// The door's refusals.
pub async fn annotation(app: App, incoming: Incoming, added: &'static str) -> Result<Response, WebError> {
    let in_seconds = is_in_seconds(&incoming.body);
    let receipt = submit(&app, "grafana_annotations", incoming).await?;
    let message = match &receipt.ignored {
        Some(reason) => format!("Annotation ignored: {reason}"),
        None if in_seconds => format!("{added} (`time` was taken as seconds, milliseconds are expected)"),
        None => added.to_owned(),
    };
    Ok(warp::reply::json(&json!({ "message": message, "id": first_number(&receipt) })).into_response())
}

/// Whether the time of an annotation is in seconds: a well-known slip, told by its size.
fn is_in_seconds(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Timed {
        time: Option<f64>,
    }
    let timed: Option<Timed> = serde_json::from_slice(body).ok();
    timed.and_then(|timed| timed.time).is_some_and(|time| time > 0.0 && time < 1e11)
}

/// `GET /api/annotations?from&to&tags&matchAny&limit`, Grafana's: deploys as regions, latest first.
///
/// # Errors
/// A parameter that makes no sense, or a failed read.
pub async fn annotations(app: App, query: Query) -> Result<Response, WebError> {
    let now = (app.parts.clock)();
    let from = query.moment("from", now)?.unwrap_or(UnixMillis(0));
    let until = query.moment("to", now)?.unwrap_or(now);
    let limit = query.count("limit", LIMITS.0, (1, LIMITS.1))?;
    let tags: Vec<String> = query.all("tags").map(|tag| tag.trim().to_owned()).collect();
    let any = query.is_set("matchAny");
    let found = blocking(&app, move |library| {
        let mut found = annotation::between(library, (from, until), LIMITS.1)?;
        found.retain(|annotation| if any { annotation.has_any(&tags) } else { annotation.has_all(&tags) });
        found.truncate(limit);
        Ok(found.iter().map(region).collect::<Vec<_>>())
    });
    Ok(warp::reply::json(&found.await?).into_response())
}

fn region(annotation: &Annotation) -> Value {
    json!({
        "id": annotation.number(),
        "alertId": 0,
        "dashboardId": 0,
        "panelId": 0,
        "time": annotation.started_at.0,
        "timeEnd": annotation.ended_at.0,
        "text": format!("{}\n{}", annotation.title, annotation.text).trim_end(),
        "tags": annotation.tags,
        "data": { "deploy": annotation.deploy_id },
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_told_from_milliseconds() {
        for (body, expected) in [
            (r#"{"time": 1795441325}"#, true),
            (r#"{"time": 1795441325000}"#, false),
            (r#"{"text": "now"}"#, false),
            ("{", false),
        ] {
            assert_eq!(is_in_seconds(body.as_bytes()), expected, "{body}");
        }
    }
}
