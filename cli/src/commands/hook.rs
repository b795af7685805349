//! `hook`: lists the sources, prints what to paste into one, and shows what a body would become.

use std::io::Read;

use anyhow::{Context, anyhow, bail};
use deployline_ingest::hooks::{self, HookConfig, HookRequest, Received, Source};
use deployline_schemas::time::wall_clock;

use crate::args::Hook;

/// Carries out one of the verbs; none of them needs a server.
pub fn run(verb: &Hook) -> anyhow::Result<()> {
    match verb {
        Hook::List => {
            for source in hooks::sources() {
                println!("{:<16} {}", source.name, source.title);
            }
            Ok(())
        }
        Hook::Print { source, base_url } => {
            print!("{}", find(source)?.setup_for(base_url));
            Ok(())
        }
        Hook::Test { source, headers } => test(find(source)?, headers),
    }
}

fn find(name: &str) -> anyhow::Result<&'static Source> {
    hooks::source(name).ok_or_else(|| {
        let nearest = hooks::sources().iter().min_by_key(|source| strsim::damerau_levenshtein(source.name, name));
        let nearest = nearest.map_or("", |source| source.name);
        anyhow!("no source `{name}`, did you mean `{nearest}`? `deployline hook list` names them all")
    })
}

/// Prints the deploys that the body on standard input would become. No signature is looked for.
fn test(source: &Source, headers: &[String]) -> anyhow::Result<()> {
    let mut body = Vec::new();
    let limit = hooks::MAX_BODY_BYTES as u64 + 1;
    std::io::stdin().lock().take(limit).read_to_end(&mut body).context("cannot read the body from standard input")?;
    let mut request = HookRequest::new(body, wall_clock()());
    for header in headers {
        let (name, value) = header.split_once(':').with_context(|| format!("-H {header}: write `Name: value`"))?;
        request = request.with_header(name.trim(), value.trim());
    }
    match hooks::read(&request, &HookConfig::of(source.name)) {
        Ok(Received::Deploys { deploys, .. }) => println!("{}", serde_json::to_string_pretty(&deploys)?),
        Ok(Received::Ignored { reason }) => println!("ignored: {reason}"),
        Err(error) => bail!("refused: {error}"),
    }
    Ok(())
}
