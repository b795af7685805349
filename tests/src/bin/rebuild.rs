//! How long the catalog takes to be rebuilt from a topic of a million deploys, and to answer lists of them over HTTP.
//!
//! The deploys are published to the embedded bus of a server that is down and has lost its catalog; the clock starts with
//! the process and stops when the catalog group has no lag. Then every set of filters is asked for, page by page.
//!
//! `make bench` runs it, optimised. It fails when a figure misses its bar by more than a tenth.

use std::{
    env, fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use deployline_bus::{Bus, BusConfig, Record};
use deployline_schemas::{
    DeployEvent, UnixMillis,
    cloudevent::CloudEvent,
    deploy::{Kind, Status},
    topic::Topic,
};
use deployline_tests::{
    server::{Server, Settings},
    shop::now,
};

/// Longest rebuild, in seconds, and longest page at the 99th percentile, in milliseconds.
const REBUILD_BAR_S: f64 = 60.0;
const PAGE_BAR_MS: f64 = 10.0;
/// A figure that misses its bar by less than this share does not fail the run: the machine is noisy.
const MARGIN: f64 = 0.1;
/// Records of one publish.
const BATCH: u64 = 5000;
/// Between two deploys: a million of them are a busy year.
const BETWEEN_S: i64 = 30;
/// Questions for each set of filters.
const N_PAGES: usize = 100;

fn main() -> anyhow::Result<()> {
    let n_deploys: u64 = env::args().nth(1).map_or(Ok(1_000_000), |n| n.parse()).context("usage: rebuild [N]")?;
    let mut server = Server::start(&Settings::default())?;
    ensure!(server.terminate()? == 0, "the server did not end well:\n{}", server.log_tail());
    let newest = now();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(fill(&server.data(), n_deploys, newest))?;
    for file in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"] {
        let _ = fs::remove_file(server.data().join(file));
    }
    let started = Instant::now();
    server.restart()?;
    let oldest = deploy(0, n_deploys, newest).id.context("it has an id")?;
    let newest_id = deploy(n_deploys - 1, n_deploys, newest).id.context("it has an id")?;
    while !(server.deploys(&[("limit", "1")])?.to_string().contains(&newest_id)) {
        ensure!(started.elapsed() < Duration::from_secs(600), "not rebuilt in 10 minutes:\n{}", server.log_tail());
        std::thread::sleep(Duration::from_millis(100));
    }
    let took_s = started.elapsed().as_secs_f64();
    server.deploy(&oldest)?;
    println!(
        "rebuilt {n_deploys} deploys in {took_s:.1} s, {:.0} a second; bar {REBUILD_BAR_S} s",
        n_deploys as f64 / took_s
    );
    let mut missed = Vec::new();
    if took_s > REBUILD_BAR_S * (1.0 + MARGIN) {
        missed.push(format!("rebuilt in {took_s:.1} s, the bar is {REBUILD_BAR_S} s"));
    }
    println!("{:<40}{:>8}{:>8}{:>8}{:>8}", "50 of GET /api/v1/deploys, ms", "p50", "p99", "max", "bar");
    for (name, query) in queries(newest) {
        let [p50, p99, max] = pages(&server, &query)?;
        println!("{name:<40}{p50:>8.2}{p99:>8.2}{max:>8.2}{PAGE_BAR_MS:>8.0}");
        if p50 > PAGE_BAR_MS * (1.0 + MARGIN) {
            missed.push(format!("{name}: {p50:.1} ms, the bar is {PAGE_BAR_MS} ms"));
        }
    }
    ensure!(missed.is_empty(), "missed: {}", missed.join("; "));
    Ok(())
}

/// A deploy of a shop with 200 services, in order of time; one in a hundred goes to staging, one in a thousand is a flag.
fn deploy(n: u64, n_deploys: u64, newest: UnixMillis) -> DeployEvent {
    let at = UnixMillis::from_secs(newest.as_secs() - (n_deploys - n) as i64 * BETWEEN_S);
    DeployEvent {
        // As numbers are handed out by many repositories: not in the order of time.
        id: Some(format!("github:shop/web:{}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20)),
        service: format!("service-{:03}", n % 200),
        environment: Some(if n.is_multiple_of(100) { "staging" } else { "production" }.to_owned()),
        kind: if n % 1000 == 7 { Kind::Flag } else { Kind::Deploy },
        version: Some(format!("{:040x}", u128::from(n) << 64 | u128::from(n))),
        status: Some(Status::Succeeded),
        started_at: Some(at),
        live_at: Some(UnixMillis(at.0 + 45_000)),
        finished_at: Some(UnixMillis(at.0 + 60_000)),
        actor: Some("ana".to_owned()),
        title: Some("Charge the card once".to_owned()),
        repository: Some("shop/web".to_owned()),
        url: Some("https://github.com/shop/web/actions/runs/9000000000".to_owned()),
        source: Some("github".to_owned()),
        ..DeployEvent::default()
    }
}

async fn fill(data: &Path, n_deploys: u64, newest: UnixMillis) -> anyhow::Result<()> {
    let bus = Bus::open(&BusConfig { timeout: Duration::from_secs(60), ..BusConfig::default() }, data).await?;
    for first in (0..n_deploys).step_by(BATCH as usize) {
        let record = |n| -> anyhow::Result<Record> {
            let deploy = deploy(n, n_deploys, newest).into_deploy()?;
            let key = deploy.key();
            let value = serde_json::to_vec(&CloudEvent::deploy(deploy, &n.to_string()))?;
            Ok(Record::new(key, value)
                .with_header("content-type", "application/cloudevents+json; charset=UTF-8")
                .with_header("source", "github"))
        };
        let records: anyhow::Result<_> = (first..n_deploys.min(first + BATCH)).map(record).collect();
        bus.publish(Topic::Deploys, records?).await?;
    }
    bus.close().await?;
    Ok(())
}

type Query = Vec<(&'static str, String)>;

/// Every set of the filters `service`, `environment` and `kind`, what is asked for rare where it can be; with and without
/// a stretch of time in the middle.
fn queries(newest: UnixMillis) -> Vec<(String, Query)> {
    let filters = [("service", "service-007"), ("environment", "staging"), ("kind", "flag")];
    let middle = newest.as_secs() - 500_000 * BETWEEN_S;
    let mut queries = Vec::new();
    for bits in 0..8 {
        let chosen = filters.iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0);
        let query: Query = chosen.map(|(_, (name, value))| (*name, (*value).to_owned())).collect();
        let names = query.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ");
        let within = [("from", middle.to_string()), ("until", (middle + 86_400).to_string())];
        queries.push((format!("a day of {names}"), query.iter().cloned().chain(within).collect()));
        queries.push((if names.is_empty() { "all".to_owned() } else { names }, query));
    }
    queries
}

/// Milliseconds of one page after the other, from the first again at the end: median, 99th percentile, worst.
fn pages(server: &Server, query: &Query) -> anyhow::Result<[f64; 3]> {
    let mut waits_ms = Vec::with_capacity(N_PAGES);
    let mut cursor = None;
    for _ in 0..N_PAGES {
        let mut asked: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        asked.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let before = Instant::now();
        let page = server.deploys(&asked)?;
        waits_ms.push(before.elapsed().as_secs_f64() * 1e3);
        cursor = page["next_cursor"].as_str().map(str::to_owned);
    }
    waits_ms.sort_by(f64::total_cmp);
    Ok([0.5, 0.99, 1.0].map(|q: f64| waits_ms[((waits_ms.len() - 1) as f64 * q).round() as usize]))
}
