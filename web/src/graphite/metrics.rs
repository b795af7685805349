//! `/metrics/find`, `/metrics/expand`, `/metrics/index.json`: the tree of names.

use std::collections::{BTreeMap, BTreeSet};

use deployline_store::{Federation, Level};
use warp::{http::HeaderMap, reply::Response};

use super::{json, scripted};
use crate::{app::App, error::WebError, library::blocking, query::Query};

/// `GET` and `POST /metrics/find`: one level of the tree, as `treejson`, `completer`, `nodelist` or `json`. A window is no
/// filter here: names are those that the store has.
///
/// # Errors
/// No `query`, or a format that is not known.
pub async fn find(app: App, headers: HeaderMap, query: Query) -> Result<Response, WebError> {
    let mut pattern = query.text("query").ok_or_else(|| WebError::parameter("query", "`query` is missing"))?;
    let write: fn(&Level, &str, bool) -> Vec<u8> = match query.get("format") {
        None | Some("treejson") => tree,
        Some("completer") => {
            pattern = pattern.replace("..", "*.");
            if !pattern.ends_with('*') {
                pattern.push('*');
            }
            completer
        }
        Some("nodelist") => node_list,
        Some("json") => path_list,
        Some(other) => {
            let message = format!("`{other}` is not treejson, completer, nodelist or json");
            return Err(WebError::parameter("format", message));
        }
    };
    let (wildcards, leaves_only) = (query.is_set("wildcards"), query.is_set("leavesOnly"));
    let found = blocking(&app, move |library| {
        let found = library.store().find(&pattern);
        let found = if leaves_only { found.leaves() } else { found };
        Ok(write(&found, &pattern, wildcards))
    });
    scripted(&query, &headers, found.await?)
}

/// Branches first, each name once; what is both is shown as a branch: `[{"text", "id", "allowChildren", "expandable", "leaf"}]`.
fn tree(found: &Level, pattern: &str, wildcards: bool) -> Vec<u8> {
    let base = pattern.rfind('.').map_or("", |dot| &pattern[..=dot]);
    let mut out = vec![b'['];
    let mut entry = |name: &str, is_leaf: bool| {
        out.extend_from_slice(if out.len() == 1 { b"{\"text\": " } else { b", {\"text\": " });
        json::string(&mut out, name);
        out.extend_from_slice(b", \"id\": ");
        json::string(&mut out, &format!("{base}{name}"));
        out.extend_from_slice(match is_leaf {
            true => br#", "allowChildren": 0, "expandable": 0, "leaf": 1}"#,
            false => br#", "allowChildren": 1, "expandable": 1, "leaf": 0}"#,
        });
    };
    if wildcards && found.len() > 1 {
        entry("*", found.iter().all(|node| node.is_leaf));
    }
    let mut parts: Vec<_> = found.parts().collect();
    parts.sort_unstable();
    parts.iter().filter(|(_, is_branch, _)| *is_branch).for_each(|(name, ..)| entry(name, false));
    parts.iter().filter(|(_, is_branch, is_leaf)| *is_leaf && !*is_branch).for_each(|(name, ..)| entry(name, true));
    out.push(b']');
    out
}

/// `{"metrics": [{"path": "a.b.", "name", "is_leaf": "0"}]}`, with text where one expects numbers.
fn completer(found: &Level, _pattern: &str, wildcards: bool) -> Vec<u8> {
    let mut out = b"{\"metrics\": [".to_vec();
    for (index, node) in found.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"{\"path\": " } else { b", {\"path\": " });
        json::string(&mut out, &format!("{}{}", node.path(), if node.is_leaf { "" } else { "." }));
        out.extend_from_slice(b", \"name\": ");
        json::string(&mut out, node.part);
        out.extend_from_slice(if node.is_leaf { br#", "is_leaf": "1"}"# } else { br#", "is_leaf": "0"}"# });
    }
    if wildcards && found.len() > 1 {
        out.extend_from_slice(br#", {"name": "*"}"#);
    }
    out.extend_from_slice(b"]}");
    out
}

/// `[{"path": "a.b", "is_leaf": true}]`
fn path_list(found: &Level, _pattern: &str, _wildcards: bool) -> Vec<u8> {
    let mut out = vec![b'['];
    for (index, node) in found.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"{\"path\": " } else { b", {\"path\": " });
        json::string(&mut out, &node.path());
        out.extend_from_slice(if node.is_leaf { br#", "is_leaf": true}"# } else { br#", "is_leaf": false}"# });
    }
    out.push(b']');
    out
}

/// `{"nodes": ["a", "b"]}`
fn node_list(found: &Level, _pattern: &str, _wildcards: bool) -> Vec<u8> {
    let names: BTreeSet<&str> = found.parts().map(|(name, ..)| name).collect();
    let mut out = b"{\"nodes\": ".to_vec();
    list(&mut out, names.into_iter());
    out.push(b'}');
    out
}

/// Appends a list of strings.
fn list<'t>(out: &mut Vec<u8>, texts: impl Iterator<Item = &'t str>) {
    out.push(b'[');
    for (index, text) in texts.enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        json::string(out, text);
    }
    out.push(b']');
}

/// `/metrics/expand`: the paths that patterns stand for, sorted, each once; by pattern with `groupByExpr`.
///
/// # Errors
/// A `jsonp` that is no name.
pub async fn expand(app: App, headers: HeaderMap, query: Query) -> Result<Response, WebError> {
    let patterns: Vec<String> = query.all("query").map(|pattern| pattern.trim().to_owned()).collect();
    let (leaves_only, grouped) = (query.is_set("leavesOnly"), query.is_set("groupByExpr"));
    let expanded = blocking(&app, move |library| {
        let groups: BTreeMap<&str, BTreeSet<String>> =
            patterns.iter().map(|pattern| (pattern.as_str(), paths(library.store(), pattern, leaves_only))).collect();
        let mut out = b"{\"results\": ".to_vec();
        if grouped {
            out.push(b'{');
            for (index, (pattern, paths)) in groups.iter().enumerate() {
                if index > 0 {
                    out.extend_from_slice(b", ");
                }
                json::string(&mut out, pattern);
                out.extend_from_slice(b": ");
                list(&mut out, paths.iter().map(String::as_str));
            }
            out.push(b'}');
        } else {
            let all: BTreeSet<&str> = groups.values().flatten().map(String::as_str).collect();
            list(&mut out, all.into_iter());
        }
        out.push(b'}');
        Ok(out)
    });
    scripted(&query, &headers, expanded.await?)
}

fn paths(store: &Federation, pattern: &str, leaves_only: bool) -> BTreeSet<String> {
    store.find(pattern).iter().filter(|node| node.is_leaf || !leaves_only).map(|node| node.path()).collect()
}

/// `/metrics/index.json`: every name.
///
/// # Errors
/// A `jsonp` that is no name.
pub async fn index(app: App, headers: HeaderMap, query: Query) -> Result<Response, WebError> {
    let index = blocking(&app, |library| {
        let mut names = library.store().all();
        names.sort_unstable_by(|a, b| a.1.cmp(&b.1));
        let mut out = Vec::with_capacity(names.len() * 64);
        list(&mut out, names.iter().map(|(_, name)| &**name));
        Ok(out)
    });
    scripted(&query, &headers, index.await?)
}

#[cfg(test)]
mod tests {
    use deployline_schemas::time::wall_clock;
    use deployline_store::{Store, StoreConfig};

    use super::*;

    /// What a store that knows `names` finds.
    fn found(names: &[&str], pattern: &str) -> Level {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreConfig::in_dir(dir.path()), wall_clock()).unwrap();
        names.iter().for_each(|name| assert!(store.intern(name).is_ok()));
        store.find(pattern)
    }

    #[test]
    fn a_level_is_written_as_each_client_reads_it() {
        let level = found(&["a.b", "a.c", "a.c.d"], "a.*");
        let json = |bytes: Vec<u8>| serde_json::from_slice::<serde_json::Value>(&bytes).unwrap();
        assert_eq!(
            json(tree(&level, "a.*", true)),
            serde_json::json!([
                {"text": "*", "id": "a.*", "allowChildren": 1, "expandable": 1, "leaf": 0},
                {"text": "c", "id": "a.c", "allowChildren": 1, "expandable": 1, "leaf": 0},
                {"text": "b", "id": "a.b", "allowChildren": 0, "expandable": 0, "leaf": 1},
            ])
        );
        assert_eq!(
            json(completer(&found(&["a.b", "a.c.d"], "a.*"), "a.*", false)),
            serde_json::json!({"metrics": [
                {"path": "a.b", "name": "b", "is_leaf": "1"}, {"path": "a.c.", "name": "c", "is_leaf": "0"},
            ]})
        );
        assert_eq!(json(node_list(&level, "a.*", false)), serde_json::json!({"nodes": ["b", "c"]}));
        assert_eq!(
            json(path_list(&level.leaves(), "a.*", false)),
            serde_json::json!([{"path": "a.b", "is_leaf": true}, {"path": "a.c", "is_leaf": true}])
        );
    }
}
