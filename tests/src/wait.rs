//! Waiting with a bound.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(50);

/// Asks until there is an answer, at most so long; `what` says what was waited for.
///
/// # Errors
/// When the time is up, with the last error that the question met; nothing cuts a single question short, so it needs
/// a bound of its own.
pub fn eventually<T>(
    what: &str,
    patience: Duration,
    mut ask: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let end = Instant::now() + patience;
    loop {
        let answer = ask();
        if let Ok(Some(found)) = answer {
            return Ok(found);
        }
        if Instant::now() >= end {
            let error = answer.err().unwrap_or_else(|| anyhow!("nothing came"));
            return Err(error).context(format!("{what}: not within {} s", patience.as_secs_f64()));
        }
        thread::sleep(POLL);
    }
}
