//! Graphite's plaintext protocol: `name value timestamp`, as carbon takes it.

use std::{borrow::Cow, str};

use crate::statsd::number;

/// Longest line in bytes, its end not counted: the limit of the framework that carbon is built on.
pub const MAX_LINE_BYTES: usize = 16_384;
/// Latest timestamp, the end of the year 9999. Milliseconds sent as seconds lie beyond and are refused.
const MAX_TIMESTAMP_S: f64 = 253_402_300_799.0;

/// One line, its name as sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line<'a> {
    /// Not empty, without white space; not yet canonical.
    pub name: &'a str,
    /// Finite.
    pub value: f64,
    /// Unix seconds, the fraction dropped.
    pub timestamp_s: i64,
}

/// Why a line, or a datapoint of a pickle, is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reason {
    /// Not UTF-8.
    #[error("the line is not UTF-8")]
    Encoding,
    /// Not three fields.
    #[error("the line is not `name value timestamp`")]
    Fields,
    /// The value is not a number.
    #[error("the value is not a number")]
    Value,
    /// The value is infinite. Carbon would store it, and every sum over it would be lost.
    #[error("the value is infinite")]
    Infinite,
    /// The value is NaN: a gap, which is written by writing nothing. Carbon drops it as well.
    #[error("the value is NaN")]
    Nan,
    /// The timestamp is not a number of seconds from 1970 to 9999, nor -1 for now.
    #[error("the timestamp is not in Unix seconds")]
    Timestamp,
    /// The name can not be kept: malformed tags, too long, control characters.
    #[error("the series name is malformed")]
    Name,
}

impl Reason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Reason; 7] = [
        Reason::Encoding,
        Reason::Fields,
        Reason::Value,
        Reason::Infinite,
        Reason::Nan,
        Reason::Timestamp,
        Reason::Name,
    ];
}

/// Returns what one line says, `None` for a blank one. `now_s` is what a timestamp of -1 means.
///
/// Fields are separated by any white space. Numbers are those of Python's `float`, as in carbon: `1e3`, `1_000` and `.5` pass.
///
/// # Errors
/// See [`Reason`].
pub fn parse(line: &[u8], now_s: i64) -> Option<Result<Line<'_>, Reason>> {
    // Nearly every line is ASCII with one blank between fields.
    if let Some(line) = plain(line) {
        return Some(Ok(line));
    }
    let Ok(text) = str::from_utf8(line) else { return Some(Err(Reason::Encoding)) };
    let mut fields = text.split_whitespace();
    let (first, second, third, fourth) = (fields.next(), fields.next(), fields.next(), fields.next());
    match (first, second, third, fourth) {
        (None, ..) => None,
        (Some(name), Some(value), Some(timestamp), None) => {
            Some(datapoint(name, number(value), number(timestamp), now_s))
        }
        _ => Some(Err(Reason::Fields)),
    }
}

/// Checks a datapoint; `value` and `timestamp` are `None` where they are no numbers.
pub(crate) fn datapoint(
    name: &str,
    value: Option<f64>,
    timestamp: Option<f64>,
    now_s: i64,
) -> Result<Line<'_>, Reason> {
    let value = value.ok_or(Reason::Value)?;
    let timestamp = timestamp.ok_or(Reason::Timestamp)?;
    if value.is_nan() {
        return Err(Reason::Nan);
    }
    if value.is_infinite() {
        return Err(Reason::Infinite);
    }
    let timestamp_s = match timestamp.trunc() {
        -1.0 => now_s,
        seconds if (0.0..=MAX_TIMESTAMP_S).contains(&seconds) => seconds as i64,
        _ => return Err(Reason::Timestamp),
    };
    Ok(Line { name, value, timestamp_s })
}

/// A Python float literal.
pub(crate) fn number(text: &str) -> Option<f64> {
    let mut text = Cow::Borrowed(text.trim());
    if text.contains('_') {
        // Underscores stand between digits only.
        let bytes = text.as_bytes();
        let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
        let between = |(at, _): (usize, _)| digit(at.checked_sub(1)) && digit(Some(at + 1));
        if !text.match_indices('_').all(between) {
            return None;
        }
        text = Cow::Owned(text.replace('_', ""));
    }
    text.parse().ok()
}

/// `name value timestamp` with single blanks, short plain numbers and an ASCII name.
fn plain(line: &[u8]) -> Option<Line<'_>> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (name, rest) = line.split_at(memchr::memchr(b' ', line)?);
    let (value, length) = number::prefix(&rest[1..])?;
    let timestamp = rest[1 + length..].strip_prefix(b" ")?;
    if timestamp.is_empty() || timestamp.len() > 11 || !timestamp.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let timestamp_s = timestamp.iter().fold(0, |seconds, digit| seconds * 10 + i64::from(digit - b'0'));
    if name.is_empty() || !name.iter().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    Some(Line { name: str::from_utf8(name).ok()?, value, timestamp_s })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let shown = match parse(line.as_bytes(), 1_700_000_000) {
            None => "blank".to_owned(),
            Some(Ok(Line { name, value, timestamp_s })) => format!("{name} {value} {timestamp_s}"),
            Some(Err(reason)) => format!("!{reason:?}"),
        };
        assert_eq!(shown, expected, "{line:?}");
    }

    #[test]
    fn lines_as_carbon_takes_them() {
        check("a.b 1.5 1600000000", "a.b 1.5 1600000000");
        check("  a.b\t\t-2   1600000000.9 \r", "a.b -2 1600000000");
        check("a 1e3 1.6e9", "a 1000 1600000000");
        check("a 1_000 1_600_000_000", "a 1000 1600000000");
        check("a 1 -1", "a 1 1700000000");
        check("a 1 -1.9", "a 1 1700000000");
        check("größe 1 5", "größe 1 5");
        check("a;t=v 1 5", "a;t=v 1 5");
        check("", "blank");
        check(" \r", "blank");
    }

    #[test]
    fn what_is_no_datapoint_is_refused_with_its_reason() {
        check("a", "!Fields");
        check("a 1", "!Fields");
        check("a 1 2 3", "!Fields");
        check("a x 5", "!Value");
        check("a 1__0 5", "!Value");
        check("a _1 5", "!Value");
        check("a nan 5", "!Nan");
        check("a NaN 5", "!Nan");
        check("a inf 5", "!Infinite");
        check("a -infinity 5", "!Infinite");
        check("a 1 x", "!Timestamp");
        check("a 1 nan", "!Timestamp");
        check("a 1 -2", "!Timestamp");
        check("a 1 1600000000000", "!Timestamp");
        assert_eq!(parse(b"a\xff 1 5", 0), Some(Err(Reason::Encoding)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_without_a_panic(line in proptest::collection::vec(any::<u8>(), 0..100)) {
            parse(&line, 0);
        }

        #[test]
        fn what_is_written_is_read(value in -1e12f64..1e12, timestamp_s in 0i64..4_000_000_000, name in "[a-z.]{1,20}") {
            let line = format!("{name} {value} {timestamp_s}");
            prop_assert_eq!(parse(line.as_bytes(), 0), Some(Ok(Line { name: &name, value, timestamp_s })));
        }
    }
}
