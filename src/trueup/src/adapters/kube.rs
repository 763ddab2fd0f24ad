//! Kubernetes API servers: one client for reads, one for effects, plain JSON in and out.

mod client;
mod connect;
mod discovery;
mod http;
mod page;
mod reads;
mod secrets;
mod watch;
mod whole;
mod writes;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use trueup_core::object::identity::ObjectRef;
use trueup_core::object::live::Live;
use trueup_core::object::redact::Plain;

use crate::ports::{
    Cluster, ClusterPin, CommandLine, CommandLog, Grant, Kind, Listing, Permission, ReadError,
    Served, Watch, WriteError, WriteRequest,
};

pub use connect::contexts;

/// How to reach a cluster.
#[derive(Clone)]
pub struct ConnectOptions {
    /// `None`: `$KUBECONFIG`, else `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// `None`: the kubeconfig's current context.
    pub context: Option<String>,
    /// Key of the digests that stand in for secret values.
    pub secret_key: [u8; 32],
    pub log: CommandLog,
    pub read_deadline: Duration,
    pub write_deadline: Duration,
}

impl ConnectOptions {
    pub fn new(secret_key: [u8; 32], log: CommandLog) -> Self {
        Self {
            kubeconfig: None,
            context: None,
            secret_key,
            log,
            read_deadline: Duration::from_secs(10),
            write_deadline: Duration::from_secs(15),
        }
    }
}

/// One cluster. Cheap to clone; clones share connections and the discovery cache.
#[derive(Clone)]
pub struct KubeCluster {
    inner: Arc<Inner>,
}

struct Inner {
    /// May repeat a request that the server asked to be repeated.
    reads: ::kube::Client,
    /// Sends what it is given once. Also used for watches.
    effects: ::kube::Client,
    server: String,
    ca_digest: String,
    context: String,
    other_context: Option<String>,
    options: ConnectOptions,
    discovery: discovery::Cache,
    /// Whether a list without a limit is cheap for the server; unknown until it told its version.
    caches: tokio::sync::OnceCell<bool>,
    /// When a probe beside a quiet watch was last answered; one answer does for all watches.
    probed: std::sync::Mutex<Option<std::time::Instant>>,
}

impl KubeCluster {
    /// Reads the kubeconfig and prepares the clients. Nothing is asked of the server yet.
    pub async fn connect(options: ConnectOptions) -> Result<Self, ReadError> {
        connect::connect(options).await
    }

    fn log(&self, started: Timestamp, what: &str, equivalent: String, outcome: &str, effect: bool) {
        let took = Timestamp::now().duration_since(started);
        (self.inner.options.log)(CommandLine {
            at: started,
            what: what.to_owned(),
            equivalent,
            outcome: outcome.to_owned(),
            took: Duration::try_from(took).unwrap_or_default(),
            effect,
        });
    }
}

#[async_trait]
impl Cluster for KubeCluster {
    async fn pin(&self) -> Result<ClusterPin, ReadError> {
        self.read_pin().await
    }

    async fn list(&self, kind: &Kind, namespace: Option<&str>) -> Result<Listing, ReadError> {
        self.read_list(kind, namespace).await
    }

    async fn some(&self, kind: &Kind, namespace: Option<&str>) -> Vec<Arc<Live>> {
        self.read_some(kind, namespace).await.unwrap_or_default()
    }

    async fn get(&self, object: &ObjectRef) -> Result<Option<Value>, ReadError> {
        self.read_object(object).await
    }

    async fn reveal(&self, secret: &ObjectRef, key: &str) -> Result<Option<Plain>, ReadError> {
        self.read_plain(secret, key).await
    }

    async fn write(&self, request: &WriteRequest) -> Result<Value, WriteError> {
        self.send_write(request).await
    }

    async fn allowed(&self, permissions: &[Permission]) -> Vec<Grant> {
        self.review(permissions).await
    }

    async fn watch(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        from: &str,
    ) -> Result<Watch, ReadError> {
        self.start_watch(kind, namespace, from).await
    }

    async fn served(&self, kinds: &[Kind]) -> Result<Vec<Option<Served>>, ReadError> {
        let mut answers = Vec::with_capacity(kinds.len());
        for kind in kinds {
            answers.push(self.lookup(kind).await?);
        }
        Ok(answers)
    }

    fn context(&self) -> &str {
        &self.inner.context
    }

    fn other_context(&self) -> Option<&str> {
        self.inner.other_context.as_deref()
    }
}
