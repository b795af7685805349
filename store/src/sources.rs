//! Read-through: series of servers that a shop already has, beside our own. A [`Federation`] is a store that also asks them.
//!
//! A source is asked for names when a pattern or a name is looked up, and for datapoints of a series only if it has said that it has it. Every
//! request is bounded in time, size and number; answers are kept for a while, bounded too; a source that fails is left alone for a
//! pause and costs its own series, never ours. Where both have a datapoint of one series and timestamp, ours counts.

mod config;

mod client;

mod graphite;

mod prometheus;

mod cache;

mod names;

mod source;

mod federation;

pub use config::{SourceConfig, SourceKind};
pub use federation::{Federation, MAX_SOURCES};
pub use source::SourceStats;
