//! A block: datapoints of one day, or buckets of some days, at rest in Parquet.
//!
//! A block is a folder with `points.parquet` (sorted by series and time), `series.parquet` (which rows are whose),
//! `pages.idx` (which bytes are whose) and `meta.json`. It is written under another name and renamed, so that a block is
//! there whole or not at all, and it never changes afterwards.

mod cache;
mod entries;
mod index;
mod meta;
mod page;
mod table;
mod writer;

use std::{
    fs::{self, File},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

pub(crate) use cache::Cache;
use cache::{BlockKey, Opened};
pub(crate) use entries::Entry;
use index::{Directory, Listed, Record};
use meta::FORMAT;
pub(crate) use meta::{Meta, Shelf};
pub(crate) use page::Values;
pub(crate) use table::Table;
pub(crate) use writer::BlockWriter;

use crate::{
    error::{IoContext, StoreError},
    head::Head,
    point::{Columns, SeriesId},
    rollup::Bucket,
};

/// The columns of a block of datapoints, after `series`.
pub(crate) const POINT_COLUMNS: &str = "REQUIRED INT64 timestamp; REQUIRED DOUBLE value;";
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
        Ok(Self { meta, dir: dir.to_owned(), memory: Mutex::default() })
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
    pub fn read(
        &self,
        cache: &Cache,
        series: SeriesId,
        from_s: i64,
        until_s: i64,
        columns: &mut Columns,
    ) -> Result<(), StoreError> {
        if let Some(head) = self.memory() {
            // That head may hold other days too, which are other blocks.
            let (first, end) = (self.meta.first_timestamp, self.meta.last_timestamp.saturating_add(1));
            head.read(series, from_s.max(first), until_s.min(end), columns);
            return Ok(());
        }
        let opened = self.opened(cache)?;
        let Some(listed) = opened.directory.find(series) else { return Ok(()) };
        let records = self.records(cache, &opened, listed)?;
        let wanted = within(&records, from_s, until_s);
        let number = |index: usize| listed.first_record + index as u32;
        let kept: Option<Vec<_>> = wanted.clone().map(|index| cache.page(self.key(), number(index))).collect();
        let pages = match kept {
            Some(pages) => pages,
            None => {
                let read = self.points(&opened.points, &records[wanted.clone()])?;
                let pages: Vec<_> = read.into_iter().map(Arc::new).collect();
                wanted.zip(&pages).for_each(|(index, page)| cache.keep_page(self.key(), number(index), page));
                pages
            }
        };
        pages.iter().for_each(|page| columns.extend_within(page, from_s, until_s));
        Ok(())
    }

    /// Adds the buckets of one series that begin in `[from_s, until_s)`.
    pub fn read_buckets(
        &self,
        cache: &Cache,
        series: SeriesId,
        from_s: i64,
        until_s: i64,
        buckets: &mut Vec<Bucket>,
    ) -> Result<(), StoreError> {
        let opened = self.opened(cache)?;
        let Some(listed) = opened.directory.find(series) else { return Ok(()) };
        let records = self.records(cache, &opened, listed)?;
        let all = self.buckets(&opened.points, &records[within(&records, from_s, until_s)])?;
        buckets.extend(all.into_iter().filter(|bucket| (from_s..until_s).contains(&bucket.timestamp_s)));
        Ok(())
    }

    /// The datapoints of neighbouring records, each apart.
    fn points(&self, file: &File, records: &[Record]) -> Result<Vec<Columns>, StoreError> {
        let timestamps = self.timestamps(file, records)?;
        let values = self.column(file, records, 1, POINT_FLOATS[1])?;
        let columns = |page: (Values, Values)| match page {
            (Values::Ints(timestamps), Values::Floats(values)) => Ok(Columns { timestamps, values }),
            _ => Err(self.corrupt("holds other columns than it says")),
        };
        timestamps.into_iter().zip(values).map(columns).collect()
    }

    /// The buckets of neighbouring records.
    fn buckets(&self, file: &File, records: &[Record]) -> Result<Vec<Bucket>, StoreError> {
        let column = |(column, is_float): (usize, &bool)| match column {
            0 => self.timestamps(file, records),
            _ => self.column(file, records, column, *is_float),
        };
        let columns = BUCKET_FLOATS.iter().enumerate().map(column).collect::<Result<Vec<_>, _>>()?;
        let int = |column: usize, page: usize, row: usize| match &columns[column][page] {
            Values::Ints(values) => values[row],
            Values::Floats(_) => 0,
        };
        let float = |column: usize, page: usize, row: usize| match &columns[column][page] {
            Values::Floats(values) => values[row],
            Values::Ints(_) => 0.0,
        };
        let bucket = |(page, row): (usize, usize)| Bucket {
            timestamp_s: int(0, page, row),
            count: int(1, page, row) as u64,
            sum: float(2, page, row),
            min: float(3, page, row),
            max: float(4, page, row),
            last: float(5, page, row),
            last_at_s: int(6, page, row),
        };
        let rows = |(page, record): (usize, &Record)| (0..record.n_rows as usize).map(move |row| (page, row));
        Ok(records.iter().enumerate().flat_map(rows).map(bucket).collect())
    }

    /// The first column of neighbouring records, which is read only where the records do not tell it.
    fn timestamps(&self, file: &File, records: &[Record]) -> Result<Vec<Values>, StoreError> {
        let told = records.iter().map(|record| record.timestamps().map(|told| Values::Ints(told.collect())));
        match told.collect() {
            Some(told) => Ok(told),
            None => self.column(file, records, 0, false),
        }
    }

    /// One column of neighbouring records, a page each, with one read of the file: only headers lie between them.
    fn column(
        &self,
        file: &File,
        records: &[Record],
        column: usize,
        is_float: bool,
    ) -> Result<Vec<Values>, StoreError> {
        let place = |record: &Record| record.places.get(column).copied();
        let ends = (records.first().and_then(place), records.last().and_then(place));
        let (Some(first), Some(last)) = ends else { return Ok(Vec::new()) };
        let n_bytes = last.end().checked_sub(first.at).filter(|n_bytes| *n_bytes <= self.meta.points_bytes);
        let mut bytes = vec![0; n_bytes.ok_or_else(|| self.corrupt("pages are out of order"))? as usize];
        file.read_exact_at(&mut bytes, first.at).context("read", &self.dir.join("points.parquet"))?;
        let page = |record: &Record| {
            let place = place(record)?;
            let start = usize::try_from(place.at.checked_sub(first.at)?).ok()?;
            let page = bytes.get(start..)?.get(..place.n_bytes as usize)?;
            let n_rows = record.n_rows as usize;
            if crc32fast::hash(page) != place.checksum {
                return None;
            }
            match is_float {
                true => page::read_floats(page, n_rows, place.is_split).map(Values::Floats),
                false => page::read_ints(page, n_rows).map(Values::Ints),
            }
        };
        let page = |record| page(record).ok_or_else(|| self.corrupt("a page is not as it was written"));
        records.iter().map(page).collect()
    }

    fn key(&self) -> BlockKey {
        (self.meta.sequence, self.meta.generation)
    }

    fn opened(&self, cache: &Cache) -> Result<Arc<Opened>, StoreError> {
        if let Some(opened) = cache.opened(self.key()) {
            return Ok(opened);
        }
        let opened = Arc::new(self.open_files()?);
        cache.keep_opened(self.key(), &opened);
        Ok(opened)
    }

    fn open_files(&self) -> Result<Opened, StoreError> {
        let path = self.dir.join("pages.idx");
        let index = File::open(&path).context("open", &path)?;
        let n_columns = if self.meta.shelf.archive == 0 { POINT_FLOATS.len() } else { BUCKET_FLOATS.len() };
        let directory = Directory::read(&index, self.meta.n_series as usize, n_columns, self.meta.pages_checksum);
        let directory = directory.context("read", &path)?;
        let directory = directory.ok_or_else(|| self.corrupt("pages.idx has another checksum"))?;
        let path = self.dir.join("points.parquet");
        Ok(Opened { directory, index, points: File::open(&path).context("open", &path)? })
    }

    fn records(&self, cache: &Cache, opened: &Opened, listed: &Listed) -> Result<Arc<[Record]>, StoreError> {
        if let Some(records) = cache.records(self.key(), listed.id) {
            return Ok(records);
        }
        let records = self.read_records(opened, listed)?.into();
        cache.keep_records(self.key(), listed.id, &records);
        Ok(records)
    }

    fn read_records(&self, opened: &Opened, listed: &Listed) -> Result<Vec<Record>, StoreError> {
        let records = opened.directory.records(&opened.index, listed).context("read", &self.dir)?;
        records.ok_or_else(|| self.corrupt("a series' records in pages.idx have another checksum"))
    }

    fn corrupt(&self, reason: &str) -> StoreError {
        StoreError::Corrupt { path: self.dir.clone(), reason: reason.to_owned() }
    }

    /// The series of this block in the order of their rows, which is that of their names.
    pub fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        entries::read(&self.dir.join("series.parquet"))
    }

    /// The numbers of its series.
    pub fn series(&self) -> Result<Vec<SeriesId>, StoreError> {
        Ok(self.open_files()?.directory.series.into_iter().map(|listed| listed.id).collect())
    }

    /// Reads its series one after the other, in order of their names. What is read is kept in no cache.
    pub fn scan(&self) -> Result<Scan<'_>, StoreError> {
        Ok(Scan { block: self, opened: self.open_files()?, entries: self.entries()?, at: 0 })
    }

    /// Keeps the head that the block was written from for reading, or gives it back.
    pub fn set_memory(&self, head: Option<Arc<Head>>) {
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = head;
    }

    /// The head that is kept for reading.
    pub fn memory(&self) -> Option<Arc<Head>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Removes the block's files. A reader that has them open finishes; one that comes later gets "not found".
    pub fn remove(&self, cache: &Cache) -> Result<(), StoreError> {
        cache.close(self.key());
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
    opened: Opened,
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
        let block = self.block;
        let listed = self.entry().and_then(|entry| self.opened.directory.find(entry.id));
        let listed = listed.ok_or_else(|| block.corrupt("pages.idx lacks a series"))?;
        let records = block.read_records(&self.opened, listed)?;
        let rows = match block.meta.shelf.archive {
            0 => {
                let mut columns = Columns::default();
                for mut page in block.points(&self.opened.points, &records)? {
                    columns.timestamps.append(&mut page.timestamps);
                    columns.values.append(&mut page.values);
                }
                Rows::Points(columns)
            }
            _ => Rows::Buckets(block.buckets(&self.opened.points, &records)?),
        };
        self.at += 1;
        Ok(rows)
    }
}

/// The records that may hold rows of `[from_s, until_s)`.
fn within(records: &[Record], from_s: i64, until_s: i64) -> Range<usize> {
    let end = records.partition_point(|record| record.first_s < until_s);
    // The one before the first that begins later may reach into it.
    let start = records.partition_point(|record| record.first_s <= from_s).saturating_sub(1);
    start.min(end)..end
}

/// Renames a folder out of the way before removing it, so that a crash in between leaves no half block.
pub(crate) fn remove_dir(dir: &Path) -> Result<(), StoreError> {
    let doomed = dir.with_extension("tmp");
    fs::rename(dir, &doomed).context("rename", dir)?;
    fs::remove_dir_all(&doomed).context("remove", &doomed)
}
