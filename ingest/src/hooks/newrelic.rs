//! New Relic's change tracking: the REST call for deployments and NerdGraph's `changeTracking…` mutations.
//!
//! <https://docs.newrelic.com/docs/change-tracking/change-tracking-graphql/>
//!
//! **Service**: `service` or the entity's name where the call has one, else the application in the path
//! (`/v2/applications/ID/deployments.json`), else the hook's name. **Identity**: a hash of what the call says.

use deployline_schemas::{DeployEvent, deploy::Status};
use serde_json::{Map, Value};

use super::{
    HookConfig, HookError, HookRequest,
    arrival::dated,
    event::{Parsed, commit, digest, foreign},
    json::{Json, document},
    repository::full_name,
};

pub(super) const SETUP: &str = r#"
# New Relic: scripts need another address only; the API key is the token
curl -sS --fail {base_url}/hooks/newrelic/v2/applications/web/deployments.json -H "Api-Key: $DEPLOYLINE_TOKEN" \
  -H 'Content-Type: application/json' -d '{"deployment": {"revision": "v42", "user": "ana"}}'
# NerdGraph mutations (changeTrackingCreateDeployment, changeTrackingCreateEvent): POST to
#   {base_url}/hooks/newrelic/graphql

# deployline.toml
[[hook]]
source = "newrelic"
secret = "env:DEPLOYLINE_TOKEN"
service = "web"                  # where the call names only an entity's GUID
"#;

/// The fields of a mutation that are looked for, where it writes its arguments inline.
const ARGUMENTS: &[&str] = &[
    "version",
    "commit",
    "changelog",
    "deepLink",
    "description",
    "groupId",
    "user",
    "timestamp",
    "entityGuid",
    "guid",
    "deploymentType",
    "name",
    "shortDescription",
    "query",
];

pub(super) fn parse(request: &HookRequest, config: &HookConfig) -> Result<Parsed, HookError> {
    let body = document(request)?;
    let json = Json(&body);
    let inline;
    let found = ["deployment", "variables.deployment", "variables.changeTrackingEvent", "variables.event", "variables"];
    let facts = match (found.iter().find_map(|path| json.at(path).filter(|part| has_facts(*part))), json.str("query")) {
        (Some(facts), _) => facts,
        (None, Some(query)) if query.contains("changeTracking") => {
            inline = Value::Object(arguments(query));
            Json(&inline)
        }
        (None, Some(_)) => return Ok(Parsed::ignored("the query is no `changeTracking` mutation")),
        (None, None) => return Err(HookError::missing("deployment")),
    };
    let version =
        facts.first(&["revision", "version", "categoryAndTypeData.categoryFields.deployment.version", "commit"]);
    let at = facts.time("timestamp")?;
    let application = request.path_after("applications");
    let of_search = facts.first(&["entitySearch.query", "query"]).as_deref().and_then(name_in_search);
    let service = facts.first(&["service", "entityName"]).or(of_search).or(application);
    let mut event = DeployEvent {
        id: at.map(|_| format!("newrelic:{}", digest(&request.body))),
        service: service.unwrap_or_else(|| config.path().to_owned()),
        version,
        status: Some(Status::Succeeded),
        started_at: at,
        live_at: at,
        finished_at: at,
        actor: facts.text("user"),
        title: facts.first(&["description", "shortDescription", "changelog"]),
        url: facts.first(&["deepLink", "deep_link"]),
        repository: facts.str("repository").and_then(full_name),
        commits: facts
            .first(&["commit", "categoryAndTypeData.categoryFields.deployment.commit"])
            .map(|id| commit(&id, None, None, None))
            .into_iter()
            .collect(),
        ..DeployEvent::default()
    };
    for (label, paths) in [
        ("entity_guid", ["entityGuid", "guid"]),
        ("group_id", ["groupId", "group_id"]),
        ("type", ["deploymentType", "type"]),
        ("changelog", ["changelog", "changeLog"]),
    ] {
        event.labels.extend(facts.first(&paths).map(|value| (label.to_owned(), value)));
    }
    Ok(Parsed::one(foreign(dated(event, request.received_at)), None))
}

fn has_facts(part: Json<'_>) -> bool {
    ["revision", "version", "timestamp", "user", "description", "entityGuid", "entitySearch", "categoryAndTypeData"]
        .iter()
        .any(|field| part.at(field).is_some())
}

/// The arguments that a GraphQL document writes inline, as `name: "text"`, `name: 5` or `name: WORD`. No parser of the
/// language: the fields that count are plain, and strings are skipped as a whole.
fn arguments(query: &str) -> Map<String, Value> {
    let mut found = Map::new();
    let mut rest = query;
    while let Some(at) = rest.find(|c: char| c.is_alphabetic() || c == '"') {
        rest = &rest[at..];
        if rest.starts_with('"') {
            rest = string(rest).1;
            continue;
        }
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        rest = after;
        let Some(value) = after.trim_start().strip_prefix(':').map(str::trim_start) else { continue };
        if !ARGUMENTS.contains(&name) {
            continue;
        }
        let text = match value.starts_with('"') {
            true => {
                let (text, after) = string(value);
                rest = after;
                text
            }
            false => value
                .split(|c: char| !(c.is_alphanumeric() || c == '.' || c == '_' || c == '-'))
                .next()
                .unwrap_or_default()
                .to_owned(),
        };
        found.entry(name).or_insert(Value::String(text));
    }
    found
}

/// The text of the string literal that a text begins with, and what follows it.
fn string(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, escaped)| if escaped == 'n' { '\n' } else { escaped })),
            c => value.push(c),
        }
    }
    (value, "")
}

/// The name in an entity search, `name = 'web'`.
fn name_in_search(search: &str) -> Option<String> {
    let (_, rest) = search.split_once("name")?;
    let value = rest.trim_start().trim_start_matches(['=', ' ']).trim_start_matches("LIKE").trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let name = value[1..].split(quote).next()?;
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inline_arguments_of_a_mutation_are_found() {
        let query = r#"mutation { changeTrackingCreateDeployment(deployment: {version: "1.2 \"x\"", entityGuid: "MXxB",
            timestamp: 1700000000000, deploymentType: BASIC, user: "ana"}) { deploymentId entityGuid } }"#;
        let found = arguments(query);
        assert_eq!(found["version"], "1.2 \"x\"");
        assert_eq!(
            (&found["timestamp"], &found["deploymentType"], &found["user"]),
            (&"1700000000000".into(), &"BASIC".into(), &"ana".into())
        );
    }

    #[test]
    fn an_entity_search_names_the_service() {
        assert_eq!(name_in_search("type = 'APPLICATION' AND name = 'web'").as_deref(), Some("web"));
        assert_eq!(name_in_search("name ="), None);
    }
}
