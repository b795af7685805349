//! Is it over? A rollback read as an experiment, and the slower proof where nobody rolled back.
//!
//! Of a count, with p₀ the rate before and r̂ the factor that the incident brought, the bins since the mend are asked
//! whether they fit p₀ better than p₀·√r̂: `Λ = −k ln √r̂ + n p₀ (√r̂ − 1)`. The square root makes a half mend no mend.
//! Of a level, whether its mean lies nearer to the level before than to the middle: z²/2 as Λ.

use deployline_schemas::{blame::Effect, signal::Bad};

use crate::{
    level::{self, Scale},
    track::{Law, Quiet, Track},
};

/// What it takes to say that a signal is back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Proof {
    /// Fewest bins since the mend.
    pub bins: usize,
    /// Fewest bins since the mend for a level, which may wander back by itself.
    pub level_bins: usize,
    /// Λ that each signal must reach.
    pub ln_factor: f64,
}

/// After a rollback of the suspect: the prior is with it.
pub const ROLLED_BACK: Proof = Proof { bins: 6, level_bins: 6, ln_factor: 4.0 };
/// After another change of the same service.
pub const CHANGED: Proof = Proof { bins: 30, level_bins: 60, ln_factor: 8.0 };
/// For what moved all services at once and no deploy did: five minutes.
pub const PASSED: Proof = Proof { bins: 30, level_bins: 30, ln_factor: 4.0 };
/// For one signal to be watched again while its incident is open: two minutes.
pub const RELEASED: Proof = Proof { bins: 12, level_bins: 12, ln_factor: 6.0 };
/// With no change at all: 15 and 40 minutes.
pub const BY_ITSELF: Proof = Proof { bins: 90, level_bins: 240, ln_factor: 8.0 };

/// Λ and the bins it rests on, for the bins in `[from, end)`.
pub fn back(track: &Track, effect: &Effect, direction: Bad, from: i64, end: i64) -> (f64, usize) {
    match (track.law, track.quiet) {
        (Law::Counts, _) => {
            let (k, n) = track.raw_counts(from, end);
            let bins = (from..end).filter(|bin| track.window.denominator(*bin).is_finite()).count();
            // A factor that was told too early, and small, still has to be told from 1.
            let root = effect.factor.clamp(1e-3, 1e3).sqrt();
            let factor = if direction == Bad::Down { root.min(0.87) } else { root.max(1.15) };
            (-k * factor.ln() + n * effect.before * (factor - 1.0), bins)
        }
        (Law::Level(scale), Some(Quiet::Level(noise))) => {
            let (mean, bins) = level::mean_level(&track.window, from, end, true);
            if bins == 0 {
                return (0.0, 0);
            }
            let shift = scale.apply(effect.after) - scale.apply(effect.before);
            let middle = scale.apply(effect.before) + if scale == Scale::Log { 0.4 } else { 0.5 } * shift;
            let sign = if direction == Bad::Down { -1.0 } else { 1.0 };
            let z = sign * (middle - mean) / noise.spread_of_mean(bins).max(1e-9);
            (0.5 * z * z.abs(), bins)
        }
        _ => (0.0, 0),
    }
}
