//! The listeners of Graphite's protocols.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use deployline_schemas::time::Clock;
use tokio::{task::JoinSet, time};
use tokio_util::sync::CancellationToken;

use super::{
    config::CarbonConfig,
    connection,
    intake::{Counters, Intake, Shared, count},
    parse::Reason,
};
use crate::{
    announce::Announcer,
    datagram::{Drops, Receiver},
    listen::{self, ServeError},
    sink::Sink,
};

/// How long connections get to hand over what they have read.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Figures since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Datapoints stored.
    pub n_points: u64,
    /// Lines and entries of pickles refused, by number of the [`Reason`].
    pub n_bad: [u64; Reason::ALL.len()],
    /// Pickles refused as a whole.
    pub n_bad_pickles: u64,
    /// Datapoints whose names `allow` and `block` keep out.
    pub n_filtered: u64,
    /// Datapoints whose series the store refuses.
    pub n_refused_names: u64,
    /// Datapoints that the store refuses for their time.
    pub n_refused_points: u64,
    /// Datapoints lost since the store took nothing until the end.
    pub n_lost_points: u64,
    /// Connections closed for a line or pickle too long.
    pub n_long: u64,
    /// Connections that ended within a line or pickle, which was dropped.
    pub n_unfinished: u64,
    /// Connections closed at once since there were as many as allowed.
    pub n_refused_connections: u64,
    /// Datagrams that the kernel dropped since the socket's buffer was full.
    pub n_kernel_drops: u64,
}

/// Reads the server's figures while it runs; cheap to clone.
#[derive(Clone)]
pub struct Observer {
    shared: Arc<Shared>,
    drops: Option<Arc<Drops>>,
}

impl Observer {
    /// A view of figures that no socket adds to.
    pub(crate) fn of(shared: Arc<Shared>) -> Self {
        Self { shared, drops: None }
    }

    /// The figures now. Reads the kernel's table of sockets.
    pub fn stats(&self) -> Stats {
        let Counters {
            n_points,
            n_bad,
            n_bad_pickles,
            n_filtered,
            n_refused_names,
            n_refused_points,
            n_lost_points,
            n_long,
            n_unfinished,
            n_refused_connections,
        } = &self.shared.counters;
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            n_points: load(n_points),
            n_bad: n_bad.each_ref().map(load),
            n_bad_pickles: load(n_bad_pickles),
            n_filtered: load(n_filtered),
            n_refused_names: load(n_refused_names),
            n_refused_points: load(n_refused_points),
            n_lost_points: load(n_lost_points),
            n_long: load(n_long),
            n_unfinished: load(n_unfinished),
            n_refused_connections: load(n_refused_connections),
            n_kernel_drops: self.drops.as_ref().map_or(0, |drops| drops.count()),
        }
    }
}

/// Listeners that are bound and not yet served.
pub struct Server {
    config: CarbonConfig,
    shared: Arc<Shared>,
    line: Option<TcpListener>,
    pickle: Option<TcpListener>,
    udp: Option<Receiver>,
}

impl Server {
    /// Binds all sockets of the configuration. `stop` ends the server, and the wait for a store that takes nothing.
    ///
    /// # Errors
    /// [`ServeError::Listen`].
    pub fn bind(
        config: &CarbonConfig,
        sink: Arc<dyn Sink>,
        clock: Clock,
        stop: CancellationToken,
    ) -> Result<Self, ServeError> {
        Self::bind_announcing(config, sink, clock, stop, None)
    }

    /// As [`Server::bind`]; what announces a deploy is passed to `announcer` as well.
    ///
    /// # Errors
    /// As [`Server::bind`].
    pub fn bind_announcing(
        config: &CarbonConfig,
        sink: Arc<dyn Sink>,
        clock: Clock,
        stop: CancellationToken,
        announcer: Option<Announcer>,
    ) -> Result<Self, ServeError> {
        let shared = Shared::new(config, sink, clock, stop.child_token(), announcer)?;
        let bind_udp = |address| Receiver::udp("Graphite lines over UDP", address, config.receive_buffer, false);
        Ok(Self {
            config: config.clone(),
            shared: Arc::new(shared),
            line: config.line.0.map(|address| listen::tcp("Graphite lines", address)).transpose()?,
            pickle: config.pickle.0.map(|address| listen::tcp("Graphite pickles", address)).transpose()?,
            udp: config.udp.0.map(bind_udp).transpose()?,
        })
    }

    /// Where lines are accepted.
    pub fn line_address(&self) -> Option<SocketAddr> {
        self.line.as_ref()?.local_addr().ok()
    }

    /// Where pickles are accepted.
    pub fn pickle_address(&self) -> Option<SocketAddr> {
        self.pickle.as_ref()?.local_addr().ok()
    }

    /// Where datagrams are received.
    pub fn udp_address(&self) -> Option<SocketAddr> {
        self.udp.as_ref()?.address()
    }

    /// A view of its figures.
    pub fn observer(&self) -> Observer {
        Observer { shared: Arc::clone(&self.shared), drops: self.udp.as_ref().map(Receiver::drops) }
    }

    /// Serves until the token that it was bound with is cancelled, then lets connections hand over what they have read.
    ///
    /// # Errors
    /// [`ServeError::Listen`] if a listener fails and [`ServeError::Thread`].
    pub async fn run(self) -> Result<(), ServeError> {
        let Self { config, shared, line, pickle, udp } = self;
        let stop = shared.stop.clone();
        let mut parts = JoinSet::new();
        let (max, idle_timeout) = (config.max_connections, config.idle_timeout);
        if let Some(listener) = line {
            let (state, ended, refused) = (Arc::clone(&shared), stop.clone(), Arc::clone(&shared));
            let each = move |stream| connection::lines(stream, Arc::clone(&state), idle_timeout, ended.clone());
            let refused = move || count(&refused.counters.n_refused_connections, 1);
            parts.spawn(listen::accept("Graphite lines", listener, max, stop.clone(), refused, each));
        }
        if let Some(listener) = pickle {
            let (state, ended, refused) = (Arc::clone(&shared), stop.clone(), Arc::clone(&shared));
            let each = move |stream| connection::pickles(stream, Arc::clone(&state), idle_timeout, ended.clone());
            let refused = move || count(&refused.counters.n_refused_connections, 1);
            parts.spawn(listen::accept("Graphite pickles", listener, max, stop.clone(), refused, each));
        }
        if let Some(receiver) = udp {
            let (mut intake, stop) = (Intake::new(Arc::clone(&shared)), stop.clone());
            // While the store takes nothing the kernel drops what does not fit the socket's buffer, and counts it.
            let receive = move || receiver.run(&stop, |packets| intake.take_datagrams(packets));
            let thread =
                thread::Builder::new().name("carbon-receive".to_owned()).spawn(receive).map_err(ServeError::Thread)?;
            parts.spawn_blocking(move || {
                thread.join().map_err(|_| ServeError::Thread(io::Error::other("the receiver panicked")))
            });
        }
        let mut outcome = Ok(());
        tokio::select! {
            () = stop.cancelled() => {}
            Some(part) = parts.join_next() => outcome = part.unwrap_or_else(|panic| Err(ServeError::Thread(panic.into()))),
        }
        stop.cancel();
        let drained = async {
            while let Some(part) = parts.join_next().await {
                outcome = outcome.and(part.unwrap_or_else(|panic| Err(ServeError::Thread(panic.into()))));
            }
            outcome
        };
        time::timeout(DRAIN_TIMEOUT, drained).await.unwrap_or(Ok(()))
    }
}
