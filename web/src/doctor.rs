//! `GET /api/v1/doctor`: what is watched and what cannot be, how often quiet moments would raise an alarm, and what needs
//! attention.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use deployline_correlate::{
    Settings,
    learned::Learned,
    placebo::{self, Past, Placebo},
};
use deployline_schemas::{UnixMillis, topic::Topic};
use deployline_store::catalog::{IncidentQuery, MAX_PAGE};
use serde::Serialize;
use warp::{Reply, reply::Response};

use crate::{
    app::App,
    error::WebError,
    exposition::Exposition,
    health,
    library::{Library, blocking, in_turn},
    query::Query,
    watched::{self, Read, Watched},
};

/// How far back pretend deploys are laid.
const HISTORY: Duration = Duration::from_secs(6 * 3600);
/// Most series that they are judged on, and that are looked at one by one.
const MAX_SERIES: usize = 400;
/// Most series that are named in one list.
const MAX_NAMED: usize = 50;
/// How long the pretend deploys may take to judge: no pass begins after that.
const BUDGET: Duration = Duration::from_secs(15);
/// Pretend deploys if not said, and at most.
const PLACEBOS: (usize, usize) = (200, 5000);
/// How much past a signal is judged on, and how much of it has to be there.
const WINDOW: Duration = Duration::from_secs(70 * 60);
const LEAST_SHARE: f64 = 0.5;
/// A series without a datapoint for so long has fallen silent.
const SILENT: Duration = Duration::from_secs(600);
/// How far a sender's clock may be ahead.
const SKEW: Duration = Duration::from_secs(60);
/// How long the bus may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(3);
/// Counters that say that something was lost or refused.
const LOSSES: [&str; 8] = ["drops", "refused", "bad_lines", "damaged", "corrupt", "spooled", "unavailable", "failures"];

/// A series that cannot be judged, and why.
#[derive(Debug, Clone, Serialize)]
struct Unjudged {
    service: String,
    signal: String,
    series: String,
    why: String,
}

/// What is and is not watched.
#[derive(Debug, Clone, Default, Serialize)]
struct Signals {
    /// Series that the signals speak of.
    n_series: usize,
    /// Those that can be judged now, of the ones looked at.
    n_judged: usize,
    /// Those looked at.
    n_looked_at: usize,
    /// Those that cannot; the first fifty.
    unjudged: Vec<Unjudged>,
}

#[derive(Debug, Clone, Serialize)]
struct Answer {
    /// Whether nothing needs attention.
    ok: bool,
    /// What does, each in a sentence.
    problems: Vec<String>,
    placebo: Option<Placebo>,
    /// What the shop's own verdicts have taught the correlator.
    learned: Option<Learned>,
    signals: Signals,
    /// New names refused for `store.max_series` since the start, and the last of them.
    n_refused_series: u64,
    refused_series: Vec<String>,
    bus: Bus,
    store: deployline_store::Stats,
    /// How far the newest deploy or datapoint lies in the future, in seconds: a sender's clock is that much ahead.
    clock_ahead_s: i64,
    /// Counters of losses that are not 0, since the start.
    losses: Vec<String>,
}

#[derive(Debug, Clone, Default, Serialize)]
struct Bus {
    ok: bool,
    /// Records that the catalog and the notifier have yet to take in.
    lag: u64,
    /// Records in quarantine.
    n_quarantined: u64,
}

/// `GET /api/v1/doctor?placebos=200&seed=7`
///
/// # Errors
/// A wrong parameter; 503 when too many are asked for at once.
pub async fn json(app: App, query: Query) -> Result<Response, WebError> {
    let placebos = query.count("placebos", PLACEBOS.0, (0, PLACEBOS.1))?;
    let seed = query.count("seed", 7, (0, usize::MAX))? as u64;
    let turn = in_turn(&app.drawings, "too_many_queries", "too many questions at once").await?;
    let settings = app.parts.settings.clone();
    let bus = bus(&app).await;
    let losses = losses(&app);
    let catalog = app.parts.catalog.clone();
    let (stats, refused_series) = (app.parts.store.stats(), app.parts.store.refused_names());
    let answer = blocking(&app, move |library| {
        let _turn = turn;
        let mut all = watched::watched(library, None);
        let n_series = all.len();
        all.truncate(MAX_SERIES);
        let read = watched::read(library, &all, (library.now.minus(HISTORY), library.now.plus(SKEW * 60)))?;
        let signals = Signals { n_series, ..look(&read, library.now) };
        let query =
            IncidentQuery { from: Some(library.now.minus(HISTORY)), limit: MAX_PAGE, ..IncidentQuery::default() };
        let incidents = catalog.incidents(&query).map_err(|error| WebError::store("read the catalog", error))?.items;
        let placebo = (placebos > 0)
            .then(|| judge_placebos(library, &settings, &read, &incidents, (placebos, seed)))
            .transpose()?;
        let clock_ahead_s = ahead(library, &read)?;
        let learned = library.learned()?;
        Ok(Answer {
            ok: true,
            problems: Vec::new(),
            placebo,
            learned,
            signals,
            n_refused_series: stats.n_refused_series,
            refused_series,
            bus,
            store: stats,
            clock_ahead_s,
            losses,
        })
    });
    let mut answer = answer.await?;
    answer.problems = problems(&answer);
    answer.ok = answer.problems.is_empty();
    Ok(warp::reply::json(&answer).into_response())
}

fn judge_placebos(
    library: &Library,
    settings: &Settings,
    read: &[Read],
    incidents: &[deployline_schemas::Incident],
    (n, seed): (usize, u64),
) -> Result<Placebo, WebError> {
    let mut points: Vec<(i64, Arc<str>, f64)> = Vec::new();
    let mut services: Vec<String> = read.iter().map(|read| read.watched.service.clone()).collect();
    services.sort();
    services.dedup();
    let mut add = |name: &str, values: &[(i64, f64)]| {
        let name: Arc<str> = name.into();
        points.extend(values.iter().map(|(at, value)| (*at, Arc::clone(&name), *value)));
    };
    for read in read {
        add(&read.watched.series, &read.points);
        if let (Some(name), Some(per)) = (&read.watched.per, &read.per) {
            add(name, per);
        }
    }
    points.retain(|(at, ..)| *at <= library.now.as_secs());
    points.sort_by_key(|(at, ..)| *at);
    let deploys = library.deploys_between(library.now.minus(HISTORY * 2), library.now, MAX_PAGE)?;
    let began = Instant::now();
    let past = Past { settings, deploys: &deploys, incidents, services: &services, points: &points };
    Ok(placebo::placebo(&past, n, seed, || began.elapsed() < BUDGET))
}

/// Which series can be judged now.
fn look(read: &[Read], now: UnixMillis) -> Signals {
    let mut signals = Signals { n_looked_at: read.len(), ..Signals::default() };
    for read in read {
        match why_not(read, now) {
            None => signals.n_judged += 1,
            Some(_) if signals.unjudged.len() >= MAX_NAMED => {}
            Some(why) => {
                let Watched { service, signal, series, .. } = read.watched.clone();
                signals.unjudged.push(Unjudged { service, signal, series, why });
            }
        }
    }
    signals
}

/// Why a series cannot be judged; `None` where it can.
fn why_not(read: &Read, now: UnixMillis) -> Option<String> {
    // The denominator shows that the sender lives: an absent counter beside it is zero events.
    let points = read.per.as_ref().filter(|per| !per.is_empty()).unwrap_or(&read.points);
    let now_s = now.as_secs();
    let Some((last, _)) = points.iter().rev().find(|(at, _)| *at <= now_s) else {
        return Some("no datapoints".to_owned());
    };
    if now_s - last > SILENT.as_secs() as i64 {
        return Some(format!("silent for {} min", (now_s - last) / 60));
    }
    let from = now_s - WINDOW.as_secs() as i64;
    let recent: Vec<&(i64, f64)> = points.iter().filter(|(at, _)| (from..=now_s).contains(at)).collect();
    let mut steps: Vec<i64> = recent.windows(2).map(|pair| pair[1].0 - pair[0].0).filter(|step| *step > 0).collect();
    steps.sort_unstable();
    let step = steps.get(steps.len() / 2).copied().unwrap_or(10).max(1);
    let share = recent.len() as f64 * step as f64 / WINDOW.as_secs() as f64;
    let history = recent.first().map_or(0, |(at, _)| now_s - at);
    if share < LEAST_SHARE {
        return Some(match history < WINDOW.as_secs() as i64 / 2 {
            true => format!("too little history: {} of {} min", history / 60, WINDOW.as_secs() / 120),
            false => format!("gaps: {:.0} % of the last 70 min are there", 100.0 * share),
        });
    }
    let is_idle = read.per.is_some() && recent.iter().all(|(_, value)| *value <= 0.0);
    is_idle.then(|| "no traffic".to_owned())
}

/// How far the newest deploy or datapoint lies in the future.
fn ahead(library: &Library, read: &[Read]) -> Result<i64, WebError> {
    let now = library.now;
    let points = read.iter().filter_map(|read| read.points.last()).map(|(at, _)| *at - now.as_secs());
    let deploys = library.deploys_between(now, now.plus(SKEW * 1440), 10)?;
    let deploys = deploys.iter().map(|deploy| deploy.started_at.as_secs() - now.as_secs());
    Ok(points.chain(deploys).max().unwrap_or(0).max(0))
}

async fn bus(app: &App) -> Bus {
    let asked = async {
        app.parts.bus.health().await?;
        let mut lag = 0u64;
        for (group, topic) in health::GROUPS {
            lag = lag.saturating_add(app.parts.bus.lag(group, topic).await?);
        }
        let quarantine = app.parts.bus.bounds(Topic::Quarantine).await?;
        let n_quarantined = quarantine.iter().map(|bounds| (bounds.next - bounds.first).max(0) as u64).sum();
        Ok::<_, deployline_bus::BusError>(Bus { ok: true, lag, n_quarantined })
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(bus)) => bus,
        Ok(Err(_)) | Err(_) => Bus::default(),
    }
}

/// The counters of all parts that speak of a loss and are not 0.
fn losses(app: &App) -> Vec<String> {
    let mut exposition = Exposition::default();
    app.parts.collectors.iter().for_each(|collect| collect(&mut exposition));
    let is_loss = |line: &&str| {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        LOSSES.iter().any(|word| name.contains(word)) && !line.ends_with(" 0")
    };
    exposition.finish().lines().filter(|line| !line.starts_with('#')).filter(is_loss).map(str::to_owned).collect()
}

/// What needs attention.
fn problems(answer: &Answer) -> Vec<String> {
    let mut problems = Vec::new();
    let mut say = |is_so: bool, what: String| {
        if is_so {
            problems.push(what);
        }
    };
    say(!answer.bus.ok, "the bus does not answer".to_owned());
    say(answer.bus.lag > 1000, format!("{} records wait on the bus", answer.bus.lag));
    say(
        answer.n_refused_series > 0,
        format!("{} new series were refused: raise store.max_series", answer.n_refused_series),
    );
    say(answer.clock_ahead_s > SKEW.as_secs() as i64, format!("a sender's clock is {} s ahead", answer.clock_ahead_s));
    say(answer.store.n_corrupt > 0, format!("{} damaged files were set aside", answer.store.n_corrupt));
    say(answer.signals.n_series == 0, "no signal has a series: nothing can be judged".to_owned());
    let signals = &answer.signals;
    say(
        signals.n_looked_at > 0 && signals.n_judged == 0,
        "none of the watched series can be judged at the moment".to_owned(),
    );
    if let Some(placebo) = &answer.placebo {
        let is_high = placebo.n_alarms > 1 && placebo.n_alarms * 100 > placebo.n_deploys;
        say(is_high, format!("{} of {} quiet moments would raise an alarm", placebo.n_alarms, placebo.n_deploys));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(points: &[(i64, f64)], per: Option<&[(i64, f64)]>, expected: Option<&str>) {
        let watched =
            Watched { service: "a".into(), signal: "e".into(), series: "a.e".into(), per: per.map(|_| "a.r".into()) };
        let read = Read { watched, points: points.to_vec(), per: per.map(<[_]>::to_vec) };
        assert_eq!(why_not(&read, UnixMillis::from_secs(10_000)).as_deref(), expected);
    }

    #[test]
    fn what_cannot_be_judged_says_why() {
        let every = |step: i64, from: i64, value: f64| -> Vec<(i64, f64)> {
            (from..=10_000).step_by(step as usize).map(|at| (at, value)).collect()
        };
        check(&every(10, 5000, 1.0), None, None);
        check(&[], None, Some("no datapoints"));
        check(&every(10, 5000, 1.0)[..300], None, Some("silent for 33 min"));
        check(&every(10, 9700, 1.0), None, Some("too little history: 5 of 35 min"));
        check(&[], Some(&every(10, 5000, 9.0)), None);
        check(&[], Some(&every(10, 5000, 0.0)), Some("no traffic"));
        let gaps: Vec<_> = every(10, 5000, 1.0).into_iter().filter(|(at, _)| at % 600 < 150).collect();
        check(&gaps, None, Some("gaps: 25 % of the last 70 min are there"));
    }
}
