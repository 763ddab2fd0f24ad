//! What was found live before anything was decided, and what of it stands nowhere any more.

use super::Run;
use crate::{
    decision::{CellKey, Sides},
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
