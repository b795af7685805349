//! A record, its place in the log, and how it comes back.

use bytes::Bytes;
use deployline_schemas::{time::UnixMillis, topic::Topic};

use crate::error::BusError;

/// The largest record, by [`Record::size_bytes`]. Kafka refuses a batch above 1,048,588 bytes unless told otherwise;
/// this leaves room for the batch's own header.
pub const MAX_RECORD_BYTES: usize = 1_000_000;

/// What a record weighs beside its contents: its row or its Kafka header, and its share of a queue.
const RECORD_OVERHEAD_BYTES: usize = 64;
const HEADER_OVERHEAD_BYTES: usize = 16;

/// What is published: bytes under a key, with headers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Records of one key keep their order.
    pub key: String,
    /// Names and values, in order; a name may repeat.
    pub headers: Vec<(String, String)>,
    /// What it says. May be empty.
    pub value: Bytes,
}

impl Record {
    /// A record without headers.
    pub fn new(key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self { key: key.into(), headers: Vec::new(), value: value.into() }
    }

    /// The same record with one more header.
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What it takes of queues and of [`MAX_RECORD_BYTES`]: its contents and a fixed overhead for itself and each header.
    pub fn size_bytes(&self) -> usize {
        let header_bytes = |(name, value): &(String, String)| name.len() + value.len() + HEADER_OVERHEAD_BYTES;
        let headers: usize = self.headers.iter().map(header_bytes).sum();
        self.key.len() + headers + self.value.len() + RECORD_OVERHEAD_BYTES
    }

    pub(crate) fn check(&self, topic: Topic) -> Result<(), BusError> {
        match self.size_bytes() {
            0..=MAX_RECORD_BYTES => Ok(()),
            size_bytes => Err(BusError::TooLarge { topic: topic.suffix(), size_bytes, limit_bytes: MAX_RECORD_BYTES }),
        }
    }
}

/// A record's place in its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Which of the topic's logs; 0 on the embedded bus, which has one for each topic.
    pub partition: i32,
    /// Its place in that log, from 0, ascending. Gaps are possible.
    pub offset: i64,
}

/// The stretch of a partition that can be read: the half-open `[first, next)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Which of the topic's logs.
    pub partition: i32,
    /// The offset of the oldest record that is kept; equals `next` when none is.
    pub first: i64,
    /// The offset that the next record will get.
    pub next: i64,
}

/// A record as it comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The topic that it was published to.
    pub topic: Topic,
    /// Its place there.
    pub position: Position,
    /// When the log took it in, by the log's own clock. Not when what it tells of happened.
    pub appended_at: UnixMillis,
    /// What was published.
    pub record: Record,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_the_largest_size_passes_and_one_byte_more_does_not() {
        let fits = Record::new("k", vec![0; MAX_RECORD_BYTES - 65]);
        fits.check(Topic::Deploys).unwrap();
        let error = fits.with_header("", "").check(Topic::Deploys).unwrap_err();
        assert_eq!(error.to_string(), "a record for `deploys` takes 1000016 bytes; at most 1000000 fit");
        assert_eq!(error.recourse(), crate::Recourse::Reject);
    }
}
