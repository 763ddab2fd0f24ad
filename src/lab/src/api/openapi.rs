//! OpenAPI documents: enough for kubectl to see that the server validates fields and takes dry runs, and for `explain`.
//!
//! Patch operations of built-in kinds do not offer strategic merge here, on purpose: kubectl then falls back to the merge keys
//! that it was compiled with, which are exact.

use serde_json::{Map, Value, json};

use super::kinds::{Kinds, Resource};

fn documents(kinds: &Kinds) -> Vec<(String, String, String)> {
    let mut out = vec![("api/v1".to_owned(), String::new(), "v1".to_owned())];
    for (group, versions) in kinds.groups() {
        for version in versions {
            out.push((format!("apis/{group}/{version}"), group.clone(), version));
        }
    }
    out
}

/// The list of documents.
pub fn index(kinds: &Kinds) -> Value {
    let paths: Map<String, Value> = documents(kinds)
        .into_iter()
        .map(|(path, group, version)| {
            // The hash changes when the document does: clients cache by it.
            let body = v3(kinds, &group, &version).unwrap_or_default().to_string();
            let digest = body.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| {
                (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
            });
            let url = format!("/openapi/v3/{path}?hash={digest:016X}");
            (path, json!({"serverRelativeURL": url}))
        })
        .collect();
    json!({"paths": paths})
}

fn parameter(name: &str, kind: &str) -> Value {
    json!({"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": true}})
}

fn model(r: &Resource) -> String {
    let group = if r.group.is_empty() {
        "core".to_owned()
    } else {
        r.group.clone()
    };
    format!("io.k8s.api.{group}.{}.{}", r.version, r.kind)
}

fn operation(r: &Resource, action: &str) -> Value {
    let gvk = json!({"group": r.group, "version": r.version, "kind": r.kind});
    let mut parameters = vec![parameter("pretty", "string")];
    if action != "get" {
        parameters.extend([
            parameter("dryRun", "string"),
            parameter("fieldManager", "string"),
            parameter("fieldValidation", "string"),
        ]);
    }
    let schema = json!({"$ref": format!("#/components/schemas/{}", model(r))});
    let answer =
        json!({"200": {"description": "OK", "content": {"application/json": {"schema": schema}}}});
    let mut out = json!({
        "operationId": format!("{action}{}", r.kind), "parameters": parameters, "responses": answer,
        "x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk,
    });
    match action {
        "patch" => {
            parameters_push(&mut out, parameter("force", "boolean"));
            let any = json!({"schema": {"type": "object"}});
            out["requestBody"] = json!({"required": true, "content": {"application/json-patch+json": any,
                "application/merge-patch+json": any, "application/apply-patch+yaml": any}});
        }
        "post" | "put" => {
            out["requestBody"] = json!({"required": true, "content": {"*/*": {"schema": schema}}})
        }
        _ => {}
    }
    out
}

fn parameters_push(operation: &mut Value, parameter: Value) {
    if let Some(list) = operation["parameters"].as_array_mut() {
        list.push(parameter);
    }
}

fn schema(r: &Resource) -> Value {
    let mut schema = match &r.custom {
        Some(schema) => schema.clone(),
        None => json!({"type": "object", "description": format!("{} of the built-in API.", r.kind),
            "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}),
    };
    if !schema["properties"].is_object() {
        schema["properties"] = json!({});
    }
    schema["properties"]["apiVersion"] = json!({"type": "string"});
    schema["properties"]["kind"] = json!({"type": "string"});
    schema["properties"]["metadata"] =
        json!({"type": "object", "description": "Standard object's metadata."});
    schema["x-kubernetes-group-version-kind"] =
        json!([{"group": r.group, "version": r.version, "kind": r.kind}]);
    schema
}

/// One group version.
pub fn v3(kinds: &Kinds, group: &str, version: &str) -> Option<Value> {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for r in kinds
        .iter()
        .filter(|r| r.group == group && r.version == version)
    {
        let root = if group.is_empty() {
            format!("/api/{version}")
        } else {
            format!("/apis/{group}/{version}")
        };
        let base = if r.namespaced {
            format!("{root}/namespaces/{{namespace}}/{}", r.plural)
        } else {
            format!("{root}/{}", r.plural)
        };
        paths.insert(
            base.clone(),
            json!({"get": operation(r, "get"), "post": operation(r, "post")}),
        );
        if r.verbs().len() > 1 {
            let one = json!({"get": operation(r, "get"), "put": operation(r, "put"), "patch": operation(r, "patch"),
                "delete": operation(r, "delete")});
            paths.insert(format!("{base}/{{name}}"), one);
        }
        schemas.insert(model(r), schema(r));
    }
    if schemas.is_empty() {
        return None;
    }
    let info = json!({"title": "Kubernetes", "version": super::discovery::VERSION});
    Some(
        json!({"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}}),
    )
}

/// The old single document, definitions only.
pub fn v2(kinds: &Kinds) -> Value {
    let definitions: Map<String, Value> = kinds.iter().map(|r| (model(r), schema(r))).collect();
    json!({"swagger": "2.0", "info": {"title": "Kubernetes", "version": super::discovery::VERSION}, "paths": {}, "definitions": definitions})
}
