//! Puts a laid out chart on a canvas, from the back to the front.

mod axes;
mod deploys;
mod legend;
mod series;

use plotters::coord::{
    CoordTranslate as _,
    cartesian::Cartesian2d,
    types::{RangedCoordf64, RangedCoordi64},
};
use plotters_backend::{BackendCoord, text_anchor::HPos};

use crate::{
    canvas::{Canvas, Drawn, SUB, Text, fill, px},
    chart::Chart,
    layout::Layout,
    palette::{Palette, Rgb},
};

/// Draws a chart.
pub(crate) fn paint<C: Canvas>(chart: &Chart, layout: &Layout<'_>, canvas: &mut C) -> Drawn {
    let plot = layout.plot;
    let across = plot.left * SUB..plot.right * SUB;
    // The value axis grows upwards, rows downwards.
    let up = plot.bottom * SUB..plot.top * SUB;
    let (from, until) = layout.window;
    let coordinates = Cartesian2d::new(from.0..until.0, layout.values.low..layout.values.high, (across, up));
    let mut painter = Painter { chart, layout, palette: chart.theme.palette(), coordinates, canvas };
    painter.paper()?;
    painter.onset()?;
    painter.regions()?;
    painter.axes()?;
    painter.areas()?;
    painter.stems()?;
    painter.series()?;
    painter.badges()?;
    painter.legend()?;
    painter.table()
}

/// What every part of the painting needs.
struct Painter<'a, C> {
    chart: &'a Chart,
    layout: &'a Layout<'a>,
    palette: &'static Palette,
    coordinates: Cartesian2d<RangedCoordi64, RangedCoordf64>,
    canvas: &'a mut C,
}

impl<C: Canvas> Painter<'_, C> {
    fn paper(&mut self) -> Drawn {
        let size = (self.layout.width as i32 * SUB, self.layout.height as i32 * SUB);
        self.canvas.draw_rect((0, 0), size, &fill(self.palette.paper, 1.0), true)?;
        if let Some((title, middle)) = &self.layout.title {
            self.text(title, (self.left_margin(), *middle), self.palette.ink, crate::layout::TITLE, true, HPos::Left)?;
        }
        if let Some((words, middle)) = &self.layout.value_title {
            self.small(words, (self.left_margin(), *middle), self.palette.muted, HPos::Left)?;
        }
        Ok(())
    }

    fn left_margin(&self) -> f64 {
        (self.layout.font * 0.7).round()
    }

    /// Where a datapoint lies. What lies further away than a hundred plots is drawn at that distance, since plotters
    /// computes with whole numbers that would overflow.
    fn place(&self, at_ms: i64, value: f64) -> BackendCoord {
        const FAR: i64 = 100;
        let (from, until) = self.layout.window;
        let reach_ms = (until.0 - from.0).saturating_mul(FAR).min(1 << 61);
        let (low, high) = (self.layout.values.low, self.layout.values.high);
        let reach = (high - low) * FAR as f64;
        let at_ms = at_ms.clamp(from.0 - reach_ms, until.0 + reach_ms);
        self.coordinates.translate(&(at_ms, value.clamp(low - reach, high + reach)))
    }

    /// The middle of a pixel column.
    fn middle(column: i32) -> i32 {
        column * SUB + SUB / 2
    }

    /// Text at a place in pixels; `size` is in ordinary text's.
    fn text(&mut self, text: &str, (x, y): (f64, f64), color: Rgb, size: f64, bold: bool, align: HPos) -> Drawn {
        let style = Text { color, size: self.layout.font * size, bold, align };
        self.canvas.draw_text(text, &style, (px(x), px(y)))
    }

    fn small(&mut self, text: &str, at: (f64, f64), color: Rgb, align: HPos) -> Drawn {
        self.text(text, at, color, crate::layout::SMALL, false, align)
    }
}
