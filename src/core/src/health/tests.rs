//! Objects as a cluster shows them, and what Argo CD makes of them.

use super::*;
use serde_json::json;

fn status(api: &str, kind: &str, rest: Value) -> Option<Status> {
    let mut object = rest;
    object["apiVersion"] = json!(api);
    object["kind"] = json!(kind);
    of(&object).map(|h| h.status)
}

#[test]
fn a_deployment_is_judged_by_its_rollout() {
    let d = |generation: i64, status: Value| json!({"metadata": {"generation": generation}, "spec": {"replicas": 3}, "status": status});
    let full = json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3});
    let mut stuck = full.clone();
    stuck["conditions"] = json!([{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]);
    for (object, want) in [
        (d(2, full.clone()), Status::Healthy),
        (d(3, full.clone()), Status::Progressing),
        (d(2, stuck), Status::Degraded),
        (
            d(
                2,
                json!({"observedGeneration": 2, "replicas": 4, "updatedReplicas": 3, "availableReplicas": 3}),
            ),
            Status::Progressing,
        ),
        (
            d(
                2,
                json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 2}),
            ),
            Status::Progressing,
        ),
        (json!({"spec": {"paused": true}}), Status::Suspended),
        (
            json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
            Status::Progressing,
        ),
    ] {
        assert_eq!(
            status("apps/v1", "Deployment", object.clone()),
            Some(want),
            "{object}"
        );
    }
}

#[test]
fn the_other_kinds_follow_the_table() {
    let waiting = |reason: &str| json!({"status": {"phase": "Running", "containerStatuses": [{"state": {"waiting": {"reason": reason}}}]}});
    let condition =
        |kind: &str| json!({"status": {"conditions": [{"type": kind, "status": "True"}]}});
    for (api, kind, object, want) in [
        (
            "v1",
            "Pod",
            waiting("CrashLoopBackOff"),
            Some(Status::Degraded),
        ),
        (
            "v1",
            "Pod",
            waiting("ContainerCreating"),
            Some(Status::Progressing),
        ),
        (
            "v1",
            "Pod",
            json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}),
            Some(Status::Healthy),
        ),
        (
            "v1",
            "Service",
            json!({"spec": {"type": "LoadBalancer"}}),
            Some(Status::Progressing),
        ),
        ("v1", "Service", json!({}), Some(Status::Healthy)),
        (
            "v1",
            "PersistentVolumeClaim",
            json!({"status": {"phase": "Lost"}}),
            Some(Status::Degraded),
        ),
        (
            "batch/v1",
            "Job",
            condition("Failed"),
            Some(Status::Degraded),
        ),
        (
            "batch/v1",
            "Job",
            condition("Complete"),
            Some(Status::Healthy),
        ),
        ("batch/v1", "Job", json!({}), Some(Status::Progressing)),
        (
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            condition("AbleToScale"),
            Some(Status::Healthy),
        ),
        ("serving.knative.dev/v1", "Service", json!({}), None),
        ("v1", "ConfigMap", json!({}), None),
        (
            "apps/v1",
            "StatefulSet",
            json!({"spec": {"replicas": 1}}),
            Some(Status::Progressing),
        ),
        (
            "apps/v1",
            "DaemonSet",
            json!({"status": {"desiredNumberScheduled": 2}}),
            Some(Status::Progressing),
        ),
    ] {
        assert_eq!(status(api, kind, object.clone()), want, "{kind} {object}");
    }
}

#[test]
fn an_application_is_as_well_as_its_worst_object() {
    let service = json!({"apiVersion": "v1", "kind": "Service"});
    let job = json!({"apiVersion": "batch/v1", "kind": "Job"});
    let hook = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"annotations": {"argocd.argoproj.io/hook": "PreSync"}}});
    assert_eq!(application([&service, &job], 2), Status::Progressing);
    assert_eq!(application([&service, &hook], 2), Status::Healthy);
    assert_eq!(application([], 2), Status::Missing);
    assert_eq!(application([], 0), Status::Healthy);
}
