//! How incidents live on beside the signals: what people said of them, what nobody mends, and what is only suspected.

use std::collections::BTreeMap;

use deployline_schemas::{
    Incident, UnixMillis,
    blame::{Onset, Suspect},
    incident::{IncidentState, MovedSignal},
};

use super::{Engine, RELEASE_BINS};
use crate::explain;

/// The belief in a deploy from which it is shown as suspected, before there is enough to tell anybody.
pub(super) const SUSPECTED: f64 = 0.5;
/// A suspicion that was not seen again for so many bins has gone away: five minutes at 10 s.
const FORGOTTEN_BINS: i64 = 30;
/// Most suspicions at a time; further ones wait until they are certain.
const MOST_SUSPICIONS: usize = 100;
/// How long after an incident's end its catalog entry is still compared, in bins.
const LINGER_BINS: i64 = 12;

/// What is suspected and not told.
#[derive(Debug, Clone)]
pub(super) struct Suspicion {
    incident: Incident,
    seen: i64,
}

/// The suspicions by the deploy that they fall on.
#[derive(Debug, Default)]
pub(super) struct Suspicions(BTreeMap<String, Suspicion>);

impl Suspicions {
    /// The id and revision of a suspicion that turns into a certainty, which goes on under them.
    pub(super) fn confirm(&mut self, deploy_id: &str) -> Option<(String, u32)> {
        self.0.remove(deploy_id).map(|known| (known.incident.id, known.incident.revision))
    }
}

/// What is suspected of a deploy at one moment.
pub(super) struct Suspected {
    /// The deploy.
    pub deploy_id: String,
    /// The service in which it shows.
    pub service: String,
    /// Its environment.
    pub environment: String,
    /// When the change began.
    pub onset: Onset,
    /// Everybody with their odds.
    pub suspects: Vec<Suspect>,
    /// What moved.
    pub signals: Vec<MovedSignal>,
}

impl Engine {
    /// Takes what people said of an incident, as the catalog has it. Returns the incident where it must be told again because its
    /// end was decided in the same moment and lost.
    ///
    /// What was meant, or judged wrong, is closed, and the level of its signals is taken as given: nobody is told of it twice.
    pub fn absorb(&mut self, known: &Incident) -> Option<Incident> {
        if let Some(suspicion) = self.suspicions.0.values_mut().find(|suspicion| suspicion.incident.id == known.id) {
            if known.revision > suspicion.incident.revision {
                suspicion.incident = known.clone();
            }
            return None;
        }
        let place = self.book.place_of(&known.id)?;
        let entry = self.book.get_mut(place);
        if known.feedback.len() <= entry.incident.feedback.len() && known.feedback == entry.incident.feedback {
            return None;
        }
        if !entry.is_open() && known.state.is_open() {
            // It was over here when somebody said that they know of it.
            entry.incident.feedback.clone_from(&known.feedback);
            entry.incident.revision = known.revision.max(entry.incident.revision).saturating_add(1);
            return Some(entry.incident.clone());
        }
        let was_open = entry.is_open();
        entry.incident = known.clone();
        if was_open && !known.state.is_open() {
            let held = std::mem::take(&mut entry.held);
            let end = self.judged.unwrap_or_default();
            for series in held.iter().map(|held| &held.series) {
                for track in self.routes.get(series).iter().flat_map(|route| &route.numerators) {
                    self.tracks[*track].start_over(end);
                }
            }
        }
        None
    }

    /// Takes up what was suspected before a restart, to be borne out or to go away.
    pub(super) fn restore_suspicions(&mut self, incidents: &[Incident]) {
        self.suspicions.0.clear();
        for incident in incidents.iter().filter(|incident| incident.state == IncidentState::Suspected) {
            let deploy_id = incident.leading_suspect().and_then(|suspect| suspect.deploy_id.clone());
            let began = incident.changed_at.as_secs().div_euclid(self.settings.bin_s);
            let seen = self.judged.unwrap_or(began);
            // One without a deploy, which this version never makes, is forgotten in its turn.
            let key = deploy_id.unwrap_or_else(|| incident.id.clone());
            self.suspicions.0.insert(key, Suspicion { incident: incident.clone(), seen });
        }
    }

    /// The incidents of which somebody may have said something since: those that are open, or were a moment ago.
    pub fn watched_incidents(&self) -> Vec<String> {
        let latest = UnixMillis((self.judged.unwrap_or_default() - LINGER_BINS) * self.settings.bin_s * 1000);
        let suspected = self.suspicions.0.values().map(|suspicion| &suspicion.incident);
        let all = self.book.incidents().chain(suspected);
        let wanted = all.filter(|incident| incident.state.is_open() || incident.changed_at >= latest);
        wanted.map(|incident| incident.id.clone()).collect()
    }

    /// Says of the incidents whose level is taken as given from now on that they persist.
    pub(super) fn persist(&mut self, end: i64, now: UnixMillis, told: &mut Vec<Incident>) {
        for place in self.book.open() {
            let entry = self.book.get_mut(place);
            if entry.incident.state != IncidentState::Confirmed || end - entry.onset_bin < RELEASE_BINS {
                continue;
            }
            entry.incident.state = IncidentState::Persisting;
            entry.incident.revision += 1;
            entry.incident.changed_at = now;
            told.push(entry.incident.clone());
        }
    }

    /// Shows a deploy as suspected, once, and keeps the suspicion while it is seen again.
    pub(super) fn suspect(&mut self, suspected: Suspected, end: i64, now: UnixMillis, told: &mut Vec<Incident>) {
        if let Some(known) = self.suspicions.0.get_mut(&suspected.deploy_id) {
            known.seen = end;
            return;
        }
        if self.suspicions.0.len() >= MOST_SUSPICIONS
            || self.book.was_told(&suspected.deploy_id)
            || suspected.signals.is_empty()
        {
            return;
        }
        let mut incident = Incident {
            id: format!("i-{}-{}", now.as_secs(), suspected.service),
            revision: 1,
            state: IncidentState::Suspected,
            service: suspected.service,
            environment: suspected.environment,
            opened_at: now,
            changed_at: now,
            ended_at: None,
            onset: suspected.onset,
            signals: suspected.signals,
            suspects: suspected.suspects,
            mended_by: None,
            feedback: Vec::new(),
            summary: String::new(),
        };
        incident.summary = explain::summary(&incident, None);
        told.push(incident.clone());
        self.suspicions.0.insert(suspected.deploy_id, Suspicion { incident, seen: end });
    }

    /// Says of the suspicions that nothing bears out any more that they went away.
    pub(super) fn forget_suspicions(&mut self, end: i64, now: UnixMillis, told: &mut Vec<Incident>) {
        self.suspicions.0.retain(|_, suspicion| {
            if end - suspicion.seen < FORGOTTEN_BINS {
                return true;
            }
            let incident = &mut suspicion.incident;
            if incident.state.is_open() {
                incident.state = IncidentState::Recovered;
                incident.revision += 1;
                incident.changed_at = now;
                incident.ended_at = Some(now);
                incident.summary = format!("{}: what was suspected went away", incident.service);
                told.push(incident.clone());
            }
            false
        });
    }
}
