//! Netlify's HTTP POST notifications of deploys.
//!
//! <https://docs.netlify.com/site-deploys/notifications/>
//!
//! **Service**: the site's name. **Environment**: the deploy's context (`production`, `deploy-preview`,
//! `branch-deploy`). **Identity**: `netlify:DEPLOY`.

use deployline_schemas::{DeployEvent, deploy::Status};

use super::{
    HookConfig, HookError, HookRequest,
    arrival::dated,
    event::{Parsed, commit, foreign},
    json::{Json, document},
    repository::full_name,
};

pub(super) const SETUP: &str = r#"
# Netlify: Site configuration > Notifications > Deploy notifications > Add notification > HTTP POST request
#   Event         Deploy started, Deploy succeeded, Deploy failed
#   URL           {base_url}/hooks/netlify
#   JWS secret    the value of NETLIFY_SECRET

# deployline.toml
[[hook]]
source = "netlify"
secret = "env:NETLIFY_SECRET"
environments = ["production"]
"#;

pub(super) fn parse(request: &HookRequest, _: &HookConfig) -> Result<Parsed, HookError> {
    let body = document(request)?;
    let json = Json(&body);
    let event = request.header("x-netlify-event").unwrap_or("deploy");
    if !event.starts_with("deploy") {
        return Ok(Parsed::ignored(format!("the event `{event}` is no deploy")));
    }
    let status = match json.required("state")?.as_str() {
        "ready" => Status::Succeeded,
        "error" | "rejected" => Status::Failed,
        "new" | "pending_review" | "enqueued" => Status::Queued,
        _ => Status::Started,
    };
    let ended_at = json.first_time(&["published_at", "updated_at"])?.filter(|_| status.is_final());
    let version = json.text("commit_ref");
    let event = DeployEvent {
        id: Some(format!("netlify:{}", json.required("id")?)),
        service: json.first(&["name", "site_id"]).ok_or_else(|| HookError::missing("name"))?,
        environment: json.text("context"),
        commits: version
            .iter()
            .map(|id| commit(id, json.text("committer"), json.str("title"), json.text("commit_url")))
            .collect(),
        version,
        status: Some(status),
        started_at: json.first_time(&["created_at", "updated_at"])?,
        live_at: ended_at.filter(|_| status == Status::Succeeded),
        finished_at: ended_at,
        actor: json.first(&["committer", "user_name"]),
        title: json.first(&["title", "error_message"]),
        url: json.first(&["deploy_ssl_url", "deploy_url", "ssl_url", "url"]),
        repository: json
            .str("commit_url")
            .and_then(full_name)
            .map(|path| path.split("/commit").next().unwrap_or_default().to_owned()),
        labels: json.text("branch").map(|branch| ("ref".to_owned(), branch)).into_iter().collect(),
        ..DeployEvent::default()
    };
    Ok(Parsed::one(foreign(dated(event, request.received_at)), None))
}
