//! What a sync will do, found out by sending the server the very patch that Argo CD would send, as a dry run.
//!
//! Client-side syncs send the three-way patch, server-side ones an apply with force; anything else is named as
//! unpredictable, and so is what a server-side sync takes over from client-side ones. What a dry run cannot tell (later waves, hooks, webhooks with side effects) stays untold.

use futures::StreamExt;
use serde_json::Value;
use trueup_core::apply::{
    PatchType, desired_for_apply, effect, predict, taken_over, three_way_patch,
};
use trueup_core::event::{Changed, Prediction, Unpredicted};
use trueup_core::ignore;
use trueup_core::object::identity::{ObjectKey, ObjectRef};
use trueup_core::object::normalise::is_bookkeeping;
use trueup_core::policy::last_applied;

use super::{AppSeen, Desired, Look, Reader, is_tracked_by};
use crate::ports::{Cluster, WriteError, WriteKind, WriteRequest};

/// Dry runs in flight at once.
const CONCURRENT: usize = 4;
/// What Argo CD calls itself as a field manager, on both ways of syncing.
const ARGO_MANAGER: &str = "argocd-controller";
const SYNC_OPTIONS: &str = "/metadata/annotations/argocd.argoproj.io~1sync-options";

/// What one object's sync would do.
#[derive(Default)]
struct Effect {
    changes: Vec<Changed>,
    creates: bool,
    bookkeeping: Vec<String>,
    unknown: Option<String>,
}

impl Reader {
    /// What a sync of this Application to `desired` would do now. Every live object is read again from the server.
    /// `unexpected` and `missing` are left empty: they need the decisions.
    pub async fn predict(&self, app: &AppSeen, desired: &[Value]) -> Prediction {
        self.predict_from(app, desired, true).await
    }

    /// What a sync to the head would do, from what the look had of the live objects.
    pub async fn predict_as_seen(&self, app: &AppSeen) -> Prediction {
        self.predict_from(app, &of_git(app), false).await
    }

    /// What a sync to the head would do, for every Application of the look.
    pub(super) async fn predict_all(&self, look: &mut Look) {
        let mut predictions = Vec::new();
        for app in look.apps.values().filter(|app| app.complete) {
            let at = self.clock.now();
            predictions.push((app.key.clone(), self.predict_as_seen(app).await, at));
        }
        for (key, prediction, at) in predictions {
            if let Some(app) = look.apps.get_mut(&key) {
                app.if_synced = Some((prediction, at));
            }
        }
    }

    async fn predict_from(&self, app: &AppSeen, desired: &[Value], fresh: bool) -> Prediction {
        let mut prediction = Prediction {
            hooks: app.hooks.iter().map(ToString::to_string).collect(),
            ..Prediction::default()
        };
        let Some(cluster) = self.cluster_of(&app.destination) else {
            let why = format!(
                "no context is known for the destination {:?}",
                app.destination.cluster
            );
            prediction
                .unknown
                .extend(desired.iter().filter_map(|object| {
                    Some(Unpredicted {
                        object: ObjectRef::from_object(object).ok()?,
                        why: why.clone(),
                    })
                }));
            return prediction;
        };
        let mut pending = Vec::new();
        for object in desired {
            let Ok(named) = ObjectRef::from_object(object) else {
                continue;
            };
            pending.push(self.predict_named(cluster.as_ref(), app, named, object, fresh));
        }
        let effects: Vec<(ObjectRef, Effect)> = futures::stream::iter(pending)
            .buffered(CONCURRENT)
            .collect()
            .await;
        for (object, effect) in effects {
            prediction.changes.extend(effect.changes);
            prediction.bookkeeping.extend(effect.bookkeeping);
            if effect.creates {
                prediction.creates.push(object.clone());
            }
            if let Some(why) = effect.unknown {
                prediction.unknown.push(Unpredicted { object, why });
            }
        }
        let wanted: Vec<ObjectKey> = desired
            .iter()
            .filter_map(|object| Some(ObjectRef::from_object(object).ok()?.key()))
            .collect();
        prediction.extra = app
            .live
            .iter()
            .filter(|object| is_tracked_by(object, &app.key, self.namespace()))
            .filter_map(|object| ObjectRef::from_object(object).ok())
            .filter(|object| !wanted.contains(&object.key()))
            .collect();
        prediction
    }

    async fn predict_named(
        &self,
        cluster: &dyn Cluster,
        app: &AppSeen,
        named: ObjectRef,
        object: &Value,
        fresh: bool,
    ) -> (ObjectRef, Effect) {
        let effect = self.predict_one(cluster, app, &named, object, fresh).await;
        let effect = effect.unwrap_or_else(|why| Effect {
            unknown: Some(why),
            ..Effect::default()
        });
        (named, effect)
    }

    async fn predict_one(
        &self,
        cluster: &dyn Cluster,
        app: &AppSeen,
        named: &ObjectRef,
        desired: &Value,
        fresh: bool,
    ) -> Result<Effect, String> {
        let options = sync_options(app, desired);
        if let Some(option) = ["Replace=true", "Force=true"]
            .into_iter()
            .find(|wanted| options.iter().any(|o| o == wanted))
        {
            return Err(format!(
                "it is synced with {option}, which replaces the object whole"
            ));
        }
        let live = if fresh {
            cluster
                .get(named)
                .await
                .map_err(|error| error.to_string())?
        } else {
            let same = |object: &&Value| {
                ObjectRef::from_object(object).is_ok_and(|other| other.key() == named.key())
            };
            app.live_objects().find(same).cloned()
        };
        let wanted = desired_for_apply(
            desired,
            &app.key.instance(self.namespace()),
            &app.destination.namespace,
        )
        .map_err(|error| error.to_string())?;
        let secret = named.kind == "Secret" && named.group.is_empty();
        let dry = |kind, body| WriteRequest {
            object: named.clone(),
            kind,
            body,
            dry_run: true,
            field_manager: ARGO_MANAGER.to_owned(),
            subresource: None,
        };
        let Some(live) = live else {
            if secret {
                let why = Some("a Secret would be created; its values are not read here, so this was not tried".to_owned());
                return Ok(Effect {
                    creates: true,
                    unknown: why,
                    ..Effect::default()
                });
            }
            let tried = cluster.write(&dry(WriteKind::Create, wanted)).await;
            return Ok(Effect {
                creates: true,
                unknown: tried.err().map(|error| reason(&error)),
                ..Effect::default()
            });
        };
        let applied = last_applied(&live);
        let (desired, wanted) = match ignored(app, named)? {
            pointers if pointers.is_empty() => (desired.clone(), wanted),
            pointers => (
                ignore::respected(desired, &live, &pointers),
                ignore::respected(&wanted, &live, &pointers),
            ),
        };
        let server_side = options
            .iter()
            .any(|option| option == "ServerSideApply=true");
        let gone = match server_side {
            true => taken_over(&live, &wanted, ARGO_MANAGER, secret),
            false => Vec::new(),
        };
        if secret {
            // Digests cannot be sent; whether anything would move can be told from them all the same.
            let after = predict(applied.as_ref(), &desired, &live, &named.kind);
            let moved = !gone.is_empty()
                || effect(&live, &after, &named.kind)
                    .iter()
                    .any(|change| !is_bookkeeping(&change.path));
            let why =
                "a Secret would change; its values are not read here, so the change was not tried"
                    .to_owned();
            return Ok(Effect {
                unknown: moved.then_some(why),
                ..Effect::default()
            });
        }
        if let Some(first) = gone.first() {
            return Err(format!(
                "it was applied client-side before, and a server-side sync takes away what left Git since: {first}{}; a dry run does not show that",
                match gone.len() {
                    1 => String::new(),
                    all => format!(" and {} more", all - 1),
                }
            ));
        }
        let request = if server_side {
            let mut body = wanted;
            if let Some(annotations) = body
                .pointer_mut("/metadata/annotations")
                .and_then(Value::as_object_mut)
            {
                annotations.shift_remove(trueup_core::object::redact::LAST_APPLIED);
            }
            dry(WriteKind::Apply { force: true }, body)
        } else {
            let patch = three_way_patch(applied.as_ref(), &wanted, &live, &named.kind);
            if patch.body.as_object().is_none_or(serde_json::Map::is_empty) {
                return Ok(Effect::default());
            }
            let kind = match patch.patch_type {
                PatchType::Strategic => WriteKind::StrategicMerge,
                PatchType::Merge => WriteKind::MergePatch,
            };
            dry(kind, patch.body)
        };
        let after = cluster
            .write(&request)
            .await
            .map_err(|error| reason(&error))?;
        let mut effect_of = Effect::default();
        for change in effect(&live, &after, &named.kind) {
            if is_bookkeeping(&change.path) {
                effect_of
                    .bookkeeping
                    .push(format!("{named} {}", change.path));
            } else {
                let (from, to) = (change.from, change.to);
                effect_of.changes.push(Changed {
                    object: named.clone(),
                    field: change.path,
                    from,
                    to,
                });
            }
        }
        Ok(effect_of)
    }
}

/// What Git has at the head.
pub fn of_git(app: &AppSeen) -> Vec<Value> {
    let object = |desired: &Desired| Value::clone(&desired.object);
    app.desired.iter().map(object).collect()
}

/// The fields that a sync leaves as they are live.
fn ignored(app: &AppSeen, object: &ObjectRef) -> Result<Vec<String>, String> {
    if !ignore::respects(&app.object) {
        return Ok(Vec::new());
    }
    match ignore::beyond_pointers(&app.object, object) {
        Some(name) => Err(format!(
            "the Application ignores fields of it by {name} and a sync keeps them; only jsonPointers are computed here"
        )),
        None => Ok(ignore::pointers(&app.object, object)),
    }
}

/// The options of the Application and of the object itself, `Key=value` each.
fn sync_options(app: &AppSeen, object: &Value) -> Vec<String> {
    let of_app = app
        .object
        .pointer("/spec/syncPolicy/syncOptions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let of_object = object
        .pointer(SYNC_OPTIONS)
        .and_then(Value::as_str)
        .unwrap_or_default();
    of_app
        .filter_map(Value::as_str)
        .chain(of_object.split(','))
        .map(|option| option.trim().to_owned())
        .collect()
}

fn reason(error: &WriteError) -> String {
    match error {
        WriteError::Refused {
            code: 403, message, ..
        } => format!("the dry run is not allowed: {message}"),
        other => other.to_string(),
    }
}
