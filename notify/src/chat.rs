//! An alert as plain text, as chat would show it: for the terminal, and for receivers that take no blocks.

use std::fmt::Write as _;

use crate::alert::{Alert, Shipped, Suspected, Told};

/// The alert in a few lines of plain text, with no trailing line end. Never fails: all limits were applied before.
pub fn text(alert: &Alert) -> String {
    let mut lines = vec![format!("{} {}", mark(alert.told), alert.headline), format!("  {}", alert.period)];
    match alert.told {
        Told::Regressed => {
            lines.extend(alert.moved.iter().map(|moved| format!("  {}: {}", moved.what, moved.figures)));
            if alert.n_more_moved > 0 {
                lines.push(format!("  and {} more", more_signals(alert.n_more_moved)));
            }
            lines.extend(suspect(alert));
            lines.push(format!("  {}", others(alert)));
        }
        Told::Recovered => {
            lines.push(format!(
                "  mended by {}",
                alert.mended_by.as_ref().map_or("no known deploy".to_owned(), shipped)
            ));
            if let Some(suspect) = &alert.suspect {
                lines.push(format!("  suspect was {} ({})", shipped(&suspect.deploy), suspect.odds));
            }
        }
    }
    lines.push(format!("  graph     {}", alert.graph_url));
    if alert.told == Told::Regressed {
        lines.push(format!("  blame     {}", alert.blame_url));
    }
    lines.push(format!("  incident  {}", alert.incident_url));
    lines.join("\n")
}

/// The alert in one line: what notifications and screen readers get.
pub fn line(alert: &Alert) -> String {
    let mut line = format!("{} {}, {}", mark(alert.told), alert.headline, alert.period);
    match (alert.told, &alert.suspect, &alert.mended_by) {
        (Told::Regressed, Some(suspect), _) => {
            let _ = write!(line, ". Suspect ({}): {}", suspect.odds, shipped(&suspect.deploy));
        }
        (Told::Regressed, None, _) => {
            let _ = write!(line, ". No deploy stands out");
        }
        (Told::Recovered, _, Some(deploy)) => {
            let _ = write!(line, ". Mended by {}", shipped(deploy));
        }
        (Told::Recovered, _, None) => {}
    }
    line
}

fn mark(told: Told) -> &'static str {
    match told {
        Told::Regressed => "[REGRESSED]",
        Told::Recovered => "[RECOVERED]",
    }
}

pub(crate) fn more_signals(n_signals: usize) -> String {
    format!("{n_signals} {}", if n_signals == 1 { "signal" } else { "signals" })
}

/// `checkout 3f2a771 → 9bc1f2e by ana, 14:02:05 UTC`.
fn shipped(deploy: &Shipped) -> String {
    let by = deploy.actor.as_ref().map(|actor| format!(" by {actor}")).unwrap_or_default();
    format!("{}{by}, {}", deploy.change, deploy.at)
}

fn suspect(alert: &Alert) -> Vec<String> {
    let Some(Suspected { odds, deploy, reasons }) = &alert.suspect else {
        return vec![format!("  no deploy stands out: {} that it was none of them", alert.none_odds)];
    };
    let mut lines = vec![format!("  suspect ({odds}): {}", shipped(deploy))];
    lines.extend(deploy.title.as_ref().map(|title| format!("    “{title}”")));
    lines.extend(reasons.iter().map(|reason| format!("    {reason}")));
    lines.extend(deploy.diff_url.as_ref().map(|url| format!("    diff    {url}")));
    lines.push(format!("    deploy  {}", deploy.page_url));
    lines
}

fn others(alert: &Alert) -> String {
    let runners_up = alert.runners_up.iter().map(|other| format!("{} {}", shipped(&other.deploy), other.odds));
    let mut parts: Vec<String> = runners_up.collect();
    parts.push(format!("none of them {}", alert.none_odds));
    format!("else: {}", parts.join(" · "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn alert(incident: &deployline_schemas::Incident) -> Alert {
        Alert::new(incident, &fixtures::deploys(), "http://127.0.0.1:8128/").unwrap()
    }

    #[test]
    fn a_regression_reads_as_chat_would_show_it() {
        insta::assert_snapshot!(text(&alert(&fixtures::confirmed())));
    }

    #[test]
    fn a_recovery_says_how_long_and_through_whom() {
        insta::assert_snapshot!(text(&alert(&fixtures::recovered())));
    }

    #[test]
    fn one_line_is_enough_for_a_notification() {
        insta::assert_snapshot!(
            [line(&alert(&fixtures::confirmed())), line(&alert(&fixtures::recovered()))].join("\n")
        );
    }
}
