//! `[[hook]]`: how one source is set up.

use std::collections::BTreeMap;

use deployline_schemas::Secret;
use serde::{Deserialize, Deserializer, Serialize};

use super::generic::Mapping;

/// Requests a second that a hook takes if not configured: more than one process can make durable, so that it bounds what
/// a sender gone wild costs and nothing else.
pub const DEFAULT_MAX_PER_SECOND: u32 = 50_000;

/// One `[[hook]]` of the configuration. With nothing but `source` every field has a sensible rule behind it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HookConfig {
    /// The module, as in [`super::sources`].
    pub source: String,
    /// The last part of its path below `/hooks/`, where one source is set up more than once; the source's name if not said.
    pub name: Option<String>,
    /// The signing secret or token; a list of two while it is being rotated. Without one every request is accepted.
    #[serde(deserialize_with = "one_or_many")]
    pub secret: Vec<Secret>,
    /// Most requests a second, with as many at once after a quiet second; further ones get 429. Only those count that
    /// prove themselves, so that a stranger cannot use it up.
    pub max_per_second: u32,
    /// Only these environments count, after renaming; all of them if empty.
    pub environments: Vec<String>,
    /// Only these branches or refs count, for sources that tell them; all of them if empty. `*` stands for any run.
    pub branches: Vec<String>,
    /// Only these pipelines, workflows or jobs count, for sources that build as well as deploy; all if empty.
    pub jobs: Vec<String>,
    /// Event types to take beyond the source's own deploy events, as in `["workflow_run", "release", "push"]`.
    pub events: Vec<String>,
    /// The service, whatever the request says.
    pub service: Option<String>,
    /// The environment where the request names none; `production` if not said.
    pub environment: Option<String>,
    /// From the source's name of a service to ours.
    pub rename_service: BTreeMap<String, String>,
    /// From the source's name of an environment to ours.
    pub rename_environment: BTreeMap<String, String>,
    /// The zone of times that name none, as in `America/New_York`; UTC if not said.
    pub time_zone: Option<String>,
    /// How to read a body of no known form (source `generic`).
    pub map: Option<Mapping>,
}

impl Default for HookConfig {
    fn default() -> Self {
        Self {
            source: String::new(),
            name: None,
            secret: Vec::new(),
            max_per_second: DEFAULT_MAX_PER_SECOND,
            environments: Vec::new(),
            branches: Vec::new(),
            jobs: Vec::new(),
            events: Vec::new(),
            service: None,
            environment: None,
            rename_service: BTreeMap::new(),
            rename_environment: BTreeMap::new(),
            time_zone: None,
            map: None,
        }
    }
}

impl HookConfig {
    /// The configuration of a source with nothing set.
    pub fn of(source: &str) -> Self {
        Self { source: source.to_owned(), ..Self::default() }
    }

    /// The part of the URL that leads here.
    pub fn path(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.source)
    }

    /// Whether an event type beyond the source's own is asked for.
    pub(super) fn takes(&self, event: &str) -> bool {
        self.events.iter().any(|wanted| wanted == event)
    }

    /// Whether a branch or ref counts; `refs/heads/` is left out on both sides.
    pub(super) fn takes_branch(&self, branch: &str) -> bool {
        let short = |name: &str| name.trim_start_matches("refs/heads/").trim_start_matches("refs/tags/").to_owned();
        listed(&self.branches, &short(branch))
    }

    /// Whether a pipeline, workflow or job counts.
    pub(super) fn takes_job(&self, job: &str) -> bool {
        listed(&self.jobs, job)
    }

    /// Whether an environment counts.
    pub(super) fn takes_environment(&self, environment: &str) -> bool {
        listed(&self.environments, environment)
    }
}

/// Whether `name` is in a list of patterns; everything is in the empty one.
fn listed(patterns: &[String], name: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| wild(pattern, name))
}

/// Matches `*` against any run. Greedy with one point to return to, so linear times the number of stars at worst.
fn wild(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some(at) = left.find(piece) else { return false };
        left = &left[at + piece.len()..];
    }
    left.ends_with(last)
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Secret>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(Secret),
        Many(Vec<Secret>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(secret) => vec![secret],
        OneOrMany::Many(secrets) => secrets,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run() {
        for (pattern, name, expected) in [
            ("main", "main", true),
            ("main", "mains", false),
            ("release/*", "release/1", true),
            ("*deploy*", "Deploy", false),
            ("*deploy*", "web-deploy-1", true),
            ("a*b*b", "abb", true),
            ("a*b*b", "ab", false),
        ] {
            assert_eq!(wild(pattern, name), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn one_secret_or_two_are_read_and_none_is_shown() {
        let one: HookConfig = serde_json::from_str(r#"{"source": "github", "secret": "s3cret"}"#).unwrap();
        let two: HookConfig = serde_json::from_str(r#"{"source": "github", "secret": ["s3cret", "new"]}"#).unwrap();
        assert_eq!((one.secret.len(), two.secret.len()), (1, 2));
        let shown = format!("{two:?}{}", serde_json::to_string(&two).unwrap());
        assert!(!shown.contains("s3cret") && shown.contains("***"), "{shown}");
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(serde_json::from_str::<HookConfig>(r#"{"source": "github", "secrets": "a"}"#).is_err());
    }
}
