//! `GET /api/v1/deploys`, `/api/v1/incidents`: lists and single entries as JSON.

use std::collections::BTreeMap;

use deployline_correlate::commits::RankedCommit;
use deployline_schemas::{Deploy, Incident, Silence, UnixMillis, progress::Progress};
use deployline_store::catalog::{DeployQuery, IncidentQuery};
use serde::Serialize;
use warp::{Reply, reply::Response};

use crate::{app::App, error::WebError, library::blocking, page::DeployRow, query::Query, verdict::DeployVerdict};

/// Rows of a page when none are asked for, and at most.
const LIMITS: (usize, usize) = (50, 1000);

/// A deploy with its verdict.
#[derive(Debug, Serialize)]
struct Judged {
    #[serde(flatten)]
    deploy: Deploy,
    /// How it stands now: queued, running, expired (no end was told for too long) or ended.
    progress: Progress,
    /// When it expires unless its end is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<UnixMillis>,
    verdict: DeployVerdict,
}

impl Judged {
    fn new(DeployRow { deploy, verdict }: DeployRow, now: UnixMillis) -> Self {
        Self { progress: deploy.progress(now), expires_at: deploy.expires_at(), deploy, verdict }
    }
}

#[derive(Debug, Serialize)]
struct Deploys {
    deploys: Vec<Judged>,
    /// Asks for the next page, given back as `cursor`; null on the last.
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize)]
struct Incidents {
    incidents: Vec<Incident>,
    /// Asks for the next page, given back as `cursor`; null on the last.
    next_cursor: Option<String>,
}

/// What a list of deploys is asked for: `service`, `environment`, `kind`, `from`, `until`, `limit`, `cursor`.
///
/// # Errors
/// [`WebError::Refused`] that names the parameter.
pub fn deploy_query(query: &Query, now: UnixMillis) -> Result<DeployQuery, WebError> {
    let Listing { service, environment, from, until, cursor, limit } = Listing::parse(query, now)?;
    Ok(DeployQuery { service, environment, kind: query.word("kind")?, from, until, cursor, limit })
}

fn incident_query(query: &Query, now: UnixMillis) -> Result<IncidentQuery, WebError> {
    let Listing { service, environment, from, until, cursor, limit } = Listing::parse(query, now)?;
    Ok(IncidentQuery { service, environment, state: query.word("state")?, from, until, cursor, limit })
}

/// What every list takes.
struct Listing {
    service: Option<String>,
    environment: Option<String>,
    from: Option<UnixMillis>,
    until: Option<UnixMillis>,
    cursor: Option<String>,
    limit: usize,
}

impl Listing {
    fn parse(query: &Query, now: UnixMillis) -> Result<Self, WebError> {
        Ok(Self {
            service: query.text("service"),
            environment: query.text("environment"),
            from: query.moment("from", now)?,
            until: query.moment("until", now)?,
            cursor: query.text("cursor"),
            limit: query.count("limit", LIMITS.0, (1, LIMITS.1))?,
        })
    }
}

/// `GET /api/v1/deploys`: latest start first.
pub async fn deploys(app: App, query: Query) -> Result<Response, WebError> {
    let now = (app.parts.clock)();
    let query = deploy_query(&query, now)?;
    let answer = blocking(&app, move |library| {
        let page = library.deploys(&query)?;
        let deploys = library.judged(page.items)?.into_iter().map(|row| Judged::new(row, now)).collect();
        Ok(Deploys { deploys, next_cursor: page.next })
    });
    Ok(warp::reply::json(&answer.await?).into_response())
}

/// `GET /api/v1/deploys/{id}`
pub async fn deploy(app: App, id: String) -> Result<Response, WebError> {
    let now = (app.parts.clock)();
    let answer = blocking(&app, move |library| {
        let mut rows = library.judged(vec![library.deploy(&id)?])?;
        rows.pop().map(|row| Judged::new(row, now)).ok_or(WebError::NotFound { what: "deploy", id })
    });
    Ok(warp::reply::json(&answer.await?).into_response())
}

/// `GET /api/v1/incidents`: last opened first.
pub async fn incidents(app: App, query: Query) -> Result<Response, WebError> {
    let query = incident_query(&query, (app.parts.clock)())?;
    let answer = blocking(&app, move |library| {
        let page = library.incidents(&query)?;
        Ok(Incidents { incidents: page.items, next_cursor: page.next })
    });
    Ok(warp::reply::json(&answer.await?).into_response())
}

/// An incident with what is added when it is looked at by itself.
#[derive(Debug, Serialize)]
struct Detailed {
    #[serde(flatten)]
    incident: Incident,
    /// The commits of the suspects that brought several, by deploy, likeliest first where there is evidence.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    commits: BTreeMap<String, Vec<RankedCommit>>,
    /// The silence that keeps it from being told.
    #[serde(skip_serializing_if = "Option::is_none")]
    silence: Option<Silence>,
}

/// `GET /api/v1/incidents/{id}`
pub async fn incident(app: App, id: String) -> Result<Response, WebError> {
    let answer = blocking(&app, move |library| {
        let incident = library.incident(&id)?;
        let rows = library.suspects(&incident.suspects, &incident.signals)?;
        let batches = rows.into_iter().filter(|row| row.commits.len() > 1);
        let commits = batches.filter_map(|row| Some((row.suspect.deploy_id?, row.commits))).collect();
        let silence = if incident.state.is_open() { library.silenced(&incident)? } else { None };
        Ok(Detailed { incident, commits, silence })
    });
    Ok(warp::reply::json(&answer.await?).into_response())
}
