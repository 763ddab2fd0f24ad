//! `spec.ignoreDifferences`: what it hides, and what a sync does to it.

use anyhow::ensure;
use serde_json::{Value, json};
use trueup_lab::cluster::{Gvk, PatchKind, Ref};

use super::world::{MADE, World, app, manifest, map};

type Seen = anyhow::Result<Value>;

const NAME: &str = "ignoring";

fn deployment() -> Ref {
    Ref::new(Gvk::new("apps", "v1", "Deployment"), MADE, NAME)
}

fn workload(first: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {NAME}}}\nspec:\n  replicas: 0\n  selector: {{matchLabels: {{app: x}}}}\n  \
         template:\n    metadata: {{labels: {{app: x}}}}\n    spec:\n      containers:\n      - {{name: x, image: \"x:1\", env: [{{name: A, value: \"{first}\"}}]}}\n"
    )
}

async fn sync(world: &World, options: Value) -> anyhow::Result<Value> {
    let revision = world.revision(NAME).await?;
    let sync = json!({"revision": revision, "syncStrategy": {"hook": {}}, "syncOptions": options});
    world.sync(NAME, sync).await
}

async fn by_hand(world: &World) -> anyhow::Result<()> {
    world
        .edit(&map(NAME), json!({"a": "9", "b": null, "c": "9"}))
        .await?;
    let container = json!({"name": "x", "env": [{"name": "A", "value": "9"}]});
    let body = json!({"spec": {"paused": true, "template": {"spec": {"containers": [container]}}}});
    world
        .edit
        .patch(&deployment(), "", PatchKind::Strategic, &body)
        .await?;
    Ok(())
}

async fn live(world: &World) -> anyhow::Result<Value> {
    let (map, deployment) = (
        world.get(&map(NAME)).await?,
        world.get(&deployment()).await?,
    );
    Ok(
        json!({"data": map["data"], "paused": deployment["spec"]["paused"],
        "env": deployment["spec"]["template"]["spec"]["containers"][0]["env"]}),
    )
}

/// A rule that leaves the group out is about the core group alone.
pub async fn what_is_ignored_is_not_compared_and_a_rule_without_a_group_is_about_the_core_group(
    world: &World,
) -> Seen {
    let files = [
        (
            "map.yaml",
            Some(manifest(NAME, "a: \"1\", b: \"2\", c: \"3\"")),
        ),
        ("deployment.yaml", Some(workload("1"))),
    ];
    let files: Vec<(&str, Option<&str>)> = files
        .iter()
        .map(|(file, text)| (*file, text.as_deref()))
        .collect();
    world.push(NAME, &files).await?;
    let env = "/spec/template/spec/containers/0/env/0/value";
    let rules = json!([
        {"kind": "ConfigMap", "jsonPointers": ["/data/a", "/data/b", "/data/c"]},
        {"kind": "Deployment", "jsonPointers": [env]},
    ]);
    world
        .make(NAME, json!({"ignoreDifferences": rules}))
        .await?;
    sync(world, json!([])).await?;
    by_hand(world).await?;
    let seen = world.compared(NAME, "OutOfSync").await?;
    let statuses: Vec<Value> = seen["status"]["resources"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| json!([one["kind"], one["status"]]))
        .collect();
    ensure!(
        statuses
            == [
                json!(["ConfigMap", "Synced"]),
                json!(["Deployment", "OutOfSync"])
            ],
        "{statuses:?}"
    );
    Ok(json!(statuses))
}

pub async fn a_sync_overwrites_what_is_only_ignored(world: &World) -> Seen {
    sync(world, json!([])).await?;
    let seen = live(world).await?;
    ensure!(
        seen["data"] == json!({"a": "1", "b": "2", "c": "3"}) && seen["env"][0]["value"] == "1",
        "{seen}"
    );
    Ok(seen)
}

/// As it is live: another value, none at all, or a value in a list.
pub async fn with_respect_ignore_differences_a_sync_leaves_what_is_ignored(world: &World) -> Seen {
    let env = "/spec/template/spec/containers/0/env/0/value";
    let rules = json!([
        {"kind": "ConfigMap", "jsonPointers": ["/data/a", "/data/b"]},
        {"group": "apps", "kind": "Deployment", "jsonPointers": [env]},
    ]);
    world
        .merge(&app(NAME), json!({"spec": {"ignoreDifferences": rules}}))
        .await?;
    by_hand(world).await?;
    sync(world, json!(["RespectIgnoreDifferences=true"])).await?;
    let seen = live(world).await?;
    ensure!(
        seen["data"] == json!({"a": "9", "c": "3"}) && seen["env"][0]["value"] == "9",
        "{seen}"
    );
    Ok(seen)
}
