//! Vercel webhooks: `deployment.*`.
//!
//! <https://vercel.com/docs/webhooks/webhooks-api>
//!
//! **Service**: the deployment's name, which is the project's. **Environment**: the target; `preview` without one.
//! **Identity**: `vercel:DEPLOYMENT`.

use deployline_schemas::{DeployEvent, deploy::Status};

use super::{
    HookConfig, HookError, HookRequest,
    arrival::dated,
    event::{Parsed, commit, foreign},
    json::{Json, document},
};

pub(super) const SETUP: &str = r#"
# Vercel: Team Settings > Webhooks > Create Webhook
#   Events     Deployment Created, Deployment Succeeded, Deployment Error, Deployment Canceled, Deployment Promoted
#   Endpoint   {base_url}/hooks/vercel
#   The secret is shown once: it is the value of VERCEL_SECRET

# deployline.toml
[[hook]]
source = "vercel"
secret = "env:VERCEL_SECRET"
environments = ["production"]
"#;

pub(super) fn parse(request: &HookRequest, _: &HookConfig) -> Result<Parsed, HookError> {
    let body = document(request)?;
    let json = Json(&body);
    let kind = json.required("type")?;
    let status = match kind.as_str() {
        "deployment.created" => Status::Started,
        "deployment.succeeded" | "deployment.ready" | "deployment-ready" | "deployment.promoted" => Status::Succeeded,
        "deployment.error" | "deployment-error" => Status::Failed,
        "deployment.canceled" | "deployment-canceled" => Status::Canceled,
        other => return Ok(Parsed::ignored(format!("the event `{other}` is no deploy"))),
    };
    let deployment = json.at("payload.deployment").ok_or_else(|| HookError::missing("payload.deployment"))?;
    let meta = |names: &[&str]| {
        let hosts = ["github", "gitlab", "bitbucket"];
        hosts
            .iter()
            .flat_map(|host| names.iter().map(move |name| format!("meta.{host}{name}")))
            .find_map(|path| deployment.text(&path))
    };
    let at = json.time("createdAt")?;
    let version = meta(&["CommitSha"]);
    let author = meta(&["CommitAuthorLogin", "CommitAuthorName"]);
    let message = meta(&["CommitMessage"]);
    let address = |url: String| if url.contains("://") { url } else { format!("https://{url}") };
    let event = DeployEvent {
        id: Some(format!("vercel:{}", deployment.required("id")?)),
        service: json
            .first(&["payload.deployment.name", "payload.project.name", "payload.name"])
            .ok_or_else(|| HookError::missing("payload.deployment.name"))?,
        environment: Some(
            json.first(&["payload.target", "payload.deployment.target"]).unwrap_or_else(|| "preview".to_owned()),
        ),
        commits: version.iter().map(|id| commit(id, author.clone(), message.as_deref(), None)).collect(),
        version,
        status: Some(status),
        started_at: at,
        live_at: at.filter(|_| status == Status::Succeeded),
        finished_at: at.filter(|_| status.is_final()),
        actor: author,
        title: message,
        url: json
            .first(&["payload.links.deployment", "payload.deployment.inspectorUrl"])
            .or_else(|| deployment.text("url").map(address)),
        repository: meta(&["Org", "Namespace", "Owner"])
            .zip(meta(&["Repo", "ProjectName", "Slug"]))
            .map(|(owner, name)| format!("{owner}/{name}")),
        labels: meta(&["CommitRef"]).map(|branch| ("ref".to_owned(), branch)).into_iter().collect(),
        ..DeployEvent::default()
    };
    Ok(Parsed::one(foreign(dated(event, request.received_at)), json.text("id")))
}
