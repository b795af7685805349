//! The task that tells channels of incidents: from the bus, through the ledger, over HTTP.
//!
//! # Once, across restarts
//! Each (incident, revision, channel) is delivered once. The [`ledger`](crate::ledger) notes durably that an attempt
//! begins before anything is sent, and what came of it after. What an attempt came to decides what follows:
//!
//! - **taken** (2xx): settled.
//! - **surely not taken** (no connection, 408, 425, 429, 5xx): tried again up to [`MAX_ATTEMPTS`] times, after 1, 2,
//!   4 … 30 s or the receiver's `Retry-After`; the count survives a restart.
//! - **refused** (any other answer): a dead letter at once.
//! - **unknown** (sent, and no answer came: a timeout, a broken connection, our own crash): an incoming webhook
//!   neither acknowledges nor drops repeats, so one of "never twice" and "never zero times" has to give. By default
//!   the message is not repeated: it is settled as unknown, logged as an error and put into quarantine for a
//!   person to look at. `repeat_unknown = true` repeats it: every attempt of a delivery carries the same
//!   `Idempotency-Key`, by which receivers that honour it drop the second.
//!
//! The offset on the bus moves once every delivery of a batch is settled. A crash in between replays the batch, and the
//! ledger absorbs the replay.
//!
//! # Bounds
//! A batch has at most [`MAX_BATCH`] incidents. Channels are served beside each other, each in the incidents' order; one that
//! does not answer holds the batch up for at most [`PATIENCE`], after which each of its messages gets one attempt
//! more. So a batch takes less than the five minutes after which a consumer counts as dead.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use deployline_bus::{Bus, BusError, Delivered, Record};
use deployline_schemas::{
    Deploy, Incident,
    cloudevent::CloudEvent,
    incident::IncidentState,
    signal::Services,
    time::{Clock, wall_clock},
    topic::Topic,
};
use deployline_store::{Catalog, StoreError};
use serde_json::json;
use tokio::{
    task::{JoinSet, spawn_blocking},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    alert::{self, Alert},
    attempt::{self, Outcome},
    config::{ChannelConfig, ChannelKind, NotifyConfig},
    error::{NotifyError, chain},
    ledger::{Delivery, Ledger, Settlement, Standing},
    routing, slack, webhook,
};

/// The consumer group whose offsets say what was told.
pub const GROUP: &str = "notify";
/// Most attempts of one delivery, restarts included.
pub const MAX_ATTEMPTS: u32 = 8;
/// Most incidents of a batch.
pub const MAX_BATCH: usize = 4;
/// How long one channel may hold up a batch with repeated attempts.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// How often, and at what distance, a suspect is looked for that the catalog does not hold yet: it comes over the bus
/// just as the incident does, and may be a moment later.
const LOOKUPS: (u32, Duration) = (10, Duration::from_millis(200));
/// How often is looked whether a silence has ended over something that lasts.
const SWEEP: Duration = Duration::from_secs(15);
/// What is noted of an incident that a silence kept back.
const SILENCED: &str = "silenced";
/// Pauses between attempts to reach a bus or catalog that is away.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// Tells channels of incidents.
pub struct Notifier {
    bus: Bus,
    catalog: Catalog,
    services: Services,
    config: NotifyConfig,
    base_url: String,
    clock: Clock,
}

/// Whether a step came to its end or the process was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Done,
    Stopped,
}

/// One message, ready to go.
struct Message {
    delivery: Delivery,
    body: Vec<u8>,
}

impl Notifier {
    /// A notifier with checked routes. `base_url` is where people reach the pages.
    ///
    /// # Errors
    /// [`NotifyError::Config`].
    pub fn new(
        bus: Bus,
        catalog: Catalog,
        services: Services,
        config: NotifyConfig,
        base_url: impl Into<String>,
    ) -> Result<Self, NotifyError> {
        config.check()?;
        Ok(Self { bus, catalog, services, config, base_url: base_url.into(), clock: wall_clock() })
    }

    /// Runs until `stop`. What was not settled by then is taken up again by the next run.
    ///
    /// # Errors
    /// When bus or catalog fail for good; what may pass is waited for.
    pub async fn run(self, stop: CancellationToken) -> Result<(), NotifyError> {
        let mut pause = PAUSES.0;
        while !stop.is_cancelled() {
            match self.session(&stop, &mut pause).await {
                Ok(()) => break,
                Err(error) if error.is_retryable() => {
                    warn!(error = chain(&error), pause_ms = pause.as_millis() as u64, "incidents wait to be told");
                    tokio::select! {
                        () = sleep(pause) => {}
                        () = stop.cancelled() => {}
                    }
                    pause = (pause * 2).min(PAUSES.1);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// One membership of the group: from the last committed offset until `stop` or an error.
    async fn session(&self, stop: &CancellationToken, pause: &mut Duration) -> Result<(), NotifyError> {
        let failed = |doing| move |source| NotifyError::Bus { doing, source };
        let mut subscription = self.bus.subscribe(GROUP, &[Topic::Incidents]).await.map_err(failed("subscribing"))?;
        'batches: loop {
            let batch = {
                let mut next = std::pin::pin!(subscription.next_batch(MAX_BATCH));
                loop {
                    tokio::select! {
                        batch = &mut next => break batch.map_err(failed("reading incidents"))?,
                        () = sleep(SWEEP) => match self.tell_unsilenced(stop).await? {
                            Flow::Done => {}
                            Flow::Stopped => break 'batches,
                        },
                        () = stop.cancelled() => break 'batches,
                    }
                }
            };
            // Not raced against `stop`: a request that is out has an outcome that must be noted. It looks at `stop`
            // itself, between attempts.
            if self.tell(&batch, stop).await? == Flow::Stopped {
                break;
            }
            subscription.commit(&batch).await.map_err(failed("committing offsets"))?;
            *pause = PAUSES.0;
        }
        subscription.close().await;
        Ok(())
    }

    /// Delivers everything that a batch asks for.
    async fn tell(&self, batch: &[Delivered], stop: &CancellationToken) -> Result<Flow, NotifyError> {
        let mut incidents = Vec::new();
        for record in batch {
            match serde_json::from_slice::<CloudEvent<Incident>>(&record.record.value) {
                Ok(event) if self.is_silenced(&event.data).await? => {}
                Ok(event) => incidents.push(event.data),
                Err(error) => self.quarantine_unreadable(record, &error).await?,
            }
        }
        self.carry(incidents, stop).await
    }

    /// Whether a silence keeps an incident from being told now. One that is notes the incident, to be told when it ends.
    async fn is_silenced(&self, incident: &Incident) -> Result<bool, NotifyError> {
        let (catalog, incident, now) = (self.catalog.clone(), incident.clone(), (self.clock)());
        let asked = spawn_blocking(move || -> Result<bool, StoreError> {
            // Only news of trouble is kept back: the end of what was told before is no disturbance.
            if alert::Told::of(incident.state) != Some(alert::Told::Regressed) {
                return Ok(false);
            }
            let is_silenced = catalog.silences_at(now)?.iter().any(|silence| silence.fits(&incident));
            if is_silenced {
                catalog.set_checkpoint(&silenced_key(&incident.id), SILENCED)?;
            }
            Ok(is_silenced)
        });
        asked.await?.map_err(|source| NotifyError::Catalog { doing: "asking for silences", source })
    }

    /// Tells of what was kept back by a silence that has ended since, and still lasts.
    async fn tell_unsilenced(&self, stop: &CancellationToken) -> Result<Flow, NotifyError> {
        let (catalog, now) = (self.catalog.clone(), (self.clock)());
        let due = spawn_blocking(move || -> Result<Vec<Incident>, StoreError> {
            let mut due = Vec::new();
            for mut incident in catalog.open_incidents()? {
                let is_due = catalog.checkpoint(&silenced_key(&incident.id))?.as_deref() == Some(SILENCED)
                    && !catalog.silences_at(now)?.iter().any(|silence| silence.fits(&incident));
                if is_due {
                    // What persists by now was confirmed when it was kept back.
                    incident.state = IncidentState::Confirmed;
                    due.push(incident);
                }
            }
            Ok(due)
        });
        let doing = "looking for what a silence kept back";
        let due = due.await?.map_err(|source| NotifyError::Catalog { doing, source })?;
        for incident in due.into_iter().take(MAX_BATCH) {
            let key = silenced_key(&incident.id);
            if self.carry(vec![incident], stop).await? == Flow::Stopped {
                return Ok(Flow::Stopped);
            }
            let catalog = self.catalog.clone();
            let noted = spawn_blocking(move || catalog.set_checkpoint(&key, "told")).await?;
            noted.map_err(|source| NotifyError::Catalog { doing, source })?;
        }
        Ok(Flow::Done)
    }

    /// Delivers all that some incidents ask for.
    async fn carry(&self, incidents: Vec<Incident>, stop: &CancellationToken) -> Result<Flow, NotifyError> {
        let mut queues: BTreeMap<&str, (&ChannelConfig, Vec<Message>)> = BTreeMap::new();
        for incident in incidents {
            for (channel, message) in self.messages(&incident).await? {
                queues.entry(&channel.name).or_insert_with(|| (channel, Vec::new())).1.push(message);
            }
        }
        let mut channels = JoinSet::new();
        for (channel, messages) in queues.into_values() {
            let courier = Courier {
                channel: channel.clone(),
                agent: attempt::agent(channel),
                ledger: Ledger::new(self.catalog.clone()),
                bus: self.bus.clone(),
                deadline: Instant::now() + PATIENCE,
                stop: stop.clone(),
            };
            channels.spawn(courier.deliver(messages));
        }
        let mut flow = Ok(Flow::Done);
        while let Some(joined) = channels.join_next().await {
            flow = match (flow, joined?) {
                (Err(first), _) => Err(first),
                (Ok(_), Err(error)) => Err(error),
                (Ok(one), Ok(other)) => Ok(if one == Flow::Stopped { one } else { other }),
            };
        }
        flow
    }

    /// What an incident asks to be told, to whom.
    async fn messages(&self, incident: &Incident) -> Result<Vec<(&ChannelConfig, Message)>, NotifyError> {
        let Some(told) = alert::Told::of(incident.state) else { return Ok(Vec::new()) };
        let channels = routing::channels(&self.config, &self.services, incident);
        if channels.is_empty() {
            return Ok(Vec::new());
        }
        let deploys = self.deploys(incident).await?;
        let message = |channel: &ChannelConfig| Message {
            delivery: Delivery {
                incident_id: incident.id.clone(),
                revision: incident.revision,
                told,
                channel: channel.name.clone(),
            },
            body: body(channel, incident, &deploys, &self.base_url),
        };
        Ok(channels.into_iter().map(|channel| (channel, message(channel))).collect())
    }

    /// The deploys that an alert names, waited for a little.
    async fn deploys(&self, incident: &Incident) -> Result<BTreeMap<String, Deploy>, NotifyError> {
        let ids = alert::deploy_ids(incident);
        let mut found = BTreeMap::new();
        for _ in 0..LOOKUPS.0 {
            let (catalog, wanted) = (self.catalog.clone(), ids.clone());
            let looked_up = spawn_blocking(move || -> Result<BTreeMap<String, Deploy>, StoreError> {
                let deploys = wanted.iter().filter_map(|id| catalog.deploy(id).transpose());
                deploys.map(|deploy| deploy.map(|deploy| (deploy.id.clone(), deploy))).collect()
            });
            found = looked_up.await?.map_err(|source| NotifyError::Catalog { doing: "looking deploys up", source })?;
            if ids.iter().all(|id| found.contains_key(id)) {
                break;
            }
            sleep(LOOKUPS.1).await;
        }
        Ok(found)
    }

    async fn quarantine_unreadable(&self, record: &Delivered, problem: &serde_json::Error) -> Result<(), NotifyError> {
        error!(%problem, partition = record.position.partition, offset = record.position.offset, "an incident cannot be read");
        let letter = json!({
            "topic": Topic::Incidents.suffix(),
            "partition": record.position.partition,
            "offset": record.position.offset,
        });
        dead_letter(&self.bus, "unreadable_incident", &format!("not an incident: {problem}"), &letter).await
    }
}

fn silenced_key(incident_id: &str) -> String {
    format!("notify/silenced/{incident_id}")
}

/// The body that a channel takes; empty for an incident of whose state nobody is told.
pub fn body(
    channel: &ChannelConfig,
    incident: &Incident,
    deploys: &BTreeMap<String, Deploy>,
    base_url: &str,
) -> Vec<u8> {
    let Some(alert) = Alert::new(incident, deploys, base_url) else { return Vec::new() };
    let body = match channel.kind {
        ChannelKind::Slack => serde_json::to_vec(&slack::message(&alert, channel.image)),
        ChannelKind::Webhook => serde_json::to_vec(&webhook::message(&alert, incident, deploys)),
    };
    body.expect("texts, numbers and lists of them are JSON")
}

/// Carries one channel's messages, one after the other.
struct Courier {
    channel: ChannelConfig,
    agent: ureq::Agent,
    ledger: Ledger,
    bus: Bus,
    deadline: Instant,
    stop: CancellationToken,
}

impl Courier {
    async fn deliver(self, messages: Vec<Message>) -> Result<Flow, NotifyError> {
        for message in messages {
            if self.deliver_one(message).await? == Flow::Stopped {
                return Ok(Flow::Stopped);
            }
        }
        Ok(Flow::Done)
    }

    async fn deliver_one(&self, Message { delivery, body }: Message) -> Result<Flow, NotifyError> {
        let body = Arc::new(body);
        let opened = delivery.clone();
        let mut attempt = match self.ledger("opening a delivery", move |ledger| ledger.open(&opened)).await? {
            Standing::Settled => return Ok(Flow::Done),
            Standing::Open { n_attempts } => n_attempts,
            Standing::Unknown { attempt } if self.channel.repeat_unknown => attempt,
            Standing::Unknown { .. } => {
                self.give_up(&delivery, &body, "the process ended while it was being sent", Settlement::Unknown)
                    .await?;
                return Ok(Flow::Done);
            }
        };
        let mut reason = "all attempts were made before".to_owned();
        while attempt < MAX_ATTEMPTS {
            if self.stop.is_cancelled() {
                return Ok(Flow::Stopped);
            }
            attempt += 1;
            let retry_after = match self.attempt(&delivery, &body, attempt).await? {
                Outcome::Delivered => {
                    let settled = delivery.clone();
                    self.ledger("settling a delivery", move |ledger| ledger.settle(&settled, &Settlement::Delivered))
                        .await?;
                    info!(
                        channel = self.channel.name,
                        incident = delivery.incident_id,
                        revision = delivery.revision,
                        attempt,
                        "told"
                    );
                    return Ok(Flow::Done);
                }
                Outcome::Refused { reason } => {
                    self.give_up(&delivery, &body, &reason, Settlement::Dead).await?;
                    return Ok(Flow::Done);
                }
                Outcome::Unknown { reason } if !self.channel.repeat_unknown => {
                    self.give_up(&delivery, &body, &reason, Settlement::Unknown).await?;
                    return Ok(Flow::Done);
                }
                Outcome::Unknown { reason: why } => {
                    reason = why;
                    None
                }
                Outcome::NotYet { retry_after, reason: why } => {
                    reason = why;
                    let refused = delivery.clone();
                    self.ledger("noting an attempt", move |ledger| ledger.refused(&refused, attempt)).await?;
                    retry_after
                }
            };
            let next = Instant::now() + attempt::pause(attempt, retry_after);
            if attempt == MAX_ATTEMPTS || next > self.deadline {
                break;
            }
            warn!(channel = self.channel.name, incident = delivery.incident_id, attempt, reason, "not told yet");
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.stop.cancelled() => return Ok(Flow::Stopped),
            }
        }
        self.give_up(&delivery, &body, &reason, Settlement::Dead).await?;
        Ok(Flow::Done)
    }

    /// One attempt, noted before it begins.
    async fn attempt(&self, delivery: &Delivery, body: &Arc<Vec<u8>>, attempt: u32) -> Result<Outcome, NotifyError> {
        let (ledger, agent, channel) = (self.ledger.clone(), self.agent.clone(), self.channel.clone());
        let (delivery, body) = (delivery.clone(), Arc::clone(body));
        let outcome = spawn_blocking(move || {
            ledger.start(&delivery, attempt)?;
            Ok(attempt::post(&agent, &channel, &delivery.key(), &body))
        });
        outcome.await?.map_err(|source| NotifyError::Catalog { doing: "noting an attempt", source })
    }

    /// Writes the dead letter, then settles: in this order, so that a crash between writes it twice and not never.
    async fn give_up(
        &self,
        delivery: &Delivery,
        body: &[u8],
        reason: &str,
        settlement: Settlement,
    ) -> Result<(), NotifyError> {
        error!(
            channel = self.channel.name,
            incident = delivery.incident_id,
            revision = delivery.revision,
            reason,
            ?settlement,
            "an alert may not have been told"
        );
        let code = if settlement == Settlement::Unknown { "delivery_unknown" } else { "delivery_failed" };
        let letter = json!({
            "channel": self.channel.name,
            "incident_id": delivery.incident_id,
            "revision": delivery.revision,
            "body": String::from_utf8_lossy(body),
        });
        dead_letter(&self.bus, code, reason, &letter).await?;
        let settled = delivery.clone();
        self.ledger("settling a delivery", move |ledger| ledger.settle(&settled, &settlement)).await
    }

    async fn ledger<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(Ledger) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, NotifyError> {
        let ledger = self.ledger.clone();
        spawn_blocking(move || work(ledger)).await?.map_err(|source| NotifyError::Catalog { doing, source })
    }
}

/// Puts a letter into quarantine under the headers that every record there has.
async fn dead_letter(bus: &Bus, reason: &str, problem: &str, letter: &serde_json::Value) -> Result<(), NotifyError> {
    let record = Record::new("notify", letter.to_string())
        .with_header("content-type", "application/json")
        .with_header("source", "notify")
        .with_header("reason", reason)
        .with_header("problem", crate::figures::clip(problem, 300));
    match bus.publish(Topic::Quarantine, vec![record]).await {
        Ok(_) => Ok(()),
        Err(error @ BusError::TooLarge { .. }) => {
            // No message of ours comes near the limit; were one to, the log above has the case.
            error!(%error, "a dead letter is too large to keep");
            Ok(())
        }
        Err(source) => Err(NotifyError::Bus { doing: "writing a dead letter", source }),
    }
}

#[cfg(test)]
mod tests;
