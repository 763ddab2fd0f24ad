//! What somebody types for a field, in the type that the field has.

use serde_json::Value;

use super::path::{Element, FieldPath};

/// Whether a field of an object of this kind is text by its type: a value that looks like a number is text in there too.
pub fn holds_text(kind: &str, field: &FieldPath) -> bool {
    let keys: Vec<Option<&str>> = field
        .0
        .iter()
        .map(|element| match element {
            Element::Key(key) => Some(key.as_str()),
            _ => None,
        })
        .collect();
    let data = ["data", "binaryData", "stringData"];
    match keys.as_slice() {
        [Some(map), Some(_)] if ["ConfigMap", "Secret"].contains(&kind) => data.contains(map),
        [
            ..,
            Some("metadata"),
            Some("labels" | "annotations"),
            Some(_),
        ] => true,
        [.., Some("matchLabels" | "nodeSelector"), Some(_)] => true,
        _ => false,
    }
}

/// What somebody typed for a field: text where the field is text, quoted or not; else JSON, and text where it is none.
pub fn typed(kind: &str, field: &str, text: &str) -> Value {
    let is_text = field
        .parse()
        .is_ok_and(|field: FieldPath| holds_text(kind, &field));
    typed_as(is_text, text)
}

/// The same where it is known whether the field is text.
pub fn typed_as(is_text: bool, text: &str) -> Value {
    let plain = || Value::String(text.to_owned());
    match crate::strict::json(text) {
        Ok(value) if !is_text || value.is_string() => value,
        _ => plain(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_for_a_text_field_is_text() {
        for (kind, field, text, wanted) in [
            ("ConfigMap", ".data.X", "5", Value::from("5")),
            ("ConfigMap", ".data.X", "\"5\"", Value::from("5")),
            (
                "ConfigMap",
                ".data.X",
                "{\"a\": 1}",
                Value::from("{\"a\": 1}"),
            ),
            (
                "Deployment",
                ".metadata.labels.v",
                "true",
                Value::from("true"),
            ),
            (
                "Deployment",
                ".spec.template.metadata.annotations[\"a.b/c\"]",
                "1",
                Value::from("1"),
            ),
            ("Deployment", ".spec.replicas", "5", Value::from(5)),
            ("Widget", ".data.X", "5", Value::from(5)),
            (
                "ConfigMap",
                ".data",
                "{\"a\": \"1\"}",
                serde_json::json!({"a": "1"}),
            ),
            ("Deployment", ".spec.x", "plain", Value::from("plain")),
        ] {
            assert_eq!(typed(kind, field, text), wanted, "{kind} {field} {text}");
        }
    }
}
