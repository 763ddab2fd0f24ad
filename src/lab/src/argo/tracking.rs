//! Tracking ids: which Application an object says it belongs to, and an index of all objects that say so.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::TRACKING;
use crate::cluster::{Gvk, Ref};

/// The annotation `argocd.argoproj.io/tracking-id`: `<instance>:<group>/<kind>:<namespace>/<name>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackingId {
    pub instance: String,
    group: String,
    kind: String,
    namespace: String,
    name: String,
}

impl TrackingId {
    /// For an object of the Application `instance`; a cluster-scoped one carries the Application's destination namespace.
    pub fn of(instance: &str, object: &Ref, destination: &str) -> TrackingId {
        let namespace = if object.namespace.is_empty() {
            destination
        } else {
            &object.namespace
        };
        TrackingId {
            instance: instance.to_owned(),
            group: object.gvk.group.clone(),
            kind: object.gvk.kind.clone(),
            namespace: namespace.to_owned(),
            name: object.name.clone(),
        }
    }

    /// The id that a live object carries, if it is its own: copied metadata names another object and does not count.
    pub fn on(object: &Value) -> Option<TrackingId> {
        let text = object["metadata"]["annotations"][TRACKING].as_str()?;
        let mut parts = text.splitn(3, ':');
        let instance = parts.next()?;
        let (group, kind) = parts.next()?.split_once('/')?;
        let (namespace, name) = parts.next()?.split_once('/')?;
        let own = Ref::of(object)?;
        let same = own.gvk.group == group
            && own.gvk.kind == kind
            && own.name == name
            && (own.namespace.is_empty() || own.namespace == namespace);
        same.then(|| TrackingId {
            instance: instance.to_owned(),
            group: group.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }
}

/// The Application that an object names, if nothing made it: its own id or a copied one.
fn named(object: &Value) -> Option<String> {
    let text = object["metadata"]["annotations"][TRACKING].as_str()?;
    let owners = object["metadata"]["ownerReferences"].as_array();
    let made = owners.is_some_and(|owners| !owners.is_empty());
    let (instance, _) = text.split_once(':')?;
    (!made).then(|| instance.to_owned())
}

impl fmt::Display for TrackingId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{}:{}/{}:{}/{}",
            self.instance, self.group, self.kind, self.namespace, self.name
        )
    }
}

/// Which live objects carry whose tracking id, be it their own or a copied one; fed by the watches.
#[derive(Clone, Default)]
pub struct Tracked {
    objects: Arc<Mutex<BTreeMap<Ref, String>>>,
}

impl Tracked {
    /// Notes what a watch saw; gives the Applications concerned, before and after.
    pub fn saw(&self, object: &Value, gone: bool) -> Vec<String> {
        let Some(id) = Ref::of(object) else {
            return Vec::new();
        };
        let now = named(object).filter(|_| !gone);
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match &now {
            Some(instance) => objects.insert(id, instance.clone()),
            None => objects.remove(&id),
        };
        let mut concerned: Vec<String> = before.into_iter().chain(now).collect();
        concerned.dedup();
        concerned
    }

    /// Forgets the objects of a kind that a fresh list did not hold.
    pub fn keep_only(&self, gvk: &Gvk, listed: &std::collections::BTreeSet<Ref>) -> Vec<String> {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let mut concerned = Vec::new();
        objects.retain(|id, instance| {
            let keep = id.gvk != *gvk || listed.contains(id);
            if !keep {
                concerned.push(instance.clone());
            }
            keep
        });
        concerned
    }

    /// The objects that carry the id of `instance`.
    pub fn of(&self, instance: &str) -> Vec<Ref> {
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        objects
            .iter()
            .filter(|(_, owner)| *owner == instance)
            .map(|(id, _)| id.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_id_copied_from_another_object_does_not_count() {
        let object = |namespace: &str| {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "auth-config", "namespace": namespace,
                "annotations": {TRACKING: "auth-service:/ConfigMap:auth/auth-config"}}})
        };
        let own = TrackingId::on(&object("auth")).unwrap();
        assert_eq!(own.instance, "auth-service");
        assert_eq!(own.to_string(), "auth-service:/ConfigMap:auth/auth-config");
        assert_eq!(TrackingId::on(&object("like")), None);
        for hostile in ["", ":", "::", "a:b:c", "a:/b:c"] {
            let mut object = object("auth");
            object["metadata"]["annotations"][TRACKING] = json!(hostile);
            assert_eq!(TrackingId::on(&object), None, "{hostile}");
        }
    }
}
