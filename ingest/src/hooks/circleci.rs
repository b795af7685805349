//! CircleCI webhooks: `workflow-completed`.
//!
//! <https://circleci.com/docs/webhooks/>
//!
//! **Service**: the project's name. **Identity**: `circleci:WORKFLOW`. `job-completed` is a part of a workflow and not
//! counted beside it.

use deployline_schemas::{DeployEvent, deploy::Status};

use super::{
    HookConfig, HookError, HookRequest,
    arrival::dated,
    event::{Parsed, commit, foreign},
    json::{Json, document},
    repository::{full_name, short_name},
};

pub(super) const SETUP: &str = r#"
# CircleCI: Project Settings > Webhooks > Add Webhook
#   Receiver URL   {base_url}/hooks/circleci
#   Secret token   the value of CIRCLECI_SECRET
#   Events         Workflow Completed

# deployline.toml
[[hook]]
source   = "circleci"
secret   = "env:CIRCLECI_SECRET"
jobs     = ["deploy*"]           # the workflows that deploy
branches = ["main"]
"#;

pub(super) fn parse(request: &HookRequest, config: &HookConfig) -> Result<Parsed, HookError> {
    let body = document(request)?;
    let json = Json(&body);
    match json.required("type")?.as_str() {
        "workflow-completed" => {}
        "ping" => return Ok(Parsed::ignored("pong: the webhook is set up")),
        other => return Ok(Parsed::ignored(format!("`{other}` is no deploy; `workflow-completed` may be"))),
    }
    let name = json.text("workflow.name").unwrap_or_default();
    let branch = json
        .first(&[
            "pipeline.vcs.branch",
            "pipeline.trigger_parameters.git.branch",
            "pipeline.trigger_parameters.gitlab.branch",
        ])
        .unwrap_or_default();
    if !config.takes_job(&name) || !(branch.is_empty() || config.takes_branch(&branch)) {
        return Ok(Parsed::ignored(format!(
            "workflow `{name}` on `{branch}` is not among this hook's `jobs` and `branches`"
        )));
    }
    let status = match json.str("workflow.status") {
        Some("success") => Status::Succeeded,
        Some("canceled") => Status::Canceled,
        _ => Status::Failed,
    };
    let ended_at = json.first_time(&["workflow.stopped_at", "happened_at"])?;
    let version = json.first(&[
        "pipeline.vcs.revision",
        "pipeline.trigger_parameters.git.checkout_sha",
        "pipeline.trigger_parameters.gitlab.checkout_sha",
    ]);
    let author = json.first(&["pipeline.vcs.commit.author.name", "pipeline.trigger_parameters.git.commit_author_name"]);
    let subject = json.first(&["pipeline.vcs.commit.subject", "pipeline.trigger_parameters.git.commit_title"]);
    let repository = json.first(&["pipeline.vcs.target_repository_url", "pipeline.trigger_parameters.git.repo_url"]);
    let slug = json.text("project.slug").unwrap_or_default();
    let event = DeployEvent {
        id: Some(format!("circleci:{}", json.required("workflow.id")?)),
        service: json.text("project.name").unwrap_or_else(|| short_name(&slug).to_owned()),
        commits: version.iter().map(|id| commit(id, author.clone(), subject.as_deref(), None)).collect(),
        version,
        status: Some(status),
        started_at: json.first_time(&["workflow.created_at", "pipeline.created_at"])?,
        live_at: ended_at.filter(|_| status == Status::Succeeded),
        finished_at: ended_at,
        actor: author,
        title: subject,
        url: json.text("workflow.url"),
        repository: repository.as_deref().and_then(full_name),
        labels: [("workflow".to_owned(), name), ("ref".to_owned(), branch)].into(),
        ..DeployEvent::default()
    };
    Ok(Parsed::one(foreign(dated(event, request.received_at)), json.text("id")))
}
