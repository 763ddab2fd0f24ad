//! `trueup run PLAN.yaml`: the whole walk without a screen.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use trueup_core::{
    event::{Armed, Event, Record},
    gate::Verdict,
    ids::IncidentId,
    now::Now,
    plan::{Gate, Plan},
    run::{Freeze, Run, Thaw},
    sheet::Refusal,
    text,
    workflow::{self, Stage},
};

use super::{
    args::RunArgs,
    complain, explain,
    mended::{another_plan, contradicts, leaves_nothing_out, scope_with, take_mended},
    planned::acted_beside,
    shown,
    signals::{self, interrupts, signalled},
    waits,
    walk::{Answers, Ended, show, walk},
};
use crate::{
    app::{self, Opening},
    engine::{Engine, Trouble, handle::Update},
    journal::{self, Boundaries},
    settings::{Output, Settings},
};

/// Walks as the plan says. Whatever happens, the last line for programs is the result.
pub async fn run(settings: &Settings, args: &RunArgs, boundaries: Arc<dyn Boundaries>) -> i32 {
    let json = settings.output == Output::Json;
    let (incident, trouble) = match read(&args.plan) {
        Ok(plan) => {
            let incident = plan.incident.to_string();
            match go(settings, args, plan, boundaries).await {
                Ok(ended) => {
                    finish(json, &incident, &ended);
                    return ended.exit;
                }
                Err(trouble) => (incident, trouble),
            }
        }
        Err(trouble) => (String::new(), trouble),
    };
    if json {
        let rule = match &trouble {
            Trouble::Refused(refusal) => refusal.rule,
            _ => 0,
        };
        let reason = trouble.to_string();
        line(&result(&incident, "scope", trouble.exit(), rule, &reason));
    }
    explain(&trouble)
}

fn read(path: &std::path::Path) -> Result<Plan, Trouble> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let what = format!("read the plan {}", path.display());
        Trouble::failed(what, error, "name an existing file")
    })?;
    Plan::parse(&text).map_err(|error| unusable(path, error))
}

async fn go(
    settings: &Settings,
    args: &RunArgs,
    plan: Plan,
    boundaries: Arc<dyn Boundaries>,
) -> Result<Ended, Trouble> {
    let incident = plan.incident.clone();
    let known = known(settings, &plan, args.replan.is_some())?;
    usable(settings, args, &plan, &known)?;
    attestable(settings, args, &plan, &known)?;
    let answers = Answers {
        plan: plan.clone(),
        write: settings.write,
        attest: args.attest.iter().cloned().collect::<BTreeMap<_, _>>(),
        replan: args.replan.clone(),
        warned: Mutex::default(),
    };
    // Why this plan takes the place of the one that the incident has.
    let why = match &known {
        Known::Mended => args.replan.as_deref(),
        Known::Unbound => Some(args.replan.as_deref().unwrap_or(UNBOUND)),
        _ => None,
    };
    if (why.is_some() || matches!(known, Known::Unplanned)) && settings.write == Armed::Nothing {
        return shown_aside(settings, incident, &answers, why).await;
    }
    let opening = match known {
        Known::No => Opening::New {
            incident: incident.clone(),
            scope: plan.scope.clone(),
            plan: Some(Box::new(plan)),
        },
        Known::Open | Known::Mended | Known::Unbound | Known::Unplanned => Opening::Resume {
            incident: incident.clone(),
        },
        Known::Closed => {
            return Ok(Ended {
                stage: Stage::Close,
                exit: 0,
                rule: 0,
                reason: "the incident is closed already".into(),
                hint: String::new(),
            });
        }
    };
    let mut signal = std::pin::pin!(signalled());
    let opened = tokio::select! {
        biased;
        opened = app::open(settings, opening, boundaries) => opened?,
        code = &mut signal => return Ok(interrupted_at(&Run::default(), None, code)),
    };
    let printer = spawn_printer(opened.updates, settings.output);
    let engine = opened.engine;
    if matches!(known, Known::Unplanned) {
        take_up(&engine, &answers.plan).await?;
    }
    // Somebody was armed for it since it was read.
    if let Some(why) = why {
        take_mended(&engine, &answers.plan, why).await?;
    }
    warn_of_gates(&engine, &answers);
    if let Some(said) = app::other_waits(settings, &engine.run()) {
        answers.warn(&said);
    }
    let ended = tokio::select! {
        biased;
        ended = walk(&engine, &answers) => ended,
        code = &mut signal => {
            interrupted_at(&engine.run(), engine.seen().map(|(_, now)| now).as_deref(), code)
        }
    };
    // What is said at the end is true of now, where the cluster answers and nobody is in a hurry.
    if ended.exit != 0 && !interrupts(ended.exit) {
        let _ = tokio::time::timeout(LAST_LOOK, engine.look()).await;
    }
    engine.leave().await;
    let ended = with_what_stays(ended, &engine.run());
    engine.tell(Update::Stopped);
    drop(engine);
    let _ = printer.await;
    Ok(ended)
}

/// Takes a plan up for an incident that was opened without one.
async fn take_up(engine: &Engine, plan: &Plan) -> Result<(), Trouble> {
    leaves_nothing_out(&engine.run(), plan)?;
    let scope = scope_with(engine, plan);
    engine.reader().must_exist(&scope).await?;
    let scope = trueup_core::sheet::Command::SetScope { scope };
    engine.say(&scope).await?;
    engine.record(Event::PlanTaken {
        plan: Box::new(plan.clone()),
        by: app::operator(),
        replaces: None,
        reason: String::new(),
        differs: Vec::new(),
    })?;
    Ok(())
}

/// Who does not arm looks: what an open incident does with a plan is for those who work on it to say, so that it is tried on a copy.
async fn shown_aside(
    settings: &Settings,
    incident: IncidentId,
    answers: &Answers,
    why: Option<&str>,
) -> Result<Ended, Trouble> {
    let mut ended = None;
    shown::aside(settings, Opening::Resume { incident }, async |engine| {
        let run = engine.run();
        let scope = scope_with(engine, &answers.plan);
        for (verb, from, to) in [
            ("brings", &run.scope, &scope),
            ("takes", &scope, &run.scope),
        ] {
            let moved: Vec<String> = to
                .iter()
                .filter(|key| !from.contains(key))
                .map(ToString::to_string)
                .collect();
            if !moved.is_empty() {
                let way = if verb == "brings" { "into" } else { "out of" };
                let moved = text::some(&moved, 6);
                answers.warn(&text::line(&format!(
                    "the plan {verb} {moved} {way} the incident"
                )));
            }
        }
        let untaken = match (why, run.plan.as_deref()) {
            (Some(why), Some(before)) => {
                take_mended(engine, &answers.plan, why).await?;
                let differs = answers.plan.differs_from(before);
                instead_of(&run, &differs)
            }
            _ => {
                take_up(engine, &answers.plan).await?;
                format!(
                    "the plan is not taken up for {}, which is open without one",
                    run.id()
                )
            }
        };
        warn_of_gates(engine, answers);
        let shown = show(engine, answers, &untaken).await;
        ended = Some(with_what_stays(shown, &engine.run()));
        Ok(())
    })
    .await?;
    ended.ok_or_else(|| Trouble::failed("look at the plan", "nothing came of it", ""))
}

/// That a plan stays where it is, and what the other one would change of it.
fn instead_of(run: &Run, differs: &[String]) -> String {
    match differs {
        [] if run.shaken.is_empty() => format!(
            "that somebody looked at what a sync changed in {} and nobody was shown is not journaled",
            run.id()
        ),
        [] => format!(
            "what somebody changed since in {} is not answered by its plan once more",
            run.id()
        ),
        differs => format!(
            "the plan does not take the place of the one that {} has ({})",
            run.id(),
            text::some(differs, 8)
        ),
    }
}

/// Why a plan gives way that binds nobody.
const UNBOUND: &str = "nobody had armed for the one before";

/// What is to be known of the gates from the start.
fn warn_of_gates(engine: &Engine, answers: &Answers) {
    let doubts = engine.run().doubts();
    let no_symptom = engine.run().no_symptom_gate().map(str::to_owned);
    let unasked = engine.run().synced_unasked();
    let unnamed = engine.run().gates_in_no_step();
    for said in no_symptom
        .into_iter()
        .chain(doubts)
        .chain(unasked)
        .chain(unnamed)
    {
        answers.warn(&said);
    }
}

/// How long a last look at the world may take.
const LAST_LOOK: Duration = Duration::from_secs(5);

/// What was in flight is looked up in the world by the next process.
fn interrupted_at(run: &Run, now: Option<&Now>, code: i32) -> Ended {
    let open = run.open_ops().next();
    let made = open.map(|(_, op)| workflow::made_in(&op.effect));
    let stands = || now.map(|now| workflow::next(run, now).stage());
    let not_known = signals::not_known(run);
    let mut said = vec!["interrupted by a signal".to_owned()];
    said.extend(not_known);
    let hint = match made {
        Some(_) => "nothing is lost: the same command looks that up first, and goes on from there",
        None => "nothing is lost: the same command goes on from here",
    };
    Ended::new(
        made.or_else(stands).unwrap_or(Stage::Scope),
        code,
        0,
        said.join("; "),
        hint,
    )
}

/// A walk that stops says what it leaves frozen, which freeze is lost meanwhile, and how to go on with it.
fn with_what_stays(mut ended: Ended, run: &Run) -> Ended {
    let lost = run.apps.iter().filter_map(|(key, app)| match &app.freeze {
        Freeze::Lost { why } => Some((key, why)),
        _ => None,
    });
    for (key, why) in lost {
        let said = format!("the freeze of {key} was lost: {why}");
        if ended.exit != 0 && !ended.reason.contains(&said) {
            ended.reason = text::line(&format!("{}; {said}", ended.reason));
        }
    }
    let frozen: Vec<&str> = run
        .walking()
        .filter(|(key, _)| run.is_frozen(key))
        .map(|(key, _)| key.name.as_str())
        .collect();
    let unwatched = run
        .walking()
        .filter(|(_, app)| matches!(app.thaw, Thaw::Restored { .. }));
    let unwatched: Vec<&str> = unwatched.map(|(key, _)| key.name.as_str()).collect();
    if ended.exit != 0 && !unwatched.is_empty() && !ended.hint.contains("auto-sync was given back")
    {
        ended.hint = text::line(&format!(
            "{}; auto-sync was given back to {}, and that it holds was not watched to the end",
            ended.hint,
            unwatched.join(", ")
        ));
    }
    if ended.exit != 0 && !frozen.is_empty() {
        ended.hint = text::line(&format!(
            "{}; {} without auto-sync: `trueup resume {}` goes on with the screen",
            ended.hint,
            match frozen.as_slice() {
                [one] => format!("{one} stays"),
                all => format!("{} stay", all.join(", ")),
            },
            run.id()
        ));
    }
    ended
}

/// An attestation that settles nothing is a slip of the pen: it is told before anything is read or written.
fn attestable(
    settings: &Settings,
    args: &RunArgs,
    plan: &Plan,
    known: &Known,
) -> Result<(), Trouble> {
    if args.attest.is_empty() {
        return Ok(());
    }
    let mut gates = plan.gates.clone();
    if !matches!(known, Known::No) {
        let lines = journal::read(&settings.state_dir, &plan.incident)?;
        gates.extend(Run::fold(lines.iter().map(|line| &line.record)).gates);
    }
    let gate = |name: &str| gates.get(name);
    let wrong = args
        .attest
        .iter()
        .map(|(name, _)| name)
        .find(|name| !matches!(gate(name), Some(Gate::Manual(_))));
    let mut given = BTreeSet::new();
    let twice = args.attest.iter().find(|(name, _)| !given.insert(name));
    let Some(name) = wrong else {
        return match twice {
            None => Ok(()),
            Some((name, _)) => Err(Trouble::failed(
                format!("attest {name}"),
                "it is attested twice, and only one of the two could stand",
                "say it once",
            )),
        };
    };
    let manual: Vec<&str> = gates
        .iter()
        .filter(|(_, gate)| matches!(gate, Gate::Manual(_)))
        .map(|(name, _)| name.as_str())
        .collect();
    // Where no gate waits for a word, one too many does no harm: scripts give the same to every plan.
    let unsaid = |gate: &&str| !args.attest.iter().any(|(name, _)| name == *gate);
    if gate(name).is_none() && !manual.iter().any(unsaid) {
        let said = format!("warning: --attest {name} settles nothing: there is no such gate");
        super::output::say(&mut std::io::stderr(), &said);
        return Ok(());
    }
    let why = match gate(name) {
        None if name != "healthy" => "there is no such gate",
        _ => "it is measured, and no word of a person settles it",
    };
    let hint = match manual.as_slice() {
        [] => "there is no manual gate: leave --attest out".to_owned(),
        all => format!("the manual gates are: {}", all.join(", ")),
    };
    Err(Trouble::failed(format!("attest {name}"), why, hint))
}

/// What can only be told of a plan with the settings and the clock at hand: which Application a name means, and whether
/// what it puts off is still to come. What was put off in this incident already may be over by now.
fn usable(settings: &Settings, args: &RunArgs, plan: &Plan, known: &Known) -> Result<(), Trouble> {
    let of_journal = match known {
        Known::No => None,
        _ => {
            let lines = journal::read(&settings.state_dir, &plan.incident)?;
            Some(
                Run::fold(lines.iter().map(|line| &line.record))
                    .connection
                    .namespace,
            )
        }
    };
    let namespace = of_journal.as_deref().unwrap_or(&settings.namespace);
    plan.in_namespace(namespace)
        .and_then(|()| match known {
            Known::No | Known::Unbound | Known::Unplanned => plan.in_time(Timestamp::now()),
            Known::Open | Known::Mended | Known::Closed => Ok(()),
        })
        .map_err(|error| unusable(&args.plan, error))
}

fn unusable(path: &std::path::Path, error: impl ToString) -> Trouble {
    let hint = "`trueup plan schema` prints what a plan may hold";
    Trouble::failed(format!("use the plan {}", path.display()), error, hint)
}

enum Known {
    No,
    Open,
    /// Open, and this is another plan than the one it has, to go on with.
    Mended,
    /// Open with another plan, for which nobody was ever armed: it gives way.
    Unbound,
    /// Opened without a plan, by `trueup freeze` for one: the first plan that is armed for is taken up.
    Unplanned,
    Closed,
}

/// Whether this incident is known, and has the same plan.
fn known(settings: &Settings, plan: &Plan, mended: bool) -> Result<Known, Trouble> {
    let unknown = || {
        if !mended {
            return Ok(Known::No);
        }
        Err(Trouble::failed(
            format!("go on with {}", plan.incident),
            format!(
                "there is no such incident in {}",
                settings.state_dir.display()
            ),
            "leave --replan out to begin it, or name the folder it is in with --state-dir",
        ))
    };
    if !journal::list(&settings.state_dir)?.contains(&plan.incident) {
        return unknown();
    }
    let lines = journal::read(&settings.state_dir, &plan.incident)?;
    let run = Run::fold(lines.iter().map(|line| &line.record));
    if run.incident.is_none() {
        return unknown();
    }
    match &run.plan {
        None if run.closed.is_none() => {
            leaves_nothing_out(&run, plan)?;
            Ok(Known::Unplanned)
        }
        // The same decisions once more, of what somebody changed since; or what a sync did beyond them was looked at; or what was
        // acted on since is taken up with it.
        Some(opened)
            if mended
                && opened.digest() == plan.digest()
                && run.closed.is_none()
                && (!run.shaken.is_empty()
                    || run.surprised().is_some()
                    || acted_beside(&run, plan, None).is_some_and(|beside| beside.silent)) =>
        {
            contradicts(&run, plan)?;
            Ok(Known::Mended)
        }
        Some(opened) if opened.digest() == plan.digest() => match run.closed {
            None => Ok(Known::Open),
            Some(_) => match run.not_carried_out() {
                None => Ok(Known::Closed),
                Some(why) => Err(not_carried_out(&plan.incident, &why).into()),
            },
        },
        // An armed one says why, as with any other plan; who only looks need not.
        Some(_)
            if run.closed.is_none()
                && !run.bound
                && (mended || settings.write == Armed::Nothing) =>
        {
            contradicts(&run, plan)?;
            Ok(Known::Unbound)
        }
        Some(_) if run.closed.is_none() && mended => {
            contradicts(&run, plan)?;
            Ok(Known::Mended)
        }
        Some(before) if run.closed.is_none() => {
            Err(another_plan(&plan.incident, &plan.differs_from(before)).into())
        }
        _ => Err(Refusal::new(
            2,
            format!(
                "incident {} is closed, and was opened with another plan",
                plan.incident
            ),
            "give the plan another incident id",
        )
        .into()),
    }
}

/// An incident that was closed early is not gone on with, and its end is not the end of the plan.
fn not_carried_out(incident: &IncidentId, why: &str) -> Refusal {
    Refusal::new(
        10,
        text::line(&format!(
            "incident {incident} is closed, and its plan was not carried out: {why}"
        )),
        "a closed incident is not opened again: give the plan another incident id (`incident:`) and run it",
    )
}

/// What people are told of a gate's samples: the first, each change of verdict, and one in [`EVERY`].
#[derive(Default)]
struct Samples(BTreeMap<(String, String), (Verdict, Timestamp)>);

/// How often a gate that says the same is told of.
const EVERY: Duration = Duration::from_secs(30);

impl Samples {
    fn worth_telling(&mut self, record: &Record) -> bool {
        let Event::GateSampled {
            application,
            gate,
            sample,
        } = &record.event
        else {
            return true;
        };
        let key = (application.to_string(), gate.clone());
        let told = self.0.get(&key).is_none_or(|(verdict, at)| {
            *verdict != sample.verdict || record.time.duration_since(*at).unsigned_abs() >= EVERY
        });
        if told {
            self.0.insert(key, (sample.verdict, record.time));
        }
        told
    }
}

fn spawn_printer(
    mut updates: mpsc::UnboundedReceiver<Update>,
    output: Output,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let mut samples = Samples::default();
        while let Some(update) = updates.recv().await {
            match (output, update) {
                (Output::Json, Update::Journaled { record, .. }) => {
                    if let Ok(Value::Object(record)) = serde_json::to_value(&*record) {
                        let mut event =
                            json!({"apiVersion": trueup_core::API_VERSION, "kind": "Event"});
                        if let Some(map) = event.as_object_mut() {
                            map.extend(record);
                        }
                        line(&event);
                    }
                }
                (Output::Table, Update::Journaled { record, run }) => {
                    let away = !run.looked_away(record.time).is_empty();
                    if (samples.worth_telling(&record) || away)
                        && let Some(said) = super::status::said(&record, &run)
                    {
                        let _ = writeln!(
                            super::output::stdout(),
                            "{}  {said}",
                            record.time.strftime("%H:%M:%S")
                        );
                    }
                }
                (Output::Table, Update::Waiting(Some(waiting))) => waits::say(&waiting),
                (_, Update::Stopped) => return,
                _ => {}
            }
        }
    })
}

fn result(incident: &str, stage: &str, exit: i32, rule: u8, reason: &str) -> Value {
    json!({
        "apiVersion": trueup_core::API_VERSION,
        "kind": "RunResult",
        "incident": incident,
        "stage": stage,
        "exit": exit,
        "rule": if rule == 0 { Value::Null } else { Value::from(rule) },
        "reason": if reason.is_empty() { Value::Null } else { Value::from(reason) },
    })
}

fn line(document: &Value) {
    super::output::json_line(&mut super::output::stdout(), document);
}

fn finish(json: bool, incident: &str, ended: &Ended) {
    let stage = ended.stage.name().to_lowercase();
    if json {
        line(&result(
            incident,
            &stage,
            ended.exit,
            ended.rule,
            &ended.reason,
        ));
    }
    if ended.exit == 0 {
        let _ = writeln!(
            std::io::stderr(),
            "{incident} is closed; `trueup export {incident}` prints the transcript"
        );
    } else {
        let rule = if ended.rule > 0 {
            format!(" (rule {})", ended.rule)
        } else {
            String::new()
        };
        complain(
            &format!("stopped in stage {stage}{rule}: {}", ended.reason),
            &ended.hint,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trueup_core::gate::Sample;

    #[test]
    fn a_walk_that_is_interrupted_in_a_write_says_which_and_what_looks_it_up() {
        let begun = r#"{"seq":1,"time":"2026-01-01T00:00:00Z","type":"intended","op":"a1b2c3","effect":"sync",
            "application":"argocd/like-service","revision":"0123456789","patch":{},"guard":{"facts":{}},"shown":[],"byHand":[],
            "by":"jo"}"#;
        let begun: Record = serde_json::from_str(begun).unwrap();
        let ended = interrupted_at(&Run::fold([&begun]), None, 130);
        assert_eq!((ended.stage, ended.exit), (Stage::Sync, 130));
        assert_eq!(
            ended.reason,
            "interrupted by a signal; it is not known yet whether the sync of argocd/like-service happened (op a1b2c3)"
        );
        assert!(ended.hint.contains("the same command looks that up"));
        let ended = interrupted_at(&Run::default(), None, 130);
        assert_eq!(ended.reason, "interrupted by a signal");
    }

    #[test]
    fn people_are_told_of_a_gate_when_it_turns_and_every_half_minute() {
        let mut samples = Samples::default();
        let begin = Timestamp::UNIX_EPOCH;
        let told = |samples: &mut Samples, gate: &str, second: i64, verdict| {
            let at = begin + jiff::SignedDuration::from_secs(second);
            samples.worth_telling(&Record {
                seq: 1,
                time: at,
                event: Event::GateSampled {
                    application: "argocd/a".parse().unwrap(),
                    gate: gate.into(),
                    sample: Sample {
                        at,
                        value: None,
                        traffic: None,
                        verdict,
                        why: String::new(),
                        unasked: false,
                    },
                },
            })
        };
        let mut count = 0;
        for second in 0..600 {
            count += u32::from(told(&mut samples, "g", second, Verdict::Green));
        }
        assert_eq!(count, 20, "ten minutes of the same");
        assert!(told(&mut samples, "g", 600, Verdict::Red), "it turned");
        assert!(!told(&mut samples, "g", 601, Verdict::Red));
        assert!(told(&mut samples, "g", 602, Verdict::Green), "and back");
        assert!(told(&mut samples, "other", 602, Verdict::Green));
    }
}
