//! Addresses and durations as the configuration writes them.

use std::{fmt, net::SocketAddr, str::FromStr, sync::Arc, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tokio::{sync::Semaphore, task::JoinSet, time};
use tokio_util::sync::CancellationToken;

/// An address to listen on, or `"off"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen(pub Option<SocketAddr>);

impl Listen {
    /// Does not listen.
    pub const OFF: Listen = Listen(None);

    /// A port on the loopback interface.
    pub const fn loopback(port: u16) -> Self {
        Self(Some(SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port)))
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" | "" => Ok(Self::OFF),
            address => address.parse().map(|address| Self(Some(address))).map_err(|_| {
                format!("`{address}` is not an address: write IP:PORT, as 127.0.0.1:8125 or [::1]:8125, or \"off\"")
            }),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("off"),
        }
    }
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Durations of whole seconds, at least one, written as `"10s"` or `"1m 30s"`; for `#[serde(with)]`.
pub(crate) mod seconds {
    use super::{Deserialize, Deserializer, Duration, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}s", duration.as_secs()))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|signed| Duration::try_from(signed).ok());
        parsed.filter(|duration| duration.as_secs() > 0 && duration.subsec_nanos() == 0).ok_or_else(|| {
            de::Error::custom(format_args!("`{text}` is not a duration in whole seconds, as \"10s\" or \"1m\""))
        })
    }
}

/// Why a server could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration makes no sense.
    #[error(transparent)]
    Config(#[from] crate::statsd::StatsdConfigError),
    /// A regular expression of `[carbon]` is none.
    #[error(transparent)]
    Pattern(crate::carbon::FilterError),
    /// The address can not be listened on: taken, not this machine's, or not allowed.
    #[error("failed to listen on {address} for {purpose}")]
    Listen {
        /// What was to be served there.
        purpose: &'static str,
        /// Where.
        address: String,
        /// The cause.
        source: std::io::Error,
    },
    /// A thread could not be started or ended in a panic, which is a bug.
    #[error("a thread of the server failed")]
    Thread(#[source] std::io::Error),
    /// Datapoints that the sink did not take until the end.
    #[error("{n_points} datapoints were lost since the store did not take them")]
    Lost {
        /// How many.
        n_points: usize,
    },
}

/// Listens for TCP connections; the socket is ready for tokio.
pub(crate) fn tcp(purpose: &'static str, address: SocketAddr) -> Result<std::net::TcpListener, ServeError> {
    let listen = || {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    listen().map_err(|source| ServeError::Listen { purpose, address: address.to_string(), source })
}

/// Accepts connections up to `max` at a time until `stop`, and waits for them to end; more are closed at once and told to `refused`.
pub(crate) async fn accept<F>(
    purpose: &'static str,
    listener: std::net::TcpListener,
    max: usize,
    stop: CancellationToken,
    refused: impl Fn(),
    each: impl Fn(tokio::net::TcpStream) -> F,
) -> Result<(), ServeError>
where
    F: Future<Output = ()> + Send + 'static,
{
    let address = listener.local_addr().map_or_else(|_| "its address".to_owned(), |address| address.to_string());
    let listener = tokio::net::TcpListener::from_std(listener).map_err(|source| ServeError::Listen {
        purpose,
        address,
        source,
    })?;
    let room = Arc::new(Semaphore::new(max));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            // Joined as they end, so that the set does not grow.
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match (accepted, Arc::clone(&room).try_acquire_owned()) {
            (Ok((stream, _)), Ok(permit)) => {
                let connection = each(stream);
                connections.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            (Ok(_), Err(_)) => refused(),
            (Err(error), _) => {
                // Out of file descriptors, most likely: passes when others close.
                tracing::warn!(%error, purpose, "accept failed");
                time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    while connections.join_next().await.is_some() {}
    Ok(())
}
