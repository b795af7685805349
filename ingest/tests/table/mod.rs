//! A sink in memory for the tests with real sockets.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use deployline_ingest::sink::{Sink, SinkError};
use deployline_store::{Appended, Point, SeriesId};

/// Datapoints by series and timestamp; fails on request.
#[derive(Default)]
pub struct Table {
    pub fails: AtomicBool,
    names: Mutex<Vec<String>>,
    values: Mutex<BTreeMap<(String, i64), f64>>,
}

impl Sink for Table {
    fn intern(&self, name: &str) -> Result<SeriesId, SinkError> {
        let mut names = self.names.lock().unwrap();
        let at = names.iter().position(|known| known == name).unwrap_or(names.len());
        if at == names.len() {
            names.push(name.to_owned());
        }
        Ok(SeriesId(at as u32))
    }

    fn name(&self, series: SeriesId) -> Option<Arc<str>> {
        Some(self.names.lock().unwrap().get(series.0 as usize)?.as_str().into())
    }

    fn append(&self, points: &[Point]) -> Result<Appended, SinkError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(SinkError::Unavailable("the test says so".into()));
        }
        let (names, mut values) = (self.names.lock().unwrap(), self.values.lock().unwrap());
        for point in points {
            values.insert((names[point.series.0 as usize].clone(), point.timestamp_s), point.value);
        }
        Ok(Appended { n_appended: points.len(), n_refused: 0 })
    }
}

impl Table {
    /// All datapoints as Graphite lines, ordered by series and time.
    pub fn lines(&self) -> Vec<String> {
        self.values.lock().unwrap().iter().map(|((name, at_s), value)| format!("{name} {value} {at_s}")).collect()
    }

    /// The sum of a series over all timestamps.
    #[allow(dead_code, reason = "one of the test files has no need of it")]
    pub fn sum(&self, series: &str) -> f64 {
        self.values.lock().unwrap().iter().filter(|((name, _), _)| name == series).map(|(_, value)| value).sum()
    }
}

/// Waits until `done`, at most ten seconds.
pub async fn eventually(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not come to pass");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
