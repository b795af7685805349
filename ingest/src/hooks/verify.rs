//! Proof that a request comes from whom it says: signatures over the raw bytes, and tokens, all in constant time.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

use super::{HookConfig, HookError, HookRequest, Secret};

/// How far a signed timestamp may be from the receiver's clock, in seconds; five minutes, as Standard Webhooks asks.
const TOLERANCE_S: i64 = 300;

/// How a source proves itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// A hexadecimal HMAC of the body in a header, after `sha256=` where `algorithm` stands before it.
    Signature {
        /// The header.
        header: &'static str,
        /// Which digest, where the value does not say.
        digest: Digest,
    },
    /// As `Signature` where the header is there, else a token.
    SignatureOrToken {
        /// The header of the signature.
        header: &'static str,
        /// The header of the token, beside those of [`Verification::Token`].
        token: &'static str,
    },
    /// A base64 HMAC-SHA256 of the body in a header.
    Base64 {
        /// The header.
        header: &'static str,
    },
    /// [Standard Webhooks](https://www.standardwebhooks.com) where its headers are there, else a token in a header.
    StandardWebhooks {
        /// The header of the token.
        token: &'static str,
    },
    /// Buildkite's `timestamp=…,signature=…` over `timestamp.body`, else a token.
    Timestamped {
        /// The header of the signature.
        header: &'static str,
        /// The header of the token.
        token: &'static str,
    },
    /// A JSON Web Signature (HS256) whose claim `sha256` is the digest of the body.
    JsonWebSignature {
        /// The header.
        header: &'static str,
    },
    /// A token: `Authorization: Bearer`, the password of `Authorization: Basic`, `X-Deployline-Token`, the query's
    /// `token`, or the source's own header.
    Token {
        /// The source's own header.
        header: &'static str,
    },
    /// A hexadecimal HMAC or a token in the header that the hook's mapping names, else a token.
    Mapped,
    /// A token, or a field of the JSON body, for senders that can put it nowhere else.
    TokenOrField {
        /// The field.
        field: &'static str,
    },
}

/// The digest under an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Digest {
    Sha1,
    Sha256,
}

/// Checks a request against the secrets, any one of which may fit. Without a secret everything is accepted.
///
/// # Errors
/// [`HookError::Unsigned`], [`HookError::WrongSignature`] or [`HookError::Stale`].
pub(super) fn verify(how: Verification, request: &HookRequest, config: &HookConfig) -> Result<(), HookError> {
    let secrets = config.secret.as_slice();
    if secrets.is_empty() {
        return Ok(());
    }
    match how {
        Verification::Signature { header, digest } => signature(request, header, digest, secrets),
        Verification::SignatureOrToken { header, .. } if request.header(header).is_some() => {
            signature(request, header, Digest::Sha256, secrets)
        }
        Verification::Base64 { header } => base64_signature(request, header, secrets),
        Verification::StandardWebhooks { .. } if request.header("webhook-signature").is_some() => {
            standard_webhooks(request, secrets)
        }
        Verification::Timestamped { header, .. } if request.header(header).is_some() => {
            timestamped(request, header, secrets)
        }
        Verification::JsonWebSignature { header } => json_web_signature(request, header, secrets),
        Verification::SignatureOrToken { token: header, .. }
        | Verification::StandardWebhooks { token: header }
        | Verification::Timestamped { token: header, .. }
        | Verification::Token { header } => token(request, header, None, secrets),
        Verification::Mapped => mapped(request, config),
        Verification::TokenOrField { field } => token(request, "", Some(field), secrets),
    }
}

/// Accepts if one secret fits. All of them are tried, so that the time does not tell which.
fn any(secrets: &[Secret], expected: &str, fits: impl Fn(&[u8]) -> bool) -> Result<(), HookError> {
    match secrets.iter().fold(false, |fit, secret| fits(secret.reveal()) | fit) {
        true => Ok(()),
        false => Err(HookError::wrong_signature(expected)),
    }
}

/// The HMAC of some parts, one after the other.
fn hmac<M: Mac + KeyInit>(secret: &[u8], parts: &[&[u8]]) -> Option<M> {
    let mut mac = <M as KeyInit>::new_from_slice(secret).ok()?;
    parts.iter().for_each(|part| mac.update(part));
    Some(mac)
}

/// Whether a code is the HMAC of some parts; compared in constant time.
fn fits<M: Mac + KeyInit>(secret: &[u8], parts: &[&[u8]], code: &[u8]) -> bool {
    hmac::<M>(secret, parts).is_some_and(|mac| mac.verify_slice(code).is_ok())
}

fn signature(request: &HookRequest, header: &str, digest: Digest, secrets: &[Secret]) -> Result<(), HookError> {
    let value = request.header(header).ok_or(HookError::unsigned(header))?;
    // CircleCI lists versions, `v1=HEX,v2=HEX`; Flux names its digest, `sha512=HEX`; others send the digits alone.
    let fits_one = |secret: &[u8], part: &str| {
        let (name, digits) = part.trim().split_once('=').unwrap_or(("", part.trim()));
        let Some(code) = from_hex(digits) else { return false };
        let body: &[&[u8]] = &[&request.body];
        match (name, digest) {
            ("sha224", _) => fits::<Hmac<Sha224>>(secret, body, &code),
            ("sha384", _) => fits::<Hmac<Sha384>>(secret, body, &code),
            ("sha512", _) => fits::<Hmac<Sha512>>(secret, body, &code),
            ("" | "sha256" | "v1", Digest::Sha256) => fits::<Hmac<Sha256>>(secret, body, &code),
            ("" | "sha1", Digest::Sha1) => fits::<Hmac<Sha1>>(secret, body, &code),
            _ => false,
        }
    };
    any(secrets, header, |secret| value.split(',').take(8).any(|part| fits_one(secret, part)))
}

fn base64_signature(request: &HookRequest, header: &str, secrets: &[Secret]) -> Result<(), HookError> {
    let value = request.header(header).ok_or(HookError::unsigned(header))?;
    let code = BASE64.decode(value).unwrap_or_default();
    any(secrets, header, |secret| fits::<Hmac<Sha256>>(secret, &[&request.body], &code))
}

fn standard_webhooks(request: &HookRequest, secrets: &[Secret]) -> Result<(), HookError> {
    let expected = "webhook-signature";
    let header = |name| request.header(name).ok_or(HookError::unsigned(name));
    let (id, timestamp) = (header("webhook-id")?, header("webhook-timestamp")?);
    let codes: Vec<Vec<u8>> = header(expected)?
        .split_whitespace()
        .take(8)
        .filter_map(|part| BASE64.decode(part.strip_prefix("v1,")?).ok())
        .collect();
    let parts: &[&[u8]] = &[id.as_bytes(), b".", timestamp.as_bytes(), b".", &request.body];
    any(secrets, expected, |secret| {
        // The key is base64 after `whsec_`; without that prefix it is taken as it stands.
        let decoded = std::str::from_utf8(secret).ok().and_then(|text| text.strip_prefix("whsec_"));
        let key = decoded.and_then(|text| BASE64.decode(text).ok()).unwrap_or_else(|| secret.to_vec());
        codes.iter().fold(false, |fit, code| fits::<Hmac<Sha256>>(&key, parts, code) | fit)
    })?;
    fresh(timestamp, request)
}

fn timestamped(request: &HookRequest, header: &str, secrets: &[Secret]) -> Result<(), HookError> {
    let value = request.header(header).unwrap_or_default();
    let part = |name: &str| value.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
    let timestamp = part("timestamp").unwrap_or_default();
    let code = part("signature").and_then(from_hex).unwrap_or_default();
    let parts: &[&[u8]] = &[timestamp.as_bytes(), b".", &request.body];
    any(secrets, header, |secret| fits::<Hmac<Sha256>>(secret, parts, &code))?;
    fresh(timestamp, request)
}

/// Refuses a signed timestamp that is too far from the request's arrival: a replay.
fn fresh(timestamp: &str, request: &HookRequest) -> Result<(), HookError> {
    let signed_at_s: i64 = timestamp.parse().unwrap_or(0);
    match request.received_at.as_secs().saturating_sub(signed_at_s) {
        skew_s if skew_s.abs() > TOLERANCE_S => Err(HookError::Stale { skew_s }),
        _ => Ok(()),
    }
}

fn json_web_signature(request: &HookRequest, header: &str, secrets: &[Secret]) -> Result<(), HookError> {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use sha2::Digest as _;
    let value = request.header(header).ok_or(HookError::unsigned(header))?;
    let wrong = HookError::wrong_signature(header);
    let (signed, code) = value.rsplit_once('.').ok_or(wrong.clone())?;
    let (_, claims) = signed.split_once('.').ok_or(wrong.clone())?;
    let code = URL_SAFE_NO_PAD.decode(code).unwrap_or_default();
    // Always HS256, whatever the token's own header asks for: `alg: none` is the oldest trick.
    any(secrets, header, |secret| fits::<Hmac<Sha256>>(secret, &[signed.as_bytes()], &code))?;
    let claims: serde_json::Value =
        URL_SAFE_NO_PAD.decode(claims).ok().and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
    let said = claims.get("sha256").and_then(|digest| digest.as_str()).and_then(from_hex).unwrap_or_default();
    match bool::from(said.ct_eq(Sha256::digest(&request.body).as_slice())) {
        true => Ok(()),
        false => Err(wrong),
    }
}

fn token(request: &HookRequest, own: &str, field: Option<&str>, secrets: &[Secret]) -> Result<(), HookError> {
    let expected = if own.is_empty() { "token" } else { own };
    let found = bearer(request)
        .or_else(|| request.header("x-deployline-token").map(str::to_owned))
        .or_else(|| request.header(own).map(str::to_owned))
        .or_else(|| request.parameter("token"))
        .or_else(|| request.parameter("api_key"))
        .or_else(|| body_field(request, field?));
    let found = found.ok_or(HookError::unsigned(expected))?;
    // Digests are compared, so that not even the length shows.
    use sha2::Digest as _;
    let found = Sha256::digest(found.as_bytes());
    any(secrets, expected, |secret| found.as_slice().ct_eq(Sha256::digest(secret).as_slice()).into())
}

/// What stands in the header that a mapping names: 64 digits are a signature, anything else is a token.
fn mapped(request: &HookRequest, config: &HookConfig) -> Result<(), HookError> {
    let header = config.map.as_ref().and_then(|map| map.header.as_deref()).unwrap_or("x-deployline-token");
    let value = request.header(header).unwrap_or_default();
    let digits = value.strip_prefix("sha256=").unwrap_or(value);
    match digits.len() == 64 && from_hex(digits).is_some() {
        true => signature(request, header, Digest::Sha256, &config.secret),
        false => token(request, header, None, &config.secret),
    }
}

/// The token of an `Authorization` header, whatever its scheme calls it.
fn bearer(request: &HookRequest) -> Option<String> {
    let (scheme, value) = request.header("authorization")?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Some(value.trim().to_owned());
    }
    let pair = String::from_utf8(BASE64.decode(value.trim()).ok()?).ok()?;
    let (user, password) = pair.split_once(':')?;
    Some(if password.is_empty() { user } else { password }.to_owned())
}

fn body_field(request: &HookRequest, field: &str) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(&request.body).ok()?;
    Some(body.get(field)?.as_str()?.to_owned())
}

/// The bytes behind hexadecimal digits.
fn from_hex(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests;
