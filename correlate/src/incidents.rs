//! The book of incidents: one cause, all the signals that it moved, and how it ends.

use deployline_schemas::{
    blame::{Onset, Suspect},
    incident::{Incident, IncidentState, MovedSignal},
    time::UnixMillis,
};

/// A signal that an open incident holds.
#[derive(Debug, Clone)]
pub struct Held {
    /// The track, by its series.
    pub series: String,
    /// The first changed bin.
    pub onset_bin: i64,
}

/// An incident with what the engine needs beside it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// As last told.
    pub incident: Incident,
    /// The first changed bin.
    pub onset_bin: i64,
    /// The deploy believed in, `None` for none.
    pub culprit: Option<String>,
    /// Whether all services moved at once.
    pub is_global: bool,
    /// The signals that it holds, by series.
    pub held: Vec<Held>,
}

impl Entry {
    /// Whether it is not over.
    pub fn is_open(&self) -> bool {
        self.incident.state.is_open()
    }

    /// The services whose signals it holds, each once.
    pub fn services(&self) -> Vec<&str> {
        let mut services: Vec<_> = self.incident.signals.iter().map(|signal| signal.service.as_str()).collect();
        services.sort_unstable();
        services.dedup();
        services
    }

    /// Takes another signal into the incident, without a word to anybody.
    pub fn hold(&mut self, moved: MovedSignal, onset_bin: i64) {
        if self.held.iter().any(|held| held.series == moved.series) {
            return;
        }
        self.held.push(Held { series: moved.series.clone(), onset_bin });
        self.incident.signals.push(moved);
        self.incident.signals.sort_by(|a, b| b.log_e.total_cmp(&a.log_e).then_with(|| a.series.cmp(&b.series)));
    }
}

/// Every incident, open and over, in the order of opening.
#[derive(Debug, Default)]
pub struct Book {
    entries: Vec<Entry>,
}

/// What opens an incident.
#[derive(Debug)]
pub struct Opening {
    /// The id and revision of the suspicion that it goes on from, where there was one.
    pub suspicion: Option<(String, u32)>,
    /// The service in which it shows.
    pub service: String,
    /// Its environment.
    pub environment: String,
    /// When it was decided.
    pub at: UnixMillis,
    /// When it began.
    pub onset: Onset,
    /// The first changed bin.
    pub onset_bin: i64,
    /// Who may have done it.
    pub suspects: Vec<Suspect>,
    /// Whether all services moved at once.
    pub is_global: bool,
    /// What moved.
    pub signals: Vec<(MovedSignal, i64)>,
}

impl Book {
    /// The entry at a place.
    pub fn get(&self, place: usize) -> &Entry {
        &self.entries[place]
    }

    /// The entry at a place, to change.
    pub fn get_mut(&mut self, place: usize) -> &mut Entry {
        &mut self.entries[place]
    }

    /// The place of the incident with this id.
    pub fn place_of(&self, id: &str) -> Option<usize> {
        self.entries.iter().rposition(|entry| entry.incident.id == id)
    }

    /// The places of the open incidents.
    pub fn open(&self) -> Vec<usize> {
        (0..self.entries.len()).filter(|place| self.entries[*place].is_open()).collect()
    }

    /// All incidents as last told, in the order of opening.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.entries.iter().map(|entry| &entry.incident)
    }

    /// Whether an open incident holds this series.
    pub fn is_held(&self, series: &str) -> bool {
        let open = self.entries.iter().filter(|entry| entry.is_open());
        open.flat_map(|entry| &entry.held).any(|held| held.series == series)
    }

    /// The open incident of which this deploy is the culprit.
    pub fn of_deploy(&self, deploy_id: &str) -> Option<usize> {
        self.entries.iter().position(|entry| entry.is_open() && entry.culprit.as_deref() == Some(deploy_id))
    }

    /// Whether this deploy was already told of, in an open incident or one that is over.
    pub fn was_told(&self, deploy_id: &str) -> bool {
        self.entries.iter().any(|entry| entry.culprit.as_deref() == Some(deploy_id))
    }

    /// Opens an incident and returns its place.
    pub fn open_new(&mut self, opening: Opening) -> usize {
        let culprit = opening.suspects.first().and_then(|suspect| suspect.deploy_id.clone());
        let (id, revision) = match opening.suspicion {
            Some((id, revision)) => (id, revision + 1),
            None => (format!("i-{}-{}", opening.at.as_secs(), opening.service), 1),
        };
        let incident = Incident {
            id,
            revision,
            state: IncidentState::Confirmed,
            service: opening.service,
            environment: opening.environment,
            opened_at: opening.at,
            changed_at: opening.at,
            ended_at: None,
            onset: opening.onset,
            signals: Vec::new(),
            suspects: opening.suspects,
            mended_by: None,
            feedback: Vec::new(),
            summary: String::new(),
        };
        let mut entry =
            Entry { incident, onset_bin: opening.onset_bin, culprit, is_global: opening.is_global, held: Vec::new() };
        for (signal, onset_bin) in opening.signals {
            entry.hold(signal, onset_bin);
        }
        self.entries.push(entry);
        self.entries.len() - 1
    }

    /// Takes the incidents as they were told before a restart, in place of what the book holds.
    pub fn restore(&mut self, incidents: Vec<Incident>, bin_s: i64) {
        self.entries.clear();
        // What was only suspected is judged anew.
        for incident in incidents.into_iter().filter(|incident| incident.state != IncidentState::Suspected) {
            let bin = |at: UnixMillis| at.as_secs().div_euclid(bin_s);
            let held = incident.signals.iter().map(|s| Held { series: s.series.clone(), onset_bin: bin(s.onset.at) });
            let leading = incident.leading_suspect();
            self.entries.push(Entry {
                onset_bin: bin(incident.onset.at),
                culprit: leading.and_then(|suspect| suspect.deploy_id.clone()),
                is_global: leading.is_some_and(|suspect| suspect.deploy_id.is_none())
                    && incident.signals.iter().any(|signal| signal.service != incident.service),
                held: held.collect(),
                incident,
            });
        }
    }

    /// Forgets the oldest incidents that are over, down to `most`.
    pub fn trim(&mut self, most: usize) {
        while self.entries.len() > most {
            let Some(place) = self.entries.iter().position(|entry| !entry.is_open()) else { break };
            self.entries.remove(place);
        }
    }
}
