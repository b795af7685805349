//! A made-up incident, for trying channels out.

use std::collections::BTreeMap;

use deployline_schemas::{
    Deploy, DeployEvent, Incident,
    blame::{Effect, Evidence, Onset, Suspect},
    incident::{IncidentState, MovedSignal},
    signal::{Bad, SignalKind},
    time::wall_clock,
};

/// An incident of the service "deployline-test" that says everywhere that it is a test, with the deploy that it names.
///
/// # Panics
/// Never: the deploy's event is well formed.
pub fn test(base_url: &str) -> (Incident, BTreeMap<String, Deploy>) {
    let now = wall_clock()();
    let service = "deployline-test".to_owned();
    let event = DeployEvent {
        id: Some("test-deploy".to_owned()),
        service: service.clone(),
        version: Some("test".to_owned()),
        finished_at: Some(now),
        actor: Some("deployline notify test".to_owned()),
        title: Some("This is a test: nothing was deployed and nothing is broken".to_owned()),
        url: Some(base_url.to_owned()),
        ..DeployEvent::default()
    };
    let deploy = event.into_deploy().expect("a service and a time are all that an event needs");
    let onset = Onset { at: now, earliest: now, latest: now };
    let incident = Incident {
        id: format!("test-{}", now.as_secs()),
        revision: 1,
        state: IncidentState::Confirmed,
        service: service.clone(),
        environment: "test".to_owned(),
        opened_at: now,
        changed_at: now,
        ended_at: None,
        onset,
        signals: vec![MovedSignal {
            service,
            signal: "error ratio (this is a test)".to_owned(),
            kind: SignalKind::Ratio,
            series: "deployline.test".to_owned(),
            per: None,
            direction: Bad::Up,
            effect: Effect { before: 0.001, after: 0.002, factor: 2.0, low: 1.8, high: 2.2 },
            onset,
            log_e: 0.0,
        }],
        suspects: vec![Suspect {
            deploy_id: Some(deploy.id.clone()),
            name: Some(deploy.name_with_actor()),
            probability: 0.5,
            evidence: vec![Evidence { kind: "timing".to_owned(), log_odds: 0.0, text: "this is a test".to_owned() }],
        }],
        mended_by: None,
        feedback: Vec::new(),
        summary: "this is a test".to_owned(),
    };
    (incident, BTreeMap::from([(deploy.id.clone(), deploy)]))
}
