//! How many requests a hook takes in a second.

use std::sync::atomic::{AtomicI64, Ordering};

use deployline_schemas::UnixMillis;

/// Lets through so many requests a second, and as many at once after a quiet second: the generic cell rate algorithm,
/// which remembers one moment and needs no timer.
///
/// <https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm>
#[derive(Debug)]
pub(super) struct Limiter {
    /// Between two requests at the full rate, in microseconds.
    interval_us: i64,
    /// When the next request would come at the full rate, in microseconds since 1970.
    next_us: AtomicI64,
}

impl Limiter {
    /// A limiter of at least one request a second.
    pub(super) fn new(max_per_second: u32) -> Self {
        Self { interval_us: 1_000_000 / i64::from(max_per_second.clamp(1, 1_000_000)), next_us: AtomicI64::new(0) }
    }

    /// Takes a request that came at `now`, or says in how many milliseconds there is room for one.
    pub(super) fn admit(&self, now: UnixMillis) -> Result<(), u64> {
        let now_us = now.0.saturating_mul(1000);
        let earliest = |next_us: i64| next_us.saturating_add(self.interval_us).saturating_sub(1_000_000);
        let taken = self.next_us.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next_us| {
            // A clock that was set back must not close the door for as long as it was ahead.
            let next_us = if next_us > now_us.saturating_add(1_000_000) { now_us } else { next_us };
            (earliest(next_us) <= now_us).then(|| next_us.max(now_us).saturating_add(self.interval_us))
        });
        match taken {
            Ok(_) => Ok(()),
            Err(next_us) => Err((earliest(next_us).saturating_sub(now_us).max(0) as u64).div_ceil(1000)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many requests at one moment pass.
    fn n_passed(limiter: &Limiter, n_requests: usize, at_ms: i64) -> usize {
        (0..n_requests).filter(|_| limiter.admit(UnixMillis(at_ms)).is_ok()).count()
    }

    #[test]
    fn a_second_s_worth_passes_at_once_and_then_the_rate() {
        let limiter = Limiter::new(10);
        assert_eq!(n_passed(&limiter, 50, 1_000_000), 10);
        assert_eq!(limiter.admit(UnixMillis(1_000_000)), Err(100));
        assert_eq!(n_passed(&limiter, 50, 1_000_250), 2);
        assert_eq!(n_passed(&limiter, 50, 1_010_000), 10);
        assert_eq!(n_passed(&Limiter::new(0), 5, 1_000_000), 1);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_close_the_door() {
        let limiter = Limiter::new(10);
        assert_eq!(n_passed(&limiter, 50, 100_000_000), 10);
        assert_eq!(n_passed(&limiter, 50, 1_000_000), 10);
    }
}
