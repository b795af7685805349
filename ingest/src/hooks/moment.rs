//! The forms in which senders write a time.

use deployline_schemas::UnixMillis;
use jiff::{civil, tz::TimeZone};

/// A time as some system writes it, or `None`.
///
/// Beyond what [`UnixMillis`] reads (RFC 3339 and Unix numbers in any unit): GitLab's `2021-04-28 21:50:00 +0200` and
/// `2016-08-12 15:23:28 UTC`, PagerDuty's `2020-07-17T08:42:58.315+0000`, and, in `zone`, `2012-02-15 17:02:11`.
pub(super) fn parse(text: &str, zone: &TimeZone) -> Option<UnixMillis> {
    let text = text.trim();
    if let Ok(moment) = text.parse() {
        return Some(moment);
    }
    if let Some(utc) = text.strip_suffix("UTC").or_else(|| text.strip_suffix("GMT")) {
        return in_zone(utc, &TimeZone::UTC);
    }
    // `date time offset`: joined, it is what RFC 3339 would write, but for the colon.
    let compact = text.replacen(' ', "T", 1).replace(' ', "");
    if let Ok(timestamp) = with_colon(&compact).parse::<jiff::Timestamp>() {
        return Some(UnixMillis(timestamp.as_millisecond()));
    }
    in_zone(text, zone)
}

/// The zone of a configured name; UTC without one.
pub(super) fn zone(name: Option<&str>) -> Option<TimeZone> {
    name.map_or(Some(TimeZone::UTC), |name| TimeZone::get(name).ok())
}

/// `+0200` at the end becomes `+02:00`.
fn with_colon(text: &str) -> String {
    let offset_at = text.len().saturating_sub(5);
    match text.get(offset_at..) {
        Some(offset) if offset.starts_with(['+', '-']) && offset[1..].bytes().all(|byte| byte.is_ascii_digit()) => {
            let minutes_at = text.len() - 2;
            format!("{}:{}", &text[..minutes_at], &text[minutes_at..])
        }
        _ => text.to_owned(),
    }
}

/// In the hour that a clock change repeats, the earlier moment; in the one that it skips, the later.
fn in_zone(text: &str, zone: &TimeZone) -> Option<UnixMillis> {
    let moment: civil::DateTime = text.trim().parse().ok()?;
    Some(UnixMillis(zone.to_ambiguous_zoned_datetime(moment).compatible().ok()?.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let zone = zone(Some("America/New_York")).unwrap();
        assert_eq!(parse(text, &zone).map(|moment| moment.to_string()).as_deref(), Some(expected), "{text}");
    }

    #[test]
    fn each_system_s_own_form_is_read() {
        check("2021-04-28 21:50:00 +0200", "2021-04-28T19:50:00.000Z");
        check("2016-08-12 15:23:28 UTC", "2016-08-12T15:23:28.000Z");
        check("2020-07-17T08:42:58.315+0000", "2020-07-17T08:42:58.315Z");
        check("2021-07-09T11:59:12-0400", "2021-07-09T15:59:12.000Z");
        check("2024-05-09 21:05:07 +02:00", "2024-05-09T19:05:07.000Z");
        check("2014-05-02T19:17:13.3309587Z", "2014-05-02T19:17:13.330Z");
        check("1471040808", "2016-08-12T22:26:48.000Z");
    }

    #[test]
    fn a_time_without_a_zone_is_in_the_configured_one() {
        check("2012-02-15 17:02:11", "2012-02-15T22:02:11.000Z");
        check("2012-07-15T17:02:11", "2012-07-15T21:02:11.000Z");
        check("2012-11-04 01:30:00", "2012-11-04T05:30:00.000Z");
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in ["", "yesterday", "2012-13-01 00:00:00", "é", "+a000", "12:00", "ü2345"] {
            assert_eq!(parse(text, &TimeZone::UTC), None, "{text}");
        }
    }
}
