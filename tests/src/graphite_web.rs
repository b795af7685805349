//! graphite-web itself, from PyPI, over the same datapoints as a server of ours.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::server::{Answer, Server, answer};

/// The moment that both take for now, in Unix seconds: 2024-03-31T02:00:00Z, an hour after Berlin's clocks went forward.
pub const NOW_S: i64 = 1_711_850_400;

/// How far two values may differ: sums, powers and logarithms may be rounded differently in the last bits.
const TOLERANCE: f64 = 1e-11;

/// A running graphite-web. Dropped, it is killed.
#[derive(Debug)]
pub struct GraphiteWeb {
    folder: TempDir,
    child: Child,
    agent: ureq::Agent,
    address: SocketAddr,
}

impl GraphiteWeb {
    /// Starts it over series of its own and those that `targets` name, and waits until it answers.
    ///
    /// # Errors
    /// When `scripts/setup test` has not fetched it, or it does not start.
    pub fn start(targets: &[String]) -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let (python, webapp) = (root.join(".cache/graphite/bin/python"), root.join(".cache/graphite/webapp"));
        ensure!(webapp.is_dir(), "graphite-web is not there: run scripts/setup test");
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let log = fs::File::create(folder.path().join("stderr"))?;
        let mut child = Command::new(python)
            .arg(root.join("tests/graphite_web/serve.py"))
            .args([&webapp, &folder.path().to_owned()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .context("graphite-web does not start")?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        stdin.write_all(targets.join("\n").as_bytes())?;
        drop(stdin);
        let mut ready = String::new();
        BufReader::new(child.stdout.take().context("no standard output")?).read_line(&mut ready)?;
        let port = ready.split(' ').next().and_then(|port| port.parse::<u16>().ok());
        let Some(port) = port else {
            let _ = child.kill();
            anyhow::bail!("graphite-web does not start: {}", fs::read_to_string(folder.path().join("stderr"))?);
        };
        let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(60)));
        let agent = config.http_status_as_error(false).build().into();
        Ok(Self { folder, child, agent, address: SocketAddr::from(([127, 0, 0, 1], port)) })
    }

    /// Where the datapoints lie, as Graphite lines.
    pub fn points(&self) -> PathBuf {
        self.folder.path().join("points.txt")
    }

    /// Sends the same datapoints to a server of ours.
    ///
    /// # Errors
    /// When they cannot be sent.
    pub fn send_points(&self, server: &Server) -> anyhow::Result<()> {
        let mut stream = TcpStream::connect(server.ports.carbon)?;
        stream.write_all(&fs::read(self.points())?)?;
        stream.shutdown(Shutdown::Write)?;
        Ok(())
    }

    /// The answer to `GET path_and_query`.
    ///
    /// # Errors
    /// When there is none.
    pub fn get(&self, path_and_query: &str) -> anyhow::Result<Answer> {
        answer(self.agent.get(format!("http://{}{path_and_query}", self.address)).call()?)
    }

    /// The answer to a posted body.
    ///
    /// # Errors
    /// When there is none.
    pub fn post(&self, path: &str, content_type: &str, body: &str) -> anyhow::Result<Answer> {
        let request = self.agent.post(format!("http://{}{path}", self.address)).header("content-type", content_type);
        answer(request.send(body)?)
    }
}

impl Drop for GraphiteWeb {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The JSON of an answer of graphite-web's, which writes infinity as a number that no reader takes: we write `null`.
///
/// # Errors
/// When it is no JSON.
pub fn json_of(answer: &Answer) -> anyhow::Result<Value> {
    let text = answer.text().replace("-1e9999", "null").replace("1e9999", "null");
    serde_json::from_str(&text).with_context(|| format!("not JSON: {}", text.chars().take(300).collect::<String>()))
}

/// Where two answers differ first; `None` if they are the same.
pub fn difference(ours: &Value, theirs: &Value) -> Option<String> {
    match (ours, theirs) {
        (Value::Array(a), Value::Array(b)) => {
            let inner = a.iter().zip(b).enumerate();
            let inner = inner.filter_map(|(at, (a, b))| difference(a, b).map(|told| format!("[{at}]{told}"))).next();
            inner.or_else(|| (a.len() != b.len()).then(|| format!(" has {} entries, not {}", a.len(), b.len())))
        }
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            // Names first: a wrong one explains the rest.
            keys.sort_by_key(|key| (key.as_str() != "target", key.as_str()));
            keys.into_iter().find_map(|key| match (a.get(key), b.get(key)) {
                (Some(a), Some(b)) => difference(a, b).map(|told| format!(".{key}{told}")),
                (Some(ours), None) => Some(format!(".{key} is {ours}, theirs has none")),
                _ => Some(format!(".{key} is missing, theirs is {}", b[key])),
            })
        }
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN));
            let same = a == b || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs());
            (!same).then(|| format!(" is {a}, not {b}"))
        }
        (a, b) => (a != b).then(|| format!(" is {a}, not {b}")),
    }
}
