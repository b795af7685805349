//! Records back to deploys and incidents.

use deployline_bus::{Delivered, Record};
use deployline_schemas::{Annotation, Deploy, Incident, cloudevent::ANNOTATION_TYPE, topic::Topic};
use serde::{Deserialize, de::IgnoredAny};

use super::GROUP;

/// A batch by what its records are.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    /// The deploys, in the order of the bus.
    pub deploys: Vec<Deploy>,
    /// What is said of annotations, in the order of the bus.
    pub annotations: Vec<Annotation>,
    /// The incidents, in the order of the bus.
    pub incidents: Vec<Incident>,
    /// Records for quarantine.
    pub refused: Vec<Record>,
}

/// What the projector looks at of a [`CloudEvent`](deployline_schemas::cloudevent::CloudEvent): that it is one, and what
/// it says. The envelope itself collects what it does not know, for which all of it is kept and sorted first.
#[derive(Deserialize)]
struct Envelope<T> {
    #[serde(rename = "specversion")]
    _version: IgnoredAny,
    #[serde(rename = "id")]
    _id: IgnoredAny,
    #[serde(rename = "source")]
    _source: IgnoredAny,
    #[serde(rename = "type")]
    _kind: IgnoredAny,
    data: T,
}

impl Decoded {
    /// Adds a batch that came after this one.
    pub fn extend(&mut self, later: Self) {
        self.deploys.extend(later.deploys);
        self.annotations.extend(later.annotations);
        self.incidents.extend(later.incidents);
        self.refused.extend(later.refused);
    }
}

/// Sorts a batch into what it holds.
pub(super) fn decode(batch: &[Delivered]) -> Decoded {
    let mut decoded = Decoded::default();
    for delivered in batch {
        let value = &delivered.record.value;
        let taken = match delivered.topic {
            Topic::Deploys => {
                match serde_json::from_slice::<Envelope<Deploy>>(value) {
                    Ok(event) => {
                        decoded.deploys.push(event.data);
                        Ok(())
                    }
                    // Nearly all are deploys, and an annotation is never taken for one: it has no service.
                    Err(error) => annotation(value).map(|annotation| decoded.annotations.push(annotation)).ok_or(error),
                }
            }
            Topic::Incidents => {
                serde_json::from_slice::<Envelope<Incident>>(value).map(|event| decoded.incidents.push(event.data))
            }
            Topic::Datapoints | Topic::Quarantine => Ok(()),
        };
        if let Err(error) = taken {
            decoded.refused.push(refused(delivered, &error));
        }
    }
    decoded
}

/// The annotation that a record speaks of, where its envelope says that it does.
fn annotation(value: &[u8]) -> Option<Annotation> {
    #[derive(Deserialize)]
    struct Typed {
        #[serde(rename = "type")]
        kind: String,
    }
    let typed: Typed = serde_json::from_slice(value).ok()?;
    let event = serde_json::from_slice::<Envelope<Annotation>>(value).ok().filter(|_| typed.kind == ANNOTATION_TYPE)?;
    Some(event.data)
}

fn refused(delivered: &Delivered, error: &serde_json::Error) -> Record {
    crate::refused::refused(&delivered.record, delivered.topic, GROUP, "malformed_record", &error.to_string())
        .with_header("partition", delivered.position.partition.to_string())
        .with_header("offset", delivered.position.offset.to_string())
        .with_header("received_at", delivered.appended_at.to_string())
}

#[cfg(test)]
mod tests {
    use deployline_bus::Position;
    use deployline_schemas::{DeployEvent, UnixMillis, cloudevent::CloudEvent};

    use super::*;

    #[test]
    fn annotations_among_the_deploys_are_told_by_their_type() {
        let json = r#"{"id": "a", "number": 7, "source": "s", "started_at": 5, "title": "t", "changed_at": 6}"#;
        let annotation: Annotation = serde_json::from_str(json).unwrap();
        let told = serde_json::to_value(CloudEvent::annotation(annotation.clone())).unwrap();
        let mut other = told.clone();
        other["type"] = "io.else".into();
        let delivered = |value: &serde_json::Value| Delivered {
            topic: Topic::Deploys,
            position: Position { partition: 0, offset: 7 },
            appended_at: UnixMillis(0),
            record: Record::new("k", value.to_string()),
        };
        let decoded = decode(&[delivered(&told), delivered(&other)]);
        assert_eq!((decoded.deploys.len(), decoded.annotations, decoded.refused.len()), (0, vec![annotation], 1));
    }

    #[test]
    fn what_is_read_of_an_envelope_equals_what_the_envelope_holds() {
        let event = r#"{"service": "a", "started_at": 5, "labels": {"type": "b"}, "commits": [{"id": "c"}]}"#;
        let deploy = serde_json::from_str::<DeployEvent>(event).unwrap().into_deploy().unwrap();
        let mut whole = serde_json::to_value(CloudEvent::deploy(deploy, "d \"quoted\"")).unwrap();
        whole["extension"] = serde_json::json!([1]);
        let mut values = vec![whole.clone()];
        for required in ["specversion", "id", "source", "type", "data"] {
            let mut without = whole.clone();
            without.as_object_mut().unwrap().remove(required);
            values.push(without);
        }
        for value in values {
            let json = serde_json::to_vec(&value).unwrap();
            let expected = serde_json::from_slice::<CloudEvent<Deploy>>(&json);
            let delivered = Delivered {
                topic: Topic::Deploys,
                position: Position { partition: 0, offset: 7 },
                appended_at: UnixMillis(0),
                record: Record::new("k", json),
            };
            let decoded = decode(&[delivered]);
            assert_eq!(decoded.deploys.first(), expected.as_ref().ok().map(|event| &event.data), "{value}");
            assert_eq!(decoded.refused.len(), usize::from(expected.is_err()), "{value}");
        }
    }
}
