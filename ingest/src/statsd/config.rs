//! The `[statsd]` section.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::relay::RelayConfig;
use crate::listen::{Listen, seconds};

/// The `[statsd]` section of the configuration: where metrics come in, and how they are named when they go out.
///
/// Names are those of the current namespacing (`stats.counters.NAME.count`); `legacy_namespace = true` gives the ones that Etsy's daemon
/// still writes by default (`stats_counts.NAME`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StatsdConfig {
    /// UDP address.
    pub udp: Listen,
    /// TCP address; lines, each ended by a line break.
    pub tcp: Listen,
    /// Path of a Unix datagram socket; none by default.
    pub unix: Option<PathBuf>,
    /// TCP address of the admin console.
    pub admin: Listen,
    /// The flush interval; whole seconds. Flushes happen at its multiples on the wall clock.
    #[serde(with = "seconds")]
    pub flush: Duration,
    /// Percentiles of timers, in `-100.0..=100.0` without 0. Negative ones speak of the top: -10 is the slowest tenth.
    pub percentiles: Vec<f64>,
    /// The names that Etsy's daemon writes by default, in place of the current ones.
    pub legacy_namespace: bool,
    /// Whether counters' sums are written besides their rates.
    pub flush_counts: bool,
    /// First part of all names; may be empty.
    pub prefix: String,
    /// Second part of counters' names; may be empty.
    pub prefix_counter: String,
    /// Second part of timers' names; may be empty.
    pub prefix_timer: String,
    /// Second part of gauges' names; may be empty.
    pub prefix_gauge: String,
    /// Second part of sets' names; may be empty.
    pub prefix_set: String,
    /// What the daemon's own metrics are called.
    pub prefix_stats: String,
    /// Last part of all names, before the tags; may be empty.
    pub suffix: String,
    /// Which of a timer's metrics are written, `_percent` for any percentile (as `upper_percent`); empty means all of them.
    pub timer_metrics: Vec<String>,
    /// Histograms; the first whose `metric` occurs in a timer's name is used.
    pub histogram: Vec<HistogramConfig>,
    /// Whether metrics that got nothing in an interval are left out of its flush. Off, counters and timers go on as 0, gauges with their last level.
    pub delete_idle_stats: bool,
    /// As `delete_idle_stats`, for counters alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_counters: Option<bool>,
    /// As `delete_idle_stats`, for timers alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_timers: Option<bool>,
    /// As `delete_idle_stats`, for gauges alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_gauges: Option<bool>,
    /// As `delete_idle_stats`, for sets alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_sets: Option<bool>,
    /// Flushes for which an idle gauge goes on before it is deleted; at least 1.
    pub gauges_max_ttl: u32,
    /// Most metric names of all types together; new ones beyond are refused and counted.
    pub max_names: usize,
    /// Most timer values of an interval that are kept one by one. Beyond, percentiles are estimates to 0.4 % while counts and sums stay exact.
    pub max_timer_values: usize,
    /// Most distinct members of all sets in an interval; new ones beyond are refused and counted.
    pub max_set_members: usize,
    /// UDP sockets that share the address, each with its own thread; 1 to 64. More help where single-metric packets keep one core busy with system calls.
    pub udp_sockets: usize,
    /// Socket receive buffer to ask the kernel for, in bytes; it grants at most `net.core.rmem_max`.
    pub receive_buffer: usize,
    /// Most TCP connections at a time; more are closed at once and counted.
    pub max_connections: usize,
    /// A TCP connection that says nothing for so long is closed; whole seconds.
    #[serde(with = "seconds")]
    pub idle_timeout: Duration,
    /// Other StatsD daemons that get every packet as well.
    pub relay: Vec<RelayConfig>,
}

/// One `[[statsd.histogram]]`: counts of a timer's values between bounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistogramConfig {
    /// A part of the timers' names; empty fits all.
    pub metric: String,
    /// Upper bounds, exclusive, ascending; the last may be `"inf"`. Values above the last bound are not counted.
    pub bins: Vec<Bin>,
}

/// An upper bound of a histogram.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Bin {
    /// A number.
    Bound(f64),
    /// `"inf"`, everything.
    Named(Infinity),
}

/// The word for a bound above everything.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Infinity {
    /// Above everything.
    Inf,
}

impl Default for StatsdConfig {
    fn default() -> Self {
        Self {
            udp: Listen::loopback(8125),
            tcp: Listen::loopback(8125),
            unix: None,
            admin: Listen::loopback(8126),
            flush: Duration::from_secs(10),
            percentiles: vec![50.0, 90.0, 95.0, 99.0],
            legacy_namespace: false,
            flush_counts: true,
            prefix: "stats".to_owned(),
            prefix_counter: "counters".to_owned(),
            prefix_timer: "timers".to_owned(),
            prefix_gauge: "gauges".to_owned(),
            prefix_set: "sets".to_owned(),
            prefix_stats: "statsd".to_owned(),
            suffix: String::new(),
            timer_metrics: Vec::new(),
            histogram: Vec::new(),
            delete_idle_stats: false,
            delete_counters: None,
            delete_timers: None,
            delete_gauges: None,
            delete_sets: None,
            gauges_max_ttl: 1,
            // 200,000 timers with four percentiles are 5.8 million series and about 100 MB here.
            max_names: 200_000,
            // 24 MB, twice while a flush is under way.
            max_timer_values: 2_000_000,
            max_set_members: 1_000_000,
            udp_sockets: 1,
            receive_buffer: 4 << 20,
            max_connections: 256,
            idle_timeout: Duration::from_secs(600),
            relay: Vec::new(),
        }
    }
}

/// A value of the section that makes no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StatsdConfigError {
    /// 0, or beyond 100 in either direction.
    #[error("statsd.percentiles: {0} is not in -100 to 100, or is 0")]
    Percentile(f64),
    /// Bounds that do not ascend.
    #[error("statsd.histogram: the bins of `{0}` do not ascend")]
    Bins(String),
    /// A relay's target that is no address.
    #[error("statsd.relay: `{0}` is not HOST:PORT, as in 127.0.0.1:9125")]
    Relay(String),
    /// A number outside its range.
    #[error("statsd.{key}: must be {range}")]
    Range {
        /// The key.
        key: &'static str,
        /// What it may be.
        range: &'static str,
    },
}

impl StatsdConfig {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// See [`StatsdConfigError`].
    pub fn check(&self) -> Result<(), StatsdConfigError> {
        if let Some(percentile) = self.percentiles.iter().find(|p| !(p.abs() > 0.0 && p.abs() <= 100.0)) {
            return Err(StatsdConfigError::Percentile(*percentile));
        }
        if let Some(histogram) = self.histogram.iter().find(|histogram| !histogram.bounds().is_sorted_by(|a, b| a < b))
        {
            return Err(StatsdConfigError::Bins(histogram.metric.clone()));
        }
        let is_target =
            |to: &str| to.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if let Some(relay) = self.relay.iter().find(|relay| !is_target(&relay.to)) {
            return Err(StatsdConfigError::Relay(relay.to.clone()));
        }
        let ranges = [
            (
                "flush",
                "a whole number of seconds, at least one",
                self.flush.as_secs() >= 1 && self.flush.subsec_nanos() == 0,
            ),
            ("gauges_max_ttl", "at least 1", self.gauges_max_ttl >= 1),
            // The daemon's own metrics have names as well.
            ("max_names", "16 to 16777216", (16..=1 << 24).contains(&self.max_names)),
            ("max_timer_values", "at most 268435456", self.max_timer_values <= 1 << 28),
            ("max_set_members", "at most 16777216", self.max_set_members <= 1 << 24),
            ("udp_sockets", "1 to 64", (1..=64).contains(&self.udp_sockets)),
            ("receive_buffer", "4096 to 1073741824", (1 << 12..=1 << 30).contains(&self.receive_buffer)),
            ("max_connections", "1 to 65536", (1..=1 << 16).contains(&self.max_connections)),
        ];
        match ranges.into_iter().find(|(_, _, fine)| !fine) {
            Some((key, range, _)) => Err(StatsdConfigError::Range { key, range }),
            None => Ok(()),
        }
    }

    /// Whether idle metrics of a kind are left out, by kind in the order of [`super::Kind`].
    pub(crate) fn deletes(&self) -> [bool; 4] {
        [self.delete_counters, self.delete_timers, self.delete_gauges, self.delete_sets]
            .map(|own| own.unwrap_or(self.delete_idle_stats))
    }
}

impl HistogramConfig {
    /// The bounds as numbers, ascending; `inf` as infinity.
    pub(crate) fn bounds(&self) -> Vec<f64> {
        self.bins
            .iter()
            .map(|bin| match bin {
                Bin::Bound(bound) => *bound,
                Bin::Named(Infinity::Inf) => f64::INFINITY,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_is_read_from_toml() {
        let config: StatsdConfig = toml::from_str(
            r#"
            udp = "[::1]:9125"
            tcp = "off"
            flush = "1m"
            percentiles = [90, -99.9]
            histogram = [{ metric = "http", bins = [10, 0.5e2, "inf"] }]
            "#,
        )
        .unwrap();
        assert_eq!(config.udp.to_string(), "[::1]:9125");
        assert_eq!((config.tcp, config.flush), (Listen::OFF, Duration::from_secs(60)));
        assert_eq!(config.histogram[0].bounds(), [10.0, 50.0, f64::INFINITY]);
        assert_eq!(config.check(), Ok(()));
        assert_eq!(toml::from_str::<StatsdConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in ["flush = '0s'", "flush = '500ms'", "udp = '8125'", "percentile = [90]"] {
            assert!(toml::from_str::<StatsdConfig>(text).is_err(), "{text}");
        }
        for text in [
            "percentiles = [0]",
            "percentiles = [101]",
            "udp_sockets = 0",
            "histogram = [{metric = '', bins = [5, 5]}]",
        ] {
            assert!(toml::from_str::<StatsdConfig>(text).unwrap().check().is_err(), "{text}");
        }
    }
}
