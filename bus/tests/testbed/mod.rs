//! A bus for one test, and the words that the claims are written in.

use std::{env, net::TcpStream, time::Duration};

use deployline_bus::{Bus, BusConfig, BusKind, Delivered, Position, Record, Subscription};
use deployline_schemas::{time::wall_clock, topic::Topic};
use tempfile::TempDir;

/// Where one test's bus lives: a directory, or a prefix on the broker. It can be opened again and again.
pub struct Testbed {
    config: BusConfig,
    dir: TempDir,
}

impl Testbed {
    /// On SQLite, in a directory of its own.
    pub fn embedded() -> Self {
        Self::new(BusConfig::default())
    }

    /// On the broker at `DEPLOYLINE_TEST_KAFKA`, under a prefix of its own.
    pub fn kafka() -> Self {
        let broker = env::var("DEPLOYLINE_TEST_KAFKA").unwrap_or_else(|_| "127.0.0.1:19092".to_owned());
        if let Err(error) = TcpStream::connect(&broker) {
            panic!(
                "no Kafka broker at {broker} ({error}).\n\
                 Start one with `make kafka` or `scripts/kafka/kafka.sh start`, \
                 or name one in DEPLOYLINE_TEST_KAFKA."
            );
        }
        Self::new(BusConfig { kind: BusKind::Kafka, brokers: vec![broker], ..BusConfig::default() })
    }

    fn new(config: BusConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // The directory's random name is the prefix: no two tests share topics, nor does the next run.
        let name = dir.path().file_name().unwrap().to_str().unwrap().trim_start_matches('.').to_owned();
        let prefix = format!("test-{}-{name}", wall_clock()().0);
        // Generous: the machine that runs the tests is busy with running the tests.
        Self { config: BusConfig { prefix, timeout: Duration::from_secs(20), ..config }, dir }
    }

    /// What the names of its topics begin with.
    #[allow(dead_code, reason = "one of the test files has no need of it")]
    pub fn prefix(&self) -> &str {
        &self.config.prefix
    }

    /// Opens it with one partition for each topic.
    pub async fn open(&self) -> Bus {
        self.open_partitioned(1).await
    }

    /// Opens it with more, where the bus has such.
    pub async fn open_partitioned(&self, partitions: u16) -> Bus {
        let config = BusConfig { partitions, ..self.config.clone() };
        Bus::open(&config, self.dir.path()).await.unwrap()
    }
}

/// Publishes values under one key.
pub async fn publish(bus: &Bus, topic: Topic, values: &[&str]) -> Vec<Position> {
    let records = values.iter().map(|value| Record::new("k", (*value).to_owned())).collect();
    bus.publish(topic, records).await.unwrap()
}

/// The next batch, as it comes.
pub async fn batch(member: &mut Subscription, max: usize) -> Vec<Delivered> {
    let found = member.next_batch(max).await.unwrap();
    assert!(!found.is_empty() && found.len() <= max, "{} of {max}", found.len());
    found
}

/// As many batches as it takes to have `n` records, and not one more.
pub async fn drain(member: &mut Subscription, n: usize) -> Vec<Delivered> {
    let mut all = Vec::new();
    while all.len() < n {
        all.extend(batch(member, n - all.len()).await);
    }
    all
}

/// The values as text.
pub fn values(found: &[Delivered]) -> Vec<String> {
    found.iter().map(|found| String::from_utf8(found.record.value.to_vec()).unwrap()).collect()
}
