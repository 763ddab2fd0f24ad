//! `spec.ignoreDifferences`: fields that do not count in the comparison, and that a sync leaves alone with `RespectIgnoreDifferences=true` only.

use globset::GlobBuilder;
use serde_json::Value;

use super::compare::Condition;
use crate::cluster::Ref;

/// The JSON pointers that the Application ignores on an object.
pub fn pointers(application: &Value, object: &Ref) -> Vec<String> {
    rules(application)
        .filter(|rule| matches(rule, object))
        .flat_map(|rule| rule["jsonPointers"].as_array().into_iter().flatten())
        .filter_map(|pointer| pointer.as_str().map(str::to_owned))
        .collect()
}

/// What the rules ask for and this controller does not evaluate, by name: a silent rule would look like one that works.
pub fn unsupported(application: &Value) -> Option<Condition> {
    let key = ["jqPathExpressions", "managedFieldsManagers"]
        .into_iter()
        .find(|key| {
            rules(application)
                .any(|rule| rule[*key].as_array().is_some_and(|list| !list.is_empty()))
        })?;
    let why =
        format!("this controller evaluates jsonPointers only: spec.ignoreDifferences has {key}");
    Some(Condition::new("ComparisonError", why))
}

fn rules(application: &Value) -> impl Iterator<Item = &Value> {
    application["spec"]["ignoreDifferences"]
        .as_array()
        .into_iter()
        .flatten()
}

/// Group and kind are globs, an omitted group is the core group; an empty name or namespace matches any.
fn matches(rule: &Value, object: &Ref) -> bool {
    let text = |key: &str| rule[key].as_str().unwrap_or_default();
    let glob = |pattern: &str, text: &str| {
        GlobBuilder::new(pattern)
            .build()
            .is_ok_and(|glob| glob.compile_matcher().is_match(text))
    };
    let any_or = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
    glob(text("group"), &object.gvk.group)
        && glob(text("kind"), &object.gvk.kind)
        && any_or(text("name"), &object.name)
        && any_or(text("namespace"), &object.namespace)
}

/// Takes the fields out.
pub fn remove(object: &mut Value, pointers: &[String]) {
    for pointer in pointers {
        let Some((parent, key)) = pointer.rsplit_once('/') else {
            continue;
        };
        let key = key.replace("~1", "/").replace("~0", "~");
        match object.pointer_mut(parent) {
            Some(Value::Object(map)) => {
                map.shift_remove(&key);
            }
            Some(Value::Array(items)) => {
                if let Some(index) = key
                    .parse::<usize>()
                    .ok()
                    .filter(|index| *index < items.len())
                {
                    items.remove(index);
                }
            }
            _ => {}
        }
    }
}

/// The target as `RespectIgnoreDifferences=true` applies it: ignored fields have their live value, or none where live has none.
pub fn respected(target: &Value, live: &Value, pointers: &[String]) -> Value {
    let mut wanted = target.clone();
    remove(&mut wanted, pointers);
    for pointer in pointers {
        let (Some(value), Some((parent, key))) = (live.pointer(pointer), pointer.rsplit_once('/'))
        else {
            continue;
        };
        let key = key.replace("~1", "/").replace("~0", "~");
        if let Some(map) = wanted.pointer_mut(parent).and_then(Value::as_object_mut) {
            map.insert(key, value.clone());
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Gvk;
    use serde_json::json;

    #[test]
    fn a_rule_without_a_group_is_about_the_core_group_only() {
        let app = |rule: Value| json!({"spec": {"ignoreDifferences": [rule]}});
        let deployment = Ref::new(Gvk::new("apps", "v1", "Deployment"), "like", "like-service");
        let rule = |group: &str| json!({"group": group, "kind": "Deploy*", "jsonPointers": ["/spec/replicas"]});
        assert_eq!(
            pointers(&app(rule("apps")), &deployment),
            ["/spec/replicas"]
        );
        assert_eq!(pointers(&app(rule("*")), &deployment), ["/spec/replicas"]);
        assert!(pointers(&app(rule("")), &deployment).is_empty());
        assert!(
            pointers(
                &app(json!({"kind": "Deployment", "jsonPointers": ["/spec/replicas"]})),
                &deployment
            )
            .is_empty()
        );
    }

    #[test]
    fn ignored_fields_keep_their_live_value() {
        let target = json!({"spec": {"replicas": 3, "paused": false}, "data": {"a/b": "git"}});
        let live = json!({"spec": {"replicas": 5}, "data": {"a/b": "live"}});
        let pointers = [
            "/spec/replicas",
            "/spec/paused",
            "/data/a~1b",
            "/nothing/here",
            "nonsense",
        ]
        .map(str::to_owned);
        assert_eq!(
            respected(&target, &live, &pointers),
            json!({"spec": {"replicas": 5}, "data": {"a/b": "live"}})
        );
    }
}
