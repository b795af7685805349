//! A block: datapoints of one day, or buckets of some days, at rest in Parquet.
//!
//! A block is a folder with `points.parquet` (sorted by series and time), `series.parquet` (which rows are whose),
//! `pages.idx` (which bytes are whose) and `meta.json`. It is written under another name and renamed, so that a block is
//! there whole or not at all, and it never changes afterwards.

mod entries;
mod meta;
mod page;
mod records;
mod table;
mod writer;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

pub(crate) use entries::Entry;
use meta::FORMAT;
pub(crate) use meta::{Meta, Shelf};
use page::Values;
use records::{Record, Records};
pub(crate) use writer::BlockWriter;

use crate::{
    error::{IoContext, StoreError},
    head::Head,
    point::{Columns, SeriesId},
    rollup::Bucket,
};

/// The columns of a block of datapoints, after `series`.
const POINT_COLUMNS: &str = "REQUIRED INT64 timestamp; REQUIRED DOUBLE value;";
/// The columns of a block of buckets, after `series`.
const BUCKET_COLUMNS: &str = "REQUIRED INT64 timestamp; REQUIRED INT64 count; REQUIRED DOUBLE sum; REQUIRED DOUBLE min; \
                              REQUIRED DOUBLE max; REQUIRED DOUBLE last; REQUIRED INT64 last_timestamp;";
/// Which of them are floats.
const POINT_FLOATS: &[bool] = &[false, true];
const BUCKET_FLOATS: &[bool] = &[false, false, true, true, true, true, false];

/// A block that is open for reading.
pub(crate) struct Block {
    pub meta: Meta,
    dir: PathBuf,
    /// Whether `pages.idx` holds what was written, once that is known.
    checked: OnceLock<()>,
    /// The head that it was written from, while memory allows: around a deploy people read the last hours.
    memory: Mutex<Option<Arc<Head>>>,
}

impl Block {
    /// Opens a block's folder.
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
        let files = [
            ("points.parquet", meta.points_bytes),
            ("series.parquet", meta.series_bytes),
            ("pages.idx", meta.pages_bytes),
        ];
        for (name, expected) in files {
            let length = fs::metadata(dir.join(name)).map_err(|error| found(error, name))?.len();
            if length != expected {
                return Err(corrupt(format!("{name} has {length} bytes, {expected} were written")));
            }
        }
        Ok(Self { meta, dir: dir.to_owned(), checked: OnceLock::new(), memory: Mutex::default() })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether it may hold rows of this time. A bucket is no longer than its resolution.
    pub fn overlaps(&self, from_s: i64, until_s: i64) -> bool {
        self.meta.first_timestamp < until_s
            && self.meta.last_timestamp.saturating_add(self.meta.shelf.resolution_s()) >= from_s
    }

    /// Adds the datapoints of one series in `[from_s, until_s)`, in order of arrival rather than of time.
    pub fn read(&self, series: SeriesId, from_s: i64, until_s: i64, columns: &mut Columns) -> Result<(), StoreError> {
        if let Some(head) = self.memory() {
            // That head may hold other days too, which are other blocks.
            let (first, end) = (self.meta.first_timestamp, self.meta.last_timestamp.saturating_add(1));
            head.read(series, from_s.max(first), until_s.min(end), columns);
            return Ok(());
        }
        let Some(record) = self.records()?.find(series).context("read", &self.dir)? else { return Ok(()) };
        columns.extend_within(&self.points(&record)?, from_s, until_s);
        Ok(())
    }

    /// Adds the buckets of one series that begin in `[from_s, until_s)`.
    pub fn read_buckets(
        &self,
        series: SeriesId,
        from_s: i64,
        until_s: i64,
        buckets: &mut Vec<Bucket>,
    ) -> Result<(), StoreError> {
        let Some(record) = self.records()?.find(series).context("read", &self.dir)? else { return Ok(()) };
        let all = self.buckets(&record)?;
        buckets.extend(all.into_iter().filter(|bucket| (from_s..until_s).contains(&bucket.timestamp_s)));
        Ok(())
    }

    /// All datapoints of the series that a record speaks of.
    fn points(&self, record: &Record) -> Result<Columns, StoreError> {
        match <[Values; 2]>::try_from(self.columns(record, POINT_FLOATS)?) {
            Ok([Values::Ints(timestamps), Values::Floats(values)]) => Ok(Columns { timestamps, values }),
            _ => Err(self.corrupt("holds other columns than it says")),
        }
    }

    /// All buckets of the series that a record speaks of.
    fn buckets(&self, record: &Record) -> Result<Vec<Bucket>, StoreError> {
        let columns = self.columns(record, BUCKET_FLOATS)?;
        let int = |column: usize, row: usize| match &columns[column] {
            Values::Ints(values) => values[row],
            Values::Floats(_) => 0,
        };
        let float = |column: usize, row: usize| match &columns[column] {
            Values::Floats(values) => values[row],
            Values::Ints(_) => 0.0,
        };
        let bucket = |row: usize| Bucket {
            timestamp_s: int(0, row),
            count: int(1, row) as u64,
            sum: float(2, row),
            min: float(3, row),
            max: float(4, row),
            last: float(5, row),
            last_at_s: int(6, row),
        };
        Ok((0..record.n_rows as usize).map(bucket).collect())
    }

    fn columns(&self, record: &Record, is_float: &[bool]) -> Result<Vec<Values>, StoreError> {
        // Opened anew each time: a store of many blocks would run out of descriptors.
        let path = self.dir.join("points.parquet");
        let file = File::open(&path).context("open", &path)?;
        let n_rows = record.n_rows as usize;
        let column = |(place, is_float): (&records::Place, &bool)| {
            let page = place.read(&file).context("read", &path)?;
            let page = page.ok_or_else(|| self.corrupt("a page has another checksum"))?;
            let values = match is_float {
                true => page::read_floats(&page, n_rows, place.is_split).map(Values::Floats),
                false => page::read_ints(&page, n_rows).map(Values::Ints),
            };
            values.ok_or_else(|| self.corrupt("a page cannot be decoded"))
        };
        record.places.iter().zip(is_float).map(column).collect()
    }

    fn corrupt(&self, reason: &str) -> StoreError {
        StoreError::Corrupt { path: self.dir.clone(), reason: reason.to_owned() }
    }

    fn records(&self) -> Result<Records, StoreError> {
        let path = self.dir.join("pages.idx");
        let file = File::open(&path).context("open", &path)?;
        if self.checked.get().is_none() {
            let bytes = fs::read(&path).context("read", &path)?;
            if crc32fast::hash(&bytes) != self.meta.pages_checksum {
                return Err(self.corrupt("pages.idx has another checksum"));
            }
            self.checked.get_or_init(|| ());
        }
        let n_columns = if self.meta.shelf.archive == 0 { POINT_FLOATS.len() } else { BUCKET_FLOATS.len() };
        Ok(Records { file, n_records: self.meta.n_series as usize, n_columns })
    }

    /// The series of this block in the order of their rows, which is that of their names.
    pub fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        entries::read(&self.dir.join("series.parquet"))
    }

    /// The numbers of its series.
    pub fn series(&self) -> Result<Vec<SeriesId>, StoreError> {
        let records = self.records()?.all().context("read", &self.dir)?;
        Ok(records.into_iter().map(|record| record.id).collect())
    }

    /// Reads its series one after the other, in order of their names.
    pub fn scan(&self) -> Result<Scan<'_>, StoreError> {
        let records = self.records()?.all().context("read", &self.dir)?;
        Ok(Scan { block: self, records, entries: self.entries()?, at: 0 })
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

/// What a [`Scan`] reads of a series.
pub(crate) enum Rows {
    Points(Columns),
    Buckets(Vec<Bucket>),
}

/// A walk over a block, from its first series to its last.
pub(crate) struct Scan<'b> {
    block: &'b Block,
    records: Vec<Record>,
    entries: Vec<Entry>,
    at: usize,
}

impl Scan<'_> {
    /// The series that comes next.
    pub fn entry(&self) -> Option<&Entry> {
        self.entries.get(self.at)
    }

    /// Reads the series that comes next, and steps on.
    pub fn take(&mut self) -> Result<Rows, StoreError> {
        let record = self.entry().and_then(|entry| {
            let index = self.records.binary_search_by_key(&entry.id, |record| record.id).ok()?;
            Some(&self.records[index])
        });
        let record = record.ok_or_else(|| self.block.corrupt("pages.idx lacks a series"))?;
        let rows = match self.block.meta.shelf.archive {
            0 => Rows::Points(self.block.points(record)?),
            _ => Rows::Buckets(self.block.buckets(record)?),
        };
        self.at += 1;
        Ok(rows)
    }
}

/// Renames a folder out of the way before removing it, so that a crash in between leaves no half block.
pub(crate) fn remove_dir(dir: &Path) -> Result<(), StoreError> {
    let doomed = dir.with_extension("tmp");
    fs::rename(dir, &doomed).context("rename", dir)?;
    fs::remove_dir_all(&doomed).context("remove", &doomed)
}
