//! `quarantine`: what hooks brought and could not be understood.

use anyhow::Context;
use deployline_schemas::quarantine::{Entry, Whole};
use serde_json::{Value, json};

use crate::{args::Quarantine, client::Client};

/// Carries out one of the verbs.
pub fn run(verb: &Quarantine) -> anyhow::Result<()> {
    match verb {
        Quarantine::List { server, source, limit } => {
            let client = Client::new(server);
            let limit = limit.to_string();
            let mut query = vec![("limit", limit.as_str())];
            query.extend(source.as_deref().map(|source| ("source", source)));
            let answer: Value = client.get_json("/api/v1/quarantine", &query)?;
            if server.json {
                println!("{answer}");
                return Ok(());
            }
            let entries: Vec<Entry> = serde_json::from_value(answer["quarantined"].clone())
                .context("the server's answer is not what this version expects")?;
            for entry in entries {
                println!(
                    "{:<8} {}  {:<20} {:>7} B  {}",
                    entry.position, entry.quarantined_at, entry.source, entry.body_bytes, entry.problem
                );
            }
            Ok(())
        }
        Quarantine::Show { server, position } => {
            let answer: Value = Client::new(server).get_json(&format!("/api/v1/quarantine/{position}"), &[])?;
            if server.json {
                println!("{answer}");
                return Ok(());
            }
            let Whole { entry, headers, origin, body } =
                serde_json::from_value(answer).context("the server's answer is not what this version expects")?;
            println!("{}  {}  {}: {}", entry.quarantined_at, entry.path, entry.reason, entry.problem);
            for (name, value) in origin.into_iter().chain(headers) {
                println!("{name}: {value}");
            }
            println!("\n{body}");
            Ok(())
        }
        Quarantine::Redrive { server, positions } => redrive(&Client::new(server), positions),
    }
}

/// Tries each again and says what became of it. Fails at the end if one of them did.
fn redrive(client: &Client, positions: &[String]) -> anyhow::Result<()> {
    let mut n_refused = 0;
    for position in positions {
        match client.post_json(&format!("/api/v1/quarantine/{position}/redrive"), &json!({})) {
            Ok(receipt) => println!("{position}: {}", String::from_utf8_lossy(&receipt).trim_end()),
            Err(error) => {
                n_refused += 1;
                eprintln!("{position}: {error:#}");
            }
        }
    }
    anyhow::ensure!(n_refused == 0, "{n_refused} of {} could not be redriven", positions.len());
    Ok(())
}
