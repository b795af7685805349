//! Serves the pages over seeded data, for looking at them: `cargo run -p deployline-web --example preview -- 127.0.0.1:8129`.
//! With `empty` as second argument nothing is seeded.

use std::time::Duration;

use deployline_bus::{Bus, BusConfig};
use deployline_correlate::{Engine, Settings};
use deployline_ingest::{
    door::Door,
    remote_write::{Intake, RemoteWriteConfig},
};
use deployline_schemas::{Deploy, DeployEvent, UnixMillis, incident::IncidentState, signal::Service, time::wall_clock};
use deployline_store::{Catalog, Point, Store, StoreConfig};
use deployline_web::{App, Parts, WebConfig};
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

const SERVICES: [&str; 4] = ["checkout", "search", "payments", "images"];

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen: std::net::SocketAddr = arguments.next().unwrap_or_else(|| "127.0.0.1:8129".to_owned()).parse()?;
    let dir = tempfile::tempdir()?;
    let clock = wall_clock();
    let bus = Bus::open(&BusConfig::default(), dir.path()).await?;
    let store = Store::open(&StoreConfig::in_dir(dir.path().join("store")), clock.clone())?;
    let catalog = Catalog::open(dir.path())?;
    let mut settings = Settings::default();
    let calls = Service { depends_on: vec!["payments".to_owned()], owner: Some("shop".to_owned()) };
    settings.services.insert("checkout".to_owned(), calls);
    if arguments.next().as_deref() != Some("empty") {
        seed(&store, &catalog, &settings, clock())?;
    }
    let config = WebConfig { listen, base_url: format!("http://{listen}"), ..WebConfig::default() };
    let (changes, _) = broadcast::channel(64);
    let door = Door::new(bus.clone(), vec![], true, None);
    let samples = Intake::new(&RemoteWriteConfig::default(), std::sync::Arc::new(store.clone())).into();
    let parts = Parts {
        config,
        store: store.into(),
        remote_write: samples,
        catalog,
        bus,
        door,
        changes,
        settings,
        clock,
        collectors: vec![],
    };
    let stop = CancellationToken::new();
    let listener = deployline_web::listen(listen).await?;
    println!("http://{listen}/");
    let ended = stop.clone();
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        ended.cancel();
    });
    deployline_web::serve(App::new(parts, stop.clone()), listener, stop).await;
    Ok(())
}

/// Three hours of four services; a bad checkout 40 minutes ago, mended 25 minutes ago.
fn seed(
    store: &Store,
    catalog: &Catalog,
    settings: &Settings,
    now: UnixMillis,
) -> Result<(), Box<dyn std::error::Error>> {
    let ago = |minutes: u64| now.minus(Duration::from_secs(minutes * 60));
    let deploys = deploys(&ago);
    catalog.apply_deploys(&deploys)?;
    let mut engine = Engine::new(settings.clone());
    deploys.iter().for_each(|deploy| engine.observe_deploy(deploy));
    let (broke, mended) = (ago(40).as_secs() + 25, ago(25).as_secs() + 15);
    let now_s = now.as_secs() / 10 * 10;
    // A small deterministic generator: the picture should look the same each time.
    let mut state = 7_u64;
    let mut noise = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1_u64 << 31) as f64 - 0.5
    };
    let (mut points, mut told) = (Vec::new(), Vec::new());
    for timestamp_s in (now_s - 3 * 3600..=now_s).step_by(10) {
        for (index, service) in SERVICES.iter().enumerate() {
            let wave = (timestamp_s as f64 / 3000.0 + index as f64).sin();
            let requests = (900.0 + 250.0 * wave + 60.0 * noise()).round();
            let is_bad = *service == "checkout" && (broke..mended).contains(&timestamp_s);
            let share = if is_bad { 0.05 } else { 0.004 };
            let errors = (requests * share * (1.0 + 0.5 * noise())).round();
            let latency = 120.0 + 12.0 * wave + 14.0 * noise() + if is_bad { 90.0 } else { 0.0 };
            for (name, value) in [("counters", requests), ("errors", errors), ("timers", latency)] {
                let series = match name {
                    "counters" => format!("stats.counters.{service}.http.requests.count"),
                    "errors" => format!("stats.counters.{service}.http.5xx.count"),
                    _ => format!("stats.timers.{service}.http.latency.upper_95"),
                };
                engine.observe(&series, timestamp_s, value);
                points.push(Point { series: store.intern(&series)?, timestamp_s, value });
            }
        }
        for incident in engine.advance(UnixMillis::from_secs(timestamp_s)) {
            catalog.apply_incident(&incident)?;
            told.push(incident);
        }
    }
    store.append(&points)?;
    // The same once more as it stood before it was mended, so that every state can be seen.
    if let Some(mut open) = told.into_iter().find(|incident| incident.state == IncidentState::Confirmed) {
        open.id = "still-open".to_owned();
        catalog.apply_incident(&open)?;
    }
    Ok(())
}

fn deploys(ago: &impl Fn(u64) -> UnixMillis) -> Vec<Deploy> {
    let deploy = |minutes: u64, service: &str, actor: &str, version: &str, more: Value| {
        let mut event = json!({
            "id": format!("{service}-{version}"), "service": service, "version": version, "actor": actor,
            "started_at": ago(minutes).0 - 45_000, "live_at": ago(minutes).0, "finished_at": ago(minutes).0 + 2000,
            "previous_version": "3f2a771", "diff_url": format!("https://git.example/shop/{service}/compare/3f2a771...{version}"),
            "source": "deployinator",
        });
        if let (Value::Object(event), Value::Object(more)) = (&mut event, more) {
            event.extend(more);
        }
        let event: DeployEvent = serde_json::from_value(event).expect("the seed is a deploy event");
        event.into_deploy().expect("the seed is a deploy")
    };
    vec![
        deploy(3, "images", "dee", "c0ffee1", json!({"title": "Serve AVIF where it is smaller"})),
        deploy(12, "search", "bo", "77aa1b2", json!({"title": "Rank fresh items <b>higher</b> & faster"})),
        deploy(
            25,
            "checkout",
            "ana",
            "3f2a771",
            json!({"kind": "rollback", "rollback_of": "checkout-9bc1f2e", "previous_version": "9bc1f2e"}),
        ),
        deploy(
            40,
            "checkout",
            "ana",
            "9bc1f2e",
            json!({
                "title": "Round totals and taxes once, not twice",
                "commits": [{"id": "9bc1f2e77aa0b1c2d3e4f5a6b7c8d9e0f1a2b3c4", "author": "ana", "message": "Round once", "url": "https://git.example/c/9bc1f2e"}],
            }),
        ),
        deploy(42, "search", "chen", "41d00d2", json!({})),
        deploy(
            44,
            "payments",
            "dee",
            "b16b00c",
            json!({"kind": "config", "title": "Raise the pool to 40 connections", "version": "pool-40"}),
        ),
        deploy(70, "images", "bo", "deadbe1", json!({"status": "canceled"})),
        deploy(100, "payments", "chen", "f00dca5", json!({})),
        deploy(150, "search", "bo", "0ddba11", json!({"environment": "staging"})),
    ]
}
