//! What one look at the world says, reduced to what the walk depends on.

use crate::{
    decision::{CellKey, Decision, LiveOf, Sides, Take, Wanted},
    event::{Obligation, Prediction},
    ids::{Commit, OpId},
    object::identity::{AppKey, ObjectKey},
    policy::{BY_HAND, Policy},
    run::{AppRun, Found, Freeze, Run, Thaw, Touched},
};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Of so many Applications it is asked what a sync would do before a scope is chosen, whether they differ or not.
pub const FEW: usize = 50;

/// One look at the world.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Now {
    pub at: Timestamp,
    /// Every cell of an open question in the scope, and every cell with a decision.
    pub cells: BTreeMap<CellKey, CellNow>,
    /// Open questions, in the order in which they are shown.
    pub questions: Vec<QuestionNow>,
    pub apps: BTreeMap<AppKey, AppNow>,
    /// Head of the tracked branch, by repository URL as Argo CD has it.
    pub heads: BTreeMap<String, Commit>,
    pub may: Vec<Permitted>,
    /// What could not be read, and why.
    pub errors: Vec<String>,
}

/// One cell: what its sides hold now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CellNow {
    /// The open question that it belongs to; `None` when the cell is quiet.
    pub question: Option<String>,
    /// Whether live differs from the cell's own Git.
    pub differs: bool,
    pub sides: Sides,
    /// Who wrote the live value, in words.
    pub writer: String,
    /// When it was written, at the latest; `None` when that is not known.
    pub written_at: Option<Timestamp>,
    /// Whether the writer is of a class that stands for a person at a prompt.
    pub by_hand: bool,
    /// `path:line` of the manifest.
    pub source: String,
    /// The object is being deleted and something still holds it.
    pub going: bool,
    /// Whether the Application as Git declares it, and as it is live, ignores the field and lets no sync write it.
    pub ignored_in_git: bool,
    pub ignored_live: bool,
    /// What a sync of ours made of it, where that ended and was not read back before somebody else wrote the field.
    pub synced: Option<Synced>,
}

/// What a sync made of a field; absent where it took it away.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Synced(pub Option<Value>);

impl CellNow {
    /// Whether the decision still stands.
    pub fn upholds(&self, decision: &Decision) -> bool {
        decision.stands(&self.sides) && !self.rule_gone(decision)
    }

    /// Whether somebody took back from Git the rule by which the field is ignored.
    pub fn rule_gone(&self, decision: &Decision) -> bool {
        decision.take == Take::Ignore && decision.pushed && !self.ignored_in_git
    }

    /// Whether Git says what was decided.
    pub fn git_as_decided(&self, decision: &Decision) -> bool {
        decision.git_met(&self.sides) && (decision.take != Take::Ignore || self.ignored_in_git)
    }
}

/// One open question: a field of a copy group, or one divergence outside any group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuestionNow {
    pub id: String,
    /// The copy group that it belongs to.
    pub group: Option<String>,
    pub kind: String,
    pub name: String,
    pub field: String,
    /// As in `DriftReport`: `hotfix`, `conflict`, `live-only`, …
    pub class: String,
    /// `sure`, `likely`, `ask`.
    pub confidence: String,
    pub evidence: Vec<String>,
    pub suggestion: Option<(Take, String)>,
    /// Ids of the questions that were changed together with this one.
    pub decide_with: Vec<String>,
    pub cells: Vec<CellKey>,
}

/// One Application now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AppNow {
    pub uid: String,
    pub sync: String,
    pub health: String,
    /// `status.sync.revision`.
    pub revision: Option<Commit>,
    pub reconciled_at: Option<Timestamp>,
    /// `spec.syncPolicy`; `null` when absent or empty.
    pub sync_policy: Value,
    /// Whether the controller would sync it by itself.
    pub auto_sync: bool,
    /// `on`, `off`, `absent`, with the bracket in which it went off and the evidence for it.
    pub auto_state: String,
    pub off_not_before: Option<Timestamp>,
    pub off_not_after: Option<Timestamp>,
    pub evidence: Vec<String>,
    /// Cells of its own whose live differs from its Git.
    pub divergences: usize,
    /// What is hidden as noise: class, count, reason.
    pub noise: Vec<(String, usize, String)>,
    /// What the owner declares for `automated`, with where that stands.
    pub declared: Option<(Value, String)>,
    /// Our note on it, or somebody else's.
    pub note: Option<Value>,
    /// An operation that runs or waits: who started it, what it does.
    pub operation: Option<String>,
    /// Conditions of type `…Error`.
    pub conditions: Vec<String>,
    pub repository: String,
    pub branch: String,
    pub path: String,
    pub destination: String,
    /// The context of the cluster that it deploys to, where that is not Argo CD's own.
    pub context: Option<String>,
    /// ApplicationSet or parent; empty when none.
    pub owner: String,
    /// What a sync at the head would do now; none where that is not known of what is there now.
    pub if_synced: Option<Prediction>,
    /// When that was found out.
    pub if_synced_at: Option<Timestamp>,
    pub pods: Vec<PodNow>,
    /// Not all of it could be read: that no difference is seen means nothing.
    pub incomplete: bool,
    /// Its source is of a kind that is not rendered here, so that it never is read whole.
    pub unsupported: bool,
}

impl AppNow {
    /// The incident whose note is on it.
    pub fn frozen_by(&self) -> Option<&str> {
        self.note.as_ref()?.get("incident")?.as_str()
    }

    /// Whether a note is on it that names no incident: nobody knows what it found.
    pub fn note_unreadable(&self) -> bool {
        self.note.is_some() && self.frozen_by().is_none()
    }

    /// Whether the note on it is of this journal.
    pub fn bears_our_note(&self, run: &Run, key: &AppKey) -> bool {
        let note = self.note.as_ref();
        note.is_some_and(|note| run.wrote_note(key, note))
    }

    /// The incident whose note is on it, where this journal did not write it: another one, or one of the same name in
    /// another state folder. What a person froze for this incident, as its sheet says, is nobody else's.
    pub fn frozen_by_another(&self, run: &Run, key: &AppKey) -> Option<&str> {
        self.frozen_by()
            .filter(|_| !self.bears_our_note(run, key) && !self.frozen_by_hand(run))
    }

    /// Whether a person froze it for this incident, as its sheet says.
    pub fn frozen_by_hand(&self, run: &Run) -> bool {
        let op = self.note.as_ref().and_then(|note| note.get("op")?.as_str());
        op == Some(BY_HAND) && run.incident.is_some() && self.frozen_by() == Some(run.id())
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodNow {
    pub name: String,
    pub ready: bool,
    pub started_at: Option<Timestamp>,
    pub why: String,
}

/// One permission of the operator.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Permitted {
    /// `patch applications.argoproj.io in argocd`.
    pub what: String,
    /// `None`: could not be found out.
    pub allowed: Option<bool>,
    /// What is not possible without it.
    pub needed_for: String,
    pub applications: Vec<AppKey>,
}

/// Whether a value that stands nowhere else is worth a word when it goes: a key, a name, an image is; a number, a switch or an
/// amount is typed anew by anybody who knows that it was changed.
pub fn would_be_missed(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
        Value::String(text) => {
            text.chars().count() > 3
                && !matches!(text.as_str(), "true" | "false" | "null")
                && crate::object::quantity::Quantity::parse(text).is_none()
                && text.parse::<crate::span::Span>().is_err()
        }
        Value::Array(items) => items.iter().any(would_be_missed),
        Value::Object(fields) => fields.values().any(would_be_missed),
    }
}

/// Objects that are on one side only.
#[derive(Debug)]
pub struct OneSided<'n>(BTreeSet<(&'n AppKey, ObjectKey)>);

impl OneSided<'_> {
    /// Whether a cell is a field of one.
    pub fn has(&self, cell: &CellKey) -> bool {
        !self.0.is_empty()
            && !cell.field.is_root()
            && self.0.contains(&(&cell.application, cell.object.key()))
    }
}

impl Now {
    /// The values that Git holds of what is looked at, as JSON text.
    pub fn git_values(&self) -> std::collections::HashSet<String> {
        let of_git = self.cells.values().filter_map(|c| c.sides.git.as_ref());
        of_git.map(ToString::to_string).collect()
    }

    /// Why not all of Git, and of what is live, is known: whether a value stands anywhere else is not known then.
    pub fn not_all_read(&self) -> Option<&str> {
        let unread = |app: &AppNow| app.incomplete && !app.unsupported;
        let why = self.errors.first().map(String::as_str);
        self.apps
            .values()
            .any(unread)
            .then(|| why.unwrap_or("it is not known why"))
    }

    /// The live values that a sync would replace and that stand nowhere in Git, each once, for a sentence.
    pub fn lost_by(&self, prediction: &crate::event::Prediction) -> Option<String> {
        let kept = self.git_values();
        let from = prediction.changes.iter().filter_map(|c| c.from.as_ref());
        let from = from.filter(|value| would_be_missed(value));
        let gone = from.filter(|value| !kept.contains(&value.to_string()));
        let gone: std::collections::BTreeSet<String> = gone.map(crate::text::value).collect();
        let stand = if gone.len() == 1 { "stands" } else { "stand" };
        let gone: Vec<String> = gone.into_iter().collect();
        let git = match self.not_all_read() {
            None => "Git",
            Some(_) => "what could be read of Git",
        };
        (!gone.is_empty()).then(|| format!("{} {stand} nowhere in {git}", gone.join(" / ")))
    }

    /// The missing right to write to an Application that is walked. Without it the walk goes on unfrozen, and watched, up
    /// to a branch of its own that somebody else merges.
    pub fn lacks_freeze(&self, run: &Run) -> Option<&Permitted> {
        self.may.iter().find(|permitted| {
            permitted.allowed == Some(false)
                && permitted.what.starts_with("patch applications.argoproj.io")
                && (permitted.applications.is_empty()
                    || run
                        .walking()
                        .any(|(key, _)| permitted.applications.contains(key)))
        })
    }

    /// Why a freeze that the journal has is gone; `None` where it stands, where it was not looked at, and where a write
    /// of ours that ends it is under way.
    pub fn lost_freeze(&self, run: &Run, key: &AppKey) -> Option<String> {
        let app = run.apps.get(key)?;
        if !app.freeze.is_set() || app.thaw != Thaw::Not || run.closed.is_some() {
            return None;
        }
        let seen = self.apps.get(key)?;
        let writing = run
            .open_ops()
            .any(|(_, op)| op.effect.application() == Some(key));
        if writing {
            None
        } else if seen.auto_sync {
            Some("somebody switched auto-sync on".into())
        } else if let Some(other) = seen.frozen_by_another(run, key) {
            let other = run.tell_apart(other);
            Some(format!(
                "the note on the Application is of {other}, and ours is gone"
            ))
        } else if seen.note_unreadable() {
            Some("the note on the Application cannot be read any more: somebody changed it".into())
        } else if !seen.bears_our_note(run, key) {
            Some("our note is gone from the Application".into())
        } else {
            None
        }
    }

    /// Whether the cluster has what this cell is about.
    pub fn is_live(&self, cell: &CellKey) -> bool {
        self.cells
            .get(cell)
            .is_some_and(|seen| seen.sides.live.is_some())
    }

    /// The objects that are on one side only: it is as a whole that they are asked about, not field by field.
    pub fn one_sided(&self) -> OneSided<'_> {
        let roots = self.cells.iter().filter(|(key, cell)| {
            key.field.is_root() && (cell.sides.live.is_none() || cell.sides.git.is_none())
        });
        OneSided(
            roots
                .map(|(key, _)| (&key.application, key.object.key()))
                .collect(),
        )
    }

    /// A field that is decided, that Git has as decided, and that the cluster does not have so: a sync is missing.
    pub fn not_in_effect<'a>(&'a self, run: &'a Run, application: &AppKey) -> Option<&'a CellKey> {
        let waiting: Vec<&CellKey> = run
            .decisions
            .values()
            .filter(|decision| {
                decision.cell.application == *application
                    && decision.take != Take::Ignore
                    && !decision.deletes()
                    && self.cells.get(&decision.cell).is_some_and(|cell| {
                        cell.upholds(decision)
                            && cell.git_as_decided(decision)
                            && !decision.live_met(&cell.sides)
                    })
            })
            .map(|decision| &decision.cell)
            .collect();
        if waiting.is_empty() {
            return None;
        }
        let one_sided = self.one_sided();
        waiting.into_iter().find(|cell| !one_sided.has(cell))
    }

    /// Applications that bear a note of this incident's name that the journal has not written: another state folder did.
    pub fn frozen_elsewhere<'a>(&'a self, run: &'a Run) -> impl Iterator<Item = &'a AppKey> {
        self.apps.iter().filter_map(|(key, app)| {
            let same = run.incident.is_some() && app.frozen_by_another(run, key) == Some(run.id());
            same.then_some(key)
        })
    }

    /// Thawed Applications whose policy is not as the journal has it: how somebody changed it, or that it is as targeted again.
    pub fn policies_moved(&self, run: &Run) -> Vec<(AppKey, Option<String>)> {
        let moved = run.apps.iter().filter_map(|(key, app)| {
            let why = self.policy_moved(key, app);
            (why != app.policy_moved).then(|| (key.clone(), why))
        });
        moved.collect()
    }

    /// How the policy that a thaw left, and that was seen to hold, is not as targeted any more: as seen since, or else as journaled.
    fn policy_moved(&self, key: &AppKey, app: &AppRun) -> Option<String> {
        let since = match app.thaw {
            Thaw::Watched { at, .. } => self.apps.get(key).filter(|_| self.at > at),
            _ => None,
        };
        match since {
            Some(seen) => app.not_as_targeted(&Policy::new(Some(seen.sync_policy.clone()))),
            None => app.policy_moved.clone(),
        }
    }

    /// The first Application of the walk that did not stay as it was thawed, and what became of it, be that seen while the thaw was
    /// watched or after it held. What another incident holds since is that one's.
    pub fn not_as_thawed<'r>(&self, run: &'r Run) -> Option<(&'r AppKey, String)> {
        let anothers = |key: &AppKey| {
            let seen = self.apps.get(key);
            seen.is_some_and(|seen| seen.frozen_by_another(run, key).is_some())
        };
        run.walking().find_map(|(key, app)| {
            let moved = self.policy_moved(key, app).filter(|_| !anothers(key));
            Some((key, app.not_as_thawed(key, moved)?))
        })
    }

    /// Applications of which somebody changed the policy before they were frozen: what the journal had of it.
    pub fn policies_changed<'a>(
        &'a self,
        run: &'a Run,
    ) -> impl Iterator<Item = (&'a AppKey, &'a Value, &'a Value)> {
        run.scope.iter().filter_map(|key| {
            let never = |app: &AppRun| app.freeze == Freeze::Not;
            let (was, seen) = (run.policies.get(key)?, self.apps.get(key)?);
            let same =
                Policy::new(Some(was.clone())) == Policy::new(Some(seen.sync_policy.clone()));
            let ours = seen.bears_our_note(run, key) || seen.frozen_by_hand(run);
            (run.apps.get(key).is_none_or(never) && !same && !ours).then_some((
                key,
                was,
                &seen.sync_policy,
            ))
        })
    }

    /// Fields that a live action set, that are decided for that and not pushed, and that somebody put back since: to what Git has,
    /// or to what stood before the action. With it in words.
    pub fn put_back<'a>(
        &'a self,
        run: &'a Run,
    ) -> impl Iterator<Item = (&'a CellKey, &'static str)> {
        run.acted_and_not_pushed().filter_map(|decision| {
            let cell = self.cells.get(&decision.cell)?;
            let sides = &cell.sides;
            let put_back = match cell.upholds(decision) {
                true => return None,
                false if sides.live == sides.git => "the field is as Git has it",
                false if run.as_before_acts(&decision.cell, sides.live.as_ref()) => {
                    "the field is as it was before the live action"
                }
                false => return None,
            };
            Some((&decision.cell, put_back))
        })
    }

    /// Cells of an Application that a sync was to change and that hold what was decided now.
    pub fn brought(&self, run: &Run, application: &AppKey, sync: &OpId) -> Vec<CellKey> {
        let asked = run.ops.get(sync).map(|op| op.intended_at);
        let brought = run.decisions.values().filter(|decision| {
            let as_decided = |cell: &CellNow| decision.live_met(&cell.sides);
            decision.cell.application == *application
                && decision.changes_live()
                && asked.is_some_and(|at| at >= decision.at)
                && self.cells.get(&decision.cell).is_some_and(as_decided)
        });
        brought.map(|decision| decision.cell.clone()).collect()
    }

    /// What is owed before the incident can end: what the journal says, and what only a look can tell.
    pub fn owed(&self, run: &Run) -> Vec<Obligation> {
        // What others did to what was decided is told by the look itself.
        let mut owed = run.debts();
        // Whoever synced it since brought it.
        owed.retain(|owed| {
            let waits = |decision: &&Decision| decision.unsynced_id() == owed.id;
            let decision = run.decisions.values().find(waits);
            let seen =
                decision.and_then(|decision| Some((decision, self.cells.get(&decision.cell)?)));
            !seen.is_some_and(|(decision, cell)| decision.live_met(&cell.sides))
        });
        if run.closed.is_some() {
            for owed in &mut owed {
                let stays = |decision: &&Decision| {
                    decision.stays_frozen() && decision.later_id() == owed.id
                };
                let Some(decision) = run.decisions.values().find(stays) else {
                    continue;
                };
                let key = &decision.cell.application;
                let Some(app) = self.apps.get(key).filter(|app| app.note.is_none()) else {
                    continue;
                };
                owed.what = crate::text::line(&format!(
                    "{} {}: undecided, was to stay frozen, and {} is not frozen any more: our note is gone, and auto-sync is {}",
                    decision.cell.object,
                    decision.cell.field,
                    key.name,
                    if app.auto_sync { "on" } else { "off" }
                ));
            }
            // What was handed over is settled without this journal: by a thaw from the note, or another incident.
            owed.retain(|owed| {
                let app = owed.application.as_ref().and_then(|key| self.apps.get(key));
                !owed.id.starts_with("frozen:")
                    || owed
                        .application
                        .as_ref()
                        .zip(app)
                        .is_none_or(|(key, app)| app.bears_our_note(run, key))
            });
            return owed;
        }
        // What somebody made of a policy since it was looked at last.
        for (key, why) in self.policies_moved(run) {
            let id = Obligation::of_thaw(&key);
            owed.retain(|owed| owed.id != id);
            if let Some(why) = why {
                let what = format!("{key} {why}");
                owed.push(Obligation::blocking(id, what, Some(key), "freeze"));
            }
        }
        // What is a question again is put off by nobody any more.
        let again: std::collections::BTreeSet<String> = self
            .open_again(run)
            .filter_map(|(key, _)| run.decisions.get(key))
            .map(Decision::later_id)
            .collect();
        owed.retain(|owed| !again.contains(&owed.id));
        // What was put back by hand is no debt of the action any more, whether that is journaled yet or not.
        let put_back: std::collections::BTreeSet<String> = self
            .put_back(run)
            .map(|(key, _)| run.act_owed(key).id)
            .collect();
        owed.retain(|owed| !put_back.contains(&owed.id));
        // What another incident took over is for that one to thaw; that somebody goes on with it is to be said here.
        for owed in &mut owed {
            let key = owed.application.as_ref();
            if owed.blocks_close
                && owed.id.starts_with("later:")
                && key.is_some_and(|key| self.taken_over_by(run, key).is_some())
            {
                owed.blocks_close = false;
                owed.settle = "hand over".into();
            }
            let key = key.filter(|_| owed.id.starts_with("frozen:"));
            let other = key.and_then(|key| Some((key, self.taken_over_by(run, key)?)));
            if let Some((key, other)) = other {
                let other = run.tell_apart(other);
                owed.what = crate::text::line(&match owed.blocks_close {
                    true => {
                        format!("{key} was taken over by {other}: who goes on with it is not named")
                    }
                    false => format!("{key} was taken over by {other}"),
                });
                if owed.blocks_close {
                    owed.settle = Obligation::PARK.into();
                }
            }
        }
        let elsewhere = |key: &AppKey, what: String, settle: &str| {
            Obligation::blocking(
                format!("elsewhere:{key}"),
                format!("{key} {what}"),
                Some(key.clone()),
                settle,
            )
        };
        let by_hand = self.apps.iter().filter(|(_, app)| app.frozen_by_hand(run));
        owed.extend(by_hand.map(|(key, _)| {
            let what = format!(
                "was frozen by hand for {}: freezing it goes on from what its note found",
                run.id()
            );
            elsewhere(key, what, "freeze")
        }));
        owed.extend(self.frozen_elsewhere(run).map(|key| {
            let what = format!(
                "is frozen by {} from another state folder: its journal is there",
                run.id()
            );
            elsewhere(key, what, Obligation::ELSEWHERE)
        }));
        // Of what was set and is not decided, or not decided any more, only a look tells whether it is in Git.
        let acted = |key: &CellKey| {
            run.acted().any(|acted| {
                let (a, b) = (&acted.field, &key.field);
                acted.is_of_object(key) && a.overlaps(b)
            })
        };
        let any = run.acted().next().is_some();
        owed.extend(
            self.cells
                .iter()
                .filter(|_| any)
                .filter(|(key, cell)| cell.differs && !run.decisions.contains_key(*key))
                .filter(|(key, _)| acted(key))
                .filter(|(key, cell)| !run.as_before_acts(key, cell.sides.live.as_ref()))
                .map(|(key, _)| run.act_owed(key)),
        );
        let unread = |key: &AppKey| {
            let app = self.apps.get(key);
            app.is_some_and(|app| app.incomplete && !app.unsupported)
        };
        for act in run.acts().0.iter().map(|act| act.cell) {
            let known = run.decisions.keys().any(|cell| cell.is_same(act));
            let mut debt = run.act_owed(act);
            if known || !unread(&act.application) || owed.iter().any(|one| one.id == debt.id) {
                continue;
            }
            debt.what = crate::text::line(&format!(
                "{} {} was set by a live action, and whether Git has it is not known: not all of {} could be read",
                act.object, act.field, act.application
            ));
            owed.push(debt);
        }
        owed.extend(self.open_anew(run));
        owed
    }

    /// What was decided or found and is a question again, by Application: an incident that ends with it ends on what somebody took back.
    fn open_anew(&self, run: &Run) -> Vec<Obligation> {
        let one_sided = self.one_sided();
        // Told at every event: only what was decided or found is asked, not all that differs.
        let found = run.found.keys();
        let found = found.filter(|key| !run.decisions.contains_key(*key));
        let mut open: Vec<&CellKey> = run
            .decisions
            .keys()
            .chain(found)
            .filter(|key| {
                self.cells.get(*key).is_some_and(|cell| {
                    let decided = run.decisions.contains_key(*key);
                    (decided || run.lost(key, &cell.sides).is_some())
                        && self.is_undecided(run, &one_sided, key, cell)
                })
            })
            .collect();
        open.sort();
        crate::run::open_anew(open)
    }

    /// What is decided and leaves apart what belongs together, for a warning.
    pub fn apart(&self, run: &Run) -> Vec<String> {
        let mut said = self.copies_apart(run);
        said.extend(self.halves_apart(run));
        said
    }

    /// Copies of one field that were decided as one and will differ: the field, and who gets what.
    pub(crate) fn copies_apart(&self, run: &Run) -> Vec<String> {
        let mut fields: BTreeMap<_, Vec<&Decision>> = BTreeMap::new();
        for (key, decision) in &run.decisions {
            let of = (&key.object.kind, &key.object.name, &key.field);
            fields.entry(of).or_default().push(decision);
        }
        let apart = fields
            .into_iter()
            .filter_map(|((kind, name, field), copies)| {
                let taken = copies
                    .iter()
                    .any(|d| matches!(&d.take, Take::Live(of) if *of != LiveOf::default()));
                let grouped = || {
                    self.questions.iter().any(|q| {
                        q.group.is_some()
                            && q.kind == *kind
                            && q.name == *name
                            && q.field == field.to_string()
                    })
                };
                let mut values: BTreeMap<String, Vec<&str>> = BTreeMap::new();
                for decision in copies {
                    let value = match &decision.live {
                        Wanted::Value(value) => {
                            crate::text::shorten(&crate::text::value(value), 40)
                        }
                        Wanted::Absent => "(absent)".into(),
                        Wanted::AsIs => continue,
                    };
                    let key = &decision.cell;
                    let place = key
                        .object
                        .namespace
                        .as_ref()
                        .unwrap_or(&key.application.name);
                    values.entry(value).or_default().push(place);
                }
                if values.len() < 2 || field.is_root() || !(taken || grouped()) {
                    return None;
                }
                let each = values
                    .iter()
                    .map(|(value, places)| format!("{} {value}", places.join(", ")));
                let each = each.collect::<Vec<_>>().join("; ");
                Some(crate::text::line(&format!(
                    "the copies of {field} of {kind} {name} will differ: {each}"
                )))
            });
        apart.collect()
    }

    /// Fields that were written together, and of which the commit brings one while the other is put off: Git will have half of a change.
    pub(crate) fn halves_apart(&self, run: &Run) -> Vec<String> {
        let later = |decision: &Decision| matches!(decision.take, Take::Later(_));
        let mut apart = Vec::new();
        if !run.decisions.values().any(later) {
            return apart;
        }
        let put_off = |key: &CellKey| run.decisions.get(key).is_some_and(later);
        let brought = |key: &&CellKey| {
            let decision = run.decisions.get(*key);
            decision.is_some_and(|decision| decision.changes_git() && !later(decision))
        };
        let questions: BTreeMap<&str, &QuestionNow> = self
            .questions
            .iter()
            .map(|question| (question.id.as_str(), question))
            .collect();
        for question in &self.questions {
            for key in question.cells.iter().filter(brought) {
                let together = question.decide_with.iter();
                let half = together
                    .filter_map(|id| questions.get(id.as_str()))
                    .flat_map(|other| &other.cells)
                    .find(|other| {
                        other.application == key.application
                            && other.object.key() == key.object.key()
                            && put_off(other)
                    });
                if let Some(half) = half {
                    apart.push(crate::text::line(&format!(
                        "{}: half of a change goes to Git: {} as decided, and {}, which was written together with it, is put off",
                        key.application.name, key.field, half.field
                    )));
                }
            }
        }
        apart
    }

    /// An Application of the walk that was not read whole, though it can be: whatever is asked of this look may be otherwise.
    pub fn unread<'a>(&'a self, run: &'a Run) -> Option<(&'a AppKey, &'a str)> {
        let unread = |key: &AppKey| {
            let app = self.apps.get(key);
            app.is_some_and(|app| app.incomplete && !app.unsupported)
        };
        let (key, _) = run.walking().find(|(key, _)| unread(key))?;
        let why = self.errors.first();
        Some((key, why.map_or("it is not known why", String::as_str)))
    }

    /// What was found live and stands on neither side of its cell any more, though nobody decided on it.
    pub fn lost<'a>(
        &'a self,
        run: &'a Run,
    ) -> impl Iterator<Item = (&'a CellKey, &'a CellNow, &'a Found)> {
        let walked = |key: &AppKey| {
            let app = run.apps.get(key);
            app.is_some_and(|app| app.parked.is_none())
                && self.taken_over_by(run, key).is_none()
                // That a value was not read does not mean that it is gone.
                && self.apps.get(key).is_some_and(|app| !app.incomplete)
        };
        let one_sided = self.one_sided();
        self.cells.iter().filter_map(move |(key, cell)| {
            let found = run.lost(key, &cell.sides)?;
            (run.closed.is_none() && !one_sided.has(key) && walked(&key.application))
                .then_some((key, cell, found))
        })
    }

    /// What became of a value that was found live, and where it stands yet.
    pub fn went(&self, key: &CellKey, cell: &CellNow, found: &Found) -> String {
        let was = found.value();
        let is = match &cell.sides.live {
            Some(value) => crate::text::value(value),
            None => "(absent)".into(),
        };
        let holds = |side: &Option<Value>| *side == found.sides.live;
        let alike = |other: &&CellKey| {
            other.object.kind == key.object.kind
                && other.object.name == key.object.name
                && other.field == key.field
        };
        let in_git = self.cells.values().any(|cell| holds(&cell.sides.git));
        let mut copies = self.cells.iter().filter(|(other, _)| alike(other));
        let yet = match copies.find(|(_, cell)| holds(&cell.sides.live)) {
            _ if in_git => "that is in Git elsewhere".to_owned(),
            Some((copy, _)) => format!("that is still live in {}", copy.application.name),
            None if self.not_all_read().is_some() => {
                format!("{was} stands nowhere in what could be read")
            }
            None => format!("{was} stands nowhere now"),
        };
        let day = |at: Timestamp| at.strftime("%F").to_string();
        let at = match day(found.at) == day(self.at) {
            true => found.at.strftime("%H:%M UTC"),
            false => found.at.strftime("%-d %b %H:%M UTC"),
        };
        crate::text::line(&format!(
            "live went from {was}, as found at {at}, to {is}; {yet}, and nobody decided on it"
        ))
    }

    /// Decisions that are open again, each with what was done to it and by whom, as far as the journal knows.
    pub fn open_again<'a>(
        &'a self,
        run: &'a Run,
    ) -> impl Iterator<Item = (&'a CellKey, Option<&'a Touched>)> {
        let one_sided = self.one_sided();
        let decided = run.decisions.keys();
        let open = decided.filter(move |key| {
            let cell = self.cells.get(*key);
            cell.is_some_and(|cell| self.is_undecided(run, &one_sided, key, cell))
        });
        open.map(|key| (key, run.shaken.get(key)))
    }

    /// Cells of open questions that have no standing decision.
    pub fn undecided<'a>(
        &'a self,
        run: &'a Run,
    ) -> impl Iterator<Item = (&'a CellKey, &'a CellNow)> {
        let one_sided = self.one_sided();
        let cells = self.cells.iter();
        cells.filter(move |(key, cell)| self.is_undecided(run, &one_sided, key, cell))
    }

    /// How many fields cells are, as they are asked about: one of three copies is one.
    pub fn fields<'a>(&self, cells: impl IntoIterator<Item = &'a CellKey>) -> usize {
        let question = |key| self.cells.get(key)?.question.as_deref();
        let asked = |key: &'a CellKey| match question(key) {
            Some(question) => Ok(question),
            None => Err((&key.object.kind, &key.object.name, &key.field)),
        };
        cells.into_iter().map(asked).collect::<BTreeSet<_>>().len()
    }

    /// How many of the fields that were asked about are decided, and how many those are.
    pub fn decided_of(&self, open: usize) -> (usize, usize) {
        let asked = self.questions.len().max(open);
        (asked - open, asked)
    }

    /// [`Now::fields`] in words, with how many cells that are where it is not one for each.
    pub fn counted<'a>(&self, cells: impl IntoIterator<Item = &'a CellKey> + Clone) -> String {
        let all = cells.clone().into_iter().count();
        let fields = self.fields(cells);
        let said = crate::text::count(fields, "field");
        match fields == all {
            true => said,
            false => format!("{said} ({})", crate::text::count(all, "cell")),
        }
    }

    fn is_undecided(
        &self,
        run: &Run,
        one_sided: &OneSided<'_>,
        key: &CellKey,
        cell: &CellNow,
    ) -> bool {
        let parked = run
            .apps
            .get(&key.application)
            .is_some_and(|app| app.parked.is_some());
        !parked
            && self.taken_over_by(run, &key.application).is_none()
            && !one_sided.has(key)
            && match run.decisions.get(key) {
                None => cell.question.is_some() || run.lost(key, &cell.sides).is_some(),
                Some(decision) => !cell.upholds(decision),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Effect, Guard, Mechanism},
        ids::OpId,
        run::{Freeze, Op},
        sheet::Command,
    };
    use serde_json::json;

    /// Pushed, synced and thawed; then somebody reverted the commit, and auto-sync brought that.
    #[test]
    fn what_was_decided_and_is_taken_back_is_owed_and_put_off_no_more() {
        use crate::decision::{How, Later, Wanted};
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "auth"}});
        let key = CellKey {
            application: AppKey::new("argocd", "auth"),
            object: crate::object::identity::ObjectRef::from_object(&object).unwrap(),
            field: ".data.ALG".parse().unwrap(),
        };
        let both = |value: &str| Sides {
            git: Some(json!(value)),
            last_synced: None,
            live: Some(json!(value)),
        };
        let rs256 = Wanted::Value(json!("RS256"));
        let mut decision = Decision {
            cell: key.clone(),
            take: Take::Value(json!("RS256")),
            seen: both("HS256"),
            git: rs256.clone(),
            live: rs256,
            reason: String::new(),
            by: "jo".into(),
            at: jiff::Timestamp::UNIX_EPOCH,
            pushed: true,
            applied: true,
        };
        let mut run = Run::default();
        run.scope.push(key.application.clone());
        run.apps.entry(key.application.clone()).or_default().freeze = Freeze::Thawed;
        run.decisions.insert(key.clone(), decision.clone());
        let now = |sides: Sides| Now {
            apps: BTreeMap::from([(key.application.clone(), AppNow::default())]),
            cells: BTreeMap::from([(
                key.clone(),
                CellNow {
                    sides,
                    ..CellNow::default()
                },
            )]),
            ..Now::default()
        };
        assert!(now(both("RS256")).owed(&run).is_empty());
        let owed = now(both("HS256")).owed(&run);
        assert_eq!(
            owed.iter().map(|owed| &*owed.what).collect::<Vec<_>>(),
            ["auth: ConfigMap/c in auth .data.ALG open again, since somebody changed it"]
        );
        let refused = crate::rules::check(&run, &now(both("HS256")), &Command::Close);
        assert!(refused.is_err_and(|why| why.rule == 10));
        // Put off with somebody's name, it is that until it is another value.
        let later = Later {
            owner: "ann".into(),
            until: "2026-12-01".into(),
            how: How::StayFrozen,
        };
        decision.take = Take::Later(later);
        (decision.git, decision.live) = (Wanted::AsIs, Wanted::AsIs);
        (decision.pushed, decision.applied) = (false, false);
        run.decisions.insert(key.clone(), decision);
        let ids =
            |now: Now| -> Vec<String> { now.owed(&run).into_iter().map(|owed| owed.id).collect() };
        assert!(
            ids(now(both("HS256")))
                .iter()
                .any(|id| id.starts_with("later:"))
        );
        assert_eq!(ids(now(both("none"))), ["open:argocd/auth"]);
    }

    #[test]
    fn what_another_state_folder_froze_is_owed_here_too() {
        let key = AppKey::new("argocd", "auth");
        let mut run = Run {
            incident: "INC-1".parse().ok(),
            ..Run::default()
        };
        run.scope.push(key.clone());
        run.apps.entry(key.clone()).or_default();
        let app = AppNow {
            note: Some(json!({"incident": "INC-1", "op": "1", "by": "ann"})),
            ..AppNow::default()
        };
        let now = Now {
            apps: BTreeMap::from([(key.clone(), app)]),
            ..Now::default()
        };
        let owed = now.owed(&run);
        assert_eq!(owed.len(), 1, "{owed:?}");
        assert!(owed[0].blocks_close && owed[0].settle == Obligation::ELSEWHERE);
        run.armed = crate::event::Armed::All;
        let check = |run: &Run, command| crate::rules::check(run, &now, &command);
        let refused = check(&run, Command::Close);
        assert!(refused.is_err_and(|why| why.reason.contains("another state folder")));
        // Its name is ours, and it is not ours: it is taken over as any other, and never frozen over.
        let freeze = Command::Freeze {
            applications: vec![key.clone()],
        };
        let refused = check(&run, freeze.clone()).unwrap_err();
        assert!(
            refused
                .reason
                .contains("another state folder already (ann)")
                && refused.hint.contains("--take-over INC-1"),
            "{refused:?}"
        );
        let take_over = Command::TakeOver {
            applications: vec![key.clone()],
            from: "INC-1".into(),
        };
        assert_eq!(check(&run, take_over.clone()), Ok(()));
        // Frozen by this journal, it is owed once, and as its own; the intent is enough, after a kill.
        run.apply(&intended(&key, "1"));
        assert_eq!(check(&run, freeze), Ok(()));
        assert!(check(&run, take_over).is_err());
        let app = run.apps.entry(key.clone()).or_default();
        app.freeze = Freeze::Set {
            op: OpId("1".into()),
            at: Timestamp::UNIX_EPOCH,
            mechanism: Mechanism::Disable,
        };
        let owed = now.owed(&run);
        assert!(
            owed.iter().all(|owed| owed.settle != Obligation::ELSEWHERE),
            "{owed:?}"
        );
        assert_eq!(now.lost_freeze(&run, &key), None);
        // A note that was copied to another Application is none of its own.
        assert!(!now.apps[&key].bears_our_note(&run, &AppKey::new("argocd", "copy")));
    }

    fn intended(key: &AppKey, op: &str) -> crate::event::Record {
        crate::event::Record {
            seq: 1,
            time: Timestamp::UNIX_EPOCH,
            event: crate::event::Event::Intended {
                op: OpId(op.into()),
                effect: Effect::Freeze {
                    application: key.clone(),
                    mechanism: Mechanism::Disable,
                    found: Value::Null,
                    patch: Value::Null,
                    from: None,
                },
                guard: Guard::default(),
                shown: Vec::new(),
                by_hand: Vec::new(),
                by: String::new(),
            },
        }
    }

    #[test]
    fn a_policy_that_somebody_changed_after_the_thaw_is_owed() {
        let key = AppKey::new("argocd", "auth");
        let on = json!({"automated": {"prune": true}});
        let mut run = Run::default();
        let app = run.apps.entry(key.clone()).or_default();
        app.freeze = Freeze::Thawed;
        app.thaw = Thaw::Watched {
            op: OpId("1".into()),
            at: Timestamp::UNIX_EPOCH,
        };
        let target = crate::plan::Target {
            policy: Some(crate::plan::TargetKind::Declared),
            automated: None,
            reason: None,
        };
        app.target = Some((target, on.clone(), String::new()));
        let moved = |run: &Run, sync_policy: Value| {
            let app = AppNow {
                sync_policy,
                ..AppNow::default()
            };
            let now = Now {
                at: Timestamp::from_second(1).unwrap(),
                apps: BTreeMap::from([(key.clone(), app)]),
                ..Now::default()
            };
            now.policies_moved(run)
        };
        assert_eq!(moved(&run, on.clone()), []);
        for changed in [
            Value::Null,
            json!({"automated": {"prune": true, "enabled": false}}),
        ] {
            let moved = moved(&run, changed);
            let why = moved[0].1.as_deref().unwrap();
            assert!(why.contains("is off, the target is prune"), "{why}");
        }
        // It is owed, in every transcript too, until it is as targeted again.
        run.apps.get_mut(&key).unwrap().policy_moved = Some("was switched off".into());
        let owed = run.obligations();
        assert!(owed.len() == 1 && owed[0].blocks_close, "{owed:?}");
        assert_eq!(moved(&run, on), [(key.clone(), None)]);
    }

    #[test]
    fn a_freeze_that_somebody_undid_is_lost() {
        let key = AppKey::new("argocd", "auth");
        let mut run = Run {
            incident: "INC-1".parse().ok(),
            ..Run::default()
        };
        run.apply(&intended(&key, "1"));
        run.ops.get_mut(&OpId("1".into())).unwrap().outcome = Some((
            crate::event::Outcome::NotDone { why: String::new() },
            Timestamp::UNIX_EPOCH,
        ));
        run.apps.entry(key.clone()).or_default().freeze = Freeze::Proven {
            op: OpId("1".into()),
            at: Timestamp::UNIX_EPOCH,
            mechanism: Mechanism::Disable,
            since: Timestamp::UNIX_EPOCH,
        };
        let now = |auto_sync: bool, note: Value| {
            let app = AppNow {
                auto_sync,
                note: Some(note),
                ..AppNow::default()
            };
            Now {
                apps: BTreeMap::from([(key.clone(), app)]),
                ..Now::default()
            }
        };
        let ours = json!({"incident": "INC-1", "op": "1"});
        let lost = |run: &Run, auto_sync, note: &Value| {
            now(auto_sync, note.clone()).lost_freeze(run, &key)
        };
        assert_eq!(lost(&run, false, &ours), None);
        assert!(lost(&run, true, &ours).is_some_and(|why| why.contains("auto-sync")));
        let elsewhere = json!({"incident": "INC-1", "op": "of another folder"});
        for note in [Value::Null, json!({"incident": "INC-2"}), elsewhere] {
            assert!(lost(&run, false, &note).is_some_and(|why| why.contains("note")));
        }
        assert_eq!(
            Now::default().lost_freeze(&run, &key),
            None,
            "not looked at"
        );
        // Our own thaw is not somebody else's.
        let effect = Effect::Thaw {
            application: key.clone(),
            automated: Value::Null,
            patch: Value::Null,
            operation_before: None,
        };
        run.op_order.push(OpId("2".into()));
        run.ops.insert(
            OpId("2".into()),
            Op {
                effect,
                guard: Guard::default(),
                shown: Vec::new(),
                by_hand: Vec::new(),
                by: String::new(),
                intended_at: Timestamp::UNIX_EPOCH,
                outcome: None,
            },
        );
        assert_eq!(lost(&run, true, &Value::Null), None);
    }
}
