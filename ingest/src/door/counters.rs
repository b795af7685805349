//! What went through the door, for metrics.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use super::{DoorError, Receipt};

/// Counts by source. The sources are those that are configured, so there are few.
#[derive(Debug, Default)]
pub struct Counters(Mutex<BTreeMap<String, Tally>>);

/// The counts of one source since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests that were accepted with at least one deploy.
    pub accepted: u64,
    /// The deploys in them.
    pub deploys: u64,
    /// Requests that were understood and are no deploys.
    pub ignored: u64,
    /// Requests that were refused, by code.
    pub refused: BTreeMap<&'static str, u64>,
    /// Requests that could not be taken for now: the sender was asked to try again.
    pub unavailable: u64,
    /// Requests that went to the spool.
    pub spooled: u64,
    /// Bodies that went to quarantine.
    pub quarantined: u64,
}

impl Counters {
    /// The counts by source. What named no source stands under the empty name.
    pub fn snapshot(&self) -> BTreeMap<String, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn count(&self, source: &str, result: &Result<Receipt, DoorError>) {
        self.with(source, |tally| match result {
            Ok(receipt) if receipt.ignored.is_some() => tally.ignored += 1,
            Ok(receipt) => {
                tally.accepted += 1;
                tally.deploys += receipt.deploys.len() as u64;
                tally.spooled += u64::from(receipt.spooled);
            }
            Err(error) if error.is_retryable() => tally.unavailable += 1,
            Err(error) => *tally.refused.entry(error.code()).or_default() += 1,
        });
    }

    pub(super) fn count_unknown(&self) {
        self.with("", |tally| *tally.refused.entry("unknown_source").or_default() += 1);
    }

    pub(super) fn count_quarantined(&self, source: &str) {
        self.with(source, |tally| tally.quarantined += 1);
    }

    fn with(&self, source: &str, change: impl FnOnce(&mut Tally)) {
        let mut tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match tallies.get_mut(source) {
            Some(tally) => change(tally),
            None => change(tallies.entry(source.to_owned()).or_default()),
        }
    }
}
