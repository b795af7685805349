//! Which rows of a block are whose.

use std::{fs::File, path::Path};

use polars::prelude::{Column, DataFrame, ParquetReader, PolarsResult, SerReader};

use crate::{
    error::{IoContext, StoreError},
    point::SeriesId,
};

/// One row of `series.parquet`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub id: SeriesId,
    pub name: String,
    pub first_row: u64,
    pub n_rows: u32,
}

/// The rows of each series, by its number. 16 bytes a series.
pub(super) struct SeriesIndex {
    ids: Vec<u32>,
    rows: Vec<(u64, u32)>,
}

impl SeriesIndex {
    pub fn new(entries: &[Entry]) -> Self {
        let mut order: Vec<&Entry> = entries.iter().collect();
        order.sort_unstable_by_key(|entry| entry.id);
        let ids = order.iter().map(|entry| entry.id.0).collect();
        let rows = order.iter().map(|entry| (entry.first_row, entry.n_rows)).collect();
        Self { ids, rows }
    }

    /// The first row and the number of rows of a series.
    pub fn rows(&self, series: SeriesId) -> Option<(usize, usize)> {
        let at = self.ids.binary_search(&series.0).ok()?;
        let (first, length) = self.rows[at];
        Some((first as usize, length as usize))
    }
}

/// The table as Parquet keeps it.
pub(super) fn frame(entries: &[Entry]) -> PolarsResult<DataFrame> {
    let column = |name: &str| name.to_owned().into();
    let columns = vec![
        Column::new(column("series"), entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>()),
        Column::new(column("id"), entries.iter().map(|entry| entry.id.0).collect::<Vec<_>>()),
        Column::new(column("first_row"), entries.iter().map(|entry| entry.first_row).collect::<Vec<_>>()),
        Column::new(column("n_rows"), entries.iter().map(|entry| entry.n_rows).collect::<Vec<_>>()),
    ];
    DataFrame::new(entries.len(), columns)
}

/// Reads what [`frame`] wrote.
pub(super) fn read(file: File, dir: &Path) -> Result<Vec<Entry>, StoreError> {
    let read = || -> PolarsResult<Vec<Entry>> {
        let frame = ParquetReader::new(file).finish()?;
        let names = frame.column("series")?.str()?;
        let ids = frame.column("id")?.u32()?;
        let first_rows = frame.column("first_row")?.u64()?;
        let n_rows = frame.column("n_rows")?.u32()?;
        // A name is never null; should damage make it so, it is empty and matches nothing.
        let rows = names.iter().map(Option::unwrap_or_default).zip(ids.into_no_null_iter());
        let ranges = first_rows.into_no_null_iter().zip(n_rows.into_no_null_iter());
        Ok(rows
            .zip(ranges)
            .map(|((name, id), (first_row, n_rows))| Entry {
                id: SeriesId(id),
                name: name.to_owned(),
                first_row,
                n_rows,
            })
            .collect())
    };
    read().context("read", &dir.join("series.parquet"))
}
