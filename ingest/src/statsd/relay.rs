//! Packets on to other StatsD daemons as they came, so that this one can be put in front of what exists.
//!
//! Receivers copy what they take into one bounded queue for each target and never wait; a thread for each target empties it. What
//! does not fit is dropped and counted: a daemon behind us that is slow costs itself packets, not us.

use std::{
    io::{self, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

/// Largest datagram that is sent on, in bytes: what crosses an Ethernet without fragments, IPv6 included. What came in larger, as over TCP, is split at its line breaks.
const MAX_DATAGRAM_BYTES: usize = 1432;
/// Bytes that wait for one target.
const MAX_QUEUED_BYTES: usize = 64 << 20;
/// How long connecting and one write may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Pauses before another connection: from the first to the longest, doubling.
const RETRY_PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(10)];
/// A name is looked up again after so long, in case that it has moved: UDP has no connection that would break.
const LOOK_UP: Duration = Duration::from_secs(60);
/// How long the end may take.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// One `[[statsd.relay]]`: another StatsD daemon that gets every packet as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelayConfig {
    /// `host:port`.
    pub to: String,
    /// How it is spoken to, whatever way a packet came in.
    #[serde(default)]
    pub protocol: Transport,
}

/// What carries StatsD.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Datagrams.
    #[default]
    Udp,
    /// One connection; lines.
    Tcp,
}

/// A relay's figures since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RelayStats {
    /// Packets sent on.
    pub n_sent: u64,
    /// Packets dropped: the queue was full, the target refused them, or the end came first.
    pub n_dropped: u64,
}

/// Packets of one hand-over, end to end.
#[derive(Debug)]
struct Batch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// One target's queue.
#[derive(Debug)]
pub(crate) struct Relay {
    queue: Sender<Batch>,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    config: RelayConfig,
    n_queued_bytes: AtomicUsize,
    n_sent: AtomicU64,
    n_dropped: AtomicU64,
    ended: AtomicBool,
}

impl Relay {
    /// Starts the thread of a target.
    pub(crate) fn start(config: &RelayConfig) -> io::Result<(Self, JoinHandle<()>)> {
        // The bound is in bytes, which a channel does not count.
        let (queue, batches) = mpsc::channel();
        let state = Arc::new(State {
            config: config.clone(),
            n_queued_bytes: AtomicUsize::new(0),
            n_sent: AtomicU64::new(0),
            n_dropped: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        let worker = Arc::clone(&state);
        let thread =
            thread::Builder::new().name("statsd-relay".to_owned()).spawn(move || match worker.config.protocol {
                Transport::Udp => worker.run(&batches, &mut Datagrams::default()),
                Transport::Tcp => worker.run(&batches, &mut Stream::default()),
            })?;
        Ok((Self { queue, state }, thread))
    }

    /// Queues packets; drops them if there is no room.
    pub(crate) fn send<'a>(&self, packets: impl Iterator<Item = &'a [u8]>) {
        let mut batch = Batch { bytes: Vec::new(), ends: Vec::new() };
        for packet in packets {
            batch.bytes.extend_from_slice(packet);
            batch.ends.push(batch.bytes.len());
        }
        let (n_bytes, n_packets) = (batch.bytes.len(), batch.ends.len());
        let room = self.state.n_queued_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |queued| {
            Some(queued + n_bytes).filter(|queued| *queued <= MAX_QUEUED_BYTES)
        });
        if room.is_err() || self.queue.send(batch).is_err() {
            self.state.drop_packets(n_packets);
        }
    }

    /// Lets the thread send what is queued, for two seconds at most, and end.
    pub(crate) fn end(&self) {
        self.state.ended.store(true, Ordering::Relaxed);
    }

    /// Where it goes, and the figures now.
    pub(crate) fn stats(&self) -> (String, RelayStats) {
        let (n_sent, n_dropped) = (&self.state.n_sent, &self.state.n_dropped);
        let stats = RelayStats { n_sent: n_sent.load(Ordering::Relaxed), n_dropped: n_dropped.load(Ordering::Relaxed) };
        (self.state.config.to.clone(), stats)
    }
}

impl State {
    fn run(&self, batches: &Receiver<Batch>, carrier: &mut dyn Carrier) {
        let mut deadline = None;
        loop {
            if self.ended.load(Ordering::Relaxed) {
                deadline.get_or_insert_with(|| Instant::now() + DRAIN_TIMEOUT);
            }
            let is_overdue = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
            match batches.recv_timeout(Duration::from_millis(100)) {
                Ok(batch) => {
                    self.n_queued_bytes.fetch_sub(batch.bytes.len(), Ordering::Relaxed);
                    let n_packets = batch.ends.len();
                    let n_sent = if is_overdue() { 0 } else { carrier.send(&self.config.to, &batch, &self.ended) };
                    self.n_sent.fetch_add(n_sent as u64, Ordering::Relaxed);
                    self.drop_packets(n_packets - n_sent);
                }
                Err(RecvTimeoutError::Timeout) if deadline.is_none() => {}
                Err(_) => return,
            }
        }
    }

    fn drop_packets(&self, n_packets: usize) {
        if n_packets > 0 && self.n_dropped.fetch_add(n_packets as u64, Ordering::Relaxed) == 0 {
            tracing::warn!(to = self.config.to, n_packets, "relaying drops packets: the target takes too little");
        }
    }
}

impl Batch {
    fn packets(&self) -> impl Iterator<Item = &[u8]> {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
}

/// Carries packets to the target; says how many it got away.
trait Carrier {
    fn send(&mut self, to: &str, batch: &Batch, ended: &AtomicBool) -> usize;
}

fn resolve(to: &str) -> io::Result<SocketAddr> {
    to.to_socket_addrs()?.next().ok_or_else(|| io::Error::other("the name has no address"))
}

#[derive(Default)]
struct Datagrams {
    socket: Option<(UdpSocket, Instant)>,
}

impl Carrier for Datagrams {
    fn send(&mut self, to: &str, batch: &Batch, _ended: &AtomicBool) -> usize {
        if self.socket.as_ref().is_none_or(|(_, since)| since.elapsed() > LOOK_UP) {
            let connect = || {
                let address = resolve(to)?;
                let own = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(own)?;
                socket.connect(address)?;
                io::Result::Ok(socket)
            };
            match connect() {
                Ok(socket) => self.socket = Some((socket, Instant::now())),
                Err(error) => tracing::warn!(%error, to, "the relay's target can not be looked up"),
            }
        }
        let Some((socket, _)) = &self.socket else { return 0 };
        // An error speaks of an earlier datagram (nobody listens there): this one has not gone, the next may.
        let sent =
            |packet: &[u8]| split(packet, MAX_DATAGRAM_BYTES).filter(|part| socket.send(part).is_err()).count() == 0;
        batch.packets().filter(|packet| sent(packet)).count()
    }
}

/// A packet in parts of at most `max` bytes that end at line breaks; a longer line stays whole.
fn split(packet: &[u8], max: usize) -> impl Iterator<Item = &[u8]> {
    let mut rest = packet;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = match rest.len() > max {
            false => rest.len(),
            true => {
                memchr::memrchr(b'\n', &rest[..max]).or(memchr::memchr(b'\n', rest)).map_or(rest.len(), |at| at + 1)
            }
        };
        let (part, after) = rest.split_at(end);
        rest = after;
        Some(part)
    })
}

#[derive(Default)]
struct Stream {
    stream: Option<TcpStream>,
}

impl Carrier for Stream {
    /// Tries until the batch has gone or the end has come. One that a broken connection had half is sent again as a whole to the next, where
    /// its first lines may count twice: which of them arrived cannot be known.
    fn send(&mut self, to: &str, batch: &Batch, ended: &AtomicBool) -> usize {
        let mut lines = Vec::with_capacity(batch.bytes.len() + batch.ends.len());
        for packet in batch.packets().filter(|packet| !packet.is_empty()) {
            lines.extend_from_slice(packet);
            if !packet.ends_with(b"\n") {
                lines.push(b'\n');
            }
        }
        let [mut pause, longest] = RETRY_PAUSES;
        loop {
            match self.write(to, &lines) {
                Ok(()) => return batch.ends.len(),
                Err(error) => {
                    self.stream = None;
                    tracing::warn!(%error, to, ?pause, "relaying failed, trying again");
                    if ended.load(Ordering::Relaxed) {
                        return 0;
                    }
                    let until = Instant::now() + pause;
                    while Instant::now() < until && !ended.load(Ordering::Relaxed) {
                        thread::sleep(Duration::from_millis(50));
                    }
                    pause = (2 * pause).min(longest);
                }
            }
        }
    }
}

impl Stream {
    fn write(&mut self, to: &str, lines: &[u8]) -> io::Result<()> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect_timeout(&resolve(to)?, TIMEOUT)?;
                stream.set_write_timeout(Some(TIMEOUT))?;
                self.stream.insert(stream)
            }
        };
        stream.write_all(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_split_at_line_breaks_and_nothing_is_lost() {
        let parts = |packet: &str, max| {
            split(packet.as_bytes(), max).map(|part| String::from_utf8_lossy(part).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(parts("a:1|c\nb:2|c", 100), ["a:1|c\nb:2|c"]);
        assert_eq!(parts("a:1|c\nb:2|c\nc:3|c\n", 13), ["a:1|c\nb:2|c\n", "c:3|c\n"]);
        assert_eq!(parts("long:1|c\nb:2|c", 4), ["long:1|c\n", "b:2|c"]);
        assert_eq!(parts("", 4), Vec::<String>::new());
    }
}
