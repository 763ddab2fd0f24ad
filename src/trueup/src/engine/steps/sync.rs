//! A sync: predicted, shown, asked for, followed to its end, and compared with what was shown.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use trueup_core::{
    decision::{CellKey, Wanted},
    event::{Changed, Effect, Event, Overwritten, Prediction},
    ids::{Commit, OpId},
    now::{CellNow, Synced},
    object::{
        diff::{self, FieldChange},
        identity::{AppKey, ObjectKey, ObjectRef},
        managed::{Managed, ManagerClass},
        normalise,
        path::FieldPath,
    },
    run::{Run, Sync},
    sheet::{Refusal, Sheet},
    text,
    workflow::Next,
};

use super::super::{foreign, read, state::Engine, trouble::Trouble};
use super::application;
use super::snapshot;

/// Names of our items in `operation.info`.
pub const INFO_OP: &str = "trueup-op";
pub const INFO_INCIDENT: &str = "trueup-incident";

const FINAL: [&str; 3] = ["Succeeded", "Failed", "Error"];

fn compared_with(application: &Value) -> &str {
    let at = application.pointer("/status/sync/revision");
    at.and_then(Value::as_str).unwrap_or_default()
}

impl Engine {
    /// What a sync to the landed revision would do, compared with what was decided.
    pub(in super::super) async fn predict(
        &self,
        key: &AppKey,
        revision: &Commit,
    ) -> Result<(), Trouble> {
        let seen = self.refresh(key).await?;
        self.predict_from(key, revision, &seen).await
    }

    /// The same from what Argo CD compared last: nothing is asked of it, which would be a write.
    pub async fn foresee(&self, key: &AppKey, revision: &Commit) -> Result<(), Trouble> {
        let seen = self.application(key).await?;
        self.predict_from(key, revision, &seen).await
    }

    /// Whether Argo CD compared it with this revision by itself.
    pub async fn is_compared(&self, key: &AppKey, revision: &Commit) -> Result<bool, Trouble> {
        let seen = self.application(key).await?;
        Ok(compared_with(&seen) == revision.as_str())
    }

    async fn predict_from(
        &self,
        key: &AppKey,
        revision: &Commit,
        seen: &Value,
    ) -> Result<(), Trouble> {
        let at = compared_with(seen);
        if at != revision.as_str() {
            if let Some(why) = application::not_compared(seen) {
                return Err(Trouble::failed(
                    format!("predict the sync of {key}"),
                    format!("Argo CD could not compare it: {why}"),
                    "mend what it says (its repo server, the way to the repository, the manifests), then look again",
                ));
            }
            return Err(Trouble::failed(
                format!("predict the sync of {key}"),
                format!(
                    "Argo CD compares it with {} and not with {}",
                    text::line(at),
                    revision.short()
                ),
                "somebody may have pushed meanwhile, or Argo CD cannot render that revision: look again",
            ));
        }
        let (world, _) = self.look_confirmed(key).await?;
        let Some(app) = world.applications.get(key) else {
            return Err(Trouble::failed(
                format!("predict the sync of {key}"),
                "it was not found",
                "look again",
            ));
        };
        let prediction = self.prediction(key, app).await?;
        self.record(Event::Predicted {
            application: key.clone(),
            revision: revision.clone(),
            prediction: Box::new(prediction),
        })?;
        Ok(())
    }

    /// Predicts once more where the walk stands still before a sync that would not do what was decided: what it was
    /// predicted from may be otherwise now.
    pub(in super::super) async fn predict_anew(&self, next: &Next) -> Result<(), Trouble> {
        let Next::Stopped {
            rule: 3,
            application: Some(key),
            ..
        } = next
        else {
            return Ok(());
        };
        let run = self.run();
        let Some(app) = run.apps.get(key) else {
            return Ok(());
        };
        match (&app.sync, &app.prediction) {
            // Argo CD is asked to compare, which is a write.
            _ if !run.armed.cluster() => Ok(()),
            (
                Sync::Not | Sync::Verified { .. } | Sync::Surprised { .. },
                Some((revision, prediction)),
            ) if !prediction.as_expected() => self.predict(key, revision).await,
            _ => Ok(()),
        }
    }

    async fn prediction(&self, key: &AppKey, app: &read::AppSeen) -> Result<Prediction, Trouble> {
        let desired = read::of_git(app);
        let mut prediction = self.reader.predict(app, &desired).await;
        let before: Vec<Value> = app.live_objects().map(snapshot::whole).collect();
        prediction.before = Some(self.keep(&serde_json::to_vec(&before).unwrap_or_default())?);
        let run = self.run();
        for object in &desired {
            let Ok(object) = ObjectRef::from_object(object) else {
                continue;
            };
            let live = app
                .live
                .iter()
                .find(|live| ObjectRef::from_object(live).is_ok_and(|r| r.key() == object.key()));
            let Some(live) = live else { continue };
            let decided = decided_changes(&run, key, &object, live);
            compare(&object, live, &decided, &mut prediction);
        }
        for object in prediction.creates.clone() {
            let wanted = run.decisions.values().any(|d| {
                d.cell.application == *key
                    && d.cell.object.key() == object.key()
                    && matches!(d.live, Wanted::Value(_))
            });
            if !wanted {
                prediction.unexpected.push(Changed {
                    object,
                    field: FieldPath::root(),
                    from: None,
                    to: Some(json!("(created)")),
                });
            }
        }
        Ok(prediction)
    }

    /// The guarded patch that asks for the sync (Argo CD `controller/appcontroller.go`): `operation` set and a final
    /// `operationState` cleared in one write, so that nothing of an earlier operation leaks into this one.
    pub(in super::super) fn sync_patch(
        &self,
        application: &Value,
        revision: &Commit,
        op: &OpId,
    ) -> Value {
        let mut sync = json!({
            "revision": revision.as_str(),
            "prune": false,
            "syncStrategy": {"hook": {}},
        });
        if let Some(options) = application
            .pointer("/spec/syncPolicy/syncOptions")
            .filter(|o| !o.is_null())
        {
            sync["syncOptions"] = options.clone();
        }
        let mut operation = json!({
            "initiatedBy": {"username": self.setting.operator},
            "info": [
                {"name": INFO_INCIDENT, "value": self.run().id()},
                {"name": INFO_OP, "value": op.as_str()},
            ],
            "sync": sync,
        });
        if let Some(retry) = application
            .pointer("/spec/syncPolicy/retry")
            .filter(|r| !r.is_null())
        {
            operation["retry"] = retry.clone();
        }
        let mut ops = vec![json!({
            "op": "test",
            "path": "/metadata/resourceVersion",
            "value": application.pointer("/metadata/resourceVersion"),
        })];
        if application.pointer("/status/operationState").is_some() {
            ops.push(json!({"op": "remove", "path": "/status/operationState"}));
        }
        ops.push(json!({"op": "add", "path": "/operation", "value": operation}));
        Value::Array(ops)
    }

    /// Does what a sync sheet showed.
    pub(in super::super) async fn sync(&self, sheet: &Sheet) -> Result<(), Trouble> {
        for (effect, guard) in sheet.effects.iter().zip(&sheet.guards) {
            let Effect::Sync {
                application: key,
                revision,
                ..
            } = effect
            else {
                continue;
            };
            self.must_hold(key).await?;
            self.head_is_still(key, revision).await?;
            self.effect_is_still(key, revision).await?;
            let _alone = self.still_allowed(&sheet.command).await?;
            let outcome = self
                .patch_application(key, guard, &sheet.will, |fresh, op| {
                    if let Some(running) = application::operation(fresh) {
                        return Err(Refusal::new(
                            2,
                            format!("an operation is in progress on {key}: {running}"),
                            "wait for its end, look at what it did, then go on",
                        )
                        .into());
                    }
                    let patch = self.sync_patch(fresh, revision, op);
                    let effect = Effect::Sync {
                        application: key.clone(),
                        revision: revision.clone(),
                        patch: patch.clone(),
                    };
                    Ok((effect, patch))
                })
                .await?;
            self.must_be_done(&format!("ask for a sync of {key}"), outcome)?;
        }
        Ok(())
    }

    /// The sync would still do what was shown: a sheet may stand open for long, and an object that somebody changes
    /// meanwhile would be overwritten unseen.
    async fn effect_is_still(&self, key: &AppKey, revision: &Commit) -> Result<(), Trouble> {
        let run = self.run();
        let shown = run.apps.get(key).and_then(|app| app.prediction.as_ref());
        let (world, _) = self.look_confirmed(key).await?;
        let Some(app) = world.applications.get(key) else {
            return Err(Trouble::failed(
                format!("sync {key}"),
                "it was not found",
                "look again",
            ));
        };
        let fresh = self.prediction(key, app).await?;
        if shown.is_some_and(|(at, shown)| at == revision && same_effect(shown, &fresh)) {
            return Ok(());
        }
        self.record(Event::Predicted {
            application: key.clone(),
            revision: revision.clone(),
            prediction: Box::new(fresh),
        })?;
        Err(Refusal::new(
            2,
            format!("the sync of {key} would do something else now than what was shown"),
            "somebody changed an object meanwhile; what the sync would do now is predicted anew: look at it",
        )
        .into())
    }

    /// The tracked branch has not moved under us.
    pub(in super::super) async fn head_is_still(
        &self,
        key: &AppKey,
        revision: &Commit,
    ) -> Result<(), Trouble> {
        let (world, _) = self.seen_or_look().await?;
        let Some(app) = world.applications.get(key) else {
            return Ok(());
        };
        let repo = self.ports.repos.open(&app.repo_url).await?;
        let head = repo.head(&app.branch).await?;
        if head.sha == revision.as_str() {
            return Ok(());
        }
        let by = foreign::pushed_since(&*repo, revision.as_str(), &head.sha).await;
        let by = by.unwrap_or_else(|| "somebody who pushed".into());
        self.record(Event::Adopted {
            application: Some(key.clone()),
            what: format!(
                "branch {} moved from {} to {}",
                text::line(&app.branch),
                revision.short(),
                Commit(head.sha.clone()).short()
            ),
            who: by.clone(),
            cell: None,
            sides: None,
        })?;
        self.look().await?;
        Err(Refusal::new(
            2,
            text::line(&format!(
                "nothing was synced: branch {} moved meanwhile, from {} to {} ({by})",
                app.branch,
                revision.short(),
                Commit(head.sha).short()
            )),
            "what was pushed is read now; only the decisions that it touches are open again",
        )
        .into())
    }

    /// Follows our operation to its end.
    pub(in super::super) async fn await_operation(
        &self,
        key: &AppKey,
        op: &OpId,
    ) -> Result<(), Trouble> {
        let limit = self.run().waits.sync_deadline.0;
        let what = format!("the sync of {key} to end");
        let finished = self
            .waiting(what, limit, self.operation_ends(key, op))
            .await?;
        self.record(finished)?;
        Ok(())
    }

    async fn operation_ends(&self, key: &AppKey, op: &OpId) -> Result<Event, Trouble> {
        loop {
            let seen = self.application(key).await?;
            if let Some(event) = finished(key, op, &seen) {
                return Ok(event);
            }
            self.until_it_moves(&seen).await;
        }
    }

    /// Reads the live objects back and compares what moved with what was predicted.
    pub(in super::super) async fn verify_sync(
        &self,
        key: &AppKey,
        op: &OpId,
    ) -> Result<(), Trouble> {
        let (world, now) = self.look_confirmed(key).await?;
        // What could not be read is read again first: it would be told as gone.
        if world.applications.get(key).is_none_or(|app| !app.complete) {
            return Ok(());
        }
        let run = self.run();
        let predicted = run
            .apps
            .get(key)
            .and_then(|app| app.prediction.as_ref())
            .map(|(_, p)| p.clone());
        let before = match predicted.as_ref().and_then(|p| p.before.as_ref()) {
            Some(digest) => {
                let bytes = self.with_journal(|journal| journal.blob(digest))?;
                serde_json::from_slice::<Vec<Value>>(&bytes).unwrap_or_default()
            }
            None => Vec::new(),
        };
        let after: Vec<&Value> = world
            .applications
            .get(key)
            .into_iter()
            .flat_map(|app| app.live_objects())
            .collect();
        let before: Vec<&Value> = before.iter().collect();
        let mut changes = moved(&before, &after, predicted.as_ref());
        let predicted = predicted.unwrap_or_default();
        let end = world.applications.get(key).and_then(|seen| {
            let app = run.apps.get(key)?;
            ended(&seen.object, &app.sync)
        });
        let overwritten = match end {
            Some(end) => overwritten(&after, &changes, &predicted, end),
            None => Vec::new(),
        };
        changes.retain(|change| {
            !overwritten
                .iter()
                .any(|over| over.object.key() == change.object.key() && over.field == change.field)
        });
        let surprises: Vec<Changed> = changes
            .iter()
            .filter(|change| {
                !predicted.changes.iter().any(|e| {
                    e.object.key() == change.object.key()
                        && e.field == change.field
                        && e.to == change.to
                }) && !as_decided(&run, key, &predicted, change)
            })
            .cloned()
            .collect();
        let mut brought = now.brought(&run, key, op);
        let asked = run.ops.get(op).map(|op| op.intended_at);
        let written = now.cells.iter().filter(|(cell, seen)| {
            // What was decided since is for another sync.
            let decision = run.decisions.get(*cell);
            let decision = decision.filter(|decision| asked.is_some_and(|at| at >= decision.at));
            let synced = seen.synced.as_ref();
            cell.application == *key
                && decision
                    .zip(synced)
                    .is_some_and(|(decision, synced)| decision.live.met_by(&synced.0))
        });
        brought.extend(written.map(|(cell, _)| cell.clone()));
        let again = !overwritten.is_empty();
        self.record(Event::SyncVerified {
            application: key.clone(),
            op: op.clone(),
            changes,
            surprises,
            brought,
            overwritten,
        })?;
        if again {
            // What they wrote is told of now that the sync is over.
            self.look().await?;
        }
        Ok(())
    }

    /// The operation asked for by `op`, if the world shows that it arrived.
    pub(in super::super) fn operation_is_ours(application: &Value, op: &OpId) -> bool {
        [
            application.get("operation"),
            application.pointer("/status/operationState/operation"),
        ]
        .into_iter()
        .flatten()
        .any(|operation| application::info(operation, INFO_OP) == Some(op.as_str()))
    }
}

/// When our sync ended, where the Application still shows it and it succeeded at the revision that it was asked for.
fn ended(application: &Value, sync: &Sync) -> Option<Timestamp> {
    let (Sync::Requested { op, revision } | Sync::Finished { op, revision, .. }) = sync else {
        return None;
    };
    let state = application.pointer("/status/operationState")?;
    let ours = application::info(state.get("operation")?, INFO_OP) == Some(op.as_str());
    let is =
        |pointer: &str, text: &str| state.pointer(pointer).and_then(Value::as_str) == Some(text);
    let done = ours
        && application::operation(application).is_none()
        && is("/phase", "Succeeded")
        && is("/syncResult/revision", revision.as_str());
    state
        .get("finishedAt")
        .filter(|_| done)?
        .as_str()?
        .parse()
        .ok()
}

/// The person who wrote a field after a sync had ended, and when.
///
/// A sync is cleared of a change only where all that its managed fields say speaks for that: whoever else has a part in the field
/// (Argo CD, as which a webhook's changes are written, too), a controller that may have followed what the sync wrote, a hook's
/// write within the second in which the sync ended, or no trace at all leave it a change of the sync.
fn written_after(object: &Value, field: &FieldPath, end: Timestamp) -> Option<(String, Timestamp)> {
    let managed = Managed::read(object);
    let touching = || managed.entries.iter().filter(|entry| entry.touches(field));
    // Both tell whole seconds.
    let later = |at: &Timestamp| at.as_second() > end.as_second();
    let all = touching().all(|entry| {
        entry.class() == ManagerClass::Human && entry.time.as_ref().is_some_and(later)
    });
    let writer = managed.writer(field).filter(|_| all && !field.is_root())?;
    Some((text::line(&writer.manager), writer.time?))
}

/// The fields that somebody wrote between the end of a sync and its read-back.
fn overwritten(
    after: &[&Value],
    changes: &[Changed],
    predicted: &Prediction,
    end: Timestamp,
) -> Vec<Overwritten> {
    let live = |key: &ObjectKey| {
        let mut all = after.iter();
        all.find(|object| ObjectRef::from_object(object).is_ok_and(|r| r.key() == *key))
    };
    let same = |a: &Changed, b: &Changed| a.object.key() == b.object.key() && a.field == b.field;
    // Put back to what stood before the sync it shows in no change.
    let unseen = predicted
        .changes
        .iter()
        .filter(|change| !changes.iter().any(|other| same(other, change)));
    changes
        .iter()
        .chain(unseen)
        .filter_map(|change| {
            let object = live(&change.object.key())?;
            let predicted = predicted.changes.iter().find(|other| same(other, change));
            let is = change.field.get(object).cloned();
            if predicted.is_some_and(|predicted| predicted.to == is) {
                return None;
            }
            let (who, at) = written_after(object, &change.field, end)?;
            Some(Overwritten {
                object: change.object.clone(),
                field: change.field.clone(),
                predicted: predicted.cloned(),
                is,
                who,
                at,
            })
        })
        .collect()
}

/// Says of cells what a sync of ours made of them, where somebody wrote them since and it was not read back before.
pub fn note_overwritten<'a>(
    run: &Run,
    key: &AppKey,
    application: &Value,
    live: impl Iterator<Item = &'a Value>,
    cells: &mut BTreeMap<CellKey, CellNow>,
) {
    let app = run.apps.get(key);
    let Some((app, end)) = app.and_then(|app| Some((app, ended(application, &app.sync)?))) else {
        return;
    };
    let Some((_, predicted)) = &app.prediction else {
        return;
    };
    let live: Vec<&Value> = live.collect();
    for over in overwritten(&live, &[], predicted, end) {
        let cell = cells.iter_mut().find(|(cell, _)| {
            cell.application == *key
                && cell.object.key() == over.object.key()
                && cell.field == over.field
        });
        if let (Some((_, cell)), Some(change)) = (cell, over.predicted) {
            cell.synced = Some(Synced(change.to));
        }
    }
}

/// Whether a change of an object whose effect was not known beforehand is exactly what was decided for the field.
fn as_decided(run: &Run, key: &AppKey, predicted: &Prediction, change: &Changed) -> bool {
    let object = change.object.key();
    let unknown = predicted.unknown.iter().any(|u| u.object.key() == object);
    unknown
        && run.decisions.values().any(|d| {
            let to = match &d.live {
                Wanted::Value(value) => Some(value),
                Wanted::Absent => None,
                Wanted::AsIs => return false,
            };
            d.cell.application == *key
                && d.cell.object.key() == object
                && d.cell.field == change.field
                && to == change.to.as_ref()
        })
}

/// The end of our operation, or of whatever took its place.
fn finished(key: &AppKey, op: &OpId, seen: &Value) -> Option<Event> {
    let waits = seen.get("operation").is_some_and(|o| !o.is_null());
    let state = seen.pointer("/status/operationState");
    let phase = state
        .and_then(|s| s.get("phase"))
        .and_then(Value::as_str)
        .unwrap_or_default();
    if waits || state.is_none() || !FINAL.contains(&phase) {
        return None;
    }
    let finished_at = state
        .and_then(|s| s.get("finishedAt"))
        .and_then(Value::as_str)
        .and_then(|text| text.parse().ok());
    // A comparison after the end is what makes sync and health statements about the state after it.
    if finished_at.is_some_and(|at| application::reconciled_at(seen).is_none_or(|seen| seen < at)) {
        return None;
    }
    let text_at = |pointer: &str| {
        text::line(
            seen.pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default(),
        )
    };
    let ours = Engine::operation_is_ours(seen, op);
    Some(Event::OperationFinished {
        application: key.clone(),
        op: op.clone(),
        phase: if ours {
            phase.to_owned()
        } else {
            "Replaced".to_owned()
        },
        message: if ours {
            text_at("/status/operationState/message")
        } else {
            format!(
                "another operation took its place, by {}",
                text_at("/status/operationState/operation/initiatedBy/username")
            )
        },
        revision: text_at("/status/operationState/syncResult/revision"),
        finished_at,
    })
}

/// Whether both predict the same, but for bookkeeping.
fn same_effect(a: &Prediction, b: &Prediction) -> bool {
    a.changes == b.changes
        && a.creates == b.creates
        && a.hooks == b.hooks
        && a.unexpected == b.unexpected
        && a.missing == b.missing
        && a.unknown == b.unknown
}

/// The live changes that the decisions ask for on one object, as it stands now.
fn decided_changes(run: &Run, key: &AppKey, object: &ObjectRef, live: &Value) -> Vec<FieldChange> {
    run.decisions
        .values()
        .filter(|d| {
            d.cell.application == *key
                && d.cell.object.key() == object.key()
                && !d.cell.field.is_root()
        })
        .filter_map(|d| {
            let from = d.cell.field.get(live).cloned();
            let to = match &d.live {
                Wanted::Value(value) => Some(value.clone()),
                Wanted::Absent => None,
                Wanted::AsIs => return None,
            };
            (from != to).then(|| FieldChange {
                path: d.cell.field.clone(),
                from,
                to,
                order_only: false,
            })
        })
        .collect()
}

/// Puts the difference between the object as decided and as predicted into the prediction.
fn compare(object: &ObjectRef, live: &Value, decided: &[FieldChange], into: &mut Prediction) {
    // Of an effect that is not known, nothing is known to be left out either: that it is unknown stops the walk.
    let known = !into
        .unknown
        .iter()
        .any(|unpredicted| unpredicted.object.key() == object.key());
    let predicted: Vec<FieldChange> = into
        .changes
        .iter()
        .filter(|change| change.object.key() == object.key())
        .map(|change| FieldChange {
            path: change.field.clone(),
            from: change.from.clone(),
            to: change.to.clone(),
            order_only: false,
        })
        .collect();
    let (Ok(will_be), Ok(shall_be)) = (diff::apply(live, &predicted), diff::apply(live, decided))
    else {
        let named = |change: &FieldChange| Changed {
            object: object.clone(),
            field: change.path.clone(),
            from: change.from.clone(),
            to: change.to.clone(),
        };
        into.unexpected.extend(predicted.iter().map(named));
        return;
    };
    for difference in diff::diff(&shall_be, &will_be, &object.kind) {
        if difference.is_cosmetic(&object.kind) {
            continue;
        }
        let stands = difference.path.get(live).cloned();
        let change = Changed {
            object: object.clone(),
            field: difference.path.clone(),
            from: stands.clone(),
            to: difference.to.clone(),
        };
        if difference.to == stands {
            if known {
                into.missing.push(Changed {
                    to: difference.from.clone(),
                    ..change
                });
            }
        } else {
            into.unexpected.push(change);
        }
    }
}

/// What moved between two readings of the live objects, bookkeeping and status left out.
fn moved(before: &[&Value], after: &[&Value], predicted: Option<&Prediction>) -> Vec<Changed> {
    let index = |objects: &[&Value]| -> BTreeMap<ObjectKey, (ObjectRef, Value)> {
        objects
            .iter()
            .filter_map(|object| {
                let reference = ObjectRef::from_object(object).ok()?;
                Some((
                    reference.key(),
                    (reference, normalise::strip(object).object),
                ))
            })
            .collect()
    };
    let (before, after) = (index(before), index(after));
    let created =
        |key: &ObjectKey| predicted.is_some_and(|p| p.creates.iter().any(|c| c.key() == *key));
    let mut changes = Vec::new();
    for (key, (reference, object)) in &after {
        match before.get(key) {
            Some((_, was)) => {
                for change in diff::diff(was, object, &reference.kind) {
                    if !change.is_cosmetic(&reference.kind)
                        && !normalise::is_bookkeeping(&change.path)
                    {
                        changes.push(Changed {
                            object: reference.clone(),
                            field: change.path,
                            from: change.from,
                            to: change.to,
                        });
                    }
                }
            }
            None if created(key) => {}
            None => changes.push(Changed {
                object: reference.clone(),
                field: FieldPath::root(),
                from: None,
                to: Some(json!("(created)")),
            }),
        }
    }
    for (key, (reference, _)) in &before {
        if !after.contains_key(key) {
            changes.push(Changed {
                object: reference.clone(),
                field: FieldPath::root(),
                from: Some(json!("(there)")),
                to: None,
            });
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use trueup_core::event::Unpredicted;

    #[test]
    fn nothing_is_missing_from_an_effect_that_is_not_known() {
        let live = json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "signing", "namespace": "like"}, "data": {"token": "old"}});
        let object = ObjectRef::from_object(&live).unwrap();
        let decided = [FieldChange {
            path: ".data.token".parse().unwrap(),
            from: Some(json!("old")),
            to: Some(json!("new")),
            order_only: false,
        }];
        let mut prediction = Prediction::default();
        compare(&object, &live, &decided, &mut prediction);
        assert_eq!(prediction.missing.len(), 1);
        let mut prediction = Prediction {
            unknown: vec![Unpredicted {
                object: object.clone(),
                why: "not tried".into(),
            }],
            ..Prediction::default()
        };
        compare(&object, &live, &decided, &mut prediction);
        assert!(prediction.missing.is_empty() && !prediction.as_expected());
    }

    #[test]
    fn only_what_was_decided_is_no_surprise_of_an_effect_that_was_not_known() {
        let records = trueup_core::transcript::sample::records();
        let run = Run::fold(&records);
        let decision = run
            .decisions
            .values()
            .find(|d| matches!(d.live, Wanted::Value(_)));
        let decision = decision.unwrap();
        let Wanted::Value(value) = &decision.live else {
            unreachable!("looked for above");
        };
        let (key, object) = (&decision.cell.application, &decision.cell.object);
        let change = |to: Value| Changed {
            object: object.clone(),
            field: decision.cell.field.clone(),
            from: None,
            to: Some(to),
        };
        let known = Prediction::default();
        let unknown = Prediction {
            unknown: vec![Unpredicted {
                object: object.clone(),
                why: "not tried".into(),
            }],
            ..Prediction::default()
        };
        assert!(as_decided(&run, key, &unknown, &change(value.clone())));
        assert!(!as_decided(&run, key, &unknown, &change(json!("other"))));
        assert!(!as_decided(&run, key, &known, &change(value.clone())));
    }

    const END: &str = "2026-11-22T21:50:10Z";

    /// A setting that two writers may have a part in, with what the sync was to bring it from and to.
    fn written(value: &str, writers: &[(&str, &str)]) -> (Value, Prediction) {
        let fields = json!({"f:data": {".": {}, "f:KEY": {}}});
        let managed: Vec<Value> = writers
            .iter()
            .map(|(manager, time)| {
                json!({"manager": manager, "operation": "Update", "apiVersion": "v1", "time": time,
                    "fieldsType": "FieldsV1", "fieldsV1": fields})
            })
            .collect();
        let live = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "auth-config", "namespace": "like", "managedFields": managed},
            "data": {"KEY": value}});
        let change = Changed {
            object: ObjectRef::from_object(&live).unwrap(),
            field: ".data.KEY".parse().unwrap(),
            from: Some(json!("key-old")),
            to: Some(json!("key-new")),
        };
        let predicted = Prediction {
            changes: vec![change],
            ..Prediction::default()
        };
        (live, predicted)
    }

    fn over(value: &str, writers: &[(&str, &str)]) -> Vec<Overwritten> {
        let (live, predicted) = written(value, writers);
        let change = Changed {
            to: Some(json!(value)),
            ..predicted.changes[0].clone()
        };
        let changes = if value == "key-old" {
            vec![]
        } else {
            vec![change]
        };
        overwritten(&[&live], &changes, &predicted, END.parse().unwrap())
    }

    #[test]
    fn what_somebody_wrote_after_a_sync_is_not_what_the_sync_made() {
        for value in ["key-evil", "key-old"] {
            let found = over(value, &[("kubectl-patch", "2026-11-22T21:50:11Z")]);
            let [one] = found.as_slice() else {
                panic!("{value}: {found:?}");
            };
            assert_eq!(
                (one.who.as_str(), &one.is),
                ("kubectl-patch", &Some(json!(value)))
            );
            assert_eq!(one.predicted.as_ref().unwrap().to, Some(json!("key-new")));
        }
        // Nobody undid anything.
        assert!(over("key-new", &[("kubectl-patch", "2026-11-22T21:51:00Z")]).is_empty());
    }

    #[test]
    fn a_change_of_a_sync_stays_one_without_evidence_of_another_writer() {
        let later = "2026-11-22T21:51:00Z";
        for writers in [
            // Argo CD, or a webhook that changed what Argo CD applied.
            &[("argocd-controller", "2026-11-22T21:50:08Z")][..],
            &[("argocd-controller", later)],
            &[
                ("argocd-controller", "2026-11-22T21:50:08Z"),
                ("kubectl-patch", later),
            ],
            // A hook of the sync, or who wrote within the second of its end.
            &[("kubectl-patch", "2026-11-22T21:50:08Z")],
            &[("kubectl-patch", END)],
            // A controller that follows what was synced.
            &[("manager", later)],
            &[],
        ] {
            let found = over("key-evil", writers);
            assert!(found.is_empty(), "{writers:?}: {found:?}");
        }
        let (mut live, predicted) = written("key-evil", &[("kubectl-patch", later)]);
        live["metadata"]["managedFields"][0]["time"] = Value::Null;
        let end = END.parse().unwrap();
        assert!(overwritten(&[&live], &predicted.changes, &predicted, end).is_empty());
    }

    #[test]
    fn only_the_end_of_our_own_sync_tells_what_came_after_it() {
        let sync = Sync::Requested {
            op: OpId::from("op-1"),
            revision: Commit::from("abc"),
        };
        let seen = json!({"status": {"operationState": {"phase": "Succeeded", "finishedAt": END,
            "syncResult": {"revision": "abc"},
            "operation": {"info": [{"name": INFO_OP, "value": "op-1"}]}}}});
        assert_eq!(ended(&seen, &sync), Some(END.parse().unwrap()));
        assert_eq!(ended(&seen, &Sync::Not), None);
        for (at, other) in [
            ("/status/operationState/phase", "Failed"),
            ("/status/operationState/phase", "Running"),
            ("/status/operationState/syncResult/revision", "def"),
            ("/status/operationState/operation/info/0/value", "op-2"),
        ] {
            let mut seen = seen.clone();
            *seen.pointer_mut(at).unwrap() = json!(other);
            assert_eq!(ended(&seen, &sync), None, "{at} {other}");
        }
        let mut again = seen.clone();
        again["operation"] = json!({"sync": {}});
        assert_eq!(ended(&again, &sync), None, "another one is asked for");
    }
}
