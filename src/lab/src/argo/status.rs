//! What the controller writes down about a comparison.

use serde_json::{Map, Value, json};

use super::autosync::Decision;
use super::compare::{Comparison, Condition};
use super::merge::{self, Style};
use super::{REFRESH, now};

/// Conditions that a comparison sets and clears; `SyncError` belongs to auto-sync, which runs with it.
const OURS: &[&str] = &[
    "ComparisonError",
    "InvalidSpecError",
    "UnknownError",
    "SyncError",
    "SharedResourceWarning",
    "RepeatedResourceWarning",
    "ExcludedResourceWarning",
];

/// True if the last comparison was made for another source, destination or set of ignore rules than the spec has now.
pub fn spec_moved(application: &Value) -> bool {
    let compared = &application["status"]["sync"]["comparedTo"];
    let spec = &application["spec"];
    compared["source"] != spec["source"]
        || compared["destination"] != spec["destination"]
        || compared["ignoreDifferences"] != spec["ignoreDifferences"]
}

/// The merge patch that stores a comparison and takes the refresh request away; `None` if there is nothing to say.
///
/// `latest` is a comparison with the head of the branch: only that moves `reconciledAt`.
pub fn patch(
    application: &Value,
    comparison: &Comparison,
    decision: &Decision,
    latest: bool,
) -> Option<Value> {
    let null = json!({});
    let old = application
        .get("status")
        .filter(|status| status.is_object())
        .unwrap_or(&null);
    let mut new = old.clone();
    let spec = &application["spec"];
    let mut compared = Map::new();
    for key in ["source", "destination", "ignoreDifferences"] {
        if let Some(value) = spec.get(key) {
            compared.insert(key.to_owned(), value.clone());
        }
    }
    new["sync"] = json!({"status": comparison.sync_status(), "comparedTo": compared});
    if !comparison.revision.is_empty() {
        new["sync"]["revision"] = json!(comparison.revision);
    }
    let health = comparison.health().as_str();
    if new["health"]["status"] != health {
        new["health"] = json!({"status": health, "lastTransitionTime": now()});
    }
    new["resources"] = json!(comparison.resources());
    new["resourceHealthSource"] = json!("appTree");
    new["controllerNamespace"] = application["metadata"]["namespace"].clone();
    // A struct in Go, not a pointer to one.
    new["sourceHydrator"] = json!({});
    if comparison.failure().is_none() {
        new["sourceType"] = json!("Directory");
    }
    new["summary"] = match comparison.images() {
        images if images.is_empty() => json!({}),
        images => json!({"images": images}),
    };
    let conditions = conditions(&old["conditions"], comparison, decision);
    if conditions.is_empty() {
        if let Some(status) = new.as_object_mut() {
            status.shift_remove("conditions");
        }
    } else {
        new["conditions"] = json!(conditions);
    }
    if latest {
        new["reconciledAt"] = json!(now());
    }
    let mut out = Map::new();
    if let Some(status) = merge::patch(old, &new, Style::Json) {
        out.insert("status".to_owned(), status);
    }
    if application["metadata"]["annotations"][REFRESH].is_string() && latest {
        out.insert(
            "metadata".to_owned(),
            json!({"annotations": {REFRESH: null}}),
        );
    }
    // An empty policy is normalised away, which leaves no trace of its own in the managed fields.
    let empty = spec["syncPolicy"]
        .as_object()
        .is_some_and(|policy| policy.values().all(is_empty));
    if empty {
        out.insert("spec".to_owned(), json!({"syncPolicy": null}));
    }
    (!out.is_empty()).then_some(Value::Object(out))
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

fn conditions(old: &Value, comparison: &Comparison, decision: &Decision) -> Vec<Value> {
    let before: Vec<&Value> = old.as_array().into_iter().flatten().collect();
    let mut out: Vec<Value> = before
        .iter()
        .filter(|condition| !OURS.contains(&condition["type"].as_str().unwrap_or_default()))
        .map(|condition| (*condition).clone())
        .collect();
    let found: Vec<Condition> = comparison
        .conditions
        .iter()
        .cloned()
        .chain(decision.condition())
        .collect();
    for condition in found {
        let same = before.iter().find(|known| {
            known["type"] == condition.kind && known["message"] == condition.message.as_str()
        });
        out.push(match same {
            Some(known) => (*known).clone(),
            None => json!({"type": condition.kind, "message": condition.message, "lastTransitionTime": now()}),
        });
    }
    out
}
