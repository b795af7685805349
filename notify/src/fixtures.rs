//! One incident with its deploys, shared by this crate's tests.

use std::collections::BTreeMap;

use deployline_schemas::{
    Deploy, DeployEvent, Incident, UnixMillis,
    blame::{Effect, Evidence, Onset, Suspect},
    incident::{IncidentState, MovedSignal},
    signal::{Bad, SignalKind},
};

fn at(clock: &str) -> UnixMillis {
    format!("2026-11-23T{clock}Z").parse().unwrap()
}

pub fn guilty() -> Deploy {
    let event: DeployEvent = serde_json::from_value(serde_json::json!({
        "id": "dep-guilty", "service": "checkout", "version": "9bc1f2e77aa0b1c2d3e4f5a6b7c8d9e0f1a2b3c4",
        "previous_version": "3f2a7710a1b2c3d4e5f60718293a4b5c6d7e8f90",
        "started_at": "2026-11-23T14:01:20Z", "live_at": "2026-11-23T14:02:05Z", "actor": "ana",
        "title": "Round <totals> & taxes once, *not* twice", "diff_url": "https://git.example/shop/compare/3f2a|9bc1?a=1&b=2",
    }))
    .unwrap();
    event.into_deploy().unwrap()
}

pub fn deploys() -> BTreeMap<String, Deploy> {
    let other = |id: &str, service: &str, actor: &str, clock: &str| Deploy {
        id: id.to_owned(),
        service: service.to_owned(),
        actor: Some(actor.to_owned()),
        version: Some("77aa1b2".to_owned()),
        previous_version: None,
        live_at: Some(at(clock)),
        title: None,
        diff_url: None,
        ..guilty()
    };
    let fix =
        Deploy { kind: deployline_schemas::deploy::Kind::Rollback, ..other("dep-fix", "checkout", "bo", "14:14:00") };
    [guilty(), other("dep-search", "search", "bo", "13:58:30"), fix].map(|deploy| (deploy.id.clone(), deploy)).into()
}

pub fn confirmed() -> Incident {
    let onset = Onset { at: at("14:02:10"), earliest: at("14:02:00"), latest: at("14:02:30") };
    let suspect = |id: Option<&str>, probability, text: &str| Suspect {
        deploy_id: id.map(str::to_owned),
        name: None,
        probability,
        evidence: vec![Evidence { kind: "timing".to_owned(), log_odds: 2.1, text: text.to_owned() }],
    };
    let signal = |service: &str, signal: &str, kind, series: &str, per: Option<&str>, effect| MovedSignal {
        service: service.to_owned(),
        signal: signal.to_owned(),
        kind,
        series: series.to_owned(),
        per: per.map(str::to_owned),
        direction: Bad::Up,
        effect,
        onset,
        log_e: 21.0,
    };
    let errors = Effect { before: 0.002, after: 0.048, factor: 24.04, low: 19.1, high: 30.2 };
    let latency = Effect { before: 120.0, after: 341.0, factor: 2.84, low: 2.5, high: 3.2 };
    Incident {
        id: "inc-1".to_owned(),
        revision: 2,
        state: IncidentState::Confirmed,
        service: "checkout".to_owned(),
        environment: "production".to_owned(),
        opened_at: at("14:02:50"),
        changed_at: at("14:02:50"),
        ended_at: None,
        onset,
        signals: vec![
            signal(
                "checkout",
                "error ratio",
                SignalKind::Ratio,
                "stats.counters.checkout.http.5xx.count",
                Some("stats.counters.checkout.http.requests.count"),
                errors,
            ),
            signal(
                "payments",
                "latency p95",
                SignalKind::Latency,
                "stats.timers.payments.latency.upper_95",
                None,
                latency,
            ),
        ],
        suspects: vec![
            suspect(Some("dep-guilty"), 0.93, "began 5 s after it was live"),
            suspect(Some("dep-search"), 0.05, "another service"),
            suspect(None, 0.02, "no deploy"),
        ],
        mended_by: None,
        feedback: Vec::new(),
        summary: "checkout error ratio rose".to_owned(),
    }
}

pub fn recovered() -> Incident {
    Incident {
        revision: 3,
        state: IncidentState::Recovered,
        changed_at: at("14:15:20"),
        ended_at: Some(at("14:14:40")),
        mended_by: Some("dep-fix".to_owned()),
        ..confirmed()
    }
}
