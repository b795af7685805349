//! SVG: a canvas that writes real text and says what its shapes mean.

use std::{convert::Infallible, fmt::Write as _};

use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, FontStyle, text_anchor::HPos,
};

use crate::{
    canvas::{Canvas, Drawn, Group, Pen, SUB, px},
    font,
    palette::Rgb,
};

/// An SVG document under construction.
pub(crate) struct Svg {
    size: (u32, u32),
    out: String,
}

impl Svg {
    /// Begins a document of so many pixels with what it shows in one line and in a few.
    pub fn new(width: u32, height: u32, title: &str, description: &str) -> Self {
        let mut svg = Self { size: (width, height), out: String::with_capacity(64 * 1024) };
        svg.put(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
             role=\"graphics-document\" font-family=\"{}\">\n<title>",
            font::FAMILY
        ));
        svg.escape(title);
        svg.out.push_str("</title>\n<desc>");
        svg.escape(description);
        svg.out.push_str("</desc>\n");
        svg
    }

    /// The whole document.
    pub fn finish(mut self) -> String {
        self.out.push_str("</svg>\n");
        self.out
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = self.out.write_fmt(text);
    }

    /// Writes text so that it stays text: markup is escaped, and what XML 1.0 cannot hold is replaced.
    fn escape(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '"' => self.out.push_str("&quot;"),
                '\'' => self.out.push_str("&#39;"),
                '\t' | '\n' | '\r' => self.out.push(' '),
                '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => self.out.push('\u{fffd}'),
                _ => self.out.push(character),
            }
        }
    }

    /// Writes a coordinate in pixels, to the tenth.
    fn coord(&mut self, value: i32) {
        const TENTHS: [&str; SUB as usize] = ["", ".1", ".3", ".4", ".5", ".6", ".8", ".9"];
        let (mut whole, rest) = (value.div_euclid(SUB), value.rem_euclid(SUB));
        if whole < 0 {
            self.put(format_args!("{:.1}", f64::from(value) / f64::from(SUB)));
            return;
        }
        // A chart has tens of thousands of these, and `write!` takes three times as long.
        let mut digits = [0; 10];
        let mut start = digits.len();
        loop {
            start -= 1;
            digits[start] = b'0' + (whole % 10) as u8;
            whole /= 10;
            if whole == 0 {
                break;
            }
        }
        self.out.extend(digits[start..].iter().map(|digit| char::from(*digit)));
        self.out.push_str(TENTHS[rest as usize]);
    }

    fn attribute(&mut self, name: &str, value: i32) {
        self.put(format_args!(" {name}=\""));
        self.coord(value);
        self.out.push('"');
    }

    fn points(&mut self, points: impl IntoIterator<Item = BackendCoord>) {
        self.out.push_str(" points=\"");
        for (index, (x, y)) in points.into_iter().enumerate() {
            if index > 0 {
                self.out.push(' ');
            }
            self.coord(x);
            self.out.push(',');
            self.coord(y);
        }
        self.out.push('"');
    }

    fn paint(&mut self, property: &str, (red, green, blue): Rgb, alpha: f64) {
        self.put(format_args!(" {property}=\"#{red:02x}{green:02x}{blue:02x}\""));
        if alpha < 1.0 {
            self.put(format_args!(" {property}-opacity=\"{}\"", (alpha * 1000.0).round() / 1000.0));
        }
    }

    fn pen(&mut self, pen: &Pen) {
        self.paint("stroke", pen.color, pen.alpha);
        self.attribute("stroke-width", pen.width);
        if !pen.dash.is_empty() {
            self.out.push_str(" stroke-dasharray=\"");
            for (index, length) in pen.dash.iter().enumerate() {
                if index > 0 {
                    self.out.push(' ');
                }
                self.coord(*length);
            }
            self.out.push('"');
        }
    }

    fn fill_or_stroke<S: BackendStyle>(&mut self, style: &S, fill: bool) {
        let BackendColor { alpha, rgb } = style.color();
        if fill {
            self.paint("fill", rgb, alpha);
        } else {
            self.out.push_str(" fill=\"none\"");
            self.paint("stroke", rgb, alpha);
            self.attribute("stroke-width", style.stroke_width() as i32);
        }
        self.out.push_str("/>\n");
    }
}

impl Canvas for Svg {
    fn stroke(&mut self, path: &[BackendCoord], pen: &Pen) {
        if let [(x1, y1), (x2, y2)] = *path {
            self.out.push_str("<line");
            for (name, value) in [("x1", x1), ("y1", y1), ("x2", x2), ("y2", y2)] {
                self.attribute(name, value);
            }
        } else {
            self.out.push_str("<polyline fill=\"none\" stroke-linejoin=\"round\"");
            self.points(path.iter().copied());
        }
        self.pen(pen);
        self.out.push_str("/>\n");
    }

    fn open(&mut self, group: &Group<'_>) {
        self.put(format_args!("<g class=\"{}\"", group.class));
        if let Some(id) = group.id {
            self.out.push_str(" data-id=\"");
            self.escape(id);
            self.out.push('"');
        }
        if !group.title.is_empty() {
            // A screen reader reads it, and the keyboard reaches it.
            self.out.push_str(" role=\"graphics-symbol\" tabindex=\"0\"");
        }
        self.out.push('>');
        for (element, text) in [("title", group.title), ("desc", group.description)] {
            if !text.is_empty() {
                self.put(format_args!("<{element}>"));
                self.escape(text);
                self.put(format_args!("</{element}>"));
            }
        }
        self.out.push('\n');
    }

    fn close(&mut self) {
        self.out.push_str("</g>\n");
    }
}

impl DrawingBackend for Svg {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        (self.size.0 * SUB as u32, self.size.1 * SUB as u32)
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Drawn {
        self.draw_rect((x, y), (x + SUB, y + SUB), &color, true)
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        self.draw_path([from, to], style)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        (left, top): BackendCoord,
        (right, bottom): BackendCoord,
        style: &S,
        fill: bool,
    ) -> Drawn {
        self.out.push_str("<rect");
        for (name, value) in
            [("x", left), ("y", top), ("width", (right - left).max(0)), ("height", (bottom - top).max(0))]
        {
            self.attribute(name, value);
        }
        self.fill_or_stroke(style, fill);
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Drawn {
        let path: Vec<_> = path.into_iter().collect();
        let BackendColor { alpha, rgb } = style.color();
        self.stroke(&path, &Pen { color: rgb, alpha, width: style.stroke_width() as i32, dash: Vec::new() });
        Ok(())
    }

    fn draw_circle<S: BackendStyle>(&mut self, (x, y): BackendCoord, radius: u32, style: &S, fill: bool) -> Drawn {
        self.out.push_str("<circle");
        for (name, value) in [("cx", x), ("cy", y), ("r", radius as i32)] {
            self.attribute(name, value);
        }
        self.fill_or_stroke(style, fill);
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, vertices: I, style: &S) -> Drawn {
        self.out.push_str("<polygon");
        self.points(vertices);
        self.fill_or_stroke(style, true);
        Ok(())
    }

    fn draw_text<T: BackendTextStyle>(&mut self, text: &str, style: &T, (x, y): BackendCoord) -> Drawn {
        let bold = matches!(style.style(), FontStyle::Bold);
        let baseline = y + px(font::face(bold).cap_height() * style.size() / 2.0);
        self.out.push_str("<text");
        self.attribute("x", x);
        self.attribute("y", baseline);
        self.attribute("font-size", px(style.size()));
        if bold {
            self.out.push_str(" font-weight=\"600\"");
        }
        match style.anchor().h_pos {
            HPos::Left => {}
            HPos::Center => self.out.push_str(" text-anchor=\"middle\""),
            HPos::Right => self.out.push_str(" text-anchor=\"end\""),
        }
        let BackendColor { alpha, rgb } = style.color();
        self.paint("fill", rgb, alpha);
        self.out.push('>');
        self.escape(text);
        self.out.push_str("</text>\n");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_written_in_pixels() {
        let mut svg = Svg::new(10, 10, "", "");
        let start = svg.out.len();
        for value in [0, 8, 9, 84, 800, -12] {
            svg.coord(value);
            svg.out.push(' ');
        }
        assert_eq!(&svg.out[start..], "0 1 1.1 10.5 100 -1.5 ");
    }

    #[test]
    fn text_cannot_become_markup() {
        let svg = Svg::new(10, 10, "<script>alert('\"&\u{7}')</script>", "").finish();
        assert!(
            svg.contains("<title>&lt;script&gt;alert(&#39;&quot;&amp;\u{fffd}&#39;)&lt;/script&gt;</title>"),
            "{svg}"
        );
    }
}
