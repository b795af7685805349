//! A client of a running deployline's HTTP API.

use std::{fmt, io, time::Duration};

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;

use crate::args::Server;

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer that is read.
const MAX_ANSWER_BYTES: u64 = 64 << 20;

/// What the server said no with.
#[derive(Debug)]
pub struct Refused {
    /// The HTTP status.
    pub status: u16,
    /// Why, in a sentence.
    pub message: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.message)
    }
}

impl std::error::Error for Refused {}

/// Talks to one server.
pub struct Client {
    agent: ureq::Agent,
    base: String,
    token: Option<String>,
}

impl Client {
    /// A client of the server that the command line names.
    pub fn new(server: &Server) -> Self {
        Self::with_timeout(server, TIMEOUT)
    }

    /// The same, for callers who have less time.
    pub fn with_timeout(server: &Server, timeout: Duration) -> Self {
        let config = ureq::Agent::config_builder().timeout_global(Some(timeout)).http_status_as_error(false).build();
        Self { agent: config.into(), base: server.url.trim_end_matches('/').to_owned(), token: server.token.clone() }
    }

    /// The server's address, without a final slash.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The bytes that `path?query` answers.
    pub fn get(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Vec<u8>> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        for (name, value) in query {
            request = request.query(name, value);
        }
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        self.answer(request.call())
    }

    /// The JSON that `path?query` answers.
    pub fn get_json<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<T> {
        serde_json::from_slice(&self.get(path, query)?).context("the server's answer is not what this version expects")
    }

    /// Copies what `path?query` answers to `out`, however long it is.
    pub fn download(&self, path: &str, query: &[(&str, &str)], out: &mut impl io::Write) -> anyhow::Result<()> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        for (name, value) in query {
            request = request.query(name, value);
        }
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        match request.call() {
            Ok(mut response) if response.status().is_success() => {
                let mut body = response.body_mut().as_reader();
                io::copy(&mut body, out).map(drop).context("the answer broke off")
            }
            outcome => self.answer(outcome).map(drop),
        }
    }

    /// Posts JSON; returns the answer's bytes.
    pub fn post_json(&self, path: &str, body: &impl serde::Serialize) -> anyhow::Result<Vec<u8>> {
        let mut request = self.agent.post(format!("{}{path}", self.base)).header("Content-Type", "application/json");
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        self.answer(request.send(serde_json::to_vec(body)?))
    }

    /// Asks for a path to be deleted; returns the answer's bytes.
    pub fn delete(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let mut request = self.agent.delete(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        self.answer(request.call())
    }

    /// Posts JSON as another system's hook does: with its headers, and without the token.
    pub fn post_hook(
        &self,
        path: &str,
        headers: &[(String, String)],
        body: &impl serde::Serialize,
    ) -> anyhow::Result<Vec<u8>> {
        let mut request = self.agent.post(format!("{}{path}", self.base)).header("Content-Type", "application/json");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        self.answer(request.send(serde_json::to_vec(body)?))
    }

    fn answer(&self, outcome: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> anyhow::Result<Vec<u8>> {
        let mut response = outcome.with_context(|| {
            format!("no answer from {} (is `deployline serve` running? --url or DEPLOYLINE_URL names it)", self.base)
        })?;
        let body = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec()?;
        if response.status().is_success() {
            return Ok(body);
        }
        #[derive(serde::Deserialize)]
        struct Refusal {
            message: String,
        }
        match serde_json::from_slice::<Refusal>(&body) {
            Ok(refusal) => bail!(Refused { status: response.status().as_u16(), message: refusal.message }),
            Err(_) => bail!(Refused { status: response.status().as_u16(), message: format!("from {}", self.base) }),
        }
    }
}
