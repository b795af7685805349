//! One signal of one service as the engine follows it: its recent past and what its noise is like.

use deployline_schemas::{
    blame::{Effect, Onset},
    incident::MovedSignal,
    signal::{Bad, Signal, SignalKind},
    time::UnixMillis,
};

use crate::{
    grid::{AGES, Glance, PerAge},
    level::{self, Noise, Roughness, Scale, Usual},
    ratio::{self, Dispersion},
    window::{BINS, Window},
};

/// Fewest bins of history before anything is said of a signal: 10 minutes at 10 s.
pub const LEAST_BINS: usize = 60;

/// From this evidence on, at any of the coarse candidates, all are looked at.
pub const SPEAKS: f64 = 0.5;

/// Longer ones are no spikes but other states of the service, and prove nothing usual.
const MOST_ALIKE_BINS: usize = 36;
/// A cold cache slows requests; that it fails them, or keeps people from buying, is four times rarer.
const FADING_COUNTS_LN: f64 = -1.386_294_361_119_890_6;
/// Excursions are compared by means of up to so many bins, and are alike from this share of the present one's size on.
const ALIKE_BINS: i64 = 6;
/// See [`ALIKE_BINS`].
const ALIKE_SHARE: f64 = 0.6;

/// How a signal's values are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Law {
    /// Events out of a denominator, or out of 1 where there is none.
    Counts,
    /// A level on a scale.
    Level(Scale),
}

/// What a signal's noise is like, measured on its baseline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Quiet {
    /// Of counts.
    Counts(Dispersion),
    /// Of a level.
    Level(Noise),
}

/// One signal of one service.
#[derive(Debug)]
pub struct Track {
    /// Index of its service.
    pub service: usize,
    /// The signal's name.
    pub name: String,
    /// The signal's kind.
    pub kind: SignalKind,
    /// The series behind it.
    pub series: String,
    /// The denominator's series.
    pub per: Option<String>,
    /// Which direction is bad.
    pub bad: Bad,
    /// How it is judged.
    pub law: Law,
    /// Its recent past.
    pub window: Window,
    /// Its noise, once there is enough history.
    pub quiet: Option<Quiet>,
    /// The bin at which the noise was last measured.
    pub measured_at: i64,
    /// What has left the window.
    pub past: ratio::Past,
    /// How roughly a level has moved for hours back.
    pub roughness: Roughness,
}

/// ln Bayes factors of a signal or a service at one moment, for each candidate onset.
#[derive(Debug, Clone, Copy)]
pub struct Profile {
    /// Of a step that holds.
    pub step: PerAge,
    /// Of a ramp.
    pub ramp: PerAge,
}

/// Buffers that one judgement after the other reuses.
#[derive(Debug, Default)]
pub struct Scratch {
    values: Vec<f64>,
    levels: level::Sums,
    ratios: ratio::Sums,
}

/// The shapes that rival a step: their evidence is asked for only where a step has some.
#[derive(Debug, Clone, Copy)]
pub enum Rival {
    /// Over after so many bins.
    Blip(usize),
    /// Fading by this factor each bin.
    Fade(f64),
}

impl Track {
    /// A track of a configured signal with nothing seen yet.
    pub fn new(service: usize, signal: &Signal, series: String, per: Option<String>) -> Self {
        let law = match (signal.kind, &per) {
            (SignalKind::Ratio | SignalKind::Throughput, Some(_)) | (SignalKind::Count, _) => Law::Counts,
            (SignalKind::Latency, _) => Law::Level(Scale::Log),
            (SignalKind::Ratio | SignalKind::Throughput | SignalKind::Gauge, _) => Law::Level(Scale::Asinh),
        };
        Self {
            service,
            name: signal.name.clone(),
            kind: signal.kind,
            window: Window::new(law == Law::Counts),
            series,
            per,
            bad: signal.bad,
            law,
            quiet: None,
            measured_at: i64::MIN,
            past: ratio::Past::default(),
            roughness: Roughness::default(),
        }
    }

    /// Its share in the service's evidence, relative to the others: error ratios stand alone, latencies come in several
    /// percentiles of the same requests.
    pub fn weight(&self) -> f64 {
        if self.kind == SignalKind::Ratio { 2.0 } else { 1.0 }
    }

    /// Takes a value of the series.
    pub fn put(&mut self, bin: i64, value: f64) {
        // Levels are kept as they are judged: a logarithm is taken once, not at each of the hundred looks at the bin.
        let kept = if let Law::Level(scale) = self.law { scale.apply(value) } else { value };
        self.window.put(bin, kept);
        if self.law == Law::Counts && self.per.is_none() {
            self.window.put_denominator(bin, 1.0);
        }
    }

    /// Takes the level of the window as given, judged bad or not: an incident that nobody mends for hours is how things are.
    pub fn start_over(&mut self, end: i64) {
        for bin in self.window.oldest()..end {
            self.window.mark(bin, false);
        }
        self.past = ratio::Past::default();
        self.measure(end, &Usual::default());
    }

    /// Measures the noise anew on the baseline before `end`, knowing what roughness is usual among its like.
    pub fn measure(&mut self, end: i64, usual: &Usual) {
        if self.law == Law::Counts {
            // What the window is about to lose before the next measurement.
            self.past.take(&self.window, end - (BINS - 45) as i64);
        }
        let (from, until) = (self.window.oldest(), ratio::noise_until(&self.window, end));
        let measured = match self.law {
            Law::Counts => Dispersion::measure(&self.window, from, until, LEAST_BINS).map(Quiet::Counts),
            Law::Level(_) => Noise::measure(&self.window, from, until, LEAST_BINS).map(|noise| {
                let shrunk = noise.shrunk(&self.roughness, usual);
                self.roughness.take(&noise, (end - self.measured_at.max(from)).min(end - from));
                Quiet::Level(shrunk)
            }),
        };
        // A baseline that is all gap or all judged bad says nothing new: what was known before still holds.
        self.quiet = measured.or(self.quiet);
        self.measured_at = end;
    }

    /// The evidence for a change, for each candidate onset up to the closed bin `end - 1`; `None` without a baseline.
    pub fn profile(&self, end: i64, scratch: &mut Scratch) -> Option<Profile> {
        let [step, ramp] = self.glance(end, scratch)?;
        if step.most().max(ramp.most()) <= SPEAKS {
            return Some(Profile { step: step.per_age(), ramp: ramp.per_age() });
        }
        Some(Profile {
            step: step.refined(|age| self.ln_step(age, scratch)),
            ramp: ramp.refined(|age| self.ln_ramp(age, scratch)),
        })
    }

    /// The evidence for a step and for a ramp at the coarse candidates; `None` without a baseline. Fills `scratch` for this track.
    pub fn glance(&self, end: i64, scratch: &mut Scratch) -> Option<[Glance; 2]> {
        match (self.quiet?, self.law) {
            (Quiet::Level(noise), Law::Level(_)) => {
                scratch.levels.fill(&self.window, &noise, end, &mut scratch.values);
                Some([Glance::of(|age| self.ln_step(age, scratch)), Glance::of(|age| self.ln_ramp(age, scratch))])
            }
            (Quiet::Counts(_), _) => {
                scratch.ratios.fill(&self.window, self.past, end);
                let step = Glance::of(|age| self.ln_step(age, scratch));
                Some([step, step.at_most_nothing()])
            }
            _ => None,
        }
    }

    /// ln BF of a step that began `age` bins ago; [`Track::glance`] must have filled `scratch` for this track.
    fn ln_step(&self, age: usize, scratch: &Scratch) -> f64 {
        match (self.quiet, self.law) {
            (Some(Quiet::Level(noise)), Law::Level(scale)) => scratch.levels.ln_step(age, &noise, scale, self.bad),
            (Some(Quiet::Counts(dispersion)), _) => scratch.ratios.ln_step(age, self.bad, dispersion),
            _ => 0.0,
        }
    }

    /// The same of a ramp. Counts know none: what speaks for a step does not speak for it.
    fn ln_ramp(&self, age: usize, scratch: &Scratch) -> f64 {
        match (self.quiet, self.law) {
            (Some(Quiet::Level(noise)), Law::Level(scale)) => scratch.levels.ln_ramp(age, &noise, scale, self.bad),
            _ => self.ln_step(age, scratch).min(0.0),
        }
    }

    /// ln BF of a rival shape for one candidate onset; [`Track::profile`] must have filled `scratch` for this track.
    pub fn rival(&self, rival: Rival, age: usize, scratch: &Scratch) -> f64 {
        match (self.quiet, self.law, rival) {
            (Some(Quiet::Level(noise)), Law::Level(scale), Rival::Blip(length)) => {
                scratch.levels.ln_blip(age, length, &noise, scale, self.bad)
            }
            (Some(Quiet::Level(noise)), Law::Level(scale), Rival::Fade(fade)) => {
                scratch.levels.ln_fading(age, fade, &noise, scale, self.bad)
            }
            (Some(Quiet::Counts(dispersion)), _, Rival::Blip(length)) => {
                scratch.ratios.ln_factor(age, length, self.bad, dispersion)
            }
            (Some(Quiet::Counts(dispersion)), _, Rival::Fade(fade)) => {
                scratch.ratios.ln_factor(age, age, self.bad, dispersion)
                    + scratch.ratios.ln_fading_over_step(age, fade, self.bad, dispersion)
                    + FADING_COUNTS_LN
            }
            _ => 0.0,
        }
    }

    /// By how much the signal moved since `onset`, against the bins before it.
    pub fn effect(&self, onset: i64, end: i64) -> Option<Effect> {
        let from = self.window.oldest();
        match (self.law, self.quiet?) {
            (Law::Level(scale), Quiet::Level(noise)) => {
                let (before, m) = level::mean_level(&self.window, from.max(onset - 120), onset, false);
                let (after, n) = level::mean_level(&self.window, onset, end, true);
                if m == 0 || n == 0 {
                    return None;
                }
                let error = 1.96 * (noise.spread_of_mean(n).powi(2) + noise.spread_of_mean(m).powi(2)).sqrt();
                let interval = |shift: f64| match scale {
                    Scale::Log => shift.exp(),
                    Scale::Asinh => {
                        let base = scale.invert(before);
                        if base.abs() < 1e-9 { scale.invert(shift) } else { scale.invert(before + shift) / base }
                    }
                };
                let shift = after - before;
                Some(Effect {
                    before: scale.invert(before),
                    after: scale.invert(after),
                    factor: interval(shift),
                    low: interval(shift - error),
                    high: interval(shift + error),
                })
            }
            (_, Quiet::Counts(dispersion)) => {
                let mut sums = ratio::Sums::default();
                sums.fill(&self.window, self.past, end);
                let age = usize::try_from(end - onset).ok()?;
                let (a, b) = sums.baseline(age, dispersion);
                let (k, n) = self.raw_counts(onset, end);
                if b <= 0.0 || n <= 0.0 {
                    return None;
                }
                let (before, after) = (a / b, (k + 0.5) / n);
                // A log ratio of two Gamma rates: variance 1/a + 1/k (delta method).
                let error = 1.96 * (1.0 / a + 1.0 / (k + 0.5)).sqrt();
                let factor = after / before;
                Some(Effect { before, after, factor, low: factor * (-error).exp(), high: factor * error.exp() })
            }
            _ => None,
        }
    }

    /// How many bins the longest earlier excursion of the same size lasted: a scheduled job makes the same spike every hour, and a
    /// change is news only once it outlasts it. 0 where the window holds none. Incidents do not count.
    pub fn longest_alike(&self, onset: i64, end: i64) -> usize {
        let width = (end - onset).clamp(2, ALIKE_BINS);
        let value = |from: i64, until: i64| -> Option<f64> {
            if (from..until).any(|bin| self.window.is_bad(bin)) {
                return None;
            }
            match self.law {
                Law::Level(_) => {
                    let (mean, n) = level::mean_level(&self.window, from, until, true);
                    (n > 0).then_some(mean)
                }
                Law::Counts => {
                    let (events, trials) = self.raw_counts(from, until);
                    (trials > 0.0).then_some(events / trials)
                }
            }
        };
        let Some(now) = (match self.law {
            Law::Level(_) => Some(level::mean_level(&self.window, onset, end, true).0),
            Law::Counts => {
                let (events, trials) = self.raw_counts(onset, end);
                (trials > 0.0).then_some(events / trials)
            }
        }) else {
            return 0;
        };
        let starts = self.window.oldest()..onset - width;
        let mut usual: Vec<f64> = starts.clone().step_by(3).filter_map(|from| value(from, from + width)).collect();
        if usual.len() < 20 {
            return 0;
        }
        let middle = usual.len() / 2;
        let usual = *usual.select_nth_unstable_by(middle, f64::total_cmp).1;
        let (excess, mut longest, mut run) = (now - usual, 0, 0);
        for from in starts {
            let is_alike = value(from, from + width).is_some_and(|x| (x - usual) / excess >= ALIKE_SHARE);
            run = if is_alike { run + 1 } else { 0 };
            longest = longest.max(run);
        }
        // Windows of `width` bins overlap an excursion of as many bins more than they are.
        if longest == 0 || longest > MOST_ALIKE_BINS { 0 } else { longest + width as usize / 2 }
    }

    /// Events and trials in `[from, until)`, bins judged bad included.
    pub fn raw_counts(&self, from: i64, until: i64) -> (f64, f64) {
        (from..until).fold((0.0, 0.0), |(k, n), bin| {
            let trials = self.window.denominator(bin);
            let events = self.window.numerator(bin);
            if trials.is_finite() { (k + if events.is_finite() { events } else { 0.0 }, n + trials) } else { (k, n) }
        })
    }

    /// This signal as part of an incident.
    pub fn moved(&self, service: &str, effect: Effect, onset: Onset, log_e: f64) -> MovedSignal {
        let direction = if effect.factor >= 1.0 { Bad::Up } else { Bad::Down };
        MovedSignal {
            service: service.to_owned(),
            signal: self.name.clone(),
            kind: self.kind,
            series: self.series.clone(),
            per: self.per.clone(),
            direction,
            effect,
            onset,
            log_e,
        }
    }
}

/// Where a change began, given the belief in each candidate onset: the likeliest and the band that holds 90 %.
/// `weights` need not sum to 1.
pub fn onset(weights: &PerAge, end: i64, bin_s: i64) -> Option<(Onset, usize)> {
    let total: f64 = weights.iter().sum();
    if total.is_nan() || total <= 0.0 {
        return None;
    }
    let best = (0..AGES.len()).max_by(|a, b| weights[*a].total_cmp(&weights[*b]))?;
    let moment = |age: usize| UnixMillis::from_secs((end - age as i64) * bin_s);
    let (mut below, mut latest, mut earliest) = (0.0, AGES[0], AGES[AGES.len() - 1]);
    let mut latest_found = false;
    for (candidate, weight) in weights.iter().enumerate() {
        below += weight;
        if !latest_found && below >= 0.05 * total {
            (latest, latest_found) = (AGES[candidate], true);
        }
        if below >= 0.95 * total {
            earliest = AGES[candidate];
            break;
        }
    }
    let at = AGES[best];
    Some((Onset { at: moment(at), earliest: moment(earliest.max(at)), latest: moment(latest.min(at)) }, at))
}
