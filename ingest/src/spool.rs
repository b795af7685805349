//! Records on this host's disk while the bus is away: bounded, durable, drained in order.
//!
//! One file of frames, each a length, a checksum and a record as JSON; a second file says how far it is drained. A
//! crash between publishing and noting so publishes a batch again, which the ids of its events absorb. A frame that a
//! crash tore was never acknowledged, and is left out at the next start. Where the disk damaged a frame, the file is
//! kept aside and the frames around it stay.

mod file;

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use deployline_bus::{Bus, BusError, Record, Recourse};
use deployline_schemas::topic::Topic;
use serde::{Deserialize, Serialize};
use tokio::{sync::Notify, task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::file::{Batch, SpoolFile};
use crate::refused::refused;

/// How much a spool holds if not configured, in bytes: about 30,000 deploys.
pub const DEFAULT_SPOOL_BYTES: u64 = 64 * 1024 * 1024;
/// Most records that are published at once while draining.
const BATCH_RECORDS: usize = 256;
/// The first and the longest wait after a publish that failed.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Why the spool did not take a record.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Retry later: it holds all that it may.
    #[error("the spool holds {n_bytes} bytes, at most {limit_bytes} fit")]
    Full {
        /// What it holds.
        n_bytes: u64,
        /// What it may hold.
        limit_bytes: u64,
    },
    /// Retry later, when the disk has been seen to.
    #[error("failed to {doing} the spool")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// A task of this process was ended.
    #[error("the spool is stopping")]
    Stopping,
}

/// Records that wait for the bus. Cheap to clone; one process at a time may have a directory open.
#[derive(Clone)]
pub struct Spool(Arc<Inner>);

struct Inner {
    file: Mutex<SpoolFile>,
    /// The file's count, to be read without waiting for the disk.
    n_records: AtomicU64,
    appended: Notify,
}

/// A record at rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Waiting {
    topic: String,
    key: String,
    headers: Vec<(String, String)>,
    value: String,
    /// Whether `value` is base64, because it is no text.
    #[serde(default)]
    base64: bool,
}

impl Spool {
    /// Opens the spool in `dir`, which is created if need be, to hold `limit_bytes` at most.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn open(dir: &Path, limit_bytes: u64) -> Result<Self, SpoolError> {
        let file = SpoolFile::open(dir, limit_bytes)?;
        let n_records = file.n_records();
        if n_records > 0 {
            info!(n_records, "the spool has records from before");
        }
        let n_records = AtomicU64::new(n_records);
        Ok(Self(Arc::new(Inner { file: Mutex::new(file), n_records, appended: Notify::new() })))
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many records wait.
    pub fn len(&self) -> u64 {
        self.0.n_records.load(Ordering::Acquire)
    }

    /// Appends records and returns once they are synced to disk. What the bus takes fits; larger records are the
    /// caller's to refuse, for they end in quarantine here.
    ///
    /// # Errors
    /// See [`SpoolError`]; then none of them was taken.
    pub async fn append(&self, topic: Topic, records: Vec<Record>) -> Result<(), SpoolError> {
        let waiting: Vec<Waiting> = records.into_iter().map(|record| Waiting::new(topic, record)).collect();
        self.blocking(move |file| file.append(&waiting)).await?;
        self.0.appended.notify_one();
        Ok(())
    }

    /// Publishes what waits, in order, and what comes, until `stop`. Waits longer after each failure, five seconds at
    /// most; what the bus will never take goes to quarantine.
    pub async fn drain(&self, bus: &Bus, stop: CancellationToken) {
        let mut backoff = BACKOFF.0;
        while !stop.is_cancelled() {
            let pause = match self.drain_batch(bus).await {
                Ok(0) => {
                    tokio::select! {
                        () = self.0.appended.notified() => {}
                        () = stop.cancelled() => {}
                    }
                    continue;
                }
                Ok(n_records) => {
                    info!(n_records, n_waiting = self.len(), "drained from the spool");
                    backoff = BACKOFF.0;
                    continue;
                }
                Err(error) => {
                    warn!(%error, n_waiting = self.len(), "the spool cannot be drained yet");
                    backoff
                }
            };
            backoff = (backoff * 2).min(BACKOFF.1);
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Publishes one batch and returns how many records it had.
    async fn drain_batch(&self, bus: &Bus) -> Result<usize, Box<dyn std::error::Error + Send + Sync>> {
        let Batch { waiting, until } = self.blocking(|file| file.read(BATCH_RECORDS)).await?;
        let n_records = waiting.len();
        if n_records == 0 {
            return Ok(0);
        }
        let mut waiting = waiting.into_iter().peekable();
        while let Some(first) = waiting.next() {
            let topic = first.topic();
            let mut records = vec![first.into_record()];
            while let Some(next) = waiting.next_if(|next| next.topic() == topic) {
                records.push(next.into_record());
            }
            publish(bus, topic, records).await?;
        }
        self.blocking(move |file| file.advance(until, n_records as u64)).await?;
        Ok(n_records)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SpoolFile) -> Result<T, SpoolError> + Send + 'static,
    ) -> Result<T, SpoolError> {
        let inner = Arc::clone(&self.0);
        let worked = spawn_blocking(move || {
            let mut file = inner.file.lock().unwrap_or_else(PoisonError::into_inner);
            let result = work(&mut file);
            // Under the lock, so that the counts come in the order of the work.
            inner.n_records.store(file.n_records(), Ordering::Release);
            result
        });
        worked.await.map_err(|_| SpoolError::Stopping)?
    }
}

/// Publishes records of one topic. The bus takes all of them or none, so if it will never take them, each is tried alone
/// and those at fault go to quarantine.
async fn publish(bus: &Bus, topic: Topic, records: Vec<Record>) -> Result<(), BusError> {
    match bus.publish(topic, records.clone()).await {
        Err(error) if error.recourse() == Recourse::Reject => {}
        result => return result.map(drop),
    }
    for record in records {
        match bus.publish(topic, vec![record.clone()]).await {
            Err(error) if error.recourse() == Recourse::Reject => quarantine(bus, topic, &record, &error).await?,
            result => drop(result?),
        }
    }
    Ok(())
}

/// Puts a record that was acknowledged and can never be published where people find it.
async fn quarantine(bus: &Bus, topic: Topic, record: &Record, error: &BusError) -> Result<(), BusError> {
    error!(%error, key = %record.key, "a spooled record can never be published, moving it to quarantine");
    let refused = refused(record, topic, "spool", "record_refused", &error.to_string());
    match bus.publish(Topic::Quarantine, vec![refused]).await {
        // It is small: a bus that refuses even this must not hold up all that waits behind it.
        Err(error) if error.recourse() == Recourse::Reject => {
            error!(%error, key = %record.key, "a spooled record could not be quarantined and is lost");
            Ok(())
        }
        result => result.map(drop),
    }
}

impl Waiting {
    fn new(topic: Topic, record: Record) -> Self {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let (value, base64) = match std::str::from_utf8(&record.value) {
            Ok(text) => (text.to_owned(), false),
            Err(_) => (STANDARD.encode(&record.value), true),
        };
        Self { topic: topic.suffix().to_owned(), key: record.key, headers: record.headers, value, base64 }
    }

    fn topic(&self) -> Topic {
        Topic::ALL.into_iter().find(|topic| topic.suffix() == self.topic).unwrap_or(Topic::Quarantine)
    }

    fn into_record(self) -> Record {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let value = match self.base64 {
            true => STANDARD.decode(&self.value).unwrap_or_default(),
            false => self.value.into_bytes(),
        };
        Record { key: self.key, headers: self.headers, value: value.into() }
    }
}

#[cfg(test)]
mod tests;
