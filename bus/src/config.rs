//! The `[bus]` section of the configuration.

use std::time::Duration;

use deployline_schemas::topic::Topic;
use serde::{Deserialize, Serialize};

use crate::{
    error::BusError,
    record::MAX_RECORD_BYTES,
    security::{self, Protocol, Sasl, Tls},
    span::{self, Keep},
};

/// A topic's or group's whole name on a broker may have 249 characters; the prefix leaves room for the rest.
const MAX_PREFIX_LEN: usize = 100;
const MAX_GROUP_LEN: usize = 100;
const MAX_TOPIC_LEN: usize = 249;
/// Beyond a gibibyte a queue no longer smooths a burst, it hides that the disk or the broker cannot follow.
/// One record of the largest size must fit.
const MIN_QUEUE_BYTES: usize = 1 << 20;
const _: () = assert!(MIN_QUEUE_BYTES >= MAX_RECORD_BYTES);
const MAX_QUEUE_BYTES: usize = 1 << 30;
const DAY: Duration = Duration::from_secs(86_400);

/// Which log carries the records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BusKind {
    /// SQLite in the data directory. One process at a time.
    #[default]
    Embedded,
    /// A Kafka cluster, 2.4 or newer.
    Kafka,
}

/// The `[bus]` section of the configuration. The defaults run alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BusConfig {
    /// Which log carries the records.
    pub kind: BusKind,
    /// Where the Kafka cluster is found, as `host:port`. One that answers is enough.
    pub brokers: Vec<String>,
    /// How the cluster is spoken to.
    pub security: Protocol,
    /// Who we say that we are, with `security = "sasl_ssl"` or `"sasl_plaintext"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sasl: Option<Sasl>,
    /// Certificates, with `security = "ssl"` or `"sasl_ssl"`.
    pub tls: Tls,
    /// What the names of topics and consumer groups begin with on a broker, so that shops and tests can share one.
    pub prefix: String,
    /// How long a publish, a commit or a question to the bus may take before it fails as retryable. `100ms..=5m`.
    #[serde(with = "span")]
    pub timeout: Duration,
    /// How many bytes of records may wait to become durable. When that many wait, a publish waits for room, up to
    /// `timeout`. From 1 MiB to 1 GiB.
    pub queue_bytes: usize,
    /// How many partitions a Kafka topic gets when it is created. One keeps a topic in one order, as the embedded bus
    /// does, and carries far more than 60 deploys a day need; more let several members of a group share a topic. Those
    /// of existing topics are not changed: keys would move, and lose their order.
    pub partitions: u16,
    /// On how many brokers each record is kept, for topics that are created; the cluster's own default if not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replication: Option<u16>,
    /// How long records are kept. Given to Kafka when a topic is created.
    pub retention: Retention,
}

/// How long the records of each topic are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Forever by default: the source of truth, from which the catalog can be rebuilt. A busy shop's year is 50 MB.
    pub deploys: Keep,
    /// A day by default: time enough to repair a consumer.
    pub datapoints: Keep,
    /// Forever by default.
    pub incidents: Keep,
    /// A month by default: time enough to notice, mend the sender and redrive.
    pub quarantine: Keep,
}

impl Default for BusConfig {
    fn default() -> Self {
        Self {
            kind: BusKind::default(),
            brokers: vec!["127.0.0.1:9092".to_owned()],
            security: Protocol::default(),
            sasl: None,
            tls: Tls::default(),
            prefix: "deployline".to_owned(),
            timeout: Duration::from_secs(5),
            queue_bytes: 32 << 20,
            partitions: 1,
            replication: None,
            retention: Retention::default(),
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            deploys: Keep::Forever,
            datapoints: Keep::For(DAY),
            incidents: Keep::Forever,
            quarantine: Keep::For(30 * DAY),
        }
    }
}

impl Retention {
    /// How long the records of `topic` are kept.
    pub fn of(&self, topic: Topic) -> Keep {
        match topic {
            Topic::Deploys => self.deploys,
            Topic::Datapoints => self.datapoints,
            Topic::Incidents => self.incidents,
            Topic::Quarantine => self.quarantine,
        }
    }
}

impl BusConfig {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// [`BusError::Config`] with the key at fault.
    pub fn check(&self) -> Result<(), BusError> {
        let refuse = |problem: &str| Err(BusError::Config { problem: problem.to_owned() });
        if !is_name(&self.prefix, MAX_PREFIX_LEN) {
            return refuse("`prefix` is 1 to 100 of the characters a-z, A-Z, 0-9, `.`, `_` and `-`");
        }
        if !(Duration::from_millis(100)..=Duration::from_secs(300)).contains(&self.timeout) {
            return refuse("`timeout` is 100ms to 5m");
        }
        if !(MIN_QUEUE_BYTES..=MAX_QUEUE_BYTES).contains(&self.queue_bytes) {
            return refuse("`queue_bytes` is 1 MiB to 1 GiB");
        }
        if self.kind == BusKind::Kafka && (self.brokers.is_empty() || self.brokers.iter().any(|b| !is_broker(b))) {
            return refuse("`brokers` names at least one broker, each as `host:port`");
        }
        if self.kind == BusKind::Kafka {
            security::check(self.security, &self.tls, self.sasl.as_ref())
                .map_err(|problem| BusError::Config { problem })?;
        }
        if !(1..=1000).contains(&self.partitions) {
            return refuse("`partitions` is 1 to 1000");
        }
        if self.replication.is_some_and(|copies| !(1..=100).contains(&copies)) {
            return refuse("`replication` is 1 to 100");
        }
        Ok(())
    }
}

/// Checks a consumer group's name.
pub(crate) fn check_group(group: &str) -> Result<(), BusError> {
    if is_name(group, MAX_GROUP_LEN) { Ok(()) } else { Err(BusError::Group { name: group.to_owned() }) }
}

/// Checks the name of a topic that is not ours.
pub(crate) fn check_topic(name: &str) -> Result<(), BusError> {
    match is_name(name, MAX_TOPIC_LEN) {
        true => Ok(()),
        false => Err(BusError::Config { problem: format!("`{name}` cannot name a topic") }),
    }
}

/// What Kafka lets a topic be called; the same for both buses, so that a configuration can move between them.
fn is_name(name: &str, max_len: usize) -> bool {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= max_len && name.chars().all(is_legal)
}

/// `host:port`, and nothing that would add a second setting to the client's comma-separated list.
fn is_broker(broker: &str) -> bool {
    let legal = !broker.contains([',', ' ', '/']);
    legal && broker.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_survive_toml() {
        let config = BusConfig::default();
        config.check().unwrap();
        assert_eq!(toml::from_str::<BusConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
        assert_eq!(toml::from_str::<BusConfig>("").unwrap(), config);
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let error = toml::from_str::<BusConfig>("broker = ['a:1']").unwrap_err().to_string();
        assert!(error.contains("unknown field `broker`"), "{error}");
    }

    #[test]
    fn a_value_out_of_range_is_refused_by_its_key() {
        for (text, key) in [
            ("prefix = 'a b'", "prefix"),
            ("timeout = '1ms'", "timeout"),
            ("queue_bytes = 10", "queue_bytes"),
            ("kind = 'kafka'\nbrokers = []", "brokers"),
            ("kind = 'kafka'\nbrokers = ['localhost']", "brokers"),
            ("kind = 'kafka'\nbrokers = ['a:1,b:2']", "brokers"),
            ("partitions = 0", "partitions"),
            ("replication = 0", "replication"),
        ] {
            let error = toml::from_str::<BusConfig>(text).unwrap().check().unwrap_err().to_string();
            assert!(error.contains(&format!("`{key}`")), "{text}: {error}");
        }
    }
}
