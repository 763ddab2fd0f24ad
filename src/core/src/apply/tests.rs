//! Patches against what `kubectl apply` sends, and laws of the prediction.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn config_map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}, "data": data})
}

fn deployment(containers: Value, strategy: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "n"},
        "spec": {"strategy": strategy, "template": {"spec": {"containers": containers}}}})
}

#[test]
fn a_map_gives_what_changed_and_what_was_taken_out() {
    let applied = config_map(json!({"a": "1", "gone": "1"}));
    let desired = config_map(json!({"a": "2", "new": "1"}));
    let live = config_map(json!({"a": "1", "gone": "1", "ghost": "1"}));
    let patch = three_way_patch(Some(&applied), &desired, &live, "ConfigMap");
    assert_eq!(patch.patch_type, PatchType::Strategic);
    assert_eq!(
        patch.body,
        json!({"data": {"a": "2", "new": "1", "gone": null}})
    );
    assert_eq!(
        predict(Some(&applied), &desired, &live, "ConfigMap")["data"],
        json!({"a": "2", "new": "1", "ghost": "1"})
    );
}

#[test]
fn keyed_lists_are_patched_item_by_item() {
    let env = |value: &str| json!({"name": "A", "value": value});
    let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}});
    let applied = deployment(
        json!([{"name": "app", "image": "a:1", "env": [env("1"), {"name": "OLD", "value": "x"}]}]),
        rolling.clone(),
    );
    let desired = deployment(
        json!([{"name": "app", "image": "a:1", "env": [env("2")]}]),
        json!({"type": "Recreate"}),
    );
    let live = deployment(
        json!([{"name": "side", "image": "s"},
            {"name": "app", "image": "a:1", "env": [env("1"), {"name": "OLD", "value": "x"}, {"name": "DEBUG", "value": "true"}]}]),
        rolling,
    );
    let patch = three_way_patch(Some(&applied), &desired, &live, "Deployment");
    assert_eq!(
        patch.body["spec"],
        json!({
            "strategy": {"type": "Recreate", "rollingUpdate": null, "$retainKeys": ["type"]},
            "template": {"spec": {
                "$setElementOrder/containers": [{"name": "app"}],
                "containers": [{"name": "app",
                    "$setElementOrder/env": [{"name": "A"}],
                    "env": [{"name": "A", "value": "2"}, {"$patch": "delete", "name": "OLD"}]}]}}})
    );
    let after = predict(Some(&applied), &desired, &live, "Deployment");
    assert_eq!(after["spec"]["strategy"], json!({"type": "Recreate"}));
    let containers = &after["spec"]["template"]["spec"]["containers"];
    assert_eq!(containers[0]["name"], "side");
    assert_eq!(
        containers[1]["env"],
        json!([env("2"), {"name": "DEBUG", "value": "true"}])
    );
}

#[test]
fn a_custom_resource_is_merged_and_its_lists_are_replaced() {
    let object = |list: Value| json!({"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": list}});
    let patch = three_way_patch(
        None,
        &object(json!([{"port": 1}])),
        &object(json!([{"port": 2}])),
        "Service",
    );
    assert_eq!(patch.patch_type, PatchType::Merge);
    assert_eq!(patch.body, json!({"spec": {"ports": [{"port": 1}]}}));
}

#[test]
fn finalizers_are_a_set() {
    let object = |list: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "finalizers": list}});
    let patch = three_way_patch(
        Some(&object(json!(["old"]))),
        &object(json!(["new"])),
        &object(json!(["old", "other"])),
        "ConfigMap",
    );
    assert_eq!(
        patch.body["metadata"],
        json!({"$setElementOrder/finalizers": ["new"], "$deleteFromPrimitiveList/finalizers": ["old"], "finalizers": ["new"]})
    );
}

#[test]
fn what_is_applied_is_what_argo_writes() {
    let desired = config_map(json!({"b": "<&>", "a": "1"}));
    let out = desired_for_apply(&desired, "auth-service", "n").unwrap();
    let annotations = &out["metadata"]["annotations"];
    assert_eq!(annotations[TRACKING_ID], "auth-service:/ConfigMap:n/c");
    assert_eq!(
        annotations[LAST_APPLIED].as_str().unwrap(),
        "{\"apiVersion\":\"v1\",\"data\":{\"a\":\"1\",\"b\":\"\\u003c\\u0026\\u003e\"},\"kind\":\"ConfigMap\",\"metadata\":\
         {\"annotations\":{\"argocd.argoproj.io/tracking-id\":\"auth-service:/ConfigMap:n/c\"},\"name\":\"c\",\"namespace\":\"n\"}}\n"
    );
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "r"}});
    let out = desired_for_apply(&role, "a", "n").unwrap();
    assert_eq!(
        out["metadata"]["annotations"][TRACKING_ID],
        "a:rbac.authorization.k8s.io/ClusterRole:n/r"
    );
}

#[test]
fn a_sync_to_equal_values_moves_bookkeeping_only() {
    let git = config_map(json!({"a": "1"}));
    let mut live = desired_for_apply(&git, "one", "n").unwrap();
    live["metadata"]["resourceVersion"] = json!("1");
    let mut after = live.clone();
    after["metadata"]["resourceVersion"] = json!("2");
    after["metadata"]["annotations"][LAST_APPLIED] = json!("{}");
    after["metadata"]["managedFields"] = json!([{"manager": "argocd-controller"}]);
    let compared = compare("ConfigMap", &[], &effect(&live, &after, "ConfigMap"));
    assert!(compared.is_no_change());
    assert_eq!(compared.bookkeeping.len(), 3);
    after["data"]["a"] = json!("2");
    let predicted = effect(&live, &after, "ConfigMap");
    assert!(!compare("ConfigMap", &[], &predicted).is_as_expected());
    let expected = vec![FieldChange {
        path: ".data.a".parse().unwrap(),
        from: None,
        to: Some(json!("2")),
        order_only: false,
    }];
    assert!(compare("ConfigMap", &expected, &predicted).is_as_expected());
    assert_eq!(compare("ConfigMap", &expected, &[]).missing.len(), 1);
}

/// `cases.jsonl` was made by apimachinery v0.33.4 (`CreateThreeWayMergePatch`, `StrategicMergePatch`) from random objects.
#[test]
fn the_reference_implementation_sends_and_gets_the_same() {
    for (n, line) in include_str!("cases.jsonl").lines().enumerate() {
        let case: Value = serde_json::from_str(line).unwrap();
        let kind = case["kind"].as_str().unwrap();
        let (applied, desired, live) = (&case["applied"], &case["desired"], &case["live"]);
        let patch = three_way_patch(Some(applied), desired, live, kind);
        assert_eq!(patch.body, case["patch"], "patch of case {n}");
        assert_eq!(
            predict(Some(applied), desired, live, kind),
            case["result"],
            "result of case {n}"
        );
    }
}

fn tree() -> impl Strategy<Value = Value> {
    let env = proptest::collection::btree_map("[A-D]", "[a-c]", 0..4).prop_map(|m| {
        m.into_iter()
            .map(|(n, v)| json!({"name": n, "value": v}))
            .collect::<Vec<_>>()
    });
    let labels = proptest::collection::btree_map("[a-d]", "[x-z]", 0..4);
    (env, labels, proptest::collection::vec("[a-c]", 0..3)).prop_map(|(env, labels, args)| {
        let mut out = deployment(
            json!([{"name": "app", "env": env, "args": args}]),
            json!({"type": "Recreate"}),
        );
        out["metadata"]["labels"] = json!(labels);
        out
    })
}

proptest! {
    #[test]
    fn after_a_sync_another_one_changes_nothing(applied in tree(), desired in tree(), live in tree()) {
        let after = predict(Some(&applied), &desired, &live, "Deployment");
        prop_assert_eq!(predict(Some(&desired), &desired, &after, "Deployment"), after);
    }

    #[test]
    fn nothing_changes_when_live_is_as_desired(applied in tree(), desired in tree()) {
        prop_assert_eq!(predict(Some(&applied), &desired, &desired, "Deployment"), desired.clone());
        prop_assert_eq!(three_way_patch(None, &desired, &desired, "Deployment").body, json!({}));
    }
}

#[test]
fn a_server_side_sync_takes_away_what_client_side_ones_had_applied() {
    let entry = |manager: &str, operation: &str, fields: Value| json!({"manager": manager, "operation": operation, "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": fields});
    let applied = json!({"f:annotations": {format!("f:{LAST_APPLIED}"): {}}});
    let live = |entries: Value| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "labels": {"kept": "x", "gone": "x", "hand": "x"},
            "annotations": {LAST_APPLIED: "{}"}, "managedFields": entries},
            "spec": {"replicas": 5, "revisionHistoryLimit": 10}})
    };
    let wanted = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "labels": {"kept": "x"}}, "spec": {}});
    let labels = json!({"f:kept": {}, "f:gone": {}});
    let spec = json!({"f:replicas": {}, "f:revisionHistoryLimit": {}});
    let hand = entry(
        "kubectl-edit",
        "Update",
        json!({"f:metadata": {"f:labels": {"f:hand": {}}}}),
    );
    let mut metadata = applied.clone();
    metadata["f:labels"] = labels.clone();
    let argo = entry(
        "argocd-controller",
        "Update",
        json!({"f:metadata": metadata, "f:spec": spec}),
    );
    let taken = |entries: Value, own: bool| -> Vec<String> {
        let taken = taken_over(&live(entries), &wanted, "argocd-controller", own);
        taken.iter().map(ToString::to_string).collect()
    };
    // The default of the one field stands, that of the other does not.
    let gone = [".metadata.labels.gone", ".spec.replicas"];
    assert_eq!(taken(json!([argo, hand]), false), gone);
    // Who owns it as well keeps it.
    let scaled = entry(
        "kubectl-edit",
        "Update",
        json!({"f:spec": {"f:replicas": {}}}),
    );
    assert_eq!(taken(json!([argo, scaled]), false), gone[..1]);
    // kubectl's own entry without last-applied, and what was applied server-side already.
    let kubectl = entry(
        "kubectl-client-side-apply",
        "Update",
        json!({"f:metadata": {"f:labels": labels}}),
    );
    assert_eq!(taken(json!([kubectl]), false), gone[..1]);
    let before = entry(
        "argocd-controller",
        "Apply",
        json!({"f:metadata": {"f:labels": labels}}),
    );
    assert!(taken(json!([before]), false).is_empty());
    assert_eq!(taken(json!([before]), true), gone[..1]);
}
