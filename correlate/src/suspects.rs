//! Who did it: the posterior over the deploys that could have, and over everything else.
//!
//! One service at one moment, with ln BF of a step, `L(τ)`, and of a ramp, `R(τ)`, for each candidate onset τ (means over its
//! signals: a mean of e-values is an e-value under any dependence). Each hypothesis has a weight:
//!
//! ```text
//! nothing            1
//! deploy d           π_d · q_d · Σ_τ h_d(τ) · [0.75·e^L(τ) + 0.25·e^R(τ)] · own_d(τ)
//! restart blip of d  π_b · Σ_τ h_b(τ) · [S(age)·e^L(τ) + Σ_ℓ s(ℓ)·e^blip(τ,ℓ)]
//! cold cache of d    π_c · Σ_τ h_d(τ) · e^fade(τ)
//! organic            λ · Σ_τ e^L(τ)         the service itself, no deploy near
//! global             λ_g · Σ_τ e^L(τ) · Π_w [(1−q_g)·l_w + q_g·e^L_w(τ)] / l_w      all services at once
//! spread             q · Σ_τ e^L(τ) near an open incident's onset             nothing new
//! ```
//!
//! `own_d(τ) = [(1−ρ) + ρ·e^L_own(τ)] / l_own` asks the deploy's own service when a caller of it moved: a deploy whose own service
//! is flat is a poor suspect for its callers. `l_w` is what the other service's local hypotheses explain, so that two
//! culprits at once do not look like a global incident, and a service that moved does not by itself accuse its callers'. The weights over their sum are the probabilities.

use crate::{
    grid::{AGES, PerAge},
    lag::{self, Exposure},
    normal::{LogSum, ln_mix},
    scope,
    track::Profile,
};

/// Organic changes of a service: one in four days, for each bin of 10 s.
const ORGANIC_RATE: f64 = 2.9e-5;
/// Faint changes are far more common than clear ones: rates and levels drift a little all the time. So many times more
/// often, falling off with the evidence for each bin of the changed stretch.
const FAINT: f64 = 10.0;
/// See [`FAINT`]: ln BF for each bin.
const FAINT_CLARITY: f64 = 0.15;
/// Spikes of a service that no deploy explains: one a day, for each bin.
const ORGANIC_SPIKE_RATE: f64 = 1.2e-4;
/// Incidents that move all services at once: one a week, for each bin.
const GLOBAL_RATE: f64 = 1.7e-5;
/// The share of services that a global incident moves.
const GLOBAL_REACH: f64 = 0.6;
/// The share of deploys whose restart makes a blip.
const BLIP_PRIOR: f64 = 0.12;
/// The share of deploys with a cold cache that fades: and how fast, as the factor for each bin of 10 s (1, 2.5 and 5 minutes).
const FADE_PRIOR: f64 = 0.015;
/// See `FADE_PRIOR`.
pub const FADES: [f64; 3] = [0.846_48, 0.935_51, 0.967_22];
/// How often the deploy's own service moves as well when one of its callers does.
const OWN_MOVES: f64 = 0.85;
/// The share of regressions that come as a ramp.
const RAMPS: f64 = 0.25;
/// Blips over after so many bins are rivals.
pub const BLIP_LENGTHS: [usize; 9] = [1, 2, 3, 4, 5, 6, 8, 10, 14];

/// A deploy in whose reach the service lies.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The deploy as known now.
    pub exposure: Exposure<'a>,
    /// How far the service is from it.
    pub hops: usize,
    /// The evidence in the deploy's own service, where that is another one.
    pub own: Option<Neighbor<'a>>,
}

/// An open incident that could have spread to the service.
#[derive(Debug, Clone, Copy)]
pub struct Spreading {
    /// Its place in the book of incidents.
    pub incident: usize,
    /// How many bins ago it began.
    pub age: usize,
    /// The probability that it moves this service.
    pub reach: f64,
}

/// Another service, for the global hypothesis.
#[derive(Debug, Clone, Copy)]
pub struct Neighbor<'a> {
    /// Its evidence.
    pub profile: &'a Profile,
    /// ln of what its local hypotheses explain, "nothing" included.
    pub ln_local: f64,
}

/// The rival shapes' evidence, for each candidate onset.
#[derive(Debug, Clone)]
pub struct Rivals {
    /// ln BF of a blip over after each of [`BLIP_LENGTHS`].
    pub blips: [PerAge; BLIP_LENGTHS.len()],
    /// ln BF of each of [`FADES`].
    pub fades: [PerAge; FADES.len()],
}

/// What one hypothesis weighs.
#[derive(Debug, Clone, PartialEq)]
pub struct Weight {
    /// What is believed.
    pub cause: Cause,
    /// ln of its weight.
    pub ln_weight: f64,
    /// How it is spread over the candidate onsets, relative to each other; all 0 where that is not asked.
    pub onsets: PerAge,
}

/// A hypothesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Nothing happened.
    Nothing,
    /// The deploy at this place among the candidates broke it.
    Deploy(usize),
    /// A restart blip or a cold cache of this candidate.
    Passing(usize),
    /// The service itself, no deploy.
    Organic,
    /// A spike by itself.
    Spike,
    /// Everything at once, no deploy.
    Global,
    /// An open incident, at this place in the book.
    Spread(usize),
}

/// The posterior over the causes.
#[derive(Debug, Clone, PartialEq)]
pub struct Posterior {
    /// All hypotheses, heaviest first.
    pub weights: Vec<Weight>,
    ln_total: f64,
}

impl Posterior {
    /// The probability of one hypothesis.
    pub fn probability(&self, weight: &Weight) -> f64 {
        (weight.ln_weight - self.ln_total).exp()
    }

    /// The heaviest hypothesis.
    pub fn first(&self) -> &Weight {
        &self.weights[0]
    }

    /// The summed probability of the hypotheses that `cause` accepts.
    pub fn sum(&self, cause: impl Fn(Cause) -> bool) -> f64 {
        self.weights.iter().filter(|w| cause(w.cause)).map(|w| self.probability(w)).sum()
    }
}

/// The moments around the closed bin `end - 1`.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// One past the newest closed bin.
    pub end: i64,
    /// Seconds for each bin.
    pub bin_s: i64,
}

impl Moment {
    /// The onsets that a candidate stands for, in Unix seconds: a change within a bin shows in full in the next one.
    fn onsets_s(self, candidate: usize) -> (f64, f64) {
        let start = ((self.end - AGES[candidate] as i64) * self.bin_s) as f64;
        (start - self.bin_s as f64, start)
    }
}

/// The lag law's mass at each candidate onset: a change within a bin shows in full in the next one.
fn masses(exposure: &Exposure<'_>, moment: Moment) -> PerAge {
    let before = |age: usize| exposure.before(((moment.end - age as i64) * moment.bin_s) as f64);
    let mut until = before(AGES[0]);
    AGES.map(|age| {
        let from = before(age + 1);
        (std::mem::replace(&mut until, from) - from).max(0.0)
    })
}

/// ln of a deploy's weight without its rivals, and its spread over the onsets.
fn deploy_weight(candidate: &Candidate<'_>, profile: &Profile, moment: Moment) -> (f64, PerAge) {
    let base = candidate.exposure.prior() * scope::reach_probability(candidate.hops);
    let masses = masses(&candidate.exposure, moment);
    let each = std::array::from_fn::<f64, { AGES.len() }, _>(|at| {
        let mass = base * masses[at];
        if mass <= 0.0 {
            return f64::NEG_INFINITY;
        }
        let shape = ln_blend(RAMPS, profile.step[at], profile.ramp[at]);
        let own = candidate.own.map_or(0.0, |own| ln_mix(OWN_MOVES, nearby(&own.profile.step, at)) - own.ln_local);
        mass.ln() + shape + own
    });
    weigh(each)
}

/// ln of (1−p)eˣ + p·eʸ.
fn ln_blend(p: f64, x: f64, y: f64) -> f64 {
    [(1.0 - p).ln() + x, p.ln() + y].into_iter().collect::<LogSum>().ln()
}

/// The evidence at a candidate onset or one beside it: services do not move in the very same bin.
fn nearby(step: &PerAge, at: usize) -> f64 {
    let (from, until) = (at.saturating_sub(1), (at + 1).min(AGES.len() - 1));
    step[from..=until].iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

fn weigh(each: PerAge) -> (f64, PerAge) {
    let total = each.iter().copied().collect::<LogSum>().ln();
    let spread = if total.is_finite() { each.map(|x| (x - total).exp()) } else { [0.0; AGES.len()] };
    (total, spread)
}

/// ln of what the local hypotheses of a service explain, "nothing" included: `l_w` of the module's table.
pub fn ln_local(candidates: &[Candidate<'_>], profile: &Profile, moment: Moment) -> f64 {
    let mut sum = LogSum::default();
    sum.add(0.0);
    sum.extend(candidates.iter().map(|candidate| deploy_weight(candidate, profile, moment).0));
    sum.add(organic(profile).0);
    sum.ln()
}

fn organic(profile: &Profile) -> (f64, PerAge) {
    weigh(std::array::from_fn(|at| {
        let shape = ln_blend(RAMPS, profile.step[at], profile.ramp[at]);
        let clarity = (shape / AGES[at] as f64).max(0.0);
        (ORGANIC_RATE * (1.0 + FAINT * (-clarity / FAINT_CLARITY).exp())).ln() + shape
    }))
}

/// Whether any explanation weighs a tenth of "nothing" or more: else nobody needs to look closer. Quick to say no.
pub fn is_promising(candidates: &[Candidate<'_>], profile: &Profile, moment: Moment) -> bool {
    let most = |all: &PerAge| all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let own = candidates.iter().filter_map(|candidate| candidate.own).map(|own| most(&own.profile.step));
    // A deploy's weight is at most π·q·e^most, what its own service says on top of that.
    if most(&profile.step).max(most(&profile.ramp)) < 0.1 && own.fold(f64::NEG_INFINITY, f64::max) < 1.0 {
        return false;
    }
    candidates.iter().any(|candidate| deploy_weight(candidate, profile, moment).0 > -2.3) || organic(profile).0 > -2.3
}

/// The posterior for one service.
pub fn posterior(
    candidates: &[Candidate<'_>],
    profile: &Profile,
    rivals: &Rivals,
    neighbors: &[Neighbor<'_>],
    spreading: &[Spreading],
    moment: Moment,
) -> Posterior {
    let none = [0.0; AGES.len()];
    let mut weights = vec![Weight { cause: Cause::Nothing, ln_weight: 0.0, onsets: none }];
    for (place, candidate) in candidates.iter().enumerate() {
        let (ln_weight, onsets) = deploy_weight(candidate, profile, moment);
        weights.push(Weight { cause: Cause::Deploy(place), ln_weight, onsets });
        let ln_weight = passing(candidate, profile, rivals, moment);
        weights.push(Weight { cause: Cause::Passing(place), ln_weight, onsets: none });
    }
    let (ln_weight, onsets) = organic(profile);
    weights.push(Weight { cause: Cause::Organic, ln_weight, onsets });
    weights.push(Weight { cause: Cause::Spike, ln_weight: spike(profile, rivals), onsets: none });
    let (ln_weight, onsets) = global(profile, neighbors);
    weights.push(Weight { cause: Cause::Global, ln_weight, onsets });
    for open in spreading {
        let (ln_weight, onsets) = spread(open, profile);
        weights.push(Weight { cause: Cause::Spread(open.incident), ln_weight, onsets });
    }
    weights.sort_by(|a, b| b.ln_weight.total_cmp(&a.ln_weight));
    let ln_total = weights.iter().map(|w| w.ln_weight).collect::<LogSum>().ln();
    Posterior { weights, ln_total }
}

fn passing(candidate: &Candidate<'_>, profile: &Profile, rivals: &Rivals, moment: Moment) -> f64 {
    let reach = scope::reach_probability(candidate.hops);
    let mut sum = LogSum::default();
    let masses = masses(&candidate.exposure, moment);
    for (at, age) in AGES.into_iter().enumerate() {
        let (from, until) = moment.onsets_s(at);
        let blip = BLIP_PRIOR * reach * candidate.exposure.blip_mass(from, until);
        if blip > 0.0 {
            sum.add((blip * lag::blip_survival(age)).ln() + profile.step[at]);
            for (length, ln_factor) in BLIP_LENGTHS.iter().zip(&rivals.blips) {
                if *length < age {
                    let share = lag::blip_survival(*length) - lag::blip_survival(*length + 1);
                    sum.add((blip * share.max(1e-4)).ln() + ln_factor[at]);
                }
            }
        }
        let fade = FADE_PRIOR * reach * masses[at] / FADES.len() as f64;
        if fade > 0.0 {
            sum.extend(rivals.fades.iter().map(|ln_factor| fade.ln() + ln_factor[at]));
        }
    }
    sum.ln()
}

fn spike(profile: &Profile, rivals: &Rivals) -> f64 {
    let mut sum = LogSum::default();
    for (at, age) in AGES.into_iter().enumerate() {
        let rate = ORGANIC_SPIKE_RATE;
        // Half of all spikes are over within a minute, few last longer than five.
        let survival = |bins: usize| (-(bins as f64) / 9.0).exp();
        sum.add((rate * survival(age)).ln() + profile.step[at]);
        for (length, ln_factor) in BLIP_LENGTHS.iter().zip(&rivals.blips) {
            if *length < age {
                sum.add((rate * (survival(*length) - survival(length + 1))).ln() + ln_factor[at]);
            }
        }
    }
    sum.ln()
}

fn global(profile: &Profile, neighbors: &[Neighbor<'_>]) -> (f64, PerAge) {
    weigh(std::array::from_fn(|at| {
        let others: f64 = neighbors
            .iter()
            .map(|neighbor| {
                let moved = GLOBAL_REACH.ln() + nearby(&neighbor.profile.step, at) - neighbor.ln_local;
                [(1.0 - GLOBAL_REACH).ln(), moved].into_iter().collect::<LogSum>().ln()
            })
            .sum();
        GLOBAL_RATE.ln() + profile.step[at] + others
    }))
}

fn spread(open: &Spreading, profile: &Profile) -> (f64, PerAge) {
    weigh(std::array::from_fn(|at| {
        // Within half a minute of the incident's own onset nearly always, else within some minutes after it.
        let share = match (AGES[at].abs_diff(open.age), AGES[at] < open.age) {
            (apart, _) if apart <= 3 => 0.95 / 7.0,
            (apart, true) => 0.05 / 30.0 * (-(apart as f64) / 30.0).exp(),
            _ => 0.0,
        };
        let mass = open.reach * share;
        if mass > 0.0 { mass.ln() + ln_blend(RAMPS, profile.step[at], profile.ramp[at]) } else { f64::NEG_INFINITY }
    }))
}
