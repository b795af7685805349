//! `kill -9` in the middle of publishing to the embedded bus, again and again: whatever was acknowledged is there, in
//! order and once.
//!
//! The process that is killed is this file too, run with `publish DIR`: it needs a `main` of its own, and so the test
//! harness is off.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use deployline_bus::{Bus, BusConfig, Delivered, Position, Record};
use deployline_schemas::topic::Topic;
use tokio::runtime::Runtime;

/// How often the process is killed.
const ROUNDS: u32 = 12;
/// Publishers at once, each with a key of its own, so that transactions hold several.
const PUBLISHERS: u32 = 4;
/// Longest life of the process once its first record is acknowledged, in milliseconds.
const MAX_LIFE_MS: u64 = 250;
const GROUP: &str = "follower";

fn main() {
    let args: Vec<String> = env::args().collect();
    let runtime = Runtime::new().expect("threads start");
    match &args[1..] {
        [word, dir] if word == "publish" => runtime.block_on(publish(Path::new(dir))),
        _ => {
            let seed = env::var("DEPLOYLINE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
            let seed = seed.unwrap_or_else(|| fastrand::u64(..));
            println!("acknowledged_records_survive_kill_9, DEPLOYLINE_TEST_SEED={seed}");
            fastrand::seed(seed);
            acknowledged_records_survive_kill_9(&runtime);
            println!("ok: {ROUNDS} kills");
        }
    }
}

fn acknowledged_records_survive_kill_9(runtime: &Runtime) {
    let dir = tempfile::tempdir().expect("a folder");
    let mut acknowledged = BTreeMap::new();
    let mut committed = 0;
    for round in 0..ROUNDS {
        let before = acknowledged.len();
        live_and_die(dir.path(), &mut acknowledged, &mut committed);
        assert!(acknowledged.len() > before, "round {round}: nothing was acknowledged");
        runtime.block_on(check(dir.path(), &acknowledged, committed));
    }
}

/// Runs a publisher until a random moment, and notes what it said is done: values by their offset, and the follower's
/// own offset.
fn live_and_die(dir: &Path, acknowledged: &mut BTreeMap<i64, String>, committed: &mut i64) {
    let mut child = Command::new(env::current_exe().expect("this file is somewhere"))
        .args([Path::new("publish"), dir])
        .stdout(Stdio::piped())
        .spawn()
        .expect("this file runs");
    let mut said = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let mut note = |line: String| match line.split(' ').collect::<Vec<_>>()[..] {
        ["published", offset, value] => {
            let before = acknowledged.insert(offset.parse().expect("a number"), value.to_owned());
            assert_eq!(before, None, "offset {offset} was given out twice");
        }
        ["committed", next] => *committed = next.parse().expect("a number"),
        // The line that the kill cut short.
        _ => {}
    };
    note(said.next().expect("it says something").expect("text"));
    let killer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(fastrand::u64(..MAX_LIFE_MS)));
        child.kill().expect("it lives");
        child.wait().expect("it ends");
    });
    // Until the pipe ends: what it said before it was killed counts.
    for line in said {
        note(line.expect("text"));
    }
    killer.join().expect("no panic");
}

/// Holds the log against what was acknowledged.
async fn check(dir: &Path, acknowledged: &BTreeMap<i64, String>, committed: i64) {
    let bus = Bus::open(&BusConfig::default(), dir).await.expect("the log is whole");
    let all = everything(&bus).await;
    let kept: BTreeMap<i64, String> = all.iter().map(|found| (found.position.offset, value(found))).collect();
    for (offset, value) in acknowledged {
        assert_eq!(kept.get(offset), Some(value), "at offset {offset}");
    }
    for publisher in 0..PUBLISHERS {
        let key = publisher.to_string();
        let numbers: Vec<u64> = all.iter().filter(|found| found.record.key == key).map(number).collect();
        let expected: Vec<u64> = (0..numbers.len() as u64).collect();
        assert_eq!(numbers, expected, "publisher {key}: each number once and in order");
    }
    let next = bus.bounds(Topic::Deploys).await.expect("bounds")[0].next;
    let lag = bus.lag(GROUP, Topic::Deploys).await.expect("a lag");
    assert!(next - lag as i64 >= committed, "the group is back at {}, it had committed {committed}", next - lag as i64);
    bus.close().await.expect("it closes");
}

async fn everything(bus: &Bus) -> Vec<Delivered> {
    let mut all: Vec<Delivered> = Vec::new();
    loop {
        let offset = all.last().map_or(0, |last| last.position.offset + 1);
        let found = bus.read(Topic::Deploys, Position { partition: 0, offset }, 1000).await.expect("a stretch");
        if found.is_empty() {
            return all;
        }
        all.extend(found);
    }
}

fn value(found: &Delivered) -> String {
    String::from_utf8(found.record.value.to_vec()).expect("text")
}

/// The number of a record among those of its publisher.
fn number(found: &Delivered) -> u64 {
    value(found).parse().expect("a number")
}

/// The process that is killed: publishes for ever, and says what is durable once it is.
async fn publish(dir: &Path) {
    let bus = Bus::open(&BusConfig::default(), dir).await.expect("the log is whole");
    let all = everything(&bus).await;
    for publisher in 0..PUBLISHERS {
        let (bus, key) = (bus.clone(), publisher.to_string());
        let first = all.iter().rev().find(|found| found.record.key == key).map_or(0, |last| number(last) + 1);
        tokio::spawn(async move {
            for n in first.. {
                let record = Record::new(key.clone(), n.to_string());
                let positions = bus.publish(Topic::Deploys, vec![record]).await.expect("it is published");
                say(format_args!("published {} {n}", positions[0].offset));
            }
        });
    }
    let mut follower = bus.subscribe(GROUP, &[Topic::Deploys]).await.expect("a member");
    loop {
        let batch = follower.next_batch(10).await.expect("a batch");
        follower.commit(&batch).await.expect("a commit");
        say(format_args!("committed {}", batch[batch.len() - 1].position.offset + 1));
    }
}

/// One write for a line, so that the lines of several tasks do not mix and none waits in a buffer.
fn say(line: std::fmt::Arguments<'_>) {
    let line = format!("{line}\n");
    let mut out = std::io::stdout().lock();
    // Whoever listens may be gone; then this process is about to be killed.
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}
