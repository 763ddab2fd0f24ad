//! The guided walk: from what was done and what is, to the one thing that comes next.
//!
//! `next` is asked by the screen (the key `n`), by `trueup run`, and on resume. It never waits and never chooses for
//! the operator: what needs a person is named as such.

mod behind;
mod glass;
mod words;

pub use behind::{Behind, left_behind};
pub use glass::{Glass, glass_to_break};

use crate::{
    decision::{CellKey, Take},
    event::{Armed, Effect, Proposal},
    ids::{Commit, OpId},
    now::{AppNow, Now},
    object::identity::{AppKey, ObjectRef},
    plan::Gate,
    rules,
    run::{AppRun, Freeze, Landed, Run, Sync, Thaw},
    sheet::Command,
    text,
};
use serde::{Deserialize, Serialize};

/// The eight stages, in order.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    #[default]
    Scope,
    Freeze,
    Snapshot,
    Decide,
    Commit,
    Sync,
    Thaw,
    Close,
}

impl Stage {
    pub const ALL: [Self; 8] = [
        Self::Scope,
        Self::Freeze,
        Self::Snapshot,
        Self::Decide,
        Self::Commit,
        Self::Sync,
        Self::Thaw,
        Self::Close,
    ];

    /// As on the rail.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scope => "Scope",
            Self::Freeze => "Freeze",
            Self::Snapshot => "Snapshot",
            Self::Decide => "Decide",
            Self::Commit => "Commit",
            Self::Sync => "Sync",
            Self::Thaw => "Thaw",
            Self::Close => "Close",
        }
    }
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Next {
    /// Look up in the world whether these writes happened.
    LookUp {
        ops: Vec<OpId>,
    },
    /// Nothing is in the scope yet.
    ChooseScope,
    /// Take snapshot 0.
    SnapshotZero,
    /// A gate has no baseline from before the first change.
    TryGate {
        gate: String,
    },
    ChooseTarget {
        application: AppKey,
    },
    /// The following writes need arming.
    Arm {
        write: Armed,
        why: String,
        /// Where on the rail the write belongs.
        stage: Stage,
    },
    Freeze {
        applications: Vec<AppKey>,
    },
    /// Observe that the freeze holds.
    ProveFreeze {
        applications: Vec<AppKey>,
    },
    /// The freeze was lost: freeze again.
    Refreeze {
        application: AppKey,
        why: String,
    },
    Snapshot,
    Decide {
        /// A program that wants them asks for the drift.
        #[serde(skip)]
        cells: Vec<CellKey>,
        /// See [`Now::fields`].
        fields: usize,
    },
    /// Build and prove the commit.
    Propose,
    Push,
    AwaitMerge {
        repository: String,
        branch: String,
        revision: Commit,
    },
    /// What comes next needs a right that this operator does not have: somebody else takes over from here.
    AwaitPermission {
        /// `patch applications.argoproj.io/auth-service in argocd`.
        missing: String,
        reason: String,
        stage: Stage,
    },
    /// Nothing has to change in Git: the head is the revision to sync to.
    TakeHead {
        repository: String,
        revision: Commit,
    },
    /// The Application's declaration in Git ignores what was decided, and the live one does not yet.
    Ignore {
        application: AppKey,
    },
    /// An object is decided to be removed: its deletion is confirmed by itself.
    Delete {
        application: AppKey,
        object: ObjectRef,
    },
    /// The object is being deleted, and something still holds it.
    AwaitGone {
        application: AppKey,
        object: ObjectRef,
    },
    /// Read what the sync would do.
    Predict {
        application: AppKey,
        revision: Commit,
    },
    Sync {
        application: AppKey,
    },
    AwaitOperation {
        application: AppKey,
        op: OpId,
    },
    VerifySync {
        application: AppKey,
        op: OpId,
    },
    /// Sample a gate.
    Gate {
        application: AppKey,
        gate: String,
    },
    Attest {
        gate: String,
        asks: String,
        application: AppKey,
    },
    Thaw {
        applications: Vec<AppKey>,
    },
    WatchThaw {
        application: AppKey,
    },
    /// Something is owed that only a person can settle.
    Settle {
        obligation: String,
        what: String,
    },
    Close,
    Closed,
    /// The walk stands still until a person decides.
    Stopped {
        /// Where it stands still.
        stage: Stage,
        rule: u8,
        application: Option<AppKey>,
        reason: String,
    },
}

impl Next {
    /// Where on the rail it belongs.
    pub fn stage(&self) -> Stage {
        match self {
            Self::LookUp { .. }
            | Self::ChooseScope
            | Self::SnapshotZero
            | Self::TryGate { .. }
            | Self::ChooseTarget { .. } => Stage::Scope,
            Self::Arm { stage, .. } | Self::AwaitPermission { stage, .. } => *stage,
            Self::Freeze { .. } | Self::ProveFreeze { .. } | Self::Refreeze { .. } => Stage::Freeze,
            Self::Snapshot => Stage::Snapshot,
            Self::Decide { .. } => Stage::Decide,
            Self::Propose | Self::Push | Self::AwaitMerge { .. } | Self::TakeHead { .. } => {
                Stage::Commit
            }
            Self::Predict { .. }
            | Self::Sync { .. }
            | Self::Ignore { .. }
            | Self::Delete { .. }
            | Self::AwaitGone { .. }
            | Self::AwaitOperation { .. }
            | Self::VerifySync { .. }
            | Self::Gate { .. }
            | Self::Attest { .. } => Stage::Sync,
            Self::Thaw { .. } | Self::WatchThaw { .. } => Stage::Thaw,
            Self::Settle { .. } | Self::Close | Self::Closed => Stage::Close,
            Self::Stopped { stage, .. } => *stage,
        }
    }

    /// The write that it is, where there is one.
    pub fn command(self) -> Option<Command> {
        Some(match self {
            Self::Freeze { applications } => Command::Freeze { applications },
            Self::Refreeze { application, .. } => Command::Freeze {
                applications: vec![application],
            },
            Self::Push => Command::Push,
            Self::Sync { application } => Command::Sync { application },
            Self::Ignore { application } => Command::Ignore { application },
            Self::Delete {
                application,
                object,
            } => Command::Delete {
                application,
                object,
            },
            Self::Thaw { applications } => Command::Thaw { applications },
            _ => return None,
        })
    }

    /// Whether it only observes, so that nobody has to be asked.
    pub fn observes(&self) -> bool {
        matches!(
            self,
            Self::LookUp { .. }
                | Self::SnapshotZero
                | Self::TryGate { .. }
                | Self::ProveFreeze { .. }
                | Self::Snapshot
                | Self::Propose
                | Self::AwaitMerge { .. }
                | Self::TakeHead { .. }
                | Self::Predict { .. }
                | Self::AwaitOperation { .. }
                | Self::VerifySync { .. }
                | Self::AwaitGone { .. }
                | Self::Gate { .. }
                | Self::WatchThaw { .. }
        )
    }
}

/// Where on the rail the walk is: what is not known to have happened is looked up where it was made.
pub fn stage(run: &Run, next: &Next) -> Stage {
    match (next, run.open_ops().next()) {
        (Next::LookUp { .. }, Some((_, op))) => made_in(&op.effect),
        _ => next.stage(),
    }
}

/// Where on the rail a write belongs.
pub fn made_in(effect: &Effect) -> Stage {
    match effect {
        Effect::Freeze { .. } => Stage::Freeze,
        Effect::Act { .. } => Stage::Decide,
        Effect::Push { .. } => Stage::Commit,
        Effect::Sync { .. } | Effect::Ignore { .. } | Effect::Delete { .. } => Stage::Sync,
        Effect::Thaw { .. } => Stage::Thaw,
    }
}

/// The one next thing.
pub fn next(run: &Run, now: &Now) -> Next {
    if run.closed.is_some() {
        return Next::Closed;
    }
    let open: Vec<OpId> = run.open_ops().map(|(id, _)| id.clone()).collect();
    if !open.is_empty() {
        return Next::LookUp { ops: open };
    }
    let next = walk(run, now);
    match unarmed(run, &next) {
        Some(why) => Next::Arm {
            write: match unfrozen(run, now) {
                Some(_) => Armed::Git,
                None => Armed::All,
            },
            why,
            stage: next.stage(),
        },
        None => next,
    }
}

/// Why the process has to be armed before this, if it is not.
fn unarmed(run: &Run, next: &Next) -> Option<String> {
    let (armed, why) = match next {
        Next::Freeze { applications } if applications.iter().any(|key| run.is_given_back(key)) => (
            run.armed.cluster(),
            "the commit moves what is thawed; freezing it again writes to it",
        ),
        Next::Freeze { .. } => (run.armed.cluster(), "freezing writes to the Applications"),
        Next::Refreeze { application, why } if !run.armed.cluster() => {
            return Some(format!(
                "the freeze of {application} was lost ({why}), and freezing it again writes to it"
            ));
        }
        Next::Push => (run.armed.git(), "a push writes to the repository"),
        Next::Sync { .. } => (run.armed.cluster(), "a sync writes to the Application"),
        Next::Ignore { .. } => (
            run.armed.cluster(),
            "what is ignored is written to the Application",
        ),
        Next::Delete { .. } => (run.armed.cluster(), "a deletion writes to the cluster"),
        Next::Thaw { .. } => (run.armed.cluster(), "thawing writes to the Applications"),
        Next::ProveFreeze { .. } | Next::Predict { .. } | Next::WatchThaw { .. } => (
            run.armed.cluster(),
            "asking Argo CD to compare now writes to the Application",
        ),
        _ => return None,
    };
    (!armed).then(|| why.to_owned())
}

fn walk(run: &Run, now: &Now) -> Next {
    before_the_freeze(run)
        .or_else(|| {
            if unfrozen(run, now).is_none() {
                freeze(run, now)
            } else {
                None
            }
        })
        .or_else(|| (run.snapshots < 2).then_some(Next::Snapshot))
        .or_else(|| watched(run))
        .or_else(|| in_flight(run, now))
        .or_else(|| snapshot_again(run, now))
        .or_else(|| decide(run, now))
        .or_else(|| commit(run, now))
        .or_else(|| handed_over(run, now))
        .or_else(|| sync(run, now))
        .or_else(|| thaw(run, now))
        .unwrap_or_else(|| close(run, now))
}

fn before_the_freeze(run: &Run) -> Option<Next> {
    if run.scope.is_empty() {
        return Some(Next::ChooseScope);
    }
    if run.snapshots == 0 {
        return Some(Next::SnapshotZero);
    }
    if !run.cure_begun() {
        let untried = run.gates.iter().find(|(name, gate)| {
            matches!(gate, Gate::Measured(_)) && !run.baselines.contains_key(*name)
        });
        if let Some((gate, _)) = untried {
            return Some(Next::TryGate { gate: gate.clone() });
        }
    }
    run.walking()
        .find(|(_, app)| app.target.is_none())
        .map(|(key, _)| Next::ChooseTarget {
            application: key.clone(),
        })
}

fn freeze(run: &Run, now: &Now) -> Option<Next> {
    let lost = run.walking().find_map(|(key, app)| match &app.freeze {
        // What another incident took over is neither lost nor ours to freeze.
        Freeze::Lost { why } if now.taken_over_by(run, key).is_none() => Some(Next::Refreeze {
            application: key.clone(),
            why: why.clone(),
        }),
        _ => None,
    });
    if lost.is_some() {
        return lost;
    }
    let not: Vec<AppKey> = run
        .walking()
        .filter(|(_, app)| app.freeze == Freeze::Not)
        .map(|(key, _)| key.clone())
        .collect();
    if !not.is_empty() {
        return Some(Next::Freeze { applications: not });
    }
    let unproven: Vec<AppKey> = run
        .walking()
        .filter(|(_, app)| app.freeze.is_set() && !app.freeze.proven())
        .map(|(key, _)| key.clone())
        .collect();
    (!unproven.is_empty()).then_some(Next::ProveFreeze {
        applications: unproven,
    })
}

/// A snapshot that could not read an Application is none of it: it is taken again before anything rests on it.
fn snapshot_again(run: &Run, now: &Now) -> Option<Next> {
    let mut blind = run
        .walking()
        .filter(|(key, _)| run.unsnapped(key))
        .filter_map(|(key, _)| Some((key, now.apps.get(key)?)))
        .peekable();
    blind.peek()?;
    match blind.find(|(_, app)| app.incomplete) {
        None => Some(Next::Snapshot),
        Some((key, _)) => Some(could_not_read(now, key, Stage::Snapshot)),
    }
}

fn could_not_read(now: &Now, key: &AppKey, stage: Stage) -> Next {
    let why = now
        .errors
        .first()
        .map_or("it was not found", String::as_str);
    Next::Stopped {
        stage,
        rule: 0,
        application: Some(key.clone()),
        reason: format!("not all of {key} could be read: {why}"),
    }
}

fn decide(run: &Run, now: &Now) -> Option<Next> {
    // What could not be read may hide a question: nothing goes on as if there were none.
    let unread = run
        .walking()
        .find(|(key, _)| now.apps.get(*key).is_none_or(|app| app.incomplete));
    if let Some((key, _)) = unread {
        return Some(could_not_read(now, key, Stage::Decide));
    }
    let cells: Vec<CellKey> = now.undecided(run).map(|(key, _)| key.clone()).collect();
    let fields = now.fields(&cells);
    (!cells.is_empty()).then_some(Next::Decide { cells, fields })
}

/// A decision for which the tracked branch still has to change.
pub(crate) fn owed_to_git<'r>(run: &'r Run, now: &Now) -> Option<&'r CellKey> {
    let one_sided = now.one_sided();
    let owed = run.decisions.iter().find(|(key, decision)| {
        let parked = run
            .apps
            .get(&key.application)
            .is_some_and(|app| app.parked.is_some());
        let as_decided = match now.cells.get(key) {
            Some(cell) => cell.git_as_decided(decision),
            None => !decision.changes_git() && decision.take != Take::Ignore,
        };
        !parked && !as_decided && !one_sided.has(key)
    });
    owed.map(|(key, _)| key)
}

fn commit(run: &Run, now: &Now) -> Option<Next> {
    let walking: Vec<&AppKey> = run.walking().map(|(key, _)| key).collect();
    let repositories: std::collections::BTreeSet<&String> = walking
        .iter()
        .filter_map(|key| now.apps.get(*key))
        .map(|app| &app.repository)
        .collect();
    if let Some((repository, branch, revision)) = unmerged(run) {
        if let Some(missing) = unfrozen(run, now).filter(|_| owed_to_git(run, now).is_some()) {
            let moved: Vec<&str> = run
                .proposal
                .iter()
                .flat_map(|proposal| &proposal.proof)
                .map(|line| line.application.name.as_str())
                .collect();
            return Some(Next::AwaitPermission {
                reason: text::line(&format!(
                    "unfrozen, watched: {} is pushed to {branch}; merging it changes what {} deploy. No right to {missing}: \
                     the freeze, the syncs and the thaw are for somebody who has it",
                    revision.short(),
                    moved.join(", "),
                )),
                missing,
                stage: Stage::Commit,
            });
        }
        return Some(Next::AwaitMerge {
            repository,
            branch,
            revision,
        });
    }
    if owed_to_git(run, now).is_some() {
        return Some(match &run.proposal {
            Some(proposal) if !behind_its_branch(now, proposal) => push(run, now, proposal),
            _ => Next::Propose,
        });
    }
    repositories.into_iter().find_map(|repository| {
        let head = now.heads.get(repository)?;
        match run.landed.get(repository) {
            Some(landed) if landed.revision == *head => None,
            Some(_) | None if everything_thawed(run, now) => None,
            _ => Some(Next::TakeHead {
                repository: repository.clone(),
                revision: head.clone(),
            }),
        }
    })
}

/// Whether what was verified is to be synced again: another prediction was made since, or something was decided or brought to Git.
pub fn to_sync_again(run: &Run, now: &Now, key: &AppKey, app: &AppRun) -> bool {
    let stands = || !now.apps.contains_key(key) || crate::rules::synced(run, now, key);
    matches!(app.sync, Sync::Verified { .. })
        && (app.prediction.is_some() || app.freeze.is_set() && !stands())
}

/// Whether the sync of an Application counts: verified, not to be made again, and with nothing of it open since.
pub fn sync_counts(run: &Run, now: &Now, key: &AppKey, app: &AppRun) -> bool {
    matches!(app.sync, Sync::Verified { .. })
        && !to_sync_again(run, now, key, app)
        && run.open_again().all(|cell| cell.application != *key)
}

/// Whether the branch that a commit was built on moved since: it could not be pushed any more.
fn behind_its_branch(now: &Now, proposal: &Proposal) -> bool {
    let head = now.heads.get(&proposal.repository);
    head.is_some_and(|head| *head != proposal.parent)
}

/// A push is a sync of what it moves: what was thawed meanwhile is frozen again before it.
fn push(run: &Run, now: &Now, proposal: &Proposal) -> Next {
    let loose = rules::loose(run, now, proposal).into_iter();
    let loose: Vec<AppKey> = loose
        .filter(|key| run.walking().any(|(walked, _)| walked == *key))
        .cloned()
        .collect();
    match loose.is_empty() || unfrozen(run, now).is_some() {
        true => Next::Push,
        false => Next::Freeze {
            applications: loose,
        },
    }
}

/// The permission without which nothing can be frozen.
fn unfrozen(run: &Run, now: &Now) -> Option<String> {
    if now.may.is_empty() {
        return run.unfrozen.clone();
    }
    now.lacks_freeze(run).map(|missing| missing.what.clone())
}

/// Git says what was decided, and the rest writes to the Applications.
fn handed_over(run: &Run, now: &Now) -> Option<Next> {
    let missing = unfrozen(run, now)?;
    if everything_thawed(run, now) {
        return None;
    }
    let frozen = run.walking().any(|(_, app)| app.freeze.is_set());
    let stands = if frozen {
        "frozen"
    } else {
        "unfrozen, watched"
    };
    Some(Next::AwaitPermission {
        reason: format!(
            "{stands}: Git says what was decided. No right to {missing}: what writes to the Applications is for somebody \
             who has it"
        ),
        missing,
        stage: if frozen { Stage::Sync } else { Stage::Freeze },
    })
}

/// The newest push to a branch of our own that has not reached the tracked branch.
pub(crate) fn unmerged(run: &Run) -> Option<(String, String, Commit)> {
    let pushed = run
        .op_order
        .iter()
        .rev()
        .filter_map(|id| run.ops.get(id))
        .filter(|op| op.done())
        .find_map(|op| match &op.effect {
            Effect::Push {
                repository,
                branch,
                commit,
                tracked: false,
                ..
            } => Some((repository.clone(), branch.clone(), commit.clone())),
            _ => None,
        })?;
    (!run.landed.contains_key(&pushed.0)).then_some(pushed)
}

fn everything_thawed(run: &Run, now: &Now) -> bool {
    run.walking().all(|(key, app)| {
        app.freeze == Freeze::Thawed
            || run.stays_frozen(key).is_some()
            || now.taken_over_by(run, key).is_some()
    })
}

/// The revision that an Application is to be synced to: what landed in its repository.
fn target<'r>(run: &'r Run, now: &Now, key: &AppKey) -> Option<&'r Landed> {
    match now.apps.get(key) {
        Some(app) => run.landed.get(&app.repository),
        None => run.landed.values().next(),
    }
}

/// Whether the live Application does not ignore yet what was decided and declared.
fn ignored_too_little(run: &Run, now: &Now, key: &AppKey) -> bool {
    now.cells.iter().any(|(cell, seen)| {
        cell.application == *key && run.ignores(cell) && seen.ignored_in_git && !seen.ignored_live
    })
}

fn sync(run: &Run, now: &Now) -> Option<Next> {
    for key in run.sync_order() {
        let Some(app) = run.apps.get(&key).filter(|app| app.parked.is_none()) else {
            continue;
        };
        if app.freeze == Freeze::Thawed || !matches!(app.thaw, Thaw::Not) {
            continue;
        }
        if run.stays_frozen(&key).is_some() || now.taken_over_by(run, &key).is_some() {
            // Nothing more is written to it. What it was synced to before is judged all the same.
            let synced = matches!(app.sync, Sync::Verified { .. });
            match synced.then(|| gates(run, &key, app)).flatten() {
                Some(next) => return Some(next),
                None => continue,
            }
        }
        if ignored_too_little(run, now, &key) {
            return Some(Next::Ignore { application: key });
        }
        let landed = target(run, now, &key)?;
        if let Some(next) = sync_one(run, now, &key, app, landed) {
            return Some(next);
        }
    }
    None
}

/// What is decided to go and is still there. Deletions come when the sync is verified and before the gates: what takes
/// the place of an object is there before it goes, and the gates judge the state without it.
fn removal(run: &Run, now: &Now, key: &AppKey) -> Option<Next> {
    let (cell, decision) = run.to_delete(key).find(|(cell, _)| now.is_live(cell))?;
    let (application, object) = (key.clone(), cell.object.clone());
    if now.cells.get(cell).is_some_and(|seen| seen.going) {
        return Some(Next::AwaitGone {
            application,
            object,
        });
    }
    Some(match run.deleted(decision) {
        None => Next::Delete {
            application,
            object,
        },
        Some(at) => Next::Stopped {
            stage: Stage::Sync,
            rule: 8,
            reason: crate::text::line(&format!(
                "{object} was deleted at {at} and is there again: something makes it anew"
            )),
            application: Some(application),
        },
    })
}

/// A sync that was asked for is read back to its end, whatever else came up: what it did is known before anybody decides on more.
fn in_flight(run: &Run, now: &Now) -> Option<Next> {
    run.sync_order().into_iter().find_map(|application| {
        let app = run.apps.get(&application)?;
        let ours = app.parked.is_none()
            && app.freeze != Freeze::Thawed
            && now.taken_over_by(run, &application).is_none();
        ours.then(|| read_back(now, &application, app)).flatten()
    })
}

fn read_back(now: &Now, key: &AppKey, app: &AppRun) -> Option<Next> {
    let application = key.clone();
    let read = now.apps.get(key).is_some_and(|app| !app.incomplete);
    match &app.sync {
        Sync::Requested { op, .. } => Some(Next::AwaitOperation {
            application,
            op: op.clone(),
        }),
        // What cannot be read would be told as gone.
        Sync::Finished { phase, .. } if phase == "Succeeded" && !read => {
            Some(could_not_read(now, key, Stage::Sync))
        }
        Sync::Finished { op, phase, .. } if phase == "Succeeded" => Some(Next::VerifySync {
            application,
            op: op.clone(),
        }),
        _ => None,
    }
}

fn sync_one(run: &Run, now: &Now, key: &AppKey, app: &AppRun, landed: &Landed) -> Option<Next> {
    let (application, revision) = (key.clone(), &landed.revision);
    match &app.sync {
        Sync::Requested { .. } => return read_back(now, key, app),
        Sync::Finished { phase, .. } if phase == "Succeeded" => return read_back(now, key, app),
        Sync::Finished { phase, message, .. } => {
            let retry =
                matches!(&app.prediction, Some((at, p)) if at == revision && p.as_expected());
            if !retry {
                return Some(Next::Stopped {
                    stage: Stage::Sync,
                    rule: 3,
                    application: Some(application),
                    reason: format!("the sync of {key} ended as {phase}: {message}"),
                });
            }
        }
        Sync::Surprised {
            surprises,
            seen: None,
            ..
        } => {
            return Some(Next::Stopped {
                stage: Stage::Sync,
                rule: 3,
                application: Some(application),
                reason: surprised(key, surprises),
            });
        }
        // Another sync makes it as decided, and its gates follow that one.
        Sync::Surprised { .. } => {}
        // What was decided since needs another sync, at the same revision.
        Sync::Verified { .. }
            if run.synced_as(key, landed) && now.not_in_effect(run, key).is_none() =>
        {
            return removal(run, now, key).or_else(|| gates(run, key, app));
        }
        Sync::Not | Sync::Verified { .. } => {}
    }
    match &app.prediction {
        Some((at, prediction)) if at == revision => {
            let glass = run.glass_for_sync(key);
            let only_unknown = prediction.unexpected.is_empty() && prediction.missing.is_empty();
            Some(if prediction.as_expected() || (only_unknown && glass) {
                Next::Sync { application }
            } else {
                Next::Stopped {
                    stage: Stage::Sync,
                    rule: 3,
                    reason: differs(key, prediction),
                    application: Some(application),
                }
            })
        }
        _ => Some(Next::Predict {
            application,
            revision: revision.clone(),
        }),
    }
}

/// That a sync did more than was shown, in words.
pub fn surprised(key: &AppKey, surprises: &[crate::event::Changed]) -> String {
    format!(
        "the sync of {key} changed {} that nobody was shown",
        crate::text::count(surprises.len(), "field")
    )
}

/// Why a prediction is not the expected effect, in words.
pub fn differs(key: &AppKey, prediction: &crate::event::Prediction) -> String {
    let mut parts = Vec::new();
    let fields = |changes: &[crate::event::Changed]| {
        changes
            .iter()
            .take(3)
            .map(|c| format!("{} {}", c.object, c.field))
            .collect::<Vec<_>>()
            .join(", ")
    };
    if !prediction.unexpected.is_empty() {
        parts.push(format!(
            "it would change {} that nobody decided: {}",
            crate::text::count(prediction.unexpected.len(), "field"),
            fields(&prediction.unexpected)
        ));
    }
    if !prediction.missing.is_empty() {
        parts.push(format!(
            "it would not make {}: {}",
            crate::text::count(prediction.missing.len(), "decided change"),
            fields(&prediction.missing)
        ));
    }
    if !prediction.unknown.is_empty() {
        let what: Vec<String> = prediction
            .unknown
            .iter()
            .take(3)
            .map(|u| format!("{} ({})", u.object, u.why))
            .collect();
        parts.push(format!("its effect on {} is not known", what.join(", ")));
    }
    crate::text::line(&format!(
        "a sync of {key} is not what was decided: {}",
        parts.join("; ")
    ))
}

/// The gates after a verified sync: the first that is not settled. Those that are measured come before a person.
pub(crate) fn gates(run: &Run, key: &AppKey, app: &AppRun) -> Option<Next> {
    let mut asked = None;
    for gate in run.gates_after(key) {
        match run.gates.get(&gate) {
            Some(Gate::Manual(manual)) => {
                if run.gate_settled(key, &gate).is_none() && asked.is_none() {
                    asked = Some(Next::Attest {
                        gate,
                        asks: manual.manual.clone(),
                        application: key.clone(),
                    });
                }
            }
            _ => {
                let state = app.gates.get(&gate);
                let passed = state.is_some_and(|state| state.passed.is_some());
                if passed || run.glass_for(key, &gate).is_some() {
                    continue;
                }
                if let Some(why) = state.and_then(|state| state.late()) {
                    return Some(Next::Stopped {
                        stage: Stage::Sync,
                        rule: 10,
                        application: Some(key.clone()),
                        reason: state
                            .map_or_else(String::new, |state| state.unmet(key, &gate, &why)),
                    });
                }
                return Some(Next::Gate {
                    application: key.clone(),
                    gate,
                });
            }
        }
    }
    asked
}

/// A thaw that was made is watched to its end, whatever else came up: until then it is neither frozen nor thawed.
fn watched(run: &Run) -> Option<Next> {
    let made = run.thaw_order().into_iter().find(|key| {
        let app = run.apps.get(key).filter(|app| app.parked.is_none());
        app.is_some_and(|app| matches!(app.thaw, Thaw::Restored { .. }))
    });
    made.map(|application| Next::WatchThaw { application })
}

fn thaw(run: &Run, now: &Now) -> Option<Next> {
    let frozen: Vec<AppKey> = run
        .thaw_order()
        .into_iter()
        .filter(|key| run.stays_frozen(key).is_none())
        .filter(|key| {
            run.apps
                .get(key)
                .is_some_and(|app| app.parked.is_none() && app.freeze.is_set())
        })
        .collect();
    let moved = now.not_as_thawed(run).filter(|(key, _)| {
        // Where nothing is left to thaw, what somebody made of it is settled before the close.
        let broken = |app: &AppRun| matches!(app.thaw, Thaw::Broken { .. });
        !frozen.is_empty() || run.apps.get(*key).is_some_and(broken)
    });
    if let Some((key, reason)) = moved {
        return Some(Next::Stopped {
            stage: Stage::Thaw,
            rule: 3,
            application: Some(key.clone()),
            reason,
        });
    }
    (!frozen.is_empty()).then_some(Next::Thaw {
        applications: frozen,
    })
}

fn close(run: &Run, now: &Now) -> Next {
    let blocking = now.owed(run).into_iter().find(|owed| owed.blocks_close);
    match blocking {
        Some(owed) => Next::Settle {
            obligation: owed.id,
            what: owed.what,
        },
        None => Next::Close,
    }
}

/// What has to be seen on an Application for its freeze to hold: spec as frozen, nothing running, our note in place.
pub fn freeze_holds(app: &AppNow, run: &Run, key: &AppKey) -> Result<(), String> {
    if app.auto_sync {
        return Err("auto-sync is on".into());
    }
    if let Some(operation) = &app.operation {
        return Err(format!("an operation runs: {operation}"));
    }
    let set = run.apps.get(key).is_some_and(|app| app.freeze.is_set());
    if !set || app.bears_our_note(run, key) {
        return Ok(());
    }
    Err(match app.frozen_by_another(run, key) {
        Some(other) => format!(
            "our note is gone from the Application, and the one of {} is there",
            run.tell_apart(other)
        ),
        None => "our note is gone from the Application".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decision::Sides,
        ids::Digest,
        now::{CellNow, Permitted},
        plan::{Target, TargetKind},
    };
    use serde_json::{Value, json};

    fn world() -> (Run, Now) {
        let key: AppKey = "argocd/auth".parse().unwrap();
        let mut run = Run {
            scope: vec![key.clone()],
            snapshots: 2,
            ..Run::default()
        };
        let target = Target {
            policy: Some(TargetKind::Found),
            automated: None,
            reason: None,
        };
        run.apps.entry(key.clone()).or_default().target =
            Some((target, Value::Null, String::new()));
        let cell = CellKey {
            application: key.clone(),
            object: ObjectRef {
                group: String::new(),
                version: "v1".into(),
                kind: "ConfigMap".into(),
                namespace: Some("auth".into()),
                name: "c".into(),
            },
            field: ".data.k".parse().unwrap(),
        };
        let mut now = Now::default();
        now.apps.insert(key, AppNow::default());
        let sides = Sides {
            git: Some(json!("a")),
            last_synced: None,
            live: Some(json!("b")),
        };
        now.cells.insert(
            cell,
            CellNow {
                question: Some("q".into()),
                differs: true,
                sides,
                ..CellNow::default()
            },
        );
        (run, now)
    }

    #[test]
    fn without_the_right_to_freeze_the_walk_still_decides() {
        let (run, mut now) = world();
        assert!(
            matches!(next(&run, &now), Next::Arm { .. }),
            "the freeze comes first"
        );
        now.may.push(Permitted {
            what: "patch applications.argoproj.io in argocd".into(),
            allowed: Some(false),
            ..Permitted::default()
        });
        assert!(matches!(next(&run, &now), Next::Decide { .. }));
        now.may[0].allowed = None;
        assert!(
            matches!(next(&run, &now), Next::Arm { .. }),
            "not known is not forbidden"
        );
    }

    /// A sync changed what nobody was shown: nothing more is synced or thawed until somebody says that they looked at it, and then
    /// only after another sync.
    #[test]
    fn what_a_sync_changed_unshown_is_looked_at_by_a_person() {
        use crate::event::{Event, Record};
        let mut records = crate::transcript::sample::records();
        let verified = |record: &Record| matches!(&record.event, Event::SyncVerified { changes, .. } if !changes.is_empty());
        let at = records.iter().position(verified).unwrap();
        records.truncate(at + 1);
        let Event::SyncVerified {
            application: key,
            op,
            changes,
            surprises,
            ..
        } = &mut records[at].event
        else {
            unreachable!("looked for above");
        };
        surprises.clone_from(changes);
        let (key, op, count) = (key.clone(), op.clone(), surprises.len());
        let mut run = Run::fold(&records);
        let landed = run.landed.values().next().unwrap().clone();
        let now = Now::default();
        let next = |run: &Run| sync_one(run, &now, &key, &run.apps[&key], &landed);
        let refused = |run: &Run, command: Command| {
            let refusal = rules::check(run, &now, &command).unwrap_err();
            (
                refusal.rule,
                format!("{}; {}", refusal.reason, refusal.hint),
            )
        };
        assert!(matches!(next(&run), Some(Next::Stopped { rule: 3, .. })));
        let other = run.scope.iter().find(|other| **other != key).unwrap();
        let other = other.clone();
        let sync = |key: &AppKey| Command::Sync {
            application: key.clone(),
        };
        let thaw = || Command::Thaw {
            applications: vec![other.clone()],
        };
        for command in [sync(&key), sync(&other), thaw()] {
            let (rule, said) = refused(&run, command);
            let what = format!(
                "changed {} that nobody was shown",
                text::count(count, "field")
            );
            assert!(rule == 3 && said.contains(&what), "{said}");
            assert!(said.contains(&run.sync_seen_command(&key)), "{said}");
        }
        let seen = |application: &AppKey, reason: &str| Command::SeeSurprise {
            application: application.clone(),
            reason: reason.into(),
        };
        assert_eq!(refused(&run, seen(&key, " ")).0, 3);
        assert_eq!(refused(&run, seen(&other, "ann's webhook")).0, 0);
        assert_eq!(
            rules::check(&run, &now, &seen(&key, "ann's webhook")),
            Ok(())
        );
        run.apply(&Record {
            seq: 0,
            time: jiff::Timestamp::UNIX_EPOCH,
            event: Event::SurpriseSeen {
                application: key.clone(),
                op,
                reason: "ann's webhook".into(),
                by: "jo".into(),
            },
        });
        assert!(run.surprised().is_none() && matches!(next(&run), Some(Next::Predict { .. })));
        let (rule, said) = refused(&run, thaw());
        assert!(rule == 3 && said.contains("was not synced again"), "{said}");
        assert_eq!(refused(&run, seen(&key, "once more")).0, 0);
    }

    fn snapshot(number: u32, questions: &[Value], incomplete: &[&AppKey]) -> crate::event::Record {
        crate::event::Record {
            seq: 1,
            time: jiff::Timestamp::from_second(i64::from(number)).unwrap(),
            event: crate::event::Event::SnapshotTaken {
                number,
                blobs: Default::default(),
                counts: Default::default(),
                unread: Vec::new(),
                questions: questions.to_vec(),
                applications: Vec::new(),
                heads: Default::default(),
                again: false,
                incomplete: incomplete.iter().copied().cloned().collect(),
                earlier: Vec::new(),
            },
        }
    }

    #[test]
    fn a_snapshot_of_what_could_not_be_read_is_taken_again() {
        let (mut run, mut now) = world();
        let key = run.scope[0].clone();
        for app in run.apps.values_mut() {
            app.freeze = Freeze::Proven {
                op: OpId::from("1"),
                at: jiff::Timestamp::UNIX_EPOCH,
                mechanism: crate::event::Mechanism::NoteOnly,
                since: jiff::Timestamp::UNIX_EPOCH,
            };
        }
        let object = json!({"group": "", "version": "v1", "kind": "ConfigMap", "namespace": "auth", "name": "c"});
        let cell = json!({"application": key.name, "applicationNamespace": key.namespace, "namespace": "auth",
            "git": "a", "live": "b", "differs": true, "object": object});
        let question = json!({"id": "q", "group": null, "kind": "ConfigMap", "name": "c", "field": ".data.k",
            "class": "hotfix", "confidence": "ask", "evidence": [], "suggestion": null, "decideWith": [], "cells": [cell]});
        run.apply(&snapshot(0, std::slice::from_ref(&question), &[]));
        run.apply(&snapshot(1, &[], &[&key]));
        assert!(run.unsnapped(&key) && run.snapshots == 2);
        // What is not seen is not settled: the question, and when it was kept.
        assert_eq!(run.questions, std::slice::from_ref(&question));
        let kept = run.kept_at[&("q".to_owned(), key.clone())];
        assert_eq!(kept, jiff::Timestamp::UNIX_EPOCH);
        assert_eq!((run.left().questions, run.left().unread), (1, 1));
        now.apps.get_mut(&key).unwrap().incomplete = true;
        let stopped = next(&run, &now);
        assert!(matches!(
            stopped,
            Next::Stopped {
                stage: Stage::Snapshot,
                ..
            }
        ));
        now.apps.get_mut(&key).unwrap().incomplete = false;
        assert_eq!(next(&run, &now), Next::Snapshot);
        let close = crate::sheet::Command::Close;
        run.armed = Armed::All;
        let refused = rules::check(&run, &now, &close).unwrap_err();
        assert!(refused.reason.contains("last snapshot"), "{refused:?}");
        // A copy that was read is asked about by another id, and it is one question all the same.
        let other = AppKey::new("argocd", "like");
        let mut both = question.clone();
        both["group"] = json!("c");
        let mut copy = both["cells"][0].clone();
        (copy["application"], copy["namespace"]) = (json!("like"), json!("like"));
        both["cells"].as_array_mut().unwrap().push(copy.clone());
        let mut alone = both.clone();
        (alone["id"], alone["cells"]) = (json!("r"), json!([copy]));
        run.apply(&snapshot(1, std::slice::from_ref(&both), &[]));
        run.apply(&snapshot(1, &[alone], &[&key]));
        assert_eq!((run.questions.len(), run.left().questions), (1, 1));
        assert_eq!(run.questions[0]["cells"].as_array().map(Vec::len), Some(2));
        let kept = |key: &AppKey| run.kept_at.contains_key(&("r".to_owned(), key.clone()));
        assert!(kept(&key) && !kept(&other));
        run.apply(&snapshot(1, &[], &[]));
        assert!(!run.unsnapped(&key) && run.questions.is_empty() && run.kept_at.is_empty());
        assert!(matches!(next(&run, &now), Next::Decide { .. }));
    }

    #[test]
    fn what_could_not_be_read_is_no_agreement() {
        let (mut run, mut now) = world();
        let op = OpId::from("1");
        let at = jiff::Timestamp::UNIX_EPOCH;
        for app in run.apps.values_mut() {
            app.freeze = Freeze::Proven {
                op: op.clone(),
                at,
                mechanism: crate::event::Mechanism::NoteOnly,
                since: at,
            };
        }
        now.cells.clear();
        for app in now.apps.values_mut() {
            app.incomplete = true;
        }
        assert!(matches!(next(&run, &now), Next::Stopped { rule: 0, .. }));
        now.apps.clear();
        assert!(matches!(next(&run, &now), Next::Stopped { rule: 0, .. }));
    }

    #[test]
    fn arming_ends_with_the_process_that_was_armed() {
        let (mut run, now) = world();
        let key = run.scope[0].clone();
        let at = jiff::Timestamp::UNIX_EPOCH;
        let record = |event| crate::event::Record {
            seq: 1,
            time: at,
            event,
        };
        run.apply(&record(crate::event::Event::Armed {
            write: Armed::All,
            by: "jo".into(),
            host: "bridge-1".into(),
            pid: 7,
        }));
        assert!(matches!(next(&run, &now), Next::Freeze { .. }));
        run.apply(&record(crate::event::Event::Resumed {
            operator: "jo".into(),
            host: "bridge-1".into(),
            version: String::new(),
            recovered: String::new(),
        }));
        assert!(matches!(
            next(&run, &now),
            Next::Arm {
                stage: Stage::Freeze,
                ..
            }
        ));

        // What asks Argo CD for something needs it as well; what only looks does not.
        let application = run.apps.get_mut(&key).unwrap();
        let (op, mechanism) = (OpId::from("1"), crate::event::Mechanism::NoteOnly);
        application.freeze = Freeze::Set { op, at, mechanism };
        assert!(matches!(
            next(&run, &now),
            Next::Arm {
                stage: Stage::Freeze,
                ..
            }
        ));
        run.armed = Armed::Cluster;
        assert!(matches!(next(&run, &now), Next::ProveFreeze { .. }));
    }

    #[test]
    fn a_write_without_an_outcome_is_looked_up_before_anything_else() {
        let (mut run, now) = world();
        let op = OpId::from("1");
        run.op_order.push(op.clone());
        run.ops.insert(
            op.clone(),
            crate::run::Op {
                effect: Effect::Push {
                    repository: String::new(),
                    branch: String::new(),
                    commit: Commit::from("c"),
                    parent: Commit::from("p"),
                    bundle: Digest::of(b""),
                    tracked: true,
                },
                guard: crate::event::Guard::default(),
                shown: Vec::new(),
                by_hand: Vec::new(),
                by: String::new(),
                intended_at: jiff::Timestamp::UNIX_EPOCH,
                outcome: None,
            },
        );
        let next = next(&run, &now);
        assert_eq!(next, Next::LookUp { ops: vec![op] });
        assert_eq!(stage(&run, &next), Stage::Commit, "where it was made");
    }

    /// Two Applications of one repository, frozen and synced, and a commit that moves both.
    fn proposed() -> (Run, Now, [AppKey; 2]) {
        let keys = ["auth", "like"].map(|name| AppKey::new("argocd", name));
        let at = jiff::Timestamp::UNIX_EPOCH;
        let mut run = Run {
            scope: keys.to_vec(),
            armed: Armed::All,
            snapshots: 2,
            ..Run::default()
        };
        let mut now = Now::default();
        now.heads.insert("r".into(), Commit::from("p"));
        let (_, world) = world();
        let (cell, seen) = world.cells.into_iter().next().unwrap();
        let changed = crate::event::Changed {
            object: cell.object.clone(),
            field: cell.field.clone(),
            from: None,
            to: None,
        };
        let line = |key: &AppKey| crate::event::ProofLine {
            application: key.clone(),
            decided: vec![changed.clone()],
            undecided: Vec::new(),
            errors: Vec::new(),
        };
        run.proposal = Some(Proposal {
            repository: "r".into(),
            branch: "main".into(),
            tracked: "main".into(),
            commit: Commit::from("c"),
            parent: Commit::from("p"),
            message: String::new(),
            author: String::new(),
            author_from: crate::event::AuthorFrom::Unknown,
            bundle: Digest::of(b""),
            files: Vec::new(),
            proof: keys.iter().map(line).collect(),
            cells: vec![cell.clone()],
            others: Vec::new(),
        });
        for key in &keys {
            let app = run.apps.entry(key.clone()).or_default();
            let target = Target {
                policy: Some(TargetKind::Found),
                automated: None,
                reason: None,
            };
            app.target = Some((target, Value::Null, String::new()));
            app.freeze = Freeze::Proven {
                op: OpId::from("1"),
                at,
                mechanism: crate::event::Mechanism::NoteOnly,
                since: at,
            };
            let app = AppNow {
                repository: "r".into(),
                ..AppNow::default()
            };
            now.apps.insert(key.clone(), app);
        }
        // It is decided for what is live, and Git does not have that yet.
        let wanted = crate::decision::Wanted::Value(json!("b"));
        let decision = crate::decision::Decision {
            cell: cell.clone(),
            take: Take::Live(crate::decision::LiveOf::default()),
            seen: seen.sides.clone(),
            git: wanted.clone(),
            live: wanted,
            reason: String::new(),
            by: String::new(),
            at,
            pushed: false,
            applied: false,
        };
        run.decisions.insert(cell.clone(), decision);
        now.cells.insert(cell, seen);
        (run, now, keys)
    }

    #[test]
    fn a_push_is_a_sync_of_whatever_was_thawed_before_it() {
        let (run, mut now, [auth, _]) = proposed();
        assert_eq!(next(&run, &now), Next::Push);
        let push = |run: &Run, now: &Now| rules::check(run, now, &crate::sheet::Command::Push);
        assert_eq!(push(&run, &now), Ok(()));
        now.apps.get_mut(&auth).unwrap().auto_sync = true;
        let op = || OpId::from("2");
        let at = jiff::Timestamp::UNIX_EPOCH;
        let restored = crate::run::Thaw::Restored {
            op: op(),
            at,
            rounds: 1,
        };
        let watched = crate::run::Thaw::Watched { op: op(), at };
        let broken = crate::run::Thaw::Broken {
            op: op(),
            why: String::new(),
        };
        for (thaw, freeze) in [
            (restored, None),
            (broken, None),
            (watched, Some(Freeze::Thawed)),
        ] {
            let mut run = run.clone();
            let app = run.apps.get_mut(&auth).unwrap();
            let made = matches!(thaw, crate::run::Thaw::Restored { .. });
            app.thaw = thaw;
            if let Some(freeze) = freeze {
                app.freeze = freeze;
            }
            let refused = push(&run, &now).unwrap_err();
            assert!(
                refused.rule == 4 && refused.reason.contains("moves argocd/auth"),
                "{refused:?}"
            );
            // A thaw is watched to its end first.
            let wanted = match made {
                true => Next::WatchThaw {
                    application: auth.clone(),
                },
                false => Next::Freeze {
                    applications: vec![auth.clone()],
                },
            };
            assert_eq!(next(&run, &now), wanted);
            // What the commit does not move may stay thawed.
            run.proposal.as_mut().unwrap().proof.remove(0);
            assert_eq!(push(&run, &now), Ok(()));
        }
        // Left to somebody else with auto-sync on, it is synced by the push as well.
        let mut parked = run.clone();
        let app = parked.apps.get_mut(&auth).unwrap();
        app.freeze = Freeze::Not;
        app.parked = Some(crate::run::Parked {
            owner: "eve".into(),
            until: "2026-12-01".into(),
            reason: String::new(),
        });
        assert!(push(&parked, &now).is_err());
        now.apps.get_mut(&auth).unwrap().auto_sync = false;
        assert_eq!(push(&parked, &now), Ok(()));
    }

    #[test]
    fn a_commit_is_built_anew_when_its_branch_moved() {
        let (run, mut now, _) = proposed();
        now.heads
            .insert("r".into(), Commit::from("somebody else's"));
        assert_eq!(next(&run, &now), Next::Propose);
        now.heads.clear();
        assert_eq!(next(&run, &now), Next::Push, "where it stands is not known");
    }

    /// Both synced to what landed, and healthy since.
    fn synced() -> (Run, Now, [AppKey; 2]) {
        let (mut run, mut now, keys) = proposed();
        run.decisions.clear();
        (run.proposal, now.cells) = (None, Default::default());
        run.landed.insert("r".into(), landed("p", &[]));
        for key in &keys {
            let app = run.apps.get_mut(key).unwrap();
            app.sync = Sync::Verified {
                op: OpId::from("3"),
                revision: Commit::from("p"),
                changes: Vec::new(),
            };
            let healthy = crate::run::GateRun {
                passed: Some(jiff::Timestamp::UNIX_EPOCH),
                ..Default::default()
            };
            app.gates.insert("healthy".into(), healthy);
            now.apps.get_mut(key).unwrap().sync = "Synced".into();
        }
        (run, now, keys)
    }

    fn landed(revision: &str, same: &[&AppKey]) -> Landed {
        Landed {
            branch: "main".into(),
            revision: Commit::from(revision),
            how: String::new(),
            same: same.iter().copied().cloned().collect(),
        }
    }

    /// What a sync of ours did is known before anybody is asked for more.
    #[test]
    fn a_sync_that_was_asked_for_is_read_back_whatever_is_open() {
        let (mut run, mut now, [_, like]) = synced();
        let (_, world) = world();
        now.cells = world.cells;
        assert!(matches!(next(&run, &now), Next::Decide { .. }));
        let (op, revision) = (OpId::from("4"), Commit::from("p"));
        let (phase, message) = ("Succeeded".to_owned(), String::new());
        let sync = |run: &mut Run, sync: Sync| run.apps.get_mut(&like).unwrap().sync = sync;
        let asked = Sync::Requested {
            op: op.clone(),
            revision: revision.clone(),
        };
        sync(&mut run, asked);
        assert!(
            matches!(next(&run, &now), Next::AwaitOperation { application, .. } if application == like)
        );
        let finished = Sync::Finished {
            op,
            revision,
            phase,
            message,
        };
        sync(&mut run, finished);
        assert!(
            matches!(next(&run, &now), Next::VerifySync { application, .. } if application == like)
        );
        now.apps.get_mut(&like).unwrap().incomplete = true;
        assert!(matches!(
            next(&run, &now),
            Next::Stopped {
                rule: 0,
                stage: Stage::Sync,
                ..
            }
        ));
    }

    /// A gate that glass was broken for is not waited for again where a live action has the gates asked anew.
    #[test]
    fn glass_outlasts_that_the_gates_are_asked_anew() {
        let (mut run, _, [_, like]) = synced();
        let gates = |run: &Run| gates(run, &like, &run.apps[&like]);
        run.apps.get_mut(&like).unwrap().gates.clear();
        assert!(matches!(gates(&run), Some(Next::Gate { gate, .. }) if gate == "healthy"));
        run.broken_glass.push(crate::run::BrokenGlass {
            application: Some(like.clone()),
            after: Some(OpId::from("3")),
            what: "healthy".into(),
            reason: "known".into(),
            by: "jo".into(),
            at: jiff::Timestamp::UNIX_EPOCH,
            reviewed: None,
        });
        assert_eq!(gates(&run), None);
    }

    /// A gate of the first Application is attested while the second one waits for its sync, which waits for that gate.
    #[test]
    fn an_attestation_waits_only_for_what_comes_before_it() {
        let (mut run, mut now, [auth, like]) = synced();
        let plan = "apiVersion: trueup.dev/v1\nkind: Plan\nincident: I\nscope: [auth, like]\ngates:\n  traces: {manual: look}\nsync:\n- {application: auth, then: [traces]}\n- {application: like}\n";
        run.connection.namespace = "argocd".into();
        run.take_plan(&crate::plan::Plan::parse(plan).unwrap());
        assert_eq!(run.to_attest("traces"), std::slice::from_ref(&auth));
        let (_, world) = world();
        let (cell, mut seen) = world.cells.into_iter().next().unwrap();
        let sides = |live: &str| Sides {
            git: Some(json!("a")),
            last_synced: Some(json!("a")),
            live: Some(json!(live)),
        };
        for (key, refused) in [(&like, false), (&auth, true)] {
            let cell = CellKey {
                application: key.clone(),
                ..cell.clone()
            };
            let decision = crate::decision::Decision {
                cell: cell.clone(),
                take: Take::Git,
                seen: sides("b"),
                git: crate::decision::Wanted::AsIs,
                live: crate::decision::Wanted::Value(json!("a")),
                reason: String::new(),
                by: "jo".into(),
                at: jiff::Timestamp::UNIX_EPOCH,
                pushed: false,
                applied: false,
            };
            run.decisions = [(cell.clone(), decision)].into();
            seen.sides = sides("b");
            now.cells = [(cell, seen.clone())].into();
            assert!(now.not_in_effect(&run, key).is_some());
            let said = rules::attest(&run, &now, "traces");
            assert_eq!(said.is_err(), refused, "{said:?}");
        }
    }

    /// What the walk does before a thaw, a thaw that is asked for by itself does not leave out.
    #[test]
    fn a_thaw_by_itself_is_no_way_around_the_walk() {
        let (run, now, [auth, like]) = synced();
        let both = || vec![auth.clone(), like.clone()];
        let thaw = Command::Thaw {
            applications: both(),
        };
        let refused = |run: &Run, now: &Now| rules::check(run, now, &thaw).err();
        let thaws =
            |next: Next| matches!(next, Next::Thaw { applications } if applications == both());
        assert!(thaws(next(&run, &now)));
        assert_eq!(refused(&run, &now), None);

        // Somebody pushed, and nobody looked at what.
        let mut moved = now.clone();
        moved.heads.insert("r".into(), Commit::from("q"));
        assert!(matches!(next(&run, &moved), Next::TakeHead { .. }));
        let why = refused(&run, &moved).unwrap();
        assert!(
            why.rule == 3 && why.reason.contains("not looked at yet"),
            "{why:?}"
        );

        // It changed nothing of either: their syncs and gates stand.
        let mut taken = run.clone();
        taken
            .landed
            .insert("r".into(), landed("q", &[&auth, &like]));
        assert!(thaws(next(&taken, &moved)));
        assert_eq!(refused(&taken, &moved), None);

        // It changed something of one of them.
        taken.landed.insert("r".into(), landed("q", &[&auth]));
        assert!(
            matches!(next(&taken, &moved), Next::Predict { application, .. } if application == like)
        );
        let why = refused(&taken, &moved).unwrap();
        assert!(
            why.reason.contains("argocd/like was synced to p"),
            "{why:?}"
        );
        assert!(why.hint.contains("trueup sync argocd/like"), "{why:?}");

        // Nor is the other one thawed meanwhile: what is found there may have to be mended in both.
        let one = Command::Thaw {
            applications: vec![auth.clone()],
        };
        let why = rules::check(&taken, &moved, &one).unwrap_err();
        assert!(
            why.reason
                .starts_with("nothing is thawed yet: argocd/like was synced to p"),
            "{why:?}"
        );

        // An operation that failed was verified by nobody, whatever Argo CD says of the state.
        let mut failed = run.clone();
        failed.apps.get_mut(&like).unwrap().sync = Sync::Finished {
            op: OpId::from("4"),
            revision: Commit::from("p"),
            phase: "Failed".into(),
            message: "a hook failed".into(),
        };
        assert!(!thaws(next(&failed, &now)));
        assert!(
            refused(&failed, &now)
                .unwrap()
                .reason
                .contains("a hook failed")
        );
    }

    #[test]
    fn a_gate_after_our_sync_is_asked_whoever_holds_the_application_now() {
        let (mut run, mut now, [auth, like]) = synced();
        let manual = crate::plan::ManualGate {
            manual: "look".into(),
        };
        run.gates.insert("traces".into(), Gate::Manual(manual));
        let attest = |next: Next| matches!(next, Next::Attest { gate, .. } if gate == "traces");
        assert!(attest(next(&run, &now)), "the last sync is of like");
        let thaw = crate::sheet::Command::Thaw {
            applications: vec![auth.clone()],
        };
        let refused = |run: &Run, now: &Now| rules::check(run, now, &thaw).err();
        assert!(refused(&run, &now).is_some_and(|why| why.reason.contains("traces")));
        run.apps.get_mut(&like).unwrap().freeze = Freeze::Lost {
            why: "taken over".into(),
        };
        now.apps.get_mut(&like).unwrap().note = Some(json!({"incident": "H4", "op": "2"}));
        assert!(now.taken_over_by(&run, &like).is_some());
        assert!(attest(next(&run, &now)));
        assert!(refused(&run, &now).is_some_and(|why| why.reason.contains("traces")));
        let said = (
            "jo".to_owned(),
            "so".to_owned(),
            jiff::Timestamp::UNIX_EPOCH,
        );
        run.apps
            .get_mut(&like)
            .unwrap()
            .attested
            .insert("traces".into(), said);
        assert_eq!(refused(&run, &now), None);
    }
}
