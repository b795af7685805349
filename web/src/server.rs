//! The listener: connections in, routes behind them, an end with a deadline.
//!
//! warp's own server has no bound on connections and waits for ever for a request's head, so its filters run here
//! as a service under hyper's connection builder.

use std::{sync::Arc, time::Duration};

use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{app::App, error::WebError, guard, routes};

/// How long a client may take to send a request's head, on a fresh connection and between requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// Largest head of a request, in bytes: beyond, and beyond four times the headers that are taken, the answer is a bare
/// 431, below it one with a code (see [`guard::bounded`]).
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Pause after a failed accept: out of file descriptors, usually, which passes when a connection ends.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Binds the configured address.
///
/// # Errors
/// [`WebError::Listen`] when it is taken or not allowed.
pub async fn listen(address: std::net::SocketAddr) -> Result<TcpListener, WebError> {
    TcpListener::bind(address).await.map_err(|source| WebError::Listen { address, source })
}

/// Serves until `stop`, then gives open requests until the configured deadline and returns.
///
/// At most `max_connections` are open at once: further ones wait in the listener's backlog.
pub async fn serve(app: App, listener: TcpListener, stop: CancellationToken) {
    let config = app.parts.config.clone();
    let slots = Arc::new(Semaphore::new(config.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
    let service = warp::service(routes::routes(app.clone()));
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(4 * guard::MAX_HEADERS);
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let slot = tokio::select! {
            slot = Arc::clone(&slots).acquire_owned() => slot,
            () = stop.cancelled() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = stop.cancelled() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Small answers leave at once.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(service.clone());
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            let _slot = slot;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended early");
            }
        });
    }
    drop(listener);
    app.stop.cancel();
    tokio::select! {
        () = graceful.shutdown() => {}
        () = tokio::time::sleep(config.drain_timeout()) => {
            tracing::warn!(n_connections = connections.len(), "requests were cut off at the drain's deadline");
        }
    }
    connections.shutdown().await;
}
