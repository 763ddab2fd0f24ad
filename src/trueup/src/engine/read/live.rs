//! What the clusters hold: each kind listed once per cluster, then dealt out to the Applications.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use futures::StreamExt;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use trueup_core::drift::report::ReportError;
use trueup_core::object::identity::{AppKey, ObjectKey, ObjectRef};
use trueup_core::object::live::Live;

use super::desired::unsupported;
use super::{CONCURRENT, Look, Reader, beside, from_read, scope};
use crate::ports::{Cluster, Kind, Listing, ReadError, ReadFailure, Served};

/// Argo CD's mark on the objects that it manages.
const TRACKING: &str = "/metadata/annotations/argocd.argoproj.io~1tracking-id";

/// What is wanted on one cluster, by group and kind.
type Wanted = BTreeMap<(String, String), Want>;

/// A kind that is to be listed, and its namespaces.
struct Want {
    kind: Kind,
    /// Whether the version is that of a manifest in Git.
    from_git: bool,
    namespaces: BTreeSet<String>,
}

impl Want {
    fn new(kind: Kind, namespace: Option<&str>, from_git: bool) -> Self {
        Self {
            kind,
            from_git,
            namespaces: namespace.map(str::to_owned).into_iter().collect(),
        }
    }
}

/// What some Applications want, by the context of their cluster, and why of some nothing can be read.
#[derive(Default)]
struct Wants {
    clusters: BTreeMap<String, (Arc<dyn Cluster>, Wanted)>,
    errors: Vec<ReportError>,
}

/// What one cluster gave.
#[derive(Default)]
struct ClusterState {
    objects: HashMap<Arc<ObjectKey>, Arc<Live>>,
    /// By namespace and name.
    pods: BTreeMap<String, BTreeMap<String, Arc<Live>>>,
    /// Instance name → objects that carry its tracking mark.
    tracked: HashMap<String, Vec<Arc<ObjectKey>>>,
    served: BTreeMap<(String, String), Option<Served>>,
    /// Kind, and namespace when only that one could not be read.
    unread: BTreeSet<(String, String, Option<String>)>,
    errors: Vec<ReportError>,
    bytes: u64,
    requests: u32,
}

impl ClusterState {
    fn pods_in(&self, namespace: &str) -> impl Iterator<Item = &Value> {
        let here = self.pods.get(namespace).into_iter().flatten();
        here.map(|(_, pod)| &***pod)
    }

    fn is_cluster_scoped(&self, key: &ObjectKey) -> bool {
        self.served
            .get(&(key.group.clone(), key.kind.clone()))
            .and_then(Option::as_ref)
            .is_some_and(|served| !served.namespaced)
    }

    fn is_unread(&self, key: &ObjectKey) -> bool {
        if self.unread.is_empty() {
            return false;
        }
        let kind = |namespace: Option<String>| (key.group.clone(), key.kind.clone(), namespace);
        self.unread.contains(&kind(None)) || self.unread.contains(&kind(key.namespace.clone()))
    }
}

/// Listings made beforehand, by context, group and kind.
pub(super) type Early = BTreeMap<(String, String, String), (Kind, Result<Listing, ReadError>)>;

/// Lists of kinds that will most likely be needed, while something else is done. What is not among them is listed when it
/// turns out to be.
pub(super) struct Lists {
    started: BTreeSet<(String, Kind)>,
    running: JoinSet<(String, Kind, Result<Listing, ReadError>)>,
    room: Arc<Semaphore>,
}

impl Lists {
    pub fn new() -> Self {
        Self {
            started: BTreeSet::new(),
            running: JoinSet::new(),
            room: Arc::new(Semaphore::new(CONCURRENT)),
        }
    }

    /// Starts those that are not under way.
    pub fn start(&mut self, hinted: Vec<(Arc<dyn Cluster>, Kind)>) {
        for (cluster, kind) in hinted {
            let context = cluster.context().to_owned();
            if self.started.insert((context.clone(), kind.clone())) {
                let room = self.room.clone();
                self.running.spawn(async move {
                    let _room = room.acquire_owned().await;
                    let listing = cluster.list(&kind, None).await;
                    (context, kind, listing)
                });
            }
        }
    }

    pub async fn done(mut self) -> Early {
        let mut early = Early::new();
        while let Some(ended) = self.running.join_next().await {
            // One that was interrupted is asked for again like any that was not started.
            let Ok((context, kind, listing)) = ended else {
                continue;
            };
            let gone = |error: &ReadError| error.failure == ReadFailure::NotServed;
            if !listing.as_ref().is_err_and(gone) {
                early.insert(
                    (context, kind.group.clone(), kind.kind.clone()),
                    (kind, listing),
                );
            }
        }
        early
    }
}

impl Reader {
    /// The kinds that Argo CD says the Applications have: a hint, so that listing them need not wait for Git. Secrets are asked for when it is
    /// certain that they are needed.
    pub(super) fn hinted<'a>(
        &self,
        applications: impl Iterator<Item = &'a Value>,
    ) -> Vec<(Arc<dyn Cluster>, Kind)> {
        let mut hinted: BTreeMap<(String, Kind), &Arc<dyn Cluster>> = BTreeMap::new();
        for application in applications.filter(|it| unsupported(it).is_none()) {
            let destination = self.destination_of(application);
            let Some(cluster) = self.cluster_of(&destination) else {
                continue;
            };
            let mut last = None;
            for resource in managed(application) {
                let here = ["group", "version", "kind"].map(|of| text(resource, of));
                if last.replace(here) == Some(here) {
                    continue;
                }
                let kind = kind_of(resource);
                if !kind.kind.is_empty() && !kind.is_secret() {
                    hinted.insert((cluster.context().to_owned(), kind), cluster);
                }
            }
        }
        hinted
            .into_iter()
            .map(|((_, kind), cluster)| (cluster.clone(), kind))
            .collect()
    }

    /// Lists what the Applications need and gives each its own objects, and its pods when asked to.
    pub(super) async fn read_live(&self, look: &mut Look, pods: bool, mut early: Early) {
        let mut apps: Vec<_> = look.apps.values_mut().collect();
        let part = beside::part_of(apps.len());
        let wanted = beside::each(apps.chunks_mut(part), |apps| {
            let mut all = Wants::default();
            apps.iter_mut()
                .for_each(|app| self.want_all(app, pods, &mut all));
            all
        });
        let mut clusters: BTreeMap<String, (Arc<dyn Cluster>, Wanted)> = BTreeMap::new();
        for part in wanted {
            look.errors.extend(part.errors);
            for (context, (cluster, wanted)) in part.clusters {
                let (_, all) = clusters
                    .entry(context)
                    .or_insert_with(|| (cluster, Wanted::new()));
                wanted.into_values().for_each(|more| want(all, more));
            }
        }
        let mut states: BTreeMap<String, ClusterState> = BTreeMap::new();
        for (context, (cluster, wanted)) in clusters {
            let state = self
                .read_cluster(cluster.as_ref(), wanted, &mut early)
                .await;
            look.bytes += state.bytes;
            look.requests += state.requests;
            look.errors.extend(state.errors.iter().cloned());
            states.insert(context, state);
        }
        let mut apps: Vec<_> = look.apps.values_mut().collect();
        beside::each(apps.chunks_mut(part), |apps| {
            apps.iter_mut()
                .for_each(|app| self.give(app, &states, pods));
        });
    }

    /// Notes what an Application needs of the cluster that it deploys to.
    fn want_all(&self, app: &mut super::AppSeen, pods: bool, all: &mut Wants) {
        let Some(cluster) = self.cluster_of(&app.destination) else {
            app.complete = false;
            app.desired.clear();
            app.base = None;
            all.errors.push(ReportError::new(
                format!("read what {} deployed", app.key),
                format!(
                    "no context is known for its destination {:?}",
                    app.destination.cluster
                ),
                format!("pass --destination {}=CONTEXT", app.destination.cluster),
            ));
            return;
        };
        // What is never rendered is never compared. What Git could not be read for is live all the same.
        if is_never_rendered(app) {
            return;
        }
        let (_, wanted) = all
            .clusters
            .entry(cluster.context().to_owned())
            .or_insert_with(|| (cluster.clone(), Wanted::new()));
        // Most of an Application's objects are of the kind and in the namespace of the one before.
        let mut last = None;
        for desired in &app.desired {
            let here = place_of(&desired.object);
            if last.replace(here) == Some(here) {
                continue;
            }
            if let (Some(kind), Ok(object)) = (
                Kind::of_object(&desired.object),
                ObjectRef::from_object(&desired.object),
            ) {
                want(wanted, Want::new(kind, object.namespace.as_deref(), true));
            } else {
                last = None;
            }
        }
        let mut last = None;
        for resource in managed(&app.object) {
            let here = ["group", "version", "kind", "namespace"].map(|of| text(resource, of));
            let [group, version, kind, namespace] = here;
            if kind.is_empty() || last.replace(here) == Some(here) {
                continue;
            }
            let kind = Kind::new(group, version, kind);
            let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
            want(wanted, Want::new(kind, namespace, false));
        }
        if pods && !app.destination.namespace.is_empty() {
            let kind = Kind::new("", "v1", "Pod");
            want(
                wanted,
                Want::new(kind, Some(&app.destination.namespace), false),
            );
        }
    }

    /// Gives an Application what is its own of what its cluster gave.
    fn give(&self, app: &mut super::AppSeen, states: &BTreeMap<String, ClusterState>, pods: bool) {
        let context = app.destination.context.as_ref();
        let Some(state) = context.and_then(|context| states.get(context)) else {
            return;
        };
        if is_never_rendered(app) {
            return;
        }
        let instance = app.key.instance(&self.namespace);
        deal_out(app, state, &instance);
        if pods {
            let here = state.pods_in(&app.destination.namespace);
            app.pods = scope::pods_of(&app.live, here);
        }
    }

    async fn read_cluster(
        &self,
        cluster: &dyn Cluster,
        wanted: Wanted,
        early: &mut Early,
    ) -> ClusterState {
        let mut state = ClusterState::default();
        let kinds: Vec<Kind> = wanted.values().map(|want| want.kind.clone()).collect();
        match cluster.served(&kinds).await {
            Ok(served) => {
                for (kind, served) in kinds.iter().zip(served) {
                    state
                        .served
                        .insert((kind.group.clone(), kind.kind.clone()), served);
                }
            }
            Err(error) => {
                state.errors.push(from_read(&error));
                state
                    .unread
                    .extend(kinds.into_iter().map(|kind| (kind.group, kind.kind, None)));
                return state;
            }
        }
        let mut readable = Vec::new();
        for (name, want) in wanted {
            let (kind, namespaces) = (want.kind, want.namespaces);
            match state.served.get(&name) {
                Some(Some(served)) => {
                    let name = (cluster.context().to_owned(), name.0, name.1);
                    // Only at the version at which it is to be compared.
                    let listed = early.remove(&name).filter(|(listed, _)| *listed == kind);
                    readable.push((kind, namespaces, served.namespaced, listed));
                }
                _ => {
                    state.errors.push(ReportError::new(
                        format!(
                            "list {} {} on {}",
                            kind.api_version(),
                            kind.kind,
                            cluster.context()
                        ),
                        "the server does not serve this kind",
                        "install its CRD, or correct the apiVersion in Git",
                    ));
                    state.unread.insert((kind.group, kind.kind, None));
                }
            }
        }
        let answers: Vec<_> = futures::stream::iter(readable)
            .map(|(kind, namespaces, namespaced, listed)| async move {
                let listed = listed.map(|(_, listing)| listing);
                let parts = list_kind(cluster, &kind, &namespaces, namespaced, listed).await;
                (kind, parts)
            })
            .buffer_unordered(CONCURRENT)
            .collect()
            .await;
        for (kind, parts) in answers {
            for (namespace, part) in parts {
                match part {
                    Ok(listing) => take_listing(&mut state, listing),
                    Err(error) => {
                        state.errors.push(from_read(&error));
                        state
                            .unread
                            .insert((kind.group.clone(), kind.kind.clone(), namespace));
                    }
                }
            }
        }
        state
    }
}

fn is_never_rendered(app: &super::AppSeen) -> bool {
    app.rendering.is_none() && unsupported(&app.object).is_some()
}

/// The objects of an Application by its status.
pub fn resources(application: &Value) -> impl Iterator<Item = ObjectRef> {
    managed(application).map(|resource| {
        let kind = kind_of(resource);
        ObjectRef {
            group: kind.group,
            version: kind.version,
            kind: kind.kind,
            namespace: Some(text(resource, "namespace").to_owned())
                .filter(|namespace| !namespace.is_empty()),
            name: text(resource, "name").to_owned(),
        }
    })
}

/// What Argo CD says that an Application has, hooks left out.
fn managed(application: &Value) -> impl Iterator<Item = &Value> {
    application
        .pointer("/status/resources")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|resource| resource.get("hook").and_then(Value::as_bool) != Some(true))
}

fn text<'r>(resource: &'r Value, field: &str) -> &'r str {
    resource
        .get(field)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// What an object is a kind of, and its namespace.
fn place_of(object: &Value) -> [Option<&Value>; 3] {
    let metadata = object.get("metadata");
    [
        object.get("apiVersion"),
        object.get("kind"),
        metadata.and_then(|metadata| metadata.get("namespace")),
    ]
}

fn kind_of(resource: &Value) -> Kind {
    Kind::new(
        text(resource, "group"),
        text(resource, "version"),
        text(resource, "kind"),
    )
}

/// Notes that a kind is wanted. The version that Git uses is the one to compare at.
fn want(wanted: &mut Wanted, more: Want) {
    match wanted.entry((more.kind.group.clone(), more.kind.kind.clone())) {
        Entry::Vacant(none) => {
            none.insert(more);
        }
        Entry::Occupied(known) => {
            let known = known.into_mut();
            known.namespaces.extend(more.namespaces);
            if more.from_git {
                known.kind = more.kind;
                known.from_git = true;
            }
        }
    }
}

/// All of a kind in one list, unless that was `listed` already; in a list per namespace where only that is allowed. Secrets are
/// never asked for beyond the namespaces that are needed.
async fn list_kind(
    cluster: &dyn Cluster,
    kind: &Kind,
    namespaces: &BTreeSet<String>,
    namespaced: bool,
    listed: Option<Result<Listing, ReadError>>,
) -> Vec<(Option<String>, Result<Listing, ReadError>)> {
    let narrow = kind.is_secret() && namespaces.len() <= CONCURRENT;
    if !narrow || !namespaced {
        let whole = match listed {
            Some(listing) => listing,
            None => cluster.list(kind, None).await,
        };
        match whole {
            Err(error)
                if error.failure == ReadFailure::Forbidden
                    && namespaced
                    && !namespaces.is_empty() => {}
            other => return vec![(None, other)],
        }
    }
    futures::stream::iter(namespaces.iter().cloned())
        .map(|namespace| async move {
            let listing = cluster.list(kind, Some(&namespace)).await;
            (Some(namespace), listing)
        })
        .buffer_unordered(CONCURRENT)
        .collect()
        .await
}

fn take_listing(state: &mut ClusterState, listing: Listing) {
    state.bytes += listing.bytes;
    state.requests += listing.requests;
    state.objects.reserve(listing.items.len());
    for item in listing.items {
        let Ok(object) = item.reference() else {
            continue;
        };
        let key = Arc::new(object.key());
        if let Some(instance) = item.tracking_id().and_then(|mark| owner_of(mark, &key)) {
            state
                .tracked
                .entry(instance.to_owned())
                .or_default()
                .push(Arc::clone(&key));
        }
        if let ("", "Pod", Some(namespace)) = (&*key.group, &*key.kind, &key.namespace) {
            let here = state.pods.entry(namespace.clone()).or_default();
            here.insert(key.name.clone(), Arc::clone(&item));
        }
        state.objects.insert(key, item);
    }
}

/// The instance that a tracking mark names, when the mark is about this very object: a copied one is not.
/// The form is `instance:group/kind:namespace/name`.
fn owner_of<'a>(mark: &'a str, key: &ObjectKey) -> Option<&'a str> {
    let (instance, rest) = mark.split_once(':')?;
    let (kind, place) = rest.split_once(':')?;
    let (namespace, name) = place.split_once('/')?;
    let same_kind = kind == format!("{}/{}", key.group, key.kind);
    // For a cluster-scoped object the namespace is the destination's.
    let same_place =
        name == key.name && key.namespace.as_deref().is_none_or(|own| own == namespace);
    (same_kind && same_place).then_some(instance)
}

/// Gives an Application its live objects; what could not be read is taken out of the comparison on both sides.
fn deal_out(app: &mut super::AppSeen, state: &ClusterState, instance: &str) {
    let mut live: Vec<Arc<Live>> = Vec::new();
    // An object is named by its mark, by Git and by the status alike.
    let mut given: HashSet<*const Live> = HashSet::new();
    let mut give = |key: &ObjectKey| {
        if let Some(object) = state.objects.get(key)
            && given.insert(Arc::as_ptr(object))
        {
            live.push(Arc::clone(object));
        }
    };
    let tracked = state.tracked.get(instance).into_iter().flatten();
    tracked.for_each(|key| give(key));
    let mut complete = true;
    let mut keep = |object: &mut Arc<Value>| {
        let Ok(named) = ObjectRef::from_object(object) else {
            return true;
        };
        let mut key = named.into_key();
        if key.namespace.is_some()
            && state.is_cluster_scoped(&key)
            && let Some(metadata) = Arc::make_mut(object)
                .pointer_mut("/metadata")
                .and_then(Value::as_object_mut)
        {
            metadata.shift_remove("namespace");
            key.namespace = None;
        }
        if state.is_unread(&key) {
            complete = false;
            return false;
        }
        give(&key);
        true
    };
    app.desired.retain_mut(|desired| keep(&mut desired.object));
    if let Some(base) = app.base.as_mut().filter(|_| !state.unread.is_empty()) {
        base.retain_mut(|object| {
            let Ok(named) = ObjectRef::from_object(object) else {
                return true;
            };
            !state.is_unread(&named.key())
        });
    }
    for resource in managed(&app.object) {
        give(&ObjectKey {
            group: text(resource, "group").to_owned(),
            kind: text(resource, "kind").to_owned(),
            namespace: Some(text(resource, "namespace").to_owned())
                .filter(|namespace| !namespace.is_empty()),
            name: text(resource, "name").to_owned(),
        });
    }
    app.complete &= complete;
    app.live = live;
}

/// Whether an Application owns an object by its tracking mark.
pub fn is_tracked_by(object: &Value, application: &AppKey, control_namespace: &str) -> bool {
    let Ok(named) = ObjectRef::from_object(object) else {
        return false;
    };
    let mark = object.pointer(TRACKING).and_then(Value::as_str);
    mark.and_then(|mark| owner_of(mark, &named.key()))
        == Some(application.instance(control_namespace).as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_copied_tracking_mark_is_no_ownership() {
        let object = |name: &str, mark: &str| {
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "auth", "name": name,
                   "annotations": {"argocd.argoproj.io/tracking-id": mark}}})
        };
        let app = AppKey::new("argocd", "auth-service");
        assert!(is_tracked_by(
            &object("auth", "auth-service:apps/Deployment:auth/auth"),
            &app,
            "argocd"
        ));
        assert!(!is_tracked_by(
            &object("copy", "auth-service:apps/Deployment:auth/auth"),
            &app,
            "argocd"
        ));
        assert!(!is_tracked_by(
            &object("auth", "other:apps/Deployment:auth/auth"),
            &app,
            "argocd"
        ));
        assert!(!is_tracked_by(&object("auth", "nonsense"), &app, "argocd"));
    }
}
