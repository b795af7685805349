//! The `[carbon]` section.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::filter::RewriteConfig;
use crate::listen::{Listen, seconds};

/// The `[carbon]` section of the configuration: where Graphite's datapoints come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CarbonConfig {
    /// TCP address of the plaintext protocol.
    pub line: Listen,
    /// UDP address of the plaintext protocol; off by default, as in carbon.
    pub udp: Listen,
    /// TCP address of the pickle protocol.
    pub pickle: Listen,
    /// Most connections of each protocol at a time; more are closed at once and counted.
    pub max_connections: usize,
    /// A connection that says nothing for so long is closed; whole seconds. Carbon itself never closes one; relays that keep theirs open send far more often.
    #[serde(with = "seconds")]
    pub idle_timeout: Duration,
    /// Most series names that all connections together remember, so that a known name costs one look-up. Beyond, the store is asked each time.
    pub max_cached_names: usize,
    /// Regular expressions; a new name that none of them finds is refused and counted. Empty lets all in. Carbon's whitelist.
    pub allow: Vec<String>,
    /// Regular expressions; a new name that one of them finds is refused and counted. Carbon's blacklist.
    pub block: Vec<String>,
    /// How names are rewritten, one after the other, before anything else looks at them.
    pub rewrite: Vec<RewriteConfig>,
    /// UDP receive buffer to ask the kernel for, in bytes; it grants at most `net.core.rmem_max`.
    pub receive_buffer: usize,
}

impl Default for CarbonConfig {
    fn default() -> Self {
        Self {
            line: Listen::loopback(2003),
            udp: Listen::OFF,
            pickle: Listen::loopback(2004),
            max_connections: 1024,
            idle_timeout: Duration::from_secs(3600),
            // About 100 bytes each.
            max_cached_names: 1_000_000,
            allow: Vec::new(),
            block: Vec::new(),
            rewrite: Vec::new(),
            receive_buffer: 4 << 20,
        }
    }
}
