//! The topics on the cluster: created when absent, looked at for health, cut at the front.

use std::{collections::HashSet, time::Duration};

use deployline_schemas::topic::Topic;
use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::Client,
    error::{KafkaError, RDKafkaErrorCode},
    metadata::MetadataTopic,
    producer::future_producer::FutureProducerContext,
    util::Timeout,
};
use tokio::time::{Instant, sleep};

use super::client::{self, Context, failure};
use crate::{config::BusConfig, error::BusError, record::Bounds, span::Keep};

/// How often a new topic is looked for until every partition has a leader.
const LEADER_POLL: Duration = Duration::from_millis(50);
/// How often a group's coordinator that is not ready yet is asked again.
const COORDINATOR_POLL: Duration = Duration::from_millis(100);

/// Creates the topics that are absent and returns once all of them can be written to. Leaves those that exist as they
/// are: they are the operator's, who may also have created them for a client that may not.
///
/// Goes on until its caller gives up, as long as brokers answer.
pub(super) async fn ensure(config: &BusConfig) -> Result<(), BusError> {
    const DOING: &str = "create the topics";
    let admin = admin(config)?;
    let present = present(config).await?;
    let names: Vec<_> = Topic::ALL.into_iter().map(|topic| (topic, topic.name(&config.prefix))).collect();
    let absent: Vec<_> = names.iter().filter(|(_, name)| !present.contains(name)).collect();
    if absent.is_empty() {
        return Ok(());
    }
    let retention: Vec<_> = absent.iter().map(|(topic, _)| retention_ms(config.retention.of(*topic))).collect();
    // -1 asks for the cluster's own default, from Kafka 2.4 on.
    let copies = config.replication.map_or(-1, i32::from);
    let topics: Vec<_> = absent
        .iter()
        .zip(&retention)
        .map(|((_, name), retention)| {
            NewTopic::new(name, i32::from(config.partitions), TopicReplication::Fixed(copies))
                .set("cleanup.policy", "delete")
                .set("retention.ms", retention)
                // The log's own clock, as on the embedded bus: what a producer's clock says must not decide what is kept.
                .set("message.timestamp.type", "LogAppendTime")
        })
        .collect();
    let options = AdminOptions::new().request_timeout(Some(config.timeout)).operation_timeout(Some(config.timeout));
    for outcome in admin.create_topics(&topics, &options).await.map_err(|error| failure(DOING, error))? {
        match outcome {
            // Another process was faster.
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(failure(DOING, KafkaError::AdminOp(code))),
        }
    }
    // The brokers learn of a topic a moment after the controller has created it.
    while !names
        .iter()
        .map(|(_, name)| name)
        .collect::<HashSet<_>>()
        .is_subset(&self::present(config).await?.iter().collect())
    {
        sleep(LEADER_POLL).await;
    }
    Ok(())
}

/// The names of the topics whose every partition has a leader.
async fn present(config: &BusConfig) -> Result<HashSet<String>, BusError> {
    const DOING: &str = "list the topics";
    let (admin, patience) = (admin(config)?, config.timeout);
    let listing = tokio::task::spawn_blocking(move || {
        // All of them: asking for one by name would make some clusters create it with their own settings.
        let metadata = admin.inner().fetch_metadata(None, patience).map_err(|error| failure(DOING, error))?;
        Ok(metadata.topics().iter().filter(|topic| has_leaders(topic)).map(|topic| topic.name().to_owned()).collect())
    });
    listing.await.unwrap_or_else(|panic| Err(BusError::broken(DOING, panic)))
}

/// Fails unless every topic can be written to now. Blocks.
pub(super) fn check_leaders(
    client: &Client<FutureProducerContext<Context>>,
    config: &BusConfig,
) -> Result<(), BusError> {
    const DOING: &str = "reach the brokers";
    for topic in Topic::ALL {
        let metadata = client
            .fetch_metadata(Some(&topic.name(&config.prefix)), config.timeout / Topic::ALL.len() as u32)
            .map_err(|error| failure(DOING, error))?;
        if !metadata.topics().iter().all(has_leaders) {
            return Err(failure(DOING, KafkaError::MetadataFetch(RDKafkaErrorCode::LeaderNotAvailable)));
        }
    }
    Ok(())
}

/// Removes what lies in `starts`, each the half-open `[first, next)` of a partition.
pub(super) async fn delete_before(config: &BusConfig, topic: Topic, starts: &[Bounds]) -> Result<(), BusError> {
    const DOING: &str = "prune a topic";
    let name = topic.name(&config.prefix);
    let mut offsets = TopicPartitionList::new();
    for bounds in starts.iter().filter(|bounds| bounds.next > bounds.first) {
        offsets
            .add_partition_offset(&name, bounds.partition, Offset::Offset(bounds.next))
            .map_err(|error| failure(DOING, error))?;
    }
    if offsets.count() == 0 {
        return Ok(());
    }
    let options = AdminOptions::new().request_timeout(Some(Timeout::After(config.timeout)));
    let deleted = admin(config)?.delete_records(&offsets, &options).await.map_err(|error| failure(DOING, error))?;
    deleted.elements().iter().try_for_each(|partition| partition.error().map_err(|error| failure(DOING, error)))
}

/// Removes a group's offsets. A broker that has just started, or just taken the group over, is asked again until the
/// configured timeout.
pub(super) async fn forget_group(config: &BusConfig, group: &str) -> Result<(), BusError> {
    use RDKafkaErrorCode as Code;
    const DOING: &str = "forget a group";
    let name = format!("{}.{group}", config.prefix);
    let options = AdminOptions::new().request_timeout(Some(Timeout::After(config.timeout)));
    let (admin, deadline) = (admin(config)?, Instant::now() + config.timeout);
    loop {
        let outcomes = admin.delete_groups(&[&name], &options).await.map_err(|error| failure(DOING, error))?;
        match outcomes.into_iter().find_map(Result::err) {
            None | Some((_, Code::GroupIdNotFound)) => return Ok(()),
            Some((_, Code::CoordinatorLoadInProgress | Code::CoordinatorNotAvailable | Code::NotCoordinator))
                if Instant::now() < deadline =>
            {
                sleep(COORDINATOR_POLL).await
            }
            Some((_, code)) => return Err(failure(DOING, KafkaError::AdminOp(code))),
        }
    }
}

fn admin(config: &BusConfig) -> Result<AdminClient<Context>, BusError> {
    client::common(config).create_with_context(Context).map_err(|error| failure("create a kafka client", error))
}

fn has_leaders(topic: &MetadataTopic) -> bool {
    topic.error().is_none()
        && !topic.partitions().is_empty()
        && topic.partitions().iter().all(|partition| partition.leader() >= 0)
}

fn retention_ms(keep: Keep) -> String {
    match keep {
        Keep::For(age) => age.as_millis().to_string(),
        Keep::Forever => "-1".to_owned(),
    }
}
