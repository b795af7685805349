//! An incident: one cause, and all the series that it moved.

use serde::{Deserialize, Serialize};

use crate::{
    blame::{Effect, Onset, Suspect},
    signal::{Bad, SignalKind},
    time::UnixMillis,
};

/// Where an incident stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum IncidentState {
    /// Enough to show on a page, not enough to tell anybody.
    Suspected,
    /// Told: a regression that holds.
    Confirmed,
    /// Nobody mended it for so long that its level is taken as given. Told before, and still not over.
    Persisting,
    /// Over: the signals are back. `mended_by` says through what, where known.
    Recovered,
    /// A person said that it was meant.
    Expected,
    /// A person said that the verdict was wrong.
    Wrong,
}

impl IncidentState {
    /// Whether it is not over.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Suspected | Self::Confirmed | Self::Persisting)
    }
}

/// What a person said of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Opinion {
    /// "I know, I am on it": it stays what it is.
    Ack,
    /// It was meant: nobody is told of it any more.
    Expected,
    /// The verdict is wrong: the deploy that it names did not do it.
    Wrong,
}

impl Opinion {
    /// The state that it brings an incident to; `None` where it leaves it as it is.
    pub fn state(self) -> Option<IncidentState> {
        match self {
            Self::Ack => None,
            Self::Expected => Some(IncidentState::Expected),
            Self::Wrong => Some(IncidentState::Wrong),
        }
    }
}

/// The text is none of the three words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is none of ack, expected, wrong")]
pub struct OpinionError(String);

impl std::str::FromStr for Opinion {
    type Err = OpinionError;

    fn from_str(text: &str) -> Result<Self, OpinionError> {
        match text {
            "ack" => Ok(Self::Ack),
            "expected" => Ok(Self::Expected),
            "wrong" => Ok(Self::Wrong),
            _ => Err(OpinionError(text.to_owned())),
        }
    }
}

/// A person's opinion of an incident, with who and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Feedback {
    /// What was said.
    pub opinion: Opinion,
    /// Who said it, where they told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When.
    pub at: UnixMillis,
}

/// Longest `by` of a feedback, in bytes.
pub const MAX_BY_BYTES: usize = 256;
/// Longest `note` of a feedback, in bytes.
pub const MAX_NOTE_BYTES: usize = 2000;
/// Most opinions that one incident keeps: the latest.
pub const MAX_FEEDBACK: usize = 100;

/// One signal that an incident moved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
    /// What people said of it, first to last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub feedback: Vec<Feedback>,
    /// One sentence that says it all.
    pub summary: String,
}

impl Incident {
    /// The likeliest cause; `None` inside means "none of the deploys".
    pub fn leading_suspect(&self) -> Option<&Suspect> {
        self.suspects.first()
    }

    /// The incident after a person's opinion of it, as its next revision.
    #[must_use]
    pub fn after(&self, feedback: Feedback) -> Self {
        let mut next = self.clone();
        next.revision = next.revision.saturating_add(1);
        next.changed_at = next.changed_at.max(feedback.at);
        if let Some(state) = feedback.opinion.state() {
            next.state = state;
            next.ended_at = next.ended_at.or(Some(feedback.at));
        }
        next.feedback.push(feedback);
        let surplus = next.feedback.len().saturating_sub(MAX_FEEDBACK);
        next.feedback.drain(..surplus);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confirmed() -> Incident {
        let at = UnixMillis::from_secs(1_760_000_000);
        serde_json::from_value(serde_json::json!({
            "id": "i-1", "revision": 2, "state": "confirmed", "service": "checkout", "environment": "production",
            "opened_at": at, "changed_at": at, "onset": {"at": at, "earliest": at, "latest": at}, "signals": [],
            "suspects": [], "summary": "",
        }))
        .unwrap()
    }

    fn said(opinion: Opinion, seconds: i64) -> Feedback {
        Feedback { opinion, by: Some("ana".to_owned()), note: None, at: UnixMillis::from_secs(1_760_000_000 + seconds) }
    }

    #[test]
    fn an_opinion_is_the_next_revision_and_ends_what_was_meant_or_wrong() {
        let acked = confirmed().after(said(Opinion::Ack, 10));
        assert_eq!((acked.revision, acked.state, acked.ended_at), (3, IncidentState::Confirmed, None));
        let expected = acked.after(said(Opinion::Expected, 20));
        assert_eq!((expected.revision, expected.state), (4, IncidentState::Expected));
        assert_eq!(expected.ended_at, Some(UnixMillis::from_secs(1_760_000_020)));
        assert_eq!(
            expected.feedback.iter().map(|said| said.opinion).collect::<Vec<_>>(),
            [Opinion::Ack, Opinion::Expected]
        );
        assert_eq!(expected.after(said(Opinion::Wrong, 30)).ended_at, expected.ended_at, "it ended then");
    }

    #[test]
    fn only_so_many_opinions_are_kept() {
        let mut incident = confirmed();
        for second in 0..150 {
            incident = incident.after(said(Opinion::Ack, second));
        }
        assert_eq!(incident.feedback.len(), MAX_FEEDBACK);
        assert_eq!(incident.feedback.last(), Some(&said(Opinion::Ack, 149)));
    }
}
