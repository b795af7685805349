//! Every hook on real payloads: what each becomes is a snapshot, read by eye when it changes.

#![allow(clippy::unwrap_used, reason = "the helpers of a test panic as the test does")]

use std::{collections::BTreeMap, path::PathBuf};

mod schema;

use deployline_ingest::hooks::{self, HookConfig, HookRequest, Received};
use deployline_schemas::{UnixMillis, cloudevent::CloudEvent};
use serde_json::{Value, json};

const RECEIVED_AT: UnixMillis = UnixMillis::from_secs(1_764_000_000);

fn data() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/hooks")
}

/// The requests of one source by file name, with the headers that the sender set.
fn requests(source: &str) -> BTreeMap<String, HookRequest> {
    let index: BTreeMap<String, Value> =
        serde_json::from_slice(&std::fs::read(data().join("INDEX.json")).unwrap()).unwrap();
    let of_source = index.into_iter().filter(|(path, _)| path.split('/').next() == Some(source));
    of_source
        .map(|(path, facts)| {
            let mut request = HookRequest::new(std::fs::read(data().join(&path)).unwrap(), RECEIVED_AT);
            for (name, value) in facts["headers"].as_object().unwrap() {
                request = request.with_header(name, value.as_str().unwrap());
            }
            (path.split('/').nth(1).unwrap().to_owned(), request)
        })
        .collect()
}

/// What a request came to, without the fields that say nothing.
fn summary(request: &HookRequest, config: &HookConfig) -> Value {
    match hooks::receive(request, config) {
        Ok(Received::Deploys { deploys, delivery_id }) => {
            let deploys: Vec<Value> =
                deploys.iter().map(|deploy| sparse(serde_json::to_value(deploy).unwrap())).collect();
            match delivery_id {
                Some(delivery_id) => json!({ "deploys": deploys, "delivery_id": delivery_id }),
                None => json!({ "deploys": deploys }),
            }
        }
        Ok(Received::Noted { annotation, reason }) => {
            json!({ "annotation": sparse(serde_json::to_value(annotation).unwrap()), "ignored": reason })
        }
        Ok(Received::Ignored { reason }) => json!({ "ignored": reason }),
        Err(error) => json!({ "refused": error.to_string(), "code": error.code(), "field": error.field() }),
    }
}

fn sparse(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(_, value)| !(value.is_null() || value == &json!([]) || value == &json!({})))
            .map(|(name, value)| (name, sparse(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(sparse).collect(),
        value => value,
    }
}

/// Every payload of a source under a configuration.
#[track_caller]
fn check(snapshot: &str, config: &HookConfig) {
    let requests = requests(&config.source);
    assert!(!requests.is_empty(), "no payloads of {}", config.source);
    let all: BTreeMap<&String, Value> =
        requests.iter().map(|(file, request)| (file, summary(request, config))).collect();
    insta::assert_json_snapshot!(snapshot, all);
}

/// The payloads of each source, as it comes without configuration.
#[test]
fn real_payloads_become_deploys() {
    for source in sources_with_payloads() {
        check(&source, &HookConfig::of(&source));
    }
}

/// The sources that have payloads.
fn sources_with_payloads() -> Vec<String> {
    let folders = std::fs::read_dir(data()).unwrap().map(Result::unwrap);
    folders
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect()
}

#[test]
fn what_becomes_of_real_payloads_is_what_the_schemas_describe() {
    let mut n_deploys = 0;
    for source in sources_with_payloads() {
        let config = serde_json::from_value(json!({ "source": source, "events": ["workflow_run", "release", "push"] }));
        let config: HookConfig = config.unwrap();
        for request in requests(&source).values() {
            let Ok(Received::Deploys { deploys, .. }) = hooks::receive(request, &config) else { continue };
            for deploy in deploys {
                n_deploys += 1;
                let told = serde_json::to_value(&deploy).unwrap();
                schema::assert_valid("deploy-1", &told);
                // What we tell can be sent back to us.
                schema::assert_valid("deploy-event-1", &told);
                schema::assert_valid(
                    "deploy-record-1",
                    &serde_json::to_value(CloudEvent::deploy(deploy, "d")).unwrap(),
                );
            }
        }
    }
    assert!(n_deploys > 50, "only {n_deploys} deploys in all payloads");
}

#[test]
#[should_panic(expected = "status: \"done\" fails `oneOf`")]
fn a_deploy_with_an_unknown_status_is_not_what_the_schema_describes() {
    let event = json!({ "id": "d", "service": "web", "started_at": 1_764_000_000 });
    let event: deployline_schemas::DeployEvent = serde_json::from_value(event).unwrap();
    let mut told = serde_json::to_value(event.into_deploy().unwrap()).unwrap();
    schema::assert_valid("deploy-1", &told);
    told["status"] = "done".into();
    schema::assert_valid("deploy-1", &told);
}

#[test]
fn github_takes_more_events_where_configured() {
    let config: HookConfig =
        serde_json::from_value(json!({ "source": "github", "events": ["workflow_run", "release", "push"] })).unwrap();
    check("github.more_events", &config);
}

#[test]
fn a_deployment_and_its_status_add_up_to_one_deploy_however_often_they_come() {
    let requests = requests("github");
    let config = HookConfig::of("github");
    let deploys = |file: &str| match hooks::receive(&requests[file], &config).unwrap() {
        Received::Deploys { deploys, .. } => deploys,
        Received::Noted { reason, .. } | Received::Ignored { reason } => panic!("{reason}"),
    };
    let mut deploy = deploys("deployment.dotcom.base.json").remove(0);
    for file in
        ["deployment_status.dotcom.base.json", "deployment.dotcom.base.json", "deployment_status.dotcom.base.json"]
    {
        let other = deploys(file).remove(0);
        assert_eq!(deploy.id, other.id);
        deploy.absorb(&other);
    }
    assert_eq!(deploy.id, "github:Codertocat/Hello-World:145988746");
    assert_eq!(deploy.started_at.to_string(), "2019-05-15T15:20:53.000Z");
    assert_eq!(deploy.finished_at.unwrap().to_string(), "2019-05-15T15:20:55.000Z");
}
