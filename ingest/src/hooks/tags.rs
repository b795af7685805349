//! What tags and a line of text say about a deploy, for the systems that know only annotations.
//!
//! `service:web` (or `app:`, `application:`), `env:production` (or `environment:`) and `version:1.2` (or `revision:`,
//! `sha:`, `commit:`, `release:`) are taken at their word. Of the bare tags, words for deploys say that it is one, words
//! for environments name the environment, and the first of the others names the service. Any other `name:value` becomes
//! a label. The version may also stand in the text: the last word that looks like one (`r4412`, `v1.2.3`, a hash).

use std::collections::BTreeMap;

use deployline_schemas::{
    DeployEvent,
    deploy::{Kind, Rollout, Status},
};

use super::HookConfig;

/// What tags and a text told.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The fields, as far as they were told; without times and identity.
    pub event: DeployEvent,
    /// Whether any word says that it is a deploy.
    pub is_deploy: bool,
}

/// Reads tags and a title.
pub(super) fn read<'t>(tags: impl Iterator<Item = &'t str>, title: &str, config: &HookConfig) -> Told {
    let mut told = Told { is_deploy: words(title).any(|word| deploy_word(&word)), ..Told::default() };
    let mut labels = BTreeMap::new();
    let mut wanted = false;
    for tag in tags.map(str::trim).filter(|tag| !tag.is_empty()) {
        wanted |= config.takes_job(tag);
        match tag.split_once([':', '=']) {
            Some((name, value)) if !value.trim().is_empty() => told.pair(name.trim(), value.trim(), &mut labels),
            _ => told.bare(tag),
        }
    }
    let title_words: Vec<String> = words(title).collect();
    if title_words.iter().any(|word| word.starts_with("rollback") || word == "rolled" || word == "revert") {
        told.event.kind = Kind::Rollback;
        told.is_deploy = true;
    }
    if !config.jobs.is_empty() {
        told.is_deploy = wanted;
    }
    if told.event.service.is_empty() {
        // `Deploying web`, with no tag for it, still does not name a service for sure: the hook's name does.
        told.event.service = config.path().to_owned();
    }
    told.event.version = told.event.version.or_else(|| revision_in(title));
    told.event.title = Some(title.to_owned()).filter(|title| !title.is_empty());
    told.event.status = Some(Status::Succeeded);
    told.event.labels = labels;
    told
}

impl Told {
    fn pair(&mut self, name: &str, value: &str, labels: &mut BTreeMap<String, String>) {
        let text = || value.to_owned();
        match name.to_ascii_lowercase().as_str() {
            "service" | "app" | "application" => self.event.service = text(),
            "env" | "environment" | "stage" => self.event.environment = Some(text()),
            "version" | "revision" | "sha" | "commit" | "release" | "git.commit.sha" => {
                self.event.version = Some(text())
            }
            "user" | "author" | "actor" | "deployer" => self.event.actor = Some(text()),
            "repository" | "repo" => self.event.repository = Some(text()),
            "event" | "type" | "kind" if deploy_word(value) => self.bare(value),
            _ => {
                labels.insert(name.to_owned(), text());
            }
        }
    }

    fn bare(&mut self, tag: &str) {
        let word = tag.to_ascii_lowercase();
        let kind = match word.as_str() {
            "rollback" | "revert" => Some(Kind::Rollback),
            "config" | "configuration" => Some(Kind::Config),
            "flag" | "feature-flag" | "feature_flag" => Some(Kind::Flag),
            "migration" | "migrate" => Some(Kind::Migration),
            _ => None,
        };
        match word.as_str() {
            _ if kind.is_some() => {
                self.event.kind = kind.unwrap_or_default();
                self.is_deploy = true;
            }
            "canary" => {
                self.event.rollout = Rollout::Canary;
                self.is_deploy = true;
            }
            "rolling" => self.event.rollout = Rollout::Rolling,
            word if deploy_word(word) => self.is_deploy = true,
            word => match environment_word(word) {
                Some(environment) if self.event.environment.is_none() => self.event.environment = Some(environment),
                None if self.event.service.is_empty() => self.event.service = tag.to_owned(),
                _ => {}
            },
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// Whether a word in lower case says that something was deployed.
pub(super) fn deploy_word(word: &str) -> bool {
    word.starts_with("deploy")
        || matches!(word, "release" | "released" | "rollout" | "ship" | "shipped" | "push" | "rollback")
}

/// The environment that a word names, with the usual short forms spelled out.
pub(super) fn environment_word(word: &str) -> Option<String> {
    let name = match word.to_ascii_lowercase().as_str() {
        "prod" | "prd" | "production" | "live" => "production",
        "stage" | "stg" | "staging" => "staging",
        "dev" | "development" => "development",
        "test" | "testing" => "test",
        "qa" => "qa",
        "uat" => "uat",
        "preprod" | "preproduction" => "preproduction",
        "preview" => "preview",
        "sandbox" => "sandbox",
        _ => return None,
    };
    Some(name.to_owned())
}

/// The environment in a compound name, as of a namespace: `production` of `prod` and of `shop-prod`.
pub(super) fn environment_in(name: &str) -> Option<String> {
    name.split(['-', '_', '.', '/']).rev().find_map(environment_word)
}

/// The last word of a text that looks like a version.
pub(super) fn revision_in(text: &str) -> Option<String> {
    let words = text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '(' | ')' | '"' | '\'' | '#'));
    words.map(|word| word.trim_end_matches(['.', ':', '!'])).rfind(|word| looks_like_revision(word)).map(str::to_owned)
}

fn looks_like_revision(word: &str) -> bool {
    let is_hash = (7..=40).contains(&word.len())
        && word.bytes().all(|byte| byte.is_ascii_hexdigit())
        && word.bytes().any(|byte| byte.is_ascii_digit())
        && word.bytes().any(|byte| byte.is_ascii_alphabetic());
    let digits = word.strip_prefix(['v', 'r', 'V', 'R']).unwrap_or(word);
    let numbered = digits.starts_with(|c: char| c.is_ascii_digit()) && digits.len() < word.len();
    let dotted = digits.split('.').count() >= 2 && digits.split('.').all(|part| part.parse::<u64>().is_ok());
    is_hash || (numbered && word.len() <= 40) || dotted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(tags: &[&str], title: &str) -> Told {
        read(tags.iter().copied(), title, &HookConfig::of("graphite_events"))
    }

    #[test]
    fn tags_name_service_environment_and_version() {
        let read = told(&["deploy", "web", "prod"], "deploy web r4412").event;
        assert_eq!((read.service.as_str(), read.environment.as_deref()), ("web", Some("production")));
        assert_eq!(read.version.as_deref(), Some("r4412"));
        let read = told(&["service:cart", "env:eu-1", "sha:abc", "team:shop"], "done").event;
        assert_eq!(
            (read.service.as_str(), read.environment.as_deref(), read.version.as_deref()),
            ("cart", Some("eu-1"), Some("abc"))
        );
        assert_eq!(read.labels["team"], "shop");
    }

    #[test]
    fn only_words_for_deploys_make_one() {
        assert!(told(&["tag1"], "Deployed web").is_deploy);
        assert!(told(&["release"], "").is_deploy);
        assert!(!told(&["tag1"], "Something Interesting").is_deploy);
        assert_eq!(told(&["deploy"], "rollback of web").event.kind, Kind::Rollback);
    }

    #[test]
    fn a_version_is_found_in_a_text() {
        for (text, expected) in [
            ("deploy #5645", None),
            ("deploy web v1.2.3.", Some("v1.2.3")),
            ("web at 9bc1f2e (main)", Some("9bc1f2e")),
            ("canary 5% -> 100%", None),
            ("deployed 2.10.1 to prod", Some("2.10.1")),
            ("defaced", None),
        ] {
            assert_eq!(revision_in(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_namespace_may_hold_an_environment() {
        assert_eq!(environment_in("shop-prod").as_deref(), Some("production"));
        assert_eq!(environment_in("apps"), None);
    }
}
