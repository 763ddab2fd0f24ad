//! Freezing: set, then holding, then proven.

use std::time::Duration;

use serde_json::Value;
use trueup_core::{
    event::{Effect, Event, Guard, HoldSample, Mechanism},
    object::identity::{AppKey, ObjectRef},
    policy::{BY_HAND, Freeze, Note, Policy, freeze_how, freeze_ops, leave_alone, taken_back},
    rules, run,
    sheet::{Refusal, Sheet},
    text, workflow,
};

use super::super::{observe, state::Engine, trouble::Trouble};
use super::application;

pub fn mechanism(how: Freeze) -> Mechanism {
    match how {
        Freeze::NoteOnly => Mechanism::NoteOnly,
        Freeze::Disable => Mechanism::Disable,
        Freeze::RemoveAutomated => Mechanism::Remove,
    }
}

/// What a sheet for several Applications says and guards of each: its lines are one for each, in the same order.
pub(super) fn each_application(sheet: &Sheet) -> Vec<(&AppKey, &Guard, &[String])> {
    let lines = sheet.will.iter().map(std::slice::from_ref);
    let each = sheet.effects.iter().zip(&sheet.guards).zip(lines);
    each.filter_map(|((effect, guard), will)| match effect {
        Effect::Freeze { application, .. } | Effect::Thaw { application, .. } => {
            Some((application, guard, will))
        }
        _ => None,
    })
    .collect()
}

/// Says what became of the others, where it stopped at one of them.
pub(super) fn stopped_at(
    trouble: Trouble,
    how: &str,
    each: &[(&AppKey, &Guard, &[String])],
    at: usize,
) -> Trouble {
    let names: Vec<&str> = each.iter().map(|(key, ..)| key.name.as_str()).collect();
    trouble.part_way(how, &names[..at], &names[at + 1..])
}

/// How an Application would be frozen.
pub(in super::super) struct Freezing {
    pub mechanism: Mechanism,
    /// The policy as found now.
    pub found: Value,
    /// The JSON Patch that does it.
    pub patch: Value,
    /// The merge patch that undoes it.
    pub restore: Value,
    /// What somebody put there since it was frozen first, and what becomes of it.
    pub but: Vec<String>,
}

impl Engine {
    /// How an Application would be frozen, and the patch that does it; `from`: the incident whose note it takes over.
    pub(in super::super) fn freeze_patch(
        &self,
        key: &AppKey,
        application: &Value,
        op: &trueup_core::ids::OpId,
        has_enabled: bool,
        from: Option<&str>,
    ) -> Freezing {
        let found = Policy::of(application);
        let how = freeze_how(&found, has_enabled);
        let run = self.run();
        let note = Note::new(
            application,
            how,
            run.id(),
            &self.setting.operator,
            self.ports.clock.now(),
        )
        .with_op(op.as_str());
        let (older, changed) = self.found_before(key, application, from);
        let garbled = Note::unreadable(application).map(|why| {
            text::line(&format!(
                "{}: the note that is there cannot be read and is replaced by this one ({why})",
                key.name
            ))
        });
        let note = note.keeping(older, application, how);
        Freezing {
            mechanism: mechanism(how),
            found: note.found.clone(),
            patch: Value::Array(freeze_ops(application, how, &note)),
            restore: note.restore,
            but: garbled.into_iter().chain(changed).collect(),
        }
    }

    /// The note whose way back a freeze keeps, and what contradicts it. Where our note is gone the journal has it: what we
    /// ourselves had put there was not found. The way back of what is taken over is kept as if it were our own, unless it
    /// is no more than what our freeze had left.
    fn found_before(
        &self,
        key: &AppKey,
        application: &Value,
        from: Option<&str>,
    ) -> (Option<Note>, Option<String>) {
        let there = Note::of(application);
        let by_hand = |note: &Note| note.op == BY_HAND && note.incident == self.run().id();
        let taken = there.filter(|note| {
            from == Some(&note.incident) || by_hand(note) || self.is_our_note(key, note)
        });
        let ours = self.run().way_back(key);
        let whole = |policy: &Policy| policy.value().map_or("none".to_owned(), text::value);
        let changed = |since: &Policy, kept: &Policy| {
            text::line(&format!(
                "{}: somebody changed its syncPolicy since this incident froze it first, to {}; the way back stays what was found then, {}: to have the other in the end choose a target policy",
                key.name,
                whole(since),
                whole(kept)
            ))
        };
        let stands = Policy::of(application);
        if let Some(note) = taken.as_ref().filter(|note| self.is_our_note(key, note)) {
            let kept = note.found_policy();
            let but = (!stands.is_left_of(&kept)).then(|| changed(&stands, &kept));
            return (taken, but);
        }
        let Some(ours) = ours else {
            return (taken, None);
        };
        let kept = ours.found_policy();
        let since = match &taken {
            Some(note) => note.found_policy(),
            None => stands,
        };
        if since == kept && taken.is_some() {
            return (taken, None);
        }
        if since.is_left_of(&kept) {
            return (Some(ours), None);
        }
        let but = match &taken {
            Some(note) => text::line(&format!(
                "{}: {} found the syncPolicy {}, and that stays the way back; this incident had found {} before, and somebody changed it in between",
                key.name,
                note.incident,
                whole(&since),
                whole(&kept)
            )),
            None => changed(&since, &kept),
        };
        (taken.or(Some(ours)), Some(but))
    }

    /// Whether the journal holds the write that put this note there.
    fn is_our_note(&self, key: &AppKey, note: &Note) -> bool {
        serde_json::to_value(note).is_ok_and(|note| self.run().wrote_note(key, &note))
    }

    /// Does what a freeze sheet showed: one guarded patch for each Application.
    pub(in super::super) async fn freeze(
        &self,
        sheet: &Sheet,
        from: Option<&str>,
    ) -> Result<(), Trouble> {
        let has_enabled = self.automated_has_enabled().await;
        let each = each_application(sheet);
        for (at, (key, guard, will)) in each.iter().enumerate() {
            let outcome = self
                .patch_application(key, guard, will, |fresh, op| {
                    let how = self.freeze_patch(key, fresh, op, has_enabled, from);
                    let effect = Effect::Freeze {
                        application: (*key).clone(),
                        mechanism: how.mechanism,
                        found: how.found,
                        patch: how.patch.clone(),
                        from: from.map(str::to_owned),
                    };
                    Ok((effect, how.patch))
                })
                .await;
            if let Err(Trouble::Refused(_)) = &outcome {
                // What moved is told of as what others did, whether it is frozen then or not.
                drop(self.look().await);
            }
            outcome
                .and_then(|outcome| self.must_be_done(&format!("freeze {key}"), outcome))
                .map_err(|trouble| stopped_at(trouble, "frozen", &each, at))?;
        }
        Ok(())
    }

    /// Observes once more that the freezes hold; proven after the second time.
    pub(in super::super) async fn prove_freeze(
        &self,
        applications: &[AppKey],
    ) -> Result<(), Trouble> {
        loop {
            let mut all = true;
            for key in applications {
                all &= self.sample_freeze(key).await?;
            }
            if !all {
                return Ok(());
            }
            let left = applications
                .iter()
                .map(|key| self.hold_left(key))
                .max()
                .unwrap_or_default();
            if left.is_zero() {
                break;
            }
            let hold = self.run().waits.freeze_hold.0;
            self.hold("the freeze to be seen a second time", hold, left)
                .await;
        }
        for key in applications {
            self.record(Event::FreezeProven {
                application: key.clone(),
            })?;
        }
        self.look().await?;
        Ok(())
    }

    /// How long until a freeze that was seen to hold may be seen a second time.
    fn hold_left(&self, key: &AppKey) -> Duration {
        let run = self.run();
        match run.apps.get(key).map(|app| &app.freeze) {
            Some(run::Freeze::Holding { first, .. }) => {
                self.left_since(first.at, run.waits.freeze_hold.0)
            }
            _ => run.waits.freeze_hold.0,
        }
    }

    async fn sample_freeze(&self, key: &AppKey) -> Result<bool, Trouble> {
        let seen = self.refresh(key).await?;
        let verdict = self.freeze_verdict(key, &seen);
        let sample = HoldSample {
            at: self.ports.clock.now(),
            holds: verdict.is_ok(),
            why: verdict
                .clone()
                .err()
                .unwrap_or_else(|| "auto-sync off, nothing running, note in place".into()),
            reconciled_at: application::reconciled_at(&seen),
        };
        self.note_gaps()?;
        self.record(Event::FreezeSampled {
            application: key.clone(),
            sample,
        })?;
        match verdict {
            Ok(()) => Ok(true),
            // An operation that was running when we froze ends by itself; anything else undid the freeze.
            Err(_) if application::operation(&seen).is_some() && !Policy::of(&seen).is_on() => {
                self.pause(application::POLL * 4).await;
                Ok(false)
            }
            Err(why) => {
                self.record(Event::FreezeLost {
                    application: key.clone(),
                    why: application::lost_by(why, &seen),
                })?;
                Ok(false)
            }
        }
    }

    fn freeze_verdict(&self, key: &AppKey, seen: &Value) -> Result<(), String> {
        workflow::freeze_holds(&observe::application_now(seen), &self.run(), key)
    }

    /// Rule 4: asked again right before a push, a live action and a sync.
    pub(in super::super) async fn must_hold(&self, key: &AppKey) -> Result<Value, Trouble> {
        // What we gave back ourselves was not lost to anybody.
        let run = self.run();
        if run.is_given_back(key) {
            return Err(rules::not_frozen(&run, key).into());
        }
        let seen = self.application(key).await?;
        if let Err(why) = self.freeze_verdict(key, &seen) {
            let why = application::lost_by(why, &seen);
            self.record(Event::FreezeLost {
                application: key.clone(),
                why: why.clone(),
            })?;
            return Err(Trouble::Refused(trueup_core::sheet::Refusal::new(
                4,
                format!("the freeze of {key} does not hold any more: {why}"),
                "see who changed it, then freeze it again",
            )));
        }
        Ok(seen)
    }

    /// Refuses a freeze that the ApplicationSet would undo at once; a warning when that could not be found out.
    pub(in super::super) async fn set_leaves_it(
        &self,
        key: &AppKey,
        application: &Value,
        has_enabled: bool,
    ) -> Result<Option<String>, Trouble> {
        let owner = application
            .pointer("/metadata/ownerReferences")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .find(|owner| owner["kind"] == "ApplicationSet");
        let Some(name) = owner.and_then(|owner| owner["name"].as_str()) else {
            return Ok(None);
        };
        let set = ObjectRef {
            group: "argoproj.io".into(),
            version: "v1alpha1".into(),
            kind: "ApplicationSet".into(),
            namespace: Some(key.namespace.clone()),
            name: name.into(),
        };
        let Ok(Some(set)) = self.ports.cluster.get(&set).await else {
            return Ok(Some(format!(
                "the ApplicationSet {name} makes {key} and could not be read: it may undo the freeze"
            )));
        };
        let how = freeze_how(&Policy::of(application), has_enabled);
        let taken = taken_back(&set, &key.name, how);
        if taken.is_empty() {
            return Ok(None);
        }
        Err(Trouble::Refused(Refusal::new(
            4,
            format!(
                "the freeze of {key} would not hold: the ApplicationSet {name} makes it and puts {} back within a second",
                taken.join(" and ")
            ),
            format!(
                "make the set leave it alone, and again as it was after the incident: kubectl -n {} patch applicationset {name} --type merge -p '{}'",
                key.namespace,
                leave_alone(&set).to_string().replace('\'', r"'\''")
            ),
        )))
    }

    /// The guard of a freeze sheet for one Application.
    pub(in super::super) fn guard_of(application: &Value) -> Guard {
        Guard {
            resource_version: application::resource_version(application),
            facts: application::facts(application),
        }
    }

    /// Whether this cluster's Applications know `automated.enabled` (Argo CD 3.1 and newer).
    pub(in super::super) async fn automated_has_enabled(&self) -> bool {
        let crd = trueup_core::object::identity::ObjectRef {
            group: "apiextensions.k8s.io".into(),
            version: "v1".into(),
            kind: "CustomResourceDefinition".into(),
            namespace: None,
            name: "applications.argoproj.io".into(),
        };
        // Without the right to read the CRD the older way is taken: removing `automated` holds on every version.
        let Ok(Some(crd)) = self.ports.cluster.get(&crd).await else {
            return false;
        };
        crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/syncPolicy/properties/automated/properties/enabled")
            .is_some()
    }
}
