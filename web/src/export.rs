//! `GET /api/v1/export`: datapoints of many series, written as they are read.
//!
//! Nothing of it is held whole: a thread reads series after series and waits while the reader is slower.

use std::{
    io::{self, Write},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use deployline_store::{Export, ExportFormat, SeriesId, StoreError};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use warp::{
    Reply,
    http::{HeaderValue, header},
    reply::Response,
};

use crate::{
    app::App,
    error::WebError,
    graphite::window::MAX_TARGETS,
    library::{Library, in_turn},
    query::Query,
};

/// How far back it reaches if `from` is not given.
const DEFAULT_WINDOW: Duration = Duration::from_secs(86_400);
/// Bytes of a piece of the answer.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that wait for the reader.
const PIECES: usize = 8;

/// Hands over what the globs in `target` match, stamped after `from` and up to `until`, as `format` says: `parquet`, `csv`
/// or `jsonl`. As with `/render`, old datapoints come from the finest archive that reaches back to `from`.
///
/// An export that fails on its way is cut off, so that no reader takes it for whole.
///
/// # Errors
/// A parameter that makes no sense, and 503 when as many exports and targets as are allowed are under way.
pub async fn export(app: App, query: Query) -> Result<Response, WebError> {
    let now = (app.parts.clock)();
    let until = query.moment("until", now)?.unwrap_or(now);
    let from = query.moment("from", now)?.unwrap_or(now.minus(DEFAULT_WINDOW));
    if from >= until {
        return Err(WebError::parameter("from", "`from` is not before `until`"));
    }
    // Stamps are ends of intervals: the one at `until` belongs to the range, the one at `from` does not.
    let range_s = from.as_secs().saturating_add(1)..until.as_secs().saturating_add(1);
    let format = query.word("format")?.unwrap_or(ExportFormat::Parquet);
    let patterns: Vec<String> = query.all("target").map(str::to_owned).collect();
    if patterns.is_empty() || patterns.len() > MAX_TARGETS {
        return Err(WebError::parameter("target", format!("name 1 to {MAX_TARGETS} patterns of series")));
    }
    let turn = in_turn(
        &app.evaluations,
        "too_many_queries",
        "as many exports and targets as are allowed are under way; `web.max_queries` raises that",
    );
    let turn = turn.await?;
    let library = Library::new(&app);
    let (pieces, answer) = mpsc::channel(PIECES);
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let failed = pieces.clone();
        if let Err(error) = write(&library, &patterns, range_s, Pieces { full: Vec::new(), pieces }, format) {
            // A reader that went away is not told, and is nobody's failure.
            if failed.blocking_send(Err(io::Error::other("the export failed"))).is_ok() {
                tracing::error!(error = &error as &dyn std::error::Error, "an export was cut off");
            }
        }
    });
    let mut response = warp::reply::stream(ReceiverStream::new(answer)).into_response();
    let name = format!("attachment; filename=\"series.{}\"", format.ending());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    if let Ok(name) = HeaderValue::try_from(name) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

fn write(
    library: &Library,
    patterns: &[String],
    range_s: Range<i64>,
    pieces: Pieces,
    format: ExportFormat,
) -> Result<(), StoreError> {
    let store = library.store();
    let mut series: Vec<(SeriesId, Arc<str>)> = patterns.iter().flat_map(|pattern| store.matching(pattern)).collect();
    series.sort_unstable_by(|(_, a), (_, b)| a.cmp(b));
    series.dedup();
    let mut export = Export::new(pieces, format)?;
    for (id, name) in series {
        export.push(&name, store.read(id, range_s.start, range_s.end)?)?;
    }
    export.finish().map(drop)
}

/// Sends what is written on in pieces, each once the reader has room for it.
struct Pieces {
    full: Vec<u8>,
    pieces: mpsc::Sender<io::Result<Bytes>>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.full.extend_from_slice(bytes);
        if self.full.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.full.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::take(&mut self.full));
        self.pieces.blocking_send(Ok(piece)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
