//! The JSON Schema of a plan, for editors.

use serde_json::{Value, json};

/// The schema of a plan (JSON Schema, draft 2020-12).
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "trueup plan",
        "description": "What the operator would do on the screen, written down.",
        "type": "object",
        "additionalProperties": false,
        "required": ["apiVersion", "kind", "incident", "scope"],
        "properties": {
            "apiVersion": {"const": crate::API_VERSION},
            "kind": {"const": "Plan"},
            "incident": {
                "description": "1 to 63 letters, digits, dots, underscores or dashes.",
                "type": "string",
                "pattern": "^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"
            },
            "scope": {
                "description": "Names of Applications; NAMESPACE/NAME outside Argo CD's own namespace.",
                "type": "array", "items": {"type": "string"}, "minItems": 1
            },
            "targets": {
                "description": "By Application, `*` for all others: the auto-sync policy that shall stand in the end.",
                "type": "object", "additionalProperties": {"$ref": "#/$defs/target"}
            },
            "decisions": {"type": "array", "items": {"$ref": "#/$defs/decision"}},
            "commit": {
                "type": "object", "additionalProperties": false,
                "properties": {
                    "branch": {"description": "The branch pushed to; the tracked one when absent.", "type": "string"},
                    "message": {"type": "string"},
                    "pullRequest": {"description": "Push a branch of our own and wait for its merge.", "type": "boolean"}
                }
            },
            "gates": {"type": "object", "additionalProperties": {"$ref": "#/$defs/gate"}},
            "sync": {"description": "In this order.", "type": "array", "items": {"$ref": "#/$defs/step"}},
            "act": {"description": "Live actions.", "type": "array", "items": {"$ref": "#/$defs/act"}},
            "thaw": {
                "type": "object", "additionalProperties": false,
                "properties": {"order": {"type": "array", "items": {"type": "string"}}}
            }
        },
        "$defs": definitions()
    })
}

fn definitions() -> Value {
    json!({
        "span": {"description": "500ms, 20s, 10m, 1h30m.", "type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$"},
        "target": {
            "type": "object", "additionalProperties": false,
            "properties": {
                "policy": {"enum": ["found", "declared"]},
                "automated": {"description": "Typed; null leaves auto-sync off.", "type": ["object", "null"]},
                "reason": {"type": "string"}
            }
        },
        "decision": {
            "type": "object", "additionalProperties": false, "required": ["on", "fields", "take"],
            "properties": {
                "on": {
                    "type": "object", "additionalProperties": false, "required": ["kind", "name"],
                    "properties": {
                        "kind": {"type": "string"}, "name": {"type": "string"},
                        "namespace": {"type": "string"}, "application": {"type": "string"}
                    }
                },
                "fields": {"description": "`*` stands for one path element.", "type": "array", "items": {"type": "string"}},
                "take": {"$ref": "#/$defs/take"},
                "expect": {"description": "Stop if the world says otherwise: field to value.", "type": "object"},
                "reason": {"type": "string"}
            }
        },
        "take": {
            "oneOf": [
                {"enum": ["git", "lastSynced", "live", "ignore", "remove"]},
                {
                    "type": "object", "additionalProperties": false, "required": ["live"],
                    "properties": {"live": {
                        "type": "object", "additionalProperties": false,
                        "properties": {"application": {"type": "string"}, "namespace": {"type": "string"}}
                    }}
                },
                {
                    "type": "object", "additionalProperties": false, "required": ["value"],
                    "properties": {"value": {}}
                },
                {
                    "type": "object", "additionalProperties": false, "required": ["snapshot"],
                    "properties": {"snapshot": {
                        "description": "What a snapshot had live of the one field named; application and namespace say of which copy.",
                        "type": "object", "additionalProperties": false, "required": ["at", "value"],
                        "properties": {
                            "application": {"type": "string"}, "namespace": {"type": "string"},
                            "at": {"description": "When it was taken, an RFC 3339 time.", "type": "string"},
                            "value": {}
                        }
                    }}
                },
                {
                    "type": "object", "additionalProperties": false, "required": ["later"],
                    "properties": {"later": {
                        "type": "object", "additionalProperties": false, "required": ["how", "owner", "until"],
                        "properties": {
                            "how": {"enum": ["keepLive", "gitNow", "stayFrozen"]},
                            "owner": {"type": "string"},
                            "until": {"description": "An RFC 3339 time or date.", "type": "string"}
                        }
                    }}
                }
            ]
        },
        "gate": {"oneOf": [
            {
                "type": "object", "additionalProperties": false, "required": ["manual"],
                "properties": {"manual": {"description": "What a person has to look at.", "type": "string"}}
            },
            measured("prometheus", json!({
                "value": {"type": "string"},
                "is": {"description": "== 0, <= 0.05, <= baseline, <= baseline * 1.1", "type": "string"},
                "traffic": {"type": "string"},
                "floor": {"description": "Judged only while traffic is above it.", "type": "number"}
            }), &["value", "is"]),
            measured("http", json!({
                "url": {"type": "string"}, "status": {"type": "integer"}, "contains": {"type": "string"}
            }), &["url"]),
            measured("command", json!({
                "argv": {"description": "No shell.", "type": "array", "items": {"type": "string"}}
            }), &["argv"]),
            measured("field", json!({
                "kind": {"type": "string"}, "group": {"type": "string"}, "namespace": {"type": "string"},
                "name": {"type": "string"}, "field": {"type": "string"}, "is": {"type": "string"}
            }), &["kind", "namespace", "name", "field", "is"]),
            measured("quiet", json!({}), &[]),
            measured("health", json!({"application": {"type": "string"}}), &[])
        ]},
        "step": {
            "type": "object", "additionalProperties": false, "required": ["application"],
            "properties": {
                "application": {"type": "string"},
                "expect": {"enum": ["no-change"]},
                "then": {
                    "description": "Gates that have to be green before the next; `healthy` is built in.",
                    "type": "array", "items": {"type": "string"}
                }
            }
        },
        "act": {
            "type": "object", "additionalProperties": false, "required": ["application", "object", "action"],
            "properties": {
                "application": {"type": "string"},
                "object": {"description": "KIND/NAME", "type": "string"},
                "action": {"oneOf": [
                    action("patch", json!({"field": {"type": "string"}, "value": {}}), &["field", "value"]),
                    action("remove", json!({"field": {"type": "string"}}), &["field"]),
                    action("scale", json!({"replicas": {"type": "integer", "minimum": 0}}), &["replicas"]),
                    action("restart", json!({}), &[]),
                    action("suspend", json!({}), &[])
                ]},
                "reason": {"type": "string"}
            }
        }
    })
}

fn action(name: &str, properties: Value, required: &[&str]) -> Value {
    json!({
        "type": "object", "additionalProperties": false, "required": [name],
        "properties": {name: {
            "type": "object", "additionalProperties": false, "properties": properties, "required": required
        }}
    })
}

fn measured(name: &str, properties: Value, required: &[&str]) -> Value {
    let mut gate = action(name, properties, required);
    if let Some(Value::Object(all)) = gate.get_mut("properties") {
        for wait in ["for", "every", "within"] {
            all.insert(wait.to_owned(), json!({"$ref": "#/$defs/span"}));
        }
    }
    gate
}

#[cfg(test)]
mod tests {
    use super::super::Plan;
    use super::*;

    /// Every key that a plan can have, with every choice.
    const FULL: &str = r#"
apiVersion: trueup.dev/v1
kind: Plan
incident: INC-1
scope: [a, other/b, c]
targets: {"*": {policy: declared, reason: r}, a: {policy: found}, other/b: {automated: {prune: true}}, c: {automated: null}}
decisions:
- {on: {kind: ConfigMap, name: c, namespace: n, application: a}, fields: [".data.*"], take: live, expect: {".data.k": v}, reason: r}
- {on: {kind: ConfigMap, name: c}, fields: [".data.a"], take: {live: {application: a, namespace: n}}}
- {on: {kind: ConfigMap, name: c}, fields: [".data.b"], take: git}
- {on: {kind: ConfigMap, name: c}, fields: [".data.c"], take: lastSynced}
- {on: {kind: ConfigMap, name: c}, fields: [".data.d"], take: {value: {any: [1]}}}
- {on: {kind: ConfigMap, name: c}, fields: [".data.e"], take: ignore}
- {on: {kind: ConfigMap, name: c}, fields: [".data.f"], take: remove}
- {on: {kind: ConfigMap, name: c}, fields: [".data.g"], take: {later: {how: keepLive, owner: o, until: 2027-01-01}}}
- {on: {kind: ConfigMap, name: c}, fields: [".data.h"], take: {snapshot: {application: a, namespace: n, at: "2026-11-21T14:43:17Z", value: x}}}
commit: {branch: b, message: m, pullRequest: true}
gates:
  p: {prometheus: {value: v, is: "== 0", traffic: t, floor: 0.1}, for: 10m, every: 5s, within: 20m}
  h: {http: {url: u, status: 200, contains: c}}
  c: {command: {argv: ["true"]}}
  f: {field: {kind: Pod, group: g, namespace: n, name: x, field: .a, is: x}}
  q: {quiet: {}}
  l: {health: {application: a}}
  m: {manual: look}
sync: [{application: a, expect: no-change, then: [healthy, p]}]
act:
- {application: a, object: Deployment/d, action: {patch: {field: .a, value: 1}}, reason: r}
- {application: a, object: Deployment/d, action: {remove: {field: .a}}}
- {application: a, object: Deployment/d, action: {scale: {replicas: 2}}}
- {application: a, object: Deployment/d, action: {restart: {}}}
- {application: a, object: CronJob/d, action: {suspend: {}}}
thaw: {order: [a]}
"#;

    /// The part of JSON Schema that our schema uses.
    fn valid(root: &Value, schema: &Value, value: &Value) -> bool {
        if let Some(at) = schema.get("$ref").and_then(Value::as_str) {
            return valid(root, root.pointer(&at[1..]).unwrap(), value);
        }
        let kind = |name: &str| match name {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "null" => value.is_null(),
            other => panic!("{other}"),
        };
        let typed = match schema.get("type") {
            None => true,
            Some(Value::String(name)) => kind(name),
            Some(names) => names
                .as_array()
                .unwrap()
                .iter()
                .any(|n| kind(n.as_str().unwrap())),
        };
        let listed = |list: &Value| list.as_array().unwrap().contains(value);
        let one_of = |list: &Value| {
            let all = list.as_array().unwrap();
            all.iter().filter(|s| valid(root, s, value)).count() == 1
        };
        typed
            && schema.get("const").is_none_or(|c| c == value)
            && schema.get("enum").is_none_or(listed)
            && schema.get("oneOf").is_none_or(one_of)
            && value.as_object().is_none_or(|map| {
                let own = &schema["properties"];
                let rest = schema
                    .get("additionalProperties")
                    .cloned()
                    .unwrap_or(json!({}));
                let required = schema.get("required").and_then(Value::as_array);
                required.is_none_or(|r| r.iter().all(|k| map.contains_key(k.as_str().unwrap())))
                    && map.iter().all(|(key, value)| match own.get(key) {
                        Some(schema) => valid(root, schema, value),
                        None => rest != json!(false) && valid(root, &rest, value),
                    })
            })
            && value.as_array().is_none_or(|list| {
                let items = schema.get("items").cloned().unwrap_or(json!({}));
                list.iter().all(|item| valid(root, &items, item))
            })
    }

    fn full() -> Value {
        serde_yaml::from_str(FULL).unwrap()
    }

    fn reads(plan: &Value) -> bool {
        Plan::parse(&plan.to_string()).is_ok()
    }

    fn objects(value: &Value, at: String, out: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                out.push(at.clone());
                for (key, value) in map {
                    let key = key.replace('~', "~0").replace('/', "~1");
                    objects(value, format!("{at}/{key}"), out);
                }
            }
            Value::Array(list) => {
                for (n, value) in list.iter().enumerate() {
                    objects(value, format!("{at}/{n}"), out);
                }
            }
            _ => {}
        }
    }

    #[test]
    fn the_schema_and_the_reader_know_the_same_keys() {
        let schema = schema();
        let full = full();
        Plan::parse(FULL).unwrap();
        assert!(valid(&schema, &schema, &full));
        let again = serde_json::to_value(Plan::parse(FULL).unwrap()).unwrap();
        assert!(valid(&schema, &schema, &again), "as it is written: {again}");
        let mut places = Vec::new();
        objects(&full, String::new(), &mut places);
        for place in places {
            let mut other = full.clone();
            // A key of `expect` is a field; everything is free in there but that.
            let key = if place.ends_with("/expect") {
                ".misspelt"
            } else {
                "misspelt"
            };
            other.pointer_mut(&place).unwrap()[key] = json!(1);
            assert_eq!(
                valid(&schema, &schema, &other),
                reads(&other),
                "an unknown key in {place}"
            );
            let keys: Vec<String> = full
                .pointer(&place)
                .unwrap()
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect();
            for key in keys {
                let mut other = full.clone();
                other
                    .pointer_mut(&place)
                    .unwrap()
                    .as_object_mut()
                    .unwrap()
                    .remove(&key);
                // That a name means something which is not there is beyond a schema.
                if place != "/gates" && !(place.is_empty() && key == "gates") {
                    assert_eq!(
                        valid(&schema, &schema, &other),
                        reads(&other),
                        "without {key} in {place}"
                    );
                }
            }
        }
    }
}
