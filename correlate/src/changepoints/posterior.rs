//! What all partitions under all noises say together.

use super::{
    Change, LEAST_BINS,
    noise::{Noise, TAILS, deviance},
    partition::{best, segments},
    shape,
};
use crate::normal::LogSum;

/// Fewest bins of a segment; a sixth of the series where it is short. One outlier is no segment.
const LEAST_SEGMENT: usize = 5;
/// Most changes that are tried.
const MOST_CHANGES: usize = 12;
/// Partitions whose changes lie within so many bins speak of the same change.
const SAME: usize = 5;

/// What is believed of changes before a series is seen. One setting for every series; [`Prior::default`] is it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prior {
    /// Changes expected in a recording.
    pub expected_changes: f64,
    /// What each parameter of a segment costs, in ln(length): 1 is BIC's share.
    pub parameter_cost: f64,
    /// How far the likelihood is distrusted: 1 takes one of the models for true.
    pub temperature: f64,
}

impl Default for Prior {
    fn default() -> Self {
        Self { expected_changes: 1.0, parameter_cost: 0.5, temperature: 2.0 }
    }
}

impl Prior {
    /// Settings around the default, for asking how much the answer hangs on it.
    pub fn around() -> Vec<Self> {
        let mut all = Vec::new();
        for expected_changes in [0.37, 0.6, 1.0, 1.6, 2.7] {
            for parameter_cost in [0.35, 0.5, 0.75, 1.0] {
                for temperature in [1.0, 1.5, 2.0, 3.0] {
                    all.push(Self { expected_changes, parameter_cost, temperature });
                }
            }
        }
        all
    }
}

/// One partition under one noise.
#[derive(Debug, Clone)]
struct Hypothesis {
    cuts: Vec<usize>,
    /// −2 ln likelihood.
    deviance: f64,
    /// Σ p ln(length) over its segments.
    ln_lengths: f64,
    /// 2 for each root of its noise and for heavy tails.
    extra: f64,
}

/// All partitions of one series under all noises, with their likelihoods. A prior makes changes of them.
#[derive(Debug, Clone)]
pub struct Hypotheses {
    values: Vec<f64>,
    all: Vec<Hypothesis>,
}

impl Hypotheses {
    /// Finds the best partitions of evenly spaced values, NaN for gaps. None for fewer than [`LEAST_BINS`] values and for a constant.
    pub fn of(values: &[f64]) -> Self {
        let mut hypotheses = Self { values: values.to_vec(), all: Vec::new() };
        let Some((standard, floor)) = standardize(values) else { return hypotheses };
        let n = values.len();
        let least = LEAST_SEGMENT.min((n / 6).max(2));
        let most = MOST_CHANGES.min((n / least).saturating_sub(1));
        let mut scratch = Vec::new();
        for noise in Noise::all() {
            let y = noise.whiten(&standard);
            for (cuts, residuals) in best(&y, noise.reach(), noise.lines, least, most) {
                if residuals.is_empty() {
                    continue;
                }
                let lengths: f64 = segments(&cuts, n).map(|(from, until)| ((until - from) as f64).ln()).sum();
                let straddling: f64 = segments(&cuts, n)
                    .flat_map(|(from, until)| &standard[from..until.min(from + noise.reach())])
                    .filter(|x| x.is_finite())
                    .map(|x| x * x - 1.0)
                    .sum();
                let ln_lengths = lengths * if noise.lines { 2.0 } else { 1.0 };
                for tail in TAILS {
                    hypotheses.all.push(Hypothesis {
                        cuts: cuts.clone(),
                        deviance: straddling + deviance(&residuals, tail, floor, &mut scratch),
                        ln_lengths,
                        extra: 2.0 * noise.reach() as f64 + if tail.is_finite() { 2.0 } else { 0.0 },
                    });
                }
            }
        }
        hypotheses
    }

    /// The posterior probability of each bin to be the first of a segment.
    fn onsets(&self, prior: &Prior) -> Vec<f64> {
        let n = self.values.len();
        let ln_n = (n as f64).ln();
        let score = |hypothesis: &Hypothesis| {
            let k = hypothesis.cuts.len();
            let ln_factorial: f64 = (2..=k).map(|i| (i as f64).ln()).sum();
            let places = 2.0 * (k as f64 * (ln_n - prior.expected_changes.ln()) + ln_factorial);
            let score = hypothesis.deviance + prior.parameter_cost * hypothesis.ln_lengths + places + hypothesis.extra;
            -0.5 * score / prior.temperature
        };
        let weights: Vec<f64> = self.all.iter().map(score).collect();
        let total = weights.iter().copied().collect::<LogSum>().ln();
        let mut onsets = vec![0.0; n];
        for (hypothesis, weight) in self.all.iter().zip(weights) {
            let share = (weight - total).exp();
            hypothesis.cuts.iter().for_each(|cut| onsets[*cut] += share);
        }
        onsets
    }

    /// The changes that are more likely than not, in order of time.
    pub fn changes(&self, prior: &Prior) -> Vec<Change> {
        let mut onsets = self.onsets(prior);
        let mut found = Vec::new();
        while let Some((from, until, mass)) = heaviest(&onsets).filter(|(_, _, mass)| *mass > 0.5) {
            let near = &onsets[from..until];
            let at = |share: f64| from + reaches(near, share * mass);
            found.push((at(0.5), (at(0.05), at(0.95)), mass.min(1.0)));
            onsets[from..until].fill(0.0);
        }
        found.sort_by_key(|(at, _, _)| *at);
        shape::describe(&self.values, &found)
    }
}

/// Zero mean and unit spread, with the least scale of innovations to believe; `None` where there is nothing to tell.
fn standardize(values: &[f64]) -> Option<(Vec<f64>, f64)> {
    let n = values.iter().filter(|x| x.is_finite()).count();
    if n < LEAST_BINS {
        return None;
    }
    let mean = shape::mean(values);
    let squares: f64 = values.iter().filter(|x| x.is_finite()).map(|x| (x - mean).powi(2)).sum();
    let spread = (squares / n as f64).sqrt();
    if spread <= 1e-12 * mean.abs() || !spread.is_finite() || spread == 0.0 {
        return None;
    }
    let standard: Vec<f64> =
        values.iter().map(|x| if x.is_finite() { (x - mean) / spread } else { f64::NAN }).collect();
    let moves = standard.windows(2).map(|pair| (pair[1] - pair[0]).abs());
    let mut moves: Vec<f64> = moves.filter(|step| *step > 0.0).collect();
    moves.sort_unstable_by(f64::total_cmp);
    let usual = moves.get(moves.len() / 2).copied().unwrap_or(1.0);
    Some((standard, (0.1 * usual).max(1e-4)))
}

/// The window of 2·[`SAME`] + 1 bins with the most mass: `(from, until, mass)`; the first of equals.
fn heaviest(onsets: &[f64]) -> Option<(usize, usize, f64)> {
    let windows = (0..onsets.len()).map(|at| {
        let (from, until) = (at.saturating_sub(SAME), (at + SAME + 1).min(onsets.len()));
        (from, until, onsets[from..until].iter().sum::<f64>())
    });
    windows.reduce(|best, next| if next.2 > best.2 { next } else { best })
}

/// The first place at which the running sum reaches `mass`.
fn reaches(onsets: &[f64], mass: f64) -> usize {
    let mut sum = 0.0;
    let place = onsets.iter().position(|p| {
        sum += p;
        sum >= mass
    });
    place.unwrap_or(onsets.len() - 1)
}
