//! What is served: `/api`, `/apis` (plain and aggregated), resource lists, `/version`, health, OpenAPI.

use serde_json::{Map, Value, json};

use super::kinds::{Kinds, Resource};
use super::status::Failure;

/// The release whose behaviour is followed.
pub const VERSION: &str = "v1.33.4";

/// Answers a path that names no resource. `None`: there is no such path.
pub fn answer(kinds: &Kinds, path: &str, accept: &str) -> Option<Result<Answer, Failure>> {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
    let aggregated = accept
        .split(',')
        .next()
        .unwrap_or("")
        .contains("as=APIGroupDiscoveryList");
    let json = |value: Value| Some(Ok(Answer::Json(value)));
    match parts.as_slice() {
        ["healthz" | "livez" | "readyz", ..] => Some(Ok(Answer::Text("ok"))),
        ["version"] => json(
            json!({"major": "1", "minor": "33", "emulationMajor": "1", "emulationMinor": "33",
            "minCompatibilityMajor": "1", "minCompatibilityMinor": "32", "gitVersion": VERSION, "gitCommit": "", "gitTreeState": "clean",
            "buildDate": "2025-08-13T00:00:00Z", "goVersion": "go1.24", "compiler": "gc", "platform": "linux/amd64"}),
        ),
        [] => json(
            json!({"paths": ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"]}),
        ),
        ["api"] if aggregated => Some(Ok(Answer::Aggregated(aggregate(kinds, true)))),
        ["apis"] if aggregated => Some(Ok(Answer::Aggregated(aggregate(kinds, false)))),
        ["api"] => json(json!({"kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}]})),
        ["apis"] => {
            let groups: Vec<Value> = kinds
                .groups()
                .iter()
                .map(|(name, versions)| group(name, versions, false))
                .collect();
            json(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
        }
        ["apis", name] => {
            let (name, versions) = kinds.groups().into_iter().find(|(g, _)| g == name)?;
            json(group(&name, &versions, true))
        }
        ["api", version] => resources(kinds, "", version).map(|v| Ok(Answer::Json(v))),
        ["apis", group, version] => resources(kinds, group, version).map(|v| Ok(Answer::Json(v))),
        ["openapi", "v2"] => {
            if accept.contains("protobuf") && !accept.contains("json") {
                return Some(Err(Failure::not_acceptable(false)));
            }
            json(super::openapi::v2(kinds))
        }
        ["openapi", "v3"] => json(super::openapi::index(kinds)),
        ["openapi", "v3", "api", version] => {
            super::openapi::v3(kinds, "", version).map(|v| Ok(Answer::Json(v)))
        }
        ["openapi", "v3", "apis", group, version] => {
            super::openapi::v3(kinds, group, version).map(|v| Ok(Answer::Json(v)))
        }
        _ => None,
    }
}

/// A body outside the object API.
#[derive(Debug)]
pub enum Answer {
    Json(Value),
    Aggregated(Value),
    Text(&'static str),
}

fn group(name: &str, versions: &[String], own: bool) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|v| json!({"groupVersion": format!("{name}/{v}"), "version": v}))
        .collect();
    let mut out = Map::new();
    if own {
        out.insert("kind".into(), json!("APIGroup"));
        out.insert("apiVersion".into(), json!("v1"));
    }
    out.insert("name".into(), json!(name));
    out.insert(
        "preferredVersion".into(),
        versions.first().cloned().unwrap_or_default(),
    );
    out.insert("versions".into(), Value::Array(versions));
    Value::Object(out)
}

/// By which a client notices that a kind is stored in another version.
fn stored_as(kind: &Resource) -> String {
    use base64::Engine as _;
    use sha2::Digest as _;
    let name = format!("{}/{}/{}", kind.group, kind.version, kind.kind);
    let hash = sha2::Sha256::digest(name.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(&hash[..8])
}

fn sub_verbs(subresource: &str) -> &'static [&'static str] {
    if subresource == "token" {
        &["create"]
    } else {
        &["get", "patch", "update"]
    }
}

/// (kind, group, version) of what a subresource speaks.
fn sub_kind(resource: &Resource, subresource: &str) -> (String, String, String) {
    match subresource {
        "scale" => ("Scale".into(), "autoscaling".into(), "v1".into()),
        "token" => (
            "TokenRequest".into(),
            "authentication.k8s.io".into(),
            "v1".into(),
        ),
        _ => (
            resource.kind.clone(),
            resource.group.clone(),
            resource.version.clone(),
        ),
    }
}

fn resources(kinds: &Kinds, group: &str, version: &str) -> Option<Value> {
    let mut list = Vec::new();
    for r in kinds
        .iter()
        .filter(|r| r.group == group && r.version == version)
    {
        let mut entry = Map::new();
        entry.insert("name".into(), json!(r.plural));
        entry.insert("singularName".into(), json!(r.singular));
        entry.insert("namespaced".into(), json!(r.namespaced));
        entry.insert("kind".into(), json!(r.kind));
        let mut verbs = r.verbs().to_vec();
        if r.is_custom() {
            verbs = vec![
                "delete",
                "deletecollection",
                "get",
                "list",
                "patch",
                "create",
                "update",
                "watch",
            ];
        }
        entry.insert("verbs".into(), json!(verbs));
        if !r.short_names.is_empty() {
            entry.insert("shortNames".into(), json!(r.short_names));
        }
        if !r.categories.is_empty() {
            entry.insert("categories".into(), json!(r.categories));
        }
        if r.verbs() != ["create"] {
            entry.insert("storageVersionHash".into(), json!(stored_as(r)));
        }
        list.push(Value::Object(entry));
        for sub in &r.subresources {
            let (kind, group, version) = sub_kind(r, sub);
            let mut entry = json!({"name": format!("{}/{sub}", r.plural), "singularName": "", "namespaced": r.namespaced,
                "kind": kind, "verbs": sub_verbs(sub)});
            if group != r.group {
                entry["group"] = json!(group);
                entry["version"] = json!(version);
            }
            list.push(entry);
        }
    }
    if list.is_empty() {
        return None;
    }
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    let mut out =
        json!({"kind": "APIResourceList", "groupVersion": group_version, "resources": list});
    if !group.is_empty() {
        out["apiVersion"] = json!("v1");
    }
    Some(out)
}

/// `apidiscovery.k8s.io/v2`.
fn aggregate(kinds: &Kinds, core: bool) -> Value {
    let groups = if core {
        vec![(String::new(), vec!["v1".to_owned()])]
    } else {
        kinds.groups()
    };
    let items: Vec<Value> = groups
        .iter()
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| {
                    let resources: Vec<Value> = kinds
                        .iter()
                        .filter(|r| r.group == *group && r.version == *version)
                        .map(|r| {
                            let subs: Vec<Value> = r
                                .subresources
                                .iter()
                                .map(|sub| {
                                    let (kind, group, version) = sub_kind(r, sub);
                                    json!({"subresource": sub, "verbs": sub_verbs(sub),
                                        "responseKind": {"group": group, "version": version, "kind": kind}})
                                })
                                .collect();
                            json!({
                                "resource": r.plural, "singularResource": r.singular, "verbs": r.verbs(),
                                "scope": if r.namespaced { "Namespaced" } else { "Cluster" },
                                "responseKind": {"group": r.group, "version": r.version, "kind": r.kind},
                                "shortNames": r.short_names, "categories": r.categories, "subresources": subs,
                            })
                        })
                        .collect();
                    json!({"version": version, "freshness": "Current", "resources": resources})
                })
                .collect();
            let metadata = if group.is_empty() { json!({}) } else { json!({"name": group}) };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}
