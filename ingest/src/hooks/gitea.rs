//! Gitea and Forgejo: where configured, `workflow_run`, `release`, `push` and `merge`.
//!
//! <https://docs.gitea.com/usage/webhooks>
//!
//! Gitea has no webhook for deployments, so `events` of the hook says what counts. **Service**: the repository's name.
//! **Identity**: `gitea:owner/repository:run:ID`, `…:release:ID`, `…:push:BRANCH:COMMIT`, `…:merge:NUMBER`.

use deployline_schemas::{
    DeployEvent, UnixMillis,
    deploy::{Commit, Status},
};

use super::{
    HookConfig, HookError, HookRequest,
    arrival::dated,
    event::{Parsed, commit, foreign},
    json::{Json, document},
    repository::short_ref,
};

pub(super) const SETUP: &str = r#"
# Gitea: Settings > Webhooks > Add Webhook > Gitea
#   Target URL    {base_url}/hooks/gitea
#   Content type  application/json
#   Secret        the value of GITEA_SECRET
#   Trigger on    Workflow runs, or Releases, or Push

# deployline.toml
[[hook]]
source   = "gitea"
secret   = "env:GITEA_SECRET"
events   = ["push"]              # what counts as a deploy: "workflow_run", "release", "push", "merge"
branches = ["main"]
"#;

pub(super) fn parse(request: &HookRequest, config: &HookConfig) -> Result<Parsed, HookError> {
    let body = document(request)?;
    let json = Json(&body);
    let told = ["x-gitea-event", "x-forgejo-event", "x-gogs-event", "x-github-event"]
        .into_iter()
        .find_map(|name| request.header(name));
    let event = told.or_else(|| shape(json)).ok_or_else(|| HookError::missing("X-Gitea-Event"))?;
    let name = if event == "pull_request" { "merge" } else { event };
    if !matches!(name, "workflow_run" | "release" | "push" | "merge") {
        return Ok(Parsed::ignored(format!("the event `{event}` is no deploy")));
    }
    if !config.takes(name) {
        return Ok(Parsed::ignored(format!("`{name}` counts as a deploy only where this hook's `events` lists it")));
    }
    let read = match name {
        "workflow_run" => workflow_run(json, config)?,
        "release" => release(json)?,
        "push" => push(json, config)?,
        _ => merge(json, config)?,
    };
    let delivery_id = request.header("x-gitea-delivery").or_else(|| request.header("x-github-delivery"));
    Ok(match read {
        Some(event) => Parsed::one(foreign(dated(event, request.received_at)), delivery_id.map(str::to_owned)),
        None => {
            Parsed::ignored(format!("this `{name}` puts nothing out, or is not among the hook's `jobs` and `branches`"))
        }
    })
}

fn shape(json: Json<'_>) -> Option<&'static str> {
    ["pull_request", "release", "workflow_run"]
        .into_iter()
        .find(|field| json.at(field).is_some())
        .or_else(|| json.at("pusher").map(|_| "push"))
}

fn base(json: Json<'_>, id: &str, at: Option<UnixMillis>) -> Result<DeployEvent, HookError> {
    let repository = json.required("repository.full_name")?;
    Ok(DeployEvent {
        id: Some(format!("gitea:{repository}:{id}")),
        service: json.required("repository.name")?,
        status: Some(Status::Succeeded),
        started_at: at,
        live_at: at,
        finished_at: at,
        actor: json.first(&["sender.login", "sender.username", "pusher.login"]),
        repository: Some(repository),
        ..DeployEvent::default()
    })
}

fn workflow_run(json: Json<'_>, config: &HookConfig) -> Result<Option<DeployEvent>, HookError> {
    let run = json.at("workflow_run").ok_or_else(|| HookError::missing("workflow_run"))?;
    let name = run.text("name").or_else(|| json.text("workflow.name")).unwrap_or_default();
    if !config.takes_job(&name) || !config.takes_branch(run.str("head_branch").unwrap_or_default()) {
        return Ok(None);
    }
    let status = match (run.str("status"), run.str("conclusion")) {
        (_, Some("success")) => Status::Succeeded,
        (_, Some("skipped")) => return Ok(None),
        (_, Some("cancelled")) => Status::Canceled,
        (_, Some(_)) => Status::Failed,
        (Some("in_progress"), None) => Status::Started,
        (_, None) => Status::Queued,
    };
    let ended_at = run.first_time(&["completed_at", "updated_at"])?.filter(|_| status.is_final());
    Ok(Some(DeployEvent {
        version: run.text("head_sha"),
        status: Some(status),
        started_at: run.first_time(&["run_started_at", "started_at", "created_at"])?,
        live_at: ended_at.filter(|_| status == Status::Succeeded),
        finished_at: ended_at,
        title: run.text("display_title"),
        url: run.text("html_url"),
        labels: [("workflow".to_owned(), name)].into(),
        ..base(json, &format!("run:{}", run.required("id")?), None)?
    }))
}

fn release(json: Json<'_>) -> Result<Option<DeployEvent>, HookError> {
    if json.str("action").is_some_and(|action| action != "published") || json.is_true("release.draft") {
        return Ok(None);
    }
    let at = json.first_time(&["release.published_at", "release.created_at"])?;
    Ok(Some(DeployEvent {
        version: Some(json.required("release.tag_name")?),
        title: json.text("release.name"),
        url: json.text("release.html_url"),
        ..base(json, &format!("release:{}", json.required("release.id")?), at)?
    }))
}

fn push(json: Json<'_>, config: &HookConfig) -> Result<Option<DeployEvent>, HookError> {
    let branch = short_ref(json.str("ref").unwrap_or_default());
    let after = json.required("after")?;
    let default = json.str("repository.default_branch").unwrap_or("main");
    let counts = if config.branches.is_empty() { branch == default } else { config.takes_branch(branch) };
    if !counts || after.bytes().all(|byte| byte == b'0') {
        return Ok(None);
    }
    let commits: Vec<Commit> = json.items("commits").filter_map(pushed_commit).collect();
    let mut at = json.time("head_commit.timestamp")?;
    for commit in json.items("commits") {
        at = at.max(commit.time("timestamp")?);
    }
    Ok(Some(DeployEvent {
        previous_version: json.text("before").filter(|before| before.bytes().any(|byte| byte != b'0')),
        title: commits.first().and_then(|commit| commit.message.clone()),
        diff_url: json.text("compare_url"),
        commits,
        labels: [("ref".to_owned(), branch.to_owned())].into(),
        version: Some(after.clone()),
        ..base(json, &format!("push:{branch}:{after}"), at)?
    }))
}

fn merge(json: Json<'_>, config: &HookConfig) -> Result<Option<DeployEvent>, HookError> {
    let branch = json.str("pull_request.base.ref").unwrap_or_default();
    if !json.is_true("pull_request.merged") || !config.takes_branch(branch) {
        return Ok(None);
    }
    let at = json.first_time(&["pull_request.merged_at", "pull_request.updated_at"])?;
    Ok(Some(DeployEvent {
        version: json.text("pull_request.merge_commit_sha"),
        previous_version: json.text("pull_request.merge_base"),
        title: json.text("pull_request.title"),
        url: json.text("pull_request.html_url"),
        diff_url: json.text("pull_request.diff_url"),
        labels: [("ref".to_owned(), branch.to_owned())].into(),
        ..base(json, &format!("merge:{}", json.required("pull_request.number")?), at)?
    }))
}

fn pushed_commit(json: Json<'_>) -> Option<Commit> {
    let author = json.first(&["author.username", "author.name"]);
    Some(commit(json.str("id")?, author, json.str("message"), json.text("url")))
}
