//! The bus on a Kafka cluster.

mod client;
mod foreign;
mod lookup;
mod message;
mod subscription;
mod topics;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use deployline_schemas::{time::UnixMillis, topic::Topic};
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    producer::{FutureProducer, Producer},
};
use tokio::{
    sync::OnceCell,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use self::{
    client::{Context, failure},
    lookup::Lookup,
};
pub(crate) use self::{foreign::ForeignMember, subscription::Subscription};
use crate::{
    config::BusConfig,
    error::BusError,
    foreign::Start,
    record::{Bounds, Delivered, Position, Record},
};

/// How often a full queue of the client is tried again: well below the time that a broker takes for a batch.
const QUEUE_RETRY: Duration = Duration::from_millis(5);

/// The bus on Kafka.
#[derive(Clone)]
pub(crate) struct Kafka(Arc<Inner>);

struct Inner {
    config: BusConfig,
    /// Replaced when the client declares itself broken for good; see [`Kafka::replace`].
    producer: Mutex<FutureProducer<Context>>,
    /// Set once every topic is known to exist.
    topics: OnceCell<()>,
    closed: CancellationToken,
}

impl Kafka {
    pub(crate) async fn open(config: &BusConfig) -> Result<Self, BusError> {
        let bus = Self(Arc::new(Inner {
            config: config.clone(),
            producer: Mutex::new(client::producer(config)?),
            topics: OnceCell::new(),
            closed: CancellationToken::new(),
        }));
        match bus.ensure_topics().await {
            Err(error) if error.is_retryable() => {
                warn!(error = &error as &dyn std::error::Error, "broker away, topics are created on first use");
            }
            outcome => outcome?,
        }
        Ok(bus)
    }

    pub(crate) async fn publish(&self, topic: Topic, records: Vec<Record>) -> Result<Vec<Position>, BusError> {
        const DOING: &str = "publish to kafka";
        self.ensure_topics().await?;
        // The client gives up on a record `timeout` after it was queued; the second half is for a clock that ticks coarsely.
        let waited = self.0.config.timeout;
        let deadline = Instant::now() + waited;
        let producer = self.producer();
        let name = topic.name(&self.0.config.prefix);
        let mut deliveries = Vec::with_capacity(records.len());
        for record in &records {
            deliveries.push(loop {
                match producer.send_result(message::outgoing(&name, record)) {
                    Ok(delivery) => break delivery,
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                        if Instant::now() >= deadline {
                            return Err(BusError::QueueFull { waited });
                        }
                        sleep(QUEUE_RETRY).await;
                    }
                    Err((error, _)) => return Err(self.failed(DOING, error, &producer)),
                }
            });
        }
        let mut positions = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            match timeout_at(deadline + waited / 2, delivery).await {
                Ok(Ok(Ok(sent))) => positions.push(Position { partition: sent.partition, offset: sent.offset }),
                Ok(Ok(Err((error, _)))) => return Err(self.failed(DOING, error, &producer)),
                Ok(Err(_)) => return Err(BusError::Closed),
                Err(_) => return Err(BusError::Timeout { doing: DOING, waited }),
            }
        }
        Ok(positions)
    }

    pub(crate) async fn subscribe(&self, group: &str, topics: &[Topic]) -> Result<Subscription, BusError> {
        self.ensure_topics().await?;
        Subscription::open(&self.0.config, group, topics, self.0.closed.clone())
    }

    pub(crate) fn follow(&self, group: &str, topics: &[String], from: Start) -> Result<ForeignMember, BusError> {
        self.check_open()?;
        ForeignMember::open(&self.0.config, group, topics, from, self.0.closed.clone())
    }

    pub(crate) async fn bounds(&self, topic: Topic) -> Result<Vec<Bounds>, BusError> {
        self.look_up("read the bounds of a topic", None, move |lookup| lookup.bounds(topic)).await
    }

    pub(crate) async fn read(&self, topic: Topic, from: Position, max: usize) -> Result<Vec<Delivered>, BusError> {
        self.look_up("read from kafka", None, move |lookup| lookup.read(topic, from, max)).await
    }

    pub(crate) async fn lag(&self, group: &str, topic: Topic) -> Result<u64, BusError> {
        self.look_up("read the lag of a group", Some(group), move |lookup| lookup.lag(topic)).await
    }

    pub(crate) async fn forget(&self, group: &str) -> Result<(), BusError> {
        self.ensure_topics().await?;
        topics::forget_group(&self.0.config, group).await
    }

    pub(crate) async fn prune(&self, topic: Topic, before: UnixMillis) -> Result<u64, BusError> {
        let starts = move |lookup: &Lookup| lookup.starts(topic, before);
        let starts = self.look_up("find where to prune", None, starts).await?;
        topics::delete_before(&self.0.config, topic, &starts).await?;
        Ok(starts.iter().map(|bounds| bounds.next.abs_diff(bounds.first)).sum())
    }

    pub(crate) async fn health(&self) -> Result<(), BusError> {
        const DOING: &str = "reach the brokers";
        self.ensure_topics().await?;
        let (producer, config) = (self.producer(), self.0.config.clone());
        self.bounded(DOING, move || topics::check_leaders(producer.client(), &config)).await
    }

    pub(crate) async fn close(self) -> Result<(), BusError> {
        const DOING: &str = "flush to kafka";
        self.check_open()?;
        self.0.closed.cancel();
        let (producer, waited) = (self.producer(), self.0.config.timeout);
        self.bounded(DOING, move || match producer.flush(waited) {
            Ok(()) => Ok(()),
            Err(_) => Err(BusError::Timeout { doing: DOING, waited }),
        })
        .await
    }

    /// Creates the topics unless that is done. Concurrent callers share one attempt, and each waits `timeout` at most.
    async fn ensure_topics(&self) -> Result<(), BusError> {
        self.check_open()?;
        let waited = self.0.config.timeout;
        let ensured = self.0.topics.get_or_try_init(|| topics::ensure(&self.0.config));
        match timeout(waited, ensured).await {
            Ok(ensured) => ensured.copied(),
            Err(_) => Err(BusError::Timeout { doing: "create the topics", waited }),
        }
    }

    async fn look_up<T: Send + 'static>(
        &self,
        doing: &'static str,
        group: Option<&str>,
        query: impl FnOnce(&Lookup) -> Result<T, BusError> + Send + 'static,
    ) -> Result<T, BusError> {
        self.ensure_topics().await?;
        let config = self.0.config.clone();
        let group = group.map(str::to_owned);
        self.bounded(doing, move || query(&Lookup::new(&config, group.as_deref())?)).await
    }

    /// Runs a call of the client that blocks on a thread for such, within a little more than the `timeout` that the
    /// call itself is given.
    async fn bounded<T: Send + 'static>(
        &self,
        doing: &'static str,
        call: impl FnOnce() -> Result<T, BusError> + Send + 'static,
    ) -> Result<T, BusError> {
        let waited = self.0.config.timeout;
        match timeout(waited + waited / 2, tokio::task::spawn_blocking(call)).await {
            Ok(outcome) => outcome.unwrap_or_else(|panic| Err(BusError::broken(doing, panic))),
            Err(_) => Err(BusError::Timeout { doing, waited }),
        }
    }

    /// Sorts a failed publish, and replaces the producer where it is the producer that is broken.
    fn failed(&self, doing: &'static str, cause: KafkaError, producer: &FutureProducer<Context>) -> BusError {
        if let Some((code, reason)) = producer.client().fatal_error() {
            error!(%code, reason, "producer lost its sequence, starting another");
            return match self.replace(producer) {
                Ok(()) => BusError::unavailable(doing, cause),
                Err(error) => error,
            };
        }
        failure(doing, cause)
    }

    /// Puts a new producer in the place of one that reported a fatal error. An idempotent producer does so when it can
    /// no longer tell what the broker has; the records it held are reported as failed, so their publishers try again.
    fn replace(&self, broken: &FutureProducer<Context>) -> Result<(), BusError> {
        let mut current = held(&self.0.producer);
        // Several publishers see the same failure; the first one replaces.
        if current.client().native_ptr() == broken.client().native_ptr() {
            *current = client::producer(&self.0.config)?;
        }
        Ok(())
    }

    fn producer(&self) -> FutureProducer<Context> {
        held(&self.0.producer).clone()
    }

    fn check_open(&self) -> Result<(), BusError> {
        if self.0.closed.is_cancelled() { Err(BusError::Closed) } else { Ok(()) }
    }
}

/// A lock whatever became of its last holder: what is guarded here is whole between any two statements.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
