//! From the records to the transcript.

use super::{
    chain::{Chain, Line},
    model::*,
    parts::{decisions, files, others, outcome, passed, predicted},
    quote::{block, say},
    timeline::{timeline, verdict},
    words::{self, app, between},
};
use crate::{
    event::{Effect, Event, Outcome, Prediction, Proposal, Record},
    ids::OpId,
    object::identity::AppKey,
    plan,
    run::Run,
};
use jiff::Timestamp;
use std::collections::BTreeMap;

impl Transcript {
    /// The transcript of a journal. `run` is the fold of the same lines.
    pub fn of(lines: &[Line], run: &Run) -> Self {
        let records: Vec<&Record> = lines.iter().map(|line| &line.record).collect();
        let mut builder = Builder::new(run);
        for record in &records {
            builder.take(record);
        }
        builder.finish();
        let last_at = builder.last_at;
        let end = run.closed.as_ref().map(|(_, at)| *at).or(last_at);
        Self {
            api_version: crate::API_VERSION,
            kind: "Transcript",
            made_by: concat!("trueup ", env!("CARGO_PKG_VERSION")).into(),
            incident: say(run.id()),
            operators: builder.operators,
            cluster: Cluster {
                context: say(&run.pin.context),
                server: say(&run.pin.server),
                uid: say(&run.pin.uid),
                version: say(&run.pin.version),
            },
            opened_at: run.opened_at,
            last_at,
            duration: run
                .opened_at
                .zip(end)
                .map(|(from, to)| between(from, to))
                .unwrap_or_default(),
            outcome: outcome(run),
            scope: run.scope.iter().map(|key| app(run, key)).collect(),
            found: super::found::groups(&records),
            applications: super::found::applications(&records, run),
            decisions: decisions(&records, run),
            commits: builder.commits,
            syncs: builder.syncs,
            freezes: builder.freezes,
            acts: builder.acts.into_iter().map(|(_, act)| act).collect(),
            attested: builder.attested,
            adopted: builder.adopted,
            glass: run
                .broken_glass
                .iter()
                .map(|glass| Glass {
                    application: glass
                        .application
                        .as_ref()
                        .map_or_else(String::new, |key| app(run, key)),
                    what: say(&glass.what),
                    reason: say(&glass.reason),
                    by: say(&glass.by),
                    at: glass.at,
                    reviewed: glass.reviewed.as_deref().map_or_else(String::new, say),
                })
                .collect(),
            no_symptom_gate: run.no_symptom_gate(),
            gates_in_doubt: run.doubts(),
            gates_changed: run.gates_changed(),
            shortened: run
                .shortened
                .iter()
                .map(|(wait, from, to)| Shortened {
                    wait: say(wait),
                    from: say(from),
                    to: say(to),
                })
                .collect(),
            owed: run
                .obligations()
                .iter()
                .map(|owed| Owed {
                    what: say(&owed.what),
                    owner: owed.owner.as_deref().map_or_else(String::new, say),
                    until: owed.until.as_deref().map_or_else(String::new, say),
                    blocks_close: owed.blocks_close,
                })
                .collect(),
            by_hand: super::by_hand(run, &records),
            timeline: timeline(&records, run),
            chain: Chain::of(lines),
        }
    }
}

/// What has to be remembered while going through the records.
struct Builder<'a> {
    run: &'a Run,
    last_at: Option<Timestamp>,
    operators: Vec<String>,
    proposals: BTreeMap<&'a str, &'a Proposal>,
    predictions: BTreeMap<&'a AppKey, &'a Prediction>,
    ops: BTreeMap<&'a OpId, &'a Effect>,
    commits: Vec<Commit>,
    syncs: Vec<Sync>,
    /// The newest sync of each Application, as an index.
    newest: BTreeMap<&'a AppKey, usize>,
    freezes: Vec<Freeze>,
    /// The freeze of each Application that stands now, as an index.
    frozen: BTreeMap<&'a AppKey, usize>,
    acts: Vec<(&'a OpId, Act)>,
    attested: Vec<Attested>,
    adopted: Vec<Adopted>,
}

impl<'a> Builder<'a> {
    fn new(run: &'a Run) -> Self {
        Self {
            run,
            last_at: None,
            operators: Vec::new(),
            proposals: BTreeMap::new(),
            predictions: BTreeMap::new(),
            ops: BTreeMap::new(),
            commits: Vec::new(),
            syncs: Vec::new(),
            newest: BTreeMap::new(),
            freezes: Vec::new(),
            frozen: BTreeMap::new(),
            acts: Vec::new(),
            attested: Vec::new(),
            adopted: Vec::new(),
        }
    }

    fn take(&mut self, record: &'a Record) {
        let at = record.time;
        // An export is no part of what happened: what it shows must not change by being exported.
        if !matches!(record.event, Event::Exported { .. }) {
            self.last_at = Some(at);
        }
        match &record.event {
            Event::IncidentOpened { operator, .. } | Event::Resumed { operator, .. } => {
                let operator = say(operator);
                if !self.operators.contains(&operator) {
                    self.operators.push(operator);
                }
            }
            Event::Proposed { proposal } => {
                self.proposals.insert(proposal.commit.as_str(), proposal);
            }
            Event::Predicted {
                application,
                prediction,
                ..
            } => {
                self.predictions.insert(application, prediction);
            }
            Event::Intended { op, effect, by, .. } => {
                self.ops.insert(op, effect);
                self.intended(op, effect, by, at);
            }
            Event::Ended { op, outcome } => self.ended(op, outcome, at),
            Event::FreezeProven { application } => {
                if let Some(freeze) = self.freeze(application) {
                    freeze.proven_at.get_or_insert(at);
                }
            }
            Event::FreezeLost { application, why } => {
                self.end_freeze(application, at, &format!("lost: {}", say(why)));
                self.adopted.push(Adopted {
                    at,
                    application: app(self.run, application),
                    what: format!("its freeze was lost: {}", say(why)),
                    who: String::new(),
                });
            }
            Event::Landed {
                repository,
                revision,
                how,
                ..
            } => {
                let landed = format!("{} ({})", say(revision.as_str()), say(how));
                let ops = &self.run.ops;
                let reached = |c: &Commit| {
                    ops.values().any(|op| {
                        op.done()
                            && matches!(&op.effect, Effect::Push { repository: to, commit, .. }
                                if to == repository && *c.commit == *say(commit.as_str()))
                    })
                };
                for commit in self.commits.iter_mut().filter(|c| c.landed.is_empty()) {
                    if reached(commit) {
                        commit.landed.clone_from(&landed);
                    }
                }
            }
            Event::Attested {
                gate,
                who,
                saw,
                after,
            } => self.attested.push(Attested {
                gate: say(gate),
                after: after.iter().map(|key| app(self.run, key)).collect(),
                who: say(who),
                saw: say(saw),
                at,
            }),
            Event::Adopted {
                application,
                what,
                who,
                ..
            } => self.adopted.push(Adopted {
                at,
                application: application
                    .as_ref()
                    .map_or_else(String::new, |key| app(self.run, key)),
                what: say(what),
                who: say(who),
            }),
            Event::PolicyChanged {
                application,
                from,
                to,
                who,
            } => self.adopted.push(Adopted {
                at,
                application: app(self.run, application),
                what: words::policy_changed(from, to),
                who: say(who),
            }),
            Event::PolicyMoved {
                application,
                why,
                who,
            } => self.adopted.push(Adopted {
                at,
                application: app(self.run, application),
                what: words::policy_moved(why.as_deref()),
                who: say(who),
            }),
            Event::Strayed {
                cell, what, who, ..
            }
            | Event::StrayedBack {
                cell, what, who, ..
            } => self.adopted.push(Adopted {
                at,
                application: app(self.run, &cell.application),
                what: say(what),
                who: say(who),
            }),
            Event::ActReread {
                op,
                after,
                holds,
                why,
            } => {
                let held = words::reread(self.run, op, *after, *holds);
                for (_, act) in self.acts.iter_mut().filter(|(id, _)| *id == op) {
                    act.rereads
                        .push(format!("after {after}: {held} {}", say(why)));
                }
            }
            event => self.synced(event, at),
        }
    }

    fn intended(&mut self, op: &'a OpId, effect: &'a Effect, by: &str, at: Timestamp) {
        let by = say(by);
        match effect {
            Effect::Push {
                repository,
                branch,
                commit,
                parent,
                tracked,
                ..
            } => {
                let proposal = self.proposals.get(commit.as_str());
                self.commits.push(Commit {
                    repository: say(repository),
                    branch: say(branch),
                    tracked: *tracked,
                    commit: say(commit.as_str()),
                    parent: say(parent.as_str()),
                    message: proposal.map_or_else(String::new, |p| block(&p.message)),
                    author: proposal.map_or_else(String::new, |p| say(&p.author)),
                    others: proposal.map_or_else(Vec::new, |p| others(p)),
                    by,
                    at,
                    outcome: words::outcome(None),
                    landed: String::new(),
                    files: proposal.map_or_else(Vec::new, |p| files(p)),
                    proof: proposal.map_or_else(Vec::new, |p| self.proof(p)),
                });
            }
            Effect::Sync {
                application,
                revision,
                ..
            } => {
                let prediction = self.predictions.get(application);
                self.newest.insert(application, self.syncs.len());
                self.syncs.push(Sync {
                    application: app(self.run, application),
                    revision: say(revision.as_str()),
                    op: say(op.as_str()),
                    by,
                    at,
                    outcome: words::outcome(None),
                    phase: String::new(),
                    message: String::new(),
                    predicted: prediction.map(|p| predicted(p)),
                    expected: prediction.map_or_else(Vec::new, |p| words::expected(p)),
                    real: None,
                    surprises: Vec::new(),
                    overwritten: Vec::new(),
                    gates: Vec::new(),
                });
            }
            Effect::Act {
                application,
                object,
                action,
                inverse,
                reason,
                ..
            } => self.acts.push((
                op,
                Act {
                    application: app(self.run, application),
                    object: say(&object.to_string()),
                    what: match reason.trim() {
                        "" => words::action(action),
                        why => format!("{} (why: {})", words::action(action), say(why)),
                    },
                    by,
                    at,
                    outcome: words::outcome(None),
                    rereads: Vec::new(),
                    beside: words::beside(self.run, op),
                    inverse: say(&inverse.to_string()),
                },
            )),
            Effect::Ignore {
                application,
                inverse,
                ..
            } => self.acts.push((
                op,
                Act {
                    application: app(self.run, application),
                    object: say(&format!("Application/{}", application.name)),
                    what: words::effect(self.run, effect),
                    by,
                    at,
                    outcome: words::outcome(None),
                    rereads: Vec::new(),
                    beside: Vec::new(),
                    inverse: say(&inverse.to_string()),
                },
            )),
            Effect::Delete {
                application,
                object,
                kept,
                ..
            } => self.acts.push((
                op,
                Act {
                    application: app(self.run, application),
                    object: say(&object.to_string()),
                    what: words::effect(self.run, effect),
                    by,
                    at,
                    outcome: words::outcome(None),
                    rereads: Vec::new(),
                    beside: Vec::new(),
                    inverse: say(&format!(
                        "create it again from what is kept beside the journal as {kept}"
                    )),
                },
            )),
            Effect::Freeze { .. } | Effect::Thaw { .. } => {}
        }
    }

    fn ended(&mut self, op: &'a OpId, outcome: &Outcome, at: Timestamp) {
        let Some(effect) = self.ops.get(op).copied() else {
            return;
        };
        let words = words::outcome(Some(outcome));
        let done = matches!(outcome, Outcome::Done { .. });
        match effect {
            Effect::Push { commit, .. } => {
                let commit = say(commit.as_str());
                for push in self.commits.iter_mut().filter(|c| c.commit == commit) {
                    push.outcome.clone_from(&words);
                }
            }
            Effect::Sync { .. } => {
                let op = say(op.as_str());
                for sync in self.syncs.iter_mut().filter(|s| s.op == op) {
                    sync.outcome.clone_from(&words);
                }
            }
            Effect::Act { .. } | Effect::Ignore { .. } | Effect::Delete { .. } => {
                for (_, act) in self.acts.iter_mut().filter(|(id, _)| *id == op) {
                    act.outcome.clone_from(&words);
                }
            }
            Effect::Freeze {
                application,
                mechanism,
                found,
                ..
            } if done => {
                self.end_freeze(application, at, "frozen again");
                self.frozen.insert(application, self.freezes.len());
                self.freezes.push(Freeze {
                    application: app(self.run, application),
                    mechanism: words::mechanism(*mechanism, found).into(),
                    set_at: at,
                    proven_at: None,
                    ended_at: None,
                    lasted: crate::span::Span::default(),
                    end: "still frozen".into(),
                    found: words::policy(found),
                    left: String::new(),
                });
            }
            Effect::Thaw {
                application,
                automated,
                ..
            } if done => {
                let left = words::policy(automated);
                if let Some(freeze) = self.freeze(application) {
                    freeze.left = left;
                }
                self.end_freeze(application, at, "thawed");
            }
            Effect::Freeze { .. } | Effect::Thaw { .. } => {}
        }
    }

    fn freeze(&mut self, application: &AppKey) -> Option<&mut Freeze> {
        let index = *self.frozen.get(application)?;
        self.freezes.get_mut(index)
    }

    fn end_freeze(&mut self, application: &AppKey, at: Timestamp, end: &str) {
        if let Some(freeze) = self.freeze(application) {
            freeze.ended_at = Some(at);
            freeze.end = end.to_owned();
        }
        self.frozen.remove(application);
    }

    /// What follows a sync request.
    fn synced(&mut self, event: &'a Event, at: Timestamp) {
        let run = self.run;
        let (application, gate) = match event {
            Event::OperationFinished { application, .. }
            | Event::SyncVerified { application, .. } => (application, None),
            Event::GateStarted {
                application, gate, ..
            }
            | Event::GateSampled {
                application, gate, ..
            }
            | Event::GateBeforeThaw {
                application, gate, ..
            }
            | Event::GatePassed { application, gate }
            | Event::GateTimedOut {
                application, gate, ..
            } => (application, Some(say(gate))),
            _ => return,
        };
        let newest = self.newest.get(application).copied();
        let Some(sync) = newest.and_then(|index| self.syncs.get_mut(index)) else {
            return;
        };
        match event {
            Event::OperationFinished { phase, message, .. } => {
                sync.phase = say(phase);
                sync.message = say(message);
            }
            Event::SyncVerified {
                changes,
                surprises,
                overwritten,
                ..
            } => {
                sync.real = Some(words::changes(changes));
                sync.surprises = words::changes(surprises);
                sync.overwritten = overwritten.iter().map(words::overwritten).collect();
            }
            Event::GateStarted {
                gate: name,
                spec,
                hold,
                every,
                within,
                ..
            } => sync.gates.push(Gate {
                name: say(name),
                what: say(&spec.asks()),
                hold: *hold,
                every: *every,
                within: *within,
                baseline: run.baselines.get(name).map(words::sample),
                samples: Vec::new(),
                outcome: "not settled".into(),
            }),
            event => {
                let Some(gate) = gate
                    .and_then(|name| sync.gates.iter_mut().rev().find(|gate| gate.name == name))
                else {
                    return;
                };
                match event {
                    Event::GateSampled { sample, .. } => gate.samples.push(words::sample(sample)),
                    Event::GateBeforeThaw {
                        sample, closing, ..
                    } => {
                        let sample = words::sample(sample);
                        gate.outcome.push_str(&format!(
                            "; once more before the {}, at {}: {} ({})",
                            words::before(*closing),
                            sample.at.strftime("%H:%M:%S UTC"),
                            verdict(sample.verdict),
                            sample.why
                        ));
                        gate.samples.push(sample);
                    }
                    Event::GatePassed { .. } => gate.outcome = passed(gate, at),
                    Event::GateTimedOut {
                        why, given_up_by, ..
                    } => {
                        gate.outcome = match given_up_by {
                            Some(by) => format!("given up by {}: {}", say(by), say(why)),
                            None => format!("timed out: {}", say(why)),
                        };
                    }
                    _ => {}
                }
            }
        }
    }

    fn proof(&self, proposal: &Proposal) -> Vec<Proof> {
        proposal
            .proof
            .iter()
            .map(|line| Proof {
                application: app(self.run, &line.application),
                decided: words::changes(&line.decided),
                undecided: words::changes(&line.undecided),
                errors: line.errors.iter().map(|e| say(e)).collect(),
            })
            .collect()
    }

    /// What only the end tells: how long freezes lasted, manual gates, gates that were overridden.
    fn finish(&mut self) {
        let run = self.run;
        for freeze in &mut self.freezes {
            let end = freeze.ended_at.or(self.last_at).unwrap_or(freeze.set_at);
            freeze.lasted = between(freeze.set_at, end);
        }
        for (key, index) in &self.newest {
            let Some(sync) = self.syncs.get_mut(*index) else {
                continue;
            };
            for name in run.gates_after(key) {
                if let Some(spec @ plan::Gate::Manual(_)) = run.gates.get(&name) {
                    let said = run.apps.get(*key).and_then(|app| app.attested.get(&name));
                    let outcome = match said {
                        Some((who, saw, _)) => format!("attested by {}: {}", say(who), say(saw)),
                        None => "not attested".into(),
                    };
                    sync.gates.push(Gate {
                        name: say(&name),
                        what: say(&spec.asks()),
                        outcome,
                        ..Gate::default()
                    });
                }
            }
            for gate in &mut sync.gates {
                let away = run
                    .removed_gates
                    .iter()
                    .find(|(name, _)| say(name) == gate.name);
                if let Some((_, away)) = away {
                    gate.outcome = format!(
                        "taken away by {}: {} ({})",
                        say(&away.by),
                        say(&away.why),
                        gate.outcome
                    );
                }
                let mut broken = run.broken_glass.iter();
                let glass = broken
                    .find(|g| say(&g.what) == gate.name && run.glass_for(key, &g.what).is_some());
                if let Some(glass) = glass.filter(|_| !gate.outcome.starts_with("passed")) {
                    gate.outcome = format!(
                        "overridden by {}: {} ({})",
                        say(&glass.by),
                        say(&glass.reason),
                        gate.outcome
                    );
                }
            }
        }
    }
}
