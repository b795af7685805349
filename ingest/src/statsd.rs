//! StatsD in: UDP, TCP and Unix datagrams, aggregated as Etsy's daemon does, flushed to a [`crate::sink::Sink`].
//!
//! [`parse`] and [`aggregate`] are pure, know no clock and touch no socket; [`server`] is what runs.

pub(crate) mod number;

pub mod parse;

pub mod name;

mod names;

mod sketch;

mod timer;

mod members;

pub mod aggregate;

pub mod flush;

mod config;

mod lines;

mod admin;

mod schedule;

mod relay;

pub mod server;

pub use aggregate::{Aggregator, Kind, Limits};
pub use config::{Bin, HistogramConfig, Infinity, StatsdConfig, StatsdConfigError};
pub use relay::{RelayConfig, RelayStats, Transport};
pub use server::Server;
pub use sketch::Sketch;
