use proptest::prelude::*;

use super::*;
use crate::blame::tests::{ERRORS, LATENCY, T0, counts, deploy, series, settings, step_at};

type Points = Vec<(i64, f64)>;

/// The impacts of a deploy begun 80 s after [`T0`] and live 38 s later, seen `now` seconds after [`T0`].
fn survey(named: &[(&str, Points, Option<Points>)], now: i64) -> Vec<Impact> {
    let (settings, deploy) = (settings(), deploy("d1", "checkout", 80));
    let series: Vec<SurveyedSeries<'_>> =
        named.iter().map(|(name, points, per)| SurveyedSeries { name, points, per: per.as_deref() }).collect();
    let now = UnixMillis::from_secs(T0 + now);
    let impacts = impact(&Survey { settings: &settings, deploy: &deploy, series: &series, now });
    assert_eq!(impacts.len(), named.len());
    for impact in &impacts {
        assert!(impact.log_e.is_finite() && !impact.summary.is_empty(), "{impact:?}");
        assert_eq!(impact.onset.is_some(), rank(impact) == 0, "{impact:?}");
        if let Some(effect) = impact.effect {
            let all = [effect.before, effect.after, effect.factor, effect.low, effect.high];
            assert!(all.iter().all(|x| x.is_finite()), "{effect:?}");
        }
    }
    impacts
}

fn latency(service: &str) -> String {
    format!("stats.timers.{service}.http.latency.upper_95")
}

#[test]
fn what_moved_comes_first_by_size_and_what_did_not_is_said_to_be_unchanged() {
    let requests = || Some(counts(99, 900, |_| 4000.0));
    let [cart, search, fresh] = ["cart", "search", "fresh"].map(latency);
    let mut short = series(5, 10, 900, |_| 80.0, 0.1);
    short.retain(|(at, _)| *at > T0 - 100);
    let impacts = survey(
        &[
            (&search, series(3, 10, 900, |_| 50.0, 0.1), None),
            (&fresh, short, None),
            (LATENCY, series(1, 10, 900, step_at(130, 80.0, 110.0), 0.1), None),
            (ERRORS, counts(2, 900, step_at(130, 4.0, 48.0)), requests()),
            (&cart, series(4, 10, 900, step_at(150, 130.0, 60.0), 0.1), None),
            ("app.checkout.depth", counts(6, 900, step_at(140, 40.0, 160.0)), None),
        ],
        900,
    );
    let told: Vec<(&str, Verdict)> = impacts.iter().map(|impact| (impact.series.as_str(), impact.verdict)).collect();
    let expected = [
        (ERRORS, Verdict::Regressed),
        ("app.checkout.depth", Verdict::Regressed),
        (cart.as_str(), Verdict::Improved),
        (LATENCY, Verdict::Regressed),
        (&search, Verdict::Unchanged),
        (&fresh, Verdict::Inconclusive),
    ];
    assert_eq!(told, expected, "{impacts:#?}");
    let errors = &impacts[0];
    assert_eq!((errors.service.as_deref(), errors.signal.as_str()), (Some("checkout"), "error ratio"));
    assert!(errors.summary.starts_with("checkout error ratio: up 1"), "{}", errors.summary);
    assert!((errors.onset.unwrap().at.as_secs() - T0 - 130).abs() <= 10);
    assert!(impacts[4].summary.starts_with("search latency p95: unchanged, "), "{}", impacts[4].summary);
    let last = &impacts[5].summary;
    assert!(last.starts_with("fresh latency p95: cannot tell yet: ") && last.ends_with(" of 60 datapoints"), "{last}");
}

#[test]
fn what_was_taken_back_within_minutes_moved_all_the_same() {
    let brief = |end: i64| if (131..=330).contains(&end) { 48.0 } else { 4.0 };
    let impacts = survey(&[(ERRORS, counts(2, 900, brief), Some(counts(99, 900, |_| 4000.0)))], 900);
    assert_eq!(impacts[0].verdict, Verdict::Regressed, "{impacts:#?}");
    assert!(impacts[0].effect.unwrap().factor > 6.0);
}

#[test]
fn a_change_before_the_deploy_is_none_of_its_impact() {
    let impacts = survey(&[(LATENCY, series(1, 10, 900, step_at(-400, 80.0, 130.0), 0.1), None)], 900);
    assert_eq!(impacts[0].verdict, Verdict::Inconclusive, "{impacts:#?}");
    assert!(impacts[0].summary.ends_with("cannot tell: it had changed before the deploy already"), "{impacts:#?}");
    let twice = |end: i64| if end > 130 { 220.0 } else { step_at(-400, 80.0, 90.0)(end) };
    let impacts = survey(&[(LATENCY, series(1, 10, 900, twice, 0.1), None)], 900);
    assert_eq!(impacts[0].verdict, Verdict::Regressed, "{impacts:#?}");
}

#[test]
fn a_deploy_just_live_cannot_be_judged_yet() {
    let impacts = survey(&[(LATENCY, series(1, 10, 900, |_| 80.0, 0.1), None)], 145);
    assert_eq!(impacts[0].verdict, Verdict::Inconclusive);
    assert_eq!(impacts[0].summary, "checkout latency p95: cannot tell yet: 2 of 4 datapoints since it was live");
    assert_eq!(
        survey(&[(LATENCY, Vec::new(), None)], 145)[0].summary,
        "checkout latency p95: cannot tell yet: no datapoints"
    );
}

#[test]
fn minutes_do_as_well() {
    let impacts = survey(&[(LATENCY, series(1, 60, 1200, step_at(130, 80.0, 130.0), 0.1), None)], 1200);
    assert_eq!(impacts[0].verdict, Verdict::Regressed, "{impacts:#?}");
}

#[test]
fn of_two_hundred_quiet_series_hardly_any_is_called_moved() {
    let names: Vec<String> = (0..200).map(|at| latency(&format!("s{at}"))).collect();
    let mut wrong = 0;
    for round in 0..3 {
        let quiet = names.iter().zip(1000 * (round + 1)..);
        let quiet: Vec<_> =
            quiet.map(|(name, seed)| (name.as_str(), series(seed, 10, 900, |_| 80.0, 0.1), None)).collect();
        wrong += survey(&quiet, 900).iter().filter(|impact| rank(impact) == 0).count();
    }
    assert!(wrong <= 1, "{wrong} of 600");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_points_get_a_sound_answer(
        mut points in prop::collection::vec((T0 - 5000..T0 + 1000, -1e6..1e6f64), 0..300),
        wild in prop::collection::vec((any::<i64>(), prop::num::f64::ANY), 0..20),
        now in -9_000_000_000i64..9_000_000_000,
    ) {
        points.sort_by_key(|(at, _)| *at);
        survey(&[(LATENCY, points.clone(), None), ("x", points.clone(), Some(points)), (ERRORS, wild.clone(), Some(wild))], now);
    }
}
