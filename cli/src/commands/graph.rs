//! `graph`: draws series with the deploys on them, in the terminal or into a file.

use std::{
    env,
    io::{IsTerminal, Write},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, bail};

use crate::{args::Graph, client::Client};

/// Characters across where nobody says.
const DEFAULT_COLUMNS: u16 = 100;

/// Has the server draw, and shows the picture or writes it.
pub fn run(args: &Graph) -> anyhow::Result<()> {
    let mut query: Vec<(&str, &str)> = args.targets.iter().map(|target| ("target", target.as_str())).collect();
    query.extend([
        ("from", args.from.as_str()),
        ("until", args.until.as_str()),
        ("deploys", args.marks.as_str()),
        ("tz", args.tz.as_str()),
        // A picture of a name with a slip in it would be an empty one.
        ("strict", "true"),
    ]);
    let client = Client::new(&args.server);
    match &args.out {
        Some(out) => file(args, out, &client, &query),
        None => terminal(args, &client, &query),
    }
}

fn file(args: &Graph, out: &Path, client: &Client, query: &[(&str, &str)]) -> anyhow::Result<()> {
    let path = match out.extension().and_then(|ending| ending.to_str()) {
        Some("png") => "/graph.png",
        Some("svg") => "/graph.svg",
        _ => bail!("--out {}: end the name in .png or .svg", out.display()),
    };
    let (width, height) = (args.width.to_string(), args.height.to_string());
    let mut query = query.to_vec();
    query.extend([("width", width.as_str()), ("height", &height), ("theme", &args.theme)]);
    let picture = client.get(path, &query)?;
    std::fs::write(out, picture).with_context(|| format!("cannot write {}", out.display()))
}

fn terminal(args: &Graph, client: &Client, query: &[(&str, &str)]) -> anyhow::Result<()> {
    let is_terminal = std::io::stdout().is_terminal();
    let columns = args.columns.or_else(|| if is_terminal { width() } else { None }).unwrap_or(DEFAULT_COLUMNS);
    let (columns, rows) = (columns.to_string(), args.rows.to_string());
    let mut query = query.to_vec();
    query.extend([("columns", columns.as_str()), ("rows", &rows)]);
    // https://no-color.org: set to anything but nothing.
    if is_terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) {
        query.push(("color", "true"));
    }
    let text = client.get("/graph.txt", &query)?;
    // A reader like `head` that has seen enough is no failure.
    match std::io::stdout().lock().write_all(&text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// The width of the terminal in characters: what the shell says, else what `stty` does.
fn width() -> Option<u16> {
    let told = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    told.or_else(|| {
        let size = Command::new("stty").arg("size").stdin(Stdio::inherit()).stderr(Stdio::null()).output().ok()?;
        String::from_utf8(size.stdout).ok()?.split_whitespace().nth(1)?.parse().ok()
    })
}
