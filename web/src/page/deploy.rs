//! `/d/{id}`: one deploy.

use deployline_notify::{alert, figures, links};
use deployline_schemas::{Deploy, Incident, UnixMillis, deploy::Status, progress::Progress};
use maud::{Markup, html};

use crate::impact::Impacts;

use super::{
    document, impact,
    parts::{DeployRow, Drawing, SuspectRow, clock, deploy_item, drawing, moved, outside, suspects, verdict},
};

/// What the page shows.
#[derive(Debug, Clone)]
pub struct DeployView {
    /// What time it is.
    pub now: UnixMillis,
    /// The deploy.
    pub row: DeployRow,
    /// The incidents in which it is a suspect, newest first, each with its ranked suspects.
    pub incidents: Vec<(Incident, Vec<SuspectRow>)>,
    /// What it moved, by series.
    pub impacts: Impacts,
    /// Other deploys of the half hour around it.
    pub neighbours: Vec<DeployRow>,
    /// Its service's signals around it.
    pub graphs: Vec<Drawing>,
    /// The same signals after it over before it.
    pub overlaid: Vec<Drawing>,
}

/// The page.
pub fn deploy(view: &DeployView) -> Markup {
    let deploy = &view.row.deploy;
    let raw = serde_json::to_string_pretty(deploy).unwrap_or_default();
    document(
        &alert::change(deploy),
        html! {
            h1 { (alert::change(deploy)) " " (verdict(&view.row.verdict)) }
            p.lead { (sentence(view)) }
            @if let Some(title) = &deploy.title { p.title { (title) } }
            p.links {
                (outside(deploy.diff_url.as_deref(), "Diff")) " " (outside(deploy.url.as_deref(), "Where it ran")) " "
                @if let Some(id) = &deploy.rollback_of { a href=(links::deploy("", id)) { "The deploy that it takes back" } }
            }
            @for (incident, rows) in &view.incidents {
                section.card {
                    h2 { a href=(links::incident("", &incident.id)) { (figures::one_line(&incident.summary)) } }
                    (moved(&incident.signals, view.now))
                    h3 { "Suspects" }
                    (suspects(rows, view.now))
                }
            }
            (impact::section(&view.impacts, view.now))
            @for graph in &view.graphs {
                (drawing(graph))
                p.meta { a href={ (graph.url) "&compare=last_week&width=1400&height=700" } { "With the same hour last week" } }
            }
            @if !view.overlaid.is_empty() {
                section aria-labelledby="overlaid" {
                    h2 #overlaid { "Before and after" }
                    @for graph in &view.overlaid { (drawing(graph)) }
                }
            }
            @if !deploy.commits.is_empty() {
                section {
                    h2 { "Commits" }
                    ul.commits { @for commit in &deploy.commits { li {
                        code { (figures::revision(&commit.id)) } " "
                        (commit.message.as_deref().map(figures::one_line).unwrap_or_default())
                        @if let Some(author) = &commit.author { span.meta { " by " (author) } }
                        " " (outside(commit.url.as_deref(), "open"))
                    } } }
                }
            }
            @if !view.neighbours.is_empty() {
                section {
                    h2 { "Deploys around it" }
                    ul.deploys { @for row in &view.neighbours { (deploy_item(row, view.now)) } }
                }
            }
            details { summary { "The deploy as JSON" } pre { code { (raw) } } }
        },
    )
}

/// Who, what, where, when, and what came of it, in one sentence.
fn sentence(view: &DeployView) -> Markup {
    let deploy = &view.row.deploy;
    let is_expired = deploy.progress(view.now) == Progress::Expired;
    let came = match deploy.status {
        Status::Queued | Status::Started if is_expired => "began, and its end was never told,",
        Status::Queued => "is queued",
        Status::Started => "is under way",
        Status::Canceled => "was canceled",
        Status::Failed => "failed",
        Status::Succeeded => "went live",
    };
    html! {
        (deploy.service)
        @if let Some(version) = &deploy.version { " " code { (figures::revision(version)) } }
        @if let Some(actor) = &deploy.actor { " by " b { (actor) } }
        " " (came) " in " (deploy.environment) " at " (clock(deploy.exposed_at(), view.now))
        @match &view.row.verdict.summary {
            Some(summary) => { ": " b { (figures::one_line(summary)) } "." }
            None => { "." }
        }
        @if let Some(skew) = clock_skew(deploy) { " " (skew) }
    }
}

/// What is told of a sender whose clock runs ahead.
fn clock_skew(deploy: &Deploy) -> Option<String> {
    let skew_ms: f64 = deploy.labels.get("clock_skew_ms")?.parse().ok()?;
    Some(format!("Its sender's clock ran {:.0} s ahead of ours: its times are as it told them.", skew_ms / 1e3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fixtures, verdict::DeployVerdict};

    #[test]
    fn the_page_tells_what_the_deploy_did() {
        let now = "2026-11-23T14:20:00Z".parse().unwrap();
        let mut deploys = fixtures::deploys().into_iter();
        let deploy = deploys.next().unwrap();
        let incident = fixtures::incident();
        let rows = incident.suspects.iter().map(|suspect| SuspectRow {
            suspect: suspect.clone(),
            deploy: fixtures::deploys().into_iter().find(|d| Some(&d.id) == suspect.deploy_id.as_ref()),
            commits: vec![],
        });
        let view = DeployView {
            now,
            row: DeployRow { verdict: DeployVerdict::new(&deploy, std::slice::from_ref(&incident), now), deploy },
            incidents: vec![(incident.clone(), rows.collect())],
            impacts: Impacts {
                deploy_id: "checkout-9bc1f2e".to_owned(),
                deploy: "checkout 9bc1f2e by ana".to_owned(),
                since: now,
                until: now,
                n_series: 0,
                n_left_out: 0,
                verdicts: Default::default(),
                others: vec![],
                impacts: vec![],
            },
            neighbours: vec![],
            graphs: vec![Drawing { title: "t".to_owned(), url: "/graph.svg?target=a".to_owned() }],
            overlaid: vec![Drawing { title: "t".to_owned(), url: "/graph.svg?compare=before".to_owned() }],
        };
        let html = super::deploy(&view).into_string();
        for part in [
            "by <b>ana</b>",
            "14:02:05 UTC",
            "24× (19–30)",
            "began 5 s after it was live",
            "none of the deploys",
            "&lt;b&gt;totals",
            "/graph.svg?target=a&amp;compare=last_week&amp;width=1400",
            "Before and after",
            "/graph.svg?compare=before&amp;width=760",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
        assert!(!html.contains("href=\"javascript:"), "{html}");
    }
}
