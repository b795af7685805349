//! Counts out of a denominator: has the rate changed?
//!
//! The baseline rate has a Gamma posterior, `Gamma(a, b)` with `a = k₀/D + ½` events in `b = n₀/D` trials (Jeffreys' prior),
//! and a change multiplies it by r. With k events in n trials since the onset, both over D, the rate integrates out:
//!
//! ```text
//! ln BF_r = k ln r + (a + k) · [ln(b + n) − ln(b + r·n)]
//! ```
//!
//! which is the ratio of two negative binomial likelihoods and exact at zero: no errors in the baseline is a = ½, not a
//! division by zero. A fixed mixture over r is a mixture of likelihood ratios under a common prior, hence an e-process
//! under the Gamma–Poisson null (Ville 1939; Howard et al., Annals of Statistics 49, 2021).
//! D is the over-dispersion: Pearson's χ² over its degrees of freedom at the horizon of the sum, as quasi-likelihood has it
//! (McCullagh and Nelder 1989, section 6.2.3). Bursts that come in clumps raise it at long horizons.

use deployline_schemas::signal::Bad;

use crate::{
    normal::LogSum,
    window::{ONSET_BINS, Window},
};

/// Factors of a rise, equally likely. Below 1.5 no error ratio is worth waking anybody.
const RISES: [f64; 9] = [1.5, 2.0, 2.7, 3.7, 5.2, 7.5, 11.0, 17.0, 28.0];
/// Factors of a fall, equally likely.
const FALLS: [f64; 5] = [0.8, 0.65, 0.5, 0.3, 0.1];
/// No baseline is trusted beyond this many events: real rates drift by some percent within the hour.
const MOST_EVENTS: f64 = 600.0;
/// Horizons at which the dispersion is measured, in bins.
const HORIZONS: [usize; 3] = [1, 6, 30];
/// The variance of the logarithm of a raised rate between the halves of a stretch, beyond Poisson's: ±25 %, twice.
const WOBBLE: f64 = 0.08;
/// How many blocks of the usual dispersion the estimate is shrunk with: 30-bin blocks are few, and χ²/df of ten blocks
/// errs by ±0.45.
const DISPERSION_PRIOR: f64 = 8.0;

/// The over-dispersion of a count at `HORIZONS`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dispersion([f32; 3]);

impl Dispersion {
    /// Measures it on the bins in `[from, until)`; `None` with fewer than `least` bins of data.
    pub fn measure(window: &Window, from: i64, until: i64, least: usize) -> Option<Self> {
        let bins: Vec<(f64, f64)> = (from..until).filter_map(|bin| counts(window, bin)).collect();
        if bins.len() < least {
            return None;
        }
        let (events, trials) = bins.iter().fold((0.0, 0.0), |(k, n), bin| (k + bin.0, n + bin.1));
        if trials <= 0.0 {
            return None;
        }
        let rate = events / trials;
        Some(Self(HORIZONS.map(|horizon| {
            let blocks = bins.chunks_exact(horizon).map(|block| {
                let (k, n) = block.iter().fold((0.0, 0.0), |(k, n), bin| (k + bin.0, n + bin.1));
                (k - rate * n).powi(2) / (rate * n).max(1e-9)
            });
            let n_blocks = (bins.len() / horizon) as f64;
            // Without one event the rate is 0 and so is every term: nothing speaks for over-dispersion.
            let pearson: f64 = if events > 0.0 { blocks.sum() } else { n_blocks };
            // Rates wobble by a fifth or so over minutes, which few rare events cannot show: Var = μ + (0.22 μ)² over about
            // ten bins.
            let wobble = (1.0 + 0.05 * events / bins.len() as f64 * horizon.min(10) as f64).min(1.5);
            ((DISPERSION_PRIOR * wobble + pearson) / (DISPERSION_PRIOR + n_blocks - 1.0)).max(1.0) as f32
        })))
    }

    /// The over-dispersion of a sum over so many bins, 1 or more.
    pub(crate) fn at(self, horizon: usize) -> f64 {
        let [one, six, thirty] = self.0.map(f64::from);
        let horizon = horizon as f64;
        if horizon <= 6.0 {
            one + (six - one) * (horizon - 1.0) / 5.0
        } else {
            six + (thirty - six) * ((horizon - 6.0) / 24.0).min(1.0)
        }
        .max(1.0)
    }
}

/// The events and trials of a bin, `None` for a gap. An absent numerator beside a present denominator is zero events:
/// StatsD does not send a counter that was not touched, and the denominator shows that its sender lives.
fn counts(window: &Window, bin: i64) -> Option<(f64, f64)> {
    let trials = window.denominator(bin);
    if !trials.is_finite() || window.is_bad(bin) {
        return None;
    }
    let events = window.numerator(bin);
    Some((if events.is_finite() { events.max(0.0) } else { 0.0 }, trials.max(0.0)))
}

/// The events and trials that have left the window, fading with a half-life of two hours at 10 s: where errors are rare,
/// an hour of them says little, and a lull in it makes the usual rate look like a rise.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Past {
    events: f32,
    trials: f32,
    /// Bins before this one are in.
    until: i64,
}

impl Past {
    /// The factor for each bin.
    const FADE: f64 = 0.999_04;
    /// What an event of the past counts beside one of the window.
    const SHARE: f64 = 0.7;

    /// Takes in the bins before `until`.
    pub fn take(&mut self, window: &Window, until: i64) {
        for bin in self.until.max(window.oldest())..until {
            let (events, trials) = counts(window, bin).unwrap_or_default();
            self.events = (f64::from(self.events) * Self::FADE + events) as f32;
            self.trials = (f64::from(self.trials) * Self::FADE + trials) as f32;
        }
        self.until = self.until.max(until);
    }
}

/// Sums of events and trials up to each bin, for one moment.
#[derive(Debug, Default)]
pub struct Sums {
    past: Past,
    events: Vec<f64>,
    trials: Vec<f64>,
    present: Vec<u32>,
}

impl Sums {
    /// Adds up the window's bins before `end`, on top of the past.
    pub fn fill(&mut self, window: &Window, past: Past, end: i64) {
        self.past = past;
        self.fill_from(window, window.oldest().max(past.until), end);
    }

    fn fill_from(&mut self, window: &Window, from: i64, end: i64) {
        let (mut k, mut n, mut p) = (0.0, 0.0, 0);
        self.events.clear();
        self.trials.clear();
        self.present.clear();
        for bin in from..=end {
            self.events.push(k);
            self.trials.push(n);
            self.present.push(p);
            if let Some((events, trials)) = counts(window, bin).filter(|_| bin < end) {
                (k, n, p) = (k + events, n + trials, p + 1);
            }
        }
    }

    /// Bins summed.
    pub fn n_bins(&self) -> usize {
        self.events.len().saturating_sub(1)
    }

    fn between(&self, from: usize, until: usize) -> (f64, f64) {
        (self.events[until] - self.events[from], self.trials[until] - self.trials[from])
    }

    fn n_present(&self, from: usize, until: usize) -> usize {
        (self.present[until] - self.present[from]) as usize
    }

    /// The baseline before an onset `age` bins ago, as `(a, b)` of its Gamma posterior.
    pub fn baseline(&self, age: usize, dispersion: Dispersion) -> (f64, f64) {
        let (k, n) = self.between(0, self.n_bins().saturating_sub(age));
        let (k, n) = (k + Past::SHARE * f64::from(self.past.events), n + Past::SHARE * f64::from(self.past.trials));
        let wide = dispersion.at(30);
        let shrink = (1.0 / wide).min(MOST_EVENTS / k.max(1.0));
        (k * shrink + 0.5, n * shrink)
    }

    /// The events and trials of the `length` bins from an onset `age` bins ago.
    pub fn since(&self, age: usize, length: usize) -> (f64, f64) {
        let from = self.n_bins().saturating_sub(age);
        self.between(from, (from + length).min(self.n_bins()))
    }

    /// ln BF of a change that began `age` bins ago and lasted for `length` bins.
    pub fn ln_factor(&self, age: usize, length: usize, direction: Bad, dispersion: Dispersion) -> f64 {
        let from = self.n_bins().saturating_sub(age);
        let (k, n) = self.since(age, length);
        if n <= 0.0 {
            return 0.0;
        }
        let (a, b) = self.baseline(age, dispersion);
        if b <= 0.0 {
            return 0.0;
        }
        let wide = dispersion.at(self.n_present(from, (from + length).min(self.n_bins())).max(1));
        ln_mixture(a, b, k / wide, n / wide, direction)
    }

    /// ln of how much better a change fits that fades by the factor `fade` each bin than one that holds, for an onset `age` bins
    /// ago. To be added to the step's ln BF.
    ///
    /// The excess over the baseline rate in the second half of the stretch over that in the first is 1 for a step and
    /// Σ₂fⁱ/Σ₁fⁱ for a fade; its logarithm has the variance k₁/x₁² + k₂/x₂² of two Poisson excesses x (delta method), plus
    /// `WOBBLE`, because a raised error rate is no steadier than a quiet one.
    pub fn ln_fading_over_step(&self, age: usize, fade: f64, direction: Bad, dispersion: Dispersion) -> f64 {
        let (a, b) = self.baseline(age, dispersion);
        let from = self.n_bins().saturating_sub(age);
        if b <= 0.0 || age < 2 {
            return 0.0;
        }
        let middle = from + age / 2;
        let sign = if direction == Bad::Down { -1.0 } else { 1.0 };
        let excess = |(k, n): (f64, f64)| (sign * (k - a / b * n), k.max(1.0), n);
        let (first, k1, n1) = excess(self.between(from, middle));
        let (second, k2, n2) = excess(self.between(middle, self.n_bins()));
        if first <= 0.0 || n1 <= 0.0 || n2 <= 0.0 {
            return 0.0;
        }
        let second = second.max(0.05 * first * n2 / n1).max(0.25);
        let observed = (second / n2 / (first / n1)).ln();
        let power =
            |from: usize, until: usize| (from..until).map(|i| fade.powi(i as i32)).sum::<f64>() / (until - from) as f64;
        let expected = (power(age / 2, age) / power(0, age / 2)).ln();
        let variance = dispersion.at(age) * (k1 / (first * first) + k2 / (second * second)) + WOBBLE;
        (observed * observed - (observed - expected).powi(2)) / (2.0 * variance)
    }

    /// ln BF of a step that began `age` bins ago.
    pub fn ln_step(&self, age: usize, direction: Bad, dispersion: Dispersion) -> f64 {
        if age >= self.n_bins() { 0.0 } else { self.ln_factor(age, age, direction, dispersion) }
    }
}

/// Where the baseline that sets the noise ends: [`ONSET_BINS`] back, or less while history is short.
pub fn noise_until(window: &Window, end: i64) -> i64 {
    let history = end - window.oldest();
    end - (ONSET_BINS as i64).min(history / 3)
}

/// ln of the mixture of Bayes factors over the factors of the direction; `k` and `n` are already over D.
pub fn ln_mixture(a: f64, b: f64, k: f64, n: f64, direction: Bad) -> f64 {
    let one = |factors: &[f64]| -> f64 {
        let base = (b + n).ln();
        let each = factors.iter().map(|r| k * r.ln() + (a + k) * (base - (b + r * n).ln()));
        each.collect::<LogSum>().ln() - (factors.len() as f64).ln()
    };
    match direction {
        Bad::Up => one(&RISES),
        Bad::Down => one(&FALLS),
        Bad::Either => [one(&RISES), one(&FALLS)].into_iter().collect::<LogSum>().ln() - std::f64::consts::LN_2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_errors_before_and_some_after_is_evidence_and_none_after_is_not() {
        assert!(ln_mixture(0.5, 100_000.0, 12.0, 5_000.0, Bad::Up) > 10.0);
        assert!(ln_mixture(0.5, 100_000.0, 0.0, 5_000.0, Bad::Up) < 0.0);
        assert!(ln_mixture(0.5, 100_000.0, 0.0, 0.0, Bad::Up).abs() < 1e-9);
    }

    #[test]
    fn the_same_rate_speaks_against_a_change_and_the_other_direction_more_so() {
        let same = ln_mixture(400.5, 100_000.0, 40.0, 10_000.0, Bad::Up);
        let fewer = ln_mixture(400.5, 100_000.0, 15.0, 10_000.0, Bad::Up);
        assert!(same < 0.0 && fewer < same, "{same} {fewer}");
    }

    #[test]
    fn clumps_raise_the_dispersion() {
        let (mut even, mut clumped) = (Window::new(true), Window::new(true));
        for bin in 0..300 {
            even.put(bin, 10.0 + (bin % 3) as f64 - 1.0);
            even.put_denominator(bin, 1000.0);
            clumped.put(bin, if (bin / 30) % 2 == 0 { 2.0 } else { 18.0 });
            clumped.put_denominator(bin, 1000.0);
        }
        let measure = |window: &Window| Dispersion::measure(window, 0, 300, 60).unwrap();
        assert!((measure(&even).at(1) - 1.0).abs() < 1e-6);
        assert!(measure(&clumped).at(30) > 20.0);
    }
}
