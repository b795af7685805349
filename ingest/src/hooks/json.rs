//! Reading somebody else's JSON: by path, forgiving about types, strict about nothing that is not needed.

use deployline_schemas::UnixMillis;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::{HookError, HookRequest, moment};

/// A parsed document, or a part of one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Json<'v>(pub &'v Value);

/// The JSON of a request's body.
///
/// # Errors
/// When it is no JSON, no UTF-8, or nested deeper than 127 levels.
pub(super) fn document(request: &HookRequest) -> Result<Value, HookError> {
    let body = request.document();
    if body.is_empty() {
        return Err(HookError::malformed("it is empty"));
    }
    serde_json::from_slice(&body).map_err(|error| HookError::json(&error))
}

impl<'v> Json<'v> {
    /// The part at a path such as `build.scm.commit` or `changes.0.ref`; one that begins with `/` is a JSON Pointer
    /// (RFC 6901), for keys with dots. A null is as good as nothing.
    pub fn at(self, path: &str) -> Option<Json<'v>> {
        let found = if path.starts_with('/') {
            self.0.pointer(path)?
        } else {
            path.split('.').try_fold(self.0, |value, part| match value {
                Value::Array(items) => items.get(part.parse::<usize>().ok()?),
                value => value.get(part),
            })?
        };
        (!found.is_null()).then_some(Json(found))
    }

    /// The text at a path, trimmed; `None` when it is empty.
    pub fn str(self, path: &str) -> Option<&'v str> {
        let text = self.at(path)?.0.as_str()?.trim();
        (!text.is_empty()).then_some(text)
    }

    /// The text, number or truth value at a path, as text.
    pub fn text(self, path: &str) -> Option<String> {
        self.at(path)?.plain()
    }

    /// This text, number or truth value as text; `None` for anything else, and when it is empty.
    pub fn plain(self) -> Option<String> {
        match self.0 {
            Value::String(text) if text.trim().is_empty() => None,
            Value::String(text) => Some(text.trim().to_owned()),
            value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
            _ => None,
        }
    }

    /// The first path of several that has a text.
    pub fn first(self, paths: &[&str]) -> Option<String> {
        paths.iter().find_map(|path| self.text(path))
    }

    /// The text at a path that must be there.
    pub fn required(self, path: &str) -> Result<String, HookError> {
        self.text(path).ok_or_else(|| HookError::missing(path))
    }

    /// Whether `true` stands at a path.
    pub fn is_true(self, path: &str) -> bool {
        self.at(path).is_some_and(|value| value.0 == &Value::Bool(true))
    }

    /// The number at a path, also where it is written as text.
    pub fn number(self, path: &str) -> Option<f64> {
        match self.at(path)?.0 {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// The items of the list at a path; none when there is no list.
    pub fn items(self, path: &str) -> impl Iterator<Item = Json<'v>> + use<'v> {
        self.at(path).and_then(|value| value.0.as_array()).map(Vec::as_slice).unwrap_or_default().iter().map(Json)
    }

    /// The time at a path, in any form that [`moment::parse`] reads, without a zone in UTC.
    ///
    /// # Errors
    /// When something stands there that is no time.
    pub fn time(self, path: &str) -> Result<Option<UnixMillis>, HookError> {
        self.time_in(path, &TimeZone::UTC)
    }

    /// As [`Json::time`], a time without a zone taken in `zone`.
    pub fn time_in(self, path: &str, zone: &TimeZone) -> Result<Option<UnixMillis>, HookError> {
        let Some(text) = self.text(path) else { return Ok(None) };
        let moment = moment::parse(&text, zone);
        moment.map(Some).ok_or_else(|| HookError::invalid(path, format_args!("`{}` is no time", clip(&text, 60))))
    }

    /// The first path of several that has a time.
    pub fn first_time(self, paths: &[&str]) -> Result<Option<UnixMillis>, HookError> {
        for path in paths {
            if let Some(moment) = self.time(path)? {
                return Ok(Some(moment));
            }
        }
        Ok(None)
    }
}

/// The longest beginning of a text that is at most `n_bytes` long and ends between two characters.
pub(super) fn clip(text: &str, n_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(n_bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_reach_into_objects_and_lists() {
        let value = serde_json::json!({"a": {"b": [{"c": " x "}, 7]}, "d.e": true, "n": null, "s": ""});
        let json = Json(&value);
        assert_eq!(json.str("a.b.0.c"), Some("x"));
        assert_eq!(json.text("a.b.1").as_deref(), Some("7"));
        assert_eq!(json.text("/d.e").as_deref(), Some("true"));
        assert_eq!((json.text("n"), json.text("s"), json.text("a"), json.text("a.b.9")), (None, None, None, None));
        assert_eq!(json.items("a.b").count(), 2);
        assert_eq!(json.required("x.y").unwrap_err(), HookError::missing("x.y"));
    }

    #[test]
    fn what_is_no_time_names_its_path() {
        let value = serde_json::json!({"at": "soon"});
        assert_eq!(Json(&value).time("at").unwrap_err().to_string(), "`at` cannot be used: `soon` is no time");
        assert_eq!(Json(&value).time("nowhere"), Ok(None));
    }

    #[test]
    fn nesting_beyond_the_limit_is_refused() {
        let deep = |n: usize| HookRequest::new("[".repeat(n) + &"]".repeat(n), UnixMillis(0));
        assert!(document(&deep(127)).is_ok());
        assert_eq!(document(&deep(128)).unwrap_err(), HookError::TooDeep);
        assert_eq!(document(&deep(200_000)).unwrap_err().code(), "nested_too_deep");
    }
}
