//! The sources by name.

use super::{
    HookConfig, HookError, HookRequest, api, argo, azuredevops, bitbucket, buildkite, capistrano, cdevents, circleci,
    cloudevents, datadog, deployinator,
    event::Parsed,
    flux, generic, gitea, github, gitlab, grafana_annotations, graphite_events, heroku, honeycomb, jenkins, kubernetes,
    launchdarkly, netlify, newrelic, pagerduty, sentry, spinnaker, vercel,
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

const OURS: Verification = token("x-deployline-token");

static SOURCES: &[Source] = &[
    source!("api", "Deployline's own JSON", api, OURS),
    source!("argo", "Argo CD and Argo Rollouts", argo, OURS),
    source!("azuredevops", "Azure DevOps", azuredevops, OURS),
    source!("bitbucket", "Bitbucket", bitbucket, sha256("x-hub-signature")),
    source!(
        "buildkite",
        "Buildkite",
        buildkite,
        Verification::Timestamped { header: "x-buildkite-signature", token: "x-buildkite-token" }
    ),
    source!("capistrano", "Capistrano", capistrano, OURS),
    source!("cdevents", "CDEvents", cdevents, OURS),
    source!("circleci", "CircleCI", circleci, sha256("circleci-signature")),
    source!("cloudevents", "CloudEvents", cloudevents, OURS),
    source!("datadog", "Datadog's API", datadog, token("dd-api-key")),
    source!("deployinator", "Deployinator", deployinator, OURS),
    source!(
        "flux",
        "Flux",
        flux,
        Verification::SignatureOrToken { header: "x-signature", token: "x-deployline-token" }
    ),
    source!("generic", "anything that posts JSON", generic, Verification::Mapped),
    source!(
        "gitea",
        "Gitea and Forgejo",
        gitea,
        Verification::SignatureOrToken { header: "x-gitea-signature", token: "x-deployline-token" }
    ),
    source!("github", "GitHub", github, sha256("x-hub-signature-256")),
    source!("gitlab", "GitLab", gitlab, Verification::StandardWebhooks { token: "x-gitlab-token" }),
    source!("grafana_annotations", "Grafana's annotations API", grafana_annotations, OURS),
    source!("graphite_events", "Graphite's events API", graphite_events, OURS),
    source!("heroku", "Heroku", heroku, Verification::Base64 { header: "heroku-webhook-hmac-sha256" }),
    source!("honeycomb", "Honeycomb's markers API", honeycomb, token("x-honeycomb-team")),
    source!("jenkins", "Jenkins", jenkins, OURS),
    source!("kubernetes", "Kubernetes", kubernetes, OURS),
    source!("launchdarkly", "LaunchDarkly", launchdarkly, sha256("x-ld-signature")),
    source!("netlify", "Netlify", netlify, Verification::JsonWebSignature { header: "x-webhook-signature" }),
    source!("newrelic", "New Relic's change tracking", newrelic, token("api-key")),
    source!("pagerduty", "PagerDuty change events", pagerduty, Verification::TokenOrField { field: "routing_key" }),
    source!("sentry", "Sentry's deploys API", sentry, OURS),
    source!("spinnaker", "Spinnaker", spinnaker, OURS),
    source!("vercel", "Vercel", vercel, Verification::Signature { header: "x-vercel-signature", digest: Digest::Sha1 }),
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
