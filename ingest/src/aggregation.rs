//! Series out of series as they come in: what carbon-aggregator does with its `aggregation-rules.conf`.
//!
//! Every datapoint that the store takes is looked up in the rules; each output has buckets of its interval, and a bucket that has
//! changed is written once its interval has passed, and again if late datapoints change it. The same timestamp again replaces the value, so
//! that an output is right as of its last input.

mod rule;

mod buckets;

mod sink;

pub use rule::{AggregationConfig, Method, Rule, RuleError};
pub use sink::{Aggregating, Outputs, Stats, run};
