//! The `[[channel]]` and `[[route]]` sections of the configuration.

use std::{collections::BTreeSet, time::Duration};

use deployline_schemas::Secret;
use serde::{Deserialize, Serialize};

use crate::error::NotifyError;

/// What listens at the other end of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelKind {
    /// A Slack incoming webhook, or anything that takes its `{text, blocks}` (Mattermost, Rocket.Chat, Zulip).
    Slack,
    /// Any HTTP receiver: the incident as JSON, see [`crate::webhook`].
    Webhook,
}

/// One `[[channel]]`: where alerts can go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelConfig {
    /// What routes call it. Also part of the delivery record's key: a renamed channel is a new one.
    pub name: String,
    /// Which format it takes.
    pub kind: ChannelKind,
    /// Where to post. A webhook's address is its password.
    pub url: Secret,
    /// Adds the graph as an image (Slack only). Off by default, because Slack refuses the whole message
    /// when it cannot fetch the image, and a base URL behind a firewall is the usual case.
    #[serde(default)]
    pub image: bool,
    /// Posts again when an attempt's outcome is unknown (see [`crate::notifier`]). For receivers that drop
    /// a repeated `Idempotency-Key`, or people who prefer an alert twice to one never.
    #[serde(default)]
    pub repeat_unknown: bool,
    /// How long one attempt may take, in seconds, `1..=60`.
    #[serde(default = "default_timeout_s")]
    pub timeout_s: u64,
}

fn default_timeout_s() -> u64 {
    10
}

impl ChannelConfig {
    /// How long one attempt may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_s)
    }
}

/// What a route asks of an incident. Each given field must match; `*` stands for any run of characters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// The incident's environment.
    pub environment: Option<String>,
    /// The service in which it shows most.
    pub service: Option<String>,
    /// Who owns that service, from `[service.NAME]`.
    pub owner: Option<String>,
}

/// One `[[route]]`: which incidents go to which channels. Every matching route adds its channels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// Which incidents; all when empty.
    #[serde(default, rename = "match")]
    pub matching: Match,
    /// The channels' names.
    pub to: Vec<String>,
}

/// The sections that this crate reads. Without a route every incident goes to every channel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NotifyConfig {
    /// The channels.
    #[serde(rename = "channel")]
    pub channels: Vec<ChannelConfig>,
    /// The routes.
    #[serde(rename = "route")]
    pub routes: Vec<RouteConfig>,
}

impl NotifyConfig {
    /// Checks what serde cannot: unique names, known names in routes, URLs that can be posted to, bounds.
    ///
    /// # Errors
    /// [`NotifyError::Config`] with a sentence that names the entry at fault.
    pub fn check(&self) -> Result<(), NotifyError> {
        let refuse = |problem: String| Err(NotifyError::Config { problem });
        let mut names = BTreeSet::new();
        for channel in &self.channels {
            let name = &channel.name;
            if name.is_empty() || !names.insert(name.as_str()) {
                return refuse(format!("channel name `{name}` is empty or used twice"));
            }
            let url = channel.url.reveal_text();
            let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
            if host.is_none_or(|host| host.is_empty() || host.starts_with('/')) || url.chars().any(char::is_whitespace)
            {
                return refuse(format!("channel `{name}`: its url is not an http:// or https:// address"));
            }
            if !(1..=60).contains(&channel.timeout_s) {
                return refuse(format!("channel `{name}`: timeout_s must be between 1 and 60"));
            }
        }
        for route in &self.routes {
            if let Some(unknown) = route.to.iter().find(|name| !names.contains(name.as_str())) {
                return refuse(format!("a route names channel `{unknown}`, which no [[channel]] defines"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(toml: &str, expected: &str) {
        let outcome = toml::from_str::<NotifyConfig>(toml).map_err(|e| e.message().to_owned());
        let outcome = outcome.and_then(|config| config.check().map_err(|e| e.to_string()));
        assert_eq!(outcome.err().unwrap_or_else(|| "ok".to_owned()), expected);
    }

    #[test]
    fn a_configuration_is_checked_as_a_whole() {
        let push = "[[channel]]\nname = 'push'\nkind = 'slack'\nurl = 'https://hooks.example/x'\n";
        check("", "ok");
        check(&format!("{push}[[route]]\nmatch = {{ environment = 'production' }}\nto = ['push']"), "ok");
        check(&format!("{push}{push}"), "channel name `push` is empty or used twice");
        check(&format!("{push}[[route]]\nto = ['pull']"), "a route names channel `pull`, which no [[channel]] defines");
        check(
            "[[channel]]\nname = 'a'\nkind = 'slack'\nurl = 'ftp://x'",
            "channel `a`: its url is not an http:// or https:// address",
        );
        check(&format!("{push}timeout_s = 600"), "channel `push`: timeout_s must be between 1 and 60");
        check(
            "[[route]]\nmatch = { env = 'x' }\nto = []",
            "unknown field `env`, expected one of `environment`, `service`, `owner`",
        );
    }

    #[test]
    fn a_url_is_never_shown() {
        assert_eq!(format!("{:?}", Secret::new("https://hooks.example/T0/B0/xyz")), "***");
    }
}
