//! Numbers as Python, in which Graphite is written, reads and writes them: series' names contain them.

use std::fmt;

/// A number of a target, which remembers whether it was whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number {
    /// Its value.
    pub value: f64,
    /// Whether it was written without point and exponent.
    pub is_whole: bool,
}

impl Number {
    /// A number with a fraction, even if that is zero.
    pub(super) fn float(value: f64) -> Self {
        Self { value, is_whole: false }
    }

    /// A whole number.
    pub(super) fn whole(value: i64) -> Self {
        Self { value: value as f64, is_whole: true }
    }

    /// Reads `-12`, `0.5` or `1.5e-3`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let looks_like_one = digits.starts_with(|c: char| c.is_ascii_digit())
            && digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'-' | b'+'));
        let value: f64 = if looks_like_one { text.parse().ok()? } else { return None };
        Some(Self { value, is_whole })
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_whole { write!(f, "{:.0}", self.value) } else { f.write_str(&repr(self.value)) }
    }
}

/// A float as Python's `str` writes it: `100.0`, `0.5`, `1e-07`, `1e+16`.
pub fn repr(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    if value != 0.0 && !(1e-4..1e16).contains(&value.abs()) {
        return exponent(&format!("{value:e}"));
    }
    let text = value.to_string();
    if text.contains('.') { text } else { format!("{text}.0") }
}

/// A float as C's `%g` writes it: six significant digits, no trailing zeros.
pub(super) fn general(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".to_owned() } else { repr(value) };
    }
    let scientific = format!("{value:.5e}");
    let (mantissa, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    if (-4..6).contains(&power) {
        let text = format!("{value:.*}", (5 - power).max(0) as usize);
        return if text.contains('.') { trimmed(&text).to_owned() } else { text };
    }
    exponent(&format!("{}e{power}", trimmed(mantissa)))
}

fn trimmed(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// Rust's `1e-7` as C's `1e-07`.
fn exponent(text: &str) -> String {
    let (mantissa, power) = text.split_once('e').unwrap_or((text, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    format!("{mantissa}e{}{:02}", if power < 0 { '-' } else { '+' }, power.abs())
}

/// The value rounded to so many decimals, ties to even, as Python's `round` does on the exact decimal expansion.
pub(super) fn round(value: f64, places: i32) -> f64 {
    if !value.is_finite() || places > 15 {
        return value;
    }
    let power = 10f64.powi(places.abs());
    let scaled = if places >= 0 { value * power } else { value / power };
    if scaled.abs() >= 4_503_599_627_370_496.0 {
        return value;
    }
    // Near a tie the multiplication's own rounding could decide; the decimal expansion does not have that.
    if places >= 0 && ((scaled - scaled.trunc()).abs() - 0.5).abs() < 1e-6 {
        return format!("{value:.*}", places as usize).parse().unwrap_or(value);
    }
    let whole = scaled.round_ties_even();
    if places >= 0 { whole / power } else { whole * power }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_python_writes_them() {
        for (value, str_, g) in [
            (100.0, "100.0", "100"),
            (0.001, "0.001", "0.001"),
            (1e-7, "1e-07", "1e-07"),
            (1e16, "1e+16", "1e+16"),
            (1234567.0, "1234567.0", "1.23457e+06"),
            (-0.5, "-0.5", "-0.5"),
            (0.0, "0.0", "0"),
            (99.9, "99.9", "99.9"),
            (1.5e300, "1.5e+300", "1.5e+300"),
        ] {
            assert_eq!((repr(value).as_str(), general(value).as_str()), (str_, g));
        }
    }

    #[test]
    fn rounding_is_to_even_on_the_decimal_expansion() {
        for (value, places, expected) in
            [(2.5, 0, 2.0), (2.675, 2, 2.67), (0.0000005, 6, 0.0), (1.2345678, 6, 1.234568), (1250.0, -2, 1200.0)]
        {
            assert_eq!(round(value, places), expected, "{value}");
        }
    }
}
