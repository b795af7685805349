//! Puts a laid out chart on a canvas, from the back to the front.

mod axes;
mod deploys;
mod legend;
mod onset;
mod series;

use plotters::coord::{
    CoordTranslate as _,
    cartesian::Cartesian2d,
    types::{RangedCoordf64, RangedCoordi64},
};
use plotters_backend::{BackendCoord, text_anchor::HPos};

use crate::{
    canvas::{Canvas, Drawn, SUB, Text, fill, px},
    chart::{Chart, Side},
    layout::{Layout, SMALL, TITLE},
    palette::{Palette, Rgb},
};

/// Draws a chart.
pub(crate) fn paint<C: Canvas>(chart: &Chart, layout: &Layout<'_>, canvas: &mut C) -> Drawn {
    let palette = Palette::new(chart.theme, chart.colors);
    let coordinates = [Side::Left, Side::Right].map(|side| coordinates(layout, side));
    let mut painter = Painter { chart, layout, palette, coordinates, canvas };
    painter.paper()?;
    painter.regions()?;
    painter.onset()?;
    painter.axes()?;
    painter.areas()?;
    painter.stems()?;
    painter.series()?;
    painter.badges()?;
    painter.legend()?;
    painter.table()
}

type Coordinates = Cartesian2d<RangedCoordi64, RangedCoordf64>;

/// From moments and positions on a value axis to places on the canvas.
fn coordinates(layout: &Layout<'_>, side: Side) -> Coordinates {
    let (plot, axis, (from, until)) = (layout.plot, layout.axis(side), layout.window);
    let across = plot.left * SUB..plot.right * SUB;
    // The value axis grows upwards, rows downwards.
    let up = plot.bottom * SUB..plot.top * SUB;
    Cartesian2d::new(from.0..until.0, axis.position(axis.low)..axis.position(axis.high), (across, up))
}

/// What every part of the painting needs.
struct Painter<'a, C> {
    chart: &'a Chart,
    layout: &'a Layout<'a>,
    palette: Palette,
    coordinates: [Coordinates; 2],
    canvas: &'a mut C,
}

impl<C: Canvas> Painter<'_, C> {
    fn paper(&mut self) -> Drawn {
        let layout = self.layout;
        let size = (layout.width as i32 * SUB, layout.height as i32 * SUB);
        self.canvas.draw_rect((0, 0), size, &fill(self.palette.paper, 1.0), true)?;
        let (left, right) = (layout.pad, f64::from(layout.width) - layout.pad);
        if let Some((title, middle)) = &layout.title {
            self.text(title, (left, *middle), self.palette.ink, TITLE, true, HPos::Left)?;
        }
        if let Some((caption, middle)) = &layout.caption {
            self.small(caption, (left, *middle), self.palette.ink, HPos::Left)?;
        }
        if let Some(([on_left, on_right], middle)) = &layout.value_titles {
            let (x, align) = if self.values_on_right() { (right, HPos::Right) } else { (left, HPos::Left) };
            self.small(on_left, (x, *middle), self.palette.muted, align)?;
            self.small(on_right, (right, *middle), self.palette.muted, HPos::Right)?;
        }
        Ok(())
    }

    /// Whether the only value axis has its words on the right.
    fn values_on_right(&self) -> bool {
        self.chart.frame.values_right && self.layout.right.is_none()
    }

    /// Where a datapoint lies. What lies further away than a hundred plots is drawn at that distance, since plotters
    /// computes with whole numbers that would overflow.
    fn place(&self, side: Side, at_ms: i64, value: f64) -> BackendCoord {
        const FAR: i64 = 100;
        let axis = self.layout.axis(side);
        let (from, until) = self.layout.window;
        let reach_ms = (until.0 - from.0).saturating_mul(FAR).min(1 << 61);
        let (low, high) = (axis.position(axis.low), axis.position(axis.high));
        let reach = (high - low) * FAR as f64;
        let at_ms = at_ms.clamp(from.0 - reach_ms, until.0 + reach_ms);
        let position = axis.position(value).clamp(low - reach, high + reach);
        self.coordinates[side as usize].translate(&(at_ms, position))
    }

    /// The middle of a pixel column.
    fn middle(column: i32) -> i32 {
        column * SUB + SUB / 2
    }

    /// Text at a place in pixels; `size` is in ordinary text's.
    fn text(&mut self, text: &str, (x, y): (f64, f64), color: Rgb, size: f64, bold: bool, align: HPos) -> Drawn {
        if text.is_empty() {
            return Ok(());
        }
        let style = Text { color, size: self.layout.font * size, bold: bold || self.chart.frame.bold, align };
        self.canvas.draw_text(text, &style, (px(x), px(y)))
    }

    fn small(&mut self, text: &str, at: (f64, f64), color: Rgb, align: HPos) -> Drawn {
        self.text(text, at, color, SMALL, false, align)
    }
}
