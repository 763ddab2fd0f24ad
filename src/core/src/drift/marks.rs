//! What an object or its Application says about a field besides its value: protected, delicate, autoscaled, ignored.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::compare::Pair;
use crate::ignore;
use crate::object::live::Live;
use crate::object::path::FieldPath;

/// The workloads (kind, namespace, name) that a HorizontalPodAutoscaler among the live objects scales.
pub(super) fn autoscaled(live: &[Arc<Live>]) -> BTreeSet<(String, String, String)> {
    live.iter()
        .filter(|o| o.kind() == "HorizontalPodAutoscaler")
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
pub(super) fn ignored(application: &Value, pair: &Pair<'_>, path: &FieldPath) -> Option<String> {
    let sides = [pair.live(), pair.git()];
    if let Some(pointer) = ignore::covering(application, &pair.object, sides, path) {
        return Some(pointer);
    }
    let writer = pair.managed().writer(path)?;
    let named = ignore::rules(application, &pair.object)
        .filter_map(|rule| rule.get("managedFieldsManagers")?.as_array())
        .flatten()
        .any(|manager| manager.as_str() == Some(writer.manager.as_str()));
    named.then(|| format!("the manager {}", writer.manager))
}
