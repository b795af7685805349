//! The `deployline` binary.

mod args;
mod client;
mod commands;
mod config;
mod demo;
mod output;
mod selfwatch;
mod serve;
mod signals;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = args::Args::parse();
    output::start_tracing(args.verbose);
    match commands::run(args) {
        Ok(code) => code,
        Err(error) => {
            // One line with the whole chain: the causes hold the next step.
            eprintln!("deployline: {error:#}");
            ExitCode::FAILURE
        }
    }
}
