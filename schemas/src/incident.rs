//! An incident: one cause, and all the series that it moved.

use serde::{Deserialize, Serialize};

use crate::{
    blame::{Effect, Onset, Suspect},
    signal::{Bad, SignalKind},
    time::UnixMillis,
};

/// Where an incident stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentState {
    /// Enough to show on a page, not enough to tell anybody.
    Suspected,
    /// Told: a regression that holds.
    Confirmed,
    /// Over: the signals are back. `mended_by` says through what, where known.
    Recovered,
    /// A person said that it was meant.
    Expected,
    /// A person said that the verdict was wrong.
    Wrong,
}

/// One signal that an incident moved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MovedSignal {
    /// Whose signal.
    pub service: String,
    /// Its name, as in "error ratio".
    pub signal: String,
    /// How it behaves.
    pub kind: SignalKind,
    /// The series behind it, and the denominator where there is one.
    pub series: String,
    /// The denominator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<String>,
    /// Which way it moved: `Up` or `Down`.
    pub direction: Bad,
    /// By how much.
    pub effect: Effect,
    /// When it began to.
    pub onset: Onset,
    /// The evidence against "nothing happened" as a natural logarithm of an e-value.
    pub log_e: f64,
}

/// An incident, as of one of its state changes. The pair of `id` and `revision` names the change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Names the incident for ever.
    pub id: String,
    /// Counts its state changes from 1.
    pub revision: u32,
    /// Where it stands.
    pub state: IncidentState,
    /// The service in which it shows most.
    pub service: String,
    /// The environment of its services.
    pub environment: String,
    /// When it was first confirmed.
    pub opened_at: UnixMillis,
    /// When this change was decided.
    pub changed_at: UnixMillis,
    /// When the signals were back, once they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<UnixMillis>,
    /// When it began.
    pub onset: Onset,
    /// What moved, strongest first.
    pub signals: Vec<MovedSignal>,
    /// Who may have done it, likeliest first, "none of them" among them.
    pub suspects: Vec<Suspect>,
    /// The deploy that mended it, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mended_by: Option<String>,
    /// One sentence that says it all.
    pub summary: String,
}

impl Incident {
    /// The likeliest cause; `None` inside means "none of the deploys".
    pub fn leading_suspect(&self) -> Option<&Suspect> {
        self.suspects.first()
    }
}
