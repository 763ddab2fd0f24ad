//! Carrying a sync out: objects applied wave by wave, then what is to be pruned.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::compare::{Comparison, Item, images_of, last_applied, predicted, reference};
use super::health::{self, Health};
use super::merge::{self, Style};
use super::{LAST_APPLIED, compare, ignore};
use crate::cluster::{ApiError, Cluster, Gvk, PatchKind, Ref};

/// The field manager of every sync.
const MANAGER: &str = "argocd-controller";

/// What one pass came to.
pub enum Outcome {
    /// A wave is applied and not healthy yet.
    Waiting(String),
    Succeeded(String),
    Failed(String),
}

/// The order of kinds inside a wave (gitops-engine/pkg/sync/sync_tasks.go); others come last.
const ORDER: &[&str] = &[
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
];

/// One operation at one of its passes.
pub struct Run<'a> {
    pub cluster: &'a Cluster,
    pub application: &'a Value,
    pub comparison: &'a Comparison,
    /// `operation.sync`.
    pub sync: &'a Value,
}

impl Run<'_> {
    /// True if the option is given for the operation or on the object.
    fn option(&self, item: Option<&Item>, wanted: &str) -> bool {
        let listed = self.sync["syncOptions"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|option| option == wanted);
        let object = item.and_then(|item| item.target.as_ref().or(item.live.as_ref()));
        let noted = object
            .and_then(|object| {
                object["metadata"]["annotations"]["argocd.argoproj.io/sync-options"].as_str()
            })
            .is_some_and(|options| options.split(',').any(|option| option.trim() == wanted));
        listed || noted
    }

    fn chosen(&self, item: &Item) -> bool {
        let Some(resources) = self.sync["resources"]
            .as_array()
            .filter(|list| !list.is_empty())
        else {
            return true;
        };
        resources.iter().any(|wanted| {
            wanted["group"].as_str().unwrap_or_default() == item.target_ref.gvk.group
                && wanted["kind"] == item.target_ref.gvk.kind.as_str()
                && wanted["name"] == item.target_ref.name.as_str()
                && wanted["namespace"].as_str().is_none_or(|namespace| {
                    namespace.is_empty() || namespace == item.target_ref.namespace
                })
        })
    }

    /// Applies what is due and records each object in `result.resources`.
    pub async fn pass(&self, result: &mut Value) -> Result<Outcome, ApiError> {
        if self.option(None, "FailOnSharedResource=true")
            && let Some(shared) = self
                .comparison
                .conditions
                .iter()
                .find(|condition| condition.kind == "SharedResourceWarning")
        {
            return Ok(Outcome::Failed(format!(
                "Shared resource found: {}",
                shared.message
            )));
        }
        let outcome = self.tasks(result).await;
        self.order(result);
        outcome
    }

    /// The results in the order of the tasks, pruned objects among the others.
    fn order(&self, result: &mut Value) {
        let Some(entries) = result["resources"].as_array_mut() else {
            return;
        };
        entries.sort_by_key(|entry| {
            let mut items = self.comparison.items.iter();
            let item = items.find(|item| same(entry, &item.target_ref));
            item.map(place)
        });
    }

    async fn tasks(&self, result: &mut Value) -> Result<Outcome, ApiError> {
        let dry = self.sync["dryRun"] == true;
        if self.option(None, "CreateNamespace=true") && !dry {
            self.ensure_namespace().await?;
        }
        let mut items: Vec<&Item> = self
            .comparison
            .items
            .iter()
            .filter(|item| self.chosen(item))
            .collect();
        if items.is_empty()
            && self.sync["resources"]
                .as_array()
                .is_some_and(|list| !list.is_empty())
        {
            return Ok(Outcome::Failed(
                "no resources matched the ones the operation names".to_owned(),
            ));
        }
        items.sort_by_key(|item| (item.requires_pruning(), place(item)));
        let waves: BTreeSet<(bool, i64)> = items
            .iter()
            .map(|item| (item.requires_pruning(), item.wave))
            .collect();
        let last = waves.last().copied();
        for wave in waves {
            let members: Vec<&Item> = items
                .iter()
                .copied()
                .filter(|item| (item.requires_pruning(), item.wave) == wave)
                .collect();
            let mut failed = false;
            for item in &members {
                if !recorded(result, &item.target_ref) {
                    let (status, message) = self.task(item, dry).await?;
                    failed |= status == "SyncFailed";
                    record(result, item, status, &message);
                }
            }
            if failed {
                let why = result["resources"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter(|entry| entry["status"] == "SyncFailed")
                    .filter_map(|entry| entry["message"].as_str())
                    .collect::<Vec<_>>()
                    .join(",");
                return Ok(Outcome::Failed(format!(
                    "one or more objects failed to apply, reason: {why}"
                )));
            }
            if Some(wave) != last && !dry {
                for item in &members {
                    match self
                        .cluster
                        .get(&item.target_ref)
                        .await?
                        .as_ref()
                        .and_then(health::of)
                    {
                        Some(Health::Degraded) => {
                            return Ok(Outcome::Failed(
                                "one or more synchronization tasks completed unsuccessfully"
                                    .to_owned(),
                            ));
                        }
                        Some(Health::Progressing) => {
                            let id = &item.target_ref;
                            return Ok(Outcome::Waiting(format!(
                                "waiting for healthy state of {}/{}/{}",
                                id.gvk.group, id.gvk.kind, id.name
                            )));
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(Outcome::Succeeded(
            if dry {
                "successfully synced (no more tasks)"
            } else {
                "successfully synced (all tasks run)"
            }
            .to_owned(),
        ))
    }

    async fn ensure_namespace(&self) -> Result<(), ApiError> {
        let name = self.application["spec"]["destination"]["namespace"]
            .as_str()
            .unwrap_or_default();
        let namespace = Ref::new(Gvk::new("", "v1", "Namespace"), "", name);
        if !name.is_empty() && self.cluster.get(&namespace).await?.is_none() {
            self.cluster
                .create(
                    &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}),
                )
                .await?;
        }
        Ok(())
    }

    /// One object: its `status` in the result and what to say about it. A refusal of the API server is a result, not an error of the pass.
    async fn task(&self, item: &Item, dry: bool) -> Result<(&'static str, String), ApiError> {
        let id = &item.target_ref;
        let ignored = ignore::pointers(self.application, id);
        let respected = match (&item.target, &item.live) {
            (Some(target), Some(live))
                if !ignored.is_empty() && self.option(None, "RespectIgnoreDifferences=true") =>
            {
                Some(ignore::respected(target, live, &ignored))
            }
            (target, _) => target.clone(),
        };
        let outcome = match &respected {
            None => return self.prune(item, dry).await,
            Some(_) if dry => Ok(format!("{} (dry run)", named(id))),
            Some(_) if item.synced && self.option(None, "ApplyOutOfSyncOnly=true") => {
                Ok(format!("{} unchanged", named(id)))
            }
            Some(target) if self.option(Some(item), "ServerSideApply=true") => {
                match hand_over(self.cluster, id).await {
                    Ok(()) => self
                        .cluster
                        .patch(id, "", PatchKind::Apply, target)
                        .await
                        .map(|_| format!("{} serverside-applied", named(id))),
                    Err(error) => Err(error),
                }
            }
            Some(target) if self.option(Some(item), "Replace=true") => {
                self.replace(id, target).await
            }
            Some(target) => apply(self.cluster, id, target).await,
        };
        match outcome {
            Ok(message) => Ok(("Synced", message)),
            Err(error @ ApiError::Transport(_)) => Err(error),
            Err(error) => Ok((
                "SyncFailed",
                format!("error when applying {}: {error}", named(id)),
            )),
        }
    }

    async fn replace(&self, id: &Ref, target: &Value) -> Result<String, ApiError> {
        let mut wanted = annotated(target);
        match self.cluster.get(id).await? {
            None => self
                .cluster
                .create(&wanted)
                .await
                .map(|_| format!("{} created", named(id))),
            Some(live) => {
                wanted["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
                self.cluster
                    .replace(&wanted)
                    .await
                    .map(|_| format!("{} replaced", named(id)))
            }
        }
    }

    async fn prune(&self, item: &Item, dry: bool) -> Result<(&'static str, String), ApiError> {
        if self.sync["prune"] != true {
            return Ok(("PruneSkipped", "ignored (requires pruning)".to_owned()));
        }
        if self.option(Some(item), "Prune=false") {
            return Ok(("PruneSkipped", "ignored (no prune)".to_owned()));
        }
        if dry {
            return Ok(("Pruned", "pruned (dry run)".to_owned()));
        }
        self.cluster.delete(&item.target_ref, "Foreground").await?;
        Ok(("Pruned", "pruned".to_owned()))
    }
}

/// Where a task stands among the others: its wave, its kind, its name.
fn place(item: &Item) -> (i64, usize, String) {
    let kind = ORDER
        .iter()
        .position(|kind| *kind == item.target_ref.gvk.kind)
        .unwrap_or(ORDER.len());
    (item.wave, kind, item.target_ref.name.clone())
}

/// `deployment.apps/name`, as kubectl names an object.
fn named(id: &Ref) -> String {
    let kind = id.gvk.kind.to_lowercase();
    if id.gvk.group.is_empty() {
        format!("{kind}/{}", id.name)
    } else {
        format!("{kind}.{}/{}", id.gvk.group, id.name)
    }
}

/// The target with its own last-applied annotation.
pub fn annotated(target: &Value) -> Value {
    let mut wanted = target.clone();
    if let Some(annotations) = wanted["metadata"]["annotations"].as_object_mut() {
        annotations.shift_remove(LAST_APPLIED);
    }
    if !wanted["metadata"]["annotations"].is_object() {
        wanted["metadata"]["annotations"] = json!({});
    }
    let text = merge::go_json(&wanted) + "\n";
    wanted["metadata"]["annotations"][LAST_APPLIED] = json!(text);
    wanted
}

/// Client-side apply, as `kubectl apply` does it: create, or the three-way patch with the new last-applied annotation; nothing is sent when nothing
/// differs. The answer is kubectl's.
pub async fn apply(cluster: &Cluster, id: &Ref, target: &Value) -> Result<String, ApiError> {
    let wanted = annotated(target);
    let Some(live) = cluster.get(id).await? else {
        return cluster
            .create(&wanted)
            .await
            .map(|_| format!("{} created", named(id)));
    };
    let style = compare::style(id);
    let mut merged = predicted(&wanted, &live, style);
    // Written by apply whatever the three sides said about it.
    merged["metadata"]["annotations"][LAST_APPLIED] =
        wanted["metadata"]["annotations"][LAST_APPLIED].clone();
    let Some(patch) = merge::patch(&live, &merged, style) else {
        debug_assert!(last_applied(&live).is_some());
        return Ok(format!("{} unchanged", named(id)));
    };
    let kind = match style {
        Style::Strategic => PatchKind::Strategic,
        Style::Json => PatchKind::Merge,
    };
    cluster
        .patch(id, "", kind, &patch)
        .await
        .map(|_| format!("{} configured", named(id)))
}

/// Before a server-side apply, what was applied client-side becomes the applier's own, so that what left Git goes: the fields of whoever wrote
/// last-applied (kubectl `migrateToSSAIfNecessary`), and of `kubectl apply` (gitops-engine `performCSAUpgradeMigration`).
async fn hand_over(cluster: &Cluster, id: &Ref) -> Result<(), ApiError> {
    let Some(live) = cluster.get(id).await? else {
        return Ok(());
    };
    let entries = live["metadata"]["managedFields"].as_array();
    let applied = format!("f:{LAST_APPLIED}");
    let (old, mut kept): (Vec<Value>, Vec<Value>) =
        entries.into_iter().flatten().cloned().partition(|entry| {
            entry["operation"] == "Update"
                && entry["subresource"].is_null()
                && (entry["manager"] == "kubectl-client-side-apply"
                    || !entry["fieldsV1"]["f:metadata"]["f:annotations"][&applied].is_null())
        });
    if old.is_empty() {
        return Ok(());
    }
    let ours = |entry: &Value| entry["manager"] == MANAGER && entry["operation"] == "Apply";
    if !kept.iter().any(ours) {
        let mut entry = old[0].clone();
        entry["manager"] = json!(MANAGER);
        entry["operation"] = json!("Apply");
        kept.push(entry);
    }
    for entry in kept.iter_mut().filter(|entry| ours(entry)) {
        for old in &old {
            // Sets of fields as maps of maps: together they are their union.
            json_patch::merge(&mut entry["fieldsV1"], &old["fieldsV1"]);
        }
    }
    let patch = json!([
        {"op": "replace", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]},
        {"op": "replace", "path": "/metadata/managedFields", "value": kept},
    ]);
    cluster
        .patch(id, "", PatchKind::Json, &patch)
        .await
        .map(|_| ())
}

fn same(entry: &Value, id: &Ref) -> bool {
    entry["kind"] == id.gvk.kind.as_str()
        && entry["name"] == id.name.as_str()
        && entry["group"].as_str().unwrap_or_default() == id.gvk.group
        && entry["namespace"].as_str().unwrap_or_default() == id.namespace
}

fn recorded(result: &Value, id: &Ref) -> bool {
    result["resources"].as_array().is_some_and(|entries| {
        entries
            .iter()
            .any(|entry| same(entry, id) && entry["status"] != "SyncFailed")
    })
}

fn record(result: &mut Value, item: &Item, status: &str, message: &str) {
    let id = &item.target_ref;
    let mut entry = reference(id);
    let images = item.target.as_ref().map(images_of).unwrap_or_default();
    if !images.is_empty() {
        entry.insert("images".to_owned(), json!(images));
    }
    // Required by the schema even for the core group and for cluster-scoped objects.
    for key in ["group", "namespace"] {
        entry.entry(key).or_insert_with(|| json!(""));
    }
    entry.insert("status".to_owned(), json!(status));
    entry.insert("message".to_owned(), json!(message));
    entry.insert("syncPhase".to_owned(), json!("Sync"));
    entry.insert(
        "hookPhase".to_owned(),
        json!(if status == "SyncFailed" {
            "Failed"
        } else {
            "Running"
        }),
    );
    let entries = result["resources"].as_array().cloned().unwrap_or_default();
    let mut entries: Vec<Value> = entries
        .into_iter()
        .filter(|entry| !same(entry, id))
        .collect();
    entries.push(Value::Object(entry));
    result["resources"] = json!(entries);
}
