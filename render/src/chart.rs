//! What a chart shows: series, deploys, the band of an onset, and how to draw them.

mod line;
mod mark;
mod scale;

use deployline_schemas::UnixMillis;
use jiff::tz::TimeZone;

pub use line::{AreaMode, Line, LineStyle, Shape, Side, color};
pub use mark::{DeployMark, MarkVerdict};
pub use scale::{Scale, Top, Unit};

use crate::palette::{Rgb, Theme};

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
    /// Colours in place of the theme's.
    pub colors: Colors,
    /// One line above the picture; may be empty.
    pub title: String,
    /// A sentence below the title, as what changed by how much; may be empty.
    pub caption: String,
    /// The value axis on the left.
    pub left: Scale,
    /// The value axis on the right, which is there when a line stands against it.
    pub right: Scale,
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
    /// The opacity of filled areas, `0.0..=1.0`. `None`: as suits the mode.
    pub area_alpha: Option<f64>,
    /// The course that was expected, drawn dashed beneath the series.
    pub expected: Option<Line>,
    /// The same series at another time.
    pub compared: Option<Compared>,
    /// The deploys, in any order; those that never touch the window are left out.
    pub deploys: Vec<DeployMark>,
    /// The band that holds the onset with 90 % probability.
    pub onset: Option<(UnixMillis, UnixMillis)>,
    /// What stands around the plot.
    pub frame: Frame,
}

/// The series of a chart at another time, moved onto its window: drawn paler, beneath them.
#[derive(Debug, Clone, Default)]
pub struct Compared {
    /// What the legend calls them, as "a week before".
    pub label: String,
    /// `lines[i]` is `Chart::lines[i]` at that time, in the same colour. There may be fewer.
    pub lines: Vec<Line>,
}

/// Colours in place of the theme's. Nothing checks that they can be told apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Colors {
    /// The background.
    pub paper: Option<Rgb>,
    /// All words.
    pub ink: Option<Rgb>,
    /// The level lines at the ticks.
    pub grid: Option<Rgb>,
    /// The level lines between them.
    pub minor_grid: Option<Rgb>,
}

/// What stands around the plot; the default is everything, as far as it fits.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Frame {
    /// Nothing but the plot: no words, no margins, no grid.
    pub bare: bool,
    /// Pixels between the edges of the picture and what is drawn. `None`: as suits the size.
    pub margin: Option<f64>,
    /// Pixels to the em of ordinary text. `None`: as suits the size.
    pub font_size: Option<f64>,
    /// Whether all words are bold.
    pub bold: bool,
    /// Whether the series are named above the plot. `None`: when there are not too many.
    pub legend: Option<bool>,
    /// Whether the legend has each name only once.
    pub unique_names: bool,
    /// Whether series without any value are left out of the legend.
    pub hide_empty: bool,
    /// Whether the deploys are listed by number below the plot. `None`: as far as the height allows.
    pub deploy_legend: Option<bool>,
    /// No level lines.
    pub hide_grid: bool,
    /// No times.
    pub hide_times: bool,
    /// No values.
    pub hide_values: bool,
    /// The values of a chart with one value axis stand on its right.
    pub values_right: bool,
    /// How many level lines stand between two ticks.
    pub n_minor: usize,
    /// How the times are written, in strftime's signs. `None`: as suits their distance.
    pub time_format: Option<String>,
}

impl Default for Chart {
    /// An empty chart of the size that Graphite gives a picture with none asked, over the Unix epoch's first hour.
    fn default() -> Self {
        Self {
            width: 330,
            height: 250,
            theme: Theme::Light,
            colors: Colors::default(),
            title: String::new(),
            caption: String::new(),
            left: Scale::default(),
            right: Scale::default(),
            time_zone: TimeZone::UTC,
            from: UnixMillis(0),
            until: UnixMillis(3_600_000),
            lines: Vec::new(),
            area: AreaMode::None,
            area_alpha: None,
            expected: None,
            compared: None,
            deploys: Vec::new(),
            onset: None,
            frame: Frame::default(),
        }
    }
}

impl Chart {
    /// Whether a value has a place on the value axes: a logarithmic one has none for zero.
    pub(crate) fn holds(&self) -> impl Fn(f64) -> bool + use<> {
        let is_log = self.left.log_base.is_some();
        move |value| value.is_finite() && (value > 0.0 || !is_log)
    }

    /// The lines at another time that are drawn against an axis.
    pub(crate) fn twins(&self, side: Side) -> impl Iterator<Item = &Line> {
        let pairs = self.compared.iter().flat_map(|compared| self.lines.iter().zip(&compared.lines));
        pairs.filter(move |(line, _)| line.style.side == side).map(|(_, twin)| twin)
    }
}
