//! `GET /api/v1/stream`: changes of deploys and incidents as server-sent events.
//!
//! Each reader has its place in one bounded channel. Whoever falls behind by more than that is told so in a comment
//! and dropped: it reconnects by itself (every event source does) and reads the lists anew.

use std::{convert::Infallible, sync::Arc, time::Duration};

use deployline_ingest::projector::Change;
use futures_util::{Stream, StreamExt, stream};
use tokio_stream::wrappers::{BroadcastStream, errors::BroadcastStreamRecvError};
use warp::{
    Reply,
    http::StatusCode,
    reply::Response,
    sse::{self, Event},
};

use crate::{app::App, error::WebError};

/// How often a comment is sent when nothing happens, so that proxies keep the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a reader waits before it comes again.
const RETRY: Duration = Duration::from_secs(3);

/// Opens a stream that ends with the process.
///
/// # Errors
/// 503 when as many readers as are allowed are connected.
pub fn open(app: &App) -> Result<Response, WebError> {
    let slot = Arc::clone(&app.streams).try_acquire_owned().map_err(|_| WebError::Busy {
        status: StatusCode::SERVICE_UNAVAILABLE,
        code: "too_many_streams",
        message: "as many readers as are allowed are connected; `web.max_streams` raises that",
        retry_after: KEEP_ALIVE,
        source: None,
    })?;
    let changes = app.parts.changes.subscribe();
    let stop = app.stop.clone();
    let opening = stream::iter([Event::default().comment("changes from now on").retry(RETRY)]);
    // Ends after the comment that says goodbye.
    let events = BroadcastStream::new(changes).scan(false, |is_over, change| {
        let next = match change {
            _ if *is_over => None,
            Ok(change) => Some(event(&change)),
            Err(BroadcastStreamRecvError::Lagged(n_missed)) => {
                *is_over = true;
                Some(
                    Event::default()
                        .comment(format!("{n_missed} changes were missed: connect again and read the lists")),
                )
            }
        };
        std::future::ready(next)
    });
    let events = opening.chain(events).take_until(stop.cancelled_owned()).map(move |event| {
        // The slot is held for as long as the stream lives.
        let _slot = &slot;
        Ok::<_, Infallible>(event)
    });
    Ok(reply(events))
}

fn reply(events: impl Stream<Item = Result<Event, Infallible>> + Send + Sync + 'static) -> Response {
    sse::reply(sse::keep_alive().interval(KEEP_ALIVE).stream(events)).into_response()
}

/// A change as an event: its kind as the name, the deploy or incident as JSON.
fn event(change: &Change) -> Event {
    let (name, data) = match change {
        Change::Deploy { deploy, is_new: true } => ("deploy", serde_json::to_string(&**deploy)),
        Change::Deploy { deploy, is_new: false } => ("deploy_changed", serde_json::to_string(&**deploy)),
        Change::Incident(incident) => ("incident", serde_json::to_string(&**incident)),
    };
    match data {
        Ok(data) => Event::default().event(name).data(data),
        Err(error) => Event::default().comment(format!("a change could not be written: {error}")),
    }
}
