//! StatsD over TCP: lines, each ended by a line break, in reads of any size.

use std::{sync::Arc, time::Duration};

use tokio::{io::AsyncReadExt, net::TcpStream, time};
use tokio_util::sync::CancellationToken;

use super::server::Shared;

/// Longest line in bytes; a longer one ends its connection, since what follows can not be told apart any more.
pub(crate) const MAX_LINE_BYTES: usize = 16_384;
/// What is read at a time.
const READ_BYTES: usize = 64 * 1024;

/// Takes lines from one connection until it ends, falls silent for `idle_timeout` or `stop` comes. A last line
/// without its break counts if the sender has closed the connection; else it may be cut short.
pub(crate) async fn serve(mut stream: TcpStream, shared: Arc<Shared>, idle_timeout: Duration, stop: CancellationToken) {
    let mut buffer = vec![0; READ_BYTES + MAX_LINE_BYTES];
    let mut filled = 0;
    loop {
        let end = filled + READ_BYTES;
        let read = tokio::select! {
            () = stop.cancelled() => return,
            read = time::timeout(idle_timeout, stream.read(&mut buffer[filled..end])) => read,
        };
        let n_bytes = match read {
            Ok(Ok(0)) => break,
            Ok(Ok(n_bytes)) => n_bytes,
            Ok(Err(_)) | Err(_) => return,
        };
        filled += n_bytes;
        let complete = memchr::memrchr(b'\n', &buffer[..filled]).map_or(0, |at| at + 1);
        if complete > 0 {
            shared.take(&mut [&buffer[..complete]].into_iter());
            buffer.copy_within(complete..filled, 0);
            filled -= complete;
        }
        if filled > MAX_LINE_BYTES {
            shared.count_long_line();
            return;
        }
    }
    if filled > 0 {
        shared.take(&mut [&buffer[..filled]].into_iter());
    }
}
