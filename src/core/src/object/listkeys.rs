//! Which lists are maps by key, which are sets, and which nodes are decided as a whole.
//!
//! Source: the structured-merge schema that the API server itself uses (client-go `applyconfigurations/internal`) and,
//! where a strategic merge patch uses another key, the `patchMergeKey` tags of the API types. Kinds that are not listed
//! here are custom resources: their lists are atomic unless the schema says otherwise, which we do not see.

use super::path::{Element, FieldPath};
use serde_json::Value;

/// How a node of an object is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    /// A map or struct whose fields are decided one by one; for a list, never the answer.
    Granular,
    /// A list of maps, identified by these fields in this order.
    Keyed(&'static [&'static str]),
    /// A list of distinct scalars.
    Set,
    /// One field, whatever is inside.
    Atomic,
}

/// Where the pod spec of a workload kind is.
fn pod_spec(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "Pod" => &["spec"],
        "Deployment"
        | "StatefulSet"
        | "DaemonSet"
        | "ReplicaSet"
        | "ReplicationController"
        | "Job" => &["spec", "template", "spec"],
        "CronJob" => &["spec", "jobTemplate", "spec", "template", "spec"],
        "PodTemplate" => &["template", "spec"],
        _ => return None,
    })
}

/// True for kinds whose type we know; the others are custom resources to us.
pub fn is_builtin(kind: &str) -> bool {
    pod_spec(kind).is_some()
        || matches!(
            kind,
            "ConfigMap"
                | "Secret"
                | "Service"
                | "ServiceAccount"
                | "Namespace"
                | "Node"
                | "PersistentVolume"
                | "PersistentVolumeClaim"
                | "StorageClass"
                | "Ingress"
                | "IngressClass"
                | "NetworkPolicy"
                | "HorizontalPodAutoscaler"
                | "PodDisruptionBudget"
                | "Role"
                | "ClusterRole"
                | "RoleBinding"
                | "ClusterRoleBinding"
                | "MutatingWebhookConfiguration"
                | "ValidatingWebhookConfiguration"
                | "ResourceQuota"
                | "LimitRange"
                | "PriorityClass"
                | "EndpointSlice"
                | "Endpoints"
                | "Lease"
                | "Event"
        )
}

/// The path below the pod spec, when `names` is in one.
pub(crate) fn in_pod_spec<'p>(kind: &str, names: &'p [&'p str]) -> Option<&'p [&'p str]> {
    names.strip_prefix(pod_spec(kind)?)
}

fn pod(rest: &[&str]) -> Merge {
    match rest {
        ["containers" | "initContainers" | "ephemeralContainers"] => Merge::Keyed(&["name"]),
        ["volumes" | "imagePullSecrets" | "resourceClaims" | "schedulingGates"] => {
            Merge::Keyed(&["name"])
        }
        ["hostAliases"] => Merge::Keyed(&["ip"]),
        ["topologySpreadConstraints"] => Merge::Keyed(&["topologyKey", "whenUnsatisfiable"]),
        ["nodeSelector"]
        | ["topologySpreadConstraints", "*", "labelSelector"]
        | [
            "affinity",
            "nodeAffinity",
            "requiredDuringSchedulingIgnoredDuringExecution",
        ] => Merge::Atomic,
        ["resources", "claims"] => Merge::Keyed(&["name"]),
        ["volumes", "*", rest @ ..] => volume(rest),
        [
            "containers" | "initContainers" | "ephemeralContainers",
            "*",
            rest @ ..,
        ] => match rest {
            ["env"] | ["resources", "claims"] => Merge::Keyed(&["name"]),
            ["ports"] => Merge::Keyed(&["containerPort", "protocol"]),
            ["volumeMounts"] => Merge::Keyed(&["mountPath"]),
            ["volumeDevices"] => Merge::Keyed(&["devicePath"]),
            [
                "env",
                "*",
                "valueFrom",
                "fieldRef" | "secretKeyRef" | "configMapKeyRef" | "resourceFieldRef" | "fileKeyRef",
            ] => Merge::Atomic,
            _ => Merge::Granular,
        },
        _ => Merge::Granular,
    }
}

fn volume(rest: &[&str]) -> Merge {
    match rest {
        [_, "secretRef" | "nodePublishSecretRef"]
        | [
            "ephemeral",
            "volumeClaimTemplate",
            "spec",
            "dataSource" | "selector",
        ] => Merge::Atomic,
        _ => Merge::Granular,
    }
}

/// How the node at `path` of an object of this kind is merged. For a list, `Granular` means nothing is known: atomic.
pub fn merge_at(kind: &str, path: &FieldPath) -> Merge {
    let names = path.schema_names();
    let names = names.as_slice();
    match names {
        ["metadata", "finalizers"] => return Merge::Set,
        ["metadata", "ownerReferences"] => return Merge::Keyed(&["uid"]),
        ["status", "conditions"] if kind != "Job" => return Merge::Keyed(&["type"]),
        _ => {}
    }
    if let Some(rest) = in_pod_spec(kind, names) {
        return pod(rest);
    }
    match (kind, names) {
        ("Service", ["spec", "ports"]) => Merge::Keyed(&["port", "protocol"]),
        ("Service" | "ReplicationController", ["spec", "selector"]) => Merge::Atomic,
        ("ServiceAccount", ["secrets"]) => Merge::Keyed(&["name"]),
        (
            "Deployment"
            | "StatefulSet"
            | "DaemonSet"
            | "ReplicaSet"
            | "Job"
            | "PodDisruptionBudget"
            | "PersistentVolumeClaim",
            ["spec", "selector"],
        ) => Merge::Atomic,
        ("RoleBinding" | "ClusterRoleBinding", ["roleRef"]) => Merge::Atomic,
        ("CronJob", ["spec", "jobTemplate", "spec", "selector"])
        | ("NetworkPolicy", ["spec", "podSelector"])
        | ("PersistentVolumeClaim", ["spec", "dataSource"])
        | ("ResourceQuota", ["spec", "scopeSelector"])
        | ("Event", ["involvedObject" | "regarding" | "related"])
        | ("Ingress", ["spec", "defaultBackend", "service", "port"])
        | ("PersistentVolume", ["spec", "claimRef"] | ["spec", "nodeAffinity", "required"])
        | (
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration",
            ["webhooks", "*", "namespaceSelector" | "objectSelector"],
        ) => Merge::Atomic,
        ("Ingress", ["spec", "defaultBackend", "resource"]) => Merge::Atomic,
        ("PersistentVolume", ["spec", _, name])
            if name.ends_with("SecretRef") || *name == "secretRef" =>
        {
            Merge::Atomic
        }
        ("MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration", ["webhooks"])
        | (
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration",
            ["webhooks", "*", "matchConditions"],
        ) => Merge::Keyed(&["name"]),
        ("Node", ["spec", "podCIDRs"]) => Merge::Set,
        ("Node", ["status", "addresses"]) => Merge::Keyed(&["type"]),
        _ => Merge::Granular,
    }
}

/// The key fields that a strategic merge patch uses for this list; none when it replaces the list. These are not
/// always the keys of [`merge_at`]: ports go by number alone (kubernetes#39188).
pub fn patch_keys(kind: &str, path: &FieldPath) -> Option<&'static str> {
    match merge_at(kind, path) {
        Merge::Keyed(keys) => Some(keys[0]),
        _ => None,
    }
}

/// True where a strategic merge patch keeps only the keys it names (`patchStrategy: retainKeys`).
pub fn retains_keys(kind: &str, path: &FieldPath) -> bool {
    let names = path.schema_names();
    match (kind, names.as_slice()) {
        ("Deployment", ["spec", "strategy"]) => true,
        (_, names) => matches!(in_pod_spec(kind, names), Some(["volumes", "*"])),
    }
}

/// True where the order of a keyed list matters at run time: `$(VAR)` in env, the sequence of init containers.
pub fn order_matters(kind: &str, path: &FieldPath) -> bool {
    let names = path.schema_names();
    matches!(
        in_pod_spec(kind, &names),
        Some(["initContainers"] | ["containers" | "initContainers", "*", "env"])
    )
}

/// The element that names one item of a keyed list or set; none when the item lacks a key.
pub fn element_of(merge: Merge, item: &Value) -> Option<Element> {
    match merge {
        Merge::Set => match item {
            Value::Array(_) | Value::Object(_) | Value::Null => None,
            scalar => Some(Element::SetValue(scalar.clone())),
        },
        Merge::Keyed(keys) => {
            let map = item.as_object()?;
            keys.iter()
                .map(|&key| match map.get(key) {
                    Some(Value::Array(_) | Value::Object(_) | Value::Null) => None,
                    Some(scalar) => Some((key.to_owned(), scalar.clone())),
                    None if key == "protocol" => Some((key.to_owned(), Value::from("TCP"))),
                    None => None,
                })
                .collect::<Option<Vec<_>>>()
                .map(Element::Item)
        }
        Merge::Granular | Merge::Atomic => None,
    }
}

/// The field path of a JSON Pointer (RFC 6901) into `object`: positions become keys where the list has them.
/// None when the pointer is malformed or leads nowhere.
pub fn from_pointer(kind: &str, object: &Value, pointer: &str) -> Option<FieldPath> {
    let mut path = FieldPath::root();
    let mut node = Some(object);
    if pointer.is_empty() {
        return Some(path);
    }
    for token in pointer.strip_prefix('/')?.split('/') {
        let name = token.replace("~1", "/").replace("~0", "~");
        let here = node?;
        let element = match here {
            Value::Array(list) => {
                let at: usize = name.parse().ok()?;
                node = list.get(at);
                element_of(merge_at(kind, &path), node?).unwrap_or(Element::Index(at))
            }
            Value::Object(map) => {
                node = map.get(&name);
                Element::Key(name)
            }
            _ => return None,
        };
        path = path.child(element);
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pointers_become_keyed_paths_and_back() {
        let object = json!({"spec": {"template": {"spec": {"containers": [
            {"name": "side", "args": ["a"]}, {"name": "app", "ports": [{"containerPort": 80}]}]}}}});
        for (pointer, text) in [
            (
                "/spec/template/spec/containers/1/ports/0",
                r#".spec.template.spec.containers[name="app"].ports[containerPort=80,protocol="TCP"]"#,
            ),
            (
                "/spec/template/spec/containers/0/args/0",
                r#".spec.template.spec.containers[name="side"].args[0]"#,
            ),
            ("", "."),
        ] {
            let path = from_pointer("Deployment", &object, pointer).unwrap();
            assert_eq!(path.to_string(), text);
            assert_eq!(path.to_pointer(&object).as_deref(), Some(pointer));
        }
        assert_eq!(from_pointer("Deployment", &object, "spec"), None);
    }
}
