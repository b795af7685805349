//! `replay`: the correlator over recorded time.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, BufWriter, Read, Write},
    path::Path,
};

use anyhow::{Context, ensure};
use deployline_correlate::{Settings, learned::Learned, replay::replay};
use deployline_schemas::{Deploy, DeployEvent, series::Datapoint};
use flate2::read::MultiGzDecoder;

use crate::{args::Replay, config::Config};

/// Most bytes of series that are read, unpacked: a day of 10,000 series at 10 s.
const MAX_SERIES_BYTES: u64 = 8 << 30;

/// Reads the files, runs the engine, and writes `alerts.jsonl` and `incidents.jsonl`.
pub fn run(args: &Replay) -> anyhow::Result<()> {
    let config = Config::load(Some(&args.config))?;
    let learned = match &args.learned {
        Some(file) => {
            let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            serde_json::from_str(&text).with_context(|| format!("{} is not what doctor shows", file.display()))?
        }
        None => Learned::default(),
    };
    let settings = Settings {
        learned,
        signals: config.signal,
        services: config.service,
        bin_s: config.statsd.flush.as_secs() as i64,
        ..Settings::default()
    };
    let deploys = read_deploys(&args.deploys)?;
    let text = read_text(&args.series)?;
    let mut points = Vec::with_capacity(text.len() / 32);
    for (index, line) in text.lines().enumerate() {
        if !line.trim().is_empty() {
            points.push(point(line).with_context(|| format!("{} line {}", args.series.display(), index + 1))?);
        }
    }
    // Lines may come in any order; the engine is told them in the order of their stamps.
    if !points.is_sorted_by_key(|point: &Datapoint<'_>| point.timestamp_s) {
        points.sort_by_key(|point| point.timestamp_s);
    }
    let replayed = replay(settings, &deploys, points);
    fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    write_lines(&args.out.join("alerts.jsonl"), &replayed.alerts)?;
    write_lines(&args.out.join("incidents.jsonl"), &replayed.incidents)
}

fn read_deploys(path: &Path) -> anyhow::Result<Vec<Deploy>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut deploys = Vec::new();
    for (index, line) in BufReader::new(file).lines().enumerate() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let place = || format!("{} line {}", path.display(), index + 1);
        let event: DeployEvent = serde_json::from_str(&line).with_context(place)?;
        deploys.push(event.into_deploy().with_context(place)?);
    }
    Ok(deploys)
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    let mut file = BufReader::new(File::open(path).with_context(|| format!("cannot read {}", path.display()))?);
    let is_gzip = file.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    let reader: Box<dyn Read> = if is_gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut text = String::new();
    let length = reader.take(MAX_SERIES_BYTES).read_to_string(&mut text);
    let length = length.with_context(|| format!("{} is not text", path.display()))?;
    ensure!((length as u64) < MAX_SERIES_BYTES, "{} unpacks to more than {MAX_SERIES_BYTES} bytes", path.display());
    Ok(text)
}

/// One line `path value timestamp`.
fn point(line: &str) -> anyhow::Result<Datapoint<'_>> {
    let mut fields = line.split_ascii_whitespace();
    let (Some(series), Some(value), Some(timestamp), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        anyhow::bail!("a line has three fields: path, value, timestamp");
    };
    let timestamp_s = timestamp.parse::<i64>().or_else(|_| timestamp.parse::<f64>().map(|seconds| seconds as i64));
    Ok(Datapoint {
        series,
        value: value.parse().with_context(|| format!("`{value}` is not a number"))?,
        timestamp_s: timestamp_s.with_context(|| format!("`{timestamp}` is not a time in Unix seconds"))?,
    })
}

fn write_lines(path: &Path, rows: &[impl serde::Serialize]) -> anyhow::Result<()> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut out = BufWriter::new(file);
    for row in rows {
        serde_json::to_writer(&mut out, row)?;
        out.write_all(b"\n")?;
    }
    out.flush().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_three_fields_and_says_what_is_wrong() {
        let read = point("a.b 1.5 1700000000").unwrap();
        assert_eq!((read.series, read.value, read.timestamp_s), ("a.b", 1.5, 1_700_000_000));
        assert!(point("a.b 1.5").unwrap_err().to_string().contains("three fields"));
        assert!(format!("{:#}", point("a.b x 1").unwrap_err()).starts_with("`x` is not a number"));
    }
}
