//! Traffic: the shop's past over Graphite's plaintext protocol, its present through unmodified StatsD clients.

use std::{
    io::{Write, sink},
    net::{Shutdown, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};

use crate::wait::eventually;

/// Requests a second of each service: what the two clients send together.
pub const REQUESTS_PER_SECOND: f64 = 200.0;
/// The share of requests that fail in good times.
pub const FAILING: f64 = 0.01;

/// Sends what the services' counters would have been, one datapoint an interval over `(from_s, until_s]`.
///
/// # Errors
/// When the port does not take it all.
pub fn fill_in_the_past(
    carbon: SocketAddr,
    services: &[&str],
    from_s: i64,
    until_s: i64,
    flush_s: i64,
    seed: u64,
) -> anyhow::Result<usize> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut lines = String::new();
    let mut n_lines = 0;
    for timestamp_s in (from_s + flush_s..=until_s).step_by(flush_s as usize) {
        for service in services {
            let requests = REQUESTS_PER_SECOND * flush_s as f64 * (0.95 + 0.1 * rng.f64());
            let errors = (0..requests as u32).filter(|_| rng.f64() < FAILING).count();
            let prefix = format!("stats.counters.{service}.http");
            lines += &format!(
                "{prefix}.requests.count {requests:.0} {timestamp_s}\n{prefix}.5xx.count {errors} {timestamp_s}\n"
            );
            n_lines += 2;
        }
    }
    let mut stream = TcpStream::connect(carbon).context("the Graphite port")?;
    stream.set_write_timeout(Some(Duration::from_secs(30)))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(lines.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    // The server closes its side once it has read ours to the end.
    std::io::copy(&mut stream, &mut sink()).context("the Graphite port did not read to the end")?;
    Ok(n_lines)
}

/// The client programs, each on an unmodified StatsD client library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Library {
    /// `statsd` of PyPI.
    Statsd,
    /// `hot-shots` of npm.
    HotShots,
}

impl Library {
    /// The counter that its program adds one to ten times a second, as the store knows it.
    pub fn ticks(self) -> &'static str {
        match self {
            Self::Statsd => "stats.counters.clients.python.ticks.count",
            Self::HotShots => "stats.counters.clients.node.ticks.count",
        }
    }

    fn command(self) -> anyhow::Result<Command> {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        let (program, needed, script) = match self {
            Self::Statsd => {
                let python = tests.join("../.cache/venv/bin/python");
                (python.clone(), python, tests.join("python/traffic.py"))
            }
            Self::HotShots => {
                (PathBuf::from("node"), tests.join("node/node_modules/hot-shots"), tests.join("node/traffic.mjs"))
            }
        };
        if !needed.exists() {
            bail!("{} is missing: run `scripts/setup test`", needed.display());
        }
        let mut command = Command::new(program);
        command.arg(script);
        Ok(command)
    }
}

/// A client program at work; it ends when this is dropped.
#[derive(Debug)]
pub struct Traffic {
    child: Child,
    orders: Option<ChildStdin>,
}

impl Traffic {
    /// Lets a client send the traffic of some services.
    ///
    /// # Errors
    /// When the client is not set up.
    pub fn start(library: Library, statsd: SocketAddr, services: &[&str]) -> anyhow::Result<Self> {
        let mut child = library
            .command()?
            .args([statsd.ip().to_string(), statsd.port().to_string()])
            .args(services)
            .stdin(Stdio::piped())
            .spawn()
            .with_context(|| format!("{library:?} does not start"))?;
        let orders = child.stdin.take();
        Ok(Self { child, orders })
    }

    /// Lets a share of a service's requests fail from now on.
    ///
    /// # Errors
    /// When the client has ended.
    pub fn fail(&mut self, service: &str, share: f64) -> anyhow::Result<()> {
        let orders = self.orders.as_mut().context("the client has been told to end")?;
        writeln!(orders, "fail {service} {share}").context("the client has ended")
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        drop(self.orders.take());
        let ended = || Ok(self.child.try_wait()?.map(drop));
        if eventually("the client's end", Duration::from_secs(3), ended).is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
