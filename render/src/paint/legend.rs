//! The names of the series above the plot, and the numbered deploys below it.

use plotters_backend::text_anchor::HPos;

use super::{Painter, deploys::kind_dashes};
use crate::{
    canvas::{Canvas, Drawn, Pen, px},
    font,
    layout::{LegendEntry, SMALL, SWATCH, Sample},
    time_axis,
};

impl<C: Canvas> Painter<'_, C> {
    /// A sample of each line and its name.
    pub(super) fn legend(&mut self) -> Drawn {
        let font = self.layout.font;
        for entry in &self.layout.legend {
            let pen = match entry.sample {
                Sample::Line(index) => self.line_pen(index),
                Sample::Compared => self.pale_pen(0),
                Sample::Expected => self.expected_pen(),
                Sample::Onset => {
                    let (half, y) = (font * 0.45, entry.y.round());
                    let (top, bottom) = (px(y - half), px(y + half));
                    self.stripes((px(entry.x), top), (px(entry.x + font * SWATCH), bottom))?;
                    self.name(entry)?;
                    continue;
                }
                Sample::None => {
                    self.small(&entry.text, (entry.x, entry.y), self.palette.muted, HPos::Left)?;
                    continue;
                }
            };
            let pen = Pen { width: pen.width.max(px(2.0 * self.layout.scale)), ..pen };
            let (left, right, y) = (px(entry.x), px(entry.x + font * SWATCH), px(entry.y.round() + 0.5));
            self.canvas.stroke(&[(left, y), (right, y)], &pen);
            self.name(entry)?;
        }
        Ok(())
    }

    fn name(&mut self, entry: &LegendEntry) -> Drawn {
        let x = entry.x + self.layout.font * (SWATCH + 0.5);
        self.small(&entry.text, (x, entry.y), self.palette.ink, HPos::Left)
    }

    /// The numbered list: sign, time, service and version, who, verdict, and the title as far as there is room.
    pub(super) fn table(&mut self) -> Drawn {
        let (layout, font) = (self.layout, self.layout.font);
        let table = &layout.table;
        if table.rows == 0 {
            return Ok(());
        }
        let (regular, bold, size) = (font::face(false), font::face(true), font * SMALL);
        let gap = font * 0.7;
        let margin = layout.pad;
        let column_width = (f64::from(layout.width) - 2.0 * margin) / table.columns as f64;
        let inner = column_width - gap;
        let cells: Vec<[String; 5]> = table
            .shown
            .iter()
            .map(|index| {
                let mark = layout.stems.marks[*index];
                [
                    format!("{}{}", mark.letter(), index + 1),
                    time_axis::clock(mark.at, &self.chart.time_zone, self.spans_days()),
                    mark.name(),
                    mark.actor.clone().unwrap_or_default(),
                    mark.verdict.words(),
                ]
            })
            .collect();
        // A column of words is as wide as its widest cell, within what leaves the others room.
        let share = [1.0, 1.0, 0.4, 0.2, 0.3];
        let widths: [f64; 5] = std::array::from_fn(|place| {
            let face = if place == 0 || place == 4 { bold } else { regular };
            let widest = cells.iter().map(|row| face.width(&row[place], size)).fold(0.0, f64::max);
            widest.min(inner * share[place])
        });
        let swatch = font * 1.5;
        for (order, (index, row)) in table.shown.iter().zip(&cells).enumerate() {
            let mark = layout.stems.marks[*index];
            let left = margin + (order / table.rows) as f64 * column_width;
            let y = table.top + (order % table.rows) as f64 * table.row_height;
            let color = self.verdict_color(mark.verdict);
            let end = left + inner;
            let mut pen = Pen::solid(color, 1.5 * layout.scale);
            pen = pen.dashed(kind_dashes(mark.kind).iter().map(|length| length * layout.scale));
            let level = px(y.round() + 0.5);
            self.canvas.stroke(&[(px(left), level), (px(left + swatch), level)], &pen);
            let mut x = left + swatch + gap * 0.6;
            for (place, text) in row.iter().enumerate() {
                let is_bold = place == 0 || place == 4;
                let ink = [color, self.palette.muted, self.palette.ink, self.palette.muted, color][place];
                let words = font::fit(text, size, is_bold, widths[place].min(end - x) + 0.01);
                self.text(&words, (x, y), ink, SMALL, is_bold, HPos::Left)?;
                if widths[place] > 0.0 {
                    x += widths[place] + gap;
                }
            }
            if let Some(title) = mark.title.as_deref().filter(|_| end - x > font * 8.0) {
                self.small(&font::cut(title, size, end - x), (x, y), self.palette.muted, HPos::Left)?;
            }
        }
        if table.more > 0 {
            let order = table.shown.len();
            let left = margin + (order / table.rows) as f64 * column_width;
            let y = table.top + (order % table.rows) as f64 * table.row_height;
            let words = format!("+ {} more deploys", table.more);
            self.small(&words, (left + swatch + gap * 0.6, y), self.palette.muted, HPos::Left)?;
        }
        Ok(())
    }
}
