//! How unusual is each record of a stream, in the light of what came before it?
//!
//! For one series without deploys, signal or direction: seven views of it, each compared with its own past.
//!
//! ```text
//! views    x − median of the last 1,000 records, above it and below it;  |x − before|;  |means over 6 and over 30 records − slow mean|;
//!          jitter (mean |x − before| over 12 against 400 records);  |mean over 6 records − the same a day earlier|
//! rarity   −ln P(view ≥ now):  counts within the past; beyond its largest 2 %, a Pareto tail with Hill's estimate (1975)
//! score    Σ max(0, rarity − 4),  told where it is 1.3 times what was told within the last 100 records
//! ```
//!
//! A stream of jumps thus needs a larger jump, and one stretch of trouble is told once. The tail over a high quantile is that of
//! Siffer et al. (2017), with Hill's estimator for their likelihood fit. Causal and bounded: some 22 KB for a series and O(1) a
//! record but for a median at every 25th.

use std::collections::VecDeque;

mod tail;

use tail::Tail;

/// Records behind the median.
const LONG: usize = 1000;
/// The median is renewed at every so many records.
const RENEWED: u64 = 25;
/// Records of a stretch of trouble that is told once.
const HOLD: u64 = 100;
/// By how much a score must exceed the last one told within [`HOLD`].
const WORSE: f64 = 1.3;
/// Rarity that is everyday: one record in 55.
const USUAL_RARITY: f64 = 4.0;
/// Records before anything is remembered, and before anything is judged.
const SETTLING: u64 = 30;
const WARM: u64 = 60;
/// Views of a series.
const VIEWS: usize = 7;
/// The view that looks at the day before.
const DAILY: usize = 6;
/// Records of the mean that is compared with the day before.
const DAILY_MEAN: usize = 6;

/// A moving mean that forgets.
fn follow(mean: &mut f64, value: f64, records: f64) {
    *mean += (value - *mean) / records;
}

/// What one series was like so far.
#[derive(Debug, Clone)]
pub struct Unusual {
    past: VecDeque<f64>,
    n_seen: u64,
    /// Records in a day; the daily view needs more than 20.
    day: usize,
    tails: [Tail; VIEWS],
    median: f64,
    slow: f64,
    middle: f64,
    fast: f64,
    jitter: f64,
    fast_jitter: f64,
    told: f64,
    since_told: u64,
}

impl Unusual {
    /// Nothing seen yet of a series with a record every `interval_s` seconds (1 or more).
    pub fn new(interval_s: u32) -> Self {
        let day = (86_400.0 / f64::from(interval_s.max(1))).round().max(1.0) as usize;
        Self {
            past: VecDeque::new(),
            n_seen: 0,
            day,
            tails: std::array::from_fn(|_| Tail::default()),
            median: 0.0,
            slow: 0.0,
            middle: 0.0,
            fast: 0.0,
            jitter: 0.0,
            fast_jitter: 0.0,
            told: 0.0,
            since_told: 0,
        }
    }

    /// Takes the next record and tells how unusual it is: 0 for usual, and for what was told already. A value that is no number
    /// is a gap: 0, and nothing is learned.
    pub fn score(&mut self, value: f64) -> f64 {
        if !value.is_finite() {
            return 0.0;
        }
        let views = self.views(value);
        let judged = self.n_seen;
        let mut sum = 0.0;
        for (view, (tail, size)) in self.tails.iter_mut().zip(views).enumerate() {
            let day = if view == DAILY { self.day as u64 } else { 0 };
            if judged >= WARM.max(if day > 0 { 2 * day + 12 } else { 0 }) && size > 0.0 {
                sum += (tail.rarity(size) - USUAL_RARITY).max(0.0);
            }
            if judged >= SETTLING && (day == 0 || judged > day + 12) {
                tail.take(size);
            }
        }
        self.past.push_back(value);
        if self.past.len() > LONG.max(self.day + DAILY_MEAN) {
            self.past.pop_front();
        }
        self.n_seen += 1;
        self.tell(sum)
    }

    /// The sizes of what the views see in `value`.
    fn views(&mut self, value: f64) -> [f64; VIEWS] {
        let before = self.past.back().copied();
        if before.is_none() {
            (self.median, self.slow, self.middle, self.fast) = (value, value, value, value);
        }
        if self.n_seen.is_multiple_of(RENEWED) && self.n_seen > 20 {
            let mut recent: Vec<f64> = self.past.iter().rev().take(LONG).copied().collect();
            let middle = recent.len() / 2;
            self.median = *recent.select_nth_unstable_by(middle, f64::total_cmp).1;
        }
        let off = value - self.median;
        let step = (value - before.unwrap_or(value)).abs();
        follow(&mut self.fast, value, 6.0);
        follow(&mut self.middle, value, 30.0);
        let (fast, middle) = ((self.fast - self.slow).abs(), (self.middle - self.slow).abs());
        follow(&mut self.slow, value, (self.day as f64).clamp(100.0, 400.0));
        follow(&mut self.fast_jitter, step, 12.0);
        let jitter = if self.jitter > 0.0 { self.fast_jitter / self.jitter } else { 0.0 };
        follow(&mut self.jitter, step, 400.0);
        [off.max(0.0), (-off).max(0.0), step, fast, middle, jitter, self.since_yesterday(value).unwrap_or(0.0)]
    }

    /// How far the mean of the last records lies from the same a day earlier.
    fn since_yesterday(&self, value: f64) -> Option<f64> {
        if self.day <= 20 || self.n_seen as usize <= self.day + 12 {
            return None;
        }
        let mut newest_first = self.past.iter().rev();
        let now: f64 = value + newest_first.by_ref().take(DAILY_MEAN - 1).sum::<f64>();
        let then: f64 = self.past.iter().rev().skip(self.day - 1).take(DAILY_MEAN).sum();
        Some(((now - then) / DAILY_MEAN as f64).abs())
    }

    /// What is left of a score after what was told within [`HOLD`].
    fn tell(&mut self, score: f64) -> f64 {
        self.since_told += 1;
        if self.since_told > HOLD {
            self.told = 0.0;
        }
        if score <= self.told * WORSE || score == 0.0 {
            return 0.0;
        }
        (self.told, self.since_told) = (score, 0);
        score
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A daily wave with a little of everything on it, at 5 minutes.
    fn wave(t: u64) -> f64 {
        let day = (t % 288) as f64 / 288.0 * std::f64::consts::TAU;
        10.0 + 3.0 * day.sin() + ((t * 7919) % 101) as f64 / 101.0
    }

    fn scores(values: impl Iterator<Item = f64>) -> Vec<f64> {
        let mut unusual = Unusual::new(300);
        values.map(|value| unusual.score(value)).collect()
    }

    #[test]
    fn a_jump_is_the_most_unusual_record_and_is_told_once() {
        let scores = scores((0..3000).map(|t| wave(t) + if t >= 2500 { 40.0 } else { 0.0 }));
        let quiet = scores[500..2500].iter().copied().fold(0.0, f64::max);
        assert!(scores[2500] > 3.0 * quiet.max(1.0), "{} after {quiet}", scores[2500]);
        assert_eq!(scores[2520..2560].iter().copied().fold(0.0, f64::max), 0.0, "told already");
    }

    #[test]
    fn what_is_missing_from_a_day_is_unusual_though_each_value_is_common() {
        let scores = scores((0..4000).map(|t| if (3000..3100).contains(&t) { wave(216) } else { wave(t) }));
        let quiet = scores[700..3000].iter().copied().fold(0.0, f64::max);
        let missing = scores[3000..3100].iter().copied().fold(0.0, f64::max);
        assert!(missing > quiet.max(1.0), "{missing} after {quiet}");
    }

    #[test]
    fn the_score_is_causal_and_gaps_teach_nothing() {
        let whole = scores((0..1500).map(wave));
        let cut = scores((0..900).map(wave));
        assert_eq!(whole[..900], cut[..]);
        let with_gaps = scores((0..900).flat_map(|t| [wave(t), f64::NAN]));
        assert!(with_gaps.iter().step_by(2).eq(cut.iter()));
    }

    #[test]
    fn a_constant_is_never_unusual_until_it_moves() {
        let scores = scores((0..500).map(|t| if t < 400 { 5.0 } else { 6.0 }));
        assert!(scores[..400].iter().all(|score| *score == 0.0));
        assert!(scores[400] > 0.0);
    }
}
