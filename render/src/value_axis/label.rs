//! What stands at a tick: numbers with their prefixes and units.

use crate::chart::Unit;

/// What stands at a tick. `largest` is the axis's largest absolute value: all ticks of an axis share one prefix.
pub(super) fn label(value: f64, step: f64, largest: f64, unit: Unit) -> String {
    match unit {
        Unit::Plain | Unit::Count => scaled(value, step, largest, &DECIMAL, ""),
        Unit::PerSecond => scaled(value, step, largest, &DECIMAL, "/s"),
        Unit::Ratio => format!("{} %", decimals(value * 100.0, step * 100.0)),
        Unit::Percent => format!("{} %", decimals(value, step)),
        Unit::Milliseconds => duration(value / 1e3, step / 1e3, largest / 1e3),
        Unit::Seconds => duration(value, step, largest),
        Unit::Bytes => scaled(value, step, largest, &BINARY, "B"),
        Unit::Binary => scaled(value, step, largest, &BINARY, ""),
        Unit::Bare => decimals(value, step),
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
    // Zero is zero under any prefix.
    let prefix = if value == 0.0 { "" } else { prefix };
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
    // Zero needs no decimals.
    if value == 0.0 {
        return "0".to_owned();
    }
    let places = (-(step.abs().log10() + 1e-9).floor()).clamp(0.0, 12.0);
    if places > 6.0 {
        return format!("{value:.1e}").replace('-', "−");
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
