//! What each way of drawing does to the pixels, or to the elements of the SVG.
#![allow(clippy::unwrap_used)] // The helpers are tests as well.

mod sample;

use deployline_render::{
    AreaMode, Chart, Colors, Compared, Frame, Line, Scale, Shape, Side, Theme, Top, Unit, plot_area, png, svg,
};
use deployline_schemas::UnixMillis;
use image::RgbImage;

const RED: (u8, u8, u8) = (200, 0, 0);
const BLUE: (u8, u8, u8) = (0, 0, 200);

/// A line over the hour of a chart, every ten minutes.
fn line(color: (u8, u8, u8), values: [f64; 7]) -> Line {
    let mut line = Line {
        label: format!("line of {}", values[0]),
        timestamps_s: (0..7).map(|index| index * 600).collect(),
        values: values.to_vec(),
        step_s: Some(600),
        ..Line::default()
    };
    line.style.color = Some(color);
    line
}

fn chart(lines: Vec<Line>) -> Chart {
    let left = Scale { min: Some(0.0), top: Top::At(10.0), ..Scale::default() };
    Chart { width: 600, height: 300, left, lines, ..Chart::default() }
}

fn picture(chart: &Chart) -> RgbImage {
    image::load_from_memory_with_format(&png(chart), image::ImageFormat::Png).unwrap().to_rgb8()
}

/// The colour at a second and a value of an axis from 0 to 10.
fn at(chart: &Chart, second: i64, value: f64) -> (u8, u8, u8) {
    let plot = plot_area(chart);
    let x = plot.x_of(UnixMillis::from_secs(second)).unwrap();
    let y = f64::from(plot.bottom) - f64::from(plot.bottom - plot.top) * value / 10.0;
    let pixel = picture(chart).get_pixel(x as u32, (y as u32).min(chart.height - 1)).0;
    (pixel[0], pixel[1], pixel[2])
}

/// Whether a colour is nearer to one than to white.
#[track_caller]
fn is_of(found: (u8, u8, u8), color: (u8, u8, u8)) -> bool {
    let far = |(a, b, c): (u8, u8, u8), (d, e, f): (u8, u8, u8)| {
        [(a, d), (b, e), (c, f)].into_iter().map(|(x, y)| u32::from(x.abs_diff(y))).sum::<u32>()
    };
    far(found, color) < 60
}

fn words(chart: &Chart) -> Vec<String> {
    let document = svg(chart);
    let texts = document.split("<text").skip(1);
    texts.map(|part| part.split_once('>').unwrap().1.split_once("</text>").unwrap().0.to_owned()).collect()
}

#[test]
fn a_second_axis_has_its_own_ends_and_words() {
    let mut right = line(BLUE, [0.5; 7]);
    right.style.side = Side::Right;
    let mut chart = chart(vec![line(RED, [5.0; 7]), right]);
    chart.lines.iter_mut().for_each(|line| line.style.width = Some(4.0));
    chart.right =
        Scale { min: Some(0.0), top: Top::At(1.0), unit: Unit::Ratio, title: "share".to_owned(), ..Scale::default() };
    // Half of either axis is one height: the second line covers the first.
    assert!(is_of(at(&chart, 1800, 5.0), BLUE));
    let words = words(&chart);
    for expected in ["10", "100 %", "share", "line of 0.5 (right)"] {
        assert!(words.iter().any(|word| word == expected), "{expected}: {words:?}");
    }
    chart.right.top = Top::At(0.625);
    assert!(is_of(at(&chart, 1800, 5.0), RED) && is_of(at(&chart, 1800, 8.0), BLUE));
}

#[test]
fn areas_are_filled_as_their_mode_says() {
    let lines = || vec![line(RED, [2.0; 7]), line(BLUE, [6.0; 7])];
    let filled = |area: AreaMode, area_alpha: f64| {
        let frame = Frame { hide_grid: true, ..Frame::default() };
        let chart = Chart { area, area_alpha: Some(area_alpha), frame, ..chart(lines()) };
        [1.0, 4.0, 7.0, 9.0].map(|value| at(&chart, 1900, value))
    };
    let white = (255, 255, 255);
    assert_eq!(filled(AreaMode::None, 1.0), [white; 4]);
    assert_eq!(filled(AreaMode::First, 1.0), [RED, white, white, white]);
    assert_eq!(filled(AreaMode::All, 1.0), [BLUE, BLUE, white, white]);
    assert_eq!(filled(AreaMode::Stacked, 1.0), [RED, BLUE, BLUE, white]);
    // Half of red and half of white.
    let pale = filled(AreaMode::First, 0.5)[0];
    assert!(pale.0.abs_diff(227) <= 1 && pale.1.abs_diff(127) <= 1, "{pale:?}");
}

#[test]
fn a_stacked_line_stands_on_those_before_and_an_invisible_one_is_a_lower_edge() {
    let mut lines = vec![line(RED, [3.0; 7]), line(BLUE, [7.0; 7])];
    lines.iter_mut().for_each(|line| (line.style.stacked, line.style.alpha) = (true, Some(1.0)));
    let mut chart = chart(lines);
    assert_eq!([1.5, 5.0].map(|value| at(&chart, 1900, value)), [RED, BLUE]);
    chart.lines[0].style.invisible = true;
    assert_eq!([1.5, 5.0].map(|value| at(&chart, 1900, value)), [(255, 255, 255), BLUE]);
    assert!(!words(&chart).contains(&"line of 3".to_owned()));
}

#[test]
fn steps_hold_a_value_until_the_next_is_due() {
    let mut chart = chart(vec![line(RED, [2.0, 8.0, 2.0, 8.0, 2.0, 8.0, f64::NAN])]);
    let found =
        |chart: &Chart| [(900, 8.0), (900, 5.0), (3590, 8.0)].map(|(at_s, value)| is_of(at(chart, at_s, value), RED));
    assert_eq!(found(&chart), [false, true, false], "a slope passes the middle");
    chart.lines[0].style.shape = Shape::Staircase;
    assert_eq!(found(&chart), [true, false, true], "a step holds, the last one too");
}

#[test]
fn a_line_reaches_as_far_as_it_may() {
    let mut chart = chart(vec![line(RED, [5.0, 5.0, f64::NAN, 5.0, 5.0, 5.0, 5.0])]);
    let kept = |line: &mut Line| {
        (line.timestamps_s, line.values) = (vec![0, 600, 1800, 2400, 3000, 3600], vec![5.0; 6]);
    };
    assert!(!is_of(at(&chart, 1300, 5.0), RED));
    kept(&mut chart.lines[0]);
    assert!(!is_of(at(&chart, 1300, 5.0), RED));
    chart.lines[0].reach_s = Some(1200);
    assert!(is_of(at(&chart, 1300, 5.0), RED));
}

#[test]
fn colours_of_paper_words_and_grid_are_those_asked_for() {
    let mut chart = chart(vec![line(RED, [2.0; 7])]);
    chart.colors = Colors {
        paper: Some((1, 2, 3)),
        ink: Some((250, 251, 252)),
        grid: Some((0, 99, 0)),
        minor_grid: Some((99, 0, 99)),
    };
    chart.frame.n_minor = 1;
    let document = svg(&chart);
    assert_eq!(picture(&chart).get_pixel(0, 0).0, [1, 2, 3]);
    // Ticks stand 2 apart here.
    assert_eq!([4.0, 3.0].map(|value| at(&chart, 1900, value)), [(0, 99, 0), (99, 0, 99)], "{document}");
    assert!(document.split("<text").skip(1).all(|text| text.contains("#fafbfc")), "{document}");
}

#[test]
fn what_stands_around_the_plot_can_be_left_out() {
    let all =
        Chart { title: "title".to_owned(), deploys: sample::deploys(3, 0, 3600), ..chart(vec![line(RED, [2.0; 7])]) };
    let left_out = |frame: Frame| {
        let (before, after) = (words(&all), words(&Chart { frame, ..all.clone() }));
        before.into_iter().filter(|word| !after.contains(word)).collect::<Vec<_>>()
    };
    assert!(left_out(Frame { legend: Some(false), ..Frame::default() }).contains(&"line of 2".to_owned()));
    let values = left_out(Frame { hide_values: true, ..Frame::default() });
    assert_eq!(values, ["0", "5", "10"]);
    let times = left_out(Frame { hide_times: true, ..Frame::default() });
    assert!(times.contains(&"00:10".to_owned()) && times.iter().any(|word| word.ends_with("UTC")), "{times:?}");
    assert!(words(&Chart { frame: Frame { bare: true, ..Frame::default() }, ..all.clone() }).is_empty());
    // Of a bare picture the plot is all, and the deploys' lines are still in it.
    let bare = Chart { frame: Frame { bare: true, ..Frame::default() }, ..all.clone() };
    let plot = plot_area(&bare);
    assert_eq!((plot.left, plot.right, plot.top, plot.bottom), (0, 600, 0, 300));
    assert_eq!(svg(&bare).matches("class=\"deploy\"").count(), 3);
    let grid = |hide_grid: bool| {
        at(&Chart { frame: Frame { hide_grid, ..Frame::default() }, deploys: vec![], ..all.clone() }, 1900, 4.0)
    };
    assert_ne!(grid(false), (255, 255, 255));
    assert_eq!(grid(true), (255, 255, 255));
}

#[test]
fn margins_letters_and_sides_are_those_asked_for() {
    let chart = chart(vec![line(RED, [2.0; 7])]);
    let with = |frame: Frame| Chart { frame, ..chart.clone() };
    let usual = plot_area(&chart);
    let wide = plot_area(&with(Frame { margin: Some(40.0), ..Frame::default() }));
    assert!(wide.left > usual.left + 25 && wide.right < usual.right - 25 && wide.top > usual.top + 25, "{wide:?}");
    let large = svg(&with(Frame { font_size: Some(20.0), ..Frame::default() }));
    assert!(large.contains("font-size=\"18.4\""), "{large}");
    assert!(
        svg(&with(Frame { bold: true, ..Frame::default() }))
            .split("<text")
            .skip(1)
            .all(|text| text.contains("font-weight"))
    );
    let right = plot_area(&with(Frame { values_right: true, ..Frame::default() }));
    assert!(right.left < usual.left - 5 && right.right < usual.right - 5, "{right:?}");
}

#[test]
fn pens_are_those_asked_for() {
    let mut chart = chart(vec![line(RED, [5.0; 7])]);
    chart.frame.legend = Some(false);
    let count = |chart: &Chart| {
        picture(chart).pixels().filter(|pixel| is_of((pixel.0[0], pixel.0[1], pixel.0[2]), RED)).count()
    };
    let usual = count(&chart);
    chart.lines[0].style.width = Some(8.0);
    let wide = count(&chart);
    assert!(wide > usual * 3, "{usual} {wide}");
    chart.lines[0].style.dash = Some(10.0);
    let dashed = count(&chart) as f64 / wide as f64;
    assert!((0.4..0.6).contains(&dashed), "{dashed}");
    (chart.lines[0].style.dash, chart.lines[0].style.alpha) = (None, Some(0.5));
    assert_eq!(at(&chart, 1900, 5.0), (227, 127, 127));
}

#[test]
fn the_same_series_at_another_time_lies_paler_beneath() {
    let mut chart = chart(vec![line(RED, [8.0; 7])]);
    chart.compared = Some(Compared { label: "a week before".to_owned(), lines: vec![line(BLUE, [3.0; 7])] });
    let pale = at(&chart, 1900, 3.0);
    assert!(pale.0 > 200 && pale.1 == pale.2 && (110..200).contains(&pale.1), "the line's red, paler: {pale:?}");
    assert!(words(&chart).contains(&"a week before".to_owned()));
    // Where both are, the present is on top.
    chart.compared.as_mut().unwrap().lines[0].values = vec![8.0; 7];
    assert!(is_of(at(&chart, 1900, 8.0), RED));
}

#[test]
fn a_logarithmic_axis_gives_equal_factors_equal_heights_and_leaves_zero_out() {
    let mut chart = chart(vec![line(RED, [10.0; 7]), line(BLUE, [1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0])]);
    chart.left = Scale { log_base: Some(10.0), min: Some(0.1), top: Top::At(1000.0), ..Scale::default() };
    // Four decades: 10 is at half, 1 at a quarter.
    assert!(is_of(at(&chart, 300, 5.0), RED) && is_of(at(&chart, 300, 2.5), BLUE));
    assert!(!is_of(at(&chart, 1500, 2.5), BLUE) && !is_of(at(&chart, 1500, 0.1), BLUE));
    assert!(words(&chart).contains(&"logarithmic scale".to_owned()));
}

#[test]
fn times_are_written_as_asked_in_the_zone_asked_for() {
    let mut chart = chart(vec![line(RED, [5.0; 7])]);
    chart.frame.time_format = Some("%Hh%M".to_owned());
    chart.time_zone = jiff::tz::TimeZone::get("Asia/Kolkata").unwrap();
    let words = words(&chart);
    assert!(words.contains(&"06h00".to_owned()), "{words:?}");
    assert!(words.iter().any(|word| word.ends_with("Asia/Kolkata (IST)")), "{words:?}");
}

#[test]
fn a_narrower_window_fans_merged_deploys_out() {
    let mut chart = chart(vec![line(RED, [5.0; 7])]);
    chart.deploys = sample::deploys(12, 1000, 1012);
    for (index, deploy) in chart.deploys.iter_mut().enumerate() {
        deploy.at = UnixMillis::from_secs(1000 + index as i64);
    }
    let n_lines = |chart: &Chart| svg(chart).matches("class=\"deploy\"").count();
    assert!(n_lines(&chart) < 4, "{}", n_lines(&chart));
    assert!(words(&chart).contains(&"1–12".to_owned()));
    (chart.from, chart.until) = (UnixMillis::from_secs(990), UnixMillis::from_secs(1030));
    assert_eq!(n_lines(&chart), 12);
}

#[test]
fn a_deploy_from_before_the_window_tints_it_from_the_left_edge() {
    let mut chart = chart(vec![line(RED, [5.0; 7])]);
    chart.deploys = sample::deploys(1, 1200, 1201);
    chart.deploys[0].started_at = UnixMillis::from_secs(-500);
    let plain = at(&Chart { deploys: vec![], ..chart.clone() }, 100, 3.0);
    assert_ne!(at(&chart, 100, 3.0), plain, "under way at the left edge");
    assert_eq!(at(&chart, 1400, 3.0), plain, "over by then");
}

#[test]
fn the_onset_is_striped_named_in_the_legend_and_covers_no_line() {
    for until_s in [1800, 3600] {
        let mut chart = chart(vec![line(RED, [2.0, 2.0, 8.0, 8.0, 8.0, 8.0, 8.0])]);
        chart.until = UnixMillis::from_secs(until_s);
        let without = chart.clone();
        chart.onset = Some((UnixMillis::from_secs(1500), UnixMillis::from_secs(1700)));
        assert!(svg(&chart).contains("<title>onset between 00:25:00 and 00:28:20</title>"));
        assert!(words(&chart).contains(&"onset, 90 %".to_owned()));
        let n_words_in_plot = |chart: &Chart| {
            let (plot, document) = (plot_area(chart), svg(chart));
            let inside = |text: &&str| {
                let number =
                    |name: &str| text.split_once(name).unwrap().1.split_once('"').unwrap().0.parse::<f64>().unwrap();
                let (x, y) = (number(" x=\""), number(" y=\""));
                (f64::from(plot.left)..f64::from(plot.right)).contains(&x)
                    && (f64::from(plot.top)..f64::from(plot.bottom)).contains(&y)
            };
            document.split("<text").skip(1).filter(inside).count()
        };
        assert_eq!(n_words_in_plot(&chart), n_words_in_plot(&without), "no word in the plot");
        let plain = at(&Chart { onset: None, ..chart.clone() }, 1600, 5.0);
        assert_ne!(at(&chart, 1600, 5.0), plain);
        assert_eq!(at(&chart, 1400, 5.3), at(&without, 1400, 5.3));
    }
}

#[test]
fn the_themes_differ_and_every_line_keeps_its_own_colour() {
    let light = chart(vec![line(RED, [5.0; 7])]);
    let dark = Chart { theme: Theme::Dark, ..light.clone() };
    assert_ne!(picture(&light).get_pixel(0, 0), picture(&dark).get_pixel(0, 0));
    assert!(is_of(at(&dark, 1900, 5.0), RED));
}
