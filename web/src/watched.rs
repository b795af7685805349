//! The series that the signals speak of: what can be judged at all.

use std::collections::BTreeSet;

use deployline_correlate::SurveyedSeries;
use deployline_schemas::{UnixMillis, signal::Signal};

use crate::{error::WebError, library::Library, series::Drawn};

/// A series that a signal speaks of, with its denominator.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Watched {
    /// Whose it is.
    pub service: String,
    /// The signal's name.
    pub signal: String,
    /// The series. It need not exist where its denominator does: StatsD sends no counter that was not touched.
    pub series: String,
    /// Its denominator.
    pub per: Option<String>,
}

/// A watched series with its datapoints.
pub struct Read {
    /// Which one.
    pub watched: Watched,
    /// Unix seconds and values.
    pub points: Vec<(i64, f64)>,
    /// The denominator's.
    pub per: Option<Vec<(i64, f64)>>,
}

impl Read {
    /// As the correlator takes it.
    pub fn surveyed(&self) -> SurveyedSeries<'_> {
        SurveyedSeries { name: &self.watched.series, points: &self.points, per: self.per.as_deref() }
    }
}

/// Every series that the signals speak of, each once, by service, signal and name. `service` narrows them to one's.
pub fn watched(library: &Library, service: Option<&str>) -> Vec<Watched> {
    let mut seen = BTreeSet::new();
    let mut all: Vec<Watched> = Vec::new();
    for signal in &library.signals {
        for (service, series) in series_of(library, signal, service.unwrap_or("*")) {
            if seen.insert(series.clone()) {
                let per = signal.per_of(&service).filter(|per| !per.contains('*'));
                all.push(Watched { service, signal: signal.name.clone(), series, per });
            }
        }
    }
    all.sort();
    all
}

/// The series of one signal with their services, those included of which only the denominator has come.
fn series_of(library: &Library, signal: &Signal, service: &str) -> Vec<(String, String)> {
    let store = library.store();
    let owner = |signal: &Signal, name: &str| signal.service_of(name).map(str::to_owned);
    let named = store.matching(&signal.series_of(service));
    let mut found: Vec<(String, String)> =
        named.iter().filter_map(|(_, name)| Some((owner(signal, name)?, name.to_string()))).collect();
    if let Some(per) = signal.per.as_ref().filter(|_| !signal.series.contains('*')) {
        let denominator = Signal { series: per.clone(), ..signal.clone() };
        let named = store.matching(&denominator.series_of(service));
        let services = named.iter().filter_map(|(_, name)| owner(&denominator, name));
        found.extend(services.map(|service| {
            let series = signal.series_of(&service);
            (service, series)
        }));
    }
    found
}

/// Reads watched series within a window.
///
/// # Errors
/// A failed read.
pub fn read(library: &Library, all: &[Watched], window: (UnixMillis, UnixMillis)) -> Result<Vec<Read>, WebError> {
    let points = |name: &str| -> Result<Vec<(i64, f64)>, WebError> {
        let line = library.line(&Drawn::plain(name, &[]), window)?;
        Ok(line.timestamps_s.into_iter().zip(line.values).collect())
    };
    let read = |watched: &Watched| {
        let per = watched.per.as_deref().map(points).transpose()?;
        Ok(Read { watched: watched.clone(), points: points(&watched.series)?, per })
    };
    all.iter().map(read).collect()
}
