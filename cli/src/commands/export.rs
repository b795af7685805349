//! `export`: datapoints of many series, for other programs.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use deployline_schemas::time::wall_clock;
use deployline_store::{ExportFormat, SeriesId, Store};
use deployline_web::moment;

use crate::{args::Export, client::Client, config::Config};

/// Longest time that an export may take.
const TIMEOUT: Duration = Duration::from_secs(3600);

/// Writes what was asked for to a file or to standard output.
pub fn run(args: &Export) -> anyhow::Result<()> {
    let format = format_of(args)?;
    match &args.out {
        None => match write(args, format, io::stdout().lock()) {
            // A reader like `head` that has seen enough is no failure.
            Err(error) if is_broken_pipe(&error) => Ok(()),
            outcome => outcome,
        },
        Some(out) => to_file(args, format, out),
    }
}

/// Writes beside the file first: what is there is whole.
fn to_file(args: &Export, format: ExportFormat, out: &Path) -> anyhow::Result<()> {
    let mut partial = out.as_os_str().to_owned();
    partial.push(".partial");
    let partial = Path::new(&partial);
    let written = File::create(partial)
        .with_context(|| format!("cannot write {}", partial.display()))
        .and_then(|file| write(args, format, BufWriter::new(file)))
        .and_then(|()| fs::rename(partial, out).with_context(|| format!("cannot write {}", out.display())));
    if written.is_err() {
        // It may not even be there.
        drop(fs::remove_file(partial));
    }
    written
}

fn write(args: &Export, format: ExportFormat, mut out: impl Write) -> anyhow::Result<()> {
    if let Some(config) = &args.offline {
        return offline(args, config, format, out);
    }
    let mut query: Vec<(&str, &str)> = args.targets.iter().map(|target| ("target", target.as_str())).collect();
    query.extend([("from", args.from.as_str()), ("until", &args.until), ("format", format.ending())]);
    Client::with_timeout(&args.server, TIMEOUT).download("/api/v1/export", &query, &mut out)?;
    out.flush().context("cannot write the export")
}

/// Opens the store itself, which a running server would refuse.
fn offline(args: &Export, config: &Path, format: ExportFormat, out: impl Write) -> anyhow::Result<()> {
    let mut config = Config::stated(Some(config))?;
    if !config.retention.is_empty() {
        config.store.retention = config.retention;
    }
    let dir = &config.store.dir;
    if !dir.join("series").is_dir() {
        bail!("{} holds no series: `store.dir` names another folder than the server's", dir.display());
    }
    let clock = wall_clock();
    let now = clock();
    let store = Store::open(&config.store, clock)
        .with_context(|| format!("cannot open {} (a running server is asked without --offline)", dir.display()))?;
    let (from, until) = (moment::parse("from", &args.from, now)?, moment::parse("until", &args.until, now)?);
    let mut series: Vec<(SeriesId, Arc<str>)> = args.targets.iter().flat_map(|target| store.matching(target)).collect();
    series.sort_unstable_by(|(_, a), (_, b)| a.cmp(b));
    series.dedup();
    let mut export = deployline_store::Export::new(out, format)?;
    for (id, name) in series {
        export.push(&name, store.read(id, from.as_secs() + 1, until.as_secs() + 1)?)?;
    }
    export.finish().map(drop).map_err(Into::into)
}

fn format_of(args: &Export) -> anyhow::Result<ExportFormat> {
    if let Some(format) = args.format {
        return Ok(format);
    }
    let Some(out) = &args.out else { return Ok(ExportFormat::Csv) };
    let ending = out.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    ending.parse().map_err(|_| anyhow::anyhow!("--out {}: end the name in .parquet, .csv or .jsonl", out.display()))
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|e| e.kind() == io::ErrorKind::BrokenPipe)
}
