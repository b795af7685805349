//! The two scores of the Turing Change Point Dataset (van den Burg and Williams 2020, sections 3.1 and 3.2).
//!
//! Each recording was annotated by several people, who disagree: each one's answer counts.

use std::collections::BTreeSet;

use crate::changepoints::Change;

/// Places that differ by no more are the same, in bins: the benchmark's margin.
pub const MARGIN: usize = 5;

/// The F1 score of `found` places: precision against the union of all annotators' places, recall as the mean over annotators.
///
/// The first bin counts as a change for both sides, so that nobody's answer is empty. NaN without annotators.
pub fn f1(annotators: &[Vec<usize>], found: &[usize]) -> f64 {
    let with_start = |places: &[usize]| -> BTreeSet<usize> { places.iter().copied().chain([0]).collect() };
    let found = with_start(found);
    let all: Vec<BTreeSet<usize>> = annotators.iter().map(|places| with_start(places)).collect();
    let union: BTreeSet<usize> = all.iter().flatten().copied().collect();
    let precision = matched(&union, &found) as f64 / found.len() as f64;
    let recalls = all.iter().map(|places| matched(places, &found) as f64 / places.len() as f64);
    let recall = recalls.sum::<f64>() / all.len() as f64;
    2.0 * precision * recall / (precision + recall)
}

/// How many true places have a found one of their own within the margin, the closest first.
fn matched(places: &BTreeSet<usize>, found: &BTreeSet<usize>) -> usize {
    let mut left = found.clone();
    let mut matched = 0;
    for place in places {
        let near = left.range(place.saturating_sub(MARGIN)..=place + MARGIN);
        if let Some(nearest) = near.min_by_key(|at| at.abs_diff(*place)).copied() {
            left.remove(&nearest);
            matched += 1;
        }
    }
    matched
}

/// How well the segments that `found` makes of `n` bins cover each annotator's: the overlap (Jaccard) of each annotated segment
/// with the best found one, weighted by length; the mean over annotators. 1 is the best.
pub fn covering(annotators: &[Vec<usize>], found: &[usize], n: usize) -> f64 {
    let found = segments(found, n);
    let each = annotators.iter().map(|places| {
        let covered = segments(places, n).into_iter().map(|segment| {
            let best = found.iter().map(|other| overlap(segment, *other)).fold(0.0, f64::max);
            (segment.1 - segment.0) as f64 * best
        });
        covered.sum::<f64>() / n as f64
    });
    each.sum::<f64>() / annotators.len() as f64
}

/// A recording with the places that each annotator marked.
#[derive(Debug, Clone)]
pub struct Annotated {
    /// Evenly spaced values, NaN for gaps.
    pub values: Vec<f64>,
    /// The places by annotator.
    pub annotators: Vec<Vec<usize>>,
}

impl Annotated {
    /// F1 and covering of the changes that were found. A spike is two changes.
    pub fn judge(&self, changes: &[Change]) -> (f64, f64) {
        let places: Vec<usize> = changes.iter().flat_map(|change| [Some(change.at), change.until]).flatten().collect();
        (f1(&self.annotators, &places), covering(&self.annotators, &places, self.values.len()))
    }
}

/// The mean F1 and the mean covering.
pub fn mean(scores: &[(f64, f64)]) -> (f64, f64) {
    let n = scores.len() as f64;
    scores.iter().fold((0.0, 0.0), |sum, score| (sum.0 + score.0 / n, sum.1 + score.1 / n))
}

/// What tuning would have brought: each recording judged under the setting that is best, by F1 + covering, on all the others.
/// `by_setting` holds each setting's scores, recordings in the same order.
pub fn leave_one_out(by_setting: &[Vec<(f64, f64)>]) -> (f64, f64) {
    let n_recordings = by_setting.first().map_or(0, Vec::len);
    let left_out = (0..n_recordings).filter_map(|left_out| {
        let others = |scores: &[(f64, f64)]| -> f64 {
            scores.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, score)| score.0 + score.1).sum()
        };
        by_setting.iter().max_by(|a, b| others(a).total_cmp(&others(b))).map(|scores| scores[left_out])
    });
    mean(&left_out.collect::<Vec<_>>())
}

fn segments(places: &[usize], n: usize) -> Vec<(usize, usize)> {
    let cuts: BTreeSet<usize> = places.iter().copied().filter(|at| (1..n).contains(at)).chain([0, n]).collect();
    let cuts: Vec<usize> = cuts.into_iter().collect();
    cuts.windows(2).map(|pair| (pair[0], pair[1])).collect()
}

fn overlap(a: (usize, usize), b: (usize, usize)) -> f64 {
    let both = a.1.min(b.1).saturating_sub(a.0.max(b.0));
    both as f64 / (a.1.max(b.1) - a.0.min(b.0)) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(annotators: &[Vec<usize>], found: &[usize], n: usize, expected_f1: f64, expected_covering: f64) {
        let (f1, covering) = (f1(annotators, found), covering(annotators, found, n));
        assert!((f1 - expected_f1).abs() < 1e-9, "F1 {f1}");
        assert!((covering - expected_covering).abs() < 1e-9, "covering {covering}");
    }

    #[test]
    fn agreement_with_everybody_is_one() {
        check(&[vec![50], vec![50]], &[50], 100, 1.0, 1.0);
        check(&[vec![], vec![]], &[], 100, 1.0, 1.0);
    }

    #[test]
    fn silence_finds_the_start_alone() {
        // Precision 1, recall (1/2 + 1)/2; one of two halves is covered by half.
        check(&[vec![50], vec![]], &[], 100, 2.0 * 0.75 / 1.75, 0.75);
    }

    #[test]
    fn what_one_annotator_marked_is_no_false_alarm() {
        // Precision 1, recall (1 + 1)/2; the one who saw nothing is covered by the longer half.
        check(&[vec![50], vec![]], &[50], 100, 1.0, 0.75);
    }

    #[test]
    fn each_place_is_matched_once_and_within_the_margin() {
        // Of 48 and 52 one is right; 56 is too far: precision 2/4, recall 2/2.
        check(&[vec![50]], &[48, 52, 56], 100, 2.0 * 0.5 / 1.5, (0.5 * 48.0 / 50.0) + 0.5 * 44.0 / 50.0);
    }

    #[test]
    fn a_setting_that_only_one_recording_likes_does_not_help_it() {
        let steady = vec![(0.8, 0.7), (0.8, 0.7), (0.8, 0.7)];
        let lucky = vec![(1.0, 1.0), (0.1, 0.1), (0.1, 0.1)];
        let (f1, covering) = leave_one_out(&[steady, lucky]);
        assert!((f1 - 0.8).abs() < 1e-9 && (covering - 0.7).abs() < 1e-9);
    }
}
