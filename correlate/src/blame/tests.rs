use deployline_schemas::{DeployEvent, signal::Service};
use proptest::prelude::*;

use super::*;

/// 2025-10-13T14:00:00Z, the start of a bin of 10 s and of one of 60 s.
pub(crate) const T0: i64 = 1_760_364_000;
pub(crate) const ERRORS: &str = "stats.counters.checkout.http.5xx.count";
pub(crate) const LATENCY: &str = "stats.timers.checkout.http.latency.upper_95";

/// Noise of its own for each seed and bin: uniform in `-1.0..1.0` (SplitMix64).
fn noise(seed: u64, at: i64) -> f64 {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(at as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

/// A series every `step` seconds from 75 minutes before [`T0`] until `until` seconds after it; `level` gives its value by the
/// second since [`T0`] at which the interval ended.
pub(crate) fn series(seed: u64, step: i64, until: i64, level: impl Fn(i64) -> f64, rough: f64) -> Vec<(i64, f64)> {
    (-75 * 60 / step..=until / step)
        .map(|at| (T0 + at * step, level(at * step) * (1.0 + rough * noise(seed, at))))
        .collect()
}

pub(crate) fn counts(seed: u64, until: i64, level: impl Fn(i64) -> f64) -> Vec<(i64, f64)> {
    series(seed, 10, until, level, 0.3).into_iter().map(|(at, value)| (at, value.round())).collect()
}

pub(crate) fn step_at(second: i64, before: f64, after: f64) -> impl Fn(i64) -> f64 {
    move |end| if end > second { after } else { before }
}

/// A deploy that takes 40 s, begun so many seconds after [`T0`].
pub(crate) fn deploy(id: &str, service: &str, started: i64) -> Deploy {
    let event = serde_json::json!({
        "id": id, "service": service, "version": format!("v-{id}"), "actor": "ana",
        "started_at": T0 + started, "live_at": T0 + started + 38, "finished_at": T0 + started + 40,
    });
    serde_json::from_value::<DeployEvent>(event).unwrap().into_deploy().unwrap()
}

pub(crate) fn settings() -> Settings {
    let mut settings = Settings::default();
    let depends_on = vec!["auth".to_owned()];
    settings.services.insert("checkout".to_owned(), Service { depends_on, owner: None });
    settings
}

struct Case<'c> {
    series: &'c str,
    points: Vec<(i64, f64)>,
    per: Option<Vec<(i64, f64)>>,
    others: Vec<(&'c str, Vec<(i64, f64)>)>,
    deploys: Vec<Deploy>,
    at: i64,
}

impl<'c> Case<'c> {
    fn new(series: &'c str, points: Vec<(i64, f64)>, deploys: Vec<Deploy>, at: i64) -> Self {
        Self { series, points, per: None, others: Vec::new(), deploys, at }
    }

    fn answer(&self) -> Blame {
        let settings = settings();
        let others: Vec<_> = self.others.iter().map(|(name, points)| OtherSeries { name, points }).collect();
        let answer = blame(&Question {
            settings: &settings,
            series: self.series,
            points: &self.points,
            per: self.per.as_deref(),
            others: &others,
            deploys: &self.deploys,
            at: UnixMillis::from_secs(T0 + self.at),
            now: UnixMillis::from_secs(T0 + 3600),
        });
        check_sound(&answer);
        answer
    }
}

/// What holds for every answer.
#[track_caller]
fn check_sound(answer: &Blame) {
    if !answer.suspects.is_empty() {
        let sum: f64 = answer.suspects.iter().map(|suspect| suspect.probability).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        assert_eq!(answer.suspects.iter().filter(|suspect| suspect.deploy_id.is_none()).count(), 1);
        assert!(answer.suspects.len() <= MOST_SUSPECTS + 1);
        assert!(answer.suspects.is_sorted_by(|a, b| a.probability >= b.probability));
    }
    for suspect in &answer.suspects {
        assert!((0.0..=1.0).contains(&suspect.probability));
        assert!(suspect.evidence.iter().all(|evidence| evidence.log_odds.is_finite()), "{suspect:?}");
    }
    if let Some(effect) = answer.effect {
        assert!([effect.before, effect.after, effect.factor, effect.low, effect.high].iter().all(|x| x.is_finite()));
        assert!(effect.low <= effect.high, "{effect:?}");
    }
    if let Some(onset) = answer.onset {
        assert!(onset.earliest <= onset.at && onset.at <= onset.latest, "{onset:?}");
    }
    assert!(!answer.summary.is_empty());
    if matches!(answer.verdict, Verdict::Regressed | Verdict::Improved) {
        assert!(answer.onset.is_some() && answer.effect.is_some() && !answer.suspects.is_empty());
    }
    if answer.verdict == Verdict::Unchanged {
        assert!(answer.onset.is_none() && answer.effect.is_none() && answer.suspects.is_empty());
    }
}

/// The verdict and the likeliest suspect of a case, with the least probability of it.
#[track_caller]
fn check(case: &Case<'_>, verdict: Verdict, culprit: Option<&str>, at_least: f64) -> Blame {
    let answer = case.answer();
    assert_eq!(answer.verdict, verdict, "{answer:#?}");
    let first = answer.suspects.first().unwrap_or_else(|| panic!("{answer:#?}"));
    assert_eq!(first.deploy_id.as_deref(), culprit, "{answer:#?}");
    assert!(first.probability >= at_least, "{answer:#?}");
    answer
}

fn ratio(until: i64, events: impl Fn(i64) -> f64, deploys: Vec<Deploy>, at: i64) -> Case<'static> {
    let per = Some(counts(99, until, |_| 4000.0));
    Case { per, ..Case::new(ERRORS, counts(1, until, events), deploys, at) }
}

#[test]
fn a_step_after_a_deploy_is_the_deploys() {
    let case = ratio(900, step_at(130, 4.0, 48.0), vec![deploy("d1", "checkout", 80)], 300);
    let answer = check(&case, Verdict::Regressed, Some("d1"), 0.9);
    assert_eq!(answer.service.as_deref(), Some("checkout"));
    let effect = answer.effect.unwrap();
    assert!(effect.low < 12.0 && 12.0 < effect.high, "{effect:?}");
    let onset = answer.onset.unwrap();
    assert!((onset.at.as_secs() - T0 - 130).abs() <= 10, "{onset:?}");
    assert!(answer.summary.starts_with("checkout error ratio up 1"), "{}", answer.summary);
    assert!(answer.summary.contains(" since 14:02:10 UTC: checkout v-d1 by ana, 9"), "{}", answer.summary);
    let timing = answer.suspects[0].evidence.iter().find(|evidence| evidence.kind == "timing").unwrap();
    assert_eq!(timing.text, "began 12 s after checkout v-d1 was live");
}

#[test]
fn a_step_with_no_deploy_near_is_nobodys() {
    let far = vec![deploy("d1", "checkout", -4000), deploy("d2", "search", 80)];
    let case = Case::new(LATENCY, series(1, 10, 900, step_at(130, 80.0, 130.0), 0.1), far, 300);
    let answer = check(&case, Verdict::Regressed, None, 0.8);
    assert!(answer.summary.contains(": no deploy explains it, "), "{}", answer.summary);
    assert!(!answer.suspects.iter().any(|suspect| suspect.deploy_id.as_deref() == Some("d2")), "out of reach");
}

#[test]
fn a_deploy_that_began_after_the_step_is_not_blamed() {
    let case = ratio(900, step_at(130, 4.0, 48.0), vec![deploy("d1", "checkout", 200)], 300);
    let answer = check(&case, Verdict::Regressed, None, 0.999);
    assert_eq!(answer.suspects.len(), 1);
    let veto = &answer.suspects[0].evidence[0];
    assert_eq!(
        (veto.kind.as_str(), veto.text.as_str()),
        ("veto", "checkout v-d1 began 70 s after the change, so it is ruled out")
    );
}

#[test]
fn of_two_deploys_the_one_that_fits_in_time_is_blamed() {
    let deploys = vec![deploy("d1", "checkout", -500), deploy("d2", "checkout", 80)];
    let case = Case::new(LATENCY, series(3, 10, 900, step_at(130, 80.0, 130.0), 0.1), deploys, 600);
    let answer = check(&case, Verdict::Regressed, Some("d2"), 0.9);
    assert!(answer.suspects.iter().any(|suspect| suspect.deploy_id.as_deref() == Some("d1")));
}

#[test]
fn a_series_of_which_no_signal_speaks_is_judged_by_its_values() {
    for (name, points, service) in [
        ("app.checkout.queue.depth", counts(4, 900, step_at(130, 60.0, 150.0)), "checkout"),
        ("app.checkout.render_ms", series(5, 10, 900, step_at(130, 20.5, 33.3), 0.1), "checkout"),
        ("app.checkout.share", series(5, 10, 900, step_at(130, 0.002, 0.005), 0.2), "checkout"),
        ("host.a.balance", series(5, 10, 900, step_at(130, -0.02, 0.05), 0.2), "search"),
    ] {
        let case = Case::new(name, points, vec![deploy("d1", service, 80)], 300);
        let answer = check(&case, Verdict::Regressed, Some("d1"), 0.7);
        assert_eq!(answer.service, None);
        assert!(answer.summary.starts_with(name), "{}", answer.summary);
    }
}

#[test]
fn too_few_datapoints_cannot_tell() {
    let mut points = series(6, 10, 900, step_at(130, 80.0, 130.0), 0.1);
    points.retain(|(at, _)| *at > T0 && *at <= T0 + 210);
    let answer = Case::new(LATENCY, points, vec![deploy("d1", "checkout", 80)], 200).answer();
    assert_eq!(answer.verdict, Verdict::Inconclusive);
    assert_eq!(answer.summary, "checkout latency p95: cannot tell yet: 14 of 60 datapoints");
    assert!(answer.suspects.is_empty());
    let rare =
        ratio(400, |end| f64::from(u8::from(end == 130 || end == -2000)), vec![deploy("d1", "checkout", 80)], 300);
    assert_eq!(rare.answer().verdict, Verdict::Inconclusive, "{}", rare.answer().summary);
    let mut stale = Case::new(LATENCY, series(6, 10, 0, |_| 80.0, 0.1), Vec::new(), 900).answer();
    assert_eq!(stale.verdict, Verdict::Inconclusive);
    assert_eq!(stale.summary.split_off(22), "cannot tell: no datapoints since 14:00:00 UTC");
    assert_eq!(
        Case::new(LATENCY, Vec::new(), Vec::new(), 900).answer().summary,
        "checkout latency p95: cannot tell: no datapoints"
    );
}

#[test]
fn a_flat_series_is_unchanged_whatever_was_deployed() {
    let deploys: Vec<Deploy> = (0..20).map(|at| deploy(&format!("d{at}"), "checkout", -600 + 60 * at)).collect();
    for seed in 10..40 {
        let latency = Case::new(LATENCY, series(seed, 10, 900, |_| 80.0, 0.1), deploys.clone(), 300).answer();
        assert_eq!(latency.verdict, Verdict::Unchanged, "{seed}: {latency:#?}");
        assert!(
            latency.summary.starts_with("checkout latency p95: unchanged around 14:05:00 UTC, 1.0")
                || latency.summary.contains(", 0.9"),
            "{}",
            latency.summary
        );
        let errors = ratio(900, |_| 9.0, deploys.clone(), 300);
        assert_eq!(errors.answer().verdict, Verdict::Unchanged, "{seed}");
    }
}

#[test]
fn less_of_what_is_bad_is_an_improvement() {
    let case =
        Case::new(LATENCY, series(7, 10, 900, step_at(130, 130.0, 80.0), 0.1), vec![deploy("d1", "checkout", 80)], 300);
    let answer = check(&case, Verdict::Improved, Some("d1"), 0.9);
    assert!(answer.summary.contains(" down 3"), "{}", answer.summary);
}

#[test]
fn a_dependencys_deploy_is_blamed_through_the_graph_unless_its_own_service_stayed_flat() {
    let points = series(8, 10, 900, step_at(130, 80.0, 130.0), 0.1);
    let deploys = vec![deploy("d1", "auth", 80)];
    let alone = Case::new(LATENCY, points.clone(), deploys.clone(), 300);
    let alone = check(&alone, Verdict::Regressed, Some("d1"), 0.8).suspects[0].probability;
    let other = "stats.timers.auth.http.latency.upper_95";
    let moved = vec![(other, series(9, 10, 900, step_at(130, 30.0, 60.0), 0.1))];
    let moved = Case { others: moved, ..Case::new(LATENCY, points.clone(), deploys.clone(), 300) };
    let answer = check(&moved, Verdict::Regressed, Some("d1"), alone);
    assert!(answer.suspects[0].evidence.iter().any(|e| e.text == "auth itself moved at the same time"));
    assert!(answer.suspects[0].evidence.iter().any(|e| e.text == "the service calls auth, which was deployed"));
    let flat = vec![(other, series(9, 10, 900, |_| 30.0, 0.1))];
    let flat = Case { others: flat, ..Case::new(LATENCY, points, deploys, 300) }.answer();
    let probability = flat.suspects.iter().find(|s| s.deploy_id.is_some()).unwrap().probability;
    assert!(probability < alone, "{flat:#?}");
}

#[test]
fn what_moved_everywhere_at_once_is_no_ones_deploy() {
    let names = ["a", "b", "c", "d", "e"].map(|service| format!("stats.timers.{service}.http.latency.upper_95"));
    let others = names.iter().zip(20..);
    let others = others.map(|(name, seed)| (name.as_str(), series(seed, 10, 900, step_at(130, 50.0, 90.0), 0.1)));
    let points = series(8, 10, 900, step_at(130, 80.0, 130.0), 0.1);
    let case = Case { others: others.collect(), ..Case::new(LATENCY, points, vec![deploy("d1", "checkout", 80)], 300) };
    let answer = check(&case, Verdict::Regressed, None, 0.8);
    assert!(answer.suspects[0].evidence.iter().any(|evidence| evidence.kind == "global"), "{answer:#?}");
}

#[test]
fn minutes_and_long_waits_do_as_well_as_flushes() {
    for (step, change, started) in [(60, 120, 60), (60, 150, 90), (60, 175, 130), (30, 130, 80), (5, 130, 80)] {
        let points = series(11, step, 1740, step_at(change, 80.0, 130.0), 0.1);
        let case = Case::new(LATENCY, points, vec![deploy("d1", "checkout", started)], 400);
        check(&case, Verdict::Regressed, Some("d1"), 0.7);
    }
}

#[test]
fn the_change_is_found_from_its_first_bin_and_from_most_of_an_hour_later() {
    let points = series(12, 10, 3600, step_at(130, 80.0, 130.0), 0.1);
    for at in [110, 130, 150, 400, 1200, 2000, 3000] {
        let case = Case::new(LATENCY, points.clone(), vec![deploy("d1", "checkout", 80)], at);
        let answer = check(&case, Verdict::Regressed, Some("d1"), 0.8);
        assert!((answer.onset.unwrap().at.as_secs() - T0 - 130).abs() <= 20, "{at}: {answer:#?}");
    }
}

#[test]
fn a_restart_blip_is_the_deploys_too() {
    let blip = |end: i64| if (111..=140).contains(&end) { 60.0 } else { 4.0 };
    let case = ratio(900, blip, vec![deploy("d1", "checkout", 80)], 130);
    let answer = check(&case, Verdict::Regressed, Some("d1"), 0.8);
    assert!(answer.suspects[0].evidence.iter().any(|e| e.text.contains("which passes")), "{answer:#?}");
}

#[test]
fn of_a_thousand_deploys_ten_are_listed() {
    let mut deploys: Vec<Deploy> = (0..999).map(|at| deploy(&format!("d{at}"), "checkout", -1200 + at)).collect();
    deploys.push(deploy("last", "checkout", 80));
    let case = Case::new(LATENCY, series(13, 10, 1800, step_at(130, 80.0, 130.0), 0.1), deploys, 300);
    let answer = case.answer();
    assert_eq!(answer.suspects.len(), MOST_SUSPECTS + 1);
    assert_eq!(answer.suspects.iter().find_map(|suspect| suspect.deploy_id.as_deref()), Some("last"), "{answer:#?}");
    assert!(
        answer
            .suspects
            .iter()
            .any(|s| s.deploy_id.is_none() && s.evidence.iter().any(|e| e.text.contains("further deploys")))
    );
    assert!(answer.summary.contains(": one of many deploys, likeliest checkout v-last by ana, "), "{}", answer.summary);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_finite_points_get_a_sound_answer(
        seed in any::<u64>(),
        size in prop::sample::select(vec![1e-300, 1e-9, 1.0, 1e6, 1e30, 1e300]),
        shift in prop::sample::select(vec![-2.0, 0.0, 1.0, 30.0]),
        step in prop::sample::select(vec![1, 7, 10, 60, 3600]),
        jump in prop::sample::select(vec![0.0, 1e-3, 1.0, 1e9]),
        named in prop::sample::select(vec![ERRORS, LATENCY, "x", "host.checkout;a=b"]),
        with_per in any::<bool>(),
        at in prop::sample::select(vec![-9_000_000_000_000_000i64, -4000, 0, 300, 9_000_000_000_000_000]),
    ) {
        let level = |end: i64| shift + if end > 130 { jump } else { 0.0 };
        let points: Vec<(i64, f64)> = (-420..90)
            .map(|bin| (T0 + bin * step, size * (level(bin * step) + noise(seed, bin))))
            .filter(|(_, value)| value.is_finite() && value.to_bits() % 11 != 0)
            .collect();
        let deploys: Vec<Deploy> = (0..5).map(|n| deploy(&format!("d{n}"), "checkout", -300 + 90 * n)).collect();
        let per = with_per.then(|| points.iter().map(|(at, value)| (*at, value.abs() * 3.0)).collect());
        Case { per, ..Case::new(named, points, deploys, at) }.answer();
    }

    #[test]
    fn any_stamps_get_a_sound_answer(
        points in prop::collection::vec((any::<i64>(), prop::num::f64::ANY), 0..50),
        at in any::<i64>(),
        now in any::<i64>(),
    ) {
        let settings = settings();
        let (at, now) = (UnixMillis(at), UnixMillis(now));
        let question = Question { settings: &settings, series: "x", points: &points, per: Some(&points), others: &[], deploys: &[], at, now };
        check_sound(&blame(&question));
    }
}

#[test]
fn quiet_series_rarely_look_changed() {
    let deploys: Vec<Deploy> = (0..10).map(|at| deploy(&format!("d{at}"), "checkout", -600 + 120 * at)).collect();
    let mut wrong = Vec::new();
    for seed in 1000..1200 {
        for (step, until) in [(10, 900), (60, 1740)] {
            let points = series(seed, step, until, |_| 80.0, 0.1);
            let verdict = Case::new(LATENCY, points, deploys.clone(), 300).answer().verdict;
            wrong.extend((verdict != Verdict::Unchanged).then_some((seed, step, verdict)));
        }
        let verdict = ratio(900, |_| 9.0, deploys.clone(), 300).answer().verdict;
        wrong.extend((verdict != Verdict::Unchanged).then_some((seed, 0, verdict)));
    }
    assert!(wrong.len() <= 6, "{} of 600: {wrong:?}", wrong.len());
}

#[test]
fn the_onset_is_in_place_whatever_the_size_and_however_late_it_is_asked() {
    let mut misplaced = Vec::new();
    for (seed, factor) in [(31, 1.3), (32, 1.6), (33, 2.5), (34, 10.0), (35, 100.0)] {
        let points = series(seed, 10, 3600, step_at(130, 80.0, 80.0 * factor), 0.1);
        let errors = counts(seed, 3600, step_at(130, 9.0, 9.0 * factor.max(3.0)));
        for at in [140, 400, 900, 1500, 3000] {
            let mut cases =
                [LATENCY, ERRORS].map(|name| Case::new(name, points.clone(), vec![deploy("d1", "checkout", 80)], at));
            (cases[1].points, cases[1].per) = (errors.clone(), Some(counts(99, 3600, |_| 4000.0)));
            for case in cases {
                let answer = case.answer();
                let onset_s = answer.onset.map(|onset| onset.at.as_secs() - T0 - 130);
                // Five of the noise's deviations place a step within some bins, ten and more within one or two.
                let tolerance_s = if factor < 1.5 { 40 } else { 20 };
                if onset_s.is_none_or(|apart| apart.abs() > tolerance_s) || answer.suspects[0].deploy_id.is_none() {
                    misplaced.push((case.series, factor, at, onset_s, answer.summary));
                }
            }
        }
    }
    assert!(misplaced.is_empty(), "{misplaced:#?}");
}
