//! Grafana's annotations API: what scripts and notifiers post to Grafana, and what they read and change there.
//!
//! <https://grafana.com/docs/grafana/latest/developers/http_api/annotations/>

use std::collections::BTreeMap;

use deployline_schemas::UnixMillis;
use serde::Deserialize;
use serde_json::{Value, json};
use warp::{Reply, http::StatusCode, reply::Response};

use crate::{
    annotation::{self, Shown, edit, edit::Edit},
    app::App,
    body::Body,
    error::WebError,
    foreign,
    hooks::Incoming,
    library::blocking,
    query::Query,
};

/// Annotations if no `limit` is given, and at most.
const LIMITS: (usize, usize) = (100, 10_000);
/// The latest annotations, whose tags are counted.
const COUNTED: usize = 10_000;
/// A time below this is meant in seconds: as milliseconds it would be of 1973.
const SECONDS_BELOW: f64 = 1e11;

/// `POST /api/annotations` and `/api/annotations/graphite`: `{"message", "id"}`.
///
/// # Errors
/// The door's refusals.
pub async fn add(app: App, incoming: Incoming, added: &'static str) -> Result<Response, WebError> {
    let in_seconds = is_in_seconds(&incoming.body);
    let receipt = foreign::submit(&app, "grafana_annotations", incoming).await?;
    let message = match &receipt.ignored {
        Some(reason) if receipt.annotation.is_none() => format!("Annotation ignored: {reason}"),
        _ if in_seconds => format!("{added} (`time` was taken as seconds, milliseconds are expected)"),
        _ => added.to_owned(),
    };
    Ok(warp::reply::json(&json!({ "message": message, "id": foreign::first_number(&receipt) })).into_response())
}

/// Whether the time of an annotation is in seconds: a well-known slip, told by its size.
fn is_in_seconds(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Timed {
        time: Option<f64>,
    }
    let timed: Option<Timed> = serde_json::from_slice(body).ok();
    timed.and_then(|timed| timed.time).is_some_and(|time| time > 0.0 && time < SECONDS_BELOW)
}

/// `GET /api/annotations?from&to&tags&matchAny&type&dashboardUID&panelId&limit`: latest first, deploys among them, as regions.
///
/// # Errors
/// A parameter that makes no sense, or a failed read.
pub async fn list(app: App, query: Query) -> Result<Response, WebError> {
    let now = (app.parts.clock)();
    let from = query.moment("from", now)?.unwrap_or(UnixMillis(0));
    // The last millisecond belongs to the window.
    let until = query.moment("to", now)?.map_or(UnixMillis(i64::MAX), |to| UnixMillis(to.0.saturating_add(1)));
    let limit = query.count("limit", LIMITS.0, (1, LIMITS.1))?;
    let tags: Vec<String> = query.all("tags").map(|tag| tag.trim().to_owned()).collect();
    let any = query.is_set("matchAny");
    let has_alerts_alone = match query.get("type") {
        None | Some("annotation") => false,
        Some("alert") => true,
        Some(other) => return Err(WebError::parameter("type", format!("`{other}` is not alert or annotation"))),
    };
    let (dashboard, panel) = (query.text("dashboardUID"), query.text("panelId"));
    let is_filtered = !tags.is_empty() || dashboard.is_some() || panel.is_some();
    let found = blocking(&app, move |library| {
        if has_alerts_alone {
            // Grafana's own alerts, of which there are none here.
            return Ok(Vec::new());
        }
        let most = if is_filtered { LIMITS.1 } else { limit };
        let mut found = annotation::between(library, (from, until), most)?;
        found.retain(|one| {
            (if any { one.has_any(&tags) } else { one.has_all(&tags) })
                && (dashboard.is_none() || one.dashboard == dashboard)
                && panel.as_ref().is_none_or(|panel| one.panel_id.is_some_and(|id| id.to_string() == *panel))
        });
        found.truncate(limit);
        Ok(found.iter().map(region).collect::<Vec<_>>())
    });
    Ok(warp::reply::json(&found.await?).into_response())
}

/// `GET /api/annotations/{id}`
///
/// # Errors
/// [`WebError::NotFound`], or a failed read.
pub async fn one(app: App, number: u64) -> Result<Response, WebError> {
    let found = edit::find(&app, number).await?;
    Ok(warp::reply::json(&region(&Shown::from(found))).into_response())
}

fn region(one: &Shown) -> Value {
    json!({
        "id": one.number,
        "alertId": 0,
        "alertName": "",
        "dashboardId": 0,
        "dashboardUID": one.dashboard,
        "panelId": one.panel_id.unwrap_or_default(),
        "userId": 0,
        "newState": "",
        "prevState": "",
        "created": one.started_at.0,
        "updated": one.changed_at.0,
        "time": one.started_at.0,
        "timeEnd": one.ended_at.0,
        "text": format!("{}\n{}", one.title, one.text).trim(),
        "tags": one.tags,
        "login": "",
        "email": "",
        "avatarUrl": "",
        "data": one.deploy_id.as_ref().map_or(json!({}), |id| json!({ "deploy": id })),
    })
}

/// What `PUT` and `PATCH` bring; what they leave out stays, as in Grafana.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Change {
    time: Option<f64>,
    #[serde(rename = "timeEnd")]
    time_end: Option<f64>,
    text: Option<String>,
    tags: Option<Vec<String>>,
}

/// `PUT` and `PATCH /api/annotations/{id}`: `{"message"}`.
///
/// # Errors
/// [`WebError::NotFound`]; what cannot be taken, by field.
pub async fn change(app: App, number: u64, body: Body, changed: &'static str) -> Result<Response, WebError> {
    let change: Change = serde_json::from_slice(&body).map_err(|error| WebError::Refused {
        status: StatusCode::BAD_REQUEST,
        code: "malformed_body",
        message: format!("the body is not an annotation: {error}"),
        field: None,
    })?;
    edit::change(&app, number, change.into()).await?;
    Ok(said(changed))
}

/// `DELETE /api/annotations/{id}`: `{"message"}`.
///
/// # Errors
/// [`WebError::NotFound`].
pub async fn delete(app: App, number: u64) -> Result<Response, WebError> {
    edit::delete(&app, number).await?;
    Ok(said("Annotation deleted"))
}

fn said(message: &str) -> Response {
    warp::reply::json(&json!({ "message": message })).into_response()
}

impl From<Change> for Edit {
    fn from(change: Change) -> Self {
        // To Grafana a time of 0 and an empty text are none.
        let time = |time: Option<f64>| {
            let time = time.filter(|time| *time > 0.0 && time.is_finite())?;
            Some(UnixMillis(if time < SECONDS_BELOW { time * 1e3 } else { time } as i64))
        };
        let text = change.text.filter(|text| !text.is_empty());
        Self {
            started_at: time(change.time),
            ended_at: time(change.time_end),
            // Grafana has one text: what is in it takes the place of both.
            title: text.as_ref().map(|_| String::new()),
            text,
            tags: change.tags,
        }
    }
}

/// `GET /api/annotations/tags?tag&limit`: the tags of the latest 10,000 annotations, and how many carry each.
///
/// # Errors
/// A `limit` that is no number, or a failed read.
pub async fn tags(app: App, query: Query) -> Result<Response, WebError> {
    let limit = query.count("limit", LIMITS.0, (1, LIMITS.1))?;
    let wanted = query.text("tag").unwrap_or_default().to_lowercase();
    let counted = blocking(&app, move |library| {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for tag in annotation::between(library, (UnixMillis(0), UnixMillis(i64::MAX)), COUNTED)?
            .into_iter()
            .flat_map(|one| one.tags)
        {
            *counts.entry(tag).or_default() += 1;
        }
        let fitting = counts.iter().filter(|(tag, _)| tag.to_lowercase().contains(&wanted));
        Ok(fitting.take(limit).map(|(tag, count)| json!({ "tag": tag, "count": count })).collect::<Vec<_>>())
    });
    Ok(warp::reply::json(&json!({ "result": { "tags": counted.await? } })).into_response())
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
        let edit: Edit =
            serde_json::from_str::<Change>(r#"{"time": 1795441325, "timeEnd": 0, "text": ""}"#).unwrap().into();
        assert_eq!((edit.started_at, edit.ended_at, edit.text), (Some(UnixMillis(1_795_441_325_000)), None, None));
    }
}
