//! The candidate onsets: how many bins a change has lasted by now.

/// How many bins the changed stretch holds, the newest closed bin included. Every bin at first, then ever coarser:
/// a change of ten minutes need not be placed to ten seconds to be judged, and 35 candidates cost less than 90.
pub const AGES: [usize; 35] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 22, 24, 26, 28, 30, 33, 36, 40, 44, 48, 53, 58, 64,
    70, 76, 82, 88,
];

/// One value for each candidate onset of [`AGES`].
pub type PerAge = [f64; AGES.len()];

/// The ages that a candidate stands for, as `(youngest, oldest)`: its own and those skipped before it.
pub fn span(candidate: usize) -> (usize, usize) {
    let youngest = if candidate == 0 { 1 } else { AGES[candidate - 1] + 1 };
    (youngest, AGES[candidate])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_cover_every_age_once() {
        let covered: Vec<_> = (0..AGES.len()).flat_map(|c| span(c).0..=span(c).1).collect();
        assert_eq!(covered, (1..=88).collect::<Vec<_>>());
        assert!(AGES[AGES.len() - 1] < crate::window::ONSET_BINS);
    }
}
