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

    /// It stopped at one of several Applications that a sheet was for: what became of the others is said with it, `how` being
    /// what was done to those before it.
    pub fn part_way(mut self, how: &str, done: &[&str], left: &[&str]) -> Self {
        let others = |names: &[&str], one: &str, many: &str, how: &str| {
            let is = if names.len() == 1 { one } else { many };
            (!names.is_empty()).then(|| format!("{} {is} {how}", names.join(", ")))
        };
        let said: Vec<String> = [
            others(done, "is", "are", how),
            others(left, "was", "were", "not tried"),
        ]
        .into_iter()
        .flatten()
        .collect();
        if said.is_empty() {
            return self;
        }
        let said = said.join(", ");
        match &mut self {
            Self::Waiting(why) => *why = format!("{why}; {said}"),
            other => {
                if let Some(hint) = other.hint_mut() {
                    *hint = format!("{said}; {hint}");
                }
            }
        }
        self
    }

    /// The same, with one more thing that can be done.
    pub fn or_else(mut self, way: &str) -> Self {
        match &mut self {
            Self::Waiting(why) => *why = format!("{why}; {way}"),
            other => {
                if let Some(hint) = other.hint_mut() {
                    *hint = match hint.is_empty() {
                        true => way.to_owned(),
                        false => format!("{hint}; {way}"),
                    };
                }
            }
        }
        self
    }

    /// None of a journal that cannot be written, or a repository: that is no matter of one Application.
    fn hint_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::Refused(Refusal { hint, .. })
            | Self::Read(ReadError { hint, .. })
            | Self::Failed { hint, .. }
            | Self::TimedOut { hint, .. } => Some(hint),
            Self::Waiting(_) | Self::Journal(_) | Self::Git(_) => None,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_the_others_is_said_where_it_stopped() {
        let table: [(&[&str], &[&str], &str); 5] = [
            (&[], &[], "look again"),
            (&[], &["c"], "c was not tried; look again"),
            (&["a"], &[], "a is frozen; look again"),
            (
                &["a", "b"],
                &["d"],
                "a, b are frozen, d was not tried; look again",
            ),
            (
                &["a"],
                &["c", "d"],
                "a is frozen, c, d were not tried; look again",
            ),
        ];
        for (done, left, hint) in table {
            let refused = Trouble::from(Refusal::new(2, "it moved", "look again"));
            assert_eq!(refused.part_way("frozen", done, left).hint(), hint);
            let failed = Trouble::failed("freeze b", "no", "look again");
            assert_eq!(failed.part_way("frozen", done, left).hint(), hint);
        }
        let waiting = Trouble::Waiting("no right".into()).part_way("thawed", &["a"], &[]);
        assert_eq!(waiting.to_string(), "no right; a is thawed");
    }
}
