use deployline_bus::{BusConfig, MAX_RECORD_BYTES, Position};
use tokio::time::timeout;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn one_record_that_the_bus_never_takes_goes_to_quarantine_and_its_neighbours_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let bus = Bus::open(&BusConfig::default(), dir.path()).await.unwrap();
    let spool = Spool::open(&dir.path().join("spool"), 8 << 20).unwrap();
    let long = Record::new("long", vec![b'x'; MAX_RECORD_BYTES]);
    spool.append(Topic::Deploys, vec![Record::new("1", "a"), long, Record::new("2", "b")]).await.unwrap();
    assert_eq!(timeout(Duration::from_secs(10), spool.drain_batch(&bus)).await.unwrap().unwrap(), 3);
    assert_eq!((spool.len(), spool.drain_batch(&bus).await.unwrap()), (0, 0));
    let from = Position { partition: 0, offset: 0 };
    let keys: Vec<String> =
        bus.read(Topic::Deploys, from, 10).await.unwrap().into_iter().map(|found| found.record.key).collect();
    assert_eq!(keys, ["1", "2"]);
    let kept = bus.read(Topic::Quarantine, from, 10).await.unwrap();
    let header = |name: &str| kept[0].record.header(name).unwrap().to_owned();
    assert_eq!((kept.len(), header("reason"), header("topic")), (1, "record_refused".into(), "deploys".into()));
    assert_eq!(header("cut_from_bytes"), MAX_RECORD_BYTES.to_string());
}
