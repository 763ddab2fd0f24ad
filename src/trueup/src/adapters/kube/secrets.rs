//! Secret values stop here: nothing passes inwards but digests, and no digest is written back.

use serde_json::Value;
use trueup_core::object::redact::{is_redacted, redact};

/// Stands in for a server's message about a Secret: admission and validation errors quote values.
pub(super) const WITHHELD: &str = "(the server's message is withheld: it may quote a secret value)";

/// Redacts an object as it enters.
pub(super) fn admit(mut object: Value, key: &[u8; 32]) -> Value {
    redact(&mut object, key);
    object
}

/// Whether a body holds a digest where a value belongs: writing it would destroy the secret.
pub(super) fn holds_digest(body: &Value) -> bool {
    match body {
        _ if is_redacted(body) => true,
        Value::Object(map) => map.values().any(holds_digest),
        Value::Array(items) => items.iter().any(holds_digest),
        _ => false,
    }
}
