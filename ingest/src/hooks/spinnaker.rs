//! Spinnaker, through echo's REST webhooks: the pipelines' starts and ends and, where configured, `build`.
//!
//! <https://spinnaker.io/docs/setup/features/notifications/#add-a-generic-webhook-to-spinnaker>
//!
//! **Service**: the application. **Environment**: the pipeline's name where it holds one (`Deploy to prod`).
//! **Identity**: `spinnaker:EXECUTION`. Builds that igor has seen at the CI are no deploys, unless `events` of the hook
//! lists `build`; then they are `spinnaker:MASTER:JOB:NUMBER`.

use deployline_schemas::{
    DeployEvent, UnixMillis,
    deploy::{Kind, Rollout, Status},
};

use super::{
    HookConfig, HookError, HookRequest,
    arrival::dated,
    event::{Parsed, foreign},
    json::{Json, document},
    repository::service_of_job,
    tags::environment_in,
};

pub(super) const SETUP: &str = r#"
# Spinnaker: echo-local.yml
rest:
  enabled: true
  endpoints:
  - wrap: false
    url: {base_url}/hooks/spinnaker?token=DEPLOYLINE_TOKEN

# deployline.toml
[[hook]]
source = "spinnaker"
secret = "env:DEPLOYLINE_TOKEN"
# jobs = ["Deploy*"]             # the pipelines that deploy
"#;

pub(super) fn parse(request: &HookRequest, config: &HookConfig) -> Result<Parsed, HookError> {
    let body = document(request)?;
    let whole = Json(&body);
    // echo can wrap the event in a field of the shop's choice.
    let json =
        ["payload", "event"].into_iter().filter_map(|field| whole.at(field)).find(|json| json.at("details").is_some());
    let json = json.unwrap_or(whole);
    let kind = json.required("details.type")?;
    let event = match kind.as_str() {
        "orca:pipeline:starting" => pipeline(json, config, Some(Status::Started))?,
        "orca:pipeline:complete" | "orca:pipeline:failed" => pipeline(json, config, None)?,
        "build" if config.takes("build") => build(json, config)?,
        "build" => {
            return Ok(Parsed::ignored("`build` counts as a deploy only where this hook's `events` lists it"));
        }
        other => return Ok(Parsed::ignored(format!("the event `{other}` is a part of a pipeline, or none"))),
    };
    Ok(match event {
        Some(event) => Parsed::one(foreign(dated(event, request.received_at)), None),
        None => Parsed::ignored("this is not among the hook's `jobs`, or did not run"),
    })
}

fn pipeline(json: Json<'_>, config: &HookConfig, status: Option<Status>) -> Result<Option<DeployEvent>, HookError> {
    let execution = json.at("content.execution").ok_or_else(|| HookError::missing("content.execution"))?;
    let name = execution.text("name").unwrap_or_default();
    if !config.takes_job(&name) {
        return Ok(None);
    }
    let status = status.unwrap_or(match execution.str("status") {
        Some("SUCCEEDED") => Status::Succeeded,
        Some("CANCELED" | "STOPPED") => Status::Canceled,
        Some("RUNNING" | "NOT_STARTED" | "PAUSED") => Status::Started,
        _ => Status::Failed,
    });
    let is_rollback = execution.items("stages").any(|stage| stage.str("type") == Some("rollbackCluster"));
    let ended_at = execution.time("endTime")?.or(json.time("details.created")?).filter(|_| status.is_final());
    let id = execution.first(&["id"]).or_else(|| json.text("content.executionId"));
    Ok(Some(DeployEvent {
        id: Some(format!("spinnaker:{}", id.ok_or_else(|| HookError::missing("content.execution.id"))?)),
        service: execution
            .text("application")
            .or_else(|| json.text("details.application"))
            .ok_or_else(|| HookError::missing("content.execution.application"))?,
        environment: environment_in(&name.replace(' ', "-")),
        kind: if is_rollback { Kind::Rollback } else { Kind::Deploy },
        version: execution.first(&[
            "trigger.artifacts.0.version",
            "trigger.tag",
            "trigger.hash",
            "trigger.buildInfo.scm.0.sha1",
            "trigger.buildNumber",
        ]),
        status: Some(status),
        rollout: Rollout::Rolling,
        started_at: execution.first_time(&["startTime", "buildTime"])?.or(json.time("details.created")?),
        live_at: ended_at.filter(|_| status == Status::Succeeded),
        finished_at: ended_at,
        actor: execution.first(&["trigger.user", "authentication.user"]),
        title: Some(name.clone()),
        labels: [("pipeline".to_owned(), name)].into(),
        ..DeployEvent::default()
    }))
}

fn build(json: Json<'_>, config: &HookConfig) -> Result<Option<DeployEvent>, HookError> {
    let name = json.required("content.project.name")?;
    let build = json.at("content.project.lastBuild").ok_or_else(|| HookError::missing("content.project.lastBuild"))?;
    let status = match build.str("result") {
        Some("NOT_BUILT") => return Ok(None),
        _ if build.is_true("building") => Status::Started,
        Some("SUCCESS") => Status::Succeeded,
        Some("ABORTED") => Status::Canceled,
        Some("BUILDING") | None => Status::Started,
        Some(_) => Status::Failed,
    };
    if !config.takes_job(&name) {
        return Ok(None);
    }
    let started_at = build.time("timestamp")?;
    let took_ms = build.number("duration").filter(|took_ms| (0.0..1e12).contains(took_ms)).unwrap_or(0.0);
    let ended_at = started_at.map(|at| UnixMillis(at.0.saturating_add(took_ms as i64))).filter(|_| status.is_final());
    let master = json.text("content.master").unwrap_or_default();
    Ok(Some(DeployEvent {
        id: Some(format!("spinnaker:{master}:{name}:{}", build.required("number")?)),
        service: service_of_job(&name),
        version: build.first(&["scm.0.sha1", "number"]),
        status: Some(status),
        started_at,
        live_at: ended_at.filter(|_| status == Status::Succeeded),
        finished_at: ended_at,
        title: Some(format!("{name} #{}", build.required("number")?)),
        url: build.text("url"),
        ..DeployEvent::default()
    }))
}
