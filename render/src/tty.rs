//! Charts for the terminal: braille dots for the series, upright strokes for the deploys, a numbered list below.

use std::fmt::Write as _;

use deployline_schemas::UnixMillis;

use crate::{
    chart::{Chart, MarkVerdict, Shape},
    downsample, layout,
    palette::Rgb,
    stems::Stems,
    time_axis,
    value_axis::ValueAxis,
};

/// The terminal that a chart is drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    /// Characters across, 40 to 500.
    pub columns: usize,
    /// Lines for the plot alone, 5 to 200; title, axis and lists come on top.
    pub rows: usize,
    /// Whether to colour by ANSI's 24-bit escapes. Without, signs and words say the same.
    pub color: bool,
}

/// Most deploys that are listed.
const MAX_LISTED: usize = 12;
/// Dots of a braille character: two across, four down.
const DOTS: (usize, usize) = (2, 4);

/// The chart as text, a line feed after each line.
pub fn tty(chart: &Chart, terminal: Terminal) -> String {
    let window = layout::window(chart);
    let (columns, rows) = (terminal.columns.clamp(40, 500), terminal.rows.clamp(5, 200));
    let runs: Vec<_> =
        chart.lines.iter().map(|line| downsample::runs(line, window.0.as_secs(), window.1.as_secs())).collect();
    let values = || {
        let lines = chart.lines.iter().zip(&runs).filter(|(line, _)| line.style.shape != Shape::Infinite);
        lines.flat_map(|(line, runs)| runs.iter().cloned().flatten().map(|index| line.values[index]))
    };
    let extent = values().fold(None, |extent: Option<(f64, f64)>, value| {
        Some(extent.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
    });
    let axis = ValueAxis::new(chart.unit, extent, (chart.value_min, chart.value_max), (rows / 4).max(2));
    let gutter = axis.ticks.iter().map(|(_, label)| label.chars().count()).max().unwrap_or(0).min(columns / 3) + 1;
    let screen = Screen::new(columns - gutter, rows, window, &axis);
    let picture = Picture { chart, terminal, screen, gutter };
    picture.text(&axis, &runs)
}

/// Where times and values fall among the dots.
struct Screen<'a> {
    columns: usize,
    rows: usize,
    window: (UnixMillis, UnixMillis),
    axis: &'a ValueAxis,
}

impl<'a> Screen<'a> {
    fn new(columns: usize, rows: usize, window: (UnixMillis, UnixMillis), axis: &'a ValueAxis) -> Self {
        Self { columns, rows, window, axis }
    }

    /// The dot column of a moment within the window.
    fn x(&self, at: UnixMillis) -> Option<usize> {
        let (from, until) = self.window;
        let share = (at.0 as f64 - from.0 as f64) / (until.0 as f64 - from.0 as f64);
        let dots = self.columns * DOTS.0;
        (0.0..=1.0).contains(&share).then(|| ((share * dots as f64) as usize).min(dots - 1))
    }

    /// The dot row of a value, the nearest within the plot.
    fn y(&self, value: f64) -> usize {
        let share = ((self.axis.high - value) / (self.axis.high - self.axis.low)).clamp(0.0, 1.0);
        let dots = self.rows * DOTS.1;
        ((share * dots as f64) as usize).min(dots - 1)
    }
}

/// One character of the plot: the dots set in it, and the series that set the last.
#[derive(Clone, Copy, Default)]
struct Cell {
    dots: u8,
    series: usize,
}

struct Picture<'a> {
    chart: &'a Chart,
    terminal: Terminal,
    screen: Screen<'a>,
    gutter: usize,
}

impl Picture<'_> {
    fn text(&self, axis: &ValueAxis, runs: &[Vec<std::ops::Range<usize>>]) -> String {
        let (chart, screen) = (self.chart, &self.screen);
        let mut out = String::new();
        if !chart.title.trim().is_empty() {
            let _ = writeln!(out, "{}", plain(&chart.title));
        }
        let names = chart.lines.iter().enumerate();
        let names: Vec<String> = names
            .map(|(index, line)| format!("{} {}", self.paint("━━", self.series_color(index)), plain(&line.label)))
            .collect();
        if !names.is_empty() {
            let _ = writeln!(out, "{}", names.join("  "));
        }
        let cells = self.cells(runs);
        let stems = Stems::new(chart, |mark| screen.x(mark.at).map_or(0, |x| (x / DOTS.0) as i32), 1);
        let mut lane = vec![' '; screen.columns];
        let mut strokes: Vec<Option<MarkVerdict>> = vec![None; screen.columns];
        for stem in stems.stems.iter().filter(|stem| stem.inside) {
            let (column, mark) = (stem.column as usize, stems.gravest(stem));
            let is_graver = strokes[column].is_none_or(|known| known.gravity() < mark.verdict.gravity());
            if is_graver {
                strokes[column] = Some(mark.verdict);
            }
            lane[column] = match stem.members.len() {
                _ if lane[column] != ' ' => '+',
                1 => mark.letter(),
                2..=9 => char::from(b'0' + stem.members.len() as u8),
                _ => '+',
            };
        }
        if !stems.marks.is_empty() {
            let _ = write!(out, "{:gutter$}", "", gutter = self.gutter);
            for (sign, stroke) in lane.iter().zip(&strokes) {
                let text = sign.to_string();
                out.push_str(&stroke.map_or(text.clone(), |verdict| self.paint(&text, self.verdict_color(verdict))));
            }
            out.push('\n');
        }
        for row in 0..screen.rows {
            let label =
                axis.ticks.iter().find(|(value, _)| screen.y(*value) / DOTS.1 == row).map_or("", |(_, label)| label);
            let _ = write!(out, "{label:>width$} ", width = self.gutter - 1);
            for column in 0..screen.columns {
                let cell = cells[row * screen.columns + column];
                match (cell.dots, strokes[column]) {
                    (0, None) => out.push(' '),
                    (0, Some(verdict)) => {
                        let sign = if matches!(verdict, MarkVerdict::Guilty(_)) { "┃" } else { "│" };
                        out.push_str(&self.paint(sign, self.verdict_color(verdict)));
                    }
                    (dots, _) => {
                        let braille = char::from_u32(0x2800 + u32::from(dots)).unwrap_or(' ').to_string();
                        out.push_str(&self.paint(&braille, self.series_color(cell.series)));
                    }
                }
            }
            out.push('\n');
        }
        self.times(&mut out);
        self.list(&stems, &mut out);
        out
    }

    /// The dots of all series: each column from its least to its greatest value, joined to the next.
    fn cells(&self, runs: &[Vec<std::ops::Range<usize>>]) -> Vec<Cell> {
        let screen = &self.screen;
        let mut cells = vec![Cell::default(); screen.columns * screen.rows];
        // Bits of a braille character by column and row (Unicode 15, section 21.1).
        const BITS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
        let mut set = |x: usize, y: usize, series: usize| {
            let cell = &mut cells[(y / DOTS.1) * screen.columns + x / DOTS.0];
            cell.dots |= BITS[x % DOTS.0][y % DOTS.1];
            cell.series = series;
        };
        for (series, (line, runs)) in self.chart.lines.iter().zip(runs).enumerate() {
            let is_infinite = line.style.shape == Shape::Infinite;
            for run in runs {
                let mut before: Option<(usize, usize)> = None;
                for index in run.clone() {
                    let Some(x) = screen.x(UnixMillis::from_secs(line.timestamps_s[index])) else { continue };
                    if is_infinite {
                        let rows = if line.values[index] != 0.0 { screen.rows * DOTS.1 } else { 0 };
                        (0..rows).for_each(|y| set(x, y, series));
                        continue;
                    }
                    let y = screen.y(line.values[index]);
                    let (x0, y0) = before.unwrap_or((x, y));
                    let steps = x.abs_diff(x0).max(y.abs_diff(y0));
                    for step in 0..=steps {
                        let share = if steps == 0 { 0.0 } else { step as f64 / steps as f64 };
                        let between = |a: usize, b: usize| (a as f64 + (b as f64 - a as f64) * share).round() as usize;
                        set(between(x0, x), between(y0, y), series);
                    }
                    before = Some((x, y));
                }
            }
        }
        cells
    }

    /// The times under the plot, then the dates and the zone.
    fn times(&self, out: &mut String) {
        let screen = &self.screen;
        let share = |n_chars: usize| (n_chars + 3) as f64 / screen.columns as f64;
        let mut line = vec![' '; self.gutter + screen.columns];
        let mut free = 0;
        for tick in time_axis::ticks(screen.window.0, screen.window.1, &self.chart.time_zone, share) {
            let Some(x) = screen.x(tick.at) else { continue };
            let length = tick.label.chars().count();
            let start = (self.gutter + x / DOTS.0).saturating_sub(length / 2).min(line.len().saturating_sub(length));
            if start < free {
                continue;
            }
            free = start + length + 1;
            for (place, character) in tick.label.chars().enumerate() {
                line[start + place] = character;
            }
        }
        let _ = writeln!(out, "{}", line.into_iter().collect::<String>().trim_end());
        let _ = writeln!(
            out,
            "{:gutter$}{}",
            "",
            time_axis::context(screen.window.0, screen.window.1, &self.chart.time_zone),
            gutter = self.gutter
        );
    }

    /// The deploys by number: the gravest, then the latest, in order of time.
    fn list(&self, stems: &Stems<'_>, out: &mut String) {
        let mut order: Vec<usize> = (0..stems.marks.len()).collect();
        order.sort_by_key(|index| {
            (std::cmp::Reverse(stems.marks[*index].verdict.gravity().max(1)), std::cmp::Reverse(*index))
        });
        order.truncate(MAX_LISTED);
        order.sort_unstable();
        let spans_days = self.screen.window.1.0 - self.screen.window.0.0 > 86_400_000;
        for index in &order {
            let mark = stems.marks[*index];
            let at = time_axis::clock(mark.at, &self.chart.time_zone, spans_days);
            let words = [
                mark.name(),
                mark.actor.clone().unwrap_or_default(),
                mark.verdict.words(),
                mark.title.clone().unwrap_or_default(),
            ];
            let words: Vec<String> =
                words.into_iter().filter(|word| !word.is_empty()).map(|word| plain(&word)).collect();
            let line = format!("{}{:<3} {at}  {}", mark.letter(), index + 1, words.join("  "));
            let _ = writeln!(out, "{}", self.paint(&line, self.verdict_color(mark.verdict)));
        }
        if stems.marks.len() > order.len() {
            let _ = writeln!(out, "+ {} more deploys", stems.marks.len() - order.len());
        }
    }

    fn series_color(&self, index: usize) -> Rgb {
        let series = &self.chart.theme.palette().series;
        self.chart.lines.get(index).and_then(|line| line.style.color).unwrap_or(series[index % series.len()])
    }

    fn verdict_color(&self, verdict: MarkVerdict) -> Rgb {
        let palette = self.chart.theme.palette();
        match verdict {
            MarkVerdict::Unknown => palette.deploy,
            MarkVerdict::Cleared => palette.cleared,
            MarkVerdict::Suspect(_) => palette.suspect,
            MarkVerdict::Guilty(_) => palette.guilty,
        }
    }

    fn paint(&self, text: &str, (red, green, blue): Rgb) -> String {
        if self.terminal.color { format!("\x1b[38;2;{red};{green};{blue}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The text without what would command the terminal: an escape in a deploy's title must not move anybody's cursor.
fn plain(text: &str) -> String {
    text.trim().chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}
