//! The effect of that patch, told without the API server.

use serde_json::Value;

use super::patch::{Object, Schema, find, item_path};
use crate::object::path::FieldPath;

fn entries(value: Option<&Value>) -> Option<&Object> {
    value.and_then(Value::as_object)
}

fn items(value: Option<&Value>) -> &[Value] {
    value
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

impl Schema<'_> {
    /// `live` after the three-way patch.
    pub fn predict(
        self,
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
        self,
        path: &FieldPath,
        applied: Option<&Object>,
        want: &Object,
        have: &Object,
    ) -> Object {
        let mut merged = self.predict(path, applied, want, have);
        let gone = applied.is_some_and(|a| a.keys().any(|name| !want.contains_key(name)));
        if self.retains(path) && (merged != *have || gone) {
            merged.retain(|name, _| want.contains_key(name));
        }
        merged
    }

    fn predict_list(
        self,
        path: &FieldPath,
        applied: &[Value],
        want: &[Value],
        have: &[Value],
    ) -> Vec<Value> {
        if self.is_set(path) {
            let kept = |v: &&Value| !want.contains(v) && !applied.contains(v);
            let kept = have.iter().filter(kept).cloned().collect();
            let order: Vec<&Value> = have.iter().collect();
            return interleave(kept, want.to_vec(), |a, b| a == b, &order);
        }
        let Some(key) = self.merge_key(path, &[applied, want, have]) else {
            return want.to_vec();
        };
        let merged: Vec<Value> = want
            .iter()
            .map(|item| match (item, find(have, key, item)) {
                (Value::Object(then), Some(Value::Object(now))) => {
                    let before = entries(find(applied, key, item));
                    Value::Object(self.predict_map(&item_path(path, key, item), before, then, now))
                }
                _ => item.clone(),
            })
            .collect();
        let kept = have
            .iter()
            .filter(|item| find(want, key, item).is_none() && find(applied, key, item).is_none())
            .cloned()
            .collect();
        let mut gone: Vec<&Value> = applied
            .iter()
            .filter(|item| find(want, key, item).is_none())
            .collect();
        gone.sort_by_key(|item| item[key].to_string());
        let new: Vec<&Value> = want
            .iter()
            .filter(|item| find(have, key, item).is_none())
            .collect();
        let order = server_order(have, &gone, &new, key);
        interleave(kept, merged, |a, b| a.get(key) == b.get(key), &order)
    }
}

/// The order of the live list as the merge sees it. strategicpatch takes removed items out in place and appends new ones
/// to the same array, so that new items take the places that removed ones left; the rest of them has no place.
fn server_order<'v>(
    live: &'v [Value],
    gone: &[&Value],
    new: &[&'v Value],
    key: &str,
) -> Vec<&'v Value> {
    let mut order: Vec<&Value> = live.iter().collect();
    let mut len = order.len();
    for item in gone {
        while let Some(at) = order[..len]
            .iter()
            .position(|o| o.get(key) == item.get(key))
        {
            order.copy_within(at + 1..len, at);
            len -= 1;
        }
    }
    for item in new.iter().take(order.len() - len) {
        order[len] = *item;
        len += 1;
    }
    order
}

/// Puts what only live has between what the patch orders: before an ordered item when both have a place and its own
/// comes first (strategicpatch `mergeSortedSlice`).
fn interleave(
    kept: Vec<Value>,
    ordered: Vec<Value>,
    same: impl Fn(&Value, &Value) -> bool,
    order: &[&Value],
) -> Vec<Value> {
    let place = |item: &Value| order.iter().position(|other| same(other, item));
    let mut out = Vec::with_capacity(kept.len() + ordered.len());
    let mut kept = kept.into_iter().peekable();
    for next in ordered {
        let before = place(&next);
        while let Some(item) =
            kept.next_if(|item| matches!((place(item), before), (Some(a), Some(b)) if a < b))
        {
            out.push(item);
        }
        out.push(next);
    }
    out.extend(kept);
    out
}
