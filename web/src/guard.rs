//! Who may ask: tokens, and no writes from other people's pages.

use base64::{Engine, prelude::BASE64_STANDARD};
use warp::http::{HeaderMap, Method, StatusCode, header};

use crate::{
    config::{Token, WebConfig},
    error::WebError,
};

/// Most headers of a request, and most bytes of them together; no sender of hooks comes near either.
pub const MAX_HEADERS: usize = 100;
/// See [`MAX_HEADERS`].
pub const MAX_HEADER_BYTES: usize = 32 * 1024;

/// Refuses a request with too many or too long headers.
///
/// # Errors
/// [`WebError::Refused`] with 431.
pub fn bounded(headers: &HeaderMap) -> Result<(), WebError> {
    let n_bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    match headers.len() <= MAX_HEADERS && n_bytes <= MAX_HEADER_BYTES {
        true => Ok(()),
        false => Err(WebError::Refused {
            status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            code: "headers_too_large",
            message: format!("at most {MAX_HEADERS} headers of {MAX_HEADER_BYTES} bytes together are taken"),
            field: None,
        }),
    }
}

/// Refuses a request that names another host, where nothing else tells a stranger from a friend.
///
/// On loopback without a token everybody on this machine may ask, and a browser on it asks for any page that its user
/// opens: one whose name is made to resolve to 127.0.0.1 (DNS rebinding) would otherwise pass for our own.
///
/// # Errors
/// [`WebError::Refused`] with 421.
pub fn host(config: &WebConfig, headers: &HeaderMap) -> Result<(), WebError> {
    let named = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let Some(named) = named.filter(|_| config.tokens.is_empty() && !config.is_exposed()) else { return Ok(()) };
    let name = without_port(named);
    let own = config.base_url.split_once("://").map_or(config.base_url.as_str(), |(_, rest)| rest);
    let own = without_port(own.split('/').next().unwrap_or_default());
    let is_loopback = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let is_local = name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost");
    if is_loopback || is_local || name.eq_ignore_ascii_case(own) {
        return Ok(());
    }
    Err(WebError::Refused {
        status: StatusCode::MISDIRECTED_REQUEST,
        code: "host_not_allowed",
        message: "without tokens only localhost and the host of web.base_url are answered for: set either under [web]"
            .to_owned(),
        field: Some("host".to_owned()),
    })
}

/// `host`, `[::1]` or an address, without what follows the last colon.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    }
}

/// Lets a request through, or says why not.
///
/// Hooks prove themselves by their own secrets; health checks and the style sheet tell nothing. `is_invited` says that the
/// page of another site that asks may (see [`crate::cors`]).
///
/// # Errors
/// [`WebError::Unauthorized`], or [`WebError::Refused`] for a write that a browser sends on behalf of another site.
pub fn admit(
    tokens: &[Token],
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    is_invited: bool,
) -> Result<(), WebError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    // Every current browser says so of its own accord, and no script on a page can change it. Programs do not send it.
    if *method != Method::GET
        && *method != Method::HEAD
        && !is_invited
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
        let outcome = admit(&[Token::new("one"), Token::new("sesame")], &method, path, &headers, false);
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

    #[track_caller]
    fn check_host(config: &WebConfig, host: &str, expected: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        assert_eq!(super::host(config, &headers).is_ok(), expected, "{host}");
    }

    #[test]
    fn a_name_that_was_made_to_resolve_to_loopback_is_not_answered_for() {
        let base_url = "https://graphs.shop.example/deploys".to_owned();
        let open = WebConfig { base_url, ..WebConfig::default() };
        for host in ["localhost:8128", "LOCALHOST", "127.0.0.1:8128", "127.0.0.2", "[::1]:8128", "[::1]", "a.localhost"]
        {
            check_host(&open, host, true);
        }
        check_host(&open, "graphs.shop.example", true);
        for host in
            ["evil.example:8128", "evil.example", "localhost.evil.example", "10.0.0.1", "graphs.shop.example.evil"]
        {
            check_host(&open, host, false);
        }
        // A token tells a stranger from a friend.
        check_host(&WebConfig { tokens: vec![Token::new("sesame")], ..open }, "evil.example", true);
        assert!(super::host(&WebConfig::default(), &HeaderMap::new()).is_ok());
    }

    #[test]
    fn headers_are_bounded_in_number_and_length() {
        let headers = |n: usize, n_bytes: usize| {
            let mut headers = HeaderMap::new();
            let value: header::HeaderValue = "x".repeat(n_bytes).parse().unwrap();
            for _ in 0..n {
                headers.append("x-h", value.clone());
            }
            headers
        };
        assert!(bounded(&headers(MAX_HEADERS, 100)).is_ok());
        assert!(bounded(&headers(MAX_HEADERS + 1, 1)).is_err());
        assert!(bounded(&headers(1, MAX_HEADER_BYTES)).is_err());
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
