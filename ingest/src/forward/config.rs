//! The `[[forward]]` sections.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::listen::seconds;

/// One `[[forward]]` of the configuration: a Graphite-compatible server that gets our series as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForwardConfig {
    /// `host:port`; a name is looked up at each connection.
    pub to: String,
    /// How datapoints are written.
    #[serde(default)]
    pub protocol: Protocol,
    /// Globs over whole names, in which `*` spans dots as well; a series that matches one of them is forwarded. Empty means all.
    #[serde(default, rename = "match")]
    pub patterns: Vec<String>,
    /// Datapoints that wait in memory while the target is slow or away, 24 bytes each; past it the oldest are dropped and counted.
    #[serde(default = "default_queue_points")]
    pub queue_points: usize,
    /// How long connecting and each write may take; whole seconds.
    #[serde(default = "default_timeout", with = "seconds")]
    pub timeout: Duration,
}

/// Graphite's protocols.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// `name value timestamp`, one a line.
    #[default]
    Line,
    /// Lists of datapoints as Python pickles them, protocol 2, each after its length.
    Pickle,
}

/// 24 MB: with 100,000 series every 10 s, a minute and a half.
fn default_queue_points() -> usize {
    1_000_000
}

fn default_timeout() -> Duration {
    Duration::from_secs(10)
}

impl ForwardConfig {
    /// A target with defaults.
    pub fn to(address: impl Into<String>, protocol: Protocol) -> Self {
        Self {
            to: address.into(),
            protocol,
            patterns: Vec::new(),
            queue_points: default_queue_points(),
            timeout: default_timeout(),
        }
    }

    /// Checks what the types do not.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn check(&self) -> Result<(), String> {
        let Self { to, queue_points, .. } = self;
        if to.rsplit_once(':').is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err()) {
            return Err(format!("[[forward]]: `{to}` is not HOST:PORT, as in graphite.internal:2003"));
        }
        if !(1000..=100_000_000).contains(queue_points) {
            return Err(format!("[[forward]] to `{to}`: queue_points must be 1000 to 100000000"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_is_read_from_toml_and_what_makes_no_sense_is_refused() {
        let config: ForwardConfig =
            toml::from_str("to = 'graphite:2004'\nprotocol = 'pickle'\nmatch = ['stats.*']").unwrap();
        assert_eq!((config.protocol, config.patterns.len(), config.queue_points), (Protocol::Pickle, 1, 1_000_000));
        assert_eq!(config.check(), Ok(()));
        for to in ["graphite", ":2003", "graphite:x"] {
            assert!(ForwardConfig::to(to, Protocol::Line).check().is_err(), "{to}");
        }
        assert!(toml::from_str::<ForwardConfig>("to = 'a:1'\nprotocol = 'udp'").is_err());
    }
}
