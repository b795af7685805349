//! What an alert says, before any format: plain words and addresses, nothing escaped yet.

use std::{collections::BTreeMap, time::Duration};

use deployline_schemas::{
    Deploy, Incident, UnixMillis,
    blame::Suspect,
    deploy::Kind,
    incident::{IncidentState, MovedSignal},
};

use crate::{figures, links};

/// Most signals that a message lists; the rest is counted.
const MAX_SIGNALS: usize = 3;
/// Most suspects after the leading one.
const MAX_RUNNERS_UP: usize = 3;
/// Most reasons behind the leading suspect.
const MAX_REASONS: usize = 2;
/// Longest title or reason, in characters: a commit's subject fits, a pasted log does not.
const MAX_SENTENCE: usize = 140;
/// Longest name: of a person, a change, a signal with its service.
const MAX_WORDS: usize = 100;
/// How much of the graph is shown before the onset, and after the last change.
const BEFORE: Duration = Duration::from_secs(30 * 60);
const AFTER: Duration = Duration::from_secs(10 * 60);

/// Which of the two messages it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// A regression was confirmed.
    Regressed,
    /// It is over.
    Recovered,
}

impl Told {
    /// The message that a state asks for. Suspected is not certain enough to tell anybody, and what a person
    /// said of an incident (expected, wrong) that person knows.
    pub fn of(state: IncidentState) -> Option<Self> {
        match state {
            IncidentState::Confirmed => Some(Told::Regressed),
            IncidentState::Recovered => Some(Told::Recovered),
            IncidentState::Suspected | IncidentState::Persisting | IncidentState::Expected | IncidentState::Wrong => {
                None
            }
        }
    }
}

/// One signal that moved.
#[derive(Debug, Clone, PartialEq)]
pub struct Moved {
    /// `checkout error ratio`.
    pub what: String,
    /// `0.2 % → 4.8 %, 24× (19–30)`.
    pub figures: String,
}

/// One deploy, as a message shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Shipped {
    /// `checkout 3f2a771 → 9bc1f2e`, with the kind where it is no plain deploy.
    pub change: String,
    /// Who shipped it.
    pub actor: Option<String>,
    /// One line for people.
    pub title: Option<String>,
    /// When it took effect, `14:02:05 UTC`.
    pub at: String,
    /// Where its difference can be read.
    pub diff_url: Option<String>,
    /// Its page here.
    pub page_url: String,
}

/// One suspect with its odds.
#[derive(Debug, Clone, PartialEq)]
pub struct Suspected {
    /// The odds in percent, `93 %`.
    pub odds: String,
    /// The deploy.
    pub deploy: Shipped,
    /// The strongest reasons for it, as sentences.
    pub reasons: Vec<String>,
}

/// Everything that a message says.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// Which message it is.
    pub told: Told,
    /// The incident's id.
    pub incident_id: String,
    /// One line that stands alone: `checkout: error ratio 24× worse in production`.
    pub headline: String,
    /// Since when, or from when to when.
    pub period: String,
    /// What moved, strongest first.
    pub moved: Vec<Moved>,
    /// How many more signals moved.
    pub n_more_moved: usize,
    /// The leading suspect; `None` when that is "none of the deploys".
    pub suspect: Option<Suspected>,
    /// The next ones.
    pub runners_up: Vec<Suspected>,
    /// The odds that none of the deploys did it.
    pub none_odds: String,
    /// What mended it, once it is over and where it is known.
    pub mended_by: Option<Shipped>,
    /// The graph as a picture.
    pub graph_url: String,
    /// The ranked suspects with their evidence.
    pub blame_url: String,
    /// The incident's page.
    pub incident_url: String,
}

/// The ids of the deploys that an alert about `incident` names, for whoever looks them up.
pub fn deploy_ids(incident: &Incident) -> Vec<String> {
    let suspects = incident.suspects.iter().filter_map(|suspect| suspect.deploy_id.clone()).take(1 + MAX_RUNNERS_UP);
    suspects.chain(incident.mended_by.clone()).collect()
}

impl Alert {
    /// What is to be said of `incident`; `None` when its state is told to nobody.
    ///
    /// `deploys` holds those that are known of [`deploy_ids`]; one that is not is named by its id.
    /// `base_url` is where people reach the pages, with or without a final slash.
    pub fn new(incident: &Incident, deploys: &BTreeMap<String, Deploy>, base_url: &str) -> Option<Self> {
        let told = Told::of(incident.state)?;
        let base_url = base_url.trim_end_matches('/');
        let shipped = |id: &str| shipped(id, deploys.get(id), incident.changed_at, base_url);
        let suspected = |suspect: &Suspect| {
            let deploy = shipped(suspect.deploy_id.as_deref()?);
            let speaking_for = suspect.evidence.iter().filter(|evidence| evidence.log_odds > 0.0);
            let reasons = speaking_for.take(MAX_REASONS).map(|evidence| brief(&evidence.text, MAX_SENTENCE)).collect();
            Some(Suspected { odds: figures::odds(suspect.probability), deploy, reasons })
        };
        let leading = incident.leading_suspect().and_then(suspected);
        let later = if leading.is_some() { 1 } else { 0 };
        let none = incident.suspects.iter().find(|suspect| suspect.deploy_id.is_none());
        let strongest = incident.signals.first();
        let at = incident.onset.at;
        let until = incident.ended_at.unwrap_or(incident.changed_at).plus(AFTER);
        Some(Self {
            told,
            incident_id: incident.id.clone(),
            headline: headline(told, incident),
            period: period(told, incident),
            moved: incident.signals.iter().take(MAX_SIGNALS).map(moved).collect(),
            n_more_moved: incident.signals.len().saturating_sub(MAX_SIGNALS),
            suspect: leading,
            runners_up: incident.suspects.iter().filter_map(suspected).skip(later).take(MAX_RUNNERS_UP).collect(),
            none_odds: figures::odds(none.map_or(0.0, |none| none.probability)),
            mended_by: incident.mended_by.as_deref().map(shipped),
            graph_url: links::graph(base_url, "png", strongest, at.minus(BEFORE), until),
            blame_url: links::blame(base_url, strongest, at),
            incident_url: links::incident(base_url, &incident.id),
        })
    }
}

fn headline(told: Told, incident: &Incident) -> String {
    let Incident { service, environment, signals, .. } = incident;
    let Some(strongest) = signals.first() else {
        let word = if told == Told::Regressed { "regressed" } else { "recovered" };
        return brief(&format!("{service} {word} in {environment}"), MAX_SENTENCE);
    };
    let MovedSignal { signal, effect, kind, series, .. } = strongest;
    let shown = |value| figures::value(value, *kind, series);
    let line = match told {
        Told::Regressed => {
            format!("{service}: {signal} {} → {} in {environment}", shown(effect.before), shown(effect.after))
        }
        Told::Recovered => format!("{service}: {signal} is back to normal in {environment}"),
    };
    brief(&line, MAX_SENTENCE)
}

fn period(told: Told, incident: &Incident) -> String {
    let clock = |at| figures::clock(at, incident.changed_at);
    let onset = incident.onset;
    match told {
        Told::Regressed => {
            let band = figures::between(onset.earliest, onset.latest);
            let give_or_take = match band.as_secs() {
                0 => String::new(),
                _ => format!(" (between {} and {})", clock(onset.earliest), clock(onset.latest)),
            };
            format!("since {} UTC{give_or_take}", clock(onset.at))
        }
        Told::Recovered => {
            let ended_at = incident.ended_at.unwrap_or(incident.changed_at);
            let lasted = figures::duration(figures::between(onset.at, ended_at));
            format!("lasted {lasted}, {} to {} UTC", clock(onset.at), clock(ended_at))
        }
    }
}

fn moved(moved: &MovedSignal) -> Moved {
    let shown = |value| figures::value(value, moved.kind, &moved.series);
    let effect = &moved.effect;
    let factor = figures::factor(effect, moved.kind, &moved.series);
    Moved {
        what: brief(&format!("{} {}", moved.service, moved.signal), MAX_WORDS),
        figures: format!("{} → {}, {factor}", shown(effect.before), shown(effect.after)),
    }
}

fn shipped(id: &str, deploy: Option<&Deploy>, seen_from: UnixMillis, base_url: &str) -> Shipped {
    let page_url = links::deploy(base_url, id);
    let Some(deploy) = deploy else {
        let change = brief(&format!("deploy {id}"), MAX_WORDS);
        return Shipped { change, actor: None, title: None, at: "time unknown".to_owned(), diff_url: None, page_url };
    };
    let text = |text: &Option<String>, limit| text.as_deref().map(|t| brief(t, limit)).filter(|t| !t.is_empty());
    Shipped {
        change: change(deploy),
        actor: text(&deploy.actor, MAX_WORDS),
        title: text(&deploy.title, MAX_SENTENCE),
        at: format!("{} UTC", figures::clock(deploy.exposed_at(), seen_from)),
        diff_url: deploy.diff_url.as_deref().and_then(links::outside).map(str::to_owned),
        page_url,
    }
}

/// What a deploy changed, in one line: `checkout 3f2a771 → 9bc1f2e`, `checkout rollback → 3f2a771`, `search flag`.
pub fn change(deploy: &Deploy) -> String {
    let short = |version: &Option<String>| version.as_deref().map(|v| figures::revision(v).to_owned());
    let versions = match (short(&deploy.previous_version), short(&deploy.version)) {
        (Some(old), Some(new)) => format!(" {old} → {new}"),
        (None, Some(new)) => format!(" → {new}"),
        (Some(old), None) => format!(" {old} → ?"),
        (None, None) => String::new(),
    };
    let kind = match deploy.kind {
        Kind::Deploy if !versions.is_empty() => "",
        kind => kind.word(),
    };
    brief(&format!("{} {kind}{versions}", deploy.service), MAX_WORDS)
}

/// One line of at most `limit` characters.
fn brief(text: &str, limit: usize) -> String {
    figures::clip(&figures::one_line(text), limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn only_confirmed_and_recovered_are_told() {
        let told = |state| {
            Alert::new(&Incident { state, ..fixtures::confirmed() }, &BTreeMap::new(), "http://d/").map(|a| a.told)
        };
        assert_eq!(told(IncidentState::Suspected), None);
        assert_eq!(told(IncidentState::Expected), None);
        assert_eq!(told(IncidentState::Wrong), None);
        assert_eq!(told(IncidentState::Confirmed), Some(Told::Regressed));
        assert_eq!(told(IncidentState::Recovered), Some(Told::Recovered));
    }

    #[test]
    fn a_change_is_told_in_one_line() {
        let deploy = |kind, old: Option<&str>, new: Option<&str>| {
            let versions = (old.map(str::to_owned), new.map(str::to_owned));
            change(&Deploy { kind, previous_version: versions.0, version: versions.1, ..fixtures::guilty() })
        };
        assert_eq!(deploy(Kind::Deploy, Some("3f2a771"), Some("9bc1f2e")), "checkout 3f2a771 → 9bc1f2e");
        assert_eq!(deploy(Kind::Rollback, None, Some("3f2a771")), "checkout rollback → 3f2a771");
        assert_eq!(deploy(Kind::Deploy, None, None), "checkout deploy");
        assert_eq!(deploy(Kind::Flag, None, None), "checkout flag");
    }

    #[test]
    fn an_unknown_deploy_is_named_by_its_id() {
        let alert = Alert::new(&fixtures::confirmed(), &BTreeMap::new(), "http://d").unwrap();
        assert_eq!(alert.suspect.unwrap().deploy.change, "deploy dep-guilty");
    }

    #[test]
    fn when_none_leads_no_deploy_is_the_suspect() {
        let mut incident = fixtures::confirmed();
        incident.suspects.rotate_right(1);
        let alert = Alert::new(&incident, &fixtures::deploys(), "http://d").unwrap();
        assert_eq!(alert.suspect, None);
        assert_eq!(alert.runners_up.len(), 2);
    }
}
