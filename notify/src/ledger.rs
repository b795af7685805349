//! What was told to whom, kept in the catalog so that a restart tells nobody twice.
//!
//! A delivery is one revision of one incident on its way to one channel. Before each attempt the ledger notes durably
//! that it begins; after it, what came of it. Whoever finds an attempt begun and without an end after a crash knows
//! that the message may have arrived.

use deployline_store::{Catalog, StoreError, catalog::Claim};

use crate::alert::Told;

/// One message to one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The incident.
    pub incident_id: String,
    /// Its revision.
    pub revision: u32,
    /// What is told.
    pub told: Told,
    /// The channel's name.
    pub channel: String,
}

impl Delivery {
    /// Names the delivery for ever; also its `Idempotency-Key`.
    pub fn key(&self) -> String {
        format!("{}/{}/{}", self.incident_id, self.revision, self.channel)
    }

    fn attempts_key(&self) -> String {
        format!("notify/attempt/{}", self.key())
    }

    /// The last thing that this channel was told of this incident.
    fn told_key(&self) -> String {
        format!("notify/told/{}/{}", self.incident_id, self.channel)
    }

    fn word(&self) -> &'static str {
        match self.told {
            Told::Regressed => "regressed",
            Told::Recovered => "recovered",
        }
    }
}

/// Where a delivery stands before the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is left to do.
    Settled,
    /// To be sent; so many attempts were refused before.
    Open {
        /// How many.
        n_attempts: u32,
    },
    /// An attempt began and never ended: it may have arrived.
    Unknown {
        /// Its number, from 1.
        attempt: u32,
    },
}

/// What a delivery came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// The receiver took it.
    Delivered,
    /// It may have arrived, and is not repeated.
    Unknown,
    /// It was given up; the dead letter says why.
    Dead,
    /// It would have said what the channel knows, or taken back what it was never told.
    Superfluous,
}

/// The ledger. Every method blocks for an fsync or a read.
#[derive(Clone)]
pub struct Ledger(Catalog);

impl Ledger {
    /// A ledger in the catalog.
    pub fn new(catalog: Catalog) -> Self {
        Self(catalog)
    }

    /// Notes the intent and says where the delivery stands.
    ///
    /// A channel is told each change of what there is to tell once: a later revision that says the same again is
    /// settled at once, and so is the end of something that the channel never heard of.
    ///
    /// # Errors
    /// When the catalog fails; then nothing is noted.
    pub fn open(&self, delivery: &Delivery) -> Result<Standing, StoreError> {
        if self.0.claim(&delivery.key())? == Claim::AlreadySettled {
            return Ok(Standing::Settled);
        }
        let attempt = self.0.checkpoint(&delivery.attempts_key())?;
        let standing = match attempt.as_deref().and_then(|text| text.split_once(' ')) {
            Some((number, "started")) => Standing::Unknown { attempt: number.parse().unwrap_or(1) },
            Some((number, _)) => Standing::Open { n_attempts: number.parse().unwrap_or(0) },
            None => Standing::Open { n_attempts: 0 },
        };
        if standing == (Standing::Open { n_attempts: 0 }) && self.is_superfluous(delivery)? {
            self.settle(delivery, &Settlement::Superfluous)?;
            return Ok(Standing::Settled);
        }
        Ok(standing)
    }

    fn is_superfluous(&self, delivery: &Delivery) -> Result<bool, StoreError> {
        let last = self.0.checkpoint(&delivery.told_key())?;
        Ok(match (last.as_deref(), delivery.told) {
            (None, Told::Recovered) => true,
            (last, _) => last == Some(delivery.word()),
        })
    }

    /// Notes that an attempt begins; called before anything is sent.
    ///
    /// # Errors
    /// When the catalog fails; then nothing may be sent.
    pub fn start(&self, delivery: &Delivery, attempt: u32) -> Result<(), StoreError> {
        self.0.set_checkpoint(&delivery.attempts_key(), &format!("{attempt} started"))
    }

    /// Notes that an attempt was surely not taken.
    ///
    /// # Errors
    /// When the catalog fails; the attempt then counts as unknown after a crash.
    pub fn refused(&self, delivery: &Delivery, attempt: u32) -> Result<(), StoreError> {
        self.0.set_checkpoint(&delivery.attempts_key(), &format!("{attempt} refused"))
    }

    /// Notes the end of a delivery.
    ///
    /// # Errors
    /// When the catalog fails.
    pub fn settle(&self, delivery: &Delivery, settlement: &Settlement) -> Result<(), StoreError> {
        let outcome = match settlement {
            Settlement::Delivered => "delivered",
            Settlement::Unknown => "unknown",
            Settlement::Dead => "dead",
            Settlement::Superfluous => "superfluous",
        };
        if matches!(settlement, Settlement::Delivered | Settlement::Unknown) {
            self.0.set_checkpoint(&delivery.told_key(), delivery.word())?;
        }
        self.0.settle(&delivery.key(), outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> (tempfile::TempDir, Ledger) {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(Catalog::open(dir.path()).unwrap());
        (dir, ledger)
    }

    fn delivery(revision: u32, told: Told) -> Delivery {
        Delivery { incident_id: "inc-1".to_owned(), revision, told, channel: "push".to_owned() }
    }

    #[test]
    fn a_started_attempt_is_unknown_until_it_ends() {
        let (dir, ledger) = ledger();
        let first = delivery(1, Told::Regressed);
        assert_eq!(ledger.open(&first).unwrap(), Standing::Open { n_attempts: 0 });
        ledger.start(&first, 1).unwrap();
        drop(ledger);
        let ledger = Ledger::new(Catalog::open(dir.path()).unwrap());
        assert_eq!(ledger.open(&first).unwrap(), Standing::Unknown { attempt: 1 });
        ledger.refused(&first, 1).unwrap();
        assert_eq!(ledger.open(&first).unwrap(), Standing::Open { n_attempts: 1 });
        ledger.settle(&first, &Settlement::Delivered).unwrap();
        assert_eq!(ledger.open(&first).unwrap(), Standing::Settled);
    }

    #[test]
    fn a_channel_is_told_each_change_once() {
        let (_dir, ledger) = ledger();
        let tell = |revision, told| {
            let delivery = delivery(revision, told);
            let standing = ledger.open(&delivery).unwrap();
            if standing != Standing::Settled {
                ledger.settle(&delivery, &Settlement::Delivered).unwrap();
            }
            standing != Standing::Settled
        };
        assert!(!tell(1, Told::Recovered), "nothing to take back");
        assert!(tell(2, Told::Regressed));
        assert!(!tell(3, Told::Regressed), "the same again");
        assert!(tell(4, Told::Recovered));
        assert!(tell(5, Told::Regressed), "it is back");
    }
}
