//! `/incidents/{id}`: one incident with its evidence.

use deployline_notify::{alert, figures};
use deployline_schemas::{Deploy, Incident, UnixMillis, incident::IncidentState};
use maud::{Markup, html};

use super::{
    document,
    parts::{Drawing, SuspectRow, change, clock, drawing, moved, state, suspects},
};

/// What the page shows.
#[derive(Debug, Clone)]
pub struct IncidentView {
    /// What time it is.
    pub now: UnixMillis,
    /// The incident.
    pub incident: Incident,
    /// Its suspects, likeliest first.
    pub suspects: Vec<SuspectRow>,
    /// The deploy that mended it, where known.
    pub mended_by: Option<Deploy>,
    /// The signals that it moved.
    pub graphs: Vec<Drawing>,
}

/// The page.
pub fn incident(view: &IncidentView) -> Markup {
    let IncidentView { now, incident, .. } = view;
    let raw = serde_json::to_string_pretty(incident).unwrap_or_default();
    document(
        &figures::one_line(&incident.summary),
        html! {
            h1 { (figures::one_line(&incident.summary)) " " (state(incident.state)) }
            p.lead { (sentence(view)) }
            section { h2 { "What moved" } (moved(&incident.signals, *now)) }
            @for graph in &view.graphs { (drawing(graph)) }
            section { h2 { "Who may have done it" } (suspects(&view.suspects, *now)) }
            details { summary { "The incident as JSON" } pre { code { (raw) } } }
        },
    )
}

fn sentence(view: &IncidentView) -> Markup {
    let IncidentView { now, incident, .. } = view;
    let onset = incident.onset;
    let until = incident.ended_at.unwrap_or(*now);
    html! {
        (incident.service) " in " (incident.environment) ", since " (clock(onset.at, *now))
        @if onset.earliest < onset.latest {
            " (90 %: " (clock(onset.earliest, *now)) " to " (clock(onset.latest, *now)) ")"
        }
        @match (incident.state, incident.ended_at) {
            (IncidentState::Recovered, _) | (_, Some(_)) => {
                ". It lasted " b { (figures::duration(figures::between(onset.at, until))) }
                @if let Some(deploy) = &view.mended_by {
                    ", until " (change(deploy))
                    @if let Some(actor) = &deploy.actor { " by " (actor) }
                    " mended it"
                }
                "."
            }
            _ => { ". It has lasted " b { (figures::duration(figures::between(onset.at, until))) } " so far." }
        }
        @if let Some(deploy) = view.suspects.first().and_then(|row| row.deploy.as_ref()) {
            " Suspect: " b { (alert::change(deploy)) } "."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn a_recovered_incident_says_how_long_it_lasted() {
        let mut incident = fixtures::incident();
        incident.state = IncidentState::Recovered;
        incident.ended_at = Some("2026-11-23T14:14:40Z".parse().unwrap());
        let suspects =
            vec![SuspectRow { suspect: incident.suspects[0].clone(), deploy: fixtures::deploys().into_iter().next() }];
        let view = IncidentView {
            now: "2026-11-24T09:00:00Z".parse().unwrap(),
            mended_by: fixtures::deploys().pop(),
            suspects,
            incident,
            graphs: vec![],
        };
        let html = super::incident(&view).into_string();
        for part in
            ["recovered", "It lasted <b>12 min</b>", "2026-11-23 14:02:10 UTC", "by bo &lt;script&gt;", "mended it"]
        {
            assert!(html.contains(part), "{part} in {html}");
        }
    }
}
