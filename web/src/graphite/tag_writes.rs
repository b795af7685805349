//! `POST /tags/tagSeries` and its like: series named before their first datapoint, and such names taken back.
//!
//! In Graphite the tags lie in a database of their own, which carbon keeps up through these calls. Here a series is found by
//! its tags from its first datapoint on, so that they matter only to what registers series by itself.

use deployline_store::StoreError;
use warp::{Reply, reply::Response};

use crate::{app::App, error::WebError, library::blocking, query::Query};

/// Most series of one request.
const MAX_SERIES: usize = 10_000;

/// `POST /tags/tagSeries`: the canonical name of `path`, which is known from now on. It is forgotten again, as every name
/// is, when it stays without datapoints.
///
/// # Errors
/// No `path`, one that is no name, or too many series.
pub async fn tag_series(app: App, query: Query) -> Result<Response, WebError> {
    let path = query.text("path").ok_or_else(|| WebError::parameter("path", "`path` is missing"))?;
    let names = register(&app, vec![path]).await?;
    Ok(warp::reply::json(&names.first()).into_response())
}

/// `POST /tags/tagMultiSeries`: the same for every `path` or `path[]`.
///
/// # Errors
/// As [`tag_series`].
pub async fn tag_multi_series(app: App, query: Query) -> Result<Response, WebError> {
    let names = register(&app, paths(&query)?).await?;
    Ok(warp::reply::json(&names).into_response())
}

/// `POST /tags/delSeries`: takes names back that have no datapoints, and answers `true`. One that has some keeps its name:
/// its datapoints could not be found without.
///
/// # Errors
/// No `path`, one that is no name, or a failed write.
pub async fn delete_series(app: App, query: Query) -> Result<Response, WebError> {
    let names = canonical(paths(&query)?)?;
    let forgotten = blocking(&app, move |library| {
        let store = library.store();
        let known: Vec<_> = names.iter().filter_map(|name| store.lookup(name)).collect();
        store.forget(&known).map_err(|error| WebError::store("forget a name", error))
    });
    forgotten.await?;
    Ok(warp::reply::json(&true).into_response())
}

fn paths(query: &Query) -> Result<Vec<String>, WebError> {
    let paths = query.pairs().filter(|(name, _)| matches!(*name, "path" | "path[]"));
    let paths: Vec<String> = paths.map(|(_, value)| value.trim().to_owned()).collect();
    match paths.len() {
        0 => Err(WebError::parameter("path", "`path` is missing")),
        1..=MAX_SERIES => Ok(paths),
        n => Err(WebError::parameter("path", format!("{n} series are named, at most {MAX_SERIES} are taken at once"))),
    }
}

fn canonical(paths: Vec<String>) -> Result<Vec<String>, WebError> {
    let canonical = |path: String| {
        deployline_schemas::series::canonical(&path)
            .map_err(|error| WebError::parameter("path", format!("`{path}` is no name of a series: {error}")))
    };
    paths.into_iter().map(canonical).collect()
}

async fn register(app: &App, paths: Vec<String>) -> Result<Vec<String>, WebError> {
    let names = canonical(paths)?;
    blocking(app, move |library| {
        for name in &names {
            library.store().intern(name).map_err(|error| match error {
                StoreError::TooManySeries { .. } | StoreError::Name(_) => {
                    WebError::parameter("path", format!("`{name}` is not taken: {error}"))
                }
                error => WebError::store("take a name", error),
            })?;
        }
        Ok(names)
    })
    .await
}
