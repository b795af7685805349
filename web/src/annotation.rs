//! Deploys as annotations: what Grafana and Graphite show of them.

use deployline_schemas::{Deploy, UnixMillis};
use deployline_store::catalog::{DeployQuery, MAX_PAGE};
use sha2::{Digest, Sha256};

use crate::{
    error::WebError,
    library::Library,
    page::DeployRow,
    verdict::{DeployVerdict, Word},
};

/// Longest label that becomes a tag, in bytes.
const MAX_TAG_BYTES: usize = 128;

/// A deploy in the words of an annotation.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotation {
    /// The deploy's id.
    pub deploy_id: String,
    /// When its effect could first be seen.
    pub at: UnixMillis,
    /// When it began.
    pub started_at: UnixMillis,
    /// When it ended, as far as is known.
    pub ended_at: UnixMillis,
    /// Service, kind and version.
    pub title: String,
    /// Who, what, the verdict and where to read on, a line each.
    pub text: String,
    /// Kind, service, environment, version, `regressed` where it did harm, the tags of the event that it came as, and its
    /// labels as `name:value`.
    pub tags: Vec<String>,
    /// The event that it came as, where Graphite's events brought it.
    pub event: Option<Event>,
}

/// An event of Graphite's, as it was sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What happened.
    pub what: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// More about it.
    pub data: String,
}

impl Event {
    /// The event that a deploy came as.
    fn of(deploy: &Deploy) -> Option<Self> {
        let label = |name: &str| deploy.labels.get(name).cloned();
        let what = label("what")?;
        let tags = label("tags").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        Some(Self { what, tags, data: label("data").unwrap_or_default() })
    }
}

impl Annotation {
    fn new(DeployRow { deploy, verdict }: &DeployRow) -> Self {
        let kind = word(&deploy.kind);
        let title = [Some(deploy.service.as_str()), Some(&kind), deploy.version.as_deref()];
        let ended_at = deploy.finished_at.or(deploy.live_at).unwrap_or(deploy.started_at);
        Self {
            deploy_id: deploy.id.clone(),
            at: deploy.exposed_at(),
            started_at: deploy.started_at,
            ended_at: ended_at.max(deploy.started_at),
            title: title.into_iter().flatten().collect::<Vec<_>>().join(" "),
            text: text(deploy, verdict),
            tags: tags(deploy, verdict, kind.clone()),
            event: Event::of(deploy),
        }
    }

    /// Whether it carries all of the tags.
    pub fn has_all(&self, tags: &[String]) -> bool {
        tags.iter().all(|tag| self.tags.contains(tag))
    }

    /// Whether it carries one of the tags, or none is asked for.
    pub fn has_any(&self, tags: &[String]) -> bool {
        tags.is_empty() || tags.iter().any(|tag| self.tags.contains(tag))
    }

    /// See [`number`].
    pub fn number(&self) -> u64 {
        number(&self.deploy_id)
    }
}

/// The number that stands for a deploy's id where an API has numbers: 52 bits of a hash, so that scripts keep them whole.
pub fn number(deploy_id: &str) -> u64 {
    let digest = Sha256::digest(deploy_id.as_bytes());
    digest[..7].iter().fold(0, |number, byte| number << 8 | u64::from(*byte)) >> 4
}

/// The deploys that overlap a window, latest first, at most `limit`.
///
/// # Errors
/// A failed read.
pub fn between(library: &Library, window: (UnixMillis, UnixMillis), limit: usize) -> Result<Vec<Annotation>, WebError> {
    let mut query =
        DeployQuery { from: Some(window.0), until: Some(window.1), limit: limit.min(MAX_PAGE), ..Default::default() };
    let mut annotations = Vec::new();
    loop {
        let page = library.deploys(&query)?;
        annotations.extend(library.judged(page.items)?.iter().map(Annotation::new));
        query.cursor = page.next;
        query.limit = limit.saturating_sub(annotations.len()).min(MAX_PAGE);
        if query.cursor.is_none() || query.limit == 0 {
            return Ok(annotations);
        }
    }
}

/// The word that the JSON forms have for a variant.
fn word(value: &impl serde::Serialize) -> String {
    let word = serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned));
    word.unwrap_or_default()
}

fn text(deploy: &Deploy, verdict: &DeployVerdict) -> String {
    let by = deploy.actor.as_ref().map(|actor| format!("by {actor}"));
    let judged = verdict.summary.as_ref().map(|summary| match verdict.probability {
        Some(probability) => format!("{} {:.0} %: {summary}", word(&verdict.word), probability * 100.0),
        None => format!("{}: {summary}", word(&verdict.word)),
    });
    let lines = [deploy.title.clone(), by, judged, deploy.diff_url.clone().or(deploy.url.clone())];
    lines.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

fn tags(deploy: &Deploy, verdict: &DeployVerdict, kind: String) -> Vec<String> {
    let mut tags = vec![kind, deploy.service.clone(), deploy.environment.clone()];
    tags.extend(deploy.version.clone());
    tags.extend((verdict.word == Word::Regressed).then(|| "regressed".to_owned()));
    let (event, labels) = (Event::of(deploy), deploy.labels.iter());
    let labels = labels.filter(|(name, _)| event.is_none() || !matches!(name.as_str(), "what" | "tags" | "data"));
    let labels = labels.map(|(name, value)| format!("{name}:{value}")).filter(|tag| tag.len() <= MAX_TAG_BYTES);
    for tag in event.iter().flat_map(|event| event.tags.clone()).chain(labels) {
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn an_annotation_says_who_what_and_how_it_went() {
        let deploy = fixtures::deploys().swap_remove(0);
        let now = "2026-11-23T14:30:00Z".parse().unwrap();
        let verdict = DeployVerdict::new(&deploy, &[fixtures::incident()], now);
        let annotation = Annotation::new(&DeployRow { deploy, verdict });
        assert_eq!(annotation.title, "checkout deploy 9bc1f2e");
        assert_eq!(annotation.tags, ["deploy", "checkout", "production", "9bc1f2e", "regressed", "stack:web"]);
        assert!(annotation.text.contains("by ana\nregressed 93 %: checkout error ratio"), "{}", annotation.text);
        assert!(annotation.has_all(&["deploy".to_owned(), "checkout".to_owned()]));
        assert!(!annotation.has_all(&["deploy".to_owned(), "search".to_owned()]));
        assert!(number("a") < 1 << 52 && number("a") != number("b"));
    }
}
