//! A member of a consumer group on topics that are not the bus's own.

use bytes::Bytes;
use deployline_schemas::time::UnixMillis;
use serde::{Deserialize, Serialize};

use crate::{error::BusError, kafka, record::Position};

/// Where a group begins on a partition of which it has committed nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// With the oldest record that is kept: nothing is missed.
    #[default]
    Earliest,
    /// With what comes from now on.
    Latest,
}

/// A record of a topic that others write, as it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignRecord {
    /// The topic's whole name.
    pub topic: String,
    /// Its place there.
    pub position: Position,
    /// The record's timestamp on the broker: when it was written or taken in, as the topic is set up; `None` without one.
    pub stamped_at: Option<UnixMillis>,
    /// Its key; what is no UTF-8 in it is replaced.
    pub key: String,
    /// Names and values, in order; what is no UTF-8 in them is replaced.
    pub headers: Vec<(String, String)>,
    /// What it says; `None` for a tombstone, which a compacted topic keeps in place of what was deleted.
    pub value: Option<Bytes>,
}

/// A member of a group on foreign topics, from [`Bus::follow`](crate::Bus::follow). What it did not commit is delivered
/// again, to the group's next member.
pub struct Foreign(Box<kafka::ForeignMember>);

impl Foreign {
    pub(crate) fn new(member: kafka::ForeignMember) -> Self {
        Self(Box::new(member))
    }

    /// Waits for at least one record and returns up to `max` of them, each partition's in order.
    ///
    /// Cancel-safe. While a broker is away, or a topic does not exist, it waits.
    ///
    /// # Errors
    /// [`BusError::Closed`] and [`BusError::Broken`].
    pub async fn next_batch(&mut self, max: usize) -> Result<Vec<ForeignRecord>, BusError> {
        self.0.next_batch(max.max(1)).await
    }

    /// Moves the group's offsets past the records of `batch`. Records of a partition that has moved to another member
    /// meanwhile are delivered to that one again.
    ///
    /// # Errors
    /// [`BusError::Timeout`] and [`BusError::Unavailable`] within `timeout`: commit again, or let the next commit cover
    /// it. [`BusError::Closed`], [`BusError::Broken`].
    pub async fn commit(&mut self, batch: &[ForeignRecord]) -> Result<(), BusError> {
        self.0.commit(batch).await
    }
}
