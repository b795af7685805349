//! The sink in front of the store that feeds the outputs, and the task that writes them.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use deployline_schemas::time::Clock;
use deployline_store::{Appended, Point, SeriesId};
use tokio_util::sync::CancellationToken;

use super::{buckets::Buckets, rule::Rule};
use crate::{
    sink::{Sink, SinkError},
    statsd::Sketch,
};

/// Most outputs of all rules together, about 1 KB each; further ones are passed over and counted.
const MAX_OUTPUTS: usize = 100_000;
/// How often it is looked whether an interval has ended.
const TICK: Duration = Duration::from_millis(500);
/// How long after its end an interval is written: senders of the same interval are not quite at once.
const GRACE_S: i64 = 2;

/// A sink that passes everything to another one and, once that has it, to the outputs.
pub struct Aggregating {
    inner: Arc<dyn Sink>,
    outputs: Arc<Outputs>,
}

/// Figures since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Outputs known.
    pub n_outputs: usize,
    /// Outputs passed over: there are as many as are kept.
    pub n_passed_over: u64,
    /// Datapoints that came too late for their interval.
    pub n_late: u64,
}

/// The outputs of all rules.
pub struct Outputs {
    rules: Vec<Rule>,
    /// What the outputs are written to, which does not come back here.
    inner: Arc<dyn Sink>,
    state: Mutex<State>,
    n_passed_over: AtomicU64,
    n_late: AtomicU64,
}

#[derive(Default)]
struct State {
    /// By number of the series, the outputs that it feeds; numbers are never given twice.
    fed: Vec<Option<Box<[u32]>>>,
    by_name: HashMap<(usize, String), u32>,
    outputs: Vec<(String, Buckets)>,
}

impl Aggregating {
    /// The sink in front of `inner`.
    pub fn new(inner: Arc<dyn Sink>, rules: Vec<Rule>) -> Self {
        let outputs = Outputs {
            rules,
            inner: Arc::clone(&inner),
            state: Mutex::default(),
            n_passed_over: AtomicU64::new(0),
            n_late: AtomicU64::new(0),
        };
        Self { inner, outputs: Arc::new(outputs) }
    }

    /// The outputs, to be written by [`run`].
    pub fn outputs(&self) -> Arc<Outputs> {
        Arc::clone(&self.outputs)
    }
}

impl Sink for Aggregating {
    fn intern(&self, name: &str) -> Result<SeriesId, SinkError> {
        self.inner.intern(name)
    }

    fn append(&self, points: &[Point]) -> Result<Appended, SinkError> {
        let appended = self.inner.append(points)?;
        self.outputs.feed(points);
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

impl Outputs {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while it was held would be a bug; sums that lack a datapoint are better than none.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn feed(&self, points: &[Point]) {
        let mut state = self.state();
        let mut n_late = 0;
        for point in points {
            let index = point.series.0 as usize;
            if state.fed.len() <= index {
                state.fed.resize(index + 1, None);
            }
            if state.fed[index].is_none() {
                let fed =
                    self.inner.name(point.series).map_or_else(Vec::new, |name| self.outputs_of(&mut state, &name));
                state.fed[index] = Some(fed.into_boxed_slice());
            }
            let State { fed, outputs, .. } = &mut *state;
            for output in fed[index].iter().flatten() {
                n_late += u64::from(!outputs[*output as usize].1.add(point.timestamp_s, point.value));
            }
        }
        self.n_late.fetch_add(n_late, Ordering::Relaxed);
    }

    fn outputs_of(&self, state: &mut State, name: &str) -> Vec<u32> {
        let mut fed = Vec::new();
        for (number, rule) in self.rules.iter().enumerate() {
            let Some(output) = rule.output_of(name) else { continue };
            let key = (number, output);
            if let Some(known) = state.by_name.get(&key) {
                fed.push(*known);
            } else if state.outputs.len() < MAX_OUTPUTS {
                let next = state.outputs.len() as u32;
                state.outputs.push((key.1.clone(), Buckets::new(rule.interval_s, rule.method)));
                state.by_name.insert(key, next);
                fed.push(next);
            } else if self.n_passed_over.fetch_add(1, Ordering::Relaxed) == 0 {
                tracing::warn!(max = MAX_OUTPUTS, "aggregation has more outputs than are kept");
            }
        }
        fed
    }

    /// The datapoints that are due by `now_s`.
    fn due(&self, now_s: i64) -> Vec<(String, i64, f64)> {
        let mut due = Vec::new();
        let mut state = self.state();
        for (name, buckets) in &mut state.outputs {
            buckets.take(now_s, |start_s, value| due.push((name.clone(), start_s, value)));
        }
        due
    }

    /// Writes what is due; what the sink does not take now is lost, and told: an output can be made again from its inputs.
    fn write(&self, now_s: i64) {
        let point = |(name, timestamp_s, value): (String, i64, f64)| {
            let canonical = deployline_schemas::series::canonical(&name).ok()?;
            let series = self.inner.intern(&canonical).ok()?;
            value.is_finite().then_some(Point { series, timestamp_s, value })
        };
        let due = self.due(now_s);
        let points: Vec<Point> = due.into_iter().filter_map(point).collect();
        if points.is_empty() {
            return;
        }
        if let Err(error) = self.inner.append(&points) {
            tracing::error!(%error, n_points = points.len(), "aggregated datapoints lost");
        }
    }

    /// The figures now.
    pub fn stats(&self) -> Stats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            n_outputs: self.state().outputs.len(),
            n_passed_over: load(&self.n_passed_over),
            n_late: load(&self.n_late),
        }
    }
}

/// Writes the outputs until `stop`, and then the intervals that are under way.
pub async fn run(outputs: Arc<Outputs>, clock: Clock, stop: CancellationToken) {
    loop {
        let ended = stop.run_until_cancelled(tokio::time::sleep(TICK)).await.is_none();
        let (outputs, now_s) = (Arc::clone(&outputs), clock().as_secs());
        // At the end the interval under way is written as far as it is.
        let by_s = if ended { i64::MAX / 2 } else { now_s - GRACE_S };
        let written = tokio::task::spawn_blocking(move || outputs.write(by_s)).await;
        if ended || written.is_err() {
            return;
        }
    }
}
