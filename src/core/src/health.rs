//! Health of live objects as Argo CD judges it (gitops-engine `pkg/health`, 3.5), and of an Application as the worst of
//! its objects. Kinds without a rule have no health and count as nothing.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// From best to worst: the worst of several counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Status {
    Healthy,
    Suspended,
    Progressing,
    Missing,
    Degraded,
    Unknown,
}

/// The health of one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    pub status: Status,
    /// Why, where it is not plainly healthy.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

fn is(status: Status, message: impl Into<String>) -> Health {
    Health {
        status,
        message: message.into(),
    }
}

fn healthy() -> Health {
    is(Status::Healthy, "")
}

/// Reads of a live object whose shape is not ours to trust: what is missing or of another type is absent.
struct Live<'a>(&'a Value);

impl<'a> Live<'a> {
    fn text(&self, pointer: &str) -> &'a str {
        self.0
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    fn number(&self, pointer: &str) -> Option<i64> {
        self.0.pointer(pointer).and_then(Value::as_i64)
    }

    fn count(&self, pointer: &str) -> i64 {
        self.number(pointer).unwrap_or(0)
    }

    fn flag(&self, pointer: &str) -> bool {
        self.0.pointer(pointer) == Some(&Value::Bool(true))
    }

    fn list(&self, pointer: &str) -> &'a [Value] {
        self.0
            .pointer(pointer)
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// (type, status, reason, message) of each condition.
    fn conditions(&self) -> impl Iterator<Item = (&'a str, &'a str, &'a str, &'a str)> {
        self.list("/status/conditions").iter().map(|c| {
            let text = |name: &str| c.get(name).and_then(Value::as_str).unwrap_or_default();
            (
                text("type"),
                text("status"),
                text("reason"),
                text("message"),
            )
        })
    }

    fn is_observed(&self) -> bool {
        self.count("/metadata/generation") <= self.count("/status/observedGeneration")
    }
}

fn deployment(live: &Live) -> Health {
    if live.flag("/spec/paused") {
        return is(Status::Suspended, "the rollout is paused");
    }
    if !live.is_observed() {
        return is(
            Status::Progressing,
            "the new spec has not been seen by its controller yet",
        );
    }
    let (updated, available) = (
        live.count("/status/updatedReplicas"),
        live.count("/status/availableReplicas"),
    );
    if live
        .conditions()
        .any(|(kind, _, reason, _)| kind == "Progressing" && reason == "ProgressDeadlineExceeded")
    {
        return is(
            Status::Degraded,
            "the rollout exceeded its progress deadline",
        );
    }
    if let Some(wanted) = live
        .number("/spec/replicas")
        .filter(|wanted| updated < *wanted)
    {
        return is(
            Status::Progressing,
            format!("{updated} of {wanted} replicas are updated"),
        );
    }
    let old = live.count("/status/replicas") - updated;
    if old > 0 {
        return is(
            Status::Progressing,
            format!("{old} old replicas are still there"),
        );
    }
    if available < updated {
        return is(
            Status::Progressing,
            format!("{available} of {updated} updated replicas are available"),
        );
    }
    healthy()
}

fn stateful_set(live: &Live) -> Health {
    if live.count("/status/observedGeneration") == 0 || !live.is_observed() {
        return is(
            Status::Progressing,
            "the new spec has not been seen by its controller yet",
        );
    }
    let (ready, updated) = (
        live.count("/status/readyReplicas"),
        live.count("/status/updatedReplicas"),
    );
    let wanted = live.number("/spec/replicas");
    if let Some(wanted) = wanted.filter(|wanted| ready < *wanted) {
        return is(
            Status::Progressing,
            format!("{ready} of {wanted} replicas are ready"),
        );
    }
    let rolling = live.0.pointer("/spec/updateStrategy/rollingUpdate");
    match live.text("/spec/updateStrategy/type") {
        "OnDelete" => healthy(),
        "RollingUpdate" if rolling.is_some_and(Value::is_object) => {
            let partition = live.number("/spec/updateStrategy/rollingUpdate/partition");
            match (wanted, partition) {
                (Some(wanted), Some(partition)) if updated < wanted - partition => is(
                    Status::Progressing,
                    format!("{updated} of {} replicas are updated", wanted - partition),
                ),
                _ => healthy(),
            }
        }
        _ if live.text("/status/updateRevision") != live.text("/status/currentRevision") => is(
            Status::Progressing,
            format!("{updated} replicas are updated"),
        ),
        _ => healthy(),
    }
}

fn daemon_set(live: &Live) -> Health {
    if !live.is_observed() {
        return is(
            Status::Progressing,
            "the new spec has not been seen by its controller yet",
        );
    }
    if live.text("/spec/updateStrategy/type") == "OnDelete" {
        return healthy();
    }
    let wanted = live.count("/status/desiredNumberScheduled");
    for (name, pointer) in [
        ("updated", "/status/updatedNumberScheduled"),
        ("available", "/status/numberAvailable"),
    ] {
        let have = live.count(pointer);
        if have < wanted {
            return is(
                Status::Progressing,
                format!("{have} of {wanted} pods are {name}"),
            );
        }
    }
    healthy()
}

fn replica_set(live: &Live) -> Health {
    if !live.is_observed() {
        return is(
            Status::Progressing,
            "the new spec has not been seen by its controller yet",
        );
    }
    if let Some((.., message)) = live
        .conditions()
        .find(|(kind, status, ..)| *kind == "ReplicaFailure" && *status == "True")
    {
        return is(Status::Degraded, message);
    }
    let available = live.count("/status/availableReplicas");
    match live
        .number("/spec/replicas")
        .filter(|wanted| available < *wanted)
    {
        Some(wanted) => is(
            Status::Progressing,
            format!("{available} of {wanted} replicas are available"),
        ),
        None => healthy(),
    }
}

fn pod(live: &Live) -> Health {
    let always = matches!(live.text("/spec/restartPolicy"), "Always" | "");
    let containers = live.list("/status/containerStatuses");
    if always {
        let stuck: Vec<String> = containers
            .iter()
            .filter_map(|c| {
                let reason = c.pointer("/state/waiting/reason")?.as_str()?;
                let bad = reason.starts_with("Err")
                    || reason.ends_with("Error")
                    || reason.ends_with("BackOff");
                let message = c.pointer("/state/waiting/message").and_then(Value::as_str);
                bad.then(|| {
                    format!(
                        "{reason}{}",
                        message.map(|m| format!(": {m}")).unwrap_or_default()
                    )
                })
            })
            .collect();
        if !stuck.is_empty() {
            return is(Status::Degraded, stuck.join(", "));
        }
    }
    match live.text("/status/phase") {
        "Pending" => is(Status::Progressing, live.text("/status/message")),
        "Succeeded" => healthy(),
        "Failed" => is(Status::Degraded, live.text("/status/message")),
        "Running" if !always => is(Status::Progressing, live.text("/status/message")),
        "Running" => {
            if live
                .conditions()
                .any(|(kind, status, ..)| kind == "Ready" && status == "True")
            {
                healthy()
            } else if containers.iter().any(|c| {
                c.pointer("/lastState/terminated")
                    .is_some_and(Value::is_object)
            }) {
                is(
                    Status::Degraded,
                    "not ready, and a container has been restarted",
                )
            } else {
                is(Status::Progressing, "not ready yet")
            }
        }
        _ => is(Status::Unknown, live.text("/status/message")),
    }
}

fn job(live: &Live) -> Health {
    let mut complete = false;
    for (kind, _, _, message) in live
        .conditions()
        .filter(|(_, status, ..)| *status == "True")
    {
        match kind {
            "Failed" => return is(Status::Degraded, message),
            "Suspended" => return is(Status::Suspended, message),
            "Complete" => complete = true,
            _ => {}
        }
    }
    match complete {
        true => healthy(),
        false => is(Status::Progressing, "not complete yet"),
    }
}

fn autoscaler(live: &Live) -> Health {
    for (kind, status, reason, message) in live.conditions() {
        let failed = matches!(
            reason,
            "FailedGetScale"
                | "FailedUpdateScale"
                | "FailedComputeMetricsReplicas"
                | "InvalidSelector"
        ) || (reason.starts_with("FailedGet") && reason.ends_with("Metric"));
        if failed {
            return is(Status::Degraded, message);
        }
        if matches!(kind, "AbleToScale" | "ScalingLimited") && status == "True" {
            return is(Status::Healthy, message);
        }
    }
    is(Status::Progressing, "waiting for the autoscaler")
}

fn balanced(live: &Live) -> Health {
    match live.list("/status/loadBalancer/ingress").is_empty() {
        true => is(Status::Progressing, "no load balancer address yet"),
        false => healthy(),
    }
}

fn claim(live: &Live) -> Health {
    match live.text("/status/phase") {
        "Bound" => healthy(),
        "Pending" => is(Status::Progressing, "not bound yet"),
        "Lost" => is(Status::Degraded, "its volume is lost"),
        _ => is(Status::Unknown, ""),
    }
}

/// The health of a live object; none where no rule is known.
pub fn of(object: &Value) -> Option<Health> {
    let live = Live(object);
    if !live.text("/metadata/deletionTimestamp").is_empty() {
        return Some(is(Status::Progressing, "pending deletion"));
    }
    let api = live.text("/apiVersion");
    let group = api.split_once('/').map_or("", |(group, _)| group);
    Some(match (group, live.text("/kind")) {
        ("apps", "Deployment") => deployment(&live),
        ("apps", "StatefulSet") => stateful_set(&live),
        ("apps", "DaemonSet") => daemon_set(&live),
        ("apps", "ReplicaSet") => replica_set(&live),
        ("", "Pod") => pod(&live),
        ("", "Service") if live.text("/spec/type") == "LoadBalancer" => balanced(&live),
        ("", "Service") => healthy(),
        ("", "PersistentVolumeClaim") => claim(&live),
        ("networking.k8s.io", "Ingress") => balanced(&live),
        ("batch", "Job") => job(&live),
        ("autoscaling", "HorizontalPodAutoscaler") => autoscaler(&live),
        ("apiregistration.k8s.io", "APIService") => {
            match live.conditions().find(|(kind, ..)| *kind == "Available") {
                Some((_, "True", _, _)) => healthy(),
                Some((.., message)) => is(Status::Progressing, message),
                None => is(Status::Progressing, "waiting to be processed"),
            }
        }
        _ => return None,
    })
}

/// The health of an Application: the worst of its live objects; hooks and objects marked
/// `argocd.argoproj.io/ignore-healthcheck` are left out. `declared` is how many objects it should have: missing ones
/// count only when nothing is there at all (Argo CD 3.4).
pub fn application<'a>(live: impl IntoIterator<Item = &'a Value>, declared: usize) -> Status {
    let mut any = false;
    let worst = live
        .into_iter()
        .inspect(|_| any = true)
        .filter(|object| {
            let annotation = |name: &str| object.get("metadata")?.get("annotations")?.get(name);
            annotation("argocd.argoproj.io/hook").is_none()
                && annotation("argocd.argoproj.io/ignore-healthcheck").and_then(Value::as_str)
                    != Some("true")
        })
        .filter_map(of)
        .map(|h| h.status)
        .max();
    match worst {
        Some(status) => status,
        None if !any && declared > 0 => Status::Missing,
        None => Status::Healthy,
    }
}

#[cfg(test)]
mod tests;
