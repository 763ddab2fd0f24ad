//! The Argo CD double against what the real controller does.

use serde_json::{Value, json};
use trueup_lab::cluster::{PatchKind, Ref};

use crate::common::{application, config, get, lab, push, refresh, sync, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn self_heal_undoes_a_change_and_does_not_see_an_addition() {
    let lab = lab().await;
    let human = lab.admin.speaking_as("kubectl-edit");
    let policy = json!({"spec": {"syncPolicy": {"automated": {"prune": true, "selfHeal": true}}}});
    human
        .patch(
            &application("profile-service"),
            "",
            PatchKind::Merge,
            &policy,
        )
        .await
        .unwrap();
    human
        .patch(
            &config("profile"),
            "",
            PatchKind::Merge,
            &json!({"data": {"JWT_ALGORITHM": "RS256", "EXTRA": "1"}}),
        )
        .await
        .unwrap();
    let healed = until(&lab.admin, &config("profile"), "the heal", |found| {
        found["data"]["JWT_ALGORITHM"] == "HS256"
    })
    .await;
    assert_eq!(healed["data"]["EXTRA"], "1");
    let app = until(
        &lab.admin,
        &application("profile-service"),
        "Synced",
        |found| found["operation"].is_null() && found["status"]["sync"]["status"] == "Synced",
    )
    .await;
    let operation = &app["status"]["operationState"]["operation"];
    assert_eq!(operation["initiatedBy"]["automated"], true);
    assert_eq!(operation["sync"]["resources"][0]["name"], "auth-config");
    // A partial sync leaves no history.
    assert_eq!(app["status"]["history"].as_array().unwrap().len(), 3);
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_that_say_nothing_are_dropped_and_a_switched_off_one_stays() {
    let lab = lab().await;
    let id = application("auth-service");
    for (policy, kept) in [
        (json!({}), Value::Null),
        (
            json!({"automated": {"enabled": false, "prune": true, "selfHeal": true}}),
            json!({"automated": {"enabled": false, "prune": true, "selfHeal": true}}),
        ),
    ] {
        let patch = json!([{"op": "add", "path": "/spec/syncPolicy", "value": policy}]);
        lab.admin
            .patch(&id, "", PatchKind::Json, &patch)
            .await
            .unwrap();
        let app = refresh(&lab.admin, "auth-service").await;
        assert_eq!(app["spec"]["syncPolicy"], kept);
        assert!(app["operation"].is_null());
        assert_eq!(app["status"]["sync"]["status"], "OutOfSync");
    }
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_left_git_is_pruned_only_when_asked() {
    let lab = lab().await;
    push(
        &lab,
        &[(
            "deploy/like/extra.yaml",
            "",
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: extra\ndata: {a: b}\n",
        )],
    )
    .await;
    let extra = Ref {
        name: "extra".into(),
        ..config("like")
    };
    let head = refresh(&lab.admin, "like-service").await["status"]["sync"]["revision"]
        .as_str()
        .unwrap()
        .to_owned();
    sync(&lab.admin, "like-service", &head, &json!({})).await;
    let made = get(&lab.admin, &extra).await;
    assert_eq!(
        made["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"],
        "like-service:/ConfigMap:like/extra"
    );
    let old = lab.commits.last().unwrap();
    let app = sync(&lab.admin, "like-service", old, &json!({})).await;
    let results = app["status"]["operationState"]["syncResult"]["resources"]
        .as_array()
        .unwrap();
    assert!(
        results
            .iter()
            .any(|entry| entry["name"] == "extra" && entry["status"] == "PruneSkipped"),
        "{results:#?}"
    );
    assert_eq!(app["status"]["operationState"]["phase"], "Succeeded");
    assert!(!get(&lab.admin, &extra).await.is_null());
    // A pinned commit does not move the target revision: the head is newer.
    assert_eq!(app["status"]["sync"]["revision"], head.as_str());
    sync(&lab.admin, "like-service", old, &json!({"prune": true})).await;
    assert!(get(&lab.admin, &extra).await.is_null());
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_applications_get_a_condition_and_harm_nobody() {
    let lab = lab().await;
    let url = lab.document["repositories"][0]["url"].clone();
    let base = |name: &str, source: Value, destination: Value, project: &str| {
        json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": name, "namespace": "argocd"},
            "spec": {"project": project, "source": source, "destination": destination}})
    };
    let here = json!({"server": "https://kubernetes.default.svc", "namespace": "like"});
    let source = |path: &str, revision: &str| json!({"repoURL": url, "path": path, "targetRevision": revision});
    push(
        &lab,
        &[
            ("deploy/broken/a.yaml", "", "a: [1, 2\nb: }\n"),
            ("deploy/nothing/a.yaml", "", "just: text\n"),
            (
                "deploy/unserved/a.yaml",
                "",
                "apiVersion: nowhere.example/v1\nkind: Ghost\nmetadata: {name: x}\n",
            ),
        ],
    )
    .await;
    for (name, object, condition) in [
        (
            "no-path",
            base(
                "no-path",
                source("deploy/none", "main"),
                here.clone(),
                "default",
            ),
            "ComparisonError",
        ),
        (
            "climbs",
            base(
                "climbs",
                source("../../etc", "main"),
                here.clone(),
                "default",
            ),
            "ComparisonError",
        ),
        (
            "no-branch",
            base(
                "no-branch",
                source("deploy/like", "--upload-pack=true"),
                here.clone(),
                "default",
            ),
            "ComparisonError",
        ),
        (
            "ext",
            base(
                "ext",
                json!({"repoURL": "ext::sh -c 'touch /tmp/no'", "path": "x"}),
                here.clone(),
                "default",
            ),
            "ComparisonError",
        ),
        (
            "broken",
            base(
                "broken",
                source("deploy/broken", "main"),
                here.clone(),
                "default",
            ),
            "ComparisonError",
        ),
        (
            "nothing",
            base(
                "nothing",
                source("deploy/nothing", "main"),
                here.clone(),
                "default",
            ),
            "ComparisonError",
        ),
        (
            "helm",
            base(
                "helm",
                json!({"repoURL": url, "path": "deploy/like", "helm": {"releaseName": "x"}}),
                here.clone(),
                "default",
            ),
            "ComparisonError",
        ),
        (
            "no-project",
            base(
                "no-project",
                source("deploy/like", "main"),
                here.clone(),
                "none",
            ),
            "InvalidSpecError",
        ),
        (
            "elsewhere",
            base(
                "elsewhere",
                source("deploy/like", "main"),
                json!({"server": "https://other", "namespace": "x"}),
                "default",
            ),
            "InvalidSpecError",
        ),
    ] {
        lab.admin
            .create(&object)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let app = until(&lab.admin, &application(name), "a comparison", |found| {
            found["status"]["sync"]["status"].is_string()
        })
        .await;
        assert_eq!(app["status"]["sync"]["status"], "Unknown", "{name}");
        assert_eq!(
            app["status"]["conditions"][0]["type"], condition,
            "{name}: {}",
            app["status"]["conditions"]
        );
    }
    let ghost = base(
        "unserved",
        source("deploy/unserved", "main"),
        here,
        "default",
    );
    lab.admin.create(&ghost).await.unwrap();
    until(
        &lab.admin,
        &application("unserved"),
        "a comparison",
        |found| found["status"]["sync"]["status"] == "OutOfSync",
    )
    .await;
    let app = sync(&lab.admin, "unserved", "main", &json!({})).await;
    assert_eq!(app["status"]["operationState"]["phase"], "Failed");
    // The others go on as before.
    let app = refresh(&lab.admin, "profile-service").await;
    assert_eq!(app["status"]["sync"]["status"], "Synced");
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_over_an_uncleared_state_is_blended_with_it() {
    let lab = lab().await;
    let id = application("like-service");
    let head = lab.commits.last().unwrap();
    sync(
        &lab.admin,
        "like-service",
        head,
        &json!({"resources": [{"kind": "Service", "name": "like-service"}]}),
    )
    .await;
    assert_eq!(
        get(&lab.admin, &config("like")).await["data"]["JWT_ALGORITHM"],
        "RS256"
    );
    let patch = json!({"operation": {"sync": {"revision": head}, "info": [{"name": "op", "value": "second"}]}});
    lab.admin
        .patch(&id, "", PatchKind::Merge, &patch)
        .await
        .unwrap();
    let app = until(&lab.admin, &id, "the second operation", |found| {
        found["operation"].is_null()
            && found["status"]["operationState"]["operation"]["info"][0]["value"] == "second"
    })
    .await;
    let state = &app["status"]["operationState"];
    assert_eq!(
        state["operation"]["sync"]["resources"][0]["name"], "like-service",
        "{state:#}"
    );
    assert_eq!(
        get(&lab.admin, &config("like")).await["data"]["JWT_ALGORITHM"],
        "RS256",
        "a full sync became a partial one"
    );
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_template_rolls_the_pods_and_health_follows() {
    let lab = lab().await;
    let pods = |found: Vec<Value>| {
        found
            .into_iter()
            .map(|pod| {
                pod["spec"]["containers"][0]["image"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect::<Vec<_>>()
    };
    let kind = trueup_lab::cluster::Gvk::new("", "v1", "Pod");
    assert_eq!(lab.admin.list(&kind, "profile").await.unwrap().len(), 3);
    let head = push(
        &lab,
        &[(
            "deploy/profile/deployment.yaml",
            "profile-service:3.8.1",
            "profile-service:3.9.0",
        )],
    )
    .await;
    let app = sync(&lab.admin, "profile-service", &head, &json!({})).await;
    assert_eq!(app["status"]["operationState"]["phase"], "Succeeded");
    until(
        &lab.admin,
        &application("profile-service"),
        "Healthy",
        |found| {
            found["status"]["health"]["status"] == "Healthy"
                && found["status"]["sync"]["status"] == "Synced"
        },
    )
    .await;
    let deployment = Ref::new(
        trueup_lab::cluster::Gvk::new("apps", "v1", "Deployment"),
        "profile",
        "profile-service",
    );
    until(&lab.admin, &deployment, "the rollout", |found| {
        found["status"]["observedGeneration"] == found["metadata"]["generation"]
            && found["status"]["replicas"] == 3
            && found["status"]["updatedReplicas"] == 3
    })
    .await;
    let images = pods(lab.admin.list(&kind, "profile").await.unwrap());
    assert_eq!(
        images,
        vec!["registry.example.com/identity/profile-service:3.9.0"; 3]
    );
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wave_waits_for_the_one_before_and_can_be_terminated() {
    let lab = lab().await;
    let slow = "apiVersion: v1\nkind: Service\nmetadata:\n  name: slow\nspec:\n  type: LoadBalancer\n  ports: [{port: 80}]\n";
    let late = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: late\n  annotations: {argocd.argoproj.io/sync-wave: \"1\"}\n";
    let head = push(
        &lab,
        &[
            ("deploy/waves/slow.yaml", "", slow),
            ("deploy/waves/late.yaml", "", late),
        ],
    )
    .await;
    let object = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "waves", "namespace": "argocd"},
        "spec": {"project": "default", "source": {"repoURL": lab.document["repositories"][0]["url"], "path": "deploy/waves", "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "like"}},
        "operation": {"sync": {"revision": head}}});
    lab.admin.create(&object).await.unwrap();
    let id = application("waves");
    until(&lab.admin, &id, "the wait for the first wave", |found| {
        found["status"]["operationState"]["message"] == "waiting for healthy state of /Service/slow"
    })
    .await;
    let late = Ref {
        name: "late".into(),
        ..config("like")
    };
    assert!(get(&lab.admin, &late).await.is_null());
    let terminate =
        json!([{"op": "replace", "path": "/status/operationState/phase", "value": "Terminating"}]);
    lab.admin
        .patch(&id, "", PatchKind::Json, &terminate)
        .await
        .unwrap();
    let app = until(&lab.admin, &id, "the end", |found| {
        found["operation"].is_null()
    })
    .await;
    let state = &app["status"]["operationState"];
    assert_eq!(
        (&state["phase"], &state["message"]),
        (&json!("Failed"), &json!("Operation terminated"))
    );
    assert!(app["status"]["history"].is_null());

    // A second one gets there once the first wave is healthy.
    let slow = Ref::new(
        trueup_lab::cluster::Gvk::new("", "v1", "Service"),
        "like",
        "slow",
    );
    let address = json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}});
    lab.admin
        .patch(&slow, "status", PatchKind::Merge, &address)
        .await
        .unwrap();
    let app = sync(&lab.admin, "waves", &head, &json!({})).await;
    assert_eq!(app["status"]["operationState"]["phase"], "Succeeded");
    assert!(!get(&lab.admin, &late).await.is_null());
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_automated_sync_is_retried_and_then_left_alone() {
    let lab = lab().await;
    let bad = "apiVersion: nowhere.example/v1\nkind: Ghost\nmetadata: {name: x}\n";
    let head = push(&lab, &[("deploy/bad/a.yaml", "", bad)]).await;
    let object = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "bad", "namespace": "argocd"},
        "spec": {"project": "default", "source": {"repoURL": lab.document["repositories"][0]["url"], "path": "deploy/bad", "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "like"},
            "syncPolicy": {"automated": {}, "retry": {"limit": 1, "backoff": {"duration": "1s"}}}}});
    lab.admin.create(&object).await.unwrap();
    let app = until(&lab.admin, &application("bad"), "the refusal", |found| {
        found["status"]["conditions"]
            .as_array()
            .is_some_and(|list| {
                list.iter()
                    .any(|condition| condition["type"] == "SyncError")
            })
    })
    .await;
    let state = &app["status"]["operationState"];
    assert_eq!(
        (&state["phase"], &state["retryCount"]),
        (&json!("Failed"), &json!(1))
    );
    assert_eq!(state["syncResult"]["revision"], head.as_str());
    assert!(
        state["message"]
            .as_str()
            .unwrap()
            .contains("no matches for kind \"Ghost\""),
        "{state:#}"
    );
    assert!(app["operation"].is_null());
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ignored_field_is_synced_all_the_same_unless_that_is_respected() {
    let lab = lab().await;
    let id = application("like-service");
    let ignore = json!({"spec": {"ignoreDifferences": [{"kind": "ConfigMap", "jsonPointers": ["/data/JWT_ALGORITHM"]}]}});
    lab.admin
        .patch(&id, "", PatchKind::Merge, &ignore)
        .await
        .unwrap();
    let app = refresh(&lab.admin, "like-service").await;
    assert_eq!(app["status"]["sync"]["status"], "Synced");
    let head = lab.commits.last().unwrap();
    sync(
        &lab.admin,
        "like-service",
        head,
        &json!({"syncOptions": ["RespectIgnoreDifferences=true"]}),
    )
    .await;
    assert_eq!(
        get(&lab.admin, &config("like")).await["data"]["JWT_ALGORITHM"],
        "RS256"
    );
    sync(&lab.admin, "like-service", head, &json!({})).await;
    assert_eq!(
        get(&lab.admin, &config("like")).await["data"]["JWT_ALGORITHM"],
        "HS256"
    );
    lab.stop().await;
}
