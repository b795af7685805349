//! Verdicts in words and numbers that a person can check by hand.

use deployline_schemas::{
    Incident,
    blame::Evidence,
    incident::{IncidentState, MovedSignal},
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
    let timing = match (exposure.is_live(), wait < 0.0) {
        (true, false) => format!("began {wait:.0} s after {} was live", deploy.id),
        (true, true) => format!("began {:.0} s before {} was live, while it went out", -wait, deploy.id),
        (false, _) => {
            format!("began {:.0} s into {}, which was still going out", onset_s - exposure.start_s(), deploy.id)
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

/// How a signal moved, as in "error ratio 0.08 % → 1.2 % (×15)".
pub fn movement(signal: &MovedSignal) -> String {
    let effect = &signal.effect;
    let value = |x: f64| if signal.per.is_some() { format!("{:.3} %", x * 100.0) } else { format!("{x:.4}") };
    let factor = if effect.factor >= 2.0 || effect.factor <= 0.5 {
        format!("×{:.2}", effect.factor)
    } else {
        format!("{:+.0} %", (effect.factor - 1.0) * 100.0)
    };
    format!("{} {} → {} ({factor})", signal.signal, value(effect.before), value(effect.after))
}

/// One sentence that says it all.
pub fn summary(incident: &Incident) -> String {
    let what = incident.signals.first().map_or_else(|| "a signal moved".to_owned(), movement);
    match incident.state {
        IncidentState::Recovered => match &incident.mended_by {
            Some(mender) => format!("{}: back to normal after {mender}", incident.service),
            None => format!("{}: back to normal by itself", incident.service),
        },
        _ => match incident.leading_suspect() {
            Some(suspect) => match &suspect.deploy_id {
                Some(deploy) => {
                    format!("{}: {what}, {deploy} did it with {:.0} %", incident.service, suspect.probability * 100.0)
                }
                None => format!("{}: {what}, no deploy explains it", incident.service),
            },
            None => format!("{}: {what}", incident.service),
        },
    }
}
