//! A member of a consumer group.

use crate::{embedded, error::BusError, kafka, record::Delivered};

/// What one batch holds at most: it ends with the record that reaches this many bytes.
pub const MAX_BATCH_BYTES: usize = 8 << 20;

/// A member of a consumer group, from [`Bus::subscribe`](crate::Bus::subscribe). Dropping it leaves the group; what it
/// did not commit is delivered again, to the group's next member.
///
/// A member is expected back in [`next_batch`](Self::next_batch) within five minutes: on Kafka it is taken for dead
/// after that, and its partitions move on.
pub struct Subscription(Kind);

enum Kind {
    Embedded(embedded::Subscription),
    // Boxed: a Kafka member carries much more, and a subscription is moved about.
    Kafka(Box<kafka::Subscription>),
}

impl Subscription {
    pub(crate) fn embedded(subscription: embedded::Subscription) -> Self {
        Self(Kind::Embedded(subscription))
    }

    pub(crate) fn kafka(subscription: kafka::Subscription) -> Self {
        Self(Kind::Kafka(Box::new(subscription)))
    }

    /// Waits for at least one record and returns up to `max` of them (at least one, whatever `max` says), each
    /// partition's in order. The next call goes on after them, committed or not.
    ///
    /// Cancel-safe: when the future is dropped, no record is lost. While a Kafka broker is away it waits.
    ///
    /// # Errors
    /// [`BusError::Closed`]; [`BusError::Unavailable`] when the disk cannot be read for now; [`BusError::Broken`].
    pub async fn next_batch(&mut self, max: usize) -> Result<Vec<Delivered>, BusError> {
        match &mut self.0 {
            Kind::Embedded(subscription) => subscription.next_batch(max.max(1)).await,
            Kind::Kafka(subscription) => subscription.next_batch(max.max(1)).await,
        }
    }

    /// Moves the group's offsets past the records of `batch`: it will not see them, or those before them, again. To be
    /// called once what follows from them is durable. Offsets never move back.
    ///
    /// Records of a partition that has moved to another member meanwhile stay uncommitted and are delivered to that one
    /// again; that is logged and no error, since nothing is left to do about it here.
    ///
    /// # Errors
    /// [`BusError::Timeout`] and [`BusError::Unavailable`] within `timeout`: commit again, or go on and let the next
    /// commit cover it. [`BusError::Closed`], [`BusError::Broken`].
    pub async fn commit(&mut self, batch: &[Delivered]) -> Result<(), BusError> {
        match &mut self.0 {
            Kind::Embedded(subscription) => subscription.commit(batch).await,
            Kind::Kafka(subscription) => subscription.commit(batch).await,
        }
    }

    /// Leaves the group and returns when it has, so that another member can take over at once. Dropping does the same
    /// in the background.
    pub async fn close(self) {
        match self.0 {
            Kind::Embedded(subscription) => drop(subscription),
            Kind::Kafka(subscription) => subscription.close().await,
        }
    }
}
