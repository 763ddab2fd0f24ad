//! Why something was not done, with what the operator can do about it and the exit code that says so.

use trueup_core::sheet::Refusal;

use crate::{
    journal::JournalError,
    ports::{GitError, ReadError, WriteError},
};

/// Everything that can stand in the way of a step.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error("{}", .0.reason)]
    Refused(Refusal),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Git(#[from] GitError),
    #[error("cannot {what}: {why}")]
    Failed {
        what: String,
        why: String,
        hint: String,
    },
    /// A deadline passed.
    #[error("{what} did not happen within {limit}")]
    TimedOut {
        what: String,
        limit: String,
        hint: String,
    },
    /// It waits for a person, a merge, or a permission.
    #[error("{0}")]
    Waiting(String),
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Trouble {
    pub fn failed(what: impl Into<String>, why: impl ToString, hint: impl Into<String>) -> Self {
        Self::Failed {
            what: what.into(),
            why: trueup_core::text::line(&why.to_string()),
            hint: hint.into(),
        }
    }

    /// What the operator can do now.
    pub fn hint(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.hint.clone(),
            Self::Journal(error) => error.hint(),
            Self::Read(error) => error.hint.clone(),
            Self::Git(error) => error.hint.clone(),
            Self::Failed { hint, .. } | Self::TimedOut { hint, .. } => hint.clone(),
            Self::Waiting(_) => String::new(),
        }
    }

    /// The promised exit code.
    pub fn exit(&self) -> i32 {
        match self {
            Self::Refused(_) => 3,
            Self::Journal(JournalError::Held { .. }) | Self::Waiting(_) | Self::TimedOut { .. } => {
                4
            }
            Self::Journal(_) | Self::Read(_) | Self::Git(_) | Self::Failed { .. } => 2,
        }
    }
}

/// What a failed write says of the world.
pub fn outcome_of(error: &WriteError) -> trueup_core::event::Outcome {
    use trueup_core::event::Outcome;
    match error {
        WriteError::Unknown { .. } => Outcome::Unknown {
            why: trueup_core::text::line(&error.to_string()),
        },
        WriteError::LostGuard { .. } | WriteError::Refused { .. } | WriteError::NotSent { .. } => {
            Outcome::NotDone {
                why: trueup_core::text::line(&error.to_string()),
            }
        }
    }
}
