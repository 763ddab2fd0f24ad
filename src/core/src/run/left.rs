//! What an incident ends without: questions that nobody decided, and a plan that was not carried out.

use super::{Freeze, Run};
use crate::{decision::CellKey, event::Effect, object::identity::AppKey, text};
use serde_json::Value;
use std::fmt;

/// The questions of the last snapshot that have no decision, and whether anything was written for those that have one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Of Applications that are not parked.
    pub questions: usize,
    /// Of parked ones alone: somebody has them.
    pub parked: usize,
    /// Applications of which nobody knows, since they could not be read.
    pub unread: usize,
    /// Something was pushed or synced.
    pub written: bool,
}

impl Left {
    pub fn nothing(&self) -> bool {
        self.questions + self.parked + self.unread == 0
    }
}

impl fmt::Display for Left {
    /// `2 questions were left undecided, and 1 of parked Applications; nothing was pushed or synced`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let were = |n: usize| if n == 1 { "was" } else { "were" };
        match (self.questions, self.parked) {
            (0, 0) if self.unread > 0 => f.write_str("no known question was left undecided")?,
            (0, 0) => f.write_str("no question was left undecided")?,
            (0, parked) => write!(
                f,
                "{} of parked Applications {} left undecided",
                text::count(parked, "question"),
                were(parked)
            )?,
            (open, parked) => {
                let questions = text::count(open, "question");
                write!(f, "{questions} {} left undecided", were(open))?;
                if parked > 0 {
                    write!(f, ", and {parked} of parked Applications")?;
                }
            }
        }
        if self.unread > 0 {
            let them = text::count(self.unread, "Application");
            write!(
                f,
                "; {them} could not be read, and what is undecided there is not known"
            )?;
        }
        if !self.written {
            f.write_str("; nothing was pushed or synced")?;
        }
        Ok(())
    }
}

impl Run {
    /// The Applications of those cells of a question that none of these is about.
    pub(crate) fn cells_without<'q>(
        &self,
        question: &'q Value,
        settled: &[&CellKey],
    ) -> Vec<&'q str> {
        fn of<'v>(value: &'v Value, name: &str) -> &'v str {
            value.get(name).and_then(Value::as_str).unwrap_or_default()
        }
        let cells = question.get("cells").and_then(Value::as_array);
        cells
            .into_iter()
            .flatten()
            .filter(|cell| {
                let (application, namespace) = (of(cell, "application"), of(cell, "namespace"));
                !settled.iter().any(|key| {
                    key.object.kind == of(question, "kind")
                        && key.object.name == of(question, "name")
                        && key.field.to_string() == of(question, "field")
                        && (key.application.name == application
                            || key.application.to_string() == application)
                        && key.object.namespace.as_deref().unwrap_or_default() == namespace
                })
            })
            .map(|cell| of(cell, "application"))
            .collect()
    }

    /// What is left undecided, as far as the journal tells.
    pub fn left(&self) -> Left {
        // A removal leaves no decision behind, since there is nothing left to decide.
        let settled: Vec<&CellKey> = self.decisions.keys().chain(self.acted()).collect();
        let parked = |name: &&str| {
            self.apps.iter().any(|(key, app)| {
                app.parked.is_some() && (key.name == **name || key.to_string() == **name)
            })
        };
        let mut left = Left {
            unread: self.scope.iter().filter(|key| self.unsnapped(key)).count(),
            written: self.ops.values().any(|op| {
                op.done() && matches!(op.effect, Effect::Push { .. } | Effect::Sync { .. })
            }),
            ..Left::default()
        };
        for question in &self.questions {
            let without = self.cells_without(question, &settled);
            if without.is_empty() {
                continue;
            }
            match without.iter().all(parked) {
                true => left.parked += 1,
                false => left.questions += 1,
            }
        }
        left
    }

    /// Whether a question about an Application is left undecided, as far as the journal tells.
    pub fn left_of(&self, key: &AppKey) -> bool {
        let settled: Vec<&CellKey> = self.decisions.keys().chain(self.acted()).collect();
        let of = |name: &str| name == key.name || name == key.to_string();
        let mut questions = self.questions.iter();
        questions.any(|question| {
            let mut without = self.cells_without(question, &settled).into_iter();
            without.any(of)
        })
    }

    /// Why the plan of an incident that is closed was not carried out; none where it was, but for what was handed over.
    pub fn not_carried_out(&self) -> Option<String> {
        let left = self.left();
        if left.questions > 0 {
            return Some(left.to_string());
        }
        let unpushed = self.decisions.values().find(|decision| {
            let pushed = self.ops.values().any(|op| {
                op.done()
                    && matches!(op.effect, Effect::Push { .. })
                    && op.intended_at >= decision.at
            });
            decision.changes_git() && !decision.pushed && !pushed && self.landed.is_empty()
        });
        if let Some(decision) = unpushed {
            let cell = &decision.cell;
            return Some(format!(
                "{} {} of {} was decided and is not in Git",
                cell.object, cell.field, cell.application.name
            ));
        }
        // Who may not freeze carries out no more than the commit.
        let untouched = self.walking().find(|(key, app)| {
            app.freeze != Freeze::Thawed
                && self.unfrozen.is_none()
                && self.stays_frozen(key).is_none()
        });
        if let Some((key, app)) = untouched {
            return Some(format!(
                "{key} is {}: it was not brought through the walk",
                app.freeze_word()
            ));
        }
        (self.walking().next().is_none() && !left.written).then(|| match left.nothing() {
            true => "every Application is parked, and nothing was pushed or synced".to_owned(),
            false => left.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::Record,
        run::Parked,
        transcript::sample::{self, app},
    };

    fn run(records: &[Record]) -> Run {
        Run::fold(records)
    }

    #[test]
    fn what_an_incident_ended_without_is_counted_from_its_journal() {
        let records = sample::records();
        let whole = run(&records);
        assert!(whole.left().nothing() && whole.left().written);
        assert_eq!(whole.not_carried_out(), None);

        let snapshot =
            |record: &&Record| matches!(&record.event, crate::event::Event::SnapshotTaken { .. });
        let at = records
            .iter()
            .take_while(|record| !snapshot(record))
            .count();
        let mut early = run(&records[..=at]);
        assert_eq!(
            early.left().to_string(),
            "2 questions were left undecided; nothing was pushed or synced"
        );
        assert_eq!(early.not_carried_out(), Some(early.left().to_string()));
        for key in early.scope.clone() {
            early.apps.entry(key).or_default().parked = Some(Parked {
                owner: "eve".into(),
                until: "2026-12-01".into(),
                reason: "hers".into(),
            });
        }
        let parked =
            "2 questions of parked Applications were left undecided; nothing was pushed or synced";
        assert_eq!(early.left().to_string(), parked);
        assert_eq!(early.not_carried_out().as_deref(), Some(parked));

        // All is decided, and the walk ended before the push.
        let mut unpushed = whole.clone();
        unpushed.ops.clear();
        unpushed.landed.clear();
        for decision in unpushed.decisions.values_mut() {
            decision.pushed = false;
        }
        let why = unpushed.not_carried_out().unwrap();
        assert!(why.ends_with("was decided and is not in Git"), "{why}");
        let mut left_frozen = whole;
        left_frozen.apps.get_mut(&app("like")).unwrap().freeze = Freeze::Not;
        let why = left_frozen.not_carried_out().unwrap();
        assert!(why.contains("was not brought through the walk"), "{why}");
    }
}
