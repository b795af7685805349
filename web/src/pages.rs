//! What the pages show, read and put together; how it looks is [`crate::page`]'s.

use std::time::Duration;

use deployline_correlate::Settings;
use deployline_notify::links;
use deployline_schemas::{Deploy, Incident, UnixMillis, incident::MovedSignal};
use deployline_store::catalog::{DeployQuery, IncidentQuery};
use warp::reply::Response;

use crate::{
    api,
    app::App,
    error::WebError,
    feedback, impact,
    library::{Library, blocking},
    page::{self, DeployView, Drawing, Filter, HomeView, IncidentView, SuspectRow, Tally},
    query::Query,
    response,
    verdict::Word,
};

/// Deploys on a page of the list.
const N_DEPLOYS: usize = 40;
/// Graphs beside it.
const N_GRAPHS: usize = 6;
/// Signals drawn for one service.
const N_SIGNALS: usize = 2;
/// Incidents on top.
const N_INCIDENTS: usize = 5;
/// Deploys that the day's tally looks at.
const N_TALLIED: usize = 1000;
/// How long an incident that is over stays on top.
const RECENT: Duration = Duration::from_secs(6 * 3600);
/// How much is shown before and after a deploy.
const AROUND: Duration = Duration::from_secs(30 * 60);
/// How much of an incident that lasts is shown.
const LONGEST: Duration = Duration::from_secs(6 * 3600);
const DAY: Duration = Duration::from_secs(86_400);

/// `/`
pub async fn home(app: App, query: Query) -> Result<Response, WebError> {
    let base_url = app.parts.config.base_url.clone();
    let deploys = DeployQuery {
        limit: query.count("limit", N_DEPLOYS, (1, 200))?,
        ..api::deploy_query(&query, (app.parts.clock)())?
    };
    let view = blocking(&app, move |library| home_view(library, base_url, deploys)).await?;
    Ok(response::html(&page::home(&view)))
}

fn home_view(library: &Library, base_url: String, query: DeployQuery) -> Result<HomeView, WebError> {
    let now = library.now;
    let filter = Filter { service: query.service.clone(), environment: query.environment.clone() };
    let page = library.deploys(&query)?;
    let deploys = library.judged(page.items)?;
    let of_day = library.deploys_between(now.minus(DAY), now.plus(DAY), N_TALLIED)?;
    let is_capped = of_day.len() == N_TALLIED;
    let of_day = library.judged(of_day)?;
    let incidents = IncidentQuery {
        from: Some(now.minus(RECENT)),
        service: query.service.clone(),
        environment: query.environment.clone(),
        limit: 100,
        ..IncidentQuery::default()
    };
    let incidents = library.incidents(&incidents)?.items;
    let n_open = incidents.iter().filter(|incident| incident.state.is_open()).count();
    let graphs = home_graphs(library, &incidents, deploys.iter().map(|row| &row.deploy), now);
    // Those that last come first, in either part the latest.
    let (open, over): (Vec<_>, Vec<_>) = incidents.into_iter().partition(|incident| incident.state.is_open());
    let shown = open.into_iter().chain(over).take(N_INCIDENTS);
    let incidents: Result<Vec<_>, WebError> =
        shown.map(|incident| Ok((incident.clone(), library.leading(&incident)?))).collect();
    Ok(HomeView {
        now,
        base_url,
        tally: Tally {
            n_deploys: of_day.len(),
            is_capped,
            n_watching: of_day.iter().filter(|row| row.verdict.word == Word::Watching).count(),
            n_open,
        },
        incidents: incidents?,
        deploys,
        next_cursor: page.next,
        filter,
        graphs,
    })
}

/// What moved first, then the signals of the services that deployed last.
fn home_graphs<'d>(
    library: &Library,
    incidents: &[Incident],
    deploys: impl Iterator<Item = &'d Deploy>,
    now: UnixMillis,
) -> Vec<Drawing> {
    let from = now.minus(Duration::from_secs(3600));
    let mut graphs: Vec<Drawing> = Vec::new();
    let mut add = |graph: Drawing| {
        if graphs.len() < N_GRAPHS && graphs.iter().all(|other| other.url != graph.url) {
            graphs.push(graph);
        }
    };
    for moved in
        incidents.iter().filter(|incident| incident.state.is_open()).flat_map(|incident| incident.signals.first())
    {
        add(drawing(moved, from, now));
    }
    let mut services: Vec<&str> = Vec::new();
    for deploy in deploys {
        if services.len() < N_GRAPHS && !services.contains(&deploy.service.as_str()) {
            services.push(&deploy.service);
        }
    }
    services.into_iter().flat_map(|service| service_graphs(library, service, from, now)).for_each(add);
    graphs
}

fn service_graphs(library: &Library, service: &str, from: UnixMillis, until: UnixMillis) -> Vec<Drawing> {
    let drawing = |signal: String| Drawing {
        url: format!(
            "/graph.svg?signal={}&service={}&from={}&until={}",
            links::encode(&signal),
            links::encode(service),
            from.as_secs(),
            until.as_secs()
        ),
        title: format!("{service} {signal}"),
    };
    library.signals_of(service, N_SIGNALS).into_iter().map(drawing).collect()
}

/// A signal that moved.
pub fn drawing(moved: &MovedSignal, from: UnixMillis, until: UnixMillis) -> Drawing {
    Drawing {
        title: format!("{} {}", moved.service, moved.signal),
        url: links::graph("", "svg", Some(moved), from, until),
    }
}

/// `/d/{id}`
pub async fn deploy(app: App, id: String) -> Result<Response, WebError> {
    let settings = app.parts.settings.clone();
    let view = blocking(&app, move |library| deploy_view(library, &settings, &id)).await?;
    Ok(response::html(&page::deploy(&view)))
}

fn deploy_view(library: &Library, settings: &Settings, id: &str) -> Result<DeployView, WebError> {
    let now = library.now;
    let deploy = library.deploy(id)?;
    let at = deploy.exposed_at();
    let (from, until) = (at.minus(AROUND), at.plus(AROUND));
    let around = library.deploys_between(from, until, 30)?;
    let neighbours = library.judged(around.into_iter().filter(|other| other.id != deploy.id).collect())?;
    let mut incidents = Vec::new();
    let mut graphs = Vec::new();
    for incident in library.incidents_between(from, until)? {
        if !incident.suspects.iter().any(|suspect| suspect.deploy_id.as_deref() == Some(id)) {
            continue;
        }
        graphs.extend(incident.signals.iter().take(3).map(|moved| drawing(moved, from, until)));
        incidents.push((incident.clone(), library.suspects(&incident.suspects, &incident.signals)?));
    }
    if graphs.is_empty() {
        graphs = service_graphs(library, &deploy.service, from, until);
    }
    let overlaid = overlaid(library, &deploy, &incidents);
    let impacts = impact::of(library, settings, &deploy, None, impact::MAX_SERIES_ON_PAGE)?;
    let mut rows = library.judged(vec![deploy])?;
    let row = rows.pop().ok_or_else(|| WebError::NotFound { what: "deploy", id: id.to_owned() })?;
    Ok(DeployView { now, row, incidents, impacts, neighbours, graphs, overlaid })
}

/// What came after a deploy over what came before: of the signals that its incidents moved, else of its service's. Nothing while
/// nothing can have come.
fn overlaid(library: &Library, deploy: &Deploy, incidents: &[(Incident, Vec<SuspectRow>)]) -> Vec<Drawing> {
    if library.now <= deploy.exposed_at().plus(Duration::from_secs(60)) {
        return Vec::new();
    }
    let about = format!("deploy={}&compare=before", links::encode(&deploy.id));
    let moved = incidents.iter().flat_map(|(incident, _)| &incident.signals).take(N_SIGNALS);
    let of_moved: Vec<Drawing> = moved
        .map(|moved| Drawing {
            title: format!("{} {}", moved.service, moved.signal),
            url: match moved.per {
                Some(_) => format!(
                    "/graph.svg?signal={}&service={}&{about}",
                    links::encode(&moved.signal),
                    links::encode(&moved.service)
                ),
                None => format!("/graph.svg?target={}&{about}", links::encode(&moved.series)),
            },
        })
        .collect();
    if !of_moved.is_empty() {
        return of_moved;
    }
    let drawing = |signal: String| Drawing {
        url: format!("/graph.svg?signal={}&service={}&{about}", links::encode(&signal), links::encode(&deploy.service)),
        title: format!("{} {signal}", deploy.service),
    };
    library.signals_of(&deploy.service, N_SIGNALS).into_iter().map(drawing).collect()
}

/// `/incidents/{id}`
pub async fn incident(app: App, id: String) -> Result<Response, WebError> {
    let token = app.csrf.token(&feedback::subject(&id), (app.parts.clock)());
    let view = blocking(&app, move |library| incident_view(library, &id, token)).await?;
    Ok(response::html(&page::incident(&view)))
}

fn incident_view(library: &Library, id: &str, token: String) -> Result<IncidentView, WebError> {
    let incident = library.incident(id)?;
    let from = incident.onset.at.minus(AROUND);
    // One that lasts is shown up to now, as far as it can still be made out.
    let until = incident.ended_at.unwrap_or(library.now.min(incident.onset.at.plus(LONGEST)));
    let until = until.plus(Duration::from_secs(600));
    let mended_by = match &incident.mended_by {
        Some(id) => library.named(&incident)?.remove(id),
        None => None,
    };
    let silence = if incident.state.is_open() { library.silenced(&incident)? } else { None };
    Ok(IncidentView {
        now: library.now,
        silence,
        token,
        suspects: library.suspects(&incident.suspects, &incident.signals)?,
        mended_by,
        graphs: incident.signals.iter().take(4).map(|moved| drawing(moved, from, until)).collect(),
        incident,
    })
}
