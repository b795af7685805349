use deployline_schemas::UnixMillis;

use super::*;

const BODY: &str = r#"{"hello":"world"}"#;
const NOW: UnixMillis = UnixMillis::from_secs(1_700_000_000);

fn request(headers: &[(&str, &str)]) -> HookRequest {
    let request = HookRequest::new(BODY, NOW);
    headers.iter().fold(request, |request, (name, value)| request.with_header(name, value))
}

/// `ok`, or the code of the refusal, for the secrets `one` and `two`.
#[track_caller]
fn check(how: Verification, headers: &[(&str, &str)], expected: &str) {
    let config = HookConfig { secret: vec![Secret::new("one"), Secret::new("two")], ..HookConfig::default() };
    let outcome = verify(how, &request(headers), &config);
    assert_eq!(outcome.map_or_else(|error| error.code(), |()| "ok"), expected, "{headers:?}");
}

fn hex(secret: &str, message: &str) -> String {
    let code = hmac::<Hmac<Sha256>>(secret.as_bytes(), &[message.as_bytes()]).unwrap().finalize().into_bytes();
    code.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_example_of_github_s_own_documentation_fits() {
    // https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    let request = HookRequest::new("Hello, World!", NOW)
        .with_header("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");
    let config = HookConfig { secret: vec![Secret::new("It's a Secret to Everybody")], ..HookConfig::default() };
    let how = Verification::Signature { header: "x-hub-signature-256", digest: Digest::Sha256 };
    assert_eq!(verify(how, &request, &config), Ok(()));
}

#[test]
fn a_signature_fits_either_secret_and_nothing_else() {
    let how = Verification::Signature { header: "x-sig", digest: Digest::Sha256 };
    for secret in ["one", "two"] {
        check(how, &[("X-Sig", &format!("sha256={}", hex(secret, BODY)))], "ok");
        check(how, &[("X-Sig", &hex(secret, BODY).to_uppercase())], "ok");
    }
    check(how, &[("X-Sig", &format!("v1={},v0=00", hex("one", BODY)))], "ok");
    check(how, &[("X-Sig", &format!("sha256={}", hex("three", BODY)))], "signature_wrong");
    check(how, &[("X-Sig", &format!("sha256={}", hex("one", "other")))], "signature_wrong");
    check(how, &[("X-Sig", &format!("sha1={}", hex("one", BODY)))], "signature_wrong");
    check(how, &[("X-Sig", "sha256=zz")], "signature_wrong");
    check(how, &[("X-Sig", "sha256=é")], "signature_wrong");
    check(how, &[("X-Sig", "")], "signature_missing");
    check(how, &[("X-Deployline-Token", "one")], "signature_missing");
}

#[test]
fn a_token_is_found_wherever_senders_put_it() {
    let how = Verification::Token { header: "dd-api-key" };
    for (name, value) in [
        ("Authorization", "Bearer one"),
        ("Authorization", "Token two"),
        ("Authorization", &format!("Basic {}", BASE64.encode("user:one"))),
        ("Authorization", &format!("basic {}", BASE64.encode("one:"))),
        ("X-Deployline-Token", "two"),
        ("DD-API-KEY", "one"),
    ] {
        check(how, &[(name, value)], "ok");
    }
    check(how, &[("DD-API-KEY", "on")], "signature_wrong");
    check(how, &[("Authorization", "Basic !")], "signature_missing");
    check(how, &[], "signature_missing");
    let config = HookConfig { secret: vec![Secret::new("o ne")], ..HookConfig::default() };
    let asked = HookRequest { query: "token=o%20ne".to_owned(), ..request(&[]) };
    assert_eq!(verify(how, &asked, &config), Ok(()));
}

#[test]
fn standard_webhooks_sign_id_and_time_and_refuse_a_replay() {
    let how = Verification::StandardWebhooks { token: "x-gitlab-token" };
    let sign = |secret: &str, at: &str| {
        let message = format!("msg_1.{at}.{BODY}");
        let code = hmac::<Hmac<Sha256>>(secret.as_bytes(), &[message.as_bytes()]).unwrap().finalize().into_bytes();
        format!("v1,{} v1a,xxxx", BASE64.encode(code))
    };
    let check = |at: &str, signature: &str, expected| {
        check(how, &[("webhook-id", "msg_1"), ("webhook-timestamp", at), ("webhook-signature", signature)], expected);
    };
    check("1700000100", &sign("two", "1700000100"), "ok");
    check("1700000100", &sign("two", "1700000101"), "signature_wrong");
    check("1700000400", &sign("one", "1700000400"), "signature_stale");
    check("1699999600", &sign("one", "1699999600"), "signature_stale");
    check("soon", &sign("one", "soon"), "signature_stale");
    self::check(how, &[("X-Gitlab-Token", "one")], "ok");
    self::check(how, &[("X-Gitlab-Token", "three")], "signature_wrong");
    self::check(how, &[("webhook-signature", "v1,eHg=")], "signature_missing");
    // The key of a `whsec_` secret is what its base64 stands for.
    let whsec =
        HookConfig { secret: vec![Secret::new(format!("whsec_{}", BASE64.encode("key")))], ..HookConfig::default() };
    let signature = sign("key", "1700000000");
    let headers = [("webhook-id", "msg_1"), ("webhook-timestamp", "1700000000"), ("webhook-signature", &*signature)];
    assert_eq!(verify(how, &request(&headers), &whsec), Ok(()));
}

#[test]
fn buildkite_signs_its_timestamp() {
    let how = Verification::Timestamped { header: "x-buildkite-signature", token: "x-buildkite-token" };
    let value = |at: &str| format!("timestamp={at},signature={}", hex("one", &format!("{at}.{BODY}")));
    check(how, &[("X-Buildkite-Signature", &value("1700000000"))], "ok");
    check(how, &[("X-Buildkite-Signature", &value("1600000000"))], "signature_stale");
    check(how, &[("X-Buildkite-Signature", "timestamp=1700000000")], "signature_wrong");
    check(how, &[("X-Buildkite-Token", "two")], "ok");
}

#[test]
fn a_json_web_signature_speaks_of_the_body() {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use sha2::Digest as _;
    let how = Verification::JsonWebSignature { header: "x-webhook-signature" };
    let token = |algorithm: &str, body: &str, secret: &str| {
        let digest: String = Sha256::digest(body.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let part = |json: String| URL_SAFE_NO_PAD.encode(json);
        let signed = format!(
            "{}.{}",
            part(format!(r#"{{"alg":"{algorithm}"}}"#)),
            part(format!(r#"{{"iss":"netlify","sha256":"{digest}"}}"#))
        );
        let code = hmac::<Hmac<Sha256>>(secret.as_bytes(), &[signed.as_bytes()]).unwrap().finalize().into_bytes();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(code))
    };
    check(how, &[("X-Webhook-Signature", &token("HS256", BODY, "two"))], "ok");
    check(how, &[("X-Webhook-Signature", &token("HS256", "other", "two"))], "signature_wrong");
    check(how, &[("X-Webhook-Signature", &token("none", BODY, "three"))], "signature_wrong");
    check(how, &[("X-Webhook-Signature", "a.b")], "signature_wrong");
    check(how, &[("X-Webhook-Signature", "")], "signature_missing");
}

#[test]
fn a_field_of_the_body_counts_for_senders_that_have_no_header() {
    let how = Verification::TokenOrField { field: "routing_key" };
    let config = HookConfig { secret: vec![Secret::new("key")], ..HookConfig::default() };
    let verify = |body: &'static str| verify(how, &HookRequest::new(body, NOW), &config);
    assert_eq!(verify(r#"{"routing_key": "key"}"#), Ok(()));
    assert_eq!(verify(r#"{"routing_key": "kex"}"#).unwrap_err().code(), "signature_wrong");
    assert_eq!(verify("{").unwrap_err().code(), "signature_missing");
}
