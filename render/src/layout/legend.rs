//! The names of the series above the plot, in as many rows as there is room for.

use crate::{
    chart::{Chart, Side},
    font,
    layout::{SMALL, SWATCH},
};

/// One name of the legend.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LegendEntry {
    pub sample: Sample,
    pub text: String,
    pub x: f64,
    pub y: f64,
}

/// What stands before a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sample {
    /// The line of this place in the chart.
    Line(usize),
    /// The expected course.
    Expected,
    /// The same series at another time.
    Compared,
    /// The band of the onset.
    Onset,
    /// Nothing: a note such as "+3 more".
    None,
}

/// Which names the legend has, in order.
fn named(chart: &Chart, has_onset: bool) -> Vec<(Sample, String)> {
    let frame = &chart.frame;
    let mut names: Vec<(Sample, String)> = Vec::new();
    for (index, line) in chart.lines.iter().enumerate() {
        let is_empty = frame.hide_empty && line.values.iter().all(|value| value.is_nan());
        let is_known = frame.unique_names && chart.lines[..index].iter().any(|other| other.label == line.label);
        if !is_empty && !is_known && !line.style.invisible {
            let axis = if line.style.side == Side::Right { " (right)" } else { "" };
            names.push((Sample::Line(index), format!("{}{axis}", line.label)));
        }
    }
    // One line under a title that names it says nothing new.
    let is_told = matches!(&names[..], [(_, name)] if *name == chart.title);
    let has_others = chart.expected.is_some() || chart.compared.is_some() || has_onset;
    if is_told && !has_others && frame.legend.is_none() {
        names.clear();
    }
    if let Some(compared) = &chart.compared {
        names.push((Sample::Compared, compared.label.clone()));
    }
    if let Some(expected) = &chart.expected {
        let label = if expected.label.is_empty() { "expected" } else { &expected.label };
        names.push((Sample::Expected, label.to_owned()));
    }
    if has_onset {
        names.push((Sample::Onset, "onset, 90 %".to_owned()));
    }
    names
}

/// Lays the names out in rows from `y` on, and moves `y` below them.
pub(super) fn legend(
    chart: &Chart,
    has_onset: bool,
    font: f64,
    left: f64,
    width: f64,
    n_rows: usize,
    y: &mut f64,
) -> Vec<LegendEntry> {
    if chart.frame.legend == Some(false) {
        return Vec::new();
    }
    let all = named(chart, has_onset);
    let n_names = all.len();
    let (swatch, gap) = (font * (SWATCH + 0.5), font * 1.4);
    let size = font * SMALL;
    let face = font::face(false);
    // No more than could fit with a few letters each; the rest is counted.
    let n_possible = n_names.min(((width + gap) / (swatch + gap + 4.0 * font)) as usize * n_rows);
    // Names too long to stand in full lose what all of them share: their starts if that is enough, else their ends as well.
    let is_line = |sample: &Sample| matches!(sample, Sample::Line(_));
    let lines = all.iter().filter(|(sample, _)| is_line(sample)).map(|(_, name)| name.as_str());
    let (head, tail) = shared(&lines.collect::<Vec<_>>());
    let without = |head: usize, tail: usize| -> Vec<String> {
        let shortened = |(sample, name): &(Sample, String)| {
            if !is_line(sample) || head + tail == 0 {
                return name.clone();
            }
            let ends = [if head > 0 { "…" } else { "" }, if tail > 0 { "…" } else { "" }];
            format!("{}{}{}", ends[0], &name[head..name.len() - tail], ends[1])
        };
        all[..n_possible].iter().map(shortened).collect()
    };
    let n_full_rows = |names: &[String]| {
        let (mut rows, mut end) = (1, 0.0);
        for entry in names.iter().map(|name| swatch + face.width(name, size)) {
            if end > 0.0 && end + entry > width {
                (rows, end) = (rows + 1, 0.0);
            }
            end += entry + gap;
        }
        rows
    };
    let is_whole = |names: &Vec<String>| n_possible == n_names && n_full_rows(names) <= n_rows;
    let names = [(0, 0), (head, 0)].map(|(head, tail)| without(head, tail)).into_iter().find(is_whole);
    let names = names.unwrap_or_else(|| without(head, tail));
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
        entries.push(LegendEntry { sample: all[index].0, text, x, y: middle });
        x += entry + gap;
    }
    if n_shown < n_names {
        entries.push(LegendEntry { sample: Sample::None, text: format!("+{} more", n_names - n_shown), x, y: middle });
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::Line;

    #[test]
    fn names_share_whole_parts_only() {
        let names = ["stats.web1.http.rate", "stats.web2.http.rate"];
        assert_eq!(shared(&names), (6, 10));
        assert_eq!(shared(&["a.b", "a.b"]), (2, 0));
        assert_eq!(shared(&["alone.name"]), (0, 0));
        assert_eq!(shared(&["errors", "errands"]), (0, 0));
    }

    #[test]
    fn a_legend_can_leave_out_repetitions_and_what_has_no_value() {
        let line = |label: &str, value: f64| Line { label: label.to_owned(), values: vec![value], ..Line::default() };
        let lines = vec![line("a", 1.0), line("a", 2.0), line("b", f64::NAN)];
        let mut chart = Chart { lines, ..Chart::default() };
        let names = |chart: &Chart| named(chart, false).into_iter().map(|(_, name)| name).collect::<Vec<_>>().join(" ");
        assert_eq!(names(&chart), "a a b");
        chart.frame.unique_names = true;
        assert_eq!(names(&chart), "a b");
        chart.frame.hide_empty = true;
        assert_eq!(names(&chart), "a");
        chart.title = "a".to_owned();
        assert_eq!(names(&chart), "", "the title says it");
    }
}
