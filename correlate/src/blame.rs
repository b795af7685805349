//! Which deploy broke this series around this moment? The engine's own mathematics, asked about the past.
//!
//! The engine asks every closed bin "did something just change?"; here a person points at a moment, and the change nearest to it
//! is sought: first among the onsets up to [`AFTER_BINS`] bins after it, then ever further back. Each stretch is looked at from
//! several ends, and the one from which the change shows most is taken: an e-process may be stopped by any rule (Ville 1939). From there on everything
//! is the engine's: noise, Bayes factors, lag law, scope and posterior, so that an alert and an answer agree.

use deployline_schemas::{
    Deploy, UnixMillis,
    blame::{Blame, Effect, Evidence, Onset, Suspect, Verdict},
    signal::Bad,
};

use crate::{
    explain::{self, accused, clock, headline},
    grid::{AGES, N_AGES, PerAge},
    lag::Exposure,
    reading::{Look, Reading, usual_step},
    scope::Scope,
    settings::Settings,
    suspects::{Candidate, Cause},
    track::{self, Scratch},
    window::ONSET_BINS,
};

mod belief;
mod neighborhood;

pub(crate) use belief::Belief;
use neighborhood::Neighborhood;

/// Most deploys that an answer lists, "none of them" not counted.
pub const MOST_SUSPECTS: usize = 10;
/// Most deploys that are weighed in full: those whose prior, timing and scope fit best. What the others could have done is taken from
/// these three alone.
pub const MOST_WEIGHED: usize = 24;
/// Most other series that are looked at.
pub const MOST_OTHERS: usize = 32;
/// A change that began up to so many bins after the moment is still meant: nobody clicks to the pixel.
pub const AFTER_BINS: i64 = 3;
/// How long before the moment the change may have begun, in seconds; never more than 360 bins.
pub const REACH_S: i64 = 3600;
/// Evidence below which nothing is believed to have changed, as the natural logarithm of a Bayes factor.
const MOVED_LN: f64 = 3.0;
/// The belief that something changed from which the answer says so, and from which it says that it cannot tell.
const CHANGED: f64 = 0.9;
/// See [`CHANGED`].
const UNSURE: f64 = 0.5;
/// The smallest effect worth telling, as a factor.
const LEAST_FACTOR: f64 = 1.04;
/// What was known of the deploys is asked for this long after the onset, as the engine would at the latest.
const KNOWN_AFTER_S: i64 = 10 * ONSET_BINS as i64;
/// How many bins of the present stand for "now" where nothing changed.
const PRESENT_BINS: i64 = 30;
/// From how many bins after the newest admissible onset the changed stretch is looked back at.
const ENDS: [i64; 6] = [1, 6, 14, 28, 50, 80];
/// The same further back in time, where the end of the change is in the data already.
const EARLIER_ENDS: [i64; 2] = [1, 28];
/// Evidence that suffices to place an onset, as the natural logarithm of a Bayes factor: the engine's alerts come at about this.
const ENOUGH_LN: f64 = 20.0;
/// The ends from which a change may first show enough are gone through in steps of so many bins.
const SCAN_BINS: usize = 5;
/// The onset is sought among those with evidence within this of the best, in nats, and so many bins around them.
const NEAR_LN: f64 = 8.0;
/// See [`NEAR_LN`].
const NEAR_BINS: i64 = 2;
/// How many bins each further stretch lies before the last.
const STRIDE: i64 = 56;

/// Another series, of another service: whether it stayed flat or moved as well is evidence.
#[derive(Debug, Clone, Copy)]
pub struct OtherSeries<'q> {
    /// Its canonical name.
    pub name: &'q str,
    /// Unix seconds at the end of each interval, and the value; ascending.
    pub points: &'q [(i64, f64)],
}

/// What is asked, with all that the answer rests on.
#[derive(Debug, Clone, Copy)]
pub struct Question<'q> {
    /// What the series mean and who calls whom. `bin_s` is not used: the step follows from the points.
    pub settings: &'q Settings,
    /// The canonical name of the series; one that no signal speaks of is judged by its values.
    pub series: &'q str,
    /// Unix seconds at the end of each interval, and the value; ascending, values that are not finite are gaps. 70 minutes
    /// before `at` and 30 after it serve best; points after `now` are not looked at.
    pub points: &'q [(i64, f64)],
    /// The denominator, where the series' signal has one; as `points`.
    pub per: Option<&'q [(i64, f64)]>,
    /// Series of other services; the first [`MOST_OTHERS`] are looked at.
    pub others: &'q [OtherSeries<'q>],
    /// Deploys in any order. Those that began after the change, or out of reach of it, are no suspects.
    pub deploys: &'q [Deploy],
    /// The bad moment.
    pub at: UnixMillis,
    /// The present.
    pub now: UnixMillis,
}

/// Who may have broken a series around a moment, with "none of them" as a possible answer.
///
/// The suspects' probabilities sum to 1. At most [`MOST_SUSPECTS`] deploys are listed, and what further ones could have done is added to
/// "none of them", which then says so. A restart blip or a cold cache counts as the deploy's doing.
/// Looks up to [`REACH_S`] seconds back from `at` and [`AFTER_BINS`] bins ahead. Where no signal says whose series it is, a service
/// of which the name is one of its dotted parts is taken, and without one every deploy is in reach.
///
/// Costs a few milliseconds, however many deploys there are.
pub fn blame(question: &Question<'_>) -> Blame {
    let limits = |at: UnixMillis| UnixMillis(at.0.clamp(-MOST_MILLIS, MOST_MILLIS));
    let question = &Question { at: limits(question.at), now: limits(question.now), ..*question };
    let step = usual_step(question.per.filter(|per| per.len() > 1).unwrap_or(question.points));
    let reading = Reading::new(question.settings, question.series, question.points, question.per, step, question.now);
    let reading = reading.named_after(question.settings, question.deploys);
    Inquiry { question, reading, scope: Scope::new(&question.settings.services) }.answer()
}

/// The year 5138: what is later is a unit mixed up, and would overflow.
const MOST_MILLIS: i64 = 100_000_000_000_000;

struct Inquiry<'q> {
    question: &'q Question<'q>,
    reading: Reading<'q>,
    scope: Scope,
}

/// A change as judged from one end.
struct Finding {
    changed: f64,
    onset: Onset,
    effect: Effect,
    suspects: Vec<Suspect>,
    /// The probability that it was a deploy not among the suspects.
    unlisted: f64,
}

/// The deploys that were not weighed in full.
#[derive(Debug, Clone, Copy)]
struct Others {
    n: usize,
    /// How well they fit together, against those that were.
    share: f64,
}

impl Inquiry<'_> {
    fn answer(&self) -> Blame {
        let reading = &self.reading;
        let at_bin = reading.bin_of(self.question.at.as_secs());
        let Some(last) = reading.last() else { return self.plain(Verdict::Inconclusive, "cannot tell: no datapoints") };
        if last + 12 < at_bin {
            let since = clock(UnixMillis::from_secs((last + 1) * reading.bin_s), self.question.now);
            return self.plain(Verdict::Inconclusive, &format!("cannot tell: no datapoints since {since}"));
        }
        let newest = (at_bin + AFTER_BINS).min(last);
        let oldest = at_bin - (REACH_S / reading.bin_s).min(360);
        let mut scratch = Scratch::default();
        let mut unsure: Option<Finding> = None;
        let mut anchor = newest;
        while anchor >= oldest {
            let ends: &[i64] = if anchor == newest { &ENDS } else { &EARLIER_ENDS };
            let ends: Vec<i64> = ends.iter().map(|ahead| anchor + ahead).filter(|end| *end <= last + 1).collect();
            for direction in directions(reading.signal.bad) {
                let looks =
                    ends.iter().filter_map(|end| reading.look(*end, (oldest, anchor), *direction, &mut scratch));
                let Some(look) = looks.max_by(|a, b| a.peak.total_cmp(&b.peak)) else { continue };
                if look.peak <= MOVED_LN {
                    continue;
                }
                let look = self.centered(look, (oldest, anchor), &mut scratch);
                let Some(finding) = self.judge(&look).filter(|finding| is_clear(&finding.effect)) else { continue };
                if finding.changed >= CHANGED {
                    return self.found(finding);
                }
                if unsure.as_ref().is_none_or(|known| known.changed < finding.changed) {
                    unsure = Some(finding);
                }
            }
            anchor -= STRIDE;
        }
        match unsure.filter(|finding| finding.changed >= UNSURE) {
            Some(finding) => {
                let why = format!("cannot tell yet: {:.0} % that it changed", 100.0 * finding.changed.min(0.99));
                let blame = self.plain(Verdict::Inconclusive, &why);
                let (onset, effect) = (Some(finding.onset), Some(finding.effect));
                Blame { onset, effect, suspects: finding.suspects, ..blame }
            }
            None => self.nothing(at_bin, last),
        }
    }

    fn plain(&self, verdict: Verdict, why: &str) -> Blame {
        Blame {
            series: self.question.series.to_owned(),
            service: self.reading.service.clone(),
            at: self.question.at,
            verdict,
            onset: None,
            effect: None,
            suspects: Vec::new(),
            summary: format!("{}: {why}", self.reading.title()),
        }
    }

    fn found(&self, finding: Finding) -> Blame {
        let verdict = self.reading.verdict(&finding.effect);
        let who = self.culprit(&finding);
        Blame {
            summary: headline(&self.reading.title(), &finding.effect, finding.onset, self.question.now, &who),
            onset: Some(finding.onset),
            effect: Some(finding.effect),
            suspects: finding.suspects,
            ..self.plain(verdict, "")
        }
    }

    fn culprit(&self, finding: &Finding) -> String {
        let Some(first) = finding.suspects.first() else { return String::new() };
        // Too many deploys to list is not "no deploy".
        let crowd = first.deploy_id.is_none() && finding.unlisted > 0.5 * first.probability;
        match finding.suspects.iter().find(|suspect| suspect.deploy_id.is_some()).filter(|_| crowd) {
            Some(likeliest) => format!("one of many deploys, likeliest {}", accused(likeliest)),
            None => accused(first),
        }
    }

    /// The answer where no change was found: the same as before, or too little to tell.
    fn nothing(&self, at_bin: i64, last: i64) -> Blame {
        let end = (at_bin + PRESENT_BINS).min(last + 1);
        let track = self.reading.track(end);
        if track.quiet.is_none() {
            let (known, needed) = (self.reading.n_baseline(end), self.reading.least());
            return self.plain(Verdict::Inconclusive, &format!("cannot tell yet: {known} of {needed} datapoints"));
        }
        let effect = track.effect(end - PRESENT_BINS, end).and_then(|effect| self.reading.in_its_unit(effect));
        let Some(effect) = effect else {
            return self.plain(Verdict::Inconclusive, "cannot tell yet: no datapoints around this moment");
        };
        let range = format!("{:.2}x ({:.2}-{:.2})", effect.factor, effect.low, effect.high);
        if self.reading.may_be_large(&effect) {
            return self.plain(Verdict::Inconclusive, &format!("cannot tell yet: {range} of before, too few to say"));
        }
        let at = clock(self.question.at, self.question.now);
        self.plain(Verdict::Unchanged, &format!("unchanged around {at}, {range} of before"))
    }

    /// Places the onset as the engine would have when it first saw enough, then looks for what came of it.
    ///
    /// From far off the true onset may be out of sight, and the more bins a large change has lasted, the more an onset too early
    /// seems to explain. So the ends are gone through from the oldest on, and the first one that shows enough says within which bins
    /// the onset lies. A change that never shows so much is judged where it shows most.
    fn centered(&self, look: Look, (oldest, newest): (i64, i64), scratch: &mut Scratch) -> Look {
        let past = self.reading.last().map_or(look.end, |last| last + 1);
        let enough = ENOUGH_LN.min(0.8 * look.peak);
        let first = (look.end - 2 * N_AGES as i64).max(oldest) + 1;
        let mut look_at = |end: i64| {
            let early = self.reading.glance(end, (oldest, newest.min(end - 1)), look.track.bad, scratch)?;
            (early.peak >= enough).then_some(early)
        };
        let Some(early) = (first..look.end).step_by(SCAN_BINS).find_map(&mut look_at) else { return look };
        let (from, until) = early.onsets_within(NEAR_LN);
        let onsets = ((from - NEAR_BINS).max(oldest), (until + NEAR_BINS).min(newest));
        let ends = ENDS.iter().map(|ahead| onsets.1 + ahead).filter(|end| *end <= past);
        let looks = ends.filter_map(|end| self.reading.look(end, onsets, look.track.bad, scratch));
        looks.max_by(|a, b| a.peak.total_cmp(&b.peak)).unwrap_or(look)
    }

    /// Judges the change that a look shows; `None` when it is none that can be put in numbers.
    fn judge(&self, look: &Look) -> Option<Finding> {
        let bin_s = self.reading.bin_s;
        let onset_s = (look.end - look.best_age() as i64) * bin_s;
        let known_at = UnixMillis::from_secs((look.end * bin_s).min(onset_s + KNOWN_AFTER_S + bin_s));
        let (near, others) = self.near(look, known_at);
        let neighborhood = Neighborhood::read(self, look);
        let owns = neighborhood.owns(&near, look.moment(bin_s));
        let candidates: Vec<Candidate<'_>> = near
            .iter()
            .zip(&owns)
            .map(|((exposure, hops), own)| Candidate { exposure: *exposure, hops: *hops, own: *own })
            .collect();
        let neighbors = neighborhood.neighbors(self, &near, look.moment(bin_s));
        let belief = Belief::of(&candidates, look, &neighbors, bin_s);
        let onsets = belief.onsets(&look.profile);
        let (onset, age) = track::onset(&onsets, look.end, bin_s)?;
        let effect = look.track.effect(look.end - age as i64, look.end)?;
        let effect = self.reading.in_its_unit(effect)?;
        let agrees = look.track.bad == Bad::Either || (effect.after > effect.before) == (look.track.bad == Bad::Up);
        agrees.then(|| {
            let (suspects, unlisted) = self.suspects(&belief, &candidates, others, &onsets, look.end, onset);
            Finding { changed: 1.0 - belief.sum(|cause| cause == Cause::Nothing), onset, effect, suspects, unlisted }
        })
    }

    /// The deploys in reach that could have had an effect at one of the onsets looked at, best fit first.
    fn near(&self, look: &Look, known_at: UnixMillis) -> (Vec<(Exposure<'_>, usize)>, Others) {
        let bin_s = self.reading.bin_s;
        let latest = look.end - look.admissible().0 as i64;
        let mut ages: Vec<usize> = (0..N_AGES).filter(|at| look.profile.step[*at].is_finite()).collect();
        ages.sort_by(|a, b| look.profile.step[*b].total_cmp(&look.profile.step[*a]));
        ages.truncate(3);
        let mut near: Vec<(f64, Exposure<'_>, usize)> = Vec::new();
        for deploy in self.question.deploys {
            if deploy.started_at.as_secs() >= latest.saturating_add(1) * bin_s {
                continue;
            }
            let hops = match &self.reading.owner {
                Some(owner) if deploy.service == *owner => Some(0),
                Some(owner) => self.scope.hops(&deploy.service, owner),
                None => Some(1),
            };
            let (Some(hops), Some(exposure)) = (hops, Exposure::at(deploy, known_at)) else { continue };
            let exposure = exposure.knowing(&self.question.settings.learned);
            let mass: f64 = ages
                .iter()
                .map(|at| {
                    let start = ((look.end - AGES[*at] as i64) * bin_s) as f64;
                    let (from, until) = (start - bin_s as f64, start + bin_s as f64);
                    exposure.mass(from, until) + 0.1 * exposure.blip_mass(from, until)
                })
                .sum();
            near.push((exposure.prior() * crate::scope::reach_probability(hops) * mass, exposure, hops));
        }
        near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.deploy().id.cmp(&b.1.deploy().id)));
        let others = near.split_off(near.len().min(MOST_WEIGHED));
        let fit = |deploys: &[(f64, Exposure<'_>, usize)]| deploys.iter().map(|(fit, ..)| fit).sum::<f64>();
        let share = if fit(&near) > 0.0 { fit(&others) / fit(&near) } else { 0.0 };
        let others = Others { n: others.iter().filter(|(fit, ..)| *fit > 0.0).count(), share };
        (near.into_iter().map(|(_, exposure, hops)| (exposure, hops)).collect(), others)
    }

    fn suspects(
        &self,
        belief: &Belief,
        candidates: &[Candidate<'_>],
        others: Others,
        onsets: &PerAge,
        end: i64,
        onset: Onset,
    ) -> (Vec<Suspect>, f64) {
        let mut weighed: Vec<(usize, f64)> = (0..candidates.len())
            .map(|place| {
                (place, belief.sum(|cause| matches!(cause, Cause::Deploy(p) | Cause::Passing(p) if p == place)))
            })
            .filter(|(_, probability)| *probability > 1e-6)
            .collect();
        weighed.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let others_weight = others.share * weighed.iter().map(|(_, probability)| probability).sum::<f64>();
        weighed.iter_mut().for_each(|(_, probability)| *probability /= 1.0 + others_weight);
        let further = weighed.split_off(weighed.len().min(MOST_SUSPECTS));
        let mut suspects: Vec<Suspect> = weighed
            .iter()
            .map(|(place, probability)| Suspect {
                deploy_id: Some(candidates[*place].exposure.deploy().id.clone()),
                name: Some(candidates[*place].exposure.deploy().name_with_actor()),
                probability: *probability,
                evidence: self.evidence(belief, *place, &candidates[*place], onsets, end),
            })
            .collect();
        // By difference, so that the sum is 1 to the last digit.
        let none = (1.0 - weighed.iter().map(|(_, probability)| probability).sum::<f64>()).max(0.0);
        let mut evidence = self.latecomers(onset);
        let global = belief.sum(|cause| cause == Cause::Global) / (1.0 + others_weight);
        if global > 0.5 {
            evidence.push(Evidence {
                kind: "global".to_owned(),
                log_odds: (global / (1.0 - global).max(1e-9)).ln().min(50.0),
                text: "services that no suspect can reach moved at the same moment".to_owned(),
            });
        }
        let unlisted =
            further.iter().map(|(_, probability)| probability).sum::<f64>() + others_weight / (1.0 + others_weight);
        if !further.is_empty() {
            evidence.push(Evidence {
                kind: "prior".to_owned(),
                log_odds: 0.0,
                text: format!("{} further deploys share {:.1} % of all", further.len() + others.n, 100.0 * unlisted),
            });
        }
        suspects.push(Suspect { deploy_id: None, name: None, probability: none, evidence });
        suspects.sort_by(|a, b| b.probability.total_cmp(&a.probability).then_with(|| a.deploy_id.cmp(&b.deploy_id)));
        (suspects, unlisted)
    }

    fn evidence(
        &self,
        belief: &Belief,
        place: usize,
        candidate: &Candidate<'_>,
        onsets: &PerAge,
        end: i64,
    ) -> Vec<Evidence> {
        let bin_s = self.reading.bin_s;
        let mut evidence = explain::evidence(candidate, onsets, end, bin_s);
        if self.reading.owner.is_none()
            && let Some(scope) = evidence.iter_mut().find(|evidence| evidence.kind == "scope")
        {
            scope.text = "no signal says whose series this is: every deploy is in reach".to_owned();
        }
        let passing = belief.sum(|cause| cause == Cause::Passing(place));
        let lasting = belief.sum(|cause| cause == Cause::Deploy(place));
        if passing > lasting {
            evidence.push(Evidence {
                kind: "timing".to_owned(),
                log_odds: (passing / lasting.max(1e-9)).ln().min(50.0),
                text: "fits a restart or a cold cache of it, which passes".to_owned(),
            });
        }
        let start_s = candidate.exposure.start_s();
        let is_before = |at: &usize| ((end - AGES[*at] as i64 + 1) * bin_s) as f64 <= start_s;
        let before: f64 = (0..N_AGES).filter(is_before).map(|at| onsets[at]).sum::<f64>() / onsets.iter().sum::<f64>();
        if before > 0.05 {
            evidence.push(Evidence {
                kind: "veto".to_owned(),
                log_odds: (1.0 - before).max(1e-9).ln(),
                text: format!("{:.0} % of the onset's probability lies before it began", 100.0 * before),
            });
        }
        evidence.sort_by(|a, b| b.log_odds.abs().total_cmp(&a.log_odds.abs()));
        evidence
    }

    /// The deploys of the service that would be suspected if they had not begun after the change: up to three, soonest first.
    fn latecomers(&self, onset: Onset) -> Vec<Evidence> {
        let Some(owner) = &self.reading.owner else { return Vec::new() };
        let until = self.question.at.max(onset.latest).plus(std::time::Duration::from_secs(120));
        let mut late: Vec<&Deploy> = self
            .question
            .deploys
            .iter()
            .filter(|deploy| deploy.service == *owner && deploy.started_at > onset.latest && deploy.started_at <= until)
            .collect();
        late.sort_by_key(|deploy| deploy.started_at);
        late.truncate(3);
        late.iter()
            .map(|deploy| Evidence {
                kind: "veto".to_owned(),
                log_odds: 20.0,
                text: format!(
                    "{} began {:.0} s after the change, so it is ruled out",
                    deploy.name(),
                    deploy.started_at.as_secs_f64() - onset.at.as_secs_f64()
                ),
            })
            .collect()
    }
}

/// The directions in which a change is sought: the bad one first.
pub(crate) fn directions(bad: Bad) -> &'static [Bad] {
    match bad {
        Bad::Up => &[Bad::Up, Bad::Down],
        Bad::Down => &[Bad::Down, Bad::Up],
        Bad::Either => &[Bad::Either],
    }
}

/// Whether an effect is large enough to be told, and its interval speaks of one direction only.
pub(crate) fn is_clear(effect: &Effect) -> bool {
    if effect.before.abs() < 1e-9 {
        return effect.low > 0.0 || effect.high < 0.0;
    }
    let large = effect.factor >= LEAST_FACTOR || effect.factor <= 1.0 / LEAST_FACTOR;
    large && (effect.low > 1.0 || effect.high < 1.0)
}

#[cfg(test)]
pub(crate) mod tests;
