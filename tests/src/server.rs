//! The built binary, run as people run it: a configuration file, a data folder and loopback ports of its own.

use std::{
    env, fs,
    fs::{File, OpenOptions},
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use deployline_schemas::Deploy;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    github::{Delivery, signature},
    ports::Ports,
    wait::eventually,
};

/// The secret of the GitHub hook.
pub const GITHUB_SECRET: &str = "It's a Secret to Everybody";
/// Longest wait for `/readyz`: a Kafka group that a killed process has left behind is held for its session timeout.
const READY: Duration = Duration::from_secs(60);
/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(20);
/// Most bytes of one answer.
const MAX_BODY_BYTES: u64 = 256 << 20;
/// Longest wait for the process to end by itself.
const DRAIN: Duration = Duration::from_secs(15);
/// How much of the log a failed test shows, in bytes.
const LOG_TAIL: usize = 6_000;

/// The bus that a server runs on.
#[derive(Debug, Clone)]
pub enum Bus {
    /// SQLite below the data folder.
    Embedded,
    /// A broker, and a prefix for topics of this test's own.
    Kafka {
        /// `host:port`.
        broker: String,
        /// What its topics' names begin with.
        prefix: String,
    },
}

impl Bus {
    /// The broker that the tests are run with.
    ///
    /// # Errors
    /// Without one: a test that needs a broker does not pass by skipping.
    pub fn kafka() -> anyhow::Result<Self> {
        let broker = env::var("DEPLOYLINE_TEST_KAFKA").context(
            "no broker in DEPLOYLINE_TEST_KAFKA: run this under `scripts/with-kafka`, or through `make test`",
        )?;
        Ok(Self::Kafka { broker, prefix: format!("test-{:016x}", fastrand::u64(..)) })
    }
}

/// How a server is set up; the default is the embedded bus, nobody to tell, and StatsD's own 10 s.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The bus.
    pub bus: Bus,
    /// StatsD's flush interval in seconds.
    pub flush_s: u64,
    /// Where alerts go, as a Slack-compatible webhook.
    pub webhook: Option<String>,
    /// Further lines of `[statsd]`.
    pub statsd: String,
    /// Further lines of `[store]`.
    pub store: String,
    /// Further sections.
    pub sections: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bus: Bus::Embedded,
            flush_s: 10,
            webhook: None,
            statsd: String::new(),
            store: String::new(),
            sections: String::new(),
        }
    }
}

/// One answer over HTTP.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// `Content-Type`, empty if there is none.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON of a type, after a success.
    ///
    /// # Errors
    /// When the status is no success, or the body is not that.
    pub fn json<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        if !(200..300).contains(&self.status) {
            bail!("answered {}: {}", self.status, self.text());
        }
        serde_json::from_slice(&self.body).with_context(|| format!("not the JSON expected: {}", self.text()))
    }

    /// The body as JSON, whatever the status.
    ///
    /// # Errors
    /// When it is none.
    pub fn json_body(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("not JSON: {}", self.text()))
    }
}

/// A running `deployline serve`. Dropped, it is killed, and its log shown if the test has failed.
#[derive(Debug)]
pub struct Server {
    folder: TempDir,
    child: Child,
    agent: ureq::Agent,
    /// Where it listens.
    pub ports: Ports,
}

impl Server {
    /// Starts a server with an empty data folder and waits until it is ready.
    ///
    /// # Errors
    /// When the binary has not been built, or does not get ready.
    pub fn start(settings: &Settings) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let ports = Ports::pick()?;
        fs::write(folder.path().join("deployline.toml"), configuration(settings, folder.path(), ports))?;
        let child = spawn(folder.path())?;
        let config = ureq::Agent::config_builder().timeout_global(Some(ANSWER)).http_status_as_error(false).build();
        let mut server = Self { folder, child, agent: config.into(), ports };
        server.wait_until_ready()?;
        Ok(server)
    }

    /// Ends the process as a crash would, without a moment to tidy up.
    ///
    /// # Errors
    /// When the process cannot be killed.
    pub fn kill9(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks the process to end, waits for it and returns its exit code.
    ///
    /// # Errors
    /// When it does not end in time, or ends through a signal.
    pub fn terminate(&mut self) -> anyhow::Result<i32> {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        anyhow::ensure!(told.success(), "the process is gone already");
        let status = eventually("the end of the process", DRAIN, || Ok(self.child.try_wait()?))?;
        status.code().context("the process died of the signal")
    }

    /// Starts the process again, with the same ports, configuration and data.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.child = spawn(self.folder.path())?;
        self.wait_until_ready()
    }

    /// The folder that it runs in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder that holds everything it keeps.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process is still the one that was started.
    ///
    /// # Errors
    /// When the system cannot say.
    pub fn is_alive(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// `http://address` + `path`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.ports.web)
    }

    /// The answer to `GET path?query`.
    ///
    /// # Errors
    /// When there is none.
    pub fn get(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Answer> {
        let request =
            query.iter().fold(self.agent.get(self.url(path)), |request, (name, value)| request.query(name, value));
        answer(request.call()?)
    }

    /// The answer to a body posted with some headers; it is JSON unless they say otherwise.
    ///
    /// # Errors
    /// When there is none.
    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> anyhow::Result<Answer> {
        let is_typed = headers.iter().any(|(name, _)| *name == "content-type");
        let json = (!is_typed).then_some(("content-type", "application/json"));
        let request = self.agent.post(self.url(path));
        let request = headers.iter().chain(&json).fold(request, |request, (name, value)| request.header(*name, *value));
        answer(request.send(body)?)
    }

    /// The answer to a body posted under a content type.
    ///
    /// # Errors
    /// When there is none.
    pub fn post_as(&self, path: &str, content_type: &str, body: &[u8]) -> anyhow::Result<Answer> {
        answer(self.agent.post(self.url(path)).header("content-type", content_type).send(body)?)
    }

    /// The answer to a delivery of GitHub's, signed with the hook's secret.
    ///
    /// # Errors
    /// When there is none.
    pub fn deliver(&self, delivery: &Delivery) -> anyhow::Result<Answer> {
        let signature = signature(&delivery.body, GITHUB_SECRET);
        let headers = [
            ("x-github-event", delivery.event),
            ("x-github-delivery", delivery.id.as_str()),
            ("x-hub-signature-256", signature.as_str()),
        ];
        self.post("/hooks/github", &headers, &delivery.body)
    }

    /// One page of `/api/v1/deploys`, as JSON.
    ///
    /// # Errors
    /// When it is not answered so.
    pub fn deploys(&self, query: &[(&str, &str)]) -> anyhow::Result<Value> {
        self.get("/api/v1/deploys", query)?.json()
    }

    /// One deploy. Ids hold slashes, as in `github:owner/repository:7`, which a path segment writes as `%2F`.
    ///
    /// # Errors
    /// When it is not answered.
    pub fn deploy(&self, id: &str) -> anyhow::Result<Deploy> {
        self.get(&format!("/api/v1/deploys/{}", id.replace('/', "%2F")), &[])?.json()
    }

    /// Runs another verb of the binary against this server.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn cli(&self, args: &[&str]) -> anyhow::Result<Output> {
        let mut command = Command::new(binary()?);
        command.args(args).env("DEPLOYLINE_URL", self.url("")).current_dir(self.folder.path());
        command.output().context("deployline cannot be run")
    }

    /// The end of what the process has logged.
    pub fn log_tail(&self) -> String {
        let mut log = String::new();
        let read = File::open(log_file(self.folder.path())).and_then(|mut file| file.read_to_string(&mut log));
        match read {
            Ok(_) => log[log.ceil_char_boundary(log.len().saturating_sub(LOG_TAIL))..].to_owned(),
            Err(error) => format!("no log: {error}"),
        }
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let ready = || {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(Err(status)));
            }
            let answer = self.agent.get(format!("http://{}/readyz", self.ports.web)).call()?;
            if answer.status() != 200 {
                bail!("/readyz answers {}", answer.status());
            }
            Ok(Some(Ok(())))
        };
        match eventually("/readyz", READY, ready) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(status)) => bail!("deployline serve ended with {status}:\n{}", self.log_tail()),
            Err(error) => Err(error.context(self.log_tail())),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.kill9();
        if thread::panicking() {
            eprintln!("--- the log of deployline serve ends with\n{}\n---", self.log_tail());
        }
    }
}

/// The parts of an answer that tests look at.
pub(crate) fn answer(mut response: ureq::http::Response<ureq::Body>) -> anyhow::Result<Answer> {
    let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
    Ok(Answer {
        status: response.status().as_u16(),
        content_type: content_type.unwrap_or_default().to_owned(),
        body: response.body_mut().with_config().limit(MAX_BODY_BYTES).read_to_vec()?,
    })
}

/// The binary: `DEPLOYLINE_BIN`, else the one beside the folder that this test was built into.
///
/// # Errors
/// When it is not there.
pub fn binary() -> anyhow::Result<PathBuf> {
    let binary = match env::var_os("DEPLOYLINE_BIN") {
        Some(binary) => PathBuf::from(binary),
        None => {
            let here = env::current_exe()?;
            // target/debug/deps/TEST, or target/debug/BENCH.
            let folder = here.parent().filter(|folder| !folder.ends_with("deps")).or(here.ancestors().nth(2));
            folder.context("this test is nowhere")?.join("deployline")
        }
    };
    if !binary.is_file() {
        bail!("{} is not there: `cargo build --bin deployline`, or run `make test`", binary.display());
    }
    Ok(binary)
}

fn log_file(folder: &Path) -> PathBuf {
    folder.join("deployline.log")
}

fn spawn(folder: &Path) -> anyhow::Result<Child> {
    let log = OpenOptions::new().create(true).append(true).open(log_file(folder))?;
    Command::new(binary()?)
        .args(["serve", "--config", "deployline.toml"])
        .current_dir(folder)
        .env("GITHUB_SECRET", GITHUB_SECRET)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("deployline serve does not start")
}

fn configuration(settings: &Settings, folder: &Path, ports: Ports) -> String {
    let Ports { web, statsd, console, carbon } = ports;
    let data = folder.join("data");
    let mut text = format!(
        r#"
[web]
listen = "{web}"
base_url = "http://{web}"
[statsd]
udp = "{statsd}"
tcp = "{statsd}"
admin = "{console}"
flush = "{flush_s}s"
{statsd_lines}
[carbon]
line = "{carbon}"
pickle = "off"
[store]
dir = {data:?}
{store_lines}
[[hook]]
source = "github"
secret = "env:GITHUB_SECRET"
"#,
        flush_s = settings.flush_s,
        statsd_lines = settings.statsd,
        store_lines = settings.store,
    );
    if let Bus::Kafka { broker, prefix } = &settings.bus {
        text += &format!("[bus]\nkind = \"kafka\"\nbrokers = [\"{broker}\"]\nprefix = \"{prefix}\"\n");
    }
    if let Some(url) = &settings.webhook {
        text += &format!("[[channel]]\nname = \"push\"\nkind = \"slack\"\nurl = \"{url}\"\n");
        text += "[[route]]\nmatch = { environment = \"production\" }\nto = [\"push\"]\n";
    }
    text + &settings.sections
}
