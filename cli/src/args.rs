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
    /// List incidents, newest first, or say what you think of one.
    Incidents(Incidents),
    /// Show everything that one deploy moved, up or down.
    Impact(Impact),
    /// Wait until a deploy is known to be fine: exit 0 fine, 2 regressed, 3 cannot tell, 1 error.
    Gate(Gate),
    /// Tell nobody of some incidents for a while.
    #[command(subcommand)]
    Silence(Silence),
    /// Try the channels out, or show what they would be told.
    #[command(subcommand)]
    Notify(Notify),
    /// Say what is watched and what is not, how often quiet moments would raise an alarm, and what needs attention.
    Doctor(Doctor),
    /// Draw series with the deploys on them: in the terminal, or as PNG or SVG.
    Graph(Graph),
    /// Tell where a series changed its ways: when, with a band, and whether by a step, a ramp or a spike.
    Changes(changes::Changes),
    /// Score the mathematics on public labelled recordings.
    #[command(subcommand)]
    Eval(eval::Eval),
    /// Hand over datapoints as Parquet, CSV or JSON lines.
    Export(Export),
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

/// Arguments of `deploys`, and of `incidents` without a verb.
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

/// Arguments and verbs of `incidents`.
#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Incidents {
    #[command(flatten)]
    pub list: List,
    #[command(subcommand)]
    pub verb: Option<IncidentVerb>,
}

/// Verbs of `incidents`.
#[derive(Debug, Subcommand)]
pub enum IncidentVerb {
    /// Show one with its numbers, its suspects and their evidence.
    Show {
        #[command(flatten)]
        server: Server,
        /// Its id.
        id: String,
    },
    /// Say that you know of it; it stays open.
    Ack(Said),
    /// Say that it was meant: nobody is told of it any more.
    Expected(Said),
    /// Say that the verdict is wrong: later ones learn from it.
    Wrong(Said),
}

/// What somebody says of an incident.
#[derive(Debug, ClapArgs)]
pub struct Said {
    #[command(flatten)]
    pub server: Server,
    /// The incident's id.
    pub id: String,
    /// Who says it.
    #[arg(long, env = "USER")]
    pub by: Option<String>,
    /// Why.
    #[arg(long)]
    pub note: Option<String>,
}

/// Arguments of `impact`.
#[derive(Debug, ClapArgs)]
pub struct Impact {
    #[command(flatten)]
    pub server: Server,
    /// The deploy's id.
    pub deploy: String,
    /// Only on this service's signals.
    #[arg(long)]
    pub service: Option<String>,
    /// Also what did not move.
    #[arg(long)]
    pub all: bool,
}

/// Arguments of `gate`.
#[derive(Debug, ClapArgs)]
pub struct Gate {
    #[command(flatten)]
    pub server: Server,
    /// The deploy: its id, or SERVICE@VERSION.
    pub deploy: String,
    /// How long it is watched once it is live: 60s to 60m.
    #[arg(long = "for", value_name = "TIME", default_value = "10m")]
    pub watch: String,
    /// How long to wait beyond that: for the deploy to be heard of, and to go live.
    #[arg(long, value_name = "TIME", default_value = "15m")]
    pub patience: String,
}

/// Verbs of `silence`.
#[derive(Debug, Subcommand)]
pub enum Silence {
    /// Begin one.
    Add {
        #[command(flatten)]
        server: Server,
        /// Incidents of this service; `*` stands for any run of characters.
        #[arg(long)]
        service: Option<String>,
        /// Incidents in this environment, likewise.
        #[arg(long)]
        environment: Option<String>,
        /// Incidents that are laid to this deploy.
        #[arg(long)]
        deploy: Option<String>,
        /// For how long: 30m, 2h, at most 30d.
        #[arg(long = "for", value_name = "TIME", default_value = "30m")]
        lasting: String,
        /// Who wants it.
        #[arg(long, env = "USER")]
        by: Option<String>,
        /// Why.
        #[arg(long)]
        note: Option<String>,
    },
    /// List those that hold or will.
    List {
        #[command(flatten)]
        server: Server,
        /// Those that are over as well.
        #[arg(long)]
        all: bool,
    },
    /// End one now.
    End {
        #[command(flatten)]
        server: Server,
        /// Its id.
        id: String,
    },
}

/// Verbs of `notify`.
#[derive(Debug, Subcommand)]
pub enum Notify {
    /// Send every channel of a configuration a message that says it is a test.
    Test {
        /// The configuration.
        #[arg(long, env = "DEPLOYLINE_CONFIG", default_value = "deployline.toml")]
        config: PathBuf,
        /// Only this channel.
        #[arg(long)]
        channel: Option<String>,
    },
    /// Show what would be said of an incident, in chat and to each kind of channel with --json.
    Preview {
        #[command(flatten)]
        server: Server,
        /// The incident's id.
        id: String,
    },
}

/// Arguments of `doctor`.
#[derive(Debug, ClapArgs)]
pub struct Doctor {
    #[command(flatten)]
    pub server: Server,
    /// How many pretend deploys are laid into quiet moments; 0 for none.
    #[arg(long, default_value_t = 200)]
    pub placebos: usize,
    /// Lays them elsewhere.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
}

/// Arguments of `graph`.
#[derive(Debug, ClapArgs)]
pub struct Graph {
    #[command(flatten)]
    pub server: Server,
    /// What to draw; may be repeated.
    #[arg(required = true)]
    pub targets: Vec<String>,
    /// Start of the window: -1h, RFC 3339 or Unix time; an hour ago where nobody says.
    #[arg(long, allow_hyphen_values = true)]
    pub from: Option<String>,
    /// End of the window; now where nobody says.
    #[arg(long, allow_hyphen_values = true)]
    pub until: Option<String>,
    /// The file to write; its ending says PNG or SVG. Without one the terminal is drawn in.
    #[arg(short, long)]
    pub out: Option<PathBuf>,
    /// Characters across; as the terminal has.
    #[arg(long)]
    pub columns: Option<u16>,
    /// Lines of the plot in the terminal, at most; fewer where the terminal has not as many for all of it.
    #[arg(long, default_value_t = 16)]
    pub rows: u16,
    /// Which deploys are drawn: auto, all, none or service:NAME.
    #[arg(long, default_value = "auto")]
    pub marks: String,
    /// The same series at another time beneath: last_week, yesterday, or before (the deploy that --deploy names).
    #[arg(long)]
    pub compare: Option<String>,
    /// The id of the deploy that it is about: half an hour around it where no window is asked for.
    #[arg(long)]
    pub deploy: Option<String>,
    /// The zone of the time axis, as in Europe/Berlin.
    #[arg(long, default_value = "UTC")]
    pub tz: String,
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

/// Arguments of `export`.
#[derive(Debug, ClapArgs)]
pub struct Export {
    #[command(flatten)]
    pub server: Server,
    /// Which series: globs, as in 'stats.timers.*.latency.upper_95'.
    #[arg(required = true)]
    pub targets: Vec<String>,
    /// Datapoints stamped after this: -24h, RFC 3339 or Unix time.
    #[arg(long, default_value = "-24h", allow_hyphen_values = true)]
    pub from: String,
    /// And up to this.
    #[arg(long, default_value = "now", allow_hyphen_values = true)]
    pub until: String,
    /// The file to write, complete or not at all. Without one, standard output.
    #[arg(short, long)]
    pub out: Option<PathBuf>,
    /// parquet, csv or jsonl; as the file's name ends unless said otherwise, and csv on standard output.
    #[arg(long)]
    pub format: Option<deployline_store::ExportFormat>,
    /// Read the files of a server that does not run, which has this configuration, and ask none.
    #[arg(long, value_name = "FILE")]
    pub offline: Option<PathBuf>,
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
    /// What a shop's verdicts have taught, as `deployline doctor --json` shows it under `learned`.
    #[arg(long, value_name = "FILE")]
    pub learned: Option<PathBuf>,
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
