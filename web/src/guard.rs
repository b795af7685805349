//! Who may ask: tokens, and no writes from other people's pages.

use base64::{Engine, prelude::BASE64_STANDARD};
use warp::http::{HeaderMap, Method, StatusCode, header};

use crate::{config::Token, error::WebError};

/// Lets a request through, or says why not.
///
/// Hooks prove themselves by their own secrets; health checks and the style sheet tell nothing.
///
/// # Errors
/// [`WebError::Unauthorized`], or [`WebError::Refused`] for a write that a browser sends on behalf of another site.
pub fn admit(tokens: &[Token], method: &Method, path: &str, headers: &HeaderMap) -> Result<(), WebError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    // Every current browser says so of its own accord, and no script on a page can change it. Programs do not send it.
    if *method != Method::GET
        && *method != Method::HEAD
        && text("sec-fetch-site").is_some_and(|site| site == "cross-site")
    {
        return Err(WebError::Refused {
            status: StatusCode::FORBIDDEN,
            code: "cross_site",
            message: "another site's page may not write here".to_owned(),
            field: None,
        });
    }
    // Our own API knows the token: under its hook's name it asks for it too.
    let is_own = path == "/hooks/api" || path.starts_with("/hooks/api/");
    let is_open = is_hook(method, path)
        || path.starts_with("/hooks/") && !is_own
        || path.starts_with("/assets/")
        || path == "/healthz"
        || path == "/readyz";
    if tokens.is_empty() || is_open {
        return Ok(());
    }
    let offered = headers.get(header::AUTHORIZATION).and_then(|value| offered(value.to_str().ok()?));
    match offered.is_some_and(|offered| tokens.iter().any(|token| token.is(&offered))) {
        true => Ok(()),
        false => Err(WebError::Unauthorized),
    }
}

/// Whether this is another system's own path for what a hook brings: its senders put the hook's secret where that system
/// wants its key, and cannot send a token beside it.
fn is_hook(method: &Method, path: &str) -> bool {
    let is_path = matches!(
        path.trim_end_matches('/'),
        "/events"
            | "/api/annotations"
            | "/api/annotations/graphite"
            | "/api/v1/events"
            | "/api/v1/cloudevents"
            | "/api/v2/dora/deployment"
    );
    *method == Method::POST && (is_path || path.starts_with("/1/markers/"))
}

/// The token of a Bearer header, or the password of a Basic one.
fn offered(authorization: &str) -> Option<String> {
    let (scheme, value) = authorization.split_once(' ')?;
    let value = value.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(value.to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let pair = String::from_utf8(BASE64_STANDARD.decode(value).ok()?).ok()?;
        return pair.split_once(':').map(|(_, password)| password.to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(method: Method, path: &str, name: &str, value: &str, expected: &str) {
        let mut headers = HeaderMap::new();
        headers.insert(header::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        let outcome = admit(&[Token::new("one"), Token::new("sesame")], &method, path, &headers);
        assert_eq!(outcome.map_or_else(|error| error.to_string(), |()| "ok".to_owned()), expected, "{path} {value}");
    }

    #[test]
    fn a_token_opens_everything() {
        let refused = "this address needs a token: send `Authorization: Bearer TOKEN`";
        check(Method::GET, "/", "authorization", "Bearer sesame", "ok");
        // `any:sesame`
        check(Method::GET, "/", "authorization", "Basic YW55OnNlc2FtZQ==", "ok");
        check(Method::GET, "/", "authorization", "Bearer sesam", refused);
        check(Method::GET, "/", "authorization", "Basic ???", refused);
        check(Method::GET, "/", "accept", "*/*", refused);
        check(Method::POST, "/hooks/github", "accept", "*/*", "ok");
        check(Method::GET, "/healthz", "accept", "*/*", "ok");
        check(Method::POST, "/events/", "accept", "*/*", "ok");
        check(Method::POST, "/api/v1/events", "dd-api-key", "x", "ok");
        check(Method::GET, "/api/annotations", "accept", "*/*", refused);
        check(Method::POST, "/render", "accept", "*/*", refused);
    }

    #[test]
    fn other_sites_pages_may_not_write() {
        check(
            Method::POST,
            "/hooks/deployinator",
            "sec-fetch-site",
            "cross-site",
            "another site's page may not write here",
        );
        check(Method::POST, "/hooks/deployinator", "sec-fetch-site", "none", "ok");
    }
}
