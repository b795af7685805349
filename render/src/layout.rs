//! Where everything on a picture stands, in pixels: decided once, before anything is drawn.

use std::ops::Range;

use deployline_schemas::UnixMillis;

use crate::{
    chart::{AreaMode, Chart, DeployMark, SIZE_LIMITS, Shape},
    downsample, font,
    stems::{Badge, Stems},
    time_axis::{self, TimeTick},
    value_axis::ValueAxis,
};

/// The part of a picture that the series are drawn in, in whole pixels: columns `left..right`, rows `top..bottom`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlotArea {
    /// First column.
    pub left: i32,
    /// The column after the last.
    pub right: i32,
    /// First row.
    pub top: i32,
    /// The row after the last.
    pub bottom: i32,
    window: (UnixMillis, UnixMillis),
}

impl PlotArea {
    /// The pixel column of a moment; `None` outside the window. A deploy's line is centred on its column.
    pub fn x_of(&self, at: UnixMillis) -> Option<i32> {
        let (from, until) = self.window;
        (from..=until).contains(&at).then(|| self.column(at))
    }

    /// The pixel column nearest to a moment.
    pub(crate) fn column(&self, at: UnixMillis) -> i32 {
        let (from, until) = self.window;
        let share = (at.0.clamp(from.0, until.0) - from.0) as f64 / (until.0 - from.0) as f64;
        (self.left + (share * f64::from(self.right - self.left)) as i32).min(self.right - 1)
    }
}

/// Where the plot of a chart lies within its picture.
pub fn plot_area(chart: &Chart) -> PlotArea {
    Layout::new(chart).plot
}

/// All places of one picture.
pub(crate) struct Layout<'a> {
    pub width: u32,
    pub height: u32,
    /// How much larger than at 800 × 400 everything is drawn.
    pub scale: f64,
    /// Pixels to the em of ordinary text.
    pub font: f64,
    pub plot: PlotArea,
    pub window: (UnixMillis, UnixMillis),
    /// The title as it fits, and the middle of its line.
    pub title: Option<(String, f64)>,
    pub value_title: Option<(String, f64)>,
    pub legend: Vec<LegendEntry>,
    pub values: ValueAxis,
    pub times: Vec<TimeTick>,
    pub context: String,
    pub stems: Stems<'a>,
    pub badges: Vec<Badge>,
    /// Middle of the lane of verdicts, where one is told.
    pub verdict_lane: Option<f64>,
    /// Middle of the lane of badges, where there are deploys.
    pub badge_lane: Option<f64>,
    pub table: Table,
    /// Runs of neighbouring datapoints for each line, as indices.
    pub runs: Vec<Vec<Range<usize>>>,
    /// What the lines stand on when they are stacked: the sums so far, for each datapoint.
    pub bases: Vec<Option<Vec<f64>>>,
}

/// One name of the legend.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LegendEntry {
    /// Which line; the one past the last is the expected course; `None` for a note such as "+3 more".
    pub line: Option<usize>,
    pub text: String,
    pub x: f64,
    pub y: f64,
}

/// The numbered list of deploys below the plot.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    /// Indices of the marks shown, in time order.
    pub shown: Vec<usize>,
    /// How many more there are.
    pub more: usize,
    pub columns: usize,
    pub rows: usize,
    /// Middle of the first row.
    pub top: f64,
    pub row_height: f64,
}

impl<'a> Layout<'a> {
    pub fn new(chart: &'a Chart) -> Self {
        let width = chart.width.clamp(SIZE_LIMITS.0, SIZE_LIMITS.1);
        let height = chart.height.clamp(SIZE_LIMITS.0, SIZE_LIMITS.1);
        let (w, h) = (f64::from(width), f64::from(height));
        let scale = (w / 800.0).min(h / 400.0).sqrt().clamp(0.8, 2.4);
        let font = (12.0 * scale).max(10.0);
        let window = window(chart);
        let pad = (font * 0.7).round();
        let mut y = pad;

        let title = (!chart.title.trim().is_empty()).then(|| {
            let size = font * TITLE;
            let middle = y + size * 0.55;
            y += size * 1.45;
            (font::fit(chart.title.trim(), size, true, w - 2.0 * pad), middle)
        });
        let n_rows = if height < 160 { 1 } else { (height as usize / 150).clamp(1, 4) };
        let legend = legend(chart, font, pad, w - 2.0 * pad, n_rows, &mut y);
        let value_title = (!chart.value_title.trim().is_empty() && height >= 160).then(|| {
            let middle = y + font * 0.6;
            y += font * 1.3;
            (font::fit(chart.value_title.trim(), font * SMALL, false, w - 2.0 * pad), middle)
        });

        // Which deploys there are does not depend on columns, only how they merge does: count first, place later.
        let all = Stems::new(chart, |_| 0, 1);
        let tells_verdict = height >= 180 && all.stems.iter().any(|stem| stem.marked);
        let mut lane = || {
            y += font * 1.5;
            y - font * 0.75
        };
        let verdict_lane = tells_verdict.then(&mut lane);
        let badge_lane = (!all.marks.is_empty()).then(&mut lane);
        if badge_lane.is_none() {
            y += font * 0.5;
        }
        let top = y.round() as i32;

        let has_axis_words = height >= 120;
        let below = if has_axis_words { font * 2.9 } else { font * 0.6 };
        let mut table = Table { row_height: (font * 1.4).round(), ..Table::default() };
        if chart.deploy_legend != Some(false) && has_axis_words && !all.marks.is_empty() {
            let room = (h - f64::from(top) - below - (h * 0.4).max(80.0)).min(h * 0.3);
            table.fill(&all, w / font, ((room - pad) / table.row_height).max(0.0) as usize);
        }
        let list = if table.rows > 0 { table.rows as f64 * table.row_height + pad } else { 0.0 };
        let bottom = ((h - below - list).round() as i32).max(top + 1).min(height as i32);
        table.top = f64::from(bottom) + below + table.row_height / 2.0;

        let runs: Vec<_> =
            chart.lines.iter().map(|line| downsample::runs(line, window.0.as_secs(), window.1.as_secs())).collect();
        let bases = bases(chart);
        let n_ticks = (f64::from(bottom - top) / (font * 3.4)).floor().clamp(1.0, 10.0) as usize;
        let asked = (chart.value_min, chart.value_max);
        let values = ValueAxis::new(chart.unit, extent(chart, &runs, &bases, window), asked, n_ticks);
        let widest =
            values.ticks.iter().map(|(_, label)| font::face(false).width(label, font * SMALL)).fold(0.0, f64::max);
        let gutter = if has_axis_words { widest + font * 0.5 } else { 0.0 };
        let left = ((pad + gutter).round() as i32).min(width as i32 / 2);
        let right = ((w - pad * 1.4).round() as i32).max(left + 1);
        let plot = PlotArea { left, right, top, bottom, window };

        let char_width = font * SMALL * 0.6;
        let share_of = |n_chars: usize| (n_chars as f64 * char_width + font * 1.6) / f64::from(right - left);
        let times = time_axis::ticks(window.0, window.1, &chart.time_zone, share_of);
        let context = time_axis::context(window.0, window.1, &chart.time_zone);

        let stems = Stems::new(chart, |mark| plot.column(mark.at), (3.0 * scale).round().max(3.0) as i32);
        let badge_width = |text: &str| font::face(true).width(text, font * SMALL) + font * 0.6;
        let badges = stems.badges(f64::from(left) - pad / 2.0, w - pad / 2.0, font * 0.25, badge_width);
        Self {
            width,
            height,
            scale,
            font,
            plot,
            window,
            title,
            value_title,
            legend,
            values,
            times: if has_axis_words { times } else { Vec::new() },
            context: if has_axis_words { context } else { String::new() },
            stems,
            badges,
            verdict_lane,
            badge_lane,
            table,
            runs,
            bases,
        }
    }
}

/// Size of the title, in ordinary text's.
pub(crate) const TITLE: f64 = 1.25;
/// Size of labels at ticks and of lists, in ordinary text's.
pub(crate) const SMALL: f64 = 0.92;
/// Length of the legend's sample of a line, in ems.
pub(crate) const SWATCH: f64 = 1.6;

/// The window with its ends in order and apart, and far enough inside the range of i64 to subtract.
pub(crate) fn window(chart: &Chart) -> (UnixMillis, UnixMillis) {
    const FAR_MS: i64 = 1 << 58;
    let from = chart.from.0.clamp(-FAR_MS, FAR_MS);
    (UnixMillis(from), UnixMillis(chart.until.0.clamp(-FAR_MS, FAR_MS).max(from + 1000)))
}

/// Lays the names out in rows from `y` on, and moves `y` below them.
fn legend(chart: &Chart, font: f64, left: f64, width: f64, n_rows: usize, y: &mut f64) -> Vec<LegendEntry> {
    let hidden = match chart.legend {
        Some(shown) => !shown,
        // One line under a title that names it says nothing new.
        None => chart.lines.len() == 1 && chart.lines[0].label == chart.title && chart.expected.is_none(),
    };
    if hidden {
        return Vec::new();
    }
    let full = |index: usize| chart.lines.get(index).map_or("expected", |line| line.label.as_str()).to_owned();
    let n_names = chart.lines.len() + usize::from(chart.expected.is_some());
    let (swatch, gap) = (font * (SWATCH + 0.5), font * 1.4);
    let size = font * SMALL;
    let face = font::face(false);
    // No more than could fit with a few letters each; the rest is counted.
    let n_possible = n_names.min(((width + gap) / (swatch + gap + 4.0 * font)) as usize * n_rows);
    let mut names: Vec<String> = (0..n_possible).map(full).collect();
    let (mut n_full_rows, mut end) = (1, 0.0);
    for entry in names.iter().map(|name| swatch + face.width(name, size)) {
        if end > 0.0 && end + entry > width {
            (n_full_rows, end) = (n_full_rows + 1, 0.0);
        }
        end += entry + gap;
    }
    if n_possible < n_names || n_full_rows > n_rows {
        // Too long to stand in full: what all of them share can go first.
        let labels: Vec<&str> = chart.lines.iter().map(|line| line.label.as_str()).collect();
        let (head, tail) = shared(&labels);
        for name in names.iter_mut().take(chart.lines.len()) {
            let middle = &name[head..name.len() - tail];
            let ends = [if head > 0 { "…" } else { "" }, if tail > 0 { "…" } else { "" }];
            *name = format!("{}{middle}{}", ends[0], ends[1]);
        }
    }
    let natural: Vec<f64> = names.iter().map(|name| face.width(name, size)).collect();
    let more_width = |n_left: usize| if n_left > 0 { face.width(&format!("+{n_left} more"), size) + gap } else { 0.0 };
    // The longest allowance for a name with which they all fit: whole names if possible, else ever shorter.
    let rows_at = |allowance: f64, n: usize| {
        let (mut rows, mut x) = (1, 0.0);
        for name in &natural[..n] {
            let entry = swatch + name.min(allowance);
            if x > 0.0 && x + entry > width {
                rows += 1;
                x = 0.0;
            }
            x += entry + gap;
        }
        if x + more_width(n_names - n) > width + gap { rows + 1 } else { rows }
    };
    let allowances = [width - swatch, width * 0.45, width * 0.3, width * 0.22, 14.0 * font, 10.0 * font, 7.0 * font];
    let fits = |n: usize| {
        allowances.into_iter().find(|allowance| *allowance >= 4.0 * font && rows_at(*allowance, n) <= n_rows)
    };
    let Some((n_shown, allowance)) = (1..=n_possible).rev().find_map(|n| fits(n).map(|allowance| (n, allowance)))
    else {
        return Vec::new();
    };
    let (mut x, mut entries) = (left, Vec::new());
    let line_height = font * 1.45;
    let mut middle = *y + font * 0.6;
    for (index, name) in natural[..n_shown].iter().enumerate() {
        let entry = swatch + name.min(allowance);
        if x > left && x + entry > left + width {
            x = left;
            middle += line_height;
        }
        let text = font::fit(&names[index], size, false, name.min(allowance) + 0.01);
        entries.push(LegendEntry { line: Some(index), text, x, y: middle });
        x += entry + gap;
    }
    if n_shown < n_names {
        entries.push(LegendEntry { line: None, text: format!("+{} more", n_names - n_shown), x, y: middle });
    }
    *y = middle + line_height - font * 0.6;
    entries
}

/// How many bytes at the start and at the end all names share, in whole dotted parts, leaving something of each.
fn shared(names: &[&str]) -> (usize, usize) {
    let Some((first, rest)) = names.split_first().filter(|(_, rest)| !rest.is_empty()) else { return (0, 0) };
    let heads = first.match_indices('.').map(|(at, _)| at + 1);
    let head = heads.take_while(|at| rest.iter().all(|name| name.starts_with(&first[..*at]))).last().unwrap_or(0);
    let tails = first[head..].rmatch_indices('.').map(|(at, _)| first.len() - head - at);
    let fits = |tail: &usize| {
        rest.iter().all(|name| name.len() >= head + tail && name.ends_with(&first[first.len() - tail..]))
    };
    (head, tails.take_while(fits).last().unwrap_or(0))
}

impl Table {
    /// Chooses what is listed in `n_rows` rows of a picture `ems` wide: the gravest first, then the latest.
    fn fill(&mut self, stems: &Stems<'_>, ems: f64, n_rows: usize) {
        let n_marks = stems.marks.len();
        let columns = ((ems / 30.0) as usize).clamp(1, 3);
        self.columns = columns.min(n_marks.div_ceil(n_rows.max(1)).max(1));
        self.rows = n_rows.min(n_marks.div_ceil(self.columns));
        let cells = self.rows * self.columns;
        let n_shown = if n_marks <= cells { n_marks } else { cells.saturating_sub(1) };
        self.more = n_marks - n_shown;
        let mut order: Vec<usize> = (0..n_marks).collect();
        order.sort_by_key(|index| (std::cmp::Reverse(gravity(stems.marks[*index])), std::cmp::Reverse(*index)));
        order.truncate(n_shown);
        order.sort_unstable();
        self.shown = order;
        if self.rows == 0 {
            self.more = 0;
        }
    }
}

/// Only what accuses puts a deploy ahead in the list; being cleared does not.
fn gravity(mark: &DeployMark) -> u8 {
    mark.verdict.gravity().max(1)
}

/// For stacked areas: what each line's datapoints stand on. Lines are stacked by place in the column, as Graphite does.
fn bases(chart: &Chart) -> Vec<Option<Vec<f64>>> {
    if chart.area != AreaMode::Stacked {
        return vec![None; chart.lines.len()];
    }
    let mut sums: std::collections::HashMap<i64, f64> = std::collections::HashMap::new();
    let mut stack = |line: &crate::chart::Line| {
        let mut base = |(at, value): (&i64, &f64)| {
            let sum = sums.entry(*at).or_insert(0.0);
            let below = *sum;
            *sum += if value.is_finite() { *value } else { 0.0 };
            below
        };
        line.timestamps_s.iter().zip(&line.values).map(&mut base).collect()
    };
    chart.lines.iter().map(|line| Some(stack(line))).collect()
}

/// The least and greatest value within the window, of what is drawn to the value axis.
fn extent(
    chart: &Chart,
    runs: &[Vec<Range<usize>>],
    bases: &[Option<Vec<f64>>],
    window: (UnixMillis, UnixMillis),
) -> Option<(f64, f64)> {
    let (from_s, until_s) = (window.0.as_secs(), window.1.as_secs());
    let mut extent: Option<(f64, f64)> = None;
    let mut widen = |value: f64| {
        let (least, most) = extent.unwrap_or((value, value));
        extent = Some((least.min(value), most.max(value)));
    };
    for ((line, runs), base) in chart.lines.iter().zip(runs).zip(bases) {
        if line.style.shape == Shape::Infinite {
            continue;
        }
        for index in runs.iter().cloned().flatten() {
            if (from_s..=until_s).contains(&line.timestamps_s[index]) {
                widen(line.values[index] + base.as_ref().map_or(0.0, |base| base[index]));
            }
        }
    }
    let expected = chart.expected.iter().flat_map(|line| line.timestamps_s.iter().zip(&line.values));
    for (at, value) in expected {
        if value.is_finite() && (from_s..=until_s).contains(at) {
            widen(*value);
        }
    }
    // An area stands on zero.
    let floor = |(least, most): (f64, f64)| (least.min(0.0), most.max(0.0));
    if chart.area == AreaMode::None { extent } else { extent.map(floor) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::Line;

    #[test]
    fn a_moment_has_its_column_and_outside_there_is_none() {
        let chart = Chart { width: 800, height: 400, ..Chart::default() };
        let plot = plot_area(&chart);
        assert_eq!(plot.x_of(UnixMillis(0)), Some(plot.left));
        assert_eq!(plot.x_of(UnixMillis(3_600_000)), Some(plot.right - 1));
        assert_eq!(plot.x_of(UnixMillis(1_800_000)), Some(plot.left + (plot.right - plot.left) / 2));
        assert_eq!((plot.x_of(UnixMillis(-1)), plot.x_of(UnixMillis(3_600_001))), (None, None));
    }

    #[test]
    fn names_share_whole_parts_only() {
        let names = ["stats.web1.http.rate", "stats.web2.http.rate"];
        assert_eq!(shared(&names), (6, 10));
        assert_eq!(shared(&["a.b", "a.b"]), (2, 0));
        assert_eq!(shared(&["alone.name"]), (0, 0));
        assert_eq!(shared(&["errors", "errands"]), (0, 0));
    }

    #[test]
    fn the_plot_keeps_its_place_at_every_size() {
        for (width, height) in [(1, 1), (80, 80), (120, 4000), (330, 250), (800, 400), (2400, 1200), (u32::MAX, 9)] {
            let lines =
                (0..40).map(|index| Line { label: format!("stats.timers.service{index}.upper_95"), ..Line::default() });
            let deploys = (0..60).map(|index| crate::stems::tests::mark(&index.to_string(), index * 60)).collect();
            let chart =
                Chart { width, height, title: "t".repeat(300), lines: lines.collect(), deploys, ..Chart::default() };
            let layout = Layout::new(&chart);
            let PlotArea { left, right, top, bottom, .. } = layout.plot;
            assert!(0 <= left && left < right && right <= layout.width as i32, "{:?}", layout.plot);
            assert!(0 <= top && top < bottom && bottom <= layout.height as i32, "{:?}", layout.plot);
            if height >= 250 && width >= 330 {
                assert!(f64::from(bottom - top) >= f64::from(height) * 0.3, "{width}×{height}: {:?}", layout.plot);
            }
        }
    }
}
