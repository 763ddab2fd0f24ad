//! create, update, patch and apply: one pipeline from body to stored object.

use std::sync::Arc;

use serde_json::{Value, json};

use super::decode;
use super::defaults;
use super::delete;
use super::kinds::Resource;
use super::managed::{self, Writer};
use super::prepare;
use super::route::{Query, Target};
use super::status::{Cause, Failure};
use super::store::{self, Store};

/// An object larger than this does not fit into one request to etcd.
const OBJECT_LIMIT: usize = 1_572_864;

/// What every write of one request shares.
#[derive(Debug)]
pub struct Write<'a> {
    pub target: &'a Target,
    pub query: &'a Query,
    pub agent: &'a str,
    pub content_type: &'a str,
    pub body: &'a [u8],
    pub now: String,
    pub warnings: Vec<String>,
    /// The name that a create ended up with.
    pub name: String,
}

/// Status code and object.
pub type Answer = Result<(u16, Arc<Value>), Failure>;

impl Write<'_> {
    pub(super) fn kind(&self) -> &Resource {
        &self.target.kind
    }

    pub fn dry(&self) -> bool {
        self.query.get("dryRun") == "All"
    }

    /// Options that every write may carry, of the kind that belongs to its verb.
    pub fn options(&self, kind: &str) -> Result<(), Failure> {
        let mut causes = Vec::new();
        if self.query.get("fieldManager").len() > 128 {
            causes.push(Cause {
                reason: "FieldValueTooLong",
                message: "Too long: may not be more than 128 bytes".into(),
                field: "fieldManager".into(),
            });
        }
        let mut supported = |field: &str, all: &[&str]| {
            let value = self.query.get(field);
            if !value.is_empty() && !all.contains(&value) {
                let value = match field {
                    // It may be given more than once.
                    "dryRun" => format!("[{value:?}]"),
                    _ => format!("{value:?}"),
                };
                let all: Vec<String> = all.iter().map(|one| format!("{one:?}")).collect();
                causes.push(Cause {
                    reason: "FieldValueNotSupported",
                    message: format!(
                        "Unsupported value: {value}: supported values: {}",
                        all.join(", ")
                    ),
                    field: field.into(),
                });
            }
        };
        supported("dryRun", &["All"]);
        supported("fieldValidation", &["", "Ignore", "Strict", "Warn"]);
        if causes.is_empty() {
            return Ok(());
        }
        Err(Failure::invalid("meta.k8s.io", kind, "", causes))
    }

    pub fn writer(&self) -> Writer {
        let named = self.query.get("fieldManager");
        let agent: String = self
            .agent
            .split('/')
            .next()
            .unwrap_or("")
            .chars()
            .filter(|c| !c.is_control())
            .take(128)
            .collect();
        Writer {
            manager: if named.is_empty() {
                agent
            } else {
                named.to_owned()
            },
            api_version: self.kind().api_version(),
            subresource: self.target.subresource.clone(),
            now: self.now.clone(),
        }
    }

    /// Why unknown fields are refused, if they are asked to be.
    pub(super) fn refuses(&self, unknown: &[String]) -> Option<String> {
        if unknown.is_empty() || self.query.get("fieldValidation") != "Strict" {
            return None;
        }
        let words: Vec<String> = unknown
            .iter()
            .map(|path| format!("unknown field {path:?}"))
            .collect();
        Some(format!("strict decoding error: {}", words.join(", ")))
    }

    /// Field validation as asked for: refuse, warn or ignore.
    pub fn unknown(&mut self, unknown: &[String]) -> Result<(), Failure> {
        if unknown.is_empty() {
            return Ok(());
        }
        let words: Vec<String> = unknown
            .iter()
            .map(|path| format!("unknown field {path:?}"))
            .collect();
        match self.query.get("fieldValidation") {
            "Strict" => {
                let kind = self.kind();
                let message = format!(
                    "{} in version {:?} cannot be handled as a {}: strict decoding error: {}",
                    kind.kind,
                    kind.version,
                    kind.kind,
                    words.join(", ")
                );
                Err(Failure::bad_request(message))
            }
            "Ignore" => Ok(()),
            _ => {
                self.warnings.extend(words);
                Ok(())
            }
        }
    }

    pub(super) fn same_type(&self, object: &Value) -> Result<(), Failure> {
        let kind = self.kind();
        let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or("");
        let (have, want) = (text("apiVersion"), kind.api_version());
        let foreign = (!have.is_empty() && have != want)
            || (!text("kind").is_empty() && text("kind") != kind.kind);
        if foreign && !kind.is_custom() {
            // The server's own name of the group that both kinds are converted through.
            let internal = match kind.group.split('.').next() {
                Some("") | None => "core",
                Some(group) => group,
            };
            return Err(Failure::bad_request(format!(
                "{} in version {:?} cannot be handled as a {}: converting ({}.{}) to ({internal}.{}): unknown conversion",
                text("kind"),
                have.rsplit('/').next().unwrap_or_default(),
                kind.kind,
                have.rsplit('/').next().unwrap_or_default(),
                text("kind"),
                kind.kind
            )));
        }
        if !have.is_empty() && have != want {
            return Err(Failure::bad_request(format!(
                "the API version in the data ({have}) does not match the expected API version ({want})"
            )));
        }
        if !text("kind").is_empty() && text("kind") != kind.kind {
            return Err(Failure::bad_request(format!(
                "{} in version {:?} cannot be handled as a {}: no kind {:?} is registered for this resource",
                text("kind"),
                kind.version,
                kind.kind,
                text("kind")
            )));
        }
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or("");
        if !namespace.is_empty() && kind.namespaced && namespace != self.target.namespace {
            return Err(Failure::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        Ok(())
    }

    pub(super) fn named(&self, object: &Value) -> Result<(), Failure> {
        let name = object["metadata"]["name"].as_str().unwrap_or("");
        if !name.is_empty() && name != self.target.name {
            return Err(Failure::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                self.target.name
            )));
        }
        Ok(())
    }

    /// POST.
    pub fn create(&mut self, store: &mut Store) -> Answer {
        if self.kind().namespaced && self.target.namespace.is_empty() {
            return Err(Failure::bad_request(
                "an empty namespace may not be set during creation",
            ));
        }
        let object = decode::body(self.body, self.content_type)?;
        self.same_type(&object)?;
        let decoded = decode::normalise(self.kind(), object)?;
        self.unknown(&decoded.unknown)?;
        let mut object = decoded.object;
        let wanted = object["metadata"]["generateName"]
            .as_str()
            .map(str::to_owned);
        if let (Some(prefix), true) = (
            wanted,
            object["metadata"]["name"]
                .as_str()
                .is_none_or(str::is_empty),
        ) {
            object["metadata"]["name"] = json!(format!("{prefix}{}", store::suffix()));
        }
        if object["metadata"]["resourceVersion"]
            .as_str()
            .is_some_and(|v| !v.is_empty())
        {
            return Err(Failure::plain(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        self.insert(store, object, None)
    }

    /// Stores a new object. `managed`: server-side apply has already computed the owners.
    pub(super) fn insert(
        &mut self,
        store: &mut Store,
        mut object: Value,
        managed: Option<()>,
    ) -> Answer {
        let target = self.target;
        let kind = target.kind.clone();
        let dry = self.dry();
        let name = object["metadata"]["name"].as_str().unwrap_or("").to_owned();
        self.name.clone_from(&name);
        if let Some(metadata) = object["metadata"].as_object_mut() {
            for key in [
                "uid",
                "creationTimestamp",
                "generation",
                "resourceVersion",
                "deletionTimestamp",
                "selfLink",
            ] {
                metadata.shift_remove(key);
            }
            if kind.namespaced {
                metadata.insert("namespace".into(), json!(target.namespace));
            } else {
                metadata.shift_remove("namespace");
            }
        }
        let mut status = None;
        if kind.has_status() {
            status = object
                .as_object_mut()
                .and_then(|map| map.shift_remove("status"));
        }
        if kind.namespaced {
            admit(store, &kind, &target.namespace, &name)?;
        }
        let key = Store::key(&kind, &target.namespace, &name);
        defaults::fill(&kind, &mut object);
        if managed.is_none() {
            managed::update(
                &defaults::skeleton(&kind),
                &mut object,
                &kind.shape,
                &self.writer(),
            );
        }
        drop(status);
        prepare::on_create(store, &kind, &mut object, dry);
        object["metadata"]["uid"] = json!(store::uid());
        object["metadata"]["creationTimestamp"] = json!(self.now);
        prepare::validate(&kind, &object, None)?;
        self.advise(&object, &Value::Null);
        if store.get(&key).is_some() {
            return Err(Failure::already_exists(&kind, &name));
        }
        fits(&object)?;
        tidy(&mut object);
        if dry {
            return Ok((201, Arc::new(object)));
        }
        let stored = store.commit(key, Some(object));
        if kind.kind == "Namespace" && kind.group.is_empty() {
            default_account(store, &name, &self.now);
        }
        Ok((201, stored))
    }

    /// What is taken, but not liked: new finalizers of custom kinds without a path.
    fn advise(&mut self, object: &Value, live: &Value) {
        let list = |value: &Value| -> Vec<String> {
            let names = value["metadata"]["finalizers"].as_array();
            names
                .into_iter()
                .flatten()
                .filter_map(|name| name.as_str().map(str::to_owned))
                .collect()
        };
        let before = list(live);
        let bare = list(object)
            .into_iter()
            .filter(|name| !name.contains('/') && !before.contains(name));
        for name in bare.filter(|_| self.target.kind.is_custom()) {
            self.warnings.push(format!(
                "metadata.finalizers: {name:?}: prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers"
            ));
        }
    }

    /// PUT.
    pub fn update(&mut self, store: &mut Store) -> Answer {
        let object = decode::body(self.body, self.content_type)?;
        if self.kind().is_custom() {
            self.live(store)?;
        }
        self.same_type(&object)?;
        self.named(&object)?;
        let decoded = decode::normalise(self.kind(), object)?;
        self.unknown(&decoded.unknown)?;
        let live = match self.live(store) {
            Ok(live) => live,
            // Some kinds are made by an update of what is not there.
            Err(_) if self.target.subresource.is_empty() && made_by_update(self.kind()) => {
                return self.insert(store, decoded.object, None);
            }
            Err(failure) => return Err(failure),
        };
        let uid = decoded.object["metadata"]["uid"].as_str().unwrap_or("");
        let stored = live["metadata"]["uid"].as_str().unwrap_or("");
        if !uid.is_empty() && uid != stored {
            let why = format!(
                "StorageError: invalid object, Code: 4, Key: {}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object meta: {stored}",
                self.storage_key()
            );
            return Err(Failure::conflict(self.kind(), &self.target.name, &why));
        }
        let sent = decoded.object["metadata"]["resourceVersion"]
            .as_str()
            .unwrap_or("");
        let strict = self.kind().is_custom()
            || matches!(
                self.kind().kind.as_str(),
                "Lease" | "CustomResourceDefinition"
            );
        if sent.is_empty() && strict {
            let cause = Cause::invalid(
                "metadata.resourceVersion",
                &json!(0),
                "must be specified for an update",
            );
            return Err(Failure::invalid(
                &self.kind().group,
                &self.kind().plural,
                &self.target.name,
                vec![cause],
            ));
        }
        self.replace(store, &live, decoded.object, false)
    }

    /// Where the real server keeps the object: it shows in the words of a conflict.
    fn storage_key(&self) -> String {
        let kind = self.kind();
        let home = match (kind.is_custom(), kind.plural.as_str()) {
            (true, plural) => format!("{}/{plural}", kind.group),
            (false, "services") => "services/specs".to_owned(),
            (false, plural) => plural.to_owned(),
        };
        [
            "/registry",
            &home,
            &self.target.namespace,
            &self.target.name,
        ]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("/")
    }

    pub(super) fn live(&self, store: &Store) -> Result<Arc<Value>, Failure> {
        let key = Store::key(self.kind(), &self.target.namespace, &self.target.name);
        store
            .get(&key)
            .cloned()
            .ok_or_else(|| Failure::not_found(self.kind(), &self.target.name))
    }

    /// resourceVersion and uid of a body are preconditions.
    pub(super) fn check_identity(&self, live: &Value, object: &Value) -> Result<(), Failure> {
        let differs = |key: &str| {
            let sent = object["metadata"][key].as_str().unwrap_or("");
            !sent.is_empty() && Some(sent) != live["metadata"][key].as_str()
        };
        if differs("resourceVersion") {
            return Err(Failure::modified(self.kind(), &self.target.name));
        }
        if differs("uid") {
            let cause = Cause::invalid(
                "metadata.uid",
                &object["metadata"]["uid"],
                "field is immutable",
            );
            return Err(Failure::invalid(
                &self.kind().group,
                &self.kind().kind,
                &self.target.name,
                // Two validations find it, and both are listed.
                vec![cause.clone(), cause],
            ));
        }
        Ok(())
    }

    /// Takes a stored object to a new state. `managed`: the owners are already in `object`.
    pub fn replace(
        &mut self,
        store: &mut Store,
        live: &Arc<Value>,
        mut object: Value,
        managed: bool,
    ) -> Answer {
        let target = self.target;
        let kind = target.kind.clone();
        let dry = self.dry();
        if !managed {
            self.check_identity(live, &object)?;
        }
        let fixed = [
            "name",
            "namespace",
            "uid",
            "creationTimestamp",
            "generation",
            "resourceVersion",
            "selfLink",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "generateName",
        ];
        for field in fixed {
            let stored = live["metadata"].get(field).cloned();
            if let Some(metadata) = object["metadata"].as_object_mut() {
                match stored {
                    Some(value) => metadata.insert(field.into(), value),
                    None => metadata.shift_remove(field),
                };
            }
        }
        if target.subresource == "status" {
            let mut next = (**live).clone();
            copy(&mut next, &object, "status");
            if let Some(list) = object["metadata"].get("managedFields").filter(|_| managed) {
                next["metadata"]["managedFields"] = list.clone();
            }
            // Controllers write their revision annotations along with the status of built-in kinds.
            if !kind.is_custom() {
                let annotations = object["metadata"].get("annotations").cloned();
                if let (Some(annotations), Some(metadata)) =
                    (annotations, next["metadata"].as_object_mut())
                {
                    metadata.insert("annotations".into(), annotations);
                }
            }
            object = next;
        } else if kind.has_status() {
            copy(&mut object, live, "status");
        }
        defaults::fill(&kind, &mut object);
        if !managed {
            managed::update(live, &mut object, &kind.shape, &self.writer());
        }
        let whole = target.subresource.is_empty();
        prepare::on_update(&kind, live, &mut object, whole);
        prepare::validate(&kind, &object, Some(live))?;
        self.advise(&object, live);
        finalizers_only_shrink(&kind, live, &object)?;
        fits(&object)?;
        tidy(&mut object);
        if object == **live || only_times_moved(&object, live) {
            return Ok((200, live.clone()));
        }
        let key = Store::key(&kind, &target.namespace, &target.name);
        if dry {
            return Ok((200, Arc::new(object)));
        }
        let done = object["metadata"].get("deletionTimestamp").is_some() && !delete::held(&object);
        if done {
            // Letting go of the last finalizer is the deletion itself: the change has no version of its own.
            delete::remove(store, &key);
            return Ok((200, Arc::new(object)));
        }
        Ok((200, store.commit(key, Some(object))))
    }
}

/// Kinds whose storage makes an object that an update does not find.
fn made_by_update(kind: &Resource) -> bool {
    matches!(
        kind.kind.as_str(),
        "Lease"
            | "Role"
            | "RoleBinding"
            | "ClusterRole"
            | "ClusterRoleBinding"
            | "Service"
            | "Endpoints"
            | "Event"
    )
}

fn copy(into: &mut Value, from: &Value, key: &str) {
    if let Some(map) = into.as_object_mut() {
        match from.get(key) {
            Some(value) => map.insert(key.to_owned(), value.clone()),
            None => map.shift_remove(key),
        };
    }
}

/// Empty maps that a patch left behind in metadata are not stored.
fn tidy(object: &mut Value) {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|_, value| match value {
            Value::Null => false,
            Value::Object(map) => !map.is_empty(),
            Value::Array(items) => !items.is_empty(),
            _ => true,
        });
    }
}

fn fits(object: &Value) -> Result<(), Failure> {
    let size = object.to_string().len();
    if size > OBJECT_LIMIT {
        return Err(Failure::plain("etcdserver: request is too large"));
    }
    Ok(())
}

/// A write whose only effect would be newer managedFields times is no write.
fn only_times_moved(object: &Value, live: &Value) -> bool {
    let plain = |value: &Value| {
        let mut value = value.clone();
        for entry in value
            .pointer_mut("/metadata/managedFields")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if let Some(entry) = entry.as_object_mut() {
                entry.shift_remove("time");
            }
        }
        value
    };
    // An explicit PUT of the list may backdate it: only times that move forward are noise.
    let latest = |value: &Value| {
        let list = value
            .pointer("/metadata/managedFields")
            .and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(|e| e["time"].as_str().map(str::to_owned))
            .max()
    };
    latest(object) > latest(live) && plain(object) == plain(live)
}

fn finalizers_only_shrink(kind: &Resource, live: &Value, object: &Value) -> Result<(), Failure> {
    if live["metadata"].get("deletionTimestamp").is_none() {
        return Ok(());
    }
    let list = |value: &Value| {
        value["metadata"]["finalizers"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    };
    let old = list(live);
    let added: Vec<Value> = list(object)
        .into_iter()
        .filter(|f| !old.contains(f))
        .collect();
    if added.is_empty() {
        return Ok(());
    }
    let why = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        added
            .iter()
            .map(Value::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    );
    let cause = Cause::forbidden("metadata.finalizers", &why);
    let name = live["metadata"]["name"].as_str().unwrap_or("");
    Err(Failure::invalid(
        &kind.group,
        &kind.kind,
        name,
        vec![cause.clone(), cause],
    ))
}

/// The namespace must be there and alive.
fn admit(store: &Store, kind: &Resource, namespace: &str, name: &str) -> Result<(), Failure> {
    let key = ("namespaces".to_owned(), String::new(), namespace.to_owned());
    let Some(home) = store.get(&key) else {
        let mut failure = Failure::not_found(kind, namespace);
        failure.message = format!("namespaces {namespace:?} not found");
        failure.details = json!({"name": namespace, "kind": "namespaces"});
        return Err(failure);
    };
    if home["metadata"].get("deletionTimestamp").is_some() {
        let message = format!(
            "{} {name:?} is forbidden: unable to create new content in namespace {namespace} because it is being terminated",
            kind.qualified()
        );
        return Err(Failure::forbidden(message, &kind.group, &kind.plural, name));
    }
    Ok(())
}

/// What the service-account controller makes in every namespace.
pub fn default_account(store: &mut Store, namespace: &str, now: &str) {
    let object = json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": namespace, "uid": store::uid(), "creationTimestamp": now}});
    store.commit(
        ("serviceaccounts".into(), namespace.into(), "default".into()),
        Some(object),
    );
}
