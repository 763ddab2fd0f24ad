//! What was found live before anything was decided, and what of it stands nowhere any more.

use super::Run;
use crate::{
    decision::{CellKey, Kept, LiveOf, Sides, Take},
    drift::report::{Class, Question},
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// A cell of a question as a snapshot had it first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    pub at: Timestamp,
    pub sides: Sides,
    /// Its question, the copy group of that, and the questions that were changed together with it.
    pub question: String,
    pub group: Option<String>,
    pub decide_with: Vec<String>,
    /// `path:line` of its manifest then.
    pub source: String,
    /// Live was no rendering of Git and is not written by a controller: nothing but the cluster had it.
    own: bool,
}

impl Found {
    /// What was live then, as a text of one line.
    pub fn value(&self) -> String {
        let live = self.sides.live.as_ref();
        live.map_or_else(|| "(absent)".to_owned(), crate::text::value)
    }
}

impl Run {
    /// Keeps what no snapshot before this one had of a cell.
    pub(super) fn find(&mut self, questions: &[Value], at: Timestamp) {
        for question in questions {
            // What a journal of before has otherwise is as good as not known.
            let Ok(question) = Question::deserialize(question) else {
                continue;
            };
            for cell in &question.cells {
                let sides = cell.sides();
                // What a controller makes of it is no loss, and what Git had at the last sync its history keeps.
                let made = matches!(
                    cell.class.unwrap_or(question.class),
                    Class::Untouchable
                        | Class::Mutated
                        | Class::Delegated
                        | Class::DerivedCopy
                        | Class::PendingRollout
                );
                let kept = [&sides.git, &sides.last_synced].contains(&&sides.live);
                let found = Found {
                    at,
                    own: cell.differs && sides.live.is_some() && !made && !kept,
                    sides,
                    question: question.id.clone(),
                    group: question.group.clone(),
                    decide_with: question.decide_with.clone(),
                    source: cell.source.as_ref().map_or_else(String::new, |source| {
                        crate::text::line(&format!("{}:{}", source.path, source.line))
                    }),
                };
                let key = cell.key(&question.field);
                let known = self.found.get(&key);
                // A copy that was as Git had it, and was set by hand since, is found then.
                if known.is_none_or(|known| !known.own && found.own) {
                    self.found.insert(key, found);
                }
            }
        }
    }

    /// What a choice means for one cell: a snapshot has a value of its own for each field.
    pub fn of_cell(&self, key: &CellKey, take: &Take) -> Take {
        match take {
            Take::Snapshot(kept) if kept.value.is_none() => Take::Snapshot(Kept {
                value: self.kept(key, kept),
                ..kept.clone()
            }),
            other => other.clone(),
        }
    }

    /// What the snapshot has live of the field of a cell, in the copy that is named.
    fn kept(&self, key: &CellKey, kept: &Kept) -> Option<Value> {
        let of = kept.of();
        let own = of == LiveOf::default();
        let text = |value: &Value, name: &str| {
            let text = value.get(name).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let field = (
            key.object.kind.clone(),
            crate::text::line(&key.object.name),
            key.field.to_string(),
        );
        let namespace = match own {
            true => Some(key.object.namespace.clone().unwrap_or_default()),
            false => of.namespace.clone(),
        };
        let application = match own {
            true => Some(key.application.name.clone()),
            false => of.application.clone(),
        };
        let named = |cell: &Value| {
            let of = text(cell, "application");
            let whole = format!("{}/{of}", text(cell, "applicationNamespace"));
            namespace
                .as_ref()
                .is_none_or(|n| text(cell, "namespace") == *n)
                && application
                    .as_ref()
                    .is_none_or(|a| of.is_empty() || of == *a || whole == *a)
        };
        let asked = self.asked.get(&field).into_iter().flatten();
        for question in asked.filter_map(|at| self.questions.get(*at)) {
            let cells = question.get("cells").and_then(Value::as_array);
            let cell = cells.into_iter().flatten().find(|cell| named(cell));
            // What the last snapshot could not read is there as an earlier one has it.
            let earlier = cell.is_some_and(|cell| {
                let (id, name) = (text(question, "id"), text(cell, "application"));
                let mut kept_at = self.kept_at.iter();
                kept_at.any(|((question, app), at)| {
                    *question == id && app.name == name && *at == kept.at
                })
            });
            if let Some(cell) = cell.filter(|_| earlier || self.snapshot_at == Some(kept.at)) {
                return cell.get("live").filter(|live| !live.is_null()).cloned();
            }
        }
        let named = |other: &CellKey| match own {
            true => other.is_same(key),
            false => {
                other.object.kind == key.object.kind
                    && other.object.name == key.object.name
                    && other.field == key.field
                    && of.is_at(other)
            }
        };
        let mut found = self.found.iter();
        let (_, found) = found.find(|(other, found)| found.at == kept.at && named(other))?;
        found.sides.live.clone()
    }

    /// What was found live in a cell that nobody has decided on, where it is on neither side of it now.
    pub fn lost(&self, key: &CellKey, now: &Sides) -> Option<&Found> {
        let found = self.found.get(key).filter(|found| found.own)?;
        if self.decisions.contains_key(key) {
            return None;
        }
        let was = &found.sides.live;
        let gone = match key.field.is_root() {
            // How the fields of an object that is there differ is asked field by field.
            true => now.live.is_none() && now.git.is_none(),
            false => now.live != *was && now.git != *was,
        };
        gone.then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Event, Record},
        plan::{self, Plan},
        transcript,
    };
    use serde_json::json;

    fn snapshot(number: u32, at: &str, values: [&str; 2]) -> Record {
        let cell = |value: &str| {
            json!({"application": "auth-service", "applicationNamespace": "argocd", "namespace": "auth",
                "git": "old", "lastSynced": "old", "live": value, "differs": true, "class": "hotfix",
                "object": {"group": "", "version": "v1", "kind": "ConfigMap", "namespace": "auth", "name": "auth-config"}})
        };
        let question = |id: &str, field: &str, value: &str| {
            json!({"id": id, "group": "auth-config", "kind": "ConfigMap", "name": "auth-config", "field": field,
                "class": "hotfix", "confidence": "ask", "evidence": [], "suggestion": null, "decideWith": [],
                "cells": [cell(value)]})
        };
        Record {
            seq: u64::from(number) + 1,
            time: at.parse().unwrap(),
            event: Event::SnapshotTaken {
                number,
                blobs: Default::default(),
                counts: Default::default(),
                unread: Vec::new(),
                questions: vec![
                    question("q1", ".data.ALGORITHM", values[0]),
                    question("q2", ".data.KEY", values[1]),
                ],
                applications: Vec::new(),
                heads: Default::default(),
                again: false,
                incomplete: Vec::new(),
                earlier: Vec::new(),
            },
        }
    }

    fn cell(namespace: &str, field: &str) -> CellKey {
        CellKey {
            application: format!("argocd/{namespace}-service").parse().unwrap(),
            object: crate::object::identity::ObjectRef {
                group: String::new(),
                version: "v1".into(),
                kind: "ConfigMap".into(),
                namespace: Some(namespace.into()),
                name: "auth-config".into(),
            },
            field: field.parse().unwrap(),
        }
    }

    #[test]
    fn each_field_gets_what_the_snapshot_has_of_that_field() {
        let mut run = Run::default();
        let (first, last) = ("2026-11-21T14:43:17.5Z", "2026-11-21T15:00:00Z");
        run.apply(&snapshot(0, first, ["RS256", "key-new"]));
        run.apply(&snapshot(1, last, ["HS256", "key-old"]));
        let value = |key: &CellKey, namespace: Option<&str>, at: &str| {
            let take = Take::Snapshot(Kept {
                application: None,
                namespace: namespace.map(str::to_owned),
                at: at.parse().unwrap(),
                value: None,
            });
            match run.of_cell(key, &take) {
                Take::Snapshot(kept) => kept.value,
                other => panic!("{other:?}"),
            }
        };
        for (field, was, is) in [
            (".data.ALGORITHM", "RS256", "HS256"),
            (".data.KEY", "key-new", "key-old"),
        ] {
            // In its own cell, and in another copy to which it is given.
            for (place, of) in [
                ("auth", None),
                ("auth", Some("auth")),
                ("like", Some("auth")),
            ] {
                let key = cell(place, field);
                assert_eq!(value(&key, of, first), Some(json!(was)), "{key:?}");
                assert_eq!(value(&key, of, last), Some(json!(is)), "{key:?}");
            }
        }
        // What a snapshot does not have, and what none took, is no value.
        assert_eq!(value(&cell("like", ".data.KEY"), None, first), None);
        assert_eq!(value(&cell("auth", ".data.OTHER"), None, first), None);
        assert_eq!(
            value(&cell("auth", ".data.KEY"), None, "2026-01-01T00:00:00Z"),
            None
        );
    }

    /// A colleague put KEY back, like had it yet, and it was decided all the same: like may be changed by now.
    #[test]
    fn what_a_decision_undoes_is_said_without_how_it_stood_when_that_was_found() {
        let mut run = Run::default();
        run.apply(&snapshot(0, "2026-11-21T14:43:17Z", ["RS256", "key-new"]));
        let key = cell("auth", ".data.KEY");
        let record = |event| Record {
            seq: 2,
            time: "2026-11-21T15:00:00Z".parse().unwrap(),
            event,
        };
        let old = Some(json!("old"));
        let sides = Sides {
            git: old.clone(),
            last_synced: old.clone(),
            live: old,
        };
        let names = format!("{} {}", key.object, key.field);
        let went = "live went from key-new, as found at 14:43 UTC, to old";
        let adopted = Event::Adopted {
            application: Some(key.application.clone()),
            what: format!(
                "{names}: {went}; that is still live in like-service, and nobody decided on it"
            ),
            who: "kubectl-patch".into(),
            cell: Some(key.clone()),
            sides: Some(sides.clone()),
        };
        run.apply(&record(adopted));
        let new = crate::decision::Wanted::Value(json!("key-new"));
        let decision = crate::decision::Decision {
            cell: key.clone(),
            take: Take::Value(json!("key-new")),
            seen: sides,
            git: new.clone(),
            live: new,
            reason: String::new(),
            by: "jo".into(),
            at: "2026-11-21T15:01:00Z".parse().unwrap(),
            pushed: false,
            applied: false,
        };
        let said = "live went from key-new, as found at 21 Nov 14:43 UTC, to old";
        assert_eq!(run.undone_by(&decision).unwrap().moved(&key), said);
        run.apply(&record(Event::Decided {
            decisions: vec![decision],
        }));
        assert_eq!(
            run.undone_by_sync(&key.application),
            [format!("undoes what kubectl-patch did: {names}: {said}")]
        );
    }

    /// Two fields that had the same value stay two decisions; the plan says where each comes from, and so does the transcript.
    #[test]
    fn a_value_of_a_snapshot_keeps_where_it_comes_from() {
        let mut records = transcript::sample::records();
        let at = "2026-11-21T14:43:17Z";
        let take = Take::Snapshot(Kept {
            application: None,
            namespace: Some("auth".into()),
            at: at.parse().unwrap(),
            value: Some(json!("kept")),
        });
        let mut decided = 0;
        for record in &mut records {
            if let Event::Decided { decisions } = &mut record.event {
                decided = decisions.len();
                for decision in decisions {
                    decision.take = take.clone();
                }
            }
        }
        let lines: Vec<String> = records
            .iter()
            .map(|record| serde_json::to_string(record).unwrap())
            .collect();
        let read = lines.iter().map(|line| serde_json::from_str(line).unwrap());
        assert_eq!(read.collect::<Vec<Record>>(), records);
        let yaml = plan::export(&Run::fold(&records)).unwrap().to_yaml();
        let plan = Plan::parse(&yaml).unwrap();
        assert!(
            plan.decisions
                .iter()
                .all(|d| d.take == take && d.fields.len() == 1)
        );
        assert_eq!(plan.decisions.len(), decided, "{yaml}");
        assert_eq!(
            transcript::choice(&take),
            "the snapshot of 2026-11-21 14:43:17 UTC of auth, which has kept"
        );
        // By hand it is for one field too, and has its value.
        for (from, to) in [
            (
                "fields:\n  - .data.",
                "fields:\n  - .data.OTHER\n  - .data.",
            ),
            ("      value: kept\n", ""),
        ] {
            assert!(yaml.contains(from), "{from:?}: {yaml}");
            let refused = Plan::parse(&yaml.replace(from, to))
                .unwrap_err()
                .to_string();
            assert!(refused.contains("`snapshot` on ConfigMap"), "{refused}");
        }
    }
}
