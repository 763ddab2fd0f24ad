//! What an object or its Application says about a field besides its value: protected, delicate, autoscaled, ignored.

use std::collections::BTreeSet;

use serde_json::Value;

use super::compare::Pair;
use crate::object::listkeys::from_pointer;
use crate::object::path::FieldPath;

/// The workloads (kind, namespace, name) that a HorizontalPodAutoscaler among the live objects scales.
pub(super) fn autoscaled(live: &[Value]) -> BTreeSet<(String, String, String)> {
    live.iter()
        .filter(|o| o.get("kind").and_then(Value::as_str) == Some("HorizontalPodAutoscaler"))
        .filter_map(|o| {
            let text = |p: &str| o.pointer(p).and_then(Value::as_str).map(str::to_owned);
            Some((
                text("/spec/scaleTargetRef/kind")?,
                text("/metadata/namespace").unwrap_or_default(),
                text("/spec/scaleTargetRef/name")?,
            ))
        })
        .collect()
}

/// The label or annotation that marks an object as not to be touched.
pub(super) fn protection(object: &Value) -> Option<String> {
    for part in ["labels", "annotations"] {
        let entries = object
            .get("metadata")
            .and_then(|m| m.get(part))
            .and_then(Value::as_object);
        for (name, value) in entries.into_iter().flatten() {
            let value = value.as_str().unwrap_or_default();
            let last = name.rsplit('/').next().unwrap_or(name);
            let marked = value == "protected"
                || value == "canary"
                || value.ends_with("-canary")
                || (matches!(last, "protected" | "do-not-touch") && value == "true");
            if marked {
                return Some(format!("{} {name}: {value}", part.trim_end_matches('s')));
            }
        }
    }
    None
}

/// Fields and kinds where a wrong guess opens or closes a door: a person always chooses.
pub(super) fn is_delicate(
    kind: &str,
    path: &FieldPath,
    to: Option<&Value>,
) -> Option<&'static str> {
    let names = path.schema_names();
    if matches!(
        kind,
        "Role" | "ClusterRole" | "RoleBinding" | "ClusterRoleBinding" | "ServiceAccount"
    ) {
        return Some("it is about permissions");
    }
    if matches!(kind, "NetworkPolicy" | "Ingress") {
        return Some("it is about network policy");
    }
    if matches!(
        kind,
        "PersistentVolume" | "PersistentVolumeClaim" | "StorageClass"
    ) {
        return Some("it is about storage");
    }
    if kind == "Secret" {
        return Some("it is a secret");
    }
    if names.ends_with(&["spec", "replicas"]) && to == Some(&Value::from(0)) {
        return Some("it scales to nothing");
    }
    let text = names.join(".").to_ascii_lowercase();
    [
        "auth",
        "jwt",
        "token",
        "oidc",
        "saml",
        "rbac",
        "password",
        "credential",
        "certificate",
    ]
    .iter()
    .any(|word| text.contains(word))
    .then_some("it is about authentication")
}

/// The ignoreDifferences entry of the Application that hides this field from Argo CD.
pub(super) fn ignored(application: &Value, pair: &Pair, path: &FieldPath) -> Option<String> {
    let object = &pair.object;
    let rules = application
        .pointer("/spec/ignoreDifferences")
        .and_then(Value::as_array)?;
    for rule in rules {
        let text = |name: &str| rule.get(name).and_then(Value::as_str).unwrap_or_default();
        let fits = |pattern: &str, value: &str| {
            globset::Glob::new(pattern).is_ok_and(|g| g.compile_matcher().is_match(value))
        };
        // An omitted group is the core group (argo-cd#28590); an omitted name or namespace is any.
        let any = |name: &str, value: &str| text(name).is_empty() || text(name) == value;
        if !(fits(text("group"), &object.group)
            && fits(text("kind"), &object.kind)
            && any("name", &object.name)
            && any("namespace", object.namespace.as_deref().unwrap_or_default()))
        {
            continue;
        }
        let list = |name: &str| {
            rule.get(name)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
        };
        for pointer in list("jsonPointers") {
            let sides = [&pair.live, &pair.git];
            let hit = sides
                .into_iter()
                .flatten()
                .filter_map(|o| from_pointer(&object.kind, o, pointer))
                .any(|p| p.is_prefix_of(path));
            if hit {
                return Some(pointer.to_owned());
            }
        }
        if let Some(writer) = pair.managed.writer(path)
            && list("managedFieldsManagers").any(|m| m == writer.manager)
        {
            return Some(format!("the manager {}", writer.manager));
        }
    }
    None
}
