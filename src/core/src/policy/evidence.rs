//! Since when auto-sync is off, and how that is known.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{FIELD_MANAGER, NOTE, Note, Policy, last_applied};
use crate::object::managed::{Managed, ManagerClass};
use crate::object::path::FieldPath;
use crate::object::redact::LAST_APPLIED;

/// Who starts the syncs of a RollingSync ApplicationSet (applicationset controller, progressive syncs).
const ROLLING_SYNC_USER: &str = "applicationset-controller";

/// Is auto-sync on, and if not, was it ever?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    On,
    /// Provably on once, or `enabled: false`.
    Off,
    /// Never seen on.
    Absent,
}

/// What is known of an Application's auto-sync, with the evidence in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AutoSync {
    pub state: State,
    /// `trueup:INCIDENT`, `trueup:?` where its note cannot be read, `rollingsync`, or none.
    pub frozen_by: Option<String>,
    /// It was still on at this time.
    pub off_not_before: Option<Timestamp>,
    /// It was off by this time; only likely when the evidence says so.
    pub off_not_after: Option<Timestamp>,
    pub evidence: Vec<String>,
}

/// A live change that self-heal would have undone: its field is declared in Git, was changed after the last sync, and
/// still stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingChange {
    /// Not later than this.
    pub time: Timestamp,
    pub manager: String,
    /// The field and its object, in words.
    pub what: String,
}

fn time(value: Option<&Value>) -> Option<Timestamp> {
    value?.as_str()?.parse().ok()
}

/// The last time Argo CD is known to have synced by itself. A RollingSync ApplicationSet starts syncs that call
/// themselves automated: they prove nothing about this policy.
fn last_automated_sync(application: &Value) -> Option<(Timestamp, &'static str)> {
    let by_itself = |initiated: Option<&Value>| {
        initiated.is_some_and(|i| {
            i.get("automated") == Some(&Value::Bool(true))
                && i.get("username").and_then(Value::as_str) != Some(ROLLING_SYNC_USER)
        })
    };
    let history = application
        .pointer("/status/history")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|h| by_itself(h.get("initiatedBy")))
        .filter_map(|h| Some((time(h.get("deployedAt"))?, "status.history")));
    let operation = application
        .pointer("/status/operationState")
        .filter(|o| by_itself(o.pointer("/operation/initiatedBy")))
        .and_then(|o| Some((time(o.get("startedAt"))?, "status.operationState")));
    history.chain(operation).max_by_key(|(at, _)| *at)
}

fn rolling_sync(application: &Value) -> bool {
    let by_set = application
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .any(|o| o.get("kind").and_then(Value::as_str) == Some("ApplicationSet"));
    let started = application
        .pointer("/status/operationState/operation/initiatedBy/username")
        .and_then(Value::as_str)
        == Some(ROLLING_SYNC_USER);
    by_set && started
}

/// How the end of the bracket is told.
const OFF_BY: &str = "it was off by ";
const LIKELY_OFF_BY: &str = "likely off by ";

impl AutoSync {
    /// Takes in that it is known to have been on at a time, and how: what tells of an earlier end is of another story.
    pub fn was_on_at(&mut self, at: Timestamp, how: &str) {
        if self.state == State::On || self.off_not_before.is_some_and(|before| before >= at) {
            return;
        }
        self.state = State::Off;
        self.off_not_before = Some(at);
        if self.off_not_after.is_some_and(|after| after < at) {
            self.off_not_after = None;
            self.evidence
                .retain(|told| !told.starts_with(OFF_BY) && !told.starts_with(LIKELY_OFF_BY));
        }
        self.evidence.push(format!("it was on at {at}: {how}"));
    }
}

/// Gathers what the Application itself and the standing live changes tell about its auto-sync.
pub fn auto_sync(
    application: &Value,
    in_git: Option<&Value>,
    standing: &[StandingChange],
) -> AutoSync {
    let found = Policy::of(application);
    let mut auto = AutoSync {
        state: State::On,
        frozen_by: None,
        off_not_before: None,
        off_not_after: None,
        evidence: Vec::new(),
    };
    let note = Note::of(application);
    if let Some(note) = &note {
        auto.frozen_by = Some(format!("trueup:{}", note.incident));
        auto.evidence.push(format!(
            "the note {NOTE} of {} says: frozen by {}",
            note.incident, note.by
        ));
    }
    if let Some(why) = Note::unreadable(application) {
        auto.frozen_by = Some("trueup:?".to_owned());
        auto.evidence.push(format!(
            "its note {NOTE} cannot be read, so that nobody knows who froze it and what was found: {why}"
        ));
    }
    if found.is_on() {
        return auto;
    }
    if auto.frozen_by.is_none() && rolling_sync(application) {
        auto.frozen_by = Some("rollingsync".to_owned());
        auto.evidence.push(
            "its ApplicationSet starts the syncs itself (RollingSync) and keeps automated off"
                .to_owned(),
        );
    }
    let applied = last_applied(application).map(|a| Policy::of(&a));
    let switched = found.automated().is_some();
    let last_sync = last_automated_sync(application);
    let applied_on = applied.as_ref().is_some_and(Policy::is_on);
    let note_on = note.as_ref().is_some_and(|n| n.found_policy().is_on());
    auto.state = match switched || last_sync.is_some() || applied_on || note_on {
        true => State::Off,
        false => State::Absent,
    };
    auto.evidence.push(match (switched, found.is_absent()) {
        (true, _) => "spec.syncPolicy.automated.enabled is false".to_owned(),
        (false, true) => "the spec has no syncPolicy".to_owned(),
        (false, false) => "spec.syncPolicy has no automated".to_owned(),
    });
    if applied_on {
        auto.evidence.push(
            "the last `kubectl apply` of the Application had automated on (last-applied)"
                .to_owned(),
        );
    }
    if let Some(git) = in_git.map(Policy::of).filter(Policy::is_on) {
        auto.evidence.push(format!(
            "Git declares automated{}{}",
            if git.prunes() { ", prune" } else { "" },
            if git.self_heals() { ", selfHeal" } else { "" }
        ));
    }
    if let Some((at, place)) = last_sync {
        auto.off_not_before = Some(at);
        auto.evidence.push(format!(
            "it was on at {at}: the last automated sync in {place}"
        ));
    }
    if let Some(note) = note.filter(|n| n.found_policy().is_on()) {
        auto.off_not_before = Some(note.at);
        auto.off_not_after = Some(note.at);
        return auto;
    }
    let healed = [applied, in_git.map(Policy::of)]
        .into_iter()
        .flatten()
        .any(|p| p.self_heals());
    upper_end(&mut auto, application, standing, healed);
    auto.evidence
        .extend(written_by_people(application, last_sync.map(|(at, _)| at)));
    auto
}

fn upper_end(auto: &mut AutoSync, application: &Value, standing: &[StandingChange], healed: bool) {
    let not_before = auto.off_not_before;
    let first = standing
        .iter()
        .filter(|c| not_before.is_none_or(|t| c.time > t))
        .min_by_key(|c| c.time);
    if let Some(change) = first.filter(|_| healed) {
        auto.off_not_after = Some(change.time);
        auto.evidence.push(format!(
            "{OFF_BY}{}: {} changed {} and it still stands, which self-heal undoes within seconds",
            change.time, change.manager, change.what
        ));
        return;
    }
    let managed = Managed::read(application);
    let switch = FieldPath::keys(["spec", "syncPolicy", "automated", "enabled"]);
    let touched = managed
        .entries
        .iter()
        // A freeze whose note is gone left the switch behind; what else trueup writes says nothing of it.
        .filter(|e| e.manager != FIELD_MANAGER || e.owns(&switch))
        .filter_map(|e| e.time.map(|t| (t, e)))
        .filter(|(t, _)| not_before.is_none_or(|n| *t > n));
    let entry = touched
        .clone()
        .filter(|(_, e)| e.owns(&switch))
        .max_by_key(|(t, _)| *t)
        .or_else(|| {
            touched
                .filter(|(_, e)| e.class() == ManagerClass::Human)
                .min_by_key(|(t, _)| *t)
        });
    if let Some((at, entry)) = entry {
        auto.off_not_after = Some(at);
        auto.evidence.push(format!(
            "{LIKELY_OFF_BY}{at}: {} wrote to the Application then; a removal itself leaves no trace",
            entry.manager,
        ));
    }
}

/// The annotations that people wrote to the Application after this time, with their values: often the reason stands there,
/// however well the time is known without them.
fn written_by_people(application: &Value, not_before: Option<Timestamp>) -> Vec<String> {
    let managed = Managed::read(application);
    let by_people = managed
        .entries
        .iter()
        .filter(|e| e.manager != FIELD_MANAGER && e.class() == ManagerClass::Human)
        .filter_map(|e| e.time.map(|at| (at, e)))
        .filter(|(at, _)| not_before.is_none_or(|n| *at > n));
    let mut notes = Vec::new();
    for (at, entry) in by_people {
        let written = entry
            .fields
            .iter()
            .filter(|p| p.schema_names().starts_with(&["metadata", "annotations"]));
        for path in written {
            let value = path.get(application).and_then(Value::as_str);
            let name = path.schema_names().last().copied().unwrap_or_default();
            let Some(value) = value.filter(|_| name != LAST_APPLIED && name != NOTE) else {
                continue;
            };
            let value: String = value.chars().take(120).collect();
            notes.push(format!(
                "annotation {name:?}: {value:?} ({}, {at})",
                entry.manager
            ));
        }
    }
    notes
}
