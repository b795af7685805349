//! Deploy hooks, StatsD and Graphite in: parse, check, aggregate, publish.

pub mod hooks;

pub mod listen;

pub mod sink;

pub mod statsd;
