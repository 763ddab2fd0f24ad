//! What facts are asked through: the Applications and ConfigMaps of `inc-441`, and Applications made for a fact, read, written, waited for.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use trueup_lab::cluster::{ApiError, Cluster, Gvk, PatchKind, Ref};

const PATIENCE: Duration = Duration::from_secs(60);
/// Where Applications that are made for a fact deploy to.
pub const MADE: &str = "facts";
pub const REFRESH: &str = "/metadata/annotations/argocd.argoproj.io~1refresh";

pub struct World {
    /// An administrator who writes as `trueup`.
    pub us: Cluster,
    /// The same one writing as `kubectl-edit`.
    pub edit: Cluster,
    /// The reader of the scenario.
    pub reader: Cluster,
    /// A connection without credentials.
    pub nobody: kube::Client,
}

pub fn app(name: &str) -> Ref {
    Ref::new(Gvk::application(), "argocd", name)
}

/// The ConfigMap that the Application `NAME-service` keeps.
pub fn config(namespace: &str) -> Ref {
    Ref::new(Gvk::new("", "v1", "ConfigMap"), namespace, "auth-config")
}

/// A ConfigMap of an Application that was made for a fact.
pub fn map(name: &str) -> Ref {
    Ref::new(Gvk::new("", "v1", "ConfigMap"), MADE, name)
}

/// A manifest of a ConfigMap, `data` as YAML in one line.
pub fn manifest(name: &str, data: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{{data}}}\n")
}

/// Code and reason of an answer.
pub fn answer(result: &Result<Value, ApiError>) -> String {
    match result {
        Ok(_) => "200".to_owned(),
        Err(ApiError::Status { code, reason, .. }) => format!("{code} {reason}"),
        Err(other) => other.to_string(),
    }
}

/// Manager, operation and subresource of everybody who owns something.
pub fn writers(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array();
    let mut writers: Vec<String> = entries
        .into_iter()
        .flatten()
        .map(|entry| {
            let text = |key: &str| entry[key].as_str().unwrap_or_default();
            format!("{} {}", text("manager"), text("operation"))
        })
        .collect();
    writers.sort();
    writers
}

/// What `manager` owns.
pub fn owned(object: &Value, manager: &str) -> Value {
    let entries = object["metadata"]["managedFields"].as_array();
    entries
        .into_iter()
        .flatten()
        .find(|entry| entry["manager"] == manager)
        .map_or(Value::Null, |entry| entry["fieldsV1"].clone())
}

/// Two objects without what a write moves by itself.
pub fn but_for_bookkeeping(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
        metadata.remove("managedFields");
        metadata.remove("generation");
    }
    object
}

pub fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value
        .as_object()
        .into_iter()
        .flat_map(|map| map.keys().map(String::as_str))
        .collect();
    keys.sort_unstable();
    keys
}

impl World {
    pub async fn connect(admin: &str, people: &str) -> anyhow::Result<World> {
        let us = Cluster::connect(admin, None, "trueup").await?;
        let mut bare: Value = serde_saphyr::from_str(people)?;
        for user in bare["users"].as_array_mut().into_iter().flatten() {
            user["user"] = json!({});
        }
        let nobody = Cluster::connect(&bare.to_string(), None, "nobody").await?;
        Ok(World {
            edit: us.speaking_as("kubectl-edit"),
            reader: Cluster::connect(people, Some("reader"), "reader").await?,
            nobody: nobody.client(),
            us,
        })
    }

    pub async fn get(&self, id: &Ref) -> anyhow::Result<Value> {
        let found = self.us.get(id).await?;
        found.with_context(|| format!("there is no {} {}", id.gvk.kind, id.name))
    }

    pub async fn merge(&self, id: &Ref, body: Value) -> anyhow::Result<Value> {
        Ok(self.us.patch(id, "", PatchKind::Merge, &body).await?)
    }

    pub async fn json(&self, id: &Ref, body: Value) -> Result<Value, ApiError> {
        self.us.patch(id, "", PatchKind::Json, &body).await
    }

    pub async fn until(
        &self,
        id: &Ref,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = self.get(id).await?;
            if holds(&seen) {
                return Ok(seen);
            }
            if Instant::now() > deadline {
                bail!("{} did not become {what}: {seen:#}", id.name);
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn refresh(&self, name: &str) -> anyhow::Result<Value> {
        let note = json!({"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}});
        self.merge(&app(name), note).await?;
        self.until(&app(name), "refreshed", |app| {
            app.pointer(REFRESH).is_none()
        })
        .await
    }

    pub async fn policy(&self, name: &str, automated: Value) -> anyhow::Result<Value> {
        let body = json!({"spec": {"syncPolicy": {"automated": automated}}});
        self.merge(&app(name), body).await
    }

    /// Asks for a sync as trueup does, and gives the Application at its end.
    pub async fn sync(&self, name: &str, sync: Value) -> anyhow::Result<Value> {
        let operation = json!({
            "initiatedBy": {"username": "jo"},
            "info": [{"name": "trueup-op", "value": "op-1"}],
            "sync": sync,
        });
        self.operate(name, &operation).await?;
        let done = self
            .until(&app(name), "at the end of its operation", |app| {
                app["operation"].is_null()
                    && app["status"]["operationState"]["finishedAt"].is_string()
            })
            .await?;
        Ok(done)
    }

    /// Writes the operation, the earlier state cleared, behind a guard.
    pub async fn operate(&self, name: &str, operation: &Value) -> anyhow::Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = self.get(&app(name)).await?;
            let mut ops = vec![
                json!({"op": "test", "path": "/metadata/resourceVersion", "value": seen["metadata"]["resourceVersion"]}),
            ];
            if !seen["status"]["operationState"].is_null() {
                ops.push(json!({"op": "remove", "path": "/status/operationState"}));
            }
            ops.push(json!({"op": "add", "path": "/operation", "value": operation}));
            match self.json(&app(name), json!(ops)).await {
                // The controller wrote in between: the guard did its work.
                Err(error) if error.code() == 422 && Instant::now() < deadline => {}
                other => return Ok(other?),
            }
        }
    }

    pub async fn revision(&self, name: &str) -> anyhow::Result<String> {
        let seen = self.refresh(name).await?;
        let revision = seen["status"]["sync"]["revision"].as_str();
        Ok(revision.context("it has no revision")?.to_owned())
    }

    /// Puts files below `facts/NAME` of the tracked branch, or takes away what has no text, and gives the commit.
    pub async fn push(&self, name: &str, files: &[(&str, Option<&str>)]) -> anyhow::Result<String> {
        let seen = self.get(&app("auth-service")).await?;
        let url = seen["spec"]["source"]["repoURL"].as_str();
        let url = url.context("it has a repository")?.to_owned();
        let folder = format!("facts/{name}");
        let files: Vec<(String, Option<String>)> = files
            .iter()
            .map(|(file, text)| (format!("{folder}/{file}"), text.map(str::to_owned)))
            .collect();
        tokio::task::spawn_blocking(move || push(&url, &files)).await?
    }

    /// Makes an Application of the files that were pushed under its name, and gives it once it was compared. `more` is merged into its spec.
    pub async fn make(&self, name: &str, more: Value) -> anyhow::Result<Value> {
        let seen = self.get(&app("auth-service")).await?;
        let source = &seen["spec"]["source"];
        let mut made = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": name, "namespace": "argocd"},
            "spec": {
                "project": "default",
                "source": {"repoURL": source["repoURL"], "path": format!("facts/{name}"), "targetRevision": source["targetRevision"]},
                "destination": {"server": "https://kubernetes.default.svc", "namespace": MADE},
            },
        });
        json_patch::merge(&mut made["spec"], &more);
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": MADE}});
        match self.us.create(&namespace).await {
            Err(error) if error.code() != 409 => return Err(error.into()),
            _ => {}
        }
        self.us.create(&made).await?;
        self.until(&app(name), "compared", |app| {
            app["status"]["sync"]["status"].is_string()
        })
        .await
    }

    /// A sync to the head, without prune, as trueup asks for it.
    pub async fn sync_to_head(&self, name: &str) -> anyhow::Result<Value> {
        let revision = self.revision(name).await?;
        self.sync(
            name,
            json!({"revision": revision, "syncStrategy": {"hook": {}}}),
        )
        .await
    }

    /// Asks Argo CD to compare until the Application is so.
    pub async fn compared(&self, name: &str, as_what: &str) -> anyhow::Result<Value> {
        // A refresh alone may still have compared what the controller had seen before: its copy of the cluster comes by watches.
        self.refresh(name).await?;
        self.until(&app(name), as_what, |app| {
            app["status"]["sync"]["status"] == as_what
        })
        .await
    }

    /// Changes a ConfigMap as `kubectl edit` does.
    pub async fn edit(&self, id: &Ref, data: Value) -> anyhow::Result<Value> {
        let body = json!({"data": data});
        Ok(self.edit.patch(id, "", PatchKind::Merge, &body).await?)
    }
}

fn push(url: &str, files: &[(String, Option<String>)]) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let git = |arguments: &[&str]| {
        let out = Command::new("git")
            .current_dir(folder.path())
            .args(["-c", "user.name=ann", "-c", "user.email=ann@example.org"])
            .args(arguments)
            .output()?;
        let said = String::from_utf8_lossy(&out.stderr);
        ensure!(out.status.success(), "git {arguments:?}: {said}");
        anyhow::Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    git(&["clone", "-q", url, "."])?;
    for (file, text) in files {
        let path = folder.path().join(file);
        match text {
            Some(text) => {
                std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
                std::fs::write(path, text)?;
            }
            None => std::fs::remove_file(path)?,
        }
    }
    git(&["add", "-A"])?;
    git(&["commit", "-qm", "a fact is looked at"])?;
    git(&["push", "-q", "origin", "HEAD"])?;
    git(&["rev-parse", "HEAD"])
}
