//! The store of series: what is asked of it, in terms of head, log and blocks.

mod forget;
mod maintain;
mod merge;
mod query;

use std::{
    collections::VecDeque,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use deployline_schemas::time::Clock;
pub use maintain::Maintained;
use tracing::{info, warn};

use crate::{
    block::{self, Block, Cache},
    config::StoreConfig,
    error::{IoContext, StoreError},
    head::{DAY_S, Head},
    level::Level,
    names::{NameLog, Names},
    point::{Appended, Point, SeriesId},
    retention::Policy,
    tags::TagExpression,
    wal::{self, Wal},
};

/// Series at rest. Cheap to clone; all clones are one store.
///
/// `intern`, `lookup`, `name`, `matching`, `find` and `stats` work in memory. `append` waits for the disk, `read` may
/// read files, `flush` and `maintain` write them: from async code call these four through `spawn_blocking`.
/// The store starts no thread: its owner calls [`Store::maintain`] every few seconds.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    config: StoreConfig,
    policy: Arc<Policy>,
    /// Seconds for which each rule of the policy keeps anything.
    longest_s: Vec<i64>,
    clock: Clock,
    names: RwLock<Names>,
    wal: Wal,
    heads: RwLock<Heads>,
    blocks: RwLock<Arc<Vec<Arc<Block>>>>,
    /// What reads of blocks keep for the next.
    cache: Cache,
    /// Held while blocks are written, merged or removed.
    maintenance: Mutex<maintain::Progress>,
    /// Shared by appends under way, taken alone to forget names: no datapoint outlives its name.
    appending: RwLock<()>,
    counters: Counters,
    /// Locked as long as the store is open.
    _lock: File,
}

/// The head that takes datapoints, and one that is on its way to a block.
#[derive(Default)]
struct Heads {
    active: Head,
    frozen: Option<Arc<Head>>,
}

#[derive(Default)]
struct Counters {
    n_appended: AtomicU64,
    n_refused_points: AtomicU64,
    n_refused_series: AtomicU64,
    n_corrupt: AtomicU64,
    torn_bytes: AtomicU64,
    /// The last names that were refused, so that somebody can see whose they are.
    refused_names: Mutex<VecDeque<String>>,
}

/// The state of a store in numbers. Counters start at 0 with the process.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Series names known.
    pub n_series: usize,
    /// Datapoints in the head, not yet in a block.
    pub head_points: u64,
    /// Bytes of datapoints in memory, newest blocks included.
    pub memory_bytes: usize,
    /// Bytes of write-ahead log.
    pub wal_bytes: u64,
    /// Blocks on disk.
    pub n_blocks: usize,
    /// Datapoints in them; a rewritten one counts once a block.
    pub block_points: u64,
    /// Bytes of Parquet in them.
    pub block_bytes: u64,
    /// Datapoints that were made durable.
    pub n_appended: u64,
    /// Datapoints that were not taken: NaN, or stamped outside of the time that is kept.
    pub n_refused_points: u64,
    /// New names that were refused for `max_series`.
    pub n_refused_series: u64,
    /// Damaged log segments, name log stretches and blocks that were set aside.
    pub n_corrupt: u64,
    /// Bytes of unfinished writes that were cut from the log at the start.
    pub torn_bytes: u64,
}

/// Names refused for `max_series` that are remembered.
const REFUSED_NAMES: usize = 20;

/// Seconds by which a timestamp may be ahead of the clock: senders' clocks differ, and days are days.
const MAX_AHEAD_S: i64 = DAY_S;

/// A lock whose holder panicked is taken all the same: what stands behind these is whole between statements.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Opens the store in `config.dir`, made if missing, and recovers every datapoint that was ever acknowledged.
    ///
    /// Blocking; takes about a second for ten million datapoints of log.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it open, [`StoreError::Io`] when the directory cannot be used.
    /// Damaged files are no error: they are set aside under `series/damaged`, told in the log and in [`Stats`].
    pub fn open(config: &StoreConfig, clock: Clock) -> Result<Store, StoreError> {
        let policy = Arc::new(Policy::new(&config.retention)?);
        let layout = Layout::new(&config.dir);
        layout.create()?;
        let lock = layout.lock()?;
        let (name_log, mut names, n_bad_names) = NameLog::open(&layout.names, &layout.damaged, policy.clone())?;
        let (blocks, n_bad_blocks) = open_blocks(&layout)?;
        if n_bad_names > 0 {
            restore_names(&blocks, &mut names);
        }
        let mut head = Head::default();
        let replayed = wal::replay(&layout.wal, &layout.damaged, |points| {
            for point in points {
                // A name can only be missing where the name log was damaged; its datapoints have no owner then.
                if names.name(point.series).is_some() {
                    head.insert(*point);
                }
            }
        })?;
        let wal = Wal::start(&layout.wal, &replayed, name_log, config.segment_bytes)?;
        let counters = Counters::default();
        counters.n_corrupt.store((n_bad_names + n_bad_blocks + replayed.n_corrupt) as u64, Ordering::Relaxed);
        counters.torn_bytes.store(replayed.torn_bytes, Ordering::Relaxed);
        info!(n_series = names.len(), n_points = replayed.n_points, n_blocks = blocks.len(), "store is open");
        let sequence = blocks.last().map_or(0, |block: &Arc<Block>| block.meta.sequence);
        let progress = maintain::Progress::new(clock().as_secs(), sequence, replayed.n_points);
        Ok(Store {
            shared: Arc::new(Shared {
                config: config.clone(),
                longest_s: policy.longest_s(),
                policy,
                clock,
                names: RwLock::new(names),
                wal,
                heads: RwLock::new(Heads { active: head, frozen: None }),
                blocks: RwLock::new(Arc::new(blocks)),
                cache: Cache::new(config.memory_bytes / 8),
                maintenance: Mutex::new(progress),
                appending: RwLock::default(),
                counters,
                _lock: lock,
            }),
        })
    }

    /// The number of a series, given on first sight. `name` is canonical, as from [`deployline_schemas::series::canonical`].
    ///
    /// A known name costs one hash and no allocation. A new one becomes durable with the next append.
    ///
    /// # Errors
    /// [`StoreError::Name`] when it names no series, [`StoreError::TooManySeries`] when it is new and one too many.
    pub fn intern(&self, name: &str) -> Result<SeriesId, StoreError> {
        if let Some(id) = self.lookup(name) {
            return Ok(id);
        }
        deployline_schemas::series::canonical(name)?;
        let limit = self.shared.config.max_series;
        let mut names = write(&self.shared.names);
        if let Some(id) = names.lookup(name) {
            return Ok(id);
        }
        if names.len() >= limit || names.next_id() == u32::MAX {
            let counters = &self.shared.counters;
            counters.n_refused_series.fetch_add(1, Ordering::Relaxed);
            let mut refused = counters.refused_names.lock().unwrap_or_else(PoisonError::into_inner);
            if !refused.iter().any(|known| known == name) {
                refused.truncate(REFUSED_NAMES - 1);
                refused.push_front(name.to_owned());
            }
            return Err(StoreError::TooManySeries { limit });
        }
        let id = names.add(name);
        self.shared.wal.queue_name(id, name);
        Ok(id)
    }

    /// The last names that were refused for `max_series`, newest first.
    pub fn refused_names(&self) -> Vec<String> {
        let refused = self.shared.counters.refused_names.lock().unwrap_or_else(PoisonError::into_inner);
        refused.iter().cloned().collect()
    }

    /// Makes datapoints durable and readable, in any order of time; of two for one series and timestamp the last wins.
    ///
    /// Blocking: returns after an fsync, which the appends of all threads share. Call it with batches.
    /// A datapoint that is NaN, older than what its retention keeps or more than a day ahead is not taken, and counted.
    ///
    /// # Errors
    /// [`StoreError::UnknownSeries`] for an id that this store never gave, [`StoreError::Append`] when the disk said no.
    /// Nothing of the batch is readable then.
    pub fn append(&self, points: &[Point]) -> Result<Appended, StoreError> {
        let shared = &*self.shared;
        let now_s = (shared.clock)().as_secs();
        let latest_s = now_s.saturating_add(MAX_AHEAD_S);
        let earliest_s: Vec<i64> = shared.longest_s.iter().map(|keep_s| now_s.saturating_sub(*keep_s)).collect();
        self.make_room()?;
        let _appending = read(&shared.appending);
        let mut refused = Vec::new();
        {
            let names = read(&shared.names);
            for (index, point) in points.iter().enumerate() {
                let rule = names.rule(point.series).ok_or(StoreError::UnknownSeries(point.series))?;
                let window = earliest_s[usize::from(rule)]..=latest_s;
                if point.value.is_nan() || !window.contains(&point.timestamp_s) {
                    refused.push(index);
                }
            }
        }
        let n_appended = points.len() - refused.len();
        let n_refused = refused.len();
        shared.counters.n_refused_points.fetch_add(n_refused as u64, Ordering::Relaxed);
        if n_appended == 0 {
            return Ok(Appended { n_appended, n_refused });
        }
        let taken: Vec<Point>;
        let points = match n_refused {
            0 => points,
            _ => {
                let mut refused = refused.into_iter().peekable();
                let is_taken = |index: usize| refused.next_if_eq(&index).is_none();
                let mut is_taken = is_taken;
                taken =
                    points.iter().enumerate().filter(|(index, _)| is_taken(*index)).map(|(_, point)| *point).collect();
                &taken
            }
        };
        let appended = shared.wal.append(points, |points| shared.insert(points));
        appended.map_err(|source| StoreError::Append { n_points: n_appended, source })?;
        shared.counters.n_appended.fetch_add(n_appended as u64, Ordering::Relaxed);
        Ok(Appended { n_appended, n_refused })
    }

    fn is_in_service(&self, block: &Arc<Block>) -> bool {
        read(&self.shared.blocks).iter().any(|known| Arc::ptr_eq(known, block))
    }

    /// The number of a known name.
    pub fn lookup(&self, name: &str) -> Option<SeriesId> {
        read(&self.shared.names).lookup(name)
    }

    /// The name behind a number.
    pub fn name(&self, series: SeriesId) -> Option<Arc<str>> {
        read(&self.shared.names).name(series).map(Into::into)
    }

    /// Every series that a Graphite glob matches, in order of names. Untagged ones, unless the pattern holds a `;`.
    pub fn matching(&self, pattern: &str) -> Vec<(SeriesId, Arc<str>)> {
        read(&self.shared.names).matching(pattern)
    }

    /// One level of the tree of names, as Graphite's `/metrics/find` shows it, in order of paths.
    pub fn find(&self, pattern: &str) -> Level {
        read(&self.shared.names).find(pattern)
    }

    /// The tagged series that fit all expressions, by number; all tagged ones for none.
    pub fn tagged(&self, expressions: &[TagExpression]) -> Vec<(SeriesId, Arc<str>)> {
        let names = read(&self.shared.names);
        let found = names.tags().select(expressions);
        found.into_iter().filter_map(|id| Some((id, names.name(id)?.into()))).collect()
    }

    /// Tags that begin with `prefix` and that a series has which fits all expressions: the first `limit` in order.
    pub fn tags(&self, prefix: &str, expressions: &[TagExpression], limit: usize) -> Vec<String> {
        read(&self.shared.names).tags().tags(prefix, expressions, limit)
    }

    /// Values of a tag that begin with `prefix` and that a series has which fits all expressions: the first `limit` in order,
    /// each with how many such series there are.
    pub fn tag_values(
        &self,
        tag: &str,
        prefix: &str,
        expressions: &[TagExpression],
        limit: usize,
    ) -> Vec<(String, usize)> {
        read(&self.shared.names).tags().values(tag, prefix, expressions, limit)
    }

    /// Every series, in order of numbers.
    pub fn all(&self) -> Vec<(SeriesId, Arc<str>)> {
        read(&self.shared.names).iter().map(|(id, name)| (id, name.into())).collect()
    }

    /// The state of the store in numbers.
    pub fn stats(&self) -> Stats {
        let shared = &*self.shared;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let blocks = read(&shared.blocks).clone();
        let (head_points, head_bytes) = {
            let heads = read(&shared.heads);
            let frozen = heads.frozen.as_ref().map_or((0, 0), |head| (head.n_points(), head.bytes()));
            (heads.active.n_points() + frozen.0, heads.active.bytes() + frozen.1)
        };
        Stats {
            n_series: read(&shared.names).len(),
            head_points,
            memory_bytes: head_bytes + maintain::memory_of(&blocks),
            wal_bytes: shared.wal.bytes(),
            n_blocks: blocks.len(),
            block_points: blocks.iter().map(|block| block.meta.n_points).sum(),
            block_bytes: blocks.iter().map(|block| block.meta.points_bytes + block.meta.series_bytes).sum(),
            n_appended: count(&shared.counters.n_appended),
            n_refused_points: count(&shared.counters.n_refused_points),
            n_refused_series: count(&shared.counters.n_refused_series),
            n_corrupt: count(&shared.counters.n_corrupt),
            torn_bytes: count(&shared.counters.torn_bytes),
        }
    }

    /// Takes a damaged block out of service.
    fn set_aside(&self, block: &Arc<Block>, error: &StoreError) {
        let mut blocks = write(&self.shared.blocks);
        if !blocks.iter().any(|known| Arc::ptr_eq(known, block)) {
            return;
        }
        *blocks = Arc::new(blocks.iter().filter(|known| !Arc::ptr_eq(known, block)).cloned().collect());
        drop(blocks);
        self.shared.counters.n_corrupt.fetch_add(1, Ordering::Relaxed);
        set_aside(block.dir(), &Layout::new(&self.shared.config.dir).damaged, error);
    }
}

impl Shared {
    /// Puts durable datapoints where readers see them, letting readers in between slices of a long batch.
    fn insert(&self, points: &[Point]) {
        for slice in points.chunks(8192) {
            let mut heads = write(&self.heads);
            slice.iter().for_each(|point| heads.active.insert(*point));
        }
    }
}

/// Whether an error says that the bytes are bad, rather than that they could not be had.
fn is_damage(error: &StoreError) -> bool {
    match error {
        StoreError::Corrupt { .. } => true,
        StoreError::Parquet { source, .. } => !matches!(source, polars::prelude::PolarsError::IO { .. }),
        _ => false,
    }
}

/// Where the store's files lie.
struct Layout {
    series: PathBuf,
    names: PathBuf,
    wal: PathBuf,
    blocks: PathBuf,
    damaged: PathBuf,
}

impl Layout {
    fn new(dir: &Path) -> Self {
        let series = dir.join("series");
        let below = |name: &str| series.join(name);
        Self {
            names: below("names.log"),
            wal: below("wal"),
            blocks: below("blocks"),
            damaged: below("damaged"),
            series,
        }
    }

    fn create(&self) -> Result<(), StoreError> {
        [&self.wal, &self.blocks].into_iter().try_for_each(|dir| fs::create_dir_all(dir).context("create", dir))
    }

    /// Keeps other processes out for as long as the file lives.
    fn lock(&self) -> Result<File, StoreError> {
        let path = self.series.join("lock");
        let file = File::create(&path).context("create", &path)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(fs::TryLockError::WouldBlock) => Err(StoreError::Locked { path: self.series.clone() }),
            Err(fs::TryLockError::Error(source)) => Err(StoreError::Io { action: "lock", path, source }),
        }
    }
}

/// Opens every block, oldest first; removes what a crash or a merge left over. Returns the number set aside as well.
fn open_blocks(layout: &Layout) -> Result<(Vec<Arc<Block>>, usize), StoreError> {
    let mut blocks = Vec::new();
    let mut n_corrupt = 0;
    for entry in fs::read_dir(&layout.blocks).context("list", &layout.blocks)? {
        let dir = entry.context("list", &layout.blocks)?.path();
        if dir.extension().is_some_and(|extension| extension == "tmp") {
            fs::remove_dir_all(&dir).context("remove", &dir)?;
            continue;
        }
        match Block::open(&dir) {
            Ok(block) => blocks.push(Arc::new(block)),
            Err(error @ StoreError::Corrupt { .. }) => {
                n_corrupt += 1;
                set_aside(&dir, &layout.damaged, &error);
            }
            Err(error) => return Err(error),
        }
    }
    let replaced: Vec<String> = blocks.iter().flat_map(|block| block.meta.replaces.clone()).collect();
    for block in blocks.iter().filter(|block| replaced.contains(&block.meta.name())) {
        block::remove_dir(block.dir())?;
    }
    blocks.retain(|block| !replaced.contains(&block.meta.name()));
    blocks.sort_by_key(|block| block.meta.sequence);
    Ok((blocks, n_corrupt))
}

/// Moves a damaged block out of the way. A failure to do so is told; the block is out of service either way.
fn set_aside(dir: &Path, damaged: &Path, error: &StoreError) {
    let target = damaged.join(dir.file_name().unwrap_or_default());
    let moved = fs::create_dir_all(damaged).and_then(|()| fs::rename(dir, &target));
    let error: &dyn std::error::Error = error;
    warn!(error, moved_to = %target.display(), moved = moved.is_ok(), "a block is damaged: set aside, the rest is served");
}

/// Fills holes in the names from the tables that blocks carry.
fn restore_names(blocks: &[Arc<Block>], names: &mut Names) {
    for entry in blocks.iter().filter_map(|block| block.entries().ok()).flatten() {
        if names.name(entry.id).is_none() && names.lookup(&entry.name).is_none() {
            names.restore(entry.id, &entry.name);
        }
    }
}

#[cfg(test)]
mod tests;
