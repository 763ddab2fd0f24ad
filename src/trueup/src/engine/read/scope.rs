//! What the operator sees beside the comparison: owners and pods.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use trueup_core::object::identity::AppKey;
use trueup_core::object::live::Live;

/// A pod of an Application's workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSeen {
    pub namespace: String,
    pub name: String,
    pub ready: bool,
    pub started_at: Option<Timestamp>,
    /// Why it is not ready, as the pod says: phase, or the reason a container waits for.
    pub why: String,
}

/// Who makes the Application what it is: the ApplicationSet, or the Application that has it as an object.
pub(super) fn owner(application: &Value, key: &AppKey, control_namespace: &str) -> Option<String> {
    for owner in application
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let text = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or_default();
        if text("kind") == "ApplicationSet" && text("apiVersion").starts_with("argoproj.io/") {
            return Some(format!("ApplicationSet/{}", text("name")));
        }
    }
    let mark = application
        .pointer("/metadata/annotations/argocd.argoproj.io~1tracking-id")
        .and_then(Value::as_str)?;
    let (instance, rest) = mark.split_once(':')?;
    let own = key.instance(control_namespace);
    let about_this = rest == format!("argoproj.io/Application:{}/{}", key.namespace, key.name);
    (about_this && instance != own).then(|| format!("Application/{instance}"))
}

/// The pods that the selectors of the live workloads pick.
pub(super) fn pods_of<'a>(
    live: &[Arc<Live>],
    pods: impl Iterator<Item = &'a Value>,
) -> Vec<PodSeen> {
    let selectors: Vec<(&str, BTreeMap<&str, &str>)> = live
        .iter()
        .filter(|object| {
            matches!(
                object.kind(),
                "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet"
            )
        })
        .filter_map(|object| {
            let labels = object.pointer("/spec/selector/matchLabels")?.as_object()?;
            let labels = labels
                .iter()
                .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
                .collect();
            Some((object.pointer("/metadata/namespace")?.as_str()?, labels))
        })
        .filter(|(_, labels): &(&str, BTreeMap<&str, &str>)| !labels.is_empty())
        .collect();
    let mut seen = Vec::new();
    for pod in pods {
        let text = |pointer: &str| {
            pod.pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let label = |key: &str| {
            pod.pointer("/metadata/labels")
                .and_then(|labels| labels.get(key))
                .and_then(Value::as_str)
        };
        let namespace = text("/metadata/namespace");
        let picked = selectors.iter().any(|(place, labels)| {
            *place == namespace && labels.iter().all(|(key, value)| label(key) == Some(value))
        });
        if picked {
            seen.push(pod_seen(pod, namespace));
        }
    }
    seen
}

fn pod_seen(pod: &Value, namespace: &str) -> PodSeen {
    let text = |pointer: &str| {
        pod.pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let ready = conditions.into_iter().flatten().any(|condition| {
        condition.get("type").and_then(Value::as_str) == Some("Ready")
            && condition.get("status").and_then(Value::as_str) == Some("True")
    });
    let containers = pod
        .pointer("/status/containerStatuses")
        .and_then(Value::as_array);
    let waiting = containers.into_iter().flatten().find_map(|status| {
        status
            .pointer("/state/waiting/reason")
            .and_then(Value::as_str)
    });
    let why = if ready {
        ""
    } else {
        waiting.unwrap_or_else(|| text("/status/phase"))
    };
    PodSeen {
        namespace: namespace.to_owned(),
        name: text("/metadata/name").to_owned(),
        ready,
        started_at: text("/status/startTime").parse().ok(),
        why: why.to_owned(),
    }
}
