//! A double of the Argo CD application controller (3.5): compares, heals, syncs and reports as the real one does, for plain-directory sources.
//!
//! It is an ordinary client of the cluster. `compare` says what differs, `operation` carries a sync out, `autosync` decides whether one
//! starts by itself, `status` writes down what was found.

mod autosync;
mod compare;
mod health;
mod ignore;
mod merge;
mod operation;
mod project;
mod source;
mod status;
mod sync;
mod tracking;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::watcher::{self, Event};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cluster::{ApiError, Cluster, Gvk, PatchKind, Ref, Served};
use source::Sources;
use tracking::Tracked;

pub(crate) const TRACKING: &str = "argocd.argoproj.io/tracking-id";
pub(crate) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const REFRESH: &str = "argocd.argoproj.io/refresh";
const SKIP: &str = "argocd.argoproj.io/skip-reconcile";
const FINALIZER: &str = "resources-finalizer.argocd.argoproj.io";

/// Kinds that the controller neither watches nor compares (`resource.exclusions` of 3.x, and what has no meaning to it).
const EXCLUDED: &[&str] = &[
    "Event",
    "Lease",
    "Endpoints",
    "EndpointSlice",
    "Node",
    "Application",
    "AppProject",
    "ApplicationSet",
];

/// What can be set about the controller.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the Applications live.
    pub namespace: String,
    /// How often Git is asked for new commits without anybody requesting it.
    pub poll: Duration,
    /// How long a comparison counts as recent.
    pub resync: Duration,
    /// For the mirrors of the repositories.
    pub directory: PathBuf,
}

/// A running controller.
pub struct Controller {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Controller {
    /// Starts watching the cluster; the Application CRD must be served.
    pub async fn start(cluster: Cluster, settings: Settings) -> anyhow::Result<Controller> {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (wakes, inbox) = mpsc::unbounded_channel();
        let tracked = Tracked::default();
        let apps = cluster.speaking_as("argocd-application-controller");
        let mut watched: Vec<Served> = cluster
            .discover()
            .await?
            .into_iter()
            .filter(|kind| !EXCLUDED.contains(&kind.gvk.kind.as_str()))
            .filter(|kind| {
                ["list", "watch"]
                    .iter()
                    .all(|verb| kind.verbs.iter().any(|known| known == verb))
            })
            .collect();
        watched.push(cluster.served(&Gvk::application()).await?);
        for kind in watched {
            let watch = Watch {
                kind,
                cluster: apps.clone(),
                tracked: tracked.clone(),
                wakes: wakes.clone(),
                namespace: settings.namespace.clone(),
            };
            let stop = stop.clone();
            tasks.spawn(async move {
                tokio::select! { () = stop.cancelled() => {}, () = watch.run() => {} }
            });
        }
        let worker = Worker {
            objects: cluster.speaking_as("argocd-controller"),
            apps,
            sources: Sources::new(&settings.directory),
            tracked,
            known: BTreeMap::new(),
            settings,
        };
        let stopped = stop.clone();
        tasks.spawn(async move {
            tokio::select! { () = stopped.cancelled() => {}, () = worker.run(inbox) => {} }
        });
        Ok(Controller { stop, tasks })
    }

    /// Stops all of it; an operation that is under way stays as it stands, to be resumed.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Something moved that an Application may depend on.
enum Wake {
    /// The Application itself.
    Application(String),
    /// A live object that carries its tracking id.
    Live(String),
}

struct Watch {
    kind: Served,
    cluster: Cluster,
    tracked: Tracked,
    wakes: mpsc::UnboundedSender<Wake>,
    namespace: String,
}

impl Watch {
    async fn run(self) {
        let gvk = &self.kind.gvk;
        let resource = ApiResource {
            group: gvk.group.clone(),
            version: gvk.version.clone(),
            api_version: gvk.api_version(),
            kind: gvk.kind.clone(),
            plural: self.kind.plural.clone(),
        };
        let api: Api<DynamicObject> = Api::all_with(self.cluster.client(), &resource);
        let mut events = watcher::watcher(api, watcher::Config::default()).boxed();
        let mut listed = BTreeSet::new();
        loop {
            match events.try_next().await {
                Ok(Some(Event::Init)) => listed.clear(),
                Ok(Some(Event::InitApply(object))) => {
                    let value = self.value(&object);
                    listed.extend(Ref::of(&value));
                    self.saw(&value, false);
                }
                Ok(Some(Event::InitDone)) => {
                    for name in self.tracked.keep_only(gvk, &listed) {
                        let _ = self.wakes.send(Wake::Live(name));
                    }
                }
                Ok(Some(Event::Apply(object))) => self.saw(&self.value(&object), false),
                Ok(Some(Event::Delete(object))) => self.saw(&self.value(&object), true),
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!("watching {}: {error}", gvk.kind);
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
        }
    }

    fn value(&self, object: &DynamicObject) -> Value {
        let mut value = serde_json::to_value(object).unwrap_or_default();
        value["apiVersion"] = json!(self.kind.gvk.api_version());
        value["kind"] = json!(self.kind.gvk.kind);
        value
    }

    fn saw(&self, value: &Value, gone: bool) {
        if self.kind.gvk == Gvk::application() {
            let name = value["metadata"]["name"].as_str().unwrap_or_default();
            if value["metadata"]["namespace"] == self.namespace.as_str() {
                let _ = self.wakes.send(Wake::Application(name.to_owned()));
            }
        }
        for name in self.tracked.saw(value, gone) {
            let _ = self.wakes.send(Wake::Live(name));
        }
    }
}

/// How much a comparison asks of Git.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    /// Only the live side moved: the commit compared with last time will do.
    Live,
    /// The head of the branch, asked for now.
    Latest,
}

/// What the worker keeps about an Application between two looks.
#[derive(Default)]
struct Known {
    /// When to look again.
    due: Option<Instant>,
    /// A comparison that somebody asked for.
    wanted: Option<Level>,
    compared: Option<Instant>,
    repository: String,
    /// Whether auto-sync and self-heal were on at the last look.
    policy: (bool, bool),
}

struct Worker {
    apps: Cluster,
    objects: Cluster,
    sources: Sources,
    tracked: Tracked,
    known: BTreeMap<String, Known>,
    settings: Settings,
}

impl Worker {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Wake>) {
        let mut poll = tokio::time::interval(self.settings.poll);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let next = self.known.values().filter_map(|known| known.due).min();
            let rest = async {
                match next {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                wake = inbox.recv() => match wake {
                    Some(wake) => self.note(wake),
                    None => return,
                },
                _ = poll.tick() => self.poll().await,
                () = rest => {}
            }
            while let Ok(wake) = inbox.try_recv() {
                self.note(wake);
            }
            let now = Instant::now();
            let due: Vec<String> = self
                .known
                .iter()
                .filter(|(_, known)| known.due.is_some_and(|due| due <= now))
                .map(|(name, _)| name.clone())
                .collect();
            for name in due {
                self.known.entry(name.clone()).or_default().due = None;
                if let Err(error) = self.look(&name).await {
                    tracing::warn!("Application {name}: {error}");
                    self.again(&name, Duration::from_secs(1));
                }
            }
        }
    }

    fn note(&mut self, wake: Wake) {
        let (name, level) = match wake {
            Wake::Application(name) => (name, None),
            Wake::Live(name) if self.known.contains_key(&name) => (name, Some(Level::Live)),
            Wake::Live(_) => return,
        };
        let known = self.known.entry(name).or_default();
        known.wanted = known.wanted.max(level);
        known.due = Some(Instant::now());
    }

    fn want(&mut self, name: &str, level: Level) {
        let known = self.known.entry(name.to_owned()).or_default();
        known.wanted = known.wanted.max(Some(level));
        known.due = Some(Instant::now());
    }

    /// Looks at the Application again after a while, or earlier if something moves.
    fn again(&mut self, name: &str, after: Duration) {
        let known = self.known.entry(name.to_owned()).or_default();
        let at = Instant::now() + after;
        known.due = Some(known.due.map_or(at, |due| due.min(at)));
    }

    async fn poll(&mut self) {
        let moved = self.sources.poll().await;
        let resync = self.settings.resync;
        let stale: Vec<String> = self
            .known
            .iter()
            .filter(|(_, known)| {
                moved.contains(&known.repository)
                    || known.compared.is_some_and(|at| at.elapsed() >= resync)
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in stale {
            self.want(&name, Level::Latest);
        }
    }

    fn reference(&self, name: &str) -> Ref {
        Ref::new(Gvk::application(), &self.settings.namespace, name)
    }

    /// One look at an Application: carries its operation on, compares if there is a reason to, and lets auto-sync decide.
    async fn look(&mut self, name: &str) -> Result<(), ApiError> {
        let Some(mut application) = self.apps.get(&self.reference(name)).await? else {
            self.known.remove(name);
            return Ok(());
        };
        if application["metadata"]["annotations"][SKIP] == "true" {
            return Ok(());
        }
        if !application["metadata"]["deletionTimestamp"].is_null() {
            return self.finalize(name, &application).await;
        }
        if !application["operation"].is_null() {
            match self.operate(name, &application).await? {
                operation::Pass::Again(after) => self.again(name, after),
                operation::Pass::Done => {}
            }
            let Some(fresh) = self.apps.get(&self.reference(name)).await? else {
                return Ok(());
            };
            application = fresh;
        }
        let policy = autosync::policy(&application);
        let known = self.known.entry(name.to_owned()).or_default();
        let turned_on = (policy.on && !known.policy.0) || (policy.heals && !known.policy.1);
        known.policy = (policy.on, policy.heals);
        known.repository = application["spec"]["source"]["repoURL"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let requested = application["metadata"]["annotations"][REFRESH].is_string();
        let moved = status::spec_moved(&application);
        let level =
            if requested || moved || turned_on || application["status"]["reconciledAt"].is_null() {
                Some(Level::Latest)
            } else {
                known.wanted
            };
        known.wanted = None;
        let Some(level) = level else { return Ok(()) };
        self.refresh(name, &application, level).await
    }

    async fn refresh(
        &mut self,
        name: &str,
        application: &Value,
        level: Level,
    ) -> Result<(), ApiError> {
        let null = Value::Null;
        let source = application["spec"].get("source").unwrap_or(&null);
        let pinned = application["status"]["sync"]["revision"]
            .as_str()
            .filter(|revision| !revision.is_empty());
        let at = compare::At {
            source,
            revision: if level == Level::Live { pinned } else { None },
            fresh: level == Level::Latest,
        };
        let comparison = compare::compare(
            application,
            at,
            &self.objects,
            &mut self.sources,
            &self.tracked,
        )
        .await;
        let decision = autosync::decide(application, &comparison, jiff::Timestamp::now());
        let patch = status::patch(application, &comparison, &decision, level == Level::Latest);
        if let Some(patch) = patch {
            self.apps
                .patch(&self.reference(name), "", PatchKind::Merge, &patch)
                .await?;
        }
        if level == Level::Latest {
            self.known.entry(name.to_owned()).or_default().compared = Some(Instant::now());
        }
        match decision {
            autosync::Decision::Start(operation) => self.start_operation(name, operation).await,
            autosync::Decision::Later(after) => {
                self.known.entry(name.to_owned()).or_default().wanted = Some(Level::Live);
                self.again(name, after);
                Ok(())
            }
            autosync::Decision::Nothing | autosync::Decision::Refuse(_) => Ok(()),
        }
    }

    /// Deletes what the Application made, if it carries the finalizer for that, and lets it go.
    async fn finalize(&mut self, name: &str, application: &Value) -> Result<(), ApiError> {
        let finalizers = application["metadata"]["finalizers"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let ours = |finalizer: &Value| {
            finalizer
                .as_str()
                .is_some_and(|text| text.starts_with(FINALIZER))
        };
        if !finalizers.iter().any(ours) {
            return Ok(());
        }
        for object in self.tracked.of(name) {
            self.objects.delete(&object, "Foreground").await?;
        }
        let rest: Vec<Value> = finalizers
            .into_iter()
            .filter(|finalizer| !ours(finalizer))
            .collect();
        let patch = json!({"metadata": {"finalizers": rest}});
        self.apps
            .patch(&self.reference(name), "", PatchKind::Merge, &patch)
            .await?;
        Ok(())
    }
}

/// `kubectl apply` of one manifest, client-side, by the field manager of `cluster`; gives kubectl's words for what happened.
pub async fn client_side_apply(
    cluster: &Cluster,
    id: &Ref,
    manifest: &Value,
) -> Result<String, ApiError> {
    sync::apply(cluster, id, manifest).await
}

/// The time of now as Kubernetes writes it: RFC 3339 in UTC, whole seconds.
pub(crate) fn now() -> String {
    stamp(jiff::Timestamp::now())
}

pub(crate) fn stamp(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
