//! Azure DevOps service hooks: release deployments, pipeline stages and runs, completed builds and, where configured,
//! `push`.
//!
//! <https://learn.microsoft.com/azure/devops/service-hooks/events>
//!
//! **Service**: the release definition, pipeline or build definition, without `deploy` at either end. **Identity**:
//! `azuredevops:deployment:RELEASE:ENVIRONMENT`, `…:stage:RUN:STAGE`, `…:run:RUN`, `…:build:ID`, each with the project.

use deployline_schemas::{
    DeployEvent, UnixMillis,
    deploy::{Commit, Status},
};

use super::{
    HookConfig, HookError, HookRequest,
    arrival::dated,
    event::{Parsed, commit, foreign},
    json::{Json, document},
    repository::{service_of_job, short_ref},
};

pub(super) const SETUP: &str = r#"
# Azure DevOps: Project settings > Service hooks > Create subscription > Web Hooks
#   Trigger   Release deployment started, Release deployment completed,
#             or Run stage state changed, or Build completed (filter by the pipeline that deploys)
#   URL       {base_url}/hooks/azuredevops
#   Basic authentication: any user name, password the value of AZURE_TOKEN

# deployline.toml
[[hook]]
source = "azuredevops"
secret = "env:AZURE_TOKEN"
# jobs = ["Deploy*"]           # the pipelines that deploy
"#;

pub(super) fn parse(request: &HookRequest, config: &HookConfig) -> Result<Parsed, HookError> {
    let body = document(request)?;
    let json = Json(&body);
    let kind = json.required("eventType")?;
    let resource = json.at("resource").ok_or_else(|| HookError::missing("resource"))?;
    let project = json.first(&["resource.project.name", "resourceContainers.project.id"]).unwrap_or_default();
    let event = match kind.as_str() {
        "ms.vss-release.deployment-started-event" | "ms.vss-release.deployment-completed-event" => {
            Some(deployment(resource, json, &project, kind.contains("started"))?)
        }
        "ms.vss-pipelines.stage-state-changed-event" => stage(resource, json, &project)?,
        "ms.vss-pipelines.run-state-changed-event" => run(resource, json, &project)?,
        "build.complete" => Some(build(resource, &project)?),
        "git.push" if config.takes("push") => push(resource, config, &project)?,
        "git.push" => {
            return Ok(Parsed::ignored("`push` counts as a deploy only where this hook's `events` lists it"));
        }
        other => return Ok(Parsed::ignored(format!("the event `{other}` is no deploy"))),
    };
    let Some(mut event) = event else {
        return Ok(Parsed::ignored(format!("this `{kind}` is no deploy yet")));
    };
    if !config.takes_job(&event.service) {
        return Ok(Parsed::ignored(format!("`{}` is not among this hook's `jobs`", event.service)));
    }
    if kind != "git.push" {
        event.service = service_of_job(&event.service);
    }
    event.title = event.title.or_else(|| json.text("message.text"));
    Ok(Parsed::one(foreign(dated(event, request.received_at)), json.text("id")))
}

fn status(word: Option<&str>) -> Status {
    match word.unwrap_or_default().to_ascii_lowercase().as_str() {
        "succeeded" | "partiallysucceeded" => Status::Succeeded,
        "failed" | "rejected" => Status::Failed,
        "canceled" | "stopped" | "cancelling" => Status::Canceled,
        "queued" | "notstarted" | "scheduled" | "waiting" => Status::Queued,
        _ => Status::Started,
    }
}

fn ended(event: DeployEvent, status: Status, at: Option<UnixMillis>) -> DeployEvent {
    let finished_at = at.filter(|_| status.is_final());
    let live_at = finished_at.filter(|_| status == Status::Succeeded);
    DeployEvent { status: Some(status), live_at, finished_at, ..event }
}

fn deployment(resource: Json<'_>, json: Json<'_>, project: &str, is_start: bool) -> Result<DeployEvent, HookError> {
    let release = resource.first(&["deployment.release.id", "environment.releaseId", "release.id"]);
    let environment = resource.first(&["environment.name", "deployment.releaseEnvironment.name"]);
    let status = match is_start {
        true => Status::Started,
        false => status(resource.str("deployment.deploymentStatus").or_else(|| resource.str("environment.status"))),
    };
    let created_at = json.time("createdDate")?;
    let event = DeployEvent {
        id: Some(format!(
            "azuredevops:{project}:deployment:{}:{}",
            release.ok_or_else(|| HookError::missing("resource.environment.releaseId"))?,
            environment.as_deref().unwrap_or_default(),
        )),
        service: resource
            .first(&[
                "environment.releaseDefinition.name",
                "deployment.releaseDefinition.name",
                "releaseDefinition.name",
            ])
            .ok_or_else(|| HookError::missing("resource.environment.releaseDefinition.name"))?,
        environment,
        version: resource.first(&["environment.release.name", "deployment.release.name", "release.name"]),
        started_at: resource.time("deployment.startedOn")?.or(created_at),
        actor: resource.first(&["deployment.requestedFor.displayName", "environment.owner.displayName"]),
        url: resource.first(&["environment.release._links.web.href", "release._links.web.href"]),
        ..DeployEvent::default()
    };
    let ended_at = resource.time("deployment.completedOn")?.or(created_at);
    Ok(ended(event, status, ended_at))
}

fn stage(resource: Json<'_>, json: Json<'_>, project: &str) -> Result<Option<DeployEvent>, HookError> {
    let name = resource.first(&["stage.displayName", "stage.name"]);
    let status = match resource.str("stage.state") {
        Some("completed") => match resource.str("stage.result") {
            Some("skipped") => return Ok(None),
            result => status(result),
        },
        state => status(state),
    };
    let run = resource.required("run.id")?;
    let event = DeployEvent {
        id: Some(format!("azuredevops:{project}:stage:{run}:{}", resource.text("stage.name").unwrap_or_default())),
        service: resource
            .first(&["pipeline.name", "run.pipeline.name"])
            .ok_or_else(|| HookError::missing("resource.pipeline.name"))?,
        environment: name.map(|name| super::tags::environment_in(&name).unwrap_or(name)),
        version: resource.first(&["repositories.0.change.version", "run.name"]),
        started_at: json.time("createdDate")?,
        url: resource.first(&["run._links.web.href", "stage._links.web.href"]),
        ..DeployEvent::default()
    };
    Ok(Some(ended(event, status, json.time("createdDate")?)))
}

fn run(resource: Json<'_>, json: Json<'_>, project: &str) -> Result<Option<DeployEvent>, HookError> {
    let status = match resource.str("run.state") {
        Some("completed") => status(resource.str("run.result")),
        state => status(state),
    };
    let event = DeployEvent {
        id: Some(format!("azuredevops:{project}:run:{}", resource.required("run.id")?)),
        service: resource
            .first(&["pipeline.name", "run.pipeline.name"])
            .ok_or_else(|| HookError::missing("resource.pipeline.name"))?,
        version: resource.first(&["run.resources.repositories.self.version", "run.name"]),
        started_at: resource.time("run.createdDate")?,
        url: resource.text("run._links.web.href"),
        ..DeployEvent::default()
    };
    let ended_at = resource.time("run.finishedDate")?.or(json.time("createdDate")?);
    Ok(Some(ended(event, status, ended_at)))
}

fn build(resource: Json<'_>, project: &str) -> Result<DeployEvent, HookError> {
    // `result` in the newer resource version; the older one has the outcome in `status`.
    let status = status(resource.str("result").or_else(|| resource.str("status")));
    let older = resource.str("sourceGetVersion").and_then(|version| version.rsplit(':').next()).map(str::to_owned);
    let event = DeployEvent {
        id: Some(format!("azuredevops:{project}:build:{}", resource.required("id")?)),
        service: resource.required("definition.name")?,
        version: resource.text("sourceVersion").or(older),
        started_at: resource.first_time(&["startTime", "queueTime", "finishTime"])?,
        actor: resource.first(&[
            "requestedFor.displayName",
            "requests.0.requestedFor.displayName",
            "lastChangedBy.displayName",
        ]),
        url: resource.first(&["_links.web.href", "url"]),
        repository: resource.text("repository.name"),
        labels: resource.text("buildNumber").map(|number| ("build".to_owned(), number)).into_iter().collect(),
        ..DeployEvent::default()
    };
    Ok(ended(event, status, resource.time("finishTime")?))
}

fn push(resource: Json<'_>, config: &HookConfig, project: &str) -> Result<Option<DeployEvent>, HookError> {
    let name = resource.required("repository.name")?;
    let default = short_ref(resource.str("repository.defaultBranch").unwrap_or("main"));
    let counts = |branch: &str| match config.branches.is_empty() {
        true => branch == default,
        false => config.takes_branch(branch),
    };
    let update = resource.items("refUpdates").find(|update| counts(short_ref(update.str("name").unwrap_or_default())));
    let Some(update) = update else { return Ok(None) };
    let after = update.required("newObjectId")?;
    if after.bytes().all(|byte| byte == b'0') {
        return Ok(None);
    }
    let at = resource.time("date")?;
    let commits: Vec<Commit> = resource.items("commits").filter_map(pushed_commit).collect();
    let event = DeployEvent {
        id: Some(format!("azuredevops:{project}:push:{name}:{after}")),
        service: name,
        version: Some(after),
        previous_version: update.text("oldObjectId").filter(|hash| hash.bytes().any(|byte| byte != b'0')),
        started_at: at,
        actor: resource.text("pushedBy.displayName"),
        title: commits.first().and_then(|commit| commit.message.clone()),
        url: resource.text("repository.remoteUrl"),
        commits,
        ..DeployEvent::default()
    };
    Ok(Some(ended(event, Status::Succeeded, at)))
}

fn pushed_commit(json: Json<'_>) -> Option<Commit> {
    Some(commit(json.str("commitId")?, json.text("author.name"), json.str("comment"), json.text("url")))
}
