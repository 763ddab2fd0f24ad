//! Lists, pages, watches and discovery, also through kube's own client.

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams};
use kube::runtime::watcher;
use serde_json::{Value, json};

use super::client::{APPS, CM, Lab, MERGE, application};

#[tokio::test]
async fn lists_select_and_page_at_one_moment() {
    let lab = Lab::start().await;
    for n in 0..5 {
        lab.config_map(&format!("c{n}"), json!({"n": n.to_string()}))
            .await;
    }
    lab.send(
        "PATCH",
        &format!("{CM}/c1"),
        MERGE,
        json!({"metadata": {"labels": {"tier": "web"}}}),
    )
    .await;
    for (query, expected) in [
        ("labelSelector=tier%3Dweb", 1),
        ("labelSelector=tier%20notin%20(web)", 4),
        ("labelSelector=!tier", 4),
        ("fieldSelector=metadata.name%3Dc3", 1),
        (
            "fieldSelector=metadata.name!%3Dc3,metadata.namespace%3Dshop",
            4,
        ),
    ] {
        let (code, list) = lab.get(&format!("{CM}?{query}")).await;
        assert_eq!(
            (code, list["items"].as_array().unwrap().len()),
            (200, expected),
            "{query}"
        );
    }
    assert_eq!(
        lab.get(&format!("{CM}?fieldSelector=data.n%3D1")).await.0,
        400
    );
    let (_, first) = lab.get(&format!("{CM}?limit=2")).await;
    assert_eq!(
        (
            &first["metadata"]["remainingItemCount"],
            first["items"][0].get("kind")
        ),
        (&json!(3), None)
    );
    lab.send("DELETE", &format!("{CM}/c4"), MERGE, Value::Null)
        .await;
    let token = first["metadata"]["continue"].as_str().unwrap().to_owned();
    let (_, second) = lab.get(&format!("{CM}?limit=3&continue={token}")).await;
    assert_eq!(
        second["items"].as_array().unwrap().len(),
        3,
        "the deleted one is still on this moment's page"
    );
    assert_eq!(
        second["metadata"]["resourceVersion"],
        first["metadata"]["resourceVersion"]
    );
    lab.server.compact();
    let (code, status) = lab.get(&format!("{CM}?limit=2&continue={token}")).await;
    assert_eq!((code, &status["reason"]), (410, &json!("Expired")));
}

/// The events of a watch that ends by itself.
async fn events(lab: &Lab, query: &str) -> Vec<(String, Value)> {
    let (code, text) = lab
        .get(&format!("{CM}?watch=true&timeoutSeconds=1&{query}"))
        .await;
    assert_eq!(code, 200, "{text}");
    let lines = match text {
        Value::String(text) => text,
        one => one.to_string(),
    };
    let parse = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        (
            event["type"].as_str().unwrap().to_owned(),
            event["object"].clone(),
        )
    };
    lines
        .lines()
        .filter(|l| !l.is_empty() && *l != "\"\"")
        .map(parse)
        .collect()
}

#[tokio::test]
async fn watches_replay_filter_bookmark_and_expire() {
    let lab = Lab::start().await;
    let made = lab.config_map("c", json!({"a": "1"})).await;
    let from = made["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .to_owned();
    let label = |value: Value| json!({"metadata": {"labels": {"on": value}}});
    lab.send("PATCH", &format!("{CM}/c"), MERGE, label(json!("1")))
        .await;
    lab.send("PATCH", &format!("{CM}/c"), MERGE, label(Value::Null))
        .await;
    lab.send("DELETE", &format!("{CM}/c"), MERGE, Value::Null)
        .await;
    let kinds = |events: &[(String, Value)]| {
        events
            .iter()
            .map(|(kind, _)| kind.clone())
            .collect::<Vec<_>>()
    };
    let all = events(&lab, &format!("resourceVersion={from}")).await;
    assert_eq!(kinds(&all), ["MODIFIED", "MODIFIED", "DELETED"]);
    let versions: Vec<u64> = all
        .iter()
        .map(|(_, o)| {
            o["metadata"]["resourceVersion"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    assert!(versions.windows(2).all(|w| w[0] < w[1]), "{versions:?}");
    // Entering and leaving a selector are ADDED and DELETED.
    let some = events(
        &lab,
        &format!("resourceVersion={from}&labelSelector=on%3D1&allowWatchBookmarks=true"),
    )
    .await;
    assert_eq!(kinds(&some), ["ADDED", "DELETED", "BOOKMARK"]);
    assert_eq!(
        some[1].1["metadata"]["labels"]["on"], "1",
        "the last state that matched"
    );
    assert_eq!(
        some[2].1["metadata"]["resourceVersion"],
        json!(versions[2].to_string())
    );
    lab.config_map("d", json!({})).await;
    assert_eq!(kinds(&events(&lab, "").await), ["ADDED"]);
    lab.server.compact();
    let old = events(&lab, &format!("resourceVersion={from}")).await;
    assert_eq!(
        (old[0].0.as_str(), &old[0].1["code"], &old[0].1["reason"]),
        ("ERROR", &json!(410), &json!("Expired"))
    );
}

#[tokio::test]
async fn a_short_log_compacts_itself() {
    let lab = Lab::with_log(3).await;
    for n in 0..5 {
        lab.config_map(&format!("c{n}"), json!({})).await;
    }
    assert_eq!(events(&lab, "resourceVersion=2").await[0].0, "ERROR");
}

#[tokio::test]
async fn kube_clients_run_unchanged() {
    let lab = Lab::start().await.with_argocd().await;
    lab.post(APPS, application("auth")).await;
    for aggregated in [false, true] {
        let discovery = kube::Discovery::new(lab.client.clone());
        let discovery = if aggregated {
            discovery.run_aggregated().await
        } else {
            discovery.run().await
        }
        .unwrap();
        let group = discovery.get("argoproj.io").unwrap();
        let (resource, _) = group.recommended_kind("Application").unwrap();
        let apps: Api<kube::api::DynamicObject> =
            Api::namespaced_with(lab.client.clone(), "shop", &resource);
        assert_eq!(
            apps.list(&ListParams::default()).await.unwrap().items.len(),
            1
        );
    }
    let api: Api<ConfigMap> = Api::namespaced(lab.client.clone(), "shop");
    lab.config_map("first", json!({"a": "1"})).await;
    let mut stream = watcher(api, watcher::Config::default()).boxed();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        match stream.try_next().await.unwrap() {
            Some(watcher::Event::InitDone) => {
                lab.config_map("second", json!({})).await;
            }
            Some(watcher::Event::InitApply(o) | watcher::Event::Apply(o)) => {
                seen.push(o.metadata.name.unwrap())
            }
            Some(_) => {}
            None => panic!("a watcher does not end"),
        }
    }
    assert_eq!(seen, ["first", "second"]);
}
