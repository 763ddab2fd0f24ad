//! Live actions tried out: what the server would refuse or drop is told before it is written.

use serde_json::Value;
use trueup_core::{
    object::identity::AppKey,
    policy::FIELD_MANAGER,
    sheet::{Command, Refusal},
    text,
};

use super::super::{state::Engine, trouble::Trouble};
use super::act::{Worked, patch_stands};
use crate::ports::{WriteError, WriteKind, WriteRequest};

/// What the server says to a live action that it does not keep.
pub(in super::super) enum Tried {
    Taken,
    /// Refused, or taken without effect.
    Refused(String),
    /// It could not be asked; why.
    Unknown(String),
}

impl Engine {
    /// Asks the server by a dry run what it would do with a live action. It needs the right that the write itself needs.
    pub(in super::super) async fn try_out(
        &self,
        key: &AppKey,
        worked: &Worked,
    ) -> Result<Tried, Trouble> {
        let request = WriteRequest {
            object: worked.object.clone(),
            kind: WriteKind::JsonPatch,
            body: worked.patch.clone(),
            dry_run: true,
            field_manager: FIELD_MANAGER.to_owned(),
            subresource: None,
        };
        let tried = self.destination(key).await?.write(&request).await;
        Ok(match tried {
            Ok(answer) if not_taken(worked, &answer) => Tried::Refused(dropped(worked, &answer)),
            Ok(_) => Tried::Taken,
            Err(error) => match &error {
                WriteError::Refused { code, message, .. }
                    if *code != 401
                        && *code != 403
                        && *code != 429
                        && !message.contains(NO_DRY_RUN) =>
                {
                    Tried::Refused(text::line(&error.to_string()))
                }
                _ => Tried::Unknown(text::line(&error.to_string())),
            },
        })
    }

    /// Refuses a live action that the server would refuse or drop.
    pub async fn would_take(&self, command: &Command) -> Result<(), Trouble> {
        match command {
            Command::Act {
                application,
                object,
                action,
                ..
            } => {
                let worked = self.work_out(application, object, action).await?;
                self.must_take(application, &worked).await
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn must_take(&self, key: &AppKey, worked: &Worked) -> Result<(), Trouble> {
        match self.try_out(key, worked).await? {
            Tried::Taken | Tried::Unknown(_) => Ok(()),
            Tried::Refused(why) => Err(Refusal::new(
                0,
                text::line(&format!("{} was not changed: {why}", worked.object)),
                "it was tried out with a dry run, and nothing was written; name a field and a value that the object can have",
            )
            .into()),
        }
    }
}

/// Whether a write that the server took left the field as it was.
pub(super) fn not_taken(worked: &Worked, answer: &Value) -> bool {
    let before = worked.guard.facts.get(&worked.field.to_string());
    let before = before.filter(|value| !value.is_null());
    !patch_stands(&worked.change, answer) && worked.field.get(answer) == before
}

/// What a server says that cannot try a write out, since something that admits it cannot.
const NO_DRY_RUN: &str = "does not support dry run";
/// How an outcome begins that says so.
pub(super) const DROPPED: &str = "the server dropped it";

/// Why a write that the server took changed nothing.
pub(super) fn dropped(worked: &Worked, answer: &Value) -> String {
    let Worked { object, field, .. } = worked;
    text::line(&match field.get(answer) {
        None => format!(
            "{DROPPED}: a {} has no {field} by its schema, or something that admits writes took it out",
            object.kind
        ),
        Some(is) => format!(
            "{DROPPED}: it answered that {field} is {} still, by a default of the field or by something that admits writes",
            text::value(is)
        ),
    })
}
