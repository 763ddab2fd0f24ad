//! Field sets: which paths a value has, how two values differ, and the FieldsV1 notation (KEP-555) of such sets.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::schema::Node;

/// Path elements in FieldsV1 notation: `f:name`, `k:{keys}`, `v:value`.
pub type Path = Vec<String>;
/// A set of owned paths; set algebra is `BTreeSet`'s.
pub type Set = BTreeSet<Path>;

/// How a new value differs from an old one.
#[derive(Debug, Default)]
pub struct Comparison {
    pub added: Set,
    pub modified: Set,
    pub removed: Set,
}

impl Comparison {
    pub fn is_same(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }
}

/// The path element of a list item. A missing `protocol` counts as TCP, the only key field upstream that has a default.
pub fn item_element(node: &Node, item: &Value) -> String {
    match node.keys() {
        Some(keys) => {
            let mut keys: Vec<_> = keys.iter().collect();
            keys.sort();
            let mut out = Map::new();
            for key in keys {
                match item.get(key) {
                    Some(value) => out.insert(key.clone(), value.clone()),
                    None if key == "protocol" => out.insert(key.clone(), json!("TCP")),
                    None => None,
                };
            }
            format!("k:{}", Value::Object(out))
        }
        None => format!("v:{item}"),
    }
}

fn with(path: &Path, element: String) -> Path {
    let mut out = path.clone();
    out.push(element);
    out
}

/// Every path that an applier of `value` owns (`ToFieldSet` upstream).
pub fn set_of(value: &Value, node: &Node) -> Set {
    let mut out = Set::new();
    collect(value, node, &Vec::new(), &mut out);
    out
}

fn collect(value: &Value, node: &Node, path: &Path, out: &mut Set) {
    if node.is_leaf(value) {
        out.insert(path.clone());
        return;
    }
    match value {
        Value::Object(map) => {
            for (key, child) in map {
                let (shape, named) = node.field(key);
                let path = with(path, format!("f:{key}"));
                collect(child, &shape, &path, out);
                if !named || child.as_object().is_some_and(Map::is_empty) {
                    out.insert(path);
                }
            }
        }
        Value::Array(items) => {
            let shape = node.item();
            let mut seen = BTreeSet::new();
            for item in items {
                let path = with(path, item_element(node, item));
                if seen.insert(path.clone()) {
                    collect(item, &shape, &path, out);
                }
                out.insert(path);
            }
        }
        _ => {}
    }
}

/// What changed from `old` to `new`. A subtree that appears or vanishes counts with all its inner nodes, as upstream's `Compare`.
pub fn compare(old: &Value, new: &Value, node: &Node) -> Comparison {
    let mut out = Comparison::default();
    walk(Some(old), Some(new), node, &Vec::new(), &mut out);
    for set in [&mut out.added, &mut out.modified, &mut out.removed] {
        set.retain(|path| !untracked(path));
    }
    out
}

fn walk(old: Option<&Value>, new: Option<&Value>, node: &Node, path: &Path, out: &mut Comparison) {
    let leaf = |v: Option<&Value>| v.is_none_or(|v| node.is_leaf(v));
    match (old, new) {
        (None, None) => return,
        (Some(a), Some(b)) if leaf(old) || leaf(new) || a.is_array() != b.is_array() => {
            if a != b {
                out.modified.insert(path.clone());
            }
            return;
        }
        _ => {}
    }
    if old.is_none() {
        out.added.insert(path.clone());
    } else if new.is_none() {
        out.removed.insert(path.clone());
    }
    let some = old.or(new);
    if some.is_some_and(|v| node.is_leaf(v)) {
        return;
    }
    match some {
        Some(Value::Object(_)) => {
            let (a, b) = (
                old.and_then(Value::as_object),
                new.and_then(Value::as_object),
            );
            let keys: BTreeSet<&String> = a.into_iter().chain(b).flat_map(Map::keys).collect();
            for key in keys {
                let (shape, _) = node.field(key);
                walk(
                    a.and_then(|m| m.get(key)),
                    b.and_then(|m| m.get(key)),
                    &shape,
                    &with(path, format!("f:{key}")),
                    out,
                );
            }
        }
        Some(Value::Array(_)) => walk_list(old, new, node, path, out),
        _ => {}
    }
}

fn walk_list(
    old: Option<&Value>,
    new: Option<&Value>,
    node: &Node,
    path: &Path,
    out: &mut Comparison,
) {
    let group = |list: Option<&Value>| {
        let mut groups: Vec<(String, Vec<Value>)> = Vec::new();
        for item in list.and_then(Value::as_array).into_iter().flatten() {
            let element = item_element(node, item);
            match groups.iter_mut().find(|(e, _)| *e == element) {
                Some((_, items)) => items.push(item.clone()),
                None => groups.push((element, vec![item.clone()])),
            }
        }
        groups
    };
    let (a, b) = (group(old), group(new));
    let find = |groups: &[(String, Vec<Value>)], element: &str| {
        groups
            .iter()
            .find(|(e, _)| e == element)
            .map(|(_, items)| items.clone())
            .unwrap_or_default()
    };
    let shape = node.item();
    let elements: BTreeSet<&String> = a.iter().chain(&b).map(|(element, _)| element).collect();
    for element in elements {
        let (l, r) = (find(&a, element), find(&b, element));
        let path = with(path, element.clone());
        match (l.len(), r.len()) {
            (0 | 1, 0 | 1) => walk(l.first(), r.first(), &shape, &path, out),
            (2.., 2..) => {
                if l != r {
                    out.modified.insert(path);
                }
            }
            (2.., _) => {
                if let Some(item) = r.first() {
                    walk(None, Some(item), &shape, &path, out);
                }
                out.removed.insert(path);
            }
            (_, 2..) => {
                if let Some(item) = l.first() {
                    walk(Some(item), None, &shape, &path, out);
                }
                out.added.insert(path);
            }
        }
    }
}

/// Paths that are never tracked (`stripMeta` upstream).
pub fn untracked(path: &Path) -> bool {
    match path.as_slice() {
        [] => true,
        [only] => matches!(only.as_str(), "f:apiVersion" | "f:kind" | "f:metadata"),
        [meta, field, ..] if meta == "f:metadata" => matches!(
            field.as_str(),
            "f:name"
                | "f:namespace"
                | "f:uid"
                | "f:creationTimestamp"
                | "f:generation"
                | "f:resourceVersion"
                | "f:selfLink"
                | "f:managedFields"
        ),
        _ => false,
    }
}

/// Adds the named struct fields on the way to each member (`EnsureNamedFieldsAreMembers` upstream).
pub fn ensure_named(set: &Set, node: &Node) -> Set {
    let mut out = set.clone();
    for path in set {
        let mut shape = std::sync::Arc::new(node.clone());
        for depth in 0..path.len() {
            let element = &path[depth];
            if let Some(name) = element.strip_prefix("f:") {
                let (next, named) = shape.field(name);
                if named && depth + 1 < path.len() {
                    out.insert(path[..=depth].to_vec());
                }
                shape = next;
            } else {
                shape = shape.item();
            }
        }
    }
    out
}

/// The first keyed item that a value lists twice.
pub fn duplicate(value: &Value, node: &Node) -> Option<String> {
    let mut stack = vec![(Vec::new(), value, std::sync::Arc::new(node.clone()))];
    while let Some((path, value, node)) = stack.pop() {
        match value {
            Value::Object(map) => {
                stack.extend(map.iter().map(|(key, child)| {
                    (with(&path, format!("f:{key}")), child, node.field(key).0)
                }));
            }
            Value::Array(items) if !node.is_leaf(value) => {
                let mut seen = BTreeSet::new();
                for item in items {
                    let list = display(&path);
                    let path = with(&path, item_element(&node, item));
                    if !seen.insert(path.clone()) {
                        let element = display(&path);
                        let key = element.strip_prefix(&list).unwrap_or(&element);
                        return Some(format!("{list}: duplicate entries for key {key}"));
                    }
                    stack.push((path, item, node.item()));
                }
            }
            _ => {}
        }
    }
    None
}

/// `value` without the nodes of `remove`. A container that loses everything goes with its content.
pub fn remove_items(value: &Value, remove: &Set, node: &Node) -> Value {
    prune(value, remove, node, &Vec::new()).unwrap_or_else(|| json!({}))
}

fn has_below(remove: &Set, path: &Path) -> bool {
    remove
        .range(path.clone()..)
        .next()
        .is_some_and(|first| first.starts_with(path))
}

fn prune(value: &Value, remove: &Set, node: &Node, path: &Path) -> Option<Value> {
    if node.is_leaf(value) || !has_below(remove, path) {
        return Some(value.clone());
    }
    match value {
        Value::Object(map) => {
            let mut out = Map::new();
            for (key, child) in map {
                let (shape, _) = node.field(key);
                let path = with(path, format!("f:{key}"));
                if remove.contains(&path) {
                    continue;
                }
                if let Some(child) = prune(child, remove, &shape, &path) {
                    out.insert(key.clone(), child);
                }
            }
            (!out.is_empty() || map.is_empty()).then_some(Value::Object(out))
        }
        Value::Array(items) => {
            let shape = node.item();
            let kept: Vec<Value> = items
                .iter()
                .filter_map(|item| {
                    let path = with(path, item_element(node, item));
                    if remove.contains(&path) {
                        None
                    } else {
                        prune(item, remove, &shape, &path)
                    }
                })
                .collect();
            (!kept.is_empty() || items.is_empty()).then_some(Value::Array(kept))
        }
        other => Some(other.clone()),
    }
}

/// `live` with `config` laid over it: scalars and atomic nodes of `config` win, keyed items merge by key (`Merge` upstream).
pub fn merge(live: &Value, config: &Value, node: &Node) -> Value {
    if node.is_leaf(config)
        || live.is_object() != config.is_object()
        || live.is_array() != config.is_array()
    {
        return config.clone();
    }
    match (live, config) {
        (Value::Object(a), Value::Object(b)) => {
            let mut out = a.clone();
            for (key, value) in b {
                let (shape, _) = node.field(key);
                let merged = match a.get(key) {
                    Some(old) => merge(old, value, &shape),
                    None => value.clone(),
                };
                out.insert(key.clone(), merged);
            }
            Value::Object(out)
        }
        (Value::Array(a), Value::Array(b)) => {
            let shape = node.item();
            let left: Vec<String> = a.iter().map(|item| item_element(node, item)).collect();
            let right: Vec<String> = b.iter().map(|item| item_element(node, item)).collect();
            let mut shared = right.iter().filter(|e| left.contains(e)).peekable();
            let mut merged = BTreeSet::new();
            let mut out = Vec::new();
            let (mut l, mut r) = (0, 0);
            // What is live alone keeps its place, what both have follows the order of `config`.
            while l < left.len() || r < right.len() {
                if let Some(element) = left.get(l) {
                    if right.get(r) == Some(element) {
                        out.push(merge(&a[l], &b[r], &shape));
                        merged.insert(element);
                        shared.next();
                        (l, r) = (l + 1, r + 1);
                        continue;
                    }
                    if !right.contains(element) {
                        out.push(a[l].clone());
                        l += 1;
                        continue;
                    }
                    if r < right.len() && shared.peek().is_some_and(|next| *next != element) {
                        l += 1;
                        continue;
                    }
                    if merged.contains(element) {
                        l += 1;
                    }
                }
                if let Some(element) = right.get(r) {
                    let old = left.iter().position(|e| e == element);
                    out.push(old.map_or_else(|| b[r].clone(), |at| merge(&a[at], &b[r], &shape)));
                    merged.insert(element);
                    if shared.peek() == Some(&element) {
                        shared.next();
                    }
                    r += 1;
                }
            }
            Value::Array(out)
        }
        _ => config.clone(),
    }
}

/// The FieldsV1 object of a set.
pub fn to_fields_v1(set: &Set) -> Value {
    let mut root = Map::new();
    for path in set {
        let longer = set
            .range(path.clone()..)
            .nth(1)
            .is_some_and(|next| next.starts_with(path));
        let mut at = &mut root;
        for element in path {
            let child = at.entry(element.clone()).or_insert_with(|| json!({}));
            at = child
                .as_object_mut()
                .expect("every node of FieldsV1 is an object");
        }
        if longer {
            at.insert(".".into(), json!({}));
        }
    }
    Value::Object(root)
}

/// The set that a FieldsV1 object writes down. Depth is bounded; anything that is not an object ends its branch.
pub fn from_fields_v1(fields: &Value) -> Set {
    let mut out = Set::new();
    let mut stack: Vec<(Path, &Value)> = vec![(Vec::new(), fields)];
    while let Some((path, value)) = stack.pop() {
        let Some(map) = value.as_object() else {
            continue;
        };
        if map.is_empty() && !path.is_empty() {
            out.insert(path);
            continue;
        }
        if path.len() > 64 {
            continue;
        }
        for (key, child) in map {
            if key == "." {
                out.insert(path.clone());
            } else {
                stack.push((with(&path, canonical(key)), child));
            }
        }
    }
    out.remove(&Vec::new());
    out
}

/// Key elements in one spelling, so that sets compare by text.
fn canonical(element: &str) -> String {
    let Some(text) = element.strip_prefix("k:") else {
        return element.to_owned();
    };
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(map)) => {
            let mut keys: Vec<_> = map.into_iter().collect();
            keys.sort_by(|a, b| a.0.cmp(&b.0));
            format!("k:{}", Value::Object(keys.into_iter().collect()))
        }
        _ => element.to_owned(),
    }
}

/// A path the way conflicts print it: `.spec.containers[name="x"].image`.
pub fn display(path: &Path) -> String {
    let mut out = String::new();
    for element in path {
        if let Some(name) = element.strip_prefix("f:") {
            out.push('.');
            out.push_str(name);
        } else if let Some(keys) = element.strip_prefix("k:") {
            let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let keys: Vec<String> = keys.iter().map(|(k, v)| format!("{k}={v}")).collect();
            out.push_str(&format!("[{}]", keys.join(",")));
        } else if let Some(value) = element.strip_prefix("v:") {
            out.push_str(&format!("[={value}]"));
        } else {
            out.push_str(&format!("[{}]", element.trim_start_matches("i:")));
        }
    }
    out
}
