//! Topics that others write, on a real broker: `make kafka`, or run under `scripts/with-kafka`.

// The helpers are plain functions, which clippy does not take for tests.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "the contract uses more of it")]
mod testbed;

use std::time::Duration;

use deployline_bus::{BusError, Foreign, ForeignRecord, Record, Start};
use deployline_schemas::topic::Topic;
use testbed::{Testbed, publish};
use tokio::time::timeout;

/// Ends a test that hangs; no claim here is about speed.
const PATIENCE: Duration = Duration::from_secs(60);

/// As many records as are expected, in as many batches as it takes.
async fn drain(member: &mut Foreign, n: usize) -> Vec<ForeignRecord> {
    let mut all = Vec::new();
    while all.len() < n {
        all.extend(timeout(PATIENCE, member.next_batch(n - all.len())).await.expect("in time").unwrap());
    }
    all
}

fn values(records: &[ForeignRecord]) -> Vec<&[u8]> {
    records.iter().map(|record| &record.value.as_ref().unwrap()[..]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_reads_another_s_topic_and_resumes_where_it_committed() {
    let (ours, theirs) = (Testbed::kafka(), Testbed::kafka());
    let bus = ours.open().await;
    let writer = theirs.open().await;
    let topics = [Topic::Deploys.name(theirs.prefix())];
    let record = Record::new("k", "one").with_header("ce_type", "t").with_header("content-type", "application/json");
    writer.publish(Topic::Deploys, vec![record]).await.unwrap();
    publish(&writer, Topic::Deploys, &["two", "three"]).await;

    let mut member = bus.follow("cd", &topics, Start::Earliest).unwrap();
    let found = drain(&mut member, 3).await;
    assert_eq!(values(&found), [b"one".as_slice(), b"two", b"three"]);
    assert_eq!((&found[0].topic, found[0].key.as_str(), found[0].position.offset), (&topics[0], "k", 0));
    assert_eq!(found[0].headers[0], ("ce_type".to_owned(), "t".to_owned()));
    assert!(found[0].stamped_at.is_some());
    member.commit(&found[..2]).await.unwrap();
    drop(member);
    // What was not committed is delivered again.
    let mut member = bus.follow("cd", &topics, Start::Earliest).unwrap();
    let found = drain(&mut member, 1).await;
    assert_eq!(values(&found), [b"three"]);
    member.commit(&found).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_does_not_exist_yet_is_waited_for() {
    let (ours, theirs) = (Testbed::kafka(), Testbed::kafka());
    let bus = ours.open().await;
    let mut member = bus.follow("cd", &[Topic::Deploys.name(theirs.prefix())], Start::Earliest).unwrap();
    assert!(timeout(Duration::from_secs(2), member.next_batch(1)).await.is_err());
    publish(&theirs.open().await, Topic::Deploys, &["first"]).await;
    assert_eq!(values(&drain(&mut member, 1).await), [b"first"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_bus_has_none_and_a_closed_one_ends_the_wait() {
    let embedded = Testbed::embedded().open().await;
    let refused = embedded.follow("cd", &["cd.events".to_owned()], Start::Earliest).err();
    assert!(matches!(refused, Some(BusError::Config { .. })), "{refused:?}");
    let bus = Testbed::kafka().open().await;
    assert!(matches!(bus.follow("cd", &["no topic".to_owned()], Start::Latest).err(), Some(BusError::Config { .. })));
    let mut member = bus.follow("cd", &["cd.events".to_owned()], Start::Latest).unwrap();
    let waiting = tokio::spawn(async move { member.next_batch(1).await });
    bus.close().await.unwrap();
    let ended = timeout(PATIENCE, waiting).await.expect("in time").unwrap();
    assert!(matches!(ended, Err(BusError::Closed)), "{ended:?}");
}
