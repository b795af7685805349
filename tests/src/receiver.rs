//! A chat to receive alerts: a webhook that keeps what is posted to it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::wait::eventually;

/// Largest message that is taken, far above what any chat takes.
const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// Longest wait on a sender that says nothing.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// One message as it was posted.
#[derive(Debug, Clone)]
pub struct Message {
    /// When it had come in whole.
    pub received_at: Instant,
    /// Its JSON.
    pub body: Value,
}

impl Message {
    /// What a reader of the chat sees first, and a screen reader says.
    pub fn text(&self) -> &str {
        self.body["text"].as_str().unwrap_or_default()
    }
}

/// A webhook on a port of its own, answering `ok` as Slack's do, until the process ends.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    messages: Arc<Mutex<Vec<Message>>>,
}

impl Receiver {
    /// Listens on a free loopback port.
    ///
    /// # Errors
    /// When there is none.
    pub fn listen() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("no port for the receiver")?;
        let address = listener.local_addr()?;
        let messages = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&messages);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                thread::spawn(move || {
                    // A sender that dies half way, as the tests make it do, has sent nothing.
                    if let Ok(body) = receive(stream) {
                        let message = Message { received_at: Instant::now(), body };
                        kept.lock().unwrap_or_else(PoisonError::into_inner).push(message);
                    }
                });
            }
        });
        Ok(Self { address, messages })
    }

    /// Where to post to.
    pub fn url(&self) -> String {
        format!("http://{}/services/T000/B000/push", self.address)
    }

    /// All that has come, in order.
    pub fn messages(&self) -> Vec<Message> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first message whose text holds `words`, at most so long from now.
    ///
    /// # Errors
    /// When none comes in time; the error holds what came instead.
    pub fn wait_for(&self, words: &str, patience: Duration) -> anyhow::Result<Message> {
        let found = || Ok(self.messages().into_iter().find(|message| message.text().contains(words)));
        eventually(&format!("a message with `{words}`"), patience, found)
            .with_context(|| format!("the chat has {:#?}", self.messages()))
    }
}

/// Reads one HTTP/1.1 request with a `Content-Length` and answers it.
fn receive(stream: TcpStream) -> anyhow::Result<Value> {
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    let mut reader = BufReader::new(&stream).take(MAX_MESSAGE_BYTES as u64);
    let mut line = String::new();
    let mut length = 0;
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            bail!("the request ended in its headers");
        }
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.trim().parse()?,
            None if line.trim_end().is_empty() => break,
            _ => {}
        }
    }
    if length > MAX_MESSAGE_BYTES {
        bail!("{length} bytes are no message");
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = serde_json::from_slice(&body)?;
    (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")?;
    Ok(body)
}
