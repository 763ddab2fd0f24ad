//! A Kubernetes API server on loopback: real HTTPS, real semantics, objects in memory.
//!
//! It serves what clients of a GitOps cluster meet: discovery, all patch formats, server-side apply with field ownership, watches,
//! RBAC and an audit log. It runs no controllers except the garbage collector and the end of namespaces.

mod audit;
mod auth;
mod custom;
mod decode;
mod defaults;
mod delete;
mod discovery;
mod fields;
mod kinds;
mod managed;
mod openapi;
mod patch;
mod prepare;
mod present;
mod protobuf;
mod read;
mod route;
mod schema;
mod select;
mod serve;
mod status;
mod store;
mod strategic;
mod subresource;
mod tls;
mod write;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// Manifests of Argo CD's custom kinds, to be created through the API by whoever fills the cluster.
pub const ARGOCD_CRDS: [&str; 3] = [
    include_str!("../../../../assets/lab/crds/application.yaml"),
    include_str!("../../../../assets/lab/crds/appproject.yaml"),
    include_str!("../../../../assets/lab/crds/applicationset.yaml"),
];

/// How a server is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// Certificates and the audit log go here.
    pub dir: PathBuf,
    /// Changes kept for watches; a watch from before them answers 410.
    pub watch_log: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dir: std::env::temp_dir(),
            watch_log: 5_000,
        }
    }
}

/// Shared by all requests.
#[derive(Debug)]
pub(crate) struct Api {
    store: Mutex<store::Store>,
    admin: String,
    audit: audit::Log,
    stop: CancellationToken,
}

impl Api {
    /// The store. No request holds it across an await; a panic inside leaves it as it was before the commit.
    fn store(&self) -> MutexGuard<'_, store::Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running server. Dropping it without [`Server::stop`] leaves it running until the runtime ends.
#[derive(Debug)]
pub struct Server {
    api: Arc<Api>,
    url: String,
    ca_pem: String,
    audit_log: PathBuf,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Server {
    /// Binds a free port of 127.0.0.1 and serves.
    pub async fn start(config: Config) -> anyhow::Result<Server> {
        std::fs::create_dir_all(&config.dir)
            .with_context(|| format!("cannot make {}", config.dir.display()))?;
        let (ca_pem, tls) = tls::certificates().context("cannot make certificates")?;
        let ca_file = config.dir.join("ca.crt");
        std::fs::write(&ca_file, &ca_pem)
            .with_context(|| format!("cannot write {}", ca_file.display()))?;
        let audit_log = config.dir.join("audit.log");
        let audit = audit::Log::open(&audit_log)
            .with_context(|| format!("cannot open {}", audit_log.display()))?;
        let mut store = store::Store::new(config.watch_log.max(1));
        bootstrap(&mut store);
        let admin = store::random::<16>()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let stop = CancellationToken::new();
        let api = Arc::new(Api {
            store: Mutex::new(store),
            admin,
            audit,
            stop: stop.clone(),
        });
        let listener = tls::Listener::bind(tls).await?;
        let url = format!("https://{}", axum::serve::Listener::local_addr(&listener)?);
        let router = axum::Router::new()
            .fallback(serve::handle)
            .with_state(api.clone());
        let task = tokio::spawn(async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(stop.cancelled_owned())
                .await
        });
        Ok(Server {
            api,
            url,
            ca_pem,
            audit_log,
            task,
        })
    }

    /// `https://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The token of `kubernetes-admin`, group `system:masters`.
    pub fn admin_token(&self) -> &str {
        &self.api.admin
    }

    pub fn audit_log(&self) -> &Path {
        &self.audit_log
    }

    /// Forgets the whole change log, as a compaction of etcd does: watches from before now answer 410.
    pub fn compact(&self) {
        self.api.store().compact_all();
    }

    /// A kubeconfig with one context per (name, token), all on this server.
    pub fn kubeconfig(&self, users: &[(&str, &str)], current: &str) -> String {
        use base64::Engine;
        let ca = base64::engine::general_purpose::STANDARD.encode(&self.ca_pem);
        let contexts: Vec<_> = users
            .iter()
            .map(|(name, _)| json!({"name": name, "context": {"cluster": "lab", "user": name}}))
            .collect();
        let users: Vec<_> = users
            .iter()
            .map(|(name, token)| json!({"name": name, "user": {"token": token}}))
            .collect();
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": current,
            "clusters": [{"name": "lab", "cluster": {"server": self.url, "certificate-authority-data": ca}}],
            "contexts": contexts, "users": users,
        });
        // JSON is YAML, and this text is read by both kinds of parser.
        serde_json::to_string_pretty(&config).unwrap_or_default()
    }

    /// Ends all watches and connections.
    pub async fn stop(mut self) {
        self.api.stop.cancel();
        if tokio::time::timeout(std::time::Duration::from_secs(2), &mut self.task)
            .await
            .is_err()
        {
            self.task.abort();
        }
    }
}

/// What a new cluster has before anybody writes.
fn bootstrap(store: &mut store::Store) {
    let now = store::now();
    for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
        let object = json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "uid": store::uid(), "creationTimestamp": now, "labels": {"kubernetes.io/metadata.name": name},
                "managedFields": [{"manager": "kube-apiserver", "operation": "Update", "apiVersion": "v1", "time": now, "fieldsType": "FieldsV1",
                    "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:kubernetes.io/metadata.name": {}}}}}]},
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}});
        store.commit(
            ("namespaces".into(), String::new(), name.into()),
            Some(object),
        );
        write::default_account(store, name, &now);
    }
    let group = "rbac.authorization.k8s.io";
    let all = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}, {"nonResourceURLs": ["*"], "verbs": ["*"]}]);
    let readable = json!([{"apiGroups": ["", "apps", "batch", "autoscaling"], "verbs": ["get", "list", "watch"],
        "resources": ["configmaps", "services", "serviceaccounts", "pods", "pods/log", "events", "endpoints", "namespaces",
            "deployments", "replicasets", "statefulsets", "daemonsets", "jobs", "cronjobs", "horizontalpodautoscalers"]}]);
    for (name, rules) in [("cluster-admin", all), ("view", readable)] {
        let object = json!({"apiVersion": format!("{group}/v1"), "kind": "ClusterRole",
            "metadata": {"name": name, "uid": store::uid(), "creationTimestamp": now}, "rules": rules});
        store.commit(
            (format!("clusterroles.{group}"), String::new(), name.into()),
            Some(object),
        );
    }
    let binding = json!({"apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding",
        "metadata": {"name": "cluster-admin", "uid": store::uid(), "creationTimestamp": now},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": group, "kind": "Group", "name": "system:masters"}]});
    store.commit(
        (
            format!("clusterrolebindings.{group}"),
            String::new(),
            "cluster-admin".into(),
        ),
        Some(binding),
    );
}
