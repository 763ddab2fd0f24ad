//! `trueup sync`: stage 6 alone.

use std::sync::Arc;

use serde_json::json;
use trueup_core::{
    ids::Commit,
    now::Now,
    object::identity::AppKey,
    rules,
    run::{Run, Sync},
    sheet::{Command, Refusal},
    text,
    workflow::Next,
};

use super::{
    args::SyncArgs,
    shown::{self, Would},
    stages::{as_found, code, did, freeze_lost, in_incident, key},
};
use crate::{
    app,
    engine::{Engine, Trouble},
    journal::Boundaries,
    settings::Settings,
};

/// Stage 6 alone: each Application with the effect that was predicted, the same rules.
pub async fn run(settings: &Settings, args: &SyncArgs, boundaries: Arc<dyn Boundaries>) -> i32 {
    code(settings, do_sync(settings, args, boundaries).await)
}

async fn do_sync(
    settings: &Settings,
    args: &SyncArgs,
    boundaries: Arc<dyn Boundaries>,
) -> Result<i32, Trouble> {
    let none = settings.incident.is_none() && app::open_incidents(settings)?.is_empty();
    if none && settings.write.cluster() {
        return Err(Refusal::new(
            4,
            "no incident is open, so nothing is frozen and nothing is decided",
            "`trueup freeze APP…` opens one; `trueup run PLAN.yaml` does the whole walk",
        )
        .into());
    }
    let each = async |engine: &Engine| sync_each(settings, args, engine).await;
    let previewed = async |engine: &Engine| preview_each(args, engine).await;
    in_incident(settings, boundaries, each, previewed).await
}

/// How many steps that only read are done on the way to the preview of one sync.
const STEPS: usize = 20;

/// Says what each sync would write, and what it would do as far as Argo CD has compared it.
async fn preview_each(args: &SyncArgs, engine: &Engine) -> Result<Would, Trouble> {
    let mut would = Would::Nothing;
    looked_at(args, engine).await?;
    for name in &args.apps.apps {
        let key = key(engine, name);
        for _ in 0..STEPS {
            let next = engine.next().await?;
            match &next {
                Next::ChooseTarget { application } => engine.say(&as_found(application)).await?,
                // What waits for something is not waited for.
                Next::LookUp { .. }
                | Next::SnapshotZero
                | Next::Snapshot
                | Next::Propose
                | Next::TakeHead { .. } => engine.observe(&next).await?,
                _ => break,
            }
        }
        let (_, now) = engine.seen_or_look().await?;
        let run = engine.run();
        if rules::synced(&run, &now, &key) {
            rules::holds_synced(&run, &now, &key)?;
            let late = run.late_gate(&key).or_else(|| run.gate_to_pass(&key));
            shown::say(&text::line(&format!(
                "{key} is synced already{}: nothing would be written{}",
                to(&run, &key),
                late.map_or_else(String::new, |gate| format!(
                    "; armed, gate {gate} after it would be waited for"
                ))
            )));
            continue;
        }
        would = Would::Write;
        if let Some(revision) = to_predict(engine, &now, &key) {
            rules::sync_is_next(&run, &now, &key)?;
            if !engine.is_compared(&key, &revision).await? {
                shown::say(&text::line(&format!(
                    "Argo CD has not compared {key} with {} yet: armed, it is asked to, and what the sync does is shown before it is made",
                    revision.short()
                )));
                continue;
            }
            engine.foresee(&key, &revision).await?;
            shown::say(&format!(
                "predicted from what Argo CD compared last of {key}; armed, it is asked to compare before it is shown"
            ));
        }
        let application = key;
        shown::preview(engine, &Command::Sync { application }).await?;
    }
    Ok(would)
}

/// To what an Application is synced, and since when.
fn to(run: &Run, key: &AppKey) -> String {
    run.synced_to(key).map_or_else(String::new, |(to, at)| {
        let at = at.strftime("%-d %b %H:%M:%S UTC");
        format!(", to {} at {at}", to.short())
    })
}

/// Says of what a sync changed and nobody was shown that somebody looked at it, where that is said.
async fn looked_at(args: &SyncArgs, engine: &Engine) -> Result<(), Trouble> {
    let Some(reason) = &args.seen else {
        return Ok(());
    };
    let named: Vec<AppKey> = args
        .apps
        .apps
        .iter()
        .map(|name| key(engine, name))
        .collect();
    let run = engine.run();
    let surprised = run.surprised().map(|(key, _)| key);
    // Where none of them is the one, the refusal says so.
    let application = surprised
        .filter(|key| named.contains(key))
        .or(named.first());
    let Some(application) = application.cloned() else {
        return Ok(());
    };
    let reason = reason.clone();
    engine
        .say(&Command::SeeSurprise {
            application,
            reason,
        })
        .await
}

async fn sync_each(settings: &Settings, args: &SyncArgs, engine: &Engine) -> Result<i32, Trouble> {
    let wanted: Vec<AppKey> = args
        .apps
        .apps
        .iter()
        .map(|name| key(engine, name))
        .collect();
    looked_at(args, engine).await?;
    for key in &wanted {
        let command = Command::Sync {
            application: key.clone(),
        };
        // Up to the point where the next thing is this sync, what only observes is done on the way.
        loop {
            let next = engine.next().await?;
            match &next {
                Next::Sync { application } if application == key => break,
                // Whoever merges may take a day: nobody stands by armed for that.
                Next::AwaitMerge { .. } => {
                    return Err(Trouble::Waiting(format!(
                        "{}; the same command goes on after it",
                        next.waits_for()
                    )));
                }
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
            rules::holds_synced(&engine.run(), &now, key)?;
            if let Some(gate) = engine.run().late_gate(key) {
                let application = key.clone();
                engine
                    .say(&Command::AwaitGate { application, gate })
                    .await?;
            }
        } else {
            predicted(engine, &now, key).await?;
            shown::write(engine, &command).await?;
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
                Next::Refreeze { application, why } => {
                    return Err(freeze_lost(&engine.run(), application, why));
                }
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
                let run = engine.run();
                let at = run.synced_to(key).map(|(_, at)| at);
                let mut more =
                    json!({"state": "synced", "already": before, "revision": revision, "at": at});
                // What an earlier command changed is told once.
                let said = match before {
                    true => format!("synced already{}", to(&run, key)),
                    false => {
                        more["changes"] = json!(changes);
                        let fields = text::count(changes.len(), "field");
                        format!("synced, {fields} changed as predicted")
                    }
                };
                did(settings, "Sync", key, &said, more);
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
    let Some(revision) = to_predict(engine, now, key) else {
        return Ok(());
    };
    let predict = Next::Predict {
        application: key.clone(),
        revision,
    };
    engine.observe(&predict).await
}

/// The revision that a sync is still to be predicted to.
fn to_predict(engine: &Engine, now: &Now, key: &AppKey) -> Option<Commit> {
    let run = engine.run();
    let landed = run.landed.get(&now.apps.get(key)?.repository)?;
    let app = run.apps.get(key)?;
    let known = app
        .prediction
        .as_ref()
        .is_some_and(|(at, _)| *at == landed.revision);
    (!known && app.freeze.proven()).then(|| landed.revision.clone())
}
