//! Client-side apply: the three-way merge of last-applied, target and live, and the patch that brings it about.
//!
//! Built-in kinds merge lists by key, as the strategic merge patch of `kubectl apply` does; custom resources replace lists whole (JSON merge).

use serde_json::{Map, Value, json};

/// How the lists of an object merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// By the patch merge keys of the built-in types.
    Strategic,
    /// Lists are replaced (RFC 7386).
    Json,
}

/// What `live` becomes when `target` is applied over it: what `last_applied` had and `target` has no more goes, what `target` has is set, and
/// what only `live` has stays. That last part is why a field added by hand is neither seen nor removed by Argo CD.
pub fn merged(last_applied: Option<&Value>, target: &Value, live: &Value, style: Style) -> Value {
    let kind = target["kind"].as_str().unwrap_or_default();
    let lists = Lists { kind, style };
    lists.value(last_applied, target, Some(live), &mut Vec::new())
}

/// The patch that turns `live` into `wanted`; `None` if they are equal.
pub fn patch(live: &Value, wanted: &Value, style: Style) -> Option<Value> {
    let kind = wanted["kind"].as_str().unwrap_or_default();
    let lists = Lists { kind, style };
    let (Value::Object(live), Value::Object(wanted)) = (live, wanted) else {
        return (live != wanted).then(|| wanted.clone());
    };
    let patch = lists.patch_map(live, wanted, &mut Vec::new());
    (!patch.is_empty()).then_some(Value::Object(patch))
}

struct Lists<'a> {
    kind: &'a str,
    style: Style,
}

/// How a list at a path merges.
enum Merge {
    Atomic,
    By(&'static str),
    Set,
}

impl Lists<'_> {
    /// The `patchMergeKey` markers of the built-in types (k8s.io/api).
    fn rule(&self, path: &[String]) -> Merge {
        if self.style == Style::Json {
            return Merge::Atomic;
        }
        let last = path.last().map_or("", String::as_str);
        let in_container = path.iter().any(|name| name.ends_with("ontainers"));
        match last {
            "containers"
            | "initContainers"
            | "ephemeralContainers"
            | "volumes"
            | "imagePullSecrets" => Merge::By("name"),
            "env" if in_container => Merge::By("name"),
            "volumeMounts" if in_container => Merge::By("mountPath"),
            "volumeDevices" if in_container => Merge::By("devicePath"),
            "ports" if in_container => Merge::By("containerPort"),
            "ports" if self.kind == "Service" => Merge::By("port"),
            "hostAliases" => Merge::By("ip"),
            "topologySpreadConstraints" => Merge::By("topologyKey"),
            "secrets" if self.kind == "ServiceAccount" => Merge::By("name"),
            "ownerReferences" => Merge::By("uid"),
            "finalizers" => Merge::Set,
            _ => Merge::Atomic,
        }
    }

    fn value(
        &self,
        old: Option<&Value>,
        target: &Value,
        live: Option<&Value>,
        path: &mut Vec<String>,
    ) -> Value {
        match (target, live) {
            (Value::Object(target), Some(Value::Object(live))) => {
                let mut out = live.clone();
                let empty = Map::new();
                let old = old.and_then(Value::as_object).unwrap_or(&empty);
                for name in old.keys() {
                    if !target.contains_key(name) {
                        out.shift_remove(name);
                    }
                }
                for (name, wanted) in target {
                    path.push(name.clone());
                    if wanted.is_null() {
                        out.shift_remove(name);
                    } else {
                        let value = self.value(old.get(name), wanted, live.get(name), path);
                        out.insert(name.clone(), value);
                    }
                    path.pop();
                }
                Value::Object(out)
            }
            (Value::Array(target), Some(Value::Array(live))) => match self.rule(path) {
                Merge::Atomic => Value::Array(target.clone()),
                Merge::Set => {
                    let old = old.and_then(Value::as_array);
                    let gone = |item: &Value| {
                        old.is_some_and(|old| old.contains(item)) && !target.contains(item)
                    };
                    let mut out: Vec<Value> =
                        live.iter().filter(|item| !gone(item)).cloned().collect();
                    out.extend(target.iter().filter(|item| !live.contains(item)).cloned());
                    Value::Array(out)
                }
                Merge::By(key) => Value::Array(self.items(old, target, live, key, path)),
            },
            (Value::Object(target), _) => Value::Object(without_nulls(target)),
            _ => target.clone(),
        }
    }

    fn items(
        &self,
        old: Option<&Value>,
        target: &[Value],
        live: &[Value],
        key: &str,
        path: &mut Vec<String>,
    ) -> Vec<Value> {
        let none = Vec::new();
        let old = old.and_then(Value::as_array).unwrap_or(&none);
        let mut out: Vec<Value> = target
            .iter()
            .map(|wanted| {
                self.value(
                    find(old, key, &wanted[key]),
                    wanted,
                    find(live, key, &wanted[key]),
                    path,
                )
            })
            .collect();
        // Items that only live has keep their place after the item they followed.
        for (at, item) in live.iter().enumerate() {
            let known = find(target, key, &item[key]).is_some();
            if known || find(old, key, &item[key]).is_some() {
                continue;
            }
            let after = live[..at]
                .iter()
                .rev()
                .find_map(|before| out.iter().position(|placed| placed[key] == before[key]));
            out.insert(
                after.map_or(0, |place| place + 1).min(out.len()),
                item.clone(),
            );
        }
        out
    }

    fn patch_map(
        &self,
        live: &Map<String, Value>,
        wanted: &Map<String, Value>,
        path: &mut Vec<String>,
    ) -> Map<String, Value> {
        let mut out = Map::new();
        for name in live.keys().filter(|name| !wanted.contains_key(*name)) {
            out.insert(name.clone(), Value::Null);
        }
        for (name, value) in wanted {
            let Some(before) = live.get(name) else {
                out.insert(name.clone(), value.clone());
                continue;
            };
            if before == value {
                continue;
            }
            path.push(name.clone());
            match (before, value) {
                (Value::Object(before), Value::Object(value)) => {
                    let inner = self.patch_map(before, value, path);
                    if !inner.is_empty() {
                        out.insert(name.clone(), Value::Object(inner));
                    }
                }
                (Value::Array(before), Value::Array(after)) => match self.rule(path) {
                    Merge::By(key) => self.patch_items(name, before, after, key, path, &mut out),
                    Merge::Set => {
                        let gone: Vec<&Value> =
                            before.iter().filter(|item| !after.contains(item)).collect();
                        if !gone.is_empty() {
                            out.insert(format!("$deleteFromPrimitiveList/{name}"), json!(gone));
                        }
                        out.insert(name.clone(), value.clone());
                    }
                    Merge::Atomic => {
                        out.insert(name.clone(), value.clone());
                    }
                },
                _ => {
                    out.insert(name.clone(), value.clone());
                }
            }
            path.pop();
        }
        out
    }

    fn patch_items(
        &self,
        name: &str,
        before: &[Value],
        after: &[Value],
        key: &str,
        path: &mut Vec<String>,
        out: &mut Map<String, Value>,
    ) {
        let mut items = Vec::new();
        for value in after {
            match (find(before, key, &value[key]), value) {
                (Some(Value::Object(old)), Value::Object(new)) => {
                    let mut inner = self.patch_map(old, new, path);
                    if !inner.is_empty() {
                        inner.insert(key.to_owned(), value[key].clone());
                        items.push(Value::Object(inner));
                    }
                }
                _ => items.push(value.clone()),
            }
        }
        for value in before {
            if find(after, key, &value[key]).is_none() {
                items.push(json!({"$patch": "delete", key: value[key]}));
            }
        }
        if !items.is_empty() {
            out.insert(name.to_owned(), Value::Array(items));
        }
        let order: Vec<Value> = after.iter().map(|value| json!({key: value[key]})).collect();
        out.insert(format!("$setElementOrder/{name}"), Value::Array(order));
    }
}

fn find<'a>(list: &'a [Value], key: &str, wanted: &Value) -> Option<&'a Value> {
    list.iter().find(|item| &item[key] == wanted)
}

fn without_nulls(map: &Map<String, Value>) -> Map<String, Value> {
    map.iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| {
            let value = match value {
                Value::Object(inner) => Value::Object(without_nulls(inner)),
                other => other.clone(),
            };
            (name.clone(), value)
        })
        .collect()
}

/// JSON as Go's encoder writes it: sorted keys, `<`, `>` and `&` escaped. The text of the last-applied annotation.
pub fn go_json(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(map) => {
                let mut names: Vec<&String> = map.keys().collect();
                names.sort();
                Value::Object(
                    names
                        .into_iter()
                        .map(|name| (name.clone(), sorted(&map[name])))
                        .collect(),
                )
            }
            Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_fields_stay_changed_ones_revert_and_dropped_ones_go() {
        let old = json!({"kind": "ConfigMap", "data": {"a": "1", "gone": "x"}});
        let target = json!({"kind": "ConfigMap", "data": {"a": "2"}});
        let live = json!({"kind": "ConfigMap", "data": {"a": "9", "gone": "x", "extra": "y"}});
        let wanted = merged(Some(&old), &target, &live, Style::Strategic);
        assert_eq!(
            wanted,
            json!({"kind": "ConfigMap", "data": {"a": "2", "extra": "y"}})
        );
        assert_eq!(
            patch(&live, &wanted, Style::Strategic),
            Some(json!({"data": {"gone": null, "a": "2"}}))
        );
        assert_eq!(patch(&wanted, &wanted, Style::Strategic), None);
    }

    #[test]
    fn list_items_merge_by_key_and_keep_defaults() {
        let target = json!({"kind": "Deployment", "spec": {"containers": [{"name": "app", "image": "i:2", "ports": [{"containerPort": 80}]}]}});
        let old = json!({"kind": "Deployment", "spec": {"containers": [{"name": "app", "image": "i:1"}, {"name": "old"}]}});
        let live = json!({"kind": "Deployment", "spec": {"containers": [
            {"name": "side"},
            {"name": "app", "image": "i:1", "pull": "Always", "ports": [{"containerPort": 80, "protocol": "TCP"}], "env": [{"name": "DEBUG", "value": "1"}]},
            {"name": "old"}]}});
        let wanted = merged(Some(&old), &target, &live, Style::Strategic);
        assert_eq!(
            wanted["spec"]["containers"],
            json!([
                {"name": "side"},
                {"name": "app", "image": "i:2", "pull": "Always", "ports": [{"containerPort": 80, "protocol": "TCP"}], "env": [{"name": "DEBUG", "value": "1"}]}
            ])
        );
        let patch = patch(&live, &wanted, Style::Strategic).unwrap();
        assert_eq!(
            patch["spec"]["containers"],
            json!([{"image": "i:2", "name": "app"}, {"$patch": "delete", "name": "old"}])
        );
        let replaced = merged(Some(&old), &target, &live, Style::Json);
        assert_eq!(replaced["spec"]["containers"], target["spec"]["containers"]);
    }

    #[test]
    fn last_applied_is_written_as_go_writes_it() {
        assert_eq!(
            go_json(&json!({"b": "<&>", "a": [{"d": 1, "c": 2}]})),
            r#"{"a":[{"c":2,"d":1}],"b":"\u003c\u0026\u003e"}"#
        );
    }
}
