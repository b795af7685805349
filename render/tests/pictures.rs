//! What the pictures promise: the deploy lines stand where and as they should, and the same chart gives the same bytes.
#![allow(clippy::unwrap_used)] // The helpers are tests as well.

mod sample;

use deployline_render::{Chart, Line, MarkVerdict, Scale, Terminal, Theme, Top, plot_area, png, svg, tty};
use deployline_schemas::UnixMillis;
use image::RgbImage;

fn decode(png: &[u8]) -> RgbImage {
    image::load_from_memory_with_format(png, image::ImageFormat::Png).unwrap().to_rgb8()
}

/// The colour that a line has at the top of the plot, where no series runs.
#[track_caller]
fn check_line(chart: &Chart, index: usize, expected: [u8; 3]) {
    let plot = plot_area(chart);
    let column = plot.x_of(chart.deploys[index].at).unwrap();
    let picture = decode(&png(chart));
    assert_eq!(picture.dimensions(), (chart.width, chart.height));
    let row = plot.top as u32 + 1;
    let found = picture.get_pixel(column as u32, row).0;
    assert_eq!(found, expected, "deploy {index} at column {column}");
    // And nowhere a few pixels beside it.
    for beside in [column - 8, column + 8] {
        assert_ne!(picture.get_pixel(beside as u32, row).0, expected, "column {beside}");
    }
}

#[test]
fn a_deploy_line_stands_at_its_pixel_column_in_the_colour_of_its_verdict() {
    for (width, height) in [(330, 250), (800, 400), (2400, 1200)] {
        let light = sample::regression(width, height);
        check_line(&light, 0, [0x00, 0x7d, 0x5b]);
        check_line(&light, 1, [0xa8, 0x6f, 0x00]);
        check_line(&light, 2, [0xc4, 0x4d, 0x00]);
        let dark = Chart { theme: Theme::Dark, ..light };
        check_line(&dark, 2, [0xff, 0x7a, 0x2b]);
    }
}

#[test]
fn the_line_that_caused_the_alert_is_in_the_picture_however_many_others_there_are() {
    for n in [1, 60, 10_000] {
        let mut chart = sample::day(800, 400, n);
        chart.deploys[n / 2].verdict = MarkVerdict::Guilty(0.93);
        chart.deploys[n / 2].at = UnixMillis::from_secs(sample::MIDNIGHT_S + 43_210);
        let column = plot_area(&chart).x_of(chart.deploys[n / 2].at).unwrap() as u32;
        let top = plot_area(&chart).top as u32 + 1;
        assert_eq!(decode(&png(&chart)).get_pixel(column, top).0, [0xc4, 0x4d, 0x00], "{n} deploys");
        assert!(svg(&chart).contains("guilty 93 %"), "{n} deploys");
    }
}

#[test]
fn every_deploy_is_in_some_line_of_the_svg() {
    let document = svg(&sample::day(800, 400, 10_000));
    let merged: usize = document
        .lines()
        .filter(|line| line.starts_with("<g class=\"deploy\""))
        .map(|line| {
            let title = line.split("<title>").nth(1).unwrap();
            title.split_once(" deploys, ").map_or(1, |(n, _)| n.parse().unwrap())
        })
        .sum();
    assert_eq!(merged, 10_000);
}

#[test]
fn the_same_chart_gives_the_same_bytes() {
    let chart = sample::day(800, 400, 60);
    assert!(png(&chart) == png(&chart) && svg(&chart) == svg(&chart));
    // The order in which the deploys come does not show.
    let mut turned = chart.clone();
    turned.deploys.reverse();
    assert!(svg(&turned) == svg(&chart));
}

#[test]
fn what_others_wrote_stays_text() {
    let mut chart = sample::regression(800, 400);
    let evil = "<script>alert(1)</script>\" onload='x' &\u{0}]]>";
    chart.title = evil.to_owned();
    chart.lines[0].label = evil.to_owned();
    for mark in &mut chart.deploys {
        (mark.id, mark.service, mark.title) = (evil.to_owned(), evil.to_owned(), Some(evil.to_owned()));
        (mark.actor, mark.version) = (Some(evil.to_owned()), Some(evil.to_owned()));
    }
    let document = svg(&chart);
    assert!(
        !document.contains("<script") && !document.contains('\u{0}') && !document.contains("onload='"),
        "{document}"
    );
    assert!(document.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(decode(&png(&chart)).dimensions() == (800, 400));
}

#[test]
fn the_svg_has_text_titles_and_descriptions() {
    let document = svg(&sample::regression(800, 400));
    for expected in [
        "<title>checkout: errors up 6× since 14:02</title>",
        "<desc>1 series and 5 deploys, Monday 23 November 2026, UTC. checkout 9bc1f2e: guilty 93 %.</desc>",
        "<title>3. deploy of checkout 9bc1f2e by ana, 14:02:05, guilty 93 %</title><desc>Move the price rounding into the cart</desc>",
        "data-id=\"c\" role=\"graphics-symbol\" tabindex=\"0\"",
        ">14:05</text>",
        ">3 %</text>",
        "font-family=\"Inter, 'Helvetica Neue'",
    ] {
        assert!(document.contains(expected), "{expected}\n{document}");
    }
}

#[test]
fn a_gap_is_left_open() {
    let mut chart = Chart { width: 800, height: 400, ..Chart::default() };
    let timestamps_s: Vec<i64> = (0..360).map(|index| index * 10).collect();
    let mut values = vec![5.0; 360];
    values[100..200].fill(f64::NAN);
    chart.lines = vec![Line { label: "x".to_owned(), timestamps_s, values, ..Line::default() }];
    let (plot, picture) = (plot_area(&chart), decode(&png(&chart)));
    let is_drawn = |second: i64| {
        let column = plot.x_of(UnixMillis::from_secs(second)).unwrap() as u32;
        (plot.top..plot.bottom - 2).any(|row| picture.get_pixel(column, row as u32).0[0] < 0x60)
    };
    assert_eq!([500, 980, 1200, 1500, 1900, 2100].map(is_drawn), [true, true, false, false, false, true]);
}

#[test]
fn nothing_asked_for_brings_the_drawing_down() {
    let extremes = [f64::MAX, f64::MIN, f64::MIN_POSITIVE, 0.0, f64::NAN, f64::INFINITY, -1e-300, 1e17];
    for (width, height) in [(0, 0), (80, 80), (333, 97), (u32::MAX, 90)] {
        for (from, until) in [(0, 0), (i64::MIN, i64::MAX), (9, 3), (0, 10), (-1 << 60, 1 << 60)] {
            let line = Line {
                label: "\u{202e}名前 🚀".to_owned(),
                timestamps_s: vec![i64::MIN, -5, 0, 0, 1, 2, i64::MAX - 1, i64::MAX],
                values: extremes.to_vec(),
                ..Line::default()
            };
            let mut deploys = sample::deploys(20, -100, 100);
            deploys[3].at = UnixMillis(i64::MAX);
            deploys[4].started_at = UnixMillis(i64::MIN);
            deploys[5].ended_at = None;
            deploys[6].verdict = MarkVerdict::Guilty(f64::NAN);
            let chart = Chart {
                width,
                height,
                from: UnixMillis(from),
                until: UnixMillis(until),
                lines: vec![line],
                deploys,
                onset: Some((UnixMillis(i64::MIN), UnixMillis(i64::MAX))),
                left: Scale { top: Top::At(f64::NAN), ..Scale::default() },
                ..Chart::default()
            };
            assert!(svg(&chart).ends_with("</svg>\n"));
            assert!(!png(&chart).is_empty());
            assert!(!tty(&chart, Terminal { columns: 80, rows: 20, lines: None, color: false }).is_empty());
        }
    }
}

#[test]
fn the_terminal_shows_the_same_with_and_without_colour() {
    let mut chart = sample::regression(800, 400);
    chart.deploys[0].title = Some("\u{1b}[2Jgone\u{7}".to_owned());
    let without = tty(&chart, Terminal { columns: 100, rows: 16, lines: None, color: false });
    insta::assert_snapshot!("terminal", without);
    assert!(!without.contains('\u{1b}'));
    let with = tty(&chart, Terminal { columns: 100, rows: 16, lines: None, color: true });
    let mut stripped = String::new();
    for (index, part) in with.split("\u{1b}[").enumerate() {
        stripped.push_str(if index == 0 { part } else { part.split_once('m').unwrap().1 });
    }
    assert_eq!(stripped, without);
    assert!(tty(&Chart::default(), Terminal { columns: 0, rows: 0, lines: None, color: true }).contains("UTC"));
}

#[test]
fn a_terminal_of_80_by_24_holds_all_of_it() {
    for (n_deploys, title) in [(0, ""), (3, "short"), (60, &*"long ".repeat(40))] {
        let mut chart = Chart { title: title.to_owned(), ..sample::day(800, 400, n_deploys) };
        chart.lines.iter_mut().for_each(|line| line.label.push_str(&".and.more".repeat(9)));
        let text = tty(&chart, Terminal { columns: 80, rows: 16, lines: Some(23), color: false });
        assert!(text.lines().count() <= 23, "{n_deploys} deploys:\n{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("UTC"), "{text}");
    }
    // Nobody says how high it is: the list is as long as it may be.
    let endless = tty(&sample::day(800, 400, 60), Terminal { columns: 80, rows: 16, lines: None, color: false });
    assert!(endless.lines().count() > 30 && endless.contains("+ 48 more deploys"), "{endless}");
}

#[test]
fn a_title_that_names_the_only_series_stands_once() {
    let mut chart = sample::day(800, 400, 0);
    chart.lines.truncate(1);
    chart.title.clone_from(&chart.lines[0].label);
    let text = tty(&chart, Terminal { columns: 80, rows: 16, lines: None, color: true });
    assert_eq!(text.matches(chart.title.as_str()).count(), 1, "{text}");
}
