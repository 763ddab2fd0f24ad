//! The sync policy of an Application as a value: what was found, what is declared, since when auto-sync is off, and the
//! exact patches that freeze it and put a target in place.

mod evidence;
mod set;

pub use evidence::{AutoSync, StandingChange, State, auto_sync};
pub use set::{leave_alone, taken_back};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::{object::redact::LAST_APPLIED, text};

/// The annotation in which a frozen Application carries the way back.
pub const NOTE: &str = "trueup.dev/frozen";
/// What the note of a freeze names as its write that a person made as a sheet says.
pub const BY_HAND: &str = "by hand";
/// The field manager of our own writes.
pub const FIELD_MANAGER: &str = "trueup";

/// `spec.syncPolicy`. Absent, null and `{}` are one value: Argo CD drops an empty one at its next comparison.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Policy(Option<Value>);

impl Policy {
    pub fn new(value: Option<Value>) -> Self {
        Policy(value.filter(|v| !v.is_null() && v.as_object().is_none_or(|m| !m.is_empty())))
    }

    /// The policy that stands in an Application.
    pub fn of(application: &Value) -> Self {
        Policy::new(application.pointer("/spec/syncPolicy").cloned())
    }

    /// The whole value; none when there is no policy.
    pub fn value(&self) -> Option<&Value> {
        self.0.as_ref()
    }

    pub fn is_absent(&self) -> bool {
        self.0.is_none()
    }

    /// `automated` as it stands, an empty one included; none when absent or null.
    pub fn automated(&self) -> Option<&Value> {
        self.0.as_ref()?.get("automated").filter(|v| !v.is_null())
    }

    /// True when Argo CD would sync by itself: `automated` stands and `enabled` is not false (Argo CD 3.1 and later).
    pub fn is_on(&self) -> bool {
        self.automated()
            .is_some_and(|a| a.get("enabled") != Some(&Value::Bool(false)))
    }

    /// `off`, or what of `automated` is on: `prune, selfHeal`.
    pub fn words(&self) -> String {
        let Some(automated) = self.automated().filter(|_| self.is_on()) else {
            return "off".into();
        };
        let fields = automated.as_object().into_iter().flatten();
        let on: Vec<&str> = fields
            .filter(|(_, value)| **value == Value::Bool(true))
            .map(|(name, _)| name.as_str())
            .collect();
        match on.is_empty() {
            true => "on".into(),
            false => text::line(&on.join(", ")),
        }
    }

    fn flag(&self, name: &str) -> bool {
        self.automated().and_then(|a| a.get(name)) == Some(&Value::Bool(true))
    }

    pub fn self_heals(&self) -> bool {
        self.is_on() && self.flag("selfHeal")
    }

    pub fn prunes(&self) -> bool {
        self.is_on() && self.flag("prune")
    }
}

/// Where a declared policy was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DeclaredIn {
    Git,
    LastApplied,
}

/// What the owner of the Application says its policy is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    pub policy: Policy,
    #[serde(rename = "in")]
    pub place: DeclaredIn,
}

/// The Application as its last client-side apply had it.
pub fn last_applied(object: &Value) -> Option<Value> {
    let text = object
        .get("metadata")?
        .get("annotations")?
        .get(LAST_APPLIED)?
        .as_str()?;
    serde_json::from_str(text).ok()
}

/// The declared policy: from Git when the Application was found there, else from the object's last-applied annotation.
pub fn declared(application: &Value, in_git: Option<&Value>) -> Option<Declared> {
    match in_git {
        Some(declared) => Some(Declared {
            policy: Policy::of(declared),
            place: DeclaredIn::Git,
        }),
        None => last_applied(application).map(|applied| Declared {
            policy: Policy::of(&applied),
            place: DeclaredIn::LastApplied,
        }),
    }
}

/// What shall stand in the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// As it was when we arrived.
    Found,
    /// As the owner declares it.
    Declared,
    /// `syncPolicy` as the operator typed it.
    #[serde(untagged)]
    Typed(Policy),
}

/// Why a target has no value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TargetError {
    #[error(
        "the target is the declared policy, but the Application was found neither in Git nor does it carry a last-applied annotation; choose found, or type the policy"
    )]
    NotDeclared,
}

/// The policy that a target stands for.
pub fn target(
    target: &Target,
    found: &Policy,
    declared: Option<&Declared>,
) -> Result<Policy, TargetError> {
    match target {
        Target::Found => Ok(found.clone()),
        Target::Declared => declared
            .map(|d| d.policy.clone())
            .ok_or(TargetError::NotDeclared),
        Target::Typed(policy) => Ok(policy.clone()),
    }
}

/// How one Application is frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Freeze {
    /// Nothing to switch off: only the note is put on it.
    NoteOnly,
    /// `automated.enabled: false`, where the CRD has the field (Argo CD 3.1).
    Disable,
    /// `automated` is taken out and kept in the note.
    RemoveAutomated,
}

/// The least change that stops auto-sync.
pub fn freeze_how(found: &Policy, crd_has_enabled: bool) -> Freeze {
    match (found.is_on(), crd_has_enabled) {
        (false, _) => Freeze::NoteOnly,
        (true, true) => Freeze::Disable,
        (true, false) => Freeze::RemoveAutomated,
    }
}

/// The way back, kept on the Application itself. Serialised, it begins with what restoring it would apply: a JSON merge
/// patch, so that anybody with `kubectl patch --type merge` can restore it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    pub restore: Value,
    pub incident: String,
    pub by: String,
    pub at: Timestamp,
    /// `spec.syncPolicy` as it was found; null when there was none.
    pub found: Value,
    /// What stood before fields were ignored by decision (`ignoreDifferences`, `syncOptions`; null when absent), to take
    /// that back by hand. Restoring keeps it: Git declares it by then.
    #[serde(
        default,
        rename = "beforeIgnore",
        skip_serializing_if = "Option::is_none"
    )]
    pub before_ignore: Option<Value>,
    /// The write that put the note there, so that it can be found again.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub op: String,
}

impl Note {
    /// The note for freezing this Application now.
    pub fn new(
        application: &Value,
        how: Freeze,
        incident: impl Into<String>,
        by: impl Into<String>,
        at: Timestamp,
    ) -> Self {
        let found = Policy::of(application);
        let mut patch = json!({"metadata": {"annotations": {NOTE: null}}});
        let automated = found.automated().cloned().unwrap_or_else(|| json!({}));
        match how {
            Freeze::NoteOnly => {}
            Freeze::Disable => {
                let was = automated.get("enabled").cloned().unwrap_or(Value::Null);
                patch["spec"] = json!({"syncPolicy": {"automated": {"enabled": was}}});
            }
            Freeze::RemoveAutomated => {
                patch["spec"] = json!({"syncPolicy": {"automated": automated}})
            }
        }
        if let Some(Value::Object(spec)) = patch.get("spec").cloned() {
            // What it brings back first, what it clears after.
            patch = json!({"spec": spec, "metadata": patch["metadata"]});
        }
        Note {
            restore: patch,
            incident: incident.into(),
            by: by.into(),
            at,
            found: found.value().cloned().unwrap_or(Value::Null),
            before_ignore: None,
            op: String::new(),
        }
    }

    /// The same note once fields are ignored: `options` are the sync options that stand from now on, and belong to the
    /// policy that is brought back.
    pub fn ignoring(mut self, application: &Value, options: Option<&Value>) -> Self {
        let at = |pointer: &str| application.pointer(pointer).cloned().unwrap_or(Value::Null);
        self.before_ignore.get_or_insert_with(|| {
            json!({
                "ignoreDifferences": at("/spec/ignoreDifferences"),
                "syncOptions": at("/spec/syncPolicy/syncOptions"),
            })
        });
        if let Some(options) = options {
            if !self.found.is_object() {
                self.found = json!({});
            }
            self.found["syncOptions"] = options.clone();
        }
        self
    }

    /// The same note, naming the write that puts it there.
    pub fn with_op(mut self, op: impl Into<String>) -> Self {
        self.op = op.into();
        self
    }

    /// With what a note says was found that is there already, of this incident or taken over: what stood before the first
    /// freeze, not before the last one. The way back begins at what this freeze leaves, whatever others did in between.
    pub fn keeping(mut self, older: Option<Self>, application: &Value, how: Freeze) -> Self {
        let Some(older) = older else {
            return self;
        };
        let mut left = application
            .pointer("/spec/syncPolicy")
            .cloned()
            .unwrap_or(Value::Null);
        match how {
            Freeze::NoteOnly => {}
            Freeze::Disable => {
                let automated = left.get_mut("automated").and_then(Value::as_object_mut);
                automated.map(|on| on.insert("enabled".to_owned(), Value::Bool(false)));
            }
            Freeze::RemoveAutomated => {
                left.as_object_mut()
                    .map(|policy| policy.remove("automated"));
            }
        }
        let note = json!({"annotations": {NOTE: null}});
        self.restore = match merge_patch(&left, &older.found) {
            None => json!({"metadata": note}),
            Some(policy) => json!({"spec": {"syncPolicy": policy}, "metadata": note}),
        };
        self.found = older.found;
        self.before_ignore = older.before_ignore;
        self
    }

    fn carried(application: &Value) -> Option<&str> {
        let annotations = application.get("metadata")?.get("annotations")?;
        annotations.get(NOTE)?.as_str()
    }

    /// The note that an Application carries; none when there is none or it cannot be read.
    pub fn of(application: &Value) -> Option<Self> {
        serde_json::from_str(Self::carried(application)?).ok()
    }

    /// Why the note that an Application carries says nothing: somebody edited it, or another program wrote it.
    pub fn unreadable(application: &Value) -> Option<String> {
        let note = Self::carried(application)?;
        let why = serde_json::from_str::<Self>(note).err()?;
        Some(text::line(&format!("{why}: {}", text::shorten(note, 60))))
    }

    /// The note that a JSON Patch puts there.
    pub fn in_patch(patch: &Value) -> Option<Self> {
        let (note, all) = (note_pointer(), "/metadata/annotations");
        let text = patch.as_array()?.iter().find_map(|op| {
            let value = op.get("value")?;
            match op.get("path")?.as_str()? {
                path if path == note => value.as_str(),
                path if path == all => value.get(NOTE)?.as_str(),
                _ => None,
            }
        });
        serde_json::from_str(text?).ok()
    }

    pub fn found_policy(&self) -> Policy {
        Policy::new(Some(self.found.clone()))
    }

    /// The annotation's value.
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("a note holds nothing but JSON")
    }
}

/// The JSON merge patch (RFC 7386) that makes `to` of `from`; none where they are the same.
fn merge_patch(from: &Value, to: &Value) -> Option<Value> {
    if from == to {
        return None;
    }
    let (Value::Object(from), Value::Object(to)) = (from, to) else {
        return Some(to.clone());
    };
    let gone = from.keys().filter(|key| !to.contains_key(*key));
    let mut patch: Map<String, Value> = gone.map(|key| (key.clone(), Value::Null)).collect();
    for (key, wanted) in to {
        let change = match from.get(key) {
            Some(stands) => merge_patch(stands, wanted),
            None => Some(wanted.clone()),
        };
        patch.extend(change.map(|change| (key.clone(), change)));
    }
    Some(Value::Object(patch))
}

fn op(name: &str, path: &str, value: Option<Value>) -> Value {
    let mut map = Map::new();
    map.insert("op".to_owned(), Value::from(name));
    map.insert("path".to_owned(), Value::from(path));
    if let Some(value) = value {
        map.insert("value".to_owned(), value);
    }
    Value::Object(map)
}

/// The guard that every patch begins with: the resourceVersion that was read. Without one the patch has no guard and
/// the caller must not send it.
fn guard(application: &Value) -> Vec<Value> {
    application
        .pointer("/metadata/resourceVersion")
        .map(|rv| op("test", "/metadata/resourceVersion", Some(rv.clone())))
        .into_iter()
        .collect()
}

pub(crate) fn note_pointer() -> String {
    format!(
        "/metadata/annotations/{}",
        NOTE.replace('~', "~0").replace('/', "~1")
    )
}

/// The JSON Patch that freezes the Application and puts the note on it, guarded by the resourceVersion that it was read
/// at.
pub fn freeze_ops(application: &Value, how: Freeze, note: &Note) -> Vec<Value> {
    let mut ops = guard(application);
    match application.pointer("/metadata/annotations") {
        Some(Value::Object(_)) => {
            ops.push(op("add", &note_pointer(), Some(Value::from(note.text()))))
        }
        _ => ops.push(op(
            "add",
            "/metadata/annotations",
            Some(json!({NOTE: note.text()})),
        )),
    }
    match how {
        Freeze::NoteOnly => {}
        Freeze::Disable => ops.push(op(
            "add",
            "/spec/syncPolicy/automated/enabled",
            Some(Value::Bool(false)),
        )),
        Freeze::RemoveAutomated => ops.push(op("remove", "/spec/syncPolicy/automated", None)),
    }
    ops
}

/// The JSON Patch that puts `wanted` in place and takes the note away: `syncPolicy` whole when the Application has none,
/// else `automated` alone, so that every other field stays as it was found. Guarded as [`freeze_ops`]; only the guard and
/// the note's removal when the policy stands already.
pub fn thaw_ops(application: &Value, wanted: &Policy) -> Vec<Value> {
    let mut ops = guard(application);
    let now = Policy::of(application);
    match (now.is_absent(), wanted.value(), wanted.automated()) {
        (true, Some(whole), _) => ops.push(op("add", "/spec/syncPolicy", Some(whole.clone()))),
        (false, _, Some(automated)) if now.automated() != Some(automated) => {
            ops.push(op(
                "add",
                "/spec/syncPolicy/automated",
                Some(automated.clone()),
            ));
        }
        (false, _, None) if now.automated().is_some() => {
            ops.push(op("remove", "/spec/syncPolicy/automated", None));
        }
        _ => {}
    }
    if application
        .get("metadata")
        .and_then(|m| m.get("annotations"))
        .and_then(|a| a.get(NOTE))
        .is_some()
    {
        ops.push(op("remove", &note_pointer(), None));
    }
    ops
}

#[cfg(test)]
mod tests;
