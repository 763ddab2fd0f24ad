//! What an ApplicationSet would put back on an Application that it makes, and how to make it leave a freeze alone.

use serde_json::{Value, json};

use super::{Freeze, NOTE};

/// The field that a freeze changes, as an ApplicationSet's `ignoreApplicationDifferences` names it.
const POLICY: &str = "/spec/syncPolicy";

/// What of a freeze done as `how` the ApplicationSet would take back, in words; empty when the freeze holds.
///
/// Its controller writes spec and metadata of its Applications as its template says within a second, except what `ignoreApplicationDifferences` and
/// `preservedFields` name (Argo CD `applicationset/utils/createOrUpdate.go`); with a policy that only creates it writes nothing.
pub fn taken_back(set: &Value, application: &str, how: Freeze) -> Vec<&'static str> {
    let updates = set
        .pointer("/spec/syncPolicy/applicationsSync")
        .and_then(Value::as_str)
        .is_none_or(|policy| matches!(policy, "sync" | "create-update"));
    if !updates {
        return Vec::new();
    }
    let mut taken = Vec::new();
    if how != Freeze::NoteOnly && !ignores(set, application, &policy_covered) {
        taken.push("spec.syncPolicy");
    }
    let preserved = set
        .pointer("/spec/preservedFields/annotations")
        .and_then(Value::as_array)
        .is_some_and(|names| names.iter().any(|name| name == NOTE));
    if !preserved && !ignores(set, application, &note_covered) {
        taken.push("the note");
    }
    taken
}

/// A merge patch of the ApplicationSet after which it leaves a freeze of its Applications alone; all that it says already is kept.
pub fn leave_alone(set: &Value) -> Value {
    let grown = |pointer: &str, item: Value| {
        let mut items = set
            .pointer(pointer)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        if !items.contains(&item) {
            items.push(item);
        }
        items
    };
    json!({"spec": {
        "ignoreApplicationDifferences": grown("/spec/ignoreApplicationDifferences", json!({"jsonPointers": [POLICY]})),
        "preservedFields": {"annotations": grown("/spec/preservedFields/annotations", json!(NOTE))},
    }})
}

fn ignores(set: &Value, application: &str, covered: &dyn Fn(&str) -> bool) -> bool {
    set.pointer("/spec/ignoreApplicationDifferences")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|entry| {
            entry
                .get("name")
                .and_then(Value::as_str)
                .is_none_or(|name| name.is_empty() || name == application)
        })
        .flat_map(|entry| entry.get("jsonPointers").and_then(Value::as_array))
        .flatten()
        .filter_map(Value::as_str)
        .any(covered)
}

fn policy_covered(pointer: &str) -> bool {
    ["/spec", POLICY, "/spec/syncPolicy/automated"].contains(&pointer)
}

fn note_covered(pointer: &str) -> bool {
    [
        "/metadata",
        "/metadata/annotations",
        "/metadata/annotations/trueup.dev~1frozen",
    ]
    .contains(&pointer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_takes_a_freeze_back_unless_it_is_told_not_to() {
        let both = ["spec.syncPolicy", "the note"];
        let pointers = |name: Option<&str>, pointers: Value| json!({"spec": {"ignoreApplicationDifferences": [{"name": name, "jsonPointers": pointers}]}});
        let table = [
            (json!({"spec": {}}), Freeze::Disable, &both[..]),
            (json!({"spec": {}}), Freeze::NoteOnly, &both[1..]),
            (
                json!({"spec": {"syncPolicy": {"applicationsSync": "create-only"}}}),
                Freeze::Disable,
                &[],
            ),
            (
                json!({"spec": {"syncPolicy": {"applicationsSync": "create-update"}}}),
                Freeze::RemoveAutomated,
                &both,
            ),
            (
                pointers(None, json!(["/spec/syncPolicy"])),
                Freeze::Disable,
                &both[1..],
            ),
            (
                pointers(
                    Some("one"),
                    json!(["/spec/syncPolicy/automated", "/metadata/annotations"]),
                ),
                Freeze::Disable,
                &[],
            ),
            (
                pointers(
                    Some("other"),
                    json!(["/spec/syncPolicy", "/metadata/annotations"]),
                ),
                Freeze::Disable,
                &both,
            ),
        ];
        for (set, how, taken) in table {
            assert_eq!(taken_back(&set, "one", how), taken, "{set}");
        }
    }

    #[test]
    fn what_is_proposed_holds_and_keeps_what_was_there() {
        let set = json!({"spec": {"ignoreApplicationDifferences": [{"jsonPointers": ["/spec/source"]}], "preservedFields": {"annotations": ["team"]}}});
        let mut after = set.clone();
        for (key, value) in leave_alone(&set)["spec"].as_object().unwrap() {
            after["spec"][key] = value.clone();
        }
        assert!(taken_back(&after, "one", Freeze::Disable).is_empty());
        assert_eq!(
            after["spec"]["preservedFields"]["annotations"],
            json!(["team", NOTE])
        );
        assert_eq!(
            after["spec"]["ignoreApplicationDifferences"][0],
            json!({"jsonPointers": ["/spec/source"]})
        );
        assert_eq!(
            leave_alone(&after),
            json!({"spec": {"ignoreApplicationDifferences": after["spec"]["ignoreApplicationDifferences"], "preservedFields": after["spec"]["preservedFields"]}})
        );
    }
}
