//! CloudEvents 1.0, the envelope of every record on the bus, in structured JSON mode.
//!
//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md>

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{annotation::Annotation, deploy::Deploy, incident::Incident, time::UnixMillis};

/// The `type` of a deploy event.
pub const DEPLOY_TYPE: &str = "io.deployline.deploy.v1";
/// The `type` of what is said of an annotation; these travel with the deploys.
pub const ANNOTATION_TYPE: &str = "io.deployline.annotation.v1";
/// The `type` of an incident's state change.
pub const INCIDENT_TYPE: &str = "io.deployline.incident.v1";

/// An envelope around `T`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CloudEvent<T = Value> {
    /// Always `1.0`.
    pub specversion: String,
    /// With `source`, names the event; the same pair twice is the same event.
    pub id: String,
    /// Who says so, as a URI reference.
    pub source: String,
    /// What `data` is.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<UnixMillis>,
    /// The media type of `data`; JSON if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datacontenttype: Option<String>,
    /// What it says.
    pub data: T,
    /// Extension attributes.
    #[serde(flatten)]
    pub extensions: BTreeMap<String, Value>,
}

impl CloudEvent<Deploy> {
    /// The envelope of one event of a deploy; `delivery` names the delivery at its source.
    pub fn deploy(deploy: Deploy, delivery: &str) -> Self {
        Self {
            specversion: "1.0".to_owned(),
            id: delivery.to_owned(),
            source: format!("/deployline/hooks/{}", deploy.source),
            kind: DEPLOY_TYPE.to_owned(),
            subject: Some(deploy.key()),
            time: Some(deploy.finished_at.or(deploy.live_at).unwrap_or(deploy.started_at)),
            datacontenttype: Some("application/json".to_owned()),
            data: deploy,
            extensions: BTreeMap::new(),
        }
    }
}

impl CloudEvent<Annotation> {
    /// The envelope of what is said of an annotation.
    pub fn annotation(annotation: Annotation) -> Self {
        Self {
            specversion: "1.0".to_owned(),
            id: format!("{}/{}", annotation.key(), annotation.changed_at.0),
            source: format!("/deployline/hooks/{}", annotation.source),
            kind: ANNOTATION_TYPE.to_owned(),
            subject: Some(annotation.key()),
            time: Some(annotation.changed_at),
            datacontenttype: Some("application/json".to_owned()),
            data: annotation,
            extensions: BTreeMap::new(),
        }
    }
}

impl CloudEvent<Incident> {
    /// The envelope of an incident's state change.
    pub fn incident(incident: Incident) -> Self {
        Self {
            specversion: "1.0".to_owned(),
            id: format!("{}/{}", incident.id, incident.revision),
            source: "/deployline/correlate".to_owned(),
            kind: INCIDENT_TYPE.to_owned(),
            subject: Some(incident.service.clone()),
            time: Some(incident.changed_at),
            datacontenttype: Some("application/json".to_owned()),
            data: incident,
            extensions: BTreeMap::new(),
        }
    }
}
