//! The series themselves: lines, steps, areas, and dots where a datapoint stands alone.

use std::ops::Range;

use plotters_backend::{BackendCoord, text_anchor::HPos};

use super::Painter;
use crate::{
    canvas::{Canvas, Drawn, Group, Pen, SUB, fill, px},
    chart::{AreaMode, Line, Shape},
    downsample,
    palette::Rgb,
};

/// Dashes for the second and third round through the palette, in pen widths: colours repeat, looks do not.
const ROUND_DASHES: [&[f64]; 3] = [&[], &[5.0, 2.5], &[1.5, 2.0]];

impl<C: Canvas> Painter<'_, C> {
    /// The pen of one of the chart's lines, the same in plot and legend.
    pub(super) fn line_pen(&self, index: usize) -> Pen {
        let scale = self.layout.scale;
        let Some(line) = self.chart.lines.get(index) else {
            return Pen::solid(self.palette.expected, 1.4 * scale).dashed([4.0 * scale, 3.0 * scale]);
        };
        let style = &line.style;
        let width = style.width.unwrap_or(1.6).clamp(0.5, 20.0) * scale;
        let pen = Pen::solid(self.line_color(index), width).faded(style.alpha.unwrap_or(1.0).clamp(0.0, 1.0));
        let round = (index / self.palette.series.len()) % ROUND_DASHES.len();
        match style.dash {
            Some(length) => pen.dashed([length.clamp(1.0, 100.0) * scale; 2]),
            None if style.color.is_none() => pen.dashed(ROUND_DASHES[round].iter().map(|length| length * width)),
            None => pen,
        }
    }

    fn line_color(&self, index: usize) -> Rgb {
        self.chart.lines[index].style.color.unwrap_or(self.palette.series[index % self.palette.series.len()])
    }

    /// The fills under the lines, where there are any.
    pub(super) fn areas(&mut self) -> Drawn {
        let (mode, chart, layout) = (self.chart.area, self.chart, self.layout);
        let n_filled = match mode {
            AreaMode::None => 0,
            AreaMode::First => 1,
            AreaMode::All | AreaMode::Stacked => chart.lines.len(),
        };
        for (index, line) in chart.lines.iter().enumerate().take(n_filled) {
            let alpha = if mode == AreaMode::Stacked { 0.75 } else { 0.2 };
            for run in layout.runs[index].iter().filter(|_| line.style.shape != Shape::Infinite) {
                let base = layout.bases[index].as_deref();
                let mut outline = self.points(line, base, run.clone(), true);
                match base {
                    None => {
                        let floor = self.place(0, 0.0).1;
                        outline.push((outline[outline.len() - 1].0, floor));
                        outline.push((outline[0].0, floor));
                    }
                    Some(base) => {
                        let feet =
                            Line { values: base.to_vec(), timestamps_s: line.timestamps_s.clone(), ..Line::default() };
                        outline.extend(
                            self.points(&feet, None, run.clone(), line.style.shape == Shape::Staircase)
                                .into_iter()
                                .rev(),
                        );
                    }
                }
                let outline = self.inside(&outline);
                self.canvas.fill_polygon(outline, &fill(self.line_color(index), alpha))?;
            }
        }
        Ok(())
    }

    /// The expected course, then each series over it.
    pub(super) fn series(&mut self) -> Drawn {
        let (chart, layout) = (self.chart, self.layout);
        if let Some(expected) = &chart.expected {
            let runs = downsample::runs(expected, layout.window.0.as_secs(), layout.window.1.as_secs());
            let pen = self.line_pen(chart.lines.len());
            self.canvas.open(&Group { class: "expected", id: None, title: "expected course", description: "" });
            self.runs(expected, None, &runs, &pen)?;
            self.canvas.close();
        }
        for (index, line) in chart.lines.iter().enumerate() {
            let pen = self.line_pen(index);
            self.canvas.open(&Group { class: "series", id: None, title: &line.label, description: "" });
            if line.style.shape == Shape::Infinite {
                self.infinite(line, &layout.runs[index], &pen);
            } else {
                self.runs(line, layout.bases[index].as_deref(), &layout.runs[index], &pen)?;
            }
            self.canvas.close();
        }
        if layout.runs.iter().all(Vec::is_empty) {
            let plot = layout.plot;
            let middle = (f64::from(plot.left + plot.right) / 2.0, f64::from(plot.top + plot.bottom) / 2.0);
            self.text("no datapoints in this window", middle, self.palette.muted, 1.0, false, HPos::Center)?;
        }
        Ok(())
    }

    fn runs(&mut self, line: &Line, base: Option<&[f64]>, runs: &[Range<usize>], pen: &Pen) -> Drawn {
        // Several datapoints to a pixel make a band; a finer pen keeps the noise from growing fat.
        let plot = self.layout.plot;
        let n_points: usize = runs.iter().map(ExactSizeIterator::len).sum();
        let finer = Pen { width: pen.width.min(px(self.layout.scale.max(1.0))), ..pen.clone() };
        let is_band = n_points as i64 > i64::from(plot.right - plot.left) * 2;
        let pen = if is_band && line.style.width.is_none() { &finer } else { pen };
        for run in runs {
            let points = self.points(line, base, run.clone(), line.style.shape == Shape::Staircase);
            if let [alone] = *points {
                if self.is_inside(alone) {
                    let dot = fill(pen.color, pen.alpha);
                    self.canvas.draw_circle(alone, (pen.width as u32).max(px(1.0) as u32), &dot, true)?;
                }
                continue;
            }
            for piece in self.clip(&points) {
                self.canvas.stroke(&piece, pen);
            }
        }
        Ok(())
    }

    /// A line from bottom to top for each datapoint other than 0, one for each pixel column.
    fn infinite(&mut self, line: &Line, runs: &[Range<usize>], pen: &Pen) {
        let plot = self.layout.plot;
        let mut before = None;
        for index in runs.iter().cloned().flatten().filter(|index| line.values[*index] != 0.0) {
            let at = deployline_schemas::UnixMillis::from_secs(line.timestamps_s[index]);
            if let Some(column) = plot.x_of(at).filter(|column| before != Some(*column)) {
                let x = Self::middle(column);
                self.canvas.stroke(&[(x, plot.top * SUB), (x, plot.bottom * SUB)], pen);
                before = Some(column);
            }
        }
    }

    /// The places of a run's datapoints, as many as the pixels can show.
    fn points(&self, line: &Line, base: Option<&[f64]>, run: Range<usize>, is_stepped: bool) -> Vec<BackendCoord> {
        let x_of = |index: usize| self.place(line.timestamps_s[index].saturating_mul(1000), 0.0).0;
        let value_of = |index: usize| line.values[index] + base.map_or(0.0, |base| base[index]);
        let y_of = |value: f64| self.place(0, value).1;
        let mut points: Vec<BackendCoord> = Vec::new();
        let is_stepped = is_stepped && line.style.shape == Shape::Staircase;
        downsample::columns(
            run.map(|index| (x_of(index), value_of(index))),
            |x| x.div_euclid(SUB),
            |x, value| {
                let y = y_of(value);
                if let Some((_, before)) = points.last().copied().filter(|_| is_stepped) {
                    points.push((x, before));
                }
                points.push((x, y));
            },
        );
        points
    }

    fn is_inside(&self, (x, y): BackendCoord) -> bool {
        let plot = self.layout.plot;
        (plot.left * SUB..=plot.right * SUB).contains(&x) && (plot.top * SUB..=plot.bottom * SUB).contains(&y)
    }

    /// The outline with every corner drawn into the plot.
    fn inside(&self, outline: &[BackendCoord]) -> Vec<BackendCoord> {
        let plot = self.layout.plot;
        let pull = |(x, y): &BackendCoord| {
            ((*x).clamp(plot.left * SUB, plot.right * SUB), (*y).clamp(plot.top * SUB, plot.bottom * SUB))
        };
        outline.iter().map(pull).collect()
    }

    /// The pieces of a path that lie in the plot (Liang and Barsky 1984, segment by segment).
    fn clip(&self, path: &[BackendCoord]) -> Vec<Vec<BackendCoord>> {
        if path.iter().all(|point| self.is_inside(*point)) {
            return vec![path.to_vec()];
        }
        let plot = self.layout.plot;
        let (left, right) = (f64::from(plot.left * SUB), f64::from(plot.right * SUB));
        let (top, bottom) = (f64::from(plot.top * SUB), f64::from(plot.bottom * SUB));
        let mut pieces: Vec<Vec<BackendCoord>> = Vec::new();
        for pair in path.windows(2) {
            let ((x0, y0), (x1, y1)) =
                ((f64::from(pair[0].0), f64::from(pair[0].1)), (f64::from(pair[1].0), f64::from(pair[1].1)));
            let (dx, dy) = (x1 - x0, y1 - y0);
            let (mut enter, mut leave) = (0.0f64, 1.0f64);
            let mut misses = false;
            for (slope, distance) in [(-dx, x0 - left), (dx, right - x0), (-dy, y0 - top), (dy, bottom - y0)] {
                if slope == 0.0 {
                    misses |= distance < 0.0;
                } else if slope < 0.0 {
                    enter = enter.max(distance / slope);
                } else {
                    leave = leave.min(distance / slope);
                }
            }
            if misses || enter > leave {
                continue;
            }
            let at = |share: f64| ((x0 + dx * share).round() as i32, (y0 + dy * share).round() as i32);
            let (start, end) = (at(enter), at(leave));
            match pieces.last_mut() {
                Some(piece) if piece.last() == Some(&start) => piece.push(end),
                _ => pieces.push(vec![start, end]),
            }
        }
        pieces
    }
}
