//! Events that carry no time of their own.

use deployline_schemas::{DeployEvent, UnixMillis, deploy::Status};

/// Dates an event that has no time by its arrival.
///
/// An end that was told without a time becomes `live_at`, never `finished_at`: of two arrivals of the same delivery a
/// deploy keeps the earlier `live_at`, so that the repeat changes nothing.
pub(super) fn dated(mut event: DeployEvent, received_at: UnixMillis) -> DeployEvent {
    if event.started_at.or(event.live_at).or(event.finished_at).is_none() {
        event.started_at = Some(received_at);
    }
    if event.status == Some(Status::Succeeded) && event.live_at.or(event.finished_at).is_none() {
        event.live_at = Some(received_at);
    }
    event
}
