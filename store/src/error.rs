//! Why the store could not do what it was asked.

use std::{io, path::PathBuf};

use deployline_schemas::series::SeriesError;

use crate::point::SeriesId;

/// Why the store could not do what it was asked, by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Reject: the name does not name a series.
    #[error("not a series name")]
    Name(#[from] SeriesError),
    /// Reject: the name is new and there are as many as the configuration allows. Known names go on.
    #[error("{limit} series are known, which is `store.max_series`: a new name is refused")]
    TooManySeries {
        /// The configured limit.
        limit: usize,
    },
    /// Reject: an id that this store never gave out, or has since forgotten with its last datapoint; intern the name again.
    #[error("series {} is not known", .0.0)]
    UnknownSeries(SeriesId),
    /// Reject: a page cursor or filter that makes no sense.
    #[error("{0}")]
    Query(String),
    /// Reject: a text that is not a retention.
    #[error("`{text}` is no retention: {reason}")]
    Retention {
        /// What was written.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Retry: the batch that this append was part of did not become durable, as on a full disk. Nothing of it is readable.
    #[error("failed to make {n_points} datapoints durable")]
    Append {
        /// How many of the caller's datapoints were in the batch.
        n_points: usize,
        /// The cause, which all appends of one group commit share.
        source: std::sync::Arc<StoreError>,
    },
    /// Retry: the file system said no.
    #[error("failed to {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Stop: what an export is written to takes no more, as when its reader went away.
    #[error("failed to write the export")]
    Export(#[source] io::Error),
    /// Retry or look: a block's Parquet file could not be written or read.
    #[error("failed to {action} {}", path.display())]
    Parquet {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The cause.
        source: polars::prelude::PolarsError,
    },
    /// Look: a file does not hold what it should.
    #[error("{} is damaged: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Stop: another process has the directory open.
    #[error("{} is in use by another process", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// Retry or look: the catalog's database said no.
    #[error("failed to {action} in the catalog")]
    Catalog {
        /// What was tried.
        action: &'static str,
        /// The cause.
        source: rusqlite::Error,
    },
    /// Stop: a later release has changed the catalog's tables.
    #[error("the catalog has version {found}, this release knows versions up to {known}: run the newer release")]
    Newer {
        /// The catalog's version.
        found: usize,
        /// The latest that this release knows.
        known: usize,
    },
    /// Look: a row of the catalog does not hold what it should.
    #[error("{what} in the catalog cannot be understood")]
    CatalogRow {
        /// Which row.
        what: String,
        /// The cause.
        source: serde_json::Error,
    },
}

impl StoreError {
    /// Whether the request is at fault, so that repeating it would fail the same way.
    pub fn is_rejection(&self) -> bool {
        matches!(
            self,
            Self::Name(_)
                | Self::TooManySeries { .. }
                | Self::UnknownSeries(_)
                | Self::Query(_)
                | Self::Retention { .. }
        )
    }
}

/// Gives an I/O error its place.
pub(crate) trait IoContext<T> {
    fn context(self, action: &'static str, path: &std::path::Path) -> Result<T, StoreError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn context(self, action: &'static str, path: &std::path::Path) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Io { action, path: path.to_owned(), source })
    }
}

impl<T> IoContext<T> for polars::prelude::PolarsResult<T> {
    fn context(self, action: &'static str, path: &std::path::Path) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Parquet { action, path: path.to_owned(), source })
    }
}

impl<T> IoContext<T> for Result<T, polars_parquet::parquet::error::ParquetError> {
    fn context(self, action: &'static str, path: &std::path::Path) -> Result<T, StoreError> {
        self.map_err(|error| StoreError::Parquet { action, path: path.to_owned(), source: error.into() })
    }
}
