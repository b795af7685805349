//! What a shop's own verdicts teach: how often each service's deploys break something, and what the told odds were worth.
//!
//! ```text
//! π_s = (S·π₀ + k_s) / (S + n_s),          π₀ = 0.1, S = 50, within 0.02 … 0.3
//! logit p' = k·logit p + b,                within ½ ≤ k ≤ 2, −2 ≤ b ≤ 2
//! ```
//!
//! n_s counts the service's deploys, k_s those that broke something: 1 where a rollback mended an incident laid to it, the odds where nobody
//! has said, ½ for a rollback with no incident, 0 where a person said that the verdict is wrong or the change was meant. That is the mean of a Beta posterior whose
//! prior is worth fifty deploys.
//!
//! k and b are Platt's (1999), by Newton's method on the log loss with a ridge that pulls them to 1 and 0, from verdicts of which the outcome is known:
//! right where a rollback mended it or a person said that it was meant, wrong where a person said so or a rollback mended nothing. They are used from
//! [`LEAST_VERDICTS`] on with [`LEAST_OF_EACH`] of either outcome. Each fit looks only at what was told under the one before and is laid on top
//! of it, so that it never corrects its own correction twice.
//!
//! The engine takes all this with its settings: what it says follows from the records and from these numbers alone.

use std::{collections::BTreeMap, time::Duration};

use deployline_schemas::{Deploy, Incident, UnixMillis, deploy::Kind, incident::IncidentState};
use serde::{Deserialize, Serialize};

/// Fewest verdicts with a known outcome before they correct the told odds.
pub const LEAST_VERDICTS: usize = 30;
/// Fewest of either outcome among them.
pub const LEAST_OF_EACH: usize = 5;
/// The share of deploys that break something, before anything is learned.
const USUAL: f64 = 0.1;
/// How many deploys that is worth.
const STRENGTH: f64 = 50.0;
/// What a prior may be learned to.
const PRIORS: (f64, f64) = (0.02, 0.3);
/// What a rollback without an incident counts: something was wrong, and nobody saw what.
const UNSEEN: f64 = 0.5;
/// How strongly the fit is pulled to what it corrects.
const RIDGE: f64 = 4.0;
/// What slope and offset may be learned to.
const SLOPES: (f64, f64) = (0.5, 2.0);
const OFFSETS: (f64, f64) = (-2.0, 2.0);
/// An incident that lasts so long after its suspect was rolled back was not its.
const UNMENDED: Duration = Duration::from_secs(900);

/// What was learned. The default has learned nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Learned {
    /// The share of each service's deploys that break something.
    pub priors: BTreeMap<String, f64>,
    /// What the told odds have been worth.
    pub calibration: Option<Platt>,
}

/// A correction of told odds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Platt {
    /// On the logit.
    pub slope: f64,
    /// On the logit.
    pub offset: f64,
    /// How many verdicts it was last fitted to.
    pub n_verdicts: usize,
    /// Verdicts told from then on were told under it.
    pub since: UnixMillis,
}

impl Platt {
    /// The odds to tell for a probability; 0, 1 and what is not a number stay.
    pub fn apply(&self, p: f64) -> f64 {
        if p.is_nan() || p <= 0.0 || p >= 1.0 { p } else { logistic(self.slope * logit(p) + self.offset) }
    }
}

impl Learned {
    /// What is known of a service's deploys.
    pub fn prior(&self, service: &str) -> Option<f64> {
        self.priors.get(service).copied()
    }

    /// What is known with these deploys and incidents: all that are remembered, in any order. `now` is when it is put to use.
    #[must_use]
    pub fn after(&self, deploys: &[Deploy], incidents: &[Incident], now: UnixMillis) -> Self {
        let outcomes: Vec<Outcome<'_>> =
            incidents.iter().filter_map(|incident| Outcome::of(incident, deploys, now)).collect();
        Self { priors: priors(deploys, &outcomes), calibration: recalibrated(self.calibration, &outcomes, now) }
    }
}

/// A verdict that named a deploy, with what came of it.
struct Outcome<'h> {
    deploy: &'h Deploy,
    told_at: UnixMillis,
    probability: f64,
    /// Whether the deploy did it, where that is known.
    is_right: Option<bool>,
    /// How much of a failure of the deploy it was.
    failure: f64,
}

impl<'h> Outcome<'h> {
    fn of(incident: &Incident, deploys: &'h [Deploy], now: UnixMillis) -> Option<Self> {
        if incident.state == IncidentState::Suspected {
            return None;
        }
        let leading = incident.leading_suspect()?;
        let deploy = deploys.iter().find(|deploy| Some(&deploy.id) == leading.deploy_id.as_ref())?;
        let rollback = deploys.iter().find(|other| takes_back(other, deploy));
        let ended_at = incident.ended_at.unwrap_or(now);
        let is_right = match incident.state {
            IncidentState::Wrong => Some(false),
            IncidentState::Expected => Some(true),
            _ => rollback.and_then(|rollback| {
                let live = rollback.live_at.or(rollback.finished_at)?;
                match incident.mended_by.as_ref() == Some(&rollback.id) {
                    true => Some(true),
                    false => (live.plus(UNMENDED) < ended_at).then_some(false),
                }
            }),
        };
        let failure = match (incident.state, is_right) {
            (IncidentState::Expected, _) | (_, Some(false)) => 0.0,
            (_, Some(true)) => 1.0,
            (_, None) => leading.probability,
        };
        Some(Self { deploy, told_at: incident.opened_at, probability: leading.probability, is_right, failure })
    }
}

/// Whether `other` takes `deploy` back.
fn takes_back(other: &Deploy, deploy: &Deploy) -> bool {
    let names = other.rollback_of.as_ref() == Some(&deploy.id);
    let leads_back = other.kind == Kind::Rollback
        && (&other.service, &other.environment) == (&deploy.service, &deploy.environment)
        && other.version.is_some()
        && other.version == deploy.previous_version
        && other.started_at > deploy.started_at;
    names || leads_back
}

fn priors(deploys: &[Deploy], outcomes: &[Outcome<'_>]) -> BTreeMap<String, f64> {
    // Rollbacks first, so that what was seen of a deploy counts instead.
    let taken_back = deploys.iter().filter_map(|deploy| deploy.rollback_of.as_deref());
    let mut failures: BTreeMap<&str, f64> = taken_back.map(|id| (id, UNSEEN)).collect();
    let mut seen: BTreeMap<&str, f64> = BTreeMap::new();
    for outcome in outcomes {
        let known = seen.entry(&outcome.deploy.id).or_default();
        *known = known.max(outcome.failure);
    }
    failures.extend(seen);
    let mut counts: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for deploy in deploys.iter().filter(|deploy| deploy.kind != Kind::Rollback) {
        let failure = failures.get(deploy.id.as_str()).copied().unwrap_or(0.0);
        let (n, k) = counts.entry(&deploy.service).or_default();
        (*n, *k) = (*n + 1.0, *k + failure);
    }
    let prior = |(n, k): (f64, f64)| ((STRENGTH * USUAL + k) / (STRENGTH + n)).clamp(PRIORS.0, PRIORS.1);
    counts.into_iter().map(|(service, count)| (service.to_owned(), prior(count))).collect()
}

fn recalibrated(known: Option<Platt>, outcomes: &[Outcome<'_>], now: UnixMillis) -> Option<Platt> {
    let since = known.map_or(UnixMillis(i64::MIN), |known| known.since);
    let fresh = outcomes.iter().filter(|outcome| outcome.told_at >= since);
    let mut labelled: Vec<(f64, bool)> =
        fresh.filter_map(|outcome| Some((logit(outcome.probability.clamp(0.01, 0.99)), outcome.is_right?))).collect();
    // In an order of their own, so that the order of arrival does not show in the sums.
    labelled.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let n_right = labelled.iter().filter(|(_, is_right)| *is_right).count();
    if labelled.len() < LEAST_VERDICTS || n_right < LEAST_OF_EACH || labelled.len() - n_right < LEAST_OF_EACH {
        return known;
    }
    let (slope, offset) = fit(&labelled);
    let (old_slope, old_offset) = known.map_or((1.0, 0.0), |known| (known.slope, known.offset));
    Some(Platt {
        slope: (slope * old_slope).clamp(SLOPES.0, SLOPES.1),
        offset: (slope * old_offset + offset).clamp(OFFSETS.0, OFFSETS.1),
        n_verdicts: labelled.len(),
        since: now,
    })
}

/// Slope and offset of least log loss with the ridge; a convex problem, so Newton's steps come to its one minimum.
fn fit(labelled: &[(f64, bool)]) -> (f64, f64) {
    let (mut slope, mut offset) = (1.0, 0.0);
    for _ in 0..50 {
        let (mut gk, mut gb) = (RIDGE * (slope - 1.0), RIDGE * offset);
        let (mut kk, mut kb, mut bb) = (RIDGE, 0.0, RIDGE);
        for (x, is_right) in labelled {
            let p = logistic(slope * x + offset);
            let error = p - f64::from(u8::from(*is_right));
            let weight = p * (1.0 - p);
            (gk, gb) = (gk + error * x, gb + error);
            (kk, kb, bb) = (kk + weight * x * x, kb + weight * x, bb + weight);
        }
        let determinant = kk * bb - kb * kb;
        let (dk, db) = ((bb * gk - kb * gb) / determinant, (kk * gb - kb * gk) / determinant);
        (slope, offset) = (slope - dk, offset - db);
        if dk.abs() + db.abs() < 1e-10 {
            break;
        }
    }
    (slope, offset)
}

fn logit(p: f64) -> f64 {
    (p / (1.0 - p)).ln()
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blame::tests::{T0, deploy};

    fn now() -> UnixMillis {
        UnixMillis::from_secs(T0 + 10_000_000)
    }

    fn verdict(number: usize, state: &str, probability: f64) -> Incident {
        let at = UnixMillis::from_secs(T0 + 1000 * number as i64 + 60);
        serde_json::from_value(serde_json::json!({
            "id": format!("i{number}"), "revision": 1, "state": state, "service": "checkout", "environment": "production",
            "opened_at": at, "changed_at": at, "ended_at": at, "onset": {"at": at, "earliest": at, "latest": at}, "signals": [],
            "suspects": [{"deploy_id": format!("d{number}"), "probability": probability, "evidence": []}], "summary": "",
        }))
        .unwrap()
    }

    fn deploys(n: usize) -> Vec<Deploy> {
        (0..n).map(|number| deploy(&format!("d{number}"), "checkout", 1000 * number as i64)).collect()
    }

    #[test]
    fn a_service_that_never_breaks_is_trusted_and_one_that_does_is_not() {
        let prior =
            |n, incidents: &[Incident]| Learned::default().after(&deploys(n), incidents, now()).prior("checkout");
        assert_eq!(prior(50, &[]), Some(0.05));
        assert_eq!(prior(5000, &[]), Some(PRIORS.0), "never below");
        let bad: Vec<Incident> = (0..40).map(|number| verdict(number, "confirmed", 0.9)).collect();
        assert_eq!(prior(50, &bad), Some(PRIORS.1), "never above");
        let wrong: Vec<Incident> = (0..40).map(|number| verdict(number, "wrong", 0.9)).collect();
        assert_eq!(prior(50, &wrong), Some(0.05), "what was judged wrong was no failure");
        assert_eq!(Learned::default().after(&deploys(5), &[], now()).prior("search"), None);
    }

    #[test]
    fn rollbacks_tell_what_the_verdict_was_worth() {
        let all = deploys(2);
        let back = |id: &str, of: &str, at: i64| Deploy {
            kind: Kind::Rollback,
            rollback_of: Some(of.to_owned()),
            ..deploy(id, "checkout", at)
        };
        let with = [all.clone(), vec![back("r0", "d0", 300)]].concat();
        let right = |incident: &Incident| Outcome::of(incident, &with, now()).unwrap().is_right;
        let mended = Incident { mended_by: Some("r0".to_owned()), ..verdict(0, "recovered", 0.9) };
        assert_eq!(right(&mended), Some(true));
        let lasting = Incident { ended_at: None, ..verdict(0, "confirmed", 0.9) };
        assert_eq!(right(&lasting), Some(false), "still broken long after");
        assert_eq!(right(&verdict(1, "recovered", 0.9)), None, "nobody knows");
    }

    #[test]
    fn odds_are_corrected_once_there_is_enough_to_go_by_and_not_twice() {
        // Told at 0.9, right in half of all cases.
        let told = |n: usize, first: usize| -> Vec<Incident> {
            (first..first + n).map(|i| verdict(i, if i % 2 == 0 { "wrong" } else { "expected" }, 0.9)).collect()
        };
        let deploys = deploys(200);
        let learn = |known: &Learned, incidents: &[Incident]| known.after(&deploys, incidents, now()).calibration;
        assert_eq!(learn(&Learned::default(), &told(20, 0)), None, "too few");
        let one_sided: Vec<Incident> = (0..60).map(|i| verdict(i, "expected", 0.9)).collect();
        assert_eq!(learn(&Learned::default(), &one_sided), None, "of one kind only");
        let platt = learn(&Learned::default(), &told(100, 0)).unwrap();
        // As far as the bound on the slope lets it go.
        assert!((0.6..0.75).contains(&platt.apply(0.9)) && platt.slope == SLOPES.0, "{platt:?}: {}", platt.apply(0.9));
        let known = Learned { calibration: Some(platt), ..Learned::default() };
        assert_eq!(learn(&known, &told(100, 0)), Some(platt), "the same verdicts teach nothing new");
        assert_eq!([0.0, 1.0].map(|p| platt.apply(p)), [0.0, 1.0]);
    }
}
