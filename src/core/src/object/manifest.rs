//! A live object as a manifest that a person would write: without what the server sets, fills in and allocates.

use serde_json::{Map, Value};

use super::defaults::{fill, is_allocated};
use super::normalise::{is_restart, strip};
use crate::policy::last_applied;

/// The manifest of a live object. What its last apply named stays as it was named, a default too; everything else that
/// the API server would fill in or allocate again is left out. Applied, it changes nothing but bookkeeping.
pub fn manifest(live: &Value) -> Value {
    let mut object = strip(live).object;
    let applied = last_applied(live);
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        for name in ["ownerReferences", "generateName"] {
            metadata.shift_remove(name);
        }
        if let Some(Value::Array(held)) = metadata.get_mut("finalizers") {
            held.retain(|name| {
                !name
                    .as_str()
                    .is_some_and(|n| n.starts_with("kubernetes.io/"))
            });
        }
        metadata.retain(|_, value| {
            value.as_array().is_none_or(|list| !list.is_empty())
                && value.as_object().is_none_or(|map| !map.is_empty())
        });
    }
    let kind = object
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let mut names = Vec::new();
    allocated(&mut object, applied.as_ref(), &kind, &mut names);
    let filled = fill(&object);
    for place in places(&object, applied.as_ref()) {
        let mut less = object.clone();
        if take(&mut less, &place) && fill(&less) == filled {
            object = less;
        }
    }
    ordered(object)
}

/// One step into an object.
#[derive(Clone, Debug)]
enum Step {
    Key(String),
    Index(usize),
}

/// The entries of every map that the last apply did not name, the deepest first.
fn places(object: &Value, applied: Option<&Value>) -> Vec<Vec<Step>> {
    fn walk(value: &Value, applied: Option<&Value>, at: &mut Vec<Step>, out: &mut Vec<Vec<Step>>) {
        match value {
            Value::Object(map) => {
                for (name, value) in map {
                    let named = applied.and_then(|a| a.get(name));
                    at.push(Step::Key(name.clone()));
                    walk(value, named, at, out);
                    if named.is_none() && at.len() > 1 {
                        out.push(at.clone());
                    }
                    at.pop();
                }
            }
            Value::Array(list) => {
                for (i, value) in list.iter().enumerate() {
                    at.push(Step::Index(i));
                    walk(value, applied.and_then(|a| a.get(i)), at, out);
                    at.pop();
                }
            }
            _ => {}
        }
    }
    let mut out = Vec::new();
    walk(object, applied, &mut Vec::new(), &mut out);
    out
}

fn take(object: &mut Value, place: &[Step]) -> bool {
    let Some((Step::Key(last), way)) = place.split_last() else {
        return false;
    };
    let mut at = object;
    for step in way {
        let next = match step {
            Step::Key(name) => at.get_mut(name),
            Step::Index(i) => at.get_mut(i),
        };
        let Some(next) = next else { return false };
        at = next;
    }
    at.as_object_mut()
        .is_some_and(|map| map.shift_remove(last.as_str()).is_some())
}

/// Takes out what the API server allocates when the object is made, and when the pods were last restarted.
fn allocated(value: &mut Value, applied: Option<&Value>, kind: &str, names: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let keys: Vec<String> = map.keys().cloned().collect();
            for key in keys {
                let named = applied.and_then(|a| a.get(&key));
                names.push(key.clone());
                let path: Vec<&str> = names.iter().map(String::as_str).collect();
                let again = is_allocated(kind, &path)
                    && path != ["spec", "storageClassName"]
                    && !map.get(&key).is_some_and(headless);
                if named.is_none() && (again || is_restart(&path)) {
                    map.shift_remove(&key);
                } else if let Some(value) = map.get_mut(&key) {
                    allocated(value, named, kind, names);
                    if named.is_none()
                        && is_restart_home(names)
                        && value.as_object().is_some_and(Map::is_empty)
                    {
                        map.shift_remove(&key);
                    }
                }
                names.pop();
            }
        }
        Value::Array(list) => {
            names.push("*".to_owned());
            for (i, value) in list.iter_mut().enumerate() {
                allocated(value, applied.and_then(|a| a.get(i)), kind, names);
            }
            names.pop();
        }
        _ => {}
    }
}

/// The annotations of a pod template, which a restart may have made.
fn is_restart_home(names: &[String]) -> bool {
    names == ["spec", "template", "metadata", "annotations"]
}

/// A Service without an address was made so on purpose.
fn headless(value: &Value) -> bool {
    value == "None"
        || value
            .as_array()
            .is_some_and(|list| list.first().is_some_and(|v| v == "None"))
}

/// In the order in which people write it.
fn ordered(object: Value) -> Value {
    let first = |value: Value, names: &[&str]| match value {
        Value::Object(mut map) => {
            let mut out = Map::new();
            for name in names {
                if let Some(value) = map.shift_remove(*name) {
                    out.insert((*name).to_owned(), value);
                }
            }
            out.extend(map);
            Value::Object(out)
        }
        other => other,
    };
    let mut object = first(object, &["apiVersion", "kind", "metadata", "type", "spec"]);
    if let Some(metadata) = object.get_mut("metadata") {
        let named = std::mem::take(metadata);
        *metadata = first(named, &["name", "namespace", "labels", "annotations"]);
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_live_object_becomes_what_a_person_would_write() {
        let live = json!({
            "kind": "Deployment", "apiVersion": "apps/v1",
            "metadata": {"uid": "1", "resourceVersion": "2", "generation": 3, "creationTimestamp": "t",
                "namespace": "n", "name": "a", "labels": {"app": "a"}, "managedFields": [],
                "annotations": {"deployment.kubernetes.io/revision": "2",
                    "argocd.argoproj.io/tracking-id": "x:apps/Deployment:n/a"}},
            "spec": {"progressDeadlineSeconds": 600, "replicas": 3, "revisionHistoryLimit": 10,
                "selector": {"matchLabels": {"app": "a"}},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
                "template": {"metadata": {"labels": {"app": "a"},
                        "annotations": {"kubectl.kubernetes.io/restartedAt": "2024-01-01T00:00:00Z"}},
                    "spec": {"containers": [{"name": "a", "image": "a:1", "imagePullPolicy": "IfNotPresent",
                            "resources": {}, "terminationMessagePath": "/dev/termination-log",
                            "terminationMessagePolicy": "File", "ports": [{"containerPort": 80, "protocol": "TCP"}]}],
                        "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
                        "securityContext": {}, "terminationGracePeriodSeconds": 30}}},
            "status": {"replicas": 3}});
        assert_eq!(
            manifest(&live).to_string(),
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "a", "namespace": "n", "labels": {"app": "a"}},
                "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "a"}},
                    "template": {"metadata": {"labels": {"app": "a"}},
                        "spec": {"containers": [{"name": "a", "image": "a:1", "ports": [{"containerPort": 80}]}]}}}
            })
            .to_string()
        );
    }

    #[test]
    fn what_the_last_apply_named_stays_and_a_headless_service_stays_headless() {
        let applied = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "n"},
            "spec": {"type": "ClusterIP", "ports": [{"port": 80, "protocol": "TCP"}]}});
        let service = |ip: &str, annotations: Value| {
            json!({"apiVersion": "v1", "kind": "Service",
                "metadata": {"name": "s", "namespace": "n", "annotations": annotations},
                "spec": {"type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip], "ipFamilies": ["IPv4"],
                    "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster", "sessionAffinity": "None",
                    "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]}})
        };
        let text = applied.to_string();
        let named = service(
            "10.0.0.1",
            json!({crate::object::redact::LAST_APPLIED: text}),
        );
        assert_eq!(manifest(&named), applied);
        let headless = manifest(&service("None", json!({})));
        assert_eq!(headless["spec"]["clusterIP"], "None", "{headless}");
        assert!(headless["spec"].get("ipFamilies").is_none(), "{headless}");
    }
}
