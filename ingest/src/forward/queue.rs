//! The sink in front of the store that hands every datapoint on to the targets' queues.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use deployline_store::{Appended, Point, SeriesId, glob::Glob};
use tokio::sync::Notify;

use super::config::ForwardConfig;
use crate::{
    sink::{Sink, SinkError},
    statsd::Sketch,
};

/// A sink that passes everything to another one and, once that has it, to the queues.
pub struct Forwarding {
    inner: Arc<dyn Sink>,
    queues: Vec<Arc<Queue>>,
}

impl Forwarding {
    /// The sink in front of `inner`, with a queue for each target.
    pub fn new(inner: Arc<dyn Sink>, targets: &[ForwardConfig]) -> Self {
        let queues = targets.iter().map(|target| Arc::new(Queue::new(target, Arc::clone(&inner)))).collect();
        Self { inner, queues }
    }

    /// The queues, in the order of the targets.
    pub fn queues(&self) -> &[Arc<Queue>] {
        &self.queues
    }
}

impl Sink for Forwarding {
    fn intern(&self, name: &str) -> Result<SeriesId, SinkError> {
        self.inner.intern(name)
    }

    fn append(&self, points: &[Point]) -> Result<Appended, SinkError> {
        let appended = self.inner.append(points)?;
        self.queues.iter().for_each(|queue| queue.push(points));
        Ok(appended)
    }

    fn name(&self, series: SeriesId) -> Option<Arc<str>> {
        self.inner.name(series)
    }

    fn wants_sketches(&self) -> bool {
        self.inner.wants_sketches()
    }

    fn sketch(&self, name: &str, timestamp_s: i64, sketch: &Sketch) {
        self.inner.sketch(name, timestamp_s, sketch);
    }
}

/// What waits for one target.
pub struct Queue {
    pub(crate) config: ForwardConfig,
    names: Arc<dyn Sink>,
    patterns: Vec<Glob>,
    waiting: Mutex<Waiting>,
    pub(crate) filled: Notify,
    pub(crate) counters: Counters,
}

#[derive(Default)]
struct Waiting {
    points: VecDeque<Point>,
    /// Whether a series is forwarded, by its number; numbers are never given twice.
    wanted: Vec<Option<bool>>,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) n_sent: AtomicU64,
    pub(crate) n_dropped: AtomicU64,
    pub(crate) n_connections: AtomicU64,
    pub(crate) n_failures: AtomicU64,
}

/// A target's figures since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Datapoints written to the target's connection, repeats included.
    pub n_sent: u64,
    /// Datapoints dropped: the queue was full, or the end came first.
    pub n_dropped: u64,
    /// Connections made.
    pub n_connections: u64,
    /// Connections that failed or broke.
    pub n_failures: u64,
    /// Datapoints waiting.
    pub n_waiting: usize,
}

impl Queue {
    fn new(config: &ForwardConfig, names: Arc<dyn Sink>) -> Self {
        Self {
            patterns: config.patterns.iter().map(|pattern| Glob::new(pattern)).collect(),
            config: config.clone(),
            names,
            waiting: Mutex::default(),
            filled: Notify::new(),
            counters: Counters::default(),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // A panic while it was held would be a bug; the queue is whole between statements.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues what the target wants; drops the oldest past the bound.
    fn push(&self, points: &[Point]) {
        let n_dropped = {
            let mut waiting = self.waiting();
            let Waiting { points: queue, wanted } = &mut *waiting;
            if self.patterns.is_empty() {
                queue.extend(points);
            } else {
                queue.extend(points.iter().filter(|point| self.wants(wanted, point.series)));
            }
            let n_excess = queue.len().saturating_sub(self.config.queue_points);
            queue.drain(..n_excess);
            n_excess
        };
        self.drop_points(n_dropped);
        self.filled.notify_one();
    }

    fn wants(&self, wanted: &mut Vec<Option<bool>>, series: SeriesId) -> bool {
        let index = series.0 as usize;
        if wanted.len() <= index {
            wanted.resize(index + 1, None);
        }
        *wanted[index].get_or_insert_with(|| {
            let name = self.names.name(series);
            name.is_some_and(|name| self.patterns.iter().any(|pattern| pattern.matches(&name)))
        })
    }

    /// Takes the oldest datapoints, at most `max`, with their names. A series that the store has forgotten meanwhile is passed over.
    pub(crate) fn take(&self, max: usize) -> Vec<(Arc<str>, i64, f64)> {
        let taken: Vec<Point> = {
            let mut waiting = self.waiting();
            let n_points = waiting.points.len().min(max);
            waiting.points.drain(..n_points).collect()
        };
        let named = |point: &Point| Some((self.names.name(point.series)?, point.timestamp_s, point.value));
        taken.iter().filter_map(named).collect()
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting().points.is_empty()
    }

    /// Counts datapoints that the target will not get.
    pub(crate) fn drop_points(&self, n_points: usize) {
        if n_points > 0 && self.counters.n_dropped.fetch_add(n_points as u64, Ordering::Relaxed) == 0 {
            tracing::warn!(to = self.config.to, n_points, "forwarding drops datapoints: the target takes too little");
        }
    }

    /// Where it goes.
    pub fn target(&self) -> &str {
        &self.config.to
    }

    /// The figures now.
    pub fn stats(&self) -> Stats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            n_sent: load(&self.counters.n_sent),
            n_dropped: load(&self.counters.n_dropped),
            n_connections: load(&self.counters.n_connections),
            n_failures: load(&self.counters.n_failures),
            n_waiting: self.waiting().points.len(),
        }
    }
}
