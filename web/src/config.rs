//! The `[web]` section of the configuration.

use std::{fmt, net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Where pages and API are served, to whom, and within which bounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebConfig {
    /// The address to listen on. Loopback unless told otherwise; whoever opens it further should set `tokens`.
    pub listen: SocketAddr,
    /// How people reach the pages from where alerts are read: the start of every link in an alert.
    pub base_url: String,
    /// API tokens. With one set, every request but a hook (which has its own secret), `/healthz` and `/readyz` needs one, as
    /// `Authorization: Bearer TOKEN` or as the password of Basic authentication, which is what a browser asks for.
    pub tokens: Vec<Token>,
    /// Sites whose pages may ask the Graphite data source and Grafana's annotations from a browser, as
    /// `https://grafana.example.com`: Grafana in the mode `direct`. None in the usual mode, in which Grafana's server asks.
    pub allowed_origins: Vec<String>,
    /// Most connections at once; further ones wait in the listener's backlog.
    pub max_connections: usize,
    /// Most readers of `/api/v1/stream` at once; further ones get 503.
    pub max_streams: usize,
    /// Most pictures drawn at once; further requests wait for up to five seconds, then get 503.
    pub max_drawings: usize,
    /// Most requests to `/render` that are evaluated at once; further ones wait for up to five seconds, then get 503.
    pub max_queries: usize,
    /// Most series that one pattern of a target may match; a target with more is refused before it is read.
    pub max_query_series: usize,
    /// Most datapoints that one request's targets may read or make up together, of 8 bytes each; a target that would take
    /// more is refused before it is read.
    pub max_query_datapoints: usize,
    /// How long open requests may take to end once the process is told to stop, in seconds.
    pub drain_timeout_s: u64,
}

impl Default for WebConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8128)),
            base_url: "http://127.0.0.1:8128".to_owned(),
            tokens: Vec::new(),
            allowed_origins: Vec::new(),
            max_connections: 1024,
            max_streams: 64,
            max_drawings: 4,
            max_queries: 8,
            max_query_series: 20_000,
            max_query_datapoints: 20_000_000,
            drain_timeout_s: 5,
        }
    }
}

impl WebConfig {
    /// How long open requests may take to end.
    pub fn drain_timeout(&self) -> Duration {
        Duration::from_secs(self.drain_timeout_s)
    }

    /// Whether the address is reachable from other machines.
    pub fn is_exposed(&self) -> bool {
        !self.listen.ip().is_loopback()
    }
}

/// An API token, already resolved from the environment or a file. Only its hash is kept.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct Token([u8; 32]);

impl Token {
    /// A token from its text.
    pub fn new(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Whether `offered` is this token. Takes the same time wherever the two differ.
    pub fn is(&self, offered: &str) -> bool {
        self.0.ct_eq(&Token::new(offered).0).into()
    }
}

impl From<String> for Token {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_fits_only_itself_and_shows_itself_to_nobody() {
        let token = Token::new("sesame");
        assert!(token.is("sesame"));
        assert!(!token.is("sesam") && !token.is(""));
        assert_eq!(format!("{token:?}"), "***");
    }

    #[test]
    fn unknown_keys_are_refused() {
        let error = serde_json::from_str::<WebConfig>(r#"{"lisen": "127.0.0.1:1"}"#).unwrap_err();
        assert!(error.to_string().starts_with("unknown field `lisen`"), "{error}");
        assert_eq!(serde_json::from_str::<WebConfig>("{}").unwrap(), WebConfig::default());
    }
}
