//! `blame`: which deploy broke a series?

use std::fmt::Write;

use anyhow::{Context, bail};
use deployline_schemas::{
    UnixMillis,
    blame::{Blame, Suspect},
    time::wall_clock,
};

use crate::{args, client::Client};

/// Asks the server and prints the suspects, likeliest first.
pub fn run(args: &args::Blame) -> anyhow::Result<()> {
    let at = match &args.at {
        Some(text) => moment(text, wall_clock()())?,
        None => wall_clock()(),
    };
    let client = Client::new(&args.server);
    let at = at.to_string();
    let query = [("series", args.series.as_str()), ("at", at.as_str())];
    if args.server.json {
        print!("{}", String::from_utf8_lossy(&client.get("/api/v1/blame", &query)?));
    } else {
        print!("{}", text(&client.get_json("/api/v1/blame", &query)?));
    }
    Ok(())
}

/// The answer as lines for people.
pub fn text(blame: &Blame) -> String {
    format!("{}\n{}", blame.summary, suspects(&blame.suspects))
}

/// Ranked suspects with their evidence, as lines.
pub fn suspects(suspects: &[Suspect]) -> String {
    let mut text = String::new();
    for suspect in suspects {
        let _ = writeln!(text, "{:>6.1} %  {}", 100.0 * suspect.probability, name(suspect));
        for evidence in &suspect.evidence {
            let _ = writeln!(text, "          {:+.1}  {}", evidence.log_odds, evidence.text);
        }
    }
    text
}

fn name(suspect: &Suspect) -> &str {
    suspect.name.as_deref().or(suspect.deploy_id.as_deref()).unwrap_or("none of the deploys")
}

/// A moment as people write it: RFC 3339, Unix time, or HH:MM for its last occurrence in UTC.
fn moment(text: &str, now: UnixMillis) -> anyhow::Result<UnixMillis> {
    if let Some((hours, minutes)) = text.split_once(':')
        && let (Ok(hours), Ok(minutes)) = (hours.parse::<i64>(), minutes.parse::<i64>())
    {
        if !(0..24).contains(&hours) || !(0..60).contains(&minutes) {
            bail!("--at {text}: a time of day runs from 00:00 to 23:59");
        }
        let day = now.as_secs().div_euclid(86_400) * 86_400;
        let today = UnixMillis::from_secs(day + hours * 3600 + minutes * 60);
        return Ok(if today > now { UnixMillis(today.0 - 86_400_000) } else { today });
    }
    text.parse().with_context(|| format!("--at {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_is_its_last_occurrence() {
        let now: UnixMillis = "2026-11-23T14:30:00Z".parse().unwrap();
        assert_eq!(moment("14:03", now).unwrap().to_string(), "2026-11-23T14:03:00.000Z");
        assert_eq!(moment("15:00", now).unwrap().to_string(), "2026-11-22T15:00:00.000Z");
        assert_eq!(moment("1763906525", now).unwrap().to_string(), "2025-11-23T14:02:05.000Z");
        assert!(moment("25:00", now).is_err());
        assert!(moment("soon", now).is_err());
    }
}
