//! The engine on small hand-made series: what it tells, and that order of arrival does not show.

#![allow(clippy::unwrap_used)] // A test that cannot be set up has failed.

use deployline_correlate::{
    Engine, Settings,
    ratio::ln_mixture,
    replay::{Alert, replay},
};
use deployline_schemas::{
    Deploy, DeployEvent, Incident, UnixMillis,
    incident::{Feedback, IncidentState, Opinion},
    series::Datapoint,
    signal::Bad,
};

const START: i64 = 1_760_000_000;

/// SplitMix64: seeded noise that is the same everywhere.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Poisson, by counting exponential waits; for small means.
    fn poisson(&mut self, mean: f64) -> f64 {
        let (mut waited, mut n) = (-self.uniform().max(1e-300).ln(), 0.0);
        while waited < mean {
            waited -= self.uniform().max(1e-300).ln();
            n += 1.0;
        }
        n
    }
}

/// A shop of three services over two hours: latencies around 100 ms, and errors at one in a thousand.
/// `factor(service, second)` multiplies latency and errors.
fn shop(factor: impl Fn(&str, i64) -> f64) -> Vec<(String, i64, f64)> {
    let mut noise = Noise(7);
    let mut points = Vec::new();
    for bin in 1..=720 {
        for service in ["checkout", "auth", "feed"] {
            let times = factor(service, bin * 10);
            let mut point = |series: String, value: f64| points.push((series, START + 10 * bin, value));
            let wobble = 1.0 + 0.1 * (noise.uniform() - 0.5);
            point(format!("stats.timers.{service}.http.latency.median"), 100.0 * wobble * times.min(1.5));
            point(format!("stats.counters.{service}.http.requests.count"), 1000.0);
            point(format!("stats.counters.{service}.http.5xx.count"), noise.poisson(times));
        }
    }
    points
}

fn deploy(id: &str, service: &str, kind: &str, started: i64) -> Deploy {
    let event = serde_json::json!({"id": id, "service": service, "kind": kind, "started_at": START + started,
        "finished_at": START + started + 40});
    serde_json::from_value::<DeployEvent>(event).unwrap().into_deploy().unwrap()
}

fn settings() -> Settings {
    let services = serde_json::from_str(r#"{"checkout": {"depends_on": ["auth"]}, "auth": {}, "feed": {}}"#).unwrap();
    Settings { services, ..Settings::default() }
}

fn told(points: &[(String, i64, f64)], deploys: &[Deploy]) -> Vec<Alert> {
    let points = points.iter().map(|(series, at, value)| Datapoint { series, timestamp_s: *at, value: *value });
    replay(settings(), deploys, points).alerts
}

/// What was told, as `kind service deploy`.
fn words(alerts: &[Alert]) -> Vec<String> {
    let word = |a: &Alert| format!("{} {} {}", a.kind, a.service, a.deploy_id.as_deref().unwrap_or("none"));
    alerts.iter().map(word).collect()
}

#[test]
fn a_step_after_a_deploy_is_told_once_within_two_minutes_and_its_end_after_the_rollback() {
    let points = shop(|service, at| if service == "checkout" && (4000..5200).contains(&at) { 15.0 } else { 1.0 });
    let deploys = [
        deploy("innocent", "feed", "deploy", 3940),
        deploy("guilty", "checkout", "deploy", 3955),
        deploy("fix", "checkout", "rollback", 5160),
    ];
    let alerts = told(&points, &deploys);
    assert_eq!(words(&alerts), ["regression checkout guilty", "recovered checkout guilty"]);
    assert!(alerts[0].sent_at - (START + 4000) as f64 <= 120.0, "{alerts:?}");
    let recovered = alerts[1].sent_at - (START + 5200) as f64;
    assert!((0.0..=600.0).contains(&recovered), "{alerts:?}");
}

#[test]
fn what_moves_everything_is_no_deploys_fault() {
    let points = shop(|_, at| if (4000..5200).contains(&at) { 12.0 } else { 1.0 });
    let alerts = told(&points, &[deploy("near", "feed", "deploy", 3900)]);
    assert!(alerts.iter().all(|alert| alert.deploy_id.is_none()), "{alerts:?}");
}

#[test]
fn quiet_series_and_a_blip_are_told_to_nobody() {
    assert_eq!(told(&shop(|_, _| 1.0), &[deploy("d", "feed", "deploy", 4000)]), []);
    let blip = shop(|service, at| if service == "feed" && (4005..4035).contains(&at) { 12.0 } else { 1.0 });
    assert_eq!(told(&blip, &[deploy("d", "feed", "deploy", 4000)]), []);
}

#[test]
fn order_of_arrival_within_a_bin_and_among_deploys_does_not_show() {
    let points = shop(|service, at| if service == "auth" && at >= 4000 { 10.0 } else { 1.0 });
    let deploys = [deploy("a", "auth", "deploy", 3955), deploy("b", "feed", "deploy", 3950)];
    let forward = told(&points, &deploys);
    let mut shuffled = points.clone();
    for bin in shuffled.chunks_mut(9) {
        bin.reverse();
    }
    let backward = told(&shuffled, &[deploys[1].clone(), deploys[0].clone()]);
    assert_eq!(words(&forward), ["regression auth a"]);
    assert_eq!(serde_json::to_string(&forward).unwrap(), serde_json::to_string(&backward).unwrap());
}

#[test]
fn what_lies_in_the_future_is_not_known() {
    let points = shop(|service, at| if service == "auth" && at >= 4000 { 10.0 } else { 1.0 });
    let deploys = [deploy("a", "auth", "deploy", 3955), deploy("b", "auth", "rollback", 4600)];
    let cut = START + 4500;
    let early: Vec<_> = points.iter().filter(|(_, at, _)| *at <= cut).cloned().collect();
    let whole: Vec<_> = told(&points, &deploys).into_iter().filter(|a| a.sent_at <= cut as f64).collect();
    assert_eq!(told(&early, &deploys[..1]), whole);
}

#[test]
fn an_incident_taken_up_after_a_restart_is_not_told_again() {
    let points = shop(|service, at| if service == "auth" && at >= 4000 { 10.0 } else { 1.0 });
    let deploys = [deploy("a", "auth", "deploy", 3955)];
    let run = |engine: &mut Engine| {
        deploys.iter().for_each(|deploy| engine.observe_deploy(deploy));
        points.iter().for_each(|(series, at, value)| engine.observe(series, *at, *value));
        engine.advance(UnixMillis::from_secs(START + 7200))
    };
    // The whole past at once: the ring holds 70 minutes, of which all are judged.
    let mut first = Engine::new(settings());
    let mut changes = Vec::new();
    for bin in 1..=720 {
        for (series, at, value) in points.iter().filter(|(_, at, _)| *at == START + 10 * bin) {
            first.observe(series, *at, *value);
        }
        first.observe_deploy(&deploys[0]);
        changes.extend(first.advance(UnixMillis::from_secs(START + 10 * bin)));
    }
    // First suspected, then certain: one incident.
    let states: Vec<_> = changes.iter().map(|incident| (incident.revision, incident.state)).collect();
    assert_eq!(states, [(1, IncidentState::Suspected), (2, IncidentState::Confirmed)]);
    assert_eq!(changes[0].id, changes[1].id);
    let mut second = Engine::new(settings());
    second.restore(changes.split_off(1));
    assert_eq!(run(&mut second), []);
}

/// An engine that was told of checkout's-like trouble in auth after deploy `a`, bin for bin up to `until`, with what it said.
fn lived(factor: impl Fn(&str, i64) -> f64, until: i64) -> (Engine, Vec<Incident>) {
    let (mut engine, mut changes) = (Engine::new(settings()), Vec::new());
    let points = shop(factor);
    for bin in 1..=until / 10 {
        for (series, at, value) in points.iter().filter(|(_, at, _)| *at == START + 10 * bin) {
            engine.observe(series, *at, *value);
        }
        engine.observe_deploy(&deploy("a", "auth", "deploy", 3955));
        changes.extend(engine.advance(UnixMillis::from_secs(START + 10 * bin)));
    }
    (engine, changes)
}

fn said(opinion: Opinion, second: i64) -> Feedback {
    Feedback { opinion, by: None, note: None, at: UnixMillis::from_secs(START + second) }
}

#[test]
fn what_was_meant_is_closed_and_told_to_nobody_again() {
    let bad = |service: &str, at: i64| if service == "auth" && at >= 4000 { 10.0 } else { 1.0 };
    let (mut engine, changes) = lived(bad, 4500);
    let confirmed = changes.iter().find(|incident| incident.state == IncidentState::Confirmed).unwrap();
    assert!(engine.watched_incidents().contains(&confirmed.id));
    let expected = confirmed.after(said(Opinion::Expected, 4500));
    assert_eq!(engine.absorb(&expected), None);
    for (series, at, value) in shop(bad).iter().filter(|(_, at, _)| *at > START + 4500) {
        engine.observe(series, *at, *value);
    }
    assert_eq!(engine.advance(UnixMillis::from_secs(START + 7200)), []);
    assert_eq!(engine.incidents().last().unwrap().state, IncidentState::Expected);
}

#[test]
fn an_end_that_was_decided_while_somebody_spoke_is_told_again_on_top() {
    let bad = |service: &str, at: i64| if service == "auth" && (4000..4300).contains(&at) { 10.0 } else { 1.0 };
    let (mut engine, changes) = lived(bad, 7200);
    let confirmed = changes.iter().find(|incident| incident.state == IncidentState::Confirmed).unwrap();
    let over = changes.last().unwrap();
    assert_eq!(over.state, IncidentState::Recovered);
    let acked = confirmed.after(said(Opinion::Ack, 5000));
    assert_eq!(acked.revision, over.revision, "both follow the same one");
    let again = engine.absorb(&acked).unwrap();
    assert_eq!((again.state, again.revision, again.feedback.len()), (IncidentState::Recovered, over.revision + 1, 1));
    assert_eq!(engine.absorb(&again), None, "known by now");
}

#[test]
fn what_nobody_mends_for_two_hours_persists() {
    let bad = |service: &str, at: i64| if service == "auth" && at >= 4000 { 10.0 } else { 1.0 };
    let (mut engine, changes) = lived(bad, 7200);
    let states: Vec<_> = changes.iter().map(|incident| incident.state).collect();
    assert_eq!(states.last(), Some(&IncidentState::Confirmed));
    let mut later = Vec::new();
    for bin in 721..=1200 {
        for (series, _, value) in shop(bad).iter().filter(|(_, at, _)| *at == START + 7200) {
            engine.observe(series, START + 10 * bin, *value);
        }
        later.extend(engine.advance(UnixMillis::from_secs(START + 10 * bin)));
    }
    assert_eq!(later.first().map(|incident| incident.state), Some(IncidentState::Persisting), "{later:?}");
    assert!(later[0].state.is_open() && later[0].revision == changes.last().unwrap().revision + 1);
}

/// Ville's inequality: an e-process under its null reaches 1/α at any time at all with probability α at most.
///
/// 2,000 quiet stretches of 200 bins, looked at after every bin, with the baseline's own error in it.
#[test]
fn peeking_at_the_ratio_e_process_errs_no_more_often_than_it_promises() {
    let mut noise = Noise(42);
    for (mean, alpha) in [(0.3, 0.05), (5.0, 0.05), (0.3, 0.01)] {
        let mut alarms = 0;
        for _ in 0..2000 {
            // The rate itself is drawn from the baseline's posterior, as the formula has it.
            let events: f64 = (0..330).map(|_| noise.poisson(mean)).sum();
            let (a, b) = (events + 0.5, 330.0);
            let rate = gamma(&mut noise, a) / b;
            let mut k = 0.0;
            let exceeded = (1..=200).any(|n| {
                k += noise.poisson(rate);
                ln_mixture(a, b, k, f64::from(n), Bad::Up) >= -f64::ln(alpha)
            });
            alarms += usize::from(exceeded);
        }
        // Three standard errors of a binomial on top.
        let bound = alpha * 2000.0 + 3.0 * (alpha * (1.0 - alpha) * 2000.0_f64).sqrt();
        assert!((alarms as f64) <= bound, "mean {mean}, alpha {alpha}: {alarms} of 2000");
    }
}

/// Marsaglia and Tsang 2000, for shapes of 1 and more.
fn gamma(noise: &mut Noise, shape: f64) -> f64 {
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let (u, v) = (noise.uniform().max(1e-300), noise.uniform());
        let x = (-2.0 * u.ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos();
        let cubed = (1.0 + c * x).powi(3);
        if cubed > 0.0 && noise.uniform().max(1e-300).ln() < 0.5 * x * x + d - d * cubed + d * cubed.ln() {
            return d * cubed;
        }
    }
}
