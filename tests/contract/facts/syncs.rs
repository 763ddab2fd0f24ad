//! What a sync does to objects, and what it leaves behind, on Applications made for it.

use anyhow::{Context as _, ensure};
use http::Method;
use serde_json::{Value, json};
use trueup_lab::cluster::{Gvk, PatchKind, Ref};

use super::world::{World, keys, manifest, map, writers};

type Seen = anyhow::Result<Value>;

const TRACKING: &str = "/metadata/annotations/argocd.argoproj.io~1tracking-id";
const LAST_APPLIED: &str =
    "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration";

async fn made(world: &World, name: &str, data: &str, more: Value) -> anyhow::Result<()> {
    world
        .push(name, &[("map.yaml", Some(&manifest(name, data)))])
        .await?;
    world.make(name, more).await?;
    world.sync_to_head(name).await?;
    Ok(())
}

async fn declare(world: &World, name: &str, data: &str) -> anyhow::Result<Value> {
    world
        .push(name, &[("map.yaml", Some(&manifest(name, data)))])
        .await?;
    world.sync_to_head(name).await
}

fn resources(done: &Value) -> Vec<Value> {
    let all = done.pointer("/status/operationState/syncResult/resources");
    all.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|one| json!([one["kind"], one["name"], one["status"], one["message"]]))
        .collect()
}

/// trueup asks for no prune: an object is never deleted by a sync of its.
pub async fn a_sync_without_prune_leaves_what_git_no_longer_has(world: &World) -> Seen {
    let name = "kept";
    world
        .push(name, &[("gone.yaml", Some(&manifest("gone", "a: \"1\"")))])
        .await?;
    made(world, name, "a: \"1\"", json!({})).await?;
    world.push(name, &[("gone.yaml", None)]).await?;
    let out = world.compared(name, "OutOfSync").await?;
    let entry = out["status"]["resources"]
        .as_array()
        .and_then(|all| all.iter().find(|one| one["name"] == "gone").cloned())
        .context("it is listed")?;
    ensure!(entry["requiresPruning"] == true, "{entry}");
    let done = world.sync_to_head(name).await?;
    let live = world.get(&map("gone")).await?;
    let phase = &done["status"]["operationState"]["phase"];
    ensure!(
        *phase == "Succeeded" && live["metadata"]["deletionTimestamp"].is_null(),
        "{phase}"
    );
    let after = world.refresh(name).await?;
    Ok(
        json!({"entry": entry, "result": resources(&done), "after": after["status"]["sync"]["status"],
        "message": done["status"]["operationState"]["message"]}),
    )
}

/// What was applied is remembered in last-applied: that is how a client-side sync knows what to take away, and all that it takes away.
pub async fn a_key_gone_from_git_goes_with_the_next_sync_and_no_other_key(world: &World) -> Seen {
    let name = "shrunk";
    made(world, name, "a: \"1\", b: \"2\"", json!({})).await?;
    world.edit(&map(name), json!({"b": "9", "c": "3"})).await?;
    declare(world, name, "a: \"1\"").await?;
    let live = world.get(&map(name)).await?;
    ensure!(
        live["data"] == json!({"a": "1", "c": "3"}),
        "{}",
        live["data"]
    );
    Ok(json!({"data": live["data"], "writers": writers(&live)}))
}

/// Byte for byte: a prediction sends the same.
pub async fn last_applied_is_the_manifest_with_its_tracking_id_in_go_s_json(world: &World) -> Seen {
    let name = "written";
    let data = r#"z: "<&>'", a: "\u2028é\U0001F600", m: "1""#;
    made(world, name, data, json!({})).await?;
    let live = world.get(&map(name)).await?;
    let text = live.pointer(LAST_APPLIED).and_then(Value::as_str);
    let text = text.context("it has a last-applied")?;
    let tracking = live.pointer(TRACKING).context("it is tracked")?;
    let said: Value = serde_json::from_str(text)?;
    let expected = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": live["data"],
        "metadata": {"name": name, "namespace": live["metadata"]["namespace"], "annotations": {"argocd.argoproj.io/tracking-id": tracking}}});
    ensure!(said == expected && text.ends_with("}\n"), "{text}");
    Ok(json!({"text": text, "annotations": keys(&live["metadata"]["annotations"])}))
}

/// Every operation has its own state when the earlier one is cleared with the write that asks for it.
pub async fn nothing_of_an_earlier_operation_is_left_in_the_next(world: &World) -> Seen {
    let name = "shrunk";
    let revision = world.revision(name).await?;
    let earlier = json!({"revision": revision, "prune": true, "dryRun": true, "syncStrategy": {"apply": {"force": true}},
        "syncOptions": ["PruneLast=true"], "resources": [{"group": "", "kind": "ConfigMap", "name": name}]});
    let first = world.sync(name, earlier).await?;
    let next = json!({"revision": revision, "syncStrategy": {"hook": {}}});
    let second = world.sync(name, next.clone()).await?;
    let of = |seen: &Value| seen["status"]["operationState"]["operation"]["sync"].clone();
    ensure!(of(&second) == next, "{}", of(&second));
    Ok(json!([keys(&of(&first)), keys(&of(&second))]))
}

/// So the newest entry is the revision that was last synced in full, whatever was tried after it.
pub async fn only_a_full_sync_that_succeeds_writes_history(world: &World) -> Seen {
    let name = "shrunk";
    let revision = world.revision(name).await?;
    let before = world.sync_to_head(name).await?["status"]["history"].clone();
    let mut phases = Vec::new();
    for sync in [
        json!({"revision": revision, "dryRun": true}),
        json!({"revision": revision, "resources": [{"kind": "ConfigMap", "name": name}]}),
        json!({"revision": "0123456789012345678901234567890123456789"}),
    ] {
        let done = world.sync(name, sync).await?;
        ensure!(done["status"]["history"] == before, "it was written down");
        phases.push(done["status"]["operationState"]["phase"].clone());
    }
    let after = world.sync_to_head(name).await?["status"]["history"].clone();
    let ids = |history: &Value| {
        let all = history.as_array().into_iter().flatten();
        all.filter_map(|one| one["id"].as_i64()).collect::<Vec<_>>()
    };
    let (before, after) = (ids(&before), ids(&after));
    ensure!(
        after.len() == before.len() + 1 && after.is_sorted() && after.starts_with(&before),
        "{before:?}, {after:?}"
    );
    Ok(json!(phases))
}

/// The name of the Application, group and kind, namespace and name; of what has no namespace that of the destination.
pub async fn a_tracking_id_names_the_object_that_it_is_on(world: &World) -> Seen {
    let name = "tracked";
    let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: facts-tracked}\nrules: []\n";
    world.push(name, &[("role.yaml", Some(role))]).await?;
    made(world, name, "a: \"1\"", json!({})).await?;
    let gvk = Gvk::new("rbac.authorization.k8s.io", "v1", "ClusterRole");
    let role = world.get(&Ref::new(gvk, "", "facts-tracked")).await?;
    let map = world.get(&map(name)).await?;
    let ids: Vec<Option<&Value>> = [&map, &role].map(|one| one.pointer(TRACKING)).into();
    ensure!(
        ids == [
            Some(&json!("tracked:/ConfigMap:facts/tracked")),
            Some(&json!(
                "tracked:rbac.authorization.k8s.io/ClusterRole:facts/facts-tracked"
            ))
        ],
        "{ids:?}"
    );
    Ok(json!(ids))
}

/// An object that was copied with its annotations is listed all the same, without a status: it is not compared, and nothing prunes it.
pub async fn a_copied_tracking_id_is_no_ownership(world: &World) -> Seen {
    let name = "tracked";
    let original = world.get(&map(name)).await?;
    let copy = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {},
        "metadata": {"name": "copied", "namespace": "facts", "annotations": original["metadata"]["annotations"]}});
    world.us.create(&copy).await?;
    // The controller has seen it once it has seen what was changed after it.
    world.edit(&map(name), json!({"a": "2"})).await?;
    world.compared(name, "OutOfSync").await?;
    let revision = world.revision(name).await?;
    let prune = json!({"revision": revision, "prune": true, "syncStrategy": {"hook": {}}});
    let done = world.sync(name, prune).await?;
    let seen = world.compared(name, "Synced").await?;
    world.get(&map("copied")).await?;
    let listed = seen["status"]["resources"].as_array();
    let copied = listed
        .into_iter()
        .flatten()
        .find(|one| one["name"] == "copied");
    ensure!(
        copied.is_none_or(|one| one["status"].is_null() && one["requiresPruning"].is_null()),
        "{copied:?}"
    );
    let result = resources(&done);
    let names: Vec<&Value> = result.iter().map(|one| &one[1]).collect();
    Ok(json!({"listed": copied, "synced": names}))
}

/// Although rights are reconciled first, which adds only: what is applied after that replaces the rules.
pub async fn a_rule_that_was_added_to_a_role_goes_with_the_next_sync(world: &World) -> Seen {
    let name = "ruled";
    let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: ruled}\nrules:\n- {apiGroups: [\"\"], resources: [pods], verbs: [get]}\n";
    world.push(name, &[("role.yaml", Some(role))]).await?;
    world.make(name, json!({})).await?;
    world.sync_to_head(name).await?;
    let gvk = Gvk::new("rbac.authorization.k8s.io", "v1", "Role");
    let id = Ref::new(gvk, "facts", name);
    let declared = world.get(&id).await?["rules"].clone();
    let more =
        json!([declared[0], {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]);
    world
        .edit
        .patch(&id, "", PatchKind::Merge, &json!({"rules": more}))
        .await?;
    let seen = world.compared(name, "OutOfSync").await?;
    world.sync_to_head(name).await?;
    let rules = world.get(&id).await?["rules"].clone();
    ensure!(rules == declared, "{rules}");
    Ok(seen["status"]["sync"]["status"].clone())
}

/// With `ServerSideApply=true`: what another took is taken back, what another added stays, what left Git goes.
pub async fn a_server_side_sync_takes_back_what_is_declared_and_leaves_the_rest(
    world: &World,
) -> Seen {
    let name = "applied";
    let option = json!({"syncPolicy": {"syncOptions": ["ServerSideApply=true"]}});
    world
        .push(
            name,
            &[("map.yaml", Some(&manifest(name, "a: \"1\", b: \"2\"")))],
        )
        .await?;
    world.make(name, option).await?;
    server_side(world, name).await?;
    world.edit(&map(name), json!({"a": "9", "c": "3"})).await?;
    world
        .push(name, &[("map.yaml", Some(&manifest(name, "a: \"1\"")))])
        .await?;
    server_side(world, name).await?;
    let live = world.get(&map(name)).await?;
    ensure!(
        live["data"] == json!({"a": "1", "c": "3"}),
        "{}",
        live["data"]
    );
    Ok(
        json!({"data": live["data"], "writers": writers(&live), "annotations": keys(&live["metadata"]["annotations"])}),
    )
}

async fn server_side(world: &World, name: &str) -> anyhow::Result<Value> {
    let revision = world.revision(name).await?;
    let sync = json!({"revision": revision, "syncStrategy": {"hook": {}}, "syncOptions": ["ServerSideApply=true"]});
    world.sync(name, sync).await
}

/// What was applied client-side once is handed over to the applier first, so that what left Git goes. What a hand added stays. A trial of the
/// same apply does not show it.
pub async fn a_server_side_sync_takes_away_what_was_applied_client_side(world: &World) -> Seen {
    let name = "handed-over";
    made(world, name, "a: \"1\", b: \"2\"", json!({})).await?;
    world
        .push(name, &[("map.yaml", Some(&manifest(name, "a: \"1\"")))])
        .await?;
    world.edit(&map(name), json!({"c": "3"})).await?;
    let path = "/api/v1/namespaces/facts/configmaps/handed-over?fieldManager=argocd-controller&force=true&dryRun=All";
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "1"}});
    let apply = "application/apply-patch+yaml";
    let tried = world
        .us
        .send(Method::PATCH, path, apply, Some(&body))
        .await?;
    server_side(world, name).await?;
    let live = world.get(&map(name)).await?;
    ensure!(
        tried["data"]["b"] == "2" && live["data"] == json!({"a": "1", "c": "3"}),
        "tried {}, it is {}",
        tried["data"],
        live["data"]
    );
    Ok(
        json!({"data": live["data"], "writers": writers(&live), "annotations": keys(&live["metadata"]["annotations"])}),
    )
}

/// Hooks are no part of what is compared.
pub async fn a_hook_is_run_by_a_sync_and_is_no_part_of_the_comparison(world: &World) -> Seen {
    let name = "hooked";
    let hook = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: hook\n  annotations: {argocd.argoproj.io/hook: PreSync}\ndata: {}\n";
    world.push(name, &[("hook.yaml", Some(hook))]).await?;
    world
        .push(name, &[("map.yaml", Some(&manifest(name, "a: \"1\"")))])
        .await?;
    world.make(name, json!({})).await?;
    let before = world.us.get(&map("hook")).await?.is_none();
    let done = world.sync_to_head(name).await?;
    world.get(&map("hook")).await?;
    world.us.delete(&map("hook"), "Background").await?;
    let after = world.compared(name, "Synced").await?;
    let listed: Vec<Value> = after["status"]["resources"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| json!([one["name"], one["status"], one["hook"]]))
        .collect();
    ensure!(before, "it was there before the sync");
    Ok(json!({"listed": listed, "result": resources(&done)}))
}

/// A removal can be found by no mark of who did it; a value that was set can.
pub async fn a_value_that_is_set_carries_its_writer_and_a_removal_none(world: &World) -> Seen {
    let id = map("shrunk");
    let set = json!([{"op": "add", "path": "/data/set", "value": "x"}]);
    let set = world
        .us
        .speaking_as("trueup-op-1")
        .patch(&id, "", PatchKind::Json, &set)
        .await?;
    let gone = json!([{"op": "remove", "path": "/data/set"}]);
    let gone = world
        .us
        .speaking_as("trueup-op-2")
        .patch(&id, "", PatchKind::Json, &gone)
        .await?;
    let (set, gone) = (writers(&set), writers(&gone));
    ensure!(
        set.contains(&"trueup-op-1 Update".to_owned())
            && !gone.iter().any(|name| name.starts_with("trueup-op")),
        "{set:?}, {gone:?}"
    );
    Ok(json!([set, gone]))
}
