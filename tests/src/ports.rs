//! Loopback ports of a server's own.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    sync::{Mutex, PoisonError},
};

use anyhow::Context;

/// Where a server listens.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// HTTP.
    pub web: SocketAddr,
    /// StatsD over UDP.
    pub statsd: SocketAddr,
    /// StatsD's console, over TCP.
    pub console: SocketAddr,
    /// Graphite's plaintext protocol over TCP.
    pub carbon: SocketAddr,
}

impl Ports {
    /// Ports that are free now.
    ///
    /// They lie below the range that the kernel hands out to outgoing connections (32768 and up on Linux), so that none
    /// is taken between this look and the server's start, or while the server is down between a kill and its restart.
    ///
    /// # Errors
    /// When there are none.
    pub fn pick() -> anyhow::Result<Self> {
        Ok(Self { web: free_port()?, statsd: free_port()?, console: free_port()?, carbon: free_port()? })
    }
}

/// A port that is free for TCP and UDP, and that no other server of this process was given.
pub(crate) fn free_port() -> anyhow::Result<SocketAddr> {
    static TAKEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let port = (0..10_000)
        .map(|_| fastrand::u16(10_000..20_000))
        .filter(|port| !taken.contains(port))
        .find(|port| TcpListener::bind(address(*port)).is_ok() && UdpSocket::bind(address(*port)).is_ok())
        .context("no free port between 10000 and 20000")?;
    taken.push(port);
    Ok(address(port))
}
