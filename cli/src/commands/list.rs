//! `deploys` and `incidents`: what happened, newest first.

use deployline_schemas::Incident;
use serde_json::Value;

use crate::{args::List, client::Client};

/// Lists deploys with their verdicts.
pub fn deploys(args: &List) -> anyhow::Result<()> {
    for deploy in fetch(args, "/api/v1/deploys", "deploys")? {
        let field = |name: &str| deploy.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
        let verdict = deploy.pointer("/verdict/word").or(deploy.get("verdict")).and_then(Value::as_str).unwrap_or("-");
        println!(
            "{}  {:<9} {:<16} {:<12} {:<10} {:<10} {}  {}",
            field("started_at"),
            field("kind"),
            field("service"),
            field("version").chars().take(12).collect::<String>(),
            field("status"),
            field("actor"),
            verdict,
            field("id"),
        );
    }
    Ok(())
}

/// Lists incidents, one sentence each.
pub fn incidents(args: &List) -> anyhow::Result<()> {
    for incident in fetch(args, "/api/v1/incidents", "incidents")? {
        let incident: Incident = serde_json::from_value(incident)?;
        let state = serde_json::to_value(incident.state)?;
        println!("{}  {:<10} {}", incident.opened_at, state.as_str().unwrap_or_default(), incident.summary);
    }
    Ok(())
}

fn fetch(args: &List, path: &str, key: &str) -> anyhow::Result<Vec<Value>> {
    let limit = args.limit.to_string();
    let mut query = vec![("limit", limit.as_str())];
    query.extend(args.service.as_deref().map(|service| ("service", service)));
    query.extend(args.environment.as_deref().map(|environment| ("environment", environment)));
    let page: Value = Client::new(&args.server).get_json(path, &query)?;
    if args.server.json {
        println!("{page}");
        return Ok(Vec::new());
    }
    Ok(page.get(key).and_then(Value::as_array).cloned().unwrap_or_default())
}
