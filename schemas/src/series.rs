//! Series names, with Graphite's tags, and datapoints.

use std::fmt;

/// Longest series name, tags included, in bytes. Carbon's own line limit is 16,384; no real name comes near this.
pub const MAX_SERIES_BYTES: usize = 4096;

/// Why a text does not name a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SeriesError {
    /// Nothing before the first tag.
    #[error("the series name is empty")]
    Empty,
    /// Longer than [`MAX_SERIES_BYTES`].
    #[error("the series name has {0} bytes, at most {MAX_SERIES_BYTES} are taken")]
    TooLong(usize),
    /// A tag without `=`, without a name or without a value, or with a value that begins with `~`.
    #[error("a tag is not `name=value`")]
    Tag,
    /// White space or a control character.
    #[error("the series name holds white space or a control character")]
    Character,
}

/// Returns the name in canonical form: tags sorted by name, the last of equal names kept, as carbon stores it.
///
/// Without a tag the name comes back as it is.
///
/// # Errors
/// See [`SeriesError`].
pub fn canonical(name: &str) -> Result<String, SeriesError> {
    if name.len() > MAX_SERIES_BYTES {
        return Err(SeriesError::TooLong(name.len()));
    }
    if name.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(SeriesError::Character);
    }
    let mut parts = name.split(';');
    let metric = parts.next().unwrap_or_default();
    if metric.is_empty() {
        return Err(SeriesError::Empty);
    }
    let mut tags = std::collections::BTreeMap::new();
    for part in parts {
        let (tag, value) = part.split_once('=').ok_or(SeriesError::Tag)?;
        if tag.is_empty() || value.is_empty() || value.starts_with('~') || tag.contains(['!', '^']) {
            return Err(SeriesError::Tag);
        }
        tags.insert(tag, value);
    }
    Ok(tags.into_iter().fold(metric.to_owned(), |name, (tag, value)| format!("{name};{tag}={value}")))
}

/// Returns the name of what Prometheus calls `metric{label="value"}`: `metric;label=value`, labels sorted, empty ones left out.
///
/// What no series name may hold (white space, control characters, `;` in a value, a leading `~`) becomes `_`.
pub fn of_labels<'a>(metric: &str, labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let clean = |text: &str| -> String {
        text.chars().map(|c| if c == ';' || c.is_whitespace() || c.is_control() { '_' } else { c }).collect()
    };
    let mut labels: Vec<_> = labels.filter(|(_, value)| !value.is_empty()).collect();
    labels.sort_unstable();
    labels.into_iter().fold(clean(metric), |name, (label, value)| {
        let value = clean(value);
        let value = value.strip_prefix('~').map_or_else(|| value.clone(), |rest| format!("_{rest}"));
        format!("{name};{label}={value}")
    })
}

/// One value of one series. `timestamp_s` is Unix seconds, the end of the interval that the value speaks of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Datapoint<'a> {
    /// The canonical series name.
    pub series: &'a str,
    /// Never NaN: a gap is the absence of a datapoint.
    pub value: f64,
    /// Unix seconds.
    pub timestamp_s: i64,
}

impl fmt::Display for Datapoint<'_> {
    /// A line of Graphite's plaintext protocol, without its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.series, self.value, self.timestamp_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_sorted_and_the_last_of_equal_names_wins() {
        assert_eq!(canonical("cpu;host=a;env=p;host=b").unwrap(), "cpu;env=p;host=b");
        assert_eq!(canonical("stats.checkout.errors").unwrap(), "stats.checkout.errors");
    }

    #[test]
    fn labels_become_tags() {
        let labels = [("job", "a b;c"), ("empty", ""), ("instance", "~h:9")];
        let name = of_labels("up", labels.into_iter());
        assert_eq!(name, "up;instance=_h:9;job=a_b_c");
        assert_eq!(canonical(&name).as_deref(), Ok(name.as_str()));
    }

    #[test]
    fn what_names_no_series_is_refused() {
        for (name, expected) in [
            ("", SeriesError::Empty),
            (";a=b", SeriesError::Empty),
            ("a;b", SeriesError::Tag),
            ("a;b=~c", SeriesError::Tag),
            ("a b", SeriesError::Character),
        ] {
            assert_eq!(canonical(name), Err(expected), "{name}");
        }
        assert_eq!(canonical(&"x".repeat(5000)), Err(SeriesError::TooLong(5000)));
    }
}
