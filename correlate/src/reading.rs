//! One series as it was read for a question: what it means, its bins, and the view back from one of them.

use deployline_schemas::{
    Deploy, UnixMillis,
    blame::{Effect, Verdict},
    signal::{Bad, Signal, SignalKind},
};

use crate::{
    grid::{AGES, N_AGES},
    level::{Noise, Scale},
    ratio::{Dispersion, noise_until},
    screen,
    settings::Settings,
    suspects::{BLIP_LENGTHS, FADES, Moment, Rivals},
    track::{LEAST_BINS, Law, Profile, Quiet, Rival, Scratch, Track},
    window::BINS,
};

/// Stamps beyond the year 5138 are a unit mixed up, and would overflow.
const MOST_SECONDS: i64 = 100_000_000_000;
/// From this step on, in seconds, 70 minutes do not hold [`LEAST_BINS`] and the present: half as many have to do.
const COARSE_STEP_S: i64 = 30;
/// The engine's bins, in seconds. It mistrusts a history of few bins, because they are short; seventy bins of a minute hold as much
/// past as 420 of these, so in longer ones no drift is feared and the placebo scale is limited.
const FLUSH_S: i64 = 10;
/// How many bins before and after a moment the screening looks at.
const SCREENED_BINS: i64 = 60;
/// Standard errors from which the screening lets a series pass.
const SCREENED_Z: f32 = 1.5;
/// See [`FLUSH_S`].
const MOST_PLACEBO: f32 = 2.0;

/// A series with its meaning and its bins.
#[derive(Debug)]
pub(crate) struct Reading<'n> {
    name: &'n str,
    /// The signal that speaks of it, or one made up from its values.
    pub(crate) signal: Signal,
    /// The service that a signal says it belongs to.
    pub(crate) service: Option<String>,
    /// The same, or the service that it is named after.
    pub(crate) owner: Option<String>,
    /// Seconds for each bin: the series' own step.
    pub(crate) bin_s: i64,
    is_known: bool,
    law: Option<Law>,
    /// What the values were divided by: asinh is blind to levels far below 1.
    unit: f64,
    points: Vec<(i64, f64)>,
    per: Option<Vec<(i64, f64)>>,
}

impl<'n> Reading<'n> {
    /// Reads the points up to `now`, in bins of `bin_s`.
    pub(crate) fn new(
        settings: &Settings,
        name: &'n str,
        points: &[(i64, f64)],
        per: Option<&[(i64, f64)]>,
        bin_s: i64,
        now: UnixMillis,
    ) -> Self {
        let mut points = binned(points, bin_s, now);
        let per = per.map(|per| binned(per, bin_s, now));
        let spoken = settings.signals.iter().find_map(|signal| {
            let service = signal.service_of(name)?.to_owned();
            Some((signal.clone(), service))
        });
        // A denominator belongs to whom its ratio belongs.
        let denominator = || {
            settings.signals.iter().find_map(|signal| {
                let series = signal.per.clone()?;
                Signal { series, ..signal.clone() }.service_of(name).map(str::to_owned)
            })
        };
        let is_known = spoken.is_some();
        let (signal, service) = match spoken {
            Some((signal, service)) => (signal, Some(service)),
            None => (unspoken(name, per.is_some()), denominator()),
        };
        let is_count = matches!(
            (signal.kind, &per),
            (SignalKind::Ratio | SignalKind::Throughput, Some(_)) | (SignalKind::Count, _)
        );
        let whole = points.iter().all(|(_, value)| *value >= 0.0 && value.fract() == 0.0);
        let law = match (is_count, is_known, signal.kind) {
            (true, ..) => None,
            (_, false, _) if !whole && points.iter().all(|(_, value)| *value > 0.0) => Some(Law::Level(Scale::Log)),
            (_, _, SignalKind::Latency) => Some(Law::Level(Scale::Log)),
            _ => Some(Law::Level(Scale::Asinh)),
        };
        let unit = if law == Some(Law::Level(Scale::Asinh)) { unit(&points) } else { 1.0 };
        points.iter_mut().for_each(|(_, value)| *value /= unit);
        Self { name, signal, owner: service.clone(), service, bin_s, is_known, law, unit, points, per }
    }

    /// The same; where no signal says whose the series is, it is that service's of which the name is one of its parts.
    pub(crate) fn named_after(mut self, settings: &Settings, deploys: &[Deploy]) -> Self {
        if self.owner.is_none() {
            let parts: Vec<&str> = self.name.split(['.', ';', '=']).collect();
            let known = settings.services.keys().chain(deploys.iter().map(|deploy| &deploy.service));
            let named = known.filter(|service| parts.contains(&service.as_str()));
            self.owner = named.min_by_key(|service| parts.iter().position(|part| part == service)).cloned();
        }
        self
    }

    /// What people call it.
    pub(crate) fn title(&self) -> String {
        match &self.service {
            Some(service) if self.is_known => format!("{service} {}", self.signal.name),
            _ => self.name.to_owned(),
        }
    }

    /// The bin that a moment lies in.
    pub(crate) fn bin_of(&self, second: i64) -> i64 {
        (second - 1).div_euclid(self.bin_s)
    }

    /// The newest bin with data.
    pub(crate) fn last(&self) -> Option<i64> {
        let newest = |points: &[(i64, f64)]| points.last().map(|(bin, _)| *bin);
        newest(&self.points).max(self.per.as_deref().and_then(newest))
    }

    /// Fewest bins of history that anything is said from.
    pub(crate) fn least(&self) -> usize {
        if self.bin_s > COARSE_STEP_S { LEAST_BINS / 2 } else { LEAST_BINS }
    }

    /// The bins of history with data that a judgement at `end` rests on.
    pub(crate) fn n_baseline(&self, end: i64) -> usize {
        let track = self.track(end);
        let until = if track.window.end() == 0 { end } else { noise_until(&track.window, end) };
        let column = if track.law == Law::Counts { self.per.as_ref().unwrap_or(&self.points) } else { &self.points };
        within(column, end - BINS as i64, until).len()
    }

    /// Whether more than a glance may be worth its price, for a change that began at `first` or later; always for counts, whose few
    /// events have no variance to speak of.
    pub(crate) fn may_have_moved(&self, first: i64, until: i64) -> bool {
        if self.law.is_none() {
            return true;
        }
        let (from, until) = (first - SCREENED_BINS, until.min(first.saturating_add(SCREENED_BINS)));
        let mut row = vec![f32::NAN; usize::try_from(until - from).unwrap_or(0)];
        for (bin, value) in within(&self.points, from, until) {
            row[(bin - from) as usize] = *value as f32;
        }
        screen::may_have_moved(&row, (SCREENED_BINS as usize).min(row.len()), SCREENED_Z)
    }

    /// The track as the engine would have it at `end`, its noise measured.
    pub(crate) fn track(&self, end: i64) -> Track {
        let per = self.per.as_ref().map(|_| "per".to_owned());
        let mut track = Track::new(0, &self.signal, self.name.to_owned(), per);
        track.law = self.law.unwrap_or(track.law);
        let from = end - BINS as i64;
        within(&self.points, from, end).iter().for_each(|(bin, value)| track.put(*bin, *value));
        for (bin, value) in self.per.iter().flat_map(|per| within(per, from, end)) {
            track.window.put_denominator(*bin, *value);
        }
        track.measured_at = end;
        if track.window.end() == 0 {
            return track;
        }
        let (from, until) = (track.window.oldest(), noise_until(&track.window, end));
        track.quiet = match track.law {
            Law::Counts => Dispersion::measure(&track.window, from, until, self.least()).map(Quiet::Counts),
            Law::Level(_) => {
                let noise = Noise::measure(&track.window, from, until, self.least());
                let noise = noise
                    .map(|noise| if self.bin_s > FLUSH_S { noise.with_placebo_at_most(MOST_PLACEBO) } else { noise });
                noise.map(Quiet::Level)
            }
        };
        track
    }

    /// Looks back from `end` for a change that began within `onsets` (first and last bin) in one direction; `None` without a
    /// baseline or without an onset to look at.
    pub(crate) fn look(&self, end: i64, onsets: (i64, i64), direction: Bad, scratch: &mut Scratch) -> Option<Look> {
        let mut look = self.glance(end, onsets, direction, scratch)?;
        // Only where there is something to explain are the rival explanations asked for.
        for at in (0..N_AGES).filter(|at| look.peak > 0.0 && look.profile.step[*at] > f64::NEG_INFINITY) {
            let lengths = BLIP_LENGTHS.into_iter().zip(&mut look.rivals.blips);
            for (length, blips) in lengths.filter(|(length, _)| *length < AGES[at]) {
                blips[at] = look.track.rival(Rival::Blip(length), AGES[at], scratch);
            }
            for (fade, fades) in FADES.into_iter().zip(&mut look.rivals.fades) {
                fades[at] = look.track.rival(Rival::Fade(fade), AGES[at], scratch);
            }
        }
        Some(look)
    }

    /// The same without the rival explanations, which cost most.
    pub(crate) fn glance(&self, end: i64, onsets: (i64, i64), direction: Bad, scratch: &mut Scratch) -> Option<Look> {
        let mut track = self.track(end);
        track.bad = direction;
        let mut profile = track.profile(end, scratch)?;
        for at in (0..N_AGES).filter(|at| !(onsets.0..=onsets.1).contains(&(end - AGES[*at] as i64))) {
            (profile.step[at], profile.ramp[at]) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
        }
        let peak = (0..N_AGES).map(|at| profile.step[at].max(profile.ramp[at])).fold(f64::NEG_INFINITY, f64::max);
        let none = [f64::NEG_INFINITY; N_AGES];
        let rivals = Rivals { blips: [none; BLIP_LENGTHS.len()], fades: [none; FADES.len()] };
        peak.is_finite().then_some(Look { end, track, profile, rivals, peak })
    }

    /// An effect in the series' own unit; `None` where it has no finite one.
    pub(crate) fn in_its_unit(&self, effect: Effect) -> Option<Effect> {
        let is_difference = effect.before.abs() < 1e-9;
        let by = if is_difference { self.unit } else { 1.0 };
        let (low, high) = (effect.low.min(effect.high) * by, effect.low.max(effect.high) * by);
        let effect = Effect {
            before: effect.before * self.unit,
            after: effect.after * self.unit,
            factor: effect.factor * by,
            low,
            high,
        };
        let all = [effect.before, effect.after, effect.factor, effect.low, effect.high];
        all.iter().all(|x| x.is_finite()).then_some(effect)
    }

    /// Whether the interval of an effect leaves room for one that matters, a double or a half: then "unchanged" may not be said.
    pub(crate) fn may_be_large(&self, effect: &Effect) -> bool {
        let doubled = self.signal.bad != Bad::Down && effect.high >= 2.0;
        let halved = self.signal.bad != Bad::Up && effect.low <= 0.5;
        effect.before.abs() > 1e-9 && (doubled || halved)
    }

    /// Whether an effect is for the worse.
    pub(crate) fn verdict(&self, effect: &Effect) -> Verdict {
        let rises = effect.after >= effect.before;
        match self.signal.bad {
            Bad::Up if !rises => Verdict::Improved,
            Bad::Down if rises => Verdict::Improved,
            _ => Verdict::Regressed,
        }
    }
}

/// A series seen back from one bin.
#[derive(Debug)]
pub(crate) struct Look {
    /// One past the last bin looked at.
    pub(crate) end: i64,
    /// The series up to there.
    pub(crate) track: Track,
    /// The evidence for each onset; −∞ for those not asked about.
    pub(crate) profile: Profile,
    /// The same for the shapes that pass.
    pub(crate) rivals: Rivals,
    /// The most evidence of any onset.
    pub(crate) peak: f64,
}

impl Look {
    /// How many bins ago the change began that the evidence is greatest for.
    pub(crate) fn best_age(&self) -> usize {
        let evidence = |at: usize| self.profile.step[at].max(self.profile.ramp[at]);
        (0..N_AGES).max_by(|a, b| evidence(*a).total_cmp(&evidence(*b))).map_or(1, |at| AGES[at])
    }

    /// The youngest and the oldest age asked about.
    pub(crate) fn admissible(&self) -> (usize, usize) {
        let asked = |at: &usize| self.profile.step[*at] > f64::NEG_INFINITY;
        let youngest = (0..N_AGES).find(asked).map_or(1, |at| AGES[at]);
        (youngest, (0..N_AGES).rev().find(asked).map_or(youngest, |at| AGES[at]))
    }

    /// The first and last bin whose evidence for an onset is within `nats` of the best.
    pub(crate) fn onsets_within(&self, nats: f64) -> (i64, i64) {
        let near = |at: &usize| self.profile.step[*at].max(self.profile.ramp[*at]) >= self.peak - nats;
        let bin = |at: usize| self.end - AGES[at] as i64;
        let last = (0..N_AGES).find(near).map_or(self.end - 1, bin);
        ((0..N_AGES).rev().find(near).map_or(last, bin), last)
    }

    /// The engine's moment.
    pub(crate) fn moment(&self, bin_s: i64) -> Moment {
        Moment { end: self.end, bin_s }
    }
}

/// The usual distance between neighbouring datapoints in seconds: the median, at least 1; 10 without two datapoints.
pub(crate) fn usual_step(points: &[(i64, f64)]) -> i64 {
    let apart = |pair: &[(i64, f64)]| pair[1].0.saturating_sub(pair[0].0);
    let mut steps: Vec<i64> = points.windows(2).map(apart).filter(|step| *step > 0).collect();
    if steps.is_empty() {
        return 10;
    }
    let middle = steps.len() / 2;
    (*steps.select_nth_unstable(middle).1).clamp(1, 86_400)
}

/// What stands for a signal where none speaks of the series.
fn unspoken(name: &str, has_denominator: bool) -> Signal {
    let kind = if has_denominator { SignalKind::Ratio } else { SignalKind::Gauge };
    Signal { name: name.to_owned(), kind, series: String::new(), per: None, bad: Bad::Either }
}

/// The finite datapoints up to `now` by bin, ascending.
fn binned(points: &[(i64, f64)], bin_s: i64, now: UnixMillis) -> Vec<(i64, f64)> {
    let mut binned: Vec<(i64, f64)> = points
        .iter()
        .filter(|(second, value)| {
            second.unsigned_abs() < MOST_SECONDS as u64 && value.is_finite() && *second <= now.as_secs()
        })
        .map(|(second, value)| ((second - 1).div_euclid(bin_s), *value))
        .collect();
    binned.sort_by_key(|(bin, _)| *bin);
    binned
}

fn within(points: &[(i64, f64)], from: i64, until: i64) -> &[(i64, f64)] {
    let start = points.partition_point(|(bin, _)| *bin < from);
    let end = points.partition_point(|(bin, _)| *bin < until);
    &points[start..end.max(start)]
}

/// A divisor that brings small levels to about 1; 1 for those that are not small.
fn unit(points: &[(i64, f64)]) -> f64 {
    let mut sizes: Vec<f64> = points.iter().map(|(_, value)| value.abs()).filter(|size| *size > 1e-30).collect();
    if sizes.is_empty() {
        return 1.0;
    }
    let middle = sizes.len() / 2;
    sizes.select_nth_unstable_by(middle, f64::total_cmp).1.min(1.0)
}
