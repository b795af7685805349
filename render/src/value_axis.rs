//! The value axis: which range it spans, where its ticks stand and what they say.

use crate::chart::Unit;

/// The value axis of one picture.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ValueAxis {
    pub low: f64,
    pub high: f64,
    pub ticks: Vec<(f64, String)>,
}

impl ValueAxis {
    /// The axis for values between `extent`'s ends with about `n_ticks` ticks; `asked` fixes either end.
    ///
    /// Counts, shares, rates and durations start at zero, because a cut axis makes small changes look large. A plain
    /// level keeps zero too unless that would press its whole course into the top quarter.
    pub fn new(unit: Unit, extent: Option<(f64, f64)>, asked: (Option<f64>, Option<f64>), n_ticks: usize) -> Self {
        // Beyond this a difference of two values may overflow; what lies outside is drawn at the edge.
        const WIDEST: f64 = 1e300;
        let (least, most) = extent.unwrap_or((0.0, 0.0));
        let (least, most) = (least.clamp(-WIDEST, WIDEST), most.clamp(-WIDEST, WIDEST));
        let mut low =
            if least >= 0.0 && (unit != Unit::Plain || most - least > most / 4.0) { least.min(0.0) } else { least };
        let mut high = if most <= 0.0 && low < 0.0 && least < most * 1.25 { 0.0 } else { most };
        let flat_at_zero = low == 0.0 && high == 0.0;
        if let Some(asked) = asked.0.filter(|value| value.abs() <= WIDEST) {
            low = asked;
        }
        if let Some(asked) = asked.1.filter(|value| value.abs() <= WIDEST) {
            high = asked;
        }
        if flat_at_zero && asked.1.is_none() {
            // Nothing but zeros: an axis to one whole thing, or to one percent.
            high = low + if unit == Unit::Ratio { 0.01 } else { 1.0 };
        }
        // What a double can still tell apart around these values.
        let resolution = low.abs().max(high.abs()) * 1e-9;
        if high - low <= resolution {
            let margin = (low.abs() / 10.0).max(resolution).max(f64::MIN_POSITIVE * 1e6);
            if asked.0.is_none() && low != 0.0 {
                low -= margin;
            }
            high = low + 2.0 * margin;
        }
        let step = nice_step((high - low) / n_ticks.max(1) as f64, unit);
        if asked.0.is_none() {
            low = (low / step + 1e-9).floor() * step;
        }
        if asked.1.is_none() {
            // The axis ends at a tick, or a little above the one that the highest value just reaches.
            let tick = (high / step - 1e-9).ceil() * step;
            high = if tick - high < (high - low) * 0.01 { tick + (tick - low) * 0.02 } else { tick };
        }
        let first = (low / step - 1e-6).ceil() as i64;
        let last = (high / step + 1e-6).floor() as i64;
        let ticks = (first..=last.min(first.saturating_add(100)))
            .map(|index| index as f64 * step)
            .map(|value| (value, label(value, step, low.abs().max(high.abs()), unit)))
            .collect();
        Self { low, high, ticks }
    }

    /// Whether zero lies on the axis.
    pub fn has_zero(&self) -> bool {
        self.low <= 0.0 && self.high >= 0.0
    }
}

/// The next of 1, 2 and 5 times a power of ten (of two, for bytes); for durations the steps of a clock face.
fn nice_step(raw: f64, unit: Unit) -> f64 {
    let per_second = match unit {
        Unit::Bytes => {
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

/// What stands at a tick. `largest` is the axis's largest absolute value: all ticks of an axis share one prefix.
fn label(value: f64, step: f64, largest: f64, unit: Unit) -> String {
    match unit {
        Unit::Plain | Unit::Count => scaled(value, step, largest, &DECIMAL, ""),
        Unit::PerSecond => scaled(value, step, largest, &DECIMAL, "/s"),
        Unit::Ratio => format!("{} %", decimals(value * 100.0, step * 100.0)),
        Unit::Percent => format!("{} %", decimals(value, step)),
        Unit::Milliseconds => duration(value / 1e3, step / 1e3, largest / 1e3),
        Unit::Seconds => duration(value, step, largest),
        Unit::Bytes => scaled(value, step, largest, &BINARY, "B"),
    }
}

const DECIMAL: [(f64, &str); 7] =
    [(1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")];
const BINARY: [(f64, &str); 6] = [
    (1_125_899_906_842_624.0, "Pi"),
    (1_099_511_627_776.0, "Ti"),
    (1_073_741_824.0, "Gi"),
    (1_048_576.0, "Mi"),
    (1024.0, "Ki"),
    (1.0, ""),
];

/// The value under the largest prefix that the axis reaches and that needs at most two decimals to tell its ticks apart.
fn scaled(value: f64, step: f64, largest: f64, prefixes: &[(f64, &str)], suffix: &str) -> String {
    if largest < 1e4 && prefixes[0].1 == "E" {
        let gap = if suffix.starts_with('/') || suffix.is_empty() { "" } else { " " };
        return format!("{}{gap}{suffix}", decimals(value, step));
    }
    if largest > 1e22 {
        return if value == 0.0 { format!("0{suffix}") } else { format!("{value:.1e}{suffix}").replace('-', "−") };
    }
    let fits = |(size, _): &&(f64, &str)| largest >= *size && step / size >= 0.00999;
    let (size, prefix) = prefixes.iter().find(fits).copied().unwrap_or((1.0, ""));
    let number = decimals(value / size, step / size);
    match (prefix, suffix) {
        ("", "") => number,
        ("", suffix) if suffix.starts_with('/') => format!("{number}{suffix}"),
        _ => format!("{number} {prefix}{suffix}"),
    }
}

/// A duration given in seconds, in the largest unit that the axis fills.
fn duration(value: f64, step: f64, largest: f64) -> String {
    const UNITS: [(f64, &str); 6] =
        [(86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs")];
    let fits = |(size, _): &&(f64, &str)| {
        largest >= size * 2.0 && (step / size >= 0.00999) && (*size <= 1.0 || step % size == 0.0)
    };
    let (size, name) = UNITS.iter().find(fits).copied().unwrap_or((1e-6, "µs"));
    format!("{} {name}", decimals(value / size, step / size))
}

/// The value with as many decimals as its step has, thousands set apart by a comma, and a real minus sign.
fn decimals(value: f64, step: f64) -> String {
    let places = (-(step.abs().log10() + 1e-9).floor()).clamp(0.0, 12.0);
    if places > 6.0 {
        return if value == 0.0 { "0".to_owned() } else { format!("{value:.1e}").replace('-', "−") };
    }
    let text = format!("{:.*}", places as usize, value.abs());
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let negative = value < 0.0 && text.bytes().any(|byte| byte.is_ascii_digit() && byte != b'0');
    let mut grouped = if negative { "−".to_owned() } else { String::new() };
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 && whole.len() > 3 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(unit: Unit, extent: (f64, f64), expected: &str) {
        let axis = ValueAxis::new(unit, Some(extent), (None, None), 4);
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
        check(Unit::PerSecond, (5000.0, 84_000.0), "0 k/s | 50 k/s | 100 k/s");
        check(Unit::Bytes, (0.0, 3e9), "0 GiB | 1 GiB | 2 GiB | 3 GiB");
    }

    #[test]
    fn a_level_far_from_zero_shows_its_course() {
        check(Unit::Plain, (9990.0, 10_010.0), "9,990 | 9,995 | 10,000 | 10,005 | 10,010");
        check(Unit::Plain, (3.0, 10.0), "0 | 5 | 10");
        check(Unit::Plain, (-3.0, 10.0), "−5 | 0 | 5 | 10");
    }

    #[test]
    fn flat_tiny_and_huge_values_have_an_axis() {
        check(Unit::Count, (0.0, 0.0), "0.0 | 0.5 | 1.0");
        check(Unit::Ratio, (0.0, 0.0), "0.0 % | 0.5 % | 1.0 %");
        check(Unit::Plain, (5.0, 5.0), "4.5 | 5.0 | 5.5");
        check(Unit::Plain, (0.0, 3e-9), "0 | 1.0e−9 | 2.0e−9 | 3.0e−9");
        check(Unit::Plain, (0.0, 3.1e15), "0 P | 1 P | 2 P | 3 P | 4 P");
        check(Unit::Plain, (0.0, 3e300), "0 | 5.0e299 | 1.0e300");
        check(Unit::Plain, (-1e308, 1e308), "−1.0e300 | −5.0e299 | 0 | 5.0e299 | 1.0e300");
    }

    #[test]
    fn an_end_that_was_asked_for_is_kept() {
        let axis = ValueAxis::new(Unit::Ratio, Some((0.5, 0.7)), (Some(0.45), Some(0.8)), 4);
        assert_eq!((axis.low, axis.high), (0.45, 0.8));
        assert_eq!(axis.ticks.len(), 4);
        assert!(!axis.has_zero());
    }
}
