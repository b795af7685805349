//! One connection's bytes into lines or pickles. Nothing is read while the store works on what was: its pace is the sender's.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::TcpStream,
    task, time,
};
use tokio_util::sync::CancellationToken;

use super::{
    intake::{Intake, LongLine, Shared, count},
    parse::MAX_LINE_BYTES,
    pickle,
};

/// What is handed to the store at a time; large, since each hand-over ends in a write to its log.
const READ_BYTES: usize = 256 * 1024;

/// Takes lines until the connection ends, falls silent for `idle_timeout`, sends a line too long, or `stop` comes.
pub(crate) async fn lines(mut stream: TcpStream, shared: Arc<Shared>, idle_timeout: Duration, stop: CancellationToken) {
    let mut intake = Intake::new(Arc::clone(&shared));
    let mut buffer = Vec::new();
    while let Some(room) = READ_BYTES.checked_sub(buffer.len()) {
        if !read(&mut stream, &mut buffer, room, idle_timeout, &stop).await {
            break;
        }
        // What has come meanwhile goes along.
        while buffer.len() < READ_BYTES && matches!(stream.try_read_buf(&mut buffer), Ok(n_bytes) if n_bytes > 0) {}
        let Some(end) = memchr::memrchr(b'\n', &buffer) else {
            if buffer.len() > MAX_LINE_BYTES {
                return count(&shared.counters.n_long, 1);
            }
            continue;
        };
        let unfinished = buffer.split_off(end + 1);
        let taken = task::spawn_blocking(move || {
            let outcome = intake.take_lines(&buffer);
            (intake, buffer, outcome)
        });
        // Only a panic in there, which is a bug, ends the connection here.
        let Ok((returned, emptied, outcome)) = taken.await else { return };
        (intake, buffer) = (returned, emptied);
        buffer.clear();
        buffer.extend_from_slice(&unfinished);
        if outcome == Err(LongLine) || buffer.len() > MAX_LINE_BYTES {
            return count(&shared.counters.n_long, 1);
        }
    }
    // Without its end a line may be cut short, and its timestamp or value with it. Carbon drops it too.
    count(&shared.counters.n_unfinished, usize::from(!buffer.is_empty()));
}

/// Takes pickles, each after its length in four bytes, until the connection ends, falls silent, announces one too long, or `stop` comes.
/// One that is malformed is counted and passed over, as in carbon.
pub(crate) async fn pickles(
    mut stream: TcpStream,
    shared: Arc<Shared>,
    idle_timeout: Duration,
    stop: CancellationToken,
) {
    let mut intake = Intake::new(Arc::clone(&shared));
    loop {
        let mut header = Vec::with_capacity(4);
        if !read_whole(&mut stream, &mut header, 4, idle_timeout, &stop).await {
            return count(&shared.counters.n_unfinished, usize::from(!header.is_empty()));
        }
        let length = header.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        if length > pickle::MAX_BYTES {
            return count(&shared.counters.n_long, 1);
        }
        // Grows with what comes: an announcement alone takes no memory.
        let mut body = Vec::new();
        if !read_whole(&mut stream, &mut body, length, idle_timeout, &stop).await {
            return count(&shared.counters.n_unfinished, 1);
        }
        let taken = task::spawn_blocking(move || {
            let outcome = intake.take_pickle(&body);
            (intake, outcome)
        });
        let Ok((returned, outcome)) = taken.await else { return };
        intake = returned;
        if let Err(error) = outcome {
            tracing::debug!(%error, "pickle refused");
            count(&shared.counters.n_bad_pickles, 1);
        }
    }
}

/// Reads until `buffer` holds `length` bytes; false if the connection ends before.
async fn read_whole(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    length: usize,
    idle_timeout: Duration,
    stop: &CancellationToken,
) -> bool {
    while buffer.len() < length {
        let room = length - buffer.len();
        if !read(stream, buffer, room, idle_timeout, stop).await {
            return false;
        }
    }
    true
}

/// Reads what is there, at most `room` bytes, waiting for the first; false if nothing more will come.
async fn read(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    room: usize,
    idle_timeout: Duration,
    stop: &CancellationToken,
) -> bool {
    buffer.reserve(room.min(64 * 1024));
    let mut limited = AsyncReadExt::take(stream as &mut (dyn AsyncRead + Send + Unpin), room as u64);
    tokio::select! {
        () = stop.cancelled() => false,
        read = time::timeout(idle_timeout, limited.read_buf(buffer)) => matches!(read, Ok(Ok(n_bytes)) if n_bytes > 0),
    }
}
