//! What became of a write that was in flight: found out in the world, never guessed.

use serde_json::Value;
use trueup_core::{
    event::{Effect, Outcome},
    ids::OpId,
    policy::Note,
};

use super::{
    state::Engine,
    steps::{act::patch_stands, application::resource_version},
    trouble::Trouble,
};

impl Engine {
    /// Looks up every write without a certain outcome.
    pub(super) async fn look_up(&self, ops: &[OpId]) -> Result<(), Trouble> {
        let run = self.run();
        for id in ops {
            let Some(op) = run.ops.get(id) else { continue };
            match &op.effect {
                Effect::Push { .. } => self.look_up_push(id, &op.effect).await?,
                Effect::Act {
                    application,
                    object,
                    action,
                    ..
                } => {
                    self.look_up_act(id, op, application, object, action)
                        .await?
                }
                Effect::Delete {
                    application,
                    object,
                    uid,
                    ..
                } => {
                    let outcome = self.look_up_delete(op, application, object, uid).await?;
                    self.end(id, outcome)?;
                }
                Effect::Freeze { application, .. } => {
                    let seen = self.application(application).await?;
                    let outcome = found_by_mark(Some(&seen), |seen| {
                        Note::of(seen).is_some_and(|note| note.op == id.as_str())
                    });
                    self.end(id, outcome)?;
                }
                Effect::Sync { application, .. } => {
                    let seen = self.application(application).await?;
                    let outcome =
                        found_by_mark(Some(&seen), |seen| Self::operation_is_ours(seen, id));
                    self.end(id, outcome)?;
                }
                Effect::Ignore {
                    application, patch, ..
                } => {
                    let seen = self.application(application).await?;
                    let outcome = found_by_mark(Some(&seen), |seen| patch_stands(patch, seen));
                    self.end(id, outcome)?;
                }
                Effect::Thaw { application, .. } => {
                    let seen = self.application(application).await?;
                    let outcome = found_by_mark(Some(&seen), |seen| Note::of(seen).is_none());
                    self.end(id, outcome)?;
                }
            }
        }
        Ok(())
    }
}

/// The mark of the write is there: it happened. Otherwise it did not, and cannot any more: it carried the version that
/// was read before it, and either that version is gone, or the request of a process that is dead has not come and is
/// overtaken by the next write.
fn found_by_mark(seen: Option<&Value>, marked: impl Fn(&Value) -> bool) -> Outcome {
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
    Outcome::NotDone {
        why: "the object does not carry it".into(),
    }
}
