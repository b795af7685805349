//! The store's upkeep: heads become blocks, blocks are merged by day, old ones go.

use std::sync::{Arc, Mutex, PoisonError};

use deployline_schemas::time::UnixMillis;
use tracing::{debug, warn};

use super::{Heads, Layout, Store, is_damage, merge, read, write};
use crate::{
    block::{Block, BlockWriter, Shelf},
    error::StoreError,
    head::{DAY_S, Head},
    point::{Columns, SeriesId},
    retention::RuleId,
};

/// Seconds after the end of a window or day before it is written: late datapoints still make it.
const GRACE_S: i64 = 300;
/// Seconds for which the newest blocks stay in memory, as far as it reaches: a deploy is looked at over these.
const WARM_S: i64 = 24 * 3600;
/// Blocks of one open day that are merged at once, so that a read of it touches few.
const MERGE_BLOCKS: usize = 8;

/// What one call of [`Store::maintain`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Blocks written from the head.
    pub n_written: usize,
    /// Blocks merged into one.
    pub n_merged: usize,
    /// Blocks whose datapoints moved to the next archive of their retention, rolled up.
    pub n_rolled_up: usize,
    /// Blocks removed because all they held was past the last archive of its retention.
    pub n_dropped: usize,
    /// Series names forgotten, because their last datapoint went with such a block.
    pub n_forgotten: usize,
}

/// What upkeep remembers between calls.
pub(super) struct Progress {
    /// When the head was last frozen, in Unix seconds.
    flushed_at_s: i64,
    /// The log segment from which on a frozen head, still to be written, is not needed.
    frozen_before: u64,
    /// Whether the log may hold datapoints that are in blocks already. Until they are there again, or the log is gone,
    /// nothing is rolled up: a bucket cannot tell a datapoint that it has from a new one.
    log_is_behind: bool,
    /// The last block's sequence; numbers only rise, so that a failed attempt's name is never in the way.
    sequence: u64,
    /// Names with a number from here on are too new to be forgotten: their first datapoint may be on its way.
    pub(super) known_before: u32,
}

impl Progress {
    pub fn new(now_s: i64, sequence: u64, n_replayed: u64) -> Self {
        Self { flushed_at_s: now_s, frozen_before: 0, log_is_behind: n_replayed > 0, sequence, known_before: 0 }
    }
}

/// Bytes of the heads that blocks keep in memory, each head once.
pub(super) fn memory_of(blocks: &[Arc<Block>]) -> usize {
    let mut heads: Vec<Arc<Head>> = blocks.iter().filter_map(|block| block.memory()).collect();
    heads.sort_by_key(Arc::as_ptr);
    heads.dedup_by_key(|head| Arc::as_ptr(head));
    heads.iter().map(|head| head.bytes()).sum()
}

impl Store {
    /// Does what is due: writes a closed window to blocks, merges blocks of the same days, rolls up datapoints that move to
    /// the next archive of their retention, drops what is past the last one.
    ///
    /// Blocking, up to seconds where much is due; appends and reads go on meanwhile. Safe to call at any time and
    /// from any thread; calls wait for each other. After a failure the next call tries again and nothing is lost.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::Parquet`], as on a full disk.
    pub fn maintain(&self, now: UnixMillis) -> Result<Maintained, StoreError> {
        let now_s = now.as_secs();
        let mut progress = self.maintenance();
        let mut maintained = Maintained::default();
        let is_rollup_due = progress.log_is_behind && !self.expired(now_s).is_empty();
        if is_rollup_due || self.is_flush_due(&progress, now_s) {
            maintained.n_written = self.write_head(&mut progress, now_s)?;
        }
        self.cool(now_s);
        maintained.n_dropped = self.drop_expired(now_s)?;
        if maintained.n_dropped > 0 {
            maintained.n_forgotten = self.forget_silent(&mut progress)?;
        }
        maintained.n_rolled_up = self.roll_up_one(&mut progress, now_s)?;
        maintained.n_merged = self.merge_one(now_s)?;
        Ok(maintained)
    }

    /// Writes everything in memory to blocks now, whatever the window. Blocking. Returns the number of blocks.
    ///
    /// # Errors
    /// As [`Store::maintain`].
    pub fn flush(&self) -> Result<usize, StoreError> {
        let mut progress = self.maintenance();
        self.write_head(&mut progress, (self.shared.clock)().as_secs())
    }

    /// Blocks until the head fits into its share of memory again: the answer to senders faster than the disk.
    pub(super) fn make_room(&self) -> Result<(), StoreError> {
        // Twice the share that makes a flush due, so that the owner's `maintain` normally comes first.
        let is_over = || read(&self.shared.heads).active.bytes() > self.shared.config.memory_bytes / 2;
        if is_over() {
            let mut progress = self.maintenance();
            if is_over() {
                self.write_head(&mut progress, (self.shared.clock)().as_secs())?;
            }
        }
        Ok(())
    }

    fn maintenance(&self) -> std::sync::MutexGuard<'_, Progress> {
        let mutex: &Mutex<Progress> = &self.shared.maintenance;
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_flush_due(&self, progress: &Progress, now_s: i64) -> bool {
        let config = &self.shared.config;
        let heads = read(&self.shared.heads);
        if heads.frozen.is_some() {
            return true;
        }
        let window_s = i64::try_from(config.window.as_secs()).unwrap_or(i64::MAX).max(1);
        let window_of = |at_s: i64| at_s.saturating_sub(GRACE_S).div_euclid(window_s);
        let is_full = heads.active.bytes() > config.memory_bytes / 4;
        // Unequal rather than later: a clock that was ahead for a while must not put the next window off.
        let is_closed = window_of(now_s) != window_of(progress.flushed_at_s);
        !heads.active.is_empty() && (is_full || is_closed || self.shared.wal.bytes() > config.wal_bytes)
    }

    /// Freezes the head, writes its days as blocks, and only then drops the log that held it.
    fn write_head(&self, progress: &mut Progress, now_s: i64) -> Result<usize, StoreError> {
        let shared = &*self.shared;
        progress.flushed_at_s = now_s;
        if read(&shared.heads).frozen.is_none() {
            if read(&shared.heads).active.is_empty() {
                // A block may be there whose log could not be removed.
                shared.wal.drop_before(progress.frozen_before)?;
                progress.log_is_behind = false;
                return Ok(0);
            }
            let (sequence, ()) = shared.wal.rotate(|| {
                let Heads { active, frozen } = &mut *write(&shared.heads);
                *frozen = Some(Arc::new(std::mem::take(active)));
            })?;
            progress.frozen_before = sequence;
            progress.log_is_behind = true;
        }
        let Some(frozen) = read(&shared.heads).frozen.clone() else { return Ok(0) };
        let mut written = Vec::new();
        if let Err(error) = self.write_days(&frozen, progress, &mut written) {
            // The next attempt writes all days again: on a full disk leftovers would make it worse.
            written.iter().for_each(|block: &Arc<Block>| drop(block.remove(&shared.cache)));
            return Err(error);
        }
        let n_written = written.len();
        let mut blocks = write(&shared.blocks);
        *blocks = Arc::new(blocks.iter().cloned().chain(written).collect());
        drop(blocks);
        write(&shared.heads).frozen = None;
        self.cool(now_s);
        shared.wal.drop_before(progress.frozen_before)?;
        progress.log_is_behind = false;
        debug!(n_written, n_points = frozen.n_points(), "head is written");
        Ok(n_written)
    }

    fn write_days(
        &self,
        head: &Arc<Head>,
        progress: &mut Progress,
        written: &mut Vec<Arc<Block>>,
    ) -> Result<(), StoreError> {
        let dir = Layout::new(&self.shared.config.dir).blocks;
        let mut order: Vec<(RuleId, Arc<str>, SeriesId)> = {
            let names = read(&self.shared.names);
            let known = |series| Some((names.rule(series)?, names.name(series)?.into(), series));
            head.series().filter_map(known).collect()
        };
        order.sort_unstable();
        for day in head.days() {
            for of_rule in order.chunk_by(|(a, ..), (b, ..)| a == b) {
                progress.sequence += 1;
                let shelf = Shelf::raw(self.shared.policy.keep(of_rule[0].0), *day);
                let mut writer = BlockWriter::create(&dir, shelf, progress.sequence, 0, Vec::new())?;
                for (_, name, series) in of_rule {
                    let mut columns = Columns::default();
                    head.read(*series, day * DAY_S, (day + 1) * DAY_S, &mut columns);
                    columns.settle();
                    writer.push(*series, name, columns)?;
                }
                if let Some(block) = writer.finish()? {
                    block.set_memory(Some(head.clone()));
                    written.push(Arc::new(block));
                }
            }
        }
        Ok(())
    }

    /// Gives back the memory of blocks that are no longer recent, and of the oldest where there is too much.
    fn cool(&self, now_s: i64) {
        let blocks = read(&self.shared.blocks).clone();
        for block in blocks.iter() {
            let is_old = block.meta.last_timestamp < now_s.saturating_sub(WARM_S);
            if is_old || memory_of(&blocks) > self.shared.config.memory_bytes / 2 {
                block.set_memory(None);
            }
        }
    }

    /// The time that retention counts from: the clock, or the data where they end long before it. A clock that jumps years
    /// ahead drops nothing and rolls nothing up.
    fn reference_s(&self, now_s: i64) -> i64 {
        let newest_day = read(&self.shared.heads).active.days().last().map(|day| (day + 1) * DAY_S);
        let blocks = read(&self.shared.blocks).clone();
        let newest_s = blocks.iter().map(|block| block.meta.last_timestamp).chain(newest_day).max().unwrap_or(now_s);
        now_s.min(newest_s.saturating_add(DAY_S))
    }

    /// Removes blocks whose last row is past the last archive of its retention.
    fn drop_expired(&self, now_s: i64) -> Result<usize, StoreError> {
        let reference_s = self.reference_s(now_s);
        let is_expired = |block: &&Arc<Block>| {
            let shelf = &block.meta.shelf;
            shelf.next().is_none() && block.meta.last_timestamp < reference_s.saturating_sub(shelf.keep_s())
        };
        let expired: Vec<_> = read(&self.shared.blocks).iter().filter(is_expired).cloned().collect();
        self.replace(&expired, None)?;
        Ok(expired.len())
    }

    /// Blocks that have to move to the next archive: those of the first shelf whose time is up, by age.
    fn expired(&self, now_s: i64) -> Vec<Arc<Block>> {
        let reference_s = self.reference_s(now_s);
        let blocks = read(&self.shared.blocks).clone();
        let is_due = |shelf: &Shelf| {
            shelf.next().is_some()
                && reference_s >= shelf.end_s().saturating_add(shelf.keep_s()).saturating_add(GRACE_S)
        };
        let Some(first) = blocks.iter().find(|block| is_due(&block.meta.shelf)) else { return Vec::new() };
        blocks.iter().filter(|block| block.meta.shelf == first.meta.shelf).cloned().collect()
    }

    /// Rolls up the blocks of one shelf into one of the next archive, which takes their place at once.
    fn roll_up_one(&self, progress: &mut Progress, now_s: i64) -> Result<usize, StoreError> {
        if progress.log_is_behind {
            return Ok(0);
        }
        let group = self.expired(now_s);
        let Some(target) = group.first().and_then(|block| block.meta.shelf.next()) else { return Ok(0) };
        progress.sequence += 1;
        self.combine(&group, target, progress.sequence, 0)
    }

    /// Merges blocks of one shelf: all once its days are over, else [`MERGE_BLOCKS`] that are no longer in memory.
    fn merge_one(&self, now_s: i64) -> Result<usize, StoreError> {
        let blocks = read(&self.shared.blocks).clone();
        for (index, first) in blocks.iter().enumerate() {
            let shelf = &first.meta.shelf;
            if blocks[..index].iter().any(|block| block.meta.shelf == *shelf) {
                continue;
            }
            // Buckets arrive once the archive before has let go of them.
            let arrives_s = match shelf.archive.checked_sub(1) {
                None => 0,
                Some(before) => Shelf { archive: before, ..shelf.clone() }.keep_s().saturating_add(DAY_S),
            };
            let is_over = now_s >= shelf.end_s().saturating_add(arrives_s).saturating_add(GRACE_S);
            // In order of sequence, and a leading run of it: a block between two merged ones would change its rank.
            let of_shelf = blocks.iter().filter(|block| block.meta.shelf == *shelf);
            let group: Vec<_> = of_shelf.take_while(|block| is_over || block.memory().is_none()).cloned().collect();
            if let Some(newest) = group.last().filter(|_| group.len() >= if is_over { 2 } else { MERGE_BLOCKS }) {
                let generation = group.iter().map(|block| block.meta.generation).max().unwrap_or(0) + 1;
                return self.combine(&group, shelf.clone(), newest.meta.sequence, generation);
            }
        }
        Ok(0)
    }

    /// Puts one block in the place of several. Returns how many went into it.
    fn combine(
        &self,
        group: &[Arc<Block>],
        target: Shelf,
        sequence: u64,
        generation: u32,
    ) -> Result<usize, StoreError> {
        let dir = Layout::new(&self.shared.config.dir).blocks;
        let replaces = group.iter().map(|block| block.meta.name()).collect();
        let mut writer = BlockWriter::create(&dir, target.clone(), sequence, generation, replaces)?;
        if let Err((block, error)) = merge::write(group, &target, &mut writer) {
            return match block.filter(|_| is_damage(&error)) {
                // Only the damaged one goes; the next call takes the others.
                Some(block) => {
                    self.set_aside(&block, &error);
                    Ok(0)
                }
                None => Err(error),
            };
        }
        let merged = writer.finish()?.map(Arc::new);
        self.replace(group, merged)?;
        Ok(group.len())
    }

    /// Puts a block in the place of others and removes their files.
    fn replace(&self, old: &[Arc<Block>], new: Option<Arc<Block>>) -> Result<(), StoreError> {
        if old.is_empty() {
            return Ok(());
        }
        let mut blocks = write(&self.shared.blocks);
        let kept = blocks.iter().filter(|block| !old.iter().any(|gone| Arc::ptr_eq(gone, block)));
        let mut next: Vec<_> = kept.cloned().chain(new).collect();
        next.sort_by_key(|block| block.meta.sequence);
        *blocks = Arc::new(next);
        drop(blocks);
        for block in old {
            if let Err(error) = block.remove(&self.shared.cache) {
                // It is out of service; a start removes it, as the new block names it.
                warn!(%error, "a merged or expired block could not be removed");
            }
        }
        Ok(())
    }
}
