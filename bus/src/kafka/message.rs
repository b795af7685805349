//! A record as a Kafka message, and back.

use bytes::Bytes;
use deployline_schemas::{time::UnixMillis, topic::Topic};
use rdkafka::{
    Message,
    message::{BorrowedMessage, Header, Headers, OwnedHeaders},
    producer::FutureRecord,
};

use crate::record::{Delivered, Position, Record};

pub(super) fn outgoing<'a>(topic: &'a str, record: &'a Record) -> FutureRecord<'a, str, [u8]> {
    let message = FutureRecord::to(topic).key(record.key.as_str()).payload(&record.value[..]);
    if record.headers.is_empty() {
        return message;
    }
    let headers =
        record.headers.iter().fold(OwnedHeaders::new_with_capacity(record.headers.len()), |headers, header| {
            headers.insert(Header { key: &header.0, value: Some(&header.1) })
        });
    message.headers(headers)
}

/// A message that came in. Other producers may write to our topics, so whatever Kafka allows has a meaning here: a key
/// or header that is no UTF-8 gets replacement characters, an absent key, header or value is an empty one.
pub(super) fn incoming(topic: Topic, message: &BorrowedMessage<'_>) -> Delivered {
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect()
    });
    Delivered {
        topic,
        position: Position { partition: message.partition(), offset: message.offset() },
        appended_at: UnixMillis(message.timestamp().to_millis().unwrap_or_default()),
        record: Record {
            key: text(message.key()),
            headers,
            value: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
        },
    }
}
