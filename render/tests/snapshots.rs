//! Pictures as they were looked at and found good. `UPDATE_PICTURES=1 cargo test -p deployline-render --test snapshots` takes
//! what is drawn now in their place; look at it before it is committed.
#![allow(clippy::unwrap_used)] // The helpers are tests as well.

mod sample;

use std::{env, fs, path::PathBuf};

use deployline_render::{AreaMode, Chart, Compared, Scale, Side, Theme, Unit, png, svg};
use deployline_schemas::UnixMillis;
use image::{Rgb, RgbImage};

fn is_update() -> bool {
    env::var_os("UPDATE_PICTURES").is_some_and(|value| !value.is_empty() && value != "0")
}

fn kept(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name)
}

/// Writes what differs where it can be looked at, and says where that is.
fn left_over(name: &str, bytes: &[u8]) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pictures");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), bytes).unwrap();
    folder.join(name)
}

const HINT: &str = "if it is meant, run again with UPDATE_PICTURES=1 and look at the picture";

/// Compares the PNG's pixels, not its bytes: how they are compressed is the encoder's business.
fn check_png(name: &str, chart: &Chart) {
    let (name, bytes) = (format!("{name}.png"), png(chart));
    assert!(bytes == png(chart), "{name}: the same chart gave two pictures");
    if is_update() {
        fs::write(kept(&name), &bytes).unwrap();
        return;
    }
    let decode = |bytes: &[u8]| image::load_from_memory(bytes).unwrap().to_rgb8();
    let before = fs::read(kept(&name)).unwrap_or_else(|error| panic!("{name}: {error}; {HINT}"));
    let (before, now) = (decode(&before), decode(&bytes));
    if let Some(difference) = differs(&before, &now) {
        let new = left_over(&name, &bytes);
        panic!("{name}: {difference}; what is drawn now is in {}; {HINT}", new.display());
    }
}

/// How two pictures differ, in words.
fn differs(before: &RgbImage, now: &RgbImage) -> Option<String> {
    if before.dimensions() != now.dimensions() {
        return Some(format!("{:?} pixels became {:?}", before.dimensions(), now.dimensions()));
    }
    let pairs = before.enumerate_pixels().zip(now.pixels());
    let far = |a: &Rgb<u8>, b: &Rgb<u8>| a.0.iter().zip(b.0).map(|(a, b)| a.abs_diff(b)).max().unwrap_or(0);
    let other: Vec<(u32, u32, u8)> =
        pairs.map(|((x, y, a), b)| (x, y, far(a, b))).filter(|(.., far)| *far > 0).collect();
    let edge = |pick: fn(&(u32, u32, u8)) -> u32| (other.iter().map(pick).min(), other.iter().map(pick).max());
    let ((Some(left), Some(right)), (Some(top), Some(bottom))) = (edge(|p| p.0), edge(|p| p.1)) else { return None };
    let most = other.iter().map(|(.., far)| *far).max().unwrap_or(0);
    Some(format!(
        "{} of {} pixels differ, by up to {most} of 255, in columns {left} to {right} and rows {top} to {bottom}",
        other.len(),
        before.width() * before.height()
    ))
}

fn check_svg(name: &str, chart: &Chart) {
    let (name, document) = (format!("{name}.svg"), svg(chart));
    if is_update() {
        fs::write(kept(&name), &document).unwrap();
        return;
    }
    let before = fs::read_to_string(kept(&name)).unwrap_or_else(|error| panic!("{name}: {error}; {HINT}"));
    let first = before.lines().zip(document.lines()).position(|(before, now)| before != now);
    if before != document {
        let line = first.unwrap_or_else(|| before.lines().count().min(document.lines().count()));
        let at = |text: &str| text.lines().nth(line).unwrap_or("(the end)").chars().take(300).collect::<String>();
        let new = left_over(&name, document.as_bytes());
        panic!(
            "{name} differs from line {} on\n  was: {}\n  now: {}\nwhat is drawn now is in {}; {HINT}",
            line + 1,
            at(&before),
            at(&document),
            new.display()
        );
    }
}

#[test]
fn an_alerts_picture() {
    let chart =
        Chart { until: UnixMillis::from_secs(sample::MIDNIGHT_S + 14 * 3600 + 260), ..sample::regression(800, 400) };
    check_png("alert", &chart);
    check_svg("alert", &chart);
}

#[test]
fn a_small_dark_picture() {
    let chart = Chart { theme: Theme::Dark, ..sample::regression(330, 250) };
    check_png("small-dark", &chart);
    check_svg("small-dark", &chart);
}

#[test]
fn an_empty_picture() {
    check_svg("empty", &Chart { title: "Nothing here".to_owned(), width: 800, height: 400, ..Chart::default() });
}

#[test]
fn two_axes_and_a_stack() {
    let (from_s, until_s) = (sample::MIDNIGHT_S, sample::MIDNIGHT_S + 3600);
    let mut errors = sample::wave("errors", 2, from_s, until_s, 0.004);
    errors.style.side = Side::Right;
    let chart = Chart {
        width: 500,
        height: 260,
        from: UnixMillis::from_secs(from_s),
        until: UnixMillis::from_secs(until_s),
        title: "Requests and errors".to_owned(),
        left: Scale { unit: Unit::PerSecond, title: "requests".to_owned(), ..Scale::default() },
        right: Scale { unit: Unit::Ratio, title: "errors per request".to_owned(), ..Scale::default() },
        area: AreaMode::Stacked,
        lines: vec![
            sample::wave("web", 5, from_s, until_s, 90.0),
            sample::wave("search", 6, from_s, until_s, 40.0),
            errors,
        ],
        deploys: sample::deploys(3, from_s, until_s),
        ..Chart::default()
    };
    check_png("two-axes", &chart);
}

#[test]
fn after_over_before() {
    let chart = sample::regression(600, 300);
    let from = chart.deploys[2].at;
    let mut before = chart.lines[0].clone();
    before.timestamps_s.iter_mut().for_each(|at| *at += 1680 + 45);
    let chart = Chart {
        title: "checkout errors per request".to_owned(),
        caption: "0.53 % → 2.6 %, 5× (4.7–5.3) at 95 %, after checkout 9bc1f2e by ana".to_owned(),
        from,
        until: UnixMillis(from.0 + 1_680_000),
        onset: None,
        compared: Some(Compared { label: "the 28 min before it began".to_owned(), lines: vec![before] }),
        ..chart
    };
    check_png("compared", &chart);
}

#[test]
fn a_difference_is_told_by_its_place_and_size() {
    let before = RgbImage::from_pixel(10, 10, Rgb([9, 9, 9]));
    let mut now = before.clone();
    assert_eq!(differs(&before, &now), None);
    now.put_pixel(3, 4, Rgb([9, 20, 9]));
    now.put_pixel(5, 4, Rgb([9, 10, 9]));
    assert_eq!(
        differs(&before, &now).unwrap(),
        "2 of 100 pixels differ, by up to 11 of 255, in columns 3 to 5 and rows 4 to 4"
    );
    assert_eq!(differs(&before, &RgbImage::new(9, 10)).unwrap(), "(10, 10) pixels became (9, 10)");
}
