//! Verdicts in words and numbers that a person can check by hand.

use deployline_schemas::{
    Deploy, Incident, UnixMillis,
    blame::{Effect, Evidence, Onset, Suspect},
    incident::IncidentState,
};

use crate::{
    grid::{AGES, PerAge},
    scope,
    suspects::Candidate,
};

/// What speaks for and against a candidate, strongest first.
pub fn evidence(candidate: &Candidate<'_>, onsets: &PerAge, end: i64, bin_s: i64) -> Vec<Evidence> {
    let exposure = &candidate.exposure;
    let deploy = exposure.deploy();
    let best = (0..AGES.len()).max_by(|a, b| onsets[*a].total_cmp(&onsets[*b])).unwrap_or(0);
    let onset_s = ((end - AGES[best] as i64) * bin_s) as f64;
    let mass = exposure.mass(onset_s - 2.0 * bin_s as f64, onset_s).max(1e-9);
    // Against a deploy whose effect may begin at any moment within an hour.
    let flat = 2.0 * bin_s as f64 / 3600.0;
    let wait = onset_s - exposure.live_s();
    let name = deploy.name();
    let timing = match (exposure.is_live(), wait < 0.0) {
        (true, false) => format!("began {wait:.0} s after {name} was live"),
        (true, true) => format!("began {:.0} s before {name} was live, while it went out", -wait),
        (false, _) => {
            format!("began {:.0} s into {name}, which was still going out", onset_s - exposure.start_s())
        }
    };
    let prior = exposure.prior();
    let reach = scope::reach_probability(candidate.hops);
    let scope_text = match candidate.hops {
        0 => format!("{} is the service that was deployed", deploy.service),
        1 => format!("the service calls {}, which was deployed", deploy.service),
        hops => format!("the service reaches {} over {hops} calls", deploy.service),
    };
    let mut evidence = vec![
        Evidence { kind: "timing".to_owned(), log_odds: (mass / flat).ln(), text: timing },
        Evidence { kind: "scope".to_owned(), log_odds: (reach / 0.1f64).ln(), text: scope_text },
        Evidence {
            kind: "prior".to_owned(),
            log_odds: (prior / (1.0 - prior)).ln(),
            text: format!("{:.1} % of such changes break something", prior * 100.0),
        },
    ];
    if let Some(own) = candidate.own {
        let moved = own.profile.step[best];
        let (kind, text) = if moved < 0.0 {
            ("flat", format!("{} itself stayed flat", deploy.service))
        } else {
            ("scope", format!("{} itself moved at the same time", deploy.service))
        };
        evidence.push(Evidence { kind: kind.to_owned(), log_odds: crate::normal::ln_mix(0.85, moved.min(50.0)), text });
    }
    evidence.sort_by(|a, b| b.log_odds.abs().total_cmp(&a.log_odds.abs()));
    evidence
}

/// An effect as said in chat: "up 12.1x (9.8-14.9)", "down 18 % (12-24 %)", "up by 3.2 from 0".
pub fn movement(effect: &Effect) -> String {
    let word = if effect.after >= effect.before { "up" } else { "down" };
    if effect.before.abs() < 1e-9 {
        return format!("{word} by {:.3} from 0", (effect.after - effect.before).abs());
    }
    if effect.factor >= 2.0 {
        format!("{word} {:.1}x ({:.1}-{:.1})", effect.factor, effect.low, effect.high)
    } else if effect.factor <= 0.5 {
        format!("{word} to {:.2}x ({:.2}-{:.2})", effect.factor, effect.low, effect.high)
    } else {
        let percent = |factor: f64| 100.0 * (factor - 1.0).abs();
        let (least, most) = if effect.factor >= 1.0 { (effect.low, effect.high) } else { (effect.high, effect.low) };
        format!("{word} {:.0} % ({:.0}-{:.0} %)", percent(effect.factor), percent(least), percent(most))
    }
}

/// A moment as said in chat: the time of day, with the date if it was not today.
pub fn clock(at: UnixMillis, now: UnixMillis) -> String {
    let (at, now) = (at.to_string(), now.to_string());
    match (at.get(..10), now.get(..10), at.get(11..19)) {
        (Some(day), Some(today), Some(time)) if day == today => format!("{time} UTC"),
        (Some(day), _, Some(time)) => format!("{day} {time} UTC"),
        _ => at,
    }
}

/// A suspect and its odds, as in "checkout 9bc1f2e by ana, 93 %". Nobody is ever sure, so never more than 99 %.
pub fn accused(suspect: &Suspect) -> String {
    let percent = (100.0 * suspect.probability).min(99.0);
    match (&suspect.name, &suspect.deploy_id) {
        (Some(name), _) => format!("{name}, {percent:.0} %"),
        (None, Some(id)) => format!("deploy {id}, {percent:.0} %"),
        (None, None) => format!("no deploy explains it, {percent:.0} %"),
    }
}

/// What moved, since when and who did it, in one sentence: the head of every verdict, on whatever page.
pub fn headline(title: &str, effect: &Effect, onset: Onset, now: UnixMillis, culprit: &str) -> String {
    let head = format!("{title} {} since {}", movement(effect), clock(onset.at, now));
    if culprit.is_empty() { head } else { format!("{head}: {culprit}") }
}

/// One sentence that says it all. `mender` is what mended it, where a deploy did.
pub fn summary(incident: &Incident, mender: Option<&Deploy>) -> String {
    let Some(signal) = incident.signals.first() else { return format!("{}: a signal moved", incident.service) };
    let title = format!("{} {}", signal.service, signal.signal);
    match (incident.state, mender, &incident.mended_by) {
        (IncidentState::Recovered, Some(mender), _) => {
            format!("{title} back to normal after {}", mender.name_with_actor())
        }
        (IncidentState::Recovered, None, Some(id)) => format!("{title} back to normal after deploy {id}"),
        (IncidentState::Recovered, None, None) => format!("{title} back to normal by itself"),
        _ => {
            let culprit = incident.leading_suspect().map(accused).unwrap_or_default();
            headline(&title, &signal.effect, incident.onset, incident.changed_at, &culprit)
        }
    }
}
