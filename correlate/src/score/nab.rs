//! The score of the Numenta Anomaly Benchmark (Lavin and Ahmad 2015), as its own `sweeper` computes it.
//!
//! Around each labelled anomaly lies a window. The earliest detection in a window earns σ(position), from nearly 1 at its start
//! to 0 at its end; a window without detection costs; every detection outside costs, less so shortly after a window. One threshold
//! for the whole corpus, the best one. 0 is a detector that says nothing, 100 one that detects every window in its first
//! record and nothing else.

/// What right and wrong detections are worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Profile {
    /// The benchmark's name for it.
    pub name: &'static str,
    hit: f64,
    false_alarm: f64,
    miss: f64,
}

/// The benchmark's three profiles.
pub const PROFILES: [Profile; 3] = [
    Profile { name: "standard", hit: 1.0, false_alarm: 0.11, miss: 1.0 },
    Profile { name: "reward_low_FP_rate", hit: 1.0, false_alarm: 0.22, miss: 1.0 },
    Profile { name: "reward_low_FN_rate", hit: 1.0, false_alarm: 0.11, miss: 2.0 },
];

/// One recording's scores and labels.
#[derive(Debug, Clone)]
pub struct Scored {
    /// The anomaly score of each record, any scale, larger is more anomalous.
    pub scores: Vec<f64>,
    /// First and last record of each window, in order of time.
    pub windows: Vec<(usize, usize)>,
}

/// The share of a recording, of at most 5,000 records, in which a detector learns and nothing counts.
const PROBATION: f64 = 0.15;

/// The records of a recording of `n` that do not count.
pub fn probation(n: usize) -> usize {
    let most = (PROBATION * 5000.0) as usize;
    ((PROBATION * n as f64) as usize).min(most)
}

fn sigmoid(position: f64) -> f64 {
    if position > 3.0 { -1.0 } else { 2.0 / (1.0 + (5.0 * position).exp()) - 1.0 }
}

/// A record in the sweep: its score, what a detection there is worth, and its window in the corpus.
struct Record {
    score: f64,
    worth: f64,
    window: Option<usize>,
}

fn records(recording: &Scored, profile: &Profile, first_window: usize, all: &mut Vec<Record>) {
    let n = recording.scores.len();
    let mut next = 0;
    let mut last: Option<(usize, usize)> = None;
    for (at, score) in recording.scores.iter().copied().enumerate() {
        while recording.windows.get(next).is_some_and(|window| window.1 < at) {
            last = Some(recording.windows[next]);
            next += 1;
        }
        let inside = recording.windows.get(next).filter(|window| window.0 <= at);
        let worth = match (inside, last) {
            (Some((from, until)), _) => {
                let width = (until - from + 1) as f64;
                sigmoid(-((until - at + 1) as f64) / width) * profile.hit / sigmoid(-1.0)
            }
            (None, Some((from, until))) => sigmoid((at - until) as f64 / (until - from) as f64) * profile.false_alarm,
            (None, None) => -profile.false_alarm,
        };
        if at >= probation(n) {
            all.push(Record { score, worth, window: inside.map(|_| first_window + next) });
        }
    }
}

/// The corpus' score under a profile, with the threshold that makes it best: a record is a detection at or above it.
pub fn score(corpus: &[Scored], profile: &Profile) -> (f64, f64) {
    let mut all = Vec::new();
    let mut n_windows = 0;
    for recording in corpus {
        records(recording, profile, n_windows, &mut all);
        n_windows += recording.windows.len();
    }
    // Windows that lie in the probation alone never count.
    let mut counted = vec![false; n_windows];
    all.iter().filter_map(|record| record.window).for_each(|window| counted[window] = true);
    let n_counted = counted.iter().filter(|counted| **counted).count() as f64;
    let silence = -profile.miss * n_counted;
    let perfect = profile.hit * n_counted;
    all.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut earned = vec![-profile.miss; n_windows];
    let (mut total, mut best) = (silence, (silence, f64::INFINITY));
    for same in all.chunk_by(|a, b| a.score == b.score) {
        for record in same {
            match record.window {
                Some(window) if record.worth > earned[window] => {
                    total += record.worth - earned[window];
                    earned[window] = record.worth;
                }
                Some(_) => {}
                None => total += record.worth,
            }
        }
        if total > best.0 {
            best = (total, same[0].score);
        }
    }
    (100.0 * (best.0 - silence) / (perfect - silence), best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(n: usize, windows: &[(usize, usize)], alarms: &[usize]) -> Scored {
        let mut scores = vec![0.0; n];
        alarms.iter().for_each(|at| scores[*at] = 1.0);
        Scored { scores, windows: windows.to_vec() }
    }

    #[test]
    fn silence_is_worth_nothing_and_perfection_a_hundred() {
        for profile in &PROFILES {
            let windows = [(300, 399), (700, 799)];
            assert_eq!(score(&[recording(1000, &windows, &[])], profile).0, 0.0);
            let (perfect, threshold) = score(&[recording(1000, &windows, &[300, 700])], profile);
            assert!((perfect - 100.0).abs() < 1e-9, "{}: {perfect}", profile.name);
            assert_eq!(threshold, 1.0);
        }
    }

    #[test]
    fn later_is_worth_less_and_a_second_detection_nothing() {
        let standard = &PROFILES[0];
        let at = |alarms: &[usize]| score(&[recording(1000, &[(300, 399)], alarms)], standard).0;
        assert!(at(&[300]) > at(&[350]) && at(&[350]) > at(&[399]));
        assert_eq!(at(&[350]), at(&[350, 380]));
        // Halfway in, σ(−0.51)/σ(−1) of the way from a miss to a hit: ((0.855 / 0.987) + 1)/2.
        assert!((at(&[350]) - 93.0).abs() < 0.5, "{}", at(&[350]));
    }

    #[test]
    fn a_false_alarm_costs_its_weight_and_less_just_after_a_window() {
        let standard = &PROFILES[0];
        let at = |alarms: &[usize]| score(&[recording(1000, &[(300, 399)], alarms)], standard).0;
        assert!((at(&[300, 200]) - (100.0 - 100.0 * 0.11 / 2.0)).abs() < 1e-9);
        assert!(at(&[300, 405]) > at(&[300, 450]) && at(&[300, 450]) > at(&[300, 900]));
        assert_eq!(at(&[300, 100]), 100.0, "the probation does not count");
    }

    #[test]
    fn a_threshold_is_one_for_the_whole_corpus() {
        // The second recording's false alarms at the height of the first's hit: worth it while they cost less than the hit earns.
        let quiet = recording(1000, &[(300, 399)], &[300]);
        let loud = recording(1000, &[], &[500, 600]);
        let both = score(&[quiet.clone(), loud], &PROFILES[0]).0;
        assert!((both - (100.0 - 100.0 * 0.22 / 2.0)).abs() < 1e-9, "{both}");
    }
}
