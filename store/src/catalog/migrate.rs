//! Brings the tables up to date, one numbered step after the other, never back.

use rusqlite::Connection;

use super::During;
use crate::error::StoreError;

/// Every step there ever was, in order; a merged one never changes.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_add_deploys.sql"),
    include_str!("migrations/0002_add_incidents.sql"),
    include_str!("migrations/0003_add_deliveries_and_checkpoints.sql"),
    include_str!("migrations/0004_index_deploys_by_kind.sql"),
    include_str!("migrations/0005_add_silences.sql"),
    include_str!("migrations/0006_index_persisting_incidents.sql"),
    include_str!("migrations/0007_add_annotations.sql"),
];

/// Runs the steps that a database has not seen, each in a transaction with the note that it was run.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let version = |connection: &Connection| {
        connection.query_row("PRAGMA user_version", [], |row| row.get::<_, u32>(0)).map(|version| version as usize)
    };
    let found = version(connection).during("read the version")?;
    if found > MIGRATIONS.len() {
        return Err(StoreError::Newer { found, known: MIGRATIONS.len() });
    }
    for (number, migration) in (1..).zip(MIGRATIONS).skip(found) {
        let transaction = connection.transaction().during("migrate")?;
        transaction.execute_batch(migration).during("migrate")?;
        transaction.pragma_update(None, "user_version", number).during("migrate")?;
        transaction.commit().during("migrate")?;
    }
    Ok(())
}
