use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::object::managed::Managed;
use crate::object::redact::LAST_APPLIED;

fn config_maps() -> ListKind {
    ListKind {
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
    }
}

fn deployments() -> ListKind {
    ListKind {
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
    }
}

#[test]
fn an_object_is_known_without_a_tree_and_the_tree_is_the_whole_object() {
    let listed = json!({"metadata": {"name": "a", "namespace": "n", "resourceVersion": "7",
            "annotations": {"x": "y", TRACKING_ID: "app:apps/Deployment:n/a"}, "labels": {"a\"b": "\u{e9}\n"},
            "managedFields": [{"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:spec": {}}}]},
        "spec": {"replicas": 3}});
    let live = Live::read(&listed.to_string(), &deployments()).unwrap();
    let named = live.reference().unwrap();
    assert_eq!(
        (named.to_string(), named.api_version()),
        ("Deployment/a in n".to_owned(), "apps/v1".to_owned())
    );
    assert_eq!(
        (
            live.kind(),
            live.api_version(),
            live.resource_version(),
            live.tracking_id()
        ),
        (
            "Deployment",
            "apps/v1",
            "7",
            Some("app:apps/Deployment:n/a")
        )
    );
    assert!(live.tree.get().is_none());
    let mut whole = listed.clone();
    whole["apiVersion"] = json!("apps/v1");
    whole["kind"] = json!("Deployment");
    assert_eq!(Managed::read(&live), Managed::read(&whole));
    assert_eq!(ObjectRef::from_object(&live).unwrap(), named);
    let mut tree = live.clone().into_tree();
    crate::object::managed::unpack(&mut tree);
    assert_eq!(tree, whole);
    let of_a_tree = Live::from(whole);
    assert_eq!(of_a_tree.reference().unwrap(), named);
    assert_eq!(
        (of_a_tree.kind(), of_a_tree.resource_version()),
        (live.kind(), live.resource_version())
    );
    assert_eq!(of_a_tree.tracking_id(), live.tracking_id());
}

#[test]
fn what_is_unusual_is_a_tree_at_once_and_what_is_broken_is_nothing() {
    for text in [
        r#"{"metadata": {"name": 1}}"#,
        r#"{"metadata": {}}"#,
        r#"{"kind": "Other", "metadata": {"name": "a"}}"#,
        r#"{"data": {}}"#,
    ] {
        let live = Live::read(text, &config_maps()).unwrap();
        assert!(live.text.is_none(), "{text}");
    }
    for text in ["", "1", "[]", "{", "{} x"] {
        assert!(Live::read(text, &config_maps()).is_err(), "{text}");
    }
    let broken = Live::read(
        r#"{"metadata": {"name": "a"}, "data": {"x": "\ud800"}}"#,
        &config_maps(),
    );
    let broken = broken.unwrap();
    assert_eq!(broken.reference().unwrap().name, "a");
    assert!(!broken.is_sound() && broken.get("data").is_none());
}

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        Just(json!(1)),
        Just(json!(-1)),
        Just(json!(1.5)),
        Just(json!(true)),
        Just(json!("x")),
        Just(json!("\u{e9}\"\n")),
    ];
    let key = prop_oneof![
        Just("a"),
        Just("b\"\n"),
        Just("status"),
        Just("uid"),
        Just("name"),
        Just("labels"),
        Just("annotations"),
        Just("stringData"),
        Just("data"),
        Just("controller-uid"),
        Just(LAST_APPLIED),
        Just(TRACKING_ID),
    ];
    leaf.prop_recursive(3, 16, 4, move |inner| {
        prop_oneof![
            3 => proptest::collection::vec((key.clone(), inner.clone()), 0..4)
                .prop_map(|m| m.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
            1 => proptest::collection::vec(inner, 0..3).prop_map(Value::Array),
        ]
    })
}

/// An object as a list has it: with a name, without a kind.
fn listed() -> impl Strategy<Value = Value> {
    (tree(), tree()).prop_map(|(mut metadata, content)| {
        if !metadata.is_object() {
            metadata = json!({"labels": metadata});
        }
        metadata["name"] = json!("n");
        let mut object = json!({"metadata": metadata, "data": content});
        if let Value::Object(map) = content {
            object.as_object_mut().unwrap().extend(map);
        }
        object["metadata"] = metadata;
        object
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_text_says_of_itself_what_the_tree_says(text in listed(), other in listed(), how in 0..4usize) {
        let live = Live::read(&text.to_string(), &config_maps()).unwrap();
        let mut git = if how == 0 { other } else { text.clone() };
        git["kind"] = json!("ConfigMap");
        if how == 2 && let Some(metadata) = git["metadata"].as_object_mut() {
            metadata.insert("uid".into(), json!("other"));
            metadata.insert("generateName".into(), Value::Null);
            metadata.shift_remove("annotations");
        }
        if how == 3 && let Some(map) = git.as_object_mut() {
            map.shift_remove("status");
            map.insert("more".into(), json!([null]));
        }
        let at_a_glance = live.same_as(&git);
        let tree = Value::clone(&live);
        let mut bare = tree.clone();
        for name in ["apiVersion", "kind"] {
            bare.as_object_mut().unwrap().shift_remove(name);
        }
        prop_assert_eq!(bare.to_string(), text.to_string());
        let in_full = is_same(&git, &tree).then(|| bookkeeping(&tree));
        let sorted = |paths: Option<Vec<FieldPath>>| paths.map(|mut paths| { paths.sort(); paths });
        prop_assert_eq!(sorted(at_a_glance), sorted(in_full), "{} {}", text, git);
        prop_assert_eq!(live.same_as(&git).is_some(), is_same(&git, &tree));
    }
}
