//! Hooks as senders send them: more than once, broken, forged, too large. Each gets its documented answer, and the
//! process lives.

use std::{thread, time::Duration};

use anyhow::{Context, ensure};
use deployline_schemas::deploy::Status;
use deployline_tests::{
    github::{Deployment, signature},
    server::{Answer, GITHUB_SECRET, Server, Settings},
    shop::now,
    wait::eventually,
};

/// Longest wait for a deploy to come through the bus into the catalog.
const VISIBLE: Duration = Duration::from_secs(10);

#[test]
fn the_same_delivery_three_times_gives_one_deploy() {
    let server = Server::start(&Settings::default()).unwrap();
    let deployment = Deployment::new(1, "checkout", "ana", now());
    let delivery = deployment.status("success", now());
    let answers: Vec<Answer> = (0..3).map(|_| server.deliver(&delivery).unwrap()).collect();
    assert!(answers.iter().all(|answer| answer.status == 202), "{answers:?}");

    // A later deploy of the same service comes after them on the bus: once it is there, so are they.
    let later = Deployment::new(2, "checkout", "bo", now());
    server.deliver(&later.status("success", now())).unwrap();
    let ids = listed(&server, &later).unwrap();
    assert_eq!(ids, [later.deploy_id(), deployment.deploy_id()]);
}

#[test]
fn deliveries_that_come_at_once_or_in_the_wrong_order_give_one_deploy() {
    let server = Server::start(&Settings::default()).unwrap();
    let deployment = Deployment::new(3, "cart", "ana", now());
    let deliveries =
        [deployment.status("success", now()), deployment.status("in_progress", now()), deployment.created()];
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                deliveries.iter().for_each(|delivery| assert_eq!(server.deliver(delivery).unwrap().status, 202))
            });
        }
    });
    let later = Deployment::new(4, "cart", "bo", now());
    server.deliver(&later.status("success", now())).unwrap();
    assert_eq!(listed(&server, &later).unwrap(), [later.deploy_id(), deployment.deploy_id()]);
    assert_eq!(server.deploy(&deployment.deploy_id()).unwrap().status, Status::Succeeded);
}

#[test]
fn what_cannot_be_taken_is_refused_with_a_code_and_the_process_lives() {
    let mut server = Server::start(&Settings::default()).unwrap();
    let sound = Deployment::new(5, "checkout", "ana", now()).created();
    let cut = &sound.body[..sound.body.len() / 2];
    let huge = vec![b' '; 10 << 20];
    let forged = signature(&sound.body, "a guess");
    let deep = "[".repeat(100_000).into_bytes();
    let signed = |body: &[u8]| signature(body, GITHUB_SECRET);
    let without_sha = String::from_utf8_lossy(&sound.body).replace("\"sha\":", "\"hash\":").into_bytes();

    refused(&server, &sound.body, Some(forged), 401, "signature_wrong");
    refused(&server, &sound.body, None, 401, "signature_missing");
    refused(&server, cut, Some(signed(cut)), 400, "malformed_body");
    refused(&server, b"\xff\xfe", Some(signed(b"\xff\xfe")), 400, "malformed_body");
    refused(&server, &deep, Some(signed(&deep)), 400, "nested_too_deep");
    refused(&server, &without_sha, Some(signed(&without_sha)), 422, "missing_field");
    refused(&server, &huge, Some(signed(&huge)), 413, "body_too_large");
    let unknown = server.post("/hooks/teletype", &[], b"{}").unwrap();
    assert_eq!((unknown.status, code(&unknown)), (404, "unknown_source".to_owned()));

    assert!(server.is_alive().unwrap());
    assert_eq!(server.deliver(&sound).unwrap().status, 202);
    let deploys = server.deploys(&[]).unwrap();
    assert!(deploys["deploys"].as_array().unwrap().len() <= 1, "a refused delivery left a deploy: {deploys}");
}

/// `[[hook]]` says how a source's deliveries are checked; it does not close the API that `deployline emit` speaks to.
#[test]
fn our_own_json_is_taken_beside_a_configured_hook() {
    let server = Server::start(&Settings::default()).unwrap();
    let emitted = server.cli(&["emit", "--service", "checkout", "--version", "9bc1f2e", "--actor", "ana"]).unwrap();
    assert!(emitted.status.success(), "{}", String::from_utf8_lossy(&emitted.stderr));
    let event = br#"{"service": "cart", "started_at": 1763906525, "id": "cart-1"}"#;
    assert_eq!(server.post("/api/v1/deploys", &[], event).unwrap().status, 202);
    let nobody = server.post("/api/v1/deploys", &[], br#"{"started_at": 1763906525}"#).unwrap();
    assert_eq!((nobody.status, code(&nobody)), (422, "missing_field".to_owned()), "{}", nobody.text());
    assert_eq!(nobody.json_body().unwrap()["field"], "service");
    let seen = || Ok((server.deploys(&[])?["deploys"].as_array().context("deploys")?.len() == 2).then_some(()));
    eventually("both deploys in the list", VISIBLE, seen).unwrap();
}

#[track_caller]
fn refused(server: &Server, body: &[u8], signature: Option<String>, status: u16, code_expected: &str) {
    let mut headers = vec![("x-github-event", "deployment"), ("x-github-delivery", "d-1")];
    if let Some(signature) = &signature {
        headers.push(("x-hub-signature-256", signature));
    }
    let answer = server.post("/hooks/github", &headers, body).expect("an answer");
    assert_eq!((answer.status, code(&answer).as_str()), (status, code_expected), "{}", answer.text());
    let problem = answer.json_body().expect("a problem in JSON");
    assert!(problem["message"].as_str().is_some_and(|message| !message.is_empty()), "{problem}");
}

fn code(answer: &Answer) -> String {
    answer.json_body().ok().and_then(|body| body["code"].as_str().map(str::to_owned)).unwrap_or_default()
}

/// The ids that the list holds for a service, newest first, once it holds `last`.
fn listed(server: &Server, last: &Deployment) -> anyhow::Result<Vec<String>> {
    eventually("the deploy in the list", VISIBLE, || {
        let page = server.deploys(&[("service", &last.service)])?;
        let items = page["deploys"].as_array().context("a page has deploys")?;
        let ids: Vec<String> = items.iter().filter_map(|item| item["id"].as_str().map(str::to_owned)).collect();
        ensure!(ids.len() == items.len(), "a deploy has no id");
        Ok(ids.contains(&last.deploy_id()).then_some(ids))
    })
}
