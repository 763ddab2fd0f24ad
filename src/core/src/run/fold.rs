//! How each event changes the state of an incident.

use super::*;

impl Run {
    /// Folds a whole journal.
    pub fn fold<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut run = Self::default();
        for record in records {
            run.apply(record);
        }
        run
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

    pub(super) fn app(&mut self, key: &AppKey) -> &mut AppRun {
        self.apps.entry(key.clone()).or_default()
    }

    /// Takes the next event.
    pub fn apply(&mut self, record: &Record) {
        self.last = Some((record.seq, record.time));
        let at = record.time;
        self.bound |= match &record.event {
            Event::Armed { write, .. } => *write != Armed::Nothing,
            event => matches!(
                event,
                Event::Intended { .. } | Event::Decided { .. } | Event::Attested { .. }
            ),
        };
        match &record.event {
            Event::Attested { .. } => {
                self.judged_at = Some(at);
                self.unjudged.clear();
            }
            Event::GateBeforeThaw { settles: true, .. } => {
                self.judged_at = Some(at);
                self.unjudged.clear();
            }
            Event::GateSampled { gate, sample, .. }
            | Event::GateBeforeThaw {
                gate,
                sample,
                closing: false,
                ..
            } if sample.verdict != Verdict::Inconclusive && self.looks_at_the_symptom(gate) => {
                self.judged_at = Some(at);
                self.unjudged.clear();
            }
            Event::Adopted { what, .. }
            | Event::Strayed { what, .. }
            | Event::StrayedBack { what, .. }
                if self.judged_at.is_some() =>
            {
                self.unjudged.push(what.clone());
            }
            Event::PolicyMoved {
                application, why, ..
            } if self.judged_at.is_some() => {
                let why = why.as_deref().unwrap_or(AS_TARGETED_AGAIN);
                self.unjudged.push(format!("{}: {why}", application.name));
            }
            _ => {}
        }
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
                    self.planned_at = Some(at);
                }
                self.set_scope(scope);
            }
            Event::Resumed { operator, .. } => {
                self.operator.clone_from(operator);
                // Arming is a consent given to a process, and that process is gone.
                self.armed = Armed::Nothing;
                // What one process could not ask about, the next one may.
                if !self.cure_begun() {
                    self.baselines.retain(|_, tried| !tried.unasked);
                }
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
                number,
                blobs,
                questions,
                applications,
                heads,
                incomplete,
                earlier,
                ..
            } => {
                for (repository, head) in heads {
                    self.saw_first(repository, head);
                }
                for app in applications {
                    let text = |field: &str| app.get(field).and_then(Value::as_str);
                    if let (Some(namespace), Some(name), Some(policy)) =
                        (text("namespace"), text("name"), app.get(POLICY))
                    {
                        let key = AppKey::new(namespace, name);
                        self.policies.entry(key).or_insert_with(|| policy.clone());
                    }
                }
                self.snapshots = number + 1;
                self.keep_questions(questions, incomplete);
                self.snapshot_at = Some(at);
                for earlier in earlier {
                    self.find(&earlier.questions, earlier.at);
                }
                self.find(questions, at);
                self.note_blind(at, blobs, incomplete);
            }
            Event::Decided { decisions } => {
                self.decided
                    .push(each_once(decisions.iter().map(|d| &d.cell)));
                for decision in decisions {
                    self.keep_carried(&decision.cell);
                    self.not_pushed(&decision.cell);
                    self.overrule(&decision.cell);
                    self.reopened.remove(&decision.cell);
                    self.strayed.remove(&decision.cell);
                    self.decisions
                        .insert(decision.cell.clone(), decision.clone());
                }
                self.reopen();
            }
            Event::DecisionWithdrawn { cells, .. } => {
                for cell in cells {
                    let carried = self.keep_carried(cell);
                    self.not_pushed(cell);
                    self.reopened.remove(cell);
                    if !carried && let Some(before) = self.carried.remove(cell) {
                        self.stands_again(cell, before);
                        continue;
                    }
                    self.overrule(cell);
                    let decision = self.decisions.remove(cell);
                    if let Some(decision) = decision.filter(|decision| !decision.applied) {
                        self.overrule_no_more(&decision);
                    }
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
            Event::Outage { .. } => self.turn_away(),
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
                self.turn_away();
            }
            Event::Refused { what, why, by, .. } => {
                self.refused = Some((what.clone(), why.clone(), by.clone()));
            }
            Event::Proposed { proposal } => {
                self.saw_first(&proposal.repository, &proposal.parent);
                self.proposal = Some((**proposal).clone());
            }
            Event::MessageSet { message, .. } => {
                self.message = Some(message.clone());
                self.message_pushed.clear();
                self.proposal = None;
            }
            Event::ProposalVoid { .. } => self.proposal = None,
            Event::PlanTaken {
                plan, by, reason, ..
            } => {
                self.take_plan_of(plan, by, reason);
                self.planned_at = Some(at);
            }
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
                same,
                ..
            } => {
                self.landed.insert(
                    repository.clone(),
                    Landed {
                        branch: branch.clone(),
                        revision: revision.clone(),
                        how: how.clone(),
                        same: same.iter().cloned().collect(),
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
                self.carried_into_git(repository);
                let pushed = self.pushed.remove(repository).unwrap_or_default();
                for cell in &pushed.cells {
                    if let Some(decision) = self.decisions.get_mut(cell) {
                        decision.pushed = true;
                    }
                }
            }
            Event::OrderSet { order, .. } => self.order.clone_from(order),
            Event::GateAdded { gate, spec, by } => {
                self.put_gate(gate, spec, by);
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
                brought,
                ..
            } => {
                for cell in brought {
                    if let Some(decision) = self.decisions.get_mut(cell) {
                        decision.applied = true;
                    }
                }
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
                            seen: None,
                        }
                    };
                }
            }
            Event::SurpriseSeen {
                application,
                op: looked_at,
                reason,
                by,
            } => {
                let app = self.app(application);
                if let Sync::Surprised { op, seen, .. } = &mut app.sync
                    && op == looked_at
                {
                    *seen = Some((by.clone(), reason.clone()));
                    app.prediction = None;
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
                let state = self.app(application).gates.entry(gate.clone());
                let state = state.or_default();
                state.timed_out = Some(why);
                state.given_up_by.clone_from(given_up_by);
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
                sides,
            } => {
                if let Some(cell) = cell {
                    self.reopened.remove(cell);
                    let decided = self.decisions.get(cell);
                    let touched = match self.found.get(cell).filter(|_| decided.is_none()) {
                        Some(found) => Touched::undecided(cell, what, who, sides.clone(), found),
                        None => Touched::new(what, who, sides.clone(), decided),
                    };
                    self.shaken.insert(cell.clone(), touched);
                    self.turn_away();
                }
                self.adopted.push((application.clone(), what.clone()));
                if let Some(application) = application {
                    self.app(application).forget_prediction();
                }
            }
            Event::Strayed {
                cell, sides, was, ..
            } => {
                self.stray(cell, sides, was.as_ref(), at);
                self.turn_away();
            }
            Event::StrayedBack { cell, sides, .. } => self.stray_back(cell, sides, at),
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
                at,
                reviewed: None,
            }),
            Event::GlassReviewed {
                application,
                what,
                found,
                ..
            } => {
                let of = |glass: &&mut BrokenGlass| {
                    glass.what == *what
                        && (application.is_none() || glass.application == *application)
                };
                for glass in self.broken_glass.iter_mut().filter(of) {
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
            Event::PolicyMoved {
                application, why, ..
            } => {
                self.app(application).policy_moved.clone_from(why);
            }
            Event::PolicyChanged {
                application, to, ..
            } => {
                self.policies.insert(application.clone(), to.clone());
            }
            Event::Exported { format, .. } => self.exported.push(format.clone()),
            Event::Closed { by } => {
                let frozen = self.apps.iter().filter(|(_, app)| app.freeze.is_set());
                self.closed_frozen = frozen.map(|(key, _)| key.clone()).collect();
                self.closed = Some((by.clone(), at));
            }
            Event::ActReread { op, after, .. } => {
                self.reread.entry(op.clone()).or_default().push(*after);
            }
            Event::CommandRan { .. }
            | Event::GateBeforeThaw { .. }
            | Event::Revealed { .. }
            | Event::WaitGivenUp { .. }
            | Event::Unknown => {}
        }
    }

    /// A gate, or another one in the place of the one of its name.
    fn put_gate(&mut self, gate: &str, spec: &Gate, by: &str) {
        let before = self.gates.insert(gate.to_owned(), spec.clone());
        let away = self.removed_gates.remove(gate).map(|away| away.spec);
        if before.as_ref().is_some_and(|before| before != spec) {
            self.forget_samples(gate);
        }
        let other = before.or(away).filter(|before| before != spec);
        let first = self.mended_gates.remove(gate).map(|mended| mended.was);
        if let Some(was) = first.or(other).filter(|was| was != spec) {
            let by = by.to_owned();
            self.mended_gates
                .insert(gate.to_owned(), MendedGate { was, by });
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
        self.take_plan_of(plan, "", "");
    }

    fn take_plan_of(&mut self, plan: &Plan, by: &str, why: &str) {
        let before = self.plan.take();
        let before = before.as_deref();
        let had = |name: &str| before.and_then(|before| before.gates.get(name));
        let left_out =
            |name: &String, _: &mut Gate| had(name).is_some() && !plan.gates.contains_key(name);
        let gone: Vec<(String, Gate)> = self.gates.extract_if(.., left_out).collect();
        for (name, gate) in &plan.gates {
            if had(name) != Some(gate) {
                self.put_gate(name, gate, by);
            }
            // What a plan asked that binds nobody was asked by nobody.
            if !self.bound && had(name).is_some_and(|had| had != gate) {
                self.mended_gates.remove(name);
            }
        }
        if self.bound {
            for (name, spec) in gone {
                let (why, by) = (format!("the plan leaves it out: {why}"), by.to_owned());
                self.removed_gates
                    .insert(name, RemovedGate { spec, why, by });
            }
        }
        if before.is_none_or(|before| before.commit != plan.commit) {
            self.message.clone_from(&plan.commit.message);
            self.message_pushed.clear();
            self.commit_branch.clone_from(&plan.commit.branch);
            self.pull_request = plan.commit.pull_request;
            self.proposal = None;
        }
        if let Some(before) = before.filter(|_| !self.bound) {
            self.forget_targets(before, plan);
        }
        self.reopened = self.shaken.keys().cloned().collect();
        self.plan = Some(Box::new(plan.clone()));
    }

    /// What only a plan chose that binds nobody goes with it.
    fn forget_targets(&mut self, before: &Plan, plan: &Plan) {
        let gone: Vec<AppKey> = self
            .scope
            .iter()
            .filter(|key| {
                let chosen = self.apps.get(*key).and_then(|app| app.target.as_ref());
                let had = before.target(self, key);
                chosen.is_some_and(|(chosen, ..)| had == Some(chosen))
                    && plan.target(self, key) != had
            })
            .cloned()
            .collect();
        for key in gone {
            self.app(&key).target = None;
        }
    }

    /// The same with another plan.
    pub fn with_plan(&self, plan: &Plan) -> Self {
        let mut run = self.clone();
        run.take_plan(plan);
        run
    }

    fn saw_first(&mut self, repository: &str, head: &Commit) {
        self.base
            .entry(repository.to_owned())
            .or_insert_with(|| head.clone());
    }

    fn set_scope(&mut self, scope: &[AppKey]) {
        self.scope = scope.to_vec();
        if !self.bound {
            self.apps.retain(|key, _| scope.contains(key));
        }
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

    /// See [`Run::judged_with`].
    fn judge_anew(&mut self, key: &AppKey) {
        for key in self.judged_with(key) {
            if let Some(app) = self.apps.get_mut(&key) {
                app.gates.clear();
                app.attested.clear();
            }
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
                self.judge_anew(&application);
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
                self.judge_anew(&application);
            }
            Effect::Delete { application, .. } => self.judge_anew(&application),
            // What a sync would do is another thing now.
            Effect::Ignore { application, .. } => self.app(&application).prediction = None,
            Effect::Push {
                repository, commit, ..
            } => {
                self.commits += 1;
                self.message_pushed.insert(repository.clone());
                let ours = self.proposal.iter().filter(|built| built.commit == commit);
                let cells = ours.flat_map(|built| &built.cells).cloned();
                let pushed = self.pushed.entry(repository).or_default();
                pushed.cells.extend(cells);
            }
        }
    }
}
