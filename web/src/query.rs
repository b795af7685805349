//! Queries: names and values, each read once and checked.

use deployline_schemas::UnixMillis;

use crate::{error::WebError, moment};

/// Longest query that is looked at, in bytes.
const MAX_QUERY_BYTES: usize = 64 * 1024;

/// The parameters of a query, decoded, in order.
#[derive(Debug, Clone, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads what follows the `?`. A parameter whose value is empty counts as absent, as forms send it.
    ///
    /// # Errors
    /// When it is longer than 64 KiB.
    pub fn parse(raw: &str) -> Result<Self, WebError> {
        if raw.len() > MAX_QUERY_BYTES {
            return Err(WebError::parameter("query", "the query is longer than 64 KiB"));
        }
        let pairs = form_urlencoded::parse(raw.as_bytes()).filter(|(_, value)| !value.trim().is_empty());
        Ok(Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect()))
    }

    /// The same query with the parameters of a form after its own, whose last values count.
    #[must_use]
    pub fn with_form(mut self, body: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(body).filter(|(_, value)| !value.trim().is_empty());
        self.0.extend(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())));
        self
    }

    /// The same query; a name that is absent gets this value.
    #[must_use]
    pub fn or(mut self, name: &str, value: &str) -> Self {
        if self.get(name).is_none() && !value.trim().is_empty() {
            self.0.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Names and values in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether a switch is on: there, and neither `0` nor `false`.
    pub fn is_set(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| !matches!(value.trim(), "0" | "false" | "False"))
    }

    /// The last value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The last value of a name, trimmed and owned.
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(|value| value.trim().to_owned())
    }

    /// Every value of a name, in order.
    pub fn all<'q>(&'q self, name: &'q str) -> impl Iterator<Item = &'q str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A moment; `None` when absent.
    ///
    /// # Errors
    /// See [`moment::parse`].
    pub fn moment(&self, name: &'static str, now: UnixMillis) -> Result<Option<UnixMillis>, WebError> {
        self.get(name).map(|text| moment::parse(name, text, now)).transpose()
    }

    /// A whole number, held within bounds; `default` when absent.
    ///
    /// # Errors
    /// When it is no whole number.
    pub fn count(&self, name: &str, default: usize, bounds: (usize, usize)) -> Result<usize, WebError> {
        let Some(text) = self.get(name) else { return Ok(default) };
        let count: usize =
            text.trim().parse().map_err(|_| WebError::parameter(name, format!("`{text}` is not a whole number")))?;
        Ok(count.clamp(bounds.0, bounds.1))
    }

    /// One word of a fixed set; `None` when absent.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn word<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Option<T>, WebError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let word: Result<T, serde::de::value::Error> =
            T::deserialize(serde::de::IntoDeserializer::into_deserializer(text.as_str()));
        // serde's text lists the words that would be taken.
        word.map(Some).map_err(|error| WebError::parameter(name, error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deployline_schemas::deploy::Kind;

    #[test]
    fn values_are_decoded_and_empty_ones_are_absent() {
        let query = Query::parse("target=a%2Bb&service=&target=c+d&limit=7").unwrap();
        assert_eq!(query.all("target").collect::<Vec<_>>(), ["a+b", "c d"]);
        assert_eq!(query.get("service"), None);
        assert_eq!(query.count("limit", 50, (1, 5)).unwrap(), 5);
    }

    #[test]
    fn a_form_goes_on_where_the_query_ends() {
        let query =
            Query::parse("target=a&format=png&leavesOnly=0").unwrap().with_form(b"target=b&format=json&wildcards=1");
        assert_eq!(query.all("target").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(
            (query.get("format"), query.is_set("leavesOnly"), query.is_set("wildcards")),
            (Some("json"), false, true)
        );
    }

    #[test]
    fn a_wrong_word_names_the_right_ones() {
        let kind = |raw: &str| Query::parse(raw).unwrap().word::<Kind>("kind").map_err(|error| error.to_string());
        assert_eq!(kind("kind=rollback"), Ok(Some(Kind::Rollback)));
        assert!(kind("kind=x").unwrap_err().starts_with("unknown variant `x`, expected one of `deploy`"));
    }
}
