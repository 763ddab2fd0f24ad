//! The commands that open the screen, and the stages that have a command of their own: freeze, sync, thaw.

use std::{
    io::{IsTerminal, Write},
    sync::Arc,
};

use serde_json::{Value, json};
use trueup_core::{
    event::Armed,
    ids::IncidentId,
    now::Now,
    object::identity::AppKey,
    plan::{Plan, Target, TargetKind},
    rules,
    run::{Run, Sync},
    sheet::{Command, Refusal},
    text,
    workflow::Next,
};

use super::{
    args::{AppsArgs, FreezeArgs, ResumeArgs, StartArgs},
    give_up, output, walk,
};
use crate::{
    adapters::clock::random_word,
    app::{self, Opened, Opening},
    engine::{Engine, Trouble},
    journal::{self, Boundaries, Journal},
    settings::{Output, Settings},
    tui::{self, Left, TuiOptions},
};

/// The screen needs a terminal that can draw.
pub fn needs_terminal() -> Result<(), Trouble> {
    let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb" || term.is_empty());
    if !dumb && std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        return Ok(());
    }
    Err(Trouble::failed(
        "open the workbench",
        if dumb {
            "TERM says that this terminal cannot draw"
        } else {
            "there is no terminal here"
        },
        "without a screen: `trueup drift`, `trueup freeze APP…`, `trueup run PLAN.yaml`, `trueup status`",
    ))
}

pub(super) fn code(settings: &Settings, outcome: Result<i32, Trouble>) -> i32 {
    outcome.unwrap_or_else(|trouble| give_up(settings, &trouble))
}

/// The workbench on the current context: the only open incident, or a new one.
pub async fn workbench(settings: &Settings, boundaries: Arc<dyn Boundaries>) -> i32 {
    code(settings, opened_or_new(settings, None, boundaries).await)
}

/// The workbench on the lab; a new incident takes the name and the gates of the scenario's plan, and no answer of it.
pub async fn on_lab(
    settings: &Settings,
    plan: Option<&str>,
    boundaries: Arc<dyn Boundaries>,
) -> i32 {
    let plan = plan.and_then(|text| Plan::parse(text).ok());
    code(settings, opened_or_new(settings, plan, boundaries).await)
}

async fn opened_or_new(
    settings: &Settings,
    plan: Option<Plan>,
    boundaries: Arc<dyn Boundaries>,
) -> Result<i32, Trouble> {
    needs_terminal()?;
    let open = app::open_incidents(settings)?;
    let opening = match open.as_slice() {
        [] => {
            let incident = match (&settings.incident, &plan) {
                (Some(id), _) => id.parse().map_err(|e| {
                    Trouble::failed("open an incident", e, "choose another --incident")
                })?,
                (None, Some(plan))
                    if !journal::list(&settings.state_dir)?.contains(&plan.incident) =>
                {
                    plan.incident.clone()
                }
                _ => fresh_id(settings, &[])?,
            };
            Opening::New {
                incident,
                scope: Vec::new(),
                plan: plan.map(|plan| Box::new(without_answers(plan))),
            }
        }
        _ => Opening::Resume {
            incident: app::which(settings, None)?,
        },
    };
    let opened = app::open(settings, opening, boundaries).await?;
    screen(settings, opened).await
}

/// What the lab may give away: which gates and order its scenario has. What to decide is for the person to find out.
fn without_answers(mut plan: Plan) -> Plan {
    plan.decisions.clear();
    plan.targets.clear();
    plan.scope.clear();
    plan.commit = trueup_core::plan::CommitPlan::default();
    for step in &mut plan.sync {
        step.expect = None;
    }
    plan
}

/// A name that was asked of nobody: `INC-2026-11-21-k7fm`. Two operators on two machines draw two of them, and each can be
/// spelt on a bridge: no vowels, so no words, and nothing that is taken for something else.
pub(super) fn fresh_id(settings: &Settings, foreign: &[&str]) -> Result<IncidentId, Trouble> {
    let day = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let taken = journal::list(&settings.state_dir)?;
    (0..1000)
        .filter_map(|_| {
            format!("INC-{day}-{}", random_word())
                .parse::<IncidentId>()
                .ok()
        })
        .find(|id| !taken.contains(id) && !foreign.contains(&id.as_str()))
        .ok_or_else(|| {
            Trouble::failed(
                "name a new incident",
                "no name was found that is free",
                "choose one with --incident",
            )
        })
}

pub async fn start(settings: &Settings, args: &StartArgs, boundaries: Arc<dyn Boundaries>) -> i32 {
    let go = async {
        needs_terminal()?;
        let incident = match &settings.incident {
            Some(id) => id
                .parse()
                .map_err(|e| Trouble::failed("open an incident", e, "choose another --incident"))?,
            None => fresh_id(settings, &[])?,
        };
        let opening = Opening::New {
            incident,
            scope: args.apps.clone(),
            plan: None,
        };
        let opened = app::open(settings, opening, boundaries).await?;
        screen(settings, opened).await
    };
    code(settings, go.await)
}

pub async fn resume(
    settings: &Settings,
    args: &ResumeArgs,
    boundaries: Arc<dyn Boundaries>,
) -> i32 {
    let go = async {
        let incident = app::which(settings, args.id.as_deref())?;
        needs_terminal()?;
        let opened = app::open(settings, Opening::Resume { incident }, boundaries).await?;
        screen(settings, opened).await
    };
    code(settings, go.await)
}

async fn screen(settings: &Settings, opened: Opened) -> Result<i32, Trouble> {
    if settings.write != Armed::Nothing {
        opened.engine.look().await?;
        opened
            .engine
            .say(&Command::Arm {
                write: settings.write,
            })
            .await?;
    }
    let background = std::env::var("COLORFGBG").unwrap_or_default();
    let theme = settings
        .theme
        .parse()
        .ok()
        .or_else(|| tui::theme::ThemeName::of_background(&background));
    let options = TuiOptions {
        theme: theme.unwrap_or_default(),
        no_color: !settings.color,
        ascii: settings.ascii,
        program: settings.program(),
        ..TuiOptions::default()
    };
    let engine = Arc::clone(&opened.engine);
    let left = tui::run(app::front(opened), options)
        .await
        .map_err(|error| {
            Trouble::failed(
                "draw the workbench",
                format!("{error:#}"),
                "`trueup resume` goes on where it was",
            )
        })?;
    way_back(settings, &engine);
    Ok(match left {
        Left::Quit => 0,
        Left::Terminated => 143,
        _ => 0,
    })
}

/// Says, where the screen was, how to go on and what is owed meanwhile.
fn way_back(settings: &Settings, engine: &Engine) {
    let run = engine.run();
    if run.id().is_empty() || run.closed.is_some() {
        return;
    }
    let id = text::line(run.id());
    eprintln!(
        "{id} is open. Go on with: {} resume {id}",
        settings.program()
    );
    let owed = match engine.seen() {
        Some((_, now)) => now.owed(&run),
        None => run.obligations(),
    };
    for owed in owed {
        eprintln!("  owed: {}", text::line(&owed.what));
    }
}

/// Takes up the incident that a stage command works on.
pub async fn continued(
    settings: &Settings,
    id: Option<&str>,
    boundaries: Arc<dyn Boundaries>,
) -> Result<Opened, Trouble> {
    let incident = app::which(settings, id)?;
    let lines = journal::read(&settings.state_dir, &incident)?;
    // Nothing is written into a journal that is closed.
    if Run::fold(lines.iter().map(|line| &line.record))
        .closed
        .is_some()
    {
        return Err(Refusal::new(
            0,
            format!("{incident} is closed"),
            "what it handed over: `trueup thaw APP`, or `trueup freeze APP --take-over ID`; anything else is another incident",
        )
        .into());
    }
    app::open(settings, Opening::Resume { incident }, boundaries).await
}

/// The Application that a name on the command line means.
pub fn key(engine: &Engine, name: &str) -> AppKey {
    engine.reader().app_key(name)
}

pub(super) fn not_armed(settings: &Settings) -> Result<Armed, Trouble> {
    let write = settings.write;
    if write.cluster() {
        return Ok(write);
    }
    Err(Refusal::new(
        1,
        "not armed: this writes to the cluster",
        "say --write cluster (or all)",
    )
    .into())
}

/// Stage 2 alone.
pub async fn freeze(
    settings: &Settings,
    args: &FreezeArgs,
    boundaries: Arc<dyn Boundaries>,
) -> i32 {
    code(settings, do_freeze(settings, args, boundaries).await)
}

async fn do_freeze(
    settings: &Settings,
    args: &FreezeArgs,
    boundaries: Arc<dyn Boundaries>,
) -> Result<i32, Trouble> {
    let write = not_armed(settings)?;
    let open = app::open_incidents(settings)?;
    let named = settings.incident.as_deref();
    let resumes = match named {
        Some(id) => open.iter().any(|incident| incident.as_str() == id),
        None => !open.is_empty(),
    };
    let opening = if resumes {
        Opening::Resume {
            incident: app::which(settings, named)?,
        }
    } else {
        let incident = match named {
            Some(id) => id
                .parse()
                .map_err(|e| Trouble::failed("open an incident", e, "choose another --incident"))?,
            None => fresh_id(settings, &[])?,
        };
        Opening::New {
            incident,
            scope: args.apps.apps.clone(),
            plan: None,
        }
    };
    let begun = matches!(opening, Opening::New { .. });
    let opened = app::open(settings, opening, boundaries).await?;
    let engine = opened.engine;
    let done = freeze_each(settings, args, write, &engine).await;
    engine.leave().await;
    // What was opened for this freeze alone and froze nothing is in nobody's way.
    if begun && done.is_err() && engine.run().op_order.is_empty() {
        engine.with_journal(Journal::discard)?;
    }
    done.map_err(|trouble| mine_already(trouble, &engine, &args.apps.apps, &open))
}

/// Where an Application is frozen by another incident of this folder, that one is to be gone on with.
fn mine_already(
    trouble: Trouble,
    engine: &Engine,
    names: &[String],
    open: &[IncidentId],
) -> Trouble {
    let Trouble::Refused(mut refusal) = trouble else {
        return trouble;
    };
    let here = engine.run().id().to_owned();
    let seen = engine.seen();
    let other = names.iter().find_map(|name| {
        let app = seen.as_ref()?.1.apps.get(&key(engine, name))?;
        let by = app.frozen_by().filter(|by| *by != here)?;
        open.iter().find(|id| id.as_str() == by)
    });
    if let (2, Some(other)) = (refusal.rule, other) {
        refusal.hint = format!(
            "{other} is open in this folder: go on with it (--incident {other}, or `trueup resume {other}`)"
        );
    }
    refusal.into()
}

/// Brings Applications into the scope and sets their freeze; those that bear it already are left as they are.
pub(super) async fn set_freeze(
    engine: &Engine,
    wanted: &[AppKey],
    write: Armed,
    take_over: Option<&str>,
) -> Result<(), Trouble> {
    let mut scope = engine.run().scope.clone();
    scope.extend(
        wanted
            .iter()
            .filter(|key| !engine.run().scope.contains(key))
            .cloned(),
    );
    if scope != engine.run().scope {
        engine.reader().must_exist(wanted).await?;
        engine.say(&Command::SetScope { scope }).await?;
    }
    if let Next::LookUp { .. } = engine.next().await? {
        engine.observe(&engine.next().await?).await?;
    }
    if engine.run().snapshots == 0 {
        engine.observe(&Next::SnapshotZero).await?;
    }
    engine.say(&Command::Arm { write }).await?;
    let applications: Vec<AppKey> = wanted
        .iter()
        .filter(|key| {
            engine
                .run()
                .apps
                .get(*key)
                .is_none_or(|app| !app.freeze.is_set())
        })
        .cloned()
        .collect();
    if applications.is_empty() {
        return Ok(());
    }
    let command = match take_over {
        None => Command::Freeze { applications },
        Some(from) => Command::TakeOver {
            applications,
            from: from.to_owned(),
        },
    };
    walk::write(engine, command).await.map(drop)
}

async fn freeze_each(
    settings: &Settings,
    args: &FreezeArgs,
    write: Armed,
    engine: &Engine,
) -> Result<i32, Trouble> {
    let incident = engine.run().id().to_owned();
    let wanted: Vec<AppKey> = args
        .apps
        .apps
        .iter()
        .map(|name| key(engine, name))
        .collect();
    set_freeze(engine, &wanted, write, args.take_over.as_deref()).await?;
    let said = |state: &str, keys: &[AppKey]| {
        if settings.output == Output::Json {
            let items: Vec<Value> = keys
                .iter()
                .map(|key| json!({"application": key, "state": state}))
                .collect();
            output::json_line(
                &mut output::stdout(),
                &json!({"apiVersion": trueup_core::API_VERSION, "kind": "Freeze", "incident": incident, "state": state, "applications": items}),
            );
        } else {
            for key in keys {
                let _ = writeln!(output::stdout(), "{incident}  {key}  {state}");
            }
        }
    };
    said("set", &wanted);
    if args.no_wait {
        return Ok(0);
    }
    let unproven = |engine: &Engine| -> Vec<AppKey> {
        let run = engine.run();
        let proven = |key: &AppKey| run.apps.get(key).is_some_and(|app| app.freeze.proven());
        wanted.iter().filter(|key| !proven(key)).cloned().collect()
    };
    let mut left = unproven(engine);
    while !left.is_empty() {
        engine
            .observe(&Next::ProveFreeze {
                applications: left.clone(),
            })
            .await?;
        let lost = engine
            .run()
            .apps
            .iter()
            .find_map(|(key, app)| match &app.freeze {
                trueup_core::run::Freeze::Lost { why } => Some((key.clone(), why.clone())),
                _ => None,
            });
        if let Some((key, why)) = lost {
            return Err(freeze_lost(&key, &why));
        }
        left = unproven(engine);
    }
    said("proven", &wanted);
    Ok(0)
}

/// Tells that a stage was done for one Application: a line for people, or a document of one line.
pub(super) fn did(settings: &Settings, kind: &str, key: &AppKey, said: &str, more: Value) {
    let line = if settings.output == Output::Json {
        let mut document =
            json!({"apiVersion": trueup_core::API_VERSION, "kind": kind, "application": key});
        if let (Some(all), Value::Object(more)) = (document.as_object_mut(), more) {
            all.extend(more);
        }
        output::inert(&document.to_string())
    } else {
        text::line(&format!("{key}  {said}"))
    };
    output::say(&mut output::stdout(), &line);
}

pub(super) fn as_found(key: &AppKey) -> Command {
    Command::SetTarget {
        applications: vec![key.clone()],
        target: Target {
            policy: Some(TargetKind::Found),
            automated: None,
            reason: None,
        },
    }
}

/// Stage 6 alone: each Application with the effect that was predicted, the same rules.
pub async fn sync(settings: &Settings, args: &AppsArgs, boundaries: Arc<dyn Boundaries>) -> i32 {
    code(settings, do_sync(settings, args, boundaries).await)
}

async fn do_sync(
    settings: &Settings,
    args: &AppsArgs,
    boundaries: Arc<dyn Boundaries>,
) -> Result<i32, Trouble> {
    let write = not_armed(settings)?;
    if settings.incident.is_none() && app::open_incidents(settings)?.is_empty() {
        return Err(Refusal::new(
            4,
            "no incident is open, so nothing is frozen and nothing is decided",
            "`trueup freeze APP…` opens one; `trueup run PLAN.yaml` does the whole walk",
        )
        .into());
    }
    let opened = continued(settings, None, boundaries).await?;
    let engine = opened.engine;
    let done = sync_each(settings, args, write, &engine).await;
    engine.leave().await;
    done
}

async fn sync_each(
    settings: &Settings,
    args: &AppsArgs,
    write: Armed,
    engine: &Engine,
) -> Result<i32, Trouble> {
    engine.look().await?;
    engine.say(&Command::Arm { write }).await?;
    let wanted: Vec<AppKey> = args.apps.iter().map(|name| key(engine, name)).collect();
    for key in &wanted {
        let command = Command::Sync {
            application: key.clone(),
        };
        // Up to the point where the next thing is this sync, what only observes is done on the way.
        loop {
            let next = engine.next().await?;
            match &next {
                Next::Sync { application } if application == key => break,
                next if next.observes() => engine.observe(next).await?,
                // A sync alone leaves the policy as it was found.
                Next::ChooseTarget { application } => {
                    engine.say(&as_found(application)).await?;
                }
                _ => break,
            }
        }
        let (_, now) = engine.seen_or_look().await?;
        let before = rules::synced(&engine.run(), &now, key);
        if before {
            if let Some(gate) = engine.run().late_gate(key) {
                let application = key.clone();
                engine
                    .say(&Command::AwaitGate { application, gate })
                    .await?;
            }
        } else {
            predicted(engine, &now, key).await?;
            walk::write(engine, command).await?;
        }
        loop {
            let next = engine.next().await?;
            match &next {
                Next::AwaitOperation { application, .. }
                | Next::VerifySync { application, .. }
                | Next::Gate { application, .. }
                    if application == key =>
                {
                    engine.observe(&next).await?;
                }
                Next::Stopped {
                    rule: 10,
                    application: Some(application),
                    reason,
                    ..
                } if application == key => {
                    return Err(Trouble::Waiting(format!(
                        "{reason}; the same command waits for it once more"
                    )));
                }
                Next::Refreeze { application, why } => return Err(freeze_lost(application, why)),
                next => match engine.run().gate_to_pass(key) {
                    // Something came in between, and the gates say nothing of what is synced now.
                    Some(gate) if synced(engine, key) => {
                        return Err(Trouble::Waiting(format!(
                            "{key} is synced, and gate {gate} after it is not green yet; first: {}",
                            next.waits_for()
                        )));
                    }
                    _ => break,
                },
            }
        }
        match &engine.run().apps.get(key).map(|app| app.sync.clone()) {
            Some(Sync::Verified {
                changes, revision, ..
            }) => {
                let said = format!(
                    "synced{}, {} changed as predicted",
                    if before { " already" } else { "" },
                    text::count(changes.len(), "field")
                );
                did(
                    settings,
                    "Sync",
                    key,
                    &said,
                    json!({"state": "synced", "revision": revision, "changes": changes}),
                );
            }
            other => {
                return Err(Refusal::new(
                    3,
                    match other {
                        Some(Sync::Surprised { surprises, .. }) => format!(
                            "the sync of {key} changed {} that nobody was shown",
                            text::count(surprises.len(), "field")
                        ),
                        Some(Sync::Finished { phase, message, .. }) => {
                            format!(
                                "the sync of {key} ended as {phase}: {}",
                                text::line(message)
                            )
                        }
                        _ => format!("the sync of {key} was not seen to its end"),
                    },
                    "look at it with `trueup resume`",
                )
                .into());
            }
        }
    }
    Ok(0)
}

fn synced(engine: &Engine, key: &AppKey) -> bool {
    let run = engine.run();
    let app = run.apps.get(key);
    app.is_some_and(|app| matches!(app.sync, Sync::Verified { .. }))
}

/// A sync by itself makes its own prediction, where the freeze holds and no other is there.
async fn predicted(engine: &Engine, now: &Now, key: &AppKey) -> Result<(), Trouble> {
    let run = engine.run();
    let landed = now
        .apps
        .get(key)
        .and_then(|seen| run.landed.get(&seen.repository));
    let (Some(landed), Some(app)) = (landed, run.apps.get(key)) else {
        return Ok(());
    };
    let known = app
        .prediction
        .as_ref()
        .is_some_and(|(at, _)| *at == landed.revision);
    if known || !app.freeze.proven() {
        return Ok(());
    }
    let predict = Next::Predict {
        application: key.clone(),
        revision: landed.revision.clone(),
    };
    engine.observe(&predict).await
}

fn freeze_lost(key: &AppKey, why: &str) -> Trouble {
    Refusal::new(
        4,
        format!("the freeze of {key} was lost: {why}"),
        format!(
            "see who changed it; `trueup freeze {} --write cluster` freezes it again",
            key.name
        ),
    )
    .into()
}
