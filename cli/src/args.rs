//! What can be said on the command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use deployline_schemas::{
    UnixMillis,
    deploy::{Kind, Status},
};

use crate::commands::{changes, eval};

/// Deploy lines on every graph, an alert when a deploy broke something, and the answer to which one did.
#[derive(Debug, Parser)]
#[command(name = "deployline", version, propagate_version = true)]
pub struct Args {
    /// Say more on standard error (twice for debugging); RUST_LOG refines it.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the system: hooks, StatsD, Graphite, the correlator, alerts and pages in one process.
    Serve(Serve),
    /// Show it all on a synthetic shop: a bad deploy, the alert, the blame, the recovery.
    Demo(Demo),
    /// Tell of a deploy, as a deploy script would.
    // Its --version is the deploy's.
    #[command(disable_version_flag = true)]
    Emit(Emit),
    /// Ask which deploy broke a series.
    Blame(Blame),
    /// List deploys with their verdicts.
    Deploys(List),
    /// List incidents, newest first.
    Incidents(List),
    /// Draw a series with the deploys on it, as PNG or SVG.
    Graph(Graph),
    /// Tell where a series changed its ways: when, with a band, and whether by a step, a ramp or a spike.
    Changes(changes::Changes),
    /// Score the mathematics on public labelled recordings.
    #[command(subcommand)]
    Eval(eval::Eval),
    /// Run the correlator over recorded deploys and series in virtual time.
    Replay(Replay),
    /// Set up or try out a deploy hook.
    #[command(subcommand)]
    Hook(Hook),
    /// Look into what hooks brought and could not be understood, or try it again.
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// List the functions that Graphite targets can call.
    Functions(Functions),
    /// Check or show the configuration.
    #[command(subcommand)]
    Config(ConfigVerb),
}

/// Where a running `deployline serve` answers.
#[derive(Debug, ClapArgs)]
pub struct Server {
    /// The address of a running deployline.
    #[arg(long, env = "DEPLOYLINE_URL", default_value = "http://127.0.0.1:8128")]
    pub url: String,
    /// The API token, where the server asks for one.
    #[arg(long, env = "DEPLOYLINE_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Answer in JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `serve`.
#[derive(Debug, ClapArgs)]
pub struct Serve {
    /// The configuration; without one the defaults run alone.
    #[arg(long, env = "DEPLOYLINE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Listen beyond loopback although no token is configured.
    #[arg(long)]
    pub insecure: bool,
}

/// Arguments of `demo`.
#[derive(Debug, ClapArgs)]
pub struct Demo {
    /// Repeats the same shop: traffic, noise and deploys.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// A Kafka broker to carry the events, instead of the embedded bus.
    #[arg(long, value_name = "HOST:PORT")]
    pub kafka: Option<String>,
    /// Leave when the story is told instead of serving on until Ctrl-C.
    #[arg(long)]
    pub once: bool,
    /// Where pages are served.
    #[arg(long, default_value = "127.0.0.1:8128")]
    pub listen: std::net::SocketAddr,
}

/// Arguments of `emit`.
#[derive(Debug, ClapArgs)]
pub struct Emit {
    #[command(flatten)]
    pub server: Server,
    /// What was deployed.
    #[arg(long)]
    pub service: String,
    /// The revision that goes out.
    #[arg(long)]
    pub version: Option<String>,
    /// The revision that it replaces.
    #[arg(long)]
    pub previous_version: Option<String>,
    /// Where to.
    #[arg(long, default_value = "production")]
    pub environment: String,
    /// What was changed.
    #[arg(long, default_value = "deploy", value_parser = word::<Kind>)]
    pub kind: Kind,
    /// How far it has come; `succeeded` unless said otherwise.
    #[arg(long, default_value = "succeeded", value_parser = word::<Status>)]
    pub status: Status,
    /// When it began (RFC 3339 or Unix time); now unless said otherwise.
    #[arg(long)]
    pub started_at: Option<UnixMillis>,
    /// When it ended; now unless said otherwise, and only for a deploy that has ended.
    #[arg(long)]
    pub finished_at: Option<UnixMillis>,
    /// Names the deploy, so that a later `emit` can update it.
    #[arg(long)]
    pub id: Option<String>,
    /// The id of the deploy that this one takes back.
    #[arg(long)]
    pub rollback_of: Option<String>,
    /// Who ships it; the user's name unless said otherwise.
    #[arg(long, env = "USER")]
    pub actor: Option<String>,
    /// One line for people.
    #[arg(long)]
    pub title: Option<String>,
    /// Where it can be followed.
    #[arg(long)]
    pub link: Option<String>,
    /// Where its difference can be read.
    #[arg(long)]
    pub diff_url: Option<String>,
    /// Never fail: while the server is away, keep the deploy in this file, and send what waits there first next time.
    #[arg(long, value_name = "FILE")]
    pub spool: Option<PathBuf>,
}

/// Arguments of `functions`.
#[derive(Debug, ClapArgs)]
pub struct Functions {
    /// Explain this one.
    pub name: Option<String>,
}

/// Verbs of `quarantine`.
#[derive(Debug, Subcommand)]
pub enum Quarantine {
    /// List what was refused, newest first.
    List {
        #[command(flatten)]
        server: Server,
        /// Only of this source.
        #[arg(long)]
        source: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Show one with its headers and body.
    Show {
        #[command(flatten)]
        server: Server,
        /// Its position, as `list` shows it.
        position: String,
    },
    /// Try some again, under the configuration of now.
    Redrive {
        #[command(flatten)]
        server: Server,
        /// Their positions, as `list` shows them.
        #[arg(required = true)]
        positions: Vec<String>,
    },
}

/// Arguments of `blame`.
#[derive(Debug, ClapArgs)]
pub struct Blame {
    #[command(flatten)]
    pub server: Server,
    /// The series, as in stats.timers.checkout.http.latency.upper_95.
    pub series: String,
    /// The bad moment: RFC 3339, Unix time, or HH:MM of today in UTC; now unless said otherwise.
    #[arg(long)]
    pub at: Option<String>,
}

/// Arguments of `deploys` and `incidents`.
#[derive(Debug, ClapArgs)]
pub struct List {
    #[command(flatten)]
    pub server: Server,
    /// Only of this service.
    #[arg(long)]
    pub service: Option<String>,
    /// Only in this environment.
    #[arg(long)]
    pub environment: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 20)]
    pub limit: usize,
}

/// Arguments of `graph`.
#[derive(Debug, ClapArgs)]
pub struct Graph {
    #[command(flatten)]
    pub server: Server,
    /// What to draw; may be repeated.
    #[arg(required = true)]
    pub targets: Vec<String>,
    /// Start of the window: -1h, RFC 3339 or Unix time.
    #[arg(long, default_value = "-1h", allow_hyphen_values = true)]
    pub from: String,
    /// End of the window.
    #[arg(long, default_value = "now", allow_hyphen_values = true)]
    pub until: String,
    /// The file to write; its ending says PNG or SVG.
    #[arg(short, long)]
    pub out: PathBuf,
    /// Width in pixels.
    #[arg(long, default_value_t = 1000)]
    pub width: u32,
    /// Height in pixels.
    #[arg(long, default_value_t = 420)]
    pub height: u32,
    /// Light or dark.
    #[arg(long, default_value = "light")]
    pub theme: String,
}

/// Arguments of `replay`.
#[derive(Debug, ClapArgs)]
pub struct Replay {
    /// The configuration: its signals and services.
    #[arg(long)]
    pub config: PathBuf,
    /// Deploy events, one JSON object a line.
    #[arg(long)]
    pub deploys: PathBuf,
    /// Graphite lines, plain or gzipped.
    #[arg(long)]
    pub series: PathBuf,
    /// The folder that alerts.jsonl and incidents.jsonl are written into.
    #[arg(long)]
    pub out: PathBuf,
}

/// Verbs of `hook`.
#[derive(Debug, Subcommand)]
pub enum Hook {
    /// List the sources that are understood.
    List,
    /// Print what to paste into a source's settings.
    Print {
        /// The source, as in `github`.
        source: String,
        /// Where this deployline answers, as the source sees it.
        #[arg(long, default_value = "http://127.0.0.1:8128")]
        base_url: String,
    },
    /// Read a hook's body from standard input and show what it would become, and why. No signature is looked for.
    Test {
        /// The source, as in `github`; or, with a configuration, the name of a hook in it.
        source: String,
        /// A header of the request, as in `X-GitHub-Event: deployment`; may be repeated.
        #[arg(short = 'H', long = "header")]
        headers: Vec<String>,
        /// The query of the request, as in `service=web&environment=production`.
        #[arg(long, default_value = "")]
        query: String,
        /// What follows the hook's own path, as in `1/markers/web`.
        #[arg(long, default_value = "")]
        path: String,
        /// Read it under the rules of this configuration.
        #[arg(long, env = "DEPLOYLINE_CONFIG")]
        config: Option<PathBuf>,
    },
}

/// Verbs of `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Say whether a configuration would be taken.
    Check {
        /// The file.
        #[arg(default_value = "deployline.toml")]
        file: PathBuf,
    },
    /// Read another system's configuration, and print it as sections of ours.
    #[command(subcommand)]
    Import(Import),
    /// Print the whole configuration in force, secrets masked.
    Show {
        /// The file; without one, the defaults.
        file: Option<PathBuf>,
    },
}

/// Systems whose configuration can be read.
#[derive(Debug, Subcommand)]
pub enum Import {
    /// Carbon's storage-schemas.conf, aggregation-rules.conf, rewrite-rules.conf, whitelist.conf and blacklist.conf.
    Carbon {
        /// The folder that they lie in, as in /etc/carbon.
        folder: PathBuf,
    },
}

/// Parses a word as the JSON forms of an enum know it.
fn word<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Args::command().debug_assert();
    }
}
