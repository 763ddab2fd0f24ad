//! The deletion of one object that it was decided of: shown by itself, guarded by what was read, watched to its end.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};
use trueup_core::{
    event::{Effect, Guard, Outcome},
    ids::Digest,
    object::{
        identity::{AppKey, ObjectRef},
        manifest::manifest,
        normalise::strip,
    },
    policy::FIELD_MANAGER,
    run::Op,
    sheet::{Command, Refusal, Sheet},
    text,
};

use super::super::{
    state::{Engine, Write},
    trouble::{Trouble, outcome_of},
};
use super::act::LATE;
use super::application::{ATTEMPTS, POLL, resource_version};
use crate::ports::{Cluster, WriteError, WriteKind, WriteRequest};

/// Kinds whose deletion takes pods along.
const WORKLOADS: [&str; 7] = [
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "Job",
    "CronJob",
    "Pod",
];

impl Engine {
    /// The cluster that an Application deploys to.
    pub(in super::super) async fn destination(
        &self,
        key: &AppKey,
    ) -> Result<Arc<dyn Cluster>, Trouble> {
        let (world, _) = self.seen_or_look().await?;
        let Some(app) = world.applications.get(key) else {
            return Err(Trouble::failed(
                format!("reach what {key} deployed"),
                "it was not found",
                "look again",
            ));
        };
        match self.reader.cluster_of(&app.destination) {
            Some(cluster) => Ok(Arc::clone(cluster)),
            None => Err(Trouble::failed(
                format!("reach what {key} deployed"),
                text::line(&format!(
                    "no context is known for its destination {:?}",
                    app.destination.cluster
                )),
                "start with --destination NAME=CONTEXT",
            )),
        }
    }

    /// What will be deleted, on fresh facts; the server has said in a dry run that it would.
    pub(in super::super) async fn delete_sheet(
        &self,
        command: &Command,
        key: &AppKey,
        object: &ObjectRef,
    ) -> Result<Sheet, Trouble> {
        // The rules are asked on what is there now: the decision was made on an object that may be another one.
        let (_, now) = self.look().await?;
        trueup_core::rules::check(&self.run(), &now, command)?;
        let cluster = self.destination(key).await?;
        let live = there(cluster.as_ref(), object).await?;
        let guard = guard_of(&live);
        cluster
            .write(&request(object, options(&guard), true))
            .await
            .map_err(|error| refused(object, &error, &self.as_whom()))?;

        let run = self.run();
        let decision = run.to_delete(key).find(|(cell, _)| cell.object == *object);
        let mut sheet = self.blank(command, text::line(&format!("delete {object}")));
        if cluster.context() != run.pin.context {
            sheet.place = text::line(&format!(
                "{} (destination of {key}; Argo CD on {})",
                cluster.context(),
                sheet.place
            ));
        }
        sheet.objects = vec![text::line(&object.to_string())];
        let uid = uid_of(&live);
        sheet.will = vec![text::line(&format!(
            "delete {object} (uid {uid}, made {}) from the cluster, in the background",
            live.pointer("/metadata/creationTimestamp")
                .and_then(Value::as_str)
                .unwrap_or("at an unknown time")
        ))];
        if let Some((_, decision)) = decision {
            sheet.will.push(text::line(&format!(
                "as {} decided: {}",
                decision.by, decision.reason
            )));
        }
        sheet.assumes = vec![
            "the same object with the same content as read now".into(),
            "Git does not have it, so that no sync makes it again".into(),
        ];
        sheet.by_hand = vec![by_hand(object)];
        sheet.undo = vec![undo(object, &live)];
        sheet.warnings = warnings(object, &live);
        sheet.guards = vec![guard.clone()];
        sheet.effects = vec![Effect::Delete {
            application: key.clone(),
            object: object.clone(),
            uid,
            kept: Digest::of(live.to_string().as_bytes()),
            options: options(&guard),
        }];
        Ok(sheet)
    }

    /// Does what the sheet showed: one request for one object, then waits until it is gone.
    pub(in super::super) async fn delete(&self, sheet: &Sheet) -> Result<(), Trouble> {
        for (effect, confirmed) in sheet.effects.iter().zip(&sheet.guards) {
            let Effect::Delete {
                application: key,
                object,
                ..
            } = effect
            else {
                continue;
            };
            let cluster = self.destination(key).await?;
            let mut last = Outcome::NotDone {
                why: "it was not tried".into(),
            };
            for _ in 0..ATTEMPTS {
                self.must_hold(key).await?;
                let live = there(cluster.as_ref(), object).await?;
                let guard = guard_of(&live);
                Self::facts_hold(&object.to_string(), &confirmed.facts, &guard.facts)?;
                let options = options(&guard);
                let write = Write {
                    op: self.op_id(),
                    effect: Effect::Delete {
                        application: key.clone(),
                        object: object.clone(),
                        uid: uid_of(&live),
                        kept: self.keep(live.to_string().as_bytes())?,
                        options: options.clone(),
                    },
                    guard,
                    shown: sheet.will.clone(),
                    by_hand: sheet.by_hand.clone(),
                };
                let mut lost = false;
                last = self
                    .effect(write, async {
                        match cluster.write(&request(object, options, false)).await {
                            Ok(_) => Outcome::Done {
                                resource_version: None,
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
                    break;
                }
            }
            self.must_be_done(&format!("delete {object}"), last)?;
            self.await_gone(key, object).await?;
        }
        Ok(())
    }

    /// Waits until nothing holds a deleted object any more.
    pub(in super::super) async fn await_gone(
        &self,
        key: &AppKey,
        object: &ObjectRef,
    ) -> Result<(), Trouble> {
        let cluster = self.destination(key).await?;
        let limit = self.run().waits.sync_deadline.0;
        let what = text::line(&format!("{object} to be gone (its finalizers hold it)"));
        self.waiting(what, limit, async {
            while cluster.get(object).await?.is_some_and(|live| going(&live)) {
                self.pause(POLL).await;
            }
            Ok(())
        })
        .await?;
        self.look().await?;
        Ok(())
    }

    /// Whether the object that a deletion meant is gone, or on its way. While it stands at the version that the request
    /// carried, the request of a process that died may still be under way.
    pub(in super::super) async fn look_up_delete(
        &self,
        op: &Op,
        key: &AppKey,
        object: &ObjectRef,
        uid: &str,
    ) -> Result<Outcome, Trouble> {
        let cluster = self.destination(key).await?;
        loop {
            let seen = cluster.get(object).await?;
            let Some(live) = seen.filter(|live| uid_of(live) == uid && !going(live)) else {
                return Ok(Outcome::Done {
                    resource_version: None,
                    found: true,
                });
            };
            let not = |why: String| Ok(Outcome::NotDone { why });
            if resource_version(&live) != op.guard.resource_version {
                return not(
                    "the object has another version, which the request does not delete any more"
                        .into(),
                );
            }
            let age = self.ports.clock.now().duration_since(op.intended_at);
            if age.unsigned_abs() >= LATE {
                return not(format!(
                    "the object is there as it was after {} s",
                    LATE.as_secs()
                ));
            }
            self.pause(POLL).await;
        }
    }
}

/// The object is being deleted.
pub(in super::super) fn going(live: &Value) -> bool {
    live.pointer("/metadata/deletionTimestamp")
        .is_some_and(|at| !at.is_null())
}

async fn there(cluster: &dyn Cluster, object: &ObjectRef) -> Result<Value, Trouble> {
    cluster.get(object).await?.ok_or_else(|| {
        Refusal::new(
            0,
            text::line(&format!("{object} does not exist any more")),
            "somebody deleted it meanwhile: look again",
        )
        .into()
    })
}

fn uid_of(live: &Value) -> String {
    live.pointer("/metadata/uid")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// What is confirmed of the object: which one it is, and what it holds. Its status may move.
fn guard_of(live: &Value) -> Guard {
    let content = Digest::of(strip(live).object.to_string().as_bytes());
    Guard {
        resource_version: resource_version(live),
        facts: BTreeMap::from([
            ("uid".to_owned(), json!(uid_of(live))),
            ("content".to_owned(), json!(content)),
        ]),
    }
}

fn options(guard: &Guard) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": guard.facts.get("uid"), "resourceVersion": guard.resource_version},
        "propagationPolicy": "Background",
    })
}

fn request(object: &ObjectRef, options: Value, dry_run: bool) -> WriteRequest {
    WriteRequest {
        object: object.clone(),
        kind: WriteKind::Delete,
        body: options,
        dry_run,
        field_manager: FIELD_MANAGER.into(),
        subresource: None,
    }
}

fn refused(object: &ObjectRef, error: &WriteError, as_whom: &str) -> Trouble {
    match error {
        WriteError::Refused {
            code: 403, message, ..
        } => Trouble::Waiting(text::line(&format!(
            "no right to delete {object}: {message}; ask for it, or hand the incident over ({as_whom})"
        ))),
        other => Trouble::failed(
            text::line(&format!("delete {object}")),
            format!("the server refuses it in a dry run: {other}"),
            "mend the cause, or decide to keep the object",
        ),
    }
}

fn by_hand(object: &ObjectRef) -> String {
    let kind = match object.group.as_str() {
        "" => object.kind.to_lowercase(),
        group => format!("{}.{group}", object.kind.to_lowercase()),
    };
    let namespace = object
        .namespace
        .as_ref()
        .map_or_else(String::new, |n| format!(" -n {n}"));
    text::line(&format!("kubectl{namespace} delete {kind} {}", object.name))
}

fn undo(object: &ObjectRef, live: &Value) -> String {
    if object.kind == "Secret" && object.group.is_empty() {
        return "none: its values are not kept here; keep a copy elsewhere first if it is needed"
            .into();
    }
    text::line(&format!(
        "printf '%s' '{}' | kubectl create -f - (a new object: what it owned is not brought back)",
        manifest(live).to_string().replace('\'', r"'\''")
    ))
}

fn warnings(object: &ObjectRef, live: &Value) -> Vec<String> {
    let mut said = vec![
        "a deletion cannot be taken back: only another object of its name can be made".to_owned(),
    ];
    if WORKLOADS.contains(&object.kind.as_str()) {
        said.push("its pods go with it".into());
    }
    if ["PersistentVolumeClaim", "PersistentVolume"].contains(&object.kind.as_str()) {
        said.push("the data may go with it: see the reclaim policy of the volume first".into());
    }
    let held: Vec<&str> = live
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if !held.is_empty() {
        said.push(text::line(&format!(
            "it stays until its finalizers let go: {}",
            held.join(", ")
        )));
    }
    said
}
