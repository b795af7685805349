//! The `[store]` section of the configuration.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::retention::{RetentionRule, default_retention, duration};

/// Where the store keeps its files and how much it may take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// Everything on disk lies below it.
    pub dir: PathBuf,
    /// Most series names; a new one past it is refused and counted. A name takes about 300 bytes of memory.
    pub max_series: usize,
    /// How often the head is written to blocks, at multiples of it on the clock.
    #[serde(with = "duration")]
    pub window: Duration,
    /// Bytes of datapoints in memory. A quarter of it makes the head move to a block early, half of it makes senders
    /// wait until it has, and the other half keeps the newest blocks readable without a file. While a head is being
    /// written there may be half as much again. Beside it an eighth as much is what reads of blocks keep for the next.
    pub memory_bytes: usize,
    /// Most bytes of log before the head moves to a block early; bounds the time that a start takes.
    pub wal_bytes: u64,
    /// Bytes after which the log goes on in a new file.
    pub segment_bytes: u64,
    /// The `[[retention]]` rules, which stand beside this section; the first whose pattern matches decides.
    #[serde(skip)]
    pub retention: Vec<RetentionRule>,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("./deployline-data"),
            max_series: 1_000_000,
            window: Duration::from_secs(2 * 3600),
            memory_bytes: 768 << 20,
            wal_bytes: 256 << 20,
            segment_bytes: 32 << 20,
            retention: default_retention(),
        }
    }
}

impl StoreConfig {
    /// The defaults under another directory.
    pub fn in_dir(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), ..Self::default() }
    }
}
