//! An ordered, durable, replayable log of topics.
//!
//! Records of one key keep their order. A published record is durable before its publisher hears so, is delivered to
//! each consumer group at least once, and stays readable until its topic's retention ends. [`Bus`] is the one contract;
//! behind it stand `embedded` (SQLite, one process, nothing to install) and `kafka` (a shop's own cluster), chosen by
//! [`BusConfig`] alone. `tests/contract.rs` holds both to the same claims.
//!
//! The bus never looks into a record: what a key or a value means is its users' business.

mod bus;
mod config;
mod embedded;
mod error;
mod foreign;
mod kafka;
mod record;
mod security;
mod span;
mod subscription;

pub use bus::Bus;
pub use config::{BusConfig, BusKind, Retention};
pub use error::{BusError, Cause, Recourse};
pub use foreign::{Foreign, ForeignRecord, Start};
pub use record::{Bounds, Delivered, MAX_RECORD_BYTES, Position, Record};
pub use security::{Mechanism, Password, Protocol, Sasl, Tls};
pub use span::Keep;
pub use subscription::{MAX_BATCH_BYTES, Subscription};
