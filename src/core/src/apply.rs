//! What a client-side sync will do: the patch that `kubectl apply` and Argo CD send, a local prediction of its effect,
//! and the comparison of a predicted effect with the expected one.
//!
//! Source: apimachinery `CreateThreeWayMergePatch` (strategic for the kinds whose types the client knows, JSON merge for
//! the others), kubectl `GetModifiedConfiguration`, Argo CD `SetAppInstance`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::object::diff::{FieldChange, diff, same_meaning};
use crate::object::identity::{NotAnObject, ObjectRef};
use crate::object::listkeys::{Merge, is_builtin, merge_at, patch_keys, retains_keys};
use crate::object::normalise::{TRACKING_ID, is_bookkeeping};
use crate::object::path::{Element, FieldPath};
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

type Object = Map<String, Value>;

fn is_typed(object: &Value) -> bool {
    let api = object
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let group = api.split_once('/').map_or("", |(group, _)| group);
    let kind = object
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default();
    (!group.contains('.') || group.ends_with(".k8s.io")) && is_builtin(kind)
}

/// One comparison of last-applied, desired and live.
struct ThreeWay<'a> {
    kind: &'a str,
    strategic: bool,
}

fn entries(value: Option<&Value>) -> Option<&Object> {
    value.and_then(Value::as_object)
}

fn items(value: Option<&Value>) -> &[Value] {
    value
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn find<'v>(list: &'v [Value], key: &str, item: &Value) -> Option<&'v Value> {
    list.iter().find(|other| other.get(key) == item.get(key))
}

impl ThreeWay<'_> {
    fn merge_key(&self, path: &FieldPath, lists: [&[Value]; 3]) -> Option<&'static str> {
        let key = self
            .strategic
            .then(|| patch_keys(self.kind, path))
            .flatten()?;
        lists
            .iter()
            .all(|list| list.iter().all(|item| item.get(key).is_some()))
            .then_some(key)
    }

    fn is_set(&self, path: &FieldPath) -> bool {
        self.strategic && merge_at(self.kind, path) == Merge::Set
    }

    fn patch(
        &self,
        path: &FieldPath,
        applied: Option<&Object>,
        desired: &Object,
        live: &Object,
    ) -> Object {
        let mut out = Object::new();
        for (name, want) in desired.iter().filter(|(_, v)| !v.is_null()) {
            let here = path.key(name);
            let before = applied.and_then(|a| a.get(name));
            match (want, live.get(name).filter(|v| !v.is_null())) {
                (_, Some(have)) if have == want && before.is_none_or(|b| b == want) => {}
                (Value::Object(want), Some(Value::Object(have))) => {
                    let mut sub = self.patch(&here, entries(before), want, have);
                    if !sub.is_empty() {
                        if self.strategic && retains_keys(self.kind, &here) {
                            sub.insert("$retainKeys".to_owned(), want.keys().cloned().collect());
                        }
                        out.insert(name.clone(), Value::Object(sub));
                    }
                }
                (Value::Array(want), Some(Value::Array(have))) => {
                    self.patch_list(&here, name, items(before), want, have, &mut out);
                }
                (want, Some(have)) if want == have => {}
                (want, _) => {
                    out.insert(name.clone(), want.clone());
                }
            }
        }
        for name in applied.into_iter().flat_map(Object::keys) {
            if desired.get(name).is_none_or(Value::is_null)
                && live.get(name).is_some_and(|v| !v.is_null())
            {
                out.insert(name.clone(), Value::Null);
            }
        }
        out
    }

    fn patch_list(
        &self,
        path: &FieldPath,
        name: &str,
        applied: &[Value],
        want: &[Value],
        have: &[Value],
        out: &mut Object,
    ) {
        let order = format!("$setElementOrder/{name}");
        if self.is_set(path) {
            let gone: Vec<&Value> = applied
                .iter()
                .filter(|v| !want.contains(v) && have.contains(v))
                .collect();
            let new: Vec<&Value> = want.iter().filter(|v| !have.contains(v)).collect();
            if !gone.is_empty() || !new.is_empty() {
                out.insert(order, Value::Array(want.to_vec()));
            }
            if !gone.is_empty() {
                out.insert(format!("$deleteFromPrimitiveList/{name}"), json!(gone));
            }
            if !new.is_empty() {
                out.insert(name.to_owned(), json!(new));
            }
            return;
        }
        let Some(key) = self.merge_key(path, [applied, want, have]) else {
            if want != have {
                out.insert(name.to_owned(), Value::Array(want.to_vec()));
            }
            return;
        };
        let mut list = Vec::new();
        for item in want {
            let Some(Value::Object(now)) = find(have, key, item) else {
                list.push(item.clone());
                continue;
            };
            let Value::Object(then) = item else { continue };
            let here = path.child(Element::Item(vec![(key.to_owned(), item[key].clone())]));
            let mut sub = self.patch(&here, entries(find(applied, key, item)), then, now);
            if !sub.is_empty() {
                if retains_keys(self.kind, &here) {
                    sub.insert("$retainKeys".to_owned(), then.keys().cloned().collect());
                }
                sub.insert(key.to_owned(), item[key].clone());
                list.push(Value::Object(sub));
            }
        }
        for item in applied {
            if find(want, key, item).is_none() && find(have, key, item).is_some() {
                list.push(json!({"$patch": "delete", key: item[key]}));
            }
        }
        let sequence = |of: &[Value], other: &[Value]| -> Vec<Value> {
            of.iter()
                .filter(|i| find(other, key, i).is_some())
                .map(|i| i[key].clone())
                .collect()
        };
        if !list.is_empty() || sequence(want, have) != sequence(have, want) {
            out.insert(order, want.iter().map(|i| json!({key: i[key]})).collect());
        }
        if !list.is_empty() {
            out.insert(name.to_owned(), Value::Array(list));
        }
    }

    fn predict(
        &self,
        path: &FieldPath,
        applied: Option<&Object>,
        desired: &Object,
        live: &Object,
    ) -> Object {
        let mut out = live.clone();
        for name in applied.into_iter().flat_map(Object::keys) {
            if desired.get(name).is_none_or(Value::is_null) {
                out.shift_remove(name);
            }
        }
        for (name, want) in desired.iter().filter(|(_, v)| !v.is_null()) {
            let here = path.key(name);
            let before = applied.and_then(|a| a.get(name));
            let value = match (want, live.get(name)) {
                (Value::Object(want), Some(Value::Object(have))) => {
                    Value::Object(self.predict_map(&here, entries(before), want, have))
                }
                (Value::Array(want), Some(Value::Array(have))) => {
                    Value::Array(self.predict_list(&here, items(before), want, have))
                }
                (want, _) => want.clone(),
            };
            out.insert(name.clone(), value);
        }
        out
    }

    fn predict_map(
        &self,
        path: &FieldPath,
        applied: Option<&Object>,
        want: &Object,
        have: &Object,
    ) -> Object {
        let mut merged = self.predict(path, applied, want, have);
        if self.strategic && retains_keys(self.kind, path) && merged != *have {
            merged.retain(|name, _| want.contains_key(name));
        }
        merged
    }

    fn predict_list(
        &self,
        path: &FieldPath,
        applied: &[Value],
        want: &[Value],
        have: &[Value],
    ) -> Vec<Value> {
        if self.is_set(path) {
            let kept = have
                .iter()
                .filter(|v| !want.contains(v) && !applied.contains(v));
            return want.iter().chain(kept).cloned().collect();
        }
        let Some(key) = self.merge_key(path, [applied, want, have]) else {
            return want.to_vec();
        };
        let mut merged: Vec<Value> = want
            .iter()
            .map(|item| match (item, find(have, key, item)) {
                (Value::Object(then), Some(Value::Object(now))) => {
                    let here = path.child(Element::Item(vec![(key.to_owned(), item[key].clone())]));
                    Value::Object(self.predict_map(
                        &here,
                        entries(find(applied, key, item)),
                        then,
                        now,
                    ))
                }
                _ => item.clone(),
            })
            .collect();
        // Items that only live live stay behind the item that they follow today.
        for (at, item) in have.iter().enumerate() {
            if find(want, key, item).is_some() || find(applied, key, item).is_some() {
                continue;
            }
            let after = have[..at]
                .iter()
                .rev()
                .find_map(|h| merged.iter().position(|m| m.get(key) == h.get(key)));
            merged.insert(after.map_or(0, |n| n + 1), item.clone());
        }
        merged
    }
}

fn three_way<'a>(desired: &Value, kind: &'a str) -> ThreeWay<'a> {
    ThreeWay {
        kind,
        strategic: is_typed(desired),
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
    let way = three_way(desired, kind);
    let body = match (desired, live) {
        (Value::Object(want), Value::Object(have)) => {
            way.patch(&FieldPath::root(), entries(last_applied), want, have)
        }
        _ => Object::new(),
    };
    Patch {
        patch_type: match way.strategic {
            true => PatchType::Strategic,
            false => PatchType::Merge,
        },
        body: Value::Object(body),
    }
}

/// The live object after that patch, as far as it can be told without asking the API server: defaults, webhooks and
/// bookkeeping are not in it. A dry run on the server outranks it.
pub fn predict(last_applied: Option<&Value>, desired: &Value, live: &Value, kind: &str) -> Value {
    match (desired, live) {
        (Value::Object(want), Value::Object(have)) => Value::Object(
            three_way(desired, kind).predict(&FieldPath::root(), entries(last_applied), want, have),
        ),
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
#[path = "apply_tests.rs"]
mod tests;
