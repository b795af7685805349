//! The store and the catalog as what targets are evaluated over.
//!
//! The store keeps datapoints at the times they came with, Graphite's functions want columns on a steady grid. A series'
//! step follows from its own datapoints in the window, see [`step_of`], and from those before it where these are few.

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use deployline_render::graphite::{Limits, Metric, Source, SourceError, grid};
use deployline_schemas::UnixMillis;
use deployline_store::{Columns, Federation, SeriesId, StoreError, TagExpression};

use crate::{annotation, error::WebError, library::Library};

/// The step of a series whose window says nothing of it: StatsD's flush interval, as everybody leaves it.
const DEFAULT_STEP_S: i64 = 10;
/// With fewer datapoints than this in the window, two missing beats could pass for the step: those before it are asked.
const FEW_POINTS: usize = 8;
/// How many beats are looked back then, and at most how long, in seconds: a day, then thirty. As far ahead where there is
/// nothing before.
const BEATS_BACK: i64 = 64;
const LOOK_BACK_S: [i64; 2] = [86_400, 30 * 86_400];
/// Most series of one look-up that are looked back for; more take their neighbours' step.
const MAX_LOOKED_BACK: usize = 200;
/// Seconds of window, all series together, from which reading is shared among threads: about 30,000 datapoints.
const WIDE_S: usize = 300_000;
/// Most threads that one look-up is read by.
const MAX_THREADS: usize = 8;
/// Most events that one call of `events` counts, the latest of its window.
const MAX_EVENTS: usize = 100_000;

/// Why series could not be read for a target.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The caller's: more than is allowed.
    #[error("the target asks for about {asked} datapoints, at most {limit} are allowed")]
    TooMuch {
        /// What it would read.
        asked: usize,
        /// What it may read.
        limit: usize,
    },
    /// The caller's: a tag expression that makes no sense.
    #[error("{0}")]
    Expression(String),
    /// Ours.
    #[error("failed to read series")]
    Store(#[source] StoreError),
    /// Ours.
    #[error("failed to read deploys")]
    Catalog(#[source] WebError),
}

/// A library as the source of targets, for one request.
pub struct StoreSource<'l> {
    library: &'l Library,
    limits: Limits,
    /// What the last look-up read to learn the steps; the values are asked for next.
    found: RefCell<Found>,
}

#[derive(Default)]
struct Found {
    window: (i64, i64),
    columns: HashMap<Arc<str>, Columns>,
}

impl<'l> StoreSource<'l> {
    /// The source over a library. It refuses by itself what is past `limits`, as it has to read to know steps.
    pub fn new(library: &'l Library, limits: Limits) -> Self {
        Self { library, limits, found: RefCell::default() }
    }

    fn columns(&self, series: SeriesId, from_s: i64, until_s: i64) -> Result<Columns, ReadError> {
        let (from_s, until_s) = (from_s.saturating_add(1), until_s.saturating_add(1));
        self.library.store().read(series, from_s, until_s).map_err(ReadError::Store)
    }

    /// The step of a series that has few datapoints in the window, by those before it, or after it.
    fn step_before(
        &self,
        series: SeriesId,
        few: &Columns,
        from_s: i64,
        until_s: i64,
    ) -> Result<Option<i64>, ReadError> {
        let near_s = step_of(&few.timestamps).map(|step_s| step_s.saturating_mul(BEATS_BACK));
        for back_s in near_s.into_iter().chain(LOOK_BACK_S) {
            let start_s = until_s.saturating_sub(back_s).min(from_s);
            let columns = self.columns(series, start_s, until_s)?;
            if columns.len() >= FEW_POINTS {
                return Ok(step_of(&columns.timestamps));
            }
        }
        // A window from before there was the series, as of `timeShift`: its beat is that of its first datapoints.
        if few.is_empty() {
            for ahead_s in LOOK_BACK_S {
                let columns = self.columns(series, until_s, until_s.saturating_add(ahead_s))?;
                if columns.len() >= FEW_POINTS {
                    return Ok(step_of(&columns.timestamps));
                }
            }
        }
        Ok(step_of(&few.timestamps))
    }

    /// Reads the series of a window and tells their steps.
    fn metrics(&self, matched: Vec<(SeriesId, Arc<str>)>, from_s: i64, until_s: i64) -> Result<Vec<Metric>, ReadError> {
        let mut columns: HashMap<Arc<str>, Columns> = HashMap::new();
        // Past the limit the evaluator refuses by their number alone.
        if matched.len() <= self.limits.series {
            let (first_s, end_s) = (from_s.saturating_add(1), until_s.saturating_add(1));
            self.library.store().prefetch(matched.iter().map(|(series, _)| *series), first_s, end_s);
            self.weigh(&matched, from_s, until_s)?;
            for (read, (_, name)) in self.read_all(&matched, from_s, until_s)?.into_iter().zip(&matched) {
                columns.insert(Arc::clone(name), read);
            }
        }
        let mut steps: Vec<Option<i64>> = Vec::with_capacity(matched.len());
        let mut n_looked_back = 0;
        for (series, name) in &matched {
            let step = match columns.get(name) {
                Some(few) if few.len() < FEW_POINTS && n_looked_back < MAX_LOOKED_BACK => {
                    n_looked_back += 1;
                    self.step_before(*series, few, from_s, until_s)?
                }
                read => read.and_then(|read| step_of(&read.timestamps)),
            };
            steps.push(step);
        }
        // A series with one datapoint or none takes its neighbours' step, so that it does not coarsen their sum.
        let neighbours = steps.iter().flatten().min().copied().unwrap_or(DEFAULT_STEP_S);
        let metric = |((_, name), step): (&(SeriesId, Arc<str>), Option<i64>)| Metric {
            name: Arc::clone(name),
            step_s: step.unwrap_or(neighbours),
        };
        let metrics = matched.iter().zip(steps).map(metric).collect();
        *self.found.borrow_mut() = Found { window: (from_s, until_s), columns };
        Ok(metrics)
    }

    /// The datapoints of series in a window, by several threads where there are many.
    fn read_all(&self, matched: &[(SeriesId, Arc<str>)], from_s: i64, until_s: i64) -> Result<Vec<Columns>, ReadError> {
        let (store, limit, n_points): (&Federation, _, _) =
            (self.library.store(), self.limits.datapoints, AtomicUsize::new(0));
        let (first_s, end_s) = (from_s.saturating_add(1), until_s.saturating_add(1));
        let read = |(series, _): &(SeriesId, Arc<str>)| {
            let columns = store.read(*series, first_s, end_s).map_err(ReadError::Store)?;
            let asked = n_points.fetch_add(columns.len(), Ordering::Relaxed) + columns.len();
            if asked > limit { Err(ReadError::TooMuch { asked, limit }) } else { Ok(columns) }
        };
        let read_these = |part: &[(SeriesId, Arc<str>)]| part.iter().map(read).collect::<Result<Vec<_>, _>>();
        let is_wide = (until_s.saturating_sub(from_s).max(0) as usize).saturating_mul(matched.len()) >= WIDE_S;
        let n_threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS).min(matched.len());
        if !is_wide || n_threads < 2 {
            return read_these(matched);
        }
        let mut parts = matched.chunks(matched.len().div_ceil(n_threads));
        let own = parts.next().unwrap_or_default();
        thread::scope(|scope| {
            let others: Vec<_> = parts.map(|part| scope.spawn(move || read_these(part))).collect();
            let mut all = read_these(own)?;
            for other in others {
                match other.join() {
                    Ok(read) => all.extend(read?),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            Ok(all)
        })
    }

    /// Refuses what would be too much before all of it is read: as much for each series as for the sparsest of three.
    fn weigh(&self, matched: &[(SeriesId, Arc<str>)], from_s: i64, until_s: i64) -> Result<(), ReadError> {
        let window_s = until_s.saturating_sub(from_s).max(1) as usize;
        // At a datapoint a second it would still fit.
        if window_s.saturating_mul(matched.len()) <= self.limits.datapoints {
            return Ok(());
        }
        let Some(last) = matched.len().checked_sub(1) else { return Ok(()) };
        let mut sparsest = None;
        for index in [0, last / 2, last] {
            sparsest = sparsest.max(step_of(&self.columns(matched[index].0, from_s, until_s)?.timestamps));
        }
        let Some(step_s) = sparsest else { return Ok(()) };
        let asked = (window_s / step_s.max(1) as usize).saturating_mul(matched.len());
        match asked > self.limits.datapoints {
            true => Err(ReadError::TooMuch { asked, limit: self.limits.datapoints }),
            false => Ok(()),
        }
    }
}

impl Source for StoreSource<'_> {
    fn find(&self, pattern: &str, from_s: i64, until_s: i64) -> Result<Vec<Metric>, SourceError> {
        let store = self.library.store();
        let named = deployline_schemas::series::canonical(pattern).ok();
        let named = named.and_then(|name| store.lookup(&name).map(|series| (series, Arc::from(name))));
        let matched = named.map_or_else(|| store.matching(pattern), |named| vec![named]);
        Ok(self.metrics(matched, from_s, until_s)?)
    }

    fn find_tagged(&self, expressions: &[String], from_s: i64, until_s: i64) -> Result<Vec<Metric>, SourceError> {
        let parsed = TagExpression::parse_all(expressions).map_err(|error| ReadError::Expression(error.to_string()))?;
        let store = self.library.store();
        Ok(self.metrics(store.find_tagged(store.tagged(&parsed), expressions), from_s, until_s)?)
    }

    fn read(&self, metric: &Metric, from_s: i64, until_s: i64) -> Result<Vec<f64>, SourceError> {
        let found = {
            let mut found = self.found.borrow_mut();
            let is_window = found.window == (from_s, until_s);
            if is_window { found.columns.remove(&metric.name) } else { None }
        };
        let columns = match (found, self.library.store().lookup(&metric.name)) {
            (Some(columns), _) => columns,
            (None, Some(series)) => self.columns(series, from_s, until_s)?,
            (None, None) => Columns::default(),
        };
        Ok(on_grid(columns, from_s, until_s, metric.step_s))
    }

    fn events(&self, tags: &[String], from_s: i64, until_s: i64) -> Result<Vec<i64>, SourceError> {
        let window = (UnixMillis::from_secs(from_s), UnixMillis::from_secs(until_s));
        let annotations = annotation::between(self.library, window, MAX_EVENTS).map_err(ReadError::Catalog)?;
        let carries = annotations.into_iter().filter(|annotation| annotation.has_all(tags));
        Ok(carries.map(|annotation| annotation.at.as_secs()).filter(|at| (from_s..until_s).contains(at)).collect())
    }
}

/// The distance between datapoints at these times, in seconds: the smallest, if all others are multiples of it. A series
/// that is sent on its beat now and then keeps each datapoint so. Otherwise the sender's clock jitters, and the
/// lower median of the distances is its beat. `None` for fewer than two datapoints. Costs one pass, in the second case a
/// selection.
fn step_of(timestamps_s: &[i64]) -> Option<i64> {
    if let [first, second, ..] = timestamps_s {
        // Nearly every series is whole: one pass that compares is all.
        let beat_s = second - first;
        if beat_s > 0 && timestamps_s.windows(2).fold(true, |steady, pair| steady & (pair[1] - pair[0] == beat_s)) {
            return Some(beat_s);
        }
    }
    let distances = || timestamps_s.windows(2).map(|pair| pair[1] - pair[0]);
    let smallest = distances().min().filter(|distance| *distance > 0)?;
    if distances().all(|distance| distance % smallest == 0) {
        return Some(smallest);
    }
    let mut distances: Vec<i64> = distances().collect();
    let middle = (distances.len() - 1) / 2;
    Some(*distances.select_nth_unstable(middle).1)
}

/// The values on the grid of a step, each in the slot at or before its time, as whisper stores them; of two in one slot
/// the later stays.
fn on_grid(columns: Columns, from_s: i64, until_s: i64, step_s: i64) -> Vec<f64> {
    let step_s = step_s.max(1);
    let (start_s, end_s) = grid(from_s, until_s, step_s);
    let n_slots = ((end_s - start_s) / step_s) as usize;
    let is_whole = columns.len() == n_slots
        && columns.timestamps.first() == Some(&start_s)
        && columns.timestamps.windows(2).fold(true, |steady, pair| steady & (pair[1] - pair[0] == step_s));
    if is_whole {
        return columns.values;
    }
    let mut values = vec![f64::NAN; n_slots];
    let (mut slot, mut next_s) = (0, start_s.saturating_add(step_s));
    for (timestamp_s, value) in columns.iter().filter(|(timestamp_s, _)| *timestamp_s >= start_s) {
        if timestamp_s >= next_s {
            // Most often the very next: a division is left to what comes after a gap.
            slot += 1 + ((timestamp_s - next_s) / step_s) as usize;
            next_s = start_s.saturating_add((slot as i64 + 1).saturating_mul(step_s));
        }
        if let Some(slot) = values.get_mut(slot) {
            *slot = value;
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_is_the_beat_even_where_beats_are_missing_or_jitter() {
        for (timestamps, expected) in [
            (&[0, 10, 20, 30][..], Some(10)),
            (&[0, 60, 70, 200], Some(10)),
            (&[0, 60, 121, 179, 240], Some(60)),
            (&[5, 605], Some(600)),
            (&[5], None),
            (&[], None),
        ] {
            assert_eq!(step_of(timestamps), expected, "{timestamps:?}");
        }
    }

    #[test]
    fn a_value_stands_in_the_slot_before_it() {
        let columns = Columns { timestamps: vec![101, 110, 119, 135], values: vec![1.0, 2.0, 3.0, 4.0] };
        let values = on_grid(columns, 100, 140, 10);
        assert_eq!(values[..1], [3.0]);
        assert!(values[1].is_nan() && values[3].is_nan());
        assert_eq!((values[2], values.len()), (4.0, 4));
    }
}
