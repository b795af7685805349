//! Deploy hooks, StatsD and Graphite in: parse, check, aggregate, publish.

pub mod hooks;

pub mod spool;

pub mod door;

pub mod topics;

pub mod tail;

pub mod announce;

pub mod projector;

pub mod listen;

mod refused;

mod datagram;

pub mod sink;

pub mod statsd;

pub mod carbon;

pub mod datapoints;

pub mod aggregation;

pub mod forward;

pub mod remote_write;
