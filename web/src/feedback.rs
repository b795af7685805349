//! What people say of an incident: `ack`, `expected`, `wrong`.
//!
//! An opinion makes the incident's next revision, which travels over the bus like every other, so that the catalog can be rebuilt
//! from there. The correlator may decide on a revision of the same number at the same time; the first on the bus counts, and
//! whoever lost says it again on top of that.

use std::time::Duration;

use deployline_correlate::live;
use deployline_schemas::{
    Incident,
    incident::{Feedback, MAX_BY_BYTES, MAX_NOTE_BYTES, Opinion},
    topic::Topic,
};
use serde::Deserialize;
use warp::{Reply, http::StatusCode, reply::Response};

use crate::{app::App, error::WebError, library::blocking, query::Query, response};

/// How often an opinion is said again when the correlator was faster.
const TRIES: u32 = 5;
/// How long, and how often, is looked whether the catalog has it.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(25);

/// What the body may say.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Said {
    by: Option<String>,
    note: Option<String>,
}

/// `POST /api/v1/incidents/{id}/{opinion}`: 200 with the incident as it is then; 202 when it is on the bus and the catalog is
/// behind.
///
/// # Errors
/// [`WebError::NotFound`]; a text too long; 503 while the bus is away.
pub async fn post(app: App, id: String, opinion: Opinion, body: crate::body::Body) -> Result<Response, WebError> {
    let said: Said = match body.iter().all(u8::is_ascii_whitespace) {
        true => Said::default(),
        false => serde_json::from_slice(&body).map_err(|error| WebError::Refused {
            status: StatusCode::BAD_REQUEST,
            code: "malformed_body",
            message: format!("the body is not {{\"by\", \"note\"}}: {error}"),
            field: None,
        })?,
    };
    let (incident, status) = say(&app, &id, opinion, said).await?;
    Ok(warp::reply::with_status(warp::reply::json(&incident), status).into_response())
}

/// What a form's token is for.
pub fn subject(id: &str) -> String {
    format!("incident/{id}")
}

/// `POST /incidents/{id}/{opinion}`, from the page's form; leads back to the page.
///
/// # Errors
/// As [`post`]; 403 for a form that is not ours.
pub async fn form(app: App, id: String, opinion: Opinion, body: crate::body::Body) -> Result<Response, WebError> {
    let form = Query::default().with_form(&body);
    app.csrf.check(&subject(&id), form.get("csrf"), (app.parts.clock)())?;
    let said = Said { by: form.text("by"), note: form.text("note") };
    say(&app, &id, opinion, said).await?;
    Ok(response::see_other(&deployline_notify::links::incident("", &id)))
}

async fn say(app: &App, id: &str, opinion: Opinion, said: Said) -> Result<(Incident, StatusCode), WebError> {
    let text = |field: &'static str, text: Option<String>, limit: usize| {
        let text = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        match text.as_ref().map_or(0, String::len) {
            length if length > limit => {
                Err(WebError::parameter(field, format!("`{field}` has {length} bytes, at most {limit} are taken")))
            }
            _ => Ok(text),
        }
    };
    let by = text("by", said.by, MAX_BY_BYTES)?;
    let note = text("note", said.note, MAX_NOTE_BYTES)?;
    let feedback = Feedback { opinion, by, note, at: (app.parts.clock)() };
    for _ in 0..TRIES {
        let known = read(app, id).await?;
        if is_said(&known, &feedback) {
            return Ok((known, StatusCode::OK));
        }
        let next = known.after(feedback.clone());
        let record = live::record(next.clone(), "/deployline/web")
            .map_err(|error| WebError::internal("write an incident", error))?;
        app.parts.bus.publish(Topic::Incidents, vec![record]).await.map_err(WebError::bus)?;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let applied = read(app, id).await?;
            if applied.feedback.contains(&feedback) {
                return Ok((applied, StatusCode::OK));
            }
            if applied.revision >= next.revision {
                break;
            }
            if tokio::time::Instant::now() > deadline {
                return Ok((next, StatusCode::ACCEPTED));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    Err(WebError::Busy {
        status: StatusCode::SERVICE_UNAVAILABLE,
        code: "incident_busy",
        message: "the incident keeps changing; send it again",
        retry_after: Duration::from_secs(1),
        source: None,
    })
}

async fn read(app: &App, id: &str) -> Result<Incident, WebError> {
    let id = id.to_owned();
    blocking(app, move |library| library.incident(&id)).await
}

/// Whether this is what was said last: a second click changes nothing.
fn is_said(incident: &Incident, feedback: &Feedback) -> bool {
    let same =
        |last: &Feedback| (last.opinion, &last.by, &last.note) == (feedback.opinion, &feedback.by, &feedback.note);
    incident.feedback.last().is_some_and(same) && feedback.opinion.state().is_none_or(|state| incident.state == state)
}
