//! Grafana's annotations API, as scripts and notifiers post to `/api/annotations` and `/api/annotations/graphite`.
//!
//! <https://grafana.com/docs/grafana/latest/developers/http_api/annotations/>
//!
//! Tags and text say what was deployed, as `tags` reads them; an annotation in which nothing speaks of a deploy
//! is kept as what it is. A region is a deploy with a start and an end. **Identity**: a hash of time, tags and text. Times are
//! milliseconds; seconds, a well-known slip, are told apart by their size.

use deployline_schemas::DeployEvent;

use super::{
    HookConfig, HookError, HookRequest,
    arrival::dated,
    event::{Parsed, digest, foreign},
    json::{Json, document},
    note::Note,
    tags,
};

pub(super) const SETUP: &str = r#"
# Whatever posts annotations to Grafana: give it Deployline's address instead of Grafana's
curl -sS --fail {base_url}/api/annotations -H "Authorization: Bearer $DEPLOYLINE_TOKEN" \
  -H 'Content-Type: application/json' \
  -d '{"time": '"$(date +%s)000"', "tags": ["deploy", "service:web", "env:production"], "text": "web v42"}'
# Argo CD: service.grafana: { apiUrl: "{base_url}/api", apiKey: "$deployline-token" }, tags: deploy|service:web

# deployline.toml
[[hook]]
source = "grafana_annotations"
secret = "env:DEPLOYLINE_TOKEN"
# jobs = ["deploy"]              # the tags that make a deploy, where the usual words do not
"#;

pub(super) fn parse(request: &HookRequest, config: &HookConfig) -> Result<Parsed, HookError> {
    let body = document(request)?;
    let json = Json(&body);
    if json.at("what").is_some() {
        return super::graphite_events::parse(request, config);
    }
    let text = json.text("text").unwrap_or_default();
    // Argo CD joins several tags with `|`.
    let tags: Vec<&str> = json.items("tags").filter_map(|tag| tag.0.as_str()).flat_map(|tag| tag.split('|')).collect();
    let told = tags::read(tags.iter().copied(), &text, config);
    let (start, end) = (json.time("time")?, json.time("timeEnd")?);
    if !told.is_deploy {
        let note = Note {
            started_at: start,
            ended_at: end,
            text,
            tags: tags.into_iter().map(|tag| tag.trim().to_owned()).collect(),
            dashboard: json.text("dashboardUID"),
            panel_id: json.number("panelId").map(|id| id as i64).filter(|id| *id != 0),
            ..Note::default()
        };
        return Ok(Parsed::Noted(note.into(), "neither tags nor text speak of a deploy".to_owned()));
    }
    let is_region = end.is_some() && end > start;
    let key = format!("{start:?}\n{tags:?}\n{text}");
    let event = DeployEvent {
        id: start.map(|_| format!("grafana:{}", digest(key.as_bytes()))),
        started_at: start,
        live_at: if is_region { end } else { start },
        finished_at: if is_region { end } else { start },
        ..told.event
    };
    let mut event = dated(event, request.received_at);
    for (label, path) in [("dashboard", "dashboardUID"), ("panel", "panelId")] {
        event.labels.extend(json.text(path).map(|value| (label.to_owned(), value)));
    }
    Ok(Parsed::one(foreign(event), None))
}
