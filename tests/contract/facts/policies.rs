//! What freezing and thawing rest on, on Applications made for it.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::time::sleep;
use trueup_lab::cluster::PatchKind;

use super::world::{MADE, World, app, keys, manifest, map};

type Seen = anyhow::Result<Value>;

const NOTE: &str = "trueup.dev/frozen";

fn note(seen: &Value) -> &Value {
    &seen["metadata"]["annotations"][NOTE]
}

async fn on(world: &World, name: &str, on: bool) -> anyhow::Result<()> {
    let automated = json!({"enabled": on, "prune": true, "selfHeal": true});
    world.policy(name, automated).await?;
    Ok(())
}

/// An Application on auto-sync that has synced itself.
async fn synced_by_itself(world: &World, name: &str) -> anyhow::Result<()> {
    let automated = json!({"syncPolicy": {"automated": {"prune": true, "selfHeal": true}}});
    world
        .push(name, &[("map.yaml", Some(&manifest(name, "a: \"1\"")))])
        .await?;
    world.make(name, automated).await?;
    ended(world, name, "Synced").await?;
    Ok(())
}

async fn ended(world: &World, name: &str, status: &str) -> anyhow::Result<Value> {
    world
        .until(&app(name), status, |app| {
            app["status"]["sync"]["status"] == status
                && app["operation"].is_null()
                && app["status"]["operationState"]["finishedAt"].is_string()
        })
        .await
}

/// Either way of freezing; and the note stays where it is. In the end auto-sync does what it was kept from.
pub async fn a_commit_while_frozen_is_not_synced(world: &World) -> Seen {
    let mut seen = Vec::new();
    for (name, freeze) in [
        ("disabled", json!({"enabled": false})),
        ("removed", Value::Null),
    ] {
        synced_by_itself(world, name).await?;
        let body = json!({"metadata": {"annotations": {NOTE: "{}"}}, "spec": {"syncPolicy": {"automated": freeze}}});
        world.merge(&app(name), body).await?;
        world.refresh(name).await?;
        let head = world
            .push(name, &[("map.yaml", Some(&manifest(name, "a: \"2\"")))])
            .await?;
        let compared = world.compared(name, "OutOfSync").await?;
        ensure!(
            compared["status"]["sync"]["revision"] == head.as_str(),
            "it is compared with {}",
            compared["status"]["sync"]["revision"]
        );
        sleep(Duration::from_secs(1)).await;
        let after = world.refresh(name).await?;
        let live = world.get(&map(name)).await?;
        ensure!(
            live["data"]["a"] == "1" && after["operation"].is_null(),
            "it was synced all the same: {}",
            after["status"]["operationState"]
        );
        ensure!(note(&after) == "{}", "the note is {}", note(&after));
        on(world, name, true).await?;
        world
            .until(&map(name), "synced", |map| map["data"]["a"] == "2")
            .await?;
        seen.push(after["status"]["sync"]["status"].clone());
    }
    Ok(json!(seen))
}

/// A thaw rests on it: there is nothing to do, so nothing is done.
pub async fn enabling_auto_sync_where_all_is_as_git_says_starts_nothing(world: &World) -> Seen {
    let name = "disabled";
    ended(world, name, "Synced").await?;
    on(world, name, false).await?;
    let frozen = world.refresh(name).await?;
    let before = world.get(&map(name)).await?;
    on(world, name, true).await?;
    for _ in 0..2 {
        sleep(Duration::from_secs(1)).await;
        let thawed = world.refresh(name).await?;
        ensure!(
            thawed["status"]["operationState"] == frozen["status"]["operationState"]
                && thawed["operation"].is_null(),
            "an operation was started: {}",
            thawed["status"]["operationState"]
        );
    }
    let after = world.get(&map(name)).await?;
    ensure!(before == after, "the object moved");
    Ok(json!(true))
}

/// So a freeze is proven only once nothing runs any more.
pub async fn a_freeze_does_not_end_an_operation_that_runs(world: &World) -> Seen {
    let name = "stubborn";
    let nowhere =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: stubborn, namespace: nowhere-at-all}\n";
    world.push(name, &[("map.yaml", Some(nowhere))]).await?;
    let retry =
        json!({"limit": 2, "backoff": {"duration": "1s", "factor": 1, "maxDuration": "1s"}});
    let policy = json!({"automated": {"prune": true, "selfHeal": true}, "retry": retry});
    world.make(name, json!({"syncPolicy": policy})).await?;
    let runs = |app: &Value| {
        let state = &app["status"]["operationState"];
        state["phase"] == "Running" && state["finishedAt"].is_string()
    };
    let waits = world.until(&app(name), "to be retried", runs).await?;
    on(world, name, false).await?;
    let done = world
        .until(&app(name), "at its end", |app| {
            app["operation"].is_null() && app["status"]["operationState"]["phase"] != "Running"
        })
        .await?;
    let state = &done["status"]["operationState"];
    ensure!(
        state["phase"] == "Failed" && state["retryCount"] == 2,
        "{state:#}"
    );
    let policy = &done["spec"]["syncPolicy"]["automated"]["enabled"];
    ensure!(policy == false, "the freeze is gone");
    Ok(json!({
        "while it waits": keys(&waits["status"]["operationState"]),
        "operation": !waits["operation"].is_null(),
        "end": [state["phase"], state["retryCount"]],
    }))
}

/// Its time tells a comparison that came after from one that came before.
pub async fn after_its_end_an_operation_is_followed_by_a_comparison(world: &World) -> Seen {
    let name = "disabled";
    on(world, name, false).await?;
    let done = world.sync_to_head(name).await?;
    let at = |seen: &Value, pointer: &str| {
        let text = seen.pointer(pointer).and_then(Value::as_str);
        text.map(str::to_owned).context("it has a time")
    };
    let finished = at(&done, "/status/operationState/finishedAt")?;
    // RFC 3339 in UTC with whole seconds: the later one is the greater text.
    ensure!(
        finished.len() == 20 && finished.ends_with('Z'),
        "{finished}"
    );
    world
        .until(&app(name), "compared after it", |app| {
            at(app, "/status/reconciledAt").is_ok_and(|seen| seen >= finished)
        })
        .await?;
    Ok(json!(true))
}

pub async fn a_refresh_compares_with_what_was_pushed_before_it(world: &World) -> Seen {
    // Nothing of it is below the path of the Application.
    let head = world
        .push(
            "elsewhere",
            &[("notes.txt", Some("nothing that is applied\n"))],
        )
        .await?;
    let seen = world.refresh("disabled").await?;
    let sync = &seen["status"]["sync"];
    ensure!(
        sync["revision"] == head.as_str() && sync["status"] == "Synced",
        "{sync}"
    );
    Ok(json!(keys(sync)))
}

/// What Git says cannot be told then, and neither of the two says Synced.
pub async fn what_cannot_be_rendered_is_unknown_and_says_why(world: &World) -> Seen {
    let name = "disabled";
    let broken = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: [\n";
    let head = world.push(name, &[("broken.yaml", Some(broken))]).await?;
    world.refresh(name).await?;
    let seen = world
        .until(&app(name), "unknown", |app| {
            app["status"]["sync"]["status"] == "Unknown"
        })
        .await?;
    let conditions = seen["status"]["conditions"].as_array();
    let kinds: Vec<&str> = conditions
        .into_iter()
        .flatten()
        .filter_map(|one| one["type"].as_str())
        .collect();
    ensure!(kinds == ["ComparisonError"], "{kinds:?}");
    let at = &seen["status"]["sync"]["revision"];
    world.push(name, &[("broken.yaml", None)]).await?;
    world.compared(name, "Synced").await?;
    Ok(
        json!({"health": seen["status"]["health"]["status"], "revision": at == head.as_str(),
        "resources": seen["status"]["resources"].as_array().map(Vec::len)}),
    )
}

/// The parent is an Application whose objects are Applications. An added field is not its business, a missing one is.
pub async fn a_parent_puts_back_an_automated_that_was_taken_away_and_leaves_enabled_false(
    world: &World,
) -> Seen {
    let url = world.get(&app("disabled")).await?["spec"]["source"]["repoURL"].clone();
    let child = format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: child, namespace: argocd}}\nspec:\n  project: default\n  \
         source: {{repoURL: {url}, path: facts/disabled, targetRevision: main}}\n  \
         destination: {{server: \"https://kubernetes.default.svc\", namespace: {MADE}-child}}\n  \
         syncPolicy: {{automated: {{prune: true, selfHeal: true}}, syncOptions: [CreateNamespace=true]}}\n"
    );
    world
        .push("parent", &[("child.yaml", Some(&child))])
        .await?;
    let automated = json!({"syncPolicy": {"automated": {"prune": true, "selfHeal": true}}});
    world.make("parent", automated).await?;
    ended(world, "parent", "Synced").await?;
    world
        .until(&app("child"), "there", |app| {
            app["status"]["sync"]["status"] == "Synced"
        })
        .await?;
    let body = json!({"metadata": {"annotations": {NOTE: "{}"}}, "spec": {"syncPolicy": {"automated": {"enabled": false}}}});
    world.merge(&app("child"), body).await?;
    sleep(Duration::from_secs(2)).await;
    let parent = world.refresh("parent").await?;
    let frozen = world.get(&app("child")).await?;
    let policy = &frozen["spec"]["syncPolicy"]["automated"];
    ensure!(
        policy["enabled"] == false && note(&frozen) == "{}",
        "it was put back: {policy}"
    );
    let taken = json!([{"op": "remove", "path": "/spec/syncPolicy/automated"}]);
    world
        .edit
        .patch(&app("child"), "", PatchKind::Json, &taken)
        .await?;
    let back = world
        .until(&app("child"), "as declared", |app| {
            app["spec"]["syncPolicy"]["automated"].is_object()
        })
        .await?;
    Ok(
        json!({"parent": parent["status"]["sync"]["status"], "frozen": policy,
        "put back": back["spec"]["syncPolicy"]["automated"], "note": note(&back)}),
    )
}
