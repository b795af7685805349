//! The sources by name.

use super::{
    HookConfig, HookError, HookRequest, api, deployinator,
    event::Parsed,
    generic, github,
    verify::{Digest, Verification},
};

/// One system whose hooks are understood.
#[derive(Debug)]
pub struct Source {
    /// Its name in `/hooks/{name}` and in `[[hook]] source`.
    pub name: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// What to copy and paste to set it up; `{base_url}` stands for Deployline's own address.
    pub setup: &'static str,
    /// How it proves itself once a secret is set.
    pub verification: Verification,
    pub(super) parse: fn(&HookRequest, &HookConfig) -> Result<Parsed, HookError>,
}

impl Source {
    /// The set-up text with Deployline's own address filled in.
    pub fn setup_for(&self, base_url: &str) -> String {
        self.setup.trim_start().replace("{base_url}", base_url.trim_end_matches('/'))
    }
}

/// Every source, by name.
pub fn sources() -> &'static [Source] {
    SOURCES
}

/// The source of a name.
pub fn source(name: &str) -> Option<&'static Source> {
    SOURCES.iter().find(|source| source.name == name)
}

macro_rules! source {
    ($name:literal, $title:literal, $module:ident, $verification:expr) => {
        Source { name: $name, title: $title, setup: $module::SETUP, verification: $verification, parse: $module::parse }
    };
}

const fn token(header: &'static str) -> Verification {
    Verification::Token { header }
}

const fn sha256(header: &'static str) -> Verification {
    Verification::Signature { header, digest: Digest::Sha256 }
}

static SOURCES: &[Source] = &[
    source!("api", "Deployline's own JSON", api, token("x-deployline-token")),
    source!("deployinator", "Deployinator", deployinator, token("x-deployline-token")),
    source!("generic", "anything that posts JSON", generic, Verification::Mapped),
    source!("github", "GitHub", github, sha256("x-hub-signature-256")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_unique_and_each_has_a_setup() {
        assert!(SOURCES.is_sorted_by(|a, b| a.name < b.name));
        for source in SOURCES {
            assert!(source.setup.contains("{base_url}"), "{}", source.name);
            assert!(!source.setup_for("http://host:1/").contains("{base_url}"), "{}", source.name);
        }
    }
}
