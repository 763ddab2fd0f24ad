//! Custom resources against their structural schema: pruning, defaults, and the subset of validation that has its own messages.

use serde_json::{Value, json};

use super::status::Cause;

fn flag(schema: &Value, key: &str) -> bool {
    schema.get(key) == Some(&Value::Bool(true))
}

/// Removes what the schema does not have. The root's `apiVersion`, `kind` and `metadata` are the server's own.
pub fn prune(value: &mut Value, schema: &Value, path: &str, unknown: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let additional = schema.get("additionalProperties");
            let keep = flag(schema, "x-kubernetes-preserve-unknown-fields")
                || matches!(additional, Some(Value::Bool(true)));
            let keys: Vec<String> = map.keys().cloned().collect();
            for key in keys {
                if path.is_empty() && matches!(key.as_str(), "apiVersion" | "kind" | "metadata") {
                    continue;
                }
                let below = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                let Some(child) = map.get_mut(&key) else {
                    continue;
                };
                if let Some(schema) = properties.and_then(|p| p.get(&key)) {
                    prune(child, schema, &below, unknown);
                } else if let Some(schema @ Value::Object(_)) = additional {
                    prune(child, schema, &below, unknown);
                } else if !keep {
                    map.shift_remove(&key);
                    unknown.push(below);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for (at, item) in items.iter_mut().enumerate() {
                    prune(item, schema, &format!("{path}[{at}]"), unknown);
                }
            }
        }
        _ => {}
    }
}

/// Fills schema defaults in, also for a null that may not be one; such a null without a default is dropped
/// (`PruneNonNullableNullsWithoutDefaults` of `apiextensions`).
pub fn fill_defaults(value: &mut Value, schema: &Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, value| {
                let schema = schema
                    .get("properties")
                    .and_then(|properties| properties.get(key))
                    .or_else(|| schema.get("additionalProperties").filter(|s| s.is_object()));
                !value.is_null()
                    || schema.is_none_or(|s| flag(s, "nullable") || s.get("default").is_some())
            });
            for (key, schema) in schema
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
            {
                let default = schema.get("default");
                if let Some(default) = default {
                    let replace = match map.get(key) {
                        None => true,
                        Some(Value::Null) => !flag(schema, "nullable"),
                        Some(_) => false,
                    };
                    if replace {
                        map.insert(key.clone(), default.clone());
                    }
                }
                if let Some(child) = map.get_mut(key) {
                    fill_defaults(child, schema);
                }
            }
            if let Some(schema @ Value::Object(_)) = schema.get("additionalProperties") {
                map.values_mut()
                    .for_each(|child| fill_defaults(child, schema));
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                items
                    .iter_mut()
                    .for_each(|item| fill_defaults(item, schema));
            }
        }
        _ => {}
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Checks types, required fields, enums and simple bounds; messages as `apiextensions` words them.
pub fn validate(value: &Value, schema: &Value, path: &str, out: &mut Vec<Cause>) {
    if value.is_null() && flag(schema, "nullable") {
        return;
    }
    let want = schema.get("type").and_then(Value::as_str).unwrap_or("");
    let have = type_of(value);
    let fits = match want {
        "" => true,
        "number" => matches!(have, "number" | "integer"),
        "integer" => have == "integer" || value.as_f64().is_some_and(|n| n.fract() == 0.0),
        other => other == have,
    };
    let either = flag(schema, "x-kubernetes-int-or-string") && matches!(have, "integer" | "string");
    if !fits && !either {
        out.push(Cause {
            reason: "FieldValueTypeInvalid",
            message: format!(
                "Invalid value: {have:?}: {path} in body must be of type {want}: {have:?}"
            ),
            field: path.to_owned(),
        });
        return;
    }
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && !allowed.contains(value)
    {
        let list: Vec<String> = allowed.iter().map(Value::to_string).collect();
        out.push(Cause {
            reason: "FieldValueNotSupported",
            message: format!(
                "Unsupported value: {value}: supported values: {}",
                list.join(", ")
            ),
            field: path.to_owned(),
        });
    }
    match value {
        Value::Object(map) => {
            for name in schema
                .get("required")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
            {
                if !map.contains_key(name) {
                    out.push(Cause::required(&join(path, name), ""));
                }
            }
            let properties = schema.get("properties").and_then(Value::as_object);
            for (key, child) in map {
                if path.is_empty() && matches!(key.as_str(), "apiVersion" | "kind" | "metadata") {
                    continue;
                }
                let below = properties
                    .and_then(|p| p.get(key))
                    .or_else(|| schema.get("additionalProperties"));
                if let Some(below @ Value::Object(_)) = below {
                    validate(child, below, &join(path, key), out);
                }
            }
        }
        Value::Array(items) => {
            if let Some(below) = schema.get("items") {
                for (at, item) in items.iter().enumerate() {
                    validate(item, below, &format!("{path}[{at}]"), out);
                }
            }
            if schema.get("x-kubernetes-list-type") == Some(&json!("map")) {
                duplicates(items, schema, path, out);
            }
        }
        Value::String(text) => {
            let dated = schema.get("format") == Some(&json!("date-time"));
            if dated && text.parse::<jiff::Timestamp>().is_err() {
                let why = format!("{path} in body must be of type date-time: {value}");
                let mut cause = Cause::invalid(path, value, &why);
                cause.reason = "FieldValueTypeInvalid";
                out.push(cause);
            }
            if let Some(least) = schema.get("minLength").and_then(Value::as_u64)
                && (text.chars().count() as u64) < least
            {
                let why = format!("{path} in body should be at least {least} chars long");
                out.push(Cause::invalid(path, value, &why));
            }
        }
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or(0.0);
            if let Some(least) = schema.get("minimum").and_then(Value::as_f64)
                && number < least
            {
                out.push(Cause::invalid(
                    path,
                    value,
                    &format!("{path} in body should be greater than or equal to {least}"),
                ));
            }
            if let Some(most) = schema.get("maximum").and_then(Value::as_f64)
                && number > most
            {
                out.push(Cause::invalid(
                    path,
                    value,
                    &format!("{path} in body should be less than or equal to {most}"),
                ));
            }
        }
        _ => {}
    }
}

fn duplicates(items: &[Value], schema: &Value, path: &str, out: &mut Vec<Cause>) {
    let keys: Vec<&str> = schema
        .get("x-kubernetes-list-map-keys")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let id = |item: &Value| {
        keys.iter()
            .map(|k| item.get(*k).cloned().unwrap_or_default())
            .collect::<Vec<_>>()
    };
    for (at, item) in items.iter().enumerate() {
        if items[..at].iter().any(|before| id(before) == id(item)) {
            let shown: Value = keys
                .iter()
                .map(|k| ((*k).to_owned(), item.get(*k).cloned().unwrap_or_default()))
                .collect();
            out.push(Cause {
                reason: "FieldValueDuplicate",
                message: format!("Duplicate value: {shown}"),
                field: format!("{path}[{at}]"),
            });
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
