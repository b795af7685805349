//! The projector: what is on the bus, applied to the catalog.
//!
//! It reads deploys and incidents as the consumer group `catalog`, applies a batch in one transaction of each, tells
//! whoever listens what changed, and only then moves the group's offsets. A crash in between applies a batch again,
//! which changes nothing. The catalog can be rebuilt from the topics: delete it and the group's offsets.

mod decode;
mod rollback;

use std::{sync::Arc, time::Duration};

use deployline_bus::{Bus, BusError, Delivered, Recourse, Subscription};
use deployline_schemas::{Deploy, Incident, topic::Topic};
use deployline_store::{Catalog, StoreError, catalog::Applied};
use tokio::{sync::broadcast, task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use self::decode::Decoded;

/// The consumer group.
pub const GROUP: &str = "catalog";
/// Most records that are applied in one transaction.
const BATCH_RECORDS: usize = 500;
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
        let mut subscription = retry("subscribe", || bus.subscribe(GROUP, &[Topic::Deploys, Topic::Incidents])).await?;
        loop {
            let batch = next_batch(&mut subscription).await?;
            let decoded = decode::decode(&batch);
            if !decoded.refused.is_empty() {
                retry("quarantine", || bus.publish(Topic::Quarantine, decoded.refused.clone())).await?;
            }
            for change in apply(&catalog, decoded).await {
                // Nobody listening is fine: the catalog itself is what counts.
                let _ = changes.send(change);
            }
            commit(&mut subscription, &batch).await?;
            debug!(n_records = batch.len(), "applied a batch to the catalog");
        }
    };
    tokio::select! {
        // Between two awaits nothing is half done: a batch is applied in one transaction and committed after it.
        () = stop.cancelled() => Ok(()),
        result = work => result,
    }
}

async fn next_batch(subscription: &mut Subscription) -> Result<Vec<Delivered>, BusError> {
    let mut pause = Pause::new();
    loop {
        match subscription.next_batch(BATCH_RECORDS).await {
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
async fn apply(catalog: &Catalog, decoded: Decoded) -> Vec<Change> {
    let decoded = Arc::new(decoded);
    let mut pause = Pause::new();
    loop {
        let (catalog, decoded) = (catalog.clone(), Arc::clone(&decoded));
        match spawn_blocking(move || apply_now(&catalog, &decoded)).await {
            Ok(Ok(changes)) => return changes,
            Ok(Err(error)) => pause.wait("apply", &error).await,
            Err(error) => pause.wait("apply", &error).await,
        }
    }
}

fn apply_now(catalog: &Catalog, decoded: &Decoded) -> Result<Vec<Change>, StoreError> {
    let mut changes = Vec::new();
    for applied in catalog.apply_deploys(&decoded.deploys)? {
        let (deploy, is_new) = match applied {
            Applied::New(deploy) => (deploy, true),
            Applied::Changed(deploy) => (deploy, false),
            Applied::Same => continue,
        };
        let deploy = Arc::new(rollback::recognised(catalog, deploy)?);
        changes.push(Change::Deploy { deploy, is_new });
    }
    let newer = catalog.apply_incidents(&decoded.incidents)?;
    let incidents = decoded.incidents.iter().zip(newer).filter(|(_, is_newer)| *is_newer);
    changes.extend(incidents.map(|(incident, _)| Change::Incident(Arc::new(incident.clone()))));
    Ok(changes)
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
