//! The signals of the operating system.

use tokio::signal::unix::{SignalKind, signal};

/// SIGXFSZ on Linux, of all architectures but MIPS.
const FILE_TOO_LARGE: i32 = 25;

/// Has a write beyond the process's limit of file sizes (`ulimit -f`) fail, as on a full disk, where the signal would end
/// the process. A runtime must be running.
pub fn outlive_file_limit() {
    // Once registered the handler stays, whether anybody listens or not.
    if let Err(error) = signal(SignalKind::from_raw(FILE_TOO_LARGE)) {
        tracing::warn!(%error, "a limit of file sizes would end the process");
    }
}

/// Waits until the process is asked to stop: SIGINT or SIGTERM.
pub async fn stop_asked() {
    let interrupted = tokio::signal::ctrl_c();
    match signal(SignalKind::terminate()) {
        Ok(mut terminated) => {
            tokio::select! {
                _ = interrupted => {}
                _ = terminated.recv() => {}
            }
        }
        // Without a handler SIGTERM ends the process at once, which the write-ahead log survives.
        Err(_) => {
            let _ = interrupted.await;
        }
    }
}
