//! LaunchDarkly webhooks: changes of flags and segments.
//!
//! <https://launchdarkly.com/docs/home/infrastructure/webhooks>
//!
//! **Service**: the flag's tag `service:NAME`, else the project's key. **Environment**: the environment's key.
//! **Identity**: `launchdarkly:ENTRY`, the entry of the audit log. What changes no visitor's variation is ignored: a new
//! flag is off, and names, tags and descriptions serve nobody.

use deployline_schemas::{
    DeployEvent,
    deploy::{Kind, Status},
};

use super::{
    HookConfig, HookError, HookRequest,
    arrival::dated,
    event::{Parsed, foreign},
    json::{Json, document},
};

pub(super) const SETUP: &str = r#"
# LaunchDarkly: Integrations > Webhooks > Add integration
#   URL       {base_url}/hooks/launchdarkly
#   Sign this webhook: the secret is the value of LAUNCHDARKLY_SECRET
#   Policy    allow "updateOn", "updateOff" and the other update actions on proj/*:env/production:flag/*

# deployline.toml
[[hook]]
source = "launchdarkly"
secret = "env:LAUNCHDARKLY_SECRET"
"#;

/// Verbs after which every visitor gets what they got before.
const HARMLESS: &[&str] = &[
    "createFlag",
    "cloneFlag",
    "createSegment",
    "updateName",
    "updateDescription",
    "updateTags",
    "updateMaintainer",
    "updateTemporary",
    "updateFlagCustomProperties",
    "updateIncludeInSnippet",
    "updateClientSideFlagAvailability",
    "updateFlagDefaultVariations",
    "updateDeprecated",
    "updateFlagLink",
    "createFlagLink",
    "deleteFlagLink",
    "updateAttachedGoals",
    "updateScheduledChanges",
    "createScheduledChanges",
    "deleteScheduledChanges",
    "createApprovalRequest",
    "updateApprovalRequest",
    "deleteApprovalRequest",
    "reviewApprovalRequest",
];

pub(super) fn parse(request: &HookRequest, _: &HookConfig) -> Result<Parsed, HookError> {
    let body = document(request)?;
    let json = Json(&body);
    let kind = json.required("kind")?;
    if !matches!(kind.as_str(), "flag" | "segment") {
        return Ok(Parsed::ignored(format!("a change of kind `{kind}` serves nobody anything else")));
    }
    let verb = json.first(&["verbKind", "accesses.0.action"]).unwrap_or_default();
    if HARMLESS.contains(&verb.as_str()) {
        return Ok(Parsed::ignored(format!("`{verb}` changes no visitor's variation")));
    }
    // Older payloads tell project and environment in the resource alone: `proj/web:env/production:flag/new-cart`.
    let resource = json.first(&["accesses.0.resource", "target.resources.0"]).unwrap_or_default();
    let named = |kind: &str| {
        let part = resource.split(':').find_map(|part| part.strip_prefix(kind))?;
        let key = part.split(';').next().unwrap_or_default();
        (!key.is_empty() && key != "*").then(|| key.to_owned())
    };
    let project = json.first(&["project.key", "_project.key"]).or_else(|| named("proj/"));
    let project = project.unwrap_or_else(|| "launchdarkly".to_owned());
    let tagged = json.items("tags").filter_map(|tag| tag.0.as_str()).find_map(|tag| tag.strip_prefix("service:"));
    let at = json.first_time(&["timestamp.milliseconds", "timestamp.rfc3339", "date"])?;
    let page = json.text("_links.site.href");
    let base = json.str("baseURL").unwrap_or("https://app.launchdarkly.com");
    let event = DeployEvent {
        id: Some(format!("launchdarkly:{}", json.required("_id")?)),
        service: tagged.map_or(project, |service| service.trim().to_owned()),
        // `~` stands for all environments.
        environment: json.text("project.environment.key").filter(|key| key != "~").or_else(|| named("env/")),
        kind: Kind::Flag,
        status: Some(Status::Succeeded),
        started_at: at,
        live_at: at,
        finished_at: at,
        actor: json.first(&["member.displayName", "member.email"]),
        title: json.first(&["title.plainText", "name"]),
        url: page.map(|page| if page.starts_with('/') { format!("{base}{page}") } else { page }),
        labels: [
            (kind, json.text("key").or_else(|| named("flag/")).or_else(|| json.text("name")).unwrap_or_default()),
            ("verb".to_owned(), verb),
            ("comment".to_owned(), json.text("comment").unwrap_or_default()),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .collect(),
        ..DeployEvent::default()
    };
    Ok(Parsed::one(foreign(dated(event, request.received_at)), None))
}
