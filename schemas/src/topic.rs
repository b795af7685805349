//! The topics that records travel on, and how a record in one is keyed.

/// The consumer group that applies [`Topic::Deploys`] and [`Topic::Incidents`] to the catalog. Whoever needs what it has
/// taken in so far asks for this group's committed offsets.
pub const CATALOG_GROUP: &str = "catalog";

/// A topic of the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// Deploy events as CloudEvents JSON, keyed by `service/environment`, and annotations, told apart by the envelope's
    /// `type`. Kept long: the catalog can be rebuilt from it.
    Deploys,
    /// Batches of Graphite plaintext lines, keyed by service, else by the series' hash. Kept for a day.
    Datapoints,
    /// Each state change of an incident as CloudEvents JSON, keyed by the incident's id. Kept long.
    Incidents,
    /// What was refused, with the reason, keyed by source. Kept for a month.
    Quarantine,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Topic; 4] = [Topic::Deploys, Topic::Datapoints, Topic::Incidents, Topic::Quarantine];

    /// The part of its name after the prefix, as in `deployline.deploys`.
    pub fn suffix(self) -> &'static str {
        match self {
            Topic::Deploys => "deploys",
            Topic::Datapoints => "datapoints",
            Topic::Incidents => "incidents",
            Topic::Quarantine => "quarantine",
        }
    }

    /// Its name on a broker under a prefix, as in `deployline.deploys`.
    pub fn name(self, prefix: &str) -> String {
        format!("{prefix}.{}", self.suffix())
    }
}
