//! Graphite's paths.

use super::*;
use crate::graphite;

/// Everything below Graphite's own names.
pub fn routes(app: &App) -> BoxedFilter<(Response,)> {
    let render = warp::path!("render")
        .and(asked(app))
        .and_then(|app, headers, query| answer(graphite::render(app, headers, query)));
    let version = warp::path!("version").and(warp::get()).map(graphite::version);
    let functions = warp::path!("functions")
        .and(warp::get())
        .and(query())
        .and_then(|query: Query| answer(async move { graphite::functions(&query) }));
    let function = warp::path!("functions" / ..)
        .and(id())
        .and(warp::get())
        .and_then(|name| answer(async move { graphite::function(name) }));
    let others = functions.or(function).unify().or(version).unify().boxed();
    render.or(metrics(app)).unify().or(tags(app)).unify().or(events(app)).unify().or(others).unify().boxed()
}

fn metrics(app: &App) -> BoxedFilter<(Response,)> {
    let find = warp::path!("metrics" / "find")
        .and(asked(app))
        .and_then(|app, headers, query| answer(graphite::find(app, headers, query)));
    let expand = warp::path!("metrics" / "expand")
        .and(asked(app))
        .and_then(|app, headers, query| answer(graphite::expand(app, headers, query)));
    let index = warp::path!("metrics" / "index.json")
        .and(asked(app))
        .and_then(|app, headers, query| answer(graphite::index(app, headers, query)));
    find.or(expand).unify().or(index).unify().boxed()
}

fn tags(app: &App) -> BoxedFilter<(Response,)> {
    let get = || warp::get().and(with(app.clone())).and(query());
    let complete_tags = warp::path!("tags" / "autoComplete" / "tags")
        .and(asked(app))
        .and_then(|app, headers, query| answer(graphite::complete_tags(app, headers, query)));
    let complete_values = warp::path!("tags" / "autoComplete" / "values")
        .and(asked(app))
        .and_then(|app, headers, query| answer(graphite::complete_values(app, headers, query)));
    let series = warp::path!("tags" / "findSeries")
        .and(asked(app))
        .and_then(|app, _, query| answer(graphite::find_series(app, query)));
    let all = warp::path!("tags").and(get()).and_then(|app, query| answer(graphite::list_tags(app, query)));
    // What these refuse goes on to the next path that fits; it must not be looked up as a tag there.
    let tag = id().and_then(|tag: String| async move {
        match tag.as_str() {
            "findSeries" | "tagSeries" | "tagMultiSeries" | "delSeries" => Err(warp::reject::not_found()),
            _ => Ok(tag),
        }
    });
    let one = warp::path!("tags" / ..)
        .and(tag)
        .and(get())
        .and_then(|tag, app, query| answer(graphite::tag_values(app, tag, query)));
    let read = complete_tags.or(complete_values).unify().or(series).unify().or(all).unify().or(one).unify().boxed();
    read.or(tag_writes(app)).unify().boxed()
}

fn tag_writes(app: &App) -> BoxedFilter<(Response,)> {
    let tag = warp::path!("tags" / "tagSeries")
        .and(posted(app))
        .and_then(|app, _, query| answer(graphite::tag_series(app, query)));
    let tag_multi = warp::path!("tags" / "tagMultiSeries")
        .and(posted(app))
        .and_then(|app, _, query| answer(graphite::tag_multi_series(app, query)));
    let delete = warp::path!("tags" / "delSeries")
        .and(posted(app))
        .and_then(|app, _, query| answer(graphite::delete_series(app, query)));
    tag.or(tag_multi).unify().or(delete).unify().boxed()
}

fn events(app: &App) -> BoxedFilter<(Response,)> {
    let post = warp::path!("events")
        .and(warp::post())
        .and(incoming(app.clone()))
        .and_then(|app, headers, query, body| answer(graphite::post_event(app, Incoming::of(headers, query, body))));
    let get_data = warp::path!("events" / "get_data")
        .and(asked(app))
        .and_then(|app, headers, query| answer(graphite::get_data(app, headers, query)));
    let number = || warp::path!("events" / u64);
    let one =
        number().and(warp::get()).and(with(app.clone())).and_then(|number, app| answer(graphite::event(app, number)));
    let change = number()
        .and(warp::patch())
        .and(incoming(app.clone()))
        .and_then(|number, app, _, _, body| answer(graphite::change_event(app, number, body)));
    let delete = number()
        .and(warp::delete())
        .and(with(app.clone()))
        .and_then(|number, app| answer(graphite::delete_event(app, number)));
    post.or(get_data).unify().or(one).unify().or(change).unify().or(delete).unify().boxed()
}

/// A question by GET or POST: the query's parameters, then those of a form in the body.
fn asked(app: &App) -> impl Filter<Extract = (App, HeaderMap, Query), Error = Rejection> + Clone + use<> {
    let get = warp::get().and(with(app.clone())).and(warp::header::headers_cloned()).and(query());
    get.or(posted(app)).unify()
}

/// The same by POST alone.
fn posted(app: &App) -> impl Filter<Extract = (App, HeaderMap, Query), Error = Rejection> + Clone + use<> {
    let post = warp::post().and(incoming(app.clone())).and_then(
        |app: App, headers: HeaderMap, raw: String, body: Body| async move {
            let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let is_form = content_type.is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"));
            let query = Query::parse(&raw).map_err(Rejection::from)?;
            let query = if is_form { query.with_form(&body) } else { query };
            Ok::<_, Rejection>((app, headers, query))
        },
    );
    post.untuple_one()
}
