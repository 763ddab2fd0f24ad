//! A lab in this process, and what tests do to it: look, push, sync, ask the metrics.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use trueup_lab::cluster::{Cluster, Gvk, PatchKind, Ref};
use trueup_lab::remote;
use trueup_lab::serve::{Lab, ServeOptions};

/// Nothing in a test takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

pub async fn lab() -> Lab {
    let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let options = ServeOptions {
        settings: vec![
            set("scrape", "200ms"),
            set("lag", "300ms"),
            set("window", "2s"),
            set("poll", "200ms"),
        ],
        ..Default::default()
    };
    Lab::start(&options).await.expect("the lab starts")
}

pub fn application(name: &str) -> Ref {
    Ref::new(Gvk::application(), "argocd", name)
}

pub fn config(namespace: &str) -> Ref {
    Ref::new(Gvk::new("", "v1", "ConfigMap"), namespace, "auth-config")
}

pub async fn get(cluster: &Cluster, id: &Ref) -> Value {
    cluster
        .get(id)
        .await
        .expect("the object can be read")
        .unwrap_or_default()
}

/// Looks until `holds`, and gives the object it held for.
pub async fn until(
    cluster: &Cluster,
    id: &Ref,
    what: &str,
    holds: impl Fn(&Value) -> bool,
) -> Value {
    let mut last = Value::Null;
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            last = get(cluster, id).await;
            if holds(&last) {
                return last.clone();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    found.unwrap_or_else(|_| panic!("{what} did not come: {last:#}"))
}

pub async fn refresh(cluster: &Cluster, name: &str) -> Value {
    let patch = json!({"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}});
    cluster
        .patch(&application(name), "", PatchKind::Merge, &patch)
        .await
        .expect("the refresh can be requested");
    until(cluster, &application(name), "the refresh", |found| {
        found["metadata"]["annotations"]["argocd.argoproj.io/refresh"].is_null()
    })
    .await
}

/// A sync as a client of the Kubernetes API requests it: guarded, the earlier state cleared, the commit pinned.
pub async fn sync(cluster: &Cluster, name: &str, revision: &str, extra: &Value) -> Value {
    let id = application(name);
    let mut operation = json!({
        "initiatedBy": {"username": "tester"},
        "info": [{"name": "op", "value": format!("{name}@{revision}")}],
        "sync": {"revision": revision, "prune": false, "syncStrategy": {"hook": {}}},
    });
    for (key, value) in extra.as_object().into_iter().flatten() {
        operation["sync"][key] = value.clone();
    }
    loop {
        let now = get(cluster, &id).await;
        let mut patch = vec![
            json!({"op": "test", "path": "/metadata/resourceVersion", "value": now["metadata"]["resourceVersion"]}),
        ];
        if !now["status"]["operationState"].is_null() {
            patch.push(json!({"op": "remove", "path": "/status/operationState"}));
        }
        patch.push(json!({"op": "add", "path": "/operation", "value": operation}));
        match cluster.patch(&id, "", PatchKind::Json, &json!(patch)).await {
            Ok(_) => break,
            // The controller was faster with its status: the guard did its work.
            Err(error) if error.code() == 422 => {}
            Err(error) => panic!("the operation of {name} cannot be written: {error}"),
        }
    }
    until(cluster, &id, "the end of the operation", |found| {
        found["operation"].is_null() && found["status"]["operationState"]["finishedAt"].is_string()
    })
    .await;
    // A comparison of the same second may be older than the end of the operation: only a new one tells.
    refresh(cluster, name).await
}

/// Replaces text in files of the branch, commits and pushes; gives the new commit.
pub async fn push(lab: &Lab, changes: &[(&str, &str, &str)]) -> String {
    let url = lab.document["repositories"][0]["url"].as_str().unwrap();
    let work: PathBuf = lab.dir().join("clone");
    if !work.exists() {
        remote::git(lab.dir(), &["clone", "--quiet", url, "clone"], &[], b"")
            .await
            .unwrap();
    }
    for (path, from, to) in changes {
        std::fs::create_dir_all(work.join(path).parent().unwrap()).unwrap();
        let file = work.join(path);
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(text.contains(from), "{path} has {from}");
        std::fs::write(
            &file,
            if from.is_empty() {
                (*to).to_owned()
            } else {
                text.replace(from, to)
            },
        )
        .unwrap();
    }
    let who = [
        ("GIT_AUTHOR_NAME", "t"),
        ("GIT_AUTHOR_EMAIL", "t@example.com"),
        ("GIT_COMMITTER_NAME", "t"),
        ("GIT_COMMITTER_EMAIL", "t@example.com"),
    ];
    remote::git(&work, &["add", "-A"], &[], b"").await.unwrap();
    remote::git(&work, &["commit", "--quiet", "-m", "change"], &who, b"")
        .await
        .unwrap();
    remote::git(&work, &["push", "--quiet", "origin", "HEAD:main"], &[], b"")
        .await
        .unwrap();
    let id = remote::git(&work, &["rev-parse", "HEAD"], &[], b"")
        .await
        .unwrap();
    String::from_utf8(id).unwrap().trim().to_owned()
}
