//! `incidents`: what happened, and what people say of it.

use deployline_notify::links;
use deployline_schemas::Incident;
use serde_json::json;

use crate::{
    args::{IncidentVerb, Incidents, Said},
    client::Client,
};

use super::{blame, list};

/// Lists incidents, or carries out a verb.
pub fn run(args: &Incidents) -> anyhow::Result<()> {
    match &args.verb {
        None => list::incidents(&args.list),
        Some(IncidentVerb::Show { server, id }) => {
            let answer = Client::new(server).get(&path(id), &[])?;
            if server.json {
                println!("{}", String::from_utf8_lossy(&answer).trim_end());
                return Ok(());
            }
            print!("{}", text(&serde_json::from_slice(&answer)?));
            Ok(())
        }
        Some(IncidentVerb::Ack(said)) => say(said, "ack"),
        Some(IncidentVerb::Expected(said)) => say(said, "expected"),
        Some(IncidentVerb::Wrong(said)) => say(said, "wrong"),
    }
}

fn path(id: &str) -> String {
    format!("/api/v1/incidents/{}", links::encode(id))
}

fn say(said: &Said, opinion: &str) -> anyhow::Result<()> {
    let body = json!({"by": said.by, "note": said.note});
    let answer = Client::new(&said.server).post_json(&format!("{}/{opinion}", path(&said.id)), &body)?;
    if said.server.json {
        println!("{}", String::from_utf8_lossy(&answer).trim_end());
    }
    Ok(())
}

/// An incident in lines for people, with all that can be checked by hand.
fn text(incident: &Incident) -> String {
    use std::fmt::Write as _;
    let state = serde_json::to_value(incident.state).unwrap_or_default();
    let mut text = format!("{} ({})\n", incident.summary, state.as_str().unwrap_or_default());
    for signal in &incident.signals {
        let effect = &signal.effect;
        let _ = writeln!(
            text,
            "  {} {}: {:.6} -> {:.6}, {:.2}x ({:.2}-{:.2}) since {}, ln e = {:.1}",
            signal.service,
            signal.signal,
            effect.before,
            effect.after,
            effect.factor,
            effect.low,
            effect.high,
            signal.onset.at,
            signal.log_e
        );
    }
    text += &blame::suspects(&incident.suspects);
    for feedback in &incident.feedback {
        let opinion = serde_json::to_value(feedback.opinion).unwrap_or_default();
        let by = feedback.by.as_deref().unwrap_or("somebody");
        let note = feedback.note.as_ref().map_or_else(String::new, |note| format!(": {note}"));
        let _ = writeln!(text, "  {} {by}: {}{note}", feedback.at, opinion.as_str().unwrap_or_default());
    }
    text
}
