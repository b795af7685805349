//! The bus: one contract, two implementations.

use std::path::Path;

use deployline_schemas::{time::UnixMillis, topic::Topic};

use crate::{
    config::{BusConfig, BusKind, check_group, check_topic},
    embedded::Embedded,
    error::BusError,
    foreign::{Foreign, Start},
    kafka::Kafka,
    record::{Bounds, Delivered, Position, Record},
    subscription::Subscription,
};

/// An ordered, durable, replayable log of topics. Cheap to clone; every clone is the same bus.
///
/// Needs a multi-threaded tokio runtime around it: work that blocks is moved to its blocking threads.
#[derive(Clone)]
pub struct Bus(Kind);

#[derive(Clone)]
enum Kind {
    Embedded(Embedded),
    Kafka(Kafka),
}

impl Bus {
    /// Opens the bus that `config` names: the embedded one in `data_dir`, which is created if need be, or the one on
    /// Kafka, whose topics are created if need be.
    ///
    /// A broker that is away does not fail the opening, so that hooks can be taken and spooled meanwhile: topics are
    /// then created on first use, and [`Bus::health`] tells.
    ///
    /// # Errors
    /// [`BusError::Config`]; [`BusError::Locked`] when another process has the embedded bus open (after waiting
    /// `timeout` for it to end); [`BusError::Newer`], and [`BusError::Broken`] when the log is damaged or access to the
    /// cluster denied; [`BusError::Unavailable`] when the disk is full.
    pub async fn open(config: &BusConfig, data_dir: &Path) -> Result<Bus, BusError> {
        config.check()?;
        Ok(Bus(match config.kind {
            BusKind::Embedded => Kind::Embedded(Embedded::open(config, data_dir).await?),
            BusKind::Kafka => Kind::Kafka(Kafka::open(config).await?),
        }))
    }

    /// Appends the records to the topic in their order and returns their positions once all of them are durable: the
    /// embedded bus has synced them to disk, Kafka's in-sync replicas have them all.
    ///
    /// Records of one key keep the order in which they were published, as far as one call returned before the next
    /// began. An empty list does nothing. When the future is dropped before it returns, the records may or may not be
    /// published.
    ///
    /// # Errors
    /// [`BusError::TooLarge`], then nothing was published. [`BusError::QueueFull`] after waiting for room,
    /// [`BusError::Timeout`] and [`BusError::Unavailable`], each within `timeout`: publish all of them again; on Kafka
    /// some of them may then be there twice. [`BusError::Closed`], [`BusError::Broken`].
    pub async fn publish(&self, topic: Topic, records: Vec<Record>) -> Result<Vec<Position>, BusError> {
        records.iter().try_for_each(|record| record.check(topic))?;
        if records.is_empty() {
            return Ok(Vec::new());
        }
        match &self.0 {
            Kind::Embedded(bus) => bus.publish(topic, records).await,
            Kind::Kafka(bus) => bus.publish(topic, records).await,
        }
    }

    /// Joins a consumer group, which resumes at its committed offsets, or at the earliest record when it has none.
    ///
    /// Groups are independent. The members of one group share its topics by partitions: each partition has one member
    /// at a time, and moves to another when that one leaves. An embedded topic is one partition, so a second member
    /// there stands by.
    ///
    /// # Errors
    /// [`BusError::Group`], [`BusError::Closed`], [`BusError::Broken`]; [`BusError::Timeout`] and
    /// [`BusError::Unavailable`] within `timeout`.
    pub async fn subscribe(&self, group: &str, topics: &[Topic]) -> Result<Subscription, BusError> {
        check_group(group)?;
        match &self.0 {
            Kind::Embedded(bus) => bus.subscribe(group, topics).await.map(Subscription::embedded),
            Kind::Kafka(bus) => bus.subscribe(group, topics).await.map(Subscription::kafka),
        }
    }

    /// Joins a consumer group on topics that others write, on the cluster that carries this bus. The group's name gets
    /// the bus's prefix; a topic that does not exist yet is waited for.
    ///
    /// # Errors
    /// [`BusError::Config`] on the embedded bus, which has no topics but its own, and for a name that no topic can
    /// have; [`BusError::Group`], [`BusError::Closed`], [`BusError::Broken`].
    pub fn follow(&self, group: &str, topics: &[String], from: Start) -> Result<Foreign, BusError> {
        check_group(group)?;
        topics.iter().try_for_each(|topic| check_topic(topic))?;
        match &self.0 {
            Kind::Embedded(_) => {
                let problem = "topics of others can be followed with `kind = \"kafka\"` only".to_owned();
                Err(BusError::Config { problem })
            }
            Kind::Kafka(bus) => bus.follow(group, topics, from).map(Foreign::new),
        }
    }

    /// What of each partition of a topic can be read, by ascending partition.
    ///
    /// # Errors
    /// [`BusError::Closed`], [`BusError::Broken`]; [`BusError::Timeout`] and [`BusError::Unavailable`] within `timeout`.
    pub async fn bounds(&self, topic: Topic) -> Result<Vec<Bounds>, BusError> {
        match &self.0 {
            Kind::Embedded(bus) => bus.bounds(topic).await,
            Kind::Kafka(bus) => bus.bounds(topic).await,
        }
    }

    /// Up to `max` records of one partition from `from` on, or from the oldest one kept if that is later; fewer, or
    /// none, at its end. For looking things up: it moves no group's offset, and costs a look-up each time.
    ///
    /// A result is also cut short at [`MAX_BATCH_BYTES`](crate::MAX_BATCH_BYTES); go on after its last offset.
    ///
    /// # Errors
    /// [`BusError::Closed`], [`BusError::Broken`]; [`BusError::Timeout`] and [`BusError::Unavailable`] within `timeout`.
    pub async fn read(&self, topic: Topic, from: Position, max: usize) -> Result<Vec<Delivered>, BusError> {
        match &self.0 {
            Kind::Embedded(bus) => bus.read(topic, from, max).await,
            Kind::Kafka(bus) => bus.read(topic, from, max).await,
        }
    }

    /// How many records of a topic the group has not committed yet.
    ///
    /// # Errors
    /// [`BusError::Group`], [`BusError::Closed`], [`BusError::Broken`]; [`BusError::Timeout`] and
    /// [`BusError::Unavailable`] within `timeout`.
    pub async fn lag(&self, group: &str, topic: Topic) -> Result<u64, BusError> {
        check_group(group)?;
        match &self.0 {
            Kind::Embedded(bus) => bus.lag(group, topic).await,
            Kind::Kafka(bus) => bus.lag(group, topic).await,
        }
    }

    /// Forgets where a group stands: its next member begins at the earliest records, as that of a new group does. For
    /// whoever has lost what the group's offsets spoke of, and builds it again.
    ///
    /// # Errors
    /// [`BusError::Unavailable`] while the group has members, which on Kafka a killed process stays for ten seconds;
    /// [`BusError::Group`], [`BusError::Closed`], [`BusError::Broken`]; [`BusError::Timeout`] within `timeout`.
    pub async fn forget(&self, group: &str) -> Result<(), BusError> {
        check_group(group)?;
        match &self.0 {
            Kind::Embedded(bus) => bus.forget(group).await,
            Kind::Kafka(bus) => bus.forget(group).await,
        }
    }

    /// Removes the records of a topic that were appended before a moment, committed or not, and returns how many. Takes
    /// them from the start of the log only: the first record that is younger ends it. Offsets are not given out again.
    ///
    /// # Errors
    /// [`BusError::Closed`], [`BusError::Broken`]; [`BusError::Timeout`] and [`BusError::Unavailable`] within `timeout`,
    /// then some may be gone.
    pub async fn prune(&self, topic: Topic, before: UnixMillis) -> Result<u64, BusError> {
        match &self.0 {
            Kind::Embedded(bus) => bus.prune(topic, before).await,
            Kind::Kafka(bus) => bus.prune(topic, before).await,
        }
    }

    /// Ends the retention of what is due at `now`, in every topic, and returns how many records that removed. To be
    /// called now and then, every hour say. A Kafka cluster does this by itself: there it does nothing.
    ///
    /// # Errors
    /// As [`Bus::prune`].
    pub async fn retain(&self, now: UnixMillis) -> Result<u64, BusError> {
        match &self.0 {
            Kind::Embedded(bus) => bus.retain(now).await,
            Kind::Kafka(_) => Ok(0),
        }
    }

    /// Says whether a publish would pass now: the last one did, or the topics' leaders answer.
    ///
    /// # Errors
    /// What a publish would fail with, within `timeout`.
    pub async fn health(&self) -> Result<(), BusError> {
        match &self.0 {
            Kind::Embedded(bus) => bus.health(),
            Kind::Kafka(bus) => bus.health().await,
        }
    }

    /// Ends the bus for all its clones and subscriptions once what was being published is durable. From then on they
    /// return [`BusError::Closed`].
    ///
    /// # Errors
    /// [`BusError::Closed`] when it was closed before; [`BusError::Timeout`] when records were still waiting after
    /// `timeout`: their publishers have been told, or will be.
    pub async fn close(self) -> Result<(), BusError> {
        match self.0 {
            Kind::Embedded(bus) => bus.close().await,
            Kind::Kafka(bus) => bus.close().await,
        }
    }
}
