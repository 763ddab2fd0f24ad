//! `trueup park` and `trueup unpark`: an Application handed over to somebody while the others go on.

use std::sync::Arc;

use serde_json::json;
use trueup_core::{object::identity::AppKey, rules, sheet::Command};

use super::{
    args::{AppsArgs, ParkArgs},
    stages::{code, continued, did, key},
};
use crate::{
    engine::{Engine, Trouble},
    journal::Boundaries,
    settings::Settings,
};

/// Hands Applications over; only the journal is written.
pub async fn park(settings: &Settings, args: &ParkArgs, boundaries: Arc<dyn Boundaries>) -> i32 {
    let owned = format!("parked: {} until {}", args.owner, args.until);
    let command = |application: AppKey| Command::Park {
        application,
        owner: args.owner.clone(),
        until: args.until.clone(),
        reason: args.reason.clone(),
    };
    let each =
        async |engine: &Engine| say_each(settings, engine, &args.apps, command, &owned).await;
    code(settings, in_journal(settings, boundaries, each).await)
}

/// Takes parked Applications up again.
pub async fn unpark(settings: &Settings, args: &AppsArgs, boundaries: Arc<dyn Boundaries>) -> i32 {
    let command = |application: AppKey| Command::Unpark { application };
    let each = async |engine: &Engine| {
        let run = engine.run();
        let idle = |name: &&String| {
            let key = key(engine, name);
            let app = run.apps.get(&key).filter(|_| run.scope.contains(&key));
            app.is_some_and(|app| app.parked.is_none())
        };
        let (idle, parked): (Vec<&String>, Vec<&String>) = args.apps.iter().partition(idle);
        for name in idle {
            let said = format!("{name} is not parked: there is nothing to take up");
            super::output::say(&mut std::io::stderr(), &said);
        }
        let parked = AppsArgs {
            apps: parked.into_iter().cloned().collect(),
        };
        say_each(settings, engine, &parked, command, "taken up again").await
    };
    code(settings, in_journal(settings, boundaries, each).await)
}

async fn in_journal(
    settings: &Settings,
    boundaries: Arc<dyn Boundaries>,
    each: impl AsyncFnOnce(&Engine) -> Result<i32, Trouble>,
) -> Result<i32, Trouble> {
    let engine = continued(settings, boundaries).await?.engine;
    let done = each(&engine).await;
    engine.leave().await;
    done
}

async fn say_each(
    settings: &Settings,
    engine: &Engine,
    args: &AppsArgs,
    command: impl Fn(AppKey) -> Command,
    said: &str,
) -> Result<i32, Trouble> {
    let (_, now) = engine.look().await?;
    let commands: Vec<(AppKey, Command)> = args
        .apps
        .iter()
        .map(|name| key(engine, name))
        .map(|key| (key.clone(), command(key)))
        .collect();
    for (_, command) in &commands {
        rules::check(&engine.run(), &now, command)?;
    }
    for (key, command) in &commands {
        engine.say(command).await?;
        did(settings, "Park", key, said, json!({"state": said}));
    }
    Ok(0)
}
