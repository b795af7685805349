use deployline_schemas::{
    Annotation, Silence,
    blame::Onset,
    deploy::{Deploy, DeployEvent, Kind},
    incident::{Incident, IncidentState},
    time::UnixMillis,
};
use tempfile::TempDir;

use super::*;

fn catalog() -> (TempDir, Catalog) {
    let dir = TempDir::new().unwrap();
    let catalog = Catalog::open(dir.path()).unwrap();
    (dir, catalog)
}

/// A deploy from the words of its event; times in Unix seconds.
fn deploy(json: &str) -> Deploy {
    serde_json::from_str::<DeployEvent>(json).unwrap().into_deploy().unwrap()
}

fn numbered(i: usize) -> Deploy {
    let (service, environment) = (i % 7, ["production", "staging"][i % 2]);
    let kind = if i.is_multiple_of(50) { "rollback" } else { "deploy" };
    deploy(&format!(
        r#"{{"id": "d{i:06}", "service": "s{service}", "environment": "{environment}", "kind": "{kind}", "version": "v{i}",
            "started_at": {}, "finished_at": {}}}"#,
        1_700_000_000 + i * 100,
        1_700_000_050 + i * 100
    ))
}

fn ids(page: &Page<Deploy>) -> String {
    page.items.iter().map(|deploy| deploy.id.as_str()).collect::<Vec<_>>().join(" ")
}

fn seconds(seconds: i64) -> Option<UnixMillis> {
    Some(UnixMillis::from_secs(seconds))
}

#[test]
fn events_of_one_deploy_add_up_in_any_order() {
    let (_dir, catalog) = catalog();
    let start = deploy(r#"{"id": "x", "service": "a", "started_at": 100, "status": "started"}"#);
    let end = deploy(r#"{"id": "x", "service": "a", "finished_at": 160, "status": "succeeded"}"#);
    assert!(matches!(catalog.apply_deploy(&end).unwrap(), Applied::New(_)));
    assert!(matches!(catalog.apply_deploy(&start).unwrap(), Applied::Changed(_)));
    assert_eq!(catalog.apply_deploys(&[start, end]).unwrap(), [Applied::Same, Applied::Same]);
    let known = catalog.deploy("x").unwrap().unwrap();
    assert_eq!((known.started_at, known.finished_at), (UnixMillis::from_secs(100), seconds(160)));
    assert_eq!(catalog.deploy("y").unwrap(), None);
}

#[test]
fn pages_follow_each_other_while_deploys_come_in() {
    let (_dir, catalog) = catalog();
    catalog.apply_deploys(&(0..100).map(numbered).collect::<Vec<_>>()).unwrap();
    let mut query = DeployQuery { limit: 7, service: Some("s3".to_owned()), ..DeployQuery::default() };
    let mut seen = Vec::new();
    loop {
        let page = catalog.deploys(&query).unwrap();
        seen.extend(page.items.iter().map(|deploy| deploy.id.clone()));
        // One that is newer than the cursor must shift nothing.
        catalog.apply_deploy(&numbered(1000 + seen.len() * 7 + 3)).unwrap();
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => break,
        }
    }
    let expected: Vec<String> = (0..100).rev().filter(|i| i % 7 == 3).map(|i| format!("d{i:06}")).collect();
    assert_eq!(seen, expected);
    query.cursor = Some("nonsense".to_owned());
    assert!(catalog.deploys(&query).unwrap_err().is_rejection());
}

#[test]
fn every_filter_narrows_the_list() {
    let (_dir, catalog) = catalog();
    catalog.apply_deploys(&(0..200).map(numbered).collect::<Vec<_>>()).unwrap();
    let all = DeployQuery { limit: MAX_PAGE, ..DeployQuery::default() };
    let count = |query: DeployQuery| catalog.deploys(&query).unwrap().items.len();
    assert_eq!(count(all.clone()), 200);
    assert_eq!(count(DeployQuery { environment: Some("staging".to_owned()), ..all.clone() }), 100);
    assert_eq!(count(DeployQuery { kind: Some(Kind::Rollback), ..all.clone() }), 4);
    let rollbacks_of = |service: &str| DeployQuery {
        kind: Some(Kind::Rollback),
        service: Some(service.to_owned()),
        environment: Some("production".to_owned()),
        ..all.clone()
    };
    assert_eq!(ids(&catalog.deploys(&rollbacks_of("s1")).unwrap()), "d000050");
    assert_eq!(count(rollbacks_of("nobody")), 0);
    assert_eq!(catalog.services().unwrap().join(" "), "s0 s1 s2 s3 s4 s5 s6");
}

#[test]
fn a_deploy_is_an_interval() {
    let (_dir, catalog) = catalog();
    let day = 86_400;
    for (id, rest) in [
        ("short", r#""started_at": 1000, "finished_at": 1100"#.to_owned()),
        ("open", r#""started_at": 2000, "status": "started""#.to_owned()),
        ("canary", format!(r#""started_at": 500, "finished_at": {}"#, 500 + 9 * day)),
    ] {
        catalog.apply_deploy(&deploy(&format!(r#"{{"id": "{id}", "service": "a", {rest}}}"#))).unwrap();
    }
    let between = |from, until| {
        let query = DeployQuery { from: seconds(from), until: seconds(until), limit: 10, ..DeployQuery::default() };
        ids(&catalog.deploys(&query).unwrap())
    };
    assert_eq!(between(1050, 1060), "short canary");
    assert_eq!(between(1101, 1900), "canary");
    assert_eq!(between(3000, 4000), "open canary");
    assert_eq!(between(5 * day, 6 * day), "canary", "one without an end is not taken to last for ever");
    assert_eq!(between(10 * day, 11 * day), "");
    assert_eq!(between(0, 500), "");
}

#[test]
fn an_overlap_pages_through_lasting_deploys_too() {
    let (_dir, catalog) = catalog();
    let lasting = |i: i64| {
        deploy(&format!(r#"{{"id": "l{i}", "service": "a", "started_at": {i}, "finished_at": {}}}"#, 50 * 86_400))
    };
    catalog.apply_deploys(&(1..=5).map(lasting).collect::<Vec<_>>()).unwrap();
    catalog
        .apply_deploy(&deploy(r#"{"id": "n", "service": "a", "started_at": 4000000, "finished_at": 4000001}"#))
        .unwrap();
    let mut query = DeployQuery { from: seconds(3_999_000), limit: 2, ..DeployQuery::default() };
    let mut pages = Vec::new();
    loop {
        let page = catalog.deploys(&query).unwrap();
        pages.push(ids(&page));
        query.cursor = page.next;
        if query.cursor.is_none() {
            break;
        }
    }
    assert_eq!(pages, ["n l5", "l4 l3", "l2 l1"]);
}

#[test]
fn the_previous_version_is_the_last_that_succeeded_there_before() {
    let (_dir, catalog) = catalog();
    let add = |id: &str, at: i64, rest: &str| {
        let json = format!(r#"{{"id": "{id}", "service": "a", "version": "v-{id}", "started_at": {at}, {rest}}}"#);
        let deploy = deploy(&json);
        catalog.apply_deploy(&deploy).unwrap();
        deploy
    };
    add("good", 100, r#""status": "succeeded""#);
    add("failed", 200, r#""status": "failed""#);
    add("config", 300, r#""status": "succeeded", "kind": "config""#);
    add("elsewhere", 400, r#""status": "succeeded", "environment": "staging""#);
    let next = add("next", 500, r#""status": "started""#);
    assert_eq!(catalog.previous_version(&next).unwrap().as_deref(), Some("v-good"));
    let told = add("told", 600, r#""previous_version": "v0""#);
    assert_eq!(catalog.previous_version(&told).unwrap().as_deref(), Some("v0"));
}

fn incident(id: &str, revision: u32, state: IncidentState, opened_s: i64, ended_at: Option<UnixMillis>) -> Incident {
    let opened_at = UnixMillis::from_secs(opened_s);
    Incident {
        id: id.to_owned(),
        revision,
        state,
        service: "checkout".to_owned(),
        environment: "production".to_owned(),
        opened_at,
        changed_at: UnixMillis::from_secs(opened_s + i64::from(revision)),
        ended_at,
        onset: Onset { at: opened_at, earliest: opened_at, latest: opened_at },
        signals: Vec::new(),
        suspects: Vec::new(),
        mended_by: None,
        feedback: Vec::new(),
        summary: format!("revision {revision}"),
    }
}

#[test]
fn each_revision_counts_once_and_a_late_one_does_not_turn_back() {
    let (_dir, catalog) = catalog();
    let confirmed = incident("i", 1, IncidentState::Confirmed, 100, None);
    let recovered = incident("i", 2, IncidentState::Recovered, 100, seconds(200));
    assert!(catalog.apply_incident(&recovered).unwrap());
    assert_eq!(catalog.apply_incidents(&[confirmed.clone(), confirmed.clone()]).unwrap(), [true, false]);
    assert_eq!(catalog.incident("i").unwrap(), Some(recovered.clone()));
    assert_eq!(catalog.incident_revisions("i").unwrap(), [confirmed, recovered]);
    assert_eq!(catalog.open_incidents().unwrap(), []);
}

#[test]
fn incidents_are_listed_as_intervals() {
    let (_dir, catalog) = catalog();
    let open = incident("open", 1, IncidentState::Confirmed, 100, None);
    let over = incident("over", 2, IncidentState::Recovered, 200, seconds(300));
    catalog.apply_incidents(&[open.clone(), over]).unwrap();
    let listed = |query: IncidentQuery| {
        let page = catalog.incidents(&IncidentQuery { limit: 10, ..query }).unwrap();
        page.items.iter().map(|incident| incident.id.as_str()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(listed(IncidentQuery::default()), "over open");
    assert_eq!(listed(IncidentQuery { from: seconds(301), ..IncidentQuery::default() }), "open");
    assert_eq!(listed(IncidentQuery { until: seconds(200), ..IncidentQuery::default() }), "open");
    assert_eq!(listed(IncidentQuery { state: Some(IncidentState::Recovered), ..IncidentQuery::default() }), "over");
    assert_eq!(listed(IncidentQuery { service: Some("cart".to_owned()), ..IncidentQuery::default() }), "");
    assert_eq!(catalog.open_incidents().unwrap(), [open]);
}

#[test]
fn a_settled_delivery_is_not_claimed_again_even_after_a_restart() {
    let (dir, catalog) = catalog();
    assert_eq!(catalog.claim("i/1/push").unwrap(), Claim::Claimed);
    drop(catalog);
    let catalog = Catalog::open(dir.path()).unwrap();
    assert_eq!(catalog.claim("i/1/push").unwrap(), Claim::Claimed, "a crash before it was settled");
    catalog.settle("i/1/push", "sent").unwrap();
    catalog.settle("i/1/push", "failed").unwrap();
    assert_eq!(catalog.claim("i/1/push").unwrap(), Claim::AlreadySettled);
    assert_eq!(catalog.outcome("i/1/push").unwrap().as_deref(), Some("sent"));
    assert_eq!(catalog.outcome("i/2/push").unwrap(), None);
}

#[test]
fn of_an_annotation_the_last_word_holds_in_whatever_order_it_comes() {
    let annotation = |text: &str, changed_at: i64, is_deleted: bool| Annotation {
        text: text.to_owned(),
        changed_at: UnixMillis(changed_at),
        is_deleted,
        ..serde_json::from_str(r#"{"id": "a", "number": 7, "source": "api", "started_at": 100000, "changed_at": 0}"#)
            .unwrap()
    };
    let said = [
        annotation("first", 1, false),
        annotation("second", 2, false),
        annotation("third", 2, false),
        annotation("gone", 3, true),
    ];
    let query = AnnotationQuery { limit: 10, ..AnnotationQuery::default() };
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [2, 0, 1]] {
        let (_dir, catalog) = catalog();
        order.iter().for_each(|index| catalog.apply_annotations(&said[*index..=*index]).unwrap());
        let listed = catalog.annotations(&query).unwrap().items;
        assert_eq!(listed.iter().map(|one| one.text.as_str()).collect::<Vec<_>>(), ["third"], "{order:?}");
        let outside = AnnotationQuery { until: Some(UnixMillis(100_000)), ..query.clone() };
        assert!(catalog.annotations(&outside).unwrap().items.is_empty());
        catalog.apply_annotations(&[said[3].clone(), said[1].clone()]).unwrap();
        assert!(catalog.annotations(&query).unwrap().items.is_empty());
        assert!(catalog.annotation(7).unwrap().is_some_and(|one| one.is_deleted));
    }
}

#[test]
fn a_checkpoint_holds_the_last_value() {
    let (_dir, catalog) = catalog();
    assert_eq!(catalog.checkpoint("a").unwrap(), None);
    catalog.set_checkpoint("a", "1").unwrap();
    catalog.set_checkpoint("a", "2").unwrap();
    assert_eq!(catalog.checkpoint("a").unwrap().as_deref(), Some("2"));
}

#[test]
fn a_catalog_of_a_newer_release_is_left_alone() {
    let (dir, catalog) = catalog();
    drop(catalog);
    Connection::open(dir.path().join("catalog.sqlite")).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(Catalog::open(dir.path()), Err(StoreError::Newer { found: 99, .. })));
}

/// SQLite's own plan for every set of filters: each stretch is found in an index that decides all of it, and only the
/// rows of a page are ever sorted, which is what keeps a page of a million deploys within its 10 ms.
#[test]
fn no_list_sorts_or_scans() {
    let (dir, _catalog) = catalog();
    let connection = Connection::open(dir.path().join("catalog.sqlite")).unwrap();
    let given = |text: &str, is_set: bool| is_set.then(|| text.to_owned());
    for (service, environment, index, filters) in [
        (false, false, "deploys_by_kind", ""),
        (true, false, "deploys_by_service", "service=? AND "),
        (false, true, "deploys_by_environment", "environment=? AND "),
        (true, true, "deploys_by_place", "service=? AND environment=? AND "),
    ] {
        for kind in [None, Some(Kind::Flag)] {
            let query = DeployQuery {
                service: given("s", service),
                environment: given("e", environment),
                kind,
                ..DeployQuery::default()
            };
            let plan = plan(&connection, &deploys::list_sql(&query, deploys::Past::Recent));
            let search = format!(
                "SEARCH deploys USING COVERING INDEX {index} ({filters}kind=? AND started_at>? AND started_at<?)"
            );
            let n_stretches = if kind.is_some() { 1 } else { 6 };
            assert_eq!(plan.iter().filter(|step| **step == search).count(), n_stretches, "{plan:#?}");
            assert!(plan.iter().all(|step| !step.starts_with("SCAN deploys")), "{plan:#?}");
        }
    }
    let lasting = plan(&connection, &deploys::list_sql(&DeployQuery::default(), deploys::Past::Lasting));
    assert!(lasting.iter().any(|step| step.contains("INDEX deploys_that_lasted (started_at")), "{lasting:#?}");
}

fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    statement.raw_query().mapped(|row| row.get(3)).map(Result::unwrap).collect()
}

#[test]
fn every_kind_is_listed_without_asking_for_it() {
    let (_dir, catalog) = catalog();
    let kinds = ["deploy", "rollback", "config", "flag", "migration", "infra"];
    for (at, kind) in kinds.into_iter().enumerate() {
        // A kind that is added here must be added to the list of stretches too.
        match serde_json::from_value(kind.into()).unwrap() {
            Kind::Deploy | Kind::Rollback | Kind::Config | Kind::Flag | Kind::Migration | Kind::Infra => {}
        }
        let json = format!(r#"{{"id": "{kind}", "service": "a", "kind": "{kind}", "started_at": {}}}"#, 100 + at);
        catalog.apply_deploy(&deploy(&json)).unwrap();
    }
    let all = catalog.deploys(&DeployQuery { limit: 10, ..DeployQuery::default() }).unwrap();
    assert_eq!(ids(&all), "infra migration flag config rollback deploy");
}

/// The same list from SQL and from all deploys in memory, for every set of filters and page by page.
#[test]
fn pages_equal_a_filtered_sort_of_everything() {
    let (_dir, catalog) = catalog();
    let mut all: Vec<Deploy> = (0..300).map(numbered).collect();
    // Some at the same moment, so that ids decide.
    all.iter_mut().step_by(3).for_each(|deploy| deploy.started_at = UnixMillis::from_secs(1_700_010_000));
    catalog.apply_deploys(&all).unwrap();
    all.sort_by(|a, b| (b.started_at, &b.id).cmp(&(a.started_at, &a.id)));
    for bits in 0..32u8 {
        let set = |bit: u8| bits & (1 << bit) != 0;
        let query = DeployQuery {
            service: set(0).then(|| "s2".to_owned()),
            environment: set(1).then(|| "staging".to_owned()),
            kind: set(2).then_some(Kind::Rollback),
            from: set(3).then(|| UnixMillis::from_secs(1_700_008_020)),
            until: set(4).then(|| UnixMillis::from_secs(1_700_020_000)),
            limit: 7,
            cursor: None,
        };
        let matches = |deploy: &&Deploy| {
            query.service.as_ref().is_none_or(|service| *service == deploy.service)
                && query.environment.as_ref().is_none_or(|environment| *environment == deploy.environment)
                && query.kind.is_none_or(|kind| kind == deploy.kind)
                && query.from.is_none_or(|from| deploy.finished_at >= Some(from) || deploy.started_at >= from)
                && query.until.is_none_or(|until| deploy.started_at < until)
        };
        let expected: Vec<&str> = all.iter().filter(matches).map(|deploy| deploy.id.as_str()).collect();
        let (mut found, mut page_of) = (Vec::new(), query.clone());
        loop {
            let page = catalog.deploys(&page_of).unwrap();
            found.extend(page.items.into_iter().map(|deploy| deploy.id));
            page_of.cursor = page.next;
            if page_of.cursor.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "{query:?}");
    }
}

#[test]
fn a_batch_reads_its_own_writes_and_fails_whole() {
    let (_dir, catalog) = catalog();
    let first = deploy(
        r#"{"id": "a", "service": "a", "version": "1", "started_at": 100, "finished_at": 110, "status": "succeeded"}"#,
    );
    let second = deploy(r#"{"id": "b", "service": "a", "version": "2", "started_at": 200}"#);
    let failed: Result<(), StoreError> = catalog.batch(|batch| {
        batch.apply_deploy(&first)?;
        assert_eq!(batch.predecessor(&second)?.map(|first| first.id).as_deref(), Some("a"));
        Err(StoreError::Query("no".to_owned()))
    });
    assert!(failed.is_err());
    assert_eq!(catalog.deploy("a").unwrap(), None);
}

#[test]
fn silences_are_kept_changed_and_found_while_they_hold() {
    let (_dir, catalog) = catalog();
    let silence = |id: &str, from, until| Silence {
        id: id.to_owned(),
        service: Some("check*".to_owned()),
        environment: None,
        deploy_id: None,
        from: UnixMillis::from_secs(from),
        until: UnixMillis::from_secs(until),
        by: Some("ana".to_owned()),
        note: None,
        created_at: UnixMillis::from_secs(from),
    };
    catalog.put_silence(&silence("one", 100, 200)).unwrap();
    catalog.put_silence(&silence("two", 150, 300)).unwrap();
    let at = |second| {
        let found = catalog.silences_at(UnixMillis::from_secs(second)).unwrap();
        found.into_iter().map(|silence| silence.id).collect::<Vec<_>>()
    };
    assert_eq!(
        (at(99), at(120), at(160), at(250)),
        (vec![], vec!["one".to_owned()], vec!["two".to_owned(), "one".to_owned()], vec!["two".to_owned()])
    );
    catalog.put_silence(&Silence { until: UnixMillis::from_secs(160), ..silence("two", 150, 300) }).unwrap();
    assert_eq!(at(170), ["one"]);
    assert_eq!(catalog.silence("two").unwrap().unwrap().until, UnixMillis::from_secs(160));
    assert_eq!(catalog.silence("three").unwrap(), None);
    let query = SilenceQuery { limit: 1, ..SilenceQuery::default() };
    let first = catalog.silences(&query).unwrap();
    let second = catalog.silences(&SilenceQuery { cursor: first.next, ..query }).unwrap();
    assert_eq!((first.items[0].id.as_str(), second.items[0].id.as_str(), second.next), ("two", "one", None));
}
