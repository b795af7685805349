//! `/api/v1/quarantine`: what hooks brought and could not be understood, and another try at it.

use deployline_bus::{Bounds, Bus, BusError, Delivered, Position};
use deployline_ingest::door::Quarantined;
use deployline_schemas::{
    quarantine::{Entry, Whole},
    topic::Topic,
};
use warp::{Reply, http::StatusCode, reply::Response};

use crate::{app::App, error::WebError, hooks, query::Query};

/// Entries if no `limit` is given, and at most.
const LIMITS: (usize, usize) = (50, 1000);
/// Records of a partition that a list looks through at most, newest first, for as many entries as were asked for.
const MAX_LOOKED_AT: i64 = 20_000;
/// Records that are read at a time.
const STRIDE: i64 = 500;

fn unread(error: BusError) -> WebError {
    WebError::Busy {
        status: StatusCode::SERVICE_UNAVAILABLE,
        code: "bus_unavailable",
        message: "the quarantine cannot be read now",
        retry_after: std::time::Duration::from_secs(5),
        source: Some(Box::new(error)),
    }
}

/// `None` for a record that is none of ours.
fn entry(delivered: &Delivered) -> Option<(Entry, Quarantined)> {
    let kept = Quarantined::from_record(&delivered.record).ok()?;
    let entry = Entry {
        position: format!("{}-{}", delivered.position.partition, delivered.position.offset),
        quarantined_at: delivered.appended_at,
        source: kept.source.clone(),
        path: kept.path.clone().or_else(|| kept.origin.get("topic").cloned()).unwrap_or_default(),
        reason: kept.reason.clone(),
        problem: kept.problem.clone(),
        body_bytes: kept.cut_from_bytes.unwrap_or(kept.request.body.len()),
        is_cut: kept.cut_from_bytes.is_some(),
    };
    Some((entry, kept))
}

/// `GET /api/v1/quarantine`: the last ones, of one source if `source` names it, newest first.
///
/// # Errors
/// 503 while the bus is away.
pub async fn list(app: App, query: Query) -> Result<Response, WebError> {
    let limit = query.count("limit", LIMITS.0, (1, LIMITS.1))?;
    let source = query.text("source");
    let bus = &app.parts.bus;
    let mut entries = Vec::new();
    for bounds in bus.bounds(Topic::Quarantine).await.map_err(unread)? {
        let wanted = |entry: &Entry| source.as_ref().is_none_or(|source| *source == entry.source);
        entries.extend(newest(bus, bounds, limit, wanted).await.map_err(unread)?);
    }
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.quarantined_at));
    entries.truncate(limit);
    Ok(warp::reply::json(&serde_json::json!({ "quarantined": entries })).into_response())
}

/// At least the newest `limit` entries of a partition that are wanted, as far as there are so many, newest first.
async fn newest(
    bus: &Bus,
    bounds: Bounds,
    limit: usize,
    wanted: impl Fn(&Entry) -> bool,
) -> Result<Vec<Entry>, BusError> {
    let first = bounds.first.max(bounds.next - MAX_LOOKED_AT);
    let (mut entries, mut end) = (Vec::new(), bounds.next);
    while end > first && entries.len() < limit {
        let begin = first.max(end - STRIDE);
        let (mut offset, n_newer) = (begin, entries.len());
        while offset < end {
            let from = Position { partition: bounds.partition, offset };
            let mut batch = bus.read(Topic::Quarantine, from, (end - offset) as usize).await?;
            batch.retain(|delivered| delivered.position.offset < end);
            let Some(last) = batch.last() else { break };
            offset = last.position.offset + 1;
            entries.extend(batch.iter().filter_map(entry).map(|(entry, _)| entry).filter(&wanted));
        }
        entries[n_newer..].reverse();
        end = begin;
    }
    Ok(entries)
}

/// `GET /api/v1/quarantine/{position}`: one with its headers and body.
///
/// # Errors
/// [`WebError::NotFound`]; 503 while the bus is away.
pub async fn show(app: App, position: String) -> Result<Response, WebError> {
    let delivered = at(&app, &position).await?;
    let (entry, kept) = entry(&delivered).ok_or_else(|| missing(position))?;
    let body = String::from_utf8_lossy(&kept.request.body).into_owned();
    Ok(warp::reply::json(&Whole { entry, headers: kept.request.headers, origin: kept.origin, body }).into_response())
}

/// `POST /api/v1/quarantine/{position}/redrive`: tries it again under the configuration of now, and answers 202 with the
/// receipt. The entry stays, as a log's entries do; what it tells of a deploy counts once however often it is told.
///
/// # Errors
/// [`WebError::NotFound`]; what is wrong with it still; 503 while the bus is away.
pub async fn redrive(app: App, position: String) -> Result<Response, WebError> {
    let delivered = at(&app, &position).await?;
    let receipt = app.parts.door.redrive(&delivered.record).await.map_err(hooks::refusal)?;
    Ok(warp::reply::with_status(warp::reply::json(&receipt), StatusCode::ACCEPTED).into_response())
}

fn missing(position: String) -> WebError {
    WebError::NotFound { what: "quarantined request", id: position }
}

async fn at(app: &App, position: &str) -> Result<Delivered, WebError> {
    let parsed = position.split_once('-').and_then(|(partition, offset)| {
        Some(Position { partition: partition.parse().ok()?, offset: offset.parse().ok()? })
    });
    let wanted = parsed.filter(|wanted| wanted.offset >= 0).ok_or_else(|| missing(position.to_owned()))?;
    // A partition that does not exist is nobody's; asking a broker for it would wait for its timeout.
    let bounds = app.parts.bus.bounds(Topic::Quarantine).await.map_err(unread)?;
    let is_kept = |bounds: &deployline_bus::Bounds| {
        bounds.partition == wanted.partition && (bounds.first..bounds.next).contains(&wanted.offset)
    };
    if !bounds.iter().any(is_kept) {
        return Err(missing(position.to_owned()));
    }
    let read = app.parts.bus.read(Topic::Quarantine, wanted, 1).await.map_err(unread)?;
    // Offsets have holes: the next record is another's.
    let found = read.into_iter().next().filter(|delivered| delivered.position.offset == wanted.offset);
    found.ok_or_else(|| missing(position.to_owned()))
}
