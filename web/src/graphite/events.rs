//! `/events`: deploys as Graphite's events, in and out.

use deployline_schemas::UnixMillis;
use warp::{Reply, http::HeaderMap, reply::Response};

use super::{scripted, window::Window};
use crate::{
    annotation::{self, Annotation},
    app::App,
    error::WebError,
    foreign,
    hooks::Incoming,
    library::blocking,
    query::Query,
    response,
};

/// Most events of one answer, the latest of the window.
const MAX_EVENTS: usize = 10_000;

/// `POST /events/`: an event becomes a deploy. 200 with nothing in it, as Graphite answers; why it was understood and
/// left out stands in the header `X-Deployline-Ignored`.
///
/// # Errors
/// The door's refusals.
pub async fn post(app: App, incoming: Incoming) -> Result<Response, WebError> {
    let receipt = foreign::submit(&app, "graphite_events", incoming).await?;
    let mut answer = response::bytes("text/plain; charset=utf-8", "");
    if let Some(reason) = receipt.ignored.and_then(|reason| reason.parse().ok()) {
        answer.headers_mut().insert("x-deployline-ignored", reason);
    }
    Ok(answer.into_response())
}

/// `GET /events/get_data`: the deploys of a window that carry the tags, by time. All tags are needed unless
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

fn event(annotation: &Annotation) -> serde_json::Value {
    let sent = annotation.event.as_ref();
    serde_json::json!({
        "id": annotation.number(),
        "when": annotation.at.as_secs(),
        "what": sent.map_or(&annotation.title, |event| &event.what),
        "data": sent.map_or(&annotation.text, |event| &event.data),
        "tags": sent.map_or(&annotation.tags, |event| &event.tags),
    })
}
