//! Deploy events from topics that others write, on the cluster that carries the bus: CloudEvents in Kafka's structured
//! and binary mode, or whatever one of the hooks reads.
//!
//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md>
//!
//! A record becomes the request that its sender would have made over HTTP, and goes through the same door: headers
//! `ce_type` are `ce-type`, the value is the body. Offsets move only once its deploys are on the bus, or it lies in
//! quarantine with its topic, partition and offset; a crash in between delivers it again, which changes nothing.
//! A tombstone (a record without value) tells of nothing.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use deployline_bus::{Bus, BusError, ForeignRecord, Start};
use deployline_schemas::{UnixMillis, time::Clock};
use serde::{Deserialize, Serialize};
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    door::{Door, DoorError},
    hooks::{self, HookConfig, HookRequest},
};

/// Records that are on their way through the door at once, and so between two commits.
const BATCH_RECORDS: usize = 64;
/// The first and the longest wait after something failed that may pass.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// One `[[topic]]` of the configuration: topics that bring deploys. Needs `bus.kind = "kafka"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TopicConfig {
    /// The topics' whole names. One that does not exist yet is waited for.
    pub names: Vec<String>,
    /// The `[[hook]]` whose rules read a record, by its path: a source's name if none is set up under it. It is not
    /// asked for a secret: who may write to the topic is the cluster's business.
    pub hook: String,
    /// The consumer group, behind the bus's prefix.
    pub group: String,
    /// Where to begin without an offset of the group's own: `earliest` or `latest`.
    pub start: Start,
}

impl Default for TopicConfig {
    fn default() -> Self {
        let (hook, group) = ("cloudevents".to_owned(), "topics".to_owned());
        Self { names: Vec::new(), hook, group, start: Start::default() }
    }
}

impl TopicConfig {
    /// The rules under which its records are read, by the names that [`Door::take`] knows them by; `None` when there is
    /// no such hook.
    pub fn inner(&self, configured: &[HookConfig]) -> Option<BTreeMap<String, HookConfig>> {
        let known = configured.iter().find(|hook| hook.path() == self.hook).cloned();
        let hook = known.or_else(|| hooks::source(&self.hook).map(|source| HookConfig::of(source.name)))?;
        Some(self.names.iter().map(|name| (inner_name(name), hook.clone())).collect())
    }
}

fn inner_name(topic: &str) -> String {
    format!("topic/{topic}")
}

/// Reads the topics until `stop`. What may pass is tried again for as long as it takes: nothing is left out.
///
/// # Errors
/// When trying again does not help: the bus is closed, embedded, or out of reach for good.
pub async fn run(
    bus: Bus,
    door: Door,
    config: TopicConfig,
    clock: Clock,
    stop: CancellationToken,
) -> Result<(), BusError> {
    let mut member = bus.follow(&config.group, &config.names, config.start)?;
    while let Some(batch) = stop.run_until_cancelled(member.next_batch(BATCH_RECORDS)).await {
        let batch = batch?;
        let mut tasks = JoinSet::new();
        for record in batch.iter().filter(|record| record.value.is_some()).cloned() {
            let (door, stop, received_at) = (door.clone(), stop.clone(), record.stamped_at.unwrap_or_else(|| clock()));
            tasks.spawn(async move { take(&door, record, received_at, &stop).await });
        }
        let taken = tasks.join_all().await;
        if !taken.into_iter().all(|is_taken| is_taken) {
            return Ok(());
        }
        match member.commit(&batch).await {
            // The next commit covers it; until then a restart takes the batch again.
            Err(error) if error.is_retryable() => warn!(%error, "offsets could not be committed, going on"),
            committed => committed?,
        }
        debug!(n_records = batch.len(), "took a batch from foreign topics");
    }
    Ok(())
}

/// Takes one record, however often it must be tried; false when `stop` came before.
async fn take(door: &Door, record: ForeignRecord, received_at: UnixMillis, stop: &CancellationToken) -> bool {
    let origin = [
        ("topic", record.topic.clone()),
        ("partition", record.position.partition.to_string()),
        ("offset", record.position.offset.to_string()),
    ];
    let (name, request) = (inner_name(&record.topic), request(record, received_at));
    let mut pause = BACKOFF.0;
    loop {
        match door.take(&name, request.clone(), &origin).await {
            Ok(_) => return true,
            Err(DoorError::Refused(error)) => {
                // Only a name that is not set up, which is checked before this runs.
                warn!(%error, name, "a record could not be read and is passed over");
                return true;
            }
            Err(error) => warn!(%error, name, "a record cannot be taken yet, trying again"),
        }
        if stop.run_until_cancelled(sleep(pause)).await.is_none() {
            return false;
        }
        pause = (pause * 2).min(BACKOFF.1);
    }
}

/// The request that says over HTTP what a record says.
fn request(record: ForeignRecord, received_at: UnixMillis) -> HookRequest {
    let header = |(name, value): (String, String)| match name.strip_prefix("ce_") {
        // Over HTTP these are percent-encoded, in Kafka they are not.
        Some(attribute) => (format!("ce-{attribute}"), value.replace('%', "%25")),
        None => (name, value),
    };
    let body = unframed(record.value.unwrap_or_default());
    let headers = record.headers.into_iter().map(header).collect();
    HookRequest { headers, body, received_at, ..HookRequest::default() }
}

/// A value without the five bytes that a schema registry's serializer writes before JSON: a zero and the schema's id.
fn unframed(value: Bytes) -> Bytes {
    match value.get(..6) {
        Some([0, _, _, _, _, b'{' | b'[']) => value.slice(5..),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use deployline_bus::Position;

    use super::*;
    use crate::hooks::Received;

    fn record(headers: &[(&str, &str)], value: &[u8]) -> ForeignRecord {
        ForeignRecord {
            topic: "cd.events".to_owned(),
            position: Position { partition: 0, offset: 7 },
            stamped_at: None,
            key: String::new(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            value: Some(Bytes::copy_from_slice(value)),
        }
    }

    #[track_caller]
    fn check(record: ForeignRecord, expected: &str) {
        let request = request(record, UnixMillis::from_secs(1_764_000_000));
        match hooks::read(&request, &HookConfig::of("cloudevents")).unwrap() {
            Received::Deploys { deploys, .. } => {
                assert_eq!(format!("{} {}", deploys[0].key(), deploys[0].id), expected)
            }
            Received::Noted { reason, .. } | Received::Ignored { reason } => panic!("{reason}"),
        }
    }

    const DATA: &[u8] = br#"{"service": "web", "started_at": 1763999000}"#;
    const WHOLE: &str = r#"{"specversion": "1.0", "id": "7", "source": "/ci", "type": "io.deployline.deploy.v1",
        "data": {"service": "web", "started_at": 1763999000}}"#;

    #[test]
    fn both_modes_say_the_same_and_a_frame_is_taken_off() {
        let binary = [
            ("content-type", "application/json"),
            ("ce_specversion", "1.0"),
            ("ce_id", "100%25"),
            ("ce_source", "/ci"),
            ("ce_type", "io.deployline.deploy.v1"),
        ];
        check(record(&binary, DATA), "web/production /ci 100%25");
        let structured = [("content-type", "Application/CloudEvents+json; charset=UTF-8")];
        check(record(&structured, WHOLE.as_bytes()), "web/production /ci 7");
        check(record(&[], &[b"\0\0\0\0\x07", WHOLE.as_bytes()].concat()), "web/production /ci 7");
    }

    #[test]
    fn a_topic_is_read_under_the_rules_of_its_hook() {
        let config: TopicConfig = toml::from_str("names = ['a', 'b']\nhook = 'ci'").unwrap();
        assert_eq!(config.inner(&[]), None);
        let hook = HookConfig { name: Some("ci".to_owned()), ..HookConfig::of("cdevents") };
        let inner = config.inner(&[hook]).unwrap();
        assert_eq!(inner.keys().collect::<Vec<_>>(), ["topic/a", "topic/b"]);
        assert_eq!(inner["topic/a"].source, "cdevents");
        assert!(toml::from_str::<TopicConfig>("name = 'a'").is_err());
    }
}
