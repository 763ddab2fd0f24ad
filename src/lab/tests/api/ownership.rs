//! managedFields: who is recorded, what moves a time, what an applier may take away.

use serde_json::{Value, json};

use super::client::{CM, DEPLOY, Lab, MERGE, PATCH, config_map, deployment, entry};

#[tokio::test]
async fn updates_own_what_they_change_and_deletions_leave_no_trace() {
    let lab = Lab::start().await;
    lab.config_map("c", json!({"a": "1", "b": "2"})).await;
    let path = format!("{CM}/c?fieldManager=editor");
    let (_, object) = lab
        .send("PATCH", &path, MERGE, json!({"data": {"a": "9", "b": "2"}}))
        .await;
    assert_eq!(
        entry(&object, "maker")["fieldsV1"],
        json!({"f:data": {".": {}, "f:b": {}}})
    );
    assert_eq!(
        entry(&object, "editor")["fieldsV1"],
        json!({"f:data": {"f:a": {}}}),
        "an unchanged value is not taken"
    );
    assert_eq!(entry(&object, "editor")["operation"], "Update");
    let (_, object) = lab
        .send(
            "PATCH",
            &format!("{CM}/c?fieldManager=remover"),
            MERGE,
            json!({"data": {"a": null}}),
        )
        .await;
    assert!(entry(&object, "remover").is_null() && entry(&object, "editor").is_null());
    // Without the parameter the manager is the user agent up to its slash.
    let (_, object) = lab
        .send(
            "PATCH",
            &format!("{CM}/c"),
            MERGE,
            json!({"data": {"z": "1"}}),
        )
        .await;
    assert_eq!(entry(&object, "tester")["apiVersion"], "v1");
}

#[tokio::test]
async fn a_put_may_write_the_past() {
    let lab = Lab::start().await;
    let mut object = lab.config_map("c", json!({"a": "1", "b": "2"})).await;
    let past = json!([
        {"manager": "argocd-controller", "operation": "Update", "apiVersion": "v1", "time": "2026-01-02T03:04:05Z",
         "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {".": {}, "f:b": {}}}},
        {"manager": "kubectl-edit", "operation": "Update", "apiVersion": "v1", "time": "2026-03-02T03:04:05Z",
         "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:a": {}}}}]);
    object["metadata"]["managedFields"] = past.clone();
    let (code, stored) = lab.put(&format!("{CM}/c"), object).await;
    assert_eq!((code, &stored["metadata"]["managedFields"]), (200, &past));
    // Another manager's later write leaves the old entry's time alone.
    let (_, stored) = lab
        .send(
            "PATCH",
            &format!("{CM}/c?fieldManager=x"),
            MERGE,
            json!({"data": {"a": "5"}}),
        )
        .await;
    assert_eq!(
        entry(&stored, "argocd-controller")["time"],
        "2026-01-02T03:04:05Z"
    );
    assert!(entry(&stored, "kubectl-edit").is_null());
    // An empty list keeps what is there; a list with one empty entry resets it.
    let (_, stored) = lab
        .send(
            "PATCH",
            &format!("{CM}/c"),
            MERGE,
            json!({"metadata": {"managedFields": []}}),
        )
        .await;
    assert_eq!(
        entry(&stored, "argocd-controller")["time"],
        "2026-01-02T03:04:05Z"
    );
    let reset = json!([{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]);
    let (_, stored) = lab.send("PATCH", &format!("{CM}/c"), PATCH, reset).await;
    assert!(
        stored["metadata"].get("managedFields").is_none(),
        "{stored}"
    );
}

#[tokio::test]
async fn a_write_without_effect_moves_nothing() {
    let lab = Lab::start().await;
    let before = lab.config_map("c", json!({"a": "1"})).await;
    for (media, body) in [
        (MERGE, json!({"data": {"a": "1"}})),
        (
            PATCH,
            json!([{"op": "replace", "path": "/data/a", "value": "1"}]),
        ),
    ] {
        let (code, after) = lab
            .send("PATCH", &format!("{CM}/c?fieldManager=other"), media, body)
            .await;
        assert_eq!((code, &after), (200, &before));
    }
    assert_eq!(lab.put(&format!("{CM}/c"), before.clone()).await.1, before);
}

#[tokio::test]
async fn appliers_conflict_share_and_let_go() {
    let lab = Lab::start().await;
    let path = format!("{CM}/c");
    let (code, _) = lab
        .apply(
            &path,
            "one",
            false,
            config_map("c", json!({"a": "1", "b": "2"})),
        )
        .await;
    assert_eq!(code, 201);
    let (code, status) = lab
        .apply(
            &path,
            "two",
            false,
            config_map("c", json!({"a": "9", "b": "8"})),
        )
        .await;
    assert_eq!((code, &status["reason"]), (409, &json!("Conflict")));
    assert_eq!(
        status["message"],
        "Apply failed with 2 conflicts: conflicts with \"one\":\n- .data.a\n- .data.b"
    );
    assert_eq!(
        status["details"]["causes"][0],
        json!({"reason": "FieldManagerConflict", "message": "conflict with \"one\"", "field": ".data.a"})
    );
    // Same values: co-owner, and no time, because nothing changed (kubernetes#127938).
    let (code, object) = lab
        .apply(&path, "two", false, config_map("c", json!({"a": "1"})))
        .await;
    assert_eq!(code, 200);
    assert!(
        entry(&object, "two").get("time").is_none() && !entry(&object, "one")["time"].is_null()
    );
    // One lets both go: the shared key stays, the other is removed.
    let (_, object) = lab
        .apply(
            &path,
            "one",
            false,
            json!({"apiVersion": "v1", "kind": "ConfigMap"}),
        )
        .await;
    assert_eq!(object["data"], json!({"a": "1"}));
    assert!(entry(&object, "one").is_null());
    // An Update conflicts by its version; force takes the field.
    lab.send(
        "PATCH",
        &format!("{path}?fieldManager=kubectl-edit"),
        MERGE,
        json!({"data": {"a": "7"}}),
    )
    .await;
    let (_, status) = lab
        .apply(&path, "two", false, config_map("c", json!({"a": "1"})))
        .await;
    assert_eq!(
        status["message"],
        "Apply failed with 1 conflict: conflict with \"kubectl-edit\" using v1: .data.a"
    );
    let (_, object) = lab
        .apply(&path, "two", true, config_map("c", json!({"a": "1"})))
        .await;
    assert_eq!(object["data"]["a"], "1");
    assert!(entry(&object, "kubectl-edit").is_null());
}

fn ports(list: &Value) -> Vec<i64> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(|p| p["containerPort"].as_i64())
        .collect()
}

#[tokio::test]
async fn keyed_items_belong_to_everybody_who_lists_them() {
    let lab = Lab::start().await;
    let path = format!("{DEPLOY}/d");
    let api = |ports: Value, extra: Value| {
        let mut list = vec![json!({"name": "api", "image": "api:1", "ports": ports})];
        list.extend(extra.as_array().cloned().unwrap_or_default());
        deployment("d", Value::Array(list))
    };
    let side = json!([{"name": "side", "image": "side:1"}]);
    lab.apply(
        &path,
        "one",
        false,
        api(json!([{"containerPort": 80}, {"containerPort": 81}]), side),
    )
    .await;
    let two = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": {"spec": {"containers": [
        {"name": "api", "ports": [{"containerPort": 81, "protocol": "TCP"}, {"containerPort": 90}]}]}}}});
    let (code, object) = lab.apply(&path, "two", false, two.clone()).await;
    assert_eq!(code, 200, "{object}");
    let container = |object: &Value| object["spec"]["template"]["spec"]["containers"][0].clone();
    assert_eq!(ports(&container(&object)["ports"]), [80, 81, 90]);
    // One lists 80 only and drops the sidecar: 81 is still two's, the sidecar goes with its defaulted fields.
    let (_, object) = lab
        .apply(
            &path,
            "one",
            false,
            api(json!([{"containerPort": 80}]), json!([])),
        )
        .await;
    assert_eq!(ports(&container(&object)["ports"]), [80, 81, 90]);
    assert_eq!(
        object["spec"]["template"]["spec"]["containers"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(object["metadata"]["generation"], 3);
    // Two leaves: 81 and 90 go, 80 and the container stay.
    let empty = json!({"apiVersion": "apps/v1", "kind": "Deployment"});
    let (_, object) = lab.apply(&path, "two", false, empty).await;
    assert_eq!(ports(&container(&object)["ports"]), [80]);
    assert_eq!(container(&object)["imagePullPolicy"], "IfNotPresent");
    let twice = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": {"spec": {"containers": [
        {"name": "api", "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}]}}}});
    let (code, status) = lab.apply(&path, "two", false, twice).await;
    assert_eq!(code, 500, "{status}");
}

#[tokio::test]
async fn defaults_are_filled_and_owned_as_the_real_server_does() {
    let lab = Lab::start().await;
    let container = json!([{"name": "api", "image": "api", "ports": [{"containerPort": 80}],
        "resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}, "requests": {"cpu": 0.5, "memory": "1.5Gi"}},
        "readinessProbe": {"httpGet": {"port": 80}}, "env": []}]);
    let (_, object) = lab
        .post(
            &format!("{DEPLOY}?fieldManager=maker"),
            deployment("d", container),
        )
        .await;
    let spec = &object["spec"];
    assert_eq!(
        (
            &spec["replicas"],
            &spec["revisionHistoryLimit"],
            &spec["progressDeadlineSeconds"]
        ),
        (&json!(1), &json!(10), &json!(600))
    );
    assert_eq!(
        spec["strategy"]["rollingUpdate"],
        json!({"maxUnavailable": "25%", "maxSurge": "25%"})
    );
    let pod = &spec["template"]["spec"];
    assert_eq!(
        (&pod["dnsPolicy"], &pod["securityContext"]),
        (&json!("ClusterFirst"), &json!({}))
    );
    let container = &pod["containers"][0];
    assert_eq!(container["imagePullPolicy"], "Always");
    assert_eq!(
        container["ports"],
        json!([{"containerPort": 80, "protocol": "TCP"}])
    );
    assert_eq!(
        container["resources"]["limits"],
        json!({"cpu": "1", "memory": "1Gi"})
    );
    assert_eq!(
        container["resources"]["requests"],
        json!({"cpu": "500m", "memory": "1536Mi"})
    );
    assert_eq!(
        container["readinessProbe"]["httpGet"],
        json!({"port": 80, "path": "/", "scheme": "HTTP"})
    );
    assert!(container.get("env").is_none());
    let fields = &entry(&object, "maker")["fieldsV1"]["f:spec"];
    assert!(
        fields.get(".").is_none()
            && fields["f:template"]["f:spec"]["f:containers"]
                .get(".")
                .is_none()
    );
    let port = &fields["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"api\"}"]["f:ports"];
    assert_eq!(
        port["k:{\"containerPort\":80,\"protocol\":\"TCP\"}"],
        json!({".": {}, "f:containerPort": {}, "f:protocol": {}})
    );
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"p": "hi"}, "data": {"p": "eA=="}});
    let (_, secret) = lab.post("/api/v1/namespaces/shop/secrets", secret).await;
    assert_eq!(
        (&secret["data"], &secret["type"], secret.get("stringData")),
        (&json!({"p": "aGk="}), &json!("Opaque"), None)
    );
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    let (_, service) = lab
        .post(
            "/api/v1/namespaces/shop/services?fieldManager=maker",
            service,
        )
        .await;
    assert_eq!(service["spec"]["ports"][0]["targetPort"], 80);
    assert!(
        service["spec"]["clusterIP"]
            .as_str()
            .unwrap()
            .starts_with("10.96.")
    );
    assert!(
        entry(&service, "maker")["fieldsV1"]["f:spec"]
            .get("f:clusterIP")
            .is_none(),
        "nobody owns an allocation"
    );
}

#[tokio::test]
async fn scale_is_recorded_under_its_subresource() {
    let lab = Lab::start().await;
    lab.post(
        DEPLOY,
        deployment("d", json!([{"name": "a", "image": "a:1"}])),
    )
    .await;
    let (code, scale) = lab
        .send(
            "PATCH",
            &format!("{DEPLOY}/d/scale?fieldManager=kubectl"),
            MERGE,
            json!({"spec": {"replicas": 4}}),
        )
        .await;
    assert_eq!(
        (code, &scale["kind"], &scale["spec"]["replicas"]),
        (200, &json!("Scale"), &json!(4))
    );
    assert_eq!(scale["status"]["selector"], "app=d");
    let (_, object) = lab.get(&format!("{DEPLOY}/d")).await;
    assert_eq!(
        (
            &object["spec"]["replicas"],
            &object["metadata"]["generation"]
        ),
        (&json!(4), &json!(2))
    );
    let owner = entry(&object, "kubectl");
    assert_eq!(
        (&owner["subresource"], &owner["fieldsV1"]),
        (&json!("scale"), &json!({"f:spec": {"f:replicas": {}}}))
    );
    assert!(owner.get("time").is_none());
    let (_, object) = lab
        .send(
            "PATCH",
            &format!("{DEPLOY}/d/status?fieldManager=kcm"),
            MERGE,
            json!({"status": {"replicas": 4}, "spec": {"replicas": 9}}),
        )
        .await;
    assert_eq!(
        (&object["spec"]["replicas"], &object["status"]["replicas"]),
        (&json!(4), &json!(4))
    );
    assert_eq!(
        (
            &entry(&object, "kcm")["subresource"],
            &object["metadata"]["generation"]
        ),
        (&json!("status"), &json!(2))
    );
}
