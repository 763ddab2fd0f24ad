//! Patches on whole Applications: freezing, thawing, and what counts as one policy.

use super::*;
use jiff::Timestamp;

fn patched(application: &Value, ops: &[Value]) -> Value {
    let mut out = application.clone();
    let patch: json_patch::Patch = serde_json::from_value(Value::Array(ops.to_vec())).unwrap();
    json_patch::patch(&mut out, &patch).unwrap();
    out
}

fn application(policy: Option<Value>) -> Value {
    let mut app = json!({"metadata": {"name": "a", "namespace": "argocd", "resourceVersion": "7"}, "spec": {"project": "p"}});
    if let Some(policy) = policy {
        app["spec"]["syncPolicy"] = policy;
    }
    app
}

#[test]
fn nothing_null_and_empty_are_one_policy() {
    let all = [None, Some(Value::Null), Some(json!({}))].map(|p| Policy::of(&application(p)));
    assert!(all.iter().all(|p| *p == Policy::default() && p.is_absent()));
    assert!(Policy::new(Some(json!({"automated": {}}))).is_on());
    assert!(!Policy::new(Some(json!({"automated": {"enabled": false}}))).is_on());
    assert!(!Policy::new(Some(json!({"automated": null}))).is_on());
}

#[test]
fn freezing_and_thawing_as_found_is_the_identity() {
    let at = "2026-11-21T08:00:00Z".parse().unwrap();
    for policy in [
        json!({"automated": {"prune": true, "selfHeal": true}, "syncOptions": ["CreateNamespace=true"]}),
        json!({"automated": {}}),
        json!({"automated": {"enabled": true}}),
        json!({"syncOptions": ["A=true"]}),
    ] {
        for crd in [true, false] {
            let before = application(Some(policy.clone()));
            let found = Policy::of(&before);
            let how = freeze_how(&found, crd);
            let note = Note::new(&before, how, "INC-1", "ann", at);
            let frozen = patched(&before, &freeze_ops(&before, how, &note));
            assert!(!Policy::of(&frozen).is_on());
            assert_eq!(Note::of(&frozen), Some(note.clone()));
            assert!(note.text().starts_with(r#"{"restore":{"#));
            let mut by_hand = frozen.clone();
            json_patch::merge(&mut by_hand, &note.restore);
            let thawed = patched(&frozen, &thaw_ops(&frozen, &note.found_policy()));
            for after in [by_hand, thawed] {
                assert_eq!(after["spec"], before["spec"], "{how:?}");
                assert!(after["metadata"]["annotations"].get(NOTE).is_none());
            }
        }
    }
}

#[test]
fn freezing_again_keeps_the_first_way_back() {
    let at = "2026-11-21T08:00:00Z".parse().unwrap();
    let before = application(Some(json!({"automated": {"prune": true}})));
    let first = Note::new(&before, Freeze::RemoveAutomated, "INC-1", "ann", at);
    let frozen = patched(
        &before,
        &freeze_ops(&before, Freeze::RemoveAutomated, &first),
    );
    let again = |older: Option<Note>| {
        Note::new(&frozen, Freeze::NoteOnly, "INC-2", "bob", at).keeping(
            older,
            &frozen,
            Freeze::NoteOnly,
        )
    };
    let kept = again(Note::of(&frozen));
    assert_eq!(kept.found_policy(), Policy::of(&before));
    assert_eq!(
        (kept.restore, kept.incident.as_str()),
        (first.restore, "INC-2")
    );
    assert_eq!(again(None).found_policy(), Policy::of(&frozen));
}

#[test]
fn whatever_others_set_in_between_the_way_back_is_to_what_was_found_first() {
    let at = "2026-11-21T08:00:00Z".parse().unwrap();
    let policies = [
        None,
        Some(json!({"automated": {"prune": true, "selfHeal": true}, "syncOptions": ["A=true"]})),
        Some(json!({"automated": {"enabled": false}})),
        Some(json!({"automated": {"selfHeal": true}})),
        Some(json!({"syncOptions": ["B=true"], "retry": {"limit": 2}})),
    ];
    for (found, meant) in policies
        .iter()
        .flat_map(|found| policies.iter().map(move |meant| (found, meant)))
    {
        for crd in [true, false] {
            let freeze = |application: &Value| {
                let how = freeze_how(&Policy::of(application), crd);
                let note = Note::new(application, how, "INC-1", "ann", at).keeping(
                    Note::of(application),
                    application,
                    how,
                );
                patched(application, &freeze_ops(application, how, &note))
            };
            let before = application(found.clone());
            let mut changed = freeze(&before);
            match meant {
                Some(policy) => changed["spec"]["syncPolicy"] = policy.clone(),
                None => {
                    changed["spec"]
                        .as_object_mut()
                        .unwrap()
                        .remove("syncPolicy");
                }
            }
            let mut restored = freeze(&changed);
            let note = Note::of(&restored).unwrap();
            json_patch::merge(&mut restored, &note.restore);
            assert_eq!(restored["spec"], before["spec"], "{found:?} {meant:?}");
            assert!(restored["metadata"]["annotations"].get(NOTE).is_none());
        }
    }
}

#[test]
fn a_declared_policy_comes_back_whole_where_none_stands() {
    let declared = json!({"automated": {"prune": true, "selfHeal": true}, "retry": {"limit": 3}});
    let bare = application(None);
    let ops = thaw_ops(&bare, &Policy::new(Some(declared.clone())));
    assert_eq!(
        ops[0],
        json!({"op": "test", "path": "/metadata/resourceVersion", "value": "7"})
    );
    assert_eq!(
        ops[1],
        json!({"op": "add", "path": "/spec/syncPolicy", "value": declared})
    );
    let with = application(Some(json!({"syncOptions": ["A=true"]})));
    let after = patched(&with, &thaw_ops(&with, &Policy::new(Some(declared))));
    assert_eq!(
        after["spec"]["syncPolicy"],
        json!({"syncOptions": ["A=true"], "automated": {"prune": true, "selfHeal": true}})
    );
}

#[test]
fn never_seen_on_is_absent_and_rolling_sync_is_no_proof() {
    let mut app = application(None);
    assert_eq!(auto_sync(&app, None, &[]).state, State::Absent);
    app["metadata"]["ownerReferences"] = json!([{"kind": "ApplicationSet"}]);
    app["spec"]["syncPolicy"] = json!({"automated": {"enabled": false}});
    app["status"] = json!({"operationState": {"startedAt": "2026-11-20T00:00:00Z",
        "operation": {"initiatedBy": {"username": "applicationset-controller", "automated": true}}}});
    let auto = auto_sync(&app, None, &[]);
    assert_eq!(
        (auto.state, auto.frozen_by.as_deref()),
        (State::Off, Some("rollingsync"))
    );
    assert_eq!(auto.off_not_before, None);
}

/// The note of a freeze is gone, and the switch that it set is there.
#[test]
fn the_switch_that_trueup_set_says_by_when_it_was_off() {
    let mut app = application(Some(json!({"automated": {"enabled": false}})));
    let entry = |fields: Value| {
        json!({"manager": super::FIELD_MANAGER, "operation": "Update", "time": "2026-11-20T03:00:00Z",
            "fieldsType": "FieldsV1", "fieldsV1": fields})
    };
    app["metadata"]["managedFields"] = json!([entry(
        json!({"f:spec": {"f:syncPolicy": {"f:automated": {"f:enabled": {}}}}})
    )]);
    let by = Some("2026-11-20T03:00:00Z".parse().unwrap());
    assert_eq!(auto_sync(&app, None, &[]).off_not_after, by);
    app["metadata"]["managedFields"] =
        json!([entry(json!({"f:metadata": {"f:annotations": {"f:a": {}}}}))]);
    assert_eq!(auto_sync(&app, None, &[]).off_not_after, None);
}

#[test]
fn a_note_that_cannot_be_read_is_told_from_none() {
    let mut app = application(None);
    assert_eq!(Note::unreadable(&app), None);
    app["metadata"]["annotations"] = json!({NOTE: "garbage\u{1b}[2J"});
    let why = Note::unreadable(&app).unwrap();
    assert!(
        why.contains("garbage") && !why.contains('\u{1b}'),
        "{why:?}"
    );
    // Whoever only asks since when auto-sync is off reads it too.
    let auto = auto_sync(&app, None, &[]);
    assert_eq!(auto.frozen_by.as_deref(), Some("trueup:?"));
    assert!(auto.evidence[0].contains("cannot be read"), "{auto:?}");
    let note = Note::new(
        &app,
        Freeze::NoteOnly,
        "INC-1",
        "ann",
        Timestamp::UNIX_EPOCH,
    );
    app["metadata"]["annotations"][NOTE] = json!(serde_json::to_string(&note).unwrap());
    assert_eq!(Note::unreadable(&app), None);
}

#[test]
fn targets_read_as_plans_write_them() {
    for (text, want) in [
        (json!("found"), Target::Found),
        (json!("declared"), Target::Declared),
        (
            json!({"automated": {"prune": true}}),
            Target::Typed(Policy::new(Some(json!({"automated": {"prune": true}})))),
        ),
    ] {
        assert_eq!(serde_json::from_value::<Target>(text).unwrap(), want);
    }
    assert!(target(&Target::Declared, &Policy::default(), None).is_err());
}

/// A thaw had it on: what tells of an end before that is of another story.
#[test]
fn what_a_journal_knows_begins_the_bracket_anew() {
    let at = |text: &str| -> Timestamp { text.parse().unwrap() };
    let told = |before: Option<&str>, after: Option<&str>| AutoSync {
        state: State::Absent,
        frozen_by: None,
        off_not_before: before.map(at),
        off_not_after: after.map(at),
        evidence: vec!["likely off by then: ann wrote".into(), "seen".into()],
    };
    let (old, thaw, new) = (
        "2026-11-15T10:00:00Z",
        "2026-11-23T02:00:00Z",
        "2026-11-23T03:00:00Z",
    );
    for (before, after, ends, begins) in [
        (None, Some(old), None, thaw),
        (Some(old), Some(new), Some(new), thaw),
        (Some(new), None, None, new),
    ] {
        let mut auto = told(before, after);
        auto.was_on_at(at(thaw), "the thaw of INC-1");
        assert_eq!(
            (auto.off_not_before, auto.off_not_after),
            (Some(at(begins)), ends.map(at))
        );
        let dropped = !auto.evidence.iter().any(|it| it.starts_with("likely"));
        assert_eq!(dropped, after == Some(old), "{:?}", auto.evidence);
    }
    let mut on = AutoSync {
        state: State::On,
        ..told(None, None)
    };
    on.was_on_at(at(thaw), "");
    assert_eq!(on.off_not_before, None);
}
