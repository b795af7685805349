//! Deploy hooks: one HTTP request of one system becomes deploys. Pure: no I/O, no clock.
//!
//! [`receive`] is the whole interface. It checks the signature over the raw bytes before anything is parsed, hands the
//! request to the source's module, and applies the rules that hold for every source:
//!
//! - **Identity.** A deploy's id follows from the source's own id of it (`github:owner/repo:145988746`), so that its
//!   start and its end, and the same delivery twice, add up to one deploy. Where a source has no id, the id is a hash
//!   of what it says.
//! - **Service.** The module states how it names the service; `service` in the configuration overrides it and
//!   `rename_service` corrects it. The same goes for the environment.
//! - **Time.** A time before 1970 or after 2100 is refused. A time more than [`MAX_CLOCK_SKEW`] ahead of the request's
//!   arrival is kept as it is and the deploy is labelled `clock_skew_ms`: the sender's clock is wrong, and whoever
//!   reads the verdict must see so. A late event needs no rule: its own times count, never its arrival.
//! - **Bounds.** A body of at most [`MAX_BODY_BYTES`], JSON nested at most 127 levels, at most
//!   [`MAX_EVENTS`] events a request; a commit keeps its first line only, [`MAX_LABELS`] labels are kept.

mod arrival;
mod config;
mod error;
mod event;
mod explain;
mod json;
mod moment;
mod note;
mod registry;
mod repository;
mod request;
mod tags;
mod verify;

pub(crate) use event::digest;

pub(crate) mod announce;
pub mod api;
pub mod argo;
pub mod azuredevops;
pub mod bitbucket;
pub mod buildkite;
pub mod capistrano;
pub mod cdevents;
pub mod circleci;
pub mod cloudevents;
pub mod datadog;
pub mod deployinator;
pub mod flux;
pub mod generic;
pub mod gitea;
pub mod github;
pub mod gitlab;
pub mod grafana_annotations;
pub mod graphite_events;
pub mod heroku;
pub mod honeycomb;
pub mod jenkins;
pub mod kubernetes;
pub mod launchdarkly;
pub mod netlify;
pub mod newrelic;
pub mod pagerduty;
pub mod sentry;
pub mod spinnaker;
pub mod vercel;

pub use config::{DEFAULT_MAX_PER_SECOND, HookConfig};
pub use deployline_schemas::Secret;
pub use error::HookError;
pub use explain::{Explanation, explain};
pub use registry::{Source, source, sources};
pub use request::HookRequest;
pub use verify::{Digest, Verification};

use std::time::Duration;

use deployline_schemas::{Annotation, Deploy};

use self::event::Parsed;

/// Largest body that is looked at, in bytes. GitHub's deployment payloads are near 10 KB; its limit is 25 MB, for pushes.
pub const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;
/// The source that speaks our own JSON, behind `POST /api/v1/deploys`.
pub const OWN: &str = "api";
/// Most events that one request may bring.
pub const MAX_EVENTS: usize = 500;
/// Most labels that a deploy keeps.
pub const MAX_LABELS: usize = 64;
/// How far ahead of its arrival an event may be dated before it is labelled as skewed.
pub const MAX_CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// What a request came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Received {
    /// Deploys, in the order in which the body has them; at least one.
    Deploys {
        /// What to publish.
        deploys: Vec<Deploy>,
        /// The sender's own name for the delivery, where it has one: the same name again is the same delivery.
        delivery_id: Option<String>,
    },
    /// Not a deploy, and kept as an annotation: answered with success.
    Noted {
        /// What to publish.
        annotation: Box<Annotation>,
        /// Why it is no deploy.
        reason: String,
    },
    /// Understood, and not a deploy: answered with success, so that the sender does not try again.
    Ignored {
        /// One sentence that says why, and what to configure if it should count.
        reason: String,
    },
}

/// Returns what a request says, under the source and the rules that `config` names.
///
/// # Errors
/// See [`HookError`]: an unknown source, a body too large, a wrong signature, or a body that cannot be understood.
pub fn receive(request: &HookRequest, config: &HookConfig) -> Result<Received, HookError> {
    let source = source(&config.source).ok_or_else(|| HookError::UnknownSource { name: config.source.clone() })?;
    if request.body.len() > MAX_BODY_BYTES {
        return Err(HookError::TooLarge { length: request.body.len() });
    }
    verify::verify(source.verification, request, config)?;
    read(request, config)
}

/// As [`receive`], for a request that was verified before, or that its owner tries by hand: no signature is looked for.
///
/// # Errors
/// See [`HookError`]: an unknown source, or a body that cannot be understood.
pub fn read(request: &HookRequest, config: &HookConfig) -> Result<Received, HookError> {
    let source = source(&config.source).ok_or_else(|| HookError::UnknownSource { name: config.source.clone() })?;
    match (source.parse)(request, config)? {
        Parsed::Events { events, delivery_id } => event::finish(events, delivery_id, request, config, source.name),
        Parsed::Noted(note, reason) => {
            note.finish(request, source.name).map(|annotation| Received::Noted { annotation, reason })
        }
        Parsed::Ignored(reason) => Ok(Received::Ignored { reason }),
    }
}

#[cfg(test)]
mod tests;
