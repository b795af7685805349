//! Charts of series with the deploys drawn on them, and Graphite's target language.
//!
//! A [`Chart`] holds everything that a picture depends on; [`svg`] and [`png`] draw it. The same chart gives the same
//! bytes. Nothing here reads a clock, a file or a socket.

pub mod chart;

pub mod palette;

mod font;

mod time_axis;
mod value_axis;

mod downsample;

mod stems;

pub mod layout;

mod canvas;

mod raster;
mod svg;
mod tty;

mod paint;

pub mod pie;

pub mod graphite;

pub use chart::{
    AreaMode, Chart, Colors, Compared, DeployMark, Frame, Line, LineStyle, MarkVerdict, Scale, Shape, Side, Top, Unit,
};
pub use layout::{PlotArea, plot_area};
pub use palette::Theme;
pub use pie::Pie;
pub use time_axis::is_format as is_time_format;
pub use tty::{Terminal, tty};

/// The chart as an SVG document, with real text, and titles and descriptions for screen readers.
pub fn svg(chart: &Chart) -> String {
    let layout = layout::Layout::new(chart);
    let title = if chart.title.trim().is_empty() { "Chart" } else { chart.title.trim() };
    let description = describe(chart, &layout);
    let mut canvas = svg::Svg::new(layout.width, layout.height, title, &description);
    painted(paint::paint(chart, &layout, &mut canvas));
    canvas.finish()
}

/// The chart as PNG, three bytes a pixel without alpha.
pub fn png(chart: &Chart) -> Vec<u8> {
    let layout = layout::Layout::new(chart);
    let paper = palette::Palette::new(chart.theme, chart.colors).paper;
    let mut canvas = raster::Raster::new(layout.width, layout.height, paper);
    painted(paint::paint(chart, &layout, &mut canvas));
    canvas.png()
}

/// Our canvases write to memory and set their own text: drawing on them has no way to fail.
fn painted(drawn: canvas::Drawn) {
    debug_assert!(drawn.is_ok());
}

/// What the chart shows, in a sentence for those who do not see it.
fn describe(chart: &Chart, layout: &layout::Layout<'_>) -> String {
    let count = |n: usize, one: &str, more: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {more}") };
    let lines = count(chart.lines.len(), "series", "series");
    let deploys = count(layout.stems.marks.len(), "deploy", "deploys");
    let gravest = layout.stems.marks.iter().max_by_key(|mark| mark.verdict.gravity());
    let verdict = match gravest.filter(|mark| mark.verdict.gravity() >= 2) {
        Some(mark) => format!(" {}: {}.", mark.name(), mark.verdict.words()),
        None => String::new(),
    };
    format!(
        "{lines} and {deploys}, {}.{verdict}",
        time_axis::context(layout.window.0, layout.window.1, &chart.time_zone)
    )
}
