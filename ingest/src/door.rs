//! The front door: what a hook sends is checked, published, and only then acknowledged.

mod counters;
mod error;
mod limiter;
mod quarantine;
mod recent;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use deployline_bus::{Bus, BusError, MAX_RECORD_BYTES, Record};
use deployline_schemas::{Annotation, Deploy, cloudevent::CloudEvent, topic::Topic};
use serde::Serialize;
use tracing::warn;

pub use self::{
    counters::{Counters, Tally},
    error::DoorError,
    quarantine::{MAX_QUARANTINED_BYTES, Quarantined},
};
use self::{limiter::Limiter, recent::Recent};
use crate::{
    hooks::{self, HookConfig, HookError, HookRequest, Received},
    spool::Spool,
};

/// A body larger than this is parsed on a blocking thread, in bytes: about half a millisecond of work.
const BLOCKING_BODY_BYTES: usize = 64 * 1024;
/// The media type of an envelope, as a header of its record.
const CONTENT_TYPE: &str = "application/cloudevents+json; charset=UTF-8";

/// Takes hook requests in and answers once what they say is durable. Cheap to clone.
#[derive(Clone)]
pub struct Door {
    bus: Bus,
    spool: Option<Spool>,
    hooks: Arc<RwLock<Arc<Hooks>>>,
    /// What is read from topics and files, by a name that no path can be.
    inner: Arc<BTreeMap<String, Arc<HookConfig>>>,
    recent: Arc<Recent>,
    counters: Arc<Counters>,
}

/// The hooks by the last part of their path: those that are configured, and the sources that are taken without.
struct Hooks(BTreeMap<String, Hook>);

#[derive(Clone)]
struct Hook {
    config: Arc<HookConfig>,
    limiter: Arc<Limiter>,
}

/// What became of a request that was accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// The ids of the deploys that it told of, in order; empty where it was ignored.
    pub deploys: Vec<String>,
    /// The annotation that was kept of it, where it is no deploy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotation: Option<u64>,
    /// Why it was understood and no deploy came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignored: Option<String>,
    /// The sender's own name for the delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_id: Option<String>,
    /// Whether it waits on this host's disk, because the bus is away.
    pub spooled: bool,
    /// Whether the same delivery was taken before, so that nothing was to be done.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
}

impl Door {
    /// A door to `bus` with the configured hooks. `open` takes sources without a `[[hook]]` as well, with nothing to
    /// verify them by: right on loopback only. Our own `api` is taken either way, unless a `[[hook]]` sets it up: who
    /// may use it is decided by the server's tokens. With a spool, nothing is refused because the bus is away.
    pub fn new(bus: Bus, hooks: Vec<HookConfig>, open: bool, spool: Option<Spool>) -> Self {
        let hooks = Arc::new(RwLock::new(Arc::new(Hooks::new(hooks, open))));
        Self { bus, spool, hooks, inner: Arc::default(), recent: Arc::default(), counters: Arc::default() }
    }

    /// The same door with names for [`Door::take`], each with its rules. Nobody reaches them over HTTP.
    #[must_use]
    pub fn with_inner(self, inner: BTreeMap<String, HookConfig>) -> Self {
        Self { inner: Arc::new(inner.into_iter().map(|(name, rules)| (name, Arc::new(rules))).collect()), ..self }
    }

    /// Replaces the configured hooks; requests under way keep the ones they began with.
    pub fn reconfigure(&self, hooks: Vec<HookConfig>, open: bool) {
        *self.hooks.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Hooks::new(hooks, open));
    }

    /// What went through so far, for metrics.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Verifies a request to `/hooks/{path}`, parses it and publishes its deploys, and returns once they are durable:
    /// on the bus, or, while it is away, in the spool.
    ///
    /// The same delivery again has the same ids and changes nothing downstream; one that names itself and came lately is
    /// answered as such and not published again. A body that is authentic and cannot be understood goes to quarantine
    /// before the refusal is returned.
    ///
    /// # Errors
    /// See [`DoorError`]; one that [`DoorError::is_retryable`] should be sent again, nothing of it was taken.
    pub async fn submit(&self, path: &str, request: HookRequest) -> Result<Receipt, DoorError> {
        let Hook { config, limiter } = self.hook(path)?;
        let (outcome, request) = parse(request, Arc::clone(&config), hooks::receive).await?;
        let source = &config.source;
        let admitted = match &outcome {
            // What proves nothing is cheap, and must not use up what others may send.
            Err(error) if !error.is_authentic() => Ok(()),
            _ => limiter.admit(request.received_at),
        };
        let result = match (admitted, outcome) {
            (Err(wait_ms), _) => Err(DoorError::TooFast { max_per_second: config.max_per_second, wait_ms }),
            (Ok(()), Ok(received)) => self.publish_once(source, received, &request).await,
            (Ok(()), Err(error)) => {
                if error.is_authentic() {
                    self.quarantine(source, path, &request, &error).await;
                }
                Err(DoorError::Refused(error))
            }
        };
        self.counters.count(source, &result);
        result
    }

    /// Publishes unless the same delivery was published lately.
    async fn publish_once(
        &self,
        source: &str,
        received: Received,
        request: &HookRequest,
    ) -> Result<Receipt, DoorError> {
        let Received::Deploys { deploys, delivery_id: Some(delivery_id) } = &received else {
            return self.publish_received(source, received).await;
        };
        let key = self.recent.key(source, delivery_id, &request.body);
        if self.recent.knows(key) {
            let deploys = deploys.iter().map(|deploy| deploy.id.clone()).collect();
            return Ok(Receipt {
                deploys,
                delivery_id: Some(delivery_id.clone()),
                duplicate: true,
                ..Receipt::default()
            });
        }
        let receipt = self.publish_received(source, received).await?;
        self.recent.remember(key);
        Ok(receipt)
    }

    /// Says whether [`Door::take`] would understand a request, without taking it.
    ///
    /// # Errors
    /// What it would be refused with.
    pub fn check(&self, name: &str, request: &HookRequest) -> Result<(), HookError> {
        let config = self.inner.get(name).ok_or_else(|| HookError::UnknownSource { name: name.to_owned() })?;
        hooks::read(request, config).map(drop)
    }

    /// Takes what did not come over HTTP, a record of a topic or lines of a file, under the inner name `name`: it is not
    /// asked for a signature. Durable on return: its deploys as those of a hook, and what is refused in quarantine, with
    /// `origin` to find it by. Returns `None` for what was refused.
    ///
    /// # Errors
    /// When nothing was taken and it should be tried again; and when there is no such name.
    pub async fn take(
        &self,
        name: &str,
        request: HookRequest,
        origin: &[(&'static str, String)],
    ) -> Result<Option<Receipt>, DoorError> {
        let config = self.inner.get(name).cloned();
        let config = config.ok_or_else(|| HookError::UnknownSource { name: name.to_owned() })?;
        let source = config.source.clone();
        let (outcome, request) = parse(request, config, hooks::read).await?;
        let result = match outcome {
            Ok(received) => self.publish_received(&source, received).await,
            Err(error) => Err(error.into()),
        };
        self.counters.count(&source, &result);
        match result {
            Err(error) if !error.is_retryable() => {
                let mut record = quarantine::record(&source, name, &request, error.code(), &error.to_string());
                record.headers.extend(origin.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
                self.publish(Topic::Quarantine, vec![record]).await?;
                self.counters.count_quarantined(&source);
                Ok(None)
            }
            result => result.map(Some),
        }
    }

    /// Publishes deploys that did not come as a hook request: from a StatsD event, say.
    ///
    /// # Errors
    /// When the bus is away and there is no room in the spool.
    pub async fn submit_deploys(&self, source: &str, deploys: Vec<Deploy>) -> Result<Receipt, DoorError> {
        let result = self.publish_received(source, Received::Deploys { deploys, delivery_id: None }).await;
        self.counters.count(source, &result);
        result
    }

    /// Publishes what is said of an annotation; durable on return. Returns whether it waits on this host's disk, because
    /// the bus is away.
    ///
    /// # Errors
    /// When the bus is away and there is no room in the spool.
    pub async fn annotate(&self, annotation: Annotation) -> Result<bool, DoorError> {
        let (key, source) = (annotation.key(), annotation.source.clone());
        let value = serde_json::to_vec(&CloudEvent::annotation(annotation)).map_err(HookError::malformed)?;
        let record = Record::new(key, value).with_header("content-type", CONTENT_TYPE).with_header("source", source);
        self.publish(Topic::Deploys, vec![record]).await
    }

    /// Tries a quarantined request again, under the configuration of now; it was verified when it came. What is still
    /// refused is not quarantined a second time.
    ///
    /// # Errors
    /// As [`Door::submit`], and when the body was too long to be kept whole.
    pub async fn redrive(&self, record: &Record) -> Result<Receipt, DoorError> {
        let Quarantined { path, request, cut_from_bytes, .. } = Quarantined::from_record(record)?;
        if let Some(length) = cut_from_bytes {
            return Err(HookError::TooLarge { length }.into());
        }
        let path = path.ok_or_else(|| HookError::missing("path"))?;
        let config = self.inner.get(&path).cloned().map_or_else(|| self.hook(&path).map(|hook| hook.config), Ok)?;
        let source = config.source.clone();
        let (outcome, _) = parse(request, config, hooks::read).await?;
        self.publish_received(&source, outcome?).await
    }

    fn hook(&self, path: &str) -> Result<Hook, DoorError> {
        let hooks = Arc::clone(&self.hooks.read().unwrap_or_else(PoisonError::into_inner));
        hooks.0.get(path).cloned().ok_or_else(|| {
            self.counters.count_unknown();
            DoorError::Refused(HookError::UnknownSource { name: path.chars().take(60).collect() })
        })
    }

    async fn publish_received(&self, source: &str, received: Received) -> Result<Receipt, DoorError> {
        let (deploys, delivery_id) = match received {
            Received::Deploys { deploys, delivery_id } => (deploys, delivery_id),
            Received::Noted { annotation, reason } => {
                let number = annotation.number;
                let spooled = self.annotate(*annotation).await?;
                return Ok(Receipt { annotation: Some(number), ignored: Some(reason), spooled, ..Receipt::default() });
            }
            Received::Ignored { reason } => {
                return Ok(Receipt { ignored: Some(reason), ..Receipt::default() });
            }
        };
        let ids: Vec<String> = deploys.iter().map(|deploy| deploy.id.clone()).collect();
        let records = records(deploys, delivery_id.as_deref(), source)?;
        let spooled = self.publish(Topic::Deploys, records).await?;
        Ok(Receipt { deploys: ids, delivery_id, spooled, ..Receipt::default() })
    }

    /// Publishes, or spools while the bus is away or the spool still has earlier records. Returns whether it spooled.
    async fn publish(&self, topic: Topic, records: Vec<Record>) -> Result<bool, DoorError> {
        check_sizes(topic, &records)?;
        let Some(spool) = &self.spool else {
            self.bus.publish(topic, records).await?;
            return Ok(false);
        };
        // Records behind others of their key must not overtake them.
        if spool.is_empty() {
            match self.bus.publish(topic, records.clone()).await {
                Ok(_) => return Ok(false),
                Err(error) if !error.is_retryable() && !matches!(error, BusError::Closed) => return Err(error.into()),
                Err(error) => warn!(%error, n_records = records.len(), "the bus is away, spooling"),
            }
        }
        spool.append(topic, records).await?;
        Ok(true)
    }

    async fn quarantine(&self, source: &str, path: &str, request: &HookRequest, error: &HookError) {
        let record = quarantine::record(source, path, request, error.code(), &error.to_string());
        match self.publish(Topic::Quarantine, vec![record]).await {
            Ok(_) => self.counters.count_quarantined(source),
            Err(error) => warn!(%error, source, "a refused body could not be quarantined"),
        }
    }
}

impl Hooks {
    /// The configured hooks, and with `open` every source without one; our own without one in any case.
    fn new(configured: Vec<HookConfig>, open: bool) -> Self {
        let unset = hooks::sources().iter().map(|source| source.name).filter(|name| open || *name == hooks::OWN);
        // A source that is set up under another name has its secret there: it is not open here.
        let unset = unset.filter(|name| !configured.iter().any(|hook| hook.source == *name)).map(HookConfig::of);
        let unset: Vec<_> = unset.collect();
        let hook = |config: HookConfig| {
            let limiter = Arc::new(Limiter::new(config.max_per_second));
            (config.path().to_owned(), Hook { config: Arc::new(config), limiter })
        };
        Self(unset.into_iter().chain(configured).map(hook).collect())
    }
}

/// Refuses what the bus would refuse. The spool takes any size, and acknowledges what could then never be published.
fn check_sizes(topic: Topic, records: &[Record]) -> Result<(), BusError> {
    let too_large = records.iter().map(Record::size_bytes).find(|size_bytes| *size_bytes > MAX_RECORD_BYTES);
    too_large.map_or(Ok(()), |size_bytes| {
        Err(BusError::TooLarge { topic: topic.suffix(), size_bytes, limit_bytes: MAX_RECORD_BYTES })
    })
}

type Read = fn(&HookRequest, &HookConfig) -> Result<Received, HookError>;

/// Parses on this thread what is small, elsewhere what is not, and gives the request back.
async fn parse(
    request: HookRequest,
    config: Arc<HookConfig>,
    read: Read,
) -> Result<(Result<Received, HookError>, HookRequest), DoorError> {
    if request.body.len() <= BLOCKING_BODY_BYTES {
        return Ok((read(&request, &config), request));
    }
    let parsed = tokio::task::spawn_blocking(move || (read(&request, &config), request)).await;
    parsed.map_err(|_| DoorError::Stopping)
}

/// The records of some deploys. Each is named for its delivery, else for what it says, so that a repeat is a repeat.
fn records(deploys: Vec<Deploy>, delivery_id: Option<&str>, source: &str) -> Result<Vec<Record>, DoorError> {
    let n_deploys = deploys.len();
    let record = |(index, deploy): (usize, Deploy)| {
        let key = deploy.key();
        let delivery = match delivery_id {
            Some(delivery_id) if n_deploys == 1 => delivery_id.to_owned(),
            Some(delivery_id) => format!("{delivery_id}/{index}"),
            None => hooks::digest(&serde_json::to_vec(&deploy)?),
        };
        let value = serde_json::to_vec(&CloudEvent::deploy(deploy, &delivery))?;
        Ok(Record::new(key, value).with_header("content-type", CONTENT_TYPE).with_header("source", source))
    };
    let records: Result<Vec<Record>, serde_json::Error> = deploys.into_iter().enumerate().map(record).collect();
    records.map_err(|error| DoorError::Refused(HookError::malformed(error)))
}

#[cfg(test)]
mod tests;
