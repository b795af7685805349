//! The `[[source]]` sections.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::retention::duration;

/// One `[[source]]` of the configuration: a server whose series can be read here as if they were ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// What it speaks.
    pub kind: SourceKind,
    /// Its address up to the API, as in `http://graphite.internal` or `http://prometheus.internal:9090`.
    pub url: String,
    /// What its series' names begin with here, a dot included if one is wanted, as in `old.`; it is taken off again when the source is asked. Empty by default: its series and ours
    /// share names, and answers are merged.
    #[serde(default)]
    pub prefix: String,
    /// How long one request may take.
    #[serde(default = "default_timeout", with = "duration")]
    pub timeout: Duration,
    /// How long an answer is kept: names six times as long.
    #[serde(default = "default_fresh", with = "duration")]
    pub fresh: Duration,
    /// Most names that are remembered as the source's; further ones are passed over and counted.
    #[serde(default = "default_max_series")]
    pub max_series: usize,
    /// Most requests under way at once; further ones wait for their turn within their timeout.
    #[serde(default = "default_max_requests")]
    pub max_requests: usize,
    /// Prometheus: seconds from one datapoint to the next, best the scrape interval. It is widened where the server would refuse.
    #[serde(default = "default_step", with = "duration")]
    pub step: Duration,
    /// Prometheus: names for expressions, as in `"http.errors" = 'sum by (service) (rate(http_errors_total[1m]))'`. What the
    /// expression leaves of labels become tags: `http.errors;service=checkout`.
    #[serde(default)]
    pub queries: BTreeMap<String, String>,
    /// A bearer token for the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Or a user's name, for basic authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// And the user's password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// What a source speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// Graphite's HTTP API: `/metrics/find`, `/tags/findSeries`, `/render`.
    Graphite,
    /// Prometheus' HTTP API, which VictoriaMetrics, Thanos and Mimir have as well: `/api/v1/series`, `/api/v1/query_range`.
    Prometheus,
}

fn default_timeout() -> Duration {
    Duration::from_secs(5)
}

fn default_fresh() -> Duration {
    Duration::from_secs(10)
}

fn default_max_series() -> usize {
    100_000
}

fn default_max_requests() -> usize {
    8
}

fn default_step() -> Duration {
    Duration::from_secs(15)
}

impl SourceConfig {
    /// A source with defaults.
    pub fn new(kind: SourceKind, url: impl Into<String>) -> Self {
        Self {
            kind,
            url: url.into(),
            prefix: String::new(),
            timeout: default_timeout(),
            fresh: default_fresh(),
            max_series: default_max_series(),
            max_requests: default_max_requests(),
            step: default_step(),
            queries: BTreeMap::new(),
            token: None,
            user: None,
            password: None,
        }
    }

    /// Checks what the types do not.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn check(&self) -> Result<(), String> {
        let url = &self.url;
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            return Err(format!("[[source]]: `{url}` is not http://… or https://…"));
        }
        if !(self.prefix.is_empty() || self.prefix.ends_with('.')) {
            return Err(format!("[[source]] {url}: the prefix `{}` does not end in a dot", self.prefix));
        }
        let seconds = |what: &Duration, range: std::ops::RangeInclusive<u64>| range.contains(&what.as_secs());
        let ranges = [
            ("timeout", "1s to 2m", seconds(&self.timeout, 1..=120)),
            ("fresh", "1s to 1h", seconds(&self.fresh, 1..=3600)),
            ("step", "1s to 1d", seconds(&self.step, 1..=86_400)),
            ("max_series", "1 to 10000000", (1..=10_000_000).contains(&self.max_series)),
            ("max_requests", "1 to 256", (1..=256).contains(&self.max_requests)),
        ];
        if let Some((key, range, _)) = ranges.into_iter().find(|(_, _, fine)| !fine) {
            return Err(format!("[[source]] {url}: {key} must be {range}"));
        }
        if !self.queries.is_empty() && self.kind != SourceKind::Prometheus {
            return Err(format!("[[source]] {url}: queries are for kind = \"prometheus\""));
        }
        if self.user.is_some() != self.password.is_some() {
            return Err(format!("[[source]] {url}: user and password go together"));
        }
        Ok(())
    }
}
