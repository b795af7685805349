//! Names as sent to slots: a known name costs one hash and one comparison, and allocates nothing.

use std::hash::{BuildHasher, Hasher};

use hashbrown::{DefaultHashBuilder, HashTable};

use super::{name::NameError, parse::Key};

/// Why a name got no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InternError {
    /// The name can not be used.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The name is new and there are as many as the configuration allows.
    #[error("as many names are known as the configuration allows")]
    Full,
}

/// The names of one kind of metric, each with a slot: a small number that is reused once the name is forgotten.
///
/// Several ways to send a name (other order of tags, characters that are sanitised away) lead to one slot. The hash is seeded by chance, so that
/// senders can not make names collide on purpose.
#[derive(Debug, Default)]
pub(crate) struct Names {
    entries: HashTable<Entry>,
    hash: DefaultHashBuilder,
    n_slots: u32,
    free: Vec<u32>,
    /// Entries that are other ways to write a name.
    n_aliases: usize,
}

#[derive(Debug)]
struct Entry {
    /// As sent; name and tags with [`SEPARATOR`] between them where there are tags.
    text: Box<[u8]>,
    slot: u32,
    alias: bool,
}

/// Between name and tags. A line break, which neither of them holds.
const SEPARATOR: u8 = b'\n';

impl Names {
    /// The slot of a name, if it was seen in this form.
    #[inline]
    pub(crate) fn slot(&self, key: Key<'_>) -> Option<u32> {
        self.entries.find(self.hash(key), |entry| entry.is(key)).map(|entry| entry.slot)
    }

    /// How many names have a slot.
    pub(crate) fn len(&self) -> usize {
        self.n_slots as usize - self.free.len()
    }

    /// One more than the highest slot ever given.
    pub(crate) fn n_slots(&self) -> usize {
        self.n_slots as usize
    }

    /// Gives a slot to a name that [`Names::slot`] did not find: the one of another way to write it, or a new one if there are fewer than `max`.
    /// Calls `created` with the new slot and the canonical name.
    #[cold]
    pub(crate) fn intern(
        &mut self,
        key: Key<'_>,
        max: usize,
        created: impl FnOnce(u32, &str),
    ) -> Result<u32, InternError> {
        let canonical = super::name::canonical(key)?;
        let canonical_key = Key { name: canonical.as_bytes(), tags: &[] };
        let slot = match self.slot(canonical_key) {
            Some(slot) => slot,
            None if self.len() >= max => return Err(InternError::Full),
            None => {
                let slot = self.free.pop().unwrap_or_else(|| {
                    self.n_slots += 1;
                    self.n_slots - 1
                });
                self.insert(canonical_key, slot, false);
                created(slot, &canonical);
                slot
            }
        };
        // Without room for its alias a name still counts, at the price of being sanitised each time.
        if key != canonical_key && self.n_aliases < max {
            self.insert(key, slot, true);
        }
        Ok(slot)
    }

    /// The canonical names with their slots, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        let canonical = self.entries.iter().filter(|entry| !entry.alias);
        canonical.map(|entry| (entry.slot, std::str::from_utf8(&entry.text).unwrap_or_default()))
    }

    /// Forgets the names whose slots `dead` says and gives their slots to new names.
    pub(crate) fn forget(&mut self, dead: impl Fn(u32) -> bool) {
        let (free, n_aliases) = (&mut self.free, &mut self.n_aliases);
        self.entries.retain(|entry| {
            let keep = !dead(entry.slot);
            if !keep && entry.alias {
                *n_aliases -= 1;
            } else if !keep {
                free.push(entry.slot);
            }
            keep
        });
    }

    fn insert(&mut self, key: Key<'_>, slot: u32, alias: bool) {
        let text = match key.tags {
            [] => key.name.into(),
            tags => [key.name, &[SEPARATOR], tags].concat().into_boxed_slice(),
        };
        self.n_aliases += usize::from(alias);
        let hash = &self.hash;
        self.entries.insert_unique(self.hash(key), Entry { text, slot, alias }, |entry| entry.hash(hash));
    }

    #[inline]
    fn hash(&self, key: Key<'_>) -> u64 {
        hash(&self.hash, key)
    }
}

#[inline]
fn hash(build: &DefaultHashBuilder, key: Key<'_>) -> u64 {
    let mut hasher = build.build_hasher();
    hasher.write(key.name);
    if !key.tags.is_empty() {
        hasher.write(key.tags);
    }
    hasher.finish()
}

impl Entry {
    #[inline]
    fn is(&self, key: Key<'_>) -> bool {
        if key.tags.is_empty() {
            return *self.text == *key.name;
        }
        let separator = key.name.len();
        self.text.len() == separator + 1 + key.tags.len()
            && self.text[separator] == SEPARATOR
            && self.text[..separator] == *key.name
            && self.text[separator + 1..] == *key.tags
    }

    fn hash(&self, build: &DefaultHashBuilder) -> u64 {
        let (name, tags) = match memchr::memchr(SEPARATOR, &self.text) {
            Some(at) => (&self.text[..at], &self.text[at + 1..]),
            None => (&*self.text, &[][..]),
        };
        hash(build, Key { name, tags })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key<'a>(name: &'a str, tags: &'a str) -> Key<'a> {
        Key { name: name.as_bytes(), tags: tags.as_bytes() }
    }

    #[test]
    fn ways_to_write_a_name_share_its_slot() {
        let mut names = Names::default();
        let mut created = Vec::new();
        for (name, tags) in [("a", "x:1,y:2"), ("a", "y:2,x:1"), ("a;y=2;x=1", ""), ("a,x=1,y=2", ""), ("b", "")] {
            let slot = names.intern(key(name, tags), 10, |_, name| created.push(name.to_owned())).unwrap();
            assert_eq!(names.slot(key(name, tags)), Some(slot));
        }
        assert_eq!(created, ["a;x=1;y=2", "b"]);
        assert_eq!(names.len(), 2);
    }

    #[test]
    fn a_flood_of_names_is_refused_and_known_ones_go_on() {
        let mut names = Names::default();
        for n in 0..10_000 {
            let outcome = names.intern(key(&format!("n{n}"), ""), 100, |_, _| ());
            assert_eq!(outcome.is_ok(), n < 100);
        }
        assert_eq!(names.slot(key("n7", "")), Some(7));
    }

    #[test]
    fn forgotten_slots_are_given_again() {
        let mut names = Names::default();
        for name in ["a", "b", "b b", "c"] {
            names.intern(key(name, ""), 4, |_, _| ()).unwrap();
        }
        names.forget(|slot| slot == 1);
        assert_eq!((names.len(), names.slot(key("b", ""))), (3, None));
        assert_eq!(names.intern(key("d", ""), 4, |_, _| ()), Ok(1));
        assert_eq!(names.slot(key("b b", "")), Some(2));
    }
}
