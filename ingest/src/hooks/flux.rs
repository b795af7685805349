//! Flux notifications, providers `generic` and `generic-hmac`.
//!
//! <https://fluxcd.io/flux/components/notification/providers/#generic-webhook>
//!
//! Events of `Kustomization` and `HelmRelease` count. **Service**: the object's name. **Environment**: `environment` or
//! `env` of the event's metadata, else the environment that the namespace holds. **Identity**:
//! `flux:KIND/NAMESPACE/NAME:REVISION`: Flux tells of the same revision at each reconciliation, and that is the same deploy.

use deployline_schemas::{
    DeployEvent,
    deploy::{Kind, Rollout, Status},
};

use super::{
    HookConfig, HookError, HookRequest,
    arrival::dated,
    event::{Parsed, first_line, foreign},
    json::{Json, document},
    tags::environment_in,
};

pub(super) const SETUP: &str = r#"
# Flux
kubectl -n flux-system create secret generic deployline --from-literal=token="$FLUX_SECRET"
kubectl apply -f - <<'EOF'
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Provider
metadata: { name: deployline, namespace: flux-system }
spec:
  type: generic-hmac
  address: {base_url}/hooks/flux
  secretRef: { name: deployline }
---
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Alert
metadata: { name: deployline, namespace: flux-system }
spec:
  providerRef: { name: deployline }
  eventMetadata: { environment: production }
  eventSources:
  - { kind: Kustomization, name: '*' }
  - { kind: HelmRelease, name: '*' }
EOF

# deployline.toml
[[hook]]
source = "flux"
secret = "env:FLUX_SECRET"
"#;

pub(super) fn parse(request: &HookRequest, _: &HookConfig) -> Result<Parsed, HookError> {
    let body = document(request)?;
    let json = Json(&body);
    let kind = json.required("involvedObject.kind")?;
    if !matches!(kind.as_str(), "Kustomization" | "HelmRelease") {
        return Ok(Parsed::ignored(format!("the kind `{kind}` deploys nothing by itself")));
    }
    let reason = json.required("reason")?;
    let status = match reason.as_str() {
        "Progressing" | "ProgressingWithRetry" => Status::Started,
        "DependencyNotReady" | "ArtifactFailed" | "ArtifactNotReady" | "Suspended" => {
            return Ok(Parsed::ignored(format!("`{reason}` puts nothing out")));
        }
        reason if reason.ends_with("Succeeded") => Status::Succeeded,
        reason if reason.ends_with("Failed") || json.str("severity") == Some("error") => Status::Failed,
        _ => return Ok(Parsed::ignored(format!("`{reason}` says nothing of a deploy"))),
    };
    // `/` in a key of the metadata: the group of the controller stands before it.
    let metadata = |name: &str| {
        let fields = json.at("metadata")?.0.as_object()?;
        let (_, value) = fields.iter().find(|(key, _)| key.rsplit('/').next() == Some(name))?;
        value.as_str().map(str::to_owned).filter(|value| !value.is_empty())
    };
    let (namespace, name) =
        (json.text("involvedObject.namespace").unwrap_or_default(), json.required("involvedObject.name")?);
    let revision = metadata("revision").unwrap_or_default();
    let at = json.time("timestamp")?;
    let event = DeployEvent {
        id: Some(format!("flux:{kind}/{namespace}/{name}:{}", version(&revision).unwrap_or_default())),
        service: name,
        environment: metadata("environment").or_else(|| metadata("env")).or_else(|| environment_in(&namespace)),
        kind: if reason.starts_with("Rollback") { Kind::Rollback } else { Kind::Deploy },
        version: metadata("oci-digest").or_else(|| version(&revision)),
        status: Some(status),
        rollout: Rollout::Rolling,
        started_at: at,
        // No `finished_at` for a success, which comes again and again: the first time counts.
        live_at: at.filter(|_| status == Status::Succeeded),
        finished_at: at.filter(|_| status == Status::Failed),
        title: json.str("message").map(|message| first_line(message).to_owned()),
        labels: [("reason".to_owned(), reason), ("namespace".to_owned(), namespace), ("ref".to_owned(), revision)]
            .into(),
        ..DeployEvent::default()
    };
    Ok(Parsed::one(foreign(dated(event, request.received_at)), None))
}

/// The commit of `main@sha1:731f7ea…` or `main/731f7ea…`, else a chart's version as it stands.
fn version(revision: &str) -> Option<String> {
    let version = revision.rsplit([':', '/']).next().unwrap_or(revision);
    (!version.is_empty()).then(|| version.to_owned())
}
