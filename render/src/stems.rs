//! Deploy lines in pixels: which deploys touch the window, which lines merge, and where the badges stand.

use std::ops::Range;

use crate::chart::{Chart, DeployMark, MarkVerdict};

/// At most this many deploys are singled out by their verdict; an incident has a handful of suspects.
const MAX_MARKED: usize = 8;

/// The deploys of one picture.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stems<'a> {
    /// The deploys that touch the window, by the time of their line: number `n` is `marks[n - 1]`.
    pub marks: Vec<&'a DeployMark>,
    /// The lines from left to right. Every mark belongs to exactly one.
    pub stems: Vec<Stem>,
}

/// One line on the picture: a deploy, or several that would overlap.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stem {
    /// Pixel column of its first deploy.
    pub column: i32,
    /// Pixel column of its last deploy.
    pub last_column: i32,
    /// Its deploys, as indices of [`Stems::marks`].
    pub members: Range<usize>,
    /// Whether its time lies in the window. A deploy that only reaches into it has a badge at the edge and no line.
    pub inside: bool,
    /// Singled out by its verdict: never merged.
    pub marked: bool,
}

/// A sign above one or more lines.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Badge {
    pub left: f64,
    pub right: f64,
    pub text: String,
    /// The lines that it stands for, as indices of [`Stems::stems`].
    pub stems: Range<usize>,
}

impl<'a> Stems<'a> {
    /// The deploys of a chart as lines. `column_of` gives a moment's pixel column, clamped to the plot; lines closer
    /// than `merge_px` become one.
    pub fn new(chart: &'a Chart, column_of: impl Fn(&DeployMark) -> i32, merge_px: i32) -> Self {
        let end = |mark: &DeployMark| mark.ended_at.map_or(chart.until, |ended| ended.max(mark.at)).max(mark.at);
        let touches = |mark: &&DeployMark| mark.started_at.min(mark.at) <= chart.until && end(mark) >= chart.from;
        let mut marks: Vec<&DeployMark> = chart.deploys.iter().filter(touches).collect();
        marks.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        let mut by_gravity: Vec<usize> =
            (0..marks.len()).filter(|index| marks[*index].verdict.gravity() >= 2).collect();
        by_gravity.sort_by(|a, b| rank(marks[*b].verdict).total_cmp(&rank(marks[*a].verdict)).then(a.cmp(b)));
        by_gravity.truncate(MAX_MARKED);
        let mut stems: Vec<Stem> = Vec::new();
        for (index, mark) in marks.iter().enumerate() {
            let (column, inside) = (column_of(mark), (chart.from..=chart.until).contains(&mark.at));
            let marked = by_gravity.contains(&index);
            match stems.last_mut() {
                Some(last) if !marked && !last.marked && last.inside == inside && column - last.column < merge_px => {
                    last.members.end = index + 1;
                    last.last_column = column;
                }
                _ => stems.push(Stem { column, last_column: column, members: index..index + 1, inside, marked }),
            }
        }
        Self { marks, stems }
    }

    /// The deploy of a line that matters most.
    pub fn gravest(&self, stem: &Stem) -> &'a DeployMark {
        let members = &self.marks[stem.members.clone()];
        members.iter().max_by_key(|mark| mark.verdict.gravity()).copied().expect("a line has at least one deploy")
    }

    /// The badges above the lines, none over another, within `left..right`. `width_of` measures a text with its margins.
    ///
    /// Badges that would touch become one that counts. Those of marked lines stand for themselves, and others make way.
    pub fn badges(&self, left: f64, right: f64, gap: f64, width_of: impl Fn(&str) -> f64) -> Vec<Badge> {
        let place = |stems: Range<usize>| {
            let (first, last) = (&self.stems[stems.start], &self.stems[stems.end - 1]);
            let text = self.badge_text(first.members.start..last.members.end);
            let width = width_of(&text).min(right - left);
            let middle = f64::from(first.column + last.last_column) / 2.0 + 0.5;
            let start = (middle - width / 2.0).clamp(left, (right - width).max(left));
            Badge { left: start, right: start + width, text, stems }
        };
        let mut fixed: Vec<Badge> = Vec::new();
        for (index, _) in self.stems.iter().enumerate().filter(|(_, stem)| stem.marked) {
            let mut badge = place(index..index + 1);
            if let Some(last) = fixed.last()
                && badge.left < last.right + gap
            {
                let width = badge.right - badge.left;
                badge.left = last.right + gap;
                badge.right = badge.left + width;
            }
            if badge.right <= right {
                fixed.push(badge);
            }
        }
        let mut badges: Vec<Badge> = Vec::new();
        for (index, _) in self.stems.iter().enumerate().filter(|(_, stem)| !stem.marked) {
            let mut badge = place(index..index + 1);
            // Joining may push the joint badge into the one before, which then joins too.
            while let Some(last) = badges.last() {
                let between = fixed
                    .iter()
                    .any(|fixed| last.stems.end <= fixed.stems.start && fixed.stems.end <= badge.stems.start);
                if between || badge.left >= last.right + gap {
                    break;
                }
                badge = place(last.stems.start..badge.stems.end);
                badges.pop();
            }
            badges.push(badge);
        }
        // A line whose badge finds no room keeps its line and its row in the list.
        let overlaps = |a: &Badge, b: &Badge| a.left < b.right + gap && b.left < a.right + gap;
        let mut free: Vec<Badge> = Vec::new();
        for mut badge in badges {
            if let Some(obstacle) = fixed.iter().find(|fixed| overlaps(fixed, &badge)) {
                let width = badge.right - badge.left;
                badge.left = if badge.stems.end <= obstacle.stems.start {
                    obstacle.left - gap - width
                } else {
                    obstacle.right + gap
                };
                badge.right = badge.left + width;
            }
            let fits = badge.left >= left && badge.right <= right;
            if fits && !fixed.iter().chain(&free).any(|other| overlaps(other, &badge)) {
                free.push(badge);
            }
        }
        free.extend(fixed);
        free.sort_by(|a, b| a.left.total_cmp(&b.left));
        free
    }

    /// `D5` for one deploy, `5–8` for neighbours, and a count once the numbers say little.
    fn badge_text(&self, members: Range<usize>) -> String {
        match members.len() {
            1 => format!("{}{}", self.marks[members.start].letter(), members.start + 1),
            n if n >= 100 || members.end >= 1000 => format!("×{n}"),
            _ => format!("{}–{}", members.start + 1, members.end),
        }
    }
}

/// Orders verdicts by how much they say, then by probability.
fn rank(verdict: MarkVerdict) -> f64 {
    match verdict {
        MarkVerdict::Guilty(probability) | MarkVerdict::Suspect(probability) => {
            f64::from(verdict.gravity()) * 2.0 + probability
        }
        MarkVerdict::Cleared | MarkVerdict::Unknown => 0.0,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use deployline_schemas::{UnixMillis, deploy::Kind};

    use super::*;

    /// A deploy at a second of the chart's hour.
    pub(crate) fn mark(id: &str, at_s: i64) -> DeployMark {
        let at = UnixMillis::from_secs(at_s);
        DeployMark {
            id: id.to_owned(),
            service: "checkout".to_owned(),
            version: Some("9bc1f2e".to_owned()),
            actor: Some("ana".to_owned()),
            kind: Kind::Deploy,
            at,
            started_at: at,
            ended_at: Some(at),
            verdict: MarkVerdict::Unknown,
            title: None,
        }
    }

    /// The lines and badges of a chart of 3600 s on 360 pixels.
    #[track_caller]
    fn check(marks: Vec<DeployMark>, lines: &str, badges: &str) {
        let chart = Chart { deploys: marks, ..Chart::default() };
        let stems = Stems::new(&chart, |mark| (mark.at.0.clamp(0, 3_599_999) / 10_000) as i32, 3);
        let drawn: Vec<String> = stems
            .stems
            .iter()
            .map(|stem| format!("{}{}×{}", if stem.inside { "" } else { "!" }, stem.column, stem.members.len()))
            .collect();
        assert_eq!(drawn.join(" "), lines);
        let placed = stems.badges(0.0, 360.0, 2.0, |text| text.chars().count() as f64 * 8.0);
        assert!(placed.windows(2).all(|pair| pair[0].right + 2.0 <= pair[1].left), "{placed:?}");
        assert_eq!(placed.iter().map(|badge| badge.text.as_str()).collect::<Vec<_>>().join(" "), badges);
    }

    #[test]
    fn lines_that_overlap_merge_and_badges_that_touch_count() {
        check(vec![mark("b", 2000), mark("a", 100)], "10×1 200×1", "D1 D2");
        check(vec![mark("a", 1000), mark("b", 1010), mark("c", 1100)], "100×2 110×1", "1–3");
    }

    #[test]
    fn the_guilty_one_is_never_merged() {
        let guilty = mark("b", 1010).with_verdict(MarkVerdict::Guilty(0.9));
        check(
            vec![mark("a", 1000), guilty, mark("c", 1011), mark("d", 3000)],
            "100×1 101×1 101×1 300×1",
            "D1 D2 D3 D4",
        );
    }

    #[test]
    fn a_deploy_that_only_reaches_into_the_window_has_a_badge_and_no_line() {
        let mut before = mark("a", -50);
        before.ended_at = Some(UnixMillis::from_secs(500));
        let mut under_way = mark("b", -60);
        under_way.ended_at = None;
        check(vec![before, under_way, mark("gone", -10), mark("later", 4000)], "!0×2", "1–2");
    }

    #[test]
    fn ten_thousand_deploys_are_all_in_some_line() {
        let marks: Vec<_> = (0..10_000).map(|index| mark(&format!("{index:05}"), index * 36 / 100)).collect();
        let chart = Chart { deploys: marks, ..Chart::default() };
        let stems = Stems::new(&chart, |mark| (mark.at.0 / 10_000) as i32, 3);
        assert_eq!(stems.stems.iter().map(|stem| stem.members.len()).sum::<usize>(), 10_000);
        assert!(stems.stems.len() <= 120);
    }
}
