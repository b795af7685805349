//! What incidents say about what is drawn: verdicts, the onset, and the course that was expected.

use std::time::Duration;

use deployline_render::{Line, MarkVerdict};
use deployline_schemas::{
    Deploy, Incident, UnixMillis,
    incident::{IncidentState, MovedSignal},
};

use crate::series::Drawn;

/// A deploy's part in the incidents of the window: its gravest.
pub fn verdict(deploy: &Deploy, incidents: &[Incident]) -> MarkVerdict {
    let mut gravest = MarkVerdict::Unknown;
    for incident in incidents {
        let Some(leading) = incident.leading_suspect() else { continue };
        if leading.deploy_id.as_deref() != Some(deploy.id.as_str()) {
            continue;
        }
        match incident.state {
            IncidentState::Confirmed | IncidentState::Persisting | IncidentState::Recovered => {
                return MarkVerdict::Guilty(leading.probability);
            }
            IncidentState::Suspected => gravest = MarkVerdict::Suspect(leading.probability),
            IncidentState::Expected | IncidentState::Wrong => {}
        }
    }
    gravest
}

/// Whether an incident has to do with what is drawn. Of a picture without series it is not known, so it has.
pub fn concerns(incident: &Incident, drawn: &[Drawn]) -> bool {
    let is_hit = |drawn: &Drawn| {
        let by = |moved: &MovedSignal| {
            moved.series == drawn.series || drawn.service.as_deref() == Some(moved.service.as_str())
        };
        incident.signals.iter().any(by)
    };
    drawn.is_empty() || drawn.iter().any(is_hit)
}

/// The first signal shown that an incident moved, with the incident. What people have closed as meant or wrong is not told.
pub fn moved<'i>(drawn: &[Drawn], incidents: &'i [Incident]) -> Option<(&'i Incident, &'i MovedSignal)> {
    let is_told = |incident: &&Incident| !matches!(incident.state, IncidentState::Wrong | IncidentState::Expected);
    let is_shown = |moved: &MovedSignal| drawn.iter().any(|drawn| drawn.series == moved.series);
    let signals =
        incidents.iter().filter(is_told).flat_map(|incident| incident.signals.iter().map(move |m| (incident, m)));
    signals.into_iter().find(|(_, moved)| is_shown(moved))
}

/// How far back the level reaches that the correlator compares with: its half hour.
const BASELINE: Duration = Duration::from_secs(30 * 60);

/// The course that was expected of a moved signal within a window: the level before the onset, from the half hour that set it
/// until the end of the incident. Nothing where several lines are shown, or where the values drawn are in another unit than the
/// effect's.
pub fn expected(
    drawn: &[Drawn],
    (incident, moved): (&Incident, &MovedSignal),
    (from, until): (UnixMillis, UnixMillis),
) -> Option<Line> {
    let [only] = drawn else { return None };
    // An effect on a quotient is a quotient; its numerator alone is drawn in counts.
    if moved.per.is_some() != only.per.is_some() {
        return None;
    }
    let start = from.max(moved.onset.earliest.minus(BASELINE));
    let end = until.min(incident.ended_at.unwrap_or(until));
    (start < end).then(|| level("expected", moved.effect.before, start, end))
}

/// A level line.
pub fn level(label: &str, value: f64, from: UnixMillis, until: UnixMillis) -> Line {
    let ends = [from.as_secs(), until.as_secs()];
    Line {
        label: label.to_owned(),
        timestamps_s: ends.to_vec(),
        values: vec![value; 2],
        reach_s: Some(ends[1].saturating_sub(ends[0])),
        ..Line::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn a_verdict_is_told_where_it_can_be_seen() {
        let incident = fixtures::incident();
        let moved = &incident.signals[0];
        let of = |series: &str, service: Option<&str>| {
            [Drawn { service: service.map(str::to_owned), ..Drawn::plain(series, &[]) }]
        };
        assert!(concerns(&incident, &of(&moved.series, None)));
        assert!(concerns(&incident, &of("x", Some(&moved.service))));
        assert!(!concerns(&incident, &of("x", Some("elsewhere"))));
        assert!(concerns(&incident, &[]));
    }

    #[test]
    fn only_the_leading_suspect_is_marked_guilty() {
        let [guilty, innocent]: [Deploy; 2] = fixtures::deploys().try_into().unwrap();
        let incidents = [fixtures::incident()];
        assert_eq!(verdict(&guilty, &incidents), MarkVerdict::Guilty(0.93));
        assert_eq!(verdict(&innocent, &incidents), MarkVerdict::Unknown);
    }

    #[test]
    fn the_expected_course_is_the_level_before_for_the_time_that_it_was_compared() {
        let mut incident = fixtures::incident();
        let signal = incident.signals[0].clone();
        let window = ("2026-11-23T14:00:00Z".parse().unwrap(), "2026-11-23T15:00:00Z".parse().unwrap());
        let ratio = Drawn { per: signal.per.clone(), ..Drawn::plain(&signal.series, &[]) };
        let of = |drawn: &[Drawn], incident: &Incident, window| {
            let found = moved(drawn, std::slice::from_ref(incident))?;
            expected(drawn, found, window).map(|line| (line.timestamps_s, line.values))
        };
        let shown = [ratio.clone()];
        assert_eq!(of(&shown, &incident, window), Some((vec![window.0.as_secs(), window.1.as_secs()], vec![0.002; 2])));
        let wide = (window.0.minus(Duration::from_secs(86_400)), window.1);
        let start: UnixMillis = "2026-11-23T13:32:00Z".parse().unwrap();
        assert_eq!(of(&shown, &incident, wide).unwrap().0[0], start.as_secs());
        incident.ended_at = Some("2026-11-23T14:20:00Z".parse().unwrap());
        assert_eq!(of(&shown, &incident, window).unwrap().0[1], incident.ended_at.unwrap().as_secs());
        // The numerator alone is in another unit, and of two lines one level would say nothing.
        assert_eq!(of(&[Drawn::plain(&signal.series, &[])], &incident, window), None);
        assert_eq!(of(&[ratio.clone(), ratio], &incident, window), None);
        incident.state = IncidentState::Wrong;
        assert!(moved(&shown, &[incident]).is_none());
    }
}
