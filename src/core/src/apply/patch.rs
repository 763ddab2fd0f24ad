//! The three-way patch of `kubectl apply`: what live lacks or has otherwise, and what was applied before and is gone now.
//!
//! Follows apimachinery `strategicpatch` (`diffMaps`, `diffLists`, `mergeMap`) to the letter, its oddities included: a
//! removal is sent whether or not live still has the field, also inside an item that is being added.

use serde_json::{Map, Value, json};

use crate::object::listkeys::{Merge, merge_at, patch_keys, retains_keys};
use crate::object::path::{Element, FieldPath};

pub(super) type Object = Map<String, Value>;

/// Which half of the patch is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    /// From live: what differs or is new; nothing is removed.
    Delta,
    /// From last-applied: what is gone; nothing is set.
    Deletions,
}

/// How the lists of one kind are patched. Without `strategic` every list is replaced.
#[derive(Clone, Copy)]
pub(super) struct Schema<'a> {
    pub kind: &'a str,
    pub strategic: bool,
}

impl Schema<'_> {
    fn key_of(self, path: &FieldPath) -> Option<&'static str> {
        self.strategic
            .then(|| patch_keys(self.kind, path))
            .flatten()
    }

    /// The key of a keyed list, when every item of every side has it.
    pub fn merge_key(self, path: &FieldPath, lists: &[&[Value]]) -> Option<&'static str> {
        let key = self.key_of(path)?;
        lists
            .iter()
            .all(|list| list.iter().all(|item| item.get(key).is_some()))
            .then_some(key)
    }

    pub fn is_set(self, path: &FieldPath) -> bool {
        self.strategic && merge_at(self.kind, path) == Merge::Set
    }

    pub fn retains(self, path: &FieldPath) -> bool {
        self.strategic && retains_keys(self.kind, path)
    }
}

pub(super) fn find<'v>(list: &'v [Value], key: &str, item: &Value) -> Option<&'v Value> {
    list.iter().find(|other| other.get(key) == item.get(key))
}

/// The path of one item, by the key that the patch uses.
pub(super) fn item_path(path: &FieldPath, key: &str, item: &Value) -> FieldPath {
    path.child(Element::Item(vec![(key.to_owned(), item[key].clone())]))
}

impl Schema<'_> {
    fn diff(self, half: Half, path: &FieldPath, from: &Object, to: &Object) -> Object {
        let mut out = Object::new();
        for (name, want) in to.iter().filter(|(_, v)| !v.is_null()) {
            let here = path.key(name);
            match (from.get(name).filter(|v| !v.is_null()), want) {
                (Some(Value::Object(have)), Value::Object(want)) => {
                    let sub = self.diff(half, &here, have, want);
                    if !sub.is_empty() {
                        out.insert(name.clone(), Value::Object(sub));
                    }
                }
                (Some(Value::Array(have)), Value::Array(want)) => {
                    self.diff_lists(half, &here, name, have, want, &mut out);
                }
                (Some(have), want) if have == want => {}
                _ if half == Half::Delta => {
                    out.insert(name.clone(), want.clone());
                }
                _ => {}
            }
        }
        if half == Half::Deletions {
            for name in from.keys() {
                if to.get(name).is_none_or(Value::is_null) {
                    out.insert(name.clone(), Value::Null);
                }
            }
        }
        if !out.is_empty() && self.retains(path) {
            let mut names: Vec<&String> = to.keys().collect();
            names.sort();
            out.insert("$retainKeys".to_owned(), json!(names));
        }
        out
    }

    fn diff_lists(
        self,
        half: Half,
        path: &FieldPath,
        name: &str,
        have: &[Value],
        want: &[Value],
        out: &mut Object,
    ) {
        let set = self.is_set(path);
        let key = self.merge_key(path, &[have, want]);
        if !set && key.is_none() {
            if half == Half::Delta && have != want {
                out.insert(name.to_owned(), Value::Array(want.to_vec()));
            }
            return;
        }
        if have.is_empty() {
            if half == Half::Delta && !want.is_empty() {
                out.insert(name.to_owned(), Value::Array(want.to_vec()));
            }
            return;
        }
        let order = format!("$setElementOrder/{name}");
        let Some(key) = key else {
            let (new, gone): (Vec<&Value>, Vec<&Value>) = match half {
                Half::Delta => (
                    want.iter().filter(|v| !have.contains(v)).collect(),
                    Vec::new(),
                ),
                Half::Deletions => (
                    Vec::new(),
                    have.iter().filter(|v| !want.contains(v)).collect(),
                ),
            };
            if !want.is_empty() && (!gone.is_empty() || (half == Half::Delta && have != want)) {
                out.insert(order, Value::Array(want.to_vec()));
            }
            if !gone.is_empty() {
                out.insert(format!("$deleteFromPrimitiveList/{name}"), json!(gone));
            }
            if !new.is_empty() {
                out.insert(name.to_owned(), json!(new));
            }
            return;
        };
        let mut list = Vec::new();
        for item in want {
            match (find(have, key, item), item) {
                (Some(Value::Object(now)), Value::Object(then)) => {
                    let mut sub = self.diff(half, &item_path(path, key, item), now, then);
                    if !sub.is_empty() {
                        sub.insert(key.to_owned(), item[key].clone());
                        list.push(Value::Object(sub));
                    }
                }
                _ if half == Half::Delta => list.push(item.clone()),
                _ => {}
            }
        }
        if half == Half::Deletions {
            let mut gone: Vec<&Value> = have
                .iter()
                .filter(|item| find(want, key, item).is_none())
                .collect();
            gone.sort_by_key(|item| item[key].to_string());
            list.extend(
                gone.iter()
                    .map(|item| json!({"$patch": "delete", key: item[key]})),
            );
        }
        let same_order = have.len() == want.len()
            && have.iter().zip(want).all(|(h, w)| h.get(key) == w.get(key));
        if !want.is_empty() && (!list.is_empty() || (half == Half::Delta && !same_order)) {
            out.insert(
                order,
                want.iter().map(|item| json!({key: item[key]})).collect(),
            );
        }
        if !list.is_empty() {
            out.insert(name.to_owned(), Value::Array(list));
        }
    }

    /// Both halves in one patch.
    fn join(self, path: &FieldPath, deletions: Object, delta: Object) -> Object {
        let mut out = deletions;
        for (name, new) in delta {
            let here = path.key(&name);
            let joined = match (out.shift_remove(&name), new) {
                (Some(Value::Object(old)), Value::Object(new)) => {
                    Value::Object(self.join(&here, old, new))
                }
                (Some(Value::Array(old)), Value::Array(new))
                    if !name.starts_with('$') && self.key_of(&here).is_some() =>
                {
                    Value::Array(self.join_lists(&here, old, new))
                }
                (_, new) => new,
            };
            out.insert(name, joined);
        }
        self.put_in_order(path, &mut out);
        out
    }

    /// The API server refuses a patch whose list is not in the order that it asks for; removals come last.
    fn put_in_order(self, path: &FieldPath, patch: &mut Object) {
        let orders: Vec<(String, Value)> = patch
            .iter()
            .filter_map(|(name, order)| {
                Some((
                    name.strip_prefix("$setElementOrder/")?.to_owned(),
                    order.clone(),
                ))
            })
            .collect();
        for (name, order) in orders {
            let key = self.key_of(&path.key(&name));
            if let (Some(key), Value::Array(order), Some(Value::Array(list))) =
                (key, order, patch.get_mut(&name))
            {
                list.sort_by_key(|item| match item.get("$patch") {
                    Some(_) => usize::MAX,
                    None => order
                        .iter()
                        .position(|o| o.get(key) == item.get(key))
                        .unwrap_or(order.len()),
                });
            }
        }
    }

    fn join_lists(
        self,
        path: &FieldPath,
        deletions: Vec<Value>,
        mut delta: Vec<Value>,
    ) -> Vec<Value> {
        let Some(key) = self.key_of(path) else {
            return delta;
        };
        let mut gone = Vec::new();
        for item in deletions {
            let at = delta.iter().position(|new| new.get(key) == item.get(key));
            match (at, item) {
                (Some(at), Value::Object(old)) => {
                    if let Value::Object(new) = delta[at].take() {
                        delta[at] =
                            Value::Object(self.join(&path.child(Element::Index(at)), old, new));
                    }
                }
                (_, item) if item.get("$patch").is_some() => gone.push(item),
                (_, item) => delta.push(item),
            }
        }
        delta.extend(gone);
        delta
    }

    /// The patch from `live` to `desired`, with what `applied` had more taken out.
    pub fn three_way(self, applied: Option<&Object>, desired: &Object, live: &Object) -> Object {
        let root = FieldPath::root();
        let delta = self.diff(Half::Delta, &root, live, desired);
        let deletions = applied.map(|a| self.diff(Half::Deletions, &root, a, desired));
        self.join(&root, deletions.unwrap_or_default(), delta)
    }
}
