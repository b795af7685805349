//! Records back to deploys and incidents.

use deployline_bus::{Delivered, Record};
use deployline_schemas::{Deploy, Incident, cloudevent::CloudEvent, topic::Topic};

use super::GROUP;

/// A batch by what its records are.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    /// The deploys, in the order of the bus.
    pub deploys: Vec<Deploy>,
    /// The incidents, in the order of the bus.
    pub incidents: Vec<Incident>,
    /// Records for quarantine.
    pub refused: Vec<Record>,
}

/// Sorts a batch into what it holds.
pub(super) fn decode(batch: &[Delivered]) -> Decoded {
    let mut decoded = Decoded::default();
    for delivered in batch {
        let value = &delivered.record.value;
        let taken = match delivered.topic {
            Topic::Deploys => {
                serde_json::from_slice::<CloudEvent<Deploy>>(value).map(|event| decoded.deploys.push(event.data))
            }
            Topic::Incidents => {
                serde_json::from_slice::<CloudEvent<Incident>>(value).map(|event| decoded.incidents.push(event.data))
            }
            Topic::Datapoints | Topic::Quarantine => Ok(()),
        };
        if let Err(error) = taken {
            decoded.refused.push(refused(delivered, &error));
        }
    }
    decoded
}

fn refused(delivered: &Delivered, error: &serde_json::Error) -> Record {
    crate::refused::refused(&delivered.record, delivered.topic, GROUP, "malformed_record", &error.to_string())
        .with_header("partition", delivered.position.partition.to_string())
        .with_header("offset", delivered.position.offset.to_string())
        .with_header("received_at", delivered.appended_at.to_string())
}
