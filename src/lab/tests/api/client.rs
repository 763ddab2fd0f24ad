//! A server with a namespace `shop` and Argo CD's kinds, and a client that shows raw answers.

use http::Request;
use kube::client::Body;
use serde_json::{Value, json};
use trueup_lab::api::{ARGOCD_CRDS, Config, Server};

pub const JSON: &str = "application/json";
pub const MERGE: &str = "application/merge-patch+json";
pub const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub const PATCH: &str = "application/json-patch+json";
pub const APPLY: &str = "application/apply-patch+yaml";
pub const CM: &str = "/api/v1/namespaces/shop/configmaps";
pub const DEPLOY: &str = "/apis/apps/v1/namespaces/shop/deployments";
pub const APPS: &str = "/apis/argoproj.io/v1alpha1/namespaces/shop/applications";

pub struct Lab {
    pub server: Server,
    pub client: kube::Client,
    pub dir: tempfile::TempDir,
}

pub async fn client(server: &Server, token: &str) -> kube::Client {
    let text = server.kubeconfig(&[("user", token)], "user");
    let kubeconfig = kube::config::Kubeconfig::from_yaml(&text).unwrap();
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await;
    kube::Client::try_from(config.unwrap()).unwrap()
}

pub async fn send(
    client: &kube::Client,
    method: &str,
    path: &str,
    media: &str,
    body: Value,
) -> (u16, Value) {
    let bytes = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", media)
        .header("accept", "application/json")
        .header("user-agent", "tester/1.0 (linux)")
        .body(Body::from(bytes))
        .unwrap();
    let response = client.send(request).await.unwrap();
    let code = response.status().as_u16();
    let bytes = response.into_body().collect_bytes().await.unwrap();
    (
        code,
        serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes))),
    )
}

impl Lab {
    pub async fn start() -> Self {
        Self::with_log(5_000).await
    }

    pub async fn with_log(watch_log: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(Config {
            dir: dir.path().to_owned(),
            watch_log,
        })
        .await
        .unwrap();
        let client = client(&server, server.admin_token()).await;
        let lab = Self {
            server,
            client,
            dir,
        };
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
        assert_eq!(lab.post("/api/v1/namespaces", namespace).await.0, 201);
        lab
    }

    pub async fn with_argocd(self) -> Self {
        for manifest in ARGOCD_CRDS {
            let body: Value = serde_saphyr::from_str(manifest).unwrap();
            let (code, answer) = self
                .post(
                    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
                    body,
                )
                .await;
            assert_eq!(code, 201, "{answer}");
        }
        self
    }

    pub async fn send(&self, method: &str, path: &str, media: &str, body: Value) -> (u16, Value) {
        send(&self.client, method, path, media, body).await
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.send("GET", path, JSON, Value::Null).await
    }

    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.send("POST", path, JSON, body).await
    }

    pub async fn put(&self, path: &str, body: Value) -> (u16, Value) {
        self.send("PUT", path, JSON, body).await
    }

    pub async fn apply(&self, path: &str, manager: &str, force: bool, body: Value) -> (u16, Value) {
        self.send(
            "PATCH",
            &format!("{path}?fieldManager={manager}&force={force}"),
            APPLY,
            body,
        )
        .await
    }

    pub async fn config_map(&self, name: &str, data: Value) -> Value {
        let (code, object) = self
            .post(&format!("{CM}?fieldManager=maker"), config_map(name, data))
            .await;
        assert_eq!(code, 201, "{object}");
        object
    }
}

pub fn config_map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

pub fn deployment(name: &str, containers: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": containers}}}})
}

pub fn application(name: &str) -> Value {
    json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": name}, "spec": {
        "project": "default", "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
        "source": {"repoURL": "http://git/shop", "path": name, "targetRevision": "main"},
        "syncPolicy": {"automated": {"prune": true, "selfHeal": true}}}})
}

/// The managedFields entry of a manager.
pub fn entry<'a>(object: &'a Value, manager: &str) -> &'a Value {
    let list = object["metadata"]["managedFields"]
        .as_array()
        .expect("the object has owners");
    list.iter()
        .find(|e| e["manager"] == manager)
        .unwrap_or(&Value::Null)
}
