//! Snapshots that did not read every Application: of those that they did not read they are none.

use super::Run;
use crate::{ids::Digest, object::identity::AppKey};
use jiff::Timestamp;
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
        self.replace_questions(questions, incomplete);
        self.asked.clear();
        for (at, question) in self.questions.iter().enumerate() {
            let [kind, name, field] = ["kind", "name", "field"].map(|of| text(question, of));
            self.asked.entry((kind, name, field)).or_default().push(at);
        }
    }

    fn replace_questions(&mut self, questions: &[Value], incomplete: &[AppKey]) {
        let before = std::mem::replace(&mut self.questions, questions.to_vec());
        let kept_at = std::mem::take(&mut self.kept_at);
        if incomplete.is_empty() {
            return;
        }
        for mut question in before {
            let was = text(&question, "id");
            let mut cells = match question.get_mut("cells").map(Value::take) {
                Some(Value::Array(cells)) => cells,
                _ => continue,
            };
            cells.retain(|cell| application(cell, incomplete).is_some());
            let asked = self
                .questions
                .iter()
                .position(|other| is_same(other, &question));
            let known = asked.and_then(|at| self.questions[at].get("cells")?.as_array().cloned());
            cells.retain(|cell| !known.iter().flatten().any(|other| is_copy(other, cell)));
            if cells.is_empty() {
                continue;
            }
            let is = asked.map_or_else(|| was.clone(), |at| text(&self.questions[at], "id"));
            for key in cells.iter().filter_map(|c| application(c, incomplete)) {
                let at = kept_at.get(&(was.clone(), key.clone())).copied();
                if let Some(at) = at.or(self.snapshot_at) {
                    self.kept_at.insert((is.clone(), key.clone()), at);
                }
            }
            match asked {
                Some(at) => {
                    if let Some(Value::Array(known)) = self.questions[at].get_mut("cells") {
                        known.extend(cells);
                    }
                }
                None => {
                    question["cells"] = Value::Array(cells);
                    self.questions.push(question);
                }
            }
        }
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

fn text(value: &Value, name: &str) -> String {
    let text = value.get(name).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

/// Which of these a cell is of; the namespace is not in every journal.
fn application<'k>(cell: &Value, of: &'k [AppKey]) -> Option<&'k AppKey> {
    let (name, namespace) = (
        text(cell, "application"),
        text(cell, "applicationNamespace"),
    );
    let of_namespace = |key: &AppKey| namespace.is_empty() || namespace == key.namespace;
    of.iter().find(|key| key.name == name && of_namespace(key))
}

/// Whether two questions are about one field of one object, or of the copies of it: with a copy that was not read, it is asked
/// by another id.
fn is_same(one: &Value, other: &Value) -> bool {
    let alike = |name: &str| one.get(name) == other.get(name);
    let grouped = one.get("group").is_some_and(Value::is_string) && alike("group");
    (alike("id") || grouped) && ["kind", "name", "field"].into_iter().all(alike)
}

fn is_copy(one: &Value, other: &Value) -> bool {
    ["application", "applicationNamespace", "namespace"]
        .into_iter()
        .all(|name| one.get(name) == other.get(name))
}
