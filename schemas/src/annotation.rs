//! An annotation: what somebody noted on the graphs that is no deploy, or a deploy's own mark as somebody has edited it.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::time::UnixMillis;

/// Longest title and longest text of an annotation, in bytes.
pub const MAX_ANNOTATION_BYTES: usize = 16 * 1024;
/// Most tags of an annotation.
pub const MAX_ANNOTATION_TAGS: usize = 64;

/// A mark on the graphs, over a moment or a stretch of time.
///
/// Each change is told as a whole; of several under one id the one that was [changed](Annotation::changed_at) last holds,
/// in whatever order they come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Annotation {
    /// Names it for ever. A deploy's id where it stands for one.
    pub id: String,
    /// What names it where an API has numbers.
    pub number: u64,
    /// Who told of it: the hook's source, or `api` for what was edited here.
    pub source: String,
    /// When it happened, or began.
    pub started_at: UnixMillis,
    /// When it ended, for one that took time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<UnixMillis>,
    /// What happened, in a line; empty where the sender has only a text.
    #[serde(default)]
    pub title: String,
    /// More about it.
    #[serde(default)]
    pub text: String,
    /// In the order in which they were sent.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The dashboard that it is shown on alone, by its id in Grafana.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dashboard: Option<String>,
    /// The panel of that dashboard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub panel_id: Option<i64>,
    /// Whether it is shown in place of the deploy whose id it has. The deploy itself stays what it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub of_deploy: bool,
    /// Whether it was taken away.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_deleted: bool,
    /// When this was said of it.
    pub changed_at: UnixMillis,
}

impl Annotation {
    /// Its key on the bus: what is said of one annotation keeps its order.
    pub fn key(&self) -> String {
        format!("annotation/{}", self.id)
    }
}

/// The number that stands for an id where an API has numbers: 52 bits of a hash, so that scripts keep them whole.
pub fn number(id: &str) -> u64 {
    let digest = Sha256::digest(id.as_bytes());
    digest[..7].iter().fold(0, |number, byte| number << 8 | u64::from(*byte)) >> 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_whole_to_scripts() {
        assert!(number("a") < 1 << 52 && number("a") != number("b"));
    }
}
