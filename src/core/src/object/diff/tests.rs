//! Which field a difference is called by, and laws of diff and apply.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn changed(kind: &str, a: Value, b: Value) -> Vec<String> {
    let changes = diff(&a, &b, kind);
    assert_eq!(apply(&a, &changes).unwrap(), b);
    changes
        .iter()
        .map(|c| format!("{}{}", c.path, if c.order_only { " order" } else { "" }))
        .collect()
}

fn deployment(containers: Value) -> Value {
    json!({"kind": "Deployment", "spec": {"template": {"spec": {"containers": containers}}}})
}

#[test]
fn names_the_field_that_a_person_would() {
    let a = deployment(json!([{"name": "app", "image": "a:1", "args": ["x", "y"]}]));
    let b = deployment(
        json!([{"name": "app", "image": "a:2", "args": ["x"], "env": [{"name": "DEBUG", "value": "true"}]}]),
    );
    let c = r#".spec.template.spec.containers[name="app"]"#;
    assert_eq!(
        changed("Deployment", a.clone(), b.clone()),
        [
            format!("{c}.image"),
            format!("{c}.args"),
            format!(r#"{c}.env[name="DEBUG"].value"#)
        ]
    );
    assert_eq!(changed("Deployment", b, a).len(), 3);
    assert_eq!(
        changed(
            "ConfigMap",
            json!({"kind": "ConfigMap"}),
            json!({"kind": "ConfigMap", "data": {"a.b": "1"}})
        ),
        [r#".data["a.b"]"#]
    );
}

#[test]
fn a_permuted_keyed_list_is_cosmetic() {
    let item = |n: &str| json!({"name": n, "image": n});
    let a = deployment(json!([item("a"), item("b"), item("c")]));
    let b = deployment(json!([item("c"), item("a"), item("b")]));
    let changes = diff(&a, &b, "Deployment");
    assert_eq!(changes.len(), 1);
    assert!(changes[0].order_only && changes[0].is_cosmetic("Deployment"));
    assert_eq!(apply(&a, &changes).unwrap(), b);
}

#[test]
fn meaning_is_typed() {
    let with =
        |cpu: Value| deployment(json!([{"name": "a", "resources": {"limits": {"cpu": cpu}}}]));
    for (a, b, same) in [
        (json!("1000m"), json!("1"), true),
        (json!("1"), json!(1), true),
        (json!("1"), json!("2"), false),
    ] {
        let changes = diff(&with(a), &with(b), "Deployment");
        assert_eq!(changes.iter().all(|c| c.is_cosmetic("Deployment")), same);
    }
    let port = |p: Value| json!({"spec": {"x": p}});
    assert!(!diff(&port(json!(80)), &port(json!("80")), "Service")[0].is_cosmetic("Service"));
}

#[test]
fn the_same_port_on_two_protocols_is_two_items() {
    let service = |udp: i64| {
        json!({"spec": {"ports": [{"port": 53, "targetPort": 53},
            {"port": 53, "protocol": "UDP", "targetPort": udp}]}})
    };
    assert_eq!(
        changed("Service", service(53), service(54)),
        [r#".spec.ports[port=53,protocol="UDP"].targetPort"#]
    );
}

/// A container-like tree: enough keyed lists, sets, atomic lists and empty nodes to meet every rule.
fn pods() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof!["[a-c]", Just("1".to_owned())].prop_map(Value::from);
    let env = proptest::collection::btree_map(
        "[A-D]",
        prop_oneof![
            scalar.clone().prop_map(|v| json!({"value": v})),
            Just(json!({})),
            Just(json!({"valueFrom": {"fieldRef": {"fieldPath": "x"}}})),
            scalar
                .clone()
                .prop_map(|v| json!({"value": v, "x": {"y": {}}})),
        ],
        0..4,
    )
    .prop_map(|m| {
        m.into_iter()
            .map(|(name, mut v)| {
                v["name"] = Value::from(name);
                v
            })
            .collect::<Vec<_>>()
    });
    let maps = prop_oneof![
        Just(json!({})),
        Just(json!({"a": {"b": "1"}, "c": "2"})),
        Just(json!({"a": {}})),
        Just(json!({"a": {"d": "1", "e": []}})),
    ];
    (
        proptest::option::of(env),
        proptest::option::of(maps),
        proptest::collection::vec(scalar, 0..3),
        proptest::option::of(proptest::sample::subsequence(vec!["f", "g", "h"], 0..3)),
    )
        .prop_map(|(env, map, args, finalizers)| {
            let mut pod =
                json!({"metadata": {}, "spec": {"containers": [{"name": "app", "args": args}]}});
            if let Some(env) = env {
                pod["spec"]["containers"][0]["env"] = Value::Array(env);
            }
            if let Some(map) = map {
                pod["spec"]["map"] = map;
            }
            if let Some(finalizers) = finalizers {
                pod["metadata"]["finalizers"] = json!(finalizers);
            }
            pod
        })
}

proptest! {
    #[test]
    fn nothing_differs_from_itself(a in pods()) {
        prop_assert!(diff(&a, &a, "Pod").is_empty());
    }

    #[test]
    fn the_changes_lead_from_one_to_the_other(a in pods(), b in pods()) {
        let made = apply(&a, &diff(&a, &b, "Pod")).unwrap();
        let left: Vec<_> = diff(&made, &b, "Pod").into_iter().filter(|c| !c.order_only).collect();
        prop_assert!(left.is_empty(), "{:?}", left);
    }
}
