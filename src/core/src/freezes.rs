//! What the journal knows of freezes beyond the Application itself: the way back of one whose note is gone.

use crate::{
    event::Effect,
    now::Now,
    object::identity::AppKey,
    policy::{Note, Policy},
    run::{Freeze, Run},
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

impl Now {
    /// Who took a freeze of ours over: the note of another incident is there, and auto-sync is off. The Application is
    /// held elsewhere: nothing syncs it by itself, and it is no more ours to write to than in our way.
    pub fn taken_over_by<'n>(&'n self, run: &Run, application: &AppKey) -> Option<&'n str> {
        let app = run.apps.get(application)?;
        let lost = matches!(app.freeze, Freeze::Lost { .. });
        let seen = self
            .apps
            .get(application)
            .filter(|seen| lost && !seen.auto_sync)?;
        seen.frozen_by_another(run, application)
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
        event::{Event, Guard, Mechanism, Obligation, Outcome, Record},
        ids::OpId,
        now::AppNow,
        policy::{self, NOTE, freeze_ops, thaw_ops},
        rules,
        sheet::Command,
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
            policy::Freeze::Disable,
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
                patch: freeze_ops(&application, policy::Freeze::Disable, &note).into(),
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

    /// Two Applications of one incident, the second of which bears the note of another one.
    fn one_is_taken_over() -> (Run, Now, [AppKey; 2]) {
        let keys = ["auth", "like"].map(|name| AppKey::new("argocd", name));
        let mut run = Run {
            incident: "H3".parse().ok(),
            scope: keys.to_vec(),
            armed: crate::event::Armed::All,
            ..Run::default()
        };
        let frozen = Effect::Freeze {
            application: keys[0].clone(),
            mechanism: Mechanism::Disable,
            found: Value::Null,
            patch: Value::Null,
            from: None,
        };
        let why = String::new();
        write(&mut run, "1", frozen, Outcome::NotDone { why });
        let mut now = Now::default();
        for (key, freeze, note) in [
            (&keys[0], proven(), json!({"incident": "H3", "op": "1"})),
            (
                &keys[1],
                Freeze::Lost {
                    why: "H4 took it over".into(),
                },
                json!({"incident": "H4", "op": "2"}),
            ),
        ] {
            let app = run.apps.entry(key.clone()).or_default();
            app.freeze = freeze;
            let target = crate::plan::Target {
                policy: Some(crate::plan::TargetKind::Found),
                automated: None,
                reason: None,
            };
            app.target = Some((target, Value::Null, String::new()));
            let seen = AppNow {
                sync: "Synced".into(),
                note: Some(note),
                ..AppNow::default()
            };
            now.apps.insert(key.clone(), seen);
        }
        (run, now, keys)
    }

    fn proven() -> Freeze {
        Freeze::Proven {
            op: OpId("1".into()),
            at: Timestamp::UNIX_EPOCH,
            mechanism: Mechanism::Disable,
            since: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn what_another_incident_took_over_is_in_nobodys_way() {
        let (run, mut now, [auth, like]) = one_is_taken_over();
        let thaw = |key: &AppKey| Command::Thaw {
            applications: vec![key.clone()],
        };
        assert_eq!(rules::check(&run, &now, &thaw(&auth)), Ok(()));
        // It is the other incident's: its note is not taken away from here.
        let refused = rules::check(&run, &now, &thaw(&like)).unwrap_err();
        assert!(
            refused.rule == 2 && refused.hint.contains("--take-over H4"),
            "{refused:?}"
        );
        let back = Command::TakeOver {
            applications: vec![like.clone()],
            from: "H4".into(),
        };
        assert_eq!(rules::check(&run, &now, &back), Ok(()), "no circle");
        // Held elsewhere, it is for that incident to thaw; who goes on with it is to be named before this one closes.
        let owes = |run: &Run| {
            let owed = now
                .owed(run)
                .into_iter()
                .find(|owed| owed.id == "frozen:argocd/like")
                .unwrap();
            (owed.blocks_close, owed.settle)
        };
        assert_eq!(owes(&run), (true, Obligation::PARK.to_owned()));
        let mut thawed = run.clone();
        thawed.apps.get_mut(&auth).unwrap().freeze = Freeze::Thawed;
        let refused = rules::check(&thawed, &now, &Command::Close).unwrap_err();
        assert!(
            refused.reason.contains("like was taken over by H4"),
            "{refused:?}"
        );
        let parked = crate::run::Parked {
            owner: "eve".into(),
            until: "2026-12-01".into(),
            reason: "hers".into(),
        };
        thawed.apps.get_mut(&like).unwrap().parked = Some(parked);
        assert!(!owes(&thawed).0);
        assert_eq!(rules::check(&thawed, &now, &Command::Close), Ok(()));
        // Auto-sync is on: whoever holds it, it is lost and stops every write.
        now.apps.get_mut(&like).unwrap().auto_sync = true;
        let refused = rules::check(&run, &now, &thaw(&auth)).unwrap_err();
        assert!(
            refused.rule == 4 && refused.reason.contains("like"),
            "{refused:?}"
        );
        assert_eq!(rules::check(&run, &now, &back), Ok(()));
        assert_eq!(now.owed(&run).len(), 2);
        // Nobody's note, and nobody knows why.
        let app = now.apps.get_mut(&like).unwrap();
        (app.auto_sync, app.note) = (false, None);
        assert!(rules::check(&run, &now, &thaw(&auth)).is_err());
    }

    #[test]
    fn what_was_frozen_by_hand_for_this_incident_is_gone_on_with_and_for_another_is_not() {
        let (mut run, mut now, [_, like]) = one_is_taken_over();
        run.apps.get_mut(&like).unwrap().freeze = Freeze::Not;
        let freeze = Command::Freeze {
            applications: vec![like.clone()],
        };
        for (incident, op, goes_on) in [
            ("H3", policy::BY_HAND, true),
            ("H4", policy::BY_HAND, false),
            ("H3", "of another folder", false),
        ] {
            now.apps.get_mut(&like).unwrap().note = Some(json!({"incident": incident, "op": op}));
            let checked = rules::check(&run, &now, &freeze);
            assert_eq!(checked.is_ok(), goes_on, "{incident} {op}: {checked:?}");
            let here = now
                .owed(&run)
                .iter()
                .any(|owed| owed.id == "elsewhere:argocd/like");
            assert_eq!(
                here,
                incident == "H3",
                "it is owed until it is gone on with"
            );
        }
    }
}
