use deployline_bus::{BusConfig, Position, Record};
use deployline_schemas::{
    DeployEvent, UnixMillis,
    cloudevent::CloudEvent,
    deploy::{Kind, Status},
};
use tokio::{task::JoinHandle, time::timeout};

use super::*;

struct Bench {
    dir: tempfile::TempDir,
    bus: Bus,
    catalog: Catalog,
    changes: broadcast::Receiver<Change>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ProjectorError>>,
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bus = Bus::open(&BusConfig::default(), dir.path()).await.unwrap();
        let catalog = Catalog::open(dir.path()).unwrap();
        let (sender, changes) = broadcast::channel(100);
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(bus.clone(), catalog.clone(), sender, stop.clone()));
        Self { dir, bus, catalog, changes, stop, task }
    }

    async fn publish(&self, events: impl IntoIterator<Item = DeployEvent>) {
        let record = |event: DeployEvent| {
            let deploy = event.into_deploy().unwrap();
            Record::new(deploy.key(), serde_json::to_vec(&CloudEvent::deploy(deploy, "d")).unwrap())
        };
        self.bus.publish(Topic::Deploys, events.into_iter().map(record).collect()).await.unwrap();
    }

    async fn change(&mut self) -> (Arc<Deploy>, bool) {
        match timeout(Duration::from_secs(10), self.changes.recv()).await.unwrap().unwrap() {
            Change::Deploy { deploy, is_new } => (deploy, is_new),
            Change::Incident(incident) => panic!("{incident:?}"),
        }
    }

    async fn end(self) {
        self.stop.cancel();
        timeout(Duration::from_secs(10), self.task).await.unwrap().unwrap().unwrap();
        drop(self.dir);
    }
}

fn event(id: &str, version: &str, at: i64, status: Status) -> DeployEvent {
    DeployEvent {
        id: Some(id.to_owned()),
        service: "cart".to_owned(),
        version: Some(version.to_owned()),
        status: Some(status),
        started_at: Some(UnixMillis::from_secs(at)),
        finished_at: Some(UnixMillis::from_secs(at + 10)).filter(|_| status.is_final()),
        ..DeployEvent::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn start_and_end_become_one_deploy_and_a_repeat_changes_nothing() {
    let mut bench = Bench::new().await;
    bench.publish([event("a", "1", 100, Status::Started)]).await;
    let (deploy, is_new) = bench.change().await;
    assert_eq!((deploy.status, is_new), (Status::Started, true));
    bench.publish([event("a", "1", 100, Status::Started), event("a", "1", 100, Status::Succeeded)]).await;
    let (deploy, is_new) = bench.change().await;
    assert_eq!((deploy.status, is_new), (Status::Succeeded, false));
    assert_eq!(bench.catalog.deploy("a").unwrap().unwrap(), *deploy);
    assert!(bench.changes.try_recv().is_err());
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_read_is_quarantined_and_passed_over() {
    let mut bench = Bench::new().await;
    bench.bus.publish(Topic::Deploys, vec![Record::new("k", "no json")]).await.unwrap();
    bench.publish([event("a", "1", 100, Status::Started)]).await;
    bench.change().await;
    let kept = bench.bus.read(Topic::Quarantine, Position { partition: 0, offset: 0 }, 10).await.unwrap();
    assert_eq!(kept[0].record.value, "no json");
    assert_eq!(
        (kept[0].record.header("reason"), kept[0].record.header("topic")),
        (Some("malformed_record"), Some("deploys"))
    );
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_to_the_version_before_is_a_rollback_of_what_came_between() {
    let mut bench = Bench::new().await;
    for (id, version, at) in [("a", "1", 100), ("b", "2", 200), ("c", "1", 300), ("d", "3", 400)] {
        bench.publish([event(id, version, at, Status::Succeeded)]).await;
        let (deploy, _) = bench.change().await;
        match id {
            "c" => assert_eq!((deploy.kind, deploy.rollback_of.as_deref()), (Kind::Rollback, Some("b"))),
            _ => assert_eq!((deploy.kind, deploy.rollback_of.as_deref()), (Kind::Deploy, None)),
        }
    }
    assert_eq!(bench.catalog.deploy("c").unwrap().unwrap().kind, Kind::Rollback);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_is_recognised_on_replay_after_a_crash_behind_the_deploys() {
    let mut bench = Bench::new().await;
    let events = [("a", "1", 100), ("b", "2", 200), ("c", "1", 300)];
    let events = events.map(|(id, version, at)| event(id, version, at, Status::Succeeded));
    // What such a crash leaves: the deploys are applied, and the group's offsets are before them.
    let deploys: Vec<Deploy> = events.iter().map(|event| event.clone().into_deploy().unwrap()).collect();
    bench.catalog.apply_deploys(&deploys).unwrap();
    bench.publish(events).await;
    let (deploy, is_new) = bench.change().await;
    assert_eq!((deploy.id.as_str(), deploy.kind, is_new), ("c", Kind::Rollback, false));
    assert_eq!(bench.catalog.deploy("c").unwrap().unwrap().rollback_of.as_deref(), Some("b"));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_catalog_is_built_again_from_the_bus() {
    let mut bench = Bench::new().await;
    bench.publish([event("a", "1", 100, Status::Succeeded), event("b", "2", 200, Status::Succeeded)]).await;
    bench.change().await;
    bench.change().await;
    bench.stop.cancel();
    timeout(Duration::from_secs(10), bench.task).await.unwrap().unwrap().unwrap();

    let elsewhere = tempfile::tempdir().unwrap();
    for (n_changes, why) in [(2, "a new catalog has everything applied"), (0, "one that follows goes on")] {
        let catalog = Catalog::open(elsewhere.path()).unwrap();
        prepare(&bench.bus, &catalog).await.unwrap();
        assert_eq!(bench.bus.lag(GROUP, Topic::Deploys).await.unwrap(), n_changes, "{why}");
        let (sender, mut changes) = broadcast::channel(100);
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(bench.bus.clone(), catalog.clone(), sender, stop.clone()));
        for _ in 0..n_changes {
            timeout(Duration::from_secs(10), changes.recv()).await.unwrap().unwrap();
        }
        while bench.bus.lag(GROUP, Topic::Deploys).await.unwrap() > 0 {
            sleep(Duration::from_millis(5)).await;
        }
        stop.cancel();
        timeout(Duration::from_secs(10), task).await.unwrap().unwrap().unwrap();
        assert_eq!(catalog.deploy("b").unwrap().unwrap().version.as_deref(), Some("2"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_bus_ends_it_with_an_error() {
    let bench = Bench::new().await;
    bench.publish([event("a", "1", 100, Status::Started)]).await;
    bench.bus.clone().close().await.unwrap();
    let ended = timeout(Duration::from_secs(10), bench.task).await.unwrap().unwrap();
    assert!(matches!(ended, Err(ProjectorError::Bus(BusError::Closed))), "{ended:?}");
}
