//! Reads the manifests of a YAML or JSON file as Kubernetes' own tools do (YAML 1.1 booleans and octals).

use serde_json::Value;

/// The documents of a file, empty ones left out and kinds ending in `List` unpacked.
///
/// The error is the parser's own text.
pub fn parse(text: &str) -> Result<Vec<Value>, String> {
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        strict_booleans: false,
    };
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| error.to_string())?;
    let mut objects = Vec::new();
    for document in documents {
        if document.is_null() {
            continue;
        }
        let is_list = document["kind"]
            .as_str()
            .is_some_and(|kind| kind.ends_with("List"));
        match document.get("items") {
            Some(Value::Array(items)) if is_list => objects.extend(items.iter().cloned()),
            _ => objects.push(document),
        }
    }
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn scalars_are_typed_as_kubectl_types_them() {
        let read = parse("a: yes\nb: \"yes\"\nc: 0644\nd: 12\ne: RS256\nf: '8080'\ng: key-2024-09\n---\n---\nkind: x\n").unwrap();
        assert_eq!(
            read,
            vec![
                json!({"a": true, "b": "yes", "c": 420, "d": 12, "e": "RS256", "f": "8080", "g": "key-2024-09"}),
                json!({"kind": "x"})
            ]
        );
    }

    #[test]
    fn broken_input_is_an_error_and_lists_are_unpacked() {
        assert!(parse("a: [1, 2\nb: }").is_err());
        let read = parse("apiVersion: v1\nkind: List\nitems: [{kind: A}, {kind: B}]").unwrap();
        assert_eq!(read, vec![json!({"kind": "A"}), json!({"kind": "B"})]);
    }
}
