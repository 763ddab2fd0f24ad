//! The walk without a screen: what a plan says, done through the same engine and rules.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use serde_json::Value;
use trueup_core::{
    decision::{CellKey, Decision},
    event::Armed,
    ids::OpId,
    now::{CellNow, Now},
    object::{identity::AppKey, path::Pattern},
    plan::{ExpectSync, Plan, PlannedDecision},
    rules,
    run::{Freeze, Run},
    sheet::Command,
    text,
    workflow::{self, Next, Stage},
};

use super::beforehand;
use super::planned::{
    Done, acted_beside, arm, deletions, live_actions, matches, matches_nothing, named,
    not_as_found, one_value, removals, unconfirmed, unmatched,
};
use crate::{
    engine::{Engine, Trouble},
    ports::GitFailure,
};

/// How a walk ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub stage: Stage,
    pub exit: i32,
    pub rule: u8,
    pub reason: String,
    pub hint: String,
}

impl Ended {
    pub(super) fn new(
        stage: Stage,
        exit: i32,
        rule: u8,
        reason: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            stage,
            exit,
            rule,
            reason: text::line(&reason.into()),
            hint: hint.into(),
        }
    }

    fn of(stage: Stage, trouble: &Trouble) -> Self {
        let rule = match trouble {
            Trouble::Refused(refusal) => refusal.rule,
            _ => 0,
        };
        Self::new(
            stage,
            trouble.exit(),
            rule,
            trouble.to_string(),
            trouble.hint(),
        )
    }
}

/// How a walk is gone on with when its plan is mended.
pub(super) const GO_ON: &str = "go on with the mended plan: `trueup run PLAN.yaml --replan 'why'`";

/// How often a step that only reads is tried again before the walk gives up.
const READ_ATTEMPTS: u32 = 6;
/// And where a gate is waited for: minutes of green are not given up for seconds in which not everything could be read.
const AT_A_GATE: u32 = 20;
/// The longest pause between two of them, in half seconds.
const PAUSE: u32 = 6;

/// What can be done about a walk that stands still.
const LOOK_AGAIN: &str = "look again with the screen: `trueup resume`";
/// And about one that could not be read.
const READ_AGAIN: &str =
    "the same command goes on once it can be read; the screen looks again too: `trueup resume`";

/// What the walk may answer by itself.
pub struct Answers {
    pub plan: Plan,
    pub write: Armed,
    /// Gate → who looked, and what they saw.
    pub attest: BTreeMap<String, (String, String)>,
    /// Why it is gone on with, with a mended plan or with the same one.
    pub replan: Option<String>,
    /// What was warned of, each once.
    pub warned: Mutex<BTreeSet<String>>,
}

impl Answers {
    /// Warns people of something that does not stop the walk yet.
    pub(super) fn warn(&self, said: &str) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.insert(said.to_owned()) {
            super::output::say(&mut std::io::stderr(), &format!("warning: {said}"));
        }
    }
}

/// Walks until the incident is closed or a person is needed.
pub async fn walk(engine: &Engine, answers: &Answers) -> Ended {
    let mut failures = 0;
    if let Err(trouble) = arm_again(engine, answers).await {
        return Ended::of(Stage::Scope, &trouble);
    }
    // What one of this very run brings is looked at before it is gone on from.
    let mut known_surprise = known_surprise_in(&engine.run());
    // A gate that an earlier process waited for in vain is waited for once more: the world has gone on since.
    let mut in_vain: BTreeSet<(AppKey, String)> = late_gates(&engine.run()).collect();
    loop {
        // What cannot be read now is read again at the end.
        let _ = engine.reread_due().await;
        let next = match engine.next().await {
            Ok(next) => next,
            Err(trouble) => return Ended::of(Stage::Scope, &trouble),
        };
        let stage = workflow::stage(&engine.run(), &next);
        let attempts = match engine.run().waits_for_a_gate() {
            true => AT_A_GATE,
            false => READ_ATTEMPTS,
        };
        if matches!(next, Next::Stopped { rule: 0, .. }) && failures < attempts {
            failures += 1;
            tokio::time::sleep(std::time::Duration::from_millis(500) * failures.min(PAUSE)).await;
            if let Err(trouble) = engine.look().await
                && failures == attempts
            {
                return Ended::of(stage, &trouble);
            }
            continue;
        }
        if let Next::Stopped {
            rule: 10,
            application: Some(application),
            ..
        } = &next
            && let Some(gate) = engine.run().late_gate(application)
            && in_vain.remove(&(application.clone(), gate.clone()))
        {
            let again = Command::AwaitGate {
                application: application.clone(),
                gate,
            };
            match engine.say(&again).await {
                Ok(()) => continue,
                Err(trouble) => return Ended::of(stage, &trouble),
            }
        }
        if let (Some(reason), Next::Stopped { rule: 3, .. }) = (&answers.replan, &next)
            && let Some((application, sync)) = known_surprise.take()
            && known_surprise_in(&engine.run()) == Some((application.clone(), sync))
        {
            let reason = reason.clone();
            let seen = Command::SeeSurprise {
                application,
                reason,
            };
            match engine.say(&seen).await {
                Ok(()) => continue,
                Err(trouble) => return Ended::of(stage, &trouble),
            }
        }
        let outcome = step(engine, answers, &next).await;
        match outcome {
            Ok(None) => failures = 0,
            Ok(Some(ended)) => return ended,
            Err(trouble) if next.observes() && failures < READ_ATTEMPTS && may_pass(&trouble) => {
                failures += 1;
                tokio::time::sleep(std::time::Duration::from_millis(500) * failures).await;
            }
            Err(trouble) => return Ended::of(stage, &trouble),
        }
    }
}

/// The sync that the walk stands still after, since it changed what nobody was shown.
fn known_surprise_in(run: &Run) -> Option<(AppKey, OpId)> {
    let (key, _) = run.surprised()?;
    let sync = run.apps.get(key)?.sync.op()?;
    Some((key.clone(), sync.clone()))
}

/// Says what can be known of a plan that nobody armed for, on a copy of an open incident that has it there, and what does not
/// come of it.
pub async fn show(engine: &Engine, answers: &Answers, untaken: &str) -> Ended {
    let stage = loop {
        let next = match engine.next().await {
            Ok(next) => next,
            Err(trouble) => return Ended::of(Stage::Scope, &trouble),
        };
        if !matches!(next, Next::SnapshotZero | Next::TryGate { .. }) {
            break workflow::stage(&engine.run(), &next);
        }
        if let Err(trouble) = engine.observe(&next).await {
            return Ended::of(Stage::Scope, &trouble);
        }
        if let Next::TryGate { gate } = &next
            && let Some(said) = engine.run().doubt_of(gate)
        {
            answers.warn(&said);
        }
    };
    if let Some(ended) = unread(engine, stage).await {
        return ended;
    }
    let begun = !engine.run().decisions.is_empty();
    let foreseen = match stage {
        // What is decided already and what was done of it is not held against the plan as if nothing had been.
        Stage::Decide if begun => decide(engine, answers).await,
        Stage::Commit if begun => unmatched(engine, answers).await,
        _ if begun => Ok(None),
        _ => foreseen(engine, answers),
    };
    match foreseen {
        Ok(None) => {}
        // What is left to a person is no error of the plan.
        Ok(Some(ended)) if ended.exit == 4 => answers.warn(&ended.reason),
        Ok(Some(ended)) => return ended,
        Err(trouble) => return Ended::of(stage, &trouble),
    }
    if !begun {
        beforehand::say(engine, answers).await;
    }
    Ended::new(
        stage,
        3,
        1,
        format!("not armed: {untaken}"),
        how_to_arm(answers.write, Armed::All),
    )
}

/// Whoever goes on with what was begun is there from the first moment, be it only to wait.
async fn arm_again(engine: &Engine, answers: &Answers) -> Result<(), Trouble> {
    let begun = !engine.run().op_order.is_empty() && engine.run().closed.is_none();
    if !begun || answers.write == Armed::Nothing {
        return Ok(());
    }
    let write = answers.write;
    let mut failures = 0;
    loop {
        match engine.say(&Command::Arm { write }).await {
            Err(trouble) if failures < READ_ATTEMPTS && may_pass(&trouble) => {
                failures += 1;
                tokio::time::sleep(std::time::Duration::from_millis(500) * failures).await;
            }
            armed => return armed,
        }
    }
}

/// An Application of the plan that another incident took over: whether the others go on without it is for a person to say.
fn taken_over(engine: &Engine) -> Option<Ended> {
    let run = engine.run();
    let (_, now) = engine.seen()?;
    let (key, other) = run
        .walking()
        .find_map(|(key, _)| Some((key, now.taken_over_by(&run, key)?)))?;
    let other = run.tell_apart(other);
    Some(Ended::new(
        Stage::Freeze,
        3,
        4,
        format!("{key} was taken over by {other}: its freeze is not of this incident any more"),
        text::line(&format!(
            "talk to its operator; then go on without it (`trueup park {key} --incident {0} --owner WHO --until DATE --reason WHY`), or take it back (`trueup freeze {key} --incident {0} --take-over {other} --write cluster`)",
            run.id()
        )),
    ))
}

/// The gates that were not green in time.
pub(super) fn late_gates(run: &Run) -> impl Iterator<Item = (AppKey, String)> {
    let late = |(key, _)| Some((AppKey::clone(key), run.late_gate(key)?));
    run.apps.iter().filter_map(late)
}

/// Whether a failure to read may be over by itself; what fails on this machine is not.
fn may_pass(trouble: &Trouble) -> bool {
    match trouble {
        Trouble::Read(_) => true,
        Trouble::Git(error) => error.failure != GitFailure::Local,
        _ => false,
    }
}

async fn step(engine: &Engine, answers: &Answers, next: &Next) -> Result<Option<Ended>, Trouble> {
    if matches!(next, Next::Propose | Next::TakeHead { .. } | Next::Push) {
        engine.try_unasked_again().await?;
        match live_actions(engine, answers).await? {
            Done::Nothing => {}
            Done::Something => return Ok(None),
            Done::Ended(ended) => return Ok(Some(ended)),
        }
        if let Some(ended) = unmatched(engine, answers).await? {
            return Ok(Some(ended));
        }
        let seen = engine.seen();
        let now = seen.as_ref().map(|(_, now)| now.as_ref());
        if let Some(ended) = not_of_the_plan(&engine.run(), answers, now) {
            return Ok(Some(ended));
        }
        if let Some((gate, tried)) = engine.run().misasked_gate() {
            let hint = match tried.unasked {
                true => {
                    "nothing is pushed that no gate can judge: the same command goes on once it can be asked (a Prometheus is \
                     named with --prometheus URL); or mend the gate in the plan, or take it out, and go on with --replan 'why'; \
                     on the screen (`trueup resume`) it is taken away with a reason"
                }
                false => {
                    "it would never be green: mend its query in the plan and go on with --replan 'why'"
                }
            };
            return Ok(Some(Ended::new(
                next.stage(),
                4,
                10,
                format!("gate {gate} cannot be asked: {}", tried.why),
                hint,
            )));
        }
    }
    if next.observes() {
        engine.observe(next).await?;
        if let Next::TryGate { gate } = next
            && let Some(said) = engine.run().doubt_of(gate)
        {
            answers.warn(&said);
        }
        return Ok(None);
    }
    if let Some(ended) = taken_over(engine) {
        return Ok(Some(ended));
    }
    let stage = next.stage();
    // Before the plan is held against a world that somebody else is at work on.
    if stage == Stage::Freeze {
        let run = engine.run();
        let untouched: Vec<AppKey> = run
            .walking()
            .filter(|(_, app)| app.freeze == Freeze::Not)
            .map(|(key, _)| key.clone())
            .collect();
        if let Some(refusal) = engine.frozen_by_others(&untouched).await? {
            return Err(refusal.into());
        }
    }
    let wait = |reason: String, hint: &str| Ok(Some(Ended::new(stage, 4, 0, reason, hint)));
    match next {
        Next::Closed => Ok(Some(Ended::new(Stage::Close, 0, 0, "", ""))),
        Next::ChooseScope => wait(
            "nothing is in the scope".into(),
            "name Applications in `scope`",
        ),
        Next::ChooseTarget { application } => {
            if let Some(ended) = unread(engine, stage).await {
                return Ok(Some(ended));
            }
            let Some(target) = answers.plan.target(&engine.run(), application) else {
                return wait(
                    format!("no target policy is chosen for {application}"),
                    &format!("add it to `targets`, and {GO_ON}"),
                );
            };
            engine
                .say(&Command::SetTarget {
                    applications: vec![application.clone()],
                    target: target.clone(),
                })
                .await?;
            Ok(None)
        }
        Next::Arm { why, write, .. } => {
            if stage == Stage::Freeze {
                if let Some(ended) = unread(engine, stage).await {
                    return Ok(Some(ended));
                }
                if let Some(ended) = foreseen(engine, answers)? {
                    return Ok(Some(ended));
                }
                beforehand::say(engine, answers).await;
            }
            if engine.run().armed == answers.write {
                if let Some(command) = unarmed_write(engine) {
                    super::shown::tried(async {
                        let sheet = engine.preview(&command).await?;
                        super::shown::say(&sheet.short());
                        Ok(())
                    })
                    .await;
                }
                return Ok(Some(Ended::new(
                    stage,
                    3,
                    1,
                    format!("not armed for this write: {why}"),
                    how_to_arm(answers.write, *write),
                )));
            }
            engine
                .say(&Command::Arm {
                    write: answers.write,
                })
                .await?;
            Ok(None)
        }
        Next::Freeze { applications } => {
            if let Some(ended) = unread(engine, stage).await {
                return Ok(Some(ended));
            }
            if let Some(ended) = foreseen(engine, answers)? {
                return Ok(Some(ended));
            }
            beforehand::say(engine, answers).await;
            write(
                engine,
                Command::Freeze {
                    applications: applications.clone(),
                },
            )
            .await
        }
        Next::Refreeze { application, why } => Ok(Some(Ended::new(
            stage,
            3,
            4,
            format!("the freeze of {application} was lost: {why}"),
            super::stages::refreeze(&engine.run(), application),
        ))),
        Next::Decide { .. } => decide(engine, answers).await,
        Next::Push => write(engine, Command::Push).await,
        Next::Sync { application } => {
            if let Some(ended) = unexpected(engine, answers, application) {
                return Ok(Some(ended));
            }
            write(
                engine,
                Command::Sync {
                    application: application.clone(),
                },
            )
            .await
        }
        Next::Ignore { application } => {
            write(
                engine,
                Command::Ignore {
                    application: application.clone(),
                },
            )
            .await
        }
        Next::Delete {
            application,
            object,
        } => {
            if let Some(ended) = unconfirmed(engine, answers, application, object) {
                return Ok(Some(ended));
            }
            write(
                engine,
                Command::Delete {
                    application: application.clone(),
                    object: object.clone(),
                },
            )
            .await
        }
        Next::Attest { gate, asks, .. } => match answers.attest.get(gate) {
            Some((who, saw)) => {
                engine
                    .say(&Command::Attest {
                        gate: gate.clone(),
                        who: who.clone(),
                        saw: saw.clone(),
                    })
                    .await?;
                Ok(None)
            }
            None => wait(
                format!("gate {gate} waits for somebody who looks: {asks}"),
                "go on with --attest GATE='WHO: what they saw'",
            ),
        },
        Next::Thaw { applications } => {
            write(
                engine,
                Command::Thaw {
                    applications: applications.clone(),
                },
            )
            .await
        }
        Next::AwaitPermission { reason, .. } => {
            let other = engine.other_context().map(|other| {
                text::line(&format!(
                    "where {other} has it, go on with --context {other}; "
                ))
            });
            wait(
                format!("{reason} ({})", engine.as_whom()),
                &format!(
                    "{}`trueup doctor` names every missing permission; whoever has it goes on with the same plan, or with `trueup start`",
                    other.unwrap_or_default()
                ),
            )
        }
        Next::Settle { what, .. } => wait(
            format!("something is owed: {what}"),
            "settle it, then run again",
        ),
        Next::Close => {
            let run = engine.run();
            if answers.write == Armed::Nothing {
                let mut why = vec!["not armed: nothing is left but to close it".to_owned()];
                why.extend(run.not_judged());
                return Ok(Some(Ended::new(
                    stage,
                    3,
                    1,
                    why.join("; "),
                    format!("`trueup close {}` closes it", run.id()),
                )));
            }
            engine.finish_rereads().await?;
            engine.judge_before_close().await?;
            if let Some(said) = engine.run().not_judged() {
                answers.warn(&said);
            }
            // What an earlier process wrote was written under a Lease, which only an armed one gives up.
            if answers.write.cluster() && !engine.run().ops.is_empty() {
                arm(engine, answers).await?;
            }
            engine.say(&Command::Close).await?;
            Ok(None)
        }
        Next::Stopped {
            application: Some(application),
            ..
        } if !removals(engine, application).is_empty() => {
            arm(engine, answers).await?;
            for command in removals(engine, application) {
                write(engine, command).await?;
            }
            Ok(None)
        }
        Next::Stopped {
            stage,
            rule,
            reason,
            application,
        } => {
            let run = engine.run();
            let (exit, hint) = match (rule, run.surprised()) {
                (0, _) => (2, READ_AGAIN.to_owned()),
                (10, _) => (
                    4,
                    match workflow::glass_to_break(&run, next)
                        .ok()
                        .and_then(|glass| Some((glass.application?, glass.what)))
                    {
                        Some((key, gate)) => format!(
                            "the same command waits for it once more; `trueup glass break {key} {gate} --incident {} --reason WHY` goes \
                             on without it; or park it (`trueup park`)",
                            run.id()
                        ),
                        None => LOOK_AGAIN.to_owned(),
                    },
                ),
                (_, Some((key, _))) if *stage == Stage::Sync => {
                    let how = rules::see_surprise_by(&run, key);
                    (3, format!("look at it, then say why you go on: {how}"))
                }
                _ => (
                    3,
                    match application.as_ref().filter(|_| *stage == Stage::Thaw) {
                        Some(key) => format!(
                            "freeze it again (`{}`), see what moved it, and start the same command again",
                            run.freeze_command(key)
                        ),
                        None => LOOK_AGAIN.to_owned(),
                    },
                ),
            };
            Ok(Some(Ended::new(*stage, exit, *rule, reason.clone(), hint)))
        }
        _ => Ok(None),
    }
}

/// The write that comes next once it is armed, where that is known before: what a sync does is predicted from a comparison that
/// Argo CD is asked for.
fn unarmed_write(engine: &Engine) -> Option<Command> {
    let (_, now) = engine.seen()?;
    let mut run = (*engine.run()).clone();
    run.armed = Armed::All;
    workflow::next(&run, &now).command()
}

/// What the command line lacks for a write, where this was given and the rest of the walk needs that.
fn how_to_arm(given: Armed, needs: Armed) -> &'static str {
    match (given, needs) {
        (Armed::Git, _) => {
            "start with --write all: git alone was given, and this writes to the cluster"
        }
        (Armed::Cluster, _) => {
            "start with --write all: cluster alone was given, and this writes to Git"
        }
        (_, Armed::Git) => "start with --write git",
        _ => "start with --write all, or with --write cluster to stop before the push",
    }
}

/// Says what it will do and asks nobody: the plan is the confirmation, and the sheet is journaled.
pub async fn write(engine: &Engine, command: Command) -> Result<Option<Ended>, Trouble> {
    let sheet = engine.sheet(&command).await?;
    super::shown::say(&sheet.short());
    engine.carry_out(&sheet).await?;
    Ok(None)
}

async fn decide(engine: &Engine, answers: &Answers) -> Result<Option<Ended>, Trouble> {
    // On what is there now: a repository or a cluster that went away since the last look is no answer.
    let (_, now) = engine.look().await?;
    let left_now = match engine.next().await? {
        Next::Decide { cells, .. } => cells,
        _ => return Ok(None),
    };
    let cells = left_now.as_slice();
    if let Some(mut ended) = touched(cells, &engine.run(), &now) {
        if answers.replan.is_some() {
            ended.reason.push_str(
                "; that was noticed only now, after --replan was said, which does not answer it",
            );
            ended.hint = format!(
                "once you know of it, the same command once more decides it as the plan says; or {}",
                ended.hint
            );
        }
        return Ok(Some(ended));
    }
    let run = engine.run();
    let mut left: Vec<CellKey> = cells.to_vec();
    for planned in &answers.plan.decisions {
        let mine = claimed(planned, &mut left);
        if mine.is_empty() {
            continue;
        }
        if let Some(ended) = expectation(planned, &mine, &now)
            .or_else(|| deletions(planned, &mine, &now))
            .or_else(|| one_value(planned, &mine))
            .or_else(|| not_as_found(planned, &mine, &run, &now))
        {
            return Ok(Some(ended));
        }
        engine
            .say(&Command::Decide {
                cells: mine.clone(),
                take: planned.take.clone(),
                reason: planned.reason.clone(),
                seen: Vec::new(),
            })
            .await?;
        if let Some(ended) = came_out(planned, &mine, &engine.run().decisions) {
            engine
                .say(&Command::Withdraw {
                    cells: mine,
                    why: "the plan expected another value".into(),
                })
                .await?;
            return Ok(Some(ended));
        }
    }
    let differs = |key: &&CellKey| now.cells.get(*key).is_some_and(|cell| cell.differs);
    let lost = now.lost(&run).find(|(key, ..)| left.contains(key));
    let first = lost.map(|(key, ..)| key);
    let first = first.or(left.iter().find(differs)).or(left.first());
    let went = lost.map_or_else(String::new, |(key, cell, found)| {
        format!(": {}", now.went(key, cell, found))
    });
    Ok(first.map(|first| {
        Ended::new(
            Stage::Decide,
            4,
            0,
            format!(
                "left over without a decision: {}, the first {} {} of {}{went}",
                now.counted(&left),
                first.object,
                first.field,
                first.application.name
            ),
            format!("add what is missing to `decisions`, and {GO_ON}; or decide on the screen: `trueup resume`"),
        )
    }))
}

/// A decision that was made once and is open again was touched by somebody: the plan did not foresee that, so it does
/// not answer it a second time.
fn touched(cells: &[CellKey], run: &Run, now: &Now) -> Option<Ended> {
    let decided: Vec<&CellKey> = cells
        .iter()
        .filter(|key| run.decisions.contains_key(*key) && !run.reopened.contains(*key))
        .collect();
    let first = decided.first()?;
    let side = |value: &Option<Value>| {
        value
            .as_ref()
            .map_or_else(|| "(absent)".to_owned(), text::value)
    };
    let decision = run.decisions.get(*first);
    let is = match now.cells.get(*first) {
        None => String::new(),
        Some(cell) if decision.is_some_and(|decision| cell.rule_gone(decision)) => {
            ": the rule that ignores it is gone from Git".into()
        }
        Some(CellNow { sides, .. }) => {
            format!(": Git {}, live {} now", side(&sides.git), side(&sides.live))
        }
    };
    let by = run
        .shaken
        .get(*first)
        .map_or_else(String::new, |touched| format!("; by {}", touched.who));
    Some(Ended::new(
        Stage::Decide,
        4,
        0,
        format!(
            "open again, since somebody changed what was decided on: {}, the first {} {} of {}{is}{by}",
            text::count(decided.len(), "decision"),
            first.object,
            first.field,
            first.application.name
        ),
        format!(
            "ask them; then decide anew on the screen (`trueup resume`), or in the plan, this one for the same once more, and \
             {GO_ON}; or see to it that the value is put back: then the decision stands"
        ),
    ))
}

/// What a decision is to be made on has to be there.
fn expectation(planned: &PlannedDecision, mine: &[CellKey], now: &Now) -> Option<Ended> {
    let gone = mine.iter().find(|key| !now.cells.contains_key(*key))?;
    Some(Ended::new(
        Stage::Decide,
        3,
        3,
        format!("{} {} is not there any more", gone.object, gone.field),
        format!("see `trueup drift` for {}", planned.on.name),
    ))
}

/// A plan is not judged by cells that could not be read, and nothing is frozen for one that was not judged.
async fn unread(engine: &Engine, stage: Stage) -> Option<Ended> {
    let mut failures = 0;
    loop {
        let (_, now) = engine.seen()?;
        let run = engine.run();
        let (key, why) = now.unread(&run)?;
        if failures == READ_ATTEMPTS {
            let nothing = match run.op_order.is_empty() {
                true => "nothing was written",
                false => "nothing more was written",
            };
            return Some(Ended::new(
                stage,
                2,
                0,
                format!(
                    "not all of {key} could be read, so that the plan cannot be held against it: {why}"
                ),
                format!(
                    "{nothing}; the same command goes on once it can be read. What has to be held still now is frozen without it: `trueup freeze`"
                ),
            ));
        }
        failures += 1;
        tokio::time::sleep(std::time::Duration::from_millis(500) * failures.min(PAUSE)).await;
        // A cluster that does not answer is told of by the next step.
        let _ = engine.look().await;
    }
}

/// What the plan's decisions would come to on what is there now: a mistake that can be seen before the first write is not
/// found after it.
fn foreseen(engine: &Engine, answers: &Answers) -> Result<Option<Ended>, Trouble> {
    let Some((world, now)) = engine.seen() else {
        return Ok(None);
    };
    let differs = |key: &&CellKey| {
        let sides = now.cells.get(*key).map(|cell| &cell.sides);
        sides.is_some_and(|sides| sides.git != sides.live)
    };
    let mend = format!(
        "nothing was written; look at `trueup drift`, mend the plan, and {GO_ON}; or decide on the screen: `trueup resume`"
    );
    // A live action of the plan makes cells that are not there yet.
    if answers.plan.act.is_empty()
        && let Some(mut ended) = matches_nothing(engine, answers, &now)
    {
        ended.hint = mend;
        return Ok(Some(ended));
    }
    for planned in &answers.plan.decisions {
        if let Some(ended) = expects_nothing(planned, &now, &mend) {
            return Ok(Some(ended));
        }
    }
    let run = engine.run();
    let lost: Vec<&CellKey> = now.lost(&run).map(|(key, ..)| key).collect();
    let asked = |key: &&CellKey| differs(key) || lost.contains(key);
    let mut left: Vec<CellKey> = now.cells.keys().filter(asked).cloned().collect();
    for planned in &answers.plan.decisions {
        let mine = claimed(planned, &mut left);
        if mine.is_empty() {
            continue;
        }
        if let Some(ended) = deletions(planned, &mine, &now)
            .or_else(|| one_value(planned, &mine))
            .or_else(|| not_as_found(planned, &mine, &run, &now))
        {
            return Ok(Some(ended));
        }
        let mut decided = BTreeMap::new();
        for key in &mine {
            let decision = engine.weigh(&world, &now, key, &planned.take, &planned.reason)?;
            decided.insert(key.clone(), decision);
        }
        if let Some(mut ended) = came_out(planned, &mine, &decided) {
            ended.hint = mend;
            return Ok(Some(ended));
        }
    }
    Ok(None)
}

/// Takes out of what is left what a decision of the plan speaks of: the first that does decides.
fn claimed(planned: &PlannedDecision, left: &mut Vec<CellKey>) -> Vec<CellKey> {
    left.extract_if(.., |key| matches(planned, key)).collect()
}

/// An expectation that speaks of no field of its decision guards nothing.
fn expects_nothing(planned: &PlannedDecision, now: &Now, hint: &str) -> Option<Ended> {
    let fields = || now.cells.keys().filter(|key| matches(planned, key));
    let idle = planned.expect.keys().find(|field| {
        let pattern = field.parse::<Pattern>();
        pattern.is_ok_and(|pattern| !fields().any(|key| pattern.matches(&key.field)))
    })?;
    let mut decided: Vec<String> = fields().map(|key| key.field.to_string()).collect();
    decided.sort();
    decided.dedup();
    Some(Ended::new(
        Stage::Decide,
        3,
        3,
        text::line(&format!(
            "`expect` of the plan names {idle}, which its decision on {} {} does not decide: that is {}",
            planned.on.kind,
            planned.on.name,
            decided.join(", ")
        )),
        hint,
    ))
}

/// What somebody set by a live action became a decision: where the plan does not have it so, it goes into no commit of the plan. Nor
/// does a value other than the one that the plan expects.
fn not_of_the_plan(run: &Run, answers: &Answers, now: Option<&Now>) -> Option<Ended> {
    if let Some(beside) = acted_beside(run, &answers.plan, now) {
        return Some(Ended::new(
            Stage::Commit,
            3,
            3,
            format!("{}: it would go into its commit", beside.said()),
            format!(
                "take it back with `{}`; or {} and {GO_ON}; or decide it on the screen (`trueup resume`)",
                run.undo_command(beside.cell),
                beside.taken_up()
            ),
        ));
    }
    answers.plan.decisions.iter().find_map(|planned| {
        let mine: Vec<CellKey> = run
            .decisions
            .keys()
            .filter(|key| {
                let first = answers.plan.decisions.iter().find(|one| matches(one, key));
                first == Some(planned)
            })
            .cloned()
            .collect();
        came_out(planned, &mine, &run.decisions)
    })
}

/// Whether the decision came out as the plan expects.
fn came_out(
    planned: &PlannedDecision,
    mine: &[CellKey],
    decided: &BTreeMap<CellKey, Decision>,
) -> Option<Ended> {
    for (field, expected) in &planned.expect {
        let Ok(pattern) = field.parse::<Pattern>() else {
            continue;
        };
        let other = mine
            .iter()
            .filter(|key| pattern.matches(&key.field))
            .filter_map(|key| decided.get(key))
            .find(|decision| {
                decision.live != trueup_core::decision::Wanted::Value(expected.clone())
            });
        if let Some(decision) = other {
            return Some(Ended::new(
                Stage::Decide,
                3,
                3,
                format!(
                    "the plan expects {field} to become {} and the world says {}",
                    text::value(expected),
                    match &decision.live {
                        trueup_core::decision::Wanted::Value(value) => text::value(value),
                        trueup_core::decision::Wanted::Absent => "(absent)".into(),
                        trueup_core::decision::Wanted::AsIs => "(as it is)".into(),
                    }
                ),
                format!("look at `trueup drift`, mend the plan, and {GO_ON}"),
            ));
        }
    }
    None
}

fn unexpected(engine: &Engine, answers: &Answers, application: &AppKey) -> Option<Ended> {
    let run = engine.run();
    let step = answers
        .plan
        .sync
        .iter()
        .find(|step| named(&run, &step.application).as_ref() == Some(application))?;
    let prediction = run
        .apps
        .get(application)
        .and_then(|app| app.prediction.as_ref())?;
    (step.expect == Some(ExpectSync::NoChange) && !prediction.1.no_change()).then(|| {
        Ended::new(
            Stage::Sync,
            3,
            3,
            format!(
                "the plan expects no change from a sync of {application}, and it would move {}",
                text::count(
                    prediction.1.changes.len() + prediction.1.creates.len(),
                    "field"
                )
            ),
            format!(
                "where that is meant, take `expect` out of its step, and {GO_ON}; the screen shows the prediction: `trueup resume`"
            ),
        )
    })
}
