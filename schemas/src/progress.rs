//! How a deploy stands: waiting, under way, over, or begun and never heard of again.
//!
//! A start whose end never comes must not stay "under way" for ever. **The rule**: a deploy of which no end was told
//! expires [`EXPIRY`] after the last moment that any of its events told, or [`CANARY_EXPIRY`] after it if it is a
//! canary, which people leave running overnight. It stays what it was, a change that may have taken effect when it
//! began, so that it can still be blamed; an end that comes later ends it after all.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    deploy::{Deploy, Rollout, Status},
    time::UnixMillis,
};

/// How long after the last moment it told of a deploy without an end counts as under way.
pub const EXPIRY: Duration = Duration::from_secs(2 * 3600);
/// The same for a canary.
pub const CANARY_EXPIRY: Duration = Duration::from_secs(24 * 3600);

/// How a deploy stands at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// Asked for, not begun.
    Queued,
    /// Begun, and no end was told.
    Running,
    /// Begun or asked for, and no end was told for so long that none will come.
    Expired,
    /// Came through, failed or was canceled.
    Ended,
}

impl Deploy {
    /// When it expires unless its end is told; `None` once it is.
    pub fn expires_at(&self) -> Option<UnixMillis> {
        if self.status.is_final() {
            return None;
        }
        let told = self.exposure.iter().map(|(at, _)| *at).chain(self.live_at).chain(self.finished_at);
        let last = told.fold(self.started_at, UnixMillis::max);
        Some(last.plus(if self.rollout == Rollout::Canary { CANARY_EXPIRY } else { EXPIRY }))
    }

    /// How it stands at `now`.
    pub fn progress(&self, now: UnixMillis) -> Progress {
        match (self.expires_at(), self.status) {
            (None, _) => Progress::Ended,
            (Some(expires_at), _) if expires_at <= now => Progress::Expired,
            (_, Status::Queued) => Progress::Queued,
            _ => Progress::Running,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeployEvent;

    #[track_caller]
    fn check(event: &str, now: &str, expected: Progress) {
        let event: DeployEvent = serde_json::from_str(event).unwrap();
        let now = format!("2026-11-23T{now}Z").parse().unwrap();
        assert_eq!(event.into_deploy().unwrap().progress(now), expected);
    }

    #[test]
    fn a_start_without_an_end_runs_and_then_expires() {
        let started = r#"{"service": "a", "started_at": "2026-11-23T10:00:00Z"}"#;
        check(started, "11:59:59", Progress::Running);
        check(started, "12:00:00", Progress::Expired);
        check(
            r#"{"service": "a", "started_at": "2026-11-23T10:00:00Z", "status": "queued"}"#,
            "10:00:01",
            Progress::Queued,
        );
        let ended = r#"{"service": "a", "started_at": "2026-11-23T10:00:00Z", "finished_at": "2026-11-23T10:01:00Z"}"#;
        check(ended, "23:00:00", Progress::Ended);
    }

    #[test]
    fn each_step_of_a_rolling_deploy_puts_it_off_and_a_canary_has_a_day() {
        let rolling = r#"{"service": "a", "started_at": "2026-11-23T10:00:00Z", "rollout": "rolling",
            "exposure": [["2026-11-23T10:00:00Z", 0.1], ["2026-11-23T11:30:00Z", 0.5]]}"#;
        check(rolling, "13:29:59", Progress::Running);
        check(rolling, "13:30:00", Progress::Expired);
        check(
            r#"{"service": "a", "started_at": "2026-11-23T00:00:00Z", "rollout": "canary"}"#,
            "23:59:59",
            Progress::Running,
        );
    }
}
