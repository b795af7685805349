//! Pixels: a canvas with smooth lines and text, and its PNG.
//!
//! Shapes are drawn by exact area coverage (R. Levien's font-rs, 2016): each edge adds its signed area to the pixels
//! it crosses, and one sweep along the rows sums them up. The cost grows with edges plus pixels, not with their product.

use std::{cell::RefCell, collections::HashMap, convert::Infallible};

use ab_glyph_rasterizer::{Point, Rasterizer, point};
use image::{
    ColorType, ImageEncoder as _,
    codecs::png::{CompressionType, FilterType, PngEncoder},
};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, FontStyle, text_anchor::HPos,
};

use crate::{
    canvas::{Canvas, Drawn, Pen, SUB},
    font::{self, Coverage},
    palette::Rgb,
};

/// A picture in memory, three bytes a pixel.
pub(crate) struct Raster {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
    mask: Rasterizer,
}

/// A glyph as drawn: weight, glyph, size and place between two pixels, both in eighths.
type GlyphKey = (bool, u16, i32, i32);

/// Most drawn glyphs that a thread keeps, some 20 MB at usual sizes; then it begins again.
const MAX_GLYPHS: usize = 50_000;

thread_local! {
    /// Glyphs drawn before: a chart's labels are the same few characters over and over.
    static GLYPHS: RefCell<HashMap<GlyphKey, Option<Coverage>>> = RefCell::default();
}

impl Raster {
    /// A picture all in one colour.
    pub fn new(width: u32, height: u32, paper: Rgb) -> Self {
        let (width, height) = (width as usize, height as usize);
        let rgb = [paper.0, paper.1, paper.2].repeat(width * height);
        Self { width, height, rgb, mask: Rasterizer::new(0, 0) }
    }

    /// The picture as PNG.
    pub fn png(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.rgb.len() / 16);
        // Rows of a chart mostly repeat the row above, which `Up` turns into zeros.
        let encoder = PngEncoder::new_with_quality(&mut out, CompressionType::Fast, FilterType::Up);
        encoder
            .write_image(&self.rgb, self.width as u32, self.height as u32, ColorType::Rgb8)
            .expect("writing to memory does not fail, and the buffer has three bytes for each pixel");
        out
    }

    /// Lays `share` of 255 of a colour over one pixel.
    fn blend(&mut self, x: usize, y: usize, color: Rgb, share: u32) {
        let at = (y * self.width + x) * 3;
        if let Some(pixel) = self.rgb.get_mut(at..at + 3) {
            for (channel, ink) in pixel.iter_mut().zip([color.0, color.1, color.2]) {
                let mixed = u32::from(*channel) * (255 - share) + u32::from(ink) * share;
                *channel = ((mixed + 127) / 255) as u8;
            }
        }
    }

    /// Fills whole pixels; the ends are rounded to the nearest.
    fn fill_rect(&mut self, (left, top): BackendCoord, (right, bottom): BackendCoord, color: BackendColor) {
        let whole = |value: i32, limit: usize| ((value + SUB / 2).div_euclid(SUB).max(0) as usize).min(limit);
        let share = (color.alpha.clamp(0.0, 1.0) * 255.0).round() as u32;
        for y in whole(top, self.height)..whole(bottom, self.height) {
            for x in whole(left, self.width)..whole(right, self.width) {
                self.blend(x, y, color.rgb, share);
            }
        }
    }

    /// Fills polygons that all turn the same way; where they overlap, the colour is laid on once.
    fn fill_polygons(&mut self, polygons: impl Fn(&mut dyn FnMut(&[Point])), color: BackendColor) {
        let (mut min, mut max) = ((f32::MAX, f32::MAX), (f32::MIN, f32::MIN));
        polygons(&mut |polygon| {
            for vertex in polygon {
                min = (min.0.min(vertex.x), min.1.min(vertex.y));
                max = (max.0.max(vertex.x), max.1.max(vertex.y));
            }
        });
        let (left, top) = (min.0.floor().max(0.0), min.1.floor().max(0.0));
        let (right, bottom) = (max.0.ceil().min(self.width as f32), max.1.ceil().min(self.height as f32));
        if left >= right || top >= bottom {
            return;
        }
        // The rasterizer lets an edge outside its grid run into the next row, hence the clamp across.
        let (width, height) = (right - left, bottom - top);
        let mut mask = std::mem::replace(&mut self.mask, Rasterizer::new(0, 0));
        mask.reset(width as usize, height as usize);
        let inside = |vertex: Point| point((vertex.x - left).clamp(0.0, width), (vertex.y - top).clamp(0.0, height));
        polygons(&mut |polygon| {
            for (index, vertex) in polygon.iter().enumerate() {
                mask.draw_line(inside(*vertex), inside(polygon[(index + 1) % polygon.len()]));
            }
        });
        let scale = color.alpha.clamp(0.0, 1.0) as f32 * 255.0;
        mask.for_each_pixel_2d(|x, y, coverage| {
            let share = (coverage.abs().min(1.0) * scale + 0.5) as u32;
            if share > 0 {
                self.blend(x as usize + left as usize, y as usize + top as usize, color.rgb, share);
            }
        });
        self.mask = mask;
    }

    fn stroke_solid(&mut self, path: &[BackendCoord], pen: &Pen) {
        if let [from, to] = *path
            && (from.0 == to.0 || from.1 == to.1)
        {
            // An upright or level line stays crisp: it fills whole pixels.
            let width = (pen.width + SUB / 2).div_euclid(SUB).max(1) * SUB;
            let (left, right) = (from.0.min(to.0), from.0.max(to.0));
            let (top, bottom) = (from.1.min(to.1), from.1.max(to.1));
            let color = pen.color();
            return if from.0 == to.0 {
                self.fill_rect((left - width / 2, top), (left - width / 2 + width, bottom), color)
            } else {
                self.fill_rect((left, top - width / 2), (right, top - width / 2 + width), color)
            };
        }
        let half = pen.width as f32 / SUB as f32 / 2.0;
        self.fill_polygons(|emit| ribbon(path, half, emit), pen.color());
    }
}

/// The outline of a path with a pen of twice `half`: a quad for each segment and a bevel at each turn, all turning one way.
fn ribbon(path: &[BackendCoord], half: f32, emit: &mut dyn FnMut(&[Point])) {
    let at = |(x, y): BackendCoord| point(x as f32 / SUB as f32, y as f32 / SUB as f32);
    let mut before: Option<Point> = None;
    for pair in path.windows(2) {
        let (from, to) = (at(pair[0]), at(pair[1]));
        let (dx, dy) = (to.x - from.x, to.y - from.y);
        let length = dx.hypot(dy);
        if length == 0.0 {
            continue;
        }
        let side = point(-dy / length * half, dx / length * half);
        emit(&[
            point(from.x + side.x, from.y + side.y),
            point(to.x + side.x, to.y + side.y),
            point(to.x - side.x, to.y - side.y),
            point(from.x - side.x, from.y - side.y),
        ]);
        if let Some(before) = before {
            let turn = before.x * side.y - before.y * side.x;
            // The bevel lies on the outer side of the turn.
            let sign = if turn > 0.0 { -1.0 } else { 1.0 };
            let (a, b) = (
                point(from.x + before.x * sign, from.y + before.y * sign),
                point(from.x + side.x * sign, from.y + side.y * sign),
            );
            if turn > 0.0 { emit(&[from, b, a]) } else { emit(&[from, a, b]) }
        }
        before = Some(side);
    }
}

/// Cuts a path into the pieces that a dashed pen draws.
fn dashes(path: &[BackendCoord], dash: &[i32], mut emit: impl FnMut(&[BackendCoord])) {
    let (mut index, mut left) = (0, f64::from(dash[0]));
    let mut piece: Vec<BackendCoord> = path.first().copied().into_iter().collect();
    for pair in path.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        let length = f64::from(x1 - x0).hypot(f64::from(y1 - y0));
        let mut done = 0.0;
        while length - done > left {
            done += left;
            let share = done / length;
            let cut =
                (x0 + (f64::from(x1 - x0) * share).round() as i32, y0 + (f64::from(y1 - y0) * share).round() as i32);
            if index % 2 == 0 {
                piece.push(cut);
                emit(&piece);
            }
            piece.clear();
            piece.push(cut);
            index += 1;
            left = f64::from(dash[index % dash.len()].max(1));
        }
        left -= length - done;
        if index % 2 == 0 {
            piece.push((x1, y1));
        } else {
            piece.clear();
            piece.push((x1, y1));
        }
    }
    if index % 2 == 0 && piece.len() > 1 {
        emit(&piece);
    }
}

impl Canvas for Raster {
    fn stroke(&mut self, path: &[BackendCoord], pen: &Pen) {
        if pen.dash.is_empty() {
            return self.stroke_solid(path, pen);
        }
        dashes(path, &pen.dash, |piece| self.stroke_solid(piece, pen));
    }
}

impl DrawingBackend for Raster {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        (self.width as u32 * SUB as u32, self.height as u32 * SUB as u32)
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Drawn {
        self.fill_rect((x, y), (x + SUB, y + SUB), color);
        Ok(())
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        self.draw_path([from, to], style)
    }

    fn draw_rect<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S, fill: bool) -> Drawn {
        if fill {
            self.fill_rect(from, to, style.color());
            return Ok(());
        }
        self.draw_path([from, (to.0, from.1), to, (from.0, to.1), from], style)
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Drawn {
        let path: Vec<_> = path.into_iter().collect();
        let BackendColor { alpha, rgb } = style.color();
        self.stroke(&path, &Pen { color: rgb, alpha, width: style.stroke_width() as i32, dash: Vec::new() });
        Ok(())
    }

    fn draw_circle<S: BackendStyle>(&mut self, (x, y): BackendCoord, radius: u32, style: &S, fill: bool) -> Drawn {
        const CORNERS: u32 = 24;
        let corner = |index: u32| {
            let (sin, cos) = (f64::from(index) / f64::from(CORNERS) * std::f64::consts::TAU).sin_cos();
            (x + (cos * f64::from(radius)).round() as i32, y + (sin * f64::from(radius)).round() as i32)
        };
        if fill {
            self.fill_polygon((0..CORNERS).map(corner), style)
        } else {
            self.draw_path((0..=CORNERS).map(corner), style)
        }
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, vertices: I, style: &S) -> Drawn {
        let polygon: Vec<Point> =
            vertices.into_iter().map(|(x, y)| point(x as f32 / SUB as f32, y as f32 / SUB as f32)).collect();
        self.fill_polygons(|emit| emit(&polygon), style.color());
        Ok(())
    }

    fn draw_text<T: BackendTextStyle>(&mut self, text: &str, style: &T, (x, y): BackendCoord) -> Drawn {
        let bold = matches!(style.style(), FontStyle::Bold);
        let (face, size) = (font::face(bold), style.size());
        let width = face.width(text, size);
        let mut pen_x = f64::from(x) / f64::from(SUB)
            - match style.anchor().h_pos {
                HPos::Left => 0.0,
                HPos::Center => width / 2.0,
                HPos::Right => width,
            };
        // A baseline on the grid keeps the feet of the letters sharp.
        let baseline = (f64::from(y) / f64::from(SUB) + face.cap_height() * size / 2.0).round() as i32;
        let color = style.color();
        let mut glyphs = GLYPHS.take();
        if glyphs.len() > MAX_GLYPHS {
            glyphs.clear();
        }
        for character in text.chars() {
            let (id, advance) = face.glyph(character);
            // Quarters of a pixel keep the letters evenly apart; finer would only miss the cache.
            let quarters = (pen_x * 4.0).round() as i32;
            let (column, shift) = (quarters.div_euclid(4), quarters.rem_euclid(4));
            let size_key = (size * f64::from(SUB)).round() as i32;
            let coverage = glyphs
                .entry((bold, id.0, size_key, shift))
                .or_insert_with(|| face.coverage(id, size as f32, shift as f32 / 4.0));
            if let Some(coverage) = coverage {
                self.stamp(coverage, column, baseline, color);
            }
            pen_x += f64::from(advance) * size;
        }
        GLYPHS.set(glyphs);
        Ok(())
    }
}

impl Raster {
    /// Lays a drawn glyph over the picture with the pen at `(column, baseline)`.
    fn stamp(&mut self, coverage: &Coverage, column: i32, baseline: i32, color: BackendColor) {
        for (row, alphas) in coverage.alpha.chunks_exact(coverage.width.max(1)).enumerate() {
            let y = baseline + coverage.top + row as i32;
            if y < 0 || y as usize >= self.height {
                continue;
            }
            for (index, alpha) in alphas.iter().enumerate().filter(|(_, alpha)| **alpha > 0) {
                let x = column + coverage.left + index as i32;
                if x >= 0 && (x as usize) < self.width {
                    let share = (f64::from(*alpha) * color.alpha).round() as u32;
                    self.blend(x as usize, y as usize, color.rgb, share.min(255));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixel(raster: &Raster, x: usize, y: usize) -> Rgb {
        let at = (y * raster.width + x) * 3;
        (raster.rgb[at], raster.rgb[at + 1], raster.rgb[at + 2])
    }

    #[test]
    fn an_upright_line_fills_exactly_its_column() {
        let mut raster = Raster::new(10, 10, (255, 255, 255));
        raster.stroke(&[(5 * SUB + SUB / 2, 0), (5 * SUB + SUB / 2, 10 * SUB)], &Pen::solid((200, 0, 0), 1.0));
        for y in 0..10 {
            assert_eq!([4, 5, 6].map(|x| pixel(&raster, x, y)), [(255, 255, 255), (200, 0, 0), (255, 255, 255)]);
        }
    }

    #[test]
    fn a_sloping_line_covers_as_much_as_its_area() {
        let mut raster = Raster::new(40, 40, (0, 0, 0));
        raster.stroke(
            &[(5 * SUB, 5 * SUB), (20 * SUB, 25 * SUB), (35 * SUB, 5 * SUB)],
            &Pen::solid((255, 255, 255), 2.0),
        );
        let lit: f64 = raster.rgb.iter().step_by(3).map(|channel| f64::from(*channel) / 255.0).sum();
        // Two segments of 25 pixels, two wide, and the bevel between them.
        assert!((lit - 100.0).abs() < 3.0, "{lit}");
    }

    #[test]
    fn nothing_outside_the_picture_is_touched() {
        let mut raster = Raster::new(10, 10, (9, 9, 9));
        raster.stroke(&[(-50, -90), (4000, 30), (-70, 800)], &Pen::solid((255, 255, 255), 3.0));
        raster.draw_circle((0, 0), 400, &Pen::solid((1, 2, 3), 1.0), true).unwrap();
        raster.stroke(&[(-500, 40), (500, 40)], &Pen::solid((255, 255, 255), 1.0).dashed([2.0, 1.0]));
        assert_eq!(raster.rgb.len(), 300);
    }

    #[test]
    fn dashes_begin_drawn() {
        let mut pieces = Vec::new();
        dashes(&[(0, 0), (0, 50)], &[20, 10], |piece| pieces.push(piece.to_vec()));
        assert_eq!(pieces, [vec![(0, 0), (0, 20)], vec![(0, 30), (0, 50)]]);
    }
}
