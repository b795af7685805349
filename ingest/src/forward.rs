//! Series on to a Graphite-compatible cluster: everything that the store takes is written on, in line or pickle protocol.
//!
//! ```text
//! receivers ─▶ Forwarding ─▶ store
//!                   └─▶ queue of each target ─▶ its connection
//! ```
//!
//! The store comes first and decides what the sender is told; a target that is slow or away costs nobody anything. What it does not take in time
//! waits in a queue of [`ForwardConfig::queue_points`] datapoints in memory; past that the oldest are dropped and counted. Nothing is
//! kept on disk: the store has every datapoint, and what a cluster missed can be exported from there.
//!
//! Delivery is at least once: a batch that a broken connection may have swallowed is sent again, and to Graphite the same datapoint twice is one.

mod config;

mod encode;

mod queue;

mod sender;

pub use config::{ForwardConfig, Protocol};
pub use queue::{Forwarding, Queue, Stats};
pub use sender::run;
