//! The controllers and the kubelet of the lab: Deployments get ReplicaSets, those get Pods, Pods run, Services get Endpoints.
//!
//! Pods become Ready at once and a rollout brings all new Pods up before the old ones go; there is no scheduling.

mod pods;

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::watcher::{self, Event};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::argo::now;
use crate::cluster::{ApiError, Cluster, Gvk, PatchKind, Ref, Served};

const REVISION: &str = "deployment.kubernetes.io/revision";

pub(crate) fn deployment() -> Gvk {
    Gvk::new("apps", "v1", "Deployment")
}

pub(crate) fn replica_set() -> Gvk {
    Gvk::new("apps", "v1", "ReplicaSet")
}

pub(crate) fn pod() -> Gvk {
    Gvk::new("", "v1", "Pod")
}

fn service() -> Gvk {
    Gvk::new("", "v1", "Service")
}

/// The running controllers.
pub struct Workloads {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Workloads {
    pub async fn start(cluster: Cluster) -> anyhow::Result<Workloads> {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (dirty, inbox) = mpsc::unbounded_channel();
        for gvk in [deployment(), replica_set(), pod(), service()] {
            let served = cluster.served(&gvk).await?;
            let (client, dirty, stop) = (cluster.client(), dirty.clone(), stop.clone());
            tasks.spawn(async move {
                tokio::select! { () = stop.cancelled() => {}, () = watch(client, served, dirty) => {} }
            });
        }
        let worker = Worker {
            controllers: cluster.speaking_as("kube-controller-manager"),
            kubelet: cluster.speaking_as("kubelet"),
            address: 10,
        };
        let stopped = stop.clone();
        tasks.spawn(async move {
            tokio::select! { () = stopped.cancelled() => {}, () = worker.run(inbox) => {} }
        });
        Ok(Workloads { stop, tasks })
    }

    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Sends the namespace of whatever moved.
async fn watch(client: kube::Client, kind: Served, dirty: mpsc::UnboundedSender<String>) {
    let resource = ApiResource {
        group: kind.gvk.group.clone(),
        version: kind.gvk.version.clone(),
        api_version: kind.gvk.api_version(),
        kind: kind.gvk.kind.clone(),
        plural: kind.plural.clone(),
    };
    let api: Api<DynamicObject> = Api::all_with(client, &resource);
    let mut events = watcher::watcher(api, watcher::Config::default()).boxed();
    loop {
        match events.try_next().await {
            Ok(Some(Event::Apply(object) | Event::InitApply(object) | Event::Delete(object))) => {
                let _ = dirty.send(object.metadata.namespace.unwrap_or_default());
            }
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(error) => {
                tracing::debug!("watching {}: {error}", kind.gvk.kind);
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
}

/// How far a Deployment has got.
struct Rollout {
    /// The name of the current ReplicaSet.
    set: String,
    wanted: i64,
    ready: i64,
    total: i64,
    revision: i64,
}

struct Worker {
    controllers: Cluster,
    kubelet: Cluster,
    /// The host part of the next Pod's address.
    address: u32,
}

impl Worker {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<String>) {
        while let Some(first) = inbox.recv().await {
            let mut namespaces = BTreeSet::from([first]);
            // A change comes with its echoes: one look for all that is already here.
            tokio::time::sleep(Duration::from_millis(20)).await;
            while let Ok(next) = inbox.try_recv() {
                namespaces.insert(next);
            }
            for namespace in namespaces {
                if let Err(error) = self.namespace(&namespace).await {
                    tracing::debug!("workloads of {namespace}: {error}");
                }
            }
        }
    }

    async fn namespace(&mut self, namespace: &str) -> Result<(), ApiError> {
        for deployment in self.controllers.list(&deployment(), namespace).await? {
            if deployment["metadata"]["deletionTimestamp"].is_null()
                && let Err(error) = self.deployment(&deployment, namespace).await
            {
                tracing::debug!(
                    "Deployment {namespace}/{}: {error}",
                    deployment["metadata"]["name"]
                );
            }
        }
        self.endpoints(namespace).await
    }

    async fn deployment(&mut self, deployment: &Value, namespace: &str) -> Result<(), ApiError> {
        let wanted = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
        let hash = template_hash(&deployment["spec"]["template"]);
        let mut sets: Vec<Value> = self.controllers.list(&replica_set(), namespace).await?;
        sets.retain(|set| owned_by(set, deployment));
        let is_current =
            |set: &Value| set["metadata"]["labels"]["pod-template-hash"] == hash.as_str();
        if !sets.iter().any(is_current) && deployment["spec"]["paused"] != true {
            let revision = sets.iter().filter_map(revision_of).max().unwrap_or(0) + 1;
            sets.push(
                self.controllers
                    .create(&new_set(deployment, namespace, &hash, wanted, revision))
                    .await?,
            );
        }
        // A rollback makes an old set the current one again: it then carries the newest revision.
        let newest = sets.iter().filter_map(revision_of).max().unwrap_or(1);
        let (mut current, mut old) = (None, Vec::new());
        for set in sets {
            if is_current(&set) {
                current = Some(set)
            } else {
                old.push(set)
            }
        }
        let (mut ready, mut total) = (0, 0);
        let mut revision = newest;
        let mut name = String::new();
        if let Some(mut set) = current {
            if revision_of(&set) != Some(newest) {
                revision = newest + 1;
                let patch = json!({"metadata": {"annotations": {REVISION: revision.to_string()}}});
                set = self.patch(&set, &patch).await?;
            }
            if set["spec"]["replicas"].as_i64() != Some(wanted) {
                set = self
                    .patch(&set, &json!({"spec": {"replicas": wanted}}))
                    .await?;
            }
            name = set["metadata"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            ready = self.replica_set(&set, namespace).await?;
            total += ready;
        }
        for set in old {
            let set = if ready >= wanted && set["spec"]["replicas"] != 0 {
                self.patch(&set, &json!({"spec": {"replicas": 0}})).await?
            } else {
                set
            };
            total += self.replica_set(&set, namespace).await?;
        }
        let seen = Rollout {
            set: name,
            wanted,
            ready,
            total,
            revision,
        };
        self.deployment_status(deployment, &seen).await
    }

    async fn patch(&self, object: &Value, patch: &Value) -> Result<Value, ApiError> {
        let target = Ref::of(object).unwrap_or_else(|| Ref::new(replica_set(), "", ""));
        self.controllers
            .patch(&target, "", PatchKind::Merge, patch)
            .await
    }

    async fn deployment_status(&self, deployment: &Value, seen: &Rollout) -> Result<(), ApiError> {
        let Some(target) = Ref::of(deployment) else {
            return Ok(());
        };
        let Rollout {
            set,
            wanted,
            ready,
            total,
            revision,
        } = seen;
        let old = &deployment["status"];
        let available = ready >= wanted;
        let condition = |kind: &str, status: &str, reason: &str, message: &str| {
            let before = old["conditions"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|known| known["type"] == kind && known["status"] == status);
            let since =
                before.map_or_else(|| json!(now()), |known| known["lastTransitionTime"].clone());
            let updated = before
                .filter(|known| known["reason"] == reason)
                .map_or_else(|| json!(now()), |known| known["lastUpdateTime"].clone());
            json!({"type": kind, "status": status, "reason": reason, "message": message, "lastUpdateTime": updated, "lastTransitionTime": since})
        };
        let mut status = json!({
            "observedGeneration": deployment["metadata"]["generation"],
            "terminatingReplicas": 0,
            "replicas": total, "updatedReplicas": ready, "readyReplicas": total, "availableReplicas": total,
            "conditions": [
                if available {
                    condition("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
                } else {
                    condition("Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
                },
                if deployment["spec"]["paused"] == true {
                    condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")
                } else if available {
                    condition("Progressing", "True", "NewReplicaSetAvailable", &format!("ReplicaSet {set:?} has successfully progressed."))
                } else {
                    condition("Progressing", "True", "ReplicaSetUpdated", &format!("ReplicaSet {set:?} is progressing."))
                },
            ],
        });
        // Zeros are left out of the real status; a merge patch says so with null.
        for key in [
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
        ] {
            if status[key] == 0 {
                status[key] = Value::Null;
            }
        }
        // The revision is noted along with the status, as the real controller does.
        if deployment["metadata"]["annotations"][REVISION] != revision.to_string().as_str() {
            let patch = json!({"metadata": {"annotations": {REVISION: revision.to_string()}}, "status": status});
            self.controllers
                .patch(&target, "status", PatchKind::Merge, &patch)
                .await?;
            return Ok(());
        }
        self.status(&self.controllers, &target, old, status).await
    }

    /// Writes a status if it says something new.
    async fn status(
        &self,
        writer: &Cluster,
        target: &Ref,
        old: &Value,
        new: Value,
    ) -> Result<(), ApiError> {
        let moved = new.as_object().is_some_and(|new| {
            new.iter()
                .any(|(key, value)| old.get(key).unwrap_or(&Value::Null) != value)
        });
        if moved {
            writer
                .patch(target, "status", PatchKind::Merge, &json!({"status": new}))
                .await?;
        }
        Ok(())
    }

    async fn endpoints(&mut self, namespace: &str) -> Result<(), ApiError> {
        let pods = self.controllers.list(&pod(), namespace).await?;
        for service in self.controllers.list(&service(), namespace).await? {
            let Some(selector) = service["spec"]["selector"]
                .as_object()
                .filter(|selector| !selector.is_empty())
            else {
                continue;
            };
            let name = service["metadata"]["name"].as_str().unwrap_or_default();
            let mut addresses: Vec<Value> = pods
                .iter()
                .filter(|pod| selector.iter().all(|(key, value)| pod["metadata"]["labels"].get(key) == Some(value)))
                .filter(|pod| pods::is_ready(pod))
                .map(|pod| {
                    json!({"ip": pod["status"]["podIP"], "nodeName": pod["spec"]["nodeName"],
                        "targetRef": {"kind": "Pod", "namespace": namespace, "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}})
                })
                .collect();
            addresses.sort_by_key(|address| address["ip"].to_string());
            let ports: Vec<Value> = service["spec"]["ports"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|port| endpoint_port(port, &pods))
                .collect();
            let subsets = if addresses.is_empty() {
                json!([])
            } else {
                json!([{"addresses": addresses, "ports": ports}])
            };
            let target = Ref::new(Gvk::new("", "v1", "Endpoints"), namespace, name);
            match self.controllers.get(&target).await? {
                None => {
                    let labels = service["metadata"]["labels"].clone();
                    let object = json!({"apiVersion": "v1", "kind": "Endpoints",
                        "metadata": {"name": name, "namespace": namespace, "labels": labels, "ownerReferences": [owner(&service, "v1", "Service")]}, "subsets": subsets});
                    self.controllers.create(&object).await?;
                }
                Some(live) => {
                    let before = if live["subsets"].is_null() {
                        json!([])
                    } else {
                        live["subsets"].clone()
                    };
                    if before != subsets {
                        self.controllers
                            .patch(&target, "", PatchKind::Merge, &json!({"subsets": subsets}))
                            .await?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn endpoint_port(port: &Value, pods: &[Value]) -> Value {
    let target = match &port["targetPort"] {
        Value::String(name) => pods
            .iter()
            .flat_map(|pod| pod["spec"]["containers"].as_array().into_iter().flatten())
            .flat_map(|container| container["ports"].as_array().into_iter().flatten())
            .find(|known| known["name"] == name.as_str())
            .map_or_else(
                || port["port"].clone(),
                |known| known["containerPort"].clone(),
            ),
        Value::Null => port["port"].clone(),
        number => number.clone(),
    };
    let mut out = json!({"port": target, "protocol": port["protocol"].as_str().unwrap_or("TCP")});
    if port["name"].is_string() {
        out["name"] = port["name"].clone();
    }
    out
}

fn revision_of(set: &Value) -> Option<i64> {
    set["metadata"]["annotations"][REVISION]
        .as_str()?
        .parse()
        .ok()
}

pub(crate) fn owned_by(object: &Value, owner: &Value) -> bool {
    object["metadata"]["ownerReferences"]
        .as_array()
        .is_some_and(|owners| {
            owners
                .iter()
                .any(|found| found["uid"] == owner["metadata"]["uid"])
        })
}

fn owner(object: &Value, api_version: &str, kind: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "name": object["metadata"]["name"], "uid": object["metadata"]["uid"],
        "controller": true, "blockOwnerDeletion": true})
}

/// Letters that spell no words, as Kubernetes uses for generated names.
pub(crate) fn safe_name(seed: &[u8], length: usize) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    Sha256::digest(seed)
        .iter()
        .take(length)
        .map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]))
        .collect()
}

fn template_hash(template: &Value) -> String {
    // A write may leave the same fields in another order.
    let mut template = template.clone();
    template.sort_all_objects();
    safe_name(template.to_string().as_bytes(), 10)
}

fn new_set(deployment: &Value, namespace: &str, hash: &str, replicas: i64, revision: i64) -> Value {
    let name = format!(
        "{}-{hash}",
        deployment["metadata"]["name"].as_str().unwrap_or_default()
    );
    let mut template = deployment["spec"]["template"].clone();
    template["metadata"]["labels"]["pod-template-hash"] = json!(hash);
    let mut selector = deployment["spec"]["selector"].clone();
    selector["matchLabels"]["pod-template-hash"] = json!(hash);
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": name, "namespace": namespace, "labels": template["metadata"]["labels"],
            "annotations": {REVISION: revision.to_string(), "deployment.kubernetes.io/desired-replicas": replicas.to_string()},
            "ownerReferences": [owner(deployment, "apps/v1", "Deployment")]},
        "spec": {"replicas": replicas, "selector": selector, "template": template},
    })
}
