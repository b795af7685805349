//! Honeycomb's markers API, `POST /1/markers/DATASET`.
//!
//! <https://docs.honeycomb.io/api/markers/>
//!
//! A marker whose type or message speaks of a deploy counts. **Service**: the dataset in the path; for `__all__` the
//! hook's name. **Version**: a word of the message that looks like one. **Identity**: a hash of the marker.

use deployline_schemas::{DeployEvent, deploy::Status};

use super::{
    HookConfig, HookError, HookRequest,
    arrival::dated,
    event::{Parsed, digest, foreign},
    json::{Json, document},
    tags,
};

pub(super) const SETUP: &str = r#"
# Honeycomb: honeymarker and scripts need another address only; the API key is the token
honeymarker --api_host {base_url}/hooks/honeycomb -k "$DEPLOYLINE_TOKEN" -d web add -t deploy -m "deploy v42"

# deployline.toml
[[hook]]
source = "honeycomb"
secret = "env:DEPLOYLINE_TOKEN"
"#;

pub(super) fn parse(request: &HookRequest, config: &HookConfig) -> Result<Parsed, HookError> {
    let body = document(request)?;
    let json = Json(&body);
    let (message, kind) = (json.text("message").unwrap_or_default(), json.text("type"));
    let dataset = request.path_after("markers").filter(|dataset| dataset != "__all__");
    let told = tags::read(kind.as_deref().into_iter(), &message, config);
    if !told.is_deploy {
        return Ok(Parsed::ignored("neither the marker's type nor its message speaks of a deploy"));
    }
    let (start, end) = (json.time("start_time")?, json.time("end_time")?);
    let event = DeployEvent {
        id: start.map(|_| format!("honeycomb:{}:{}", dataset.as_deref().unwrap_or_default(), digest(&request.body))),
        service: dataset.unwrap_or_else(|| config.path().to_owned()),
        status: Some(Status::Succeeded),
        started_at: start,
        live_at: end.or(start),
        finished_at: end.or(start),
        url: json.text("url"),
        ..told.event
    };
    Ok(Parsed::one(foreign(dated(event, request.received_at)), None))
}
