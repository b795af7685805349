//! `GET` and `POST /api/v1/gate`: may the pipeline go on?
//!
//! A deploy is fine when it has been live for the time asked for, no incident names it, and nothing that it reaches got worse. It
//! regressed when an incident names it, or when a series of its own or of a caller got worse and the deploy is the likeliest
//! cause. Where its own service has no signal that can be judged, nobody can tell, and that is said.

mod flagger;

pub use flagger::post;

use std::time::Duration;

use deployline_correlate::{Impact, Settings, scope::Scope};
use deployline_schemas::{Deploy, Incident, UnixMillis, blame::Verdict, deploy::Status, incident::IncidentState};
use deployline_store::catalog::DeployQuery;
use serde::Serialize;
use warp::{Reply, reply::Response};

use crate::{
    app::App,
    blame::{self, Asked},
    error::WebError,
    impact,
    library::{Library, blocking, in_turn},
    moment,
    query::Query,
};

/// How long a deploy is watched if not said.
const USUAL: Duration = Duration::from_secs(600);
/// Shortest and longest time that a deploy can be watched: the correlator needs its first minute, and a pipeline that waits
/// longer than a deploy is suspected learns nothing more.
const BOUNDS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));
/// A deploy that is not live so long after it began is waited for no more.
const LONGEST_ROLLOUT: Duration = Duration::from_secs(2 * 3600);
/// Longest time that one request is held while the answer is "watching".
const LONGEST_WAIT: Duration = Duration::from_secs(25);
/// How often a held request looks again.
const LOOK: Duration = Duration::from_millis(500);
/// Most series that are judged: the deploy's own service first.
const MAX_SERIES: usize = 500;
/// From which probability on a deploy counts as the cause of a series that got worse without an incident.
const LIKELY: f64 = 0.5;

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// Go on.
    Fine,
    /// Halt.
    Regressed,
    /// The time is over and nobody can say.
    CannotTell,
    /// Too early: ask again.
    Watching,
}

/// The answer.
#[derive(Debug, Clone, Serialize)]
pub struct Gate {
    /// Whether to go on.
    pub verdict: Word,
    /// Why, in a sentence.
    pub reason: String,
    /// The deploy.
    pub deploy_id: String,
    /// What people call it.
    pub deploy: String,
    /// From when on it is watched: since it was live; `null` before.
    pub since: Option<UnixMillis>,
    /// Until when.
    pub until: Option<UnixMillis>,
    /// How much of that is left, in seconds.
    pub seconds_left: Option<i64>,
    /// The odds that it is the cause, where something regressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// The incident that names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident_id: Option<String>,
    /// What became of the series within its reach, once the time is over.
    pub impacts: Vec<Impact>,
    /// The same for programs that look for one word: Argo Rollouts' `jsonPath: "{$.data}"`.
    pub data: Data,
}

/// The answer in the shape of Argo Rollouts' web metric.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Data {
    /// Whether nothing speaks against going on: fine, or still watching.
    pub ok: bool,
    /// The verdict.
    pub verdict: Word,
}

impl Gate {
    fn new(deploy: &Deploy, verdict: Word, reason: impl Into<String>) -> Self {
        Self {
            verdict,
            reason: reason.into(),
            deploy_id: deploy.id.clone(),
            deploy: deploy.name_with_actor(),
            since: None,
            until: None,
            seconds_left: None,
            probability: None,
            incident_id: None,
            impacts: Vec::new(),
            data: Data { ok: matches!(verdict, Word::Fine | Word::Watching), verdict },
        }
    }
}

/// Which deploy is meant, and for how long it is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asking {
    /// Its id.
    deploy: Option<String>,
    /// Else its service, and the last deploy of it that fits.
    service: Option<String>,
    version: Option<String>,
    environment: Option<String>,
    /// For how long.
    watch: Duration,
}

impl Asking {
    /// Reads `deploy`, or `service` with `version` and `environment` where they are to fit, and `for`.
    ///
    /// # Errors
    /// [`WebError::Refused`] that names the parameter.
    pub fn parse(query: &Query) -> Result<Self, WebError> {
        let (deploy, service) = (query.text("deploy"), query.text("service"));
        if deploy.is_none() && service.is_none() {
            return Err(WebError::parameter("deploy", "say which: `deploy`, or `service` with `version` or without"));
        }
        let watch = match query.get("for") {
            Some(text) => duration("for", text)?,
            None => USUAL,
        };
        let bounds = BOUNDS.0..=BOUNDS.1;
        if !bounds.contains(&watch) {
            return Err(WebError::parameter("for", "a deploy can be watched for between 1m and 60m"));
        }
        Ok(Self { deploy, service, version: query.text("version"), environment: query.text("environment"), watch })
    }

    fn find(&self, library: &Library) -> Result<Deploy, WebError> {
        if let Some(id) = &self.deploy {
            return library.deploy(id);
        }
        let query = DeployQuery {
            service: self.service.clone(),
            environment: self.environment.clone(),
            limit: 100,
            ..DeployQuery::default()
        };
        let fits = |deploy: &Deploy| match (&self.version, &deploy.version) {
            (None, _) => true,
            // Either may be abbreviated.
            (Some(wanted), Some(version)) => {
                !wanted.is_empty() && (version.starts_with(wanted.as_str()) || wanted.starts_with(version.as_str()))
            }
            (Some(_), None) => false,
        };
        let found = library.deploys(&query)?.items.into_iter().find(fits);
        let name = || [&self.service, &self.version].into_iter().flatten().cloned().collect::<Vec<_>>().join(" ");
        found.ok_or_else(|| WebError::NotFound { what: "deploy", id: name() })
    }
}

fn duration(field: &'static str, text: &str) -> Result<Duration, WebError> {
    moment::duration(text.trim())
        .ok_or_else(|| WebError::parameter(field, format!("`{text}` is not a duration: write 90s or 10m")))
}

/// `GET /api/v1/gate?deploy=ID&for=10m&wait=20s`: 200 with the verdict, whatever it is. With `wait` the answer is held while
/// it would be "watching", at most 25 s.
///
/// # Errors
/// [`WebError::NotFound`] for a deploy that has not come; a wrong parameter.
pub async fn get(app: App, query: Query) -> Result<Response, WebError> {
    let asking = Asking::parse(&query)?;
    let wait = query.get("wait").map(|text| duration("wait", text)).transpose()?.unwrap_or_default();
    let gate = ask(&app, asking, wait.min(LONGEST_WAIT)).await?;
    Ok(warp::reply::json(&gate).into_response())
}

/// Asks until the answer is more than "watching", or for `wait`.
async fn ask(app: &App, asking: Asking, wait: Duration) -> Result<Gate, WebError> {
    let until = tokio::time::Instant::now() + wait;
    let held = app.waits.try_acquire().ok();
    loop {
        let turn = in_turn(&app.evaluations, "too_many_queries", "too many questions at once").await?;
        let (asking, settings) = (asking.clone(), app.parts.settings.clone());
        let gate = blocking(app, move |library| {
            let _turn = turn;
            decide(library, &settings, &asking.find(library)?, asking.watch)
        })
        .await?;
        let next = tokio::time::Instant::now() + LOOK;
        if gate.verdict != Word::Watching || held.is_none() || next > until {
            return Ok(gate);
        }
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            () = app.stop.cancelled() => return Ok(gate),
        }
    }
}

/// The verdict on a deploy at the library's moment. Blocks: reads and judges what the deploy reaches once the time is over.
///
/// # Errors
/// A failed read.
pub fn decide(library: &Library, settings: &Settings, deploy: &Deploy, watch: Duration) -> Result<Gate, WebError> {
    if matches!(deploy.status, Status::Failed | Status::Canceled) {
        let word = if deploy.status == Status::Failed { "failed" } else { "was canceled" };
        return Ok(Gate::new(deploy, Word::CannotTell, format!("the deploy {word}: it is not what runs")));
    }
    let live = deploy.live_at.or(deploy.finished_at).filter(|at| *at <= library.now);
    let window = |gate: Gate| Gate {
        since: live,
        until: live.map(|live| live.plus(watch)),
        seconds_left: live.map(|live| ((live.plus(watch).0 - library.now.0).max(0) + 999) / 1000),
        ..gate
    };
    let around = library.incidents_between(deploy.started_at, library.now)?;
    if let Some((incident, probability)) = around.iter().find_map(|incident| held_against(incident, deploy)) {
        let gate = Gate::new(deploy, Word::Regressed, incident.summary.clone());
        return Ok(window(Gate { probability: Some(probability), incident_id: Some(incident.id.clone()), ..gate }));
    }
    let Some(live) = live else {
        let is_stuck = deploy.started_at.plus(LONGEST_ROLLOUT) < library.now;
        let (word, reason) = match is_stuck {
            true => (Word::CannotTell, "it is not live two hours after it began"),
            false => (Word::Watching, "it is not live yet"),
        };
        return Ok(Gate::new(deploy, word, reason));
    };
    if library.now < live.plus(watch) {
        let reason = "nothing found so far".to_owned();
        return Ok(window(Gate::new(deploy, Word::Watching, reason)));
    }
    survey(library, settings, deploy).map(window)
}

/// The incident that names a deploy as its cause, with the odds: one that lasts, or that only a change mended.
fn held_against<'i>(incident: &'i Incident, deploy: &Deploy) -> Option<(&'i Incident, f64)> {
    let leading = incident.leading_suspect().filter(|suspect| suspect.deploy_id.as_ref() == Some(&deploy.id))?;
    let counts = match incident.state {
        IncidentState::Confirmed | IncidentState::Persisting => true,
        IncidentState::Recovered => incident.mended_by.is_some(),
        IncidentState::Suspected | IncidentState::Expected | IncidentState::Wrong => false,
    };
    counts.then_some((incident, leading.probability))
}

/// Judges what the deploy reaches, now that its time is over.
fn survey(library: &Library, settings: &Settings, deploy: &Deploy) -> Result<Gate, WebError> {
    let reach: Vec<String> =
        Scope::new(&settings.services).reach(&deploy.service).into_iter().map(|(service, _)| service).collect();
    let mut impacts = impact::of(library, settings, deploy, None, MAX_SERIES)?.impacts;
    impacts.retain(|impact| impact.service.as_ref().is_some_and(|service| reach.contains(service)));
    for worse in impacts.iter().filter(|impact| impact.verdict == Verdict::Regressed) {
        let Some(onset) = worse.onset else { continue };
        let asked = Asked::series(worse.series.clone(), onset.at.plus(Duration::from_secs(30)).min(library.now));
        let blame = blame::ask(library, settings, &asked)?;
        let mine = blame.suspects.iter().find(|suspect| suspect.deploy_id.as_ref() == Some(&deploy.id));
        if let Some(mine) = mine.filter(|mine| mine.probability >= LIKELY && blame.verdict == Verdict::Regressed) {
            let gate = Gate::new(deploy, Word::Regressed, blame.summary.clone());
            return Ok(Gate { probability: Some(mine.probability), impacts, ..gate });
        }
    }
    let own: Vec<&Impact> = impacts.iter().filter(|impact| impact.service.as_ref() == Some(&deploy.service)).collect();
    let n_judged = own.iter().filter(|impact| impact.verdict != Verdict::Inconclusive).count();
    let gate = match (own.first(), n_judged) {
        (None, _) => {
            let reason = format!("nothing to judge: no signal of {} has a series", deploy.service);
            Gate::new(deploy, Word::CannotTell, reason)
        }
        (Some(first), 0) => Gate::new(deploy, Word::CannotTell, first.summary.clone()),
        (Some(_), n) => {
            let reason =
                format!("{n} of {} signals of {} judged, none got worse through it", own.len(), deploy.service);
            Gate::new(deploy, Word::Fine, reason)
        }
    };
    Ok(Gate { impacts, ..gate })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn parse(raw: &str) -> Result<Asking, String> {
        Asking::parse(&Query::parse(raw).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_question_names_a_deploy_and_a_time_within_bounds() {
        assert_eq!(parse("deploy=d1").unwrap().watch, USUAL);
        assert_eq!(parse("service=checkout&for=90s").unwrap().watch, Duration::from_secs(90));
        assert!(parse("version=1").unwrap_err().starts_with("say which"));
        assert!(parse("deploy=d1&for=soon").unwrap_err().contains("not a duration"));
        assert!(parse("deploy=d1&for=3h").unwrap_err().contains("between 1m and 60m"));
        assert!(parse("deploy=d1&for=1s").unwrap_err().contains("between 1m and 60m"));
    }

    #[test]
    fn an_incident_counts_while_it_lasts_and_after_a_mend() {
        let deploy = fixtures::deploys().remove(0);
        let counts = |state, mended_by: Option<&str>| {
            let incident = Incident { state, mended_by: mended_by.map(str::to_owned), ..fixtures::incident() };
            held_against(&incident, &deploy).map(|(_, probability)| probability)
        };
        assert_eq!(counts(IncidentState::Confirmed, None), Some(0.93));
        assert_eq!(counts(IncidentState::Recovered, Some("fix")), Some(0.93));
        assert_eq!(counts(IncidentState::Recovered, None), None, "it passed by itself");
        assert_eq!(counts(IncidentState::Wrong, None), None);
        let runner_up = fixtures::deploys().remove(1);
        assert!(held_against(&fixtures::incident(), &runner_up).is_none());
    }
}
