//! What goes on to other daemons: StatsD packets relayed, datapoints forwarded, over real sockets on the loopback interface.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod table;

use std::{
    io::Read,
    net::{TcpListener, UdpSocket},
    sync::Arc,
    time::Duration,
};

use deployline_ingest::{
    forward::{self, ForwardConfig, Forwarding, Protocol},
    listen::Listen,
    sink::Sink,
    statsd::{RelayConfig, Server, StatsdConfig, Transport},
};
use deployline_schemas::UnixMillis;
use deployline_store::Point;
use table::{Table, eventually};
use tokio_util::sync::CancellationToken;

/// Reads what comes over the next connection, up to `n_bytes`, and closes it.
fn accept(listener: &TcpListener, n_bytes: usize) -> Vec<u8> {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut bytes = vec![0; n_bytes];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_are_relayed_as_they_came_over_either_transport() {
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    datagrams.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let stream = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = |address: std::net::SocketAddr, protocol| RelayConfig { to: address.to_string(), protocol };
    let config = StatsdConfig {
        udp: Listen::loopback(0),
        tcp: Listen::OFF,
        admin: Listen::OFF,
        relay: vec![
            to(datagrams.local_addr().unwrap(), Transport::Udp),
            to(stream.local_addr().unwrap(), Transport::Tcp),
        ],
        ..StatsdConfig::default()
    };
    let (table, stop) = (Arc::new(Table::default()), CancellationToken::new());
    let server = Server::bind(&config, table, Arc::new(|| UnixMillis(1_700_000_001_500))).unwrap();
    let (address, observer) = (server.udp_address().unwrap(), server.observer());
    let running = tokio::spawn(server.run(stop.clone()));
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    // What we do not understand goes on all the same: the other daemon may.
    let packets = [&b"a:1|c\nb:2|ms|@0.5|#x:y"[..], b"never:seen|q", b"_e{1,1}:a|b"];
    for packet in packets {
        client.send_to(packet, address).unwrap();
    }
    let mut buffer = [0; 2048];
    for packet in packets {
        let length = datagrams.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], packet);
    }
    let lines = [packets.join(&b"\n"[..]), b"\n".to_vec()].concat();
    assert_eq!(accept(&stream, lines.len()), lines);
    eventually("the count", || observer.relays().iter().all(|(_, stats)| stats.n_sent == 3)).await;
    assert!(observer.relays().iter().all(|(_, stats)| stats.n_dropped == 0));
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_away_costs_the_oldest_datapoints_and_nobody_waits() {
    // A port where nobody listens yet.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut target = ForwardConfig::to(address.to_string(), Protocol::Line);
    target.queue_points = 1000;
    target.patterns = vec!["kept.*".to_owned()];
    let table = Arc::new(Table::default());
    let sink = Forwarding::new(table.clone(), std::slice::from_ref(&target));
    let (kept, other) = (sink.intern("kept.one").unwrap(), sink.intern("other").unwrap());
    let points: Vec<Point> = (0..1100)
        .flat_map(|at| [kept, other].map(|series| Point { series, timestamp_s: at, value: at as f64 }))
        .collect();
    sink.append(&points).unwrap();
    let queue = Arc::clone(&sink.queues()[0]);
    assert_eq!((queue.stats().n_waiting, queue.stats().n_dropped), (1000, 100));
    assert_eq!(table.lines().len(), 2200);
    let stop = CancellationToken::new();
    let running = tokio::spawn(forward::run(Arc::clone(&queue), stop.clone()));
    eventually("a failure", || queue.stats().n_failures > 0).await;
    let listener = TcpListener::bind(address).unwrap();
    let expected: String = (100..1100).map(|at| format!("kept.one {at} {at}\n")).collect();
    assert_eq!(String::from_utf8(accept(&listener, expected.len())).unwrap(), expected);
    // The connection is closed by the other side: the next batch comes over a new one, after the one that may be lost.
    sink.append(&[Point { series: kept, timestamp_s: 2000, value: 1.0 }]).unwrap();
    let again = accept(&listener, expected.len() + "kept.one 1 2000\n".len());
    assert!(again.starts_with(b"kept.one 100 100\n") && again.ends_with(b"kept.one 1 2000\n"));
    stop.cancel();
    running.await.unwrap();
    assert_eq!((queue.stats().n_waiting, queue.stats().n_dropped), (0, 100));
}
