//! `trueup close`: the end of an incident without a screen, or what stands in its way.

use std::sync::Arc;

use serde_json::{Value, json};
use trueup_core::{
    event::Obligation,
    run::Run,
    sheet::{Command, Refusal},
    text,
    workflow::Next,
};

use super::{args::CloseArgs, give_up, output};
use crate::{
    app::{self, Opening},
    engine::Trouble,
    journal::{self, Boundaries},
    settings::{Output, Settings},
};

/// 0: closed, now or before; 3: something is owed, and what settles it is listed.
pub async fn run(settings: &Settings, args: &CloseArgs, boundaries: Arc<dyn Boundaries>) -> i32 {
    match go(settings, args, boundaries).await {
        Ok(code) => code,
        Err(trouble) => give_up(settings, &trouble),
    }
}

async fn go(
    settings: &Settings,
    args: &CloseArgs,
    boundaries: Arc<dyn Boundaries>,
) -> Result<i32, Trouble> {
    let incident = app::which(settings, args.id.as_deref())?;
    let lines = journal::read(&settings.state_dir, &incident)?;
    let before = Run::fold(lines.iter().map(|line| &line.record));
    if before.closed.is_some() {
        tell(settings, &before, None);
        return Ok(0);
    }
    let opened = app::open(settings, Opening::Resume { incident }, boundaries).await?;
    let engine = opened.engine;
    let next = engine.next().await?;
    if matches!(next, Next::LookUp { .. }) {
        engine.observe(&next).await?;
    }
    let (_, now) = engine.look().await?;
    let refused = trueup_core::rules::check(&engine.run(), &now, &Command::Close);
    if let Err(refusal) = refused {
        tell(settings, &engine.run(), Some(&refusal));
        return Ok(super::explain(&refusal.into()));
    }
    engine.say(&Command::Close).await?;
    tell(settings, &engine.run(), None);
    Ok(0)
}

/// What is owed, each with the command that settles it.
fn owed(run: &Run) -> Vec<(Obligation, String)> {
    let all = run.obligations().into_iter();
    all.map(|owed| {
        let command = settles(run, &owed);
        (owed, command)
    })
    .collect()
}

fn settles(run: &Run, owed: &Obligation) -> String {
    let id = run.id();
    let stage = |verb: &str| match &owed.application {
        Some(key) => format!("trueup {verb} {key} --incident {id} --write cluster"),
        None => format!("trueup resume {id}"),
    };
    match owed.settle.as_str() {
        "thaw" => stage("thaw"),
        "freeze" => stage("freeze"),
        _ => format!("trueup resume {id}"),
    }
}

fn tell(settings: &Settings, run: &Run, refused: Option<&Refusal>) {
    let out = &mut std::io::stdout();
    let owed = owed(run);
    if settings.output == Output::Json {
        let items: Vec<Value> = owed
            .iter()
            .map(|(owed, command)| {
                let mut item = serde_json::to_value(owed).unwrap_or_default();
                item["command"] = json!(command);
                item
            })
            .collect();
        let document = json!({
            "apiVersion": trueup_core::API_VERSION,
            "kind": "Close",
            "incident": run.id(),
            "state": if run.closed.is_some() { "closed" } else { "open" },
            "exit": if refused.is_some() { 3 } else { 0 },
            "rule": refused.map(|refusal| refusal.rule),
            "reason": refused.map(|refusal| text::line(&refusal.reason)),
            "owed": items,
        });
        output::json_line(out, &document);
        return;
    }
    let stays = if refused.is_some() {
        "stays open"
    } else {
        "is closed"
    };
    output::say(out, &format!("{} {stays}", run.id()));
    let rows: Vec<Vec<String>> = owed
        .iter()
        .map(|(owed, command)| {
            let whose = match (&owed.owner, &owed.until) {
                (Some(owner), Some(until)) => format!("{owner} until {until}"),
                (Some(owner), None) => owner.clone(),
                _ => String::new(),
            };
            vec![text::line(&owed.what), whose, command.clone()]
        })
        .collect();
    if !rows.is_empty() {
        output::table(out, 0, &["OWED", "WITH", "SETTLED BY"], &rows);
    }
}
