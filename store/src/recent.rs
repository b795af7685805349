//! What was used of late, up to a bound.

use std::{collections::HashMap, hash::Hash};

/// Values by key, of which those go first that nobody has asked for longest.
///
/// Two halves stand in for an exact order of use: what is asked for moves to the young half, and when that is full it
/// becomes the old one, which goes. Either costs one look-up, and no list is kept.
pub(crate) struct Recent<K, V> {
    /// The weight of a full half.
    half: usize,
    young: HashMap<K, (V, usize), foldhash::fast::RandomState>,
    old: HashMap<K, (V, usize), foldhash::fast::RandomState>,
    /// What the values of the young half weigh.
    weight: usize,
}

impl<K: Hash + Eq, V: Clone> Recent<K, V> {
    /// Keeps values of at most `most` in all.
    pub fn new(most: usize) -> Self {
        Self { half: most / 2, young: HashMap::default(), old: HashMap::default(), weight: 0 }
    }

    pub fn get(&mut self, key: &K) -> Option<V> {
        if let Some((value, _)) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, (value, weight)) = self.old.remove_entry(key)?;
        self.put(key, value.clone(), weight);
        Some(value)
    }

    /// Keeps a value. One that is heavier than a half is not kept.
    pub fn put(&mut self, key: K, value: V, weight: usize) {
        if weight > self.half {
            return;
        }
        if self.weight + weight > self.half {
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
        let before = self.young.insert(key, (value, weight));
        self.weight = self.weight + weight - before.map_or(0, |(_, weight)| weight);
    }

    pub fn remove(&mut self, key: &K) {
        self.old.remove(key);
        if let Some((_, weight)) = self.young.remove(key) {
            self.weight -= weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_the_weight_stays_bounded() {
        let mut recent = Recent::new(20);
        for key in 0..1000u32 {
            recent.put(key, key, 1);
            assert_eq!(recent.get(&0), Some(0), "asked for after every other");
            assert!(recent.young.len() + recent.old.len() <= 20);
        }
        assert_eq!((recent.get(&999), recent.get(&500)), (Some(999), None));
    }

    #[test]
    fn a_value_that_replaces_another_weighs_once_and_one_too_heavy_is_not_kept() {
        let mut recent = Recent::new(20);
        for round in 0..100 {
            recent.put("a", round, 5);
        }
        recent.put("b", 1, 5);
        assert_eq!((recent.get(&"a"), recent.get(&"b")), (Some(99), Some(1)));
        recent.put("c", 1, 11);
        assert_eq!(recent.get(&"c"), None);
    }
}
