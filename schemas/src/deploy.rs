//! A deploy: the event that a hook sends, and the deploy that one or more events add up to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::time::UnixMillis;

/// What was changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// New code.
    #[default]
    Deploy,
    /// A return to earlier code.
    Rollback,
    /// A configuration push.
    Config,
    /// A feature flag.
    Flag,
    /// A change of a database's shape or contents.
    Migration,
    /// Machines, networks, anything below the code.
    Infra,
}

/// How far a deploy has come. Ordered: a later variant supersedes an earlier one, whatever arrived first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Asked for, not begun.
    Queued,
    /// Under way.
    #[serde(alias = "running")]
    Started,
    /// Stopped before it was through.
    Canceled,
    /// Did not come through.
    Failed,
    /// Came through.
    #[serde(alias = "success")]
    Succeeded,
}

impl Status {
    /// Whether nothing more will come of the deploy.
    pub fn is_final(self) -> bool {
        self >= Status::Canceled
    }
}

/// How the new code takes over the traffic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Rollout {
    /// All traffic at once, at `live_at`.
    #[default]
    Atomic,
    /// Host after host, between start and finish.
    Rolling,
    /// A small share first.
    Canary,
}

/// One commit of a deploy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Commit {
    /// The revision, full or abbreviated.
    pub id: String,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The commit message, or its first line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Where it can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The files that it touched, where the sender says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
}

/// A deploy event as it arrives, version 1: only `service` and a time are required.
///
/// Unknown fields are ignored, so that a newer sender still reaches an older reader.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct DeployEvent {
    /// Later events with the same id update the deploy. Without one it follows from the natural key (see [`DeployEvent::into_deploy`]).
    pub id: Option<String>,
    /// What was deployed. Required.
    pub service: String,
    /// Where to; `production` if not said.
    pub environment: Option<String>,
    /// What was changed; a deploy of code if not said.
    pub kind: Kind,
    /// The revision that goes out.
    pub version: Option<String>,
    /// The revision that it replaces.
    pub previous_version: Option<String>,
    /// How far it has come; follows from the times if not said.
    pub status: Option<Status>,
    /// How it takes over the traffic.
    pub rollout: Rollout,
    /// When it began. One of the three times is required.
    pub started_at: Option<UnixMillis>,
    /// When all traffic had reached it.
    pub live_at: Option<UnixMillis>,
    /// When it ended.
    pub finished_at: Option<UnixMillis>,
    /// Who shipped it.
    pub actor: Option<String>,
    /// One line for people.
    pub title: Option<String>,
    /// Where it can be followed.
    pub url: Option<String>,
    /// Where its difference can be read.
    pub diff_url: Option<String>,
    /// `owner/name` of the code.
    pub repository: Option<String>,
    /// What it brought.
    pub commits: Vec<Commit>,
    /// The id of the deploy that it takes back.
    pub rollback_of: Option<String>,
    /// The share of traffic on the new version over time, `0.0..=1.0`, ascending in time.
    pub exposure: Vec<(UnixMillis, f64)>,
    /// Anything else, as words.
    pub labels: BTreeMap<String, String>,
    /// Which hook it came through.
    pub source: Option<String>,
}

/// Why an event cannot become a deploy: the sender's mistake, and it will not pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeployError {
    /// A required field is missing or empty.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A field is longer than it may be.
    #[error("`{field}` has {length} bytes, at most {limit} are taken")]
    TooLong {
        /// The field.
        field: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// An exposure share outside `0.0..=1.0`, or out of order.
    #[error("`exposure` must ascend in time with shares between 0 and 1")]
    Exposure,
}

impl DeployError {
    /// The field at fault.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Missing(field) | Self::TooLong { field, .. } => field,
            Self::Exposure => "exposure",
        }
    }
}

/// Longest name of a service, environment, version or id, in bytes.
pub const MAX_NAME_BYTES: usize = 256;
/// Longest title or URL, in bytes.
pub const MAX_TEXT_BYTES: usize = 4096;
/// Most commits that a deploy keeps.
pub const MAX_COMMITS: usize = 1000;

/// A deploy: an interval in time, added up from the events that spoke of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Deploy {
    /// Names the deploy for ever.
    pub id: String,
    /// What was deployed.
    pub service: String,
    /// Where to.
    pub environment: String,
    /// What was changed.
    pub kind: Kind,
    /// The revision that went out.
    pub version: Option<String>,
    /// The revision that it replaced.
    pub previous_version: Option<String>,
    /// How far it has come.
    pub status: Status,
    /// How it takes over the traffic.
    pub rollout: Rollout,
    /// When it began.
    pub started_at: UnixMillis,
    /// When all traffic had reached it, where known.
    pub live_at: Option<UnixMillis>,
    /// When it ended, once it has.
    pub finished_at: Option<UnixMillis>,
    /// Who shipped it.
    pub actor: Option<String>,
    /// One line for people.
    pub title: Option<String>,
    /// Where it can be followed.
    pub url: Option<String>,
    /// Where its difference can be read.
    pub diff_url: Option<String>,
    /// `owner/name` of the code.
    pub repository: Option<String>,
    /// What it brought.
    #[serde(default)]
    pub commits: Vec<Commit>,
    /// The id of the deploy that it takes back.
    pub rollback_of: Option<String>,
    /// The share of traffic on the new version over time; empty where only the interval is known.
    #[serde(default)]
    pub exposure: Vec<(UnixMillis, f64)>,
    /// Anything else, as words.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Which hook it came through.
    pub source: String,
}

impl DeployEvent {
    /// The deploy that this event alone describes.
    ///
    /// An event without an id gets one from its natural key (source, service, environment, version, kind and start),
    /// so that the same delivery twice is the same deploy.
    ///
    /// # Errors
    /// When the service or every time is missing, a text is too long, or the exposure makes no sense.
    pub fn into_deploy(self) -> Result<Deploy, DeployError> {
        let service = required("service", &self.service)?;
        let environment = match self.environment.as_deref().map(str::trim) {
            None | Some("") => "production".to_owned(),
            Some(environment) => within("environment", environment, MAX_NAME_BYTES)?,
        };
        let started_at =
            self.started_at.or(self.live_at).or(self.finished_at).ok_or(DeployError::Missing("started_at"))?;
        let shares = || self.exposure.iter().map(|(_, share)| share);
        if !self.exposure.is_sorted_by_key(|(at, _)| *at) || !shares().all(|share| (0.0..=1.0).contains(share)) {
            return Err(DeployError::Exposure);
        }
        for (field, value, limit) in [
            ("id", &self.id, MAX_NAME_BYTES),
            ("version", &self.version, MAX_NAME_BYTES),
            ("previous_version", &self.previous_version, MAX_NAME_BYTES),
            ("rollback_of", &self.rollback_of, MAX_NAME_BYTES),
            ("actor", &self.actor, MAX_NAME_BYTES),
            ("source", &self.source, MAX_NAME_BYTES),
            ("repository", &self.repository, MAX_TEXT_BYTES),
            ("title", &self.title, MAX_TEXT_BYTES),
            ("url", &self.url, MAX_TEXT_BYTES),
            ("diff_url", &self.diff_url, MAX_TEXT_BYTES),
        ] {
            if let Some(value) = value {
                within(field, value, limit)?;
            }
        }
        let source = self.source.clone().unwrap_or_else(|| "api".to_owned());
        let status = self.status.unwrap_or(match self.finished_at.or(self.live_at) {
            Some(_) => Status::Succeeded,
            None => Status::Started,
        });
        let id = match self.id.filter(|id| !id.trim().is_empty()) {
            Some(id) => id,
            None => natural_id(&source, &service, &environment, self.version.as_deref(), self.kind, started_at),
        };
        let mut commits = self.commits;
        commits.truncate(MAX_COMMITS);
        Ok(Deploy {
            id,
            service,
            environment,
            kind: self.kind,
            version: self.version,
            previous_version: self.previous_version,
            status,
            rollout: self.rollout,
            started_at,
            live_at: self.live_at,
            finished_at: self.finished_at,
            actor: self.actor,
            title: self.title,
            url: self.url,
            diff_url: self.diff_url,
            repository: self.repository,
            commits,
            rollback_of: self.rollback_of,
            exposure: self.exposure,
            labels: self.labels,
            source,
        })
    }
}

fn required(field: &'static str, value: &str) -> Result<String, DeployError> {
    match value.trim() {
        "" => Err(DeployError::Missing(field)),
        value => within(field, value, MAX_NAME_BYTES),
    }
}

fn within(field: &'static str, value: &str, limit: usize) -> Result<String, DeployError> {
    match value.len() {
        length if length > limit => Err(DeployError::TooLong { field, length, limit }),
        _ => Ok(value.to_owned()),
    }
}

fn natural_id(
    source: &str,
    service: &str,
    environment: &str,
    version: Option<&str>,
    kind: Kind,
    started_at: UnixMillis,
) -> String {
    let key = format!("{source}\n{service}\n{environment}\n{}\n{kind:?}\n{}", version.unwrap_or(""), started_at.0);
    let digest = Sha256::digest(key.as_bytes());
    digest[..8].iter().fold("d-".to_owned(), |id, byte| id + &format!("{byte:02x}"))
}

/// A revision as people abbreviate it: a hexadecimal hash to 7 digits, anything else as it is.
pub fn short_revision(version: &str) -> &str {
    match version.len() >= 12 && version.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => &version[..7],
        false => version,
    }
}

impl Kind {
    /// The kind in a word.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Deploy => "deploy",
            Kind::Rollback => "rollback",
            Kind::Config => "config",
            Kind::Flag => "flag",
            Kind::Migration => "migration",
            Kind::Infra => "infra",
        }
    }
}

impl Deploy {
    /// What people call it: the service and its new version, with the kind where it is no plain deploy. As in `checkout 9bc1f2e`,
    /// `checkout rollback 3f2a771`, `search flag`.
    pub fn name(&self) -> String {
        let kind = if self.kind == Kind::Deploy && self.version.is_some() { "" } else { self.kind.word() };
        let parts = [self.service.as_str(), kind, self.version.as_deref().map_or("", short_revision)];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// The same with who shipped it, as in `checkout 9bc1f2e by ana`.
    pub fn name_with_actor(&self) -> String {
        match &self.actor {
            Some(actor) => format!("{} by {actor}", self.name()),
            None => self.name(),
        }
    }

    /// The key of its records on the bus: one service in one environment keeps its order.
    pub fn key(&self) -> String {
        format!("{}/{}", self.service, self.environment)
    }

    /// When its effect can first be seen: the first exposure, else when it was live, ended, or (still running) began.
    pub fn exposed_at(&self) -> UnixMillis {
        let exposed = self.exposure.iter().find(|(_, share)| *share > 0.0).map(|(at, _)| *at);
        match self.rollout {
            Rollout::Atomic => exposed.or(self.live_at).or(self.finished_at).unwrap_or(self.started_at),
            Rollout::Rolling | Rollout::Canary => exposed.unwrap_or(self.started_at),
        }
    }

    /// Adds what another event told of the same deploy. Returns whether anything changed.
    ///
    /// The order of arrival does not matter: the status that is further along wins and its event's texts with it,
    /// the earliest start is kept, and a field that only one side knows is taken from there.
    pub fn absorb(&mut self, other: &Deploy) -> bool {
        let before = self.clone();
        if (other.status, other.finished_at) > (self.status, self.finished_at) {
            let earlier = std::mem::replace(self, other.clone());
            self.fill_from(&earlier);
        } else {
            self.fill_from(other);
        }
        *self != before
    }

    fn fill_from(&mut self, other: &Deploy) {
        fn fill<T: Clone>(mine: &mut Option<T>, theirs: &Option<T>) {
            if mine.is_none() {
                mine.clone_from(theirs);
            }
        }
        self.started_at = self.started_at.min(other.started_at);
        self.live_at = match (self.live_at, other.live_at) {
            (Some(mine), Some(theirs)) => Some(mine.min(theirs)),
            (mine, theirs) => mine.or(theirs),
        };
        fill(&mut self.finished_at, &other.finished_at);
        fill(&mut self.version, &other.version);
        fill(&mut self.previous_version, &other.previous_version);
        fill(&mut self.actor, &other.actor);
        fill(&mut self.title, &other.title);
        fill(&mut self.url, &other.url);
        fill(&mut self.diff_url, &other.diff_url);
        fill(&mut self.repository, &other.repository);
        fill(&mut self.rollback_of, &other.rollback_of);
        if self.commits.is_empty() {
            self.commits.clone_from(&other.commits);
        }
        // Each update of a rolling deploy may bring one point of the curve only.
        for point in &other.exposure {
            if let Err(index) = self.exposure.binary_search_by_key(&point.0, |(at, _)| *at) {
                self.exposure.insert(index, *point);
            }
        }
        if self.kind == Kind::Deploy {
            self.kind = other.kind;
        }
        if self.rollout == Rollout::Atomic {
            self.rollout = other.rollout;
        }
        for (name, value) in &other.labels {
            self.labels.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(json: &str) -> Deploy {
        serde_json::from_str::<DeployEvent>(json).unwrap().into_deploy().unwrap()
    }

    #[track_caller]
    fn refused(json: &str, expected: &str) {
        let error = serde_json::from_str::<DeployEvent>(json).unwrap().into_deploy().unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_service_and_a_time_are_enough() {
        let deploy = event(r#"{"service": "checkout", "started_at": 1763906525}"#);
        assert_eq!(deploy.environment, "production");
        assert_eq!(deploy.status, Status::Started);
        assert_eq!(deploy.key(), "checkout/production");
    }

    #[test]
    fn what_is_required_is_named_when_it_is_missing() {
        refused(r#"{"started_at": 1}"#, "`service` is missing");
        refused(r#"{"service": "a"}"#, "`started_at` is missing");
        refused(
            r#"{"service": "a", "started_at": 1, "exposure": [[5, 0.1], [4, 0.2]]}"#,
            "`exposure` must ascend in time with shares between 0 and 1",
        );
        let long = format!(r#"{{"service": "{}", "started_at": 1}}"#, "x".repeat(300));
        refused(&long, "`service` has 300 bytes, at most 256 are taken");
    }

    #[test]
    fn the_same_delivery_without_an_id_is_the_same_deploy() {
        let one = r#"{"service": "a", "version": "1", "started_at": 5}"#;
        assert_eq!(event(one).id, event(one).id);
        assert_ne!(event(one).id, event(r#"{"service": "a", "version": "2", "started_at": 5}"#).id);
    }

    #[test]
    fn start_and_end_add_up_to_the_same_deploy_in_either_order() {
        let start = event(r#"{"id": "x", "service": "a", "started_at": 100, "status": "started", "actor": "ana"}"#);
        let end = event(r#"{"id": "x", "service": "a", "finished_at": 160, "status": "succeeded", "url": "u"}"#);
        let (mut forward, mut backward) = (start.clone(), end.clone());
        assert!(forward.absorb(&end));
        assert!(backward.absorb(&start));
        assert_eq!(forward, backward);
        assert_eq!(
            (forward.started_at, forward.finished_at),
            (UnixMillis::from_secs(100), Some(UnixMillis::from_secs(160)))
        );
        assert!(!forward.absorb(&start), "a repeat changes nothing");
    }

    #[test]
    fn updates_that_bring_a_point_each_add_up_to_an_exposure_curve() {
        let update = |at: i64, share: f64| {
            event(&format!(r#"{{"id": "x", "service": "a", "started_at": {at}, "exposure": [[{at}, {share}]]}}"#))
        };
        let mut deploy = update(120, 0.5);
        for other in [update(100, 0.2), update(140, 1.0), update(120, 0.5)] {
            deploy.absorb(&other);
        }
        let seconds = |(at, share): &(UnixMillis, f64)| (at.as_secs(), *share);
        assert_eq!(deploy.exposure.iter().map(seconds).collect::<Vec<_>>(), [(100, 0.2), (120, 0.5), (140, 1.0)]);
    }
}
