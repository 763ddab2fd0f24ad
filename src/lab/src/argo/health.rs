//! Health of live objects, as `gitops-engine/pkg/health` of Argo CD judges the built-in kinds.

use serde_json::Value;

use crate::cluster::Gvk;

/// Best first: the health of an Application is the worst of its objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    Healthy,
    Suspended,
    Progressing,
    Missing,
    Degraded,
    Unknown,
}

impl Health {
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Healthy => "Healthy",
            Health::Suspended => "Suspended",
            Health::Progressing => "Progressing",
            Health::Missing => "Missing",
            Health::Degraded => "Degraded",
            Health::Unknown => "Unknown",
        }
    }
}

fn count(value: &Value, absent: i64) -> i64 {
    value.as_i64().unwrap_or(absent)
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|condition| condition["type"] == kind)
}

fn is_true(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|condition| condition["status"] == "True")
}

/// `None` for kinds without a check: they count as nothing.
pub fn of(object: &Value) -> Option<Health> {
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return Some(Health::Progressing);
    }
    let gvk = Gvk::of(object)?;
    let (spec, status) = (&object["spec"], &object["status"]);
    let replicas = count(&spec["replicas"], 1);
    let stale =
        count(&object["metadata"]["generation"], 0) > count(&status["observedGeneration"], 0);
    let good = |healthy: bool| {
        if healthy {
            Health::Healthy
        } else {
            Health::Progressing
        }
    };
    Some(match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("apps", "Deployment") => {
            let (updated, available) = (
                count(&status["updatedReplicas"], 0),
                count(&status["availableReplicas"], 0),
            );
            if spec["paused"] == true {
                Health::Suspended
            } else if stale {
                Health::Progressing
            } else if condition(object, "Progressing")
                .is_some_and(|found| found["reason"] == "ProgressDeadlineExceeded")
            {
                Health::Degraded
            } else {
                good(
                    updated >= replicas
                        && count(&status["replicas"], 0) <= updated
                        && available >= updated,
                )
            }
        }
        ("apps", "StatefulSet") => good(
            !stale
                && count(&status["observedGeneration"], 0) > 0
                && count(&status["readyReplicas"], 0) >= replicas,
        ),
        ("apps", "DaemonSet") => {
            let desired = count(&status["desiredNumberScheduled"], 0);
            let updated = count(&status["updatedNumberScheduled"], 0) >= desired
                && count(&status["numberAvailable"], 0) >= desired;
            good(!stale && (spec["updateStrategy"]["type"] == "OnDelete" || updated))
        }
        ("apps", "ReplicaSet") => {
            if is_true(object, "ReplicaFailure") {
                Health::Degraded
            } else {
                good(!stale && count(&status["availableReplicas"], 0) >= replicas)
            }
        }
        ("", "Pod") => pod(object),
        ("", "Service") => {
            let waits = spec["type"] == "LoadBalancer"
                && status["loadBalancer"]["ingress"]
                    .as_array()
                    .is_none_or(Vec::is_empty);
            good(!waits)
        }
        ("", "PersistentVolumeClaim") => match status["phase"].as_str() {
            Some("Bound") => Health::Healthy,
            Some("Lost") => Health::Degraded,
            Some("Pending") => Health::Progressing,
            _ => Health::Unknown,
        },
        ("batch", "Job") => {
            if is_true(object, "Failed") {
                Health::Degraded
            } else if is_true(object, "Suspended") {
                Health::Suspended
            } else {
                good(is_true(object, "Complete"))
            }
        }
        _ => return None,
    })
}

fn pod(object: &Value) -> Health {
    let status = &object["status"];
    let always = object["spec"]["restartPolicy"].as_str().unwrap_or("Always") == "Always";
    let containers = || status["containerStatuses"].as_array().into_iter().flatten();
    let stuck = containers().any(|container| {
        container["state"]["waiting"]["reason"]
            .as_str()
            .is_some_and(|reason| {
                reason.starts_with("Err")
                    || reason.ends_with("Error")
                    || reason.ends_with("BackOff")
            })
    });
    if always && stuck {
        return Health::Degraded;
    }
    match status["phase"].as_str() {
        Some("Succeeded") => Health::Healthy,
        Some("Failed") => Health::Degraded,
        Some("Running") if always && is_true(object, "Ready") => Health::Healthy,
        Some("Running")
            if always
                && containers()
                    .any(|container| !container["lastState"]["terminated"].is_null()) =>
        {
            Health::Degraded
        }
        Some("Running" | "Pending") => Health::Progressing,
        _ => Health::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_deployment_is_healthy_only_when_the_new_pods_are_available() {
        let table = [
            (
                json!({"replicas": 3}),
                json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}),
                Health::Healthy,
            ),
            (
                json!({"replicas": 3}),
                json!({"observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}),
                Health::Progressing,
            ),
            (
                json!({"replicas": 3}),
                json!({"observedGeneration": 2, "replicas": 4, "updatedReplicas": 3, "availableReplicas": 3}),
                Health::Progressing,
            ),
            (
                json!({"replicas": 3}),
                json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 2}),
                Health::Progressing,
            ),
            (
                json!({"replicas": 3, "paused": true}),
                json!({}),
                Health::Suspended,
            ),
        ];
        for (spec, status, want) in table {
            let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"generation": 2}, "spec": spec, "status": status});
            assert_eq!(of(&object), Some(want), "{object}");
        }
        assert_eq!(of(&json!({"apiVersion": "v1", "kind": "ConfigMap"})), None);
    }
}
