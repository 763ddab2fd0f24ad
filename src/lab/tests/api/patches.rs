//! The four patch formats and what they refuse.

use serde_json::{Value, json};

use super::client::{APPS, CM, DEPLOY, Lab, MERGE, PATCH, STRATEGIC, application, deployment};

#[tokio::test]
async fn each_format_changes_what_it_says() {
    let lab = Lab::start().await;
    let table: [(&str, Value, Value); 5] = [
        (
            MERGE,
            json!({"data": {"a": null, "n": "1"}}),
            json!({"b": "2", "n": "1"}),
        ),
        (
            PATCH,
            json!([{"op": "replace", "path": "/data/a", "value": "9"}]),
            json!({"a": "9", "b": "2"}),
        ),
        (
            PATCH,
            json!([{"op": "test", "path": "/data/a", "value": "1"}, {"op": "remove", "path": "/data/b"}]),
            json!({"a": "1"}),
        ),
        (
            STRATEGIC,
            json!({"data": {"$patch": "replace", "z": "0"}}),
            json!({"z": "0"}),
        ),
        (STRATEGIC, json!({"data": {"b": null}}), json!({"a": "1"})),
    ];
    for (at, (media, patch, expected)) in table.into_iter().enumerate() {
        let name = format!("c{at}");
        lab.config_map(&name, json!({"a": "1", "b": "2"})).await;
        let (code, object) = lab
            .send("PATCH", &format!("{CM}/{name}"), media, patch.clone())
            .await;
        assert_eq!((code, &object["data"]), (200, &expected), "{media} {patch}");
    }
}

#[tokio::test]
async fn strategic_merge_knows_the_keys_of_lists() {
    let lab = Lab::start().await;
    let containers = json!([
        {"name": "api", "image": "api:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}], "args": ["x", "y"],
         "ports": [{"containerPort": 80}]},
        {"name": "side", "image": "side:1"}]);
    lab.post(DEPLOY, deployment("d", containers)).await;
    let patch = json!({"spec": {"template": {"spec": {
        "$setElementOrder/containers": [{"name": "side"}, {"name": "api"}],
        "containers": [{"name": "api", "$setElementOrder/env": [{"name": "C"}, {"name": "B"}], "args": ["z"],
            "env": [{"name": "A", "$patch": "delete"}, {"name": "C", "value": "3"}], "ports": [{"containerPort": 81}]}]}}}});
    let (code, object) = lab
        .send("PATCH", &format!("{DEPLOY}/d"), STRATEGIC, patch)
        .await;
    assert_eq!(code, 200, "{object}");
    let containers = &object["spec"]["template"]["spec"]["containers"];
    assert_eq!(containers[0]["name"], "side");
    assert_eq!(
        containers[1]["env"],
        json!([{"name": "C", "value": "3"}, {"name": "B", "value": "2"}])
    );
    assert_eq!(containers[1]["args"], json!(["z"]));
    assert_eq!(containers[1]["ports"].as_array().unwrap().len(), 2);
    // retainKeys: changing the strategy's type drops what the patch does not list.
    let patch = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
    let (_, object) = lab
        .send("PATCH", &format!("{DEPLOY}/d"), STRATEGIC, patch)
        .await;
    assert_eq!(object["spec"]["strategy"], json!({"type": "Recreate"}));
}

#[tokio::test]
async fn refusals_carry_the_real_codes_and_words() {
    let lab = Lab::start().await.with_argocd().await;
    let made = lab.config_map("c", json!({"a": "1"})).await;
    lab.post(APPS, application("auth")).await;
    let stale = json!({"metadata": {"resourceVersion": "1"}, "data": {"a": "2"}});
    let cm = format!("{CM}/c");
    let app = format!("{APPS}/auth");
    let strict = format!("{app}?fieldValidation=Strict");
    let table: Vec<(&str, &str, Value, u16, &str, &str)> = vec![
        (
            &cm,
            PATCH,
            json!([{"op": "test", "path": "/data/a", "value": "x"}]),
            422,
            "Invalid",
            "the server rejected our request due to an error in our request",
        ),
        (
            &cm,
            PATCH,
            json!([{"op": "remove", "path": "/data/none"}]),
            422,
            "Invalid",
            "the server rejected our request",
        ),
        (
            &cm,
            MERGE,
            stale,
            409,
            "Conflict",
            "Operation cannot be fulfilled on configmaps \"c\": the object has been modified; please apply your changes to the latest version and try again",
        ),
        (
            &cm,
            MERGE,
            json!({"metadata": {"uid": "x"}}),
            422,
            "Invalid",
            "metadata.uid: Invalid value: \"x\": field is immutable",
        ),
        (
            &cm,
            "text/plain",
            json!({}),
            415,
            "UnsupportedMediaType",
            "415: Unsupported Media Type",
        ),
        (
            &cm,
            MERGE,
            json!({"data": {"a": 5}}),
            422,
            "Invalid",
            "patch: Invalid value: ",
        ),
        (
            &app,
            STRATEGIC,
            json!({"spec": {}}),
            415,
            "UnsupportedMediaType",
            "application/apply-patch+yaml",
        ),
        (
            &app,
            MERGE,
            json!({"spec": {"destination": null}}),
            422,
            "Invalid",
            "Application.argoproj.io \"auth\" is invalid: spec.destination: Required value",
        ),
        (
            &strict,
            MERGE,
            json!({"spec": {"sync": {}}}),
            422,
            "Invalid",
            "strict decoding error: unknown field \"spec.sync\"",
        ),
        (
            &cm,
            "application/apply-patch+yaml",
            json!({}),
            422,
            "Invalid",
            "fieldManager: Required value",
        ),
    ];
    for (path, media, body, code, reason, words) in table {
        let (have, status) = lab.send("PATCH", path, media, body.clone()).await;
        let message = status["message"].as_str().unwrap_or("");
        assert_eq!(
            (have, status["reason"].as_str().unwrap_or("")),
            (code, reason),
            "{body}: {status}"
        );
        assert!(message.contains(words), "{body}: {message}");
        assert_eq!(
            (&status["kind"], &status["code"]),
            (&json!("Status"), &json!(code))
        );
    }
    // Nulls of fields that may not be null are dropped and no reason to refuse, whatever the schema says.
    let null = json!([{"op": "add", "path": "/operation", "value": null}]);
    let (have, patched) = lab.send("PATCH", &app, PATCH, null).await;
    assert_eq!((have, patched.get("operation")), (200, None), "{patched}");
    assert_eq!(
        lab.get(&cm).await.1,
        made,
        "a refused write changes nothing"
    );
    let (code, status) = lab.get(&format!("{APPS}/none")).await;
    assert_eq!(code, 404);
    assert_eq!(
        status["message"],
        "applications.argoproj.io \"none\" not found"
    );
    assert_eq!(
        status["details"],
        json!({"name": "none", "group": "argoproj.io", "kind": "applications"})
    );
    assert_eq!(lab.get("/api/v1/nodes").await.0, 404);
    assert_eq!(lab.get("/api/v1/namespaces/shop/pods/p/log").await.0, 501);
    assert_eq!(
        lab.send("POST", &cm, "application/json", json!({})).await.0,
        405
    );
}

#[tokio::test]
async fn unknown_fields_are_pruned_with_a_warning_and_free_form_is_kept() {
    let lab = Lab::start().await.with_argocd().await;
    let mut app = application("auth");
    app["spec"]["source"]["helm"] = json!({"valuesObject": {"deep": {"list": [1, {"x": null}]}}});
    app["spec"]["typo"] = json!(1);
    let (code, object) = lab.post(APPS, app).await;
    assert_eq!(code, 201, "{object}");
    assert!(object["spec"].get("typo").is_none());
    assert_eq!(
        object["spec"]["source"]["helm"]["valuesObject"]["deep"]["list"][0],
        1
    );
    assert_eq!(object["metadata"]["generation"], 1);
    // No status subresource: status is part of the object and moves the generation.
    let patch = json!({"status": {"sync": {"status": "Synced"}}});
    let (_, object) = lab
        .send("PATCH", &format!("{APPS}/auth"), MERGE, patch.clone())
        .await;
    assert_eq!(
        (
            &object["status"]["sync"]["status"],
            &object["metadata"]["generation"]
        ),
        (&json!("Synced"), &json!(2))
    );
    assert_eq!(
        lab.send("PATCH", &format!("{APPS}/auth/status"), MERGE, patch)
            .await
            .0,
        404
    );
}

#[tokio::test]
async fn dry_runs_answer_and_store_nothing() {
    let lab = Lab::start().await;
    let before = lab.config_map("c", json!({"a": "1"})).await;
    let (code, object) = lab
        .send(
            "PATCH",
            &format!("{CM}/c?dryRun=All"),
            MERGE,
            json!({"data": {"a": "2"}}),
        )
        .await;
    assert_eq!((code, &object["data"]["a"]), (200, &json!("2")));
    assert_eq!(
        object["metadata"]["resourceVersion"],
        before["metadata"]["resourceVersion"]
    );
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "3"}});
    let (code, object) = lab
        .apply(&format!("{CM}/new"), "x&dryRun=All", false, body)
        .await;
    assert_eq!(code, 201, "{object}");
    assert_eq!(lab.get(&format!("{CM}/new")).await.0, 404);
    assert_eq!(
        lab.send(
            "DELETE",
            &format!("{CM}/c?dryRun=All"),
            "application/json",
            Value::Null
        )
        .await
        .0,
        200
    );
    let (_, after) = lab.get(&format!("{CM}/c")).await;
    assert_eq!(after, before);
    let (_, list) = lab.get(CM).await;
    assert_eq!(
        list["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"],
        "the counter stands still"
    );
}

#[tokio::test]
async fn odd_bodies_are_refused_and_hurt_nobody() {
    let lab = Lab::start().await.with_argocd().await;
    lab.config_map("c", json!({"a": "1"})).await;
    lab.post(APPS, application("auth")).await;
    let apply = "application/apply-patch+yaml";
    let odd = [
        json!([]),
        json!("x"),
        json!(3),
        json!({"metadata": "x"}),
        json!({"metadata": {"name": 5}}),
        json!({"metadata": {"labels": [1], "managedFields": "x"}}),
        json!({"spec": [], "data": [], "status": 4}),
        json!([{"op": "replace", "path": "", "value": 7}]),
        json!([{"op": "remove", "path": "/metadata"}]),
        json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": [], "spec": []}),
    ];
    for body in odd {
        for path in [
            format!("{CM}/c"),
            format!("{APPS}/auth"),
            format!("{DEPLOY}/none/scale"),
        ] {
            for media in [MERGE, PATCH, STRATEGIC, apply] {
                let (code, answer) = lab
                    .send(
                        "PATCH",
                        &format!("{path}?fieldManager=x"),
                        media,
                        body.clone(),
                    )
                    .await;
                assert!(
                    (200..=500).contains(&code),
                    "{media} {path} {body}: {code} {answer}"
                );
            }
        }
        for path in [
            CM,
            APPS,
            DEPLOY,
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        ] {
            let (code, answer) = lab.post(path, body.clone()).await;
            assert!((400..500).contains(&code), "{path} {body}: {code} {answer}");
        }
    }
    assert_eq!(lab.get(&format!("{CM}/c")).await.0, 200);
    assert_eq!(
        lab.get(&format!("{APPS}/auth")).await.1["spec"]["project"],
        "default"
    );
}
