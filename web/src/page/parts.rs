//! Pieces that several pages share.

use deployline_correlate::commits::RankedCommit;
use deployline_notify::{alert, figures, links};
use deployline_schemas::{
    Deploy, UnixMillis,
    blame::{Effect, Suspect, Verdict},
    incident::{IncidentState, MovedSignal},
};
use maud::{Markup, html};

use crate::verdict::{DeployVerdict, Word};

/// A deploy with what is known of it.
#[derive(Debug, Clone)]
pub struct DeployRow {
    /// The deploy.
    pub deploy: Deploy,
    /// The verdict on it.
    pub verdict: DeployVerdict,
}

/// A graph on a page.
#[derive(Debug, Clone)]
pub struct Drawing {
    /// What it shows, in a few words.
    pub title: String,
    /// The picture's address, without size and theme: it already has a `?`.
    pub url: String,
}

/// A suspect with the deploy behind it, where that is known.
#[derive(Debug, Clone)]
pub struct SuspectRow {
    /// The suspect.
    pub suspect: Suspect,
    /// Its deploy; `None` for "none of the deploys", and for one that the catalog does not hold.
    pub deploy: Option<Deploy>,
    /// Its commits, likeliest first where there is evidence.
    pub commits: Vec<RankedCommit>,
}

/// Icon and word for a verdict, with the odds where it has any. Never colour alone.
pub fn verdict(verdict: &DeployVerdict) -> Markup {
    let (class, icon, word) = match verdict.word {
        Word::Regressed => ("bad", "✕", "regressed"),
        Word::Recovered => ("mended", "↺", "regressed, recovered"),
        Word::Suspected => ("warn", "?", "suspected"),
        Word::Expected => ("calm", "≈", "expected change"),
        Word::Watching => ("watch", "◔", "watching"),
        Word::Expired => ("calm", "…", "end never told"),
        Word::Clear => ("good", "✓", "nothing found"),
        Word::NothingToJudge => ("calm", "∅", "nothing to judge"),
        Word::Aborted => ("calm", "–", "did not go live"),
    };
    let odds = verdict.probability.map(figures::odds);
    let pill = pill(class, icon, word, odds.as_deref());
    match &verdict.incident_id {
        Some(id) => html! { a.pill-link href=(links::incident("", id)) { (pill) } },
        None => pill,
    }
}

/// Icon and word for an incident's state.
pub fn state(state: IncidentState) -> Markup {
    match state {
        IncidentState::Suspected => pill("warn", "?", "suspected", None),
        IncidentState::Confirmed => pill("bad", "✕", "regressed", None),
        IncidentState::Persisting => pill("bad", "✕", "regressed, persisting", None),
        IncidentState::Recovered => pill("mended", "↺", "recovered", None),
        IncidentState::Expected => pill("calm", "≈", "expected change", None),
        IncidentState::Wrong => pill("calm", "–", "judged wrong", None),
    }
}

/// Icon and word for what happened to a series.
pub fn outcome(verdict: Verdict) -> Markup {
    match verdict {
        Verdict::Regressed => pill("bad", "✕", "regressed", None),
        Verdict::Improved => pill("good", "↑", "improved", None),
        Verdict::Unchanged => pill("good", "✓", "unchanged", None),
        Verdict::Inconclusive => pill("calm", "?", "cannot tell yet", None),
    }
}

/// Icon and word in a coloured frame.
pub fn pill(class: &str, icon: &str, word: &str, odds: Option<&str>) -> Markup {
    html! {
        span class={ "pill " (class) } {
            span.icon aria-hidden="true" { (icon) }
            " " (word)
            @if let Some(odds) = odds { " " b { (odds) } }
        }
    }
}

/// How long ago something was, with the exact time on hover.
pub fn ago(at: UnixMillis, now: UnixMillis) -> Markup {
    let text = match at > now {
        true => format!("in {}", coarse(at, now)),
        false => format!("{} ago", coarse(at, now)),
    };
    html! { time datetime=(at) title=(exact(at)) { (text) } }
}

/// A distance in its leading unit: lists are read for the order of magnitude.
fn coarse(at: UnixMillis, now: UnixMillis) -> String {
    let seconds = (now.0 - at.0).unsigned_abs() / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A moment in full, in UTC.
pub fn exact(at: UnixMillis) -> String {
    // Seen from the epoch, so that the date is always shown.
    format!("{} UTC", figures::clock(at, UnixMillis(0)))
}

/// A time of day, the date added when it is another day's than `now`.
pub fn clock(at: UnixMillis, now: UnixMillis) -> Markup {
    html! { time datetime=(at) title=(exact(at)) { (figures::clock(at, now)) " UTC" } }
}

/// A link to an address from outside, or nothing where the address may not be a link.
pub fn outside(url: Option<&str>, label: &str) -> Markup {
    html! {
        @if let Some(url) = url.and_then(links::outside) {
            a href=(url) rel="noopener noreferrer nofollow" { (label) }
        }
    }
}

/// What a deploy changed, as a link to its page.
pub fn change(deploy: &Deploy) -> Markup {
    html! { a.change href=(links::deploy("", &deploy.id)) { (alert::change(deploy)) } }
}

/// One deploy in a list.
pub fn deploy_item(row: &DeployRow, now: UnixMillis) -> Markup {
    let deploy = &row.deploy;
    html! {
        li.deploy {
            div.head {
                (change(deploy))
                (verdict(&row.verdict))
            }
            @if let Some(title) = &deploy.title { p.title { (figures::clip(&figures::one_line(title), 160)) } }
            p.meta {
                @if let Some(actor) = &deploy.actor { span.actor { (actor) } " · " }
                (deploy.environment) " · " (ago(deploy.exposed_at(), now))
                @if deploy.diff_url.is_some() { " · " (outside(deploy.diff_url.as_deref(), "diff")) }
            }
        }
    }
}

/// A graph in the reader's light or dark, which opens at full size.
pub fn drawing(drawing: &Drawing) -> Markup {
    let sized =
        |theme: &str, width: u32, height: u32| format!("{}&width={width}&height={height}&theme={theme}", drawing.url);
    html! {
        figure.graph {
            figcaption { (drawing.title) }
            a href=(sized("light", 1400, 700)) {
                picture {
                    // A wide picture in a narrow column could not be read.
                    source media="(max-width: 640px) and (prefers-color-scheme: dark)" srcset=(sized("dark", 400, 280)) width="400" height="280";
                    source media="(max-width: 640px)" srcset=(sized("light", 400, 280)) width="400" height="280";
                    source media="(prefers-color-scheme: dark)" srcset=(sized("dark", 760, 280));
                    img src=(sized("light", 760, 280)) width="760" height="280" loading="lazy"
                        alt={ "Graph of " (drawing.title) ", every deploy in the window a line" };
                }
            }
        }
    }
}

/// What moved, as a table.
pub fn moved(signals: &[MovedSignal], now: UnixMillis) -> Markup {
    html! {
        div.scroll { table {
            thead { tr {
                th scope="col" { "Signal" } th scope="col" { "Before" } th scope="col" { "After" }
                th scope="col" { "Change (95 %)" } th scope="col" { "Since" }
            } }
            tbody { @for signal in signals { tr {
                th scope="row" { (signal.service) " " (signal.signal) }
                (before_after(&signal.effect, signal))
                td { (clock(signal.onset.at, now)) }
            } } }
        } }
    }
}

fn before_after(effect: &Effect, signal: &MovedSignal) -> Markup {
    let shown = |value| figures::value(value, signal.kind, &signal.series);
    html! {
        td.number { (shown(effect.before)) }
        td.number { (shown(effect.after)) }
        td.number { (figures::factor(effect, signal.kind, &signal.series)) }
    }
}

/// The ranked suspects with their evidence.
pub fn suspects(rows: &[SuspectRow], now: UnixMillis) -> Markup {
    html! {
        ol.suspects { @for row in rows { li {
            div.head {
                span.odds { (figures::odds(row.suspect.probability)) }
                meter min="0" max="1" value=(row.suspect.probability.clamp(0.0, 1.0)) aria-hidden="true" {}
                @match (&row.deploy, &row.suspect.deploy_id) {
                    (Some(deploy), _) => {
                        (change(deploy))
                        @if let Some(actor) = &deploy.actor { span.meta { "by " (actor) } }
                        span.meta { (clock(deploy.exposed_at(), now)) }
                        (outside(deploy.diff_url.as_deref(), "diff"))
                    }
                    (None, Some(id)) => a.change href=(links::deploy("", id)) { "deploy " (id) },
                    (None, None) => span.none { "none of the deploys" },
                }
            }
            @if !row.suspect.evidence.is_empty() {
                ul.evidence { @for evidence in &row.suspect.evidence { li {
                    (weight(evidence.log_odds)) " " (evidence.text)
                } } }
            }
            @if let Some(deploy) = &row.deploy { (batch(deploy, &row.commits)) }
        } } }
    }
}

/// How evidence moved the odds: the sign says which way, in words for who cannot see it.
fn weight(log_odds: f64) -> Markup {
    let (class, words) = if log_odds >= 0.0 { ("for", "speaks for it") } else { ("against", "speaks against it") };
    html! { span class={ "weight " (class) } title={ (words) ", in natural log odds" } { (format!("{log_odds:+.1}")) } }
}

/// Commits of a batch that are shown.
const MOST_COMMITS: usize = 8;

/// The commits of a batch: ranked where there is evidence, listed where there is none; nothing for a single one.
fn batch(deploy: &Deploy, ranked: &[RankedCommit]) -> Markup {
    let has_evidence = ranked.iter().any(|commit| commit.probability.is_some());
    html! {
        @if ranked.len() > 1 {
            details.batch open[has_evidence] {
                summary {
                    (ranked.len()) " commits in it"
                    @if !has_evidence { ", none of which stands out" }
                }
                ul.commits { @for one in ranked.iter().take(MOST_COMMITS) {
                    @let commit = deploy.commits.iter().find(|commit| commit.id == one.id);
                    li {
                        @if let Some(probability) = one.probability { span.odds { (figures::odds(probability)) } " " }
                        code { (figures::revision(&one.id)) } " "
                        @if let Some(commit) = commit {
                            (commit.message.as_deref().map(figures::one_line).unwrap_or_default())
                            @if let Some(author) = &commit.author { span.meta { " by " (author) } }
                        }
                        @if !one.shared.is_empty() { span.meta { " · shares " (one.shared.join(", ")) } }
                    }
                } }
                @if ranked.len() > MOST_COMMITS { p.meta { "and " (ranked.len() - MOST_COMMITS) " more" } }
            }
        }
    }
}
