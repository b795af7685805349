//! Series at rest, their names, and the catalog of deploys and incidents.
//!
//! [`Store`] keeps datapoints: a head in memory, a write-ahead log, and Parquet blocks. [`Catalog`] keeps deploys,
//! incidents and what was told to whom, in SQLite. Both are blocking: async callers go through `spawn_blocking`.
//! The crate computes no statistics, starts no thread and reads no clock but the one it is given.

pub mod config;

pub mod retention;

pub mod error;

pub mod point;

pub mod rollup;

pub mod glob;

pub mod level;

pub mod tags;

mod parts;

mod trie;

mod texts;

mod names;

mod frame;

mod bits;

mod chunk;

mod run;

mod head;

mod wal;

mod recent;

mod block;

pub mod store;

pub mod export;

pub mod sources;

pub mod catalog;

pub use catalog::Catalog;
pub use config::StoreConfig;
pub use error::StoreError;
pub use export::{Export, ExportFormat};
pub use level::Level;
pub use point::{Appended, Columns, Point, SeriesId};
pub use rollup::{Bucket, Consolidate};
pub use sources::{Federation, SourceConfig, SourceKind, SourceStats};
pub use store::{Maintained, Stats, Store};
pub use tags::TagExpression;
