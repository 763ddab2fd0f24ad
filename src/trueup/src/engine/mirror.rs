//! The live state of one cluster as this process holds it: each kind listed once, then kept by its watch.
//!
//! A [`Mirror`] stands in front of a cluster: `list` answers from what is kept, everything else goes through. Guards never
//! use it; what a step is about to rely on is confirmed object by object against the server first.

mod keep;
mod trail;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::StreamExt;
use serde_json::Value;
use tokio::sync::watch;
use trueup_core::object::identity::{ObjectKey, ObjectRef};
use trueup_core::object::redact::Plain;

use self::keep::{How, Kept, version_of};
pub use self::trail::{Interest, Trail};
use crate::ports::{
    Cluster, ClusterPin, Grant, Kind, Listing, Permission, ReadError, ReadFailure, STARTING,
    Served, Watch, WriteError, WriteRequest,
};

/// How old a list may be where there is no watch.
const RELIST: Duration = Duration::from_secs(5);
/// How long a refusal is remembered before the server is asked again.
const DENIED: Duration = Duration::from_secs(60);
/// A watch is ended by the server every 30 s: one that is silent for longer than this is not one.
const HALF_OPEN: Duration = Duration::from_secs(45);
/// How long a watch may lag behind a fresh read.
const LAG: Duration = Duration::from_secs(3);
/// Fresh reads in flight at once.
const CONCURRENT: usize = 8;

/// Counts what came in, over all clusters.
pub type Bell = watch::Sender<u64>;

/// A kind in one namespace, or in all.
type Place = (Kind, Option<String>);

/// Something that happened to a kind and was not seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    pub kind: String,
    pub namespace: Option<String>,
    pub from: String,
    pub to: String,
    pub why: String,
}

/// A cluster whose lists are kept.
pub struct Mirror {
    shared: Arc<Shared>,
}

struct Shared {
    cluster: Arc<dyn Cluster>,
    kept: Mutex<BTreeMap<Place, Arc<Kept>>>,
    /// When the server last answered anything.
    heard: Mutex<Option<Instant>>,
    /// Objects that moved since somebody asked, each once however often it moved.
    moved: Mutex<BTreeSet<ObjectKey>>,
    gaps: Mutex<Vec<Gap>>,
    trail: Mutex<Trail>,
    bell: Bell,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn hear(&self) {
        *lock(&self.heard) = Some(Instant::now());
    }

    fn ring(&self) {
        self.bell
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    fn place(&self, place: &Place) -> Arc<Kept> {
        Arc::clone(lock(&self.kept).entry(place.clone()).or_default())
    }

    /// The places that hold objects of a kind in a namespace.
    fn places_of(&self, object: &ObjectKey) -> Vec<(Place, Arc<Kept>)> {
        lock(&self.kept)
            .iter()
            .filter(|((kind, namespace), _)| {
                kind.group == object.group
                    && kind.kind == object.kind
                    && (namespace.is_none() || *namespace == object.namespace)
            })
            .map(|(place, kept)| (place.clone(), Arc::clone(kept)))
            .collect()
    }
}

impl Mirror {
    pub fn new(cluster: Arc<dyn Cluster>, bell: Bell) -> Self {
        Self {
            shared: Arc::new(Shared {
                cluster,
                kept: Mutex::default(),
                heard: Mutex::default(),
                moved: Mutex::default(),
                gaps: Mutex::default(),
                trail: Mutex::default(),
                bell,
            }),
        }
    }

    /// The context that the cluster is reached by.
    pub fn name(&self) -> &str {
        self.shared.cluster.context()
    }

    /// The objects that moved since this was last asked.
    pub fn take_moved(&self) -> BTreeSet<ObjectKey> {
        std::mem::take(&mut *lock(&self.shared.moved))
    }

    /// What was not seen since this was last asked.
    pub fn take_gaps(&self) -> Vec<Gap> {
        std::mem::take(&mut *lock(&self.shared.gaps))
    }

    /// The writes seen on the objects of interest.
    pub fn trail<T>(&self, work: impl FnOnce(&mut Trail) -> T) -> T {
        work(&mut lock(&self.shared.trail))
    }

    /// Age of what is kept: time since the server was last heard, or since a watch that must have ended by now spoke.
    /// `None` before anything was read.
    pub fn age(&self) -> Option<Duration> {
        let mut newest = lock(&self.shared.heard).map(|at| at.elapsed());
        let mut oldest = Duration::ZERO;
        for kept in lock(&self.shared.kept).values() {
            let (newer, older) = kept.ages();
            newest = match (newest, newer) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            oldest = oldest.max(older.unwrap_or_default());
        }
        let oldest = Some(oldest).filter(|age| *age > HALF_OPEN);
        oldest.or(newest)
    }

    /// Waits until the kept object is newer than `seen`, or for `at_most`. Without a watch it waits for `without` only.
    pub async fn newer_than(&self, seen: &Value, at_most: Duration, without: Duration) {
        let Ok(object) = ObjectRef::from_object(seen) else {
            return tokio::time::sleep(without).await;
        };
        let key = object.key();
        let watched = self
            .shared
            .places_of(&key)
            .iter()
            .any(|(_, kept)| kept.is_watched());
        if !watched {
            return tokio::time::sleep(without).await;
        }
        let version = version_of(seen);
        let _ = tokio::time::timeout(at_most, self.until(&key, |kept| kept > version)).await;
    }

    /// Waits until the kept version of an object is as asked; 0 stands for an object that is not there.
    async fn until(&self, key: &ObjectKey, holds: impl Fn(u64) -> bool) {
        let mut bell = self.shared.bell.subscribe();
        loop {
            bell.borrow_and_update();
            let places = self.shared.places_of(key);
            if places.iter().any(|(_, kept)| holds(kept.version_of(key))) {
                return;
            }
            if bell.changed().await.is_err() {
                return;
            }
        }
    }

    /// Makes sure that what is kept of these objects is what the server has now: each is read, and where the watch lags
    /// behind it is waited for. What it still has not brought is taken from the server, and said to be a gap.
    pub async fn confirm(&self, objects: &[ObjectRef]) -> Result<(), ReadError> {
        futures::stream::iter(objects.to_vec())
            .map(|object| async move { self.confirm_one(&object).await })
            .buffer_unordered(CONCURRENT)
            .fold(Ok(()), |all, one| async { all.and(one) })
            .await
    }

    async fn confirm_one(&self, object: &ObjectRef) -> Result<(), ReadError> {
        let key = object.key();
        let places = self.shared.places_of(&key);
        if places.is_empty() {
            return Ok(());
        }
        let fresh = match self.get(object).await {
            Ok(fresh) => fresh,
            // Who may list but not get has a new list.
            Err(error) if error.failure == ReadFailure::Forbidden => {
                places.iter().for_each(|(_, kept)| kept.forget());
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let version = fresh.as_ref().map_or(0, version_of);
        let reached = |kept: u64| {
            if version == 0 {
                kept == 0
            } else {
                kept >= version
            }
        };
        let watched = places.iter().any(|(_, kept)| kept.is_watched());
        if watched
            && tokio::time::timeout(LAG, self.until(&key, reached))
                .await
                .is_ok()
        {
            return Ok(());
        }
        for (place, kept) in places {
            if reached(kept.version_of(&key)) {
                continue;
            }
            let before = kept.version_of(&key);
            let watched = kept.is_watched();
            kept.take(&self.shared, &key, fresh.clone());
            if watched {
                kept.forget();
                lock(&self.shared.gaps).push(Gap {
                    kind: place.0.to_string(),
                    namespace: place.1.clone(),
                    from: before.to_string(),
                    to: version.to_string(),
                    why: format!("the watch lagged behind {object}"),
                });
            }
        }
        Ok(())
    }

    async fn listed(&self, kind: &Kind, namespace: Option<&str>) -> Result<Listing, ReadError> {
        let place: Place = (kind.clone(), namespace.map(str::to_owned));
        let kept = self.shared.place(&place);
        let _only_one = kept.opening.lock().await;
        match kept.current() {
            Some(Ok(listing)) => return Ok(listing),
            Some(Err(error)) => return Err(error),
            None => {}
        }
        let mut tries = if kept.was_listed() { STARTING } else { 0 };
        let answer = loop {
            match self.shared.cluster.list(kind, namespace).await {
                Err(error) if error.failure == ReadFailure::Forbidden && tries > 0 => tries -= 1,
                answer => break answer,
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        let listing = match answer {
            Ok(listing) => listing,
            Err(error) => {
                if error.failure == ReadFailure::Forbidden {
                    kept.set(How::Denied {
                        error: error.clone(),
                        at: Instant::now(),
                    });
                }
                return Err(error);
            }
        };
        self.shared.hear();
        kept.replace(&self.shared, &place, &listing);
        if kept.may_watch() {
            match self
                .shared
                .cluster
                .watch(kind, namespace, &listing.resource_version)
                .await
            {
                Ok(watch) => Kept::follow(&kept, &self.shared, place, watch),
                Err(_) => kept.watch_refused(),
            }
        }
        Ok(listing)
    }

    /// Notes that the server answered, whatever it said.
    fn answered<T>(&self, answer: Result<T, ReadError>) -> Result<T, ReadError> {
        let silent = matches!(
            &answer,
            Err(error) if matches!(error.failure, ReadFailure::Unreachable | ReadFailure::Settings)
        );
        if !silent {
            self.shared.hear();
        }
        answer
    }
}

#[async_trait]
impl Cluster for Mirror {
    async fn pin(&self) -> Result<ClusterPin, ReadError> {
        self.answered(self.shared.cluster.pin().await)
    }

    async fn list(&self, kind: &Kind, namespace: Option<&str>) -> Result<Listing, ReadError> {
        self.listed(kind, namespace).await
    }

    async fn get(&self, object: &ObjectRef) -> Result<Option<Value>, ReadError> {
        self.answered(self.shared.cluster.get(object).await)
    }

    async fn reveal(&self, secret: &ObjectRef, key: &str) -> Result<Option<Plain>, ReadError> {
        self.answered(self.shared.cluster.reveal(secret, key).await)
    }

    async fn write(&self, request: &WriteRequest) -> Result<Value, WriteError> {
        let answer = self.shared.cluster.write(request).await;
        if matches!(
            answer,
            Ok(_) | Err(WriteError::LostGuard { .. } | WriteError::Refused { .. })
        ) {
            self.shared.hear();
        }
        answer
    }

    async fn allowed(&self, permissions: &[Permission]) -> Vec<Grant> {
        self.shared.cluster.allowed(permissions).await
    }

    async fn watch(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        from: &str,
    ) -> Result<Watch, ReadError> {
        self.shared.cluster.watch(kind, namespace, from).await
    }

    async fn served(&self, kinds: &[Kind]) -> Result<Vec<Option<Served>>, ReadError> {
        self.shared.cluster.served(kinds).await
    }

    fn context(&self) -> &str {
        self.shared.cluster.context()
    }

    fn other_context(&self) -> Option<&str> {
        self.shared.cluster.other_context()
    }
}
