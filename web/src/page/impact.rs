//! What a deploy moved, as a section of its page.

use deployline_correlate::Impact;
use deployline_notify::{figures, links};
use deployline_schemas::{UnixMillis, blame::Verdict, signal::SignalKind};
use maud::{Markup, html};

use super::parts::{clock, outcome};
use crate::impact::Impacts;

/// Rows of the list of what did not move, before the rest is only counted.
const MOST_ROWS: usize = 40;

/// The section.
pub fn section(impacts: &Impacts, now: UnixMillis) -> Markup {
    let (moved, still): (Vec<&Impact>, Vec<&Impact>) =
        impacts.impacts.iter().partition(|impact| matches!(impact.verdict, Verdict::Regressed | Verdict::Improved));
    let (unsure, same): (Vec<&Impact>, Vec<&Impact>) =
        still.into_iter().partition(|impact| impact.verdict == Verdict::Inconclusive);
    html! {
        section.impact aria-labelledby="impact" {
            h2 #impact { "What it moved" }
            @if impacts.n_series == 0 { p { "Nothing to judge: no signal has a series." } }
            @else {
                p.meta {
                    (impacts.n_series) " series looked at up to " (clock(impacts.until, now)) ": "
                    (moved.len()) " moved, " (same.len()) " unchanged, " (unsure.len()) " cannot be told yet."
                    @if impacts.n_left_out > 0 { " " (impacts.n_left_out) " more were left out here; " a href={ "/api/v1/deploys/" (links::encode(&impacts.deploy_id)) "/impact" } { "the API has them" } "." }
                }
                @if moved.is_empty() { p { "Nothing moved beyond chance." } } @else { (table(&moved, now)) }
                @if moved.iter().any(|impact| impact.verdict == Verdict::Regressed) && !impacts.others.is_empty() {
                    p.meta { "That a series moved after this deploy does not say that this deploy moved it: " (impacts.others.len()) " other deploys fell into the same minutes. \"What broke?\" weighs them against each other." }
                }
                @if !unsure.is_empty() { (folded("cannot be told yet", &unsure, now)) }
                @if !same.is_empty() { (folded("unchanged", &same, now)) }
            }
        }
    }
}

fn folded(what: &str, impacts: &[&Impact], now: UnixMillis) -> Markup {
    html! {
        details {
            summary { (impacts.len()) " " (what) }
            (table(&impacts[..impacts.len().min(MOST_ROWS)], now))
            @if impacts.len() > MOST_ROWS { p.meta { "and " (impacts.len() - MOST_ROWS) " more" } }
        }
    }
}

fn table(impacts: &[&Impact], now: UnixMillis) -> Markup {
    html! {
        div.scroll { table {
            thead { tr {
                th scope="col" { "Verdict" } th scope="col" { "Signal" } th scope="col" { "Before" } th scope="col" { "After" }
                th scope="col" { "Change (95 %)" } th scope="col" { "Since" } th scope="col" { "Evidence (ln e)" }
            } }
            tbody { @for impact in impacts { (row(impact, now)) } }
        } }
    }
}

fn row(impact: &Impact, now: UnixMillis) -> Markup {
    let kind = impact.kind.unwrap_or(SignalKind::Gauge);
    let shown = |value| figures::value(value, kind, &impact.series);
    let at = impact.onset.map(|onset| onset.at.as_secs().to_string());
    let blame = at.map(|at| format!("/blame?series={}&at={at}", links::encode(&impact.series)));
    html! {
        tr {
            td { (outcome(impact.verdict)) }
            th scope="row" title=(impact.series) {
                @match &blame {
                    Some(url) => a href=(url) { (name(impact)) },
                    None => (name(impact)),
                }
                @if impact.verdict == Verdict::Inconclusive { p.meta { (why(impact)) } }
            }
            @match &impact.effect {
                Some(effect) => {
                    td.number { (shown(effect.before)) }
                    td.number { (shown(effect.after)) }
                    td.number { (figures::factor(effect, kind, &impact.series)) }
                }
                None => { td { "–" } td { "–" } td { "–" } }
            }
            td { @match impact.onset { Some(onset) => (clock(onset.at, now)), None => "–" } }
            td.number { (format!("{:.1}", impact.log_e)) }
        }
    }
}

fn name(impact: &Impact) -> String {
    match &impact.service {
        Some(service) => format!("{service} {}", impact.signal),
        None => impact.series.clone(),
    }
}

/// The reason alone: the row has said whose signal it is.
fn why(impact: &Impact) -> &str {
    impact.summary.split_once(": ").map_or(impact.summary.as_str(), |(_, why)| why)
}
