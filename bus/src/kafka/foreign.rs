//! A member of a group on topics that others write.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use deployline_schemas::time::UnixMillis;
use futures_util::FutureExt;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer, StreamConsumer},
    error::KafkaError,
    message::{BorrowedMessage, Headers},
};
use tokio::{runtime::Handle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    client::{self, failure},
    held,
    subscription::{Membership, commit_failure, consume_failure},
};
use crate::{
    config::BusConfig,
    error::BusError,
    foreign::{ForeignRecord, Start},
    record::Position,
    subscription::MAX_BATCH_BYTES,
};

/// A topic that does not exist yet is looked for this often; the client's own five minutes are long for a deploy.
const TOPIC_REFRESH_MS: u32 = 5_000;

/// The consumer, and under which assignment each partition last delivered.
pub(crate) struct ForeignMember {
    /// `None` only while being dropped.
    consumer: Option<Arc<StreamConsumer<Membership>>>,
    turns: HashMap<(String, i32), u64>,
    pending: Option<BusError>,
    timeout: Duration,
    closed: CancellationToken,
}

impl ForeignMember {
    pub(super) fn open(
        config: &BusConfig,
        group: &str,
        topics: &[String],
        from: Start,
        closed: CancellationToken,
    ) -> Result<Self, BusError> {
        let failed = |error| failure("join a consumer group", error);
        let reset = match from {
            Start::Earliest => "earliest",
            Start::Latest => "latest",
        };
        let mut client = client::consumer(config, group);
        client
            .set("auto.offset.reset", reset)
            .set("topic.metadata.refresh.interval.ms", TOPIC_REFRESH_MS.to_string())
            .set("allow.auto.create.topics", "false");
        let consumer: StreamConsumer<Membership> = client.create_with_context(Membership::default()).map_err(failed)?;
        let wanted: Vec<_> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&wanted).map_err(failed)?;
        let (consumer, turns) = (Some(Arc::new(consumer)), HashMap::new());
        Ok(Self { consumer, turns, pending: None, timeout: config.timeout, closed })
    }

    pub(crate) async fn next_batch(&mut self, max: usize) -> Result<Vec<ForeignRecord>, BusError> {
        if let Some(error) = self.pending.take() {
            return Err(error);
        }
        let consumer = Arc::clone(self.consumer.as_ref().ok_or(BusError::Closed)?);
        loop {
            // The one await: what it has taken from the queue it has also returned.
            let first = tokio::select! {
                biased;
                () = self.closed.cancelled() => return Err(BusError::Closed),
                received = consumer.recv() => received,
            };
            let batch = self.fill(&consumer, first, max)?;
            if !batch.is_empty() {
                return Ok(batch);
            }
        }
    }

    /// Adds to the first record those that are there already. Does not wait.
    fn fill(
        &mut self,
        consumer: &StreamConsumer<Membership>,
        first: Result<BorrowedMessage<'_>, KafkaError>,
        max: usize,
    ) -> Result<Vec<ForeignRecord>, BusError> {
        let assignment = &consumer.context().assignment;
        let (mut batch, mut size_bytes, mut received) = (Vec::new(), 0, Some(first));
        while let Some(outcome) = received {
            match outcome {
                Ok(message) => {
                    // Without an assignment it was revoked between the fetch and now: another member's.
                    if let Some(turn) = held(assignment).turn(message.topic(), message.partition()) {
                        self.turns.insert((message.topic().to_owned(), message.partition()), turn);
                        size_bytes += message.payload().map_or(0, <[u8]>::len);
                        batch.push(incoming(&message));
                    }
                }
                Err(error) => match consume_failure(error) {
                    Some(error) if batch.is_empty() => return Err(error),
                    Some(error) => {
                        self.pending = Some(error);
                        break;
                    }
                    None => {}
                },
            }
            if batch.len() >= max || size_bytes >= MAX_BATCH_BYTES {
                break;
            }
            received = consumer.recv().now_or_never();
        }
        Ok(batch)
    }

    pub(crate) async fn commit(&mut self, batch: &[ForeignRecord]) -> Result<(), BusError> {
        const DOING: &str = "commit offsets to kafka";
        if self.closed.is_cancelled() {
            return Err(BusError::Closed);
        }
        let consumer = Arc::clone(self.consumer.as_ref().ok_or(BusError::Closed)?);
        let offsets = self.offsets(&consumer, batch);
        if offsets.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for ((topic, partition), next) in offsets {
            let added = list.add_partition_offset(&topic, partition, Offset::Offset(next));
            added.map_err(|error| failure(DOING, error))?;
        }
        let committing = tokio::task::spawn_blocking(move || consumer.commit(&list, CommitMode::Sync));
        match timeout(self.timeout, committing).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => commit_failure(DOING, error),
            Ok(Err(panic)) => Err(BusError::broken(DOING, panic)),
            Err(_) => Err(BusError::Timeout { doing: DOING, waited: self.timeout }),
        }
    }

    /// Where each partition of the batch goes on, without those that have moved since: committing such could set the
    /// group's offsets back.
    fn offsets(&self, consumer: &StreamConsumer<Membership>, batch: &[ForeignRecord]) -> HashMap<(String, i32), i64> {
        let mut offsets = HashMap::new();
        for ForeignRecord { topic, position, .. } in batch {
            let next = offsets.entry((topic.clone(), position.partition)).or_insert(0);
            *next = position.offset.saturating_add(1).max(*next);
        }
        let assignment = held(&consumer.context().assignment);
        offsets.retain(|key, _| {
            let turn = assignment.turn(&key.0, key.1);
            turn.is_some() && turn == self.turns.get(key).copied()
        });
        offsets
    }
}

impl Drop for ForeignMember {
    fn drop(&mut self) {
        // Leaving the group waits for the broker: not on a thread that runs tasks.
        if let (Some(consumer), Ok(runtime)) = (self.consumer.take(), Handle::try_current()) {
            runtime.spawn_blocking(move || drop(consumer));
        }
    }
}

fn incoming(message: &BorrowedMessage<'_>) -> ForeignRecord {
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect()
    });
    ForeignRecord {
        topic: message.topic().to_owned(),
        position: Position { partition: message.partition(), offset: message.offset() },
        stamped_at: message.timestamp().to_millis().filter(|stamp| *stamp > 0).map(UnixMillis),
        key: text(message.key()),
        headers,
        value: message.payload().map(Bytes::copy_from_slice),
    }
}
