//! One source: what it has, and its datapoints, as far as it tells in time.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    cache::Cache,
    client::{Client, SourceError},
    config::{SourceConfig, SourceKind},
    graphite, prometheus,
};
use crate::{Columns, glob::Glob, trie::split_parts};

/// Bytes of datapoints that are kept for a source.
const MAX_READ_BYTES: usize = 64 << 20;
/// Bytes of names that are kept for a source.
const MAX_NAME_BYTES: usize = 16 << 20;
/// How much longer names are kept than datapoints.
const NAMES_FRESHER: u32 = 6;
/// Windows are widened to multiples of this, in seconds, so that requests a moment apart share an answer.
const ALIGN_S: i64 = 10;

/// A step further into a source's tree of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The whole path down to here, as in `stats.counters`.
    pub path: Arc<str>,
    /// Whether it is a series; else more parts follow.
    pub is_leaf: bool,
}

/// What a source has said of one question about names.
type Names = Arc<Vec<String>>;
/// A series and an aligned window.
type Window = (String, i64, i64);

pub(super) struct Source {
    pub config: SourceConfig,
    client: Client,
    listed: Cache<String, Names>,
    found: Cache<String, Arc<Vec<Found>>>,
    read: Cache<Window, Arc<Columns>>,
    pub n_passed_over: AtomicU64,
}

/// A source's figures since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStats {
    /// Its address.
    pub url: String,
    /// Requests sent.
    pub n_requests: u64,
    /// Requests that failed; the source was left alone for a while after each.
    pub n_failures: u64,
    /// Names passed over, past `max_series`.
    pub n_passed_over: u64,
    /// Names known.
    pub n_series: usize,
    /// Bytes of datapoints that are kept.
    pub cached_bytes: usize,
}

impl Source {
    pub fn new(config: &SourceConfig) -> Self {
        Self {
            client: Client::new(config),
            listed: Cache::new(config.fresh * NAMES_FRESHER, MAX_NAME_BYTES),
            found: Cache::new(config.fresh * NAMES_FRESHER, MAX_NAME_BYTES),
            read: Cache::new(config.fresh, MAX_READ_BYTES),
            n_passed_over: AtomicU64::new(0),
            config: config.clone(),
        }
    }

    /// The series that match a pattern, under the names that they have here.
    pub fn matching(&self, pattern: &str, now_s: i64) -> Names {
        let Some(inner) = self.within(pattern) else { return Names::default() };
        self.listed(pattern, || match self.config.kind {
            SourceKind::Graphite => {
                let found = graphite::find(&self.client, &inner)?;
                Ok(found.into_iter().filter(|found| found.is_leaf).map(|found| found.path.to_string()).collect())
            }
            SourceKind::Prometheus => prometheus::find(&self.client, &self.config, &inner, now_s),
        })
    }

    /// The tagged series that fit all expressions, under the names that they have here.
    pub fn tagged(&self, expressions: &[String], now_s: i64) -> Names {
        let prefix = &self.config.prefix;
        let mut inner = Vec::new();
        for expression in expressions {
            match expression.strip_prefix("name=").filter(|_| !expression.starts_with("name=~")) {
                // Another source's, or ours.
                Some(name) if !name.starts_with(prefix.as_str()) => return Names::default(),
                Some(name) => inner.push(format!("name={}", &name[prefix.len()..])),
                None => inner.push(expression.clone()),
            }
        }
        self.listed(&expressions.join("\n"), || match self.config.kind {
            SourceKind::Graphite => graphite::find_tagged(&self.client, &inner),
            SourceKind::Prometheus => prometheus::find_tagged(&self.client, &self.config, &inner, now_s),
        })
    }

    fn listed(&self, key: &str, ask: impl FnOnce() -> Result<Vec<String>, SourceError>) -> Names {
        if let Some(names) = self.listed.get(key) {
            return names;
        }
        let Some(names) = self.told(ask()) else { return Names::default() };
        let canonical = names
            .iter()
            .filter_map(|name| deployline_schemas::series::canonical(&format!("{}{name}", self.config.prefix)).ok());
        let names: Names = Arc::new(canonical.collect());
        let n_bytes = names.iter().map(|name| name.len() + 32).sum::<usize>() + key.len() + 100;
        self.listed.put(key.to_owned(), Arc::clone(&names), n_bytes);
        names
    }

    /// One level of the tree of names.
    pub fn find(&self, pattern: &str, now_s: i64) -> Arc<Vec<Found>> {
        if let Some(found) = self.found.get(pattern) {
            return found;
        }
        let prefix: Vec<&str> = self.config.prefix.split_terminator('.').collect();
        let parts = split_parts(pattern);
        let found = match (parts.len() <= prefix.len(), self.within(pattern)) {
            // The prefix is a branch of the tree.
            (true, _) if parts.iter().zip(&prefix).all(|(part, own)| Glob::new(part).matches(own)) => {
                vec![Found { path: prefix[..parts.len()].join(".").into(), is_leaf: false }]
            }
            (false, Some(inner)) if self.config.kind == SourceKind::Graphite => {
                let Some(found) = self.told(graphite::find(&self.client, &inner)) else { return Arc::default() };
                let ours =
                    |found: Found| Found { path: format!("{}{}", self.config.prefix, found.path).into(), ..found };
                found.into_iter().map(ours).collect()
            }
            (false, Some(_)) => {
                let names = self.matching(pattern, now_s);
                let plain = names.iter().filter(|name| !name.contains(';'));
                plain.map(|name| Found { path: name.as_str().into(), is_leaf: true }).collect()
            }
            _ => Vec::new(),
        };
        let n_bytes = found.iter().map(|found| found.path.len() + 48).sum::<usize>() + pattern.len() + 100;
        let found = Arc::new(found);
        self.found.put(pattern.to_owned(), Arc::clone(&found), n_bytes);
        found
    }

    /// The datapoints of one series in `[from_s, until_s)` and maybe around it; none if the source does not tell.
    pub fn read(&self, name: &str, from_s: i64, until_s: i64) -> Arc<Columns> {
        self.prefetch(&[name], from_s, until_s);
        let (from_s, until_s) = aligned(from_s, until_s);
        self.read.get(&(name.to_owned(), from_s, until_s)).unwrap_or_default()
    }

    /// Asks for those of the series that are not at hand, many to a request.
    pub fn prefetch(&self, names: &[&str], from_s: i64, until_s: i64) {
        let (from_s, until_s) = aligned(from_s, until_s);
        let key = |name: &str| (name.to_owned(), from_s, until_s);
        let missing: Vec<&str> = names.iter().copied().filter(|name| self.read.get(&key(name)).is_none()).collect();
        let inner: Vec<&str> =
            missing.iter().filter_map(|name| name.strip_prefix(self.config.prefix.as_str())).collect();
        if inner.is_empty() || from_s >= until_s {
            return;
        }
        let outcome = match self.config.kind {
            SourceKind::Graphite => graphite::read(&self.client, &inner, from_s, until_s),
            SourceKind::Prometheus => prometheus::read(&self.client, &self.config, &inner, from_s, until_s),
        };
        let Some(mut read) = self.told(outcome) else { return };
        // Tags may stand in another order there.
        let mut read: HashMap<String, Columns> = read
            .drain()
            .filter_map(|(name, columns)| Some((deployline_schemas::series::canonical(&name).ok()?, columns)))
            .collect();
        for (name, inner) in missing.iter().zip(&inner) {
            let columns = read.remove(*inner).unwrap_or_default();
            let n_bytes = 16 * columns.len() + name.len() + 200;
            self.read.put(key(name), Arc::new(columns), n_bytes);
        }
    }

    /// What was told; a failure is logged and costs the source's own series alone.
    fn told<T>(&self, outcome: Result<T, SourceError>) -> Option<T> {
        match outcome {
            Ok(told) => Some(told),
            Err(error @ (SourceError::Paused | SourceError::Busy)) => {
                tracing::debug!(%error, url = self.config.url, "a source is not asked");
                None
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, url = self.config.url, "a source failed: its series are missing for now");
                None
            }
        }
    }

    /// A pattern as the source itself would have it; `None` if its prefix does not fit.
    fn within(&self, pattern: &str) -> Option<String> {
        let prefix: Vec<&str> = self.config.prefix.split_terminator('.').collect();
        if prefix.is_empty() {
            return Some(pattern.to_owned());
        }
        let parts = split_parts(pattern);
        let fits =
            parts.len() > prefix.len() && parts.iter().zip(&prefix).all(|(part, own)| Glob::new(part).matches(own));
        // The parts are slices of the pattern, in order.
        let n_bytes: usize = parts.iter().take(prefix.len()).map(|part| part.len() + 1).sum();
        fits.then(|| pattern[n_bytes..].to_owned())
    }

    pub fn stats(&self, n_series: usize) -> SourceStats {
        SourceStats {
            url: self.config.url.clone(),
            n_requests: self.client.n_requests.load(Ordering::Relaxed),
            n_failures: self.client.n_failures.load(Ordering::Relaxed),
            n_passed_over: self.n_passed_over.load(Ordering::Relaxed),
            n_series,
            cached_bytes: self.read.n_bytes(),
        }
    }
}

fn aligned(from_s: i64, until_s: i64) -> (i64, i64) {
    (from_s.div_euclid(ALIGN_S) * ALIGN_S, (until_s + ALIGN_S - 1).div_euclid(ALIGN_S) * ALIGN_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_taken_off_patterns_that_fit_it() {
        let within = |prefix: &str, pattern: &str| {
            let config =
                SourceConfig { prefix: prefix.to_owned(), ..SourceConfig::new(SourceKind::Graphite, "http://x") };
            Source::new(&config).within(pattern)
        };
        assert_eq!(within("", "a.*"), Some("a.*".to_owned()));
        assert_eq!(within("old.", "old.a.*"), Some("a.*".to_owned()));
        assert_eq!(within("old.dc1.", "{old,new}.*.a.b;t=v"), Some("a.b;t=v".to_owned()));
        assert_eq!(within("old.", "stats.a"), None);
        assert_eq!(within("old.", "*"), None);
    }

    #[test]
    fn the_prefix_is_a_branch_of_the_tree_without_a_request() {
        let config =
            SourceConfig { prefix: "old.dc1.".to_owned(), ..SourceConfig::new(SourceKind::Graphite, "http://x") };
        let source = Source::new(&config);
        let paths =
            |pattern: &str| source.find(pattern, 0).iter().map(|found| found.path.to_string()).collect::<Vec<_>>();
        assert_eq!(paths("*"), ["old"]);
        assert_eq!(paths("old.*"), ["old.dc1"]);
        assert_eq!(paths("new.*"), Vec::<String>::new());
        assert_eq!(source.stats(0).n_requests, 0);
    }
}
