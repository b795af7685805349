//! One target's connection: takes from its queue, writes, connects again when it breaks.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{io::AsyncWriteExt, net::TcpStream, time};
use tokio_util::sync::CancellationToken;

use super::{encode::encode, queue::Queue};

/// Datapoints of one write; in both protocols well below carbon's limit of 1 MiB for a pickle, as names have at most 4 KiB.
const BATCH_POINTS: usize = 1024;
/// Largest batch in bytes: past it the rest of the datapoints goes into the next.
const BATCH_BYTES: usize = 512 * 1024;
/// Pauses before another connection: from the first to the longest, doubling.
const RETRY_PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(30)];
/// How long the end may take: what has not gone by then is dropped, and counted.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// One write: its bytes, and how many datapoints they hold.
type Batch = (Vec<u8>, usize);

/// Sends what the queue holds until `stop`, and then for at most five seconds what is left.
pub async fn run(queue: Arc<Queue>, stop: CancellationToken) {
    let mut sender = Sender { queue: Arc::clone(&queue), connection: None, unsent: Vec::new(), last: None };
    let overdue = async {
        stop.cancelled().await;
        time::sleep(DRAIN_TIMEOUT).await;
    };
    tokio::select! {
        () = sender.work(&stop) => {}
        () = overdue => {}
    }
    let n_left = sender.unsent.iter().map(|(_, n_points)| n_points).sum::<usize>() + queue.take(usize::MAX).len();
    queue.drop_points(n_left);
}

struct Sender {
    queue: Arc<Queue>,
    connection: Option<TcpStream>,
    /// Batches on their way, the next one last.
    unsent: Vec<Batch>,
    /// The batch written last, which a connection that breaks now may have swallowed.
    last: Option<Batch>,
}

impl Sender {
    /// Works until `stop` has come and nothing is left.
    async fn work(&mut self, stop: &CancellationToken) {
        let [first, longest] = RETRY_PAUSES;
        let mut pause = first;
        loop {
            if self.unsent.is_empty() && !self.fetch() {
                if stop.is_cancelled() {
                    return;
                }
                tokio::select! {
                    () = self.queue.filled.notified() => {}
                    () = stop.cancelled() => {}
                }
                continue;
            }
            match self.send().await {
                Ok(()) => pause = first,
                Err(error) => {
                    self.queue.counters.n_failures.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%error, to = self.queue.config.to, ?pause, "forwarding failed, trying again");
                    self.connection = None;
                    self.unsent.extend(self.last.take());
                    tokio::select! {
                        () = time::sleep(pause) => {}
                        // The end is near: what can still go, goes now.
                        () = stop.cancelled(), if pause > first => {}
                    }
                    pause = if stop.is_cancelled() { first } else { (2 * pause).min(longest) };
                }
            }
        }
    }

    /// Encodes the next datapoints; false if there are none.
    fn fetch(&mut self) -> bool {
        let points = self.queue.take(BATCH_POINTS);
        let mut batches = Vec::new();
        let mut rest = &points[..];
        while !rest.is_empty() {
            let mut n_bytes = 0;
            let mut fits = |point: &(Arc<str>, i64, f64)| {
                n_bytes += point.0.len() + 64;
                n_bytes <= BATCH_BYTES
            };
            let (batch, after) = rest.split_at(rest.iter().take_while(|point| fits(point)).count().max(1));
            let mut bytes = Vec::with_capacity(64 * batch.len());
            let points = batch.iter().map(|(name, timestamp_s, value)| (&**name, *timestamp_s, *value));
            encode(self.queue.config.protocol, points, &mut bytes);
            batches.push((bytes, batch.len()));
            rest = after;
        }
        self.unsent.extend(batches.into_iter().rev());
        !self.unsent.is_empty() || !self.queue.is_empty()
    }

    /// Writes the next batch.
    async fn send(&mut self) -> io::Result<()> {
        let timeout = self.queue.config.timeout;
        let in_time = |outcome: Result<io::Result<()>, time::error::Elapsed>| {
            outcome.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        };
        let Some((bytes, n_points)) = self.unsent.last() else { return Ok(()) };
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                let connecting = time::timeout(timeout, TcpStream::connect(&self.queue.config.to)).await;
                let connection = connecting.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
                self.queue.counters.n_connections.fetch_add(1, Ordering::Relaxed);
                self.connection.insert(connection)
            }
        };
        // Graphite's servers never write: what can be read is the end.
        match connection.try_read(&mut [0; 64]) {
            Ok(0) => return Err(io::ErrorKind::ConnectionAborted.into()),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
        in_time(time::timeout(timeout, connection.write_all(bytes)).await)?;
        self.queue.counters.n_sent.fetch_add(*n_points as u64, Ordering::Relaxed);
        self.last = self.unsent.pop();
        Ok(())
    }
}
