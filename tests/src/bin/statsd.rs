//! StatsD at line rate: what a metric costs and how many are lost, ours beside the original and collectd, and beside a receiver that only counts.
//!
//! `statsd [SECONDS]`
//!
//! Counters and timers half and half over UDP, at fixed rates, every daemon in turn with the same packets; its flushes are within what it is charged. CPU is what
//! the kernel accounts to its process, user and system. Loss is what was sent less what the daemon says it received. `DEPLOYLINE_BIN` should name
//! an optimised binary. collectd takes part if `COLLECTD` names the folder that its package is unpacked in, or it is on the path.

use std::{
    env, fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use deployline_tests::{
    graphite::Graphite,
    neighbour::free_port,
    original::Original,
    server::{Server, Settings},
    wait::eventually,
};

const FLUSH_S: u64 = 2;
/// Longest wait for what was sent to be counted.
const SETTLE: Duration = Duration::from_secs(15);
/// Clock ticks of `/proc/PID/stat` in a second, on every Linux.
const TICKS: f64 = 100.0;

fn main() -> anyhow::Result<()> {
    let seconds: f64 = env::args().nth(1).map_or(Ok(4.0), |text| text.parse()).context("usage: statsd [SECONDS]")?;
    println!(
        "{:<10}{:>8}{:>8}{:>12}{:>12}{:>9}{:>12}{:>8}",
        "daemon", "names", "bytes", "offered/s", "received/s", "lost %", "CPU µs each", "RSS MB"
    );
    let cases = [
        (1000, 1400, &[200_000.0, 500_000.0, 2_000_000.0, 4_000_000.0][..]),
        (100_000, 1400, &[50_000.0, 500_000.0, 1_000_000.0][..]),
        (1000, 0, &[20_000.0, 50_000.0, 1e9][..]),
    ];
    for (n_names, packet_bytes, rates) in cases {
        let packets = packets(n_names, packet_bytes);
        for kind in [Kind::Ours, Kind::Original, Kind::Collectd, Kind::Count] {
            let Some(mut daemon) = Daemon::start(kind)? else { continue };
            // Names become known before anything is measured.
            daemon.trial(&packets, 20_000.0, (n_names as f64 / 20_000.0).max(1.0))?;
            for rate in rates {
                // Far past what the original takes it only fills the time.
                if kind == Kind::Original && *rate > 500_000.0 && *rate < 1e9 {
                    continue;
                }
                let Trial { offered, received, cpu_us, rss_mb, sent } = daemon.trial(&packets, *rate, seconds)?;
                let lost = 100.0 * (1.0 - received / sent);
                println!(
                    "{:<10}{n_names:>8}{packet_bytes:>8}{offered:>12.0}{:>12.0}{lost:>9.2}{cpu_us:>12.3}{rss_mb:>8.0}",
                    kind.name(),
                    offered * received / sent,
                );
            }
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Ours,
    Original,
    Collectd,
    Count,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Ours => "deployline",
            Self::Original => "original",
            Self::Collectd => "collectd",
            Self::Count => "count only",
        }
    }
}

/// A daemon at work.
struct Daemon {
    kind: Kind,
    pid: u32,
    address: SocketAddr,
    console: Option<SocketAddr>,
    graphite: Graphite,
    counted: Arc<AtomicU64>,
    _keep: Keep,
}

#[allow(dead_code, reason = "they end what they hold when dropped")]
enum Keep {
    Ours(Server),
    Original(Original),
    Child(Ended),
    Thread(Stopped),
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Stopped(Arc<AtomicBool>);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Trial {
    sent: f64,
    offered: f64,
    received: f64,
    cpu_us: f64,
    rss_mb: f64,
}

impl Daemon {
    fn start(kind: Kind) -> anyhow::Result<Option<Self>> {
        let graphite = Graphite::listen()?;
        let counted = Arc::new(AtomicU64::new(0));
        let (pid, address, console, keep) = match kind {
            Kind::Ours => {
                let statsd = "percentiles = [90]\ndelete_idle_stats = true".to_owned();
                let server = Server::start(&Settings { flush_s: FLUSH_S, statsd, ..Settings::default() })?;
                (server.pid(), server.ports.statsd, Some(server.ports.console), Keep::Ours(server))
            }
            Kind::Original => {
                let daemon =
                    Original::start(&graphite, FLUSH_S, "deleteIdleStats: true, graphite: { legacyNamespace: false }")?;
                (daemon.pid(), daemon.statsd, None, Keep::Original(daemon))
            }
            Kind::Collectd => {
                let Some((child, address)) = collectd(&graphite)? else { return Ok(None) };
                (child.id(), address, None, Keep::Child(Ended(child)))
            }
            Kind::Count => {
                let socket = UdpSocket::bind("127.0.0.1:0")?;
                let (address, stop) = (socket.local_addr()?, Arc::new(AtomicBool::new(false)));
                socket.set_read_timeout(Some(Duration::from_millis(100)))?;
                let (counted, stopped) = (Arc::clone(&counted), Arc::clone(&stop));
                thread::spawn(move || {
                    let mut buffer = [0; 2048];
                    while !stopped.load(Ordering::Relaxed) {
                        if socket.recv(&mut buffer).is_ok() {
                            counted.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
                (std::process::id(), address, None, Keep::Thread(Stopped(stop)))
            }
        };
        Ok(Some(Self { kind, pid, address, console, graphite, counted, _keep: keep }))
    }

    /// Metrics that the daemon has received; of the receiver that only counts, packets.
    fn received(&self) -> anyhow::Result<f64> {
        Ok(match (self.kind, self.console) {
            (Kind::Ours, Some(console)) => {
                let mut stream = TcpStream::connect(console)?;
                stream.write_all(b"stats\nquit\n")?;
                let mut text = String::new();
                stream.read_to_string(&mut text)?;
                let figure = text.lines().find_map(|line| line.strip_prefix("messages.metrics_received: "));
                figure.context("the console does not tell")?.parse()?
            }
            (Kind::Count, _) => self.counted.load(Ordering::Relaxed) as f64,
            // The bench's own series: counters add one each, timers are counted.
            _ => {
                let is_count = |name: &str| {
                    name.contains("bench")
                        && (name.ends_with("count") || name.ends_with("-count") || name.contains("/count-"))
                };
                let flushes = self.graphite.flushes();
                flushes
                    .values()
                    .flat_map(|flush| flush.iter().filter(|(name, _)| is_count(name)))
                    .map(|(_, value)| value)
                    .sum()
            }
        })
    }

    fn trial(&mut self, packets: &[(Vec<u8>, usize)], rate: f64, seconds: f64) -> anyhow::Result<Trial> {
        let (before, cpu_before) = (self.received()?, cpu_s(self.pid)?);
        let began = Instant::now();
        let (n_packets, n_metrics) = send(packets, self.address, rate, seconds)?;
        let took = began.elapsed().as_secs_f64();
        let sent = if self.kind == Kind::Count { n_packets } else { n_metrics };
        // Until two looks, a flush apart, find the same.
        let mut received = -1.0;
        let settled = || {
            let now = self.received()? - before;
            let is_same = now == received || now >= sent;
            received = now;
            if !is_same {
                thread::sleep(Duration::from_millis(if self.kind == Kind::Ours || self.kind == Kind::Count {
                    200
                } else {
                    1000 * FLUSH_S + 500
                }));
            }
            Ok(is_same.then_some(now))
        };
        let received = eventually("the daemon's count", SETTLE, settled)?;
        // The flush that ends the last interval is charged, too.
        thread::sleep(Duration::from_millis(1000 * FLUSH_S + 300));
        let cpu_us = (cpu_s(self.pid)? - cpu_before) * 1e6 / received.max(1.0);
        let cpu_us = if self.kind == Kind::Count { f64::NAN } else { cpu_us };
        Ok(Trial { sent, offered: n_metrics / took, received: received.min(sent), cpu_us, rss_mb: rss_mb(self.pid)? })
    }
}

/// Packets of about `bytes`, or of one metric each, from a fixed seed, with how many metrics each holds.
fn packets(n_names: usize, bytes: usize) -> Vec<(Vec<u8>, usize)> {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut packets = Vec::new();
    let (mut packet, mut n_metrics) = (Vec::new(), 0);
    for index in 0..n_names.max(65_536) * 2 {
        let name = index % n_names;
        let line = match name % 2 {
            0 => format!("bench.c.k{name:06}:1|c"),
            _ => format!("bench.t.k{name:06}:{}|ms", rng.u32(1..1000)),
        };
        if n_metrics > 0 && packet.len() + 1 + line.len() > bytes {
            packets.push((std::mem::take(&mut packet), std::mem::take(&mut n_metrics)));
        }
        if n_metrics > 0 {
            packet.push(b'\n');
        }
        packet.extend_from_slice(line.as_bytes());
        n_metrics += 1;
    }
    packets.push((packet, n_metrics));
    packets
}

/// Sends at a rate of metrics a second; returns how many packets and metrics went out.
fn send(packets: &[(Vec<u8>, usize)], to: SocketAddr, rate: f64, seconds: f64) -> anyhow::Result<(f64, f64)> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(to)?;
    let (began, mut n_packets, mut n_metrics) = (Instant::now(), 0.0, 0.0);
    for (packet, n) in packets.iter().cycle() {
        if (n_packets as u64).is_multiple_of(16) {
            let elapsed = began.elapsed().as_secs_f64();
            if elapsed >= seconds {
                break;
            }
            let ahead = n_metrics / rate - elapsed;
            if ahead > 0.0002 {
                thread::sleep(Duration::from_secs_f64(ahead));
            }
        }
        socket.send(packet)?;
        n_packets += 1.0;
        n_metrics += *n as f64;
    }
    Ok((n_packets, n_metrics))
}

/// Seconds of CPU that a process has used.
fn cpu_s(pid: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit_once(')').context("no such form of /proc/PID/stat")?.1;
    let ticks: Vec<f64> = fields.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / TICKS)
}

fn rss_mb(pid: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

/// collectd with its statsd plugin, writing to a Graphite.
fn collectd(graphite: &Graphite) -> anyhow::Result<Option<(Child, SocketAddr)>> {
    let root = env::var_os("COLLECTD").map(|folder| PathBuf::from(folder).join("usr")).unwrap_or_else(|| "/usr".into());
    let program = root.join("sbin/collectd");
    if !program.is_file() {
        return Ok(None);
    }
    let port = free_port()?;
    let folder = env::temp_dir().join(format!("bench-collectd-{port}"));
    fs::create_dir_all(&folder)?;
    let lib = |path: &str| root.join(path).display().to_string();
    let config = format!(
        "BaseDir \"{base}\"\nPluginDir \"{plugins}\"\nTypesDB \"{types}\"\nHostname \"h\"\nFQDNLookup false\nInterval {FLUSH_S}\n\
         LoadPlugin statsd\nLoadPlugin write_graphite\n<Plugin statsd>\nHost \"127.0.0.1\"\nPort \"{port}\"\nDeleteCounters true\nDeleteTimers true\n\
         CounterSum true\nTimerCount true\nTimerUpper true\nTimerPercentile 90.0\n</Plugin>\n\
         <Plugin write_graphite>\n<Node \"a\">\nHost \"127.0.0.1\"\nPort \"{sink}\"\nProtocol \"tcp\"\nStoreRates false\nAlwaysAppendDS false\n</Node>\n</Plugin>\n",
        base = folder.display(),
        plugins = lib("lib/collectd"),
        types = lib("share/collectd/types.db"),
        sink = graphite.address.port(),
    );
    let path: &Path = &folder.join("collectd.conf");
    fs::write(path, config)?;
    let mut command = Command::new(program);
    command.args(["-f", "-C"]).arg(path).arg("-P").arg(folder.join("pid"));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("collectd does not start")?;
    thread::sleep(Duration::from_millis(1500));
    if let Some(status) = child.try_wait()? {
        bail!("collectd ended with {status}");
    }
    Ok(Some((child, SocketAddr::from(([127, 0, 0, 1], port)))))
}
