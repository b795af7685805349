//! Placebo deploys: how often would a quiet moment raise an alarm?
//!
//! Pretend deploys are laid into random moments at which nothing was deployed and nothing was wrong, and the engine, the same
//! that judges live, goes over the recorded past with them in it. Whatever it lays at the door of a pretend deploy is a false alarm. In one
//! pass they keep so far apart that each is judged as if it were alone; as many passes are made as are needed.

use std::{collections::BTreeSet, sync::Arc};

use deployline_schemas::{Deploy, DeployEvent, Incident, UnixMillis, incident::IncidentState, series::Datapoint};
use serde::{Deserialize, Serialize};

use crate::{Settings, lag, replay::replay, scope::Scope, window};

/// How far two pretend deploys in one service's reach are apart, in seconds: the first is no suspect any more.
const APART_S: i64 = lag::SUSPECT_S + 600;
/// How long before and after a pretend deploy nothing may have been deployed within its reach, in seconds: it would be the other's
/// effect that is judged.
const QUIET_S: (i64, i64) = (lag::SUSPECT_S, 1800);
/// A pretend deploy needs so much past before it, and so much to come, in seconds.
const MARGIN_S: (i64, i64) = (window::BINS as i64 * 10, 1200);
/// How long a pretend deploy takes, in seconds.
const LENGTH_S: i64 = 60;
/// How often a moment is drawn for each deploy before a pass is full.
const TRIES: usize = 40;
/// Most passes over the past.
const MOST_PASSES: usize = 64;

/// The past to lay pretend deploys into.
#[derive(Debug, Clone, Copy)]
pub struct Past<'p> {
    /// What series mean and who calls whom.
    pub settings: &'p Settings,
    /// What was really deployed.
    pub deploys: &'p [Deploy],
    /// What was wrong.
    pub incidents: &'p [Incident],
    /// The services that have signals.
    pub services: &'p [String],
    /// Unix seconds, series and value, by time.
    pub points: &'p [(i64, Arc<str>, f64)],
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Placebo {
    /// How many pretend deploys were judged.
    pub n_deploys: usize,
    /// How many of them an alarm named.
    pub n_alarms: usize,
    /// How many passes over the past it took.
    pub n_passes: usize,
    /// Whether fewer were judged than were asked for: the past has no more quiet moments, or time was up.
    pub is_cut: bool,
    /// The alarms, as they would have been told; the first twenty.
    pub alarms: Vec<String>,
    /// Upper end of the 95 % interval of the rate (Clopper and Pearson 1934; for no alarm 3/n, the rule of three).
    pub most_rate: f64,
}

/// Lays `n_deploys` pretend deploys into the past and judges them. `go_on` is asked before each pass.
pub fn placebo(past: &Past<'_>, n_deploys: usize, seed: u64, mut go_on: impl FnMut() -> bool) -> Placebo {
    let mut outcome =
        Placebo { n_deploys: 0, n_alarms: 0, n_passes: 0, is_cut: false, alarms: Vec::new(), most_rate: 1.0 };
    let mut dice = Dice(seed);
    let scope = Scope::new(&past.settings.services);
    while outcome.n_deploys < n_deploys && outcome.n_passes < MOST_PASSES && go_on() {
        let pretended = pass(past, &scope, &mut dice, n_deploys - outcome.n_deploys, outcome.n_passes);
        if pretended.is_empty() {
            break;
        }
        let ids: BTreeSet<&str> = pretended.iter().map(|deploy| deploy.id.as_str()).collect();
        let mut deploys = past.deploys.to_vec();
        deploys.extend(pretended.iter().cloned());
        let points =
            past.points.iter().map(|(at, series, value)| Datapoint { series, timestamp_s: *at, value: *value });
        let replayed = replay(past.settings.clone(), &deploys, points);
        for incident in &replayed.incidents {
            let leading = incident.leading_suspect().and_then(|suspect| suspect.deploy_id.as_deref());
            if leading.is_some_and(|id| ids.contains(id)) {
                outcome.n_alarms += 1;
                if outcome.alarms.len() < 20 {
                    outcome.alarms.push(incident.summary.clone());
                }
            }
        }
        outcome.n_deploys += pretended.len();
        outcome.n_passes += 1;
    }
    outcome.is_cut = outcome.n_deploys < n_deploys;
    outcome.most_rate = upper_rate(outcome.n_alarms, outcome.n_deploys);
    outcome
}

/// The pretend deploys of one pass.
fn pass(past: &Past<'_>, scope: &Scope, dice: &mut Dice, wanted: usize, number: usize) -> Vec<Deploy> {
    let (Some(first), Some(last)) = (past.points.first(), past.points.last()) else { return Vec::new() };
    let (from, until) = (first.0 + MARGIN_S.0, last.0 - MARGIN_S.1);
    let mut pretended: Vec<Deploy> = Vec::new();
    if past.services.is_empty() || from >= until {
        return pretended;
    }
    let reach =
        |service: &str| -> BTreeSet<String> { scope.reach(service).into_iter().map(|(name, _)| name).collect() };
    let mut failures = 0;
    while pretended.len() < wanted && failures < TRIES {
        let service = &past.services[dice.below(past.services.len() as u64) as usize];
        let at = from + dice.below((until - from) as u64) as i64;
        let mine = reach(service);
        // Whatever shows where this one would show.
        let shared = |other: &Deploy| reach(&other.service).intersection(&mine).next().is_some();
        let near = |other: &Deploy, (before, after): (i64, i64)| {
            let apart = at - other.started_at.as_secs();
            (-after..before).contains(&apart)
        };
        let is_busy = past.deploys.iter().any(|other| near(other, QUIET_S) && shared(other))
            || pretended.iter().any(|other| near(other, (APART_S, APART_S)) && shared(other))
            || past.incidents.iter().any(|incident| is_trouble(incident, &mine, at));
        let event = DeployEvent {
            id: Some(format!("placebo-{number}-{}", pretended.len())),
            service: service.clone(),
            version: Some("placebo".to_owned()),
            started_at: Some(UnixMillis::from_secs(at)),
            live_at: Some(UnixMillis::from_secs(at + LENGTH_S)),
            finished_at: Some(UnixMillis::from_secs(at + LENGTH_S)),
            ..DeployEvent::default()
        };
        match event.into_deploy().ok().filter(|_| !is_busy) {
            Some(deploy) => {
                pretended.push(deploy);
                failures = 0;
            }
            None => failures += 1,
        }
    }
    pretended
}

/// Whether an incident of these services spoils a moment.
fn is_trouble(incident: &Incident, services: &BTreeSet<String>, at: i64) -> bool {
    let is_told = !matches!(incident.state, IncidentState::Suspected | IncidentState::Wrong);
    let touches = incident.signals.iter().any(|signal| services.contains(&signal.service));
    let ended = incident.ended_at.map_or(i64::MAX, UnixMillis::as_secs);
    is_told && touches && incident.onset.earliest.as_secs() < at + QUIET_S.1 && at - 600 < ended
}

/// Upper end of the 95 % interval of a rate of `k` in `n`, by bisection on the binomial tail.
fn upper_rate(k: usize, n: usize) -> f64 {
    if k >= n {
        return 1.0;
    }
    // The chance of k or fewer in n at rate p.
    let tail = |p: f64| {
        let mut term = (n as f64 * (1.0 - p).ln()).exp();
        let mut sum = term;
        for i in 0..k {
            term *= (n - i) as f64 / (i + 1) as f64 * p / (1.0 - p);
            sum += term;
        }
        sum
    };
    let (mut low, mut high) = (0.0, 1.0 - 1e-12);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if tail(middle) > 0.05 { low = middle } else { high = middle }
    }
    high
}

/// SplitMix64 (Steele, Lea and Flood 2014): seeded, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blame::tests::{LATENCY, deploy, series, settings, step_at};

    fn points(level: impl Fn(i64) -> f64) -> Vec<(i64, Arc<str>, f64)> {
        let name: Arc<str> = LATENCY.into();
        let all = series(3, 10, 4 * 3600, level, 0.1);
        all.into_iter().map(|(at, value)| (at, Arc::clone(&name), value)).collect()
    }

    fn judged(points: &[(i64, Arc<str>, f64)], deploys: &[Deploy], seed: u64) -> Placebo {
        let (settings, services) = (settings(), vec!["checkout".to_owned()]);
        let past = Past { settings: &settings, deploys, incidents: &[], services: &services, points };
        placebo(&past, 6, seed, || true)
    }

    #[test]
    fn quiet_series_raise_no_alarm_and_the_same_seed_says_the_same() {
        let quiet = points(|_| 80.0);
        let outcome = judged(&quiet, &[], 7);
        assert_eq!((outcome.n_deploys, outcome.n_alarms), (6, 0), "{outcome:?}");
        assert_eq!(outcome, judged(&quiet, &[], 7));
    }

    #[test]
    fn moments_near_a_real_deploy_are_not_quiet() {
        let busy: Vec<Deploy> = (-8..=16).map(|at| deploy(&format!("d{at}"), "checkout", at * 900)).collect();
        let outcome = judged(&points(step_at(100, 80.0, 80.0)), &busy, 7);
        assert_eq!((outcome.n_deploys, outcome.is_cut), (0, true));
    }

    #[test]
    fn the_interval_is_clopper_and_pearsons() {
        assert!((upper_rate(0, 1000) - 0.002_991).abs() < 1e-5, "{}", upper_rate(0, 1000));
        assert!((upper_rate(1, 100) - 0.046_56).abs() < 1e-4, "{}", upper_rate(1, 100));
        assert_eq!(upper_rate(0, 0), 1.0);
    }
}
