//! How Argo CD freezes, refreshes, syncs and heals.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::time::sleep;
use trueup_lab::cluster::PatchKind;

use super::world::{REFRESH, World, app, config, keys, owned, writers};

type Seen = anyhow::Result<Value>;

/// The Application that these facts are about, and where it keeps its ConfigMap.
const NAME: &str = "profile-service";
const HOME: &str = "profile";
const TARGET: &str = "/spec/source/targetRevision";

pub async fn a_refresh_is_answered_by_taking_the_annotation_away(world: &World) -> Seen {
    let note = json!({"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}});
    let asked = world.merge(&app(NAME), note).await?;
    ensure!(asked.pointer(REFRESH).is_some(), "it was not stored");
    let seen = world
        .until(&app(NAME), "refreshed", |app| {
            app.pointer(REFRESH).is_none()
        })
        .await?;
    Ok(json!({"sync": seen["status"]["sync"]["status"], "status": keys(&seen["status"])}))
}

pub async fn enabled_false_holds_beside_prune_and_self_heal(world: &World) -> Seen {
    let frozen = json!({"enabled": false, "prune": true, "selfHeal": true});
    let set = world.policy("like-service", frozen.clone()).await?;
    let seen = world.refresh("like-service").await?;
    let policy = &seen["spec"]["syncPolicy"]["automated"];
    ensure!(*policy == frozen, "{policy}");
    Ok(json!({"policy": policy, "ours": owned(&set, "trueup")["f:spec"]["f:syncPolicy"]}))
}

pub async fn automated_taken_away_leaves_no_owner(world: &World) -> Seen {
    let before = world.get(&app("like-service")).await?;
    let removal = json!([{"op": "remove", "path": "/spec/syncPolicy/automated"}]);
    let gone = world
        .edit
        .patch(&app("like-service"), "", PatchKind::Json, &removal)
        .await?;
    ensure!(
        owned(&gone, "kubectl-edit") == owned(&before, "kubectl-edit"),
        "who took it away is listed: {}",
        owned(&gone, "kubectl-edit")
    );
    let seen = world.refresh("like-service").await?;
    Ok(
        json!({"left": gone["spec"]["syncPolicy"], "after a comparison": seen["spec"].get("syncPolicy"), "writers": writers(&seen)}),
    )
}

async fn edit(world: &World, data: Value) -> anyhow::Result<Value> {
    let body = json!({"data": data});
    Ok(world
        .edit
        .patch(&config(HOME), "", PatchKind::Merge, &body)
        .await?)
}

async fn compared(world: &World, as_what: &str) -> anyhow::Result<Value> {
    world
        .until(&app(NAME), as_what, |app| {
            app["status"]["sync"]["status"] == as_what
        })
        .await
}

async fn freeze(world: &World) -> anyhow::Result<()> {
    let off = json!({"enabled": false, "prune": true, "selfHeal": true});
    world.policy(NAME, off).await?;
    world.refresh(NAME).await?;
    Ok(())
}

pub async fn a_change_while_frozen_stays_and_shows_as_out_of_sync(world: &World) -> Seen {
    freeze(world).await?;
    edit(world, json!({"JWT_ALGORITHM": "ES256"})).await?;
    // A refresh alone may still have compared what the controller had seen before the change: its copy of the cluster comes by watches.
    world.refresh(NAME).await?;
    let seen = compared(world, "OutOfSync").await?;
    let map = world.get(&config(HOME)).await?;
    ensure!(map["data"]["JWT_ALGORITHM"] == "ES256", "it was put back");
    edit(world, json!({"JWT_ALGORITHM": "HS256"})).await?;
    let back = compared(world, "Synced").await?;
    Ok(json!([
        seen["status"]["sync"]["status"],
        back["status"]["sync"]["status"]
    ]))
}

pub async fn an_operation_with_cleared_state_comes_back_as_it_was_sent(world: &World) -> Seen {
    let revision = world.revision(NAME).await?;
    let sync = json!({"revision": revision, "prune": true, "syncStrategy": {"hook": {}}, "syncOptions": ["ServerSideApply=false"]});
    let done = world.sync(NAME, sync.clone()).await?;
    let state = &done["status"]["operationState"];
    let back = &state["operation"];
    ensure!(
        back["sync"]["revision"] == revision.as_str()
            && back["sync"]["prune"] == true
            && back["sync"]["syncOptions"] == sync["syncOptions"]
            && back["info"] == json!([{"name": "trueup-op", "value": "op-1"}])
            && back["initiatedBy"] == json!({"username": "jo"})
            && state["phase"] == "Succeeded",
        "{state:#}"
    );
    Ok(
        json!({"state": keys(state), "operation": keys(back), "sync": keys(&back["sync"]), "result": keys(&state["syncResult"]),
        "message": state["message"], "writers": writers(&done), "status": keys(&done["status"])}),
    )
}

pub async fn prune_false_does_not_come_back(world: &World) -> Seen {
    let revision = world.revision(NAME).await?;
    let sync = json!({"revision": revision, "prune": false, "syncStrategy": {"hook": {}}});
    let done = world.sync(NAME, sync).await?;
    let back = &done["status"]["operationState"]["operation"]["sync"];
    ensure!(back.get("prune").is_none(), "{back}");
    Ok(json!(keys(back)))
}

/// As long as last-applied is Argo CD's own: apply then finds nothing to send.
pub async fn a_sync_of_what_is_as_git_says_moves_nothing(world: &World) -> Seen {
    let revision = world.revision(NAME).await?;
    let sync = json!({"revision": revision, "syncStrategy": {"hook": {}}});
    let mut moved = Vec::new();
    let mut object = world.get(&config(HOME)).await?;
    let mut done = Value::Null;
    for _ in 0..2 {
        // An owner's time has whole seconds.
        sleep(Duration::from_millis(1_100)).await;
        done = world.sync(NAME, sync.clone()).await?;
        let after = world.get(&config(HOME)).await?;
        ensure!(
            after["data"] == object["data"],
            "the data moved: {}",
            after["data"]
        );
        moved.push(after["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"]);
        object = after;
    }
    ensure!(moved == [false, false], "moved: {moved:?}");
    let resources: Vec<Value> = done["status"]["operationState"]["syncResult"]["resources"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| {
            json!([
                one["kind"],
                one["status"],
                one["message"],
                one["hookPhase"],
                one["syncPhase"]
            ])
        })
        .collect();
    Ok(
        json!({"resources": resources, "writers": writers(&object), "owned": owned(&object, "argocd-controller")}),
    )
}

pub async fn a_sync_at_a_commit_leaves_the_target_as_declared(world: &World) -> Seen {
    let before = world.get(&app(NAME)).await?;
    let revision = world.revision(NAME).await?;
    let done = world
        .sync(
            NAME,
            json!({"revision": revision, "syncStrategy": {"hook": {}}}),
        )
        .await?;
    ensure!(
        before.pointer(TARGET) == done.pointer(TARGET),
        "the target moved"
    );
    let last = done["status"]["history"]
        .as_array()
        .and_then(|all| all.last().cloned())
        .context("it has a history")?;
    ensure!(last["revision"] == revision.as_str(), "{last}");
    Ok(
        json!({"target": done.pointer(TARGET), "history": keys(&last), "initiatedBy": last["initiatedBy"]}),
    )
}

pub async fn an_operation_can_name_its_resources(world: &World) -> Seen {
    let revision = world.revision(NAME).await?;
    let before = world.get(&app(NAME)).await?["status"]["history"].clone();
    let sync = json!({"revision": revision, "syncStrategy": {"hook": {}},
        "resources": [{"group": "", "kind": "ConfigMap", "name": "auth-config", "namespace": HOME}]});
    let done = world.sync(NAME, sync).await?;
    let resources = done["status"]["operationState"]["syncResult"]["resources"].as_array();
    let names: Vec<Value> = resources
        .into_iter()
        .flatten()
        .map(|one| json!([one["kind"], one["name"]]))
        .collect();
    ensure!(names == [json!(["ConfigMap", "auth-config"])], "{names:?}");
    ensure!(done["status"]["history"] == before, "it wrote history");
    Ok(json!(names))
}

pub async fn a_dry_run_operation_changes_nothing(world: &World) -> Seen {
    freeze(world).await?;
    edit(world, json!({"JWT_ALGORITHM": "ES256"})).await?;
    compared(world, "OutOfSync").await?;
    let revision = world.revision(NAME).await?;
    let sync = json!({"revision": revision, "dryRun": true, "syncStrategy": {"hook": {}}});
    let done = world.sync(NAME, sync).await?;
    let map = world.get(&config(HOME)).await?;
    edit(world, json!({"JWT_ALGORITHM": "HS256"})).await?;
    compared(world, "Synced").await?;
    ensure!(map["data"]["JWT_ALGORITHM"] == "ES256", "it was written");
    let state = &done["status"]["operationState"];
    Ok(json!([state["phase"], state["message"]]))
}

pub async fn an_operation_at_an_unknown_commit_ends_in_error(world: &World) -> Seen {
    let nowhere = "0123456789012345678901234567890123456789";
    let done = world
        .sync(
            NAME,
            json!({"revision": nowhere, "syncStrategy": {"hook": {}}}),
        )
        .await?;
    let phase = &done["status"]["operationState"]["phase"];
    ensure!(*phase == "Error" || *phase == "Failed", "{phase}");
    world.refresh(NAME).await?;
    Ok(phase.clone())
}

pub async fn a_key_that_only_the_cluster_has_survives_a_sync_and_is_synced(world: &World) -> Seen {
    edit(world, json!({"ONLY_HERE": "x"})).await?;
    let revision = world.revision(NAME).await?;
    world
        .sync(
            NAME,
            json!({"revision": revision, "prune": true, "syncStrategy": {"hook": {}}}),
        )
        .await?;
    let (map, seen) = (world.get(&config(HOME)).await?, world.refresh(NAME).await?);
    let status = &seen["status"]["sync"]["status"];
    ensure!(
        map["data"]["ONLY_HERE"] == "x" && *status == "Synced",
        "{status}"
    );
    edit(world, json!({"ONLY_HERE": null})).await?;
    Ok(status.clone())
}

pub async fn self_heal_puts_a_changed_key_back(world: &World) -> Seen {
    world
        .policy(
            NAME,
            json!({"enabled": true, "prune": true, "selfHeal": true}),
        )
        .await?;
    world.refresh(NAME).await?;
    edit(world, json!({"JWT_ALGORITHM": "ES256"})).await?;
    let healed = world
        .until(&config(HOME), "healed", |map| {
            map["data"]["JWT_ALGORITHM"] == "HS256"
        })
        .await?;
    let done = world
        .until(&app(NAME), "Synced", |app| {
            app["status"]["sync"]["status"] == "Synced" && app["operation"].is_null()
        })
        .await?;
    let operation = &done["status"]["operationState"]["operation"];
    ensure!(
        operation["initiatedBy"] == json!({"automated": true}),
        "{operation}"
    );
    Ok(
        json!({"writers": writers(&healed), "initiatedBy": operation["initiatedBy"], "sync": keys(&operation["sync"]),
        "resources": operation["sync"]["resources"]}),
    )
}

pub async fn self_heal_leaves_an_added_key(world: &World) -> Seen {
    edit(world, json!({"ADDED": "x"})).await?;
    // There is nothing to wait for: what is looked at is that nothing comes.
    sleep(Duration::from_secs(6)).await;
    let (map, seen) = (world.get(&config(HOME)).await?, world.refresh(NAME).await?);
    let status = &seen["status"]["sync"]["status"];
    ensure!(
        map["data"]["ADDED"] == "x" && *status == "Synced",
        "{status}"
    );
    edit(world, json!({"ADDED": null})).await?;
    Ok(status.clone())
}

pub async fn enabling_auto_sync_starts_a_sync_of_what_is_out_of_sync(world: &World) -> Seen {
    freeze(world).await?;
    edit(world, json!({"JWT_ALGORITHM": "ES256"})).await?;
    compared(world, "OutOfSync").await?;
    world
        .policy(
            NAME,
            json!({"enabled": true, "prune": true, "selfHeal": true}),
        )
        .await?;
    world
        .until(&config(HOME), "synced", |map| {
            map["data"]["JWT_ALGORITHM"] == "HS256"
        })
        .await?;
    let done = world
        .until(&app(NAME), "Synced", |app| {
            app["status"]["sync"]["status"] == "Synced" && app["operation"].is_null()
        })
        .await?;
    Ok(done["status"]["operationState"]["operation"]["initiatedBy"].clone())
}
