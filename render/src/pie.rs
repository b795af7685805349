//! Pies: the share of each part in a whole.

use plotters_backend::{BackendCoord, text_anchor::HPos};

use crate::{
    canvas::{Canvas, Drawn, Group, Text, fill, px},
    chart::{Colors, SIZE_LIMITS},
    font, painted,
    palette::{Palette, Rgb, Theme},
    raster::Raster,
    svg::Svg,
};

/// Most parts that are drawn; the rest is one part together.
const MAX_SLICES: usize = 40;
/// Corners of a whole circle.
const CORNERS: f64 = 360.0;

/// A pie: everything that its picture depends on. The same pie gives the same bytes.
#[derive(Debug, Clone)]
pub struct Pie {
    /// Pixels across, within [`SIZE_LIMITS`].
    pub width: u32,
    /// Pixels down, within [`SIZE_LIMITS`].
    pub height: u32,
    /// Light or dark.
    pub theme: Theme,
    /// Colours in place of the theme's.
    pub colors: Colors,
    /// One line above it; may be empty.
    pub title: String,
    /// The parts, clockwise from the top. What is not above zero has no share and stands in the legend alone.
    pub slices: Vec<Slice>,
    /// Their opacity, `0.0..=1.0`.
    pub alpha: f64,
    /// Whether the parts are named.
    pub legend: bool,
    /// What stands on the parts.
    pub labels: Labels,
    /// The least value, or share in percent, that has a label.
    pub least_label: f64,
    /// The labels' colour. `None`: black or white, as stands out from the part.
    pub label_color: Option<Rgb>,
    /// Pixels between the edges and what is drawn. `None`: as suits the size.
    pub margin: Option<f64>,
    /// Pixels to the em of ordinary text. `None`: as suits the size.
    pub font_size: Option<f64>,
}

/// One part of a pie.
#[derive(Debug, Clone, Default)]
pub struct Slice {
    /// What the legend calls it.
    pub name: String,
    /// How much it is.
    pub value: f64,
    /// Its colour; the theme's in turn where it has none.
    pub color: Option<Rgb>,
}

/// What stands on the parts of a pie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Labels {
    /// Nothing.
    None,
    /// The value.
    Number,
    /// The share.
    #[default]
    Percent,
}

impl Pie {
    /// The pie as an SVG document.
    pub fn svg(&self) -> String {
        let (width, height) = self.size();
        let title = if self.title.trim().is_empty() { "Pie" } else { self.title.trim() };
        let mut canvas = Svg::new(width, height, title, &format!("{} parts", self.slices.len()));
        painted(Painter::new(self, &mut canvas).paint());
        canvas.finish()
    }

    /// The pie as PNG, three bytes a pixel without alpha.
    pub fn png(&self) -> Vec<u8> {
        let (width, height) = self.size();
        let mut canvas = Raster::new(width, height, Palette::new(self.theme, self.colors).paper);
        painted(Painter::new(self, &mut canvas).paint());
        canvas.png()
    }

    fn size(&self) -> (u32, u32) {
        (self.width.clamp(SIZE_LIMITS.0, SIZE_LIMITS.1), self.height.clamp(SIZE_LIMITS.0, SIZE_LIMITS.1))
    }
}

/// A part as it is drawn.
struct Part {
    name: String,
    value: f64,
    /// Of the whole, `0.0..=1.0`.
    share: f64,
    color: Rgb,
}

struct Painter<'a, C> {
    pie: &'a Pie,
    palette: Palette,
    parts: Vec<Part>,
    size: (f64, f64),
    font: f64,
    pad: f64,
    canvas: &'a mut C,
}

impl<'a, C: Canvas> Painter<'a, C> {
    fn new(pie: &'a Pie, canvas: &'a mut C) -> Self {
        let (width, height) = pie.size();
        let (w, h) = (f64::from(width), f64::from(height));
        let fitting = (w / 800.0).min(h / 400.0).sqrt().clamp(0.8, 2.4);
        let font = pie.font_size.map_or((12.0 * fitting).max(10.0), |size| size.clamp(4.0, h / 8.0));
        let pad = pie.margin.unwrap_or(font * 0.7).clamp(0.0, w.min(h) / 4.0).round();
        let palette = Palette::new(pie.theme, pie.colors);
        let parts = parts(pie, &palette);
        Self { pie, palette, parts, size: (w, h), font, pad, canvas }
    }

    fn paint(&mut self) -> Drawn {
        let (w, h) = self.size;
        self.canvas.draw_rect((0, 0), (px(w), px(h)), &fill(self.palette.paper, 1.0), true)?;
        let mut top = self.pad;
        if !self.pie.title.trim().is_empty() {
            let size = self.font * 1.25;
            let title = font::fit(self.pie.title.trim(), size, true, w - 2.0 * self.pad);
            self.text(&title, (self.pad, top + size * 0.55), self.palette.ink, 1.25, true, HPos::Left)?;
            top += size * 1.6;
        }
        // The names stand beside the pie where the picture is wide, else below it.
        let beside = w > (h - top) * 1.3;
        let n_names = if self.pie.legend { self.parts.len() } else { 0 };
        let line = self.font * 1.45;
        let (right, bottom) = match (n_names, beside) {
            (0, _) => (w - self.pad, h - self.pad),
            (_, true) => ((w * 0.5).min(h - top + self.pad), h - self.pad),
            (n, false) => (w - self.pad, (h - self.pad - n as f64 * line).max(top + (h - top) * 0.5)),
        };
        let radius = ((right - self.pad).min(bottom - top) / 2.0 * 0.97).max(1.0);
        let middle = (f64::midpoint(self.pad, right), f64::midpoint(top, bottom));
        self.slices(middle, radius)?;
        self.labels(middle, radius)?;
        if n_names > 0 {
            let at = if beside { (right + self.font, top) } else { (self.pad, bottom + self.font * 0.5) };
            self.names(at, line)?;
        }
        Ok(())
    }

    fn slices(&mut self, middle: (f64, f64), radius: f64) -> Drawn {
        let mut from = 0.0;
        for part in &self.parts {
            if part.share > 0.0 {
                let title = format!("{}: {}", part.name, percent(part.share));
                self.canvas.open(&Group { class: "slice", id: None, title: &title, description: "" });
                let color = fill(part.color, self.pie.alpha.clamp(0.0, 1.0));
                self.canvas.fill_polygon(sector(middle, radius, from, from + part.share), &color)?;
                self.canvas.close();
            }
            from += part.share;
        }
        if self.parts.iter().all(|part| part.share == 0.0) {
            let muted = self.palette.muted;
            self.text("nothing above zero in this window", middle, muted, 1.0, false, HPos::Center)?;
        }
        Ok(())
    }

    fn labels(&mut self, (x, y): (f64, f64), radius: f64) -> Drawn {
        let labels: Vec<(String, f64, Rgb)> = {
            let mut from = 0.0;
            let mut label = |part: &Part| {
                let (turn, share) = (from + part.share / 2.0, part.share);
                from += share;
                let (text, size) = match self.pie.labels {
                    Labels::None => return None,
                    Labels::Number => (number(part.value), part.value),
                    Labels::Percent => (percent(share), share * 100.0),
                };
                let color = self.pie.label_color.unwrap_or(match Theme::upon(part.color) {
                    Theme::Light => (0, 0, 0),
                    Theme::Dark => (255, 255, 255),
                });
                (share > 0.0 && size >= self.pie.least_label).then_some((text, turn, color))
            };
            self.parts.iter().filter_map(&mut label).collect()
        };
        for (text, turn, color) in labels {
            let (sin, cos) = (turn * std::f64::consts::TAU).sin_cos();
            let at = (x + radius * 0.66 * sin, y - radius * 0.66 * cos);
            self.text(&text, at, color, 0.92, true, HPos::Center)?;
        }
        Ok(())
    }

    /// The names, as many as fit above the lower edge.
    fn names(&mut self, (left, top): (f64, f64), line: f64) -> Drawn {
        let (w, h) = self.size;
        let n_rows = (((h - self.pad * 0.5 - top) / line) as usize).max(1);
        let n_shown = if self.parts.len() > n_rows { n_rows - 1 } else { self.parts.len() };
        let side = self.font * 0.8;
        let rows: Vec<(Option<Rgb>, String)> = self.parts[..n_shown]
            .iter()
            .map(|part| {
                let share = format!("  {}", percent(part.share));
                let size = self.font * 0.92;
                let room = w - self.pad - left - side * 1.6 - font::face(false).width(&share, size);
                (Some(part.color), font::fit(&part.name, size, false, room.max(0.0)) + &share)
            })
            .chain((n_shown < self.parts.len()).then(|| (None, format!("+{} more", self.parts.len() - n_shown))))
            .collect();
        for (row, (color, text)) in rows.into_iter().enumerate() {
            let y = (top + (row as f64 + 0.5) * line).round();
            if let Some(color) = color {
                let (from, to) = ((px(left), px(y - side / 2.0)), (px(left + side), px(y + side / 2.0)));
                self.canvas.draw_rect(from, to, &fill(color, self.pie.alpha.clamp(0.0, 1.0)), true)?;
            }
            let ink = if color.is_some() { self.palette.ink } else { self.palette.muted };
            self.text(&text, (left + side * 1.6, y), ink, 0.92, false, HPos::Left)?;
        }
        Ok(())
    }

    fn text(&mut self, text: &str, (x, y): (f64, f64), color: Rgb, size: f64, bold: bool, align: HPos) -> Drawn {
        let style = Text { color, size: self.font * size, bold, align };
        self.canvas.draw_text(text, &style, (px(x), px(y)))
    }
}

/// The parts with their shares and colours; past [`MAX_SLICES`] the rest is one.
fn parts(pie: &Pie, palette: &Palette) -> Vec<Part> {
    let amount = |value: f64| if value.is_finite() { value.clamp(0.0, 1e300) } else { 0.0 };
    // Divided first, so that a sum of the greatest numbers stays finite.
    let most = pie.slices.iter().map(|slice| amount(slice.value)).fold(0.0, f64::max);
    let total: f64 = pie.slices.iter().map(|slice| amount(slice.value) / most).sum();
    let share = |value: f64| if most > 0.0 { amount(value) / most / total } else { 0.0 };
    let part = |(index, slice): (usize, &Slice)| Part {
        name: slice.name.clone(),
        value: slice.value,
        share: share(slice.value),
        color: slice.color.unwrap_or(palette.series[index % palette.series.len()]),
    };
    let n_own = if pie.slices.len() > MAX_SLICES { MAX_SLICES - 1 } else { pie.slices.len() };
    let mut parts: Vec<Part> = pie.slices[..n_own].iter().enumerate().map(part).collect();
    let rest = &pie.slices[n_own..];
    if !rest.is_empty() {
        let (value, share) =
            rest.iter().fold((0.0, 0.0), |(value, sum), slice| (value + amount(slice.value), sum + share(slice.value)));
        parts.push(Part { name: format!("{} others", rest.len()), value, share, color: palette.deploy });
    }
    parts
}

/// The outline of a part of a circle between two turns, `0.0` at the top and clockwise.
fn sector((x, y): (f64, f64), radius: f64, from: f64, to: f64) -> Vec<BackendCoord> {
    let n_corners = ((to - from) * CORNERS).ceil().max(1.0);
    let corner = |index: f64| {
        let (sin, cos) = ((from + (to - from) * index / n_corners) * std::f64::consts::TAU).sin_cos();
        (px(x + radius * sin), px(y - radius * cos))
    };
    let arc = (0..=n_corners as usize).map(|index| corner(index as f64));
    std::iter::once((px(x), px(y))).chain(arc).collect()
}

fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 9.95 { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

fn number(value: f64) -> String {
    let is_small = value.abs() < 10.0 && value.fract() != 0.0;
    if is_small { format!("{value:.2}") } else { format!("{value:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pie(values: &[f64]) -> Pie {
        let slice = |(index, value): (usize, &f64)| Slice { name: format!("s{index}"), value: *value, color: None };
        Pie {
            width: 400,
            height: 200,
            theme: Theme::Light,
            colors: Colors::default(),
            title: String::new(),
            slices: values.iter().enumerate().map(slice).collect(),
            alpha: 1.0,
            legend: true,
            labels: Labels::Percent,
            least_label: 5.0,
            label_color: None,
            margin: None,
            font_size: None,
        }
    }

    #[test]
    fn shares_are_areas() {
        let picture = image::load_from_memory(&pie(&[3.0, 1.0]).png()).unwrap().to_rgb8();
        let series = Palette::new(Theme::Light, Colors::default()).series;
        let count = |color: Rgb| {
            let left = picture.enumerate_pixels().filter(|(x, ..)| *x < 200);
            left.filter(|(_, _, pixel)| pixel.0 == [color.0, color.1, color.2]).count() as f64
        };
        let ratio = count(series[0]) / count(series[1]);
        // The labels and the smooth edges take some pixels of either.
        assert!((2.8..3.3).contains(&ratio), "{ratio}");
    }

    #[test]
    fn parts_without_a_share_are_named_and_not_drawn() {
        let document = pie(&[1.0, 0.0, -4.0, f64::NAN, f64::INFINITY]).svg();
        assert_eq!(document.matches("class=\"slice\"").count(), 1, "{document}");
        assert_eq!(document.matches("  0 %").count(), 4);
        assert!(pie(&[]).svg().contains("nothing above zero"));
        assert!(pie(&[f64::MAX, f64::MAX]).svg().contains("50 %"));
        assert_eq!(pie(&vec![1.0; 500]).svg().matches("class=\"slice\"").count(), MAX_SLICES);
    }

    #[test]
    fn labels_are_those_asked_for() {
        let labels = |labels, least_label| Pie { labels, least_label, legend: false, ..pie(&[30.0, 9.0, 1.0]) }.svg();
        assert!(
            labels(Labels::Percent, 5.0).contains(">75 %</text>") && !labels(Labels::Percent, 5.0).contains(">2.5 %")
        );
        assert!(
            labels(Labels::Number, 9.0).contains(">30</text>") && !labels(Labels::Number, 9.0).contains(">1</text>")
        );
        assert!(!labels(Labels::None, 0.0).contains("<text"));
    }
}
