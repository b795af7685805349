//! The database: its shape, and every statement that touches it.

use std::path::Path;

use bytes::Bytes;
use deployline_schemas::{time::UnixMillis, topic::Topic};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::writer::Heads;
use crate::{
    error::BusError,
    record::{Delivered, Position, Record},
    subscription::MAX_BATCH_BYTES,
};

/// Numbered from 1, forward only, never changed once released. `PRAGMA user_version` holds the last one applied.
const MIGRATIONS: [&str; 1] = [include_str!("../../migrations/0001_create_log.sql")];

/// Statements that stay prepared; there are fewer kinds.
const STATEMENTS: usize = 32;

/// Readers never wait for the writer in WAL mode; this covers the moments of a checkpoint's restart and recovery.
const BUSY_TIMEOUT_MS: i64 = 5000;

/// The writer's connection.
pub(super) struct Log(Connection);

impl Log {
    /// Opens the database, creates it if need be, and brings it up to date.
    pub(super) fn open(path: &Path) -> Result<Self, BusError> {
        let failed = |error| failure("open the log", error);
        let mut connection = Connection::open(path).map_err(failed)?;
        // FULL syncs the WAL at every commit: the promise of `publish`. NORMAL would lose the last commits with the power.
        let settings =
            format!("PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;");
        connection.execute_batch(&settings).map_err(failed)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        migrate(&mut connection, path)?;
        Ok(Self(connection))
    }

    /// The offset that the next record of each topic gets.
    pub(super) fn heads(&self) -> Result<Heads, BusError> {
        let mut heads = Heads::default();
        for topic in Topic::ALL {
            let sql = "SELECT seq + 1 FROM sqlite_sequence WHERE name = ?";
            let next = self.0.query_row(sql, [topic.suffix()], |row| row.get(0)).optional();
            heads[topic as usize] = next.map_err(|error| failure("open the log", error))?.unwrap_or(0);
        }
        Ok(heads)
    }

    /// Lets the file grow to so many pages, as a disk of that size would.
    #[cfg(test)]
    pub(super) fn limit_pages(&self, n_pages: u32) {
        self.0.pragma_update(None, "max_page_count", n_pages).unwrap();
    }

    pub(super) fn begin(&mut self) -> rusqlite::Result<Transaction<'_>> {
        self.0.transaction_with_behavior(TransactionBehavior::Immediate)
    }

    /// Moves the WAL's contents into the database, so that a copy of the file alone is the whole log.
    pub(super) fn checkpoint(&self) -> Result<(), BusError> {
        self.0
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(|error| failure("close the log", error))
    }
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), BusError> {
    let failed = |error| failure("migrate the log", error);
    let known = MIGRATIONS.len() as i64;
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
    if found > known {
        return Err(BusError::Newer { path: path.to_owned(), found, known });
    }
    for (version, migration) in (1..).zip(MIGRATIONS).filter(|(version, _)| *version > found) {
        let transaction = connection.transaction().map_err(failed)?;
        transaction.execute_batch(migration).map_err(failed)?;
        transaction.pragma_update(None, "user_version", version).map_err(failed)?;
        transaction.commit().map_err(failed)?;
    }
    Ok(())
}

/// A connection that only reads, beside the writer's.
pub(super) fn reader(path: &Path) -> Result<Connection, BusError> {
    let failed = |error| failure("open the log", error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.execute_batch(&format!("PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")).map_err(failed)?;
    Ok(connection)
}

/// How many records one statement writes. Its fixed cost, and that of noting the highest offset given out, is then
/// shared: of the 7.7 us that a record took in a transaction of 100, a third is gone.
const ROWS: usize = 16;

/// Records on their way into a topic's table, a statement's worth at a time. [`Rows::write`] writes the rest.
pub(super) struct Rows<'t> {
    transaction: &'t Transaction<'t>,
    appended_at: UnixMillis,
    topic: Topic,
    waiting: Vec<(i64, &'t Record)>,
}

impl<'t> Rows<'t> {
    pub(super) fn new(transaction: &'t Transaction<'t>, appended_at: UnixMillis) -> Self {
        Self { transaction, appended_at, topic: Topic::Deploys, waiting: Vec::with_capacity(ROWS) }
    }

    /// Takes a record for `offset`. Offsets of one topic ascend.
    pub(super) fn push(&mut self, topic: Topic, offset: i64, record: &'t Record) -> rusqlite::Result<()> {
        if topic != self.topic {
            self.write()?;
            self.topic = topic;
        }
        self.waiting.push((offset, record));
        if self.waiting.len() == ROWS { self.write() } else { Ok(()) }
    }

    pub(super) fn write(&mut self) -> rusqlite::Result<()> {
        // Two statements are prepared for each topic: of all rows, and of one.
        if self.waiting.len() == ROWS {
            insert(self.transaction, self.topic, self.appended_at, &self.waiting)?;
        } else {
            for one in self.waiting.chunks(1) {
                insert(self.transaction, self.topic, self.appended_at, one)?;
            }
        }
        self.waiting.clear();
        Ok(())
    }
}

/// Writes records at their offsets with one statement.
fn insert(
    transaction: &Transaction<'_>,
    topic: Topic,
    appended_at: UnixMillis,
    records: &[(i64, &Record)],
) -> rusqlite::Result<()> {
    // The table's name is one of four constants, never input.
    let sql = format!(
        "INSERT INTO {} (log_offset, appended_at_ms, record_key, headers, value) VALUES (?, ?, ?, ?, ?){}",
        topic.suffix(),
        ", (?, ?, ?, ?, ?)".repeat(records.len() - 1)
    );
    let mut statement = transaction.prepare_cached(&sql)?;
    for (row, (offset, record)) in records.iter().enumerate() {
        let headers = serde_json::to_string(&record.headers)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        let first = row * 5 + 1;
        statement.raw_bind_parameter(first, offset)?;
        statement.raw_bind_parameter(first + 1, appended_at.0)?;
        statement.raw_bind_parameter(first + 2, &record.key)?;
        statement.raw_bind_parameter(first + 3, headers)?;
        statement.raw_bind_parameter(first + 4, &record.value[..])?;
    }
    statement.raw_execute().map(drop)
}

/// Moves a group's offset forward; never back.
pub(super) fn commit(transaction: &Transaction<'_>, group: &str, topic: Topic, next: i64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO group_offsets (group_name, topic, next_offset) VALUES (?, ?, ?)
               ON CONFLICT DO UPDATE SET next_offset = max(next_offset, excluded.next_offset)";
    transaction.prepare_cached(sql)?.execute(params![group, topic.suffix(), next]).map(drop)
}

/// Removes a group's offsets.
pub(super) fn forget(transaction: &Transaction<'_>, group: &str) -> rusqlite::Result<()> {
    transaction.prepare_cached("DELETE FROM group_offsets WHERE group_name = ?")?.execute([group]).map(drop)
}

/// Removes what is older than `before` among the oldest `max` records, and returns how many that were.
pub(super) fn prune(
    transaction: &Transaction<'_>,
    topic: Topic,
    before: UnixMillis,
    max: u64,
) -> rusqlite::Result<u64> {
    let table = topic.suffix();
    // Only from the start: everything below the first record that is young enough to stay.
    let sql = format!(
        "WITH oldest AS (SELECT log_offset, appended_at_ms FROM {table} ORDER BY log_offset LIMIT ?1)
         DELETE FROM {table} WHERE log_offset <= (SELECT max(log_offset) FROM oldest) AND log_offset <
             coalesce((SELECT min(log_offset) FROM oldest WHERE appended_at_ms >= ?2), 9223372036854775807)"
    );
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    transaction.prepare_cached(&sql)?.execute(params![max, before.0]).map(|n| n as u64)
}

/// The offset of the oldest record that is kept.
pub(super) fn first(reader: &Connection, topic: Topic) -> Result<Option<i64>, BusError> {
    let sql = format!("SELECT min(log_offset) FROM {}", topic.suffix());
    let first = reader.prepare_cached(&sql).and_then(|mut query| query.query_row([], |row| row.get(0)));
    first.map_err(|error| failure("read the log", error))
}

/// Where a group resumes: 0 when it has committed nothing.
pub(super) fn committed(reader: &Connection, group: &str, topic: Topic) -> Result<i64, BusError> {
    let sql = "SELECT next_offset FROM group_offsets WHERE group_name = ? AND topic = ?";
    let found = reader
        .prepare_cached(sql)
        .and_then(|mut query| query.query_row([group, topic.suffix()], |row| row.get(0)).optional());
    Ok(found.map_err(|error| failure("read the log", error))?.unwrap_or(0))
}

/// Up to `max` records from `from` on, and no more once they reach [`MAX_BATCH_BYTES`].
pub(super) fn read(reader: &Connection, topic: Topic, from: i64, max: usize) -> Result<Vec<Delivered>, BusError> {
    select(reader, topic, from, max).map_err(|error| failure("read the log", error))
}

fn select(reader: &Connection, topic: Topic, from: i64, max: usize) -> rusqlite::Result<Vec<Delivered>> {
    let sql = format!(
        "SELECT log_offset, appended_at_ms, record_key, headers, value FROM {}
         WHERE log_offset >= ? ORDER BY log_offset LIMIT ?",
        topic.suffix()
    );
    let mut query = reader.prepare_cached(&sql)?;
    let mut rows = query.query(params![from, i64::try_from(max).unwrap_or(i64::MAX)])?;
    let (mut batch, mut size_bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let delivered = delivered(topic, row)?;
        size_bytes += delivered.record.size_bytes();
        batch.push(delivered);
        if size_bytes >= MAX_BATCH_BYTES {
            break;
        }
    }
    Ok(batch)
}

fn delivered(topic: Topic, row: &Row<'_>) -> rusqlite::Result<Delivered> {
    let headers = serde_json::from_str(row.get_ref(3)?.as_str()?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(3, rusqlite::types::Type::Text, Box::new(error)))?;
    let value = Bytes::from(row.get::<_, Vec<u8>>(4)?);
    Ok(Delivered {
        topic,
        position: Position { partition: 0, offset: row.get(0)? },
        appended_at: UnixMillis(row.get(1)?),
        record: Record { key: row.get(2)?, headers, value },
    })
}

/// Sorts the database's errors: a full or failing disk may recover, a damaged or foreign file will not.
pub(super) fn failure(doing: &'static str, error: rusqlite::Error) -> BusError {
    let may_pass = matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::OutOfMemory
                | ErrorCode::OperationInterrupted
        )
    );
    if may_pass { BusError::unavailable(doing, error) } else { BusError::broken(doing, error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, Path::new("memory")).unwrap();
        connection
    }

    fn fill(connection: &mut Connection, appended_at_ms: &[i64]) {
        let transaction = connection.transaction().unwrap();
        for (offset, millis) in (0..).zip(appended_at_ms) {
            let record = Record::new("k", "v");
            let mut rows = Rows::new(&transaction, UnixMillis(*millis));
            rows.push(Topic::Deploys, offset, &record).unwrap();
            rows.write().unwrap();
        }
        transaction.commit().unwrap();
    }

    fn prune_before(connection: &mut Connection, before: i64, max: u64) -> u64 {
        let transaction = connection.transaction().unwrap();
        let n = prune(&transaction, Topic::Deploys, UnixMillis(before), max).unwrap();
        transaction.commit().unwrap();
        n
    }

    #[test]
    fn pruning_takes_the_old_start_and_stops_at_the_first_young_record() {
        let mut connection = memory();
        // The clock stepped back before the fourth record: it stays, behind a younger one.
        fill(&mut connection, &[10, 20, 30, 15]);
        assert_eq!(prune_before(&mut connection, 25, 100), 2);
        assert_eq!(first(&connection, Topic::Deploys).unwrap(), Some(2));
        assert_eq!(prune_before(&mut connection, 25, 100), 0);
        assert_eq!(prune_before(&mut connection, 99, 1), 1);
        assert_eq!(prune_before(&mut connection, 99, 100), 1);
        assert_eq!(first(&connection, Topic::Deploys).unwrap(), None);
    }

    #[test]
    fn pruning_everything_does_not_give_offsets_out_again() {
        let mut connection = memory();
        fill(&mut connection, &[10, 20, 30]);
        assert_eq!(prune_before(&mut connection, 99, 100), 3);
        assert_eq!(Log(connection).heads().unwrap()[Topic::Deploys as usize], 3);
    }

    #[test]
    fn a_log_of_a_newer_release_is_refused() {
        let mut connection = memory();
        connection.pragma_update(None, "user_version", 99).unwrap();
        let error = migrate(&mut connection, Path::new("bus.sqlite")).unwrap_err().to_string();
        assert_eq!(error, "the log in `bus.sqlite` is of version 99; this release reads up to 1");
    }

    #[test]
    fn a_file_that_is_no_database_is_broken_not_unavailable() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bus.sqlite");
        std::fs::write(&path, "no database, though as long as a header of one would be: 100 bytes ".repeat(9)).unwrap();
        let error = Log::open(&path).err().unwrap();
        assert_eq!(error.recourse(), crate::Recourse::Stop, "{error:?}");
    }
}
