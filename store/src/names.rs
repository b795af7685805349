//! The names of all series: their numbers, the index behind globs, and the log that keeps them.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    hash::BuildHasher,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use tracing::warn;

use crate::{
    bits::{read_varint, write_varint},
    error::{IoContext, StoreError},
    frame,
    glob::matches_dotted,
    level::Level,
    point::SeriesId,
    retention::{NO_RULE, Policy, RuleId},
    tags::TagIndex,
    texts::{Span, Texts},
    trie::Trie,
};

/// All names in memory, by number, by text and by dotted part. A name of 35 bytes takes about 70 in all.
#[derive(Default)]
pub(crate) struct Names {
    texts: Texts,
    /// Bytes of `texts` whose names are forgotten.
    n_dead_bytes: usize,
    /// Numbers by the hash of their text.
    by_name: HashTable<u32>,
    hasher: RandomState,
    /// Forgotten numbers leave a hole: a number is never given twice.
    by_id: Vec<Span>,
    /// Which rule each number's name is kept by, apart from the names: every datapoint asks for it.
    rules: Vec<RuleId>,
    policy: Arc<Policy>,
    trie: Trie,
    /// Tagged names stand apart: a glob over dotted parts does not see them unless it has tags itself.
    tagged: BTreeMap<Arc<str>, SeriesId>,
    tags: TagIndex,
}

impl Names {
    pub fn new(policy: Arc<Policy>) -> Self {
        Self { policy, ..Self::default() }
    }

    /// The rule that a series is kept by. `None` for a number that is not known.
    pub fn rule(&self, id: SeriesId) -> Option<RuleId> {
        self.rules.get(id.0 as usize).copied().filter(|rule| *rule != NO_RULE)
    }

    /// How many names are known.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// The number that the next new name gets.
    pub fn next_id(&self) -> u32 {
        self.by_id.len() as u32
    }

    pub fn lookup(&self, name: &str) -> Option<SeriesId> {
        let is_it = |id: &u32| self.texts.get(self.by_id[*id as usize]) == name;
        self.by_name.find(self.hasher.hash_one(name), is_it).copied().map(SeriesId)
    }

    pub fn name(&self, id: SeriesId) -> Option<&str> {
        let span = self.by_id.get(id.0 as usize).filter(|span| **span != Span::NONE)?;
        Some(self.texts.get(*span))
    }

    pub fn add(&mut self, name: &str) -> SeriesId {
        let id = SeriesId(self.next_id());
        self.restore(id, name);
        id
    }

    /// Takes in a name under the number that it had.
    pub fn restore(&mut self, id: SeriesId, name: &str) {
        self.skip_to(id.0.saturating_add(1));
        self.by_id[id.0 as usize] = self.texts.push(name);
        self.rules[id.0 as usize] = self.policy.rule_of(name);
        self.list(id.0);
        if name.contains(';') {
            self.tags.insert(name, id);
            self.tagged.insert(name.into(), id);
        } else {
            self.trie.insert(name, id);
        }
    }

    /// Has the text of a number be found. The last of two numbers with one text counts, which damage alone brings about.
    fn list(&mut self, id: u32) {
        let Self { texts, by_name, hasher, by_id, .. } = self;
        let text = |id: u32| texts.get(by_id[id as usize]);
        let hash = |id: &u32| hasher.hash_one(text(*id));
        let name = text(id);
        match by_name.entry(hash(&id), |other| text(*other) == name, hash) {
            hashbrown::hash_table::Entry::Occupied(mut known) => *known.get_mut() = id,
            hashbrown::hash_table::Entry::Vacant(place) => drop(place.insert(id)),
        }
    }

    /// Makes `next_id` the least number that a new name can get.
    pub fn skip_to(&mut self, next_id: u32) {
        if self.by_id.len() < next_id as usize {
            self.by_id.resize(next_id as usize, Span::NONE);
            self.rules.resize(next_id as usize, NO_RULE);
        }
    }

    /// Forgets names for good.
    pub fn forget_all(&mut self, ids: &[SeriesId]) {
        ids.iter().for_each(|id| self.forget(*id));
        // In one pass: a list of series is cut once, however many go.
        let mut tags = std::mem::take(&mut self.tags);
        tags.retain(|id| self.name(id).is_some());
        self.tags = tags;
        if self.n_dead_bytes > self.texts.n_bytes() / 2 {
            self.compact();
        }
    }

    fn forget(&mut self, id: SeriesId) {
        let Some(name) = self.name(id).map(str::to_owned) else { return };
        if let Ok(known) = self.by_name.find_entry(self.hasher.hash_one(&*name), |other| *other == id.0) {
            known.remove();
        }
        self.by_id[id.0 as usize] = Span::NONE;
        self.rules[id.0 as usize] = NO_RULE;
        self.n_dead_bytes += name.len();
        self.tagged.remove(&*name);
        if !name.contains(';') {
            self.trie.remove(&name);
        }
    }

    /// Writes the texts that are left anew, one behind the other.
    fn compact(&mut self) {
        let before = std::mem::take(&mut self.texts);
        for span in self.by_id.iter_mut().filter(|span| **span != Span::NONE) {
            *span = self.texts.push(before.get(*span));
        }
        self.n_dead_bytes = 0;
    }

    /// Every known number with its name, in order of numbers.
    pub fn iter(&self) -> impl Iterator<Item = (SeriesId, &str)> {
        (0..self.by_id.len() as u32).filter_map(|id| Some((SeriesId(id), self.name(SeriesId(id))?)))
    }

    pub fn matching(&self, pattern: &str) -> Vec<(SeriesId, Arc<str>)> {
        let mut found = Vec::new();
        if pattern.contains(';') {
            let matches = self.tagged.iter().filter(|(name, _)| matches_dotted(pattern, name));
            found.extend(matches.map(|(name, id)| (*id, name.clone())));
        } else {
            self.trie.matching(pattern, |id| found.extend(self.name(id).map(|name| (id, name.into()))));
        }
        found
    }

    pub fn tags(&self) -> &TagIndex {
        &self.tags
    }

    pub fn find(&self, pattern: &str) -> Level {
        self.trie.find(pattern)
    }
}

const MAGIC: &[u8; 8] = b"DLNAMES1";
/// A frame of names: number and text each.
const NAMES: u8 = 0;
/// A frame that holds the least number still free.
const NEXT_ID: u8 = 1;

/// The file that keeps names. Written before the write-ahead log, so that no durable datapoint lacks its name.
pub(crate) struct NameLog {
    path: PathBuf,
    file: File,
    length: u64,
}

impl NameLog {
    /// Opens the log and reads every name that it kept. A torn tail is cut; damage is copied aside, told and skipped.
    ///
    /// Returns the number of damaged stretches as well.
    pub fn open(path: &Path, aside: &Path, policy: Arc<Policy>) -> Result<(Self, Names, usize), StoreError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(StoreError::Io { action: "read", path: path.to_owned(), source }),
        };
        let mut names = Names::new(policy);
        let scan = frame::scan(&bytes, MAGIC.len());
        for payload in &scan.payloads {
            restore(&bytes[payload.clone()], &mut names);
        }
        let damaged = scan.damaged.len();
        if damaged > 0 {
            fs::create_dir_all(aside).context("create", aside)?;
            let copy = aside.join("names.log");
            fs::write(&copy, &bytes).context("write", &copy)?;
            warn!(path = %path.display(), copy = %copy.display(), damaged, "names are damaged: set aside, the rest is served");
        }
        if damaged > 0 || scan.torn_at.is_some() || bytes.is_empty() {
            let log = Self::rewrite(path, &names)?;
            return Ok((log, names, damaged));
        }
        let file = OpenOptions::new().append(true).open(path).context("open", path)?;
        Ok((Self { path: path.to_owned(), file, length: bytes.len() as u64 }, names, damaged))
    }

    /// Replaces the log by one that holds these names, at once or not at all.
    pub fn rewrite(path: &Path, names: &Names) -> Result<Self, StoreError> {
        let mut bytes = MAGIC.to_vec();
        frame::push(&mut bytes, |bytes| {
            bytes.push(NEXT_ID);
            write_varint(bytes, u64::from(names.next_id()));
        });
        let mut entries = Vec::new();
        for (id, name) in names.iter() {
            write_entry(&mut entries, id, name);
            // Many frames, so that damage costs few names.
            if entries.len() > 64 << 10 {
                push_entries(&mut bytes, &entries);
                entries.clear();
            }
        }
        push_entries(&mut bytes, &entries);
        let temporary = path.with_extension("tmp");
        let mut file = File::create(&temporary).context("create", &temporary)?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).context("write", &temporary)?;
        fs::rename(&temporary, path).context("rename", &temporary)?;
        let dir = path.parent().unwrap_or(Path::new("."));
        frame::sync_dir(dir).context("sync", dir)?;
        let file = OpenOptions::new().append(true).open(path).context("open", path)?;
        Ok(Self { path: path.to_owned(), file, length: bytes.len() as u64 })
    }

    /// Makes entries durable. On failure the file is as it was, and the entries are the caller's to bring again.
    pub fn append(&mut self, entries: &[u8]) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(entries.len() + frame::HEADER_BYTES + 1);
        push_entries(&mut bytes, entries);
        let written = self.file.write_all(&bytes).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => self.length += bytes.len() as u64,
            // What is left of a half-written frame is cut; should that fail too, a reader skips it.
            Err(_) => drop(self.file.set_len(self.length)),
        }
        written.context("write", &self.path)
    }
}

/// Adds one name to a buffer that [`NameLog::append`] takes.
pub(crate) fn write_entry(entries: &mut Vec<u8>, id: SeriesId, name: &str) {
    write_varint(entries, u64::from(id.0));
    write_varint(entries, name.len() as u64);
    entries.extend_from_slice(name.as_bytes());
}

fn push_entries(bytes: &mut Vec<u8>, entries: &[u8]) {
    if !entries.is_empty() {
        frame::push(bytes, |bytes| {
            bytes.push(NAMES);
            bytes.extend_from_slice(entries);
        });
    }
}

/// Reads one frame. Its checksum was right, so a payload that ends early is another version's; what is known is taken.
fn restore(payload: &[u8], names: &mut Names) -> Option<()> {
    let (kind, mut rest) = payload.split_first()?;
    match *kind {
        NEXT_ID => names.skip_to(u32::try_from(read_varint(&mut rest)?).ok()?),
        NAMES => {
            while !rest.is_empty() {
                let id = u32::try_from(read_varint(&mut rest)?).ok()?;
                let length = usize::try_from(read_varint(&mut rest)?).ok()?;
                let (name, after) = rest.split_at_checked(length)?;
                names.restore(SeriesId(id), std::str::from_utf8(name).ok()?);
                rest = after;
            }
        }
        _ => {}
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_text_and_number_and_forgotten_by_both() {
        let mut names = Names::default();
        let text = |i: u32| format!("a.{}.series{i}", i % 7);
        let ids: Vec<SeriesId> = (0..5000).map(|i| names.add(&text(i))).collect();
        let (gone, kept): (Vec<SeriesId>, Vec<SeriesId>) = ids.iter().partition(|id| id.0 % 3 != 0);
        names.forget_all(&gone);
        assert_eq!(names.n_dead_bytes, 0, "two thirds are dead, so the texts are written anew");
        assert!(kept.iter().all(|id| names.name(*id) == Some(&*text(id.0)) && names.lookup(&text(id.0)) == Some(*id)));
        assert!(gone.iter().all(|id| names.name(*id).is_none() && names.lookup(&text(id.0)).is_none()));
        assert_eq!((names.len(), names.iter().count()), (kept.len(), kept.len()));
        assert_eq!(names.add("a.1.series1"), SeriesId(5000), "a number is never given twice");
        assert_eq!(names.lookup("a.1.series1"), Some(SeriesId(5000)));
    }
}
