//! What the bus says when what it stands on is away: within its timeout, and so that the caller can act on it.

// The claims use plain functions too, which clippy does not take for tests.
#![allow(clippy::unwrap_used)]

use std::{net::TcpListener, path::Path, time::Duration};

use deployline_bus::{Bus, BusConfig, BusError, BusKind, Record, Recourse};
use deployline_schemas::topic::Topic;

fn brief(config: BusConfig) -> BusConfig {
    BusConfig { timeout: Duration::from_millis(500), ..config }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_broker_fails_calls_as_retryable_but_not_the_opening() {
    // Bound and let go: a port where nobody listens.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let brokers = vec![format!("127.0.0.1:{port}")];
    let config = brief(BusConfig { kind: BusKind::Kafka, brokers, ..BusConfig::default() });
    let bus = Bus::open(&config, Path::new("unused")).await.unwrap();
    let errors = [
        bus.health().await.err(),
        bus.publish(Topic::Deploys, vec![Record::new("k", "v")]).await.err(),
        bus.subscribe("g", &[Topic::Deploys]).await.err(),
        bus.bounds(Topic::Deploys).await.err(),
    ];
    for error in errors {
        let error = error.unwrap();
        assert_eq!(error.recourse(), Recourse::Retry, "{error:?}");
    }
    // What will not pass is told at once, broker or not.
    let large = Record::new("k", vec![0; 2_000_000]);
    assert!(matches!(bus.publish(Topic::Deploys, vec![large]).await, Err(BusError::TooLarge { .. })));
    bus.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_serves_one_embedded_bus_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let config = brief(BusConfig::default());
    let first = Bus::open(&config, dir.path()).await.unwrap();
    let error = Bus::open(&config, dir.path()).await.err().unwrap();
    assert!(matches!(error, BusError::Locked { .. }), "{error:?}");
    // Without a close: the writer ends with the last clone, and lets go.
    drop(first);
    Bus::open(&config, dir.path()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn publishers_beyond_the_queue_wait_for_room_and_all_get_through() {
    let dir = tempfile::tempdir().unwrap();
    let config = BusConfig { queue_bytes: 1 << 20, timeout: Duration::from_secs(60), ..BusConfig::default() };
    let bus = Bus::open(&config, dir.path()).await.unwrap();
    // Each takes most of the queue, so they go one by one.
    let publishers: Vec<_> = (0..8)
        .map(|n| {
            let bus = bus.clone();
            tokio::spawn(async move { bus.publish(Topic::Deploys, vec![Record::new("k", vec![n; 900_000])]).await })
        })
        .collect();
    for publisher in publishers {
        publisher.await.unwrap().unwrap();
    }
    // A list larger than the whole queue takes all of it and passes too.
    bus.publish(Topic::Deploys, vec![Record::new("k", vec![0; 900_000]); 3]).await.unwrap();
    assert_eq!(bus.bounds(Topic::Deploys).await.unwrap()[0].next, 11);
}
