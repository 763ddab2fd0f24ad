//! The next thing in words: for the footer, and for somebody who takes over.

use super::Next;
use crate::text;

impl Next {
    /// The next thing that needs a person, in a few words.
    pub fn words(&self) -> String {
        match self {
            Self::LookUp { ops } => format!(
                "look up whether {} happened",
                text::count(ops.len(), "write")
            ),
            Self::ChooseScope => "choose the applications".into(),
            Self::SnapshotZero => "take snapshot 0".into(),
            Self::TryGate { gate } => text::line(&format!("try gate {gate}")),
            Self::ChooseTarget { application } => {
                text::line(&format!("target policy of {}", application.name))
            }
            Self::Arm { why, .. } => text::line(&format!("arm: {why}")),
            Self::Freeze { applications } => {
                format!("freeze {}", text::count(applications.len(), "application"))
            }
            Self::ProveFreeze { .. } => "prove that the freeze holds".into(),
            Self::Refreeze { application, .. } => {
                text::line(&format!("freeze {} again", application.name))
            }
            Self::Snapshot => "take a snapshot".into(),
            Self::Decide { fields, .. } => format!("decide {}", text::count(*fields, "field")),
            Self::Propose => "build and prove the commit".into(),
            Self::Push => "push the commit".into(),
            Self::AwaitPermission { missing, .. } => text::line(&format!("needs {missing}")),
            Self::AwaitMerge { branch, .. } => {
                text::line(&format!("wait for the merge of {branch}"))
            }
            Self::TakeHead { revision, .. } => {
                format!("take head {}", text::line(revision.short()))
            }
            Self::Predict { application, .. } => {
                text::line(&format!("predict the sync of {}", application.name))
            }
            Self::Ignore { application } => {
                text::line(&format!("put what is ignored on {}", application.name))
            }
            Self::Delete { object, .. } => text::line(&format!("delete {object}")),
            Self::AwaitGone { object, .. } => text::line(&format!("wait until {object} is gone")),
            Self::Sync { application } => text::line(&format!("sync {}", application.name)),
            Self::AwaitOperation { application, .. } => {
                text::line(&format!("wait for the sync of {}", application.name))
            }
            Self::VerifySync { application, .. } => text::line(&format!(
                "read back what the sync of {} did",
                application.name
            )),
            Self::Gate { gate, .. } => text::line(&format!("watch gate {gate}")),
            Self::Attest { gate, .. } => text::line(&format!("attest {gate}")),
            Self::Thaw { applications } => {
                format!("thaw {}", text::count(applications.len(), "application"))
            }
            Self::WatchThaw { application } => {
                text::line(&format!("watch two rounds of {}", application.name))
            }
            Self::Settle { what, .. } => text::line(&format!("settle: {what}")),
            Self::Close => "close the incident".into(),
            Self::Closed => "closed".into(),
            Self::Stopped { reason, .. } => text::line(&format!("stopped: {reason}")),
        }
    }

    /// What the walk is at, for somebody who was not there: who or what is waited for.
    pub fn waits_for(&self) -> String {
        let said = match self {
            Self::Attest {
                gate,
                asks,
                application,
            } => format!(
                "gate {gate} after {} waits for somebody who looks: {asks}",
                application.name
            ),
            Self::Gate { application, gate } => {
                format!("gate {gate} after {} has to stay green", application.name)
            }
            Self::AwaitMerge {
                branch, revision, ..
            } => format!("{branch} ({}) waits to be merged", revision.short()),
            Self::AwaitPermission { reason, .. } => reason.clone(),
            Self::Refreeze { application, why } => {
                format!(
                    "the freeze of {} was lost ({why}): freeze it again",
                    application.name
                )
            }
            other => return other.words(),
        };
        text::line(&said)
    }
}
