//! GitLab: deployment, pipeline, job and feature flag hooks and, where configured, `release` and `push`.
//!
//! <https://docs.gitlab.com/user/project/integrations/webhook_events/>
//!
//! **Service**: the last part of the project's path. **Identity**: `gitlab:group/project:JOB`, the job that deploys, so
//! that the deployment hook, the job hook and the pipeline hook of one deploy add up; a deployment that the API made has
//! no job and is `gitlab:group/project:deployment:ID`. Of a pipeline, the jobs with an environment count; a pipeline
//! without any is a deploy only where `events` lists `pipeline`.

use deployline_schemas::{
    DeployEvent, UnixMillis,
    deploy::{Commit, Kind, Status},
};

use super::{
    HookConfig, HookError, HookRequest,
    arrival::dated,
    event::{Parsed, commit, foreign},
    json::{Json, document},
    repository::{full_name, short_name, short_ref},
};

pub(super) const SETUP: &str = r#"
# GitLab: Settings > Webhooks > Add new webhook, of a project or a group
#   URL            {base_url}/hooks/gitlab
#   Secret token   the value of GITLAB_SECRET (or a signing token: whsec_...)
#   Trigger        Deployment events (and Feature flag events)
curl --request POST "https://gitlab.example.com/api/v4/projects/PROJECT/hooks" \
  --header "PRIVATE-TOKEN: $GITLAB_API_TOKEN" --data "url={base_url}/hooks/gitlab" \
  --data "deployment_events=true" --data "push_events=false" --data "token=$GITLAB_SECRET"

# deployline.toml
[[hook]]
source = "gitlab"
secret = "env:GITLAB_SECRET"
# events = ["pipeline"]      # pipelines without environments count too; also "release", "push"
"#;

pub(super) fn parse(request: &HookRequest, config: &HookConfig) -> Result<Parsed, HookError> {
    let body = document(request)?;
    let json = Json(&body);
    let kind = json.required("object_kind")?;
    let delivery_id =
        ["idempotency-key", "webhook-id", "x-gitlab-event-uuid"].into_iter().find_map(|name| request.header(name));
    let branch = json.first(&["ref", "object_attributes.ref"]).unwrap_or_default();
    if !branch.is_empty() && !config.takes_branch(&branch) {
        return Ok(Parsed::ignored(format!("`{branch}` is not among this hook's `branches`")));
    }
    let events = match kind.as_str() {
        "deployment" => vec![deployment(json)?],
        "pipeline" => pipeline(json, config)?,
        "build" => job(json)?.into_iter().collect(),
        "feature_flag" => vec![dated(feature_flag(json, delivery_id)?, request.received_at)],
        "release" | "push" | "tag_push" if !config.takes(&kind) => {
            return Ok(Parsed::ignored(format!(
                "`{kind}` counts as a deploy only where this hook's `events` lists it"
            )));
        }
        "release" => vec![release(json)?],
        // Without `branches` only the default branch is what a shop runs.
        "push"
            if config.branches.is_empty()
                && json.str("project.default_branch").is_some_and(|name| name != short_ref(&branch)) =>
        {
            return Ok(Parsed::ignored(format!("a push to `{branch}` is not among this hook's `branches`")));
        }
        "push" | "tag_push" => push(json)?.into_iter().collect(),
        other => return Ok(Parsed::ignored(format!("the event `{other}` is no deploy"))),
    };
    if events.is_empty() {
        return Ok(Parsed::ignored(format!("nothing in this `{kind}` was deployed to an environment")));
    }
    Ok(Parsed::Events {
        events: events.into_iter().map(foreign).collect(),
        delivery_id: delivery_id.map(str::to_owned),
    })
}

fn project(json: Json<'_>) -> Result<String, HookError> {
    // The job hook has no path, only the address of the project's page.
    let of_page = || full_name(json.str("repository.homepage")?);
    let path = json.text("project.path_with_namespace").or_else(of_page);
    path.ok_or_else(|| HookError::missing("project.path_with_namespace"))
}

/// The status of a deployment, pipeline or job; `None` while nothing has come of it.
fn status(word: &str) -> Option<Status> {
    Some(match word {
        "running" | "canceling" => Status::Started,
        "success" => Status::Succeeded,
        "failed" => Status::Failed,
        "canceled" => Status::Canceled,
        "created" | "pending" | "preparing" | "waiting_for_resource" | "blocked" => Status::Queued,
        _ => return None,
    })
}

/// The start and the end of what has this status since `at`.
fn with_times(event: DeployEvent, status: Status, at: Option<UnixMillis>) -> DeployEvent {
    DeployEvent {
        status: Some(status),
        started_at: event.started_at.or(at),
        live_at: at.filter(|_| status == Status::Succeeded),
        finished_at: at.filter(|_| status.is_final()),
        ..event
    }
}

fn deployment(json: Json<'_>) -> Result<DeployEvent, HookError> {
    let repository = project(json)?;
    let id = match json.text("deployable_id") {
        Some(job) => format!("gitlab:{repository}:{job}"),
        None => format!("gitlab:{repository}:deployment:{}", json.required("deployment_id")?),
    };
    let word = json.required("status")?;
    let status = status(&word).unwrap_or(Status::Started);
    let short_sha = json.required("short_sha")?;
    // The full revision stands in the commit's address only.
    let commit_url = json.text("commit_url");
    let full_sha = commit_url.as_deref().map(short_name).filter(|sha| sha.starts_with(&short_sha)).map(str::to_owned);
    let version = full_sha.unwrap_or(short_sha);
    let event = DeployEvent {
        id: Some(id),
        service: short_name(&repository).to_owned(),
        environment: json.text("environment"),
        actor: json.first(&["user.username", "user.name"]),
        title: json.text("commit_title"),
        url: json.first(&["deployable_url", "environment_external_url", "project.web_url"]),
        commits: vec![commit(&version, None, json.str("commit_title"), commit_url)],
        version: Some(version),
        repository: Some(repository),
        labels: json.text("environment_tier").map(|tier| ("environment_tier".to_owned(), tier)).into_iter().collect(),
        ..DeployEvent::default()
    };
    Ok(with_times(event, status, json.time("status_changed_at")?))
}

fn pipeline(json: Json<'_>, config: &HookConfig) -> Result<Vec<DeployEvent>, HookError> {
    let repository = project(json)?;
    let base = |id: String| DeployEvent {
        id: Some(format!("gitlab:{repository}:{id}")),
        service: short_name(&repository).to_owned(),
        version: json.text("object_attributes.sha"),
        title: json.first(&["object_attributes.name", "commit.title", "commit.message"]),
        url: json.text("object_attributes.url"),
        actor: json.first(&["user.username", "user.name"]),
        repository: Some(repository.clone()),
        commits: json.at("commit").and_then(head_commit).into_iter().collect(),
        ..DeployEvent::default()
    };
    let mut events = Vec::new();
    for job in json.items("builds").filter(|job| deploys_somewhere(*job)) {
        let Some(status) = job.str("status").and_then(status).filter(|status| *status != Status::Queued) else {
            continue;
        };
        let event = DeployEvent {
            environment: job.text("environment.name"),
            started_at: job.first_time(&["started_at", "created_at"])?,
            actor: job.text("user.username").or_else(|| json.text("user.username")),
            ..base(job.required("id")?)
        };
        events.push(with_times(event, status, job.time("finished_at")?));
    }
    if events.is_empty() && config.takes("pipeline") {
        let event = DeployEvent {
            started_at: json.time("object_attributes.created_at")?,
            ..base(format!("pipeline:{}", json.required("object_attributes.id")?))
        };
        let status = json.str("object_attributes.status").and_then(status);
        events.extend(match status {
            Some(status) => Some(with_times(event, status, json.time("object_attributes.finished_at")?)),
            None => None,
        });
    }
    Ok(events)
}

fn deploys_somewhere(job: Json<'_>) -> bool {
    job.str("environment.name").is_some() && matches!(job.str("environment.action"), None | Some("start"))
}

fn job(json: Json<'_>) -> Result<Option<DeployEvent>, HookError> {
    let Some(status) = json.str("build_status").and_then(status).filter(|_| deploys_somewhere(json)) else {
        return Ok(None);
    };
    let repository = project(json)?;
    let event = DeployEvent {
        id: Some(format!("gitlab:{repository}:{}", json.required("build_id")?)),
        service: short_name(&repository).to_owned(),
        environment: json.text("environment.name"),
        version: json.text("sha"),
        started_at: json.first_time(&["build_started_at", "build_created_at"])?,
        actor: json.first(&["user.username", "user.name"]),
        title: json.text("commit.message"),
        repository: Some(repository),
        ..DeployEvent::default()
    };
    Ok(Some(with_times(event, status, json.time("build_finished_at")?)))
}

fn feature_flag(json: Json<'_>, delivery_id: Option<&str>) -> Result<DeployEvent, HookError> {
    let repository = project(json)?;
    let name = json.required("object_attributes.name")?;
    let state = if json.is_true("object_attributes.active") { "on" } else { "off" };
    Ok(DeployEvent {
        id: delivery_id.map(|id| format!("gitlab:{repository}:flag:{name}:{id}")),
        service: short_name(&repository).to_owned(),
        kind: Kind::Flag,
        version: Some(state.to_owned()),
        status: Some(Status::Succeeded),
        actor: json.first(&["user.username", "user.name"]),
        title: Some(format!("flag {name} turned {state}")),
        repository: Some(repository),
        labels: [("flag".to_owned(), name)].into(),
        ..DeployEvent::default()
    })
}

fn release(json: Json<'_>) -> Result<DeployEvent, HookError> {
    let repository = project(json)?;
    let tag = json.required("tag")?;
    let at = json.first_time(&["released_at", "created_at"])?;
    let event = DeployEvent {
        id: Some(format!("gitlab:{repository}:release:{tag}")),
        service: short_name(&repository).to_owned(),
        title: json.text("name"),
        url: json.text("url"),
        actor: json.text("commit.author.name"),
        version: Some(tag),
        repository: Some(repository),
        commits: json.at("commit").and_then(head_commit).into_iter().collect(),
        ..DeployEvent::default()
    };
    Ok(with_times(event, Status::Succeeded, at))
}

fn push(json: Json<'_>) -> Result<Option<DeployEvent>, HookError> {
    let repository = project(json)?;
    let after = json.required("after")?;
    if after.bytes().all(|byte| byte == b'0') {
        return Ok(None);
    }
    let commits: Vec<Commit> = json.items("commits").filter_map(head_commit).collect();
    let mut at = None;
    for commit in json.items("commits") {
        at = at.max(commit.time("timestamp")?);
    }
    let event = DeployEvent {
        id: Some(format!("gitlab:{repository}:push:{}:{after}", short_ref(json.str("ref").unwrap_or_default()))),
        service: short_name(&repository).to_owned(),
        previous_version: json.text("before").filter(|before| before.bytes().any(|byte| byte != b'0')),
        version: Some(after),
        actor: json.first(&["user_username", "user_name"]),
        title: commits.last().and_then(|commit| commit.message.clone()),
        url: json.text("project.web_url"),
        repository: Some(repository),
        commits,
        ..DeployEvent::default()
    };
    Ok(Some(with_times(event, Status::Succeeded, at)))
}

fn head_commit(json: Json<'_>) -> Option<Commit> {
    Some(commit(json.str("id")?, json.text("author.name"), json.str("message"), json.text("url")))
}
