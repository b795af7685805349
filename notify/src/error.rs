//! What can go wrong between an incident and a channel.

use deployline_bus::BusError;
use deployline_store::StoreError;

/// Why the notifier cannot go on. A channel that refuses a message is not among these: that becomes a dead letter.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// The configuration makes no sense; a person must mend it.
    #[error("{problem}")]
    Config {
        /// A sentence that names the entry at fault.
        problem: String,
    },
    /// The bus failed. It may pass: offsets stay put and the incidents come again.
    #[error("the bus failed while {doing}")]
    Bus {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        source: BusError,
    },
    /// The catalog failed. It may pass: nothing was sent that is not on record.
    #[error("the catalog failed while {doing}")]
    Catalog {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        source: StoreError,
    },
    /// A delivery's thread ended in a panic, which is a bug.
    #[error("a delivery ended early")]
    Worker(#[from] tokio::task::JoinError),
}

impl NotifyError {
    /// Whether the same may pass later. The catalog's failures are all taken to: a full disk, a file that a backup holds.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Bus { source, .. } => source.is_retryable(),
            Self::Catalog { .. } => true,
            Self::Config { .. } | Self::Worker(_) => false,
        }
    }
}

/// An error with its causes, in one line.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
