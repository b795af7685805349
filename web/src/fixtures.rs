//! A few deploys and one incident, shared by this crate's tests.

use deployline_schemas::{Deploy, DeployEvent, Incident};
use serde_json::json;

pub fn deploys() -> Vec<Deploy> {
    let deploy = |value| serde_json::from_value::<DeployEvent>(value).unwrap().into_deploy().unwrap();
    vec![
        deploy(json!({
            "id": "checkout-9bc1f2e", "service": "checkout", "version": "9bc1f2e", "previous_version": "3f2a771",
            "started_at": "2026-11-23T14:01:20Z", "live_at": "2026-11-23T14:02:05Z", "actor": "ana",
            "title": "Round <b>totals</b> & taxes once", "diff_url": "https://git.example/shop/compare/3f2a771...9bc1f2e",
            "url": "javascript:alert(1)", "labels": {"stack": "web"},
        })),
        deploy(json!({
            "id": "search-77aa1b2", "service": "search", "version": "77aa1b2", "live_at": "2026-11-23T13:58:30Z",
            "actor": "bo <script>alert(1)</script>", "kind": "flag",
        })),
    ]
}

pub fn incident() -> Incident {
    let onset =
        json!({"at": "2026-11-23T14:02:10Z", "earliest": "2026-11-23T14:02:00Z", "latest": "2026-11-23T14:02:30Z"});
    let effect = json!({"before": 0.002, "after": 0.048, "factor": 24.0, "low": 19.0, "high": 30.0});
    let timing = |text: &str, log_odds: f64| json!([{"kind": "timing", "log_odds": log_odds, "text": text}]);
    serde_json::from_value(json!({
        "id": "inc-1", "revision": 2, "state": "confirmed", "service": "checkout", "environment": "production",
        "opened_at": "2026-11-23T14:02:50Z", "changed_at": "2026-11-23T14:02:50Z", "onset": onset,
        "signals": [{
            "service": "checkout", "signal": "error ratio", "kind": "ratio", "direction": "up", "log_e": 21.0,
            "series": "stats.counters.checkout.http.5xx.count", "per": "stats.counters.checkout.http.requests.count",
            "effect": effect, "onset": onset,
        }],
        "suspects": [
            {"deploy_id": "checkout-9bc1f2e", "probability": 0.93, "evidence": timing("began 5 s after it was live", 2.1)},
            {"deploy_id": "search-77aa1b2", "probability": 0.05, "evidence": timing("another service", -1.4)},
            {"deploy_id": null, "probability": 0.02, "evidence": []},
        ],
        "summary": "checkout error ratio 0.2 % → 4.8 % since 14:02:10",
    }))
    .unwrap()
}
