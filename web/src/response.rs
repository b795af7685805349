//! Answers with their headers.

use maud::Markup;
use warp::{
    Reply,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    reply::Response,
};

/// Pages: our own pictures and style sheet, forms to ourselves, and not one script.
const PAGE_POLICY: &str =
    "default-src 'none'; img-src 'self'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// Everything else is no page. An SVG that is opened by itself may style itself, and do nothing else.
const DATA_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";

/// A page.
pub fn html(page: &Markup) -> Response {
    let mut response = warp::reply::html(page.0.clone()).into_response();
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    response
}

/// Leads a browser on to a path of ours after a form was taken, so that reloading sends nothing twice.
pub fn see_other(path: &str) -> Response {
    let mut response = Response::new(bytes::Bytes::new().into());
    *response.status_mut() = StatusCode::SEE_OTHER;
    // A path that is no header value, which ours never are, leads home.
    let location = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
    response.headers_mut().insert(header::LOCATION, location);
    response
}

/// Bytes of a given type.
pub fn bytes(content_type: &'static str, body: impl Into<bytes::Bytes>) -> Response {
    let mut response = Response::new(body.into().into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A file that ships with the program.
pub fn asset(content_type: &'static str, body: &'static str) -> Response {
    let mut response = bytes(content_type, body);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}

/// Adds what every answer carries, where it has not been set: no sniffing, no framing, no referrer to the outside,
/// no cache (a new deploy must show at once).
pub fn harden(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, DATA_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}
