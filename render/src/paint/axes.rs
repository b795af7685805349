//! Grid, ticks and their labels.

use plotters_backend::text_anchor::HPos;

use super::Painter;
use crate::{
    canvas::{Canvas, Drawn, Pen, SUB, px},
    chart::Side,
    font,
    layout::SMALL,
};

impl<C: Canvas> Painter<'_, C> {
    /// Level lines at the values' ticks, short marks at the times', labels at both.
    pub(super) fn axes(&mut self) -> Drawn {
        self.grid();
        if self.layout.tells_values {
            self.labels(Side::Left)?;
            if self.layout.right.is_some() {
                self.labels(Side::Right)?;
            }
        }
        if !self.layout.context.is_empty() {
            self.times()?;
            self.note()?;
        }
        Ok(())
    }

    fn hair(&self) -> f64 {
        self.layout.scale.floor().max(1.0)
    }

    /// The pixel row of a value.
    fn row(&self, side: Side, value: f64) -> i32 {
        let plot = self.layout.plot;
        let (_, y) = self.place(side, self.layout.window.0.0, value);
        y.clamp(plot.top * SUB, plot.bottom * SUB - SUB).div_euclid(SUB)
    }

    fn level(&mut self, value: f64, color: crate::palette::Rgb) {
        let (plot, middle) = (self.layout.plot, Self::middle(self.row(Side::Left, value)));
        let pen = Pen::solid(color, self.hair());
        self.canvas.stroke(&[(plot.left * SUB, middle), (plot.right * SUB, middle)], &pen);
    }

    /// The level lines, those of the left axis: two grids over each other could not be read.
    fn grid(&mut self) {
        let (layout, frame) = (self.layout, &self.chart.frame);
        if frame.bare {
            return;
        }
        if !frame.hide_grid {
            for value in layout.left.between(frame.n_minor) {
                self.level(value, self.palette.minor_grid);
            }
            for (value, _) in &layout.left.ticks {
                self.level(*value, self.palette.grid);
            }
        }
        if layout.left.ticks.iter().any(|(value, _)| *value == 0.0) {
            self.level(0.0, self.palette.axis);
        }
    }

    /// What stands at the ticks of a value axis; a label that would touch the one before is left out.
    fn labels(&mut self, side: Side) -> Drawn {
        let (layout, plot) = (self.layout, self.layout.plot);
        let is_right = side == Side::Right || self.values_on_right();
        let gap = layout.font * 0.5;
        let (x, align) = match is_right {
            true => (f64::from(plot.right) + gap, HPos::Left),
            false => (f64::from(plot.left) - gap, HPos::Right),
        };
        let mut before = None;
        for (value, label) in &layout.axis(side).ticks {
            let row = self.row(side, *value);
            if before.is_none_or(|before: i32| f64::from(before - row) >= layout.font) {
                self.small(label, (x, f64::from(row) + 0.5), self.palette.muted, align)?;
                before = Some(row);
            }
        }
        Ok(())
    }

    /// The axis of time with its marks and labels.
    fn times(&mut self) -> Drawn {
        let (layout, plot) = (self.layout, self.layout.plot);
        let bottom = f64::from(plot.bottom);
        let pen = Pen::solid(self.palette.axis, self.hair());
        let level = Self::middle(plot.bottom);
        self.canvas.stroke(&[(plot.left * SUB, level), (plot.right * SUB, level)], &pen);
        // A label is centred under its mark and leaves its neighbours room; at the edges of the picture it gives way.
        let edge = f64::from(layout.width) - layout.font * 0.2;
        for tick in &layout.times {
            let column = plot.column(tick.at);
            let x = Self::middle(column);
            self.canvas.stroke(&[(x, plot.bottom * SUB), (x, plot.bottom * SUB + px(layout.font * 0.35))], &pen);
            let half = font::face(tick.begins).width(&tick.label, layout.font * SMALL) / 2.0;
            let x = (f64::from(column) + 0.5).max(half + layout.font * 0.2).min(edge - half);
            let color = if tick.begins { self.palette.ink } else { self.palette.muted };
            self.text(&tick.label, (x, bottom + layout.font * 0.95), color, SMALL, tick.begins, HPos::Center)?;
        }
        Ok(())
    }

    /// The line below the time labels: dates and zone, and a warning where the axis is cut.
    fn note(&mut self) -> Drawn {
        let layout = self.layout;
        let (size, margin) = (layout.font * SMALL, layout.pad);
        let y = f64::from(layout.plot.bottom) + layout.font * 2.2;
        let width = f64::from(layout.width) - 2.0 * margin;
        let has_line = layout.runs.iter().any(|runs| !runs.is_empty());
        let is_cut = !layout.left.has_zero() || layout.right.as_ref().is_some_and(|right| !right.has_zero());
        let scale = match (self.chart.left.log_base, is_cut) {
            (Some(_), _) => "logarithmic scale",
            (None, true) => "scale does not start at 0",
            (None, false) => "",
        };
        let face = font::face(false);
        let fits = face.width(&layout.context, size) + face.width(scale, size) + layout.font * 2.0 <= width;
        let words = font::fit(&layout.context, size, false, width);
        self.small(&words, (f64::from(layout.width) - margin, y), self.palette.muted, HPos::Right)?;
        if has_line && fits {
            self.small(scale, (margin, y), self.palette.muted, HPos::Left)?;
        }
        Ok(())
    }
}
