//! `GET /api/openapi.json`: every address with what it takes, as OpenAPI 3.1. One table; a test walks the routes and compares.

use serde_json::{Map, Value, json};
use warp::{Reply, reply::Response};

/// Method, path, what it is for, and the names of its query parameters.
type Operation = (&'static str, &'static str, &'static str, &'static str);

/// Every operation, by path.
const OPERATIONS: [Operation; 78] = [
    ("get", "/", "The page of what is going on now", "service environment limit cursor"),
    ("get", "/d/{id}", "The page of a deploy", ""),
    ("get", "/incidents/{id}", "The page of an incident", ""),
    ("post", "/incidents/{id}/{opinion}", "The page's form: ack, expected or wrong", ""),
    ("get", "/blame", "The page that asks which deploy broke a series", "series signal service at"),
    ("get", "/silences", "The page of silences", "service environment deploy_id"),
    ("post", "/silences", "The page's form for a silence", ""),
    ("post", "/silences/{id}/end", "The page's form that ends one", ""),
    ("get", "/assets/style.css", "The pages' style sheet", ""),
    ("get", "/assets/icon.svg", "The pages' icon", ""),
    (
        "get",
        "/graph.png",
        "A series with the deploys on it, as PNG",
        "target signal service from until width height theme tz deploys deploy compare",
    ),
    (
        "get",
        "/graph.svg",
        "The same as SVG",
        "target signal service from until width height theme tz deploys deploy compare",
    ),
    (
        "get",
        "/graph.txt",
        "The same for a terminal",
        "target signal service from until columns rows lines color deploys deploy compare",
    ),
    ("post", "/hooks/{source}", "A deploy as another system's hook tells it", ""),
    (
        "get",
        "/api/v1/deploys",
        "Deploys with their verdicts, latest start first",
        "service environment kind from until limit cursor",
    ),
    ("post", "/api/v1/deploys", "Tells of a deploy", ""),
    ("get", "/api/v1/deploys/{id}", "One deploy with its verdict", ""),
    ("get", "/api/v1/deploys/{id}/impact", "Everything that it moved, up or down", "service verdict limit"),
    ("get", "/api/v1/incidents", "Incidents, last opened first", "service environment state from until limit cursor"),
    ("get", "/api/v1/incidents/{id}", "One incident with its suspects and their evidence", ""),
    ("post", "/api/v1/incidents/{id}/{opinion}", "What somebody thinks of it: ack, expected or wrong", ""),
    ("get", "/api/v1/blame", "Which deploy broke a series", "series signal service at"),
    (
        "get",
        "/api/v1/gate",
        "Whether a pipeline may go on after a deploy",
        "deploy service version environment for wait",
    ),
    (
        "post",
        "/api/v1/gate",
        "The same with Flagger's payload, answered by status",
        "deploy service version environment for type cannot_tell",
    ),
    ("get", "/api/v1/silences", "Silences, last made first", "state service environment from until limit cursor"),
    ("post", "/api/v1/silences", "Begins a silence", ""),
    ("get", "/api/v1/silences/{id}", "One silence", ""),
    ("patch", "/api/v1/silences/{id}", "Another end or note", ""),
    ("delete", "/api/v1/silences/{id}", "Ends it now", ""),
    ("get", "/api/v1/doctor", "What is watched, what is not, and what needs attention", "placebos seed"),
    ("get", "/api/v1/schemas", "The JSON Schemas that are published", ""),
    ("get", "/api/v1/schemas/{name}", "One of them", ""),
    ("get", "/api/v1/stream", "Deploys and incidents as they change, as server-sent events", ""),
    ("get", "/api/v1/quarantine", "What hooks brought and could not be understood", "source limit"),
    ("get", "/api/v1/quarantine/{position}", "One of them with headers and body", ""),
    ("post", "/api/v1/quarantine/{position}/redrive", "Tries it again", ""),
    ("post", "/api/v1/write", "Prometheus remote write", ""),
    ("get", "/api/v1/export", "Datapoints as Parquet, CSV or JSON lines", "target from until format"),
    ("post", "/api/v1/cloudevents", "Deploys as CloudEvents", ""),
    ("post", "/api/v1/events", "Datadog's events", ""),
    ("post", "/api/v2/dora/deployment", "Datadog's deployments", ""),
    ("post", "/1/markers/{dataset}", "Honeycomb's markers", ""),
    ("get", "/api/annotations", "Grafana's annotations", "from to tags matchAny type dashboardUID panelId limit"),
    ("get", "/api/annotations/tags", "Their tags, counted", "tag limit"),
    ("get", "/api/annotations/{id}", "One of them", ""),
    ("put", "/api/annotations/{id}", "Other times, text or tags", ""),
    ("patch", "/api/annotations/{id}", "The same", ""),
    ("delete", "/api/annotations/{id}", "Takes it away", ""),
    ("post", "/api/annotations", "Grafana's annotations in", ""),
    ("post", "/api/annotations/graphite", "Grafana's annotations in Graphite's form", ""),
    ("get", "/render", "Graphite's render", "target from until format maxDataPoints"),
    ("post", "/render", "The same with a form", "target from until format maxDataPoints"),
    ("get", "/metrics/find", "Graphite's tree of names", "query format from until"),
    ("post", "/metrics/find", "The same with a form", "query format from until"),
    ("get", "/metrics/expand", "Names that patterns match", "query"),
    ("post", "/metrics/expand", "The same with a form", "query"),
    ("get", "/metrics/index.json", "Every name", ""),
    ("post", "/metrics/index.json", "The same with a form", ""),
    ("get", "/tags", "Every tag", "filter limit"),
    ("get", "/tags/{tag}", "The values of a tag", "filter limit"),
    ("get", "/tags/autoComplete/tags", "Tags that begin so", "expr tagPrefix limit"),
    ("get", "/tags/autoComplete/values", "Values that begin so", "expr tag valuePrefix limit"),
    ("get", "/tags/findSeries", "Series by tags", "expr"),
    ("post", "/tags/tagSeries", "Takes a series' name in", "path"),
    ("post", "/tags/tagMultiSeries", "Takes many in", "path"),
    ("post", "/tags/delSeries", "Takes names back that have no datapoints", "path"),
    ("get", "/functions", "The functions that targets can call", ""),
    ("get", "/functions/{name}", "One of them", ""),
    ("get", "/version", "Graphite's version that is spoken", ""),
    ("post", "/events", "Graphite's events in", ""),
    ("get", "/events/{id}", "One of Graphite's events", ""),
    ("patch", "/events/{id}", "Another what, when, data or tags", ""),
    ("delete", "/events/{id}", "Takes it away", ""),
    ("get", "/events/get_data", "Graphite's events out", "from until tags set"),
    ("get", "/metrics", "Counters for Prometheus", ""),
    ("get", "/healthz", "Whether the process answers", ""),
    ("get", "/readyz", "Whether bus and catalog answer too", ""),
    ("get", "/api/openapi.json", "This", ""),
];

/// The document.
pub fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for (method, path, summary, query) in OPERATIONS {
        let entry = paths.entry(path).or_insert_with(|| json!({}));
        entry[method] = operation(method, path, summary, query);
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Deployline", "version": env!("CARGO_PKG_VERSION"),
            "description": "Deploys and series on one time axis: what broke, and which deploy did it. Where tokens are configured, every request but a hook, /healthz and /readyz needs one."},
        "security": [{}, {"token": []}],
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Problem": {
                "type": "object", "required": ["code", "message"],
                "properties": {
                    "code": {"type": "string", "description": "A word for programs; never changes."},
                    "message": {"type": "string", "description": "One sentence for people."},
                    "field": {"type": "string", "description": "The parameter or field at fault."},
                },
            }},
        },
        "paths": paths,
    })
}

fn operation(method: &str, path: &str, summary: &str, query: &str) -> Value {
    let in_path = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameter = |name: &str, place: &str| {
        let schema = match name {
            "opinion" => json!({"type": "string", "enum": ["ack", "expected", "wrong"]}),
            "limit" | "width" | "height" | "placebos" | "seed" => json!({"type": "integer", "minimum": 0}),
            _ => json!({"type": "string"}),
        };
        json!({"name": name, "in": place, "required": place == "path", "schema": schema})
    };
    let parameters: Vec<Value> = in_path
        .map(|name| parameter(name, "path"))
        .chain(query.split_whitespace().map(|name| parameter(name, "query")))
        .collect();
    let problem = json!({"description": "Why not", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}});
    let mut operation = json!({
        "summary": summary,
        "operationId": format!("{method} {path}"),
        "parameters": parameters,
        "responses": {"2XX": {"description": "What was asked for, or that it was taken"}, "default": problem},
    });
    if matches!(method, "post" | "patch") && path.starts_with("/api/v1/") && !path.ends_with("/write") {
        operation["requestBody"] = json!({"content": {"application/json": {"schema": {"type": ["object", "array"]}}}});
    }
    operation
}

/// `GET /api/openapi.json`
pub fn answer() -> Response {
    warp::reply::json(&document()).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const SOURCES: [&str; 4] = [
        include_str!("routes.rs"),
        include_str!("routes/foreign.rs"),
        include_str!("routes/graphite.rs"),
        include_str!("routes/verdicts.rs"),
    ];

    /// Every path that the routes are made of, parameters as `{}`.
    fn routed() -> BTreeSet<String> {
        let paths = regex::Regex::new(r#"warp::path!\(([^)]*)\)|route\("(graph\.[a-z]+)""#).unwrap();
        let of = |found: regex::Captures<'_>| match (found.get(1), found.get(2)) {
            (Some(parts), _) => {
                let parts = parts.as_str().split('/').map(str::trim).filter(|part| !part.is_empty());
                let part = |part: &str| match part.strip_prefix('"') {
                    Some(word) => word.trim_end_matches('"').to_owned(),
                    None => "{}".to_owned(),
                };
                parts.fold(String::new(), |path, next| path + "/" + &part(next))
            }
            (None, name) => format!("/{}", name.map_or("", |name| name.as_str())),
        };
        let mut all: BTreeSet<String> = SOURCES.iter().flat_map(|source| paths.captures_iter(source).map(of)).collect();
        // What follows a hook's name is a path of its own.
        all.remove("/hooks/{}/{}");
        all.extend(["/".to_owned(), "/hooks/{}".to_owned()]);
        all
    }

    #[test]
    fn the_document_has_every_route_and_no_other() {
        let parameter = regex::Regex::new(r"\{[a-z]+\}").unwrap();
        let documented: BTreeSet<String> =
            OPERATIONS.iter().map(|(_, path, ..)| parameter.replace_all(path, "{}").into_owned()).collect();
        let routed = routed();
        assert!(routed.len() > 40, "{routed:?}");
        assert_eq!(routed.difference(&documented).collect::<Vec<_>>(), Vec::<&String>::new(), "undocumented");
        assert_eq!(documented.difference(&routed).collect::<Vec<_>>(), Vec::<&String>::new(), "gone");
    }

    #[test]
    fn every_operation_is_named_once_with_its_parameters() {
        let document = document();
        let n: usize =
            document["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum();
        assert_eq!(n, OPERATIONS.len());
        let gate = &document["paths"]["/api/v1/gate"]["get"]["parameters"];
        assert_eq!(gate[0], json!({"name": "deploy", "in": "query", "required": false, "schema": {"type": "string"}}));
        let opinion = &document["paths"]["/api/v1/incidents/{id}/{opinion}"]["post"]["parameters"][1];
        assert_eq!((&opinion["in"], &opinion["required"]), (&json!("path"), &json!(true)));
    }
}
