//! What Argo CD does with Applications of kinds that the scenarios have none of.

use serde_json::{Value, json};
use trueup_core::{
    object::{hook::is_hook, identity::AppKey},
    policy::auto_sync,
};

use super::{Real, application, list};

fn map(name: &str, annotations: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "annotations": annotations}, "data": {"a": "1"}})
}

fn folder(name: &str, objects: &[Value]) -> Vec<(String, Vec<u8>)> {
    let text = |object: &Value| object.to_string().into_bytes();
    let named = objects.iter().enumerate();
    named
        .map(|(n, object)| (format!("{name}/{n}.json"), text(object)))
        .collect()
}

fn source(real: &Real, path: &str) -> Value {
    json!({"repoURL": real.lab.url(), "path": path, "targetRevision": "main"})
}

fn compared(application: &Value) -> bool {
    let status = &application["status"]["sync"]["status"];
    status == "Synced" || status == "OutOfSync"
}

/// Objects with every mark of a hook, in one folder: which of them are compared.
pub fn what_is_a_hook_for_argo_cd_is_one_here(real: &Real) -> Vec<String> {
    let (argo, helm) = ("argocd.argoproj.io/hook", "helm.sh/hook");
    let marked = [
        ("plain", json!({})),
        ("pre-sync", json!({argo: "PreSync"})),
        ("skip", json!({argo: "Skip"})),
        ("pre-install", json!({helm: "pre-install"})),
        ("test", json!({helm: "test"})),
        ("crd-install", json!({helm: "crd-install"})),
        ("both", json!({argo: "PostSync", helm: "crd-install"})),
        ("weight", json!({"helm.sh/hook-weight": "1"})),
    ];
    let objects = marked.map(|(name, annotations)| map(name, annotations));
    real.push(&folder("hooks", &objects));
    let made = application("hooks", source(real, "hooks"));
    real.ask(&["create"], &made).unwrap();
    real.until("a comparison of hooks", |seen| compared(&seen["hooks"]));
    let seen = real.applications();
    let listed = seen["hooks"]["status"]["resources"].as_array().unwrap();
    let wrong = objects.iter().filter_map(|object| {
        let name = &object["metadata"]["name"];
        // What is to be skipped is listed, and nothing is said of it.
        let found = listed.iter().find(|one| one["name"] == *name);
        let is = found.is_none_or(|one| one["status"].is_null());
        (is != is_hook(object)).then(|| format!("{name}: a hook {is}"))
    });
    wrong.collect()
}

/// One that waits to be tried again, ended as `argocd app terminate-op` ends it.
pub fn an_operation_that_is_terminated_is_terminating_and_ends_as_failed(
    real: &Real,
) -> Vec<String> {
    let mut nowhere = map("terminated", json!({}));
    nowhere["metadata"]["namespace"] = json!("nowhere-at-all");
    real.push(&folder("terminated", &[nowhere]));
    let mut made = application("terminated", source(real, "terminated"));
    made["operation"] = json!({
        "initiatedBy": {"username": "ann"}, "sync": {"syncStrategy": {"hook": {}}},
        "retry": {"limit": 5, "backoff": {"duration": "5m", "factor": 1, "maxDuration": "5m"}},
    });
    real.ask(&["create"], &made).unwrap();
    let state = |app: &Value| app["status"]["operationState"].clone();
    real.until("a sync that waits to be tried again", |seen| {
        let state = state(&seen["terminated"]);
        state["phase"] == "Running" && state["finishedAt"].is_string()
    });
    let end = json!({"status": {"operationState": {"phase": "Terminating"}}}).to_string();
    let patch = [
        "patch",
        "application",
        "terminated",
        "-n",
        "argocd",
        "--type=merge",
        "-o",
        "json",
        "-p",
        &end,
    ];
    let during = real.json(&patch, &Value::Null);
    real.until("the end of what was terminated", |seen| {
        state(&seen["terminated"])["phase"] != "Terminating"
    });
    let after = real.applications().remove("terminated").unwrap();
    let said = (&state(&after)["phase"], &state(&after)["message"]);
    let mut wrong = Vec::new();
    if during["operation"].is_null() {
        wrong.push("no operation while it is Terminating".to_owned());
    }
    if said.0 != "Failed" || !after["operation"].is_null() {
        wrong.push(format!("it ended as {said:?}: {}", after["operation"]));
    }
    wrong
}

pub fn in_cluster_is_the_cluster_that_argo_cd_runs_on(real: &Real) -> Vec<String> {
    real.push(&folder("by-name", &[map("by-name", json!({}))]));
    let mut made = application("by-name", source(real, "by-name"));
    made["spec"]["destination"] = json!({"name": "in-cluster", "namespace": "default"});
    made["operation"] = json!({"sync": {"syncStrategy": {"hook": {}}}});
    real.ask(&["create"], &made).unwrap();
    real.until("an Application with its cluster by name", |seen| {
        seen["by-name"]["status"]["sync"]["status"] == "Synced"
    });
    let there = real.ask(&["get", "configmap", "by-name"], &Value::Null);
    there.err().into_iter().collect()
}

pub fn an_application_of_another_namespace_marks_its_objects_with_it(real: &Real) -> Vec<String> {
    let team = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a"}});
    real.ask(&["create"], &team).unwrap();
    let project = json!({"spec": {"sourceNamespaces": ["team-*"]}}).to_string();
    let patch = [
        "patch",
        "appproject",
        "default",
        "-n",
        "argocd",
        "--type=merge",
        "-p",
        &project,
    ];
    real.ask(&patch, &Value::Null).unwrap();
    real.push(&folder("of-a-team", &[map("of-a-team", json!({}))]));
    let mut made = application("of-a-team", source(real, "of-a-team"));
    made["metadata"]["namespace"] = json!("team-a");
    made["operation"] = json!({"sync": {"syncStrategy": {"hook": {}}}});
    real.ask(&["create"], &made).unwrap();
    let get = ["get", "configmap", "of-a-team", "-o", "json"];
    let until = std::time::Instant::now() + super::DEADLINE;
    let live = loop {
        match real.ask(&get, &Value::Null) {
            Ok(text) => break serde_json::from_str::<Value>(&text).unwrap(),
            Err(why) => assert!(std::time::Instant::now() < until, "{why}"),
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    };
    let id = &live["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"];
    let instance = AppKey::new("team-a", "of-a-team").instance("argocd");
    let said = format!("{instance}:/ConfigMap:default/of-a-team");
    let wrong = (*id != json!(said)).then(|| format!("it is marked {id}, {said} is said"));
    wrong.into_iter().collect()
}

/// It calls itself automated, and proves nothing about the policy of the Application.
pub fn a_rolling_sync_is_started_in_the_name_of_its_controller(real: &Real) -> Vec<String> {
    real.push(&folder("rolled", &[map("rolled", json!({}))]));
    let made = application("rolled", source(real, "rolled"));
    let step = json!({"matchExpressions": [{"key": "step", "operator": "In", "values": ["one"]}]});
    let set = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet", "metadata": {"name": "rolled", "namespace": "argocd"},
        "spec": {
            "generators": [{"list": {"elements": [{}]}}],
            "strategy": {"type": "RollingSync", "rollingSync": {"steps": [step]}},
            "template": {"metadata": {"name": "rolled", "labels": {"step": "one"}}, "spec": made["spec"]},
        },
    });
    real.ask(&["create"], &set).unwrap();
    real.until("a sync of the set", |seen| {
        seen.get("rolled")
            .is_some_and(|app| app["status"]["sync"]["status"] == "Synced")
    });
    let app = real.applications().remove("rolled").unwrap();
    let by = &app["status"]["operationState"]["operation"]["initiatedBy"];
    let told = auto_sync(&app, None, &[]);
    real.ask(&["delete", "--wait=false"], &list(&[set]))
        .unwrap();
    let wrong = (by["automated"] != true || told.frozen_by.as_deref() != Some("rollingsync"))
        .then(|| format!("started by {by}; told {told:?}"));
    wrong.into_iter().collect()
}
