//! A member of a group on Kafka.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use deployline_schemas::topic::Topic;
use futures_util::FutureExt;
use rdkafka::{
    ClientContext, Message, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance, StreamConsumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
};
use tokio::{runtime::Handle, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{
    client::{self, failure},
    held, message,
};
use crate::{config::BusConfig, error::BusError, record::Delivered, subscription::MAX_BATCH_BYTES};

/// The consumer, the partitions that it has, and under which assignment it delivered what it delivered.
pub(crate) struct Subscription {
    /// `None` only while being dropped.
    consumer: Option<Arc<StreamConsumer<Membership>>>,
    /// The topics by their name on the broker.
    topics: HashMap<String, Topic>,
    names: HashMap<Topic, String>,
    /// What is known of each partition that has delivered.
    lanes: HashMap<(Topic, i32), Lane>,
    /// What ended the last batch early and is still to be reported.
    pending: Option<BusError>,
    timeout: Duration,
    closed: CancellationToken,
}

impl Subscription {
    pub(super) fn open(
        config: &BusConfig,
        group: &str,
        topics: &[Topic],
        closed: CancellationToken,
    ) -> Result<Self, BusError> {
        const DOING: &str = "join a consumer group";
        let failed = |error| failure(DOING, error);
        let consumer: StreamConsumer<Membership> =
            client::consumer(config, group).create_with_context(Membership::default()).map_err(failed)?;
        let names: HashMap<_, _> = topics.iter().map(|topic| (*topic, topic.name(&config.prefix))).collect();
        let wanted: Vec<_> = names.values().map(String::as_str).collect();
        if !wanted.is_empty() {
            consumer.subscribe(&wanted).map_err(failed)?;
        }
        Ok(Self {
            consumer: Some(Arc::new(consumer)),
            topics: names.iter().map(|(topic, name)| (name.clone(), *topic)).collect(),
            names,
            lanes: HashMap::new(),
            pending: None,
            timeout: config.timeout,
            closed,
        })
    }

    pub(crate) async fn next_batch(&mut self, max: usize) -> Result<Vec<Delivered>, BusError> {
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
    ) -> Result<Vec<Delivered>, BusError> {
        let assignment = &consumer.context().assignment;
        let mut batch: Vec<(u64, Delivered)> = Vec::new();
        let mut size_bytes = 0;
        let mut received = Some(first);
        while let Some(outcome) = received {
            match outcome {
                Ok(record) => {
                    // A subscription sees only the topics that it asked for.
                    if let Some(topic) = self.topics.get(record.topic()) {
                        let delivered = message::incoming(*topic, &record);
                        size_bytes += delivered.record.size_bytes();
                        let turn = held(assignment).turn(record.topic(), record.partition());
                        // Without an assignment it was revoked between the fetch and now: another member's.
                        batch.extend(turn.map(|turn| (turn, delivered)));
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
        // A rebalance may have come up while the batch was filled.
        let assignment = held(assignment);
        batch.retain(|(turn, delivered)| {
            assignment.turn(&self.names[&delivered.topic], delivered.position.partition) == Some(*turn)
        });
        for (turn, delivered) in &batch {
            let lane = self.lanes.entry((delivered.topic, delivered.position.partition)).or_default();
            if lane.turn != *turn {
                *lane = Lane { turn: *turn, committed: delivered.position.offset };
            }
        }
        Ok(batch.into_iter().map(|(_, delivered)| delivered).collect())
    }

    pub(crate) async fn commit(&mut self, batch: &[Delivered]) -> Result<(), BusError> {
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
        for ((topic, partition), next) in &offsets {
            let added = list.add_partition_offset(&self.names[topic], *partition, Offset::Offset(*next));
            added.map_err(|error| failure(DOING, error))?;
        }
        let committing = tokio::task::spawn_blocking(move || consumer.commit(&list, CommitMode::Sync));
        match timeout(self.timeout, committing).await {
            Ok(Ok(Ok(()))) => {
                for (key, next) in offsets {
                    self.lanes.entry(key).and_modify(|lane| lane.committed = next);
                }
                Ok(())
            }
            Ok(Ok(Err(error))) => commit_failure(DOING, error),
            Ok(Err(panic)) => Err(BusError::broken(DOING, panic)),
            Err(_) => Err(BusError::Timeout { doing: DOING, waited: self.timeout }),
        }
    }

    /// Where each partition of the batch goes on, without those that are there already, and without those that have
    /// moved to another member since: committing either could set the group's offsets back.
    fn offsets(&self, consumer: &StreamConsumer<Membership>, batch: &[Delivered]) -> HashMap<(Topic, i32), i64> {
        let mut offsets = HashMap::new();
        for Delivered { topic, position, .. } in batch {
            let next = offsets.entry((*topic, position.partition)).or_insert(0);
            *next = position.offset.saturating_add(1).max(*next);
        }
        let assignment = held(&consumer.context().assignment);
        offsets.retain(|(topic, partition), next| {
            let Some(lane) = self.lanes.get(&(*topic, *partition)) else { return false };
            if assignment.turn(&self.names[topic], *partition) == Some(lane.turn) {
                return *next > lane.committed;
            }
            let topic = topic.suffix();
            warn!(topic, partition, "partition moved before the commit, its records are delivered again");
            false
        });
        offsets
    }

    pub(crate) async fn close(mut self) {
        let consumer = self.consumer.take();
        // Leaving waits for the broker, and so blocks. A panic in there has nobody to be told.
        let _ = tokio::task::spawn_blocking(move || drop(consumer)).await;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // Leaving the group waits for the broker: not on a thread that runs tasks.
        if let (Some(consumer), Ok(runtime)) = (self.consumer.take(), Handle::try_current()) {
            runtime.spawn_blocking(move || drop(consumer));
        }
    }
}

/// What a member knows of a partition that has delivered to it.
#[derive(Default)]
struct Lane {
    /// The assignment under which it last delivered.
    turn: u64,
    /// The group's offset, or a bound of it until the first commit: the first offset delivered under this assignment.
    committed: i64,
}

/// The partitions of this member, each with the assignment that brought it.
#[derive(Default)]
pub(super) struct Assignment {
    n_assignments: u64,
    partitions: HashMap<(String, i32), u64>,
}

impl Assignment {
    /// Under which assignment the member has the partition, if it has.
    pub(super) fn turn(&self, name: &str, partition: i32) -> Option<u64> {
        self.partitions.get(&(name.to_owned(), partition)).copied()
    }
}

/// What the client calls back for: its log, and the group's rebalances.
#[derive(Default)]
pub(super) struct Membership {
    pub(super) assignment: Mutex<Assignment>,
}

impl ClientContext for Membership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client::log_error(&error, reason);
    }
}

impl ConsumerContext for Membership {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let mut assignment = held(&self.assignment);
        let keys = |list: &TopicPartitionList| -> Vec<_> {
            list.elements().iter().map(|found| (found.topic().to_owned(), found.partition())).collect()
        };
        match rebalance {
            Rebalance::Assign(list) => {
                assignment.n_assignments += 1;
                let turn = assignment.n_assignments;
                assignment.partitions.extend(keys(list).into_iter().map(|key| (key, turn)));
                debug!(n_partitions = list.count(), "partitions assigned");
            }
            Rebalance::Revoke(list) => {
                for key in keys(list) {
                    assignment.partitions.remove(&key);
                }
                debug!(n_partitions = list.count(), "partitions revoked");
            }
            // The client gives all of them up.
            Rebalance::Error(error) => {
                assignment.partitions.clear();
                warn!(%error, "rebalance failed");
            }
        }
    }
}

/// What the caller must know of an error while waiting for records. `None`: the client goes on by itself, reconnects,
/// joins again or finds the topic's new leader, and a waiting member has nothing to do but wait.
pub(super) fn consume_failure(error: KafkaError) -> Option<BusError> {
    const DOING: &str = "consume from kafka";
    if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
        return Some(BusError::broken(DOING, error));
    }
    match failure(DOING, error.clone()) {
        sorted if sorted.is_retryable() => {
            warn!(%error, "waiting for kafka");
            None
        }
        sorted => Some(sorted),
    }
}

/// A commit that the group has no more use for is not the caller's concern; see `Subscription::commit` of the bus.
pub(super) fn commit_failure(doing: &'static str, error: KafkaError) -> Result<(), BusError> {
    use RDKafkaErrorCode as Code;
    match error.rdkafka_error_code() {
        Some(Code::UnknownMemberId | Code::IllegalGeneration | Code::RebalanceInProgress | Code::FencedInstanceId) => {
            warn!(%error, "group moved on before the commit, the records are delivered again");
            Ok(())
        }
        _ => Err(failure(doing, error)),
    }
}
