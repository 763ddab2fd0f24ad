//! The comparison: which targets an Application has, which live objects answer to them, and what differs.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::health::Health;
use super::merge::{self, Style};
use super::source::{Source, Sources};
use super::tracking::{Tracked, TrackingId};
use super::{LAST_APPLIED, TRACKING, health, ignore};
use crate::cluster::{Cluster, Ref};

/// An error or a warning that the Application's status shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub kind: &'static str,
    pub message: String,
}

impl Condition {
    pub fn new(kind: &'static str, message: impl Into<String>) -> Condition {
        Condition {
            kind,
            message: message.into(),
        }
    }

    pub fn is_error(&self) -> bool {
        self.kind.ends_with("Error")
    }
}

/// One object of an Application: wanted, live, or both.
#[derive(Clone, Debug)]
pub struct Item {
    pub target_ref: Ref,
    /// With namespace and tracking id; `None` for an object that only lives.
    pub target: Option<Value>,
    pub live: Option<Value>,
    pub synced: bool,
    pub wave: i64,
}

impl Item {
    pub fn requires_pruning(&self) -> bool {
        self.target.is_none()
    }
}

/// The outcome of a comparison.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The commit compared with; empty if it could not be found out.
    pub revision: String,
    pub source: Option<Value>,
    pub items: Vec<Item>,
    /// Objects with a tracking id that was copied from another one: listed, and nothing else.
    pub copies: Vec<Ref>,
    pub conditions: Vec<Condition>,
}

impl Comparison {
    pub fn failure(&self) -> Option<&Condition> {
        self.conditions
            .iter()
            .find(|condition| condition.is_error())
    }

    pub fn sync_status(&self) -> &'static str {
        if self.failure().is_some() {
            "Unknown"
        } else if self.items.iter().all(|item| item.synced) {
            "Synced"
        } else {
            "OutOfSync"
        }
    }

    /// Worst of the live objects; Missing only when there is none at all.
    pub fn health(&self) -> Health {
        let live: Vec<&Value> = self
            .items
            .iter()
            .filter_map(|item| item.live.as_ref())
            .collect();
        if live.is_empty() && self.items.iter().any(|item| item.target.is_some()) {
            return Health::Missing;
        }
        live.iter()
            .filter(|object| {
                object["metadata"]["annotations"]["argocd.argoproj.io/ignore-healthcheck"] != "true"
            })
            .filter_map(|object| health::of(object))
            .max()
            .unwrap_or(Health::Healthy)
    }

    /// `status.resources`: sorted, without the health of each (3.x keeps that in the tree).
    pub fn resources(&self) -> Vec<Value> {
        let failed = self.failure().is_some();
        let mut listed: BTreeMap<&Ref, Map<String, Value>> = self
            .copies
            .iter()
            .map(|copy| (copy, reference(copy)))
            .collect();
        listed.extend(self.items.iter().map(|item| {
            let mut entry = reference(&item.target_ref);
            let status = match (failed, item.synced) {
                (true, _) => "Unknown",
                (_, true) => "Synced",
                (_, false) => "OutOfSync",
            };
            entry.insert("status".to_owned(), json!(status));
            if item.requires_pruning() && !failed {
                entry.insert("requiresPruning".to_owned(), json!(true));
            }
            if item.wave != 0 {
                entry.insert("syncWave".to_owned(), json!(item.wave));
            }
            (&item.target_ref, entry)
        }));
        listed.into_values().map(Value::Object).collect()
    }

    /// The images of the live workloads.
    pub fn images(&self) -> Vec<String> {
        let mut images: Vec<String> = self
            .items
            .iter()
            .filter_map(|item| item.live.as_ref())
            .flat_map(images_of)
            .collect();
        images.sort();
        images.dedup();
        images
    }
}

/// The images of the pods that an object makes.
pub fn images_of(object: &Value) -> Vec<String> {
    object["spec"]["template"]["spec"]["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|container| container["image"].as_str().map(str::to_owned))
        .collect()
}

/// Group, version, kind, namespace and name, empty ones left out.
pub fn reference(object: &Ref) -> Map<String, Value> {
    let mut entry = Map::new();
    for (key, value) in [
        ("group", &object.gvk.group),
        ("version", &object.gvk.version),
        ("kind", &object.gvk.kind),
        ("namespace", &object.namespace),
        ("name", &object.name),
    ] {
        if !value.is_empty() {
            entry.insert(key.to_owned(), json!(value));
        }
    }
    entry
}

/// Built-in kinds merge strategically, the rest (served through CRDs) as plain JSON.
pub fn style(object: &Ref) -> Style {
    let group = object.gvk.group.as_str();
    let built_in = group.is_empty() || !group.contains('.') || group.ends_with(".k8s.io");
    if built_in {
        Style::Strategic
    } else {
        Style::Json
    }
}

/// What `kubectl apply` would have last applied, as the live object remembers it.
pub fn last_applied(live: &Value) -> Option<Value> {
    let text = live["metadata"]["annotations"][LAST_APPLIED].as_str()?;
    serde_json::from_str(text).ok()
}

/// The live object after a client-side apply of `target`, the last-applied annotation left as it is.
pub fn predicted(target: &Value, live: &Value, style: Style) -> Value {
    let mut old = last_applied(live);
    if let Some(old) = &mut old {
        // A null in what was applied is a field that is not there.
        drop_nulls(old);
    }
    merge::merged(old.as_ref(), target, live, style)
}

fn drop_nulls(value: &mut Value) {
    if let Value::Object(map) = value {
        map.retain(|_, inner| !inner.is_null());
        map.values_mut().for_each(drop_nulls);
    }
}

/// True if applying `target` would change nothing that counts: bookkeeping and status do not.
pub fn is_synced(target: &Value, live: &Value, style: Style, ignored: &[String]) -> bool {
    let mut sides = [normal(&predicted(target, live, style)), normal(live)];
    for side in &mut sides {
        ignore::remove(side, ignored);
    }
    sides[0] == sides[1]
}

fn normal(object: &Value) -> Value {
    let mut object = object.clone();
    if let Value::Object(map) = &mut object {
        map.shift_remove("status");
        // An absent map and an empty one are the same to the comparison.
        map.retain(|_, value| value.as_object().is_none_or(|inner| !inner.is_empty()));
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for key in [
            "uid",
            "resourceVersion",
            "generation",
            "creationTimestamp",
            "managedFields",
            "selfLink",
        ] {
            metadata.shift_remove(key);
        }
        for key in ["annotations", "labels"] {
            if let Some(map) = metadata.get_mut(key).and_then(Value::as_object_mut) {
                map.shift_remove(LAST_APPLIED);
                map.shift_remove("deployment.kubernetes.io/revision");
                if map.is_empty() {
                    metadata.shift_remove(key);
                }
            }
        }
    }
    object
}

/// Where to compare: the source and the commit to take, or `None` for the head of the source's own `targetRevision`.
pub struct At<'a> {
    pub source: &'a Value,
    pub revision: Option<&'a str>,
    /// Ask the remote rather than trust the last look.
    pub fresh: bool,
}

/// Compares `application` at `at`. A source that cannot be had is a condition of the outcome, which then holds what lives and no targets.
pub async fn compare(
    application: &Value,
    at: At<'_>,
    cluster: &Cluster,
    sources: &mut Sources,
    tracked: &Tracked,
) -> Comparison {
    let mut comparison = Comparison {
        revision: String::new(),
        source: Some(at.source.clone()),
        items: Vec::new(),
        copies: Vec::new(),
        conditions: Vec::new(),
    };
    match targets(application, &at, cluster, sources).await {
        Ok((revision, objects)) => {
            comparison.revision = revision;
            for object in objects.iter() {
                if let Err(condition) =
                    add_target(application, object, cluster, &mut comparison).await
                {
                    comparison.conditions.push(condition);
                }
            }
        }
        Err(condition) => comparison.conditions.push(condition),
    }
    if let Err(condition) = add_extras(application, cluster, tracked, &mut comparison).await {
        comparison.conditions.push(condition);
    }
    comparison
}

async fn targets(
    application: &Value,
    at: &At<'_>,
    cluster: &Cluster,
    sources: &mut Sources,
) -> Result<(String, Arc<Vec<Value>>), Condition> {
    let spec = &application["spec"];
    let several = spec["sources"]
        .as_array()
        .is_some_and(|sources| !sources.is_empty());
    if several || !spec["sourceHydrator"].is_null() {
        let why = "this controller handles one plain-directory source: spec.sources and spec.sourceHydrator are not served";
        return Err(Condition::new("ComparisonError", why));
    }
    if let Some(condition) = ignore::unsupported(application) {
        return Err(condition);
    }
    super::project::check(application, at.source, cluster).await?;
    let failed = |error: anyhow::Error| {
        let why = format!(
            "Failed to load target state: failed to generate manifest for source 1 of 1: rpc error: code = Unknown desc = {error:#}"
        );
        Condition::new("ComparisonError", why)
    };
    let source = Source::read(at.source).map_err(failed)?;
    let wanted = at.revision.unwrap_or(&source.target_revision);
    let revision = sources
        .resolve(&source, wanted, at.fresh)
        .await
        .map_err(failed)?;
    let rendered = sources.render(&source, &revision).await.map_err(failed)?;
    Ok((revision, rendered))
}

async fn add_target(
    application: &Value,
    object: &Value,
    cluster: &Cluster,
    comparison: &mut Comparison,
) -> Result<(), Condition> {
    let comparison_error = |error: crate::cluster::ApiError| {
        Condition::new(
            "ComparisonError",
            format!("Failed to load live state: {error}"),
        )
    };
    let mut target = object.clone();
    let Some(mut id) = Ref::of(&target) else {
        return Ok(());
    };
    let annotations = &target["metadata"]["annotations"];
    let helm = &annotations["helm.sh/hook"];
    if annotations["argocd.argoproj.io/hook"].is_string()
        || (helm.is_string() && helm != "crd-install")
    {
        let why = format!(
            "{} {} is a hook: this controller leaves hooks out",
            id.gvk.kind, id.name
        );
        comparison
            .conditions
            .push(Condition::new("ExcludedResourceWarning", why));
        return Ok(());
    }
    let destination = application["spec"]["destination"]["namespace"]
        .as_str()
        .unwrap_or_default();
    match cluster.served(&id.gvk).await {
        Ok(served) if served.namespaced => {
            if id.namespace.is_empty() {
                id.namespace = destination.to_owned();
                target["metadata"]["namespace"] = json!(destination);
            }
        }
        Ok(_) => {
            id.namespace.clear();
            if let Some(metadata) = target["metadata"].as_object_mut() {
                metadata.shift_remove("namespace");
            }
        }
        // As on the real one, a kind that is not served is seen when it is applied.
        Err(error) if error.code() == 404 => {}
        Err(error) => return Err(comparison_error(error)),
    }
    let instance = application["metadata"]["name"].as_str().unwrap_or_default();
    let tracking = TrackingId::of(instance, &id, destination).to_string();
    if !target["metadata"]["annotations"].is_object() {
        target["metadata"]["annotations"] = json!({});
    }
    target["metadata"]["annotations"][TRACKING] = json!(tracking);
    let ignored = ignore::pointers(application, &id);
    if let Some(earlier) = comparison
        .items
        .iter_mut()
        .find(|item| item.target_ref == id)
    {
        let why = format!(
            "Resource {}/{}/{} appeared 2 times among application resources.",
            id.gvk.kind, id.namespace, id.name
        );
        comparison
            .conditions
            .push(Condition::new("RepeatedResourceWarning", why));
        earlier.synced = earlier
            .live
            .as_ref()
            .is_some_and(|live| is_synced(&target, live, style(&id), &ignored));
        earlier.target = Some(target);
        return Ok(());
    }
    let live = match cluster.get(&id).await {
        Ok(live) => live,
        Err(error) if error.code() == 404 => None,
        Err(error) => return Err(comparison_error(error)),
    };
    if let Some(other) = live
        .as_ref()
        .and_then(TrackingId::on)
        .filter(|other| other.instance != instance)
    {
        let why = format!(
            "{}/{} is part of applications {instance} and {}",
            id.gvk.kind, id.name, other.instance
        );
        comparison
            .conditions
            .push(Condition::new("SharedResourceWarning", why));
    }
    comparison.items.push(Item {
        synced: live
            .as_ref()
            .is_some_and(|live| is_synced(&target, live, style(&id), &ignored)),
        wave: target["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"]
            .as_str()
            .and_then(|wave| wave.parse().ok())
            .unwrap_or(0),
        target_ref: id,
        target: Some(target),
        live,
    });
    Ok(())
}

/// Objects that carry our tracking id and have no target any more.
async fn add_extras(
    application: &Value,
    cluster: &Cluster,
    tracked: &Tracked,
    comparison: &mut Comparison,
) -> Result<(), Condition> {
    let instance = application["metadata"]["name"].as_str().unwrap_or_default();
    for id in tracked.of(instance) {
        if comparison.items.iter().any(|item| {
            item.target_ref.gvk.group == id.gvk.group
                && item.target_ref.gvk.kind == id.gvk.kind
                && item.target_ref.namespace == id.namespace
                && item.target_ref.name == id.name
        }) {
            continue;
        }
        let live = cluster.get(&id).await.map_err(|error| {
            Condition::new(
                "ComparisonError",
                format!("Failed to load live state: {error}"),
            )
        })?;
        // The watch may lag behind: what counts is the object as it is now.
        let Some(live) = live else { continue };
        let owned = live["metadata"]["ownerReferences"]
            .as_array()
            .is_some_and(|owners| !owners.is_empty());
        if owned {
            continue;
        }
        match TrackingId::on(&live) {
            Some(found) if found.instance == instance => {}
            Some(_) => continue,
            None => {
                comparison.copies.push(id);
                continue;
            }
        }
        let ignored = live["metadata"]["annotations"]["argocd.argoproj.io/compare-options"]
            .as_str()
            .is_some_and(|options| {
                options
                    .split(',')
                    .any(|option| option.trim() == "IgnoreExtraneous")
            });
        comparison.items.push(Item {
            target_ref: id,
            target: None,
            live: Some(live),
            synced: ignored,
            wave: 0,
        });
    }
    Ok(())
}
