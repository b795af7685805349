//! What the engine costs: a flush of very many signals, a replay, a question about one series, the screening of a shop.

use std::{hint::black_box, num::NonZeroUsize};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use deployline_correlate::{Engine, Question, Settings, blame, replay::replay, screen::screen};
use deployline_schemas::{Deploy, DeployEvent, UnixMillis, series::Datapoint};

const START_S: i64 = 1_760_000_000;
/// Enough history for a verdict on every signal.
const WARM_BINS: i64 = 120;

/// SplitMix64, uniform in `0.0..1.0`.
fn uniform(seed: u64) -> f64 {
    let mut z = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

fn deploy(id: usize, service: &str, started_s: i64) -> Deploy {
    let event = serde_json::json!({
        "id": format!("d-{id}"), "service": service, "started_at": started_s, "finished_at": started_s + 40,
    });
    serde_json::from_value::<DeployEvent>(event).expect("an event").into_deploy().expect("a deploy")
}

/// Services of four series, of which two signals are made: an error ratio, a latency and its p95.
struct Shop {
    names: Vec<[String; 4]>,
}

impl Shop {
    fn of(n_services: usize) -> Self {
        let names = |at: usize| {
            let service = format!("service{at}");
            [
                format!("stats.counters.{service}.http.requests.count"),
                format!("stats.counters.{service}.http.5xx.count"),
                format!("stats.timers.{service}.http.latency.median"),
                format!("stats.timers.{service}.http.latency.upper_95"),
            ]
        };
        Self { names: (0..n_services).map(names).collect() }
    }

    /// One flush: rates that wander a little, latencies with noise.
    fn flush(&self, bin: i64, mut take: impl FnMut(&str, i64, f64)) {
        for (at, names) in self.names.iter().enumerate() {
            let noise = |series: u64| uniform(((at as u64) << 32) + ((bin as u64) << 2) + series);
            let values = [
                1000.0,
                if noise(1) < 0.2 { 1.0 } else { 0.0 },
                100.0 * (1.0 + 0.1 * noise(2)),
                250.0 * (1.0 + 0.2 * noise(3)),
            ];
            for (name, value) in names.iter().zip(values) {
                take(name, START_S + 10 * (bin + 1), value);
            }
        }
    }
}

/// The steady state, with a deploy somewhere every minute.
fn flush(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("flush");
    group.sample_size(10);
    for n_services in [100, 3_000] {
        let shop = Shop::of(n_services);
        let mut engine = Engine::new(Settings::default());
        for bin in 0..WARM_BINS {
            shop.flush(bin, |name, at_s, value| engine.observe(name, at_s, value));
            engine.advance(UnixMillis::from_secs(START_S + 10 * (bin + 1)));
        }
        let mut bin = WARM_BINS;
        group.throughput(Throughput::Elements(engine.n_signals() as u64));
        group.bench_function(BenchmarkId::new("signals", engine.n_signals()), |bencher| {
            bencher.iter(|| {
                shop.flush(bin, |name, at_s, value| engine.observe(name, at_s, value));
                if bin % 6 == 0 {
                    let service = format!("service{}", bin as usize % n_services);
                    engine.observe_deploy(&deploy(bin as usize, &service, START_S + 10 * bin));
                }
                bin += 1;
                black_box(engine.advance(UnixMillis::from_secs(START_S + 10 * bin)))
            });
        });
    }
    group.finish();
}

/// Recorded time, without the reading of files.
fn recorded(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("replay");
    group.sample_size(10);
    for (n_services, hours) in [(18, 6), (250, 1)] {
        let (shop, n_bins) = (Shop::of(n_services), hours * 360);
        let deploys: Vec<Deploy> = (0..hours as usize * 3)
            .map(|at| deploy(at, &format!("service{}", at % n_services), START_S + 900 + 1200 * at as i64))
            .collect();
        let mut points = Vec::new();
        for bin in 0..n_bins {
            let mut at = 0;
            shop.flush(bin, |_, at_s, value| {
                points.push((at, at_s, value));
                at += 1;
            });
        }
        let names: Vec<&str> = shop.names.iter().flatten().map(String::as_str).collect();
        group.throughput(Throughput::Elements(points.len() as u64));
        group.bench_function(format!("{hours}h/{}_series", names.len()), |bencher| {
            bencher.iter(|| {
                let points = points.iter().map(|(at, timestamp_s, value)| Datapoint {
                    series: names[*at],
                    timestamp_s: *timestamp_s,
                    value: *value,
                });
                black_box(replay(Settings::default(), &deploys, points))
            });
        });
    }
    group.finish();
}

/// One series that stepped, with very many deploys of its service in the window.
fn question(criterion: &mut Criterion) {
    let settings = Settings::default();
    let step_s = START_S + 4530;
    let points: Vec<(i64, f64)> = (1..=630)
        .map(|bin| {
            let at_s = START_S + 10 * bin;
            (at_s, if at_s > step_s { 130.0 } else { 80.0 } * (1.0 + 0.1 * (uniform(bin as u64) - 0.5)))
        })
        .collect();
    let mut deploys: Vec<Deploy> = (0..999).map(|at| deploy(at, "checkout", START_S + 3300 + at as i64)).collect();
    deploys.push(deploy(999, "checkout", step_s - 50));
    let question = Question {
        settings: &settings,
        series: "stats.timers.checkout.http.latency.upper_95",
        points: &points,
        per: None,
        others: &[],
        deploys: &deploys,
        at: UnixMillis::from_secs(step_s + 170),
        now: UnixMillis::from_secs(START_S + 6300),
    };
    criterion.bench_function("blame/one_series/1k_deploys", |bencher| bencher.iter(|| black_box(blame(&question))));
}

/// One deploy against every series of a large shop, in memory.
fn deploy_against_all(criterion: &mut Criterion) {
    const WIDTH: usize = 60;
    let n_rows = 1_000_000;
    let values: Vec<f32> = (0..n_rows * WIDTH)
        .map(|at| {
            100.0 + uniform(at as u64) as f32 + if at / WIDTH % 1000 == 7 && at % WIDTH >= 30 { 5.0 } else { 0.0 }
        })
        .collect();
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let mut group = criterion.benchmark_group("screen");
    group.sample_size(10).throughput(Throughput::Bytes(size_of_val(values.as_slice()) as u64));
    group.bench_function("1M_series_x_60", |bencher| {
        bencher.iter(|| black_box(screen(black_box(&values), WIDTH, 30, 3.0, threads)));
    });
    // What the memory gives: the same bytes, added up.
    group.bench_function("1M_series_x_60/sum", |bencher| {
        bencher.iter_batched(|| (), |()| black_box(sum(black_box(&values), threads)), BatchSize::PerIteration);
    });
    group.finish();
}

fn sum(values: &[f32], threads: NonZeroUsize) -> f32 {
    std::thread::scope(|scope| {
        let parts: Vec<_> = values
            .chunks(values.len().div_ceil(threads.get()))
            .map(|part| {
                scope.spawn(move || {
                    let (lanes, _) = part.as_chunks::<16>();
                    let mut sums = [0.0f32; 16];
                    lanes.iter().for_each(|lane| sums.iter_mut().zip(lane).for_each(|(sum, x)| *sum += x));
                    sums.iter().sum::<f32>()
                })
            })
            .collect();
        parts.into_iter().map(|part| part.join().expect("adding up does not panic")).sum()
    })
}

criterion_group!(benches, flush, recorded, question, deploy_against_all);
criterion_main!(benches);
