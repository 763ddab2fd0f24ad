//! What the operator sees beside the comparison: owners, pods, and what may be done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use trueup_core::drift::report::Question;
use trueup_core::object::identity::AppKey;

use super::{AppSeen, Reader};
use crate::ports::{Cluster, Grant, Kind, Permission};

/// A pod of an Application's workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSeen {
    pub namespace: String,
    pub name: String,
    pub ready: bool,
    pub started_at: Option<Timestamp>,
    /// Why it is not ready, as the pod says: phase, or the reason a container waits for.
    pub why: String,
}

/// A permission and what is not possible without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    pub permission: Permission,
    pub needed_for: String,
    /// The Applications that need it; empty: the walk itself.
    pub applications: Vec<AppKey>,
    /// The walk goes on without it, with less to see or to predict.
    pub optional: bool,
}

/// Who makes the Application what it is: the ApplicationSet, or the Application that has it as an object.
pub(super) fn owner(application: &Value, key: &AppKey, control_namespace: &str) -> Option<String> {
    for owner in application
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let text = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or_default();
        if text("kind") == "ApplicationSet" && text("apiVersion").starts_with("argoproj.io/") {
            return Some(format!("ApplicationSet/{}", text("name")));
        }
    }
    let mark = application
        .pointer("/metadata/annotations/argocd.argoproj.io~1tracking-id")
        .and_then(Value::as_str)?;
    let (instance, rest) = mark.split_once(':')?;
    let own = key.instance(control_namespace);
    let about_this = rest == format!("argoproj.io/Application:{}/{}", key.namespace, key.name);
    (about_this && instance != own).then(|| format!("Application/{instance}"))
}

/// The pods that the selectors of the live workloads pick.
pub(super) fn pods_of<'a>(
    live: &[Arc<Value>],
    pods: impl Iterator<Item = &'a Value>,
) -> Vec<PodSeen> {
    let selectors: Vec<(&str, BTreeMap<&str, &str>)> = live
        .iter()
        .filter(|object| {
            matches!(
                object.get("kind").and_then(Value::as_str),
                Some("Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
            )
        })
        .filter_map(|object| {
            let labels = object.pointer("/spec/selector/matchLabels")?.as_object()?;
            let labels = labels
                .iter()
                .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
                .collect();
            Some((object.pointer("/metadata/namespace")?.as_str()?, labels))
        })
        .filter(|(_, labels): &(&str, BTreeMap<&str, &str>)| !labels.is_empty())
        .collect();
    let mut seen = Vec::new();
    for pod in pods {
        let text = |pointer: &str| {
            pod.pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let label = |key: &str| {
            pod.pointer("/metadata/labels")
                .and_then(|labels| labels.get(key))
                .and_then(Value::as_str)
        };
        let namespace = text("/metadata/namespace");
        let picked = selectors.iter().any(|(place, labels)| {
            *place == namespace && labels.iter().all(|(key, value)| label(key) == Some(value))
        });
        if picked {
            seen.push(pod_seen(pod, namespace));
        }
    }
    seen
}

fn pod_seen(pod: &Value, namespace: &str) -> PodSeen {
    let text = |pointer: &str| {
        pod.pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let ready = conditions.into_iter().flatten().any(|condition| {
        condition.get("type").and_then(Value::as_str) == Some("Ready")
            && condition.get("status").and_then(Value::as_str) == Some("True")
    });
    let containers = pod
        .pointer("/status/containerStatuses")
        .and_then(Value::as_array);
    let waiting = containers.into_iter().flatten().find_map(|status| {
        status
            .pointer("/state/waiting/reason")
            .and_then(Value::as_str)
    });
    let why = if ready {
        ""
    } else {
        waiting.unwrap_or_else(|| text("/status/phase"))
    };
    PodSeen {
        namespace: namespace.to_owned(),
        name: text("/metadata/name").to_owned(),
        ready,
        started_at: text("/status/startTime").parse().ok(),
        why: why.to_owned(),
    }
}

impl Reader {
    /// Every permission that the walk over these Applications needs, with the context to ask in (`None`: Argo CD's own
    /// cluster). The resource of a target kind is still its kind: only the server knows the plural.
    fn needs(
        &self,
        apps: &BTreeMap<AppKey, AppSeen>,
        questions: &[Question],
    ) -> Vec<(Option<String>, Need)> {
        let argo = "argoproj.io";
        let mut needs: Vec<(Option<String>, Need)> = Vec::new();
        let own = self.namespace();
        let namespaces: BTreeSet<&str> = std::iter::once(own)
            .chain(apps.keys().map(|key| key.namespace.as_str()))
            .collect();
        for namespace in namespaces {
            let applications: Vec<AppKey> = apps
                .keys()
                .filter(|key| key.namespace == namespace)
                .cloned()
                .collect();
            let mut add =
                |verb: &str, group: &str, resource: &str, needed_for: &str, optional: bool| {
                    let permission = Permission::new(verb, group, resource, Some(namespace));
                    let needed_for = needed_for.to_owned();
                    needs.push((
                        None,
                        Need {
                            permission,
                            needed_for,
                            applications: applications.clone(),
                            optional,
                        },
                    ));
                };
            for verb in ["get", "list", "watch"] {
                add(verb, argo, "applications", "seeing the applications", false);
            }
            add(
                "patch",
                argo,
                "applications",
                "freeze, refresh, sync and thaw",
                false,
            );
            if namespace == own {
                for resource in ["applicationsets", "appprojects"] {
                    add(
                        "list",
                        argo,
                        resource,
                        "finding owners and sync windows",
                        true,
                    );
                }
                for verb in ["get", "create", "update"] {
                    add(
                        verb,
                        "coordination.k8s.io",
                        "leases",
                        "keeping a second operator out of the incident",
                        false,
                    );
                }
            }
        }
        let disputed: BTreeSet<(String, Option<String>)> = questions
            .iter()
            .flat_map(|question| &question.cells)
            .map(|cell| (cell.object.kind.clone(), cell.object.namespace.clone()))
            .collect();
        let mut kinds: BTreeMap<(Option<String>, Option<String>, Kind), Vec<AppKey>> =
            BTreeMap::new();
        for app in apps.values() {
            for object in app
                .desired
                .iter()
                .map(|desired| desired.object.as_ref())
                .chain(app.live_objects())
            {
                let Some(kind) = Kind::of_object(object) else {
                    continue;
                };
                let namespace = object
                    .pointer("/metadata/namespace")
                    .and_then(Value::as_str)
                    .map(str::to_owned);
                let context = app.destination.context.clone();
                let applications = kinds.entry((context, namespace, kind)).or_default();
                if applications.last() != Some(&app.key) {
                    applications.push(app.key.clone());
                }
            }
        }
        for ((context, namespace, kind), applications) in kinds {
            let in_question = disputed.contains(&(kind.kind.clone(), namespace.clone()));
            for (verb, needed_for, optional) in [
                ("list", "seeing what is live", false),
                (
                    "watch",
                    "seeing what moves at once; without it the kind is listed again every few seconds",
                    true,
                ),
                (
                    "patch",
                    "predicting a sync by dry run, and live actions",
                    !in_question,
                ),
            ] {
                let permission =
                    Permission::new(verb, &kind.group, &kind.kind, namespace.as_deref());
                let needed_for = needed_for.to_owned();
                needs.push((
                    context.clone(),
                    Need {
                        permission,
                        needed_for,
                        applications: applications.clone(),
                        optional,
                    },
                ));
            }
        }
        needs
    }

    /// Asks the clusters about every need of these Applications.
    pub(super) async fn permissions(
        &self,
        apps: &BTreeMap<AppKey, AppSeen>,
        questions: &[Question],
    ) -> Vec<(Need, Grant)> {
        let mut by_context: BTreeMap<Option<String>, Vec<Need>> = BTreeMap::new();
        for (context, need) in self.needs(apps, questions) {
            by_context
                .entry(context.filter(|context| context != self.hub.context()))
                .or_default()
                .push(need);
        }
        let mut answers = Vec::new();
        for (context, mut needs) in by_context {
            let cluster = match &context {
                None => &self.hub,
                Some(name) => match self
                    .destinations
                    .values()
                    .find(|cluster| cluster.context() == name)
                {
                    Some(cluster) => cluster,
                    None => continue,
                },
            };
            resolve_plurals(cluster.as_ref(), apps, &mut needs).await;
            answers.extend(review(cluster.as_ref(), needs).await);
        }
        answers
    }
}

/// Asks about every need. Where the same is needed in many namespaces, the whole cluster is asked about first.
async fn review(cluster: &dyn Cluster, needs: Vec<Need>) -> Vec<(Need, Grant)> {
    let everywhere = |permission: &Permission| Permission {
        namespace: None,
        ..permission.clone()
    };
    let mut counts: BTreeMap<Permission, usize> = BTreeMap::new();
    for need in needs
        .iter()
        .filter(|need| need.permission.namespace.is_some())
    {
        *counts.entry(everywhere(&need.permission)).or_default() += 1;
    }
    let broad: Vec<Permission> = counts
        .into_iter()
        .filter(|(_, count)| *count > MANY)
        .map(|(permission, _)| permission)
        .collect();
    let granted: BTreeMap<Permission, Grant> = cluster
        .allowed(&broad)
        .await
        .into_iter()
        .filter(|grant| grant.allowed == Some(true))
        .map(|grant| (grant.permission.clone(), grant))
        .collect();
    let covered = |need: &Need| granted.get(&everywhere(&need.permission));
    let single: Vec<Permission> = needs
        .iter()
        .filter(|need| covered(need).is_none())
        .map(|need| need.permission.clone())
        .collect();
    let mut answers = cluster.allowed(&single).await.into_iter();
    needs
        .into_iter()
        .filter_map(|need| {
            let grant = match covered(&need) {
                Some(grant) => Grant {
                    permission: need.permission.clone(),
                    ..grant.clone()
                },
                None => answers.next()?,
            };
            Some((need, grant))
        })
        .collect()
}

/// More reviews of one kind than this are worth a review of the whole cluster before them.
const MANY: usize = 8;

/// Replaces kinds by the plurals that permissions speak of.
async fn resolve_plurals(
    cluster: &dyn Cluster,
    apps: &BTreeMap<AppKey, AppSeen>,
    needs: &mut [Need],
) {
    let mut kinds: BTreeMap<(String, String), Kind> = BTreeMap::new();
    for app in apps.values() {
        for object in app
            .desired
            .iter()
            .map(|desired| desired.object.as_ref())
            .chain(app.live_objects())
        {
            if let Some(kind) = Kind::of_object(object) {
                kinds
                    .entry((kind.group.clone(), kind.kind.clone()))
                    .or_insert(kind);
            }
        }
    }
    let asked: Vec<Kind> = kinds.values().cloned().collect();
    let Ok(served) = cluster.served(&asked).await else {
        return;
    };
    let plurals: BTreeMap<(String, String), String> = asked
        .into_iter()
        .zip(served)
        .filter_map(|(kind, served)| Some(((kind.group, kind.kind), served?.plural)))
        .collect();
    for need in needs {
        let named = (
            need.permission.group.clone(),
            need.permission.resource.clone(),
        );
        if let Some(plural) = plurals.get(&named) {
            need.permission.resource.clone_from(plural);
        }
    }
}
