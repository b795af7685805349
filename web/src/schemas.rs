//! `/api/v1/schemas`: the JSON Schemas of what is taken and told.

use deployline_schemas::document::{document, documents};
use serde_json::{Value, json};
use warp::{
    Reply,
    http::{HeaderValue, header},
    reply::Response,
};

use crate::error::WebError;

/// `GET /api/v1/schemas`: their names, what each describes, and where it is.
pub fn list() -> Response {
    let entry = |name: &str, title: &str| -> Value {
        json!({ "name": name, "title": title, "url": format!("/api/v1/schemas/{name}") })
    };
    let listed: Vec<Value> = documents().iter().map(|document| entry(document.name, document.title)).collect();
    warp::reply::json(&json!({ "schemas": listed })).into_response()
}

/// `GET /api/v1/schemas/{name}`: one, as in `deploy-1` or `deploy-1.json`.
///
/// # Errors
/// [`WebError::NotFound`].
pub fn one(name: &str) -> Result<Response, WebError> {
    let found =
        document(name).ok_or_else(|| WebError::NotFound { what: "schema", id: name.chars().take(60).collect() })?;
    let mut answer = found.json.into_response();
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/schema+json"));
    Ok(answer)
}
