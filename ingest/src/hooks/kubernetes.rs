//! Kubernetes: a Deployment's rollout, as a watch event or the object itself, and Argo Rollouts' `Rollout`.
//!
//! <https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/deployment-v1/>
//!
//! **Service**: the object's name. **Environment**: the label `environment` or `env`, else the environment that the
//! namespace's name holds (`prod`, `shop-staging`). **Version**: the first container's image tag. **Identity**:
//! `kubernetes:UID:REVISION`, so that all updates of one rollout add up, each with its share of new pods as exposure.

use deployline_schemas::{
    DeployEvent, UnixMillis,
    deploy::{Rollout, Status},
};

use super::{
    HookConfig, HookError, HookRequest, argo,
    arrival::dated,
    event::{Parsed, foreign},
    json::{Json, document},
    tags::environment_in,
};

pub(super) const SETUP: &str = r#"
# Kubernetes: anything that watches Deployments and posts them, with nothing but read access to them:
kubectl get deployments --all-namespaces --watch --output-watch-events --output json | jq --unbuffered -c . |
while IFS= read -r line; do
  printf '%s' "$line" | curl -sS --retry 5 -H "Authorization: Bearer $DEPLOYLINE_TOKEN" \
    -H 'Content-Type: application/json' --data-binary @- {base_url}/hooks/kubernetes
done

# deployline.toml
[[hook]]
source = "kubernetes"
secret = "env:DEPLOYLINE_TOKEN"
environments = ["production"]
"#;

pub(super) fn parse(request: &HookRequest, _: &HookConfig) -> Result<Parsed, HookError> {
    let body = document(request)?;
    let json = Json(&body);
    let object = json.at("object").unwrap_or(json);
    if json.str("type") == Some("DELETED") {
        return Ok(Parsed::ignored("a deleted object deploys nothing"));
    }
    let event = match object.required("kind")?.as_str() {
        "Deployment" => deployment(object)?,
        "Rollout" => argo::rollout(object)?,
        other => return Ok(Parsed::ignored(format!("the kind `{other}` is no rollout"))),
    };
    Ok(Parsed::one(foreign(dated(event, request.received_at)), None))
}

fn deployment(object: Json<'_>) -> Result<DeployEvent, HookError> {
    let name = object.required("metadata.name")?;
    let uid = object.first(&["metadata.uid"]).unwrap_or_else(|| format!("{}/{name}", namespace(object)));
    let revision = object.text("/metadata/annotations/deployment.kubernetes.io~1revision");
    let revision = revision.or_else(|| object.text("metadata.generation")).unwrap_or_default();
    let progressing = object.items("status.conditions").find(|condition| condition.str("type") == Some("Progressing"));
    let moved_at = match progressing {
        Some(condition) => condition.first_time(&["lastUpdateTime", "lastTransitionTime"])?,
        None => None,
    };
    let count = |path: &str| object.number(path).filter(|count| *count >= 0.0);
    let wanted = count("spec.replicas").unwrap_or(1.0);
    let (all, new) = (count("status.replicas").unwrap_or(0.0), count("status.updatedReplicas").unwrap_or(0.0));
    let is_seen = count("status.observedGeneration") >= count("metadata.generation");
    let is_ready = count("status.availableReplicas").unwrap_or(0.0) >= wanted;
    let status = match progressing.and_then(|condition| condition.str("reason")) {
        Some("ProgressDeadlineExceeded") => Status::Failed,
        _ if is_seen && new >= wanted && all <= new && is_ready => Status::Succeeded,
        _ => Status::Started,
    };
    // Only what the controller has looked at speaks of this revision; the counts before that are the last one's.
    let share = (all > 0.0 && is_seen).then(|| (new / all).clamp(0.0, 1.0));
    let ended_at = moved_at.filter(|_| status.is_final());
    let rollout = match object.str("spec.strategy.type") {
        Some("Recreate") => Rollout::Atomic,
        _ => Rollout::Rolling,
    };
    Ok(DeployEvent {
        id: Some(format!("kubernetes:{uid}:{revision}")),
        service: name,
        environment: environment(object),
        version: version(object),
        status: Some(status),
        rollout,
        started_at: moved_at,
        live_at: ended_at.filter(|_| status == Status::Succeeded),
        finished_at: ended_at,
        title: object.text("/metadata/annotations/kubernetes.io~1change-cause"),
        exposure: moved_at.zip(share).into_iter().collect::<Vec<(UnixMillis, f64)>>(),
        labels: [("namespace".to_owned(), namespace(object)), ("revision".to_owned(), revision)].into(),
        ..DeployEvent::default()
    })
}

pub(super) fn namespace(object: Json<'_>) -> String {
    object.text("metadata.namespace").unwrap_or_else(|| "default".to_owned())
}

pub(super) fn environment(object: Json<'_>) -> Option<String> {
    let label = object.first(&["metadata.labels.environment", "metadata.labels.env"]);
    label.or_else(|| environment_in(&namespace(object)))
}

/// The tag of the first container's image, else its digest.
pub(super) fn version(object: Json<'_>) -> Option<String> {
    image_tag(object.str("spec.template.spec.containers.0.image")?)
}

/// The tag or digest of `registry:5000/shop/web:1.2@sha256:…`.
pub(super) fn image_tag(image: &str) -> Option<String> {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let last = name.rsplit('/').next().unwrap_or(name);
    last.split_once(':').map(|(_, tag)| tag).or(digest).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_of_an_image_is_its_version() {
        for (image, expected) in [
            ("registry:5000/shop/web:1.2", Some("1.2")),
            ("registry:5000/shop/web", None),
            ("web@sha256:ab", Some("sha256:ab")),
            ("web:1@sha256:ab", Some("1")),
        ] {
            assert_eq!(image_tag(image).as_deref(), expected, "{image}");
        }
    }
}
