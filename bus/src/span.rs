//! Lengths of time as the configuration writes them: `500ms`, `5s`, `10m`, `1h`, `30d`, or `forever`.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The units, longest first, so that writing picks the largest that divides evenly.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// How long the records of a topic are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// For this long after they were appended, at least.
    For(Duration),
    /// Until someone prunes them.
    Forever,
}

impl<'de> Deserialize<'de> for Keep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "forever" { Ok(Keep::Forever) } else { parse(&text).map(Keep::For).map_err(de::Error::custom) }
    }
}

impl Serialize for Keep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Keep::For(length) => serialize(length, serializer),
            Keep::Forever => serializer.serialize_str("forever"),
        }
    }
}

/// For `#[serde(with = "span")]` on a `Duration`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

/// For `#[serde(with = "span")]` on a `Duration`.
pub(crate) fn serialize<S: Serializer>(length: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Written(*length))
}

struct Written(Duration);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let (unit, size) =
            UNITS.into_iter().find(|(_, size)| millis > 0 && millis.is_multiple_of(*size)).unwrap_or(("s", 1000));
        write!(f, "{}{unit}", millis / size)
    }
}

fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let size = UNITS.into_iter().find(|(name, _)| *name == unit).map(|(_, size)| size);
    number
        .parse::<u64>()
        .ok()
        .zip(size)
        .and_then(|(number, size)| number.checked_mul(size))
        .map(Duration::from_millis)
        .ok_or_else(|| {
            format!("`{text}` is not a length of time: write a whole number and ms, s, m, h or d, as in `5s`")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_reads_as_it_was_written() {
        for text in ["1ms", "1500ms", "5s", "90s", "10m", "36h", "30d", "0s"] {
            assert_eq!(Written(parse(text).unwrap()).to_string(), text);
        }
        assert_eq!(Written(parse("60s").unwrap()).to_string(), "1m");
    }

    #[test]
    fn what_is_no_length_is_refused_with_the_text_in_the_message() {
        for text in ["", "5", "s", "1.5s", "-1s", "5 s", "5y", "99999999999999999999d", "9999999999999999d"] {
            assert!(parse(text).unwrap_err().starts_with(&format!("`{text}` is not")), "{text}");
        }
    }
}
