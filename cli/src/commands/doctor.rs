//! `doctor`: what is watched, what cannot be, and what needs attention.

use std::process::ExitCode;

use serde_json::Value;

use crate::{args, client::Client};

/// The exit code when something needs attention.
const ATTENTION: u8 = 2;
/// Series that are named.
const MOST_NAMED: usize = 10;

/// Asks the server and prints one line for each finding. Exit 0 healthy, 2 something needs attention, 1 error.
pub fn run(args: &args::Doctor) -> anyhow::Result<ExitCode> {
    let (placebos, seed) = (args.placebos.to_string(), args.seed.to_string());
    let client = Client::with_timeout(&args.server, std::time::Duration::from_secs(120));
    let answer: Value = client.get_json("/api/v1/doctor", &[("placebos", &placebos), ("seed", &seed)])?;
    if args.server.json {
        println!("{answer}");
    } else {
        print!("{}", text(&answer));
    }
    let is_healthy = answer["ok"].as_bool().unwrap_or(false);
    Ok(if is_healthy { ExitCode::SUCCESS } else { ExitCode::from(ATTENTION) })
}

fn text(answer: &Value) -> String {
    let number = |path: &str| answer.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let list = |path: &str| answer.pointer(path).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut lines = vec![format!(
        "signals      {} series, {} of {} looked at can be judged now",
        number("/signals/n_series"),
        number("/signals/n_judged"),
        number("/signals/n_looked_at"),
    )];
    let unjudged = list("/signals/unjudged");
    for entry in unjudged.iter().take(MOST_NAMED) {
        let field = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        lines.push(format!("             {} {}: {}", field("service"), field("signal"), field("why")));
    }
    if unjudged.len() > MOST_NAMED {
        lines.push(format!("             and {} more", unjudged.len() - MOST_NAMED));
    }
    if let Some(placebo) = answer.get("placebo").filter(|placebo| !placebo.is_null()) {
        let n_deploys = number("/placebo/n_deploys");
        lines.push(format!(
            "placebo      {} of {n_deploys} quiet moments would raise an alarm (at most {:.2} % with 95 %){}",
            number("/placebo/n_alarms"),
            100.0 * placebo["most_rate"].as_f64().unwrap_or(1.0),
            if placebo["is_cut"].as_bool().unwrap_or(false) {
                "; the past has no more quiet moments, or time was up"
            } else {
                ""
            },
        ));
        lines.extend(
            list("/placebo/alarms").iter().map(|alarm| format!("             {}", alarm.as_str().unwrap_or_default())),
        );
    }
    let bus =
        if answer.pointer("/bus/ok").and_then(Value::as_bool).unwrap_or(false) { "answers" } else { "does not answer" };
    lines.push(format!(
        "bus          {bus}, {} records to take in, {} in quarantine",
        number("/bus/lag"),
        number("/bus/n_quarantined")
    ));
    lines.push(format!(
        "disk         {} B of write-ahead log, {} B in {} blocks, {} damaged files",
        number("/store/wal_bytes"),
        number("/store/block_bytes"),
        number("/store/n_blocks"),
        number("/store/n_corrupt"),
    ));
    lines.push(format!("clocks       at most {} s ahead", number("/clock_ahead_s")));
    lines.push(format!("max_series   {} new names refused", number("/n_refused_series")));
    lines.extend(
        list("/refused_series")
            .iter()
            .take(MOST_NAMED)
            .map(|name| format!("             {}", name.as_str().unwrap_or_default())),
    );
    lines.extend(list("/losses").iter().map(|line| format!("losses       {}", line.as_str().unwrap_or_default())));
    lines.extend(
        list("/problems").iter().map(|problem| format!("ATTENTION    {}", problem.as_str().unwrap_or_default())),
    );
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finding_is_a_line() {
        let answer = serde_json::json!({
            "ok": false, "problems": ["the bus does not answer"],
            "placebo": {"n_deploys": 200, "n_alarms": 1, "most_rate": 0.0235, "is_cut": true, "alarms": ["a x up"]},
            "signals": {"n_series": 3, "n_judged": 2, "n_looked_at": 3, "unjudged": [{"service": "a", "signal": "e", "why": "no traffic"}]},
            "bus": {"ok": false}, "refused_series": ["x.y"], "n_refused_series": 1,
        });
        let text = text(&answer);
        for part in [
            "2 of 3 looked at",
            "a e: no traffic",
            "1 of 200 quiet",
            "at most 2.35 %",
            "does not answer",
            "x.y",
            "ATTENTION",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
