//! The engine over recorded time: the loop that `deployline replay` runs, without the files.

use std::collections::BTreeSet;

use deployline_schemas::{Deploy, Incident, UnixMillis, incident::IncidentState, series::Datapoint};
use serde::Serialize;

use crate::{engine::Engine, settings::Settings};

/// A line of `alerts.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alert {
    /// The incident's id.
    pub incident: String,
    /// `regression` or `recovered`.
    pub kind: &'static str,
    /// When it would have been sent, in Unix seconds.
    pub sent_at: f64,
    /// The service in which it shows most.
    pub service: String,
    /// When it began, in Unix seconds.
    pub onset: f64,
    /// The likeliest cause; `None` where no deploy is.
    pub deploy_id: Option<String>,
    /// The belief in that answer.
    pub probability: f64,
}

impl Alert {
    /// What one state change says; `None` where it says nothing to anybody.
    pub fn of(incident: &Incident) -> Option<Self> {
        let kind = match incident.state {
            IncidentState::Confirmed => "regression",
            IncidentState::Recovered => "recovered",
            IncidentState::Suspected | IncidentState::Persisting | IncidentState::Expected | IncidentState::Wrong => {
                return None;
            }
        };
        let leading = incident.leading_suspect();
        Some(Self {
            incident: incident.id.clone(),
            kind,
            sent_at: incident.changed_at.as_secs_f64(),
            service: incident.service.clone(),
            onset: incident.onset.at.as_secs_f64(),
            deploy_id: leading.and_then(|suspect| suspect.deploy_id.clone()),
            probability: leading.map_or(0.0, |suspect| (suspect.probability * 1e6).round() / 1e6),
        })
    }
}

/// What a replay comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    /// Every alert in the order of sending.
    pub alerts: Vec<Alert>,
    /// The final state of every incident, in the order of opening.
    pub incidents: Vec<Incident>,
}

/// Runs the engine over `points`, in the order of their stamps, as if each had come when it was stamped.
///
/// The deploys may be complete: the engine itself looks at no start, end or status that lies in the future of the moment
/// it judges, so that a file with the future cut away gives the same alerts up to the cut.
pub fn replay<'p>(settings: Settings, deploys: &[Deploy], points: impl IntoIterator<Item = Datapoint<'p>>) -> Replayed {
    let lateness_ms = settings.lateness_ms;
    let mut engine = Engine::new(settings);
    deploys.iter().for_each(|deploy| engine.observe_deploy(deploy));
    let mut alerts = Vec::new();
    let mut newest = i64::MIN;
    // What was only suspected nobody heard of, nor do they of its end.
    let mut heard = BTreeSet::new();
    let mut tell = |changes: Vec<Incident>| {
        let told = changes.iter().filter_map(Alert::of);
        alerts.extend(told.filter(|alert| match alert.kind {
            "regression" => heard.insert(alert.incident.clone()),
            _ => heard.contains(&alert.incident),
        }));
    };
    for point in points {
        if point.timestamp_s > newest {
            // Every datapoint up to `newest` is in: the bins that end there may close.
            if newest > i64::MIN {
                tell(engine.advance(UnixMillis(point.timestamp_s * 1000 - 1)));
            }
            newest = point.timestamp_s;
        }
        engine.observe(point.series, point.timestamp_s, point.value);
    }
    if newest > i64::MIN {
        tell(engine.advance(UnixMillis(newest * 1000 + lateness_ms)));
    }
    Replayed { alerts, incidents: engine.incidents().cloned().collect() }
}
