//! `hook`: lists the sources, prints what to paste into one, and shows what a body would become.

use std::{io::Read, path::Path};

use anyhow::{Context, anyhow, bail};
use deployline_ingest::hooks::{self, Explanation, HookConfig, HookRequest, Received, Source};
use deployline_schemas::time::wall_clock;

use crate::{args::Hook, config::Config};

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
        Hook::Test { source, headers, query, path, config } => {
            let rules = rules(source, config.as_deref())?;
            let request = HookRequest { query: query.clone(), path: path.clone(), ..request(headers)? };
            test(&request, &rules)
        }
    }
}

/// The rules of a hook in a configuration, else of a source that is not set up in it.
fn rules(name: &str, config: Option<&Path>) -> anyhow::Result<HookConfig> {
    let hooks = config.map(|config| Config::stated(Some(config))).transpose()?.unwrap_or_default().hook;
    let named = hooks.iter().find(|hook| hook.path() == name).or_else(|| hooks.iter().find(|hook| hook.source == name));
    match named {
        Some(hook) => Ok(hook.clone()),
        None => Ok(HookConfig::of(find(name)?.name)),
    }
}

fn find(name: &str) -> anyhow::Result<&'static Source> {
    hooks::source(name).ok_or_else(|| {
        let nearest = hooks::sources().iter().min_by_key(|source| strsim::damerau_levenshtein(source.name, name));
        let nearest = nearest.map_or("", |source| source.name);
        anyhow!("no source `{name}`, did you mean `{nearest}`? `deployline hook list` names them all")
    })
}

/// The request with the body on standard input.
fn request(headers: &[String]) -> anyhow::Result<HookRequest> {
    let mut body = Vec::new();
    let limit = hooks::MAX_BODY_BYTES as u64 + 1;
    std::io::stdin().lock().take(limit).read_to_end(&mut body).context("cannot read the body from standard input")?;
    let mut request = HookRequest::new(body, wall_clock()());
    for header in headers {
        let (name, value) = header.split_once(':').with_context(|| format!("-H {header}: write `Name: value`"))?;
        request = request.with_header(name.trim(), value.trim());
    }
    Ok(request)
}

/// Prints the deploys that a request would become on standard output, and why on standard error.
fn test(request: &HookRequest, rules: &HookConfig) -> anyhow::Result<()> {
    let Explanation { outcome, reasons } = hooks::explain(request, rules);
    for reason in reasons {
        eprintln!("{reason}");
    }
    match outcome {
        Ok(Received::Deploys { deploys, .. }) => println!("{}", serde_json::to_string_pretty(&deploys)?),
        Ok(Received::Noted { annotation, .. }) => println!("{}", serde_json::to_string_pretty(&annotation)?),
        Ok(Received::Ignored { reason }) => println!("ignored: {reason}"),
        Err(error) => bail!("refused: {error}"),
    }
    Ok(())
}
