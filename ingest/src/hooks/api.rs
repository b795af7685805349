//! Our own JSON: one deploy event, a list of them, or either as CloudEvents.
//!
//! `POST /api/v1/deploys` and `deployline emit` speak this. The fields are those of [`DeployEvent`]; unlike in other
//! people's formats, what is wrong is refused and named rather than cut or guessed.

use deployline_schemas::DeployEvent;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{HookConfig, HookError, HookRequest, event::Parsed, json::document};

pub(super) const SETUP: &str = r#"
# Anything that can run a command or send a request
deployline emit --url {base_url} --service checkout --version "$GIT_SHA" --status succeeded

curl -sS --fail {base_url}/api/v1/deploys -H 'Content-Type: application/json' \
  -H "Authorization: Bearer $DEPLOYLINE_TOKEN" \
  -d '{"service": "checkout", "environment": "production", "version": "9bc1f2e", "started_at": '"$(date +%s)"'}'
"#;

pub(super) fn parse(request: &HookRequest, _: &HookConfig) -> Result<Parsed, HookError> {
    let body = document(request)?;
    let delivery_id = request.header("idempotency-key").map(str::to_owned);
    let events = match body {
        Value::Array(items) => {
            let read = |(index, item)| event(item).map_err(|error| error.within(index));
            items.into_iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?
        }
        body => vec![event(body)?],
    };
    Ok(Parsed::Events { events, delivery_id })
}

/// A deploy event from JSON, the field at fault named.
pub(super) fn event(value: Value) -> Result<DeployEvent, HookError> {
    let Value::Object(fields) = &value else {
        return Err(HookError::malformed("a deploy event is a JSON object"));
    };
    let event = DeployEvent::deserialize(&value).map_err(|error| fault(fields, &error))?;
    if event.service.trim().is_empty() {
        return Err(HookError::missing("service"));
    }
    match event.started_at.or(event.live_at).or(event.finished_at) {
        Some(_) => Ok(event),
        None => Err(HookError::missing("started_at")),
    }
}

/// The field that cannot be read. Serde does not tell which it was, so each is tried alone.
fn fault(fields: &Map<String, Value>, error: &serde_json::Error) -> HookError {
    let alone = |(name, value): (&String, &Value)| {
        let alone = Value::Object([(name.clone(), value.clone())].into_iter().collect());
        Some(HookError::invalid(name, DeployEvent::deserialize(&alone).err()?))
    };
    fields.iter().find_map(alone).unwrap_or_else(|| HookError::malformed(error))
}

#[cfg(test)]
mod tests {
    use crate::hooks::{OWN, source};

    /// The server takes our own JSON without a `[[hook]]`, and one with a secret would shut out who has its token.
    #[test]
    fn setting_up_our_own_api_takes_no_hook() {
        let setup = source(OWN).unwrap().setup_for("http://host:1");
        assert!(setup.starts_with("# Anything that can run a command"), "{setup}");
        assert!(setup.contains("deployline emit --url http://host:1 --service"), "{setup}");
        assert!(setup.contains("http://host:1/api/v1/deploys") && !setup.contains("[[hook]]"), "{setup}");
    }
}
