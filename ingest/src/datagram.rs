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
    /// The socket's own number, under which the kernel counts its drops.
    inode: u64,
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
        Ok(Self { fd, inode, address })
    }

    /// Where it is bound; `None` for a Unix socket.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The socket's number in the kernel's tables.
    pub(crate) fn inode(&self) -> u64 {
        self.inode
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
        tracing::debug!(n_calls, "socket drained");
    }
}

/// Datagrams that the kernel dropped since these sockets were bound since their buffers were full. Unix sockets drop none: their senders wait.
pub(crate) fn kernel_drops(inodes: &[u64]) -> u64 {
    let of = |table: &str| -> u64 {
        let text = fs::read_to_string(table).unwrap_or_default();
        let drops = text.lines().skip(1).filter_map(|line| {
            // sl local rem st queues timer retransmits uid timeout inode ref pointer drops
            let mut fields = line.split_ascii_whitespace().skip(9);
            let inode: u64 = fields.next()?.parse().ok()?;
            inodes.contains(&inode).then(|| fields.nth(2)?.parse::<u64>().ok())?
        });
        drops.sum()
    };
    of("/proc/self/net/udp") + of("/proc/self/net/udp6")
}
