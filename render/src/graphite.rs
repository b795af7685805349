//! Graphite's target language over series: `alias(sumSeries(stats.*.errors), "errors")`.
//!
//! A target is [parsed](parse) into an expression, whose functions are looked up in the [registry](functions) and run over
//! columns that a [`Source`] reads. Names, null rules and results follow graphite-web 1.1.10, which dashboards were written
//! against. Everything here is pure but for the source: no clock, no I/O.

pub mod error;

pub mod parse;

pub mod series;

mod aggregate;

pub mod source;

pub mod time;

pub mod call;

mod evaluate;

mod registry;

mod alias;
mod calculate;
mod combine;
mod filter;
mod graph;
mod group;
mod holt_winters;
mod number;
mod pattern;
mod rate;
mod special;
mod summarize;
mod transform;

pub use aggregate::Aggregate;
pub use call::{Function, Group, Param, ParamKind};
pub use error::GraphiteError;
pub use evaluate::{Context, Limits, evaluate};
pub use number::repr;
pub use registry::{find, functions};
pub use series::{Consolidation, Series};
pub use source::{Metric, Source, SourceError, grid};
