//! `emit`: tells of one deploy.

use anyhow::Context;
use deployline_schemas::{DeployEvent, time::wall_clock};

use crate::{args::Emit, client::Client};

/// Posts the deploy and returns once the server has it safe. Quiet unless `--json`.
pub fn run(args: &Emit) -> anyhow::Result<()> {
    let now = wall_clock()();
    let event = DeployEvent {
        id: args.id.clone(),
        service: args.service.clone(),
        environment: Some(args.environment.clone()),
        kind: args.kind,
        version: args.version.clone(),
        previous_version: args.previous_version.clone(),
        status: Some(args.status),
        // The end of a deploy whose start was told under the same id says nothing of when it began.
        started_at: args.started_at.or((!args.status.is_final() || args.id.is_none()).then_some(now)),
        finished_at: args.finished_at.or(args.status.is_final().then_some(now)),
        actor: args.actor.clone(),
        title: args.title.clone(),
        url: args.link.clone(),
        diff_url: args.diff_url.clone(),
        rollback_of: args.rollback_of.clone(),
        source: Some("emit".to_owned()),
        ..DeployEvent::default()
    };
    let receipt = Client::new(&args.server).post_json("/api/v1/deploys", &event).context("the deploy was not taken")?;
    if args.server.json {
        println!("{}", String::from_utf8_lossy(&receipt).trim_end());
    }
    Ok(())
}
