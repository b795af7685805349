//! `graph`: draws series with the deploys on them into a file.

use anyhow::{Context, bail};

use crate::{args::Graph, client::Client};

/// Has the server draw, and writes the picture.
pub fn run(args: &Graph) -> anyhow::Result<()> {
    let path = match args.out.extension().and_then(|ending| ending.to_str()) {
        Some("png") => "/graph.png",
        Some("svg") => "/graph.svg",
        _ => bail!("--out {}: end the name in .png or .svg", args.out.display()),
    };
    let (width, height) = (args.width.to_string(), args.height.to_string());
    let mut query: Vec<(&str, &str)> = args.targets.iter().map(|target| ("target", target.as_str())).collect();
    query.extend([
        ("from", args.from.as_str()),
        ("until", args.until.as_str()),
        ("width", &width),
        ("height", &height),
        ("theme", &args.theme),
    ]);
    let picture = Client::new(&args.server).get(path, &query)?;
    std::fs::write(&args.out, picture).with_context(|| format!("cannot write {}", args.out.display()))
}
