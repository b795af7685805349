//! How a series moves without any change.

/// Pairs of autoregressive roots: from white noise to a random walk, then with a second root for smooth movement.
const ROOTS: [(f64, f64); 28] = [
    (0.0, 0.0),
    (0.2, 0.0),
    (0.4, 0.0),
    (0.6, 0.0),
    (0.75, 0.0),
    (0.85, 0.0),
    (0.92, 0.0),
    (0.97, 0.0),
    (1.0, 0.0),
    (0.6, 0.3),
    (0.8, 0.3),
    (0.92, 0.3),
    (1.0, 0.3),
    (0.6, 0.5),
    (0.8, 0.5),
    (0.92, 0.5),
    (1.0, 0.5),
    (0.8, 0.7),
    (0.92, 0.7),
    (1.0, 0.7),
    (0.92, 0.85),
    (1.0, 0.85),
    (1.0, 0.95),
    (0.97, 0.97),
    (1.0, 0.97),
    (1.0, 1.0),
    (0.4, 0.4),
    (0.75, 0.75),
];

/// Degrees of freedom of the innovations; infinite for Gauss.
pub const TAILS: [f64; 3] = [2.0, 4.0, f64::INFINITY];

/// Autoregressive noise around a level or a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    roots: (f64, f64),
    /// Whether segments are lines; levels otherwise.
    pub lines: bool,
}

impl Noise {
    /// Every model that is tried. Under a random walk a level in the whitened series is a drift already; a line would be a
    /// parabola, which fits anything.
    pub fn all() -> impl Iterator<Item = Self> {
        let both = ROOTS.into_iter().flat_map(|roots| [false, true].map(|lines| Self { roots, lines }));
        both.filter(|noise| !(noise.lines && noise.roots.0 == 1.0))
    }

    /// How many bins of a segment the change before it reaches into.
    pub fn reach(&self) -> usize {
        1 + usize::from(self.roots.1 > 0.0)
    }

    /// Takes the autocorrelation out; NaN where a bin that is needed is missing.
    pub fn whiten(&self, values: &[f64]) -> Vec<f64> {
        let once = |values: &[f64], root: f64| -> Vec<f64> {
            let before = std::iter::once(f64::NAN).chain(values.iter().copied());
            // White noise needs no bin before it, also after a gap.
            before.zip(values).map(|(before, now)| if root == 0.0 { *now } else { now - root * before }).collect()
        };
        let first = once(values, self.roots.0);
        if self.roots.1 > 0.0 { once(&first, self.roots.1) } else { first }
    }
}

/// −2 ln likelihood of innovations under Student's t with `tail` degrees of freedom, the scale fitted, less n(1 + ln 2π).
///
/// `floor` is the least scale that is believed: recordings repeat rounded values, which a scale of nothing would make certain.
pub fn deviance(innovations: &[f64], tail: f64, floor: f64, scratch: &mut Vec<f64>) -> f64 {
    let n = innovations.len() as f64;
    let least = floor * floor;
    if tail.is_infinite() {
        let mean = innovations.iter().map(|e| e * e).sum::<f64>() / n;
        let square = mean.max(least);
        return n * square.ln() + n * (mean / square - 1.0);
    }
    scratch.clear();
    scratch.extend(innovations.iter().map(|e| e.abs()));
    let middle = scratch.len() / 2;
    let median = *scratch.select_nth_unstable_by(middle, f64::total_cmp).1;
    let mut square = (2.2 * median * median).max(least);
    // Fifteen rounds of expectation and maximization settle the scale to far less than what the prior leaves open.
    for _ in 0..15 {
        let weighted = innovations.iter().map(|e| (tail + 1.0) / (tail + e * e / square) * e * e).sum::<f64>();
        square = (weighted / n).max(least);
    }
    // ln Γ((ν+1)/2) − ln Γ(ν/2) − ½ ln(νπ): 1/√8 for ν = 2, 3/8 for ν = 4.
    let constant = if tail < 3.0 { -1.039_720_770_8 } else { -0.980_829_253 };
    let tails = innovations.iter().map(|e| (e * e / square / tail).ln_1p()).sum::<f64>();
    n * square.ln() - 2.0 * n * constant + (tail + 1.0) * tails - n * (1.0 + std::f64::consts::TAU.ln())
}
