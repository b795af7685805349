//! What came over one connection, into the sink.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use deployline_schemas::{UnixMillis, series, time::Clock};
use deployline_store::{Point, SeriesId};
use hashbrown::HashMap;
use tokio_util::sync::CancellationToken;

use super::{
    config::CarbonConfig,
    filter::Filter,
    parse::{self, Line, MAX_LINE_BYTES, Reason},
    pickle::{self, PickleError},
};
use crate::{
    announce::Announcer,
    listen::ServeError,
    sink::{Sink, SinkError},
};

/// Datapoints of one call of [`Sink::append`] at most: 1.5 MB of them.
const BATCH_POINTS: usize = 65_536;
/// Pauses between tries while the sink takes nothing: from the first to the last, doubling.
const RETRY_PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) clock: Clock,
    pub(crate) stop: CancellationToken,
    /// Asked once for each name, when it is new.
    pub(crate) filter: Filter,
    /// Names that may still be remembered.
    pub(crate) cache_room: AtomicUsize,
    pub(crate) counters: Counters,
    /// Is told of what announces a deploy.
    pub(crate) announcer: Option<Announcer>,
}

impl Shared {
    /// What a configuration says, and nothing counted yet.
    ///
    /// # Errors
    /// [`ServeError::Pattern`].
    pub(crate) fn new(
        config: &CarbonConfig,
        sink: Arc<dyn Sink>,
        clock: Clock,
        stop: CancellationToken,
        announcer: Option<Announcer>,
    ) -> Result<Self, ServeError> {
        let filter = Filter::new(config).map_err(ServeError::Pattern)?;
        let cache_room = AtomicUsize::new(config.max_cached_names);
        Ok(Self { sink, clock, stop, filter, cache_room, counters: Counters::default(), announcer })
    }
}

/// Figures since the start, as they are counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) n_points: AtomicU64,
    pub(crate) n_bad: [AtomicU64; Reason::ALL.len()],
    pub(crate) n_bad_pickles: AtomicU64,
    pub(crate) n_filtered: AtomicU64,
    pub(crate) n_refused_names: AtomicU64,
    pub(crate) n_refused_points: AtomicU64,
    pub(crate) n_lost_points: AtomicU64,
    pub(crate) n_long: AtomicU64,
    pub(crate) n_unfinished: AtomicU64,
    pub(crate) n_refused_connections: AtomicU64,
}

/// Adds to a counter.
pub(crate) fn count(counter: &AtomicU64, n: usize) {
    if n > 0 {
        counter.fetch_add(n as u64, Ordering::Relaxed);
    }
}

/// A line longer than [`MAX_LINE_BYTES`]: its connection ends.
#[derive(Debug, PartialEq)]
pub(crate) struct LongLine;

/// Takes the datapoints of one connection: names to ids, known ones from its own table, and whole batches to the sink.
pub(crate) struct Intake {
    shared: Arc<Shared>,
    /// Names as sent.
    known: HashMap<Box<str>, Known>,
    batch: Vec<Point>,
}

/// What is remembered of a name.
#[derive(Debug, Clone, Copy)]
struct Known {
    series: SeriesId,
    /// Whether its datapoints may announce deploys; told once, so that the others cost nothing.
    announces: bool,
}

impl Intake {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, known: HashMap::new(), batch: Vec::new() }
    }

    /// Takes lines; durable when it returns. Blocks for as long as the sink takes nothing, so that the sender has to wait.
    ///
    /// # Errors
    /// [`LongLine`], after the lines before it were taken.
    pub(crate) fn take_lines(&mut self, bytes: &[u8]) -> Result<(), LongLine> {
        let outcome = self.add_lines(bytes, (self.shared.clock)().as_secs());
        self.send();
        outcome
    }

    /// Takes the lines of several datagrams; durable when it returns. One with a line too long costs what follows in that datagram, and is counted.
    pub(crate) fn take_datagrams(&mut self, datagrams: &mut dyn Iterator<Item = &[u8]>) {
        self.take_batches(datagrams.map(|datagram| (None, datagram)));
    }

    /// The same with batches of lines, each with what `now` means in it if that is not the clock's.
    pub(crate) fn take_batches<'b>(&mut self, batches: impl Iterator<Item = (Option<i64>, &'b [u8])>) {
        for (now_s, batch) in batches {
            let now_s = now_s.unwrap_or_else(|| (self.shared.clock)().as_secs());
            let is_long = self.add_lines(batch, now_s).is_err();
            count(&self.shared.counters.n_long, usize::from(is_long));
        }
        self.send();
    }

    fn add_lines(&mut self, bytes: &[u8], now_s: i64) -> Result<(), LongLine> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (line, next) = match memchr::memchr(b'\n', rest) {
                Some(end) => (&rest[..end], &rest[end + 1..]),
                None => (rest, &rest[rest.len()..]),
            };
            rest = next;
            if line.len() > MAX_LINE_BYTES {
                return Err(LongLine);
            }
            match parse::parse(line, now_s) {
                Some(Ok(line)) => self.add(line),
                Some(Err(reason)) => count(&self.shared.counters.n_bad[reason as usize], 1),
                None => {}
            }
        }
        Ok(())
    }

    /// Takes the datapoints of a pickle; durable when it returns.
    ///
    /// # Errors
    /// See [`PickleError`]; nothing of the pickle was taken.
    pub(crate) fn take_pickle(&mut self, bytes: &[u8]) -> Result<(), PickleError> {
        let now_s = (self.shared.clock)().as_secs();
        pickle::parse(bytes, |entry| {
            let line = entry
                .ok_or(Reason::Fields)
                .and_then(|entry| parse::datapoint(entry.name, entry.value, entry.timestamp, now_s));
            match line {
                Ok(line) => self.add(line),
                Err(reason) => count(&self.shared.counters.n_bad[reason as usize], 1),
            }
        })?;
        self.send();
        Ok(())
    }

    #[inline]
    fn add(&mut self, line: Line<'_>) {
        let known = self.known.get(line.name).copied();
        if let Some(Known { series, announces }) = known.or_else(|| self.intern(line.name)) {
            if announces {
                self.announce(&line);
            }
            self.batch.push(Point { series, timestamp_s: line.timestamp_s, value: line.value });
            if self.batch.len() >= BATCH_POINTS {
                self.send();
            }
        }
    }

    #[cold]
    fn announce(&self, line: &Line<'_>) {
        if let Some(announcer) = &self.shared.announcer {
            announcer.series(line.name, line.value, UnixMillis::from_secs(line.timestamp_s));
        }
    }

    #[cold]
    fn intern(&mut self, sent: &str) -> Option<Known> {
        let counters = &self.shared.counters;
        let Some(name) = self.shared.filter.pass(sent) else {
            count(&counters.n_filtered, 1);
            return None;
        };
        let Ok(canonical) = series::canonical(&name) else {
            count(&counters.n_bad[Reason::Name as usize], 1);
            return None;
        };
        let series = loop_until_taken(&self.shared.stop, || self.shared.sink.intern(&canonical));
        match series {
            Ok(series) => {
                let announcer = self.shared.announcer.as_ref();
                let announces = announcer.is_some_and(|announcer| announcer.may_announce_series(sent));
                let known = Known { series, announces };
                let room = self
                    .shared
                    .cache_room
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(1));
                if room.is_ok() {
                    self.known.insert(sent.into(), known);
                }
                Some(known)
            }
            Err(SinkError::Refused(_)) => {
                count(&counters.n_refused_names, 1);
                None
            }
            Err(_) => {
                count(&counters.n_lost_points, 1);
                None
            }
        }
    }

    /// Hands the batch to the sink, again and again if it has to be.
    fn send(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let mut appended = loop_until_taken(&self.shared.stop, || self.shared.sink.append(&self.batch));
        if let Err(SinkError::Forgotten) = appended {
            self.intern_again();
            appended = loop_until_taken(&self.shared.stop, || self.shared.sink.append(&self.batch));
        }
        let counters = &self.shared.counters;
        match appended {
            Ok(appended) => {
                count(&counters.n_points, self.batch.len() - appended.n_refused);
                count(&counters.n_refused_points, appended.n_refused);
            }
            Err(error) => {
                tracing::error!(%error, n_points = self.batch.len(), "datapoints lost");
                count(&counters.n_lost_points, self.batch.len());
            }
        }
        self.batch.clear();
    }

    /// The store forgets a series with its last datapoint: asks for all ids anew.
    fn intern_again(&mut self) {
        let mut renamed = HashMap::new();
        for (name, Known { series, .. }) in &mut self.known {
            let passed = self.shared.filter.pass(name);
            let interned = passed
                .and_then(|name| series::canonical(&name).ok())
                .and_then(|canonical| self.shared.sink.intern(&canonical).ok());
            if let Some(new) = interned {
                renamed.insert(std::mem::replace(series, new), new);
            }
        }
        for point in &mut self.batch {
            point.series = renamed.get(&point.series).copied().unwrap_or(point.series);
        }
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.shared.cache_room.fetch_add(self.known.len(), Ordering::Relaxed);
    }
}

/// Tries until the sink takes it or refuses it for good, or until the end, when one more try is the last.
fn loop_until_taken<T>(
    stop: &CancellationToken,
    mut attempt: impl FnMut() -> Result<T, SinkError>,
) -> Result<T, SinkError> {
    let [mut pause, longest] = RETRY_PAUSES;
    loop {
        let last = stop.is_cancelled();
        match attempt() {
            Err(SinkError::Unavailable(error)) if !last => {
                tracing::warn!(error, ?pause, "the store takes nothing; senders wait");
                thread::sleep(pause);
                pause = (2 * pause).min(longest);
            }
            outcome => return outcome,
        }
    }
}
