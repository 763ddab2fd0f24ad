//! Snapshots that did not read every Application: of those that they did not read they are none.

use super::Run;
use crate::{drift::report::Question, ids::Digest, object::identity::AppKey};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// One of them, as long as no later snapshot has read what it did not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Blind {
    pub at: Timestamp,
    /// What it kept all the same.
    pub blobs: BTreeMap<String, Digest>,
    /// What it did not read whole, and nothing read since.
    pub applications: BTreeSet<AppKey>,
}

impl Run {
    /// Whether the last snapshot could not read this Application.
    pub fn unsnapped(&self, key: &AppKey) -> bool {
        self.blind
            .iter()
            .any(|blind| blind.applications.contains(key))
    }

    /// The last snapshot, where it did not read all that is walked.
    pub fn blind_now(&self) -> Option<&Blind> {
        let walked = |blind: &&Blind| {
            let mut walking = self.walking();
            walking.any(|(key, _)| blind.applications.contains(key))
        };
        self.blind.iter().rev().find(walked)
    }

    /// Takes the questions of a snapshot; what is not seen of an Application is not settled.
    pub(super) fn keep_questions(&mut self, questions: &[Value], incomplete: &[AppKey]) {
        let id = |question: &Value| {
            let id = question.get("id").and_then(Value::as_str);
            id.unwrap_or_default().to_owned()
        };
        let unread = |question: &Value| {
            Question::deserialize(question).is_ok_and(|question| {
                let mut cells = question.cells.iter();
                cells.any(|cell| incomplete.contains(&cell.key(&question.field).application))
            })
        };
        let asked: BTreeSet<String> = questions.iter().map(id).collect();
        let mut kept = std::mem::take(&mut self.questions);
        kept.retain(|question| {
            !incomplete.is_empty() && !asked.contains(&id(question)) && unread(question)
        });
        let before = std::mem::take(&mut self.kept_at);
        for question in &kept {
            let id = id(question);
            if let Some(at) = before.get(&id).copied().or(self.snapshot_at) {
                self.kept_at.insert(id, at);
            }
        }
        self.questions = questions.to_vec();
        self.questions.extend(kept);
    }

    pub(super) fn note_blind(
        &mut self,
        at: Timestamp,
        blobs: &BTreeMap<String, Digest>,
        incomplete: &[AppKey],
    ) {
        for blind in &mut self.blind {
            blind.applications.retain(|key| incomplete.contains(key));
        }
        self.blind.retain(|blind| !blind.applications.is_empty());
        if !incomplete.is_empty() {
            self.blind.push(Blind {
                at,
                blobs: blobs.clone(),
                applications: incomplete.iter().cloned().collect(),
            });
        }
    }
}
