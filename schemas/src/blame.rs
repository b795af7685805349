//! The answer to "which deploy broke this?": suspects with their odds, "none of them" among them.

use serde::{Deserialize, Serialize};

use crate::time::UnixMillis;

/// One possible cause of a change, with its probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Suspect {
    /// The deploy; `None` stands for "none of the deploys".
    pub deploy_id: Option<String>,
    /// What people call it, as in `checkout 9bc1f2e`; `None` beside no deploy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The belief that this is the cause, `0.0..=1.0`. Over all suspects of one answer they sum to 1.
    pub probability: f64,
    /// What speaks for and against it, strongest first.
    pub evidence: Vec<Evidence>,
}

/// One reason behind a suspect's odds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Evidence {
    /// What was looked at, in a stable word: `prior`, `timing`, `scope`, `flat`, `rollback`, `global`, `veto`.
    pub kind: String,
    /// How it moved the odds, as a natural logarithm: positive speaks for the suspect. Finite.
    pub log_odds: f64,
    /// A sentence for people.
    pub text: String,
}

/// When a change began: the likeliest moment and the band that holds it with 90 % probability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Onset {
    /// The likeliest moment: the start of the first interval that is changed throughout.
    pub at: UnixMillis,
    /// Start of the 90 % band.
    pub earliest: UnixMillis,
    /// End of the 90 % band.
    pub latest: UnixMillis,
}

/// By how much a signal moved.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Effect {
    /// The expected value, in the signal's unit (a ratio as a share, a latency in its own unit).
    pub before: f64,
    /// The value since the onset.
    pub after: f64,
    /// `after / before`, or the difference where `before` is 0; with `low` and `high` its 95 % interval.
    pub factor: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// What became of a question about a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Worse than before, beyond chance and the minimum effect.
    Regressed,
    /// Better than before.
    Improved,
    /// Looked at, with enough data, and the same.
    Unchanged,
    /// Too little data to tell yet.
    Inconclusive,
}

/// The answer of `blame` for one series or signal at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Blame {
    /// The series that was asked about.
    pub series: String,
    /// The service that it belongs to, where a signal says so.
    pub service: Option<String>,
    /// The moment that was asked about.
    pub at: UnixMillis,
    /// What happened to the series around then.
    pub verdict: Verdict,
    /// When it changed, if it did.
    pub onset: Option<Onset>,
    /// By how much, if it did.
    pub effect: Option<Effect>,
    /// Who may have done it, likeliest first, "none of them" among them. Empty when nothing changed.
    pub suspects: Vec<Suspect>,
    /// One sentence that says it all.
    pub summary: String,
}
