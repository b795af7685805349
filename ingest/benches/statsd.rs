//! StatsD's hot path: packets of 1,400 bytes, counters and timers half and half, names in random order.
//!
//! Expected: 40 ns a metric to parse and as much again to add where all names fit the cache; where 100,000 do not, four cache misses a metric
//! (the table's control byte, its entry, the name, the slot), 200 to 500 ns.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use deployline_ingest::sink::{Sink, SinkError};
use deployline_ingest::statsd::{
    Aggregator, Limits, StatsdConfig,
    aggregate::Interval,
    flush::{Flusher, Health},
    parse,
};
use deployline_store::{Appended, Point, SeriesId};

/// Packets as a client sends them, from a fixed seed (Marsaglia's xorshift64).
fn packets(n_names: usize, n_packets: usize) -> (Vec<Vec<u8>>, u64) {
    let mut state = 88_172_645_463_325_252_u64;
    let mut n_metrics = 0;
    let mut packet = || {
        let mut packet = Vec::with_capacity(1400);
        loop {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let name = (state >> 16) as usize % n_names;
            let line = match name % 2 {
                0 => format!("bench.c.k{name:06}:{}|c\n", state % 100),
                _ => format!("bench.t.k{name:06}:{}|ms\n", state % 1000),
            };
            if packet.len() + line.len() > 1400 {
                return packet;
            }
            packet.extend_from_slice(line.as_bytes());
            n_metrics += 1;
        }
    };
    let packets = (0..n_packets).map(|_| packet()).collect();
    (packets, n_metrics)
}

fn aggregator() -> Aggregator {
    let config = StatsdConfig::default();
    let limits = Limits {
        max_names: config.max_names,
        max_timer_values: config.max_timer_values,
        max_set_members: config.max_set_members,
        deletes: [false; 4],
        gauges_max_ttl: 1,
    };
    Aggregator::new(limits, "statsd")
}

/// Gives out numbers and takes everything.
struct Nowhere(std::sync::atomic::AtomicU32);

impl Sink for Nowhere {
    fn intern(&self, _name: &str) -> Result<SeriesId, SinkError> {
        Ok(SeriesId(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed)))
    }

    fn name(&self, _series: SeriesId) -> Option<std::sync::Arc<str>> {
        None
    }

    fn append(&self, points: &[Point]) -> Result<Appended, SinkError> {
        Ok(Appended { n_appended: points.len(), n_refused: 0 })
    }
}

fn statsd(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("statsd");
    for (label, n_names, n_packets) in [("1k_names", 1_000, 2_000), ("100k_names", 100_000, 10_000)] {
        let (packets, n_metrics) = packets(n_names, n_packets);
        group.throughput(Throughput::Elements(n_metrics));
        group.bench_function(format!("parse/{label}"), |bencher| {
            bencher.iter(|| {
                let mut n_good = 0_u64;
                packets.iter().for_each(|packet| {
                    let _ = parse::parse(packet, |item| n_good += u64::from(item.is_ok()));
                });
                assert_eq!(n_good, n_metrics);
            });
        });
        let mut aggregator = aggregator();
        let mut recycled = Interval::default();
        group.bench_function(format!("parse_and_add/{label}"), |bencher| {
            bencher.iter(|| {
                packets.iter().for_each(|packet| aggregator.add_packet(packet));
                recycled = aggregator.take(std::mem::take(&mut recycled));
            });
        });
        let mut flusher = Flusher::new(&StatsdConfig { percentiles: vec![90.0], ..StatsdConfig::default() });
        let sink = Nowhere(Default::default());
        let mut aggregator = self::aggregator();
        let mut interval = || {
            packets.iter().for_each(|packet| aggregator.add_packet(packet));
            aggregator.take(Interval::default())
        };
        group.bench_function(format!("flush/{label}"), |bencher| {
            bencher.iter_batched(
                &mut interval,
                |interval| flusher.flush(&interval, 10, &Health::default(), &sink, &mut Vec::new()),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, statsd);
criterion_main!(benches);
