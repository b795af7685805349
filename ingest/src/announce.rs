//! Deploys that are announced on a metrics port, while the series are stored as ever: a counter or a Graphite line such
//! as `deploys.web.production 1`, Deployinator's `deploylong` timings, and DogStatsD's events.
//!
//! The receivers note what may be an announcement and go on; [`run`] takes the notes through the door. When more than
//! [`MAX_WAITING`] wait, further ones are dropped and counted: a metrics port cannot be asked to come again.

mod pattern;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use deployline_schemas::{Deploy, UnixMillis};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::mpsc,
    time::{Duration, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::pattern::Pattern;
pub use self::pattern::PatternError;
use crate::{
    door::Door,
    hooks::announce::{self, Announced},
    statsd::parse::Event,
};

/// Announcements that may wait for the door.
pub const MAX_WAITING: usize = 1024;
/// The first and the longest wait after a deploy could not be taken.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// What StatsD puts before a counter's name.
const STATSD_PREFIXES: [&str; 3] = ["stats.counters.", "stats_counts.", "stats."];

/// The `[announce]` section of the configuration: which datapoints are deploys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnnounceConfig {
    /// Series of which a value above 0 is a deploy. `{service}` and `{environment}` stand for a part of the name between
    /// dots, `*` for any part.
    pub series: Vec<String>,
    /// Series of which a value is a deploy's duration in seconds, written at its end.
    pub durations: Vec<String>,
    /// Whether DogStatsD's events are read; those that speak of no deploy announce none.
    pub events: bool,
}

impl Default for AnnounceConfig {
    fn default() -> Self {
        let texts = |patterns: &[&str]| patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        Self {
            series: texts(&[
                "deploys.{service}.{environment}",
                "deploys.{service}",
                "deploy.{service}.{environment}",
                "deploy.{service}",
            ]),
            durations: texts(&["deploylong.{service}.{environment}"]),
            events: true,
        }
    }
}

impl AnnounceConfig {
    /// Checks its patterns.
    ///
    /// # Errors
    /// [`PatternError`] with the pattern at fault.
    pub fn check(&self) -> Result<(), PatternError> {
        self.patterns().map(drop)
    }

    fn patterns(&self) -> Result<Vec<Pattern>, PatternError> {
        let series = self.series.iter().map(|text| Pattern::parse(text, false));
        series.chain(self.durations.iter().map(|text| Pattern::parse(text, true))).collect()
    }
}

/// Recognises announcements and passes them on. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Announcer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    patterns: Vec<Pattern>,
    /// Whether any pattern begins with that byte: one look-up rules out nearly every name.
    begins: [bool; 256],
    events: bool,
    waiting: mpsc::Sender<Deploy>,
    n_dropped: AtomicU64,
}

impl Announcer {
    /// An announcer, and what it passes on, for [`run`].
    ///
    /// # Errors
    /// As [`AnnounceConfig::check`].
    pub fn new(config: &AnnounceConfig) -> Result<(Self, mpsc::Receiver<Deploy>), PatternError> {
        let patterns = config.patterns()?;
        let mut begins = [false; 256];
        for pattern in &patterns {
            match pattern.literal().as_bytes().first() {
                Some(byte) => begins[usize::from(*byte)] = true,
                None => begins = [true; 256],
            }
        }
        let (waiting, receiver) = mpsc::channel(MAX_WAITING);
        let inner = Inner { patterns, begins, events: config.events, waiting, n_dropped: AtomicU64::new(0) };
        Ok((Self(Arc::new(inner)), receiver))
    }

    /// Whether a metric of this name may be an announcement. Costs a look-up for most names.
    #[inline]
    pub fn may_announce(&self, name: &[u8]) -> bool {
        name.first().is_some_and(|byte| self.0.begins[usize::from(*byte)])
            && self.0.patterns.iter().any(|pattern| name.starts_with(pattern.literal().as_bytes()))
    }

    /// Whether a series of this name may be an announcement, behind StatsD's prefixes too.
    pub fn may_announce_series(&self, name: &str) -> bool {
        self.may_announce(plain(name).as_bytes())
    }

    /// Takes a datapoint; what announces no deploy is left alone. StatsD repeats idle series as 0: those announce none.
    pub fn series(&self, series: &str, value: f64, at: UnixMillis) {
        if !value.is_finite() || value <= 0.0 {
            return;
        }
        let name = plain(series.split(';').next().unwrap_or_default());
        if let Some(found) = self.0.patterns.iter().find_map(|pattern| pattern.find(name)) {
            let duration = found.is_duration.then_some(value);
            let announced =
                Announced { series: name, service: found.service, environment: found.environment, duration };
            self.pass_on(announce::of_series(&announced, at));
        }
    }

    /// Whether DogStatsD's events are read.
    pub fn takes_events(&self) -> bool {
        self.0.events
    }

    /// Takes a DogStatsD event; one that speaks of no deploy is left alone.
    pub fn event(&self, event: Event<'_>, at: UnixMillis) {
        self.pass_on(announce::of_dogstatsd(event, at));
    }

    /// Announcements that were dropped because too many waited.
    pub fn n_dropped(&self) -> u64 {
        self.0.n_dropped.load(Ordering::Relaxed)
    }

    fn pass_on(&self, deploy: Option<Deploy>) {
        let Some(deploy) = deploy else { return };
        if let Err(error) = self.0.waiting.try_send(deploy) {
            self.0.n_dropped.fetch_add(1, Ordering::Relaxed);
            warn!(%error, "an announced deploy was dropped");
        }
    }
}

/// A series' name without what StatsD puts around a counter's. A gauge's is left as it is: StatsD repeats its level with
/// every flush, and a rate comes beside its count.
fn plain(series: &str) -> &str {
    let Some(name) = STATSD_PREFIXES.iter().find_map(|prefix| series.strip_prefix(prefix)) else { return series };
    if name.ends_with(".rate") || name.starts_with("gauges.") {
        return series;
    }
    name.strip_suffix(".count").unwrap_or(name)
}

/// Takes announced deploys through the door until `stop`, and then those that still wait.
pub async fn run(mut waiting: mpsc::Receiver<Deploy>, door: Door, stop: CancellationToken) {
    while let Some(Some(deploy)) = stop.run_until_cancelled(waiting.recv()).await {
        submit(&door, deploy, &stop).await;
    }
    while let Ok(deploy) = waiting.try_recv() {
        submit(&door, deploy, &stop).await;
    }
}

/// Submits one deploy, however often it must be tried; after `stop`, once.
async fn submit(door: &Door, deploy: Deploy, stop: &CancellationToken) {
    let mut pause = BACKOFF.0;
    loop {
        let (id, source) = (deploy.id.clone(), deploy.source.clone());
        match door.submit_deploys(&source, vec![deploy.clone()]).await {
            Err(error) if error.is_retryable() && !stop.is_cancelled() => {
                warn!(%error, id, "an announced deploy cannot be taken yet, trying again");
            }
            Err(error) => return tracing::error!(%error, id, "an announced deploy is lost"),
            Ok(_) => return,
        }
        // A stop while it waits makes the next try the last.
        let _ = stop.run_until_cancelled(sleep(pause)).await;
        pause = (pause * 2).min(BACKOFF.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis::from_secs(1_764_000_000);

    fn announced(config: &AnnounceConfig, series: &str, value: f64) -> Option<Deploy> {
        let (announcer, mut waiting) = Announcer::new(config).unwrap();
        announcer.series(series, value, NOW);
        let deploy = waiting.try_recv().ok();
        assert!(deploy.is_none() || announcer.may_announce_series(series), "{series} would not be looked at");
        deploy
    }

    #[track_caller]
    fn check(series: &str, value: f64, expected: Option<&str>) {
        let deploy = announced(&AnnounceConfig::default(), series, value);
        assert_eq!(deploy.map(|deploy| deploy.key()).as_deref(), expected, "{series} {value}");
    }

    #[test]
    fn the_series_that_people_draw_as_lines_announce_deploys() {
        check("deploys.web.production", 1.0, Some("web/production"));
        check("deploys.web", 1.0, Some("web/production"));
        check("deploys.web.staging;dc=eu", 1.0, Some("web/staging"));
        check("stats.counters.deploys.web.prod.count", 1.0, Some("web/production"));
        check("stats_counts.deploys.web.prod", 1.0, Some("web/production"));
        check("deploylong.web.princess", 42.0, Some("web/princess"));
        check("deploylong.web.CONFIG", 3.0, Some("web/production"));
    }

    #[test]
    fn others_announce_none() {
        check("deploys.web.production", 0.0, None);
        check("deploys.web.production", f64::NAN, None);
        check("deploys.a.b.c", 1.0, None);
        check("deploys..production", 1.0, None);
        check("stats.counters.deploys.web.rate", 0.1, None);
        check("stats.counters.deploys.web.production.rate", 0.1, None);
        check("stats.gauges.deploys.web", 1.0, None);
        check("stats.counters.web.http.requests.count", 1.0, None);
        check("", 1.0, None);
    }

    #[test]
    fn a_duration_tells_when_the_deploy_began() {
        let took = announced(&AnnounceConfig::default(), "deploylong.web.production", 42.0).unwrap();
        assert_eq!((took.finished_at.unwrap(), took.finished_at.unwrap().0 - took.started_at.0), (NOW, 42_000));
    }

    #[test]
    fn patterns_are_configured() {
        let config: AnnounceConfig = toml::from_str("series = ['releases.*.{environment}.{service}']").unwrap();
        assert_eq!(announced(&config, "releases.eu.prod.cart", 1.0).unwrap().key(), "cart/production");
        assert_eq!(announced(&config, "deploys.cart", 1.0), None);
        for (pattern, problem) in [("deploys", "{service}"), ("a.{servce}", "{servce}"), ("a.x{service}", "x{service}")]
        {
            let config = AnnounceConfig { series: vec![pattern.to_owned()], ..AnnounceConfig::default() };
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn too_many_are_dropped_and_counted() {
        let (announcer, _waiting) = Announcer::new(&AnnounceConfig::default()).unwrap();
        (0..MAX_WAITING + 2).for_each(|n| announcer.series(&format!("deploys.s{n}"), 1.0, NOW));
        assert_eq!(announcer.n_dropped(), 2);
    }
}
