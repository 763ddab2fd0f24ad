//! Whether an operation starts by itself (`autoSync` in controller/appcontroller.go).

use std::time::Duration;

use serde_json::{Value, json};

use super::compare::{Comparison, Condition, reference};

/// Self-heal waits 2 s after the last operation, three times as long after each attempt at the same commit, at most 5 min.
const HEAL_FIRST: u64 = 2;
const HEAL_FACTOR: u64 = 3;
const HEAL_CAP: u64 = 300;

/// The policy that is in force: `enabled: false` is off, whatever else stands beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    pub on: bool,
    pub prunes: bool,
    pub heals: bool,
    pub allows_empty: bool,
}

pub fn policy(application: &Value) -> Policy {
    let automated = &application["spec"]["syncPolicy"]["automated"];
    if !automated.is_object() || automated["enabled"] == false {
        return Policy::default();
    }
    Policy {
        on: true,
        prunes: automated["prune"] == true,
        heals: automated["selfHeal"] == true,
        allows_empty: automated["allowEmpty"] == true,
    }
}

/// What auto-sync does about a comparison.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    Nothing,
    /// Not now: a `SyncError` condition says why.
    Refuse(String),
    /// Self-heal backs off.
    Later(Duration),
    /// Write this `operation`.
    Start(Value),
}

impl Decision {
    pub fn condition(&self) -> Option<Condition> {
        match self {
            Decision::Refuse(why) => Some(Condition::new("SyncError", why.clone())),
            _ => None,
        }
    }
}

pub fn decide(application: &Value, comparison: &Comparison, now: jiff::Timestamp) -> Decision {
    let policy = policy(application);
    let idle = application["operation"].is_null()
        && application["metadata"]["deletionTimestamp"].is_null();
    if !policy.on || !idle || comparison.sync_status() != "OutOfSync" {
        return Decision::Nothing;
    }
    let out: Vec<_> = comparison
        .items
        .iter()
        .filter(|item| !item.synced)
        .collect();
    if !policy.prunes && out.iter().all(|item| item.requires_pruning()) {
        return Decision::Nothing;
    }
    if policy.prunes
        && !policy.allows_empty
        && comparison.items.iter().all(|item| item.requires_pruning())
    {
        let why = format!(
            "Skipping sync attempt to {}: auto-sync will wipe out all resources",
            comparison.revision
        );
        return Decision::Refuse(why);
    }
    let spec = &application["spec"];
    let mut sync = json!({"revision": comparison.revision, "source": spec["source"]});
    if policy.prunes {
        sync["prune"] = json!(true);
    }
    if let Some(options) = spec["syncPolicy"]["syncOptions"]
        .as_array()
        .filter(|options| !options.is_empty())
    {
        sync["syncOptions"] = json!(options);
    }
    let last = &application["status"]["operationState"];
    let tried = last["syncResult"]["revision"] == comparison.revision.as_str()
        && last["syncResult"]["source"] == spec["source"];
    if tried {
        if last["phase"] != "Succeeded" {
            let why = format!(
                "Failed last sync attempt to [{}]: {}",
                comparison.revision,
                last["message"].as_str().unwrap_or_default()
            );
            return Decision::Refuse(why);
        }
        if !policy.heals {
            return Decision::Nothing;
        }
        let attempts = last["operation"]["sync"]["autoHealAttemptsCount"]
            .as_u64()
            .unwrap_or(0);
        let finished: Option<jiff::Timestamp> = last["finishedAt"]
            .as_str()
            .and_then(|text| text.parse().ok());
        let since = finished.map_or(HEAL_CAP, |at| {
            u64::try_from(now.as_second() - at.as_second()).unwrap_or(0)
        });
        let wait = HEAL_FIRST
            .saturating_mul(HEAL_FACTOR.saturating_pow(u32::try_from(attempts).unwrap_or(8).min(8)))
            .min(HEAL_CAP);
        if since < wait {
            return Decision::Later(Duration::from_secs(wait - since));
        }
        // A heal that has held for the longest wait is forgotten.
        sync["autoHealAttemptsCount"] = json!(if since >= HEAL_CAP { 1 } else { attempts + 1 });
        let partial: Vec<Value> = out
            .iter()
            .map(|item| {
                let mut entry = reference(&item.target_ref);
                entry.shift_remove("version");
                entry.shift_remove("namespace");
                Value::Object(entry)
            })
            .collect();
        sync["resources"] = json!(partial);
    }
    let retry = match &spec["syncPolicy"]["retry"] {
        Value::Null => json!({"limit": 5}),
        retry => retry.clone(),
    };
    Decision::Start(json!({"sync": sync, "retry": retry, "initiatedBy": {"automated": true}}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::argo::compare::Item;
    use crate::cluster::{Gvk, Ref};

    fn comparison(synced: bool, target: bool) -> Comparison {
        Comparison {
            revision: "abc".to_owned(),
            source: None,
            copies: Vec::new(),
            items: vec![Item {
                target_ref: Ref::new(Gvk::new("", "v1", "ConfigMap"), "auth", "auth-config"),
                target: target.then(|| json!({})),
                live: Some(json!({})),
                synced,
                wave: 0,
            }],
            conditions: vec![],
        }
    }

    #[test]
    fn a_tried_commit_is_healed_or_left_and_a_failed_one_is_refused() {
        let now: jiff::Timestamp = "2024-11-19T12:00:10Z".parse().unwrap();
        let app = |automated: Value, phase: &str| {
            json!({"spec": {"source": {"path": "p"}, "syncPolicy": {"automated": automated}},
                "status": {"operationState": {"phase": phase, "finishedAt": "2024-11-19T12:00:00Z", "syncResult": {"revision": "abc", "source": {"path": "p"}}}}})
        };
        let out = comparison(false, true);
        assert_eq!(
            decide(&app(Value::Null, "Succeeded"), &out, now),
            Decision::Nothing
        );
        assert_eq!(
            decide(
                &app(json!({"enabled": false, "selfHeal": true}), "Succeeded"),
                &out,
                now
            ),
            Decision::Nothing
        );
        assert_eq!(
            decide(&app(json!({}), "Succeeded"), &out, now),
            Decision::Nothing
        );
        assert!(matches!(
            decide(&app(json!({"selfHeal": true}), "Failed"), &out, now),
            Decision::Refuse(_)
        ));
        let Decision::Start(heal) = decide(&app(json!({"selfHeal": true}), "Succeeded"), &out, now)
        else {
            panic!()
        };
        assert_eq!(
            heal["sync"]["resources"][0],
            json!({"kind": "ConfigMap", "name": "auth-config"})
        );
        let early = "2024-11-19T12:00:01Z".parse().unwrap();
        assert!(matches!(
            decide(&app(json!({"selfHeal": true}), "Succeeded"), &out, early),
            Decision::Later(_)
        ));
        // Only a live object too many: nothing without prune, and never all of them at once.
        assert_eq!(
            decide(&app(json!({}), ""), &comparison(false, false), now),
            Decision::Nothing
        );
        assert!(matches!(
            decide(
                &app(json!({"prune": true}), ""),
                &comparison(false, false),
                now
            ),
            Decision::Refuse(_)
        ));
    }

    #[test]
    fn a_new_commit_is_synced_in_full() {
        let app = json!({"spec": {"source": {}, "syncPolicy": {"automated": {"prune": true}}}});
        let Decision::Start(operation) =
            decide(&app, &comparison(false, true), jiff::Timestamp::now())
        else {
            panic!()
        };
        assert_eq!(
            operation,
            json!({"sync": {"revision": "abc", "source": {}, "prune": true}, "retry": {"limit": 5}, "initiatedBy": {"automated": true}})
        );
    }
}
