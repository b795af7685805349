//! A block: the datapoints of one day or a part of it, at rest in Parquet.
//!
//! A block is a folder with `points.parquet` (columns `series`, `timestamp`, `value`; sorted by the first two),
//! `series.parquet` (which rows are whose) and `meta.json`. It is written under another name and renamed, so that
//! a block is there whole or not at all, and it never changes afterwards.

mod index;
mod writer;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

pub(crate) use index::Entry;
use index::SeriesIndex;
use polars::prelude::{DataFrame, ParallelStrategy, ParquetReader, SerReader};
use serde::{Deserialize, Serialize};
pub(crate) use writer::BlockWriter;

use crate::{
    error::{IoContext, StoreError},
    head::Head,
    point::{Columns, SeriesId},
};

/// The version of the layout that this code writes and reads.
const FORMAT: u32 = 1;

/// `meta.json`: what a block holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub format: u32,
    /// Orders blocks: of two values for one series and timestamp, the block with the higher number has the valid one.
    pub sequence: u64,
    /// How often its datapoints were rewritten by a merge.
    pub generation: u32,
    /// Days since the epoch; all timestamps lie in it.
    pub day: i64,
    pub first_timestamp: i64,
    pub last_timestamp: i64,
    pub n_points: u64,
    pub n_series: u32,
    /// Bytes of `points.parquet` and `series.parquet`, so that a cut file is noticed at the start.
    pub points_bytes: u64,
    pub series_bytes: u64,
    /// The blocks that were merged into this one. Any of them still there is removed.
    pub replaces: Vec<String>,
}

impl Meta {
    /// The block's folder.
    pub fn name(&self) -> String {
        name_of(self.day, self.sequence, self.generation)
    }
}

fn name_of(day: i64, sequence: u64, generation: u32) -> String {
    format!("{day:06}-{sequence:010}-{generation}")
}

/// A block that is open for reading.
pub(crate) struct Block {
    pub meta: Meta,
    dir: PathBuf,
    footer: OnceLock<polars::prelude::FileMetadataRef>,
    index: OnceLock<Arc<SeriesIndex>>,
    /// The head that it was written from, while memory allows: around a deploy people read the last hours.
    memory: Mutex<Option<Arc<Head>>>,
}

impl Block {
    /// Opens the block in a folder.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the folder does not hold a whole block, [`StoreError::Io`] when it cannot be told.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let corrupt = |reason: String| StoreError::Corrupt { path: dir.to_owned(), reason };
        let found = |read: std::io::Error, name: &str| match read.kind() {
            std::io::ErrorKind::NotFound => corrupt(format!("{name} is missing")),
            _ => StoreError::Io { action: "read", path: dir.join(name), source: read },
        };
        let json = fs::read(dir.join("meta.json")).map_err(|error| found(error, "meta.json"))?;
        let meta: Meta = serde_json::from_slice(&json).map_err(|error| corrupt(format!("meta.json: {error}")))?;
        if meta.format != FORMAT {
            return Err(corrupt(format!("format {} is unknown, this is {FORMAT}", meta.format)));
        }
        for (name, expected) in [("points.parquet", meta.points_bytes), ("series.parquet", meta.series_bytes)] {
            let length = fs::metadata(dir.join(name)).map_err(|error| found(error, name))?.len();
            if length != expected {
                return Err(corrupt(format!("{name} has {length} bytes, {expected} were written")));
            }
        }
        let dir = dir.to_owned();
        Ok(Self { meta, dir, footer: OnceLock::new(), index: OnceLock::new(), memory: Mutex::default() })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn overlaps(&self, from_s: i64, until_s: i64) -> bool {
        self.meta.first_timestamp < until_s && self.meta.last_timestamp >= from_s
    }

    /// Adds the datapoints of one series in `[from_s, until_s)`.
    pub fn read(&self, series: SeriesId, from_s: i64, until_s: i64, columns: &mut Columns) -> Result<(), StoreError> {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(head) = memory {
            // That head may hold other days too, which are other blocks.
            let (first, end) = (self.meta.first_timestamp, self.meta.last_timestamp.saturating_add(1));
            head.read(series, from_s.max(first), until_s.min(end), columns);
            return Ok(());
        }
        let Some((start, length)) = self.index()?.rows(series) else { return Ok(()) };
        columns.extend_within(&self.rows(start, length, length)?, from_s, until_s);
        Ok(())
    }

    /// Timestamps and values of the rows from `start` on: at least `least`, at most `most` of them.
    pub fn rows(&self, start: usize, least: usize, most: usize) -> Result<Columns, StoreError> {
        let corrupt = |reason: &str| StoreError::Corrupt { path: self.dir.clone(), reason: reason.to_owned() };
        // Polars answers some damaged pages with a panic. Nothing is shared with it but an open file.
        let frame = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.parquet(start, most)))
            .unwrap_or_else(|_| Err(corrupt("decoding panicked")))?;
        let column = |name: &str| frame.column(name).context("read", &self.dir);
        let (timestamps, values) = (column("timestamp")?, column("value")?);
        if frame.height() < least || timestamps.null_count() + values.null_count() > 0 {
            return Err(corrupt("rows are missing"));
        }
        let timestamps = timestamps.i64().context("read", &self.dir)?.into_no_null_iter().collect();
        let values = values.f64().context("read", &self.dir)?.into_no_null_iter().collect();
        Ok(Columns { timestamps, values })
    }

    fn parquet(&self, start: usize, length: usize) -> Result<DataFrame, StoreError> {
        // Opened anew each time: handles of one opening share a file position, which Polars moves.
        let path = self.dir.join("points.parquet");
        let file = File::open(&path).context("open", &path)?;
        let mut reader = ParquetReader::new(file)
            .read_parallel(ParallelStrategy::RowGroups)
            .with_columns(Some(vec!["timestamp".to_owned(), "value".to_owned()]))
            .with_slice(Some((start, length)));
        match self.footer.get() {
            Some(footer) => reader.set_metadata(footer.clone()),
            None => {
                let footer = reader.get_metadata().context("read", &self.dir)?.clone();
                self.footer.get_or_init(|| footer);
            }
        }
        reader.finish().context("read", &self.dir)
    }

    fn index(&self) -> Result<&Arc<SeriesIndex>, StoreError> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let index = SeriesIndex::new(&self.entries()?);
        Ok(self.index.get_or_init(|| Arc::new(index)))
    }

    /// The series of this block in the order of their rows, which is that of their names.
    pub fn entries(&self) -> Result<Vec<index::Entry>, StoreError> {
        let path = self.dir.join("series.parquet");
        let file = File::open(&path).context("open", &path)?;
        index::read(file, &self.dir)
    }

    /// Keeps the head that the block was written from for reading, or gives it back.
    pub fn set_memory(&self, head: Option<Arc<Head>>) {
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = head;
    }

    /// The head that is kept for reading.
    pub fn memory(&self) -> Option<Arc<Head>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Removes the block's files. A reader that has one open finishes; one that comes later gets "not found".
    pub fn remove(&self) -> Result<(), StoreError> {
        remove_dir(&self.dir)
    }
}

/// Renames a folder out of the way before removing it, so that a crash in between leaves no half block.
pub(crate) fn remove_dir(dir: &Path) -> Result<(), StoreError> {
    let doomed = dir.with_extension("tmp");
    fs::rename(dir, &doomed).context("rename", dir)?;
    fs::remove_dir_all(&doomed).context("remove", &doomed)
}
