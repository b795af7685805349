//! Jenkins, through the Notification plugin.
//!
//! <https://plugins.jenkins.io/notification/>
//!
//! `STARTED` begins a deploy and `COMPLETED` ends it; `QUEUED` and `FINALIZED` say nothing more. The status in `STARTED`
//! may be the previous build's and is not looked at. **Service**: the parameter `SERVICE` or `APP`, else the job's name
//! without `deploy` at either end. **Environment**: the parameter `ENVIRONMENT` or `ENV`. **Identity**:
//! `jenkins:URL:NUMBER`. An end without a time is dated by its arrival: Jenkins waits for the answer before it goes on.

use deployline_schemas::{
    DeployEvent,
    deploy::{Commit, Status},
};

use super::{
    HookConfig, HookError, HookRequest,
    arrival::dated,
    event::{Parsed, commit, foreign},
    json::{Json, document},
    repository::{full_name, service_of_job, short_name, short_ref},
};

pub(super) const SETUP: &str = r#"
# Jenkins: install the Notification plugin; then in each job that deploys, Job Notifications > Add Endpoint
#   Format    JSON          Protocol  HTTP
#   Event     All Events
#   URL       {base_url}/hooks/jenkins?token=DEPLOYLINE_TOKEN
# or in a Jenkinsfile:
properties([[$class: 'HudsonNotificationProperty', endpoints: [[
  protocol: 'HTTP', format: 'JSON', event: 'all', urlInfo: [urlType: 'PUBLIC', urlOrId: '{base_url}/hooks/jenkins?token=...']]]]])

# deployline.toml
[[hook]]
source = "jenkins"
secret = "env:DEPLOYLINE_TOKEN"
# jobs = ["deploy-*"]            # the jobs that deploy
"#;

pub(super) fn parse(request: &HookRequest, config: &HookConfig) -> Result<Parsed, HookError> {
    let body = document(request)?;
    let json = Json(&body);
    let build = json.at("build").ok_or_else(|| HookError::missing("build"))?;
    let name = json.required("name")?;
    if !config.takes_job(&name) {
        return Ok(Parsed::ignored(format!("`{name}` is not among this hook's `jobs`")));
    }
    let status = match build.required("phase")?.to_ascii_uppercase().as_str() {
        "STARTED" => Status::Started,
        "COMPLETED" => match build.str("status") {
            Some("SUCCESS") => Status::Succeeded,
            Some("ABORTED") => Status::Canceled,
            Some("NOT_BUILT") => return Ok(Parsed::ignored("the build did not run")),
            _ => Status::Failed,
        },
        other => return Ok(Parsed::ignored(format!("the phase `{other}` says no more than STARTED and COMPLETED"))),
    };
    let parameter = |names: &[&str]| names.iter().find_map(|name| build.text(&format!("parameters.{name}")));
    // Since version 1.16 the plugin tells when the build began and how long it took, in milliseconds.
    let started_at = build.time("timestamp")?;
    let took_ms = build.number("duration").filter(|took_ms| (1.0..1e12).contains(took_ms));
    let ended_at = started_at.zip(took_ms).map(|(at, took_ms)| deployline_schemas::UnixMillis(at.0 + took_ms as i64));
    let ended_at = ended_at.filter(|_| status.is_final());
    let folder = json.text("url").unwrap_or_else(|| name.clone());
    let event = DeployEvent {
        id: Some(format!("jenkins:{}:{}", folder.trim_matches('/'), build.required("number")?)),
        service: parameter(&["SERVICE", "APP", "service", "app"]).unwrap_or_else(|| service_of_job(short_name(&name))),
        environment: parameter(&["ENVIRONMENT", "ENV", "DEPLOY_ENV", "environment", "env"]),
        version: parameter(&["VERSION", "REVISION", "version"]).or_else(|| build.text("scm.commit")),
        status: Some(status),
        started_at,
        live_at: ended_at.filter(|_| status == Status::Succeeded),
        finished_at: ended_at,
        actor: build.first(&["userId", "scm.culprits.0", "causes.0.userId"]),
        title: Some(format!("{name} #{}", build.text("number").unwrap_or_default())),
        url: build.first(&["full_url", "url"]),
        repository: build.str("scm.url").and_then(full_name),
        commits: build.at("scm").map(commits).unwrap_or_default(),
        labels: build
            .str("scm.branch")
            .map(|branch| ("ref".to_owned(), short_ref(branch).to_owned()))
            .into_iter()
            .collect(),
        ..DeployEvent::default()
    };
    Ok(Parsed::one(foreign(dated(event, request.received_at)), None))
}

fn commits(scm: Json<'_>) -> Vec<Commit> {
    let message = |index: usize| scm.text(&format!("changes.{index}"));
    scm.str("commit").map(|id| commit(id, None, message(0).as_deref(), None)).into_iter().collect()
}
