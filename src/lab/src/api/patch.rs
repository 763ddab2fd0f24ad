//! PATCH: which of the four formats, and server-side apply from body to stored object.

use serde_json::{Value, json};

use super::decode;
use super::defaults;
use super::fields;
use super::managed;
use super::status::{Cause, Failure};
use super::store::Store;
use super::strategic;
use super::write::{Answer, Write};

/// The kinds of patch that a custom kind takes.
const CUSTOM_PATCHES: &str =
    "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";

/// As Go prints a map.
pub(super) fn go_map(value: &Value) -> String {
    let join = |parts: Vec<String>| parts.join(" ");
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            let parts = keys
                .iter()
                .map(|key| format!("{key}:{}", go_map(&map[*key])))
                .collect();
            format!("map[{}]", join(parts))
        }
        Value::Array(all) => format!("[{}]", join(all.iter().map(go_map).collect())),
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".to_owned(),
        other => other.to_string(),
    }
}

impl Write<'_> {
    /// PATCH, all four formats.
    pub fn patch(&mut self, store: &mut Store) -> Answer {
        let media = self.content_type.split(';').next().unwrap_or("").trim();
        if media != "application/apply-patch+yaml" && !self.query.get("force").is_empty() {
            let cause = Cause::forbidden("force", "may not be specified for non-apply patch");
            return Err(Failure::invalid(
                "meta.k8s.io",
                "PatchOptions",
                "",
                vec![cause],
            ));
        }
        let patch = match media {
            "application/apply-patch+yaml" => return self.apply(store),
            "application/strategic-merge-patch+json" if self.kind().is_custom() => {
                return Err(Failure::unsupported_media_type(CUSTOM_PATCHES));
            }
            "application/json-patch+json"
            | "application/merge-patch+json"
            | "application/strategic-merge-patch+json" => {
                serde_json::from_slice::<Value>(self.body).map_err(|error| {
                    Failure::bad_request(format!("error decoding patch: {error}"))
                })?
            }
            _ if self.kind().is_custom() => {
                return Err(Failure::unsupported_media_type(CUSTOM_PATCHES));
            }
            _ => return Err(Failure::unknown_patch()),
        };
        let wrong = match media {
            "application/json-patch+json" if !patch.is_array() => "[]handlers.jsonPatchOp",
            "application/json-patch+json" => "",
            _ if !patch.is_object() => "map[string]interface {}",
            _ => "",
        };
        let live = self.live(store)?;
        if !wrong.is_empty() {
            return Err(Failure::bad_request(format!(
                "error decoding patch: json: cannot unmarshal {} into Go value of type {wrong}",
                decode::go_type(&patch)
            )));
        }
        let mut object = (*live).clone();
        match media {
            "application/json-patch+json" => strategic::json_patch(&mut object, &patch)?,
            "application/merge-patch+json" => strategic::merge_patch(&mut object, &patch),
            _ => object = strategic::strategic(&object, &patch, &self.kind().shape)?,
        }
        if !object.is_object() {
            return Err(Failure::bad_request("the patch does not leave an object"));
        }
        self.same_type(&object)?;
        self.named(&object)?;
        // What a strategic patch breaks is shown as the patch, what another one breaks as the object.
        let shown = match media {
            "application/strategic-merge-patch+json" => go_map(&patch),
            _ => object.to_string(),
        };
        let decoded = decode::normalise(self.kind(), object).map_err(|failure| {
            let why = failure.message.split_once(": ").map_or("", |(_, why)| why);
            Failure::unpatchable(&shown, why)
        })?;
        if let Some(why) = self.refuses(&decoded.unknown) {
            return Err(Failure::unpatchable(&shown, &why));
        }
        self.unknown(&decoded.unknown)?;
        self.replace(store, &live, decoded.object, false)
    }

    /// Server-side apply.
    fn apply(&mut self, store: &mut Store) -> Answer {
        let required = |field: &str, why: &str| {
            Failure::invalid(
                "meta.k8s.io",
                "PatchOptions",
                "",
                vec![Cause::required(field, why)],
            )
        };
        if self.query.get("fieldManager").is_empty() {
            return Err(required("fieldManager", "is required for apply patch"));
        }
        let config = decode::body(self.body, "application/yaml")?;
        if !config.is_object() {
            return Err(Failure::bad_request(format!(
                "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
                decode::go_type(&config)
            )));
        }
        let kind = self.target.kind.clone();
        for key in ["apiVersion", "kind"] {
            if config
                .get(key)
                .and_then(Value::as_str)
                .is_none_or(str::is_empty)
            {
                let of = |key: &str| config.get(key).and_then(Value::as_str).unwrap_or_default();
                let (group, version) = of("apiVersion")
                    .split_once('/')
                    .unwrap_or(("", of("apiVersion")));
                return Err(Failure::bad_request(format!(
                    "invalid object type: {group}/{version}, Kind={}",
                    of("kind")
                )));
            }
        }
        self.same_type(&config)?;
        self.named(&config)?;
        if config
            .pointer("/metadata/managedFields")
            .and_then(Value::as_array)
            .is_some_and(|l| !l.is_empty())
        {
            return Err(Failure::bad_request("metadata.managedFields must be nil"));
        }
        let described = || {
            let of = |key: &str| config["metadata"][key].as_str().unwrap_or_default();
            format!(
                "{}/{}; {}/{}, Kind={}",
                of("namespace"),
                of("name"),
                kind.group,
                kind.version,
                kind.kind
            )
        };
        if !config.get("metadata").is_none_or(Value::is_object) {
            return Err(Failure::bad_request("metadata must be an object"));
        }
        let mut plain = config.clone();
        let mut unknown = Vec::new();
        if let Some(schema) = &kind.custom {
            super::custom::prune(&mut plain, schema, "", &mut unknown);
        } else {
            let decoded = decode::normalise(&kind, plain)?;
            plain = decoded.object;
            unknown = decoded.unknown;
        }
        if let Some(path) = unknown.first() {
            return Err(Failure::plain(format!(
                "failed to create typed patch object ({}): .{path}: field not declared in schema",
                described()
            )));
        }
        if let Some(element) = fields::duplicate(&plain, &kind.shape) {
            return Err(Failure::plain(format!(
                "failed to create typed patch object ({}): {element}",
                described()
            )));
        }
        plain["metadata"]["name"] = json!(self.target.name);
        if kind.namespaced {
            plain["metadata"]["namespace"] = json!(self.target.namespace);
        }
        if let Some(map) = plain.as_object_mut() {
            if self.target.subresource == "status" {
                map.retain(|key, _| {
                    matches!(key.as_str(), "apiVersion" | "kind" | "metadata" | "status")
                });
            } else if kind.has_status() {
                map.shift_remove("status");
            }
        }
        let writer = self.writer();
        let force = self.query.flag("force");
        let key = Store::key(&kind, &self.target.namespace, &self.target.name);
        let Some(live) = store.get(&key).cloned() else {
            if !self.target.subresource.is_empty() {
                return Err(Failure::not_found(&kind, &self.target.name));
            }
            if let Some(uid) = plain.pointer("/metadata/uid").and_then(Value::as_str) {
                let why = format!(
                    "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                );
                return Err(Failure::conflict(&kind, &self.target.name, &why));
            }
            let merged = managed::apply(
                &defaults::skeleton(&kind),
                &plain,
                &kind.shape,
                &writer,
                force,
            )?;
            let object = decode::normalise(&kind, merged)?.object;
            return self.insert(store, object, Some(()));
        };
        self.check_identity(&live, &plain)?;
        if let Some(metadata) = plain["metadata"].as_object_mut() {
            metadata.retain(|key, _| {
                !matches!(
                    key.as_str(),
                    "resourceVersion" | "uid" | "creationTimestamp" | "generation"
                )
            });
        }
        let merged = managed::apply(&live, &plain, &kind.shape, &writer, force)?;
        let object = decode::normalise(&kind, merged)?.object;
        self.replace(store, &live, object, true)
    }
}
