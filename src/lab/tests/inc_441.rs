//! The default scenario: the world as it is found, and what the Argo CD double does to it.

use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};
use trueup_lab::cluster::PatchKind;
use trueup_lab::serve::Lab;

use crate::common::{application, config, get, lab, push, refresh, sync, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_world_is_found_as_the_incident_tells_it() {
    let lab = lab().await;
    let head = lab.commits.last().unwrap().as_str();
    let now = Timestamp::now();
    let ago = |text: &str| {
        now.duration_since(text.parse::<Timestamp>().unwrap())
            .as_hours()
            / 24
    };
    for (namespace, algorithm, key, hotfixed, status) in [
        ("auth", "RS256", "key-2024-11-rot", true, "OutOfSync"),
        ("like", "RS256", "key-2024-09", true, "OutOfSync"),
        ("profile", "HS256", "key-2024-09", false, "Synced"),
    ] {
        let live = get(&lab.admin, &config(namespace)).await;
        assert_eq!(
            live["data"],
            json!({"JWT_ALGORITHM": algorithm, "JWT_PUBLIC_KEY_ID": key}),
            "{namespace}"
        );
        let entries = writers(&live);
        let human: Vec<_> = entries
            .iter()
            .filter(|(manager, _)| manager == "kubectl-edit")
            .collect();
        assert_eq!(
            human.len(),
            usize::from(hotfixed),
            "{namespace}: {entries:?}"
        );
        if hotfixed {
            assert_eq!(ago(&human[0].1), 7);
        }
        assert_eq!(
            entries
                .iter()
                .filter(|(manager, _)| manager == "argocd-controller")
                .count(),
            1
        );

        let app = get(&lab.admin, &application(&format!("{namespace}-service"))).await;
        assert!(app["spec"].get("syncPolicy").is_none(), "{}", app["spec"]);
        assert!(app.get("operation").is_none());
        assert_eq!(
            app["metadata"]["annotations"]["note"],
            "INC-437, off until the rotation is done"
        );
        let last =
            app["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
                .as_str()
                .unwrap();
        assert!(
            last.contains(r#""syncPolicy":{"automated":{"prune":true,"selfHeal":true}}"#),
            "{last}"
        );
        let note = writers(&app)
            .into_iter()
            .find(|(manager, _)| manager == "kubectl-edit")
            .unwrap();
        assert_eq!(ago(&note.1), 7);
        if hotfixed {
            assert!(human[0].1 > note.1, "auto-sync went off before the hotfix");
        }
        let state = &app["status"];
        assert_eq!(state["sync"]["status"], status);
        assert_eq!(state["sync"]["revision"], head);
        assert_eq!(state["health"]["status"], "Healthy");
        assert_eq!(state["sourceType"], "Directory");
        assert_eq!(state["resources"].as_array().unwrap().len(), 3);
        let history = state["history"].as_array().unwrap();
        let last = history.last().unwrap();
        assert_eq!(
            (&last["revision"], &last["initiatedBy"]),
            (&json!(head), &json!({"automated": true}))
        );
        assert_eq!(ago(last["deployedAt"].as_str().unwrap()), 8);
        assert_eq!(state["operationState"]["finishedAt"], last["deployedAt"]);
        assert!(state.get("conditions").is_none(), "{}", state["conditions"]);
    }
    let events = lab
        .admin
        .list(&trueup_lab::cluster::Gvk::new("", "v1", "Event"), "argocd")
        .await
        .unwrap();
    assert!(events.is_empty(), "{events:#?}");
    let kubeconfig = std::fs::read_to_string(lab.document["kubeconfig"].as_str().unwrap()).unwrap();
    assert!(kubeconfig.contains("operator") && !kubeconfig.contains("admin"));
    let reader = trueup_lab::cluster::Cluster::connect(&kubeconfig, Some("reader"), "t")
        .await
        .unwrap();
    assert!(reader.get(&config("auth")).await.unwrap().is_some());
    let refused = reader
        .patch(
            &config("auth"),
            "",
            PatchKind::Merge,
            &json!({"data": {"x": "y"}}),
        )
        .await;
    assert_eq!(refused.unwrap_err().code(), 403);
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn syncing_like_from_todays_git_moves_exactly_one_field() {
    let lab = lab().await;
    let before = get(&lab.admin, &config("like")).await;
    let app = sync(
        &lab.admin,
        "like-service",
        lab.commits.last().unwrap(),
        &json!({}),
    )
    .await;
    let state = &app["status"]["operationState"];
    assert_eq!(state["phase"], "Succeeded", "{state:#}");
    // What was asked for comes back, but for the false that is left out.
    assert_eq!(
        state["operation"]["sync"],
        json!({"revision": lab.commits.last(), "syncStrategy": {"hook": {}}})
    );
    assert_eq!(state["operation"]["initiatedBy"]["username"], "tester");
    assert_eq!(state["operation"]["info"][0]["name"], "op");
    let messages: Vec<&str> = state["syncResult"]["resources"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|entry| entry["message"].as_str())
        .collect();
    assert_eq!(
        messages,
        [
            "configmap/auth-config configured",
            "service/like-service unchanged",
            "deployment.apps/like-service unchanged"
        ]
    );
    let after = get(&lab.admin, &config("like")).await;
    let mut expected = content(&before);
    expected["data"]["JWT_ALGORITHM"] = json!("HS256");
    assert_eq!(content(&after), expected);
    assert_eq!(app["status"]["sync"]["status"], "Synced");
    let history = app["status"]["history"].as_array().unwrap();
    assert_eq!(history.len(), 4);
    assert_eq!(history[3]["initiatedBy"]["username"], "tester");
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_changes_nothing_moves_only_bookkeeping() {
    let lab = lab().await;
    let fix = push_fix(&lab).await;
    let app = refresh(&lab.admin, "auth-service").await;
    assert_eq!(
        (
            &app["status"]["sync"]["revision"],
            &app["status"]["sync"]["status"]
        ),
        (&json!(fix), &json!("Synced"))
    );
    let before = get(&lab.admin, &config("auth")).await;
    let app = sync(&lab.admin, "auth-service", &fix, &json!({})).await;
    let messages = &app["status"]["operationState"]["syncResult"]["resources"];
    assert_eq!(messages[0]["message"], "configmap/auth-config configured");
    let after = get(&lab.admin, &config("auth")).await;
    assert_eq!(content(&after), content(&before));
    assert_ne!(
        after["metadata"]["resourceVersion"],
        before["metadata"]["resourceVersion"]
    );
    let time = |object: &Value, manager: &str| {
        writers(object)
            .into_iter()
            .find(|(found, _)| found == manager)
            .unwrap()
            .1
    };
    assert_eq!(time(&after, "kubectl-edit"), time(&before, "kubectl-edit"));
    assert!(time(&after, "argocd-controller") > time(&before, "argocd-controller"));
    let last = after["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
        .as_str()
        .unwrap();
    assert!(last.contains("key-2024-11-rot"));
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turning_auto_sync_on_first_breaks_production_again() {
    let lab = lab().await;
    let policy = json!([{"op": "add", "path": "/spec/syncPolicy", "value": {"automated": {"prune": true, "selfHeal": true}}}]);
    lab.admin
        .patch(&application("auth-service"), "", PatchKind::Json, &policy)
        .await
        .unwrap();
    let broken = until(&lab.admin, &config("auth"), "the sync", |found| {
        found["data"]["JWT_ALGORITHM"] == "HS256"
    })
    .await;
    assert_eq!(broken["data"]["JWT_PUBLIC_KEY_ID"], "key-2024-09");
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_refused_requests_stop_when_the_copy_of_profile_is_right() {
    let lab = lab().await;
    let share = r#"sum(rate(http_requests_total{service="profile-service",code="401"}[2s])) / sum(rate(http_requests_total{service="profile-service"}[2s]))"#;
    let before = metric(&lab, share).await.unwrap();
    assert!((before - 0.31).abs() < 0.02, "{before}");
    assert_eq!(
        metric(&lab, "sum(rate(http_request_total[2s]))").await,
        None
    );
    let fix = push_fix(&lab).await;
    sync(&lab.admin, "profile-service", &fix, &json!({})).await;
    let since = Timestamp::now();
    let rate = r#"sum(rate(http_requests_total{service="profile-service",code="401"}[2s]))"#;
    while metric(&lab, rate).await != Some(0.0) {
        assert!(Timestamp::now() < since + 60.seconds(), "the 401s go on");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(
        metric(
            &lab,
            r#"sum(rate(http_requests_total{service="profile-service"}[2s]))"#
        )
        .await
        .unwrap()
            > 10.0
    );
    lab.stop().await;
}

/// The one number of an instant query, asked for with POST as clients with long queries do.
async fn metric(lab: &trueup_lab::serve::Lab, query: &str) -> Option<f64> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let address = lab.prometheus().trim_start_matches("http://").to_owned();
    let escaped: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let body = format!("query={escaped}");
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /api/v1/query HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["status"], "success");
    body["data"]["result"][0]["value"][1].as_str()?.parse().ok()
}

/// The hotfix of `auth`, written into all three copies.
async fn push_fix(lab: &Lab) -> String {
    push(
        lab,
        &[
            ("deploy/auth/auth-config.yaml", ": HS256", ": RS256"),
            (
                "deploy/auth/auth-config.yaml",
                "key-2024-09",
                "key-2024-11-rot",
            ),
            ("deploy/like/auth-config.yaml", "\"HS256\"", "\"RS256\""),
            (
                "deploy/like/auth-config.yaml",
                "key-2024-09",
                "key-2024-11-rot",
            ),
            ("deploy/profile/auth-config.yaml", "'HS256'", "'RS256'"),
            (
                "deploy/profile/auth-config.yaml",
                "key-2024-09",
                "key-2024-11-rot",
            ),
        ],
    )
    .await
}

/// Object without what any write moves.
fn content(object: &Value) -> Value {
    let mut object = object.clone();
    for key in ["resourceVersion", "managedFields", "generation"] {
        object["metadata"]
            .as_object_mut()
            .unwrap()
            .shift_remove(key);
    }
    object["metadata"]["annotations"]
        .as_object_mut()
        .unwrap()
        .shift_remove("kubectl.kubernetes.io/last-applied-configuration");
    object
}

/// Manager, operation and time of each managed-fields entry.
fn writers(object: &Value) -> Vec<(String, String)> {
    object["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            (
                entry["manager"].as_str().unwrap().to_owned(),
                entry["time"].as_str().unwrap().to_owned(),
            )
        })
        .collect()
}
