//! Series as senders send them: broken StatsD lines, Graphite lines that are no UTF-8. Each costs itself alone, is
//! counted, and the process lives.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{Shutdown, TcpStream, UdpSocket},
    time::Duration,
};

use anyhow::Context;
use deployline_tests::{
    github::Deployment,
    server::{Server, Settings},
    shop::now,
    wait::eventually,
};

const PATIENCE: Duration = Duration::from_secs(15);

#[test]
fn a_broken_statsd_line_costs_itself_alone() {
    let mut server = Server::start(&Settings { flush_s: 3600, ..Settings::default() }).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for packet in [
        b"good.one:5|c\nbroken\ngood.one:2|c|@0.5".as_slice(),
        b"bad.value:x|c\nbad.kind:1|q\nbad.rate:1|c|@x",
        b"::::\n\n||||",
        b"",
        b"good.two:1|c",
    ] {
        socket.send_to(packet, server.ports.statsd).unwrap();
    }
    // StatsD's own console shows the interval as it fills. One counter has both good lines, 5 and twice 2; the bad ones
    // are nowhere.
    eventually("the last packet", PATIENCE, || Ok(ask(&server, "counters")?.contains("'good.two': 1").then_some(())))
        .unwrap();
    let counters = ask(&server, "counters").unwrap();
    assert!(counters.contains("'good.one': 9"), "{counters}");
    assert!(!counters.contains("'bad.value'") && !counters.contains("'bad.kind'"), "{counters}");
    let stats = ask(&server, "stats").unwrap();
    let bad_lines = stats.lines().find_map(|line| line.strip_prefix("messages.bad_lines_seen: "));
    assert!(bad_lines.unwrap().parse::<u32>().unwrap() >= 6, "{stats}");
    assert!(metric(&server, "deployline_statsd_bad_lines_total").unwrap() >= 6.0);
    assert!(server.is_alive().unwrap());
}

#[test]
fn a_graphite_line_that_is_no_utf8_costs_itself_alone() {
    let mut server = Server::start(&Settings::default()).unwrap();
    let timestamp_s = now().as_secs();
    let mut lines = b"caf\xe9.visits 1 ".to_vec();
    lines.extend(format!("{timestamp_s}\nonly.two\ngood.series 4 {timestamp_s}\nbad.value x {timestamp_s}\n").bytes());
    // Longer than any line may be, and never ended.
    lines.extend(vec![b'x'; 1 << 20]);
    let mut stream = TcpStream::connect(server.ports.carbon).unwrap();
    // The server hangs up on such a line, maybe while we still write; what came before it counts all the same.
    let _ = stream.write_all(&lines);
    let _ = stream.shutdown(Shutdown::Write);
    eventually("the good line", PATIENCE, || Ok(is_known(&server, "good.series")?.then_some(()))).unwrap();
    assert!(!is_known(&server, "bad.value").unwrap());
    let counted = || Ok((metric(&server, "deployline_carbon_bad_lines_total")? >= 3.0).then_some(()));
    eventually("the bad lines, counted", PATIENCE, counted).unwrap();
    assert!(server.is_alive().unwrap());
}

#[test]
fn series_survive_a_kill_and_a_clean_end() {
    let mut server = Server::start(&Settings::default()).unwrap();
    let mut stream = TcpStream::connect(server.ports.carbon).unwrap();
    stream.write_all(format!("good.series 4 {}\n", now().as_secs()).as_bytes()).unwrap();
    drop(stream);
    let there = |server: &Server| {
        eventually("the datapoint", PATIENCE, || Ok(is_known(server, "good.series")?.then_some(()))).unwrap();
        assert!(metric(server, "deployline_series").unwrap() >= 1.0);
    };
    there(&server);
    server.kill9().unwrap();
    server.restart().unwrap();
    there(&server);
    assert_eq!(server.terminate().unwrap(), 0);
    server.restart().unwrap();
    there(&server);
}

/// Prometheus refuses the whole page when a sample stands on it twice, or a metric is described twice.
#[test]
fn no_metric_is_told_twice() {
    let server = Server::start(&Settings::default()).unwrap();
    assert_eq!(server.deliver(&Deployment::new(8, "cart", "ana", now()).created()).unwrap().status, 202);
    let text = server.get("/metrics", &[]).unwrap().text();
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        // `# HELP name text`, `# TYPE name type` or `name{labels} value`.
        let told = match line.starts_with('#') {
            true => line.split(' ').take(3).collect::<Vec<_>>().join(" "),
            false => line.rsplit_once(' ').map_or(line, |(sample, _)| sample).to_owned(),
        };
        assert!(seen.insert(told.clone()), "`{told}` is told twice:\n{text}");
    }
    assert!(seen.len() > 10, "{text}");
}

/// What StatsD's console answers to a command.
fn ask(server: &Server, command: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(server.ports.console).context("the console")?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(format!("{command}\nquit\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Whether a series can be drawn; a picture of one that cannot says so.
fn is_known(server: &Server, series: &str) -> anyhow::Result<bool> {
    let answer = server.get("/graph.svg", &[("target", series)])?;
    anyhow::ensure!(answer.status == 200, "answered {}: {}", answer.status, answer.text());
    Ok(!answer.text().contains("nothing is called"))
}

/// A metric at `/metrics`, summed over its labels.
fn metric(server: &Server, name: &str) -> anyhow::Result<f64> {
    let text = server.get("/metrics", &[])?.text();
    let samples = text.lines().filter_map(|line| line.strip_prefix(name)).filter(|rest| rest.starts_with([' ', '{']));
    Ok(samples.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}
