//! How much traffic is needed before "no worse" means anything.
//!
//! A rate of p events a request that doubles brings, in n requests with over-dispersion D, an expected
//!
//! ```text
//! E[ln BF₂] = n·p/D · (2 ln 2 − 1)
//! ```
//!
//! in favour of the doubling (the Kullback–Leibler divergence of Poisson laws with means 2np/D and np/D). The number of requests
//! after which that reaches `ENOUGH_LN` is what a quiet service has to wait for.

use crate::{
    ratio::Dispersion,
    track::{Quiet, Track},
};

/// ln of the Bayes factor of a doubling that suffices to tell: 1,000 to 1, which leaves a page's worth after the prior of one
/// deploy in ten.
const ENOUGH_LN: f64 = 6.9;
/// The horizon whose over-dispersion counts, in bins: evidence gathers over minutes.
const HORIZON: usize = 30;

/// How many requests are needed in all to tell a doubling of a rate of `events` in `trials` requests. An empty rate counts as half an
/// event (Jeffreys). `None` without a trial: nobody can say how rare the events are.
pub fn requests(events: f64, trials: f64, dispersion: f64) -> Option<f64> {
    let rate = (events + 0.5) / trials;
    (trials > 0.0 && rate > 0.0).then(|| ENOUGH_LN * dispersion / (rate * (2.0 * std::f64::consts::LN_2 - 1.0)))
}

/// How many more requests than those in the bins `[live, end)` are needed, by the rate in the window before `first`; `None`
/// for a signal without a denominator or without a past, and where enough have come.
pub(crate) fn more_requests(track: &Track, first: i64, live: i64, end: i64) -> Option<u64> {
    track.per.as_ref()?;
    let sum = |from: i64, until: i64| {
        (from.max(track.window.oldest())..until).fold((0.0, 0.0), |(events, trials), bin| {
            let (k, n) = (track.window.numerator(bin), track.window.denominator(bin));
            let known = |x: f64| if x.is_finite() { x.max(0.0) } else { 0.0 };
            (events + known(k), trials + known(n))
        })
    };
    let (events, trials) = sum(track.window.oldest(), first);
    let dispersion = match track.quiet {
        Some(Quiet::Counts(dispersion)) => Dispersion::at(dispersion, HORIZON),
        _ => 1.0,
    };
    let more = requests(events, trials, dispersion)? - sum(live, end).1;
    (more >= 1.0).then(|| more.ceil().min(1e15) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rarer_events_and_clumps_need_more_requests() {
        let needed = |events, trials, dispersion| requests(events, trials, dispersion).map(f64::round);
        // 6.9 / (0.01 · 0.386)
        assert_eq!(needed(99.5, 10_000.0, 1.0), Some(1786.0));
        assert_eq!(needed(99.5, 10_000.0, 2.0), Some(3572.0));
        assert!(needed(0.0, 10_000.0, 1.0) > needed(9.5, 10_000.0, 1.0));
        assert_eq!(needed(0.0, 0.0, 1.0), None);
    }
}
