//! PagerDuty change events, as senders post them to PagerDuty's own `v2/change/enqueue`.
//!
//! <https://developer.pagerduty.com/docs/send-change-event>
//!
//! **Service**: `custom_details.service` (or `app`), else the event's source. **Identity**: a hash of the body. The
//! routing key in the body is the token that is checked.

use deployline_schemas::{DeployEvent, deploy::Status};
use serde_json::Value;

use super::{
    HookConfig, HookError, HookRequest,
    arrival::dated,
    event::{Parsed, digest, foreign},
    json::{Json, document},
    tags::revision_in,
};

pub(super) const SETUP: &str = r#"
# Whatever posts change events to https://events.pagerduty.com/v2/change/enqueue: give it this address as well
#   {base_url}/hooks/pagerduty
# and name service, environment and version in payload.custom_details. The routing key is the secret.
curl -sS {base_url}/hooks/pagerduty -H 'Content-Type: application/json' -d '{
  "routing_key": "'"$PAGERDUTY_ROUTING_KEY"'",
  "payload": { "summary": "web v42", "source": "ci", "timestamp": "'"$(date -u +%Y-%m-%dT%H:%M:%SZ)"'",
               "custom_details": { "service": "web", "environment": "production", "version": "v42" } } }'

# deployline.toml
[[hook]]
source = "pagerduty"
secret = "env:PAGERDUTY_ROUTING_KEY"
"#;

pub(super) fn parse(request: &HookRequest, _: &HookConfig) -> Result<Parsed, HookError> {
    let body = document(request)?;
    let json = Json(&body);
    let summary = json.required("payload.summary")?;
    let detail = |names: &[&str]| names.iter().find_map(|name| json.text(&format!("payload.custom_details.{name}")));
    let service = detail(&["service", "app", "application"]).or_else(|| json.text("payload.source"));
    let status = match detail(&["status", "state", "build_state"]).as_deref() {
        Some("failed" | "failure" | "error") => Status::Failed,
        Some("started" | "running" | "in_progress") => Status::Started,
        _ => Status::Succeeded,
    };
    let at = json.time("payload.timestamp")?;
    let details = json.at("payload.custom_details").and_then(|details| details.0.as_object());
    let texts = |(name, value): (&String, &Value)| Some((name.clone(), Json(value).plain()?));
    let event = DeployEvent {
        id: Some(format!("pagerduty:{}", digest(&request.body))),
        service: service.ok_or_else(|| HookError::missing("payload.custom_details.service"))?,
        environment: detail(&["environment", "env"]),
        version: detail(&["version", "revision", "commit", "sha"]).or_else(|| revision_in(&summary)),
        status: Some(status),
        started_at: at,
        live_at: at.filter(|_| status == Status::Succeeded),
        finished_at: at.filter(|_| status.is_final()),
        actor: detail(&["user", "author", "deployer"]),
        title: Some(summary),
        url: json.text("links.0.href"),
        labels: details.into_iter().flatten().filter_map(texts).collect(),
        ..DeployEvent::default()
    };
    Ok(Parsed::one(foreign(dated(event, request.received_at)), None))
}
