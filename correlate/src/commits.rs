//! Inside a batch: which of a deploy's commits fits what moved?
//!
//! Given that the deploy did it, P(c | d) ∝ exp(score): a commit scores for each word that its message and paths share with what
//! moved (the service, the signal, the parts of the series' names), for touching the service's own folder, and for words that speak of risky
//! changes. Where no commit shares anything there is no evidence, and the batch is listed as it is. One commit stands out only
//! if it holds at least twice what the second does; Meta's two-stage ranker, which sees the whole diff, has 42 % in its first five
//! (`docs/correlation.md`).

use std::collections::BTreeSet;

use deployline_schemas::{Deploy, deploy::Commit, incident::MovedSignal};
use serde::{Deserialize, Serialize};

/// What a shared word is worth, in nats: one in three commits of a batch shares one by chance.
const SHARED_WORD: f64 = 1.1;
/// Most shared words that count.
const MOST_SHARED: usize = 3;
/// What a path in the service's own folder is worth.
const OWN_PATH: f64 = 1.1;
/// What a word of risk is worth: it breaks ties, no more.
const RISK: f64 = 0.4;
/// Words that speak of changes that break more often than others.
const RISKY: [&str; 12] = [
    "migrate",
    "migration",
    "timeout",
    "retry",
    "cache",
    "pool",
    "upgrade",
    "bump",
    "rewrite",
    "refactor",
    "flag",
    "lock",
];
/// Words that every series and message has.
const COMMON: [&str; 22] = [
    "stats", "counters", "timers", "gauges", "count", "http", "upper", "lower", "mean", "median", "sum", "the", "and",
    "for", "with", "from", "rate", "ratio", "src", "lib", "test", "tests",
];
/// Shortest word that counts, in letters.
const SHORTEST: usize = 3;
/// How many times the second's probability the first needs to stand out.
const STANDS_OUT: f64 = 2.0;

/// One commit with its share of the blame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RankedCommit {
    /// Its revision.
    pub id: String,
    /// P(this commit | the deploy did it); `None` where there is no evidence for any.
    pub probability: Option<f64>,
    /// Whether it holds at least twice what the second does.
    pub stands_out: bool,
    /// What it shares with what moved.
    pub shared: Vec<String>,
}

/// The commits of a deploy, likeliest first where there is evidence, else in their own order.
pub fn rank(deploy: &Deploy, moved: &[MovedSignal]) -> Vec<RankedCommit> {
    let wanted = wanted(deploy, moved);
    let mut ranked: Vec<(f64, RankedCommit)> = deploy
        .commits
        .iter()
        .map(|commit| {
            let shared = shared(commit, &wanted);
            let has_evidence = !shared.is_empty() || in_own_folder(commit, &deploy.service);
            let score = if has_evidence { score(commit, &deploy.service, shared.len()) } else { 0.0 };
            let shared = if shared.is_empty() && has_evidence { vec![format!("{}/", deploy.service)] } else { shared };
            (score, RankedCommit { id: commit.id.clone(), probability: None, stands_out: false, shared })
        })
        .collect();
    if ranked.iter().all(|(_, commit)| commit.shared.is_empty()) {
        return ranked.into_iter().map(|(_, commit)| commit).collect();
    }
    let total: f64 = ranked.iter().map(|(score, _)| score.exp()).sum();
    ranked.iter_mut().for_each(|(score, commit)| commit.probability = Some(score.exp() / total));
    // A stable sort: among equals the order of the batch.
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let second = ranked.get(1).and_then(|(_, commit)| commit.probability).unwrap_or(0.0);
    let mut ranked: Vec<RankedCommit> = ranked.into_iter().map(|(_, commit)| commit).collect();
    if let Some(first) = ranked.first_mut() {
        first.stands_out = first.probability.is_some_and(|first| first >= STANDS_OUT * second);
    }
    ranked
}

fn score(commit: &Commit, service: &str, n_shared: usize) -> f64 {
    let message = words(commit.message.as_deref().unwrap_or_default());
    let is_risky = RISKY.iter().any(|risky| message.contains(*risky));
    SHARED_WORD * n_shared.min(MOST_SHARED) as f64
        + if in_own_folder(commit, service) { OWN_PATH } else { 0.0 }
        + if is_risky { RISK } else { 0.0 }
}

fn in_own_folder(commit: &Commit, service: &str) -> bool {
    commit.paths.iter().any(|path| path.split('/').any(|part| part.eq_ignore_ascii_case(service)))
}

/// The words that what moved is known by.
fn wanted(deploy: &Deploy, moved: &[MovedSignal]) -> BTreeSet<String> {
    let mut wanted = BTreeSet::new();
    for signal in moved {
        wanted.extend(words(&signal.series));
        wanted.extend(words(&signal.signal));
        // The deploy's own service is what every commit of it speaks of.
        if signal.service != deploy.service {
            wanted.extend(words(&signal.service));
        }
    }
    let own = words(&deploy.service);
    wanted.retain(|word| !own.contains(word));
    wanted
}

fn shared(commit: &Commit, wanted: &BTreeSet<String>) -> Vec<String> {
    let mut own = words(commit.message.as_deref().unwrap_or_default());
    commit.paths.iter().for_each(|path| own.extend(words(path)));
    wanted.intersection(&own).cloned().collect()
}

/// The words of a text, lower case, a plural without its s.
fn words(text: &str) -> BTreeSet<String> {
    let parts = text.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
    let plain = parts.map(|word| match word.strip_suffix('s') {
        Some(one) if one.len() > SHORTEST && !one.ends_with('s') => one.to_owned(),
        _ => word,
    });
    let counts = |word: &String| {
        word.chars().count() >= SHORTEST
            && !COMMON.contains(&word.as_str())
            && !word.bytes().all(|byte| byte.is_ascii_digit())
    };
    plain.filter(counts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blame::tests::deploy;

    fn ranked(commits: &[(&str, &str, &[&str])], series: &str) -> Vec<RankedCommit> {
        let mut deploy = deploy("d", "checkout", 0);
        deploy.commits = commits
            .iter()
            .map(|(id, message, paths)| Commit {
                id: (*id).to_owned(),
                message: Some((*message).to_owned()),
                paths: paths.iter().map(|path| (*path).to_owned()).collect(),
                ..Commit::default()
            })
            .collect();
        let at = deploy.started_at;
        let moved: Vec<MovedSignal> = serde_json::from_value(serde_json::json!([{
            "service": "checkout", "signal": "latency p95", "kind": "latency", "series": series, "direction": "up",
            "effect": {"before": 1.0, "after": 2.0, "factor": 2.0, "low": 1.5, "high": 2.5},
            "onset": {"at": at, "earliest": at, "latest": at}, "log_e": 9.0,
        }]))
        .unwrap();
        rank(&deploy, &moved)
    }

    #[test]
    fn the_commit_that_speaks_of_what_moved_comes_first() {
        let all = ranked(
            &[
                ("a", "Fix a typo in the footer", &[]),
                ("b", "Charge cards through the new payment gateway", &["checkout/payment/gateway.rs"]),
                ("c", "Bump dependencies", &[]),
            ],
            "stats.timers.checkout.payment.charge.upper_95",
        );
        assert_eq!(all.iter().map(|commit| commit.id.as_str()).collect::<Vec<_>>(), ["b", "a", "c"]);
        assert_eq!((all[0].stands_out, all[0].shared.clone()), (true, vec!["charge".to_owned(), "payment".to_owned()]));
        let total: f64 = all.iter().filter_map(|commit| commit.probability).sum();
        assert!((total - 1.0).abs() < 1e-9 && all[0].probability > Some(0.8), "{all:?}");
    }

    #[test]
    fn without_evidence_the_batch_is_listed_as_it_is() {
        let all = ranked(&[("a", "change", &[]), ("b", "bump things", &[])], "stats.timers.checkout.http.upper_95");
        assert!(all.iter().all(|commit| commit.probability.is_none() && !commit.stands_out), "{all:?}");
        assert_eq!(all[0].id, "a");
    }

    #[test]
    fn two_that_fit_alike_do_not_stand_out() {
        let all = ranked(&[("a", "faster payment", &[]), ("b", "payment fees", &[])], "app.checkout.payment");
        assert!(!all[0].stands_out && all[0].probability == all[1].probability, "{all:?}");
    }
}
