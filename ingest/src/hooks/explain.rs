//! What a request would become, and why: for `deployline hook test`.

use deployline_schemas::{Deploy, UnixMillis};
use jiff::tz::TimeZone;
use serde_json::Value;

use super::{HookConfig, HookError, HookRequest, Received, event::Parsed, json::clip, moment, source};

/// Most values of a body that a field's origin is looked for among.
const MAX_LEAVES: usize = 10_000;
/// Longest value that is shown, in bytes.
const MAX_SHOWN_BYTES: usize = 60;

/// What a request would become, and where each field of it comes from.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// What it would become.
    pub outcome: Result<Received, HookError>,
    /// One sentence or line of a table each.
    pub reasons: Vec<String>,
}

/// Reads a request as [`super::read`] does and says why it comes out so. No signature is looked for.
pub fn explain(request: &HookRequest, config: &HookConfig) -> Explanation {
    let outcome = super::read(request, config);
    let mut reasons = rules(request, config);
    match &outcome {
        Ok(Received::Deploys { deploys, delivery_id }) => {
            let leaves = leaves(request);
            for deploy in deploys {
                reasons.push(format!("the deploy `{}`:", deploy.id));
                reasons.extend(fields(deploy).into_iter().map(|(name, value)| {
                    let from = origin(&leaves, request, config, name, &value);
                    format!("  {name:<17} {:<42} {from}", clip(&value.to_string(), MAX_SHOWN_BYTES))
                }));
            }
            reasons.push(match delivery_id {
                Some(id) => format!("the delivery names itself `{id}`: the same again is not published twice"),
                None => {
                    "the delivery has no name of its own: the same again has the same id and changes nothing".to_owned()
                }
            });
        }
        Ok(Received::Noted { reason, .. }) => {
            reasons.push(format!("it is kept as an annotation, no deploy comes of it: {reason}"))
        }
        Ok(Received::Ignored { reason }) => reasons.push(format!("it is ignored, and answered with success: {reason}")),
        Err(error) => reasons.push(format!("it is refused with {} `{}`: {error}", error.status(), error.code())),
    }
    reasons.extend(
        (!config.secret.is_empty())
            .then(|| "a secret is set: over HTTP the request has to prove itself first".to_owned()),
    );
    Explanation { outcome, reasons }
}

/// What the configuration does to what the module read.
fn rules(request: &HookRequest, config: &HookConfig) -> Vec<String> {
    let mut told = Vec::new();
    let Some(source) = source(&config.source) else { return told };
    let Ok(Parsed::Events { events, .. }) = (source.parse)(request, config) else { return told };
    for event in &events {
        let read = event.service.trim();
        match (&config.service, config.rename_service.get(read)) {
            (Some(service), _) => told.push(format!("`service` of the hook makes `{read}` into `{service}`")),
            (None, Some(service)) => told.push(format!("`rename_service` of the hook makes `{read}` into `{service}`")),
            (None, None) => {}
        }
        match event.environment.as_deref().map(str::trim).filter(|name| !name.is_empty()) {
            Some(name) => told.extend(
                config
                    .rename_environment
                    .get(name)
                    .map(|to| format!("`rename_environment` of the hook makes `{name}` into `{to}`")),
            ),
            None => told.push(format!(
                "the body names no environment: {}",
                match &config.environment {
                    Some(name) => format!("`environment` of the hook says `{name}`"),
                    None => "it is `production`, unless `environment` of the hook says another".to_owned(),
                }
            )),
        }
    }
    told.dedup();
    told
}

/// What is worth an explanation.
enum Shown {
    Text(String),
    Moment(UnixMillis),
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Moment(moment) => moment.fmt(f),
        }
    }
}

fn fields(deploy: &Deploy) -> Vec<(&'static str, Shown)> {
    let word = |value: Value| Some(value.as_str().unwrap_or_default().to_owned());
    let texts = [
        ("service", Some(deploy.service.clone())),
        ("environment", Some(deploy.environment.clone())),
        ("kind", word(serde_json::json!(deploy.kind))),
        ("status", word(serde_json::json!(deploy.status))),
        ("version", deploy.version.clone()),
        ("previous_version", deploy.previous_version.clone()),
        ("actor", deploy.actor.clone()),
        ("title", deploy.title.clone()),
        ("repository", deploy.repository.clone()),
        ("url", deploy.url.clone()),
        ("diff_url", deploy.diff_url.clone()),
        ("rollback_of", deploy.rollback_of.clone()),
    ];
    let times =
        [("started_at", Some(deploy.started_at)), ("live_at", deploy.live_at), ("finished_at", deploy.finished_at)];
    let texts = texts.into_iter().filter_map(|(name, text)| Some((name, Shown::Text(text?))));
    texts.chain(times.into_iter().filter_map(|(name, at)| Some((name, Shown::Moment(at?))))).collect()
}

/// Where a value stands in the body, in a header, or else which rule it follows from.
fn origin(
    leaves: &[(String, String)],
    request: &HookRequest,
    config: &HookConfig,
    name: &str,
    value: &Shown,
) -> String {
    let zone = moment::zone(config.time_zone.as_deref()).unwrap_or(TimeZone::UTC);
    let is_same = |text: &str| match value {
        Shown::Text(shown) => !text.is_empty() && text.trim() == shown,
        Shown::Moment(at) => moment::parse(text, &zone) == Some(*at),
    };
    if let Some((path, _)) = leaves.iter().find(|(_, text)| is_same(text)) {
        return format!("body: {path}");
    }
    if let Some((header, _)) = request.headers.iter().find(|(_, text)| is_same(text)) {
        return format!("header: {header}");
    }
    match value {
        Shown::Moment(at) if *at == request.received_at => "the arrival, as the body has no such time".to_owned(),
        Shown::Text(shown) if leaves.iter().any(|(_, text)| text.contains(shown.as_str())) => {
            let holder = leaves.iter().find(|(_, text)| text.contains(shown.as_str())).map_or("", |(path, _)| path);
            format!("a part of body: {holder}")
        }
        _ if matches!(name, "kind" | "status" | "environment") => "by the rules of the source".to_owned(),
        _ => "put together".to_owned(),
    }
}

/// The texts, numbers and truth values of a body with their paths, in order; lines where it is no JSON.
fn leaves(request: &HookRequest) -> Vec<(String, String)> {
    let mut leaves = Vec::new();
    match serde_json::from_slice::<Value>(&request.document()) {
        Ok(body) => collect(&body, String::new(), &mut leaves),
        Err(_) if request.is_form() => {
            leaves.extend(
                form_urlencoded::parse(&request.body).take(MAX_LEAVES).map(|(k, v)| (k.into_owned(), v.into_owned())),
            );
        }
        Err(_) => {
            let text = String::from_utf8_lossy(&request.body).into_owned();
            leaves.extend(
                text.lines().take(MAX_LEAVES).enumerate().map(|(n, line)| (format!("line {}", n + 1), line.to_owned())),
            );
        }
    }
    leaves.extend(form_urlencoded::parse(request.query.as_bytes()).map(|(k, v)| (format!("?{k}"), v.into_owned())));
    leaves
}

fn collect(value: &Value, path: String, leaves: &mut Vec<(String, String)>) {
    if leaves.len() >= MAX_LEAVES {
        return;
    }
    let below = |part: &str| if path.is_empty() { part.to_owned() } else { format!("{path}.{part}") };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| collect(value, below(name), leaves)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| collect(value, below(&index.to_string()), leaves));
        }
        Value::String(text) => leaves.push((path, text.clone())),
        Value::Null => {}
        value => leaves.push((path, value.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(config: Value, body: Value, expected: &[&str]) {
        let config: HookConfig = serde_json::from_value(config).unwrap();
        let request = HookRequest::new(body.to_string(), UnixMillis::from_secs(1_764_000_000));
        let told = explain(&request, &config).reasons.join("\n");
        for part in expected {
            assert!(told.split_whitespace().collect::<Vec<_>>().join(" ").contains(part), "{part} in\n{told}");
        }
    }

    #[test]
    fn each_field_is_traced_to_the_body_or_to_a_rule() {
        let config = json!({
            "source": "generic", "name": "shipit", "rename_service": { "shop": "web" }, "secret": "s",
            "map": { "service": "app.name", "version": "sha", "started_at": "at" },
        });
        let body = json!({ "app": { "name": "shop" }, "sha": "abc", "at": 1_763_999_000 });
        let expected = [
            "`rename_service` of the hook makes `shop` into `web`",
            "the body names no environment: it is `production`",
            "version abc body: sha",
            "started_at 2025-11-24T15:43:20.000Z body: at",
            "has to prove itself first",
        ];
        check(config, body, &expected);
    }

    #[test]
    fn what_is_left_out_or_refused_says_why() {
        check(json!({ "source": "github" }), json!({ "zen": "x" }), &["it is "]);
        check(json!({ "source": "api" }), json!({ "service": "web" }), &["it is refused with 422 `missing_field`"]);
        let config = json!({ "source": "api", "environments": ["production"] });
        let body = json!({ "service": "web", "environment": "staging", "started_at": 1 });
        check(config, body, &["it is ignored, and answered with success: environment `staging`"]);
    }
}
