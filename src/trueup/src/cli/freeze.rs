//! `trueup freeze`: stage 2 alone.

use std::{io::Write, sync::Arc};

use serde_json::{Value, json};
use trueup_core::{
    event::Armed,
    ids::IncidentId,
    object::identity::AppKey,
    run::{AppRun, Run},
    sheet::Command,
    workflow::Next,
};

use super::{
    args::FreezeArgs,
    output,
    shown::{self, Would},
    stages::{code, freeze_lost, fresh_id, key, look_up},
    waits,
};
use crate::{
    app::{self, Opening},
    engine::{Engine, Trouble},
    journal::{self, Boundaries, Journal},
    settings::{Output, Settings},
};

/// Stage 2 alone; without the arming what it would write is shown.
pub async fn run(settings: &Settings, args: &FreezeArgs, boundaries: Arc<dyn Boundaries>) -> i32 {
    code(settings, do_freeze(settings, args, boundaries).await)
}

async fn do_freeze(
    settings: &Settings,
    args: &FreezeArgs,
    boundaries: Arc<dyn Boundaries>,
) -> Result<i32, Trouble> {
    let write = settings.write;
    if !write.cluster() {
        let previewed = async {
            let opening = opening(settings, args)?;
            shown::aside(settings, opening, async |engine| {
                preview(engine, &wanted(args, engine), args.take_over.as_deref()).await
            })
            .await
        };
        return shown::instead_of_writing(previewed).await;
    }
    let open = app::open_incidents(settings)?;
    let opening = opening(settings, args)?;
    let begun = matches!(opening, Opening::New { .. });
    let opened = app::open(settings, opening, boundaries).await?;
    waits::told(opened.updates);
    let engine = opened.engine;
    let done = freeze_each(settings, args, write, &engine).await;
    engine.leave().await;
    // What was opened for this freeze alone and froze nothing is in nobody's way.
    if begun && done.is_err() && engine.run().op_order.is_empty() {
        engine.with_journal(Journal::discard)?;
    }
    done.map_err(|trouble| mine_already(settings, trouble, &engine, &args.apps.apps, &open))
}

/// The open incident that is meant, or a new one.
fn opening(settings: &Settings, args: &FreezeArgs) -> Result<Opening, Trouble> {
    let open = app::open_incidents(settings)?;
    let named = settings.incident.as_deref();
    let resumes = match named {
        Some(id) => open.iter().any(|incident| incident.as_str() == id),
        None => !open.is_empty(),
    };
    if resumes {
        let incident = app::which(settings, named)?;
        return Ok(Opening::Resume { incident });
    }
    let incident = match named {
        Some(id) => id
            .parse()
            .map_err(|e| Trouble::failed("open an incident", e, "choose another --incident"))?,
        None => fresh_id(settings, &[])?,
    };
    Ok(Opening::New {
        incident,
        scope: args.apps.apps.clone(),
        plan: None,
    })
}

fn wanted(args: &FreezeArgs, engine: &Engine) -> Vec<AppKey> {
    let names = args.apps.apps.iter();
    names.map(|name| key(engine, name)).collect()
}

/// Where an Application is frozen by another incident of this folder, that one is to be gone on with.
fn mine_already(
    settings: &Settings,
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
        let key = key(engine, name);
        let app = seen.as_ref()?.1.apps.get(&key)?;
        let by = app.frozen_by().filter(|by| *by != here)?;
        let other = open.iter().find(|id| id.as_str() == by)?;
        let lines = journal::read(&settings.state_dir, other).ok()?;
        let run = Run::fold(lines.iter().map(|line| &line.record));
        app.bears_our_note(&run, &key).then_some(other)
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
    into_scope(engine, wanted).await?;
    if engine.run().snapshots == 0 {
        engine.observe(&Next::SnapshotZero).await?;
    }
    engine.say(&Command::Arm { write }).await?;
    match command(engine, wanted, take_over) {
        Some(command) => shown::write(engine, &command).await,
        None => Ok(()),
    }
}

/// Says what a freeze would write.
pub(super) async fn preview(
    engine: &Engine,
    wanted: &[AppKey],
    take_over: Option<&str>,
) -> Result<Would, Trouble> {
    into_scope(engine, wanted).await?;
    match command(engine, wanted, take_over) {
        Some(command) => {
            shown::preview(engine, &command).await?;
            Ok(Would::Write)
        }
        None => {
            shown::say("frozen by this incident already: nothing would be written");
            Ok(Would::Nothing)
        }
    }
}

async fn into_scope(engine: &Engine, wanted: &[AppKey]) -> Result<(), Trouble> {
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
    look_up(engine).await
}

/// What freezes those that bear no freeze of this incident yet.
fn command(engine: &Engine, wanted: &[AppKey], take_over: Option<&str>) -> Option<Command> {
    let run = engine.run();
    let applications: Vec<AppKey> = wanted
        .iter()
        .filter(|key| !run.is_frozen(key))
        .cloned()
        .collect();
    if applications.is_empty() {
        return None;
    }
    Some(match take_over {
        None => Command::Freeze { applications },
        Some(from) => Command::TakeOver {
            applications,
            from: from.to_owned(),
        },
    })
}

async fn freeze_each(
    settings: &Settings,
    args: &FreezeArgs,
    write: Armed,
    engine: &Engine,
) -> Result<i32, Trouble> {
    let incident = engine.run().id().to_owned();
    let wanted = wanted(args, engine);
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
        let proven = |key: &AppKey| run.apps.get(key).is_some_and(AppRun::is_held);
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
            .filter(|(key, _)| wanted.contains(key))
            .find_map(|(key, app)| match &app.freeze {
                trueup_core::run::Freeze::Lost { why } => Some((key.clone(), why.clone())),
                _ => None,
            });
        if let Some((key, why)) = lost {
            return Err(freeze_lost(&engine.run(), &key, &why));
        }
        left = unproven(engine);
    }
    said("proven", &wanted);
    Ok(0)
}
