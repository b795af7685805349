//! The time axis: ticks at round civil times of the asked zone, from ten seconds apart to years.

use deployline_schemas::UnixMillis;
use jiff::{
    Span, Timestamp, Unit,
    civil::{DateTime, Time},
    tz::TimeZone,
};

/// A tick of the time axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TimeTick {
    pub at: UnixMillis,
    pub label: String,
    /// Whether a larger unit begins here (a day among hours, a year among months): its label is set bold.
    pub begins: bool,
}

/// How far ticks stand apart: a count of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step(Unit, i64);

/// Every distance that reads as round, with its usual length in seconds.
const STEPS: [(Step, i64); 29] = [
    (Step(Unit::Second, 1), 1),
    (Step(Unit::Second, 2), 2),
    (Step(Unit::Second, 5), 5),
    (Step(Unit::Second, 10), 10),
    (Step(Unit::Second, 15), 15),
    (Step(Unit::Second, 30), 30),
    (Step(Unit::Minute, 1), 60),
    (Step(Unit::Minute, 2), 120),
    (Step(Unit::Minute, 5), 300),
    (Step(Unit::Minute, 10), 600),
    (Step(Unit::Minute, 15), 900),
    (Step(Unit::Minute, 30), 1800),
    (Step(Unit::Hour, 1), 3600),
    (Step(Unit::Hour, 2), 7200),
    (Step(Unit::Hour, 3), 10_800),
    (Step(Unit::Hour, 6), 21_600),
    (Step(Unit::Hour, 12), 43_200),
    (Step(Unit::Day, 1), 86_400),
    (Step(Unit::Day, 2), 172_800),
    (Step(Unit::Day, 7), 604_800),
    (Step(Unit::Day, 14), 1_209_600),
    (Step(Unit::Month, 1), 2_592_000),
    (Step(Unit::Month, 3), 7_776_000),
    (Step(Unit::Month, 6), 15_552_000),
    (Step(Unit::Year, 1), 31_536_000),
    (Step(Unit::Year, 2), 63_072_000),
    (Step(Unit::Year, 5), 157_680_000),
    (Step(Unit::Year, 10), 315_360_000),
    (Step(Unit::Year, 100), 3_153_600_000),
];

/// The ticks within `[from, until]`, as many as stay `spacing(label)` of the window apart, ascending.
///
/// `share_of` says which share of the axis a label of so many characters needs, its margins included. `format` is
/// how they are written, in strftime's signs, where not as suits their distance.
pub(crate) fn ticks(
    from: UnixMillis,
    until: UnixMillis,
    zone: &TimeZone,
    format: Option<&str>,
    share_of: impl Fn(usize) -> f64,
) -> Vec<TimeTick> {
    let (from, until) = (stamp(from), stamp(until));
    let window_s = (until.duration_since(from).as_millis() as f64 / 1e3).max(0.001);
    let written = |moment: Timestamp| format.and_then(|format| written(format, moment, zone));
    let asked_chars = written(until).map(|label| label.chars().count());
    let fits = |(step, length_s): &&(Step, i64)| {
        *length_s as f64 / window_s >= share_of(asked_chars.unwrap_or_else(|| step.label_chars()))
    };
    let step = STEPS.iter().find(fits).map_or(STEPS[STEPS.len() - 1].0, |(step, _)| *step);
    let mut at = step.floor(zone.to_datetime(from));
    let mut ticks: Vec<TimeTick> = Vec::new();
    // A label takes some share of the axis, so this many steps are never reached; the bound is for windows with no end.
    for _ in 0..500 {
        // A civil time that a zone skips moves to the first that exists; then two may fall together.
        let Ok(moment) = zone.to_timestamp(at) else { break };
        if moment > until {
            break;
        }
        let later = ticks.last().is_none_or(|last| last.at.0 < moment.as_millisecond());
        if moment >= from && later {
            // The label says what a clock shows then, also where that is not the time asked for.
            let tick = step.tick(zone.to_datetime(moment), moment);
            ticks.push(TimeTick { label: written(moment).unwrap_or(tick.label), ..tick });
        }
        match step.next(at) {
            Some(next) => at = next,
            None => break,
        }
    }
    ticks
}

/// Whether a time can be written in these of strftime's signs.
pub fn is_format(format: &str) -> bool {
    written(format, Timestamp::UNIX_EPOCH, &TimeZone::UTC).is_some()
}

/// A moment in strftime's signs; `None` where they make no sense.
fn written(format: &str, moment: Timestamp, zone: &TimeZone) -> Option<String> {
    // strftime's own words for a tick: anything longer would cover its neighbours.
    const LONGEST: usize = 64;
    let text = jiff::fmt::strtime::format(format, &moment.to_zoned_datetime(zone.clone())).ok()?;
    Some(text.chars().take(LONGEST).collect())
}

/// The window in words: the dates, and the zone with its abbreviation where that says more.
pub(crate) fn context(from: UnixMillis, until: UnixMillis, zone: &TimeZone) -> String {
    let (first, last) = (stamp(from), stamp(until));
    // A window that ends with a day's last moment does not reach into the next.
    let inside = Timestamp::from_millisecond(last.as_millisecond().saturating_sub(1)).unwrap_or(last).max(first);
    let (start, end) = (zone.to_datetime(first), zone.to_datetime(inside));
    let dates = if start.date() == end.date() {
        start.strftime("%A %-d %B %Y").to_string()
    } else if (start.year(), start.month()) == (end.year(), end.month()) {
        format!("{}–{}", start.day(), end.strftime("%-d %B %Y"))
    } else if start.year() == end.year() {
        format!("{} – {}", start.strftime("%-d %B"), end.strftime("%-d %B %Y"))
    } else {
        format!("{} – {}", start.strftime("%-d %B %Y"), end.strftime("%-d %B %Y"))
    };
    let info = zone.to_offset_info(first);
    let name = match zone.iana_name() {
        Some(name) if name.contains('/') && info.abbreviation().chars().all(char::is_alphabetic) => {
            format!("{name} ({})", info.abbreviation())
        }
        Some(name) => name.to_owned(),
        None if info.offset().is_zero() => "UTC".to_owned(),
        None => format!("UTC{}", info.offset()),
    };
    format!("{dates}, {name}")
}

/// A time of day for a list: with seconds, and with the date where the window spans days.
pub(crate) fn clock(at: UnixMillis, zone: &TimeZone, with_date: bool) -> String {
    let civil = zone.to_datetime(stamp(at));
    civil.strftime(if with_date { "%-d %b %H:%M:%S" } else { "%H:%M:%S" }).to_string()
}

/// The nearest moment that a calendar can name.
fn stamp(at: UnixMillis) -> Timestamp {
    // A week inside the calendar's ends, so that no zone's offset leads out of them.
    const WEEK_MS: i64 = 604_800_000;
    let (min, max) = (Timestamp::MIN.as_millisecond() + WEEK_MS, Timestamp::MAX.as_millisecond() - WEEK_MS);
    Timestamp::from_millisecond(at.0.clamp(min, max)).unwrap_or_default()
}

impl Step {
    /// The length of its usual label.
    fn label_chars(self) -> usize {
        match self.0 {
            Unit::Second => 8,
            Unit::Minute | Unit::Hour => 5,
            Unit::Day => 6,
            _ => 4,
        }
    }

    /// The last round time at or before `at`.
    fn floor(self, at: DateTime) -> DateTime {
        let Step(unit, count) = self;
        let down = |value: i64| (value - value.rem_euclid(count)) as i8;
        let date = at.date();
        let midnight = |date: jiff::civil::Date| date.to_datetime(Time::midnight());
        match unit {
            Unit::Second => date.at(at.hour(), at.minute(), down(i64::from(at.second())), 0),
            Unit::Minute => date.at(at.hour(), down(i64::from(at.minute())), 0, 0),
            Unit::Hour => date.at(down(i64::from(at.hour())), 0, 0, 0),
            Unit::Day => {
                // Weeks begin on Monday; other distances count from the epoch, so that they stay when the window moves.
                let days =
                    midnight(date).duration_since(jiff::civil::date(1969, 12, 29).at(0, 0, 0, 0)).as_hours() / 24;
                midnight(date.checked_sub(Span::new().days(days.rem_euclid(count))).unwrap_or(date))
            }
            Unit::Month => {
                let month = down(i64::from(at.month()) - 1) + 1;
                midnight(jiff::civil::Date::new(date.year(), month, 1).unwrap_or(date))
            }
            _ => {
                let year = i64::from(date.year());
                midnight(jiff::civil::Date::new((year - year.rem_euclid(count)) as i16, 1, 1).unwrap_or(date))
            }
        }
    }

    fn next(self, at: DateTime) -> Option<DateTime> {
        let Step(unit, count) = self;
        let span = match unit {
            Unit::Second => Span::new().seconds(count),
            Unit::Minute => Span::new().minutes(count),
            Unit::Hour => Span::new().hours(count),
            Unit::Day => Span::new().days(count),
            Unit::Month => Span::new().months(count),
            _ => Span::new().years(count),
        };
        at.checked_add(span).ok()
    }

    fn tick(self, at: DateTime, moment: Timestamp) -> TimeTick {
        let begins = match self.0 {
            Unit::Second | Unit::Minute | Unit::Hour => at.time() == Time::midnight(),
            Unit::Day => false,
            Unit::Month => at.month() == 1,
            _ => false,
        };
        let format = match (self.0, begins) {
            (Unit::Second | Unit::Minute | Unit::Hour, true) => "%-d %b",
            (Unit::Second, false) => "%H:%M:%S",
            (Unit::Minute | Unit::Hour, false) => "%H:%M",
            (Unit::Day, _) => "%-d %b",
            (Unit::Month, false) => "%b",
            _ => "%Y",
        };
        TimeTick { at: UnixMillis(moment.as_millisecond()), label: at.strftime(format).to_string(), begins }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The labels of a window with room for six ticks, whatever their length.
    #[track_caller]
    fn check(zone: &str, from: &str, until: &str, expected: &str) {
        let zone = TimeZone::get(zone).unwrap();
        let ticks = ticks(from.parse().unwrap(), until.parse().unwrap(), &zone, None, |_| 1.0 / 6.5);
        let labels: Vec<String> =
            ticks.into_iter().map(|t| if t.begins { format!("*{}", t.label) } else { t.label }).collect();
        assert_eq!(labels.join(" "), expected);
    }

    #[test]
    fn ticks_stand_at_round_times_at_every_scale() {
        check(
            "UTC",
            "2026-11-23T14:01:07Z",
            "2026-11-23T14:02:05Z",
            "14:01:10 14:01:20 14:01:30 14:01:40 14:01:50 14:02:00",
        );
        check("UTC", "2026-11-23T13:57:00Z", "2026-11-23T14:57:00Z", "14:00 14:10 14:20 14:30 14:40 14:50");
        check("UTC", "2026-11-22T14:30:00Z", "2026-11-23T14:30:00Z", "18:00 *23 Nov 06:00 12:00");
        check(
            "UTC",
            "2026-11-10T00:00:00Z",
            "2026-11-23T00:00:00Z",
            "10 Nov 12 Nov 14 Nov 16 Nov 18 Nov 20 Nov 22 Nov",
        );
        check("UTC", "2026-09-10T00:00:00Z", "2026-10-23T00:00:00Z", "14 Sep 21 Sep 28 Sep 5 Oct 12 Oct 19 Oct");
        check("UTC", "2026-01-10T00:00:00Z", "2027-04-10T00:00:00Z", "Apr Jul Oct *2027 Apr");
        check("UTC", "1990-01-10T00:00:00Z", "2027-04-10T00:00:00Z", "2000 2010 2020");
    }

    #[test]
    fn ticks_follow_the_zone_through_its_changes() {
        check("Asia/Kolkata", "2026-11-23T13:57:00Z", "2026-11-23T19:57:00Z", "20:00 21:00 22:00 23:00 *24 Nov 01:00");
        // 02:00 does not exist on that night, and 02:00–03:00 comes twice on the other.
        check("Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29T04:30:00Z", "*29 Mar 01:00 03:00 04:00 05:00 06:00");
        check("Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25T03:30:00Z", "*25 Oct 01:00 02:00 03:00 04:00");
    }

    #[test]
    fn the_window_is_told_in_words() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let words = |from: &str, until: &str| context(from.parse().unwrap(), until.parse().unwrap(), &berlin);
        assert_eq!(
            words("2026-11-23T10:00:00Z", "2026-11-23T11:00:00Z"),
            "Monday 23 November 2026, Europe/Berlin (CET)"
        );
        assert_eq!(words("2026-11-22T10:00:00Z", "2026-11-23T11:00:00Z"), "22–23 November 2026, Europe/Berlin (CET)");
        assert_eq!(
            words("2026-10-22T10:00:00Z", "2026-11-23T11:00:00Z"),
            "22 October – 23 November 2026, Europe/Berlin (CEST)"
        );
        assert_eq!(context(UnixMillis(0), UnixMillis(86_400_000), &TimeZone::UTC), "Thursday 1 January 1970, UTC");
    }

    #[test]
    fn times_are_written_as_asked() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let (from, until) = ("2026-11-23T10:00:00Z".parse().unwrap(), "2026-11-23T11:00:00Z".parse().unwrap());
        let labels = |format: &str| {
            let ticks = ticks(from, until, &berlin, Some(format), |n_chars| n_chars as f64 / 40.0);
            ticks.into_iter().map(|tick| tick.label).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(labels("%Hh%M"), "11h00 11h10 11h20 11h30 11h40 11h50 12h00");
        // A longer label leaves room for fewer.
        assert_eq!(labels("%d.%m. %H:%M"), "23.11. 11:00 23.11. 11:30 23.11. 12:00");
        assert!(is_format("%a %H:%M") && !is_format("%") && !is_format("%!"));
    }

    #[test]
    fn no_window_is_too_far_out() {
        for (from, until) in [(i64::MIN, i64::MAX), (i64::MAX, i64::MAX), (i64::MIN, 0), (5, 5), (9, 3)] {
            let ticks = ticks(UnixMillis(from), UnixMillis(until), &TimeZone::UTC, None, |_| 0.1);
            assert!(ticks.len() <= 500);
            context(UnixMillis(from), UnixMillis(until), &TimeZone::UTC);
        }
    }
}
