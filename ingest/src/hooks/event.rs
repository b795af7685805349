//! From what a module read to deploys: the rules that hold for every source.

use deployline_schemas::{
    DeployEvent, UnixMillis,
    deploy::{Commit, MAX_COMMITS, MAX_NAME_BYTES, MAX_TEXT_BYTES},
};
use sha2::{Digest, Sha256};

use super::{
    HookConfig, HookError, HookRequest, MAX_CLOCK_SKEW, MAX_EVENTS, MAX_LABELS, Received, json::clip, note::Note,
};

/// The label of a deploy whose sender's clock runs ahead, in milliseconds.
const CLOCK_SKEW_LABEL: &str = "clock_skew_ms";
/// Longest value of a label, and longest commit line, in bytes.
const MAX_LABEL_BYTES: usize = 512;
/// Most bytes that the texts of a deploy's commits take together, well within a record of the bus even where JSON
/// escapes double them.
const MAX_COMMITS_BYTES: usize = 256 * 1024;
/// The first moment that no deploy can have: 2100-01-01T00:00:00Z.
pub(super) const FAR_FUTURE: UnixMillis = UnixMillis(4_102_444_800_000);

/// What a module made of a body.
pub(super) enum Parsed {
    /// Deploy events, in order.
    Events {
        /// At least one.
        events: Vec<DeployEvent>,
        /// The sender's name for the delivery.
        delivery_id: Option<String>,
    },
    /// Not a deploy, but what was noted all the same, and why it is none.
    Noted(Box<Note>, String),
    /// Not a deploy, and why.
    Ignored(String),
}

impl Parsed {
    /// One event.
    pub fn one(event: DeployEvent, delivery_id: Option<String>) -> Self {
        Self::Events { events: vec![event], delivery_id }
    }

    /// Not a deploy, and why.
    pub fn ignored(reason: impl Into<String>) -> Self {
        Self::Ignored(reason.into())
    }
}

/// A deploy event of a source that names its own things: its texts may be long, and are cut where a deploy's may not be.
pub(super) fn foreign(mut event: DeployEvent) -> DeployEvent {
    let cut = |text: &mut Option<String>, limit: usize| {
        if let Some(text) = text {
            text.truncate(text.floor_char_boundary(limit));
        }
    };
    for text in [&mut event.title, &mut event.url, &mut event.diff_url, &mut event.repository] {
        cut(text, MAX_TEXT_BYTES);
    }
    for text in [&mut event.version, &mut event.previous_version, &mut event.actor] {
        cut(text, MAX_NAME_BYTES);
    }
    event.title = event.title.map(|title| first_line(&title).to_owned());
    event.id = event.id.map(|id| bounded_id(&id));
    event
}

/// An id as it is if it is short enough, else its beginning and a hash of all of it.
fn bounded_id(id: &str) -> String {
    if id.len() <= MAX_NAME_BYTES {
        return id.to_owned();
    }
    format!("{}~{}", clip(id, MAX_NAME_BYTES - 17), digest(id.as_bytes()))
}

/// Sixteen hexadecimal digits that stand for some bytes.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The first line of a text, without the white space around it.
pub(super) fn first_line(text: &str) -> &str {
    text.trim().lines().next().unwrap_or_default().trim()
}

/// A commit, its message cut to the first line.
pub(super) fn commit(id: &str, author: Option<String>, message: Option<&str>, url: Option<String>) -> Commit {
    Commit {
        id: id.to_owned(),
        author,
        message: message.map(|text| first_line(text).to_owned()),
        url,
        paths: Vec::new(),
    }
}

/// Applies the configuration and the rules of [`super`] to what a module read.
pub(super) fn finish(
    events: Vec<DeployEvent>,
    delivery_id: Option<String>,
    request: &HookRequest,
    config: &HookConfig,
    source: &str,
) -> Result<Received, HookError> {
    if events.len() > MAX_EVENTS {
        return Err(HookError::TooMany { n_events: events.len() });
    }
    let mut deploys = Vec::with_capacity(events.len());
    let mut left_out = None;
    for mut event in events {
        event.source = Some(source.to_owned());
        name(&mut event, config);
        if let Some(environment) = event.environment.as_ref().filter(|name| !config.takes_environment(name)) {
            left_out = Some(format!("environment `{environment}` is not among this hook's `environments`"));
            continue;
        }
        check_times(&event)?;
        bound(&mut event);
        mark_skew(&mut event, request.received_at);
        deploys.push(event.into_deploy()?);
    }
    match left_out {
        Some(reason) if deploys.is_empty() => Ok(Received::Ignored { reason }),
        _ if deploys.is_empty() => Ok(Received::Ignored { reason: "the body holds no events".to_owned() }),
        _ => Ok(Received::Deploys { deploys, delivery_id: delivery_id.map(|id| bounded_id(&id)) }),
    }
}

/// The service and environment, as configured.
fn name(event: &mut DeployEvent, config: &HookConfig) {
    if let Some(service) = &config.service {
        event.service.clone_from(service);
    } else if let Some(service) = config.rename_service.get(event.service.trim()) {
        event.service.clone_from(service);
    }
    let told = event.environment.take().filter(|name| !name.trim().is_empty()).map(|name| name.trim().to_owned());
    let told = told.map(|name| config.rename_environment.get(&name).cloned().unwrap_or(name));
    event.environment = told.or_else(|| config.environment.clone()).or_else(|| Some("production".to_owned()));
}

/// The times of an event with their field's names.
fn times(event: &DeployEvent) -> impl Iterator<Item = (&'static str, UnixMillis)> + '_ {
    [("started_at", event.started_at), ("live_at", event.live_at), ("finished_at", event.finished_at)]
        .into_iter()
        .filter_map(|(field, moment)| Some((field, moment?)))
        .chain(event.exposure.iter().map(|(moment, _)| ("exposure", *moment)))
}

fn check_times(event: &DeployEvent) -> Result<(), HookError> {
    match times(event).find(|(_, moment)| moment.0 < 0 || *moment >= FAR_FUTURE) {
        Some((field, moment)) => Err(HookError::invalid(field, format_args!("{moment} is not between 1970 and 2100"))),
        None => Ok(()),
    }
}

fn mark_skew(event: &mut DeployEvent, received_at: UnixMillis) {
    let latest = times(event).map(|(_, moment)| moment).max().unwrap_or(received_at);
    if latest > received_at.plus(MAX_CLOCK_SKEW) {
        event.labels.insert(CLOCK_SKEW_LABEL.to_owned(), (latest.0 - received_at.0).to_string());
    }
}

fn n_bytes(commits: &[Commit]) -> usize {
    let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let one = |c: &Commit| c.id.len() + optional(&c.author) + optional(&c.message) + optional(&c.url);
    commits.iter().map(one).sum()
}

/// Lists and labels are cut to their bounds, so that a record on the bus stays small.
fn bound(event: &mut DeployEvent) {
    event.commits.truncate(MAX_COMMITS);
    for commit in &mut event.commits {
        commit.id = clip(&commit.id, MAX_NAME_BYTES).to_owned();
        commit.author = commit.author.take().map(|author| clip(&author, MAX_NAME_BYTES).to_owned());
        commit.message = commit.message.take().map(|message| clip(first_line(&message), MAX_LABEL_BYTES).to_owned());
        commit.url = commit.url.take().filter(|url| url.len() <= MAX_TEXT_BYTES);
    }
    while n_bytes(&event.commits) > MAX_COMMITS_BYTES {
        event.commits.truncate(event.commits.len() / 2);
    }
    event.exposure.truncate(MAX_COMMITS);
    let labels = std::mem::take(&mut event.labels).into_iter().filter(|(name, _)| name.len() <= MAX_NAME_BYTES);
    event.labels =
        labels.take(MAX_LABELS).map(|(name, value)| (name, clip(&value, MAX_LABEL_BYTES).to_owned())).collect();
}
