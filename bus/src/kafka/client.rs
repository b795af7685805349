//! The settings of librdkafka's clients, their log, and what their errors mean for the caller.
//!
//! <https://github.com/confluentinc/librdkafka/blob/v2.12.1/CONFIGURATION.md>

use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    consumer::{ConsumerContext, base_consumer::BaseConsumer},
    error::{KafkaError, RDKafkaErrorCode},
    producer::FutureProducer,
};
use tracing::{debug, info, warn};

use crate::{config::BusConfig, error::BusError, security};

/// A member that stops answering is replaced after this long. The protocol's own default of 45 s would leave a deploy
/// unjudged for most of the minute in which it should be.
const SESSION_TIMEOUT_MS: u32 = 10_000;
const HEARTBEAT_MS: u32 = 3_000;
/// A member that does not come back for records for this long is taken for dead, though it answers.
const MAX_POLL_INTERVAL_MS: u32 = 300_000;
/// After a broker's restart the client is back within this long, instead of up to 10 s.
const RECONNECT_MAX_MS: u32 = 1_000;
/// How long a record waits for company. A publish answers a person's deploy hook, so hardly at all; what arrives together
/// is sent together even so.
const LINGER_MS: u32 = 1;
/// What a consumer fetches ahead.
const PREFETCH_KIB: u32 = 16_384;

/// Passes the client's log and errors on to tracing. The client repairs connections by itself, so none is an ERROR here.
#[derive(Clone, Default)]
pub(super) struct Context;

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ConsumerContext for Context {}

pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        // A broker that has just started has no producer ids to give yet; the client asks again by itself.
        _ if facility == "GETPID" => debug!(facility, message, "kafka client"),
        RDKafkaLogLevel::Debug | RDKafkaLogLevel::Info => debug!(facility, message, "kafka client"),
        RDKafkaLogLevel::Notice => info!(facility, message, "kafka client"),
        _ => warn!(facility, message, "kafka client"),
    }
}

pub(super) fn log_error(error: &KafkaError, reason: &str) {
    warn!(%error, reason, "kafka client reported a problem");
}

/// What all clients share.
pub(super) fn common(config: &BusConfig) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", config.brokers.join(","))
        .set("client.id", "deployline")
        .set("reconnect.backoff.max.ms", RECONNECT_MAX_MS.to_string())
        .set_log_level(RDKafkaLogLevel::Warning);
    security::apply(&mut client, config.security, &config.tls, config.sasl.as_ref());
    client
}

/// A producer that neither loses, repeats nor reorders records of its own, as long as it lives.
pub(super) fn producer(config: &BusConfig) -> Result<FutureProducer<Context>, BusError> {
    let mut client = common(config);
    client
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("message.timeout.ms", config.timeout.as_millis().to_string())
        .set("linger.ms", LINGER_MS.to_string())
        .set("queue.buffering.max.kbytes", (config.queue_bytes / 1024).to_string())
        // Zero: the bytes are the bound.
        .set("queue.buffering.max.messages", "0")
        .set("message.max.bytes", crate::record::MAX_RECORD_BYTES.to_string())
        // Datapoints are text, and shrink to a third.
        .set("compression.type", "lz4")
        // As Java's clients place a key, so that a shop's own producers keep to the same partition.
        .set("partitioner", "murmur2_random");
    client.create_with_context(Context).map_err(|error| failure("create a kafka producer", error))
}

/// The settings of a consumer of `group`. Its offsets move only when told to.
pub(super) fn consumer(config: &BusConfig, group: &str) -> ClientConfig {
    let mut client = common(config);
    client
        .set("group.id", format!("{}.{group}", config.prefix))
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("session.timeout.ms", SESSION_TIMEOUT_MS.to_string())
        .set("heartbeat.interval.ms", HEARTBEAT_MS.to_string())
        .set("max.poll.interval.ms", MAX_POLL_INTERVAL_MS.to_string())
        .set("queued.max.messages.kbytes", PREFETCH_KIB.to_string());
    client
}

/// A consumer that looks things up and joins no group.
pub(super) fn looker(config: &BusConfig, group: &str) -> Result<BaseConsumer<Context>, BusError> {
    let mut client = consumer(config, group);
    client.set("enable.partition.eof", "true");
    client.create_with_context(Context).map_err(|error| failure("create a kafka consumer", error))
}

/// Sorts the client's errors: what an operator must mend will not pass by waiting, the rest may.
pub(super) fn failure(doing: &'static str, error: KafkaError) -> BusError {
    use RDKafkaErrorCode as Code;
    let settings = matches!(error, KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_));
    let refused = matches!(
        error.rdkafka_error_code(),
        Some(
            Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::Authentication
                | Code::SaslAuthenticationFailed
                | Code::UnsupportedSASLMechanism
                | Code::SecurityDisabled
                | Code::UnsupportedVersion
                | Code::UnsupportedFeature
                | Code::PolicyViolation
                | Code::InvalidReplicationFactor
                | Code::InvalidPartitions
                | Code::InvalidConfig
                | Code::MessageSizeTooLarge
                | Code::Fatal
        )
    );
    if settings || refused { BusError::broken(doing, error) } else { BusError::unavailable(doing, error) }
}
