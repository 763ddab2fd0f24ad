//! How a list is asked for: whole of a server that has it in its cache, in pages of one that has not or would rather not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::get};
use serde_json::{Value, json};
use trueup::adapters::kube::{ConnectOptions, KubeCluster};
use trueup::ports::{Cluster, Kind, Listing, ReadError, no_log};
use trueup_core::object::live::Live;

/// A server of some version that holds two ConfigMaps, one a page.
#[derive(Clone)]
struct Server {
    minor: &'static str,
    /// What a list without a limit is answered with.
    whole: Whole,
    /// Whether the first continue token has grown too old.
    forgetful: Arc<Mutex<bool>>,
    asked: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone, Copy)]
enum Whole {
    Given,
    TooMany,
    Forbidden,
    CutOff,
}

fn item(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "default", "resourceVersion": "1"}, "data": {"a": "]}\\\""}})
}

fn list(items: &[Value], next: &str) -> Value {
    json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "7", "continue": next}, "items": items})
}

fn status(code: u16, reason: &str) -> Response {
    let body = json!({"kind": "Status", "status": "Failure", "reason": reason, "message": "not now", "code": code});
    (StatusCode::from_u16(code).unwrap(), Json(body)).into_response()
}

async fn configmaps(
    State(server): State<Server>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let next = query.get("continue").cloned();
    let shape = match (query.contains_key("limit"), &next) {
        (false, _) => "whole".to_owned(),
        (true, None) => "page".to_owned(),
        (true, Some(next)) => format!("page after {next}"),
    };
    server.asked.lock().unwrap().push(shape.clone());
    let both = list(&[item("one"), item("two")], "");
    match (shape.as_str(), server.whole) {
        ("whole", Whole::Given) => Json(both).into_response(),
        ("whole", Whole::TooMany) => status(429, "TooManyRequests"),
        ("whole", Whole::Forbidden) => status(403, "Forbidden"),
        ("whole", Whole::CutOff) => {
            let text = both.to_string();
            text[..text.len() - 2].to_owned().into_response()
        }
        ("page", _) => Json(list(&[item("one")], "one")).into_response(),
        _ if std::mem::take(&mut *server.forgetful.lock().unwrap()) => status(410, "Expired"),
        _ => Json(list(&[item("two")], "")).into_response(),
    }
}

/// What the server was asked, and what came of it.
async fn listed(
    minor: &'static str,
    whole: Whole,
    forgetful: bool,
) -> (Vec<String>, Result<Listing, ReadError>) {
    let server = Server {
        minor,
        whole,
        forgetful: Arc::new(Mutex::new(forgetful)),
        asked: Arc::default(),
    };
    let version =
        json!({"major": "1", "minor": server.minor, "gitVersion": format!("v1.{minor}.0")});
    let resources = json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": [
        {"name": "configmaps", "singularName": "configmap", "namespaced": true, "kind": "ConfigMap", "verbs": ["list"]}]});
    let router = Router::new()
        .route("/version", get(move || async move { Json(version) }))
        .route("/api/v1", get(move || async move { Json(resources) }))
        .route("/api/v1/configmaps", get(configmaps))
        .with_state(server.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let dir = crate::support::scratch();
    let kubeconfig = dir.path().join("kubeconfig");
    let text = json!({"apiVersion": "v1", "kind": "Config", "current-context": "it",
        "clusters": [{"name": "it", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "it", "user": {}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}]});
    std::fs::write(&kubeconfig, text.to_string()).unwrap();
    let mut options = ConnectOptions::new([7; 32], no_log());
    options.kubeconfig = Some(kubeconfig);
    let cluster = KubeCluster::connect(options).await.unwrap();
    let answer = cluster.list(&Kind::new("", "v1", "ConfigMap"), None).await;
    serving.abort();
    let asked = server.asked.lock().unwrap().clone();
    (asked, answer)
}

fn names(listing: &Listing) -> Vec<String> {
    assert_eq!(listing.resource_version, "7");
    let name = |item: &Arc<Live>| item.reference().unwrap().name;
    listing.items.iter().map(name).collect()
}

#[tokio::test]
async fn a_list_is_whole_where_the_server_caches_it_and_in_pages_elsewhere() {
    for (minor, whole, forgetful, expected) in [
        ("31", Whole::Given, false, &["whole"][..]),
        ("36+", Whole::Given, false, &["whole"]),
        ("30", Whole::Given, false, &["page", "page after one"]),
        ("?", Whole::Given, false, &["page", "page after one"]),
        // Too much at once: in pages then; and a token that grew old is no end.
        (
            "33",
            Whole::TooMany,
            false,
            &["whole", "page", "page after one"],
        ),
        (
            "30",
            Whole::Given,
            true,
            &["page", "page after one", "page", "page after one"],
        ),
    ] {
        let (asked, listing) = listed(minor, whole, forgetful).await;
        assert_eq!(asked, expected, "1.{minor}");
        assert_eq!(names(&listing.unwrap()), ["one", "two"], "1.{minor}");
    }
}

#[tokio::test]
async fn a_whole_list_that_is_refused_or_cut_off_is_no_list() {
    let (asked, refused) = listed("33", Whole::Forbidden, false).await;
    assert_eq!(asked, ["whole"]);
    assert!(refused.unwrap_err().why.starts_with("403"));
    let (_, cut) = listed("33", Whole::CutOff, false).await;
    assert!(cut.unwrap_err().why.contains("not what was asked for"));
}
