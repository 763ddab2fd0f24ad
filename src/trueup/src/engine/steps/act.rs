//! Live actions: production does not wait for a review, but it is shown, guarded, and has to reach Git before the close.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use trueup_core::{
    decision::{CellKey, Decision, LiveOf, Sides, Take, Wanted},
    event::{Effect, Event, Guard, Outcome},
    ids::OpId,
    object::{
        identity::{AppKey, ObjectRef},
        managed::Managed,
        path::{Element, FieldPath},
        typed,
    },
    plan::Action,
    policy::FIELD_MANAGER,
    run::{Acted, Op, Run},
    sheet::{Command, Refusal, Sheet},
    text,
};

use super::super::{
    read::{self, AppSeen},
    state::{Engine, Write},
    trouble::{Trouble, outcome_of},
};
use super::application::{self, resource_version};
use super::tried::{DROPPED, dropped, not_taken};
use crate::ports::{WriteKind, WriteRequest};

/// A live action worked out against the object as it stands.
pub(in super::super) struct Worked {
    pub object: ObjectRef,
    pub patch: Value,
    pub inverse: Value,
    pub guard: Guard,
    pub will: String,
    /// That the object has no such field yet, where a patch would make it.
    pub new: Option<String>,
    /// What is written, what stood there, and what shall.
    pub(super) field: FieldPath,
    pub(super) from: Option<Value>,
    pub(super) to: Option<Value>,
    /// The patch without its guard, which does not hold any more once it is written.
    pub(super) change: Value,
}

/// How long a request may still be under way after its process died: the deadline of a write.
pub(super) const LATE: Duration = Duration::from_secs(15);

/// The field manager of one live action: the mark that the world keeps of it, in no field that Git would lack.
fn mark(op: &OpId) -> String {
    format!("{FIELD_MANAGER}-{op}")
}

fn carries(seen: &Value, op: &OpId) -> bool {
    let mark = mark(op);
    Managed::read(seen)
        .entries
        .iter()
        .any(|entry| entry.manager == mark)
}

/// Whether every value that a JSON Patch sets stands, and everything that it removes is gone.
pub(in super::super) fn patch_stands(patch: &Value, seen: &Value) -> bool {
    patch.as_array().is_some_and(|ops| {
        ops.iter().all(|op| {
            let path = op.get("path").and_then(Value::as_str).unwrap_or_default();
            match op.get("op").and_then(Value::as_str) {
                Some("test") => true,
                Some("remove") => seen.pointer(path).is_none(),
                _ => seen.pointer(path) == op.get("value"),
            }
        })
    })
}

fn short(object: &ObjectRef) -> String {
    format!("{}/{}", object.kind, object.name)
}

/// A live object of an Application by the name that a person gives it. Where the Application could not be read whole, its
/// status names what it has: to put a value right must not wait for Git.
fn live_object(app: &AppSeen, named: &str) -> Option<ObjectRef> {
    let read = app.live.iter();
    let read = read.filter_map(|object| ObjectRef::from_object(object).ok());
    let listed = read::resources(&app.object).filter(|_| !app.complete);
    read.chain(listed)
        .find(|object| short(object).eq_ignore_ascii_case(named) || object.to_string() == named)
}

/// Where an object that an Application does not have is, or what it has instead.
fn what_there_is(apps: &BTreeMap<AppKey, AppSeen>, key: &AppKey, named: &str) -> String {
    if let Some((other, _)) = apps
        .iter()
        .find(|(_, app)| live_object(app, named).is_some())
    {
        return format!("{other} has it: name that application");
    }
    let mut has: Vec<String> = apps
        .get(key)
        .into_iter()
        .flat_map(|app| &app.live)
        .filter_map(|object| ObjectRef::from_object(object).ok())
        .map(|object| short(&object))
        .collect();
    has.sort_unstable();
    has.dedup();
    match has.as_slice() {
        [] => "nothing of it was read: look again".into(),
        few if few.len() <= 4 => format!("it has {}", few.join(", ")),
        many => format!(
            "it has {} and {} more",
            many[..4].join(", "),
            many.len() - 4
        ),
    }
}

impl Engine {
    /// What somebody typed for a field, in the type of what stands there.
    pub async fn typed(&self, key: &AppKey, named: &str, field: &str, text: &str) -> Value {
        let is_text = async {
            let (world, _) = self.seen_or_look().await.ok()?;
            let object = live_object(world.applications.get(key)?, named)?;
            let live = self
                .destination(key)
                .await
                .ok()?
                .get(&object)
                .await
                .ok()??;
            let field: FieldPath = field.parse().ok()?;
            Some(field.get(&live).map_or_else(
                || typed::holds_text(&object.kind, &field),
                |is| is.is_string(),
            ))
        };
        typed::typed_as(is_text.await.unwrap_or_default(), text)
    }

    /// Works an action out on the live object of an Application; nothing is written.
    pub(in super::super) async fn work_out(
        &self,
        key: &AppKey,
        named: &str,
        action: &Action,
    ) -> Result<Worked, Trouble> {
        let (world, _) = self.seen_or_look().await?;
        let object = world
            .applications
            .get(key)
            .and_then(|app| live_object(app, named))
            .ok_or_else(|| {
                let unread = world.applications.get(key).is_none_or(|app| !app.complete);
                let why = world.errors.first().filter(|_| unread);
                let why = why.map_or_else(String::new, |error| {
                    format!(
                        " by what could be read of it ({}: {})",
                        error.what, error.why
                    )
                });
                Trouble::Refused(Refusal::new(
                    3,
                    text::line(&format!("{key} has no live object {named}{why}")),
                    text::line(&what_there_is(&world.applications, key, named)),
                ))
            })?;
        if object.kind == "Secret" {
            return Err(Refusal::new(
                7,
                "a secret is not written from here: its value would pass through the journal",
                "use kubectl, and note it in the transcript",
            )
            .into());
        }
        let cluster = self.destination(key).await?;
        let live = cluster.get(&object).await?.ok_or_else(|| {
            Trouble::failed(
                format!("read {object}"),
                "it does not exist any more",
                "look again",
            )
        })?;
        let (field, to) = target_of(&object, action, self.ports.clock.now())?;
        if let Some(value) = to.as_ref().filter(|value| !value.is_string())
            && typed::holds_text(&object.kind, &field)
        {
            return Err(Refusal::new(
                3,
                text::line(&format!(
                    "{object} {field} holds text, and {} is none",
                    text::value(value)
                )),
                text::line(&format!("write it as text: {}", json!(value.to_string()))),
            )
            .into());
        }
        let from = field.get(&live).cloned();
        let unknown = || {
            let what = format!("{object} has no {field}; {}", nearest(&live, &field));
            text::line(&what)
        };
        if from.is_none() && to.is_none() {
            return Err(Refusal::new(3, unknown(), "name a field that it has").into());
        }
        let new = (from.is_none() && matches!(action, Action::Patch { .. }))
            .then(|| format!("new field: {}", unknown()));
        if from == to {
            return Err(Refusal::new(
                0,
                text::line(&format!("{object} {field} is so already")),
                "there is nothing to do",
            )
            .into());
        }
        let mut changed = live.clone();
        match &to {
            Some(value) => field.set(&mut changed, value.clone()).map_err(|error| {
                Trouble::Refused(Refusal::new(
                    3,
                    text::line(&error.to_string()),
                    "name an existing field",
                ))
            })?,
            None => {
                field.remove(&mut changed);
            }
        }
        let facts = BTreeMap::from([
            (
                "uid".to_owned(),
                live.pointer("/metadata/uid")
                    .cloned()
                    .unwrap_or(Value::Null),
            ),
            (field.to_string(), from.clone().unwrap_or(Value::Null)),
        ]);
        let shown = |value: &Option<Value>| {
            value
                .as_ref()
                .map_or_else(|| "(absent)".to_owned(), text::value)
        };
        Ok(Worked {
            will: format!("{object} {field}: {} → {}", shown(&from), shown(&to)),
            patch: guarded(&live, &changed),
            change: json_diff(&live, &changed),
            inverse: json_diff(&changed, &live),
            guard: Guard {
                resource_version: resource_version(&live),
                facts,
            },
            object,
            new,
            field,
            from,
            to,
        })
    }

    /// Says so where a live action would make a field that the object does not have.
    pub async fn makes_new(&self, command: &Command) -> Result<Option<String>, Trouble> {
        match command {
            Command::Act {
                application,
                object,
                action,
                ..
            } => Ok(self.work_out(application, object, action).await?.new),
            _ => Ok(None),
        }
    }

    /// The live action that takes back the last one on an object, or on one field of it, which is not taken back yet.
    pub async fn undo_of(
        &self,
        key: &AppKey,
        named: &str,
        field: Option<&str>,
    ) -> Result<Action, Trouble> {
        let run = self.run();
        let Some((object, field, from, to)) = last_set(&run, key, named, field) else {
            return Err(Refusal::new(
                0,
                text::line(&match field {
                    Some(field) => {
                        format!("no live action of this incident stands on {named} {field} of {key}")
                    }
                    None => format!("no live action of this incident stands on {named} of {key}"),
                }),
                "`trueup status` lists what is owed of live actions, `trueup export` all that was done; a restart cannot be undone",
            )
            .into());
        };
        let live = self.destination(key).await?.get(&object).await?;
        let is = live.as_ref().and_then(|live| field.get(live)).cloned();
        if is == from {
            return Err(Refusal::new(
                0,
                text::line(&format!(
                    "{object} {field} is as it was before the live action"
                )),
                "there is nothing to take back, and nothing of it is owed",
            )
            .into());
        }
        if is != to {
            let shown = |value: &Option<Value>| {
                value
                    .as_ref()
                    .map_or_else(|| "(absent)".to_owned(), text::value)
            };
            return Err(Refusal::new(
                3,
                text::line(&format!(
                    "{object} {field} is {} now, and the live action set it to {}: somebody or something set it since",
                    shown(&is),
                    shown(&to)
                )),
                text::line(&match &from {
                    Some(value) => format!(
                        "it was {} before: where that is still meant, set it with `trueup act patch`",
                        text::value(value)
                    ),
                    None => "it was absent before: where that is still meant, `trueup act remove`"
                        .to_owned(),
                }),
            )
            .into());
        }
        let field = field.to_string();
        Ok(match from {
            Some(value) => Action::Patch { field, value },
            None => Action::Remove { field },
        })
    }

    /// Does what an action sheet showed. It is read again twice, beside whatever else goes on.
    pub(in super::super) async fn act(&self, sheet: &Sheet, named: &str) -> Result<(), Trouble> {
        let reason = match &sheet.command {
            Command::Act { reason, .. } => reason.as_str(),
            _ => "",
        };
        for (effect, guard) in sheet.effects.iter().zip(&sheet.guards) {
            let Effect::Act {
                application: key,
                action,
                ..
            } = effect
            else {
                continue;
            };
            self.must_hold(key).await?;
            let cluster = self.destination(key).await?;
            let fresh = self.work_out(key, named, action).await?;
            Self::facts_hold(&fresh.object.to_string(), &guard.facts, &fresh.guard.facts)?;
            self.must_take(key, &fresh).await?;
            let op = self.op_id();
            let write = Write {
                op: op.clone(),
                effect: Effect::Act {
                    application: key.clone(),
                    object: fresh.object.clone(),
                    action: action.clone(),
                    patch: fresh.patch.clone(),
                    inverse: fresh.inverse.clone(),
                    // A restart leaves a mark of when it was, which is no setting: nothing of it belongs into Git.
                    cell: (*action != (Action::Restart {})).then(|| CellKey {
                        application: key.clone(),
                        object: fresh.object.clone(),
                        field: fresh.field.clone(),
                    }),
                    reason: reason.to_owned(),
                },
                guard: fresh.guard.clone(),
                shown: sheet.will.clone(),
                by_hand: sheet.by_hand.clone(),
            };
            let outcome = self
                .effect(write, async {
                    let request = WriteRequest {
                        object: fresh.object.clone(),
                        kind: WriteKind::JsonPatch,
                        body: fresh.patch.clone(),
                        dry_run: false,
                        field_manager: mark(&op),
                        subresource: None,
                    };
                    match cluster.write(&request).await {
                        Ok(answer) if not_taken(&fresh, &answer) => Outcome::NotDone {
                            why: dropped(&fresh, &answer),
                        },
                        Ok(object) => Outcome::Done {
                            resource_version: resource_version(&object),
                            found: false,
                        },
                        Err(error) => outcome_of(&error),
                    }
                })
                .await?;
            if let Outcome::NotDone { why } = &outcome
                && why.starts_with(DROPPED)
            {
                return Err(Refusal::new(
                    0,
                    text::line(&format!("{} was not changed: {why}", fresh.object)),
                    "nothing is owed of it; name a field that the object can have",
                )
                .into());
            }
            self.must_be_done(&format!("act on {}", fresh.object), outcome)?;
            if *action != (Action::Restart {}) {
                let set = (&fresh.field, fresh.to.as_ref());
                self.decide_live(key, &fresh.object, set, reason).await?;
            }
        }
        Ok(())
    }

    /// Reads live actions again whose time has come, and sees to it that each became a decision: a process that died
    /// right after the write did not come to that. Nothing waits here.
    pub async fn reread_due(&self) -> Result<(), Trouble> {
        let owed = self.run().rereads_owed();
        for (id, after, due) in owed {
            let run = self.run();
            let Some(op) = run.ops.get(&id) else { continue };
            let Effect::Act {
                application,
                object,
                action,
                patch,
                reason,
                ..
            } = &op.effect
            else {
                continue;
            };
            let (field, to) = target_of(object, action, op.intended_at)?;
            let decided = run.decisions.keys().any(|cell| {
                cell.application == *application
                    && cell.object.key() == object.key()
                    && cell.field == field
            });
            let restart = *action == (Action::Restart {});
            if !decided && !restart && !run.reread.contains_key(&id) {
                self.decide_live(application, object, (&field, to.as_ref()), reason)
                    .await?;
            }
            if self.ports.clock.now() < due {
                continue;
            }
            let seen = self.destination(application).await?.get(object).await?;
            let is = seen.as_ref().and_then(|object| field.get(object));
            self.record(Event::ActReread {
                op: id.clone(),
                after,
                holds: seen.as_ref().is_some_and(|seen| patch_stands(patch, seen)),
                why: format!(
                    "{field} is {}",
                    is.map_or_else(|| "absent".to_owned(), text::value)
                ),
            })?;
        }
        Ok(())
    }

    /// Waits until every live action was read again; for a front end that has nothing else to do.
    pub async fn finish_rereads(&self) -> Result<(), Trouble> {
        while let Some((_, _, due)) = self.run().rereads_owed().first().cloned() {
            self.ports.clock.sleep_until(due).await;
            self.reread_due().await?;
        }
        Ok(())
    }

    /// Finds out whether a live action landed, by the mark that its write leaves in the managed fields. Without the mark
    /// it did not, and it cannot any more once the object has another version, or nobody is left to carry the request.
    /// What was taken away leaves no mark: there it is what stands.
    pub(in super::super) async fn look_up_act(
        &self,
        id: &OpId,
        op: &Op,
        application: &AppKey,
        object: &ObjectRef,
        action: &Action,
    ) -> Result<(), Trouble> {
        let (field, to) = target_of(object, action, op.intended_at)?;
        // A scalar that is set has a new owner; of a map or a list it may be that something was only taken out.
        let unmarked = to.as_ref().is_none_or(|to| to.is_object() || to.is_array());
        let cluster = self.destination(application).await?;
        let outcome = loop {
            let Some(seen) = cluster.get(object).await? else {
                break Outcome::NotDone {
                    why: "the object does not exist any more".into(),
                };
            };
            let version = resource_version(&seen);
            if carries(&seen, id) {
                break Outcome::Done {
                    resource_version: version,
                    found: true,
                };
            }
            if version != op.guard.resource_version {
                if unmarked && field.get(&seen) == to.as_ref() {
                    break Outcome::Done {
                        resource_version: version,
                        found: true,
                    };
                }
                break Outcome::NotDone {
                    why: "the object has another version and not the mark of this write, which cannot land any more"
                        .into(),
                };
            }
            let age = self.ports.clock.now().duration_since(op.intended_at);
            if age.unsigned_abs() >= LATE {
                break Outcome::NotDone {
                    why: format!("the object did not change within {} s", LATE.as_secs()),
                };
            }
            self.pause(application::POLL).await;
        };
        self.end(id, outcome)
    }

    /// A live action is a decision for what is live now: it has to reach Git before the incident closes. One that takes
    /// another back is none, nor one that sets what Git has where what was found live is gone by it: that is asked as before.
    async fn decide_live(
        &self,
        key: &AppKey,
        object: &ObjectRef,
        (field, to): (&FieldPath, Option<&Value>),
        reason: &str,
    ) -> Result<(), Trouble> {
        let touched = |cell: &CellKey| {
            cell.application == *key && cell.object.key() == object.key() && cell.field == *field
        };
        // What it did is what was decided.
        let done = |decision: &Decision| match &decision.live {
            Wanted::Value(value) => to == Some(value),
            Wanted::Absent => to.is_none(),
            Wanted::AsIs => false,
        };
        let run = self.run();
        let decided = run.decisions.iter().filter(|(cell, _)| touched(cell));
        let (kept, overtaken): (Vec<_>, Vec<_>) = decided.partition(|(_, decision)| done(decision));
        if !overtaken.is_empty() {
            self.record(Event::DecisionWithdrawn {
                cells: overtaken.iter().map(|(cell, _)| (*cell).clone()).collect(),
                why: "a live action set another value".into(),
                by: self.setting.operator.clone(),
            })?;
        }
        let (_, now) = self.look().await?;
        let run_now = self.run();
        let asked_as_before = |cell: &CellKey, sides: &Sides| {
            run.as_before_acts(cell, sides.live.as_ref())
                || sides.live == sides.git && run_now.lost(cell, sides).is_some()
        };
        // What was taken back is a question again, as it was before: nobody chose it by taking another choice back.
        let cells: Vec<CellKey> = now
            .cells
            .iter()
            .filter(|(cell, is)| touched(cell) && !asked_as_before(cell, &is.sides))
            .filter(|(cell, _)| kept.iter().all(|(kept, _)| kept != cell))
            .map(|(cell, _)| cell.clone())
            .collect();
        if cells.is_empty() {
            return Ok(());
        }
        let why = if reason.is_empty() {
            "live action"
        } else {
            reason
        };
        self.decide(&cells, &Take::Live(LiveOf::default()), why, &[])
            .await
    }
}

/// The last live action on an object (and field) that no later one took back: the field, what stood there before, and what
/// it set.
fn last_set(
    run: &Run,
    key: &AppKey,
    named: &str,
    wanted: Option<&str>,
) -> Option<(ObjectRef, FieldPath, Option<Value>, Option<Value>)> {
    let wanted = wanted.map(str::parse::<FieldPath>).transpose().ok()?;
    let (standing, _) = run.acts();
    let meant = |act: &Acted| {
        let object = &act.cell.object;
        act.cell.application == *key
            && (short(object).eq_ignore_ascii_case(named) || object.to_string() == named)
            && wanted.as_ref().is_none_or(|field| *field == act.cell.field)
    };
    let last = standing.into_iter().rev().find(meant)?;
    let CellKey { object, field, .. } = last.cell.clone();
    Some((object, field, last.from, last.to))
}

/// The fields beside one that an object does not have: the one that is spelt most like it first.
fn nearest(live: &Value, field: &FieldPath) -> String {
    let mut above = field.parent();
    while let Some(parent) = above.as_ref().filter(|parent| parent.get(live).is_none()) {
        above = parent.parent();
    }
    let above = above.unwrap_or_else(FieldPath::root);
    let wanted = field.0.get(above.0.len());
    let beside = above.get(live).and_then(Value::as_object);
    let (Some(Element::Key(wanted)), Some(beside)) = (wanted, beside) else {
        return format!("it has {above}");
    };
    let mut names: Vec<&String> = beside.keys().collect();
    names.sort_by_key(|name| strsim::damerau_levenshtein(name, wanted));
    let place = match above.is_root() {
        true => "at its top".to_owned(),
        false => format!("in {above}"),
    };
    match names.as_slice() {
        [] => format!("there is nothing {place}"),
        [first, ..] if strsim::damerau_levenshtein(first, wanted) <= 3 => {
            format!("nearest {place}: {first}")
        }
        many => format!(
            "{place} it has {}",
            text::some(
                &many.iter().map(|name| (*name).clone()).collect::<Vec<_>>(),
                6
            )
        ),
    }
}

/// The field that an action sets, and to what.
fn target_of(
    object: &ObjectRef,
    action: &Action,
    now: jiff::Timestamp,
) -> Result<(FieldPath, Option<Value>), Trouble> {
    let parse = |field: &str| {
        field.parse::<FieldPath>().map_err(|error| {
            Trouble::Refused(Refusal::new(
                3,
                text::line(&error.to_string()),
                "write it as .spec.replicas or .data[\"a.b\"]",
            ))
        })
    };
    match action {
        Action::Patch { field, value } => Ok((parse(field)?, Some(value.clone()))),
        Action::Remove { field } => Ok((parse(field)?, None)),
        Action::Scale { replicas } => {
            Ok((FieldPath::keys(["spec", "replicas"]), Some(json!(replicas))))
        }
        Action::Suspend {} if object.kind == "CronJob" => {
            Ok((FieldPath::keys(["spec", "suspend"]), Some(json!(true))))
        }
        Action::Suspend {} => Err(Refusal::new(
            3,
            "only a CronJob can be suspended",
            "scale the workload instead",
        )
        .into()),
        // As `kubectl rollout restart` does it.
        Action::Restart {}
            if ["Deployment", "StatefulSet", "DaemonSet"].contains(&object.kind.as_str()) =>
        {
            Ok((
                parse(
                    r#".spec.template.metadata.annotations["kubectl.kubernetes.io/restartedAt"]"#,
                )?,
                Some(json!(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())),
            ))
        }
        Action::Restart {} => Err(Refusal::new(
            3,
            "only a Deployment, a StatefulSet or a DaemonSet can be restarted",
            "delete the pods by hand",
        )
        .into()),
    }
}

/// The JSON Patch from one object to the other, carrying the version that was read.
fn guarded(from: &Value, to: &Value) -> Value {
    let mut ops = vec![json!({
        "op": "test",
        "path": "/metadata/resourceVersion",
        "value": from.pointer("/metadata/resourceVersion"),
    })];
    if let Value::Array(change) = json_diff(from, to) {
        ops.extend(change);
    }
    Value::Array(ops)
}

/// The JSON Patch (RFC 6902) that turns one value into the other.
pub(super) fn json_diff(from: &Value, to: &Value) -> Value {
    serde_json::to_value(json_patch::diff(from, to)).unwrap_or(Value::Null)
}
