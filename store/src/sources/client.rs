//! Bounded requests to one server, and the pause after one that failed.

use std::{
    fmt::Write,
    io::Read,
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::de::DeserializeOwned;

use super::config::SourceConfig;

/// Largest answer that is read, in bytes: a million datapoints of Graphite's JSON are about 25 MB.
const MAX_ANSWER_BYTES: u64 = 64 << 20;
/// How long a source that failed is left alone: from the first to the longest pause, doubling with each failure in a row.
const PAUSES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(60)];

/// Why a source gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// It failed a moment ago and is left alone.
    #[error("the source failed a moment ago and is left alone")]
    Paused,
    /// As many requests are under way as are allowed, for longer than the timeout.
    #[error("too many requests to the source are under way")]
    Busy,
    /// No connection, no answer in time, or one that is cut short.
    #[error("the source can not be reached")]
    Transport(#[from] Box<ureq::Error>),
    /// An answer with an error status.
    #[error("the source answered {status}: {text}")]
    Status {
        /// The status.
        status: u16,
        /// How the body begins.
        text: String,
    },
    /// Not the JSON that was expected, or too much of it.
    #[error("the source's answer makes no sense")]
    Answer(#[source] std::io::Error),
}

/// Requests to one source.
pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
    authorization: Option<String>,
    timeout: Duration,
    max_requests: usize,
    under_way: Mutex<usize>,
    ended: Condvar,
    pause: Mutex<Pause>,
    pub(crate) n_requests: AtomicU64,
    pub(crate) n_failures: AtomicU64,
}

#[derive(Default)]
struct Pause {
    until: Option<Instant>,
    n_in_a_row: u32,
}

impl Client {
    pub(crate) fn new(config: &SourceConfig) -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(config.timeout))
            .http_status_as_error(false)
            .max_idle_connections_per_host(config.max_requests)
            .user_agent("deployline")
            .build();
        let basic = || {
            Some(format!(
                "Basic {}",
                base64(format!("{}:{}", config.user.as_ref()?, config.password.as_ref()?).as_bytes())
            ))
        };
        Self {
            agent: agent.into(),
            base: config.url.trim_end_matches('/').to_owned(),
            authorization: config.token.as_ref().map(|token| format!("Bearer {token}")).or_else(basic),
            timeout: config.timeout,
            max_requests: config.max_requests,
            under_way: Mutex::new(0),
            ended: Condvar::new(),
            pause: Mutex::default(),
            n_requests: AtomicU64::new(0),
            n_failures: AtomicU64::new(0),
        }
    }

    /// The JSON that the server answers to a form posted to `path`.
    pub(crate) fn post<T: DeserializeOwned>(&self, path: &str, form: &[(&str, &str)]) -> Result<T, SourceError> {
        self.answer(|| {
            let request = self.agent.post(format!("{}{path}", self.base));
            self.authorized(request).send_form(form.iter().copied())
        })
    }

    /// The JSON that the server answers to `GET path?query`.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, SourceError> {
        self.answer(|| {
            let request = query.iter().fold(self.agent.get(format!("{}{path}", self.base)), |request, (key, value)| {
                request.query(*key, *value)
            });
            self.authorized(request).call()
        })
    }

    fn authorized<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.authorization {
            Some(authorization) => request.header("authorization", authorization),
            None => request,
        }
    }

    fn answer<T: DeserializeOwned>(
        &self,
        send: impl FnOnce() -> Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<T, SourceError> {
        if self.pause().until.is_some_and(|until| Instant::now() < until) {
            return Err(SourceError::Paused);
        }
        let _turn = self.turn()?;
        self.n_requests.fetch_add(1, Ordering::Relaxed);
        let outcome = send().map_err(|error| SourceError::Transport(Box::new(error))).and_then(read);
        let mut pause = self.pause();
        // What the server refuses (4xx) is this request's fault and says nothing of the next.
        if !matches!(&outcome, Err(error) if !matches!(error, SourceError::Status { status: 400..500, .. })) {
            *pause = Pause::default();
            return outcome;
        }
        let [first, longest] = PAUSES;
        let length = (first * 2_u32.saturating_pow(pause.n_in_a_row.min(16))).min(longest);
        *pause = Pause { until: Some(Instant::now() + length), n_in_a_row: pause.n_in_a_row + 1 };
        self.n_failures.fetch_add(1, Ordering::Relaxed);
        outcome
    }

    fn pause(&self) -> std::sync::MutexGuard<'_, Pause> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn, as long as a request may take.
    fn turn(&self) -> Result<Turn<'_>, SourceError> {
        let under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let waited =
            self.ended.wait_timeout_while(under_way, self.timeout, |under_way| *under_way >= self.max_requests);
        let (mut under_way, outcome) = waited.unwrap_or_else(PoisonError::into_inner);
        if outcome.timed_out() {
            return Err(SourceError::Busy);
        }
        *under_way += 1;
        Ok(Turn(self))
    }
}

struct Turn<'c>(&'c Client);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.under_way.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.ended.notify_one();
    }
}

fn read<T: DeserializeOwned>(mut response: ureq::http::Response<ureq::Body>) -> Result<T, SourceError> {
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).reader();
    if !(200..300).contains(&status) {
        let mut text = String::new();
        // What is no text says nothing.
        let _ = body.take(300).read_to_string(&mut text);
        return Err(SourceError::Status { status, text });
    }
    serde_json::from_reader(std::io::BufReader::new(body)).map_err(|error| SourceError::Answer(error.into()))
}

/// RFC 4648 with padding; a few dozen bytes once a source do not ask for a crate.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | u32::from(group.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let digit = char::from(DIGITS[(bits >> (18 - 6 * at)) as usize % 64]);
            // Writing to a string does not fail.
            let _ = write!(text, "{}", if at <= group.len() { digit } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 4648, section 10.
    #[test]
    fn base64_is_the_rfcs() {
        for (bytes, expected) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")]
        {
            assert_eq!(base64(bytes.as_bytes()), expected);
        }
    }
}
