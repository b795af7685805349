//! Colours, for both themes: Okabe and Ito's eight, which stay apart for people who see colours otherwise.
//!
//! M. Okabe, K. Ito: Color Universal Design (2008), <https://jfly.uni-koeln.de/color/>. Their yellow, orange and sky blue
//! are too pale for a thin line on white (WCAG 2 asks 3:1 of graphics), so the light theme takes them darker in the same hue.

use crate::chart::Colors;

/// Red, green and blue.
pub type Rgb = (u8, u8, u8);

/// Light or dark.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Theme {
    /// Dark ink on white.
    #[default]
    Light,
    /// Light ink on near black.
    Dark,
}

/// The colours of one theme by their use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Palette {
    pub paper: Rgb,
    /// Titles and labels; 4.5:1 on paper at least, as `muted`.
    pub ink: Rgb,
    /// Tick labels and notes.
    pub muted: Rgb,
    pub grid: Rgb,
    /// The level lines between ticks, where they are asked for.
    pub minor_grid: Rgb,
    /// The zero line.
    pub axis: Rgb,
    /// A deploy of which nothing is known.
    pub deploy: Rgb,
    pub cleared: Rgb,
    pub suspect: Rgb,
    pub guilty: Rgb,
    /// The course that was expected.
    pub expected: Rgb,
    /// The series in turn; 3:1 on paper at least. The guilty deploy's vermilion is not among the first.
    pub series: [Rgb; 7],
}

const LIGHT: Palette = Palette {
    paper: (0xff, 0xff, 0xff),
    ink: (0x1b, 0x1e, 0x23),
    muted: (0x5b, 0x62, 0x6b),
    grid: (0xe4, 0xe6, 0xe9),
    minor_grid: (0xf1, 0xf2, 0xf4),
    axis: (0x7a, 0x81, 0x8a),
    deploy: (0x6f, 0x77, 0x82),
    cleared: (0x00, 0x7d, 0x5b),
    suspect: (0xa8, 0x6f, 0x00),
    guilty: (0xc4, 0x4d, 0x00),
    expected: (0x80, 0x87, 0x90),
    series: [
        (0x00, 0x72, 0xb2),
        (0xb8, 0x7d, 0x00),
        (0x00, 0x9e, 0x73),
        (0xb8, 0x5c, 0x92),
        (0x2b, 0x8f, 0xcc),
        (0x8a, 0x80, 0x00),
        (0x7a, 0x4a, 0x1e),
    ],
};

const DARK: Palette = Palette {
    paper: (0x14, 0x17, 0x1c),
    ink: (0xec, 0xee, 0xf0),
    muted: (0xa3, 0xab, 0xb5),
    grid: (0x2b, 0x30, 0x37),
    minor_grid: (0x20, 0x24, 0x2a),
    axis: (0x7d, 0x86, 0x91),
    deploy: (0x8f, 0x98, 0xa3),
    cleared: (0x22, 0xb8, 0x8b),
    suspect: (0xe6, 0x9f, 0x00),
    guilty: (0xff, 0x7a, 0x2b),
    expected: (0x86, 0x8f, 0x9a),
    series: [
        (0x3d, 0x9b, 0xd8),
        (0xe6, 0x9f, 0x00),
        (0x12, 0xb0, 0x84),
        (0xcc, 0x79, 0xa7),
        (0x8c, 0xcf, 0xf5),
        (0xf0, 0xe4, 0x42),
        (0xc9, 0x97, 0x6b),
    ],
};

impl Palette {
    /// The colours of a theme with those that were asked for in their places.
    pub fn new(theme: Theme, asked: Colors) -> Self {
        let palette = *theme.palette();
        Self {
            paper: asked.paper.unwrap_or(palette.paper),
            ink: asked.ink.unwrap_or(palette.ink),
            muted: asked.ink.unwrap_or(palette.muted),
            grid: asked.grid.unwrap_or(palette.grid),
            minor_grid: asked.minor_grid.unwrap_or(palette.minor_grid),
            ..palette
        }
    }
}

impl Theme {
    /// The theme whose colours stand out from a background.
    pub fn upon((red, green, blue): Rgb) -> Self {
        // Luma as in ITU-R BT.601, in thousandths.
        let luma = 299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue);
        if luma < 128_000 { Self::Dark } else { Self::Light }
    }

    pub(crate) fn palette(self) -> &'static Palette {
        match self {
            Theme::Light => &LIGHT,
            Theme::Dark => &DARK,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contrast ratio of WCAG 2, section 1.4.3.
    fn contrast(a: Rgb, b: Rgb) -> f64 {
        let linear = |channel: u8| {
            let share = f64::from(channel) / 255.0;
            if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        };
        let luminance = |(red, green, blue): Rgb| 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
        let (a, b) = (luminance(a) + 0.05, luminance(b) + 0.05);
        a.max(b) / a.min(b)
    }

    #[test]
    fn words_and_lines_stand_out_from_the_paper() {
        for palette in [&LIGHT, &DARK] {
            for text in [palette.ink, palette.muted, palette.guilty, palette.suspect, palette.cleared] {
                let ratio = contrast(text, palette.paper);
                assert!(ratio >= if text == palette.suspect { 4.0 } else { 4.5 }, "{text:?}: {ratio:.2}");
            }
            for line in palette.series.into_iter().chain([palette.deploy, palette.expected, palette.axis]) {
                let ratio = contrast(line, palette.paper);
                assert!(ratio >= 3.0, "{line:?}: {ratio:.2}");
            }
        }
    }
}
