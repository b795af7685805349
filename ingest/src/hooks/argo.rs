//! Argo CD notifications and Argo Rollouts.
//!
//! <https://argo-cd.readthedocs.io/en/stable/operator-manual/notifications/services/webhook/>
//!
//! A notification's body is the shop's own template; the one that we ship sends the whole application under `app`.
//! **Service**: the application's name. **Environment**: the label `environment` or `env`, else the environment that the
//! destination's namespace holds. **Identity**: `argo:NAME:` and a hash of revision, images and the start of the sync:
//! Argo CD sends again when pods are replaced, and that is the same deploy. A `Rollout` is `argo:rollout:NAME:HASH`.

use deployline_schemas::{
    DeployEvent, UnixMillis,
    deploy::{Kind, Rollout, Status},
};

use super::{
    HookConfig, HookError, HookRequest,
    arrival::dated,
    event::{Parsed, digest, foreign},
    json::{Json, document},
    kubernetes,
    repository::{compare_url, full_name},
    tags::environment_in,
};

pub(super) const SETUP: &str = r#"
# Argo CD: in the ConfigMap argocd-notifications-cm
  service.webhook.deployline: |
    url: {base_url}/hooks/argo
    headers:
    - name: Authorization
      value: Bearer $deployline-token
    - name: Content-Type
      value: application/json
  template.deployline: |
    webhook:
      deployline:
        method: POST
        body: |
          {"app": {{toJson .app}}}
  trigger.deployline: |
    - when: app.status.operationState.phase in ['Running', 'Succeeded', 'Failed', 'Error']
      oncePer: app.status.operationState.startedAt + app.status.operationState.phase
      send: [deployline]
# in the Secret argocd-notifications-secret:  deployline-token: ...
# and once for each application, or for all by default:
kubectl annotate application web notifications.argoproj.io/subscribe.deployline.deployline=""

# deployline.toml
[[hook]]
source = "argo"
secret = "env:DEPLOYLINE_TOKEN"
"#;

pub(super) fn parse(request: &HookRequest, _: &HookConfig) -> Result<Parsed, HookError> {
    let body = document(request)?;
    let json = Json(&body);
    let object = json.at("app").or_else(|| json.at("rollout")).or_else(|| json.at("object")).unwrap_or(json);
    let event = match object.str("kind") {
        Some("Rollout") => rollout(object)?,
        Some("Application") | None => match application(object)? {
            Some(event) => event,
            None => return Ok(Parsed::ignored("the application has not been synced yet")),
        },
        Some(other) => return Ok(Parsed::ignored(format!("the kind `{other}` is no rollout"))),
    };
    Ok(Parsed::one(foreign(dated(event, request.received_at)), None))
}

fn application(app: Json<'_>) -> Result<Option<DeployEvent>, HookError> {
    let name = app.required("metadata.name")?;
    let Some(operation) = app.at("status.operationState") else { return Ok(None) };
    let status = match operation.str("phase") {
        Some("Succeeded") => Status::Succeeded,
        Some("Failed" | "Error") => Status::Failed,
        _ => Status::Started,
    };
    let revision = app.first(&[
        "status.operationState.syncResult.revision",
        "status.operationState.syncResult.revisions.0",
        "status.sync.revision",
        "status.sync.revisions.0",
    ]);
    let images: Vec<&str> = app.items("status.summary.images").filter_map(|image| image.0.as_str()).collect();
    let begun = operation.text("startedAt").unwrap_or_default();
    let key = format!("{}\n{}\n{begun}", revision.as_deref().unwrap_or_default(), images.join(" "));
    let url = app.first(&["spec.source.repoURL", "spec.sources.0.repoURL"]);
    let history: Vec<String> = app.items("status.history").filter_map(|entry| entry.text("revision")).collect();
    let previous_version = history.into_iter().rfind(|old| Some(old) != revision.as_ref());
    let between = previous_version.as_deref().zip(revision.as_deref());
    let ended_at = operation.time("finishedAt")?.filter(|_| status.is_final());
    let mut event = DeployEvent {
        id: Some(format!("argo:{name}:{}", digest(key.as_bytes()))),
        service: name,
        environment: app
            .first(&["metadata.labels.environment", "metadata.labels.env"])
            .or_else(|| environment_in(app.str("spec.destination.namespace")?)),
        diff_url: url.as_deref().zip(between).and_then(|(url, (before, after))| compare_url(url, before, after)),
        version: revision,
        previous_version,
        status: Some(status),
        rollout: Rollout::Rolling,
        started_at: operation.first_time(&["startedAt", "finishedAt"])?,
        live_at: ended_at.filter(|_| status == Status::Succeeded),
        finished_at: ended_at,
        actor: operation.text("operation.initiatedBy.username"),
        title: operation.text("message"),
        repository: url.as_deref().and_then(full_name),
        ..DeployEvent::default()
    };
    let facts =
        [("project", "spec.project"), ("health", "status.health.status"), ("namespace", "spec.destination.namespace")];
    event.labels.extend(facts.into_iter().filter_map(|(label, path)| Some((label.to_owned(), app.text(path)?))));
    if !images.is_empty() {
        event.labels.insert("images".to_owned(), images.join(" "));
    }
    Ok(Some(event))
}

/// The deploy behind a `Rollout` of Argo Rollouts.
pub(super) fn rollout(object: Json<'_>) -> Result<DeployEvent, HookError> {
    let name = object.required("metadata.name")?;
    let is_aborted = object.is_true("status.abort");
    let hash = object.first(&["status.currentPodHash", "status.observedGeneration"]).unwrap_or_default();
    let mut moved_at = None;
    for condition in object.items("status.conditions").filter(|condition| condition.str("type") == Some("Progressing"))
    {
        moved_at = moved_at.max(condition.first_time(&["lastUpdateTime", "lastTransitionTime"])?);
    }
    let is_stable = object.str("status.stableRS").is_some_and(|stable| stable == hash);
    let status = match object.str("status.phase") {
        _ if is_aborted => Status::Failed,
        Some("Healthy") => Status::Succeeded,
        Some("Degraded") => Status::Failed,
        None if is_stable => Status::Succeeded,
        _ => Status::Started,
    };
    let is_canary = object.at("spec.strategy.canary").is_some();
    let weight = if is_aborted { Some(0.0) } else { weight(object, status) };
    let ended_at = moved_at.filter(|_| status.is_final());
    let started_at = object.time("status.pauseConditions.0.startTime")?.into_iter().chain(moved_at).min();
    Ok(DeployEvent {
        id: Some(format!("argo:rollout:{}/{name}:{hash}", kubernetes::namespace(object))),
        service: name,
        environment: kubernetes::environment(object),
        kind: Kind::Deploy,
        version: kubernetes::version(object),
        status: Some(status),
        rollout: if is_canary { Rollout::Canary } else { Rollout::Atomic },
        started_at,
        live_at: ended_at.filter(|_| status == Status::Succeeded),
        finished_at: ended_at,
        title: object.text("status.message").filter(|_| status == Status::Failed),
        exposure: moved_at.zip(weight.filter(|_| is_canary)).into_iter().collect::<Vec<(UnixMillis, f64)>>(),
        labels: [("namespace".to_owned(), kubernetes::namespace(object))].into(),
        ..DeployEvent::default()
    })
}

/// The canary's share of the traffic: as the controller says, else as the last step that was reached sets it.
fn weight(object: Json<'_>, status: Status) -> Option<f64> {
    if status == Status::Succeeded {
        return Some(1.0);
    }
    if let Some(percent) = object.number("status.canary.weights.canary.weight") {
        return Some((percent / 100.0).clamp(0.0, 1.0));
    }
    let reached = object.number("status.currentStepIndex")?.clamp(0.0, 1e6) as usize;
    let steps: Vec<f64> = object
        .items("spec.strategy.canary.steps")
        .take(reached + 1)
        .filter_map(|step| step.number("setWeight"))
        .collect();
    steps.last().map(|percent| (percent / 100.0).clamp(0.0, 1.0))
}
