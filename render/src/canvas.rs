//! What the painting code draws on: a plotters backend that also knows pens and named groups.
//!
//! Plotters' coordinates are whole numbers. The backends here count them in eighths of a pixel, so that
//! a curve keeps its shape; [`px`] makes one of a length in pixels.

use std::convert::Infallible;

use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind, FontFamily,
    FontStyle,
    text_anchor::{HPos, Pos, VPos},
};

use crate::{font, palette::Rgb};

/// Coordinates to the pixel.
pub(crate) const SUB: i32 = 8;

/// A length in pixels as a coordinate.
pub(crate) fn px(pixels: f64) -> i32 {
    (pixels * f64::from(SUB)).round() as i32
}

/// A plotters backend with what charts need beyond plotters' own drawing calls.
pub(crate) trait Canvas: DrawingBackend<ErrorType = Infallible> {
    /// Draws an open path.
    fn stroke(&mut self, path: &[BackendCoord], pen: &Pen);

    /// Begins a group of shapes that means one thing, in formats that can say so.
    fn open(&mut self, _group: &Group<'_>) {}

    /// Ends the group begun last.
    fn close(&mut self) {}
}

/// What drawing on our own canvases returns: they write to memory, so there is nothing to handle.
pub(crate) type Drawn = Result<(), DrawingErrorKind<Infallible>>;

/// A group's meaning, for screen readers and scripts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group<'a> {
    pub class: &'static str,
    /// The id of the one thing that it shows, where there is one.
    pub id: Option<&'a str>,
    pub title: &'a str,
    pub description: &'a str,
}

/// How a path is drawn. Lengths are coordinates.
#[derive(Debug, Clone)]
pub(crate) struct Pen {
    pub color: Rgb,
    pub alpha: f64,
    pub width: i32,
    /// Lengths drawn and left out in turn; empty for a solid line.
    pub dash: Vec<i32>,
}

impl Pen {
    /// A solid pen of a width in pixels.
    pub fn solid(color: Rgb, width_px: f64) -> Self {
        Self { color, alpha: 1.0, width: px(width_px).max(1), dash: Vec::new() }
    }

    /// The same pen with dashes, in pixels.
    pub fn dashed(self, dash_px: impl IntoIterator<Item = f64>) -> Self {
        Self { dash: dash_px.into_iter().map(|length| px(length).max(1)).collect(), ..self }
    }

    /// The same pen with an opacity.
    pub fn faded(self, alpha: f64) -> Self {
        Self { alpha, ..self }
    }
}

impl BackendStyle for Pen {
    fn color(&self) -> BackendColor {
        BackendColor { alpha: self.alpha, rgb: self.color }
    }

    fn stroke_width(&self) -> u32 {
        self.width.unsigned_abs()
    }
}

/// A fill.
pub(crate) fn fill(color: Rgb, alpha: f64) -> BackendColor {
    BackendColor { alpha, rgb: color }
}

/// How a text is set. It is centred vertically on its capitals.
#[derive(Clone, Copy)]
pub(crate) struct Text {
    pub color: Rgb,
    /// Pixels to the em.
    pub size: f64,
    pub bold: bool,
    pub align: HPos,
}

impl BackendTextStyle for Text {
    type FontError = Infallible;

    fn color(&self) -> BackendColor {
        fill(self.color, 1.0)
    }

    fn size(&self) -> f64 {
        self.size
    }

    fn style(&self) -> FontStyle {
        if self.bold { FontStyle::Bold } else { FontStyle::Normal }
    }

    fn anchor(&self) -> Pos {
        Pos::new(self.align, VPos::Center)
    }

    fn family(&self) -> FontFamily<'_> {
        FontFamily::Name(font::FAMILY)
    }

    fn layout_box(&self, text: &str) -> Result<((i32, i32), (i32, i32)), Infallible> {
        let face = font::face(self.bold);
        Ok(((0, 0), (px(face.width(text, self.size)), px(face.cap_height() * self.size))))
    }

    /// Never called: our canvases set text themselves, one as text and one with its own cache of glyphs.
    fn draw<E, F: FnMut(i32, i32, BackendColor) -> Result<(), E>>(
        &self,
        _text: &str,
        _pos: BackendCoord,
        _draw: F,
    ) -> Result<Result<(), E>, Infallible> {
        Ok(Ok(()))
    }
}
