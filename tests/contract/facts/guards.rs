//! What guards, trials and owners come to: facts about the API server.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use http::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use trueup_lab::cluster::{Gvk, PatchKind, Ref};

use super::world::{World, answer, app, but_for_bookkeeping, config, owned, writers};

const LABEL: &str = "/metadata/labels";

type Seen = anyhow::Result<Value>;

async fn unchanged(world: &World, id: &Ref, before: &Value) -> anyhow::Result<()> {
    let after = world.get(id).await?;
    ensure!(
        but_for_bookkeeping(&after) == but_for_bookkeeping(before),
        "{} changed",
        id.name
    );
    Ok(())
}

pub async fn a_failed_test_in_a_json_patch_is_422_and_writes_nothing(world: &World) -> Seen {
    let mut seen = Vec::new();
    for id in [app("auth-service"), config("auth")] {
        let before = world.get(&id).await?;
        let patch = json!([{"op": "test", "path": "/metadata/resourceVersion", "value": "1"},
            {"op": "add", "path": LABEL, "value": {"x": "y"}}]);
        let said = answer(&world.json(&id, patch).await);
        ensure!(said == "422 Invalid", "{said}");
        unchanged(world, &id, &before).await?;
        seen.push(said);
    }
    Ok(json!(seen))
}

pub async fn an_old_version_in_a_merge_patch_is_409_and_writes_nothing(world: &World) -> Seen {
    let mut seen = Vec::new();
    for id in [app("auth-service"), config("auth")] {
        let before = world.get(&id).await?;
        let old = json!({"metadata": {"resourceVersion": "1", "labels": {"x": "y"}}});
        let said = answer(&world.us.patch(&id, "", PatchKind::Merge, &old).await);
        ensure!(said == "409 Conflict", "{said}");
        unchanged(world, &id, &before).await?;
        seen.push(said);
    }
    Ok(json!(seen))
}

pub async fn removing_what_is_not_there_is_422(world: &World) -> Seen {
    let patch = json!([{"op": "remove", "path": "/metadata/annotations/not-there"}]);
    let said = answer(&world.json(&config("auth"), patch).await);
    ensure!(said == "422 Invalid", "{said}");
    Ok(json!(said))
}

/// So `replace` guards nothing by itself: only `test` does.
pub async fn replacing_what_is_not_there_adds_it(world: &World) -> Seen {
    let patch = json!([{"op": "replace", "path": "/data/NOT_THERE", "value": "x"}]);
    let path = format!("{}?dryRun=All", path_of(&config("auth")));
    let done = world
        .us
        .send(
            Method::PATCH,
            &path,
            "application/json-patch+json",
            Some(&patch),
        )
        .await?;
    ensure!(done["data"]["NOT_THERE"] == "x", "it was not added");
    Ok(done["data"]["NOT_THERE"].clone())
}

fn path_of(id: &Ref) -> String {
    format!("/api/v1/namespaces/{}/configmaps/{}", id.namespace, id.name)
}

pub async fn another_uid_is_refused(world: &World) -> Seen {
    let uid = "11111111-2222-4333-8444-555555555555";
    let body = json!({"metadata": {"uid": uid, "labels": {"x": "y"}}});
    let merged = answer(
        &world
            .us
            .patch(&config("auth"), "", PatchKind::Merge, &body)
            .await,
    );
    let options =
        json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": uid}});
    let deleted = answer(
        &world
            .us
            .send(
                Method::DELETE,
                &path_of(&config("auth")),
                "application/json",
                Some(&options),
            )
            .await,
    );
    ensure!(
        merged == "422 Invalid" && deleted == "409 Conflict",
        "{merged}, {deleted}"
    );
    Ok(json!([merged, deleted]))
}

pub async fn a_dry_run_writes_nothing(world: &World) -> Seen {
    let id = config("auth");
    let before = world.get(&id).await?;
    let path = format!("{}?dryRun=All&fieldManager=trueup", path_of(&id));
    let body = json!({"data": {"TRIED": "x"}});
    let tried = world
        .us
        .send(
            Method::PATCH,
            &path,
            "application/merge-patch+json",
            Some(&body),
        )
        .await?;
    let after = world.get(&id).await?;
    ensure!(
        tried["data"]["TRIED"] == "x" && after == before,
        "it was written"
    );
    Ok(
        json!({"version stays": tried["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]}),
    )
}

pub async fn unknown_fields_of_an_application_fall_away(world: &World) -> Seen {
    let said = world
        .merge(&app("like-service"), json!({"spec": {"notThere": true}}))
        .await?;
    ensure!(said["spec"].get("notThere").is_none(), "it stayed");
    Ok(json!("200"))
}

pub async fn operation_null_in_a_json_patch_falls_away(world: &World) -> Seen {
    let patch = json!([{"op": "add", "path": "/operation", "value": null}]);
    let done = world.json(&app("like-service"), patch).await?;
    ensure!(done.get("operation").is_none(), "it stayed");
    Ok(json!("200"))
}

pub async fn a_write_without_effect_moves_nothing(world: &World) -> Seen {
    let id = config("like");
    let before = world.get(&id).await?;
    let same = world.merge(&id, json!({"data": before["data"]})).await?;
    ensure!(same == before, "something moved");
    Ok(json!({"version stays": true}))
}

/// A removal leaves no trace of who did it: who is asked later has nothing to go by.
pub async fn a_removed_key_leaves_no_owner(world: &World) -> Seen {
    let id = config("like");
    world
        .merge(&id, json!({"data": {"FOR_A_MOMENT": "x"}}))
        .await?;
    let patch = json!({"data": {"FOR_A_MOMENT": null}});
    let gone = world.edit.patch(&id, "", PatchKind::Merge, &patch).await?;
    ensure!(
        owned(&gone, "trueup").is_null(),
        "the one who added it is still there"
    );
    let names = writers(&gone);
    ensure!(
        !names.iter().any(|name| name.starts_with("kubectl-edit U")
            && owned(&gone, "kubectl-edit")["f:data"]
                .get("f:FOR_A_MOMENT")
                .is_some()),
        "{names:?}"
    );
    Ok(json!(names))
}

pub async fn managed_fields_can_be_backdated_by_an_update(world: &World) -> Seen {
    let id = config("like");
    let edited = world
        .merge(&id, json!({"data": {"BACKDATED": "x"}}))
        .await?;
    let mut object = edited.clone();
    let entries = object["metadata"]["managedFields"]
        .as_array_mut()
        .context("it has owners")?;
    for entry in entries
        .iter_mut()
        .filter(|entry| entry["manager"] == "trueup")
    {
        entry["time"] = json!("2026-01-01T00:00:00Z");
    }
    world
        .us
        .send(
            Method::PUT,
            &path_of(&id),
            "application/json",
            Some(&object),
        )
        .await?;
    let found = world.get(&id).await?;
    let entries = found["metadata"]["managedFields"].as_array();
    let time = entries
        .into_iter()
        .flatten()
        .find(|entry| entry["manager"] == "trueup")
        .map(|entry| entry["time"].clone());
    ensure!(time == Some(json!("2026-01-01T00:00:00Z")), "{time:?}");
    world
        .merge(&id, json!({"data": {"BACKDATED": null}}))
        .await?;
    Ok(json!(time))
}

pub async fn a_conflict_of_a_forceless_apply_names_the_owner(world: &World) -> Seen {
    let id = config("auth");
    let before = world.get(&id).await?;
    let key = before["data"]
        .as_object()
        .and_then(|data| data.keys().next())
        .context("it has data")?
        .clone();
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": id.name}, "data": {key: "other"}});
    let path = format!("{}?fieldManager=trueup&dryRun=All", path_of(&id));
    let said = world
        .us
        .send(
            Method::PATCH,
            &path,
            "application/apply-patch+yaml",
            Some(&body),
        )
        .await;
    let Err(trueup_lab::cluster::ApiError::Status { code, message, .. }) = said else {
        anyhow::bail!("it was not refused");
    };
    ensure!(
        code == 409 && message.contains("conflict with"),
        "{code} {message}"
    );
    Ok(json!(message))
}

pub async fn a_watch_from_long_ago_ends_with_410(world: &World) -> Seen {
    let path = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications?watch=true&resourceVersion=1&timeoutSeconds=5";
    let event = world.us.send(Method::GET, path, "", None).await?;
    ensure!(
        event["type"] == "ERROR" && event["object"]["code"] == 410,
        "{event}"
    );
    Ok(json!([
        event["type"],
        event["object"]["code"],
        event["object"]["reason"]
    ]))
}

pub async fn an_access_review_says_what_a_write_will_say(world: &World) -> Seen {
    let ask = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes":
        {"verb": "patch", "resource": "configmaps", "namespace": "auth", "name": "auth-config"}}});
    let review = world
        .reader
        .send(
            Method::POST,
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            "application/json",
            Some(&ask),
        )
        .await?;
    let body = json!({"metadata": {"labels": {"x": "y"}}});
    let said = answer(
        &world
            .reader
            .patch(&config("auth"), "", PatchKind::Merge, &body)
            .await,
    );
    ensure!(
        review["status"]["allowed"] == false && said == "403 Forbidden",
        "{review} {said}"
    );
    Ok(json!([review["status"]["allowed"], said]))
}

pub async fn a_token_of_a_deleted_account_is_refused(world: &World) -> Seen {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "leaver", "namespace": "argocd"}});
    world.us.create(&account).await?;
    let token = world.us.service_account_token("argocd", "leaver").await?;
    let ask = |token: String| async move {
        let request = http::Request::get("/api/v1/namespaces/argocd/configmaps/argocd-cm")
            .header("authorization", format!("Bearer {token}"))
            .body(kube::client::Body::empty())?;
        anyhow::Ok(world.nobody.send(request).await?.status().as_u16())
    };
    let before = ask(token.clone()).await?;
    let id = Ref::new(Gvk::new("", "v1", "ServiceAccount"), "argocd", "leaver");
    world.us.delete(&id, "Background").await?;
    // A server may remember a good token for ten seconds.
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut after = ask(token.clone()).await?;
    while after != 401 && Instant::now() < deadline {
        sleep(Duration::from_millis(200)).await;
        after = ask(token.clone()).await?;
    }
    ensure!(before == 403 && after == 401, "{before}, then {after}");
    Ok(json!([before, after]))
}

/// Nobody has it twice, whether it is made or taken over.
pub async fn of_two_who_take_a_lease_at_once_one_is_refused(world: &World) -> Seen {
    let lease = |holder: &str| {
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "trueup-inc", "namespace": "argocd"},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 60, "renewTime": "2026-01-01T00:00:00.000000Z"}})
    };
    let found = world.us.create(&lease("jo")).await?;
    let created = answer(&world.us.create(&lease("kim")).await);
    let taken = |holder: &str| {
        let mut body = found.clone();
        body["spec"]["holderIdentity"] = json!(holder);
        body
    };
    let first = answer(&world.us.replace(&taken("kim")).await);
    let second = answer(&world.us.replace(&taken("lou")).await);
    ensure!(
        created == "409 AlreadyExists" && first == "200" && second == "409 Conflict",
        "{created}, {first}, {second}"
    );
    Ok(json!([created, first, second]))
}

/// So a watch that is over its time is a broken one, and one that goes on where it ended has missed nothing. A bookmark comes only where something
/// of the kind moved meanwhile: that none comes says nothing.
pub async fn a_watch_brings_what_came_after_the_list_then_a_bookmark_and_ends_in_time(
    world: &World,
) -> Seen {
    let path = "/api/v1/namespaces/like/configmaps";
    let list = world.us.send(Method::GET, path, "", None).await?;
    let from = &list["metadata"]["resourceVersion"];
    let from = from.as_str().context("a list has a version")?;
    let note = async |text: Value| {
        let body = json!({"metadata": {"annotations": {"noted": text}}});
        world.merge(&config("like"), body).await
    };
    let first = note(json!("x")).await?;
    let uri =
        format!("{path}?watch=1&allowWatchBookmarks=true&timeoutSeconds=5&resourceVersion={from}");
    let began = Instant::now();
    let client = world.us.client();
    let request = http::Request::get(uri).body(Vec::new())?;
    let (text, second) = tokio::join!(client.request_text(request), async {
        sleep(Duration::from_secs(1)).await;
        note(Value::Null).await
    });
    let (text, second, lasted) = (text?, second?, began.elapsed());
    let events = text.lines().map(serde_json::from_str::<Value>);
    let events: Vec<Value> = events.collect::<Result<_, _>>()?;
    let version = |object: &Value| {
        let text = object["metadata"]["resourceVersion"].as_str();
        text.and_then(|text| text.parse::<u64>().ok())
    };
    let mut kinds: Vec<&Value> = events.iter().map(|event| &event["type"]).collect();
    kinds.dedup();
    let last = events.last().context("it brought something")?;
    ensure!(
        kinds == ["MODIFIED", "BOOKMARK"]
            && [&events[0]["object"], &events[1]["object"]] == [&first, &second]
            && version(&last["object"]) >= version(&second),
        "{text}"
    );
    ensure!(
        (Duration::from_secs(4)..Duration::from_secs(8)).contains(&lasted),
        "it lasted {lasted:?}"
    );
    Ok(json!(kinds))
}
