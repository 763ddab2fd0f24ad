//! The durable events of an incident: what the journal holds and the state is folded from.
//!
//! Serialised means promised: variants and fields are added, never renamed. The journal frames each event in a
//! [`Record`]; a record of an unknown `type` is kept as it is and ignored by the fold.

use crate::{
    decision::{CellKey, Decision, Sides},
    gate::Sample,
    ids::{Commit, Digest, IncidentId, OpId},
    object::{
        identity::{AppKey, ObjectRef},
        path::FieldPath,
    },
    plan::{Action, Gate, Plan, Target},
    span::Span,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// An event with its place in the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Counts from 1 without a gap.
    pub seq: u64,
    /// Wall clock when it was written; order is by `seq`, never by time.
    pub time: Timestamp,
    #[serde(flatten)]
    pub event: Event,
}

/// Which cluster this is; anything else answering under its name is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterPin {
    pub context: String,
    pub server: String,
    /// SHA-256 of the certificate authority, empty when the kubeconfig has none.
    #[serde(default)]
    pub ca_digest: String,
    /// uid of the namespace `kube-system`, or of Argo CD's namespace where that one cannot be read.
    pub uid: String,
    #[serde(default)]
    pub version: String,
}

/// How the world is reached; enough to resume with nothing but the state folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    pub kubeconfig: Option<String>,
    pub context: Option<String>,
    /// Argo CD's namespace.
    pub namespace: String,
    pub prometheus: Option<String>,
    /// `--repo`: the URL that Argo CD has, to the one that reaches it from here.
    #[serde(default)]
    pub repositories: BTreeMap<String, String>,
}

/// How long things are waited for. Shorter than the default is journaled as *shortened*.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Waits {
    /// Between the two observations that prove a freeze.
    pub freeze_hold: Span,
    /// Caps every gate's `for`.
    pub gate_for: Option<Span>,
    pub gate_every: Option<Span>,
    pub gate_within: Option<Span>,
    /// For a refresh to be consumed.
    pub refresh_deadline: Span,
    pub sync_deadline: Span,
    pub health_deadline: Span,
    /// Between a thaw and the last of the two reconcile rounds that are watched after it: self-heal acts after 5 s
    /// (`--self-heal-timeout-seconds`).
    pub thaw_hold: Span,
    /// For each of those rounds.
    pub thaw_deadline: Span,
    pub merge_deadline: Span,
    /// Between a live action and the two times that it is read again.
    pub act_reread_first: Span,
    pub act_reread_last: Span,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            freeze_hold: Span::seconds(20),
            gate_for: None,
            gate_every: None,
            gate_within: None,
            refresh_deadline: Span::seconds(60),
            sync_deadline: Span::seconds(600),
            health_deadline: Span::seconds(600),
            thaw_hold: Span::seconds(15),
            thaw_deadline: Span::seconds(180),
            merge_deadline: Span::seconds(3600),
            act_reread_first: Span::seconds(5),
            act_reread_last: Span::seconds(30),
        }
    }
}

/// What may be written. Ordered: each allows what the ones before it allow, except that `Git` and `Cluster` do not include each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Armed {
    #[default]
    Nothing,
    Git,
    Cluster,
    All,
}

impl Armed {
    pub fn git(self) -> bool {
        matches!(self, Self::Git | Self::All)
    }
    pub fn cluster(self) -> bool {
        matches!(self, Self::Cluster | Self::All)
    }
}

/// How auto-sync is kept off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mechanism {
    /// Nothing to switch off; the note records the freeze.
    NoteOnly,
    /// `automated.enabled: false` (Argo CD 3.1 and newer).
    Disable,
    /// `automated` taken out.
    Remove,
}

/// One external write, exactly. Its op-id is kept by the world beside the effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "effect",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Effect {
    Freeze {
        application: AppKey,
        mechanism: Mechanism,
        /// `spec.syncPolicy` as found; `null` when absent.
        found: Value,
        patch: Value,
        /// The incident that had frozen it before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
    },
    Push {
        repository: String,
        branch: String,
        commit: Commit,
        parent: Commit,
        /// The blob that holds the commit's objects.
        bundle: Digest,
        /// Whether Argo CD follows this branch.
        tracked: bool,
    },
    Sync {
        application: AppKey,
        revision: Commit,
        patch: Value,
    },
    /// The Application ignores fields from now on, as its declaration in Git does: nothing else would apply that.
    Ignore {
        application: AppKey,
        /// `Kind/name in namespace` and JSON pointer, each.
        fields: Vec<String>,
        patch: Value,
        /// The patch that takes it back.
        inverse: Value,
    },
    Thaw {
        application: AppKey,
        /// `automated` as it shall stand; `null` when auto-sync stays off.
        automated: Value,
        patch: Value,
        /// `startedAt` of the last operation before it: what Argo CD starts afterwards is another one. Times have a resolution
        /// of one second.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        operation_before: Option<String>,
    },
    Act {
        application: AppKey,
        object: ObjectRef,
        action: Action,
        patch: Value,
        /// The patch that takes it back.
        inverse: Value,
        /// The field that is set; none where nothing of it belongs into Git.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cell: Option<CellKey>,
        /// Why, as whoever confirmed it said.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// One object is deleted that Git does not have, because that was decided of exactly this object.
    Delete {
        application: AppKey,
        object: ObjectRef,
        uid: String,
        /// The blob with the object as it was, secret values as digests.
        kept: Digest,
        /// The `DeleteOptions` that were sent: uid and resourceVersion as preconditions.
        options: Value,
    },
}

impl Effect {
    /// The Application that it concerns, if it concerns one.
    pub fn application(&self) -> Option<&AppKey> {
        match self {
            Self::Freeze { application, .. }
            | Self::Sync { application, .. }
            | Self::Ignore { application, .. }
            | Self::Thaw { application, .. }
            | Self::Act { application, .. }
            | Self::Delete { application, .. } => Some(application),
            Self::Push { .. } => None,
        }
    }

    /// The verb, for a sentence.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Freeze { .. } => "freeze",
            Self::Push { .. } => "push",
            Self::Sync { .. } => "sync",
            Self::Ignore { .. } => "change of what is ignored",
            Self::Thaw { .. } => "thaw",
            Self::Act { .. } => "act on",
            Self::Delete { .. } => "deletion",
        }
    }
}

/// What the operator confirmed and what is read again right before the write.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Guard {
    /// The version the write carries: together with the op-id it makes a repeated request land at most once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// Facts by name: `uid`, `source`, `syncPolicy`, `operation`, values replaced, `parent`.
    #[serde(default)]
    pub facts: BTreeMap<String, Value>,
}

/// How an external write ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "outcome",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Outcome {
    Done {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resource_version: Option<String>,
        /// Found in the world on resume rather than answered to us.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        found: bool,
    },
    /// Certainly nothing changed.
    NotDone { why: String },
    /// It may have happened; to be looked up before anything else.
    Unknown { why: String },
}

/// One observation of a freeze.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HoldSample {
    pub at: Timestamp,
    pub holds: bool,
    pub why: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconciled_at: Option<Timestamp>,
}

/// A field of an object, from one value to another. `None`: absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Changed {
    pub object: ObjectRef,
    pub field: FieldPath,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
}

/// A field that somebody wrote between the end of a sync and its read-back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Overwritten {
    pub object: ObjectRef,
    pub field: FieldPath,
    /// What the sync was predicted to make of it; `None` when it was not to touch the field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted: Option<Changed>,
    /// What stands there now. `None`: absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is: Option<Value>,
    /// Whom its managed fields name, and when they wrote it.
    pub who: String,
    pub at: Timestamp,
}

/// What a sync will do, compared with what was decided.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Prediction {
    /// Every field that moves, bookkeeping left out.
    pub changes: Vec<Changed>,
    pub creates: Vec<ObjectRef>,
    /// Live objects that Git does not have; left alone because prune is off.
    pub extra: Vec<ObjectRef>,
    /// Hooks that will run.
    pub hooks: Vec<String>,
    /// What is listed and not compared: resourceVersion, managed fields, last-applied, tracking.
    pub bookkeeping: Vec<String>,
    /// Changes nobody decided.
    pub unexpected: Vec<Changed>,
    /// Decided changes that the sync would not make.
    pub missing: Vec<Changed>,
    /// Objects whose effect cannot be predicted, with the reason.
    pub unknown: Vec<Unpredicted>,
    /// The blob with the live objects that it was computed from, to compare with afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Digest>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unpredicted {
    pub object: ObjectRef,
    pub why: String,
}

impl Prediction {
    /// Nothing unexpected, nothing missing, nothing unknown.
    pub fn as_expected(&self) -> bool {
        self.unexpected.is_empty() && self.missing.is_empty() && self.unknown.is_empty()
    }
    /// Nothing but bookkeeping moves.
    pub fn no_change(&self) -> bool {
        self.changes.is_empty() && self.creates.is_empty() && self.unknown.is_empty()
    }
}

/// A commit that was built and proven, and not pushed yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proposal {
    pub repository: String,
    /// Where it will be pushed.
    pub branch: String,
    /// The branch that the Applications follow.
    pub tracked: String,
    pub commit: Commit,
    pub parent: Commit,
    pub message: String,
    pub author: String,
    #[serde(default, skip_serializing_if = "AuthorFrom::is_unknown")]
    pub author_from: AuthorFrom,
    pub bundle: Digest,
    pub files: Vec<FileDiff>,
    pub proof: Vec<ProofLine>,
    /// The cells it settles in Git.
    pub cells: Vec<CellKey>,
    /// What others brought to the tracked branch since the incident saw it first: it is built on that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Foreign>,
}

/// A commit of somebody else, the oldest first where there are several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Foreign {
    pub commit: Commit,
    pub author: String,
    pub subject: String,
}

/// Who said whose name a commit carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AuthorFrom {
    /// The journal is of before it was kept.
    #[default]
    Unknown,
    Settings,
    /// Git's configuration, or its environment.
    Git,
    /// Nobody: it is made of the operator's name and the host's.
    Operator,
}

impl AuthorFrom {
    fn is_unknown(&self) -> bool {
        *self == Self::Unknown
    }

    /// For `NAME <MAIL>, from …`; empty where it is not known.
    pub fn words(self) -> &'static str {
        match self {
            Self::Unknown => "",
            Self::Settings => "the settings file",
            Self::Git => "Git's configuration",
            Self::Operator => "the operator's name, since Git's configuration names nobody",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileDiff {
    pub path: String,
    /// Unified diff with three lines of context.
    pub diff: String,
    pub fields: usize,
}

/// What the commit changes in the rendering of one Application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProofLine {
    pub application: AppKey,
    pub decided: Vec<Changed>,
    /// Must be empty for the commit to be proven.
    pub undecided: Vec<Changed>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

/// Something that has to be settled before the incident closes, or that is handed over with an owner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Obligation {
    pub id: String,
    pub what: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<AppKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Whether the incident may not close while it is open.
    pub blocks_close: bool,
    /// The command that settles it.
    pub settle: String,
}

impl Obligation {
    /// What it is called that an Application did not stay as thawed.
    pub(crate) fn of_thaw(key: &AppKey) -> String {
        format!("thaw:{key}")
    }

    /// One that nobody else has: the incident cannot end while it stands.
    pub fn blocking(
        id: impl Into<String>,
        what: impl Into<String>,
        application: Option<AppKey>,
        settle: &str,
    ) -> Self {
        Self {
            id: id.into(),
            what: what.into(),
            application,
            owner: None,
            until: None,
            blocks_close: true,
            settle: settle.into(),
        }
    }

    /// How something is settled that the journal of another state folder owes.
    pub const ELSEWHERE: &str = "close it where its journal is";
    /// A gate that was not green in time is waited for once more.
    pub const GATE: &str = "wait";
    /// Somebody is named who goes on with the Application.
    pub const PARK: &str = "park it";
    /// How what is parked is settled.
    pub const TAKE_UP: &str = "take it up again";
    /// How what stays frozen for a field that is put off is settled.
    pub const DECIDE: &str = "decide the field";
}

/// What a snapshot that could not read Git had live, held against Git as it was read later.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Earlier {
    /// When that snapshot was taken.
    pub at: Timestamp,
    /// The questions, as `DriftReport` has them, of which live moved since.
    pub questions: Vec<Value>,
}

/// A line of the command log: what was asked of the outside world, without secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandLine {
    /// The same by hand.
    pub by_hand: String,
    pub result: String,
    pub millis: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Event {
    IncidentOpened {
        incident: IncidentId,
        operator: String,
        host: String,
        scope: Vec<AppKey>,
        pin: ClusterPin,
        connection: Connection,
        waits: Waits,
        version: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        plan: Option<Box<Plan>>,
    },
    /// A process took the incident up again; every streak starts anew, and nothing is armed.
    Resumed {
        operator: String,
        host: String,
        version: String,
        #[serde(default)]
        recovered: String,
    },
    ScopeSet {
        scope: Vec<AppKey>,
        by: String,
    },
    /// What this process may write. It holds until the process ends: [`Event::Resumed`] takes it back.
    Armed {
        write: Armed,
        by: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        host: String,
        /// The process; 0 in journals of before it was kept.
        #[serde(default, skip_serializing_if = "is_zero")]
        pid: u32,
    },
    WaitShortened {
        wait: String,
        from: String,
        to: String,
    },
    /// The operator would not wait any longer: nothing is looked at until somebody goes on.
    WaitGivenUp {
        wait: String,
        by: String,
    },
    TargetSet {
        application: AppKey,
        target: Target,
        /// The whole `spec.syncPolicy` that it comes to; `null`: there is none, so auto-sync stays off.
        #[serde(alias = "automated")]
        sync_policy: Value,
        evidence: String,
        by: String,
    },
    /// Everything as it stood, kept as blobs. Number 0 is taken before anything is changed, unless that was `again`.
    SnapshotTaken {
        number: u32,
        /// `applications`, `live`, `desired`, `base`, `report`.
        blobs: BTreeMap<String, Digest>,
        counts: BTreeMap<String, usize>,
        unread: Vec<String>,
        /// The questions as `DriftReport` has them; left out when there are more than 200.
        questions: Vec<Value>,
        /// For each Application: sync, health, auto-sync with its evidence, as `DriftReport` has them.
        applications: Vec<Value>,
        /// Where the tracked branch of each repository stood.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        heads: BTreeMap<String, Commit>,
        /// Taken in place of the one of that number, which was not of every Application.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        again: bool,
        /// Applications that were not read whole though they can be: of those it is no snapshot.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        incomplete: Vec<AppKey>,
        /// What earlier snapshots would have asked about the Applications that they did not read and this one did.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        earlier: Vec<Earlier>,
    },
    Decided {
        decisions: Vec<Decision>,
    },
    DecisionWithdrawn {
        cells: Vec<CellKey>,
        why: String,
        by: String,
    },
    Intended {
        op: OpId,
        #[serde(flatten)]
        effect: Effect,
        guard: Guard,
        /// What the sheet said.
        shown: Vec<String>,
        by_hand: Vec<String>,
        by: String,
    },
    Ended {
        op: OpId,
        #[serde(flatten)]
        outcome: Outcome,
    },
    FreezeSampled {
        application: AppKey,
        sample: HoldSample,
    },
    FreezeProven {
        application: AppKey,
    },
    FreezeLost {
        application: AppKey,
        why: String,
    },
    /// What a person had confirmed, or decided, was refused.
    Refused {
        /// The title of the sheet, or the decision.
        what: String,
        /// 1 to 10; 0 when it was no matter of rules.
        rule: u8,
        why: String,
        by: String,
        /// The writes of the same sheet that were done before it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        after: Vec<OpId>,
        /// Nobody refused it: it failed before anything of it was written.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        failed: bool,
    },
    /// Whether this operator has the right to freeze: without it the walk goes on unfrozen, and watched.
    FreezeRight {
        /// The permission that is missing; none when it is there again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        missing: Option<String>,
    },
    Proposed {
        proposal: Box<Proposal>,
    },
    MessageSet {
        message: String,
        by: String,
    },
    /// What was proposed does not stand any more: nothing was pushed of it, and it is built anew.
    ProposalVoid {
        why: String,
    },
    /// A plan was given to an incident that was opened without one, or a mended one to go on with.
    PlanTaken {
        plan: Box<Plan>,
        by: String,
        /// The plan that it mends.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaces: Option<Digest>,
        /// Why it was mended.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
        /// Where it is another one: `targets.auth-service added`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        differs: Vec<String>,
    },
    CommitSet {
        branch: Option<String>,
        pull_request: bool,
        by: String,
    },
    /// The tracked branch holds a revision that renders as decided.
    Landed {
        repository: String,
        branch: String,
        revision: Commit,
        how: String,
        /// What others brought there since the incident saw it first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        others: Vec<Foreign>,
        /// The Applications whose folder holds here just what it held at the revision that they were synced to: those syncs and
        /// their gates stand.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        same: Vec<AppKey>,
    },
    /// A look at the repository that began after our push had landed: whoever takes back what was pushed does it from here on.
    InGit {
        repository: String,
    },
    OrderSet {
        order: Vec<AppKey>,
        by: String,
    },
    GateAdded {
        gate: String,
        spec: Gate,
        by: String,
    },
    /// A gate is not asked any more; what was sampled of it stays told.
    GateRemoved {
        gate: String,
        why: String,
        by: String,
    },
    BaselineTaken {
        gate: String,
        sample: Sample,
    },
    Predicted {
        application: AppKey,
        revision: Commit,
        prediction: Box<Prediction>,
    },
    OperationFinished {
        application: AppKey,
        op: OpId,
        phase: String,
        message: String,
        revision: String,
        finished_at: Option<Timestamp>,
    },
    /// What the sync really changed, read back.
    SyncVerified {
        application: AppKey,
        op: OpId,
        changes: Vec<Changed>,
        /// Changes that were not predicted; the walk stops while there are any.
        surprises: Vec<Changed>,
        /// Decided cells that it was to change and that hold what was decided: whoever puts one back does it from here on.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        brought: Vec<CellKey>,
        /// Fields that somebody wrote after the sync had ended: what it made of them could not be read back.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        overwritten: Vec<Overwritten>,
    },
    /// Somebody looked at what a sync changed and nobody had been shown, and the walk goes on: by another sync.
    SurpriseSeen {
        application: AppKey,
        /// The sync that it speaks of.
        op: OpId,
        reason: String,
        by: String,
    },
    GateStarted {
        application: AppKey,
        gate: String,
        spec: Gate,
        hold: Span,
        every: Span,
        within: Span,
    },
    GateSampled {
        application: AppKey,
        gate: String,
        sample: Sample,
    },
    GatePassed {
        application: AppKey,
        gate: String,
    },
    /// The fresh sample right before a thaw, or before `run` closes an incident in which others were at work since: one that is not
    /// green stops it.
    GateBeforeThaw {
        application: AppKey,
        gate: String,
        sample: Sample,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        closing: bool,
        /// The last one before a close, where all of them were green: what others did is judged by it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        settles: bool,
    },
    /// It is not waited for any more: it did not become green in time, or the operator gave the wait up.
    GateTimedOut {
        application: AppKey,
        gate: String,
        why: String,
        /// Who gave it up; none when its time was over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        given_up_by: Option<String>,
    },
    Attested {
        gate: String,
        who: String,
        saw: String,
        /// The syncs that it speaks of; none in journals of before it was kept: those that had reached the gate then.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        after: Vec<AppKey>,
    },
    /// One reconcile round seen after a thaw.
    ThawWatched {
        application: AppKey,
        round: u32,
        holds: bool,
        why: String,
    },
    /// A live action read again.
    ActReread {
        op: OpId,
        after: Span,
        holds: bool,
        why: String,
    },
    /// What happened to a kind between two resourceVersions was not seen. Holds and quiet timers that rest on it start
    /// again.
    ObservationGap {
        /// `Application.argoproj.io`.
        kind: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        from: String,
        to: String,
        why: String,
    },
    /// Git, or the cluster, did not answer for a while: nobody could look then, and no gate had that time.
    Outage {
        /// `the cluster`; `part of what is compared`, where `why` says what.
        what: String,
        from: Timestamp,
        to: Timestamp,
        why: String,
    },
    /// Somebody else did something; recorded, and only what it touched is open again.
    Adopted {
        application: Option<AppKey>,
        what: String,
        who: String,
        /// The decided cell that it touched.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cell: Option<CellKey>,
        /// What stood in that cell then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sides: Option<Sides>,
    },
    /// Somebody else moved a field that nobody had decided on.
    Strayed {
        cell: CellKey,
        what: String,
        who: String,
        /// What stands there then.
        #[serde(default)]
        sides: Sides,
        /// What stood there before; none where nobody looked then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        was: Option<Sides>,
    },
    /// What somebody else had done to a field, decided or not, was taken back.
    StrayedBack {
        cell: CellKey,
        what: String,
        who: String,
        #[serde(default)]
        sides: Sides,
    },
    GlassBroken {
        application: Option<AppKey>,
        what: String,
        reason: String,
        by: String,
    },
    GlassReviewed {
        /// Of which it is said; none: of every one, as in journals of before it was kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        application: Option<AppKey>,
        what: String,
        found: String,
        by: String,
    },
    Parked {
        application: AppKey,
        owner: String,
        until: String,
        reason: String,
        by: String,
    },
    Unparked {
        application: AppKey,
        by: String,
    },
    /// Somebody changed the policy of an Application after its thaw; without a reason it is as targeted again.
    PolicyMoved {
        application: AppKey,
        why: Option<String>,
        /// Empty in journals of before it was kept.
        #[serde(default)]
        who: String,
    },
    /// Somebody changed the policy of an Application before it was frozen here.
    PolicyChanged {
        application: AppKey,
        /// `spec.syncPolicy` as the journal had it, and as it is; `null` when absent.
        from: Value,
        to: Value,
        who: String,
    },
    CommandRan {
        #[serde(flatten)]
        line: CommandLine,
    },
    Revealed {
        what: String,
        by: String,
    },
    Exported {
        format: String,
        digest: Digest,
    },
    Closed {
        by: String,
    },
    /// An event of a newer version; kept in the journal, ignored by the fold.
    #[serde(other)]
    Unknown,
}

/// For fields that are left out where they say nothing.
fn is_zero(number: &u32) -> bool {
    *number == 0
}
