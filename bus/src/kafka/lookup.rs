//! Questions to the cluster that belong to no member of a group. All of it blocks.

use std::time::{Duration, Instant};

use deployline_schemas::{time::UnixMillis, topic::Topic};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{
    client::{self, Context, failure},
    message,
};
use crate::{
    config::BusConfig,
    error::BusError,
    record::{Bounds, Delivered, Position},
    subscription::MAX_BATCH_BYTES,
};

/// The group that look-ups carry, since the client wants one; nothing is ever committed for it.
const READER: &str = "reader";

/// A consumer for one question, with the moment until which it may take.
pub(super) struct Lookup {
    consumer: BaseConsumer<Context>,
    prefix: String,
    waited: Duration,
    deadline: Instant,
}

impl Lookup {
    pub(super) fn new(config: &BusConfig, group: Option<&str>) -> Result<Self, BusError> {
        Ok(Self {
            consumer: client::looker(config, group.unwrap_or(READER))?,
            prefix: config.prefix.clone(),
            waited: config.timeout,
            deadline: Instant::now() + config.timeout,
        })
    }

    /// What of each partition can be read, by ascending partition.
    pub(super) fn bounds(&self, topic: Topic) -> Result<Vec<Bounds>, BusError> {
        const DOING: &str = "read the bounds of a topic";
        let name = topic.name(&self.prefix);
        let failed = |error| failure(DOING, error);
        let metadata = self.consumer.fetch_metadata(Some(&name), self.remaining()).map_err(failed)?;
        let listed = metadata.topics().first();
        let mut partitions: Vec<_> =
            listed.map(|topic| topic.partitions().iter().map(|p| p.id()).collect()).unwrap_or_default();
        if partitions.is_empty() {
            return Err(failed(KafkaError::MetadataFetch(RDKafkaErrorCode::LeaderNotAvailable)));
        }
        partitions.sort_unstable();
        partitions.into_iter().map(|partition| self.bounds_of(&name, partition)).collect()
    }

    fn bounds_of(&self, name: &str, partition: i32) -> Result<Bounds, BusError> {
        let watermarks = self.consumer.fetch_watermarks(name, partition, self.remaining());
        let (first, next) = watermarks.map_err(|error| failure("read the bounds of a topic", error))?;
        Ok(Bounds { partition, first, next })
    }

    pub(super) fn read(&self, topic: Topic, from: Position, max: usize) -> Result<Vec<Delivered>, BusError> {
        const DOING: &str = "read from kafka";
        let failed = |error| failure(DOING, error);
        let name = topic.name(&self.prefix);
        let Some(bounds) = self.bounds(topic)?.into_iter().find(|bounds| bounds.partition == from.partition) else {
            return Ok(Vec::new());
        };
        let start = from.offset.max(bounds.first);
        if start >= bounds.next || max == 0 {
            return Ok(Vec::new());
        }
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(&name, from.partition, Offset::Offset(start)).map_err(failed)?;
        self.consumer.assign(&assignment).map_err(failed)?;
        let (mut batch, mut size_bytes) = (Vec::new(), 0);
        while batch.len() < max && size_bytes < MAX_BATCH_BYTES {
            // `None` comes early, after an event of another kind: only the deadline says that time is up.
            match self.consumer.poll(self.remaining()) {
                Some(Ok(record)) => {
                    let is_last = record.offset() + 1 >= bounds.next;
                    let delivered = message::incoming(topic, &record);
                    size_bytes += delivered.record.size_bytes();
                    batch.push(delivered);
                    if is_last {
                        break;
                    }
                }
                // The last offsets may hold no record but a transaction's marker.
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                Some(Err(error)) if failure(DOING, error.clone()).is_retryable() => client::log_error(&error, DOING),
                Some(Err(error)) => return Err(failed(error)),
                None => {}
            }
            if self.remaining().is_zero() {
                return Err(BusError::Timeout { doing: DOING, waited: self.waited });
            }
        }
        Ok(batch)
    }

    /// How many records of the topic the group has not committed.
    pub(super) fn lag(&self, topic: Topic) -> Result<u64, BusError> {
        let failed = |error| failure("read the lag of a group", error);
        let name = topic.name(&self.prefix);
        let bounds = self.bounds(topic)?;
        let committed = self.consumer.committed_offsets(list(&name, &bounds), self.remaining()).map_err(failed)?;
        let mut lag = 0;
        for Bounds { partition, first, next } in bounds {
            let known = committed.find_partition(&name, partition).and_then(|found| found.offset().to_raw());
            // Negative: nothing committed.
            lag += next.saturating_sub(known.unwrap_or(first).max(first)).max(0).unsigned_abs();
        }
        Ok(lag)
    }

    /// The stretch of each partition that was appended before a moment.
    pub(super) fn starts(&self, topic: Topic, before: UnixMillis) -> Result<Vec<Bounds>, BusError> {
        let failed = |error| failure("find where to prune", error);
        let name = topic.name(&self.prefix);
        let bounds = self.bounds(topic)?;
        let mut moments = list(&name, &bounds);
        moments.set_all_offsets(Offset::Offset(before.0.max(0))).map_err(failed)?;
        let found = self.consumer.offsets_for_times(moments, self.remaining()).map_err(failed)?;
        let start = |bounds: Bounds| {
            let next = match found.find_partition(&name, bounds.partition).map(|found| found.offset()) {
                Some(Offset::Offset(offset)) => offset.clamp(bounds.first, bounds.next),
                // No record is as young as that.
                Some(Offset::End) => bounds.next,
                _ => bounds.first,
            };
            Bounds { next, ..bounds }
        };
        Ok(bounds.into_iter().map(start).collect())
    }

    fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

fn list(name: &str, bounds: &[Bounds]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(bounds.len());
    for bounds in bounds {
        list.add_partition(name, bounds.partition);
    }
    list
}
