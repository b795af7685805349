//! `changes`: where did a series change its ways?

use clap::Args;
use deployline_correlate::changepoints::{Change, Prior, Shape, changes};
use deployline_schemas::UnixMillis;
use serde::Deserialize;

use crate::{args::Server, client::Client};

/// Arguments of `changes`.
#[derive(Debug, Args)]
pub struct Changes {
    #[command(flatten)]
    pub server: Server,
    /// The series, or any target that `/render` understands.
    pub target: String,
    /// Start of the stretch: -6h, RFC 3339 or Unix time.
    #[arg(long, default_value = "-6h", allow_hyphen_values = true)]
    pub from: String,
    /// End of the stretch.
    #[arg(long, default_value = "now", allow_hyphen_values = true)]
    pub until: String,
}

/// One series as `/render` answers it.
#[derive(Deserialize)]
struct Rendered {
    target: String,
    datapoints: Vec<(Option<f64>, i64)>,
}

/// Asks the server for the series, and prints its changes.
pub fn run(args: &Changes) -> anyhow::Result<()> {
    let query = [("target", args.target.as_str()), ("from", &args.from), ("until", &args.until), ("format", "json")];
    let drawn: Vec<Rendered> = Client::new(&args.server).get_json("/render", &query)?;
    anyhow::ensure!(!drawn.is_empty(), "no series matches {}", args.target);
    let mut all = Vec::new();
    for series in &drawn {
        let values: Vec<f64> = series.datapoints.iter().map(|(value, _)| value.unwrap_or(f64::NAN)).collect();
        let found = changes(&values, &Prior::default());
        let stamp = |bin: usize| UnixMillis::from_secs(series.datapoints[bin.min(values.len() - 1)].1).to_string();
        if args.server.json {
            let rows = found.iter().map(|change| row(change, stamp));
            all.push(serde_json::json!({"target": series.target, "changes": rows.collect::<Vec<_>>()}));
        } else if found.is_empty() {
            println!("{}: no change", series.target);
        } else {
            println!("{}", series.target);
            found.iter().for_each(|change| println!("  {}", line(change, stamp)));
        }
    }
    if args.server.json {
        println!("{}", serde_json::Value::Array(all));
    }
    Ok(())
}

fn word(shape: Shape) -> &'static str {
    match shape {
        Shape::Step => "step",
        Shape::Ramp => "ramp",
        Shape::Spike => "spike",
    }
}

fn line(change: &Change, stamp: impl Fn(usize) -> String) -> String {
    format!(
        "{:<5} at {} ({} to {}), {:.0} % sure: {:.4} -> {:.4}",
        word(change.shape),
        stamp(change.at),
        stamp(change.band.0),
        stamp(change.band.1),
        100.0 * change.probability,
        change.before,
        change.after
    )
}

fn row(change: &Change, stamp: impl Fn(usize) -> String) -> serde_json::Value {
    serde_json::json!({
        "shape": word(change.shape), "at": stamp(change.at), "band": [stamp(change.band.0), stamp(change.band.1)],
        "until": change.until.map(&stamp), "probability": change.probability, "before": change.before, "after": change.after,
    })
}
