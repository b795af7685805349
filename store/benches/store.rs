//! What the store's main paths cost: an append until it is durable, a read around a deploy, a glob over many names,
//! a page of the catalog.

use std::{hint::black_box, sync::Arc};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use deployline_schemas::{
    deploy::{Deploy, DeployEvent},
    time::{Clock, UnixMillis},
};
use deployline_store::{Catalog, Point, SeriesId, Store, StoreConfig, catalog::DeployQuery};

const START_S: i64 = 1_700_006_400;

fn open(dir: &tempfile::TempDir) -> Store {
    let clock: Clock = Arc::new(|| UnixMillis::from_secs(START_S + 86_400));
    Store::open(&StoreConfig::in_dir(dir.path()), clock).expect("a new store opens")
}

/// Numbers with one decimal that wander, as rates and latencies do.
fn value(seed: usize) -> f64 {
    (seed.wrapping_mul(0x9e37_79b9) >> 7 & 0xfff) as f64 / 10.0
}

fn intern(store: &Store, n_series: usize) -> Vec<SeriesId> {
    let name = |i| format!("stats.timers.{}.{}.upper_95", i % 100, i / 100);
    (0..n_series).map(|i| store.intern(&name(i)).expect("below the limit")).collect()
}

fn append(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(&dir);
    let ids = intern(&store, 1000);
    let mut at_s = START_S;
    let mut group = criterion.benchmark_group("append");
    group.sample_size(10).throughput(Throughput::Elements(100_000));
    group.bench_function("durable/100k_points_batch", |bencher| {
        bencher.iter(|| {
            let points: Vec<Point> = (0..100_000)
                .map(|i| Point { series: ids[i % 1000], timestamp_s: at_s + (i / 1000) as i64, value: value(i) })
                .collect();
            at_s = START_S + (at_s + 100 - START_S) % 86_400;
            store.append(&points).expect("the disk has room")
        });
    });
}

fn read(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(&dir);
    let ids = intern(&store, 100);
    for (series, id) in ids.iter().enumerate() {
        let points: Vec<Point> = (0..8640)
            .map(|i| Point { series: *id, timestamp_s: START_S + 10 * i as i64, value: value(i + series) })
            .collect();
        store.append(&points).expect("the disk has room");
    }
    let mut group = criterion.benchmark_group("read");
    let day = |store: &Store, id| store.read(id, START_S, START_S + 86_400).expect("a day is read");
    group.bench_function("1_series_24h/head", |bencher| bencher.iter(|| black_box(day(&store, ids[50]))));
    store.flush().expect("the disk has room");
    drop(store);
    let store = open(&dir);
    group.bench_function("1_series_24h/block", |bencher| bencher.iter(|| black_box(day(&store, ids[50]))));
}

fn find(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("find");
    for (size, width) in [("100k", 100), ("1m", 1000)] {
        let dir = tempfile::tempdir().expect("a folder");
        let store = open(&dir);
        for i in 0..width * 1000 {
            store.intern(&format!("a.{}.{}.{}", i % 10, i / 10 % 100, i / 1000)).expect("below the limit");
        }
        group.bench_function(format!("all/{size}_names"), |bencher| bencher.iter(|| black_box(store.find("a.*.*.*"))));
        group.bench_function(format!("last_parts/{size}_names"), |bencher| {
            bencher.iter(|| black_box(store.find("a.*.*.*").parts().count()))
        });
        group.bench_function(format!("some/{size}_names"), |bencher| {
            bencher.iter(|| black_box(store.matching("a.*.{1,2}[0-9].*7")))
        });
    }
}

fn page(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a folder");
    let catalog = Catalog::open(dir.path()).expect("a new catalog opens");
    let deploy = |i: i64| -> Deploy {
        let event = DeployEvent {
            id: Some(format!("d{i}")),
            service: format!("service-{}", i % 200),
            version: Some(format!("{i:x}")),
            started_at: Some(UnixMillis::from_secs(START_S + i)),
            finished_at: Some(UnixMillis::from_secs(START_S + i + 60)),
            ..DeployEvent::default()
        };
        event.into_deploy().expect("service and times are there")
    };
    for batch in 0..100 {
        let deploys: Vec<Deploy> = (0..10_000).map(|i| deploy(batch * 10_000 + i)).collect();
        catalog.apply_deploys(&deploys).expect("the disk has room");
    }
    let middle = Some(UnixMillis::from_secs(START_S + 500_000));
    let mut group = criterion.benchmark_group("deploys");
    for (name, query) in [
        ("newest_50/1m", DeployQuery { limit: 50, ..DeployQuery::default() }),
        (
            "service_until_50/1m",
            DeployQuery { service: Some("service-7".to_owned()), until: middle, limit: 50, ..DeployQuery::default() },
        ),
        (
            "hour_overlap/1m",
            DeployQuery {
                from: middle,
                until: middle.map(|at| UnixMillis(at.0 + 3_600_000)),
                limit: 1000,
                ..DeployQuery::default()
            },
        ),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| black_box(catalog.deploys(&query).expect("a page"))));
    }
}

criterion_group!(benches, append, read, find, page);
criterion_main!(benches);
