//! Pages of other sites that may read: Grafana, where it asks from the browser instead of its own server (`access: direct`).
//!
//! Only the addresses of a data source are open to them, and only to the sites that `web.allowed_origins` lists.
//!
//! <https://fetch.spec.whatwg.org/#http-cors-protocol>

use warp::{
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    reply::Response,
};

use crate::{config::WebConfig, response};

/// What a page may do.
const METHODS: &str = "GET, POST, PUT, PATCH, DELETE";
/// How long a browser need not ask again, in seconds.
const MAX_AGE_S: &str = "600";

/// The site that asks, where it may.
pub fn invited<'h>(config: &WebConfig, path: &str, headers: &'h HeaderMap) -> Option<&'h HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let is_listed =
        config.allowed_origins.iter().any(|allowed| allowed.trim_end_matches('/').as_bytes() == origin.as_bytes());
    (is_listed && is_source(path)).then_some(origin)
}

/// Whether it is an address of the Graphite data source, or of Grafana's annotations.
fn is_source(path: &str) -> bool {
    let mut parts = path.trim_matches('/').split('/');
    matches!(
        (parts.next().unwrap_or_default(), parts.next()),
        ("render" | "version", None)
            | ("functions" | "tags" | "events", _)
            | ("metrics", Some(_))
            | ("api", Some("annotations"))
    )
}

/// The answer to a browser that asks whether its page may ask: 204 if it may. `None` for any other request.
pub fn preflight(config: &WebConfig, method: &Method, path: &str, headers: &HeaderMap) -> Option<Response> {
    let is_preflight = *method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    invited(config, path, headers).filter(|_| is_preflight)?;
    let mut answer = response::bytes("text/plain; charset=utf-8", "");
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let told = answer.headers_mut();
    told.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    told.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE_S));
    // Grafana sends headers of its own, `X-Dashboard-Id` among them, and more with each release: all that it names are fine.
    if let Some(wanted) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        told.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    Some(answer)
}

/// Lets the page that asked read the answer, where it may.
pub fn allow(config: &WebConfig, path: &str, headers: &HeaderMap, answer: &mut HeaderMap) {
    if config.allowed_origins.is_empty() {
        return;
    }
    answer.append(header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = invited(config, path, headers) else { return };
    answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    answer.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("x-deployline-id, x-deployline-ignored"),
    );
    // Ours says that nobody else's page may have it.
    answer.remove(HeaderName::from_static("cross-origin-resource-policy"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(origin: &str, path: &str, expected: bool) {
        let allowed_origins = vec!["https://grafana.shop".to_owned()];
        let config = WebConfig { allowed_origins, ..WebConfig::default() };
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, origin.parse().unwrap());
        headers.insert(header::ACCESS_CONTROL_REQUEST_METHOD, "POST".parse().unwrap());
        headers.insert(header::ACCESS_CONTROL_REQUEST_HEADERS, "x-panel-id".parse().unwrap());
        assert_eq!(invited(&config, path, &headers).is_some(), expected, "{origin} {path}");
        assert_eq!(preflight(&config, &Method::OPTIONS, path, &headers).is_some(), expected, "{origin} {path}");
        assert!(preflight(&config, &Method::POST, path, &headers).is_none());
        assert!(invited(&WebConfig::default(), path, &headers).is_none());
    }

    #[test]
    fn listed_sites_reach_the_data_source_and_nothing_else() {
        for path in [
            "/render",
            "/render/",
            "/metrics/find",
            "/tags/autoComplete/tags",
            "/events/get_data",
            "/functions",
            "/api/annotations/7",
        ] {
            check("https://grafana.shop", path, true);
            check("https://grafana.shop.evil", path, false);
            check("null", path, false);
        }
        for path in ["/", "/metrics", "/hooks/github", "/api/v1/deploys", "/api/v1/silences", "/render/x"] {
            check("https://grafana.shop", path, false);
        }
    }
}
