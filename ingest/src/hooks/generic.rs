//! Any JSON body, read by a mapping in the configuration.
//!
//! Each key of the mapping is one of a deploy's fields; its value says where to look: a path (`build.scm.commit`,
//! `changes.0.ref`, or a JSON Pointer such as `/a.b/c`), several paths with `|` between them (the first that is there
//! counts), or a fixed text after `=`. A filter leaves out what is no deploy.

use std::collections::BTreeMap;

use deployline_schemas::{
    DeployEvent, UnixMillis,
    deploy::{Kind, Rollout, Status},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    HookConfig, HookError, HookRequest,
    event::{Parsed, foreign},
    json::{Json, document},
    moment,
};

pub(super) const SETUP: &str = r#"
# Anything that posts JSON to {base_url}/hooks/generic
# deployline.toml: where the fields of a deploy are in the body
[[hook]]
source = "generic"
name   = "shipit"                          # then it is {base_url}/hooks/shipit
secret = "env:SHIPIT_TOKEN"

[hook.map]
header      = "X-Shipit-Signature"         # a token, or the HMAC-SHA256 of the body in hexadecimal
filter      = { "event" = ["deployed", "deploy_failed"] }
id          = "deploy.id"
service     = "deploy.app | project.name"  # the first that is there
environment = "=production"                # a fixed text
version     = "deploy.commit"
status      = "deploy.state"
started_at  = "deploy.begun"
finished_at = "deploy.ended"
statuses    = { ok = "succeeded", bad = "failed" }
labels      = { region = "deploy.region" }

# and to see what a body would become, and why:
#   deployline hook test generic < body.json
"#;

/// `[hook.map]`: where the fields of a deploy are in a body.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mapping {
    /// The header that holds the token or the signature.
    pub header: Option<String>,
    /// The list of events in a body that holds several; the body itself if not said.
    pub each: Option<String>,
    /// From a path to the values that a deploy has there; `*` stands for any run. All of them must fit.
    pub filter: BTreeMap<String, Vec<String>>,
    /// Where the deploy's id is.
    pub id: Option<String>,
    /// Where its service is.
    pub service: Option<String>,
    /// Where its environment is.
    pub environment: Option<String>,
    /// Where its kind is.
    pub kind: Option<String>,
    /// Where the new revision is.
    pub version: Option<String>,
    /// Where the old revision is.
    pub previous_version: Option<String>,
    /// Where its status is.
    pub status: Option<String>,
    /// How it takes over: where `atomic`, `rolling` or `canary` is.
    pub rollout: Option<String>,
    /// Where its start is; the arrival if there is no time at all.
    pub started_at: Option<String>,
    /// Where the moment is at which it was live.
    pub live_at: Option<String>,
    /// Where its end is.
    pub finished_at: Option<String>,
    /// Where its author is.
    pub actor: Option<String>,
    /// Where its title is.
    pub title: Option<String>,
    /// Where its page's address is.
    pub url: Option<String>,
    /// Where its diff's address is.
    pub diff_url: Option<String>,
    /// Where its repository is.
    pub repository: Option<String>,
    /// From a label's name to where its value is.
    pub labels: BTreeMap<String, String>,
    /// From the sender's word for a status to ours, beyond ours themselves.
    pub statuses: BTreeMap<String, Status>,
    /// From the sender's word for a kind to ours, beyond ours themselves.
    pub kinds: BTreeMap<String, Kind>,
}

pub(super) fn parse(request: &HookRequest, config: &HookConfig) -> Result<Parsed, HookError> {
    let Some(map) = &config.map else {
        return Err(HookError::malformed("the hook has no `[hook.map]` that says where the fields are"));
    };
    let body = document(request)?;
    let json = Json(&body);
    let items: Vec<Json<'_>> = match &map.each {
        Some(path) => json.items(path).collect(),
        None => body.as_array().map_or_else(|| vec![json], |items| items.iter().map(Json).collect()),
    };
    let mut events = Vec::new();
    for item in items {
        if map.filter.iter().all(|(path, values)| fits(item, path, values)) {
            events.push(event(item, map, config, request.received_at)?);
        }
    }
    if events.is_empty() {
        return Ok(Parsed::ignored("nothing in the body passes the mapping's `filter`"));
    }
    let delivery_id =
        ["idempotency-key", "x-request-id", "webhook-id"].into_iter().find_map(|name| request.header(name));
    Ok(Parsed::Events { events, delivery_id: delivery_id.map(str::to_owned) })
}

fn fits(item: Json<'_>, path: &str, values: &[String]) -> bool {
    let filter = HookConfig { jobs: values.to_vec(), ..HookConfig::default() };
    item.text(path).is_some_and(|text| filter.takes_job(&text))
}

fn event(
    item: Json<'_>,
    map: &Mapping,
    config: &HookConfig,
    received_at: UnixMillis,
) -> Result<DeployEvent, HookError> {
    let text = |rule: &Option<String>| rule.as_deref().and_then(|rule| look_up(item, rule));
    let zone = moment::zone(config.time_zone.as_deref())
        .ok_or_else(|| HookError::malformed("the hook's `time_zone` is not a known zone"))?;
    let time = |rule: &Option<String>| match text(rule) {
        Some(text) => match moment::parse(&text, &zone) {
            Some(moment) => Ok(Some(moment)),
            None => Err(HookError::invalid(rule.as_deref().unwrap_or_default(), "it is no time")),
        },
        None => Ok(None),
    };
    let service = text(&map.service).or_else(|| config.service.clone());
    let (started_at, live_at, finished_at) = (time(&map.started_at)?, time(&map.live_at)?, time(&map.finished_at)?);
    let labels = map.labels.iter().filter_map(|(name, rule)| Some((name.clone(), look_up(item, rule)?)));
    Ok(foreign(DeployEvent {
        id: text(&map.id).map(|id| format!("{}:{id}", config.path())),
        service: service.ok_or_else(|| HookError::missing(map.service.as_deref().unwrap_or("service")))?,
        environment: text(&map.environment),
        kind: word(&map.kind, text(&map.kind), &map.kinds)?.unwrap_or_default(),
        version: text(&map.version),
        previous_version: text(&map.previous_version),
        status: word(&map.status, text(&map.status), &map.statuses)?,
        rollout: word::<Rollout>(&map.rollout, text(&map.rollout), &BTreeMap::new())?.unwrap_or_default(),
        started_at: started_at.or(live_at).or(finished_at).or(Some(received_at)),
        live_at,
        finished_at,
        actor: text(&map.actor),
        title: text(&map.title),
        url: text(&map.url),
        diff_url: text(&map.diff_url),
        repository: text(&map.repository),
        labels: labels.collect(),
        ..DeployEvent::default()
    }))
}

/// What a rule finds: a fixed text after `=`, else the first of its paths that is there.
fn look_up(item: Json<'_>, rule: &str) -> Option<String> {
    match rule.strip_prefix('=') {
        Some(fixed) => Some(fixed.to_owned()),
        None => rule.split('|').find_map(|path| item.text(path.trim())),
    }
}

/// One of our words, by the mapping's table or as it stands.
fn word<T: DeserializeOwned + Copy>(
    rule: &Option<String>,
    told: Option<String>,
    table: &BTreeMap<String, T>,
) -> Result<Option<T>, HookError> {
    let Some(told) = told else { return Ok(None) };
    let known = table.get(&told).copied();
    let known = known.or_else(|| serde_json::from_value(Value::String(told.to_ascii_lowercase())).ok());
    match known {
        Some(word) => Ok(Some(word)),
        None => Err(HookError::invalid(
            rule.as_deref().unwrap_or_default(),
            format_args!("no meaning is configured for `{}`", super::json::clip(&told, 60)),
        )),
    }
}
