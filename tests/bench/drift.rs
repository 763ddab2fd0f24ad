//! Many differences at once: the comparison behind every look at the world.

use std::sync::Arc;

use divan::{Bencher, black_box};
use serde_json::{Value, json};
use trueup_core::drift::{AppInput, Desired, Input, report};

const APPLICATIONS: usize = 100;
const OBJECTS: usize = 20;
const FIELDS: usize = 10;

fn main() {
    divan::main();
}

fn config(namespace: &str, name: &str, version: usize) -> Value {
    let data: serde_json::Map<String, Value> = (0..FIELDS)
        .map(|n| (format!("KEY_{n}"), json!(format!("value-{n}-{version}"))))
        .collect();
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data})
}

/// An Application whose every field was changed by hand after the last sync.
fn application(n: usize) -> AppInput {
    let namespace = format!("ns-{n}");
    let names = (0..OBJECTS).map(|o| format!("config-{n}-{o}"));
    let git: Vec<Value> = names.map(|name| config(&namespace, &name, 1)).collect();
    let live = git.iter().map(|object| {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let mut live = config(&namespace, name, 2);
        let fields: serde_json::Map<String, Value> = (0..FIELDS).map(|n| (format!("f:KEY_{n}"), json!({}))).collect();
        live["metadata"]["uid"] = json!(name);
        live["metadata"]["annotations"] =
            json!({"argocd.argoproj.io/tracking-id": format!("app-{n}:/ConfigMap:{namespace}/{name}")});
        live["metadata"]["managedFields"] = json!([{"manager": "kubectl-edit", "operation": "Update", "apiVersion": "v1",
            "time": "2026-11-14T07:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": fields}}]);
        live
    });
    AppInput {
        application: json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": format!("app-{n}"), "namespace": "argocd", "uid": format!("u-{n}")},
            "spec": {"destination": {"namespace": namespace}, "source": {"repoURL": "file:///r.git", "path": "deploy"}},
            "status": {"sync": {"status": "OutOfSync"}, "health": {"status": "Healthy"}}}),
        live: live.map(|object| Arc::new(object.into())).collect(),
        base: Some(git.iter().cloned().map(Arc::new).collect()),
        desired: git
            .into_iter()
            .map(|object| Desired {
                object: object.into(),
                repo: "file:///r.git".into(),
                file: "deploy/all.yaml".into(),
                line: 1,
            })
            .collect(),
        ..AppInput::default()
    }
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn report_20_000_divergences(bencher: Bencher<'_, '_>) {
    let now = "2026-11-21T08:00:00Z".parse().expect("a literal time");
    let input = Input {
        applications: (0..APPLICATIONS).map(application).collect(),
        now,
    };
    bencher.bench_local(|| {
        let report = report(&input);
        assert_eq!(report.questions.len(), APPLICATIONS * OBJECTS * FIELDS);
        black_box(report)
    });
}
