//! Every datapoint on the topic, before it counts as taken.

use std::{collections::BTreeMap, io::Write, sync::Arc};

use deployline_bus::{Bus, Record};
use deployline_schemas::topic::Topic;
use deployline_store::{Appended, Point, SeriesId};
use tokio::runtime::Handle;

use crate::{
    sink::{Sink, SinkError},
    statsd::Sketch,
};

/// Keys that series are spread over. A series keeps its key, and so its partition and its order.
const KEYS: u64 = 64;
/// Bytes of lines in a record, beyond which another one begins: half of what brokers take by default.
const RECORD_BYTES: usize = 512 << 10;

/// Publishes what it is given, then hands it on.
pub struct Publishing {
    inner: Arc<dyn Sink>,
    bus: Bus,
    runtime: Handle,
}

impl Publishing {
    /// The sink in front of `inner`. `runtime` drives the bus, for threads that are none of its own.
    pub fn new(inner: Arc<dyn Sink>, bus: Bus, runtime: Handle) -> Self {
        Self { inner, bus, runtime }
    }
}

impl Sink for Publishing {
    fn intern(&self, name: &str) -> Result<SeriesId, SinkError> {
        self.inner.intern(name)
    }

    /// As [`Sink::append`]. The topic comes first: a batch that is repeated because the store did not take it is there
    /// twice, which is the same datapoints, and one that only the store had would be missing there for good.
    fn append(&self, points: &[Point]) -> Result<Appended, SinkError> {
        let named: Option<Vec<(Arc<str>, &Point)>> =
            points.iter().map(|point| Some((self.inner.name(point.series)?, point))).collect();
        let records = records(named.ok_or(SinkError::Forgotten)?);
        let published = self.runtime.block_on(self.bus.publish(Topic::Datapoints, records));
        published.map_err(|error| SinkError::Unavailable(error.into()))?;
        self.inner.append(points)
    }

    fn name(&self, series: SeriesId) -> Option<Arc<str>> {
        self.inner.name(series)
    }

    fn wants_sketches(&self) -> bool {
        self.inner.wants_sketches()
    }

    fn sketch(&self, name: &str, timestamp_s: i64, sketch: &Sketch) {
        self.inner.sketch(name, timestamp_s, sketch);
    }
}

/// The lines of a batch, in records by the hash of their series.
fn records(points: Vec<(Arc<str>, &Point)>) -> Vec<Record> {
    let mut records = Vec::new();
    let mut open: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    for (name, point) in points {
        let key = hash(&name) % KEYS;
        let lines = open.entry(key).or_default();
        writeln!(lines, "{name} {} {}", point.value, point.timestamp_s).expect("memory takes whatever is written");
        if lines.len() >= RECORD_BYTES {
            records.push(record(key, std::mem::take(lines)));
        }
    }
    let left = open.into_iter().filter(|(_, lines)| !lines.is_empty());
    records.extend(left.map(|(key, lines)| record(key, lines)));
    records
}

fn record(key: u64, lines: Vec<u8>) -> Record {
    Record::new(format!("{key:02x}"), lines)
}

/// FNV-1a, which stays the same from release to release: a series must not change its key.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_graphites_and_a_series_keeps_its_key() {
        let point = |timestamp_s, value| Point { series: SeriesId(0), timestamp_s, value };
        let points = [point(10, 1.5), point(20, 1e300), point(30, -0.0)];
        let made = records(points.iter().map(|point| ("a.b;k=v".into(), point)).collect());
        let [record] = &made[..] else { panic!("{made:?}") };
        let lines = String::from_utf8(record.value.to_vec()).unwrap();
        assert_eq!(lines.lines().next(), Some("a.b;k=v 1.5 10"));
        assert_eq!(lines.lines().nth(2), Some("a.b;k=v -0 30"));
        let value = lines.lines().nth(1).unwrap().split(' ').nth(1).unwrap();
        assert_eq!(value.parse(), Ok(1e300));
        assert_eq!(record.key, format!("{:02x}", hash("a.b;k=v") % KEYS));
        // The test vector of the hash's authors: a release that changes it would send series to other partitions.
        assert_eq!(hash("foobar"), 0x85944171f73967e8);
    }

    #[test]
    fn a_large_batch_is_several_records_in_order() {
        let name: Arc<str> = "x".repeat(500).into();
        let points: Vec<Point> =
            (0..3000).map(|i| Point { series: SeriesId(0), timestamp_s: i, value: i as f64 }).collect();
        let made = records(points.iter().map(|point| (Arc::clone(&name), point)).collect());
        assert!(made.len() > 1 && made.iter().all(|record| record.value.len() < RECORD_BYTES + 1000));
        let lines: Vec<String> = made.iter().map(|record| String::from_utf8(record.value.to_vec()).unwrap()).collect();
        let stamps: Vec<i64> =
            lines.concat().lines().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
        assert_eq!(stamps, (0..3000).collect::<Vec<_>>());
    }
}
