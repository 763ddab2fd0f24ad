//! The patch formats: strategic merge (`kubectl edit`, client-side apply), JSON merge (RFC 7396) and JSON Patch (RFC 6902).

use serde_json::{Map, Value};

use super::schema::Node;
use super::status::Failure;

/// RFC 7396.
pub fn merge_patch(target: &mut Value, patch: &Value) {
    json_patch::merge(target, patch);
}

/// RFC 6902. A failed `test` and a path that does not exist are one answer, as upstream.
pub fn json_patch(target: &mut Value, patch: &Value) -> Result<(), Failure> {
    // An operation that there is not is refused only when its turn comes, in the same words.
    let patch: json_patch::Patch =
        serde_json::from_value(patch.clone()).map_err(|_| Failure::patch_refused())?;
    if patch.0.len() > 10_000 {
        return Err(Failure::too_large(format!(
            "The allowed maximum operations in a JSON patch is 10000, got {}",
            patch.0.len()
        )));
    }
    for operation in &patch.0 {
        let done = lenient(target, operation)
            || json_patch::patch(target, std::slice::from_ref(operation)).is_ok();
        if !done {
            return Err(Failure::patch_refused());
        }
    }
    Ok(())
}

/// What the server's library allows beyond the RFC: a field that is not there can be replaced, and tested for null. True when that was done.
fn lenient(target: &mut Value, operation: &json_patch::PatchOperation) -> bool {
    use json_patch::PatchOperation::{Replace, Test};
    let (path, value) = match operation {
        Replace(replace) => (&replace.path, Some(&replace.value)),
        Test(test) if test.value.is_null() => (&test.path, None),
        _ => return false,
    };
    let Some((parent, last)) = path.split_back() else {
        return false;
    };
    let Ok(Value::Object(map)) = parent.resolve_mut(target) else {
        return false;
    };
    let key = last.decoded();
    if map.contains_key(key.as_ref()) {
        return false;
    }
    if let Some(value) = value {
        map.insert(key.into_owned(), value.clone());
    }
    true
}

/// Strategic merge patch: keyed lists merge by key; `$patch`, `$retainKeys`, `$setElementOrder`, `$deleteFromPrimitiveList` obeyed.
pub fn strategic(target: &Value, patch: &Value, node: &Node) -> Result<Value, Failure> {
    match (target, patch) {
        (Value::Object(old), Value::Object(patch)) => {
            merge_maps(old, patch, node).map(|m| m.map_or(Value::Null, Value::Object))
        }
        (_, Value::Object(patch)) => {
            merge_maps(&Map::new(), patch, node).map(|m| m.map_or(Value::Null, Value::Object))
        }
        _ => Ok(patch.clone()),
    }
}

/// `None` when the patch deletes the whole map.
fn merge_maps(
    old: &Map<String, Value>,
    patch: &Map<String, Value>,
    node: &Node,
) -> Result<Option<Map<String, Value>>, Failure> {
    match patch.get("$patch").and_then(Value::as_str) {
        Some("replace") => {
            let mut out = patch.clone();
            out.remove("$patch");
            return Ok(Some(out));
        }
        Some("delete") => return Ok(None),
        Some("merge") | None => {}
        Some(other) => {
            let map = super::patch::go_map(&Value::Object(patch.clone()));
            return Err(Failure::plain(format!(
                "unknown patch type: {other} in map: {map}"
            )));
        }
    }
    let mut out = old.clone();
    if let Some(retain) = patch.get("$retainKeys").and_then(Value::as_array) {
        out.retain(|key, _| retain.iter().any(|r| r.as_str() == Some(key)));
    }
    for (key, value) in patch {
        if key == "$patch" || key == "$retainKeys" || key.starts_with("$setElementOrder/") {
            continue;
        }
        if let Some(list) = key.strip_prefix("$deleteFromPrimitiveList/") {
            let drop = value.as_array().cloned().unwrap_or_default();
            if let Some(items) = out.get_mut(list).and_then(Value::as_array_mut) {
                items.retain(|item| !drop.contains(item));
            }
            continue;
        }
        if value.is_null() {
            out.shift_remove(key);
            continue;
        }
        let (shape, _) = node.field(key);
        let merged = match (out.get(key), value) {
            (_, Value::Array(items)) => {
                let given = patch.get(&format!("$setElementOrder/{key}"));
                let order = given.and_then(Value::as_array).unwrap_or(items);
                let old = out
                    .get(key)
                    .and_then(Value::as_array)
                    .cloned()
                    .unwrap_or_default();
                let mut merged = merge_lists(&old, items, &shape)?;
                if let Some(list) = merged.as_array_mut()
                    && (merge_key(&shape).is_some() || shape.rule == super::schema::Rule::Set)
                {
                    *list = arrange(std::mem::take(list), order, &old, merge_key(&shape));
                }
                merged
            }
            (Some(old), value) => strategic(old, value, &shape)?,
            (None, value) => strategic(&Value::Null, value, &shape)?,
        };
        if merged.is_null() {
            out.shift_remove(key);
        } else {
            out.insert(key.clone(), merged);
        }
    }
    for (key, order) in patch {
        let Some(list) = key.strip_prefix("$setElementOrder/") else {
            continue;
        };
        let (shape, _) = node.field(list);
        let before = old.get(list).and_then(Value::as_array);
        if patch.contains_key(list) {
            continue;
        }
        if let (Some(Value::Array(items)), Some(order)) = (out.get_mut(list), order.as_array()) {
            let before = before.cloned().unwrap_or_default();
            *items = arrange(std::mem::take(items), order, &before, merge_key(&shape));
        }
    }
    Ok(Some(out))
}

fn merge_key(node: &Node) -> Option<&str> {
    node.keys()
        .and_then(|keys| keys.first())
        .map(String::as_str)
}

fn merge_lists(old: &[Value], patch: &[Value], node: &Node) -> Result<Value, Failure> {
    use super::schema::Rule;
    if node.rule == Rule::Set {
        let mut out = old.to_vec();
        for item in patch {
            if !out.contains(item) {
                out.push(item.clone());
            }
        }
        return Ok(Value::Array(out));
    }
    let Some(key) = merge_key(node) else {
        return Ok(Value::Array(patch.to_vec()));
    };
    let directive = |item: &Value| {
        item.get("$patch")
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    if patch
        .iter()
        .any(|item| directive(item).as_deref() == Some("replace"))
    {
        let only = patch
            .iter()
            .filter(|item| directive(item).is_none())
            .cloned()
            .collect();
        return Ok(Value::Array(only));
    }
    let mut out = old.to_vec();
    let shape = node.item();
    for item in patch {
        let Some(id) = item.get(key) else {
            let map = super::patch::go_map(item);
            return Err(Failure::plain(format!(
                "map: {map} does not contain declared merge key: {key}"
            )));
        };
        let at = out.iter().position(|o| o.get(key) == Some(id));
        match (directive(item).as_deref(), at) {
            (Some("delete"), _) => out.retain(|o| o.get(key) != Some(id)),
            (_, Some(at)) => out[at] = strategic(&out[at], item, &shape)?,
            (_, None) => out.push(strategic(&Value::Null, item, &shape)?),
        }
    }
    Ok(Value::Array(out))
}

/// Items that the order names come in that order; the others are put between them by where they stood before (`mergeSortedSlice` upstream).
fn arrange(items: Vec<Value>, order: &[Value], before: &[Value], key: Option<&str>) -> Vec<Value> {
    let place = |item: &Value, list: &[Value]| {
        list.iter().position(|o| match key {
            Some(key) => o.get(key).is_some() && o.get(key) == item.get(key),
            None => o == item,
        })
    };
    let (mut named, others): (Vec<Value>, Vec<Value>) = items
        .into_iter()
        .partition(|item| place(item, order).is_some());
    named.sort_by_key(|item| place(item, order));
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    let mut out = Vec::new();
    loop {
        let first = match (others.peek(), named.peek()) {
            (None, None) => return out,
            (Some(other), Some(name)) => match (place(other, before), place(name, before)) {
                (Some(other), Some(name)) => other < name,
                _ => false,
            },
            (other, _) => other.is_some(),
        };
        out.extend(if first { others.next() } else { named.next() });
    }
}
