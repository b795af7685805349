//! Sentry's call for a release's deploys, as `sentry-cli releases deploys VERSION new` makes it.
//!
//! <https://docs.sentry.io/api/releases/create-a-deploy/>
//!
//! **Service**: the first project of the body, else the part of the release before `@`, else the hook's name.
//! **Version**: the release in the path (`/api/0/organizations/ORG/releases/VERSION/deploys/`), else the deploy's name.
//! **Identity**: release, environment, name and start. A release alone is no deploy, unless `events` lists `release`.

use deployline_schemas::{
    DeployEvent,
    deploy::{Commit, Status},
};

use super::{
    HookConfig, HookError, HookRequest,
    arrival::dated,
    event::{Parsed, commit, digest, foreign},
    json::{Json, document},
};

pub(super) const SETUP: &str = r#"
# Sentry: scripts that create deploys need another address only
export SENTRY_URL={base_url}/hooks/sentry
export SENTRY_AUTH_TOKEN=$DEPLOYLINE_TOKEN
sentry-cli releases deploys "$VERSION" new -e production

# deployline.toml
[[hook]]
source = "sentry"
secret = "env:DEPLOYLINE_TOKEN"
service = "web"                 # where the release does not name its project as in web@1.2
"#;

pub(super) fn parse(request: &HookRequest, config: &HookConfig) -> Result<Parsed, HookError> {
    let body = document(request)?;
    let json = Json(&body);
    let release = request.path_after("releases").or_else(|| json.first(&["version", "release.version", "release"]));
    let environment = json.text("environment");
    let is_release = environment.is_none() && (json.at("version").is_some() || !request.path.contains("deploys"));
    if is_release && !config.takes("release") {
        return Ok(Parsed::ignored("a `release` counts as a deploy only where this hook's `events` lists it"));
    }
    let name = json.text("name");
    let of_release =
        release.as_deref().and_then(|release| release.split_once('@')).map(|(package, _)| package.to_owned());
    let project = json.first(&["projects.0", "projects.0.slug"]).or(of_release);
    let (started_at, finished_at) = (json.time("dateStarted")?, json.first_time(&["dateFinished", "dateReleased"])?);
    let key = format!("{release:?}\n{environment:?}\n{name:?}\n{started_at:?}\n{finished_at:?}");
    let commits: Vec<Commit> = json
        .items("commits")
        .filter_map(|item| Some(commit(item.str("id")?, item.text("author_name"), item.str("message"), None)))
        .collect();
    let event = DeployEvent {
        id: Some(format!("sentry:{}", digest(key.as_bytes()))),
        service: project.unwrap_or_else(|| config.path().to_owned()),
        environment,
        version: release.or_else(|| name.clone()),
        status: Some(if started_at.is_some() && finished_at.is_none() { Status::Started } else { Status::Succeeded }),
        started_at,
        live_at: finished_at,
        finished_at,
        title: name,
        url: json.text("url"),
        commits,
        ..DeployEvent::default()
    };
    Ok(Parsed::one(foreign(dated(event, request.received_at)), None))
}
