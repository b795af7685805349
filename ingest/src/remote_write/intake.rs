//! One request into the sink.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use deployline_schemas::series;
use deployline_store::Point;
use serde::{Deserialize, Serialize};

use super::{
    message::{self, TimeSeries},
    snappy,
};
use crate::sink::{Sink, SinkError};

/// Largest request once decompressed, in bytes. Prometheus sends 2,000 samples at a time, about 500 KB.
const MAX_MESSAGE_BYTES: usize = 32 << 20;

/// The `[remote_write]` section.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RemoteWriteConfig {
    /// What the names of all series begin with, as in `prom.`; empty by default.
    pub prefix: String,
}

/// Why a request was not taken, by what the sender does next.
#[derive(Debug, thiserror::Error)]
pub enum RemoteWriteError {
    /// Reject: the sender's mistake, and nothing of the request was taken.
    #[error("{0}")]
    Malformed(&'static str),
    /// Retry: nothing of the request was taken, and it may pass later.
    #[error("datapoints can not be stored now")]
    Unavailable(#[source] SinkError),
}

/// What became of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// Datapoints stored.
    pub n_points: usize,
    /// Staleness markers and other NaN: gaps.
    pub n_gaps: usize,
    /// Samples refused for good: infinite, or stamped outside of the time that is kept.
    pub n_refused_points: usize,
    /// Samples of series refused for good: without a name, or one too many.
    pub n_refused_names: usize,
}

/// Figures since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Datapoints stored.
    pub n_points: u64,
    /// Samples refused for good.
    pub n_refused: u64,
    /// Requests refused as a whole.
    pub n_bad_requests: u64,
}

/// Takes requests in; shared by all connections.
pub struct Intake {
    sink: Arc<dyn Sink>,
    prefix: String,
    n_points: AtomicU64,
    n_refused: AtomicU64,
    n_bad_requests: AtomicU64,
}

impl Intake {
    /// An intake into a sink.
    pub fn new(config: &RemoteWriteConfig, sink: Arc<dyn Sink>) -> Self {
        let zero = || AtomicU64::new(0);
        Self { sink, prefix: config.prefix.clone(), n_points: zero(), n_refused: zero(), n_bad_requests: zero() }
    }

    /// Takes the body of a request; what it says was taken is durable on return. Blocks on the disk.
    ///
    /// # Errors
    /// See [`RemoteWriteError`].
    pub fn take(&self, body: &[u8]) -> Result<Taken, RemoteWriteError> {
        let outcome = self.try_take(body);
        match &outcome {
            Ok(taken) => {
                self.n_points.fetch_add(taken.n_points as u64, Ordering::Relaxed);
                let n_refused = taken.n_refused_points + taken.n_refused_names;
                self.n_refused.fetch_add(n_refused as u64, Ordering::Relaxed);
            }
            Err(RemoteWriteError::Malformed(_)) => {
                self.n_bad_requests.fetch_add(1, Ordering::Relaxed);
            }
            Err(RemoteWriteError::Unavailable(_)) => {}
        }
        outcome
    }

    fn try_take(&self, body: &[u8]) -> Result<Taken, RemoteWriteError> {
        let message = snappy::decompress(body, MAX_MESSAGE_BYTES)
            .ok_or(RemoteWriteError::Malformed("the body is no snappy block of at most 32 MiB"))?;
        let mut all = Vec::new();
        message::parse(&message, |series| all.push(series))
            .ok_or(RemoteWriteError::Malformed("the body is no prometheus.WriteRequest"))?;
        // The store may forget a series between its number and its datapoints: then all is asked for again.
        match self.append(&all) {
            Err(SinkError::Forgotten) => self.append(&all),
            outcome => outcome,
        }
        .map_err(RemoteWriteError::Unavailable)
    }

    fn append(&self, all: &[TimeSeries<'_>]) -> Result<Taken, SinkError> {
        let mut taken = Taken::default();
        let mut points = Vec::new();
        for TimeSeries { labels, samples } in all {
            let named = self.name(labels).map(|name| self.sink.intern(&name));
            let series = match named {
                Some(Ok(series)) => series,
                None | Some(Err(SinkError::Refused(_))) => {
                    taken.n_refused_names += samples.len();
                    continue;
                }
                Some(Err(error)) => return Err(error),
            };
            for (value, at_ms) in samples {
                if value.is_nan() {
                    taken.n_gaps += 1;
                } else if value.is_infinite() {
                    taken.n_refused_points += 1;
                } else {
                    points.push(Point { series, timestamp_s: at_ms.div_euclid(1000), value: *value });
                }
            }
        }
        if !points.is_empty() {
            let appended = self.sink.append(&points)?;
            taken.n_points = points.len() - appended.n_refused;
            taken.n_refused_points += appended.n_refused;
        }
        Ok(taken)
    }

    /// The canonical name of a series; `None` for one that cannot be kept.
    fn name(&self, labels: &[(&str, &str)]) -> Option<String> {
        let (_, metric) = labels.iter().find(|(label, metric)| *label == "__name__" && !metric.is_empty())?;
        let tags = labels.iter().copied().filter(|(label, _)| *label != "__name__");
        series::canonical(&series::of_labels(&format!("{}{metric}", self.prefix), tags)).ok()
    }

    /// The figures now.
    pub fn stats(&self) -> Stats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            n_points: load(&self.n_points),
            n_refused: load(&self.n_refused),
            n_bad_requests: load(&self.n_bad_requests),
        }
    }
}
