//! Datapoints over Kafka: written by any producer, taken in once whatever happens to the process, and passed on from one
//! server to another.

#![allow(clippy::unwrap_used, reason = "the helpers of a test panic as the test does")]

use std::{io::Write, net::TcpStream, ops::Range, time::Duration};

use anyhow::{Context, ensure};
use deployline_bus::{BusConfig, BusKind, Record};
use deployline_schemas::topic::Topic;
use deployline_tests::{
    server::{Bus, Server, Settings},
    shop::now,
    wait::eventually,
};

const PATIENCE: Duration = Duration::from_secs(60);
const N_SERIES: i64 = 50;
const N_POINTS: i64 = 2000;
const KEEP: &str = "[[retention]]\nmatch = \"*\"\nkeep = [\"1s:7d\"]\n";

fn start(bus: &Bus, datapoints: &str) -> Server {
    let sections = format!("{KEEP}[datapoints]\n{datapoints}\n");
    Server::start(&Settings { bus: bus.clone(), sections, flush_s: 3600, ..Settings::default() }).unwrap()
}

fn series(index: i64) -> String {
    format!("topic.s{index};host=web{}", index % 3)
}

/// Publishes as any producer would, a second of all series in a record, and some of it twice.
async fn produce(bus: &Bus, from_s: i64, seconds: Range<i64>) -> anyhow::Result<()> {
    let Bus::Kafka { broker, prefix } = bus else { anyhow::bail!("not on Kafka") };
    let config = BusConfig {
        kind: BusKind::Kafka,
        brokers: vec![broker.clone()],
        prefix: prefix.clone(),
        ..BusConfig::default()
    };
    let folder = tempfile::tempdir()?;
    let bus = deployline_bus::Bus::open(&config, folder.path()).await?;
    let record = |second: i64| {
        let lines: String =
            (0..N_SERIES).map(|index| format!("{} {second} {}\n", series(index), from_s + second)).collect();
        Record::new(format!("{}", second % 7), format!("{lines}not a line\n"))
    };
    for seconds in seconds.collect::<Vec<_>>().chunks(100) {
        bus.publish(Topic::Datapoints, seconds.iter().map(|second| record(*second)).collect()).await?;
        bus.publish(Topic::Datapoints, vec![record(seconds[0])]).await?;
    }
    bus.close().await?;
    Ok(())
}

/// How many datapoints of a target there are, each once and with its value.
fn n_read(server: &Server, target: &str, from_s: i64) -> anyhow::Result<i64> {
    let said = server.cli(&["export", target, "--from", "-7d"])?;
    ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let text = String::from_utf8(said.stdout)?;
    let mut before = ("", i64::MIN);
    for line in text.lines().skip(1) {
        let [name, at, value] = line.split(',').collect::<Vec<_>>()[..] else { anyhow::bail!("`{line}`") };
        let at_s: i64 = at.parse()?;
        ensure!((name, at_s) > before, "{line} follows {before:?}");
        ensure!(value.parse::<f64>()? == (at_s - from_s) as f64, "{line} is another value");
        before = (name, at_s);
    }
    Ok(text.lines().count() as i64 - 1)
}

fn metric(server: &Server, name: &str) -> anyhow::Result<f64> {
    let page = server.get("/metrics", &[])?.text();
    let found = page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    found.with_context(|| format!("no {name}"))
}

#[test]
fn what_any_producer_writes_is_taken_in_once_whatever_happens() {
    let bus = Bus::kafka().unwrap();
    let mut server = start(&bus, "consume = true");
    let from_s = now().as_secs() - 2 * N_POINTS;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let part = N_POINTS / 3 + 1;
    for (index, begin) in (0..N_POINTS).step_by(part as usize).enumerate() {
        let bus = bus.clone();
        let seconds = begin..N_POINTS.min(begin + part);
        let producing = runtime.spawn(async move { produce(&bus, from_s, seconds).await });
        let some = || Ok((metric(&server, "deployline_topic_points_total")? >= 1000.0).then_some(()));
        eventually("some datapoints", PATIENCE, some).unwrap();
        // In the middle of it: as a crash would, as asked, and not at all.
        match index {
            0 => server.kill9().unwrap(),
            1 => assert_eq!(server.terminate().unwrap(), 0),
            _ => {}
        }
        if index < 2 {
            server.restart().unwrap();
        }
        runtime.block_on(producing).unwrap().unwrap();
    }
    let all = || Ok((n_read(&server, "topic.*;host=*", from_s)? == N_SERIES * N_POINTS).then_some(()));
    eventually("all datapoints", PATIENCE, all).unwrap();
    assert!(metric(&server, "deployline_series").unwrap() >= N_SERIES as f64);
    assert!(metric(&server, "deployline_topic_bad_lines_total").unwrap() > 0.0);
}

#[test]
fn a_server_passes_its_datapoints_on_to_another() {
    let Bus::Kafka { broker, prefix } = Bus::kafka().unwrap() else { unreachable!("this is Kafka") };
    let edge_prefix = format!("{prefix}-edge");
    let edge = start(&Bus::Kafka { broker: broker.clone(), prefix: edge_prefix.clone() }, "publish = true");
    let central = start(&Bus::Kafka { broker, prefix }, &format!("topics = [\"{edge_prefix}.datapoints\"]"));
    let from_s = now().as_secs() - 2 * N_POINTS;
    let mut stream = TcpStream::connect(edge.ports.carbon).unwrap();
    let lines: String = (0..N_POINTS).map(|index| format!("passed.on {index} {}\n", from_s + index)).collect();
    stream.write_all(lines.as_bytes()).unwrap();
    drop(stream);
    for server in [&edge, &central] {
        let all = || Ok((n_read(server, "passed.on", from_s)? == N_POINTS).then_some(()));
        eventually("all datapoints", PATIENCE, all).unwrap();
    }
}
