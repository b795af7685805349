//! Where everything on a picture stands, in pixels: decided once, before anything is drawn.

mod legend;
mod stack;
mod table;

use std::ops::Range;

use deployline_schemas::UnixMillis;

use crate::{
    chart::{AreaMode, Chart, SIZE_LIMITS, Shape, Side},
    downsample, font,
    stems::{Badge, Stems},
    time_axis::{self, TimeTick},
    value_axis::ValueAxis,
};

pub(crate) use legend::{LegendEntry, Sample};
pub(crate) use stack::Stack;
pub(crate) use table::Table;

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
    /// Pixels between the picture's edge and what is drawn.
    pub pad: f64,
    pub plot: PlotArea,
    pub window: (UnixMillis, UnixMillis),
    /// The title as it fits, and the middle of its line.
    pub title: Option<(String, f64)>,
    /// The sentence below it.
    pub caption: Option<(String, f64)>,
    /// The words above either value axis, and the middle of their line.
    pub value_titles: Option<([String; 2], f64)>,
    pub legend: Vec<LegendEntry>,
    pub left: ValueAxis,
    /// The second value axis, where a line stands against it.
    pub right: Option<ValueAxis>,
    pub times: Vec<TimeTick>,
    /// Dates and zone; empty where no times are told.
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
    /// The edges of the lines' areas.
    pub stacks: Vec<Option<Stack>>,
    /// The band of the onset, where it reaches into the window.
    pub onset: Option<(UnixMillis, UnixMillis)>,
    pub tells_values: bool,
}

impl<'a> Layout<'a> {
    pub fn new(chart: &'a Chart) -> Self {
        let frame = &chart.frame;
        let width = chart.width.clamp(SIZE_LIMITS.0, SIZE_LIMITS.1);
        let height = chart.height.clamp(SIZE_LIMITS.0, SIZE_LIMITS.1);
        let (w, h) = (f64::from(width), f64::from(height));
        let fitting = (w / 800.0).min(h / 400.0).sqrt().clamp(0.8, 2.4);
        // Words that were asked for in some size do not make the lines thicker.
        let font = frame.font_size.map_or((12.0 * fitting).max(10.0), |size| size.clamp(4.0, h / 8.0));
        let window = window(chart);
        let is_seen = |(earliest, latest): &(UnixMillis, UnixMillis)| {
            *latest >= window.0 && *earliest <= window.1 && latest >= earliest
        };
        let onset = chart.onset.filter(is_seen);
        let pad = match frame.margin {
            _ if frame.bare => 0.0,
            Some(margin) => margin.clamp(0.0, w.min(h) / 4.0).round(),
            None => (font * 0.7).round(),
        };
        let words = |text: &str| Some(text.trim()).filter(|text| !text.is_empty() && !frame.bare).map(str::to_owned);
        let mut y = pad;

        let title = words(&chart.title).map(|title| {
            let size = font * TITLE;
            let middle = y + size * 0.55;
            y += size * 1.45;
            (font::fit(&title, size, true, w - 2.0 * pad), middle)
        });
        let caption = words(&chart.caption).filter(|_| height >= 160).map(|caption| {
            let middle = y + font * 0.5;
            y += font * 1.5;
            (font::cut(&caption, font * SMALL, w - 2.0 * pad), middle)
        });
        let n_rows = if height < 160 { 1 } else { (height as usize / 150).clamp(1, 4) };
        let legend = match frame.bare {
            true => Vec::new(),
            false => legend::legend(chart, onset.is_some(), font, pad, w - 2.0 * pad, n_rows, &mut y),
        };
        let has_right = chart.lines.iter().any(|line| line.style.side == Side::Right);
        let value_titles = [words(&chart.left.title), words(&chart.right.title).filter(|_| has_right)];
        let value_titles = (height >= 160 && value_titles.iter().any(Option::is_some)).then(|| {
            let middle = y + font * 0.6;
            y += font * 1.3;
            let room = (w - 2.0 * pad) / if has_right { 2.2 } else { 1.0 };
            (value_titles.map(|title| font::fit(&title.unwrap_or_default(), font * SMALL, frame.bold, room)), middle)
        });

        // Which deploys there are does not depend on columns, only how they merge does: count first, place later.
        let all = Stems::new(chart, |_| 0, 1);
        let tells_verdict = height >= 180 && !frame.bare && all.stems.iter().any(|stem| stem.marked);
        let mut lane = || {
            y += font * 1.5;
            y - font * 0.75
        };
        let verdict_lane = tells_verdict.then(&mut lane);
        let badge_lane = (!all.marks.is_empty() && !frame.bare).then(&mut lane);
        if badge_lane.is_none() && !frame.bare {
            y += font * 0.5;
        }
        let top = y.round() as i32;

        let has_room = height >= 120 && !frame.bare;
        let (tells_times, tells_values) = (has_room && !frame.hide_times, has_room && !frame.hide_values);
        let below = match (frame.bare, tells_times) {
            (true, _) => 0.0,
            (_, true) => font * 2.9,
            (_, false) => (font * 0.6).min(pad.max(1.0)),
        };
        let mut table = Table { row_height: (font * 1.4).round(), ..Table::default() };
        if frame.deploy_legend != Some(false) && has_room && !all.marks.is_empty() {
            let room = (h - f64::from(top) - below - (h * 0.4).max(80.0)).min(h * 0.3);
            table.fill(&all, w / font, ((room - pad) / table.row_height).max(0.0) as usize);
        }
        let list = if table.rows > 0 { table.rows as f64 * table.row_height + pad } else { 0.0 };
        let bottom = ((h - below - list).round() as i32).max(top + 1).min(height as i32);
        table.top = f64::from(bottom) + below + table.row_height / 2.0;

        let (from_s, until_s) = (window.0.as_secs(), window.1.as_secs());
        let runs: Vec<_> =
            chart.lines.iter().map(|line| downsample::runs(line, from_s, until_s, chart.holds())).collect();
        let stacks = stack::stacks(chart);
        let n_ticks = (f64::from(bottom - top) / (font * 3.4)).floor().clamp(1.0, 10.0) as usize;
        let extent = |side| extent(chart, &runs, &stacks, window, side);
        let left_axis = ValueAxis::new(&chart.left, extent(Side::Left), n_ticks);
        let right_axis = has_right.then(|| ValueAxis::new(&chart.right, extent(Side::Right), n_ticks));
        let gutter = |axis: &ValueAxis| {
            let width = |(_, label): &(f64, String)| font::face(frame.bold).width(label, font * SMALL);
            if tells_values { axis.ticks.iter().map(width).fold(0.0, f64::max) + font * 0.5 } else { 0.0 }
        };
        let edge = if frame.bare { 0.0 } else { pad * 1.4 };
        let on_left = if frame.values_right && !has_right { 0.0 } else { gutter(&left_axis) };
        let on_right = match &right_axis {
            Some(axis) => pad + gutter(axis),
            None if frame.values_right => pad + gutter(&left_axis),
            None => edge,
        };
        let left = ((pad + on_left).round() as i32).min(width as i32 / 2);
        let right = ((w - on_right).round() as i32).max(left + 1);
        let plot = PlotArea { left, right, top, bottom, window };

        let char_width = font * SMALL * 0.6;
        let share_of = |n_chars: usize| (n_chars as f64 * char_width + font * 1.6) / f64::from(right - left);
        let format = frame.time_format.as_deref();
        let times = match tells_times {
            true => time_axis::ticks(window.0, window.1, &chart.time_zone, format, share_of),
            false => Vec::new(),
        };
        let context =
            if tells_times { time_axis::context(window.0, window.1, &chart.time_zone) } else { String::new() };

        let stems = Stems::new(chart, |mark| plot.column(mark.at), (3.0 * fitting).round().max(3.0) as i32);
        let badge_width = |text: &str| font::face(true).width(text, font * SMALL) + font * 0.6;
        let badges = stems.badges(f64::from(left) - pad / 2.0, w - pad / 2.0, font * 0.25, badge_width);
        Self {
            width,
            height,
            scale: fitting,
            font,
            pad,
            plot,
            window,
            title,
            caption,
            value_titles,
            legend,
            left: left_axis,
            right: right_axis,
            times,
            context,
            stems,
            badges,
            verdict_lane,
            badge_lane,
            table,
            runs,
            stacks,
            onset,
            tells_values,
        }
    }

    /// The value axis of a side; the left one where there is no second.
    pub fn axis(&self, side: Side) -> &ValueAxis {
        match (side, &self.right) {
            (Side::Right, Some(axis)) => axis,
            _ => &self.left,
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

/// The least and greatest value within the window, of what is drawn to one value axis.
fn extent(
    chart: &Chart,
    runs: &[Vec<Range<usize>>],
    stacks: &[Option<Stack>],
    window: (UnixMillis, UnixMillis),
    side: Side,
) -> Option<(f64, f64)> {
    let (from_s, until_s) = (window.0.as_secs(), window.1.as_secs());
    let mut extent: Option<(f64, f64)> = None;
    let mut widen = |value: f64| {
        let (least, most) = extent.unwrap_or((value, value));
        extent = Some((least.min(value), most.max(value)));
    };
    let drawn = chart.lines.iter().zip(runs).zip(stacks);
    for ((line, runs), stack) in drawn.filter(|((line, _), _)| line.style.side == side) {
        if line.style.shape == Shape::Infinite {
            continue;
        }
        let values = stack.as_ref().map_or(&line.values, |stack| &stack.tops);
        for index in runs.iter().cloned().flatten() {
            if (from_s..=until_s).contains(&line.timestamps_s[index]) {
                widen(values[index]);
            }
        }
    }
    let holds = chart.holds();
    let beneath = chart.expected.iter().filter(|_| side == Side::Left).chain(chart.twins(side));
    for (at, value) in beneath.flat_map(|line| line.timestamps_s.iter().zip(&line.values)) {
        if holds(*value) && (from_s..=until_s).contains(at) {
            widen(*value);
        }
    }
    // An area stands on zero, where there is one.
    let has_area = match chart.area {
        AreaMode::None => chart.lines.iter().any(|line| line.style.stacked && line.style.side == side),
        _ => true,
    };
    let floor = |(least, most): (f64, f64)| (least.min(0.0), most.max(0.0));
    if has_area && holds(0.0) { extent.map(floor) } else { extent }
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
