//! The embedded typeface: how wide a text is, what it looks like, and how to shorten it.
//!
//! The pictures carry their own font, so that they look the same on a server that has none.

use std::sync::OnceLock;

use ab_glyph::{Font as _, FontRef, GlyphId, PxScale};

/// The families named in SVG: the embedded one first, then what its readers have.
pub(crate) const FAMILY: &str =
    "Inter, 'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif";

static REGULAR: &[u8] = include_bytes!("../assets/Inter-Regular.otf");
static SEMI_BOLD: &[u8] = include_bytes!("../assets/Inter-SemiBold.otf");

/// One weight of the typeface.
pub(crate) struct Face {
    font: FontRef<'static>,
    /// Glyph and advance (in em) of each ASCII character, which nearly all labels are made of.
    ascii: [(GlyphId, f32); 128],
    em: f32,
}

/// The face of one weight.
pub(crate) fn face(bold: bool) -> &'static Face {
    static FACES: OnceLock<[Face; 2]> = OnceLock::new();
    &FACES.get_or_init(|| [Face::parse(REGULAR), Face::parse(SEMI_BOLD)])[usize::from(bold)]
}

impl Face {
    fn parse(bytes: &'static [u8]) -> Self {
        let font =
            FontRef::try_from_slice(bytes).expect("the embedded font is well formed, as every test that draws shows");
        let em = font.units_per_em().unwrap_or(1000.0);
        let ascii = std::array::from_fn(|code| {
            let id = font.glyph_id(char::from(code as u8));
            (id, font.h_advance_unscaled(id) / em)
        });
        Self { font, ascii, em }
    }

    /// The glyph of a character and its advance in em.
    pub fn glyph(&self, character: char) -> (GlyphId, f32) {
        match self.ascii.get(character as usize) {
            Some(known) => *known,
            None => {
                let id = self.font.glyph_id(character);
                (id, self.font.h_advance_unscaled(id) / self.em)
            }
        }
    }

    /// The width of a text in pixels at a size in pixels to the em.
    pub fn width(&self, text: &str, size: f64) -> f64 {
        text.chars().map(|character| f64::from(self.glyph(character).1)).sum::<f64>() * size
    }

    /// The coverage of one glyph drawn at `size` pixels to the em, its origin `shift` of a pixel right of the grid.
    pub fn coverage(&self, id: GlyphId, size: f32, shift: f32) -> Option<Coverage> {
        // ab_glyph scales by the height from descender to ascender, not by the em.
        let scale = PxScale::from(size * self.font.height_unscaled() / self.em);
        let outline = self.font.outline_glyph(id.with_scale_and_position(scale, ab_glyph::point(shift, 0.0)))?;
        let bounds = outline.px_bounds();
        let (width, height) = (bounds.width() as usize, bounds.height() as usize);
        let mut alpha = vec![0; width * height];
        outline.draw(|x, y, share| {
            if let Some(pixel) = alpha.get_mut(y as usize * width + x as usize) {
                *pixel = (share.clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
            }
        });
        Some(Coverage { left: bounds.min.x as i32, top: bounds.min.y as i32, width, alpha })
    }

    /// Height of the capitals in em: what centres a label on its line.
    pub fn cap_height(&self) -> f64 {
        // Inter's own figure (1490 of 2048); ab_glyph does not read the OS/2 table.
        0.7273
    }
}

/// A drawn glyph: rows of coverage, placed relative to the pen.
pub(crate) struct Coverage {
    pub left: i32,
    pub top: i32,
    pub width: usize,
    pub alpha: Vec<u8>,
}

/// The text, or as much of its start and end as fits `width` pixels, with an ellipsis in the middle:
/// names of series differ at both ends. Nothing when not even the ellipsis fits.
pub(crate) fn fit(text: &str, size: f64, bold: bool, width: f64) -> String {
    let face = face(bold);
    // No label needs more than this, and no caller may make us measure a megabyte.
    const LONGEST: usize = 1024;
    let characters: Vec<char> = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
    let widths: Vec<f64> = characters.iter().map(|c| f64::from(face.glyph(*c).1) * size).collect();
    if widths.iter().sum::<f64>() <= width {
        return characters.into_iter().collect();
    }
    let mut room = width - f64::from(face.glyph('…').1) * size;
    if room < 0.0 {
        return String::new();
    }
    let (mut head, mut tail) = (0, characters.len());
    loop {
        // The tail gets the odd character: it is what tells `….errors` from `….requests`.
        let from_tail = characters.len() - tail <= head;
        let next = if from_tail { tail - 1 } else { head };
        room -= widths[next];
        if room < 0.0 {
            break;
        }
        if from_tail { tail -= 1 } else { head += 1 }
    }
    characters[..head].iter().chain(&['…']).chain(&characters[tail..]).collect()
}

/// The text, or as much of its start as fits `width` pixels, with an ellipsis: a sentence loses its end.
pub(crate) fn cut(text: &str, size: f64, width: f64) -> String {
    let face = face(false);
    let clean = |character: char| if character.is_control() { ' ' } else { character };
    let mut used = 0.0;
    // How much fits with an ellipsis behind it, and whether all fits without.
    let (mut shown, mut room) = (0, width - f64::from(face.glyph('…').1) * size);
    for (index, character) in text.char_indices() {
        used += f64::from(face.glyph(clean(character)).1) * size;
        if used <= room {
            shown = index + character.len_utf8();
        }
        if used > width {
            room = -1.0;
            break;
        }
    }
    if room < 0.0 {
        if shown == 0 {
            String::new()
        } else {
            format!("{}…", text[..shown].trim_end().replace(char::is_control, " "))
        }
    } else {
        text.replace(char::is_control, " ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_font_has_every_sign_that_the_charts_use() {
        for character in "…·×–→✓✗µ%ABCxyz019?<>−".chars() {
            assert!([false, true].into_iter().all(|bold| face(bold).glyph(character).0.0 != 0), "{character}");
        }
    }

    #[test]
    fn a_long_name_keeps_both_its_ends() {
        let fitted = fit("stats.timers.checkout.http.latency.upper_95", 12.0, false, 150.0);
        assert!(fitted.starts_with("stats.") && fitted.ends_with("upper_95") && fitted.contains('…'), "{fitted}");
        assert!(face(false).width(&fitted, 12.0) <= 150.0);
        assert_eq!(fit("short", 12.0, false, 150.0), "short");
        assert_eq!(fit("short", 12.0, false, 3.0), "");
    }

    #[test]
    fn a_sentence_loses_its_end() {
        let words = "Move the price\nrounding into the cart";
        assert_eq!(cut(words, 12.0, 1000.0), "Move the price rounding into the cart");
        let short = cut(words, 12.0, 100.0);
        assert!(short.starts_with("Move the") && short.ends_with('…'), "{short}");
        assert!(face(false).width(&short, 12.0) <= 100.0);
        assert_eq!(cut(words, 12.0, 3.0), "");
    }
}
