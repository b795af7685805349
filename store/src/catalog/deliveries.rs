//! What was told to whom, and how far consumers are.

use rusqlite::OptionalExtension;

use super::{Catalog, During};
use crate::error::StoreError;

/// Whether a message is still to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It is the caller's to send, and to settle after.
    Claimed,
    /// It was sent, or given up, and settled.
    AlreadySettled,
}

impl Catalog {
    /// Asks whether the message that `key` names is still to be sent, and notes the claim.
    ///
    /// A claim that was never settled, as after a crash while sending, is given again: a message that may or may not
    /// have arrived is sent once more rather than never. One sender at a time is the caller's to see to.
    ///
    /// # Errors
    /// [`StoreError::Catalog`]; then nothing was claimed.
    pub fn claim(&self, key: &str) -> Result<Claim, StoreError> {
        const ADD: &str = "INSERT INTO deliveries (key) VALUES (?1) ON CONFLICT DO NOTHING";
        const SETTLED: &str = "SELECT outcome IS NOT NULL FROM deliveries WHERE key = ?1";
        self.write("claim a delivery", |transaction| {
            transaction.execute(ADD, [key]).during("claim a delivery")?;
            let is_settled = transaction.query_row(SETTLED, [key], |row| row.get(0)).during("claim a delivery")?;
            Ok(if is_settled { Claim::AlreadySettled } else { Claim::Claimed })
        })
    }

    /// Notes what became of a message, in a word or sentence of the sender's. The first outcome stays.
    ///
    /// # Errors
    /// [`StoreError::Catalog`]; then the message is not settled.
    pub fn settle(&self, key: &str, outcome: &str) -> Result<(), StoreError> {
        const SETTLE: &str = "INSERT INTO deliveries (key, outcome) VALUES (?1, ?2)
            ON CONFLICT (key) DO UPDATE SET outcome = ?2 WHERE outcome IS NULL";
        self.write("settle a delivery", |transaction| {
            transaction.execute(SETTLE, [key, outcome]).during("settle a delivery").map(drop)
        })
    }

    /// What became of a message; `None` while it is not settled.
    ///
    /// # Errors
    /// [`StoreError::Catalog`].
    pub fn outcome(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.text("SELECT outcome FROM deliveries WHERE key = ?1", key)
    }

    /// What [`Catalog::set_checkpoint`] last noted under a key.
    ///
    /// # Errors
    /// [`StoreError::Catalog`].
    pub fn checkpoint(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.text("SELECT value FROM checkpoints WHERE key = ?1", key)
    }

    /// Notes a text under a key, durably.
    ///
    /// # Errors
    /// [`StoreError::Catalog`]; then the key has its former value.
    pub fn set_checkpoint(&self, key: &str, value: &str) -> Result<(), StoreError> {
        const SET: &str =
            "INSERT INTO checkpoints (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2";
        self.write("set a checkpoint", |transaction| {
            transaction.execute(SET, [key, value]).during("set a checkpoint").map(drop)
        })
    }

    fn text(&self, sql: &str, key: &str) -> Result<Option<String>, StoreError> {
        let reader = self.reader();
        let mut statement = reader.prepare_cached(sql).during("read a text")?;
        let found = statement.query_row([key], |row| row.get(0)).optional().during("read a text")?;
        Ok(found.flatten())
    }
}
