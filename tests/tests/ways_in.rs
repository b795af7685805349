//! Deploys that do not come as a hook: on a metrics port, in a log, on a topic of somebody else's; and what of them
//! cannot be understood, found and driven again.

#![allow(clippy::unwrap_used, reason = "the helpers of a test panic as the test does")]

use std::{
    fs::{self, OpenOptions},
    io::Write,
    net::{TcpStream, UdpSocket},
    path::Path,
    time::Duration,
};

use anyhow::{Context, ensure};
use deployline_bus::{BusConfig, BusKind, Record};
use deployline_schemas::topic::Topic;
use deployline_tests::{
    server::{Bus, Server, Settings},
    shop::now,
    wait::eventually,
};
use serde_json::{Value, json};

/// Longest wait for a deploy to come into the catalog; a Kafka group has to form first.
const VISIBLE: Duration = Duration::from_secs(45);

/// The deploys of a service once there are so many.
#[track_caller]
fn deploys_of(server: &Server, service: &str, n: usize) -> Vec<Value> {
    let found = eventually(&format!("{n} deploys of {service}"), VISIBLE, || {
        let page = server.deploys(&[("service", service)])?;
        let deploys = page["deploys"].as_array().context("a page has deploys")?.clone();
        ensure!(deploys.len() <= n, "more than {n} deploys of {service}: {page}");
        Ok((deploys.len() == n).then_some(deploys))
    });
    found.unwrap()
}

#[test]
fn metrics_that_announce_deploys_become_deploys_and_stay_series() {
    let server = Server::start(&Settings { flush_s: 1, ..Settings::default() }).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let packet = "web.requests:1|c\ndeploys.web.production:1|c\n_e{11,2}:deploy cart|v2|#service:cart,env:prod\n";
    socket.send_to(packet.as_bytes(), server.ports.statsd).unwrap();
    let at_s = now().as_secs();
    let mut carbon = TcpStream::connect(server.ports.carbon).unwrap();
    let lines = format!("deploylong.search.princess 42 {at_s}\ndeploys.search.staging 0 {at_s}\nweb.cpu 1 {at_s}\n");
    carbon.write_all(lines.as_bytes()).unwrap();

    let web = &deploys_of(&server, "web", 1)[0];
    assert_eq!(
        (&web["environment"], &web["source"], &web["status"]),
        (&json!("production"), &json!("series"), &json!("succeeded"))
    );
    assert_eq!(deploys_of(&server, "cart", 1)[0]["source"], "dogstatsd");
    let search = &deploys_of(&server, "search", 1)[0];
    assert_eq!(search["environment"], "princess");
    let took = |name: &str| search[name].as_str().unwrap().parse::<deployline_schemas::UnixMillis>().unwrap();
    assert_eq!(took("finished_at").0 - took("started_at").0, 42_000);
    for series in ["stats.counters.deploys.web.production.count", "deploylong.search.princess"] {
        let seen = || {
            let query = [("target", series), ("from", "-5min"), ("format", "json")];
            let found: Value = server.get("/render", &query)?.json()?;
            let points = found[0]["datapoints"].as_array().cloned().unwrap_or_default();
            Ok(points.iter().any(|point| point[0].as_f64().is_some_and(|value| value > 0.0)).then_some(()))
        };
        eventually(&format!("{series} as a series"), VISIBLE, seen).unwrap();
    }
}

fn append(log: &Path, text: &str) {
    OpenOptions::new().create(true).append(true).open(log).unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_log_is_followed_through_rotation_restart_and_crash_with_nothing_lost_or_doubled() {
    let folder = tempfile::tempdir().unwrap();
    let (log, revisions) = (folder.path().join("deployinator.log"), folder.path().join("revisions.log"));
    let more = format!(
        "[[tail]]\npath = {log:?}\nsource = \"deployinator\"\n\
         [[tail]]\npath = {revisions:?}\nsource = \"capistrano\"\nservice = \"shop\"\nenvironment = \"production\"\n",
    );
    let line = |n: u32| {
        format!("2026-11-23 14:0{n}:00|PRODUCTION|ana|web Production deploy: old a{n}, new b{n}|web|run-{n}.html\n")
    };
    append(&log, &line(0));
    let mut server = Server::start(&Settings { sections: more, ..Settings::default() }).unwrap();
    // The default is what comes from now on; a file that appears is new from its first line.
    append(&log, &line(1));
    append(&log, &line(2)[..40]);
    append(&revisions, "Branch main (at 7c52f0d) deployed as release 20261123140000 by bo\n");
    assert_eq!(deploys_of(&server, "web", 1)[0]["version"], "b1");
    assert_eq!(deploys_of(&server, "shop", 1)[0]["version"], "7c52f0d");

    append(&log, &line(2)[40..]);
    deploys_of(&server, "web", 2);
    server.kill9().unwrap();
    // While nobody looks: more lines, one of them nonsense, a rotation, and lines in the new file.
    append(&log, &format!("{}nonsense\n", line(3)));
    fs::rename(&log, folder.path().join("deployinator.log.1")).unwrap();
    append(&log, &line(4));
    server.restart().unwrap();
    append(&log, &line(5));
    let versions: Vec<Value> = deploys_of(&server, "web", 5).iter().map(|deploy| deploy["version"].clone()).collect();
    assert_eq!(versions, [json!("b5"), json!("b4"), json!("b3"), json!("b2"), json!("b1")]);
    // A release that is taken back is known from the lines before.
    append(&revisions, "Branch main (at 9bc1f2e) deployed as release 20261123150000 by bo\n");
    deploys_of(&server, "shop", 2);
    append(&revisions, "bo rolled back to release 20261123140000\n");
    let rollback = &deploys_of(&server, "shop", 3)[0];
    assert_eq!((&rollback["kind"], &rollback["version"]), (&json!("rollback"), &json!("7c52f0d")));
    assert_eq!(rollback["rollback_of"], "capistrano:shop:production:20261123150000");

    let listed = server.cli(&["quarantine", "list", "--source", "deployinator", "--json"]).unwrap();
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed["quarantined"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["quarantined"][0]["reason"], "malformed_body");
}

#[test]
fn a_start_without_an_end_expires_and_says_so() {
    let server = Server::start(&Settings::default()).unwrap();
    let begun = |id: &str, hours: u64| {
        let at = now().minus(Duration::from_secs(hours * 3600));
        let event = json!({ "id": id, "service": "web", "started_at": at, "status": "started" });
        assert_eq!(server.post("/api/v1/deploys", &[], event.to_string().as_bytes()).unwrap().status, 202);
    };
    begun("old", 3);
    begun("new", 0);
    deploys_of(&server, "web", 2);
    let shown = |id: &str| -> Value { server.get(&format!("/api/v1/deploys/{id}"), &[]).unwrap().json().unwrap() };
    assert_eq!((&shown("old")["progress"], &shown("new")["progress"]), (&json!("expired"), &json!("running")));
    assert!(shown("new")["expires_at"].is_string());
    let page = server.get("/d/old", &[]).unwrap().text();
    assert!(page.contains("its end was never told"), "{page}");
    // An end that comes late ends it after all.
    let end = json!({ "id": "old", "service": "web", "started_at": now(), "finished_at": now(), "status": "failed" });
    server.post("/api/v1/deploys", &[], end.to_string().as_bytes()).unwrap();
    let ended = || Ok((shown("old")["progress"] == "ended").then_some(()));
    eventually("the end", VISIBLE, ended).unwrap();
}

#[test]
fn quarantine_is_listed_shown_and_driven_again_on_the_embedded_bus() {
    quarantine(Bus::Embedded);
}

#[test]
fn quarantine_is_listed_shown_and_driven_again_on_kafka() {
    quarantine(Bus::kafka().unwrap());
}

fn quarantine(bus: Bus) {
    let server = Server::start(&Settings { bus, ..Settings::default() }).unwrap();
    let refused = server.post("/api/v1/deploys", &[("x-trace", "7")], br#"{"version": "v1"}"#).unwrap();
    assert_eq!(refused.status, 422);
    let cli = |args: &[&str]| {
        let output = server.cli(args).unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (_, list, _) = cli(&["quarantine", "list"]);
    assert!(list.contains("api") && list.contains("`service` is missing"), "{list}");
    let position = list.split_whitespace().next().unwrap().to_owned();
    let (_, shown, _) = cli(&["quarantine", "show", &position]);
    assert!(
        shown.contains("missing_field") && shown.contains("x-trace: 7") && shown.contains(r#"{"version": "v1"}"#),
        "{shown}"
    );
    let (is_redriven, _, why) = cli(&["quarantine", "redrive", &position]);
    assert!(!is_redriven && why.contains("`service` is missing"), "{why}");
    let (is_redriven, _, why) = cli(&["quarantine", "redrive", "0-999999"]);
    assert!(!is_redriven && why.contains("0-999999"), "{why}");
}

#[test]
fn cloudevents_on_a_topic_of_others_become_deploys_and_the_rest_is_quarantined() {
    let bus = Bus::kafka().unwrap();
    let Bus::Kafka { broker, prefix } = &bus else { unreachable!("it is on Kafka") };
    let foreign = format!("{prefix}-theirs");
    let topic = Topic::Deploys.name(&foreign);
    let more = format!("[[topic]]\nnames = [{topic:?}]\n");
    let mut server = Server::start(&Settings { bus: bus.clone(), sections: more, ..Settings::default() }).unwrap();
    let write = |records: Vec<Record>| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let config = BusConfig {
            kind: BusKind::Kafka,
            brokers: vec![broker.clone()],
            prefix: foreign.clone(),
            timeout: Duration::from_secs(20),
            ..BusConfig::default()
        };
        let folder = tempfile::tempdir().unwrap();
        runtime.block_on(async {
            let writer = deployline_bus::Bus::open(&config, folder.path()).await.unwrap();
            writer.publish(Topic::Deploys, records).await.unwrap();
            writer.close().await.unwrap();
        });
    };
    let data = |version: &str| json!({ "service": "web", "version": version, "started_at": now() });
    let binary = |id: &str, version: &str| {
        let record = Record::new("web", data(version).to_string()).with_header("content-type", "application/json");
        let attributes =
            [("ce_specversion", "1.0"), ("ce_id", id), ("ce_source", "/ci"), ("ce_type", "io.deployline.deploy.v1")];
        attributes.into_iter().fold(record, |record, (name, value)| record.with_header(name, value))
    };
    let structured = |id: &str, version: &str| {
        let event = json!({ "specversion": "1.0", "id": id, "source": "/ci", "type": "io.deployline.deploy.v1", "data": data(version) });
        Record::new("web", event.to_string()).with_header("content-type", "application/cloudevents+json; charset=UTF-8")
    };
    write(vec![binary("1", "a"), structured("2", "b"), Record::new("x", "no event"), structured("2", "b")]);
    deploys_of(&server, "web", 2);

    server.kill9().unwrap();
    write(vec![structured("3", "c")]);
    server.restart().unwrap();
    deploys_of(&server, "web", 3);
    let listed: Value = server.get("/api/v1/quarantine", &[]).unwrap().json().unwrap();
    let entries = listed["quarantined"].as_array().unwrap();
    assert!(!entries.is_empty() && entries.iter().all(|entry| entry["reason"] == "malformed_body"), "{listed}");
    let position = entries[0]["position"].as_str().unwrap();
    let shown: Value = server.get(&format!("/api/v1/quarantine/{position}"), &[]).unwrap().json().unwrap();
    assert_eq!((&shown["path"], &shown["body"]), (&json!(format!("topic/{topic}")), &json!("no event")));
    assert_eq!((&shown["origin"]["topic"], &shown["origin"]["offset"]), (&json!(topic), &json!("2")));
}

#[test]
fn another_host_s_name_is_not_answered_for() {
    let server = Server::start(&Settings::default()).unwrap();
    let answer = |host: &str| {
        let answer = server.post("/api/v1/deploys", &[("host", host)], b"{}").unwrap();
        (answer.status, answer.json_body().unwrap()["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(answer("evil.example"), (421, "host_not_allowed".to_owned()));
    assert_eq!(answer("localhost"), (422, "missing_field".to_owned()));
}
