//! The forms an object is answered in: itself, metadata only, or table rows (`Accept: …;as=Table`).

use serde_json::{Map, Value, json};

use super::kinds::Resource;
use super::status::Failure;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Full,
    /// `meta.k8s.io/v1` Table; which part of each object rides along.
    Table(Include),
    Metadata,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Include {
    Metadata,
    Object,
    None,
}

impl Form {
    /// The first form of the Accept header that is served.
    pub fn of(accept: &str, include: &str) -> Self {
        for offer in accept.split(',') {
            if !offer.contains("json") && !offer.contains("*/*") {
                continue;
            }
            if offer.contains("as=Table") {
                return Self::Table(match include {
                    "Object" => Include::Object,
                    "None" => Include::None,
                    _ => Include::Metadata,
                });
            }
            if offer.contains("as=PartialObjectMetadata") {
                return Self::Metadata;
            }
            return Self::Full;
        }
        Self::Full
    }

    /// Refuses an Accept header that names nothing that is served.
    pub fn acceptable(accept: &str, kind: &Resource) -> Result<(), Failure> {
        let served = |offer: &str| {
            let media = offer.split(';').next().unwrap_or_default().trim();
            matches!(
                media,
                "" | "*/*"
                    | "application/*"
                    | "application/json"
                    | "application/yaml"
                    | "application/vnd.kubernetes.protobuf"
            )
        };
        if accept.split(',').any(served) {
            return Ok(());
        }
        Err(Failure::not_acceptable(kind.is_custom()))
    }
}

fn partial(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

/// One object.
pub fn object(form: Form, kind: &Resource, value: &Value) -> Value {
    match form {
        Form::Full => value.clone(),
        Form::Metadata => partial(value),
        Form::Table(include) => {
            let metadata = json!({"resourceVersion": value["metadata"]["resourceVersion"]});
            table(kind, std::iter::once(value), metadata, include, true)
        }
    }
}

/// A watch event's object: tables carry their columns once.
pub fn event(form: Form, kind: &Resource, value: &Value, first: bool) -> Value {
    match form {
        Form::Table(include) => {
            let metadata = json!({"resourceVersion": value["metadata"]["resourceVersion"]});
            table(kind, std::iter::once(value), metadata, include, first)
        }
        other => object(other, kind, value),
    }
}

/// A list. Items of built-in kinds carry no kind and apiVersion of their own, as in the real server's typed lists.
pub fn list<'a>(
    form: Form,
    kind: &Resource,
    items: impl Iterator<Item = &'a Value>,
    metadata: Value,
) -> Value {
    match form {
        Form::Table(include) => table(kind, items, metadata, include, true),
        Form::Metadata => {
            let items: Vec<Value> = items.map(partial).collect();
            json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "items": items})
        }
        Form::Full => {
            let items: Vec<Value> = items
                .map(|item| {
                    let mut item = item.clone();
                    if let (false, Some(map)) = (kind.is_custom(), item.as_object_mut()) {
                        map.shift_remove("apiVersion");
                        map.shift_remove("kind");
                    }
                    item
                })
                .collect();
            json!({"kind": format!("{}List", kind.kind), "apiVersion": kind.api_version(), "metadata": metadata, "items": items})
        }
    }
}

/// Column name, type, priority, and where the cell comes from.
type Column = (&'static str, &'static str, u8, fn(&Value) -> Value);

fn text(value: &Value) -> Value {
    match value {
        Value::Null => json!("<none>"),
        Value::String(_) => value.clone(),
        other => json!(other.to_string()),
    }
}

fn number(value: &Value) -> Value {
    json!(value.as_i64().unwrap_or(0))
}

fn size(value: &Value) -> usize {
    value.as_object().map_or(0, Map::len)
}

fn pairs(value: &Value) -> Value {
    let list: Vec<String> = value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or("")))
        .collect();
    if list.is_empty() {
        json!("<none>")
    } else {
        json!(list.join(","))
    }
}

fn containers(template: &Value, field: &str) -> Value {
    let list: Vec<&str> = template["spec"]["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|c| c[field].as_str())
        .collect();
    json!(list.join(","))
}

fn ports(service: &Value) -> Value {
    let list: Vec<String> = service["spec"]["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|p| {
            let node = p["nodePort"]
                .as_i64()
                .map(|n| format!(":{n}"))
                .unwrap_or_default();
            format!(
                "{}{node}/{}",
                p["port"],
                p["protocol"].as_str().unwrap_or("TCP")
            )
        })
        .collect();
    if list.is_empty() {
        json!("<none>")
    } else {
        json!(list.join(","))
    }
}

fn age_of(time: &Value) -> Value {
    let Some(then) = time
        .as_str()
        .and_then(|t| t.parse::<jiff::Timestamp>().ok())
    else {
        return json!("<unknown>");
    };
    let s = (jiff::Timestamp::now().as_second() - then.as_second()).max(0);
    let (m, h, d) = (s / 60, s / 3600, s / 86400);
    // `duration.HumanDuration` upstream.
    json!(if s < 120 {
        format!("{s}s")
    } else if m < 10 {
        if s % 60 == 0 {
            format!("{m}m")
        } else {
            format!("{m}m{}s", s % 60)
        }
    } else if h < 3 {
        format!("{m}m")
    } else if h < 8 {
        if m % 60 == 0 {
            format!("{h}h")
        } else {
            format!("{h}h{}m", m % 60)
        }
    } else if h < 48 {
        format!("{h}h")
    } else if d < 8 {
        if h % 24 == 0 {
            format!("{d}d")
        } else {
            format!("{d}d{}h", h % 24)
        }
    } else if d < 730 {
        format!("{d}d")
    } else {
        format!("{}y", d / 365)
    })
}

const AGE: Column = ("Age", "string", 0, |o| {
    age_of(&o["metadata"]["creationTimestamp"])
});

fn columns(kind: &str) -> Vec<Column> {
    let own: Vec<Column> = match kind {
        "Namespace" => vec![
            ("Status", "string", 0, |o| text(&o["status"]["phase"])),
            AGE,
        ],
        "ConfigMap" => vec![
            ("Data", "string", 0, |o| {
                json!(size(&o["data"]) + size(&o["binaryData"]))
            }),
            AGE,
        ],
        "Secret" => vec![
            ("Type", "string", 0, |o| text(&o["type"])),
            ("Data", "string", 0, |o| json!(size(&o["data"]))),
            AGE,
        ],
        "ServiceAccount" => vec![
            ("Secrets", "string", 0, |o| {
                json!(o["secrets"].as_array().map_or(0, Vec::len))
            }),
            AGE,
        ],
        "Service" => vec![
            ("Type", "string", 0, |o| text(&o["spec"]["type"])),
            ("Cluster-IP", "string", 0, |o| text(&o["spec"]["clusterIP"])),
            ("External-IP", "string", 0, |_| json!("<none>")),
            ("Port(s)", "string", 0, ports),
            AGE,
            ("Selector", "string", 1, |o| pairs(&o["spec"]["selector"])),
        ],
        "Pod" => vec![
            ("Ready", "string", 0, |o| {
                let ready = o["status"]["containerStatuses"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter(|c| c["ready"] == true)
                    .count();
                json!(format!(
                    "{ready}/{}",
                    o["spec"]["containers"].as_array().map_or(0, Vec::len)
                ))
            }),
            ("Status", "string", 0, pod_status),
            ("Restarts", "string", 0, |o| {
                let list = o["status"]["containerStatuses"].as_array();
                json!(
                    list.into_iter()
                        .flatten()
                        .filter_map(|c| c["restartCount"].as_i64())
                        .sum::<i64>()
                        .to_string()
                )
            }),
            AGE,
            ("IP", "string", 1, |o| text(&o["status"]["podIP"])),
            ("Node", "string", 1, |o| text(&o["spec"]["nodeName"])),
            ("Nominated Node", "string", 1, |_| json!("<none>")),
            ("Readiness Gates", "string", 1, |_| json!("<none>")),
        ],
        "Deployment" => vec![
            ("Ready", "string", 0, |o| {
                json!(format!(
                    "{}/{}",
                    number(&o["status"]["readyReplicas"]),
                    number(&o["spec"]["replicas"])
                ))
            }),
            ("Up-to-date", "string", 0, |o| {
                number(&o["status"]["updatedReplicas"])
            }),
            ("Available", "string", 0, |o| {
                number(&o["status"]["availableReplicas"])
            }),
            AGE,
            ("Containers", "string", 1, |o| {
                containers(&o["spec"]["template"], "name")
            }),
            ("Images", "string", 1, |o| {
                containers(&o["spec"]["template"], "image")
            }),
            ("Selector", "string", 1, |o| {
                pairs(&o["spec"]["selector"]["matchLabels"])
            }),
        ],
        "ReplicaSet" => vec![
            ("Desired", "integer", 0, |o| number(&o["spec"]["replicas"])),
            ("Current", "integer", 0, |o| {
                number(&o["status"]["replicas"])
            }),
            ("Ready", "integer", 0, |o| {
                number(&o["status"]["readyReplicas"])
            }),
            AGE,
            ("Images", "string", 1, |o| {
                containers(&o["spec"]["template"], "image")
            }),
        ],
        "StatefulSet" => vec![
            ("Ready", "string", 0, |o| {
                json!(format!(
                    "{}/{}",
                    number(&o["status"]["readyReplicas"]),
                    number(&o["spec"]["replicas"])
                ))
            }),
            AGE,
        ],
        "Event" => vec![
            ("Last Seen", "string", 0, |o| {
                let last = &o["lastTimestamp"];
                age_of(if last.is_null() {
                    &o["metadata"]["creationTimestamp"]
                } else {
                    last
                })
            }),
            ("Type", "string", 0, |o| text(&o["type"])),
            ("Reason", "string", 0, |o| text(&o["reason"])),
            ("Object", "string", 0, |o| {
                let object = &o["involvedObject"];
                json!(format!(
                    "{}/{}",
                    object["kind"].as_str().unwrap_or("").to_lowercase(),
                    object["name"].as_str().unwrap_or("")
                ))
            }),
            ("Message", "string", 0, |o| text(&o["message"])),
        ],
        "Lease" => vec![
            ("Holder", "string", 0, |o| {
                text(&o["spec"]["holderIdentity"])
            }),
            AGE,
        ],
        "RoleBinding" | "ClusterRoleBinding" => vec![
            ("Role", "string", 0, |o| {
                let role = &o["roleRef"];
                json!(format!(
                    "{}/{}",
                    role["kind"].as_str().unwrap_or(""),
                    role["name"].as_str().unwrap_or("")
                ))
            }),
            AGE,
        ],
        "Role" | "ClusterRole" | "CustomResourceDefinition" => {
            vec![("Created At", "date", 0, |o| {
                text(&o["metadata"]["creationTimestamp"])
            })]
        }
        _ => vec![AGE],
    };
    own
}

fn pod_status(pod: &Value) -> Value {
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        return json!("Terminating");
    }
    for status in pod["status"]["containerStatuses"]
        .as_array()
        .into_iter()
        .flatten()
    {
        for state in ["waiting", "terminated"] {
            if let Some(reason) = status["state"][state]["reason"].as_str() {
                return json!(reason);
            }
        }
    }
    match pod["status"]["phase"].as_str() {
        Some(phase) => json!(phase),
        None => json!("Pending"),
    }
}

const NAME_IS: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
const AGE_IS: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

fn definition(name: &str, kind: &str, priority: i64, path: Option<&str>) -> Value {
    let format = if name == "Name" { "name" } else { "" };
    let description = match (name, path) {
        ("Name", _) => NAME_IS.to_owned(),
        (_, Some(path)) if path != ".metadata.creationTimestamp" => {
            format!("Custom resource definition column (in JSONPath format): {path}")
        }
        ("Age", _) => AGE_IS.to_owned(),
        _ => String::new(),
    };
    json!({"name": name, "type": kind, "format": format, "description": description, "priority": priority})
}

fn table<'a>(
    kind: &Resource,
    items: impl Iterator<Item = &'a Value>,
    metadata: Value,
    include: Include,
    head: bool,
) -> Value {
    let own = if kind.is_custom() {
        Vec::new()
    } else {
        columns(&kind.kind)
    };
    let mut definitions = Vec::new();
    if kind.kind != "Event" {
        definitions.push(definition("Name", "string", 0, None));
    }
    definitions.extend(
        own.iter()
            .map(|(name, kind, priority, _)| definition(name, kind, i64::from(*priority), None)),
    );
    for column in &kind.columns {
        let field = |key: &str| column[key].as_str().unwrap_or("").to_owned();
        definitions.push(definition(
            &field("name"),
            &field("type"),
            column["priority"].as_i64().unwrap_or(0),
            Some(&field("jsonPath")),
        ));
    }
    if kind.is_custom() && kind.columns.is_empty() {
        definitions.push(definition("Age", "date", 0, None));
    }
    let rows: Vec<Value> = items
        .map(|item| {
            let mut cells = Vec::new();
            if kind.kind != "Event" {
                cells.push(item["metadata"]["name"].clone());
            }
            cells.extend(own.iter().map(|(_, _, _, cell)| cell(item)));
            for column in &kind.columns {
                cells.push(custom_cell(item, column));
            }
            if kind.is_custom() && kind.columns.is_empty() {
                cells.push(age_of(&item["metadata"]["creationTimestamp"]));
            }
            match include {
                Include::Metadata => json!({"cells": cells, "object": partial(item)}),
                Include::Object => json!({"cells": cells, "object": item}),
                Include::None => json!({"cells": cells, "object": null}),
            }
        })
        .collect();
    let definitions = if head { definitions } else { Vec::new() };
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": definitions, "rows": rows})
}

/// A cell of a CRD's printer column: simple JSONPath (`.status.sync.status`), dates as ages.
fn custom_cell(item: &Value, column: &Value) -> Value {
    let path = column["jsonPath"].as_str().unwrap_or("");
    let mut at = item;
    for step in path.split('.').filter(|s| !s.is_empty()) {
        at = &at[step];
    }
    match (column["type"].as_str(), at) {
        (_, Value::Null) => Value::Null,
        (Some("date"), time) => age_of(time),
        (_, value) => value.clone(),
    }
}
