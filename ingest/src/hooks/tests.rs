use proptest::prelude::*;
use serde_json::json;

use super::*;
use deployline_schemas::UnixMillis;

const NOW: UnixMillis = UnixMillis::from_secs(1_764_000_000);

fn config(json: serde_json::Value) -> HookConfig {
    serde_json::from_value(json).unwrap()
}

fn api(body: &str) -> Result<Received, HookError> {
    receive(&HookRequest::new(body.to_owned(), NOW), &HookConfig::of("api"))
}

fn deploys(received: Result<Received, HookError>) -> Vec<Deploy> {
    match received.unwrap() {
        Received::Deploys { deploys, .. } => deploys,
        Received::Noted { reason, .. } | Received::Ignored { reason } => panic!("{reason}"),
    }
}

#[track_caller]
fn refused(body: &str, code: &str, field: Option<&str>) {
    let error = api(body).unwrap_err();
    assert_eq!((error.code(), error.field()), (code, field), "{error}");
}

#[test]
fn our_own_json_is_refused_with_the_field_at_fault() {
    refused("", "malformed_body", None);
    refused("{", "malformed_body", None);
    refused("7", "malformed_body", None);
    refused(&"[".repeat(100_000), "nested_too_deep", None);
    refused(r#"{"started_at": 1764000000}"#, "missing_field", Some("service"));
    refused(r#"{"service": "a"}"#, "missing_field", Some("started_at"));
    refused(r#"{"service": "a", "started_at": "soon"}"#, "invalid_field", Some("started_at"));
    refused(r#"{"service": "a", "started_at": -5}"#, "invalid_field", Some("started_at"));
    refused(r#"{"service": "a", "started_at": 1, "live_at": 4102444800}"#, "invalid_field", Some("live_at"));
    refused(r#"{"service": "a", "started_at": 1, "kind": "party"}"#, "invalid_field", Some("kind"));
    refused(r#"{"service": "a", "started_at": 1, "commits": [{}]}"#, "invalid_field", Some("commits"));
    refused(r#"[{"service": "a", "started_at": 1}, {"service": "a"}]"#, "missing_field", Some("1.started_at"));
    refused(&format!(r#"{{"service": "{}", "started_at": 1}}"#, "x".repeat(300)), "invalid_field", Some("service"));
    refused(
        &format!("[{}]", vec!["{\"service\":\"a\",\"started_at\":1}"; MAX_EVENTS + 1].join(",")),
        "too_many_events",
        None,
    );
}

#[test]
fn a_body_beyond_the_limit_is_not_looked_at() {
    let error = api(&" ".repeat(MAX_BODY_BYTES + 1)).unwrap_err();
    assert_eq!((error.code(), error.status(), error.is_authentic()), ("body_too_large", 413, false));
}

#[test]
fn a_wrong_signature_is_refused_before_the_body_is_parsed() {
    let config = config(json!({ "source": "github", "secret": "s" }));
    let error = receive(&HookRequest::new("no json", NOW), &config).unwrap_err();
    assert_eq!((error.code(), error.status(), error.is_authentic()), ("signature_missing", 401, false));
}

#[test]
fn names_are_corrected_and_environments_left_out_by_configuration() {
    let config = config(json!({
        "source": "api", "rename_service": { "shop/web": "web" }, "rename_environment": { "prd": "production" },
        "environments": ["production"],
    }));
    let receive = |body: &'static str| receive(&HookRequest::new(body, NOW), &config);
    let deploy = deploys(receive(r#"{"service": "shop/web", "environment": "prd", "started_at": 1}"#)).remove(0);
    assert_eq!(deploy.key(), "web/production");
    let staging = receive(r#"{"service": "web", "environment": "staging", "started_at": 1}"#).unwrap();
    let reason = "environment `staging` is not among this hook's `environments`".to_owned();
    assert_eq!(staging, Received::Ignored { reason });
}

#[test]
fn a_clock_that_runs_ahead_is_marked_and_one_that_lags_is_not() {
    let skew = |at: i64| {
        let body = json!({ "service": "a", "started_at": at }).to_string();
        deploys(api(&body)).remove(0).labels.remove("clock_skew_ms")
    };
    assert_eq!(skew(NOW.as_secs() + 300), None);
    assert_eq!(skew(NOW.as_secs() + 301).as_deref(), Some("301000"));
    assert_eq!(skew(NOW.as_secs() - 86_400), None);
}

#[test]
fn github_s_form_encoded_bodies_and_names_are_read() {
    let body = json!({
        "deployment": {
            "id": 7, "sha": "abc", "task": "deploy:checkout", "ref": "main", "created_at": "2025-11-24T16:00:00Z",
            "environment": "prod", "payload": "{\"previous_version\": \"abb\"}",
        },
        "repository": { "full_name": "shop/mono", "name": "mono", "html_url": "https://github.com/shop/mono" },
    });
    let form: String =
        form_urlencoded::Serializer::new(String::new()).append_pair("payload", &body.to_string()).finish();
    let request = HookRequest::new(form, NOW)
        .with_header("Content-Type", "application/x-www-form-urlencoded")
        .with_header("X-GitHub-Event", "deployment")
        .with_header("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958");
    let Received::Deploys { deploys, delivery_id } = receive(&request, &HookConfig::of("github")).unwrap() else {
        panic!("ignored");
    };
    assert_eq!(deploys[0].key(), "checkout/prod");
    assert_eq!(deploys[0].diff_url.as_deref(), Some("https://github.com/shop/mono/compare/abb...abc"));
    assert_eq!(delivery_id.as_deref(), Some("72d3162e-cc78-11e3-81ab-4c9367dc0958"));
}

#[test]
fn github_s_ping_and_inactive_are_answered_and_no_deploys() {
    let ignored = |event: &str, body: serde_json::Value| {
        let request = HookRequest::new(body.to_string(), NOW).with_header("X-GitHub-Event", event);
        matches!(receive(&request, &HookConfig::of("github")), Ok(Received::Ignored { .. }))
    };
    assert!(ignored("ping", json!({ "zen": "Keep it logically awesome." })));
    assert!(ignored("deployment_status", json!({ "deployment_status": { "state": "inactive" } })));
    assert!(ignored("star", json!({})));
}

#[test]
fn a_line_of_deployinator_is_placed_and_all_lines_or_none_are_taken() {
    let receive = |body: &'static str| receive(&HookRequest::new(body, NOW), &HookConfig::of("deployinator"));
    let line = "2012-02-15 17:02:11|PRODUCTION|alice|web Production deploy: old a, new b|web|1329325211-alice-web_production.html\n";
    let deploy = deploys(receive(line)).remove(0);
    assert_eq!(deploy.started_at.to_string(), "2012-02-15T17:00:11.000Z");
    assert_eq!(deploy.finished_at.unwrap().to_string(), "2012-02-15T17:02:11.000Z");
    assert_eq!(deploys(receive(line))[0].id, deploy.id);
    let error = receive("2012-02-15 17:02:11|PRODUCTION|a|m|web|r\nnonsense\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the body cannot be read: line 2: 1 fields, where `time|ENV|user|message|stack|runlog` has 6"
    );
    assert!(matches!(receive("2012-02-15 17:02:11|production|web|42"), Ok(Received::Ignored { .. })));
}

#[test]
fn a_mapping_reads_what_no_module_knows() {
    let config = config(json!({
        "source": "generic", "name": "shipit",
        "map": {
            "filter": { "event": ["deployed", "deploy_*"] },
            "id": "deploy.id", "service": "deploy.app | project", "environment": "=production", "version": "deploy.sha",
            "status": "deploy.state", "statuses": { "ok": "succeeded" }, "started_at": "deploy.at",
            "labels": { "region": "deploy.region" },
        },
    }));
    let receive = |body: serde_json::Value| receive(&HookRequest::new(body.to_string(), NOW), &config);
    let body = |state: &str| json!({ "event": "deploy_done", "project": "web", "deploy": { "id": 5, "sha": "abc", "state": state, "at": 1_763_999_000, "region": "eu" } });
    let deploy = deploys(receive(body("ok"))).remove(0);
    assert_eq!(
        (deploy.id.as_str(), deploy.key().as_str(), deploy.status),
        ("shipit:5", "web/production", deployline_schemas::deploy::Status::Succeeded)
    );
    assert_eq!(deploy.labels["region"], "eu");
    assert_eq!(
        receive(body("so-so")).unwrap_err().to_string(),
        "`deploy.state` cannot be used: no meaning is configured for `so-so`"
    );
    assert!(matches!(receive(json!({ "event": "built" })), Ok(Received::Ignored { .. })));
}

/// JSON that looks somewhat like what senders write: the right keys, the wrong things behind them.
fn payload() -> impl Strategy<Value = serde_json::Value> {
    let key = prop::sample::select(KEYS);
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,12}".prop_map(Into::into),
        prop::sample::select(WORDS).prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::hash_map(key.clone(), inner, 0..8).prop_map(|fields| fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect::<serde_json::Map<_, _>>()
                .into()),
        ]
    })
}

const KEYS: &[&str] = &[
    "id",
    "sha",
    "ref",
    "deployment",
    "deployment_status",
    "state",
    "status",
    "repository",
    "full_name",
    "name",
    "created_at",
    "environment",
    "object_kind",
    "project",
    "build",
    "phase",
    "scm",
    "commit",
    "content",
    "context",
    "subject",
    "type",
    "time",
    "timestamp",
    "data",
    "app",
    "metadata",
    "spec",
    "payload",
    "changes",
    "push",
    "new",
    "target",
    "hash",
    "release",
    "resource",
    "eventType",
    "event",
    "workflow",
    "pipeline",
    "attributes",
    "started_at",
    "service",
    "specversion",
    "source",
    "object",
    "kind",
    "conditions",
    "replicas",
    "updatedReplicas",
    "what",
    "tags",
    "when",
    "text",
    "title",
];
const WORDS: &[&str] = &[
    "success",
    "2021-04-28 21:50:00 +0200",
    "deployment",
    "1764000000",
    "dev.cdevents.service.deployed.0.3.0",
    "COMPLETED",
    "Deployment",
    "Rollout",
    "flag",
    "push",
    "build.finished",
    "refs/heads/main",
    "deploy",
    "service:web",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_source_panics_on_any_bytes(body in prop::collection::vec(any::<u8>(), 0..256), header in ".{0,24}") {
        for source in sources() {
            let request = HookRequest::new(body.clone(), NOW).with_header("x-github-event", &header);
            let _ = receive(&request, &HookConfig::of(source.name));
            let _ = receive(&request, &HookConfig { secret: vec![Secret::new("s")], ..HookConfig::of(source.name) });
        }
    }

    #[test]
    fn no_source_panics_on_any_json(body in payload(), event in prop::sample::select(WORDS)) {
        for source in sources() {
            let request = HookRequest::new(body.to_string(), NOW)
                .with_header("x-github-event", event)
                .with_header("x-event-key", event);
            let _ = receive(&request, &HookConfig { events: vec!["push".to_owned()], ..HookConfig::of(source.name) });
        }
    }

    #[test]
    fn what_is_taken_survives_the_way_over_the_bus(body in payload()) {
        for source in sources() {
            if let Ok(Received::Deploys { deploys, .. }) = receive(&HookRequest::new(body.to_string(), NOW), &HookConfig::of(source.name)) {
                for deploy in deploys {
                    let json = serde_json::to_vec(&deploy).unwrap();
                    prop_assert_eq!(&serde_json::from_slice::<Deploy>(&json).unwrap(), &deploy);
                }
            }
        }
    }
}

/// What a body becomes, as its key, version and first commit.
#[track_caller]
fn read_as(source: &str, path: &str, body: serde_json::Value) -> Deploy {
    let request = HookRequest { path: path.to_owned(), ..HookRequest::new(body.to_string(), NOW) };
    deploys(receive(&request, &HookConfig::of(source))).remove(0)
}

#[test]
fn launchdarkly_s_older_payloads_tell_project_and_environment_by_their_resource() {
    let body = json!({
        "_id": "5", "kind": "flag", "name": "New cart", "date": 1_693_491_974_000_i64,
        "accesses": [{ "action": "updateOn", "resource": "proj/web;shop:env/staging;eu:flag/new-cart" }],
    });
    let deploy = read_as("launchdarkly", "", body);
    assert_eq!((deploy.key().as_str(), deploy.labels["flag"].as_str()), ("web/staging", "new-cart"));
}

#[test]
fn a_commit_beside_a_version_is_kept() {
    let attributes = json!({ "attributes": {
        "service": "web", "version": "v1", "started_at": 1_693_491_974_000_000_000_i64,
        "git": { "commit_sha": "66adc93", "repository_url": "https://github.com/o/r" },
    }});
    let deploy = read_as("datadog", "api/v2/dora/deployment", json!({ "data": attributes }));
    assert_eq!((deploy.version.as_deref(), deploy.commits[0].id.as_str()), (Some("v1"), "66adc93"));
    let query = r#"mutation { changeTrackingCreateDeployment(deployment: {version: "0.0.1", entityGuid: "E", commit: "abc"}) { entityGuid } }"#;
    let deploy = read_as("newrelic", "", json!({ "query": query }));
    assert_eq!((deploy.version.as_deref(), deploy.commits[0].id.as_str()), (Some("0.0.1"), "abc"));
}
