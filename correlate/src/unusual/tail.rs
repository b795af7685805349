//! How rare a size is among all sizes so far.

/// Steps of the histogram for each factor of e.
const STEPS: f64 = 12.0;
/// Steps from e^−18 to e^15.
const BINS: usize = 400;
/// The step of size 1.
const ONE: f64 = 220.0;
/// The share of the largest sizes that the tail is fitted to: as in Siffer et al. (2017).
const TAIL: f64 = 0.02;
/// Fewest sizes in the tail.
const LEAST_TAIL: f64 = 20.0;
/// The tail's index before anything is seen, and how many sizes it stands for.
const PRIOR_INDEX: f64 = 0.1;
const PRIOR_SIZES: f64 = 5.0;
/// Fewest sizes that say how rare one is.
const LEAST: f64 = 50.0;

/// A histogram of logarithms, with a Pareto tail beyond it.
#[derive(Debug, Clone)]
pub struct Tail {
    counts: Box<[f64]>,
    total: f64,
}

impl Default for Tail {
    fn default() -> Self {
        Self { counts: vec![0.0; BINS].into(), total: 0.0 }
    }
}

fn bin(size: f64) -> usize {
    ((size.max(1e-9).ln() * STEPS + ONE).max(0.0) as usize).min(BINS - 1)
}

impl Tail {
    /// Remembers a size, 0 or more.
    pub fn take(&mut self, size: f64) {
        self.counts[bin(size)] += 1.0;
        self.total += 1.0;
    }

    /// −ln P(size or larger), 0 while too little is known.
    pub fn rarity(&self, size: f64) -> f64 {
        if self.total < LEAST {
            return 0.0;
        }
        let wanted = (self.total * TAIL).max(LEAST_TAIL.min(self.total * 0.5));
        let (mut threshold, mut above) = (BINS - 1, 0.0);
        while threshold > 0 && above + self.counts[threshold] < wanted {
            above += self.counts[threshold];
            threshold -= 1;
        }
        above += self.counts[threshold];
        if bin(size) <= threshold {
            let larger: f64 = self.counts[bin(size)..].iter().sum();
            return -((larger + 0.5) / (self.total + 0.5)).ln();
        }
        let ln_threshold = (threshold as f64 - ONE) / STEPS;
        let excess = |at: usize| (at as f64 + 0.5 - ONE) / STEPS - ln_threshold;
        let excesses: f64 = (threshold..BINS).map(|at| self.counts[at] * excess(at)).sum();
        let index = (excesses + PRIOR_INDEX * PRIOR_SIZES) / (above + PRIOR_SIZES);
        (self.total / above).ln() + (size.ln() - ln_threshold) / index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rarity_follows_a_pareto_law_beyond_what_was_seen() {
        // Quantiles of P(size > s) = s^−4.
        let mut tail = Tail::default();
        (1..=5000).for_each(|i| tail.take((f64::from(i) / 5001.0).powf(-0.25)));
        for p in [0.5f64, 0.05, 1e-3, 1e-6] {
            let told = tail.rarity(p.powf(-0.25));
            assert!((told + p.ln()).abs() < 0.15 * (1.0 - p.ln()), "{p}: {told}");
        }
    }

    #[test]
    fn larger_is_never_less_rare() {
        let mut tail = Tail::default();
        (0..300).for_each(|i| tail.take(f64::from(i % 37)));
        let rarities: Vec<f64> = (1..2000).map(|i| tail.rarity(f64::from(i) * 0.1)).collect();
        assert!(rarities.is_sorted());
    }
}
