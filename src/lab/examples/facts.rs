//! `cargo run -p trueup-lab --example facts -- ADMIN_KUBECONFIG`: what a control plane that holds `inc-441` answers to what trueup relies on, one fact
//! a line. The lab and a real one (`tests/cluster/up`) must print the same; `diff` shows where the lab is wrong.
//!
//! It changes the world: afterwards only throwing it away is left.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use trueup_lab::cluster::{ApiError, Cluster, Gvk, PatchKind, Ref};

const PATIENCE: Duration = Duration::from_secs(60);
const REFRESH: &str = "/metadata/annotations/argocd.argoproj.io~1refresh";
const LAST_APPLIED: &str =
    "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let path = std::env::args()
        .nth(1)
        .context("the kubeconfig of an administrator is needed")?;
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let us = Cluster::connect(&text, None, "trueup").await?;
    let facts = Facts {
        edit: us.speaking_as("kubectl-edit"),
        us,
    };
    facts.guards().await?;
    facts.policies().await?;
    facts.operation().await?;
    facts.self_heal().await
}

fn say(fact: &str, value: impl std::fmt::Display) {
    println!("{fact}: {value}");
}

fn answer(result: Result<Value, ApiError>) -> String {
    match result {
        Ok(_) => "200".to_owned(),
        Err(ApiError::Status {
            code,
            reason,
            message,
        }) => {
            format!("{code} {reason}: {message}")
        }
        Err(other) => other.to_string(),
    }
}

fn app(name: &str) -> Ref {
    Ref::new(Gvk::application(), "argocd", name)
}

fn config(namespace: &str) -> Ref {
    Ref::new(Gvk::new("", "v1", "ConfigMap"), namespace, "auth-config")
}

/// Paths at which two objects differ, without the values.
fn differing(a: &Value, b: &Value) -> BTreeSet<String> {
    fn walk(a: &Value, b: &Value, at: &str, out: &mut BTreeSet<String>) {
        if a == b {
            return;
        }
        match (a, b) {
            (Value::Object(x), Value::Object(y)) => {
                for key in x.keys().chain(y.keys()).collect::<BTreeSet<_>>() {
                    let none = Value::Null;
                    walk(
                        x.get(key).unwrap_or(&none),
                        y.get(key).unwrap_or(&none),
                        &format!("{at}/{key}"),
                        out,
                    );
                }
            }
            (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
                for (i, (x, y)) in x.iter().zip(y).enumerate() {
                    walk(x, y, &format!("{at}/{i}"), out);
                }
            }
            _ => {
                out.insert(at.to_owned());
            }
        }
    }
    let mut out = BTreeSet::new();
    walk(a, b, "", &mut out);
    out
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value
        .as_object()
        .into_iter()
        .flat_map(|map| map.keys().map(String::as_str))
        .collect();
    keys.sort_unstable();
    keys
}

fn writers(object: &Value) -> Vec<String> {
    let mut writers: Vec<String> = object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| format!("{}/{}", entry["manager"], entry["operation"]).replace('"', ""))
        .collect();
    writers.sort();
    writers
}

/// What `manager` owns.
fn owned(object: &Value, manager: &str) -> Value {
    object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|entry| entry["manager"] == manager)
        .map_or(Value::Null, |entry| entry["fieldsV1"].clone())
}

struct Facts {
    us: Cluster,
    edit: Cluster,
}

impl Facts {
    async fn get(&self, id: &Ref) -> anyhow::Result<Value> {
        self.us
            .get(id)
            .await?
            .with_context(|| format!("there is no {} {}", id.gvk.kind, id.name))
    }

    async fn merge(&self, id: &Ref, body: Value) -> anyhow::Result<Value> {
        Ok(self.us.patch(id, "", PatchKind::Merge, &body).await?)
    }

    async fn until(
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
                bail!(
                    "{} did not become {what}: {}",
                    id.name,
                    serde_json::to_string_pretty(&seen)?
                );
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn refresh(&self, id: &Ref) -> anyhow::Result<Value> {
        let asked = self
            .merge(
                id,
                json!({"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}}),
            )
            .await?;
        if asked.pointer(REFRESH).is_none() {
            bail!("the annotation was not stored");
        }
        self.until(id, "refreshed", |app| app.pointer(REFRESH).is_none())
            .await
    }

    /// What a guarded write answers when the guard does not hold.
    async fn guards(&self) -> anyhow::Result<()> {
        for (name, id) in [
            ("Application", app("auth-service")),
            ("ConfigMap", config("auth")),
        ] {
            let failing = json!([{"op": "test", "path": "/metadata/resourceVersion", "value": "1"},
                {"op": "add", "path": "/metadata/labels", "value": {"x": "y"}}]);
            say(
                &format!("JSON patch, failed test, {name}"),
                answer(self.us.patch(&id, "", PatchKind::Json, &failing).await),
            );
            let missing = json!([{"op": "remove", "path": "/metadata/annotations/not-there"}]);
            say(
                &format!("JSON patch, nothing to remove, {name}"),
                answer(self.us.patch(&id, "", PatchKind::Json, &missing).await),
            );
            let old = json!({"metadata": {"resourceVersion": "1", "labels": {"x": "y"}}});
            let said = answer(self.us.patch(&id, "", PatchKind::Merge, &old).await);
            say(
                &format!("merge patch, old resourceVersion, {name}"),
                said.split(':').next().unwrap_or_default(),
            );
        }
        let null = json!([{"op": "add", "path": "/operation", "value": null}]);
        say(
            "JSON patch, operation null",
            answer(
                self.us
                    .patch(&app("auth-service"), "", PatchKind::Json, &null)
                    .await,
            )
            .split(':')
            .next()
            .unwrap_or_default(),
        );
        Ok(())
    }

    async fn policies(&self) -> anyhow::Result<()> {
        let id = app("like-service");
        let set = self.merge(&id, json!({"spec": {"syncPolicy": {"automated": {"enabled": false, "prune": true, "selfHeal": true}}}})).await?;
        say(
            "our entry after enabled: false",
            owned(&set, "trueup")["f:spec"]["f:syncPolicy"].clone(),
        );
        let seen = self.refresh(&id).await?;
        say("enabled: false holds", &seen["spec"]["syncPolicy"]);
        say(
            "a refresh moves reconciledAt",
            seen["status"]["reconciledAt"] != set["status"]["reconciledAt"],
        );
        let removal = json!([{"op": "remove", "path": "/spec/syncPolicy/automated"}]);
        let gone = self.edit.patch(&id, "", PatchKind::Json, &removal).await?;
        say("automated removed leaves", &gone["spec"]["syncPolicy"]);
        say(
            "our entry afterwards",
            owned(&gone, "trueup")["f:spec"].clone(),
        );
        let seen = self.refresh(&id).await?;
        say(
            "empty syncPolicy after a comparison",
            seen["spec"]
                .get("syncPolicy")
                .map_or("dropped".to_owned(), Value::to_string),
        );
        say("writers of the Application", writers(&seen).join(" "));
        let noted = self
            .merge(
                &id,
                json!({"metadata": {"annotations": {"trueup.dev/x": "note"}}}),
            )
            .await?;
        say(
            "our entry after an annotation",
            owned(&noted, "trueup")["f:metadata"].clone(),
        );
        let removed = self
            .merge(
                &id,
                json!({"metadata": {"annotations": {"trueup.dev/x": null}}}),
            )
            .await?;
        say(
            "our entry after its removal",
            owned(&removed, "trueup").clone(),
        );
        say(
            "unknown fields",
            answer(
                self.us
                    .patch(
                        &id,
                        "",
                        PatchKind::Merge,
                        &json!({"spec": {"notThere": true}}),
                    )
                    .await,
            ),
        );
        say(
            "unknown fields stay",
            self.get(&id).await?["spec"].get("notThere").is_some(),
        );
        Ok(())
    }

    /// A sync of what is Synced already, asked for as trueup asks.
    async fn operation(&self) -> anyhow::Result<()> {
        let id = app("profile-service");
        let seen = self.refresh(&id).await?;
        let before = self.get(&config("profile")).await?;
        let revision = seen["status"]["sync"]["revision"].clone();
        let ops = json!([
            {"op": "test", "path": "/metadata/resourceVersion", "value": seen["metadata"]["resourceVersion"]},
            {"op": "remove", "path": "/status/operationState"},
            {"op": "add", "path": "/operation", "value": {
                "initiatedBy": {"username": "jo"}, "info": [{"name": "trueup-op", "value": "op-1"}],
                "sync": {"revision": revision, "prune": false, "syncStrategy": {"hook": {}}}}},
        ]);
        let asked = self.us.patch(&id, "", PatchKind::Json, &ops).await?;
        say(
            "operationState right after asking",
            &asked["status"]["operationState"],
        );
        let done = self
            .until(&id, "synced", |app| {
                app["operation"].is_null()
                    && app["status"]["operationState"]["phase"] == "Succeeded"
            })
            .await?;
        let state = &done["status"]["operationState"];
        let sha = revision.as_str().unwrap_or_default();
        let normal = |value: &Value| {
            value.to_string().replace(sha, "SHA").replace(
                seen["spec"]["source"]["repoURL"].as_str().unwrap_or("-"),
                "REPO",
            )
        };
        say("operationState", keys(state).join(" "));
        say("operation comes back", normal(&state["operation"]));
        say("operation message", &state["message"]);
        say("syncResult", keys(&state["syncResult"]).join(" "));
        for resource in state["syncResult"]["resources"]
            .as_array()
            .into_iter()
            .flatten()
        {
            say("synced resource", resource);
        }
        let last = done["status"]["history"]
            .as_array()
            .and_then(|all| all.last().cloned())
            .unwrap_or_default();
        say("history entry", keys(&last).join(" "));
        say("history initiatedBy", &last["initiatedBy"]);
        say("writers afterwards", writers(&done).join(" "));
        say("status", keys(&done["status"]).join(" "));
        let after = self.get(&config("profile")).await?;
        say(
            "a sync without change moves",
            differing(&before, &after)
                .into_iter()
                .collect::<Vec<_>>()
                .join(" "),
        );
        say(
            "last-applied",
            after
                .pointer(LAST_APPLIED)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .trim(),
        );
        say("writers of the ConfigMap", writers(&after).join(" "));
        say("owned by Argo CD", owned(&after, "argocd-controller"));
        Ok(())
    }

    async fn self_heal(&self) -> anyhow::Result<()> {
        let (id, map) = (app("profile-service"), config("profile"));
        self.merge(
            &id,
            json!({"spec": {"syncPolicy": {"automated": {"prune": true, "selfHeal": true}}}}),
        )
        .await?;
        self.refresh(&id).await?;
        let edit = |data: Value| async move {
            self.edit
                .patch(
                    &config("profile"),
                    "",
                    PatchKind::Merge,
                    &json!({"data": data}),
                )
                .await
        };
        edit(json!({"JWT_ALGORITHM": "ES256"})).await?;
        let since = Instant::now();
        let healed = self
            .until(&map, "healed", |map| {
                map["data"]["JWT_ALGORITHM"] == "HS256"
            })
            .await?;
        eprintln!("healed after {:?}", since.elapsed());
        say("writers after self-heal", writers(&healed).join(" "));
        let done = self
            .until(&id, "Synced", |app| {
                app["status"]["sync"]["status"] == "Synced" && app["operation"].is_null()
            })
            .await?;
        let operation = &done["status"]["operationState"]["operation"];
        say("self-heal is", &operation["initiatedBy"]);
        say("self-heal's sync", keys(&operation["sync"]).join(" "));
        say("self-heal's resources", &operation["sync"]["resources"]);
        edit(json!({"ADDED": "x"})).await?;
        sleep(Duration::from_secs(8)).await;
        let (object, seen) = (self.get(&map).await?, self.refresh(&id).await?);
        say("an added key stays", object["data"]["ADDED"] == "x");
        say("and the Application is", &seen["status"]["sync"]["status"]);
        Ok(())
    }
}
