//! From the posterior to the probability that is told.
//!
//! The posterior weighs rivals that most shops see seldom, a restart that takes minutes and a cold cache, as heavily as a cautious
//! prior has to: soon after an onset it is right more often than it says. Platt's correction (1999) makes up for it on the scale
//! of log odds,
//!
//! ```text
//! logit p' = k·logit p,   k = 1 + 0.5·exp(−age/30 bins)
//! ```
//!
//! and fades with the age of the change, because a change that took long to show is no better known than it says. It keeps the
//! order of the answers, leaves ½ where it is, and decides nothing: alerts are told by the posterior itself.

/// How much the log odds of a fresh change are stretched.
const STRETCH: f64 = 0.5;
/// The age over which that fades, in bins.
const FADE_BINS: f64 = 30.0;

/// The probability to tell for an answer of probability `p` about a change of `age` bins, `0.0..=1.0`. What `p` is below ½ or not a
/// number is told as it is.
pub fn calibrated(p: f64, age: usize) -> f64 {
    if p.is_nan() || p <= 0.5 || p >= 1.0 {
        return p;
    }
    let stretch = 1.0 + STRETCH * (-(age as f64) / FADE_BINS).exp();
    1.0 / (1.0 + (-stretch * (p / (1.0 - p)).ln()).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_answer_is_told_with_more_confidence_and_an_old_one_as_it_is() {
        assert!((calibrated(0.87, 4) - 0.938).abs() < 2e-3, "{}", calibrated(0.87, 4));
        assert!((calibrated(0.87, 300) - 0.87).abs() < 1e-4);
        assert!(calibrated(0.87, 10) > calibrated(0.87, 20));
    }

    #[test]
    fn order_and_limits_are_kept() {
        assert_eq!([0.0, 0.3, 0.5, 1.0].map(|p| calibrated(p, 5)), [0.0, 0.3, 0.5, 1.0]);
        assert!((500..999).all(|i| calibrated(f64::from(i) / 1e3, 5) < calibrated(f64::from(i + 1) / 1e3, 5)));
        assert!(calibrated(f64::NAN, 5).is_nan());
    }
}
