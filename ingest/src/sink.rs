//! Where datapoints go: the store, and in tests a table in memory.

use std::{error::Error, sync::Arc};

use deployline_store::{Appended, Point, SeriesId, Store, StoreError};

use crate::statsd::Sketch;

/// Why a sink did not take what it was given, by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Reject: this name, for good; others may be fine.
    #[error("the series name is refused")]
    Refused(#[source] Box<dyn Error + Send + Sync>),
    /// Intern again: a [`SeriesId`] in the batch is no longer known, and nothing of the batch was taken.
    #[error("a series was forgotten")]
    Forgotten,
    /// Retry: nothing of the batch was taken, and it may pass later.
    #[error("datapoints can not be stored now")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}

/// Takes datapoints in. Both calls may block on the disk, and are made from threads that may.
pub trait Sink: Send + Sync + 'static {
    /// The id of a series by its canonical name, a new one if it was not known.
    ///
    /// # Errors
    /// [`SinkError::Refused`] for a name that can not be kept, or one too many.
    fn intern(&self, name: &str) -> Result<SeriesId, SinkError>;

    /// Takes a batch, durable on return; says how many datapoints it refused for their time. The same series and timestamp again replaces the value, so that a batch may be repeated.
    ///
    /// # Errors
    /// See [`SinkError`]; on each of them nothing of the batch was taken.
    fn append(&self, points: &[Point]) -> Result<Appended, SinkError>;

    /// The name behind an id that [`Sink::intern`] gave, `None` once the series is forgotten.
    fn name(&self, series: SeriesId) -> Option<Arc<str>>;

    /// Whether [`Sink::sketch`] is worth calling; building sketches costs a pass over all timers' values.
    fn wants_sketches(&self) -> bool {
        false
    }

    /// Takes the distribution of one timer's values in the interval that ends at `timestamp_s`; `name` is canonical and without namespace.
    fn sketch(&self, _name: &str, _timestamp_s: i64, _sketch: &Sketch) {}
}

impl Sink for Store {
    fn intern(&self, name: &str) -> Result<SeriesId, SinkError> {
        Store::intern(self, name).map_err(|error| match error {
            StoreError::Name(_) | StoreError::TooManySeries { .. } => SinkError::Refused(error.into()),
            _ => SinkError::Unavailable(error.into()),
        })
    }

    fn append(&self, points: &[Point]) -> Result<Appended, SinkError> {
        Store::append(self, points).map_err(|error| match error {
            StoreError::UnknownSeries(_) => SinkError::Forgotten,
            _ => SinkError::Unavailable(error.into()),
        })
    }

    fn name(&self, series: SeriesId) -> Option<Arc<str>> {
        Store::name(self, series)
    }
}
