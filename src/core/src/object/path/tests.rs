//! The text form, and reading and writing by path.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn path(text: &str) -> FieldPath {
    text.parse().unwrap()
}

#[test]
fn reads_what_the_promise_shows() {
    let text = r#".spec.template.spec.containers[name="app"].env[name="DEBUG"].value"#;
    assert_eq!(path(text).to_string(), text);
    assert_eq!(
        path(r#".spec.ports[containerPort=80,protocol="TCP"]"#).0[2],
        Element::Item(vec![
            ("containerPort".into(), json!(80)),
            ("protocol".into(), json!("TCP"))
        ])
    );
    assert_eq!(
        path(r#".metadata.annotations["a.b/c"]"#),
        FieldPath::keys(["metadata", "annotations", "a.b/c"])
    );
    assert_eq!(path(".").to_string(), ".");
    for bad in [
        "data",
        ".data.",
        ".a..b",
        ".a[",
        ".a[x]",
        ".a[01]",
        ".a[name=]",
        ".data.*",
        ".a[n={}]",
    ] {
        assert!(bad.parse::<FieldPath>().is_err(), "{bad}");
    }
}

#[test]
fn finds_items_with_the_default_protocol() {
    let object = json!({"ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP", "name": "u"}]});
    let udp = path(r#".ports[containerPort=80,protocol="UDP"].name"#);
    let tcp = path(r#".ports[containerPort=80,protocol="TCP"]"#);
    assert_eq!(udp.get(&object), Some(&json!("u")));
    assert_eq!(tcp.get(&object), Some(&json!({"containerPort": 80})));
    assert_eq!(udp.to_pointer(&object).as_deref(), Some("/ports/1/name"));
}

#[test]
fn set_and_remove_make_and_leave_the_way() {
    let mut object = json!({"metadata": {}});
    let p = path(r#".spec.containers[name="app"].env[name="X"].value"#);
    p.set(&mut object, json!("1")).unwrap();
    assert_eq!(
        object["spec"]["containers"],
        json!([{"name": "app", "env": [{"name": "X", "value": "1"}]}])
    );
    assert_eq!(p.remove(&mut object), Some(json!("1")));
    assert_eq!(p.remove(&mut object), None);
    assert!(
        path(".metadata.x.y")
            .set(&mut json!({"metadata": 1}), json!(1))
            .is_err()
    );
    assert_eq!(
        path(".data[\"a/b\"]")
            .to_pointer(&json!({"data": {}}))
            .as_deref(),
        Some("/data/a~1b")
    );
    assert_eq!(path(".data.a").to_pointer(&json!({})), None);
}

#[test]
fn a_star_is_one_element() {
    let all: Pattern = ".data.*".parse().unwrap();
    assert!(all.matches(&path(".data[\"a.b\"]")));
    assert!(!all.matches(&path(".data")));
    assert!(!all.matches(&path(".data.a.b")));
    let image: Pattern = ".spec.containers[*].image".parse().unwrap();
    assert!(image.matches(&path(".spec.containers[name=\"app\"].image")));
    assert_eq!(image.to_string().parse::<Pattern>().unwrap(), image);
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<String>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
    ]
}

fn element() -> impl Strategy<Value = Element> {
    prop_oneof![
        any::<String>().prop_map(Element::Key),
        "[A-Za-z0-9_-]{1,8}".prop_map(Element::Key),
        proptest::collection::vec((any::<String>(), scalar()), 1..3).prop_map(Element::Item),
        any::<usize>().prop_map(Element::Index),
        scalar().prop_map(Element::SetValue),
    ]
}

proptest! {
    #[test]
    fn text_form_is_lossless(elements in proptest::collection::vec(element(), 0..6)) {
        let p = FieldPath(elements);
        prop_assert_eq!(p.to_string().parse::<FieldPath>().unwrap(), p);
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".*") {
        if let Ok(p) = text.parse::<FieldPath>() {
            prop_assert_eq!(p.to_string().parse::<FieldPath>().unwrap(), p);
        }
    }
}
