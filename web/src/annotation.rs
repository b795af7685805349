//! Annotations, and deploys as such: what Grafana and Graphite show of them.

pub mod edit;

use deployline_schemas::{Annotation, Deploy, UnixMillis, annotation::number};
use deployline_store::catalog::{AnnotationQuery, DeployQuery, MAX_PAGE};

use crate::{
    error::WebError,
    library::Library,
    page::DeployRow,
    verdict::{DeployVerdict, Word},
};

/// Longest label that becomes a tag, in bytes.
const MAX_TAG_BYTES: usize = 128;

/// An annotation, or a deploy in the words of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// What it is kept under: a deploy's id, where it is one or stands for one.
    pub id: String,
    /// What names it where an API has numbers.
    pub number: u64,
    /// The deploy's id where it is one or stands for one.
    pub deploy_id: Option<String>,
    /// When its effect could first be seen.
    pub at: UnixMillis,
    /// When it began.
    pub started_at: UnixMillis,
    /// When it ended, as far as is known.
    pub ended_at: UnixMillis,
    /// When it was said last what it is.
    pub changed_at: UnixMillis,
    /// Service, kind and version of a deploy; empty for an annotation that has only a text.
    pub title: String,
    /// Who, what, the verdict and where to read on, a line each, of a deploy; else the text as it was sent.
    pub text: String,
    /// Kind, service, environment, version, `regressed` where it did harm, the tags of the event that it came as, and its
    /// labels as `name:value`, of a deploy; else the tags as they were sent.
    pub tags: Vec<String>,
    /// The event that it came as, where Graphite's events brought it.
    pub event: Option<Event>,
    /// The dashboard that it is shown on alone.
    pub dashboard: Option<String>,
    /// The panel of that dashboard.
    pub panel_id: Option<i64>,
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

impl From<Annotation> for Shown {
    fn from(one: Annotation) -> Self {
        let what = if one.title.is_empty() { one.text.lines().next().unwrap_or_default() } else { &one.title };
        Self {
            event: Some(Event { what: what.to_owned(), tags: one.tags.clone(), data: one.text.clone() }),
            number: one.number,
            deploy_id: one.of_deploy.then(|| one.id.clone()),
            at: one.started_at,
            started_at: one.started_at,
            ended_at: one.ended_at.unwrap_or(one.started_at),
            changed_at: one.changed_at,
            title: one.title,
            text: one.text,
            tags: one.tags,
            dashboard: one.dashboard,
            panel_id: one.panel_id,
            id: one.id,
        }
    }
}

impl Shown {
    /// A deploy in the words of an annotation.
    pub fn of_deploy(DeployRow { deploy, verdict }: &DeployRow) -> Self {
        let kind = word(&deploy.kind);
        let title = [Some(deploy.service.as_str()), Some(&kind), deploy.version.as_deref()];
        let ended_at = deploy.finished_at.or(deploy.live_at).unwrap_or(deploy.started_at).max(deploy.started_at);
        Self {
            id: deploy.id.clone(),
            number: number(&deploy.id),
            deploy_id: Some(deploy.id.clone()),
            at: deploy.exposed_at(),
            started_at: deploy.started_at,
            ended_at,
            changed_at: ended_at,
            title: title.into_iter().flatten().collect::<Vec<_>>().join(" "),
            text: text(deploy, verdict),
            tags: tags(deploy, verdict, kind.clone()),
            event: Event::of(deploy),
            dashboard: None,
            panel_id: None,
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
}

/// The annotations that overlap a window, latest first, at most `limit`: deploys among them, unless somebody has edited
/// what is shown of them.
///
/// # Errors
/// A failed read.
pub fn between(library: &Library, window: (UnixMillis, UnixMillis), limit: usize) -> Result<Vec<Shown>, WebError> {
    let mut all = deploys(library, window, limit)?;
    all.extend(noted(library, window, limit)?);
    all.sort_by_key(|one| std::cmp::Reverse(one.started_at));
    all.truncate(limit);
    Ok(all)
}

fn deploys(library: &Library, window: (UnixMillis, UnixMillis), limit: usize) -> Result<Vec<Shown>, WebError> {
    let mut query =
        DeployQuery { from: Some(window.0), until: Some(window.1), limit: limit.min(MAX_PAGE), ..Default::default() };
    let (mut all, mut n_read) = (Vec::new(), 0);
    loop {
        let page = library.deploys(&query)?;
        n_read += page.items.len();
        let edited = library.are_annotated(&page.items)?;
        let untouched = page.items.into_iter().zip(edited).filter(|(_, is_edited)| !is_edited);
        let rows = library.judged(untouched.map(|(deploy, _)| deploy).collect())?;
        all.extend(rows.iter().map(Shown::of_deploy));
        query.cursor = page.next;
        query.limit = limit.saturating_sub(n_read).min(MAX_PAGE);
        if query.cursor.is_none() || query.limit == 0 {
            return Ok(all);
        }
    }
}

fn noted(library: &Library, window: (UnixMillis, UnixMillis), limit: usize) -> Result<Vec<Shown>, WebError> {
    let mut query =
        AnnotationQuery { from: Some(window.0), until: Some(window.1), limit: limit.min(MAX_PAGE), cursor: None };
    let mut all: Vec<Shown> = Vec::new();
    loop {
        let page = library.annotations(&query)?;
        all.extend(page.items.into_iter().map(Shown::from));
        query.cursor = page.next;
        query.limit = limit.saturating_sub(all.len()).min(MAX_PAGE);
        if query.cursor.is_none() || query.limit == 0 {
            return Ok(all);
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
        let annotation = Shown::of_deploy(&DeployRow { deploy, verdict });
        assert_eq!(annotation.title, "checkout deploy 9bc1f2e");
        assert_eq!(annotation.tags, ["deploy", "checkout", "production", "9bc1f2e", "regressed", "stack:web"]);
        assert!(annotation.text.contains("by ana\nregressed 93 %: checkout error ratio"), "{}", annotation.text);
        assert!(annotation.has_all(&["deploy".to_owned(), "checkout".to_owned()]));
        assert!(!annotation.has_all(&["deploy".to_owned(), "search".to_owned()]));
    }
}
