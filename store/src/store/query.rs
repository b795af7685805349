//! Reading series: datapoints as they came, or rolled up to the archive that answers for the time asked about.

use super::{Layout, Store, is_damage, read};
use crate::{
    error::StoreError,
    point::{Columns, SeriesId},
    retention::{Keep, archive_for},
    rollup::{Bucket, Consolidate, floor, roll_up, settle},
};

/// How often a read starts over because a merge took a block from under it; one merge takes longer than a read.
const MAX_MERGES_MET: usize = 16;

/// What is read of the blocks and heads at one moment.
#[derive(Default)]
struct Rows {
    points: Columns,
    buckets: Vec<Bucket>,
}

impl Store {
    /// A series in `[from_s, until_s)`, Unix seconds, from the finest archive of its retention that reaches back to
    /// `from_s`, as Graphite does. Empty for an id that is not known.
    ///
    /// From the first archive come the datapoints as they were sent; from any other the buckets that begin in the range,
    /// consolidated as [`Consolidate::of_name`] says of the name.
    ///
    /// Blocking where the range reaches into blocks that are no longer in memory. A block that turns out damaged is
    /// set aside and the rest is served.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::Parquet`] when a file cannot be read for another reason than damage.
    pub fn read(&self, series: SeriesId, from_s: i64, until_s: i64) -> Result<Columns, StoreError> {
        let how = read(&self.shared.names).name(series).map_or(Consolidate::Average, Consolidate::of_name);
        self.read_as(series, from_s, until_s, how)
    }

    /// As [`Store::read`], with what a bucket is to be told as.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn read_as(
        &self,
        series: SeriesId,
        from_s: i64,
        until_s: i64,
        how: Consolidate,
    ) -> Result<Columns, StoreError> {
        let Some(resolution_s) = self.resolution_for(series, from_s) else {
            return self.read_points(series, from_s, until_s);
        };
        let buckets = self.read_buckets(series, from_s, until_s, resolution_s)?;
        Ok(Columns {
            timestamps: buckets.iter().map(|bucket| bucket.timestamp_s).collect(),
            values: buckets.iter().map(|bucket| bucket.value(how)).collect(),
        })
    }

    /// The archives that a series is kept in, from fine to coarse. Empty for an id that is not known.
    pub fn retention(&self, series: SeriesId) -> Vec<Keep> {
        let rule = read(&self.shared.names).rule(series);
        rule.map_or_else(Vec::new, |rule| self.shared.policy.keep(rule).to_vec())
    }

    /// Seconds between the rows that [`Store::read`] gives from `from_s` on. `None` for datapoints as they were sent.
    pub fn resolution_for(&self, series: SeriesId, from_s: i64) -> Option<u32> {
        let keep = self.retention(series);
        let age_s = (self.shared.clock)().as_secs().saturating_sub(from_s);
        let archive = archive_for(&keep, age_s);
        keep.get(archive).filter(|_| archive > 0).map(|keep| keep.resolution_s)
    }

    /// The datapoints of a series in `[from_s, until_s)` that are still there as they were sent.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn read_points(&self, series: SeriesId, from_s: i64, until_s: i64) -> Result<Columns, StoreError> {
        Ok(self.rows(series, from_s, until_s, 0)?.points)
    }

    /// A series in intervals of `resolution_s` that begin in `[from_s, until_s)`, from whatever is kept of it in that
    /// resolution or a finer one that divides it: from rollups where datapoints have become such, from datapoints
    /// elsewhere. Intervals without a datapoint are left out.
    ///
    /// An interval at the edge of a rollup is whole: `[from_s, until_s)` chooses intervals, it does not cut them.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn read_buckets(
        &self,
        series: SeriesId,
        from_s: i64,
        until_s: i64,
        resolution_s: u32,
    ) -> Result<Vec<Bucket>, StoreError> {
        let step_s = i64::from(resolution_s.max(1));
        // The first interval that begins in the range, and the end of the last.
        let from_s = floor(from_s.saturating_add(step_s - 1), step_s);
        let until_s = floor(until_s.saturating_add(step_s - 1), step_s);
        let Rows { points, mut buckets } = self.rows(series, from_s, until_s, step_s)?;
        roll_up(&points, step_s, &mut buckets);
        settle(&mut buckets, step_s);
        Ok(buckets)
    }

    /// Datapoints, settled, and with a step the buckets that divide it, as they lie in blocks.
    fn rows(&self, series: SeriesId, from_s: i64, until_s: i64, step_s: i64) -> Result<Rows, StoreError> {
        for _ in 0..MAX_MERGES_MET {
            if let Some(mut rows) = self.rows_once(series, from_s, until_s, step_s)? {
                rows.points.settle();
                return Ok(rows);
            }
        }
        let path = Layout::new(&self.shared.config.dir).blocks;
        Err(StoreError::Io { action: "read", path, source: std::io::ErrorKind::NotFound.into() })
    }

    /// `None` when a block was merged or dropped before it could be opened: its datapoints are elsewhere now.
    fn rows_once(&self, series: SeriesId, from_s: i64, until_s: i64, step_s: i64) -> Result<Option<Rows>, StoreError> {
        let Some(rule) = read(&self.shared.names).rule(series) else { return Ok(Some(Rows::default())) };
        let keep = self.shared.policy.keep(rule);
        let mut newest = Columns::default();
        let blocks = {
            // The blocks of the same moment: what leaves a head is in a block before, and in no bucket until after.
            let heads = read(&self.shared.heads);
            if let Some(frozen) = &heads.frozen {
                frozen.read(series, from_s, until_s, &mut newest);
            }
            heads.active.read(series, from_s, until_s, &mut newest);
            read(&self.shared.blocks).clone()
        };
        let mut rows = Rows::default();
        let cache = &self.shared.cache;
        for block in blocks.iter().filter(|block| block.overlaps(from_s, until_s)) {
            let shelf = &block.meta.shelf;
            let outcome = match shelf.resolution_s() {
                // The head that it was written from may hold this series too, which is then in a block of its own rule.
                0 if block.memory().is_some() && shelf.keep != keep => Ok(()),
                0 => block.read(cache, series, from_s, until_s, &mut rows.points),
                resolution_s if step_s > 0 && step_s % resolution_s == 0 => {
                    block.read_buckets(cache, series, from_s, until_s, &mut rows.buckets)
                }
                _ => Ok(()),
            };
            match outcome {
                Err(error) if is_damage(&error) => self.set_aside(block, &error),
                Err(_) if !self.is_in_service(block) => return Ok(None),
                outcome => outcome?,
            }
        }
        rows.points.timestamps.append(&mut newest.timestamps);
        rows.points.values.append(&mut newest.values);
        Ok(Some(rows))
    }
}
