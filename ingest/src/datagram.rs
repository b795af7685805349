//! Datagrams off a socket, many to a system call. One thread a socket that does nothing else.

use std::{
    fs,
    io::{self, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{fs::MetadataExt, net::UnixDatagram},
    },
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::socket::{self, AddressFamily, MsgFlags, MultiHeaders, SockFlag, SockType, SockaddrStorage, sockopt},
};
use tokio_util::sync::CancellationToken;

use crate::listen::ServeError;

/// Datagrams of one system call.
const BATCH: usize = 32;
/// Room for the largest datagram there is, and one cache line so that buffers do not fall on the same cache sets.
const STRIDE: usize = 65_536 + 64;
/// How long a thread waits for a datagram before it looks whether to stop.
const PATIENCE: Duration = Duration::from_millis(100);
/// Most system calls for what is left in the socket at the end.
const DRAIN_CALLS: usize = 4096;

/// A bound datagram socket, of either family.
#[derive(Debug)]
pub(crate) struct Receiver {
    fd: OwnedFd,
    drops: Arc<Drops>,
    address: Option<SocketAddr>,
}

impl Receiver {
    /// Binds a UDP socket; `shared` lets others bind the same address, the kernel spreading senders over them.
    pub(crate) fn udp(
        purpose: &'static str,
        address: SocketAddr,
        buffer: usize,
        shared: bool,
    ) -> Result<Self, ServeError> {
        let bind = || {
            let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
            let fd = socket::socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
            if shared {
                socket::setsockopt(&fd, sockopt::ReusePort, &true)?;
            }
            socket::bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
            let socket = UdpSocket::from(fd);
            socket.set_read_timeout(Some(PATIENCE))?;
            let address = socket.local_addr()?;
            Self::new(socket.into(), Some(address), buffer)
        };
        bind().map_err(|source| ServeError::Listen { purpose, address: address.to_string(), source })
    }

    /// Binds a Unix datagram socket. A socket that an earlier process left at the path is removed; any other file is not.
    pub(crate) fn unix(path: &Path, buffer: usize) -> Result<Self, ServeError> {
        let bind = || {
            use std::os::unix::fs::FileTypeExt;
            if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
                && UnixDatagram::unbound()?.connect(path).is_err()
            {
                fs::remove_file(path)?;
            }
            let socket = UnixDatagram::bind(path)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            Self::new(socket.into(), None, buffer)
        };
        bind().map_err(|source| ServeError::Listen {
            purpose: "StatsD over a Unix socket",
            address: path.display().to_string(),
            source,
        })
    }

    fn new(fd: OwnedFd, address: Option<SocketAddr>, buffer: usize) -> io::Result<Self> {
        socket::setsockopt(&fd, sockopt::RcvBuf, &buffer)?;
        // The kernel reports twice what it grants, to account for its own bookkeeping.
        let granted = socket::getsockopt(&fd, sockopt::RcvBuf)? / 2;
        if granted < buffer {
            tracing::warn!(asked = buffer, granted, "small receive buffer: raise net.core.rmem_max");
        }
        let inode = fs::metadata(format!("/proc/self/fd/{}", fd.as_raw_fd())).map_or(0, |metadata| metadata.ino());
        Ok(Self { fd, drops: Arc::new(Drops { inode, n_seen: AtomicU64::new(0) }), address })
    }

    /// Where it is bound; `None` for a Unix socket.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// What the kernel dropped at this socket; can be asked when the socket is gone.
    pub(crate) fn drops(&self) -> Arc<Drops> {
        Arc::clone(&self.drops)
    }

    /// Receives until `stop`, and then what the socket still holds. `take` gets the datagrams of each system call.
    pub(crate) fn run(self, stop: &CancellationToken, mut take: impl FnMut(&mut dyn Iterator<Item = &[u8]>)) {
        let mut buffer = vec![0; BATCH * STRIDE];
        let mut headers = MultiHeaders::<()>::preallocate(BATCH, None);
        let mut receive = |flags| -> nix::Result<()> {
            let mut rooms = buffer.chunks_exact_mut(STRIDE);
            let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
                std::array::from_fn(|_| [IoSliceMut::new(rooms.next().unwrap_or_default())]);
            let received = socket::recvmmsg(self.fd.as_raw_fd(), &mut headers, &mut slices, flags, None)?;
            take(&mut received.filter_map(|message| message.iovs().next()));
            Ok(())
        };
        while !stop.is_cancelled() {
            // Waits for the first datagram and takes those that are there with it.
            match receive(MsgFlags::MSG_WAITFORONE) {
                Ok(()) | Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(error) => {
                    tracing::warn!(%error, "receive failed");
                    std::thread::sleep(PATIENCE);
                }
            }
        }
        let n_calls = (0..DRAIN_CALLS).take_while(|_| receive(MsgFlags::MSG_DONTWAIT).is_ok()).count();
        // Asked for before the socket closes, and not within the log's fields, which are read only where they are logged.
        let n_dropped = self.drops.count();
        tracing::debug!(n_calls, n_dropped, "socket drained");
    }
}

/// Counts the datagrams that the kernel dropped at one socket since its buffer was full. Unix sockets drop none: their senders wait.
#[derive(Debug)]
pub(crate) struct Drops {
    /// The socket's own number, under which the kernel counts.
    inode: u64,
    /// The count when last asked; what remains once the socket is closed.
    n_seen: AtomicU64,
}

impl Drops {
    /// The count since the socket was bound. Reads the kernel's table of sockets.
    pub(crate) fn count(&self) -> u64 {
        let tables = ["/proc/self/net/udp", "/proc/self/net/udp6"];
        let now = tables.into_iter().find_map(|table| self.find(&fs::read_to_string(table).ok()?)).unwrap_or(0);
        self.n_seen.fetch_max(now, Ordering::Relaxed).max(now)
    }

    /// Columns: sl, local, remote, state, queues, timer, retransmits, uid, timeout, inode, references, pointer, drops.
    fn find(&self, table: &str) -> Option<u64> {
        let mut rows = table.lines().skip(1).map(|row| row.split_ascii_whitespace().skip(9));
        let mut row = rows.find_map(|mut row| (row.next()?.parse() == Ok(self.inode)).then_some(row))?;
        row.nth(2)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_read_from_the_kernels_table_and_outlive_the_socket() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n  \
            77: 0100007F:1FBD 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 11 2 0000000000000000 3\n  \
            78: 0100007F:1FBE 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 12 2 0000000000000000 42\n";
        let drops = Drops { inode: 12, n_seen: AtomicU64::new(7) };
        assert_eq!(drops.find(table), Some(42));
        assert_eq!(Drops { inode: 13, n_seen: AtomicU64::new(0) }.find(table), None);
        // No socket of this process has this number: it was closed.
        assert_eq!(drops.count(), 7);
    }
}
