//! What a picture costs: five series of a day at ten seconds, with deploys. Expected: PNG within 10 ms with 60 deploys,
//! SVG within 3 ms, and at most twice that with 10,000.

#[path = "../tests/sample/mod.rs"]
mod sample;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use deployline_render::{png, svg};

fn chart(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("chart");
    group.throughput(Throughput::Elements(5 * 8640));
    for n_deploys in [0, 60, 10_000] {
        let chart = sample::day(800, 400, n_deploys);
        group.bench_function(format!("png/5x24h/{n_deploys}_deploys"), |bencher| bencher.iter(|| png(&chart)));
        group.bench_function(format!("svg/5x24h/{n_deploys}_deploys"), |bencher| bencher.iter(|| svg(&chart)));
    }
    let large = sample::day(2400, 1200, 60);
    group.bench_function("png/5x24h/60_deploys_2400x1200", |bencher| bencher.iter(|| png(&large)));
    group.finish();
}

criterion_group!(benches, chart);
criterion_main!(benches);
