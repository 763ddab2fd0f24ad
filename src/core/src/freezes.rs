//! What the journal knows of freezes beyond the Application itself: the way back of one whose note is gone.

use crate::{
    event::Effect,
    object::identity::AppKey,
    policy::{Note, Policy},
    run::Run,
};

impl Run {
    /// The note that this journal last put on an Application and has not taken away by a thaw since, be it there still or
    /// not: the way back of a freeze does not go with its note.
    pub fn way_back(&self, application: &AppKey) -> Option<Note> {
        let ops = self.op_order.iter().rev().filter_map(|id| self.ops.get(id));
        let mut last = ops.filter(|op| op.done() && op.effect.application() == Some(application));
        last.find_map(|op| match &op.effect {
            Effect::Freeze { patch, .. } | Effect::Ignore { patch, .. } => {
                Note::in_patch(patch).map(Some)
            }
            Effect::Thaw { .. } => Some(None),
            _ => None,
        })
        .flatten()
    }
}

impl Policy {
    /// Whether it is what a freeze of `found` leaves, or `found` put back: nobody else changed anything.
    pub fn is_left_of(&self, found: &Self) -> bool {
        let mut removed = found.value().cloned().unwrap_or_default();
        let mut disabled = removed.clone();
        removed.as_object_mut().map(|all| all.remove("automated"));
        let automated = disabled
            .get_mut("automated")
            .and_then(|a| a.as_object_mut());
        automated.map(|on| on.insert("enabled".to_owned(), false.into()));
        [
            found.clone(),
            Self::new(Some(disabled)),
            Self::new(Some(removed)),
        ]
        .contains(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Event, Guard, Mechanism, Outcome, Record},
        ids::OpId,
        policy::{Freeze, NOTE, freeze_ops, thaw_ops},
    };
    use jiff::Timestamp;
    use serde_json::{Value, json};

    fn write(run: &mut Run, op: &str, effect: Effect, outcome: Outcome) {
        let mut seq = 0;
        let mut apply = |event| {
            seq += 1;
            let time = Timestamp::UNIX_EPOCH;
            run.apply(&Record { seq, time, event });
        };
        let op = OpId(op.into());
        apply(Event::Intended {
            op: op.clone(),
            effect,
            guard: Guard::default(),
            shown: Vec::new(),
            by_hand: Vec::new(),
            by: String::new(),
        });
        apply(Event::Ended { op, outcome });
    }

    #[test]
    fn the_way_back_outlives_its_note_until_a_thaw() {
        let key = AppKey::new("argocd", "like");
        let found = json!({"automated": {"prune": true}});
        let application = json!({"metadata": {"name": "like", "resourceVersion": "1"}, "spec": {"syncPolicy": found}});
        let note = Note::new(
            &application,
            Freeze::Disable,
            "H3",
            "ann",
            Timestamp::UNIX_EPOCH,
        );
        let freeze = |annotations: Option<Value>| {
            let mut application = application.clone();
            application["metadata"]["annotations"] = annotations.unwrap_or_default();
            Effect::Freeze {
                application: key.clone(),
                mechanism: Mechanism::Disable,
                found: found.clone(),
                patch: freeze_ops(&application, Freeze::Disable, &note).into(),
                from: None,
            }
        };
        let done = || Outcome::Done {
            resource_version: Some("2".into()),
            found: false,
        };
        for annotations in [None, Some(json!({"team": "x"}))] {
            let mut run = Run::default();
            assert_eq!(run.way_back(&key), None);
            let why = String::new();
            write(
                &mut run,
                "0",
                freeze(annotations.clone()),
                Outcome::NotDone { why },
            );
            assert_eq!(run.way_back(&key), None, "it was never there");
            write(&mut run, "1", freeze(annotations), done());
            assert_eq!(run.way_back(&key), Some(note.clone()));
            assert_eq!(run.way_back(&AppKey::new("argocd", "auth")), None);
            let frozen = json!({"metadata": {"resourceVersion": "2", "annotations": {NOTE: note.text()}}, "spec": {"syncPolicy": {"automated": {"prune": true, "enabled": false}}}});
            let thaw = Effect::Thaw {
                application: key.clone(),
                automated: found["automated"].clone(),
                patch: thaw_ops(&frozen, &Policy::new(Some(found.clone()))).into(),
                operation_before: None,
            };
            write(&mut run, "2", thaw, done());
            assert_eq!(
                run.way_back(&key),
                None,
                "the next freeze finds what stands then"
            );
        }
    }

    #[test]
    fn what_our_freeze_explains_is_told_from_what_others_did() {
        let policy = |value: Value| Policy::new(Some(value));
        let found = policy(json!({"automated": {"prune": true}, "syncOptions": ["A=true"]}));
        for (stands, ours) in [
            (
                json!({"automated": {"prune": true}, "syncOptions": ["A=true"]}),
                true,
            ),
            (
                json!({"automated": {"prune": true, "enabled": false}, "syncOptions": ["A=true"]}),
                true,
            ),
            (json!({"syncOptions": ["A=true"]}), true),
            (
                json!({"automated": {"prune": false, "enabled": false}, "syncOptions": ["A=true"]}),
                false,
            ),
            (
                json!({"automated": {"prune": true, "enabled": false}}),
                false,
            ),
            (Value::Null, false),
        ] {
            assert_eq!(policy(stands.clone()).is_left_of(&found), ours, "{stands}");
        }
        assert!(policy(Value::Null).is_left_of(&policy(json!({"automated": {}}))));
        assert!(policy(Value::Null).is_left_of(&policy(Value::Null)));
    }
}
