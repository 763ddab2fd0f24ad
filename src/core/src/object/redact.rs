//! Secret values become keyed digests: equal values stay recognisable as equal, and nothing else passes.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value};
use sha2::Sha256;

use super::path::FieldPath;

/// The annotation in which `kubectl apply` and Argo CD keep the whole object as it was applied.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The digest of a secret's bytes: `hmac:` and the first 48 bits of HMAC-SHA256 in hexadecimal.
pub fn digest(bytes: &[u8], key: &[u8; 32]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(bytes);
    let hex: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .take(6)
        .map(|b| format!("{b:02x}"))
        .collect();
    format!("hmac:{hex}")
}

/// What stands in place of a secret value.
pub fn placeholder(bytes: &[u8], key: &[u8; 32]) -> Value {
    let mut map = Map::new();
    map.insert("secret".to_owned(), Value::from(digest(bytes, key)));
    Value::Object(map)
}

/// True for what [`placeholder`] makes, and for nothing that could hold a value.
pub fn is_redacted(value: &Value) -> bool {
    let Some(map) = value.as_object().filter(|m| m.len() == 1) else {
        return false;
    };
    map.get("secret")
        .and_then(Value::as_str)
        .and_then(|s| s.strip_prefix("hmac:"))
        .is_some_and(|hex| {
            hex.len() == 12
                && hex
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        })
}

/// True when every value of a Secret's `data` and `stringData` is a digest.
pub fn is_clean(secret: &Value) -> bool {
    ["data", "stringData"]
        .iter()
        .all(|part| match secret.get(part) {
            None | Some(Value::Null) => true,
            Some(Value::Object(map)) => map.values().all(is_redacted),
            Some(_) => false,
        })
}

/// The bytes of one secret value on their way to the screen of somebody who asked for them. It cannot be serialised and its
/// debug form says only how long it is, so that no journal, log or report gets it by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Plain(Vec<u8>);

impl Plain {
    /// The bytes. Whoever calls this shows them, and lets go of them soon.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(a secret of {} bytes)", self.0.len())
    }
}

/// The key of a Secret that a field names: `.data.KEY` and `.stringData.KEY`, nothing else.
pub fn secret_key(field: &FieldPath) -> Option<&str> {
    use super::path::Element::Key;
    match field.0.as_slice() {
        [Key(part), Key(key)] if part == "data" || part == "stringData" => Some(key),
        _ => None,
    }
}

/// What a Secret that was never redacted holds under a key, decoded; `stringData` wins, as it does on a server.
pub fn plain(secret: &Value, key: &str) -> Option<Plain> {
    if !secret.as_object().is_some_and(is_secret) {
        return None;
    }
    [("stringData", false), ("data", true)]
        .into_iter()
        .find_map(|(part, encoded)| {
            let value = secret.get(part)?.get(key)?;
            (!is_redacted(value)).then(|| Plain(bytes_of(value, encoded)))
        })
}

fn bytes_of(value: &Value, encoded: bool) -> Vec<u8> {
    match value {
        Value::Null => Vec::new(),
        Value::String(text) if encoded => {
            let compact: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            STANDARD
                .decode(&compact)
                .unwrap_or_else(|_| text.clone().into_bytes())
        }
        Value::String(text) => text.clone().into_bytes(),
        other => other.to_string().into_bytes(),
    }
}

fn redact_values(part: &mut Value, encoded: bool, key: &[u8; 32]) {
    match part {
        Value::Null => {}
        Value::Object(map) => {
            for value in map.values_mut().filter(|v| !is_redacted(v)) {
                *value = placeholder(&bytes_of(value, encoded), key);
            }
        }
        other => *other = placeholder(other.to_string().as_bytes(), key),
    }
}

fn is_secret(map: &Map<String, Value>) -> bool {
    map.get("kind").and_then(Value::as_str) == Some("Secret")
        && map
            .get("apiVersion")
            .and_then(Value::as_str)
            .is_none_or(|v| !v.contains('/'))
}

fn redact_annotation(text: &mut Value, key: &[u8; 32]) {
    let raw = text.as_str().unwrap_or_default().to_owned();
    *text = match serde_json::from_str::<Value>(&raw) {
        Ok(mut inner @ Value::Object(_)) => {
            // What was applied to a Secret is a Secret, whatever it says of itself.
            for (part, encoded) in [("data", true), ("stringData", false)] {
                if let Some(values) = inner.get_mut(part) {
                    redact_values(values, encoded, key);
                }
            }
            redact(&mut inner, key);
            Value::from(inner.to_string())
        }
        _ => Value::from(digest(raw.as_bytes(), key)),
    };
}

/// Whether [`redact`] would find a Secret in the tree.
pub fn concerns(tree: &Value) -> bool {
    match tree {
        Value::Array(items) => items.iter().any(concerns),
        Value::Object(map) => is_secret(map) || map.values().any(concerns),
        _ => false,
    }
}

/// Replaces every value under `data` and `stringData` of every Secret in the tree, items of lists and the copies in
/// their last-applied annotation included, by `{"secret": "hmac:…"}`. The digest is over the decoded bytes, so that
/// `data` and `stringData` compare. Redacting twice changes nothing.
pub fn redact(tree: &mut Value, key: &[u8; 32]) {
    match tree {
        Value::Array(items) => items.iter_mut().for_each(|item| redact(item, key)),
        Value::Object(map) => {
            if is_secret(map) {
                for (part, encoded) in [("data", true), ("stringData", false)] {
                    if let Some(values) = map.get_mut(part) {
                        redact_values(values, encoded, key);
                    }
                }
                if let Some(annotation) = map
                    .get_mut("metadata")
                    .and_then(|m| m.get_mut("annotations"))
                    .and_then(|a| a.get_mut(LAST_APPLIED))
                {
                    redact_annotation(annotation, key);
                }
            } else {
                map.values_mut().for_each(|value| redact(value, key));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const KEY: &[u8; 32] = b"0123456789abcdef0123456789abcdef";

    #[test]
    fn a_plain_value_is_decoded_and_prints_nothing_of_itself() {
        let mut secret = json!({"apiVersion": "v1", "kind": "Secret",
            "data": {"a": "aHVudGVyMg==", "bin": "/wA=", "both": "b2xk"}, "stringData": {"both": "new"}});
        let bytes = |secret: &Value, key: &str| plain(secret, key).map(|p| p.bytes().to_vec());
        assert_eq!(bytes(&secret, "a"), Some(b"hunter2".to_vec()));
        assert_eq!(bytes(&secret, "bin"), Some(vec![0xff, 0]));
        assert_eq!(bytes(&secret, "both"), Some(b"new".to_vec()));
        assert_eq!(bytes(&secret, "none"), None);
        let shown = format!("{:?}", plain(&secret, "a"));
        assert_eq!(shown, "Some((a secret of 7 bytes))");
        redact(&mut secret, KEY);
        assert_eq!(bytes(&secret, "a"), None, "a digest is no value");
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "x"}});
        assert_eq!(plain(&map, "a"), None);
    }

    #[test]
    fn only_values_of_a_secret_have_a_key() {
        for (field, key) in [
            (".data.password", Some("password")),
            (".stringData[\"tls.key\"]", Some("tls.key")),
            (".data", None),
            (".metadata.labels.data", None),
            (".", None),
        ] {
            let field: FieldPath = field.parse().unwrap();
            assert_eq!(secret_key(&field), key, "{field}");
        }
    }

    #[test]
    fn the_same_bytes_have_the_same_digest() {
        let mut secret = json!({"apiVersion": "v1", "kind": "Secret",
            "data": {"a": "aHVudGVyMg==", "b": "!not base64!", "n": null}, "stringData": {"a": "hunter2"}});
        redact(&mut secret, KEY);
        assert_eq!(secret["data"]["a"], secret["stringData"]["a"]);
        assert_ne!(secret["data"]["a"], secret["data"]["b"]);
        assert!(is_clean(&secret));
        let once = secret.clone();
        redact(&mut secret, KEY);
        assert_eq!(once, secret);
        assert_eq!(secret["data"]["a"]["secret"].as_str().unwrap().len(), 17);
    }

    #[test]
    fn a_broken_annotation_does_not_pass() {
        let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"annotations": {
            LAST_APPLIED: "{\"data\": {\"a\": \"canary\""}}});
        redact(&mut secret, KEY);
        assert!(!secret.to_string().contains("canary"));
    }

    proptest! {
        #[test]
        fn a_canary_never_passes(canary in "[A-Za-z0-9]{16,40}", deep in any::<bool>(), name in "[a-z]{1,5}") {
            let encoded = STANDARD.encode(&canary);
            let applied = json!({"kind": "Secret", "data": {&name: &encoded}, "stringData": {"x": &canary}}).to_string();
            let nameless = json!({"data": {&name: &encoded}}).to_string();
            let secret = |applied: &str| json!({"apiVersion": "v1", "kind": "Secret",
                "metadata": {"name": &name, "annotations": {LAST_APPLIED: applied}},
                "data": {&name: &encoded, "list": [&canary]}, "stringData": {"y": &canary, "m": {"secret": &canary}}});
            let mut tree = json!({"kind": "List", "items": [secret(&applied), secret(&nameless)]});
            if deep {
                tree = json!({"snapshot": {"objects": {"a": tree}}});
            }
            prop_assert!(concerns(&tree));
            redact(&mut tree, KEY);
            let text = tree.to_string();
            prop_assert!(!text.contains(&canary) && !text.contains(&encoded), "{}", text);
        }
    }
}
