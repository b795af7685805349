//! `series.parquet`: which rows of a block are whose, by name.

use std::{fs::File, path::Path};

use polars::prelude::{Column, DataFrame, ParquetReader, ParquetWriter, PolarsResult, SerReader};

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

/// Writes the table. Returns the file's length.
pub(super) fn write(path: &Path, entries: &[Entry]) -> Result<u64, StoreError> {
    let file = File::create(path).context("create", path)?;
    let mut frame = frame(entries).context("write", path)?;
    ParquetWriter::new(&file).finish(&mut frame).context("write", path)?;
    file.sync_all().context("sync", path)?;
    Ok(file.metadata().context("read", path)?.len())
}

fn frame(entries: &[Entry]) -> PolarsResult<DataFrame> {
    let column = |name: &str| name.to_owned().into();
    let columns = vec![
        Column::new(column("series"), entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>()),
        Column::new(column("id"), entries.iter().map(|entry| entry.id.0).collect::<Vec<_>>()),
        Column::new(column("first_row"), entries.iter().map(|entry| entry.first_row).collect::<Vec<_>>()),
        Column::new(column("n_rows"), entries.iter().map(|entry| entry.n_rows).collect::<Vec<_>>()),
    ];
    DataFrame::new(entries.len(), columns)
}

/// Reads what [`write`] wrote.
pub(super) fn read(path: &Path) -> Result<Vec<Entry>, StoreError> {
    let file = File::open(path).context("open", path)?;
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
    // Polars answers some damaged pages with a panic. Nothing is shared with it but an open file.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(polars::prelude::polars_err!(ComputeError: "decoding panicked")))
        .context("read", path)
}
