//! `/api/v1/silences` and `/silences`: for a while, nobody is told.

use std::{fmt::Write as _, time::Duration};

use deployline_schemas::{Silence, UnixMillis, deploy::MAX_NAME_BYTES, incident::MAX_NOTE_BYTES};
use deployline_store::catalog::{MAX_PAGE, SilenceQuery};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use warp::{Reply, http::StatusCode, reply::Response};

use crate::{
    app::App,
    error::WebError,
    library::blocking,
    moment,
    page::{self, SilencesView},
    query::Query,
    response,
};

/// Longest time that a silence lasts: what is to be quiet for longer is no alert.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);
/// How long one lasts if not said.
const USUAL: &str = "30m";
/// Rows of a page when none are asked for, and at most.
const LIMITS: (usize, usize) = (50, MAX_PAGE);
/// What the token of the page's forms is for.
const SUBJECT: &str = "silences";

/// What a silence is made of.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wanted {
    service: Option<String>,
    environment: Option<String>,
    deploy_id: Option<String>,
    from: Option<UnixMillis>,
    until: Option<UnixMillis>,
    /// Instead of `until`: `30m`, `2h`.
    #[serde(rename = "for")]
    lasting: Option<String>,
    by: Option<String>,
    note: Option<String>,
}

/// What can be changed about one.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Change {
    until: Option<UnixMillis>,
    #[serde(rename = "for")]
    lasting: Option<String>,
    note: Option<String>,
}

#[derive(Debug, Serialize)]
struct Silences {
    silences: Vec<Silence>,
    /// Asks for the next page, given back as `cursor`; null on the last.
    next_cursor: Option<String>,
}

fn read<'b, T: Deserialize<'b> + Default>(body: &'b [u8]) -> Result<T, WebError> {
    serde_json::from_slice(body).map_err(|error| WebError::Refused {
        status: StatusCode::BAD_REQUEST,
        code: "malformed_body",
        message: format!("the body is not a silence: {error}"),
        field: None,
    })
}

/// `until` as said, or `from` and as long as said.
fn end(
    from: UnixMillis,
    until: Option<UnixMillis>,
    lasting: Option<&str>,
    now: UnixMillis,
) -> Result<UnixMillis, WebError> {
    let until =
        match (until, lasting) {
            (Some(_), Some(_)) => return Err(WebError::parameter("until", "say `until` or `for`, not both")),
            (Some(until), None) => until,
            (None, lasting) => {
                let text = lasting.unwrap_or(USUAL);
                let length = moment::duration(text.trim());
                from.plus(length.ok_or_else(|| {
                    WebError::parameter("for", format!("`{text}` is not a duration: write 30m or 2h"))
                })?)
            }
        };
    if until <= from.max(now) {
        return Err(WebError::parameter("until", "a silence must end in the future, after it begins"));
    }
    if until > from.plus(LONGEST) {
        return Err(WebError::parameter("until", "a silence lasts for at most 30 days"));
    }
    Ok(until)
}

impl Wanted {
    fn into_silence(self, now: UnixMillis) -> Result<Silence, WebError> {
        let text = |field: &'static str, text: Option<String>, limit: usize| {
            let text = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
            match text.as_ref().map_or(0, String::len) {
                length if length > limit => {
                    Err(WebError::parameter(field, format!("`{field}` has {length} bytes, at most {limit} are taken")))
                }
                _ => Ok(text),
            }
        };
        let from = self.from.unwrap_or(now);
        let mut silence = Silence {
            id: String::new(),
            service: text("service", self.service, MAX_NAME_BYTES)?,
            environment: text("environment", self.environment, MAX_NAME_BYTES)?,
            deploy_id: text("deploy_id", self.deploy_id, MAX_NAME_BYTES)?,
            from,
            until: end(from, self.until, self.lasting.as_deref(), now)?,
            by: text("by", self.by, MAX_NAME_BYTES)?,
            note: text("note", self.note, MAX_NOTE_BYTES)?,
            created_at: now,
        };
        if silence.service.is_none() && silence.environment.is_none() && silence.deploy_id.is_none() {
            let say = "say whose: `service`, `environment` or `deploy_id`; `\"service\": \"*\"` silences everything";
            return Err(WebError::parameter("service", say));
        }
        silence.id = id(&silence);
        Ok(silence)
    }
}

/// Follows from what the silence says, so that the same request twice makes one.
fn id(silence: &Silence) -> String {
    let digest = Sha256::digest(format!("{silence:?}").as_bytes());
    digest[..6].iter().fold("s-".to_owned(), |mut id, byte| {
        let _ = write!(id, "{byte:02x}");
        id
    })
}

/// `GET /api/v1/silences`: last made first; those that have ended too with `state=all`.
pub async fn list(app: App, query: Query) -> Result<Response, WebError> {
    let now = (app.parts.clock)();
    let unended_at = match query.get("state") {
        None | Some("active") => Some(now),
        Some("all") => None,
        Some(other) => {
            return Err(WebError::parameter("state", format!("`{other}` is neither `active` nor `all`")));
        }
    };
    let limit = query.count("limit", LIMITS.0, (1, LIMITS.1))?;
    let wanted = SilenceQuery { unended_at, cursor: query.text("cursor"), limit };
    let (service, environment) = (query.text("service"), query.text("environment"));
    let (from, until) = (query.moment("from", now)?, query.moment("until", now)?);
    let answer = blocking(&app, move |library| {
        let page = library.silences(&wanted)?;
        let fits = |wanted: &Option<String>, has: &Option<String>| wanted.is_none() || wanted == has;
        let mut silences = page.items;
        silences.retain(|silence| {
            fits(&service, &silence.service)
                && fits(&environment, &silence.environment)
                && from.is_none_or(|from| silence.until > from)
                && until.is_none_or(|until| silence.from < until)
        });
        Ok(Silences { silences, next_cursor: page.next })
    });
    Ok(warp::reply::json(&answer.await?).into_response())
}

/// `GET /api/v1/silences/{id}`
pub async fn show(app: App, id: String) -> Result<Response, WebError> {
    let silence = blocking(&app, move |library| library.silence(&id)).await?;
    Ok(warp::reply::json(&silence).into_response())
}

/// `POST /api/v1/silences`: 201 with the silence.
///
/// # Errors
/// What is wrong with it, by field; 400 when there are too many.
pub async fn create(app: App, body: crate::body::Body) -> Result<Response, WebError> {
    let silence = read::<Wanted>(&body)?.into_silence((app.parts.clock)())?;
    let silence = put(&app, silence).await?;
    Ok(warp::reply::with_status(warp::reply::json(&silence), StatusCode::CREATED).into_response())
}

/// `PATCH /api/v1/silences/{id}`: another end, counted from now where `for` says it, or another note.
///
/// # Errors
/// [`WebError::NotFound`]; what is wrong, by field.
pub async fn change(app: App, id: String, body: crate::body::Body) -> Result<Response, WebError> {
    let (change, now) = (read::<Change>(&body)?, (app.parts.clock)());
    let mut silence = blocking(&app, move |library| library.silence(&id)).await?;
    if change.until.is_some() || change.lasting.is_some() {
        let from = if change.lasting.is_some() { silence.from.max(now) } else { silence.from };
        silence.until = end(from, change.until, change.lasting.as_deref(), now)?;
    }
    if let Some(note) = change.note {
        if note.len() > MAX_NOTE_BYTES {
            return Err(WebError::parameter("note", format!("at most {MAX_NOTE_BYTES} bytes are taken")));
        }
        silence.note = Some(note).filter(|note| !note.trim().is_empty());
    }
    let silence = put(&app, silence).await?;
    Ok(warp::reply::json(&silence).into_response())
}

/// `DELETE /api/v1/silences/{id}`: it ends now, and stays on record.
///
/// # Errors
/// [`WebError::NotFound`].
pub async fn finish(app: App, id: String) -> Result<Response, WebError> {
    let silence = ended(&app, id).await?;
    Ok(warp::reply::json(&silence).into_response())
}

async fn ended(app: &App, id: String) -> Result<Silence, WebError> {
    let now = (app.parts.clock)();
    let mut silence = blocking(app, move |library| library.silence(&id)).await?;
    if silence.until <= now {
        return Ok(silence);
    }
    silence.until = now;
    put(app, silence).await
}

async fn put(app: &App, silence: Silence) -> Result<Silence, WebError> {
    let catalog = app.parts.catalog.clone();
    blocking(app, move |_| {
        catalog.put_silence(&silence).map_err(|error| WebError::store("keep a silence", error))?;
        Ok(silence)
    })
    .await
}

/// `/silences`: those that hold or will, with a form for another; with what a link filled in.
pub async fn page(app: App, query: Query) -> Result<Response, WebError> {
    let now = (app.parts.clock)();
    let token = app.csrf.token(SUBJECT, now);
    let view = blocking(&app, move |library| {
        let all = SilenceQuery { limit: 200, ..SilenceQuery::default() };
        Ok(SilencesView {
            now,
            token,
            silences: library.silences(&all)?.items,
            service: query.text("service").unwrap_or_default(),
            environment: query.text("environment").unwrap_or_default(),
            deploy_id: query.text("deploy_id").unwrap_or_default(),
        })
    });
    Ok(response::html(&page::silences(&view.await?)))
}

/// `POST /silences`, from the page's form.
///
/// # Errors
/// As [`create`]; 403 for a form that is not ours.
pub async fn create_form(app: App, body: crate::body::Body) -> Result<Response, WebError> {
    let (form, now) = (Query::default().with_form(&body), (app.parts.clock)());
    app.csrf.check(SUBJECT, form.get("csrf"), now)?;
    let wanted = Wanted {
        service: form.text("service"),
        environment: form.text("environment"),
        deploy_id: form.text("deploy_id"),
        lasting: form.text("for"),
        by: form.text("by"),
        note: form.text("note"),
        ..Wanted::default()
    };
    put(&app, wanted.into_silence(now)?).await?;
    Ok(response::see_other("/silences"))
}

/// `POST /silences/{id}/end`, from the page's form.
///
/// # Errors
/// As [`finish`]; 403 for a form that is not ours.
pub async fn finish_form(app: App, id: String, body: crate::body::Body) -> Result<Response, WebError> {
    let form = Query::default().with_form(&body);
    app.csrf.check(SUBJECT, form.get("csrf"), (app.parts.clock)())?;
    ended(&app, id).await?;
    Ok(response::see_other("/silences"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Result<&str, &str>) {
        let now: UnixMillis = "2026-11-23T14:30:00Z".parse().unwrap();
        let made = read::<Wanted>(body.as_bytes()).and_then(|wanted| wanted.into_silence(now));
        match (made, expected) {
            (Ok(silence), Ok(until)) => assert_eq!(silence.until.to_string(), until),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (made, _) => panic!("{body}: {made:?}"),
        }
    }

    #[test]
    fn a_silence_says_whose_and_ends() {
        check(r#"{"service": "checkout"}"#, Ok("2026-11-23T15:00:00.000Z"));
        check(r#"{"service": "*", "for": "2h"}"#, Ok("2026-11-23T16:30:00.000Z"));
        check(r#"{"deploy_id": "d", "until": "2026-11-23T14:31:00Z"}"#, Ok("2026-11-23T14:31:00.000Z"));
        check("{}", Err("say whose"));
        check(r#"{"service": " "}"#, Err("say whose"));
        check(r#"{"service": "a", "until": "2026-11-23T14:29:00Z"}"#, Err("must end in the future"));
        check(r#"{"service": "a", "for": "40d"}"#, Err("at most 30 days"));
        check(r#"{"service": "a", "for": "soon"}"#, Err("not a duration"));
        check(r#"{"service": "a", "for": "1h", "until": 1800000000}"#, Err("not both"));
        check(r#"{"servce": "a"}"#, Err("unknown field"));
    }
}
