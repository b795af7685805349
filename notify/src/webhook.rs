//! An alert for any HTTP receiver: the incident and its deploys as JSON, with the words that chat would show.

use std::collections::BTreeMap;

use deployline_schemas::{Deploy, Incident};
use serde::Serialize;

use crate::{alert::Alert, chat};

/// The body to post, version 1. Fields are only ever added.
#[derive(Debug, Serialize)]
pub struct Message<'a> {
    /// Always 1.
    pub version: u32,
    /// `regressed` or `recovered`.
    pub told: &'static str,
    /// The alert in one line.
    pub text: String,
    /// The incident as it stands.
    pub incident: &'a Incident,
    /// The deploys that the incident names, where known.
    pub deploys: Vec<&'a Deploy>,
    /// Where to read more.
    pub links: Links<'a>,
}

/// Addresses of the pages behind an alert.
#[derive(Debug, Serialize)]
pub struct Links<'a> {
    /// The graph as a PNG.
    pub graph: &'a str,
    /// The ranked suspects.
    pub blame: &'a str,
    /// The incident.
    pub incident: &'a str,
}

/// The body for one alert.
pub fn message<'a>(alert: &'a Alert, incident: &'a Incident, deploys: &'a BTreeMap<String, Deploy>) -> Message<'a> {
    let told = match alert.told {
        crate::alert::Told::Regressed => "regressed",
        crate::alert::Told::Recovered => "recovered",
    };
    let links = Links { graph: &alert.graph_url, blame: &alert.blame_url, incident: &alert.incident_url };
    Message { version: 1, told, text: chat::line(alert), incident, deploys: deploys.values().collect(), links }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn the_receiver_gets_the_incident_and_its_deploys() {
        let (incident, deploys) = (fixtures::confirmed(), fixtures::deploys());
        let alert = Alert::new(&incident, &deploys, "http://d").unwrap();
        let body = serde_json::to_value(message(&alert, &incident, &deploys)).unwrap();
        assert_eq!((&body["version"], &body["told"]), (&1.into(), &"regressed".into()));
        assert_eq!(body["incident"]["id"], "inc-1");
        assert_eq!(body["deploys"].as_array().unwrap().len(), 3);
        assert_eq!(body["links"]["incident"], "http://d/incidents/inc-1");
    }
}
