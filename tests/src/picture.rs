//! Looking at a picture's pixels: where its plot is, and where the line of a deploy stands.

use anyhow::Context;
use image::RgbImage;

/// A colour, as red, green and blue.
pub type Color = [u8; 3];

/// A decoded PNG.
#[derive(Debug)]
pub struct Picture {
    pixels: RgbImage,
}

impl Picture {
    /// Decodes a PNG.
    ///
    /// # Errors
    /// When it is none.
    pub fn decode(png: &[u8]) -> anyhow::Result<Self> {
        let decoded = image::load_from_memory_with_format(png, image::ImageFormat::Png).context("not a PNG")?;
        Ok(Self { pixels: decoded.to_rgb8() })
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        self.pixels.dimensions()
    }

    /// How many pixels of a column are of a colour, give or take `tolerance` in each channel.
    pub fn count_in_column(&self, x: u32, color: Color, tolerance: u8) -> usize {
        (0..self.pixels.height()).filter(|y| near(self.pixels.get_pixel(x, *y).0, color, tolerance)).count()
    }

    /// The column with the most pixels of a colour, and how many it has; `None` when the colour is nowhere.
    pub fn column_of(&self, color: Color, tolerance: u8) -> Option<(u32, usize)> {
        let counted = (0..self.pixels.width()).map(|x| (x, self.count_in_column(x, color, tolerance)));
        // The leftmost of equals.
        counted.rev().max_by_key(|(_, count)| *count).filter(|(_, count)| *count > 0)
    }

    /// The first and the last pixel of a colour in the row that has the most of it: a grid line's ends, which are the
    /// plot's left and right edge, whatever crosses it.
    pub fn widest_row(&self, color: Color, tolerance: u8) -> Option<(u32, u32)> {
        let in_row = |y| {
            let matches = move |x: &u32| near(self.pixels.get_pixel(*x, y).0, color, tolerance);
            (0..self.pixels.width()).filter(matches)
        };
        let row = (0..self.pixels.height()).max_by_key(|y| in_row(*y).count())?;
        Some((in_row(row).next()?, in_row(row).next_back()?))
    }
}

fn near(pixel: Color, color: Color, tolerance: u8) -> bool {
    pixel.iter().zip(color).all(|(a, b)| a.abs_diff(b) <= tolerance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_where_it_was_drawn_and_crosses_the_grid() {
        let mut pixels = RgbImage::from_pixel(60, 40, image::Rgb([255; 3]));
        (5..55).for_each(|x| pixels.put_pixel(x, 30, image::Rgb([120; 3])));
        (2..35).for_each(|y| pixels.put_pixel(33, y, image::Rgb([200, 80, 0])));
        let picture = Picture { pixels };
        assert_eq!(picture.widest_row([120; 3], 4), Some((5, 54)));
        assert_eq!(picture.column_of([200, 80, 0], 8), Some((33, 33)));
        assert_eq!(picture.column_of([0, 0, 255], 8), None);
    }
}
