//! The same series at another time.

use std::{str::FromStr, time::Duration};

use deployline_correlate::{Impact, Settings, Survey, SurveyedSeries};
use deployline_notify::figures;
use deployline_render::Line;
use deployline_schemas::{Deploy, UnixMillis, signal::SignalKind};

use crate::{error::WebError, library::Library, series::Drawn};

/// How much is shown after a deploy, and before it, where nobody says.
const AFTER: Duration = Duration::from_secs(30 * 60);
/// How much of a series around a deploy the correlator is given; it asks for this much.
const BEFORE_LOOK: Duration = Duration::from_secs(75 * 60);
const AFTER_LOOK: Duration = Duration::from_secs(12 * 60);

/// At which other time the series are shown as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// A day before.
    Yesterday,
    /// A week before.
    LastWeek,
    /// Before the deploy that the picture is about.
    Before,
}

impl FromStr for Compare {
    type Err = WebError;

    fn from_str(text: &str) -> Result<Self, WebError> {
        match text.trim() {
            "yesterday" => Ok(Self::Yesterday),
            "last_week" => Ok(Self::LastWeek),
            "before" => Ok(Self::Before),
            _ => Err(WebError::parameter("compare", format!("`{text}` is not yesterday, last_week or before"))),
        }
    }
}

/// The other time of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// What the legend calls it.
    pub label: String,
    /// Its window.
    pub window: (UnixMillis, UnixMillis),
    /// By how much it is moved to lie on the picture's, in seconds.
    pub shift_s: i64,
}

impl Compare {
    /// The other time for a picture of a window. `deploy` is the one it is about.
    pub fn other(self, (from, until): (UnixMillis, UnixMillis), deploy: Option<&Deploy>) -> Option<Other> {
        const DAY_S: i64 = 86_400;
        let back = |label: &str, shift_s: i64| Other {
            label: label.to_owned(),
            window: (UnixMillis(from.0 - shift_s * 1000), UnixMillis(until.0 - shift_s * 1000)),
            shift_s,
        };
        match self {
            Self::Yesterday => Some(back("a day before", DAY_S)),
            Self::LastWeek => Some(back("a week before", 7 * DAY_S)),
            Self::Before => {
                // The last moment before the deploy began lies on the picture's right edge: what it took is in neither.
                let end = deploy?.started_at.min(from);
                let span = figures::between(from, until);
                Some(Other {
                    label: format!("the {} before it began", figures::duration(span)),
                    ..back("", until.as_secs() - end.as_secs())
                })
            }
        }
    }
}

/// The window of a picture about a deploy where none is asked for: half an hour on both sides; only what came after it, where
/// that is laid over what came before.
pub fn around(deploy: &Deploy, compare: Option<Compare>) -> (UnixMillis, UnixMillis) {
    let at = deploy.exposed_at();
    let from = if compare == Some(Compare::Before) { at } else { at.minus(AFTER) };
    (from, at.plus(AFTER))
}

/// A line moved onto the picture's window.
pub fn moved(mut line: Line, shift_s: i64) -> Line {
    line.timestamps_s.iter_mut().for_each(|at| *at = at.saturating_add(shift_s));
    line
}

/// What a deploy did to one line, where that can be measured.
///
/// # Errors
/// A failed read.
pub fn effect(
    library: &Library,
    settings: &Settings,
    deploy: &Deploy,
    drawn: &Drawn,
) -> Result<Option<Impact>, WebError> {
    let until = library.now.min(deploy.exposed_at().plus(AFTER_LOOK));
    let window = (deploy.started_at.minus(BEFORE_LOOK), until);
    let points = |name: &str| -> Result<Vec<(i64, f64)>, WebError> {
        let line = library.line(&Drawn::plain(name, &[]), window)?;
        Ok(line.timestamps_s.into_iter().zip(line.values).collect())
    };
    let (series, per) = (points(&drawn.series)?, drawn.per.as_deref().map(points).transpose()?);
    let series = [SurveyedSeries { name: &drawn.series, points: &series, per: per.as_deref() }];
    let survey = Survey { settings, deploy, series: &series, now: until };
    Ok(deployline_correlate::impact(&survey).into_iter().next())
}

/// The effect in a sentence: before and after, the factor with its interval, and since which deploy.
pub fn caption(impact: &Impact, deploy: &Deploy) -> String {
    let kind = impact.kind.unwrap_or(SignalKind::Gauge);
    let shown = |value| figures::value(value, kind, &impact.series);
    match &impact.effect {
        Some(effect) => format!(
            "{} → {}, {} at 95 %, after {}",
            shown(effect.before),
            shown(effect.after),
            figures::factor(effect, kind, &impact.series),
            deploy.name_with_actor()
        ),
        None => format!("{}: {}", deploy.name_with_actor(), impact.summary),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn the_other_time_is_as_long_and_ends_before_the_deploy_began() {
        let deploy = &fixtures::deploys()[0];
        let window = around(deploy, Some(Compare::Before));
        assert_eq!(window.0, deploy.exposed_at());
        let other = Compare::Before.other(window, Some(deploy)).unwrap();
        assert_eq!(other.window.1, deploy.started_at);
        assert_eq!(other.window.1.0 - other.window.0.0, window.1.0 - window.0.0);
        assert_eq!(other.window.0.as_secs() + other.shift_s, window.0.as_secs());
        assert_eq!(other.label, "the 30 min before it began");
        let week = Compare::LastWeek.other(window, None).unwrap();
        assert_eq!((window.0.0 - week.window.0.0, week.shift_s), (7 * 86_400_000, 7 * 86_400));
        assert_eq!(Compare::Before.other(window, None), None);
    }
}
