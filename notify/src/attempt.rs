//! One attempt to post a message, and what its outcome means.

use std::{
    io::ErrorKind::{AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable},
    time::Duration,
};

use ureq::{Agent, Error, Timeout};

use crate::config::ChannelConfig;

/// Most of a refusal's body that is kept for the log and the dead letter, in bytes.
const MAX_REASON_BYTES: u64 = 512;
/// The longest pause that a receiver may ask for: past this it is no pause but a refusal.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What became of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver said 2xx.
    Delivered,
    /// The receiver said that it did not take it, or nothing reached it: trying again cannot double it.
    NotYet {
        /// The pause that the receiver asked for.
        retry_after: Option<Duration>,
        /// In words, without the channel's address.
        reason: String,
    },
    /// The receiver will never take it.
    Refused {
        /// In words, without the channel's address.
        reason: String,
    },
    /// The message went out and no answer came back: it may have been taken.
    Unknown {
        /// In words, without the channel's address.
        reason: String,
    },
}

/// An HTTP client for one channel.
///
/// No redirects, because outgoing addresses are configuration and never input; no idle connections, because
/// a connection that the receiver has closed meanwhile turns a message that was not sent into an unknown one.
pub fn agent(channel: &ChannelConfig) -> Agent {
    Agent::config_builder()
        .timeout_global(Some(channel.timeout()))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_idle_connections(0)
        .user_agent(concat!("deployline/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

/// Posts `body` once and waits for the answer. Blocks for at most the channel's timeout.
pub fn post(agent: &Agent, channel: &ChannelConfig, idempotency_key: &str, body: &[u8]) -> Outcome {
    let request = agent
        .post(channel.url.reveal_text())
        .header("Content-Type", "application/json; charset=utf-8")
        .header("Idempotency-Key", idempotency_key);
    match request.send(body) {
        Ok(response) => {
            let status = response.status().as_u16();
            let retry_after =
                response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
            let body = response.into_body().into_with_config().limit(MAX_REASON_BYTES).read_to_string();
            answered(status, retry_after.map(Duration::from_secs), &body.unwrap_or_default())
        }
        Err(error) => failed(&error),
    }
}

/// What an answer means.
fn answered(status: u16, retry_after: Option<Duration>, body: &str) -> Outcome {
    let reason = || match crate::figures::one_line(body) {
        body if body.is_empty() => format!("HTTP {status}"),
        body => format!("HTTP {status}: {}", crate::figures::clip(&body, 200)),
    };
    match status {
        200..300 => Outcome::Delivered,
        408 | 425 | 429 | 500..600 => Outcome::NotYet { retry_after, reason: reason() },
        _ => Outcome::Refused { reason: reason() },
    }
}

/// What the lack of an answer means: anything up to the connection cannot have delivered the message.
fn failed(error: &Error) -> Outcome {
    // Some of ureq's texts hold the address, which is a secret here.
    let not_yet = |reason: &str| Outcome::NotYet { retry_after: None, reason: reason.to_owned() };
    match error {
        Error::HostNotFound => not_yet("host not found"),
        Error::ConnectionFailed => not_yet("connection failed"),
        Error::Timeout(Timeout::Resolve | Timeout::Connect) => not_yet("connection timed out"),
        Error::Io(io)
            if matches!(io.kind(), ConnectionRefused | AddrNotAvailable | HostUnreachable | NetworkUnreachable) =>
        {
            not_yet(&io.kind().to_string())
        }
        Error::Tls(_) | Error::Rustls(_) => not_yet("TLS handshake failed"),
        Error::BadUri(_) | Error::Http(_) | Error::RequireHttpsOnly(_) | Error::InvalidProxyUrl => {
            Outcome::Refused { reason: "the channel's url cannot be used".to_owned() }
        }
        Error::Timeout(_) => Outcome::Unknown { reason: "no answer in time".to_owned() },
        Error::Io(io) => Outcome::Unknown { reason: format!("connection lost: {}", io.kind()) },
        _ => Outcome::Unknown { reason: "no valid answer".to_owned() },
    }
}

/// How long to wait after attempt number `attempt` (from 1): what the receiver asked for, within
/// [`MAX_RETRY_AFTER`], else 1 s doubled each time up to 30 s.
pub fn pause(attempt: u32, retry_after: Option<Duration>) -> Duration {
    match retry_after {
        Some(asked) => asked.min(MAX_RETRY_AFTER),
        None => FIRST_PAUSE.saturating_mul(1 << attempt.saturating_sub(1).min(10)).min(LONGEST_PAUSE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_decides_whether_to_try_again() {
        let not_yet = |retry_after, reason: &str| Outcome::NotYet { retry_after, reason: reason.to_owned() };
        let seven = Some(Duration::from_secs(7));
        assert_eq!(answered(200, None, "ok"), Outcome::Delivered);
        assert_eq!(answered(202, None, ""), Outcome::Delivered);
        assert_eq!(answered(429, seven, ""), not_yet(seven, "HTTP 429"));
        assert_eq!(answered(503, None, "try\nlater"), not_yet(None, "HTTP 503: try"));
        assert_eq!(answered(404, None, "no_service"), Outcome::Refused { reason: "HTTP 404: no_service".to_owned() });
        assert_eq!(answered(302, None, ""), Outcome::Refused { reason: "HTTP 302".to_owned() });
    }

    #[test]
    fn only_what_may_have_arrived_is_unknown() {
        let io = |kind: std::io::ErrorKind| failed(&Error::Io(kind.into()));
        assert!(matches!(io(ConnectionRefused), Outcome::NotYet { .. }));
        assert!(matches!(failed(&Error::Timeout(Timeout::Connect)), Outcome::NotYet { .. }));
        assert!(matches!(io(std::io::ErrorKind::ConnectionReset), Outcome::Unknown { .. }));
        assert!(matches!(failed(&Error::Timeout(Timeout::Global)), Outcome::Unknown { .. }));
    }

    #[test]
    fn pauses_double_up_to_half_a_minute_and_obey_the_receiver() {
        let pauses: Vec<u64> = (1..=7).map(|attempt| pause(attempt, None).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(pause(1, Some(Duration::from_secs(9))).as_secs(), 9);
        assert_eq!(pause(1, Some(Duration::from_secs(9000))), MAX_RETRY_AFTER);
    }
}
