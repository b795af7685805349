//! The write-ahead log: what was acknowledged since the last block, in segments.
//!
//! Appends of many threads become one write and one fsync: whoever gets the writer commits all that wait behind it.
//! Datapoints reach the head in the order of the log, under the writer's lock, so that a replay ends the same.

mod replay;
mod segment;

use std::{
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

pub(crate) use replay::{Replayed, replay};
use segment::Segments;

use crate::{
    bits::{read_varint, unzigzag, write_varint, zigzag},
    error::StoreError,
    frame,
    names::NameLog,
    point::{Point, SeriesId},
};

/// Most datapoints in a frame: about 3 MB, far below the longest payload that a reader believes.
const FRAME_POINTS: usize = 256 << 10;

pub(crate) struct Wal {
    waiting: Mutex<Group>,
    /// Names given out since the last commit, as the name log takes them.
    new_names: Mutex<Vec<u8>>,
    writer: Mutex<Writer>,
    /// Bytes in all segments, beside the lock: whoever asks must not wait for an fsync.
    bytes: AtomicU64,
}

/// Appends that become durable together.
#[derive(Default)]
struct Group {
    bytes: Vec<u8>,
    points: Vec<Point>,
    outcome: Arc<OnceLock<Result<(), Arc<StoreError>>>>,
}

/// What only the committing thread touches.
pub(crate) struct Writer {
    segments: Segments,
    names: NameLog,
    unwritten_names: Vec<u8>,
}

/// A lock whose holder panicked is taken all the same: every change under these locks is whole or harmless.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wal {
    /// Starts a new segment behind those that [`replay`] read.
    pub fn start(dir: &Path, replayed: &Replayed, names: NameLog, segment_bytes: u64) -> Result<Self, StoreError> {
        let segments = Segments::start(dir, &replayed.segments, segment_bytes)?;
        Ok(Self {
            waiting: Mutex::default(),
            new_names: Mutex::default(),
            bytes: AtomicU64::new(segments.bytes()),
            writer: Mutex::new(Writer { segments, names, unwritten_names: Vec::new() }),
        })
    }

    /// Queues a new name; the next commit makes it durable before any datapoint.
    pub fn queue_name(&self, id: SeriesId, name: &str) {
        crate::names::write_entry(&mut lock(&self.new_names), id, name);
    }

    /// Returns once the datapoints are on disk and `apply` has seen them, alone or with those of other threads.
    pub fn append(&self, points: &[Point], apply: impl FnOnce(&[Point])) -> Result<(), Arc<StoreError>> {
        let outcome = {
            let mut waiting = lock(&self.waiting);
            for frame in points.chunks(FRAME_POINTS) {
                frame::push(&mut waiting.bytes, |bytes| write_points(bytes, frame));
            }
            waiting.points.extend_from_slice(points);
            waiting.outcome.clone()
        };
        let mut writer = lock(&self.writer);
        if let Some(committed) = outcome.get() {
            return committed.clone();
        }
        let group = std::mem::take(&mut *lock(&self.waiting));
        let committed = self.commit(&mut writer, &group.bytes).map_err(Arc::new);
        if committed.is_ok() {
            apply(&group.points);
        }
        group.outcome.get_or_init(|| committed).clone()
    }

    fn commit(&self, writer: &mut Writer, bytes: &[u8]) -> Result<(), StoreError> {
        writer.unwritten_names.append(&mut lock(&self.new_names));
        writer.names.append(&writer.unwritten_names)?;
        writer.unwritten_names.clear();
        let appended = writer.segments.append(bytes);
        self.bytes.store(writer.segments.bytes(), Ordering::Relaxed);
        appended
    }

    /// Starts a new segment and runs `freeze` before anything can be written to it. Returns the new segment's number:
    /// all that `freeze` saw lies in the segments before it.
    pub fn rotate<T>(&self, freeze: impl FnOnce() -> T) -> Result<(u64, T), StoreError> {
        let mut writer = lock(&self.writer);
        self.commit(&mut writer, &[])?;
        let sequence = writer.segments.rotate()?;
        Ok((sequence, freeze()))
    }

    /// Removes the segments before a number: what they hold is in blocks.
    pub fn drop_before(&self, sequence: u64) -> Result<(), StoreError> {
        let mut writer = lock(&self.writer);
        let dropped = writer.segments.drop_before(sequence);
        self.bytes.store(writer.segments.bytes(), Ordering::Relaxed);
        dropped
    }

    /// Replaces the name log; `names` is what it holds from now on.
    pub fn rewrite_names(&self, path: &Path, names: &crate::names::Names) -> Result<(), StoreError> {
        let mut writer = lock(&self.writer);
        writer.names = NameLog::rewrite(path, names)?;
        Ok(())
    }

    /// Bytes in all segments.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

fn write_points(bytes: &mut Vec<u8>, points: &[Point]) {
    bytes.reserve(points.len() * 12 + 8);
    write_varint(bytes, points.len() as u64);
    let (mut series, mut timestamp_s) = (0i64, 0i64);
    for point in points {
        let id = i64::from(point.series.0);
        write_varint(bytes, zigzag(id - series));
        write_varint(bytes, zigzag(point.timestamp_s.wrapping_sub(timestamp_s)));
        bytes.extend_from_slice(&point.value.to_le_bytes());
        (series, timestamp_s) = (id, point.timestamp_s);
    }
}

/// Reads one frame's payload. `None` when it ends early or counts wrong, which its checksum makes a matter of versions.
fn read_points(mut bytes: &[u8], points: &mut Vec<Point>) -> Option<()> {
    let n_points = read_varint(&mut bytes)?;
    let (mut series, mut timestamp_s) = (0i64, 0i64);
    for _ in 0..n_points {
        series = series.wrapping_add(unzigzag(read_varint(&mut bytes)?));
        timestamp_s = timestamp_s.wrapping_add(unzigzag(read_varint(&mut bytes)?));
        let (value, rest) = bytes.split_first_chunk()?;
        bytes = rest;
        let series = SeriesId(u32::try_from(series).ok()?);
        points.push(Point { series, timestamp_s, value: f64::from_le_bytes(*value) });
    }
    Some(())
}
