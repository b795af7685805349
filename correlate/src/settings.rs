//! What the engine is told once: signals, services, and the few numbers a shop may want to turn.

use deployline_schemas::signal::{Services, Signal, default_signals};
use serde::{Deserialize, Serialize};

use crate::learned::Learned;

/// The engine's settings. The defaults are the ones that the measurements in `docs/correlation.md` speak of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What the series mean.
    pub signals: Vec<Signal>,
    /// The services and what they depend on.
    pub services: Services,
    /// The length of a bin in seconds: the flush interval. 1 or more.
    pub bin_s: i64,
    /// How long a bin stays open after its end, in milliseconds, for datapoints on their way.
    pub lateness_ms: i64,
    /// An alert names a deploy once the belief in it reaches this, `0.5..1.0`.
    pub alert_probability: f64,
    /// Most signals that are followed; further series are counted and left out.
    pub max_signals: usize,
    /// Most deploys that are remembered.
    pub max_deploys: usize,
    /// Most incidents that are kept, the open ones first.
    pub max_incidents: usize,
    /// What the shop's own verdicts have taught.
    pub learned: Learned,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            signals: default_signals(),
            services: Services::new(),
            bin_s: 10,
            lateness_ms: 0,
            alert_probability: 0.84,
            max_signals: 200_000,
            max_deploys: 10_000,
            max_incidents: 1_000,
            learned: Learned::default(),
        }
    }
}
