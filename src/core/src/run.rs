//! The state of an incident: a fold over its events, and nothing else.

use crate::{
    decision::{CellKey, Decision, How, Later, Take},
    event::*,
    gate::{Sample, Verdict},
    ids::{Commit, IncidentId, OpId},
    object::identity::AppKey,
    plan::{Gate, Plan, Target},
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
    pub armed: Armed,
    pub shortened: Vec<(String, String, String)>,
    pub apps: BTreeMap<AppKey, AppRun>,
    pub decisions: BTreeMap<CellKey, Decision>,
    /// Cells of each `Decided`, newest last, for undo.
    pub decided: Vec<Vec<CellKey>>,
    pub snapshots: u32,
    pub questions: Vec<Value>,
    pub ops: BTreeMap<OpId, Op>,
    /// Live actions that were read again, and how long after.
    pub reread: BTreeMap<OpId, Vec<Span>>,
    /// Operations in the order of their intents.
    pub op_order: Vec<OpId>,
    pub message: Option<String>,
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
    pub baselines: BTreeMap<String, Sample>,
    pub broken_glass: Vec<BrokenGlass>,
    /// The permission without which nothing is frozen: the walk is unfrozen, and watched.
    pub unfrozen: Option<String>,
    /// What somebody else did meanwhile, as it was recorded.
    pub adopted: Vec<(Option<AppKey>, String)>,
    /// Decided cells that somebody touched since, which are open again: what was done, and by whom.
    pub shaken: BTreeMap<CellKey, Touched>,
    /// What was pushed and not looked for in Git since, by repository.
    pub pushed: BTreeMap<String, Pushed>,
    /// Those of them that were open again when the plan was taken, and were not touched since: the plan foresaw it.
    pub reopened: BTreeSet<CellKey>,
    pub exported: Vec<String>,
    pub closed: Option<(String, Timestamp)>,
    /// Sequence number and time of the last record.
    pub last: Option<(u64, Timestamp)>,
}

/// What somebody did to a decided cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Touched {
    pub what: String,
    pub who: String,
}

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
}

#[derive(Clone, Debug, PartialEq)]
pub struct RemovedGate {
    pub spec: Gate,
    pub why: String,
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

/// The samples of one gate after one sync.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GateRun {
    pub spec: Option<Gate>,
    pub hold: Span,
    pub every: Span,
    pub within: Span,
    pub started_at: Option<Timestamp>,
    pub samples: Vec<Sample>,
    /// First sample of the unbroken green streak.
    pub green_since: Option<Timestamp>,
    pub streak: u32,
    pub passed: Option<Timestamp>,
    pub timed_out: Option<String>,
    /// How long it was looked at: what `within` counts. While nobody looked, nothing was waited for.
    pub waited: Duration,
    /// Up to when that is counted.
    pub counted_to: Option<Timestamp>,
    /// When nobody looked, each as long as a few samples at least.
    pub away: Vec<Away>,
}

/// A time in which a gate was waited for by nobody.
#[derive(Clone, Debug, PartialEq)]
pub struct Away {
    pub from: Timestamp,
    pub to: Timestamp,
    /// The process was gone; otherwise the machine slept, or the walk stood still at something else.
    pub gone: bool,
}

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lasted = self.to.duration_since(self.from).as_secs().max(0);
        let why = match self.gone {
            true => "trueup was not running",
            false => "no sample was taken",
        };
        write!(
            f,
            "looked away for {} ({why})",
            Span::seconds(lasted.unsigned_abs())
        )
    }
}

/// An answer is not waited for longer than this: what comes later was not asked in time.
const ANSWER: Duration = Duration::from_secs(60);

impl GateRun {
    /// Counts the time up to `at` as waited, or as time in which nobody looked.
    fn count_to(&mut self, at: Timestamp, gone: bool) {
        let Some(from) = self.counted_to.or(self.started_at) else {
            return;
        };
        self.counted_to = Some(at);
        let Ok(lasted) = Duration::try_from(at.duration_since(from)) else {
            return;
        };
        let few = self.every.0 * 2 + Duration::from_secs(1);
        if gone || lasted > few + ANSWER {
            if lasted > few {
                self.away.push(Away { from, to: at, gone });
            }
        } else {
            self.waited += lasted;
        }
    }

    /// Since when it would have been waited for, had nobody ever looked away.
    pub fn waits_since(&self) -> Option<Timestamp> {
        let counted = self.counted_to.or(self.started_at)?;
        counted.checked_sub(self.waited).ok()
    }

    fn take(&mut self, sample: &Sample, at: Timestamp) {
        self.count_to(at, false);
        let gap = self.samples.last().is_some_and(|last| {
            let limit = self.every.0.as_secs_f64() * 2.0 + 1.0;
            sample.at.duration_since(last.at).as_secs_f64() > limit
        });
        if gap || sample.verdict != Verdict::Green {
            self.break_streak();
        }
        if sample.verdict == Verdict::Green {
            self.green_since.get_or_insert(sample.at);
            self.streak += 1;
        }
        self.samples.push(sample.clone());
    }

    /// Whether it asks that nobody writes, and so rests on a watch without gaps.
    fn is_quiet(&self) -> bool {
        matches!(&self.spec, Some(Gate::Measured(gate)) if gate.quiet.is_some())
    }

    fn break_streak(&mut self) {
        if self.passed.is_none() {
            self.green_since = None;
            self.streak = 0;
        }
    }

    /// Why it was not green in time, and when that was seen; `None` while it is waited for, and once it passed.
    pub fn late(&self) -> Option<String> {
        let why = self.timed_out.as_ref().filter(|_| self.passed.is_none())?;
        Some(match self.samples.last() {
            Some(last) => format!("{why} (seen {} UTC)", last.at.strftime("%-d %b %H:%M:%S")),
            None => why.clone(),
        })
    }

    /// Green for as long as asked, seen at least twice.
    pub fn held(&self) -> bool {
        match (self.green_since, self.samples.last()) {
            (Some(since), Some(last)) => {
                self.streak >= 2 && last.at.duration_since(since).unsigned_abs() >= self.hold.0
            }
            _ => false,
        }
    }
}

impl Run {
    /// Folds a whole journal.
    pub fn fold<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut run = Self::default();
        for record in records {
            run.apply(record);
        }
        run
    }

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

    /// Something was not seen: what has to be seen without a break starts again.
    fn not_seen(&mut self, applications: bool) {
        for app in self.apps.values_mut() {
            for gate in app.gates.values_mut().filter(|gate| gate.is_quiet()) {
                gate.break_streak();
            }
            if !applications {
                continue;
            }
            if let Freeze::Holding {
                op, at, mechanism, ..
            } = &app.freeze
            {
                app.freeze = Freeze::Set {
                    op: op.clone(),
                    at: *at,
                    mechanism: *mechanism,
                };
            }
            if let Thaw::Restored { rounds, .. } = &mut app.thaw {
                *rounds = 0;
            }
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

    fn app(&mut self, key: &AppKey) -> &mut AppRun {
        self.apps.entry(key.clone()).or_default()
    }

    /// Takes the next event.
    pub fn apply(&mut self, record: &Record) {
        self.last = Some((record.seq, record.time));
        let at = record.time;
        match &record.event {
            Event::IncidentOpened {
                incident,
                operator,
                scope,
                pin,
                connection,
                waits,
                plan,
                ..
            } => {
                self.incident = Some(incident.clone());
                self.operator.clone_from(operator);
                self.opened_at = Some(at);
                self.pin = pin.clone();
                self.connection = connection.clone();
                self.waits = waits.clone();
                if let Some(plan) = plan {
                    self.take_plan(plan);
                }
                self.set_scope(scope);
            }
            Event::Resumed { operator, .. } => {
                self.operator.clone_from(operator);
                // Arming is a consent given to a process, and that process is gone.
                self.armed = Armed::Nothing;
                for app in self.apps.values_mut() {
                    for gate in app.gates.values_mut() {
                        gate.break_streak();
                        if gate.passed.is_none() && gate.timed_out.is_none() {
                            gate.count_to(at, true);
                        }
                    }
                    if let Some((op, at, mechanism)) =
                        app.freeze.op().filter(|_| !app.freeze.proven())
                    {
                        app.freeze = Freeze::Set { op, at, mechanism };
                    }
                }
            }
            Event::ScopeSet { scope, .. } => self.set_scope(scope),
            Event::Armed { write, .. } => self.armed = *write,
            Event::WaitShortened { wait, from, to } => {
                self.shortened
                    .push((wait.clone(), from.clone(), to.clone()));
            }
            Event::TargetSet {
                application,
                target,
                sync_policy,
                evidence,
                ..
            } => {
                self.app(application).target =
                    Some((target.clone(), sync_policy.clone(), evidence.clone()));
            }
            Event::SnapshotTaken {
                number, questions, ..
            } => {
                self.snapshots = number + 1;
                self.questions.clone_from(questions);
            }
            Event::Decided { decisions } => {
                self.decided
                    .push(decisions.iter().map(|d| d.cell.clone()).collect());
                for decision in decisions {
                    self.not_pushed(&decision.cell);
                    self.shaken.remove(&decision.cell);
                    self.reopened.remove(&decision.cell);
                    self.decisions
                        .insert(decision.cell.clone(), decision.clone());
                }
                self.reopen();
            }
            Event::DecisionWithdrawn { cells, .. } => {
                for cell in cells {
                    self.not_pushed(cell);
                    self.shaken.remove(cell);
                    self.reopened.remove(cell);
                    self.decisions.remove(cell);
                }
                self.decided.retain_mut(|group| {
                    group.retain(|cell| !cells.contains(cell));
                    !group.is_empty()
                });
                self.reopen();
            }
            Event::Intended {
                op,
                effect,
                guard,
                shown,
                by_hand,
                by,
            } => {
                self.op_order.push(op.clone());
                self.ops.insert(
                    op.clone(),
                    Op {
                        effect: effect.clone(),
                        guard: guard.clone(),
                        shown: shown.clone(),
                        by_hand: by_hand.clone(),
                        by: by.clone(),
                        intended_at: at,
                        outcome: None,
                    },
                );
                if let Effect::Freeze {
                    application, found, ..
                } = effect
                {
                    self.app(application)
                        .found
                        .get_or_insert_with(|| found.clone());
                }
            }
            Event::Ended { op, outcome } => self.ended(op, outcome, at),
            Event::FreezeSampled {
                application,
                sample,
            } => {
                let app = self.app(application);
                let Some((op, at, mechanism)) = app.freeze.op() else {
                    return;
                };
                app.freeze = match &app.freeze {
                    _ if !sample.holds => Freeze::Set { op, at, mechanism },
                    Freeze::Set { .. } => Freeze::Holding {
                        op,
                        at,
                        mechanism,
                        first: sample.clone(),
                    },
                    other => other.clone(),
                };
            }
            Event::FreezeRight { missing } => self.unfrozen.clone_from(missing),
            Event::ObservationGap { kind, .. } => self.not_seen(kind == APPLICATION),
            Event::FreezeProven { application } => {
                let app = self.app(application);
                if let Some((op, set_at, mechanism)) = app.freeze.op() {
                    app.freeze = Freeze::Proven {
                        op,
                        at: set_at,
                        mechanism,
                        since: at,
                    };
                }
            }
            Event::FreezeLost { application, why } => {
                self.app(application).freeze = Freeze::Lost { why: why.clone() };
            }
            Event::Proposed { proposal } => self.proposal = Some((**proposal).clone()),
            Event::MessageSet { message, .. } => {
                self.message = Some(message.clone());
                self.proposal = None;
            }
            Event::ProposalVoid { .. } => self.proposal = None,
            Event::PlanTaken { plan, .. } => self.take_plan(plan),
            Event::CommitSet {
                branch,
                pull_request,
                ..
            } => {
                self.commit_branch.clone_from(branch);
                self.pull_request = *pull_request;
                self.proposal = None;
            }
            Event::Landed {
                repository,
                branch,
                revision,
                how,
            } => {
                self.landed.insert(
                    repository.clone(),
                    Landed {
                        branch: branch.clone(),
                        revision: revision.clone(),
                        how: how.clone(),
                    },
                );
                if let Some(pushed) = self.pushed.get_mut(repository) {
                    pushed.landed = true;
                }
                self.proposal = None;
                for app in self.apps.values_mut() {
                    app.forget_prediction();
                }
            }
            Event::InGit { repository } => {
                let pushed = self.pushed.remove(repository).unwrap_or_default();
                for cell in &pushed.cells {
                    if let Some(decision) = self.decisions.get_mut(cell) {
                        decision.pushed = true;
                    }
                }
            }
            Event::OrderSet { order, .. } => self.order.clone_from(order),
            Event::GateAdded { gate, spec, .. } => {
                let before = self.gates.insert(gate.clone(), spec.clone());
                self.removed_gates.remove(gate);
                if before.is_some_and(|before| before != *spec) {
                    self.forget_samples(gate);
                }
            }
            Event::GateRemoved { gate, why, by } => {
                if let Some(spec) = self.gates.remove(gate) {
                    let (why, by) = (why.clone(), by.clone());
                    self.removed_gates
                        .insert(gate.clone(), RemovedGate { spec, why, by });
                }
                self.forget_samples(gate);
            }
            Event::BaselineTaken { gate, sample } => {
                self.baselines.insert(gate.clone(), sample.clone());
            }
            Event::Predicted {
                application,
                revision,
                prediction,
            } => {
                self.app(application).prediction = Some((revision.clone(), (**prediction).clone()));
            }
            Event::OperationFinished {
                application,
                op,
                phase,
                message,
                ..
            } => {
                let app = self.app(application);
                if let Sync::Requested { op: ours, revision } = &app.sync
                    && ours == op
                {
                    app.sync = Sync::Finished {
                        op: op.clone(),
                        revision: revision.clone(),
                        phase: phase.clone(),
                        message: message.clone(),
                    };
                }
            }
            Event::SyncVerified {
                application,
                op,
                changes,
                surprises,
            } => {
                let app = self.app(application);
                if let Sync::Finished { revision, .. } = &app.sync {
                    let revision = revision.clone();
                    app.prediction = None;
                    app.sync = if surprises.is_empty() {
                        Sync::Verified {
                            op: op.clone(),
                            revision,
                            changes: changes.clone(),
                        }
                    } else {
                        Sync::Surprised {
                            op: op.clone(),
                            revision,
                            surprises: surprises.clone(),
                        }
                    };
                }
            }
            Event::GateStarted {
                application,
                gate,
                spec,
                hold,
                every,
                within,
            } => {
                self.app(application).gates.insert(
                    gate.clone(),
                    GateRun {
                        spec: Some(spec.clone()),
                        hold: *hold,
                        every: *every,
                        within: *within,
                        started_at: Some(at),
                        ..GateRun::default()
                    },
                );
            }
            Event::GateSampled {
                application,
                gate,
                sample,
            } => {
                self.app(application)
                    .gates
                    .entry(gate.clone())
                    .or_default()
                    .take(sample, at);
            }
            Event::GatePassed { application, gate } => {
                self.app(application)
                    .gates
                    .entry(gate.clone())
                    .or_default()
                    .passed = Some(at);
            }
            Event::GateTimedOut {
                application,
                gate,
                why,
                given_up_by,
            } => {
                let why = match given_up_by {
                    Some(by) => format!("the wait was given up by {by}; {why}"),
                    None => why.clone(),
                };
                self.app(application)
                    .gates
                    .entry(gate.clone())
                    .or_default()
                    .timed_out = Some(why);
            }
            Event::Attested {
                gate,
                who,
                saw,
                after,
            } => {
                let reached = match after.is_empty() {
                    true => self.to_attest(gate),
                    false => after.clone(),
                };
                for key in &reached {
                    let said = (who.clone(), saw.clone(), at);
                    self.app(key).attested.insert(gate.clone(), said);
                }
            }
            Event::ThawWatched {
                application,
                round,
                holds,
                why,
            } => {
                let app = self.app(application);
                if let Thaw::Restored {
                    op,
                    at: since,
                    rounds,
                } = &mut app.thaw
                {
                    if !holds {
                        app.thaw = Thaw::Broken {
                            op: op.clone(),
                            why: why.clone(),
                        };
                    } else {
                        *rounds = (*rounds).max(*round);
                        if *rounds >= 2 {
                            app.thaw = Thaw::Watched {
                                op: op.clone(),
                                at: *since,
                            };
                            app.freeze = Freeze::Thawed;
                        }
                    }
                }
            }
            Event::Adopted {
                application,
                what,
                who,
                cell,
            } => {
                if let Some(cell) = cell {
                    self.reopened.remove(cell);
                    let (what, who) = (what.clone(), who.clone());
                    self.shaken.insert(cell.clone(), Touched { what, who });
                }
                self.adopted.push((application.clone(), what.clone()));
                if let Some(application) = application {
                    self.app(application).forget_prediction();
                }
            }
            Event::GlassBroken {
                application,
                what,
                reason,
                by,
            } => self.broken_glass.push(BrokenGlass {
                application: application.clone(),
                after: application
                    .as_ref()
                    .and_then(|key| self.apps.get(key))
                    .and_then(|app| app.sync.op().cloned()),
                what: what.clone(),
                reason: reason.clone(),
                by: by.clone(),
                reviewed: None,
            }),
            Event::GlassReviewed { what, found, .. } => {
                for glass in self.broken_glass.iter_mut().filter(|g| g.what == *what) {
                    glass.reviewed = Some(found.clone());
                }
            }
            Event::Parked {
                application,
                owner,
                until,
                reason,
                ..
            } => {
                self.app(application).parked = Some(Parked {
                    owner: owner.clone(),
                    until: until.clone(),
                    reason: reason.clone(),
                });
            }
            Event::Unparked { application, .. } => self.app(application).parked = None,
            Event::PolicyMoved { application, why } => {
                self.app(application).policy_moved.clone_from(why);
            }
            Event::Exported { format, .. } => self.exported.push(format.clone()),
            Event::Closed { by } => self.closed = Some((by.clone(), at)),
            Event::ActReread { op, after, .. } => {
                self.reread.entry(op.clone()).or_default().push(*after);
            }
            Event::CommandRan { .. }
            | Event::Revealed { .. }
            | Event::WaitGivenUp { .. }
            | Event::Unknown => {}
        }
    }

    /// What was sampled of a gate says nothing about another one of its name.
    fn forget_samples(&mut self, gate: &str) {
        self.baselines.remove(gate);
        for app in self.apps.values_mut() {
            app.gates.remove(gate);
            app.attested.remove(gate);
        }
    }

    /// The first plan, or a mended one in its place: where that says what the one before it said, what was chosen on the
    /// screen since stays.
    pub(crate) fn take_plan(&mut self, plan: &Plan) {
        let before = self.plan.take();
        let before = before.as_deref();
        let had = |name: &str| before.and_then(|before| before.gates.get(name));
        self.gates
            .retain(|name, _| had(name).is_none() || plan.gates.contains_key(name));
        for (name, gate) in &plan.gates {
            if had(name) == Some(gate) {
                continue;
            }
            self.removed_gates.remove(name);
            let old = self.gates.insert(name.clone(), gate.clone());
            if old.is_some_and(|old| old != *gate) {
                self.forget_samples(name);
            }
        }
        if before.is_none_or(|before| before.commit != plan.commit) {
            self.message.clone_from(&plan.commit.message);
            self.commit_branch.clone_from(&plan.commit.branch);
            self.pull_request = plan.commit.pull_request;
            self.proposal = None;
        }
        self.reopened = self.shaken.keys().cloned().collect();
        self.plan = Some(Box::new(plan.clone()));
    }

    /// The same with another plan.
    pub fn with_plan(&self, plan: &Plan) -> Self {
        let mut run = self.clone();
        run.take_plan(plan);
        run
    }

    fn set_scope(&mut self, scope: &[AppKey]) {
        self.scope = scope.to_vec();
        for key in scope {
            self.apps.entry(key.clone()).or_default();
        }
    }

    /// What is decided now is another thing than what was pushed.
    fn not_pushed(&mut self, cell: &CellKey) {
        for pushed in self.pushed.values_mut() {
            pushed.cells.remove(cell);
        }
    }

    /// A changed decision makes what was proposed and predicted from it void.
    fn reopen(&mut self) {
        self.proposal = None;
        for app in self.apps.values_mut() {
            app.forget_prediction();
        }
    }

    fn ended(&mut self, id: &OpId, outcome: &Outcome, at: Timestamp) {
        let Some(op) = self.ops.get_mut(id) else {
            return;
        };
        op.outcome = Some((outcome.clone(), at));
        if !op.done() {
            return;
        }
        let (effect, id) = (op.effect.clone(), id.clone());
        match effect {
            Effect::Freeze {
                application,
                mechanism,
                ..
            } => {
                let app = self.app(&application);
                app.freeze = Freeze::Set {
                    op: id,
                    at,
                    mechanism,
                };
                app.thaw = Thaw::Not;
                app.policy_moved = None;
            }
            Effect::Sync {
                application,
                revision,
                ..
            } => {
                let app = self.app(&application);
                app.sync = Sync::Requested { op: id, revision };
                app.gates.clear();
                app.attested.clear();
            }
            Effect::Thaw { application, .. } => {
                self.app(&application).thaw = Thaw::Restored {
                    op: id,
                    at,
                    rounds: 0,
                };
            }
            Effect::Act { application, .. } => {
                let app = self.app(&application);
                app.acts.push(id);
                // What a sync would do was worked out on an object that is another one now.
                app.forget_prediction();
            }
            // The gates judge what is left.
            Effect::Delete { application, .. } => {
                let app = self.app(&application);
                app.gates.clear();
                app.attested.clear();
            }
            // What a sync would do is another thing now.
            Effect::Ignore { application, .. } => self.app(&application).prediction = None,
            Effect::Push {
                repository, commit, ..
            } => {
                self.commits += 1;
                let ours = self.proposal.iter().filter(|built| built.commit == commit);
                let cells = ours.flat_map(|built| &built.cells).cloned();
                let pushed = self.pushed.entry(repository).or_default();
                pushed.cells.extend(cells);
            }
        }
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
            for after in [Span::seconds(5), Span::seconds(30)] {
                if self
                    .reread
                    .get(id)
                    .is_some_and(|done| done.contains(&after))
                {
                    continue;
                }
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
    fn unlisted(&self, app: &AppKey) -> bool {
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
        Some(crate::text::line(&format!(
            "{} {stand} in the scope and in no step of `sync`: {are} synced after the steps, with no gate but healthy",
            names.join(", ")
        )))
    }

    /// The gates that follow the sync of an Application.
    pub fn gates_after(&self, app: &AppKey) -> Vec<String> {
        let planned = self
            .plan
            .iter()
            .flat_map(|plan| &plan.sync)
            .find(|step| self.named(&step.application) == Some(app));
        match planned {
            Some(step) if self.order.is_empty() => {
                let asked = |name: &&String| !self.removed_gates.contains_key(*name);
                step.then.iter().filter(asked).cloned().collect()
            }
            // The gates of the steps of a plan are theirs, and what somebody saw after them is said of them.
            None if self.unlisted(app) => vec!["healthy".to_owned()],
            _ => {
                let mut gates = vec!["healthy".to_owned()];
                if self.sync_order().last() == Some(app) {
                    gates.extend(self.gates.keys().filter(|name| *name != "healthy").cloned());
                }
                gates
            }
        }
    }

    /// The Applications after whose sync a person is asked for this gate now: synced as shown, every measured gate settled,
    /// and nobody has said yet what they saw.
    pub fn to_attest(&self, gate: &str) -> Vec<AppKey> {
        let asked = |key: &&AppKey| {
            self.gates_after(key).iter().any(|name| name == gate)
                && self.gate_to_pass(key).is_none()
                && self.apps.get(*key).is_some_and(|app| {
                    matches!(app.sync, Sync::Verified { .. }) && !app.attested.contains_key(gate)
                })
        };
        self.scope.iter().filter(asked).cloned().collect()
    }

    /// What was not looked at up to this moment: a line for each gate that was waited for.
    pub fn looked_away(&self, until: Timestamp) -> Vec<String> {
        let gates = |(key, app): (&'_ AppKey, &'_ AppRun)| {
            let ended = |(gate, state): (&String, &GateRun)| {
                let away = state.away.iter().find(|away| away.to == until)?;
                Some(format!("gate {gate} after {}: {away}", key.name))
            };
            app.gates.iter().filter_map(ended).collect::<Vec<_>>()
        };
        self.apps.iter().flat_map(gates).collect()
    }

    /// What is to be said where no gate looks at what the incident is about: that pods are ready, and that nobody writes,
    /// says nothing of it.
    pub fn no_symptom_gate(&self) -> Option<&'static str> {
        let looks = |name: &String| match self.gates.get(name) {
            Some(Gate::Manual(_)) => true,
            Some(Gate::Measured(gate)) => {
                gate.prometheus.is_some()
                    || gate.http.is_some()
                    || gate.command.is_some()
                    || gate.field.is_some()
            }
            None => false,
        };
        let mut gates = self.scope.iter().flat_map(|key| self.gates_after(key));
        let said = match self.closed.is_some() {
            true => {
                "no gate looked at the symptom, only at health: whether it is over, nothing here tells"
            }
            false => {
                "no gate looks at the symptom, only at health: add one (`gates` in the plan, `a` on the Sync screen), or look by hand"
            }
        };
        (!self.scope.is_empty() && !gates.any(|name| looks(&name))).then_some(said)
    }

    /// Whether a gate was begun and neither passed nor ran out of time.
    pub fn waits_for_a_gate(&self) -> bool {
        let gates = self.walking().flat_map(|(_, app)| app.gates.values());
        gates.into_iter().any(|state| {
            state.started_at.is_some() && state.passed.is_none() && state.timed_out.is_none()
        })
    }

    /// The first gate after the sync of an Application that is measured, did not pass, and that no glass was broken for.
    pub fn gate_to_pass(&self, key: &AppKey) -> Option<String> {
        let app = self.apps.get(key)?;
        self.gates_after(key).into_iter().find(|gate| {
            !matches!(self.gates.get(gate), Some(Gate::Manual(_)))
                && app
                    .gates
                    .get(gate)
                    .is_none_or(|state| state.passed.is_none())
                && self.glass_for(key, gate).is_none()
        })
    }

    /// The glass that was broken for a gate after the sync of this Application that was made last.
    pub fn glass_for(&self, key: &AppKey, gate: &str) -> Option<&BrokenGlass> {
        let sync = self.apps.get(key).and_then(|app| app.sync.op());
        self.broken_glass.iter().rfind(|glass| {
            glass.what == gate
                && (glass.application.is_none()
                    || glass.application.as_ref() == Some(key) && glass.after.as_ref() == sync)
        })
    }

    /// Whether glass was broken for a sync whose effect cannot be predicted; glass for a gate is none for that.
    pub fn glass_for_sync(&self, key: &AppKey) -> bool {
        let what = unpredicted(key);
        self.broken_glass.iter().any(|glass| glass.what == what)
    }

    /// The gate that the walk stands still at after the sync of an Application: it was not green in time.
    pub fn late_gate(&self, key: &AppKey) -> Option<String> {
        let app = self.apps.get(key)?;
        let late = |gate: &String| {
            app.gates
                .get(gate)
                .is_some_and(|state| state.late().is_some())
                && self.glass_for(key, gate).is_none()
        };
        self.gates_after(key).into_iter().find(late)
    }

    /// The gates of which one fresh sample is taken before these are thawed, and those that are not sampled because glass
    /// was broken for them. Gates follow a sync: what was not synced has none.
    pub fn gates_before_thaw<'a>(
        &'a self,
        applications: &[AppKey],
    ) -> (BTreeSet<String>, Vec<&'a BrokenGlass>) {
        let synced = applications.iter().filter(|key| {
            let app = self.apps.get(*key);
            app.is_some_and(|app| matches!(app.sync, Sync::Verified { .. }))
        });
        let measured = synced
            .flat_map(|key| {
                self.gates_after(key)
                    .into_iter()
                    .map(move |name| (key, name))
            })
            .filter(|(_, name)| !matches!(self.gates.get(name), Some(Gate::Manual(_))));
        let (mut sampled, mut broken) = (BTreeSet::new(), Vec::new());
        for (key, name) in measured {
            match self.glass_for(key, &name) {
                Some(glass) => broken.push(glass),
                None => {
                    sampled.insert(name);
                }
            }
        }
        (sampled, broken)
    }

    /// Who has an Application that is left frozen on purpose, and until when.
    pub fn stays_frozen(&self, key: &AppKey) -> Option<&Later> {
        self.decisions
            .values()
            .filter(|decision| decision.cell.application == *key)
            .find_map(|decision| match &decision.take {
                Take::Later(later) if later.how == How::StayFrozen => Some(later),
                _ => None,
            })
    }

    /// Whether something is owed that somebody else can settle without this journal: a look tells ([`crate::now::Now::owed`]).
    pub fn owes_a_thaw(&self) -> bool {
        let mut owed = self.obligations().into_iter();
        self.closed.is_some() && owed.any(|owed| owed.id.starts_with("frozen:"))
    }

    /// What we still owe, derived from what was done.
    pub fn obligations(&self) -> Vec<Obligation> {
        let mut owed = Vec::new();
        for (key, app) in &self.apps {
            if app.freeze.is_set() || matches!(app.freeze, Freeze::Lost { .. }) {
                let parked = app.parked.as_ref().map(|p| (&p.owner, &p.until));
                let handed = parked.or_else(|| {
                    let later = self.stays_frozen(key)?;
                    Some((&later.owner, &later.until))
                });
                owed.push(Obligation {
                    id: format!("frozen:{key}"),
                    what: match &app.freeze {
                        Freeze::Lost { why } => format!("the freeze of {key} is lost: {why}"),
                        freeze => format!("{key} is frozen ({})", freeze.word()),
                    },
                    application: Some(key.clone()),
                    owner: handed.map(|(owner, _)| owner.clone()),
                    until: handed.map(|(_, until)| until.clone()),
                    blocks_close: handed.is_none(),
                    settle: match (parked, handed) {
                        (Some(_), _) if self.closed.is_none() => Obligation::TAKE_UP,
                        (None, Some(_)) if self.closed.is_none() => Obligation::DECIDE,
                        _ => "thaw",
                    }
                    .into(),
                });
            }
            let broken = match &app.thaw {
                Thaw::Broken { why, .. } => Some(format!("{key} did not stay as thawed: {why}")),
                _ => app.policy_moved.as_ref().map(|why| format!("{key} {why}")),
            };
            if let Some(what) = broken {
                owed.push(Obligation {
                    id: format!("thaw:{key}"),
                    what,
                    application: Some(key.clone()),
                    owner: None,
                    until: None,
                    blocks_close: true,
                    settle: "freeze".into(),
                });
            }
            for (gate, state) in &app.gates {
                // A red gate that glass was broken for is owed as the review of that glass.
                let glass = self.glass_for(key, gate).is_some();
                if let (Some(why), false) = (state.late(), glass) {
                    owed.push(Obligation {
                        id: format!("gate:{key}:{gate}"),
                        what: format!("gate {gate} after {key} did not become green: {why}"),
                        application: Some(key.clone()),
                        owner: None,
                        until: None,
                        blocks_close: true,
                        settle: Obligation::GATE.into(),
                    });
                }
            }
        }
        for (id, op) in self.open_ops() {
            owed.push(Obligation {
                id: format!("open:{id}"),
                what: format!(
                    "it is not known whether this {} happened (op {id})",
                    op.effect.verb()
                ),
                application: op.effect.application().cloned(),
                owner: None,
                until: None,
                blocks_close: true,
                settle: "look".into(),
            });
        }
        if self.pushed_unmerged() {
            owed.push(Obligation {
                id: "unmerged".into(),
                what: "the change is pushed to a branch of its own and not merged".into(),
                application: None,
                owner: None,
                until: None,
                blocks_close: true,
                settle: "merge".into(),
            });
        }
        for glass in self.broken_glass.iter().filter(|g| g.reviewed.is_none()) {
            owed.push(Obligation {
                id: format!("glass:{}", glass.what),
                what: format!("glass was broken and not reviewed: {}", glass.what),
                application: glass.application.clone(),
                owner: None,
                until: None,
                blocks_close: true,
                settle: "review".into(),
            });
        }
        for decision in self.acted_and_not_pushed() {
            owed.push(self.act_owed(&decision.cell));
        }
        for decision in self.decisions.values() {
            if let Take::Later(later) = &decision.take {
                let how = match later.how {
                    How::KeepLive => "kept live for now, to be removed from Git",
                    How::GitNow => "Git won for now, to be followed up",
                    How::StayFrozen => "undecided, stays frozen",
                };
                owed.push(Obligation {
                    id: format!("later:{}:{}", decision.cell.object, decision.cell.field),
                    what: format!("{} {}: {how}", decision.cell.object, decision.cell.field),
                    application: Some(decision.cell.application.clone()),
                    owner: Some(later.owner.clone()),
                    until: Some(later.until.clone()),
                    blocks_close: false,
                    settle: "hand over".into(),
                });
            }
        }
        owed
    }

    /// The debt of a live action. Who took over the Application took it over too.
    pub(crate) fn act_owed(&self, cell: &CellKey) -> Obligation {
        let app = self.apps.get(&cell.application);
        let parked = app.and_then(|app| app.parked.as_ref());
        Obligation {
            id: format!("act:{}:{}", cell.object, cell.field),
            what: format!(
                "{} {} was set by a live action and is not in Git",
                cell.object, cell.field
            ),
            application: Some(cell.application.clone()),
            owner: parked.map(|parked| parked.owner.clone()),
            until: parked.map(|parked| parked.until.clone()),
            blocks_close: parked.is_none(),
            settle: "push it, or put it back".into(),
        }
    }

    /// Whether an Application was frozen by another incident, and nothing of it was decided here.
    pub fn only_taken_over(&self, key: &AppKey) -> bool {
        let taken = |op: &Op| matches!(&op.effect, Effect::Freeze { application, from: Some(_), .. } if application == key);
        self.ops.values().any(|op| op.done() && taken(op))
            && !self.decisions.keys().any(|cell| cell.application == *key)
    }

    /// Fields that a live action set.
    pub fn acted(&self) -> impl Iterator<Item = &CellKey> {
        self.ops.values().filter(|op| op.done()).filter_map(|op| {
            let Effect::Act { cell, .. } = &op.effect else {
                return None;
            };
            cell.as_ref()
        })
    }

    /// Whether a field stands as it stood before the first live action on it.
    pub fn as_before_acts(&self, key: &CellKey, live: Option<&serde_json::Value>) -> bool {
        let mut done = self.op_order.iter().filter_map(|id| self.ops.get(id));
        let first = done.find(|op| {
            let on = |effect: &Effect| matches!(effect, Effect::Act { cell: Some(cell), .. } if cell.is_same(key));
            op.done() && on(&op.effect)
        });
        // A field that was not there has null in the guard.
        let before = first.and_then(|op| op.guard.facts.get(&key.field.to_string()));
        before.is_some_and(|before| live.unwrap_or(&serde_json::Value::Null) == before)
    }

    /// What a live action set and no push has taken to Git since.
    pub fn acted_and_not_pushed(&self) -> impl Iterator<Item = &Decision> {
        let done = || self.ops.values().filter(|op| op.done());
        self.decisions.values().filter(move |decision| {
            let acted = self.acted().any(|cell| cell.is_same(&decision.cell));
            let pushed = done().any(|op| {
                matches!(op.effect, Effect::Push { .. }) && op.intended_at >= decision.at
            });
            acted && decision.changes_git() && !pushed
        })
    }

    /// A push to a branch of our own whose merge has not been seen.
    pub fn pushed_unmerged(&self) -> bool {
        let pushed = self
            .op_order
            .iter()
            .rev()
            .filter_map(|id| self.ops.get(id))
            .find(|op| op.done() && matches!(op.effect, Effect::Push { .. }));
        match pushed.map(|op| (&op.effect, &op.outcome)) {
            Some((
                Effect::Push {
                    tracked: false,
                    repository,
                    ..
                },
                Some((_, at)),
            )) => {
                let _ = at;
                !self.landed.contains_key(repository)
            }
            _ => false,
        }
    }
}

fn with_rest(mut chosen: Vec<AppKey>, all: &[AppKey]) -> Vec<AppKey> {
    for key in all {
        if !chosen.contains(key) {
            chosen.push(key.clone());
        }
    }
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
            plan("gates:\n  m: {manual: look}\n", "healthy"),
            "it follows no sync"
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
