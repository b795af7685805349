//! The store and the sources as one.

use std::{
    collections::HashSet,
    ops::Deref,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, atomic::Ordering},
};

use deployline_schemas::time::Clock;

use super::{
    config::SourceConfig,
    names::ForeignNames,
    source::{Source, SourceStats},
};
use crate::{
    error::StoreError,
    level::Level,
    point::{Columns, SeriesId},
    store::Store,
};

/// Most sources of one configuration: their names are told apart by bits.
pub const MAX_SOURCES: usize = 64;

/// A [`Store`] whose look-ups and reads ask the sources as well. Cheap to clone. Everything else is the store's, which it dereferences to.
///
/// With a source configured, `lookup`, `matching`, `find`, `find_tagged`, `prefetch` and `read` may send requests and take as long as the sources' timeouts: call them
/// where blocking is allowed. Series that only a source has bear numbers that the store never gives.
#[derive(Clone)]
pub struct Federation {
    store: Store,
    sources: Option<Arc<Sources>>,
}

struct Sources {
    sources: Vec<Source>,
    names: RwLock<ForeignNames>,
    clock: Clock,
}

impl From<Store> for Federation {
    /// The store alone.
    fn from(store: Store) -> Self {
        Self { store, sources: None }
    }
}

impl Deref for Federation {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl Federation {
    /// The store and sources, of which those past [`MAX_SOURCES`] are left out.
    pub fn new(store: Store, sources: &[SourceConfig], clock: Clock) -> Self {
        if sources.is_empty() {
            return store.into();
        }
        let sources = sources.iter().take(MAX_SOURCES).map(Source::new).collect();
        Self { store, sources: Some(Arc::new(Sources { sources, names: RwLock::default(), clock })) }
    }

    /// Whether there is any source besides the store.
    pub fn has_sources(&self) -> bool {
        self.sources.is_some()
    }

    /// See [`Store::lookup`]; a name that the store does not know is asked for.
    pub fn lookup(&self, name: &str) -> Option<SeriesId> {
        let own = self.store.lookup(name);
        let Some(sources) = &self.sources else { return own };
        for (index, source) in sources.sources.iter().enumerate() {
            if sources.names().sources_of(name) & 1 << index == 0 {
                sources.note(index, &source.matching(name, sources.now_s()));
            }
        }
        own.or_else(|| sources.names().lookup(name))
    }

    /// See [`Store::name`].
    pub fn name(&self, series: SeriesId) -> Option<Arc<str>> {
        self.store.name(series).or_else(|| self.sources.as_ref()?.names().name(series).cloned())
    }

    /// See [`Store::matching`]. A Prometheus' series is also found by its metric's name alone.
    pub fn matching(&self, pattern: &str) -> Vec<(SeriesId, Arc<str>)> {
        let own = self.store.matching(pattern);
        self.with_foreign(own, |source, now_s| source.matching(pattern, now_s))
    }

    /// The tagged series that fit all expressions of `seriesByTag`, of `own` and of the sources, in order of names.
    pub fn find_tagged(&self, own: Vec<(SeriesId, Arc<str>)>, expressions: &[String]) -> Vec<(SeriesId, Arc<str>)> {
        self.with_foreign(own, |source, now_s| source.tagged(expressions, now_s))
    }

    /// Adds what the sources have to what the store has, each name once.
    fn with_foreign(
        &self,
        mut own: Vec<(SeriesId, Arc<str>)>,
        ask: impl Fn(&Source, i64) -> Arc<Vec<String>>,
    ) -> Vec<(SeriesId, Arc<str>)> {
        let Some(sources) = &self.sources else { return own };
        let mut known: HashSet<Arc<str>> = own.iter().map(|(_, name)| Arc::clone(name)).collect();
        for (index, source) in sources.sources.iter().enumerate() {
            let told = ask(source, sources.now_s());
            sources.note(index, &told);
            let names = sources.names();
            for name in told.iter().filter(|name| !known.contains(name.as_str())).collect::<Vec<_>>() {
                let found = self.store.lookup(name).or_else(|| names.lookup(name));
                if let Some(series) = found {
                    let name: Arc<str> = name.as_str().into();
                    known.insert(Arc::clone(&name));
                    own.push((series, name));
                }
            }
        }
        own.sort_by(|a, b| a.1.cmp(&b.1));
        own
    }

    /// See [`Store::find`].
    pub fn find(&self, pattern: &str) -> Level {
        let own = self.store.find(pattern);
        let Some(sources) = &self.sources else { return own };
        let mut foreign: Vec<(String, bool)> = Vec::new();
        for source in &sources.sources {
            let found = source.find(pattern, sources.now_s());
            foreign.extend(found.iter().map(|found| (found.path.to_string(), found.is_leaf)));
        }
        if foreign.is_empty() {
            return own;
        }
        foreign.extend(own.iter().map(|node| (node.path(), node.is_leaf)));
        foreign.sort_unstable();
        foreign.dedup();
        Level::of_paths(&foreign)
    }

    /// Has the sources' datapoints of many series fetched at once, so that reads of the same window that follow find them at hand.
    pub fn prefetch(&self, series: impl Iterator<Item = SeriesId>, from_s: i64, until_s: i64) {
        let Some(sources) = &self.sources else { return };
        let mut wanted: Vec<Vec<Arc<str>>> = vec![Vec::new(); sources.sources.len()];
        for name in series.filter_map(|series| self.name(series)) {
            let bits = sources.names().sources_of(&name);
            let of = wanted.iter_mut().enumerate().filter(|(index, _)| bits & 1 << index != 0);
            of.for_each(|(_, wanted)| wanted.push(Arc::clone(&name)));
        }
        for (source, wanted) in sources.sources.iter().zip(&wanted) {
            source.prefetch(&wanted.iter().map(|name| &**name).collect::<Vec<_>>(), from_s, until_s);
        }
    }

    /// See [`Store::read`]. Where a source has the series too, its datapoints fill what ours leave open.
    ///
    /// # Errors
    /// The store's; a source that fails is told in the log, and its datapoints are missing.
    pub fn read(&self, series: SeriesId, from_s: i64, until_s: i64) -> Result<Columns, StoreError> {
        let Some(sources) = &self.sources else { return self.store.read(series, from_s, until_s) };
        let Some(name) = self.name(series) else { return Ok(Columns::default()) };
        let mut columns = Columns::default();
        let bits = sources.names().sources_of(&name);
        for (_, source) in sources.sources.iter().enumerate().filter(|(index, _)| bits & 1 << index != 0) {
            columns.extend_within(&source.read(&name, from_s, until_s), from_s, until_s);
        }
        // Later ones win: the store's come last.
        if let Some(own) = self.store.lookup(&name) {
            columns.extend_within(&self.store.read(own, from_s, until_s)?, from_s, until_s);
        }
        columns.settle();
        Ok(columns)
    }

    /// The sources' figures, in the order of the configuration.
    pub fn source_stats(&self) -> Vec<SourceStats> {
        let Some(sources) = &self.sources else { return Vec::new() };
        let names = sources.names();
        sources.sources.iter().enumerate().map(|(index, source)| source.stats(names.count(index))).collect()
    }
}

impl Sources {
    fn now_s(&self) -> i64 {
        (self.clock)().as_secs()
    }

    fn names(&self) -> RwLockReadGuard<'_, ForeignNames> {
        self.names.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what a source has said it has.
    fn note(&self, index: usize, told: &[String]) {
        let bit = 1 << index;
        let is_new = {
            let names = self.names();
            told.iter().any(|name| names.sources_of(name) & bit == 0)
        };
        if !is_new {
            return;
        }
        let source = &self.sources[index];
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        let n_over = told.iter().filter(|name| !names.add(name, index, source.config.max_series)).count();
        if n_over > 0 && source.n_passed_over.fetch_add(n_over as u64, Ordering::Relaxed) == 0 {
            tracing::warn!(
                url = source.config.url,
                max_series = source.config.max_series,
                "a source has more series than are remembered"
            );
        }
    }
}
