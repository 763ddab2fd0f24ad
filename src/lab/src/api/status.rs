//! `metav1.Status` failures: the exact words, reasons and details that kubectl and client libraries match on.

use serde_json::{Value, json};

use super::kinds::Resource;

/// A failed request, as the API server words it. `details` and `causes` follow `metav1.StatusDetails`.
#[derive(Debug, Clone)]
pub struct Failure {
    pub code: u16,
    pub reason: &'static str,
    pub message: String,
    pub details: Value,
}

/// One entry of `details.causes`.
#[derive(Debug, Clone)]
pub struct Cause {
    pub reason: &'static str,
    pub message: String,
    pub field: String,
}

impl Cause {
    /// A missing value at `field`.
    pub fn required(field: &str, why: &str) -> Self {
        let message = if why.is_empty() {
            "Required value".to_owned()
        } else {
            format!("Required value: {why}")
        };
        Self {
            reason: "FieldValueRequired",
            message,
            field: field.to_owned(),
        }
    }

    /// A value that may not be there or may not change.
    pub fn forbidden(field: &str, why: &str) -> Self {
        Self {
            reason: "FieldValueForbidden",
            message: format!("Forbidden: {why}"),
            field: field.to_owned(),
        }
    }

    /// A wrong value, shown as JSON.
    pub fn invalid(field: &str, value: &Value, why: &str) -> Self {
        Self {
            reason: "FieldValueInvalid",
            message: format!("Invalid value: {value}: {why}"),
            field: field.to_owned(),
        }
    }
}

impl Failure {
    fn new(code: u16, reason: &'static str, message: String, details: Value) -> Self {
        Self {
            code,
            reason,
            message,
            details,
        }
    }

    fn named(kind: &Resource, name: &str) -> Value {
        Self::details(name, &kind.group, &kind.plural)
    }

    /// What an error is about; an empty part is left out.
    fn details(name: &str, group: &str, kind: &str) -> Value {
        [("name", name), ("group", group), ("kind", kind)]
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| (key.to_owned(), json!(value)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    pub fn not_found(kind: &Resource, name: &str) -> Self {
        Self::new(
            404,
            "NotFound",
            format!("{} {name:?} not found", kind.qualified()),
            Self::named(kind, name),
        )
    }

    /// The path names no resource that is served here.
    pub fn no_such_path() -> Self {
        Self::new(
            404,
            "NotFound",
            "the server could not find the requested resource".into(),
            json!({}),
        )
    }

    pub fn already_exists(kind: &Resource, name: &str) -> Self {
        Self::new(
            409,
            "AlreadyExists",
            format!("{} {name:?} already exists", kind.qualified()),
            Self::named(kind, name),
        )
    }

    pub fn conflict(kind: &Resource, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: {why}",
            kind.qualified()
        );
        Self::new(409, "Conflict", message, Self::named(kind, name))
    }

    /// A deletion whose precondition does not hold. The kind is named here, not the resource.
    pub fn precondition(kind: &Resource, name: &str, why: &str) -> Self {
        let qualified = if kind.group.is_empty() {
            kind.kind.clone()
        } else {
            format!("{}.{}", kind.kind, kind.group)
        };
        Self::new(
            409,
            "Conflict",
            format!("Operation cannot be fulfilled on {qualified} {name:?}: {why}"),
            Self::details(name, &kind.group, &kind.kind),
        )
    }

    /// The object moved since the caller read it.
    pub fn modified(kind: &Resource, name: &str) -> Self {
        Self::conflict(
            kind,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        let message = message.into();
        Self::new(400, "BadRequest", message, Value::Null)
    }

    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized".into(), Value::Null)
    }

    pub fn forbidden(message: String, group: &str, resource: &str, name: &str) -> Self {
        let details = Self::details(name, group, resource);
        Self::new(403, "Forbidden", message, details)
    }

    /// The path is served, but not by this method.
    pub fn method_not_allowed() -> Self {
        Self::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource".into(),
            json!({}),
        )
    }

    pub fn not_implemented(what: &str) -> Self {
        Self::new(
            501,
            "NotImplemented",
            format!("{what} is not served by this cluster"),
            json!({}),
        )
    }

    pub fn unsupported_media_type(allowed: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {allowed}"
        );
        Self::new(415, "UnsupportedMediaType", message, Value::Null)
    }

    /// A patch of a type that built-in kinds do not take.
    pub fn unknown_patch() -> Self {
        Self::new(
            415,
            "UnsupportedMediaType",
            "415: Unsupported Media Type".into(),
            json!({}),
        )
    }

    /// No form that the client accepts is served.
    pub fn not_acceptable(custom: bool) -> Self {
        const FORMS: &str =
            "application/json, application/yaml, application/vnd.kubernetes.protobuf";
        let message = if custom {
            format!("only the following media types are accepted: {FORMS}")
        } else {
            format!("406: Not Acceptable\n\nAvailable representations: {FORMS}")
        };
        let details = if custom { Value::Null } else { json!({}) };
        Self::new(406, "NotAcceptable", message, details)
    }

    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(413, "RequestEntityTooLarge", message.into(), json!({}))
    }

    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message.into(), Value::Null)
    }

    pub fn timeout_too_new(asked: u64, current: u64) -> Self {
        let details = json!({"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}], "retryAfterSeconds": 1});
        Self::new(
            504,
            "Timeout",
            format!("Timeout: Too large resource version: {asked}, current: {current}"),
            details,
        )
    }

    /// A plain Go error that the server turns into a 500 without a reason.
    pub fn plain(message: impl Into<String>) -> Self {
        Self::new(500, "", message.into(), Value::Null)
    }

    /// A patch that leaves what the kind cannot hold; `shown` is the patched object, as the server prints it.
    pub fn unpatchable(shown: &str, why: &str) -> Self {
        Self::invalid(
            "",
            "",
            "",
            vec![Cause::invalid("patch", &json!(shown), why)],
        )
    }

    /// A JSON Patch whose `test` failed or whose path is missing.
    pub fn patch_refused() -> Self {
        Self::new(
            422,
            "Invalid",
            "the server rejected our request due to an error in our request".into(),
            json!({}),
        )
    }

    /// Field errors of one object, joined the way `field.ErrorList` is.
    pub fn invalid(group: &str, kind: &str, name: &str, causes: Vec<Cause>) -> Self {
        let qualified = if group.is_empty() {
            kind.to_owned()
        } else {
            format!("{kind}.{group}")
        };
        let one = |cause: &Cause| {
            if cause.field.is_empty() {
                cause.message.clone()
            } else {
                format!("{}: {}", cause.field, cause.message)
            }
        };
        // What is found twice is said once.
        let mut words: Vec<String> = Vec::new();
        for cause in causes.iter().map(one) {
            if !words.contains(&cause) {
                words.push(cause);
            }
        }
        let text = match words.as_slice() {
            [only] => only.clone(),
            all => format!("[{}]", all.join(", ")),
        };
        let mut details = Self::details(name, group, kind);
        details["causes"] = causes_json(&causes);
        Self::new(
            422,
            "Invalid",
            format!("{qualified} {name:?} is invalid: {text}"),
            details,
        )
    }

    /// Server-side apply found fields that other managers own.
    pub fn apply_conflict(message: String, causes: &[Cause]) -> Self {
        Self::new(
            409,
            "Conflict",
            message,
            json!({"causes": causes_json(causes)}),
        )
    }

    /// The wire form.
    pub fn to_json(&self) -> Value {
        let mut out = serde_json::Map::new();
        out.insert("kind".into(), json!("Status"));
        out.insert("apiVersion".into(), json!("v1"));
        out.insert("metadata".into(), json!({}));
        out.insert("status".into(), json!("Failure"));
        out.insert("message".into(), json!(self.message));
        if !self.reason.is_empty() {
            out.insert("reason".into(), json!(self.reason));
        }
        if !self.details.is_null() {
            out.insert("details".into(), self.details.clone());
        }
        out.insert("code".into(), json!(self.code));
        Value::Object(out)
    }
}

fn causes_json(causes: &[Cause]) -> Value {
    causes
        .iter()
        .map(|c| json!({"reason": c.reason, "message": c.message, "field": c.field}))
        .collect()
}
