//! What the steps ask of an Application object: its facts, a consumed refresh, a guarded patch.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::{Value, json};
use trueup_core::{
    event::{Effect, Guard, Outcome},
    object::{identity::AppKey, managed::Managed, path::FieldPath},
    policy::{FIELD_MANAGER, Note, Policy},
    sheet::Refusal,
    text,
};

use super::super::{
    state::{Engine, Write},
    trouble::{Trouble, outcome_of},
};
use crate::ports::{WriteError, WriteKind, WriteRequest};

const REFRESH: &str = "argocd.argoproj.io/refresh";
/// Between two looks at an object that is being waited for.
pub(in super::super) const POLL: Duration = Duration::from_millis(250);
/// How often a write is tried again after losing only its resourceVersion to an unrelated change.
pub(super) const ATTEMPTS: usize = 5;

/// What the operator confirms about an Application; a status flap moves none of it.
pub fn facts(application: &Value) -> BTreeMap<String, Value> {
    let at = |pointer: &str| application.pointer(pointer).cloned().unwrap_or(Value::Null);
    BTreeMap::from([
        ("uid".to_owned(), at("/metadata/uid")),
        ("source".to_owned(), at("/spec/source")),
        ("sources".to_owned(), at("/spec/sources")),
        ("destination".to_owned(), at("/spec/destination")),
        ("project".to_owned(), at("/spec/project")),
        // The write that put the note of a freeze there: a freeze of somebody else is nothing that was confirmed.
        (
            "frozenBy".to_owned(),
            Note::of(application).map_or(Value::Null, |note| {
                Value::from(format!("{} ({})", note.incident, note.op))
            }),
        ),
        (
            "syncPolicy".to_owned(),
            Policy::of(application)
                .value()
                .cloned()
                .unwrap_or(Value::Null),
        ),
    ])
}

/// Who wrote the sync policy last and when, as far as the managed fields tell; none where that was us, and where it was before
/// `since`. What is taken away leaves no trace in them.
pub fn wrote_policy(application: &Value, since: Option<Timestamp>) -> Option<String> {
    let policy = FieldPath::keys(["spec", "syncPolicy"]);
    let managed = Managed::read(application);
    let touching = managed
        .entries
        .iter()
        .filter(|entry| entry.touches(&policy));
    // They tell whole seconds: of what was written within one, it is not ours that is asked about. Nor is it where the time is known
    // since when: each later write of ours, be it to another field, makes ours the newest.
    let ours = |manager: &str| manager.starts_with(FIELD_MANAGER);
    let asked = touching.filter(|entry| since.is_none() || !ours(&entry.manager));
    let newest = asked.max_by_key(|entry| (entry.time, !ours(&entry.manager)))?;
    let at = newest.time?;
    if since.is_some_and(|since| at.as_second() < since.as_second()) {
        return None;
    }
    let at = at.strftime("%H:%M:%SZ");
    (!ours(&newest.manager)).then(|| text::line(&format!("{} at {at}", newest.manager)))
}

/// Why a freeze is lost, with who is behind it where auto-sync was switched on.
pub fn lost_by(why: String, application: &Value) -> String {
    match wrote_policy(application, None).filter(|_| Policy::of(application).is_on()) {
        Some(who) => format!("{why} (its managed fields name {who})"),
        None => why,
    }
}

pub fn resource_version(object: &Value) -> Option<String> {
    object
        .pointer("/metadata/resourceVersion")
        .and_then(Value::as_str)
        .map(str::to_owned)
}

pub fn reconciled_at(application: &Value) -> Option<Timestamp> {
    application
        .pointer("/status/reconciledAt")
        .and_then(Value::as_str)?
        .parse()
        .ok()
}

/// Why Argo CD's last comparison gave nothing, in its own words.
pub fn not_compared(application: &Value) -> Option<String> {
    let conditions = application.pointer("/status/conditions")?.as_array()?;
    let error = conditions
        .iter()
        .find(|condition| condition["type"] == "ComparisonError")?;
    Some(text::line(error["message"].as_str().unwrap_or_default()))
}

/// An operation that waits or runs, in words.
pub fn operation(application: &Value) -> Option<String> {
    let waits = application.get("operation").is_some_and(|o| !o.is_null());
    let phase = application
        .pointer("/status/operationState/phase")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !waits && phase != "Running" && phase != "Terminating" {
        return None;
    }
    let who = application
        .pointer("/operation/initiatedBy/username")
        .or_else(|| application.pointer("/status/operationState/operation/initiatedBy/username"))
        .and_then(Value::as_str)
        .unwrap_or("somebody unnamed");
    Some(text::line(&format!(
        "{} by {who}",
        if phase.is_empty() { "requested" } else { phase }
    )))
}

/// The value of an item of `operation.info` by name.
pub fn info<'a>(operation: &'a Value, name: &str) -> Option<&'a str> {
    operation
        .get("info")?
        .as_array()?
        .iter()
        .find(|item| item.get("name").and_then(Value::as_str) == Some(name))?
        .get("value")?
        .as_str()
}

/// A shell-quoted `kubectl patch` that does the same; guards on versions are left out, since they are of this moment.
pub fn by_hand(key: &AppKey, patch: &Value) -> String {
    let ops: Value = patch
        .as_array()
        .map(|ops| {
            ops.iter()
                .filter(|op| op.get("op").and_then(Value::as_str) != Some("test"))
                .cloned()
                .collect()
        })
        .unwrap_or_else(|| json!([]));
    let json = text::json(&ops);
    text::line(&format!(
        "kubectl -n {} patch application {} --type json -p '{}'",
        key.namespace,
        key.name,
        json.replace('\'', r"'\''")
    ))
}

/// The same for a merge patch.
pub fn merged_by_hand(key: &AppKey, patch: &Value) -> String {
    text::line(&format!(
        "kubectl -n {} patch application {} --type merge -p '{}'",
        key.namespace,
        key.name,
        text::json(patch).replace('\'', r"'\''")
    ))
}

impl Engine {
    /// Asks Argo CD to compare now and waits until it did; the Application afterwards.
    ///
    /// The request is consented to when arming. Up to Argo CD 3.5 a request that comes during a comparison is dropped
    /// with its annotation; `reconciledAt` tells, and it is asked again.
    pub async fn refresh(&self, key: &AppKey) -> Result<Value, Trouble> {
        let limit = self.run().waits.refresh_deadline.0;
        let what = format!("Argo CD to compare {key}");
        self.waiting(what, limit, self.refresh_until_consumed(key))
            .await
    }

    pub(super) async fn refresh_until_consumed(&self, key: &AppKey) -> Result<Value, Trouble> {
        loop {
            let before = self.application(key).await?;
            let last = reconciled_at(&before);
            let asked = self.ports.clock.now();
            self.ask_refresh(key).await?;
            let seen = loop {
                let seen = self.application(key).await?;
                if seen
                    .pointer("/metadata/annotations")
                    .and_then(|a| a.get(REFRESH))
                    .is_none()
                {
                    break seen;
                }
                self.until_it_moves(&seen).await;
            };
            // Times have a resolution of one second, and the server's clock is not ours: newer than before, or of the
            // second in which we asked.
            let fresh = reconciled_at(&seen).is_some_and(|at| {
                last.is_none_or(|last| at > last) || at.as_second() >= asked.as_second()
            });
            if fresh {
                return Ok(seen);
            }
        }
    }

    async fn ask_refresh(&self, key: &AppKey) -> Result<(), Trouble> {
        if !self.run().armed.cluster() {
            return Err(Refusal::new(
                1,
                "not armed: asking Argo CD to compare now writes to the Application",
                "arm with `W` on the screen, or with --write cluster (or all)",
            )
            .into());
        }
        let began = Instant::now();
        let request = WriteRequest {
            object: self.application_ref(key),
            kind: WriteKind::MergePatch,
            body: json!({"metadata": {"annotations": {REFRESH: "normal"}}}),
            dry_run: false,
            field_manager: FIELD_MANAGER.into(),
            subresource: None,
        };
        let answer = self.ports.cluster.write(&request).await;
        let by_hand = format!(
            "kubectl -n {} annotate application {} {REFRESH}=normal --overwrite",
            key.namespace, key.name
        );
        let result = match &answer {
            Ok(_) => "200".to_owned(),
            Err(error) => error.to_string(),
        };
        self.logged(by_hand, result, began.elapsed())?;
        match answer {
            Ok(_) => Ok(()),
            // It may have landed; looking whether the comparison happened is what comes next anyway.
            Err(WriteError::Unknown { .. }) => Ok(()),
            Err(WriteError::Refused {
                code: 403, message, ..
            }) => Err(Trouble::Waiting(format!(
                "no right to ask Argo CD to compare {key}: {message}; ask for it, or hand the incident over ({})",
                self.as_whom()
            ))),
            Err(error) => Err(Trouble::failed(
                format!("ask Argo CD to compare {key}"),
                &error,
                "the permission needed is `patch applications.argoproj.io`; `trueup doctor` lists all of them",
            )),
        }
    }

    /// One guarded patch of an Application: read again, compare with what was confirmed, write with that version.
    ///
    /// `build` makes the effect from the fresh object. Losing only the version to an unrelated change is tried again;
    /// a confirmed fact that moved is a refusal by rule 2.
    pub(super) async fn patch_application(
        &self,
        key: &AppKey,
        confirmed: &Guard,
        shown: &[String],
        build: impl Fn(&Value, &trueup_core::ids::OpId) -> Result<(Effect, Value), Trouble>,
    ) -> Result<Outcome, Trouble> {
        let mut last = Outcome::NotDone {
            why: "it was not tried".into(),
        };
        for _ in 0..ATTEMPTS {
            let fresh = self.application(key).await?;
            let now = facts(&fresh);
            Self::facts_hold(&key.name, &confirmed.facts, &now).map_err(|mut refusal| {
                let policy = |facts: &BTreeMap<String, Value>| facts.get("syncPolicy").cloned();
                if policy(&confirmed.facts) != policy(&now)
                    && let Some(who) = wrote_policy(&fresh, None)
                {
                    let who = format!(" (its managed fields name {who})");
                    refusal.reason.push_str(&who);
                }
                refusal
            })?;
            let op = self.op_id();
            let (effect, patch) = build(&fresh, &op)?;
            let write = Write {
                op,
                guard: Guard {
                    resource_version: resource_version(&fresh),
                    facts: now,
                },
                shown: shown.to_vec(),
                by_hand: vec![by_hand(key, &patch)],
                effect,
            };
            let mut lost = false;
            let outcome = self
                .effect(write, async {
                    let request = WriteRequest {
                        object: self.application_ref(key),
                        kind: WriteKind::JsonPatch,
                        body: patch,
                        dry_run: false,
                        field_manager: FIELD_MANAGER.into(),
                        subresource: None,
                    };
                    match self.ports.cluster.write(&request).await {
                        Ok(object) => Outcome::Done {
                            resource_version: resource_version(&object),
                            found: false,
                        },
                        Err(error) => {
                            lost = matches!(error, WriteError::LostGuard { .. });
                            outcome_of(&error)
                        }
                    }
                })
                .await?;
            if !lost {
                return Ok(outcome);
            }
            last = outcome;
        }
        Ok(last)
    }

    /// Turns an outcome that is no success into the reason for stopping.
    pub(super) fn must_be_done(&self, what: &str, outcome: Outcome) -> Result<(), Trouble> {
        match outcome {
            Outcome::Done { .. } => Ok(()),
            Outcome::NotDone { why } if why.contains(" 403 ") => Err(Trouble::Waiting(format!(
                "cannot {what}: {why}; ask for the right, or hand the incident over ({})",
                self.as_whom()
            ))),
            Outcome::NotDone { why } => Err(Trouble::failed(
                what,
                why,
                "it was not changed: mend the cause and do it again",
            )),
            Outcome::Unknown { why } => Err(Trouble::failed(
                what,
                format!("it is not known whether it happened: {why}"),
                "it is looked up in the world before anything else: look again, or resume",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_switched_auto_sync_on_is_said_as_the_managed_fields_tell() {
        let written = |manager: &str, on: bool| {
            let fields = json!({"f:spec": {"f:syncPolicy": {"f:automated": {"f:enabled": {}}}}});
            json!({
                "metadata": {"managedFields": [
                    {"manager": "kubectl-create", "operation": "Update", "apiVersion": "argoproj.io/v1alpha1",
                     "time": "2026-11-14T07:00:00Z", "fieldsType": "FieldsV1",
                     "fieldsV1": {"f:spec": {"f:syncPolicy": {"f:automated": {".": {}, "f:prune": {}}}}}},
                    {"manager": manager, "operation": "Update", "apiVersion": "argoproj.io/v1alpha1",
                     "time": "2026-11-21T10:20:13Z", "fieldsType": "FieldsV1", "fieldsV1": fields}]},
                "spec": {"syncPolicy": {"automated": {"prune": true, "enabled": on}}},
            })
        };
        let lost = |manager, on| lost_by("it is lost".into(), &written(manager, on));
        assert_eq!(
            lost("kubectl-patch", true),
            "it is lost (its managed fields name kubectl-patch at 10:20:13Z)"
        );
        assert_eq!(lost("kubectl-patch", false), "it is lost");
        assert_eq!(lost("trueup", true), "it is lost", "what we wrote last");
        assert_eq!(lost_by("it is lost".into(), &json!({})), "it is lost");
    }
}
