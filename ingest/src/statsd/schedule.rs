//! When to flush: at the multiples of the interval on the wall clock, whatever the clock does.

use std::time::Duration;

use deployline_schemas::UnixMillis;

/// The next flush and its stamp.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Schedule {
    interval_s: i64,
    next_s: i64,
}

impl Schedule {
    /// The first flush is at the first multiple of `interval` after `now`.
    pub(crate) fn new(interval: Duration, now: UnixMillis) -> Self {
        let interval_s = i64::try_from(interval.as_secs()).unwrap_or(i64::MAX).max(1);
        Self { interval_s, next_s: 0 }.at(now)
    }

    /// How long it is until the next flush.
    pub(crate) fn wait(&self, now: UnixMillis) -> Duration {
        Duration::from_millis(UnixMillis::from_secs(self.next_s).0.saturating_sub(now.0).max(0).unsigned_abs())
    }

    /// The stamp of the flush that is due, if one is: the end of its interval. After a suspension it is the latest end, and one flush holds all.
    ///
    /// A clock that is set back by up to two intervals is waited for, so that no stamp is written twice; one set back further is followed.
    pub(crate) fn due(&mut self, now: UnixMillis) -> Option<i64> {
        let now_s = now.as_secs();
        if now_s >= self.next_s {
            let stamp_s = now_s - now_s.rem_euclid(self.interval_s);
            self.next_s = stamp_s + self.interval_s;
            return Some(stamp_s);
        }
        if now_s < self.next_s - 3 * self.interval_s {
            *self = self.at(now);
        }
        None
    }

    /// The stamp of a last flush before the interval's end: the second that ends after `now`. Were it the interval's end, then a process that starts at once
    /// would write the rest of the interval over it.
    pub(crate) fn last(&self, now: UnixMillis) -> i64 {
        let ends_s = now.as_secs() + i64::from(now.0.rem_euclid(1000) > 0);
        ends_s.clamp(self.next_s - self.interval_s + 1, self.next_s)
    }

    fn at(&self, now: UnixMillis) -> Self {
        let now_s = now.as_secs();
        Self { next_s: now_s - now_s.rem_euclid(self.interval_s) + self.interval_s, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule() -> Schedule {
        Schedule::new(Duration::from_secs(10), UnixMillis(1_000_003_500))
    }

    #[test]
    fn flushes_are_at_multiples_of_the_interval() {
        let mut schedule = schedule();
        assert_eq!(schedule.wait(UnixMillis(1_000_003_500)), Duration::from_millis(6500));
        assert_eq!(schedule.due(UnixMillis(1_000_009_999)), None);
        assert_eq!(schedule.due(UnixMillis(1_000_010_007)), Some(1_000_010));
        assert_eq!(schedule.due(UnixMillis(1_000_010_008)), None);
        assert_eq!(schedule.due(UnixMillis(1_000_020_000)), Some(1_000_020));
    }

    #[test]
    fn a_late_flush_is_stamped_with_the_latest_end() {
        assert_eq!(schedule().due(UnixMillis(1_000_047_000)), Some(1_000_040));
    }

    #[test]
    fn a_clock_set_back_a_little_repeats_no_stamp_and_one_set_back_far_is_followed() {
        let mut schedule = schedule();
        assert_eq!(schedule.due(UnixMillis(1_000_010_000)), Some(1_000_010));
        assert_eq!(schedule.due(UnixMillis(1_000_009_900)), None);
        assert_eq!(schedule.due(UnixMillis(1_000_010_100)), None);
        assert_eq!(schedule.due(UnixMillis(500_003_000)), None);
        assert_eq!(schedule.due(UnixMillis(500_010_000)), Some(500_010));
    }

    #[test]
    fn the_last_flush_ends_with_its_second() {
        assert_eq!(schedule().last(UnixMillis(1_000_003_600)), 1_000_004);
        assert_eq!(schedule().last(UnixMillis(1_000_009_999)), 1_000_010);
        assert_eq!(schedule().last(UnixMillis(1_000_000_000)), 1_000_001);
    }
}
