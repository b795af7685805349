//! CloudEvents 1.0 over HTTP: structured, binary and batch.
//!
//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md>
//!
//! Two families of types are understood: Deployline's own (`io.deployline.deploy.v1`, whose data is a deploy event) and
//! [CDEvents](super::cdevents) (`dev.cdevents.…`). Others are ignored. An event's `source` and `id` name the delivery, and
//! a deploy event without an id of its own takes that pair.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use deployline_schemas::{DeployEvent, cloudevent::DEPLOY_TYPE};
use serde_json::Value;

use super::{
    HookConfig, HookError, HookRequest, MAX_EVENTS, api, cdevents,
    event::{Parsed, foreign},
    json::{Json, document},
};

pub(super) const SETUP: &str = r#"
# CloudEvents, in any mode, posted to {base_url}/hooks/cloudevents
curl -sS --fail {base_url}/hooks/cloudevents -H "Authorization: Bearer $DEPLOYLINE_TOKEN" \
  -H 'Content-Type: application/cloudevents+json' -d '{
    "specversion": "1.0", "id": "'"$BUILD_ID"'", "source": "/ci/web", "type": "io.deployline.deploy.v1",
    "data": { "service": "web", "version": "'"$GIT_SHA"'", "started_at": '"$(date +%s)"' } }'

# deployline.toml
[[hook]]
source = "cloudevents"
secret = "env:DEPLOYLINE_TOKEN"
"#;

pub(super) fn parse(request: &HookRequest, config: &HookConfig) -> Result<Parsed, HookError> {
    let events = if request.header("ce-specversion").is_some() {
        vec![binary(request)?]
    } else {
        match document(request)? {
            Value::Array(items) if items.len() > MAX_EVENTS => {
                return Err(HookError::TooMany { n_events: items.len() });
            }
            Value::Array(items) => items,
            event => vec![event],
        }
    };
    // The modes share one path, so that a CDEvent without its envelope passes here too.
    let is_batch = events.len() != 1;
    let delivery_id = match is_batch {
        true => None,
        false => events.first().and_then(|event| delivery(Json(event))),
    };
    let mut deploys = Vec::new();
    let mut reason = None;
    for (index, event) in events.into_iter().enumerate() {
        match deploy(event, config).map_err(|error| if is_batch { error.within(index) } else { error })? {
            Ok(deploy) => deploys.push(deploy),
            Err(why) => reason = Some(why),
        }
    }
    match reason {
        Some(reason) if deploys.is_empty() => Ok(Parsed::Ignored(reason)),
        _ => Ok(Parsed::Events { events: deploys, delivery_id }),
    }
}

fn delivery(event: Json<'_>) -> Option<String> {
    Some(format!("{} {}", event.text("source")?, event.text("id")?))
}

/// The deploy of one event, or why it is none.
fn deploy(event: Value, config: &HookConfig) -> Result<Result<DeployEvent, String>, HookError> {
    let json = Json(&event);
    if json.at("specversion").is_none() && json.at("context.type").is_some() {
        return cdevents::deploy(json);
    }
    match json.required("specversion")? {
        version if version.starts_with("1.") || version == "1" => {}
        version => return Err(HookError::invalid("specversion", format_args!("`{version}` is not 1.0"))),
    }
    let kind = json.required("type")?;
    let (id, source) = (json.required("id")?, json.required("source")?);
    let is_ours = kind == DEPLOY_TYPE || config.takes(&kind);
    if !is_ours && !kind.starts_with("dev.cdevents.") {
        return Ok(Err(format!("events of type `{kind}` are no deploys")));
    }
    let data = data(json)?;
    if !is_ours {
        return cdevents::deploy(Json(&data));
    }
    let told_at = json.time("time")?;
    let mut deploy = match data {
        Value::Object(mut fields) => {
            let has_time = ["started_at", "live_at", "finished_at"]
                .iter()
                .any(|name| fields.get(*name).is_some_and(|at| !at.is_null()));
            if let (false, Some(at)) = (has_time, told_at) {
                fields.insert("started_at".to_owned(), at.to_string().into());
            }
            api::event(Value::Object(fields))?
        }
        _ => return Err(HookError::missing("data")),
    };
    deploy.id = deploy.id.or_else(|| Some(format!("{source} {id}")));
    Ok(Ok(foreign(deploy)))
}

/// What an event says: `data`, or `data_base64` decoded.
fn data(event: Json<'_>) -> Result<Value, HookError> {
    if let Some(text) = event.str("data_base64") {
        let json = BASE64.decode(text).map_err(|error| HookError::invalid("data_base64", error))?;
        return serde_json::from_slice(&json).map_err(|error| HookError::invalid("data_base64", error));
    }
    match event.at("data").ok_or_else(|| HookError::missing("data"))?.0 {
        Value::String(text) => serde_json::from_str(text).map_err(|error| HookError::invalid("data", error)),
        data => Ok(data.clone()),
    }
}

/// Binary mode: the attributes in `ce-` headers, percent-encoded, and the data as the body.
fn binary(request: &HookRequest) -> Result<Value, HookError> {
    let attributes = request.headers.iter().filter_map(|(name, value)| {
        let name = name.to_ascii_lowercase();
        Some((name.strip_prefix("ce-")?.to_owned(), Value::String(percent_decode(value.trim()))))
    });
    let mut event: serde_json::Map<String, Value> = attributes.take(64).collect();
    event.insert("data".to_owned(), document(request)?);
    Ok(Value::Object(event))
}

fn percent_decode(text: &str) -> String {
    // `+` is itself in a header, unlike in a form.
    let form = text.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    form_urlencoded::parse(form.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default()
}
