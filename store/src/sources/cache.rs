//! Answers kept for a while, in bounded memory.

use std::{
    borrow::Borrow,
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Values by key, each for a while. Past the bound the oldest go first: all of one cache are equally short-lived.
pub(super) struct Cache<K, V> {
    fresh: Duration,
    max_bytes: usize,
    kept: Mutex<Kept<K, V>>,
}

struct Kept<K, V> {
    values: HashMap<K, (Instant, usize, V)>,
    order: VecDeque<(Instant, K)>,
    n_bytes: usize,
}

impl<K: Clone + Eq + Hash, V: Clone> Cache<K, V> {
    pub fn new(fresh: Duration, max_bytes: usize) -> Self {
        let kept = Kept { values: HashMap::new(), order: VecDeque::new(), n_bytes: 0 };
        Self { fresh, max_bytes, kept: Mutex::new(kept) }
    }

    /// A value that is still fresh.
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.values.get(key).filter(|(since, ..)| since.elapsed() < self.fresh).map(|(.., value)| value.clone())
    }

    /// Keeps a value that takes about so many bytes.
    pub fn put(&self, key: K, value: V, n_bytes: usize) {
        let now = Instant::now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Kept { values, order, n_bytes: total } = &mut *kept;
        if let Some((_, before, _)) = values.insert(key.clone(), (now, n_bytes, value)) {
            *total -= before;
        }
        *total += n_bytes;
        order.push_back((now, key));
        while let Some((since, _)) = order.front()
            && (*total > self.max_bytes || since.elapsed() >= self.fresh)
        {
            let Some((since, key)) = order.pop_front() else { break };
            // A key that was put again stands further back as well.
            if values.get(&key).is_some_and(|(newest, ..)| *newest == since)
                && let Some((_, n_bytes, _)) = values.remove(&key)
            {
                *total -= n_bytes;
            }
        }
    }

    /// Bytes kept.
    pub fn n_bytes(&self) -> usize {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).n_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first_and_nothing_is_kept_past_its_time() {
        let cache = Cache::new(Duration::from_secs(60), 100);
        (0..20).for_each(|n| cache.put(n, n, 10));
        assert_eq!((cache.get(&9), cache.get(&10), cache.n_bytes()), (None, Some(10), 100));
        cache.put(10, 7, 20);
        assert_eq!((cache.get(&10), cache.get(&11), cache.n_bytes()), (Some(7), None, 100));
        cache.put(99, 99, 1000);
        assert_eq!((cache.get(&99), cache.n_bytes()), (None, 0));
        let stale = Cache::new(Duration::ZERO, 100);
        stale.put(1, 1, 10);
        assert_eq!(stale.get(&1), None);
    }
}
