//! Other people's servers, as processes.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::{ports, wait::eventually};

/// Longest wait for a port.
const READY: Duration = Duration::from_secs(30);

/// A running server with a folder of its own; killed when dropped.
#[derive(Debug)]
pub struct Neighbour {
    child: Child,
    folder: TempDir,
}

/// A port that is free now.
///
/// # Errors
/// When there is none.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(ports::free_port()?.port())
}

impl Neighbour {
    /// Starts a program that `scripts/setup` has unpacked, or that is on the path.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn start(program: &str, arguments: &[String], folder: TempDir) -> anyhow::Result<Self> {
        let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/victoria/usr/bin").join(program);
        let mut command = Command::new(if unpacked.is_file() { unpacked } else { PathBuf::from(program) });
        command.args(arguments);
        Self::spawn(command, folder)
    }

    /// Starts carbon-cache of PyPI on a line port and a pickle port, 0 for none, and waits for them. It keeps a minute of seconds for an hour.
    ///
    /// # Errors
    /// When it is not installed, or does not listen in time.
    pub fn carbon(folder: TempDir, (line, pickle): (u16, u16)) -> anyhow::Result<Self> {
        let conf = folder.path().join("conf");
        fs::create_dir_all(folder.path().join("storage/log"))?;
        fs::create_dir_all(&conf)?;
        let enabled = |port: u16| if port == 0 { "127.0.0.2" } else { "127.0.0.1" };
        let (spare_line, spare_pickle, query) = (free_port()?, free_port()?, free_port()?);
        let or = |port: u16, spare: u16| if port == 0 { spare } else { port };
        let settings = format!(
            "[cache]\nLINE_RECEIVER_INTERFACE = {}\nLINE_RECEIVER_PORT = {}\nPICKLE_RECEIVER_INTERFACE = {}\nPICKLE_RECEIVER_PORT = {}\n\
             CACHE_QUERY_INTERFACE = 127.0.0.1\nCACHE_QUERY_PORT = {query}\nENABLE_UDP_LISTENER = False\nMAX_CREATES_PER_MINUTE = inf\n\
             MAX_UPDATES_PER_SECOND = inf\nCARBON_METRIC_INTERVAL = 0\nUSER =\n",
            enabled(line),
            or(line, spare_line),
            enabled(pickle),
            or(pickle, spare_pickle),
        );
        fs::write(conf.join("carbon.conf"), settings)?;
        fs::write(conf.join("storage-schemas.conf"), "[all]\npattern = .*\nretentions = 1s:1h\n")?;
        let mut command = Command::new(venv("python")?);
        command.arg(venv("carbon-cache.py")?).args(["--nodaemon", "start"]);
        command.env("GRAPHITE_ROOT", folder.path());
        let carbon = Self::spawn(command, folder)?;
        [line, pickle].into_iter().filter(|port| *port != 0).try_for_each(|port| carbon.wait_for_port(port))?;
        Ok(carbon)
    }

    fn spawn(mut command: Command, folder: TempDir) -> anyhow::Result<Self> {
        let log = fs::File::create(folder.path().join("neighbour.log"))?;
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{program} does not start: run `scripts/setup test`"))?;
        Ok(Self { child, folder })
    }

    /// Waits until somebody listens at a loopback port.
    ///
    /// # Errors
    /// When nobody does in time; the error holds what the program said.
    pub fn wait_for_port(&self, port: u16) -> anyhow::Result<()> {
        let listens = || Ok(TcpStream::connect(("127.0.0.1", port)).ok().map(drop));
        eventually("a port", READY, listens)
            .with_context(|| fs::read_to_string(self.folder.path().join("neighbour.log")).unwrap_or_default())
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What whisper has around a moment, one datapoint a line.
    ///
    /// # Errors
    /// When whisper cannot be run.
    pub fn fetch(&self, file: &Path, at_s: i64) -> anyhow::Result<String> {
        let mut command = Command::new(venv("python")?);
        command.arg(venv("whisper-fetch.py")?).arg(file);
        command.args([format!("--from={}", at_s - 5), format!("--until={}", at_s + 5)]);
        Ok(String::from_utf8_lossy(&command.output()?.stdout).into_owned())
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program of the tests' Python.
fn venv(program: &str) -> anyhow::Result<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/venv/bin").join(program);
    if !path.is_file() {
        bail!("{} is missing: run `scripts/setup test`", path.display());
    }
    Ok(path)
}
