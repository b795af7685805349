//! The thin driver beside the engine: reads deploys and datapoints, tells the engine the time, publishes what it decides.
//!
//! The engine runs on a clock a little behind the wall's ([`Live::new`] says how far), so that the datapoints of a bin are
//! in before it is judged; a datapoint that comes up to `LATE_BINS` later, or replaces one, still counts from the next bin
//! on.
//!
//! After a restart the engine is built up again from the store: it runs over the past without a word up to the moment
//! until which it had judged before ([`CHECKPOINT`]), takes the incidents as the catalog has them, and goes on from there.
//! A change that was published but not yet checkpointed when the process died is decided and published again under the
//! same id and revision, which everything downstream knows as the same.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use deployline_bus::{Bus, BusError, Record};
use deployline_schemas::{
    Incident, UnixMillis,
    cloudevent::CloudEvent,
    time::Clock,
    topic::{CATALOG_GROUP, Topic},
};
use deployline_store::{
    Catalog, Federation, SeriesId, StoreError,
    catalog::{DeployQuery, IncidentQuery, MAX_PAGE},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{Engine, Settings, lag, learned::Learned, window};

/// The catalog's checkpoint that holds the moment until which everything was judged and published, in Unix milliseconds.
pub const CHECKPOINT: &str = "correlate/judged_until";
/// The catalog's checkpoint that holds what was learned from the shop's verdicts, as JSON.
pub const LEARNED: &str = "correlate/learned";
/// How often the shop's verdicts are learned from, how long they count, and how many deploys are looked at: three months of a
/// hundred a day.
const LEARN: Duration = Duration::from_secs(3600);
const REMEMBERED: Duration = Duration::from_secs(90 * 86_400);
const MOST_REMEMBERED: usize = 10_000;
/// How often the driver looks whether a bin has closed.
const TICK: Duration = Duration::from_millis(200);
/// Longest time that a bin's datapoints are waited for.
const MAX_LATENESS: Duration = Duration::from_secs(2);
/// How far back the driver catches up after it was down: what broke longer ago is no news.
const MAX_CATCH_UP: Duration = Duration::from_secs(3600);
/// How often a start that waits for the catalog says so.
const CATALOG_PATIENCE: Duration = Duration::from_secs(20);
/// How many bins a datapoint may come late and still be read.
const LATE_BINS: i64 = 6;
/// How often the series are looked up even if their number stays the same: one may have replaced another.
const LOOK_UP: Duration = Duration::from_secs(60);
/// Waits between tries of what failed for now.
const RETRY: Duration = Duration::from_secs(1);

/// Why the driver stopped. What may pass is tried again and does not stop it.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The bus will not take or tell anything any more.
    #[error("the correlator's incidents can not be published")]
    Bus(#[from] BusError),
    /// A record could not be written as JSON.
    #[error("an incident can not be written as JSON")]
    Json(#[from] serde_json::Error),
    /// The engine panicked: a bug.
    #[error("the engine stopped in the middle of a judgement")]
    Engine(#[from] tokio::task::JoinError),
}

/// The live correlator.
pub struct Live {
    bus: Bus,
    reader: Reader,
}

/// What runs on a blocking thread: the engine, and how far it has read.
struct Reader {
    store: Federation,
    catalog: Catalog,
    clock: Clock,
    engine: Engine,
    /// The newest stamp that the engine has seen of each series.
    read_until_s: HashMap<SeriesId, (Arc<str>, i64)>,
    /// How many names the store had when the series were last looked up, and when that was.
    looked_up: Option<(usize, UnixMillis)>,
    /// The last moment that the engine was told.
    judged_until: UnixMillis,
    /// When the shop's verdicts were last learned from.
    learned_at: Option<UnixMillis>,
}

impl Live {
    /// A driver of a new engine. Bins stay open for `min(2 s, one bin)` after their end.
    pub fn new(bus: Bus, store: Federation, catalog: Catalog, clock: Clock, settings: Settings) -> Self {
        let lateness_ms = (settings.bin_s * 1000).min(MAX_LATENESS.as_millis() as i64);
        let engine = Engine::new(Settings { lateness_ms, ..settings });
        let judged_until = UnixMillis(0);
        let reader = Reader {
            store,
            catalog,
            clock,
            engine,
            read_until_s: HashMap::new(),
            looked_up: None,
            judged_until,
            learned_at: None,
        };
        Self { bus, reader }
    }

    /// Judges until `stop`.
    ///
    /// # Errors
    /// See [`LiveError`]; what may pass is logged and tried again.
    pub async fn run(self, stop: CancellationToken) -> Result<(), LiveError> {
        let Live { bus, reader } = self;
        wait_for_catalog(&bus, &stop).await;
        let Some((mut reader, ())) = blocking(reader, &stop, Reader::catch_up).await? else { return Ok(()) };
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(TICK) => {}
            }
            let Some((next, told)) = blocking(reader, &stop, Reader::tick).await? else { return Ok(()) };
            reader = next;
            let Some(told) = told else { continue };
            if !told.is_empty() && !publish(&bus, told, &stop).await? {
                return Ok(());
            }
            // Only now: a crash before this line judges the bins again, and the same changes come out.
            let Some((next, ())) = blocking(reader, &stop, Reader::set_checkpoint).await? else { return Ok(()) };
            reader = next;
        }
    }
}

/// Runs a step on a blocking thread; a step that fails for now is tried again, until `stop`: then there is no answer.
async fn blocking<T: Send + 'static>(
    mut reader: Reader,
    stop: &CancellationToken,
    step: impl Fn(&mut Reader) -> Result<T, StoreError> + Copy + Send + 'static,
) -> Result<Option<(Reader, T)>, LiveError> {
    loop {
        let (next, outcome) = tokio::task::spawn_blocking(move || {
            let outcome = step(&mut reader);
            (reader, outcome)
        })
        .await?;
        reader = next;
        match outcome {
            Ok(value) => return Ok(Some((reader, value))),
            Err(error) => warn!(%error, "the correlator could not read or keep its checkpoint, trying again"),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(None),
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

/// Waits until the catalog has read the deploys and incidents that the bus holds, or until `stop`: an incident that was
/// published and is not in the catalog yet would be opened a second time.
async fn wait_for_catalog(bus: &Bus, stop: &CancellationToken) {
    let mut said_at = tokio::time::Instant::now();
    while !stop.is_cancelled() {
        let mut lag = 0u64;
        for topic in [Topic::Deploys, Topic::Incidents] {
            lag = lag.saturating_add(bus.lag(CATALOG_GROUP, topic).await.unwrap_or(u64::MAX));
        }
        if lag == 0 {
            return;
        }
        if said_at.elapsed() >= CATALOG_PATIENCE {
            said_at = tokio::time::Instant::now();
            warn!("the catalog has not caught up with the bus, judging waits");
        }
        tokio::time::sleep(TICK / 4).await;
    }
}

/// Publishes changes in their order, trying again until `stop`. Returns whether they are out.
async fn publish(bus: &Bus, told: Vec<Incident>, stop: &CancellationToken) -> Result<bool, LiveError> {
    let records = told.into_iter().map(|incident| record(incident, SOURCE)).collect::<Result<Vec<_>, _>>()?;
    loop {
        match bus.publish(Topic::Incidents, records.clone()).await {
            Ok(_) => return Ok(true),
            Err(error) if error.is_retryable() => warn!(%error, "incidents can not be published now"),
            Err(error) => return Err(error.into()),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(false),
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

/// What was learned from the shop's verdicts, as the catalog has it; `None` before the first time, and for what a later release wrote.
///
/// # Errors
/// When the catalog cannot be read.
pub fn learned(catalog: &Catalog) -> Result<Option<Learned>, StoreError> {
    Ok(catalog.checkpoint(LEARNED)?.and_then(|text| serde_json::from_str(&text).ok()))
}

/// Who says so where the correlator itself does.
const SOURCE: &str = "/deployline/correlate";

/// An incident's state change as it travels on the bus, keyed by the incident's id. `source` says who decided it, as a URI
/// reference.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn record(incident: Incident, source: &str) -> Result<Record, serde_json::Error> {
    let key = incident.id.clone();
    let event = CloudEvent { source: source.to_owned(), ..CloudEvent::incident(incident) };
    let value = serde_json::to_vec(&event)?;
    Ok(Record::new(key, value).with_header("content-type", "application/cloudevents+json; charset=UTF-8"))
}

impl Reader {
    /// Builds the engine up to where the last process had come.
    fn catch_up(&mut self) -> Result<(), StoreError> {
        let now = (self.clock)();
        let oldest = now.minus(MAX_CATCH_UP);
        let judged_until = self.catalog.checkpoint(CHECKPOINT)?.and_then(|text| text.parse().ok()).map(UnixMillis);
        let judged_until = judged_until.map_or(now, |judged| judged.clamp(oldest, now));
        let bin_s = self.engine.settings().bin_s;
        if let Some(learned) = learned(&self.catalog)? {
            self.engine.learn(learned);
        }
        self.read_deploys(judged_until)?;
        self.look_up_series();
        let first_s = judged_until.as_secs() - window::BINS as i64 * bin_s;
        self.store.prefetch(self.read_until_s.keys().copied(), first_s, judged_until.as_secs() + 1);
        let mut by_stamp: BTreeMap<i64, Vec<(Arc<str>, f64)>> = BTreeMap::new();
        for (series, (name, read_until_s)) in &mut self.read_until_s {
            for (timestamp_s, value) in self.store.read(*series, first_s, judged_until.as_secs() + 1)?.iter() {
                by_stamp.entry(timestamp_s).or_default().push((Arc::clone(name), value));
                *read_until_s = timestamp_s;
            }
        }
        let n_bins = by_stamp.len();
        for (timestamp_s, points) in by_stamp {
            for (name, value) in points {
                self.engine.observe(&name, timestamp_s, value);
            }
            // Decided before, by the process that is gone, and told then.
            let _ = self.engine.advance(UnixMillis::from_secs(timestamp_s));
        }
        let known = self.catalog.incidents(&IncidentQuery {
            from: Some(judged_until.minus(lag::HORIZON)),
            limit: MAX_PAGE,
            ..IncidentQuery::default()
        })?;
        self.engine.restore(known.items.into_iter().rev().collect());
        self.judged_until = judged_until;
        info!(n_bins, n_signals = self.engine.n_signals(), judged_until = %judged_until, "the correlator has caught up");
        Ok(())
    }

    /// Judges the bins that have closed since the last tick; `None` when none has.
    fn tick(&mut self) -> Result<Option<Vec<Incident>>, StoreError> {
        let settings = self.engine.settings();
        let (lateness_ms, bin_ms) = (settings.lateness_ms, settings.bin_s * 1000);
        let closed = |now: UnixMillis| (now.0 - lateness_ms).div_euclid(bin_ms);
        let now = (self.clock)();
        if closed(now) <= closed(self.judged_until) {
            return Ok(None);
        }
        self.read_deploys(now)?;
        self.learn(now)?;
        self.look_up_series();
        let late_s = LATE_BINS * self.engine.settings().bin_s;
        // Other servers are asked for the series of one window together.
        if self.store.has_sources() {
            let mut windows: BTreeMap<i64, Vec<SeriesId>> = BTreeMap::new();
            for (series, (_, read_until_s)) in &self.read_until_s {
                windows.entry(*read_until_s - late_s).or_default().push(*series);
            }
            windows.into_iter().for_each(|(from_s, series)| {
                self.store.prefetch(series.into_iter(), from_s, now.as_secs() + 1);
            });
        }
        for (series, (name, read_until_s)) in &mut self.read_until_s {
            // What was read before is read again: the same value changes nothing, another one replaces it.
            for (timestamp_s, value) in self.store.read(*series, *read_until_s - late_s, now.as_secs() + 1)?.iter() {
                self.engine.observe(name, timestamp_s, value);
                *read_until_s = timestamp_s;
            }
        }
        let mut told = self.absorb_opinions()?;
        told.extend(self.engine.advance(now));
        self.judged_until = now;
        Ok(Some(told))
    }

    /// Learns from the shop's verdicts once an hour, and keeps what it learned.
    fn learn(&mut self, now: UnixMillis) -> Result<(), StoreError> {
        if self.learned_at.is_some_and(|at| now < at.plus(LEARN)) {
            return Ok(());
        }
        let mut query = DeployQuery { from: Some(now.minus(REMEMBERED)), limit: MAX_PAGE, ..DeployQuery::default() };
        let mut deploys = Vec::new();
        while deploys.len() < MOST_REMEMBERED {
            let page = self.catalog.deploys(&query)?;
            deploys.extend(page.items);
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => break,
            }
        }
        let incidents = self.catalog.incidents(&IncidentQuery {
            from: Some(now.minus(REMEMBERED)),
            limit: MAX_PAGE,
            ..IncidentQuery::default()
        })?;
        let known = &self.engine.settings().learned;
        let learned = known.after(&deploys, &incidents.items, now);
        if learned != *known {
            let text = serde_json::to_string(&learned).unwrap_or_default();
            self.catalog.set_checkpoint(LEARNED, &text)?;
            self.engine.learn(learned);
        }
        self.learned_at = Some(now);
        Ok(())
    }

    /// Tells the engine what people said of the incidents that it follows. Returns what must be told again because of it.
    fn absorb_opinions(&mut self) -> Result<Vec<Incident>, StoreError> {
        let mut again = Vec::new();
        for id in self.engine.watched_incidents() {
            if let Some(known) = self.catalog.incident(&id)? {
                again.extend(self.engine.absorb(&known));
            }
        }
        Ok(again)
    }

    /// Tells the engine of every deploy that may matter at `now`; a repeat changes nothing.
    fn read_deploys(&mut self, now: UnixMillis) -> Result<(), StoreError> {
        let mut query = DeployQuery { from: Some(now.minus(lag::HORIZON)), limit: MAX_PAGE, ..DeployQuery::default() };
        loop {
            let page = self.catalog.deploys(&query)?;
            page.items.iter().for_each(|deploy| self.engine.observe_deploy(deploy));
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Keeps how far everything was judged and published.
    fn set_checkpoint(&mut self) -> Result<(), StoreError> {
        self.catalog.set_checkpoint(CHECKPOINT, &self.judged_until.0.to_string())
    }

    /// Finds the series that the signals speak of when the store has new names, and lets go of those that it forgot.
    fn look_up_series(&mut self) {
        let (n_series, now) = (self.store.stats().n_series, (self.clock)());
        if self.looked_up.is_some_and(|(known, at)| known == n_series && now < at.plus(LOOK_UP)) {
            return;
        }
        self.looked_up = Some((n_series, now));
        let signals = &self.engine.settings().signals;
        let patterns = signals.iter().flat_map(|signal| [Some(signal.series_of("*")), signal.per_of("*")]).flatten();
        let oldest_s = now.as_secs() - window::BINS as i64 * self.engine.settings().bin_s;
        let mut before = std::mem::take(&mut self.read_until_s);
        for (series, name) in patterns.flat_map(|pattern| self.store.matching(&pattern)) {
            let read_until_s = before.remove(&series).map_or(oldest_s, |(_, read_until_s)| read_until_s);
            self.read_until_s.entry(series).or_insert((name, read_until_s));
        }
    }
}
