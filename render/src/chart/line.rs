//! Series as they are drawn: their datapoints, and how they are joined, coloured and filled.

use crate::{graphite::Series, palette::Rgb};

/// One series of a chart, in columns: `values[i]` belongs to `timestamps_s[i]`.
#[derive(Debug, Clone, Default)]
pub struct Line {
    /// What the legend calls it.
    pub label: String,
    /// Unix seconds, ascending.
    pub timestamps_s: Vec<i64>,
    /// The values; what is not finite is a gap.
    pub values: Vec<f64>,
    /// The interval between datapoints in seconds. `None`: the commonest distance.
    pub step_s: Option<i64>,
    /// How far apart two datapoints may lie without a gap between them, in seconds. `None`: one and a half steps.
    pub reach_s: Option<i64>,
    /// How it is drawn.
    pub style: LineStyle,
}

impl From<&Series> for Line {
    /// A series of a target as it is drawn: its name, its values, and what its graph functions ask for.
    fn from(series: &Series) -> Self {
        let options = &series.options;
        let color = options.color.as_deref().and_then(color);
        let style = LineStyle {
            color: color.map(|(rgb, _)| rgb),
            width: options.line_width,
            dash: options.dashed,
            alpha: options.alpha.or(color.and_then(|(_, alpha)| alpha)),
            invisible: options.invisible,
            shape: if options.infinite { Shape::Infinite } else { Shape::Slope },
            side: if options.second_axis { Side::Right } else { Side::Left },
            stacked: options.stacked,
        };
        Self {
            label: series.name.clone(),
            timestamps_s: series.timestamps_s().collect(),
            values: series.values.clone(),
            step_s: Some(series.step_s),
            reach_s: None,
            style,
        }
    }
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
    /// Whether it takes its room without being drawn: the lower edge of an area.
    pub invisible: bool,
    /// How datapoints are joined.
    pub shape: Shape,
    /// Which value axis it is drawn against.
    pub side: Side,
    /// Whether it is an area that stands on the stacked ones before it. Its values are sums already.
    pub stacked: bool,
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

/// A value axis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Side {
    /// The one that every chart has.
    #[default]
    Left,
    /// The second, which is there when a series asks for it.
    Right,
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

/// A colour by a name of Graphite's, or by six or eight hexadecimal digits, the last two of eight its opacity.
pub fn color(name: &str) -> Option<(Rgb, Option<f64>)> {
    let digits = name.trim().trim_start_matches('#');
    if matches!(digits.len(), 6 | 8) && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let channel = |at: usize| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        return Some(((channel(0)?, channel(2)?, channel(4)?), channel(6).map(|alpha| f64::from(alpha) / 255.0)));
    }
    named(name.trim()).map(|rgb| (rgb, None))
}

/// The colours that graphite-web 1.1.10 knows by name.
fn named(name: &str) -> Option<Rgb> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_is_a_name_or_digits_with_its_opacity() {
        assert_eq!(color("Red"), Some(((200, 0, 50), None)));
        assert_eq!(color("#00ff0a"), Some(((0, 255, 10), None)));
        assert_eq!(color("00ff0033"), Some(((0, 255, 0), Some(0.2))));
        assert_eq!((color("00ff0"), color("no colour"), color("ffééff")), (None, None, None));
    }
}
