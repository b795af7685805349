//! CDEvents: `service` deployed, upgraded, rolledback, removed and published.
//!
//! <https://github.com/cdevents/spec/blob/main/continuous-deployment.md>
//!
//! Types are told by their prefix, so that every version of the specification is read. **Service**: the subject's id.
//! **Environment**: `content.environment.id`. **Version**: that of `content.artifactId`, a package URL. **Identity**: with
//! a `chainId` the chain, service, environment, artifact and kind, so that `deployed` and `published` of one chain add up;
//! else the event's own id. Incident and change events are understood and no deploys.

use deployline_schemas::{
    DeployEvent,
    deploy::{Kind, Status},
};

use super::{
    HookConfig, HookError, HookRequest, cloudevents,
    event::{Parsed, digest, foreign},
    json::Json,
};

pub(super) const SETUP: &str = r#"
# CDEvents, inside a CloudEvent in any mode or bare, posted to {base_url}/hooks/cdevents
curl -sS --fail {base_url}/hooks/cdevents -H "Authorization: Bearer $DEPLOYLINE_TOKEN" \
  -H 'Content-Type: application/json' -d @event.json

# deployline.toml
[[hook]]
source = "cdevents"
secret = "env:DEPLOYLINE_TOKEN"
"#;

pub(super) fn parse(request: &HookRequest, config: &HookConfig) -> Result<Parsed, HookError> {
    cloudevents::parse(request, config)
}

/// The deploy that a CDEvent tells of, or why it tells of none.
pub(super) fn deploy(event: Json<'_>) -> Result<Result<DeployEvent, String>, HookError> {
    let kind = event.required("context.type")?;
    let name = kind.strip_prefix("dev.cdevents.").unwrap_or(&kind);
    let predicate = name.strip_prefix("service.").and_then(|rest| rest.split('.').next());
    let kind = match predicate {
        Some("deployed" | "upgraded" | "published") => Kind::Deploy,
        Some("rolledback") => Kind::Rollback,
        Some("removed") => Kind::Infra,
        _ if name.starts_with("incident.") => return Ok(Err("an incident is no deploy".to_owned())),
        _ if name.starts_with("change.") => return Ok(Err("a change of code is no deploy yet".to_owned())),
        _ => return Ok(Err(format!("events of type `{kind}` are no deploys"))),
    };
    let id = event.required("context.id")?;
    let service = event.required("subject.id")?;
    let environment = event.text("subject.content.environment.id");
    let artifact = event.text("subject.content.artifactId");
    let key = match event.text("context.chainId") {
        Some(chain) => format!("{chain}\n{service}\n{environment:?}\n{artifact:?}\n{kind:?}"),
        None => format!("{}\n{id}", event.text("context.source").unwrap_or_default()),
    };
    let at = event.time("context.timestamp")?.ok_or_else(|| HookError::missing("context.timestamp"))?;
    let labels = [
        ("artifact", artifact.clone()),
        ("cdevent", predicate.map(str::to_owned)),
        ("chain", event.text("context.chainId")),
    ];
    Ok(Ok(foreign(DeployEvent {
        id: Some(format!("cdevents:{}", digest(key.as_bytes()))),
        title: Some(format!("{service} {}", predicate.unwrap_or_default())),
        service,
        environment,
        kind,
        version: artifact.as_deref().and_then(version),
        status: Some(Status::Succeeded),
        started_at: Some(at),
        live_at: Some(at),
        finished_at: Some(at),
        url: event.text("context.links.0.target.href"),
        labels: labels.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect(),
        ..DeployEvent::default()
    })))
}

/// The version of a package URL, `pkg:type/namespace/name@version?qualifiers#subpath`.
fn version(purl: &str) -> Option<String> {
    let (_, rest) = purl.split_once('@')?;
    let encoded = rest.split(['?', '#']).next()?.replace('+', "%2B");
    let (version, _) = form_urlencoded::parse(encoded.as_bytes()).next()?;
    (!version.is_empty()).then(|| version.into_owned())
}
