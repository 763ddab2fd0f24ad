//! What a client-side sync will do: the patch that `kubectl apply` and Argo CD send, a local prediction of its effect,
//! and the comparison of a predicted effect with the expected one.
//!
//! Source: apimachinery `CreateThreeWayMergePatch` (strategic for the kinds whose types the client knows, JSON merge for
//! the others), kubectl `GetModifiedConfiguration`, Argo CD `SetAppInstance`.

mod patch;
mod predict;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::object::defaults::fill;
use crate::object::diff::{FieldChange, diff, same_meaning};
use crate::object::identity::{NotAnObject, ObjectRef};
use crate::object::listkeys::is_builtin;
use crate::object::managed::{Entry, Managed};
use crate::object::normalise::{TRACKING_ID, fold_string_data, is_bookkeeping};
use crate::object::path::FieldPath;
use crate::object::redact::LAST_APPLIED;

/// How the body of a patch is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PatchType {
    Strategic,
    /// RFC 7396.
    Merge,
}

impl PatchType {
    pub fn content_type(self) -> &'static str {
        match self {
            PatchType::Strategic => "application/strategic-merge-patch+json",
            PatchType::Merge => "application/merge-patch+json",
        }
    }
}

/// A patch as it would be sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Patch {
    pub patch_type: PatchType,
    pub body: Value,
}

fn schema<'a>(desired: &Value, kind: &'a str) -> patch::Schema<'a> {
    let api = desired
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let group = api.split_once('/').map_or("", |(group, _)| group);
    patch::Schema {
        kind,
        strategic: (!group.contains('.') || group.ends_with(".k8s.io")) && is_builtin(kind),
    }
}

/// The patch that a client-side apply sends: what was applied before and is gone from `desired` is removed, what differs
/// from `live` is set, and what only lives live is left alone. An empty body means that nothing is sent.
pub fn three_way_patch(
    last_applied: Option<&Value>,
    desired: &Value,
    live: &Value,
    kind: &str,
) -> Patch {
    let schema = schema(desired, kind);
    let body = match (desired, live) {
        (Value::Object(want), Value::Object(have)) => {
            schema.three_way(last_applied.and_then(Value::as_object), want, have)
        }
        _ => Map::new(),
    };
    Patch {
        patch_type: match schema.strategic {
            true => PatchType::Strategic,
            false => PatchType::Merge,
        },
        body: Value::Object(body),
    }
}

/// The fields that a server-side sync takes away or sets back although a trial of its apply keeps them.
///
/// What was applied client-side is handed over to the applier before it applies (kubectl `migrateToSSAIfNecessary`: the fields of whoever wrote
/// last-applied; gitops-engine `performCSAUpgradeMigration`: those of `kubectl apply`), and what the applier owns and does not apply goes. With
/// `own`, those that the applier has owned before are among them.
pub fn taken_over(live: &Value, wanted: &Value, applier: &str, own: bool) -> Vec<FieldPath> {
    let last_applied = FieldPath::keys(["metadata", "annotations", LAST_APPLIED]);
    let managed = Managed::read(live);
    let applies = |e: &Entry| e.operation == "Apply" && e.manager == applier;
    let handed = |e: &Entry| {
        e.operation == "Update"
            && e.subresource.is_none()
            && (e.manager == "kubectl-client-side-apply" || e.names(&last_applied))
    };
    let (taken, left): (Vec<&Entry>, Vec<&Entry>) = managed
        .entries
        .iter()
        .filter(|e| own || !applies(e))
        .partition(|e| handed(e) || applies(e));
    let mut wanted = wanted.clone();
    let secret = wanted.get("kind").and_then(Value::as_str) == Some("Secret");
    if let Some(map) = wanted.as_object_mut().filter(|_| secret) {
        fold_string_data(map);
    }
    let filled = fill(&wanted);
    let mut gone: Vec<FieldPath> = taken
        .iter()
        .flat_map(|e| &e.fields)
        .filter(|path| !is_bookkeeping(path) && path.get(&wanted).is_none())
        .filter(|path| {
            let now = path.get(live);
            now.is_some() && now != path.get(&filled)
        })
        .filter(|path| !left.iter().any(|e| e.owns(path)))
        .cloned()
        .collect();
    gone.sort();
    gone.dedup();
    gone
}

/// The live object after that patch, as far as it can be told without asking the API server: defaults, webhooks and
/// bookkeeping are not in it, nor is what becomes of removals inside an item that somebody deleted live and the apply adds
/// anew. A dry run on the server outranks it.
pub fn predict(last_applied: Option<&Value>, desired: &Value, live: &Value, kind: &str) -> Value {
    match (desired, live) {
        (Value::Object(want), Value::Object(have)) => {
            let applied = last_applied.and_then(Value::as_object);
            Value::Object(schema(desired, kind).predict(&FieldPath::root(), applied, want, have))
        }
        _ => desired.clone(),
    }
}

/// The tracking id that Argo CD writes. A cluster-scoped object carries the destination's namespace in it.
pub fn tracking_id(object: &ObjectRef, instance: &str, destination_namespace: &str) -> String {
    format!(
        "{instance}:{}/{}:{}/{}",
        object.group,
        object.kind,
        object.namespace.as_deref().unwrap_or(destination_namespace),
        object.name
    )
}

/// Keys in order and `<`, `>`, `&` escaped: how Go writes JSON, which is how the annotation is written.
fn go_json(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(map) => {
                let mut pairs: Vec<_> = map.iter().collect();
                pairs.sort_by_key(|(name, _)| name.as_str());
                Value::Object(
                    pairs
                        .into_iter()
                        .map(|(k, v)| (k.clone(), sorted(v)))
                        .collect(),
                )
            }
            Value::Array(list) => list.iter().map(sorted).collect(),
            other => other.clone(),
        }
    }
    sorted(value)
        .to_string()
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// What Argo CD hands to a client-side apply: the rendered object with its tracking annotation, and the whole of that in
/// the last-applied annotation. `instance` is [`crate::object::identity::AppKey::instance`].
pub fn desired_for_apply(
    desired: &Value,
    instance: &str,
    destination_namespace: &str,
) -> Result<Value, NotAnObject> {
    let object = ObjectRef::from_object(desired)?;
    let mut out = desired.clone();
    let mut annotations = out
        .pointer("/metadata/annotations")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    annotations.shift_remove(LAST_APPLIED);
    annotations.insert(
        TRACKING_ID.to_owned(),
        Value::from(tracking_id(&object, instance, destination_namespace)),
    );
    out["metadata"]["annotations"] = Value::Object(annotations);
    let applied = format!("{}\n", go_json(&out));
    out["metadata"]["annotations"][LAST_APPLIED] = Value::from(applied);
    Ok(out)
}

/// A predicted effect held against the expected one.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Comparison {
    /// Expected and predicted.
    pub same: Vec<FieldChange>,
    /// Predicted and not expected, or to another value than expected: the walk stops.
    pub unexpected: Vec<FieldChange>,
    /// Expected and not predicted, or to another value: the walk stops.
    pub missing: Vec<FieldChange>,
    /// Moves with every apply: listed, not compared.
    pub bookkeeping: Vec<FieldPath>,
}

impl Comparison {
    pub fn is_as_expected(&self) -> bool {
        self.unexpected.is_empty() && self.missing.is_empty()
    }

    /// True for the canary: nothing was expected and nothing but bookkeeping would move.
    pub fn is_no_change(&self) -> bool {
        self.is_as_expected() && self.same.is_empty()
    }
}

/// The change from the live object to the one that a dry run answered with.
pub fn effect(live: &Value, after: &Value, kind: &str) -> Vec<FieldChange> {
    diff(live, after, kind)
}

/// Compares field by field. Only bookkeeping is exempt; a changed order is not.
pub fn compare(kind: &str, expected: &[FieldChange], predicted: &[FieldChange]) -> Comparison {
    let alike = |a: &FieldChange, b: &FieldChange| {
        a.path == b.path
            && a.order_only == b.order_only
            && same_meaning(kind, &a.path, a.to.as_ref(), b.to.as_ref())
    };
    let mut out = Comparison::default();
    for change in predicted {
        if is_bookkeeping(&change.path) {
            out.bookkeeping.push(change.path.clone());
        } else if expected.iter().any(|e| alike(e, change)) {
            out.same.push(change.clone());
        } else {
            out.unexpected.push(change.clone());
        }
    }
    out.missing = expected
        .iter()
        .filter(|e| !is_bookkeeping(&e.path) && !predicted.iter().any(|p| alike(e, p)))
        .cloned()
        .collect();
    out
}

#[cfg(test)]
mod tests;
