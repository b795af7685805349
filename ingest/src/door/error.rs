//! Why a request was not taken in.

use deployline_bus::BusError;

use crate::{hooks::HookError, spool::SpoolError};

/// Why a request was not taken in, by what the sender does next.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The sender's mistake: sending it again does not help.
    #[error(transparent)]
    Refused(#[from] HookError),
    /// Ours, and it may pass: the sender tries again.
    #[error("deploys cannot be stored now")]
    Bus(#[from] BusError),
    /// Ours, and it may pass: the bus is away, and the spool is full or broken.
    #[error("deploys cannot be stored now")]
    Spool(#[from] SpoolError),
    /// The hook takes no more for now: the sender tries again.
    #[error("this hook takes {max_per_second} requests a second; send it again in {wait_ms} ms")]
    TooFast {
        /// What it takes.
        max_per_second: u32,
        /// When there is room again, in milliseconds.
        wait_ms: u64,
    },
    /// This process is stopping: the sender tries again.
    #[error("the server is stopping")]
    Stopping,
}

impl DoorError {
    /// A word for programs; never changes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(error) => error.code(),
            Self::Bus(BusError::TooLarge { .. }) => "record_too_large",
            Self::Bus(_) => "bus_unavailable",
            Self::Spool(_) => "spool_unavailable",
            Self::TooFast { .. } => "rate_limited",
            Self::Stopping => "stopping",
        }
    }

    /// The HTTP status that answers it.
    pub fn status(&self) -> u16 {
        match self {
            Self::Refused(error) => error.status(),
            Self::Bus(BusError::TooLarge { .. }) => 413,
            Self::TooFast { .. } => 429,
            Self::Bus(_) | Self::Spool(_) | Self::Stopping => 503,
        }
    }

    /// The field at fault, where one is.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Refused(error) => error.field(),
            _ => None,
        }
    }

    /// Whether the same request may pass later.
    pub fn is_retryable(&self) -> bool {
        matches!(self.status(), 429 | 503)
    }
}
