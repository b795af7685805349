//! Dotted parts of names, each text once: a million names share a few thousand of them.

use std::{collections::HashMap, sync::Arc};

/// The number of a part. Given again once no name has the part any more.
pub(crate) type PartId = u32;

/// Every part in use, with how many places use it.
#[derive(Default)]
pub(crate) struct Parts {
    by_text: HashMap<Arc<str>, PartId, foldhash::fast::RandomState>,
    texts: Vec<(Arc<str>, u32)>,
    free: Vec<PartId>,
}

impl Parts {
    pub fn lookup(&self, text: &str) -> Option<PartId> {
        self.by_text.get(text).copied()
    }

    pub fn text(&self, id: PartId) -> &Arc<str> {
        &self.texts[id as usize].0
    }

    /// A bound on the numbers: all that were given are below.
    pub fn bound(&self) -> usize {
        self.texts.len()
    }

    /// The number of a part, which is used in one more place from now on.
    pub fn take(&mut self, text: &str) -> PartId {
        if let Some(id) = self.lookup(text) {
            self.texts[id as usize].1 += 1;
            return id;
        }
        let entry = (Arc::<str>::from(text), 1);
        let key = entry.0.clone();
        let id = match self.free.pop() {
            Some(id) => {
                self.texts[id as usize] = entry;
                id
            }
            None => {
                self.texts.push(entry);
                // Fewer than the bytes of all names, which are fewer than 2^32 names.
                (self.texts.len() - 1) as PartId
            }
        };
        self.by_text.insert(key, id);
        id
    }

    /// Says that one place less uses the part.
    pub fn release(&mut self, id: PartId) {
        let (text, n_uses) = &mut self.texts[id as usize];
        *n_uses -= 1;
        if *n_uses == 0 {
            self.by_text.remove(text);
            self.free.push(id);
        }
    }
}
