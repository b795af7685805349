//! What reads of blocks keep for the next read: open files with their directories, records, and decoded pages.

use std::{
    fs::File,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::index::{Directory, Record};
use crate::{
    point::{Columns, SeriesId},
    recent::Recent,
};

/// The weight of an open block at least: a bound on open files as well.
const LEAST_OPEN_BYTES: usize = 256 << 10;

/// A block by sequence and generation, which no two blocks of a store share.
pub(super) type BlockKey = (u64, u32);

/// A block's files, open, with its directory.
pub(super) struct Opened {
    pub directory: Directory,
    pub index: File,
    pub points: File,
}

type Kept<K, V> = Mutex<Recent<K, Arc<V>>>;

/// Kept by the store for all its blocks. A block never changes, so that nothing here is ever out of date.
pub(crate) struct Cache {
    opened: Kept<BlockKey, Opened>,
    records: Kept<(BlockKey, SeriesId), [Record]>,
    pages: Kept<(BlockKey, u32), Columns>,
}

/// A lock whose holder panicked is taken all the same: the worst that is missing is a cached value.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cache {
    /// Takes up to `most_bytes`: half of it decoded pages, a quarter directories, a quarter records.
    pub fn new(most_bytes: usize) -> Self {
        Self {
            opened: Mutex::new(Recent::new(most_bytes / 4)),
            records: Mutex::new(Recent::new(most_bytes / 4)),
            pages: Mutex::new(Recent::new(most_bytes / 2)),
        }
    }

    pub(super) fn opened(&self, block: BlockKey) -> Option<Arc<Opened>> {
        lock(&self.opened).get(&block)
    }

    pub(super) fn keep_opened(&self, block: BlockKey, opened: &Arc<Opened>) {
        let weight = opened.directory.size().max(LEAST_OPEN_BYTES);
        lock(&self.opened).put(block, opened.clone(), weight);
    }

    /// Closes the files of a block that goes: open ones would hold their room on disk.
    pub(super) fn close(&self, block: BlockKey) {
        lock(&self.opened).remove(&block);
    }

    pub(super) fn records(&self, block: BlockKey, series: SeriesId) -> Option<Arc<[Record]>> {
        lock(&self.records).get(&(block, series))
    }

    pub(super) fn keep_records(&self, block: BlockKey, series: SeriesId, records: &Arc<[Record]>) {
        // With what the allocator and the map add.
        let of_record = |record: &Record| size_of::<Record>() + 16 + size_of_val(&record.places[..]);
        let weight = 128 + records.iter().map(of_record).sum::<usize>();
        lock(&self.records).put((block, series), records.clone(), weight);
    }

    /// A decoded page by its number in the block.
    pub(super) fn page(&self, block: BlockKey, page: u32) -> Option<Arc<Columns>> {
        lock(&self.pages).get(&(block, page))
    }

    pub(super) fn keep_page(&self, block: BlockKey, page: u32, columns: &Arc<Columns>) {
        lock(&self.pages).put((block, page), columns.clone(), 160 + 16 * columns.len());
    }
}
