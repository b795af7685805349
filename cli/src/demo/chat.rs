//! A stand-in for a team's chat: takes Slack's incoming webhook calls over real HTTP and hands their text on.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

/// Largest message that is read.
const MAX_BODY_BYTES: usize = 1 << 20;

/// Listens on a free loopback port until `texts` is dropped at the other end.
pub async fn listen(texts: mpsc::Sender<serde_json::Value>) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("no port for the demo's chat")?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // One at a time: a chat of one team. A call that goes wrong is the caller's to repeat.
            match receive(stream).await {
                Ok(message) => {
                    if texts.send(message).await.is_err() {
                        return;
                    }
                }
                Err(error) => tracing::warn!(%error, "the demo's chat could not read a message"),
            }
        }
    });
    Ok(address)
}

async fn receive(stream: TcpStream) -> anyhow::Result<serde_json::Value> {
    let mut stream = BufReader::new(stream);
    let (mut length, mut line) = (0, String::new());
    loop {
        line.clear();
        ensure!(stream.read_line(&mut line).await? > 0, "the connection closed early");
        if line.trim_end().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
    }
    ensure!(length <= MAX_BODY_BYTES, "a message of {length} bytes");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await?;
    stream.flush().await?;
    Ok(serde_json::from_slice(&body)?)
}
