//! `notify`: try the channels out, or show what they would be told.

use std::collections::BTreeMap;

use anyhow::{bail, ensure};
use deployline_notify::{Alert, alert, attempt, chat, links, sample, slack, webhook};
use deployline_schemas::{Deploy, Incident};

use crate::{
    args::Notify,
    client::{Client, Refused},
    config::Config,
};

/// Carries out one of the verbs.
pub fn run(verb: &Notify) -> anyhow::Result<()> {
    match verb {
        Notify::Test { config, channel } => {
            let config = Config::load(Some(config))?;
            test(&config, channel.as_deref())
        }
        Notify::Preview { server, id } => preview(&Client::new(server), id, server.json),
    }
}

/// Sends each channel one message, once, and says what became of it. Fails if one was not taken.
fn test(config: &Config, only: Option<&str>) -> anyhow::Result<()> {
    let wanted: Vec<_> = config.channel.iter().filter(|channel| only.is_none_or(|only| only == channel.name)).collect();
    if wanted.is_empty() {
        match only {
            Some(name) => bail!("no [[channel]] is called `{name}`"),
            None => bail!("the configuration has no [[channel]]"),
        }
    }
    let (incident, deploys) = sample::test(&config.web.base_url);
    let mut n_failed = 0;
    for channel in &wanted {
        let body = deployline_notify::notifier::body(channel, &incident, &deploys, &config.web.base_url);
        let key = format!("{}/test/{}", incident.id, channel.name);
        match attempt::post(&attempt::agent(channel), channel, &key, &body) {
            attempt::Outcome::Delivered => println!("{}: taken", channel.name),
            attempt::Outcome::NotYet { reason, .. }
            | attempt::Outcome::Refused { reason }
            | attempt::Outcome::Unknown { reason } => {
                n_failed += 1;
                eprintln!("{}: {reason}", channel.name);
            }
        }
    }
    ensure!(n_failed == 0, "{n_failed} of {} channels did not take the test", wanted.len());
    Ok(())
}

/// Prints the message as chat would show it, or every format as JSON.
fn preview(client: &Client, id: &str, as_json: bool) -> anyhow::Result<()> {
    let incident: Incident = client.get_json(&format!("/api/v1/incidents/{}", links::encode(id)), &[])?;
    let mut deploys: BTreeMap<String, Deploy> = BTreeMap::new();
    for id in alert::deploy_ids(&incident) {
        match client.get_json(&format!("/api/v1/deploys/{}", links::encode(&id)), &[]) {
            Ok(deploy) => drop(deploys.insert(id, deploy)),
            Err(error) if error.downcast_ref::<Refused>().is_some_and(|refused| refused.status == 404) => {}
            Err(error) => return Err(error),
        }
    }
    let Some(alert) = Alert::new(&incident, &deploys, client.base()) else {
        println!("nobody is told of an incident in this state");
        return Ok(());
    };
    if as_json {
        let all = serde_json::json!({
            "text": chat::text(&alert),
            "slack": slack::message(&alert, false),
            "webhook": webhook::message(&alert, &incident, &deploys),
        });
        println!("{all}");
    } else {
        println!("{}", chat::text(&alert));
    }
    Ok(())
}
