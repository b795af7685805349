//! Impact, gate, opinions, silences.

use deployline_schemas::incident::IncidentState;

use super::*;

/// A shop whose catalog follows its bus until it is dropped.
struct Following {
    shop: Shop,
    stop: CancellationToken,
}

impl Following {
    async fn seeded() -> Self {
        let shop = Shop::seeded().await;
        let stop = CancellationToken::new();
        let parts = &shop.app.parts;
        let work = projector::run(parts.bus.clone(), parts.catalog.clone(), shop.changes.clone(), stop.clone());
        tokio::spawn(work);
        Self { shop, stop }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn send(shop: &Shop, method: &str, path: &str, body: Value) -> (u16, Value) {
    let request = warp::test::request().method(method).path(path).header("content-type", "application/json");
    let answer = shop.ask(request.body(body.to_string())).await;
    (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap_or(Value::Null))
}

#[tokio::test]
async fn impact_says_of_every_series_what_became_of_it() {
    let shop = Shop::seeded().await;
    let (status, answer) = shop.json("/api/v1/deploys/checkout-9bc1f2e/impact").await;
    assert_eq!((status, &answer["n_series"], &answer["deploy"]), (200, &json!(1), &json!("checkout 9bc1f2e by ana")));
    let impact = &answer["impacts"][0];
    // Half an hour of past: too little to judge.
    assert_eq!((&impact["service"], &impact["signal"]), (&json!("checkout"), &json!("error ratio")), "{answer}");
    assert!(impact["summary"].as_str().unwrap().starts_with("checkout error ratio: "), "{impact}");
    assert_eq!(shop.json("/api/v1/deploys/checkout-9bc1f2e/impact?verdict=regressed").await.1["impacts"], json!([]));
    assert_eq!(shop.json("/api/v1/deploys/nope/impact").await.0, 404);
    assert_eq!(shop.json("/api/v1/deploys/checkout-9bc1f2e/impact?verdict=bad").await.1["field"], "verdict");
    assert!(text(&shop.get("/d/checkout-9bc1f2e").await).contains("What it moved"));
}

#[tokio::test]
async fn the_gate_halts_what_an_incident_names_and_goes_by_the_clock_for_the_rest() {
    let shop = Shop::seeded().await;
    let (status, gate) = shop.json("/api/v1/gate?deploy=checkout-9bc1f2e").await;
    assert_eq!((status, &gate["verdict"], &gate["data"]["ok"]), (200, &json!("regressed"), &json!(false)), "{gate}");
    assert_eq!((&gate["incident_id"], &gate["probability"]), (&json!("inc-1"), &json!(0.93)));
    // Live at 13:58:30, asked at 14:30.
    let (_, gate) = shop.json("/api/v1/gate?service=search&version=77aa1b2&for=40m").await;
    assert_eq!((&gate["verdict"], &gate["data"]["ok"]), (&json!("watching"), &json!(true)));
    assert_eq!(gate["seconds_left"], 510);
    let (_, gate) = shop.json("/api/v1/gate?service=search&for=10m").await;
    assert_eq!(gate["verdict"], "cannot_tell");
    assert!(gate["reason"].as_str().unwrap().starts_with("nothing to judge"), "{gate}");
    assert_eq!(shop.json("/api/v1/gate?deploy=nope").await.0, 404);
    assert_eq!(shop.json("/api/v1/gate").await.1["field"], "deploy");
}

#[tokio::test]
async fn flagger_reads_the_gate_from_its_status() {
    let shop = Shop::seeded().await;
    let payload = |name: &str, kind: &str, more: Value| json!({"name": name, "namespace": "test", "phase": "Progressing", "checksum": "85d557f47b", "type": kind, "metadata": more});
    for (name, kind, more, expected) in [
        ("checkout", "rollout", json!({}), 409),
        ("checkout", "rollback", json!({}), 200),
        ("search", "rollout", json!({"for": "40m"}), 200),
        ("search", "confirm-promotion", json!({"for": "40m"}), 425),
        ("search", "confirm-promotion", json!({}), 409),
        ("search", "confirm-promotion", json!({"cannot_tell": "go"}), 200),
        ("podinfo", "pre-rollout", json!({}), 200),
        ("podinfo", "rollout", json!({}), 404),
        ("podinfo", "rollout", json!({"service": "checkout"}), 409),
    ] {
        let (status, body) = send(&shop, "POST", "/api/v1/gate", payload(name, kind, more.clone())).await;
        assert_eq!(status, expected, "{name} {kind} {more}: {body}");
    }
    assert_eq!(shop.post("/api/v1/gate", "application/json", "[").await.1["code"], "malformed_body");
    assert_eq!(shop.post("/api/v1/gate", "text/plain", "{}").await.0, 415);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opinion_travels_over_the_bus_and_changes_the_incident_once() {
    let following = Following::seeded().await;
    let shop = &following.shop;
    let (status, acked) = send(shop, "POST", "/api/v1/incidents/inc-1/ack", json!({"by": "ana"})).await;
    assert_eq!((status, &acked["state"], &acked["revision"]), (200, &json!("confirmed"), &json!(3)));
    let (_, again) = send(shop, "POST", "/api/v1/incidents/inc-1/ack", json!({"by": "ana"})).await;
    assert_eq!(again["revision"], 3, "a second click changes nothing");
    let (status, expected) = send(shop, "POST", "/api/v1/incidents/inc-1/expected", json!({"note": "tax"})).await;
    assert_eq!((status, &expected["state"], &expected["ended_at"]), (200, &json!("expected"), &expected["changed_at"]));
    assert_eq!(shop.json("/api/v1/incidents/inc-1").await.1["feedback"].as_array().unwrap().len(), 2);
    assert_eq!(shop.json("/api/v1/deploys/checkout-9bc1f2e").await.1["verdict"]["word"], "expected");
    let revisions = shop.app.parts.catalog.incident_revisions("inc-1").unwrap();
    assert_eq!(revisions.last().unwrap().state, IncidentState::Expected);
    assert_eq!(send(shop, "POST", "/api/v1/incidents/nope/ack", json!({})).await.0, 404);
    // Ids may hold slashes: this one can be asked for, and is no place to post to.
    assert_eq!(send(shop, "POST", "/api/v1/incidents/inc-1/maybe", json!({})).await.0, 405);
    assert_eq!(send(shop, "POST", "/api/v1/incidents/inc-1/ack", json!({"b": 1})).await.0, 400);
    assert_eq!(shop.post("/api/v1/incidents/inc-1/ack", "text/plain", "{}").await.0, 415);
}

/// The token in a page's form.
fn token(page: &str) -> String {
    let after = page.split_once("name=\"csrf\" value=\"").unwrap().1;
    after.split_once('"').unwrap().0.to_owned()
}

async fn form(shop: &Shop, path: &str, origin: &str, body: &str) -> Response<Bytes> {
    let request = warp::test::request().method("POST").path(path).header("host", "127.0.0.1:8128");
    let request = request.header("origin", origin).header("content-type", "application/x-www-form-urlencoded");
    shop.ask(request.body(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_form_works_without_script_and_not_for_other_sites() {
    let following = Following::seeded().await;
    let shop = &following.shop;
    let page = text(&shop.get("/incidents/inc-1").await);
    assert!(page.contains("formaction=\"/incidents/inc-1/wrong\""), "{page}");
    let (token, ours) = (token(&page), "http://127.0.0.1:8128");
    let path = "/incidents/inc-1/wrong";
    assert_eq!(form(shop, path, ours, "by=eve").await.status(), 403, "no token");
    assert_eq!(form(shop, path, "http://evil.example", &format!("csrf={token}")).await.status(), 403);
    assert_eq!(form(shop, "/incidents/inc-2/wrong", ours, &format!("csrf={token}")).await.status(), 403);
    assert_eq!(shop.json("/api/v1/incidents/inc-1").await.1["state"], "confirmed");
    let answer = form(shop, path, ours, &format!("csrf={token}&by=ana&note=not+%3Cthis%3E")).await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["location"]), (303, &"/incidents/inc-1".parse().unwrap()));
    let page = text(&shop.get("/incidents/inc-1").await);
    assert!(page.contains("judged wrong") && page.contains("not &lt;this&gt;"), "{page}");
}

#[tokio::test]
async fn a_silence_is_made_changed_ended_and_shown() {
    let shop = Shop::seeded().await;
    let (status, made) = send(&shop, "POST", "/api/v1/silences", json!({"service": "check*", "for": "1h"})).await;
    assert_eq!((status, &made["until"]), (201, &json!("2026-11-23T15:30:00.000Z")));
    let path = format!("/api/v1/silences/{}", made["id"].as_str().unwrap());
    assert!(text(&shop.get("/incidents/inc-1").await).contains("Nobody is told of it until"));
    assert_eq!(shop.json("/api/v1/incidents/inc-1").await.1["silence"]["id"], made["id"]);
    let (status, changed) = send(&shop, "PATCH", &path, json!({"for": "2h", "note": "load test"})).await;
    assert_eq!(
        (status, &changed["until"], &changed["note"]),
        (200, &json!("2026-11-23T16:30:00.000Z"), &json!("load test"))
    );
    assert_eq!(shop.json("/api/v1/silences").await.1["silences"], json!([changed]));
    assert_eq!(send(&shop, "DELETE", &path, Value::Null).await.1["until"], "2026-11-23T14:30:00.000Z");
    assert_eq!(shop.json("/api/v1/silences").await.1["silences"], json!([]));
    assert_eq!(shop.json("/api/v1/silences?state=all").await.1["silences"].as_array().unwrap().len(), 1);
    assert_eq!(shop.json(&path).await.0, 200, "it stays on record");
    assert_eq!(send(&shop, "POST", "/api/v1/silences", json!({})).await.1["field"], "service");
    assert_eq!(send(&shop, "DELETE", "/api/v1/silences/nope", Value::Null).await.0, 404);
    let page = text(&shop.get("/silences?service=search").await);
    assert!(page.contains("value=\"search\"") && page.contains("load test"), "{page}");
    let answer =
        form(&shop, "/silences", "http://127.0.0.1:8128", &format!("csrf={}&service=x&for=30m", token(&page))).await;
    assert_eq!(answer.status(), 303, "{}", text(&answer));
}

#[tokio::test]
async fn the_doctor_says_what_is_not_watched() {
    let shop = Shop::seeded().await;
    let (status, answer) = shop.json("/api/v1/doctor?placebos=3").await;
    assert_eq!(
        (status, &answer["bus"]["ok"], &answer["signals"]["n_series"]),
        (200, &json!(true), &json!(1)),
        "{answer}"
    );
    assert_eq!(
        (&answer["placebo"]["n_deploys"], &answer["placebo"]["is_cut"]),
        (&json!(0), &json!(true)),
        "one hour is too short"
    );
    assert_eq!(shop.json("/api/v1/doctor?placebos=x").await.1["field"], "placebos");
}
