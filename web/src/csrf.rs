//! Proof that a form was ours: another site can make a browser post here, with the password that the browser keeps for us, but
//! it cannot read our pages, and so does not know the token that stands in the form.
//!
//! A token is HMAC-SHA256 of what the form acts on and of the hour, under a key that lives as long as the process. It needs no
//! cookie and no script. It is good for at least [`LIFE_HOURS`] hours; after that, or a restart, the page is to be loaded anew.

use std::fmt::Write as _;

use deployline_schemas::UnixMillis;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use warp::http::{HeaderMap, StatusCode, header};

use crate::error::WebError;

/// How long a form may lie open.
const LIFE_HOURS: i64 = 12;

/// Makes and checks tokens.
pub struct Csrf([u8; 32]);

impl Csrf {
    /// With a key of its own, from the system's source of randomness.
    ///
    /// # Panics
    /// Where the system has no source of randomness.
    pub fn new() -> Self {
        let mut key = [0; 32];
        getrandom::fill(&mut key).expect("the system gives random bytes");
        Self(key)
    }

    /// The token for a form that acts on `subject`.
    pub fn token(&self, subject: &str, now: UnixMillis) -> String {
        self.of_hour(subject, hour(now))
    }

    /// Whether a form that acts on `subject` came from a page of ours.
    ///
    /// # Errors
    /// 403 with what to do.
    pub fn check(&self, subject: &str, token: Option<&str>, now: UnixMillis) -> Result<(), WebError> {
        let offered = token.unwrap_or_default().as_bytes();
        let fits = |back: i64| bool::from(self.of_hour(subject, hour(now) - back).as_bytes().ct_eq(offered));
        if (0..=LIFE_HOURS).any(fits) {
            return Ok(());
        }
        Err(WebError::Refused {
            status: StatusCode::FORBIDDEN,
            code: "form_expired",
            message: "the form is out of date: go back, reload the page and send it again".to_owned(),
            field: Some("csrf".to_owned()),
        })
    }

    fn of_hour(&self, subject: &str, hour: i64) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(&hour.to_be_bytes());
        mac.update(subject.as_bytes());
        mac.finalize().into_bytes().iter().fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

impl Default for Csrf {
    fn default() -> Self {
        Self::new()
    }
}

/// Refuses a request that a page of another origin makes a browser send: every browser names the page's origin with a write.
///
/// # Errors
/// 403.
pub fn same_origin(headers: &HeaderMap, base_url: &str) -> Result<(), WebError> {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let authority = |url: &str| url.split_once("://").map(|(_, rest)| rest.trim_end_matches('/').to_ascii_lowercase());
    let Some(origin) = text(header::ORIGIN) else { return Ok(()) };
    let named = authority(origin);
    let is_ours = named.is_some()
        && (named == text(header::HOST).map(str::to_ascii_lowercase)
            || named.as_deref().and_then(|named| named.split('/').next())
                == authority(base_url).as_deref().and_then(|ours| ours.split('/').next()));
    match is_ours {
        true => Ok(()),
        false => Err(WebError::Refused {
            status: StatusCode::FORBIDDEN,
            code: "cross_site",
            message: "another site's page may not write here".to_owned(),
            field: None,
        }),
    }
}

fn hour(at: UnixMillis) -> i64 {
    at.as_secs().div_euclid(3600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_ours_may_write() {
        let allowed = |origin: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, header::HeaderValue::from_static("127.0.0.1:8128"));
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            same_origin(&headers, "https://deploys.example/base/").is_ok()
        };
        assert!(allowed("http://127.0.0.1:8128") && allowed("https://deploys.example"));
        assert!(!allowed("https://evil.example") && !allowed("null") && !allowed("https://deploys.example.evil"));
        assert!(same_origin(&HeaderMap::new(), "").is_ok(), "programs name none");
    }

    #[test]
    fn a_token_is_good_for_its_subject_its_process_and_half_a_day() {
        let (csrf, now) = (Csrf::new(), UnixMillis::from_secs(1_760_000_000));
        let token = csrf.token("incident/i-1", now);
        let good = |csrf: &Csrf, subject: &str, token: Option<&str>, hours: i64| {
            csrf.check(subject, token, UnixMillis::from_secs(now.as_secs() + 3600 * hours)).is_ok()
        };
        assert!(good(&csrf, "incident/i-1", Some(&token), 0) && good(&csrf, "incident/i-1", Some(&token), 12));
        assert!(!good(&csrf, "incident/i-1", Some(&token), 13), "too old");
        assert!(!good(&csrf, "incident/i-1", Some(&token), -1), "from the future");
        assert!(!good(&csrf, "incident/i-2", Some(&token), 0), "another incident's");
        assert!(!good(&Csrf::new(), "incident/i-1", Some(&token), 0), "another process's");
        assert!(!good(&csrf, "incident/i-1", None, 0) && !good(&csrf, "incident/i-1", Some(""), 0));
    }
}
