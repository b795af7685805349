//! A Graphite server's line port that keeps what is written to it.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::Context;

use crate::wait::eventually;

/// The series of one flush with their values; NaN where that was written.
pub type Flush = BTreeMap<String, f64>;

/// A line port of its own, until the process ends.
#[derive(Debug)]
pub struct Graphite {
    /// Where it listens.
    pub address: SocketAddr,
    flushes: Arc<Mutex<BTreeMap<i64, Flush>>>,
}

impl Graphite {
    /// Listens on a free loopback port.
    ///
    /// # Errors
    /// When there is none.
    pub fn listen() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("no port for Graphite lines")?;
        let address = listener.local_addr()?;
        let flushes = Arc::new(Mutex::new(BTreeMap::new()));
        let kept = Arc::clone(&flushes);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                thread::spawn(move || {
                    for line in BufReader::new(stream).lines().map_while(Result::ok) {
                        let Some((name, value, timestamp_s)) = fields(&line) else { continue };
                        let mut flushes = kept.lock().unwrap_or_else(PoisonError::into_inner);
                        let flush: &mut Flush = flushes.entry(timestamp_s).or_default();
                        flush.insert(name.to_owned(), value);
                    }
                });
            }
        });
        Ok(Self { address, flushes })
    }

    /// Everything so far, by timestamp.
    pub fn flushes(&self) -> BTreeMap<i64, Flush> {
        self.flushes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first flush after `after_s` that holds a series with `last` in its name, and its timestamp.
    ///
    /// # Errors
    /// When none comes in time.
    pub fn flush_after(&self, after_s: i64, last: &str, patience: Duration) -> anyhow::Result<(i64, Flush)> {
        eventually("a flush", patience, || {
            let flushes = self.flushes();
            let next = flushes.range(after_s + 1..).find(|(_, flush)| flush.keys().any(|name| name.contains(last)));
            Ok(next.map(|(at, flush)| (*at, flush.clone())))
        })
    }
}

fn fields(line: &str) -> Option<(&str, f64, i64)> {
    let mut fields = line.split(' ');
    Some((fields.next()?, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}
