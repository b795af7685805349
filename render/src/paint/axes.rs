//! Grid, ticks and their labels.

use plotters_backend::text_anchor::HPos;

use super::Painter;
use crate::{
    canvas::{Canvas, Drawn, Pen, SUB},
    font,
    layout::SMALL,
};

impl<C: Canvas> Painter<'_, C> {
    /// Level lines at the values' ticks, short marks at the times', labels at both.
    pub(super) fn axes(&mut self) -> Drawn {
        let layout = self.layout;
        let plot = layout.plot;
        let (left, right) = (plot.left * SUB, plot.right * SUB);
        let hair = layout.scale.floor().max(1.0);
        let shows_words = !layout.context.is_empty();
        for (value, label) in &layout.values.ticks {
            let (_, y) = self.place(layout.window.0.0, *value);
            let row = y.clamp(plot.top * SUB, plot.bottom * SUB - SUB).div_euclid(SUB);
            let middle = Self::middle(row);
            let color = if *value == 0.0 { self.palette.axis } else { self.palette.grid };
            self.canvas.stroke(&[(left, middle), (right, middle)], &Pen::solid(color, hair));
            if shows_words {
                let at = (f64::from(plot.left) - layout.font * 0.5, f64::from(row) + 0.5);
                self.small(label, at, self.palette.muted, HPos::Right)?;
            }
        }
        if !shows_words {
            return Ok(());
        }
        let bottom = f64::from(plot.bottom);
        let mark = layout.font * 0.35;
        let line = &[(left, Self::middle(plot.bottom)), (right, Self::middle(plot.bottom))];
        self.canvas.stroke(line, &Pen::solid(self.palette.axis, hair));
        // A label is centred under its mark and leaves its neighbours room; at the edges of the picture it gives way.
        let edge = f64::from(layout.width) - layout.font * 0.2;
        for tick in &layout.times {
            let column = plot.column(tick.at);
            let x = Self::middle(column);
            let y = (plot.bottom * SUB, (plot.bottom * SUB) + crate::canvas::px(mark));
            self.canvas.stroke(&[(x, y.0), (x, y.1)], &Pen::solid(self.palette.axis, hair));
            let half = font::face(tick.begins).width(&tick.label, layout.font * SMALL) / 2.0;
            let x = (f64::from(column) + 0.5).max(half + layout.font * 0.2).min(edge - half);
            let color = if tick.begins { self.palette.ink } else { self.palette.muted };
            self.text(&tick.label, (x, bottom + layout.font * 0.95), color, SMALL, tick.begins, HPos::Center)?;
        }
        self.note()
    }

    /// The line below the time labels: dates and zone, and a warning where the axis is cut.
    fn note(&mut self) -> Drawn {
        let layout = self.layout;
        let (size, margin) = (layout.font * SMALL, self.left_margin());
        let y = f64::from(layout.plot.bottom) + layout.font * 2.2;
        let width = f64::from(layout.width) - 2.0 * margin;
        let cut = "scale does not start at 0";
        let face = font::face(false);
        let is_cut = !layout.values.has_zero() && layout.runs.iter().any(|runs| !runs.is_empty());
        let tells_cut =
            is_cut && face.width(&layout.context, size) + face.width(cut, size) + layout.font * 2.0 <= width;
        let words = font::fit(&layout.context, size, false, width);
        self.small(&words, (f64::from(layout.width) - margin, y), self.palette.muted, HPos::Right)?;
        if tells_cut {
            self.small(cut, (margin, y), self.palette.muted, HPos::Left)?;
        }
        Ok(())
    }
}
