//! What a sync would do now, kept true: worked out by dry runs when it is not known, and void as soon as what it was worked out
//! from is otherwise.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;
use trueup_core::event::Prediction;
use trueup_core::now;
use trueup_core::object::{
    identity::{AppKey, ObjectKey},
    live::Live,
    managed,
};

use super::mirror::lock;
use super::read::{AppSeen, World};
use super::state::Engine;

/// Between two predictions of one Application, at least this long: what moves all the time is not asked about all the time.
const BREATH: Duration = Duration::from_secs(2);

/// A prediction, and what it was worked out from.
#[derive(Debug)]
struct Kept {
    ground: Ground,
    prediction: Prediction,
    at: Timestamp,
    tried: Instant,
}

impl Kept {
    fn new(app: &AppSeen, prediction: Prediction, at: Timestamp) -> Self {
        Self {
            ground: Ground::of(app),
            prediction,
            at,
            tried: Instant::now(),
        }
    }
}

/// What a prediction is worked out from.
#[derive(Debug)]
struct Ground {
    head: Option<String>,
    application: Arc<Value>,
    live: Vec<Arc<Live>>,
}

impl Ground {
    fn of(app: &AppSeen) -> Self {
        Self {
            head: app.head.clone(),
            application: Arc::clone(&app.object),
            live: app.live.clone(),
        }
    }

    /// Whether a sync now is the sync that was asked about: the same in Git, and the same objects, but for what no sync
    /// depends on.
    fn is_still(&self, app: &AppSeen) -> bool {
        let same_spec = Arc::ptr_eq(&self.application, &app.object)
            || self.application.get("spec") == app.object.get("spec");
        app.complete && self.head == app.head && same_spec && same_objects(&self.live, &app.live)
    }
}

/// The newest prediction of each Application.
#[derive(Debug, Default)]
pub struct Predictions(std::sync::Mutex<BTreeMap<AppKey, Kept>>);

impl Predictions {
    /// Gives a look what is known already, as far as it still is so.
    pub(super) fn put_into(&self, world: &mut World) {
        let mut kept = lock(&self.0);
        kept.retain(|key, _| world.applications.contains_key(key));
        for (key, app) in &mut world.applications {
            // A look that asked by itself knows best.
            if let Some((prediction, at)) = app.if_synced.clone() {
                kept.insert(key.clone(), Kept::new(app, prediction, at));
                continue;
            }
            let known = kept.get_mut(key).filter(|known| known.ground.is_still(app));
            app.if_synced = known.map(|known| {
                // The next look is compared with this one: most of it is the same in memory.
                known.ground = Ground::of(app);
                (known.prediction.clone(), known.at)
            });
        }
    }

    /// The Applications that have to be asked about: those of the scope, and as long as none is chosen all of a few or those
    /// that differ. A dry run of every object of a whole cluster would be a load that no incident needs.
    fn missing(&self, world: &World, scope: &[AppKey]) -> Vec<AppSeen> {
        let kept = lock(&self.0);
        let asked = |app: &AppSeen| match scope {
            [] => world.applications.len() <= now::FEW || differs(world, app),
            scope => scope.contains(&app.key),
        };
        let due = |app: &&AppSeen| {
            let tried = kept.get(&app.key).map(|known| known.tried.elapsed());
            app.complete && app.if_synced.is_none() && tried.is_none_or(|ago| ago >= BREATH)
        };
        let apps = world.applications.values();
        apps.filter(|app| asked(app)).filter(due).cloned().collect()
    }

    fn keep(&self, app: &AppSeen, prediction: Prediction, at: Timestamp) {
        let known = Kept::new(app, prediction, at);
        lock(&self.0).insert(app.key.clone(), known);
    }

    /// What could not be told is asked for once more.
    pub(super) fn try_again(&self) {
        lock(&self.0).retain(|_, known| known.prediction.unknown.is_empty());
    }
}

/// Works out what is not known, one Application after the other, whatever else goes on.
pub(super) async fn keep_predicting(engine: Weak<Engine>) {
    let Some(mut looks) = engine.upgrade().map(|engine| engine.looks_done()) else {
        return;
    };
    loop {
        // What had to wait for its breath is not forgotten when nothing moves.
        let _ = tokio::time::timeout(BREATH, looks.changed()).await;
        let Some(engine) = engine.upgrade() else {
            return;
        };
        let Some((world, _)) = engine.seen().filter(|_| engine.run().closed.is_none()) else {
            continue;
        };
        let mut any = false;
        for app in engine.predictions.missing(&world, &engine.run().scope) {
            let at = engine.ports.clock.now();
            let prediction = engine.reader.predict_as_seen(&app).await;
            engine.predictions.keep(&app, prediction, at);
            any = true;
        }
        if any {
            // What fails here shows as the age of the data.
            let _ = engine.glance().await;
        }
    }
}

/// Whether Argo CD or the comparison sees a difference.
fn differs(world: &World, app: &AppSeen) -> bool {
    let synced = app.object.pointer("/status/sync/status") == Some(&Value::from("Synced"));
    let report = &world.report.applications;
    let seen = report
        .iter()
        .find(|seen| seen.name == app.key.name && seen.namespace == app.key.namespace);
    !synced || seen.is_none_or(|seen| seen.divergences != Some(0))
}

fn same_objects(old: &[Arc<Live>], new: &[Arc<Live>]) -> bool {
    if old.len() != new.len() {
        return false;
    }
    let mut moved = Vec::new();
    for (old, new) in old.iter().zip(new) {
        let same = Arc::ptr_eq(old, new)
            || (old.resource_version() == new.resource_version()
                && old.reference().ok() == new.reference().ok());
        if !same {
            moved.push((old, new));
        }
    }
    if moved.is_empty() {
        return true;
    }
    // They may stand in another order.
    let named = |object: &Arc<Live>| -> Option<(ObjectKey, Value)> {
        Some((object.reference().ok()?.key(), depended_on(object)))
    };
    let was: BTreeMap<_, _> = moved.iter().filter_map(|(old, _)| named(old)).collect();
    let is: BTreeMap<_, _> = moved.iter().filter_map(|(_, new)| named(new)).collect();
    was.len() == moved.len() && was == is
}

/// An object without what its controllers write about it.
fn depended_on(object: &Value) -> Value {
    let mut object = object.clone();
    managed::unpack(&mut object);
    if let Some(whole) = object.as_object_mut() {
        whole.shift_remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("resourceVersion");
        metadata.shift_remove("generation");
        if let Some(fields) = metadata
            .get_mut("managedFields")
            .and_then(Value::as_array_mut)
        {
            fields.retain(|entry| entry.get("subresource").is_none());
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn live(version: &str, image: &str, ready: u32) -> Arc<Live> {
        let object = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "p", "namespace": "n", "resourceVersion": version,
                "managedFields": [
                    {"manager": "kubectl", "operation": "Update"},
                    {"manager": "kcm", "operation": "Update", "subresource": "status", "time": version},
                ]},
            "spec": {"image": image},
            "status": {"ready": ready},
        });
        Arc::new(Live::from(object))
    }

    #[test]
    fn a_write_of_somebody_voids_it_and_a_status_does_not() {
        let was = [live("1", "a:1", 1)];
        assert!(same_objects(&was, &[live("1", "a:1", 1)]));
        assert!(same_objects(&was, &[live("2", "a:1", 3)]), "a status");
        assert!(!same_objects(&was, &[live("2", "a:2", 1)]), "an image");
    }
}
