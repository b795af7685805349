//! The recent past of one signal: a ring of bins, each a numerator and a denominator.

/// Bins that a signal keeps: 70 minutes at 10 s, in 3,360 bytes.
///
/// 15 minutes in which an onset is looked for ([`ONSET_BINS`]) and 55 minutes of baseline before them.
pub const BINS: usize = 420;

/// How far back an onset is looked for, in bins: 15 minutes at 10 s. A deploy's guilt is decided within this
/// span or not at all, and the baseline that sets the noise ends before it.
pub const ONSET_BINS: usize = 90;

/// A ring of bins. A bin is numbered by its end: `end / bin length`, rounded up.
#[derive(Debug, Clone)]
pub struct Window {
    numerators: Box<[f32]>,
    denominators: Box<[f32]>,
    /// One past the newest bin that was touched; 0 while empty.
    end: i64,
    /// The oldest bin that was ever touched.
    start: i64,
    /// Bins judged bad, one bit each: they never become baseline.
    bad: [u64; BINS.div_ceil(64)],
}

impl Default for Window {
    fn default() -> Self {
        Self::new(true)
    }
}

impl Window {
    /// An empty window; without a denominator the second column is not kept.
    pub fn new(has_denominator: bool) -> Self {
        let denominators = if has_denominator { vec![f32::NAN; BINS] } else { Vec::new() };
        Self {
            numerators: vec![f32::NAN; BINS].into(),
            denominators: denominators.into(),
            end: 0,
            start: 0,
            bad: [0; BINS.div_ceil(64)],
        }
    }

    fn slot(bin: i64) -> usize {
        bin.rem_euclid(BINS as i64) as usize
    }

    /// Makes room for `bin`; `false` when it is older than the ring.
    fn reach(&mut self, bin: i64) -> bool {
        if self.end == 0 {
            (self.start, self.end) = (bin, bin);
        }
        if bin + (BINS as i64) <= self.end {
            return false;
        }
        if bin >= self.end {
            let fresh = (bin + 1 - self.end).min(BINS as i64);
            for fresh in bin + 1 - fresh..=bin {
                let slot = Self::slot(fresh);
                self.numerators[slot] = f32::NAN;
                if let Some(denominator) = self.denominators.get_mut(slot) {
                    *denominator = f32::NAN;
                }
                self.bad[slot / 64] &= !(1 << (slot % 64));
            }
            self.end = bin + 1;
        }
        self.start = self.start.min(bin);
        true
    }

    /// Puts a numerator (or the only value) into its bin; a later value for the same bin replaces it.
    /// Returns `false` when the bin has left the ring.
    pub fn put(&mut self, bin: i64, value: f64) -> bool {
        let reached = self.reach(bin);
        if reached {
            self.numerators[Self::slot(bin)] = value as f32;
        }
        reached
    }

    /// Puts a denominator into its bin, as [`Window::put`].
    pub fn put_denominator(&mut self, bin: i64, value: f64) -> bool {
        let reached = self.reach(bin);
        if reached && let Some(denominator) = self.denominators.get_mut(Self::slot(bin)) {
            *denominator = value as f32;
        }
        reached
    }

    fn holds(&self, bin: i64) -> bool {
        bin < self.end && bin + BINS as i64 >= self.end && self.end != 0
    }

    /// The numerator of a bin; NaN for a gap.
    pub fn numerator(&self, bin: i64) -> f64 {
        if self.holds(bin) { f64::from(self.numerators[Self::slot(bin)]) } else { f64::NAN }
    }

    /// The denominator of a bin; NaN for a gap.
    pub fn denominator(&self, bin: i64) -> f64 {
        match self.denominators.get(Self::slot(bin)) {
            Some(denominator) if self.holds(bin) => f64::from(*denominator),
            _ => f64::NAN,
        }
    }

    /// The oldest bin that the ring may hold data for.
    pub fn oldest(&self) -> i64 {
        self.start.max(self.end - BINS as i64)
    }

    /// One past the newest bin with data; 0 while empty.
    pub fn end(&self) -> i64 {
        self.end
    }

    /// Marks a bin as judged bad, or as fine again.
    pub fn mark(&mut self, bin: i64, bad: bool) {
        if self.reach(bin) {
            let slot = Self::slot(bin);
            if bad {
                self.bad[slot / 64] |= 1 << (slot % 64);
            } else {
                self.bad[slot / 64] &= !(1 << (slot % 64));
            }
        }
    }

    /// Whether a bin was judged bad.
    pub fn is_bad(&self, bin: i64) -> bool {
        let slot = Self::slot(bin);
        self.holds(bin) && self.bad[slot / 64] & (1 << (slot % 64)) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bin_that_was_never_put_is_a_gap_and_one_that_left_is_gone() {
        let mut window = Window::new(false);
        assert!(window.put(1000, 3.0));
        assert!(window.put(1002, 5.0));
        assert!(window.numerator(1001).is_nan());
        assert_eq!(window.numerator(1000), 3.0);
        assert!(window.put(1000 + BINS as i64, 1.0));
        assert!(window.numerator(1000).is_nan(), "left the ring");
        assert!(!window.put(1000, 3.0));
        assert_eq!(window.numerator(1002), 5.0);
    }

    #[test]
    fn late_bins_fill_gaps_whatever_their_order() {
        let (mut forward, mut backward) = (Window::new(true), Window::new(true));
        for bin in 0..50 {
            forward.put(bin, bin as f64);
            forward.put_denominator(bin, 1.0);
            backward.put(49 - bin, (49 - bin) as f64);
            backward.put_denominator(49 - bin, 1.0);
        }
        for bin in 0..50 {
            assert_eq!(forward.numerator(bin), backward.numerator(bin));
            assert_eq!(forward.denominator(bin), backward.denominator(bin));
        }
        assert_eq!(forward.oldest(), backward.oldest());
    }

    #[test]
    fn a_mark_leaves_with_its_bin() {
        let mut window = Window::new(false);
        window.put(5, 1.0);
        window.mark(5, true);
        assert!(window.is_bad(5));
        window.put(5 + BINS as i64, 1.0);
        assert!(!window.is_bad(5 + BINS as i64));
    }

    #[test]
    fn memory_of_a_signal_stays_under_four_kilobytes() {
        assert!(2 * 4 * BINS + size_of::<Window>() < 3600);
    }
}
