//! Numbers, times and ages as people read them: one notation for chat, terminal and pages.

use std::time::Duration;

use deployline_schemas::{UnixMillis, blame::Effect, signal::SignalKind};

/// A number with three significant digits, no exponent up to a billion: `0.0123`, `4.8`, `1234`.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "?".to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let magnitude = value.abs().log10().floor() as i32;
    if !(-6..9).contains(&magnitude) {
        return format!("{value:.2e}");
    }
    let decimals = usize::try_from(2 - magnitude).unwrap_or(0);
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// A value in its signal's own unit: a ratio as percent, a StatsD timer in milliseconds, anything else bare.
pub fn value(value: f64, kind: SignalKind, series: &str) -> String {
    match kind {
        SignalKind::Ratio => format!("{} %", number(value * 100.0)),
        // StatsD timers are milliseconds by definition; other latencies carry the sender's unit, which we do not know.
        SignalKind::Latency if series.contains(".timers.") => format!("{} ms", number(value)),
        _ => number(value),
    }
}

/// How far a signal moved, with its 95 % interval: `24× (19–30)`, or `+12 (8–15)` where it was 0 before.
pub fn factor(effect: &Effect, kind: SignalKind, series: &str) -> String {
    if effect.before == 0.0 {
        let show = |amount| value(amount, kind, series);
        return format!("+{} ({}–{})", show(effect.factor), show(effect.low), show(effect.high));
    }
    format!("{}× ({}–{})", number(effect.factor), number(effect.low), number(effect.high))
}

/// A probability in whole percent; `<1 %` and `>99 %` at the ends, because nobody is ever sure.
pub fn odds(probability: f64) -> String {
    match probability * 100.0 {
        percent if percent.is_nan() => "?".to_owned(),
        percent if percent < 1.0 => "<1 %".to_owned(),
        percent if percent > 99.0 => ">99 %".to_owned(),
        percent => format!("{percent:.0} %"),
    }
}

/// The time of day in UTC, `14:02:05`; the date stands before it when `seen_from` is another day.
pub fn clock(at: UnixMillis, seen_from: UnixMillis) -> String {
    let civil =
        |moment: UnixMillis| jiff::Timestamp::from_millisecond(moment.0).map(|t| jiff::tz::Offset::UTC.to_datetime(t));
    match (civil(at), civil(seen_from)) {
        (Ok(at), Ok(seen_from)) if at.date() == seen_from.date() => at.strftime("%H:%M:%S").to_string(),
        (Ok(at), _) => at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        (Err(_), _) => at.to_string(),
    }
}

/// A duration in its two leading units: `40 s`, `12 min`, `3 h 20 min`, `2 d 4 h`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let pair = |large: u64, large_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large} {large_unit}"),
        small => format!("{large} {large_unit} {small} {small_unit}"),
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..600 => pair(seconds / 60, "min", seconds % 60, "s"),
        600..3600 => format!("{} min", seconds / 60),
        3600..86_400 => pair(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => pair(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// How long after `from` lies `until`; nothing when it lies before.
pub fn between(from: UnixMillis, until: UnixMillis) -> Duration {
    Duration::from_millis(u64::try_from(until.0.saturating_sub(from.0)).unwrap_or(0))
}

pub use deployline_schemas::deploy::short_revision as revision;

/// `text` cut to at most `limit` characters, an ellipsis the last of them where something was cut.
pub fn clip(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let kept: String = text.chars().take(limit.saturating_sub(1)).collect();
    kept.trim_end().to_owned() + "…"
}

/// The first line of a text, white space collapsed, control characters (a terminal would obey them) dropped.
pub fn one_line(text: &str) -> String {
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let clean: String =
        line.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| !c.is_control()).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits() {
        for (value, expected) in [
            (0.0, "0"),
            (0.012345, "0.0123"),
            (4.8, "4.8"),
            (24.04, "24"),
            (119.6, "120"),
            (1234.5, "1234"),
            (-0.5, "-0.5"),
            (2.5e12, "2.50e12"),
            (f64::INFINITY, "?"),
        ] {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn a_factor_from_zero_is_a_difference() {
        let effect = |before| Effect { before, after: 0.04, factor: 0.04, low: 0.03, high: 0.05 };
        assert_eq!(factor(&effect(0.0), SignalKind::Ratio, "x"), "+4 % (3 %–5 %)");
        assert_eq!(factor(&effect(1.0), SignalKind::Ratio, "x"), "0.04× (0.03–0.05)");
    }

    #[test]
    fn odds_never_claim_certainty() {
        assert_eq!([odds(0.0), odds(0.9349), odds(1.0)], ["<1 %", "93 %", ">99 %"]);
    }

    #[test]
    fn durations_have_at_most_two_units() {
        let text = |seconds| duration(Duration::from_secs(seconds));
        assert_eq!(
            [text(40), text(90), text(720), text(12_000), text(86_400)],
            ["40 s", "1 min 30 s", "12 min", "3 h 20 min", "1 d"]
        );
    }

    #[test]
    fn another_day_shows_its_date() {
        let at: UnixMillis = "2026-11-23T14:02:05Z".parse().unwrap();
        assert_eq!(clock(at, at), "14:02:05");
        assert_eq!(clock(at, at.plus(Duration::from_secs(86_400))), "2026-11-23 14:02:05");
    }

    #[test]
    fn only_hashes_are_shortened() {
        assert_eq!(revision("9bc1f2e77aa0b1c2d3e4"), "9bc1f2e");
        assert_eq!(revision("release-2026-11-23"), "release-2026-11-23");
    }

    #[test]
    fn one_line_drops_what_a_terminal_would_obey() {
        assert_eq!(one_line("\n  fix \u{1b}[31mcart\t totals\r\nmore"), "fix [31mcart totals");
        assert_eq!(clip("abcdef", 4), "abc…");
    }
}
