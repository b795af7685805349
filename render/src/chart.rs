//! What a chart shows: series, deploys, the band of an onset, and how to draw them.

use deployline_schemas::{Deploy, UnixMillis, deploy::Kind};
use jiff::tz::TimeZone;

use crate::{
    graphite::Series,
    palette::{Rgb, Theme},
};

/// Smallest and largest width or height of a picture, in pixels. What lies outside is drawn at the nearest.
pub const SIZE_LIMITS: (u32, u32) = (80, 4096);

/// A chart: everything that its picture depends on. The same chart gives the same bytes.
#[derive(Debug, Clone)]
pub struct Chart {
    /// Pixels across, within [`SIZE_LIMITS`].
    pub width: u32,
    /// Pixels down, within [`SIZE_LIMITS`].
    pub height: u32,
    /// Light or dark.
    pub theme: Theme,
    /// One line above the picture; may be empty.
    pub title: String,
    /// Small words above the value axis, as "errors per request"; may be empty.
    pub value_title: String,
    /// What the values measure.
    pub unit: Unit,
    /// The lower end of the value axis, where it must be this one.
    pub value_min: Option<f64>,
    /// The upper end of the value axis, where it must be this one.
    pub value_max: Option<f64>,
    /// The zone of the time axis.
    pub time_zone: TimeZone,
    /// Start of the window, the left edge.
    pub from: UnixMillis,
    /// End of the window, the right edge.
    pub until: UnixMillis,
    /// The series.
    pub lines: Vec<Line>,
    /// How the series share the plot.
    pub area: AreaMode,
    /// The course that was expected, drawn dashed beneath the series.
    pub expected: Option<Line>,
    /// The deploys, in any order; those that never touch the window are left out.
    pub deploys: Vec<DeployMark>,
    /// The band that holds the onset with 90 % probability.
    pub onset: Option<(UnixMillis, UnixMillis)>,
    /// Whether the series are named above the plot. `None`: when there are not too many.
    pub legend: Option<bool>,
    /// Whether the deploys are listed by number below the plot. `None`: as far as the height allows.
    pub deploy_legend: Option<bool>,
}

impl Default for Chart {
    /// An empty chart of the size that Graphite gives a picture with none asked, over the Unix epoch's first hour.
    fn default() -> Self {
        Self {
            width: 330,
            height: 250,
            theme: Theme::Light,
            title: String::new(),
            value_title: String::new(),
            unit: Unit::Plain,
            value_min: None,
            value_max: None,
            time_zone: TimeZone::UTC,
            from: UnixMillis(0),
            until: UnixMillis(3_600_000),
            lines: Vec::new(),
            area: AreaMode::None,
            expected: None,
            deploys: Vec::new(),
            onset: None,
            legend: None,
            deploy_legend: None,
        }
    }
}

/// One series of a chart, in columns: `values[i]` belongs to `timestamps_s[i]`.
#[derive(Debug, Clone, Default)]
pub struct Line {
    /// What the legend calls it.
    pub label: String,
    /// Unix seconds, ascending.
    pub timestamps_s: Vec<i64>,
    /// The values; what is not finite is a gap.
    pub values: Vec<f64>,
    /// The interval between datapoints in seconds. Two that lie further apart than one and a half of it have a gap
    /// between them. `None`: the commonest distance.
    pub step_s: Option<i64>,
    /// How it is drawn.
    pub style: LineStyle,
}

impl From<&Series> for Line {
    /// A series of a target as it is drawn: its name, its values, and what its graph functions ask for.
    fn from(series: &Series) -> Self {
        let options = &series.options;
        let style = LineStyle {
            color: options.color.as_deref().and_then(named_color),
            width: options.line_width,
            dash: options.dashed,
            alpha: if options.invisible { Some(0.0) } else { options.alpha },
            shape: if options.infinite { Shape::Infinite } else { Shape::Slope },
        };
        Self {
            label: series.name.clone(),
            timestamps_s: series.timestamps_s().collect(),
            values: series.values.clone(),
            step_s: Some(series.step_s),
            style,
        }
    }
}

/// A colour by a name of Graphite's, or by six or eight hexadecimal digits; the opacity of the latter is left out.
pub fn named_color(name: &str) -> Option<Rgb> {
    let digits = name.trim_start_matches('#');
    if matches!(digits.len(), 6 | 8) && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let channel = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).ok();
        return Some((channel(0)?, channel(2)?, channel(4)?));
    }
    Some(match name.to_ascii_lowercase().as_str() {
        "black" => (0, 0, 0),
        "white" => (255, 255, 255),
        "blue" => (100, 100, 255),
        "green" => (0, 200, 0),
        "red" => (200, 0, 50),
        "yellow" => (255, 255, 0),
        "orange" => (255, 165, 0),
        "purple" => (200, 100, 255),
        "brown" => (150, 100, 50),
        "aqua" => (0, 150, 150),
        "gray" | "grey" => (175, 175, 175),
        "magenta" => (255, 0, 255),
        "pink" => (255, 100, 100),
        "gold" => (200, 200, 0),
        "rose" => (200, 150, 200),
        "darkblue" => (0, 0, 255),
        "darkgreen" => (0, 255, 0),
        "darkred" => (255, 0, 0),
        "darkgray" | "darkgrey" => (111, 111, 111),
        "cyan" => (0, 255, 255),
        _ => return None,
    })
}

/// How one series is drawn; the default leaves everything to the theme.
#[derive(Debug, Clone, Default)]
pub struct LineStyle {
    /// Its colour.
    pub color: Option<Rgb>,
    /// Its width in pixels of an 800 × 400 picture.
    pub width: Option<f64>,
    /// The length of its dashes in pixels.
    pub dash: Option<f64>,
    /// Its opacity, `0.0..=1.0`.
    pub alpha: Option<f64>,
    /// How datapoints are joined.
    pub shape: Shape,
}

/// How the datapoints of a series are joined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Shape {
    /// By straight lines.
    #[default]
    Slope,
    /// By steps: a value holds until the next.
    Staircase,
    /// Not at all: each datapoint other than 0 is a line from bottom to top.
    Infinite,
}

/// How the series share the plot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AreaMode {
    /// Lines only.
    #[default]
    None,
    /// The first is filled down to zero.
    First,
    /// Each is filled down to zero.
    All,
    /// Each stands on the sum of those before it.
    Stacked,
}

/// What the values of a chart measure: decides the words at the ticks and whether the axis starts at zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unit {
    /// Bare numbers, with k, M and so on.
    #[default]
    Plain,
    /// How many; starts at zero.
    Count,
    /// A share between 0 and 1, shown in percent; starts at zero.
    Ratio,
    /// Already in percent; starts at zero.
    Percent,
    /// So many per second; starts at zero.
    PerSecond,
    /// A duration in milliseconds; starts at zero.
    Milliseconds,
    /// A duration in seconds; starts at zero.
    Seconds,
    /// Bytes, in powers of 1024; starts at zero.
    Bytes,
}

/// What is known about a deploy's part in a change.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum MarkVerdict {
    /// Nobody asked, or it cannot be told yet.
    #[default]
    Unknown,
    /// Looked at, and not the cause.
    Cleared,
    /// May be the cause, with this probability.
    Suspect(f64),
    /// Held to be the cause, with this probability.
    Guilty(f64),
}

impl MarkVerdict {
    /// The word on the picture, with the probability in percent; nothing for [`MarkVerdict::Unknown`].
    pub fn words(self) -> String {
        match self {
            Self::Unknown => String::new(),
            Self::Cleared => "cleared".to_owned(),
            Self::Suspect(probability) => format!("suspect {}", percent(probability)),
            Self::Guilty(probability) => format!("guilty {}", percent(probability)),
        }
    }

    /// How much it matters: a merged line shows its gravest member.
    pub(crate) fn gravity(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Cleared => 1,
            Self::Suspect(_) => 2,
            Self::Guilty(_) => 3,
        }
    }
}

/// A probability in whole percent. 100 % is certainty, which no statistic gives, so the words stop short of it.
fn percent(probability: f64) -> String {
    match probability.clamp(0.0, 1.0) * 100.0 {
        p if p > 99.0 && p < 100.0 => ">99 %".to_owned(),
        p if p > 0.0 && p < 1.0 => "<1 %".to_owned(),
        p => format!("{p:.0} %"),
    }
}

/// A deploy on the chart: a line at one moment, and a region where it took time.
#[derive(Debug, Clone)]
pub struct DeployMark {
    /// Names the deploy.
    pub id: String,
    /// What was deployed.
    pub service: String,
    /// The revision that went out.
    pub version: Option<String>,
    /// Who shipped it.
    pub actor: Option<String>,
    /// What was changed; decides letter and dashes.
    pub kind: Kind,
    /// Where the line stands: when its effect could first be seen.
    pub at: UnixMillis,
    /// When it began.
    pub started_at: UnixMillis,
    /// When it ended; `None` while it is under way, which draws the region to the window's end.
    pub ended_at: Option<UnixMillis>,
    /// Its part in the change.
    pub verdict: MarkVerdict,
    /// One line for people.
    pub title: Option<String>,
}

impl DeployMark {
    /// The mark of a deploy, with nothing known about its part in anything.
    pub fn new(deploy: &Deploy) -> Self {
        let ended_at = deploy.finished_at.or(deploy.live_at);
        Self {
            id: deploy.id.clone(),
            service: deploy.service.clone(),
            version: deploy.version.clone(),
            actor: deploy.actor.clone(),
            kind: deploy.kind,
            at: deploy.exposed_at(),
            started_at: deploy.started_at,
            ended_at: ended_at.or_else(|| deploy.status.is_final().then_some(deploy.started_at)),
            verdict: MarkVerdict::Unknown,
            title: deploy.title.clone(),
        }
    }

    /// The same mark with a verdict.
    pub fn with_verdict(self, verdict: MarkVerdict) -> Self {
        Self { verdict, ..self }
    }

    /// The letter that stands for its kind, so that colour and dashes are not the only signs.
    pub fn letter(&self) -> char {
        match self.kind {
            Kind::Deploy => 'D',
            Kind::Rollback => 'R',
            Kind::Config => 'C',
            Kind::Flag => 'F',
            Kind::Migration => 'M',
            Kind::Infra => 'I',
        }
    }

    /// Service and version, as people say it.
    pub fn name(&self) -> String {
        match self.version.as_deref() {
            Some(version) => format!("{} {}", self.service, short(version)),
            None => self.service.clone(),
        }
    }
}

/// A revision short enough for a label: Git hashes lose their tail.
fn short(version: &str) -> &str {
    let is_hash = version.len() >= 20 && version.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash { &version[..9] } else { version }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probability_never_claims_certainty_it_has_not() {
        assert_eq!(MarkVerdict::Guilty(0.93).words(), "guilty 93 %");
        assert_eq!(MarkVerdict::Guilty(0.999).words(), "guilty >99 %");
        assert_eq!(MarkVerdict::Suspect(0.004).words(), "suspect <1 %");
    }

    #[test]
    fn a_hash_is_shortened_and_a_version_is_not() {
        assert_eq!(short("9bc1f2e0d3a45b6c7d8e9f00112233445566aabb"), "9bc1f2e0d");
        assert_eq!(short("2026.11.23-release-1"), "2026.11.23-release-1");
    }
}
