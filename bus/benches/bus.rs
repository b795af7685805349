//! What the embedded bus costs: a publish until it is durable, alone, in a list and among many publishers; and a read.
//!
//! A lone publish waits for one sync of the disk, so that is what it costs; publishers that wait together share one.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use deployline_bus::{Bus, BusConfig, Position, Record};
use deployline_schemas::topic::Topic;
use tokio::{runtime::Runtime, task::JoinSet};

/// A deploy event as the door writes it.
fn record(n: usize) -> Record {
    Record::new(format!("service-{}/production", n % 50), vec![b'x'; 1000])
        .with_header("content-type", "application/cloudevents+json; charset=UTF-8")
        .with_header("source", "github")
}

fn open(runtime: &Runtime, dir: &tempfile::TempDir) -> Bus {
    runtime.block_on(Bus::open(&BusConfig::default(), dir.path())).expect("a new bus opens")
}

fn publish(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("threads start");
    let dir = tempfile::tempdir().expect("a folder");
    let bus = open(&runtime, &dir);
    let mut group = criterion.benchmark_group("bus/publish");
    group.sample_size(10);
    for (name, n_records) in [("alone/1", 1), ("list/1000", 1000)] {
        group.throughput(Throughput::Elements(n_records as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let records = (0..n_records).map(record).collect();
                runtime.block_on(bus.publish(Topic::Deploys, records)).expect("the disk has room")
            });
        });
    }
    let n_publishers = 1000;
    group.throughput(Throughput::Elements(n_publishers as u64));
    group.bench_function("together/1000", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                let mut publishers = JoinSet::new();
                for n in 0..n_publishers {
                    let bus = bus.clone();
                    publishers.spawn(async move { bus.publish(Topic::Deploys, vec![record(n)]).await });
                }
                while let Some(published) = publishers.join_next().await {
                    published.expect("no panic").expect("the disk has room");
                }
            });
        });
    });
}

fn read(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("threads start");
    let dir = tempfile::tempdir().expect("a folder");
    let bus = open(&runtime, &dir);
    let n_records = 5000;
    for _ in 0..10 {
        let records = (0..n_records).map(record).collect();
        runtime.block_on(bus.publish(Topic::Deploys, records)).expect("the disk has room");
    }
    let mut group = criterion.benchmark_group("bus/read");
    group.sample_size(20).throughput(Throughput::Elements(n_records as u64));
    let middle = Position { partition: 0, offset: 20_000 };
    group.bench_function("5000_of_50k", |bencher| {
        bencher.iter(|| black_box(runtime.block_on(bus.read(Topic::Deploys, middle, n_records)).expect("a stretch")));
    });
}

criterion_group!(benches, publish, read);
criterion_main!(benches);
