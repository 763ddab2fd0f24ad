//! What became of a write that was in flight: found out in the world, never guessed.

use serde_json::Value;
use trueup_core::{
    event::{Effect, Outcome},
    ids::OpId,
    object::identity::AppKey,
    policy::Note,
    run::Op,
};

use super::{state::Engine, steps::application::resource_version, trouble::Trouble};

impl Engine {
    /// Looks up every write without a certain outcome.
    pub(super) async fn look_up(&self, ops: &[OpId]) -> Result<(), Trouble> {
        let run = self.run();
        for id in ops {
            let Some(op) = run.ops.get(id) else { continue };
            match &op.effect {
                Effect::Push { .. } => self.look_up_push(id, &op.effect).await?,
                Effect::Act { object, .. } => {
                    let seen = self.ports.cluster.get(object).await?;
                    self.end(id, found_by_version(op, seen.as_ref(), |_| false))?;
                }
                Effect::Freeze { application, .. } => {
                    let marked =
                        |seen: &Value| Note::of(seen).is_some_and(|note| note.op == id.as_str());
                    self.look_up_patch(id, op, application, marked).await?;
                }
                Effect::Sync { application, .. } => {
                    let marked = |seen: &Value| Self::operation_is_ours(seen, id);
                    self.look_up_patch(id, op, application, marked).await?;
                }
                Effect::Ignore {
                    application, patch, ..
                } => {
                    let seen = self.application(application).await?;
                    let outcome =
                        found_by_version(op, Some(&seen), |seen| patch_stands(patch, seen));
                    self.end(id, outcome)?;
                }
                Effect::Thaw { application, .. } => {
                    let marked = |seen: &Value| Note::of(seen).is_none();
                    self.look_up_patch(id, op, application, marked).await?;
                }
            }
        }
        Ok(())
    }

    /// Looks up a patch of an Application. When its mark is not there, the request may still be on its way from a process
    /// that is dead: asking for a refresh moves the version that it carries, so that it cannot land any more, and then the
    /// Application is read once more.
    async fn look_up_patch(
        &self,
        id: &OpId,
        op: &Op,
        application: &AppKey,
        marked: impl Fn(&Value) -> bool,
    ) -> Result<(), Trouble> {
        let mut seen = self.application(application).await?;
        if !marked(&seen) {
            self.ask_refresh(application).await?;
            seen = self.application(application).await?;
        }
        self.end(id, found_by_version(op, Some(&seen), marked))
    }
}

/// The mark of the write is there: it happened. Otherwise it did not, and cannot any more: it carried the version that
/// was read before it, and that version is gone.
fn found_by_version(op: &Op, seen: Option<&Value>, marked: impl Fn(&Value) -> bool) -> Outcome {
    let Some(seen) = seen else {
        return Outcome::NotDone {
            why: "the object does not exist any more".into(),
        };
    };
    if marked(seen) {
        return Outcome::Done {
            resource_version: resource_version(seen),
            found: true,
        };
    }
    if let Effect::Act { patch, .. } = &op.effect
        && patch_stands(patch, seen)
    {
        return Outcome::Done {
            resource_version: resource_version(seen),
            found: true,
        };
    }
    Outcome::NotDone {
        why: "the object does not carry it".into(),
    }
}

/// Whether every value that a JSON Patch sets stands, and everything that it removes is gone.
fn patch_stands(patch: &Value, seen: &Value) -> bool {
    patch.as_array().is_some_and(|ops| {
        ops.iter().all(|op| {
            let path = op.get("path").and_then(Value::as_str).unwrap_or_default();
            match op.get("op").and_then(Value::as_str) {
                Some("test") => true,
                Some("remove") => seen.pointer(path).is_none(),
                _ => seen.pointer(path) == op.get("value"),
            }
        })
    })
}
