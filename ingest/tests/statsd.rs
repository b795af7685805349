//! The StatsD daemon over real sockets on the loopback interface.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod table;

use std::{
    net::UdpSocket,
    os::unix::net::UnixDatagram,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use deployline_ingest::{
    listen::{Listen, ServeError},
    statsd::{Server, StatsdConfig, server::Observer},
};
use deployline_schemas::UnixMillis;
use table::{Table, eventually};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// A daemon whose clock the test owns.
struct Daemon {
    table: Arc<Table>,
    now_ms: Arc<AtomicI64>,
    stop: CancellationToken,
    udp: String,
    tcp: String,
    admin: String,
    observer: Observer,
    running: JoinHandle<Result<(), ServeError>>,
}

/// 1.5 s into an interval of ten seconds.
const START_MS: i64 = 1_700_000_001_500;

fn start(change: impl FnOnce(&mut StatsdConfig)) -> Daemon {
    let mut config = StatsdConfig {
        udp: Listen::loopback(0),
        tcp: Listen::loopback(0),
        admin: Listen::loopback(0),
        percentiles: Vec::new(),
        ..StatsdConfig::default()
    };
    change(&mut config);
    let (table, now_ms, stop) =
        (Arc::new(Table::default()), Arc::new(AtomicI64::new(START_MS)), CancellationToken::new());
    let clock = Arc::clone(&now_ms);
    let server =
        Server::bind(&config, table.clone(), Arc::new(move || UnixMillis(clock.load(Ordering::SeqCst)))).unwrap();
    let address =
        |address: Option<std::net::SocketAddr>| address.map(|address| address.to_string()).unwrap_or_default();
    let (udp, tcp, admin) =
        (address(server.udp_address()), address(server.tcp_address()), address(server.admin_address()));
    let observer = server.observer();
    let running = tokio::spawn(server.run(stop.clone()));
    Daemon { table, now_ms, stop, udp, tcp, admin, observer, running }
}

impl Daemon {
    async fn received(&self, n_lines: u64) {
        eventually("receipt", || self.observer.stats().tally.n_lines >= n_lines).await;
    }

    async fn stop(self) -> (Arc<Table>, Result<(), ServeError>) {
        self.stop.cancel();
        (self.table, self.running.await.unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_in_meets_in_one_flush_at_the_wall_clocks_multiple() {
    let path = tempfile::tempdir().unwrap();
    let path = path.path().join("statsd.sock");
    let daemon = start(|config| config.unix = Some(path.clone()));
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"a:1|c\na:2|c", &daemon.udp).unwrap();
    UnixDatagram::unbound().unwrap().send_to(b"a:4|c", &path).unwrap();
    let mut tcp = TcpStream::connect(&daemon.tcp).await.unwrap();
    // A line in two pieces, and a last one that the end of the connection ends.
    tcp.write_all(b"a:8|c\na:1").await.unwrap();
    tcp.flush().await.unwrap();
    daemon.received(4).await;
    tcp.write_all(b"6|c\na:32|c").await.unwrap();
    drop(tcp);
    daemon.received(6).await;
    assert_eq!(daemon.table.lines(), Vec::<String>::new());
    daemon.now_ms.store(START_MS + 8_500, Ordering::SeqCst);
    eventually("the flush", || !daemon.table.lines().is_empty()).await;
    let table = daemon.stop().await.0;
    assert!(table.lines().contains(&"stats.counters.a.count 63 1700000010".to_owned()), "{:?}", table.lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_received_before_the_stop_is_flushed_under_its_own_second() {
    let daemon = start(|_| ());
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    (0..500).for_each(|_| assert_eq!(socket.send_to(b"a:1|c\nt:2|ms", &daemon.udp).unwrap(), 12));
    // Stopped at once: what the socket still holds counts.
    let (table, outcome) = daemon.stop().await;
    outcome.unwrap();
    assert!(table.lines().contains(&"stats.counters.a.count 500 1700000002".to_owned()), "{:?}", table.lines());
    assert!(table.lines().contains(&"stats.timers.t.sum 1000 1700000002".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_sockets_share_an_address() {
    let daemon = start(|config| config.udp_sockets = 4);
    for _ in 0..32 {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        (0..10).for_each(|_| assert_eq!(socket.send_to(b"a:1|c", &daemon.udp).unwrap(), 5));
    }
    daemon.received(320).await;
    assert_eq!(daemon.stop().await.0.sum("stats.counters.a.count"), 320.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_takes_nothing_gets_it_later() {
    let daemon = start(|_| ());
    daemon.table.fails.store(true, Ordering::SeqCst);
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"a:7|c", &daemon.udp).unwrap();
    daemon.received(1).await;
    daemon.now_ms.store(START_MS + 10_000, Ordering::SeqCst);
    eventually("the failed flush", || daemon.observer.stats().health.last_exception_s > 0).await;
    daemon.table.fails.store(false, Ordering::SeqCst);
    let (table, outcome) = daemon.stop().await;
    outcome.unwrap();
    assert_eq!(table.sum("stats.counters.a.count"), 7.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_never_takes_is_said_at_the_end() {
    let daemon = start(|_| ());
    daemon.table.fails.store(true, Ordering::SeqCst);
    let outcome = daemon.stop().await.1;
    assert!(matches!(outcome, Err(ServeError::Lost { n_points }) if n_points > 0), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_without_end_closes_its_connection() {
    let daemon = start(|_| ());
    let mut tcp = TcpStream::connect(&daemon.tcp).await.unwrap();
    let _ = tcp.write_all(&vec![b'x'; 200_000]).await;
    // Closed, or reset since not all was read.
    assert_eq!(tcp.read(&mut [0; 8]).await.unwrap_or(0), 0);
    assert_eq!(daemon.observer.stats().n_long_lines, 1);
    daemon.stop().await.1.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_bound_are_closed_and_counted() {
    let daemon = start(|config| config.max_connections = 1);
    let mut first = TcpStream::connect(&daemon.tcp).await.unwrap();
    first.write_all(b"a:1|c\n").await.unwrap();
    daemon.received(1).await;
    let mut second = TcpStream::connect(&daemon.tcp).await.unwrap();
    assert_eq!(second.read(&mut [0; 8]).await.unwrap_or(0), 0);
    assert_eq!(daemon.observer.stats().n_refused_connections, 1);
    daemon.stop().await.1.unwrap();
}

/// Sends commands to the console and returns all that it answers.
async fn console(address: &str, commands: &str) -> String {
    let mut console = TcpStream::connect(address).await.unwrap();
    console.write_all(commands.as_bytes()).await.unwrap();
    let mut answer = String::new();
    console.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_answers_as_etsys_does() {
    let daemon = start(|_| ());
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"a.x:1|c\na.y:2|c\nt:3|ms\nt:4|ms\ng:5|g\ns:u|s\nbad", &daemon.udp).unwrap();
    daemon.received(7).await;
    let answer = console(&daemon.admin, "gauges\ntimers\nsets\nhealth\nhealth down\nhealth up\nnothing\nquit\n").await;
    assert_eq!(
        answer,
        "{\n  'g': 5\n}\nEND\n\n{\n  't': [ 3, 4 ]\n}\nEND\n\n{\n  's': 1\n}\nEND\n\n\
         health: up\nhealth: down\nhealth: up\nERROR\n"
    );
    let answer = console(&daemon.admin, "delcounters a.* b\ncounters\nquit\n").await;
    assert!(answer.starts_with("deleted: a.x\ndeleted: a.y\nmetric b not found\nEND\n\n"), "{answer}");
    assert!(!answer.contains("'a.x'") && answer.contains("'statsd.bad_lines_seen': 1"), "{answer}");
    let answer = console(&daemon.admin, "stats\nconfig\nquit\n").await;
    assert!(answer.contains("messages.bad_lines_seen: 1\n") && answer.contains("\nflush: 10s\n"), "{answer}");
    daemon.stop().await.1.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_kernel_drops_is_counted_also_after_the_end() {
    let config = StatsdConfig {
        udp: Listen::loopback(0),
        tcp: Listen::OFF,
        admin: Listen::OFF,
        receive_buffer: 4096,
        ..StatsdConfig::default()
    };
    let table = Arc::new(Table::default());
    let server = Server::bind(&config, table.clone(), Arc::new(|| UnixMillis(START_MS))).unwrap();
    // Nobody receives yet, so that most of this does not fit.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.udp_address().unwrap();
    (0..1000).for_each(|_| assert_eq!(socket.send_to(b"a:1|c", address).unwrap(), 5));
    let (observer, stop) = (server.observer(), CancellationToken::new());
    let running = tokio::spawn(server.run(stop.clone()));
    stop.cancel();
    running.await.unwrap().unwrap();
    let n_drops = observer.stats().n_kernel_drops;
    assert!(n_drops > 0);
    assert_eq!(table.sum("stats.counters.a.count") + n_drops as f64, 1000.0);
}
