//! Graphite's events API, `POST /events/`.
//!
//! <https://graphite.readthedocs.io/en/latest/events.html>
//!
//! Tags, a list or one text with blanks, and `what` say what was deployed, as `tags` reads them. **Identity**: a
//! hash of time, tags and text; an event without `when` happened when it arrived, and each arrival is one. An event in
//! which nothing speaks of a deploy is kept as an annotation.

use deployline_schemas::DeployEvent;
use serde_json::Value;

use super::{
    HookConfig, HookError, HookRequest,
    arrival::dated,
    event::{Parsed, digest, first_line, foreign},
    json::{Json, document},
    note::Note,
    tags,
};

pub(super) const SETUP: &str = r#"
# Whatever posts events to Graphite: give it Deployline's address instead of Graphite's
curl -sS --fail {base_url}/events/ -H "X-Deployline-Token: $DEPLOYLINE_TOKEN" \
  -d '{"what": "deploy web v42", "tags": ["deploy", "web", "production"], "when": '"$(date +%s)"', "data": "by ana"}'

# deployline.toml
[[hook]]
source = "graphite_events"
secret = "env:DEPLOYLINE_TOKEN"
"#;

pub(super) fn parse(request: &HookRequest, config: &HookConfig) -> Result<Parsed, HookError> {
    let body = document(request)?;
    let json = Json(&body);
    let what = json.required("what")?;
    let tags: Vec<&str> = match json.at("tags").map(|tags| tags.0) {
        Some(Value::String(text)) => text.split_whitespace().collect(),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        None => Vec::new(),
        Some(_) => return Err(HookError::invalid("tags", "it is neither a list nor a text")),
    };
    let told = tags::read(tags.iter().copied(), &what, config);
    let at = json.time("when")?;
    let data = json.text("data").unwrap_or_default();
    if !told.is_deploy {
        let tags = tags.iter().flat_map(|tag| tag.split_whitespace()).map(str::to_owned).collect();
        let note = Note { started_at: at, title: what, text: data, tags, ..Note::default() };
        return Ok(Parsed::Noted(note.into(), "neither `tags` nor `what` speak of a deploy".to_owned()));
    }
    let key = format!("{at:?}\n{tags:?}\n{what}\n{data}");
    let mut event = DeployEvent {
        id: at.map(|_| format!("graphite:{}", digest(key.as_bytes()))),
        started_at: at,
        live_at: at,
        finished_at: at,
        ..told.event
    };
    event.version = event.version.or_else(|| tags::revision_in(&data));
    // As it came, so that whoever asks for the events gets back what was sent.
    let sent =
        [("what", first_line(&what).to_owned()), ("tags", tags.join(" ")), ("data", first_line(&data).to_owned())];
    event
        .labels
        .extend(sent.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| (name.to_owned(), text)));
    Ok(Parsed::one(foreign(dated(event, request.received_at)), None))
}
