//! A value axis: which range it spans, where its ticks stand and what they say.

use crate::chart::{Scale, Top, Unit};

mod label;

use label::label;

/// Beyond this a difference of two values may overflow; what lies outside is drawn at the edge.
const WIDEST: f64 = 1e300;
/// Most ticks of one axis, whatever step is asked for.
const MAX_TICKS: i64 = 100;

/// One value axis of a picture.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ValueAxis {
    pub low: f64,
    pub high: f64,
    pub ticks: Vec<(f64, String)>,
    is_log: bool,
}

impl ValueAxis {
    /// The axis for values between `extent`'s ends with about `n_ticks` ticks.
    ///
    /// Counts, shares, rates and durations start at zero, because a cut axis makes small changes look large. A plain
    /// level keeps zero too unless that would press its whole course into the top quarter.
    pub fn new(scale: &Scale, extent: Option<(f64, f64)>, n_ticks: usize) -> Self {
        let n_ticks = scale.n_steps.unwrap_or(n_ticks).clamp(1, MAX_TICKS as usize);
        match scale.log_base.filter(|base| *base > 1.0 && *base <= WIDEST) {
            Some(base) => Self::logarithmic(scale, base, extent, n_ticks),
            None => Self::linear(scale, extent, n_ticks),
        }
    }

    fn linear(scale: &Scale, extent: Option<(f64, f64)>, n_ticks: usize) -> Self {
        let unit = scale.unit;
        let starts_at_zero = !matches!(unit, Unit::Plain | Unit::Bare | Unit::Binary);
        let (least, most) = extent.unwrap_or((0.0, 0.0));
        let (least, most) = (least.clamp(-WIDEST, WIDEST), most.clamp(-WIDEST, WIDEST));
        let mut low =
            if least >= 0.0 && (starts_at_zero || most - least > most / 4.0) { least.min(0.0) } else { least };
        let mut high = if most <= 0.0 && low < 0.0 && least < most * 1.25 { 0.0 } else { most };
        let flat_at_zero = low == 0.0 && high == 0.0;
        let asked_low = scale.min.filter(|value| value.abs() <= WIDEST);
        low = asked_low.unwrap_or(low);
        let limit = scale.limit.filter(|limit| limit.abs() <= WIDEST);
        let asked_high = match scale.top {
            Top::At(value) if value.abs() <= WIDEST => Some(value.min(limit.unwrap_or(value))),
            Top::Greatest if !flat_at_zero => Some(most.min(limit.unwrap_or(most))),
            _ => limit.filter(|limit| *limit < high),
        };
        high = asked_high.unwrap_or(high);
        if flat_at_zero && asked_high.is_none() {
            // Nothing but zeros: an axis to one whole thing, or to one percent.
            high = low + if unit == Unit::Ratio { 0.01 } else { 1.0 };
        }
        // What a double can still tell apart around these values.
        let resolution = low.abs().max(high.abs()) * 1e-9;
        if high - low <= resolution {
            let margin = (low.abs() / 10.0).max(resolution).max(f64::MIN_POSITIVE * 1e6);
            if asked_low.is_none() && low != 0.0 {
                low -= margin;
            }
            high = low + 2.0 * margin;
        }
        let asked_step = scale.step.filter(|step| *step > 0.0 && (high - low) / step <= MAX_TICKS as f64);
        let step = asked_step.unwrap_or_else(|| nice_step((high - low) / n_ticks as f64, unit));
        if asked_low.is_none() {
            low = (low / step + 1e-9).floor() * step;
        }
        if asked_high.is_none() {
            // The axis ends at a tick, or a little above the one that the highest value just reaches.
            let tick = (high / step - 1e-9).ceil() * step;
            high = if tick - high < (high - low) * 0.01 { tick + (tick - low) * 0.02 } else { tick };
            high = high.min(limit.unwrap_or(high));
        }
        let first = (low / step - 1e-6).ceil() as i64;
        let last = (high / step + 1e-6).floor() as i64;
        let ticks = (first..=last.min(first.saturating_add(MAX_TICKS)))
            .map(|index| index as f64 * step)
            .map(|value| (value, label(value, step, low.abs().max(high.abs()), unit)))
            .collect();
        Self { low, high, ticks, is_log: false }
    }

    /// From a power of the base to a power of the base. `extent` is of positive values.
    fn logarithmic(scale: &Scale, base: f64, extent: Option<(f64, f64)>, n_ticks: usize) -> Self {
        const TINIEST: f64 = 1e-300;
        let (least, most) = extent.filter(|(least, _)| *least > 0.0).unwrap_or((1.0, base));
        let (least, most) = (least.clamp(TINIEST, WIDEST), most.clamp(TINIEST, WIDEST));
        let positive = |value: f64| (TINIEST..=WIDEST).contains(&value);
        let exponent = |value: f64| value.ln() / base.ln();
        let most = scale.limit.filter(|limit| positive(*limit)).map_or(most, |limit| most.min(limit));
        let low = scale.min.filter(|value| positive(*value));
        let low = low.unwrap_or_else(|| base.powf((exponent(least) + 1e-9).floor()));
        let mut high = match scale.top {
            Top::At(value) if positive(value) => value,
            Top::Greatest => most,
            _ => base.powf((exponent(most) - 1e-9).ceil()),
        };
        if high <= low * (1.0 + 1e-9) {
            high = low * base;
        }
        let (first, last) = ((exponent(low) - 1e-6).ceil() as i64, (exponent(high) + 1e-6).floor() as i64);
        let every = (last - first) / (2 * n_ticks as i64) + 1;
        let ticks = (first..=last)
            .step_by(every as usize)
            .take(MAX_TICKS as usize)
            .map(|exponent| base.powf(exponent as f64))
            .map(|value| (value, label(value, value, value, scale.unit)))
            .collect();
        Self { low, high, ticks, is_log: true }
    }

    /// Where a value lies, so that equal distances are equal lengths.
    pub fn position(&self, value: f64) -> f64 {
        if self.is_log { value.max(f64::MIN_POSITIVE).ln() } else { value }
    }

    /// The value that areas stand on: zero, which a logarithmic axis has not.
    pub fn floor(&self) -> f64 {
        if self.is_log { self.low } else { 0.0 }
    }

    /// Whether zero lies on the axis, or cannot.
    pub fn has_zero(&self) -> bool {
        self.is_log || (self.low <= 0.0 && self.high >= 0.0)
    }

    /// `n` values between each two ticks.
    pub fn between(&self, n: usize) -> Vec<f64> {
        let pairs = self.ticks.windows(2);
        let within = |pair: &[(f64, String)]| {
            let (from, to) = (pair[0].0, pair[1].0);
            (1..=n).map(move |index| from + (to - from) * index as f64 / (n + 1) as f64).collect::<Vec<_>>()
        };
        pairs.flat_map(within).collect()
    }
}

/// The next of 1, 2 and 5 times a power of ten (of two, for bytes); for durations the steps of a clock face.
fn nice_step(raw: f64, unit: Unit) -> f64 {
    let per_second = match unit {
        Unit::Bytes | Unit::Binary => {
            let exponent = raw.max(1.0).log2().ceil();
            return exponent.exp2();
        }
        Unit::Seconds => 1.0,
        Unit::Milliseconds => 1000.0,
        _ => f64::INFINITY,
    };
    let seconds = raw / per_second;
    if seconds > 10.0 {
        const CLOCK: [f64; 13] =
            [15.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 21_600.0, 43_200.0];
        let step = CLOCK
            .into_iter()
            .find(|step| *step >= seconds)
            .unwrap_or_else(|| decimal_step(seconds / 86_400.0) * 86_400.0);
        return step * per_second;
    }
    decimal_step(raw)
}

fn decimal_step(raw: f64) -> f64 {
    let power = 10f64.powf(raw.log10().floor());
    let share = raw / power;
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| share <= factor * (1.0 + 1e-9)).unwrap_or(10.0);
    factor * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(unit: Unit, extent: (f64, f64), expected: &str) {
        let axis = ValueAxis::new(&Scale { unit, ..Scale::default() }, Some(extent), 4);
        let labels: Vec<String> = axis.ticks.into_iter().map(|(_, label)| label).collect();
        assert_eq!(labels.join(" | "), expected);
    }

    #[test]
    fn counts_shares_and_durations_start_at_zero() {
        check(Unit::Count, (90.0, 100.0), "0 | 50 | 100");
        check(Unit::Ratio, (0.002, 0.034), "0 % | 1 % | 2 % | 3 % | 4 %");
        check(Unit::Percent, (98.0, 99.0), "0 % | 50 % | 100 %");
        check(Unit::Milliseconds, (120.0, 430.0), "0 ms | 200 ms | 400 ms | 600 ms");
        check(Unit::Milliseconds, (120.0, 14_300.0), "0 s | 5 s | 10 s | 15 s");
        check(Unit::Milliseconds, (120.0, 143_000.0), "0 min | 1 min | 2 min | 3 min");
        check(Unit::Seconds, (0.0, 0.000_8), "0 µs | 200 µs | 400 µs | 600 µs | 800 µs");
        check(Unit::PerSecond, (5000.0, 84_000.0), "0/s | 50 k/s | 100 k/s");
        check(Unit::Bytes, (0.0, 3e9), "0 B | 1 GiB | 2 GiB | 3 GiB");
    }

    #[test]
    fn a_level_far_from_zero_shows_its_course() {
        check(Unit::Plain, (9990.0, 10_010.0), "9,990 | 9,995 | 10,000 | 10,005 | 10,010");
        check(Unit::Plain, (3.0, 10.0), "0 | 5 | 10");
        check(Unit::Plain, (-3.0, 10.0), "−5 | 0 | 5 | 10");
    }

    #[test]
    fn flat_tiny_and_huge_values_have_an_axis() {
        check(Unit::Count, (0.0, 0.0), "0 | 0.5 | 1.0");
        check(Unit::Ratio, (0.0, 0.0), "0 % | 0.5 % | 1.0 %");
        check(Unit::Plain, (5.0, 5.0), "4.5 | 5.0 | 5.5");
        check(Unit::Plain, (0.0, 3e-9), "0 | 1.0e−9 | 2.0e−9 | 3.0e−9");
        check(Unit::Plain, (0.0, 3.1e15), "0 | 1 P | 2 P | 3 P | 4 P");
        check(Unit::Plain, (0.0, 3e300), "0 | 5.0e299 | 1.0e300");
        check(Unit::Plain, (-1e308, 1e308), "−1.0e300 | −5.0e299 | 0 | 5.0e299 | 1.0e300");
    }

    #[test]
    fn what_was_asked_for_is_kept() {
        let labels = |scale: Scale, extent| {
            let axis = ValueAxis::new(&scale, Some(extent), 4);
            let labels: Vec<String> = axis.ticks.into_iter().map(|(_, label)| label).collect();
            (axis.low, axis.high, labels.join(" | "))
        };
        let scale = Scale { unit: Unit::Ratio, min: Some(0.45), top: Top::At(0.8), ..Scale::default() };
        assert_eq!(labels(scale, (0.5, 0.7)), (0.45, 0.8, "50 % | 60 % | 70 % | 80 %".to_owned()));
        let scale = Scale { top: Top::Greatest, ..Scale::default() };
        assert_eq!(labels(scale, (3.0, 9.3)), (0.0, 9.3, "0 | 5".to_owned()));
        let scale = Scale { limit: Some(7.0), ..Scale::default() };
        assert_eq!(labels(scale.clone(), (3.0, 9.3)), (0.0, 7.0, "0 | 2 | 4 | 6".to_owned()));
        assert_eq!(labels(scale, (0.0, 4.0)).1, 4.08, "a limit beyond the values is not reached for");
        let scale = Scale { step: Some(3.0), ..Scale::default() };
        assert_eq!(labels(scale, (0.0, 11.0)), (0.0, 12.0, "0 | 3 | 6 | 9 | 12".to_owned()));
        let scale = Scale { n_steps: Some(10), ..Scale::default() };
        assert_eq!(labels(scale, (0.0, 9.9)).2, "0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10");
        // A step that would draw a black wall is no step.
        assert_eq!(labels(Scale { step: Some(1e-6), ..Scale::default() }, (0.0, 10.0)).2, "0 | 5 | 10");
    }

    #[test]
    fn prefixes_are_those_of_the_unit() {
        check(Unit::Plain, (0.0, 40_000.0), "0 | 10 k | 20 k | 30 k | 40 k");
        check(Unit::Binary, (0.0, 40_000.0), "0 | 16 Ki | 32 Ki | 48 Ki");
        check(Unit::Bare, (0.0, 40_000.0), "0 | 10,000 | 20,000 | 30,000 | 40,000");
    }

    #[test]
    fn a_logarithmic_axis_has_powers_of_its_base_and_no_zero() {
        let axis = |base, extent| ValueAxis::new(&Scale { log_base: Some(base), ..Scale::default() }, Some(extent), 4);
        let labels = |axis: &ValueAxis| axis.ticks.iter().map(|(_, label)| label.clone()).collect::<Vec<_>>().join(" ");
        let ten = axis(10.0, (0.3, 4000.0));
        assert_eq!((ten.low, labels(&ten).as_str()), (0.1, "0.1 1 10 100 1,000 10 k"));
        assert!((ten.high - 10_000.0).abs() < 1e-6 && ten.has_zero());
        let half = (ten.position(ten.low) + ten.position(ten.high)) / 2.0;
        assert!((ten.position(1000.0f64.sqrt()) - half).abs() < 1e-9, "equal factors are equal lengths");
        assert_eq!(labels(&axis(2.0, (1.0, 9.0))), "1 2 4 8 16");
        let wide = axis(10.0, (1e-200, 1e200));
        assert!((2..=9).contains(&wide.ticks.len()), "{wide:?}");
        assert_eq!(ten.between(1).len(), ten.ticks.len() - 1);
    }
}
