//! The daemon: sockets in, a flush at every multiple of the interval, and a last one at the end.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use deployline_schemas::time::Clock;
use deployline_store::Point;
use tokio::{
    task::{self, JoinSet},
    time,
};
use tokio_util::sync::CancellationToken;

use super::{
    admin,
    aggregate::{Aggregator, Announcement, Interval, Limits, Tally},
    config::StatsdConfig,
    flush::{Flusher, Health},
    lines,
    parse::Event,
    relay::{Relay, RelayStats},
    schedule::Schedule,
};
use crate::{
    announce::Announcer,
    datagram::{Drops, Receiver},
    listen::{self, ServeError},
    sink::Sink,
};

/// Datapoints kept while the sink takes none, 24 MB; the oldest go first, and are counted.
const MAX_UNSENT_POINTS: usize = 1_000_000;
/// Consoles at a time.
const MAX_CONSOLES: usize = 16;
/// How long connections and threads get to end before the last flush. A thread looks every tenth of a second.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest sleep towards a flush: a wall clock that is set is noticed within it.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// What receivers, consoles and the flush share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: StatsdConfig,
    pub(crate) healthy: AtomicBool,
    aggregator: Mutex<Aggregator>,
    clock: ClockOf,
    started_s: i64,
    last_packet_s: AtomicI64,
    n_refused_connections: AtomicU64,
    n_long_lines: AtomicU64,
    n_lost_points: AtomicU64,
    n_refused_points: AtomicU64,
    drops: Vec<Arc<Drops>>,
    health: Mutex<Health>,
    relays: Vec<Relay>,
    announcer: Option<Announcer>,
}

/// A clock that can be printed.
struct ClockOf(Clock);

impl std::fmt::Debug for ClockOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

/// The daemon's figures since its start.
#[derive(Debug, Clone, Copy)]
pub struct Stats {
    /// What came in.
    pub tally: Tally,
    /// Metric names known.
    pub n_names: usize,
    /// Datagrams that the kernel dropped since the socket's buffer was full.
    pub n_kernel_drops: u64,
    /// Connections closed at once since there were as many as allowed.
    pub n_refused_connections: u64,
    /// Connections closed for a line too long.
    pub n_long_lines: u64,
    /// Datapoints lost since the sink did not take them for too long.
    pub n_lost_points: u64,
    /// Datapoints whose series the sink refuses.
    pub n_refused_points: u64,
    /// The last flush.
    pub health: Health,
    /// Seconds since the start.
    pub uptime_s: i64,
    /// When the last flush saw that packets had come, Unix seconds; 0 for never.
    pub last_packet_s: i64,
    /// Now, Unix seconds.
    pub now_s: i64,
}

impl Shared {
    pub(crate) fn aggregator(&self) -> MutexGuard<'_, Aggregator> {
        // A panic while it was held would be a bug; going on with sums that lack a packet is better than taking nothing any more.
        self.aggregator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds up what came in, under one lock held for as long as that takes, hands it to the relays, and passes on what
    /// it announces.
    pub(crate) fn take(&self, packets: &mut dyn Iterator<Item = &[u8]>) {
        let add = |packets: &mut dyn Iterator<Item = &[u8]>| {
            let mut aggregator = self.aggregator();
            packets.for_each(|packet| aggregator.add_packet(packet));
            aggregator.take_announced()
        };
        let announced = if self.relays.is_empty() {
            add(packets)
        } else {
            let packets: Vec<&[u8]> = packets.collect();
            let announced = add(&mut packets.iter().copied());
            self.relays.iter().for_each(|relay| relay.send(packets.iter().copied()));
            announced
        };
        if let (Some(announcer), false) = (&self.announcer, announced.is_empty()) {
            let now = (self.clock.0)();
            for announcement in &announced {
                match announcement {
                    Announcement::Metric { name, value } => announcer.series(name, *value, now),
                    Announcement::Event([title, text, fields]) => announcer.event(Event { title, text, fields }, now),
                }
            }
        }
    }

    pub(crate) fn count_long_line(&self) {
        self.n_long_lines.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn stats(&self) -> Stats {
        let (tally, n_names) = {
            let aggregator = self.aggregator();
            (*aggregator.tally(), aggregator.n_names())
        };
        let now_s = (self.clock.0)().as_secs();
        Stats {
            tally,
            n_names,
            n_kernel_drops: self.drops.iter().map(|drops| drops.count()).sum(),
            n_refused_connections: self.n_refused_connections.load(Ordering::Relaxed),
            n_long_lines: self.n_long_lines.load(Ordering::Relaxed),
            n_lost_points: self.n_lost_points.load(Ordering::Relaxed),
            n_refused_points: self.n_refused_points.load(Ordering::Relaxed),
            health: *self.health.lock().unwrap_or_else(PoisonError::into_inner),
            uptime_s: now_s - self.started_s,
            last_packet_s: self.last_packet_s.load(Ordering::Relaxed),
            now_s,
        }
    }
}

/// Reads the daemon's figures while it runs; cheap to clone.
#[derive(Debug, Clone)]
pub struct Observer(Arc<Shared>);

impl Observer {
    /// The figures now. Reads the kernel's table of sockets.
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }

    /// The relays' targets with their figures.
    pub fn relays(&self) -> Vec<(String, RelayStats)> {
        self.0.relays.iter().map(Relay::stats).collect()
    }

    /// Whether the admin console has not said `health down`.
    pub fn is_healthy(&self) -> bool {
        self.0.healthy.load(Ordering::Relaxed)
    }
}

/// A daemon whose sockets are bound and that is not yet running: what is sent meanwhile waits in their buffers.
pub struct Server {
    shared: Arc<Shared>,
    sink: Arc<dyn Sink>,
    receivers: Vec<Receiver>,
    tcp: Option<TcpListener>,
    admin: Option<TcpListener>,
    relaying: Vec<thread::JoinHandle<()>>,
}

impl Server {
    /// Binds all sockets of the configuration.
    ///
    /// # Errors
    /// [`ServeError::Config`] and [`ServeError::Listen`].
    pub fn bind(config: &StatsdConfig, sink: Arc<dyn Sink>, clock: Clock) -> Result<Self, ServeError> {
        Self::bind_announcing(config, sink, clock, None)
    }

    /// As [`Server::bind`]; what announces a deploy is passed to `announcer` as well.
    ///
    /// # Errors
    /// As [`Server::bind`].
    pub fn bind_announcing(
        config: &StatsdConfig,
        sink: Arc<dyn Sink>,
        clock: Clock,
        announcer: Option<Announcer>,
    ) -> Result<Self, ServeError> {
        config.check()?;
        let mut receivers = Vec::new();
        if let Some(mut address) = config.udp.0 {
            for _ in 0..config.udp_sockets {
                let receiver =
                    Receiver::udp("StatsD over UDP", address, config.receive_buffer, config.udp_sockets > 1)?;
                // With port 0 the first socket finds a port, which the others share.
                address = receiver.address().unwrap_or(address);
                receivers.push(receiver);
            }
        }
        if let Some(path) = &config.unix {
            receivers.push(Receiver::unix(path, config.receive_buffer)?);
        }
        let tcp = config.tcp.0.map(|address| listen::tcp("StatsD over TCP", address)).transpose()?;
        let admin = config.admin.0.map(|address| listen::tcp("the StatsD console", address)).transpose()?;
        let limits = Limits {
            max_names: config.max_names,
            max_timer_values: config.max_timer_values,
            max_set_members: config.max_set_members,
            deletes: config.deletes(),
            gauges_max_ttl: config.gauges_max_ttl,
        };
        let mut relays = Vec::new();
        let mut relaying = Vec::new();
        for relay in &config.relay {
            let (relay, thread) = Relay::start(relay).map_err(ServeError::Thread)?;
            relays.push(relay);
            relaying.push(thread);
        }
        let shared = Shared {
            config: config.clone(),
            healthy: AtomicBool::new(true),
            aggregator: Mutex::new(Aggregator::new(limits, &config.prefix_stats).announcing(announcer.clone())),
            started_s: clock().as_secs(),
            clock: ClockOf(clock),
            last_packet_s: AtomicI64::new(0),
            n_refused_connections: AtomicU64::new(0),
            n_long_lines: AtomicU64::new(0),
            n_lost_points: AtomicU64::new(0),
            n_refused_points: AtomicU64::new(0),
            drops: receivers.iter().map(Receiver::drops).collect(),
            health: Mutex::default(),
            relays,
            announcer,
        };
        Ok(Self { shared: Arc::new(shared), sink, receivers, tcp, admin, relaying })
    }

    /// Where UDP is received.
    pub fn udp_address(&self) -> Option<SocketAddr> {
        self.receivers.iter().find_map(Receiver::address)
    }

    /// Where TCP is accepted.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref()?.local_addr().ok()
    }

    /// Where the console is.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref()?.local_addr().ok()
    }

    /// A view of its figures.
    pub fn observer(&self) -> Observer {
        Observer(Arc::clone(&self.shared))
    }

    /// Runs until `stop`, then takes what the sockets still hold and flushes once more.
    ///
    /// # Errors
    /// [`ServeError::Listen`] if a listener fails, [`ServeError::Thread`], and [`ServeError::Lost`] if the sink did not take the last flush.
    pub async fn run(self, stop: CancellationToken) -> Result<(), ServeError> {
        let Self { shared, sink, receivers, tcp, admin, relaying } = self;
        // Ends what this server started, also when it is one of its own parts that failed.
        let stop = stop.child_token();
        let mut parts = JoinSet::new();
        for receiver in receivers {
            let (shared, stop) = (Arc::clone(&shared), stop.clone());
            let receive = move || {
                receiver.run(&stop, |packets| shared.take(packets));
            };
            let thread =
                thread::Builder::new().name("statsd-receive".to_owned()).spawn(receive).map_err(ServeError::Thread)?;
            parts.spawn_blocking(move || {
                thread.join().map_err(|_| ServeError::Thread(io::Error::other("the receiver panicked")))
            });
        }
        let count = |shared: &Arc<Shared>| {
            let shared = Arc::clone(shared);
            move || {
                shared.n_refused_connections.fetch_add(1, Ordering::Relaxed);
            }
        };
        if let Some(listener) = tcp {
            let (idle_timeout, max) = (shared.config.idle_timeout, shared.config.max_connections);
            let (state, ended, refused) = (Arc::clone(&shared), stop.clone(), count(&shared));
            let each = move |stream| lines::serve(stream, Arc::clone(&state), idle_timeout, ended.clone());
            parts.spawn(listen::accept("StatsD over TCP", listener, max, stop.clone(), refused, each));
        }
        if let Some(listener) = admin {
            let (state, ended, refused) = (Arc::clone(&shared), stop.clone(), count(&shared));
            let each = move |stream| admin::serve(stream, Arc::clone(&state), ended.clone());
            parts.spawn(listen::accept("the StatsD console", listener, MAX_CONSOLES, stop.clone(), refused, each));
        }
        let mut flushing = Flushing::new(Arc::clone(&shared), sink);
        let mut schedule = Schedule::new(shared.config.flush, (shared.clock.0)());
        let mut outcome = Ok(());
        while !stop.is_cancelled() {
            let wait = schedule.wait((shared.clock.0)()).min(LONGEST_SLEEP);
            tokio::select! {
                () = stop.cancelled() => {}
                Some(part) = parts.join_next() => {
                    outcome = outcome.and(part.unwrap_or_else(|panic| Err(ServeError::Thread(panic.into()))));
                    stop.cancel();
                }
                () = time::sleep(wait) => {
                    if let Some(stamp_s) = schedule.due((shared.clock.0)()) {
                        flushing = flushing.flush(stamp_s).await?;
                    }
                }
            }
        }
        stop.cancel();
        let drained = async {
            while let Some(part) = parts.join_next().await {
                outcome = outcome.and(part.unwrap_or_else(|panic| Err(ServeError::Thread(panic.into()))));
            }
            outcome
        };
        let outcome = time::timeout(DRAIN_TIMEOUT, drained).await.unwrap_or(Ok(()));
        // Nothing comes in any more; what waits for other daemons goes while the last flush is written.
        shared.relays.iter().for_each(Relay::end);
        let relayed = task::spawn_blocking(move || relaying.into_iter().for_each(|thread| drop(thread.join())));
        let flushing = flushing.flush(schedule.last((shared.clock.0)())).await?;
        // Their threads bound themselves; a panic in one is told by the panic itself.
        let _ = time::timeout(DRAIN_TIMEOUT, relayed).await;
        match flushing.unsent.len() {
            0 => outcome,
            n_points => {
                tracing::error!(n_points, "datapoints lost at the end");
                outcome.and(Err(ServeError::Lost { n_points }))
            }
        }
    }
}

/// The flush and what it keeps from one to the next.
struct Flushing {
    shared: Arc<Shared>,
    sink: Arc<dyn Sink>,
    flusher: Flusher,
    recycled: Interval,
    unsent: Vec<Point>,
    last_stamp_s: Option<i64>,
    n_packets: u64,
}

impl Flushing {
    fn new(shared: Arc<Shared>, sink: Arc<dyn Sink>) -> Self {
        let flusher = Flusher::new(&shared.config);
        Self {
            shared,
            sink,
            flusher,
            recycled: Interval::default(),
            unsent: Vec::new(),
            last_stamp_s: None,
            n_packets: 0,
        }
    }

    /// Flushes on a thread that may block.
    async fn flush(mut self, stamp_s: i64) -> Result<Self, ServeError> {
        let flush = move || {
            self.flush_now(stamp_s);
            self
        };
        task::spawn_blocking(flush).await.map_err(|panic| ServeError::Thread(panic.into()))
    }

    fn flush_now(&mut self, stamp_s: i64) {
        let started = Instant::now();
        let (interval, n_packets) = {
            let mut aggregator = self.shared.aggregator();
            (aggregator.take(std::mem::take(&mut self.recycled)), aggregator.tally().n_packets)
        };
        let now_s = (self.shared.clock.0)().as_secs();
        if n_packets > std::mem::replace(&mut self.n_packets, n_packets) {
            self.shared.last_packet_s.store(now_s, Ordering::Relaxed);
        }
        let mut health = *self.shared.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.timestamp_lag_s =
            self.last_stamp_s.map_or(0.0, |last| (stamp_s - last) as f64 - self.shared.config.flush.as_secs_f64());
        self.last_stamp_s = Some(stamp_s);
        self.resend();
        let mut unsent = Vec::new();
        let flushed = self.flusher.flush(&interval, stamp_s, &health, &*self.sink, &mut unsent);
        if unsent.is_empty() {
            health.last_flush_s = now_s;
        } else {
            health.last_exception_s = now_s;
            self.keep(unsent);
        }
        self.recycled = interval;
        health.processing_ms = started.elapsed().as_millis() as f64;
        health.n_points = flushed.n_points;
        *self.shared.health.lock().unwrap_or_else(PoisonError::into_inner) = health;
        self.shared.n_refused_points.fetch_add(flushed.n_refused as u64, Ordering::Relaxed);
        tracing::debug!(?flushed, stamp_s, elapsed_ms = health.processing_ms, "flushed");
    }

    /// Tries again what the sink did not take before.
    fn resend(&mut self) {
        if self.unsent.is_empty() {
            return;
        }
        match self.sink.append(&self.unsent) {
            Ok(_) => {
                tracing::info!(n_points = self.unsent.len(), "kept datapoints stored");
                self.unsent = Vec::new();
            }
            Err(crate::sink::SinkError::Forgotten) => self.lose(self.unsent.len()),
            Err(error) => tracing::warn!(%error, n_points = self.unsent.len(), "datapoints still kept"),
        }
    }

    fn keep(&mut self, mut unsent: Vec<Point>) {
        self.unsent.append(&mut unsent);
        self.lose(self.unsent.len().saturating_sub(MAX_UNSENT_POINTS));
    }

    /// Drops the oldest of the kept datapoints.
    fn lose(&mut self, n_points: usize) {
        if n_points > 0 {
            self.unsent.drain(..n_points);
            self.shared.n_lost_points.fetch_add(n_points as u64, Ordering::Relaxed);
            tracing::error!(n_points, "datapoints lost: the store takes none");
        }
    }
}
