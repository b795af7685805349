//! `GET` and `POST /render`: targets as JSON, tables or pictures.

use std::convert::Infallible;

use deployline_render::graphite::{Consolidation, Series};
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::UnboundedReceiverStream;
use warp::{
    Reply,
    http::{HeaderMap, HeaderValue, header},
    reply::Response,
};

use super::{
    binary, callback, charts, json, picture, scripted, table,
    window::{self, Window},
};
use crate::{
    app::App,
    error::WebError,
    graph::Format as Picture,
    library::{blocking, in_turn},
    query::Query,
    response,
};

/// What an answer is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Raw,
    Csv,
    Dygraph,
    Rickshaw,
    Pickle,
    Msgpack,
    Picture(Picture),
}

impl Format {
    fn parse(query: &Query) -> Result<Self, WebError> {
        Ok(match query.get("format").map(str::trim) {
            Some("json") => Self::Json,
            Some("raw") => Self::Raw,
            Some("csv") => Self::Csv,
            Some("dygraph") => Self::Dygraph,
            Some("rickshaw") => Self::Rickshaw,
            Some("pickle") => Self::Pickle,
            Some("msgpack") => Self::Msgpack,
            Some("svg") => Self::Picture(Picture::Svg),
            None if query.get("rawData").is_some() => Self::Raw,
            None if query.get("pickle").is_some() => Self::Pickle,
            // Without a word it is a picture, as in the address of an <img>.
            None | Some("png") => Self::Picture(Picture::Png),
            Some(other) => {
                let message =
                    format!("`{other}` is not json, raw, csv, dygraph, rickshaw, pickle, msgpack, png or svg");
                return Err(WebError::parameter("format", message));
            }
        })
    }
}

/// Evaluates the targets and answers in the format that is asked for.
///
/// # Errors
/// A parameter or target that makes no sense, a target that asks for too much, or a failed read.
pub async fn render(app: App, headers: HeaderMap, query: Query) -> Result<Response, WebError> {
    let format = Format::parse(&query)?;
    callback(&query, &headers)?;
    let targets = window::targets(&query)?;
    let now = (app.parts.clock)();
    let window = Window::parse(&query, now.as_secs())?;
    if let Format::Picture(picture) = format {
        let drawn = picture::picture(&query, targets, window)?;
        return picture::answer(&app, drawn, picture).await;
    }
    let max_points = match query.get("maxDataPoints").map(str::trim) {
        None => None,
        Some(text) => Some(
            text.parse::<usize>()
                .map_err(|_| WebError::parameter("maxDataPoints", format!("`{text}` is not a whole number")))?,
        ),
    };
    let nulls = !query.is_set("noNullPoints");
    let is_plain = query.get("jsonp").is_none();
    let turn = in_turn(&app.evaluations, "too_many_queries", "too many targets are being evaluated").await?;
    let written = blocking(&app, move |library| {
        // Held by the thread that evaluates: a caller who goes away must not make room for one more.
        let turn = turn;
        let mut series = window.evaluate(library, &targets)?;
        Ok(match format {
            Format::Raw => Written::Whole(table::raw(&series)),
            Format::Csv => Written::Whole(table::csv(&series, &window.time_zone)),
            Format::Dygraph => Written::Whole(charts::dygraph(&series)),
            Format::Rickshaw => Written::Whole(charts::rickshaw(&series)),
            Format::Pickle => Written::Whole(binary::pickle(&series)),
            Format::Msgpack => Written::Whole(binary::msgpack(&series)),
            _ => {
                consolidate(&mut series, max_points);
                match json::Answer::new(series, nulls) {
                    answer if is_plain && answer.is_long() => Written::Parts(answer, turn),
                    answer => Written::Whole(answer.whole()),
                }
            }
        })
    });
    match (format, written.await?) {
        (_, Written::Parts(answer, turn)) => Ok(in_parts(answer, turn)),
        (Format::Raw, Written::Whole(text)) => Ok(response::bytes("text/plain; charset=utf-8", text)),
        (Format::Csv, Written::Whole(text)) => Ok(response::bytes("text/csv; charset=utf-8", text)),
        (Format::Pickle, Written::Whole(bytes)) => Ok(response::bytes("application/pickle", bytes)),
        (Format::Msgpack, Written::Whole(bytes)) => Ok(response::bytes("application/x-msgpack", bytes)),
        (_, Written::Whole(json)) => scripted(&query, &headers, json),
    }
}

/// An answer, or what one is made of.
enum Written {
    Whole(Vec<u8>),
    /// To be written while it is sent, with the turn that this takes.
    Parts(json::Answer, OwnedSemaphorePermit),
}

/// JSON that is sent while it is written. Writing waits for nobody: a caller who reads slowly keeps memory, no thread.
fn in_parts(answer: json::Answer, turn: OwnedSemaphorePermit) -> Response {
    let (sender, receiver) = mpsc::unbounded_channel::<Vec<u8>>();
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        answer.parts(|part| sender.send(part).is_ok());
    });
    let parts = UnboundedReceiverStream::new(receiver).map(Ok::<_, Infallible>);
    let mut response = warp::reply::stream(parts).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Brings all series to at most about `max_points` values over the time that they span together.
fn consolidate(series: &mut [Series], max_points: Option<usize>) {
    let Some(max_points) = max_points.filter(|max_points| *max_points > 0) else { return };
    let start_s = series.iter().map(|one| one.start_s).min().unwrap_or_default();
    let end_s = series.iter().map(|one| one.end_s).max().unwrap_or_default();
    for one in series {
        // A mean would dim a deploy's single 1 to nearly nothing.
        if one.options.infinite && one.consolidation == Consolidation::Average {
            one.consolidation = Consolidation::Max;
        }
        one.limit_points(max_points, end_s - start_s);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deploys_single_one_outlives_consolidation() {
        let mut values = vec![0.0; 60];
        values[17] = 1.0;
        let mut series = [Series::new("deploys", 60, 660, 10, values)];
        series[0].options.infinite = true;
        consolidate(&mut series, Some(10));
        assert_eq!(series[0].values.iter().filter(|value| **value == 1.0).count(), 1);
    }

    #[test]
    fn formats_that_are_not_offered_are_named() {
        let format = |raw: &str| Format::parse(&Query::parse(raw).unwrap()).map_err(|error| error.to_string());
        assert_eq!(format("format=json"), Ok(Format::Json));
        assert_eq!(format(""), Ok(Format::Picture(Picture::Png)));
        assert_eq!(format("pickle=1"), Ok(Format::Pickle));
        let refused = "`pdf` is not json, raw, csv, dygraph, rickshaw, pickle, msgpack, png or svg";
        assert_eq!(format("format=pdf"), Err(refused.to_owned()));
    }
}
