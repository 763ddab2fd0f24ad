//! A plain JSON client of a Kubernetes API: what every actor of the lab speaks to its cluster with.
//!
//! Objects stay `serde_json::Value` from end to end, so that no field is lost to a typed round trip, and kinds are resolved by discovery, so that
//! the same actors can be pointed at any cluster.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use http::{Method, Request};
use serde_json::{Value, json};
use tokio::sync::Mutex;

/// Group, version and kind of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gvk {
    pub group: String,
    pub version: String,
    pub kind: String,
}

impl Gvk {
    pub fn new(group: &str, version: &str, kind: &str) -> Gvk {
        Gvk {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
        }
    }

    /// Of an object, from its `apiVersion` and `kind`.
    pub fn of(object: &Value) -> Option<Gvk> {
        let kind = object["kind"].as_str().filter(|kind| !kind.is_empty())?;
        let api = object["apiVersion"]
            .as_str()
            .filter(|api| !api.is_empty())?;
        let (group, version) = api.split_once('/').unwrap_or(("", api));
        Some(Gvk::new(group, version, kind))
    }

    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    pub fn application() -> Gvk {
        Gvk::new("argoproj.io", "v1alpha1", "Application")
    }

    pub fn project() -> Gvk {
        Gvk::new("argoproj.io", "v1alpha1", "AppProject")
    }
}

/// One object: its kind, its namespace (empty for a cluster-scoped one) and its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ref {
    pub gvk: Gvk,
    pub namespace: String,
    pub name: String,
}

impl Ref {
    pub fn new(gvk: Gvk, namespace: &str, name: &str) -> Ref {
        Ref {
            gvk,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    pub fn of(object: &Value) -> Option<Ref> {
        Some(Ref::new(
            Gvk::of(object)?,
            object["metadata"]["namespace"].as_str().unwrap_or_default(),
            object["metadata"]["name"]
                .as_str()
                .filter(|name| !name.is_empty())?,
        ))
    }
}

/// How the API serves a kind.
#[derive(Clone, Debug)]
pub struct Served {
    pub gvk: Gvk,
    pub plural: String,
    pub namespaced: bool,
    pub verbs: Vec<String>,
}

/// The kinds of patch an API server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    Json,
    Merge,
    Strategic,
    /// Server-side apply with force.
    Apply,
}

/// Why a request did not give an object.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The API server answered with a `Status`: its code, reason and message.
    #[error("{message}")]
    Status {
        code: u16,
        reason: String,
        message: String,
    },
    #[error("no matches for kind \"{kind}\" in version \"{version}\"")]
    NoSuchKind { kind: String, version: String },
    #[error("the API server could not be asked: {0}")]
    Transport(String),
}

impl ApiError {
    pub fn code(&self) -> u16 {
        match self {
            ApiError::Status { code, .. } => *code,
            ApiError::NoSuchKind { .. } => 404,
            ApiError::Transport(_) => 0,
        }
    }
}

/// What was discovered, by group and version.
type Kinds = HashMap<(String, String), Vec<Served>>;

/// A client with one user agent and one field manager.
#[derive(Clone)]
pub struct Cluster {
    client: kube::Client,
    manager: String,
    agent: String,
    kinds: Arc<Mutex<Kinds>>,
}

impl Cluster {
    /// Speaks as `manager` (the field manager of its writes) over `client`.
    pub fn new(client: kube::Client, manager: &str) -> Cluster {
        Cluster {
            client,
            manager: manager.to_owned(),
            agent: format!("{manager}/lab"),
            kinds: Arc::default(),
        }
    }

    /// Reads a kubeconfig text and connects as `context` (the current one if none is named).
    pub async fn connect(
        kubeconfig: &str,
        context: Option<&str>,
        manager: &str,
    ) -> anyhow::Result<Cluster> {
        // A second provider in the process would make the first TLS client panic, so ours is settled here; an error means that it already is.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config =
            kube::config::Kubeconfig::from_yaml(kubeconfig).context("reading the kubeconfig")?;
        let options = kube::config::KubeConfigOptions {
            context: context.map(str::to_owned),
            ..Default::default()
        };
        let mut config = kube::Config::from_custom_kubeconfig(config, &options)
            .await
            .context("using the kubeconfig")?;
        config.default_retry = false;
        let client = kube::Client::try_from(config).context("making a client for the cluster")?;
        Ok(Cluster::new(client, manager))
    }

    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// The same connection under another name.
    pub fn speaking_as(&self, manager: &str) -> Cluster {
        Cluster {
            manager: manager.to_owned(),
            agent: format!("{manager}/lab"),
            ..self.clone()
        }
    }

    /// Sends one request and reads the JSON answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        content: &str,
        body: Option<&Value>,
    ) -> Result<Value, ApiError> {
        let bytes = body
            .map(|body| body.to_string().into_bytes())
            .unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("user-agent", &self.agent)
            .header("accept", "application/json")
            .header("content-type", content)
            .body(bytes)
            .map_err(|error| ApiError::Transport(error.to_string()))?;
        self.client
            .request::<Value>(request)
            .await
            .map_err(|error| match error {
                kube::Error::Api(status) => ApiError::Status {
                    code: status.code,
                    reason: status.reason.clone(),
                    message: status.message.clone(),
                },
                other => ApiError::Transport(other.to_string()),
            })
    }

    /// Everything the API serves, freshly discovered.
    pub async fn discover(&self) -> Result<Vec<Served>, ApiError> {
        let mut versions = vec![(String::new(), "v1".to_owned())];
        let groups = self
            .send(Method::GET, "/apis", "application/json", None)
            .await?;
        for group in groups["groups"].as_array().into_iter().flatten() {
            let preferred = group["preferredVersion"]["version"]
                .as_str()
                .unwrap_or_default();
            versions.push((
                group["name"].as_str().unwrap_or_default().to_owned(),
                preferred.to_owned(),
            ));
        }
        let mut all = Vec::new();
        for (group, version) in versions {
            all.extend(self.group_version(&group, &version).await?);
        }
        Ok(all)
    }

    async fn group_version(&self, group: &str, version: &str) -> Result<Vec<Served>, ApiError> {
        let path = root(group, version);
        let list = match self
            .send(Method::GET, &path, "application/json", None)
            .await
        {
            Err(error) if error.code() == 404 => return Ok(Vec::new()),
            other => other?,
        };
        let mut served = Vec::new();
        for resource in list["resources"].as_array().into_iter().flatten() {
            let plural = resource["name"].as_str().unwrap_or_default();
            if plural.is_empty() || plural.contains('/') {
                continue;
            }
            served.push(Served {
                gvk: Gvk::new(
                    group,
                    version,
                    resource["kind"].as_str().unwrap_or_default(),
                ),
                plural: plural.to_owned(),
                namespaced: resource["namespaced"].as_bool().unwrap_or(false),
                verbs: resource["verbs"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|verb| verb.as_str().map(str::to_owned))
                    .collect(),
            });
        }
        Ok(served)
    }

    /// How `gvk` is served; asked for again when it is not known, since a CRD may have been added.
    pub async fn served(&self, gvk: &Gvk) -> Result<Served, ApiError> {
        let key = (gvk.group.clone(), gvk.version.clone());
        let mut kinds = self.kinds.lock().await;
        if let Some(found) = kinds
            .get(&key)
            .and_then(|list| list.iter().find(|served| served.gvk.kind == gvk.kind))
        {
            return Ok(found.clone());
        }
        let list = self.group_version(&gvk.group, &gvk.version).await?;
        let found = list
            .iter()
            .find(|served| served.gvk.kind == gvk.kind)
            .cloned();
        kinds.insert(key, list);
        found.ok_or_else(|| ApiError::NoSuchKind {
            kind: gvk.kind.clone(),
            version: gvk.api_version(),
        })
    }

    async fn path(&self, object: &Ref, collection: bool) -> Result<String, ApiError> {
        let served = self.served(&object.gvk).await?;
        let mut path = root(&object.gvk.group, &object.gvk.version);
        if served.namespaced && !object.namespace.is_empty() {
            path.push_str(&format!("/namespaces/{}", escape(&object.namespace)));
        }
        path.push_str(&format!("/{}", served.plural));
        if !collection {
            path.push_str(&format!("/{}", escape(&object.name)));
        }
        Ok(path)
    }

    /// The object, or `None` if there is none.
    pub async fn get(&self, object: &Ref) -> Result<Option<Value>, ApiError> {
        let path = self.path(object, false).await?;
        match self
            .send(Method::GET, &path, "application/json", None)
            .await
        {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.code() == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All objects of a kind in `namespace` (empty: in all), each with its `apiVersion` and `kind`.
    pub async fn list(&self, gvk: &Gvk, namespace: &str) -> Result<Vec<Value>, ApiError> {
        let path = self
            .path(&Ref::new(gvk.clone(), namespace, ""), true)
            .await?;
        let mut list = self
            .send(Method::GET, &path, "application/json", None)
            .await?;
        let mut items = match list["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        };
        for item in &mut items {
            item["apiVersion"] = json!(gvk.api_version());
            item["kind"] = json!(gvk.kind);
        }
        Ok(items)
    }

    fn query(&self) -> String {
        format!("?fieldManager={}", escape(&self.manager))
    }

    pub async fn create(&self, object: &Value) -> Result<Value, ApiError> {
        let target = Ref::of(object).ok_or_else(nameless)?;
        let path = self.path(&target, true).await? + &self.query();
        self.send(Method::POST, &path, "application/json", Some(object))
            .await
    }

    /// Replaces the object (PUT).
    pub async fn replace(&self, object: &Value) -> Result<Value, ApiError> {
        let target = Ref::of(object).ok_or_else(nameless)?;
        let path = self.path(&target, false).await? + &self.query();
        self.send(Method::PUT, &path, "application/json", Some(object))
            .await
    }

    /// Patches the object, or one of its subresources (`"status"`; empty for the object itself).
    pub async fn patch(
        &self,
        target: &Ref,
        subresource: &str,
        kind: PatchKind,
        body: &Value,
    ) -> Result<Value, ApiError> {
        let mut path = self.path(target, false).await?;
        if !subresource.is_empty() {
            path.push_str(&format!("/{subresource}"));
        }
        path.push_str(&self.query());
        let content = match kind {
            PatchKind::Json => "application/json-patch+json",
            PatchKind::Merge => "application/merge-patch+json",
            PatchKind::Strategic => "application/strategic-merge-patch+json",
            PatchKind::Apply => {
                path.push_str("&force=true");
                "application/apply-patch+yaml"
            }
        };
        self.send(Method::PATCH, &path, content, Some(body)).await
    }

    /// Deletes the object; that it is already gone is no error.
    pub async fn delete(&self, target: &Ref, propagation: &str) -> Result<(), ApiError> {
        let path = self.path(target, false).await?;
        let options =
            json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation});
        match self
            .send(Method::DELETE, &path, "application/json", Some(&options))
            .await
        {
            Err(error) if error.code() != 404 => Err(error),
            _ => Ok(()),
        }
    }

    /// A bearer token of a ServiceAccount (the TokenRequest API), good for ten years where the server allows it.
    pub async fn service_account_token(
        &self,
        namespace: &str,
        name: &str,
    ) -> anyhow::Result<String> {
        let path = format!(
            "/api/v1/namespaces/{}/serviceaccounts/{}/token",
            escape(namespace),
            escape(name)
        );
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 315_360_000}});
        let answer = self
            .send(Method::POST, &path, "application/json", Some(&body))
            .await
            .with_context(|| {
                format!("requesting a token for the ServiceAccount {namespace}/{name}")
            })?;
        answer["status"]["token"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| {
                anyhow!("the answer to the token request for {namespace}/{name} holds no token")
            })
    }
}

fn nameless() -> ApiError {
    ApiError::Status {
        code: 422,
        reason: "Invalid".to_owned(),
        message: "an object needs apiVersion, kind and metadata.name".to_owned(),
    }
}

fn root(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("/api/{}", escape(version))
    } else {
        format!("/apis/{}/{}", escape(group), escape(version))
    }
}

/// Percent-encodes one path segment or query value: names come from manifests, which are outside input.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    // A segment of dots alone would climb in the path.
    match out.as_str() {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => out,
    }
}
