//! What an ApplicationSet takes back of a freeze.

use std::time::Duration;

use serde_json::{Value, json};
use trueup_core::policy::{Freeze, NOTE, leave_alone, taken_back};

use super::{Real, application, list};

/// Sets that leave more or less of a freeze alone, each with an Application that is then frozen. What the set puts back must be told before; that it
/// would put back what it leaves alone may be said only where a rule is narrower than what trueup looks for.
pub fn an_application_set_takes_back_what_is_said(real: &Real) -> Vec<String> {
    let ignore =
        |pointers: &[&str]| json!({"ignoreApplicationDifferences": [{"jsonPointers": pointers}]});
    let named = |name: &str| json!({"ignoreApplicationDifferences": [{"name": name, "jsonPointers": ["/spec/syncPolicy", "/metadata/annotations"]}]});
    let sync = |policy: &str| json!({"syncPolicy": {"applicationsSync": policy}});
    let note = "/metadata/annotations/trueup.dev~1frozen";
    let (disable, remove) = (Freeze::Disable, Freeze::RemoveAutomated);
    let table = [
        ("plain", json!({}), disable),
        ("plain-removed", json!({}), remove),
        ("sync", sync("sync"), disable),
        ("create-update", sync("create-update"), disable),
        ("create-only", sync("create-only"), disable),
        ("create-delete", sync("create-delete"), remove),
        ("policy", ignore(&["/spec/syncPolicy"]), disable),
        ("policy-removed", ignore(&["/spec/syncPolicy"]), remove),
        (
            "automated",
            ignore(&["/spec/syncPolicy/automated", note]),
            disable,
        ),
        (
            "automated-removed",
            ignore(&["/spec/syncPolicy/automated", note]),
            remove,
        ),
        (
            "enabled",
            ignore(&["/spec/syncPolicy/automated/enabled", note]),
            disable,
        ),
        ("spec", ignore(&["/spec", "/metadata/annotations"]), disable),
        ("metadata", ignore(&["/metadata"]), disable),
        ("note", ignore(&[note]), Freeze::NoteOnly),
        ("other", named("another"), disable),
        ("own", named("own"), disable),
        (
            "preserved",
            json!({"preservedFields": {"annotations": [NOTE]}}),
            disable,
        ),
        ("told", leave_alone(&json!({}))["spec"].clone(), disable),
        (
            "told-removed",
            leave_alone(&json!({}))["spec"].clone(),
            remove,
        ),
    ];
    let sets: Vec<Value> = table.iter().map(|(name, more, how)| {
        let automated = json!({"automated": {"prune": true, "selfHeal": true}});
        let policy = if *how == Freeze::NoteOnly { json!({}) } else { automated };
        let mut set = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet", "metadata": {"name": name, "namespace": "argocd"},
            "spec": {"generators": [{"list": {"elements": [{"called": name}]}}]},
        });
        // Its folder is not there, so that nothing is synced.
        let mut made = application("{{called}}", json!({"repoURL": real.lab.url(), "path": "nowhere", "targetRevision": "main"}));
        made["spec"]["syncPolicy"] = policy;
        set["spec"]["template"] = json!({"metadata": {"name": made["metadata"]["name"]}, "spec": made["spec"]});
        for (key, value) in more.as_object().unwrap() {
            set["spec"][key] = value.clone();
        }
        set
    }).collect();
    real.ask(&["create"], &list(&sets)).unwrap();
    real.until("an Application of each set", |seen| {
        table.iter().all(|(name, ..)| seen.contains_key(*name))
    });
    // The first writes of a set come with its making: a freeze meets one that is at rest.
    std::thread::sleep(Duration::from_secs(2));
    let frozen: Vec<Value> = real
        .applications()
        .into_iter()
        .filter_map(|(name, mut found)| {
            let (.., how) = table.iter().find(|(known, ..)| *known == name)?;
            let metadata = found["metadata"].as_object_mut().unwrap();
            metadata.remove("managedFields");
            metadata.remove("resourceVersion");
            metadata.entry("annotations").or_insert_with(|| json!({}))[NOTE] = json!("{}");
            match how {
                Freeze::Disable => {
                    found["spec"]["syncPolicy"]["automated"]["enabled"] = json!(false)
                }
                Freeze::RemoveAutomated => found["spec"]["syncPolicy"] = json!({}),
                Freeze::NoteOnly => {}
            }
            Some(found)
        })
        .collect();
    assert_eq!(frozen.len(), table.len());
    real.ask(&["replace"], &list(&frozen)).unwrap();
    let back = |seen: &Value, how: Freeze| -> Vec<&'static str> {
        let automated = &seen["spec"]["syncPolicy"]["automated"];
        let stands = match how {
            Freeze::Disable => automated["enabled"] == false,
            Freeze::RemoveAutomated => automated.is_null(),
            Freeze::NoteOnly => true,
        };
        let noted = !seen["metadata"]["annotations"][NOTE].is_null();
        let taken = [(stands, "spec.syncPolicy"), (noted, "the note")];
        taken
            .into_iter()
            .filter(|(stands, _)| !stands)
            .map(|(_, what)| what)
            .collect()
    };
    // What a plain set takes back is back; what is left alone is looked at a while after that.
    real.until("what a plain set takes back", |seen| {
        back(&seen["plain"], disable).len() == 2
    });
    std::thread::sleep(Duration::from_secs(4));
    let seen = real.applications();
    let mut wrong = Vec::new();
    for ((name, _, how), set) in table.iter().zip(&sets) {
        let (said, took) = (taken_back(set, name, *how), back(&seen[*name], *how));
        let careful = *name == "enabled" && took.is_empty();
        if said != took && !careful {
            wrong.push(format!(
                "{name}: it took back {took:?}, and {said:?} was said"
            ));
        }
    }
    real.ask(&["delete", "--wait=false"], &list(&sets)).unwrap();
    wrong
}
