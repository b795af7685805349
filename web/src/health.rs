//! `/healthz`, `/readyz` and `/metrics`.

use std::time::Duration;

use deployline_ingest::door::Tally;
use deployline_schemas::topic::Topic;
use warp::{Reply, http::StatusCode, reply::Response};

use crate::{app::App, error::WebError, exposition::Exposition, library::blocking, response};

/// How long the bus may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(3);
/// The consumer groups whose lag is shown.
pub const GROUPS: [(&str, Topic); 3] = [
    (deployline_ingest::projector::GROUP, Topic::Deploys),
    (deployline_ingest::projector::GROUP, Topic::Incidents),
    (deployline_notify::notifier::GROUP, Topic::Incidents),
];

/// `/healthz`: the process answers.
pub fn alive() -> Response {
    warp::reply::json(&serde_json::json!({ "status": "ok" })).into_response()
}

/// `/readyz`: bus and catalog answer too.
///
/// # Errors
/// 503 with the part that does not.
pub async fn ready(app: App) -> Result<Response, WebError> {
    let not_ready = |code, message, source| WebError::Busy {
        status: StatusCode::SERVICE_UNAVAILABLE,
        code,
        message,
        retry_after: PATIENCE,
        source,
    };
    match tokio::time::timeout(PATIENCE, app.parts.bus.health()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(not_ready("bus_unavailable", "the bus does not answer", Some(Box::new(error)))),
        Err(_) => return Err(not_ready("bus_unavailable", "the bus does not answer in time", None)),
    }
    let page = blocking(&app, |library| library.deploys(&deployline_store::catalog::DeployQuery::default())).await;
    page.map_err(|error| not_ready("catalog_unavailable", "the catalog does not answer", Some(Box::new(error))))?;
    Ok(warp::reply::json(&serde_json::json!({ "status": "ready" })).into_response())
}

/// `/metrics`
pub async fn metrics(app: App) -> Response {
    let mut exposition = Exposition::default();
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    exposition.gauge("deployline_build_info", "The running version.", &version, 1.0);
    app.requests.collect(&mut exposition);
    door(&app, &mut exposition);
    store(&app, &mut exposition);
    for (group, topic) in GROUPS {
        if let Ok(Ok(lag)) = tokio::time::timeout(PATIENCE, app.parts.bus.lag(group, topic)).await {
            let labels = [("group", group), ("topic", topic.suffix())];
            exposition.gauge(
                "deployline_consumer_lag_records",
                "Records that a group has yet to take in.",
                &labels,
                lag as f64,
            );
        }
    }
    let open = app.parts.config.max_streams.saturating_sub(app.streams.available_permits());
    exposition.gauge("deployline_streams", "Readers of /api/v1/stream.", &[], open as f64);
    for collect in &app.parts.collectors {
        collect(&mut exposition);
    }
    response::bytes("text/plain; version=0.0.4; charset=utf-8", exposition.finish())
}

/// One figure of a source's tally.
type Count = fn(&Tally) -> u64;

fn door(app: &App, exposition: &mut Exposition) {
    let tallies = app.parts.door.counters().snapshot();
    let families: [(&str, &str, Count); 6] = [
        ("deployline_hook_accepted_total", "Hook requests answered once durable.", |tally| tally.accepted),
        ("deployline_hook_deploys_total", "Deploy events taken in.", |tally| tally.deploys),
        ("deployline_hook_ignored_total", "Hook requests understood and left out.", |tally| tally.ignored),
        ("deployline_hook_unavailable_total", "Hook requests put off because nothing could be stored.", |tally| {
            tally.unavailable
        }),
        ("deployline_hook_spooled_total", "Hook requests that wait on disk for the bus.", |tally| tally.spooled),
        ("deployline_hook_quarantined_total", "Refused bodies that were kept.", |tally| tally.quarantined),
    ];
    for (name, help, count) in families {
        for (source, tally) in &tallies {
            exposition.counter(name, help, &[("source", source)], count(tally));
        }
    }
    for (source, tally) in &tallies {
        for (code, n_refused) in &tally.refused {
            let labels = [("source", source.as_str()), ("code", code)];
            exposition.counter("deployline_hook_refused_total", "Hook requests refused.", &labels, *n_refused);
        }
    }
}

fn store(app: &App, exposition: &mut Exposition) {
    let stats = app.parts.store.stats();
    exposition.counter("deployline_datapoints_total", "Datapoints made durable.", &[], stats.n_appended);
    exposition.counter("deployline_datapoints_refused_total", "Datapoints not taken.", &[], stats.n_refused_points);
    exposition.counter(
        "deployline_series_refused_total",
        "New names refused for max_series.",
        &[],
        stats.n_refused_series,
    );
    exposition.gauge("deployline_series", "Series known.", &[], stats.n_series as f64);
    exposition.gauge("deployline_store_memory_bytes", "Datapoints in memory.", &[], stats.memory_bytes as f64);
    exposition.gauge("deployline_store_wal_bytes", "Write-ahead log on disk.", &[], stats.wal_bytes as f64);
    exposition.gauge("deployline_store_block_bytes", "Blocks on disk.", &[], stats.block_bytes as f64);
}
