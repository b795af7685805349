//! What `make demo` shows is what it says: the story is told to its end, on either bus.

use std::{
    io::Read,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};
use deployline_tests::{
    server::{Bus, binary},
    wait::eventually,
};

/// The demo gives its alert and its recovery up to four minutes each.
const PATIENCE: Duration = Duration::from_secs(540);

#[test]
fn the_demo_alerts_blames_and_recovers_on_the_embedded_bus() {
    let story = demo(&[]).unwrap();
    the_story_is_whole(&story).unwrap();
}

#[test]
fn the_demo_alerts_blames_and_recovers_over_kafka() {
    let Bus::Kafka { broker, .. } = Bus::kafka().unwrap() else { panic!("another bus") };
    let story = demo(&["--kafka", &broker]).unwrap();
    the_story_is_whole(&story).unwrap();
}

/// What `demo --once` prints, once it has left by itself with exit code 0.
fn demo(arguments: &[&str]) -> anyhow::Result<String> {
    let mut demo = Command::new(binary()?)
        .args(["demo", "--once", "--listen", "127.0.0.1:0"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    let mut told = demo.stdout.take().context("no output")?;
    let reader = std::thread::spawn(move || {
        let mut story = String::new();
        told.read_to_string(&mut story).map(|_| story)
    });
    let left = eventually("the demo's end", PATIENCE, || Ok(demo.try_wait()?));
    if left.is_err() {
        demo.kill()?;
        demo.wait()?;
    }
    let story = reader.join().expect("reading does not panic")?;
    let status = left.with_context(|| story.clone())?;
    ensure!(status.success(), "{status}:\n{story}");
    Ok(story)
}

/// The alert, the blame and the recovery, in this order, each about checkout and ana's deploy.
fn the_story_is_whole(story: &str) -> anyhow::Result<()> {
    let steps = [
        "ana deploys checkout",
        "● checkout: error ratio",
        "by ana",
        "$ deployline blame",
        "checkout error ratio up",
        "by ana",
        "none of the deploys",
        "ana rolls checkout back",
        "○ checkout: error ratio is back to normal",
        "Mended by checkout rollback",
    ];
    let mut rest = story;
    for step in steps {
        let at = rest.find(step).with_context(|| format!("no {step:?} in its place:\n{story}"))?;
        rest = &rest[at + step.len()..];
    }
    Ok(())
}
