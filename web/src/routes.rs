//! Every route, and what is done for each of them: admission, counting, headers, errors.

mod foreign;
mod graphite;
mod verdicts;

use std::{convert::Infallible, future::Future};

use warp::{
    Filter, Rejection,
    filters::BoxedFilter,
    http::{HeaderMap, Method, header},
    path::{FullPath, Tail},
    reply::Response,
};

use crate::{
    api,
    app::App,
    blame,
    body::{self, Body},
    cors,
    error::{Problem, WebError, recover},
    graph::{Format, GraphQuery},
    graphite::picture::{self, Picture},
    guard, health,
    hooks::{self, Incoming},
    openapi, page, pages,
    query::Query,
    response, schemas, stream,
};

/// All routes over one application. Answers every request, errors included.
pub fn routes(app: App) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static {
    let admitted = admission(app.clone());
    let answered = preflight(app.clone()).or(admitted.and(all(app.clone()))).unify().recover(recover).unify();
    warp::method().and(warp::path::full()).and(warp::header::headers_cloned()).and(answered).map(
        move |method: Method, path: FullPath, headers: HeaderMap, mut answer: Response| {
            if let Some(problem) = answer.extensions().get::<Problem>().filter(|_| wants_html(&headers)) {
                let page = page::problem(answer.status(), problem);
                answer = dressed(answer, &page);
            }
            response::harden(answer.headers_mut());
            cors::allow(&app.parts.config, path.as_str(), &headers, answer.headers_mut());
            app.requests.count(route_of(&method, path.as_str()), answer.status());
            answer
        },
    )
}

/// Browsers that ask whether a page of another site may ask.
fn preflight(app: App) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone {
    warp::method().and(warp::path::full()).and(warp::header::headers_cloned()).and_then(
        move |method: Method, path: FullPath, headers: HeaderMap| {
            let answer = cors::preflight(&app.parts.config, &method, path.as_str(), &headers);
            async move { answer.ok_or_else(warp::reject::not_found) }
        },
    )
}

/// The same answer with a page as its body.
fn dressed(answer: Response, page: &maud::Markup) -> Response {
    let (mut parts, _) = answer.into_parts();
    let (page_parts, body) = response::html(page).into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(page_parts.headers);
    Response::from_parts(parts, body)
}

/// Whether a person's browser asks: those name HTML, programs name JSON or anything.
fn wants_html(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

fn admission(app: App) -> impl Filter<Extract = (), Error = Rejection> + Clone {
    warp::method()
        .and(warp::path::full())
        .and(warp::header::headers_cloned())
        .and_then(move |method: Method, path: FullPath, headers: HeaderMap| {
            let config = &app.parts.config;
            let admitted = guard::bounded(&headers).and_then(|()| guard::host(config, &headers)).and_then(|()| {
                let is_invited = cors::invited(config, path.as_str(), &headers).is_some();
                guard::admit(&config.tokens, &method, path.as_str(), &headers, is_invited)
            });
            async move { admitted.map_err(Rejection::from) }
        })
        .untuple_one()
}

fn all(app: App) -> BoxedFilter<(Response,)> {
    let incoming = hook(app.clone()).or(deploys_in(app.clone())).unify();
    let api = api_routes(app.clone());
    let foreign = foreign::routes(&app).or(graphite::routes(&app)).unify().or(verdicts::routes(&app)).unify();
    let pages = page_routes(app.clone());
    let others = graph_routes(app.clone()).or(operations(app)).unify().or(assets()).unify();
    incoming.or(api).unify().or(pages).unify().or(others).unify().or(foreign).unify().boxed()
}

/// Hands the application to a handler and its outcome to warp.
fn with(app: App) -> impl Filter<Extract = (App,), Error = Infallible> + Clone {
    warp::any().map(move || app.clone())
}

/// The query, decoded; an absent one is empty.
fn query() -> impl Filter<Extract = (Query,), Error = Rejection> + Clone {
    raw_query().and_then(|raw: String| async move { Query::parse(&raw).map_err(Rejection::from) })
}

fn raw_query() -> impl Filter<Extract = (String,), Error = Infallible> + Clone {
    warp::query::raw().or(warp::any().map(String::new)).unify()
}

/// Adapts a handler's error to warp's.
async fn answer(outcome: impl Future<Output = Result<Response, WebError>>) -> Result<Response, Rejection> {
    outcome.await.map_err(Rejection::from)
}

/// One decoded path segment.
fn id() -> impl Filter<Extract = (String,), Error = Rejection> + Clone {
    warp::path::param::<String>().and(warp::path::end()).and_then(|segment: String| async move {
        Some(decoded(&segment)).filter(|text| !text.is_empty()).ok_or_else(warp::reject::not_found)
    })
}

/// A path segment without its percent signs.
fn decoded(segment: &str) -> String {
    let plain = segment.replace('+', "%2B").replace('=', "%3D").replace('&', "%26");
    form_urlencoded::parse(plain.as_bytes()).next().map(|(text, _)| text.into_owned()).unwrap_or_default()
}

fn hook(app: App) -> BoxedFilter<(Response,)> {
    let rest = warp::path::tail().map(|tail: Tail| tail.as_str().to_owned());
    warp::path!("hooks" / String / ..)
        .and(rest)
        .and(warp::post())
        .and(incoming(app))
        .and_then(|name: String, rest: String, app: App, headers: HeaderMap, query: String, body: Body| {
            answer(async move { hooks::receive(&app, Incoming { name, rest, headers, query, body }).await })
        })
        .boxed()
}

fn deploys_in(app: App) -> BoxedFilter<(Response,)> {
    warp::path!("api" / "v1" / "deploys")
        .and(warp::post())
        .and(incoming(app))
        .and_then(|app: App, headers: HeaderMap, query: String, body: Body| {
            let incoming = Incoming { name: hooks::API.to_owned(), rest: String::new(), headers, query, body };
            answer(async move { hooks::receive(&app, incoming).await })
        })
        .boxed()
}

/// Headers, query and body of a request that brings something. Bodies share so much room: further ones are put off
/// before a byte of them is read.
fn incoming(app: App) -> impl Filter<Extract = (App, HeaderMap, String, Body), Error = Rejection> + Clone {
    let length = warp::header::optional::<u64>("content-length");
    let read =
        with(app.clone()).and(length).and(warp::body::stream()).and_then(|app: App, length, stream| async move {
            body::take(&app.bodies, length, stream).await.map_err(Rejection::from)
        });
    with(app).and(warp::header::headers_cloned()).and(raw_query()).and(read)
}

fn api_routes(app: App) -> BoxedFilter<(Response,)> {
    let get = |app: &App| warp::get().and(with(app.clone()));
    let deploys = warp::path!("api" / "v1" / "deploys")
        .and(get(&app))
        .and(query())
        .and_then(|app, query| answer(api::deploys(app, query)));
    let deploy = warp::path!("api" / "v1" / "deploys" / ..)
        .and(id())
        .and(get(&app))
        .and_then(|id, app| answer(api::deploy(app, id)));
    let incidents = warp::path!("api" / "v1" / "incidents")
        .and(get(&app))
        .and(query())
        .and_then(|app, query| answer(api::incidents(app, query)));
    let incident = warp::path!("api" / "v1" / "incidents" / ..)
        .and(id())
        .and(get(&app))
        .and_then(|id, app| answer(api::incident(app, id)));
    let blame = warp::path!("api" / "v1" / "blame")
        .and(get(&app))
        .and(query())
        .and_then(|app, query| answer(blame::json(app, query)));
    let stream = warp::path!("api" / "v1" / "stream")
        .and(get(&app))
        .and_then(|app: App| answer(async move { stream::open(&app) }));
    let schemas = warp::path!("api" / "v1" / "schemas").and(warp::get()).map(schemas::list);
    let schema = warp::path!("api" / "v1" / "schemas" / String)
        .and(warp::get())
        .and_then(|name: String| answer(async move { schemas::one(&name) }));
    let schemas = schemas.or(schema).unify();
    deploys
        .or(deploy)
        .unify()
        .or(schemas)
        .unify()
        .or(incidents)
        .unify()
        .or(incident)
        .unify()
        .or(blame)
        .unify()
        .or(stream)
        .unify()
        .boxed()
}

fn page_routes(app: App) -> BoxedFilter<(Response,)> {
    let get = |app: &App| warp::get().and(with(app.clone()));
    let home = warp::path::end().and(get(&app)).and(query()).and_then(|app, query| answer(pages::home(app, query)));
    let deploy = warp::path!("d" / ..).and(id()).and(get(&app)).and_then(|id, app| answer(pages::deploy(app, id)));
    let incident =
        warp::path!("incidents" / ..).and(id()).and(get(&app)).and_then(|id, app| answer(pages::incident(app, id)));
    let blame = warp::path!("blame").and(get(&app)).and(query()).and_then(|app, query| answer(blame::page(app, query)));
    home.or(deploy).unify().or(incident).unify().or(blame).unify().boxed()
}

fn graph_routes(app: App) -> BoxedFilter<(Response,)> {
    let route = |name: &'static str, format: Format| {
        warp::path(name)
            .and(warp::path::end())
            .and(warp::get())
            .and(with(app.clone()))
            .and(query())
            .and_then(move |app, query| answer(graph(app, query, format)))
    };
    let text =
        warp::path!("graph.txt").and(warp::get()).and(with(app.clone())).and(query()).and_then(|app, query: Query| {
            answer(async move { graph(app, query.clone(), Format::text(&query)?).await })
        });
    let pictures = route("graph.png", Format::Png).or(route("graph.svg", Format::Svg)).unify();
    pictures.or(text).unify().boxed()
}

async fn graph(app: App, query: Query, format: Format) -> Result<Response, WebError> {
    let query = GraphQuery::parse(&query, (app.parts.clock)())?;
    picture::answer(&app, Picture::Graph(Box::new(query)), format).await
}

fn operations(app: App) -> BoxedFilter<(Response,)> {
    let get = |app: &App| warp::get().and(with(app.clone()));
    let metrics =
        warp::path!("metrics").and(get(&app)).and_then(|app| answer(async move { Ok(health::metrics(app).await) }));
    let alive = warp::path!("healthz").and(warp::get()).map(health::alive);
    let ready = warp::path!("readyz").and(get(&app)).and_then(|app| answer(health::ready(app)));
    let openapi = warp::path!("api" / "openapi.json").and(warp::get()).map(openapi::answer);
    metrics.or(alive).unify().or(ready).unify().or(openapi).unify().boxed()
}

fn assets() -> BoxedFilter<(Response,)> {
    let style = warp::path!("assets" / "style.css").map(|| response::asset("text/css; charset=utf-8", page::STYLE));
    let icon = warp::path!("assets" / "icon.svg").map(|| response::asset("image/svg+xml", page::ICON));
    warp::get().and(style.or(icon).unify()).boxed()
}

/// A route's name for the counters: a fixed set, whatever is asked for.
fn route_of(method: &Method, path: &str) -> &'static str {
    let mut parts = path.trim_matches('/').split('/');
    match (parts.next().unwrap_or_default(), parts.next(), parts.next()) {
        ("", None, None) => "home",
        ("hooks", _, _) => "hooks",
        ("api", Some("v1"), Some("deploys")) if path.ends_with("/impact") => "impact",
        ("api", Some("v1"), Some("deploys")) if *method == Method::POST => "deploys_in",
        ("api", Some("v1"), Some("deploys")) => "deploys",
        ("api", Some("v1"), Some("incidents")) => "incidents",
        ("api", Some("v1"), Some("blame")) => "blame",
        ("api", Some("v1"), Some("gate")) => "gate",
        ("api", Some("v1"), Some("doctor")) => "doctor",
        ("api", Some("v1"), Some("silences")) => "silences",
        ("api", Some("v1"), Some("stream")) => "stream",
        ("graph.png" | "graph.svg", None, None) => "graph",
        ("d" | "incidents" | "blame" | "silences", ..) => "page",
        ("render", None, None) => "render",
        ("metrics", Some("find" | "expand" | "index.json"), None) => "metrics_tree",
        ("tags", ..) => "tags",
        ("functions" | "version", _, None) => "functions",
        ("events", _, None) => "events",
        ("api", Some("annotations"), _) => "annotations",
        ("api", Some("v1"), Some("quarantine")) => "quarantine",
        ("api", Some("v1"), Some("schemas")) => "schemas",
        ("api", Some("v1"), Some("events" | "cloudevents")) | ("api", Some("v2"), _) | ("1", Some("markers"), _) => {
            "hooks"
        }
        ("metrics" | "healthz" | "readyz", None, None) | ("api", Some("openapi.json"), None) => "operations",
        ("api", Some("v1"), Some("write")) => "remote_write",
        ("api", Some("v1"), Some("export")) => "export",
        ("assets", _, _) => "assets",
        _ => "other",
    }
}

#[cfg(test)]
mod tests;
