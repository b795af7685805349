//! What is known of a deploy: the word beside it in every list.

use std::time::Duration;

use deployline_schemas::{Deploy, Incident, UnixMillis, deploy::Status, incident::IncidentState, progress::Progress};
use serde::Serialize;

/// How long after it took effect a deploy counts as watched: most regressions show within it.
pub const WATCH: Duration = Duration::from_secs(10 * 60);

/// The verdict on a deploy, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// The leading suspect of an incident that lasts.
    Regressed,
    /// The leading suspect of one that is over.
    Recovered,
    /// The leading suspect of one that is not certain yet.
    Suspected,
    /// A person said that the change was meant.
    Expected,
    /// Waiting, under way, or just live: cannot tell yet.
    Watching,
    /// Begun, and its end was never told.
    Expired,
    /// Nothing has been laid at its door.
    Clear,
    /// No signal of its service has a series: nothing could have been found.
    NothingToJudge,
    /// Never took effect: failed or canceled.
    Aborted,
}

/// The verdict on a deploy, as the API gives it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeployVerdict {
    /// The verdict in a word.
    pub word: Word,
    /// The odds that it is the cause, `0.0..=1.0`, where it leads an incident.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// That incident.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident_id: Option<String>,
    /// The incident in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

impl DeployVerdict {
    /// The verdict at `now`, given the incidents around the deploy in any order.
    pub fn new(deploy: &Deploy, incidents: &[Incident], now: UnixMillis) -> Self {
        let led = incidents
            .iter()
            .filter_map(|incident| Some((grave(incident.state)?, probability(incident, &deploy.id)?, incident)));
        // The gravest word counts; among equals the surest.
        let gravest = led.max_by(|a, b| (a.0.1).cmp(&b.0.1).then(a.1.total_cmp(&b.1)));
        if let Some(((word, _), probability, incident)) = gravest {
            return Self {
                word,
                probability: Some(probability),
                incident_id: Some(incident.id.clone()),
                summary: Some(incident.summary.clone()),
            };
        }
        let word = match deploy.status {
            Status::Failed | Status::Canceled => Word::Aborted,
            Status::Queued | Status::Started if deploy.progress(now) == Progress::Expired => Word::Expired,
            Status::Queued | Status::Started => Word::Watching,
            Status::Succeeded if deploy.exposed_at().plus(WATCH) > now => Word::Watching,
            Status::Succeeded => Word::Clear,
        };
        Self { word, probability: None, incident_id: None, summary: None }
    }
}

/// The word for the leading suspect of an incident in this state, and how grave it is.
fn grave(state: IncidentState) -> Option<(Word, u8)> {
    match state {
        IncidentState::Confirmed | IncidentState::Persisting => Some((Word::Regressed, 4)),
        IncidentState::Recovered => Some((Word::Recovered, 3)),
        IncidentState::Suspected => Some((Word::Suspected, 2)),
        IncidentState::Expected => Some((Word::Expected, 1)),
        IncidentState::Wrong => None,
    }
}

/// The odds of a deploy that leads an incident.
fn probability(incident: &Incident, deploy_id: &str) -> Option<f64> {
    let leading = incident.leading_suspect()?;
    (leading.deploy_id.as_deref() == Some(deploy_id)).then_some(leading.probability)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[track_caller]
    fn check(id: &str, states: &[IncidentState], now: &str, expected: Word) {
        let deploy = fixtures::deploys().into_iter().find(|deploy| deploy.id == id).unwrap();
        let incidents: Vec<_> = states.iter().map(|state| Incident { state: *state, ..fixtures::incident() }).collect();
        let now = format!("2026-11-23T{now}Z").parse().unwrap();
        assert_eq!(DeployVerdict::new(&deploy, &incidents, now).word, expected);
    }

    #[test]
    fn the_leading_suspect_takes_the_gravest_word() {
        use IncidentState::{Confirmed, Expected, Recovered, Suspected, Wrong};
        check("checkout-9bc1f2e", &[Suspected, Confirmed, Recovered], "14:05:00", Word::Regressed);
        check("checkout-9bc1f2e", &[Recovered, Suspected], "14:05:00", Word::Recovered);
        check("checkout-9bc1f2e", &[Expected], "14:05:00", Word::Expected);
        check("checkout-9bc1f2e", &[Wrong], "15:05:00", Word::Clear);
    }

    #[test]
    fn a_runner_up_is_not_accused() {
        check("search-77aa1b2", &[IncidentState::Confirmed], "15:00:00", Word::Clear);
    }

    #[test]
    fn a_start_without_an_end_is_watched_until_it_expires() {
        let mut deploy = fixtures::deploys().remove(0);
        (deploy.status, deploy.live_at, deploy.finished_at) = (Status::Started, None, None);
        deploy.exposure.clear();
        let word = |hours: u64| {
            let now = deploy.started_at.plus(Duration::from_secs(hours * 3600));
            DeployVerdict::new(&deploy, &[], now).word
        };
        assert_eq!((word(1), word(2)), (Word::Watching, Word::Expired));
    }

    #[test]
    fn too_early_is_not_clear() {
        check("search-77aa1b2", &[], "13:59:00", Word::Watching);
        check("search-77aa1b2", &[], "14:20:00", Word::Clear);
    }
}
