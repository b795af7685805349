//! Graphite's protocols over real sockets on the loopback interface.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod table;

use std::{
    net::UdpSocket,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use deployline_ingest::{
    carbon::{
        CarbonConfig, Server,
        parse::Reason,
        server::{Observer, Stats},
    },
    listen::{Listen, ServeError},
};
use deployline_schemas::UnixMillis;
use table::{Table, eventually};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

struct Daemon {
    table: Arc<Table>,
    stop: CancellationToken,
    line: String,
    pickle: String,
    udp: String,
    observer: Observer,
    running: JoinHandle<Result<(), ServeError>>,
}

fn start(change: impl FnOnce(&mut CarbonConfig)) -> Daemon {
    let any = Listen::loopback(0);
    let mut config = CarbonConfig { line: any, pickle: any, udp: any, ..CarbonConfig::default() };
    change(&mut config);
    let (table, stop) = (Arc::new(Table::default()), CancellationToken::new());
    let clock = Arc::new(|| UnixMillis(1_700_000_000_000));
    let server = Server::bind(&config, table.clone(), clock, stop.clone()).unwrap();
    let address = |address: Option<std::net::SocketAddr>| address.unwrap().to_string();
    let (line, pickle, udp) =
        (address(server.line_address()), address(server.pickle_address()), address(server.udp_address()));
    let observer = server.observer();
    Daemon { table, stop, line, pickle, udp, observer, running: tokio::spawn(server.run()) }
}

impl Daemon {
    async fn until(&self, what: &str, done: impl Fn(Stats) -> bool) {
        eventually(what, || done(self.observer.stats())).await;
    }

    async fn stop(self) {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_come_over_tcp_and_udp() {
    let daemon = start(|_| ());
    let mut tcp = TcpStream::connect(&daemon.line).await.unwrap();
    tcp.write_all(b"a.b 1 1600000000\nc;z=1;a=2 2.5 -1\r\nbad\na.b nan 5\na.b inf 5\na;b 1 5\na.b 2 16000000")
        .await
        .unwrap();
    daemon.until("the first lines", |stats| stats.n_points == 2).await;
    tcp.write_all(b"10\nunfinished 1 1").await.unwrap();
    drop(tcp);
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"u 1 5\nu 2 6", &daemon.udp).unwrap();
    daemon.until("all lines", |stats| stats.n_points == 5 && stats.n_unfinished == 1).await;
    assert_eq!(
        daemon.table.lines(),
        ["a.b 1 1600000000", "a.b 2 1600000010", "c;a=2;z=1 2.5 1700000000", "u 1 5", "u 2 6"]
    );
    let bad = |reason: Reason| daemon.observer.stats().n_bad[reason as usize];
    assert_eq!([Reason::Fields, Reason::Nan, Reason::Infinite, Reason::Name].map(bad), [1, 1, 1, 1]);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pickles_come_over_tcp() {
    let daemon = start(|_| ());
    let mut tcp = TcpStream::connect(&daemon.pickle).await.unwrap();
    let etsy = b"(l(S'stats.a'\n(L1600000000L\nS'0.5'\ntta(S'b'\n(L5L\nS'x'\ntta.";
    for pickle in [&etsy[..], b"cos\nsystem\n(S'true'\ntR.", b"(l(S'c'\n(I-1\nI7\ntta."] {
        tcp.write_all(&(pickle.len() as u32).to_be_bytes()).await.unwrap();
        tcp.write_all(pickle).await.unwrap();
    }
    daemon.until("both pickles", |stats| stats.n_points == 2).await;
    assert_eq!(daemon.table.lines(), ["c 7 1700000000", "stats.a 0.5 1600000000"]);
    let stats = daemon.observer.stats();
    assert_eq!((stats.n_bad_pickles, stats.n_bad[Reason::Value as usize]), (1, 1));
    tcp.write_all(&(2u32 << 20).to_be_bytes()).await.unwrap();
    assert_eq!(tcp.read(&mut [0; 8]).await.unwrap_or(0), 0);
    assert_eq!(daemon.observer.stats().n_long, 1);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_too_long_closes_the_connection_after_those_before_it() {
    let daemon = start(|_| ());
    let mut tcp = TcpStream::connect(&daemon.line).await.unwrap();
    let _ = tcp.write_all(&[b"a 1 5\n", &[b'x'; 20_000][..], b" 1 5\nb 1 5\n"].concat()).await;
    assert_eq!(tcp.read(&mut [0; 8]).await.unwrap_or(0), 0);
    assert_eq!(daemon.table.lines(), ["a 1 5"]);
    assert_eq!(daemon.observer.stats().n_long, 1);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_takes_nothing_makes_the_sender_wait_and_loses_nothing() {
    let daemon = start(|_| ());
    daemon.table.fails.store(true, Ordering::SeqCst);
    let mut tcp = TcpStream::connect(&daemon.line).await.unwrap();
    let sending = tokio::spawn(async move {
        // More than all buffers on the way hold.
        for n in 0..400 {
            let lines: String = (0..2000).map(|at| format!("series.with.a.name.{n} {n} {at}\n")).collect();
            tcp.write_all(lines.as_bytes()).await.unwrap();
        }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!sending.is_finished());
    daemon.table.fails.store(false, Ordering::SeqCst);
    sending.await.unwrap();
    daemon.until("all lines", |stats| stats.n_points == 800_000).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_bound_are_closed_and_silent_ones_too() {
    let daemon = start(|config| {
        config.max_connections = 1;
        config.idle_timeout = Duration::from_secs(1);
    });
    let mut first = TcpStream::connect(&daemon.line).await.unwrap();
    first.write_all(b"a 1 5\n").await.unwrap();
    daemon.until("the line", |stats| stats.n_points == 1).await;
    let mut second = TcpStream::connect(&daemon.line).await.unwrap();
    assert_eq!(second.read(&mut [0; 8]).await.unwrap_or(0), 0);
    assert_eq!(daemon.observer.stats().n_refused_connections, 1);
    assert_eq!(first.read(&mut [0; 8]).await.unwrap_or(0), 0);
    daemon.stop().await;
}
