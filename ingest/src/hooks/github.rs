//! GitHub: `deployment`, `deployment_status` and, where configured, `workflow_run`, `release` and `push`.
//!
//! <https://docs.github.com/en/webhooks/webhook-events-and-payloads>
//!
//! **Service**: `deployment.payload.service` (or `name`, or `app`), else what follows `deploy:` in `deployment.task`,
//! else the repository's name. **Identity**: `github:owner/repo:DEPLOYMENT`, so a deployment and its statuses add up
//! to one deploy. The status `inactive` says that a later deployment has taken over: it is no deploy, and ignored.

use deployline_schemas::{
    DeployEvent,
    deploy::{Commit, Kind, Status},
};
use serde_json::Value;

use super::{
    HookConfig, HookError, HookRequest,
    event::{Parsed, commit, first_line, foreign},
    json::{Json, document},
    repository::{compare_url, short_ref},
};

pub(super) const SETUP: &str = r#"
# GitHub: Settings > Webhooks > Add webhook, of a repository or of the whole organization
#   Payload URL    {base_url}/hooks/github
#   Content type   application/json
#   Secret         the value of GITHUB_SECRET
#   Events         Deployments, Deployment statuses
# or, with the command-line client:
gh api repos/OWNER/REPO/hooks -f name=web -F active=true \
  -f 'events[]=deployment' -f 'events[]=deployment_status' \
  -f config[url]={base_url}/hooks/github -f config[content_type]=json -f config[secret]="$GITHUB_SECRET"

# deployline.toml
[[hook]]
source = "github"
secret = "env:GITHUB_SECRET"
# events = ["workflow_run"]     # shops that deploy from a workflow and use no deployments; also "release", "push"
# jobs = ["Deploy*"]            # the workflows that deploy
"#;

pub(super) fn parse(request: &HookRequest, config: &HookConfig) -> Result<Parsed, HookError> {
    let body = document(request)?;
    let json = Json(&body);
    let event = match request.header("x-github-event") {
        Some(event) => event,
        // A body passed by hand or through a queue has lost its headers: it still tells by its shape.
        None => shape(json).ok_or_else(|| HookError::missing("X-GitHub-Event"))?,
    };
    let delivery_id = request.header("x-github-delivery").map(str::to_owned);
    let read = match event {
        "ping" => return Ok(Parsed::ignored("pong: the webhook is set up")),
        "deployment" => deployment(json, config)?,
        "deployment_status" => match json.str("deployment_status.state") {
            Some("inactive") => return Ok(Parsed::ignored("a later deployment has made this one inactive")),
            _ => deployment(json, config)?,
        },
        "workflow_run" | "release" | "push" if !config.takes(event) => {
            return Ok(Parsed::ignored(format!(
                "`{event}` counts as a deploy only where this hook's `events` lists it"
            )));
        }
        "workflow_run" => workflow_run(json, config)?,
        "release" => release(json)?,
        "push" => push(json, config)?,
        other => return Ok(Parsed::ignored(format!("the event `{other}` is no deploy"))),
    };
    Ok(match read {
        Ok(event) => Parsed::one(foreign(event), delivery_id),
        Err(reason) => Parsed::Ignored(reason),
    })
}

/// The event, or why it is none.
type Read = Result<Result<DeployEvent, String>, HookError>;

fn shape(json: Json<'_>) -> Option<&'static str> {
    ["deployment_status", "deployment", "workflow_run", "release"]
        .into_iter()
        .find(|key| json.at(key).is_some())
        .or_else(|| json.at("pusher").map(|_| "push"))
        .or_else(|| json.at("zen").map(|_| "ping"))
}

fn deployment(json: Json<'_>, config: &HookConfig) -> Read {
    let repository = json.required("repository.full_name")?;
    let id = json.required("deployment.id")?;
    let branch = json.str("deployment.ref").unwrap_or_default();
    if !config.takes_branch(branch) {
        return Ok(Err(format!("`{branch}` is not among this hook's `branches`")));
    }
    let task = json.str("deployment.task").unwrap_or("deploy");
    let created_at = json.time("deployment.created_at")?;
    // A status that GitHub adds one day must not turn a deploy into an error: it is under way.
    let state = json.str("deployment_status.state").unwrap_or("queued");
    let status = match state {
        "queued" | "pending" | "waiting" => Status::Queued,
        "success" => Status::Succeeded,
        "failure" | "error" => Status::Failed,
        _ => Status::Started,
    };
    let status_at = json.time("deployment_status.created_at")?;
    let version = json.required("deployment.sha")?;
    let payload = payload(json);
    let payload = Json(&payload);
    let previous_version = payload.first(&["previous_version", "previous_sha"]);
    let page = json.str("repository.html_url").unwrap_or_default();
    let note = json.first(&["deployment_status.description", "deployment.description"]);
    let mut event = DeployEvent {
        id: Some(format!("github:{repository}:{id}")),
        service: service(json, payload, task)?,
        environment: json.first(&["deployment_status.environment", "deployment.environment"]),
        kind: kind(task),
        diff_url: previous_version.as_deref().and_then(|before| compare_url(page, before, &version)),
        previous_version,
        status: Some(status),
        started_at: created_at.or(status_at),
        live_at: status_at.filter(|_| status == Status::Succeeded),
        finished_at: status_at.filter(|_| status.is_final()),
        actor: json.first(&["deployment.creator.login", "sender.login"]),
        title: note.or_else(|| json.text("workflow_run.display_title")),
        url: json.first(&[
            "deployment_status.log_url",
            "deployment_status.target_url",
            "deployment_status.environment_url",
            "workflow_run.html_url",
        ]),
        commits: vec![Commit {
            id: version.clone(),
            url: Some(format!("{page}/commit/{version}")),
            ..Commit::default()
        }],
        version: Some(version),
        repository: Some(repository),
        ..DeployEvent::default()
    };
    event.labels.insert("ref".to_owned(), short_ref(branch).to_owned());
    if task != "deploy" {
        event.labels.insert("task".to_owned(), task.to_owned());
    }
    Ok(Ok(event))
}

/// `deployment.payload`: an object, or text that holds one.
fn payload(json: Json<'_>) -> Value {
    match json.at("deployment.payload").map(|payload| payload.0) {
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_default(),
        Some(payload) => payload.clone(),
        None => Value::Null,
    }
}

fn service(json: Json<'_>, payload: Json<'_>, task: &str) -> Result<String, HookError> {
    let of_task = || task.strip_prefix("deploy:").filter(|name| !name.is_empty() && kind(task) == Kind::Deploy);
    let told = payload.first(&["service", "name", "app"]).or_else(|| of_task().map(str::to_owned));
    told.map_or_else(|| json.required("repository.name"), Ok)
}

fn kind(task: &str) -> Kind {
    match task {
        task if task.contains("rollback") => Kind::Rollback,
        task if task.contains("migrat") => Kind::Migration,
        _ => Kind::Deploy,
    }
}

fn workflow_run(json: Json<'_>, config: &HookConfig) -> Read {
    let name = json.first(&["workflow_run.name", "workflow.name"]).unwrap_or_default();
    let branch = json.str("workflow_run.head_branch").unwrap_or_default();
    if !config.takes_job(&name) || !config.takes_branch(branch) {
        return Ok(Err(format!("workflow `{name}` on `{branch}` is not among this hook's `jobs` and `branches`")));
    }
    let repository = json.required("repository.full_name")?;
    let status = match (json.str("workflow_run.status"), json.str("workflow_run.conclusion")) {
        (_, Some("success")) => Status::Succeeded,
        (_, Some("skipped" | "neutral" | "stale")) => {
            return Ok(Err("the workflow run was skipped".to_owned()));
        }
        (_, Some("cancelled")) => Status::Canceled,
        (_, Some(_)) => Status::Failed,
        (Some("in_progress"), None) => Status::Started,
        (_, None) => Status::Queued,
    };
    let ended_at = json.time("workflow_run.updated_at")?.filter(|_| status.is_final());
    Ok(Ok(DeployEvent {
        id: Some(format!("github:{repository}:run:{}", json.required("workflow_run.id")?)),
        service: json.required("repository.name")?,
        version: json.text("workflow_run.head_sha"),
        status: Some(status),
        started_at: json.first_time(&["workflow_run.run_started_at", "workflow_run.created_at"])?,
        live_at: ended_at.filter(|_| status == Status::Succeeded),
        finished_at: ended_at,
        actor: json.first(&["workflow_run.triggering_actor.login", "workflow_run.actor.login", "sender.login"]),
        title: json.first(&["workflow_run.display_title", "workflow_run.head_commit.message"]),
        url: json.text("workflow_run.html_url"),
        repository: Some(repository),
        commits: json.at("workflow_run.head_commit").and_then(head_commit).into_iter().collect(),
        labels: [("workflow".to_owned(), name), ("ref".to_owned(), branch.to_owned())].into(),
        ..DeployEvent::default()
    }))
}

fn release(json: Json<'_>) -> Read {
    // A release sends `created`, `published` and `released`, and they are one release: the first that is public counts.
    let action = json.str("action").unwrap_or_default();
    if !matches!(action, "published" | "released" | "prereleased") || json.is_true("release.draft") {
        return Ok(Err(format!("a release that is `{action}` puts nothing out")));
    }
    let repository = json.required("repository.full_name")?;
    let tag = json.required("release.tag_name")?;
    let at = json.first_time(&["release.published_at", "release.created_at"])?;
    Ok(Ok(DeployEvent {
        id: Some(format!("github:{repository}:release:{}", json.required("release.id")?)),
        service: json.required("repository.name")?,
        title: Some(json.text("release.name").unwrap_or_else(|| format!("release {tag}"))),
        version: Some(tag),
        status: Some(Status::Succeeded),
        started_at: at,
        live_at: at,
        finished_at: at,
        actor: json.first(&["release.author.login", "sender.login"]),
        url: json.text("release.html_url"),
        repository: Some(repository),
        ..DeployEvent::default()
    }))
}

fn push(json: Json<'_>, config: &HookConfig) -> Read {
    let name = json.str("ref").unwrap_or_default();
    if json.is_true("deleted") {
        return Ok(Err(format!("the push deletes `{name}`")));
    }
    // Without `branches` only the default branch is what a shop runs.
    let default = json.str("repository.default_branch").unwrap_or("main");
    let counts = if config.branches.is_empty() { short_ref(name) == default } else { config.takes_branch(name) };
    if !counts {
        return Ok(Err(format!("a push to `{name}` is not among this hook's `branches`")));
    }
    let repository = json.required("repository.full_name")?;
    let after = json.required("after")?;
    let at = match json.first_time(&["head_commit.timestamp", "repository.pushed_at"])? {
        Some(at) => at,
        None => return Err(HookError::missing("head_commit.timestamp")),
    };
    let commits: Vec<Commit> = json.items("commits").filter_map(head_commit).collect();
    Ok(Ok(DeployEvent {
        id: Some(format!("github:{repository}:push:{}:{after}", short_ref(name))),
        service: json.required("repository.name")?,
        version: Some(after),
        previous_version: json.text("before").filter(|before| before.chars().any(|c| c != '0')),
        status: Some(Status::Succeeded),
        started_at: Some(at),
        live_at: Some(at),
        finished_at: Some(at),
        actor: json.first(&["sender.login", "pusher.name"]),
        title: json.str("head_commit.message").map(|message| first_line(message).to_owned()),
        url: json.text("head_commit.url"),
        diff_url: json.text("compare"),
        repository: Some(repository),
        commits,
        labels: [("ref".to_owned(), short_ref(name).to_owned())].into(),
        ..DeployEvent::default()
    }))
}

fn head_commit(json: Json<'_>) -> Option<Commit> {
    let author = json.first(&["author.username", "author.name"]);
    Some(commit(json.str("id")?, author, json.str("message"), json.text("url")))
}
