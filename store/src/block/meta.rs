//! `meta.json`: what a block holds.

use serde::{Deserialize, Serialize};

use crate::{head::DAY_S, retention::Keep};

/// The version of the layout that this code writes and reads.
pub(super) const FORMAT: u32 = 3;

/// Rows that a series should have in a block at least, where its resolution is coarse: a block then spans several days.
const LEAST_ROWS: i64 = 1024;
/// Most days of a block.
const MOST_DAYS: i64 = 256;

/// What a block holds, and the retention that it was written under.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub format: u32,
    /// Orders blocks: of two values for one series and timestamp, the block with the higher number has the valid one.
    pub sequence: u64,
    /// How often its datapoints were rewritten by a merge.
    pub generation: u32,
    #[serde(flatten)]
    pub shelf: Shelf,
    pub first_timestamp: i64,
    pub last_timestamp: i64,
    /// Rows: datapoints, or buckets.
    pub n_points: u64,
    pub n_series: u32,
    /// Bytes of `points.parquet`, `series.parquet` and `pages.idx`, so that a cut file is noticed at the start.
    pub points_bytes: u64,
    pub series_bytes: u64,
    pub pages_bytes: u64,
    /// CRC-32 of the magic and the directory of `pages.idx`.
    pub pages_checksum: u32,
    /// The blocks that went into this one. Any of them still there is removed.
    pub replaces: Vec<String>,
}

/// What blocks have in common that may be merged: retention, archive and days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shelf {
    /// The archives that its series are kept in, from fine to coarse. As in whisper they are those of the day it was
    /// written: a change of the configuration is for new datapoints.
    pub keep: Vec<Keep>,
    /// Which of them this block belongs to; 0 holds datapoints as they came, the others buckets.
    pub archive: usize,
    /// The first day, counted from the epoch, and how many there are.
    pub day: i64,
    pub days: i64,
}

impl Shelf {
    /// The one that holds a day's datapoints as they came.
    pub fn raw(keep: &[Keep], day: i64) -> Self {
        Self { keep: keep.to_vec(), archive: 0, day, days: 1 }
    }

    /// The one that this one's datapoints move to, once the time is up that they stay here. `None` for the last.
    pub fn next(&self) -> Option<Self> {
        let archive = self.archive + 1;
        let resolution_s = i64::from(self.keep.get(archive)?.resolution_s);
        let least_days = (LEAST_ROWS * resolution_s).div_euclid(DAY_S).max(1) as u64;
        let days = (least_days.next_power_of_two() as i64).min(MOST_DAYS).max(self.days);
        let day = self.day.div_euclid(days) * days;
        Some(Self { keep: self.keep.clone(), archive, day, days })
    }

    /// Seconds between two rows of a series; 0 for datapoints as they came.
    pub fn resolution_s(&self) -> i64 {
        match self.archive {
            0 => 0,
            archive => self.keep.get(archive).map_or(0, |keep| i64::from(keep.resolution_s)),
        }
    }

    /// When it is over, in Unix seconds.
    pub fn end_s(&self) -> i64 {
        (self.day.saturating_add(self.days)).saturating_mul(DAY_S)
    }

    /// Seconds for which its rows stay.
    pub fn keep_s(&self) -> i64 {
        self.keep.get(self.archive).map_or(i64::MAX, |keep| i64::try_from(keep.keep_s).unwrap_or(i64::MAX))
    }
}

impl Meta {
    /// The block's folder.
    pub fn name(&self) -> String {
        name_of(self.shelf.day, self.sequence, self.generation)
    }
}

pub(super) fn name_of(day: i64, sequence: u64, generation: u32) -> String {
    format!("{day:06}-{sequence:010}-{generation}")
}
