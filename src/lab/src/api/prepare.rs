//! Between decoding and storing: what each kind's strategy sets, keeps and refuses (`registry/*/strategy.go` and `validation` upstream).

use serde_json::{Value, json};

use super::custom;
use super::kinds::Resource;
use super::managed::{self, Writer};
use super::status::{Cause, Failure};
use super::store::Store;

const MIB: usize = 1024 * 1024;

/// Values that the server allocates for a new object.
pub fn on_create(store: &mut Store, kind: &Resource, object: &mut Value, dry: bool) {
    match kind.kind.as_str() {
        "Deployment"
        | "ReplicaSet"
        | "StatefulSet"
        | "DaemonSet"
        | "Job"
        | "CronJob"
        | "CustomResourceDefinition"
        | "Pod" => {
            object["metadata"]["generation"] = json!(1);
        }
        "Namespace" => {
            object["spec"] = json!({"finalizers": ["kubernetes"]});
            object["status"] = json!({"phase": "Active"});
        }
        "Service" => allocate(store, object, dry),
        _ if kind.is_custom() => object["metadata"]["generation"] = json!(1),
        _ => {}
    }
    match kind.kind.as_str() {
        "Pod" => object["status"] = json!({"phase": "Pending", "qosClass": "BestEffort"}),
        "StatefulSet" if object.get("status").is_none() => {
            object["status"] = json!({"replicas": 0, "availableReplicas": 0});
        }
        "Deployment" | "DaemonSet" if object.get("status").is_none() => {
            object["status"] = json!({})
        }
        "ReplicaSet" if object.get("status").is_none() => object["status"] = json!({"replicas": 0}),
        "CustomResourceDefinition" => establish(kind, object),
        "Role" | "ClusterRole" => say_rules(object),
        _ => {}
    }
}

fn allocate(store: &mut Store, service: &mut Value, dry: bool) {
    let kind = service["spec"]["type"].as_str().unwrap_or("").to_owned();
    if kind == "ExternalName" {
        return;
    }
    if service["spec"]["clusterIP"]
        .as_str()
        .is_none_or(str::is_empty)
    {
        let ip = if dry {
            "10.96.255.254".to_owned()
        } else {
            store.allocate_ip()
        };
        service["spec"]["clusterIP"] = json!(ip);
    }
    let ip = service["spec"]["clusterIP"].clone();
    let spec = &mut service["spec"];
    if spec["clusterIPs"].is_null() {
        spec["clusterIPs"] = json!([ip]);
    }
    if spec["ipFamilies"].is_null() {
        spec["ipFamilies"] = json!(["IPv4"]);
    }
    if spec["ipFamilyPolicy"].is_null() {
        spec["ipFamilyPolicy"] = json!("SingleStack");
    }
    if kind == "NodePort" || kind == "LoadBalancer" {
        let used: Vec<i64> = store
            .list("services", "")
            .flat_map(|(_, s)| {
                s["spec"]["ports"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|p| p["nodePort"].as_i64())
                    .collect::<Vec<_>>()
            })
            .collect();
        let mut next = 30_000;
        for port in service["spec"]["ports"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            if port["nodePort"].as_i64().unwrap_or(0) == 0 {
                while used.contains(&next) {
                    next += 1;
                }
                port["nodePort"] = json!(next);
                next += 1;
            }
        }
    }
}

/// Rules are told also where there are none.
fn say_rules(role: &mut Value) {
    if role.get("rules").is_none() {
        role["rules"] = Value::Null;
    }
}

/// A stored definition is served at once. What its controllers say of it is theirs: they write the status in the server's own name.
fn establish(kind: &Resource, definition: &mut Value) {
    let now = super::store::now();
    let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now});
    let conditions = json!([
        condition("NamesAccepted", "NoConflicts", "no conflicts found"),
        condition(
            "Established",
            "InitialNamesAccepted",
            "the initial names have been accepted"
        ),
    ]);
    let stored: Vec<Value> = definition["spec"]["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|v| v["storage"] == true)
        .map(|v| v["name"].clone())
        .collect();
    // As it is stored before they have looked at it.
    if definition["status"]["acceptedNames"].is_null() {
        definition["status"] =
            json!({"acceptedNames": {"kind": "", "plural": ""}, "conditions": []});
    }
    definition["status"]["storedVersions"] = json!(stored);
    let before = definition.clone();
    definition["status"]["acceptedNames"] = definition["spec"]["names"].clone();
    definition["status"]["conditions"] = conditions;
    let server = Writer {
        manager: "kube-apiserver".into(),
        api_version: kind.api_version(),
        subresource: "status".into(),
        now,
    };
    managed::update(&before, definition, &kind.shape, &server);
}

/// Values that an update keeps or moves: allocations, generation.
/// `whole`: the object itself is written, not its status.
pub fn on_update(kind: &Resource, live: &Value, object: &mut Value, whole: bool) {
    match kind.kind.as_str() {
        "Service" => {
            for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                if object["spec"].get(field).is_none() && live["spec"].get(field).is_some() {
                    object["spec"][field] = live["spec"][field].clone();
                }
            }
        }
        "Namespace" => object["spec"] = live["spec"].clone(),
        "Role" | "ClusterRole" => say_rules(object),
        "CustomResourceDefinition" if object["spec"] != live["spec"] => establish(kind, object),
        _ => {}
    }
    let Some(generation) = live["metadata"]["generation"].as_i64() else {
        return;
    };
    let moved = if kind.is_custom() {
        let rest = |value: &Value| {
            let mut value = value.clone();
            if let Some(map) = value.as_object_mut() {
                map.shift_remove("metadata");
                if kind.has_status() {
                    map.shift_remove("status");
                }
            }
            value
        };
        rest(live) != rest(object)
    } else {
        // Of a Deployment the annotations count too: its controller copies them.
        live["spec"] != object["spec"]
            || (whole
                && kind.kind == "Deployment"
                && live["metadata"]["annotations"] != object["metadata"]["annotations"])
    };
    object["metadata"]["generation"] = json!(if moved { generation + 1 } else { generation });
}

/// Refuses what the real server's validation refuses of the things that scenarios do. `live` is the stored object on updates.
pub fn validate(kind: &Resource, object: &Value, live: Option<&Value>) -> Result<(), Failure> {
    let mut causes = Vec::new();
    let name = object["metadata"]["name"].as_str().unwrap_or("");
    metadata(kind, object, name, &mut causes);
    if live.is_some() {
        // An update's metadata is looked at by two validations, and both report.
        causes.extend(causes.clone());
    }
    if let Some(schema) = &kind.custom {
        custom::validate(object, schema, "", &mut causes);
    }
    if matches!(kind.kind.as_str(), "RoleBinding" | "ClusterRoleBinding")
        && object["roleRef"]["name"].as_str().is_none_or(str::is_empty)
    {
        causes.push(Cause::required("roleRef.name", ""));
    }
    match kind.kind.as_str() {
        "ConfigMap" | "Secret" => data(kind, object, live, &mut causes),
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" => {
            workload(object, live, &mut causes)
        }
        "Pod" => pod_spec(&object["spec"], "spec", &mut causes),
        "Service" => service(object, live, &mut causes),
        "RoleBinding" | "ClusterRoleBinding"
            if live.is_some_and(|live| live["roleRef"] != object["roleRef"]) =>
        {
            let role = &object["roleRef"];
            // Shown under the names that the server's own type has.
            let shown =
                json!({"APIGroup": role["apiGroup"], "Kind": role["kind"], "Name": role["name"]});
            causes.push(Cause::invalid("roleRef", &shown, "cannot change roleRef"));
        }
        "Lease" => {
            let seconds = &object["spec"]["leaseDurationSeconds"];
            if seconds.as_i64().is_some_and(|seconds| seconds <= 0) {
                causes.push(Cause::invalid(
                    "spec.leaseDurationSeconds",
                    seconds,
                    "must be greater than 0",
                ));
            }
            let handovers = &object["spec"]["leaseTransitions"];
            if handovers.as_i64().is_some_and(|handovers| handovers < 0) {
                causes.push(Cause::invalid(
                    "spec.leaseTransitions",
                    handovers,
                    "must be greater than or equal to 0",
                ));
            }
        }
        "CustomResourceDefinition" => {
            let want = format!(
                "{}.{}",
                object["spec"]["names"]["plural"].as_str().unwrap_or(""),
                object["spec"]["group"].as_str().unwrap_or("")
            );
            if name != want {
                causes.push(Cause::invalid(
                    "metadata.name",
                    &json!(name),
                    "must be spec.names.plural+\".\"+spec.group",
                ));
            }
        }
        _ => {}
    }
    if causes.is_empty() {
        Ok(())
    } else {
        Err(Failure::invalid(&kind.group, &kind.kind, name, causes))
    }
}

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

fn subdomain(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
}

fn metadata(kind: &Resource, object: &Value, name: &str, causes: &mut Vec<Cause>) {
    if name.is_empty() {
        causes.push(Cause::required(
            "metadata.name",
            "name or generateName is required",
        ));
    } else if kind.group == "rbac.authorization.k8s.io" {
        let why = match name {
            "." | ".." => format!("may not be '{name}'"),
            _ if name.contains('/') => "may not contain '/'".to_owned(),
            _ if name.contains('%') => "may not contain '%'".to_owned(),
            _ => String::new(),
        };
        if !why.is_empty() {
            causes.push(Cause::invalid("metadata.name", &json!(name), &why));
        }
    } else if kind.group.is_empty() && matches!(kind.kind.as_str(), "Namespace" | "Service") {
        if !subdomain(name) || name.contains('.') || name.len() > 63 {
            causes.push(Cause::invalid("metadata.name", &json!(name), LABEL));
        }
    } else if !subdomain(name) {
        causes.push(Cause::invalid("metadata.name", &json!(name), SUBDOMAIN));
    }
    held_by(kind, object, causes);
    let annotations = object["metadata"]["annotations"].as_object();
    let total: usize = annotations
        .into_iter()
        .flatten()
        .map(|(k, v)| k.len() + v.as_str().map_or(0, str::len))
        .sum();
    if total > 256 * 1024 {
        causes.push(Cause {
            reason: "FieldValueTooLong",
            message: "Too long: may not be more than 262144 bytes".into(),
            field: "metadata.annotations".into(),
        });
    }
    for (key, value) in object["metadata"]["labels"]
        .as_object()
        .into_iter()
        .flatten()
    {
        if let Some(why) = label_key(key) {
            causes.push(Cause::invalid("metadata.labels", &json!(key), &why));
        }
        let text = value.as_str().unwrap_or("");
        let edge = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
        let inner = text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if text.len() > 63 {
            causes.push(Cause::invalid(
                "metadata.labels",
                value,
                "must be no more than 63 bytes",
            ));
        }
        if !text.is_empty() && (!inner || !edge(text.chars().next()) || !edge(text.chars().last()))
        {
            let why = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
            causes.push(Cause::invalid("metadata.labels", value, why));
        }
    }
}

/// Finalizers and owners.
fn held_by(kind: &Resource, object: &Value, causes: &mut Vec<Cause>) {
    let list = |key: &str| {
        object["metadata"][key]
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
    };
    for (at, finalizer) in list("finalizers") {
        let name = finalizer.as_str().unwrap_or_default();
        let field = format!("metadata.finalizers[{at}]");
        if let Some(why) = label_key(name) {
            causes.push(Cause::invalid(&field, finalizer, &why));
        } else if !kind.is_custom()
            && !name.contains('/')
            && !matches!(name, "kubernetes" | "orphan" | "foregroundDeletion")
        {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            causes.push(Cause::invalid(&field, finalizer, why));
        }
    }
    for (_, owner) in list("ownerReferences") {
        for (key, why) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if owner[key].as_str().is_none_or(str::is_empty) {
                let field = format!("metadata.ownerReferences.{key}");
                causes.push(Cause::invalid(&field, &json!(""), why));
            }
        }
    }
}

/// Why a label cannot be called so.
fn label_key(key: &str) -> Option<String> {
    const NAME: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) if !name.contains('/') => (Some(prefix), name),
        Some(_) => {
            return Some(format!(
                "a valid label key {NAME} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            ));
        }
        None => (None, key),
    };
    if let Some(prefix) = prefix {
        if prefix.is_empty() {
            return Some("prefix part must be non-empty".to_owned());
        }
        if !subdomain(prefix) {
            return Some(format!("prefix part {SUBDOMAIN}"));
        }
    }
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inner = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if name.is_empty() {
        Some("name part must be non-empty".to_owned())
    } else if name.len() > 63 {
        Some("name part must be no more than 63 bytes".to_owned())
    } else if !inner || !edge(name.chars().next()) || !edge(name.chars().last()) {
        Some(format!("name part {NAME}"))
    } else {
        None
    }
}

fn data(kind: &Resource, object: &Value, live: Option<&Value>, causes: &mut Vec<Cause>) {
    let mut total = 0;
    for field in ["data", "binaryData"] {
        for (key, value) in object[field].as_object().into_iter().flatten() {
            let text = value.as_str().map_or(0, str::len);
            total += if kind.kind == "Secret" || field == "binaryData" {
                text / 4 * 3
            } else {
                text
            };
            let fits = !key.is_empty()
                && key.len() <= 253
                && key != "."
                && !key.starts_with("..")
                && key
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
            if !fits {
                let why = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
                causes.push(Cause::invalid(&format!("{field}[{key}]"), &json!(key), why));
            }
            if field == "binaryData" && object["data"].get(key).is_some() {
                causes.push(Cause::invalid(
                    &format!("data[{key}]"),
                    &json!(key),
                    "duplicate of key present in binaryData",
                ));
            }
        }
    }
    if total > MIB {
        let field = if kind.kind == "Secret" { "data" } else { "" };
        causes.push(Cause {
            reason: "FieldValueTooLong",
            message: format!("Too long: may not be more than {MIB} bytes"),
            field: field.into(),
        });
    }
    if kind.kind == "Secret" && object["type"] == "kubernetes.io/tls" {
        for key in ["tls.crt", "tls.key"] {
            if object["data"].get(key).is_none() {
                causes.push(Cause::required(&format!("data[{key}]"), ""));
            }
        }
    }
    let Some(live) = live else { return };
    if live["immutable"] == true {
        if object["immutable"] != true {
            causes.push(Cause::forbidden(
                "immutable",
                "field is immutable when `immutable` is set",
            ));
        }
        for field in ["data", "binaryData"] {
            if live[field] != object[field] {
                causes.push(Cause::forbidden(
                    field,
                    "field is immutable when `immutable` is set",
                ));
            }
        }
    }
    if kind.kind == "Secret" && live["type"] != object["type"] {
        causes.push(Cause::invalid(
            "type",
            &object["type"],
            "field is immutable",
        ));
    }
}

fn workload(object: &Value, live: Option<&Value>, causes: &mut Vec<Cause>) {
    let spec = &object["spec"];
    let selector = &spec["selector"];
    if selector.as_object().is_none_or(serde_json::Map::is_empty) {
        causes.push(Cause::required("spec.selector", ""));
    }
    if spec["replicas"].as_i64().is_some_and(|n| n < 0) {
        causes.push(Cause::invalid(
            "spec.replicas",
            &spec["replicas"],
            "must be greater than or equal to 0",
        ));
    }
    let labels = &spec["template"]["metadata"]["labels"];
    let unmatched = selector["matchLabels"]
        .as_object()
        .into_iter()
        .flatten()
        .any(|(key, value)| labels.get(key) != Some(value));
    let nothing = selector.as_object().is_none_or(serde_json::Map::is_empty);
    if unmatched || nothing {
        causes.push(Cause::invalid(
            "spec.template.metadata.labels",
            labels,
            "`selector` does not match template `labels`",
        ));
    }
    pod_spec(&spec["template"]["spec"], "spec.template.spec", causes);
    if live.is_some_and(|live| live["spec"]["selector"] != *selector) {
        causes.push(Cause::invalid(
            "spec.selector",
            selector,
            "field is immutable",
        ));
    }
}

fn pod_spec(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    let volumes: Vec<&Value> = spec["volumes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|v| &v["name"])
        .collect();
    if spec["containers"].as_array().is_none_or(Vec::is_empty) {
        causes.push(Cause::required(&format!("{path}.containers"), ""));
    }
    for list in ["containers", "initContainers"] {
        let mut seen: Vec<&Value> = Vec::new();
        for (at, container) in spec[list].as_array().into_iter().flatten().enumerate() {
            let here = format!("{path}.{list}[{at}]");
            let text = |key: &str| container[key].as_str().unwrap_or("");
            if text("name").is_empty() {
                causes.push(Cause::required(&format!("{here}.name"), ""));
            } else if seen.contains(&&container["name"]) {
                let field = format!("{here}.name");
                causes.push(Cause {
                    reason: "FieldValueDuplicate",
                    message: format!("Duplicate value: {}", container["name"]),
                    field,
                });
            }
            seen.push(&container["name"]);
            if text("image").is_empty() {
                causes.push(Cause::required(&format!("{here}.image"), ""));
            }
            for (n, env) in container["env"]
                .as_array()
                .into_iter()
                .flatten()
                .enumerate()
            {
                if env["name"].as_str().is_none_or(str::is_empty) {
                    causes.push(Cause::required(&format!("{here}.env[{n}].name"), ""));
                }
                if env["value"].as_str().is_some_and(|v| !v.is_empty())
                    && env["valueFrom"].is_object()
                {
                    let field = format!("{here}.env[{n}].valueFrom");
                    causes.push(Cause::invalid(
                        &field,
                        &json!(""),
                        "may not be specified when `value` is not empty",
                    ));
                }
            }
            for (n, mount) in container["volumeMounts"]
                .as_array()
                .into_iter()
                .flatten()
                .enumerate()
            {
                if !volumes.contains(&&mount["name"]) {
                    causes.push(Cause {
                        reason: "FieldValueNotFound",
                        message: format!("Not found: {}", mount["name"]),
                        field: format!("{here}.volumeMounts[{n}].name"),
                    });
                }
            }
            for group in ["limits", "requests"] {
                for (resource, quantity) in container["resources"][group]
                    .as_object()
                    .into_iter()
                    .flatten()
                {
                    if quantity
                        .as_str()
                        .and_then(super::defaults::canonical_quantity)
                        .is_none()
                    {
                        let why = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
                        causes.push(Cause::invalid(
                            &format!("{here}.resources.{group}[{resource}]"),
                            quantity,
                            why,
                        ));
                    }
                }
            }
        }
    }
}

fn service(object: &Value, live: Option<&Value>, causes: &mut Vec<Cause>) {
    let spec = &object["spec"];
    let headless = spec["clusterIP"] == "None" || spec["type"] == "ExternalName";
    let ports = spec["ports"].as_array();
    if spec["type"] == "ExternalName" && spec["externalName"].as_str().is_none_or(str::is_empty) {
        causes.push(Cause::required("spec.externalName", ""));
    }
    if !headless && ports.is_none_or(Vec::is_empty) {
        causes.push(Cause::required("spec.ports", ""));
    }
    for (at, port) in ports.into_iter().flatten().enumerate() {
        if !port["port"]
            .as_i64()
            .is_some_and(|p| (1..=65535).contains(&p))
        {
            causes.push(Cause::invalid(
                &format!("spec.ports[{at}].port"),
                &port["port"],
                "must be between 1 and 65535, inclusive",
            ));
        }
        let target = port["targetPort"].as_i64();
        if target.is_some_and(|p| !(1..=65535).contains(&p)) {
            causes.push(Cause::invalid(
                &format!("spec.ports[{at}].targetPort"),
                &port["targetPort"],
                "must be between 1 and 65535, inclusive",
            ));
        }
        if ports.is_some_and(|p| p.len() > 1) && port["name"].as_str().is_none_or(str::is_empty) {
            causes.push(Cause::required(&format!("spec.ports[{at}].name"), ""));
        } else if port["name"].is_string()
            && ports.is_some_and(|all| all[..at].iter().any(|other| other["name"] == port["name"]))
        {
            causes.push(Cause {
                reason: "FieldValueDuplicate",
                message: format!("Duplicate value: {}", port["name"]),
                field: format!("spec.ports[{at}].name"),
            });
        }
    }
    if live.is_some_and(|live| {
        live["spec"]["type"] != "ExternalName" && live["spec"]["clusterIP"] != spec["clusterIP"]
    }) && !headless
    {
        causes.push(Cause::invalid(
            "spec.clusterIPs[0]",
            &json!([spec["clusterIP"]]),
            "may not change once set",
        ));
    }
}
