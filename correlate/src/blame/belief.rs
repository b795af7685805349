//! The posterior over the causes, at the step of the series that is asked about.

use crate::{
    grid::PerAge,
    normal::LogSum,
    reading::Look,
    suspects::{self, Candidate, Cause, Moment, Neighbor},
    track::Profile,
};

/// The engine's rates of organic changes are for each bin of so many seconds.
const RATE_BIN_S: f64 = 10.0;

/// The posterior over the causes.
pub(crate) struct Belief {
    /// Each cause with its probability and how it is spread over the onsets.
    weights: Vec<(Cause, f64, PerAge)>,
}

impl Belief {
    /// The engine's posterior, with its rates, which are for each bin of 10 s, brought to this series' bins.
    ///
    /// In longer bins a change can no longer be told to lie in the bin before the first that shows it in full: it may as well
    /// lie within the first that shows it in part, and both count half.
    pub(crate) fn of(candidates: &[Candidate<'_>], look: &Look, neighbors: &[Neighbor<'_>], bin_s: i64) -> Self {
        let phases: &[i64] = if bin_s > 10 { &[0, 1] } else { &[0] };
        let rate = (bin_s as f64 / RATE_BIN_S).ln() - (phases.len() as f64).ln();
        let mut weights = Vec::new();
        for phase in phases {
            let moment = Moment { end: look.end + phase, bin_s };
            let posterior = suspects::posterior(candidates, &look.profile, &look.rivals, neighbors, &[], moment);
            weights.extend(posterior.weights.into_iter().map(|weight| {
                let ln_weight = weight.ln_weight
                    + match weight.cause {
                        Cause::Organic | Cause::Spike | Cause::Global => rate,
                        _ => -(phases.len() as f64).ln(),
                    };
                (weight.cause, ln_weight, weight.onsets)
            }));
        }
        let total = weights.iter().map(|(_, ln_weight, _)| *ln_weight).collect::<LogSum>().ln();
        weights.iter_mut().for_each(|(_, ln_weight, _)| *ln_weight = (*ln_weight - total).exp());
        Self { weights }
    }

    /// The summed probability of the causes that `accepts`.
    pub(crate) fn sum(&self, accepts: impl Fn(Cause) -> bool) -> f64 {
        self.weights.iter().filter(|(cause, ..)| accepts(*cause)).map(|(_, probability, _)| probability).sum()
    }

    /// The belief in each onset, over all causes of a change that lasts.
    pub(crate) fn onsets(&self, profile: &Profile) -> PerAge {
        let onsets: PerAge = std::array::from_fn(|at| {
            self.weights.iter().map(|(_, probability, onsets)| probability * onsets[at]).sum()
        });
        if onsets.iter().sum::<f64>() > 0.0 {
            return onsets;
        }
        let most = profile.step.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        profile.step.map(|step| (step - most).exp())
    }
}
