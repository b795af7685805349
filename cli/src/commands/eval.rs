//! `eval`: the public labelled sets, scored as their authors do.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand, ValueEnum};
use deployline_correlate::{
    changepoints::{Hypotheses, Prior},
    score::{
        nab::{PROFILES, Scored, score},
        segmentation::{Annotated, leave_one_out, mean},
        windowed_gaussian,
    },
    unusual::Unusual,
};
use serde::Deserialize;
use serde_json::json;

/// Verbs of `eval`.
#[derive(Debug, Subcommand)]
pub enum Eval {
    /// Places the changes of annotated recordings, and scores F1 and covering as the Turing Change Point Dataset does.
    Changepoints {
        #[command(flatten)]
        data: Data,
        /// Also try settings around the frozen one: their range, and each recording under the best of the others.
        #[arg(long)]
        leave_one_out: bool,
    },
    /// Streams recordings through the anomaly detector, and scores it as the Numenta Anomaly Benchmark does.
    Nab {
        #[command(flatten)]
        data: Data,
        /// The detector; all but the first are there to check the scorer.
        #[arg(long, default_value = "deployline")]
        detector: Detector,
    },
}

/// Where the recordings are.
#[derive(Debug, Args)]
pub struct Data {
    /// A folder with NAME.csv (timestamp,value) and NAME.labels.json.
    #[arg(long)]
    pub data: PathBuf,
    /// Answer in JSON.
    #[arg(long)]
    pub json: bool,
}

/// A detector for the Numenta benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Detector {
    /// Ours.
    Deployline,
    /// The benchmark's own simplest, published at 39.6 / 20.9 / 47.4 on all its files.
    WindowedGaussian,
    /// Says nothing: 0 by definition.
    Silence,
}

/// Carries it out.
pub fn run(verb: &Eval) -> anyhow::Result<()> {
    match verb {
        Eval::Changepoints { data, leave_one_out } => change_points(data, *leave_one_out),
        Eval::Nab { data, detector } => nab(data, *detector),
    }
}

/// What a labels file says.
#[derive(Deserialize)]
struct Labels {
    change_points: Option<std::collections::BTreeMap<String, Vec<usize>>>,
    anomaly_windows: Option<Vec<(usize, usize)>>,
}

struct Recording {
    name: String,
    stamps: Vec<i64>,
    values: Vec<f64>,
    labels: Labels,
}

fn change_points(data: &Data, with_others: bool) -> anyhow::Result<()> {
    let (mut names, mut recordings) = (Vec::new(), Vec::new());
    for recording in read(&data.data)? {
        let Some(annotators) = recording.labels.change_points else { continue };
        ensure!(!annotators.is_empty(), "{}: no annotators", recording.name);
        names.push(recording.name);
        recordings.push(Annotated { values: recording.values, annotators: annotators.into_values().collect() });
    }
    ensure!(!recordings.is_empty(), "no labels in {} hold change_points", data.data.display());
    let hypotheses: Vec<Hypotheses> = recordings.iter().map(|recording| Hypotheses::of(&recording.values)).collect();
    let judge = |prior: &Prior| -> Vec<(f64, f64)> {
        let both = recordings.iter().zip(&hypotheses);
        both.map(|(recording, hypotheses)| recording.judge(&hypotheses.changes(prior))).collect()
    };
    let scores = judge(&Prior::default());
    let silence = mean(&recordings.iter().map(|recording| recording.judge(&[])).collect::<Vec<_>>());
    let total = mean(&scores);
    let around: Vec<Vec<(f64, f64)>> =
        if with_others { Prior::around().iter().map(judge).collect() } else { Vec::new() };
    let left_out = leave_one_out(&around);
    let worst =
        |pick: fn(&(f64, f64)) -> f64| around.iter().map(|scores| pick(&mean(scores))).fold(f64::INFINITY, f64::min);
    if data.json {
        let each = names.iter().zip(&scores).zip(&hypotheses).map(|((name, score), hypotheses)| {
            json!({"name": name, "f1": score.0, "covering": score.1, "changes": hypotheses.changes(&Prior::default())})
        });
        let mut answer = json!({"f1": total.0, "covering": total.1, "recordings": each.collect::<Vec<_>>(),
            "silence": {"f1": silence.0, "covering": silence.1}});
        if with_others {
            answer["leave_one_out"] = json!({"f1": left_out.0, "covering": left_out.1});
            answer["worst_around"] = json!({"f1": worst(|score| score.0), "covering": worst(|score| score.1)});
        }
        println!("{answer}");
        return Ok(());
    }
    println!("{:<28} {:>6} {:>9}", "recording", "F1", "covering");
    for (name, score) in names.iter().zip(&scores) {
        println!("{name:<28} {:>6.3} {:>9.3}", score.0, score.1);
    }
    println!("{:<28} {:>6.3} {:>9.3}", format!("mean of {}", names.len()), total.0, total.1);
    println!("{:<28} {:>6.3} {:>9.3}", "reporting nothing", silence.0, silence.1);
    if with_others {
        println!("{:<28} {:>6.3} {:>9.3}", "leave one out", left_out.0, left_out.1);
        let name = format!("worst of {} settings", around.len());
        println!("{name:<28} {:>6.3} {:>9.3}", worst(|score| score.0), worst(|score| score.1));
    }
    Ok(())
}

fn nab(data: &Data, detector: Detector) -> anyhow::Result<()> {
    let mut corpus = Vec::new();
    for recording in read(&data.data)? {
        let Some(windows) = recording.labels.anomaly_windows else { continue };
        let n = recording.values.len();
        ensure!(
            windows.iter().all(|window| window.0 < window.1 && window.1 < n) && windows.is_sorted(),
            "{}: windows must be in order, with a first before a last record of {n}",
            recording.name
        );
        let scores = match detector {
            Detector::Deployline => {
                let mut unusual = Unusual::new(interval_s(&recording.stamps));
                recording.values.iter().map(|value| unusual.score(*value)).collect()
            }
            Detector::WindowedGaussian => windowed_gaussian(&recording.values),
            Detector::Silence => vec![0.0; n],
        };
        corpus.push(Scored { scores, windows });
    }
    let n_windows: usize = corpus.iter().map(|recording| recording.windows.len()).sum();
    ensure!(n_windows > 0, "no labels in {} hold anomaly_windows", data.data.display());
    let each = PROFILES.map(|profile| (profile.name, score(&corpus, &profile)));
    if data.json {
        let profiles = each.map(|(name, (score, threshold))| {
            json!({"profile": name, "score": score,
            "threshold": threshold.is_finite().then_some(threshold)})
        });
        println!("{}", json!({"recordings": corpus.len(), "windows": n_windows, "profiles": profiles}));
        return Ok(());
    }
    println!("{} recordings, {n_windows} windows", corpus.len());
    for (name, (score, _)) in each {
        println!("{name:<20} {score:>6.1}");
    }
    Ok(())
}

/// The usual distance of records, from the first 200.
fn interval_s(stamps: &[i64]) -> u32 {
    let mut gaps: Vec<i64> = stamps.windows(2).take(200).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort_unstable();
    gaps.get(gaps.len() / 2).and_then(|gap| u32::try_from(*gap).ok()).unwrap_or(1)
}

/// Every NAME.csv with its NAME.labels.json, by name.
fn read(folder: &Path) -> anyhow::Result<Vec<Recording>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "csv") && path.with_extension("labels.json").exists() {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        bail!("{} holds no NAME.csv with a NAME.labels.json", folder.display());
    }
    paths.iter().map(|path| recording(path)).collect()
}

fn recording(path: &Path) -> anyhow::Result<Recording> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (mut stamps, mut values) = (Vec::new(), Vec::new());
    for (index, line) in text.lines().enumerate().skip(1) {
        let row = row(line).with_context(|| format!("{} line {}", path.display(), index + 1))?;
        stamps.push(row.0);
        values.push(row.1);
    }
    let beside = path.with_extension("labels.json");
    let labels = fs::read(&beside).with_context(|| format!("cannot read {}", beside.display()))?;
    let labels = serde_json::from_slice(&labels).with_context(|| beside.display().to_string())?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Recording { name, stamps, values, labels })
}

/// One line `timestamp,value`; an empty value is a gap.
fn row(line: &str) -> anyhow::Result<(i64, f64)> {
    let (stamp, value) = line.split_once(',').context("a line is timestamp,value")?;
    let stamp: f64 = stamp.trim().parse().with_context(|| format!("`{stamp}` is not a time in seconds"))?;
    let value = value.trim();
    let value = if value.is_empty() {
        f64::NAN
    } else {
        value.parse().with_context(|| format!("`{value}` is not a number"))?
    };
    Ok((stamp as i64, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_may_lack_its_value_and_nothing_else() {
        assert_eq!(row("12,3.5").unwrap(), (12, 3.5));
        assert!(row("12,").unwrap().1.is_nan());
        assert!(row("12").unwrap_err().to_string().contains("timestamp,value"));
        assert!(format!("{:#}", row("12,x").unwrap_err()).starts_with("`x` is not a number"));
    }
}
