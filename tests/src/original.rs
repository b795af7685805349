//! Etsy's own daemon, the npm package `statsd`, as a process that flushes to a [`Graphite`].

use std::{
    fs,
    net::{SocketAddr, TcpStream, UdpSocket},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::{graphite::Graphite, ports::Ports, wait::eventually};

/// Longest wait for its console.
const READY: Duration = Duration::from_secs(20);

/// The running daemon; killed when dropped.
#[derive(Debug)]
pub struct Original {
    child: Child,
    _folder: TempDir,
    /// Where it takes UDP.
    pub statsd: SocketAddr,
    /// Its console.
    pub console: SocketAddr,
}

impl Original {
    /// Starts it with a flush interval and further lines of its configuration, which is JavaScript.
    ///
    /// # Errors
    /// When it is not installed, or does not get ready.
    pub fn start(graphite: &Graphite, flush_s: u64, options: &str) -> anyhow::Result<Self> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("node/node_modules/statsd/stats.js");
        if !program.is_file() {
            bail!("{} is missing: run `scripts/setup test`", program.display());
        }
        let folder = tempfile::tempdir()?;
        let Ports { statsd, console, .. } = Ports::pick()?;
        let config = format!(
            "{{ graphiteHost: '127.0.0.1', graphitePort: {}, backends: ['./backends/graphite'],\n\
             servers: [{{ server: './servers/udp', address: '127.0.0.1', port: {} }}],\n\
             mgmt_address: '127.0.0.1', mgmt_port: {}, flushInterval: {}, automaticConfigReload: false,\n{options} }}\n",
            graphite.address.port(),
            statsd.port(),
            console.port(),
            flush_s * 1000,
        );
        let path = folder.path().join("config.js");
        fs::write(&path, config)?;
        let child = Command::new("node")
            .arg(program)
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("node does not start")?;
        let mut original = Self { child, _folder: folder, statsd, console };
        eventually("the original daemon's console", READY, || {
            if let Some(status) = original.child.try_wait()? {
                bail!("the original daemon ended with {status}");
            }
            Ok(TcpStream::connect(console).ok().map(drop))
        })?;
        Ok(original)
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends packets over UDP with a pause now and then: a default socket buffer holds about 160 small ones.
///
/// # Errors
/// When the system does not take them.
pub fn send(packets: &[Vec<u8>], to: SocketAddr) -> anyhow::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    for (index, packet) in packets.iter().enumerate() {
        socket.send_to(packet, to)?;
        if index % 20 == 19 {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(())
}
