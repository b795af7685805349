//! Prometheus' remote write in, protocol 1.0: snappy around a protobuf of series and samples, straight to a [`crate::sink::Sink`].
//!
//! A series `metric{label="value"}` is kept as `metric;label=value`, at a resolution of a second. Staleness markers are gaps, which are written by writing nothing. Samples
//! may come in any order. Exemplars, metadata and native histograms are passed over.

mod snappy;

mod message;

mod intake;

pub use intake::{Intake, RemoteWriteConfig, RemoteWriteError, Stats, Taken};
