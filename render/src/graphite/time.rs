//! Times and durations as targets and Graphite's parameters write them: `-6h`, `1d12h`, `noon+yesterday`, `20261123`.

use jiff::{
    Span, Timestamp,
    civil::{Date, Weekday},
    tz::TimeZone,
};

const DAY_S: i64 = 86_400;
/// Longest offset taken, in seconds: a thousand years.
const MAX_OFFSET_S: i64 = 1000 * 365 * DAY_S;

/// Seconds of an offset such as `-6h`, `10min` or `+1d12h`. A month has 30 days and a year 365. Empty is 0.
///
/// Returns `None` when the text is no offset.
pub fn offset_s(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.as_bytes().first() {
        None => return Some(0),
        Some(b'-') => (-1, &text[1..]),
        Some(b'+') => (1, &text[1..]),
        Some(b'0'..=b'9') => (1, text),
        Some(_) => return None,
    };
    let mut total = 0i64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let count: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        total = total.checked_add(count.checked_mul(unit_s(&rest[..letters])?)?)?;
        rest = &rest[letters..];
    }
    (total <= MAX_OFFSET_S).then_some(sign * total)
}

/// Seconds of a unit, which its first letters decide.
pub(super) fn unit_s(name: &str) -> Option<i64> {
    const UNITS: [(&str, i64); 7] =
        [("s", 1), ("min", 60), ("h", 3600), ("d", DAY_S), ("w", 7 * DAY_S), ("mon", 30 * DAY_S), ("y", 365 * DAY_S)];
    UNITS.into_iter().find(|(start, _)| name.starts_with(start)).map(|(_, seconds)| seconds)
}

/// A moment in Unix seconds: an epoch, `now`, or a reference with an offset such as `midnight+1d`, `noon_20261123`,
/// `16:30_yesterday`, `monday`, `11/23/26` or `nov 23`.
///
/// Returns `None` when the text is no time.
pub fn moment_s(text: &str, now_s: i64, zone: &TimeZone) -> Option<i64> {
    let text: String = text.trim().to_lowercase().chars().filter(|c| !matches!(c, '_' | ',' | ' ')).collect();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number && !(text.len() == 8 && &text[..4] > "1900" && &text[4..6] < "13" && &text[6..] < "32") {
        return text.parse().ok().filter(|seconds| Timestamp::from_second(*seconds).is_ok());
    }
    let (reference, offset) = match text.find(['+', '-']) {
        Some(at) => text.split_at(at),
        None => (text.as_str(), ""),
    };
    let today = zone.to_datetime(Timestamp::from_second(now_s).ok()?).date();
    let moment = if reference.is_empty() || reference == "now" { now_s } else { reference_s(reference, today, zone)? };
    moment.checked_add(offset_s(offset)?).filter(|seconds| Timestamp::from_second(*seconds).is_ok())
}

/// The moment of a day reference with an optional time of day before it.
fn reference_s(reference: &str, today: Date, zone: &TimeZone) -> Option<i64> {
    let (hour, minute, day) = time_of_day(reference)?;
    let date = match day {
        "" | "today" => today,
        "yesterday" => today.yesterday().ok()?,
        "tomorrow" => today.tomorrow().ok()?,
        _ if day.matches('/').count() == 2 => {
            let mut parts = day.split('/').map(str::parse::<i16>);
            let (month, day, year) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
            // Two digits: from 70 on the last century, below it this one.
            let year = match year {
                0..=69 => year + 2000,
                70..=1899 => year + 1900,
                _ => year,
            };
            Date::new(year, month.try_into().ok()?, day.try_into().ok()?).ok()?
        }
        _ if day.len() == 8 && day.bytes().all(|byte| byte.is_ascii_digit()) => {
            Date::new(day[..4].parse().ok()?, day[4..6].parse().ok()?, day[6..].parse().ok()?).ok()?
        }
        _ => named_day(day, today)?,
    };
    let at = date.at(hour, minute, 0, 0);
    zone.to_timestamp(at).ok().map(Timestamp::as_second)
}

/// Hour, minute and what follows them.
fn time_of_day(text: &str) -> Option<(i8, i8, &str)> {
    let hour_of = |digits: &str| digits.parse::<i8>().ok().filter(|hour| (0..24).contains(hour));
    for (word, hour) in [("noon", 12), ("midnight", 0), ("teatime", 16)] {
        if let Some(rest) = text.strip_prefix(word) {
            return Some((hour, 0, rest));
        }
    }
    if let Some(colon) = text.find(':').filter(|at| (1..3).contains(at)) {
        let mut hour = hour_of(&text[..colon])?;
        let minute = text.get(colon + 1..colon + 3)?.parse::<i8>().ok().filter(|minute| (0..60).contains(minute))?;
        let mut rest = &text[colon + 3..];
        if let Some(after) = rest.strip_prefix("am") {
            rest = after;
        } else if let Some(after) = rest.strip_prefix("pm") {
            hour = (hour + 12) % 24;
            rest = after;
        }
        return Some((hour, minute, rest));
    }
    for (half, later) in [("am", 0), ("pm", 12)] {
        if let Some(at) = text.find(half).filter(|at| (1..3).contains(at))
            && text[..at].bytes().all(|byte| byte.is_ascii_digit())
        {
            return Some(((hour_of(&text[..at])? + later) % 24, 0, &text[at + 2..]));
        }
    }
    Some((0, 0, text))
}

/// A weekday, the last one up to today, or a month with a day of this year.
fn named_day(text: &str, today: Date) -> Option<Date> {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    const DAYS: [(&str, Weekday); 7] = [
        ("sun", Weekday::Sunday),
        ("mon", Weekday::Monday),
        ("tue", Weekday::Tuesday),
        ("wed", Weekday::Wednesday),
        ("thu", Weekday::Thursday),
        ("fri", Weekday::Friday),
        ("sat", Weekday::Saturday),
    ];
    let start = text.get(..3)?;
    if let Some(month) = MONTHS.iter().position(|month| *month == start) {
        let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
        return Date::new(today.year(), month as i8 + 1, digits.parse().ok()?).ok();
    }
    let (_, weekday) = DAYS.into_iter().find(|(name, _)| *name == start)?;
    let back = today.weekday().since(weekday);
    today.checked_sub(Span::new().days(i64::from(back))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_add_their_parts_up() {
        for (text, expected) in [
            ("-6h", Some(-21_600)),
            ("10min", Some(600)),
            ("+1d12h", Some(129_600)),
            ("1mon", Some(2_592_000)),
            ("1y", Some(31_536_000)),
            ("2weeks", Some(1_209_600)),
            ("", Some(0)),
            ("5", None),
            ("h", None),
            ("1x", None),
            ("99999999999999999999d", None),
        ] {
            assert_eq!(offset_s(text), expected, "{text}");
        }
    }

    #[test]
    fn moments_are_read_as_graphite_reads_them() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        // Monday 2026-11-23 15:30:20 in Berlin.
        let now_s = "2026-11-23T14:30:20Z".parse::<Timestamp>().unwrap().as_second();
        for (text, expected) in [
            ("now", "2026-11-23T14:30:20Z"),
            ("-1h", "2026-11-23T13:30:20Z"),
            ("now-1d", "2026-11-22T14:30:20Z"),
            ("1763906525", "2025-11-23T14:02:05Z"),
            ("20261122", "2026-11-21T23:00:00Z"),
            ("16:05_20261122", "2026-11-22T15:05:00Z"),
            ("11/22/26", "2026-11-21T23:00:00Z"),
            ("noon yesterday", "2026-11-22T11:00:00Z"),
            ("midnight+1d", "2026-11-23T23:00:00Z"),
            ("teatime", "2026-11-23T15:00:00Z"),
            ("6pm today", "2026-11-23T17:00:00Z"),
            ("6:30pm", "2026-11-23T17:30:00Z"),
            ("monday", "2026-11-22T23:00:00Z"),
            ("friday", "2026-11-19T23:00:00Z"),
            ("nov 5", "2026-11-04T23:00:00Z"),
        ] {
            let moment =
                moment_s(text, now_s, &zone).map(|seconds| Timestamp::from_second(seconds).unwrap().to_string());
            assert_eq!(moment.as_deref(), Some(expected), "{text}");
        }
        for text in ["soon", "25:00", "13/45/26", "20261199x", "ä:ö", "99999999999999999999"] {
            assert_eq!(moment_s(text, now_s, &zone), None, "{text}");
        }
    }
}
