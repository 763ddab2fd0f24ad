//! What facts are asked through: the Applications and ConfigMaps of `inc-441`, read, written, waited for.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use trueup_lab::cluster::{ApiError, Cluster, Gvk, PatchKind, Ref};

const PATIENCE: Duration = Duration::from_secs(60);
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
}
