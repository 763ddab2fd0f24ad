//! The field by field difference of two objects, with list items found by their keys.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::listkeys::{Merge, element_of, in_pod_spec, is_builtin, merge_at};
use super::path::{Element, FieldPath, SetError};
use super::quantity::Quantity;
use super::redact::is_redacted;

/// One field that differs. A missing side is none; null counts as missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    pub path: FieldPath,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
    /// Only the order of a keyed list changed: `from` and `to` are then the lists of the keys.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub order_only: bool,
}

impl FieldChange {
    /// True when both sides mean the same to the API server: equal quantities, or another order of a keyed list.
    pub fn is_cosmetic(&self, kind: &str) -> bool {
        self.order_only || same_meaning(kind, &self.path, self.from.as_ref(), self.to.as_ref())
    }
}

/// The fields that differ between `a` and `b`, two objects of one kind.
///
/// Granularity: maps are compared key by key and keyed lists item by item; an atomic list or map is one field; a list
/// item that is on one side only is one field, and when it is its keys plus a single scalar it goes by that scalar
/// (`.env[name="DEBUG"].value`), which then stands for the item. A keyed list with a missing or repeated key is atomic.
/// Values are compared as written: whether two writings mean the same is [`FieldChange::is_cosmetic`].
pub fn diff(a: &Value, b: &Value, kind: &str) -> Vec<FieldChange> {
    let mut out = Vec::new();
    walk(
        kind,
        &FieldPath::root(),
        present(Some(a)),
        present(Some(b)),
        &mut out,
    );
    out
}

fn present(value: Option<&Value>) -> Option<&Value> {
    value.filter(|v| !v.is_null())
}

fn whole(path: &FieldPath, a: Option<&Value>, b: Option<&Value>, out: &mut Vec<FieldChange>) {
    out.push(FieldChange {
        path: path.clone(),
        from: a.cloned(),
        to: b.cloned(),
        order_only: false,
    });
}

fn walk(
    kind: &str,
    path: &FieldPath,
    a: Option<&Value>,
    b: Option<&Value>,
    out: &mut Vec<FieldChange>,
) {
    if a == b {
        return;
    }
    let merge = merge_at(kind, path);
    match (a, b) {
        (None | Some(Value::Object(_)), None | Some(Value::Object(_)))
            if merge != Merge::Atomic =>
        {
            let map = |v: Option<&Value>| {
                v.and_then(Value::as_object)
                    .filter(|m| !m.is_empty())
                    .cloned()
            };
            let (left, right) = (map(a), map(b));
            let emptied = right.is_none() && (b.is_some() || left.is_none());
            let filled_nothing = left.is_none() && right.is_none();
            if emptied || filled_nothing || a.is_some_and(is_redacted) || b.is_some_and(is_redacted)
            {
                return whole(path, a, b, out);
            }
            walk_maps(
                kind,
                path,
                &left.unwrap_or_default(),
                &right.unwrap_or_default(),
                out,
            );
        }
        (None | Some(Value::Array(_)), None | Some(Value::Array(_)))
            if matches!(merge, Merge::Keyed(_) | Merge::Set) =>
        {
            let list = |v: Option<&Value>| v.and_then(Value::as_array).cloned().unwrap_or_default();
            let (left, right) = (list(a), list(b));
            let emptied = right.is_empty() && (b.is_some() || left.is_empty());
            match (keyed(merge, &left), keyed(merge, &right)) {
                (Some(left), Some(right)) if !emptied => walk_lists(kind, path, &left, &right, out),
                _ => whole(path, a, b, out),
            }
        }
        _ => whole(path, a, b, out),
    }
}

fn walk_maps(
    kind: &str,
    path: &FieldPath,
    a: &Map<String, Value>,
    b: &Map<String, Value>,
    out: &mut Vec<FieldChange>,
) {
    for (name, left) in a {
        walk(
            kind,
            &path.key(name),
            present(Some(left)),
            present(b.get(name)),
            out,
        );
    }
    for (name, right) in b {
        if present(a.get(name)).is_none() && !a.contains_key(name) {
            walk(kind, &path.key(name), None, present(Some(right)), out);
        }
    }
}

fn keyed(merge: Merge, list: &[Value]) -> Option<Vec<(Element, &Value)>> {
    let mut seen = std::collections::HashSet::new();
    list.iter()
        .map(|item| {
            let element = element_of(merge, item)?;
            seen.insert(element.clone()).then_some((element, item))
        })
        .collect()
}

fn walk_lists(
    kind: &str,
    path: &FieldPath,
    a: &[(Element, &Value)],
    b: &[(Element, &Value)],
    out: &mut Vec<FieldChange>,
) {
    let find =
        |list: &[(Element, &Value)], e: &Element| list.iter().position(|(other, _)| other == e);
    for (element, left) in a {
        let here = path.child(element.clone());
        match find(b, element) {
            Some(at) => {
                let right = b[at].1;
                if only_keys(element, left) != only_keys(element, right) {
                    whole(&here, Some(left), Some(right), out);
                } else {
                    walk(kind, &here, Some(left), Some(right), out);
                }
            }
            None => one_sided(&here, element, left, true, out),
        }
    }
    for (element, right) in b {
        if find(a, element).is_none() {
            one_sided(&path.child(element.clone()), element, right, false, out);
        }
    }
    let common = |list: &[(Element, &Value)], other: &[(Element, &Value)]| -> Vec<Element> {
        list.iter()
            .filter(|(e, _)| find(other, e).is_some())
            .map(|(e, _)| e.clone())
            .collect()
    };
    let (left, right) = (common(a, b), common(b, a));
    if left != right {
        out.push(FieldChange {
            path: path.clone(),
            from: Some(left.iter().map(key_value).collect()),
            to: Some(right.iter().map(key_value).collect()),
            order_only: true,
        });
    }
}

fn key_value(element: &Element) -> Value {
    match element {
        Element::Item(keys) => Value::Object(keys.iter().cloned().collect()),
        Element::SetValue(v) => v.clone(),
        Element::Key(name) => Value::from(name.as_str()),
        Element::Index(n) => Value::from(*n),
    }
}

/// The fields of an item that are not its keys.
fn beyond_keys<'v>(element: &Element, item: &'v Value) -> Vec<(&'v String, &'v Value)> {
    match (element, item.as_object()) {
        (Element::Item(keys), Some(map)) => map
            .iter()
            .filter(|(name, _)| !keys.iter().any(|(k, _)| k == *name))
            .collect(),
        _ => Vec::new(),
    }
}

fn only_keys(element: &Element, item: &Value) -> bool {
    beyond_keys(element, item).is_empty()
}

fn one_sided(
    path: &FieldPath,
    element: &Element,
    item: &Value,
    removed: bool,
    out: &mut Vec<FieldChange>,
) {
    let (path, value) = match beyond_keys(element, item).as_slice() {
        [(name, value)] if !value.is_array() && !value.is_object() && !value.is_null() => {
            (path.key(name.as_str()), *value)
        }
        _ => (path.clone(), item),
    };
    match removed {
        true => whole(&path, Some(value), None, out),
        false => whole(&path, None, Some(value), out),
    }
}

/// `a` with the changes made. Additions go to the end of a keyed list.
pub fn apply(a: &Value, changes: &[FieldChange]) -> Result<Value, SetError> {
    let mut object = a.clone();
    for change in changes.iter().filter(|c| !c.order_only) {
        if let Some(to) = &change.to {
            change.path.set(&mut object, to.clone())?;
        }
    }
    for change in changes.iter().filter(|c| !c.order_only && c.to.is_none()) {
        remove(&mut object, &change.path);
    }
    for change in changes.iter().filter(|c| c.order_only) {
        reorder(&mut object, change);
    }
    Ok(object)
}

/// Takes a field out and with it what it leaves empty: the maps and lists around it, and a list item of which only the
/// keys remain. This is what a decision to remove a field means.
pub fn remove(object: &mut Value, path: &FieldPath) {
    if path.remove(object).is_none() {
        return;
    }
    let mut at = path.parent();
    while let Some(here) = at.filter(|p| !p.is_root()) {
        let hollow = match here.get(object) {
            Some(Value::Object(map)) => match here.0.last() {
                Some(element @ Element::Item(_)) => only_keys(element, &Value::Object(map.clone())),
                _ => map.is_empty(),
            },
            Some(Value::Array(list)) => list.is_empty(),
            _ => false,
        };
        if !hollow {
            return;
        }
        here.remove(object);
        at = here.parent();
    }
}

fn reorder(object: &mut Value, change: &FieldChange) {
    let (Some(Value::Array(list)), Some(Value::Array(order))) =
        (change.path.get(object), &change.to)
    else {
        return;
    };
    let rank = |item: &Value| {
        order.iter().position(|key| match (key, item) {
            (Value::Object(key), Value::Object(item)) => key.iter().all(|(k, v)| {
                item.get(k) == Some(v) || (k == "protocol" && !item.contains_key(k) && v == "TCP")
            }),
            (key, item) => key == item,
        })
    };
    // Items outside the order keep their places; those in it are dealt out anew over the places they hold.
    let places: Vec<usize> = (0..list.len())
        .filter(|n| rank(&list[*n]).is_some())
        .collect();
    let mut sorted: Vec<Value> = places.iter().map(|n| list[*n].clone()).collect();
    sorted.sort_by_key(|item| rank(item));
    let mut out = list.clone();
    for (place, item) in places.into_iter().zip(sorted) {
        out[place] = item;
    }
    // The list is there: it was just read.
    let _ = change.path.set(object, Value::Array(out));
}

/// True where the type of the field is a quantity, in the kinds whose types we know.
fn is_quantity(kind: &str, path: &FieldPath) -> bool {
    if !is_builtin(kind) {
        return false;
    }
    let names = path.schema_names();
    if let Some(rest) = in_pod_spec(kind, &names) {
        return matches!(
            rest,
            [.., "resources", "limits" | "requests", _]
                | [.., "sizeLimit" | "divisor"]
                | ["overhead", _]
        );
    }
    matches!(
        (kind, names.as_slice()),
        (
            "PersistentVolumeClaim",
            ["spec", "resources", "limits" | "requests", _]
        ) | ("PersistentVolume", ["spec", "capacity", _])
            | ("ResourceQuota", ["spec", "hard", _])
    )
}

/// True when both values mean the same at this field: equal as JSON with numbers by value, or as quantities.
pub fn same_meaning(kind: &str, path: &FieldPath, a: Option<&Value>, b: Option<&Value>) -> bool {
    match (present(a), present(b)) {
        (None, None) => true,
        (Some(a), Some(b)) if a == b => true,
        (Some(Value::Object(a)), Some(Value::Object(b))) => a.keys().chain(b.keys()).all(|key| {
            let at = path.key(key.as_str());
            same_meaning(kind, &at, a.get(key), b.get(key))
        }),
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            a.len() == b.len()
                && a.iter().zip(b).enumerate().all(|(n, (a, b))| {
                    same_meaning(kind, &path.child(Element::Index(n)), Some(a), Some(b))
                })
        }
        (Some(Value::Number(a)), Some(Value::Number(b))) => {
            let read = |n: &serde_json::Number| Quantity::parse(&n.to_string());
            matches!((read(a), read(b)), (Some(a), Some(b)) if a == b)
        }
        (Some(a), Some(b)) => {
            is_quantity(kind, path)
                && matches!((Quantity::from_value(a), Quantity::from_value(b)), (Some(a), Some(b)) if a == b)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
