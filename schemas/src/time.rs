//! A moment, to the millisecond, and the forms in which senders write one.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A moment in milliseconds since 1970-01-01T00:00:00Z.
///
/// Goes out as RFC 3339 with milliseconds. Comes in as RFC 3339 or as a number of seconds, milliseconds,
/// microseconds or nanoseconds, told apart by size (see [`UnixMillis::from_number`]).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub i64);

/// Says what time it is. Live code passes [`wall_clock`]; tests and `replay` own theirs.
pub type Clock = Arc<dyn Fn() -> UnixMillis + Send + Sync>;

/// The machine's own clock.
pub fn wall_clock() -> Clock {
    Arc::new(|| UnixMillis(jiff::Timestamp::now().as_millisecond()))
}

/// Why a text or number is not a moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time: write RFC 3339 (2026-11-23T14:02:05Z) or Unix seconds, milliseconds or nanoseconds")]
pub struct TimeError(String);

impl UnixMillis {
    /// A moment from whole Unix seconds, saturating at the ends of the range.
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Whole Unix seconds, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Unix seconds with their fraction.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e3
    }

    /// A moment from a bare number, its unit told by its size: below 1e11 seconds (until the year 5138),
    /// below 1e14 milliseconds, below 1e17 microseconds, and nanoseconds from there on.
    ///
    /// # Errors
    /// When the number is not finite.
    pub fn from_number(number: f64) -> Result<Self, TimeError> {
        if !number.is_finite() {
            return Err(TimeError(number.to_string()));
        }
        let millis = match number.abs() {
            size if size < 1e11 => number * 1e3,
            size if size < 1e14 => number,
            size if size < 1e17 => number / 1e3,
            _ => number / 1e6,
        };
        Ok(Self(millis.round() as i64))
    }

    /// This moment moved `by` later, saturating.
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This moment moved `by` earlier, saturating.
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(timestamp) => write!(f, "{timestamp:.3}"),
            Err(_) => write!(f, "{}", self.0),
        }
    }
}

impl FromStr for UnixMillis {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let text = text.trim();
        if let Ok(number) = text.parse::<f64>() {
            return Self::from_number(number);
        }
        text.parse::<jiff::Timestamp>()
            .map(|timestamp| Self(timestamp.as_millisecond()))
            .map_err(|_| TimeError(text.to_owned()))
    }
}

impl Serialize for UnixMillis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UnixMillis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = UnixMillis;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an RFC 3339 time or a Unix time")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<UnixMillis, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<UnixMillis, E> {
                self.visit_f64(number as f64)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<UnixMillis, E> {
                self.visit_f64(number as f64)
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<UnixMillis, E> {
                UnixMillis::from_number(number).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
impl schemars::JsonSchema for UnixMillis {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        if generator.contract().is_serialize() {
            return schemars::json_schema!({
                "description": "A moment as RFC 3339 in UTC, with milliseconds.",
                "type": "string",
                "format": "date-time",
            });
        }
        schemars::json_schema!({
            "description": "A moment: RFC 3339, or Unix seconds, milliseconds, microseconds or nanoseconds, told apart by their size.",
            "type": ["string", "number"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(text.parse::<UnixMillis>().unwrap().to_string(), expected);
    }

    #[test]
    fn the_unit_of_a_number_is_told_by_its_size() {
        for text in ["1763906525", "1763906525000", "1763906525000000", "1763906525000000000", "2025-11-23T14:02:05Z"] {
            check(text, "2025-11-23T14:02:05.000Z");
        }
    }

    #[test]
    fn fractions_and_offsets_are_kept_to_the_millisecond() {
        check("1763906525.1239", "2025-11-23T14:02:05.124Z");
        check("2025-11-23T15:02:05.5+01:00", "2025-11-23T14:02:05.500Z");
    }

    #[test]
    fn what_is_no_time_is_refused_with_the_text_in_the_message() {
        let message = "yesterday".parse::<UnixMillis>().unwrap_err().to_string();
        assert!(message.starts_with("`yesterday` is not a time"), "{message}");
        assert!("NaN".parse::<UnixMillis>().is_err());
    }
}
