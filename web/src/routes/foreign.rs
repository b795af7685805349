//! Other systems' paths that bring deploys, ours for those that could not be understood, and series in and out.

use super::*;
use crate::{export, foreign, grafana, quarantine, remote_write};

/// Grafana's, Datadog's and Honeycomb's paths, and CloudEvents.
pub fn routes(app: &App) -> BoxedFilter<(Response,)> {
    let post = || {
        warp::post()
            .and(incoming(app.clone()))
            .map(|app: App, headers, query, body| (app, Incoming::of(headers, query, body)))
    };
    let datadog_event = warp::path!("api" / "v1" / "events")
        .and(post().untuple_one())
        .and_then(|app, incoming| answer(foreign::datadog_event(app, incoming)));
    let datadog_deployment = warp::path!("api" / "v2" / "dora" / "deployment")
        .and(post().untuple_one())
        .and_then(|app, incoming| answer(foreign::datadog_deployment(app, incoming)));
    let marker = warp::path!("1" / "markers" / String)
        .and(post().untuple_one())
        .and_then(|dataset, app, incoming| answer(foreign::marker(app, dataset, incoming)));
    let cloud_events =
        warp::path!("api" / "v1" / "cloudevents").and(post().untuple_one()).and_then(|app: App, incoming: Incoming| {
            let incoming = Incoming { name: "cloudevents".to_owned(), ..incoming };
            answer(async move { hooks::receive(&app, incoming).await })
        });
    let samples = warp::path!("api" / "v1" / "write")
        .and(post().untuple_one())
        .and_then(|app, incoming| answer(remote_write::receive(app, incoming)));
    let exported = warp::path!("api" / "v1" / "export")
        .and(warp::get())
        .and(with(app.clone()))
        .and(query())
        .and_then(|app, query| answer(export::export(app, query)));
    let datadog = datadog_event.or(datadog_deployment).unify().boxed();
    grafana(app)
        .or(datadog)
        .unify()
        .or(marker)
        .unify()
        .or(cloud_events)
        .unify()
        .or(samples)
        .unify()
        .or(exported)
        .unify()
        .or(quarantined(app))
        .unify()
        .boxed()
}

fn grafana(app: &App) -> BoxedFilter<(Response,)> {
    let post = || {
        warp::post()
            .and(incoming(app.clone()))
            .map(|app: App, headers, query, body| (app, Incoming::of(headers, query, body)))
            .untuple_one()
    };
    let asked = || warp::get().and(with(app.clone())).and(query());
    let number = || warp::path!("api" / "annotations" / u64);
    let add = warp::path!("api" / "annotations")
        .and(post())
        .and_then(|app, incoming| answer(grafana::add(app, incoming, "Annotation added")));
    let add_graphite = warp::path!("api" / "annotations" / "graphite")
        .and(post())
        .and_then(|app, incoming| answer(grafana::add(app, incoming, "Graphite annotation added")));
    let list = warp::path!("api" / "annotations").and(asked()).and_then(|app, query| answer(grafana::list(app, query)));
    let tags = warp::path!("api" / "annotations" / "tags")
        .and(asked())
        .and_then(|app, query| answer(grafana::tags(app, query)));
    let one =
        number().and(warp::get()).and(with(app.clone())).and_then(|number, app| answer(grafana::one(app, number)));
    let put = number()
        .and(warp::put())
        .and(incoming(app.clone()))
        .and_then(|number, app, _, _, body| answer(grafana::change(app, number, body, "Annotation updated")));
    let patch = number()
        .and(warp::patch())
        .and(incoming(app.clone()))
        .and_then(|number, app, _, _, body| answer(grafana::change(app, number, body, "Annotation patched")));
    let delete = number()
        .and(warp::delete())
        .and(with(app.clone()))
        .and_then(|number, app| answer(grafana::delete(app, number)));
    let many = add.or(add_graphite).unify().or(list).unify().or(tags).unify().boxed();
    many.or(one).unify().or(put).unify().or(patch).unify().or(delete).unify().boxed()
}

fn quarantined(app: &App) -> BoxedFilter<(Response,)> {
    let list = warp::path!("api" / "v1" / "quarantine")
        .and(warp::get())
        .and(with(app.clone()))
        .and(query())
        .and_then(|app, query| answer(quarantine::list(app, query)));
    let show = warp::path!("api" / "v1" / "quarantine" / String)
        .and(warp::get())
        .and(with(app.clone()))
        .and_then(|position, app| answer(quarantine::show(app, position)));
    let redrive = warp::path!("api" / "v1" / "quarantine" / String / "redrive")
        .and(warp::post())
        .and(with(app.clone()))
        .and_then(|position, app| answer(quarantine::redrive(app, position)));
    list.or(show).unify().or(redrive).unify().boxed()
}
