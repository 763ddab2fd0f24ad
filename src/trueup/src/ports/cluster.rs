//! What the program asks of a Kubernetes API server.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;
use trueup_core::object::identity::ObjectRef;
use trueup_core::object::live::Live;
use trueup_core::object::redact::Plain;

/// An API server that has just been started refuses everything until it has read the roles: what could be read before is asked
/// for again this often, once a second, before a refusal is believed.
pub const STARTING: u32 = 5;

/// A kind of object as a manifest names it; the server's plural is looked up by the adapter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Kind {
    /// Empty for the core group.
    pub group: String,
    pub version: String,
    pub kind: String,
}

impl Kind {
    pub fn new(group: &str, version: &str, kind: &str) -> Self {
        Self {
            group: group.into(),
            version: version.into(),
            kind: kind.into(),
        }
    }

    /// The kind that a manifest declares; `None` when `apiVersion` or `kind` is missing.
    pub fn of_object(object: &Value) -> Option<Self> {
        let api_version = object.get("apiVersion")?.as_str()?;
        let kind = object.get("kind")?.as_str()?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Some(Self::new(group, version, kind))
    }

    /// The kind of the object that a reference names.
    pub fn of(object: &ObjectRef) -> Self {
        Self::new(&object.group, &object.version, &object.kind)
    }

    /// `v1`, `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Whether objects of this kind hold secret values.
    pub fn is_secret(&self) -> bool {
        self.group.is_empty() && self.kind == "Secret"
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            f.write_str(&self.kind)
        } else {
            write!(f, "{}.{}", self.kind, self.group)
        }
    }
}

/// How the server serves a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The resource name in URLs and permissions, e.g. `configmaps`.
    pub plural: String,
    pub namespaced: bool,
    pub verbs: Vec<String>,
}

/// What identifies a cluster, so that a switched context or a restored server is noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterPin {
    pub server: String,
    /// SHA-256 of the CA bundle in hexadecimal; empty when the system's roots are trusted.
    pub ca_digest: String,
    /// UID of namespace `kube-system`; `None` when it may not be read.
    pub kube_system_uid: Option<String>,
    pub context: String,
    /// `gitVersion` of the server.
    pub version: String,
}

/// All objects of one kind at one moment.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Whole, but for `metadata.managedFields`, which is text (see `trueup_core::object::managed::unpack`). Shared: who keeps the live state and
    /// who looks at it have the same object.
    pub items: Vec<Arc<Live>>,
    /// Where a watch goes on from.
    pub resource_version: String,
    /// Size of the answers, decompressed.
    pub bytes: u64,
    /// Number of pages asked for.
    pub requests: u32,
}

/// Why a read gave nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFailure {
    /// No connection, or no answer in time.
    Unreachable,
    /// The server does not know us (401), or the credentials could not be had.
    Unauthenticated,
    /// The server knows us and says no (403).
    Forbidden,
    /// The server does not serve this kind.
    NotServed,
    /// Any other answer that is not success.
    Refused,
    /// The answer could not be understood.
    Malformed,
    /// The kubeconfig or the context does not work.
    Settings,
}

/// A read that failed: what was tried, why it failed, what the operator can do.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot {what}: {why}")]
pub struct ReadError {
    pub failure: ReadFailure,
    pub what: String,
    pub why: String,
    pub hint: String,
}

/// What a write does to the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WriteKind {
    JsonPatch,
    MergePatch,
    StrategicMerge,
    /// Server-side apply.
    Apply {
        force: bool,
    },
    Create,
    /// `body` is a `DeleteOptions` object; its preconditions are the guard.
    Delete,
    /// A full update (PUT); the body's resourceVersion is the guard.
    Replace,
}

/// One write, sent once. The guard (a resourceVersion, a `test`, a uid) is part of the body.
#[derive(Debug, Clone)]
pub struct WriteRequest {
    pub object: ObjectRef,
    pub kind: WriteKind,
    pub body: Value,
    /// The server answers as if, and keeps nothing.
    pub dry_run: bool,
    pub field_manager: String,
    pub subresource: Option<String>,
}

/// Why a write did not (certainly) happen.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// The object moved since it was read; nothing was written.
    #[error("cannot {what}: the object changed since it was read ({why}); nothing was written")]
    LostGuard { what: String, why: String },
    /// The server refused; nothing was written.
    #[error("cannot {what}: the server answered {code} {reason}: {message}")]
    Refused {
        what: String,
        code: u16,
        reason: String,
        message: String,
        causes: Vec<String>,
    },
    /// No usable answer came: the write may have landed. Look before anything else is done.
    #[error("the outcome of \"{what}\" is unknown: {cause}; it may have landed")]
    Unknown { what: String, cause: String },
    /// The request did not leave; nothing was written.
    #[error("cannot {what}: not sent: {cause}")]
    NotSent { what: String, cause: String },
}

/// One thing that the walk needs to be allowed to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Permission {
    pub verb: String,
    pub group: String,
    /// Plural resource name.
    pub resource: String,
    pub subresource: Option<String>,
    pub namespace: Option<String>,
    pub name: Option<String>,
}

impl Permission {
    pub fn new(verb: &str, group: &str, resource: &str, namespace: Option<&str>) -> Self {
        Self {
            verb: verb.into(),
            group: group.into(),
            resource: resource.into(),
            subresource: None,
            namespace: namespace.map(Into::into),
            name: None,
        }
    }
}

impl fmt::Display for Permission {
    /// `patch applications.argoproj.io in argocd`, `get namespaces/kube-system`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        for part in [&self.subresource, &self.name].into_iter().flatten() {
            write!(f, "/{part}")?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, " in {namespace}"),
            None => Ok(()),
        }
    }
}

/// The server's answer about one permission (SelfSubjectAccessReview).
#[derive(Debug, Clone)]
pub struct Grant {
    pub permission: Permission,
    /// `None` when the server could not be asked.
    pub allowed: Option<bool>,
    pub why: String,
}

/// What a watch tells.
#[derive(Debug, Clone)]
pub enum WatchEvent {
    /// The object was added or changed.
    Changed(Value),
    /// The object is gone; its last state.
    Deleted(Value),
    /// Nothing changed up to this resourceVersion.
    Bookmark(String),
    /// What happened between the two resourceVersions was not seen (410 Gone); `items` is the state now and replaces
    /// what was known. Holds and quiet timers start again.
    Gap {
        from: String,
        to: String,
        items: Vec<Arc<Live>>,
    },
    /// The watch broke and is being taken up again from where it was.
    Error(ReadError),
}

/// How fresh a watch is. Shared with the task that reads it.
#[derive(Debug)]
pub struct WatchHealth {
    started: Instant,
    /// 0: none yet.
    last_byte_ms: AtomicU64,
    last_probe_ms: AtomicU64,
}

impl Default for WatchHealth {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            last_byte_ms: AtomicU64::new(0),
            last_probe_ms: AtomicU64::new(0),
        }
    }
}

impl WatchHealth {
    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Notes that the watch itself brought something.
    pub fn byte(&self) {
        self.last_byte_ms
            .store(self.elapsed_ms().max(1), Ordering::Relaxed);
    }

    /// Whether the server ever accepted the watch.
    pub fn was_up(&self) -> bool {
        self.last_byte_ms.load(Ordering::Relaxed) > 0
    }

    /// Notes that the server answered a probe beside a quiet watch.
    pub fn probe(&self) {
        self.last_probe_ms
            .store(self.elapsed_ms(), Ordering::Relaxed);
    }

    /// Time since the last byte of the watch: the age that a screen shows.
    pub fn silent_for(&self) -> Duration {
        Duration::from_millis(
            self.elapsed_ms()
                .saturating_sub(self.last_byte_ms.load(Ordering::Relaxed)),
        )
    }

    /// Time since the server was last known to answer at all.
    pub fn unreachable_for(&self) -> Duration {
        let last = self
            .last_byte_ms
            .load(Ordering::Relaxed)
            .max(self.last_probe_ms.load(Ordering::Relaxed));
        Duration::from_millis(self.elapsed_ms().saturating_sub(last))
    }
}

/// A running watch; dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    pub events: mpsc::Receiver<WatchEvent>,
    pub health: Arc<WatchHealth>,
}

/// A Kubernetes API server. Secret values are digests by the time they are returned; [`Cluster::reveal`] alone lets one
/// through.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// Identifies the cluster by asking it.
    async fn pin(&self) -> Result<ClusterPin, ReadError>;
    /// Every object of a kind, in one namespace or in all.
    async fn list(&self, kind: &Kind, namespace: Option<&str>) -> Result<Listing, ReadError>;
    /// A few objects of a kind, whichever come first: a hint at what the rest is like. What cannot be read hints at nothing.
    async fn some(&self, _kind: &Kind, _namespace: Option<&str>) -> Vec<Arc<Live>> {
        Vec::new()
    }
    /// One object, fresh from the server; `None` when it does not exist.
    async fn get(&self, object: &ObjectRef) -> Result<Option<Value>, ReadError>;
    /// One value of a Secret as it stands now, for the screen of an operator who asked for it; `None` when it does not
    /// exist.
    async fn reveal(&self, secret: &ObjectRef, key: &str) -> Result<Option<Plain>, ReadError>;
    /// Exactly one request, never repeated, with a deadline. Returns the object as the server answered it.
    async fn write(&self, request: &WriteRequest) -> Result<Value, WriteError>;
    /// Asks the server about each permission; the answers are in the order of the questions.
    async fn allowed(&self, permissions: &[Permission]) -> Vec<Grant>;
    /// Watches a kind from a resourceVersion on.
    async fn watch(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        from: &str,
    ) -> Result<Watch, ReadError>;
    /// How the server serves each kind; `None` for those that it does not. In the order asked.
    async fn served(&self, kinds: &[Kind]) -> Result<Vec<Option<Served>>, ReadError>;
    /// The kubeconfig context this cluster is reached by.
    fn context(&self) -> &str;
    /// The kubeconfig's current context, where that is another one of the same server.
    fn other_context(&self) -> Option<&str> {
        None
    }
}
