//! `/blame`: which deploy broke this?

use deployline_schemas::{UnixMillis, blame::Blame};
use maud::{Markup, html};

use super::{
    document,
    parts::{Drawing, SuspectRow, clock, drawing, outcome, suspects},
};

/// What the page shows.
#[derive(Debug, Clone)]
pub struct BlameView {
    /// What time it is.
    pub now: UnixMillis,
    /// What the form holds: the series asked for, as written.
    pub series: String,
    /// What the form holds: the moment asked for, as written.
    pub at: String,
    /// The answer, once something was asked.
    pub answer: Option<(Blame, Vec<SuspectRow>)>,
    /// Why there is none, when there is none.
    pub problem: Option<String>,
    /// The series around the moment.
    pub graph: Option<Drawing>,
    /// Series that can be picked, some of them.
    pub known: Vec<String>,
}

/// The page.
pub fn blame(view: &BlameView) -> Markup {
    document(
        "What broke?",
        html! {
            h1 { "Which deploy broke this?" }
            form.question method="get" action="/blame" {
                label { "Series " input type="text" name="series" value=(view.series) required list="known" size="48" autocomplete="off"; }
                datalist #known { @for name in &view.known { option value=(name) {} } }
                label { "Bad at " input type="text" name="at" value=(view.at) placeholder="14:03, -10min or now" size="22"; }
                button type="submit" { "Who was it?" }
            }
            @if let Some(problem) = &view.problem { p.problem role="alert" { (problem) } }
            @if let Some((answer, rows)) = &view.answer {
                section.card aria-live="polite" {
                    p.lead { (outcome(answer.verdict)) " " (answer.summary) }
                    @if let Some(onset) = answer.onset {
                        p.meta {
                            "Began at " (clock(onset.at, view.now))
                            @if onset.earliest < onset.latest {
                                ", with 90 % between " (clock(onset.earliest, view.now)) " and " (clock(onset.latest, view.now))
                            }
                            "."
                        }
                    }
                    @if !rows.is_empty() { (suspects(rows, view.now)) }
                }
            }
            @if let Some(graph) = &view.graph { (drawing(graph)) }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use deployline_schemas::blame::Verdict;

    fn view() -> BlameView {
        BlameView {
            now: "2026-11-23T14:20:00Z".parse().unwrap(),
            series: "a\"><script>".to_owned(),
            at: "14:03".to_owned(),
            answer: None,
            problem: None,
            graph: None,
            known: vec!["stats.<x>".to_owned()],
        }
    }

    #[test]
    fn the_form_keeps_what_was_asked_and_escapes_it() {
        let html = blame(&view()).into_string();
        assert!(html.contains("value=\"a&quot;&gt;&lt;script&gt;\"") && html.contains("value=\"14:03\""), "{html}");
        assert!(html.contains("stats.&lt;x&gt;") && !html.contains("<script>"));
    }

    #[test]
    fn the_answer_stands_in_one_line_above_the_suspects() {
        let incident = fixtures::incident();
        let answer = Blame {
            series: "x".to_owned(),
            service: Some("checkout".to_owned()),
            at: incident.opened_at,
            verdict: Verdict::Regressed,
            onset: Some(incident.onset),
            effect: Some(incident.signals[0].effect),
            suspects: incident.suspects.clone(),
            summary: "checkout 9bc1f2e by ana, 93 %".to_owned(),
        };
        let rows = incident
            .suspects
            .iter()
            .map(|suspect| SuspectRow { suspect: suspect.clone(), deploy: None, commits: vec![] })
            .collect();
        let html = blame(&BlameView { answer: Some((answer, rows)), ..view() }).into_string();
        assert!(html.contains("checkout 9bc1f2e by ana, 93 %") && html.contains("deploy search-77aa1b2"), "{html}");
        assert!(html.contains("none of the deploys"));
    }
}
