//! What a level is like beyond AR(1), for longer than its window holds and among its like.

use super::{HORIZONS, Noise, median};

/// How roughly levels have moved beyond what AR(1) describes, for hours back: at each of the horizons, how many windows the
/// step statistic was tried on in quiet history and the sum of its squared spread over them.
///
/// Fifty minutes hold four windows of a quarter of an hour, which say next to nothing of one signal. Its own past and the same
/// statistic of the shop's other signals say more (an empirical Bayes shrinkage, Efron and Morris 1975).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Roughness {
    pub(super) windows: [f32; HORIZONS.len()],
    pub(super) squares: [f32; HORIZONS.len()],
}

impl Roughness {
    /// The factor for each measurement: a half-life of four hours at one in five minutes.
    const FADE: f32 = 0.985_7;
    /// No measurement counts for more than this: a step that was no incident looks like roughness at every horizon.
    const MOST_SQUARE: f32 = 4.0;

    /// Takes in one more measurement, `bins` after the one before.
    pub fn take(&mut self, noise: &Noise, bins: i64) {
        for (at, horizon) in HORIZONS.into_iter().enumerate() {
            let fresh = bins as f32 / horizon as f32;
            self.windows[at] *= Self::FADE;
            self.squares[at] *= Self::FADE;
            if noise.seen[at].is_finite() {
                self.windows[at] += fresh;
                self.squares[at] += fresh * noise.seen[at].min(Self::MOST_SQUARE);
            }
        }
    }
}

/// What [`Roughness`] is usual among the signals of one scale: what the median of their squared spreads at each horizon says, so
/// that a few rough ones do not make all the others deaf.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usual(pub(super) [f32; HORIZONS.len()]);

impl Default for Usual {
    /// Nothing known: no excess.
    fn default() -> Self {
        Self([1.0; HORIZONS.len()])
    }
}

impl Usual {
    /// How many signals without excess stand beside those that were seen.
    const PRIOR: usize = 4;
    /// The share of the median's excess over 1 that is believed: the larger of two quantiles over few windows that overlap exceeds 1
    /// without any roughness.
    const BELIEVED: f32 = 0.5;

    /// The median over the signals, whatever their order.
    pub fn among<'r>(all: impl Iterator<Item = &'r Roughness> + Clone) -> Self {
        Self(std::array::from_fn(|at| {
            let seen = all.clone().filter(|roughness| roughness.windows[at] > 0.0);
            let squares = seen.map(|roughness| f64::from(roughness.squares[at] / roughness.windows[at]));
            let mut squares: Vec<f64> = squares.chain(std::iter::repeat_n(1.0, Self::PRIOR)).collect();
            1.0 + Self::BELIEVED * (median(&mut squares) - 1.0).max(0.0) as f32
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rough(square: f32) -> Roughness {
        Roughness { windows: [10.0; HORIZONS.len()], squares: [10.0 * square; HORIZONS.len()] }
    }

    #[test]
    fn what_most_signals_show_is_usual_and_a_few_rough_ones_are_not() {
        let calm: Vec<Roughness> = [1.0; 20].into_iter().chain([9.0; 5]).map(rough).collect();
        assert_eq!(Usual::among(calm.iter()), Usual::default());
        let windy: Vec<Roughness> = (0..25).map(|_| rough(2.5)).collect();
        assert_eq!(Usual::among(windy.iter()), Usual([1.75; HORIZONS.len()]));
        assert_eq!(Usual::among([].iter()), Usual::default());
    }

    #[test]
    fn two_rough_signals_prove_nothing_of_a_shop() {
        assert_eq!(Usual::among([rough(3.0), rough(3.0)].iter()), Usual::default());
    }
}
