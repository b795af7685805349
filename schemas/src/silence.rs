//! A silence: for a while nobody is told of the incidents that it fits. They are judged, kept and shown all the same.

use serde::{Deserialize, Serialize};

use crate::{Incident, pattern, time::UnixMillis};

/// Who is not told of what, from when until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Silence {
    /// Names the silence for ever.
    pub id: String,
    /// The service in which an incident shows most; `*` stands for any run of characters. All without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The incident's environment, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The deploy that leads the suspects. Any without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy_id: Option<String>,
    /// From when on.
    pub from: UnixMillis,
    /// Until when; never open.
    pub until: UnixMillis,
    /// Who wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When it was asked for.
    pub created_at: UnixMillis,
}

impl Silence {
    /// Whether it holds at a moment.
    pub fn holds(&self, at: UnixMillis) -> bool {
        self.from <= at && at < self.until
    }

    /// Whether an incident is one of those that it speaks of, whatever the time.
    pub fn fits(&self, incident: &Incident) -> bool {
        let fits =
            |wanted: &Option<String>, text: &str| wanted.as_ref().is_none_or(|wanted| pattern::matches(wanted, text));
        let leading = incident.leading_suspect().and_then(|suspect| suspect.deploy_id.as_ref());
        fits(&self.service, &incident.service)
            && fits(&self.environment, &incident.environment)
            && self.deploy_id.as_ref().is_none_or(|wanted| leading == Some(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident() -> Incident {
        let at = UnixMillis::from_secs(1_760_000_000);
        serde_json::from_value(serde_json::json!({
            "id": "i-1", "revision": 1, "state": "confirmed", "service": "checkout", "environment": "production",
            "opened_at": at, "changed_at": at, "onset": {"at": at, "earliest": at, "latest": at}, "signals": [],
            "suspects": [{"deploy_id": "d-1", "probability": 0.9, "evidence": []}], "summary": "",
        }))
        .unwrap()
    }

    #[track_caller]
    fn check(wanted: serde_json::Value, expected: bool) {
        let mut silence = serde_json::json!({"id": "s", "from": 100, "until": 200, "created_at": 100});
        silence.as_object_mut().unwrap().extend(wanted.as_object().unwrap().clone());
        let silence: Silence = serde_json::from_value(silence).unwrap();
        assert_eq!(silence.fits(&incident()), expected, "{silence:?}");
    }

    #[test]
    fn every_given_part_must_fit() {
        check(serde_json::json!({}), true);
        check(serde_json::json!({"service": "check*"}), true);
        check(serde_json::json!({"service": "search"}), false);
        check(serde_json::json!({"service": "checkout", "environment": "staging"}), false);
        check(serde_json::json!({"deploy_id": "d-1"}), true);
        check(serde_json::json!({"deploy_id": "d-2"}), false);
    }

    #[test]
    fn a_silence_holds_from_its_start_to_before_its_end() {
        let silence: Silence =
            serde_json::from_value(serde_json::json!({"id": "s", "from": 100, "until": 200, "created_at": 100}))
                .unwrap();
        let holds = |second| silence.holds(UnixMillis::from_secs(second));
        assert_eq!([99, 100, 199, 200].map(holds), [false, true, true, false]);
    }
}
