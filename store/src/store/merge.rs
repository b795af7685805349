//! Making one block of several: of one shelf, or of a shelf whose time is up one of the next.

use std::sync::Arc;

use crate::{
    block::{Block, BlockWriter, Rows, Scan, Shelf},
    error::StoreError,
    point::Columns,
    rollup::{Bucket, roll_up, settle},
};

/// What went wrong, and the block at fault where it was one that was read.
type Failure = (Option<Arc<Block>>, StoreError);

/// Writes what all blocks hold, in order of their age: of two datapoints for one series and timestamp that of the later
/// block, rolled up where the target holds buckets; buckets of one interval become one.
///
/// Walks the blocks in step, as each one's rows are sorted by name. Memory holds one series of each.
pub(super) fn write(group: &[Arc<Block>], target: &Shelf, writer: &mut BlockWriter) -> Result<(), Failure> {
    let mut scans: Vec<(&Arc<Block>, Scan<'_>)> = Vec::new();
    for block in group {
        let scan = block.scan().map_err(|error| (Some(block.clone()), error))?;
        scans.push((block, scan));
    }
    let name_of = |scan: &Scan<'_>| scan.entry().map(|entry| entry.name.clone());
    while let Some(name) = scans.iter().filter_map(|(_, scan)| name_of(scan)).min().map(Arc::<str>::from) {
        let (mut columns, mut buckets) = (Columns::default(), Vec::<Bucket>::new());
        let mut id = None;
        for (block, scan) in &mut scans {
            let Some(entry) = scan.entry().filter(|entry| *entry.name == *name) else { continue };
            id = Some(entry.id);
            match scan.take().map_err(|error| (Some(block.clone()), error))? {
                Rows::Points(mut points) => {
                    columns.timestamps.append(&mut points.timestamps);
                    columns.values.append(&mut points.values);
                }
                Rows::Buckets(mut more) => buckets.append(&mut more),
            }
        }
        columns.settle();
        let Some(id) = id else { continue };
        let written = match target.resolution_s() {
            0 => writer.push(id, &name, columns),
            resolution_s => {
                roll_up(&columns, resolution_s, &mut buckets);
                settle(&mut buckets, resolution_s);
                writer.push_buckets(id, &name, &buckets)
            }
        };
        written.map_err(|error| (None, error))?;
    }
    Ok(())
}
