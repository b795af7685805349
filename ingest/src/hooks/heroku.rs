//! Heroku: release webhooks, and the deploy hook that came before them.
//!
//! <https://devcenter.heroku.com/articles/app-webhooks>
//!
//! **Service**: the app. **Environment**: the one that the app's name holds (`shop-staging`). **Identity**:
//! `heroku:APP:vN`, the release, which is the same in both kinds of hook. The description tells a rollback and a change of
//! configuration or add-ons from a deploy of code.

use deployline_schemas::{
    DeployEvent,
    deploy::{Commit, Kind, Status},
};

use super::{
    HookConfig, HookError, HookRequest,
    arrival::dated,
    event::{Parsed, commit, foreign},
    json::{Json, document},
    request::pair,
    tags::environment_in,
};

pub(super) const SETUP: &str = r#"
# Heroku, once for each app; the secret is printed once, keep it
heroku webhooks:add -i api:release -l notify -s "$HEROKU_SECRET" -u {base_url}/hooks/heroku -a APP

# deployline.toml
[[hook]]
source = "heroku"
secret = "env:HEROKU_SECRET"
"#;

pub(super) fn parse(request: &HookRequest, _: &HookConfig) -> Result<Parsed, HookError> {
    if let Some(app) = pair(&request.body, "app").filter(|_| !request.body.trim_ascii_start().starts_with(b"{")) {
        return Ok(Parsed::one(foreign(dated(legacy(request, app)?, request.received_at)), None));
    }
    let body = document(request)?;
    let json = Json(&body);
    let resource = json.required("resource")?;
    if resource != "release" {
        return Ok(Parsed::ignored(format!("the resource `{resource}` is no release")));
    }
    let app = json.required("data.app.name")?;
    let release = json.required("data.version")?;
    let status = match json.str("data.status") {
        Some("succeeded") => Status::Succeeded,
        Some("failed" | "expired") => Status::Failed,
        _ => Status::Started,
    };
    let description = json.text("data.description").unwrap_or_default();
    let ended_at = json.first_time(&["data.updated_at", "updated_at"])?.filter(|_| status.is_final());
    let commit_id = json.text("data.slug.commit");
    let event = DeployEvent {
        id: Some(format!("heroku:{app}:v{release}")),
        environment: environment_in(&app),
        service: app,
        kind: kind(&description),
        commits: commit_id.iter().map(|id| commit(id, None, json.str("data.slug.commit_description"), None)).collect(),
        version: commit_id.or_else(|| Some(format!("v{release}"))),
        status: Some(status),
        started_at: json.first_time(&["data.created_at", "created_at"])?,
        live_at: ended_at.filter(|_| status == Status::Succeeded),
        finished_at: ended_at,
        actor: json.first(&["actor.email", "data.user.email"]),
        title: Some(description),
        labels: [("release".to_owned(), format!("v{release}"))].into(),
        ..DeployEvent::default()
    };
    let delivery_id = json.first(&["webhook_metadata.delivery.id", "id"]);
    Ok(Parsed::one(foreign(dated(event, request.received_at)), delivery_id))
}

/// Heroku's own words for what a release does; whatever is none of them is a deploy.
fn kind(description: &str) -> Kind {
    let words = description.to_lowercase();
    match words.as_str() {
        words if words.starts_with("rollback") || words.starts_with("roll back") => Kind::Rollback,
        words if words.contains("config var") || words.starts_with("set ") || words.starts_with("unset ") => {
            Kind::Config
        }
        words if words.starts_with("attach") || words.starts_with("detach") || words.contains("add-on") => Kind::Infra,
        _ => Kind::Deploy,
    }
}

fn legacy(request: &HookRequest, app: String) -> Result<DeployEvent, HookError> {
    let field = |name: &str| pair(&request.body, name);
    let release = field("release").ok_or_else(|| HookError::missing("release"))?;
    Ok(DeployEvent {
        id: Some(format!("heroku:{app}:{release}")),
        environment: environment_in(&app),
        service: app,
        version: field("head_long").or_else(|| field("head")),
        previous_version: field("prev_head"),
        status: Some(Status::Succeeded),
        actor: field("user"),
        url: field("url"),
        commits: field("git_log").map(|log| log.lines().filter_map(log_line).collect()).unwrap_or_default(),
        labels: [("release".to_owned(), release)].into(),
        ..DeployEvent::default()
    })
}

/// A commit of `  * Author: message`. The log names no revisions.
fn log_line(line: &str) -> Option<Commit> {
    let (author, message) = line.trim().strip_prefix('*')?.split_once(':')?;
    Some(commit("", Some(author.trim().to_owned()), Some(message), None))
}
