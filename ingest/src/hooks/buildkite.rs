//! Buildkite webhooks: `build.scheduled`, `build.running` and `build.finished`.
//!
//! <https://buildkite.com/docs/apis/webhooks/pipelines>
//!
//! **Service** and **environment**: the build's meta-data or environment `service` and `environment`, else the
//! pipeline's slug without `deploy` at either end. **Identity**: `buildkite:BUILD`.

use deployline_schemas::{DeployEvent, deploy::Status};

use super::{
    HookConfig, HookError, HookRequest,
    arrival::dated,
    event::{Parsed, commit, foreign},
    json::{Json, document},
    repository::{full_name, service_of_job},
};

pub(super) const SETUP: &str = r#"
# Buildkite: Organization Settings > Notification Services > Add > Webhook
#   Webhook URL   {base_url}/hooks/buildkite
#   Events        build.running, build.finished
#   Pipelines     those that deploy
#   The token, or with "Send an HMAC signature" the signing secret, is the value of BUILDKITE_TOKEN

# deployline.toml
[[hook]]
source = "buildkite"
secret = "env:BUILDKITE_TOKEN"
# jobs = ["deploy-*"]            # the pipelines that deploy, by slug
"#;

pub(super) fn parse(request: &HookRequest, config: &HookConfig) -> Result<Parsed, HookError> {
    let body = document(request)?;
    let json = Json(&body);
    match json.required("event")?.as_str() {
        "build.scheduled" | "build.running" | "build.finished" | "build.failing" => {}
        "ping" => return Ok(Parsed::ignored("pong: the webhook is set up")),
        other => return Ok(Parsed::ignored(format!("the event `{other}` is no deploy"))),
    }
    let slug = json.first(&["pipeline.slug", "pipeline.name"]).ok_or_else(|| HookError::missing("pipeline.slug"))?;
    let branch = json.text("build.branch").unwrap_or_default();
    if !config.takes_job(&slug) || !config.takes_branch(&branch) {
        return Ok(Parsed::ignored(format!(
            "pipeline `{slug}` on `{branch}` is not among this hook's `jobs` and `branches`"
        )));
    }
    let status = match json.str("build.state") {
        Some("passed") => Status::Succeeded,
        Some("failed") => Status::Failed,
        Some("canceled" | "canceling") => Status::Canceled,
        Some("scheduled" | "creating") => Status::Queued,
        Some("skipped" | "not_run") => return Ok(Parsed::ignored("the build did not run")),
        _ => Status::Started,
    };
    let ended_at = json.time("build.finished_at")?.filter(|_| status.is_final());
    let version = json.text("build.commit").filter(|commit| commit != "HEAD");
    let author = json.first(&["build.author.name", "build.creator.name", "sender.name"]);
    let told = |name: &str| {
        json.first(&[
            &format!("build.meta_data.{name}"),
            &format!("build.env.{}", name.to_uppercase()),
            &format!("build.env.{name}"),
        ])
    };
    let message = json.str("build.message");
    let event = DeployEvent {
        id: Some(format!("buildkite:{}", json.required("build.id")?)),
        service: told("service").unwrap_or_else(|| service_of_job(&slug)),
        environment: told("environment"),
        commits: version.iter().map(|id| commit(id, author.clone(), message, None)).collect(),
        version,
        status: Some(status),
        started_at: json.first_time(&["build.started_at", "build.created_at"])?,
        live_at: ended_at.filter(|_| status == Status::Succeeded),
        finished_at: ended_at,
        actor: author,
        title: message.map(str::to_owned),
        url: json.first(&["build.web_url", "build.url"]),
        repository: json.str("pipeline.repository").and_then(full_name),
        labels: [("ref".to_owned(), branch)].into(),
        ..DeployEvent::default()
    };
    Ok(Parsed::one(foreign(dated(event, request.received_at)), None))
}
