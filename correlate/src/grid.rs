//! The candidate onsets: how many bins a change has lasted by now.

use crate::normal::LogSum;

/// The number of candidates: a change is placed within the last 88 bins.
pub const N_AGES: usize = 88;

/// How many bins the changed stretch holds at each candidate, the newest closed bin included: 1, 2, 3, ….
/// Every bin is a candidate: with a thousandfold error rate, an onset one bin off explains the rest by nothing at all.
pub const AGES: [usize; N_AGES] = {
    let mut ages = [0; N_AGES];
    let mut at = 0;
    while at < N_AGES {
        ages[at] = at + 1;
        at += 1;
    }
    ages
};

/// One value for each candidate onset of [`AGES`].
pub type PerAge = [f64; N_AGES];

/// The candidates that are looked at first. Where none of them speaks for a change, its neighbours do not either, and each stands
/// for those around it.
pub const COARSE: [usize; 14] = [0, 1, 2, 3, 5, 7, 10, 14, 19, 27, 37, 51, 68, 87];

/// One value for each of [`COARSE`]: the nearest stands for the candidates around it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Glance([f64; COARSE.len()]);

impl Glance {
    /// Evaluates a Bayes factor at the coarse candidates.
    pub fn of(ln_factor: impl Fn(usize) -> f64) -> Self {
        Self(COARSE.map(|at| ln_factor(AGES[at])))
    }

    /// The most evidence of any.
    pub fn most(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// What speaks for a change counts for nothing.
    pub fn at_most_nothing(self) -> Self {
        Self(self.0.map(|x| x.min(0.0)))
    }

    /// The value at each candidate.
    pub fn per_age(&self) -> PerAge {
        NEAREST.map(|nearest| self.0[nearest])
    }

    /// The value at each candidate, evaluated one by one around the coarse ones within `REFINED_LN` of the best: what is that much
    /// less likely adds nothing to any sum.
    pub fn refined(&self, ln_factor: impl Fn(usize) -> f64) -> PerAge {
        let least = self.most() - REFINED_LN;
        let is_close = |nearest: usize| self.0[nearest] >= least;
        std::array::from_fn(|at| {
            let nearest = NEAREST[at];
            let around = nearest.saturating_sub(1)..=(nearest + 1).min(COARSE.len() - 1);
            if COARSE[nearest] != at && around.into_iter().any(is_close) {
                ln_factor(AGES[at])
            } else {
                self.0[nearest]
            }
        })
    }

    /// ln of the weighted mean of some Bayes factors; the weights are positive and at least one is given.
    pub fn mean(all: &[(f64, Self)]) -> Self {
        Self(mean(all.iter().map(|(weight, glance)| (*weight, &glance.0))))
    }
}

/// ln of the weighted mean of Bayes factors, candidate by candidate; the weights are positive and at least one is given.
pub fn mean<'a, const N: usize>(all: impl Iterator<Item = (f64, &'a [f64; N])>) -> [f64; N] {
    let (mut sums, mut total) = ([LogSum::default(); N], 0.0);
    for (weight, values) in all {
        let ln_weight = weight.ln();
        sums.iter_mut().zip(values).for_each(|(sum, value)| sum.add(ln_weight + value));
        total += weight;
    }
    sums.map(|sum| sum.ln() - f64::ln(total))
}

/// See [`Glance::refined`].
const REFINED_LN: f64 = 7.0;

/// For each candidate the place in [`COARSE`] of the nearest one, the older of two.
const NEAREST: [usize; N_AGES] = {
    let mut all = [0; N_AGES];
    let (mut at, mut nearest) = (0, 0);
    while at < N_AGES {
        while nearest + 1 < COARSE.len() && COARSE[nearest + 1].abs_diff(at) <= COARSE[nearest].abs_diff(at) {
            nearest += 1;
        }
        all[at] = nearest;
        at += 1;
    }
    all
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_age_is_a_candidate_within_the_span_in_which_onsets_are_sought() {
        assert_eq!((AGES[0], AGES[N_AGES - 1]), (1, 88));
        const { assert!(N_AGES < crate::window::ONSET_BINS) };
    }

    #[test]
    fn each_candidate_is_spoken_for_by_the_nearest_of_the_coarse_ones() {
        let all = Glance::of(|age| -(age as f64)).per_age();
        assert_eq!((all[0], all[3], all[4], all[5], all[86]), (-1.0, -4.0, -6.0, -6.0, -88.0));
    }

    #[test]
    fn a_mean_is_the_mean_of_the_factors() {
        let mean =
            Glance::mean(&[(2.0, Glance::of(|_| -1.0)), (1.0, Glance::of(|age| if age == 4 { 6.0 } else { 0.0 }))]);
        let naive = |x: f64, y: f64| ((2.0 * x.exp() + y.exp()) / 3.0).ln();
        assert!((mean.per_age()[3] - naive(-1.0, 6.0)).abs() < 1e-12);
        assert!((mean.per_age()[40] - naive(-1.0, 0.0)).abs() < 1e-12);
    }
}
