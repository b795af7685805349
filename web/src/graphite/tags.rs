//! `/tags`: tagged series, found by expressions and completed letter by letter.

use deployline_store::{Store, TagExpression};
use regex::{Regex, RegexBuilder};
use warp::{Reply, http::HeaderMap, reply::Response};

use super::scripted;
use crate::{app::App, error::WebError, library::blocking, query::Query};

/// Entries of a completion if no `limit` is given, and at most.
const LIMITS: (usize, usize) = (100, 10_000);
/// Largest compiled regular expression, in bytes.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// The expressions of a request, `expr` and `expr[]`; none fit everything.
fn expressions(query: &Query) -> Result<Vec<TagExpression>, WebError> {
    let texts = query.pairs().filter(|(name, _)| matches!(*name, "expr" | "expr[]"));
    let texts: Vec<String> = texts.map(|(_, value)| value.trim().to_owned()).collect();
    if texts.is_empty() {
        return Ok(Vec::new());
    }
    TagExpression::parse_all(&texts).map_err(|error| WebError::parameter("expr", error.to_string()))
}

fn filter(query: &Query) -> Result<Option<Regex>, WebError> {
    let Some(pattern) = query.get("filter") else { return Ok(None) };
    let regex = RegexBuilder::new(&format!("^(?:{pattern})")).size_limit(MAX_REGEX_BYTES).build();
    regex.map(Some).map_err(|_| WebError::parameter("filter", format!("`{pattern}` is no regular expression")))
}

/// `GET /tags`: every tag in use.
///
/// # Errors
/// A `filter` that is no regular expression, a `limit` that is no number.
pub async fn list(app: App, query: Query) -> Result<Response, WebError> {
    let filter = filter(&query)?;
    let limit = query.count("limit", usize::MAX, (1, usize::MAX))?;
    let tags = blocking(&app, move |library| {
        let tags = library.store().tags("", &[], usize::MAX);
        let taken = tags.iter().filter(|tag| filter.as_ref().is_none_or(|regex| regex.is_match(tag)));
        Ok(taken.take(limit).map(|tag| serde_json::json!({ "tag": tag })).collect::<Vec<_>>())
    });
    Ok(warp::reply::json(&tags.await?).into_response())
}

/// `GET /tags/{tag}`: its values, with how many series have each; `null` for a tag that no series has.
///
/// # Errors
/// A `filter` that is no regular expression, a `limit` that is no number.
pub async fn values(app: App, tag: String, query: Query) -> Result<Response, WebError> {
    let filter = filter(&query)?;
    let limit = query.count("limit", usize::MAX, (1, usize::MAX))?;
    let answer = blocking(&app, move |library| {
        let counts = library.store().tag_values(&tag, "", &[], usize::MAX);
        if counts.is_empty() {
            return Ok(serde_json::Value::Null);
        }
        let taken = counts.iter().filter(|(value, _)| filter.as_ref().is_none_or(|regex| regex.is_match(value)));
        let values: Vec<_> =
            taken.take(limit).map(|(value, count)| serde_json::json!({ "value": value, "count": count })).collect();
        Ok(serde_json::json!({ "tag": tag, "values": values }))
    });
    Ok(warp::reply::json(&answer.await?).into_response())
}

/// `GET /tags/findSeries`: the names that fit.
///
/// # Errors
/// No expression, or one that makes no sense.
pub async fn find_series(app: App, query: Query) -> Result<Response, WebError> {
    let expressions = expressions(&query)?;
    if expressions.is_empty() {
        return Err(WebError::parameter("expr", "`expr` is missing"));
    }
    let names = blocking(&app, move |library| {
        let mut names: Vec<String> =
            library.store().tagged(&expressions).iter().map(|(_, name)| name.to_string()).collect();
        names.sort_unstable();
        Ok(names)
    });
    Ok(warp::reply::json(&names.await?).into_response())
}

/// `/tags/autoComplete/tags`: the tags, with a prefix, of the series that fit; those already asked for are left out.
///
/// # Errors
/// An expression that makes no sense.
pub async fn complete_tags(app: App, headers: HeaderMap, query: Query) -> Result<Response, WebError> {
    let prefix = query.text("tagPrefix").unwrap_or_default();
    complete(app, headers, query, move |store, expressions, limit| {
        let is_asked = |tag: &String| expressions.iter().any(|expression| expression.tag() == tag);
        // As many more as may be left out.
        let tags = store.tags(&prefix, expressions, limit + expressions.len());
        tags.into_iter().filter(|tag| !is_asked(tag)).take(limit).collect()
    })
    .await
}

/// `/tags/autoComplete/values`: the values of `tag`, with a prefix, in the series that fit.
///
/// # Errors
/// No `tag`, or an expression that makes no sense.
pub async fn complete_values(app: App, headers: HeaderMap, query: Query) -> Result<Response, WebError> {
    let wanted = query.text("tag").ok_or_else(|| WebError::parameter("tag", "`tag` is missing"))?;
    let prefix = query.text("valuePrefix").unwrap_or_default();
    complete(app, headers, query, move |store, expressions, limit| {
        store.tag_values(&wanted, &prefix, expressions, limit).into_iter().map(|(value, _)| value).collect()
    })
    .await
}

async fn complete(
    app: App,
    headers: HeaderMap,
    query: Query,
    choose: impl Fn(&Store, &[TagExpression], usize) -> Vec<String> + Send + 'static,
) -> Result<Response, WebError> {
    let expressions = expressions(&query)?;
    let limit = query.count("limit", LIMITS.0, (1, LIMITS.1))?;
    let offered = blocking(&app, move |library| {
        let offered = choose(library.store(), &expressions, limit);
        serde_json::to_vec(&offered).map_err(|error| WebError::internal("write an answer", error))
    });
    scripted(&query, &headers, offered.await?)
}
