//! Annotations of senders that annotate more than deploys.

use deployline_schemas::{
    Annotation, UnixMillis,
    annotation::{MAX_ANNOTATION_BYTES, MAX_ANNOTATION_TAGS, number},
    deploy::MAX_NAME_BYTES,
};

use super::{
    HookError, HookRequest,
    event::{FAR_FUTURE, digest},
    json::clip,
};

/// What a module read of an annotation.
#[derive(Debug, Default)]
pub(super) struct Note {
    /// When it happened or began; its arrival if not said.
    pub started_at: Option<UnixMillis>,
    /// When it ended, for one that took time.
    pub ended_at: Option<UnixMillis>,
    /// What happened, in a line.
    pub title: String,
    /// More about it.
    pub text: String,
    /// Its tags in order.
    pub tags: Vec<String>,
    /// The dashboard that it belongs to.
    pub dashboard: Option<String>,
    /// The panel.
    pub panel_id: Option<i64>,
}

impl Note {
    /// The annotation, its texts cut to their bounds. **Identity**: a hash of time, texts and tags; without a time of its
    /// own each arrival is one.
    ///
    /// # Errors
    /// When it is not of the years 1970 to 2099.
    pub fn finish(self, request: &HookRequest, source: &str) -> Result<Box<Annotation>, HookError> {
        for (field, moment) in [("started_at", self.started_at), ("ended_at", self.ended_at)] {
            if let Some(moment) = moment.filter(|moment| moment.0 < 0 || *moment >= FAR_FUTURE) {
                return Err(HookError::invalid(field, format_args!("{moment} is not between 1970 and 2100")));
            }
        }
        let started_at = self.started_at.unwrap_or(request.received_at);
        let key = format!("{started_at:?}\n{:?}\n{:?}\n{}\n{}", self.ended_at, self.tags, self.title, self.text);
        let id = format!("{source}:{}", digest(key.as_bytes()));
        let tags = self.tags.into_iter().filter(|tag| !tag.is_empty() && tag.len() <= MAX_NAME_BYTES);
        Ok(Box::new(Annotation {
            number: number(&id),
            id,
            source: source.to_owned(),
            started_at,
            ended_at: self.ended_at.filter(|ended_at| *ended_at > started_at),
            title: clip(&self.title, MAX_ANNOTATION_BYTES).to_owned(),
            text: clip(&self.text, MAX_ANNOTATION_BYTES).to_owned(),
            tags: tags.take(MAX_ANNOTATION_TAGS).collect(),
            dashboard: self.dashboard.filter(|id| id.len() <= MAX_NAME_BYTES),
            panel_id: self.panel_id,
            of_deploy: false,
            is_deleted: false,
            changed_at: request.received_at,
        }))
    }
}
