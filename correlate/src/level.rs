//! Values that have a level, such as the logarithm of a latency: has the level changed?
//!
//! The noise is AR(1) around a level: `x_t − μ = φ(x_{t−1} − μ) + ε_t`. In the whitened series `y_t = x_t − φ x_{t−1}` a step of
//! size δ shows as δ·h with `h = 1, 1−φ, 1−φ, …`, a ramp as `h_i = 1 + (1−φ)i`, a blip of ℓ bins as a step that ends with −φ, a
//! fade as `h_i = f^{i−1}(f − φ)`. With u = y less its mean over the M bins before the onset, and
//!
//! ```text
//! B = Σ u h,   Q = Σ h² + (Σ h)²/M,   I = (Σ h²)²/Q,   z = B/√Q
//! ln BF = −½ ln(1 + V·I) + (ν+n)/2 · ln[ S / (S − (B²/Q)·V·I/(1+V·I)) ] + ln 2Φ(z/s'),   S = ν s² + Σ u²
//! ```
//!
//! is the normal-inverse-gamma Bayes factor (Zellner 1986; O'Hagan and Forster 2004, chapter 9) with the mean's own error in Q, δ ~ N(0, V s²) cut to the
//! bad direction, and the variance known as from ν bins: it falls back from Gauss to Student's t, so that neither one
//! outlier nor a burst of noise can look like a step. Dividing by c² (below) repairs what AR(1) does not explain.

use deployline_schemas::signal::Bad;

use crate::{
    normal::{LogSum, ln_phi},
    window::{BINS, ONSET_BINS, Window},
};

mod roughness;

pub use roughness::{Roughness, Usual};

/// How many bins before an onset set the level it is compared with: 30 minutes at 10 s.
const LEVEL_BINS: usize = 180;
/// How many bins the baseline's variance is worth against the variance since the onset.
const VARIANCE_BINS: f64 = 14.0;
/// Horizons at which the placebo scale is measured, in bins.
const HORIZONS: [usize; 6] = [2, 5, 10, 20, 40, 80];
/// Standard deviations of a step's size in natural logarithms, equally likely: 8 %, 28 %, double.
const LOG_SIZES: [f64; 3] = [0.08, 0.25, 0.7];
/// The same for levels that are no logarithms, in standard deviations of the baseline.
const PLAIN_SIZES: [f64; 3] = [2.0, 6.0, 18.0];
/// How many windows of the usual spread the placebo scale is shrunk with.
const WINDOWS_PRIOR: f64 = 6.0;
/// What a window of the past counts beside one of the baseline.
const PAST_SHARE: f64 = 0.5;
/// A ramp of full height over so many bins: 40 minutes at 10 s.
const RAMP_BINS: f64 = 240.0;
/// A ramp lives by its later part: over quiet history it spreads as a step over this share of its bins does.
const RAMP_HORIZON: f64 = 0.6;
/// Standard deviations of a ramp's height after [`RAMP_BINS`].
const RAMP_SIZES: [f64; 2] = [0.3, 0.9];
/// The standard deviation of the trend of a series of which nothing is known yet, for each bin: half as much again over a day's
/// morning at 10 s.
const YOUNG_DRIFT: f64 = 3e-4;
/// The smallest innovation's standard deviation that is believed: a constant series would make any change certain.
const LEAST_SCALE: f64 = 0.004;

/// How a level's values are made comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Natural logarithms: durations, where a change is a factor.
    Log,
    /// asinh, which is linear near zero and logarithmic far from it: gauges and counts that may be zero.
    Asinh,
}

impl Scale {
    /// The value on the scale; NaN where it has none.
    pub fn apply(self, value: f64) -> f64 {
        match self {
            Scale::Log if value > 0.0 => value.ln(),
            Scale::Log => f64::NAN,
            Scale::Asinh => value.asinh(),
        }
    }

    /// The value that [`Scale::apply`] maps to `level`.
    pub fn invert(self, level: f64) -> f64 {
        match self {
            Scale::Log => level.exp(),
            Scale::Asinh => level.sinh(),
        }
    }
}

/// The noise of a level, measured on its baseline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// The autocorrelation at one bin, `0.0..=0.95`.
    phi: f32,
    /// The innovations' standard deviation.
    scale: f32,
    /// A steady trend for each bin.
    slope: f32,
    /// How much trend for each bin there may be that the baseline is too short to show.
    drift: f32,
    /// How much wider the step statistic spreads at [`HORIZONS`] over quiet history than it should, at least 1.
    placebo: [f32; HORIZONS.len()],
    /// The square of the same as it was seen in this baseline alone; NaN where too few windows fit in.
    seen: [f32; HORIZONS.len()],
    /// Bins of the baseline.
    n_baseline: u16,
}

/// The values of `[from, until)`, NaN for gaps and bins judged bad.
fn levels(window: &Window, from: i64, until: i64, values: &mut Vec<f64>) {
    values.clear();
    values.extend((from..until).map(|bin| if window.is_bad(bin) { f64::NAN } else { window.numerator(bin) }));
}

fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

fn quantile(values: &mut [f64], share: f64) -> f64 {
    let at = ((values.len() - 1) as f64 * share) as usize;
    *values.select_nth_unstable_by(at, f64::total_cmp).1
}

impl Noise {
    /// Measures the noise on `[from, until)`; `None` with fewer than `least` bins of data.
    pub fn measure(window: &Window, from: i64, until: i64, least: usize) -> Option<Self> {
        let mut values = Vec::new();
        levels(window, from, until, &mut values);
        let mut sorted: Vec<f64> = values.iter().copied().filter(|x| x.is_finite()).collect();
        if sorted.len() < least {
            return None;
        }
        let slope = trend(&values);
        values.iter_mut().enumerate().for_each(|(at, x)| *x -= slope * at as f64);
        sorted.clear();
        sorted.extend(values.iter().copied().filter(|x| x.is_finite()));
        let level = median(&mut sorted);
        sorted.iter_mut().for_each(|x| *x = (*x - level).abs());
        let clip = 4.0 * 1.4826 * median(&mut sorted);
        // φ̂ from residuals clipped at four robust standard deviations, so that one spike does not set it, with the
        // correction (1+3φ)/m for its small-sample bias (Kendall 1954).
        let (mut cross, mut square) = (0.0, 1e-12);
        for pair in values.windows(2).filter(|pair| pair[0].is_finite() && pair[1].is_finite()) {
            let [before, now] = [pair[0], pair[1]].map(|x| (x - level).clamp(-clip, clip));
            (cross, square) = (cross + before * now, square + before * before);
        }
        let raw = cross / square;
        let phi = (raw + (1.0 + 3.0 * raw) / sorted.len() as f64).clamp(0.0, 0.95);
        let mut innovations: Vec<f64> =
            values.windows(2).map(|pair| pair[1] - phi * pair[0]).filter(|y| y.is_finite()).collect();
        if innovations.len() < least / 2 {
            return None;
        }
        let centre = median(&mut innovations.clone());
        innovations.iter_mut().for_each(|y| *y = (*y - centre).abs());
        let wide = quantile(&mut innovations, 0.95) / 1.96;
        let spread = (1.4826 * median(&mut innovations)).max(0.8 * wide).max(LEAST_SCALE);
        let short = (1.0 - values.len() as f64 / (BINS - ONSET_BINS) as f64).max(0.0);
        let drift = (YOUNG_DRIFT * short) as f32;
        let mut noise = Self {
            phi: phi as f32,
            scale: spread as f32,
            slope: slope as f32,
            drift,
            placebo: [1.0; HORIZONS.len()],
            seen: [f32::NAN; HORIZONS.len()],
            n_baseline: 0,
        };
        noise.seen = noise.placebo_squares(&values);
        noise.n_baseline = values.len() as u16;
        Some(noise.shrunk(&Roughness::default(), &Usual::default()))
    }

    /// The square of how much wider than N(0, 1) the step statistic spreads at every second quiet moment of the baseline. `values`
    /// have their trend taken out.
    fn placebo_squares(&self, values: &[f64]) -> [f32; HORIZONS.len()] {
        let sums = Sums::of(values, f64::from(self.phi), 0.0);
        HORIZONS.map(|horizon| {
            let mut statistics: Vec<f64> = (40..values.len().saturating_sub(horizon))
                .step_by(2)
                .filter_map(|onset| sums.statistic(Template::Step, onset, horizon, onset + horizon))
                .map(|s| (s.z / f64::from(self.scale)).abs())
                .collect();
            if statistics.len() < 20 {
                return f32::NAN;
            }
            let spread = (quantile(&mut statistics, 0.68)).max(quantile(&mut statistics, 0.95) / 1.96);
            (spread * spread) as f32
        })
    }

    /// The same noise with the placebo scale that this baseline, the signal's past and what is usual among its like make
    /// together. A horizon that fits in only n times has been seen n times: by √(1 + 1/n) wider.
    pub fn shrunk(mut self, past: &Roughness, usual: &Usual) -> Self {
        let mut largest = 1.0f64;
        let length = f64::from(self.n_baseline);
        for (at, horizon) in HORIZONS.into_iter().enumerate() {
            let seen = f64::from(self.seen[at]);
            if seen.is_finite() {
                // Long horizons have few independent windows: shrunk by as many windows as are usual, but never less than
                // half of what the shorter horizon shows.
                let windows = length / horizon as f64;
                let [more, squares] = [past.windows[at], past.squares[at]].map(|x| PAST_SHARE * f64::from(x));
                let shrunk = (WINDOWS_PRIOR * f64::from(usual.0[at]) + windows * seen + squares)
                    / (WINDOWS_PRIOR + windows + more);
                largest = shrunk.sqrt().max(1.0).max(1.0 + 0.5 * (largest - 1.0));
            } else {
                // Never seen: a trend that the history is too short to show would look like a step.
                largest *= 1.4;
            }
            // A young baseline has not shown yet what it can do.
            let young = 1.0 + 0.25 * (1.0 - length / (BINS - ONSET_BINS) as f64).max(0.0);
            self.placebo[at] = (largest * young * (1.0 + 0.5 * horizon as f64 / length).sqrt()) as f32;
        }
        self
    }

    fn placebo_at(&self, horizon: usize) -> f64 {
        let after = HORIZONS.iter().position(|h| *h >= horizon).unwrap_or(HORIZONS.len() - 1);
        let before = after.saturating_sub(1);
        let (low, high) = (HORIZONS[before] as f64, HORIZONS[after] as f64);
        let share = if after == before { 1.0 } else { ((horizon as f64 - low) / (high - low)).clamp(0.0, 1.0) };
        f64::from(self.placebo[before]) * (1.0 - share) + f64::from(self.placebo[after]) * share
    }

    /// The standard deviation of one bin around the level.
    pub fn spread(&self) -> f64 {
        f64::from(self.scale) / (1.0 - f64::from(self.phi).powi(2)).sqrt()
    }

    /// The standard deviation of a mean of `n` bins around the level, the placebo scale included.
    pub fn spread_of_mean(&self, n: usize) -> f64 {
        f64::from(self.scale) / (1.0 - f64::from(self.phi)) / (n as f64).sqrt() * self.placebo_at(n)
    }

    /// The same noise, its placebo scale not above `most` (1 or more) and no drift feared: for long bins, of which there are
    /// never many.
    pub fn with_placebo_at_most(mut self, most: f32) -> Self {
        self.placebo = self.placebo.map(|scale| scale.min(most));
        self.drift = 0.0;
        self
    }

    /// The steady trend for each bin.
    pub fn slope(&self) -> f64 {
        f64::from(self.slope)
    }
}

/// The slope for each bin that Theil and Sen's estimator finds over twelve block medians (Sen 1968), where it is beyond doubt; else 0.
fn trend(values: &[f64]) -> f64 {
    let size = values.len() / 12;
    if size < 10 {
        return 0.0;
    }
    let blocks: Vec<(f64, f64)> = values
        .chunks_exact(size)
        .enumerate()
        .filter_map(|(at, block)| {
            let mut block: Vec<f64> = block.iter().copied().filter(|x| x.is_finite()).collect();
            (block.len() >= size / 2).then(|| (((at as f64 + 0.5) * size as f64), median(&mut block)))
        })
        .collect();
    let mut slopes = Vec::new();
    for (at, (x, y)) in blocks.iter().enumerate() {
        slopes.extend(blocks[at + 1..].iter().map(|(x2, y2)| (y2 - y) / (x2 - x)));
    }
    if slopes.len() < 28 {
        return 0.0;
    }
    let agreeing = |sign: f64| slopes.iter().filter(|slope| **slope * sign > 0.0).count() as f64 / slopes.len() as f64;
    // Kendall's τ of twelve blocks: 85 % of pairs in order is τ = 0.7, p < 0.001 without a trend.
    if agreeing(1.0).max(agreeing(-1.0)) < 0.85 { 0.0 } else { median(&mut slopes) }
}

/// The shape that a change is asked about.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Template {
    Step,
    Ramp,
    Blip,
}

struct Statistic {
    z: f64,
    information: f64,
    squares: f64,
    n: f64,
    is_ramp: bool,
}

/// Prefix sums of the whitened series: any template at any onset costs O(1).
#[derive(Debug, Default)]
pub struct Sums {
    y: Vec<f64>,
    /// Σ1, Σt, Σt² and Σy, Σty, Σy² over the bins present before each.
    ones: Vec<[f64; 3]>,
    ys: Vec<[f64; 3]>,
    phi: f64,
}

impl Sums {
    fn of(values: &[f64], phi: f64, slope: f64) -> Self {
        let mut sums = Self::default();
        sums.fill_values(values, phi, slope);
        sums
    }

    /// Whitens and adds up the last bins before `end`.
    pub fn fill(&mut self, window: &Window, noise: &Noise, end: i64, scratch: &mut Vec<f64>) {
        let from = window.oldest().max(end - (LEVEL_BINS + ONSET_BINS + 1) as i64);
        levels(window, from, end, scratch);
        self.fill_values(scratch, f64::from(noise.phi), f64::from(noise.slope));
    }

    fn fill_values(&mut self, values: &[f64], phi: f64, slope: f64) {
        self.phi = phi;
        self.y.clear();
        self.ones.clear();
        self.ys.clear();
        let (mut one, mut sum) = ([0.0; 3], [0.0; 3]);
        let mut before = f64::NAN;
        for (t, x) in values.iter().enumerate() {
            self.ones.push(one);
            self.ys.push(sum);
            let t = t as f64;
            let x = x - slope * t;
            let y = x - phi * before;
            before = x;
            self.y.push(y);
            if y.is_finite() {
                one = [one[0] + 1.0, one[1] + t, one[2] + t * t];
                sum = [sum[0] + y, sum[1] + t * y, sum[2] + y * y];
            }
        }
        self.ones.push(one);
        self.ys.push(sum);
    }

    /// Bins added up.
    pub fn n_bins(&self) -> usize {
        self.y.len()
    }

    /// The mean of y before `onset`, with how many bins it rests on.
    fn before(&self, onset: usize) -> Option<(f64, f64)> {
        let from = onset.saturating_sub(LEVEL_BINS);
        let n = self.ones[onset][0] - self.ones[from][0];
        (n >= 20.0).then(|| ((self.ys[onset][0] - self.ys[from][0]) / n, n))
    }

    /// A template of `length` bins at `onset`, judged on the bins up to `end`.
    fn statistic(&self, template: Template, onset: usize, length: usize, end: usize) -> Option<Statistic> {
        let (mean, m) = self.before(onset)?;
        let phi = self.phi;
        let g = 1.0 - phi;
        let sums = |until: usize| {
            let (a, b) = (self.ones[until], self.ones[onset]);
            let (p, q) = (self.ys[until], self.ys[onset]);
            let n = [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
            let y = [p[0] - q[0] - mean * n[0], p[1] - q[1] - mean * n[1]];
            (n, y, p[2] - q[2] - 2.0 * mean * (p[0] - q[0]) + mean * mean * n[0])
        };
        let (all, _, squares) = sums(end);
        let (n, u, _) = sums((onset + length).min(end));
        if n[0] < 1.0 {
            return None;
        }
        let at = |t: usize| self.y.get(t).filter(|_| t < end).map_or(f64::NAN, |y| y - mean);
        let first = at(onset);
        let (has_first, first) = if first.is_finite() { (1.0, first) } else { (0.0, 0.0) };
        let (mut dot, mut h1, mut h2);
        match template {
            Template::Step | Template::Blip => {
                dot = g * u[0] + (1.0 - g) * first;
                h1 = g * n[0] + (1.0 - g) * has_first;
                h2 = g * g * n[0] + (1.0 - g * g) * has_first;
                let last = at(onset + length);
                if template == Template::Blip && last.is_finite() {
                    (dot, h1, h2) = (dot - phi * last, h1 - phi, h2 + phi * phi);
                }
            }
            Template::Ramp => {
                let t0 = onset as f64;
                let (i1, i2) = (n[1] - t0 * n[0], n[2] - 2.0 * t0 * n[1] + t0 * t0 * n[0]);
                dot = u[0] + g * (u[1] - t0 * u[0]);
                h1 = n[0] + g * i1;
                h2 = n[0] + 2.0 * g * i1 + g * g * i2;
                (dot, h1, h2) = (dot / RAMP_BINS, h1 / RAMP_BINS, h2 / (RAMP_BINS * RAMP_BINS));
            }
        }
        let q = h2 + h1 * h1 / m;
        (q > 0.0).then(|| Statistic {
            z: dot / q.sqrt(),
            information: h2 * h2 / q,
            squares,
            n: all[0],
            is_ramp: template == Template::Ramp,
        })
    }

    /// The statistic of a change that fades by the factor `fade` each bin.
    fn fading(&self, onset: usize, fade: f64) -> Option<Statistic> {
        let (mean, m) = self.before(onset)?;
        let (mut dot, mut h1, mut h2, mut squares, mut n) = (0.0, 0.0, 0.0, 0.0, 0.0);
        let (mut h, mut power) = (1.0, 1.0);
        for y in &self.y[onset..] {
            if y.is_finite() {
                let u = y - mean;
                (dot, h1, h2, squares, n) = (dot + u * h, h1 + h, h2 + h * h, squares + u * u, n + 1.0);
            }
            h = power * (fade - self.phi);
            power *= fade;
        }
        let q = h2 + h1 * h1 / m;
        (q > 0.0 && n > 0.0).then(|| Statistic {
            z: dot / q.sqrt(),
            information: h2 * h2 / q,
            squares,
            n,
            is_ramp: false,
        })
    }

    fn ln_factor(&self, s: Option<Statistic>, horizon: usize, noise: &Noise, scale: Scale, direction: Bad) -> f64 {
        let Some(s) = s else { return 0.0 };
        let one = |sign: f64| ln_factor(&s, sign, noise, scale) / noise.placebo_at(horizon).powi(2);
        match direction {
            Bad::Up => one(1.0),
            Bad::Down => one(-1.0),
            Bad::Either => [one(1.0), one(-1.0)].into_iter().collect::<LogSum>().ln() - std::f64::consts::LN_2,
        }
    }

    /// ln BF of a step that began `age` bins ago.
    pub fn ln_step(&self, age: usize, noise: &Noise, scale: Scale, direction: Bad) -> f64 {
        self.ln_template(Template::Step, age, noise, scale, direction)
    }

    /// ln BF of a ramp that began `age` bins ago.
    pub fn ln_ramp(&self, age: usize, noise: &Noise, scale: Scale, direction: Bad) -> f64 {
        self.ln_template(Template::Ramp, age, noise, scale, direction)
    }

    fn ln_template(&self, template: Template, age: usize, noise: &Noise, scale: Scale, direction: Bad) -> f64 {
        let Some(onset) = self.n_bins().checked_sub(age).filter(|onset| *onset > 0) else { return 0.0 };
        let statistic = self.statistic(template, onset, age, self.n_bins());
        let horizon = if template == Template::Ramp { (age as f64 * RAMP_HORIZON) as usize } else { age };
        self.ln_factor(statistic, horizon.max(1), noise, scale, direction)
    }

    /// ln BF of a change that began `age` bins ago and was over after `length` bins.
    pub fn ln_blip(&self, age: usize, length: usize, noise: &Noise, scale: Scale, direction: Bad) -> f64 {
        let Some(onset) = self.n_bins().checked_sub(age).filter(|onset| *onset > 0) else { return 0.0 };
        let statistic = self.statistic(Template::Blip, onset, length, self.n_bins());
        self.ln_factor(statistic, age, noise, scale, direction)
    }

    /// ln BF of a change that began `age` bins ago and fades by the factor `fade` each bin.
    pub fn ln_fading(&self, age: usize, fade: f64, noise: &Noise, scale: Scale, direction: Bad) -> f64 {
        let Some(onset) = self.n_bins().checked_sub(age).filter(|onset| *onset > 0) else { return 0.0 };
        self.ln_factor(self.fading(onset, fade), age, noise, scale, direction)
    }
}

/// The module's formula for one direction.
fn ln_factor(s: &Statistic, sign: f64, noise: &Noise, scale: Scale) -> f64 {
    let variance = f64::from(noise.scale).powi(2);
    let total = VARIANCE_BINS * variance + s.squares;
    // An unknown trend moves the mean by itself over half the baseline and half the stretch.
    let trend = f64::from(noise.drift) * 0.5 * (s.n + LEVEL_BINS as f64);
    let known = 1.0 / (1.0 + s.information * trend * trend / variance);
    let gain = s.z * s.z * known;
    let (sizes, unit) = match scale {
        Scale::Log if s.is_ramp => (RAMP_SIZES.as_slice(), variance),
        Scale::Log => (LOG_SIZES.as_slice(), variance),
        Scale::Asinh => (PLAIN_SIZES.as_slice(), 1.0),
    };
    let each = sizes.iter().map(|size| {
        let vi = size * size / unit * s.information;
        let share = vi / (1.0 + vi);
        let left = (total - gain * share).max(1e-3 * total);
        let spread = (left / (VARIANCE_BINS + s.n)).sqrt();
        -0.5 * vi.ln_1p()
            + 0.5 * (VARIANCE_BINS + s.n) * (total / left).ln()
            + std::f64::consts::LN_2
            + ln_phi(sign * s.z * share.sqrt() / spread)
    });
    each.collect::<LogSum>().ln() - (sizes.len() as f64).ln()
}

/// The mean level and how many bins it rests on, over `[from, until)`, bins judged bad left out when asked.
pub fn mean_level(window: &Window, from: i64, until: i64, with_bad: bool) -> (f64, usize) {
    let (sum, n) = (from..until)
        .filter(|bin| with_bad || !window.is_bad(*bin))
        .map(|bin| window.numerator(bin))
        .filter(|x| x.is_finite())
        .fold((0.0, 0usize), |(sum, n), x| (sum + x, n + 1));
    (sum / n.max(1) as f64, n)
}
