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
    let given = [("from", &args.from), ("until", &args.until), ("compare", &args.compare), ("deploy", &args.deploy)];
    query.extend(given.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))));
    query.extend([
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
    let size = if is_terminal { size() } else { Size::default() };
    let columns = args.columns.or(size.columns).unwrap_or(DEFAULT_COLUMNS);
    let (columns, rows) = (columns.to_string(), args.rows.to_string());
    // The prompt that follows needs a line as well.
    let lines = size.lines.map(|lines| lines.saturating_sub(1).to_string());
    let mut query = query.to_vec();
    query.extend([("columns", columns.as_str()), ("rows", &rows)]);
    query.extend(lines.iter().map(|lines| ("lines", lines.as_str())));
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

/// The terminal's size in characters, as far as it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Size {
    lines: Option<u16>,
    columns: Option<u16>,
}

/// The size of the terminal: what the shell says, else what `stty` does.
fn size() -> Size {
    let told = |name: &str| env::var(name).ok().and_then(|text| text.parse().ok());
    let output = Command::new("stty").arg("size").stdin(Stdio::inherit()).stderr(Stdio::null()).output();
    let measured = output.ok().map(|output| stty(&String::from_utf8_lossy(&output.stdout))).unwrap_or_default();
    Size { lines: told("LINES").or(measured.lines), columns: told("COLUMNS").or(measured.columns) }
}

/// What `stty size` prints: lines, then columns. A terminal that does not know its size says 0.
fn stty(text: &str) -> Size {
    let mut numbers = text.split_whitespace().map(|word| word.parse().ok().filter(|n| *n > 0));
    Size { lines: numbers.next().flatten(), columns: numbers.next().flatten() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_tells_its_lines_and_columns() {
        assert_eq!(stty("24 80\n"), Size { lines: Some(24), columns: Some(80) });
        assert_eq!(stty("0 0"), Size::default());
        assert_eq!(stty(""), Size::default());
    }
}
