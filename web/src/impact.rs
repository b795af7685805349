//! `GET /api/v1/deploys/{id}/impact`: everything that one deploy moved, up or down.

use std::{collections::BTreeMap, time::Duration};

use deployline_correlate::{Impact, Settings, Survey, scope::Scope};
use deployline_schemas::{Deploy, UnixMillis, blame::Verdict};
use serde::Serialize;
use warp::{Reply, reply::Response};

use crate::{
    app::App,
    error::WebError,
    library::{Library, blocking, in_turn},
    query::Query,
    watched::{self, Watched},
};

/// Most series that one answer looks at, those of the deploy's own service and its callers first.
const MAX_SERIES: usize = 2000;
/// Most of them on a page.
pub const MAX_SERIES_ON_PAGE: usize = 300;
/// How much of a series before and after the deploy the correlator is given; it asks for this much.
const BEFORE: Duration = Duration::from_secs(75 * 60);
const AFTER: Duration = Duration::from_secs(12 * 60);
/// Rows of an answer when none are asked for, and at most.
const LIMITS: (usize, usize) = (200, MAX_SERIES);

/// What a deploy moved.
#[derive(Debug, Clone, Serialize)]
pub struct Impacts {
    /// The deploy.
    pub deploy_id: String,
    /// What people call it.
    pub deploy: String,
    /// From when on its effect could show.
    pub since: UnixMillis,
    /// The moment up to which was looked.
    pub until: UnixMillis,
    /// How many series were judged.
    pub n_series: usize,
    /// Further ones that were not looked at, because there are too many.
    pub n_left_out: usize,
    /// How many of the judged ones came to each verdict.
    pub verdicts: Tally,
    /// Other deploys that were under way or live in the same minutes, and may have moved the same series.
    pub others: Vec<Other>,
    /// The moved series first, then the unchanged, then those that cannot be told yet, each by the size of the effect.
    pub impacts: Vec<Impact>,
}

/// How many series came to each verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Worse.
    pub regressed: usize,
    /// Better.
    pub improved: usize,
    /// The same.
    pub unchanged: usize,
    /// Too little data.
    pub inconclusive: usize,
}

impl Tally {
    /// Of a list of impacts.
    pub fn of(impacts: &[Impact]) -> Self {
        let n = |verdict| impacts.iter().filter(|impact| impact.verdict == verdict).count();
        Self {
            regressed: n(Verdict::Regressed),
            improved: n(Verdict::Improved),
            unchanged: n(Verdict::Unchanged),
            inconclusive: n(Verdict::Inconclusive),
        }
    }
}

/// Another deploy of the same minutes.
#[derive(Debug, Clone, Serialize)]
pub struct Other {
    /// Its id.
    pub deploy_id: String,
    /// What people call it.
    pub deploy: String,
}

/// `GET /api/v1/deploys/{id}/impact`, with `service`, `verdict` and `limit`.
///
/// # Errors
/// [`WebError::NotFound`]; a wrong parameter; 503 when too many are asked for at once.
pub async fn json(app: App, id: String, query: Query) -> Result<Response, WebError> {
    let (service, verdict) = (query.text("service"), query.word::<Verdict>("verdict")?);
    let limit = query.count("limit", LIMITS.0, (1, LIMITS.1))?;
    let turn = in_turn(&app.evaluations, "too_many_queries", "too many questions at once").await?;
    let settings = app.parts.settings.clone();
    let answer = blocking(&app, move |library| {
        let _turn = turn;
        let mut answer = of(library, &settings, &library.deploy(&id)?, service.as_deref(), MAX_SERIES)?;
        answer.impacts.retain(|impact| verdict.is_none_or(|verdict| impact.verdict == verdict));
        answer.impacts.truncate(limit);
        Ok(answer)
    });
    Ok(warp::reply::json(&answer.await?).into_response())
}

/// What a deploy moved among at most `limit` series. Blocks: about a millisecond for each of them.
///
/// # Errors
/// A failed read.
pub fn of(
    library: &Library,
    settings: &Settings,
    deploy: &Deploy,
    service: Option<&str>,
    limit: usize,
) -> Result<Impacts, WebError> {
    let (since, until) = (deploy.exposed_at(), library.now.min(end(deploy).plus(AFTER)));
    let mut all = nearest_first(watched::watched(library, service), settings, deploy);
    let n_left_out = all.len().saturating_sub(limit);
    all.truncate(limit);
    let read = watched::read(library, &all, (deploy.started_at.minus(BEFORE), until))?;
    let series: Vec<_> = read.iter().map(watched::Read::surveyed).collect();
    let impacts = deployline_correlate::impact(&Survey { settings, deploy, series: &series, now: until });
    let around = library.deploys_between(deploy.started_at, until, 50)?;
    let others = around.into_iter().filter(|other| other.id != deploy.id);
    Ok(Impacts {
        deploy_id: deploy.id.clone(),
        deploy: deploy.name_with_actor(),
        since,
        until,
        n_series: impacts.len(),
        n_left_out,
        verdicts: Tally::of(&impacts),
        others: others.map(|other| Other { deploy: other.name_with_actor(), deploy_id: other.id }).collect(),
        impacts,
    })
}

/// When all traffic had reached it, as far as is known.
fn end(deploy: &Deploy) -> UnixMillis {
    deploy.live_at.or(deploy.finished_at).unwrap_or(deploy.started_at)
}

/// Own service, then its callers by distance, then everybody else.
fn nearest_first(mut all: Vec<Watched>, settings: &Settings, deploy: &Deploy) -> Vec<Watched> {
    let reach: BTreeMap<String, usize> = Scope::new(&settings.services).reach(&deploy.service).into_iter().collect();
    all.sort_by_key(|watched| reach.get(&watched.service).copied().unwrap_or(usize::MAX));
    all
}
