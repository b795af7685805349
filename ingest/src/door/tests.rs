use deployline_bus::{BusConfig, Position};
use deployline_schemas::UnixMillis;

use super::*;
use crate::hooks::Secret;

const NOW: UnixMillis = UnixMillis::from_secs(1_764_000_000);

async fn bus(dir: &tempfile::TempDir) -> Bus {
    Bus::open(&BusConfig::default(), dir.path()).await.unwrap()
}

async fn published(bus: &Bus, topic: Topic) -> Vec<Record> {
    let from = Position { partition: 0, offset: 0 };
    bus.read(topic, from, 100).await.unwrap().into_iter().map(|delivered| delivered.record).collect()
}

fn post(body: &str) -> HookRequest {
    HookRequest::new(body.to_owned(), NOW)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_is_on_the_bus_when_the_receipt_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let bus = bus(&dir).await;
    let door = Door::new(bus.clone(), Vec::new(), true, None);
    let body = r#"{"service": "cart", "started_at": 1763999000, "version": "a"}"#;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let receipt = door.submit("api", post(body)).await.unwrap();
        assert!(!receipt.spooled);
        ids.extend(receipt.deploys);
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "three deliveries are one deploy");
    let records = published(&bus, Topic::Deploys).await;
    assert_eq!(records[0].key, "cart/production");
    let events: Vec<CloudEvent<Deploy>> =
        records.iter().map(|record| serde_json::from_slice(&record.value).unwrap()).collect();
    assert_eq!(events[0], events[2], "and say the same");
    assert_eq!(events[0].data.id, ids[0]);
    assert_eq!(door.counters().snapshot()["api"].deploys, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_understood_is_quarantined_without_its_secrets_and_can_be_driven_again() {
    let dir = tempfile::tempdir().unwrap();
    let bus = bus(&dir).await;
    let hook = HookConfig { secret: vec![Secret::new("s")], ..HookConfig::of("api") };
    let door = Door::new(bus.clone(), vec![hook], false, None);
    let request = post(r#"{"started_at": 5}"#).with_header("Authorization", "Bearer s").with_header("X-Trace", "7");
    let error = door.submit("api", request).await.unwrap_err();
    assert_eq!((error.code(), error.status(), error.field()), ("missing_field", 422, Some("service")));
    let records = published(&bus, Topic::Quarantine).await;
    assert_eq!(records[0].header("reason"), Some("missing_field"));
    assert_eq!(records[0].header("http-x-trace"), Some("7"));
    assert!(!format!("{records:?}").contains("Bearer"), "{records:?}");
    let error = door.redrive(&records[0]).await.unwrap_err();
    assert_eq!(error.code(), "missing_field");
    door.reconfigure(vec![HookConfig { service: Some("cart".to_owned()), ..HookConfig::of("api") }], false);
    let fixed = Record { value: r#"{"service": "web", "started_at": 5}"#.into(), ..records[0].clone() };
    assert_eq!(door.redrive(&fixed).await.unwrap().deploys.len(), 1);
    assert_eq!(published(&bus, Topic::Quarantine).await.len(), 1, "what is driven again is not quarantined again");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_verified_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let bus = bus(&dir).await;
    let hook = HookConfig { name: Some("shop".to_owned()), secret: vec![Secret::new("s")], ..HookConfig::of("github") };
    let door = Door::new(bus.clone(), vec![hook], true, None);
    for (path, code) in [("shop", "signature_missing"), ("github", "unknown_source"), ("nowhere", "unknown_source")] {
        assert_eq!(door.submit(path, post("{}")).await.unwrap_err().code(), code, "{path}");
    }
    assert!(published(&bus, Topic::Quarantine).await.is_empty());
    assert_eq!(door.counters().snapshot()["github"].refused["signature_missing"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configured_hook_closes_other_sources_and_not_our_own() {
    let dir = tempfile::tempdir().unwrap();
    let door = Door::new(bus(&dir).await, vec![HookConfig::of("github")], false, None);
    let event = || post(r#"{"service": "cart", "started_at": 5}"#);
    assert_eq!(door.submit("api", event()).await.unwrap().deploys.len(), 1);
    assert_eq!(door.submit("gitlab", event()).await.unwrap_err().code(), "unknown_source");
    let signed = HookConfig { secret: vec![Secret::new("s")], ..HookConfig::of("api") };
    door.reconfigure(vec![signed.clone()], false);
    assert_eq!(door.submit("api", event()).await.unwrap_err().code(), "signature_missing");
    door.reconfigure(vec![HookConfig { name: Some("ci".to_owned()), ..signed }], false);
    assert_eq!(door.submit("api", event()).await.unwrap_err().code(), "unknown_source");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_in_quarantine_is_cut_and_not_driven_again() {
    let dir = tempfile::tempdir().unwrap();
    let bus = bus(&dir).await;
    let door = Door::new(bus.clone(), Vec::new(), true, None);
    let error = door.submit("api", post(&"x".repeat(MAX_QUARANTINED_BYTES + 9))).await.unwrap_err();
    assert_eq!(error.code(), "malformed_body");
    let records = published(&bus, Topic::Quarantine).await;
    assert_eq!(records[0].value.len(), MAX_QUARANTINED_BYTES);
    assert_eq!(Quarantined::from_record(&records[0]).unwrap().cut_from_bytes, Some(MAX_QUARANTINED_BYTES + 9));
    assert_eq!(door.redrive(&records[0]).await.unwrap_err().code(), "body_too_large");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_bus_is_away_deploys_wait_on_disk_and_follow_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let away = bus(&dir).await;
    away.clone().close().await.unwrap();
    let spool = Spool::open(&dir.path().join("spool"), 1 << 20).unwrap();
    let door = Door::new(away, Vec::new(), true, Some(spool.clone()));
    for version in ["a", "b", "c"] {
        let body = format!(r#"{{"service": "cart", "started_at": 5, "version": "{version}"}}"#);
        assert!(door.submit("api", post(&body)).await.unwrap().spooled);
    }
    assert_eq!(spool.len(), 3);
    let back = Bus::open(&BusConfig::default(), dir.path()).await.unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let drain = tokio::spawn({
        let (spool, back, stop) = (spool.clone(), back.clone(), stop.clone());
        async move { spool.drain(&back, stop).await }
    });
    let mut subscription = back.subscribe("test", &[Topic::Deploys]).await.unwrap();
    let mut versions = Vec::new();
    while versions.len() < 3 {
        let batch = tokio::time::timeout(std::time::Duration::from_secs(10), subscription.next_batch(10)).await;
        for delivered in batch.unwrap().unwrap() {
            let event: CloudEvent<Deploy> = serde_json::from_slice(&delivered.record.value).unwrap();
            versions.extend(event.data.version);
        }
    }
    assert_eq!(versions, ["a", "b", "c"]);
    stop.cancel();
    drain.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_is_a_reason_to_try_again() {
    let dir = tempfile::tempdir().unwrap();
    let away = bus(&dir).await;
    away.clone().close().await.unwrap();
    let spool = Spool::open(&dir.path().join("spool"), 10).unwrap();
    let door = Door::new(away, Vec::new(), true, Some(spool));
    let error = door.submit("api", post(r#"{"service": "cart", "started_at": 5}"#)).await.unwrap_err();
    assert_eq!((error.code(), error.status(), error.is_retryable()), ("spool_unavailable", 503, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_bus_would_never_take_is_not_spooled_behind_what_waits() {
    let dir = tempfile::tempdir().unwrap();
    let away = bus(&dir).await;
    away.clone().close().await.unwrap();
    let spool = Spool::open(&dir.path().join("spool"), 8 << 20).unwrap();
    let door = Door::new(away, Vec::new(), true, Some(spool.clone()));
    let event: deployline_schemas::DeployEvent =
        serde_json::from_str(r#"{"service": "cart", "started_at": 5}"#).unwrap();
    let deploy = event.into_deploy().unwrap();
    assert!(door.submit_deploys("statsd", vec![deploy.clone()]).await.unwrap().spooled);
    let long = Deploy { title: Some("x".repeat(MAX_RECORD_BYTES)), ..deploy.clone() };
    let error = door.submit_deploys("statsd", vec![deploy, long]).await.unwrap_err();
    assert_eq!((error.code(), error.status(), error.is_retryable()), ("record_too_large", 413, false));
    assert_eq!(spool.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_names_itself_is_published_once_however_often_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    let bus = bus(&dir).await;
    let door = Door::new(bus.clone(), Vec::new(), true, None);
    let event = |id: &str, version: &str| {
        let data = format!(r#"{{"service": "cart", "started_at": 1763999000, "version": "{version}"}}"#);
        post(&format!(
            r#"{{"specversion": "1.0", "id": "{id}", "source": "/ci", "type": "io.deployline.deploy.v1", "data": {data}}}"#
        ))
    };
    let first = door.submit("cloudevents", event("1", "a")).await.unwrap();
    let again = door.submit("cloudevents", event("1", "a")).await.unwrap();
    assert_eq!((first.duplicate, again.duplicate), (false, true));
    assert_eq!((first.deploys, first.delivery_id), (again.deploys, again.delivery_id));
    // Another body under an old name is no repetition: nobody can hide a deploy behind it.
    assert!(!door.submit("cloudevents", event("1", "b")).await.unwrap().duplicate);
    assert_eq!(published(&bus, Topic::Deploys).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_takes_so_many_a_second_and_strangers_do_not_use_it_up() {
    let dir = tempfile::tempdir().unwrap();
    let hook = HookConfig { secret: vec![Secret::new("s")], max_per_second: 2, ..HookConfig::of("api") };
    let door = Door::new(bus(&dir).await, vec![hook], false, None);
    let body = r#"{"service": "cart", "started_at": 1763999000}"#;
    let proven = || post(body).with_header("X-Deployline-Token", "s");
    for _ in 0..5 {
        assert_eq!(door.submit("api", post(body)).await.unwrap_err().code(), "signature_missing");
    }
    door.submit("api", proven()).await.unwrap();
    door.submit("api", proven()).await.unwrap();
    let error = door.submit("api", proven()).await.unwrap_err();
    assert_eq!((error.code(), error.status(), error.is_retryable()), ("rate_limited", 429, true));
    let later = HookRequest { received_at: NOW.plus(std::time::Duration::from_millis(500)), ..proven() };
    door.submit("api", later).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_come_over_http_is_taken_or_quarantined_with_where_it_lay() {
    let dir = tempfile::tempdir().unwrap();
    let bus = bus(&dir).await;
    let rules = [("topic/cd".to_owned(), HookConfig { secret: vec![Secret::new("s")], ..HookConfig::of("api") })];
    let door = Door::new(bus.clone(), Vec::new(), false, None).with_inner(rules.into());
    let origin = [("topic", "cd".to_owned()), ("offset", "7".to_owned())];
    let body = r#"{"service": "cart", "started_at": 1763999000}"#;
    assert!(door.take("topic/cd", post(body), &origin).await.unwrap().is_some());
    assert!(door.take("topic/cd", post("{"), &origin).await.unwrap().is_none());
    let kept = published(&bus, Topic::Quarantine).await.remove(0);
    let header = |name| kept.header(name);
    assert_eq!((header("reason"), header("topic"), header("offset")), (Some("malformed_body"), Some("cd"), Some("7")));
    // Nobody reaches it over HTTP, and whoever mends the sender can drive it again.
    assert_eq!(door.submit("topic/cd", post(body)).await.unwrap_err().code(), "unknown_source");
    assert_eq!(door.redrive(&kept).await.unwrap_err().code(), "malformed_body");
}
