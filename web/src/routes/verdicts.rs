//! What becomes of deploys: impact, gate, what people say of incidents, silences.

use deployline_schemas::incident::Opinion;

use warp::http::StatusCode;

use super::*;
use crate::{csrf, doctor, feedback, gate, impact, silences};

/// Paths of the API and of the pages' forms.
pub fn routes(app: &App) -> BoxedFilter<(Response,)> {
    let get = || warp::get().and(with(app.clone())).and(query());
    let impact = warp::path!("api" / "v1" / "deploys" / String / "impact")
        .and(get())
        .and_then(|id: String, app, query| answer(async move { impact::json(app, decoded(&id), query).await }));
    let gate = warp::path!("api" / "v1" / "gate").and(get()).and_then(|app, query| answer(gate::get(app, query)));
    let gate_in = warp::path!("api" / "v1" / "gate").and(warp::post()).and(incoming(app.clone())).and_then(
        |app: App, headers: HeaderMap, query: String, body| {
            answer(async move {
                from_program(&app, &headers)?;
                gate::post(app, Query::parse(&query)?, body).await
            })
        },
    );
    let doctor =
        warp::path!("api" / "v1" / "doctor").and(get()).and_then(|app, query| answer(doctor::json(app, query)));
    impact
        .or(gate)
        .unify()
        .or(doctor)
        .unify()
        .or(gate_in)
        .unify()
        .or(opinions(app))
        .unify()
        .or(silenced(app))
        .unify()
        .boxed()
}

fn opinions(app: &App) -> BoxedFilter<(Response,)> {
    let api = warp::path!("api" / "v1" / "incidents" / String / Opinion)
        .and(warp::post())
        .and(incoming(app.clone()))
        .and_then(|id: String, opinion, app: App, headers: HeaderMap, _query, body| {
            answer(async move {
                from_program(&app, &headers)?;
                feedback::post(app, decoded(&id), opinion, body).await
            })
        });
    let form = warp::path!("incidents" / String / Opinion).and(warp::post()).and(incoming(app.clone())).and_then(
        |id: String, opinion, app: App, headers: HeaderMap, _query, body| {
            answer(async move {
                csrf::same_origin(&headers, &app.parts.config.base_url)?;
                feedback::form(app, decoded(&id), opinion, body).await
            })
        },
    );
    api.or(form).unify().boxed()
}

fn silenced(app: &App) -> BoxedFilter<(Response,)> {
    let all = || warp::path!("api" / "v1" / "silences");
    let one = || warp::path!("api" / "v1" / "silences" / String);
    let list = all()
        .and(warp::get())
        .and(with(app.clone()))
        .and(query())
        .and_then(|app, query| answer(silences::list(app, query)));
    let create =
        all().and(warp::post()).and(incoming(app.clone())).and_then(|app: App, headers: HeaderMap, _query, body| {
            answer(async move {
                from_program(&app, &headers)?;
                silences::create(app, body).await
            })
        });
    let show = one()
        .and(warp::get())
        .and(with(app.clone()))
        .and_then(|id: String, app| answer(async move { silences::show(app, decoded(&id)).await }));
    let change = one().and(warp::patch()).and(incoming(app.clone())).and_then(
        |id: String, app: App, headers: HeaderMap, _query, body| {
            answer(async move {
                from_program(&app, &headers)?;
                silences::change(app, decoded(&id), body).await
            })
        },
    );
    let finish = one()
        .and(warp::delete())
        .and(with(app.clone()))
        .and_then(|id: String, app| answer(async move { silences::finish(app, decoded(&id)).await }));
    let api = list.or(create).unify().or(show).unify().or(change).unify().or(finish).unify().boxed();
    api.or(silence_pages(app)).unify().boxed()
}

fn silence_pages(app: &App) -> BoxedFilter<(Response,)> {
    let page = warp::path!("silences")
        .and(warp::get())
        .and(with(app.clone()))
        .and(query())
        .and_then(|app, query| answer(silences::page(app, query)));
    let create = warp::path!("silences").and(warp::post()).and(incoming(app.clone())).and_then(
        |app: App, headers: HeaderMap, _query, body| {
            answer(async move {
                csrf::same_origin(&headers, &app.parts.config.base_url)?;
                silences::create_form(app, body).await
            })
        },
    );
    let finish = warp::path!("silences" / String / "end").and(warp::post()).and(incoming(app.clone())).and_then(
        |id: String, app: App, headers: HeaderMap, _query, body| {
            answer(async move {
                csrf::same_origin(&headers, &app.parts.config.base_url)?;
                silences::finish_form(app, decoded(&id), body).await
            })
        },
    );
    page.or(create).unify().or(finish).unify().boxed()
}

/// Refuses what another site's page could send without asking first: a body that is no JSON.
fn from_program(app: &App, headers: &HeaderMap) -> Result<(), WebError> {
    csrf::same_origin(headers, &app.parts.config.base_url)?;
    let said = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default().to_ascii_lowercase());
    let media_type = said.as_deref().map(|said| said.split(';').next().unwrap_or_default().trim());
    match media_type {
        None | Some("application/json") => Ok(()),
        Some(other) => Err(WebError::Refused {
            status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            code: "unsupported_media_type",
            message: format!("Content-Type `{other}` is not taken here: send application/json"),
            field: Some("content-type".to_owned()),
        }),
    }
}
