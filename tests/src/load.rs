//! Load: many requests over many kept connections, sent from one thread, each answer counted and timed.
//!
//! The requests are written out beforehand, so that what the sender costs is sockets alone: it shares the machine with
//! what it measures. At a given rate each request has a moment at which it is due, and its time counts from there: a
//! server that stalls is charged for all that fell due meanwhile, not for the one request that it kept.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Builder,
    task::LocalSet,
    time::{Instant, sleep_until, timeout},
};

/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(30);

/// What became of a run.
#[derive(Debug)]
pub struct Outcome {
    /// From the first request to the last answer.
    pub took: Duration,
    /// Milliseconds from when each request was due, or sent, to its answer; ascending.
    pub waits_ms: Vec<f64>,
    /// The status that each request was answered with, by its index.
    pub statuses: Vec<u16>,
}

impl Outcome {
    /// Answers per second.
    pub fn rate(&self) -> f64 {
        self.statuses.len() as f64 / self.took.as_secs_f64()
    }

    /// The wait that a share of the requests stayed within, in milliseconds.
    pub fn quantile(&self, q: f64) -> f64 {
        self.waits_ms[((self.waits_ms.len() - 1) as f64 * q).round() as usize]
    }

    /// How many were answered with a status.
    pub fn n_answered(&self, status: u16) -> usize {
        self.statuses.iter().filter(|known| **known == status).count()
    }
}

/// Sends the requests over `n_connections`, as fast as answers come in, or `rate` a second.
///
/// # Errors
/// When a connection breaks, or one answer takes more than 30 s.
pub fn send(
    address: SocketAddr,
    requests: Vec<Vec<u8>>,
    n_connections: usize,
    rate: Option<f64>,
) -> anyhow::Result<Outcome> {
    ensure!(!requests.is_empty(), "nothing to send");
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async move {
        let run = Rc::new(Run {
            next: Cell::new(0),
            interval: rate.map(|rate| Duration::from_secs_f64(1.0 / rate)),
            started: Instant::now(),
            waits_ms: RefCell::new(Vec::with_capacity(requests.len())),
            statuses: RefCell::new(vec![0; requests.len()]),
            requests,
        });
        let connections: Vec<_> =
            (0..n_connections).map(|_| tokio::task::spawn_local(Rc::clone(&run).connection(address))).collect();
        for connection in connections {
            connection.await??;
        }
        let took = run.started.elapsed();
        let mut waits_ms = run.waits_ms.take();
        waits_ms.sort_by(f64::total_cmp);
        Ok(Outcome { took, waits_ms, statuses: run.statuses.take() })
    })
}

/// What the connections share.
struct Run {
    requests: Vec<Vec<u8>>,
    next: Cell<usize>,
    interval: Option<Duration>,
    started: Instant,
    waits_ms: RefCell<Vec<f64>>,
    statuses: RefCell<Vec<u16>>,
}

impl Run {
    /// One connection: a request, its answer, the next request, until there are none left.
    async fn connection(self: Rc<Self>, address: SocketAddr) -> anyhow::Result<()> {
        let mut stream = TcpStream::connect(address).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        let mut buffer = Vec::with_capacity(4096);
        loop {
            let index = self.next.get();
            let Some(request) = self.requests.get(index) else { return Ok(()) };
            self.next.set(index + 1);
            let due = match self.interval {
                Some(interval) => self.started + interval * index as u32,
                None => Instant::now(),
            };
            if due > Instant::now() {
                sleep_until(due).await;
            }
            let answered = async {
                stream.write_all(request).await?;
                answer(&mut stream, &mut buffer).await
            };
            let status = timeout(ANSWER, answered).await.context("no answer within 30 s")??;
            self.waits_ms.borrow_mut().push(due.elapsed().as_secs_f64() * 1e3);
            self.statuses.borrow_mut()[index] = status;
        }
    }
}

/// Reads one answer to its end and returns its status.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<u16> {
    buffer.clear();
    loop {
        if stream.read_buf(buffer).await? == 0 {
            bail!("the connection was closed before the answer: {}", String::from_utf8_lossy(buffer));
        }
        if let Some((status, length)) = parse(buffer)?.filter(|(_, length)| buffer.len() >= *length) {
            ensure!(buffer.len() == length, "more than one answer to one request");
            return Ok(status);
        }
    }
}

/// The status of an answer and the length of all of it, once its head is in.
fn parse(buffer: &[u8]) -> anyhow::Result<Option<(u16, usize)>> {
    let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&buffer[..head]).context("the answer's head is no text")?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(Some(0), |(_, value)| value.trim().parse::<usize>().ok());
    let (status, length) = status.zip(length).with_context(|| format!("no answer of HTTP/1.1: {text}"))?;
    Ok(Some((status, head + 4 + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let head = "HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(parse(&head.as_bytes()[..20]).unwrap(), None);
        assert_eq!(parse(head.as_bytes()).unwrap(), Some((202, head.len() + 5)));
        assert_eq!(parse(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap(), Some((204, 27)));
        assert!(parse(b"SSH-2.0\r\n\r\n").is_err());
    }
}
