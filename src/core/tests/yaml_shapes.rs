//! Small shapes that the folders of `tests/yaml-cases` do not have: one line each, the bytes before and after.

use trueup_core::source::edit::edit;
use trueup_core::source::ops::parse_ops;

/// Text before, edit, text after; none where the edit must be refused.
const SHAPES: &[(&str, &str, Option<&str>)] = &[
    // Line breaks and the end of the file.
    (
        "a:\r\n  - b\r\nc: d\r\n",
        r#"{"path":["a",0],"op":"delete"}"#,
        Some("a: []\r\nc: d\r\n"),
    ),
    (
        "s:\n  t: x",
        r#"{"path":["s","t"],"op":"delete"}"#,
        Some("s: {}"),
    ),
    (
        "s:\n  t: x",
        r#"{"path":["s","u"],"op":"add","value":"a\nb\n"}"#,
        Some("s:\n  t: x\n  u: |\n    a\n    b\n"),
    ),
    (
        "\u{feff}a: 1\nb: 2\n",
        r#"{"path":["a"],"op":"delete"}"#,
        Some("\u{feff}b: 2\n"),
    ),
    // JSON.
    (
        "{\n  \"a\": 1\n}\n",
        r#"{"path":["b"],"op":"add","value":[1]}"#,
        Some("{\n  \"a\": 1,\n  \"b\": [\n    1\n  ]\n}\n"),
    ),
    (
        "{\n\t\"l\": [\n\t\t1\n\t]\n}\n",
        r#"{"path":["l","-"],"op":"add","value":2}"#,
        Some("{\n\t\"l\": [\n\t\t1,\n\t\t2\n\t]\n}\n"),
    ),
    (
        "{\"a\":1,\"b\":2}",
        r#"{"path":["b"],"op":"delete"}"#,
        Some("{\"a\":1}"),
    ),
    // Flow over several lines.
    (
        "a: [\n  b,\n  c # x\n]\n",
        r#"{"path":["a","-"],"op":"add","value":"d"}"#,
        Some("a: [\n  b,\n  c, # x\n  d\n]\n"),
    ),
    (
        "a: [\n  b,\n  c # x\n]\n",
        r#"{"path":["a",1],"op":"delete"}"#,
        Some("a: [\n  b\n]\n"),
    ),
    (
        "a: [b: c, d]\n",
        r#"{"path":["a",0,"e"],"op":"add","value":1}"#,
        None,
    ),
    // Block scalars.
    (
        "a: |-  # why\n  x\n",
        r#"{"path":["a"],"op":"set","value":"y\n"}"#,
        Some("a: |  # why\n  y\n"),
    ),
    (
        "a: |-  # why\n  x\n",
        r#"{"path":["a"],"op":"set","value":{"b":1}}"#,
        Some("a:  # why\n  b: 1\n"),
    ),
    (
        "a: |\n  x\n\n\nb: 1\n",
        r#"{"path":["a"],"op":"set","value":"y\n\n"}"#,
        Some("a: |+\n  y\n\nb: 1\n"),
    ),
    (
        "a: |-\n  x",
        r#"{"path":["a"],"op":"set","value":"y\n"}"#,
        Some("a: |\n  y\n"),
    ),
    (
        "a: x  # c\n",
        r#"{"path":["a"],"op":"set","value":"y\nz"}"#,
        Some("a: |-  # c\n  y\n  z\n"),
    ),
    (
        "a: {}\n  # b\n",
        r#"{"path":["a"],"op":"set","value":"y\nz"}"#,
        Some("a: \"y\\nz\"\n  # b\n"),
    ),
    // Anchors, aliases, merge keys.
    (
        "a: &x 1\nb: &x 2\nc: *x\n",
        r#"{"path":["a"],"op":"set","value":9}"#,
        Some("a: &x 9\nb: &x 2\nc: *x\n"),
    ),
    (
        "a: &x 1\nb: &x 2\nc: *x\n",
        r#"{"path":["b"],"op":"delete"}"#,
        None,
    ),
    (
        "a: &x {k: 1}\nb: {<<: *x, j: 2}\n",
        r#"{"path":["b","k"],"op":"set","value":9}"#,
        Some("a: &x {k: 1}\nb: {<<: *x, j: 2, k: 9}\n"),
    ),
    (
        "a: &x {k: 1}\nb:\n- *x\n",
        r#"{"path":["b",0,"k"],"op":"set","value":9}"#,
        None,
    ),
    (
        "a: &x {k: 1}\nb:\n- *x\n",
        r#"{"path":["b",0],"op":"set","value":{"k":2}}"#,
        Some("a: &x {k: 1}\nb:\n- k: 2\n"),
    ),
    // Values as Kubernetes reads them.
    (
        "a: yes\n",
        r#"{"path":["a"],"op":"set","value":true}"#,
        Some("a: yes\n"),
    ),
    (
        "a: yes\n",
        r#"{"path":["a"],"op":"set","value":"yes"}"#,
        Some("a: \"yes\"\n"),
    ),
    (
        "a: !!str 9\n",
        r#"{"path":["a"],"op":"set","value":"10"}"#,
        Some("a: !!str 10\n"),
    ),
    ("a: .inf\n", r#"{"path":["b"],"op":"add","value":1}"#, None),
    (
        "1: a\n\"1\": b\n",
        r#"{"path":["c"],"op":"add","value":1}"#,
        None,
    ),
    // Comments.
    (
        "a:\n  b: 1\n  # own\n# outer\nc: 2\n",
        r#"{"path":["a","x"],"op":"add","value":1}"#,
        Some("a:\n  b: 1\n  # own\n  x: 1\n# outer\nc: 2\n"),
    ),
    (
        "l:\n- a  # c\n- b\n",
        r#"{"path":["l"],"op":"set","value":["x","b"]}"#,
        Some("l:\n- x\n- b\n"),
    ),
    (
        "l:\n- k=1  # c\n- b\n",
        r#"{"path":["l"],"op":"set","value":["k=2","b"]}"#,
        Some("l:\n- k=2  # c\n- b\n"),
    ),
    (
        "l:\n- name: a # c\n  v: 1\n- name: b\n  v: 2\n",
        r#"{"path":["l"],"op":"set","value":[{"name":"b","v":3}]}"#,
        Some("l:\n- name: b\n  v: 3\n"),
    ),
];

#[test]
fn small_shapes_give_the_expected_bytes() {
    for (before, ops, wanted) in SHAPES {
        let edits = parse_ops(ops).expect("the table's edits are sound");
        let after = edit(before.as_bytes(), &edits);
        let after = after.as_deref().map(String::from_utf8_lossy);
        assert_eq!(after.ok().as_deref(), *wanted, "{before:?} {ops}");
    }
}

/// A batch is all or nothing, and a refusal names the edit.
#[test]
fn a_batch_stops_at_the_first_refusal() {
    let ops =
        r#"{"ops":[{"path":["a"],"op":"set","value":2},{"path":["z"],"op":"set","value":1}]}"#;
    let refused = edit(b"a: 1\n", &parse_ops(ops).expect("sound")).expect_err("z is missing");
    assert!(
        refused.to_string().contains("edit 1: document 0, .z"),
        "{refused}"
    );
}

/// Hostile input ends in an error, quickly.
#[test]
fn bombs_are_refused() {
    let mut laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for i in 1..12 {
        let items = vec![format!("*a{}", i - 1); 10].join(",");
        laughs.push_str(&format!("a{i}: &a{i} [{items}]\n"));
    }
    let deep = format!("a: {}{}", "[".repeat(5_000), "]".repeat(5_000));
    let deep_json = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let large = format!("a: {}\n", "x".repeat(9 << 20));
    let own = "a: &a [*a]\n".to_owned();
    let ops = parse_ops(r#"{"path":["b"],"op":"add","value":1}"#).expect("sound");
    for text in [laughs, deep, deep_json, large, own] {
        assert!(edit(text.as_bytes(), &ops).is_err(), "{:.60}", text);
    }
}
