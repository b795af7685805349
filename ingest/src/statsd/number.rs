//! Decimal numbers out of bytes, without a detour through text for the ones that senders write.

/// Powers of ten that a double holds exactly.
const EXACT_POWERS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Fifteen digits always fit the 53 bits of a double's mantissa.
const EXACT_DIGITS: usize = 15;

/// Why bytes are not a usable number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumberError {
    /// Not a decimal number at all.
    Malformed,
    /// Infinite or NaN, as written or as rounded.
    NotFinite,
}

/// Returns the finite number that `text` is, blanks around it aside: sign, digits, fraction and exponent, each optional
/// as far as something remains (`5.`, `.5`, `+1e3`).
///
/// The result is the double nearest to the decimal, as [`str::parse`] gives it.
pub(crate) fn parse(text: &[u8]) -> Result<f64, NumberError> {
    match prefix(text) {
        Some((value, length)) if length == text.len() => Ok(value),
        _ => general(text),
    }
}

/// Reads the number at the start of `text` if it is a short plain decimal; returns it and its length in bytes.
///
/// Exact by Clinger's argument: mantissa and power of ten are both exact doubles, so that one division rounds once.
#[inline]
pub(crate) fn prefix(text: &[u8]) -> Option<(f64, usize)> {
    let signed = matches!(text.first(), Some(b'-' | b'+'));
    let mut at = usize::from(signed);
    let mut mantissa = 0u64;
    let start = at;
    while let Some(digit) = text.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    let n_digits = at - start;
    if n_digits == 0 || n_digits > EXACT_DIGITS {
        return None;
    }
    let mut value = mantissa as f64;
    if text.get(at) == Some(&b'.') {
        let point = at;
        at += 1;
        while let Some(digit) = text.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
            at += 1;
        }
        let n_decimals = at - point - 1;
        if n_decimals == 0 || n_digits + n_decimals > EXACT_DIGITS {
            return None;
        }
        value = mantissa as f64 / EXACT_POWERS[n_decimals];
    }
    Some((if signed && text[0] == b'-' { -value } else { value }, at))
}

/// Everything that [`prefix`] leaves: exponents, many digits, blanks.
#[cold]
fn general(text: &[u8]) -> Result<f64, NumberError> {
    let text = std::str::from_utf8(text).map_err(|_| NumberError::Malformed)?;
    let value: f64 = text.trim().parse().map_err(|_| NumberError::Malformed)?;
    if value.is_finite() { Ok(value) } else { Err(NumberError::NotFinite) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn forms_that_senders_write() {
        for (text, expected) in [
            ("1", 1.0),
            ("-4", -4.0),
            ("+5", 5.0),
            ("1.5", 1.5),
            (".5", 0.5),
            ("5.", 5.0),
            (" 7 ", 7.0),
            ("1e3", 1000.0),
        ] {
            assert_eq!(parse(text.as_bytes()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_finite_number_is_refused() {
        for text in ["", "-", ".", "1x", "0x1f", "1_000", "--1", "1 2"] {
            assert_eq!(parse(text.as_bytes()), Err(NumberError::Malformed), "{text}");
        }
        for text in ["inf", "-Infinity", "nan", "1e999"] {
            assert_eq!(parse(text.as_bytes()), Err(NumberError::NotFinite), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_fast_path_equals_the_standard_library(text in r"[+-]?[0-9]{1,17}(\.[0-9]{1,17})?(e[0-9]{1,2})?") {
            prop_assert_eq!(parse(text.as_bytes()), text.parse().map_err(|_| NumberError::Malformed));
        }
    }
}
