//! The series themselves: lines, steps, areas, and dots where a datapoint stands alone.

use std::ops::Range;

use deployline_schemas::UnixMillis;
use plotters_backend::{BackendCoord, text_anchor::HPos};

use super::Painter;
use crate::{
    canvas::{Canvas, Drawn, Group, Pen, SUB, fill, px},
    chart::{AreaMode, Line, Shape},
    downsample, font,
    palette::Rgb,
};

/// Dashes for the second and third round through the palette, in pen widths: colours repeat, looks do not.
const ROUND_DASHES: [&[f64]; 3] = [&[], &[5.0, 2.5], &[1.5, 2.0]];
/// The opacity of the same series at another time.
const PALE: f64 = 0.5;
/// The opacity of an area that others may lie over, and of one that stands on others.
const TINT: f64 = 0.2;
const SOLID: f64 = 0.75;

impl<C: Canvas> Painter<'_, C> {
    /// The pen of one of the chart's lines, the same in plot and legend.
    pub(super) fn line_pen(&self, index: usize) -> Pen {
        let (scale, style) = (self.layout.scale, &self.chart.lines[index].style);
        let width = style.width.unwrap_or(1.6).clamp(0.5, 20.0) * scale;
        let pen = Pen::solid(self.line_color(index), width).faded(style.alpha.unwrap_or(1.0).clamp(0.0, 1.0));
        let round = (index / self.palette.series.len()) % ROUND_DASHES.len();
        match style.dash {
            Some(length) => pen.dashed([length.clamp(1.0, 100.0) * scale; 2]),
            None if style.color.is_none() => pen.dashed(ROUND_DASHES[round].iter().map(|length| length * width)),
            None => pen,
        }
    }

    /// The pen of a line at another time.
    pub(super) fn pale_pen(&self, index: usize) -> Pen {
        let width = 1.3 * self.layout.scale;
        Pen::solid(self.line_color(index), width).faded(PALE)
    }

    pub(super) fn expected_pen(&self) -> Pen {
        let scale = self.layout.scale;
        Pen::solid(self.palette.expected, 1.4 * scale).dashed([4.0 * scale, 3.0 * scale])
    }

    fn line_color(&self, index: usize) -> Rgb {
        let series = &self.palette.series;
        let asked = self.chart.lines.get(index).and_then(|line| line.style.color);
        asked.unwrap_or(series[index % series.len()])
    }

    /// The fills under the lines, where there are any.
    pub(super) fn areas(&mut self) -> Drawn {
        let (chart, layout) = (self.chart, self.layout);
        for (index, line) in chart.lines.iter().enumerate() {
            let stack = layout.stacks[index].as_ref();
            let is_filled = match chart.area {
                AreaMode::None => stack.is_some(),
                AreaMode::First => index == 0 || stack.is_some(),
                AreaMode::All | AreaMode::Stacked => true,
            };
            if !is_filled || line.style.invisible || line.style.shape == Shape::Infinite {
                continue;
            }
            let usual = if stack.is_some() { SOLID } else { TINT };
            let own = line.style.alpha.filter(|_| stack.is_some());
            let alpha = chart.area_alpha.or(own).unwrap_or(usual).clamp(0.0, 1.0);
            let feet = stack.map(|stack| stack.feet.as_slice());
            let tops = stack.map_or(line.values.as_slice(), |stack| &stack.tops);
            for run in &layout.runs[index] {
                let mut outline = self.points(line, tops, run.clone());
                match feet {
                    Some(feet) => outline.extend(self.points(line, feet, run.clone()).into_iter().rev()),
                    None => {
                        let floor = self.place(line.style.side, 0, layout.axis(line.style.side).floor()).1;
                        outline.extend([(outline[outline.len() - 1].0, floor), (outline[0].0, floor)]);
                    }
                }
                let outline = self.inside(&outline);
                self.canvas.fill_polygon(outline, &fill(self.line_color(index), alpha))?;
            }
        }
        Ok(())
    }

    /// The series at another time and the expected course, then each series over them.
    pub(super) fn series(&mut self) -> Drawn {
        let (chart, layout) = (self.chart, self.layout);
        self.beneath()?;
        for (index, line) in chart.lines.iter().enumerate().filter(|(_, line)| !line.style.invisible) {
            let pen = self.line_pen(index);
            self.canvas.open(&Group { class: "series", id: None, title: &line.label, description: "" });
            if line.style.shape == Shape::Infinite {
                self.infinite(line, &layout.runs[index], &pen);
            } else {
                let tops = layout.stacks[index].as_ref().map_or(line.values.as_slice(), |stack| &stack.tops);
                self.runs(line, tops, &layout.runs[index], &pen)?;
            }
            self.canvas.close();
        }
        if layout.runs.iter().all(Vec::is_empty) {
            let plot = layout.plot;
            let (x, y) = (f64::from(plot.left + plot.right) / 2.0, f64::from(plot.top + plot.bottom) / 2.0);
            let words = "no datapoints in this window";
            let (half, rise) =
                (font::face(false).width(words, layout.font) / 2.0 + layout.font * 0.5, layout.font * 0.8);
            let ground = fill(self.palette.paper, 0.9);
            self.canvas.draw_rect((px(x - half), px(y - rise)), (px(x + half), px(y + rise)), &ground, true)?;
            self.text(words, (x, y), self.palette.muted, 1.0, false, HPos::Center)?;
        }
        Ok(())
    }

    fn beneath(&mut self) -> Drawn {
        let (chart, window) = (self.chart, self.layout.window);
        let runs_of = |line: &Line| downsample::runs(line, window.0.as_secs(), window.1.as_secs(), chart.holds());
        if let Some(compared) = &chart.compared {
            self.canvas.open(&Group { class: "compared", id: None, title: &compared.label, description: "" });
            for (index, line) in compared.lines.iter().enumerate().take(chart.lines.len()) {
                let line = Line { style: chart.lines[index].style.clone(), ..line.clone() };
                let pen = self.pale_pen(index);
                self.runs(&line, &line.values, &runs_of(&line), &pen)?;
            }
            self.canvas.close();
        }
        if let Some(expected) = &chart.expected {
            let pen = self.expected_pen();
            self.canvas.open(&Group { class: "expected", id: None, title: "expected course", description: "" });
            self.runs(expected, &expected.values, &runs_of(expected), &pen)?;
            self.canvas.close();
        }
        Ok(())
    }

    fn runs(&mut self, line: &Line, values: &[f64], runs: &[Range<usize>], pen: &Pen) -> Drawn {
        // Several datapoints to a pixel make a band; a finer pen keeps the noise from growing fat.
        let plot = self.layout.plot;
        let n_points: usize = runs.iter().map(ExactSizeIterator::len).sum();
        let finer = Pen { width: pen.width.min(px(self.layout.scale.max(1.0))), ..pen.clone() };
        let is_band = n_points as i64 > i64::from(plot.right - plot.left) * 2;
        let pen = if is_band && line.style.width.is_none() { &finer } else { pen };
        for run in runs {
            let points = self.points(line, values, run.clone());
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
            let at = UnixMillis::from_secs(line.timestamps_s[index]);
            if let Some(column) = plot.x_of(at).filter(|column| before != Some(*column)) {
                let x = Self::middle(column);
                self.canvas.stroke(&[(x, plot.top * SUB), (x, plot.bottom * SUB)], pen);
                before = Some(column);
            }
        }
    }

    /// The places of a run's datapoints, as many as the pixels can show; `values` are the line's or its area's edge.
    fn points(&self, line: &Line, values: &[f64], run: Range<usize>) -> Vec<BackendCoord> {
        let side = line.style.side;
        let x_of = |second: i64| self.place(side, second.saturating_mul(1000), 0.0).0;
        let is_stepped = line.style.shape == Shape::Staircase;
        let end = run.end;
        let mut points: Vec<BackendCoord> = Vec::new();
        downsample::columns(
            run.map(|index| (x_of(line.timestamps_s[index]), values[index])),
            |x| x.div_euclid(SUB),
            |x, value| {
                let y = self.place(side, 0, value).1;
                if let Some((_, before)) = points.last().copied().filter(|_| is_stepped) {
                    points.push((x, before));
                }
                points.push((x, y));
            },
        );
        // A step lasts until the next value is due.
        let last = points.last().copied().filter(|_| is_stepped);
        if let Some(((_, y), step)) = last.and_then(|last| Some((last, downsample::step(line)?))) {
            points.push((x_of(line.timestamps_s[end - 1].saturating_add(step)), y));
        }
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
