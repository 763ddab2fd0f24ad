//! Deletion, ownership between objects, namespaces, limits and immutability.

use serde_json::{Value, json};

use super::client::{APPS, CM, DEPLOY, JSON, Lab, MERGE, application, config_map, deployment};

#[tokio::test]
async fn finalizers_hold_an_object_until_the_last_is_gone() {
    let lab = Lab::start().await.with_argocd().await;
    let mut app = application("auth");
    app["metadata"]["finalizers"] = json!(["resources-finalizer.argocd.argoproj.io"]);
    lab.post(APPS, app).await;
    let path = format!("{APPS}/auth");
    let (code, object) = lab.send("DELETE", &path, JSON, Value::Null).await;
    assert_eq!(code, 200);
    assert!(
        object["metadata"]["deletionTimestamp"].is_string(),
        "{object}"
    );
    let (code, _) = lab
        .send(
            "PATCH",
            &path,
            MERGE,
            json!({"metadata": {"finalizers": ["a/b", "c/d"]}}),
        )
        .await;
    assert_eq!(code, 422, "none may be added now");
    lab.send(
        "PATCH",
        &path,
        MERGE,
        json!({"metadata": {"finalizers": null}}),
    )
    .await;
    assert_eq!(lab.get(&path).await.0, 404);
}

#[tokio::test]
async fn dependents_follow_their_owner_unless_orphaned() {
    let lab = Lab::start().await;
    for (name, policy, left) in [
        ("a", "Background", 404),
        ("b", "Foreground", 404),
        ("c", "Orphan", 200),
    ] {
        let (_, owner) = lab
            .post(
                DEPLOY,
                deployment(name, json!([{"name": "x", "image": "x:1"}])),
            )
            .await;
        let mut child = config_map(name, json!({}));
        child["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": owner["metadata"]["uid"]}]);
        lab.post(CM, child).await;
        let wrong = json!({"preconditions": {"uid": "other"}});
        assert_eq!(
            lab.send("DELETE", &format!("{DEPLOY}/{name}"), JSON, wrong)
                .await
                .0,
            409
        );
        lab.send(
            "DELETE",
            &format!("{DEPLOY}/{name}"),
            JSON,
            json!({"propagationPolicy": policy}),
        )
        .await;
        assert_eq!(
            lab.get(&format!("{DEPLOY}/{name}")).await.0,
            404,
            "{policy}"
        );
        assert_eq!(lab.get(&format!("{CM}/{name}")).await.0, left, "{policy}");
    }
}

#[tokio::test]
async fn a_namespace_takes_its_content_along() {
    let lab = Lab::start().await;
    let mut held = config_map("held", json!({}));
    held["metadata"]["finalizers"] = json!(["x/y"]);
    lab.post(CM, held).await;
    lab.config_map("free", json!({})).await;
    let (_, namespace) = lab
        .send("DELETE", "/api/v1/namespaces/shop", JSON, Value::Null)
        .await;
    assert_eq!(namespace["status"]["phase"], "Terminating");
    assert_eq!(lab.get(&format!("{CM}/free")).await.0, 404);
    let (code, status) = lab.post(CM, config_map("late", json!({}))).await;
    assert_eq!(code, 403, "{status}");
    lab.send(
        "PATCH",
        &format!("{CM}/held"),
        MERGE,
        json!({"metadata": {"finalizers": null}}),
    )
    .await;
    assert_eq!(lab.get("/api/v1/namespaces/shop").await.0, 404);
    let (code, status) = lab.post(CM, config_map("late", json!({}))).await;
    assert_eq!(
        (code, &status["message"]),
        (404, &json!("namespaces \"shop\" not found"))
    );
}

#[tokio::test]
async fn limits_and_immutable_fields_are_kept() {
    let lab = Lab::start().await;
    let big = |size: usize| config_map("big", json!({"a": "x".repeat(size)}));
    assert_eq!(lab.post(CM, big(1_048_577)).await.0, 422);
    assert_eq!(lab.post(CM, big(4 * 1024 * 1024)).await.0, 413);
    let mut fixed = config_map("fixed", json!({"a": "1"}));
    fixed["immutable"] = json!(true);
    lab.post(CM, fixed).await;
    let (code, status) = lab
        .send(
            "PATCH",
            &format!("{CM}/fixed"),
            MERGE,
            json!({"data": {"a": "2"}}),
        )
        .await;
    assert_eq!(
        (code, &status["details"]["causes"][0]["field"]),
        (422, &json!("data"))
    );
    lab.post(
        DEPLOY,
        deployment("d", json!([{"name": "x", "image": "x:1"}])),
    )
    .await;
    let patch = json!({"spec": {"selector": {"matchLabels": {"app": "other"}}, "template": {"metadata": {"labels": {"app": "other"}}}}});
    let (code, status) = lab
        .send("PATCH", &format!("{DEPLOY}/d"), MERGE, patch)
        .await;
    assert_eq!(code, 422);
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("spec.selector"),
        "{status}"
    );
    assert_eq!(lab.post(CM, config_map("Bad_Name", json!({}))).await.0, 422);
    assert_eq!(
        lab.post(CM, config_map("fixed", json!({}))).await.1["reason"],
        "AlreadyExists"
    );
    let mut generated = config_map("", json!({}));
    generated["metadata"] = json!({"generateName": "run-"});
    assert!(
        lab.post(CM, generated).await.1["metadata"]["name"]
            .as_str()
            .unwrap()
            .len()
            > 4
    );
}
