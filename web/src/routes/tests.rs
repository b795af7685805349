mod foreign;
mod graphite;
mod verdicts;

use std::time::Duration;

use bytes::Bytes;
use deployline_bus::{Bus, BusConfig};
use deployline_correlate::Settings;
use deployline_ingest::{
    door::Door,
    projector::{self, Change},
    remote_write::{Intake, RemoteWriteConfig},
};
use deployline_schemas::{Incident, UnixMillis};
use deployline_store::{Catalog, Point, Store, StoreConfig};
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use warp::http::Response;

use super::*;
use crate::{WebConfig, app::Parts, config::Token, fixtures};

/// An application over an embedded bus and store, its clock at 14:30 of the fixtures' day.
struct Shop {
    _dir: tempfile::TempDir,
    app: App,
    changes: broadcast::Sender<Change>,
}

impl Shop {
    async fn open(config: WebConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let now: UnixMillis = "2026-11-23T14:30:00Z".parse().unwrap();
        let clock: deployline_schemas::time::Clock = std::sync::Arc::new(move || now);
        let bus = Bus::open(&BusConfig::default(), dir.path()).await.unwrap();
        let (changes, _) = broadcast::channel(4);
        let store = Store::open(&StoreConfig::in_dir(dir.path().join("store")), clock.clone()).unwrap();
        let samples = Intake::new(&RemoteWriteConfig::default(), std::sync::Arc::new(store.clone()));
        let parts = Parts {
            config,
            store: store.into(),
            remote_write: samples.into(),
            catalog: Catalog::open(dir.path()).unwrap(),
            door: Door::new(bus.clone(), vec![], true, None),
            bus,
            changes: changes.clone(),
            settings: Settings::default(),
            clock,
            collectors: vec![],
        };
        Self { _dir: dir, app: App::new(parts, CancellationToken::new()), changes }
    }

    /// With the fixtures' deploys, incident, and an hour of checkout's errors.
    async fn seeded() -> Self {
        let shop = Self::open(WebConfig::default()).await;
        let parts = &shop.app.parts;
        parts.catalog.apply_deploys(&fixtures::deploys()).unwrap();
        parts.catalog.apply_incident(&fixtures::incident()).unwrap();
        let series = |name: &str| parts.store.intern(name).unwrap();
        let errors = series("stats.counters.checkout.http.5xx.count");
        let requests = series("stats.counters.checkout.http.requests.count");
        let until_s = (parts.clock)().as_secs();
        let points = (until_s - 3600..=until_s).step_by(10).flat_map(|timestamp_s| {
            let value = |series, value| Point { series, timestamp_s, value };
            [value(errors, 2.0), value(requests, 1000.0)]
        });
        parts.store.append(&points.collect::<Vec<_>>()).unwrap();
        shop
    }

    async fn ask(&self, request: warp::test::RequestBuilder) -> Response<Bytes> {
        request.reply(&routes(self.app.clone())).await
    }

    async fn get(&self, path: &str) -> Response<Bytes> {
        self.ask(warp::test::request().path(path)).await
    }

    async fn json(&self, path: &str) -> (u16, Value) {
        let answer = self.get(path).await;
        (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap())
    }

    async fn post(&self, path: &str, content_type: &str, body: impl AsRef<[u8]>) -> (u16, Value) {
        let request = warp::test::request().method("POST").path(path).header("content-type", content_type).body(body);
        let answer = self.ask(request).await;
        (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap())
    }
}

fn text(answer: &Response<Bytes>) -> String {
    String::from_utf8(answer.body().to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_posted_deploy_is_durable_and_then_listed() {
    let shop = Shop::open(WebConfig::default()).await;
    let body = json!({"id": "d1", "service": "checkout", "version": "9bc1f2e", "finished_at": "2026-11-23T14:29:00Z"});
    let (status, receipt) = shop.post("/api/v1/deploys", "application/json", body.to_string()).await;
    assert_eq!((status, &receipt["deploys"][0]), (202, &json!("d1")));

    let parts = &shop.app.parts;
    let stop = CancellationToken::new();
    let mut changes = shop.changes.subscribe();
    let projecting = projector::run(parts.bus.clone(), parts.catalog.clone(), shop.changes.clone(), stop.clone());
    let projecting = tokio::spawn(projecting);
    changes.recv().await.unwrap();
    let (status, list) = shop.json("/api/v1/deploys?service=checkout").await;
    assert_eq!(
        (status, &list["deploys"][0]["id"], &list["deploys"][0]["verdict"]["word"]),
        (200, &json!("d1"), &json!("watching"))
    );
    stop.cancel();
    projecting.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_with_its_code() {
    let shop = Shop::open(WebConfig::default()).await;
    let json = "application/json";
    for (path, content_type, body, status, code, field) in [
        ("/api/v1/deploys", json, "{", 400, "malformed_body", Value::Null),
        ("/api/v1/deploys", json, "{}", 422, "missing_field", json!("service")),
        ("/api/v1/deploys", "text/plain", "{}", 415, "unsupported_media_type", json!("content-type")),
        ("/hooks/nobody", json, "{}", 404, "unknown_source", Value::Null),
        ("/hooks/github", "text/html", "{}", 415, "unsupported_media_type", json!("content-type")),
    ] {
        let (answered, problem) = shop.post(path, content_type, body).await;
        assert_eq!(
            (answered, &problem["code"], &problem["field"]),
            (status, &json!(code), &field),
            "{path} {body}: {problem}"
        );
        assert!(problem["message"].as_str().is_some_and(|message| message.len() > 10), "{problem}");
    }
    let (status, problem) = shop.post("/hooks/github", json, vec![b'x'; 10_000_000]).await;
    assert_eq!((status, &problem["code"]), (413, &json!("body_too_large")));
}

#[tokio::test]
async fn a_hook_is_verified_where_a_secret_is_set() {
    let shop = Shop::open(WebConfig::default()).await;
    let hook = serde_json::from_value(json!({"source": "github", "secret": "s3cret"})).unwrap();
    shop.app.parts.door.reconfigure(vec![hook], true);
    let (status, problem) = shop.post("/hooks/github", "application/json", "{}").await;
    assert_eq!((status, &problem["code"]), (401, &json!("signature_missing")));
}

#[tokio::test]
async fn deploys_carry_their_verdicts() {
    let shop = Shop::seeded().await;
    let (status, deploy) = shop.json("/api/v1/deploys/checkout-9bc1f2e").await;
    let verdict = json!({
        "word": "regressed", "probability": 0.93, "incident_id": "inc-1",
        "summary": "checkout error ratio 0.2 % → 4.8 % since 14:02:10",
    });
    assert_eq!((status, &deploy["verdict"]), (200, &verdict));
    let (_, page) = shop.json("/api/v1/deploys?limit=1").await;
    assert_eq!(page["deploys"].as_array().unwrap().len(), 1);
    let cursor = page["next_cursor"].as_str().unwrap();
    let (_, page) =
        shop.json(&format!("/api/v1/deploys?limit=1&cursor={}", deployline_notify::links::encode(cursor))).await;
    assert_eq!((&page["deploys"][0]["id"], &page["next_cursor"]), (&json!("search-77aa1b2"), &Value::Null));
    assert_eq!(shop.json("/api/v1/deploys?kind=flag").await.1["deploys"][0]["id"], "search-77aa1b2");
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let shop = Shop::seeded().await;
    for (path, field) in [
        ("/api/v1/deploys?from=soon", json!("from")),
        ("/api/v1/deploys?kind=x", json!("kind")),
        ("/api/v1/deploys?limit=many", json!("limit")),
        ("/api/v1/deploys?cursor=x", Value::Null),
        ("/api/v1/blame", json!("series")),
        ("/graph.svg?theme=x", json!("theme")),
    ] {
        let (status, problem) = shop.json(path).await;
        assert_eq!((status, &problem["code"], &problem["field"]), (400, &json!("invalid_parameter"), &field), "{path}");
    }
    for path in ["/api/v1/deploys/x", "/api/v1/incidents/x", "/api/v1/blame?series=no.such", "/nothing"] {
        let (status, problem) = shop.json(path).await;
        assert_eq!((status, &problem["code"]), (404, &json!("not_found")), "{path}");
    }
    let answer = shop.ask(warp::test::request().method("DELETE").path("/api/v1/incidents")).await;
    assert_eq!(answer.status(), 405);
}

#[tokio::test]
async fn incidents_are_listed_and_found() {
    let shop = Shop::seeded().await;
    let (_, list) = shop.json("/api/v1/incidents?state=confirmed").await;
    let found: Incident = serde_json::from_value(list["incidents"][0].clone()).unwrap();
    assert_eq!(found, fixtures::incident());
    assert_eq!(shop.json("/api/v1/incidents?state=recovered").await.1["incidents"], json!([]));
    assert_eq!(shop.json("/api/v1/incidents/inc-1").await.1["suspects"][0]["deploy_id"], "checkout-9bc1f2e");
}

#[tokio::test]
async fn blame_and_alert_name_the_same_deploy() {
    let shop = Shop::seeded().await;
    let (status, blame) = shop.json("/api/v1/blame?series=stats.counters.checkout.http.5xx.count&at=14:03").await;
    assert_eq!(
        (status, &blame["verdict"], &blame["suspects"][0]["deploy_id"]),
        (200, &json!("regressed"), &json!("checkout-9bc1f2e"))
    );
    let (_, blame) = shop.json("/api/v1/blame?signal=error+ratio&service=checkout&at=13:55").await;
    assert_eq!((&blame["verdict"], &blame["suspects"]), (&json!("unchanged"), &json!([])));
}

#[tokio::test]
async fn a_graph_has_every_deploy_and_marks_the_guilty_one() {
    let shop = Shop::seeded().await;
    let svg = shop.get("/graph.svg?signal=error+ratio&service=checkout&from=-1h&theme=dark").await;
    assert_eq!(
        (svg.status().as_u16(), svg.headers()["content-type"].to_str().unwrap()),
        (200, "image/svg+xml; charset=utf-8")
    );
    let svg = text(&svg);
    assert!(svg.contains("guilty 93 %") && svg.contains("search 77aa1b2"), "{svg}");
    let png = shop.get("/graph.png?target=stats.counters.*.http.5xx.count&width=300&height=200").await;
    assert_eq!((&png.body()[..4], png.headers()["content-type"].to_str().unwrap()), (&b"\x89PNG"[..], "image/png"));
    let none = text(&shop.get("/graph.svg?target=no.such&deploys=none").await);
    assert!(none.contains("nothing is called") && !none.contains("guilty"), "{none}");
}

#[tokio::test]
async fn a_graph_lays_another_time_beneath() {
    let shop = Shop::seeded().await;
    let signal = "/graph.svg?signal=error+ratio&service=checkout";
    let after = text(&shop.get(&format!("{signal}&deploy=checkout-9bc1f2e&compare=before")).await);
    for part in
        ["class=\"compared\"", "before it began", "level before", "at 95 %, after checkout 9bc1f2e", "guilty 93 %"]
    {
        assert!(after.contains(part), "{part} in {after}");
    }
    let week = text(&shop.get(&format!("{signal}&from=-1h&compare=last_week")).await);
    assert!(week.contains("a week before") && week.contains("class=\"expected\""), "{week}");
    assert!(!text(&shop.get(&format!("{signal}&from=-1h")).await).contains("class=\"compared\""));
    // Around the deploy if nobody says when; without it there is no before.
    let around = text(&shop.get(&format!("{signal}&deploy=checkout-9bc1f2e")).await);
    assert!(around.contains("13:35") && around.contains("class=\"onset\""), "{around}");
    assert_eq!(shop.json(&format!("{signal}&deploy=nobody&compare=before")).await.0, 404);
    let (status, problem) = shop.json(&format!("{signal}&compare=before")).await;
    assert_eq!((status, &problem["field"]), (400, &json!("deploy")));
}

#[tokio::test]
async fn pages_are_whole_escaped_and_without_script() {
    let shop = Shop::seeded().await;
    for path in [
        "/",
        "/?service=checkout",
        "/d/checkout-9bc1f2e",
        "/d/search-77aa1b2",
        "/incidents/inc-1",
        "/blame",
        "/blame?series=stats.counters.checkout.http.5xx.count&at=14:03",
        "/blame?series=%3Cscript%3E&at=soon",
    ] {
        let answer = shop.get(path).await;
        assert_eq!(answer.status(), 200, "{path}: {}", text(&answer));
        let policy = answer.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        let html = text(&answer);
        assert!(html.starts_with("<!DOCTYPE html>") && !html.contains("<script"), "{path}");
    }
    assert!(text(&shop.get("/").await).contains("regressed <b>93 %</b>"));
}

#[tokio::test]
async fn a_browser_gets_errors_as_a_page() {
    let shop = Shop::open(WebConfig::default()).await;
    let answer = shop.ask(warp::test::request().path("/d/x").header("accept", "text/html,*/*;q=0.8")).await;
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["content-type"].to_str().unwrap()),
        (404, "text/html; charset=utf-8")
    );
    assert!(text(&answer).contains("there is no deploy `x`"), "{}", text(&answer));
}

#[tokio::test]
async fn an_empty_shop_is_told_how_to_begin() {
    let shop = Shop::open(WebConfig::default()).await;
    assert!(text(&shop.get("/").await).contains("curl -X POST http://127.0.0.1:8128/api/v1/deploys"));
}

#[tokio::test]
async fn a_token_guards_all_but_hooks_and_health() {
    let shop = Shop::open(WebConfig { tokens: vec![Token::new("sesame")], ..WebConfig::default() }).await;
    let (status, problem) = shop.json("/api/v1/deploys").await;
    assert_eq!((status, &problem["code"]), (401, &json!("unauthorized")));
    let answer = shop.ask(warp::test::request().path("/api/v1/deploys").header("authorization", "Bearer sesame")).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(shop.get("/healthz").await.status(), 200);
    assert_eq!(shop.get("/readyz").await.status(), 200);
    assert_eq!(shop.post("/hooks/github", "application/json", "{").await.0, 400);
}

#[tokio::test]
async fn metrics_count_what_was_answered() {
    let shop = Shop::seeded().await;
    shop.get("/").await;
    shop.post("/api/v1/deploys", "application/json", "{}").await;
    let metrics = text(&shop.get("/metrics").await);
    for line in [
        "deployline_http_requests_total{route=\"home\",status=\"200\"} 1",
        "deployline_hook_refused_total{source=\"api\",code=\"missing_field\"} 1",
        "deployline_series 2",
        "deployline_consumer_lag_records{group=\"catalog\",topic=\"deploys\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

#[tokio::test]
async fn streams_are_counted_and_end_with_the_process() {
    let shop = Shop::open(WebConfig { max_streams: 1, ..WebConfig::default() }).await;
    let first = routes(shop.app.clone());
    let reading = tokio::spawn(async move { warp::test::request().path("/api/v1/stream").reply(&first).await });
    while shop.changes.receiver_count() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (status, problem) = shop.json("/api/v1/stream").await;
    assert_eq!((status, &problem["code"]), (503, &json!("too_many_streams")));
    shop.changes.send(Change::Incident(std::sync::Arc::new(fixtures::incident()))).unwrap();
    tokio::task::yield_now().await;
    shop.app.stop.cancel();
    let stream = text(&reading.await.unwrap());
    assert!(stream.contains(":changes from now on"), "{stream}");
}

#[tokio::test]
async fn a_slow_reader_is_dropped_with_a_comment() {
    let shop = Shop::open(WebConfig::default()).await;
    let answer = stream::open(&shop.app).unwrap();
    for _ in 0..9 {
        shop.changes.send(Change::Incident(std::sync::Arc::new(fixtures::incident()))).unwrap();
    }
    let answer = std::sync::Arc::new(std::sync::Mutex::new(Some(answer)));
    let once = warp::any().map(move || answer.lock().unwrap().take().unwrap());
    let read = warp::test::request().reply(&once).await;
    assert!(text(&read).contains("5 changes were missed"), "{}", text(&read));
}
