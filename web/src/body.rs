//! Request bodies, within bounds of size and time.

use std::{sync::Arc, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use warp::http::StatusCode;

use crate::error::WebError;

/// Largest body that is taken, in bytes.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;
/// What all bodies take together in memory at most, from the first byte until what they say is durable.
const ROOM_BYTES: usize = 128 * 1024 * 1024;
/// How much of a body that is too large is read all the same. A sender that is still writing when we answer and close
/// sees a broken connection instead of the answer; one that sends more than this has no claim to it.
const MAX_DRAINED_BYTES: usize = 32 * 1024 * 1024;
/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A body, which holds its share of the memory that bodies may take until it is dropped.
#[derive(Debug)]
pub struct Body {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl Body {
    /// What was sent; shared, not copied.
    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }
}

impl std::ops::Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The room that bodies share, in KiB.
pub fn room() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(ROOM_BYTES / 1024))
}

/// Reads a body to its end if there is room for as much as its length says, or else for the longest.
///
/// # Errors
/// 429 without room, before a byte is read; what [`read`] refuses.
pub async fn take<B: Buf>(
    room: &Arc<Semaphore>,
    length: Option<u64>,
    body: impl Stream<Item = Result<B, warp::Error>>,
) -> Result<Body, WebError> {
    let n_bytes = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(MAX_BODY_BYTES).min(MAX_BODY_BYTES);
    // Headers and the deploys that it becomes take room too.
    let n_kib = (n_bytes / 1024 + 2) as u32;
    let Ok(room) = Arc::clone(room).try_acquire_many_owned(n_kib) else {
        return Err(WebError::Busy {
            status: StatusCode::TOO_MANY_REQUESTS,
            code: "too_many_requests",
            message: "too many requests at once; nothing was taken",
            retry_after: Duration::from_secs(1),
            source: None,
        });
    };
    Ok(Body { bytes: read(body).await?, _room: room })
}

/// Reads a body to its end.
///
/// # Errors
/// 413 past [`MAX_BODY_BYTES`], 408 past the time limit, 400 when the connection breaks.
pub async fn read<B: Buf>(body: impl Stream<Item = Result<B, warp::Error>>) -> Result<Bytes, WebError> {
    let refuse =
        |status, code, message: &str| WebError::Refused { status, code, message: message.to_owned(), field: None };
    let collected = async {
        let mut body = std::pin::pin!(body);
        let (mut bytes, mut n_bytes) = (BytesMut::new(), 0);
        while let Some(chunk) = body.next().await {
            let mut chunk =
                chunk.map_err(|_| refuse(StatusCode::BAD_REQUEST, "body_broken", "the body ended early"))?;
            n_bytes += chunk.remaining();
            if n_bytes > MAX_DRAINED_BYTES {
                break;
            }
            while n_bytes <= MAX_BODY_BYTES && chunk.has_remaining() {
                let part = chunk.chunk();
                bytes.extend_from_slice(part);
                let length = part.len();
                chunk.advance(length);
            }
        }
        if n_bytes > MAX_BODY_BYTES {
            return Err(refuse(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                "the body is too large: at most 1 MiB is taken",
            ));
        }
        Ok(bytes.freeze())
    };
    let in_time = tokio::time::timeout(BODY_TIMEOUT, collected).await;
    in_time.unwrap_or_else(|_| Err(refuse(StatusCode::REQUEST_TIMEOUT, "body_slow", "the body took longer than 30 s")))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_chunks(chunks: Vec<usize>) -> Result<usize, String> {
        let chunks = chunks.into_iter().map(|length| Ok(Bytes::from(vec![b'x'; length])));
        read(futures_util::stream::iter(chunks)).await.map(|bytes| bytes.len()).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_body_is_taken_up_to_the_limit() {
        assert_eq!(read_chunks(vec![]).await, Ok(0));
        assert_eq!(read_chunks(vec![MAX_BODY_BYTES - 1, 1]).await, Ok(MAX_BODY_BYTES));
        let refused = Err("the body is too large: at most 1 MiB is taken".to_owned());
        assert_eq!(read_chunks(vec![MAX_BODY_BYTES, 1]).await, refused);
        assert_eq!(read_chunks(vec![MAX_BODY_BYTES; 40]).await, refused);
    }

    #[tokio::test]
    async fn a_body_holds_its_room_until_it_is_dropped() {
        let room = Arc::new(Semaphore::new(6));
        let chunks = || futures_util::stream::iter([Ok(Bytes::from_static(b"{}"))]);
        let small = take(&room, Some(2), chunks()).await.unwrap();
        assert_eq!((&small[..], room.available_permits()), (&b"{}"[..], 4));
        let refused = take(&room, Some(4096), chunks()).await.unwrap_err().to_string();
        assert_eq!(refused, "too many requests at once; nothing was taken");
        // One that does not say how long it is may be the longest.
        assert!(take(&room, None, chunks()).await.is_err());
        drop(small);
        assert_eq!(room.available_permits(), 6);
        assert!(take(&room, Some(4096), chunks()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_given_up() {
        let outcome = read(futures_util::stream::pending::<Result<Bytes, warp::Error>>()).await;
        assert_eq!(outcome.unwrap_err().to_string(), "the body took longer than 30 s");
    }
}
