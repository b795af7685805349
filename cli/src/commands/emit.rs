//! `emit`: tells of one deploy.

use std::{path::Path, time::Duration};

use anyhow::Context;
use deployline_schemas::{DeployEvent, time::wall_clock};

use super::spool::{Sent, Spool};
use crate::{
    args::Emit,
    client::{Client, Refused},
};

const PATH: &str = "/api/v1/deploys";
/// Longest wait for an answer where a spool stands by: a deploy must not wait for us.
const SPOOLED_TIMEOUT: Duration = Duration::from_secs(5);

/// Posts the deploy and returns once the server has it safe. Quiet unless `--json`.
///
/// With `--spool` nothing that goes wrong is an error: the deploy that called us goes on, whatever becomes of this.
pub fn run(args: &Emit) -> anyhow::Result<()> {
    let event = event(args);
    if let Some(path) = &args.spool {
        if let Err(error) = spooled(args, path, &event) {
            eprintln!("deployline: the deploy was not told of: {error:#}");
        }
        return Ok(());
    }
    let receipt = Client::new(&args.server).post_json(PATH, &event).context("the deploy was not taken")?;
    show(args, &receipt);
    Ok(())
}

fn show(args: &Emit, receipt: &[u8]) {
    if args.server.json {
        println!("{}", String::from_utf8_lossy(receipt).trim_end());
    }
}

/// Sends what was spooled before, then this deploy; spools it if nobody is there, or others still wait before it.
fn spooled(args: &Emit, path: &Path, event: &DeployEvent) -> anyhow::Result<()> {
    let client = Client::with_timeout(&args.server, SPOOLED_TIMEOUT);
    let mut spool = Spool::open(path)?;
    let dropped = |line: &str, why: &str| eprintln!("deployline: dropped from the spool, {why}: {line}");
    let away = spool.drain(|waiting| send(&client, waiting).0, dropped)?;
    let (sent, receipt) = match away {
        Some(why) => (Sent::Away(why), Vec::new()),
        None => send(&client, event),
    };
    match sent {
        Sent::Taken => show(args, &receipt),
        Sent::Refused(why) => anyhow::bail!(why),
        Sent::Away(why) => {
            spool.push(event)?;
            eprintln!("deployline: spooled, {} wait in {}: {why}", spool.len(), path.display());
        }
    }
    Ok(())
}

fn send(client: &Client, event: &DeployEvent) -> (Sent, Vec<u8>) {
    match client.post_json(PATH, event) {
        Ok(receipt) => (Sent::Taken, receipt),
        Err(error) => {
            let why = format!("{error:#}");
            // A wrong token can be put right, and too many requests pass; the rest of 4xx is what this event says.
            let is_final = |refused: &Refused| {
                (400..500).contains(&refused.status) && !matches!(refused.status, 401 | 403 | 404 | 408 | 429)
            };
            let is_final = error.downcast_ref().is_some_and(is_final);
            (if is_final { Sent::Refused(why) } else { Sent::Away(why) }, Vec::new())
        }
    }
}

fn event(args: &Emit) -> DeployEvent {
    let now = wall_clock()();
    DeployEvent {
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
    }
}
