//! Bodies into stored form: built-in kinds pass through their Go-shaped types (unknown fields and nulls fall away, wrong types
//! are refused), custom kinds through their schema.

use k8s_openapi::api;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::custom;
use super::kinds::Resource;
use super::schema::{Node, Rule};
use super::status::Failure;

const ACCEPTED: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// A decoded object, with the paths that the kind does not have.
#[derive(Debug)]
pub struct Decoded {
    pub object: Value,
    pub unknown: Vec<String>,
}

/// Refuses a media type that no body of an object comes in. None at all is taken for JSON.
pub fn readable(content_type: &str) -> Result<(), Failure> {
    let media = content_type.split(';').next().unwrap_or_default().trim();
    match media {
        ""
        | "application/json"
        | "application/yaml"
        | "application/vnd.kubernetes.protobuf"
        | "application/apply-patch+yaml" => Ok(()),
        _ => Err(Failure::unsupported_media_type(ACCEPTED)),
    }
}

/// Parses a request body: JSON, or YAML where the content type says so.
pub fn body(bytes: &[u8], content_type: &str) -> Result<Value, Failure> {
    if content_type.contains("protobuf") || bytes.starts_with(b"k8s\0") {
        return super::protobuf::decode(bytes)
            .ok_or_else(|| Failure::unsupported_media_type(ACCEPTED));
    }
    if content_type.contains("cbor") {
        return Err(Failure::unsupported_media_type(ACCEPTED));
    }
    if let Ok(value) = serde_json::from_slice(bytes) {
        return Ok(value);
    }
    if content_type.contains("yaml") {
        let text = std::str::from_utf8(bytes)
            .map_err(|e| Failure::bad_request(format!("error decoding YAML: {e}")))?;
        return serde_saphyr::from_str(text)
            .map_err(|e| Failure::bad_request(format!("error decoding YAML: {e}")));
    }
    match serde_json::from_slice::<Value>(bytes) {
        Ok(value) => Ok(value),
        Err(error) => Err(Failure::bad_request(format!(
            "the object provided is unrecognized (must be of type Object): {error}"
        ))),
    }
}

/// What Go's decoder calls a value.
pub fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Brings an object of `kind` into stored form.
pub fn normalise(kind: &Resource, mut object: Value) -> Result<Decoded, Failure> {
    let root = object.as_object_mut().ok_or_else(|| {
        Failure::bad_request("the object provided is unrecognized (must be of type Object)")
    })?;
    root.insert("apiVersion".into(), json!(kind.api_version()));
    root.insert("kind".into(), json!(kind.kind));
    if !root.get("metadata").is_some_and(Value::is_object) {
        root.insert("metadata".into(), json!({}));
    }
    let mut unknown = Vec::new();
    let mut object = match &kind.custom {
        Some(schema) => {
            let metadata = root.get("metadata").cloned().unwrap_or_default();
            let clean = round::<ObjectMeta>(metadata.clone()).map_err(|e| unreadable(kind, &e))?;
            missing(&metadata, &clean, "metadata", &mut unknown);
            root.insert("metadata".into(), clean);
            custom::prune(&mut object, schema, "", &mut unknown);
            custom::fill_defaults(&mut object, schema);
            unknown.sort();
            object
        }
        None => {
            quantities_to_text(&mut object);
            nulls_to_text(&mut object, &kind.shape);
            let clean = typed(kind, object.clone()).map_err(|e| unreadable(kind, &e))?;
            missing(&object, &clean, "", &mut unknown);
            restrict(&object, clean)
        }
    };
    drop_empty(&mut object, &kind.shape, kind.is_custom());
    order(&mut object);
    Ok(Decoded { object, unknown })
}

fn unreadable(kind: &Resource, error: &str) -> Failure {
    Failure::bad_request(format!(
        "{} in version {:?} cannot be handled as a {}: {error}",
        kind.kind, kind.version, kind.kind
    ))
}

fn round<T: DeserializeOwned + Serialize>(value: Value) -> Result<Value, String> {
    let typed: T = serde_json::from_value(value).map_err(|e| {
        let words = e.to_string();
        // Bytes are written in base64; the real server says in these words where they are not.
        match words.strip_prefix("Invalid symbol ") {
            Some(rest) => format!(
                "illegal base64 data at input byte {}",
                rest.rsplit(' ')
                    .next()
                    .unwrap_or_default()
                    .trim_end_matches('.')
            ),
            None => words,
        }
    })?;
    serde_json::to_value(typed).map_err(|e| e.to_string())
}

fn typed(kind: &Resource, value: Value) -> Result<Value, String> {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
    match kind.kind.as_str() {
        "Namespace" => round::<api::core::v1::Namespace>(value),
        "ConfigMap" => round::<api::core::v1::ConfigMap>(value),
        "Secret" => round::<api::core::v1::Secret>(value),
        "Service" => round::<api::core::v1::Service>(value),
        "ServiceAccount" => round::<api::core::v1::ServiceAccount>(value),
        "Pod" => round::<api::core::v1::Pod>(value),
        "Event" => round::<api::core::v1::Event>(value),
        "Endpoints" => round::<api::core::v1::Endpoints>(value),
        "Deployment" => round::<api::apps::v1::Deployment>(value),
        "ReplicaSet" => round::<api::apps::v1::ReplicaSet>(value),
        "StatefulSet" => round::<api::apps::v1::StatefulSet>(value),
        "DaemonSet" => round::<api::apps::v1::DaemonSet>(value),
        "Job" => round::<api::batch::v1::Job>(value),
        "CronJob" => round::<api::batch::v1::CronJob>(value),
        "HorizontalPodAutoscaler" => round::<api::autoscaling::v2::HorizontalPodAutoscaler>(value),
        "Scale" => round::<api::autoscaling::v1::Scale>(value),
        "Lease" => round::<api::coordination::v1::Lease>(value),
        "Role" => round::<api::rbac::v1::Role>(value),
        "RoleBinding" => round::<api::rbac::v1::RoleBinding>(value),
        "ClusterRole" => round::<api::rbac::v1::ClusterRole>(value),
        "ClusterRoleBinding" => round::<api::rbac::v1::ClusterRoleBinding>(value),
        "CustomResourceDefinition" => {
            let mut value = round::<CustomResourceDefinition>(value)?;
            whole_numbers(&mut value);
            Ok(value)
        }
        _ => Ok(value),
    }
}

/// Bounds in a schema are floats, and Go writes a whole one without its point.
fn whole_numbers(value: &mut Value) {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) if number.is_f64() => {
            let whole = number
                .as_f64()
                .filter(|n| n.fract() == 0.0 && n.abs() <= EXACT);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "it is whole and small enough"
            )]
            if let Some(whole) = whole {
                *value = json!(whole as i64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(map) => map.values_mut().for_each(whole_numbers),
        _ => {}
    }
}

/// Paths of `sent` that did not survive into `kept`, written as strict decoding errors write them.
fn missing(sent: &Value, kept: &Value, path: &str, out: &mut Vec<String>) {
    match (sent, kept) {
        (Value::Object(a), Value::Object(b)) => {
            for (key, value) in a {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                match b.get(key) {
                    Some(kept) => missing(value, kept, &path, out),
                    None if value.is_null() => {}
                    None => out.push(path),
                }
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for (at, (value, kept)) in a.iter().zip(b).enumerate() {
                missing(value, kept, &format!("{path}[{at}]"), out);
            }
        }
        _ => {}
    }
}

/// `clean` without what the types added to `sent`: a required field that the body left out stays out.
fn restrict(sent: &Value, clean: Value) -> Value {
    match (sent, clean) {
        (Value::Object(sent), Value::Object(clean)) => {
            let fields = clean.into_iter().filter_map(|(key, value)| {
                let sent = sent.get(&key).filter(|s| !s.is_null())?;
                let value = restrict(sent, value);
                Some((key, value))
            });
            Value::Object(fields.collect())
        }
        (Value::Array(sent), Value::Array(clean)) => Value::Array(
            sent.iter()
                .zip(clean)
                .map(|(sent, clean)| restrict(sent, clean))
                .collect(),
        ),
        (_, clean) => clean,
    }
}

/// Go's `omitempty`: empty lists, and empty maps where keys are free. Custom objects keep theirs outside metadata.
fn drop_empty(value: &mut Value, node: &Node, custom: bool) {
    let Some(map) = value.as_object_mut() else {
        return;
    };
    let keys: Vec<String> = map.keys().cloned().collect();
    for key in keys {
        if custom && key != "metadata" {
            continue;
        }
        let (shape, _) = node.field(&key);
        let Some(child) = map.get_mut(&key) else {
            continue;
        };
        match child {
            Value::Array(items) => {
                let item = shape.item();
                items.iter_mut().for_each(|i| drop_empty(i, &item, false));
            }
            Value::Object(_) => drop_empty(child, &shape, false),
            _ => {}
        }
        let empty = match child {
            Value::Array(items) => items.is_empty() && key != "rules",
            Value::Object(map) => map.is_empty() && shape.rule == Rule::Map,
            Value::Null => true,
            _ => false,
        };
        if empty {
            map.shift_remove(&key);
        }
    }
}

fn order(object: &mut Value) {
    let Some(map) = object.as_object_mut() else {
        return;
    };
    let mut old = std::mem::take(map);
    for key in ["apiVersion", "kind", "metadata"] {
        if let Some(value) = old.shift_remove(key) {
            map.insert(key.into(), value);
        }
    }
    map.extend(old);
}

/// In a map of texts null is the empty text.
fn nulls_to_text(object: &mut Value, shape: &Node) {
    for path in ["/data", "/metadata/labels", "/metadata/annotations"] {
        let texts = path != "/data" || shape.field("binaryData").1;
        let Some(map) = object.pointer_mut(path).and_then(Value::as_object_mut) else {
            continue;
        };
        for value in map.values_mut().filter(|value| texts && value.is_null()) {
            *value = json!("");
        }
    }
}

/// A quantity may be written as a number.
fn quantities_to_text(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, child) in map {
                if matches!(
                    key.as_str(),
                    "limits" | "requests" | "capacity" | "allocatable"
                ) {
                    for quantity in child.as_object_mut().into_iter().flat_map(Map::values_mut) {
                        if let Value::Number(number) = quantity {
                            *quantity = json!(number.to_string());
                        }
                    }
                } else {
                    quantities_to_text(child);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(quantities_to_text),
        _ => {}
    }
}
