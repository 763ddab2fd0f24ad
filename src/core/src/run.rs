//! The state of an incident: a fold over its events, and nothing else.

mod acts;
mod blind;
mod carried;
mod debts;
mod fold;
mod found;
mod gates;
mod left;
mod overruled;
pub mod strayed;

pub use acts::Acted;
pub(crate) use acts::sets;
pub use blind::Blind;
pub use carried::Carried;
pub(crate) use debts::open_anew;
pub use found::Found;
pub use gates::{Away, GateRun};
pub use left::Left;
pub use overruled::Touched;
pub use strayed::Strayed;

use crate::{
    decision::{CellKey, Decision, How, Later, Take, each_once},
    event::*,
    gate::{Sample, Verdict},
    ids::{Commit, IncidentId, OpId},
    object::identity::AppKey,
    plan::{Gate, Plan, SyncStep, Target},
    policy::Policy,
    span::Span,
};
use jiff::Timestamp;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

/// The kind that holds and thaws rest on, as an observation gap names it.
const APPLICATION: &str = "Application.argoproj.io";

/// What a snapshot calls the policy of an Application.
pub const POLICY: &str = "syncPolicy";

/// The state of an Application of which it is not known whether its thaw happened.
pub const THAW_UNKNOWN: &str = "thaw not known";

/// Everything known of an incident from its journal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    pub incident: Option<IncidentId>,
    pub operator: String,
    pub opened_at: Option<Timestamp>,
    pub scope: Vec<AppKey>,
    pub pin: ClusterPin,
    pub connection: Connection,
    pub waits: Waits,
    pub plan: Option<Box<Plan>>,
    /// When somebody said the plan last: what was acted on until then, they knew of.
    pub planned_at: Option<Timestamp>,
    /// Whether somebody was ever armed here, wrote or decided: until then the plan binds nobody.
    pub bound: bool,
    pub armed: Armed,
    pub shortened: Vec<(String, String, String)>,
    pub apps: BTreeMap<AppKey, AppRun>,
    pub decisions: BTreeMap<CellKey, Decision>,
    /// What was decided of a field and carried out, before another choice took its place.
    pub carried: BTreeMap<CellKey, Carried>,
    /// Cells of each `Decided`, newest last, for undo.
    pub decided: Vec<Vec<CellKey>>,
    pub snapshots: u32,
    /// When the last of them was taken.
    pub snapshot_at: Option<Timestamp>,
    /// The questions of the last snapshot; of Applications that it did not read, of the last one that did.
    pub questions: Vec<Value>,
    /// Where of them the questions about a field of a kind and name are: the screen asks for it with each key.
    pub asked: BTreeMap<(String, String, String), Vec<usize>>,
    /// When cells were kept that an older snapshot than the last one has, by the id of the question.
    pub kept_at: BTreeMap<(String, AppKey), Timestamp>,
    /// Snapshots that did not read every Application, as long as no later one did.
    pub blind: Vec<Blind>,
    /// Each cell of a question as the first snapshot that had it found it.
    pub found: BTreeMap<CellKey, Found>,
    pub ops: BTreeMap<OpId, Op>,
    /// Live actions that were read again, and how long after.
    pub reread: BTreeMap<OpId, Vec<Span>>,
    /// Operations in the order of their intents.
    pub op_order: Vec<OpId>,
    pub message: Option<String>,
    /// The repositories to which a commit with that message was pushed.
    pub message_pushed: BTreeSet<String>,
    pub commit_branch: Option<String>,
    pub pull_request: bool,
    pub proposal: Option<Proposal>,
    /// The revision to sync to, by repository.
    pub landed: BTreeMap<String, Landed>,
    /// Rounds of commits so far.
    pub commits: u32,
    pub order: Vec<AppKey>,
    pub gates: BTreeMap<String, Gate>,
    /// Gates that were taken away, and can be put back.
    pub removed_gates: BTreeMap<String, RemovedGate>,
    /// Gates that ask something else than they did first, and who had them ask it last.
    pub mended_gates: BTreeMap<String, MendedGate>,
    pub baselines: BTreeMap<String, Sample>,
    pub broken_glass: Vec<BrokenGlass>,
    /// The permission without which nothing is frozen: the walk is unfrozen, and watched.
    pub unfrozen: Option<String>,
    /// When a gate gave its last sample, or somebody attested one; and what others were seen to do since.
    pub judged_at: Option<Timestamp>,
    pub unjudged: Vec<String>,
    /// What somebody else did meanwhile, as it was recorded.
    pub adopted: Vec<(Option<AppKey>, String)>,
    /// Decided cells that somebody touched since, which are open again: what was done, and by whom.
    pub shaken: BTreeMap<CellKey, Touched>,
    /// What was done to a cell that was decided anew, or is to be: see [`Touched`].
    pub overruled: BTreeMap<CellKey, Touched>,
    /// Fields that somebody moved and nobody had decided on.
    pub strayed: BTreeMap<CellKey, Strayed>,
    /// `spec.syncPolicy` of each Application as the first snapshot had it, or as somebody was seen to have changed it since, before
    /// it was frozen.
    pub policies: BTreeMap<AppKey, Value>,
    /// What was pushed and not looked for in Git since, by repository.
    pub pushed: BTreeMap<String, Pushed>,
    /// Those of them that were open again when the plan was taken, and were not touched since: the plan foresaw it.
    pub reopened: BTreeSet<CellKey>,
    /// Where the tracked branch of each repository stood when it was seen first.
    pub base: BTreeMap<String, Commit>,
    /// What was refused last: what, why, and to whom.
    pub refused: Option<(String, String, String)>,
    pub exported: Vec<String>,
    pub closed: Option<(String, Timestamp)>,
    /// What was frozen when the incident was closed.
    pub closed_frozen: BTreeSet<AppKey>,
    /// Sequence number and time of the last record.
    pub last: Option<(u64, Timestamp)>,
}

/// What is said of an Application of which somebody put the policy back that its thaw had left.
pub const AS_TARGETED_AGAIN: &str = "its auto-sync is as targeted again";

/// The decided cells that were pushed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pushed {
    pub cells: BTreeSet<CellKey>,
    /// Whether it is on the tracked branch.
    pub landed: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Landed {
    pub branch: String,
    pub revision: Commit,
    pub how: String,
    /// Those of which the folder holds just what it held at the revision that they were synced to.
    pub same: BTreeSet<AppKey>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RemovedGate {
    pub spec: Gate,
    pub why: String,
    pub by: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct MendedGate {
    /// What it asked before anybody changed it.
    pub was: Gate,
    pub by: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct BrokenGlass {
    pub application: Option<AppKey>,
    /// The sync after which it was broken: what another one brings is judged anew.
    pub after: Option<OpId>,
    pub what: String,
    pub reason: String,
    pub by: String,
    pub at: Timestamp,
    pub reviewed: Option<String>,
}

/// What glass is broken for where the effect of a sync cannot be predicted.
pub fn unpredicted(key: &AppKey) -> String {
    format!("unpredicted sync of {key}")
}

/// One external write and how it ended; no outcome yet means it has to be looked up.
#[derive(Clone, Debug, PartialEq)]
pub struct Op {
    pub effect: Effect,
    pub guard: Guard,
    pub shown: Vec<String>,
    pub by_hand: Vec<String>,
    pub by: String,
    pub intended_at: Timestamp,
    pub outcome: Option<(Outcome, Timestamp)>,
}

impl Op {
    /// Certain to have happened.
    pub fn done(&self) -> bool {
        matches!(self.outcome, Some((Outcome::Done { .. }, _)))
    }
    /// Neither certain to have happened nor certain not to.
    pub fn open(&self) -> bool {
        matches!(self.outcome, None | Some((Outcome::Unknown { .. }, _)))
    }
}

/// One Application's place in the walk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AppRun {
    pub target: Option<(Target, Value, String)>,
    pub freeze: Freeze,
    /// `spec.syncPolicy` as found at the freeze; `null` when absent.
    pub found: Option<Value>,
    pub parked: Option<Parked>,
    pub prediction: Option<(Commit, Prediction)>,
    pub sync: Sync,
    pub gates: BTreeMap<String, GateRun>,
    /// Manual gates after its sync: who looked, what they saw, and when that was said. Another sync asks anew.
    pub attested: BTreeMap<String, (String, String, Timestamp)>,
    pub thaw: Thaw,
    /// How somebody changed the policy after the thaw.
    pub policy_moved: Option<String>,
    pub acts: Vec<OpId>,
}

impl AppRun {
    /// Whether nothing syncs it by itself, as far as the journal tells: frozen, seen to hold, and not given back since.
    pub fn is_held(&self) -> bool {
        self.freeze.proven() && matches!(self.thaw, Thaw::Not)
    }

    /// How the policy that stands is not the one that a thaw was to leave.
    pub fn not_as_targeted(&self, stands: &Policy) -> Option<String> {
        let (_, whole, _) = self.target.as_ref()?;
        let wanted = Policy::new(Some(whole.clone()));
        (stands.automated() != wanted.automated()).then(|| {
            crate::text::line(&format!(
                "was thawed, and its auto-sync is not as targeted any more: it is {}, the target is {}",
                match (stands.is_on(), stands.prunes() || stands.self_heals()) {
                    (true, false) => "on, without prune and selfHeal".to_owned(),
                    _ => stands.words(),
                },
                wanted.words()
            ))
        })
    }

    /// What became of an Application that did not stay as it was thawed; `moved`: how its policy did not after that was seen to hold.
    pub fn not_as_thawed(&self, key: &AppKey, moved: Option<String>) -> Option<String> {
        let said = match &self.thaw {
            Thaw::Broken { why, .. } => format!("{key} did not stay as thawed: {why}"),
            _ => format!("{key} {}", moved?),
        };
        Some(crate::text::line(&said))
    }

    /// Whether auto-sync was put back as targeted, be that seen to hold already or not.
    pub fn is_given_back(&self) -> bool {
        self.freeze == Freeze::Thawed || self.freeze.is_set() && self.thaw != Thaw::Not
    }

    /// As [`Freeze::word`]; `thawed` as soon as auto-sync was put back, and not only when that was seen to hold.
    pub fn freeze_word(&self) -> &'static str {
        match self.is_given_back() {
            true => Freeze::Thawed.word(),
            false => self.freeze.word(),
        }
    }

    /// A prediction made on other ground is void; that of a sync in flight is what it will be held against.
    fn forget_prediction(&mut self) {
        if !matches!(self.sync, Sync::Requested { .. } | Sync::Finished { .. }) {
            self.prediction = None;
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Parked {
    pub owner: String,
    pub until: String,
    pub reason: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub enum Freeze {
    #[default]
    Not,
    Set {
        op: OpId,
        at: Timestamp,
        mechanism: Mechanism,
    },
    /// Observed once since `first`.
    Holding {
        op: OpId,
        at: Timestamp,
        mechanism: Mechanism,
        first: HoldSample,
    },
    Proven {
        op: OpId,
        at: Timestamp,
        mechanism: Mechanism,
        since: Timestamp,
    },
    Lost {
        why: String,
    },
    /// Auto-sync stands as targeted again and the note is gone.
    Thawed,
}

impl Freeze {
    pub fn is_set(&self) -> bool {
        matches!(
            self,
            Self::Set { .. } | Self::Holding { .. } | Self::Proven { .. }
        )
    }
    pub fn proven(&self) -> bool {
        matches!(self, Self::Proven { .. })
    }
    /// When it was set; none where it is not, or not any more.
    pub fn set_at(&self) -> Option<Timestamp> {
        self.op().map(|(_, at, _)| at)
    }
    /// `not frozen`, `set`, `holding`, `proven`, `lost`, `thawed`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Not => "not frozen",
            Self::Set { .. } => "set",
            Self::Holding { .. } => "holding",
            Self::Proven { .. } => "proven",
            Self::Lost { .. } => "lost",
            Self::Thawed => "thawed",
        }
    }
    fn op(&self) -> Option<(OpId, Timestamp, Mechanism)> {
        match self {
            Self::Set { op, at, mechanism }
            | Self::Holding {
                op, at, mechanism, ..
            }
            | Self::Proven {
                op, at, mechanism, ..
            } => Some((op.clone(), *at, *mechanism)),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub enum Sync {
    #[default]
    Not,
    Requested {
        op: OpId,
        revision: Commit,
    },
    Finished {
        op: OpId,
        revision: Commit,
        phase: String,
        message: String,
    },
    Verified {
        op: OpId,
        revision: Commit,
        changes: Vec<Changed>,
    },
    /// The effect was not the one shown.
    Surprised {
        op: OpId,
        revision: Commit,
        surprises: Vec<Changed>,
        /// Who looked at that, and why the walk goes on: until then it stands still.
        seen: Option<(String, String)>,
    },
}

impl Sync {
    /// The write that asked for it.
    pub fn op(&self) -> Option<&OpId> {
        match self {
            Self::Not => None,
            Self::Requested { op, .. }
            | Self::Finished { op, .. }
            | Self::Verified { op, .. }
            | Self::Surprised { op, .. } => Some(op),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub enum Thaw {
    #[default]
    Not,
    Restored {
        op: OpId,
        at: Timestamp,
        rounds: u32,
    },
    Watched {
        op: OpId,
        at: Timestamp,
    },
    Broken {
        op: OpId,
        why: String,
    },
}

impl Run {
    /// The incident's name; empty before it was opened.
    pub fn id(&self) -> &str {
        self.incident.as_ref().map_or("", |id| id.as_str())
    }

    /// Whether the note that an Application bears was written by this incident. Its name alone does not tell: another state
    /// folder may have an incident of the same name. The journal does, since the intent is there before the note is.
    pub fn wrote_note(&self, application: &AppKey, note: &Value) -> bool {
        let of_note = |field: &str| note.get(field).and_then(Value::as_str);
        let frozen = |op: &str| {
            let op = self.ops.get(&OpId::from(op));
            op.is_some_and(|op| matches!(&op.effect, Effect::Freeze { application: key, .. } if key == application))
        };
        self.incident.is_some()
            && of_note("incident") == Some(self.id())
            && of_note("op").is_some_and(frozen)
    }

    /// An incident that a note names, as it is told apart from this one.
    pub fn tell_apart(&self, incident: &str) -> String {
        let name = crate::text::line(incident);
        match incident == self.id() {
            true => format!("{name} of another state folder"),
            false => name,
        }
    }

    /// Whether something runs that a gap in what was seen of Applications, or of another kind, starts again.
    pub fn rests_on_watching(&self, kind: &str) -> bool {
        let applications = kind == APPLICATION;
        self.apps.values().any(|app| {
            let held = matches!(app.freeze, Freeze::Holding { .. })
                || matches!(app.thaw, Thaw::Restored { .. });
            let quiet = |gate: &GateRun| {
                gate.is_quiet() && gate.passed.is_none() && gate.timed_out.is_none()
            };
            applications && held || app.gates.values().any(quiet)
        })
    }

    /// Writes of which it is not certain whether they happened.
    pub fn open_ops(&self) -> impl Iterator<Item = (&OpId, &Op)> {
        self.op_order
            .iter()
            .filter_map(|id| self.ops.get(id).map(|op| (id, op)))
            .filter(|(_, op)| op.open())
    }

    /// Live actions that are still to be read again: which, how long after, and when that is; the soonest first.
    pub fn rereads_owed(&self) -> Vec<(OpId, Span, Timestamp)> {
        let mut owed = Vec::new();
        if self.closed.is_some() {
            return owed;
        }
        for (id, op) in &self.ops {
            let Some((Outcome::Done { .. }, at)) = &op.outcome else {
                continue;
            };
            if !matches!(op.effect, Effect::Act { .. }) {
                continue;
            }
            let (first, last) = (self.waits.act_reread_first, self.waits.act_reread_last);
            let looks = [first.min(last), last];
            // By their number: the waits may be others since.
            let done = self.reread.get(id).map_or(0, Vec::len);
            for after in looks.into_iter().skip(done) {
                owed.push((id.clone(), after, at.checked_add(after.0).unwrap_or(*at)));
            }
        }
        owed.sort_by_key(|(_, _, due)| *due);
        owed
    }

    /// Whether it is decided that the Application ignores this field.
    pub fn ignores(&self, cell: &CellKey) -> bool {
        self.decisions
            .get(cell)
            .is_some_and(|decision| decision.take == Take::Ignore)
    }

    /// The objects of an Application that are decided to be deleted from the cluster.
    pub fn to_delete<'a>(
        &'a self,
        key: &'a AppKey,
    ) -> impl Iterator<Item = (&'a CellKey, &'a Decision)> {
        self.decisions
            .iter()
            .filter(move |(cell, decision)| cell.application == *key && decision.deletes())
    }

    /// When the object of a cell was last deleted by us, since it was decided.
    pub fn deleted(&self, decision: &Decision) -> Option<Timestamp> {
        self.ops
            .values()
            .filter(|op| op.done() && op.intended_at >= decision.at)
            .filter_map(|op| match &op.effect {
                Effect::Delete { object, .. } if *object == decision.cell.object => {
                    Some(op.intended_at)
                }
                _ => None,
            })
            .max()
    }

    /// Applications that the walk still goes on with.
    pub fn walking(&self) -> impl Iterator<Item = (&AppKey, &AppRun)> {
        self.scope
            .iter()
            .filter_map(|key| self.apps.get(key).map(|app| (key, app)))
            .filter(|(_, app)| app.parked.is_none())
    }

    /// Whether the last decision may still be taken back, as far as its first cell tells: what is drawn asks for it with each frame.
    pub fn may_take_back(&self) -> bool {
        let last = self.decided.last().and_then(|cells| cells.first());
        last.is_some_and(|cell| !self.carried_out(cell))
    }

    /// The cells of the last decision, where nothing of it is carried out yet: that can be taken back.
    pub fn to_take_back(&self) -> Option<&[CellKey]> {
        let last = self.decided.last()?;
        (!last.iter().any(|cell| self.carried_out(cell))).then_some(last)
    }

    /// The command that freezes an Application of this incident, once more where somebody undid that.
    pub fn freeze_command(&self, key: &AppKey) -> String {
        format!(
            "trueup freeze {key} --incident {} --write cluster",
            self.id()
        )
    }

    /// The command that thaws an Application of this incident, or watches its thaw to the end.
    pub fn thaw_command(&self, key: &AppKey) -> String {
        format!("trueup thaw {key} --incident {} --write cluster", self.id())
    }

    /// The command that takes back the live action that set a field.
    pub fn undo_command(&self, cell: &CellKey) -> String {
        crate::text::line(&format!(
            "trueup act undo {} {} {} --incident {} --write cluster",
            cell.application.name,
            cell.object.short(),
            crate::transcript::shell(&cell.field.to_string()),
            self.id()
        ))
    }

    /// The command that syncs an Application of this incident.
    pub fn sync_command(&self, key: &AppKey) -> String {
        format!("trueup sync {key} --incident {} --write cluster", self.id())
    }

    /// The same where somebody has looked at what its last sync changed and nobody was shown.
    pub fn sync_seen_command(&self, key: &AppKey) -> String {
        format!(
            "trueup sync {key} --incident {} --seen WHY --write cluster",
            self.id()
        )
    }

    /// A sync that changed what nobody was shown and nobody has looked at yet: the walk stands still there.
    pub fn surprised(&self) -> Option<(&AppKey, &[Changed])> {
        self.walking().find_map(|(key, app)| match &app.sync {
            Sync::Surprised {
                surprises,
                seen: None,
                ..
            } => Some((key, surprises.as_slice())),
            _ => None,
        })
    }

    /// To what an Application was synced as shown, and when that was asked for.
    pub fn synced_to(&self, key: &AppKey) -> Option<(&Commit, Timestamp)> {
        let Sync::Verified { op, revision, .. } = &self.apps.get(key)?.sync else {
            return None;
        };
        let (_, at) = self.ops.get(op)?.outcome.as_ref()?;
        Some((revision, *at))
    }

    /// When a thaw switched the auto-sync of an Application on last.
    pub fn gave_back(&self, key: &AppKey) -> Option<Timestamp> {
        let done = self.ops.values().filter(|op| op.done());
        let on = done.filter(|op| {
            matches!(&op.effect, Effect::Thaw { application, automated, .. }
                if application == key
                    && Policy::new(Some(serde_json::json!({"automated": automated}))).is_on())
        });
        on.filter_map(|op| Some(op.outcome.as_ref()?.1)).max()
    }

    /// When something was written to an Application last.
    pub fn wrote_to(&self, key: &AppKey) -> Option<Timestamp> {
        let done = self.ops.values().filter(|op| op.done());
        let to_it = done.filter(|op| op.effect.application() == Some(key));
        to_it.filter_map(|op| Some(op.outcome.as_ref()?.1)).max()
    }

    /// Whether an Application was synced, as shown, to what landed, or to what holds the same of it.
    pub fn synced_as(&self, key: &AppKey, landed: &Landed) -> bool {
        let app = self.apps.get(key);
        app.is_some_and(|app| match &app.sync {
            Sync::Verified { revision, .. } => {
                *revision == landed.revision || landed.same.contains(key)
            }
            _ => false,
        })
    }

    /// What is to be said of a thaw that was made and is not watched to its end, with the ways on.
    pub fn given_back_unwatched(&self, key: &AppKey) -> String {
        crate::text::line(&format!(
            "auto-sync was given back to {key}, and that it holds was not watched to the end: `{}` watches it, `{}` freezes it again",
            self.thaw_command(key),
            self.freeze_command(key)
        ))
    }

    /// Whether a thaw of it was begun of which it is not known whether it happened: it may sync by itself already.
    pub fn thaw_unknown(&self, key: &AppKey) -> bool {
        let thaws = |effect: &Effect| matches!(effect, Effect::Thaw { application, .. } if application == key);
        self.open_ops().any(|(_, op)| thaws(&op.effect))
    }

    /// Whether it is frozen, as far as the journal tells.
    pub fn is_frozen(&self, key: &AppKey) -> bool {
        let set = |app: &AppRun| app.freeze.is_set() && !app.is_given_back();
        self.apps.get(key).is_some_and(set) && !self.thaw_unknown(key)
    }

    /// How many are frozen, parked ones too.
    pub fn frozen(&self) -> usize {
        self.apps.keys().filter(|key| self.is_frozen(key)).count()
    }

    /// As [`AppRun::freeze_word`], and [`THAW_UNKNOWN`] while that is so.
    pub fn freeze_word(&self, key: &AppKey) -> &'static str {
        match self.apps.get(key) {
            Some(app) if app.freeze.is_set() && self.thaw_unknown(key) => THAW_UNKNOWN,
            Some(app) => app.freeze_word(),
            None => Freeze::Not.word(),
        }
    }

    /// Whether it is one of those of which auto-sync stands as targeted again.
    pub fn is_given_back(&self, key: &AppKey) -> bool {
        self.apps.get(key).is_some_and(AppRun::is_given_back)
    }

    /// How many of the walk have their auto-sync back: those of which that is being watched, and those of which it held. One that did not
    /// stay as thawed is neither.
    pub fn thawing_and_thawed(&self) -> (usize, usize) {
        let holds = |app: &AppRun| app.is_given_back() && !matches!(app.thaw, Thaw::Broken { .. });
        let given_back = self.walking().filter(|(_, app)| holds(app));
        let (thawed, thawing): (Vec<_>, Vec<_>) =
            given_back.partition(|(_, app)| app.freeze == Freeze::Thawed);
        (thawing.len(), thawed.len())
    }

    /// Those that did not stay as they were thawed.
    pub fn thaws_broken(&self) -> impl Iterator<Item = &AppKey> {
        let broken = self.apps.iter();
        let broken = broken.filter(|(_, app)| matches!(app.thaw, Thaw::Broken { .. }));
        broken.map(|(key, _)| key)
    }

    /// The Application of the scope that a plan means by a name.
    pub fn named(&self, name: &str) -> Option<&AppKey> {
        crate::plan::named(&self.scope, &self.connection.namespace, name)
    }

    /// The order of syncs: as chosen, the rest in the order of the scope.
    pub fn sync_order(&self) -> Vec<AppKey> {
        let chosen: Vec<AppKey> = if self.order.is_empty() {
            let plan = self.plan.iter().flat_map(|plan| &plan.sync);
            plan.filter_map(|step| self.named(&step.application).cloned())
                .collect()
        } else {
            self.order.clone()
        };
        with_rest(chosen, &self.scope)
    }

    /// The order of thaws: as planned, the rest in the order of syncs.
    pub fn thaw_order(&self) -> Vec<AppKey> {
        let names = self.plan.iter().flat_map(|plan| &plan.thaw.order);
        let chosen = names.filter_map(|name| self.named(name).cloned()).collect();
        with_rest(chosen, &self.sync_order())
    }

    /// Whether a push of this commit is known to have landed.
    pub fn pushed(&self, commit: &Commit) -> bool {
        self.ops.values().any(|op| {
            op.done()
                && matches!(&op.effect, Effect::Push { commit: pushed, .. } if pushed == commit)
        })
    }

    /// Whether a plan names steps, and none for this Application: it is synced after them.
    pub fn unlisted(&self, app: &AppKey) -> bool {
        let steps = self.plan.iter().flat_map(|plan| &plan.sync);
        let mut named = steps.map(|step| self.named(&step.application)).peekable();
        self.order.is_empty() && named.peek().is_some() && named.all(|step| step != Some(app))
    }

    /// What is to be said of Applications that no step of the plan names.
    pub fn synced_unasked(&self) -> Option<String> {
        let names: Vec<String> = self
            .walking()
            .filter(|(key, _)| self.unlisted(key))
            .map(|(key, _)| key.name.clone())
            .collect();
        let (are, stand) = match names.len() {
            0 => return None,
            1 => ("is", "stands"),
            _ => ("are", "stand"),
        };
        let gates = match self.in_no_step() {
            unnamed if unnamed.is_empty() => "with no gate but healthy".to_owned(),
            unnamed => format!(
                "with no gate but healthy and, after the last, {}",
                unnamed.join(", ")
            ),
        };
        let plan = self.plan.iter().flat_map(|plan| &plan.decisions);
        let mut stays = plan.filter(|planned| {
            matches!(&planned.take, crate::decision::Take::Later(later) if later.how == crate::decision::How::StayFrozen)
        });
        let stays = match stays.next() {
            Some(_) => "; of which a field stays frozen is not synced",
            None => "",
        };
        Some(crate::text::line(&format!(
            "{} {stand} in the scope and in no step of `sync`: {are} synced after the steps, {gates}{stays}",
            names.join(", ")
        )))
    }

    /// The steps of the plan, where it has some and nobody chose another order.
    pub fn steps(&self) -> Option<&[SyncStep]> {
        let steps = self.plan.as_ref().map(|plan| plan.sync.as_slice())?;
        (self.order.is_empty() && !steps.is_empty()).then_some(steps)
    }

    /// The gates that a plan with steps names in none of them: they follow the last sync.
    pub fn in_no_step(&self) -> Vec<String> {
        let Some(steps) = self.steps() else {
            return Vec::new();
        };
        let named: BTreeSet<&String> = steps.iter().flat_map(|step| &step.then).collect();
        let unnamed = self.gates.keys().filter(|name| *name != "healthy");
        unnamed
            .filter(|name| !named.contains(name))
            .cloned()
            .collect()
    }

    /// What is to be said of them.
    pub fn gates_in_no_step(&self) -> Option<String> {
        let unnamed = self.in_no_step();
        let last = self.sync_order().pop()?;
        let (gates, follow) = match unnamed.len() {
            0 => return None,
            1 => ("gate", "is named by no step of `sync`: it follows"),
            _ => ("gates", "are named by no step of `sync`: they follow"),
        };
        Some(crate::text::line(&format!(
            "{gates} {} {follow} the last sync, of {}",
            unnamed.join(", "),
            last.name
        )))
    }
}

fn with_rest(mut chosen: Vec<AppKey>, all: &[AppKey]) -> Vec<AppKey> {
    let known: BTreeSet<AppKey> = chosen.iter().cloned().collect();
    let mut rest: BTreeSet<&AppKey> = BTreeSet::new();
    let new = all
        .iter()
        .filter(|key| !known.contains(*key) && rest.insert(key));
    chosen.extend(new.cloned());
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One gate after one sync: begun at 0, then seen, or the process taken up again, at these seconds.
    fn looks(within: u64, hold: u64, events: &[(i64, Option<Verdict>)]) -> GateRun {
        let key = AppKey::new("argocd", "auth");
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let gate = "rate".to_owned();
        let record = |second: i64, event: Event| Record {
            seq: 1,
            time: at(second),
            event,
        };
        let begun = Event::GateStarted {
            application: key.clone(),
            gate: gate.clone(),
            spec: Gate::Measured(crate::plan::MeasuredGate::default()),
            hold: Span::seconds(hold),
            every: Span::seconds(5),
            within: Span::seconds(within),
        };
        let mut run = Run::default();
        run.apply(&record(0, begun));
        for (second, verdict) in events {
            let event = match verdict {
                Some(verdict) => Event::GateSampled {
                    application: key.clone(),
                    gate: gate.clone(),
                    sample: Sample {
                        at: at(*second),
                        value: None,
                        traffic: None,
                        verdict: *verdict,
                        why: String::new(),
                        unasked: false,
                    },
                },
                None => Event::Resumed {
                    operator: "jo".into(),
                    host: "h".into(),
                    version: String::new(),
                    recovered: String::new(),
                },
            };
            run.apply(&record(*second, event));
            let told = run.looked_away(at(*second));
            let state = &run.apps[&key].gates[&gate];
            let ends = state.away.last().is_some_and(|away| away.to == at(*second));
            assert_eq!(told.len(), usize::from(ends), "{told:?}");
        }
        run.apps[&key].gates[&gate].clone()
    }

    #[test]
    fn only_what_was_looked_at_is_waited_for() {
        use Verdict::{Green, Red};
        let said = |state: &GateRun| -> Vec<String> {
            state.away.iter().map(ToString::to_string).collect()
        };
        // Killed at 5 s, taken up again ten minutes later.
        let killed = looks(60, 0, &[(5, Some(Red)), (605, None), (606, Some(Red))]);
        assert_eq!(killed.waited, Duration::from_secs(6));
        assert_eq!(
            said(&killed),
            ["looked away for 10m (trueup was not running)"]
        );
        let since = killed.waits_since().unwrap();
        assert_eq!(since, Timestamp::from_second(600).unwrap());
        // Killed before the first sample, and again.
        let twice = looks(
            60,
            0,
            &[(300, None), (305, Some(Red)), (900, None), (903, Some(Red))],
        );
        assert_eq!(
            (twice.waited, twice.away.len()),
            (Duration::from_secs(8), 2)
        );
        // A machine that slept had nobody taken up again.
        let slept = looks(
            60,
            0,
            &[(5, Some(Red)), (3605, Some(Red)), (3610, Some(Red))],
        );
        assert_eq!(slept.waited, Duration::from_secs(10));
        assert_eq!(said(&slept), ["looked away for 1h (no sample was taken)"]);
        // A source that answers slowly is waited for.
        let slow = looks(60, 0, &[(35, Some(Red)), (70, Some(Red))]);
        assert_eq!((slow.waited, slow.away.len()), (Duration::from_secs(70), 0));
        // Green on both sides of a gap is not green throughout.
        for gap in [Some((600, None)), None] {
            let before = [(5, Some(Green)), (10, Some(Green))];
            let after = [(601, Some(Green)), (606, Some(Green))];
            let events: Vec<_> = before.into_iter().chain(gap).chain(after).collect();
            assert!(!looks(600, 60, &events).held(), "{gap:?}");
            assert!(looks(600, 5, &events).held(), "{gap:?}");
        }
    }

    /// A pause that a slow answer might explain is none where the walk had to go back to something else.
    #[test]
    fn a_gate_is_looked_away_from_while_the_walk_stands_elsewhere() {
        let records = crate::transcript::sample::records();
        let sampled = |record: &&Record| matches!(&record.event, Event::GateSampled { gate, .. } if gate == "no-401");
        let first = records.iter().find(sampled).unwrap();
        let before = records.iter().filter(|record| record.seq <= first.seq);
        let waiting = Run::fold(before);
        let key = AppKey::new("argocd", "profile-service");
        assert_eq!(waiting.begun_gate(), Some((&key, "no-401".to_owned())));
        let sample_after = |run: &Run, seconds: i64| {
            let mut run = run.clone();
            let mut next = first.clone();
            next.time += jiff::SignedDuration::from_secs(seconds);
            run.apply(&next);
            run.apps[&key].gates["no-401"].clone()
        };
        let slow = sample_after(&waiting, 65);
        assert!(slow.away.is_empty());
        let mut lost = waiting.clone();
        lost.apply(&Record {
            seq: first.seq + 1,
            time: first.time,
            event: Event::FreezeLost {
                application: key.clone(),
                why: "our note is gone".into(),
            },
        });
        assert!(sample_after(&lost, 5).away.is_empty());
        let away = sample_after(&lost, 65);
        let said: Vec<String> = away.away.iter().map(ToString::to_string).collect();
        assert_eq!(said, ["looked away for 1m5s (no sample was taken)"]);
        assert!(away.waited < slow.waited && !away.elsewhere);
        // Passed, it is waited for by nobody.
        assert_eq!(Run::fold(&records).begun_gate(), None);
    }

    /// What was pushed or synced is decided anew, and not forgotten.
    #[test]
    fn a_decision_is_taken_back_until_it_is_carried_out() {
        let records = crate::transcript::sample::records();
        let until = |stop: fn(&Event) -> bool| {
            let end = records
                .iter()
                .position(|record| stop(&record.event))
                .unwrap();
            Run::fold(&records[..=end])
        };
        let decided = until(|event| matches!(event, Event::Decided { .. }));
        let cells = decided.to_take_back().unwrap().to_vec();
        let withdraw = crate::sheet::Command::Withdraw {
            cells,
            why: String::new(),
        };
        let refused = |run: &Run| {
            let refused = crate::rules::check(run, &crate::now::Now::default(), &withdraw);
            refused.err().map(|refusal| refusal.rule)
        };
        assert_eq!(refused(&decided), None);
        for run in [
            until(|event| matches!(event, Event::Landed { .. })),
            until(|event| matches!(event, Event::SyncVerified { .. })),
        ] {
            assert_eq!(run.to_take_back(), None);
            assert_eq!(refused(&run), Some(6));
        }
    }

    /// What is in Git and in the cluster stands decided, whatever was chosen instead and taken back before anything came of it.
    #[test]
    fn what_was_carried_out_stands_again_once_what_took_its_place_is_taken_back() {
        let records = crate::transcript::sample::records();
        let landed = |record: &Record| matches!(record.event, Event::Landed { .. });
        let end = records.iter().position(landed).unwrap();
        let pushed = Run::fold(&records[..=end]);
        let at = records[end].time;
        let (cell, before) = pushed.decisions.first_key_value().unwrap();
        let repository = pushed.pushed.keys().next().unwrap().clone();
        assert!(!before.pushed && pushed.carried_out(cell));
        let tell = |run: &mut Run, event: Event| {
            run.apply(&Record {
                seq: 900,
                time: at,
                event,
            });
        };
        let other = |value: &str| Event::Decided {
            decisions: vec![Decision {
                take: Take::Value(Value::from(value)),
                at: at + jiff::SignedDuration::from_secs(1),
                pushed: false,
                applied: false,
                ..before.clone()
            }],
        };
        let taken_back = || Event::DecisionWithdrawn {
            cells: vec![cell.clone()],
            why: String::new(),
            by: "jo".into(),
        };
        let stands = |run: &Run| run.decisions.get(cell).cloned();
        // Chosen anew, twice, and taken back.
        let mut run = pushed.clone();
        tell(&mut run, other("a"));
        tell(&mut run, other("b"));
        assert_ne!(stands(&run).as_ref(), Some(before));
        tell(&mut run, taken_back());
        assert_eq!(stands(&run).as_ref(), Some(before));
        assert!(run.carried_out(cell));
        // A live action takes its place, and is undone; so is the next one.
        for value in ["a", "b"] {
            tell(&mut run, taken_back());
            assert_eq!(
                stands(&run),
                None,
                "what was acted on is no decision of before"
            );
            tell(&mut run, other(value));
            tell(&mut run, taken_back());
            assert_eq!(stands(&run).as_ref(), Some(before));
        }
        // That it was seen in Git is known of it whenever that was: who takes it back there changes what was decided.
        for meanwhile in [true, false] {
            let mut run = pushed.clone();
            let in_git = Event::InGit {
                repository: repository.clone(),
            };
            tell(&mut run, other("a"));
            if meanwhile {
                tell(&mut run, in_git.clone());
            }
            tell(&mut run, taken_back());
            if !meanwhile {
                tell(&mut run, in_git);
            }
            assert!(stands(&run).unwrap().pushed);
        }
        // What others did to it is known as before, and nobody has to tell of it again.
        let touched = Event::Adopted {
            application: Some(cell.application.clone()),
            what: "live went".into(),
            who: "eve".into(),
            cell: Some(cell.clone()),
            sides: None,
        };
        tell(&mut run, touched);
        let known = run.shaken.clone();
        assert_eq!(known.len(), 1);
        tell(&mut run, other("a"));
        assert!(run.shaken.is_empty());
        tell(&mut run, taken_back());
        assert_eq!(run.shaken, known);
        assert!(run.overruled.is_empty());
    }

    /// A live action on the first Application, after everything was judged: what follows it, and what follows the others behind it,
    /// said nothing of what it left.
    #[test]
    fn a_write_has_judged_anew_what_was_judged_without_it() {
        let records = crate::transcript::sample::records();
        let attested = |record: &Record| matches!(record.event, Event::Attested { .. });
        let end = records.iter().position(attested).unwrap();
        let judged = Run::fold(&records[..=end]);
        let order = judged.sync_order();
        let [auth, .., profile] = order.as_slice() else {
            panic!("{order:?}");
        };
        assert!(judged.to_attest("traces").is_empty());
        assert_eq!(
            judged.gate_settled(profile, "traces"),
            Some("it was attested")
        );
        let said = judged.judged_anew_after(auth).unwrap();
        assert!(
            said.contains("no-401, traces after profile-service"),
            "{said}"
        );
        let acted = |run: &Run, key: &AppKey| {
            let mut run = run.clone();
            let op = OpId("act".into());
            let object = crate::object::identity::ObjectRef::from_object(
                &serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}),
            );
            let effect = Effect::Act {
                application: key.clone(),
                object: object.unwrap(),
                action: crate::plan::Action::Restart {},
                patch: Value::Null,
                inverse: Value::Null,
                cell: None,
                reason: String::new(),
            };
            let events = [
                Event::Intended {
                    op: op.clone(),
                    effect,
                    guard: Guard::default(),
                    shown: Vec::new(),
                    by_hand: Vec::new(),
                    by: "jo".into(),
                },
                Event::Ended {
                    op,
                    outcome: Outcome::Done {
                        resource_version: None,
                        found: false,
                    },
                },
            ];
            for event in events {
                run.apply(&Record {
                    seq: 0,
                    time: Timestamp::UNIX_EPOCH,
                    event,
                });
            }
            run
        };
        let run = acted(&judged, auth);
        assert_eq!(run.gate_settled(profile, "traces"), None);
        assert_eq!(run.gate_to_pass(profile).as_deref(), Some("healthy"));
        // What comes before it was judged without what comes after.
        let run = acted(&judged, profile);
        let before = &order[1];
        assert_eq!(run.gate_to_pass(before), judged.gate_to_pass(before));
        assert_eq!(run.gate_settled(profile, "no-401"), None);
        // What was given back was judged for good.
        let whole = Run::fold(&records);
        assert_eq!(
            acted(&whole, auth).apps[profile].gates,
            whole.apps[profile].gates
        );
    }

    #[test]
    fn glass_is_broken_for_one_gate_after_one_sync() {
        let (auth, like) = (AppKey::new("argocd", "auth"), AppKey::new("argocd", "like"));
        let synced = |op: &str| Sync::Verified {
            op: OpId::from(op),
            revision: Commit::from("0123456789012345678901234567890123456789"),
            changes: Vec::new(),
        };
        let mut run = Run::default();
        run.app(&auth).sync = synced("1");
        run.app(&like).sync = synced("2");
        let broken = |key: &AppKey, what: &str| Record {
            seq: 1,
            time: Timestamp::UNIX_EPOCH,
            event: Event::GlassBroken {
                application: Some(key.clone()),
                what: what.into(),
                reason: "known".into(),
                by: "jo".into(),
            },
        };
        run.apply(&broken(&auth, "healthy"));
        assert!(run.glass_for(&auth, "healthy").is_some());
        assert_eq!(run.glass_for(&like, "healthy"), None, "another sync");
        assert!(!run.glass_for_sync(&auth), "a gate is no prediction");
        run.app(&auth).sync = synced("3");
        assert_eq!(run.glass_for(&auth, "healthy"), None, "synced again");
        run.apply(&broken(&auth, &unpredicted(&auth)));
        assert!(run.glass_for_sync(&auth) && !run.glass_for_sync(&like));
    }

    #[test]
    fn health_and_quiet_do_not_look_at_the_symptom() {
        let plan = |gates: &str, then: &str| {
            let text = format!(
                "apiVersion: trueup.dev/v1\nkind: Plan\nincident: I\nscope: [a]\n{gates}sync:\n- {{application: a, then: [{then}]}}\n"
            );
            let mut run = Run {
                scope: vec![AppKey::new("argocd", "a")],
                ..Run::default()
            };
            run.connection.namespace = "argocd".into();
            run.take_plan(&Plan::parse(&text).unwrap());
            run.no_symptom_gate().is_some()
        };
        assert_eq!(
            Run::default().no_symptom_gate(),
            None,
            "nothing is in the scope"
        );
        assert!(plan("", "healthy"));
        assert!(plan("gates:\n  q: {quiet: {}}\n", "healthy, q"));
        assert!(
            !plan("gates:\n  m: {manual: look}\n", "healthy"),
            "what no step names follows the last sync"
        );
        assert!(!plan("gates:\n  m: {manual: look}\n", "healthy, m"));
        assert!(!plan("gates:\n  h: {http: {url: 'http://x/'}}\n", "h"));
    }

    #[test]
    fn a_gap_starts_again_what_rests_on_having_been_seen() {
        let key = AppKey::new("argocd", "auth");
        let at: Timestamp = "2026-11-14T07:00:00Z".parse().unwrap();
        let green = Sample {
            at,
            value: None,
            traffic: None,
            verdict: Verdict::Green,
            why: String::new(),
            unasked: false,
        };
        let quiet = Gate::Measured(crate::plan::MeasuredGate {
            quiet: Some(crate::plan::QuietGate::default()),
            ..Default::default()
        });
        let health = Gate::Measured(crate::plan::MeasuredGate::default());
        let mut run = Run::default();
        let op = OpId("op".into());
        run.app(&key).thaw = Thaw::Restored { op, at, rounds: 1 };
        for (name, spec) in [("quiet", quiet), ("health", health)] {
            let mut gate = GateRun {
                spec: Some(spec),
                ..GateRun::default()
            };
            gate.take(&green, at);
            run.app(&key).gates.insert(name.into(), gate);
        }
        let gap = |kind: &str| Record {
            seq: 1,
            time: at,
            event: Event::ObservationGap {
                kind: kind.into(),
                namespace: None,
                from: "1".into(),
                to: "9".into(),
                why: "410".into(),
            },
        };
        let rounds = |run: &Run| match &run.apps[&key].thaw {
            Thaw::Restored { rounds, .. } => *rounds,
            _ => 9,
        };
        assert!(run.rests_on_watching("ConfigMap"));
        run.apply(&gap("ConfigMap"));
        assert_eq!(run.apps[&key].gates["quiet"].streak, 0);
        assert_eq!(run.apps[&key].gates["health"].streak, 1);
        assert_eq!(rounds(&run), 1);
        run.apply(&gap(APPLICATION));
        assert_eq!(rounds(&run), 0);
    }
}
