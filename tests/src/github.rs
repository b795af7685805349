//! GitHub's deliveries: recorded payloads with the ids, times and service of now, signed as GitHub signs.

use std::sync::LazyLock;

use deployline_schemas::UnixMillis;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

const DEPLOYMENT: &str = include_str!("../payloads/github/deployment.json");
const DEPLOYMENT_STATUS: &str = include_str!("../payloads/github/deployment_status.json");

static SHORT_DEPLOYMENT: LazyLock<String> = LazyLock::new(|| {
    let mut payload: Value = serde_json::from_str(DEPLOYMENT).expect("the recorded payload is JSON");
    cut_links(&mut payload);
    payload.to_string()
});

fn cut_links(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.retain(|name, _| !name.ends_with("_url") || name == "html_url");
        fields.values_mut().for_each(cut_links);
    }
}

/// One delivery of a webhook.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// `X-GitHub-Event`.
    pub event: &'static str,
    /// `X-GitHub-Delivery`.
    pub id: String,
    /// The body.
    pub body: Vec<u8>,
}

/// A deployment as GitHub tells of it: when it is asked for, and when its status changes.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// GitHub's number for it.
    pub id: u64,
    /// What is deployed, in `deployment.payload.service`.
    pub service: String,
    /// The revision, 40 hexadecimal digits.
    pub sha: String,
    /// Who deploys.
    pub login: String,
    /// What is to be done: `deploy` or `rollback`.
    pub task: &'static str,
    /// When it was asked for.
    pub created_at: UnixMillis,
}

impl Deployment {
    /// A deployment with a revision of its own.
    pub fn new(id: u64, service: &str, login: &str, created_at: UnixMillis) -> Self {
        let sha = format!("{:040x}", u128::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
        Self { id, service: service.to_owned(), sha, login: login.to_owned(), task: "deploy", created_at }
    }

    /// The same deployment as one whose task is a rollback.
    #[must_use]
    pub fn as_rollback(self) -> Self {
        Self { task: "rollback", ..self }
    }

    /// The id that Deployline gives it.
    pub fn deploy_id(&self) -> String {
        format!("github:Codertocat/Hello-World:{}", self.id)
    }

    /// The `deployment` delivery.
    pub fn created(&self) -> Delivery {
        self.delivery("deployment", DEPLOYMENT, 0, |_| {})
    }

    /// The `deployment` delivery without the links to the parts of GitHub's own API, as relays cut it: 2 KB.
    pub fn short(&self) -> Delivery {
        self.delivery("deployment", &SHORT_DEPLOYMENT, 2, |_| {})
    }

    /// The `deployment_status` delivery of a state, as in `success`.
    pub fn status(&self, state: &str, at: UnixMillis) -> Delivery {
        self.delivery("deployment_status", DEPLOYMENT_STATUS, 1, |payload| {
            payload["deployment_status"]["state"] = json!(state);
            payload["deployment_status"]["created_at"] = second(at);
            payload["deployment_status"]["updated_at"] = second(at);
        })
    }

    fn delivery(&self, event: &'static str, recorded: &str, n: u8, edit: impl FnOnce(&mut Value)) -> Delivery {
        let mut payload: Value = serde_json::from_str(recorded).expect("the recorded payload is JSON");
        let deployment = &mut payload["deployment"];
        deployment["id"] = json!(self.id);
        deployment["sha"] = json!(self.sha);
        deployment["task"] = json!(self.task);
        deployment["payload"] = json!({ "service": self.service });
        deployment["creator"]["login"] = json!(self.login);
        deployment["created_at"] = second(self.created_at);
        deployment["updated_at"] = second(self.created_at);
        edit(&mut payload);
        let body = serde_json::to_vec(&payload).expect("JSON can be written");
        Delivery { event, id: format!("72d3162e-cc78-11e3-81ab-{n:02x}{:010x}", self.id), body }
    }
}

/// GitHub writes times to the second.
fn second(at: UnixMillis) -> Value {
    json!(UnixMillis::from_secs(at.as_secs()).to_string().replace(".000", ""))
}

/// `X-Hub-Signature-256` of a body under a secret.
pub fn signature(body: &[u8], secret: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body);
    mac.finalize().into_bytes().iter().fold("sha256=".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>.
    #[test]
    fn signs_as_github_documents() {
        assert_eq!(
            signature(b"Hello, World!", "It's a Secret to Everybody"),
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        );
    }
}
