//! `/events`: Graphite's events, in and out, deploys among them.

use deployline_schemas::UnixMillis;
use serde::Deserialize;
use serde_json::{Value, json};
use warp::{
    Reply,
    http::{HeaderMap, StatusCode},
    reply::Response,
};

use super::{scripted, window::Window};
use crate::{
    annotation::{self, Shown, edit, edit::Edit},
    app::App,
    body::Body,
    error::WebError,
    foreign,
    hooks::Incoming,
    library::blocking,
    query::Query,
    response,
};

/// Most events of one answer, the latest of the window.
const MAX_EVENTS: usize = 10_000;

/// `POST /events/`: an event that speaks of a deploy becomes one, any other an annotation. 200 with nothing in it, as
/// Graphite answers; why no deploy came of it stands in the header `X-Deployline-Ignored`, what names it in
/// `X-Deployline-Id`.
///
/// # Errors
/// The door's refusals.
pub async fn post(app: App, incoming: Incoming) -> Result<Response, WebError> {
    let receipt = foreign::submit(&app, "graphite_events", incoming).await?;
    let mut answer = response::bytes("text/plain; charset=utf-8", "");
    if let Some(reason) = receipt.ignored.as_ref().and_then(|reason| reason.parse().ok()) {
        answer.headers_mut().insert("x-deployline-ignored", reason);
    }
    answer.headers_mut().insert("x-deployline-id", foreign::first_number(&receipt).into());
    Ok(answer.into_response())
}

/// `GET /events/{id}`: one event as JSON, whatever is accepted: there are pages for people elsewhere.
///
/// # Errors
/// [`WebError::NotFound`], or a failed read.
pub async fn one(app: App, number: u64) -> Result<Response, WebError> {
    let found = Shown::from(edit::find(&app, number).await?);
    let mut event = event(&found);
    // Here alone graphite-web writes the time as text.
    event["when"] = json!(format!("{}Z", found.at.to_string().split('.').next().unwrap_or_default()));
    Ok(warp::reply::json(&event).into_response())
}

/// What `PATCH` brings; what it leaves out stays.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Change {
    what: Option<String>,
    tags: Option<Value>,
    /// Unix seconds.
    when: Option<f64>,
    data: Option<String>,
}

/// `PATCH /events/{id}`: what graphite-web has no way to do. Answers with the event.
///
/// # Errors
/// [`WebError::NotFound`]; what cannot be taken, by field.
pub async fn change(app: App, number: u64, body: Body) -> Result<Response, WebError> {
    let change: Change = serde_json::from_slice(&body).map_err(|error| WebError::Refused {
        status: StatusCode::BAD_REQUEST,
        code: "malformed_body",
        message: format!("the body is not an event: {error}"),
        field: None,
    })?;
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let tags = match change.tags {
        None => None,
        Some(Value::String(text)) => Some(words(&text)),
        Some(Value::Array(all)) => Some(all.iter().filter_map(Value::as_str).flat_map(words).collect()),
        Some(_) => return Err(WebError::parameter("tags", "`tags` is neither a list nor a text")),
    };
    let edit = Edit {
        started_at: change.when.map(|when| UnixMillis((when * 1e3) as i64)),
        ended_at: None,
        title: change.what,
        text: change.data,
        tags,
    };
    edit::change(&app, number, edit).await?;
    one(app, number).await
}

/// `DELETE /events/{id}`: 204.
///
/// # Errors
/// [`WebError::NotFound`].
pub async fn delete(app: App, number: u64) -> Result<Response, WebError> {
    edit::delete(&app, number).await?;
    Ok(warp::reply::with_status(warp::reply(), StatusCode::NO_CONTENT).into_response())
}

/// `GET /events/get_data`: the events of a window that carry the tags, by time. All tags are needed unless
/// `set=union`, which is what graphite-web's code does, whatever its manual says.
///
/// # Errors
/// A window that makes no sense, or a failed read.
pub async fn get_data(app: App, headers: HeaderMap, query: Query) -> Result<Response, WebError> {
    let now = (app.parts.clock)();
    // Without `from` Graphite gives everything.
    let from_s = if query.get("from").is_some() { None } else { Some(0) };
    let window = Window::parse(&query, now.as_secs())?;
    let from = UnixMillis::from_secs(from_s.unwrap_or(window.from_s));
    // The last second belongs to the window.
    let until = UnixMillis::from_secs(window.until_s.saturating_add(1));
    let tags: Vec<String> =
        query.all("tags").flat_map(str::split_whitespace).filter(|tag| *tag != "*").map(str::to_owned).collect();
    let any = query.get("set") == Some("union");
    let events = blocking(&app, move |library| {
        let mut found = annotation::between(library, (from, until), MAX_EVENTS)?;
        found.retain(|annotation| {
            (from..until).contains(&annotation.at)
                && if any { annotation.has_any(&tags) } else { annotation.has_all(&tags) }
        });
        found.sort_by_key(|annotation| annotation.at);
        let events: Vec<_> = found.iter().map(event).collect();
        serde_json::to_vec(&events).map_err(|error| WebError::internal("write an answer", error))
    });
    scripted(&query, &headers, events.await?)
}

fn event(one: &Shown) -> Value {
    let sent = one.event.as_ref();
    json!({
        "id": one.number,
        "when": one.at.as_secs(),
        "what": sent.map_or(&one.title, |event| &event.what),
        "data": sent.map_or(&one.text, |event| &event.data),
        "tags": sent.map_or(&one.tags, |event| &event.tags),
    })
}
