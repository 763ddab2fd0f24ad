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
pub(super) const SERVER_METADATA: [&str; 8] = [
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

pub(super) fn is_bookkeeping_label(name: &str) -> bool {
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

/// What [`strip`] takes out of an object, in its order.
pub fn bookkeeping(object: &Value) -> Vec<FieldPath> {
    let mut noise = Vec::new();
    let there = |value: Option<&Value>| value.is_some_and(|v| !v.is_null());
    if there(object.get("status")) {
        noise.push(FieldPath::keys(["status"]));
    }
    let Some(Value::Object(metadata)) = object.get("metadata") else {
        return noise;
    };
    for name in SERVER_METADATA {
        if there(metadata.get(name)) {
            noise.push(FieldPath::keys(["metadata", name]));
        }
    }
    for (part, is_noise) in TOOLS {
        let entries = metadata.get(part).and_then(Value::as_object);
        for (name, value) in entries.into_iter().flatten() {
            if is_noise(name) && !value.is_null() {
                noise.push(FieldPath::keys(["metadata", part, name]));
            }
        }
    }
    noise
}

type IsNoise = fn(&str) -> bool;

/// The parts of the metadata in which tools write about their own work, and what of it is theirs.
const TOOLS: [(&str, IsNoise); 2] = [
    ("annotations", is_bookkeeping_annotation),
    ("labels", is_bookkeeping_label),
];

/// The object without status, without what the API server never tracks and without the annotations of the tools; nulls
/// are dropped, a Secret's `stringData` is folded into `data`, and labels or annotations that end empty are gone.
/// Doing it twice changes nothing.
pub fn strip(object: &Value) -> Stripped {
    let noise = bookkeeping(object);
    let mut object = without_bookkeeping(object);
    drop_nulls(&mut object, 128);
    if let Value::Object(map) = &mut object {
        let secret = map.get("kind").and_then(Value::as_str) == Some("Secret");
        if secret {
            fold_string_data(map);
        }
        if let Some(Value::Object(metadata)) = map.get_mut("metadata") {
            for (part, _) in TOOLS {
                if metadata
                    .get(part)
                    .and_then(Value::as_object)
                    .is_some_and(Map::is_empty)
                {
                    metadata.shift_remove(part);
                }
            }
        }
    }
    Stripped { object, noise }
}

/// A copy of what is to stay only: managed fields and last-applied are the greater part of most objects.
fn without_bookkeeping(object: &Value) -> Value {
    let Value::Object(map) = object else {
        return object.clone();
    };
    let metadata = |metadata: &Map<String, Value>| {
        let kept = metadata
            .iter()
            .filter(|(name, _)| !SERVER_METADATA.contains(&name.as_str()));
        kept.map(|(name, value)| {
            let tool = TOOLS.iter().find(|(part, _)| *part == name.as_str());
            let value = match (tool, value) {
                (Some((_, is_noise)), Value::Object(entries)) => entries
                    .iter()
                    .filter(|(name, _)| !is_noise(name))
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect(),
                _ => value.clone(),
            };
            (name.clone(), value)
        })
        .collect()
    };
    map.iter()
        .filter(|(name, _)| name.as_str() != "status")
        .map(|(name, value)| {
            let value = match (name.as_str(), value) {
                ("metadata", Value::Object(map)) => metadata(map),
                _ => value.clone(),
            };
            (name.clone(), value)
        })
        .collect()
}

/// Whether [`is_same`] compares this part of an object as it stands.
pub(super) fn is_compared(name: &str) -> bool {
    !matches!(name, "apiVersion" | "kind" | "metadata" | "status")
}

/// The same for the metadata, where annotations and labels are compared entry by entry.
pub(super) fn is_compared_metadata(name: &str) -> bool {
    !SERVER_METADATA.contains(&name)
        && !matches!(name, "name" | "namespace" | "annotations" | "labels")
}

/// True only when two objects of one name are equal once stripped: a look at both in place of a copy of both. False says
/// nothing.
pub fn is_same(a: &Value, b: &Value) -> bool {
    let (Value::Object(left), Value::Object(right)) = (a, b) else {
        return false;
    };
    // Folding it would change the object.
    if left.contains_key("stringData") || right.contains_key("stringData") {
        return false;
    }
    let (Some(Value::Object(a)), Some(Value::Object(b))) =
        (left.get("metadata"), right.get("metadata"))
    else {
        return false;
    };
    same_maps(left, right, is_compared)
        && same_maps(a, b, is_compared_metadata)
        && TOOLS.iter().all(|(part, is_noise)| {
            let none = Map::new();
            match (entries(a.get(*part), &none), entries(b.get(*part), &none)) {
                (Some(a), Some(b)) => same_maps(a, b, |name| !is_noise(name)),
                _ => false,
            }
        })
}

/// The members of a map that may be missing; nothing when it is no map.
pub(in crate::object) fn entries<'v>(
    value: Option<&'v Value>,
    none: &'v Map<String, Value>,
) -> Option<&'v Map<String, Value>> {
    match value {
        None | Some(Value::Null) => Some(none),
        Some(Value::Object(map)) => Some(map),
        Some(_) => None,
    }
}

/// Equal in what is compared, a null being the same as nothing.
fn same_maps(
    a: &Map<String, Value>,
    b: &Map<String, Value>,
    compared: impl Fn(&str) -> bool,
) -> bool {
    let counted = |map: &Map<String, Value>| {
        map.iter()
            .filter(|(name, value)| !value.is_null() && compared(name))
            .count()
    };
    counted(a) == counted(b)
        && a.iter()
            .filter(|(name, value)| !value.is_null() && compared(name))
            .all(|(name, left)| b.get(name).is_some_and(|right| same_values(left, right)))
}

fn same_values(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => same_maps(a, b, |_| true),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_values(a, b))
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::diff::diff;
    use proptest::prelude::*;
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

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            Just(json!({})),
            Just(json!(1)),
            Just(json!("x")),
        ];
        let key = prop_oneof![
            Just("a"),
            Just("status"),
            Just("uid"),
            Just("labels"),
            Just("annotations"),
            Just("stringData"),
            Just("data"),
            Just("controller-uid"),
            Just(LAST_APPLIED),
        ];
        leaf.prop_recursive(3, 16, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec((key.clone(), inner.clone()), 0..4)
                    .prop_map(|m| m.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
                proptest::collection::vec(inner, 0..3).prop_map(Value::Array),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_the_same_at_a_look_is_equal_once_stripped(kind in prop_oneof![Just("Secret"), Just("ConfigMap")],
            sides in proptest::collection::vec((tree(), tree()), 2), alike in any::<bool>()) {
            let object = |(metadata, content): &(Value, Value)| {
                let mut object = json!({"kind": kind, "metadata": metadata, "data": content});
                if let Value::Object(map) = content {
                    object.as_object_mut().unwrap().extend(map.clone());
                }
                object
            };
            let a = object(&sides[0]);
            let mut b = if alike { a.clone() } else { object(&sides[1]) };
            if alike && let Some(Value::Object(metadata)) = b.get_mut("metadata") {
                metadata.insert("resourceVersion".into(), json!("7"));
                metadata.insert("generateName".into(), Value::Null);
            }
            let bare = |object: &Value| {
                let mut object = strip(object).object;
                if let Some(map) = object.as_object_mut() {
                    map.shift_remove("kind");
                }
                object
            };
            if is_same(&a, &b) {
                prop_assert_eq!(bare(&a), bare(&b));
            } else if alike {
                prop_assert!(a.get("stringData").is_some() || !a["metadata"].is_object()
                    || ["annotations", "labels"].iter().any(|p| a["metadata"].get(p).is_some_and(|v| !v.is_object() && !v.is_null())));
            }
        }
    }
}
