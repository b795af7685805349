//! One HTTP request, as far as a hook looks at it.

use std::borrow::Cow;

use bytes::Bytes;
use deployline_schemas::UnixMillis;

/// A request to a hook, free of any HTTP library's types.
#[derive(Debug, Clone, Default)]
pub struct HookRequest {
    /// What follows the source's own path, without a leading slash: `1/markers/web` of `/hooks/honeycomb/1/markers/web`.
    pub path: String,
    /// The headers, in order, their names in any case.
    pub headers: Vec<(String, String)>,
    /// The raw query, without `?`.
    pub query: String,
    /// The raw body: signatures are over these bytes.
    pub body: Bytes,
    /// When it arrived, by the receiver's clock.
    pub received_at: UnixMillis,
    /// How many of the body's first lines were taken before, and are there only to explain the rest; of a log's.
    pub n_known_lines: usize,
}

impl HookRequest {
    /// A request with a body alone.
    pub fn new(body: impl Into<Bytes>, received_at: UnixMillis) -> Self {
        Self { body: body.into(), received_at, ..Self::default() }
    }

    /// The same request with one header more.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The first header of a name, without the white space around it; `None` when it is empty.
    pub fn header(&self, name: &str) -> Option<&str> {
        let value = self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name))?.1.trim();
        (!value.is_empty()).then_some(value)
    }

    /// The first parameter of a name in the query, decoded; `None` when it is empty.
    pub fn parameter(&self, name: &str) -> Option<String> {
        pair(self.query.as_bytes(), name)
    }

    /// The part of the path after the part `name`, decoded: `web` after `markers` in `1/markers/web`.
    pub fn path_after(&self, name: &str) -> Option<String> {
        let mut parts = self.path.split('/');
        parts.find(|part| *part == name)?;
        // A path has no `+` for blanks and no pairs; put as one value, it decodes as a path does.
        let part = parts.next()?.replace('+', "%2B");
        let value = form_urlencoded::parse(part.as_bytes()).next()?.0.into_owned();
        (!value.is_empty()).then_some(value)
    }

    /// The JSON document of the body. A form-encoded body holds it in the field `payload`, as GitHub sends it.
    pub(super) fn document(&self) -> Cow<'_, [u8]> {
        if !self.is_form() {
            return Cow::Borrowed(&self.body);
        }
        match pair(&self.body, "payload") {
            Some(payload) => Cow::Owned(payload.into_bytes()),
            None => Cow::Borrowed(&self.body),
        }
    }

    /// Whether the body is form-encoded, by its `Content-Type`.
    pub(super) fn is_form(&self) -> bool {
        self.media_type().eq_ignore_ascii_case("application/x-www-form-urlencoded")
    }

    /// The media type of the body, without its parameters; empty if not said.
    pub(super) fn media_type(&self) -> &str {
        self.header("content-type").and_then(|value| value.split(';').next()).unwrap_or_default().trim()
    }
}

/// The first non-empty value of a name in form-encoded text.
pub(super) fn pair(text: &[u8], name: &str) -> Option<String> {
    let value = form_urlencoded::parse(text).find(|(key, _)| key == name)?.1;
    (!value.is_empty()).then(|| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_in_any_case_and_empty_ones_are_none() {
        let request = HookRequest::default().with_header("X-GitHub-Event", " ping ").with_header("X-Empty", "");
        assert_eq!(request.header("x-github-event"), Some("ping"));
        assert_eq!(request.header("x-empty"), None);
    }

    #[test]
    fn parameters_and_path_parts_are_decoded() {
        let request = HookRequest {
            path: "organizations/shop/releases/web%402.1+3/deploys/".to_owned(),
            query: "a=1&token=a%20b".to_owned(),
            ..HookRequest::default()
        };
        assert_eq!(request.parameter("token").as_deref(), Some("a b"));
        assert_eq!(request.path_after("releases").as_deref(), Some("web@2.1+3"));
        assert_eq!(request.path_after("deploys"), None);
    }
}
