//! `scale`, ServiceAccount tokens, and the reviews that are posted but never stored.

use std::sync::Arc;

use serde_json::{Value, json};

use super::auth::{self, Attributes, User};
use super::decode;
use super::kinds::{Kinds, Resource};
use super::managed::{self, Manager};
use super::prepare;
use super::route::Target;
use super::status::{Cause, Failure};
use super::store::{self, Store};
use super::strategic;
use super::write::Write;

/// The autoscaling/v1 view of a workload.
pub fn scale_of(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let mut selector: Vec<String> = object["spec"]["selector"]["matchLabels"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or("")))
        .collect();
    selector.sort();
    // None wanted is written as nothing.
    let spec = match object["spec"]["replicas"].as_i64() {
        None | Some(0) => json!({}),
        Some(replicas) => json!({"replicas": replicas}),
    };
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"]},
        "spec": spec,
        "status": {"replicas": object["status"]["replicas"].as_i64().unwrap_or(0), "selector": selector.join(",")},
    })
}

/// GET of `/scale`.
pub fn read_scale(store: &Store, target: &Target) -> Result<Value, Failure> {
    let key = Store::key(&target.kind, &target.namespace, &target.name);
    store
        .get(&key)
        .map(|o| scale_of(o))
        .ok_or_else(|| Failure::not_found(&target.kind, &target.name))
}

/// PUT or PATCH of `/scale`.
pub fn write_scale(
    store: &mut Store,
    write: &mut Write,
    patch: bool,
) -> Result<(u16, Value), Failure> {
    let kind = write.target.kind.clone();
    let key = Store::key(&kind, &write.target.namespace, &write.target.name);
    let live = store
        .get(&key)
        .cloned()
        .ok_or_else(|| Failure::not_found(&kind, &write.target.name))?;
    let mut scale = scale_of(&live);
    if patch {
        let body: Value = serde_json::from_slice(write.body)
            .map_err(|e| Failure::bad_request(format!("error decoding patch: {e}")))?;
        match write.content_type.split(';').next().unwrap_or("").trim() {
            "application/json-patch+json" => strategic::json_patch(&mut scale, &body)?,
            "application/merge-patch+json" | "application/strategic-merge-patch+json" => {
                strategic::merge_patch(&mut scale, &body)
            }
            _ => {
                return Err(Failure::unsupported_media_type(
                    "application/json-patch+json, application/merge-patch+json",
                ));
            }
        }
    } else {
        scale = decode::body(write.body, write.content_type)?;
    }
    let name = scale["metadata"]["name"].as_str().unwrap_or_default();
    if !name.is_empty() && name != write.target.name {
        return Err(Failure::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            write.target.name
        )));
    }
    let sent = scale["metadata"]["resourceVersion"].as_str().unwrap_or("");
    if !sent.is_empty() && live["metadata"]["resourceVersion"] != sent {
        return Err(Failure::modified(&kind, &write.target.name));
    }
    let replicas = match &scale["spec"]["replicas"] {
        Value::Null => 0,
        value => value
            .as_i64()
            .ok_or_else(|| Failure::bad_request("spec.replicas must be an integer"))?,
    };
    if replicas < 0 {
        let cause = Cause::invalid(
            "spec.replicas",
            &json!(replicas),
            "must be greater than or equal to 0",
        );
        return Err(Failure::invalid(
            "autoscaling",
            "Scale",
            &write.target.name,
            vec![cause],
        ));
    }
    let mut object = (*live).clone();
    object["spec"]["replicas"] = json!(replicas);
    let mut writer = write.writer();
    writer.subresource = "scale".into();
    managed::update(&live, &mut object, &kind.shape, &writer);
    untimed(&live, &mut object, &writer.manager);
    prepare::on_update(&kind, &live, &mut object, true);
    prepare::validate(&kind, &object, Some(&live))?;
    let stored = if object == *live || write.dry() {
        Arc::new(object)
    } else {
        store.commit(key, Some(object))
    };
    Ok((200, scale_of(&stored)))
}

/// An entry of `/scale` takes its time from the parent's list, so a new one has none (`ScaleHandler.ToParent` upstream).
fn untimed(live: &Value, object: &mut Value, manager: &str) {
    let mine = |m: &Manager| m.name == manager && m.subresource == "scale";
    let before = managed::decode(live)
        .unwrap_or_default()
        .into_iter()
        .find(|m| mine(m))
        .and_then(|m| m.time);
    for entry in object
        .pointer_mut("/metadata/managedFields")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if entry["manager"] == manager
            && entry["subresource"] == "scale"
            && let Some(entry) = entry.as_object_mut()
        {
            match &before {
                Some(time) => entry.insert("time".into(), json!(time)),
                None => entry.shift_remove("time"),
            };
        }
    }
}

/// POST of `/token`.
pub fn token(store: &mut Store, write: &Write) -> Result<(u16, Value), Failure> {
    let target = write.target;
    let request = decode::body(write.body, "application/yaml")?;
    let key = Store::key(&target.kind, &target.namespace, &target.name);
    let account = store
        .get(&key)
        .ok_or_else(|| Failure::not_found(&target.kind, &target.name))?;
    let uid = account["metadata"]["uid"].as_str().unwrap_or("").to_owned();
    let lifetime = request["spec"]["expirationSeconds"]
        .as_i64()
        .unwrap_or(3600);
    if lifetime < 600 {
        let cause = Cause::invalid(
            "spec.expirationSeconds",
            &json!(lifetime),
            "may not specify a duration less than 10 minutes",
        );
        return Err(Failure::invalid(
            "authentication.k8s.io",
            "TokenRequest",
            "",
            vec![cause],
        ));
    }
    let mut tracked = json!({"metadata": {}, "spec": request["spec"]});
    let mut writer = write.writer();
    writer.api_version = "authentication.k8s.io/v1".into();
    managed::update(
        &json!({"metadata": {}, "spec": {}}),
        &mut tracked,
        &super::schema::builtin("TokenRequest"),
        &writer,
    );
    let (token, expires) = auth::issue(store, &target.namespace, &target.name, &uid, lifetime);
    let until = jiff::Timestamp::from_second(expires)
        .map(store::seconds)
        .unwrap_or_default();
    Ok((
        201,
        json!({
            "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": target.name, "namespace": target.namespace, "uid": store::uid(), "creationTimestamp": store::now(),
                "managedFields": tracked["metadata"]["managedFields"]},
            "spec": {"audiences": ["https://kubernetes.default.svc.cluster.local"], "expirationSeconds": lifetime, "boundObjectRef": null},
            "status": {"token": token, "expirationTimestamp": until},
        }),
    ))
}

/// SelfSubjectAccessReview, SelfSubjectRulesReview, SelfSubjectReview.
pub fn review(
    store: &Store,
    kind: &Resource,
    user: &User,
    write: &Write,
) -> Result<(u16, Value), Failure> {
    let mut review = decode::body(write.body, "application/yaml")?;
    if !review.is_object() {
        return Err(Failure::bad_request(format!(
            "{} must be an object",
            kind.kind
        )));
    }
    review["kind"] = json!(kind.kind);
    review["apiVersion"] = json!(kind.api_version());
    review["metadata"] = json!({});
    if kind.kind == "SelfSubjectReview" {
        review["metadata"]["creationTimestamp"] = json!(write.now);
    } else {
        managed::update(
            &json!({"metadata": {}, "spec": {}}),
            &mut review,
            &kind.shape,
            &write.writer(),
        );
    }
    review["status"] = match kind.kind.as_str() {
        "SelfSubjectReview" => {
            let id = format!("JTI={}", store::uid());
            json!({"userInfo": {"username": user.name, "uid": user.uid, "groups": user.groups,
                "extra": {"authentication.kubernetes.io/credential-id": [id]}}})
        }
        "SelfSubjectRulesReview" => rules(
            store,
            user,
            review["spec"]["namespace"].as_str().unwrap_or(""),
        ),
        _ => {
            let ask = attributes(&store.kinds, &review["spec"])?;
            match auth::allowed(store, user, &ask) {
                false => json!({"allowed": false}),
                true => match auth::why(store, user, &ask) {
                    Some(why) => json!({"allowed": true, "reason": why}),
                    None => json!({"allowed": true}),
                },
            }
        }
    };
    Ok((201, review))
}

fn attributes(kinds: &Kinds, spec: &Value) -> Result<Attributes, Failure> {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or("").to_owned();
    if let Some(path) = spec["nonResourceAttributes"].as_object() {
        let path = Value::Object(path.clone());
        return Ok(Attributes {
            verb: text(&path, "verb"),
            path: text(&path, "path"),
            ..Attributes::default()
        });
    }
    let ask = &spec["resourceAttributes"];
    if !ask.is_object() {
        let cause = Cause::invalid(
            "spec.resourceAttributes",
            &Value::Null,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        );
        return Err(Failure::invalid(
            "authorization.k8s.io",
            "",
            "",
            vec![cause],
        ));
    }
    let plural = text(ask, "resource");
    let group = text(ask, "group");
    let sub = text(ask, "subresource");
    let scoped = kinds
        .by_plural(&group, &plural)
        .is_none_or(|kind| kind.namespaced);
    Ok(Attributes {
        verb: text(ask, "verb"),
        group,
        resource: if sub.is_empty() {
            plural
        } else {
            format!("{plural}/{sub}")
        },
        namespace: if scoped {
            text(ask, "namespace")
        } else {
            String::new()
        },
        name: text(ask, "name"),
        path: String::new(),
    })
}

fn rules(store: &Store, user: &User, namespace: &str) -> Value {
    let mut rules = auth::rules(store, user, namespace);
    if user.groups.iter().any(|g| g == "system:masters") {
        rules.push(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
    }
    rules.push(json!({"verbs": ["create"], "apiGroups": ["authorization.k8s.io"], "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]}));
    let (paths, resources): (Vec<Value>, Vec<Value>) = rules
        .into_iter()
        .partition(|r| r["nonResourceURLs"].is_array());
    json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false})
}
