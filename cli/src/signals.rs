//! The signals of the operating system.

/// Waits until the process is asked to stop: SIGINT or SIGTERM.
pub async fn stop_asked() {
    let interrupted = tokio::signal::ctrl_c();
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
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
