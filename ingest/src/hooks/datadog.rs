//! Datadog's calls for events (`/api/v1/events`, `/api/v2/events`) and for DORA deployments.
//!
//! <https://docs.datadoghq.com/api/latest/events/>, <https://docs.datadoghq.com/api/latest/dora-metrics/>
//!
//! An event counts when its tags, title or source speak of a deploy, as `tags` reads them. **Identity**: the
//! DORA deployment's id; of an event, its aggregation key and time, else a hash of what it says.

use deployline_schemas::{
    DeployEvent,
    deploy::{Kind, Status},
};

use super::{
    HookConfig, HookError, HookRequest,
    arrival::dated,
    event::{Parsed, commit, digest, foreign},
    json::{Json, document},
    repository::full_name,
    tags::{self, deploy_word},
};

pub(super) const SETUP: &str = r#"
# Datadog: scripts and clients need another address only; the API key is the token
export DD_API_URL={base_url}/hooks/datadog
curl -sS --fail "$DD_API_URL/api/v1/events" -H "DD-API-KEY: $DEPLOYLINE_TOKEN" -H 'Content-Type: application/json' \
  -d '{"title": "deploy web v42", "text": "", "tags": ["deploy", "service:web", "env:production", "version:v42"]}'
curl -sS --fail "$DD_API_URL/api/v2/dora/deployment" -H "DD-API-KEY: $DEPLOYLINE_TOKEN" -H 'Content-Type: application/json' \
  -d '{"data": {"attributes": {"service": "web", "env": "production", "started_at": '"$(date +%s)000000000"'}}}'

# deployline.toml
[[hook]]
source = "datadog"
secret = "env:DEPLOYLINE_TOKEN"
"#;

pub(super) fn parse(request: &HookRequest, config: &HookConfig) -> Result<Parsed, HookError> {
    let body = document(request)?;
    let json = Json(&body);
    let event = match (json.at("data.attributes"), json.at("title")) {
        (Some(attributes), _) if attributes.at("service").is_some() || request.path.contains("dora") => {
            dora(attributes)?
        }
        (Some(attributes), _) => match v2(attributes, config)? {
            Some(event) => event,
            None => return Ok(Parsed::ignored("the event is no change, and nothing in it speaks of a deploy")),
        },
        (None, Some(_)) => match v1(json, config)? {
            Some(event) => event,
            None => return Ok(Parsed::ignored("neither tags nor title speak of a deploy")),
        },
        (None, None) => return Err(HookError::missing("title")),
    };
    Ok(Parsed::one(foreign(dated(event, request.received_at)), None))
}

fn dora(attributes: Json<'_>) -> Result<DeployEvent, HookError> {
    let service = attributes.required("service")?;
    let (started_at, finished_at) = (attributes.time("started_at")?, attributes.time("finished_at")?);
    let is_failed = attributes.is_true("change_failure");
    let tags = attributes.items("custom_tags").filter_map(|tag| tag.0.as_str()?.split_once(':'));
    let mut labels: std::collections::BTreeMap<String, String> =
        tags.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    labels.extend(attributes.text("team").map(|team| ("team".to_owned(), team)));
    Ok(DeployEvent {
        id: attributes.text("id").map(|id| format!("datadog:{id}")),
        service,
        environment: attributes.text("env"),
        version: attributes.first(&["version", "git.commit_sha"]),
        commits: attributes.text("git.commit_sha").map(|id| commit(&id, None, None, None)).into_iter().collect(),
        // The call is made when the deploy is through, so that one without an end has ended all the same.
        status: Some(if is_failed { Status::Failed } else { Status::Succeeded }),
        started_at,
        live_at: finished_at,
        finished_at,
        repository: attributes.str("git.repository_url").and_then(full_name),
        labels,
        ..DeployEvent::default()
    })
}

fn v1(json: Json<'_>, config: &HookConfig) -> Result<Option<DeployEvent>, HookError> {
    let title = json.required("title")?;
    let tags: Vec<&str> = json.items("tags").filter_map(|tag| tag.0.as_str()).collect();
    let told = tags::read(tags.iter().copied(), &title, config);
    let by_source =
        json.str("source_type_name").is_some_and(|name| deploy_word(&name.to_lowercase()) || name == "capistrano");
    if !told.is_deploy && !by_source {
        return Ok(None);
    }
    let at = json.time("date_happened")?;
    let key = match json.text("aggregation_key") {
        Some(key) => format!("{key}\n{at:?}"),
        None => format!("{at:?}\n{tags:?}\n{title}\n{}", json.text("text").unwrap_or_default()),
    };
    let status = if json.str("alert_type") == Some("error") { Status::Failed } else { Status::Succeeded };
    let mut event = DeployEvent {
        id: at.map(|_| format!("datadog:{}", digest(key.as_bytes()))),
        status: Some(status),
        started_at: at,
        live_at: at.filter(|_| status == Status::Succeeded),
        finished_at: at,
        ..told.event
    };
    event.labels.extend(json.text("host").map(|host| ("host".to_owned(), host)));
    Ok(Some(event))
}

/// A change event: what was changed, by whom, on which service.
fn v2(attributes: Json<'_>, config: &HookConfig) -> Result<Option<DeployEvent>, HookError> {
    let title = attributes.required("title")?;
    let tags: Vec<&str> = attributes.items("tags").filter_map(|tag| tag.0.as_str()).collect();
    let told = tags::read(tags.iter().copied(), &title, config);
    let is_change = attributes.str("category") == Some("change");
    if !is_change && !told.is_deploy {
        return Ok(None);
    }
    let at = attributes.time("timestamp")?;
    let key = format!("{:?}\n{at:?}\n{tags:?}\n{title}", attributes.text("aggregation_key"));
    let kind = match attributes.str("attributes.changed_resource.type") {
        Some("feature_flag") => Kind::Flag,
        Some("configuration") => Kind::Config,
        _ => told.event.kind,
    };
    let mut event = DeployEvent {
        id: at.map(|_| format!("datadog:{}", digest(key.as_bytes()))),
        kind,
        started_at: at,
        live_at: at,
        finished_at: at,
        actor: attributes.text("attributes.author.name").or(told.event.actor.clone()),
        ..told.event
    };
    event.labels.extend(attributes.text("attributes.changed_resource.name").map(|name| ("resource".to_owned(), name)));
    Ok(Some(event))
}
