//! What is no part of anybody's decision is taken out before objects are compared: bookkeeping of the API server and of
//! the tools that apply.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::path::FieldPath;
use super::redact::{LAST_APPLIED, is_redacted};

/// Argo CD's tracking annotation (default tracking method since 3.0).
pub const TRACKING_ID: &str = "argocd.argoproj.io/tracking-id";
/// Argo CD's tracking label (default up to 2.14), which Helm charts set as well.
pub const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";

/// Metadata that the API server writes and never tracks.
const SERVER_METADATA: [&str; 8] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "selfLink",
    "managedFields",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

/// An object without bookkeeping, and what was taken out.
#[derive(Debug, Clone, PartialEq)]
pub struct Stripped {
    pub object: Value,
    pub noise: Vec<FieldPath>,
}

/// True for an annotation that a tool writes about its own work.
pub fn is_bookkeeping_annotation(name: &str) -> bool {
    matches!(
        name,
        LAST_APPLIED
            | TRACKING_ID
            | "argocd.argoproj.io/installation-id"
            | "argocd.argoproj.io/refresh"
            | "deployment.kubernetes.io/revision"
            | "deprecated.daemonset.template.generation"
    ) || name.starts_with("pv.kubernetes.io/")
}

fn is_bookkeeping_label(name: &str) -> bool {
    matches!(
        name,
        "controller-uid" | "batch.kubernetes.io/controller-uid"
    )
}

/// True for what an apply moves although nothing was decided: listed in a prediction, never compared.
pub fn is_bookkeeping(path: &FieldPath) -> bool {
    let names = path.schema_names();
    match names.as_slice() {
        ["status", ..] => true,
        ["metadata", name, ..] if SERVER_METADATA.contains(name) => true,
        ["metadata", "annotations", name] => is_bookkeeping_annotation(name),
        ["metadata", "labels", name] => is_bookkeeping_label(name),
        _ => false,
    }
}

/// When the pods were last restarted (`kubectl rollout restart` and the like): a mark of a rollout that was, which no sync
/// writes or takes away as long as Git never had it.
pub fn is_restart(names: &[&str]) -> bool {
    names
        == [
            "spec",
            "template",
            "metadata",
            "annotations",
            "kubectl.kubernetes.io/restartedAt",
        ]
}

fn drop_nulls(value: &mut Value, depth: usize) {
    if depth == 0 {
        return;
    }
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(|v| drop_nulls(v, depth - 1));
        }
        Value::Array(list) => list.iter_mut().for_each(|v| drop_nulls(v, depth - 1)),
        _ => {}
    }
}

/// Folds a Secret's `stringData` into `data`, as the API server does when it is written.
pub fn fold_string_data(secret: &mut Map<String, Value>) {
    let Some(Value::Object(strings)) = secret.shift_remove("stringData") else {
        return;
    };
    let data = secret
        .entry("data")
        .or_insert_with(|| Value::Object(Map::new()));
    if data.is_null() {
        *data = Value::Object(Map::new());
    }
    if let Value::Object(data) = data {
        for (name, value) in strings {
            let folded = match &value {
                v if is_redacted(v) => value,
                Value::String(text) => Value::from(STANDARD.encode(text)),
                _ => value,
            };
            data.insert(name, folded);
        }
    }
}

/// The object without status, without what the API server never tracks and without the annotations of the tools; nulls
/// are dropped, a Secret's `stringData` is folded into `data`, and labels or annotations that end empty are gone.
/// Doing it twice changes nothing.
pub fn strip(object: &Value) -> Stripped {
    let mut object = object.clone();
    let mut noise = Vec::new();
    drop_nulls(&mut object, 128);
    if let Value::Object(map) = &mut object {
        let secret = map.get("kind").and_then(Value::as_str) == Some("Secret");
        if secret {
            fold_string_data(map);
        }
        if map.shift_remove("status").is_some() {
            noise.push(FieldPath::keys(["status"]));
        }
        if let Some(Value::Object(metadata)) = map.get_mut("metadata") {
            for name in SERVER_METADATA {
                if metadata.shift_remove(name).is_some() {
                    noise.push(FieldPath::keys(["metadata", name]));
                }
            }
            for (part, is_noise) in [
                ("annotations", is_bookkeeping_annotation as fn(&str) -> bool),
                ("labels", is_bookkeeping_label),
            ] {
                let Some(Value::Object(entries)) = metadata.get_mut(part) else {
                    continue;
                };
                let names: Vec<String> = entries.keys().filter(|n| is_noise(n)).cloned().collect();
                for name in names {
                    entries.shift_remove(&name);
                    noise.push(FieldPath::keys(["metadata", part, &name]));
                }
                if entries.is_empty() {
                    metadata.shift_remove(part);
                }
            }
        }
    }
    Stripped { object, noise }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::diff::diff;
    use serde_json::json;

    #[test]
    fn only_bookkeeping_goes() {
        let live = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "uid": "1", "resourceVersion": "2",
            "labels": {"app": "x"}, "annotations": {LAST_APPLIED: "{}", TRACKING_ID: "a:/Secret:n/s"}},
            "data": {"a": "YQ=="}, "status": {}});
        let git = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "creationTimestamp": null,
            "labels": {"app": "x"}}, "stringData": {"a": "a"}});
        let stripped = strip(&live);
        assert_eq!(stripped.noise.len(), 5);
        assert_eq!(diff(&strip(&git).object, &stripped.object, "Secret"), []);
        assert_eq!(strip(&stripped.object).object, stripped.object);
    }
}
