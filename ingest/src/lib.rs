//! Deploy hooks, StatsD and Graphite in: parse, check, aggregate, publish.

pub mod hooks;
