//! The candidate onsets: how many bins a change has lasted by now.

/// The number of candidates: a change is placed within the last 88 bins.
pub const N_AGES: usize = 88;

/// How many bins the changed stretch holds at each candidate, the newest closed bin included: 1, 2, 3, ….
/// Every bin is a candidate: with a thousandfold error rate, an onset one bin off explains the rest by nothing at all.
pub const AGES: [usize; N_AGES] = {
    let mut ages = [0; N_AGES];
    let mut at = 0;
    while at < N_AGES {
        ages[at] = at + 1;
        at += 1;
    }
    ages
};

/// One value for each candidate onset of [`AGES`].
pub type PerAge = [f64; N_AGES];

/// The candidates that are looked at first. Where none of them speaks for a change, its neighbours do not either, and each stands
/// for those around it.
pub const COARSE: [usize; 14] = [0, 1, 2, 3, 5, 7, 10, 14, 19, 27, 37, 51, 68, 87];

/// Evaluates a Bayes factor at the coarse candidates, and at all of them if one speaks for a change.
pub fn evaluate(ln_factor: impl Fn(usize) -> f64) -> PerAge {
    let coarse = COARSE.map(|at| ln_factor(AGES[at]));
    if coarse.iter().any(|x| *x > 0.5) {
        return AGES.map(ln_factor);
    }
    let mut all = [0.0; N_AGES];
    let mut nearest = 0;
    for (at, value) in all.iter_mut().enumerate() {
        while nearest + 1 < COARSE.len() && COARSE[nearest + 1].abs_diff(at) <= COARSE[nearest].abs_diff(at) {
            nearest += 1;
        }
        *value = coarse[nearest];
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_age_is_a_candidate_within_the_span_in_which_onsets_are_sought() {
        assert_eq!((AGES[0], AGES[N_AGES - 1]), (1, 88));
        const { assert!(N_AGES < crate::window::ONSET_BINS) };
    }

    #[test]
    fn silence_is_answered_from_few_candidates_and_evidence_from_all() {
        let calls = std::cell::Cell::new(0);
        let ask = |evidence: f64| {
            calls.set(0);
            let all = evaluate(|age| {
                calls.set(calls.get() + 1);
                if age == 4 { evidence } else { -(age as f64) }
            });
            (all, calls.get())
        };
        let (quiet, n) = ask(0.0);
        assert_eq!((n, quiet[0], quiet[86]), (14, -1.0, -88.0));
        let (loud, n) = ask(3.0);
        assert_eq!((n, loud[3], loud[12]), (14 + N_AGES, 3.0, -13.0));
    }
}
