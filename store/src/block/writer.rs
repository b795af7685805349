//! Writing a block, series after series.

use std::{
    fs::{self, File},
    io::{BufWriter, IntoInnerError},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Block, FORMAT, Meta, Shelf,
    entries::{self, Entry},
    index::{self, Record},
    meta::name_of,
    page::Values,
    table::{PAGE_ROWS, Table},
};
use crate::{
    error::{IoContext, StoreError},
    frame,
    point::{Columns, SeriesId},
    rollup::Bucket,
};

/// Takes the series of one block in order of their names.
pub(crate) struct BlockWriter {
    blocks_dir: PathBuf,
    temporary: PathBuf,
    meta: Meta,
    table: Table<BufWriter<File>>,
    entries: Vec<Entry>,
    /// The first timestamp and the step of every run of rows that has pages of its own.
    runs: Vec<(i64, u32)>,
}

impl BlockWriter {
    pub fn create(
        blocks_dir: &Path,
        shelf: Shelf,
        sequence: u64,
        generation: u32,
        replaces: Vec<String>,
    ) -> Result<Self, StoreError> {
        let temporary = blocks_dir.join(name_of(shelf.day, sequence, generation)).with_extension("tmp");
        if temporary.exists() {
            fs::remove_dir_all(&temporary).context("remove", &temporary)?;
        }
        fs::create_dir(&temporary).context("create", &temporary)?;
        let columns = if shelf.archive == 0 { super::POINT_COLUMNS } else { super::BUCKET_COLUMNS };
        let path = temporary.join("points.parquet");
        let file = BufWriter::new(File::create(&path).context("create", &path)?);
        let table = Table::new(file, columns).context("write", &path)?;
        let meta = Meta {
            format: FORMAT,
            sequence,
            generation,
            shelf,
            first_timestamp: i64::MAX,
            last_timestamp: i64::MIN,
            n_points: 0,
            n_series: 0,
            points_bytes: 0,
            series_bytes: 0,
            pages_bytes: 0,
            pages_checksum: 0,
            replaces,
        };
        Ok(Self { blocks_dir: blocks_dir.to_owned(), temporary, meta, table, entries: Vec::new(), runs: Vec::new() })
    }

    /// Adds a series; names come in ascending order, and the datapoints ascend in time within the block's day.
    pub fn push(&mut self, id: SeriesId, name: &Arc<str>, columns: Columns) -> Result<(), StoreError> {
        let Columns { timestamps, values } = columns;
        self.add(id, name, vec![Values::Ints(timestamps), Values::Floats(values)])
    }

    /// Adds a series to a block of buckets, which ascend in time.
    pub fn push_buckets(&mut self, id: SeriesId, name: &Arc<str>, buckets: &[Bucket]) -> Result<(), StoreError> {
        let ints = |of: fn(&Bucket) -> i64| Values::Ints(buckets.iter().map(of).collect());
        let floats = |of: fn(&Bucket) -> f64| Values::Floats(buckets.iter().map(of).collect());
        let columns = vec![
            ints(|bucket| bucket.timestamp_s),
            ints(|bucket| bucket.count as i64),
            floats(|bucket| bucket.sum),
            floats(|bucket| bucket.min),
            floats(|bucket| bucket.max),
            floats(|bucket| bucket.last),
            ints(|bucket| bucket.last_at_s),
        ];
        self.add(id, name, columns)
    }

    fn add(&mut self, id: SeriesId, name: &Arc<str>, columns: Vec<Values>) -> Result<(), StoreError> {
        let Some(Values::Ints(timestamps)) = columns.first() else { return Ok(()) };
        let (Some(first), Some(last)) = (timestamps.first(), timestamps.last()) else { return Ok(()) };
        self.meta.first_timestamp = self.meta.first_timestamp.min(*first);
        self.meta.last_timestamp = self.meta.last_timestamp.max(*last);
        // At most a row a second of at most 256 days, so the count fits.
        let n_rows = timestamps.len() as u32;
        self.entries.push(Entry { id, name: name.to_string(), first_row: self.meta.n_points, n_rows });
        self.meta.n_points += u64::from(n_rows);
        self.runs.extend(timestamps.chunks(PAGE_ROWS).map(|run| (run[0], index::step_of(run))));
        self.table.push(name, &columns, n_rows as usize).context("write", &self.temporary)
    }

    /// Makes the block durable under its name and opens it. `None` when it got no datapoint; then nothing is left.
    pub fn finish(mut self) -> Result<Option<Block>, StoreError> {
        if self.meta.n_points == 0 {
            fs::remove_dir_all(&self.temporary).context("remove", &self.temporary)?;
            return Ok(None);
        }
        let (file, places) = self.table.finish().context("write", &self.temporary)?;
        let file = file.into_inner().map_err(IntoInnerError::into_error).context("write", &self.temporary)?;
        file.sync_all().context("sync", &self.temporary)?;
        self.meta.points_bytes = file.metadata().context("read", &self.temporary)?.len();
        self.meta.n_series = self.entries.len() as u32;
        self.meta.series_bytes = entries::write(&self.temporary.join("series.parquet"), &self.entries)?;
        let mut runs = self.runs.into_iter().zip(places);
        let mut records = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            let n_rows = |start: usize| (entry.n_rows as usize - start).min(PAGE_ROWS) as u32;
            let starts = (0..entry.n_rows as usize).step_by(PAGE_ROWS).zip(runs.by_ref());
            let record =
                |(start, ((first_s, step_s), places))| Record { first_s, n_rows: n_rows(start), step_s, places };
            records.push((entry.id, starts.map(record).collect()));
        }
        (self.meta.pages_bytes, self.meta.pages_checksum) = index::write(&self.temporary.join("pages.idx"), records)?;
        let path = self.temporary.join("meta.json");
        let json = serde_json::to_vec_pretty(&self.meta).expect("numbers and texts are JSON");
        fs::write(&path, json).and_then(|()| File::open(&path)?.sync_all()).context("write", &path)?;
        frame::sync_dir(&self.temporary).context("sync", &self.temporary)?;
        let dir = self.blocks_dir.join(self.meta.name());
        fs::rename(&self.temporary, &dir).context("rename", &self.temporary)?;
        frame::sync_dir(&self.blocks_dir).context("sync", &self.blocks_dir)?;
        Block::open(&dir).map(Some)
    }
}
