//! The catalog: deploys, annotations, incidents, silences, what was told to whom and how far consumers are, in SQLite.
//!
//! One connection writes, a few read; in SQLite's WAL mode none of them waits for the other. Everything here can be
//! rebuilt from the bus, except silences, deliveries and checkpoints.

mod annotations;
mod deliveries;
mod deploys;
mod incidents;
mod lineage;
mod migrate;
mod page;
mod silences;

use std::{
    cell::RefCell,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

pub use annotations::AnnotationQuery;
pub use deliveries::Claim;
pub use deploys::{Applied, DeployQuery};
pub use incidents::IncidentQuery;
pub use lineage::Predecessor;
pub use page::{MAX_PAGE, Page};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, config::DbConfig};
pub use silences::{MAX_SILENCES, SilenceQuery};

use crate::error::{IoContext, StoreError};

/// Connections that read. Queries take milliseconds; more of them would only share the same two disks' heads.
const N_READERS: usize = 4;
/// How long a statement waits for another process, such as a backup, to let go of the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// What the writer keeps of the file in memory at most, in KiB: the inner pages of every index of a million deploys, and
/// what a batch of a rebuild touches, which is every leaf of the ids. SQLite's own 2 MB would read them again for each
/// batch, and write some several times.
const WRITER_CACHE_KIB: i64 = 128 * 1024;
/// How many pages the write-ahead log grows to before it is moved into the file: 128 MiB, so that leaves that several
/// batches of a rebuild touch are written there once.
const CHECKPOINT_PAGES: i64 = 32_768;
/// Statements that stay prepared for each connection; there are fewer kinds.
const STATEMENTS: usize = 64;

/// Deploys and incidents at rest. Cheap to clone; all clones are one catalog.
///
/// Every method is blocking: writes wait for an fsync, reads take well under 10 ms. Call them through `spawn_blocking`.
#[derive(Clone)]
pub struct Catalog {
    shared: Arc<Shared>,
}

struct Shared {
    writer: Mutex<Writer>,
    readers: Vec<Mutex<Connection>>,
    next_reader: AtomicUsize,
}

struct Writer {
    connection: Connection,
    /// As of the last batch; empty while one is under way, so that one that fails leaves nothing behind.
    recent: lineage::Recent,
}

/// A transaction that is under way: what it reads is what it has written so far.
pub struct Batch<'t> {
    transaction: &'t Transaction<'t>,
    recent: &'t RefCell<lineage::Recent>,
}

impl Catalog {
    /// Opens `catalog.sqlite` in a directory, made if missing, and brings its tables up to date.
    ///
    /// # Errors
    /// [`StoreError::Newer`] when a later release has written it, [`StoreError::Catalog`] when SQLite cannot use it.
    pub fn open(dir: &Path) -> Result<Catalog, StoreError> {
        std::fs::create_dir_all(dir).context("create", dir)?;
        let path = dir.join("catalog.sqlite");
        let mut writer = Connection::open(&path).during("open the file")?;
        configure(&writer).during("configure the writer")?;
        migrate::migrate(&mut writer)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open_reader = |_| {
            let reader = Connection::open_with_flags(&path, flags)?;
            reader.busy_timeout(BUSY_TIMEOUT)?;
            keep_plans(&reader)?;
            Ok(Mutex::new(reader))
        };
        let readers = (0..N_READERS).map(open_reader).collect::<Result<_, _>>().during("open a reader")?;
        let writer = Mutex::new(Writer { connection: writer, recent: lineage::Recent::default() });
        let shared = Shared { writer, readers, next_reader: AtomicUsize::new(0) };
        Ok(Catalog { shared: Arc::new(shared) })
    }

    /// Does some work in one transaction and with one fsync: all of it happens, or nothing when it fails.
    ///
    /// # Errors
    /// The work's own; [`StoreError::Catalog`].
    pub fn batch<T>(&self, work: impl FnOnce(&Batch<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut writer = self.writer();
        let recent = RefCell::new(std::mem::take(&mut writer.recent));
        let transact = |transaction: &Transaction<'_>| work(&Batch { transaction, recent: &recent });
        let outcome = transact_on(&mut writer.connection, "apply a batch", transact)?;
        writer.recent = recent.into_inner();
        Ok(outcome)
    }

    /// Runs one transaction: all of it happens or nothing. A panic or error inside rolls it back.
    fn write<T>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        transact_on(&mut self.writer().connection, action, work)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that nobody uses just now, else the next in turn.
    fn reader(&self) -> MutexGuard<'_, Connection> {
        let readers = &self.shared.readers;
        let start = self.shared.next_reader.fetch_add(1, Ordering::Relaxed);
        for offset in 0..readers.len() {
            match readers[(start + offset) % readers.len()].try_lock() {
                Ok(reader) => return reader,
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        readers[start % readers.len()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn transact_on<T>(
    connection: &mut Connection,
    action: &'static str,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).during(action)?;
    let outcome = work(&transaction)?;
    transaction.commit().during(action)?;
    Ok(outcome)
}

/// Makes a statement keep its plan whatever is bound to it. Without this SQLite prepares `LIMIT ?`, and what compares a
/// column that no index leads to with a parameter, anew for each value: several times the cost of finding a row.
fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

fn configure(writer: &Connection) -> rusqlite::Result<()> {
    writer.busy_timeout(BUSY_TIMEOUT)?;
    keep_plans(writer)?;
    writer.pragma_update(None, "journal_mode", "WAL")?;
    writer.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    writer.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    // In WAL mode only FULL syncs at each commit, and offsets on the bus move on after a commit.
    writer.pragma_update(None, "synchronous", "FULL")
}

/// Says what was being done when SQLite said no.
trait During<T> {
    fn during(self, action: &'static str) -> Result<T, StoreError>;
}

impl<T> During<T> for rusqlite::Result<T> {
    fn during(self, action: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Catalog { action, source })
    }
}

/// The word that serde writes for a variant without fields, as in `rolled_back`.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => unreachable!("a variant without fields is written as a word, not {other:?}"),
    }
}

fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("texts, numbers and lists of them are JSON")
}

fn from_json<T: serde::de::DeserializeOwned>(what: &str, body: &str) -> Result<T, StoreError> {
    serde_json::from_str(body).map_err(|source| StoreError::CatalogRow { what: what.to_owned(), source })
}

#[cfg(test)]
mod tests;
