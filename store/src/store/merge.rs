//! Merging blocks of one day, series by series in order of names.

use std::sync::Arc;

use crate::{
    block::{Block, BlockWriter, Entry},
    error::StoreError,
    point::Columns,
};

/// Series are read in runs of about this many rows.
const RUN_ROWS: usize = 256 << 10;

/// What went wrong, and the block at fault where it was one that was read.
type Failure = (Option<Arc<Block>>, StoreError);

/// Writes the datapoints of all blocks, of two for one series and timestamp that of the later block.
///
/// Walks the blocks in step: each one's rows are sorted by name, so that a run of names is a run of rows, and memory
/// holds one run of each.
pub(super) fn write(group: &[Arc<Block>], writer: &mut BlockWriter) -> Result<(), Failure> {
    let mut cursors = Vec::new();
    for block in group {
        let entries = block.entries().map_err(|error| (Some(block.clone()), error))?;
        cursors.push(Cursor { block, entries, at: 0, rows: Columns::default(), rows_from: 0 });
    }
    while let Some(name) = cursors.iter().filter_map(Cursor::name).min().map(Arc::<str>::from) {
        let mut columns = Columns::default();
        let mut id = None;
        for cursor in cursors.iter_mut().filter(|cursor| cursor.name() == Some(&*name)) {
            id = Some(cursor.entries[cursor.at].id);
            cursor.take(&mut columns).map_err(|error| (Some(cursor.block.clone()), error))?;
        }
        columns.settle();
        if let Some(id) = id {
            writer.push(id, &name, &columns).map_err(|error| (None, error))?;
        }
    }
    Ok(())
}

/// A place in a block, from the first series to the last.
struct Cursor<'b> {
    block: &'b Arc<Block>,
    entries: Vec<Entry>,
    at: usize,
    /// Decoded rows, the first of which is row `rows_from` of the block.
    rows: Columns,
    rows_from: usize,
}

impl Cursor<'_> {
    fn name(&self) -> Option<&str> {
        self.entries.get(self.at).map(|entry| entry.name.as_str())
    }

    /// Adds the datapoints of the series that the cursor stands on, and steps on.
    fn take(&mut self, columns: &mut Columns) -> Result<(), StoreError> {
        let entry = &self.entries[self.at];
        let (start, length) = (entry.first_row as usize, entry.n_rows as usize);
        let is_read = start >= self.rows_from && start + length <= self.rows_from + self.rows.len();
        if !is_read {
            self.rows = self.block.rows(start, length, length.max(RUN_ROWS))?;
            self.rows_from = start;
        }
        let range = start - self.rows_from..start - self.rows_from + length;
        columns.timestamps.extend_from_slice(&self.rows.timestamps[range.clone()]);
        columns.values.extend_from_slice(&self.rows.values[range]);
        self.at += 1;
        Ok(())
    }
}
