//! Flagger's webhooks: the payload that its controller posts, and the status that it reads the answer from.
//!
//! Flagger takes any status up to 202 for "go on" and everything above for "halt", except that a `rollback` hook rolls back on 200
//! (<https://docs.flagger.app/usage/webhooks>).

use std::collections::BTreeMap;

use serde::Deserialize;
use warp::{Reply, http::StatusCode, reply::Response};

use crate::{app::App, error::WebError, query::Query};

use super::{Asking, Gate, Word, ask};

/// What Flagger posts. `metadata` is the webhook's own, from the Canary resource; every key of the query may stand there.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Payload {
    /// The Canary's name: the service, where `metadata` does not name one.
    name: String,
    /// The hook's type; older releases do not say it, and `metadata` may.
    #[serde(rename = "type")]
    kind: String,
    metadata: BTreeMap<String, String>,
}

/// What a kind of hook asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hook {
    /// Whether the canary may come in, or is told of something: nothing of it runs yet.
    Before,
    /// Whether the analysis may go on for another round.
    During,
    /// Whether the canary may take over.
    Promotion,
    /// Whether it is to be rolled back.
    Rollback,
}

impl Hook {
    fn of(kind: &str) -> Self {
        match kind {
            "confirm-rollout" | "pre-rollout" | "event" => Self::Before,
            "confirm-promotion" | "post-rollout" => Self::Promotion,
            "rollback" => Self::Rollback,
            _ => Self::During,
        }
    }

    /// 200 for what Flagger takes for yes, else a 4xx.
    fn status(self, verdict: Word, unknown_is_fine: bool) -> StatusCode {
        let yes = match (self, verdict) {
            (Self::Before, _) => true,
            (Self::Rollback, verdict) => verdict == Word::Regressed,
            (_, Word::Fine) => true,
            (Self::During, Word::Watching) => true,
            (Self::Promotion, Word::Watching) => false,
            (_, Word::CannotTell) => unknown_is_fine || self == Self::During,
            (_, Word::Regressed) => false,
        };
        match (yes, verdict) {
            (true, _) => StatusCode::OK,
            (false, Word::Watching) => StatusCode::TOO_EARLY,
            (false, _) => StatusCode::CONFLICT,
        }
    }
}

/// `POST /api/v1/gate` with Flagger's payload: 200 go on, 409 halt, 425 not yet; the gate's JSON in either case. Without a
/// `type`, as a plain pipeline posts it, the deploy may go on unless it regressed.
///
/// # Errors
/// A body that is no such payload; [`WebError::NotFound`] for a deploy that has not come.
pub async fn post(app: App, query: Query, body: crate::body::Body) -> Result<Response, WebError> {
    let payload: Payload = match body.is_empty() {
        true => Payload::default(),
        false => serde_json::from_slice(&body).map_err(|error| WebError::Refused {
            status: StatusCode::BAD_REQUEST,
            code: "malformed_body",
            message: format!("the body is not a webhook's payload: {error}"),
            field: None,
        })?,
    };
    let mut query = query;
    for (name, value) in &payload.metadata {
        query = query.or(name, value);
    }
    if query.get("deploy").is_none() && !payload.name.is_empty() {
        query = query.or("service", &payload.name);
    }
    let kind = if payload.kind.is_empty() { query.text("type").unwrap_or_default() } else { payload.kind.clone() };
    let hook = Hook::of(&kind);
    let unknown_is_fine = query.get("cannot_tell").is_some_and(|word| word == "go");
    let gate = match ask(&app, Asking::parse(&query)?, std::time::Duration::ZERO).await {
        Ok(gate) => gate,
        // Before the canary runs there is no deploy to speak of, and nothing against it.
        Err(WebError::NotFound { .. }) if hook == Hook::Before => return Ok(StatusCode::OK.into_response()),
        Err(error) => return Err(error),
    };
    Ok(answer(&gate, hook.status(gate.verdict, unknown_is_fine)))
}

fn answer(gate: &Gate, status: StatusCode) -> Response {
    warp::reply::with_status(warp::reply::json(gate), status).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hook_reads_the_verdict_its_own_way() {
        let statuses = |kind: &str| {
            [Word::Fine, Word::Watching, Word::CannotTell, Word::Regressed]
                .map(|verdict| Hook::of(kind).status(verdict, false).as_u16())
        };
        assert_eq!(statuses("confirm-rollout"), [200, 200, 200, 200]);
        assert_eq!(statuses("rollout"), [200, 200, 200, 409]);
        assert_eq!(statuses(""), [200, 200, 200, 409]);
        assert_eq!(statuses("confirm-traffic-increase"), [200, 200, 200, 409]);
        assert_eq!(statuses("confirm-promotion"), [200, 425, 409, 409]);
        assert_eq!(statuses("rollback"), [409, 425, 409, 200]);
        assert_eq!(Hook::Promotion.status(Word::CannotTell, true), StatusCode::OK);
    }
}
