//! `gate`: waits until a deploy is known to be fine.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::{
    args,
    client::{Client, Refused},
};

/// Exit codes; 0 is fine and 1 an error, as everywhere.
const REGRESSED: u8 = 2;
const CANNOT_TELL: u8 = 3;
/// How long the server is asked to hold an answer that is "watching".
const WAIT: &str = "20s";
/// Pause after an answer that was not held, or an error.
const PAUSE: Duration = Duration::from_secs(2);

/// Asks until the verdict is more than "watching"; progress goes to standard error.
pub fn run(args: &args::Gate) -> anyhow::Result<ExitCode> {
    let deadline = Instant::now() + duration(&args.watch)? + duration(&args.patience)?;
    let client = Client::new(&args.server);
    let mut query = vec![("for", args.watch.as_str()), ("wait", WAIT)];
    match args.deploy.split_once('@') {
        Some((service, version)) if !service.is_empty() && !version.is_empty() => {
            query.extend([("service", service), ("version", version)]);
        }
        _ => query.push(("deploy", &args.deploy)),
    }
    let mut said = String::new();
    let mut tell = |text: String| {
        if said != text {
            eprintln!("{text}");
            said = text;
        }
    };
    loop {
        let asked = Instant::now();
        let outcome = client.get_json::<Value>("/api/v1/gate", &query);
        let is_late = Instant::now() >= deadline;
        match outcome {
            Ok(gate) => {
                let field = |name: &str| gate[name].as_str().unwrap_or_default().to_owned();
                let (verdict, reason) = (field("verdict"), field("reason"));
                let code = match verdict.as_str() {
                    "fine" => Some(ExitCode::SUCCESS),
                    "regressed" => Some(ExitCode::from(REGRESSED)),
                    "cannot_tell" => Some(ExitCode::from(CANNOT_TELL)),
                    "watching" if is_late => Some(ExitCode::from(CANNOT_TELL)),
                    "watching" => None,
                    other => bail!("the server's verdict `{other}` is none that this version knows"),
                };
                let left = gate["seconds_left"].as_i64().map(|left| format!(", {left} s left")).unwrap_or_default();
                match code {
                    None => tell(format!("watching {}: {reason}{left}", field("deploy"))),
                    Some(code) => {
                        if args.server.json {
                            println!("{gate}");
                        }
                        tell(format!("{} {}: {reason}", verdict.replace('_', " "), field("deploy")));
                        return Ok(code);
                    }
                }
            }
            // The deploy's event may be on its way, and a server may restart; anything else stays wrong.
            Err(error) if !is_late && may_pass(&error) => tell(format!("waiting: {error:#}")),
            Err(error) => return Err(error),
        }
        if asked.elapsed() < PAUSE {
            std::thread::sleep(PAUSE.min(deadline.saturating_duration_since(Instant::now())));
        }
    }
}

fn may_pass(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refused>().is_none_or(|refused| matches!(refused.status, 404 | 429 | 502..=504))
}

fn duration(text: &str) -> anyhow::Result<Duration> {
    deployline_web::moment::duration(text.trim())
        .with_context(|| format!("`{text}` is not a duration: write 90s or 10m"))
}
