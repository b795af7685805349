//! `silence`: for a while, nobody is told.

use anyhow::Context;
use deployline_notify::links;
use serde_json::{Value, json};

use crate::{args::Silence, client::Client};

/// Carries out one of the verbs.
pub fn run(verb: &Silence) -> anyhow::Result<()> {
    match verb {
        Silence::Add { server, service, environment, deploy, lasting, by, note } => {
            let mut body = json!({
                "service": service, "environment": environment, "deploy_id": deploy, "for": lasting, "by": by, "note": note,
            });
            if let Value::Object(fields) = &mut body {
                fields.retain(|_, value| !value.is_null());
            }
            let answer = Client::new(server).post_json("/api/v1/silences", &body)?;
            if server.json {
                println!("{}", String::from_utf8_lossy(&answer).trim_end());
                return Ok(());
            }
            let silence: Value = serde_json::from_slice(&answer)?;
            println!("{}", line(&silence));
            Ok(())
        }
        Silence::List { server, all } => {
            let client = Client::new(server);
            let state = if *all { "all" } else { "active" };
            let answer: Value = client.get_json("/api/v1/silences", &[("state", state), ("limit", "1000")])?;
            if server.json {
                println!("{answer}");
                return Ok(());
            }
            let silences =
                answer["silences"].as_array().context("the server's answer is not what this version expects")?;
            silences.iter().for_each(|silence| println!("{}", line(silence)));
            Ok(())
        }
        Silence::End { server, id } => {
            let answer = Client::new(server).delete(&format!("/api/v1/silences/{}", links::encode(id)))?;
            if server.json {
                println!("{}", String::from_utf8_lossy(&answer).trim_end());
            }
            Ok(())
        }
    }
}

fn line(silence: &Value) -> String {
    let field = |name: &str, other: &str| silence[name].as_str().unwrap_or(other).to_owned();
    format!(
        "{}  until {}  {:<16} {:<12} {}  {} {}",
        field("id", "-"),
        field("until", "-"),
        field("service", "*"),
        field("environment", "*"),
        field("deploy_id", "-"),
        field("by", ""),
        field("note", ""),
    )
    .trim_end()
    .to_owned()
}
