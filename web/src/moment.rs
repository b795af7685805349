//! Moments in a query: `now`, `-1h`, `now-30min`, a time of day, Unix time, RFC 3339.

use std::time::Duration;

use deployline_schemas::UnixMillis;

use crate::error::WebError;

/// Reads a moment. A bare time of day, `14:03` or `14:03:20`, is its last occurrence in UTC.
///
/// # Errors
/// [`WebError::Refused`] that names `field`.
pub fn parse(field: &'static str, text: &str, now: UnixMillis) -> Result<UnixMillis, WebError> {
    let text = text.trim();
    let relative = text.strip_prefix("now").unwrap_or(text);
    if relative.is_empty() && !text.is_empty() {
        return Ok(now);
    }
    let refuse = || {
        let forms = "-1h, 14:03, Unix time or RFC 3339 (2026-11-23T14:02:05Z)";
        WebError::parameter(field, format!("`{text}` is not a time: write {forms}"))
    };
    if let Some(back) = relative.strip_prefix('-')
        && let Some(back) = duration(back)
    {
        return Ok(now.minus(back));
    }
    if let Some(ahead) = relative.strip_prefix('+').filter(|_| text.starts_with("now"))
        && let Some(ahead) = duration(ahead)
    {
        return Ok(now.plus(ahead));
    }
    if let Some(moment) = time_of_day(text, now) {
        return Ok(moment);
    }
    let moment: UnixMillis = text.parse().map_err(|_| refuse())?;
    // 1970 to 9999: what lies outside can be neither stored nor drawn.
    (0..253_402_300_800_000).contains(&moment.0).then_some(moment).ok_or_else(refuse)
}

/// A duration in Graphite's units: `s`, `min`, `h`, `d`, `w`, `mon` (30 days), `y` (365 days) and their longer forms;
/// `m` means minutes. `None` for anything else.
pub fn duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (count, unit) = text.split_at(split);
    let count: u64 = count.parse().ok()?;
    let seconds = match unit {
        "s" | "sec" | "secs" | "second" | "seconds" => 1,
        "m" | "min" | "mins" | "minute" | "minutes" => 60,
        "h" | "hour" | "hours" => 3600,
        "d" | "day" | "days" => 86_400,
        "w" | "week" | "weeks" => 7 * 86_400,
        "mon" | "month" | "months" => 30 * 86_400,
        "y" | "year" | "years" => 365 * 86_400,
        _ => return None,
    };
    // Ten thousand years are enough for anyone, and keep the arithmetic far from its ends.
    count.checked_mul(seconds).filter(|seconds| *seconds <= 10_000 * 365 * 86_400).map(Duration::from_secs)
}

fn time_of_day(text: &str, now: UnixMillis) -> Option<UnixMillis> {
    let parts: Vec<i64> = text.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let (hours, minutes, seconds) = match parts[..] {
        [hours, minutes] => (hours, minutes, 0),
        [hours, minutes, seconds] => (hours, minutes, seconds),
        _ => return None,
    };
    let valid = (0..24).contains(&hours) && (0..60).contains(&minutes) && (0..60).contains(&seconds);
    let midnight = now.as_secs().div_euclid(86_400) * 86_400;
    let today = UnixMillis::from_secs(midnight + hours * 3600 + minutes * 60 + seconds);
    valid.then(|| if today > now { today.minus(Duration::from_secs(86_400)) } else { today })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let now = "2026-11-23T14:30:00Z".parse().unwrap();
        let outcome = parse("from", text, now);
        assert_eq!(outcome.map_or_else(|error| error.to_string(), |moment| moment.to_string()), expected);
    }

    #[test]
    fn a_moment_is_written_in_many_ways() {
        check("now", "2026-11-23T14:30:00.000Z");
        check("-1h", "2026-11-23T13:30:00.000Z");
        check("now-30min", "2026-11-23T14:00:00.000Z");
        check("now+5m", "2026-11-23T14:35:00.000Z");
        check("14:03", "2026-11-23T14:03:00.000Z");
        check("15:00:30", "2026-11-22T15:00:30.000Z");
        check("1795441325", "2026-11-23T13:42:05.000Z");
        check("2026-11-23T14:02:05+01:00", "2026-11-23T13:02:05.000Z");
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in ["", "-", "soon", "-5", "-1fortnight", "25:00", "99999999999999999999999d", "-99999999999999h"] {
            let message =
                format!("`{text}` is not a time: write -1h, 14:03, Unix time or RFC 3339 (2026-11-23T14:02:05Z)");
            check(text, &message);
        }
    }
}
