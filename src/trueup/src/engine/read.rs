//! The read side: one look at the world, everything in it read once, and what could not be read said by name.
//!
//! `desired` renders what Git says at the head and at the last synced revision, `live` lists each kind once per cluster,
//! `declared` finds the Applications' own manifests, `scope` adds owners and pods, `needs` what the operator may do.

mod beside;
mod declared;
mod desired;
mod live;
mod managed;
mod needs;
mod predict;
mod scope;
mod trace;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Mutex;
use trueup_core::drift::report::{DriftReport, ReportError};
use trueup_core::drift::{self, AppInput, Desired, Input};
use trueup_core::event::Prediction;
use trueup_core::object::identity::{AppKey, ObjectRef};
use trueup_core::object::live::Live;
use trueup_core::object::redact::{self, redact};
use trueup_core::source::plain::Rendering;

use super::trouble::Trouble;
use crate::ports::{
    Clock, Cluster, ClusterPin, GitError, Grant, Head, Kind, ReadError, ReadFailure, Repos,
};

pub use declared::DeclaredAt;
pub(super) use declared::NEEDLE as MANIFESTS_OF_ARGO_CD;
pub(super) use desired::folder_path;
pub(super) use desired::unsupported;
pub use live::{is_tracked_by, resources};
pub use needs::{Need, Role};
pub(super) use predict::of_git;
pub use scope::PodSeen;
pub use trace::{Traced, Untraced};

/// What Argo CD calls the cluster that it runs on.
const IN_CLUSTER: [&str; 3] = [
    "https://kubernetes.default.svc",
    "in-cluster",
    "https://kubernetes.default.svc:443",
];
/// Files of a repository: path from its root, and bytes.
pub type Files = Vec<(String, Vec<u8>)>;

/// How old an answer may be that a glance takes for new.
const RECENT: Duration = Duration::from_secs(5);
/// Questions to remotes in flight at once.
const CONCURRENT: usize = 8;

/// What to read beside the comparison.
#[derive(Debug, Clone, Copy, Default)]
pub struct LookOptions {
    /// Pods of the applications' workloads.
    pub pods: bool,
    /// What this operator may do, one review per permission.
    pub permissions: bool,
    /// ApplicationSets and AppProjects that the applications belong to.
    pub owners: bool,
    /// What a sync of each application would do, by dry runs.
    pub predictions: bool,
    /// Only what Git says: nothing deployed is read, and the report has no questions.
    pub git_only: bool,
    /// Nothing but the report is wanted: of the files that it is made from only those are kept that it speaks of.
    pub report_only: bool,
    /// Branches and the cluster's identity may be a few seconds old: a watch brought this look about, and only what it
    /// brought is new.
    pub glance: bool,
}

/// Where an Application deploys to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// `spec.destination.name` or `.server`, as written.
    pub cluster: String,
    pub namespace: String,
    /// The context that reaches it; `None` when no context is known to.
    pub context: Option<String>,
}

/// One Application as this look found it.
#[derive(Debug, Clone)]
pub struct AppSeen {
    pub key: AppKey,
    pub object: Arc<Value>,
    /// The first source.
    pub repo_url: String,
    /// The tracked branch, or the revision as written when it is no branch.
    pub branch: String,
    pub path: String,
    /// Where the tracked branch stands on the remote.
    pub head: Option<String>,
    /// The last revision that was synced in full and successfully.
    pub base_revision: Option<String>,
    pub destination: Destination,
    /// ApplicationSet or parent, as `ApplicationSet/NAME` or `Application/NAME`.
    pub owner: Option<String>,
    /// Git at the head, hooks left out, secrets as digests.
    pub desired: Vec<Desired>,
    /// Objects of Git that run as hooks of a sync.
    pub hooks: Vec<ObjectRef>,
    /// Git at `base_revision`, secrets as digests.
    pub base: Option<Vec<Arc<Value>>>,
    pub live: Vec<Arc<Live>>,
    /// The Application as Git declares it, and where.
    pub declared: Option<DeclaredAt>,
    /// The rendering at the head with its values as they stand in Git; for edits and proofs, never to be shown.
    pub rendering: Option<Arc<Rendering>>,
    /// The files below `path` at the head; for edits and proofs, never to be shown.
    pub files: Arc<Files>,
    /// What a sync at the head would do now, when asked for, and when that was found out.
    pub if_synced: Option<(Prediction, Timestamp)>,
    pub pods: Vec<PodSeen>,
    /// Whether all of this Application could be read: when not, the absence of a difference means nothing.
    pub complete: bool,
}

impl AppSeen {
    /// The live objects, whoever shares them.
    pub fn live_objects(&self) -> impl Iterator<Item = &Value> {
        self.live.iter().map(|live| &***live)
    }

    /// The object as Git renders it at the head, and as it is live.
    pub fn sides_of(&self, object: &ObjectRef) -> (Option<&Value>, Option<&Value>) {
        let is = |other: &&Value| {
            ObjectRef::from_object(other).is_ok_and(|reference| reference.key() == object.key())
        };
        let git = self
            .desired
            .iter()
            .map(|desired| desired.object.as_ref())
            .find(is);
        (git, self.live_objects().find(is))
    }
}

/// Everything that one look at the world gave.
#[derive(Debug, Clone)]
pub struct World {
    pub observed_at: Timestamp,
    pub pin: Option<ClusterPin>,
    pub applications: BTreeMap<AppKey, AppSeen>,
    pub report: DriftReport,
    /// `repoURL` and revision as the Applications have them → full commit id.
    pub heads: BTreeMap<(String, String), String>,
    pub permissions: Vec<(Need, Grant)>,
    /// ApplicationSets and AppProjects, when asked for, whole.
    pub sets: Vec<Arc<Value>>,
    pub projects: Vec<Arc<Value>>,
    /// What could not be read; the same as in the report.
    pub errors: Vec<ReportError>,
    /// Objects and answers read, for the status line.
    pub bytes: u64,
    pub requests: u32,
}

/// Looks at the world through the ports. Renderings are kept between looks, nothing else is.
pub struct Reader {
    hub: Arc<dyn Cluster>,
    destinations: BTreeMap<String, Arc<dyn Cluster>>,
    repos: Arc<dyn Repos>,
    clock: Arc<dyn Clock>,
    namespace: String,
    secret_key: [u8; 32],
    cache: Mutex<desired::Cache>,
    recent: Mutex<Recent>,
}

/// What only asking tells, and a look that a watch brought about need not ask again at once.
#[derive(Default)]
struct Recent {
    pin: Option<(Instant, ClusterPin)>,
    heads: BTreeMap<(String, String), (Instant, Head)>,
    /// The revisions at which Argo CD was seen to have compared, by repository.
    compared: std::collections::BTreeSet<(String, String)>,
}

impl Reader {
    /// `destinations`: destination name or server URL → the cluster behind it; Argo CD's own needs no entry.
    pub fn new(
        hub: Arc<dyn Cluster>,
        destinations: BTreeMap<String, Arc<dyn Cluster>>,
        repos: Arc<dyn Repos>,
        clock: Arc<dyn Clock>,
        namespace: &str,
        secret_key: [u8; 32],
    ) -> Self {
        Self {
            hub,
            destinations,
            repos,
            clock,
            namespace: namespace.to_owned(),
            secret_key,
            cache: Mutex::default(),
            recent: Mutex::default(),
        }
    }

    /// Argo CD's namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The Application that a name on the command line means: `name`, or `namespace/name`.
    pub fn app_key(&self, name: &str) -> AppKey {
        match name.split_once('/') {
            Some((namespace, name)) => AppKey::new(namespace, name),
            None => AppKey::new(self.namespace.as_str(), name),
        }
    }

    /// Refuses names that no Application has, with those that come near.
    pub async fn must_exist(&self, keys: &[AppKey]) -> Result<(), Trouble> {
        let mut missing = Vec::new();
        for key in keys {
            if self.hub.get(&application_ref(key)).await?.is_none() {
                missing.push(key);
            }
        }
        let Some(first) = missing.first() else {
            return Ok(());
        };
        let (all, _, _) = self.applications(None).await?;
        let known: Vec<AppKey> = all
            .iter()
            .filter_map(|object| AppKey::from_object(object).ok())
            .collect();
        let near = near(first, &known);
        let hint = match near.as_slice() {
            [] => format!(
                "`trueup drift` lists the Applications of {}",
                self.namespace
            ),
            near => format!("did you mean {}?", near.join(", ")),
        };
        let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
        Err(Trouble::failed(
            format!("find {}", names.join(", ")),
            "there is no such Application",
            hint,
        ))
    }

    /// The cluster that an Application deploys to.
    pub fn cluster_of(&self, destination: &Destination) -> Option<&Arc<dyn Cluster>> {
        if let Some(cluster) = self.destinations.get(&destination.cluster) {
            return Some(cluster);
        }
        IN_CLUSTER
            .contains(&destination.cluster.as_str())
            .then_some(&self.hub)
    }

    /// Every Application of this Argo CD, or those of the scope. The error is that none could be listed.
    pub async fn applications(
        &self,
        scope: Option<&[AppKey]>,
    ) -> Result<(Vec<Arc<Value>>, u64, u32), ReadError> {
        let kind = applications();
        let managed = match scope {
            None => Some(self.elsewhere().await),
            Some(_) => None,
        };
        let elsewhere = match (scope, &managed) {
            (Some(scope), _) => scope.iter().any(|key| key.namespace != self.namespace),
            (None, managed) => managed.as_ref().is_some_and(|them| !them.is_empty()),
        };
        let mut listing = if elsewhere {
            match self.hub.list(&kind, None).await {
                Err(error) if error.failure == ReadFailure::Forbidden => {
                    self.hub.list(&kind, Some(&self.namespace)).await?
                }
                other => other?,
            }
        } else {
            self.hub.list(&kind, Some(&self.namespace)).await?
        };
        if let Some(elsewhere) = managed {
            let ours = |object: &Arc<Live>| self.is_managed(object, &elsewhere);
            listing.items.retain(ours);
        }
        Ok((trees(listing.items), listing.bytes, listing.requests))
    }

    /// Lists the Applications into a look.
    async fn list_applications(&self, scope: Option<&[AppKey]>, look: &mut Look) {
        match self.applications(scope).await {
            Ok((objects, bytes, requests)) => {
                look.bytes += bytes;
                look.requests += requests;
                if objects.is_empty() && scope.is_none() {
                    look.errors.extend(self.no_namespace().await);
                }
                self.select(objects, scope, look);
            }
            Err(error) => look.errors.push(from_read(&error)),
        }
    }

    /// One look at everything in the scope. What cannot be read is an entry in `errors`; the rest is still there.
    pub async fn look(&self, scope: Option<&[AppKey]>, options: LookOptions) -> World {
        let observed_at = self.clock.now();
        let mut look = Look::default();
        let hints = async {
            match scope {
                None if !options.git_only => {
                    self.hub.some(&applications(), Some(&self.namespace)).await
                }
                _ => Vec::new(),
            }
        };
        let (pin, some) = tokio::join!(self.pin(options.glance), hints);
        let mut early = live::Lists::new();
        // What a server says that does not say who it is is not believed.
        let pin = match pin {
            Ok(pin) => {
                early.start(self.hinted(some.iter().map(|live| &***live)));
                self.list_applications(scope, &mut look).await;
                Some(pin)
            }
            Err(error) => {
                look.errors.push(from_read(&error));
                None
            }
        };
        if !options.git_only {
            early.start(self.hinted(look.apps.values().map(|app| &*app.object)));
        }
        self.find_heads(&mut look, options.glance).await;
        self.render_all(&mut look, !options.report_only).await;
        let early = early.done().await;
        if !options.git_only {
            self.read_live(&mut look, options.pods, early).await;
        }
        if options.predictions {
            self.predict_all(&mut look).await;
        }
        let (mut sets, mut projects) = (Vec::new(), Vec::new());
        if options.owners {
            sets = self.optional_list("ApplicationSet", &mut look).await;
            projects = self.optional_list("AppProject", &mut look).await;
        }
        let input = Input {
            // Without the live side there is nothing to compare.
            applications: look
                .apps
                .values_mut()
                .filter(|_| !options.git_only)
                .map(lend)
                .collect(),
            now: observed_at,
        };
        let mut report = compare_all(&input);
        for (app, lent) in look.apps.values_mut().zip(input.applications) {
            give_back(app, lent);
        }
        report.errors.extend(look.errors.iter().cloned());
        if options.report_only {
            self.read_again(&mut look.apps, &trace::asked(&report))
                .await;
        }
        trace::sharpen(&mut report, &look.apps);
        let permissions = if options.permissions {
            self.permissions(&look.apps, &report.questions).await
        } else {
            Vec::new()
        };
        World {
            observed_at,
            pin,
            applications: look.apps,
            errors: report.errors.clone(),
            report,
            heads: look.heads,
            permissions,
            sets,
            projects,
            bytes: look.bytes,
            requests: look.requests,
        }
    }

    async fn pin(&self, glance: bool) -> Result<ClusterPin, ReadError> {
        let mut recent = self.recent.lock().await;
        match &recent.pin {
            Some((at, pin)) if glance && at.elapsed() < RECENT => Ok(pin.clone()),
            _ => {
                recent.pin = None;
                let pin = self.hub.pin().await?;
                recent.pin = Some((Instant::now(), pin.clone()));
                Ok(pin)
            }
        }
    }

    async fn head(&self, url: &str, revision: &str, glance: bool) -> Result<Head, GitError> {
        let name = (url.to_owned(), revision.to_owned());
        if glance
            && let Some((at, head)) = self.recent.lock().await.heads.get(&name)
            && at.elapsed() < RECENT
        {
            return Ok(head.clone());
        }
        let head = self.repos.open(url).await?.head(revision).await?;
        let mut recent = self.recent.lock().await;
        recent.heads.insert(name, (Instant::now(), head.clone()));
        Ok(head)
    }

    /// Keeps the Applications of the scope and names those that do not exist.
    fn select(&self, objects: Vec<Arc<Value>>, scope: Option<&[AppKey]>, look: &mut Look) {
        for object in objects {
            let Ok(key) = AppKey::from_object(&object) else {
                continue;
            };
            if scope.is_some_and(|scope| !scope.contains(&key)) {
                continue;
            }
            let destination = self.destination_of(&object);
            let source = object
                .pointer("/spec/source")
                .or_else(|| object.pointer("/spec/sources/0"));
            let text = |field: &str| {
                source
                    .and_then(|source| source.get(field))
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            let revision = text("targetRevision");
            let seen = AppSeen {
                repo_url: text("repoURL"),
                branch: if revision.is_empty() {
                    "HEAD".to_owned()
                } else {
                    revision
                },
                path: text("path"),
                head: None,
                base_revision: desired::base_revision(&object),
                owner: scope::owner(&object, &key, &self.namespace),
                destination,
                desired: Vec::new(),
                hooks: Vec::new(),
                base: None,
                live: Vec::new(),
                declared: None,
                rendering: None,
                files: Arc::default(),
                if_synced: None,
                pods: Vec::new(),
                complete: true,
                key: key.clone(),
                object,
            };
            look.apps.insert(key, seen);
        }
        for key in scope.into_iter().flatten() {
            if !look.apps.contains_key(key) {
                look.errors.push(ReportError::new(
                    format!("find Application {key}"),
                    "there is no such Application",
                    format!(
                        "check the name with `kubectl get applications.argoproj.io -n {}`",
                        key.namespace
                    ),
                ));
            }
        }
    }

    fn destination_of(&self, application: &Value) -> Destination {
        let text = |field: &str| {
            application
                .pointer(&format!("/spec/destination/{field}"))
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let cluster = if text("name").is_empty() {
            text("server")
        } else {
            text("name")
        };
        let mut destination = Destination {
            cluster: cluster.to_owned(),
            namespace: text("namespace").to_owned(),
            context: None,
        };
        destination.context = self
            .cluster_of(&destination)
            .map(|cluster| cluster.context().to_owned());
        destination
    }

    /// Asks each remote once for each revision that an Application tracks.
    async fn find_heads(&self, look: &mut Look, glance: bool) {
        let mut wanted: BTreeMap<(String, String), bool> = BTreeMap::new();
        {
            let mut recent = self.recent.lock().await;
            let read = look.apps.values().filter(|app| {
                !app.repo_url.is_empty() && desired::unsupported(&app.object).is_none()
            });
            for app in read {
                let compared = app.object.pointer("/status/sync/revision");
                let compared = compared.and_then(Value::as_str).unwrap_or_default();
                // What Argo CD has compared at a revision that is new here was pushed after the head was read.
                let new = recent
                    .compared
                    .insert((app.repo_url.clone(), compared.to_owned()));
                *wanted
                    .entry((app.repo_url.clone(), app.branch.clone()))
                    .or_default() |= new;
            }
        }
        let answers: Vec<_> = futures::stream::iter(wanted)
            .map(|((url, revision), new)| async move {
                let head = self.head(&url, &revision, glance && !new).await;
                ((url, revision), head)
            })
            .buffer_unordered(CONCURRENT)
            .collect()
            .await;
        for ((url, revision), head) in answers {
            let tracks = |app: &AppSeen| app.repo_url == url && app.branch == revision;
            match head {
                Ok(head) => {
                    for app in look.apps.values_mut().filter(|app| tracks(app)) {
                        app.head = Some(head.sha.clone());
                        if let Some(branch) = &head.branch {
                            app.branch.clone_from(branch);
                        }
                    }
                    look.heads.insert((url, revision), head.sha);
                }
                Err(error) => {
                    look.errors.push(from_git(&error));
                    look.apps
                        .values_mut()
                        .filter(|app| tracks(app))
                        .for_each(|app| app.complete = false);
                }
            }
        }
    }

    async fn optional_list(&self, kind: &str, look: &mut Look) -> Vec<Arc<Value>> {
        match self
            .hub
            .list(
                &Kind::new("argoproj.io", "v1alpha1", kind),
                Some(&self.namespace),
            )
            .await
        {
            Ok(listing) => {
                look.bytes += listing.bytes;
                look.requests += listing.requests;
                trees(listing.items)
            }
            Err(error) => {
                look.errors.push(from_read(&error));
                Vec::new()
            }
        }
    }

    /// What Git renders, with digests in place of secret values; shared with the rendering where it holds none.
    fn shared(&self, object: &Arc<Value>) -> Arc<Value> {
        if redact::concerns(object) {
            Arc::new(self.redacted(Value::clone(object)))
        } else {
            object.clone()
        }
    }

    /// Puts digests in place of secret values.
    fn redacted(&self, mut object: Value) -> Value {
        redact(&mut object, &self.secret_key);
        object
    }
}

/// What a look has gathered so far.
#[derive(Default)]
struct Look {
    apps: BTreeMap<AppKey, AppSeen>,
    heads: BTreeMap<(String, String), String>,
    errors: Vec<ReportError>,
    bytes: u64,
    requests: u32,
}

/// Objects of which every part is looked at.
fn trees(items: Vec<Arc<Live>>) -> Vec<Arc<Value>> {
    let tree = |item| Arc::new(Arc::<Live>::unwrap_or_clone(item).into_tree());
    items.into_iter().map(tree).collect()
}

/// [`drift::report`] on all processors.
fn compare_all(input: &Input) -> DriftReport {
    let apps = &input.applications;
    let parts = apps.chunks(beside::part_of(apps.len()));
    let mut compared = beside::each(parts, |apps| drift::compare(apps, input.now)).into_iter();
    let mut all = compared.next().unwrap_or_default();
    compared.for_each(|part| all.append(part));
    drift::put(all)
}

/// What is compared of an Application. Everything that was read is in there, so it is lent and not copied.
fn lend(app: &mut AppSeen) -> AppInput {
    AppInput {
        application: Arc::unwrap_or_clone(std::mem::take(&mut app.object)),
        desired: std::mem::take(&mut app.desired),
        base: app.base.take(),
        // Without a rendering there is nothing to compare with: every live object would look like an extra one.
        live: match app.rendering {
            Some(_) => std::mem::take(&mut app.live),
            None => Vec::new(),
        },
        declared: app
            .declared
            .as_ref()
            .map(|declared| declared.object.clone()),
        incomplete: !app.complete,
        ..AppInput::default()
    }
}

fn give_back(app: &mut AppSeen, lent: AppInput) {
    app.object = Arc::new(lent.application);
    app.desired = lent.desired;
    app.base = lent.base;
    if app.rendering.is_some() {
        app.live = lent.live;
    }
}

/// A failed read as an entry of a report.
pub fn from_read(error: &ReadError) -> ReportError {
    ReportError::new(error.what.clone(), &error.why, error.hint.clone())
}

/// A failed Git operation as an entry of a report.
pub fn from_git(error: &GitError) -> ReportError {
    ReportError::new(error.what.clone(), &error.why, error.hint.clone())
}

/// The kind of Applications.
fn applications() -> Kind {
    Kind::new("argoproj.io", "v1alpha1", "Application")
}

/// The reference of an Application object.
pub fn application_ref(key: &AppKey) -> ObjectRef {
    ObjectRef {
        group: "argoproj.io".into(),
        version: "v1alpha1".into(),
        kind: "Application".into(),
        namespace: Some(key.namespace.clone()),
        name: key.name.clone(),
    }
}

/// The Applications whose names come near a mistyped one, nearest first, at most three.
fn near(wanted: &AppKey, known: &[AppKey]) -> Vec<String> {
    let mut scored: Vec<(f64, &AppKey)> = known
        .iter()
        .map(|key| {
            let part = key.name.contains(&wanted.name) || wanted.name.contains(&key.name);
            let alike = strsim::jaro_winkler(&key.name, &wanted.name);
            (if part { alike.max(0.9) } else { alike }, key)
        })
        .filter(|(alike, _)| *alike >= 0.8)
        .collect();
    scored.sort_by(|(a, key), (b, other)| b.total_cmp(a).then_with(|| key.cmp(other)));
    let names = scored.iter().take(3).map(|(_, key)| key);
    names
        .map(|key| match key.namespace == wanted.namespace {
            true => key.name.clone(),
            false => key.to_string(),
        })
        .collect()
}
