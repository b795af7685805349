//! How a picture departs from what it would be by itself.

use deployline_render::{AreaMode, Chart, Colors, Frame, Line, Scale, Shape, Side};

/// What is asked of a picture's looks; the default asks for nothing.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// Colours in place of the theme's.
    pub colors: Colors,
    /// What stands around the plot.
    pub frame: Frame,
    /// The value axis on the left.
    pub left: Scale,
    /// The one on the right.
    pub right: Scale,
    /// How the series share the plot.
    pub area: AreaMode,
    /// The opacity of areas.
    pub area_alpha: Option<f64>,
    /// The series' colours in turn, with their opacities; the theme's where there are none.
    pub palette: Vec<((u8, u8, u8), Option<f64>)>,
    /// Width of lines that ask for none themselves.
    pub line_width: Option<f64>,
    /// What all series against the left axis are drawn with, where there are two axes.
    pub on_left: Pen,
    /// The same for the right.
    pub on_right: Pen,
    /// How datapoints are joined, where a series does not say.
    pub shape: Option<Shape>,
    /// How many datapoints may lack before a line breaks; `None` for as usual.
    pub joins: Option<usize>,
    /// Whether gaps are drawn at zero.
    pub gaps_are_zeros: bool,
    /// How far apart datapoints are to be drawn, in pixels; closer ones are consolidated. `None` draws each.
    pub least_distance: Option<f64>,
}

/// How the series of one axis are drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pen {
    /// Their colour.
    pub color: Option<((u8, u8, u8), Option<f64>)>,
    /// Their width in pixels.
    pub width: Option<f64>,
    /// The length of their dashes in pixels.
    pub dash: Option<f64>,
}

impl Look {
    /// Dresses a chart and its lines.
    pub fn apply(&self, chart: &mut Chart) {
        chart.colors = self.colors;
        chart.frame.clone_from(&self.frame);
        let unit = chart.left.unit;
        (chart.left, chart.right) = (self.left.clone(), self.right.clone());
        // What the series measure is known of signals, which Graphite's targets are not.
        if chart.left.unit == deployline_render::Unit::default() {
            chart.left.unit = unit;
        }
        (chart.area, chart.area_alpha) = (self.area, self.area_alpha);
        let has_right = chart.lines.iter().any(|line| line.style.side == Side::Right);
        let n_colors = self.palette.len().max(1);
        let mut place = 0;
        for line in &mut chart.lines {
            let pen = if line.style.side == Side::Right { self.on_right } else { self.on_left };
            let pen = if has_right { pen } else { Pen::default() };
            if let Some((rgb, alpha)) = pen.color {
                (line.style.color, line.style.alpha) = (Some(rgb), alpha.or(line.style.alpha));
            } else if let (None, Some((rgb, alpha))) = (line.style.color, self.palette.get(place % n_colors)) {
                (line.style.color, line.style.alpha) = (Some(*rgb), line.style.alpha.or(*alpha));
                place += 1;
            }
            line.style.width = pen.width.or(line.style.width).or(self.line_width);
            line.style.dash = pen.dash.or(line.style.dash);
            self.join(line);
        }
    }

    /// How a line's datapoints are joined, and what its gaps are.
    fn join(&self, line: &mut Line) {
        if let (Some(shape), Shape::Slope) = (self.shape, line.style.shape) {
            line.style.shape = shape;
        }
        if self.gaps_are_zeros {
            line.values.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = 0.0);
        }
        if let Some(n_lacking) = self.joins {
            let kept = line.timestamps_s.iter().zip(&line.values).filter(|(_, value)| !value.is_nan());
            (line.timestamps_s, line.values) = kept.unzip();
            let n_steps = i64::try_from(n_lacking).unwrap_or(i64::MAX).saturating_add(1);
            line.reach_s = Some(line.step_s.unwrap_or(1).max(1).saturating_mul(n_steps));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Vec<Line> {
        let line = |side| {
            let mut line = Line {
                timestamps_s: vec![0, 10, 20, 30, 40, 50],
                values: vec![1.0, f64::NAN, 3.0, f64::NAN, f64::NAN, 6.0],
                step_s: Some(10),
                ..Line::default()
            };
            line.style.side = side;
            line
        };
        vec![line(Side::Left), line(Side::Right), line(Side::Left)]
    }

    fn dressed(look: &Look, lines: Vec<Line>) -> Vec<Line> {
        let mut chart = Chart { lines, ..Chart::default() };
        look.apply(&mut chart);
        chart.lines
    }

    #[test]
    fn colours_come_in_turn_and_those_of_an_axis_before_them() {
        let (red, blue) = (((9, 0, 0), None), ((0, 0, 9), Some(0.5)));
        let look = Look { palette: vec![red, blue], ..Look::default() };
        let colors = |look: &Look| {
            dressed(look, lines()).into_iter().map(|line| (line.style.color, line.style.alpha)).collect::<Vec<_>>()
        };
        let (red, blue) = ((Some((9, 0, 0)), None), (Some((0, 0, 9)), Some(0.5)));
        assert_eq!(colors(&look), [red, blue, red], "they begin again");
        let pen = Pen { color: Some(((0, 9, 0), None)), ..Pen::default() };
        assert_eq!(colors(&Look { on_right: pen, ..look }), [red, (Some((0, 9, 0)), None), blue]);
    }

    #[test]
    fn gaps_are_joined_as_far_as_asked_or_drawn_at_zero() {
        let joined = dressed(&Look { joins: Some(1), ..Look::default() }, lines());
        assert_eq!((joined[0].timestamps_s.as_slice(), joined[0].reach_s), (&[0, 20, 50][..], Some(20)));
        let zeros = dressed(&Look { gaps_are_zeros: true, ..Look::default() }, lines());
        assert_eq!(zeros[0].values, [1.0, 0.0, 3.0, 0.0, 0.0, 6.0]);
    }
}
