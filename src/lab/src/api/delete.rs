//! Deletion: preconditions, finalizers, owner references, and the end of a namespace.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::route::{Query, Target};
use super::status::{Cause, Failure};
use super::store::{Key, Store};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// `DeleteOptions`, from body and query.
#[derive(Debug)]
pub struct Options {
    uid: Option<String>,
    resource_version: Option<String>,
    propagation: Propagation,
    pub dry: bool,
}

impl Options {
    pub fn parse(query: &Query, body: &[u8]) -> Result<Self, Failure> {
        let body: Value = if body.is_empty() {
            json!({})
        } else {
            super::decode::body(body, "application/yaml")?
        };
        let policy = body["propagationPolicy"]
            .as_str()
            .unwrap_or(query.get("propagationPolicy"));
        let orphan = body["orphanDependents"]
            .as_bool()
            .unwrap_or(query.flag("orphanDependents"));
        let both =
            !query.get("orphanDependents").is_empty() || body["orphanDependents"].is_boolean();
        if both && !policy.is_empty() {
            let cause = Cause::invalid(
                "propagationPolicy",
                &json!(policy),
                "orphanDependents and deletionPropagation cannot be both set",
            );
            return Err(Failure::invalid(
                "meta.k8s.io",
                "DeleteOptions",
                "",
                vec![cause],
            ));
        }
        let propagation = match policy {
            "Orphan" => Propagation::Orphan,
            "Foreground" => Propagation::Foreground,
            "" if orphan => Propagation::Orphan,
            "" | "Background" => Propagation::Background,
            other => {
                let cause = Cause {
                    reason: "FieldValueNotSupported",
                    message: format!(
                        "Unsupported value: {other:?}: supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
                    ),
                    field: "propagationPolicy".into(),
                };
                return Err(Failure::invalid(
                    "meta.k8s.io",
                    "DeleteOptions",
                    "",
                    vec![cause],
                ));
            }
        };
        let own = |key: &str| body["preconditions"][key].as_str().map(str::to_owned);
        let dry = query.get("dryRun") == "All"
            || body["dryRun"]
                .as_array()
                .is_some_and(|d| d.iter().any(|v| v == "All"));
        Ok(Self {
            uid: own("uid"),
            resource_version: own("resourceVersion"),
            propagation,
            dry,
        })
    }
}

/// True while something still has to let go of the object.
pub fn held(object: &Value) -> bool {
    let waits = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_array)
            .is_some_and(|l| !l.is_empty())
    };
    let namespace = object["kind"] == "Namespace" && object["apiVersion"] == "v1";
    waits("/metadata/finalizers") || (namespace && waits("/spec/finalizers"))
}

/// DELETE of one object.
pub fn delete(
    store: &mut Store,
    target: &Target,
    options: &Options,
    now: &str,
) -> Result<(u16, Value), Failure> {
    let kind = &target.kind;
    let key = Store::key(kind, &target.namespace, &target.name);
    let live = store
        .get(&key)
        .cloned()
        .ok_or_else(|| Failure::not_found(kind, &target.name))?;
    let text = |field: &str| live["metadata"][field].as_str().unwrap_or("").to_owned();
    for (field, label, wanted, hint) in [
        (
            "uid",
            "UID",
            &options.uid,
            "The object might have been deleted and then recreated",
        ),
        (
            "resourceVersion",
            "ResourceVersion",
            &options.resource_version,
            "The object might have been modified",
        ),
    ] {
        if let Some(wanted) = wanted
            && *wanted != text(field)
        {
            // A Namespace has a storage of its own, and words of its own.
            if kind.kind == "Namespace" {
                let why = format!(
                    "Precondition failed: {label} in precondition: {wanted}, {label} in object meta: {}",
                    text(field)
                );
                return Err(Failure::conflict(kind, &target.name, &why));
            }
            let why = format!(
                "the {label} in the precondition ({wanted}) does not match the {label} in record ({}). {hint}",
                text(field)
            );
            return Err(Failure::precondition(kind, &target.name, &why));
        }
    }
    let mut details =
        json!({"name": target.name, "kind": kind.plural, "uid": live["metadata"]["uid"]});
    if !kind.group.is_empty() {
        details["group"] = json!(kind.group);
    }
    let success = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details});
    // These answer with the object as it was at the end, the others with a word.
    let shown = matches!(kind.kind.as_str(), "Pod" | "ServiceAccount" | "Service");
    if options.dry {
        let answer = match doomed(store, &live, options.propagation, now) {
            Some(object) => object,
            None if shown => (*live).clone(),
            None => success,
        };
        return Ok((200, answer));
    }
    let left = doom(store, &key, options.propagation, now);
    let answer = match &left {
        Left::Held(object) => (**object).clone(),
        Left::Gone(object) if shown => (**object).clone(),
        Left::Gone(_) => success,
        Left::Nothing => (*live).clone(),
    };
    settle(store, now);
    Ok((200, answer))
}

/// What a deletion leaves.
enum Left {
    /// It waits for its finalizers.
    Held(Arc<Value>),
    /// It is gone; this is the last of it.
    Gone(Arc<Value>),
    /// It was not there any more.
    Nothing,
}

/// DELETE of a collection.
pub fn delete_all(
    store: &mut Store,
    target: &Target,
    keep: impl Fn(&Value) -> bool,
    options: &Options,
    now: &str,
) -> Value {
    let keys: Vec<(Key, Arc<Value>)> = store
        .list(&target.kind.qualified(), &target.namespace)
        .filter(|(_, object)| keep(object))
        .map(|(key, object)| (key.clone(), object.clone()))
        .collect();
    if !options.dry {
        for (key, _) in &keys {
            doom(store, key, options.propagation, now);
        }
        settle(store, now);
    }
    let metadata = json!({"resourceVersion": store.version().to_string()});
    super::present::list(
        super::present::Form::Full,
        &target.kind,
        keys.iter().map(|(_, o)| &**o),
        metadata,
    )
}

/// Starts a deletion.
fn doom(store: &mut Store, key: &Key, propagation: Propagation, now: &str) -> Left {
    let Some(live) = store.get(key).cloned() else {
        return Left::Nothing;
    };
    if propagation == Propagation::Orphan {
        orphan(store, live["metadata"]["uid"].as_str().unwrap_or(""));
    }
    match doomed(store, &live, propagation, now) {
        None => remove(store, key).map_or(Left::Nothing, Left::Gone),
        Some(object) if object == *live => Left::Held(live),
        Some(object) => Left::Held(store.commit(key.clone(), Some(object))),
    }
}

/// An object as a deletion leaves it: marked, when something holds it.
fn doomed(store: &Store, live: &Value, propagation: Propagation, now: &str) -> Option<Value> {
    let mut object = live.clone();
    if propagation == Propagation::Foreground && !dependents(store, live).is_empty() {
        let list = &mut object["metadata"]["finalizers"];
        if !list.is_array() {
            *list = json!([]);
        }
        if let Some(list) = list.as_array_mut()
            && !list.iter().any(|f| f == "foregroundDeletion")
        {
            list.push(json!("foregroundDeletion"));
        }
    }
    if !held(&object) {
        return None;
    }
    let namespace = object["kind"] == "Namespace" && object["apiVersion"] == "v1";
    if live["metadata"].get("deletionTimestamp").is_none() {
        object["metadata"]["deletionTimestamp"] = json!(now);
        if !namespace {
            object["metadata"]["deletionGracePeriodSeconds"] = json!(0);
        }
        if let Some(generation) = live["metadata"]["generation"].as_i64() {
            object["metadata"]["generation"] = json!(generation + 1);
        }
        if namespace {
            object["status"]["phase"] = json!("Terminating");
        }
    }
    Some(object)
}

/// Takes an object out of the store; its tokens and a definition's objects go with it.
pub fn remove(store: &mut Store, key: &Key) -> Option<Arc<Value>> {
    let live = store.get(key)?.clone();
    let gone = store.commit(key.clone(), None);
    if key.0 == "serviceaccounts" {
        let uid = live["metadata"]["uid"].as_str().unwrap_or("").to_owned();
        store.tokens.retain(|_, token| token.uid != uid);
    }
    if key.0 == "customresourcedefinitions.apiextensions.k8s.io" {
        let keys: Vec<Key> = store.list(&key.2, "").map(|(k, _)| k.clone()).collect();
        for key in keys {
            store.commit(key, None);
        }
    }
    settle(store, &super::store::now());
    Some(gone)
}

fn owners(object: &Value) -> impl Iterator<Item = &str> {
    object["metadata"]["ownerReferences"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|o| o["uid"].as_str())
}

fn dependents(store: &Store, owner: &Value) -> Vec<Key> {
    let uid = owner["metadata"]["uid"].as_str().unwrap_or("");
    store
        .all()
        .filter(|(_, o)| owners(o).any(|u| u == uid))
        .map(|(k, _)| k.clone())
        .collect()
}

fn orphan(store: &mut Store, uid: &str) {
    let keys: Vec<Key> = store
        .all()
        .filter(|(_, o)| owners(o).any(|u| u == uid))
        .map(|(k, _)| k.clone())
        .collect();
    for key in keys {
        let Some(live) = store.get(&key).cloned() else {
            continue;
        };
        let mut object = (*live).clone();
        if let Some(list) = object["metadata"]["ownerReferences"].as_array_mut() {
            list.retain(|o| o["uid"] != uid);
            if list.is_empty()
                && let Some(metadata) = object["metadata"].as_object_mut()
            {
                metadata.shift_remove("ownerReferences");
            }
        }
        store.commit(key, Some(object));
    }
}

/// Runs the garbage collector and the namespace controller until nothing more falls.
fn settle(store: &mut Store, now: &str) {
    loop {
        let alive: HashSet<&str> = store
            .all()
            .filter_map(|(_, o)| o["metadata"]["uid"].as_str())
            .collect();
        let closing: HashSet<&str> = store
            .list("namespaces", "")
            .filter(|(_, n)| n["metadata"].get("deletionTimestamp").is_some())
            .map(|(key, _)| key.2.as_str())
            .collect();
        let going: HashSet<&str> = store
            .all()
            .filter(|(_, o)| o["metadata"].get("deletionTimestamp").is_some())
            .filter(|(_, o)| {
                o["metadata"]["finalizers"]
                    .as_array()
                    .is_some_and(|f| f.iter().any(|f| f == "foregroundDeletion"))
            })
            .filter_map(|(_, o)| o["metadata"]["uid"].as_str())
            .collect();
        let fallen = store.all().filter(|(key, object)| {
            if object["metadata"].get("deletionTimestamp").is_some() {
                return false;
            }
            let mut any = false;
            let lost = owners(object).all(|uid| {
                any = true;
                !alive.contains(uid) || going.contains(uid)
            });
            (any && lost) || (!key.1.is_empty() && closing.contains(key.1.as_str()))
        });
        let fallen: Vec<Key> = fallen.map(|(key, _)| key.clone()).collect();
        let again = !fallen.is_empty();
        // Foreground deletions whose dependents are gone, and namespaces that are empty, finish.
        let waiting: Vec<Key> = store
            .all()
            .filter(|(_, o)| {
                o["metadata"]["uid"]
                    .as_str()
                    .is_some_and(|uid| going.contains(uid))
            })
            .map(|(k, _)| k.clone())
            .collect();
        let empty: Vec<Key> = store
            .list("namespaces", "")
            .filter(|(key, _)| closing.contains(key.2.as_str()))
            .filter(|(key, _)| !store.all().any(|(k, _)| k.1 == key.2))
            .map(|(key, _)| key.clone())
            .collect();
        let mut moved = again;
        for key in fallen {
            doom_quietly(store, &key, now);
        }
        for key in waiting {
            let Some(live) = store.get(&key).cloned() else {
                continue;
            };
            if dependents(store, &live).is_empty() {
                let mut object = (*live).clone();
                if let Some(list) = object["metadata"]["finalizers"].as_array_mut() {
                    list.retain(|f| f != "foregroundDeletion");
                }
                finish(store, key, object);
                moved = true;
            }
        }
        for key in empty {
            let Some(live) = store.get(&key).cloned() else {
                continue;
            };
            let mut object = (*live).clone();
            object["spec"] = json!({});
            finish(store, key, object);
            moved = true;
        }
        if !moved {
            return;
        }
    }
}

fn finish(store: &mut Store, key: Key, object: Value) {
    let held = held(&object);
    store.commit(key.clone(), Some(object));
    if !held {
        store.commit(key, None);
    }
}

fn doom_quietly(store: &mut Store, key: &Key, now: &str) {
    let Some(live) = store.get(key).cloned() else {
        return;
    };
    if held(&live) {
        let mut object = (*live).clone();
        object["metadata"]["deletionTimestamp"] = json!(now);
        object["metadata"]["deletionGracePeriodSeconds"] = json!(0);
        store.commit(key.clone(), Some(object));
    } else {
        store.commit(key.clone(), None);
        if key.0 == "serviceaccounts" {
            let uid = live["metadata"]["uid"].as_str().unwrap_or("").to_owned();
            store.tokens.retain(|_, token| token.uid != uid);
        }
    }
}
