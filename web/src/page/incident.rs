//! `/incidents/{id}`: one incident with its evidence.

use deployline_notify::{alert, figures, links};
use deployline_schemas::{
    Deploy, Incident, Silence, UnixMillis,
    incident::{IncidentState, Opinion},
};
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
    /// The silence that keeps it from being told, where one holds.
    pub silence: Option<Silence>,
    /// The proof that its form is ours.
    pub token: String,
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
            @if let Some(silence) = &view.silence {
                p.meta {
                    "Nobody is told of it until " (clock(silence.until, *now))
                    @if let Some(by) = &silence.by { ", as " (by) " asked" }
                    ": " a href="/silences" { "silences" } "."
                }
            }
            (said(view))
            section { h2 { "What moved" } (moved(&incident.signals, *now)) }
            @for graph in &view.graphs { (drawing(graph)) }
            section { h2 { "Who may have done it" } (suspects(&view.suspects, *now)) }
            details { summary { "The incident as JSON" } pre { code { (raw) } } }
        },
    )
}

/// What people said of it, and a form to say more: no script, so each opinion is a button of its own.
fn said(view: &IncidentView) -> Markup {
    let IncidentView { now, incident, .. } = view;
    let action = |opinion: &str| format!("{}/{opinion}", links::incident("", &incident.id));
    html! {
        section.said aria-label="What people say of it" {
            @if !incident.feedback.is_empty() {
                ul.feedback { @for feedback in &incident.feedback { li {
                    b { (feedback.by.as_deref().unwrap_or("somebody")) } " " (words(feedback.opinion)) ", " (clock(feedback.at, *now))
                    @if let Some(note) = &feedback.note { ": " q { (note) } }
                } } }
            }
            form method="post" {
                input type="hidden" name="csrf" value=(view.token);
                label { "Your name " input type="text" name="by" size="12" maxlength="256" autocomplete="username"; }
                label { "Note " input type="text" name="note" size="28" maxlength="2000"; }
                @if incident.state.is_open() {
                    button type="submit" formaction=(action("ack")) title="It stays open; everybody sees that you know" { "I know" }
                }
                @if incident.state != IncidentState::Expected {
                    button.quiet type="submit" formaction=(action("expected")) title="It was meant: nobody is told of it any more" { "It was meant" }
                }
                @if incident.state != IncidentState::Wrong {
                    button.quiet type="submit" formaction=(action("wrong")) title="The verdict is wrong; later ones learn from it" { "Wrong verdict" }
                }
                a href={ "/silences?service=" (links::encode(&incident.service)) "&environment=" (links::encode(&incident.environment)) } { "Silence " (incident.service) " for a while" }
            }
        }
    }
}

fn words(opinion: Opinion) -> &'static str {
    match opinion {
        Opinion::Ack => "knows of it",
        Opinion::Expected => "says that it was meant",
        Opinion::Wrong => "says that the verdict is wrong",
    }
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
            (IncidentState::Expected | IncidentState::Wrong, Some(at)) => {
                ". Closed by a person after " b { (figures::duration(figures::between(onset.at, at))) } "."
            }
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
        let suspects = vec![SuspectRow {
            suspect: incident.suspects[0].clone(),
            deploy: fixtures::deploys().into_iter().next(),
            commits: vec![],
        }];
        let view = IncidentView {
            now: "2026-11-24T09:00:00Z".parse().unwrap(),
            mended_by: fixtures::deploys().pop(),
            suspects,
            incident,
            graphs: vec![],
            silence: None,
            token: "t0ken".to_owned(),
        };
        let html = super::incident(&view).into_string();
        for part in
            ["recovered", "It lasted <b>12 min</b>", "2026-11-23 14:02:10 UTC", "by bo &lt;script&gt;", "mended it"]
        {
            assert!(html.contains(part), "{part} in {html}");
        }
    }
}
