//! The engine: takes deploys and datapoints in any order, and says what changed when told the time.

mod lifecycle;

use std::collections::{BTreeMap, HashMap};

use deployline_schemas::{
    Deploy, Incident, UnixMillis,
    blame::{Evidence, Suspect},
    deploy::Kind,
    incident::IncidentState,
    signal::{Bad, Signal, SignalKind},
};

use crate::{
    calibration::calibrated,
    engine::lifecycle::{SUSPECTED, Suspected, Suspicions},
    explain,
    grid::{self, AGES, Glance, N_AGES, PerAge},
    incidents::{Book, Opening},
    lag::{self, Exposure},
    learned::Learned,
    level::{Scale, Usual},
    normal::LogSum,
    recovery::{self, Proof},
    scope::{self, Scope},
    settings::Settings,
    suspects::{self, BLIP_LENGTHS, Candidate, Cause, FADES, Moment, Neighbor, Posterior, Rivals, Spreading},
    track::{LEAST_BINS, Law, Profile, Quiet, Rival, Scratch, Track},
};

/// Fewest changed bins before a deploy is named: a restart is over by then.
const LEAST_AGE: usize = 4;
/// No deploy is named while the belief that nothing happened at all is above this: attribution may be shared, but a change that
/// may be chance is looked at for some minutes more. Peeking every bin for an hour makes 1 in 20 come up by itself.
const MOST_NOTHING: f64 = 0.08;
/// From so many changed bins on, a change that is a deploy's beyond doubt is told although two deploys share the blame: three
/// minutes bring out no more about which, and silence helps nobody.
const SHARED_AGE: usize = 18;
/// See [`SHARED_AGE`]: the least belief in the likelier of them.
const SHARED_LEADER: f64 = 0.55;
/// See [`SHARED_AGE`]: the least belief that it is any deploy.
const SHARED_TOTAL: f64 = 0.95;
/// Fewest changed bins before a change is told that no deploy explains.
const LEAST_AGE_UNEXPLAINED: usize = 30;
/// Every signal is looked at once in so many bins even with no deploy near.
const ROUND_BINS: i64 = 6;
/// The noise of a signal is measured anew every so many bins: 5 minutes at 10 s.
const MEASURE_BINS: i64 = 30;
/// A signal held by an incident for so long is watched again, its new level taken as given: two hours at 10 s.
const RELEASE_BINS: i64 = 720;
/// Evidence of a service from which on each onset is looked at: below it no explanation reaches the weight of "nothing".
const STIRS: f64 = 0.0;
/// Evidence from which a further signal counts as moved with the service.
const MOVED_LN: f64 = 3.0;
/// Evidence that a signal of another service needs to join an incident.
const JOINED_LN: f64 = 5.0;
/// Smallest effects worth telling, as a factor.
const LEAST_FACTOR: f64 = 1.04;
/// A level that moved by less than this is not believed to have come back by itself.
const FAINT_FACTOR: f64 = 1.3;
/// Most services that are asked whether everything moved at once: so many tell an incident of three in five from chance beyond
/// doubt, and a shop of thousands is not looked through whenever one of them stirs.
const MOST_WITNESSES: usize = 64;
/// The engine skips ahead when it was not asked for longer than this many bins.
const MOST_BINS_BEHIND: i64 = 8640;

/// Where the values of a series go.
#[derive(Debug, Clone, Default)]
struct Route {
    numerators: Vec<usize>,
    denominators: Vec<usize>,
}

/// One service as the engine sees it.
#[derive(Debug)]
struct Watched {
    name: String,
    tracks: Vec<usize>,
}

/// The correlator. Pure: it reads no clock and does no I/O; the same records give the same answers.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    scope: Scope,
    /// `signals[i].per` as a pattern of its own, to find the service of a denominator.
    denominators: Vec<Option<Signal>>,
    routes: HashMap<String, Route>,
    tracks: Vec<Track>,
    services: BTreeMap<String, usize>,
    watched: Vec<Watched>,
    /// The services that are asked whether everything moved at once, in the order of their names' hashes.
    witnesses: Vec<usize>,
    deploys: BTreeMap<(UnixMillis, String), Deploy>,
    starts: HashMap<String, UnixMillis>,
    book: Book,
    suspicions: Suspicions,
    /// One past the newest judged bin; `None` before the first.
    judged: Option<i64>,
    first_bin: Option<i64>,
    /// What roughness is usual among the logarithms and among the other levels.
    usual: [Usual; 2],
    scratch: Scratch,
    refused: u64,
}

impl Engine {
    /// An engine that has seen nothing.
    pub fn new(settings: Settings) -> Self {
        let denominators = settings
            .signals
            .iter()
            .map(|signal| signal.per.as_ref().map(|per| Signal { series: per.clone(), ..signal.clone() }))
            .collect();
        Self {
            scope: Scope::new(&settings.services),
            denominators,
            routes: HashMap::new(),
            tracks: Vec::new(),
            services: BTreeMap::new(),
            watched: Vec::new(),
            witnesses: Vec::new(),
            deploys: BTreeMap::new(),
            starts: HashMap::new(),
            book: Book::default(),
            suspicions: Suspicions::default(),
            judged: None,
            first_bin: None,
            usual: Default::default(),
            scratch: Scratch::default(),
            refused: 0,
            settings,
        }
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes what the shop's own verdicts have taught, from the next bin on.
    pub fn learn(&mut self, learned: Learned) {
        self.settings.learned = learned;
    }

    /// Takes a deploy, or news of one. What lies in the future of the moment that is judged is not looked at.
    pub fn observe_deploy(&mut self, deploy: &Deploy) {
        let mut known = match self.starts.get(&deploy.id) {
            Some(start) => self.deploys.remove(&(*start, deploy.id.clone())),
            None => None,
        }
        .unwrap_or_else(|| deploy.clone());
        known.absorb(deploy);
        self.starts.insert(known.id.clone(), known.started_at);
        self.deploys.insert((known.started_at, known.id.clone()), known);
        while self.deploys.len() > self.settings.max_deploys {
            if let Some(((_, id), _)) = self.deploys.pop_first() {
                self.starts.remove(&id);
            }
        }
    }

    /// Takes a datapoint, stamped at the end of its interval. Series that no signal speaks of are ignored, values that are
    /// not finite are gaps. A datapoint for a bin already judged is kept and counts from the next bin on.
    pub fn observe(&mut self, series: &str, timestamp_s: i64, value: f64) {
        if !value.is_finite() {
            return;
        }
        let bin = (timestamp_s - 1).div_euclid(self.settings.bin_s);
        if !self.routes.contains_key(series) {
            self.route(series);
        }
        let Some(route) = self.routes.get(series) else { return };
        for track in &route.numerators {
            self.tracks[*track].put(bin, value);
        }
        for track in &route.denominators {
            self.tracks[*track].window.put_denominator(bin, value);
        }
        if !route.numerators.is_empty() || !route.denominators.is_empty() {
            self.first_bin = Some(self.first_bin.map_or(bin, |first| first.min(bin)));
        }
    }

    /// Datapoints that were refused because `max_signals` was reached.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Signals that are followed.
    pub fn n_signals(&self) -> usize {
        self.tracks.len()
    }

    /// Every incident as last told, in the order of opening.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.book.incidents()
    }

    /// Takes the incidents as they were told before a restart, in place of the engine's own, so that nothing is told twice.
    pub fn restore(&mut self, incidents: Vec<Incident>) {
        self.restore_suspicions(&incidents);
        self.book.restore(incidents, self.settings.bin_s);
    }

    /// Judges every bin that has closed by `now` and returns the incidents whose state changed, in order, each with a new
    /// revision.
    pub fn advance(&mut self, now: UnixMillis) -> Vec<Incident> {
        let Some(first) = self.first_bin else { return Vec::new() };
        let closed = (now.0 - self.settings.lateness_ms).div_euclid(1000).div_euclid(self.settings.bin_s);
        let mut told = Vec::new();
        let from = self.judged.unwrap_or(first).max(closed - MOST_BINS_BEHIND);
        for end in from + 1..=closed {
            self.judge(end, &mut told);
            self.judged = Some(end);
        }
        told
    }

    fn route(&mut self, series: &str) {
        // A series that means nothing is remembered too, so that it is asked once; the memory for that is bounded.
        if self.routes.len() >= 4 * self.settings.max_signals {
            self.refused += 1;
            return;
        }
        let mut route = Route::default();
        for index in 0..self.settings.signals.len() {
            let signal = &self.settings.signals[index];
            if let Some(service) = signal.service_of(series).map(str::to_owned) {
                let per = signal.per_of(&service);
                route.numerators.extend(self.track(index, service, series.to_owned(), per));
            } else if let Some(per) = &self.denominators[index]
                && let Some(service) = per.service_of(series).map(str::to_owned)
                && !self.settings.signals[index].series.contains('*')
            {
                let numerator = self.settings.signals[index].series_of(&service);
                route.denominators.extend(self.track(index, service, numerator, Some(series.to_owned())));
            }
        }
        self.routes.insert(series.to_owned(), route);
    }

    /// The track of a signal and series, made when it is new; `None` when there are too many.
    fn track(&mut self, signal: usize, service: String, series: String, per: Option<String>) -> Option<usize> {
        let place = match self.services.get(&service) {
            Some(place) => *place,
            None => {
                self.watched.push(Watched { name: service.clone(), tracks: Vec::new() });
                let place = self.watched.len() - 1;
                self.services.insert(service, place);
                self.call_witness(place);
                place
            }
        };
        let signal = &self.settings.signals[signal];
        let known = self.watched[place]
            .tracks
            .iter()
            .copied()
            .find(|track| self.tracks[*track].name == signal.name && self.tracks[*track].series == series);
        if known.is_some() {
            return known;
        }
        if self.tracks.len() >= self.settings.max_signals {
            self.refused += 1;
            return None;
        }
        self.tracks.push(Track::new(place, signal, series, per));
        let track = self.tracks.len() - 1;
        // By name, so that the order of arrival does not show in the sums.
        let tracks = &mut self.watched[place].tracks;
        tracks.push(track);
        tracks.sort_by(|a, b| {
            let key = |track: usize| (&self.tracks[track].name, &self.tracks[track].series);
            key(*a).cmp(&key(*b))
        });
        Some(track)
    }

    /// Makes a new service a witness if it is among the first [`MOST_WITNESSES`] by the hash of its name, so that the order of arrival
    /// does not show.
    fn call_witness(&mut self, place: usize) {
        let key = |place: &usize| (name_hash(&self.watched[*place].name), self.watched[*place].name.as_str());
        let at = self.witnesses.partition_point(|witness| key(witness) < key(&place));
        self.witnesses.insert(at, place);
        self.witnesses.truncate(MOST_WITNESSES);
    }

    fn judge(&mut self, end: i64, told: &mut Vec<Incident>) {
        let now = UnixMillis(end * self.settings.bin_s * 1000 + self.settings.lateness_ms);
        self.measure(end);
        self.persist(end, now, told);
        self.hold_open(end);
        let deploys = std::mem::take(&mut self.deploys);
        self.look_for_recovery(end, now, &deploys, told);
        self.look_for_changes(end, now, &deploys, told);
        self.deploys = deploys;
        self.forget_suspicions(end, now, told);
        self.book.trim(self.settings.max_incidents);
    }

    fn measure(&mut self, end: i64) {
        if end % MEASURE_BINS == 0 {
            self.usual = [Scale::Log, Scale::Asinh].map(|scale| {
                let alike = self.tracks.iter().filter(|track| track.law == Law::Level(scale));
                Usual::among(alike.map(|track| &track.roughness))
            });
        }
        for track in &mut self.tracks {
            let due = end - track.measured_at.max(0) >= MEASURE_BINS;
            if due && (end + stagger(&track.series)) % MEASURE_BINS == 0 || track.quiet.is_none() && end % 6 == 0 {
                let is_asinh = track.law == Law::Level(Scale::Asinh);
                track.measure(end, &self.usual[usize::from(is_asinh)]);
            }
        }
    }

    /// Marks the newest bin of every held signal as bad, and lets go of those held for too long.
    fn hold_open(&mut self, end: i64) {
        for place in self.book.open() {
            let back: Vec<String> = if end % ROUND_BINS == 0 { self.released(place, end) } else { Vec::new() };
            let entry = self.book.get_mut(place);
            let stale = |onset_bin: i64| end - onset_bin >= RELEASE_BINS;
            for held in entry.held.iter().filter(|held| stale(held.onset_bin)) {
                for track in self.routes.get(&held.series).iter().flat_map(|route| &route.numerators) {
                    self.tracks[*track].start_over(end);
                }
            }
            entry.held.retain(|held| !stale(held.onset_bin) && !back.contains(&held.series));
            for held in &entry.held {
                for track in self.routes.get(&held.series).iter().flat_map(|route| &route.numerators) {
                    let window = &mut self.tracks[*track].window;
                    // The whole stretch while the incident is young, then only what is new.
                    let from = if end - held.onset_bin <= 100 { held.onset_bin } else { end - 2 };
                    for bin in from.max(window.oldest())..end {
                        window.mark(bin, true);
                    }
                }
            }
        }
    }

    /// The series of an open incident that are back to where they were by themselves, whatever the others do.
    fn released(&self, place: usize, end: i64) -> Vec<String> {
        let proof = recovery::RELEASED;
        let entry = self.book.get(place);
        let held = entry.held.iter().filter(|held| held.onset_bin < end - 2 * proof.bins as i64);
        held.filter(|held| {
            let signal = entry.incident.signals.iter().find(|signal| signal.series == held.series);
            let track = signal.and_then(|signal| self.find(&signal.series, &signal.signal));
            // Where events are rare, two minutes prove nothing: then five, then fifteen.
            signal.zip(track).is_some_and(|(signal, track)| {
                [1, 3, 7].into_iter().map(|times| times * proof.bins as i64).any(|span| {
                    let from = (end - span).max(held.onset_bin);
                    let (ln_factor, bins) = recovery::back(track, &signal.effect, signal.direction, from, end);
                    bins >= proof.bins && ln_factor >= proof.ln_factor
                })
            })
        })
        .map(|held| held.series.clone())
        .collect()
    }

    fn find(&self, series: &str, signal: &str) -> Option<&Track> {
        let route = self.routes.get(series)?;
        route.numerators.iter().map(|track| &self.tracks[*track]).find(|track| track.name == signal)
    }

    fn look_for_changes(
        &mut self,
        end: i64,
        now: UnixMillis,
        deploys: &BTreeMap<(UnixMillis, String), Deploy>,
        told: &mut Vec<Incident>,
    ) {
        let moment = Moment { end, bin_s: self.settings.bin_s };
        let horizon = now.minus(std::time::Duration::from_secs((lag::RUNNING_S + 600) as u64));
        let exposures: Vec<Exposure<'_>> = deploys
            .range((horizon, String::new())..)
            .filter_map(|(_, deploy)| Exposure::at(deploy, now))
            .map(|exposure| exposure.knowing(&self.settings.learned))
            .collect();
        // Which deploys reach which services.
        let mut reached: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
        let mut origins = Vec::new();
        for (index, exposure) in exposures.iter().enumerate() {
            let origin = &exposure.deploy().service;
            origins.push(self.services.get(origin).copied());
            for (service, hops) in self.scope.reach(origin) {
                if let Some(place) = self.services.get(&service) {
                    reached.entry(*place).or_default().push((index, hops));
                }
            }
        }
        let round = |place: usize| (end + stagger(&self.watched[place].name)) % ROUND_BINS == 0;
        let fresh = |index: &(usize, usize)| {
            let exposure = &exposures[index.0];
            now.as_secs_f64() - exposure.live_s() < (crate::window::ONSET_BINS as i64 * self.settings.bin_s) as f64
        };
        let due: Vec<usize> = (0..self.watched.len())
            .filter(|place| round(*place) || reached.get(place).is_some_and(|all| all.iter().any(fresh)))
            .collect();
        let mut profiles: BTreeMap<usize, Option<Profile>> = BTreeMap::new();
        // ln of what each witness's own explanations make of it.
        let mut locals: BTreeMap<usize, f64> = BTreeMap::new();
        for place in due {
            let profile = self.profile(place, end, &mut profiles);
            let Some(profile) = profile else { continue };
            let near = reached.get(&place).cloned().unwrap_or_default();
            for (index, hops) in &near {
                if let (true, Some(origin)) = (*hops > 0, origins[*index]) {
                    self.profile(origin, end, &mut profiles);
                }
            }
            // What each origin's own deploys explain there; deeper chains are cut.
            let owns: BTreeMap<usize, (Profile, f64)> = near
                .iter()
                .filter(|(_, hops)| *hops > 0)
                .filter_map(|(index, _)| {
                    let origin = origins[*index]?;
                    let profile = profiles.get(&origin).copied().flatten()?;
                    let none = BTreeMap::new();
                    let near = reached.get(&origin).map(Vec::as_slice).unwrap_or_default();
                    let local = suspects::ln_local(&candidates(near, &exposures, &origins, &none), &profile, moment);
                    Some((origin, (profile, local)))
                })
                .collect();
            let candidates = candidates(&near, &exposures, &origins, &owns);
            if !suspects::is_promising(&candidates, &profile, moment) {
                continue;
            }
            // Something moved: now the rivals and the others are asked.
            let others: Vec<usize> = self.witnesses.iter().copied().filter(|other| *other != place).collect();
            for other in &others {
                let Some(profile) = self.profile(*other, end, &mut profiles) else { continue };
                locals.entry(*other).or_insert_with(|| {
                    let near = reached.get(other).map(Vec::as_slice).unwrap_or_default();
                    let none = BTreeMap::new();
                    suspects::ln_local(&self::candidates(near, &exposures, &origins, &none), &profile, moment)
                });
            }
            let neighbors: Vec<Neighbor<'_>> = others
                .iter()
                .filter_map(|other| {
                    Some(Neighbor { profile: profiles.get(other)?.as_ref()?, ln_local: *locals.get(other)? })
                })
                .collect();
            let spreading = self.spreading(place, end);
            let rivals = self.rivals(place, end);
            let posterior = suspects::posterior(&candidates, &profile, &rivals, &neighbors, &spreading, moment);
            if self.decide(place, &posterior, &candidates, &profiles, end, now, told) {
                // The incident holds signals now: what was computed without it is stale.
                profiles.clear();
                locals.clear();
            }
        }
    }

    /// The evidence of a service, the mean over its signals that no incident holds.
    fn profile(&mut self, place: usize, end: i64, cache: &mut BTreeMap<usize, Option<Profile>>) -> Option<Profile> {
        if let Some(known) = cache.get(&place) {
            return *known;
        }
        let tracks = self.free_tracks(place, end);
        let weights = self.weights(&tracks);
        let mut glances = [Vec::with_capacity(tracks.len()), Vec::with_capacity(tracks.len())];
        let mut seen = Vec::with_capacity(tracks.len());
        for (track, weight) in tracks.into_iter().zip(weights) {
            if let Some(shapes) = self.tracks[track].glance(end, &mut self.scratch) {
                glances.iter_mut().zip(shapes).for_each(|(all, shape)| all.push((weight, shape)));
                seen.push((track, weight));
            }
        }
        let profile = (!seen.is_empty()).then(|| {
            let [step, ramp] = glances.map(|all| Glance::mean(&all));
            // Only where the service as a whole has something to say is each onset looked at.
            if step.most().max(ramp.most()) <= STIRS {
                return Profile { step: step.per_age(), ramp: ramp.per_age() };
            }
            let close = seen
                .iter()
                .filter_map(|(track, weight)| Some((*weight, self.tracks[*track].profile(end, &mut self.scratch)?)));
            let close: Vec<(f64, Profile)> = close.collect();
            Profile {
                step: grid::mean(close.iter().map(|(weight, profile)| (*weight, &profile.step))),
                ramp: grid::mean(close.iter().map(|(weight, profile)| (*weight, &profile.ramp))),
            }
        });
        cache.insert(place, profile);
        profile
    }

    /// The signals of a service with recent data that no open incident holds.
    fn free_tracks(&self, place: usize, end: i64) -> Vec<usize> {
        let tracks = self.watched[place].tracks.iter().copied();
        tracks
            .filter(|track| {
                let track = &self.tracks[*track];
                track.quiet.is_some()
                    && end - track.window.oldest() >= LEAST_BINS as i64
                    && track.window.end() + 12 >= end
                    && !self.book.is_held(&track.series)
            })
            .collect()
    }

    /// What each signal counts in its service's mean. Weights are set by the baseline alone, so that the mean stays an e-value. Latencies
    /// of one service share theirs by how quiet they are: a median says the same as its p95, sooner.
    fn weights(&self, tracks: &[usize]) -> Vec<f64> {
        let precision = |track: &Track| match track.quiet {
            Some(Quiet::Level(noise)) if track.kind == SignalKind::Latency => noise.spread_of_mean(20).powi(-2),
            _ => 0.0,
        };
        let all = tracks.iter().map(|track| precision(&self.tracks[*track]));
        let (total, n) = all.fold((0.0, 0.0), |(total, n), p| if p > 0.0 { (total + p, n + 1.0) } else { (total, n) });
        let each = tracks.iter().map(|track| {
            let track = &self.tracks[*track];
            match precision(track) {
                p if p > 0.0 => (n * p / total).max(0.05),
                _ => track.weight(),
            }
        });
        each.collect()
    }

    fn rivals(&mut self, place: usize, end: i64) -> Rivals {
        let tracks = self.free_tracks(place, end);
        let mut blips = [[LogSum::default(); AGES.len()]; BLIP_LENGTHS.len()];
        let mut fades = [[LogSum::default(); AGES.len()]; FADES.len()];
        let mut total = 0.0;
        for (track, weight) in tracks.iter().zip(self.weights(&tracks)) {
            let track = &self.tracks[*track];
            if track.profile(end, &mut self.scratch).is_none() {
                continue;
            }
            let ln_weight = weight.ln();
            total += weight;
            for (at, age) in AGES.into_iter().enumerate() {
                for (length, sums) in BLIP_LENGTHS.into_iter().zip(&mut blips) {
                    if length < age {
                        sums[at].add(ln_weight + track.rival(Rival::Blip(length), age, &self.scratch));
                    }
                }
                for (fade, sums) in FADES.into_iter().zip(&mut fades) {
                    sums[at].add(ln_weight + track.rival(Rival::Fade(fade), age, &self.scratch));
                }
            }
        }
        let shift = f64::max(total, 1.0).ln();
        Rivals {
            blips: blips.map(|sums| sums.map(|sum| sum.ln() - shift)),
            fades: fades.map(|sums| sums.map(|sum| sum.ln() - shift)),
        }
    }

    /// The open incidents that could have spread to a service.
    fn spreading(&self, place: usize, end: i64) -> Vec<Spreading> {
        let name = &self.watched[place].name;
        let open = self.book.open().into_iter();
        open.filter_map(|incident| {
            let entry = self.book.get(incident);
            let services = entry.services();
            let near = services.iter().filter_map(|service| {
                let forward = self.scope.hops(service, name).map(scope::reach_probability);
                // A caller in trouble may weigh on what it calls, rarely.
                forward.or(self.scope.hops(name, service).map(|_| 0.05))
            });
            let by_graph = near.fold(0.0, f64::max);
            let reach = if entry.is_global { 0.6f64.max(by_graph) } else { by_graph };
            let age = usize::try_from(end - entry.onset_bin).ok()?;
            // Where events are rare, what moves everything shows late, and as an onset among the oldest.
            let age = if entry.is_global && age < 2 * N_AGES { age.min(N_AGES) } else { age };
            (reach > 0.0).then_some(Spreading { incident, age, reach })
        })
        .collect()
    }

    /// Acts on a posterior; returns whether an incident took signals.
    #[allow(clippy::too_many_arguments)] // One decision, all that it rests on.
    fn decide(
        &mut self,
        place: usize,
        posterior: &Posterior,
        candidates: &[Candidate<'_>],
        profiles: &BTreeMap<usize, Option<Profile>>,
        end: i64,
        now: UnixMillis,
        told: &mut Vec<Incident>,
    ) -> bool {
        let first = posterior.first();
        let probability = posterior.probability(first);
        let Some((onset, age)) = crate::track::onset(&first.onsets, end, self.settings.bin_s) else { return false };
        let onset_bin = end - age as i64;
        match first.cause {
            Cause::Spread(incident) if probability > 0.5 && age >= LEAST_AGE => {
                let mut moved = self.moved(place, end, onset_bin, &onset);
                moved.retain(|(signal, _)| signal.log_e > JOINED_LN);
                let entry = self.book.get_mut(incident);
                let took = !moved.is_empty();
                moved.into_iter().for_each(|(signal, bin)| entry.hold(signal, bin));
                took
            }
            Cause::Deploy(index)
                if age >= LEAST_AGE
                    && (probability >= self.settings.alert_probability || is_shared(posterior, probability, age))
                    && posterior.sum(|cause| cause == Cause::Nothing) <= MOST_NOTHING =>
            {
                let moved = self.moved(place, end, onset_bin, &onset);
                if moved.is_empty() {
                    return false;
                }
                if self.is_usual(&moved, end) {
                    return false;
                }
                let deploy = candidates[index].exposure.deploy();
                if let Some(known) = self.book.of_deploy(&deploy.id) {
                    let entry = self.book.get_mut(known);
                    moved.into_iter().for_each(|(signal, bin)| entry.hold(signal, bin));
                    return true;
                }
                if self.book.was_told(&deploy.id) {
                    return false;
                }
                let mut suspects = self.suspects(posterior, candidates, &first.onsets, end);
                calibrate(&mut suspects, age, &self.settings.learned);
                let suspicion = self.suspicions.confirm(&deploy.id);
                let opening = Opening {
                    suspicion,
                    service: self.watched[place].name.clone(),
                    environment: deploy.environment.clone(),
                    at: now,
                    onset,
                    onset_bin,
                    suspects,
                    is_global: false,
                    signals: moved,
                };
                self.tell(opening, told);
                true
            }
            Cause::Deploy(index) if age >= LEAST_AGE && probability >= SUSPECTED => {
                let signals = self.moved(place, end, onset_bin, &onset);
                if self.is_usual(&signals, end) {
                    return false;
                }
                let deploy = candidates[index].exposure.deploy();
                let mut suspects = self.suspects(posterior, candidates, &first.onsets, end);
                calibrate(&mut suspects, age, &self.settings.learned);
                let suspected = Suspected {
                    deploy_id: deploy.id.clone(),
                    service: self.watched[place].name.clone(),
                    environment: deploy.environment.clone(),
                    onset,
                    suspects,
                    signals: signals.into_iter().map(|(signal, _)| signal).collect(),
                };
                self.suspect(suspected, end, now, told);
                false
            }
            Cause::Global if age >= LEAST_AGE && probability >= self.settings.alert_probability => {
                let mut moved = self.moved(place, end, onset_bin, &onset);
                for other in 0..self.watched.len() {
                    let has_moved = profiles.get(&other).copied().flatten().is_some_and(|profile| {
                        (0..AGES.len()).any(|at| AGES[at].abs_diff(age) <= 3 && profile.step[at] > MOVED_LN)
                    });
                    if other != place && has_moved {
                        moved.extend(self.moved(other, end, onset_bin, &onset));
                    }
                }
                self.open_without_deploy(place, posterior, candidates, (onset, onset_bin), moved, true, now, end, told)
            }
            Cause::Organic if age >= LEAST_AGE_UNEXPLAINED && probability >= 0.95 => {
                let moved = self.moved(place, end, onset_bin, &onset);
                let large = moved.iter().any(|(signal, _)| {
                    let factor = signal.effect.factor.max(1.0 / signal.effect.factor.max(1e-9));
                    factor >= if signal.per.is_some() { 3.0 } else { 1.5 }
                });
                large
                    && self.open_without_deploy(
                        place,
                        posterior,
                        candidates,
                        (onset, onset_bin),
                        moved,
                        false,
                        now,
                        end,
                        told,
                    )
            }
            _ => false,
        }
    }

    /// Whether the clearest of the moved signals has not yet outlasted an excursion that it is used to.
    fn is_usual(&self, moved: &[(deployline_schemas::incident::MovedSignal, i64)], end: i64) -> bool {
        let clearest = moved.iter().max_by(|a, b| a.0.log_e.total_cmp(&b.0.log_e));
        clearest.is_some_and(|(signal, onset_bin)| {
            let track = self.find(&signal.series, &signal.signal);
            let usual = track.map_or(0, |track| track.longest_alike(*onset_bin, end));
            usual > 0 && end - onset_bin <= usual as i64 + 3
        })
    }

    #[allow(clippy::too_many_arguments)] // As above.
    fn open_without_deploy(
        &mut self,
        place: usize,
        posterior: &Posterior,
        candidates: &[Candidate<'_>],
        (onset, onset_bin): (deployline_schemas::blame::Onset, i64),
        moved: Vec<(deployline_schemas::incident::MovedSignal, i64)>,
        is_global: bool,
        now: UnixMillis,
        end: i64,
        told: &mut Vec<Incident>,
    ) -> bool {
        if moved.is_empty() {
            return false;
        }
        let suspects = self.suspects(posterior, candidates, &posterior.first().onsets, end);
        let opening = Opening {
            suspicion: None,
            service: self.watched[place].name.clone(),
            environment: "production".to_owned(),
            at: now,
            onset,
            onset_bin,
            suspects,
            is_global,
            signals: moved,
        };
        self.tell(opening, told);
        true
    }

    fn tell(&mut self, opening: Opening, told: &mut Vec<Incident>) {
        let place = self.book.open_new(opening);
        let entry = self.book.get_mut(place);
        entry.incident.summary = explain::summary(&entry.incident, None);
        told.push(entry.incident.clone());
    }

    /// The free signals of a service that moved at `onset_bin`, with their effects.
    fn moved(
        &mut self,
        place: usize,
        end: i64,
        onset_bin: i64,
        onset: &deployline_schemas::blame::Onset,
    ) -> Vec<(deployline_schemas::incident::MovedSignal, i64)> {
        let mut moved = Vec::new();
        for track in self.free_tracks(place, end) {
            let track = &self.tracks[track];
            let Some(profile) = track.profile(end, &mut self.scratch) else { continue };
            let age = (end - onset_bin) as usize;
            let near = (0..AGES.len()).filter(|at| AGES[*at].abs_diff(age) <= 2 + age / 8);
            let evidence = near.map(|at| profile.step[at].max(profile.ramp[at])).fold(f64::NEG_INFINITY, f64::max);
            let Some(effect) = track.effect(onset_bin, end) else { continue };
            let (up, down) = (effect.factor >= LEAST_FACTOR, effect.factor <= 1.0 / LEAST_FACTOR);
            let worth = match track.bad {
                Bad::Up => up,
                Bad::Down => down,
                Bad::Either => up || down,
            };
            if evidence > MOVED_LN && worth {
                moved.push((track.moved(&self.watched[place].name, effect, *onset, evidence), onset_bin));
            }
        }
        moved
    }

    fn suspects(&self, posterior: &Posterior, candidates: &[Candidate<'_>], onsets: &PerAge, end: i64) -> Vec<Suspect> {
        // Given that something happened and holds: "nothing" and the passing shapes are not among the answers, but what
        // they still weigh stays in the leading probability.
        let mut suspects: Vec<Suspect> = Vec::new();
        let mut none = 0.0;
        for weight in &posterior.weights {
            let probability = posterior.probability(weight);
            match weight.cause {
                Cause::Deploy(index) if probability > 1e-4 => suspects.push(Suspect {
                    deploy_id: Some(candidates[index].exposure.deploy().id.clone()),
                    name: Some(candidates[index].exposure.deploy().name_with_actor()),
                    probability,
                    evidence: explain::evidence(&candidates[index], onsets, end, self.settings.bin_s),
                }),
                Cause::Deploy(_) => {}
                _ => none += probability,
            }
        }
        let global = posterior.sum(|cause| cause == Cause::Global);
        let mut evidence = Vec::new();
        if global > 0.5 {
            evidence.push(Evidence {
                kind: "global".to_owned(),
                log_odds: (global / (1.0 - global).max(1e-9)).ln().min(50.0),
                text: "services that no suspect can reach moved at the same moment".to_owned(),
            });
        }
        suspects.push(Suspect { deploy_id: None, name: None, probability: none, evidence });
        suspects.sort_by(|a, b| b.probability.total_cmp(&a.probability).then_with(|| a.deploy_id.cmp(&b.deploy_id)));
        suspects
    }

    fn look_for_recovery(
        &mut self,
        end: i64,
        now: UnixMillis,
        deploys: &BTreeMap<(UnixMillis, String), Deploy>,
        told: &mut Vec<Incident>,
    ) {
        for place in self.book.open() {
            let Some((mender, _)) = self.recovered(place, end, now, deploys) else { continue };
            let entry = self.book.get_mut(place);
            entry.incident.state = IncidentState::Recovered;
            entry.incident.revision += 1;
            entry.incident.changed_at = now;
            entry.incident.ended_at = Some(now);
            let mended = mender.as_ref().and_then(|id| Some((*self.starts.get(id)?, id.clone())));
            entry.incident.mended_by = mender;
            let mended = mended.and_then(|key| deploys.get(&key));
            entry.incident.summary = explain::summary(&entry.incident, mended);
            told.push(entry.incident.clone());
        }
    }

    /// Whether an incident is over, and through which deploy.
    fn recovered(
        &self,
        place: usize,
        end: i64,
        now: UnixMillis,
        deploys: &BTreeMap<(UnixMillis, String), Deploy>,
    ) -> Option<(Option<String>, f64)> {
        let entry = self.book.get(place);
        let bin_s = self.settings.bin_s;
        let mut services = entry.services();
        let culprit = entry.culprit.as_ref().and_then(|id| {
            let start = self.starts.get(id)?;
            deploys.get(&(*start, id.clone()))
        });
        services.extend(culprit.map(|deploy| deploy.service.as_str()));
        let since = entry.incident.onset.latest;
        for (_, deploy) in deploys.range((since, String::new())..) {
            if deploy.started_at > now || !services.contains(&deploy.service.as_str()) {
                continue;
            }
            let Some(live) = deploy.live_at.or(deploy.finished_at).filter(|at| *at <= now) else { continue };
            let undoes = deploy.kind == Kind::Rollback
                || deploy.rollback_of.is_some() && deploy.rollback_of == entry.culprit
                || culprit.is_some_and(|c| deploy.version.is_some() && deploy.version == c.previous_version);
            let proof = if undoes { recovery::ROLLED_BACK } else { recovery::CHANGED };
            let from = (live.as_secs() + bin_s - 1).div_euclid(bin_s);
            if from - 1 <= entry.onset_bin {
                continue;
            }
            if let Some(ln_factor) = self.all_back(place, from, end, proof) {
                return Some((Some(deploy.id.clone()), ln_factor));
            }
        }
        let proofs: &[Proof] =
            if entry.is_global { &[recovery::PASSED, recovery::BY_ITSELF] } else { &[recovery::BY_ITSELF] };
        proofs
            .iter()
            .find_map(|proof| {
                let from = end - proof.bins as i64;
                (from > entry.onset_bin + LEAST_AGE as i64).then(|| self.all_back(place, from, end, *proof)).flatten()
            })
            .map(|ln_factor| (None, ln_factor))
    }

    /// The least evidence over all signals that they are back since `from`, if it suffices for each.
    fn all_back(&self, place: usize, from: i64, end: i64, proof: Proof) -> Option<f64> {
        let entry = self.book.get(place);
        let strongest = entry.incident.signals.iter().map(|signal| signal.log_e).fold(0.0, f64::max);
        let mut least = f64::INFINITY;
        let mut asked = 0usize;
        for signal in &entry.incident.signals {
            let Some(track) = self.find(&signal.series, &signal.signal) else { continue };
            let is_level = signal.per.is_none();
            let needed = if is_level { proof.level_bins } else { proof.bins };
            let from = if needed > proof.bins { from.min(end - needed as i64).max(entry.onset_bin) } else { from };
            let (ln_factor, bins) = recovery::back(track, &signal.effect, signal.direction, from, end);
            // Daily life moves a level by a quarter and back within hours: only a change of software or a clear effect proves.
            let is_faint = signal.effect.factor.max(1.0 / signal.effect.factor.max(1e-9)) < FAINT_FACTOR;
            if is_level && is_faint && proof == recovery::BY_ITSELF {
                return None;
            }
            // What joined on little evidence can give little: it must only not speak against.
            let is_minor = signal.log_e < 0.3 * strongest;
            if bins < needed || ln_factor < if is_minor { -2.0 } else { proof.ln_factor } {
                return None;
            }
            asked += 1;
            least = least.min(ln_factor);
        }
        (asked > 0).then_some(least)
    }
}

/// Brings the leader's probability to what it has been worth, and the others' to what that leaves.
fn calibrate(suspects: &mut [Suspect], age: usize, learned: &Learned) {
    let Some((leader, others)) = suspects.split_first_mut() else { return };
    let before = leader.probability;
    let told = calibrated(before, age);
    leader.probability = learned.calibration.map_or(told, |platt| platt.apply(told));
    if before < 1.0 {
        let share = (1.0 - leader.probability) / (1.0 - before);
        others.iter_mut().for_each(|other| other.probability *= share);
    }
}

/// Whether a change is some deploy's without doubt and one of them leads.
fn is_shared(posterior: &Posterior, leader: f64, age: usize) -> bool {
    age >= SHARED_AGE
        && leader >= SHARED_LEADER
        && posterior.sum(|cause| matches!(cause, Cause::Deploy(_))) >= SHARED_TOTAL
}

/// The deploys that reach a service, with the evidence in their own services.
fn candidates<'a>(
    near: &[(usize, usize)],
    exposures: &[Exposure<'a>],
    origins: &[Option<usize>],
    owns: &'a BTreeMap<usize, (Profile, f64)>,
) -> Vec<Candidate<'a>> {
    near.iter()
        .map(|(index, hops)| Candidate {
            exposure: exposures[*index],
            hops: *hops,
            own: origins[*index]
                .filter(|_| *hops > 0)
                .and_then(|origin| owns.get(&origin))
                .map(|(profile, ln_local)| Neighbor { profile, ln_local: *ln_local }),
        })
        .collect()
}

/// Spreads the measuring over time by the series' name, not by its order of arrival.
fn stagger(name: &str) -> i64 {
    (name_hash(name) % 1000) as i64
}

/// FNV-1a: the same everywhere and always.
fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
