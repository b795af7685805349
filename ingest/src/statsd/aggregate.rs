//! Metrics of one flush interval, added up. Knows no clock: whoever owns it says when an interval ends.

use super::{
    names::{InternError, Names},
    parse::{self, BadLine, Event, Item, Key, Metric, Reason, Sample},
    timer::Folded,
};
use crate::{
    announce::{Announcer, MAX_WAITING},
    statsd::members::Members,
};

/// The kinds of metrics; names of different kinds do not meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Sums.
    Counter,
    /// Distributions.
    Timer,
    /// Levels.
    Gauge,
    /// Distinct members.
    Set,
}

impl Kind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Kind; 4] = [Kind::Counter, Kind::Timer, Kind::Gauge, Kind::Set];
}

/// Bounds of an [`Aggregator`] and what it does with idle metrics.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most names of all kinds together.
    pub max_names: usize,
    /// Most timer values of an interval that are kept one by one; the rest is folded into sketches.
    pub max_timer_values: usize,
    /// Most distinct members of all sets in an interval.
    pub max_set_members: usize,
    /// Whether metrics that got nothing in an interval are left out of its flush, by kind.
    pub deletes: [bool; 4],
    /// Flushes for which an idle gauge goes on where gauges are deleted.
    pub gauges_max_ttl: u32,
}

/// What came in since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Datagrams, and reads of TCP connections.
    pub n_packets: u64,
    /// Lines that were not empty, bad ones included.
    pub n_lines: u64,
    /// Values taken.
    pub n_metrics: u64,
    /// DogStatsD events: recognised, not kept.
    pub n_events: u64,
    /// DogStatsD service checks: recognised, not kept.
    pub n_service_checks: u64,
    /// Values refused, by number of the [`Reason`].
    pub n_bad: [u64; Reason::ALL.len()],
    /// Values refused since their name can not be used.
    pub n_bad_names: u64,
    /// Values refused since their name is new and [`Limits::max_names`] are known.
    pub n_refused_names: u64,
    /// Members refused since there are [`Limits::max_set_members`].
    pub n_refused_members: u64,
    /// Values refused since the sum or level would not be finite.
    pub n_overflows: u64,
    /// Timer values of which only sums and sketch were kept.
    pub n_folded: u64,
}

impl Tally {
    /// Values refused for any reason.
    pub fn n_refused(&self) -> u64 {
        self.n_bad.iter().sum::<u64>()
            + self.n_bad_names
            + self.n_refused_names
            + self.n_refused_members
            + self.n_overflows
    }
}

/// Everything that came in within one interval, by slot of the metric.
#[derive(Debug, Default)]
pub struct Interval {
    pub(crate) counters: Vec<Counter>,
    /// Observations that each timer's values stand for: the inverse of their sample rates, summed.
    pub(crate) timer_counts: Vec<f64>,
    /// All timers' values in order of arrival, in columns. Appending is all that the receiving thread does with them.
    pub(crate) timer_slots: Vec<u32>,
    pub(crate) timer_values: Vec<f64>,
    /// Timers of which values were folded; empty unless the bound was passed.
    pub(crate) folded: Vec<Option<Box<Folded>>>,
    pub(crate) gauges: Vec<Gauge>,
    pub(crate) members: Members,
    /// Names that lost their slots. They were there before those in `born`.
    pub(crate) forgotten: Vec<(Kind, u32)>,
    /// Names that got a slot.
    pub(crate) born: Vec<(Kind, u32, Box<str>)>,
}

/// One counter within an interval.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counter {
    pub(crate) sum: f64,
    pub(crate) touched: bool,
}

/// One gauge. Its level outlives the interval.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Gauge {
    pub(crate) level: f64,
    /// Flushes for which it goes on; 0 means that it is deleted or was never set.
    pub(crate) left: u32,
    pub(crate) touched: bool,
}

impl Interval {
    /// Empties it for reuse; keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.counters.fill(Counter::default());
        self.timer_counts.fill(0.0);
        self.timer_slots.clear();
        self.timer_values.clear();
        self.folded.clear();
        self.members.clear();
        self.forgotten.clear();
        self.born.clear();
    }
}

/// Flushes for which a deleted metric's name is kept, in case that it comes back, before its slot may go to another name.
const KEPT_FLUSHES: u8 = 6;
/// Slots of the daemon's own counters.
const BAD_LINES: usize = 0;
const PACKETS: usize = 1;
const LINES: usize = 2;

/// Adds up metrics by name. A known name costs a hash lookup and no allocation.
#[derive(Debug)]
pub struct Aggregator {
    limits: Limits,
    names: [Names; 4],
    interval: Interval,
    gauges: Vec<Gauge>,
    /// Flushes since a name last got something, by kind and slot; kept only where idle metrics are deleted.
    idle: [Vec<u8>; 4],
    tally: Tally,
    /// Says which metrics and events may announce a deploy.
    announcer: Option<Announcer>,
    announced: Vec<Announcement>,
}

/// What may announce a deploy, as it came.
#[derive(Debug, Clone, PartialEq)]
pub enum Announcement {
    /// A counter or a gauge that was set.
    Metric {
        /// Its name as sent; what is no UTF-8 in it is replaced.
        name: String,
        /// Its value, sample rate applied.
        value: f64,
    },
    /// DogStatsD's event: title, text and fields.
    Event([Box<[u8]>; 3]),
}

/// Announcements that are noted between two looks at them; more are left out, as too many waiting would be anyway.
const MAX_ANNOUNCED: usize = MAX_WAITING;

impl Aggregator {
    /// An empty aggregator; `own` names its counters of lines and packets (`statsd.packets_received`), as Etsy's daemon counts itself.
    pub fn new(limits: Limits, own: &str) -> Self {
        let mut aggregator = Self {
            limits,
            names: Default::default(),
            interval: Interval::default(),
            gauges: Vec::new(),
            idle: Default::default(),
            tally: Tally::default(),
            announcer: None,
            announced: Vec::new(),
        };
        for (slot, name) in ["bad_lines_seen", "packets_received", "metrics_received"].into_iter().enumerate() {
            let name = format!("{own}.{name}");
            let got = aggregator.intern(Kind::Counter, Key { name: name.as_bytes(), tags: &[] });
            // A prefix that leaves nothing of the name (or makes them equal) must not shift the slots.
            if got != Ok(slot as u32) {
                aggregator.interval.counters.resize_with(slot + 1, Counter::default);
            }
        }
        aggregator
    }

    /// The same aggregator, which notes what may announce a deploy on its way.
    #[must_use]
    pub fn announcing(self, announcer: Option<Announcer>) -> Self {
        Self { announcer, ..self }
    }

    /// What was noted since it was last asked.
    pub fn take_announced(&mut self) -> Vec<Announcement> {
        std::mem::take(&mut self.announced)
    }

    /// Adds everything in a packet, at the cost of one pass over it.
    pub fn add_packet(&mut self, packet: &[u8]) {
        let n_lines = parse::parse(packet, |item| match item {
            Ok(Item::Metric(metric)) => self.add(&metric),
            Ok(Item::Event(event)) => {
                self.tally.n_events += 1;
                self.note_event(event);
            }
            Ok(Item::ServiceCheck(_)) => self.tally.n_service_checks += 1,
            Err(BadLine { reason, .. }) => {
                self.tally.n_bad[reason as usize] += 1;
                self.interval.counters[BAD_LINES].sum += 1.0;
            }
        });
        self.tally.n_packets += 1;
        self.tally.n_lines += n_lines as u64;
        let own = &mut self.interval.counters;
        own[PACKETS].sum += 1.0;
        own[LINES].sum += n_lines as f64;
        own[BAD_LINES..=LINES].iter_mut().for_each(|counter| counter.touched = true);
    }

    /// Adds one value. One that is refused is counted in the [`Tally`] and as a bad line.
    #[inline]
    pub fn add(&mut self, metric: &Metric<'_>) {
        if self.announcer.as_ref().is_some_and(|announcer| announcer.may_announce(metric.key.name)) {
            self.note(metric);
        }
        let taken = match metric.sample {
            // The product that Etsy's daemon takes: a quotient differs from it in the last bit.
            Sample::Counter(value) => self.add_counter(metric.key, value * metric.rate.recip()),
            Sample::Timer(value) => self.add_timer(metric.key, value, metric.rate),
            Sample::Gauge(level) => self.set_gauge(metric.key, |_| level),
            Sample::GaugeDelta(delta) => self.set_gauge(metric.key, |level| level + delta),
            Sample::Set(member) => self.add_member(metric.key, member),
        };
        match taken {
            Ok(()) => self.tally.n_metrics += 1,
            Err(refused) => self.refuse(refused),
        }
    }

    #[cold]
    fn note(&mut self, metric: &Metric<'_>) {
        let value = match metric.sample {
            Sample::Counter(value) => value / metric.rate,
            Sample::Gauge(level) => level,
            _ => return,
        };
        if self.announced.len() < MAX_ANNOUNCED {
            let name = String::from_utf8_lossy(metric.key.name).into_owned();
            self.announced.push(Announcement::Metric { name, value });
        }
    }

    #[cold]
    fn note_event(&mut self, event: Event<'_>) {
        let takes = self.announcer.as_ref().is_some_and(Announcer::takes_events);
        if takes && self.announced.len() < MAX_ANNOUNCED {
            self.announced.push(Announcement::Event([event.title, event.text, event.fields].map(Box::from)));
        }
    }

    #[inline]
    fn add_counter(&mut self, key: Key<'_>, amount: f64) -> Result<(), Refused> {
        let slot = self.slot(Kind::Counter, key)?;
        let counter = &mut self.interval.counters[slot as usize];
        let sum = counter.sum + amount;
        if !sum.is_finite() {
            return Err(Refused::Overflow);
        }
        *counter = Counter { sum, touched: true };
        Ok(())
    }

    #[inline]
    fn add_timer(&mut self, key: Key<'_>, value: f64, rate: f64) -> Result<(), Refused> {
        let slot = self.slot(Kind::Timer, key)?;
        let count = &mut self.interval.timer_counts[slot as usize];
        *count += rate.recip();
        if self.interval.timer_values.len() < self.limits.max_timer_values {
            self.interval.timer_slots.push(slot);
            self.interval.timer_values.push(value);
        } else {
            self.fold(slot, value);
        }
        Ok(())
    }

    #[cold]
    fn fold(&mut self, slot: u32, value: f64) {
        let folded = &mut self.interval.folded;
        if folded.len() <= slot as usize {
            folded.resize_with(slot as usize + 1, || None);
        }
        folded[slot as usize].get_or_insert_default().add(value);
        self.tally.n_folded += 1;
    }

    /// Sets a level from the one before, 0 for a new gauge. That is Etsy's rule too: a delta on a gauge that is unset or 0 sets it.
    #[inline]
    fn set_gauge(&mut self, key: Key<'_>, level: impl Fn(f64) -> f64) -> Result<(), Refused> {
        let slot = self.slot(Kind::Gauge, key)?;
        let gauge = &mut self.gauges[slot as usize];
        let level = level(gauge.level);
        if !level.is_finite() {
            return Err(Refused::Overflow);
        }
        *gauge = Gauge { level, left: self.limits.gauges_max_ttl, touched: true };
        Ok(())
    }

    fn add_member(&mut self, key: Key<'_>, member: &[u8]) -> Result<(), Refused> {
        let slot = self.slot(Kind::Set, key)?;
        match self.interval.members.insert(slot, member, self.limits.max_set_members) {
            true => Ok(()),
            false => Err(Refused::Member),
        }
    }

    #[inline]
    fn slot(&mut self, kind: Kind, key: Key<'_>) -> Result<u32, Refused> {
        match self.names[kind as usize].slot(key) {
            Some(slot) => Ok(slot),
            None => self.intern(kind, key),
        }
    }

    #[cold]
    fn intern(&mut self, kind: Kind, key: Key<'_>) -> Result<u32, Refused> {
        let others: usize =
            Kind::ALL.iter().filter(|other| **other != kind).map(|other| self.names[*other as usize].len()).sum();
        let max = self.limits.max_names.saturating_sub(others);
        let names = &mut self.names[kind as usize];
        let born = &mut self.interval.born;
        let slot = names.intern(key, max, |slot, name| born.push((kind, slot, name.into()))).map_err(Refused::Name)?;
        let n_slots = names.n_slots();
        match kind {
            Kind::Counter => grow(&mut self.interval.counters, n_slots),
            Kind::Timer => grow(&mut self.interval.timer_counts, n_slots),
            Kind::Gauge => grow(&mut self.gauges, n_slots),
            Kind::Set => self.interval.members.resize(n_slots.max(self.interval.members.counts().len())),
        }
        Ok(slot)
    }

    #[cold]
    fn refuse(&mut self, refused: Refused) {
        self.interval.counters[BAD_LINES].sum += 1.0;
        match refused {
            Refused::Name(InternError::Full) => self.tally.n_refused_names += 1,
            Refused::Name(InternError::Name(_)) => self.tally.n_bad_names += 1,
            Refused::Member => self.tally.n_refused_members += 1,
            Refused::Overflow => self.tally.n_overflows += 1,
        }
    }

    /// Ends the interval: hands out what came in and goes on with `recycled`, an earlier interval or a new one, whose content is lost.
    ///
    /// Apart from gauges, which are copied, nothing is walked through here unless idle metrics are deleted: this holds up the receiving thread.
    pub fn take(&mut self, mut recycled: Interval) -> Interval {
        recycled.clear();
        self.forget_idle(&mut recycled);
        grow(&mut recycled.counters, self.interval.counters.len());
        grow(&mut recycled.timer_counts, self.names[Kind::Timer as usize].n_slots());
        recycled.members.resize(self.names[Kind::Set as usize].n_slots());
        let mut taken = std::mem::replace(&mut self.interval, recycled);
        taken.gauges.clear();
        taken.gauges.extend_from_slice(&self.gauges);
        let expires = self.limits.deletes[Kind::Gauge as usize];
        for gauge in &mut self.gauges {
            gauge.touched = false;
            if expires && gauge.left > 0 {
                gauge.left -= 1;
                gauge.level = if gauge.left == 0 { 0.0 } else { gauge.level };
            }
        }
        taken
    }

    /// Where idle metrics are deleted and names take up half of their bound, forgets those that were idle for [`KEPT_FLUSHES`].
    fn forget_idle(&mut self, next: &mut Interval) {
        let crowded = self.names.iter().map(Names::len).sum::<usize>() > self.limits.max_names / 2;
        for kind in Kind::ALL.into_iter().filter(|kind| self.limits.deletes[*kind as usize]) {
            let idle = &mut self.idle[kind as usize];
            idle.resize(self.names[kind as usize].n_slots(), 0);
            for (slot, idle) in idle.iter_mut().enumerate() {
                let touched = match kind {
                    Kind::Counter => slot <= LINES || self.interval.counters[slot].touched,
                    Kind::Timer => self.interval.timer_counts[slot] > 0.0,
                    Kind::Gauge => self.gauges[slot].left > 0,
                    Kind::Set => self.interval.members.counts()[slot] > 0,
                };
                *idle = if touched { 0 } else { idle.saturating_add(1) };
            }
            if crowded {
                let dead = |slot: u32| idle[slot as usize] > KEPT_FLUSHES;
                next.forgotten.extend(
                    self.names[kind as usize].iter().filter(|(slot, _)| dead(*slot)).map(|(slot, _)| (kind, slot)),
                );
                self.names[kind as usize].forget(dead);
            }
        }
    }

    /// What came in since the start.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// How many names are known.
    pub fn n_names(&self) -> usize {
        self.names.iter().map(Names::len).sum()
    }

    /// The canonical names of a kind with their values so far in this interval, ordered by name. Timers' values are in order of arrival.
    pub fn values(&self, kind: Kind) -> Vec<(&str, Vec<f64>)> {
        let mut of_timers = vec![Vec::new(); if kind == Kind::Timer { self.interval.timer_counts.len() } else { 0 }];
        if kind == Kind::Timer {
            for (slot, value) in self.interval.timer_slots.iter().zip(&self.interval.timer_values) {
                of_timers[*slot as usize].push(*value);
            }
        }
        let of = |slot: usize| match kind {
            Kind::Counter => vec![self.interval.counters[slot].sum],
            Kind::Timer => of_timers[slot].clone(),
            Kind::Gauge => vec![self.gauges[slot].level],
            Kind::Set => vec![f64::from(self.interval.members.counts()[slot])],
        };
        let live = |slot: u32| kind != Kind::Gauge || self.gauges[slot as usize].left > 0;
        let names = self.names[kind as usize].iter().filter(|(slot, _)| live(*slot));
        let mut values: Vec<_> = names.map(|(slot, name)| (name, of(slot as usize))).collect();
        values.sort_by_key(|(name, _)| *name);
        values
    }

    /// Forgets the metrics of a kind whose names match: equal to `pattern`, or below `PREFIX.` for a pattern `PREFIX.*`.
    /// Returns their names. What they got in this interval is lost, as in Etsy's daemon; the daemon's own counters stay.
    pub fn delete(&mut self, kind: Kind, pattern: &str) -> Vec<String> {
        let folder = pattern.strip_suffix('*').filter(|folder| folder.ends_with('.'));
        let matches = |name: &str| name == pattern || folder.is_some_and(|folder| name.starts_with(folder));
        let own = |slot: u32| kind == Kind::Counter && slot as usize <= LINES;
        let names = &mut self.names[kind as usize];
        let deleted: Vec<(u32, String)> = names
            .iter()
            .filter(|(slot, name)| matches(name) && !own(*slot))
            .map(|(slot, name)| (slot, name.to_owned()))
            .collect();
        let mut dead = vec![false; names.n_slots()];
        deleted.iter().for_each(|(slot, _)| dead[*slot as usize] = true);
        names.forget(|slot| dead[slot as usize]);
        for (slot, _) in &deleted {
            self.clear_slot(kind, *slot);
        }
        if kind == Kind::Timer && !deleted.is_empty() {
            let keep: Vec<bool> = self.interval.timer_slots.iter().map(|slot| !dead[*slot as usize]).collect();
            let (mut slots, mut values) = (keep.iter(), keep.iter());
            self.interval.timer_slots.retain(|_| *slots.next().unwrap_or(&true));
            self.interval.timer_values.retain(|_| *values.next().unwrap_or(&true));
        }
        let mut names: Vec<String> = deleted.into_iter().map(|(_, name)| name).collect();
        names.sort();
        names
    }

    fn clear_slot(&mut self, kind: Kind, slot: u32) {
        let interval = &mut self.interval;
        // A name that came and went within the interval must not come back from the list of new ones.
        interval.born.retain(|(born, number, _)| (*born, *number) != (kind, slot));
        interval.forgotten.push((kind, slot));
        match kind {
            Kind::Counter => interval.counters[slot as usize] = Counter::default(),
            Kind::Timer => {
                interval.timer_counts[slot as usize] = 0.0;
                if let Some(folded) = interval.folded.get_mut(slot as usize) {
                    *folded = None;
                }
            }
            Kind::Gauge => self.gauges[slot as usize] = Gauge::default(),
            Kind::Set => interval.members.forget(slot),
        }
    }
}

/// Why one value was not taken.
#[derive(Debug, PartialEq)]
enum Refused {
    Name(InternError),
    Member,
    Overflow,
}

fn grow<T: Clone + Default>(values: &mut Vec<T>, length: usize) {
    if values.len() < length {
        values.resize(length, T::default());
    }
}

#[cfg(test)]
mod tests;
