//! `GET /api/v1/blame` and `/blame`: which deploy broke this series?
//!
//! Where an incident is on record that moved the series around the moment, its suspects are the answer, so that blame and
//! alert never disagree. Else the correlator is asked about the time around it.

use std::time::Duration;

use deployline_correlate::{OtherSeries, Question, Settings, explain, lag};
use deployline_notify::links;
use deployline_schemas::{
    Incident, UnixMillis,
    blame::{Blame, Verdict},
    incident::{IncidentState, MovedSignal},
};
use warp::{Reply, reply::Response};

use crate::{
    app::App,
    error::WebError,
    library::{Library, blocking},
    page::{self, BlameView, Drawing},
    query::Query,
    response,
    series::Drawn,
};

/// How much of the series before and after the moment the correlator is given; it asks for this much.
const BEFORE: Duration = Duration::from_secs(2 * 3600);
const AFTER: Duration = Duration::from_secs(30 * 60);
/// Most deploys that are weighed.
const MAX_DEPLOYS: usize = 1000;
/// An onset this much later than the moment asked about still answers it: people point a little early.
const EARLY: Duration = Duration::from_secs(120);
/// Series that the page offers to pick.
const N_KNOWN: usize = 200;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    series: Option<String>,
    signal: Option<String>,
    service: Option<String>,
    at: UnixMillis,
}

impl Asked {
    /// A series at a moment.
    pub fn series(series: String, at: UnixMillis) -> Self {
        Self { series: Some(series), signal: None, service: None, at }
    }

    /// Reads `series`, or `signal` with `service`, and `at` (now, if not said).
    ///
    /// # Errors
    /// [`WebError::Refused`] that names the parameter.
    pub fn parse(query: &Query, now: UnixMillis) -> Result<Self, WebError> {
        let series = query.text("series").or_else(|| query.text("metric"));
        let (signal, service) = (query.text("signal"), query.text("service"));
        if series.is_none() && (signal.is_none() || service.is_none()) {
            return Err(WebError::parameter("series", "say which: `series`, or `signal` with `service`"));
        }
        let at = query.moment("at", now)?.unwrap_or(now);
        if at > now {
            return Err(WebError::parameter("at", "that moment is yet to come"));
        }
        Ok(Self { series, signal, service, at })
    }
}

/// `GET /api/v1/blame`
pub async fn json(app: App, query: Query) -> Result<Response, WebError> {
    let asked = Asked::parse(&query, (app.parts.clock)())?;
    let settings = app.parts.settings.clone();
    let blame = blocking(&app, move |library| ask(library, &settings, &asked)).await?;
    Ok(warp::reply::json(&blame).into_response())
}

/// `GET /blame`: the same as a page, with a form. What is wrong with the question stands on the page.
pub async fn page(app: App, query: Query) -> Result<Response, WebError> {
    let now = (app.parts.clock)();
    let series = query.text("series").or_else(|| query.text("metric"));
    let at = query.text("at");
    let is_asked = series.is_some() || query.get("signal").is_some();
    let settings = app.parts.settings.clone();
    let view = blocking(&app, move |library| {
        let mut view = BlameView {
            now,
            series: series.clone().unwrap_or_default(),
            at: at.clone().unwrap_or_default(),
            answer: None,
            problem: None,
            graph: None,
            known: known(library),
        };
        if !is_asked {
            return Ok(view);
        }
        let outcome = Asked::parse(&query, now).and_then(|asked| ask(library, &settings, &asked));
        match outcome {
            Ok(blame) => {
                view.series.clone_from(&blame.series);
                view.graph = Some(graph(&blame));
                let suspects = library.suspects(&blame.suspects, &[])?;
                view.answer = Some((blame, suspects));
            }
            Err(error @ (WebError::Refused { .. } | WebError::NotFound { .. })) => {
                view.problem = Some(format!("{error}."))
            }
            Err(error) => return Err(error),
        }
        Ok(view)
    });
    Ok(response::html(&page::blame(&view.await?)))
}

/// The series around the moment.
fn graph(blame: &Blame) -> Drawing {
    let from = blame.at.minus(Duration::from_secs(45 * 60));
    let until = blame.at.plus(Duration::from_secs(15 * 60));
    let target = links::encode(&blame.series);
    let url = format!("/graph.svg?target={target}&from={}&until={}", from.as_secs(), until.as_secs());
    Drawing { title: blame.series.clone(), url }
}

/// Series of known signals, to pick from.
fn known(library: &Library) -> Vec<String> {
    let patterns = library.signals.iter().map(|signal| signal.series_of("*"));
    let mut names: Vec<String> = Vec::new();
    for pattern in patterns {
        let room = N_KNOWN.saturating_sub(names.len());
        let matching = library.store().matching(&pattern);
        names.extend(matching.iter().take(room).map(|(_, name)| name.to_string()));
    }
    names
}

/// The settings with what the correlator has learned meanwhile.
fn learned(library: &Library, settings: &Settings) -> Result<Settings, WebError> {
    let learned = library.learned()?;
    Ok(Settings { learned: learned.unwrap_or_default(), ..settings.clone() })
}

/// Answers a question. Blocks: reads two hours of a few series and judges them.
///
/// # Errors
/// [`WebError::NotFound`] for a series that has no datapoint, or a failed read.
pub fn ask(library: &Library, settings: &Settings, asked: &Asked) -> Result<Blame, WebError> {
    let drawn = match (&asked.series, &asked.signal, &asked.service) {
        (Some(series), _, _) => library.target(series, 1).pop(),
        (None, Some(signal), Some(service)) => library.signal(signal, service).into_iter().next(),
        _ => None,
    };
    let Some(drawn) = drawn else {
        let id = asked.series.clone().or_else(|| asked.signal.clone()).unwrap_or_default();
        return Err(WebError::NotFound { what: "series", id });
    };
    let known = library.incidents_between(asked.at.minus(EARLY), asked.at.plus(EARLY))?;
    if let Some(blame) = known.iter().filter_map(|incident| answer(incident, &drawn, asked.at)).next() {
        return Ok(blame);
    }
    judge(library, &learned(library, settings)?, &drawn, asked.at)
}

/// What an incident says of a series at a moment, if it moved it then.
fn answer(incident: &Incident, drawn: &Drawn, at: UnixMillis) -> Option<Blame> {
    if incident.state == IncidentState::Wrong {
        return None;
    }
    let is_meant = |moved: &&MovedSignal| moved.series == drawn.series || moved.per.as_ref() == Some(&drawn.series);
    let moved = incident.signals.iter().find(is_meant)?;
    let began = moved.onset.earliest.minus(EARLY) <= at;
    let lasted = incident.ended_at.is_none_or(|ended_at| at <= ended_at);
    (began && lasted).then(|| Blame {
        series: drawn.series.clone(),
        service: Some(moved.service.clone()),
        at,
        verdict: Verdict::Regressed,
        onset: Some(moved.onset),
        effect: Some(moved.effect),
        suspects: incident.suspects.clone(),
        summary: headline(incident, moved),
    })
}

/// The same header as the correlator's own answers have, for the series that was asked about.
fn headline(incident: &Incident, moved: &MovedSignal) -> String {
    let culprit = incident.leading_suspect().map(explain::accused).unwrap_or_default();
    let title = format!("{} {}", moved.service, moved.signal);
    explain::headline(&title, &moved.effect, moved.onset, incident.changed_at, &culprit)
}

/// Puts the question to the correlator, with the series, its denominator, the same signal of other services, and the deploys.
fn judge(library: &Library, settings: &Settings, drawn: &Drawn, at: UnixMillis) -> Result<Blame, WebError> {
    let window = (at.minus(BEFORE), at.plus(AFTER).min(library.now));
    let points = |name: &str| -> Result<Vec<(i64, f64)>, WebError> {
        let line = library.line(&Drawn::plain(name, &[]), window)?;
        Ok(line.timestamps_s.into_iter().zip(line.values).collect())
    };
    let meant = settings.signals.iter().find_map(|signal| Some((signal, signal.service_of(&drawn.series)?)));
    let per = meant.and_then(|(signal, service)| signal.per_of(service)).filter(|per| !per.contains('*'));
    let per = per.map(|per| points(&per)).transpose()?;
    let mut others = Vec::new();
    if let Some((signal, _)) = meant {
        let matching = library.store().matching(&signal.series_of("*"));
        let matching = matching.into_iter().map(|(_, name)| name).filter(|name| **name != *drawn.series);
        for name in matching.take(deployline_correlate::blame::MOST_OTHERS) {
            let read = points(&name)?;
            others.push((name, read));
        }
    }
    // The change may have begun that long before the moment.
    let oldest = at.minus(Duration::from_secs(deployline_correlate::blame::REACH_S as u64));
    let others: Vec<OtherSeries<'_>> = others.iter().map(|(name, points)| OtherSeries { name, points }).collect();
    Ok(deployline_correlate::blame(&Question {
        settings,
        series: &drawn.series,
        points: &points(&drawn.series)?,
        per: per.as_deref(),
        others: &others,
        deploys: &library.deploys_between(oldest.minus(lag::HORIZON), window.1, MAX_DEPLOYS)?,
        at,
        now: library.now,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn parse(raw: &str) -> Result<Asked, String> {
        let now = "2026-11-23T14:30:00Z".parse().unwrap();
        Asked::parse(&Query::parse(raw).unwrap(), now).map_err(|error| error.to_string())
    }

    #[test]
    fn a_question_names_a_series_or_a_signal() {
        assert_eq!(parse("series=a.b&at=14:03").unwrap().at.to_string(), "2026-11-23T14:03:00.000Z");
        assert!(parse("signal=x&service=y").is_ok());
        assert_eq!(parse("signal=x").unwrap_err(), "say which: `series`, or `signal` with `service`");
        assert_eq!(parse("series=a&at=now%2B1h").unwrap_err(), "that moment is yet to come");
    }

    #[test]
    fn an_incident_answers_for_its_series_while_it_lasts() {
        let incident = fixtures::incident();
        let at = |clock: &str| -> UnixMillis { format!("2026-11-23T{clock}Z").parse().unwrap() };
        let answers = |series: &str, clock: &str| {
            let drawn = Drawn::plain(series, &[]);
            let incident = Incident { ended_at: Some(at("14:15:00")), ..incident.clone() };
            answer(&incident, &drawn, at(clock)).is_some()
        };
        assert!(answers("stats.counters.checkout.http.5xx.count", "14:03:00"));
        assert!(answers("stats.counters.checkout.http.requests.count", "14:01:00"), "a little early");
        assert!(!answers("stats.counters.checkout.http.5xx.count", "13:30:00"));
        assert!(!answers("stats.counters.checkout.http.5xx.count", "14:16:00"));
        assert!(!answers("stats.counters.search.http.5xx.count", "14:03:00"));
    }
}
