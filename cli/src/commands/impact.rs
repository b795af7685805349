//! `impact`: everything that one deploy moved.

use std::fmt::Write as _;

use deployline_correlate::Impact;
use deployline_notify::links;
use deployline_schemas::{UnixMillis, blame::Verdict};
use serde::Deserialize;

use crate::{args, client::Client};

/// What the server answers, as far as it is printed.
#[derive(Debug, Deserialize)]
struct Answer {
    deploy: String,
    until: UnixMillis,
    n_series: usize,
    n_left_out: usize,
    impacts: Vec<Impact>,
}

/// Asks the server and prints one line for each series.
pub fn run(args: &args::Impact) -> anyhow::Result<()> {
    let path = format!("/api/v1/deploys/{}/impact", links::encode(&args.deploy));
    let mut query = vec![("limit", "2000")];
    query.extend(args.service.as_deref().map(|service| ("service", service)));
    let client = Client::new(&args.server);
    if args.server.json {
        println!("{}", String::from_utf8_lossy(&client.get(&path, &query)?).trim_end());
        return Ok(());
    }
    print!("{}", text(&client.get_json(&path, &query)?, args.all));
    Ok(())
}

fn text(answer: &Answer, all: bool) -> String {
    let n = |verdict| answer.impacts.iter().filter(|impact| impact.verdict == verdict).count();
    let mut text = format!(
        "{}: {} series up to {}: {} regressed, {} improved, {} unchanged, {} cannot be told yet\n",
        answer.deploy,
        answer.n_series,
        answer.until,
        n(Verdict::Regressed),
        n(Verdict::Improved),
        n(Verdict::Unchanged),
        n(Verdict::Inconclusive),
    );
    for impact in &answer.impacts {
        let word = match impact.verdict {
            Verdict::Regressed => "regressed",
            Verdict::Improved => "improved",
            Verdict::Inconclusive => "cannot tell",
            Verdict::Unchanged if !all => continue,
            Verdict::Unchanged => "unchanged",
        };
        let onset = impact.onset.map_or_else(String::new, |onset| format!(" since {}", onset.at));
        let _ = writeln!(text, "{word:<12} {}{onset}  (ln e {:.1})", impact.summary, impact.log_e);
    }
    if answer.n_left_out > 0 {
        let _ = writeln!(text, "{} further series were not looked at: --service narrows them", answer.n_left_out);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moved_and_what_cannot_be_told_is_said_and_the_rest_counted() {
        let impact = |verdict: &str, summary: &str| {
            serde_json::json!({"series": "s", "service": "a", "signal": "x", "verdict": verdict, "onset": null,
                "effect": null, "log_e": 1.0, "summary": summary})
        };
        let answer: Answer = serde_json::from_value(serde_json::json!({
            "deploy": "a 1", "until": "2026-11-23T14:30:00Z", "n_series": 3, "n_left_out": 2,
            "impacts": [impact("regressed", "a x: up 2x"), impact("unchanged", "a y: same"), impact("inconclusive", "a z: cannot tell yet")],
        }))
        .unwrap();
        let short = text(&answer, false);
        assert!(short.contains("regressed    a x: up 2x") && short.contains("cannot tell  a z"), "{short}");
        assert!(!short.contains("same") && text(&answer, true).contains("unchanged    a y: same"));
        assert!(
            short.contains("1 regressed, 0 improved, 1 unchanged, 1 cannot be told yet") && short.contains("2 further")
        );
    }
}
