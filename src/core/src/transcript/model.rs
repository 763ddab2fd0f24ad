//! The transcript as data: every text in it is inert, every secret a digest.

use super::chain::Chain;
use crate::{gate::Sample, span::Span};
use jiff::Timestamp;
use serde::Serialize;

/// What is exported. Times are those of the journal.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Transcript {
    pub api_version: &'static str,
    pub kind: &'static str,
    /// The version of trueup that made it.
    pub made_by: String,
    pub incident: String,
    /// Everybody who ran it, in order.
    pub operators: Vec<String>,
    pub cluster: Cluster,
    pub opened_at: Option<Timestamp>,
    /// Time of the last record.
    pub last_at: Option<Timestamp>,
    pub duration: Span,
    /// How it stands, in a sentence.
    pub outcome: String,
    pub scope: Vec<String>,
    pub found: Vec<Group>,
    pub applications: Vec<Found>,
    pub decisions: Vec<Decided>,
    pub commits: Vec<Commit>,
    pub syncs: Vec<Sync>,
    pub freezes: Vec<Freeze>,
    pub acts: Vec<Act>,
    pub attested: Vec<Attested>,
    pub adopted: Vec<Adopted>,
    pub glass: Vec<Glass>,
    /// Said where no gate looked at what the incident was about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_symptom_gate: Option<&'static str>,
    /// What is said of gates that were green, or could not be asked, before the first change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gates_in_doubt: Vec<String>,
    /// What is said of gates that were taken away, or ask something else than they did.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gates_changed: Vec<String>,
    pub shortened: Vec<Shortened>,
    pub owed: Vec<Owed>,
    /// A shell script that does the same with kubectl and git.
    pub by_hand: String,
    pub timeline: Vec<Moment>,
    pub chain: Chain,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    pub context: String,
    pub server: String,
    pub uid: String,
    pub version: String,
}

/// The states of one object, or of one object and its copies.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// `ConfigMap auth-config`.
    pub what: String,
    pub fields: Vec<String>,
    pub states: Vec<State>,
    /// One line a question: field, class, confidence, evidence.
    pub questions: Vec<Question>,
}

/// One row of the table: where it stands and what each field holds there.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    pub place: String,
    /// In the order of the fields; empty where nothing stands.
    pub values: Vec<String>,
    /// Who wrote it and when, as far as known.
    pub writer: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    pub field: String,
    pub class: String,
    pub confidence: String,
    pub evidence: Vec<String>,
}

/// An Application as it was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    pub application: String,
    pub sync: String,
    pub health: String,
    pub auto_sync: String,
    pub off_not_before: String,
    pub off_not_after: String,
    pub evidence: Vec<String>,
    /// `14 server-default`.
    pub noise: Vec<String>,
    /// What shall stand in the end, in words.
    pub target: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decided {
    pub application: String,
    pub object: String,
    pub field: String,
    pub take: String,
    /// What Git, the last sync and the cluster held then.
    pub git: String,
    pub live: String,
    /// What shall stand in Git and in the cluster.
    pub git_wanted: String,
    pub live_wanted: String,
    /// What somebody else had done to it before, as it was shown when it was decided, and it puts back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undoes: Option<String>,
    /// What somebody did to it since, where nobody decided it anew or put it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undone: Option<String>,
    pub reason: String,
    pub by: String,
    pub at: Timestamp,
    /// When it was decided anew or taken back; it was pushed or synced before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// A push, with what it carried and how that was proven.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Commit {
    pub repository: String,
    pub branch: String,
    pub tracked: bool,
    pub commit: String,
    pub parent: String,
    pub message: String,
    pub author: String,
    /// Commits of others that it is built on, and that were not there when the incident began.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    pub by: String,
    pub at: Timestamp,
    pub outcome: String,
    pub landed: String,
    pub files: Vec<File>,
    pub proof: Vec<Proof>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct File {
    pub path: String,
    pub fields: usize,
    /// The unified diff; control characters are made visible, so it is for reading only.
    pub diff: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    pub application: String,
    pub decided: Vec<Change>,
    pub undecided: Vec<Change>,
    pub errors: Vec<String>,
}

/// A field from one value to another; an empty text is an absent field.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    pub object: String,
    pub field: String,
    pub from: String,
    pub to: String,
}

/// One sync: what was predicted, what was expected, what it did, and the gates after it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sync {
    pub application: String,
    pub revision: String,
    pub op: String,
    pub by: String,
    pub at: Timestamp,
    pub outcome: String,
    /// How the operation ended, as Argo CD says.
    pub phase: String,
    pub message: String,
    pub predicted: Option<Predicted>,
    /// The decided fields and their named consequences.
    pub expected: Vec<Change>,
    /// Read back; `None` when it was not.
    pub real: Option<Vec<Change>>,
    pub surprises: Vec<Change>,
    /// What could not be read back, since somebody wrote it after the sync.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overwritten: Vec<String>,
    pub gates: Vec<Gate>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Predicted {
    pub changes: Vec<Change>,
    pub creates: Vec<String>,
    pub extra: Vec<String>,
    pub hooks: Vec<String>,
    pub bookkeeping: Vec<String>,
    pub unexpected: Vec<Change>,
    pub missing: Vec<Change>,
    pub unknown: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gate {
    pub name: String,
    pub what: String,
    pub hold: Span,
    pub every: Span,
    pub within: Span,
    pub baseline: Option<Sample>,
    pub samples: Vec<Sample>,
    /// `passed after 10m2s`, `timed out: …`, `overridden: …`, `attested by …`, `not settled`.
    pub outcome: String,
}

/// From the freeze to the thaw, or to the last record.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Freeze {
    pub application: String,
    pub mechanism: String,
    pub set_at: Timestamp,
    pub proven_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub lasted: Span,
    /// `thawed`, `lost: …`, `still frozen`, `frozen again`.
    pub end: String,
    /// Policy as found and as it stands after the thaw.
    pub found: String,
    pub left: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Act {
    pub application: String,
    pub object: String,
    pub what: String,
    pub by: String,
    pub at: Timestamp,
    pub outcome: String,
    /// Read again after a while: did it hold?
    pub rereads: Vec<String>,
    /// Which one it takes back, and by which it was taken back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<String>,
    pub inverse: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attested {
    pub gate: String,
    /// The syncs that it speaks of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    pub who: String,
    pub saw: String,
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Adopted {
    pub at: Timestamp,
    pub application: String,
    pub what: String,
    /// Empty where nothing tells.
    pub who: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Glass {
    pub application: String,
    pub what: String,
    pub reason: String,
    pub by: String,
    pub at: Timestamp,
    /// Empty until it was reviewed.
    pub reviewed: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shortened {
    pub wait: String,
    pub from: String,
    pub to: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Owed {
    pub what: String,
    pub owner: String,
    pub until: String,
    pub blocks_close: bool,
}

/// One line of the timeline.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Moment {
    pub seq: u64,
    pub at: Timestamp,
    pub what: String,
}
