//! A handler that reads the body and answers 202, and nothing else: what warp itself costs on this machine.
//!
//! The load program `posts` measures it beside the hooks. It listens on the address that it is given and runs until it
//! is ended.

use std::net::SocketAddr;

use warp::{Filter, http::StatusCode};

#[tokio::main]
async fn main() {
    let address: Option<SocketAddr> = std::env::args().nth(1).and_then(|address| address.parse().ok());
    let Some(address) = address else {
        eprintln!("usage: empty ADDRESS:PORT");
        return;
    };
    let empty = warp::post().and(warp::body::bytes()).map(|_body| StatusCode::ACCEPTED);
    warp::serve(empty).run(address).await;
}
