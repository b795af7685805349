//! What one deploy moved, up or down, over many series.
//!
//! The evidence of a series is the mean of its Bayes factors over the onsets, weighted by the deploy's lag law, and over four ends
//! within ten minutes of its being live, so that both a change that holds and one that was taken back show. Means of e-values
//! are e-values, and e-BH (Wang and Ramdas, JRSS-B 84, 2022) keeps the share of false ones among the series called moved at 10 %,
//! whatever the dependence between them: of K series the k with the most evidence moved, for the largest k of which the k-th
//! e-value is at least K/(0.1·k). Maxima over the ends would show more, but have no such promise (arXiv 2501.19360).

use deployline_schemas::{
    Deploy, UnixMillis,
    blame::{Effect, Onset, Verdict},
    signal::{Bad, SignalKind},
};
use serde::{Deserialize, Serialize};

use crate::{
    blame::is_clear,
    explain::movement,
    grid::{AGES, N_AGES, PerAge},
    lag::Exposure,
    needed,
    normal::LogSum,
    reading::{Look, Reading, usual_step},
    settings::Settings,
    track::{self, Scratch},
};

/// From how long after the deploy was live it is looked back, in seconds.
const ENDS_S: [i64; 4] = [60, 150, 300, 600];
/// The share of the series called moved that may be wrong.
const FALSE_DISCOVERY_RATE: f64 = 0.1;
/// ln of the Bayes factor from which a series is said to have changed before the deploy already.
const MOVING_LN: f64 = 4.6;
/// Fewest bins after the deploy was live before anything is said: the engine names nobody earlier.
const LEAST_BINS: i64 = 4;

/// A series to be looked at, with its denominator where its signal has one.
#[derive(Debug, Clone, Copy)]
pub struct SurveyedSeries<'q> {
    /// Its canonical name.
    pub name: &'q str,
    /// Unix seconds at the end of each interval, and the value; ascending, values that are not finite are gaps. 70 minutes
    /// before the deploy and 10 after it serve best.
    pub points: &'q [(i64, f64)],
    /// The denominator's.
    pub per: Option<&'q [(i64, f64)]>,
}

/// What is asked, with all that the answer rests on.
#[derive(Debug, Clone, Copy)]
pub struct Survey<'q> {
    /// What the series mean.
    pub settings: &'q Settings,
    /// The deploy.
    pub deploy: &'q Deploy,
    /// The series, each judged in its own step.
    pub series: &'q [SurveyedSeries<'q>],
    /// The present: later points are not looked at.
    pub now: UnixMillis,
}

/// What became of one series after the deploy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Impact {
    /// The series.
    pub series: String,
    /// The service that it belongs to, where a signal says so.
    pub service: Option<String>,
    /// What people call it: the signal's name, else the series'.
    pub signal: String,
    /// How the signal behaves, and with it the unit of its values; `None` where no signal speaks of the series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<SignalKind>,
    /// Which way it went; `Inconclusive` where there is too little to tell yet.
    pub verdict: Verdict,
    /// When it moved, if it did.
    pub onset: Option<Onset>,
    /// By how much: since the onset where it moved, else since the deploy was live. `None` where that can not be measured.
    pub effect: Option<Effect>,
    /// ln of the e-value against "nothing moved here after the deploy". Finite.
    pub log_e: f64,
    /// How many more requests would tell a doubling of the rate from none; only where it cannot be told yet and the signal has a
    /// denominator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_requests: Option<u64>,
    /// One sentence that says it all.
    pub summary: String,
}

/// Which series moved after a deploy, and by how much: the moved ones first, then the unchanged, then those of which too little is
/// known, each by the size of the effect.
///
/// That a series moved after a deploy does not say that the deploy moved it: several deploys may have been under way
/// ([`crate::blame()`] weighs them against each other). Costs about a millisecond for each series.
pub fn impact(survey: &Survey<'_>) -> Vec<Impact> {
    let mut scratch = Scratch::default();
    let mut surveyed: Vec<Surveyed<'_>> =
        survey.series.iter().map(|series| Surveyed::of(survey, series, &mut scratch)).collect();
    let mut judged: Vec<usize> = (0..surveyed.len()).filter(|place| surveyed[*place].log_e.is_some()).collect();
    let log_e = |place: &usize| surveyed[*place].log_e.unwrap_or(0.0);
    judged.sort_by(|a, b| log_e(b).total_cmp(&log_e(a)));
    let needed = |k: usize| (judged.len() as f64 / (FALSE_DISCOVERY_RATE * k as f64)).ln();
    let n_moved = (1..=judged.len()).rev().find(|k| log_e(&judged[k - 1]) >= needed(*k)).unwrap_or(0);
    judged[..n_moved].iter().for_each(|place| surveyed[*place].is_moved = true);
    let mut impacts: Vec<Impact> = surveyed.into_iter().map(Surveyed::impact).collect();
    impacts.sort_by(|a, b| {
        rank(a).cmp(&rank(b)).then_with(|| size(b).total_cmp(&size(a))).then_with(|| a.series.cmp(&b.series))
    });
    impacts
}

fn rank(impact: &Impact) -> u8 {
    match impact.verdict {
        Verdict::Regressed | Verdict::Improved => 0,
        Verdict::Unchanged => 1,
        Verdict::Inconclusive => 2,
    }
}

/// How far from "the same" an effect is: |ln factor|, the difference where it began at 0; −1 without an effect.
fn size(impact: &Impact) -> f64 {
    impact.effect.map_or(-1.0, |effect| match effect.factor {
        factor if factor > 0.0 && effect.before.abs() >= 1e-9 => factor.ln().abs(),
        factor => factor.abs(),
    })
}

/// One series with its evidence, before it is compared with the others'.
struct Surveyed<'q> {
    reading: Reading<'q>,
    name: &'q str,
    /// ln of the e-value; `None` where too little is known.
    log_e: Option<f64>,
    since_onset: Option<(Onset, Effect)>,
    since_live: Option<Effect>,
    shortage: String,
    /// Requests still needed before "no worse" can be said of a rate.
    more_requests: Option<u64>,
    is_moved: bool,
    /// Whether it had changed before the deploy already.
    is_moving: bool,
}

impl<'q> Surveyed<'q> {
    fn of(survey: &Survey<'q>, series: &SurveyedSeries<'q>, scratch: &mut Scratch) -> Self {
        let step = usual_step(series.per.filter(|per| per.len() > 1).unwrap_or(series.points));
        let reading = Reading::new(survey.settings, series.name, series.points, series.per, step, survey.now);
        let mut surveyed = Self {
            reading,
            name: series.name,
            log_e: None,
            since_onset: None,
            since_live: None,
            shortage: "no datapoints".to_owned(),
            more_requests: None,
            is_moved: false,
            is_moving: false,
        };
        if let Some(last) = surveyed.reading.last() {
            surveyed.judge(survey, last, scratch);
        }
        surveyed
    }

    fn judge(&mut self, survey: &Survey<'_>, last: i64, scratch: &mut Scratch) {
        let reading = &self.reading;
        let deploy = survey.deploy;
        let live = deploy.live_at.or(deploy.finished_at).filter(|at| *at <= survey.now).unwrap_or(deploy.started_at);
        // The first bin that begins once it is under way, and the first once it is live.
        let (first, first_live) =
            (reading.bin_of(deploy.started_at.as_secs()), reading.bin_of(live.as_secs().saturating_add(reading.bin_s)));
        let known = last.saturating_add(1).saturating_sub(first_live);
        self.more_requests = needed::more_requests(&reading.track(last + 1), first, first_live, last + 1);
        if known < LEAST_BINS {
            self.shortage = format!("{} of {LEAST_BINS} datapoints since it was live", known.max(0));
            return;
        }
        let mut ends: Vec<i64> = ENDS_S
            .iter()
            .map(|wait| first_live + (wait / reading.bin_s).max(LEAST_BINS))
            // An onset is placed within so many bins of the end.
            .map(|end| end.min(first.saturating_add(N_AGES as i64)).min(last + 1))
            .collect();
        ends.dedup();
        if !reading.may_have_moved(first, last + 1) {
            ends.drain(..ends.len() - 1);
        }
        let newest = ends.last().copied().unwrap_or(last + 1);
        let looks: Vec<Look> =
            ends.iter().filter_map(|end| reading.look(*end, (first, *end), Bad::Either, scratch)).collect();
        let Some(latest) = looks.last() else {
            self.shortage = format!("{} of {} datapoints", reading.n_baseline(newest), reading.least());
            return;
        };
        let since_live = latest.track.effect(first_live.min(latest.end - 1), latest.end);
        self.since_live = since_live.and_then(|effect| reading.in_its_unit(effect));
        let weighed: Vec<(f64, PerAge, &Look)> =
            looks.iter().filter_map(|look| weigh(look, deploy, reading.bin_s)).collect();
        // Against the best that a change before the deploy explains (universal inference: Wasserman, Ramdas and Balakrishnan, PNAS
        // 117, 2020): a baseline that is half old level, half new makes any later bin look like a step.
        let earlier = reading.look(first, (first - N_AGES as i64, first - 1), Bad::Either, scratch);
        let earlier = earlier.map_or(0.0, |look| look.peak.max(0.0));
        let Some((_, onsets, look)) = weighed.iter().max_by(|a, b| a.0.total_cmp(&b.0)) else { return };
        self.since_onset = track::onset(onsets, look.end, reading.bin_s).and_then(|(onset, age)| {
            let effect = look.track.effect(look.end - age as i64, look.end)?;
            Some((onset, reading.in_its_unit(effect)?))
        });
        let sum = weighed.iter().map(|(log_e, ..)| *log_e).collect::<LogSum>().ln();
        self.log_e = Some(sum - (weighed.len() as f64).ln() - earlier).filter(|log_e| log_e.is_finite());
        self.is_moving = earlier > MOVING_LN;
    }

    fn impact(self) -> Impact {
        let moved = self.since_onset.filter(|(_, effect)| self.is_moved && is_clear(effect));
        let (verdict, what) = match (&moved, &self.since_live) {
            (Some((_, effect)), _) => (self.reading.verdict(effect), movement(effect)),
            (None, Some(_)) if self.is_moving => {
                (Verdict::Inconclusive, "cannot tell: it had changed before the deploy already".to_owned())
            }
            (None, Some(effect)) if self.log_e.is_some() => {
                let range = format!("{:.2}x ({:.2}-{:.2}) of before", effect.factor, effect.low, effect.high);
                if self.reading.may_be_large(effect) {
                    let few = match self.more_requests {
                        Some(more) => format!("about {more} more requests are needed"),
                        None => "too few to say".to_owned(),
                    };
                    (Verdict::Inconclusive, format!("cannot tell yet: {range}, {few}"))
                } else {
                    (Verdict::Unchanged, format!("unchanged, {range}"))
                }
            }
            _ => {
                let more = self.more_requests.map(|more| format!(", about {more} more requests are needed"));
                (Verdict::Inconclusive, format!("cannot tell yet: {}{}", self.shortage, more.unwrap_or_default()))
            }
        };
        let summary = format!("{}: {what}", self.reading.title());
        Impact {
            series: self.name.to_owned(),
            verdict,
            onset: moved.map(|(onset, _)| onset),
            effect: moved.map(|(_, effect)| effect).or(self.since_live),
            log_e: self.log_e.unwrap_or(0.0),
            more_requests: self.more_requests.filter(|_| verdict == Verdict::Inconclusive),
            summary,
            kind: self.reading.service.is_some().then_some(self.reading.signal.kind),
            service: self.reading.service,
            signal: self.reading.signal.name,
        }
    }
}

/// ln of the e-value of a look for the deploy, and the belief in each onset; `None` when it could have had no effect yet.
fn weigh<'l>(look: &'l Look, deploy: &Deploy, bin_s: i64) -> Option<(f64, PerAge, &'l Look)> {
    let exposure = Exposure::at(deploy, UnixMillis::from_secs(look.end * bin_s))?;
    let masses: PerAge = std::array::from_fn(|at| {
        let start = ((look.end - AGES[at] as i64) * bin_s) as f64;
        // A change shows in the bin that it falls into, and in full in the next.
        let asked = look.profile.step[at] > f64::NEG_INFINITY;
        if asked { 0.5 * exposure.mass(start - bin_s as f64, start + bin_s as f64) } else { 0.0 }
    });
    let total: f64 = masses.iter().sum();
    if total <= 0.0 {
        return None;
    }
    let terms: PerAge = std::array::from_fn(|at| match masses[at] / total {
        share if share > 0.0 => share.ln() + look.profile.step[at],
        _ => f64::NEG_INFINITY,
    });
    let log_e = terms.iter().copied().collect::<LogSum>().ln();
    log_e.is_finite().then(|| (log_e, terms.map(|term| (term - log_e).exp()), look))
}

#[cfg(test)]
mod tests;
