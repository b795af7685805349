//! A disk that is full, and one that has room again: no acknowledged datapoint is lost, nothing is taken twice, and the
//! process says what is wrong and serves on.
//!
//! The kernel's limit of file sizes stands in for the disk: it fails the same calls, for one process alone.

use std::{io::Write, net::TcpStream, process::Command, time::Duration};

use anyhow::{Context, ensure};
use deployline_tests::{
    server::{Server, Settings},
    shop::now,
    wait::eventually,
};

const PATIENCE: Duration = Duration::from_secs(60);
/// Datapoints of a batch, of 10 bytes each in the store's log.
const N_POINTS: i64 = 20_000;
/// Less than the store's log of as many datapoints, and more than what the process says meanwhile.
const ROOM_BYTES: u64 = 64 << 10;

/// Limits the sizes of files that the process can write from now on.
fn limit(server: &Server, bytes: &str) -> anyhow::Result<()> {
    let told = Command::new("prlimit")
        .args(["--pid", &server.pid().to_string(), &format!("--fsize={bytes}:unlimited")])
        .status()
        .context("prlimit (of util-linux) cannot be run")?;
    ensure!(told.success(), "prlimit: {told}");
    Ok(())
}

fn send(server: &Server, name: &str, from_s: i64) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(server.ports.carbon)?;
    let lines: String = (0..N_POINTS).map(|index| format!("{name} {index} {}\n", from_s + index)).collect();
    Ok(stream.write_all(lines.as_bytes())?)
}

/// How many datapoints of a series are read back, each once and with its value.
fn n_read(server: &Server, name: &str, from_s: i64) -> anyhow::Result<i64> {
    let said = server.cli(&["export", name, "--from", "-7d"])?;
    ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let text = String::from_utf8(said.stdout)?;
    let mut before_s = i64::MIN;
    for line in text.lines().skip(1) {
        let [_, at, value] = line.split(',').collect::<Vec<_>>()[..] else { anyhow::bail!("`{line}`") };
        let at_s: i64 = at.parse()?;
        ensure!(at_s > before_s, "{line} follows {before_s}");
        ensure!(value.parse::<f64>()? == (at_s - from_s) as f64, "{line} is another value");
        before_s = at_s;
    }
    Ok(text.lines().count() as i64 - 1)
}

fn metric(server: &Server, name: &str) -> anyhow::Result<f64> {
    let page = server.get("/metrics", &[])?.text();
    let found = page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    found.with_context(|| format!("no {name}"))
}

#[test]
fn a_full_disk_is_told_and_outlived_and_a_crash_on_it_loses_nothing() {
    let sections = "[[retention]]\nmatch = \"*\"\nkeep = [\"1s:7d\"]\n".to_owned();
    let mut server = Server::start(&Settings { sections, flush_s: 3600, ..Settings::default() }).unwrap();
    let from_s = now().as_secs() - 2 * N_POINTS;
    let all = |server: &Server, name: &str| {
        let all = || Ok((n_read(server, name, from_s)? == N_POINTS).then_some(()));
        eventually(name, PATIENCE, all).unwrap();
    };
    send(&server, "disk.before", from_s).unwrap();
    all(&server, "disk.before");

    // Full: a batch is not taken, and told of; everything else goes on.
    limit(&server, &ROOM_BYTES.to_string()).unwrap();
    send(&server, "disk.full", from_s).unwrap();
    let told = || Ok(server.log_tail().contains("the store takes nothing; senders wait").then_some(()));
    eventually("the warning", PATIENCE, told).unwrap();
    let log = server.log_tail();
    assert!(log.contains("File too large") && log.contains(".wal"), "{log}");
    assert!(server.is_alive().unwrap());
    assert_eq!(n_read(&server, "disk.before", from_s).unwrap(), N_POINTS);
    assert_eq!(n_read(&server, "disk.full", from_s).unwrap(), 0, "what is not durable is not shown");
    assert_eq!(server.get("/healthz", &[]).unwrap().status, 200);

    // Room again: the sender has waited, and its batch is taken without being sent anew.
    limit(&server, "unlimited").unwrap();
    all(&server, "disk.full");
    assert_eq!(metric(&server, "deployline_carbon_lost_points_total").unwrap(), 0.0);

    // A crash on a full disk, with a batch half written.
    limit(&server, &ROOM_BYTES.to_string()).unwrap();
    send(&server, "disk.crash", from_s).unwrap();
    let warned = || Ok((server.log_tail().matches("senders wait").count() >= 2).then_some(()));
    eventually("the next warning", PATIENCE, warned).unwrap();
    server.kill9().unwrap();
    server.restart().unwrap();
    all(&server, "disk.before");
    all(&server, "disk.full");
    let n_kept = n_read(&server, "disk.crash", from_s).unwrap();
    assert!(n_kept == 0 || n_kept == N_POINTS, "{n_kept} of a batch that was never acknowledged");
    send(&server, "disk.crash", from_s).unwrap();
    all(&server, "disk.crash");
    assert_eq!(server.terminate().unwrap(), 0);
}
