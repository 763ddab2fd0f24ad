//! `trueup thaw`: stage 7 alone, by the journal or, where that is lost, by the notes on the Applications.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};
use trueup_core::{
    event::Armed,
    object::identity::AppKey,
    policy::Note,
    sheet::{Command, Refusal},
    text,
};

use super::{
    args::AppsArgs,
    stages::{as_found, code, continued, did, fresh_id, key, not_armed, set_freeze},
    walk,
};
use crate::{
    adapters::clock::random_key,
    app::{self, Opening},
    engine::{Engine, Trouble, read::application_ref},
    journal::{self, Boundaries},
    ports::no_log,
    settings::Settings,
    wiring::wire,
};

/// Stage 7 alone; where the state folder has no open incident of them, from the notes on the Applications.
pub async fn run(settings: &Settings, args: &AppsArgs, boundaries: Arc<dyn Boundaries>) -> i32 {
    let open = app::open_incidents(settings).is_ok_and(|open| match &settings.incident {
        Some(id) => {
            let closed = journal::list(&settings.state_dir)
                .is_ok_and(|all| all.iter().any(|one| one.as_str() == id))
                && !open.iter().any(|one| one.as_str() == id);
            !closed
        }
        None => !open.is_empty(),
    });
    if open {
        return code(settings, do_thaw(settings, args, boundaries).await);
    }
    code(settings, thaw_from_notes(settings, args, boundaries).await)
}

async fn do_thaw(
    settings: &Settings,
    args: &AppsArgs,
    boundaries: Arc<dyn Boundaries>,
) -> Result<i32, Trouble> {
    let write = not_armed(settings)?;
    let opened = continued(settings, None, boundaries).await?;
    let engine = opened.engine;
    let done = thaw_each(settings, args, write, &engine).await;
    engine.leave().await;
    done
}

async fn thaw_each(
    settings: &Settings,
    args: &AppsArgs,
    write: Armed,
    engine: &Engine,
) -> Result<i32, Trouble> {
    engine.look().await?;
    engine.say(&Command::Arm { write }).await?;
    let applications: Vec<AppKey> = args.apps.iter().map(|name| key(engine, name)).collect();
    for key in &applications {
        if engine
            .run()
            .apps
            .get(key)
            .is_some_and(|app| app.target.is_none())
        {
            engine.say(&as_found(key)).await?;
        }
    }
    compared_now(engine, &applications).await?;
    let run = engine.run();
    let command = match applications.iter().all(|key| run.only_taken_over(key)) {
        true => Command::Restore {
            applications: applications.clone(),
        },
        false => Command::Thaw {
            applications: applications.clone(),
        },
    };
    walk::write(engine, command).await?;
    for key in applications {
        did(
            settings,
            "Thaw",
            &key,
            "thawed",
            json!({"state": "thawed", "from": "journal"}),
        );
    }
    Ok(0)
}

/// The journal is lost, or its incident was closed with them handed over; the note is there. They are taken over by an
/// incident of its own, which puts back what the note says was found, and ends: shown, guarded and watched like any thaw.
async fn thaw_from_notes(
    settings: &Settings,
    args: &AppsArgs,
    boundaries: Arc<dyn Boundaries>,
) -> Result<i32, Trouble> {
    let write = not_armed(settings)?;
    let noted = noted(settings, args).await?;
    // Another folder may have named its incidents as this one would.
    let foreign: Vec<&str> = noted.keys().map(String::as_str).collect();
    for (from, apps) in &noted {
        let incident = fresh_id(settings, &foreign)?;
        let opening = Opening::New {
            incident: incident.clone(),
            scope: apps.iter().map(ToString::to_string).collect(),
            plan: None,
        };
        let opened = app::open(settings, opening, Arc::clone(&boundaries)).await?;
        let engine = opened.engine;
        let done = restore_each(settings, apps, write, &engine, from).await;
        let nothing = engine.run().op_order.is_empty();
        if done.is_err() && nothing {
            // Nothing was written: what was opened for it is no incident.
            let _ = engine.say(&Command::Close).await;
        }
        engine.leave().await;
        done.map_err(|trouble| match nothing {
            true => trouble,
            false => trouble.or_else(&format!(
                "they are frozen by {incident} now: `trueup resume {incident}` looks, decides and thaws"
            )),
        })?;
    }
    Ok(0)
}

/// The incidents whose notes they bear, and which of them bears which.
async fn noted(
    settings: &Settings,
    args: &AppsArgs,
) -> Result<BTreeMap<String, Vec<AppKey>>, Trouble> {
    let wired = wire(settings, random_key(), no_log()).await?;
    let mut from: BTreeMap<String, Vec<AppKey>> = BTreeMap::new();
    for name in &args.apps {
        let key = wired.reader.app_key(name);
        let Some(application) = wired.hub.get(&application_ref(&key)).await? else {
            return Err(
                match wired.reader.must_exist(std::slice::from_ref(&key)).await {
                    Err(trouble) => trouble,
                    Ok(()) => Trouble::Waiting(format!("{key} is just being made: look again")),
                },
            );
        };
        let Some(note) = Note::of(&application) else {
            return Err(Refusal::new(
                5,
                format!("{key} carries no note of a freeze"),
                "`trueup status` lists what is frozen",
            )
            .into());
        };
        from.entry(note.incident).or_default().push(key);
    }
    Ok(from)
}

async fn restore_each(
    settings: &Settings,
    wanted: &[AppKey],
    write: Armed,
    engine: &Engine,
    from: &str,
) -> Result<(), Trouble> {
    engine.look().await?;
    // Before anything is taken over: what is refused leaves the note as it was.
    engine.say(&Command::Arm { write }).await?;
    for key in wanted {
        let seen = engine.refresh(key).await?;
        let on = Note::of(&seen).is_some_and(|note| note.found_policy().is_on());
        let status = seen.pointer("/status/sync/status").and_then(Value::as_str);
        if on && status != Some("Synced") {
            return Err(Refusal::new(
                3,
                text::line(&format!(
                    "{key} is {}: with auto-sync on, Argo CD would do at once what nobody was shown",
                    status.unwrap_or("not compared")
                )),
                format!(
                    "where its journal is, decide there; else `trueup freeze {} --take-over {from} --write cluster`, then look and decide: `trueup resume`",
                    key.name
                ),
            )
            .into());
        }
    }
    set_freeze(engine, wanted, write, Some(from)).await?;
    for key in wanted {
        engine.say(&as_found(key)).await?;
    }
    compared_now(engine, wanted).await?;
    walk::write(
        engine,
        Command::Restore {
            applications: wanted.to_vec(),
        },
    )
    .await?;
    for key in wanted {
        let said = format!("thawed as its note of {from} says");
        let more = json!({"incident": from, "state": "thawed", "from": "note"});
        did(settings, "Thaw", key, &said, more);
    }
    let (_, now) = engine.look().await?;
    if now.owed(&engine.run()).is_empty() {
        engine.say(&Command::Close).await?;
    }
    Ok(())
}

/// What Argo CD compared a while ago says nothing about what it would do once auto-sync is on.
async fn compared_now(engine: &Engine, applications: &[AppKey]) -> Result<(), Trouble> {
    for key in applications {
        engine.refresh(key).await?;
    }
    engine.look().await.map(drop)
}
