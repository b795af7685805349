//! The standard normal distribution function, and sums of exponentials that do not overflow.

/// ln Φ(z), the logarithm of the standard normal distribution function.
///
/// Above −5 through a rational approximation of erfc (Abramowitz and Stegun 7.1.26, absolute error 1.5e-7); below, the
/// asymptotic series −z²/2 − ln(−z√2π) + ln(1 − 1/z² + 3/z⁴), for which the approximation has no digits left.
pub fn ln_phi(z: f64) -> f64 {
    if z < -5.0 {
        let square = z * z;
        return -0.5 * square - (-z).ln() - 0.918_938_533_204_672_7
            + (1.0 - 1.0 / square + 3.0 / (square * square)).ln();
    }
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let poly =
        t * (0.254_829_592 + t * (-0.284_496_736 + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    let tail = 0.5 * poly * (-x * x).exp();
    if z >= 0.0 { (1.0 - tail).ln() } else { tail.ln() }
}

/// A running ln Σ exp(xᵢ).
#[derive(Debug, Clone, Copy)]
pub struct LogSum {
    largest: f64,
    scaled: f64,
}

impl Default for LogSum {
    fn default() -> Self {
        Self { largest: f64::NEG_INFINITY, scaled: 0.0 }
    }
}

impl LogSum {
    /// Adds exp(x).
    pub fn add(&mut self, x: f64) {
        if x == f64::NEG_INFINITY {
            return;
        }
        if x <= self.largest {
            self.scaled += (x - self.largest).exp();
        } else {
            self.scaled = self.scaled * (self.largest - x).exp() + 1.0;
            self.largest = x;
        }
    }

    /// ln of the sum; −∞ for none.
    pub fn ln(self) -> f64 {
        if self.scaled == 0.0 { f64::NEG_INFINITY } else { self.largest + self.scaled.ln() }
    }
}

impl Extend<f64> for LogSum {
    fn extend<I: IntoIterator<Item = f64>>(&mut self, terms: I) {
        terms.into_iter().for_each(|x| self.add(x));
    }
}

impl FromIterator<f64> for LogSum {
    fn from_iter<I: IntoIterator<Item = f64>>(terms: I) -> Self {
        let mut sum = Self::default();
        sum.extend(terms);
        sum
    }
}

/// ln(1 − p + p·eˣ): the likelihood ratio of something that happened with probability `p`.
pub fn ln_mix(p: f64, x: f64) -> f64 {
    [(1.0 - p).ln(), p.ln() + x].into_iter().collect::<LogSum>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ln_phi_matches_tables() {
        for (z, expected) in [
            (0.0, 0.5f64.ln()),
            (1.0, -0.172_753_779),
            (-1.0, -1.841_021_645),
            (-4.9, -14.551_3),
            (-5.5, -17.779_4),
            (-10.0, -53.231_3),
        ] {
            assert!(
                (ln_phi(z) - expected).abs() < 1e-2 * f64::abs(expected).max(0.01),
                "{z}: {} {expected}",
                ln_phi(z)
            );
        }
    }

    #[test]
    fn a_log_sum_neither_overflows_nor_loses_small_terms() {
        let sum: LogSum = [1000.0, 1000.0].into_iter().collect();
        assert!((sum.ln() - 1_000.693_147).abs() < 1e-6);
        assert_eq!(LogSum::default().ln(), f64::NEG_INFINITY);
        assert!((ln_mix(0.5, 0.0)).abs() < 1e-12);
    }
}
