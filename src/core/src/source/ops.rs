//! What an edit says, and how it is read from JSON.

use serde_json::{Map, Value};

use crate::object::path::{Element, FieldPath};

/// One step of a path into a document.
#[derive(Debug, Clone, PartialEq)]
pub enum EditElement {
    /// A map key, as written, unquoted.
    Key(String),
    /// A list index.
    Index(usize),
    /// `"-"`: past the end of a list; as a key where there is a map.
    End,
    /// The one list item whose fields equal these.
    Item(Map<String, Value>),
}

impl std::fmt::Display for EditElement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(k)
                if !k.is_empty()
                    && k.bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') =>
            {
                write!(f, ".{k}")
            }
            Self::Key(k) => write!(f, "[{}]", Value::from(k.as_str())),
            Self::Index(i) => write!(f, "[{i}]"),
            Self::End => write!(f, "[-]"),
            Self::Item(fields) => {
                let fields: Vec<String> = fields.iter().map(|(k, v)| format!("{k}={v}")).collect();
                write!(f, "[{}]", fields.join(","))
            }
        }
    }
}

/// A path as people read it: `.spec.containers[name="app"].image`.
pub fn show_path(path: &[EditElement]) -> String {
    if path.is_empty() {
        return ".".to_owned();
    }
    path.iter().map(ToString::to_string).collect()
}

/// What to do at the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Give an existing node another value.
    Set,
    /// Make a missing node, and its missing parents; before a list index.
    Add,
    /// Take an existing node away.
    Delete,
}

/// One edit of one document.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    /// Index of the document in the stream.
    pub doc: usize,
    pub path: Vec<EditElement>,
    pub op: Op,
    /// The wanted value; null for a deletion.
    pub value: Value,
}

/// Why the text is no list of edits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the edits cannot be read: {0}")]
pub struct OpsError(pub String);

/// Keys that mean something, and those that a case for tests carries beside them.
const KNOWN: [&str; 7] = ["doc", "path", "op", "value", "note", "tags", "expect"];

/// Keys of the edits that nobody reads, each once: `docs` for `doc` would otherwise edit another document in silence.
pub fn ignored_keys(json: &str) -> Vec<String> {
    let Ok(Value::Object(top)) = serde_json::from_str(json) else {
        return Vec::new();
    };
    let batch = top.get("ops").and_then(Value::as_array);
    let edits = batch.into_iter().flatten().filter_map(Value::as_object);
    let of_edits = edits.flat_map(Map::keys);
    let of_top = top.keys().filter(|key| *key != "ops");
    let mut found: Vec<String> = of_top
        .chain(of_edits)
        .filter(|key| !KNOWN.contains(&key.as_str()))
        .cloned()
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Reads one edit, or `{"ops": […]}`. Unknown keys are ignored; wrong types, and keys that stand
/// twice, are errors. A path is a list of elements, or
/// a field path as `drift` and `trace` print it.
pub fn parse_ops(json: &str) -> Result<Vec<Edit>, OpsError> {
    let value = crate::strict::json(json).map_err(|e| OpsError(e.to_string()))?;
    if let Some((given, kept)) = altered_number(json) {
        return Err(OpsError(format!(
            "the number {given} would be written as {kept}: write it so, or as text: \"{given}\""
        )));
    }
    let Value::Object(top) = &value else {
        return Err(OpsError("an object is wanted".to_owned()));
    };
    match top.get("ops") {
        None => Ok(vec![parse_edit(top).map_err(OpsError)?]),
        Some(Value::Array(list)) => list
            .iter()
            .enumerate()
            .map(|(i, e)| {
                e.as_object()
                    .ok_or_else(|| "an object is wanted".to_owned())
                    .and_then(parse_edit)
                    .map_err(|why| OpsError(format!("edit {i}: {why}")))
            })
            .collect(),
        Some(_) => Err(OpsError("\"ops\" must be a list".to_owned())),
    }
}

/// The first number of a JSON text whose digits would not be kept, and what would stand instead: more digits than a number of 64
/// bits has, an exponent, noughts at the end of a fraction.
fn altered_number(json: &str) -> Option<(&str, String)> {
    let bytes = json.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let of_number = |b: &u8| b"+-.eE0123456789".contains(b);
                let len = bytes[at..].iter().take_while(|b| of_number(b)).count();
                let given = &json[at..at + len];
                let kept = match serde_json::from_str::<Value>(given) {
                    // As Kubernetes and the files have it: 1.0 is the number 1.
                    Ok(Value::Number(n)) => {
                        let text = n.to_string();
                        text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
                    }
                    _ => return Some((given, "no number".to_owned())),
                };
                if kept != given {
                    return Some((given, kept));
                }
                at += len;
            }
            _ => at += 1,
        }
    }
    None
}

fn parse_edit(edit: &Map<String, Value>) -> Result<Edit, String> {
    let doc = match edit.get("doc") {
        None => 0,
        Some(d) => d
            .as_u64()
            .and_then(|d| usize::try_from(d).ok())
            .ok_or_else(|| format!("\"doc\" must be an index from 0, not {d}"))?,
    };
    let op = match edit.get("op") {
        Some(Value::String(s)) => match s.as_str() {
            "set" => Op::Set,
            "add" => Op::Add,
            "delete" => Op::Delete,
            other => return Err(format!("\"op\" must be set, add or delete, not {other:?}")),
        },
        Some(other) => return Err(format!("\"op\" must be text, not {other}")),
        None => return Err("\"op\" is missing".to_owned()),
    };
    let path = match edit.get("path") {
        Some(Value::Array(list)) => list.iter().map(parse_element).collect::<Result<_, _>>()?,
        Some(Value::String(text)) => parse_field_path(text)?,
        Some(other) => {
            return Err(format!(
                "\"path\" must be a list or a field path as text, not {other}"
            ));
        }
        None => return Err("\"path\" is missing".to_owned()),
    };
    let value = match (op, edit.get("value")) {
        (Op::Delete, _) => Value::Null,
        (_, Some(v)) => v.clone(),
        (_, None) => return Err("\"value\" is missing".to_owned()),
    };
    Ok(Edit {
        doc,
        path,
        op,
        value,
    })
}

fn parse_field_path(text: &str) -> Result<Vec<EditElement>, String> {
    if text.is_empty() {
        return Err("\"path\" is empty: the whole document is \".\"".to_owned());
    }
    let path: FieldPath = text
        .parse()
        .map_err(|error: crate::object::path::ParsePathError| error.to_string())?;
    path.0
        .into_iter()
        .map(|element| match element {
            Element::Key(key) => Ok(EditElement::Key(key)),
            Element::Item(keys) => Ok(EditElement::Item(keys.into_iter().collect())),
            Element::Index(place) => Ok(EditElement::Index(place)),
            Element::SetValue(_) => Err(format!(
                "{text:?} names the member of a set by its value: write its place in the list, as in [0]"
            )),
        })
        .collect()
}

fn parse_element(element: &Value) -> Result<EditElement, String> {
    match element {
        Value::String(s) if s == "-" => Ok(EditElement::End),
        Value::String(s) => Ok(EditElement::Key(s.clone())),
        Value::Number(n) => n
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .map(EditElement::Index)
            .ok_or_else(|| format!("a list index is a whole number from 0, not {n}")),
        Value::Object(fields) if !fields.is_empty() => Ok(EditElement::Item(fields.clone())),
        other => Err(format!(
            "a path element is text, a number or an object with fields, not {other}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_read_and_wrong_types_are_named() {
        let ops = parse_ops(
            r#"{"doc":1,"path":["a",0,"-",{"name":"x"}],"op":"add","value":null,"note":"n","expect":"ok"}"#,
        )
        .unwrap();
        assert_eq!(ops.len(), 1);
        assert_eq!(show_path(&ops[0].path), ".a[0][-][name=\"x\"]");
        for bad in [
            "[]",
            "{",
            r#"{"path":[],"op":"set","value":1,"value":2}"#,
            r#"{"ops":[{"path":["a"],"op":"set","value":1,"path":["b"]}]}"#,
            r#"{"path":[],"op":"set","value":{"a":1,"a":2}}"#,
            r#"{"ops":1}"#,
            r#"{"path":[],"op":"set"}"#,
            r#"{"path":[],"op":"put","value":1}"#,
            r#"{"path":"a","op":"set","value":1}"#,
            r#"{"path":[-1],"op":"set","value":1}"#,
            r#"{"path":[1.5],"op":"set","value":1}"#,
            r#"{"path":[true],"op":"set","value":1}"#,
            r#"{"path":[],"op":"set","value":1,"doc":"0"}"#,
            r#"{"path":[],"op":"set","value":1,"doc":-1}"#,
        ] {
            assert!(parse_ops(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_field_path_is_taken_as_it_was_printed() {
        let path =
            r#".spec.containers[name="app"].env[containerPort=80,protocol="TCP"].x[2]["a.b/c"]"#;
        let edit = |path: &str| {
            let op = serde_json::json!({"path": path, "op": "delete"});
            parse_ops(&op.to_string())
        };
        let elements = parse_ops(
            r#"{"path": ["spec", "containers", {"name": "app"}, "env", {"containerPort": 80, "protocol": "TCP"}, "x", 2, "a.b/c"], "op": "delete"}"#,
        );
        assert_eq!(edit(path), elements);
        assert_eq!(edit(".").unwrap()[0].path, Vec::new());
        for bad in ["", "data", ".data[", r#".finalizers[="x"]"#] {
            assert!(edit(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_number_is_written_with_its_digits_or_not_at_all() {
        let edit = |value: &str| {
            let text =
                format!(r#"{{"path": ["a"], "op": "set", "value": {{"1.0 \" 2.50": [{value}]}}}}"#);
            parse_ops(&text).map_err(|e| e.to_string())
        };
        for kept in [
            "5",
            "-3",
            "0.1",
            "2.5",
            "18446744073709551615",
            "-9223372036854775808",
            r#""1.0""#,
        ] {
            assert!(edit(kept).is_ok(), "{kept}: {:?}", edit(kept));
        }
        for (altered, to) in [
            ("1.0", "1"),
            ("2.50", "2.5"),
            ("1e3", "1000"),
            ("12345678901234567890123", "1.2345678901234568e+22"),
        ] {
            let why = edit(altered).unwrap_err();
            assert!(
                why.contains(&format!("{altered} would be written as {to}:")),
                "{why}"
            );
        }
    }

    #[test]
    fn keys_that_nobody_reads_are_named() {
        assert_eq!(
            ignored_keys(
                r#"{"ops": [{"docs": 1, "path": [], "op": "delete", "note": ""}, {"docs": 2}], "foo": {"bar": 1}, "tags": []}"#
            ),
            ["docs", "foo"]
        );
    }
}
