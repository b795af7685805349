//! Graphite's HTTP API over the store and the catalog: what dashboards and Grafana's data source send.
//!
//! Paths, parameters and answers are graphite-web 1.1.10's. Deploys are its events. Nothing here computes a value:
//! targets are evaluated by `deployline_render::graphite`, over a [`source`] that reads the store.

pub mod source;

pub mod window;

mod json;

mod digits;

mod table;

mod charts;

mod binary;

mod render;

pub mod picture;

mod metrics;

mod tags;

mod tag_writes;

mod functions;

mod events;

pub use events::{change as change_event, delete as delete_event, get_data, one as event, post as post_event};
pub use functions::{functions, one as function};
pub use metrics::{expand, find, index};
pub use render::render;
pub use tag_writes::{delete_series, tag_multi_series, tag_series};
pub use tags::{complete_tags, complete_values, find_series, list as list_tags, values as tag_values};

use deployline_render::graphite::GraphiteError;
use warp::{
    http::{HeaderMap, StatusCode},
    reply::Response,
};

use crate::{error::WebError, query::Query, response};
use source::ReadError;

/// The version of graphite-web whose API this is; clients switch features by it.
const VERSION: &str = "1.1.10\n";

/// `GET /version`
pub fn version() -> Response {
    response::bytes("text/plain; charset=utf-8", VERSION)
}

/// The answer to a target that cannot be evaluated: 400 with the column, or with the limit it is past.
fn refusal(target: &str, error: GraphiteError) -> WebError {
    let shown = deployline_notify::figures::clip(target, 120);
    let refused = |code, message: String| WebError::Refused {
        status: StatusCode::BAD_REQUEST,
        code,
        message: format!("{message}, in `{shown}`"),
        field: Some("target".to_owned()),
    };
    match error {
        GraphiteError::Source(source) => match source.downcast::<ReadError>() {
            Ok(error) => match *error {
                ReadError::TooMuch { .. } => {
                    refused("target_too_large", format!("{error} by web.max_query_datapoints"))
                }
                ReadError::Expression(message) => refused("bad_target", message),
                ReadError::Store(source) => WebError::store("read series", source),
                ReadError::Catalog(error) => error,
            },
            Err(source) => WebError::internal("read series", source),
        },
        GraphiteError::TooMuch { what, .. } => {
            let by = match what {
                "series" => " by web.max_query_series",
                "datapoints" => " by web.max_query_datapoints",
                _ => "",
            };
            refused("target_too_large", format!("{error}{by}"))
        }
        error => refused("bad_target", error.to_string()),
    }
}

/// The function that `jsonp` names.
///
/// # Errors
/// When it is no name of a function, or another site's page asks: a script is the one form in which it could read the
/// answer.
fn callback<'q>(query: &'q Query, headers: &HeaderMap) -> Result<Option<&'q str>, WebError> {
    let Some(callback) = query.get("jsonp") else { return Ok(None) };
    let is_name = callback.len() <= 128
        && callback.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'.'))
        && !callback.starts_with(|c: char| c.is_ascii_digit());
    if !is_name {
        return Err(WebError::parameter("jsonp", "this is no name of a function"));
    }
    if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        return Err(WebError::Refused {
            status: StatusCode::FORBIDDEN,
            code: "cross_site",
            message: "another site's page may not read this as a script".to_owned(),
            field: Some("jsonp".to_owned()),
        });
    }
    Ok(Some(callback))
}

/// JSON, or a script that calls the function which `jsonp` names with it.
///
/// # Errors
/// See [`callback`].
fn scripted(query: &Query, headers: &HeaderMap, json: Vec<u8>) -> Result<Response, WebError> {
    let Some(callback) = callback(query, headers)? else { return Ok(response::bytes("application/json", json)) };
    let script = [callback.as_bytes(), b"(", &json, b")"].concat();
    Ok(response::bytes("text/javascript; charset=utf-8", script))
}
