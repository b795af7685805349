//! The projector: what is on the bus, applied to the catalog.
//!
//! It reads deploys and incidents as the consumer group [`GROUP`], applies a batch in one transaction of each, tells
//! whoever listens what changed, and only then moves the group's offsets. The next batch is read and decoded meanwhile, and
//! grows with what comes, so that the further behind the catalog is, the less each record costs. A crash in between
//! applies a batch again, which changes nothing but what the crash left undone.
//!
//! The catalog can be rebuilt from the topics: delete its file. A catalog that does not say that it follows the bus is
//! new, and [`prepare`] sends the group back to the earliest records for it.

mod decode;
mod rollback;

use std::{pin::pin, sync::Arc, time::Duration};

use deployline_bus::{Bus, BusError, Delivered, Recourse, Subscription};
use deployline_schemas::{Deploy, Incident, topic::Topic};
use deployline_store::{
    Catalog, StoreError,
    catalog::{Applied, Batch},
};
use tokio::{
    sync::broadcast,
    task::{block_in_place, spawn_blocking},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// The consumer group.
pub use deployline_schemas::topic::CATALOG_GROUP as GROUP;

use self::decode::Decoded;

/// Most records of one read of the bus.
const READ_RECORDS: usize = 5000;
/// What is applied in one transaction at most, unless the last read goes past it: behind a long log the syncs of a batch,
/// and the pages of the indexes that all its deploys touch, are then paid for once. A listener waits about a second.
const BATCH_RECORDS: usize = 20_000;
const BATCH_BYTES: usize = 32 << 20;
/// When so many records come in a batch, hooks pour in and share the processors and the disk with the catalog. No batch is
/// then begun sooner than [`GATHER`] after the one before: so much later at most is a deploy in the catalog, and the
/// hooks' own syncs are disturbed ten times a second at most.
const BUSY_RECORDS: usize = 100;
const GATHER: Duration = Duration::from_millis(100);
/// The catalog's checkpoint that says that the group's offsets speak of this catalog.
const FOLLOWS: &str = "projector/follows";
/// The first and the longest wait after something failed that may pass.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Something in the catalog is new or different.
#[derive(Debug, Clone)]
pub enum Change {
    /// A deploy, as it is now.
    Deploy {
        /// All that is known of it.
        deploy: Arc<Deploy>,
        /// Whether it was not known before.
        is_new: bool,
    },
    /// An incident's newest revision.
    Incident(Arc<Incident>),
}

/// Why a catalog could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The bus could not be asked.
    #[error("the catalog's place on the bus cannot be looked up")]
    Bus(#[from] BusError),
    /// The catalog could not be asked.
    #[error("the catalog cannot be read")]
    Store(#[from] StoreError),
}

/// Makes a new catalog begin at the earliest records, though the group has been further for another one. To be called
/// before anybody asks how far the group is; [`run`] calls it too, for a bus that is away now.
///
/// # Errors
/// See [`PrepareError`]; what is not done yet is done by the next call.
pub async fn prepare(bus: &Bus, catalog: &Catalog) -> Result<(), PrepareError> {
    let of_bus = {
        let catalog = catalog.clone();
        move || catalog.checkpoint(FOLLOWS)
    };
    if spawn_blocking(of_bus).await.ok().transpose()?.flatten().is_some() {
        return Ok(());
    }
    bus.forget(GROUP).await?;
    let catalog = catalog.clone();
    spawn_blocking(move || catalog.set_checkpoint(FOLLOWS, "from the earliest record")).await.ok().transpose()?;
    Ok(())
}

/// Why the projector had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ProjectorError {
    /// The bus is closed, or cannot be used until someone acts.
    #[error("the catalog can no longer follow the bus")]
    Bus(#[from] BusError),
}

/// Follows the bus until `stop`, or until the bus is beyond repair. What may pass is tried again, with five seconds
/// between two tries at most; nothing is left out because of it.
///
/// `changes` needs no listener. A record that cannot be understood goes to quarantine and is passed over.
///
/// # Errors
/// [`ProjectorError::Bus`] when trying again does not help. A stop is no error.
pub async fn run(
    bus: Bus,
    catalog: Catalog,
    changes: broadcast::Sender<Change>,
    stop: CancellationToken,
) -> Result<(), ProjectorError> {
    let work = async {
        let mut pause = Pause::new();
        while let Err(error) = prepare(&bus, &catalog).await {
            match error {
                PrepareError::Bus(error) if !error.is_retryable() => return Err(error.into()),
                error => pause.wait("prepare", &error).await,
            }
        }
        let mut subscription = retry("subscribe", || bus.subscribe(GROUP, &[Topic::Deploys, Topic::Incidents])).await?;
        let mut waiting = Read::default();
        loop {
            if waiting.batch.is_empty() {
                waiting.extend(next_batch(&mut subscription).await?);
            }
            let Read { batch, decoded, .. } = std::mem::take(&mut waiting);
            if !decoded.refused.is_empty() {
                retry("quarantine", || bus.publish(Topic::Quarantine, decoded.refused.clone())).await?;
            }
            let started = Instant::now();
            let applying = apply(&catalog, decoded.into());
            let changed = read_during(&mut subscription, &mut waiting, applying).await?;
            for change in changed {
                // Nobody listening is fine: the catalog itself is what counts.
                let _ = changes.send(change);
            }
            commit(&mut subscription, &batch).await?;
            debug!(n_records = batch.len(), "applied a batch to the catalog");
            if batch.len() >= BUSY_RECORDS {
                read_during(&mut subscription, &mut waiting, sleep_until(started + GATHER)).await?;
            }
        }
    };
    tokio::select! {
        // Between two awaits nothing is half done: a batch is applied in one transaction and committed after it.
        () = stop.cancelled() => Ok(()),
        result = work => result,
    }
}

/// A batch as it came and as it is understood.
#[derive(Default)]
struct Read {
    batch: Vec<Delivered>,
    size_bytes: usize,
    decoded: Decoded,
}

impl Read {
    /// Adds what came next; to decode a full read takes tens of milliseconds.
    fn extend(&mut self, batch: Vec<Delivered>) {
        self.decoded.extend(block_in_place(|| decode::decode(&batch)));
        self.size_bytes += batch.iter().map(|delivered| delivered.record.size_bytes()).sum::<usize>();
        self.batch.extend(batch);
    }

    fn has_room(&self) -> bool {
        self.batch.len() < BATCH_RECORDS && self.size_bytes < BATCH_BYTES
    }
}

/// Reads on, as far as there is room, until something else is done.
async fn read_during<T>(
    subscription: &mut Subscription,
    waiting: &mut Read,
    work: impl Future<Output = T>,
) -> Result<T, BusError> {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            next = next_batch(subscription), if waiting.has_room() => waiting.extend(next?),
        }
    }
}

async fn next_batch(subscription: &mut Subscription) -> Result<Vec<Delivered>, BusError> {
    let mut pause = Pause::new();
    loop {
        match subscription.next_batch(READ_RECORDS).await {
            Err(error) if error.recourse() != Recourse::Stop => pause.wait("read", &error).await,
            result => return result,
        }
    }
}

async fn commit(subscription: &mut Subscription, batch: &[Delivered]) -> Result<(), BusError> {
    match subscription.commit(batch).await {
        // The next commit covers it; until then a restart applies the batch again.
        Err(error) if error.recourse() != Recourse::Stop => {
            warn!(%error, n_records = batch.len(), "offsets could not be committed, going on");
            Ok(())
        }
        result => result,
    }
}

/// Applies a batch, however long the catalog needs to take it, and returns what changed.
///
/// Each step is one transaction and tried again by itself: one that failed must not find the step before it done
/// already, and so report that nothing changed.
async fn apply(catalog: &Catalog, decoded: Arc<Decoded>) -> Vec<Change> {
    let mut changes = {
        let decoded = Arc::clone(&decoded);
        persist(catalog, move |catalog| catalog.batch(|batch| apply_deploys(batch, &decoded.deploys))).await
    };
    if !decoded.annotations.is_empty() {
        let decoded = Arc::clone(&decoded);
        persist(catalog, move |catalog| catalog.apply_annotations(&decoded.annotations)).await;
    }
    let newer = {
        let decoded = Arc::clone(&decoded);
        persist(catalog, move |catalog| catalog.apply_incidents(&decoded.incidents)).await
    };
    let incidents = decoded.incidents.iter().zip(newer).filter(|(_, is_newer)| *is_newer);
    changes.extend(incidents.map(|(incident, _)| Change::Incident(Arc::new(incident.clone()))));
    changes
}

/// Applies deploys, marks the rollbacks among them, and returns those that changed.
fn apply_deploys(batch: &Batch<'_>, deploys: &[Deploy]) -> Result<Vec<Change>, StoreError> {
    let mut changes = Vec::new();
    for event in deploys {
        let (deploy, is_new) = match batch.apply_deploy(event)? {
            Applied::New(deploy) => (rollback::recognised(batch, deploy)?, true),
            Applied::Changed(deploy) => (rollback::recognised(batch, deploy)?, false),
            // What it returns to may have come after it.
            Applied::Same => match batch.deploy(&event.id)? {
                Some(known) => match rollback::recognised(batch, known.clone())? {
                    deploy if deploy == known => continue,
                    deploy => (deploy, false),
                },
                None => continue,
            },
        };
        changes.push(Change::Deploy { deploy: Arc::new(deploy), is_new });
    }
    Ok(changes)
}

/// Does some work on the catalog, however often it must be tried.
async fn persist<T: Send + 'static>(
    catalog: &Catalog,
    work: impl Fn(&Catalog) -> Result<T, StoreError> + Send + Sync + 'static,
) -> T {
    let work = Arc::new(work);
    let mut pause = Pause::new();
    loop {
        let (catalog, work) = (catalog.clone(), Arc::clone(&work));
        match spawn_blocking(move || work(&catalog)).await {
            Ok(Ok(done)) => return done,
            Ok(Err(error)) => pause.wait("apply", &error).await,
            Err(error) => pause.wait("apply", &error).await,
        }
    }
}

/// Asks until it passes, or until it never will.
async fn retry<T, F: Future<Output = Result<T, BusError>>>(
    action: &'static str,
    mut ask: impl FnMut() -> F,
) -> Result<T, BusError> {
    let mut pause = Pause::new();
    loop {
        match ask().await {
            Err(error) if error.is_retryable() => pause.wait(action, &error).await,
            result => return result,
        }
    }
}

/// Waits that double from [`BACKOFF`]'s first to its last.
struct Pause(Duration);

impl Pause {
    fn new() -> Self {
        Self(BACKOFF.0)
    }

    async fn wait(&mut self, action: &'static str, error: &(dyn std::error::Error + Sync)) {
        warn!(%error, action, pause_ms = self.0.as_millis() as u64, "the projector tries again");
        sleep(self.0).await;
        self.0 = (self.0 * 2).min(BACKOFF.1);
    }
}

#[cfg(test)]
mod tests;
