//! Which deliveries came lately.

use std::{
    collections::{HashSet, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
};

/// Deliveries that are remembered, about 1.5 MB of them.
const MAX_REMEMBERED: usize = 65_536;

/// Deliveries that were taken, by a keyed hash of the source, its own name of the delivery, and the body: the same again
/// is a repetition, or somebody who replays what he has overheard.
#[derive(Debug, Default)]
pub(super) struct Recent {
    keys: RandomState,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    known: HashSet<u64>,
    /// In order of arrival.
    order: VecDeque<u64>,
}

impl Recent {
    /// What a delivery is remembered by.
    pub(super) fn key(&self, source: &str, delivery_id: &str, body: &[u8]) -> u64 {
        self.keys.hash_one((source, delivery_id, body))
    }

    /// Whether it was taken before.
    pub(super) fn knows(&self, key: u64) -> bool {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).known.contains(&key)
    }

    /// Remembers that it was taken, and forgets the oldest in its place.
    pub(super) fn remember(&self, key: u64) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if !taken.known.insert(key) {
            return;
        }
        taken.order.push_back(key);
        if taken.order.len() > MAX_REMEMBERED
            && let Some(oldest) = taken.order.pop_front()
        {
            taken.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_deliveries_are_known_and_the_oldest_forgotten() {
        let recent = Recent::default();
        let key = |n: usize| recent.key("github", &n.to_string(), b"{}");
        (0..=MAX_REMEMBERED).for_each(|n| recent.remember(key(n)));
        assert!(!recent.knows(key(0)) && recent.knows(key(1)) && recent.knows(key(MAX_REMEMBERED)));
        assert_ne!(recent.key("github", "1", b"{}"), recent.key("github", "1", b"[]"));
        assert_ne!(recent.key("github", "1", b"{}"), recent.key("gitlab", "1", b"{}"));
    }
}
