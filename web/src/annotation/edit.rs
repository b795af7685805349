//! Annotations changed and taken away: said on the bus as everything else, and so by whoever rebuilds the catalog.
//!
//! A deploy's annotation can be edited too. From then on what is shown of it stands by itself; the deploy stays what it is,
//! to the pages and to the correlator.

use std::time::Duration;

use deployline_ingest::projector::GROUP;
use deployline_schemas::{
    Annotation, UnixMillis,
    annotation::{MAX_ANNOTATION_BYTES, MAX_ANNOTATION_TAGS},
    deploy::MAX_NAME_BYTES,
    topic::Topic,
};

use super::Shown;
use crate::{app::App, error::WebError, hooks, library::blocking};

/// Whose annotation it is that was edited here.
const SOURCE: &str = "api";
/// How long the catalog is waited for where the number that it does not know may be on the bus.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is asked meanwhile.
const LOOK: Duration = Duration::from_millis(50);
/// The first moment that no annotation can have: 2100-01-01T00:00:00Z.
const FAR_FUTURE: UnixMillis = UnixMillis(4_102_444_800_000);

/// What is to be changed; what is `None` stays.
#[derive(Debug, Default)]
pub struct Edit {
    /// When it happened or began.
    pub started_at: Option<UnixMillis>,
    /// When it ended.
    pub ended_at: Option<UnixMillis>,
    /// What happened, in a line.
    pub title: Option<String>,
    /// More about it.
    pub text: Option<String>,
    /// Its tags.
    pub tags: Option<Vec<String>>,
}

/// The annotation of a number. One that was told a moment ago and is not in the catalog yet is waited for.
///
/// # Errors
/// [`WebError::NotFound`] where there is none, or it was deleted; a failed read.
pub async fn find(app: &App, number: u64) -> Result<Annotation, WebError> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let lag = app.parts.bus.lag(GROUP, Topic::Deploys).await.unwrap_or(0);
        let found = blocking(app, move |library| library.annotation(number)).await?;
        match found {
            Some(one) if !one.is_deleted => return Ok(one),
            None if lag > 0 && tokio::time::Instant::now() < deadline => tokio::time::sleep(LOOK).await,
            _ => return Err(WebError::NotFound { what: "annotation", id: number.to_string() }),
        }
    }
}

/// Changes the annotation of a number.
///
/// # Errors
/// [`WebError::NotFound`]; what cannot be taken, by field; the door's.
pub async fn change(app: &App, number: u64, edit: Edit) -> Result<(), WebError> {
    let edit = edit.checked()?;
    let mut one = find(app, number).await?;
    edit.apply(&mut one);
    say(app, one).await
}

/// Takes the annotation of a number away.
///
/// # Errors
/// [`WebError::NotFound`]; the door's.
pub async fn delete(app: &App, number: u64) -> Result<(), WebError> {
    let one = find(app, number).await?;
    say(app, Annotation { is_deleted: true, ..one }).await
}

/// Tells the bus, and at once the catalog: whoever reads on reads what was written.
async fn say(app: &App, mut one: Annotation) -> Result<(), WebError> {
    // Later than what is known, whatever our clock says.
    one.changed_at = (app.parts.clock)().max(UnixMillis(one.changed_at.0.saturating_add(1)));
    app.parts.door.annotate(one.clone()).await.map_err(hooks::refusal)?;
    let catalog = app.parts.catalog.clone();
    blocking(app, move |_| {
        catalog.apply_annotations(&[one]).map_err(|error| WebError::store("keep an annotation", error))
    })
    .await
}

impl Edit {
    fn checked(mut self) -> Result<Self, WebError> {
        for (field, moment) in [("time", self.started_at), ("timeEnd", self.ended_at)] {
            if moment.is_some_and(|moment| moment.0 < 0 || moment >= FAR_FUTURE) {
                return Err(WebError::parameter(field, format!("`{field}` is not between 1970 and 2100")));
            }
        }
        for (field, text) in [("what", &self.title), ("text", &self.text)] {
            if text.as_ref().is_some_and(|text| text.len() > MAX_ANNOTATION_BYTES) {
                return Err(WebError::parameter(field, format!("at most {MAX_ANNOTATION_BYTES} bytes are taken")));
            }
        }
        if let Some(tags) = &mut self.tags {
            tags.retain(|tag| !tag.trim().is_empty());
            if tags.len() > MAX_ANNOTATION_TAGS || tags.iter().any(|tag| tag.len() > MAX_NAME_BYTES) {
                let most = format!("at most {MAX_ANNOTATION_TAGS} tags of {MAX_NAME_BYTES} bytes are taken");
                return Err(WebError::parameter("tags", most));
            }
        }
        Ok(self)
    }

    fn apply(self, one: &mut Annotation) {
        let length = one.ended_at.map(|ended_at| ended_at.0 - one.started_at.0);
        if let Some(started_at) = self.started_at {
            one.started_at = started_at;
            // One that is moved is as long as before.
            one.ended_at = length.map(|length| UnixMillis(started_at.0.saturating_add(length)));
        }
        if let Some(ended_at) = self.ended_at {
            let (first, last) = (one.started_at.min(ended_at), one.started_at.max(ended_at));
            one.started_at = first;
            one.ended_at = Some(last).filter(|last| *last > first);
        }
        one.title = self.title.unwrap_or_else(|| std::mem::take(&mut one.title));
        one.text = self.text.unwrap_or_else(|| std::mem::take(&mut one.text));
        one.tags = self.tags.unwrap_or_else(|| std::mem::take(&mut one.tags));
    }
}

impl Shown {
    /// What stands for a deploy's annotation from its first edit on.
    pub fn by_itself(self) -> Annotation {
        let (title, text) = match self.event {
            Some(event) => (event.what, event.data),
            None => (self.title, self.text),
        };
        Annotation {
            id: self.id,
            number: self.number,
            source: SOURCE.to_owned(),
            started_at: self.started_at,
            ended_at: Some(self.ended_at).filter(|ended_at| *ended_at > self.started_at),
            title,
            text,
            tags: self.tags,
            dashboard: self.dashboard,
            panel_id: self.panel_id,
            of_deploy: self.deploy_id.is_some(),
            is_deleted: false,
            changed_at: self.changed_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(started_at: i64, ended_at: Option<i64>) -> Annotation {
        let json = serde_json::json!({
            "id": "a", "number": 1, "source": "api", "started_at": 0, "changed_at": 0, "title": "t", "tags": ["x"],
        });
        let one: Annotation = serde_json::from_value(json).unwrap();
        Annotation { started_at: UnixMillis(started_at), ended_at: ended_at.map(UnixMillis), ..one }
    }

    #[track_caller]
    fn check(mut before: Annotation, times: (Option<i64>, Option<i64>), expected: (i64, Option<i64>)) {
        let edit = Edit { started_at: times.0.map(UnixMillis), ended_at: times.1.map(UnixMillis), ..Edit::default() };
        edit.checked().unwrap().apply(&mut before);
        assert_eq!((before.started_at.0, before.ended_at.map(|at| at.0)), expected);
        assert_eq!((before.title.as_str(), before.tags.len()), ("t", 1));
    }

    #[test]
    fn times_stay_in_order_and_a_moved_region_keeps_its_length() {
        check(one(100, None), (Some(200), None), (200, None));
        check(one(100, Some(150)), (Some(200), None), (200, Some(250)));
        check(one(100, None), (None, Some(300)), (100, Some(300)));
        check(one(100, None), (None, Some(50)), (50, Some(100)));
        check(one(100, Some(150)), (None, Some(100)), (100, None));
        check(one(100, Some(150)), (Some(200), Some(400)), (200, Some(400)));
    }

    #[test]
    fn what_is_too_much_is_refused_by_field() {
        let refused = |edit: Edit| edit.checked().unwrap_err().to_string();
        assert_eq!(
            refused(Edit { started_at: Some(FAR_FUTURE), ..Edit::default() }),
            "`time` is not between 1970 and 2100"
        );
        let text = Some("x".repeat(MAX_ANNOTATION_BYTES + 1));
        assert_eq!(refused(Edit { text, ..Edit::default() }), "at most 16384 bytes are taken");
        let tags = Some(vec!["t".to_owned(); MAX_ANNOTATION_TAGS + 1]);
        assert!(refused(Edit { tags, ..Edit::default() }).starts_with("at most 64 tags"));
    }
}
