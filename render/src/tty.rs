//! Charts for the terminal: braille dots for the series, upright strokes for the deploys, a numbered list below.

use std::fmt::Write as _;

use deployline_schemas::UnixMillis;

use crate::{
    chart::{Chart, MarkVerdict, Shape, Side},
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
    /// Lines for all of it, at least 12: the list of deploys gives way first, then the plot. `None`: as many as it takes.
    pub lines: Option<usize>,
    /// Whether to colour by ANSI's 24-bit escapes. Without, signs and words say the same.
    pub color: bool,
}

/// Most deploys that are listed.
const MAX_LISTED: usize = 12;
/// Dots of a braille character: two across, four down.
const DOTS: (usize, usize) = (2, 4);

/// Fewest deploys that are listed before the plot gives way.
const LEAST_LISTED: usize = 3;
/// Lines of the plot at least.
const LEAST_ROWS: usize = 5;

/// The chart as text, a line feed after each line.
pub fn tty(chart: &Chart, terminal: Terminal) -> String {
    let window = layout::window(chart);
    let columns = terminal.columns.clamp(40, 500);
    let runs: Vec<_> = chart
        .lines
        .iter()
        .map(|line| downsample::runs(line, window.0.as_secs(), window.1.as_secs(), chart.holds()))
        .collect();
    let head = head(chart, terminal, columns);
    let n_marks = Stems::new(chart, |_| 0, 1).marks.len();
    // The lane of the deploys' signs, and two lines of times.
    let n_around = head.lines().count() + usize::from(n_marks > 0) + 2;
    let (mut rows, mut n_listed) = (terminal.rows.clamp(LEAST_ROWS, 200), n_marks.min(MAX_LISTED));
    if let Some(lines) = terminal.lines {
        // One line of the list tells how many more there are.
        let list = |n_listed: usize| n_listed + usize::from(n_listed < n_marks);
        let room = lines.max(12).saturating_sub(n_around);
        while n_listed > LEAST_LISTED && rows + list(n_listed) > room {
            n_listed -= 1;
        }
        rows = rows.min(room.saturating_sub(list(n_listed))).max(LEAST_ROWS);
    }
    let axis = |side: Side| {
        let lines = chart.lines.iter().zip(&runs);
        let lines = lines.filter(|(line, _)| line.style.shape != Shape::Infinite && line.style.side == side);
        let values = lines.flat_map(|(line, runs)| runs.iter().cloned().flatten().map(|index| line.values[index]));
        let extent = values.fold(None, |extent: Option<(f64, f64)>, value| {
            Some(extent.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
        });
        let scale = if side == Side::Left { &chart.left } else { &chart.right };
        ValueAxis::new(scale, extent, (rows / 4).max(2))
    };
    let axes = [axis(Side::Left), axis(Side::Right)];
    let gutter = axes[0].ticks.iter().map(|(_, label)| label.chars().count()).max().unwrap_or(0).min(columns / 3) + 1;
    let screen = Screen { columns: columns - gutter, rows, window, axes: &axes };
    Picture { chart, terminal, screen, gutter, n_listed }.text(head, &runs)
}

/// The title, and the names of the series in as many lines as they need.
fn head(chart: &Chart, terminal: Terminal, columns: usize) -> String {
    let mut out = String::new();
    for words in [&chart.title, &chart.caption] {
        if !words.trim().is_empty() {
            let _ = writeln!(out, "{}", cut(&plain(words), columns));
        }
    }
    let is_told = matches!(&chart.lines[..], [only] if only.label == chart.title);
    let mut used = 0;
    for (index, line) in chart.lines.iter().enumerate().filter(|_| !is_told) {
        let axis = if line.style.side == Side::Right { " (right)" } else { "" };
        let name = cut(&format!("{}{axis}", plain(&line.label)), columns - 3);
        let width = name.chars().count() + 3;
        if used > 0 && used + 2 + width > columns {
            out.push('\n');
            used = 0;
        }
        let gap = if used > 0 { "  " } else { "" };
        let _ = write!(out, "{gap}{} {name}", paint("━━", series_color(chart, index), terminal.color));
        used += gap.len() + width;
    }
    if used > 0 {
        out.push('\n');
    }
    out
}

fn series_color(chart: &Chart, index: usize) -> Rgb {
    let series = &chart.theme.palette().series;
    chart.lines.get(index).and_then(|line| line.style.color).unwrap_or(series[index % series.len()])
}

fn paint(text: &str, (red, green, blue): Rgb, color: bool) -> String {
    if color { format!("\x1b[38;2;{red};{green};{blue}m{text}\x1b[0m") } else { text.to_owned() }
}

/// At most so many characters of a text, the last an ellipsis where it is longer.
fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let shown: String = text.chars().take(columns.saturating_sub(1)).collect();
    format!("{}…", shown.trim_end())
}

/// Where times and values fall among the dots.
struct Screen<'a> {
    columns: usize,
    rows: usize,
    window: (UnixMillis, UnixMillis),
    /// The left and the right.
    axes: &'a [ValueAxis; 2],
}

impl Screen<'_> {
    /// The dot column of a moment within the window.
    fn x(&self, at: UnixMillis) -> Option<usize> {
        let (from, until) = self.window;
        let share = (at.0 as f64 - from.0 as f64) / (until.0 as f64 - from.0 as f64);
        let dots = self.columns * DOTS.0;
        (0.0..=1.0).contains(&share).then(|| ((share * dots as f64) as usize).min(dots - 1))
    }

    /// The dot row of a value, the nearest within the plot.
    fn y(&self, side: Side, value: f64) -> usize {
        let axis = &self.axes[side as usize];
        let (low, high) = (axis.position(axis.low), axis.position(axis.high));
        let share = ((high - axis.position(value)) / (high - low)).clamp(0.0, 1.0);
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
    n_listed: usize,
}

impl Picture<'_> {
    /// What follows the head.
    fn text(&self, head: String, runs: &[Vec<std::ops::Range<usize>>]) -> String {
        let (chart, screen) = (self.chart, &self.screen);
        let mut out = head;
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
            let is_here = |(value, _): &&(f64, String)| screen.y(Side::Left, *value) / DOTS.1 == row;
            let label = screen.axes[0].ticks.iter().find(is_here).map_or("", |(_, label)| label);
            let label = cut(label, self.gutter - 1);
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
                        out.push_str(&self.paint(&braille, series_color(self.chart, cell.series)));
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
                    let y = screen.y(line.style.side, line.values[index]);
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
        for tick in time_axis::ticks(screen.window.0, screen.window.1, &self.chart.time_zone, None, share) {
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
        order.truncate(self.n_listed);
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
            let line = cut(&line, self.gutter + self.screen.columns);
            let _ = writeln!(out, "{}", self.paint(&line, self.verdict_color(mark.verdict)));
        }
        if stems.marks.len() > order.len() {
            let _ = writeln!(out, "+ {} more deploys", stems.marks.len() - order.len());
        }
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

    fn paint(&self, text: &str, color: Rgb) -> String {
        paint(text, color, self.terminal.color)
    }
}

/// The text without what would command the terminal: an escape in a deploy's title must not move anybody's cursor.
fn plain(text: &str) -> String {
    text.trim().chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}
