//! The verbs other than `serve` and `demo`: each asks a running server, or works on files alone.

pub mod blame;
pub mod changes;
mod doctor;
mod emit;
pub mod eval;
mod export;
mod functions;
mod gate;
mod graph;
mod hook;
mod impact;
mod incidents;
mod list;
mod notify;
mod quarantine;
mod replay;
mod silence;
mod spool;

use std::{path::Path, process::ExitCode};

use anyhow::Context;
use deployline_ingest::carbon::import::{self, Imported};

use crate::{
    args::{Args, Command, ConfigVerb, Import},
    config::Config,
    demo, serve,
};

/// Carries out what was asked. Exit code 0 unless the verb says otherwise.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Serve(args) => serve::command(&args),
        Command::Demo(args) => demo::command(&args),
        Command::Emit(args) => emit::run(&args),
        Command::Blame(args) => blame::run(&args),
        Command::Deploys(args) => list::deploys(&args),
        Command::Incidents(args) => incidents::run(&args),
        Command::Impact(args) => impact::run(&args),
        Command::Gate(args) => return gate::run(&args),
        Command::Silence(verb) => silence::run(&verb),
        Command::Notify(verb) => notify::run(&verb),
        Command::Doctor(args) => return doctor::run(&args),
        Command::Graph(args) => graph::run(&args),
        Command::Changes(args) => changes::run(&args),
        Command::Eval(verb) => eval::run(&verb),
        Command::Export(args) => export::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Functions(args) => functions::run(&args),
        Command::Quarantine(verb) => quarantine::run(&verb),
        Command::Hook(verb) => hook::run(&verb),
        Command::Config(ConfigVerb::Check { file }) => Config::load(Some(&file)).map(|_| ()),
        Command::Config(ConfigVerb::Import(Import::Carbon { folder })) => import_carbon(&folder),
        Command::Config(ConfigVerb::Show { file }) => Config::show(file.as_deref()).map(|text| print!("{text}")),
    }
    .map(|()| ExitCode::SUCCESS)
}

/// Prints what carbon's files say as TOML; what was left out is told on standard error, too.
fn import_carbon(folder: &Path) -> anyhow::Result<()> {
    let imported = import::import(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    print!("{}", imported.toml);
    let Imported { n_taken, n_left, files, .. } = imported;
    eprintln!("{}: {n_taken} rules taken over, {n_left} not", files.join(", "));
    Ok(())
}
