//! Writes sample pictures into a folder, to be looked at: `cargo run -p deployline-render --example gallery -- DIR`.

#[path = "../tests/sample/mod.rs"]
mod sample;

use std::path::Path;

use deployline_render::{AreaMode, Chart, Compared, Frame, Line, Scale, Shape, Side, Theme, Top, Unit, png, svg};
use deployline_schemas::UnixMillis;

fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "gallery".to_owned());
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    for (name, chart) in charts() {
        std::fs::write(folder.join(format!("{name}.png")), png(&chart))?;
        std::fs::write(folder.join(format!("{name}.svg")), svg(&chart))?;
    }
    Ok(())
}

fn charts() -> Vec<(&'static str, Chart)> {
    let dark = |chart: Chart| Chart { theme: Theme::Dark, ..chart };
    let berlin = |chart: Chart| Chart {
        time_zone: jiff::tz::TimeZone::get("Europe/Berlin").unwrap_or(jiff::tz::TimeZone::UTC),
        ..chart
    };
    let hour = |label: &str, level: f64| sample::wave(label, 5, sample::MIDNIGHT_S, sample::MIDNIGHT_S + 3600, level);
    let base = Chart {
        width: 800,
        height: 400,
        from: UnixMillis::from_secs(sample::MIDNIGHT_S),
        until: UnixMillis::from_secs(sample::MIDNIGHT_S + 3600),
        ..Chart::default()
    };
    let mut gaps = hour("stats.gauges.queue.length", 40.0);
    for index in (60..90).chain(150..152).chain([153, 155, 157]) {
        gaps.values[index] = f64::NAN;
    }
    let mut flat = hour("constant", 5.0);
    flat.values.fill(5.0);
    let mut infinite = hour("stats_counts.deploys", 1.0);
    infinite.style.shape = Shape::Infinite;
    for (index, value) in infinite.values.iter_mut().enumerate() {
        *value = f64::from(u8::from(index % 60 == 7));
    }
    let stacked: Vec<_> = ["web", "search", "checkout"]
        .iter()
        .enumerate()
        .map(|(index, name)| sample::wave(name, index as u64, sample::MIDNIGHT_S, sample::MIDNIGHT_S + 3600, 4000.0))
        .collect();
    vec![
        ("regression-800x400", sample::regression(800, 400)),
        ("regression-dark-800x400", dark(sample::regression(800, 400))),
        ("regression-330x250", sample::regression(330, 250)),
        ("regression-2400x1200", sample::regression(2400, 1200)),
        ("day-60-800x400", berlin(sample::day(800, 400, 60))),
        ("day-60-dark-330x250", dark(sample::day(330, 250, 60))),
        ("day-60-2400x1200", sample::day(2400, 1200, 60)),
        ("day-10000-800x400", sample::day(800, 400, 10_000)),
        ("day-1-800x400", sample::day(800, 400, 1)),
        ("day-0-dark-800x400", dark(sample::day(800, 400, 0))),
        ("gaps", Chart { title: "Gaps are gaps".into(), lines: vec![gaps], ..base.clone() }),
        ("flat", Chart { title: "A flat line".into(), lines: vec![flat.clone()], ..base.clone() }),
        (
            "huge",
            Chart {
                lines: vec![hour("huge", 4e15)],
                left: Scale { unit: Unit::Bytes, ..Scale::default() },
                ..base.clone()
            },
        ),
        (
            "tiny",
            Chart {
                lines: vec![hour("tiny", 4e-7)],
                left: Scale { unit: Unit::Seconds, ..Scale::default() },
                ..base.clone()
            },
        ),
        (
            "level",
            Chart {
                lines: vec![{
                    let mut line = hour("level", 1.0);
                    line.values.iter_mut().for_each(|v| *v += 10_000.0);
                    line
                }],
                ..base.clone()
            },
        ),
        ("empty", Chart { title: "Nothing here".into(), ..base.clone() }),
        (
            "infinite",
            Chart { title: "drawAsInfinite".into(), lines: vec![hour("requests", 90.0), infinite], ..base.clone() },
        ),
        ("many", many_chart(base.clone())),
        (
            "stacked",
            Chart {
                title: "Requests".into(),
                left: Scale { unit: Unit::PerSecond, ..Scale::default() },
                area: AreaMode::Stacked,
                lines: stacked,
                ..base.clone()
            },
        ),
        ("edge", edge()),
        ("edge-330x250", Chart { width: 330, height: 250, ..edge() }),
        ("compared", compared()),
        ("compared-dark-330x250", dark(Chart { width: 330, height: 250, ..compared() })),
        ("two-axes", two_axes(base.clone())),
        (
            "logarithmic",
            Chart {
                title: "A logarithmic axis".into(),
                left: Scale { log_base: Some(10.0), ..Scale::default() },
                lines: vec![hour("small", 0.4), hour("large", 4000.0)],
                ..base.clone()
            },
        ),
        ("negative", Chart { lines: vec![changed(hour("negative", 40.0), |value| value - 60.0)], ..base.clone() }),
        (
            "nan-only",
            Chart {
                title: "No value at all".into(),
                lines: vec![changed(hour("nothing", 40.0), |_| f64::NAN)],
                deploys: sample::deploys(3, sample::MIDNIGHT_S, sample::MIDNIGHT_S + 3600),
                ..base.clone()
            },
        ),
        ("long-names", long_names(base.clone())),
        ("bare", Chart { frame: Frame { bare: true, ..Frame::default() }, ..sample::regression(330, 120) }),
        ("many-2400x1200", Chart { width: 2400, height: 1200, ..many_chart(base.clone()) }),
        ("staircase", staircase(base.clone())),
        ("small-120x80", Chart { width: 120, height: 80, lines: vec![hour("requests", 90.0)], ..base.clone() }),
        (
            "axis-fixed",
            Chart {
                title: "An axis that was asked for cuts the line".into(),
                left: Scale { min: Some(70.0), top: Top::At(90.0), ..Scale::default() },
                lines: vec![hour("requests", 90.0)],
                ..base
            },
        ),
    ]
}

fn changed(mut line: Line, by: impl Fn(f64) -> f64) -> Line {
    line.values.iter_mut().for_each(|value| *value = by(*value));
    line
}

fn long_names(base: Chart) -> Chart {
    let (from_s, until_s) = (sample::MIDNIGHT_S, sample::MIDNIGHT_S + 3600);
    let name = |index: u64| {
        format!(
            "movingAverage(sumSeries(stats.timers.frontend.web{index:02}.production.eu-central-1.checkout.upper_95), '5min')"
        )
    };
    let line = |index: u64| sample::wave(&name(index), index, from_s, until_s, 40.0 + 10.0 * index as f64);
    let title = "A title that goes on and on, since whoever wrote it had much to say about these series and nobody to stop them";
    Chart { title: title.into(), lines: (0..4).map(line).collect(), ..base }
}

fn staircase(base: Chart) -> Chart {
    let mut line = sample::wave("a", 3, sample::MIDNIGHT_S, sample::MIDNIGHT_S + 3600, 9.0);
    line.timestamps_s = line.timestamps_s.iter().step_by(30).copied().collect();
    line.values.truncate(line.timestamps_s.len());
    line.step_s = Some(300);
    line.style.shape = Shape::Staircase;
    Chart { title: "Steps".into(), area: AreaMode::All, lines: vec![line], ..base }
}

fn many_chart(base: Chart) -> Chart {
    let line = |index: u64| {
        let (from_s, until_s) = (sample::MIDNIGHT_S, sample::MIDNIGHT_S + 3600);
        let name = format!("stats.counters.service{index:02}.http.requests.rate");
        sample::wave(&name, index, from_s, until_s, 20.0 + index as f64 * 7.0)
    };
    let left = Scale { unit: Unit::PerSecond, ..Scale::default() };
    Chart { title: "Thirty series".into(), left, lines: (0..30).map(line).collect(), ..base }
}

/// The picture of an alert: the change is at its right edge.
fn edge() -> Chart {
    let chart = sample::regression(800, 400);
    Chart { until: UnixMillis::from_secs(sample::MIDNIGHT_S + 14 * 3600 + 260), ..chart }
}

/// What came after a deploy over what came before.
fn compared() -> Chart {
    let chart = sample::regression(800, 400);
    let from = chart.deploys[2].at;
    let (until, mut before) = (UnixMillis(from.0 + 1_680_000), chart.lines[0].clone());
    before.timestamps_s.iter_mut().for_each(|at| *at += 1680 + 45);
    Chart {
        title: "checkout errors per request".into(),
        caption: "0.53 % → 2.6 %, 5× (4.7–5.3) at 95 %, after checkout 9bc1f2e by ana".into(),
        from,
        until,
        onset: None,
        compared: Some(Compared { label: "the 28 min before it began".into(), lines: vec![before] }),
        ..chart
    }
}

fn two_axes(base: Chart) -> Chart {
    let (from_s, until_s) = (sample::MIDNIGHT_S, sample::MIDNIGHT_S + 3600);
    let mut errors = sample::wave("errors", 2, from_s, until_s, 0.004);
    errors.style.side = Side::Right;
    Chart {
        title: "Requests and errors".into(),
        left: Scale { title: "requests per second".into(), unit: Unit::PerSecond, ..Scale::default() },
        right: Scale { title: "errors per request".into(), unit: Unit::Ratio, ..Scale::default() },
        lines: vec![sample::wave("requests", 5, from_s, until_s, 250.0), errors],
        deploys: sample::deploys(3, from_s, until_s),
        ..base
    }
}
