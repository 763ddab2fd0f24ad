//! What is kept of one kind, and the task that follows its watch.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::AbortHandle;
use trueup_core::object::identity::{ObjectKey, ObjectRef};
use trueup_core::object::live::Live;

use super::{DENIED, Gap, HALF_OPEN, Place, RELIST, Shared, lock};
use crate::ports::{Listing, ReadError, ReadFailure, Watch, WatchEvent, WatchHealth};

/// The objects of one kind in one namespace or in all.
#[derive(Default)]
pub(super) struct Kept {
    /// Held by whoever lists: the others wait for that list.
    pub opening: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<ObjectKey, Arc<Live>>,
    version: String,
    listed_before: bool,
    how: How,
}

/// How the objects are kept as they are on the server.
#[derive(Default)]
pub(super) enum How {
    /// Not at all: the next look lists.
    #[default]
    Not,
    Watched {
        health: Arc<WatchHealth>,
        _task: Task,
    },
    /// It may not be watched, since `refused`: listed again when the list is too old.
    Listed { at: Instant, refused: Instant },
    /// It may not even be listed.
    Denied { error: ReadError, at: Instant },
}

/// Ends the task when nobody needs it any more.
pub(super) struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The resourceVersion as a number, which it is on every API server; 0 when it is not.
pub(super) fn version_of(object: &Value) -> u64 {
    object
        .pointer("/metadata/resourceVersion")
        .and_then(Value::as_str)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

fn kept_version(object: &Live) -> u64 {
    object.resource_version().parse().unwrap_or(0)
}

fn key_of(object: &Value) -> Option<ObjectKey> {
    Some(ObjectRef::from_object(object).ok()?.key())
}

impl Kept {
    /// What is kept, when it can be relied on without asking the server.
    pub fn current(&self) -> Option<Result<Listing, ReadError>> {
        let state = lock(&self.state);
        let good = match &state.how {
            How::Not => false,
            How::Watched { health, .. } => health.silent_for() < HALF_OPEN,
            How::Listed { at, .. } => at.elapsed() < RELIST,
            How::Denied { error, at } if at.elapsed() < DENIED => return Some(Err(error.clone())),
            How::Denied { .. } => false,
        };
        good.then(|| {
            Ok(Listing {
                items: state.objects.values().cloned().collect(),
                resource_version: state.version.clone(),
                bytes: 0,
                requests: 0,
            })
        })
    }

    pub fn set(&self, how: How) {
        let old = std::mem::replace(&mut lock(&self.state).how, how);
        drop(old);
    }

    /// The next look lists again.
    pub fn forget(&self) {
        self.set(How::Not);
    }

    /// Whether a watch may be tried: it has not been refused lately.
    pub fn may_watch(&self) -> bool {
        match lock(&self.state).how {
            How::Listed { refused, .. } => refused.elapsed() >= DENIED,
            _ => true,
        }
    }

    /// Whether it could ever be listed.
    pub fn was_listed(&self) -> bool {
        lock(&self.state).listed_before
    }

    /// Without a watch from now on, until one is tried again.
    pub fn watch_refused(&self) {
        let now = Instant::now();
        self.set(How::Listed {
            at: now,
            refused: now,
        });
    }

    pub fn is_watched(&self) -> bool {
        matches!(lock(&self.state).how, How::Watched { .. })
    }

    /// When the server was last heard because of this kind, and how long its watch has been silent.
    pub fn ages(&self) -> (Option<Duration>, Option<Duration>) {
        match &lock(&self.state).how {
            How::Watched { health, .. } => {
                (Some(health.unreachable_for()), Some(health.silent_for()))
            }
            _ => (None, None),
        }
    }

    pub fn version_of(&self, key: &ObjectKey) -> u64 {
        lock(&self.state)
            .objects
            .get(key)
            .map_or(0, |object| kept_version(object))
    }

    /// Takes a whole list. After the first one it is a gap: what happened in between was not seen. Where there never was a
    /// watch there is no gap in it.
    pub fn replace(&self, shared: &Shared, place: &Place, listing: &Listing) {
        let mut state = lock(&self.state);
        let listed = match &mut state.how {
            How::Listed { at, .. } => {
                *at = Instant::now();
                true
            }
            _ => false,
        };
        let from = std::mem::replace(&mut state.version, listing.resource_version.clone());
        let again = std::mem::replace(&mut state.listed_before, true);
        Self::exchange(&mut state, shared, &listing.items);
        drop(state);
        if again && !listed {
            lock(&shared.gaps).push(Gap {
                kind: place.0.to_string(),
                namespace: place.1.clone(),
                from,
                to: listing.resource_version.clone(),
                why: "the watch was lost".to_owned(),
            });
        }
        shared.ring();
    }

    fn exchange(state: &mut State, shared: &Shared, items: &[Arc<Live>]) {
        let mut now: BTreeMap<ObjectKey, Arc<Live>> = items
            .iter()
            .filter_map(|item| Some((item.reference().ok()?.key(), Arc::clone(item))))
            .collect();
        std::mem::swap(&mut state.objects, &mut now);
        let before = now;
        if before.is_empty() {
            return;
        }
        let (mut moved, mut trail) = (lock(&shared.moved), lock(&shared.trail));
        for (key, object) in &state.objects {
            let was = before.get(key);
            if was.is_none_or(|was| kept_version(was) != kept_version(object)) {
                trail.saw(key, was.map(|was| &***was), Some(object));
                moved.insert(key.clone());
            }
        }
        for (key, was) in before {
            if !state.objects.contains_key(&key) {
                trail.saw(&key, Some(&was), None);
                moved.insert(key);
            }
        }
    }

    /// Takes one object as it is now; `None`: it is gone. What is older than what is kept is passed over.
    pub fn take(&self, shared: &Shared, key: &ObjectKey, object: Option<Value>) {
        let mut state = lock(&self.state);
        let was = state.objects.get(key).cloned();
        match object {
            Some(object) => {
                if was
                    .as_ref()
                    .is_some_and(|was| kept_version(was) >= version_of(&object))
                {
                    return;
                }
                let object = Arc::new(Live::from(object));
                lock(&shared.trail).saw(key, was.as_ref().map(|was| &***was), Some(&object));
                state.objects.insert(key.clone(), object);
            }
            None => {
                if was.is_none() {
                    return;
                }
                lock(&shared.trail).saw(key, was.as_ref().map(|was| &***was), None);
                state.objects.remove(key);
            }
        }
        drop(state);
        lock(&shared.moved).insert(key.clone());
        shared.ring();
    }

    /// Follows the watch in a task of its own, for as long as this is kept.
    pub fn follow(kept: &Arc<Self>, shared: &Arc<Shared>, place: Place, watch: Watch) {
        let health = Arc::clone(&watch.health);
        // The task cannot say that it failed before it is known to be there.
        let mut state = lock(&kept.state);
        let task = tokio::spawn(run(
            Arc::downgrade(kept),
            Arc::downgrade(shared),
            place,
            watch,
        ));
        state.how = How::Watched {
            health,
            _task: Task(task.abort_handle()),
        };
    }
}

async fn run(kept: Weak<Kept>, shared: Weak<Shared>, place: Place, mut watch: Watch) {
    while let Some(event) = watch.events.recv().await {
        let (Some(kept), Some(shared)) = (kept.upgrade(), shared.upgrade()) else {
            return;
        };
        match event {
            WatchEvent::Changed(object) => {
                if let Some(key) = key_of(&object) {
                    kept.take(&shared, &key, Some(object));
                }
            }
            WatchEvent::Deleted(object) => {
                // An object of the same name that was made since is newer than this one's end.
                let key = key_of(&object)
                    .filter(|key| kept.version_of(key) <= version_of(&object).max(1));
                if let Some(key) = key {
                    kept.take(&shared, &key, None);
                }
            }
            WatchEvent::Bookmark(version) => lock(&kept.state).version = version,
            WatchEvent::Gap { from, to, items } => {
                let mut state = lock(&kept.state);
                state.version.clone_from(&to);
                Kept::exchange(&mut state, &shared, &items);
                drop(state);
                lock(&shared.gaps).push(Gap {
                    kind: place.0.to_string(),
                    namespace: place.1.clone(),
                    from,
                    to,
                    why: "the server no longer had what happened in between (410 Gone)".to_owned(),
                });
                shared.ring();
            }
            // The watch is taken up again by itself; its age says how long it has been silent.
            WatchEvent::Error(error)
                if matches!(
                    error.failure,
                    ReadFailure::Unreachable
                        | ReadFailure::Unauthenticated
                        | ReadFailure::Malformed
                ) => {}
            WatchEvent::Error(error) => {
                if watch.health.was_up() {
                    let version = lock(&kept.state).version.clone();
                    lock(&shared.gaps).push(Gap {
                        kind: place.0.to_string(),
                        namespace: place.1.clone(),
                        from: version.clone(),
                        to: version,
                        why: error.to_string(),
                    });
                }
                // This ends the task that runs this.
                kept.watch_refused();
                return;
            }
        }
    }
    if let Some(kept) = kept.upgrade() {
        kept.forget();
    }
}
