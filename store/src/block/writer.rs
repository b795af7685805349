//! Writing a block, row group after row group.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};

use polars::{
    io::parquet::write::BatchedWriter,
    prelude::{Column, DataFrame, DataType, Field, ParquetCompression, ParquetWriter, PolarsResult, Schema},
};

use super::{Block, FORMAT, Meta, index, index::Entry};
use crate::{
    error::{IoContext, StoreError},
    frame,
    head::DAY_S,
    point::{Columns, SeriesId},
};

/// Rows of a row group: what a read of one series has to touch, so small enough for that and large enough to compress.
const GROUP_ROWS: usize = 64 << 10;

/// Takes the series of one block in order of their names.
pub(crate) struct BlockWriter {
    blocks_dir: PathBuf,
    temporary: PathBuf,
    meta: Meta,
    file: File,
    writer: BatchedWriter<File>,
    entries: Vec<Entry>,
    group: Group,
}

/// The rows of the row group to come.
#[derive(Default)]
struct Group {
    names: Vec<Arc<str>>,
    timestamps: Vec<i64>,
    values: Vec<f64>,
}

impl BlockWriter {
    pub fn create(
        blocks_dir: &Path,
        day: i64,
        sequence: u64,
        generation: u32,
        replaces: Vec<String>,
    ) -> Result<Self, StoreError> {
        let temporary = blocks_dir.join(super::name_of(day, sequence, generation)).with_extension("tmp");
        if temporary.exists() {
            fs::remove_dir_all(&temporary).context("remove", &temporary)?;
        }
        fs::create_dir(&temporary).context("create", &temporary)?;
        let path = temporary.join("points.parquet");
        let file = File::create(&path).context("create", &path)?;
        let schema = Schema::from_iter([
            Field::new("series".into(), DataType::String),
            Field::new("timestamp".into(), DataType::Int64),
            Field::new("value".into(), DataType::Float64),
        ]);
        let writer = ParquetWriter::new(file.try_clone().context("open", &path)?)
            .with_compression(ParquetCompression::Zstd(None))
            .batched(&schema)
            .context("write", &path)?;
        let meta = Meta {
            format: FORMAT,
            sequence,
            generation,
            day,
            first_timestamp: i64::MAX,
            last_timestamp: i64::MIN,
            n_points: 0,
            n_series: 0,
            points_bytes: 0,
            series_bytes: 0,
            replaces,
        };
        let (entries, group) = (Vec::new(), Group::default());
        Ok(Self { blocks_dir: blocks_dir.to_owned(), temporary, meta, file, writer, entries, group })
    }

    /// Adds a series; names come in ascending order, and the datapoints ascend in time within the block's day.
    pub fn push(&mut self, id: SeriesId, name: &Arc<str>, columns: &Columns) -> Result<(), StoreError> {
        let (Some(first), Some(last)) = (columns.timestamps.first(), columns.timestamps.last()) else { return Ok(()) };
        debug_assert!(*first >= self.meta.day * DAY_S && *last < (self.meta.day + 1) * DAY_S);
        self.meta.first_timestamp = self.meta.first_timestamp.min(*first);
        self.meta.last_timestamp = self.meta.last_timestamp.max(*last);
        // A day has 86,400 seconds, so the count fits.
        let n_rows = columns.len() as u32;
        self.entries.push(Entry { id, name: name.to_string(), first_row: self.meta.n_points, n_rows });
        self.meta.n_points += u64::from(n_rows);
        self.group.names.extend(std::iter::repeat_n(name, columns.len()).cloned());
        self.group.timestamps.extend_from_slice(&columns.timestamps);
        self.group.values.extend_from_slice(&columns.values);
        if self.group.values.len() >= GROUP_ROWS { self.write_group() } else { Ok(()) }
    }

    fn write_group(&mut self) -> Result<(), StoreError> {
        let group = std::mem::take(&mut self.group);
        if group.values.is_empty() {
            return Ok(());
        }
        let frame = group.frame().context("write", &self.temporary)?;
        self.writer.write_batch(&frame).context("write", &self.temporary)
    }

    /// Makes the block durable under its name and opens it. `None` when it got no datapoint; then nothing is left.
    pub fn finish(mut self) -> Result<Option<Block>, StoreError> {
        if self.meta.n_points == 0 {
            fs::remove_dir_all(&self.temporary).context("remove", &self.temporary)?;
            return Ok(None);
        }
        self.write_group()?;
        self.writer.finish().context("write", &self.temporary)?;
        self.file.sync_all().context("sync", &self.temporary)?;
        self.meta.points_bytes = self.file.metadata().context("read", &self.temporary)?.len();
        self.meta.n_series = self.entries.len() as u32;
        self.meta.series_bytes = self.write_index()?;
        let path = self.temporary.join("meta.json");
        let json = serde_json::to_vec_pretty(&self.meta).expect("numbers and texts are JSON");
        fs::write(&path, json).and_then(|()| File::open(&path)?.sync_all()).context("write", &path)?;
        frame::sync_dir(&self.temporary).context("sync", &self.temporary)?;
        let dir = self.blocks_dir.join(self.meta.name());
        fs::rename(&self.temporary, &dir).context("rename", &self.temporary)?;
        frame::sync_dir(&self.blocks_dir).context("sync", &self.blocks_dir)?;
        Block::open(&dir).map(Some)
    }

    fn write_index(&self) -> Result<u64, StoreError> {
        let path = self.temporary.join("series.parquet");
        let file = File::create(&path).context("create", &path)?;
        let mut frame = index::frame(&self.entries).context("write", &path)?;
        ParquetWriter::new(&file).finish(&mut frame).context("write", &path)?;
        file.sync_all().context("sync", &path)?;
        Ok(file.metadata().context("read", &path)?.len())
    }
}

impl Group {
    fn frame(self) -> PolarsResult<DataFrame> {
        let names: Vec<&str> = self.names.iter().map(|name| &**name).collect();
        let columns = vec![
            Column::new("series".into(), names),
            Column::new("timestamp".into(), self.timestamps),
            Column::new("value".into(), self.values),
        ];
        DataFrame::new(columns[0].len(), columns)
    }
}
