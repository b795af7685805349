//! Bitbucket Cloud and Data Center: build statuses of deploys and, where configured, `push` and `merge`.
//!
//! <https://support.atlassian.com/bitbucket-cloud/docs/event-payloads/>
//!
//! Bitbucket has no webhook for deployments. A deploy shows as a build status on the commit: one whose key or name
//! holds `deploy` counts (`jobs` of the hook says otherwise). **Service**: the repository. **Identity**:
//! `bitbucket:workspace/repository:status:KEY:COMMIT`, `…:push:BRANCH:COMMIT`, `…:merge:NUMBER`.

use deployline_schemas::{
    DeployEvent, UnixMillis,
    deploy::{Commit, Status},
};

use super::{
    HookConfig, HookError, HookRequest,
    arrival::dated,
    event::{Parsed, commit, foreign},
    json::{Json, document},
    repository::{compare_url, short_name, short_ref},
};

pub(super) const SETUP: &str = r#"
# Bitbucket: Repository settings > Webhooks > Add webhook
#   URL       {base_url}/hooks/bitbucket
#   Secret    the value of BITBUCKET_SECRET
#   Triggers  Build status created, Build status updated; or Push; or Pull request merged

# deployline.toml
[[hook]]
source = "bitbucket"
secret = "env:BITBUCKET_SECRET"
jobs   = ["*deploy*"]              # the build statuses that are deploys
# events = ["push", "merge"]       # or: what reaches these branches is live
# branches = ["main"]
"#;

pub(super) fn parse(request: &HookRequest, config: &HookConfig) -> Result<Parsed, HookError> {
    let body = document(request)?;
    let json = Json(&body);
    let told = request.header("x-event-key").map(str::to_owned).or_else(|| json.text("eventKey"));
    let key = told.or_else(|| shape(json).map(str::to_owned)).ok_or_else(|| HookError::missing("X-Event-Key"))?;
    let delivery_id =
        ["x-request-uuid", "x-request-id", "x-hook-uuid"].into_iter().take(2).find_map(|name| request.header(name));
    let name = match key.as_str() {
        "repo:push" | "repo:refs_changed" => "push",
        "pullrequest:fulfilled" | "pull:request-merged" | "pullrequest:merged" | "pr:merged" => "merge",
        key if key.contains("commit_status") || key.contains("commit-status") => "status",
        "diagnostics:ping" => return Ok(Parsed::ignored("pong: the webhook is set up")),
        other => return Ok(Parsed::ignored(format!("the event `{other}` is no deploy"))),
    };
    if name != "status" && !config.takes(name) {
        return Ok(Parsed::ignored(format!("`{name}` counts as a deploy only where this hook's `events` lists it")));
    }
    let events = match name {
        "status" => status(json, config)?.into_iter().collect(),
        "push" => push(json, config)?,
        _ => merge(json, config)?.into_iter().collect(),
    };
    if events.is_empty() {
        return Ok(Parsed::ignored(format!("no `{name}` in it is among this hook's `jobs` and `branches`")));
    }
    let events = events.into_iter().map(|event| foreign(dated(event, request.received_at))).collect();
    Ok(Parsed::Events { events, delivery_id: delivery_id.map(str::to_owned) })
}

fn shape(json: Json<'_>) -> Option<&'static str> {
    [("push", "repo:push"), ("commit_status", "repo:commit_status_created"), ("pullrequest", "pullrequest:fulfilled")]
        .into_iter()
        .find_map(|(field, key)| json.at(field).map(|_| key))
}

/// `workspace/repository`, or `PROJECT/repository` in a data center.
fn full_name(json: Json<'_>) -> Option<String> {
    let in_center = || Some(format!("{}/{}", json.str("project.key")?, json.str("slug")?));
    json.text("full_name").or_else(in_center).or_else(|| json.text("name"))
}

fn repository(json: Json<'_>) -> Result<String, HookError> {
    let of_merge = || json.at("pullRequest.toRef.repository").and_then(full_name);
    json.at("repository").and_then(full_name).or_else(of_merge).ok_or_else(|| HookError::missing("repository"))
}

fn actor(json: Json<'_>) -> Option<String> {
    json.first(&["actor.nickname", "actor.username", "actor.name", "actor.display_name"])
}

fn finished(event: DeployEvent, at: Option<UnixMillis>) -> DeployEvent {
    DeployEvent { status: Some(Status::Succeeded), started_at: at, live_at: at, finished_at: at, ..event }
}

fn status(json: Json<'_>, config: &HookConfig) -> Result<Option<DeployEvent>, HookError> {
    let status = json.at("commit_status").ok_or_else(|| HookError::missing("commit_status"))?;
    let (key, name) = (status.text("key").unwrap_or_default(), status.text("name").unwrap_or_default());
    let is_deploy = |text: &str| text.to_lowercase().contains("deploy");
    let counts = match config.jobs.is_empty() {
        true => is_deploy(&key) || is_deploy(&name),
        false => config.takes_job(&key) || config.takes_job(&name),
    };
    if !counts {
        return Ok(None);
    }
    let repository = repository(json)?;
    let state = match status.str("state") {
        Some("SUCCESSFUL") => Status::Succeeded,
        Some("FAILED") => Status::Failed,
        Some("STOPPED") => Status::Canceled,
        _ => Status::Started,
    };
    let sha = status.text("commit.hash");
    let ended_at = status.time("updated_on")?.filter(|_| state.is_final());
    Ok(Some(DeployEvent {
        id: Some(format!("bitbucket:{repository}:status:{key}:{}", sha.as_deref().unwrap_or_default())),
        service: short_name(&repository).to_owned(),
        environment: super::tags::environment_in(&key.to_lowercase()),
        version: sha,
        status: Some(state),
        started_at: status.first_time(&["created_on", "updated_on"])?,
        live_at: ended_at.filter(|_| state == Status::Succeeded),
        finished_at: ended_at,
        actor: actor(json),
        title: Some(name),
        url: status.text("url"),
        repository: Some(repository),
        ..DeployEvent::default()
    }))
}

fn push(json: Json<'_>, config: &HookConfig) -> Result<Vec<DeployEvent>, HookError> {
    let repository = repository(json)?;
    let page = json.text("repository.links.html.href").unwrap_or_else(|| format!("https://bitbucket.org/{repository}"));
    let mut events = Vec::new();
    for change in json.items("push.changes").chain(json.items("changes")) {
        // A deleted branch has no `new` in the cloud, and no `toHash` but zeros in a data center.
        let Some(after) = change.first(&["new.target.hash", "toHash"]).filter(|hash| !is_zero(hash)) else { continue };
        let branch = change.first(&["new.name", "ref.displayId", "refId"]).unwrap_or_default();
        if !config.takes_branch(&branch) {
            continue;
        }
        let before = change.first(&["old.target.hash", "fromHash"]).filter(|hash| !is_zero(hash));
        let at = match change.time("new.target.date")? {
            Some(at) => Some(at),
            None => json.time("date")?,
        };
        let commits: Vec<Commit> = change.items("commits").filter_map(pushed_commit).collect();
        let event = DeployEvent {
            id: Some(format!("bitbucket:{repository}:push:{}:{after}", short_ref(&branch))),
            service: short_name(&repository).to_owned(),
            diff_url: before.as_deref().and_then(|before| compare_url(&page, before, &after)),
            previous_version: before,
            version: Some(after),
            actor: actor(json),
            title: commits.first().and_then(|commit| commit.message.clone()),
            repository: Some(repository.clone()),
            commits,
            labels: [("ref".to_owned(), short_ref(&branch).to_owned())].into(),
            ..DeployEvent::default()
        };
        events.push(finished(event, at));
    }
    Ok(events)
}

fn is_zero(hash: &str) -> bool {
    hash.bytes().all(|byte| byte == b'0')
}

fn pushed_commit(json: Json<'_>) -> Option<Commit> {
    let author =
        json.first(&["author.user.username", "author.user.nickname", "author.user.display_name", "author.raw"]);
    Some(commit(json.str("hash")?, author, json.str("message"), json.text("links.html.href")))
}

fn merge(json: Json<'_>, config: &HookConfig) -> Result<Option<DeployEvent>, HookError> {
    let request = json.at("pullrequest").or_else(|| json.at("pullRequest"));
    let request = request.ok_or_else(|| HookError::missing("pullrequest"))?;
    let branch = request.first(&["destination.branch.name", "toRef.displayId"]).unwrap_or_default();
    if !config.takes_branch(&branch) {
        return Ok(None);
    }
    let repository = repository(json)?;
    let at = match request.first_time(&["closedDate", "updated_on", "updatedDate"])? {
        Some(at) => Some(at),
        None => json.time("date")?,
    };
    let event = DeployEvent {
        id: Some(format!("bitbucket:{repository}:merge:{}", request.required("id")?)),
        service: short_name(&repository).to_owned(),
        version: request.first(&["merge_commit.hash", "properties.mergeCommit.id"]),
        previous_version: request.first(&["destination.commit.hash", "toRef.latestCommit"]),
        actor: actor(json),
        title: request.text("title"),
        url: request.text("links.html.href"),
        repository: Some(repository),
        labels: [("ref".to_owned(), branch)].into(),
        ..DeployEvent::default()
    };
    Ok(Some(finished(event, at)))
}
