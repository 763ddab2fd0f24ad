//! `trueup thaw`: stage 7 alone, by the journal or, where that is lost, by the notes on the Applications.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};
use trueup_core::{
    event::Armed,
    object::identity::AppKey,
    plan::Target,
    policy::{Note, Policy},
    rules,
    run::{Run, Thaw},
    sheet::{Command, Refusal},
    text,
};

use super::{
    args::AppsArgs,
    freeze::{self, set_freeze},
    shown::{self, Would},
    stages::{as_found, code, did, fresh_id, in_incident, key},
    waits,
};
use crate::{
    adapters::clock::random_key,
    app::{self, Opening},
    engine::{Engine, Trouble, observe, read::application_ref},
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
    let each = async |engine: &Engine| thaw_each(settings, args, engine).await;
    let previewed = async |engine: &Engine| {
        let (made, left) = made_and_left(engine, &targeted(args, engine).await?);
        for key in &made {
            shown::say(&engine.run().given_back_unwatched(key));
        }
        match left.is_empty() {
            true => {}
            false => {
                engine.take_heads().await?;
                shown::preview(engine, &command(engine, &left)).await?;
            }
        }
        // That a thaw holds is watched armed.
        Ok(Would::Write)
    };
    in_incident(settings, boundaries, each, previewed).await
}

/// The Applications, each with a target: by itself a thaw puts back what was found.
async fn targeted(args: &AppsArgs, engine: &Engine) -> Result<Vec<AppKey>, Trouble> {
    let applications: Vec<AppKey> = args.apps.iter().map(|name| key(engine, name)).collect();
    not_of_others(engine, &applications).await?;
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
    Ok(applications)
}

/// What another incident froze is nothing that this one thaws, be it in its scope or not.
async fn not_of_others(engine: &Engine, applications: &[AppKey]) -> Result<(), Trouble> {
    let run = engine.run();
    let strange: Vec<AppKey> = applications
        .iter()
        .filter(|key| !run.scope.contains(key))
        .cloned()
        .collect();
    if strange.is_empty() {
        return Ok(());
    }
    engine.reader().must_exist(&strange).await?;
    let (objects, _, _) = engine.reader().applications(Some(&strange)).await?;
    let refused = objects.iter().find_map(|object| {
        let key = AppKey::from_object(object).ok()?;
        rules::frozen_by_other(&run, &key, &observe::application_now(object))
    });
    refused.map_or(Ok(()), |refusal| Err(refusal.into()))
}

/// Those of which the thaw was made and only has to be watched, and the others.
fn made_and_left(engine: &Engine, applications: &[AppKey]) -> (Vec<AppKey>, Vec<AppKey>) {
    let run = engine.run();
    let made = |key: &AppKey| {
        let thaw = run.apps.get(key).map(|app| &app.thaw);
        matches!(thaw, Some(Thaw::Restored { .. }))
    };
    applications.iter().cloned().partition(made)
}

fn command(engine: &Engine, applications: &[AppKey]) -> Command {
    let run = engine.run();
    let applications = applications.to_vec();
    match applications.iter().all(|key| run.only_taken_over(key)) {
        true => Command::Restore { applications },
        false => Command::Thaw { applications },
    }
}

async fn thaw_each(settings: &Settings, args: &AppsArgs, engine: &Engine) -> Result<i32, Trouble> {
    let applications = targeted(args, engine).await?;
    let (made, left) = made_and_left(engine, &applications);
    for key in &made {
        shown::say(&text::line(&format!(
            "{key}: auto-sync was given back already; that it holds is watched"
        )));
        engine.watch_thaw_out(key).await?;
    }
    if !left.is_empty() {
        compared_now(engine, &left).await?;
        engine.take_heads().await?;
        shown::write(engine, &command(engine, &left)).await?;
    }
    engine.look().await?;
    for key in applications {
        let (said, mut more) = stands(engine, &key);
        more["from"] = json!("journal");
        did(settings, "Thaw", &key, &format!("thawed: {said}"), more);
    }
    Ok(0)
}

/// How an Application stands after its thaw, in words and for programs.
fn stands(engine: &Engine, key: &AppKey) -> (String, Value) {
    let run = engine.run();
    let now = engine.seen().map(|(_, now)| now);
    let seen = now.as_ref().and_then(|now| now.apps.get(key));
    let target = run.apps.get(key).and_then(|app| app.target.as_ref());
    let asked = target.map_or("", |(_, _, evidence)| evidence.as_str());
    let policy = seen
        .map(|seen| seen.sync_policy.clone())
        .or_else(|| target.map(|(_, whole, _)| whole.clone()))
        .unwrap_or_default();
    let policy = Policy::new(Some(policy));
    let auto = match policy.is_on() {
        true => format!("auto-sync on ({})", policy.words()),
        false => "auto-sync OFF".to_owned(),
    };
    let note = seen.and_then(|seen| seen.frozen_by());
    let note_said = match note {
        None => "no freeze note left".to_owned(),
        Some(by) => format!("and the freeze note of {by} is on it"),
    };
    let said = format!("{auto}, {asked}; {note_said}");
    let document = json!({
        "state": "thawed",
        "autoSync": if policy.is_on() { "on" } else { "off" },
        "automated": policy.automated(),
        "target": asked,
        "note": note,
    });
    (said, document)
}

/// The journal is lost, or its incident was closed with them handed over; the note is there. They are taken over by an
/// incident of its own, which puts back what the note says was found, and ends: shown, guarded and watched like any thaw.
async fn thaw_from_notes(
    settings: &Settings,
    args: &AppsArgs,
    boundaries: Arc<dyn Boundaries>,
) -> Result<i32, Trouble> {
    let write = settings.write;
    if !write.cluster() {
        return Err(shown::instead(preview_of_notes(settings, args)).await);
    }
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
        waits::told(opened.updates);
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

async fn preview_of_notes(settings: &Settings, args: &AppsArgs) -> Result<(), Trouble> {
    let noted = noted(settings, args).await?;
    let foreign: Vec<&str> = noted.keys().map(String::as_str).collect();
    for (from, apps) in &noted {
        let opening = Opening::New {
            incident: fresh_id(settings, &foreign)?,
            scope: apps.iter().map(ToString::to_string).collect(),
            plan: None,
        };
        shown::aside(settings, opening, async |engine| {
            engine.look().await?;
            freeze::preview(engine, apps, Some(from)).await?;
            for key in apps {
                let (world, _) = engine.seen_or_look().await?;
                let Some(application) = world.applications.get(key).map(|app| &app.object) else {
                    continue;
                };
                let restored = Restored::of(settings, key, application);
                shown::say(&text::line(&format!(
                    "then, where Argo CD finds it Synced or nothing would sync it: thaw {}: auto-sync {}, {}; the note goes; a sheet of its own comes first",
                    key.name,
                    restored.policy.words(),
                    restored.why
                )));
            }
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// What a thaw by the note puts in place, worked out while the note is there.
struct Restored {
    /// What the incident that froze it chose, where its journal is in this folder.
    chosen: Option<Target>,
    policy: Policy,
    /// Why that one.
    why: String,
}

impl Restored {
    fn of(settings: &Settings, key: &AppKey, application: &Value) -> Self {
        let Some(note) = Note::of(application) else {
            return Self {
                chosen: None,
                policy: Policy::new(None),
                why: "as it is: there is no note on it".into(),
            };
        };
        let from = text::line(&note.incident);
        let writer = writer(settings, key, &note);
        let target = writer
            .as_ref()
            .and_then(|run| run.apps.get(key)?.target.clone());
        match target {
            Some((target, whole, evidence)) => Self {
                chosen: Some(target),
                policy: Policy::new(Some(whole)),
                why: format!("{evidence}, which {from} chose"),
            },
            None => Self {
                chosen: None,
                policy: note.found_policy(),
                why: match writer {
                    Some(_) => format!("as found: {from} chose no other"),
                    None => format!(
                        "as found: the note knows nothing else. What {from} chose to stand in the end is in its journal, which is not in this folder"
                    ),
                },
            },
        }
    }
}

/// The incident whose journal in this folder holds the write that put the note there.
fn writer(settings: &Settings, key: &AppKey, note: &Note) -> Option<Run> {
    let lines = journal::read(&settings.state_dir, &note.incident.parse().ok()?).ok()?;
    let run = Run::fold(lines.iter().map(|line| &line.record));
    run.wrote_note(key, &serde_json::to_value(note).ok()?)
        .then_some(run)
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
            if Note::unreadable(&application).is_some() {
                return Err(rules::unreadable_note(&key).into());
            }
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
    let mut restored = BTreeMap::new();
    // Before anything is taken over: what is refused leaves the note as it was.
    engine.say(&Command::Arm { write }).await?;
    for key in wanted {
        let seen = engine.refresh(key).await?;
        let wanted = Restored::of(settings, key, &seen);
        let on = wanted.policy.is_on();
        let found = Note::of(&seen).map_or_else(|| Policy::new(None), |note| note.found_policy());
        restored.insert(key.clone(), wanted);
        let status = seen.pointer("/status/sync/status").and_then(Value::as_str);
        if on && status != Some("Synced") {
            return Err(Refusal::new(
                3,
                text::line(&format!(
                    "{key} is {}: with auto-sync on, Argo CD would do at once what nobody was shown",
                    status.unwrap_or("not compared")
                )),
                format!(
                    "where its journal is open, decide there; else `trueup freeze {0} --take-over {from} --write cluster`, then look and decide: `trueup resume`{1}",
                    key.name,
                    match found.is_on() {
                        true => String::new(),
                        false => format!(
                            "; or leave auto-sync off, as it was found: `trueup thaw {} --state-dir EMPTY_FOLDER --write cluster`",
                            key.name
                        ),
                    }
                ),
            )
            .into());
        }
    }
    set_freeze(engine, wanted, write, Some(from)).await?;
    for (key, restored) in &restored {
        shown::say(&text::line(&format!("{key}: {}", restored.why)));
        let command = match restored.chosen.clone() {
            Some(target) => Command::SetTarget {
                applications: vec![key.clone()],
                target,
            },
            None => as_found(key),
        };
        engine.say(&command).await?;
    }
    compared_now(engine, wanted).await?;
    let applications = wanted.to_vec();
    shown::write(engine, &Command::Restore { applications }).await?;
    engine.look().await?;
    for key in wanted {
        let (stands, mut more) = stands(engine, key);
        let by = match restored.get(key).is_some_and(|one| one.chosen.is_some()) {
            true => format!("as {from} chose"),
            false => format!("as its note of {from} says"),
        };
        more["incident"] = json!(from);
        more["from"] = json!("note");
        did(
            settings,
            "Thaw",
            key,
            &format!("thawed {by}: {stands}"),
            more,
        );
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
