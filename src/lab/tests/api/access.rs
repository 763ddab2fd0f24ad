//! Tokens, RBAC, reviews and the audit log.

use serde_json::{Value, json};

use super::client::{APPS, CM, DEPLOY, JSON, Lab, MERGE, application, client, send};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

async fn account(lab: &Lab, name: &str, rules: Value) -> String {
    let accounts = "/api/v1/namespaces/shop/serviceaccounts";
    lab.post(
        accounts,
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}),
    )
    .await;
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name}, "rules": rules});
    assert_eq!(
        lab.post(&format!("{RBAC}/namespaces/shop/roles"), role)
            .await
            .0,
        201
    );
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "shop"}]});
    assert_eq!(
        lab.post(&format!("{RBAC}/namespaces/shop/rolebindings"), binding)
            .await
            .0,
        201
    );
    let (code, token) = lab
        .post(&format!("{accounts}/{name}/token"), json!({"spec": {}}))
        .await;
    assert_eq!(code, 201, "{token}");
    token["status"]["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn rights_come_from_stored_roles() {
    let lab = Lab::start().await.with_argocd().await;
    lab.post(APPS, application("auth")).await;
    lab.config_map("mine", json!({})).await;
    let rules = json!([
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "patch"], "resourceNames": ["mine"]},
        {"apiGroups": ["argoproj.io"], "resources": ["applications"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["*"]}]);
    let token = account(&lab, "bot", rules).await;
    let bot = client(&lab.server, &token).await;
    let mine = format!("{CM}/mine");
    let app = format!("{APPS}/auth");
    let table: [(&str, &str, &str, Value, u16); 9] = [
        ("GET", &mine, JSON, Value::Null, 200),
        ("PATCH", &mine, MERGE, json!({"data": {"a": "1"}}), 200),
        ("GET", CM, JSON, Value::Null, 403),
        ("GET", APPS, JSON, Value::Null, 200),
        ("PATCH", &app, MERGE, json!({}), 403),
        (
            "GET",
            &format!("{DEPLOY}/none/scale"),
            JSON,
            Value::Null,
            404,
        ),
        ("GET", &format!("{DEPLOY}/none"), JSON, Value::Null, 403),
        ("GET", "/apis", JSON, Value::Null, 200),
        ("GET", "/metrics", JSON, Value::Null, 403),
    ];
    for (method, path, media, body, code) in table {
        let (have, answer) = send(&bot, method, path, media, body).await;
        assert_eq!(have, code, "{method} {path}: {answer}");
    }
    let (_, status) = send(&bot, "PATCH", &app, MERGE, json!({})).await;
    assert_eq!(
        status["message"],
        "applications.argoproj.io \"auth\" is forbidden: User \"system:serviceaccount:shop:bot\" cannot patch resource \"applications\" in API group \"argoproj.io\" in the namespace \"shop\""
    );
    let review = |verb: &str| {
        json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": {
            "verb": verb, "group": "argoproj.io", "resource": "applications", "namespace": "shop"}}})
    };
    for (verb, allowed) in [("list", true), ("patch", false)] {
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let (code, answer) = send(&bot, "POST", path, JSON, review(verb)).await;
        assert_eq!((code, &answer["status"]["allowed"]), (201, &json!(allowed)));
    }
    lab.send(
        "DELETE",
        "/api/v1/namespaces/shop/serviceaccounts/bot",
        JSON,
        Value::Null,
    )
    .await;
    let (code, status) = send(&bot, "GET", &mine, JSON, Value::Null).await;
    assert_eq!((code, &status["reason"]), (401, &json!("Unauthorized")));
}

#[tokio::test]
async fn every_request_is_in_the_audit_log_before_its_answer() {
    let lab = Lab::start().await;
    lab.config_map("c", json!({"a": "1"})).await;
    let read = || {
        let text = std::fs::read_to_string(lab.server.audit_log()).unwrap();
        text.lines()
            .map(|l| serde_json::from_str::<Value>(l).unwrap())
            .collect::<Vec<_>>()
    };
    let before = read().len();
    let uri = format!("{CM}/c?dryRun=All&fieldManager=x");
    lab.send("PATCH", &uri, MERGE, json!({"data": {"a": "2"}}))
        .await;
    let log = read();
    assert_eq!(log.len(), before + 1);
    let last = log.last().unwrap();
    assert_eq!(
        (&last["verb"], &last["requestURI"], &last["stage"]),
        (&json!("patch"), &json!(uri), &json!("ResponseComplete"))
    );
    assert_eq!(
        (&last["user"]["username"], &last["userAgent"]),
        (&json!("kubernetes-admin"), &json!("tester/1.0 (linux)"))
    );
    assert_eq!(
        last["objectRef"],
        json!({"resource": "configmaps", "namespace": "shop", "name": "c", "apiVersion": "v1"})
    );
    assert_eq!(
        (&last["requestObject"], &last["responseStatus"]["code"]),
        (&json!({"data": {"a": "2"}}), &json!(200))
    );
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"p": "hunter2"}});
    lab.post("/api/v1/namespaces/shop/secrets", secret).await;
    lab.send(
        "PATCH",
        "/api/v1/namespaces/shop/secrets/s",
        MERGE,
        json!({"stringData": {"p": "hunter3"}}),
    )
    .await;
    let text = std::fs::read_to_string(lab.server.audit_log()).unwrap();
    assert!(!text.contains("hunter"), "secret values are never logged");
    assert_eq!(read().last().unwrap()["objectRef"]["resource"], "secrets");
}
