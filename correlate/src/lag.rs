//! How long after a deploy its effect begins.

use std::time::Duration;

use deployline_schemas::{
    deploy::{Deploy, Kind, Rollout, Status},
    time::UnixMillis,
};

use crate::learned::Learned;

/// A deploy as it was known at a moment: what had not come yet is taken away.
#[derive(Debug, Clone, Copy)]
pub struct Exposure<'d> {
    deploy: &'d Deploy,
    start_s: f64,
    /// When all traffic had reached it, or `None` while it is under way.
    live_s: Option<f64>,
    now_s: f64,
    /// The share of the service's deploys that break something, where that was learned.
    learned: Option<f64>,
}

/// How the wait from full exposure to onset is spread: shares and means in seconds of exponential laws. Four in five
/// regressions show with the first requests, some need a cache or a queue to fill, a few wait for a job or a peak.
const WAITS: [(f64, f64); 3] = [(0.80, 30.0), (0.15, 150.0), (0.05, 1800.0)];

/// After this many seconds since it was live, a deploy is no longer a suspect by itself: 99 % of `WAITS` has passed.
pub const SUSPECT_S: i64 = 3000;

/// A deploy that does not end is suspected for this long after its start: two hours.
pub const RUNNING_S: i64 = 7200;

/// How far back a deploy may have begun and still be a suspect: whoever asks for suspects reads the deploys from then on.
pub const HORIZON: Duration = Duration::from_secs(RUNNING_S as u64 + 3600);

impl<'d> Exposure<'d> {
    /// The deploy as known at `now`; `None` before its start and once it is no suspect any more.
    pub fn at(deploy: &'d Deploy, now: UnixMillis) -> Option<Self> {
        if deploy.started_at > now || deploy.status == Status::Queued {
            return None;
        }
        let known = |at: Option<UnixMillis>| at.filter(|at| *at <= now);
        let finished = known(deploy.finished_at);
        let live = match deploy.rollout {
            Rollout::Atomic => known(deploy.live_at).or(finished),
            Rollout::Rolling | Rollout::Canary => finished,
        };
        let end = live.map_or(deploy.started_at.as_secs() + RUNNING_S, |live| live.as_secs() + SUSPECT_S);
        (now.as_secs() < end).then(|| Self {
            deploy,
            start_s: deploy.started_at.as_secs_f64(),
            live_s: live.map(UnixMillis::as_secs_f64),
            now_s: now.as_secs_f64(),
            learned: None,
        })
    }

    /// The same with what was learned of its service.
    #[must_use]
    pub fn knowing(self, learned: &Learned) -> Self {
        Self { learned: learned.prior(&self.deploy.service), ..self }
    }

    /// When it began, in Unix seconds.
    pub fn start_s(&self) -> f64 {
        self.start_s
    }

    /// When it was all live, in Unix seconds; now, while it is under way.
    pub fn live_s(&self) -> f64 {
        self.live_s.unwrap_or(self.now_s)
    }

    /// Whether it had come to its end.
    pub fn is_live(&self) -> bool {
        self.live_s.is_some()
    }

    /// The share of culprits of this deploy's kind and course whose onset falls before it is all live: small for a quick
    /// switch, most for a rolling or long one.
    fn share_under_way(&self, length_s: f64) -> f64 {
        match self.deploy.rollout {
            Rollout::Atomic => 0.1 + 0.6 * (1.0 - (-length_s / 600.0).exp()),
            Rollout::Rolling | Rollout::Canary => 0.8,
        }
    }

    /// The probability that the onset, given that this deploy is the cause, comes before `t_s`.
    pub fn before(&self, t_s: f64) -> f64 {
        if t_s <= self.start_s {
            return 0.0;
        }
        // Under way: as if it ended in a minute.
        let live = self.live_s.unwrap_or(self.now_s + 60.0);
        let length = (live - self.start_s).max(1.0);
        let under_way = self.share_under_way(length);
        let steps: Vec<_> = self.deploy.exposure.iter().filter(|(at, _)| at.as_secs_f64() <= self.now_s).collect();
        if let Some((_, last)) = steps.last().filter(|(_, share)| *share > 0.0) {
            // Each rise of the exposure is a small deploy of its own.
            let mut before = 0.0;
            return steps
                .iter()
                .map(|(at, share)| {
                    let rise = (share - before).max(0.0) / last;
                    before = *share;
                    rise * waited(t_s - at.as_secs_f64())
                })
                .sum();
        }
        let in_course = under_way * ((t_s - self.start_s) / length).clamp(0.0, 1.0);
        in_course + (1.0 - under_way) * waited(t_s - live)
    }

    /// The probability that the onset, given that this deploy is the cause, falls into `[from_s, until_s)`.
    pub fn mass(&self, from_s: f64, until_s: f64) -> f64 {
        (self.before(until_s) - self.before(from_s)).max(0.0)
    }

    /// The same for a restart blip: while the deploy is under way, and a little after.
    pub fn blip_mass(&self, from_s: f64, until_s: f64) -> f64 {
        let live = self.live_s.unwrap_or(self.now_s + 60.0);
        let length = (live - self.start_s).max(10.0);
        let before = |t_s: f64| {
            0.92 * ((t_s - self.start_s) / length).clamp(0.0, 1.0)
                + if t_s > live { 0.08 * (1.0 - (-(t_s - live) / 30.0).exp()) } else { 0.0 }
        };
        before(until_s) - before(from_s)
    }

    /// The share of deploys of its kind that break something. DORA's reports put the change failure rate of most shops
    /// between 5 and 15 %; a rollback goes back to what worked.
    pub fn prior(&self) -> f64 {
        let by_kind = match self.deploy.kind {
            Kind::Rollback => 0.01,
            _ => self.learned.unwrap_or(0.1),
        };
        let canceled = self.deploy.status == Status::Canceled && self.is_live();
        if canceled { 0.5 * by_kind } else { by_kind }
    }

    /// The deploy itself.
    pub fn deploy(&self) -> &'d Deploy {
        self.deploy
    }
}

fn waited(seconds: f64) -> f64 {
    if seconds <= 0.0 { 0.0 } else { WAITS.iter().map(|(share, mean)| share * (1.0 - (-seconds / mean).exp())).sum() }
}

/// The probability that a restart blip that has begun lasts `bins` bins or longer.
pub fn blip_survival(bins: usize) -> f64 {
    const FIRST: [f64; 9] = [1.0, 1.0, 0.85, 0.55, 0.2, 0.06, 0.035, 0.02, 0.012];
    FIRST.get(bins).copied().unwrap_or_else(|| 0.012 * (-((bins - 8) as f64) / 8.0).exp() + 0.0005)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deploy(finished: Option<i64>) -> Deploy {
        let event = serde_json::json!({"service": "a", "started_at": 1_760_000_000, "finished_at": finished});
        serde_json::from_value::<deployline_schemas::DeployEvent>(event).unwrap().into_deploy().unwrap()
    }

    #[test]
    fn most_onsets_follow_the_end_of_a_quick_deploy_within_two_minutes() {
        let deploy = deploy(Some(1_760_000_060));
        let seen = Exposure::at(&deploy, UnixMillis::from_secs(1_760_000_600)).unwrap();
        let mass = |from: f64, until: f64| seen.mass(1_760_000_000.0 + from, 1_760_000_000.0 + until);
        assert_eq!(mass(-100.0, 0.0), 0.0);
        assert!(mass(60.0, 180.0) > 0.6);
        assert!(mass(60.0, 70.0) > 20.0 * mass(360.0, 370.0));
    }

    #[test]
    fn an_end_still_to_come_is_not_known() {
        let deploy = deploy(Some(1_760_000_060));
        let early = Exposure::at(&deploy, UnixMillis::from_secs(1_760_000_030)).unwrap();
        assert!(!early.is_live());
        assert!(Exposure::at(&deploy, UnixMillis::from_secs(1_759_999_999)).is_none());
        assert!(Exposure::at(&deploy, UnixMillis::from_secs(1_760_000_061 + SUSPECT_S)).is_none());
    }

    #[test]
    fn blips_end() {
        assert!((1..60).all(|bins| blip_survival(bins + 1) <= blip_survival(bins)));
    }
}
