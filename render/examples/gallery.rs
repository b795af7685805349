//! Writes sample pictures into a folder, to be looked at: `cargo run -p deployline-render --example gallery -- DIR`.

#[path = "../tests/sample/mod.rs"]
mod sample;

use std::path::Path;

use deployline_render::{AreaMode, Chart, Shape, Theme, Unit, png, svg};
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
    let many = (0..30).map(|index| {
        sample::wave(
            &format!("stats.counters.service{index:02}.http.requests.rate"),
            index,
            sample::MIDNIGHT_S,
            sample::MIDNIGHT_S + 3600,
            20.0 + index as f64 * 7.0,
        )
    });
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
        ("huge", Chart { lines: vec![hour("huge", 4e15)], unit: Unit::Bytes, ..base.clone() }),
        ("tiny", Chart { lines: vec![hour("tiny", 4e-7)], unit: Unit::Seconds, ..base.clone() }),
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
        ("many", Chart { title: "Thirty series".into(), unit: Unit::PerSecond, lines: many.collect(), ..base.clone() }),
        (
            "stacked",
            Chart {
                title: "Requests".into(),
                unit: Unit::PerSecond,
                area: AreaMode::Stacked,
                lines: stacked,
                ..base.clone()
            },
        ),
        ("small-120x80", Chart { width: 120, height: 80, lines: vec![hour("requests", 90.0)], ..base.clone() }),
        (
            "axis-fixed",
            Chart {
                title: "An axis that was asked for cuts the line".into(),
                value_max: Some(90.0),
                value_min: Some(70.0),
                lines: vec![hour("requests", 90.0)],
                ..base
            },
        ),
    ]
}
