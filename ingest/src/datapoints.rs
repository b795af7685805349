//! Datapoints over Kafka: batches of Graphite's plain lines on the bus's topic `deployline.datapoints`, and on topics of
//! others. Any producer can write them, and `kcat` can read them.
//!
//! ```text
//! receivers ─▶ Publishing ─▶ topic ─▶ run ─▶ store
//!                   └─▶ store of its own
//! ```
//!
//! Offsets move once a batch is durable in the store, whose key is (series, timestamp): what a crash in between delivers
//! again changes nothing, so that each datapoint is there once.

mod publishing;

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use deployline_bus::{Bus, BusError, ForeignRecord, Start};
use deployline_schemas::{time::Clock, topic::Topic};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub use self::publishing::Publishing;
use crate::{
    carbon::{CarbonConfig, Intake, Shared, server::Observer},
    listen::ServeError,
    sink::Sink,
};

/// Records between two commits at most: up to 256 MB where they are as large as ours.
const BATCH_RECORDS: usize = 256;

/// The `[datapoints]` section. Needs `bus.kind = "kafka"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DatapointsConfig {
    /// Whether every datapoint that comes in is published on the bus's topic, before its sender is told that it was taken.
    pub publish: bool,
    /// Whether the bus's topic is read into the store.
    pub consume: bool,
    /// Further topics with lines, by their whole names; read whether `consume` is set or not.
    pub topics: Vec<String>,
    /// The consumer group, behind the bus's prefix.
    pub group: String,
    /// Where to begin without an offset of the group's own: `earliest` or `latest`.
    pub start: Start,
}

impl Default for DatapointsConfig {
    fn default() -> Self {
        let group = "datapoints".to_owned();
        Self { publish: false, consume: false, topics: Vec::new(), group, start: Start::default() }
    }
}

impl DatapointsConfig {
    /// Refuses what cannot work together.
    ///
    /// # Errors
    /// A sentence on what is wrong.
    pub fn check(&self, is_kafka: bool) -> Result<(), String> {
        let is_used = self.publish || !self.topics_under("").is_empty();
        if is_used && !is_kafka {
            let embedded = "with the embedded bus datapoints go straight to the store";
            return Err(format!("[datapoints]: {embedded}: set kind = \"kafka\" under [bus]"));
        }
        if self.publish && self.consume {
            return Err("[datapoints]: a process that publishes has its datapoints in its own store already: set \
                        `consume` where nothing is published"
                .to_owned());
        }
        Ok(())
    }

    /// The whole names of the topics to read, under the bus's prefix.
    pub fn topics_under(&self, prefix: &str) -> Vec<String> {
        let own = self.consume.then(|| Topic::Datapoints.name(prefix));
        own.into_iter().chain(self.topics.iter().cloned()).collect()
    }
}

/// Takes the lines of topics in.
pub struct Consuming {
    shared: Arc<Shared>,
    config: DatapointsConfig,
    topics: Vec<String>,
}

impl Consuming {
    /// The reader of `topics`, which the configuration names. Their names pass the filters of `[carbon]`, as lines do that
    /// come over sockets. `stop` also ends the wait for a sink that takes nothing.
    ///
    /// # Errors
    /// [`ServeError::Pattern`] for a filter that is none.
    pub fn new(
        config: DatapointsConfig,
        topics: Vec<String>,
        carbon: &CarbonConfig,
        sink: Arc<dyn Sink>,
        clock: Clock,
        stop: CancellationToken,
    ) -> Result<Self, ServeError> {
        let shared = Shared::new(carbon, sink, clock, stop, None)?;
        Ok(Self { shared: Arc::new(shared), config, topics })
    }

    /// The figures of what came over the topics.
    pub fn observer(&self) -> Observer {
        Observer::of(Arc::clone(&self.shared))
    }

    /// Reads until the stop token says so; at once when there is no topic.
    ///
    /// # Errors
    /// When trying again does not help: the bus is closed, embedded, or out of reach for good.
    pub async fn run(self, bus: Bus) -> Result<(), BusError> {
        let stop = self.shared.stop.clone();
        if self.topics.is_empty() {
            stop.cancelled().await;
            return Ok(());
        }
        let mut member = bus.follow(&self.config.group, &self.topics, self.config.start)?;
        let mut intake = Intake::new(Arc::clone(&self.shared));
        while let Some(batch) = stop.run_until_cancelled(member.next_batch(BATCH_RECORDS)).await {
            let batch = batch?;
            let lines: Vec<(Option<i64>, Bytes)> = batch.iter().filter_map(lines_of).collect();
            let n_lost = || self.shared.counters.n_lost_points.load(Ordering::Relaxed);
            let before = n_lost();
            let taken = tokio::task::spawn_blocking(move || {
                intake.take_batches(lines.iter().map(|(at_s, lines)| (*at_s, &lines[..])));
                intake
            });
            // A panic in there is a bug, and its batch is delivered again to whoever comes next.
            let Ok(returned) = taken.await else { return Ok(()) };
            intake = returned;
            if n_lost() > before {
                // The end came first. Nothing is committed, so that the next start takes all of it.
                return Ok(());
            }
            match member.commit(&batch).await {
                // The next commit covers it; until then a restart takes the batch again.
                Err(error) if error.is_retryable() => warn!(%error, "offsets could not be committed, going on"),
                committed => committed?,
            }
        }
        Ok(())
    }
}

/// The lines of a record, and what `-1` means as a timestamp in it: taken in again, it is to be the same datapoint.
fn lines_of(record: &ForeignRecord) -> Option<(Option<i64>, Bytes)> {
    Some((record.stamped_at.map(|at| at.as_secs()), record.value.clone()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, is_kafka: bool, expected: Result<&[&str], &str>) {
        let config: DatapointsConfig = toml::from_str(text).unwrap();
        match (config.check(is_kafka), expected) {
            (Ok(()), Ok(topics)) => assert_eq!(config.topics_under("shop"), topics, "{text}"),
            (Err(told), Err(part)) => assert!(told.contains(part), "{told}"),
            (told, _) => panic!("{text}: {told:?}"),
        }
    }

    #[test]
    fn what_cannot_work_is_refused() {
        check("", false, Ok(&[]));
        check("consume = true", true, Ok(&["shop.datapoints"]));
        check("consume = true\ntopics = ['metrics']", true, Ok(&["shop.datapoints", "metrics"]));
        check("publish = true\ntopics = ['metrics']", true, Ok(&["metrics"]));
        check("consume = true", false, Err("kind = \"kafka\""));
        check("topics = ['metrics']", false, Err("kind = \"kafka\""));
        check("publish = true\nconsume = true", true, Err("publishes has its datapoints"));
    }
}
