//! The band of the onset.

use super::Painter;
use crate::{
    canvas::{Canvas, Drawn, Group, Pen, SUB, fill},
    time_axis,
};

impl<C: Canvas> Painter<'_, C> {
    /// The band that holds the onset, at least a pixel wide: striped, since the time that a deploy took is a plain tint. What it is
    /// stands in the legend, where it covers nothing.
    pub(super) fn onset(&mut self) -> Drawn {
        let Some((earliest, latest)) = self.layout.onset else { return Ok(()) };
        let (plot, zone) = (self.layout.plot, &self.chart.time_zone);
        let clock = |at| time_axis::clock(at, zone, self.spans_days());
        let words = format!("onset between {} and {}", clock(earliest), clock(latest));
        let (left, right) = (plot.column(earliest) * SUB, (plot.column(latest) + 1) * SUB);
        self.canvas.open(&Group { class: "onset", id: None, title: &words, description: "90 % probability" });
        self.stripes((left, plot.top * SUB), (right, plot.bottom * SUB))?;
        self.canvas.close();
        Ok(())
    }

    /// A rectangle as the band of the onset is drawn.
    pub(super) fn stripes(&mut self, (left, top): (i32, i32), (right, bottom): (i32, i32)) -> Drawn {
        let color = self.palette.guilty;
        self.canvas.draw_rect((left, top), (right, bottom), &fill(color, 0.10), true)?;
        let middle = (left + right) / 2;
        // One upright line as wide as the band, whose dashes are the stripes.
        let pen = Pen { width: right - left, ..Pen::solid(color, 1.0).faded(0.4).dashed([1.0, 3.0]) };
        self.canvas.stroke(&[(middle, top), (middle, bottom)], &pen);
        Ok(())
    }
}
