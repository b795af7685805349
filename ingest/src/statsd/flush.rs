//! One interval into datapoints, under the names that Etsy's daemon gives them.

use deployline_store::{Point, SeriesId};

use super::{
    aggregate::{Interval, Kind},
    config::StatsdConfig,
    sketch::Sketch,
    timer::{self, Percentile, Scratch},
};
use crate::sink::{Sink, SinkError};

/// Datapoints of one call of [`Sink::append`]: 384 KiB of them.
const BATCH_POINTS: usize = 16_384;

/// Turns intervals into datapoints. Mirrors the slots of one [`super::Aggregator`], whose intervals it must get all and in order.
#[derive(Debug)]
pub struct Flusher {
    layout: Layout,
    interval_s: f64,
    percentiles: Vec<Percentile>,
    /// By kind and slot.
    metrics: [Vec<Metric>; 4],
    own: Vec<(String, Target)>,
    deletes: [bool; 4],
    batch: Vec<Point>,
    grouped: Grouped,
    scratch: Scratch,
    figures: Vec<Option<f64>>,
}

/// What a flush did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Metrics written, as in `statsd.numStats`.
    pub n_metrics: usize,
    /// Datapoints handed to the sink.
    pub n_points: usize,
    /// Datapoints whose series the sink refuses, as past `store.max_series`.
    pub n_refused: usize,
    /// Datapoints left out since they are not finite, as the sum of squares of huge values.
    pub n_not_finite: usize,
}

/// Figures of the flush before, written as the daemon's own metrics.
#[derive(Debug, Clone, Copy, Default)]
pub struct Health {
    /// How long the flush before took, in milliseconds.
    pub processing_ms: f64,
    /// How much later than its stamp the flush before began, in seconds.
    pub timestamp_lag_s: f64,
    /// When the sink last took a flush, Unix seconds; 0 for never.
    pub last_flush_s: i64,
    /// When the sink last failed, Unix seconds; 0 for never.
    pub last_exception_s: i64,
    /// Datapoints of the flush before.
    pub n_points: usize,
}

/// A metric's series, looked up when first written.
#[derive(Debug, Clone, Copy)]
enum Target {
    Unknown,
    Refused,
    Known(SeriesId),
}

#[derive(Debug, Default)]
struct Metric {
    name: Box<str>,
    live: bool,
    targets: Box<[Target]>,
    /// Index of the timer's histogram in the configuration.
    histogram: Option<usize>,
}

impl Flusher {
    /// A flusher for the configuration, which has passed [`StatsdConfig::check`].
    pub fn new(config: &StatsdConfig) -> Self {
        let percentiles: Vec<_> = config.percentiles.iter().map(|value| Percentile::new(*value)).collect();
        Self {
            layout: Layout::new(config, &percentiles),
            interval_s: config.flush.as_secs_f64(),
            percentiles,
            metrics: Default::default(),
            own: Vec::new(),
            deletes: config.deletes(),
            batch: Vec::with_capacity(BATCH_POINTS),
            grouped: Grouped::default(),
            scratch: Scratch::default(),
            figures: Vec::new(),
        }
    }

    /// Writes an interval that ends at `timestamp_s` to the sink, in batches, and empties nothing: the caller recycles it.
    ///
    /// A batch that the sink can not take now goes to `unsent`, and so does all that follows it.
    pub fn flush(
        &mut self,
        interval: &Interval,
        timestamp_s: i64,
        health: &Health,
        sink: &dyn Sink,
        unsent: &mut Vec<Point>,
    ) -> Flushed {
        self.adopt(interval);
        self.grouped.group(interval);
        let wants_sketches = sink.wants_sketches();
        let (mut flushed, mut forgotten) = self.write(interval, timestamp_s, health, sink, unsent, wants_sketches);
        if forgotten {
            // The store forgets a series with its last datapoint. All is written again under new ids; what had been taken is replaced by the same.
            self.metrics
                .iter_mut()
                .flatten()
                .flat_map(|metric| metric.targets.iter_mut())
                .for_each(|target| *target = Target::Unknown);
            self.own.clear();
            unsent.clear();
            (flushed, forgotten) = self.write(interval, timestamp_s, health, sink, unsent, false);
            tracing::debug!(forgotten, "series interned again");
        }
        for kind in Kind::ALL.into_iter().filter(|kind| self.deletes[*kind as usize] && *kind != Kind::Gauge) {
            let own = if kind == Kind::Counter { 3 } else { 0 };
            self.metrics[kind as usize].iter_mut().skip(own).for_each(|metric| metric.live = false);
        }
        flushed
    }

    /// Takes over which metrics there are.
    fn adopt(&mut self, interval: &Interval) {
        for (kind, slot) in &interval.forgotten {
            if let Some(metric) = self.metrics[*kind as usize].get_mut(*slot as usize) {
                *metric = Metric::default();
            }
        }
        for (kind, slot, name) in &interval.born {
            let metrics = &mut self.metrics[*kind as usize];
            if metrics.len() <= *slot as usize {
                metrics.resize_with(*slot as usize + 1, Metric::default);
            }
            let histogram = if *kind == Kind::Timer { self.layout.histogram_of(name) } else { None };
            let n_targets = match kind {
                Kind::Counter => 2,
                Kind::Timer => {
                    self.layout.timer_keys.len()
                        + histogram.map_or(0, |index| self.layout.histograms[index].bounds.len())
                }
                Kind::Gauge | Kind::Set => 1,
            };
            let targets = vec![Target::Unknown; n_targets].into_boxed_slice();
            metrics[*slot as usize] = Metric { name: name.clone(), live: true, targets, histogram };
        }
        let [counters, timers, gauges, sets] = &mut self.metrics;
        counters.iter_mut().zip(&interval.counters).for_each(|(metric, counter)| metric.live |= counter.touched);
        timers.iter_mut().zip(&interval.timer_counts).for_each(|(metric, count)| metric.live |= *count > 0.0);
        gauges.iter_mut().zip(&interval.gauges).for_each(|(metric, gauge)| metric.live = gauge.left > 0);
        sets.iter_mut().zip(interval.members.counts()).for_each(|(metric, count)| metric.live |= *count > 0);
    }

    /// Writes everything. Returns also whether the sink had forgotten a series.
    fn write(
        &mut self,
        interval: &Interval,
        timestamp_s: i64,
        health: &Health,
        sink: &dyn Sink,
        unsent: &mut Vec<Point>,
        wants_sketches: bool,
    ) -> (Flushed, bool) {
        let Self { layout, metrics: [counters, timers, gauges, sets], percentiles, grouped, scratch, figures, .. } =
            self;
        let interval_s = self.interval_s;
        let mut out = Out {
            sink,
            timestamp_s,
            batch: &mut self.batch,
            unsent,
            flushed: Flushed::default(),
            forgotten: false,
            failed: false,
        };
        out.batch.clear();
        for (metric, counter) in counters.iter_mut().zip(&interval.counters).filter(|(metric, _)| metric.live) {
            out.flushed.n_metrics += 1;
            let Metric { name, targets, .. } = metric;
            out.put(&mut targets[0], counter.sum / interval_s, || layout.series(&layout.counter_rate, name));
            if layout.flush_counts {
                out.put(&mut targets[1], counter.sum, || layout.series(&layout.counter_count, name));
            }
        }
        for (slot, metric) in timers.iter_mut().enumerate().filter(|(_, metric)| metric.live) {
            out.flushed.n_metrics += 1;
            let folded = interval.folded.get(slot).and_then(Option::as_deref);
            let values = grouped.values(slot);
            let count = interval.timer_counts.get(slot).copied().unwrap_or_default();
            let all = folded.filter(|_| count > 0.0).map(|folded| folded.with(values));
            match &all {
                _ if count == 0.0 => {
                    figures.clear();
                    figures.extend([Some(0.0), Some(0.0)]);
                }
                None => timer::summarise(values, count, interval_s, percentiles, scratch, figures),
                Some(all) => timer::summarise_folded(all, count, interval_s, percentiles, figures),
            }
            if wants_sketches && count > 0.0 {
                match &all {
                    None => sink.sketch(&metric.name, timestamp_s, &Sketch::of_sorted(values)),
                    Some(all) => sink.sketch(&metric.name, timestamp_s, all.sketch()),
                }
            }
            let Metric { name, targets, histogram, .. } = metric;
            let keys = layout.timer_keys.iter().zip(targets.iter_mut());
            for ((key, target), figure) in keys.zip(figures.iter()) {
                if let (Some(key), Some(figure)) = (key, figure) {
                    out.put(target, *figure, || layout.series(key, name));
                }
            }
            if let (Some(index), true) = (histogram, count > 0.0) {
                let histogram = &layout.histograms[*index];
                let below =
                    |bound| all.as_ref().map_or_else(|| timer::n_below(values, bound), |all| all.n_below(bound));
                let mut n_before = 0;
                for (index, bound) in histogram.bounds.iter().enumerate() {
                    let n_below = below(*bound);
                    let target = &mut targets[layout.timer_keys.len() + index];
                    out.put(target, (n_below - n_before) as f64, || layout.series(&histogram.keys[index], name));
                    n_before = n_below;
                }
            }
        }
        for (metric, gauge) in gauges.iter_mut().zip(&interval.gauges).filter(|(metric, _)| metric.live) {
            out.flushed.n_metrics += 1;
            out.put(&mut metric.targets[0], gauge.level, || layout.series(&layout.gauge, &metric.name));
        }
        for (metric, count) in sets.iter_mut().zip(interval.members.counts()).filter(|(metric, _)| metric.live) {
            out.flushed.n_metrics += 1;
            out.put(&mut metric.targets[0], f64::from(*count), || layout.series(&layout.set, &metric.name));
        }
        // The lag is a gauge in Etsy's daemon and counts as a metric.
        out.flushed.n_metrics += 1;
        let own = layout.own(out.flushed.n_metrics, health);
        self.own.resize_with(own.len(), || (String::new(), Target::Unknown));
        for ((name, value), (_, target)) in own.into_iter().zip(&mut self.own) {
            out.put(target, value, || name);
        }
        out.send();
        (out.flushed, out.forgotten)
    }
}

/// Datapoints on their way to the sink.
struct Out<'a> {
    sink: &'a dyn Sink,
    timestamp_s: i64,
    batch: &'a mut Vec<Point>,
    unsent: &'a mut Vec<Point>,
    flushed: Flushed,
    forgotten: bool,
    failed: bool,
}

impl Out<'_> {
    #[inline]
    fn put(&mut self, target: &mut Target, value: f64, name: impl FnOnce() -> String) {
        if !value.is_finite() {
            self.flushed.n_not_finite += 1;
            return;
        }
        if let Target::Unknown = target {
            *target = self.intern(&name());
        }
        let Target::Known(series) = *target else {
            self.flushed.n_refused += 1;
            return;
        };
        self.flushed.n_points += 1;
        self.batch.push(Point { series, timestamp_s: self.timestamp_s, value });
        if self.batch.len() >= BATCH_POINTS {
            self.send();
        }
    }

    #[cold]
    fn intern(&self, name: &str) -> Target {
        match self.sink.intern(name) {
            Ok(series) => Target::Known(series),
            Err(SinkError::Refused(error)) => {
                tracing::debug!(name, error, "series refused");
                Target::Refused
            }
            // Asked again at the next flush.
            Err(_) => Target::Unknown,
        }
    }

    fn send(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        if !self.failed {
            match self.sink.append(self.batch) {
                Ok(appended) => {
                    self.flushed.n_refused += appended.n_refused;
                    return self.batch.clear();
                }
                Err(SinkError::Forgotten) => self.forgotten = true,
                Err(error) => {
                    tracing::warn!(%error, n_points = self.batch.len(), "flush kept for later");
                    self.failed = true;
                }
            }
        }
        self.unsent.append(self.batch);
    }
}

/// Values of all timers, grouped by timer and sorted.
#[derive(Debug, Default)]
struct Grouped {
    values: Vec<f64>,
    /// `ends[slot]` is where the values of the slot end, and those of the next begin.
    ends: Vec<u32>,
}

impl Grouped {
    /// A counting sort by slot, then a sort of each slot's values: linear in what came in, whatever the number of timers.
    fn group(&mut self, interval: &Interval) {
        let Self { values, ends } = self;
        ends.clear();
        ends.resize(interval.timer_counts.len() + 1, 0);
        interval.timer_slots.iter().for_each(|slot| ends[*slot as usize + 1] += 1);
        for slot in 1..ends.len() {
            ends[slot] += ends[slot - 1];
        }
        values.clear();
        values.resize(interval.timer_values.len(), 0.0);
        // Starts become ends as the values are put in place.
        for (slot, value) in interval.timer_slots.iter().zip(&interval.timer_values) {
            let end = &mut ends[*slot as usize];
            values[*end as usize] = *value;
            *end += 1;
        }
        let mut start = 0;
        for end in &ends[..ends.len() - 1] {
            values[start..*end as usize].sort_unstable_by(f64::total_cmp);
            start = *end as usize;
        }
    }

    fn values(&self, slot: usize) -> &[f64] {
        let start = if slot == 0 { 0 } else { self.ends[slot - 1] };
        &self.values[start as usize..self.ends[slot] as usize]
    }
}

/// How series are named: what stands before a metric's name and after it, the tags aside.
#[derive(Debug)]
struct Layout {
    counter_rate: Around,
    counter_count: Around,
    flush_counts: bool,
    gauge: Around,
    set: Around,
    /// In the order of [`timer::keys`]; `None` for those that are not wanted.
    timer_keys: Vec<Option<Around>>,
    histograms: Vec<Histogram>,
    lag: String,
    num_stats: String,
    own_prefix: String,
    suffix: String,
}

#[derive(Debug)]
struct Around {
    before: String,
    after: String,
}

#[derive(Debug)]
struct Histogram {
    metric: String,
    bounds: Vec<f64>,
    keys: Vec<Around>,
}

impl Layout {
    fn new(config: &StatsdConfig, percentiles: &[Percentile]) -> Self {
        let suffix = if config.suffix.is_empty() { String::new() } else { format!(".{}", config.suffix) };
        let namespace = |parts: &[&str]| {
            parts.iter().filter(|part| !part.is_empty()).fold(String::new(), |namespace, part| namespace + part + ".")
        };
        let around = |before: &str, key: &str| {
            let dot = if key.is_empty() { "" } else { "." };
            Around { before: before.to_owned(), after: format!("{dot}{key}{suffix}") }
        };
        let of = |prefix: &str, legacy: &str| match config.legacy_namespace {
            true => namespace(&["stats", legacy]),
            false => namespace(&[&config.prefix, prefix]),
        };
        let (counters, timers) = (of(&config.prefix_counter, ""), of(&config.prefix_timer, "timers"));
        let (gauges, sets) = (of(&config.prefix_gauge, "gauges"), of(&config.prefix_set, "sets"));
        let (counter_rate, counter_count) = match config.legacy_namespace {
            true => (around(&counters, ""), around("stats_counts.", "")),
            false => (around(&counters, "rate"), around(&counters, "count")),
        };
        let wanted =
            |key: &str| config.timer_metrics.is_empty() || config.timer_metrics.iter().any(|wanted| wanted == key);
        let keys = timer::keys(percentiles);
        let timer_keys =
            keys.iter().map(|key| wanted(&timer::generic_key(key)).then(|| around(&timers, key))).collect();
        let histograms = config.histogram.iter().filter(|_| wanted("histogram")).map(|histogram| {
            let bounds = histogram.bounds();
            let label = |bound: &f64| bound.to_string().replacen('.', "_", 1);
            let keys = bounds.iter().map(|bound| around(&timers, &format!("histogram.bin_{}", label(bound)))).collect();
            Histogram { metric: histogram.metric.clone(), bounds, keys }
        });
        let own = &config.prefix_stats;
        Self {
            counter_rate,
            counter_count,
            flush_counts: config.flush_counts,
            lag: format!("{gauges}{own}.timestamp_lag{suffix}"),
            gauge: around(&gauges, ""),
            set: around(&sets, "count"),
            timer_keys,
            histograms: histograms.collect(),
            num_stats: match config.legacy_namespace {
                true => format!("{own}.numStats{suffix}"),
                false => format!("{}.numStats{suffix}", namespace(&[&config.prefix]) + own),
            },
            own_prefix: of("", "") + own,
            suffix,
        }
    }

    /// The histogram of a timer: the first whose text occurs in its name.
    fn histogram_of(&self, name: &str) -> Option<usize> {
        self.histograms.iter().position(|histogram| name.contains(&histogram.metric))
    }

    /// The series of a metric: its name within `around`, its tags last.
    fn series(&self, around: &Around, name: &str) -> String {
        let (metric, tags) = name.split_at(name.find(';').unwrap_or(name.len()));
        [&around.before, metric, &around.after, tags].concat()
    }

    /// The daemon's own metrics.
    fn own(&self, n_metrics: usize, health: &Health) -> [(String, f64); 8] {
        let own = |key: &str| format!("{}.{key}{}", self.own_prefix, self.suffix);
        [
            (self.lag.clone(), health.timestamp_lag_s),
            (self.num_stats.clone(), n_metrics as f64),
            (own("processing_time"), health.processing_ms),
            (own("graphiteStats.calculationtime"), health.processing_ms),
            (own("graphiteStats.last_exception"), health.last_exception_s as f64),
            (own("graphiteStats.last_flush"), health.last_flush_s as f64),
            (own("graphiteStats.flush_time"), health.processing_ms),
            (own("graphiteStats.flush_length"), health.n_points as f64),
        ]
    }
}

#[cfg(test)]
mod tests;
