//! The verbs other than `serve` and `demo`: each asks a running server, or works on files alone.

pub mod blame;
pub mod changes;
mod emit;
pub mod eval;
mod functions;
mod graph;
mod hook;
mod list;
mod quarantine;
mod replay;
mod spool;

use std::process::ExitCode;

use crate::{
    args::{Args, Command, ConfigVerb},
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
        Command::Incidents(args) => list::incidents(&args),
        Command::Graph(args) => graph::run(&args),
        Command::Changes(args) => changes::run(&args),
        Command::Eval(verb) => eval::run(&verb),
        Command::Replay(args) => replay::run(&args),
        Command::Functions(args) => functions::run(&args),
        Command::Quarantine(verb) => quarantine::run(&verb),
        Command::Hook(verb) => hook::run(&verb),
        Command::Config(ConfigVerb::Check { file }) => Config::load(Some(&file)).map(|_| ()),
        Command::Config(ConfigVerb::Show { file }) => Config::show(file.as_deref()).map(|text| print!("{text}")),
    }
    .map(|()| ExitCode::SUCCESS)
}
