//! Why the bus did not do what it was asked to.

use std::{error::Error, path::PathBuf, sync::Arc, time::Duration};

/// What lies below an error of the bus; shared, since one failed transaction answers many publishers.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// What the caller does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recourse {
    /// Wait a little and ask again: it may pass.
    Retry,
    /// Give this request up: it will not pass, but another one may.
    Reject,
    /// Stop using this bus: nothing will pass until someone acts.
    Stop,
}

/// Why the bus did not do what it was asked to. [`BusError::recourse`] says what to do about it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BusError {
    /// Retry: as many bytes as may wait to become durable were waiting all that time.
    #[error("the queue of the bus stayed full for {waited:?}")]
    QueueFull {
        /// The configured timeout.
        waited: Duration,
    },
    /// Retry: no answer in time. What was asked may still happen.
    #[error("failed to {doing} within {waited:?}")]
    Timeout {
        /// What was asked for.
        doing: &'static str,
        /// The configured timeout.
        waited: Duration,
    },
    /// Retry: the broker is away or the disk is full.
    #[error("failed to {doing} for now")]
    Unavailable {
        /// What was asked for.
        doing: &'static str,
        /// What the broker's client or the database says.
        source: Cause,
    },
    /// Reject: the record is too large for a log of small records.
    #[error("a record for `{topic}` takes {size_bytes} bytes; at most {limit_bytes} fit")]
    TooLarge {
        /// The topic that it was for.
        topic: &'static str,
        /// Its size, with its headers and overhead.
        size_bytes: usize,
        /// What fits.
        limit_bytes: usize,
    },
    /// Reject: no such consumer group can be.
    #[error("`{name}` cannot name a consumer group: 1 to 100 of the characters a-z, A-Z, 0-9, `.`, `_` and `-` can")]
    Group {
        /// The name asked for.
        name: String,
    },
    /// Stop: the bus was closed.
    #[error("the bus is closed")]
    Closed,
    /// Stop: the configuration names a bus that cannot be.
    #[error("the [bus] configuration is wrong: {problem}")]
    Config {
        /// The key at fault, and what it may be.
        problem: String,
    },
    /// Stop: the embedded bus serves one process at a time.
    #[error("another process has the bus in `{}` open", path.display())]
    Locked {
        /// The data directory.
        path: PathBuf,
    },
    /// Stop: a newer release has written the log.
    #[error("the log in `{}` is of version {found}; this release reads up to {known}", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version that this release knows.
        known: i64,
    },
    /// Stop: access is denied or the log is damaged; trying again does not help.
    #[error("failed to {doing}")]
    Broken {
        /// What was asked for.
        doing: &'static str,
        /// What the broker's client or the database says.
        source: Cause,
    },
}

impl BusError {
    /// What the caller does about it.
    pub fn recourse(&self) -> Recourse {
        match self {
            Self::QueueFull { .. } | Self::Timeout { .. } | Self::Unavailable { .. } => Recourse::Retry,
            Self::TooLarge { .. } | Self::Group { .. } => Recourse::Reject,
            Self::Closed | Self::Config { .. } | Self::Locked { .. } | Self::Newer { .. } | Self::Broken { .. } => {
                Recourse::Stop
            }
        }
    }

    /// Whether the same request may pass later.
    pub fn is_retryable(&self) -> bool {
        self.recourse() == Recourse::Retry
    }

    pub(crate) fn unavailable(doing: &'static str, cause: impl Error + Send + Sync + 'static) -> Self {
        Self::Unavailable { doing, source: Arc::new(cause) }
    }

    pub(crate) fn broken(doing: &'static str, cause: impl Error + Send + Sync + 'static) -> Self {
        Self::Broken { doing, source: Arc::new(cause) }
    }
}
