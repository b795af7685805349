//! The names that sources have said they have, under numbers of their own.

use std::{collections::HashMap, sync::Arc};

use crate::point::SeriesId;

/// Numbers of series that only sources have begin here; a store would have to know two billion names to reach it.
const FIRST: u32 = 1 << 31;

/// Foreign names by number and text, with the sources that have them, as bits.
#[derive(Default)]
pub(super) struct ForeignNames {
    by_name: HashMap<Arc<str>, (SeriesId, u64)>,
    by_number: Vec<Arc<str>>,
    /// Names of each source.
    counts: Vec<usize>,
}

impl ForeignNames {
    /// Notes that a source has a series; false if it is one too many.
    pub fn add(&mut self, name: &str, source: usize, max: usize) -> bool {
        if self.counts.len() <= source {
            self.counts.resize(source + 1, 0);
        }
        let bit = 1 << source;
        if let Some((_, sources)) = self.by_name.get_mut(name) {
            if *sources & bit == 0 {
                if self.counts[source] >= max {
                    return false;
                }
                self.counts[source] += 1;
                *sources |= bit;
            }
            return true;
        }
        if self.counts[source] >= max {
            return false;
        }
        self.counts[source] += 1;
        let name: Arc<str> = name.into();
        self.by_name.insert(Arc::clone(&name), (SeriesId(FIRST + self.by_number.len() as u32), bit));
        self.by_number.push(name);
        true
    }

    /// The number of a name.
    pub fn lookup(&self, name: &str) -> Option<SeriesId> {
        self.by_name.get(name).map(|(series, _)| *series)
    }

    /// The name of a number.
    pub fn name(&self, series: SeriesId) -> Option<&Arc<str>> {
        self.by_number.get(series.0.checked_sub(FIRST)? as usize)
    }

    /// The sources that have a name, as bits.
    pub fn sources_of(&self, name: &str) -> u64 {
        self.by_name.get(name).map_or(0, |(_, sources)| *sources)
    }

    /// How many names a source has.
    pub fn count(&self, source: usize) -> usize {
        self.counts.get(source).copied().unwrap_or(0)
    }
}
