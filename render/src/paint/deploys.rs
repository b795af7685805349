//! Deploy lines: regions, lines, badges, and the words of a verdict.

use deployline_schemas::deploy::Kind;
use plotters_backend::text_anchor::HPos;

use super::Painter;
use crate::{
    canvas::{Canvas, Drawn, Group, Pen, SUB, fill, px},
    chart::{DeployMark, MarkVerdict},
    font,
    layout::SMALL,
    palette::Rgb,
    stems::Stem,
    time_axis,
};

/// Most deploys that a merged line's description names; the rest is counted.
const MAX_NAMED: usize = 12;

impl<C: Canvas> Painter<'_, C> {
    /// The colour of a verdict.
    pub(super) fn verdict_color(&self, verdict: MarkVerdict) -> Rgb {
        match verdict {
            MarkVerdict::Unknown => self.palette.deploy,
            MarkVerdict::Cleared => self.palette.cleared,
            MarkVerdict::Suspect(_) => self.palette.suspect,
            MarkVerdict::Guilty(_) => self.palette.guilty,
        }
    }

    /// The time that deploys took, as a tint over the union of their regions; a marked one's in its own colour.
    pub(super) fn regions(&mut self) -> Drawn {
        let (layout, plot) = (self.layout, self.layout.plot);
        let (from, until) = layout.window;
        let columns = |mark: &DeployMark| {
            let (start, end) = (mark.started_at.max(from), mark.ended_at.unwrap_or(until).min(until));
            (plot.column(start), plot.column(end.max(start)) + 1)
        };
        let singled: Vec<usize> =
            layout.stems.stems.iter().filter(|stem| stem.marked).map(|stem| stem.members.start).collect();
        let (mut plain, mut marked) = (Vec::new(), Vec::new());
        for (index, mark) in layout.stems.marks.iter().enumerate() {
            let (left, right) = columns(mark);
            if right - left < 3 {
                continue;
            }
            if singled.contains(&index) {
                marked.push((left, right, self.verdict_color(mark.verdict)));
            } else {
                plain.push((left, right));
            }
        }
        plain.sort_unstable();
        let mut union: Vec<(i32, i32)> = Vec::new();
        for (left, right) in plain {
            match union.last_mut() {
                Some(last) if left <= last.1 => last.1 = last.1.max(right),
                _ => union.push((left, right)),
            }
        }
        let plain = union.into_iter().map(|(left, right)| (left, right, self.palette.deploy, 0.13));
        let bands: Vec<_> =
            plain.chain(marked.into_iter().map(|(left, right, color)| (left, right, color, 0.12))).collect();
        for (left, right, color, alpha) in bands {
            let rows = (plot.top * SUB, plot.bottom * SUB);
            self.canvas.draw_rect((left * SUB, rows.0), (right * SUB, rows.1), &fill(color, alpha), true)?;
        }
        Ok(())
    }

    /// The lines, marked ones over the others.
    pub(super) fn stems(&mut self) -> Drawn {
        let stems = &self.layout.stems;
        let mut order: Vec<&Stem> = stems.stems.iter().filter(|stem| stem.inside).collect();
        order.sort_by_key(|stem| (stem.marked, stems.gravest(stem).verdict.gravity()));
        for stem in order {
            self.stem(stem)?;
        }
        Ok(())
    }

    fn stem(&mut self, stem: &Stem) -> Drawn {
        let (layout, plot) = (self.layout, self.layout.plot);
        let gravest = layout.stems.gravest(stem);
        let members = &layout.stems.marks[stem.members.clone()];
        let hair = layout.scale.round().max(1.0);
        let color = self.verdict_color(gravest.verdict);
        let guilty = matches!(gravest.verdict, MarkVerdict::Guilty(_));
        let width = if guilty { hair + 2.0 } else { hair };
        let mut pen = Pen::solid(color, width);
        if members.iter().all(|mark| mark.kind == gravest.kind) && !guilty {
            pen = pen.dashed(kind_dashes(gravest.kind).iter().map(|length| length * layout.scale));
        }
        // Where lines stand shoulder to shoulder they become a shade, and the series stay readable.
        let is_dense = layout.stems.stems.len() as i32 * 12 > plot.right - plot.left;
        if is_dense && gravest.verdict.gravity() < 2 {
            pen = pen.faded(0.35);
        }
        let (title, description) = self.describe(stem);
        let id = if let [only] = members { Some(only.id.as_str()) } else { None };
        self.canvas.open(&Group { class: "deploy", id, title: &title, description: &description });
        if stem.last_column > stem.column && !is_dense {
            // What a merged line covers beyond its own column.
            let band = fill(color, 0.25);
            let (left, right) = (stem.column * SUB, (stem.last_column + 1) * SUB);
            self.canvas.draw_rect((left, plot.top * SUB), (right, plot.bottom * SUB), &band, true)?;
        }
        let x = Self::middle(stem.column);
        self.canvas.stroke(&[(x, plot.top * SUB), (x, plot.bottom * SUB)], &pen);
        self.canvas.close();
        Ok(())
    }

    /// What a line means, in one line and in a few.
    fn describe(&self, stem: &Stem) -> (String, String) {
        let members = &self.layout.stems.marks[stem.members.clone()];
        let sentence = |mark: &DeployMark| {
            let actor = mark.actor.as_deref().map(|actor| format!(" by {actor}")).unwrap_or_default();
            let verdict = mark.verdict.words();
            let verdict = if verdict.is_empty() { verdict } else { format!(", {verdict}") };
            let at = time_axis::clock(mark.at, &self.chart.time_zone, self.spans_days());
            format!("{} {}{actor}, {at}{verdict}", kind_word(mark.kind), mark.name())
        };
        if let [only] = members {
            return (format!("{}. {}", stem.members.start + 1, sentence(only)), only.title.clone().unwrap_or_default());
        }
        let title = format!("{} deploys, {} to {}", members.len(), stem.members.start + 1, stem.members.end);
        let mut named: Vec<String> = members.iter().take(MAX_NAMED).map(|mark| sentence(mark)).collect();
        if members.len() > MAX_NAMED {
            named.push(format!("and {} more", members.len() - MAX_NAMED));
        }
        (title, named.join("; "))
    }

    /// Whether the window needs dates to name a moment.
    pub(super) fn spans_days(&self) -> bool {
        let (from, until) = self.layout.window;
        until.0 - from.0 > 86_400_000
    }

    /// The badges, the names beside those that have room, and the words of the verdicts above.
    pub(super) fn badges(&mut self) -> Drawn {
        let (layout, font) = (self.layout, self.layout.font);
        let Some(lane) = layout.badge_lane else { return Ok(()) };
        let height = font * 1.2;
        for (index, badge) in layout.badges.iter().enumerate() {
            let first = &layout.stems.stems[badge.stems.start];
            let gravest = layout.stems.stems[badge.stems.clone()]
                .iter()
                .map(|stem| layout.stems.gravest(stem))
                .max_by_key(|mark| mark.verdict.gravity())
                .unwrap_or(layout.stems.marks[first.members.start]);
            let color = self.verdict_color(gravest.verdict);
            let (top, bottom) = (lane - height / 2.0, lane + height / 2.0);
            let corners = ((px(badge.left.round()), px(top.round())), (px(badge.right.round()), px(bottom.round())));
            self.canvas.draw_rect(corners.0, corners.1, &fill(color, 1.0), true)?;
            let middle = (badge.left.round() + badge.right.round()) / 2.0;
            self.text(
                &badge.text,
                (middle, (top.round() + bottom.round()) / 2.0),
                self.palette.paper,
                SMALL,
                true,
                HPos::Center,
            )?;
            let is_one = badge.stems.len() == 1 && first.members.len() == 1;
            if is_one && (!first.marked || layout.verdict_lane.is_none()) {
                let end = layout.badges.get(index + 1).map_or(f64::from(layout.width) - font * 0.5, |next| next.left);
                self.name_beside(gravest, badge.right + font * 0.3, end - font * 0.4, lane)?;
            }
        }
        self.verdicts()
    }

    /// As much of a deploy's name as fits between two badges: all of it, the service alone, or nothing.
    fn name_beside(&mut self, mark: &DeployMark, left: f64, right: f64, middle: f64) -> Drawn {
        let face = font::face(false);
        let fits = |words: &str| face.width(words, self.layout.font * SMALL) <= right - left;
        let words = [mark.name(), mark.service.clone()].into_iter().find(|words| words.len() < 200 && fits(words));
        match words {
            Some(words) => self.small(&words, (left, middle), self.palette.muted, HPos::Left),
            None => Ok(()),
        }
    }

    /// The words of each marked line in the lane above the badges, the gravest first, none over another.
    fn verdicts(&mut self) -> Drawn {
        let (layout, font) = (self.layout, self.layout.font);
        let Some(lane) = layout.verdict_lane else { return Ok(()) };
        let mut marked: Vec<&Stem> = layout.stems.stems.iter().filter(|stem| stem.marked).collect();
        marked.sort_by_key(|stem| std::cmp::Reverse(layout.stems.gravest(stem).verdict.gravity()));
        let (margin, right) = (layout.pad, f64::from(layout.width) - layout.pad);
        let mut taken: Vec<(f64, f64)> = Vec::new();
        for stem in marked {
            let mark = layout.stems.gravest(stem);
            let verdict = mark.verdict.words();
            let sign = if matches!(mark.verdict, MarkVerdict::Guilty(_)) { "✗ " } else { "? " };
            let by = mark.actor.as_deref().map(|actor| format!(" by {actor}")).unwrap_or_default();
            let wordings = [
                format!("{sign}{verdict}: {}{by}", mark.name()),
                format!("{sign}{verdict}: {}", mark.service),
                format!("{sign}{verdict}"),
            ];
            let size = font * SMALL;
            let x = f64::from(stem.column) - font * 0.4;
            let place = |words: &String| {
                let width = font::face(true).width(words, size);
                let start = x.min(right - width).max(margin);
                let free = taken.iter().all(|(from, until)| start + width + font < *from || *until + font < start);
                (free && start + width <= right + 0.5).then_some((start, width))
            };
            let found = wordings.iter().find_map(|words| place(words).map(|place| (words.clone(), place)));
            if let Some((words, (start, width))) = found {
                taken.push((start, start + width));
                self.text(&words, (start, lane), self.verdict_color(mark.verdict), SMALL, true, HPos::Left)?;
            }
        }
        Ok(())
    }
}

/// Dashes by kind, in pixels: drawn, left out, and so on; solid for a deploy of code.
pub(super) fn kind_dashes(kind: Kind) -> &'static [f64] {
    match kind {
        Kind::Deploy => &[],
        Kind::Rollback => &[9.0, 3.0],
        Kind::Config => &[2.0, 2.0],
        Kind::Flag => &[7.0, 3.0, 2.0, 3.0],
        Kind::Migration => &[4.0, 4.0],
        Kind::Infra => &[7.0, 2.0, 2.0, 2.0, 2.0, 2.0],
    }
}

fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Deploy => "deploy of",
        Kind::Rollback => "rollback of",
        Kind::Config => "configuration of",
        Kind::Flag => "flag in",
        Kind::Migration => "migration of",
        Kind::Infra => "infrastructure of",
    }
}
